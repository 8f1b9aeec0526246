/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's stream on its way to the sink: framing, calls that grow side by side, usage, and how it ended. */
#include <stdio.h>

#include "backend/http/remote_priv.h"
#include "base/sse.h"

#define MAX_CALLS 128u
#define MAX_NAME 256u
#define MAX_NOTE 300u
#define MAX_SIGNATURE ((size_t)4 << 20)
#define MAX_ARGS ((size_t)16 << 20)
#define MAX_EVENT ((size_t)1 << 20)  /* of a stream: one token, or one call */
#define SMALL_EVENT 2048             /* worth to be looked through before it is parsed */
#define MAX_WHOLE ((size_t)16 << 20) /* of a reply in one piece */

typedef struct growing_call {
    int64_t index;
    char id[MAX_NAME + 1], name[MAX_NAME + 1];
    aios__buf args;
    size_t shown; /* bytes of args that went up as deltas */
    bool begun;   /* its first delta went up */
    bool whole;
} growing_call;

enum mode { MODE_UNKNOWN, MODE_STREAM, MODE_WHOLE };

struct aios__reader {
    aios__remote *remote;
    const aios__dialect *dialect;
    const aios_sink *sink; /* while a feed runs */
    enum mode mode;
    aios__sse sse;
    aios__buf rest;        /* an unfinished line of NDJSON, or the whole body */
    growing_call *calls;
    uint32_t n_calls, first; /* those before `first` have gone up */
    aios_usage usage;
    bool counted;
    char reason[24], note[MAX_NOTE + 1];
    bool ended, sent;
    int64_t began, first_text;
    aios__buf tokens;      /* how likely they were, not yet sent */
    bool open_token;       /* the list of its alternatives is open */
};

static int64_t now(const aios__reader *r)
{
    return aios__now_ns(aios__ctx_env(r->remote->server.ctx));
}

/* ---- what a dialect says ------------------------------------------------------------------------------------------ */

static int mark(aios__reader *r, int rc)
{
    r->sent = true;
    if (!r->first_text)
        r->first_text = now(r);
    return rc;
}

int aios__reader_text(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    AIOS__UNUSED(err);
    return n && !r->ended ? mark(r, r->sink->text(r->sink->user, s, n)) : AIOS_OK;
}

int aios__reader_reasoning(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    AIOS__UNUSED(err);
    return n && !r->ended ? mark(r, r->sink->reasoning(r->sink->user, s, n)) : AIOS_OK;
}

static growing_call *find_call(const aios__reader *r, int64_t index)
{
    for (uint32_t i = r->n_calls; i-- > 0;)
        if (r->calls[i].index == index)
            return &r->calls[i];
    return NULL;
}

static int add_call(aios__reader *r, int64_t index, growing_call **out, aios_error *err)
{
    aios__heap *h = r->remote->heap;
    if (r->n_calls == MAX_CALLS)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_CALLS, MAX_CALLS + 1, "%s: more than %u calls in one reply", r->remote->host, MAX_CALLS);
    growing_call *calls = aios__realloc(h, AIOS_MEM_TEXT, r->calls, (r->n_calls + 1) * sizeof *calls, err);
    if (!calls)
        return aios__nomem(err);
    r->calls = calls;
    *out = &calls[r->n_calls++];
    memset(*out, 0, sizeof **out);
    (*out)->index = index;
    aios__buf_init(&(*out)->args, h, AIOS_MEM_TEXT, MAX_ARGS);
    return AIOS_OK;
}

/* A name comes whole in the first piece, in later ones not at all, or over and over. */
static int set_name(const aios__reader *r, char *dst, const char *src, const char *what, aios_error *err)
{
    if (!src || !*src || *dst)
        return AIOS_OK;
    if (strlen(src) > MAX_NAME)
        return aios__fail(err, AIOS_EPROTO, "%s: the %s of a call has more than %u bytes", r->remote->host, what, MAX_NAME);
    memcpy(dst, src, strlen(src) + 1);
    return AIOS_OK;
}

static int show_delta(aios__reader *r, growing_call *c)
{
    const aios_sink *k = r->sink;
    if (!AIOS_HAS(k, call_delta) || !k->call_delta || !*c->name)
        return AIOS_OK;
    const char *id = *c->id ? c->id : NULL;
    int rc = c->begun ? AIOS_OK : k->call_delta(k->user, c->name, "", 0, id);
    c->begun = true;
    if (!rc && c->args.n > c->shown)
        rc = k->call_delta(k->user, c->name, c->args.p + c->shown, c->args.n - c->shown, id);
    c->shown = c->args.n;
    return rc;
}

static int send_call(aios__reader *r, growing_call *c, aios_error *err)
{
    if (!*c->name)
        return aios__fail(err, AIOS_EPROTO, "%s: a call without a name", r->remote->host);
    if (!c->args.n) {
        int rc = aios__buf_adds(&c->args, "{}", err);
        if (rc)
            return rc;
    }
    int rc = show_delta(r, c);
    return rc ? rc : mark(r, r->sink->call(r->sink->user, c->name, c->args.p, c->args.n, *c->id ? c->id : NULL));
}

/* Sends up what is due: calls in the order of their beginning, of the first that is not whole what there is. */
static int send_calls(aios__reader *r, aios_error *err)
{
    int rc = AIOS_OK;
    while (!rc && r->first < r->n_calls && r->calls[r->first].whole)
        rc = send_call(r, &r->calls[r->first++], err);
    if (!rc && r->first < r->n_calls)
        rc = show_delta(r, &r->calls[r->first]);
    return rc;
}

/* Ollama numbers all calls 0 (ollama#15457), Gemini's OpenAI layer none (openai-python#2806). */
static bool is_another(const growing_call *c, int64_t index, const char *id, const char *name)
{
    if (!name || !*name || !*c->name)
        return false;
    return id && *id && *c->id ? strcmp(id, c->id) != 0 : index < 0 && c->args.n;
}

int aios__reader_call(aios__reader *r, int64_t index, const char *id, const char *name, const char *args, size_t n_args, aios_error *err)
{
    growing_call *c = find_call(r, index);
    if (c && is_another(c, index, id, name))
        c = NULL;
    if (r->ended || (c && c->whole))
        return AIOS_OK;
    int rc = c ? AIOS_OK : add_call(r, index, &c, err);
    rc = rc ? rc : set_name(r, c->id, id, "id", err);
    rc = rc ? rc : set_name(r, c->name, name, "name", err);
    rc = rc || !n_args ? rc : aios__buf_add(&c->args, args, n_args, err);
    r->sent = true;
    return rc ? rc : send_calls(r, err);
}

/* A call with a value as its arguments; NULL: none. */
static int call_with(aios__reader *r, int64_t index, const char *id, const char *name, const aios__json *args, aios_error *err)
{
    aios__buf text;
    aios__buf_init(&text, r->remote->heap, AIOS_MEM_TEXT, MAX_ARGS);
    int rc = args ? aios__json_write(args, &text, err) : AIOS_OK;
    rc = rc ? rc : aios__reader_call(r, index, id, name, text.p, text.n, err);
    aios__buf_free(&text);
    return rc;
}

int aios__reader_call_value(aios__reader *r, int64_t index, const char *id, const char *name, const aios__json *args, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(args, &n);
    if (s || !args || aios__json_type(args) != AIOS__JSON_OBJECT)
        return aios__reader_call(r, index, id, name, s, n, err);
    return call_with(r, index, id, name, args, err);
}

int aios__reader_call_whole(aios__reader *r, const char *id, const char *name, const aios__json *args, aios_error *err)
{
    int64_t index = -1 - (int64_t)r->n_calls; /* providers count from 0 */
    int rc = call_with(r, index, id, name, args, err);
    return rc ? rc : aios__reader_call_end(r, index, err);
}

int aios__reader_call_end(aios__reader *r, int64_t index, aios_error *err)
{
    growing_call *c = find_call(r, index);
    if (!c || c->whole)
        return AIOS_OK;
    c->whole = true;
    return send_calls(r, err);
}

size_t aios__reader_call_size(const aios__reader *r, int64_t index)
{
    const growing_call *c = find_call(r, index);
    return c ? c->args.n : 0;
}

static void set_count(uint32_t *dst, int64_t v)
{
    if (v >= 0)
        *dst = v > UINT32_MAX ? UINT32_MAX : (uint32_t)v;
}

void aios__reader_usage(aios__reader *r, int64_t input, int64_t cached, int64_t output, int64_t reasoning)
{
    set_count(&r->usage.input, input);
    set_count(&r->usage.cached, cached);
    set_count(&r->usage.output, output);
    set_count(&r->usage.reasoning, reasoning);
    r->counted = r->counted || input >= 0 || output >= 0;
}

int aios__reader_stop(aios__reader *r, const char *reason, aios_error *err)
{
    AIOS__UNUSED(err);
    if (strcmp(r->reason, "refusal") && strcmp(r->reason, "filter")) /* the "stop" behind them takes nothing back */
        snprintf(r->reason, sizeof r->reason, "%s", reason);
    return AIOS_OK;
}

void aios__reader_note(aios__reader *r, const char *why)
{
    snprintf(r->note, sizeof r->note, "%.*s", (int)aios__utf8_whole(why, strnlen(why, MAX_NOTE)), why);
}

int aios__reader_sign(aios__reader *r, const char *kind, const char *s, size_t n, aios_error *err)
{
    aios__buf text;
    if (!n || r->ended || !AIOS_HAS(r->sink, sign) || !r->sink->sign)
        return AIOS_OK;
    if (n > MAX_SIGNATURE)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_SIGNATURE, n, "%s: a signature of %zu bytes is larger than the %zu allowed", r->remote->host, n,
                               MAX_SIGNATURE);
    aios__buf_init(&text, r->remote->heap, AIOS_MEM_TEXT, 0);
    aios__buf_addf(&text, err, "%s/%s ", aios__seal_of(&r->remote->server), kind);
    aios__buf_add(&text, s, n, err);
    int rc = aios__buf_addc(&text, 0, err);
    rc = rc ? rc : mark(r, r->sink->sign(r->sink->user, text.p));
    aios__buf_free(&text);
    return rc;
}

int aios__reader_token(aios__reader *r, const aios__json *token, const char *logprob_key, bool other, aios_error *err)
{
    size_t n = 0;
    aios__buf *b = &r->tokens;
    const char *s = aios__json_str(aios__json_get(token, "token"), &n);
    const aios__json *v = aios__json_get(token, logprob_key), *bytes = aios__json_get(token, "bytes");
    if (!s || !aios__json_is_number(v) || (other && !r->open_token))
        return b->failed;
    if (!other && r->open_token)
        aios__buf_adds(b, "]}", err);
    if (!b->n)
        aios__buf_addc(b, '[', err);
    int rc = aios__logprob_put(b, s, n, aios__json_real(v, AIOS__LOGPROB_LEAST), err);
    if (!rc && aios__json_type(bytes) == AIOS__JSON_ARRAY && strstr(s, "\xef\xbf\xbd")) {
        aios__buf_adds(b, ",\"bytes\":", err);
        rc = aios__json_write(bytes, b, err);
    }
    r->open_token = r->open_token || !other;
    return rc ? rc : aios__buf_adds(b, other ? "}" : ",\"top\":[", err);
}

int aios__reader_tokens_end(aios__reader *r, aios_error *err)
{
    aios__buf *b = &r->tokens;
    int rc = b->n ? aios__buf_adds(b, "]}]", err) : b->failed;
    if (!rc && b->n && !r->ended && AIOS_HAS(r->sink, logprobs) && r->sink->logprobs)
        rc = r->sink->logprobs(r->sink->user, b->p, b->n);
    r->open_token = false;
    aios__buf_clear(b);
    return rc;
}

int aios__reader_logprobs(aios__reader *r, const aios__json *list, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(list); i++) {
        const aios__json *token = aios__json_at(list, i), *top = aios__json_get(token, "top_logprobs");
        if (!aios__json_is_number(aios__json_get(token, "logprob")))
            continue; /* its alternatives are not the token's before */
        rc = aios__reader_token(r, token, "logprob", false, err);
        for (size_t k = 0; !rc && k < aios__json_count(top); k++)
            rc = aios__reader_token(r, aios__json_at(top, k), "logprob", true, err);
    }
    return rc ? rc : aios__reader_tokens_end(r, err);
}

void aios__reader_buf(const aios__reader *r, aios__buf *out)
{
    aios__buf_init(out, r->remote->heap, AIOS_MEM_TEXT, MAX_SIGNATURE + MAX_NAME);
}

void aios__reader_end(aios__reader *r)
{
    r->ended = true;
}

void aios__reader_learn(aios__reader *r, uint32_t quirks)
{
    atomic_fetch_or(&r->remote->server.quirks, quirks);
}

int aios__reader_fault(aios__reader *r, const aios__fault *fault, aios_error *err)
{
    return aios__fault_fail(&r->remote->server, fault, err);
}

/* ---- framing ------------------------------------------------------------------------------------------------------ */

static int decode_text(aios__reader *r, const char *type, const char *s, size_t n, aios_error *err)
{
    aios__json_doc *doc;
    aios_error why = AIOS_INIT(aios_error);
    char small[SMALL_EVENT];
    size_t n_small = r->dialect->reads && n <= sizeof small ? aios__prune(s, n, r->dialect->reads, small) : 0;
    int rc = aios__json_parse(r->remote->heap, n_small ? small : s, n_small ? n_small : n, &doc, &why);
    if (rc == AIOS_EFORMAT)
        return aios__fail(err, AIOS_EPROTO, "%s: an event of the stream is no JSON: %s", r->remote->host, why.msg);
    if (rc)
        return aios__error_copy(err, &why);
    aios__fault f = {0};
    const aios__json *v = aios__json_root(doc);
    rc = r->dialect->fault(v, &f) ? aios__reader_fault(r, &f, err) : r->dialect->decode(r, type, v, err);
    aios__json_free(doc);
    return rc;
}

/* The error of a callback stays with its reader, since the splitter gives on no more than its code. */
typedef struct sse_call {
    aios__reader *r;
    aios_error *err;
} sse_call;

static int on_event(void *user, const aios__sse_event *ev)
{
    sse_call *c = user;
    if (c->r->ended || !ev->n)
        return AIOS_OK;
    if (ev->n == 6 && !memcmp(ev->data, "[DONE]", 6)) {
        aios__reader_end(c->r);
        return AIOS_OK;
    }
    return decode_text(c->r, ev->type, ev->data, ev->n, c->err);
}

static int feed_sse(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    aios_error inner = AIOS_INIT(aios_error);
    sse_call c = {r, &inner};
    r->sse.user = &c;
    int rc = aios__sse_feed(&r->sse, s, n, err);
    if (rc && inner.code == rc)
        aios__error_copy(err, &inner);
    return rc;
}

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r' && s[i] != '\n')
            return false;
    return true;
}

static int feed_lines(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    int rc = AIOS_OK;
    while (n && !rc && !r->ended) {
        const char *eol = memchr(s, '\n', n);
        size_t k = eol ? (size_t)(eol - s) + 1 : n;
        rc = r->rest.n + k > MAX_EVENT ? aios__fail_need(err, AIOS_ELIMIT, MAX_EVENT, r->rest.n + k,
            "%s: a line of the stream is longer than allowed", r->remote->host)
                                       : aios__buf_add(&r->rest, s, k, err);
        if (!rc && eol) {
            rc = is_blank(r->rest.p, r->rest.n) ? AIOS_OK : decode_text(r, "", r->rest.p, r->rest.n, err);
            aios__buf_clear(&r->rest);
        }
        s += k;
        n -= k;
    }
    return rc;
}

/* A server may answer a request for a stream in one piece of JSON. */
static void find_mode(aios__reader *r, const char *s, size_t n)
{
    for (size_t i = 0; i < n && r->mode == MODE_UNKNOWN; i++)
        if (!is_blank(s + i, 1))
            r->mode = r->dialect->framing == AIOS__FRAMING_SSE && (s[i] == '{' || s[i] == '[' || s[i] == '<') ? MODE_WHOLE : MODE_STREAM;
}

int aios__reader_feed(aios__reader *r, const aios_sink *sink, const char *s, size_t n, aios_error *err)
{
    r->sink = sink;
    if (r->mode == MODE_UNKNOWN)
        find_mode(r, s, n);
    int rc = r->mode == MODE_WHOLE                          ? aios__buf_add(&r->rest, s, n, err)
             : r->dialect->framing == AIOS__FRAMING_NDJSON ? feed_lines(r, s, n, err)
                                                            : feed_sse(r, s, n, err);
    r->sink = NULL;
    return rc;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static int read_rest(aios__reader *r, aios_error *err)
{
    if (r->mode == MODE_WHOLE) {
        int rc = decode_text(r, "", r->rest.p, r->rest.n, err);
        r->ended = r->ended || (!rc && r->sent);
        return rc;
    }
    if (r->rest.n && !is_blank(r->rest.p, r->rest.n)) /* a last line without its end */
        return decode_text(r, "", r->rest.p, r->rest.n, err);
    return r->mode == MODE_STREAM && r->dialect->framing == AIOS__FRAMING_SSE && !r->ended ? feed_sse(r, "\n\n", 2, err) : AIOS_OK;
}

static int send_usage(aios__reader *r)
{
    int64_t end = now(r);
    r->usage.struct_size = sizeof r->usage;
    r->usage.cached = r->usage.cached < r->usage.input ? r->usage.cached : r->usage.input;
    r->usage.reasoning = r->usage.reasoning < r->usage.output ? r->usage.reasoning : r->usage.output;
    r->usage.prefill_ns = r->first_text ? r->first_text - r->began : end - r->began;
    r->usage.decode_ns = r->first_text ? end - r->first_text : 0;
    return r->counted ? r->sink->usage(r->sink->user, &r->usage) : AIOS_OK;
}

static int conclude(aios__reader *r, aios_error *err)
{
    static const struct {
        const char *reason;
        int code;
        const char *what;
    } rows[] = {
        {"refusal", AIOS_EREFUSED, "the model refused to reply"},
        {"filter", AIOS_EFILTERED, "the provider's filter stopped the reply"},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(r->reason, rows[i].reason))
            return aios__fail(err, rows[i].code, "%s: %s%s%s", r->remote->host, rows[i].what, *r->note ? ": " : "", r->note);
    bool idle = !*r->reason || !strcmp(r->reason, "tool_calls"); /* some servers say so without a call */
    const char *reason = r->n_calls && strcmp(r->reason, "length") ? "tool_calls" : idle ? "stop" : r->reason;
    return r->sink->stop(r->sink->user, reason);
}

int aios__reader_finish(aios__reader *r, const aios_sink *sink, aios_error *err)
{
    r->sink = sink;
    int rc = read_rest(r, err);
    if (!rc && !r->ended && !*r->reason)
        rc = aios__fail(err, AIOS_EPROTO, "%s: %s", r->remote->host,
                        r->mode == MODE_UNKNOWN ? "the answer is empty, as that of some servers to a prompt longer than their context is"
                                                : "the stream ended before the reply did");
    if (!rc && !r->sent && !*r->reason)
        rc = aios__fail(err, AIOS_EPROTO, "%s: the answer holds no reply", r->remote->host);
    bool cut = !strcmp(r->reason, "length"); /* the last call may be half a call then */
    for (uint32_t i = r->first; !rc && i < r->n_calls; i++)
        r->calls[i].whole = !cut || i + 1 < r->n_calls;
    rc = rc ? rc : send_calls(r, err);
    rc = rc ? rc : send_usage(r);
    rc = rc ? rc : conclude(r, err);
    r->sink = NULL;
    return rc;
}

bool aios__reader_ended(const aios__reader *r)
{
    return r->ended;
}

bool aios__reader_sent(const aios__reader *r)
{
    return r->sent;
}

bool aios__reader_idle(const aios__reader *r)
{
    return !r->n_calls;
}

uint32_t aios__reader_input(const aios__reader *r)
{
    return r->usage.input;
}

uint32_t aios__reader_output(const aios__reader *r)
{
    return r->usage.output;
}

int aios__reader_new(aios__remote *m, aios__reader **out, aios_error *err)
{
    aios__reader *r = aios__alloc(m->heap, AIOS_MEM_TEXT, sizeof *r, err);
    if (!r)
        return aios__nomem(err);
    r->remote = m;
    r->dialect = m->server.dialect;
    r->began = now(r);
    aios__sse_init(&r->sse, m->heap, MAX_EVENT, on_event, NULL);
    aios__buf_init(&r->tokens, m->heap, AIOS_MEM_TEXT, MAX_WHOLE);
    aios__buf_init(&r->rest, m->heap, AIOS_MEM_TEXT, MAX_WHOLE);
    *out = r;
    return AIOS_OK;
}

void aios__reader_free(aios__reader *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->n_calls; i++)
        aios__buf_free(&r->calls[i].args);
    aios__free(r->remote->heap, r->calls);
    aios__sse_free(&r->sse);
    aios__buf_free(&r->tokens);
    aios__buf_free(&r->rest);
    aios__free(r->remote->heap, r);
}
