/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat; types: openai-python, src/openai/types/chat), which most
 * servers speak too: what they need to hear is in quirks.c, what they may say is read here from all. Sampling that a server is not known to
 * take (top_k, min_p, repeat_penalty) is not sent.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "backend/http/quirks.h"

static bool has(const aios__server *s, uint32_t quirk)
{
    return atomic_load(&s->quirks) & quirk;
}

/* ---- the request -------------------------------------------------------------------------------------------------- */

static int put_text_part(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"text\"", err);
    aios__put_str(b, "text", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

static int put_image(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"image_url\",\"image_url\":{", err);
    aios__put_data_url(b, "url", p, "image/png", err);
    return aios__buf_adds(b, "}}", err);
}

static int put_audio(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"", err);
    aios__put_base64(b, p->text, p->n_text, err);
    return aios__buf_addf(b, err, "\",\"format\":\"%s\"}}", aios__audio_format(p));
}

static int put_file(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"file\",\"file\":{", err);
    aios__put_str(b, "filename", p->name ? p->name : "file.pdf", AIOS_CSTR, err);
    aios__put_data_url(b, "file_data", p, "application/pdf", err);
    return aios__buf_adds(b, "}}", err);
}

static int put_content_part(const aios__server *s, aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__put_comma(b, err);
    if (p->kind == AIOS_PART_TEXT || (p->kind == AIOS_PART_DATA && aios__part_is_text(p)))
        return put_text_part(b, p, err);
    if (p->kind == AIOS_PART_IMAGE)
        return put_image(b, p, err);
    if (p->kind == AIOS_PART_AUDIO && aios__audio_format(p))
        return put_audio(b, p, err);
    if (p->kind == AIOS_PART_DATA)
        return put_file(b, p, err);
    return aios__put_refuse(s, p, err);
}

static bool has_only(const aios_entry *e, int32_t kind)
{
    for (uint32_t i = 0; i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind != kind)
            return false;
    return true;
}

static bool has_part(const aios_entry *e, int32_t kind)
{
    for (uint32_t i = 0; i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind == kind)
            return true;
    return false;
}

static int put_user(const aios__server *s, aios__buf *b, const char *role, const aios_entry *e, aios_error *err)
{
    aios__buf_addf(b, err, "{\"role\":\"%s\"", role);
    aios__put_key(b, "content", err);
    int rc = b->failed;
    if (has_only(e, AIOS_PART_TEXT)) {
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
    aios__put_raw(b, "type", "\"function\",\"function\":{", err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__put_str(b, "arguments", p->text, p->n_text, err);
    return aios__buf_adds(b, "}}", err);
}

static int put_calls(aios__buf *b, const aios_entry *e, aios_error *err)
{
    int rc = aios__put_raw(b, "tool_calls", "[", err);
    for (uint32_t i = 0; !rc && i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind == AIOS_PART_CALL)
            rc = put_call(b, aios__part_at(e, i), err);
    return rc ? rc : aios__buf_addc(b, ']', err);
}

/* Behind a call its reasoning goes back, by the name that the server itself used; what led to earlier replies does not. */
static int put_reasoning(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    const char *key = has(s, AIOS__QUIRK_REASONING) ? "reasoning" : has(s, AIOS__QUIRK_REASONING_CONTENT) ? "reasoning_content" : NULL;
    aios__buf text;
    if (!key || !has_part(e, AIOS_PART_REASONING))
        return b->failed;
    aios__buf_init(&text, b->heap, AIOS_MEM_TEXT, 0);
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++)
        if (aios__part_at(e, i)->kind == AIOS_PART_REASONING)
            rc = aios__buf_add(&text, aios__part_at(e, i)->text, aios__part_at(e, i)->n_text, err);
    rc = rc ? rc : aios__put_str(b, key, text.p ? text.p : "", text.n, err);
    aios__buf_free(&text);
    return rc;
}

static int put_assistant(const aios__server *s, aios__buf *b, const aios_entry *e, bool current, aios_error *err)
{
    bool calls = has_part(e, AIOS_PART_CALL);
    aios__buf_adds(b, "{\"role\":\"assistant\"", err);
    aios__put_key(b, "content", err);
    int rc = calls && !has_part(e, AIOS_PART_TEXT) ? aios__buf_adds(b, "null", err) : aios__put_text(b, e, err);
    if (!rc && calls && current)
        rc = put_reasoning(s, b, e, err);
    if (!rc && calls)
        rc = put_calls(b, e, err);
    return rc ? rc : aios__buf_addc(b, '}', err);
}

/* Each result is a message of its own. */
static int put_result(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"role\":\"tool\"", err);
    aios__put_str(b, "tool_call_id", p->call_id, AIOS_CSTR, err);
    aios__put_str(b, "content", p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

static uint32_t last_user(const aios_transcript *t)
{
    aios_entry e = AIOS_INIT(aios_entry);
    for (uint32_t i = aios_transcript_count(t); i-- > 0;)
        if (!aios_transcript_at(t, i, &e) && e.role == AIOS_ROLE_USER)
            return i;
    return 0;
}

static int put_messages(const aios__server *s, aios__buf *b, const aios_transcript *t, aios_error *err)
{
    uint32_t user = last_user(t);
    int rc = aios__put_raw(b, "messages", "[", err);
    for (uint32_t i = 0; !rc && i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        if (e.role != AIOS_ROLE_TOOL)
            aios__put_comma(b, err);
        rc = e.role == AIOS_ROLE_TOOL        ? aios__put_results(s, b, &e, put_result, err)
             : e.role == AIOS_ROLE_ASSISTANT ? put_assistant(s, b, &e, i > user, err)
                                             : put_user(s, b, e.role == AIOS_ROLE_SYSTEM ? "system" : "user", &e, err);
    }
    return rc ? rc : aios__buf_addc(b, ']', err);
}

static int put_tool(const aios__server *s, aios__buf *b, const aios_tool_def *t, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"type\":\"function\",\"function\":", err);
    int rc = has(s, AIOS__QUIRK_STRICT_TOOLS) ? aios__put_strict(s, b, t->schema_json, err) : aios__buf_addc(b, '{', err);
    aios__put_tool(b, t, "parameters", err);
    return rc ? rc : aios__buf_adds(b, "}}", err);
}

static int put_choice(aios__buf *b, int32_t choice, const char *name, aios_error *err)
{
    static const char *const choices[] = {"\"auto\"", "\"required\"", "\"none\""};
    if (choice != AIOS_TOOLS_NAMED)
        return aios__put_raw(b, "tool_choice", choices[choice], err);
    aios__put_raw(b, "tool_choice", "{\"type\":\"function\",\"function\":{", err);
    aios__put_str(b, "name", name, AIOS_CSTR, err);
    return aios__buf_adds(b, "}}", err);
}

/* Tools that must not be called are shown where that does no harm: they are part of a prefix that the server may have cached. */
static bool shows_tools(const aios__server *s, const aios_request *req)
{
    bool harm = has(s, AIOS__QUIRK_NO_CHOICE) || (req->schema_json && has(s, AIOS__QUIRK_TOOLS_ALONE));
    return req->n_tools && !(req->tool_choice == AIOS_TOOLS_NONE && harm);
}

static int put_tools(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    bool only = req->tool_choice == AIOS_TOOLS_NAMED && has(s, AIOS__QUIRK_ONLY_NAMED);
    if (!shows_tools(s, req))
        return b->failed;
    int rc = aios__put_raw(b, "tools", "[", err);
    for (uint32_t i = 0; !rc && i < req->n_tools; i++)
        if (!only || !strcmp(req->tools[i].name, req->tool_name))
            rc = put_tool(s, b, &req->tools[i], err);
    rc = rc ? rc : aios__buf_addc(b, ']', err);
    rc = rc ? rc : put_choice(b, only ? AIOS_TOOLS_REQUIRED : req->tool_choice, req->tool_name, err);
    return rc || !(req->flags & AIOS_REQUEST_ONE_CALL) ? rc : aios__put_bool(b, "parallel_tool_calls", false, err);
}

static int put_more_sampling(const aios__server *s, aios__buf *b, const aios_sampling *p, aios_error *err)
{
    const char *repeat = has(s, AIOS__QUIRK_REPEAT) ? "repeat_penalty" : has(s, AIOS__QUIRK_REPETITION) ? "repetition_penalty" : NULL;
    if (p->top_k && has(s, AIOS__QUIRK_TOP_K))
        aios__put_int(b, "top_k", p->top_k, err);
    if (p->min_p > 0 && has(s, AIOS__QUIRK_TOP_K))
        aios__put_real(b, "min_p", (double)p->min_p, err);
    if (p->repeat_penalty > 0 && p->repeat_penalty != 1 && repeat)
        aios__put_real(b, repeat, (double)p->repeat_penalty, err);
    return b->failed;
}

static int put_sampling(const aios__server *s, aios__buf *b, const aios_sampling *p, aios_error *err)
{
    if (!p)
        return b->failed;
    aios__put_real(b, "temperature", (double)p->temperature, err);
    if (p->top_p > 0 && p->top_p < 1)
        aios__put_real(b, "top_p", (double)p->top_p, err);
    if (p->frequency_penalty != 0)
        aios__put_real(b, "frequency_penalty", (double)p->frequency_penalty, err);
    if (p->presence_penalty != 0 && !has(s, AIOS__QUIRK_NO_PRESENCE))
        aios__put_real(b, "presence_penalty", (double)p->presence_penalty, err);
    if (p->seed)
        aios__put_int(b, "seed", (int64_t)(p->seed & INT64_MAX), err);
    return put_more_sampling(s, b, p, err);
}

static int put_format(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    const char *schema = req->schema_json;
    if (!schema || (has(s, AIOS__QUIRK_TOOLS_ALONE) && shows_tools(s, req)))
        return b->failed;
    if (has(s, AIOS__QUIRK_GUIDED)) {
        aios__put_raw(b, "nvext", "{", err);
        aios__put_raw(b, "guided_json", schema, err);
        return aios__buf_addc(b, '}', err);
    }
    if (has(s, AIOS__QUIRK_FORMAT_VALUE | AIOS__QUIRK_FORMAT_SCHEMA)) {
        aios__put_raw(b, "response_format", "{\"type\":\"json_object\"", err);
        aios__put_raw(b, has(s, AIOS__QUIRK_FORMAT_VALUE) ? "value" : "schema", schema, err);
        return aios__buf_addc(b, '}', err);
    }
    aios__put_raw(b, "response_format", "{\"type\":\"json_schema\",\"json_schema\":", err);
    int rc = aios__put_strict(s, b, schema, err);
    aios__put_str(b, "name", "reply", AIOS_CSTR, err);
    aios__put_raw(b, "schema", schema, err);
    return rc ? rc : aios__buf_adds(b, "}}", err);
}

/* llama-server gives none where no alternative is asked for. */
static int put_logprobs(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    if (!(req->flags & AIOS_REQUEST_LOGPROBS))
        return b->failed;
    aios__put_bool(b, "logprobs", true, err);
    return req->n_top || has(s, AIOS__QUIRK_ONE_TOP) ? aios__put_int(b, "top_logprobs", req->n_top ? req->n_top : 1, err) : b->failed;
}

static int put_limits(const aios__server *s, aios__buf *b, const aios_request *req, aios_error *err)
{
    if (req->max_tokens)
        aios__put_int(b, has(s, AIOS__QUIRK_COMPLETION_TOKENS) ? "max_completion_tokens" : "max_tokens", req->max_tokens, err);
    if (req->max_reasoning)
        aios__put_str(b, "reasoning_effort", aios__effort_of(req->max_reasoning), AIOS_CSTR, err);
    return has(s, AIOS__QUIRK_STORE) ? aios__put_bool(b, "store", s->keep, err) : b->failed;
}

/* OpenAI has no words for some wishes, and says so; of a server that may have some it is only noted that they were not sent. */
static int check_wishes(const aios__server *s, const aios_request *req, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    uint32_t says = AIOS__SAYS_PENALTIES | AIOS__SAYS_SEED | AIOS__SAYS_MAX_REASONING | AIOS__SAYS_TOOL_CHOICE | AIOS__SAYS_LOGPROBS;
    says |= has(s, AIOS__QUIRK_TOP_K) ? AIOS__SAYS_TOP_K | AIOS__SAYS_MIN_P : 0;
    says |= has(s, AIOS__QUIRK_REPEAT | AIOS__QUIRK_REPETITION) ? AIOS__SAYS_REPEAT_PENALTY : 0;
    int rc = aios__check_says(s, req, says, &why);
    if (rc && has(s, AIOS__QUIRK_COMPLETION_TOKENS))
        return aios__error_copy(err, &why);
    if (rc)
        aios__log(s->ctx, AIOS_LOG_WARN, "%s is not known to take it, so it is not sent: %s", s->host, why.msg);
    if (has(s, AIOS__QUIRK_NO_PRESENCE) && req->sampling && req->sampling->presence_penalty != 0)
        aios__log(s->ctx, AIOS_LOG_WARN, "%s reads presence_penalty as another one, so it is not sent", s->host);
    return AIOS_OK;
}

static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf *b = &out->body;
    int rc = check_wishes(s, req, err);
    if (rc)
        return rc;
    aios__buf_adds(&out->path, "/chat/completions", err);
    aios__buf_addc(b, '{', err);
    if (*s->model)
        aios__put_str(b, "model", s->model, AIOS_CSTR, err);
    rc = put_messages(s, b, req->transcript, err);
    rc = rc ? rc : put_tools(s, b, req, err);
    rc = rc ? rc : put_sampling(s, b, req->sampling, err);
    rc = rc ? rc : aios__put_strings(b, "stop", req->stop, err);
    rc = rc ? rc : put_format(s, b, req, err);
    rc = rc ? rc : put_logprobs(s, b, req, err);
    rc = rc ? rc : put_limits(s, b, req, err);
    rc = rc ? rc : aios__put_raw(b, "stream", "true,\"stream_options\":{\"include_usage\":true}}", err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

static int read_call(aios__reader *r, const aios__json *c, aios_error *err)
{
    const aios__json *f = aios__json_get(c, "function");
    return aios__reader_call_value(r, aios__json_int(aios__json_get(c, "index"), -1), aios__str_of(c, "id"), aios__str_of(f, "name"),
                                   aios__json_get(f, "arguments"), err);
}

/* TGI has sent a single call in place of a list of them: text-generation-inference#2136. */
static int read_calls(aios__reader *r, const aios__json *calls, aios_error *err)
{
    int rc = AIOS_OK;
    if (calls && aios__json_type(calls) == AIOS__JSON_OBJECT)
        return read_call(r, calls, err);
    for (size_t i = 0; !rc && i < aios__json_count(calls); i++)
        rc = read_call(r, aios__json_at(calls, i), err);
    return rc;
}

static int read_reasoning(aios__reader *r, const aios__json *piece, aios_error *err)
{
    static const struct {
        const char *key;
        uint32_t quirk;
    } names[] = {{"reasoning_content", AIOS__QUIRK_REASONING_CONTENT}, {"reasoning", AIOS__QUIRK_REASONING}};
    size_t n;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(names); i++) {
        const char *s = aios__json_str(aios__json_get(piece, names[i].key), &n);
        if (!s || !n)
            continue;
        aios__reader_learn(r, names[i].quirk);
        return aios__reader_reasoning(r, s, n, err); /* a server that fills both says the same twice */
    }
    return AIOS_OK;
}

/* Text, or as Mistral has it a list of parts: {"type":"text"}, {"type":"thinking","thinking":[{"type":"text"}]}. */
static int read_content(aios__reader *r, const aios__json *v, bool thinking, aios_error *err)
{
    size_t n;
    const char *s = aios__json_str(v, &n);
    int rc = AIOS_OK;
    if (s)
        return thinking ? aios__reader_reasoning(r, s, n, err) : aios__reader_text(r, s, n, err);
    for (size_t i = 0; !rc && v && aios__json_type(v) == AIOS__JSON_ARRAY && i < aios__json_count(v); i++) {
        const aios__json *p = aios__json_at(v, i), *inner = aios__json_get(p, "thinking");
        s = aios__json_str(aios__json_get(p, "text"), &n);
        if (s)
            rc = thinking ? aios__reader_reasoning(r, s, n, err) : aios__reader_text(r, s, n, err);
        else if (inner && !thinking)
            rc = read_content(r, inner, true, err);
    }
    return rc;
}

static int read_refusal(aios__reader *r, const aios__json *piece, aios_error *err)
{
    size_t n;
    const char *s = aios__json_str(aios__json_get(piece, "refusal"), &n);
    if (!s || !n)
        return AIOS_OK;
    int rc = aios__reader_text(r, s, n, err);
    return rc ? rc : aios__reader_stop(r, "refusal", err);
}

static int read_piece(aios__reader *r, const aios__json *piece, aios_error *err)
{
    const aios__json *old = aios__json_get(piece, "function_call"); /* before there were several */
    int rc = read_reasoning(r, piece, err);
    rc = rc ? rc : read_content(r, aios__json_get(piece, "content"), false, err);
    rc = rc ? rc : read_calls(r, aios__json_get(piece, "tool_calls"), err);
    if (!rc && aios__json_count(old))
        rc = aios__reader_call_value(r, 0, NULL, aios__str_of(old, "name"), aios__json_get(old, "arguments"), err);
    return rc ? rc : read_refusal(r, piece, err);
}

static int read_finish(aios__reader *r, const char *reason, aios_error *err)
{
    static const struct {
        const char *theirs, *ours; /* NULL: the reply broke off */
    } names[] = {
        {"length", "length"},         {"tool_calls", "tool_calls"}, {"function_call", "tool_calls"},
        {"content_filter", "filter"}, {"stop", "stop"},
        {"max_tokens", "length"},   {"model_length", "length"}, /* Mistral */
        {"error", NULL},            {"abort", NULL}, /* OpenRouter; vLLM and SGLang */
    };
    static const aios__fault broken = {.message = "the server ended the reply with an error"};
    if (!*reason)
        return AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(names); i++)
        if (!strcmp(reason, names[i].theirs))
            return names[i].ours ? aios__reader_stop(r, names[i].ours, err) : aios__reader_fault(r, &broken, err);
    return aios__reader_stop(r, "stop", err); /* "eos_token", "stop_sequence": TGI */
}

static void read_usage(aios__reader *r, const aios__json *u)
{
    if (aios__json_count(u))
        aios__reader_usage(r, aios__json_int(aios__json_get(u, "prompt_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "prompt_tokens_details"), "cached_tokens"), -1),
                           aios__json_int(aios__json_get(u, "completion_tokens"), -1),
                           aios__json_int(aios__json_get(aios__json_get(u, "completion_tokens_details"), "reasoning_tokens"), -1));
}

static int read_logprobs(aios__reader *r, const aios__json *v, aios_error *err)
{
    int rc = aios__json_count(v) ? aios__reader_logprobs(r, aios__json_get(v, "content"), err) : AIOS_OK;
    return rc || !aios__json_count(v) ? rc : aios__reader_logprobs(r, aios__json_get(v, "refusal"), err);
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
        rc = rc ? rc : read_logprobs(r, aios__json_get(c, "logprobs"), err);
        rc = rc ? rc : read_finish(r, aios__str_of(c, "finish_reason"), err);
    }
    return rc;
}

static uint64_t count_of(const aios__json *e, const char *key)
{
    int64_t n = aios__json_int(aios__json_get(e, key), 0);
    return n > 0 ? (uint64_t)n : 0;
}

static void read_fault(const aios__json *e, aios__fault *out)
{
    out->message = aios__str_of(e, "message");
    out->type = aios__str_of(e, "type");
    out->code = aios__str_of(e, "code");
    out->param = aios__str_of(e, "param");
    out->have = count_of(e, "n_ctx"); /* llama-server's own */
    out->need = count_of(e, "n_prompt_tokens");
}

/* {"error":{...}}, as LM Studio {"error":"..."}, as older vLLM {"object":"error","message":...}, as FastAPI {"detail":...}. */
static bool fault(const aios__json *v, aios__fault *out)
{
    const aios__json *e = aios__json_get(v, "error"), *detail = aios__json_get(v, "detail");
    size_t n;
    out->message = aios__json_str(e, &n);
    if (out->message)
        return true;
    if (aios__json_count(e)) {
        read_fault(e, out);
        return true;
    }
    if (detail && !aios__json_get(v, "choices")) {
        out->message = aios__str_of(v, "detail");
        return true;
    }
    if (strcmp(aios__str_of(v, "object"), "error"))
        return false;
    read_fault(v, out);
    return true;
}

/* ---- models and embeddings ---------------------------------------------------------------------------------------- */

/* Tokens that a context holds: vLLM and SGLang; llama-server as it was started, not as it was trained; OpenRouter; Groq. */
static int64_t context_of(const aios__json *m)
{
    static const char *const keys[] = {"max_model_len", "n_ctx", "context_length", "context_window", "n_ctx_train"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(keys); i++) {
        int64_t n = aios__json_int(aios__json_get(m, keys[i]), aios__json_int(aios__json_get(aios__json_get(m, "meta"), keys[i]), 0));
        if (n > 0)
            return n;
    }
    return 0;
}

int aios__list_openai(const aios__json *v, aios__buf *out, aios_error *err)
{
    const aios__json *data = aios__json_get(v, "data");
    int rc = out->failed;
    for (size_t i = 0; !rc && i < aios__json_count(data); i++) {
        const aios__json *m = aios__json_at(data, i);
        int64_t n = context_of(m);
        rc = aios__put_listed(out, aios__str_of(m, "id"), n, err);
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

static const char *const reads[] = {"choices", "usage", "object", "detail", "error", "message", "type", "code", "param", "n_ctx", "n_prompt_tokens", NULL};

const aios__dialect aios__dialect_openai = {
    .name = "openai",
    .title = "OpenAI's chat completions",
    .base_url = "https://api.openai.com/v1",
    .key_names = {"OPENAI_API_KEY"},
    .url_name = "OPENAI_BASE_URL",
    .auth = "Authorization: Bearer ",
    .can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_EMBED | AIOS_MODEL_CAN_LOGPROBS,
    .encode = encode,
    .reads = reads,
    .decode = decode,
    .fault = fault,
    .list_path = "/models",
    .decode_list = aios__list_openai,
    .encode_embed = encode_embed,
    .decode_embed = decode_embed,
};
