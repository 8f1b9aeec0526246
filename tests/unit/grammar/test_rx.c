/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: what matches, what is refused and where, the laws of their algebra, and bounds on hostile ones. */
#include "shared_ctx.h"

#include "grammar/rx.h"

/* {pattern, text, found somewhere, matches as a whole} */
static const struct {
    const char *pattern, *text;
    int found, whole;
} rows[] = {
    {"", "", 1, 1},
    {"", "x", 1, 0},
    {"b", "abc", 1, 0},
    {"^b", "abc", 0, 0},
    {"^a|c$", "xbc", 1, 0},
    {"^abc$", "abc", 1, 1},
    {"a.c", "a\nc", 0, 0},
    {"a.c", "a\xc3\xa9" "c", 1, 1},
    {"^.$", "\xf0\x9f\x98\x80", 1, 1},
    {"^[^\xc3\xa9]$", "\xc3\xa9", 0, 0},
    {"^[\xc3\xa0-\xc3\xbf]+$", "\xc3\xa9\xc3\xa8", 1, 1},
    {"^\\u00e9\\u{1F600}\\ud83d\\ude00$", "\xc3\xa9\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 1, 1},
    {"\\d{3}-\\d{4}", "call 555-1234", 1, 0},
    {"^\\w+@\\w+\\.(com|org)$", "a_b@c.org", 1, 1},
    {"^\\s$", "\xc2\xa0", 1, 1},
    {"^\\S$", "\xc2\xa0", 0, 0},
    {"^[\\d\\-x]*$", "1-x", 1, 1},
    {"^[\\b\\]^]$", "]", 1, 1},
    {"^(a|b){2,3}?$", "abab", 0, 0},
    {"^(a?){50}a{50}$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1, 1},
    {"^(?<year>\\d{4})-(?:\\d{2})$", "2026-11", 1, 1},
    {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "ab1", 0, 0},
    {"^(?=.*\\d)(?=.*[a-z]).{4,}$", "abc1", 1, 1},
    {"^(?!admin$)\\w+$", "admin", 0, 0},
    {"^(?!admin$)\\w+$", "admins", 1, 1},
    {"a(?!b)", "abab", 0, 0},
    {"a(?!b)", "abac", 1, 0},
    {"x{0}y", "y", 1, 1},
    {"^\\p{L}+\\P{Lu}$", "\xc3\x89\xc3\xa9x", 1, 1},
    {"^\\p{Uppercase_Letter}$", "\xc3\xa9", 0, 0},
    {"^[\\p{Nd}_]+$", "1_\xd9\xa3", 1, 1},
    {"\\p{General_Category=Decimal_Number}", "a1", 1, 0},
    {"a{1000000000}", "a", 0, 0},
    {"(^a)?b", "b", 1, 1},
};

static void patterns_match_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int whole = 0; whole < 2; whole++) {
            aios_error err = AIOS_INIT(aios_error);
            aios__rx *x = NULL;
            uint32_t e;
            bool is = false;
            assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
            if (aios__rx_parse(x, rows[i].pattern, strlen(rows[i].pattern), whole, &e, &err) ||
                aios__rx_match(x, e, rows[i].text, strlen(rows[i].text), &is, &err))
                fail_msg("%s: %s", rows[i].pattern, err.msg);
            if (is != (whole ? rows[i].whole : rows[i].found))
                fail_msg("%s in %s, %s: %d", rows[i].pattern, rows[i].text, whole ? "whole" : "somewhere", is);
            aios__rx_free(x);
        }
    }
}

static void what_is_wrong_or_not_regular_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        int code;
        uint64_t at;
    } bad[] = {
        {"(", AIOS_ESCHEMA, 1},      {"a)", AIOS_ESCHEMA, 1},         {"[a", AIOS_ESCHEMA, 2},    {"*a", AIOS_ESCHEMA, 0},
        {"a{2,1}", AIOS_ESCHEMA, 1}, {"[xz-a]", AIOS_ESCHEMA, 2},      {"a\\q", AIOS_ESCHEMA, 1},   {"\\u12", AIOS_ESCHEMA, 4},
        {"a\\", AIOS_ESCHEMA, 1},    {"(a)\\1", AIOS_ENOTSUP, 3},     {"\\ba", AIOS_ENOTSUP, 0},  {"(?<=a)b", AIOS_ENOTSUP, 0},
        {"a\\p{Script=Greek}", AIOS_ENOTSUP, 1}, {"\\u{110000}", AIOS_ESCHEMA, 0}, {"\\pL", AIOS_ESCHEMA, 2},      {"\\p{l}", AIOS_ENOTSUP, 0}, {"a\xff", AIOS_ESCHEMA, 1},      {"]", AIOS_ESCHEMA, 0},     {"(?:(?!b).)*", AIOS_ENOTSUP, 0},
        {"a*^b", AIOS_ENOTSUP, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios__rx *x = NULL;
        uint32_t e;
        assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
        int rc = aios__rx_parse(x, bad[i].pattern, strlen(bad[i].pattern), false, &e, &err);
        if (rc != bad[i].code || err.have != bad[i].at)
            fail_msg("%s: %d at %d, %s", bad[i].pattern, rc, (int)err.have, err.msg);
        aios__rx_free(x);
    }
}

static uint32_t parsed(aios__rx *x, const char *p)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t e = 0;
    if (aios__rx_parse(x, p, strlen(p), true, &e, &err))
        fail_msg("%s: %s", p, err.msg);
    return e;
}

static void equal_expressions_are_one_and_contradictions_have_no_text(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__rx *x = NULL;
    uint32_t e, n, both[2];
    bool exists = true;
    assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
    assert_int_equal(parsed(x, "a|b|a"), parsed(x, "[ab]"));
    assert_int_equal(parsed(x, "(ab)c"), parsed(x, "a(bc)"));
    assert_int_equal(parsed(x, "(a*)*"), parsed(x, "a*"));
    assert_int_equal(parsed(x, "a{0,3}|a{2,5}"), parsed(x, "a{0,5}"));
    both[0] = e = parsed(x, "[a-m]{3,5}");
    assert_int_equal(aios__rx_not(x, e, &both[1], &err), 0);
    assert_int_equal(aios__rx_not(x, both[1], &n, &err), 0);
    assert_int_equal(n, e);
    assert_int_equal(aios__rx_and(x, both, 2, &n, &err), 0);
    assert_int_equal(aios__rx_exists(x, n, &exists, &err), 0);
    assert_false(exists);
    both[1] = parsed(x, "[k-z]{5,9}");
    assert_int_equal(aios__rx_and(x, both, 2, &n, &err), 0);
    assert_int_equal(aios__rx_exists(x, n, &exists, &err), 0);
    assert_true(exists);
    aios__rx_free(x);
}

/* Every byte that a row lets through can be gone on from to an end. */
static void rows_lead_nowhere_that_has_no_end(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__rx *x = NULL;
    const uint32_t *row;
    assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
    uint32_t both[2] = {parsed(x, "(ab|cd)*"), parsed(x, ".{3}|a.c.{2,4}d")}, e;
    assert_int_equal(aios__rx_and(x, both, 2, &e, &err), 0);
    for (int n = 0; n < 20 && !aios__rx_ends(x, e); n++) {
        int c = 0;
        assert_int_equal(aios__rx_row(x, e, &row, &err), 0);
        while (c < 256 && row[c] == AIOS__RX_NOTHING)
            c++;
        assert_true(c < 256);
        e = row[c];
    }
    assert_true(aios__rx_ends(x, e));
    aios__rx_free(x);
}

static void hostile_patterns_end_soon_with_a_result_or_a_limit(void **state)
{
    (void)state;
    static char deep[120001], text[5001];
    static const char *const patterns[] = {"(a+)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*a){20}", "[ab]*a[ab]{18}", "(((a{0,100}){0,100}){0,100})",
                                           "((a{1,1000}b?){1,1000}c?){1,1000}", "(?:a?b?c?d?e?f?){100}", ".{0,1000000000}x", deep};
    memset(deep, '(', 60000);
    memset(deep + 60000, ')', 60000);
    for (int i = 0; i < 5000; i++)
        text[i] = "ab"[i % 3 == 1];
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios__rx *x = NULL;
        uint32_t e;
        bool is;
        assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
        int rc = aios__rx_parse(x, patterns[i], strlen(patterns[i]), false, &e, &err);
        rc = rc ? rc : aios__rx_match(x, e, text, 5000, &is, &err);
        assert_true(!rc || rc == AIOS_ELIMIT);
        aios_mem_usage use = AIOS_INIT(aios_mem_usage);
        assert_int_equal(aios_ctx_usage(ctx, &use), 0);
        assert_true(use.peak < 48u << 20);
        aios__rx_free(x);
    }
}

static int match_a_text(aios_ctx *c, aios_error *err)
{
    aios__rx *x = NULL;
    uint32_t e;
    bool is = false;
    int rc = aios__rx_new(c, &x, err);
    rc = rc ? rc : aios__rx_parse(x, "^(?!ab)[a-z]{2,9}(x|yz)$", 23, false, &e, err);
    rc = rc ? rc : aios__rx_match(x, e, "acccyz", 6, &is, err);
    aios__rx_free(x);
    return rc;
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    refuse_every_allocation(match_a_text, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_as_the_table_says),
        cmocka_unit_test(what_is_wrong_or_not_regular_is_refused_with_its_place),
        cmocka_unit_test(equal_expressions_are_one_and_contradictions_have_no_text),
        cmocka_unit_test(rows_lead_nowhere_that_has_no_end),
        cmocka_unit_test(hostile_patterns_end_soon_with_a_result_or_a_limit),
        cmocka_unit_test(every_failed_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
