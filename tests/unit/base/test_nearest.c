/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include "test.h"

static void a_slip_of_the_pen_is_near_and_another_word_is_not(void **state)
{
    (void)state;
    static const char *const words[] = {"openai", "ollama", "openai+https", "route", "anthropic", "id"};
    static const struct {
        const char *s, *want;
    } rows[] = {
        {"openia", "openai"}, {"openai", "openai"}, {"opnai", "openai"}, {"opena1", "openai"}, {"olama", "ollama"},
        {"rotue", "route"}, {"anthropics", "anthropic"}, {"atnhropci", "anthropic"}, {"openai+htps", "openai+https"},
        {"zzzzzz", NULL}, {"", NULL}, {"di", NULL}, {"rou", NULL}, {"opn", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *got = aios__nearest(rows[i].s, strlen(rows[i].s), words, sizeof words / sizeof *words);
        assert_string_equal(got ? got : "none", rows[i].want ? rows[i].want : "none");
    }
}

static void words_of_any_length_are_taken(void **state)
{
    (void)state;
    char longest[64], longer[200];
    memset(longest, 'a', sizeof longest);
    memset(longer, 'a', sizeof longer);
    longest[63] = longer[199] = 0;
    const char *const words[] = {longer, longest};
    assert_ptr_equal(aios__nearest(longest, 63, words, 2), longest);
    assert_ptr_equal(aios__nearest(longer, 62, words, 2), longest); /* needs no NUL */
    assert_null(aios__nearest(longer, 199, words, 2));
    assert_null(aios__nearest("route", 5, words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slip_of_the_pen_is_near_and_another_word_is_not),
        cmocka_unit_test(words_of_any_length_are_taken),
    };
    return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
