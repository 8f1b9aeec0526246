/* SPDX-License-Identifier: Apache-2.0 */
/* Spans and metrics of events that the tests make up, as a receiver of the host's, a file and a server see them. */
#include "base/http_server.h"

#include "base/json.h"
#include "observe/observe.h"

/* ---- a receiver --------------------------------------------------------------------------------------------------- */

typedef struct seen {
    pthread_mutex_t lock;
    char *traces[64], *metrics;
    int n_traces, code;
} seen;

static int take(void *user, const char *signal, const char *json, size_t n)
{
    seen *s = user;
    char *copy = strndup(json, n);
    pthread_mutex_lock(&s->lock);
    if (!strcmp(signal, "metrics")) {
        free(s->metrics);
        s->metrics = copy;
    } else {
        assert_true(s->n_traces < 64);
        s->traces[s->n_traces++] = copy;
    }
    int code = s->code;
    pthread_mutex_unlock(&s->lock);
    return code;
}

static void forget(seen *s)
{
    for (int i = 0; i < s->n_traces; i++)
        free(s->traces[i]);
    free(s->metrics);
}

static aios_telemetry *collect(aios_ctx *ctx, seen *s, uint32_t flags)
{
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    pthread_mutex_init(&s->lock, NULL);
    c.write = take;
    c.user = s;
    c.flags = flags;
    c.resource = "deployment.environment.name=test,note=a%2Cb%20c, empty=";
    must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
    return tm;
}

/* ---- a run ---------------------------------------------------------------------------------------------------------- */

static void tell(aios__trace *t, int32_t type, const char *name, const char *id, const char *text, uint32_t step, int code)
{
    aios_event ev = AIOS_INIT(aios_event);
    aios_usage u = AIOS_INIT(aios_usage);
    aios_error e = AIOS_INIT(aios_error);
    ev.type = type;
    ev.name = name;
    ev.call_id = id;
    ev.text = text ? text : "";
    ev.n_text = strlen(ev.text);
    ev.step = step;
    ev.code = code;
    u.input = 100 * (step + 1);
    u.cached = 60;
    u.output = 7;
    ev.usage = &u;
    e.code = code;
    snprintf(e.msg, sizeof e.msg, "it broke \"here\"");
    ev.error = &e;
    aios__trace_event(t, &ev);
}

static aios__trace *begin_trace(aios_telemetry *tm, const char *parent)
{
    const aios__trace_info info = {.agent = "helper", .conversation = "run-1", .provider = "openai", .model = "gpt-x", .remote = true, .parent = parent};
    return aios__trace_begin(tm, &info);
}

/* Two turns, the first with a tool. */
static void tell_run(aios__trace *t)
{
    tell(t, AIOS_EVENT_STATE, NULL, NULL, "model", 0, 0);
    tell(t, AIOS_EVENT_USAGE, NULL, NULL, NULL, 0, 0);
    tell(t, AIOS_EVENT_STATE, NULL, NULL, "tools", 0, 0);
    tell(t, AIOS_EVENT_CALL, "weather", "call_0", "{\"city\":\"Ulm\"}", 0, 0);
    tell(t, AIOS_EVENT_ASK, "weather", "call_0", "{}", 0, 0);
    aios__trace_tool(t, "call_0");
    tell(t, AIOS_EVENT_RESULT, "weather", "call_0", "error: no such city", 0, AIOS_ETOOL);
    tell(t, AIOS_EVENT_STATE, NULL, NULL, "model", 1, 0);
    tell(t, AIOS_EVENT_ROUTE, "cloud", NULL, "{}", 1, 0);
    tell(t, AIOS_EVENT_TEXT, NULL, NULL, "It is ", 1, 0);
    tell(t, AIOS_EVENT_TEXT, NULL, NULL, "dry.", 1, 0);
    tell(t, AIOS_EVENT_USAGE, NULL, NULL, NULL, 1, 0);
    tell(t, AIOS_EVENT_DONE, "stop", NULL, "It is dry.", 1, 0);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static const aios__json *only(const aios__json *v, const char *key)
{
    const aios__json *a = aios__json_get(v, key);
    assert_int_equal(aios__json_count(a), 1);
    return aios__json_at(a, 0);
}

static const char *text_of(const aios__json *v, const char *key)
{
    size_t n;
    const char *s = aios__json_str(aios__json_get(v, key), &n);
    return s ? s : "";
}

/* The value of an attribute, as text whatever its kind; "" if there is none. */
static const char *attribute(const aios__json *span, const char *key)
{
    const aios__json *all = aios__json_get(span, "attributes");
    for (size_t i = 0; i < aios__json_count(all); i++) {
        const aios__json *a = aios__json_at(all, i), *v = aios__json_get(a, "value");
        if (strcmp(text_of(a, "key"), key))
            continue;
        const aios__json *list = aios__json_get(aios__json_get(v, "arrayValue"), "values");
        const char *s = text_of(v, "stringValue"), *k = text_of(v, "intValue");
        return list ? text_of(aios__json_at(list, 0), "stringValue") : *s ? s : k;
    }
    return "";
}

static const aios__json *spans_of(aios__json_doc *doc)
{
    const aios__json *r = only(aios__json_root(doc), "resourceSpans");
    assert_string_equal(attribute(aios__json_get(r, "resource"), "service.name"), "aios");
    assert_string_equal(attribute(aios__json_get(r, "resource"), "note"), "a,b c");
    assert_string_equal(attribute(aios__json_get(r, "resource"), "deployment.environment.name"), "test");
    const aios__json *s = only(r, "scopeSpans");
    assert_string_equal(text_of(aios__json_get(s, "scope"), "name"), "libaios");
    return aios__json_get(s, "spans");
}

static aios__json_doc *parse(aios_ctx *ctx, const char *json)
{
    aios__json_doc *doc;
    aios_error err = AIOS_INIT(aios_error);
    must(aios__json_parse(aios__ctx_heap(ctx), json, strlen(json), &doc, &err), &err);
    return doc;
}

/* ---- the tests ---------------------------------------------------------------------------------------------------------- */

static void a_run_is_a_tree_of_spans(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, 0);
    aios__trace *t = begin_trace(tm, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    tell_run(t);
    aios__trace_free(t);
    assert_int_equal(aios_telemetry_flush(tm, -1), AIOS_OK);
    assert_int_equal(s.n_traces, 1);
    aios__json_doc *doc = parse(ctx, s.traces[0]);
    const aios__json *spans = spans_of(doc);
    static const struct {
        const char *name, *operation, *key, *value;
        int64_t kind;
    } rows[] = {
        {"chat gpt-x", "chat", "gen_ai.response.finish_reasons", "tool_calls", 3},
        {"execute_tool weather", "execute_tool", "error.type", "ETOOL", 1},
        {"chat gpt-x", "chat", "gen_ai.usage.input_tokens", "200", 3},
        {"invoke_agent helper", "invoke_agent", "gen_ai.usage.output_tokens", "14", 1},
    };
    assert_int_equal(aios__json_count(spans), 4);
    const char *root = text_of(aios__json_at(spans, 3), "spanId");
    for (size_t i = 0; i < 4; i++) {
        const aios__json *span = aios__json_at(spans, i);
        assert_string_equal(text_of(span, "name"), rows[i].name);
        assert_string_equal(attribute(span, "gen_ai.operation.name"), rows[i].operation);
        assert_string_equal(attribute(span, "gen_ai.conversation.id"), "run-1");
        assert_string_equal(attribute(span, rows[i].key), rows[i].value);
        assert_int_equal(aios__json_int(aios__json_get(span, "kind"), -1), rows[i].kind);
        assert_string_equal(text_of(span, "traceId"), "0af7651916cd43dd8448eb211c80319c");
        assert_string_equal(text_of(span, "parentSpanId"), i == 3 ? "b7ad6b7169203331" : root);
        assert_int_equal(strlen(text_of(span, "spanId")), 16);
        long long from = atoll(text_of(span, "startTimeUnixNano")), to = atoll(text_of(span, "endTimeUnixNano"));
        assert_true(from > 1700000000000000000 && to >= from && to - from < 60000000000);
    }
    assert_int_equal(aios__json_int(aios__json_get(aios__json_get(aios__json_at(spans, 1), "status"), "code"), 0), 2);
    assert_string_equal(attribute(aios__json_at(spans, 1), "gen_ai.tool.call.id"), "call_0");
    assert_string_equal(text_of(only(aios__json_at(spans, 1), "events"), "name"), "aios.asked");
    assert_string_equal(text_of(only(aios__json_at(spans, 2), "events"), "name"), "aios.route");
    assert_null(strstr(s.traces[0], "Ulm")); /* content is private */
    assert_null(strstr(s.traces[0], "dry"));
    aios__json_free(doc);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
    assert_int_equal(heap.live, 0);
}

static void histograms_count_tokens_and_times(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, 0);
    for (int i = 0; i < 3; i++) {
        aios__trace *t = begin_trace(tm, NULL);
        tell_run(t);
        aios__trace_free(t);
        assert_int_equal(aios_telemetry_flush(tm, -1), AIOS_OK);
    }
    aios__json_doc *doc = parse(ctx, s.metrics);
    const aios__json *all = aios__json_get(only(only(aios__json_root(doc), "resourceMetrics"), "scopeMetrics"), "metrics");
    assert_int_equal(aios__json_count(all), 4);
    const aios__json *tokens = aios__json_at(all, 0), *points = aios__json_get(aios__json_get(tokens, "histogram"), "dataPoints");
    assert_string_equal(text_of(tokens, "name"), "gen_ai.client.token.usage");
    assert_string_equal(text_of(tokens, "unit"), "{token}");
    assert_int_equal(aios__json_count(points), 2);
    const aios__json *in = aios__json_at(points, 0);
    assert_string_equal(attribute(in, "gen_ai.token.type"), "input");
    assert_string_equal(text_of(in, "count"), "6");
    assert_true(aios__json_real(aios__json_get(in, "sum"), 0) == 900);
    const aios__json *buckets = aios__json_get(in, "bucketCounts");
    assert_int_equal(aios__json_count(buckets), aios__json_count(aios__json_get(in, "explicitBounds")) + 1);
    size_t n;
    assert_string_equal(aios__json_str(aios__json_at(buckets, 3), &n), "0"); /* 64 and less */
    assert_string_equal(aios__json_str(aios__json_at(buckets, 4), &n), "6"); /* 65 to 256: 100 and 200 */
    assert_string_equal(attribute(aios__json_at(aios__json_get(aios__json_get(aios__json_at(all, 3), "histogram"), "dataPoints"), 0), "error.type"), "ETOOL");
    aios__json_free(doc);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

static void content_is_told_when_asked_for(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, AIOS_TELEMETRY_CONTENT);
    aios__trace *t = begin_trace(tm, NULL);
    tell_run(t);
    aios__trace_free(t);
    aios_telemetry_flush(tm, -1);
    aios__json_doc *doc = parse(ctx, s.traces[0]);
    const aios__json *spans = spans_of(doc);
    assert_string_equal(attribute(aios__json_at(spans, 1), "gen_ai.tool.call.arguments"), "{\"city\":\"Ulm\"}");
    assert_string_equal(attribute(aios__json_at(spans, 1), "gen_ai.tool.call.result"), "error: no such city");
    aios__json_doc *said = parse(ctx, attribute(aios__json_at(spans, 2), "gen_ai.output.messages"));
    assert_string_equal(text_of(only(aios__json_at(aios__json_root(said), 0), "parts"), "content"), "It is dry.");
    aios__json_free(said);
    aios__json_free(doc);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

static void the_parent_decides_who_is_told(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    static const char *const none[] = {NULL, "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                       "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"};
    char out[56], again[56];
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, 0);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        aios__trace *t = begin_trace(tm, none[i]);
        aios__trace_parent(t, NULL, out);
        assert_int_equal(strlen(out), 55);
        assert_null(strstr(out, "0af7651916cd43dd"));
        tell(t, AIOS_EVENT_CALL, "weather", "call_0", "{}", 0, 0);
        aios__trace_parent(t, "call_0", again);
        assert_memory_equal(out, again, 35);
        assert_string_not_equal(out, again);
        aios__trace_free(t);
    }
    aios_telemetry_flush(tm, -1);
    int before = s.n_traces;
    aios__trace *t = begin_trace(tm, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"); /* not sampled */
    tell_run(t);
    aios__trace_parent(t, NULL, out);
    assert_string_equal(out + 52, "-00");
    aios__trace_free(t);
    aios_telemetry_flush(tm, -1);
    assert_int_equal(s.n_traces, before);
    aios_telemetry_free(tm);
    forget(&s);
    s = (seen){0};
    tm = collect(ctx, &s, 0);
    t = begin_trace(tm, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    tell_run(t);
    aios__trace_free(t);
    assert_int_equal(aios_telemetry_flush(tm, 10000), AIOS_OK);
    assert_int_equal(s.n_traces, 0);
    assert_non_null(s.metrics); /* they are of all runs */
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

/* A failure's own words may quote a prompt or a reply. */
static void check_broken(uint32_t flags, const char *message)
{
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, flags);
    aios__trace *t = begin_trace(tm, NULL);
    tell(t, AIOS_EVENT_STATE, NULL, NULL, "model", 0, 0);
    tell(t, AIOS_EVENT_ERROR, "EUNAVAIL", NULL, NULL, 0, AIOS_EUNAVAIL);
    tell(t, AIOS_EVENT_TEXT, NULL, NULL, "too late", 0, 0);
    aios__trace_free(t);
    t = begin_trace(tm, NULL);
    tell(t, AIOS_EVENT_CALL, "weather", "call_0", "{}", 0, 0);
    aios__trace_free(t);
    aios_telemetry_flush(tm, -1);
    aios__json_doc *doc = parse(ctx, s.traces[0]);
    const aios__json *spans = spans_of(doc);
    assert_int_equal(aios__json_count(spans), 4);
    assert_string_equal(attribute(aios__json_at(spans, 0), "error.type"), "EUNAVAIL");
    assert_string_equal(text_of(aios__json_get(aios__json_at(spans, 1), "status"), "message"), message);
    assert_string_equal(attribute(aios__json_at(spans, 2), "error.type"), "ECANCELED");
    aios__json_free(doc);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

static void what_breaks_off_ends_its_spans(void **state)
{
    (void)state;
    check_broken(0, aios_strerror(AIOS_EUNAVAIL));
    check_broken(AIOS_TELEMETRY_CONTENT, "it broke \"here\"");
}

static void too_many_are_dropped_and_counted(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_telemetry_info info = AIOS_INIT(aios_telemetry_info);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    pthread_mutex_init(&s.lock, NULL);
    c.write = take;
    c.user = &s;
    c.max_spans = 3;
    c.interval_ns = 3600000000000;
    must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
    for (int i = 0; i < 2; i++) {
        aios__trace *t = begin_trace(tm, NULL);
        tell_run(t);
        aios__trace_free(t);
    }
    assert_int_equal(aios_telemetry_flush(tm, -1), AIOS_OK);
    must(aios_telemetry_info_get(tm, &info), &err);
    assert_int_equal(info.n_spans, 8);
    assert_int_equal(info.n_sent, 3);
    assert_int_equal(info.n_dropped, 5);
    s.code = 1; /* the host takes no more */
    aios__trace *t = begin_trace(tm, NULL);
    aios__trace_free(t);
    assert_int_equal(aios_telemetry_flush(tm, -1), AIOS_OK);
    must(aios_telemetry_info_get(tm, &info), &err);
    assert_int_equal(info.n_dropped, 6);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

static void a_name_that_the_model_made_up_is_content(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry *tm = collect(ctx, &s, 0);
    aios__trace *t = begin_trace(tm, NULL);
    tell(t, AIOS_EVENT_CALL, "my_iban_is_DE01", "call_0", "{}", 0, 0);
    tell(t, AIOS_EVENT_RESULT, "my_iban_is_DE01", "call_0", "error: there is no tool", 0, AIOS_ENOENT);
    tell(t, AIOS_EVENT_CALL, "find", "call_1", "{}", 0, 0);
    aios__trace_tool(t, "call_1"); /* there is one, which did not find what it looked for */
    tell(t, AIOS_EVENT_RESULT, "find", "call_1", "error: not found", 0, AIOS_ENOENT);
    aios__trace_free(t);
    aios_telemetry_flush(tm, -1);
    assert_null(strstr(s.traces[0], "iban"));
    assert_null(strstr(s.metrics, "iban"));
    assert_non_null(strstr(s.traces[0], "execute_tool _OTHER"));
    assert_non_null(strstr(s.traces[0], "execute_tool find"));
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

/* With content, spans are as large as what was said. */
static void spans_that_wait_have_a_bound_of_bytes(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    aios_telemetry_info info = AIOS_INIT(aios_telemetry_info);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    static char large[60001];
    memset(large, 'x', sizeof large - 1);
    pthread_mutex_init(&s.lock, NULL);
    pthread_mutex_lock(&s.lock); /* the receiver is stuck */
    c.write = take;
    c.user = &s;
    c.flags = AIOS_TELEMETRY_CONTENT;
    c.max_spans = 100000;
    must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
    aios__trace *t = begin_trace(tm, NULL);
    for (int i = 0; i < 600; i++) {
        tell(t, AIOS_EVENT_CALL, "weather", "call_0", large, 0, 0);
        tell(t, AIOS_EVENT_RESULT, "weather", "call_0", "", 0, 0);
    }
    must(aios_telemetry_info_get(tm, &info), &err);
    assert_in_range(info.n_dropped, 600 - 2 * 140, 600 - 60); /* 8 MiB wait, as many may be under way */
    pthread_mutex_unlock(&s.lock);
    aios__trace_free(t);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

static void many_sets_of_attributes_end_in_one(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    seen s = {0};
    char name[32];
    aios_telemetry *tm = collect(ctx, &s, 0);
    aios__trace *t = begin_trace(tm, NULL);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "tool%d", i);
        tell(t, AIOS_EVENT_CALL, name, name, "{}", 0, 0);
        tell(t, AIOS_EVENT_RESULT, name, name, "", 0, 0);
    }
    aios__trace_free(t);
    aios_telemetry_flush(tm, -1);
    aios__json_doc *doc = parse(ctx, s.metrics);
    assert_non_null(strstr(s.metrics, "otel.metric.overflow"));
    const aios__json *all = aios__json_get(only(only(aios__json_root(doc), "resourceMetrics"), "scopeMetrics"), "metrics");
    long total = 0;
    for (size_t i = 0; i < aios__json_count(all); i++) {
        const aios__json *points = aios__json_get(aios__json_get(aios__json_at(all, i), "histogram"), "dataPoints");
        assert_true(aios__json_count(points) < 256);
        for (size_t k = 0; k < aios__json_count(points); k++)
            total += atol(text_of(aios__json_at(points, k), "count"));
    }
    assert_int_equal(total, 1001); /* every call and the run */
    aios__json_free(doc);
    aios_telemetry_free(tm);
    aios_ctx_free(ctx);
    forget(&s);
}

/* ---- over HTTP ------------------------------------------------------------------------------------------------------- */

static char bodies[8][65536];

static void answer_later(server *s, int fd)
{
    int n = s->n_connections;
    snprintf(bodies[(n - 1) & 7], sizeof bodies[0], "%s", s->request);
    say(fd, n == 1   ? "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
            : n == 2 ? "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"partialSuccess\":{}}"
                     : "HTTP/1.1 200 OK\r\nContent-Length: 72\r\n\r\n{\"partialSuccess\":{\"rejectedDataPoints\":\"3\",\"errorMessage\":\"too many \"}}");
}

static void a_receiver_that_is_busy_is_asked_again(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_later);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_telemetry_info info = AIOS_INIT(aios_telemetry_info);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", s->port);
    c.endpoint = url;
    c.headers = "Authorization=Bearer%20s3cret,X-Team=a";
    must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
    aios__trace *t = begin_trace(tm, NULL);
    tell_run(t);
    aios__trace_free(t);
    assert_int_equal(aios_telemetry_flush(tm, 20000), AIOS_OK);
    must(aios_telemetry_info_get(tm, &info), &err);
    assert_int_equal(info.n_sent, 4);
    assert_int_equal(s->n_connections, 3);
    assert_non_null(strstr(bodies[0], "POST /v1/traces HTTP/1.1\r\n"));
    assert_non_null(strstr(bodies[0], "Authorization: Bearer s3cret\r\n"));
    assert_non_null(strstr(bodies[0], "X-Team: a\r\n"));
    assert_non_null(strstr(bodies[0], "Content-Type: application/json\r\n"));
    assert_string_equal(strstr(bodies[0], "\r\n\r\n"), strstr(bodies[1], "\r\n\r\n")); /* the same spans */
    assert_non_null(strstr(bodies[2], "POST /v1/metrics HTTP/1.1\r\n"));
    aios_telemetry_free(tm);
    server_stop(s);
    aios_ctx_free(ctx);
}

static void who_is_gone_costs_spans_and_no_time(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    c.endpoint = "http://127.0.0.1:1";
    must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
    aios__trace *t = begin_trace(tm, NULL);
    double began = now();
    tell_run(t);
    aios__trace_free(t);
    assert_int_equal(aios_telemetry_flush(tm, 50), AIOS_AGAIN);
    aios_telemetry_free(tm); /* does not wait through the pauses */
    assert_true(now() - began < 5);
    aios_ctx_free(ctx);
}

/* ---- files and configs ------------------------------------------------------------------------------------------------ */

static void a_file_gets_a_line_an_export(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    char path[] = "/tmp/aios-telemetry-XXXXXX";
    int fd = mkstemp(path);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry *tm;
    c.file = path;
    for (int i = 0; i < 2; i++) {
        must(aios_telemetry_new(ctx, &c, &tm, &err), &err);
        aios__trace *t = begin_trace(tm, NULL);
        tell_run(t);
        aios__trace_free(t);
        aios_telemetry_free(tm); /* the last reference exports */
    }
    FILE *f = fdopen(fd, "r");
    static char line[65536];
    for (int i = 0; i < 4; i++) {
        assert_non_null(fgets(line, sizeof line, f));
        aios__json_free(parse(ctx, line));
        assert_non_null(strstr(line, i % 2 ? "resourceMetrics" : "resourceSpans"));
    }
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    remove(path);
    aios_ctx_free(ctx);
}

static void a_config_is_checked(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    static const struct {
        aios_telemetry_config c;
        int code;
        const char *words;
    } rows[] = {
        {{.struct_size = sizeof rows->c}, AIOS_EINVAL, "receiver"},
        {{.struct_size = sizeof rows->c, .endpoint = "collector:4317"}, AIOS_EINVAL, "http://"},
        {{.struct_size = sizeof rows->c, .file = "/nonexistent/f"}, AIOS_ENOENT, "/nonexistent/f"},
        {{.struct_size = sizeof rows->c, .endpoint = "http://h", .headers = "secret"}, AIOS_EINVAL, "key=value"},
        {{.struct_size = sizeof rows->c, .endpoint = "http://h", .headers = "a=1,b=x%0d%0aEvil: 1"}, AIOS_EINVAL, "header 2"},
        {{.struct_size = sizeof rows->c, .endpoint = "http://h", .resource = "=x"}, AIOS_EINVAL, "key=value"},
        {{.struct_size = sizeof rows->c, .endpoint = "http://h", .flags = 8}, AIOS_EINVAL, "0x8"},
        {{.struct_size = sizeof rows->c, .endpoint = "http://h", .timeout_ns = -1}, AIOS_EINVAL, "negative"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_telemetry *tm = (aios_telemetry *)1;
        assert_int_equal(aios_telemetry_new(ctx, &rows[i].c, &tm, &err), rows[i].code);
        assert_null(tm);
        if (!strstr(err.msg, rows[i].words))
            fail_msg("row %zu: %s", i, err.msg);
    }
    aios_telemetry_free(NULL);
    aios_ctx_free(ctx);
}

static void the_environment_configures(void **state)
{
    (void)state;
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_telemetry_config_from_env(&c, &err), AIOS_DONE);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", 1);
    setenv("OTEL_SERVICE_NAME", "shop", 1);
    setenv("OTEL_BSP_SCHEDULE_DELAY", "250", 1);
    setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", 1);
    setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true", 1);
    must(aios_telemetry_config_from_env(&c, &err), &err);
    assert_string_equal(c.endpoint, "http://collector:4318");
    assert_string_equal(c.service_name, "shop");
    assert_int_equal(c.interval_ns, 250000000);
    assert_int_equal(c.timeout_ns, 0);
    assert_int_equal(c.flags, AIOS_TELEMETRY_CONTENT);
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", 1);
    assert_int_equal(aios_telemetry_config_from_env(&c, &err), AIOS_ENOTSUP);
    setenv("OTEL_SDK_DISABLED", "true", 1);
    assert_int_equal(aios_telemetry_config_from_env(&c, &err), AIOS_DONE);
    static const char *const names[] = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_EXPORTER_OTLP_TIMEOUT",
                                        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_SDK_DISABLED"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

/* Whichever allocation fails: the run is not hurt, and nothing leaks. */
static void memory_that_runs_out_costs_spans(void **state)
{
    (void)state;
    for (long fail_at = 1, sound = 0; !sound; fail_at++) {
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        seen s = {0};
        aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
        aios_error err = AIOS_INIT(aios_error);
        aios_telemetry *tm;
        pthread_mutex_init(&s.lock, NULL);
        c.write = take;
        c.user = &s;
        c.flags = AIOS_TELEMETRY_CONTENT;
        c.resource = "a=b";
        heap.n_allocs = 0;
        heap.fail_at = fail_at;
        int rc = aios_telemetry_new(ctx, &c, &tm, &err);
        aios__trace *t = rc ? NULL : begin_trace(tm, NULL);
        if (t)
            tell_run(t);
        aios__trace_free(t);
        if (!rc)
            aios_telemetry_free(tm);
        else
            assert_int_equal(rc, AIOS_ENOMEM);
        sound = !test_heap_heal(&heap);
        for (int i = 0; i < s.n_traces; i++)
            aios__json_free(parse(ctx, s.traces[i])); /* what comes is whole */
        aios_ctx_free(ctx);
        forget(&s);
        assert_int_equal(heap.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_a_tree_of_spans),
        cmocka_unit_test(histograms_count_tokens_and_times),
        cmocka_unit_test(content_is_told_when_asked_for),
        cmocka_unit_test(the_parent_decides_who_is_told),
        cmocka_unit_test(what_breaks_off_ends_its_spans),
        cmocka_unit_test(too_many_are_dropped_and_counted),
        cmocka_unit_test(a_name_that_the_model_made_up_is_content),
        cmocka_unit_test(spans_that_wait_have_a_bound_of_bytes),
        cmocka_unit_test(many_sets_of_attributes_end_in_one),
        cmocka_unit_test(a_receiver_that_is_busy_is_asked_again),
        cmocka_unit_test(who_is_gone_costs_spans_and_no_time),
        cmocka_unit_test(a_file_gets_a_line_an_export),
        cmocka_unit_test(a_config_is_checked),
        cmocka_unit_test(the_environment_configures),
        cmocka_unit_test(memory_that_runs_out_costs_spans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
