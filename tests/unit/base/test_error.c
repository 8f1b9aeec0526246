/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <errno.h>

#include "base/base.h"

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

static void names_from_outside_leave_a_message_plain_utf8(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__fail(&err, AIOS_EIO, "%.2s| \x1b[2J \xff\xc3 \xc3\xa9", "a\xc3\xa9"); /* the precision cuts a character */
    assert_string_equal(err.msg, "a?| ?[2J ?? \xc3\xa9");
}

static void codes_have_text_and_name(void **state)
{
    (void)state;
    assert_string_equal(aios_code_name(AIOS_EBUDGET), "EBUDGET");
    assert_string_equal(aios_code_name(0), "OK");
    assert_string_equal(aios_code_name(12345), "?");
    assert_string_equal(aios_strerror(12345), "unknown code");
    for (int i = -29; i <= 2; i++)
        assert_string_not_equal(aios_strerror(i), "unknown code");
    assert_int_equal(aios_version(), AIOS_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_respect_the_size_of_the_callers),
        cmocka_unit_test(long_messages_are_cut_at_a_whole_character),
        cmocka_unit_test(names_from_outside_leave_a_message_plain_utf8),
        cmocka_unit_test(codes_have_text_and_name),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
