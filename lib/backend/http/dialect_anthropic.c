/* SPDX-License-Identifier: Apache-2.0 */
/* Anthropic's messages (https://docs.anthropic.com/en/api/messages). */
#include "backend/http/dialect.h"

#define DEFAULT_MAX_TOKENS 32000u /* the field is required, and every current model allows as many */
#define MIN_BUDGET 1024u          /* of thinking */
#define CACHE ",\"cache_control\":{\"type\":\"ephemeral\"}"

/* ---- the request -------------------------------------------------------------------------------------------------- */

/* A request while it is written. */
typedef struct writer {
    const aios__server *server;
    aios__buf *b;
    const char *role;      /* of the open message, NULL: none */
    const aios_part *last; /* the block that ends what a cache should keep, NULL: none */
} writer;

static bool is_blank(const aios_part *p)
{
    for (size_t i = 0; i < p->n_text; i++)
        if (!strchr(" \t\r\n", p->text[i]))
            return false;
    return true;
}

static const char *media_of(const aios_part *p)
{
    return p->mime ? p->mime : "image/png";
}

static bool is_image(const aios_part *p)
{
    static const char *const types[] = {"image/jpeg", "image/png", "image/gif", "image/webp"};
    bool found = false;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(types); i++)
        found = found || !strcmp(media_of(p), types[i]);
    return found && p->kind == AIOS_PART_IMAGE;
}

static int put_source(aios__buf *b, const char *media, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, ",\"source\":{\"type\":\"base64\"", err);
    aios__put_str(b, "media_type", media, AIOS_CSTR, err);
    aios__buf_adds(b, ",\"data\":\"", err);
    aios__put_base64(b, p->text, p->n_text, err);
    return aios__buf_adds(b, "\"}", err);
}

static int put_document(writer *w, const aios_part *p, aios_error *err)
{
    aios__buf *b = w->b;
    bool pdf = p->mime && !strcmp(p->mime, "application/pdf"), text = p->mime && !strncmp(p->mime, "text/", 5);
    if (!pdf && !(text && !memchr(p->text, 0, p->n_text) && aios__utf8_valid(p->text, p->n_text)))
        return aios__put_refuse(w->server, p, err);
    aios__buf_adds(b, "{\"type\":\"document\"", err);
    if (pdf) {
        put_source(b, p->mime, p, err);
    } else {
        aios__buf_adds(b, ",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\"", err);
        aios__put_str(b, "data", p->text, p->n_text, err);
        aios__buf_addc(b, '}', err);
    }
    return aios__put_str(b, "title", p->name, AIOS_CSTR, err);
}

/* An id as it is taken there: [A-Za-z0-9_-]. Those of other providers may have more. */
static int put_id(aios__buf *b, const char *key, const char *id, aios_error *err)
{
    aios__put_key(b, key, err);
    aios__buf_addc(b, '"', err);
    for (; *id; id++) {
        bool ok = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') || (*id >= '0' && *id <= '9') || *id == '_' || *id == '-';
        aios__buf_addc(b, ok ? *id : '_', err);
    }
    return aios__buf_addc(b, '"', err);
}

static int put_call(aios__buf *b, const aios_part *p, aios_error *err)
{
    aios__buf_adds(b, "{\"type\":\"tool_use\"", err);
    put_id(b, "id", p->call_id, err);
    aios__put_str(b, "name", p->name, AIOS_CSTR, err);
    return aios__put_args(b, "input", p, err);
}

/* A block without its closing bracket. */
static int put_block(writer *w, const aios_part *p, aios_error *err)
{
    aios__buf *b = w->b;
    aios__put_comma(b, err);
    if (p->kind == AIOS_PART_TEXT) {
        aios__buf_adds(b, "{\"type\":\"text\"", err);
        return aios__put_str(b, "text", p->text, p->n_text, err);
    }
    if (p->kind == AIOS_PART_CALL)
        return put_call(b, p, err);
    if (p->kind == AIOS_PART_DATA)
        return put_document(w, p, err);
    if (!is_image(p))
        return aios__put_refuse(w->server, p, err);
    aios__buf_adds(b, "{\"type\":\"image\"", err);
    return put_source(b, media_of(p), p, err);
}

static int end_block(writer *w, const aios_part *p, aios_error *err)
{
    if (p == w->last)
        aios__buf_adds(w->b, CACHE, err);
    return aios__buf_addc(w->b, '}', err);
}

/* Only reasoning with this provider's signature can go back. */
static int put_thinking(writer *w, const aios_part *p, aios_error *err)
{
    const char *signature = aios__part_signature(p, w->server, "thinking"), *data = aios__part_signature(p, w->server, "redacted");
    if (!signature && !data)
        return w->b->failed;
    aios__put_comma(w->b, err);
    aios__buf_addf(w->b, err, "{\"type\":\"%s\"", data ? "redacted_thinking" : "thinking");
    if (signature)
        aios__put_str(w->b, "thinking", p->text, p->n_text, err);
    aios__put_str(w->b, data ? "data" : "signature", data ? data : signature, AIOS_CSTR, err);
    return aios__buf_addc(w->b, '}', err);
}

/* A result, and the parts behind it as its content. Returns how many parts that were, or a code. */
static int put_result(writer *w, const aios_entry *e, uint32_t i, aios_error *err)
{
    aios__buf *b = w->b;
    const aios_part *p = aios__part_at(e, i);
    uint32_t end = i + 1;
    while (end < e->n_parts && aios__part_at(e, end)->kind != AIOS_PART_RESULT)
        end++;
    aios__put_comma(b, err);
    aios__buf_adds(b, "{\"type\":\"tool_result\"", err);
    put_id(b, "tool_use_id", p->call_id, err);
    aios__put_key(b, "content", err);
    int rc;
    if (end == i + 1) {
        rc = aios__buf_add_json(b, p->text, p->n_text, err);
    } else {
        rc = aios__buf_addc(b, '[', err);
        if (!is_blank(p)) {
            aios__buf_adds(b, "{\"type\":\"text\"", err);
            aios__put_str(b, "text", p->text, p->n_text, err);
            rc = aios__buf_addc(b, '}', err);
        }
        for (uint32_t k = i + 1; !rc && k < end; k++) {
            rc = put_block(w, aios__part_at(e, k), err);
            rc = rc ? rc : aios__buf_addc(b, '}', err);
        }
        rc = rc ? rc : aios__buf_addc(b, ']', err);
    }
    if (!rc && p->status)
        rc = aios__put_bool(b, "is_error", true, err);
    rc = rc ? rc : end_block(w, p, err);
    return rc ? rc : (int)(end - i);
}

static int put_blocks(writer *w, const aios_entry *e, aios_error *err)
{
    int rc = w->b->failed;
    for (uint32_t i = 0; rc >= 0 && i < e->n_parts;) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind == AIOS_PART_RESULT) {
            rc = put_result(w, e, i, err);
            i += rc > 0 ? (uint32_t)rc : 0;
            continue;
        }
        if (p->kind == AIOS_PART_REASONING) {
            rc = put_thinking(w, p, err);
        } else if (p->kind != AIOS_PART_TEXT || !is_blank(p)) { /* blocks of nothing are refused there */
            rc = put_block(w, p, err);
            rc = rc ? rc : end_block(w, p, err);
        }
        i++;
    }
    return rc < 0 ? rc : AIOS_OK;
}

/* Entries that follow each other with the same role are one message: results must stand together behind their calls. */
static int put_entry(writer *w, const aios_entry *e, aios_error *err)
{
    const char *role = e->role == AIOS_ROLE_ASSISTANT ? "assistant" : e->role == AIOS_ROLE_SYSTEM ? "system" : "user", *before = w->role;
    size_t n = w->b->n;
    if (!before || strcmp(before, role)) {
        aios__buf_adds(w->b, before ? "]}," : "", err);
        aios__buf_addf(w->b, err, "{\"role\":\"%s\",\"content\":[", role);
        w->role = role;
    }
    size_t begun = w->b->n;
    int rc = put_blocks(w, e, err);
    if (!rc && w->b->n == begun) { /* nothing to say: no message */
        aios__put_back(w->b, n);
        w->role = before;
    }
    return rc;
}

static uint32_t count_leading_system(const aios_transcript *t)
{
    aios_entry e = AIOS_INIT(aios_entry);
    uint32_t n = 0;
    while (!aios_transcript_at(t, n, &e) && e.role == AIOS_ROLE_SYSTEM)
        n++;
    return n;
}

/* The last block that may carry a mark for the cache: what is in front of it need not be computed again. */
static const aios_part *find_last(const aios_transcript *t, uint32_t from, uint32_t to)
{
    const aios_part *last = NULL;
    for (uint32_t i = from; i < to; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        bool result = false;
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = aios__part_at(&e, k);
            result = result || p->kind == AIOS_PART_RESULT; /* what is behind one is inside of it */
            if (p->kind == AIOS_PART_RESULT || (!result && p->kind != AIOS_PART_REASONING && (p->kind != AIOS_PART_TEXT || !is_blank(p))))
                last = p;
        }
    }
    return last;
}

static int put_system(writer *w, const aios_transcript *t, uint32_t n, aios_error *err)
{
    int rc = w->b->failed;
    w->last = find_last(t, 0, n);
    if (!w->last)
        return rc;
    aios__put_key(w->b, "system", err);
    aios__buf_addc(w->b, '[', err);
    for (uint32_t i = 0; !rc && i < n; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        rc = put_blocks(w, &e, err);
    }
    return rc ? rc : aios__buf_addc(w->b, ']', err);
}

/* The end is marked for the cache where another turn is likely: a single question is not worth the write. */
static int put_messages(writer *w, const aios_request *req, uint32_t from, aios_error *err)
{
    const aios_transcript *t = req->transcript;
    uint32_t n = aios_transcript_count(t);
    int rc = aios__put_key(w->b, "messages", err);
    w->last = req->n_tools || n > from + 1 ? find_last(t, from, n) : NULL;
    aios__buf_addc(w->b, '[', err);
    for (uint32_t i = from; !rc && i < n; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        rc = put_entry(w, &e, err);
    }
    return rc ? rc : aios__buf_adds(w->b, w->role ? "]}]" : "]", err);
}

static int put_choice(aios__buf *b, const aios_request *req, aios_error *err)
{
    static const char *const types[] = {"auto", "any", "none", "tool"};
    aios__put_key(b, "tool_choice", err);
    aios__buf_addf(b, err, "{\"type\":\"%s\"", types[req->tool_choice]);
    if (req->tool_choice == AIOS_TOOLS_NAMED)
        aios__put_str(b, "name", req->tool_name, AIOS_CSTR, err);
    if (req->flags & AIOS_REQUEST_ONE_CALL && req->tool_choice != AIOS_TOOLS_NONE)
        aios__put_bool(b, "disable_parallel_tool_use", true, err);
    return aios__buf_addc(b, '}', err);
}

static int put_tools(aios__buf *b, const aios_request *req, aios_error *err)
{
    if (!req->n_tools)
        return b->failed;
    aios__put_key(b, "tools", err);
    aios__buf_addc(b, '[', err);
    for (uint32_t i = 0; i < req->n_tools; i++) {
        const aios_tool_def *t = &req->tools[i];
        aios__put_comma(b, err);
        aios__buf_addc(b, '{', err);
        aios__put_tool(b, t, "input_schema", err);
        aios__buf_adds(b, i + 1 == req->n_tools ? CACHE "}" : "}", err);
    }
    aios__buf_addc(b, ']', err);
    return put_choice(b, req, err);
}

/* A bound on reasoning asks for reasoning; one that is too small to be said, or calls that must be made, leave none. */
static int put_thinking_config(aios__buf *b, const aios_request *req, uint32_t max_tokens, aios_error *err)
{
    bool forced = req->n_tools && (req->tool_choice == AIOS_TOOLS_REQUIRED || req->tool_choice == AIOS_TOOLS_NAMED);
    if (!req->max_reasoning)
        return b->failed;
    if (forced || req->max_reasoning < MIN_BUDGET || max_tokens <= MIN_BUDGET)
        return aios__put_raw(b, "thinking", "{\"type\":\"disabled\"}", err);
    aios__put_key(b, "thinking", err);
    uint32_t budget = req->max_reasoning < max_tokens ? req->max_reasoning : max_tokens - 1;
    return aios__buf_addf(b, err, "{\"type\":\"enabled\",\"budget_tokens\":%u}", budget);
}

static int put_format(aios__buf *b, const char *schema, aios_error *err)
{
    if (!schema)
        return b->failed;
    aios__buf_adds(b, ",\"output_config\":{\"format\":{\"type\":\"json_schema\"", err);
    aios__put_raw(b, "schema", schema, err);
    return aios__buf_adds(b, "}}", err);
}

/* Models of late take no sampling: it is sent only where the caller has set some of it. */
static int put_sampling(aios__buf *b, const aios_sampling *p, aios_error *err)
{
    bool top_p = p && p->top_p > 0 && p->top_p < 1;
    if (!p || !(p->temperature > 0 || top_p || p->top_k))
        return b->failed;
    aios__put_real(b, "temperature", (double)p->temperature, err);
    if (top_p)
        aios__put_real(b, "top_p", (double)p->top_p, err);
    return p->top_k ? aios__put_int(b, "top_k", p->top_k, err) : b->failed;
}

/* What a turn and a count have in common. */
static int put_prompt(const aios__server *s, const aios_request *req, uint32_t max_tokens, aios__buf *b, aios_error *err)
{
    writer w = {.server = s, .b = b};
    uint32_t n_system = count_leading_system(req->transcript);
    int rc = aios__check_says(s, req, AIOS__SAYS_TOP_K | AIOS__SAYS_MAX_REASONING | AIOS__SAYS_TOOL_CHOICE, err);
    if (rc)
        return rc;
    aios__buf_addc(b, '{', err);
    aios__put_str(b, "model", s->model, AIOS_CSTR, err);
    rc = put_tools(b, req, err);
    rc = rc ? rc : put_system(&w, req->transcript, n_system, err);
    rc = rc ? rc : put_messages(&w, req, n_system, err);
    rc = rc ? rc : put_thinking_config(b, req, max_tokens, err);
    return rc ? rc : put_format(b, req->schema_json, err);
}

static uint32_t max_tokens_of(const aios__server *s, const aios_request *req)
{
    if (req->max_tokens)
        return req->max_tokens;
    return s->n_ctx && s->n_ctx < DEFAULT_MAX_TOKENS ? s->n_ctx : DEFAULT_MAX_TOKENS;
}

static int encode(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    uint32_t max_tokens = max_tokens_of(s, req);
    aios__buf_adds(&out->path, "/v1/messages", err);
    int rc = put_prompt(s, req, max_tokens, &out->body, err);
    rc = rc ? rc : aios__put_int(&out->body, "max_tokens", max_tokens, err);
    rc = rc ? rc : put_sampling(&out->body, req->sampling, err);
    rc = rc ? rc : aios__put_strings(&out->body, "stop_sequences", req->stop, err);
    rc = rc ? rc : aios__buf_adds(&out->body, ",\"stream\":true}", err);
    return rc ? rc : out->path.failed;
}

/* ---- the reply ---------------------------------------------------------------------------------------------------- */

/* Sum of the members that are there; -1: none is. */
static int64_t sum_of(const aios__json *u, const char *const *keys, size_t n)
{
    int64_t sum = -1;
    for (size_t i = 0; i < n; i++) {
        int64_t v = aios__json_int(aios__json_get(u, keys[i]), -1);
        if (v >= 0 && v <= UINT32_MAX)
            sum = (sum < 0 ? 0 : sum) + v;
    }
    return sum;
}

static void read_usage(aios__reader *r, const aios__json *u)
{
    static const char *const input[] = {"input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"};
    bool whole = aios__json_is_number(aios__json_get(u, "input_tokens"));
    aios__reader_usage(r, whole ? sum_of(u, input, AIOS__ARRAY_LEN(input)) : -1, whole ? sum_of(u, input + 1, 1) : -1,
                       aios__json_int(aios__json_get(u, "output_tokens"), -1),
                       aios__json_int(aios__json_get(aios__json_get(u, "output_tokens_details"), "thinking_tokens"), -1));
}

typedef int read_text_fn(aios__reader *r, const char *s, size_t n, aios_error *err);

static int read_member(aios__reader *r, const aios__json *v, const char *key, read_text_fn *fn, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(aios__json_get(v, key), &n);
    return s && n ? fn(r, s, n, err) : AIOS_OK;
}

static int read_signature(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    return aios__reader_sign(r, "thinking", s, n, err);
}

static int read_redacted(aios__reader *r, const char *s, size_t n, aios_error *err)
{
    return aios__reader_sign(r, "redacted", s, n, err);
}

/* A call begins with an empty input and grows, unless it came whole. */
static int read_call(aios__reader *r, int64_t index, const aios__json *block, bool whole, aios_error *err)
{
    const char *id = aios__str_of(block, "id"), *name = aios__str_of(block, "name");
    const aios__json *input = aios__json_get(block, "input");
    if (whole || aios__json_count(input))
        return aios__reader_call_whole(r, id, name, input, err);
    return aios__reader_call(r, index, id, name, NULL, 0, err);
}

/* The beginning of a block, or all of it. */
static int read_block(aios__reader *r, int64_t index, const aios__json *block, bool whole, aios_error *err)
{
    if (!strcmp(aios__str_of(block, "type"), "tool_use"))
        return read_call(r, index, block, whole, err);
    int rc = read_member(r, block, "text", aios__reader_text, err);
    rc = rc ? rc : read_member(r, block, "thinking", aios__reader_reasoning, err);
    rc = rc ? rc : read_member(r, block, "signature", read_signature, err);
    return rc ? rc : read_member(r, block, "data", read_redacted, err);
}

static int read_stop(aios__reader *r, const aios__json *v, aios_error *err)
{
    static const struct {
        const char *theirs, *ours;
    } rows[] = {
        {"end_turn", "stop"}, {"stop_sequence", "stop"}, {"tool_use", "tool_calls"}, {"max_tokens", "length"},
        {"model_context_window_exceeded", "length"}, {"pause_turn", "length"}, {"refusal", "refusal"},
    };
    const char *reason = aios__str_of(v, "stop_reason"), *ours = "stop";
    if (!*reason)
        return AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(reason, rows[i].theirs))
            ours = rows[i].ours;
    aios__reader_note(r, aios__str_of(aios__json_get(v, "stop_details"), "explanation"));
    return aios__reader_stop(r, ours, err);
}

static int on_message_start(aios__reader *r, const aios__json *v, aios_error *err)
{
    AIOS__UNUSED(err);
    read_usage(r, aios__json_get(aios__json_get(v, "message"), "usage"));
    return AIOS_OK;
}

static int on_block_start(aios__reader *r, const aios__json *v, aios_error *err)
{
    return read_block(r, aios__json_int(aios__json_get(v, "index"), 0), aios__json_get(v, "content_block"), false, err);
}

static int on_block_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *d = aios__json_get(v, "delta");
    size_t n = 0;
    const char *args = aios__json_str(aios__json_get(d, "partial_json"), &n);
    if (args)
        return n ? aios__reader_call(r, aios__json_int(aios__json_get(v, "index"), 0), NULL, NULL, args, n, err) : AIOS_OK;
    return read_block(r, 0, d, false, err);
}

static int on_block_stop(aios__reader *r, const aios__json *v, aios_error *err)
{
    return aios__reader_call_end(r, aios__json_int(aios__json_get(v, "index"), 0), err);
}

static int on_message_delta(aios__reader *r, const aios__json *v, aios_error *err)
{
    read_usage(r, aios__json_get(v, "usage"));
    return read_stop(r, aios__json_get(v, "delta"), err);
}

static int on_message_stop(aios__reader *r, const aios__json *v, aios_error *err)
{
    AIOS__UNUSED(v);
    AIOS__UNUSED(err);
    aios__reader_end(r);
    return AIOS_OK;
}

/* A reply in one piece. */
static int on_message(aios__reader *r, const aios__json *v, aios_error *err)
{
    const aios__json *content = aios__json_get(v, "content");
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(content); i++)
        rc = read_block(r, (int64_t)i, aios__json_at(content, i), true, err);
    read_usage(r, aios__json_get(v, "usage"));
    return rc ? rc : read_stop(r, v, err);
}

static int decode(aios__reader *r, const char *type, const aios__json *v, aios_error *err)
{
    static const struct {
        const char *type;
        int (*read)(aios__reader *r, const aios__json *v, aios_error *err);
    } rows[] = {
        {"content_block_delta", on_block_delta}, {"content_block_start", on_block_start}, {"content_block_stop", on_block_stop},
        {"message_start", on_message_start},     {"message_delta", on_message_delta},     {"message_stop", on_message_stop},
        {"message", on_message},
    };
    const char *name = aios__str_of(v, "type");
    name = *name ? name : type;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(name, rows[i].type))
            return rows[i].read(r, v, err);
    return AIOS_OK; /* pings, and what is yet to come */
}

static bool fault(const aios__json *v, aios__fault *out)
{
    const aios__json *e = aios__json_get(v, "error");
    if (strcmp(aios__str_of(v, "type"), "error") && !aios__json_count(e))
        return false;
    out->type = aios__str_of(e, "type");
    out->code = aios__str_of(aios__json_get(e, "details"), "error_code");
    out->message = aios__str_of(e, "message");
    return true;
}

/* ---- models and counts -------------------------------------------------------------------------------------------- */

static int encode_count(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err)
{
    aios__buf_adds(&out->path, "/v1/messages/count_tokens", err);
    int rc = put_prompt(s, req, max_tokens_of(s, req), &out->body, err);
    rc = rc ? rc : aios__buf_addc(&out->body, '}', err);
    return rc ? rc : out->path.failed;
}

static int decode_count(const aios__json *v, uint32_t *n, aios_error *err)
{
    return aios__read_count(v, "input_tokens", n, err);
}

static int decode_list(const aios__json *v, aios__buf *out, aios_error *err)
{
    const aios__json *data = aios__json_get(v, "data");
    int rc = out->failed;
    for (size_t i = 0; !rc && i < aios__json_count(data); i++) {
        const aios__json *m = aios__json_at(data, i);
        int64_t n = aios__json_int(aios__json_get(m, "max_input_tokens"), 0);
        rc = aios__put_listed(out, aios__str_of(m, "id"), n, err);
    }
    return rc;
}

static const char *const headers[] = {"anthropic-version: 2023-06-01", NULL};

const aios__dialect aios__dialect_anthropic = {
    .name = "anthropic",
    .title = "Anthropic's messages",
    .base_url = "https://api.anthropic.com",
    .key_names = {"ANTHROPIC_API_KEY"},
    .url_name = "ANTHROPIC_BASE_URL",
    .auth = "x-api-key: ",
    .headers = headers,
    .can = AIOS_MODEL_CAN_TOOLS,
    .encode = encode,
    .decode = decode,
    .fault = fault,
    .encode_count = encode_count,
    .decode_count = decode_count,
    .list_path = "/v1/models?limit=1000",
    .decode_list = decode_list,
};
