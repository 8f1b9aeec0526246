/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/base.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_another_version_is_read_by_its_size),
        cmocka_unit_test(struct_in_takes_shorter_and_longer_ones),
        cmocka_unit_test(struct_out_never_writes_past_the_callers_size),
        cmocka_unit_test(text_in_resolves_and_refuses),
    };
    return cmocka_run_group_tests_name("abi", tests, NULL, NULL);
}
