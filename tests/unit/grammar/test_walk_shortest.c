/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to the end of a sentence: whole wherever one begins, and short. */
#include "grammar_test.h"
#include "shared_ctx.h"

#include "grammar/grammar_mask.h"

/* Behind `begun` the way is exactly this. */
static void expect(int32_t kind, const char *text, const char *begun, const char *want)
{
    aios_error err = AIOS_INIT(aios_error);
    char out[256];
    size_t n;
    aios_walk *w = walk_of(ctx, kind, text);
    must(aios_walk_accept(w, begun, AIOS_CSTR, &err), &err);
    int rc = aios__walk_shortest(w, out, sizeof out - 1, &n, &err);
    out[n] = 0;
    if (rc)
        fail_msg("%s behind %s after %s: %s", text, begun, out, err.msg);
    assert_string_equal(out, want);
    must(aios_walk_accept(w, out, n, &err), &err);
    assert_true(aios_walk_complete(w));
    aios_walk_free(w);
}

static const char shop[] = "{\"type\":\"object\",\"properties\":{\"big\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]},"
                           "\"n\":{\"type\":\"integer\",\"minimum\":0},\"list\":{\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"x\",\"yellow\"]},\"minItems\":2}},"
                           "\"required\":[\"n\",\"list\"],\"additionalProperties\":false}";

static void what_is_open_is_closed(void **state)
{
    (void)state;
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\"}", "\"abc", "\"");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"minLength\":2},\"minItems\":2}", "[\"A", "0\",\"00\"]");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"integer\"}", "12", "");
    expect(AIOS_GRAMMAR_SCHEMA, "{}", "{\"a\":[[{\"b\":\"c", "\"}]]}");
    expect(AIOS_GRAMMAR_SCHEMA, shop, "{\"big\":{\"name\":\"", "\"},\"n\":0,\"list\":[\"x\",\"x\"]}");
}

static void what_is_required_comes_and_nothing_else(void **state)
{
    (void)state;
    expect(AIOS_GRAMMAR_SCHEMA, shop, "", "{\"n\":0,\"list\":[\"x\",\"x\"]}");
    expect(AIOS_GRAMMAR_SCHEMA, shop, "{\"n\":7,\"list\":[\"red\"", ",\"x\"]}");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"anyOf\":[{\"type\":\"string\",\"minLength\":50},{\"enum\":[null]}]}", "", "null");
}

static void blanks_stand_on_the_way_too(void **state)
{
    (void)state;
    expect(AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, shop, "", "{\"n\": 0, \"list\": [\"x\", \"x\"]}");
    expect(AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, shop, "{\"n\": 7,", " \"list\": [\"x\", \"x\"]}");
    expect(AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, shop, "{\"n\":", " 0, \"list\": [\"x\", \"x\"]}");
    expect(AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, "{}", "{\"a\": [[{\"b\": \"c", "\"}]]}");
}

static void text_under_a_pattern_ends(void **state)
{
    (void)state;
    expect(AIOS_GRAMMAR_REGEX, "[a-z]+@[a-z]+[.]org", "", "a@a.org");
    expect(AIOS_GRAMMAR_REGEX, "(?:ab){3}|x{2}", "", "xx");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"^[a-z]+@[a-z]+[.]org$\"}", "\"me@x", ".org\"");
}

/* As expect, for what has more than one shortest way: how long it is, how long it may take. */
static void expect_length(int32_t kind, const char *text, const char *begun, size_t want)
{
    aios_error err = AIOS_INIT(aios_error);
    char out[4096];
    size_t n;
    aios_walk *w = walk_of(ctx, kind, text);
    must(aios_walk_accept(w, begun, AIOS_CSTR, &err), &err);
    int rc = aios__walk_shortest(w, out, sizeof out, &n, &err);
    if (rc)
        fail_msg("%s behind %s: %s", text, begun, err.msg);
    must(aios_walk_accept(w, out, n, &err), &err);
    assert_true(aios_walk_complete(w));
    if (n != want)
        fail_msg("%s behind %s: %.*s is %zu bytes", text, begun, (int)n, out, n);
    aios_walk_free(w);
}

static void what_a_pattern_asks_for_somewhere_is_found(void **state)
{
    (void)state;
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"x.y\"}", "\"abc", "x0y\"");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"x.y\"}", "\"abcx", "0y\"");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"x.y\",\"minLength\":8}", "\"abc", "00x0y\"");
    expect_length(AIOS_GRAMMAR_REGEX, ".*k.{20}q", "kkkkkk", 16);
    expect_length(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"pattern\":\"x.y\",\"minLength\":3000}", "\"", 3001);
    expect_length(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"string\",\"allOf\":[{\"pattern\":\"x.y\"},{\"pattern\":\"[0-9]{4}\"},{\"pattern\":\"\\u00e9\"}]}", "\"a", 9);
    expect_length(AIOS_GRAMMAR_REGEX, ".*(cat|horse).{12}!", "no c", 15);
    expect_length(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"object\",\"patternProperties\":{\"x.y\":{\"type\":\"null\"}},\"additionalProperties\":false,\"minProperties\":1}", "{\"", 10);
    expect_length(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"x[ab]y\"},\"minItems\":2,\"uniqueItems\":true}", "[\"x", 11);
}

/* Writes {"const":[1,1,...]} of n ones. */
static char *ones(char *p, int n)
{
    p += sprintf(p, "{\"const\":[1");
    for (int i = 1; i < n; i++)
        p += sprintf(p, ",1");
    return p + sprintf(p, "]}");
}

/* Behind [1 the way is as long as that, whichever of the two comes first: n ones, and n_other ones or other. */
static void expect_either(int n, int n_other, const char *other, size_t want)
{
    char a[512], b[512], text[2048];
    ones(a, n);
    if (n_other)
        ones(b, n_other);
    else
        snprintf(b, sizeof b, "%s", other);
    snprintf(text, sizeof text, "{\"anyOf\":[%s,%s]}", a, b);
    expect_length(AIOS_GRAMMAR_SCHEMA, text, "[1", want);
    snprintf(text, sizeof text, "{\"anyOf\":[%s,%s]}", b, a);
    expect_length(AIOS_GRAMMAR_SCHEMA, text, "[1", want);
}

static void another_reading_may_be_closed_sooner(void **state)
{
    (void)state;
    expect_either(100, 0, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", 1);
    expect_either(100, 90, NULL, 179);
    expect_either(100, 0, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":90}", 179);
    expect_either(3, 0, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":60}", 5);
    expect_either(100, 0, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":4}", 7);
    expect_either(100, 0, "{\"const\":[12]}", 2);
    expect(AIOS_GRAMMAR_SCHEMA, "{\"anyOf\":[{\"const\":[12]},{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":50}]}",
           "[1", "2]");
    expect(AIOS_GRAMMAR_SCHEMA, "{\"anyOf\":[{\"const\":{\"a\":1,\"b\":\"a long text\"}},{\"type\":\"object\"}]}", "{\"a\":1", "}");
}

static void many_items_are_written(void **state)
{
    (void)state;
    expect_length(AIOS_GRAMMAR_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":150}", "[1", 299);
}

static void too_little_room_is_said(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char out[64];
    size_t n;
    aios_walk *w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, shop);
    assert_int_equal(aios__walk_shortest(w, out, 10, &n, &err), AIOS_ELIMIT);
    must(aios__walk_shortest(w, out, 24, &n, &err), &err);
    assert_int_equal(n, 24);
    aios_walk_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_open_is_closed),
        cmocka_unit_test(what_is_required_comes_and_nothing_else),
        cmocka_unit_test(blanks_stand_on_the_way_too),
        cmocka_unit_test(text_under_a_pattern_ends),
        cmocka_unit_test(what_a_pattern_asks_for_somewhere_is_found),
        cmocka_unit_test(another_reading_may_be_closed_sooner),
        cmocka_unit_test(many_items_are_written),
        cmocka_unit_test(too_little_room_is_said),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
