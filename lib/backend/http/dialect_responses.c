/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's Responses (https://platform.openai.com/docs/api-reference/responses; types: openai-python, src/openai/types/responses), without
 * state at the server: every turn carries the whole conversation, with the reasoning behind it as the provider has encrypted it, unless it keeps
 * replies itself. This dialect has no stop texts (ENOTSUP), seeds or penalties (ENOTSUP).
 */
#include <stdio.h>

#include "backend/http/quirks.h"

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int put_input_text(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"input_text\"", err);
    aios__put_str(b, "text", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

static int put_input_image(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"input_image\",\"detail\":\"auto\"", err);
    aios__put_data_url(b, "image_url", p, "image/png", err);
    return aios__buf_addc(b, '}', err);
}

static int put_input_file(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"input_file\"", err);
    aios__put_str(b, "filename", p->name ? p->name : "file.pdf", AIOS_CSTR, err);
    aios__put_data_url(b, "file_data", p, "application/pdf", err);
    return aios__buf_addc(b, '}', err);
}

static int put_input(const aios__server *s, aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    if (p->kind == AIOS_PART_TEXT || (p->kind == AIOS_PART_DATA && aios__part_is_text(p)))
        return put_input_text(b, p, err);
    if (p->kind == AIOS_PART_IMAGE)
        return put_input_image(b, p, err);
    if (p->kind == AIOS_PART_DATA)
        return put_input_file(b, p, err);
    return aios__put_refuse(s, p, err);
}

static int put_message(const aios__server *s, aios__buf *b, const char *role, const aios_entry *e, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_addf(b, err, "{\"role\":\"%s\"", role);
    aios__put_raw(b, "content", "[", err);
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++)
        rc = put_input(s, b, aios__part_at(e, i), err);
    return rc ? rc : aios__buf_adds(b, "]}", err);
}

static int put_call(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"type\":\"function_call\"", err);
    aios__put_str(b, "call_id", p->call_id, AIOS_CSTR, err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__put_str(b, "arguments", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

static int put_reply(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"role\":\"assistant\"", err);
    aios__put_str(b, "content", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

/* "ID CONTENT", as it was signed. */
static int put_reasoning(aios__buf *b, const aios_part *p, const char *signature, aios_error *err)
{
    size_t n_id = strcspn(signature, " ");
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"type\":\"reasoning\"", err);
    if (n_id)
        aios__put_str(b, "id", signature, n_id, err);
    aios__put_raw(b, "summary", "[", err);
    if (p->n_text) {
        aios__buf_adds(b, "{\"type\":\"summary_text\"", err);
        aios__put_str(b, "text", p->text, p->n_text, err);
        aios__buf_addc(b, '}', err);
    }
    aios__buf_addc(b, ']', err);
    aios__put_str(b, "encrypted_content", signature + n_id + (signature[n_id] == ' '), AIOS_CSTR, err);
    return aios__buf_addc(b, '}', err);
}

/* Reasoning is taken back only with the item that it led to. */
static bool leads_on(const aios_entry *e, uint32_t i)
{
    for (i++; i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind == AIOS_PART_CALL || (p->kind == AIOS_PART_TEXT && p->n_text))
            return true;
    }
    return false;
}

/* Text, calls and signed reasoning, each an item. */
static int put_assistant(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        const char *signature = aios__part_signature(p, s, "reasoning");
        if (signature && leads_on(e, i))
            rc = put_reasoning(b, p, signature, err);
        if (p->kind == AIOS_PART_TEXT && p->n_text)
            rc = put_reply(b, p, err);
        if (p->kind == AIOS_PART_CALL)
            rc = put_call(b, p, err);
    }
    return rc;
}

static int put_result(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"function_call_output\"", err);
    aios__put_str(b, "call_id", p->call_id, AIOS_CSTR, err);
    aios__put_str(b, "output", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

static int put_items(const aios__server *s, aios__buf *b, const aios_transcript *t, aios_error *err)
{
    int rc = aios__put_raw(b, "input", "[", err);
    for (uint32_t i = 0; !rc && i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        rc = e.role == AIOS_ROLE_TOOL        ? aios__put_results(s, b, &e, put_result, err)
             : e.role == AIOS_ROLE_ASSISTANT ? put_assistant(s, b, &e, err)
                                             : put_message(s, b, e.role == AIOS_ROLE_SYSTEM ? "system" : "user", &e, err);
    }
    return rc ? rc : aios__buf_addc(b, ']', err);
}

static int put_tool(const aios__server *s, aios__buf *b, const aios_tool_def *t, aios_error *err)
{
    int rc = aios__put_strict(s, b, t->schema_json, err);
    aios__put_raw(b, "type", "\"function\"", err);
    aios__put_tool(b, t, "parameters", err);
    return rc ? rc : aios__buf_addc(b, '}', err);
}

static int put_tools(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    static const char *const choices[] = {"\"auto\"", "\"required\"", "\"none\""};
    if (!req->n_tools)
        return b->failed;
    int rc = aios__put_raw(b, "tools", "[", err);
    for (uint32_t i = 0; !rc && i < req->n_tools; i++)
        rc = put_tool(s, b, &req->tools[i], err);
    aios__buf_addc(b, ']', err);
    if (req->tool_choice == AIOS_TOOLS_NAMED) {
        aios__put_raw(b, "tool_choice", "{\"type\":\"function\"", err);
        aios__put_str(b, "name", req->tool_name, AIOS_CSTR, err);
        aios__buf_addc(b, '}', err);
    } else {
        aios__put_raw(b, "tool_choice", choices[req->tool_choice], err);
    }
    if (req->flags & AIOS_REQUEST_ONE_CALL)
        aios__put_bool(b, "parallel_tool_calls", false, err);
    return rc ? rc : b->failed;
}

static int put_format(const aios__server *s, aios__buf *b, const char *schema, aios_error *err)
{
    if (!schema)
        return b->failed;
    aios__put_raw(b, "text", "{\"format\":", err);
    int rc = aios__put_strict(s, b, schema, err);
    aios__put_raw(b, "type", "\"json_schema\"", err);
    aios__put_str(b, "name", "reply", AIOS_CSTR, err);
    aios__put_raw(b, "schema", schema, err);
    return rc ? rc : aios__buf_adds(b, "}}", err);
}

/* What both requests say: that of a turn, and that of counting it. */
static int put_prompt(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    aios__buf_addc(b, '{', err);
    if (*s->model)
        aios__put_str(b, "model", s->model, AIOS_CSTR, err);
    int rc = put_items(s, b, req->transcript, err);
    rc = rc ? rc : put_tools(s, b, req, err);
    return rc ? rc : put_format(s, b, req->schema_json, err);
}

static int put_rest(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    const aios_sampling *p = req->sampling;
    if (p)
        aios__put_real(b, "temperature", (double)p->temperature, err);
    if (p && p->top_p > 0 && p->top_p < 1)
        aios__put_real(b, "top_p", (double)p->top_p, err);
    if (req->max_tokens)
        aios__put_int(b, "max_output_tokens", req->max_tokens, err);
    if (req->max_reasoning) {
        aios__put_raw(b, "reasoning", "{\"summary\":\"auto\"", err);
        aios__put_str(b, "effort", aios__effort_of(req->max_reasoning), AIOS_CSTR, err);
        aios__buf_addc(b, '}', err);
    }
    aios__put_bool(b, "store", s->keep, err);
    const char *include[3] = {NULL};
    uint32_t n = 0;
    if (!s->keep)
        include[n++] = "reasoning.encrypted_content";
    if (req->flags & AIOS_REQUEST_LOGPROBS) {
        include[n++] = "message.output_text.logprobs";
        aios__put_int(b, "top_logprobs", req->n_top, err);
    }
    aios__put_strings(b, "include", n ? include : NULL, err);
    aios__put_bool(b, "stream", true, err);
    return aios__buf_addc(b, '}', err);
}

static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf_adds(&out->path, "/responses", err);
    if (req->stop && *req->stop)
        return aios__fail(err, AIOS_ENOTSUP, "%s has no stop texts: leave them out, or use openai: in place of openai-responses:", s->dialect->title);
    int rc = aios__check_says(s, req, AIOS__SAYS_MAX_REASONING | AIOS__SAYS_TOOL_CHOICE | AIOS__SAYS_LOGPROBS, err);
    rc = rc ? rc : put_prompt(s, &out->body, req, err);
    rc = rc ? rc : put_rest(s, &out->body, req, err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

static int text_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(aios__json_get(v, "delta"), &n);
    return s ? aios__reader_text(r, s, n, err) : AIOS_OK;
}

static int output_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    int rc = text_delta(r, v, err);
    return rc ? rc : aios__reader_logprobs(r, aios__json_get(v, "logprobs"), err);
}

static int refusal_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    int rc = text_delta(r, v, err);
    return rc ? rc : aios__reader_stop(r, "refusal", err);
}

static int reasoning_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(aios__json_get(v, "delta"), &n);
    return s ? aios__reader_reasoning(r, s, n, err) : AIOS_OK;
}

/* Summaries come in parts, which stand apart. */
static int summary_part(aios__reader *r, const aios__json *v, aios_error *err)
{
    return aios__json_int(aios__json_get(v, "summary_index"), 0) > 0 ? aios__reader_reasoning(r, "\n\n", 2, err) : AIOS_OK;
}

static int64_t output_index(const aios__json *v)
{
    return aios__json_int(aios__json_get(v, "output_index"), 0);
}

static bool is_call(const aios__json *item)
{
    return !strcmp(aios__str_of(item, "type"), "function_call");
}

static int item_added(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *item = aios__json_get(v, "item");
    if (!is_call(item))
        return AIOS_OK;
    return aios__reader_call(r, output_index(v), aios__str_of(item, "call_id"), aios__str_of(item, "name"), NULL, 0, err);
}

static int call_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    return aios__reader_call_value(r, output_index(v), NULL, NULL, aios__json_get(v, "delta"), err);
}

/* A whole call: its arguments too, if they did not come in pieces. */
static int read_call(aios__reader *r, int64_t index, const aios__json *item, aios_error *err)
{
    const aios__json *args = aios__reader_call_size(r, index) ? NULL : aios__json_get(item, "arguments");
    int rc = aios__reader_call_value(r, index, aios__str_of(item, "call_id"), aios__str_of(item, "name"), args, err);
    return rc ? rc : aios__reader_call_end(r, index, err);
}

/* What the next turn sends back with this reasoning: its id, and what only the provider can read. */
static int read_seal(aios__reader *r, const aios__json *item, aios_error *err)
{
    const char *id = aios__str_of(item, "id"), *sealed = aios__str_of(item, "encrypted_content");
    aios__buf text;
    if (!*sealed || strcmp(aios__str_of(item, "type"), "reasoning") || strchr(id, ' '))
        return AIOS_OK;
    aios__reader_buf(r, &text);
    int rc = aios__buf_addf(&text, err, "%s %s", id, sealed);
    rc = rc ? rc : aios__reader_sign(r, "reasoning", text.p, text.n, err);
    aios__buf_free(&text);
    return rc;
}

static int item_done(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *item = aios__json_get(v, "item");
    int rc = read_seal(r, item, err);
    if (rc)
        return rc;
    return is_call(item) ? read_call(r, output_index(v), item, err) : AIOS_OK;
}

/* How it ended: "completed", "incomplete" with a reason; a refusal that came before stays one. */
static int read_end(aios__reader *r, const aios__json *response, aios_error *err)
{
    const aios__json *u = aios__json_get(response, "usage");
    const char *why = aios__str_of(aios__json_get(response, "incomplete_details"), "reason");
    if (aios__json_count(u))
        aios__reader_usage(r, aios__json_int(aios__json_get(u, "input_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "input_tokens_details"), "cached_tokens"), -1),
                           aios__json_int(aios__json_get(u, "output_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "output_tokens_details"), "reasoning_tokens"), -1));
    int rc = AIOS_OK;
    if (*why)
        rc = aios__reader_stop(r, strcmp(why, "content_filter") ? "length" : "filter", err);
    aios__reader_end(r);
    return rc;
}

static int ended(aios__reader *r, const aios__json *v, aios_error *err)
{
    return read_end(r, aios__json_get(v, "response"), err);
}

static const struct {
    const char *type;
    int (*fn)(aios__reader *r, const aios__json *v, aios_error *err);
} events[] = {
    {"response.output_text.delta", output_delta},
    {"response.refusal.delta", refusal_delta},
    {"response.reasoning_summary_text.delta", reasoning_delta},
    {"response.reasoning_summary_part.added", summary_part},
    {"response.reasoning_text.delta", reasoning_delta},
    {"response.output_item.added", item_added},
    {"response.function_call_arguments.delta", call_delta},
    {"response.output_item.done", item_done},
    {"response.completed", ended},
    {"response.incomplete", ended},
};

/* The texts of a whole message or reasoning. */
static int read_texts(aios__reader *r, const aios__json *parts, bool reasoning, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(parts); i++) {
        const aios__json *p = aios__json_at(parts, i);
        const char *refusal = aios__str_of(p, "refusal"), *text = aios__str_of(p, "text");
        text = *refusal ? refusal : text;
        rc = reasoning ? aios__reader_reasoning(r, text, strlen(text), err) : aios__reader_text(r, text, strlen(text), err);
        rc = rc ? rc : aios__reader_logprobs(r, aios__json_get(p, "logprobs"), err);
        if (!rc && *refusal)
            rc = aios__reader_stop(r, "refusal", err);
    }
    return rc;
}

/* A reply in one piece, from a server that does not stream. */
static int read_whole(aios__reader *r, const aios__json *response, aios_error *err)
{
    const aios__json *output = aios__json_get(response, "output");
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(output); i++) {
        const aios__json *item = aios__json_at(output, i);
        rc = read_texts(r, aios__json_get(item, "summary"), true, err);
        rc = rc ? rc : read_texts(r, aios__json_get(item, "content"), !strcmp(aios__str_of(item, "type"), "reasoning"), err);
        rc = rc ? rc : read_seal(r, item, err);
        if (!rc && is_call(item))
            rc = read_call(r, (int64_t)i, item, err);
    }
    return rc ? rc : read_end(r, response, err);
}

static int decode(aios__reader *r, const char *type, const aios__json *v, aios_error *err)
{
    const char *said = aios__str_of(v, "type");
    type = *said ? said : type;
    if (!strcmp(aios__str_of(v, "object"), "response"))
        return read_whole(r, v, err);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(events); i++)
        if (!strcmp(events[i].type, type))
            return events[i].fn(r, v, err);
    return AIOS_OK; /* there are many that say nothing new */
}

/* {"type":"error","message":...}, {"type":"response.failed","response":{"error":{...}}}, and as chat completions have them. */
static bool fault(const aios__json *v, aios__fault *out)
{
    const char *type = aios__str_of(v, "type");
    if (!strcmp(type, "response.failed"))
        return aios__dialect_openai.fault(aios__json_get(v, "response"), out);
    if (aios__dialect_openai.fault(v, out))
        return true;
    bool failed = !strcmp(type, "error");
    if (failed) /* the event's own type says nothing of its kind */
        out->type = "";
    return failed;
}

/* ---- counting ----------------------------------------------------------------------------------------------------- */

static int encode_count(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf_adds(&out->path, "/responses/input_tokens", err);
    int rc = put_prompt(s, &out->body, req, err);
    rc = rc ? rc : aios__buf_addc(&out->body, '}', err);
    return rc ? rc : out->path.failed;
}

static int decode_count(const aios__json *v, uint32_t *n, aios_error *err)
{
    return aios__read_count(v, "input_tokens", n, err);
}

const aios__dialect aios__dialect_responses = {
    .name = "openai-responses",
    .title = "OpenAI's Responses",
    .base_url = "https://api.openai.com/v1",
    .key_names = {"OPENAI_API_KEY"},
    .url_name = "OPENAI_BASE_URL",
    .auth = "Authorization: Bearer ",
    .can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_LOGPROBS,
    .encode = encode,
    .decode = decode,
    .fault = fault,
    .encode_count = encode_count,
    .decode_count = decode_count,
    .list_path = "/models",
    .decode_list = aios__list_openai,
};
