/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "device/device_priv.h"

#define BIT(x) (1u << AIOS__ISA_##x)

static aios__x86_regs sapphire_rapids(void)
{
    return (aios__x86_regs){.max_leaf = 31, .l1_ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,
                            .l7_ebx = 1u << 5 | 1u << 8 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, .l7_ecx = 1u << 11,
                            .l7_1_eax = 1u << 4 | 1u << 5, .xcr0 = 0xe7};
}

static void every_level_is_found_in_its_registers(void **state)
{
    (void)state;
    aios__x86_regs r = sapphire_rapids();
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR) | BIT(AVX2) | BIT(AVXVNNI) | BIT(AVX512) | BIT(AVX512VNNI) | BIT(AVX512BF16));
    r.l7_1_eax = 0;
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR) | BIT(AVX2) | BIT(AVX512) | BIT(AVX512VNNI));
    r.l7_ecx = 0;
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR) | BIT(AVX2) | BIT(AVX512));
    r.l7_ebx &= ~(1u << 17);
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR) | BIT(AVX2));
    r.l7_ebx &= ~(1u << 8);
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR));
}

static void registers_that_the_system_does_not_save_are_not_used(void **state)
{
    (void)state;
    aios__x86_regs r = sapphire_rapids();
    r.xcr0 = 0x7;
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR) | BIT(AVX2) | BIT(AVXVNNI));
    r.xcr0 = 0x67; /* opmask is missing */
    assert_int_equal(aios__x86_levels(&r) & BIT(AVX512), 0);
    r.xcr0 = 0x3;
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR));
    r = sapphire_rapids();
    r.l1_ecx &= ~(1u << 27);
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR));
    r = sapphire_rapids();
    r.max_leaf = 1;
    assert_int_equal(aios__x86_levels(&r), BIT(SCALAR));
}

static void the_machine_agrees_with_the_compiler(void **state)
{
    (void)state;
    uint32_t best = aios__cpu_levels_best();
    assert_true(best & BIT(SCALAR));
#if defined(__x86_64__)
    __builtin_cpu_init();
    assert_int_equal(!!(best & BIT(AVX2)), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"));
    assert_int_equal(!!(best & BIT(AVX512VNNI)), __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"));
#endif
}

/* Under emulation the build says which CPU it is: exactly its levels are found. */
static void an_emulated_cpu_has_its_levels(void **state)
{
    (void)state;
    const char *level = getenv("AIOS_TEST_LEVEL");
    uint32_t set;
    if (!level)
        skip();
    assert_int_equal(aios__isa_cap(level, &set, NULL), 0);
    assert_int_equal(aios__cpu_levels_best(), set);
}

static int new_ctx(const char *cpu, aios_ctx **ctx, aios_error *err)
{
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    cfg.cpu = cpu;
    return aios_ctx_new(&cfg, ctx, err);
}

static void a_cap_allows_its_level_and_those_below(void **state)
{
    (void)state;
    uint32_t set;
    assert_int_equal(aios__isa_cap(NULL, &set, NULL), 0);
    assert_int_equal(set, UINT32_MAX);
    assert_int_equal(aios__isa_cap("", &set, NULL), 0);
    assert_int_equal(set, UINT32_MAX);
    assert_int_equal(aios__isa_cap("scalar", &set, NULL), 0);
    assert_int_equal(set, BIT(SCALAR));
#if defined(__x86_64__)
    assert_int_equal(aios__isa_cap("avxvnni", &set, NULL), 0);
    assert_int_equal(set, BIT(SCALAR) | BIT(AVX2) | BIT(AVXVNNI));
    assert_int_equal(aios__isa_cap("avx512bf16", &set, NULL), 0);
    assert_int_equal(set, BIT(SCALAR) | BIT(AVX2) | BIT(AVX512) | BIT(AVX512VNNI) | BIT(AVX512BF16));
#endif
}

static void a_cap_above_the_machine_gives_the_best_there_is(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const char *const names[] = {"scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16"};
#else
    const char *const names[] = {"scalar"};
#endif
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        aios_ctx *ctx = NULL;
        uint32_t cap;
        aios_cpu_info info = AIOS_INIT(aios_cpu_info);
        assert_int_equal(new_ctx(names[i], &ctx, NULL), 0);
        assert_int_equal(aios__isa_cap(names[i], &cap, NULL), 0);
        assert_int_equal(aios__cpu_levels(ctx), aios__cpu_levels_best() & cap);
        assert_int_equal(aios_cpu_info_get(ctx, &info), 0);
        if (!i)
            assert_string_equal(info.isa, "scalar");
        aios_ctx_free(ctx);
    }
}

static void an_unknown_cap_is_refused_with_the_names(void **state)
{
    (void)state;
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(new_ctx("avx9", &ctx, &err), AIOS_EINVAL);
    assert_null(ctx);
    assert_non_null(strstr(err.msg, "\"avx9\""));
    assert_non_null(strstr(err.msg, "scalar"));
    assert_int_equal(new_ctx("0123456789012345678901234567890123456789", &ctx, &err), AIOS_EINVAL);
}

static void the_facts_fit_together(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_cpu_info i = AIOS_INIT(aios_cpu_info);
    assert_int_equal(aios_cpu_info_get(ctx, &i), 0);
    assert_true(i.n_usable >= 1 && i.n_usable <= i.n_allowed && i.n_allowed <= i.n_cpus);
    assert_true(i.n_cores >= 1 && i.n_cores <= i.n_cpus && i.n_packages <= i.n_cores);
    assert_true(i.memory_limit && i.memory_limit <= i.memory_total);
    assert_true(aios__is_pow2(i.page_size) && aios__is_pow2(i.cache_line));
    assert_true(!strcmp(i.source, "hwloc") || !strcmp(i.source, "sysfs"));
    assert_true(i.n_numa >= 1 && i.thp <= 2);
    aios_cpu_info small = {.struct_size = offsetof(aios_cpu_info, n_cpus)};
    small.n_cpus = 4711;
    assert_int_equal(aios_cpu_info_get(ctx, &small), 0);
    assert_int_equal(small.n_cores, i.n_cores);
    assert_int_equal(small.n_cpus, 4711);
    assert_int_equal(aios_cpu_info_get(NULL, &i), AIOS_EINVAL);
    assert_int_equal(aios_cpu_info_get(ctx, NULL), AIOS_EINVAL);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_is_found_in_its_registers),
        cmocka_unit_test(registers_that_the_system_does_not_save_are_not_used),
        cmocka_unit_test(the_machine_agrees_with_the_compiler),
        cmocka_unit_test(an_emulated_cpu_has_its_levels),
        cmocka_unit_test(a_cap_allows_its_level_and_those_below),
        cmocka_unit_test(a_cap_above_the_machine_gives_the_best_there_is),
        cmocka_unit_test(an_unknown_cap_is_refused_with_the_names),
        cmocka_unit_test(the_facts_fit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
