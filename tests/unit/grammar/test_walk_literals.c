/* SPDX-License-Identifier: Apache-2.0 */
/* Where a text has to go on with one of several literals. */
#include "test.h"

#include "llm/call_format.h"
#include "grammar/grammar_mask.h"

static const aios_tool_def tools[] = {
    {sizeof(aios_tool_def), "get_weather", NULL, "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},\"required\":[\"city\"]}"},
    {sizeof(aios_tool_def), "get", NULL, NULL},
    {sizeof(aios_tool_def), "set", NULL, NULL},
};
enum { N = AIOS__ARRAY_LEN(tools) };

/* What stands ahead of a text: how many literals, and what has to come before them. */
static uint32_t ahead(const aios_walk *w, char forced[256], aios__literals *l)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__buf b;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_SCRATCH, 0);
    assert_int_equal(aios__walk_literals(w, &b, l, &err), 0);
    snprintf(forced, 256, "%.*s", (int)b.n, b.n ? b.p : "");
    aios__buf_free(&b);
    aios_ctx_free(ctx);
    return l->n;
}

static void accept(aios_walk *w, const char *s)
{
    aios_error err = AIOS_INIT(aios_error);
    if (aios_walk_accept(w, s, strlen(s), &err))
        fail_msg("%s: %s", s, err.msg);
}

static void names_of_tools_stand_ahead_in_every_format(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const aios__call_format *f;
    for (uint32_t k = 0; (f = aios__call_format_at(k)); k++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g;
        aios_walk *w;
        aios__literals l;
        char forced[256];
        if (aios__grammar_calls(ctx, tools, sizeof *tools, N, NULL, f, 0, &g, &err) || aios_walk_new(g, &w, &err))
            fail_msg("%s: %s", f->name, err.msg);
        if (!ahead(w, forced, &l) && f->id_first) { /* the model names the call first */
            accept(w, forced);
            accept(w, "0\", ");
        }
        if (ahead(w, forced, &l) != N)
            fail_msg("%s: %u literals behind %s", f->name, l.n, forced);
        for (uint32_t i = 0; i < N; i++) {
            size_t n;
            bool goes_on;
            const char *p = aios__literal_at(&l, i, &n, &goes_on);
            const char *name = memmem(p, n, i < 2 ? "get" : "set", 3); /* sorted by their bytes */
            assert_true(goes_on);
            assert_non_null(name);
            assert_true(name - p <= 1);
        }
        aios_walk_free(w);
        aios_grammar_free(g);
    }
    aios_ctx_free(ctx);
}

static void nothing_stands_ahead_inside_a_name_or_where_text_is_free(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_grammar *g;
    aios_walk *w;
    aios__literals l;
    char forced[256];
    assert_int_equal(aios__grammar_calls(ctx, tools, sizeof *tools, N, NULL, aios__call_format_named("hermes"), 2, &g, &err), 0);
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    assert_int_equal(ahead(w, forced, &l), N);
    assert_string_equal(forced, "<tool_call>\n{\"name\": ");
    accept(w, "<tool_call>\n{\"na");
    assert_int_equal(ahead(w, forced, &l), N);
    assert_string_equal(forced, "me\": ");
    accept(w, "me\": \"g");
    assert_int_equal(ahead(w, forced, &l), 0);
    accept(w, "et_weather\", \"arguments\": {\"city\": \"");
    assert_int_equal(ahead(w, forced, &l), 0);
    accept(w, "Bonn\"}}\n</tool_call>"); /* it may end here, or go on with another call */
    assert_int_equal(ahead(w, forced, &l), 0);
    accept(w, "\n<tool_call>");
    assert_int_equal(ahead(w, forced, &l), N);
    aios_walk_free(w);
    aios_grammar_free(g);
    aios_ctx_free(ctx);
}

/* Of many tools the chosen one is compiled on the way: its literals belong to a grammar that w does not have yet. */
static void values_of_a_tool_not_yet_compiled_do_not_stand_ahead(void **state)
{
    (void)state;
    enum { MANY = 40 };
    static char names[MANY][16], schemas[MANY][1200];
    static const char *const first[] = {"\"type\":\"boolean\"", "\"enum\":[\"celsius\",\"kelvin\"]"};
    aios_tool_def many[MANY];
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = test_ctx(NULL, 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "tool_%d", i);
        snprintf(schemas[i], sizeof schemas[i],
                 "{\"type\":\"object\",\"description\":\"%0900d\",\"properties\":{\"p\":{%s}},\"required\":[\"p\"],\"additionalProperties\":false}", i, first[i % 2]);
        many[i] = (aios_tool_def){sizeof *many, names[i], NULL, schemas[i]};
    }
    for (int i = 0; i < 2; i++) {
        aios_grammar *g;
        aios_walk *w;
        aios__literals l;
        char forced[256], name[64];
        assert_int_equal(aios__grammar_calls(ctx, many, sizeof *many, MANY, NULL, aios__call_format_named("hermes"), 0, &g, &err), 0);
        assert_int_equal(aios_walk_new(g, &w, &err), 0);
        snprintf(name, sizeof name, "<tool_call>\n{\"name\": \"tool_%d\"", 38 + i);
        accept(w, name);
        assert_int_equal(ahead(w, forced, &l), 0);
        assert_string_equal(forced, ", \"arguments\": {\"p\": ");
        accept(w, forced);
        assert_int_equal(ahead(w, forced, &l), 2);
        for (uint32_t k = 0; k < 2; k++) {
            size_t n;
            bool goes_on;
            assert_non_null(aios__literal_at(&l, k, &n, &goes_on));
            assert_int_equal(n, i ? (k ? 8 : 9) : (k ? 4 : 5));
        }
        aios_walk_free(w);
        aios_grammar_free(g);
    }
    aios_ctx_free(ctx);
}

static void listed_values_stand_ahead_too_but_nothing_of_their_own_follows(void **state)
{
    (void)state;
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"unit\":{\"enum\":[\"celsius\",\"kelvin\"]}},\"required\":[\"unit\"],"
                                 "\"additionalProperties\":false}";
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_grammar *g;
    aios_walk *w;
    aios__literals l;
    char forced[256];
    bool goes_on = true;
    size_t n;
    assert_int_equal(aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, strlen(schema), &g, &err), 0);
    assert_int_equal(aios_walk_new(g, &w, &err), 0);
    accept(w, "{\"unit\":");
    assert_int_equal(ahead(w, forced, &l), 2);
    assert_memory_equal(aios__literal_at(&l, 0, &n, &goes_on), "\"celsius\"", 9);
    assert_int_equal(n, 9);
    assert_false(goes_on);
    aios_walk_free(w);
    aios_grammar_free(g);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_tools_stand_ahead_in_every_format),
        cmocka_unit_test(nothing_stands_ahead_inside_a_name_or_where_text_is_free),
        cmocka_unit_test(values_of_a_tool_not_yet_compiled_do_not_stand_ahead),
        cmocka_unit_test(listed_values_stand_ahead_too_but_nothing_of_their_own_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
