/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_ctx.h"

#include "llm/llm.h"

/* {schema, value, valid} */
static const struct {
    const char *schema, *json;
    int valid;
} rows[] = {
    {"true", "1", 1},
    {"false", "1", 0},
    {"{}", "[1,{}]", 1},
    {"{\"type\":\"integer\"}", "1.0", 1},
    {"{\"type\":\"integer\"}", "1.5", 0},
    {"{\"type\":[\"null\",\"string\"]}", "null", 1},
    {"{\"type\":[\"null\",\"string\"]}", "0", 0},
    {"{\"enum\":[1,{\"a\":[2]}]}", "{\"a\":[2.0]}", 1},
    {"{\"enum\":[1,{\"a\":[2]}]}", "{\"a\":[3]}", 0},
    {"{\"const\":false}", "0", 0},
    {"{\"$ref\":\"http://json-schema.org/draft-04/schema#/definitions/positiveIntegerDefault0\"}", "-1", 0},
    {"{\"$ref\":\"http://json-schema.org/draft-07/schema#/properties/title\"}", "\"x\"", 1},
    {"{\"enum\":[1,2,3,4,5,6,7,8,9,10,\"10\",[11],{\"a\":12,\"b\":0}]}", "{\"b\":-0.0,\"a\":1.2e1}", 1},
    {"{\"enum\":[1,2,3,4,5,6,7,8,9,10,\"10\",[11],{\"a\":12,\"b\":0}]}", "10.0", 1},
    {"{\"enum\":[1,2,3,4,5,6,7,8,9,10,\"10\",[11],{\"a\":12,\"b\":0}]}", "\"1\"", 0},
    {"{\"minimum\":9007199254740993}", "9007199254740992", 0},
    {"{\"minimum\":1.5,\"maximum\":2}", "2", 1},
    {"{\"exclusiveMaximum\":2}", "2", 0},
    {"{\"exclusiveMinimum\":2}", "\"x\"", 1},
    {"{\"multipleOf\":0.01}", "4.35", 1},
    {"{\"multipleOf\":0.01}", "4.355", 0},
    {"{\"minLength\":2,\"maxLength\":2}", "\"\xc3\xa9\xf0\x9f\x98\x80\"", 1},
    {"{\"maxLength\":1}", "\"ab\"", 0},
    {"{\"items\":{\"type\":\"null\"}}", "[null,1]", 0},
    {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}", "[null]", 1},
    {"{\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}", "[null,1]", 0},
    {"{\"items\":[{\"type\":\"null\"}],\"additionalItems\":false}", "[null,1]", 0},
    {"{\"uniqueItems\":true}", "[1,1.0]", 0},
    {"{\"uniqueItems\":true}", "[1,true]", 1},
    {"{\"contains\":{\"const\":5},\"maxContains\":1}", "[5,5]", 0},
    {"{\"contains\":{\"const\":5}}", "[1,5]", 1},
    {"{\"minItems\":1,\"maxItems\":2}", "[]", 0},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":false}", "{\"a\":null}", 1},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":false}", "{\"b\":null}", 0},
    {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"additionalProperties\":{\"type\":\"null\"}}", "{\"b\":1}", 0},
    {"{\"required\":[\"a\"]}", "{}", 0},
    {"{\"minProperties\":1}", "{}", 0},
    {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", 0},
    {"{\"dependentSchemas\":{\"a\":{\"required\":[\"b\"]}}}", "{\"a\":1,\"b\":1}", 1},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"minimum\":3}]}", "2", 0},
    {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":3}]}", "4", 0},
    {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":3}]}", "2", 1},
    {"{\"not\":{\"type\":\"null\"}}", "null", 0},
    {"{\"if\":{\"type\":\"null\"},\"else\":{\"minimum\":3}}", "2", 0},
    {"{\"if\":{\"type\":\"null\"},\"else\":{\"minimum\":3}}", "null", 1},
    {"{\"$ref\":\"#/$defs/a~1b%25\",\"$defs\":{\"a/b%\":{\"type\":\"null\"}}}", "1", 0},
    {"{\"$ref\":\"#here\",\"$defs\":{\"x\":{\"$anchor\":\"here\",\"type\":\"null\"}}}", "null", 1},
    {"{\"properties\":{\"n\":{\"$ref\":\"#\"}},\"additionalProperties\":false}", "{\"n\":{\"n\":{\"n\":{\"x\":1}}}}", 0},
    {"{\"properties\":{\"n\":{\"$ref\":\"#\"}},\"additionalProperties\":false}", "{\"n\":{\"n\":{\"n\":{}}}}", 1},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", 1},
    {"{\"pattern\":\"^[a-z]+$\"}", "\"aBc\"", 0},
    {"{\"pattern\":\"b\"}", "7", 1},
    {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":3}},\"additionalProperties\":false}", "{\"x\":1,\"xy\":4,\"y\":\"\"}", 1},
    {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":3}},\"additionalProperties\":false}", "{\"x\":1,\"xy\":2}", 0},
    {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"}},\"additionalProperties\":false}", "{\"a\":1}", 0},
    {"{\"format\":\"email\",\"x-mine\":7,\"default\":{\"$ref\":3}}", "\"no address\"", 0},
    {"{\"format\":\"x-mine\"}", "\"anything\"", 1},
    {"{\"format\":\"date\"}", "7", 1},
    {"{\"const\":\"a\\u0000b\"}", "\"a\\u0000c\"", 0},
    {"{\"maximum\":9007199254740992}", "9007199254740993", 0},
    {"{\"maximum\":18446744073709551615}", "18446744073709561616", 0},
    {"{\"patternProperties\":{\"a\":true,\"b\":true},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}", 1},
    {"{\"type\":\"integer\"}", "123456789012345678901234567890", 1},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":[2]},{\"b\":[2.0],\"a\":1e0}]", 0},
    {"{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}", 0},
    {"{\"dependencies\":{\"a\":[\"b\"],\"c\":{\"minProperties\":2}}}", "{\"a\":1,\"b\":1,\"c\":1}", 1},
    {"{\"dependencies\":{\"a\":[\"b\"],\"c\":{\"minProperties\":2}}}", "{\"c\":1}", 0},
    {"{\"anyOf\":[{\"properties\":{\"a\":true}},{\"properties\":{\"b\":true}}],\"unevaluatedProperties\":false}", "{\"a\":1,\"b\":1}", 1},
    {"{\"anyOf\":[{\"properties\":{\"a\":true}},{\"properties\":{\"b\":true}}],\"unevaluatedProperties\":false}", "{\"c\":1}", 0},
    {"{\"contains\":{\"type\":\"null\"},\"unevaluatedItems\":{\"type\":\"string\"}}", "[null,\"x\"]", 1},
    {"{\"contains\":{\"type\":\"null\"},\"unevaluatedItems\":{\"type\":\"string\"}}", "[null,3]", 0},
    {"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"minimum\":3,\"exclusiveMinimum\":true}", "3", 0},
    {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"$ref\":\"#/definitions/a\",\"minimum\":9,\"definitions\":{\"a\":{}}}", "3", 1},
    {"{\"$id\":\"http://x/a/root.json\",\"$ref\":\"../b.json#here\",\"$defs\":{\"b\":{\"$id\":\"/b.json\",\"$defs\":{\"c\":{\"$anchor\":\"here\",\"maximum\":2}}}}}", "3", 0},
};

static void values_are_judged_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        int rc = aios_schema_check(ctx, rows[i].schema, AIOS_CSTR, rows[i].json, AIOS_CSTR, &err);
        if (rc != (rows[i].valid ? AIOS_OK : AIOS_ESCHEMA))
            fail_msg("%s with %s gave %d %s", rows[i].schema, rows[i].json, rc, err.msg);
    }
}

static void a_violation_says_where_and_why(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_schema_check(ctx, "{\"properties\":{\"a\":{\"items\":{\"maximum\":3}}}}", AIOS_CSTR, "{\"a\":[1,5]}", AIOS_CSTR, &err),
                     AIOS_ESCHEMA);
    assert_string_equal(err.msg, "$.a[1]: the number is too large (\"maximum\" of schema #/properties/a/items)");
}

typedef struct told {
    char text[1024];
    int n, stop_at;
} told;

static int note(void *user, const aios_violation *v)
{
    told *t = user;
    size_t at = strlen(t->text);
    snprintf(t->text + at, sizeof t->text - at, "%s %s %s %s\n", v->path, v->schema_path, v->keyword, v->message);
    return ++t->n == t->stop_at ? AIOS_ECANCELED : 0;
}

static void every_violation_is_told_with_its_path(void **state)
{
    (void)state;
    static const char schema[] = "{\"properties\":{\"a\":{\"items\":{\"maximum\":3}},\"b~/c\":{\"anyOf\":[{\"type\":\"null\"},{\"minLength\":9}]}},"
                                 "\"required\":[\"x\",\"a\",\"y\"],\"additionalProperties\":false}";
    static const char value[] = "{\"p\":1,\"a\":[1,5,2,4],\"b~/c\":\"short\",\"q\":2}";
    aios_error err = AIOS_INIT(aios_error);
    told all = {.stop_at = 0}, some = {.stop_at = 2};
    assert_int_equal(aios_schema_check_as(ctx, 0, schema, AIOS_CSTR, value, AIOS_CSTR, note, &all, &err), AIOS_ESCHEMA);
    assert_string_equal(all.text, "/a/1 #/properties/a/items maximum the number is too large\n"
                                  "/a/3 #/properties/a/items maximum the number is too large\n"
                                  "/b~0~1c #/properties/b~/c anyOf the value fits no alternative\n"
                                  " # required a property is missing: x\n"
                                  " # required a property is missing: y\n"
                                  " # additionalProperties a property is not allowed: p\n"
                                  " # additionalProperties a property is not allowed: q\n");
    assert_int_equal(err.have, 7);
    assert_int_equal(aios_schema_check_as(ctx, 0, schema, AIOS_CSTR, value, AIOS_CSTR, note, &some, &err), AIOS_ECANCELED);
    assert_int_equal(some.n, 2);
    assert_int_equal(aios_schema_check_as(ctx, 0, schema, AIOS_CSTR, "{\"x\":1,\"a\":[],\"y\":2}", AIOS_CSTR, note, &some, &err), AIOS_ESCHEMA);
    assert_int_equal(err.have, 2); /* x and y are not allowed */
    assert_int_equal(aios_schema_check_as(ctx, 0, "{\"required\":[\"a\"]}", AIOS_CSTR, "{\"a\":null}", AIOS_CSTR, note, &some, &err), AIOS_OK);
    assert_int_equal(aios_schema_check_as(ctx, 0, "{\"required\":1}", AIOS_CSTR, "{}", AIOS_CSTR, note, &some, &err), AIOS_ESCHEMA);
    assert_int_equal(err.have, 0);
}

static int count_only(void *user, const aios_violation *v)
{
    assert_true(strlen(v->path) < 1100);
    ++*(int *)user;
    return 0;
}

static void paths_of_deep_values_are_cut_and_stay_whole_steps(void **state)
{
    (void)state;
    char json[4000] = "";
    aios_error err = AIOS_INIT(aios_error);
    int n = 0;
    for (int i = 0; i < 100; i++)
        strcat(json, "{\"~/~/~/~/\":");
    strcat(json, "1");
    memset(json + strlen(json), '}', 100);
    assert_int_equal(aios_schema_check_as(ctx, 0, "{\"type\":\"object\",\"additionalProperties\":{\"$ref\":\"#\"}}", AIOS_CSTR, json, AIOS_CSTR, count_only, &n, &err),
                     AIOS_ESCHEMA);
    assert_int_equal(n, 1);
}

static int whole_text_only(void *user, const aios_violation *v)
{
    assert_true(aios__utf8_valid(v->path, strlen(v->path)));
    assert_true(aios__utf8_valid(v->schema_path, strlen(v->schema_path)));
    assert_true(aios__utf8_valid(v->message, strlen(v->message)));
    ++*(int *)user;
    return 0;
}

/* A name that is cut everywhere in a letter of three bytes, for one of the offsets. */
static void texts_of_a_violation_are_cut_between_letters(void **state)
{
    (void)state;
    for (int shift = 0; shift < 3; shift++) {
        char name[1300] = "", schema[4200], json[4200];
        int n = 0;
        memset(name, 'x', (size_t)shift);
        for (int i = 0; i < 400; i++)
            strcat(name, "\xe2\x82\xac");
        snprintf(schema, sizeof schema, "{\"properties\":{\"%s\":{\"required\":[\"%s\"]}}}", name, name);
        snprintf(json, sizeof json, "{\"%s\":{}}", name);
        assert_int_equal(aios_schema_check_as(ctx, 0, schema, AIOS_CSTR, json, AIOS_CSTR, whole_text_only, &n, NULL), AIOS_ESCHEMA);
        assert_int_equal(n, 1);
    }
}

/* BEFORE "p0" BODY, "p1" BODY ... AFTER */
static char *many(const char *before, int n, const char *body, const char *after)
{
    char *s = malloc(strlen(before) + strlen(after) + (size_t)n * (strlen(body) + 16)), *p = s + sprintf(s, "%s", before);
    for (int i = 0; i < n; i++)
        p += sprintf(p, "%s\"p%d\"%s", i ? "," : "", i, body);
    strcpy(p, after);
    return s;
}

static void looking_up_many_names_counts(void **state)
{
    (void)state;
    static const struct {
        const char *before, *body, *after, *item;
    } lists[] = {{"{\"items\":{\"properties\":{", ":{}", "}}}", "{}"},
                {"{\"items\":{\"anyOf\":[{\"required\":[\"a\",", "", "]},true]}}", "{\"a\":1}"}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(lists); i++) {
        aios_error err = AIOS_INIT(aios_error);
        char *schema = many(lists[i].before, 20000, lists[i].body, lists[i].after), *json = malloc(20000), *p = json + sprintf(json, "[%s", lists[i].item);
        for (int k = 0; k < 1499; k++)
            p += sprintf(p, ",%s", lists[i].item);
        strcpy(p, "]");
        int rc = aios_schema_check(ctx, schema, AIOS_CSTR, json, AIOS_CSTR, &err);
        if (rc != AIOS_ELIMIT)
            fail_msg("%s: %d %s", lists[i].before, rc, err.msg);
        free(schema);
        free(json);
    }
}

/* Each "$id" inside is short, and stores the whole of the outer one. */
static void uris_of_a_schema_have_a_cap(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    char base[7000], *schema;
    snprintf(base, sizeof base, "{\"$id\":\"http://x/%06500d/\",\"$defs\":{", 0);
    schema = many(base, 600, ":{\"$id\":\"a\"}", "}}");
    assert_int_equal(aios_schema_check(ctx, schema, AIOS_CSTR, "1", AIOS_CSTR, &err), AIOS_OK);
    free(schema);
    schema = many(base, 700, ":{\"$id\":\"a\"}", "}}");
    assert_int_equal(aios_schema_check(ctx, schema, AIOS_CSTR, "1", AIOS_CSTR, &err), AIOS_ELIMIT);
    assert_non_null(strstr(err.msg, "$id"));
    assert_int_equal(err.have, 4 << 20);
    free(schema);
}

/* Each is refused when compiled, with the keyword in the message. */
static const struct {
    const char *schema, *word;
} refused[] = {
    {"{\"type\":\"strnig\"}", "type"},
    {"{\"properties\":{\"a\":{\"pattern\":\"(^a\"}}}", "#/properties/a: \"pattern\""},
    {"{\"patternProperties\":{\"(a)\\\\1\":{}}}", "patternProperties"},
    {"{\"nullable\":true}", "nullable"},
    {"{\"prefixItems\":[{}],\"items\":[{}]}", "beside"},
    {"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"items\":[{}]}", "\"prefixItems\""},
    {"{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"minimum\":3,\"exclusiveMinimum\":true}", "\"exclusiveMinimum\" must be a number"},
    {"{\"$schema\":\"http://json-schema.org/draft-06/schema#\",\"maximum\":3,\"exclusiveMaximum\":false}", "\"exclusiveMaximum\" must be a number"},
    {"{\"$schema\":\"http://example.com/own\"}", "$schema"},
    {"{\"dependencies\":{\"a\":3}}", "dependencies"},
    {"{\"maxlength\":3}", "upper and lower"},
    {"{\"minLength\":-1}", "minLength"},
    {"{\"required\":[1]}", "required"},
    {"{\"enum\":3}", "enum"},
    {"{\"anyOf\":[3]}", "anyOf"},
    {"{\"multipleOf\":0}", "multipleOf"},
    {"{\"$ref\":\"http://elsewhere/x\"}", "never fetched"},
    {"{\"$ref\":\"#/$defs/none\"}", "no schema"},
    {"{\"$ref\":\"#\"}", "$ref"},
    {"{\"allOf\":[{\"anyOf\":[{\"$ref\":\"#\"}]}]}", "back to itself"},
    {"[1]", "schema"},
    {"{", "schema"},
};

static void schemas_that_cannot_be_enforced_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        aios_error err = AIOS_INIT(aios_error);
        assert_int_equal(aios_schema_check(ctx, refused[i].schema, AIOS_CSTR, "1", AIOS_CSTR, &err), AIOS_ESCHEMA);
        if (!strstr(err.msg, refused[i].word))
            fail_msg("%s: %s", refused[i].schema, err.msg);
    }
}

static void null_arguments_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_schema_check(NULL, "{}", AIOS_CSTR, "1", AIOS_CSTR, &err), AIOS_EINVAL);
    assert_int_equal(aios_schema_check(ctx, NULL, 0, "1", AIOS_CSTR, NULL), AIOS_EINVAL);
    assert_int_equal(aios_schema_check(ctx, "{}", AIOS_CSTR, NULL, 0, &err), AIOS_EINVAL);
}

/* Long strings take steps by their length, for each keyword that goes through them. */
static void lengths_and_lists_of_long_strings_take_steps(void **state)
{
    (void)state;
    static const char *const each[] = {"{\"minLength\":1}", "{\"maxLength\":9999999}", "{\"enum\":[1,2,3,4,5,6,7,8,9,10]}"};
    enum { N = 400, LONG = 1 << 20 };
    char *v = malloc(LONG + 3), *s = malloc(N * 128 + 64);
    memset(v, 'a', LONG + 2);
    v[0] = v[LONG + 1] = '"';
    v[LONG + 2] = 0;
    for (size_t k = 0; k < sizeof each / sizeof *each; k++) {
        char *p = s + sprintf(s, "{\"anyOf\":[");
        for (int i = 0; i < N; i++)
            p += sprintf(p, "{\"type\":\"string\",\"not\":{\"not\":%s}%s}%s", each[k], k < 2 ? ",\"const\":1" : "", i + 1 < N ? "," : "]}");
        aios_error err = AIOS_INIT(aios_error);
        assert_int_equal(aios_schema_check(ctx, s, AIOS_CSTR, v, AIOS_CSTR, &err), AIOS_ELIMIT);
    }
    free(v);
    free(s);
}

/* A tower of references, each twice: 2^40 evaluations if no result were kept, and a limit where none can be. */
static void a_tower_of_references_takes_no_exponential_time(void **state)
{
    (void)state;
    char s[8192], *p = s;
    p += sprintf(p, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        p += sprintf(p, "\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i, i + 1, i + 1);
    sprintf(p, "\"d40\":{}}}");
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_schema_check(ctx, s, AIOS_CSTR, "1", AIOS_CSTR, &err), AIOS_OK);
    sprintf(strstr(s, "\"d40\""), "\"d40\":{}},\"unevaluatedProperties\":true}");
    assert_int_equal(aios_schema_check(ctx, s, AIOS_CSTR, "{}", AIOS_CSTR, &err), AIOS_ELIMIT);
}

static int check_a_value(aios_ctx *c, aios_error *err)
{
    const char *schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/x\"},\"b\":{\"anyOf\":[{\"type\":\"null\"},{\"items\":{\"minimum\":3}}]}},"
                         "\"$defs\":{\"x\":{\"type\":\"string\",\"maxLength\":7}}}";
    return aios_schema_check(c, schema, AIOS_CSTR, "{\"a\":\"x\",\"b\":[3,4]}", AIOS_CSTR, err);
}

static void every_failed_allocation_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    assert_nothing_leaks_when_memory_runs_out(check_a_value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_judged_as_the_table_says),
        cmocka_unit_test(a_violation_says_where_and_why),
        cmocka_unit_test(every_violation_is_told_with_its_path),
        cmocka_unit_test(paths_of_deep_values_are_cut_and_stay_whole_steps),
        cmocka_unit_test(texts_of_a_violation_are_cut_between_letters),
        cmocka_unit_test(looking_up_many_names_counts),
        cmocka_unit_test(uris_of_a_schema_have_a_cap),
        cmocka_unit_test(schemas_that_cannot_be_enforced_are_refused_by_name),
        cmocka_unit_test(null_arguments_are_refused),
        cmocka_unit_test(a_tower_of_references_takes_no_exponential_time),
        cmocka_unit_test(lengths_and_lists_of_long_strings_take_steps),
        cmocka_unit_test(every_failed_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
