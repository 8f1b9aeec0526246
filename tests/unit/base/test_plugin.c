/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <unistd.h>

#include "base/base.h"

/* Path of a sample beside this program. */
static const char *sample(int variant)
{
    static char path[4200];
    ssize_t n = readlink("/proc/self/exe", path, 4000);
    assert_true(n > 0);
    path[n] = 0;
    snprintf(strrchr(path, '/'), 64, "/base/plugin_sample%d.so", variant);
    return path;
}

static const char *state_of_plugin(void)
{
    const char *s = getenv("AIOS_TEST_PLUGIN");
    return s ? s : "";
}

static int setup(void **state)
{
    (void)state;
    unsetenv("AIOS_TEST_PLUGIN");
    return 0;
}

static void plugin_is_initialised_and_stays_until_the_ctx_goes(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_plugin_load(ctx, sample(0), &err), 0);
    assert_string_equal(state_of_plugin(), "loaded");
    assert_int_equal(aios_plugin_load(ctx, sample(0), &err), AIOS_EEXIST);
    assert_string_equal(state_of_plugin(), "loaded");
    aios_ctx_free(ctx);
    assert_string_equal(state_of_plugin(), "gone");
    assert_int_equal(heap.live, 0);
}

static void plugin_outlives_what_is_registered(void **state)
{
    (void)state;
    assert_true(AIOS__SLOT_PLUGINS < AIOS__SLOT_HTTP && AIOS__SLOT_PLUGINS < AIOS__SLOT_CPU);
    assert_true(AIOS__SLOT_PLUGINS < AIOS__SLOT_DEVICES && AIOS__SLOT_PLUGINS < AIOS__SLOT_KERNELS);
    assert_true(AIOS__SLOT_PLUGINS < AIOS__SLOT_BACKENDS);
}

static void two_contexts_load_the_same_plugin(void **state)
{
    (void)state;
    aios_ctx *a = test_ctx(NULL, 0), *b = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_plugin_load(a, sample(0), &err), 0);
    assert_int_equal(aios_plugin_load(b, sample(0), &err), 0);
    aios_ctx_free(a);
    assert_string_equal(state_of_plugin(), "loaded");
    aios_ctx_free(b);
    assert_string_equal(state_of_plugin(), "gone");
}

static void plugin_whose_init_fails_stays_mapped_and_tells_why(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_plugin_load(ctx, sample(1), &err), AIOS_EUNAVAIL);
    assert_non_null(strstr(err.msg, "no such card"));
    assert_string_equal(state_of_plugin(), "loaded");
    aios_ctx_free(ctx);
    assert_string_equal(state_of_plugin(), "gone");
}

static void what_is_no_plugin_of_ours_is_refused_and_unmapped(void **state)
{
    (void)state;
    const struct {
        int variant, code;
    } rows[] = {{2, AIOS_EFORMAT}, {3, AIOS_EFORMAT}, {4, AIOS_EVERSION}, {5, AIOS_EFORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        aios_error err = AIOS_INIT(aios_error);
        unsetenv("AIOS_TEST_PLUGIN");
        assert_int_equal(aios_plugin_load(ctx, sample(rows[i].variant), &err), rows[i].code);
        assert_non_null(strstr(err.msg, "plugin_sample"));
        assert_string_equal(state_of_plugin(), "gone");
        if (rows[i].code == AIOS_EVERSION)
            assert_true(err.have == 1 && err.need == 2);
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
    }
}

static void bad_paths_have_codes_of_their_own(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_plugin_load(NULL, "/x", &err), AIOS_EINVAL);
    assert_int_equal(aios_plugin_load(ctx, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_plugin_load(ctx, "", NULL), AIOS_EINVAL);
    assert_int_equal(aios_plugin_load(ctx, "libm.so.6", &err), AIOS_EINVAL);
    assert_int_equal(aios_plugin_load(ctx, "/nowhere/at/all.so", &err), AIOS_ENOENT);
    assert_int_equal(aios_plugin_load(ctx, "/etc/passwd", &err), AIOS_EIO);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(plugin_is_initialised_and_stays_until_the_ctx_goes, setup),
        cmocka_unit_test(plugin_outlives_what_is_registered),
        cmocka_unit_test_setup(two_contexts_load_the_same_plugin, setup),
        cmocka_unit_test_setup(plugin_whose_init_fails_stays_mapped_and_tells_why, setup),
        cmocka_unit_test(what_is_no_plugin_of_ours_is_refused_and_unmapped),
        cmocka_unit_test(bad_paths_have_codes_of_their_own),
    };
    return cmocka_run_group_tests_name("plugin", tests, NULL, NULL);
}
