/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <aios/device.h>

static void the_rates_are_measured(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_cpu_rates r = AIOS_INIT(aios_cpu_rates);
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    assert_int_equal(aios_cpu_probe(ctx, &r, &err), 0); /* the topology stays */
    aios_ctx_usage(ctx, &before);
    assert_int_equal(aios_cpu_probe(ctx, &r, &err), 0);
    aios_ctx_usage(ctx, &after);
    assert_int_equal(before.used, after.used);
    assert_true(after.peak_by_kind[AIOS_MEM_SCRATCH] >= 32 << 20);
    print_message("read %.1f GB/s, f32 %.1f GFLOP/s, int8 %.1f GOP/s\n", r.read_bytes_per_s / 1e9, r.f32_flop_per_s / 1e9, r.int8_op_per_s / 1e9);
    assert_true(r.read_bytes_per_s > 50e6 && r.read_bytes_per_s < 1e14);
    assert_true(r.f32_flop_per_s > 5e6 && r.f32_flop_per_s < 1e16);
    assert_true(r.int8_op_per_s > 5e6 && r.int8_op_per_s < 1e16);
    assert_true(r.read_bytes_per_s_1 > 50e6 && r.f32_flop_per_s_1 > 5e6 && r.int8_op_per_s_1 > 5e6);
    assert_true((r.bf16_flop_per_s > 0) == (r.bf16_flop_per_s_1 > 0));
    aios_ctx_free(ctx);
}

static void a_small_budget_refuses_it_with_both_numbers(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 4 << 20);
    aios_cpu_rates r = AIOS_INIT(aios_cpu_rates);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_cpu_probe(ctx, &r, &err), AIOS_EBUDGET);
    assert_true(err.need > err.have && err.need >= 32 << 20);
    assert_int_equal(aios_cpu_probe(NULL, &r, &err), AIOS_EINVAL);
    assert_int_equal(aios_cpu_probe(ctx, NULL, &err), AIOS_EINVAL);
    aios_ctx_free(ctx);
}

static void a_level_without_bf16_has_no_rate_of_it(void **state)
{
    (void)state;
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_cpu_rates r = AIOS_INIT(aios_cpu_rates);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    cfg.cpu = "scalar";
    cfg.n_threads = 1;
    assert_int_equal(aios_ctx_new(&cfg, &ctx, &err), 0);
    assert_int_equal(aios_cpu_probe(ctx, &r, &err), 0);
    assert_true(r.bf16_flop_per_s == 0 && r.bf16_flop_per_s_1 == 0);
    assert_true(r.read_bytes_per_s > 0 && r.read_bytes_per_s == r.read_bytes_per_s_1);
    assert_true(r.int8_op_per_s > 0 && r.int8_op_per_s == r.int8_op_per_s_1);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rates_are_measured),
        cmocka_unit_test(a_level_without_bf16_has_no_rate_of_it),
        cmocka_unit_test(a_small_budget_refuses_it_with_both_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
