/* SPDX-License-Identifier: Apache-2.0 */
#include "grammar_test.h"
#include "shared_ctx.h"

#include "llm/call_format.h"
#include "llm/llm.h"

#define STRING_X "\"type\":\"string\""
static const reading readings[] = {
    {"{\"type\":\"boolean\"}", "true", 1},
    {"{\"type\":\"boolean\"}", "tr", 0},
    {"{\"type\":\"boolean\"}", "null", -1},
    {"{\"type\":\"integer\"}", "0", 1},
    {"{\"type\":\"integer\"}", "-12", 1},
    {"{\"type\":\"integer\"}", "-0", -1},
    {"{\"type\":\"integer\"}", "01", -1},
    {"{\"type\":\"integer\"}", "1.5", -1},
    {"{\"type\":\"integer\"}", "123456789012345678", -1},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "120", 1},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "121", -1},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "13", 1},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "130", -1},
    {"{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "-6", -1},
    {"{\"type\":\"integer\",\"minimum\":30,\"maximum\":120}", "2", -1},
    {"{\"type\":\"integer\",\"minimum\":30,\"maximum\":120}", "3", 0},
    {"{\"type\":\"integer\",\"minimum\":30,\"maximum\":120}", "1", 0},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":2,\"exclusiveMaximum\":4}", "3", 1},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":2,\"exclusiveMaximum\":4}", "4", -1},
    {"{\"type\":\"integer\",\"minimum\":9223372036854775807}", "9223372036854775807", 1},
    {"{\"type\":\"integer\",\"minimum\":9223372036854775807}", "9223372036854775806", -1},
    {"{\"type\":\"integer\",\"exclusiveMaximum\":1e300}", "9", 1},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":-1e300}", "-9", 1},
    {"{\"type\":\"integer\",\"exclusiveMinimum\":-9223372036854775807,\"maximum\":-9223372036854775806}", "-9223372036854775806", 1},
    {"{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10,\"maximum\":20}", "14", 1},
    {"{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10,\"maximum\":20}", "2", -1},
    {"{\"type\":\"number\"}", "-1.5e-7", 1},
    {"{\"type\":\"number\"}", "1.", 0},
    {"{\"type\":\"number\"}", ".5", -1},
    {"{\"type\":\"number\"}", "1e999", -1},
    {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":1.25}", "1.25", 1},
    {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":1.25}", "1.26", -1},
    {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":1.25}", "0", 0},
    {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":1.25}", "0.4", -1},
    {"{\"type\":\"number\",\"minimum\":0.5,\"maximum\":1.25}", "0.75", 1},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "0", 0},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "0.0", 0},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "0.01", 1},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "1", -1},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"maximum\":-1}", "-2.5", 1},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"maximum\":-1}", "-2.6", -1},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"maximum\":-1}", "-0", -1},
    {"{\"type\":\"number\",\"minimum\":-2.5,\"maximum\":-1}", "1", -1},
    {"{" STRING_X "}", "\"a\\u00e9\\n\xc3\xa9\"", 1},
    {"{" STRING_X "}", "\"\n", -1},
    {"{" STRING_X "}", "\"\\u0000", -1},
    {"{" STRING_X "}", "\"\\ud83d\\ude00\"", 1},
    {"{" STRING_X "}", "\"\\ud83dx", -1},
    {"{" STRING_X "}", "\"\\ude00", -1},
    {"{" STRING_X "}", "\"\xc3\x28", -1},
    {"{" STRING_X "}", "\"\xed\xa0\x80", -1},
    {"{" STRING_X ",\"minLength\":2,\"maxLength\":3}", "\"a\"", -1},
    {"{" STRING_X ",\"minLength\":2,\"maxLength\":3}", "\"a\xc3\xa9\"", 1},
    {"{" STRING_X ",\"minLength\":2,\"maxLength\":3}", "\"\\ud83d\\ude00bc\"", 1},
    {"{" STRING_X ",\"minLength\":2,\"maxLength\":3}", "\"abcd", -1},
    {"{" STRING_X ",\"maxLength\":1000000000}", "\"abcd\"", 1},
    {"{\"enum\":[1,10,\"a\",null,{\"k\":[1]}]}", "1", 1},
    {"{\"enum\":[1,10,\"a\",null,{\"k\":[1]}]}", "10", 1},
    {"{\"enum\":[1,10,\"a\",null,{\"k\":[1]}]}", "{\"k\":[1]}", 1},
    {"{\"enum\":[1,10,\"a\",null,{\"k\":[1]}]}", "11", -1},
    {"{\"enum\":[1,10,\"a\"],\"type\":\"integer\",\"not\":{\"const\":10}}", "10", -1},
    {"{\"const\":\"x\\\"y\"}", "\"x\\\"y\"", 1},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":2}", "[1,2]", 1},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":2}", "[]", -1},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":2}", "[1,2,", -1},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}", "[null]", 1},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}", "[null,", -1},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"maxItems\":1000000000}", "[null,null]", 1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"],\"type\":\"object\"}",
     "{\"b\":null}", 1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"],\"type\":\"object\"}",
     "{\"a\":null,\"b\":null,\"c\":null}", 1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"],\"type\":\"object\"}",
     "{\"c", -1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":\"null\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"],\"type\":\"object\"}",
     "{\"a\":null}", -1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"type\":\"object\"}", "{\"z", -1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"type\":\"object\"}", "{ ", -1},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"abc\":1,\"a\":2}", 1},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"ab\":1", -1},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"x\":1,\"ab", 0},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"x\":1,\"ab\"", -1},
    {"{\"properties\":{\"ab\":{\"type\":\"null\"}},\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}", "{\"x\":1,\"x\"", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":false,\"b\":true}}", "{\"a", -1},
    {"{\"type\":\"object\",\"required\":[\"q\"]}", "{\"q\":[1]}", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":1},\"c\":{\"const\":1}},\"minProperties\":2,\"maxProperties\":2}",
     "{\"c", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":1},\"c\":{\"const\":1}},\"minProperties\":2,\"maxProperties\":2}",
     "{\"a\":1,\"b\":1,", -1},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "\"x\"", 1},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "7", 1},
    {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}", "[", -1},
    {"{\"type\":[\"string\",\"null\"]}", "null", 1},
    {"{\"allOf\":[{\"type\":\"integer\",\"minimum\":3},{\"maximum\":5}]}", "6", -1},
    {"{\"allOf\":[{\"type\":\"integer\",\"minimum\":3},{\"maximum\":5}]}", "4", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     "{}", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":2}},\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
     "{\"b\":2}", 1},
    {"{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"l\":{\"$ref\":\"#/$defs/t\"}},\"additionalProperties\":false}}}",
     "{\"l\":{\"l\":{}}}", 1},
    {"true", "{\"a\":[1,{\"b\":null}]}", 1},
    {"{}", "[[[[[[[[", 0},
    {"{}", "[[[[[[[[[", -1},
    {"{\"type\":\"object\"}", "{\"any\":\"thing\"}", 1},
};

static void texts_are_read_as_the_table_says(void **state)
{
    (void)state;
    assert_readings(ctx, AIOS_GRAMMAR_SCHEMA, readings, sizeof readings / sizeof *readings);
}

/* A tool list, the vocabulary of all single bytes and some words, and greedy nonsense: what comes out is a call. */
static const char *const words[] = {"name", "\": \"", "{\"", "hello", "}", "</tool_call>", "argu", "ments", "\xc3\xa9", "\xc3", "42", "\",\""};
static const char *piece(void *user, int32_t id, size_t *n)
{
    static char bytes[256];
    (void)user;
    if (id < 256) {
        bytes[id] = (char)id;
        *n = 1;
        return &bytes[id];
    }
    *n = strlen(words[id - 256]);
    return words[id - 256];
}
#define N_VOCAB (256 + (uint32_t)(sizeof words / sizeof *words))

static const aios_tool_def tools[] = {
    {sizeof(aios_tool_def), "get_time", NULL, NULL},
    {sizeof(aios_tool_def), "get_weather", NULL,
     "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":20},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14}},"
     "\"required\":[\"city\"]}"},
};

static aios_grammar *calls(const char *only, uint32_t max)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    if (aios__grammar_calls(ctx, tools, sizeof *tools, 2, only, aios__call_format_named("hermes"), max, &g, &err))
        fail_msg("%s", err.msg);
    return g;
}

static void calls_name_a_tool_and_satisfy_its_schema(void **state)
{
    (void)state;
    const char *one = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 3}}\n</tool_call>";
    aios_grammar *g = calls(NULL, 1);
    assert_int_equal(read_by(g, one, AIOS_CSTR), 1);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>", AIOS_CSTR), 1);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {\"", AIOS_CSTR), -1);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {}", AIOS_CSTR), -1);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_rain", AIOS_CSTR), -1);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n", AIOS_CSTR), -1);
    aios_grammar_free(g);
    g = calls("get_time", 2);
    assert_int_equal(read_by(g, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>", AIOS_CSTR), 1);
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w;
    char forced[256] = {0};
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    assert_true(aios_walk_forced(w, forced, sizeof forced - 1) > 0);
    assert_string_equal(forced, "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>");
    aios_walk_free(w);
    aios_grammar_free(g);
}

static void a_mask_holds_exactly_the_tokens_that_the_walk_accepts(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__trie *t = NULL;
    uint32_t bits[(N_VOCAB + 31) / 32], n, seed = 7;
    int32_t only;
    assert_int_equal(aios__trie_new(ctx, N_VOCAB, piece, NULL, &t, &err), 0);
    for (int run = 0; run < 20; run++) {
        aios_grammar *g = calls(NULL, 2);
        aios_walk *w = NULL, *c = NULL;
        assert_int_equal(aios_walk_new(g, &w, &err), 0);
        for (int step = 0; step < 300; step++) {
            uint32_t count = 0, pick = UINT32_MAX;
            assert_int_equal(aios__walk_mask(w, t, bits, &n, &only, &err), 0);
            for (uint32_t id = 0; id < N_VOCAB; id++) {
                size_t len;
                const char *s = piece(NULL, (int32_t)id, &len);
                assert_int_equal(aios_walk_copy(w, &c, &err), 0);
                int ok = !aios_walk_accept(c, s, len, &err);
                aios_walk_free(c);
                if (ok != (int)(bits[id / 32] >> id % 32 & 1))
                    fail_msg("token %u: walk says %d", id, ok);
                count += (uint32_t)ok;
                seed = seed * 1664525u + 1013904223u;
                if (ok && (pick == UINT32_MAX || (seed >> 16) % count == 0))
                    pick = id;
            }
            assert_int_equal(count, n);
            assert_int_equal(only, n == 1 ? (int32_t)pick : -1);
            if (!n) {
                assert_int_equal(aios_walk_complete(w), 1);
                break;
            }
            size_t len;
            const char *s = piece(NULL, (int32_t)pick, &len);
            assert_int_equal(aios_walk_accept(w, s, len, &err), 0);
        }
        aios_walk_free(w);
        aios_grammar_free(g);
    }
    aios__trie_free(t);
}

static void a_regular_expression_is_walked_as_raw_text(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    char forced[16];
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX, "v\\d{1,3}(\\.\\d{1,3}){2}", AIOS_CSTR, &g, &err), 0);
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    assert_int_equal(aios_walk_forced(w, forced, sizeof forced), 1);
    assert_int_equal(aios_walk_accept(w, "v1.20", AIOS_CSTR, &err), 0);
    assert_int_equal(aios_walk_complete(w), 0);
    assert_int_equal(aios_walk_accept(w, ".x", AIOS_CSTR, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_walk_accept(w, ".300", AIOS_CSTR, &err), 0);
    assert_int_equal(aios_walk_complete(w), 1);
    assert_int_equal(aios_walk_forced(w, forced, sizeof forced), 0);
    aios_walk_free(w);
    aios_grammar_free(g);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX, "a(?=b)c", AIOS_CSTR, &g, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX, "(a)\\1", AIOS_CSTR, &g, &err), AIOS_ENOTSUP);
}

static void bounds_beyond_all_integers_leave_none(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        "{\"type\":\"integer\",\"exclusiveMaximum\":-1e300}",
        "{\"type\":\"integer\",\"exclusiveMinimum\":1e300}",
        "{\"type\":\"integer\",\"exclusiveMaximum\":-9223372036854775807}",
        "{\"type\":\"integer\",\"exclusiveMaximum\":-9223372036854775808}",
        "{\"type\":\"integer\",\"exclusiveMinimum\":9223372036854775807}",
        "{\"type\":\"number\",\"multipleOf\":0.5,\"exclusiveMaximum\":-1e300}",
        "{\"type\":\"number\",\"multipleOf\":0.5,\"exclusiveMaximum\":-9223372036854775807}",
    };
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        if (aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schemas[i], AIOS_CSTR, &g, &err) != AIOS_ESCHEMA || g || !strstr(err.msg, "no value"))
            fail_msg("%s: %s", schemas[i], err.msg);
    }
}

static const reading complete[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"b\":\"x\",\"a\":1}", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"\\u0061\":1.0}", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"zz\":null,\"a\":10e-1}", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"a\":1,\"\\u0061\":2}", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"b\":\"x\"}", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}", "{\"a\":1.5}", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":false}", "{}", 1},
    {"{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"b\":1}", -1},
    {"{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\":[{\"x\":[[[[[[[[[[1]]]]]]]]]]}]}", 1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "1.0", 1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "100e-2", 1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "\"\\u0061\\u00e9\"", 1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "{\"y\":[2.0],\"x\":1}", 1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "{\"x\":1}", -1},
    {"{\"enum\":[1,\"a\\u00e9\",{\"x\":1,\"y\":[2]}]}", "2", -1},
    {"{\"type\":\"string\",\"pattern\":\"^\\ud83d\\ude00+$\"}", "\"\\ud83d\\ude00\"", 1},
    {"{\"type\":\"string\",\"pattern\":\"^\\ud83d\\ude00+$\"}", "\"\\u0041\"", -1},
    {"{\"type\":\"string\",\"pattern\":\"^\\ud83d\\ude00+$\"}", "\"\\ud83d\\ude01\"", -1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "0.07", 1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "7e-2", 1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "0.075", -1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "1e400", -1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "\"x\"", 1},
    {"{\"multipleOf\":0.01,\"maximum\":1}", "-12345678901234567890.12", 1},
    {"{\"uniqueItems\":true}", "[1,1.0]", -1},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", -1},
    {"{\"uniqueItems\":true}", "[0,-0]", -1},
    {"{\"uniqueItems\":true}", "[1,true,\"1\"]", 1},
    {"{\"uniqueItems\":true}", "[\"a\",\"\\u0061\"]", -1},
    {"{\"anyOf\":[{\"properties\":{\"a\":true},\"required\":[\"a\"]},{\"properties\":{\"b\":true},\"required\":[\"b\"]}],\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":1}", 1},
    {"{\"anyOf\":[{\"properties\":{\"a\":true},\"required\":[\"a\"]},{\"properties\":{\"b\":true},\"required\":[\"b\"]}],\"unevaluatedProperties\":false}", "{\"a\":1,\"c\":1}", -1},
    {"{\"anyOf\":[{\"properties\":{\"a\":true},\"required\":[\"a\"]},{\"properties\":{\"b\":true},\"required\":[\"b\"]}],\"unevaluatedProperties\":false}", "{\"b\":1}", 1},
    {"{\"not\":{\"type\":\"integer\"}}", "1.5", 1},
    {"{\"not\":{\"type\":\"integer\"}}", "2.0", -1},
    {"{\"not\":{\"type\":\"integer\"}}", "1e1", -1},
    {"{\"not\":{\"type\":\"integer\"}}", "1e-1", 1},
};

static void complete_grammars_read_all_that_the_schema_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof complete / sizeof *complete; i++) {
        aios_grammar *g = compiled(ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_COMPLETE, complete[i].grammar);
        int got = read_by(g, complete[i].text, AIOS_CSTR); /* a number may go on behind what is no value yet */
        if ((got == 1) != (complete[i].result == 1))
            fail_msg("%s\n%s: %d, %d expected", complete[i].grammar, complete[i].text, got, complete[i].result);
        aios_grammar_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_grammars_read_all_that_the_schema_allows),
        cmocka_unit_test(a_regular_expression_is_walked_as_raw_text),
        cmocka_unit_test(bounds_beyond_all_integers_leave_none),
        cmocka_unit_test(texts_are_read_as_the_table_says),
        cmocka_unit_test(calls_name_a_tool_and_satisfy_its_schema),
        cmocka_unit_test(a_mask_holds_exactly_the_tokens_that_the_walk_accepts),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
