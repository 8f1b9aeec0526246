/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_ctx.h"

#include <math.h>

#include "backend/gguf/sampler.h"

static aios__sampler *made(const aios_sampling *p, uint32_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__sampler *s = NULL;
    if (aios__sampler_new(ctx, p, n, &s, &err))
        fail_msg("%s", err.msg);
    return s;
}

static int32_t pick(aios__sampler *s, const float *logits, uint32_t n, const uint32_t *bits)
{
    aios_error err = AIOS_INIT(aios_error);
    float copy[1024];
    aios__candidate room[1024];
    int32_t id = -1;
    memcpy(copy, logits, n * sizeof *copy);
    if (aios__sampler_pick(s, copy, bits, room, &id, &err))
        fail_msg("%s", err.msg);
    assert_in_range(id, 0, n - 1);
    return id;
}

static void no_parameters_mean_the_largest_logit(void **state)
{
    (void)state;
    const float l[] = {1, 5, NAN, 5, INFINITY, -INFINITY};
    aios__sampler *s = made(NULL, 6);
    assert_int_equal(pick(s, l, 6, NULL), 1);
    const uint32_t bits = 1u << 0 | 1u << 2;
    assert_int_equal(pick(s, l, 6, &bits), 0);
    aios__sampler_free(s);
}

static void the_first_of_the_largest_wins_in_long_rows_too(void **state)
{
    (void)state;
    float l[1000];
    aios__sampler *s = made(NULL, 1000);
    for (uint32_t at = 0; at < 1000; at += 37) {
        for (uint32_t i = 0; i < 1000; i++)
            l[i] = i % 7 ? -(float)i : NAN;
        l[at] = 5;
        l[at / 2 + 500] = at / 2 + 500 > at ? 5 : l[at / 2 + 500]; /* a later one that is as large */
        assert_int_equal(pick(s, l, 1000, NULL), at);
    }
    l[3] = INFINITY;
    assert_int_not_equal(pick(s, l, 1000, NULL), 3);
    aios__sampler_free(s);
}

static void something_allowed_is_picked_even_without_a_finite_logit(void **state)
{
    (void)state;
    const float l[] = {NAN, INFINITY, NAN, -INFINITY};
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 1;
    p.seed = 3;
    aios__sampler *s = made(&p, 4);
    const uint32_t bits = 1u << 2, none = 0;
    assert_int_equal(pick(s, l, 4, &bits), 2);
    float copy[4] = {0};
    aios__candidate room[4];
    int32_t id;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios__sampler_pick(s, copy, &none, room, &id, &err), AIOS_EINTERNAL);
    aios__sampler_free(s);
}

static void a_seed_repeats_itself_and_another_differs(void **state)
{
    (void)state;
    float l[100];
    int32_t runs[3][50];
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 0.8f;
    p.top_p = 0.95f;
    p.top_k = 40;
    for (int i = 0; i < 100; i++)
        l[i] = (float)(i * 37 % 100) / 25;
    for (int r = 0; r < 3; r++) {
        p.seed = r == 2 ? 8 : 7;
        aios__sampler *s = made(&p, 100);
        for (int i = 0; i < 50; i++)
            runs[r][i] = pick(s, l, 100, NULL);
        aios__sampler_free(s);
    }
    assert_memory_equal(runs[0], runs[1], sizeof runs[0]);
    assert_memory_not_equal(runs[0], runs[2], sizeof runs[0]);
}

/* Shares of 40000 draws against the distribution that the parameters define. */
static void check_shares(const aios_sampling *p, const float *l, const double *want, uint32_t n)
{
    int count[16] = {0};
    const int draws = 40000;
    aios__sampler *s = made(p, n);
    for (int i = 0; i < draws; i++)
        count[pick(s, l, n, NULL)]++;
    aios__sampler_free(s);
    for (uint32_t i = 0; i < n; i++) {
        double sigma = sqrt(want[i] * (1 - want[i]) * draws);
        if (fabs(count[i] - want[i] * draws) > 5 * sigma + 1e-9)
            fail_msg("id %u: %d draws, %.1f expected", i, count[i], want[i] * draws);
    }
}

static void draws_follow_the_distribution_of_each_filter(void **state)
{
    (void)state;
    const float l[] = {0.0f, 0.6931472f, 1.3862944f, 2.0794415f}; /* 1 : 2 : 4 : 8 */
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 1;
    p.seed = 11;
    check_shares(&p, l, (const double[]){1 / 15., 2 / 15., 4 / 15., 8 / 15.}, 4);
    p.top_k = 2;
    check_shares(&p, l, (const double[]){0, 0, 1 / 3., 2 / 3.}, 4);
    p.top_k = 0;
    p.top_p = 0.55f;
    check_shares(&p, l, (const double[]){0, 0, 1 / 3., 2 / 3.}, 4);
    p.top_p = 0.5f;
    check_shares(&p, l, (const double[]){0, 0, 0, 1}, 4);
    p.top_p = 0;
    p.min_p = 0.25f - 1e-4f;
    check_shares(&p, l, (const double[]){0, 2 / 14., 4 / 14., 8 / 14.}, 4);
    p.min_p = 0;
    p.temperature = 0.5f;
    check_shares(&p, l, (const double[]){1 / 85., 4 / 85., 16 / 85., 64 / 85.}, 4);
}

static void penalties_are_those_of_llama_cpp(void **state)
{
    (void)state;
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.repeat_penalty = 2;
    p.frequency_penalty = 0.5f;
    p.presence_penalty = 0.25f;
    p.penalty_last_n = 3;
    aios__sampler *s = made(&p, 4);
    float l[4] = {4, -1, 3, 2};
    int32_t id;
    aios_error err = AIOS_INIT(aios_error);
    const int32_t seen[] = {3, 0, 0, 1, -5, 99}; /* 3 falls out of the window; the last two are none of the vocabulary */
    for (size_t i = 0; i < 6; i++)
        aios__sampler_see(s, seen[i]);
    assert_int_equal(aios__sampler_pick(s, l, NULL, NULL, &id, &err), 0);
    assert_float_equal(l[0], 4 / 2. - 2 * 0.5 - 0.25, 1e-6);
    assert_float_equal(l[1], -1 * 2. - 0.5 - 0.25, 1e-6);
    assert_float_equal(l[2], 3, 0);
    assert_float_equal(l[3], 2, 0);
    assert_int_equal(id, 2);
    aios__sampler_free(s);
}

static void wrong_parameters_are_refused_by_name(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__sampler *s;
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = NAN;
    assert_int_equal(aios__sampler_new(ctx, &p, 4, &s, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "temperature"));
    p.temperature = 1;
    p.min_p = 1.5f;
    assert_int_equal(aios__sampler_new(ctx, &p, 4, &s, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "min_p"));
    p.min_p = 0;
    p.presence_penalty = -INFINITY;
    assert_int_equal(aios__sampler_new(ctx, &p, 4, &s, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "presence_penalty"));
    aios__sampler_free(NULL);
}

static void the_selected_front_is_sorted_whatever_its_size(void **state)
{
    (void)state;
    float l[1000];
    for (int i = 0; i < 1000; i++)
        l[i] = (float)(i * 7919 % 1000);
    aios_sampling p = AIOS_INIT(aios_sampling);
    p.temperature = 0.001f; /* so cold that the best of those kept always wins */
    p.seed = 1;
    for (uint32_t k = 1; k <= 1000; k += 111) {
        p.top_k = k;
        p.top_p = 0.999f;
        aios__sampler *s = made(&p, 1000);
        assert_int_equal((int)l[pick(s, l, 1000, NULL)], 999);
        aios__sampler_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_parameters_mean_the_largest_logit),
        cmocka_unit_test(the_first_of_the_largest_wins_in_long_rows_too),
        cmocka_unit_test(something_allowed_is_picked_even_without_a_finite_logit),
        cmocka_unit_test(a_seed_repeats_itself_and_another_differs),
        cmocka_unit_test(draws_follow_the_distribution_of_each_filter),
        cmocka_unit_test(penalties_are_those_of_llama_cpp),
        cmocka_unit_test(wrong_parameters_are_refused_by_name),
        cmocka_unit_test(the_selected_front_is_sorted_whatever_its_size),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
