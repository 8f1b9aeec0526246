/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_test.h"

#include <pthread.h>

enum { N = 600 };

static aios__pages *make_pages(aios_ctx *ctx, size_t bytes, size_t keep)
{
    aios__pages *p = NULL;
    assert_int_equal(aios__pages_new(aios_device_at(ctx, 0), bytes, keep, AIOS_MEM_KV, &p, NULL), 0);
    return p;
}

static void pages_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const size_t sizes[] = {1, 100, 8192, 3 << 20};
    for (size_t s = 0; s < 4; s++) {
        aios__pages *p = make_pages(ctx, sizes[s], 0);
        uint32_t n = s == 3 ? 3 : N;
        uint32_t *page[N];
        for (uint32_t i = 0; i < n; i++) {
            page[i] = aios__pages_get(p, NULL);
            assert_non_null(page[i]);
            assert_int_equal((uintptr_t)page[i] % 64, 0);
            memset(page[i], (int)i, sizes[s]);
        }
        for (uint32_t i = 0; i < n; i++) {
            assert_int_equal(((unsigned char *)page[i])[0], i & 255);
            assert_int_equal(((unsigned char *)page[i])[sizes[s] - 1], i & 255);
            aios__pages_put(p, page[i]);
        }
        aios__pages_free(p);
    }
    aios_ctx_free(ctx);
}

static void what_came_back_is_given_again_and_the_rest_returned(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios__pages *p = make_pages(ctx, 65536, 1 << 20);
    void *page[N];
    for (uint32_t i = 0; i < N; i++)
        page[i] = aios__pages_get(p, NULL);
    aios_ctx_usage(ctx, &u);
    uint64_t full = u.by_kind[AIOS_MEM_KV];
    assert_true(full >= N * 65536ull && full < N * 65536ull + (3 << 20));
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = round; i < N; i += 7)
            aios__pages_put(p, page[i]);
        for (uint32_t i = round; i < N; i += 7)
            page[i] = aios__pages_get(p, NULL);
        aios_ctx_usage(ctx, &u);
        assert_int_equal(u.by_kind[AIOS_MEM_KV], full);
    }
    for (uint32_t i = 0; i < N; i++)
        aios__pages_put(p, page[i]);
    aios_ctx_usage(ctx, &u);
    assert_true(u.by_kind[AIOS_MEM_KV] <= (1 << 20) + 8192);
    aios__pages_put(p, NULL);
    aios__pages_free(p);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.by_kind[AIOS_MEM_KV], 0);
    aios_ctx_free(ctx);
}

static void a_page_that_fits_the_budget_is_given_when_a_slab_does_not(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__pages *p = make_pages(ctx, 8192, 0);
    assert_int_equal(aios_ctx_set_budget(ctx, used_now(ctx) + 20000, NULL), 0);
    assert_non_null(aios__pages_get(p, &err));
    assert_non_null(aios__pages_get(p, &err));
    assert_null(aios__pages_get(p, &err));
    assert_int_equal(err.code, AIOS_EBUDGET);
    aios__pages_free(p);
    aios_ctx_free(ctx);
}

static void *churn(void *arg)
{
    aios__pages *p = arg;
    unsigned char *mine[16];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 16; i++) {
            mine[i] = aios__pages_get(p, NULL);
            if (!mine[i])
                return arg;
            memset(mine[i], i, 4096);
        }
        for (int i = 0; i < 16; i++) {
            if (mine[i][0] != i || mine[i][4095] != i)
                return arg;
            aios__pages_put(p, mine[i]);
        }
    }
    return NULL;
}

static void several_threads_share_one_pool(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__pages *p = make_pages(ctx, 4096, 0);
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, churn, p), 0);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        assert_null(bad);
    }
    aios__pages_free(p);
    aios_ctx_free(ctx);
}

static int use_pages(aios_ctx *ctx, aios_error *err)
{
    aios__pages *p = NULL;
    void *page[40] = {0};
    int rc = aios__pages_new(aios_device_at(ctx, 0), 50000, 0, AIOS_MEM_KV, &p, err);
    for (int i = 0; !rc && i < 40; i++) {
        page[i] = aios__pages_get(p, err);
        rc = page[i] ? 0 : err->code;
    }
    for (int i = 0; p && i < 40; i++)
        aios__pages_put(p, page[i]);
    aios__pages_free(p);
    return rc;
}

static void every_budget_is_kept(void **state)
{
    (void)state;
    assert_every_budget_is_kept(use_pages);
}

static void nothing_leaks_when_memory_runs_out(void **state)
{
    (void)state;
    refuse_every_allocation(use_pages, true);
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__pages *p = NULL;
    assert_int_equal(aios__pages_new(aios_device_at(ctx, 0), 0, 0, 0, &p, NULL), AIOS_EINVAL);
    assert_int_equal(aios__pages_new(aios_device_at(ctx, 0), SIZE_MAX, 0, 0, &p, NULL), AIOS_EINVAL);
    assert_null(p);
    aios__pages_free(NULL);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_aligned_and_do_not_overlap),
        cmocka_unit_test(what_came_back_is_given_again_and_the_rest_returned),
        cmocka_unit_test(a_page_that_fits_the_budget_is_given_when_a_slab_does_not),
        cmocka_unit_test(several_threads_share_one_pool),
        cmocka_unit_test(every_budget_is_kept),
        cmocka_unit_test(nothing_leaks_when_memory_runs_out),
        cmocka_unit_test(bad_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
