/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

static const char *const names[] = {"AIOS_CPU", "AIOS_THREADS", "AIOS_BUDGET", "AIOS_LOG"};

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++)
        unsetenv(names[i]);
    return 0;
}

static void empty_environment_changes_nothing(void **state)
{
    (void)state;
    aios_ctx_config c = AIOS_INIT(aios_ctx_config), same = AIOS_INIT(aios_ctx_config);
    assert_int_equal(aios_config_from_env(&c, NULL), 0);
    assert_memory_equal(&c, &same, sizeof c);
    for (size_t i = 0; i < 4; i++)
        setenv(names[i], "", 1);
    assert_int_equal(aios_config_from_env(&c, NULL), 0);
    assert_memory_equal(&c, &same, sizeof c);
}

static void every_variable_fills_its_field(void **state)
{
    (void)state;
    aios_ctx_config c = AIOS_INIT(aios_ctx_config);
    setenv("AIOS_CPU", "avx2", 1);
    setenv("AIOS_THREADS", "3", 1);
    setenv("AIOS_BUDGET", "2G", 1);
    setenv("AIOS_LOG", "info", 1);
    assert_int_equal(aios_config_from_env(&c, NULL), 0);
    assert_string_equal(c.cpu, "avx2");
    assert_int_equal(c.n_threads, 3);
    assert_int_equal(c.budget, UINT64_C(2) << 30);
    assert_int_equal(c.log_level, AIOS_LOG_INFO);
}

static void what_the_host_set_wins(void **state)
{
    (void)state;
    aios_ctx_config c = AIOS_INIT(aios_ctx_config);
    c.cpu = "scalar";
    c.n_threads = 1;
    c.budget = 5;
    c.log_level = AIOS_LOG_DEBUG;
    setenv("AIOS_CPU", "avx2", 1);
    setenv("AIOS_THREADS", "3", 1);
    setenv("AIOS_BUDGET", "2G", 1);
    setenv("AIOS_LOG", "info", 1);
    assert_int_equal(aios_config_from_env(&c, NULL), 0);
    assert_string_equal(c.cpu, "scalar");
    assert_int_equal(c.n_threads, 1);
    assert_int_equal(c.budget, 5);
    assert_int_equal(c.log_level, AIOS_LOG_DEBUG);
}

static void budgets_have_units(void **state)
{
    (void)state;
    const struct {
        const char *s;
        uint64_t n;
    } rows[] = {{"1", 1}, {"1500", 1500}, {"2K", 2048}, {"3m", 3 << 20}, {"4g", UINT64_C(4) << 30}, {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios_ctx_config c = AIOS_INIT(aios_ctx_config);
        setenv("AIOS_BUDGET", rows[i].s, 1);
        assert_int_equal(aios_config_from_env(&c, NULL), 0);
        assert_int_equal(c.budget, rows[i].n);
    }
}

static void anything_else_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"AIOS_BUDGET", "0"},    {"AIOS_BUDGET", "-1"},   {"AIOS_BUDGET", "1GB"},   {"AIOS_BUDGET", "1 G"},
        {"AIOS_BUDGET", "G"},    {"AIOS_BUDGET", "1.5G"}, {"AIOS_BUDGET", "1e9"},   {"AIOS_BUDGET", "18446744073709551616"},
        {"AIOS_BUDGET", "99999999999999G"},               {"AIOS_THREADS", "0"},    {"AIOS_THREADS", "4097"},
        {"AIOS_THREADS", "2K"},  {"AIOS_THREADS", "two"}, {"AIOS_THREADS", " 2"},   {"AIOS_LOG", "4"},
        {"AIOS_LOG", "INFO"},    {"AIOS_LOG", "11"},      {"AIOS_CPU", "AVX2"},     {"AIOS_CPU", "avx2;x"},
        {"AIOS_CPU", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        aios_ctx_config c = AIOS_INIT(aios_ctx_config), same = AIOS_INIT(aios_ctx_config);
        aios_error err = AIOS_INIT(aios_error);
        clear(NULL);
        setenv("AIOS_THREADS", "2", 1);
        setenv(bad[i][0], bad[i][1], 1);
        if (aios_config_from_env(&c, &err) != AIOS_EINVAL)
            fail_msg("%s=%s", bad[i][0], bad[i][1]);
        assert_non_null(strstr(err.msg, bad[i][0]));
        assert_memory_equal(&c, &same, sizeof c);
    }
    assert_int_equal(aios_config_from_env(NULL, NULL), AIOS_EINVAL);
}

static void shorter_struct_of_an_older_host_is_not_overrun(void **state)
{
    (void)state;
    struct {
        aios_ctx_config c;
        char guard[8];
    } s = {.c.struct_size = offsetof(aios_ctx_config, cpu), .guard = "guarded"};
    setenv("AIOS_CPU", "avx2", 1);
    setenv("AIOS_THREADS", "2", 1);
    assert_int_equal(aios_config_from_env(&s.c, NULL), 0);
    assert_int_equal(s.c.n_threads, 2);
    assert_null(s.c.cpu);
    assert_string_equal(s.guard, "guarded");
}

static void features_are_known_by_name(void **state)
{
    (void)state;
    assert_int_equal(aios_has("gguf"), 1);
    assert_int_equal(aios_has("echo"), 1);
    assert_in_range(aios_has("curl"), 0, 1);
    assert_in_range(aios_has("hwloc"), 0, 1);
    assert_in_range(aios_has("openblas"), 0, 1);
    assert_int_equal(aios_has("teleport"), 0);
    assert_int_equal(aios_has(""), 0);
    assert_int_equal(aios_has(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(empty_environment_changes_nothing, clear),
        cmocka_unit_test_setup(every_variable_fills_its_field, clear),
        cmocka_unit_test_setup(what_the_host_set_wins, clear),
        cmocka_unit_test_setup(budgets_have_units, clear),
        cmocka_unit_test_setup(anything_else_is_refused_by_name, clear),
        cmocka_unit_test_setup(shorter_struct_of_an_older_host_is_not_overrun, clear),
        cmocka_unit_test(features_are_known_by_name),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
