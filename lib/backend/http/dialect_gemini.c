/* SPDX-License-Identifier: Apache-2.0 */
/* Gemini's generateContent (https://ai.google.dev/api/generate-content). */
#include "backend/http/dialect.h"

/* ---- the request -------------------------------------------------------------------------------------------------- */

/* Adds the model's resource, as "models/NAME", to an URL. */
static int put_resource(const aios__server *s, aios__buf *b, aios_error *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    bool whole = !strncmp(s->model, "models/", 7) || !strncmp(s->model, "tunedModels/", 12);
    aios__buf_adds(b, whole ? "" : "models/", err);
    for (const char *p = s->model; *p; p++) {
        if (strchr(plain, *p))
            aios__buf_addc(b, *p, err);
        else
            aios__buf_addf(b, err, "%%%02X", (unsigned)(unsigned char)*p);
    }
    return b->failed;
}

static int put_path(const aios__server *s, const char *verb, aios__buf *b, aios_error *err)
{
    aios__buf_adds(b, "/v1beta/", err);
    put_resource(s, b, err);
    return aios__buf_adds(b, verb, err);
}

/* The same in a body; what an URL cannot hold is written there as in the URL. */
static int put_model(const aios__server *s, aios__buf *b, aios_error *err)
{
    aios__put_key(b, "model", err);
    aios__buf_addc(b, '"', err);
    put_resource(s, b, err);
    return aios__buf_addc(b, '"', err);
}

static int put_text_part(aios__buf *b, const char *s, size_t n, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_addc(b, '{', err);
    aios__put_str(b, "text", s, n, err);
    return aios__buf_addc(b, '}', err);
}

static int put_blob(const aios__server *s, aios__buf *b, const aios_part *p, aios_error *err)
{
    const char *mime = p->mime ? p->mime : p->kind == AIOS_PART_IMAGE ? "image/png" : p->kind == AIOS_PART_AUDIO ? "audio/wav" : NULL;
    if (!mime || p->kind < AIOS_PART_IMAGE || p->kind > AIOS_PART_DATA)
        return aios__put_refuse(s, p, err);
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"inlineData\":{", err);
    aios__put_str(b, "mimeType", mime, AIOS_CSTR, err);
    aios__buf_adds(b, ",\"data\":\"", err);
    aios__put_base64(b, p->text, p->n_text, err);
    return aios__buf_adds(b, "\"}}", err);
}

/* Ids that the wrapper made are nothing to the provider: it goes by the order then. */
static bool is_own_id(const char *id)
{
    return !strncmp(id, "call_", 5) && id[5] && strspn(id + 5, "0123456789") == strlen(id + 5);
}

static void put_id(aios__buf *b, const char *id, aios_error *err)
{
    if (!is_own_id(id))
        aios__put_str(b, "id", id, AIOS_CSTR, err);
}

static int put_call(aios__buf *b, const aios_part *p, const char *signature, aios_error *err)
{
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"functionCall\":{", err);
    put_id(b, p->call_id, err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__put_args(b, "args", p, err);
    aios__buf_addc(b, '}', err);
    aios__put_str(b, "thoughtSignature", signature, AIOS_CSTR, err);
    return aios__buf_addc(b, '}', err);
}

/* Thoughts, and text without words, that carry a signature; unsigned thoughts need not go back. */
static int put_thought(const aios__server *s, aios__buf *b, const aios_part *p, aios_error *err)
{
    const char *thought = aios__part_signature(p, s, "thought"), *text = aios__part_signature(p, s, "text");
    if (!thought && !text)
        return b->failed;
    aios__put_comma(b, err);
    aios__buf_addc(b, '{', err);
    aios__put_str(b, "text", thought ? p->text : "", thought ? p->n_text : 0, err);
    if (thought)
        aios__put_bool(b, "thought", true, err);
    aios__put_str(b, "thoughtSignature", thought ? thought : text, AIOS_CSTR, err);
    return aios__buf_addc(b, '}', err);
}

/* JSON objects and arrays travel as they are, everything else as a string. */
static int put_output(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__json_doc *doc = NULL;
    size_t n = p->n_text ? strspn(p->text, " \t\r\n") : 0;
    bool may = n < p->n_text && (p->text[n] == '{' || p->text[n] == '[');
    aios_error why = AIOS_INIT(aios_error);
    aios__put_key(b, p->status ? "error" : "output", err);
    int rc = may ? aios__json_parse(b->heap, p->text, p->n_text, &doc, &why) : AIOS_EFORMAT;
    if (rc && rc != AIOS_EFORMAT)
        return aios__error_copy(err, &why);
    rc = rc ? aios__buf_add_json(b, p->text, p->n_text, err) : aios__buf_add(b, p->text, p->n_text, err);
    aios__json_free(doc);
    return rc;
}

/* A result, and the parts behind it with it. Returns how many parts that were, or a code. */
static int put_result(const aios__server *s, aios__buf *b, const aios_entry *e, uint32_t i, aios_error *err)
{
    const aios_part *p = aios__part_at(e, i);
    if (p->kind != AIOS_PART_RESULT)
        return aios__put_refuse(s, p, err);
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"functionResponse\":{", err);
    put_id(b, p->call_id, err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    aios__buf_adds(b, ",\"response\":{", err);
    int rc = put_output(b, p, err);
    rc = rc ? rc : aios__buf_addc(b, '}', err);
    uint32_t end = i + 1;
    for (; !rc && end < e->n_parts && aios__part_at(e, end)->kind != AIOS_PART_RESULT; end++) {
        if (end == i + 1)
            aios__buf_adds(b, ",\"parts\":[", err);
        rc = put_blob(s, b, aios__part_at(e, end), err);
    }
    aios__buf_adds(b, end > i + 1 ? "]}}" : "}}", err);
    return rc ? rc : b->failed ? b->failed : (int)(end - i);
}

static int put_results(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    int rc = b->failed;
    for (uint32_t i = 0; rc >= 0 && i < e->n_parts; i += rc > 0 ? (uint32_t)rc : 0)
        rc = put_result(s, b, e, i, err);
    return rc < 0 ? rc : AIOS_OK;
}

static int put_parts(const aios__server *s, aios__buf *b, const aios_entry *e, aios_error *err)
{
    const char *signature = NULL; /* of the next call */
    int rc = b->failed;
    if (e->role == AIOS_ROLE_TOOL)
        return put_results(s, b, e, err);
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        const char *for_call = aios__part_signature(p, s, "call");
        if (for_call) {
            signature = for_call;
        } else if (p->kind == AIOS_PART_CALL) {
            rc = put_call(b, p, signature, err);
            signature = NULL;
        } else if (p->kind == AIOS_PART_REASONING) {
            rc = put_thought(s, b, p, err);
        } else if (p->kind == AIOS_PART_TEXT) {
            rc = p->n_text ? put_text_part(b, p->text, p->n_text, err) : rc;
        } else {
            rc = put_blob(s, b, p, err);
        }
    }
    return rc;
}

static int put_system(aios__buf *b, const aios_transcript *t, uint32_t n, const aios__server *s, aios_error *err)
{
    int rc = b->failed;
    if (!n)
        return rc;
    aios__put_key(b, "systemInstruction", err);
    aios__buf_adds(b, "{\"parts\":[", err);
    for (uint32_t i = 0; !rc && i < n; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        rc = put_parts(s, b, &e, err);
    }
    return rc ? rc : aios__buf_adds(b, "]}", err);
}

/* Results that follow each other are one turn: there must be as many as the calls in front of it. */
static int put_contents(const aios__server *s, aios__buf *b, const aios_transcript *t, uint32_t from, aios_error *err)
{
    int32_t open = 0;
    int rc = aios__put_key(b, "contents", err);
    aios__buf_addc(b, '[', err);
    for (uint32_t i = from; !rc && i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        if (e.role == AIOS_ROLE_SYSTEM)
            return aios__fail(err, AIOS_ENOTSUP, "%s takes system entries only at the beginning of a conversation: entry %u is one",
                              s->dialect->title, i);
        size_t n = b->n;
        if (open != AIOS_ROLE_TOOL || e.role != AIOS_ROLE_TOOL) {
            aios__buf_adds(b, open ? "]}," : "", err);
            aios__buf_addf(b, err, "{\"role\":\"%s\",\"parts\":[", e.role == AIOS_ROLE_ASSISTANT ? "model" : "user");
        }
        size_t begun = b->n;
        rc = put_parts(s, b, &e, err);
        if (!rc && b->n == begun)
            aios__put_back(b, n); /* nothing to say: no turn */
        else
            open = e.role;
    }
    return rc ? rc : aios__buf_adds(b, open ? "]}]" : "]", err);
}

/* Not every model takes tools beside a schema: those that must not be called are left out then. */
static int put_tools(aios__buf *b, const aios_request *req, aios_error *err)
{
    static const char *const modes[] = {"AUTO", "ANY", "NONE", "ANY"};
    if (!req->n_tools || (req->schema_json && req->tool_choice == AIOS_TOOLS_NONE))
        return b->failed;
    aios__put_key(b, "tools", err);
    aios__buf_adds(b, "[{\"functionDeclarations\":[", err);
    for (uint32_t i = 0; i < req->n_tools; i++) {
        const aios_tool_def *t = &req->tools[i];
        aios__put_comma(b, err);
        aios__buf_addc(b, '{', err);
        aios__put_tool(b, t, "parametersJsonSchema", err);
        aios__buf_addc(b, '}', err);
    }
    aios__buf_adds(b, "]}],\"toolConfig\":{\"functionCallingConfig\":{", err);
    aios__put_str(b, "mode", modes[req->tool_choice], AIOS_CSTR, err);
    if (req->tool_choice == AIOS_TOOLS_NAMED)
        aios__put_strings(b, "allowedFunctionNames", (const char *const[]){req->tool_name, NULL}, err);
    return aios__buf_adds(b, "}}", err);
}

static void put_sampling(aios__buf *b, const aios_sampling *p, aios_error *err)
{
    aios__put_real(b, "temperature", (double)p->temperature, err);
    if (p->top_p > 0 && p->top_p < 1)
        aios__put_real(b, "topP", (double)p->top_p, err);
    if (p->top_k)
        aios__put_int(b, "topK", p->top_k, err);
    if (p->presence_penalty < 0 || p->presence_penalty > 0)
        aios__put_real(b, "presencePenalty", (double)p->presence_penalty, err);
    if (p->frequency_penalty < 0 || p->frequency_penalty > 0)
        aios__put_real(b, "frequencyPenalty", (double)p->frequency_penalty, err);
    if (p->seed)
        aios__put_int(b, "seed", (int64_t)(p->seed & INT32_MAX), err);
}

static int put_config(aios__buf *b, const aios_request *req, aios_error *err)
{
    aios__put_key(b, "generationConfig", err);
    aios__buf_addc(b, '{', err);
    if (req->sampling)
        put_sampling(b, req->sampling, err);
    if (req->max_tokens)
        aios__put_int(b, "maxOutputTokens", req->max_tokens < INT32_MAX ? req->max_tokens : INT32_MAX, err);
    aios__put_strings(b, "stopSequences", req->stop, err);
    if (req->schema_json) {
        aios__put_str(b, "responseMimeType", "application/json", AIOS_CSTR, err);
        aios__put_raw(b, "responseJsonSchema", req->schema_json, err);
    }
    if (req->flags & AIOS_REQUEST_LOGPROBS) {
        aios__put_bool(b, "responseLogprobs", true, err);
        if (req->n_top)
            aios__put_int(b, "logprobs", req->n_top, err);
    }
    if (req->max_reasoning) {
        aios__put_key(b, "thinkingConfig", err);
        aios__buf_addf(b, err, "{\"includeThoughts\":true,\"thinkingBudget\":%u}",
                       req->max_reasoning < INT32_MAX ? req->max_reasoning : INT32_MAX);
    }
    return aios__buf_addc(b, '}', err);
}

/* Members of a request, without its brackets. */
static int put_request(const aios__server *s, const aios_request *req, aios__buf *b, aios_error *err)
{
    const aios_transcript *t = req->transcript;
    aios_entry e = AIOS_INIT(aios_entry);
    uint32_t n_system = 0;
    uint32_t says = AIOS__SAYS_TOP_K | AIOS__SAYS_PENALTIES | AIOS__SAYS_SEED | AIOS__SAYS_MAX_REASONING | AIOS__SAYS_TOOL_CHOICE | AIOS__SAYS_LOGPROBS;
    int rc = aios__check_says(s, req, says, err);
    while (!aios_transcript_at(t, n_system, &e) && e.role == AIOS_ROLE_SYSTEM)
        n_system++;
    rc = rc ? rc : put_system(b, t, n_system, s, err);
    rc = rc ? rc : put_contents(s, b, t, n_system, err);
    rc = rc ? rc : put_tools(b, req, err);
    return rc ? rc : put_config(b, req, err);
}

static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    put_path(s, ":streamGenerateContent?alt=sse", &out->path, err);
    aios__buf_addc(&out->body, '{', err);
    int rc = put_request(s, req, &out->body, err);
    if (!rc && !s->keep)
        rc = aios__put_bool(&out->body, "store", false, err);
    rc = rc ? rc : aios__buf_addc(&out->body, '}', err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

static bool is_true(const aios__json *v)
{
    return v && aios__json_type(v) == AIOS__JSON_TRUE;
}

/* A signature stands in front of the call that it belongs to, and behind text and thoughts. */
static int read_part(aios__reader *r, const aios__json *p, aios_error *err)
{
    const aios__json *call = aios__json_get(p, "functionCall");
    bool thought = is_true(aios__json_get(p, "thought"));
    size_t n = 0, n_sign = 0;
    const char *text = aios__json_str(aios__json_get(p, "text"), &n), *sign = aios__json_str(aios__json_get(p, "thoughtSignature"), &n_sign);
    int rc = AIOS_OK;
    if (text && !call)
        rc = thought ? aios__reader_reasoning(r, text, n, err) : aios__reader_text(r, text, n, err);
    if (!rc && sign)
        rc = aios__reader_sign(r, call ? "call" : thought ? "thought" : "text", sign, n_sign, err);
    if (!rc && call)
        rc = aios__reader_call_whole(r, aios__str_of(call, "id"), aios__str_of(call, "name"), aios__json_get(call, "args"), err);
    return rc;
}

static int64_t plus(int64_t a, int64_t b)
{
    bool ok = b > 0 && b <= UINT32_MAX && a <= UINT32_MAX;
    return !ok ? a : a < 0 ? b : a + b;
}

static int64_t count_of(const aios__json *u, const char *key)
{
    return aios__json_int(aios__json_get(u, key), -1);
}

static void read_usage(aios__reader *r, const aios__json *u)
{
    if (!aios__json_count(u))
        return;
    int64_t thoughts = count_of(u, "thoughtsTokenCount");
    aios__reader_usage(r, plus(count_of(u, "promptTokenCount"), count_of(u, "toolUsePromptTokenCount")), count_of(u, "cachedContentTokenCount"),
                       plus(count_of(u, "candidatesTokenCount"), thoughts), thoughts);
}

static int filter(aios__reader *r, const char *reason, const char *message, aios_error *err)
{
    aios__reader_note(r, *message ? message : reason);
    return aios__reader_stop(r, "filter", err);
}

/* Reasons that fail a turn otherwise than by a filter: another attempt may help with what the model garbled. */
static int read_failure(aios__reader *r, const char *reason, const char *message, aios_error *err)
{
    static const char *const garbled[] = {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
                                          "OTHER"};
    const aios__fault f = {.type = reason, .code = "", .message = *message ? message : reason};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(garbled); i++)
        if (!strcmp(reason, garbled[i]))
            return aios__reader_fault(r, &f, err);
    if (!strcmp(reason, "MISSING_THOUGHT_SIGNATURE"))
        return aios__fail(err, AIOS_EINVAL, "the conversation lacks a signature of this model's reasoning (%s): keep its parts as they came",
                          reason);
    return AIOS_OK;
}

static int read_finish(aios__reader *r, const aios__json *candidate, aios_error *err)
{
    static const struct {
        const char *theirs, *ours;
    } rows[] = {{"STOP", "stop"}, {"MAX_TOKENS", "length"}, {"CONTINUATION", "length"}, {"FINISH_REASON_UNSPECIFIED", "stop"}};
    const char *reason = aios__str_of(candidate, "finishReason"), *message = aios__str_of(candidate, "finishMessage");
    if (!*reason)
        return AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(reason, rows[i].theirs))
            return aios__reader_stop(r, rows[i].ours, err);
    int rc = read_failure(r, reason, message, err);
    return rc ? rc : filter(r, reason, message, err); /* SAFETY, RECITATION, LANGUAGE, BLOCKLIST ... */
}

/* Those chosen, and beside them by place those that were likely. */
static int read_logprobs(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *chosen = aios__json_get(v, "chosenCandidates"), *tops = aios__json_get(v, "topCandidates");
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(chosen); i++) {
        const aios__json *top = aios__json_get(aios__json_at(tops, i), "candidates");
        rc = aios__reader_token(r, aios__json_at(chosen, i), "logProbability", false, err);
        for (size_t k = 0; !rc && k < aios__json_count(top); k++)
            rc = aios__reader_token(r, aios__json_at(top, k), "logProbability", true, err);
    }
    return rc ? rc : aios__reader_tokens_end(r, err);
}

static int read_candidate(aios__reader *r, const aios__json *c, aios_error *err)
{
    const aios__json *parts = aios__json_get(aios__json_get(c, "content"), "parts");
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(parts); i++)
        rc = read_part(r, aios__json_at(parts, i), err);
    rc = rc ? rc : read_logprobs(r, aios__json_get(c, "logprobsResult"), err);
    return rc ? rc : read_finish(r, c, err);
}

static int read_response(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *candidates = aios__json_get(v, "candidates"), *feedback = aios__json_get(v, "promptFeedback");
    int rc = AIOS_OK;
    read_usage(r, aios__json_get(v, "usageMetadata"));
    for (size_t i = 0; !rc && i < aios__json_count(candidates); i++)
        if (!aios__json_int(aios__json_get(aios__json_at(candidates, i), "index"), 0)) /* one reply was asked for */
            rc = read_candidate(r, aios__json_at(candidates, i), err);
    const char *blocked = aios__str_of(feedback, "blockReason");
    return rc || !*blocked ? rc : filter(r, blocked, aios__str_of(feedback, "blockReasonMessage"), err);
}

static bool fault(const aios__json *v, aios__fault *out)
{
    const aios__json *e = aios__json_get(aios__json_type(v) == AIOS__JSON_ARRAY ? aios__json_at(v, 0) : v, "error");
    const aios__json *details = aios__json_get(e, "details");
    if (!aios__json_count(e))
        return false;
    out->type = aios__str_of(e, "status");
    out->message = aios__str_of(e, "message");
    out->code = "";
    for (size_t i = 0; !*out->code && i < aios__json_count(details); i++)
        out->code = aios__str_of(aios__json_at(details, i), "reason");
    return true;
}

/* Without "alt=sse" a stream is an array of responses. */
static int decode(aios__reader *r, const char *type, const aios__json *v, aios_error *err)
{
    AIOS__UNUSED(type);
    int rc = AIOS_OK;
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return read_response(r, v, err);
    for (size_t i = 0; !rc && i < aios__json_count(v); i++) {
        aios__fault f = {0};
        rc = fault(aios__json_at(v, i), &f) ? aios__reader_fault(r, &f, err) : read_response(r, aios__json_at(v, i), err);
    }
    return rc;
}

/* ---- models, counts, embeddings ------------------------------------------------------------------------------------ */

static int encode_count(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    put_path(s, ":countTokens", &out->path, err);
    aios__buf_adds(&out->body, "{\"generateContentRequest\":{", err);
    put_model(s, &out->body, err);
    int rc = put_request(s, req, &out->body, err);
    rc = rc ? rc : aios__buf_adds(&out->body, "}}", err);
    return rc ? rc : out->path.failed;
}

static int decode_count(const aios__json *v, uint32_t *n, aios_error *err)
{
    return aios__read_count(v, "totalTokens", n, err);
}

static int decode_list(const aios__json *v, aios__buf *out, aios_error *err)
{
    const aios__json *models = aios__json_get(v, "models");
    int rc = out->failed;
    for (size_t i = 0; !rc && i < aios__json_count(models); i++) {
        const aios__json *m = aios__json_at(models, i);
        const char *name = aios__str_of(m, "name");
        int64_t n = aios__json_int(aios__json_get(m, "inputTokenLimit"), 0);
        rc = aios__put_listed(out, strncmp(name, "models/", 7) ? name : name + 7, n, err);
    }
    return rc;
}

static int encode_embed(const aios__server *s, const char *text, size_t n, aios__message *out, aios_error *err)
{
    put_path(s, ":embedContent", &out->path, err);
    aios__buf_addc(&out->body, '{', err);
    put_model(s, &out->body, err);
    aios__buf_adds(&out->body, ",\"content\":{\"parts\":[", err);
    put_text_part(&out->body, text, n, err);
    int rc = aios__buf_adds(&out->body, "]}}", err);
    return rc ? rc : out->path.failed;
}

static const aios__json *decode_embed(const aios__json *v)
{
    return aios__json_get(aios__json_get(v, "embedding"), "values");
}

const aios__dialect aios__dialect_gemini = {
    .name = "gemini",
    .title = "Gemini's generateContent",
    .base_url = "https://generativelanguage.googleapis.com",
    .key_names = {"GOOGLE_API_KEY", "GEMINI_API_KEY"},
    .url_name = "GOOGLE_GEMINI_BASE_URL",
    .auth = "x-goog-api-key: ",
    .can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_EMBED | AIOS_MODEL_CAN_LOGPROBS,
    .encode = encode,
    .decode = decode,
    .fault = fault,
    .encode_count = encode_count,
    .decode_count = decode_count,
    .list_path = "/v1beta/models?pageSize=1000",
    .decode_list = decode_list,
    .encode_embed = encode_embed,
    .decode_embed = decode_embed,
};
