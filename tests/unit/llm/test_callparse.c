/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_ctx.h"

#include "call_samples.h"
#include "llm/callparse.h"

/* What came, written as in call_samples.h; arguments in pieces must make up the whole. */
typedef struct log {
    char is[4096], args[2048];
    size_t n, n_args;
    char open, name[256];
    int in_call;
} log;

static void put(log *l, const char *s, size_t n)
{
    assert_true(l->n + n < sizeof l->is);
    memcpy(l->is + l->n, s, n);
    l->n += n;
    l->is[l->n] = 0;
}

static int piece(log *l, char kind, const char *s, size_t n)
{
    assert_true(n > 0 && aios__utf8_valid(s, n) && !memchr(s, 0, n));
    if (l->open != kind) {
        if (l->open)
            put(l, ")", 1);
        put(l, (char[]){kind, '('}, 2);
    }
    l->open = kind;
    put(l, s, n);
    return 0;
}

static int on_text(void *user, const char *s, size_t n)
{
    return piece(user, 'T', s, n);
}

static int on_reasoning(void *user, const char *s, size_t n)
{
    return piece(user, 'R', s, n);
}

static int on_begin(void *user, const char *name, const char *id)
{
    log *l = user;
    assert_false(l->in_call);
    assert_true(!id || *id);
    l->in_call = 1;
    l->n_args = 0;
    snprintf(l->name, sizeof l->name, "%s", name);
    return 0;
}

static int on_args(void *user, const char *s, size_t n)
{
    log *l = user;
    assert_true(l->in_call && n > 0 && aios__utf8_valid(s, n));
    assert_true(l->n_args + n < sizeof l->args);
    memcpy(l->args + l->n_args, s, n);
    l->n_args += n;
    return 0;
}

static int on_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    log *l = user;
    assert_true(l->in_call);
    assert_string_equal(l->name, name);
    assert_int_equal(l->n_args, n);
    assert_memory_equal(l->args, args, n);
    if (l->open)
        put(l, ")", 1);
    put(l, "C(", 2);
    put(l, name, strlen(name));
    put(l, args, n);
    if (id) {
        put(l, "#", 1);
        put(l, id, strlen(id));
    }
    put(l, ")", 1);
    l->open = 0;
    l->in_call = 0;
    return 0;
}

static int on_drop(void *user)
{
    log *l = user;
    assert_true(l->in_call);
    l->in_call = 0;
    return 0;
}

static const aios__call_sink sink = {NULL, on_text, on_reasoning, on_begin, on_args, on_call, on_drop};

/* The reply cut at up to two places. */
static const char *read_cut(const char *format, const char *think, const char *s, size_t n, size_t a, size_t b, log *l)
{
    aios__callparse p;
    aios__call_sink to = sink;
    aios_error err = AIOS_INIT(aios_error);
    memset(l, 0, sizeof *l);
    to.user = l;
    const aios__call_format *f = aios__call_format_named(format);
    assert_non_null(f);
    aios__callparse_init(&p, aios__ctx_heap(ctx), f, aios__think_format_find(think, strlen(think)), &to);
    p.may_think = true;
    int rc = aios__callparse_add(&p, s, a, NULL, &err);
    rc = rc ? rc : aios__callparse_add(&p, s + a, b - a, NULL, &err);
    rc = rc ? rc : aios__callparse_add(&p, s + b, n - b, NULL, &err);
    rc = rc ? rc : aios__callparse_finish(&p, &err);
    aios__callparse_free(&p);
    if (rc)
        fail_msg("%s", err.msg);
    assert_false(l->in_call);
    if (l->open)
        put(l, ")", 1);
    return l->is;
}

static void recorded_replies_are_read(void **state)
{
    (void)state;
    log l;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(call_samples); i++) {
        const char *s = call_samples[i].reply;
        const char *is = read_cut(call_samples[i].format, call_samples[i].think, s, strlen(s), 0, 0, &l);
        if (strcmp(is, call_samples[i].is))
            fail_msg("%s: %s\n is %s\nnot %s", call_samples[i].format, s, is, call_samples[i].is);
    }
}

static void it_does_not_matter_where_a_reply_is_cut(void **state)
{
    (void)state;
    log l;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(call_samples); i++) {
        const char *s = call_samples[i].reply;
        size_t n = strlen(s);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++)
                if (strcmp(read_cut(call_samples[i].format, call_samples[i].think, s, n, a, b, &l), call_samples[i].is))
                    fail_msg("%s cut at %zu and %zu: %s\n is %s\nnot %s", call_samples[i].format, a, b, s, l.is, call_samples[i].is);
    }
}

/* A beginning of a reply, at its end, has lost nothing: the marks around it are there, or the call is. */
static void a_reply_that_ends_early_loses_nothing(void **state)
{
    (void)state;
    log l;
    const char *s = "Hm. <tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": \"b\"}}";
    for (size_t n = 4; n < strlen(s); n++) {
        char want[256];
        snprintf(want, sizeof want, "T(%.*s)", (int)n, s);
        assert_string_equal(read_cut("hermes", "", s, n, 0, 0, &l), want);
    }
    assert_string_equal(read_cut("hermes", "", s, strlen(s), 0, 0, &l), "T(Hm.)C(get{\"a\":\"b\"})");
}

static void what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    log l;
    const char s[] = "a\xff\xc3(\0b\xf0\x9f";
    assert_string_equal(read_cut("hermes", "", s, sizeof s - 1, 2, 5, &l), "T(a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd)");
}

/* 1: a string, 0: JSON. */
static int types(void *user, const char *tool, const char *key)
{
    (void)user;
    assert_string_equal(tool, "w");
    return key[0] == 's' ? 1 : 0;
}

static void strings_in_tags_are_told_by_their_schema(void **state)
{
    (void)state;
    aios__callparse p;
    aios__call_sink to = sink;
    log l = {0};
    to.user = &l;
    aios__callparse_init(&p, aios__ctx_heap(ctx), aios__call_format_named("qwen-coder"), aios__think_format_find("", 0), &to);
    p.is_text = types;
    const char *s = "<tool_call>\n<function=w>\n<parameter=s>\n12\n</parameter>\n<parameter=n>\n\"12\"\n</parameter>\n<parameter=s2>\n\n</parameter>\n</function>\n</tool_call>";
    for (size_t i = 0; s[i]; i++)
        assert_int_equal(aios__callparse_add(&p, s + i, 1, NULL, NULL), 0);
    assert_int_equal(aios__callparse_finish(&p, NULL), 0);
    aios__callparse_free(&p);
    assert_string_equal(l.is, "C(w{\"s\":\"12\",\"n\":\"12\",\"s2\":\"\"})");
}

static void every_format_reads_what_it_writes(void **state)
{
    (void)state;
    const char *args = "{\"s\":\"a \\\"b\\\" \\\\ \\u00e9\\n<x> {y}, [z]\",\"n\":-12.5,\"t\":true,\"o\":{\"k\":[1,\"two\",null]},\"e\":{}}";
    const aios__call_piece calls[] = {{"get_weather", "abcDEF123", args, strlen(args)}, {"now", NULL, "{}", 2}};
    for (uint32_t i = 0; aios__call_format_at(i); i++) {
        const aios__call_format *f = aios__call_format_at(i);
        aios_error err = AIOS_INIT(aios_error);
        aios__buf out;
        log l;
        aios__buf_init(&out, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
        if (aios__calls_write(aios__ctx_heap(ctx), f, calls, f->between ? 2 : 1, &out, &err))
            fail_msg("%s: %s", f->name, err.msg);
        read_cut(f->name, "", out.p, out.n, out.n / 2, out.n / 2, &l);
        bool id = f->id_len && (f->id_key || f->id_open);
        char want[512];
        snprintf(want, sizeof want, "C(get_weather{\"s\":\"a \\\"b\\\" \\\\ \xc3\xa9\\n<x> {y}, [z]\",\"n\":-12.5,\"t\":true,\"o\":{\"k\":[1,\"two\",null]},\"e\":{}}%s)%s",
                 id ? "#abcDEF123" : "", f->between ? "C(now{})" : "");
        if (strcmp(l.is, want))
            fail_msg("%s: %s\n is %s\nnot %s", f->name, out.p, l.is, want);
        assert_memory_equal(f->opener, out.p, strlen(f->opener));
        aios__buf_free(&out);
    }
}

/* Words of templates by their families. */
static const struct {
    const char *tmpl, *format, *think_open;
} templates[] = {
    {"{{ '<|im_start|>' }}<tools></tools> return <tool_call>\\n{...}</tool_call> <think>", "hermes", "<think>"},
    {"<tool_call>\\n<function=example>\\n<parameter=x>\\n</tool_call>", "qwen-coder", "<think>"},
    {"Environment: ipython {\"name\": function name, \"parameters\": ...}", "llama3", "<think>"},
    {"{{- '<|python_tag|>' + tool_call.name }}", "llama3", "<think>"},
    {"<|header_start|> [func_name1(params_name1=params_value1)] <|python_start|>", "llama4", "<think>"},
    {"{{- \"[TOOL_CALLS][\" }} [AVAILABLE_TOOLS]", "mistral-list", "<think>"},
    {"{{- '[TOOL_CALLS] [' }}", "mistral-list-spaced", "<think>"},
    {"'[TOOL_CALLS]' + name + '[ARGS]' [THINK]", "mistral-args", "[THINK]"},
    {"'[TOOL_CALLS]' + name + '[CALL_ID]' + id + '[ARGS]'", "mistral-id", "<think>"},
    {"<|start_of_role|>assistant<|tool_call|>", "granite", "<think>"},
    {"<|tool|>...<|/tool|><|tool_call|>[]<|/tool_call|>", "phi4", "<think>"},
    {"functools[{...}]", "phi-functools", "<think>"},
    {"<start_function_call>call:", "function-gemma", "<think>"},
    {"<|tool_call>call: <tool_call|> <|channel>thought <channel|>", "gemma4", "<|channel>thought"},
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + type + '<｜tool▁sep｜>' '\\n```json'", "deepseek-r1", "<think>"},
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + name + '<｜tool▁sep｜>'", "deepseek-v3.1", "<think>"},
    {"dsml_token = \"｜DSML｜\"", "deepseek-dsml", "<think>"},
    {"<function=example>{...}</function>", "functionary", "<think>"},
    {"<|start|>assistant to= <|channel|>commentary json<|message|>", "harmony", "<|channel|>analysis<|message|>"},
    {"<arg_key>{{ k }}</arg_key><arg_value> <tool_call>", "glm", "<think>"},
    {"<start_of_turn>model", "json", "<think>"},
    {"{{ messages }}", "hermes", "<think>"},
    {"", "hermes", "<think>"},
};

static void a_template_tells_the_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(templates); i++) {
        const char *t = templates[i].tmpl;
        if (strcmp(aios__call_format_find(t, strlen(t))->name, templates[i].format))
            fail_msg("%s: %s", t, aios__call_format_find(t, strlen(t))->name);
        assert_string_equal(aios__think_format_find(t, strlen(t))->open, templates[i].think_open);
    }
}

/* A caller that waits behind an opener gets what was read, and may go on. */
static void reading_stops_behind_an_opener(void **state)
{
    (void)state;
    aios__callparse p;
    aios__call_sink to = sink;
    log l = {0};
    size_t used;
    const char *s = "Well. <tool_call>\n{\"name\": \"a\", \"arguments\": {}}";
    to.user = &l;
    aios__callparse_init(&p, aios__ctx_heap(ctx), aios__call_format_named("hermes"), aios__think_format_find("", 0), &to);
    p.pause = true;
    assert_int_equal(aios__callparse_add(&p, s, strlen(s), &used, NULL), 0);
    assert_true(p.opened && p.any);
    assert_int_equal(used, 17);
    assert_string_equal(p.raw.p, "<tool_call>");
    p.pause = false;
    assert_int_equal(aios__callparse_add(&p, s + used, strlen(s) - used, NULL, NULL), 0);
    assert_int_equal(aios__callparse_finish(&p, NULL), 0);
    assert_int_equal(p.n_calls, 1);
    aios__callparse_free(&p);
    assert_string_equal(l.is, "T(Well.)C(a{})");
}

static void stop_texts_end_a_reply(void **state)
{
    (void)state;
    aios__callparse p;
    aios__call_sink to = sink;
    log l = {0};
    to.user = &l;
    aios__callparse_init(&p, aios__ctx_heap(ctx), aios__call_format_named("hermes"), aios__think_format_find("", 0), &to);
    assert_int_equal(aios__buf_add(&p.stops, "END\0\nUser:", 11, NULL), 0);
    const char *s = "one EN two\n User:\nUser: more";
    for (size_t i = 0; s[i]; i++)
        assert_int_equal(aios__callparse_add(&p, s + i, 1, NULL, NULL), 0);
    assert_int_equal(p.state, AIOS__PARSE_OVER);
    assert_int_equal(aios__callparse_finish(&p, NULL), 0);
    aios__callparse_free(&p);
    assert_string_equal(l.is, "T(one EN two\n User:");
}

static int count_text(void *user, const char *s, size_t n)
{
    (void)s;
    *(size_t *)user += n;
    return 0;
}

static int no_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    (void)user;
    (void)name;
    (void)args;
    (void)n;
    (void)id;
    return 0;
}

static void long_hostile_replies_come_through_whole(void **state)
{
    (void)state;
    static const char *const units[][2] = {
        {"qwen-coder", "<tool_call><function=a><parameter=b>"}, {"hermes", "<tool_call>"}, {"hermes", "<tool_call>{\"name\":\"a\",\"arguments\":{\"x\":\""},
        {"function-gemma", "<start_function_call>call:a{b:["}, {"harmony", "<|channel|>"}, {"llama4", "["}, {"hermes", "x\n"},
    };
    size_t n = 1 << 20;
    char *s = malloc(n);
    assert_non_null(s);
    for (size_t u = 0; u < AIOS__ARRAY_LEN(units); u++) {
        aios__callparse p;
        size_t len = strlen(units[u][1]), sum = 0;
        n -= n % len;
        for (size_t i = 0; i < n; i++)
            s[i] = units[u][1][i % len];
        const aios__call_sink to = {&sum, count_text, count_text, NULL, NULL, no_call, NULL};
        aios__callparse_init(&p, aios__ctx_heap(ctx), aios__call_format_named(units[u][0]), aios__think_format_find("", 0), &to);
        assert_int_equal(aios__callparse_add(&p, s, n, NULL, NULL), 0);
        assert_int_equal(aios__callparse_finish(&p, NULL), 0);
        aios__callparse_free(&p);
        assert_int_equal(sum, n);
    }
    free(s);
}

static size_t sample; /* of call_samples, that is read */

static int read_sample(aios_ctx *c, aios_error *err)
{
    aios__callparse p;
    log l = {0};
    aios__call_sink to = sink;
    const char *reply = call_samples[sample].reply, *think = call_samples[sample].think;
    const aios__call_format *f = aios__call_format_named(call_samples[sample].format);
    to.user = &l;
    aios__callparse_init(&p, aios__ctx_heap(c), f, aios__think_format_find(think, strlen(think)), &to);
    p.may_think = true;
    int rc = aios__callparse_add(&p, reply, strlen(reply), NULL, err);
    rc = rc ? rc : aios__callparse_finish(&p, err);
    aios__callparse_free(&p);
    return rc;
}

static void memory_may_be_refused(void **state)
{
    (void)state;
    for (sample = 0; sample < AIOS__ARRAY_LEN(call_samples); sample++) {
        refuse_every_allocation(read_sample, true);
        assert_every_budget_is_kept(read_sample);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_replies_are_read),
        cmocka_unit_test(it_does_not_matter_where_a_reply_is_cut),
        cmocka_unit_test(a_reply_that_ends_early_loses_nothing),
        cmocka_unit_test(what_is_no_utf8_is_replaced),
        cmocka_unit_test(strings_in_tags_are_told_by_their_schema),
        cmocka_unit_test(every_format_reads_what_it_writes),
        cmocka_unit_test(a_template_tells_the_format),
        cmocka_unit_test(reading_stops_behind_an_opener),
        cmocka_unit_test(stop_texts_end_a_reply),
        cmocka_unit_test(long_hostile_replies_come_through_whole),
        cmocka_unit_test(memory_may_be_refused),
    };
    return cmocka_run_group_tests_name("callparse", tests, open_ctx, close_ctx);
}
