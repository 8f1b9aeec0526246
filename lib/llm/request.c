/* SPDX-License-Identifier: Apache-2.0 */
/* Every check of a request, once, so that backends see nothing but sound ones. */
#include <math.h>

#include "llm/session_priv.h"

#define MAX_TOOLS 512u
#define MAX_TOP 20u
#define MAX_STOPS 16u
#define MAX_STOP_BYTES 256u
#define MAX_SCHEMA ((size_t)1 << 20)

bool aios__tool_name_ok(const char *s)
{
    size_t n = 0;
    for (; s && s[n]; n++) {
        char c = s[n];
        bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
        if (!ok || n >= 64)
            return false;
    }
    return n > 0;
}

static int check_float(float x, float lo, float hi, const char *name, aios_error *err)
{
    if (isfinite(x) && x >= lo && x <= hi)
        return AIOS_OK;
    return aios__fail(err, AIOS_EINVAL, "sampling.%s is %g: it must be between %g and %g", name, (double)x, (double)lo, (double)hi);
}

static int check_sampling(const aios_sampling *s, aios_error *err)
{
    const struct {
        float x, lo, hi;
        const char *name;
    } rows[] = {
        {s->temperature, 0, 100, "temperature"},
        {s->top_p, 0, 1e6f, "top_p"},
        {s->min_p, 0, 1, "min_p"},
        {s->repeat_penalty, 0, 100, "repeat_penalty"},
        {s->frequency_penalty, -100, 100, "frequency_penalty"},
        {s->presence_penalty, -100, 100, "presence_penalty"},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        int rc = check_float(rows[i].x, rows[i].lo, rows[i].hi, rows[i].name, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/* Compiles a schema, for the caller if out is not NULL. */
static int check_schema(aios_ctx *ctx, const char *s, const char *what, const char *name, aios__schema **out, aios_error *err)
{
    aios__schema *compiled;
    aios_error why = AIOS_INIT(aios_error);
    size_t n = strlen(s);
    if (n > MAX_SCHEMA)
        return aios__fail_need(err, AIOS_ESCHEMA, MAX_SCHEMA, n, "%s%s: a schema of %zu bytes is larger than the %zu allowed", what, name, n, MAX_SCHEMA);
    int rc = aios__schema_new(ctx, s, n, &compiled, &why);
    if (rc)
        return aios__fail_need(err, rc, why.have, why.need, "%s%s: %s", what, name, why.msg);
    if (out)
        *out = compiled;
    else
        aios__schema_free(compiled);
    return AIOS_OK;
}

static int check_tool(aios_ctx *ctx, const aios__request *r, uint32_t i, bool again, aios_error *err)
{
    const aios_tool_def *t = &r->tools[i];
    if (!aios__tool_name_ok(t->name))
        return aios__fail(err, AIOS_EINVAL, "tools[%u]: a name must match [A-Za-z0-9_.-]{1,64}", i);
    for (uint32_t k = 0; k < i; k++)
        if (!strcmp(r->tools[k].name, t->name))
            return aios__fail(err, AIOS_EINVAL, "tools[%u] and tools[%u] are both named %s", k, i, t->name);
    if (t->description && !aios__utf8_valid(t->description, strlen(t->description)))
        return aios__fail(err, AIOS_EINVAL, "tools[%u] (%s): the description is not valid UTF-8", i, t->name);
    return t->schema_json && !again ? check_schema(ctx, t->schema_json, "schema of the tool ", t->name, NULL, err) : AIOS_OK;
}

static int tools_in(aios_ctx *ctx, aios__request *r, bool again, aios_error *err)
{
    aios_request *q = &r->req;
    if (!q->n_tools) {
        q->tools = NULL;
        return AIOS_OK;
    }
    if (!q->tools || q->tool_stride < sizeof(size_t) || q->tool_stride % sizeof(size_t))
        return aios__fail(err, AIOS_EINVAL, "n_tools is %u but %s", q->n_tools, q->tools ? "tool_stride is not sizeof(aios_tool_def)" : "tools is NULL");
    if (q->n_tools > MAX_TOOLS)
        return aios__fail_need(err, AIOS_EINVAL, MAX_TOOLS, q->n_tools, "%u tools are more than the %u a request may have", q->n_tools, MAX_TOOLS);
    r->tools = aios__alloc_array(r->heap, AIOS_MEM_TEXT, q->n_tools, sizeof *r->tools, err);
    if (!r->tools)
        return aios__nomem(err);
    for (uint32_t i = 0; i < q->n_tools; i++) {
        const char *src = (const char *)q->tools + (size_t)i * q->tool_stride;
        size_t size;
        memcpy(&size, src, sizeof size);
        if (size > q->tool_stride)
            return aios__fail(err, AIOS_EINVAL, "tools[%u]: struct_size %zu is larger than tool_stride %zu", i, size, q->tool_stride);
        int rc = aios__struct_in(&r->tools[i], sizeof *r->tools, src, err);
        if (!rc)
            rc = check_tool(ctx, r, i, again, err);
        if (rc)
            return rc;
    }
    q->tools = r->tools;
    q->tool_stride = sizeof *r->tools;
    return AIOS_OK;
}

static int check_choice(const aios_request *q, aios_error *err)
{
    if (q->tool_choice < AIOS_TOOLS_AUTO || q->tool_choice > AIOS_TOOLS_NAMED)
        return aios__fail(err, AIOS_EINVAL, "tool_choice %d is none of AIOS_TOOLS_x", q->tool_choice);
    if (q->tool_choice == AIOS_TOOLS_REQUIRED && !q->n_tools)
        return aios__fail(err, AIOS_EINVAL, "a call is required but the request has no tools");
    if (q->tool_choice != AIOS_TOOLS_NAMED)
        return AIOS_OK;
    for (uint32_t i = 0; q->tool_name && i < q->n_tools; i++)
        if (!strcmp(q->tools[i].name, q->tool_name))
            return AIOS_OK;
    return aios__fail(err, AIOS_EINVAL, "tool_name \"%.64s\" is none of the request's tools", q->tool_name ? q->tool_name : "");
}

static int check_stops(const aios_request *q, aios_error *err)
{
    for (uint32_t i = 0; q->stop && q->stop[i]; i++) {
        size_t n = strnlen(q->stop[i], MAX_STOP_BYTES + 1);
        if (i >= MAX_STOPS)
            return aios__fail(err, AIOS_EINVAL, "more than %u stop texts", MAX_STOPS);
        if (!n || n > MAX_STOP_BYTES)
            return aios__fail(err, AIOS_EINVAL, "stop[%u] must have 1 to %u bytes", i, MAX_STOP_BYTES);
        if (!aios__utf8_valid(q->stop[i], n))
            return aios__fail(err, AIOS_EINVAL, "stop[%u] is not valid UTF-8", i);
    }
    return AIOS_OK;
}

static int check_input(aios_request *q, aios_error *err)
{
    if (!q->transcript == !q->raw)
        return aios__fail(err, AIOS_EINVAL, "a request needs %s: set transcript or raw", q->raw ? "one of transcript and raw, not both" : "an input");
    if (q->transcript && !aios_transcript_count(q->transcript))
        return aios__fail(err, AIOS_EINVAL, "the transcript is empty: add a user entry first");
    int rc = aios__text_in(q->raw, q->n_raw, &q->n_raw, "raw", err);
    if (!rc && q->raw && !aios__utf8_valid(q->raw, q->n_raw))
        rc = aios__fail(err, AIOS_EINVAL, "raw is not valid UTF-8");
    if (!rc && (q->flags & ~(uint32_t)(AIOS_REQUEST_IGNORE_EOS | AIOS_REQUEST_ONE_CALL | AIOS_REQUEST_PLAIN_CHOICE |
                                               AIOS_REQUEST_CALL_DELTAS | AIOS_REQUEST_SNAPSHOTS | AIOS_REQUEST_LOGPROBS)))
        rc = aios__fail(err, AIOS_EINVAL, "flags 0x%x has bits that are no AIOS_REQUEST_x", q->flags);
    if (!rc && !(isfinite(q->min_margin) && q->min_margin >= 0))
        rc = aios__fail(err, AIOS_EINVAL, "min_margin is %g: it must be 0 or more", (double)q->min_margin);
    if (!rc && q->n_top > MAX_TOP)
        rc = aios__fail_need(err, AIOS_EINVAL, MAX_TOP, q->n_top, "n_top is %u: it must be at most %u", q->n_top, MAX_TOP);
    if (!rc && q->n_top && !(q->flags & AIOS_REQUEST_LOGPROBS))
        rc = aios__fail(err, AIOS_EINVAL, "n_top is %u without AIOS_REQUEST_LOGPROBS in flags", q->n_top);
    if (!rc && q->timeout_ns < 0)
        rc = aios__fail(err, AIOS_EINVAL, "timeout_ns is negative: use 0 for none");
    if (!rc && q->deadline_ns < 0)
        rc = aios__fail(err, AIOS_EINVAL, "deadline_ns is negative: use 0 for none");
    if (!rc && q->schema_json && q->grammar)
        rc = aios__fail(err, AIOS_EINVAL, "a reply is bound by schema_json or by grammar, not by both: compile the schema, or leave one out");
    return rc;
}

/* Backends get what the model is to get. */
static int view_in(aios__request *r, aios_error *err)
{
    aios_request *q = &r->req;
    r->whole = q->transcript;
    int rc = q->transcript ? aios__view_of(q->transcript, &r->view, err) : AIOS_OK;
    if (r->view)
        q->transcript = r->view;
    return rc;
}

static int request_in(aios_ctx *ctx, const aios_request *src, bool again, aios__request *out, aios_error *err)
{
    memset(out, 0, sizeof *out);
    out->heap = aios__ctx_heap(ctx);
    if (!src)
        return aios__fail(err, AIOS_EINVAL, "the request is NULL");
    aios_request *q = &out->req;
    int rc = aios__struct_in(q, sizeof *q, src, err);
    if (!rc)
        rc = check_input(q, err);
    if (!rc)
        rc = view_in(out, err);
    if (!rc && q->sampling) {
        rc = aios__struct_in(&out->sampling, sizeof out->sampling, q->sampling, err);
        q->sampling = &out->sampling;
        if (!rc)
            rc = check_sampling(&out->sampling, err);
    }
    if (!rc)
        rc = tools_in(ctx, out, again, err);
    if (!rc)
        rc = check_choice(q, err);
    if (!rc)
        rc = check_stops(q, err);
    if (!rc && q->schema_json)
        rc = check_schema(ctx, q->schema_json, "schema of the reply", "", &out->schema, err);
    if (rc)
        aios__request_free(out);
    return rc;
}

int aios__request_in(aios_ctx *ctx, const aios_request *src, aios__request *out, aios_error *err)
{
    return request_in(ctx, src, false, out, err);
}

int aios__request_in_again(aios_ctx *ctx, const aios_request *src, aios__request *out, aios_error *err)
{
    return request_in(ctx, src, true, out, err);
}

void aios__request_free(aios__request *r)
{
    aios__free(r->heap, r->tools);
    r->tools = NULL;
    aios__schema_free(r->schema);
    r->schema = NULL;
    aios_transcript_free(r->view);
    r->view = NULL;
}

int aios__request_suits(const aios_request *q, uint32_t can, const char *backend, aios_error *err)
{
    if (q->grammar && !(can & AIOS_MODEL_CAN_GRAMMAR))
        return aios__fail(err, AIOS_ENOTSUP, "backend %s binds no reply to a grammar: use a schema (schema_json; the command: --schema), or another model", backend);
    if (q->flags & AIOS_REQUEST_LOGPROBS && !(can & AIOS_MODEL_CAN_LOGPROBS))
        return aios__fail(err, AIOS_ENOTSUP, "backend %s tells no probabilities of tokens: leave them out (AIOS_REQUEST_LOGPROBS; the command: --logprobs), or use another model",
                          backend);
    return AIOS_OK;
}
