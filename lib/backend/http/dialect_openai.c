/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), which most servers speak too. */
#include <stdio.h>

#include "backend/http/dialect.h"

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int put_content_part(const aios__server *s, aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    if (p->kind == AIOS_PART_TEXT) {
        aios__buf_adds(b, "{\"type\":\"text\"", err);
        aios__put_str(b, "text", p->text, p->n_text, err);
        return aios__buf_addc(b, '}', err);
    }
    if (p->kind == AIOS_PART_IMAGE) {
        aios__buf_addf(b, err, "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:%s;base64,", p->mime ? p->mime : "image/png");
        aios__put_base64(b, p->text, p->n_text, err);
        return aios__buf_adds(b, "\"}}", err);
    }
    if (p->kind == AIOS_PART_AUDIO) {
        aios__buf_adds(b, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"", err);
        aios__put_base64(b, p->text, p->n_text, err);
        return aios__buf_addf(b, err, "\",\"format\":\"%s\"}}", p->mime && strstr(p->mime, "mp") ? "mp3" : "wav");
    }
    return aios__put_refuse(s, p, err);
}

static bool is_plain(const aios_entry *e)
{
    for (uint32_t i = 0; i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind != AIOS_PART_TEXT)
            return false;
    return true;
}

static int put_user(const aios__server *s, aios__buf *b, const char *role, const aios_entry *e, aios_error *err)
{
    aios__buf_addf(b, err, "{\"role\":\"%s\"", role);
    aios__put_key(b, "content", err);
    int rc = b->failed;
    if (is_plain(e)) {
        rc = aios__put_text(b, e, err);
    } else {
        aios__buf_addc(b, '[', err);
        for (uint32_t i = 0; !rc && i < e->n_parts; i++)
            rc = put_content_part(s, b, aios__part_at(e, i), err);
        rc = rc ? rc : aios__buf_addc(b, ']', err);
    }
    return rc ? rc : aios__buf_addc(b, '}', err);
}

static int put_call(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_addc(b, '{', err);
    aios__put_str(b, "id", p->call_id, AIOS_CSTR, err);
    aios__buf_adds(b, ",\"type\":\"function\",\"function\":{", err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__put_str(b, "arguments", p->text, p->n_text, err);
    return aios__buf_adds(b, "}}", err);
}

/* Reasoning of earlier turns is not sent: this dialect takes none. */
static int put_assistant(aios__buf *b, const aios_entry *e, aios_error *err)
{
    bool calls = false;
    aios__buf_adds(b, "{\"role\":\"assistant\"", err);
    aios__put_key(b, "content", err);
    int rc = aios__put_text(b, e, err);
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        if (aios__part_at(e, i)->kind != AIOS_PART_CALL)
            continue;
        if (!calls)
            aios__buf_adds(b, ",\"tool_calls\":[", err);
        calls = true;
        rc = put_call(b, aios__part_at(e, i), err);
    }
    if (calls)
        aios__buf_addc(b, ']', err);
    return rc ? rc : aios__buf_addc(b, '}', err);
}

/* Each result is a message of its own. */
static int put_results(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind != AIOS_PART_RESULT)
            return aios__put_refuse(s, p, err);
        aios__put_comma(b, err);
        aios__buf_adds(b, "{\"role\":\"tool\"", err);
        aios__put_str(b, "tool_call_id", p->call_id, AIOS_CSTR, err);
        aios__put_str(b, "content", p->text, p->n_text, err);
        rc = aios__buf_addc(b, '}', err);
    }
    return rc;
}

static int put_messages(const aios__server *s, aios__buf *b, const aios_transcript *t, aios_error *err)
{
    aios__put_key(b, "messages", err);
    int rc = aios__buf_addc(b, '[', err);
    for (uint32_t i = 0; !rc && i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        if (e.role != AIOS_ROLE_TOOL)
            aios__put_comma(b, err);
        rc = e.role == AIOS_ROLE_TOOL        ? put_results(s, b, &e, err)
             : e.role == AIOS_ROLE_ASSISTANT ? put_assistant(b, &e, err)
                                             : put_user(s, b, e.role == AIOS_ROLE_SYSTEM ? "system" : "user", &e, err);
    }
    return rc ? rc : aios__buf_addc(b, ']', err);
}

static int put_tools(aios__buf *b, const aios_request *req, aios_error *err)
{
    static const char *const choices[] = {"\"auto\"", "\"required\"", "\"none\""};
    if (!req->n_tools)
        return b->failed;
    aios__put_key(b, "tools", err);
    aios__buf_addc(b, '[', err);
    for (uint32_t i = 0; i < req->n_tools; i++) {
        const aios_tool_def *t = &req->tools[i];
        aios__put_comma(b, err);
        aios__buf_adds(b, "{\"type\":\"function\",\"function\":{", err);
        aios__put_str(b, "name", t->name, AIOS_CSTR, err);
        aios__put_str(b, "description", t->description, AIOS_CSTR, err);
        aios__put_raw(b, "parameters", t->schema_json ? t->schema_json : "{\"type\":\"object\",\"properties\":{}}", err);
        aios__buf_adds(b, "}}", err);
    }
    aios__buf_addc(b, ']', err);
    if (req->tool_choice == AIOS_TOOLS_NAMED) {
        aios__put_key(b, "tool_choice", err);
        aios__buf_adds(b, "{\"type\":\"function\",\"function\":{", err);
        aios__put_str(b, "name", req->tool_name, AIOS_CSTR, err);
        aios__buf_adds(b, "}}", err);
    } else {
        aios__put_raw(b, "tool_choice", choices[req->tool_choice], err);
    }
    return req->flags & AIOS_REQUEST_ONE_CALL ? aios__put_bool(b, "parallel_tool_calls", false, err) : b->failed;
}

static int put_sampling(aios__buf *b, const aios_sampling *p, aios_error *err)
{
    if (!p)
        return b->failed;
    aios__put_real(b, "temperature", (double)p->temperature, err);
    if (p->top_p > 0 && p->top_p < 1)
        aios__put_real(b, "top_p", (double)p->top_p, err);
    if (p->frequency_penalty != 0)
        aios__put_real(b, "frequency_penalty", (double)p->frequency_penalty, err);
    if (p->presence_penalty != 0)
        aios__put_real(b, "presence_penalty", (double)p->presence_penalty, err);
    return p->seed ? aios__put_int(b, "seed", (int64_t)(p->seed & INT64_MAX), err) : b->failed;
}

static int put_stops(aios__buf *b, const char *const *stop, aios_error *err)
{
    if (!stop || !*stop)
        return b->failed;
    aios__put_key(b, "stop", err);
    aios__buf_addc(b, '[', err);
    for (; *stop; stop++) {
        aios__put_comma(b, err);
        aios__buf_add_json(b, *stop, strlen(*stop), err);
    }
    return aios__buf_addc(b, ']', err);
}

static int put_format(aios__buf *b, const char *schema, aios_error *err)
{
    if (!schema)
        return b->failed;
    aios__put_key(b, "response_format", err);
    aios__buf_adds(b, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"reply\",\"strict\":true", err);
    aios__put_raw(b, "schema", schema, err);
    return aios__buf_adds(b, "}}", err);
}

static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf *b = &out->body;
    aios__buf_adds(&out->path, "/chat/completions", err);
    aios__buf_addc(b, '{', err);
    if (*s->model)
        aios__put_str(b, "model", s->model, AIOS_CSTR, err);
    int rc = put_messages(s, b, req->transcript, err);
    rc = rc ? rc : put_tools(b, req, err);
    rc = rc ? rc : put_sampling(b, req->sampling, err);
    rc = rc ? rc : put_stops(b, req->stop, err);
    rc = rc ? rc : put_format(b, req->schema_json, err);
    if (!rc && req->max_tokens)
        rc = aios__put_int(b, strcmp(s->host, "api.openai.com") ? "max_tokens" : "max_completion_tokens", req->max_tokens, err);
    rc = rc ? rc : aios__buf_adds(b, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

static int read_calls(aios__reader *r, const aios__json *calls, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(calls); i++) {
        const aios__json *c = aios__json_at(calls, i), *f = aios__json_get(c, "function");
        size_t n = 0;
        const char *args = aios__json_str(aios__json_get(f, "arguments"), &n);
        int64_t index = aios__json_int(aios__json_get(c, "index"), (int64_t)i);
        rc = aios__reader_call(r, index, aios__str_of(c, "id"), aios__str_of(f, "name"), args, n, err);
    }
    return rc;
}

static int read_piece(aios__reader *r, const aios__json *piece, aios_error *err)
{
    static const char *const thoughts[] = {"reasoning_content", "reasoning"};
    size_t n;
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(thoughts); i++) {
        const char *thought = aios__json_str(aios__json_get(piece, thoughts[i]), &n);
        if (thought && n) {
            rc = aios__reader_reasoning(r, thought, n, err);
            break; /* a server that fills both says the same twice */
        }
    }
    const char *text = aios__json_str(aios__json_get(piece, "content"), &n);
    rc = rc || !text ? rc : aios__reader_text(r, text, n, err);
    rc = rc ? rc : read_calls(r, aios__json_get(piece, "tool_calls"), err);
    const char *refusal = rc ? NULL : aios__json_str(aios__json_get(piece, "refusal"), &n);
    if (refusal && n) {
        rc = aios__reader_text(r, refusal, n, err);
        rc = rc ? rc : aios__reader_stop(r, "refusal", err);
    }
    return rc;
}

static int read_finish(aios__reader *r, const char *reason, aios_error *err)
{
    static const struct {
        const char *theirs, *ours;
    } rows[] = {{"length", "length"}, {"tool_calls", "tool_calls"}, {"function_call", "tool_calls"}, {"content_filter", "filter"}, {"stop", "stop"}};
    if (!*reason)
        return AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(reason, rows[i].theirs))
            return aios__reader_stop(r, rows[i].ours, err);
    return aios__reader_stop(r, "stop", err);
}

static void read_usage(aios__reader *r, const aios__json *u)
{
    if (aios__json_count(u))
        aios__reader_usage(r, aios__json_int(aios__json_get(u, "prompt_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "prompt_tokens_details"), "cached_tokens"), -1),
                           aios__json_int(aios__json_get(u, "completion_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "completion_tokens_details"), "reasoning_tokens"), -1));
}

static int decode(aios__reader *r, const char *type, const aios__json *v, aios_error *err)
{
    AIOS__UNUSED(type);
    const aios__json *choices = aios__json_get(v, "choices");
    int rc = AIOS_OK;
    read_usage(r, aios__json_get(v, "usage"));
    for (size_t i = 0; !rc && i < aios__json_count(choices); i++) {
        const aios__json *c = aios__json_at(choices, i), *delta = aios__json_get(c, "delta");
        if (aios__json_int(aios__json_get(c, "index"), 0) != 0)
            continue; /* one reply was asked for */
        rc = read_piece(r, delta ? delta : aios__json_get(c, "message"), err);
        rc = rc ? rc : read_finish(r, aios__str_of(c, "finish_reason"), err);
    }
    return rc;
}

static bool fault(const aios__json *v, aios__fault *out)
{
    const aios__json *e = aios__json_get(v, "error");
    size_t n;
    const char *text = aios__json_str(e, &n);
    if (text) {
        out->message = text;
        return true;
    }
    if (!aios__json_count(e)) {
        out->message = aios__str_of(v, "message"); /* as vLLM says it: {"object":"error","message":...} */
        out->type = aios__str_of(v, "type");
        return !strcmp(aios__str_of(v, "object"), "error");
    }
    out->message = aios__str_of(e, "message");
    out->type = aios__str_of(e, "type");
    out->code = aios__str_of(e, "code");
    return true;
}

/* ---- models and embeddings ---------------------------------------------------------------------------------------- */

static int decode_list(const aios__json *v, aios__buf *out, aios_error *err)
{
    const aios__json *data = aios__json_get(v, "data");
    int rc = out->failed;
    for (size_t i = 0; !rc && i < aios__json_count(data); i++) {
        const aios__json *m = aios__json_at(data, i);
        int64_t n = aios__json_int(aios__json_get(m, "max_model_len"), aios__json_int(aios__json_get(aios__json_get(m, "meta"), "n_ctx_train"), 0));
        aios__put_comma(out, err);
        aios__buf_addc(out, '{', err);
        aios__put_str(out, "id", aios__str_of(m, "id"), AIOS_CSTR, err);
        if (n > 0)
            aios__put_int(out, "context", n, err);
        rc = aios__buf_addc(out, '}', err);
    }
    return rc;
}

static int encode_embed(const aios__server *s, const char *text, size_t n, aios__message *out, aios_error *err)
{
    aios__buf_adds(&out->path, "/embeddings", err);
    aios__buf_addc(&out->body, '{', err);
    aios__put_str(&out->body, "model", s->model, AIOS_CSTR, err);
    aios__put_str(&out->body, "input", text, n, err);
    aios__put_str(&out->body, "encoding_format", "float", AIOS_CSTR, err);
    int rc = aios__buf_addc(&out->body, '}', err);
    return rc ? rc : out->path.failed;
}

static const aios__json *decode_embed(const aios__json *v)
{
    return aios__json_get(aios__json_at(aios__json_get(v, "data"), 0), "embedding");
}

const aios__dialect aios__dialect_openai = {
    .name = "openai",
    .title = "OpenAI's chat completions",
    .base_url = "https://api.openai.com/v1",
    .key_names = {"OPENAI_API_KEY"},
    .url_name = "OPENAI_BASE_URL",
    .auth = "Authorization: Bearer ",
    .can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_EMBED,
    .encode = encode,
    .decode = decode,
    .fault = fault,
    .list_path = "/models",
    .decode_list = decode_list,
    .encode_embed = encode_embed,
    .decode_embed = decode_embed,
};
