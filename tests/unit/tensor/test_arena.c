/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_test.h"

static aios_arena *make_arena(aios_ctx *ctx, size_t chunk)
{
    aios_arena *a = NULL;
    assert_int_equal(aios_arena_new(aios_device_at(ctx, 0), chunk, AIOS_MEM_SCRATCH, &a, NULL), 0);
    return a;
}

static void pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_arena *a = make_arena(ctx, 10000);
    unsigned char *p[200];
    size_t n[200];
    for (uint32_t i = 0; i < 200; i++) {
        size_t align = (size_t)1 << (i % 13);
        n[i] = i * 37 % 5000;
        p[i] = aios_arena_alloc(a, n[i], i % 5 ? align : 0, NULL);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % (i % 5 ? align : 16), 0);
        memset(p[i], (int)i, n[i]);
    }
    for (uint32_t i = 0; i < 200; i++)
        for (size_t j = 0; j < n[i]; j++)
            assert_int_equal(p[i][j], i);
    aios_arena_free(a);
    aios_ctx_free(ctx);
}

static void a_reset_arena_takes_nothing_more_for_the_same_work(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    uint64_t base = used_now(ctx), full = 0;
    aios_arena *a = make_arena(ctx, 4096);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < 100; i++)
            memset(aios_arena_alloc(a, i == 50 ? 100000 : 200, 64, NULL), 1, 200);
        if (round)
            assert_int_equal(used_now(ctx), full);
        full = used_now(ctx);
        aios_arena_reset(a);
    }
    aios_arena_free(a);
    assert_int_equal(used_now(ctx), base);
    aios_ctx_free(ctx);
}

static int fill_arena(aios_ctx *ctx, aios_error *err)
{
    aios_arena *a = NULL;
    int rc = aios_arena_new(aios_device_at(ctx, 0), 5000, AIOS_MEM_KV, &a, err);
    for (uint32_t i = 0; !rc && i < 20; i++)
        rc = aios_arena_alloc(a, 2000, 0, err) ? 0 : err->code;
    if (!rc)
        rc = aios_arena_alloc(a, 2 << 20, 4096, err) ? 0 : err->code;
    aios_arena_free(a);
    return rc;
}

static void refusals_leave_nothing_behind(void **state)
{
    (void)state;
    assert_nothing_leaks_when_memory_runs_out(fill_arena);
    assert_every_budget_is_kept(fill_arena);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_arena *a = NULL;
    assert_int_equal(aios_arena_new(NULL, 0, 0, &a, &err), AIOS_EINVAL);
    assert_int_equal(aios_arena_new(aios_device_at(ctx, 0), 0, 77, &a, &err), AIOS_EINVAL);
    assert_int_equal(aios_arena_new(aios_device_at(ctx, 0), SIZE_MAX, 0, &a, &err), AIOS_EINVAL);
    assert_null(aios_arena_alloc(NULL, 1, 0, &err));
    a = make_arena(ctx, 0);
    assert_null(aios_arena_alloc(a, 1, 3, &err));
    assert_int_equal(err.code, AIOS_EINVAL);
    assert_null(aios_arena_alloc(a, SIZE_MAX, 64, &err));
    assert_int_equal(err.code, AIOS_ENOMEM);
    assert_null(aios_arena_alloc(a, SIZE_MAX - 100, 4096, &err));
    assert_non_null(aios_arena_alloc(a, 0, 0, &err));
    aios_arena_reset(NULL);
    aios_arena_free(NULL);
    aios_arena_free(a);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_do_not_overlap),
        cmocka_unit_test(a_reset_arena_takes_nothing_more_for_the_same_work),
        cmocka_unit_test(refusals_leave_nothing_behind),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
