/* SPDX-License-Identifier: Apache-2.0 */
/* What of the context the next request takes, and when it is time to leave something out. */
#include <stdio.h>

#include "agent/agent_priv.h"

#define FIRST_RATE 0.3 /* tokens a byte, before anything was counted */
#define MAX_TRIES 3
enum { GAIN_SHARE = 16, PART_BYTES = 16, ENTRY_TOKENS = 32 };

/* ---- the policy --------------------------------------------------------------------------------------------------- */

int aios__compact_in(const aios_compact *src, aios_compact *p, aios_error *err)
{
    int rc = aios__struct_in(p, sizeof *p, src, err);
    if (rc)
        return rc;
    if (p->policy < AIOS_COMPACT_NONE || p->policy > AIOS_COMPACT_OFFLOAD)
        return aios__fail(err, AIOS_EINVAL, "compact.policy %d is none of AIOS_COMPACT_x", p->policy);
    p->high = p->high == 0 ? 0.8f : p->high;
    p->low = p->low == 0 ? (p->high > 0.5f ? 0.5f : p->high / 2) : p->low;
    if (!(p->low > 0 && p->low < p->high && p->high <= 1))
        return aios__fail(err, AIOS_EINVAL, "compact.low %g and high %g must be shares of the context, low below high", (double)p->low, (double)p->high);
    p->min_offload = p->min_offload ? p->min_offload : 512;
    if (p->min_offload < 256)
        return aios__fail(err, AIOS_EINVAL, "compact.min_offload is %u: below 256 bytes what stands in a result's place is as long as the result", p->min_offload);
    if (p->instructions && !aios__utf8_valid(p->instructions, strlen(p->instructions)))
        return aios__fail(err, AIOS_EINVAL, "compact.instructions are not valid UTF-8");
    return AIOS_OK;
}

/* The smaller of what is known; 0: nothing is. */
static uint32_t least(uint32_t a, uint32_t b)
{
    return a && (!b || a < b) ? a : b;
}

static uint32_t context_of(const aios_agent *a)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    return least(a->compact.n_ctx, aios_model_info_get(a->model, &info) ? 0 : info.n_ctx);
}

/* As the agent's model is now. */
static void size_context(aios_run *r)
{
    r->context.n_ctx = least(r->context.told, context_of(r->agent));
}

void aios__context_init(aios_run *r)
{
    r->context.plan.heap = r->heap;
    aios__buf_init(&r->context.said, r->heap, AIOS_MEM_TEXT, 0);
}

void aios__context_free(aios_run *r)
{
    aios__view_free(&r->context.plan);
    aios__buf_free(&r->context.said);
}

static uint32_t share_of(const aios_run *r, float share)
{
    return (uint32_t)((double)r->context.n_ctx * (double)share);
}

/* ---- counting ----------------------------------------------------------------------------------------------------- */

static uint64_t entry_bytes(const aios_transcript *t, uint32_t i)
{
    aios_entry e = AIOS_INIT(aios_entry);
    uint64_t n = 0;
    aios_transcript_at(t, i, &e);
    for (uint32_t k = 0; k < e.n_parts; k++)
        n += e.parts[k].n_text + (e.parts[k].name ? strlen(e.parts[k].name) : 0) + PART_BYTES;
    return n;
}

static uint64_t bytes_of(const aios_request *q)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++)
        n += entry_bytes(q->transcript, i);
    for (uint32_t i = 0; i < q->n_tools; i++) {
        const aios_tool_def *t = &q->tools[i];
        n += strlen(t->name) + (t->description ? strlen(t->description) : 0) + (t->schema_json ? strlen(t->schema_json) : 0) + PART_BYTES;
    }
    return n;
}

int aios__context_count(const aios_agent *a, aios_session *s, const aios_request *q, double rate, uint32_t *n, bool *exact, aios_error *err)
{
    int rc = a->privacy == AIOS_PRIVACY_LOCAL ? aios_session_count(s, q, n, err) : AIOS_ENOTSUP;
    *exact = !rc;
    if (rc != AIOS_ENOTSUP)
        return rc;
    double tokens = (double)bytes_of(q) * (rate > 0 ? rate : FIRST_RATE) + 1;
    *n = tokens < (double)UINT32_MAX ? (uint32_t)tokens : UINT32_MAX;
    return AIOS_OK;
}

/* What the model gets of the run's transcript as v shows it: behind the instructions of the turn, where they are not those that it begins with. */
static int show(const aios_run *r, const aios__view *v, aios_transcript **out, aios_error *err)
{
    aios_transcript *shown = NULL;
    *out = NULL;
    int rc = aios__view_make(r->t, v, &shown, err);
    if (rc || !r->profile.view) {
        *out = shown;
        return rc;
    }
    rc = aios__profile_view(r, shown, out, err);
    aios_transcript_free(shown);
    return rc;
}

int aios__context_weigh(aios_run *r, const aios_request *q, const aios__view *v, uint32_t *n, aios_error *err)
{
    aios_request w = *q;
    aios_transcript *shown;
    bool exact;
    int rc = show(r, v, &shown, err);
    w.transcript = shown;
    rc = rc ? rc : aios__context_count(r->agent, r->session, &w, r->context.rate, n, &exact, err);
    aios_transcript_free(shown);
    return rc;
}

/* Bytes are more than tokens: what has come since the last request cannot take it over the mark. */
static bool surely_below(const aios_run *r, uint32_t high)
{
    const aios__context *c = &r->context;
    uint64_t n = c->n_input;
    for (uint32_t i = c->mark; n && i < aios_transcript_count(r->t); i++)
        n += 2 * entry_bytes(r->t, i) + ENTRY_TOKENS;
    return n && n <= high;
}

void aios__context_counted(aios_run *r, const aios_usage *u)
{
    aios__context *c = &r->context;
    c->n_input = u->input;
    if (c->n_bytes && u->input)
        c->rate = (double)u->input / (double)c->n_bytes;
}

/* ---- compacting --------------------------------------------------------------------------------------------------- */

static const char *policy_name(int32_t policy)
{
    static const char *const names[] = {"none", "drop", "summarise", "offload"};
    return names[policy];
}

void aios__context_changed(aios_run *r)
{
    r->context.n_input = 0;
    r->context.known_from = r->n_all;
}

void aios__context_moved(aios_run *r)
{
    r->context.told = 0;
    r->context.n_input = 0;
    r->context.rate = 0;
    r->context.known_from = r->n_all; /* its tools of the same name are others */
}

static int write_part(const aios_run *r, const aios__view *v, const aios__compacted *how, aios__buf *b, aios_error *err)
{
    aios__view_write(v, b, err);
    aios__buf_addf(b, err, ",\"policy\":\"%s\",\"n_ctx\":%u,\"before\":%u,\"after\":%u", policy_name(how->policy), r->context.n_ctx, how->before, how->after);
    if (how->why)
        aios__buf_addf(b, err, ",\"why\":\"%s\"", how->why);
    return aios__buf_addc(b, '}', err);
}

static int append_part(aios_run *r, const aios__view *v, const aios__buf *json, aios_error *err)
{
    aios_part p[2] = {AIOS_INIT(aios_part), AIOS_INIT(aios_part)};
    aios_entry e = AIOS_INIT(aios_entry);
    p[0].kind = AIOS_PART_CONTEXT;
    p[0].text = json->p;
    p[0].n_text = json->n;
    p[1].kind = AIOS_PART_TEXT;
    p[1].text = v->note;
    p[1].n_text = v->n_note;
    e.role = AIOS_ROLE_SYSTEM;
    e.parts = p;
    e.n_parts = v->note ? 2 : 1;
    e.part_stride = sizeof *p;
    e.label = v->label;
    return aios__run_append(r, &e, err);
}

int aios__context_commit(aios_run *r, const aios__view *v, const aios__compacted *how, aios_error *err)
{
    aios__buf json;
    aios__buf_init(&json, r->heap, AIOS_MEM_TEXT, 0);
    int rc = write_part(r, v, how, &json, err);
    rc = rc ? rc : append_part(r, v, &json, err);
    rc = rc ? rc : aios__journal_context(r, err);
    if (!rc) {
        aios_event ev = AIOS_INIT(aios_event);
        ev.type = AIOS_EVENT_CONTEXT;
        ev.name = policy_name(how->policy);
        ev.text = json.p;
        ev.n_text = json.n;
        ev.label.integrity = AIOS_LABEL_SYSTEM;
        aios__context_changed(r);
        rc = aios__run_emit(r, &ev, err);
    }
    aios__buf_free(&json);
    return rc;
}

/* Worth it: it fits where it must, and is no small step that would be made again at the next turn. */
static bool gains(const aios_run *r, uint32_t before, uint32_t after)
{
    const aios__context *c = &r->context;
    if (after >= before)
        return false;
    if (c->forced)
        return after < c->n_ctx || r->agent->privacy != AIOS_PRIVACY_LOCAL;
    return after <= share_of(r, r->agent->compact.high) || before - after >= c->n_ctx / GAIN_SHARE;
}

/* AIOS_DONE: it gains nothing. */
static int compact(aios_run *r, const aios_request *q, uint32_t before, aios_error *err)
{
    const aios_compact *p = &r->agent->compact;
    uint32_t low = share_of(r, p->low), spare = p->policy == AIOS_COMPACT_SUMMARISE ? aios__summary_most(r) : 0;
    aios__compacted how = {.policy = p->policy, .before = before};
    aios__view v;
    r->context.n_tries++;
    int rc = aios__context_plan(r, q, p->policy, low > spare ? low - spare : 1, &v, &how.after, err);
    if (rc)
        return rc;
    if (!gains(r, before, how.after))
        rc = AIOS_DONE;
    else if (p->policy == AIOS_COMPACT_SUMMARISE)
        rc = aios__summary_start(r, &v, before, err);
    else
        rc = aios__context_commit(r, &v, &how, err);
    aios__view_free(&v);
    return rc;
}

static int weigh_now(aios_run *r, const aios_request *q, uint32_t *n, aios_error *err)
{
    aios__view v;
    int rc = aios__view_read(r->t, &v, err);
    rc = rc ? rc : aios__context_weigh(r, q, &v, n, err);
    aios__view_free(&v);
    return rc;
}

/* What is remembered of the request that is about to be made. */
static int remember(aios_run *r, const aios_request *q, aios_error *err)
{
    aios_request w = *q;
    aios_transcript *shown = NULL;
    aios__view v = {.heap = r->heap};
    int rc = r->profile.view ? aios__view_read(r->t, &v, err) : aios__view_of(r->t, &shown, err);
    rc = rc || !r->profile.view ? rc : show(r, &v, &shown, err);
    aios__view_free(&v);
    if (rc)
        return rc;
    w.transcript = shown ? shown : r->t;
    r->context.n_bytes = bytes_of(&w);
    r->context.mark = aios_transcript_count(r->t);
    aios_transcript_free(shown);
    return AIOS_OK;
}

int aios__context_fit(aios_run *r, const aios_request *q, aios_error *err)
{
    aios__context *c = &r->context;
    uint32_t n = 0, high;
    if (r->agent->compact.policy == AIOS_COMPACT_NONE)
        return AIOS_OK;
    if (c->step != r->step)
        c->n_tries = 0;
    c->step = r->step;
    c->forced = false;
    size_context(r);
    high = share_of(r, r->agent->compact.high);
    int rc = AIOS_OK;
    if (c->n_ctx && !c->n_tries && !surely_below(r, high))
        rc = weigh_now(r, q, &n, err);
    if (!rc && n > high) {
        rc = compact(r, q, n, err);
        rc = rc == AIOS_DONE ? AIOS_OK : rc;
    }
    return rc ? rc : remember(r, q, err);
}

/* A server's own numbers are better than what was thought. */
static void learn(aios_run *r, const aios_error *why)
{
    aios__context *c = &r->context;
    c->told = least(c->told, why->have < UINT32_MAX ? (uint32_t)why->have : 0);
    if (why->need && c->n_bytes && (double)why->need > c->rate * (double)c->n_bytes)
        c->rate = (double)why->need / (double)c->n_bytes;
}

int aios__context_overflow(aios_run *r, aios_error *err)
{
    aios__context *c = &r->context;
    aios_request q = AIOS_INIT(aios_request);
    aios_error why = AIOS_INIT(aios_error), own = AIOS_INIT(aios_error);
    uint32_t n = 0;
    aios__error_copy(&why, err);
    if (r->agent->compact.policy == AIOS_COMPACT_NONE || c->n_tries >= MAX_TRIES)
        return AIOS_ECONTEXT;
    learn(r, &why);
    c->forced = true;
    size_context(r);
    int rc = aios__turn_ask(r, &q, &own);
    if (!rc)
        rc = c->n_ctx ? weigh_now(r, &q, &n, &own) : AIOS_DONE;
    rc = rc ? rc : compact(r, &q, n, &own);
    if (rc == AIOS_DONE) {
        aios__error_copy(err, &why);
        return AIOS_ECONTEXT;
    }
    if (rc)
        aios__error_copy(err, &own);
    else if (r->state != AIOS__RUN_CONTEXT)
        r->state = AIOS__RUN_PROMPT;
    return rc;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

typedef struct using {
    const aios_agent *a;
    aios_session *s;
    aios_context_use *out;
    bool exact;
    double rate;
} using;

static int count_text(const using *u, const char *s, size_t n, uint32_t *out, aios_error *err)
{
    uint32_t k = 0;
    int rc = aios_model_tokenize(u->a->model, s, n, 0, NULL, 0, &k, err);
    if (rc == AIOS_ENOTSUP) {
        k = (uint32_t)((double)n * (u->rate > 0 ? u->rate : FIRST_RATE));
        rc = AIOS_OK;
    }
    *out += k;
    return rc;
}

static int count_instructions(const using *u, const aios_transcript *t, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < aios_transcript_count(t) && !rc; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        for (uint32_t k = 0; k < e.n_parts && e.role == AIOS_ROLE_SYSTEM && !rc; k++)
            if (e.parts[k].kind == AIOS_PART_TEXT)
                rc = count_text(u, e.parts[k].text, e.parts[k].n_text, &u->out->instructions, err);
    }
    return rc;
}

static int count_request(using *u, const aios_request *q, uint32_t *n, aios_error *err)
{
    int rc = aios_session_count(u->s, q, n, err);
    u->exact = !rc && u->a->privacy == AIOS_PRIVACY_LOCAL;
    return rc == AIOS_ENOTSUP ? aios__context_count(u->a, u->s, q, u->rate, n, &u->exact, err) : rc;
}

static void fill_marks(const using *u, const aios_transcript *t, const aios__view *v, uint32_t n_ctx)
{
    aios_context_use *o = u->out;
    const aios_compact *p = &u->a->compact;
    o->n_ctx = n_ctx;
    if (p->policy) {
        o->high = (uint32_t)((double)n_ctx * (double)p->high);
        o->low = (uint32_t)((double)n_ctx * (double)p->low);
    }
    o->n_entries = aios_transcript_count(t);
    for (uint32_t i = 0; i < o->n_entries; i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(t, i, &e);
        o->n_compacted += aios__entry_is_context(&e);
        o->n_hidden += !aios__entry_is_context(&e) && !aios__view_shows(v, &e);
        o->n_cut += e.role == AIOS_ROLE_TOOL && aios__view_shows(v, &e) && aios__view_cuts(v, e.id);
    }
}

/* q: of the whole transcript. */
static int tell(using *u, const aios_request *q, uint32_t n_ctx, aios_error *err)
{
    aios__view v;
    aios_request w = *q;
    aios_transcript *shown = NULL;
    uint32_t bare = 0, room, most = u->a->limits.max_turn_tokens;
    int rc = aios__view_read(q->transcript, &v, err);
    rc = rc ? rc : aios__view_make(q->transcript, &v, &shown, err);
    w.transcript = shown;
    rc = rc ? rc : count_request(u, &w, &u->out->input, err);
    rc = rc ? rc : count_instructions(u, shown, err);
    w.n_tools = 0;
    w.tool_choice = AIOS_TOOLS_AUTO;
    w.tool_name = NULL;
    if (!rc && q->n_tools)
        rc = count_request(u, &w, &bare, err);
    if (!rc) {
        aios_context_use *o = u->out;
        o->tools = q->n_tools && o->input > bare ? o->input - bare : 0;
        o->instructions = o->instructions < o->input - o->tools ? o->instructions : o->input - o->tools;
        o->history = o->input - o->tools - o->instructions;
        o->exact = u->exact;
        room = !n_ctx ? most : n_ctx > o->input ? n_ctx - o->input : 0;
        o->reply = most < room ? most : room;
        fill_marks(u, q->transcript, &v, n_ctx);
    }
    aios_transcript_free(shown);
    aios__view_free(&v);
    return rc;
}

static int tell_all(const aios_agent *a, const aios_request *q, double rate, uint32_t n_ctx, aios_context_use *out, aios_error *err)
{
    aios_context_use use = AIOS_INIT(aios_context_use);
    using u = {.a = a, .out = &use, .rate = rate};
    int rc = aios_session_new(a->model, NULL, &u.s, err); /* the run's own may be in a turn */
    if (rc)
        return rc;
    rc = tell(&u, q, n_ctx, err);
    aios_session_free(u.s);
    return rc ? rc : aios__struct_out(out, &use, sizeof use);
}

int aios_run_context(aios_run *r, aios_context_use *out, aios_error *err)
{
    aios_request q = AIOS_INIT(aios_request);
    if (!r || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_run_context: %s is NULL", r ? "out" : "run");
    int32_t choice = r->choice;
    bool constrained = r->constrained, held = r->held;
    aios_transcript *view = r->profile.view; /* of the turn that goes on, as these */
    r->profile.view = NULL;
    size_context(r);
    int rc = aios__turn_ask(r, &q, err);
    r->choice = choice;
    r->constrained = constrained;
    r->held = held;
    rc = rc ? rc : tell_all(r->agent, &q, r->context.rate, r->context.n_ctx, out, err);
    aios_transcript_free(r->profile.view);
    r->profile.view = view;
    return rc;
}

/* What a run that begins without a transcript would have. */
static int empty_transcript(const aios_agent *a, aios_transcript **t, aios_error *err)
{
    int rc = aios_transcript_new(a->ctx, t, err);
    if (!rc && a->instructions)
        rc = aios_transcript_add_text(*t, AIOS_ROLE_SYSTEM, a->instructions, AIOS_CSTR, err);
    return rc ? rc : aios_transcript_add_text(*t, AIOS_ROLE_USER, "", 0, err);
}

static int make_defs(const aios_agent *a, aios_tool_def **out, aios_error *err)
{
    uint32_t n = aios_toolset_count(a->toolset);
    aios_tool_def *defs = *out = aios__alloc_array(aios__ctx_heap(a->ctx), AIOS_MEM_TEXT, n, sizeof *defs, err);
    for (uint32_t i = 0; defs && i < n; i++) {
        aios_tool t = AIOS_INIT(aios_tool);
        aios_toolset_at(a->toolset, i, &t);
        defs[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        defs[i].name = t.name;
        defs[i].description = t.description;
        defs[i].schema_json = t.schema_json;
    }
    return defs ? AIOS_OK : aios__nomem(err);
}

int aios_agent_context(aios_agent *a, const aios_transcript *t, aios_context_use *out, aios_error *err)
{
    aios_request q = AIOS_INIT(aios_request);
    aios_transcript *own = NULL;
    aios_tool_def *defs = NULL;
    if (!a || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_agent_context: %s is NULL", a ? "out" : "a");
    int rc = make_defs(a, &defs, err);
    if (!rc && !aios_transcript_count(t))
        rc = empty_transcript(a, &own, err);
    q.transcript = own ? own : t;
    q.tools = defs;
    q.tool_stride = sizeof *defs;
    q.n_tools = aios_toolset_count(a->toolset);
    rc = rc ? rc : tell_all(a, &q, 0, context_of(a), out, err);
    aios_transcript_free(own);
    aios__free(aios__ctx_heap(a->ctx), defs);
    return rc;
}
