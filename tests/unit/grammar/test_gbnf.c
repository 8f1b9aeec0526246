/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar_test.h"
#include "shared_ctx.h"

#include "llm/llm.h"

static const char arithmetic[] = "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= ident | num | \"(\" ws expr \")\" ws\n"
                                 "ident ::= [a-z] [a-z0-9_]* ws\nnum ::= [0-9]+ ws\nws ::= [ \\t\\n]*\n";
static const char json[] = "root   ::= object\nvalue  ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
                           "object ::=\n  \"{\" ws (\n            string \":\" ws value\n    (\",\" ws string \":\" ws value)*\n  )? \"}\" ws\n"
                           "array  ::=\n  \"[\" ws (\n            value\n    (\",\" ws value)*\n  )? \"]\" ws\n"
                           "string ::=\n  \"\\\"\" (\n    [^\"\\\\\\x7F\\x00-\\x1F] |\n    \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}) # escapes\n  )* \"\\\"\" ws\n"
                           "number ::= (\"-\"? ([0-9] | [1-9] [0-9]{0,15})) (\".\" [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws\n"
                           "# Optional space\nws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";
static const char sums[] = "root ::= sum\nsum ::= sum \"+\" product | product\nproduct ::= product \"*\" factor | factor\nfactor ::= \"(\" sum \")\" | [0-9]+";
static const char hidden[] = "root ::= sign root \"a\" | \"b\"\nsign ::= \"-\"?";

static const reading readings[] = {
    /* literals and their escapes */
    {"root ::= \"\\x41\\u00e9\\U0001F600\\t\\r\\n\\\\\\\"\\[\\]\"", "A\xc3\xa9\xf0\x9f\x98\x80\t\r\n\\\"[]", 1},
    {"root ::= \"\\xe9\"", "\xc3\xa9", 1},
    {"root ::= \"\"", "", 1},
    {"root ::= \"ab\"", "a", 0},
    {"root ::= \"ab\"", "ac", -1},
    /* classes */
    {"root ::= [a-c\\]\\-x]", "]", 1},
    {"root ::= [a-c\\]\\-x]", "-", 1},
    {"root ::= [a-c-]", "-", 1},
    {"root ::= [a-c]", "d", -1},
    {"root ::= [^a-c\\n]", "\xe3\x81\x82", 1},
    {"root ::= [^a-c\\n]", "\xe3\x81", 0},
    {"root ::= [^a-c\\n]", "\n", -1},
    {"root ::= [^a-c\\n]", "\xff", -1},
    {"root ::= [\xe3\x81\x81-\xe3\x82\x9f]", "\xe3\x81\xae", 1},
    {"root ::= [\xe3\x81\x81-\xe3\x82\x9f]", "\xe3\x82\xa2", -1},
    {"root ::= .", "\n", 1},
    /* where rules end */
    {"# first\n\nroot ::= (\"a\" # one\n  | \"b\"\n)\n# last", "b", 1},
    {"root ::= \"a\" |\n  \"b\"", "b", 1},
    {"root ::=\n  \"a\" x_1\r\nx_1 ::= \"c\"", "ac", 1},
    {"A-1 ::= \"a\"\nroot ::= A-1 A-1", "aa", 1},
    /* repeats */
    {"root ::= \"a\"* \"b\"+ \"c\"?", "aabbc", 1},
    {"root ::= \"a\"* \"b\"+ \"c\"?", "aa", 0},
    {"root ::= \"a\"{2}", "aaa", -1},
    {"root ::= \"a\"{2,}", "aaa", 1},
    {"root ::= \"a\"{2,}", "a", 0},
    {"root ::= \"a\"{,2}", "", 1},
    {"root ::= \"a\"{,2}", "aaa", -1},
    {"root ::= \"a\"{ 1 , 2 } \"b\"", "aab", 1},
    {"root ::= (\"(\" root \")\"){2,3} | \"x\"", "(x)(x)(x)", 1},
    {"root ::= (\"(\" root \")\"){2,3} | \"x\"", "(x)", 0},
    {"root ::= (\"(\" root \")\"){2,3} | \"x\"", "(x)(x)(x)(", -1},
    {"root ::= (\"(\" root \")\"){0} \"x\"", "(", -1},
    {"root ::= (\"a\"? root?)* \"b\"", "aab", 1},
    {"root ::= (\"a\"{1000}){1000} | \"b\"", "aaa", 0},
    /* recursion */
    {"root ::= \"(\" root \")\" | \"x\"", "((x))", 1},
    {"root ::= \"(\" root \")\" | \"x\"", "((x)", 0},
    {"root ::= \"(\" root \")\" | \"x\"", "(x))", -1},
    {"root ::= \"a\" root | \"b\"", "aaab", 1},
    /* on the left: of itself, through others, behind what may be empty */
    {"root ::= root \"a\" | \"b\"", "baa", 1},
    {"root ::= root \"a\" | \"b\"", "ab", -1},
    {"root ::= root | \"a\"", "a", 1},
    {"root ::= root root | \"a\" | \"\"", "aaa", 1},
    {"root ::= x \"c\"\nx ::= y \"a\" | \"q\"\ny ::= x \"b\" | \"r\"", "rabac", 1},
    {"root ::= x \"c\"\nx ::= y \"a\" | \"q\"\ny ::= x \"b\" | \"r\"", "qbc", -1},
    {sums, "(1+2)*3", 1},
    {sums, "1+", 0},
    {sums, "1+*", -1},
    {"root ::= root \"+\" root | \"-\" root | \"n\"", "n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+n+-n+n+n+n+n", 1},
    {hidden, "-ba", 1},
    {hidden, "--baa", 1},
    {hidden, "--ba", 0},
    {hidden, "baa", 1},
    {"root ::= (root \"b\"){0,2} \"a\"", "abaabaaa", -1},
    {"root ::= (root \"b\"){0,2} \"a\"", "ababa", 1},
    {"root ::= root{2} \"a\" | \"b\"", "bba", 1},
    {"root ::= root{2} \"a\" | \"b\"", "bbabbaa", 1},
    {"root ::= root{2} \"a\" | \"b\"", "baa", -1},
    /* what has no sentence is no dead end */
    {"root ::= \"a\" never | \"b\"\nnever ::= \"c\" never", "a", -1},
    {"root ::= \"a\" never? \"d\"\nnever ::= \"c\" never", "ad", 1},
    {"root ::= \"a\" never? \"d\"\nnever ::= \"c\" never", "ac", -1},
    /* whole grammars */
    {arithmetic, "(a+12)*b =x\n", 1},
    {arithmetic, "a=1\nb", 0},
    {arithmetic, "a=1\n=", -1},
    {json, "{\"a\": [1, -2.5e3, \"\\u00e9\\n\"], \"b\": {\"c\": null}}\n", 1},
    {json, "{\"a\": [tru", 0},
    {json, "{\"a\" 1}", -1},
    {json, "{\"a\":01}", -1},
};

static void texts_are_read_as_the_rules_say(void **state)
{
    (void)state;
    assert_readings(ctx, AIOS_GRAMMAR_GBNF, readings, sizeof readings / sizeof *readings);
}

static const refusal refusals[] = {
    {"", AIOS_ESCHEMA, "root"},
    {"x ::= \"a\"", AIOS_ESCHEMA, "line 1, column 10: the rule called root"},
    {"root ::= \"a\"\n  b", AIOS_ESCHEMA, "line 2, column 4: ::= is missing"},
    {"root ::= \"a\" x", AIOS_ESCHEMA, "line 1, column 14: no rule is called x"},
    {"root ::= \"a\"\nroot ::= \"b\"", AIOS_ESCHEMA, "line 2, column 1: there is another rule called root"},
    {"root ::= \"a", AIOS_ESCHEMA, "line 1, column 10: the end of this literal"},
    {"root ::= \"\xc3\xa9\" \"\\q\"", AIOS_ESCHEMA, "line 1, column 16: this is no escape"},
    {"root ::= \"\\x4\"", AIOS_ESCHEMA, "a hexadecimal digit is missing"},
    {"root ::= \"\\ud800\"", AIOS_ESCHEMA, "the number of no character"},
    {"root ::= \"\\U00110000\"", AIOS_ESCHEMA, "the number of no character"},
    {"root ::= \"\xff\"", AIOS_ESCHEMA, "no valid UTF-8"},
    {"root ::= [a-", AIOS_ESCHEMA, "line 1, column 10: the end of this class"},
    {"root ::= [c-a]", AIOS_ESCHEMA, "ends before it begins"},
    {"root ::= []", AIOS_ESCHEMA, "no characters"},
    {"root ::= (\"a\"\n", AIOS_ESCHEMA, "line 1, column 10: the end of this group"},
    {"root ::= \"a\")", AIOS_ESCHEMA, "line 1, column 13: this ) closes nothing"},
    {"root ::= * \"a\"", AIOS_ESCHEMA, "line 1, column 10: there is nothing to repeat"},
    {"root ::= \"a\"{}", AIOS_ESCHEMA, "a number is missing"},
    {"root ::= \"a\"{1", AIOS_ESCHEMA, "a } is missing"},
    {"root ::= [a-\nx ::= [b]", AIOS_ESCHEMA, "line 1, column 10: the end of this class"},
    {"root ::= [x z-a]", AIOS_ESCHEMA, "line 1, column 13: this range ends before"},
    {"root ::= \"a\"{3,2}", AIOS_ESCHEMA, "line 1, column 13: this repeat ends"},
    {"root ::= \"a\" & \"b\"", AIOS_ESCHEMA, "line 1, column 14: this can be no part of a rule"},
    {"root ::= <[1000]>", AIOS_ENOTSUP, "line 1, column 10: tokens cannot be named"},
    {"root ::= !<think>", AIOS_ENOTSUP, "line 1, column 10: tokens cannot be named"},
    {"\nroot ::= root \"a\"", AIOS_ESCHEMA, "line 2, column 1: rule root has no sentence"},
    {"root ::= x\nx ::= \"a\" y\ny ::= \"b\" x", AIOS_ESCHEMA, "rule root has no sentence"},
};

static void what_is_wrong_is_named_with_line_and_column(void **state)
{
    (void)state;
    assert_refusals(ctx, AIOS_GRAMMAR_GBNF, refusals, sizeof refusals / sizeof *refusals);
}

/* ---- bad input ---------------------------------------------------------------------------------------------------- */

static void hostile_grammars_end_with_a_code_in_bounded_time_and_memory(void **state)
{
    (void)state;
    static const struct {
        const char *what, *before;
        int n;
        const char *each, *after;
        int code;
    } rows[] = {
        {"60,000 parentheses", "root ::= ", 60000, "(", "\"a\"", AIOS_ELIMIT},
        {"a chain of 10,000 rules", "root ::= r0\nr10000 ::= \"x\"\n", 10000, "r%d ::= \"a\" r%d\n", "", 0},
        {"a chain of 10,000 rules on the left", "root ::= r0\nr10000 ::= \"x\"\n", 10000, "r%d ::= \"b\" | r%d \"a\"\n", "", 0},
        {"a ring of 10,000 rules on the left", "root ::= r0\nr10000 ::= r0\n", 10000, "r%d ::= \"b\" | r%d \"a\"\n", "", 0},
        {"a sequence of 10,000 that may be empty", "root ::= ", 10000, "\"a\"? ", "root?", 0},
        {"200,000 alternatives", "root ::= \"a\"", 200000, " | root", "", AIOS_ELIMIT},
        {"repeats of repeats", "root ::= \"a\"", 900, "{1000}", "", 0},
        {"repeats without end", "root ::= \"a\"", 900, "*", "", 0},
        {"a name of 500,000 letters", "root ::= ", 500000, "x", "", AIOS_ESCHEMA},
        {"a million bytes", "root ::= \"", 1000000, "x", "\"", 0},
        {"too many bytes", "root ::= \"", 1100000, "x", "\"", AIOS_ELIMIT},
        {"60,000 ranges", "root ::= [^", 60000, "x-z", "]", 0},
        {"60,000 rules", "root ::= r0\n", 60000, "r%d ::= r%d\n", "", AIOS_ELIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_many_end_soon(AIOS_GRAMMAR_GBNF, rows[i].before, rows[i].n, rows[i].each, rows[i].after, rows[i].code, rows[i].what);
}

static void too_many_rules_that_begin_with_each_other_are_refused(void **state)
{
    (void)state;
    made_text t = {0};
    text_put(&t, "root ::= r0\n");
    for (int i = 0; i < 200; i++) {
        text_put(&t, "r%d ::= \"x\"", i);
        for (int k = 0; k < 200; k++)
            text_put(&t, " | r%d \"a\" r%d", k, (i + k) % 200);
        text_put(&t, "\n");
    }
    assert_ends_soon(AIOS_GRAMMAR_GBNF, &t, AIOS_ELIMIT, "200 rules of each other");
}

static int compile_all(aios_ctx *c, aios_error *err)
{
    static const char grammar[] = "root ::= n root \"a\" (\"x\" | y){2,300} | \"b\" | [^a-c]* \"zz\"\nn ::= \"-\"?\n"
                                  "y ::= \"1\" | \"2\" | \"3\" | (\"q\"? y? \"r\"?)";
    return compile_and_read(c, AIOS_GRAMMAR_GBNF, grammar, "", err);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    refuse_every_allocation(compile_all, true);
}

/* How many times `more` is read behind `first`, up to 3000, before it is too much; the message then has words of rules. */
static size_t read_again(const char *grammar, const char *first, const char *more, double *seconds)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = walk_of(ctx, AIOS_GRAMMAR_GBNF, grammar);
    struct timespec a, b;
    size_t n = 0;
    uint8_t mask[32];
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    int rc = aios_walk_accept(w, first, AIOS_CSTR, &err);
    for (; !rc && n < 3000; n++) {
        rc = aios_walk_accept(w, more, AIOS_CSTR, &err);
        rc = rc ? rc : aios_walk_next_bytes(w, mask);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    *seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    assert_int_equal(rc, AIOS_ELIMIT);
    rc = aios_walk_accept(w, more, AIOS_CSTR, &err);
    assert_int_equal(rc, AIOS_ELIMIT);
    assert_non_null(strstr(err.msg, "levels of precedence"));
    aios_walk_free(w);
    return n;
}

static void ambiguous_rules_are_read_far_and_end_soon(void **state)
{
    (void)state;
    double s;
    assert_true(read_again("root ::= e\ne ::= e \"+\" e | \"1\"\n", "1", "+1", &s) > 400);
    assert_true(s < 2);
    assert_true(read_again("root ::= s\ns ::= s s | \"a\" | \"\"\n", "a", "a", &s) > 400);
    assert_true(s < 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read_as_the_rules_say),
        cmocka_unit_test(what_is_wrong_is_named_with_line_and_column),
        cmocka_unit_test(hostile_grammars_end_with_a_code_in_bounded_time_and_memory),
        cmocka_unit_test(too_many_rules_that_begin_with_each_other_are_refused),
        cmocka_unit_test(ambiguous_rules_are_read_far_and_end_soon),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
