/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of a run become spans: invoke_agent around all, chat for each attempt of a model turn, execute_tool for each call.
 * https://github.com/open-telemetry/semantic-conventions-genai (gen-ai-agent-spans, gen-ai-spans, execute-tool)
 */
#include <stdio.h>

#include "observe/observe_priv.h"

enum { MAX_OPEN_TOOLS = 256, MAX_CONTENT = 64 << 10, INTERNAL = 1, CLIENT = 3 };

typedef struct moment {
    int64_t wall_us, mono_ns;
} moment;

typedef struct tool {
    uint8_t id[8];
    moment began;
    char *call_id, *name, *args;
    bool asked, started;
} tool;

struct aios__trace {
    aios_telemetry *tm;
    aios__heap *heap;
    char *agent, *conversation, *provider, *model, *labels; /* labels: attributes of metrics, without brackets */
    bool remote, ended;
    uint8_t trace_id[16], parent[8], root[8];
    bool has_parent, sampled;
    moment began;

    uint8_t chat[8];           /* of the open model turn */
    bool in_chat, spoke;
    moment chat_began;
    int64_t first_ns;          /* to the first piece */
    uint32_t step, attempt;
    aios_usage turn, total;
    aios__buf notes;           /* events of the chat span, JSON */
    aios__buf said;            /* with CONTENT */

    tool *tools;
    uint32_t n_tools, cap_tools;
};

/* ---- ids and times --------------------------------------------------------------------------------------------------- */

static moment now(const aios__trace *t)
{
    const aios_env *env = aios__ctx_env(t->tm->ctx);
    return (moment){env->wall_us(env->user), env->mono_ns(env->user)};
}

static void roll(const aios__trace *t, uint8_t *id, size_t n)
{
    const aios_env *env = aios__ctx_env(t->tm->ctx);
    int32_t sys;
    uint8_t any = 0;
    if (env->random(env->user, id, n, &sys))
        memset(id, 0, n);
    for (size_t i = 0; i < n; i++)
        any |= id[i];
    id[n - 1] |= any ? 0 : 1; /* all zero is no id */
}

static void put_id(aios__buf *b, const char *key, const uint8_t *id, size_t n)
{
    aios__put_key(b, key, NULL);
    aios__buf_addc(b, '"', NULL);
    for (size_t i = 0; i < n; i++)
        aios__buf_addf(b, NULL, "%02x", id[i]);
    aios__buf_addc(b, '"', NULL);
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *s, uint8_t *out, size_t n)
{
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(s[2 * i]), lo = hi < 0 ? -1 : nibble(s[2 * i + 1]);
        if (lo < 0)
            return false;
        any |= out[i] = (uint8_t)(hi << 4 | lo);
    }
    return any;
}

/* https://www.w3.org/TR/trace-context/#traceparent-header */
static bool read_parent(aios__trace *t, const char *s)
{
    uint8_t flags;
    bool whole = s && strlen(s) == 55 && !memcmp(s, "00-", 3) && s[35] == '-' && s[52] == '-';
    if (!whole || !read_hex(s + 3, t->trace_id, 16) || !read_hex(s + 36, t->parent, 8))
        return false;
    t->sampled = !read_hex(s + 53, &flags, 1) || flags & 1;
    if (!strcmp(s + 53, "00"))
        t->sampled = false;
    return true;
}

/* ---- a span ---------------------------------------------------------------------------------------------------------- */

static void open_span(const aios__trace *t, aios__buf *b, const char *verb, const char *noun, const uint8_t *id, const uint8_t *parent, int kind, moment began)
{
    char name[160];
    int n = snprintf(name, sizeof name, "%s%s%s", verb, noun && *noun ? " " : "", noun ? noun : "");
    n = n < (int)sizeof name ? n : (int)sizeof name - 1;
    aios__buf_init(b, t->heap, AIOS_MEM_TEXT, 1 << 20);
    aios__buf_addc(b, '{', NULL);
    put_id(b, "traceId", t->trace_id, 16);
    put_id(b, "spanId", id, 8);
    if (parent)
        put_id(b, "parentSpanId", parent, 8);
    aios__put_str(b, "name", name, aios__utf8_whole(name, (size_t)n), NULL);
    aios__put_int(b, "kind", kind, NULL);
    int64_t took = now(t).mono_ns - began.mono_ns;
    aios__otlp_count(b, "startTimeUnixNano", (uint64_t)began.wall_us * 1000);
    aios__otlp_count(b, "endTimeUnixNano", (uint64_t)began.wall_us * 1000 + (uint64_t)(took > 0 ? took : 0));
    aios__put_raw(b, "attributes", "[", NULL);
    aios__otlp_text(b, "gen_ai.operation.name", verb, AIOS_CSTR);
    aios__otlp_text(b, "gen_ai.conversation.id", t->conversation, AIOS_CSTR);
}

static bool tells_content(const aios__trace *t)
{
    return t->tm->flags & AIOS_TELEMETRY_CONTENT;
}

/* code 0: it went well. */
static void close_span(const aios__trace *t, aios__buf *b, const char *notes, int code, const char *why)
{
    if (code)
        aios__otlp_text(b, "error.type", aios_code_name(code), AIOS_CSTR);
    aios__buf_addc(b, ']', NULL);
    if (notes && *notes) {
        aios__put_raw(b, "events", "[", NULL);
        aios__buf_adds(b, notes, NULL);
        aios__buf_addc(b, ']', NULL);
    }
    if (code) {
        aios__put_raw(b, "status", "{\"code\":2", NULL);
        aios__put_str(b, "message", tells_content(t) ? why : aios_strerror(code), AIOS_CSTR, NULL); /* why may quote what was said */
        aios__buf_addc(b, '}', NULL);
    }
    aios__buf_addc(b, '}', NULL);
    if (t->sampled)
        aios__telemetry_add(t->tm, b);
    aios__buf_free(b);
}

static void put_model(const aios__trace *t, aios__buf *b)
{
    aios__otlp_text(b, "gen_ai.provider.name", t->provider, AIOS_CSTR);
    aios__otlp_text(b, "gen_ai.request.model", t->model, AIOS_CSTR);
}

static void put_usage(aios__buf *b, const aios_usage *u)
{
    if (!u->input && !u->output)
        return;
    aios__otlp_int(b, "gen_ai.usage.input_tokens", u->input);
    aios__otlp_int(b, "gen_ai.usage.cache_read.input_tokens", u->cached);
    aios__otlp_int(b, "gen_ai.usage.output_tokens", u->output);
    if (u->reasoning)
        aios__otlp_int(b, "gen_ai.usage.reasoning.output_tokens", u->reasoning);
    if (u->cost_micros)
        aios__otlp_int(b, "aios.usage.cost_micros", (int64_t)u->cost_micros);
}

static void put_note(const aios__trace *t, aios__buf *b, const char *name, const char *key, const char *value)
{
    size_t before = b->n;
    aios__put_comma(b, NULL);
    aios__buf_addc(b, '{', NULL);
    aios__otlp_count(b, "timeUnixNano", (uint64_t)now(t).wall_us * 1000);
    aios__put_str(b, "name", name, AIOS_CSTR, NULL);
    aios__put_raw(b, "attributes", "[", NULL);
    aios__otlp_text(b, key, value, AIOS_CSTR);
    if (aios__buf_adds(b, "]}", NULL) && b->p) { /* this one had no room, and none will */
        b->n = before;
        b->p[before] = 0;
    }
}

static void measure(const aios__trace *t, uint32_t kind, const char *operation, const char *key, const char *value, int code, double x)
{
    aios__buf b;
    aios__buf_init(&b, t->heap, AIOS_MEM_TEXT, 4096);
    aios__buf_addc(&b, '[', NULL);
    aios__buf_adds(&b, t->labels, NULL);
    aios__otlp_text(&b, "gen_ai.operation.name", operation, AIOS_CSTR);
    aios__otlp_text(&b, key, value, AIOS_CSTR);
    if (code)
        aios__otlp_text(&b, "error.type", aios_code_name(code), AIOS_CSTR);
    aios__buf_addc(&b, ']', NULL);
    if (!b.failed)
        aios__metric_add(t->tm, kind, b.p, x);
    aios__buf_free(&b);
}

static double seconds(const aios__trace *t, moment began)
{
    return (double)(now(t).mono_ns - began.mono_ns) / 1e9;
}

/* ---- model turns ------------------------------------------------------------------------------------------------------ */

static void end_chat(aios__trace *t, int code, const char *why, const char *reason)
{
    aios__buf b;
    if (!t->in_chat)
        return;
    t->in_chat = false;
    open_span(t, &b, "chat", t->model, t->chat, t->root, t->remote ? CLIENT : INTERNAL, t->chat_began);
    put_model(t, &b);
    put_usage(&b, &t->turn);
    if (reason)
        aios__otlp_texts(&b, "gen_ai.response.finish_reasons", &reason, 1);
    aios__otlp_int(&b, "aios.step", t->step);
    aios__otlp_int(&b, "aios.attempt", t->attempt);
    if (t->said.n) {
        aios__buf m;
        aios__buf_init(&m, t->heap, AIOS_MEM_TEXT, 0);
        aios__buf_adds(&m, "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\"", NULL);
        aios__put_str(&m, "content", t->said.p, t->said.n, NULL);
        aios__buf_addf(&m, NULL, "}],\"finish_reason\":\"%s\"}]", reason ? reason : code ? "error" : "stop");
        if (!m.failed)
            aios__otlp_text(&b, "gen_ai.output.messages", m.p, m.n);
        aios__buf_free(&m);
    }
    close_span(t, &b, t->notes.p, code, why);
    measure(t, AIOS__METRIC_DURATION, "chat", NULL, NULL, code, seconds(t, t->chat_began));
    if (t->turn.input || t->turn.output) {
        measure(t, AIOS__METRIC_TOKENS, "chat", "gen_ai.token.type", "input", 0, t->turn.input);
        measure(t, AIOS__METRIC_TOKENS, "chat", "gen_ai.token.type", "output", 0, t->turn.output);
    }
    if (t->turn.queue_ns)
        measure(t, AIOS__METRIC_QUEUE, "chat", NULL, NULL, 0, (double)t->turn.queue_ns / 1e9);
    if (t->spoke)
        measure(t, AIOS__METRIC_FIRST_CHUNK, "chat", NULL, NULL, 0, (double)t->first_ns / 1e9);
}

static void begin_chat(aios__trace *t, const aios_event *ev)
{
    end_chat(t, 0, NULL, NULL);
    roll(t, t->chat, sizeof t->chat);
    t->in_chat = true;
    t->spoke = false;
    t->chat_began = now(t);
    t->step = ev->step;
    t->attempt = ev->attempt;
    t->turn = (aios_usage)AIOS_INIT(aios_usage);
    aios__buf_clear(&t->notes);
    aios__buf_clear(&t->said);
}

static void hear(aios__trace *t, const aios_event *ev)
{
    if (!t->in_chat)
        return;
    if (!t->spoke)
        t->first_ns = now(t).mono_ns - t->chat_began.mono_ns;
    t->spoke = true;
    if (ev->type == AIOS_EVENT_TEXT && tells_content(t) && t->said.n + ev->n_text <= MAX_CONTENT)
        aios__buf_add(&t->said, ev->text, ev->n_text, NULL);
}

static void add_usage(aios_usage *sum, const aios_usage *u)
{
    sum->input += u->input;
    sum->cached += u->cached;
    sum->output += u->output;
    sum->reasoning += u->reasoning;
    sum->cost_micros += u->cost_micros;
    sum->queue_ns += u->queue_ns;
}

/* ---- tools ------------------------------------------------------------------------------------------------------------ */

static char *copy(const aios__trace *t, const char *s, size_t n)
{
    char *p = s ? aios__realloc_quietly(t->heap, AIOS_MEM_TEXT, NULL, n + 1) : NULL;
    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

static tool *find_tool(const aios__trace *t, const char *call_id)
{
    for (uint32_t i = 0; call_id && i < t->n_tools; i++)
        if (!strcmp(t->tools[i].call_id, call_id))
            return &t->tools[i];
    return NULL;
}

static void drop_tool(aios__trace *t, tool *k)
{
    aios__free(t->heap, k->call_id);
    aios__free(t->heap, k->name);
    aios__free(t->heap, k->args);
    *k = t->tools[--t->n_tools];
}

static void begin_tool(aios__trace *t, const aios_event *ev)
{
    if (t->n_tools == t->cap_tools) {
        uint32_t cap = t->cap_tools ? 2 * t->cap_tools : 4;
        tool *p = cap > MAX_OPEN_TOOLS ? NULL : aios__realloc_quietly(t->heap, AIOS_MEM_OTHER, t->tools, cap * sizeof *p);
        if (!p) {
            aios__telemetry_drop(t->tm, 1);
            return;
        }
        t->tools = p;
        t->cap_tools = cap;
    }
    tool *k = &t->tools[t->n_tools];
    *k = (tool){.began = now(t), .call_id = copy(t, ev->call_id, strlen(ev->call_id)), .name = copy(t, ev->name, strlen(ev->name))};
    roll(t, k->id, sizeof k->id);
    if (tells_content(t) && ev->n_text <= MAX_CONTENT)
        k->args = copy(t, ev->text, ev->n_text);
    t->n_tools++;
    if (!k->call_id || !k->name) {
        aios__telemetry_drop(t->tm, 1);
        drop_tool(t, k);
    }
}

static void end_tool(aios__trace *t, tool *k, int code, const char *result, size_t n)
{
    aios__buf b, notes;
    /* a name that the model made up is what it said */
    const char *name = code == AIOS_ENOENT && !k->started && !tells_content(t) ? "_OTHER" : k->name;
    open_span(t, &b, "execute_tool", name, k->id, t->root, INTERNAL, k->began);
    aios__buf_init(&notes, t->heap, AIOS_MEM_TEXT, 4096);
    aios__otlp_text(&b, "gen_ai.tool.name", name, AIOS_CSTR);
    aios__otlp_text(&b, "gen_ai.tool.call.id", k->call_id, AIOS_CSTR);
    aios__otlp_text(&b, "gen_ai.tool.type", "function", AIOS_CSTR);
    aios__otlp_text(&b, "gen_ai.tool.call.arguments", k->args, AIOS_CSTR);
    if (tells_content(t) && n <= MAX_CONTENT)
        aios__otlp_text(&b, "gen_ai.tool.call.result", result, n);
    if (k->asked)
        put_note(t, &notes, "aios.asked", "gen_ai.tool.call.id", k->call_id);
    close_span(t, &b, notes.p, code, code ? aios_strerror(code) : NULL);
    aios__buf_free(&notes);
    measure(t, AIOS__METRIC_TOOL, "execute_tool", "gen_ai.tool.name", name, code, seconds(t, k->began));
    drop_tool(t, k);
}

/* ---- the run ---------------------------------------------------------------------------------------------------------- */

static void end_all(aios__trace *t, int code, const char *why, const char *reason)
{
    aios__buf b;
    if (t->ended)
        return;
    t->ended = true;
    end_chat(t, code, why, reason);
    while (t->n_tools)
        end_tool(t, &t->tools[0], code ? code : AIOS_ECANCELED, NULL, 0);
    open_span(t, &b, "invoke_agent", t->agent, t->root, t->has_parent ? t->parent : NULL, INTERNAL, t->began);
    aios__otlp_text(&b, "gen_ai.agent.name", t->agent, AIOS_CSTR);
    put_model(t, &b);
    put_usage(&b, &t->total);
    if (reason)
        aios__otlp_texts(&b, "gen_ai.response.finish_reasons", &reason, 1);
    close_span(t, &b, NULL, code, why);
    measure(t, AIOS__METRIC_DURATION, "invoke_agent", NULL, NULL, code, seconds(t, t->began));
}

static void on_state(aios__trace *t, const aios_event *ev)
{
    if (ev->n_text == 5 && !memcmp(ev->text, "model", 5))
        begin_chat(t, ev);
    else if (ev->n_text == 5 && !memcmp(ev->text, "tools", 5))
        end_chat(t, 0, NULL, "tool_calls");
}

void aios__trace_event(aios__trace *t, const aios_event *ev)
{
    tool *k;
    if (!t || t->ended)
        return;
    switch (ev->type) {
    case AIOS_EVENT_STATE:
        on_state(t, ev);
        break;
    case AIOS_EVENT_TEXT:
    case AIOS_EVENT_REASONING:
    case AIOS_EVENT_CALL_DELTA:
        hear(t, ev);
        break;
    case AIOS_EVENT_USAGE:
        add_usage(&t->turn, ev->usage);
        add_usage(&t->total, ev->usage);
        break;
    case AIOS_EVENT_ROUTE:
        put_note(t, &t->notes, "aios.route", "aios.route.to", ev->name);
        break;
    case AIOS_EVENT_CALL:
        begin_tool(t, ev);
        break;
    case AIOS_EVENT_ASK:
        k = find_tool(t, ev->call_id);
        if (k)
            k->asked = true;
        break;
    case AIOS_EVENT_RESULT:
        k = find_tool(t, ev->call_id);
        if (k)
            end_tool(t, k, ev->code, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_DONE:
        end_all(t, 0, NULL, ev->name);
        break;
    case AIOS_EVENT_ERROR:
        end_all(t, ev->error->code, ev->error->msg, NULL);
        break;
    default:
        break; /* of a newer run */
    }
}

void aios__trace_tool(aios__trace *t, const char *call_id)
{
    tool *k = t ? find_tool(t, call_id) : NULL;
    if (!k)
        return;
    k->began = now(t);
    k->started = true;
}

void aios__trace_parent(const aios__trace *t, const char *call_id, char out[56])
{
    const tool *k = t ? find_tool(t, call_id) : NULL;
    const uint8_t *id = k ? k->id : t ? t->root : NULL;
    out[0] = 0;
    if (!t)
        return;
    int n = snprintf(out, 56, "00-");
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, 56 - (size_t)n, "%02x", t->trace_id[i]);
    n += snprintf(out + n, 56 - (size_t)n, "-");
    for (int i = 0; i < 8; i++)
        n += snprintf(out + n, 56 - (size_t)n, "%02x", id[i]);
    snprintf(out + n, 56 - (size_t)n, "-%s", t->sampled ? "01" : "00");
}

static bool label(aios__trace *t)
{
    aios__buf b;
    aios__buf_init(&b, t->heap, AIOS_MEM_TEXT, 4096);
    aios__buf_adds(&b, "", NULL);
    put_model(t, &b);
    t->labels = b.failed ? NULL : b.p;
    if (b.failed)
        aios__buf_free(&b);
    return t->labels;
}

static char *copy_text(const aios__trace *t, const char *s)
{
    return copy(t, s, s ? strlen(s) : 0);
}

aios__trace *aios__trace_begin(aios_telemetry *tm, const aios__trace_info *info)
{
    aios__trace *t = aios__alloc(tm->heap, AIOS_MEM_OTHER, sizeof *t, NULL);
    if (!t) {
        aios__telemetry_drop(tm, 1);
        return NULL;
    }
    t->tm = aios__telemetry_ref(tm);
    t->heap = tm->heap;
    t->agent = copy_text(t, info->agent);
    t->conversation = copy_text(t, info->conversation);
    t->provider = copy_text(t, info->provider);
    t->model = copy_text(t, info->model);
    t->remote = info->remote;
    t->total = (aios_usage)AIOS_INIT(aios_usage);
    aios__buf_init(&t->notes, t->heap, AIOS_MEM_TEXT, 64 << 10);
    aios__buf_init(&t->said, t->heap, AIOS_MEM_TEXT, MAX_CONTENT);
    t->sampled = true;
    t->has_parent = read_parent(t, info->parent);
    if (!t->has_parent)
        roll(t, t->trace_id, sizeof t->trace_id);
    roll(t, t->root, sizeof t->root);
    t->began = now(t);
    if (label(t))
        return t;
    t->ended = true;
    aios__trace_free(t);
    aios__telemetry_drop(tm, 1);
    return NULL;
}

void aios__trace_free(aios__trace *t)
{
    if (!t)
        return;
    aios_telemetry *tm = t->tm;
    end_all(t, AIOS_ECANCELED, "the run was given up", NULL);
    aios__free(t->heap, t->agent);
    aios__free(t->heap, t->conversation);
    aios__free(t->heap, t->provider);
    aios__free(t->heap, t->model);
    aios__free(t->heap, t->labels);
    aios__free(t->heap, t->tools);
    aios__buf_free(&t->notes);
    aios__buf_free(&t->said);
    aios__free(t->heap, t);
    aios_telemetry_free(tm);
}
