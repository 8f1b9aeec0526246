/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a grammar lets through must satisfy its schema; hostile schemas end in bounded time with a code. */
#include <math.h>

#include "grammar_test.h"
#include "shared_ctx.h"

#include "grammar/json_push.h"
#include "llm/llm.h"

static uint64_t rng;

static uint32_t roll(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

static const char *const schemas[] = {
    "true",
    "{\"properties\":{\"b\":{\"type\":\"integer\"}},\"if\":{\"properties\":{\"b\":{\"type\":\"string\"}}},\"then\":{\"type\":\"number\"},\"else\":{\"required\":[\"b\"]}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"anyOf\":[{\"properties\":{\"b\":{\"type\":\"integer\"}},\"required\":[\"b\"]},{\"patternProperties\":{\"^c\":{\"type\":\"null\"}}}],\"unevaluatedProperties\":false}",
    "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"string\"}}}],\"if\":{\"properties\":{\"a\":{\"const\":\"x\"}},\"required\":[\"a\"]},\"then\":{\"properties\":{\"b\":{\"type\":\"integer\"}}},\"unevaluatedProperties\":{\"type\":\"boolean\"},\"minProperties\":2}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"}],\"contains\":{\"type\":\"integer\"},\"unevaluatedItems\":{\"type\":\"null\"},\"minItems\":3}",
    "{\"type\":\"array\",\"anyOf\":[{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"integer\"}]},{\"prefixItems\":[{\"type\":\"string\"}]}],\"unevaluatedItems\":false,\"minItems\":1}",
    "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-c]{1,2}$\",\"not\":{\"enum\":[\"a\",\"bb\"]}},\"additionalProperties\":{\"type\":\"integer\"},\"minProperties\":4}",
    "{\"type\":\"array\",\"items\":{\"type\":[\"boolean\",\"null\"]},\"uniqueItems\":true,\"minItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":7,\"maximum\":12},\"uniqueItems\":true,\"minItems\":4}",
    "{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"boolean\"},{\"type\":\"string\",\"maxLength\":1,\"pattern\":\"^[ab]?$\"}]},\"uniqueItems\":true,\"maxItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"boolean\"},\"b\":{\"enum\":[1,2]}},\"required\":[\"a\",\"b\"],\"additionalProperties\":false},\"uniqueItems\":true,\"minItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"uniqueItems\":true,\"minItems\":1},\"uniqueItems\":true,\"minItems\":2}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\"},\"uniqueItems\":true,\"contains\":{\"minimum\":5},\"minItems\":2}",
    "{\"type\":\"number\",\"not\":{\"type\":\"integer\"},\"minimum\":-3,\"maximum\":12}",
    "{\"type\":\"number\",\"multipleOf\":0.01,\"minimum\":-2,\"exclusiveMaximum\":3.5}",
    "{\"type\":\"number\",\"multipleOf\":0.25,\"not\":{\"multipleOf\":0.5}}",
    "{\"type\":\"integer\",\"not\":{\"anyOf\":[{\"multipleOf\":2},{\"enum\":[1,3,5,-7]}]},\"minimum\":-9,\"maximum\":12}",
    "{\"type\":\"number\",\"not\":{\"enum\":[0,1,2.5]},\"minimum\":0,\"maximum\":2.5}",
    "{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"a\",\"b\"]},\"x\":{\"type\":\"integer\"},\"y\":{\"type\":\"string\"}},\"required\":[\"kind\"],\"if\":{\"properties\":{\"kind\":{\"const\":\"a\"}}},\"then\":{\"required\":[\"x\"]},\"else\":{\"required\":[\"y\"]}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"integer\"}},\"not\":{\"required\":[\"a\",\"b\"]},\"minProperties\":1}",
    "{\"type\":\"string\",\"not\":{\"anyOf\":[{\"enum\":[\"a\",\"b\"]},{\"pattern\":\"^x\"},{\"minLength\":6}]}}",
    "{\"oneOf\":[{\"type\":\"string\",\"minLength\":2},{\"type\":\"string\",\"maxLength\":3},{\"type\":\"integer\",\"minimum\":3},{\"type\":\"integer\",\"maximum\":5}]}",
    "{\"not\":{\"oneOf\":[{\"type\":\"object\"},{\"type\":[\"object\",\"array\",\"string\"]},{\"type\":\"number\"}]}}",
    "{\"type\":\"object\",\"patternProperties\":{\"^a\":{\"type\":\"integer\"},\"z$\":{\"maximum\":9}},\"additionalProperties\":{\"type\":\"boolean\"},\"minProperties\":2}",
    "{\"type\":\"object\",\"patternProperties\":{\"^[ab]$\":{\"type\":\"null\"}},\"additionalProperties\":false,\"minProperties\":2}",
    "{\"type\":\"object\",\"patternProperties\":{\"^(ab|abc|b)$\":{\"type\":\"null\"}},\"properties\":{\"b\":{\"type\":\"null\"}},\"additionalProperties\":false,\"minProperties\":3}",
    "{\"type\":\"object\",\"dependentRequired\":{\"a\":[\"b\"]},\"dependentSchemas\":{\"b\":{\"properties\":{\"a\":{\"const\":1}},\"required\":[\"c\"]}},\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"boolean\"}}}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"not\":{\"additionalProperties\":{\"type\":\"string\"}}}",
    "{\"type\":\"object\",\"not\":{\"patternProperties\":{\"^[ab]$\":{\"type\":\"string\"}}},\"additionalProperties\":{\"type\":[\"string\",\"null\"]}}",
    "{\"type\":\"array\",\"items\":{\"type\":[\"integer\",\"boolean\"]},\"contains\":{\"type\":\"boolean\"},\"minContains\":2,\"maxContains\":3,\"maxItems\":6}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"},{\"type\":\"integer\"}],\"items\":{\"type\":[\"boolean\",\"null\"]},\"contains\":{\"type\":\"boolean\"},\"minContains\":2,\"maxContains\":2,\"minItems\":4}",
    "{\"type\":\"array\",\"not\":{\"items\":{\"type\":\"string\"}},\"items\":{\"type\":[\"string\",\"integer\"]}}",
    "{\"type\":\"array\",\"not\":{\"contains\":{\"type\":\"string\"}},\"items\":{\"type\":[\"string\",\"integer\"]},\"minItems\":2}",
    "{\"type\":\"array\",\"contains\":{\"const\":\"x\"},\"allOf\":[{\"contains\":{\"type\":\"integer\"}}],\"maxItems\":2}",
    "{\"type\":[\"string\",\"integer\",\"null\"],\"maxLength\":3,\"maximum\":-7}",
    "{\"type\":\"string\",\"minLength\":4,\"maxLength\":9}",
    "{\"type\":\"integer\",\"minimum\":-1234567,\"maximum\":98765432109876543}",
    "{\"type\":\"integer\",\"multipleOf\":37,\"minimum\":-500,\"maximum\":100000}",
    "{\"type\":\"integer\",\"maximum\":-99999999999999999999}",
    "{\"type\":\"number\",\"minimum\":-0.001,\"maximum\":1234.5}",
    "{\"type\":\"number\",\"exclusiveMinimum\":0.1,\"exclusiveMaximum\":0.11}",
    "{\"type\":\"number\",\"exclusiveMinimum\":0}",
    "{\"type\":\"number\",\"exclusiveMaximum\":0}",
    "{\"type\":\"number\",\"minimum\":99.99}",
    "{\"enum\":[\"a\",\"ab\",1,12,123,1.5,[],[1],{\"a\":{}},null,true]}",
    "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"boolean\"},{\"type\":\"null\"}],\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":6}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"ab\":{\"type\":\"integer\"},\"b\":{\"type\":\"number\"}},\"required\":[\"b\"]}",
    "{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"}},\"additionalProperties\":{\"type\":\"boolean\"},\"minProperties\":2,\"maxProperties\":5}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":1},\"c\":{\"const\":1},\"d\":{\"const\":1}},\"minProperties\":2,"
    "\"maxProperties\":3,\"required\":[\"c\"]}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}",
    "{\"allOf\":[{\"$ref\":\"#/$defs/p\"},{\"properties\":{\"a\":{\"minimum\":3}},\"required\":[\"a\"]}],\"$defs\":{\"p\":{\"type\":\"object\",\"properties\":"
    "{\"a\":{\"type\":\"integer\",\"maximum\":12},\"z\":{\"enum\":[1,2]}}}}}",
    "{\"anyOf\":[{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"maxItems\":3},{\"type\":\"string\",\"maxLength\":2},{\"$ref\":\"#/$defs/i\"}],"
    "\"$defs\":{\"i\":{\"type\":\"integer\"}}}",
    "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"x\"},\"v\":{\"type\":\"null\"}},\"required\":[\"k\"]},"
    "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"y\"}},\"required\":[\"k\"]},{\"type\":\"boolean\"}]}",
    "{\"type\":\"string\",\"maxLength\":1000000000}",
    "{\"type\":\"string\",\"pattern\":\"^\\\\d{4}-(0[1-9]|1[0-2])$\"}",
    "{\"type\":\"string\",\"pattern\":\"a.*b\",\"minLength\":5,\"maxLength\":9}",
    "{\"type\":\"string\",\"pattern\":\"^(?!no)[\\\\\\\\\\\"a-z\\u00e9]*$\",\"maxLength\":20}",
    "{\"allOf\":[{\"pattern\":\"^a\"},{\"pattern\":\"b$\"},{\"type\":\"string\",\"maxLength\":12}]}",
    "{\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"enum\":[0,1]},\"maxItems\":1000000000},\"maxItems\":4000000000}",
};

/* A random sentence into out; returns its length. */
static size_t random_sentence(aios_grammar *g, char *out, size_t max)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = NULL;
    size_t n = 0;
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    for (; n < max; n++) {
        uint8_t mask[32];
        int all[256], k = 0, c = -1;
        assert_int_equal(aios_walk_next_bytes(w, mask), 0);
        for (int b = 0; b < 256; b++)
            if (mask[b / 8] >> b % 8 & 1)
                all[k++] = b;
        if (aios_walk_complete(w) && (!k || !roll(3)))
            break;
        if (!k)
            fail_msg("dead end after %.*s", (int)n, out);
        for (const char *closer = "\"]}"; c < 0 && *closer && roll(300) < 40 + n; closer++)
            if (mask[(uint8_t)*closer / 8] >> (uint8_t)*closer % 8 & 1)
                c = (uint8_t)*closer;
        out[n] = (char)(c >= 0 ? c : all[roll((uint32_t)k)]);
        assert_int_equal(aios_walk_accept(w, out + n, 1, &err), 0);
    }
    assert_true(n < max);
    aios_walk_free(w);
    return n;
}

static void whatever_a_grammar_lets_through_satisfies_its_schema(void **state)
{
    (void)state;
    static char text[100000];
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        if (aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schemas[i], AIOS_CSTR, &g, &err)) {
            assert_non_null(strstr(schemas[i], "-99999999999999999999")); /* below every integer that is generated */
            continue;
        }
        for (uint64_t seed = 1; seed <= 60; seed++) {
            rng = seed * 0x9e3779b97f4a7c15u;
            size_t n = random_sentence(g, text, sizeof text);
            if (aios_schema_check(ctx, schemas[i], AIOS_CSTR, text, n, &err))
                fail_msg("%s\n%.*s\n%s", schemas[i], (int)n, text, err.msg);
        }
        aios_grammar_free(g);
    }
}

/*
 * A random sentence of both, which differ in the blanks behind commas and colons alone: wherever their next bytes differ, a blank is all
 * that one of them has.
 */
static size_t random_spaced(aios_grammar *spaced, aios_grammar *compact, char *out, size_t max)
{
    aios_error err = AIOS_INIT(aios_error);
    static const uint8_t blank[32] = {[' ' / 8] = 1u << ' ' % 8};
    aios_walk *w = NULL, *v = NULL;
    size_t n = 0;
    must(aios_walk_new(spaced, &w, &err), &err);
    must(aios_walk_new(compact, &v, &err), &err);
    for (; n < max; n++) {
        uint8_t mask[32], other[32];
        int all[256], k = 0, c = -1;
        must(aios_walk_next_bytes(w, mask), &err);
        must(aios_walk_next_bytes(v, other), &err);
        bool differ = memcmp(mask, other, sizeof mask);
        if (aios_walk_complete(w) != aios_walk_complete(v) || (differ && (memcmp(mask, blank, sizeof mask) || !n || !strchr(",:", out[n - 1]))))
            fail_msg("behind %.*s", (int)n, out);
        for (int b = 0; b < 256; b++)
            if (mask[b / 8] >> b % 8 & 1)
                all[k++] = b;
        if (aios_walk_complete(w) && (!k || !roll(3)))
            break;
        for (const char *closer = "\"]}"; c < 0 && *closer && roll(300) < 40 + n; closer++)
            if (mask[(uint8_t)*closer / 8] >> (uint8_t)*closer % 8 & 1)
                c = (uint8_t)*closer;
        out[n] = (char)(c >= 0 ? c : all[roll((uint32_t)k)]);
        must(aios_walk_accept(w, out + n, 1, &err), &err);
        must(differ ? AIOS_OK : aios_walk_accept(v, out + n, 1, &err), &err);
    }
    assert_true(n < max);
    aios_walk_free(w);
    aios_walk_free(v);
    return n;
}

/* What stands between tokens: a blank behind each comma and colon. */
static void assert_spaced(const char *s, size_t n)
{
    aios__push push = {0};
    for (size_t i = 0; i < n; i++) {
        int flags = aios__push_byte(&push, (uint8_t)s[i]);
        bool in_text = flags & (AIOS__PUSH_KEY | AIOS__PUSH_TEXT), is_due = i && !in_text && !(flags & AIOS__PUSH_BLANK) && (s[i] == ',' || s[i] == ':');
        assert_true(flags >= 0);
        if (is_due && (i + 2 >= n || s[i + 1] != ' ' || strchr(" \t\r\n", s[i + 2])))
            fail_msg("%.*s, at %zu", (int)n, s, i);
        if (flags & AIOS__PUSH_BLANK && !strchr(",:", s[i - 1]))
            fail_msg("%.*s, at %zu", (int)n, s, i);
    }
}

static void spaced_sentences_differ_in_blanks_alone(void **state)
{
    (void)state;
    static char text[100000];
    size_t blanks = 0;
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL, *compact = NULL;
        if (aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, schemas[i], AIOS_CSTR, &g, &err))
            continue;
        must(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schemas[i], AIOS_CSTR, &compact, &err), &err);
        assert_ptr_not_equal(g, compact);
        for (uint64_t seed = 1; seed <= 40; seed++) {
            rng = seed * 0x9e3779b97f4a7c15u;
            size_t n = random_spaced(g, compact, text, sizeof text);
            assert_spaced(text, n);
            blanks += memmem(text, n, ": ", 2) != NULL;
            if (aios_schema_check(ctx, schemas[i], AIOS_CSTR, text, n, &err))
                fail_msg("%s\n%.*s\n%s", schemas[i], (int)n, text, err.msg);
        }
        aios_grammar_free(g);
        aios_grammar_free(compact);
    }
    assert_true(blanks > 200);
}

static void blanks_are_neither_left_out_nor_added(void **state)
{
    (void)state;
    static const char object[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\"},\"b\":{\"const\":{\"x\":[1,2]}}},\"additionalProperties\":{\"type\":\"integer\"}}";
    static const char unique[] = "{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"anyOf\":[{\"enum\":[[1,2],[3]]},{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}]}}";
    static const reading rows[] = {
        {object, "{\"a\": [1, \"x,y:z\", {}, {\"k\": null}], \"b\": {\"x\": [1, 2]}, \"c\": 7}", 1},
        {object, "{\"a\":", 0}, {object, "{\"a\":[", -1}, {object, "{\"a\":  [", -1}, {object, "{\"a\" :", -1}, {object, "{ \"a\"", -1},
        {object, "{\"a\": [1,2", -1}, {object, "{\"a\": [1,  2", -1}, {object, "{\"a\": [1 ,", -1}, {object, "{\"a\": [ 1", -1},
        {object, "{\"a\": [],\"b\"", -1}, {object, "{\"b\": {\"x\":[1", -1}, {object, "{\"b\": {\"x\": [1,2", -1}, {object, "{\"c\":7", -1},
        {object, "{\"a\": [1] ", -1}, {object, "{} ", -1}, {unique, "[[1, 2], [3], []]", 1}, {unique, "[[1, 2], [1, 2]", -1}, {unique, "[[], []", -1},
        {unique, "[[1, 2],[3", -1},
    };
    assert_readings(ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED, rows, AIOS__ARRAY_LEN(rows));
    const reading any = {object, "{\"c\": 7, \"b\": {\"x\": [1, 2]}}", 1};
    assert_readings(ctx, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED | AIOS_GRAMMAR_COMPLETE, &any, 1);
}

static void a_refused_byte_leaves_the_position_as_it_was(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *c = NULL, *w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, "{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"integer\"}}}");
    assert_int_equal(aios_walk_accept(w, "{\"a", 3, &err), 0);
    assert_int_equal(aios_walk_accept(w, "b\":1x", 5, &err), AIOS_ESCHEMA);
    assert_int_equal(err.have, 4);
    assert_int_equal(aios_walk_copy(w, &c, &err), 0);
    assert_int_equal(aios_walk_accept(c, "b\":12}", 6, &err), 0);
    assert_true(aios_walk_complete(c));
    assert_false(aios_walk_complete(w));
    assert_int_equal(aios_walk_accept(w, "b\":7}", 5, &err), 0);
    aios_walk_free(w);
    aios_walk_free(c);
}

static void null_arguments_and_unknown_kinds_are_refused(void **state)
{
    (void)state;
    aios_grammar *g = NULL;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_grammar_compile(NULL, 1, "{}", 2, &g, &err), AIOS_EINVAL);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, NULL, 0, &g, NULL), AIOS_EINVAL);
    assert_int_equal(aios_grammar_compile(ctx, 77, "{}", 2, &g, &err), AIOS_EINVAL);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_REGEX | AIOS_GRAMMAR_SPACED, "a", 1, &g, &err), AIOS_EINVAL);
    assert_int_equal(aios_walk_new(NULL, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_walk_accept(NULL, "x", 1, &err), AIOS_EINVAL);
    assert_int_equal(aios_walk_complete(NULL), 0);
    assert_int_equal(aios_walk_next_bytes(NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios_walk_forced(NULL, NULL, 0), 0);
    aios_walk_free(NULL);
    aios_grammar_free(NULL);
}

static int write_a_value(aios_ctx *c, aios_error *err)
{
    return compile_and_read(c, AIOS_GRAMMAR_SCHEMA | AIOS_GRAMMAR_SPACED,
                            "{\"type\":\"object\",\"properties\":{\"x\":{\"anyOf\":[{\"enum\":[\"y\",1]},{\"type\":\"number\",\"minimum\":1.5}]},"
                            "\"q\":{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\",\"maximum\":3}]}},\"required\":[\"x\"],"
                            "\"patternProperties\":{\"^z\":{\"uniqueItems\":true}},\"not\":{\"const\":1},\"additionalProperties\":true}",
                            "{\"x\": 2, \"zz\": [1, {\"p\": 1}]}", err);
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    refuse_every_allocation(write_a_value, true);
}

/* ---- hostile schemas -------------------------------------------------------------------------------------------- */

/* prefix, then n times `one` (with %d its number) separated by commas, then suffix. */
static char *repeated(const char *prefix, const char *one, int n, const char *suffix)
{
    size_t cap = strlen(prefix) + strlen(suffix) + (size_t)n * (strlen(one) + 30) + 1;
    char *s = malloc(cap), *p = s + sprintf(s, "%s", prefix);
    for (int i = 0; i < n; i++) {
        for (const char *c = one; *c; c++)
            if (*c == '%')
                p += sprintf(p, "%d", i);
            else if (*c == '^')
                p += sprintf(p, "%d", i + 1);
            else
                *p++ = *c;
        if (i + 1 < n)
            *p++ = ',';
    }
    strcpy(p, suffix);
    return s;
}

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SECONDS 0.2
#else
#define SECONDS 4.0
#endif

/* CPU time of a compilation, s. */
static double compiling(aios_ctx *c, const char *schema)
{
    struct timespec a, b;
    aios_grammar *g = NULL;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    aios_grammar_compile(c, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    aios_grammar_free(g);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
}

/*
 * Compiled or refused within 200 ms, the quickest of a few where others use the caches, and 32 MiB; a refusal names a place in the schema,
 * or that nothing fits it.
 */
static void ends_quickly(char *schema, int want, const char *what)
{
    test_heap heap = {0};
    aios_ctx *c = test_ctx(&heap, 32u << 20);
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    double s = compiling(c, schema);
    for (int i = 0; s > SECONDS && i < 4; i++)
        s = fmin(s, compiling(c, schema));
    int rc = aios_grammar_compile(c, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err);
    if (rc && strncmp(err.msg, "schema #", 8) && strncmp(err.msg, "no value can satisfy", 20))
        fail_msg("%s: %s", what, err.msg);
    if (!rc)
        rc = aios_walk_new(g, &w, &err);
    uint8_t mask[32];
    if (!rc)
        rc = aios_walk_next_bytes(w, mask);
    if (rc != want)
        fail_msg("%s: %s, %s expected (%s)", what, aios_code_name(rc), aios_code_name(want), err.msg);
    if (s > SECONDS)
        fail_msg("%s took %.3f s", what, s);
    aios_walk_free(w);
    aios_grammar_free(g);
    aios_ctx_free(c);
    assert_int_equal(heap.live, 0);
    free(schema);
}

/* An object counts on members that nest little, and on names that no keyword speaks of only where it must. */
static void objects_with_few_members_are_no_contradiction(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *good, *bad;
    } rows[] = {
        {"{\"type\":\"object\",\"minProperties\":1,\"properties\":{\"in\":{\"$ref\":\"#\"},\"leaf\":{\"type\":\"integer\"}}}", "{\"in\":{\"leaf\":1}}", "{\"x\":1}"},
        {"{\"type\":\"object\",\"minProperties\":1,\"properties\":{\"in\":{\"$ref\":\"#\"}}}", "{\"in\":{\"x\":1}}", "{\"in\":{}}"},
        {"{\"type\":\"object\",\"minProperties\":2,\"properties\":{\"no\":{\"type\":\"array\",\"items\":false,\"minItems\":1},\"yes\":{\"type\":\"null\"}}}", "{\"yes\":null,\"x\":1}", "{\"no\":[]"},
        {"{\"type\":\"object\",\"minProperties\":1,\"properties\":{\"a\":{\"type\":\"null\"}}}", "{\"a\":null}", "{\"x\":1}"},
        {"{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"contains\":{\"type\":\"array\",\"maxItems\":0},\"minContains\":0}", "[[[]],[]]", "[1]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_ctx *c = NULL;
        aios_grammar *g = NULL;
        assert_int_equal(aios_ctx_new(NULL, &c, NULL), 0);
        if (aios_grammar_compile(c, AIOS_GRAMMAR_SCHEMA, rows[i].schema, AIOS_CSTR, &g, &err))
            fail_msg("%s: %s", rows[i].schema, err.msg);
        const char *const texts[] = {rows[i].good, rows[i].bad};
        for (int bad = 0; bad < 2; bad++) {
            aios_walk *w = NULL;
            assert_int_equal(aios_walk_new(g, &w, NULL), 0);
            int rc = aios_walk_accept(w, texts[bad], strlen(texts[bad]), NULL);
            if ((!rc && aios_walk_complete(w)) == bad)
                fail_msg("%s: %s", rows[i].schema, texts[bad]);
            aios_walk_free(w);
        }
        aios_grammar_free(g);
        aios_ctx_free(c);
    }
}

static void hostile_schemas_end_with_a_code_in_bounded_time(void **state)
{
    (void)state;
    ends_quickly(strdup("{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}"), AIOS_ESCHEMA, "cycle of references");
    ends_quickly(strdup("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}"), AIOS_ESCHEMA, "endless nesting");
    ends_quickly(strdup("{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}"), AIOS_ESCHEMA, "contradiction");
    ends_quickly(strdup("{\"enum\":[1,2],\"type\":\"string\"}"), AIOS_ESCHEMA, "contradiction of enum and type");
    ends_quickly(strdup("{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}"), AIOS_ESCHEMA, "contradiction of lengths");
    ends_quickly(strdup("{\"type\":\"array\",\"items\":false,\"minItems\":1}"), AIOS_ESCHEMA, "items that cannot be");
    ends_quickly(strdup("{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"uniqueItems\":true,\"minItems\":3}"), AIOS_ESCHEMA, "three different booleans");
    ends_quickly(strdup("{\"type\":\"string\",\"maxLength\":1000000000,\"minLength\":999999999}"), AIOS_OK, "a long string");
    ends_quickly(repeated("{\"anyOf\":[", "{\"const\":\"value%\"}", 10000, "]}"), AIOS_OK, "10000 constants");
    ends_quickly(repeated("{\"enum\":[", "%", 100000, "]}"), AIOS_OK, "100000 numbers");
    ends_quickly(repeated("{\"anyOf\":[", "{\"type\":\"object\",\"properties\":{\"p%\":{\"type\":\"string\"}}}", 10000, "]}"), AIOS_ESCHEMA, "10000 objects");
    ends_quickly(repeated("{\"type\":\"object\",\"properties\":{", "\"p%\":{\"type\":\"string\",\"maxLength\":10000}", 10000, "}}"), AIOS_OK, "10000 properties");
    ends_quickly(repeated("{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d60\":{},", "\"d%\":{\"allOf\":[{\"$ref\":\"#/$defs/d^\"},{\"$ref\":\"#/$defs/d^\"}]}", 60, "}}"),
                 AIOS_OK, "tower of allOf");
    ends_quickly(repeated("{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d60\":{\"type\":\"null\"},",
                          "\"d%\":{\"anyOf\":[{\"$ref\":\"#/$defs/d^\"},{\"$ref\":\"#/$defs/d^\",\"maximum\":%}]}", 60, "}}"),
                 AIOS_ESCHEMA, "tower of anyOf with siblings");
    ends_quickly(repeated("{\"allOf\":[", "{\"anyOf\":[{\"minimum\":%},{\"maxLength\":%}]}", 30, "]}"), AIOS_ESCHEMA, "product of anyOf");
    ends_quickly(repeated("{\"type\":\"object\",\"required\":[\"k\"],\"allOf\":[", "{\"if\":{\"properties\":{\"k\":{\"const\":\"v%\"}}},\"then\":{\"required\":[\"p%\"]}}", 60, "]}"),
                 AIOS_OK, "a chain of conditions");
    ends_quickly(repeated("{\"oneOf\":[", "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"v%\"}},\"required\":[\"k\"]}", 1000, "]}"), AIOS_OK, "1000 kinds of object");
    ends_quickly(repeated("{\"type\":\"string\",\"not\":{\"enum\":[", "\"value%\"", 5000, "]}}"), AIOS_OK, "5000 strings that are out");
    ends_quickly(repeated("{\"not\":{\"required\":[", "\"p%\"", 5000, "]}}"), AIOS_ESCHEMA, "5000 properties of which one must be missing");
    ends_quickly(repeated("{\"type\":\"object\",\"dependentRequired\":{", "\"a%\":[\"b%\"]", 40, "}}"), AIOS_ESCHEMA, "40 dependent properties");
    ends_quickly(repeated("{\"type\":\"object\",\"patternProperties\":{", "\"x%\":{\"maxLength\":%}", 60, "}}"), AIOS_ESCHEMA, "60 patterns that may match together");
    ends_quickly(strdup("{\"type\":\"array\",\"uniqueItems\":true,\"minItems\":1000000000,\"items\":{\"type\":\"integer\"}}"), AIOS_ESCHEMA, "1e9 different items");
    ends_quickly(repeated("{\"oneOf\":[", "{\"minLength\":%}", 10000, "]}"), AIOS_ESCHEMA, "10000 alternatives that may hold together");
    ends_quickly(repeated("{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d3000\":{},", "\"d%\":{\"$ref\":\"#/$defs/d^\"}", 3000, "}}"), AIOS_ESCHEMA, "long chain of references");
    ends_quickly(repeated("{\"$ref\":\"#/$defs/d0\",\"$defs\":{\"d5000\":{\"type\":\"null\"},",
                          "\"d%\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/d^\"},\"minItems\":1}", 5000, "}}"),
                 AIOS_ESCHEMA, "5000 arrays inside each other");
    ends_quickly(repeated("{\"enum\":[", "{\"a\":%}", 50000, "]}"), AIOS_OK, "50000 listed objects");
    ends_quickly(repeated("{\"enum\":[", "{\"a\":%}", 100000, "]}"), AIOS_ELIMIT, "100000 listed objects");
    ends_quickly(repeated("{\"enum\":[", "[[],%]", 100000, "]}"), AIOS_ELIMIT, "100000 listed arrays");
    ends_quickly(repeated("{\"$defs\":{", "\"d%\":{\"type\":\"string\",\"minLength\":1}", 100000, "}}"), AIOS_ELIMIT, "100000 definitions");
    ends_quickly(repeated("{\"$defs\":{", "\"%\":{\"$anchor\":\"a%\"}", 50000, "}}"), AIOS_ELIMIT, "50000 anchors");
    ends_quickly(repeated("{\"anyOf\":[", "{\"const\":{\"v\":\"value%\"}}", 40000, "]}"), AIOS_ELIMIT, "40000 constant objects");
    char *deep = malloc(30000), *p = deep;
    for (int i = 0; i < 120; i++)
        p += sprintf(p, "{\"not\":");
    p += sprintf(p, "{}");
    for (int i = 0; i < 120; i++)
        *p++ = '}';
    *p = 0;
    ends_quickly(deep, AIOS_OK, "not of not of not");
    deep = malloc(30000), p = deep;
    for (int i = 0; i < 100; i++)
        p += sprintf(p, "{\"type\":\"array\",\"minItems\":1,\"items\":");
    p += sprintf(p, "{\"type\":\"null\"}");
    for (int i = 0; i < 100; i++)
        *p++ = '}';
    *p = 0;
    ends_quickly(deep, AIOS_OK, "100 arrays inside each other");
}

/* Too large to be compiled, told before it is read with what it would take; to check values it would be compiled too. */
static void what_a_large_schema_takes_is_told(void **state)
{
    (void)state;
    aios_error err[2] = {AIOS_INIT(aios_error), AIOS_INIT(aios_error)};
    aios_grammar *g = NULL;
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    char *schema = repeated("{\"examples\":[", "{\"a\":%}", 100000, "]}");
    aios_ctx_usage(ctx, &before);
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err[0]), AIOS_ELIMIT);
    assert_int_equal(aios_schema_check(ctx, schema, AIOS_CSTR, "1", 1, &err[1]), AIOS_ELIMIT);
    aios_ctx_usage(ctx, &after);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(err[i].have, 31u << 20);
        assert_in_range(err[i].need, 33u << 20, 63u << 20);
        assert_non_null(strstr(err[i].msg, "schema #: compiling it takes "));
    }
    assert_int_equal(after.used, before.used);
    free(schema);
}

static void items_that_must_differ_are_remembered_however_long_the_text(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char item[32];
    aios_walk *w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\"]},\"uniqueItems\":true}");
    assert_int_equal(aios_walk_accept(w, "[\"x\",17", 7, &err), 0);
    for (int i = 0; i < 400; i++)
        assert_int_equal(aios_walk_accept(w, item, (size_t)sprintf(item, ",\"some text %d\"", i), &err), 0);
    assert_int_equal(aios_walk_accept(w, ",\"x\"", 4, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_walk_accept(w, ",17,", 4, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_walk_accept(w, ",17.0,", 6, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_walk_accept(w, ",\"some text 399\"", AIOS_CSTR, &err), AIOS_ESCHEMA);
    assert_int_equal(aios_walk_accept(w, ",18,\"some text 400\"]", AIOS_CSTR, &err), 0);
    assert_true(aios_walk_complete(w));
    aios_walk_free(w);
}

static void a_long_text_keeps_its_memory_bounded(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_walk *w = walk_of(ctx, AIOS_GRAMMAR_SCHEMA, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}");
    assert_int_equal(aios_walk_accept(w, "[\"x\"", 4, &err), 0);
    aios_ctx_usage(ctx, &before);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(aios_walk_accept(w, ",\"some text\"", 12, &err), 0);
    aios_ctx_usage(ctx, &after);
    assert_true(after.used < before.used + (1u << 20));
    assert_int_equal(aios_walk_accept(w, "]", 1, &err), 0);
    assert_true(aios_walk_complete(w));
    aios_walk_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_a_grammar_lets_through_satisfies_its_schema),
        cmocka_unit_test(spaced_sentences_differ_in_blanks_alone),
        cmocka_unit_test(blanks_are_neither_left_out_nor_added),
        cmocka_unit_test(a_refused_byte_leaves_the_position_as_it_was),
        cmocka_unit_test(null_arguments_and_unknown_kinds_are_refused),
        cmocka_unit_test(every_failed_allocation_is_reported_and_leaks_nothing),
        cmocka_unit_test(hostile_schemas_end_with_a_code_in_bounded_time),
        cmocka_unit_test(objects_with_few_members_are_no_contradiction),
        cmocka_unit_test(what_a_large_schema_takes_is_told),
        cmocka_unit_test(items_that_must_differ_are_remembered_however_long_the_text),
        cmocka_unit_test(a_long_text_keeps_its_memory_bounded),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
