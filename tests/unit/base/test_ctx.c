/* SPDX-License-Identifier: Apache-2.0 */
/* The root object and its environment. */
#include "test.h"

#include "base/base.h"

static void null_arguments_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx *ctx = test_ctx(NULL, 0);
    assert_int_equal(aios_ctx_new(NULL, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_ctx_new(NULL, NULL, NULL), AIOS_EINVAL);
    aios_ctx_free(NULL);
    assert_int_equal(aios_ctx_set_budget(NULL, 1, &err), AIOS_EINVAL);
    assert_int_equal(aios_ctx_set_budget(ctx, 0, &err), AIOS_EINVAL);
    assert_int_equal(aios_ctx_usage(NULL, &u), AIOS_EINVAL);
    assert_int_equal(aios_ctx_usage(ctx, NULL), AIOS_EINVAL);
    u.struct_size = 0;
    assert_int_equal(aios_ctx_usage(ctx, &u), AIOS_EINVAL);
    aios_ctx_free(ctx);
}

static void defaults_make_a_context(void **state)
{
    (void)state;
    aios_ctx *ctx;
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    assert_int_equal(aios_ctx_new(NULL, &ctx, NULL), 0);
    aios_ctx_usage(ctx, &u);
    assert_true(u.budget > 1 << 20);
    aios_ctx_free(ctx);
}

static char freed[16];
static aios_ctx *reference;

static void note_free(aios_ctx *ctx, void *p)
{
    strcat(freed, p);
    aios_ctx *again = aios__ctx_ref(ctx); /* as a buffer does that a device frees with itself */
    aios_ctx_free(again);
    assert_true(*(const char *)p > '0' + AIOS__SLOT_BACKENDS || !aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS)); /* gone before those above it */
}

static void slots_are_freed_dependents_first(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    static char names[AIOS__SLOT_COUNT][2];
    char expected[16] = "";
    freed[0] = 0;
    for (uint32_t i = AIOS__SLOT_COUNT; i-- > 0;) {
        names[i][0] = (char)('0' + i);
        if (aios__ctx_slot(ctx, i)) /* a built-in's: it goes in its place */
            continue;
        aios__ctx_slot_set(ctx, i, names[i], note_free);
        strcat(expected, names[i]);
    }
    reference = aios__ctx_ref(ctx);
    aios_ctx_free(ctx);
    assert_string_equal(freed, ""); /* a child still holds it */
    aios_ctx_free(reference);
    assert_string_equal(freed, expected);
    assert_non_null(strstr(freed, "10")); /* HTTP, and plugins at the very end */
}

static int some_open(void *user, const char *path, uint32_t flags, aios_file **f, int32_t *sys)
{
    (void)user, (void)path, (void)flags, (void)f, (void)sys;
    return AIOS_ENOENT;
}
static int some_size(void *user, aios_file *f, uint64_t *n, int32_t *sys)
{
    (void)user, (void)f, (void)n, (void)sys;
    return AIOS_EIO;
}
static int some_read(void *user, aios_file *f, uint64_t off, void *p, size_t n, size_t *got, int32_t *sys)
{
    (void)user, (void)f, (void)off, (void)p, (void)n, (void)got, (void)sys;
    return AIOS_EIO;
}
static void some_close(void *user, aios_file *f)
{
    (void)user, (void)f;
}

static void half_replaced_environment_is_refused(void **state)
{
    (void)state;
    aios_env host = AIOS_INIT(aios_env), env;
    aios_error err = AIOS_INIT(aios_error);
    int32_t sys = 0;
    host.file_open = some_open;
    assert_int_equal(aios__env_fill(&env, &host, &err), AIOS_EINVAL);
    host.file_size = some_size;
    host.file_read = some_read;
    assert_int_equal(aios__env_fill(&env, &host, &err), AIOS_EINVAL);
    host.file_close = some_close;
    assert_int_equal(aios__env_fill(&env, &host, &err), 0);
    assert_true(env.file_open == some_open && env.mono_ns && env.spawn && env.net_check);
    assert_int_equal(env.file_write(NULL, NULL, 0, "x", 1, &sys), AIOS_ENOTSUP); /* not the built-in one */
    assert_int_equal(env.file_map(NULL, NULL, 1, NULL, &sys), AIOS_ENOTSUP);
    host = (aios_env)AIOS_INIT(aios_env);
    host.file_close = some_close;
    assert_int_equal(aios__env_fill(&env, &host, &err), AIOS_EINVAL);
    assert_int_equal(aios__env_fill(&env, NULL, &err), 0);
    for (size_t off = offsetof(aios_env, mono_ns); off < sizeof env; off += sizeof(void *)) {
        void *slot;
        memcpy(&slot, (char *)&env + off, sizeof slot);
        assert_non_null(slot);
    }
}

typedef struct lines {
    int n;
    int32_t last_level;
    char last[64];
} lines;

static void note_line(void *user, int32_t level, const char *msg)
{
    lines *l = user;
    l->n++;
    l->last_level = level;
    snprintf(l->last, sizeof l->last, "%s", msg);
}

static void log_sends_up_to_its_level(void **state)
{
    (void)state;
    for (int32_t level = AIOS_LOG_ERROR; level <= AIOS_LOG_DEBUG; level++) {
        lines l = {0};
        aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
        aios_ctx *ctx;
        cfg.log = note_line;
        cfg.log_user = &l;
        cfg.log_level = level;
        assert_int_equal(aios_ctx_new(&cfg, &ctx, NULL), 0);
        l.n = 0;
        for (int32_t i = AIOS_LOG_ERROR; i <= AIOS_LOG_DEBUG; i++)
            aios__log(ctx, i, "line %d", i);
        assert_int_equal(l.n, level + 1);
        assert_int_equal(l.last_level, level);
        aios_ctx_free(ctx);
    }
    aios_ctx *silent = test_ctx(NULL, 0);
    aios__log(silent, AIOS_LOG_ERROR, "nobody listens");
    aios_ctx_free(silent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_arguments_are_refused),
        cmocka_unit_test(defaults_make_a_context),
        cmocka_unit_test(slots_are_freed_dependents_first),
        cmocka_unit_test(half_replaced_environment_is_refused),
        cmocka_unit_test(log_sends_up_to_its_level),
    };
    return cmocka_run_group_tests_name("ctx", tests, NULL, NULL);
}
