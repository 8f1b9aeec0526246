/* SPDX-License-Identifier: Apache-2.0 */
/* Against the table of well-formed sequences, over all of them. */
#include "test.h"

#include "base/base.h"

static void every_code_point_makes_the_round_trip(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x110010; cp++) {
        char s[4];
        uint32_t back = 0;
        size_t n = aios__utf8_encode(cp, s);
        int bad = (cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff;
        size_t expected = bad ? 3 : cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        if (n != expected || aios__utf8_decode(s, n, &back) != n || back != (bad ? 0xfffd : cp))
            fail_msg("U+%04X", cp);
        for (size_t cut = 1; cut < n; cut++)
            if (aios__utf8_decode(s, cut, &back) || aios__utf8_whole(s, cut) != 0)
                fail_msg("U+%04X cut to %zu", cp, cut);
        if (aios__utf8_whole(s, n) != n)
            fail_msg("U+%04X is whole", cp);
    }
}

/* The definition once more, bit by bit: length of the sequence at p, 0 if there is none. */
static size_t reference(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (!len || n < len)
        return 0;
    uint32_t cp = p[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        cp = cp << 6 | (p[i] & 63);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return cp < least[len] || cp > 0x10ffff || (cp >> 11) == 0x1b ? 0 : len;
}

static void every_sequence_of_three_bytes_is_judged_as_defined(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 1u << 24; v++) {
        unsigned char p[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
        uint32_t cp;
        if (aios__utf8_decode((char *)p, 3, &cp) != reference(p, 3))
            fail_msg("%02x %02x %02x", p[0], p[1], p[2]);
    }
}

static void every_sequence_of_four_bytes_with_edge_values_is_judged_as_defined(void **state)
{
    (void)state;
    const unsigned char edge[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t c = 0; c < 10; c++)
                for (size_t d = 0; d < 10; d++) {
                    unsigned char p[4] = {(unsigned char)a, (unsigned char)b, edge[c], edge[d]};
                    uint32_t cp;
                    if (aios__utf8_decode((char *)p, 4, &cp) != reference(p, 4))
                        fail_msg("%02x %02x %02x %02x", p[0], p[1], p[2], p[3]);
                }
}

static void valid_looks_at_the_whole_text(void **state)
{
    (void)state;
    assert_int_equal(aios__utf8_valid("", 0), 1);
    assert_int_equal(aios__utf8_valid("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 10), 1);
    assert_int_equal(aios__utf8_valid("a\xc3", 2), 0);
    assert_int_equal(aios__utf8_valid("\xed\xa0\x80", 3), 0);
    assert_int_equal(aios__utf8_valid("\xc0\x80", 2), 0);
    assert_int_equal(aios__utf8_valid("ab\xff", 3), 0);
}

static void whole_holds_back_only_what_may_still_become_a_character(void **state)
{
    (void)state;
    const struct {
        const char *s;
        size_t whole;
    } rows[] = {
        {"", 0}, {"abc", 3}, {"abc\xc3", 3}, {"abc\xe2\x82", 3}, {"abc\xf0\x9f\x98", 3}, {"abc\xf0\x9f\x98\x80", 7},
        {"abc\xff", 4},      /* never valid: held back in vain */
        {"abc\xe0\x80", 5},  /* overlong already */
        {"abc\xed\xa0", 5},  /* a surrogate already */
        {"abc\xf4\x90", 5},  /* beyond the last code point already */
        {"abc\x80\x80\x80\x80", 7},
        {"\xe2\x82\xac\xe2", 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(aios__utf8_whole(rows[i].s, strlen(rows[i].s)), rows[i].whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_makes_the_round_trip),
        cmocka_unit_test(every_sequence_of_three_bytes_is_judged_as_defined),
        cmocka_unit_test(every_sequence_of_four_bytes_with_edge_values_is_judged_as_defined),
        cmocka_unit_test(valid_looks_at_the_whole_text),
        cmocka_unit_test(whole_holds_back_only_what_may_still_become_a_character),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
