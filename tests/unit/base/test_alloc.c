/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>

#include "base/base.h"

#define OVERHEAD 16

static uint64_t used(aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    uint64_t sum = 0;
    assert_int_equal(aios_ctx_usage(ctx, &u), 0);
    for (size_t i = 0; i < AIOS_MEM_COUNT; i++)
        sum += u.by_kind[i];
    assert_int_equal(sum, u.used);
    assert_true(u.used <= u.peak && u.peak <= u.budget);
    return u.used;
}

static aios_ctx *limited(uint64_t room)
{
    aios_ctx *ctx = test_ctx(NULL, 1 << 20);
    assert_int_equal(aios_ctx_set_budget(ctx, used(ctx) + room, NULL), 0);
    return ctx;
}

static void blocks_are_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__heap *h = aios__ctx_heap(ctx);
    uint64_t before = used(ctx);
    const size_t sizes[] = {0, 1, 15, 16, 1000, 100000};
    void *p[6];
    uint64_t sum = 0;
    for (size_t i = 0; i < 6; i++) {
        p[i] = aios__alloc(h, AIOS_MEM_TEXT, sizes[i], NULL);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(((char *)p[i])[k], 0);
        sum += sizes[i] + OVERHEAD;
        assert_int_equal(used(ctx), before + sum);
    }
    for (size_t i = 0; i < 6; i++)
        aios__free(h, p[i]);
    aios__free(h, NULL);
    assert_int_equal(used(ctx), before);
    aios_ctx_free(ctx);
}

/* Around the sizes at which whole pages of 2 MiB lie in a block, and what its neighbours hold stays theirs. */
static void large_blocks_are_counted_and_used_like_others(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__heap *h = aios__ctx_heap(ctx);
    uint64_t before = used(ctx);
    const size_t sizes[] = {0, 1, (2 << 20) - 1, 2 << 20, (4 << 20) + 4095, 9 << 20}, n = AIOS__ARRAY_LEN(sizes);
    unsigned char *p[6];
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        p[i] = aios__alloc_large(h, AIOS_MEM_VOCAB, sizes[i], NULL);
        assert_non_null(p[i]);
        memset(p[i], (int)i + 1, sizes[i]);
        sum += sizes[i] + OVERHEAD;
        assert_int_equal(used(ctx), before + sum);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizes[i]; k += 4093)
            assert_int_equal(p[i][k], i + 1);
        aios__free(h, p[i]);
    }
    assert_int_equal(used(ctx), before);
    aios_error err = AIOS_INIT(aios_error);
    assert_null(aios__alloc_large(h, AIOS_MEM_VOCAB, SIZE_MAX - 100, &err));
    assert_true(err.code < 0);
    aios_ctx_free(ctx);
}

static void realloc_keeps_content_and_count(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__heap *h = aios__ctx_heap(ctx);
    uint64_t before = used(ctx);
    char *p = aios__realloc(h, AIOS_MEM_KV, NULL, 4, NULL);
    memcpy(p, "abcd", 4);
    p = aios__realloc(h, AIOS_MEM_TEXT, p, 5000, NULL); /* the kind stays the first one */
    assert_memory_equal(p, "abcd", 4);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.by_kind[AIOS_MEM_KV], 5000 + OVERHEAD);
    p = aios__realloc(h, AIOS_MEM_KV, p, 2, NULL);
    assert_memory_equal(p, "ab", 2);
    assert_int_equal(used(ctx), before + 2 + OVERHEAD);
    aios__free(h, p);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.by_kind[AIOS_MEM_KV], 0);
    assert_int_equal(u.peak_by_kind[AIOS_MEM_KV], 5000 + OVERHEAD);
    aios_ctx_free(ctx);
}

static void refusal_carries_both_numbers_and_leaves_the_block(void **state)
{
    (void)state;
    aios_ctx *ctx = limited(1000);
    aios__heap *h = aios__ctx_heap(ctx);
    aios_error err = AIOS_INIT(aios_error);
    char *p = aios__alloc(h, AIOS_MEM_WEIGHTS, 1000 - OVERHEAD, &err); /* exactly what there is */
    assert_non_null(p);
    p[0] = 'x';
    assert_null(aios__alloc(h, AIOS_MEM_WEIGHTS, 100, &err));
    assert_int_equal(err.code, AIOS_EBUDGET);
    assert_int_equal(err.have, 0);
    assert_int_equal(err.need, 100 + OVERHEAD);
    assert_non_null(strstr(err.msg, "weights"));
    assert_null(aios__realloc(h, 0, p, 1001 - OVERHEAD, &err));
    assert_int_equal(err.need, 1);
    assert_int_equal(p[0], 'x');
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.refused, 2);
    assert_int_equal(u.used, u.budget);
    aios__free(h, p);
    aios_ctx_free(ctx);
}

static void sizes_that_overflow_are_no_memory(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, UINT64_MAX);
    aios__heap *h = aios__ctx_heap(ctx);
    aios_error err = AIOS_INIT(aios_error);
    uint64_t before = used(ctx);
    assert_null(aios__alloc(h, 0, SIZE_MAX, &err));
    assert_null(aios__alloc(h, 0, SIZE_MAX - 15, &err));
    assert_null(aios__alloc(h, 0, (size_t)PTRDIFF_MAX, &err));
    assert_null(aios__alloc_array(h, 0, SIZE_MAX / 2, 3, &err));
    assert_null(aios__strndup(h, 0, "x", SIZE_MAX, &err));
    assert_int_equal(err.code, AIOS_ENOMEM);
    assert_int_equal(used(ctx), before);
    aios_ctx_free(ctx);
}

static void failed_system_allocation_gives_its_charge_back(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios__heap *h = aios__ctx_heap(ctx);
    aios_error err = AIOS_INIT(aios_error);
    char *p = aios__strndup(h, AIOS_MEM_TEXT, "hello", 4, &err);
    assert_string_equal(p, "hell");
    uint64_t before = used(ctx);
    heap.fail_at = heap.n_allocs + 1;
    heap.persistent = 1;
    assert_null(aios__alloc(h, 0, 10, &err));
    assert_int_equal(err.code, AIOS_ENOMEM);
    assert_int_equal(err.need, 10);
    assert_null(aios__realloc(h, 0, p, 1000, &err));
    assert_string_equal(p, "hell");
    assert_int_equal(used(ctx), before);
    aios__free(h, p);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void context_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long at = 1; at < 1000; at++) {
        test_heap heap = {.fail_at = at};
        aios_env env = AIOS_INIT(aios_env);
        aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
        aios_error err = AIOS_INIT(aios_error);
        aios_ctx *ctx;
        env.user = &heap;
        env.realloc = heap_realloc;
        cfg.env = &env;
        int rc = aios_ctx_new(&cfg, &ctx, &err);
        if (rc) {
            assert_int_equal(rc, AIOS_ENOMEM);
            assert_null(ctx);
        }
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
        if (!rc && heap.n_allocs < at)
            return;
    }
    fail_msg("it never passed");
}

typedef struct relief {
    aios_ctx *ctx;
    void *spare;
    int asked;
    uint64_t used, budget, need;
} relief;

static int free_spare(void *user, uint64_t u, uint64_t budget, uint64_t need)
{
    relief *r = user;
    r->asked++;
    r->used = u;
    r->budget = budget;
    r->need = need;
    if (!r->spare)
        return 0;
    aios__free(aios__ctx_heap(r->ctx), r->spare); /* re-entry is allowed */
    r->spare = NULL;
    return 1;
}

static void pressure_callback_is_asked_once_before_a_refusal(void **state)
{
    (void)state;
    relief r = {0};
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    cfg.pressure = free_spare;
    cfg.pressure_user = &r;
    cfg.budget = 1 << 20;
    assert_int_equal(aios_ctx_new(&cfg, &r.ctx, &err), 0);
    aios__heap *h = aios__ctx_heap(r.ctx);
    r.asked = 0;
    assert_int_equal(aios_ctx_set_budget(r.ctx, used(r.ctx) + 1000, NULL), 0);
    r.spare = aios__alloc(h, 0, 800, &err);
    void *p = aios__alloc(h, 0, 900, &err);
    assert_non_null(p);
    assert_int_equal(r.asked, 1);
    assert_int_equal(r.need, 900 + OVERHEAD);
    assert_int_equal(r.budget - r.used, 1000 - 800 - OVERHEAD);
    assert_null(aios__alloc(h, 0, 900, &err));
    assert_int_equal(r.asked, 2);
    assert_int_equal(err.code, AIOS_EBUDGET);
    aios__free(h, p);
    aios_ctx_free(r.ctx);
}

typedef struct worker {
    uint64_t base; /* in use before the threads: what they hold is not whole to look at while they run */
    aios_ctx *ctx;
    unsigned seed;
    int got, refused, wrong;
} worker;

static void *fight(void *arg)
{
    worker *w = arg;
    aios__heap *h = aios__ctx_heap(w->ctx);
    void *held[8] = {0};
    for (int i = 0; i < 4000; i++) {
        aios_error err = AIOS_INIT(aios_error);
        w->seed = w->seed * 1103515245 + 12345;
        size_t at = w->seed >> 16 & 7, n = w->seed >> 8 & 4095;
        void *p = aios__realloc(h, (uint32_t)at % AIOS_MEM_COUNT, held[at], n, &err);
        if (p) {
            held[at] = p;
            w->got++;
        } else {
            w->refused += err.code == AIOS_EBUDGET;
            w->wrong += err.code != AIOS_EBUDGET || !err.need;
            aios__free(h, held[at]);
            held[at] = NULL;
        }
        aios_mem_usage u = AIOS_INIT(aios_mem_usage);
        aios_ctx_usage(w->ctx, &u);
        w->wrong += u.used > u.budget || u.peak > u.budget;
    }
    for (int i = 0; i < 8; i++)
        aios__free(h, held[i]);
    return NULL;
}

static void eight_threads_never_overrun_the_budget(void **state)
{
    (void)state;
    aios_ctx *ctx = limited(60000); /* eight threads would like 128 KiB on average */
    uint64_t before = used(ctx);
    pthread_t th[8];
    worker w[8];
    int refused = 0, got = 0;
    for (unsigned i = 0; i < 8; i++) {
        w[i] = (worker){.ctx = ctx, .seed = i};
        assert_int_equal(pthread_create(&th[i], NULL, fight, &w[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(th[i], NULL);
        assert_int_equal(w[i].wrong, 0);
        refused += w[i].refused;
        got += w[i].got;
    }
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    assert_true(got > 0);
    assert_int_equal(u.refused, refused);
    assert_int_equal(used(ctx), before);
    aios_ctx_free(ctx);
}

static void *shift_budget(void *arg)
{
    worker *w = arg;
    uint64_t base = w->base;
    for (int i = 0; i < 20000; i++) /* either it is refused, or what is in use fits it from then on */
        w->got += !aios_ctx_set_budget(w->ctx, base + 20000 + (uint64_t)(i % 7) * 9000, NULL);
    aios_ctx_set_budget(w->ctx, base + 100000, NULL);
    return NULL;
}

static void *take_and_give(void *arg)
{
    worker *w = arg;
    aios__heap *h = aios__ctx_heap(w->ctx);
    for (int i = 0; i < 20000; i++)
        if (!aios__charge(h, AIOS_MEM_KV, 9000, NULL)) {
            w->got++;
            aios__uncharge(h, AIOS_MEM_KV, 9000);
        }
    return NULL;
}

static void budget_may_change_while_it_is_used(void **state)
{
    (void)state;
    aios_ctx *ctx = limited(100000);
    uint64_t before = used(ctx);
    pthread_t th[4];
    worker w[4] = {{.ctx = ctx, .base = before}, {.ctx = ctx}, {.ctx = ctx}, {.ctx = ctx}};
    for (int i = 0; i < 4; i++)
        pthread_create(&th[i], NULL, i ? take_and_give : shift_budget, &w[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i], NULL);
        assert_true(w[i].got > 0);
    }
    assert_int_equal(used(ctx), before);
    aios_ctx_free(ctx);
}

static void budget_below_use_is_refused_with_both_numbers(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 1 << 20);
    aios_error err = AIOS_INIT(aios_error);
    uint64_t in_use = used(ctx);
    assert_int_equal(aios_ctx_set_budget(ctx, in_use - 1, &err), AIOS_EBUDGET);
    assert_int_equal(err.have, in_use - 1);
    assert_int_equal(err.need, in_use);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.budget, 1 << 20);
    assert_int_equal(aios_ctx_set_budget(ctx, in_use, &err), 0);
    aios_ctx_free(ctx);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(aios_mem_kind_name(AIOS_MEM_KV), "kv");
    for (uint32_t i = 0; i < AIOS_MEM_COUNT; i++)
        assert_non_null(aios_mem_kind_name(i));
    assert_null(aios_mem_kind_name(AIOS_MEM_COUNT));
    assert_null(aios_mem_kind_name(UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_aligned_and_counted),
        cmocka_unit_test(large_blocks_are_counted_and_used_like_others),
        cmocka_unit_test(realloc_keeps_content_and_count),
        cmocka_unit_test(refusal_carries_both_numbers_and_leaves_the_block),
        cmocka_unit_test(sizes_that_overflow_are_no_memory),
        cmocka_unit_test(failed_system_allocation_gives_its_charge_back),
        cmocka_unit_test(context_survives_every_failed_allocation),
        cmocka_unit_test(pressure_callback_is_asked_once_before_a_refusal),
        cmocka_unit_test(eight_threads_never_overrun_the_budget),
        cmocka_unit_test(budget_may_change_while_it_is_used),
        cmocka_unit_test(budget_below_use_is_refused_with_both_numbers),
        cmocka_unit_test(kinds_have_names),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
