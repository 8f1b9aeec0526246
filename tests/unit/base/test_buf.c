/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/base.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_strings_are_escaped_and_repaired),
        cmocka_unit_test(a_buffer_never_grows_past_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
