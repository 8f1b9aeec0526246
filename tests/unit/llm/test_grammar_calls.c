/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "grammar_test.h"
#include "shared_ctx.h"

#include "llm/callparse.h"
#include "llm/grammar_calls.h"

static const char weather[] = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":20},\"days\":{\"type\":\"integer\",\"minimum\":1,"
                              "\"maximum\":14},\"unit\":{\"enum\":[\"celsius\",\"kelvin\"]},\"wind\":{\"type\":\"boolean\"},\"at\":{\"$ref\":\"#/$defs/at\"}},"
                              "\"required\":[\"city\"],\"$defs\":{\"at\":{\"type\":\"object\",\"properties\":{\"h\":{\"type\":\"integer\"}},\"required\":[\"h\"]}}}";
static const aios_tool_def tools[] = {
    {sizeof(aios_tool_def), "get_weather", NULL, weather},
    {sizeof(aios_tool_def), "get", NULL, NULL},
    {sizeof(aios_tool_def), "get_time", NULL, "{\"type\":\"object\",\"properties\":{}}"},
};

static aios_grammar *calls(const char *format, const char *only, uint32_t max)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    if (aios__grammar_calls(ctx, tools, sizeof *tools, AIOS__ARRAY_LEN(tools), only, aios__call_format_named(format), max, &g, &err))
        fail_msg("%s: %s", format, err.msg);
    return g;
}

static int none(void *user, const char *s, size_t n)
{
    (void)user;
    fail_msg("text: %.*s", (int)n, s);
    return 0;
}

static int on_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    (void)id;
    return aios__buf_addf(user, NULL, "%s%.*s;", name, (int)n, args);
}

/* What a format writes its grammar allows, and no beginning of it is whole; and what the grammar allows the parser reads. */
static void calls_in_every_format_are_held_to_their_tools(void **state)
{
    (void)state;
    const aios__call_piece good[] = {{"get_weather", "abcDEF123", NULL, 0}, {"get", "123456789", "{}", 2}, {"get_time", "000000000", "{}", 2}};
    static const char *const bad[][2] = {{"get_weather", "{\"days\":3}"}, {"get_weather", "{\"city\":\"Oslo\",\"days\":15}"}, {"get_rain", "{}"},
                                         {"get_weather", "{\"city\":\"Oslo\",\"unit\":\"miles\"}"}, {"get_weather", "{\"city\":\"123456789012345678901\"}"},
                                         {"get_time", "{\"city\":\"Oslo\"}"}};
    for (uint32_t i = 0; aios__call_format_at(i); i++) {
        const aios__call_format *f = aios__call_format_at(i);
        aios_grammar *g = calls(f->name, NULL, 3), *one = calls(f->name, NULL, 1);
        aios__buf out, read;
        aios__call_piece pieces[3];
        aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        aios__buf_init(&read, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        memcpy(pieces, good, sizeof pieces);
        /* objects inside are JSON under the grammar of every format */
        const char *args = f->args == AIOS__ARGS_COLON ? "{\"city\":\"Oslo <x> {y}\",\"days\":3,\"unit\":\"kelvin\",\"wind\":true}"
                                                       : "{\"city\":\"Oslo <x> {y}\",\"days\":3,\"unit\":\"kelvin\",\"wind\":true,\"at\":{\"h\":7}}";
        pieces[0].args = args;
        pieces[0].n_args = strlen(args);
        for (size_t k = 0; f->id_text && k < 3; k++)
            pieces[k].id = f->id_len ? pieces[k].id : (const char *[]){"0", "1", "2"}[k];
        uint32_t n = f->between ? 3 : 1;
        assert_int_equal(aios__calls_write(aios__ctx_heap(ctx), f, pieces, n, &out, NULL), 0);
        if (read_by(g, out.p, out.n) != 1)
            fail_msg("%s: %s", f->name, out.p);
        assert_int_equal(read_by(one, out.p, out.n), n > 1 ? -1 : 1);
        assert_int_equal(read_by(g, out.p, strlen(f->opener)), 0);

        const aios__call_sink sink = {&read, none, none, NULL, NULL, on_call, NULL};
        aios__callparse p;
        aios__callparse_init(&p, aios__ctx_heap(ctx), f, aios__think_format_find("", 0), &sink);
        assert_int_equal(aios__callparse_add(&p, out.p, out.n, NULL, NULL), 0);
        assert_int_equal(aios__callparse_finish(&p, NULL), 0);
        aios__callparse_free(&p);
        char want[256];
        snprintf(want, sizeof want, "get_weather%s;%s", args, n > 1 ? "get{};get_time{};" : "");
        assert_string_equal(read.p, want);

        for (size_t k = 0; k < AIOS__ARRAY_LEN(bad); k++) {
            aios__call_piece piece = {bad[k][0], f->id_text ? (f->id_len ? "abcDEF123" : "0") : NULL, bad[k][1], strlen(bad[k][1])};
            aios__buf_clear(&out);
            assert_int_equal(aios__calls_write(aios__ctx_heap(ctx), f, &piece, 1, &out, NULL), 0);
            if (read_by(g, out.p, out.n) != -1)
                fail_msg("%s: %s", f->name, out.p);
        }
        aios__buf_free(&out);
        aios__buf_free(&read);
        aios_grammar_free(g);
        aios_grammar_free(one);
    }
}

/* JSON of arguments is spaced as templates write it, in the grammar and in calls of earlier turns. */
static void blanks_are_those_of_the_format(void **state)
{
    (void)state;
    static const struct {
        const char *format, *text;
    } rows[] = {
        {"hermes", "<tool_call>\n{\"name\": \"t\", \"arguments\": {\"p\": \"a,b\", \"l\": [1, 2], \"o\": {\"x\": 1, \"y\": [\"a:b\", 5]}}}\n</tool_call>"},
        {"mistral-args", "[TOOL_CALLS]t[ARGS]{\"p\": \"a,b\", \"l\": [1, 2], \"o\": {\"x\": 1, \"y\": [\"a:b\", 5]}}"},
        {"qwen-coder", "<tool_call>\n<function=t>\n<parameter=p>\na,b\n</parameter>\n<parameter=l>\n[1, 2]\n</parameter>\n<parameter=o>\n"
                       "{\"x\": 1, \"y\": [\"a:b\", 5]}\n</parameter>\n</function>\n</tool_call>"},
        {"lfm2", "<|tool_call_start|>[t(p=\"a,b\", l=[1, 2], o={\"x\": 1, \"y\": [\"a:b\", 5]})]<|tool_call_end|>"},
        {"harmony", "<|channel|>commentary to=functions.t <|constrain|>json<|message|>{\"p\":\"a,b\",\"l\":[1,2],\"o\":{\"x\":1,\"y\":[\"a:b\",5]}}"},
    };
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"string\"},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},"
                                 "\"o\":{\"const\":{\"x\":1,\"y\":[\"a:b\",5]}}},\"required\":[\"p\",\"l\",\"o\"]}";
    static const char args[] = "{\"p\":\"a,b\",\"l\":[1,2],\"o\":{\"x\":1,\"y\":[\"a:b\",5]}}";
    const aios_tool_def t = {sizeof t, "t", NULL, schema};
    const aios__call_piece piece = {.name = "t", .args = args, .n_args = strlen(args)};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        const aios__call_format *f = aios__call_format_named(rows[i].format);
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        aios__buf out;
        aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        must(aios__calls_write(aios__ctx_heap(ctx), f, &piece, 1, &out, &err), &err);
        must(aios__buf_addc(&out, 0, &err), &err);
        assert_string_equal(out.p, rows[i].text);
        must(aios__grammar_calls(ctx, &t, sizeof t, 1, NULL, f, 1, &g, &err), &err);
        if (read_by(g, rows[i].text, strlen(rows[i].text)) != 1)
            fail_msg("%s", rows[i].text);
        aios_grammar_free(g);
        aios__buf_free(&out);
    }
}

static void one_tool_alone_may_be_named(void **state)
{
    (void)state;
    aios_grammar *g = calls("hermes", "get_time", 1);
    const char *is = "<tool_call>\n{\"name\": \"get_time\", \"arguments\": {}}\n</tool_call>", *other = "<tool_call>\n{\"name\": \"get\"";
    char forced[256] = {0};
    aios_walk *w;
    assert_int_equal(read_by(g, is, strlen(is)), 1);
    assert_int_equal(read_by(g, other, strlen(other)), -1);
    assert_int_equal(aios_walk_new(g, &w, NULL), 0);
    aios_walk_forced(w, forced, sizeof forced - 1);
    assert_string_equal(forced, is);
    aios_walk_free(w);
    aios_grammar_free(g);
}

static void what_a_format_cannot_hold_to_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *format, *schema, *words[2];
        int code;
    } rows[] = {
        {"qwen-coder", "{\"type\":\"object\",\"minProperties\":2}", {"tool t", "minProperties"}, AIOS_ENOTSUP},
        {"qwen-coder", "{\"properties\":{\"p\":{\"type\":\"string\",\"not\":{\"const\":\"x\"}}}}", {"property p", "not"}, AIOS_ENOTSUP},
        {"qwen-coder", "{\"properties\":{\"a<b\":{}}}", {"property a<b", "name"}, AIOS_ENOTSUP},
        {"function-gemma", "{\"properties\":{\"a:b\":{}}}", {"property a:b", "name"}, AIOS_ENOTSUP},
        {"qwen-coder", "{\"properties\":{},\"required\":[\"p\"]}", {"property p", "without a schema"}, AIOS_ENOTSUP},
        {"qwen-coder", "{\"properties\":{\"p\":{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}},\"required\":[\"p\"]}", {"", ""}, AIOS_ESCHEMA},
        {"qwen-coder", "{\"properties\":{\"p\":{\"type\":\"string\",\"pattern\":\"(\"}}}", {"property p", ""}, AIOS_ESCHEMA},
        {"hermes", "{\"properties\":{\"p\":{\"type\":\"strin\"}}}", {"tool t", "type"}, AIOS_ESCHEMA},
        {"hermes", "{", {"tool t", ""}, AIOS_ESCHEMA},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        aios_tool_def t = {sizeof t, "t", NULL, rows[i].schema};
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        int rc = aios__grammar_calls(ctx, &t, sizeof t, 1, NULL, aios__call_format_named(rows[i].format), 1, &g, &err);
        if (rc != rows[i].code || !strstr(err.msg, rows[i].words[0]) || !strstr(err.msg, rows[i].words[1]))
            fail_msg("%s %s: %d %s", rows[i].format, rows[i].schema, rc, err.msg);
    }
}

static void patterns_and_lengths_hold_in_tags(void **state)
{
    (void)state;
    aios_tool_def t = {sizeof t, "t", NULL, "{\"properties\":{\"p\":{\"type\":\"string\",\"pattern\":\"^[a-z]+$\",\"minLength\":2,\"maxLength\":4}},\"required\":[\"p\"]}"};
    aios_grammar *g = NULL;
    assert_int_equal(aios__grammar_calls(ctx, &t, sizeof t, 1, NULL, aios__call_format_named("seed"), 1, &g, NULL), 0);
    static const struct {
        const char *value;
        int is;
    } rows[] = {{"abc", 1}, {"a", -1}, {"abcde", -1}, {"aB", -1}, {"ab\n", -1}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        char s[256];
        int n = snprintf(s, sizeof s, "<seed:tool_call>\n<function=t>\n<parameter=p>%s</parameter>\n</function>\n</seed:tool_call>", rows[i].value);
        assert_int_equal(read_by(g, s, (size_t)n), rows[i].is);
    }
    aios_grammar_free(g);
}

/* ---- many tools --------------------------------------------------------------------------------------------------------- */

static void formats_hold_in_tags_and_lists_keep_what_fits_beside(void **state)
{
    (void)state;
    static const struct {
        const char *keywords, *text;
        int whole;
    } rows[] = {
        {"\"type\":\"string\",\"format\":\"date\"", "2024-02-29", 1}, {"\"type\":\"string\",\"format\":\"date\"", "2023-02-29", -1},
        {"\"type\":\"string\",\"format\":\"nobody-knows\"", "any", 1}, {"\"enum\":[\"ab\",\"abc\"],\"maxLength\":2", "ab", 1},
        {"\"enum\":[\"ab\",\"abc\"],\"maxLength\":2", "abc", -1},       {"\"enum\":[\"ab\",\"xy\"],\"pattern\":\"^a\"", "xy", -1},
        {"\"enum\":[\"ab\",\"xy\"],\"const\":\"xy\"", "xy", 1},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        char schema[256], text[256];
        snprintf(schema, sizeof schema, "{\"type\":\"object\",\"properties\":{\"p\":{%s}},\"required\":[\"p\"]}", rows[i].keywords);
        snprintf(text, sizeof text, "{\"p\":\"%s\"}", rows[i].text);
        aios_tool_def t = {sizeof t, "t", NULL, schema};
        const aios__call_format *f = aios__call_format_named("qwen-coder");
        aios__call_piece piece = {"t", NULL, text, strlen(text)};
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        aios__buf out;
        if (aios__grammar_calls(ctx, &t, sizeof t, 1, NULL, f, 1, &g, &err))
            fail_msg("%s: %s", schema, err.msg);
        aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        assert_int_equal(aios__calls_write(aios__ctx_heap(ctx), f, &piece, 1, &out, NULL), 0);
        if (read_by(g, out.p, out.n) != rows[i].whole)
            fail_msg("%s: %s", schema, out.p);
        aios__buf_free(&out);
        aios_grammar_free(g);
    }
}

enum { MANY = 500 };
static aios_tool_def many[MANY];
static char names[MANY][16], schemas[MANY][2200];

/* 500 tools, a megabyte of schemas; tool 7's cannot be satisfied. */
static void make_many(void)
{
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof names[i], "tool_%d", i);
        int n = snprintf(schemas[i], sizeof schemas[i], "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", i == 7 ? 2 : i, i == 7 ? 1 : i);
        for (int k = 0; n < 2000; k++)
            n += snprintf(schemas[i] + n, sizeof schemas[i] - (size_t)n, ",\"p%d\":{\"type\":\"string\",\"description\":\"property %d of tool %d\",\"maxLength\":%d}", k, k, i, k + 1);
        snprintf(schemas[i] + n, sizeof schemas[i] - (size_t)n, "},\"required\":[\"n\"]}");
        many[i] = (aios_tool_def){sizeof(aios_tool_def), names[i], NULL, schemas[i]};
    }
}

static aios_grammar *grammar_of_many(void)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    if (aios__grammar_calls(ctx, many, sizeof *many, MANY, NULL, aios__call_format_named("hermes"), 3, &g, &err))
        fail_msg("%s", err.msg);
    return g;
}

static int write_many(char *s, size_t n, int a, int b, int value)
{
    return snprintf(s, n,
                    "<tool_call>\n{\"name\": \"tool_%d\", \"arguments\": {\"n\": %d, \"p0\": \"x\"}}\n</tool_call>\n"
                    "<tool_call>\n{\"name\": \"tool_%d\", \"arguments\": {\"n\": %d}}\n</tool_call>",
                    a, a, b, value);
}

static void tools_are_compiled_when_they_are_chosen(void **state)
{
    (void)state;
    aios_grammar *g = grammar_of_many();
    uint32_t before = g->n_nodes;
    char s[512];
    assert_non_null(g->lazy);
    assert_true(before < 4 * MANY);
    for (int a = 10; a < 400; a += 97) {
        assert_int_equal(read_by(g, s, (size_t)write_many(s, sizeof s, a, a + 1, a + 1)), 1);
        assert_int_equal(read_by(g, s, (size_t)write_many(s, sizeof s, a, a + 1, a + 2)), -1);
        assert_int_equal(read_by(g, s, (size_t)write_many(s, sizeof s, a, a, a)), 1);
    }
    assert_int_equal(g->n_nodes, before);
    assert_int_equal(g->refs, 1);
    aios_grammar_free(g);
}

static void a_chosen_tool_that_is_wrong_says_so(void **state)
{
    (void)state;
    aios_grammar *g = grammar_of_many();
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w;
    const char *s = "<tool_call>\n{\"name\": \"tool_7\", \"arguments\": {";
    assert_int_equal(aios_walk_new(g, &w, NULL), 0);
    aios_grammar_free(g); /* the walk keeps it */
    assert_int_equal(aios_walk_accept(w, s, strlen(s), &err), AIOS_ESCHEMA);
    assert_non_null(strstr(err.msg, "tool_7"));
    aios_walk_free(w);
    schemas[3][0] = '[';
    assert_int_equal(aios__grammar_calls(ctx, many, sizeof *many, MANY, NULL, aios__call_format_named("hermes"), 3, &g, &err), AIOS_ESCHEMA);
    assert_non_null(strstr(err.msg, "tool_3:"));
    schemas[3][0] = '{';
}

/* A copy goes its own way, and outlives the first. */
static void walks_share_what_was_compiled(void **state)
{
    (void)state;
    aios_grammar *g = grammar_of_many();
    aios_walk *a, *b, *c;
    const char *s = "<tool_call>\n{\"name\": \"tool_20\", \"arguments\": {", *rest = "\"n\": 20}}\n</tool_call>";
    assert_int_equal(aios_walk_new(g, &a, NULL), 0);
    assert_int_equal(aios_walk_new(g, &b, NULL), 0);
    assert_int_equal(aios_walk_accept(a, s, strlen(s), NULL), 0);
    assert_int_equal(aios_walk_accept(b, s, strlen(s), NULL), 0);
    assert_ptr_equal(a->g, b->g);
    assert_ptr_not_equal(a->g, g);
    assert_int_equal(aios_walk_copy(a, &c, NULL), 0);
    aios_walk_free(a);
    aios_walk_free(b);
    aios_grammar_free(g);
    assert_int_equal(aios_walk_accept(c, rest, strlen(rest), NULL), 0);
    assert_int_equal(aios_walk_complete(c), 1);
    aios_walk_free(c);
}

static const char *const tokens[] = {"<tool_call>\n", "{\"name\": \"", ", \"argu", "ments\": {", ", \"arguments\": ", ", \"arguments\": {", "\"n\": ", "20", "2", "0", "}", "}\n</tool_call>",
                                     "\n", ", \"p0\": \"", "x", "\"", ", \"p1\": \"", ", \"arguments\": {\"n\": 2", "\"", "{", "\"p0\": "};
enum { N_TOKENS = AIOS__ARRAY_LEN(tokens) };

static const char *piece(void *user, int32_t id, size_t *n)
{
    (void)user;
    *n = strlen(tokens[id]);
    return tokens[id];
}

/* Behind the name of a tool the mask is that of a grammar of this tool alone. */
static void masks_do_not_tell_when_a_tool_was_compiled(void **state)
{
    (void)state;
    aios_grammar *g = grammar_of_many(), *one = NULL;
    aios_walk *a, *b;
    aios__trie *t = NULL;
    uint32_t seed = 5, whole = 0;
    assert_int_equal(aios__grammar_calls(ctx, many, sizeof *many, MANY, "tool_20", aios__call_format_named("hermes"), 3, &one, NULL), 0);
    assert_null(one->lazy);
    assert_int_equal(aios__trie_new(ctx, N_TOKENS, piece, NULL, &t, NULL), 0);
    for (int round = 0; round < 300; round++) {
        const char *s = "<tool_call>\n{\"name\": \"tool_20\"";
        assert_int_equal(aios_walk_new(g, &a, NULL), 0);
        assert_int_equal(aios_walk_new(one, &b, NULL), 0);
        assert_int_equal(aios_walk_accept(a, s, strlen(s), NULL), 0);
        assert_int_equal(aios_walk_accept(b, s, strlen(s), NULL), 0);
        for (int i = 0; i < 14; i++) {
            uint32_t x[(N_TOKENS + 31) / 32], y[(N_TOKENS + 31) / 32], n_x, n_y;
            int32_t only;
            assert_int_equal(aios__walk_mask(a, t, x, &n_x, &only, NULL), 0);
            assert_int_equal(aios__walk_mask(b, t, y, &n_y, &only, NULL), 0);
            assert_memory_equal(x, y, sizeof x);
            if (!n_y)
                break;
            uint32_t id;
            do
                id = (seed = seed * 1664525u + 1013904223u) >> 16 & 31;
            while (id >= N_TOKENS || !(y[id / 32] >> id % 32 & 1));
            assert_int_equal(aios_walk_accept(a, tokens[id], strlen(tokens[id]), NULL), 0);
            assert_int_equal(aios_walk_accept(b, tokens[id], strlen(tokens[id]), NULL), 0);
            assert_int_equal(aios_walk_complete(a), aios_walk_complete(b));
            whole += (uint32_t)aios_walk_complete(a);
            if (aios_walk_complete(a))
                break; /* another tool may follow in one of them */
        }
        aios_walk_free(a);
        aios_walk_free(b);
    }
    assert_true(whole > 5);
    aios__trie_free(t);
    aios_grammar_free(g);
    aios_grammar_free(one);
}

/* ---- tools with patterns and lists, called in turn -------------------------------------------------------------------------- */

enum { PADS = 40 };
static const char *const turn_schemas[] = {
    "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"string\",\"pattern\":\"^[a-f]{2,12}x?y?$\"},\"q\":{\"anyOf\":[{\"enum\":[\"one\",\"two\"]},{\"type\":\"boolean\"}]}},"
    "\"required\":[\"p\",\"q\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"string\",\"pattern\":\"^[0-9]+(-[g-z]{3})?$\"},\"q\":{\"anyOf\":[{\"enum\":[\"red\",7]},{\"type\":\"null\"}]}},"
    "\"required\":[\"p\",\"q\"],\"additionalProperties\":false}",
    "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"string\",\"pattern\":\"^([A-C]|zz)*$\"},\"q\":{\"anyOf\":[{\"enum\":[\"x\",\"y\"]},{\"type\":\"boolean\"}]}},"
    "\"required\":[\"p\",\"q\"],\"additionalProperties\":false}",
};
/* What each is called with at first, and later on. */
static const char *const turn_args[][2] = {{"{\"p\": \"abcdefabcx\", \"q\": \"two\"}", "{\"p\": \"fedcy\", \"q\": false}"},
                                           {"{\"p\": \"12-ghi\", \"q\": 7}", "{\"p\": \"0\", \"q\": \"red\"}"},
                                           {"{\"p\": \"AzzB\", \"q\": true}", "{\"p\": \"\", \"q\": \"y\"}"}};

/* The three, and with them as many as are needed to compile each when it is chosen. */
static aios_grammar *turns(bool lazy)
{
    static char pad[PADS][16];
    static char any[1024];
    aios_tool_def all[3 + PADS] = {{sizeof *all, "a", NULL, turn_schemas[0]}, {sizeof *all, "b", NULL, turn_schemas[1]}, {sizeof *all, "c", NULL, turn_schemas[2]}};
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    snprintf(any, sizeof any, "{\"type\":\"object\",\"description\":\"%0*d\"}", lazy ? 900 : 1, 0);
    for (int i = 0; i < PADS; i++) {
        snprintf(pad[i], sizeof pad[i], "pad_%d", i);
        all[3 + i] = (aios_tool_def){sizeof *all, pad[i], NULL, any};
    }
    if (aios__grammar_calls(ctx, all, sizeof *all, AIOS__ARRAY_LEN(all), NULL, aios__call_format_named("hermes"), 0, &g, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(g->lazy != NULL, lazy);
    return g;
}

static const char *const turn_tokens[] = {"a", "b", "x", "ab", "abx", "abcx\"", "cx", "1", "12", "-g", "ghi\"", "-", "A", "zz", "AzzB\"", "B\", \"", "\"", "\", \"q\": ", "\"two\"", "\"o", "red", "\"r",
                                          "7", "true", "t", "n", "null", "}", "\"}", "{", "{\"p\": \"", ", \"arguments\": {\"p\": \"", " {\"p\": \"A", " {\"p\": \"1", "\n", "<tool_call>\n"};

static const char *turn_piece(void *user, int32_t id, size_t *n)
{
    (void)user;
    *n = strlen(turn_tokens[id]);
    return turn_tokens[id];
}

static void compare_positions(const aios_walk *a, const aios_walk *b, const aios__trie *t, const char *text, size_t n)
{
    enum { WORDS = (AIOS__ARRAY_LEN(turn_tokens) + 31) / 32 };
    uint32_t x[WORDS], y[WORDS], n_x, n_y;
    uint8_t p[32], q[32];
    int32_t only;
    assert_int_equal(aios__walk_mask(a, t, x, &n_x, &only, NULL), 0);
    assert_int_equal(aios__walk_mask(b, t, y, &n_y, &only, NULL), 0);
    assert_int_equal(aios_walk_next_bytes(a, p), 0);
    assert_int_equal(aios_walk_next_bytes(b, q), 0);
    if (memcmp(x, y, sizeof x) || n_x != n_y || memcmp(p, q, sizeof p) || aios_walk_complete(a) != aios_walk_complete(b))
        fail_msg("behind %.*s", (int)n, text);
}

/* What was found out with one grammar of a family does not tell in the next, in which its numbers mean something else. */
/* Beside others too, and where names begin with each other. */
static void a_tool_that_cannot_be_called_is_named(void **state)
{
    (void)state;
    static const char never[] = "{\"type\":\"object\",\"properties\":{\"p\":{\"type\":\"array\",\"items\":false,\"minItems\":1}},\"required\":[\"p\"]}";
    static const char *const formats[] = {"hermes", "lfm2", "gemma4", "qwen-coder"};
    const aios_tool_def some[] = {{sizeof *some, "get", NULL, NULL}, {sizeof *some, "get_all", NULL, never}, {sizeof *some, "get_one", NULL, NULL}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(formats); i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        assert_int_equal(aios__grammar_calls(ctx, some, sizeof *some, AIOS__ARRAY_LEN(some), NULL, aios__call_format_named(formats[i]), 1, &g, &err), AIOS_ESCHEMA);
        if (!strstr(err.msg, "get_all"))
            fail_msg("%s: %s", formats[i], err.msg);
    }
}

static void calls_in_turn_are_those_of_tools_compiled_at_once(void **state)
{
    (void)state;
    aios_grammar *lazy = turns(true), *eager = turns(false);
    aios__trie *t = NULL;
    assert_int_equal(aios__trie_new(ctx, AIOS__ARRAY_LEN(turn_tokens), turn_piece, NULL, &t, NULL), 0);
    static const char *const orders[] = {"abab", "aba", "acbca", "bcabc", "cabcab"};
    for (size_t o = 0; o < AIOS__ARRAY_LEN(orders); o++) {
        aios_walk *a, *b;
        char s[1024];
        size_t n = 0;
        for (const char *c = orders[o]; *c; c++)
            n += (size_t)snprintf(s + n, sizeof s - n, "%s<tool_call>\n{\"name\": \"%c\", \"arguments\": %s}\n</tool_call>", n ? "\n" : "", *c, turn_args[*c - 'a'][n > 150]);
        assert_int_equal(aios_walk_new(lazy, &a, NULL), 0);
        assert_int_equal(aios_walk_new(eager, &b, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            compare_positions(a, b, t, s, i);
            assert_int_equal(aios_walk_accept(a, s + i, 1, NULL), 0);
            assert_int_equal(aios_walk_accept(b, s + i, 1, NULL), 0);
        }
        compare_positions(a, b, t, s, n);
        assert_int_equal(aios_walk_complete(a), 1);
        aios_walk_free(a);
        aios_walk_free(b);
    }
    aios__trie_free(t);
    aios_grammar_free(lazy);
    aios_grammar_free(eager);
}

static const char over[] = "hi\", \"q\": 7}}\n</tool_call>\n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"p\": \"ab";

static const char *over_piece(void *user, int32_t id, size_t *n)
{
    static const char *const all[] = {over, "hi", "hi\"", "4"};
    (void)user;
    *n = strlen(all[id]);
    return all[id];
}

/* Masks inside arguments do not compile what a token calls next: that would change what the arguments' own readings mean. */
static void a_look_ahead_from_inside_arguments_stays_in_its_grammar(void **state)
{
    (void)state;
    aios_grammar *g = turns(true);
    aios__trie *t = NULL;
    aios_walk *w;
    uint32_t bits, n;
    int32_t only;
    const char *s = "<tool_call>\n{\"name\": \"b\", \"arguments\": {\"p\": \"12-g";
    assert_int_equal(aios__trie_new(ctx, 4, over_piece, NULL, &t, NULL), 0);
    assert_int_equal(aios_walk_new(g, &w, NULL), 0);
    assert_int_equal(aios_walk_accept(w, s, strlen(s), NULL), 0);
    const aios_grammar *before = w->g;
    assert_int_equal(aios__walk_mask(w, t, &bits, &n, &only, NULL), 0);
    assert_int_equal(bits, 6);
    assert_ptr_equal(w->g, before);
    assert_int_equal(aios_walk_accept(w, over, strlen(over), NULL), 0); /* the text itself is one of the language */
    assert_ptr_not_equal(w->g, before);
    aios_walk_free(w);
    aios__trie_free(t);
    aios_grammar_free(g);
}

/* A text that is refused behind the name of another tool leaves the walk where and in which grammar it was. */
static void a_text_refused_behind_a_name_changes_nothing(void **state)
{
    (void)state;
    aios_grammar *lazy = turns(true), *eager = turns(false);
    aios__trie *t = NULL;
    aios_walk *a, *b;
    assert_int_equal(aios__trie_new(ctx, AIOS__ARRAY_LEN(turn_tokens), turn_piece, NULL, &t, NULL), 0);
    const char *s = "<tool_call>\n{\"name\": \"b\", \"arguments\": {\"p\": \"12-g";
    const char *rest = "hi\", \"q\": 7}}\n</tool_call>", *more = "hi\", \"q\": 7}}\n</tool_call>\n<tool_call>\n{\"name\": \"a\", \"arguments\": {\"p\": \"?";
    assert_int_equal(aios_walk_new(lazy, &a, NULL), 0);
    assert_int_equal(aios_walk_new(eager, &b, NULL), 0);
    assert_int_equal(aios_walk_accept(a, s, strlen(s), NULL), 0);
    assert_int_equal(aios_walk_accept(b, s, strlen(s), NULL), 0);
    const aios_grammar *before = a->g;
    assert_int_equal(aios_walk_accept(a, more, strlen(more), NULL), AIOS_ESCHEMA);
    assert_ptr_equal(a->g, before);
    for (size_t i = 0; i < strlen(rest); i++) {
        compare_positions(a, b, t, rest, i);
        assert_int_equal(aios_walk_accept(a, rest + i, 1, NULL), 0);
        assert_int_equal(aios_walk_accept(b, rest + i, 1, NULL), 0);
    }
    aios_walk_free(a);
    aios_walk_free(b);
    aios__trie_free(t);
    aios_grammar_free(lazy);
    aios_grammar_free(eager);
}

/* The next turn with the same tools finds the grammar made. */
static void a_grammar_of_the_same_tools_is_made_once(void **state)
{
    (void)state;
    aios_grammar *a = grammar_of_many(), *b = grammar_of_many(), *c = calls("hermes", NULL, 2), *d = calls("hermes", NULL, 3), *e = calls("json", NULL, 2);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(c, d);
    assert_ptr_not_equal(c, e);
    aios_grammar_free(c);
    assert_ptr_equal(c, calls("hermes", NULL, 2));
    aios_grammar *all[] = {a, b, c, d, e};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(all); i++)
        aios_grammar_free(all[i]);
}

static void *read_some(void *user)
{
    char s[512];
    for (int i = 0; i < 200; i++) {
        int a = 20 + i % 7;
        assert_int_equal(read_by(user, s, (size_t)write_many(s, sizeof s, a, a + 1, a + 1)), 1);
    }
    return NULL;
}

static void threads_share_a_grammar_of_many_tools(void **state)
{
    (void)state;
    aios_grammar *g = grammar_of_many();
    pthread_t t[4];
    for (size_t i = 0; i < AIOS__ARRAY_LEN(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, read_some, g), 0);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(t); i++)
        pthread_join(t[i], NULL);
    aios_grammar_free(g);
}

/* From the tools to the end of a call. */
static int write_a_call(aios_ctx *c, aios_error *err)
{
    const char *s = "<tool_call>\n{\"name\": \"tool_20\", \"arguments\": {\"n\": 20}}\n</tool_call>";
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    int rc = aios__grammar_calls(c, many, sizeof *many, 40, NULL, aios__call_format_named("hermes"), 3, &g, err);
    rc = rc ? rc : aios_walk_new(g, &w, err);
    rc = rc ? rc : aios_walk_accept(w, s, strlen(s), err);
    aios_walk_free(w);
    aios_grammar_free(g);
    return rc;
}

static void memory_may_be_refused(void **state)
{
    (void)state;
    refuse_every_allocation(write_a_call, true);
}

static int setup(void **state)
{
    make_many();
    return open_ctx(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_in_every_format_are_held_to_their_tools),
        cmocka_unit_test(blanks_are_those_of_the_format),
        cmocka_unit_test(one_tool_alone_may_be_named),
        cmocka_unit_test(what_a_format_cannot_hold_to_is_named),
        cmocka_unit_test(patterns_and_lengths_hold_in_tags),
        cmocka_unit_test(formats_hold_in_tags_and_lists_keep_what_fits_beside),
        cmocka_unit_test(tools_are_compiled_when_they_are_chosen),
        cmocka_unit_test(a_chosen_tool_that_is_wrong_says_so),
        cmocka_unit_test(walks_share_what_was_compiled),
        cmocka_unit_test(masks_do_not_tell_when_a_tool_was_compiled),
        cmocka_unit_test(calls_in_turn_are_those_of_tools_compiled_at_once),
        cmocka_unit_test(a_look_ahead_from_inside_arguments_stays_in_its_grammar),
        cmocka_unit_test(a_text_refused_behind_a_name_changes_nothing),
        cmocka_unit_test(a_grammar_of_the_same_tools_is_made_once),
        cmocka_unit_test(threads_share_a_grammar_of_many_tools),
        cmocka_unit_test(memory_may_be_refused),
        cmocka_unit_test(a_tool_that_cannot_be_called_is_named),
    };
    return cmocka_run_group_tests_name("grammar_calls", tests, setup, close_ctx);
}
