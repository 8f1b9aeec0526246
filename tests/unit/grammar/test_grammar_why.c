/* SPDX-License-Identifier: Apache-2.0 */
/* A schema without values is refused with the place and the keywords that say so. */
#include <time.h>

#include "grammar_test.h"
#include "shared_ctx.h"

static void refused(const char *schema, const char *why)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err), AIOS_ESCHEMA);
    assert_int_equal(err.code, AIOS_ESCHEMA);
    if (strcmp(err.msg, why))
        fail_msg("%s: %s\nand not %s", schema, err.msg, why);
}

static void two_keywords_are_named(void **state)
{
    (void)state;
    refused("{\"type\":\"integer\",\"minimum\":5,\"maximum\":3}",
            "schema #: no value can satisfy it: \"minimum\" and \"maximum\" contradict each other");
    refused("{\"type\":\"string\",\"minLength\":5,\"maxLength\":3}",
            "schema #: no value can satisfy it: \"minLength\" and \"maxLength\" contradict each other");
    refused("{\"type\":\"array\",\"contains\":{\"const\":1},\"items\":{\"enum\":[2]}}",
            "schema #: no value can satisfy it: \"contains\" and \"items\" contradict each other");
    refused("{\"type\":\"string\",\"enum\":[1,2]}",
            "schema #: no value can satisfy it: \"enum\" contradicts \"type\"");
}

static void one_keyword_is_named(void **state)
{
    (void)state;
    refused("{\"enum\":[]}",
            "schema #: no value can satisfy it: \"enum\" leaves none");
    refused("{\"allOf\":[{\"type\":\"string\"},{\"type\":\"integer\"}]}",
            "schema #: no value can satisfy it: \"allOf\" leaves none");
}

static void the_innermost_place_is_named(void **state)
{
    (void)state;
    refused("{\"type\":\"object\",\"properties\":{\"a\":false},\"required\":[\"a\"]}",
            "schema #/properties/a: no value can satisfy it: it is false");
    refused("{\"type\":\"object\",\"properties\":{\"b\":{},\"a\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"$ref\":\"#/$defs/x\"}}},\"required\":[\"b\",\"a\"],"
            "\"$defs\":{\"x\":{\"anyOf\":[{\"type\":\"integer\",\"exclusiveMinimum\":1,\"exclusiveMaximum\":2},{\"enum\":[]}]}}}",
            "schema #/$defs/x/anyOf/0: no value can satisfy it: \"exclusiveMinimum\" and \"exclusiveMaximum\" contradict each other");
    refused("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"],\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}}]}",
            "schema #: no value can satisfy it: its keywords contradict each other");
}

/* Members and items say nothing of values of other types. */
static void places_that_no_value_has_are_not_blamed(void **state)
{
    (void)state;
    refused("{\"type\":\"string\",\"properties\":{\"a\":false},\"required\":[\"a\"],\"minLength\":5,\"maxLength\":3}",
            "schema #: no value can satisfy it: \"minLength\" and \"maxLength\" contradict each other");
    refused("{\"type\":\"string\",\"contains\":false,\"minLength\":3,\"maxLength\":2}",
            "schema #: no value can satisfy it: \"minLength\" and \"maxLength\" contradict each other");
    refused("{\"required\":[\"child\"],\"properties\":{\"child\":{\"$ref\":\"#\"}},\"enum\":[]}",
            "schema #: no value can satisfy it: \"enum\" leaves none");
    refused("{\"minItems\":1,\"items\":{\"$ref\":\"#\"},\"type\":\"string\",\"minLength\":3,\"maxLength\":2}",
            "schema #: no value can satisfy it: \"minLength\" and \"maxLength\" contradict each other");
}

/* Seven choices of four each: 4^7 ways, of which one alone takes most of the steps of a schema. */
static void looking_for_the_reason_takes_no_longer_than_compiling(void **state)
{
    (void)state;
    static const char *const keys[] = {"if", "then", "else", "additionalProperties", "unevaluatedProperties"};
    char text[8000];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"type\":\"object\",\"minProperties\":1,\"enum\":[{\"z\":1}],\"required\":[\"b\"]");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        n += (size_t)snprintf(text + n, sizeof text - n, ",\"%s\":{\"allOf\":[", keys[k]);
        for (int i = 0; i < 7; i++) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"anyOf\":[", i ? "," : "");
            for (int j = 0; j < 4; j++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%s{\"required\":[\"%zu%d%d\"]}", j ? "," : "", k, i, j);
            n += (size_t)snprintf(text + n, sizeof text - n, "]}");
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "]}");
    }
    snprintf(text + n, sizeof text - n, "}");
    clock_t begin = clock();
    refused(text, "schema #: no value can satisfy it: its keywords contradict each other");
    assert_true(clock() - begin < 10 * CLOCKS_PER_SEC); /* far above what it takes, far below what all trials would */
}

static void endless_recursion_is_told_as_that(void **state)
{
    (void)state;
    refused("{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"next\"]}",
            "schema #: no value can satisfy it: every value would have to contain another of itself");
}

static void unknown_keywords_are_refused_where_that_is_asked_for(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{\"tpye\":\"string\"}", "schema #: \"tpye\" is not a keyword: did you mean \"type\"?"},
        {"{\"properties\":{\"a\":{\"minimun\":1}}}", "schema #/properties/a: \"minimun\" is not a keyword: did you mean \"minimum\"?"},
        {"{\"colour\":1}", "schema #: \"colour\" is not a keyword, and unknown ones are refused here"},
        {"{\"x-colour\":1,\"properties\":{\"tpye\":{}}}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        int rc = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_STRICT, rows[i][0], AIOS_CSTR, &g, &err);
        assert_int_equal(rc, rows[i][1] ? AIOS_ESCHEMA : AIOS_OK);
        if (rc)
            assert_string_equal(err.msg, rows[i][1]);
        aios_grammar_free(g);
        aios_grammar_free(compiled(ctx, AIOS_GRAMMAR_SCHEMA, rows[i][0]));
    }
    aios_grammar *g = NULL;
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX | AIOS_GRAMMAR_STRICT, "a", 1, &g, NULL), AIOS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_keywords_are_named),
        cmocka_unit_test(one_keyword_is_named),
        cmocka_unit_test(the_innermost_place_is_named),
        cmocka_unit_test(places_that_no_value_has_are_not_blamed),
        cmocka_unit_test(looking_for_the_reason_takes_no_longer_than_compiling),
        cmocka_unit_test(endless_recursion_is_told_as_that),
        cmocka_unit_test(unknown_keywords_are_refused_where_that_is_asked_for),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
