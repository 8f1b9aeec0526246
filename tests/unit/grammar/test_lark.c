/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar_test.h"
#include "shared_ctx.h"

#include "llm/llm.h"

static const char sums[] = "start: sum\nsum: sum \"+\" product | product\nproduct: product \"*\" atom | atom\natom: \"(\" sum \")\" | NUMBER\n"
                           "%import common.NUMBER\n%ignore /[ \\t]+/\n";
static const char calls[] = "start: ( call )* end\ncall: head \"=f>\" /[0-9]+/ \"</f>\"\nhead[lazy]: TEXT \"<f\"\nend: TEXT\nTEXT: /(.|\\n)*/ & ~/(?s:.*)<f(?s:.*)/";
static const char escaped[] = "%import common (ESCAPED_STRING, WS)\n%import common.INT -> WHOLE\n%ignore WS\nstart: \"[\" [item (\",\" item)*] \"]\"\nitem: ESCAPED_STRING | WHOLE";

static const reading readings[] = {
    /* strings, ranges, expressions */
    {"start: \"\\x41\\u00e9\\ud83d\\ude00\\n\\\"\\/\"", "A\xc3\xa9\xf0\x9f\x98\x80\n\"/", 1},
    {"start: \"ab.\"i", "aB.", 1},
    {"start: \"ab.\"i", "aBc", -1},
    {"start: \"a\"..\"c\"", "b", 1},
    {"start: \"a\"..\"c\"", "d", -1},
    {"start: /a.b/", "a\rb", 1},
    {"start: /a.b/", "a\nb", -1},
    {"start: /a.b/s", "a\nb", 1},
    {"start: /A b/ix", "aB", 1},
    {"start: /(?i:a)b/", "Ab", 1},
    {"start: /(?i:a)b/", "AB", -1},
    {"start: /a(?i)b|c/", "aB", 1},
    {"start: /a(?i)b|c/", "C", 1},
    {"start: /(a(?i)b)c/", "aBC", -1},
    {"start: /[[:alpha:]_]+/", "a_Z", 1},
    {"start: /[]x]\\//", "]/", 1},
    {"start: /(?P<name>a|b)+/", "ab", 1},
    {"start: /\\w\\d\\s/", "\xc3\xa9\xd9\xa3\xc2\xa0", 1},
    {"start: /[^\\w]/", "\xc3\xa9", -1},
    {"start: /\\pL\\p{ uppercase-letter }/", "\xc3\xa9\xc3\x89", 1},
    {"start: /[k\u00e5]+/i", "K\xe2\x84\xaa\xe2\x84\xab\xc3\x85", 1},
    {"start: \"\xcf\x83\"i", "\xcf\x82", 1},
    /* operators */
    {"start: \"a\"? \"b\"* \"c\"+", "bbc", 1},
    {"start: (\"a\" | \"b\")~2..3", "aba", 1},
    {"start: (\"a\" | \"b\")~2..3", "a", 0},
    {"start: \"a\"~2", "aaa", -1},
    {"start: x{2,} // two\nx: \"x\" # one", "xxx", 1},
    {"start: x{,1}\nx: \"x\"", "xx", -1},
    {"start: [\"a\"] \"b\"", "b", 1},
    {"start: \"a\"\n     | \"b\" -> name\n\n", "b", 1},
    {"start: (\"a\"\n | \"b\")", "b", 1},
    {"?start: x\n!x: _y\n_y: \"a\"", "a", 1},
    {"start: ", "", 1},
    /* terminals: & and ~ */
    {"start: A\nA: B & ~C\nB: /[a-z]{3}/\nC: \"abc\" | \"xyz\"", "abd", 1},
    {"start: A\nA: B & ~C\nB: /[a-z]{3}/\nC: \"abc\" | \"xyz\"", "abc", -1},
    {"start: A\nA: \"a\" | /[a-z]+/ & /.{3}/ | \"q\"", "q", 1},
    {"start: A\nA: \"a\" | /[a-z]+/ & /.{3}/ | \"q\"", "ab", 0},
    {"start: ~\"ab\" ", "abc", 1},
    {"start: ~\"ab\" ", "ab", 0},
    {"start: ~\"ab\" ", "\xff", -1},
    {"start: ~(\"a\" | \"b\"){2}", "ccdd", 1},
    {"start: A\nA: ~~\"a\"", "a", 1},
    {"start: A\nA: ~~\"a\"", "b", -1},
    /* what is ignored: between terminals alone */
    {"start: A B\nA: \"a\" \"b\"\nB: \"c\"\n%ignore \" \"", "ab  c", 1},
    {"start: A B\nA: \"a\" \"b\"\nB: \"c\"\n%ignore \" \"", "a bc", -1},
    {"start: A B\nA: \"a\" \"b\"\nB: \"c\"\n%ignore \" \"", " abc", -1},
    {"start: A B\nA: \"a\" \"b\"\nB: \"c\"\n%ignore \" \"", "abc ", -1},
    {"start: x? (y | z)*\nx: \"x\"\ny: \"y\"\nz: \"z\"\n%ignore \" \"", " y", -1},
    {"start: x? (y | z)*\nx: \"x\"\ny: \"y\"\nz: \"z\"\n%ignore \" \"", "y z y", 1},
    {"start: x? (y | z)*\nx: \"x\"\ny: \"y\"\nz: \"z\"\n%ignore \" \"", "", 1},
    {"%llguidance {\"allow_initial_skip\": true}\nstart: \"a\" \"b\"\n%ignore \" \"", " a b", 1},
    {"%llguidance {\"ignore_once\": true}\nstart: \"a\" \"b\"\n%ignore \" \"", "a  b", -1},
    {"start: \"a\" \"\" X\nX: \"b\"?\n%ignore \" \"", "a ", 0},
    {"start: \"a\" \"\" X\nX: \"b\"?\n%ignore \" \"", "a b", 1},
    {"start: \"a\" \"\" X\nX: \"b\"?\n%ignore \" \"", "a", 1},
    {sums, "1 + 2*( 3.5)", 1},
    {sums, "1 + ", 0},
    {sums, " 1", -1},
    {sums, "1 + * 2", -1},
    {escaped, "[\"a\\\"b\", 12]", 1},
    {escaped, "[ ]", 1},
    {escaped, "[12,]", -1},
    /* lazy terminals */
    {"start: a \"z\"\na[lazy]: /[0-9]+/", "1z", 1},
    {"start: a \"z\"\na[lazy]: /[0-9]+/", "12z", -1},
    {"start: a \"z\"\na[capture, suffix=\"<e>\"]: /.*/", "1<e>z", 1},
    {"start: a \"z\"\na[capture=\"x\", suffix=\"<e>\"]: /.*/", "1<e>2<e>z", -1},
    {calls, "some <f=f>12</f> more", 1},
    {calls, "some <f=g", -1},
    /* schemas and substrings */
    {"start: \"call \" %json {\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]} | \"}\"", "call {\"a\":1}", 1},
    {"start: \"call \" %json {\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]} | \"}\"", "call {}", -1},
    {"start: x | \"(\" start \")\"\nx: %json {\"enum\":[\"}\",2]}", "((2))", 1},
    {"start: %regex {\"substring_words\": \"foo bar. baz\"}", " bar.", 1},
    {"start: %regex {\"substring_words\": \"foo bar. baz\"}", "fo", 0},
    {"start: %regex {\"substring_chars\": \"abcd\"}", "bc", 1},
    {"start: %regex {\"substring_chars\": \"abcd\"}", "ac", -1},
    {"start: %regex {\"substring_chunks\": [\"abc\", \"de\"]}", "abcde", 1},
    {"start: %regex {\"substring_chunks\": [\"abc\", \"de\"]}", "", 1},
};

static void texts_are_read_as_the_rules_say(void **state)
{
    (void)state;
    assert_readings(ctx, AIOS_GRAMMAR_LARK, readings, sizeof readings / sizeof *readings);
}

static const refusal refusals[] = {
    {"", AIOS_ESCHEMA, "start"},
    {"start: x", AIOS_ESCHEMA, "line 1, column 8: no rule is called x"},
    {"start: \"a\"\nstart: \"b\"", AIOS_ESCHEMA, "line 2, column 1: start is defined twice"},
    {"start \"a\"", AIOS_ESCHEMA, "line 1, column 7: a : is missing"},
    {"start: \"a", AIOS_ESCHEMA, "line 1, column 8: the end of this string"},
    {"start: \"\\q\"", AIOS_ESCHEMA, "line 1, column 10: this is no escape"},
    {"start: \"\\ud800\"", AIOS_ESCHEMA, "half of a surrogate pair"},
    {"start: /a(/", AIOS_ESCHEMA, "line 1, column 8: at byte 2: a ) is missing"},
    {"start: /a(?=b)/", AIOS_ENOTSUP, "look-ahead"},
    {"start: /a(?U)b/", AIOS_ENOTSUP, "this flag"},
    {"start: /[a&&b]/", AIOS_ENOTSUP, "operations on classes"},
    {"start: /a/m", AIOS_ENOTSUP, "flags m and l"},
    {"start: \"b\"..\"a\"", AIOS_ESCHEMA, "line 1, column 8: this range ends before"},
    {"start: \"ab\"..\"c\"", AIOS_ESCHEMA, "one character"},
    {"start: \"a\"i..\"z\"", AIOS_ENOTSUP, "line 1, column 8: ends of ranges have no flag i"},
    {"start: \"a\"..\"z\"i", AIOS_ENOTSUP, "line 1, column 13: ends of ranges have no flag i"},
    {"start: \"a\"~3..2", AIOS_ESCHEMA, "line 1, column 11: this repeat ends before"},
    {"start: (\"a\"", AIOS_ESCHEMA, "line 1, column 8: the end of this group"},
    {"start: (\"a\"]", AIOS_ESCHEMA, "line 1, column 12: this bracket closes nothing"},
    {"start: * \"a\"", AIOS_ESCHEMA, "line 1, column 8: a string, an expression"},
    {"start: \"a\" & \"b\"", AIOS_ESCHEMA, "line 1, column 12: & joins parts of terminals"},
    {"?start: !x\n", AIOS_ESCHEMA, "line 1, column 9: ! and ? stand before the name of a rule"},
    {"start: A\nA: b\nb: \"x\"", AIOS_ESCHEMA, "line 2, column 4: a rule can be no part of a terminal"},
    {"start: A\nA: \"x\" A?", AIOS_ESCHEMA, "line 2, column 1: terminal A needs itself"},
    {"start: A\nA: %json {}", AIOS_ESCHEMA, "line 2, column 4: a schema can be no part"},
    {"start: %json {\"type\":\"stri\"}", AIOS_ESCHEMA, "line 1, column 14"},
    {"start: %json [", AIOS_ESCHEMA, "a JSON object is missing"},
    {"start: %regex {\"other\": 1}", AIOS_ENOTSUP, "substring_chunks"},
    {"start: <|im_end|>", AIOS_ENOTSUP, "line 1, column 8: special tokens"},
    {"start: <[1-5]>", AIOS_ENOTSUP, "special tokens"},
    {"start: @other", AIOS_ENOTSUP, "no other grammars"},
    {"start: %lark { }", AIOS_ENOTSUP, "only %json and %regex"},
    {"start: x{\"a\"}\nx: \"b\"", AIOS_ENOTSUP, "templates"},
    {"start: x::1\nx: \"b\"", AIOS_ENOTSUP, "parameters"},
    {"start: a\na.2: \"x\"", AIOS_ENOTSUP, "line 2, column 2: parameters, templates and priorities"},
    {"start[max_tokens=3]: /a*/", AIOS_ENOTSUP, "line 1, column 7: stop, max_tokens and temperature"},
    {"start[stop=\"x\"]: /a*/", AIOS_ENOTSUP, "use suffix or lazy"},
    {"start[other]: /a*/", AIOS_ESCHEMA, "this is no attribute"},
    {"%import common.NONE\nstart: NONE", AIOS_ESCHEMA, "line 1, column 16: the library common has no NONE"},
    {"%import other.INT\nstart: INT", AIOS_ENOTSUP, "the only library"},
    {"%declare X\nstart: X", AIOS_ENOTSUP, "%ignore, %import and %llguidance"},
    {"%llguidance {\"allow_invalid_utf8\": true}\nstart: \"a\"", AIOS_ENOTSUP, "of these options"},
    {"start: \"a\"\n%llguidance {\"ignore_once\": 1}", AIOS_ESCHEMA, "line 2, column 1: allow_initial_skip and ignore_once are true or false"},
    {"%llguidance {\"allow_initial_skip\": \"true\"}\nstart: \"a\"", AIOS_ESCHEMA, "line 1, column 1: allow_initial_skip"},
    {"start: start \"a\"", AIOS_ESCHEMA, "line 1, column 1: rule start has no sentence"},
    {"start: A\nA: \"a\" & \"b\"", AIOS_ESCHEMA, "no sentence"},
    {"start: $", AIOS_ESCHEMA, "line 1, column 8: this is no word"},
};

static void what_is_wrong_or_not_supported_is_named_with_line_and_column(void **state)
{
    (void)state;
    assert_refusals(ctx, AIOS_GRAMMAR_LARK, refusals, sizeof refusals / sizeof *refusals);
}

static void hostile_grammars_end_with_a_code_in_bounded_time_and_memory(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        int n;
        const char *each, *after;
        int code;
    } rows[] = {
        {"start: ", 60000, "(", "\"a\"", AIOS_ELIMIT},
        {"start: /", 60000, "(", "a/", AIOS_ELIMIT},
        {"start: ", 60000, "~", "\"a\"", 0},
        {"start: \"a\"", 900, "{1000}", "", 0},
        {"start: A\nA: \"a\"", 900, "{1000}", "", AIOS_ELIMIT},
        {"start: \"a\"", 40000, " | \"b\" start", "", 0},
        {"start: ", 20000, "\"a\"? ", "start?\n%ignore \" \"", AIOS_ELIMIT},
        {"start: A\nA: /", 100000, "[ab]?", "/", 0},
        {"start: %json ", 300000, "[", "", AIOS_ESCHEMA},
        {"start: %regex {\"substring_chars\":\"", 450, "a", "\"}", 0},
        {"start: %regex {\"substring_chars\":\"", 2000, "a", "\"}", AIOS_ELIMIT},
        {"start: \"", 1100000, "a", "\"", AIOS_ELIMIT},
        {"start: ", 500000, "x", "", AIOS_ESCHEMA},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_many_end_soon(AIOS_GRAMMAR_LARK, rows[i].before, rows[i].n, rows[i].each, rows[i].after, rows[i].code, rows[i].before);
}

/* Each defined and all but the first never used. */
static void too_many_rules_are_refused(void **state)
{
    (void)state;
    enum { RULES = 50001 };
    char *text = malloc(RULES * 16), *p = text;
    assert_non_null(text);
    p = stpcpy(p, "start: \"a\"\n");
    for (int i = 1; i < RULES; i++)
        p += sprintf(p, "x%d: \"a\"\n", i);
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_LARK, text, AIOS_CSTR, &g, &err), AIOS_ELIMIT);
    assert_null(g);
    assert_non_null(strstr(err.msg, "rules"));
    free(text);
}

static int compile_all(aios_ctx *c, aios_error *err)
{
    static const char grammar[] = "%import common.INT\n%ignore /[ ]+/\nstart: e | %json {\"enum\":[1,2]}\ne: e \"+\" t | t\nt: INT | \"(\" e \")\" | x\n"
                                  "x[lazy]: /[a-z]*/ & ~\"ab\" \";\"\n";
    return compile_and_read(c, AIOS_GRAMMAR_LARK, grammar, "", err);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    refuse_every_allocation(compile_all, true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_the_rules_say),
        cmocka_unit_test(what_is_wrong_or_not_supported_is_named_with_line_and_column),
        cmocka_unit_test(hostile_grammars_end_with_a_code_in_bounded_time_and_memory),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
