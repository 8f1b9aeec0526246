/* SPDX-License-Identifier: Apache-2.0 */
/* The root object, errors, and structs of other versions. */
#include "test.h"

#include <errno.h>

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

static void config_of_another_version_is_read_by_its_size(void **state)
{
    (void)state;
    struct {
        aios_ctx_config c;
        uint64_t newer;
    } cfg = {.c = {.struct_size = sizeof cfg, .budget = 1 << 20}};
    aios_ctx *ctx;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_ctx_new(&cfg.c, &ctx, &err), 0); /* newer, but nothing new is set */
    aios_ctx_free(ctx);
    cfg.newer = 1;
    assert_int_equal(aios_ctx_new(&cfg.c, &ctx, &err), AIOS_EVERSION);
    assert_null(ctx);
    assert_non_null(strstr(err.msg, "update libaios"));
    cfg.c.struct_size = 16; /* older: knows the budget only */
    cfg.c.cpu = (const char *)1;
    assert_int_equal(aios_ctx_new(&cfg.c, &ctx, &err), 0);
    aios_ctx_free(ctx);
    cfg.c.struct_size = 0;
    assert_int_equal(aios_ctx_new(&cfg.c, &ctx, &err), AIOS_EINVAL);
    cfg.c.struct_size = (size_t)0xdeadbeefdeadbeef; /* never initialised: the tail is not read */
    assert_int_equal(aios_ctx_new(&cfg.c, &ctx, &err), AIOS_EINVAL);
}

static void struct_in_takes_shorter_and_longer_ones(void **state)
{
    (void)state;
    unsigned char src[40], dst[24];
    for (size_t n = 0; n <= sizeof src; n++) {
        memset(src, 0, sizeof src);
        memset(dst, 0xaa, sizeof dst);
        for (size_t i = 8; i < n && i < 24; i++)
            src[i] = (unsigned char)i;
        memcpy(src, &n, sizeof n);
        int rc = aios__struct_in(dst, sizeof dst, src, NULL);
        assert_int_equal(rc, n < 8 ? AIOS_EINVAL : 0);
        size_t size;
        memcpy(&size, dst, sizeof size);
        for (size_t i = 8; !rc && i < 24; i++)
            assert_int_equal(dst[i], i < n ? i : 0);
        if (!rc)
            assert_int_equal(size, sizeof dst);
        for (size_t i = 24; i < n; i++) { /* any byte of the unknown tail */
            src[i] = 1;
            assert_int_equal(aios__struct_in(dst, sizeof dst, src, NULL), AIOS_EVERSION);
            src[i] = 0;
        }
    }
    assert_int_equal(aios__struct_in(dst, sizeof dst, NULL, NULL), 0);
    for (size_t i = 8; i < 24; i++)
        assert_int_equal(dst[i], 0);
}

static void struct_out_never_writes_past_the_callers_size(void **state)
{
    (void)state;
    unsigned char src[24], dst[48];
    memset(src, 7, sizeof src);
    for (size_t n = 0; n <= 40; n++) {
        memset(dst, 0xaa, sizeof dst);
        memcpy(dst, &n, sizeof n);
        assert_int_equal(aios__struct_out(dst, src, sizeof src), n < 8 ? AIOS_EINVAL : 0);
        for (size_t i = 8; i < sizeof dst; i++)
            assert_int_equal(dst[i], n < 8 || i >= n ? 0xaa : i < 24 ? 7 : 0);
        assert_memory_equal(dst, &n, sizeof n);
    }
    size_t wild = SIZE_MAX;
    memcpy(dst, &wild, sizeof wild);
    assert_int_equal(aios__struct_out(dst, src, sizeof src), AIOS_EINVAL);
    assert_int_equal(aios__struct_out(NULL, src, sizeof src), AIOS_EINVAL);
}

static void text_in_resolves_and_refuses(void **state)
{
    (void)state;
    size_t n = 99;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios__text_in("abc", AIOS_CSTR, &n, "x", &err), 0);
    assert_int_equal(n, 3);
    assert_int_equal(aios__text_in("abc", 2, &n, "x", &err), 0);
    assert_int_equal(n, 2);
    assert_int_equal(aios__text_in(NULL, AIOS_CSTR, &n, "x", &err), 0);
    assert_int_equal(n, 0);
    assert_int_equal(aios__text_in(NULL, 0, &n, "x", &err), 0);
    assert_int_equal(aios__text_in(NULL, 1, &n, "the prompt", &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "the prompt"));
    assert_int_equal(aios__text_in("a\0b", 3, &n, "x", &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "offset 1"));
}

static void errors_respect_the_size_of_the_callers(void **state)
{
    (void)state;
    struct {
        aios_error e;
        char guard[8];
    } s = {.guard = "guarded"};
    s.e.struct_size = 0; /* read as that of version 0.1 */
    assert_int_equal(aios__fail(&s.e, AIOS_EIO, "%s", "why"), AIOS_EIO);
    assert_string_equal(s.e.msg, "why");
    s.e.struct_size = 16; /* too small for a message: left alone */
    assert_int_equal(aios__fail(&s.e, AIOS_EPROTO, "other"), AIOS_EPROTO);
    assert_string_equal(s.e.msg, "why");
    assert_int_equal(aios__error_code(&s.e, AIOS_ENOMEM), AIOS_ENOMEM);
    assert_int_equal(aios__fail(NULL, AIOS_EIO, "x"), AIOS_EIO);
    assert_string_equal(s.guard, "guarded");
}

static void long_messages_are_cut_at_a_whole_character(void **state)
{
    (void)state;
    char text[2000];
    aios_error err = AIOS_INIT(aios_error);
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 < sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 5);
        aios__fail(&err, AIOS_EIO, "%s", text);
        assert_in_range(strlen(err.msg), 508, 511);
        assert_true(aios__utf8_valid(err.msg, strlen(err.msg)));
    }
    aios__fail(&err, AIOS_EIO, "inner");
    aios__fail(&err, AIOS_EIO, "outer: %s", err.msg); /* an error may be wrapped in place */
    assert_string_equal(err.msg, "outer: inner");
    aios__fail_sys(&err, AIOS_EIO, ENOENT, "file %s", "f");
    assert_int_equal(err.sys, ENOENT);
    assert_non_null(strstr(err.msg, "file f: "));
    assert_true(strlen(err.msg) > 10);
}

static void codes_have_text_and_name(void **state)
{
    (void)state;
    assert_string_equal(aios_code_name(AIOS_EBUDGET), "EBUDGET");
    assert_string_equal(aios_code_name(0), "OK");
    assert_string_equal(aios_code_name(12345), "?");
    assert_string_equal(aios_strerror(12345), "unknown code");
    for (int i = -27; i <= 2; i++)
        assert_string_not_equal(aios_strerror(i), "unknown code");
    assert_int_equal(aios_version(), AIOS_VERSION);
}

static char freed[16];
static aios_ctx *reference;

static void note_free(aios_ctx *ctx, void *p)
{
    strcat(freed, p);
    aios_ctx *again = aios__ctx_ref(ctx); /* as a buffer does that a device frees with itself */
    aios_ctx_free(again);
    assert_null(aios__ctx_slot(ctx, AIOS__SLOT_BACKENDS)); /* gone before all others */
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
        cmocka_unit_test(config_of_another_version_is_read_by_its_size),
        cmocka_unit_test(struct_in_takes_shorter_and_longer_ones),
        cmocka_unit_test(struct_out_never_writes_past_the_callers_size),
        cmocka_unit_test(text_in_resolves_and_refuses),
        cmocka_unit_test(errors_respect_the_size_of_the_callers),
        cmocka_unit_test(long_messages_are_cut_at_a_whole_character),
        cmocka_unit_test(codes_have_text_and_name),
        cmocka_unit_test(slots_are_freed_dependents_first),
        cmocka_unit_test(half_replaced_environment_is_refused),
        cmocka_unit_test(log_sends_up_to_its_level),
    };
    return cmocka_run_group_tests_name("ctx", tests, NULL, NULL);
}
