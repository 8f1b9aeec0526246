/* SPDX-License-Identifier: Apache-2.0 */
/* Ollama's own API (https://docs.ollama.com/api): lines of JSON. */
#include "backend/http/dialect.h"

#define NO_REASONING 1024u /* a bound below it is held by not thinking at all, which alone can be said */

/* ---- the request -------------------------------------------------------------------------------------------------- */

static const char *role_of(int32_t role)
{
    static const char *const names[] = {"user", "system", "user", "assistant", "tool"};
    return names[role];
}

/* Thoughts go back too: the template decides which of them the model sees again. */
static int put_thinking(aios__buf *b, const aios_entry *e, aios_error *err)
{
    aios__buf text;
    aios__buf_init(&text, b->heap, AIOS_MEM_TEXT, 0);
    for (uint32_t i = 0; i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind == AIOS_PART_REASONING)
            aios__buf_add(&text, aios__part_at(e, i)->text, aios__part_at(e, i)->n_text, err);
    int rc = text.failed;
    if (!rc && text.n)
        rc = aios__put_str(b, "thinking", text.p, text.n, err);
    aios__buf_free(&text);
    return rc;
}

typedef int put_part_fn(aios__buf *b, const aios_part *p, aios_error *err);

static int put_image(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_addc(b, '"', err);
    aios__put_base64(b, p->text, p->n_text, err);
    return aios__buf_addc(b, '"', err);
}

static int put_call(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"function\":{", err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__put_args(b, "arguments", p, err);
    return aios__buf_adds(b, "}}", err);
}

/* A member that holds all parts of a kind; nothing if there are none. */
static int put_parts(aios__buf *b, const char *key, const aios_entry *e, int32_t kind, put_part_fn *fn, aios_error *err)
{
    bool any = false;
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind != kind)
            continue;
        if (!any) {
            aios__put_key(b, key, err);
            aios__buf_addc(b, '[', err);
        }
        any = true;
        aios__put_comma(b, err);
        rc = fn(b, p, err);
    }
    return rc || !any ? rc : aios__buf_addc(b, ']', err);
}

static int check_parts(const aios__server *s, const aios_entry *e, aios_error *err)
{
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        bool said = e->role == AIOS_ROLE_ASSISTANT && (p->kind == AIOS_PART_REASONING || p->kind == AIOS_PART_CALL);
        bool shown = e->role == AIOS_ROLE_USER && p->kind == AIOS_PART_IMAGE;
        if (p->kind != AIOS_PART_TEXT && !said && !shown)
            return aios__put_refuse(s, p, err);
    }
    return AIOS_OK;
}

static int put_message(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    int rc = check_parts(s, e, err);
    if (rc)
        return rc;
    aios__put_comma(b, err);
    aios__buf_addf(b, err, "{\"role\":\"%s\",\"content\":", role_of(e->role));
    rc = aios__put_text(b, e, err);
    rc = rc ? rc : put_thinking(b, e, err);
    rc = rc ? rc : put_parts(b, "images", e, AIOS_PART_IMAGE, put_image, err);
    rc = rc ? rc : put_parts(b, "tool_calls", e, AIOS_PART_CALL, put_call, err);
    return rc ? rc : aios__buf_addc(b, '}', err);
}

/* Each result is a message of its own, told apart by the name of its tool and by its place. */
static int put_result(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"role\":\"tool\"", err);
    aios__put_str(b, "content", p->text, p->n_text, err);
    aios__put_str(b, "tool_name", p->name, AIOS_CSTR, err);
    return aios__buf_addc(b, '}', err);
}

static int put_messages(const aios__server *s, aios__buf *b, const aios_transcript *t, aios_error *err)
{
    aios__put_key(b, "messages", err);
    int rc = aios__buf_addc(b, '[', err);
    for (uint32_t i = 0; !rc && i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        rc = e.role == AIOS_ROLE_TOOL ? aios__put_results(s, b, &e, put_result, err) : put_message(s, b, &e, err);
    }
    return rc ? rc : aios__buf_addc(b, ']', err);
}

/* There is no choice to send: a model that must not call sees no tools. */
static int put_tools(aios__buf *b, const aios_request *req, aios_error *err)
{
    if (!req->n_tools || req->tool_choice == AIOS_TOOLS_NONE)
        return b->failed;
    aios__put_key(b, "tools", err);
    aios__buf_addc(b, '[', err);
    for (uint32_t i = 0; i < req->n_tools; i++) {
        const aios_tool_def *t = &req->tools[i];
        aios__put_comma(b, err);
        aios__buf_adds(b, "{\"type\":\"function\",\"function\":{", err);
        aios__put_tool(b, t, "parameters", err);
        aios__buf_adds(b, "}}", err);
    }
    return aios__buf_addc(b, ']', err);
}

static void put_option(aios__buf *b, const char *key, float v, bool is_set, aios_error *err)
{
    if (is_set)
        aios__put_real(b, key, (double)v, err);
}

static void put_count(aios__buf *b, const char *key, uint64_t v, aios_error *err)
{
    if (v)
        aios__put_int(b, key, (int64_t)v, err);
}

static int put_options(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    const aios_sampling *p = req->sampling;
    aios__put_key(b, "options", err);
    aios__buf_addc(b, '{', err);
    put_count(b, "num_ctx", s->n_ctx, err);
    put_count(b, "num_predict", req->max_tokens < INT32_MAX ? req->max_tokens : INT32_MAX, err);
    if (p) {
        put_option(b, "temperature", p->temperature, true, err);
        put_option(b, "top_p", p->top_p, p->top_p > 0 && p->top_p < 1, err);
        put_option(b, "min_p", p->min_p, p->min_p > 0, err);
        put_option(b, "repeat_penalty", p->repeat_penalty, p->repeat_penalty > 0, err);
        put_option(b, "frequency_penalty", p->frequency_penalty, p->frequency_penalty < 0 || p->frequency_penalty > 0, err);
        put_option(b, "presence_penalty", p->presence_penalty, p->presence_penalty < 0 || p->presence_penalty > 0, err);
        put_count(b, "top_k", p->top_k < INT32_MAX ? p->top_k : INT32_MAX, err);
        put_count(b, "repeat_last_n", p->penalty_last_n < INT32_MAX ? p->penalty_last_n : INT32_MAX, err);
        put_count(b, "seed", p->seed & INT32_MAX, err);
    }
    aios__put_strings(b, "stop", req->stop, err);
    return aios__buf_addc(b, '}', err);
}

/* Asks for a failure where the prompt is too long: by default its beginning is dropped in silence. */
static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf *b = &out->body;
    bool off = req->max_reasoning && req->max_reasoning < NO_REASONING;
    uint32_t says = AIOS__SAYS_TOP_K | AIOS__SAYS_MIN_P | AIOS__SAYS_REPEAT_PENALTY | AIOS__SAYS_PENALTIES | AIOS__SAYS_PENALTY_LAST_N |
                    AIOS__SAYS_SEED | AIOS__SAYS_LOGPROBS;
    int rc = aios__check_says(s, req, says | (off ? AIOS__SAYS_MAX_REASONING : 0), err);
    if (rc)
        return rc;
    aios__buf_adds(&out->path, "/api/chat", err);
    aios__buf_addc(b, '{', err);
    aios__put_str(b, "model", s->model, AIOS_CSTR, err);
    rc = put_messages(s, b, req->transcript, err);
    rc = rc ? rc : put_tools(b, req, err);
    if (!rc && req->schema_json)
        rc = aios__put_raw(b, "format", req->schema_json, err);
    if (!rc && off)
        rc = aios__put_bool(b, "think", false, err);
    if (!rc && req->flags & AIOS_REQUEST_LOGPROBS) { /* since 0.12.11 */
        aios__put_bool(b, "logprobs", true, err);
        rc = req->n_top ? aios__put_int(b, "top_logprobs", req->n_top, err) : b->failed;
    }
    rc = rc ? rc : put_options(s, b, req, err);
    rc = rc ? rc : aios__buf_adds(b, ",\"truncate\":false,\"shift\":false,\"stream\":true}", err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

static int read_message(aios__reader *r, const aios__json *m, aios_error *err)
{
    const aios__json *calls = aios__json_get(m, "tool_calls");
    size_t n = 0;
    const char *thought = aios__json_str(aios__json_get(m, "thinking"), &n);
    int rc = thought ? aios__reader_reasoning(r, thought, n, err) : AIOS_OK;
    const char *text = aios__json_str(aios__json_get(m, "content"), &n);
    rc = rc || !text ? rc : aios__reader_text(r, text, n, err);
    for (size_t i = 0; !rc && i < aios__json_count(calls); i++) {
        const aios__json *c = aios__json_at(calls, i), *f = aios__json_get(c, "function");
        rc = aios__reader_call_whole(r, aios__str_of(c, "id"), aios__str_of(f, "name"), aios__json_get(f, "arguments"), err);
    }
    return rc;
}

static int decode(aios__reader *r, const char *type, const aios__json *v, aios_error *err)
{
    AIOS__UNUSED(type);
    int rc = read_message(r, aios__json_get(v, "message"), err);
    rc = rc ? rc : aios__reader_logprobs(r, aios__json_get(v, "logprobs"), err);
    const aios__json *done = aios__json_get(v, "done");
    if (rc || !done || aios__json_type(done) != AIOS__JSON_TRUE)
        return rc;
    int64_t input = aios__json_int(aios__json_get(v, "prompt_eval_count"), -1), output = aios__json_int(aios__json_get(v, "eval_count"), -1);
    aios__reader_usage(r, input, -1, output, -1);
    rc = aios__reader_stop(r, strcmp(aios__str_of(v, "done_reason"), "length") ? "stop" : "length", err);
    aios__reader_end(r);
    return rc;
}

static bool fault(const aios__json *v, aios__fault *out)
{
    size_t n;
    out->message = aios__json_str(aios__json_get(v, "error"), &n);
    return out->message != NULL;
}

/* ---- models and embeddings ---------------------------------------------------------------------------------------- */

static int decode_list(const aios__json *v, aios__buf *out, aios_error *err)
{
    const aios__json *models = aios__json_get(v, "models");
    int rc = out->failed;
    for (size_t i = 0; !rc && i < aios__json_count(models); i++) {
        const aios__json *m = aios__json_at(models, i);
        const char *id = aios__str_of(m, "model");
        rc = aios__put_listed(out, *id ? id : aios__str_of(m, "name"), 0, err);
    }
    return rc;
}

static int encode_embed(const aios__server *s, const char *text, size_t n, aios__message *out, aios_error *err)
{
    aios__buf_adds(&out->path, "/api/embed", err);
    aios__buf_addc(&out->body, '{', err);
    aios__put_str(&out->body, "model", s->model, AIOS_CSTR, err);
    aios__put_str(&out->body, "input", text, n, err);
    int rc = aios__buf_adds(&out->body, ",\"truncate\":false}", err);
    return rc ? rc : out->path.failed;
}

static const aios__json *decode_embed(const aios__json *v)
{
    return aios__json_at(aios__json_get(v, "embeddings"), 0);
}

/* ---- OLLAMA_HOST -------------------------------------------------------------------------------------------------- */

/* Forms: "", ":PORT", "HOST", "HOST:PORT", "[::1]:PORT", each with a path or in front of it a scheme, which then decides about the port. */
static int complete_url(const char *given, aios__buf *out, aios_error *err)
{
    const char *scheme = strstr(given, "://"), *host = scheme ? scheme + 3 : given;
    size_t n = *host == '[' ? strcspn(host, "]") : strcspn(host, ":/"), n_rest;
    n += host[n] == ']';
    const char *port = host + n;
    n_rest = strlen(port);
    bool any = (n == 7 && !memcmp(host, "0.0.0.0", 7)) || (n == 4 && !memcmp(host, "[::]", 4)); /* what a server listens on */
    aios__buf_add(out, scheme ? given : "http://", scheme ? (size_t)(host - given) : 7, err);
    if (!n || any)
        aios__buf_adds(out, n == 4 ? "[::1]" : "127.0.0.1", err);
    else
        aios__buf_add(out, host, n, err);
    if (*port != ':' && !scheme)
        aios__buf_adds(out, ":11434", err);
    return aios__buf_add(out, port, n_rest, err);
}

const aios__dialect aios__dialect_ollama = {
    .name = "ollama",
    .title = "Ollama",
    .base_url = "http://127.0.0.1:11434",
    .key_names = {"OLLAMA_API_KEY"},
    .url_name = "OLLAMA_HOST",
    .complete_url = complete_url,
    .auth = "Authorization: Bearer ",
    .framing = AIOS__FRAMING_NDJSON,
    .can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_EMBED | AIOS_MODEL_CAN_LOGPROBS,
    .encode = encode,
    .decode = decode,
    .fault = fault,
    .list_path = "/api/tags",
    .decode_list = decode_list,
    .encode_embed = encode_embed,
    .decode_embed = decode_embed,
};
