/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <unistd.h>

#include "base/base.h"

/* Each form of a format, written as printf writes it: those done by hand, those that are not, and a mixture that turns out to be one late. */
static void formats_are_as_printf_has_them(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__buf b;
    char want[512];
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
#define SAME(...)                                                                                                              \
    do {                                                                                                                       \
        snprintf(want, sizeof want, __VA_ARGS__);                                                                              \
        aios__buf_clear(&b);                                                                                                   \
        assert_int_equal(aios__buf_addf(&b, NULL, __VA_ARGS__), 0);                                                            \
        assert_string_equal(b.p, want);                                                                                        \
        assert_int_equal(b.n, strlen(want));                                                                                   \
    } while (0)
    const int ints[] = {0, 1, -1, 9, 10, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) {
        SAME("%d", ints[i]);
        SAME("a%ub", (unsigned)ints[i]);
        SAME("%x%x", (unsigned)ints[i], 255u);
        SAME("%ld|%lu|%lx", (long)ints[i], (unsigned long)ints[i], (unsigned long)ints[i]);
        SAME("%lld|%llu|%llx", (long long)ints[i], (unsigned long long)(long long)ints[i], (unsigned long long)(long long)ints[i]);
        SAME("%zu", (size_t)ints[i]);
        SAME("x%s%d%02x%d", "before", ints[i], (unsigned)ints[i], 7);
    }
    SAME("%lld %lld %llu", (long long)INT64_MIN, (long long)INT64_MAX, (unsigned long long)UINT64_MAX);
    SAME("{\"a\":\"%s\",\"b\":%d}", "", 0);
    SAME("no conversion");
    SAME("%%");
    SAME("100%% %s", "sure");
    SAME("%.3s|%5d|%-5d|%c|%g", "abcdef", 42, 42, 'c', 0.5);
#undef SAME
    aios__buf_free(&b);
    aios_ctx_free(ctx);
}

static void json_strings_are_escaped_and_repaired(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    assert_int_equal(aios__buf_add_json(&b, "a\"\\\n\x01\xff\xc3\xa9", 8, NULL), 0);
    assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\"");
    aios__buf_free(&b);
    aios_ctx_free(ctx);
}

static void a_buffer_never_grows_past_its_limit(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 10);
    assert_int_equal(aios__buf_adds(&b, "0123456789", &err), 0);
    assert_int_equal(aios__buf_addc(&b, 'x', &err), AIOS_ELIMIT);
    assert_int_equal(err.need, 11);
    assert_string_equal(b.p, "0123456789");
    aios__buf_free(&b);
    aios_ctx_free(ctx);
}

static void the_first_failure_stays_and_is_told(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_error err = AIOS_INIT(aios_error), later = AIOS_INIT(aios_error);
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 8);
    assert_int_equal(aios__buf_adds(&b, "0123456789", &err), AIOS_ELIMIT);
    assert_int_equal(aios__buf_addc(&b, 'x', &err), AIOS_ELIMIT);
    assert_true(err.have == 8 && err.need == 10);
    assert_int_equal(aios__buf_addf(&b, &later, "%d", 1), AIOS_ELIMIT);
    assert_int_equal(aios__buf_addf(&b, NULL, "%d", 1), AIOS_ELIMIT);
    assert_int_equal(later.code, AIOS_ELIMIT);
    assert_int_equal(b.n, 0);
    aios__buf_clear(&b);
    assert_int_equal(aios__buf_adds(&b, "01234567", &err), 0);
    assert_int_equal(aios__buf_reserve(&b, SIZE_MAX, &err), AIOS_ELIMIT);
    aios__buf_free(&b);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void failed_growth_keeps_what_is_there_also_without_an_error(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    assert_int_equal(aios__buf_adds(&b, "kept", NULL), 0);
    heap.fail_at = heap.n_allocs + 1;
    heap.persistent = 1;
    assert_int_equal(aios__buf_add(&b, (char[1000]){0}, 1000, NULL), AIOS_ENOMEM);
    assert_string_equal(b.p, "kept");
    aios__buf_free(&b);
    heap.fail_at = 0;
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void growth_takes_just_what_is_needed_when_the_budget_is_tight(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios__buf b;
    char text[1000];
    memset(text, 'x', sizeof text);
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    assert_int_equal(aios__buf_add(&b, text, 10, NULL), 0);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(aios_ctx_set_budget(ctx, u.used + 1011 - b.cap, NULL), 0);
    assert_int_equal(aios__buf_add(&b, text, 1000, NULL), 0);
    assert_int_equal(b.n, 1010);
    aios__buf_free(&b);
    aios_ctx_free(ctx);
}

static void formatted_text_of_any_length_is_added(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    size_t sum = 0;
    for (int n = 250; n < 260; n++) { /* around the size of the buffer inside */
        assert_int_equal(aios__buf_addf(&b, NULL, "%*d", n, 7), 0);
        sum += (size_t)n;
        assert_int_equal(b.n, sum);
        assert_int_equal(b.p[sum - 1], '7');
        assert_int_equal(b.p[sum], 0);
    }
    aios__buf_free(&b);
    aios_ctx_free(ctx);
}

static void a_file_is_added_whole_or_not_at_all(void **state)
{
    (void)state;
    char path[] = "/tmp/aios-buf-XXXXXX";
    int fd = mkstemp(path);
    aios_ctx *c = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__buf b;
    assert_true(fd >= 0 && write(fd, "0123456789", 10) == 10);
    close(fd);
    aios__buf_init(&b, aios__ctx_heap(c), AIOS_MEM_TEXT, 12);
    must(aios__buf_add(&b, "ab", 2, &err), &err);
    must(aios__buf_add_file(&b, aios__ctx_env(c), path, "notes", &err), &err);
    assert_string_equal(b.p, "ab0123456789");
    assert_int_equal(aios__buf_add_file(&b, aios__ctx_env(c), path, "notes", &err), AIOS_ELIMIT);
    assert_true(err.have == 0 && err.need == 10 && strstr(err.msg, path));
    assert_int_equal(b.n, 12);
    unlink(path);
    assert_int_equal(aios__buf_add_file(&b, aios__ctx_env(c), path, "notes", &err), AIOS_ENOENT);
    aios__buf_free(&b);
    aios_ctx_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_added_whole_or_not_at_all),
        cmocka_unit_test(the_first_failure_stays_and_is_told),
        cmocka_unit_test(failed_growth_keeps_what_is_there_also_without_an_error),
        cmocka_unit_test(growth_takes_just_what_is_needed_when_the_budget_is_tight),
        cmocka_unit_test(formatted_text_of_any_length_is_added),
        cmocka_unit_test(formats_are_as_printf_has_them),
        cmocka_unit_test(json_strings_are_escaped_and_repaired),
        cmocka_unit_test(a_buffer_never_grows_past_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
