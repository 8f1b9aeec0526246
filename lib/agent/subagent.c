/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agents as tools: a call is a run of its own, stepped by the run that made it, on its thread. It has the hub of that run, so a cancel reaches
 * it and what it waits for wakes both; its calls are asked of every gate above it, and what it uses counts in every run above it.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "agent/agent_priv.h"

#define MAX_REACH 4096u
static const char prompt_schema[] =
    "{\"type\":\"object\",\"properties\":{\"prompt\":{\"type\":\"string\",\"minLength\":1,\"description\":\"the whole task: nothing else of this "
    "conversation is known there\"}},\"required\":[\"prompt\"],\"additionalProperties\":false}";

/* Behind the tool: one of both. */
typedef struct sub_tool {
    aios__heap *heap;
    aios_agent *agent;
    aios__grip *grip;
} sub_tool;

/* Names the tools of this kind; what they do is aios__sub_begin. */
static int sub_fn(void *user, aios_call *call)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(call);
    return AIOS_ESTATE;
}

bool aios__sub_is(const aios__tool *t)
{
    return t && t->pub.fn == sub_fn;
}

static aios_agent *take_agent(const sub_tool *s)
{
    return s->agent ? aios__agent_ref(s->agent) : aios__grip_take(s->grip);
}

/* ---- adding ------------------------------------------------------------------------------------------------------- */

static void release_tool(void *user)
{
    sub_tool *s = user;
    aios__heap *h = s->heap;
    aios_agent_free(s->agent);
    aios__grip_free(s->grip);
    aios__free(h, s);
}

static bool only_reads(const aios_agent *a)
{
    bool reads = true;
    for (uint32_t i = 0; i < aios_toolset_count(a->toolset) && reads; i++)
        reads = aios__toolset_get(a->toolset, i)->pub.effect == AIOS_EFFECT_READ;
    for (uint32_t i = 0; i < a->n_handoffs && reads; i++)
        reads = !aios__handoff_to(a, i) || only_reads(aios__handoff_to(a, i));
    return reads;
}

/* What its calls do to the world. */
static int32_t effect_of(const aios_agent *a)
{
    if (a->store)
        return AIOS_EFFECT_KEYED;
    return only_reads(a) ? AIOS_EFFECT_READ : AIOS_EFFECT_UNSAFE;
}

static bool reaches(const aios_agent *a, const aios_toolset *ts, uint32_t depth, uint32_t *n);

static bool reaches_by(const aios_agent *a, const aios_toolset *ts, uint32_t depth, uint32_t *n)
{
    if (!a)
        return false;
    if (depth < AIOS__MAX_DEPTH && ++*n <= MAX_REACH)
        return reaches(a, ts, depth + 1, n);
    *n = UINT32_MAX / 2;
    return false;
}

/* True if the agent holds the toolset, by whatever ways; *n counts the steps. */
static bool reaches(const aios_agent *a, const aios_toolset *ts, uint32_t depth, uint32_t *n)
{
    const aios_toolset *own = a->toolset;
    bool found = own && (own == ts || own->base == ts);
    for (uint32_t i = 0; i < aios_toolset_count(own) && !found; i++) {
        const aios__tool *t = aios__toolset_get(own, i);
        const sub_tool *s = aios__sub_is(t) ? t->pub.user : NULL;
        found = s && reaches_by(s->agent, ts, depth, n);
    }
    for (uint32_t i = 0; i < a->n_handoffs && !found; i++)
        found = reaches_by(aios__handoff_to(a, i), ts, depth, n);
    return found;
}

static int hold(sub_tool *s, aios_toolset *ts, aios_agent *a, aios_error *err)
{
    uint32_t n = 0;
    bool cycle = reaches(a, ts, 0, &n);
    if (!cycle && n > MAX_REACH)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__MAX_DEPTH, AIOS__MAX_DEPTH + 1,
                               "agents that use agents go deeper than %d, or are too many to follow", AIOS__MAX_DEPTH);
    s->grip = cycle ? aios__grip_new(a, err) : NULL;
    s->agent = cycle ? NULL : aios__agent_ref(a);
    return cycle && !s->grip ? aios__nomem(err) : AIOS_OK;
}

static int add_tool(aios_toolset *ts, aios_agent *a, const aios_agent_tool *spec, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ts->ctx);
    sub_tool *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    s->heap = h;
    int rc = hold(s, ts, a, err);
    aios_tool t = AIOS_INIT(aios_tool);
    t.name = spec->name;
    t.description = spec->description;
    t.schema_json = prompt_schema;
    t.flags = spec->flags;
    t.effect = effect_of(a);
    t.fn = sub_fn;
    t.user = s;
    t.release = release_tool;
    t.timeout_ns = INT64_MAX; /* the run has its own */
    if (!rc)
        rc = aios_toolset_add(ts, &t, err);
    if (rc)
        release_tool(s);
    return rc;
}

int aios_toolset_add_agent(aios_toolset *ts, aios_agent *a, const aios_agent_tool *spec, aios_error *err)
{
    aios_agent_tool in;
    if (!ts || !a || !spec)
        return aios__fail(err, AIOS_EINVAL, "aios_toolset_add_agent: %s is NULL", !ts ? "ts" : !a ? "agent" : "spec");
    int rc = aios__struct_in(&in, sizeof in, spec, err);
    if (rc)
        return rc;
    if (a->ctx != ts->ctx)
        return aios__fail(err, AIOS_EINVAL, "agent and toolset are of two contexts");
    if (in.flags & ~(uint32_t)AIOS_TOOL_HANDLE)
        return aios__fail(err, AIOS_EINVAL, "agent as a tool: flags 0x%x has bits other than AIOS_TOOL_HANDLE", in.flags);
    return add_tool(ts, a, &in, err);
}

/* ---- the root's descriptor ---------------------------------------------------------------------------------------- */

static bool listens(const aios_run *r)
{
    return r->state == AIOS__RUN_MODEL || r->state == AIOS__RUN_CONTEXT;
}

static void watch(aios_run *sub, int op)
{
    struct epoll_event e = {.events = EPOLLIN};
    int fd = sub->root->fd >= 0 ? aios_session_fd(sub->session) : -1;
    bool done = fd >= 0 && (!epoll_ctl(sub->root->fd, op, fd, &e) || errno == EEXIST);
    sub->watched = done && op == EPOLL_CTL_ADD;
}

void aios__run_use_session(aios_run *r, aios_session *s)
{
    if (r->session == s)
        return;
    watch(r, EPOLL_CTL_DEL);
    r->session = s;
    r->context.n_input = 0; /* its model counts otherwise */
    watch(r, EPOLL_CTL_ADD);
}

void aios__sub_watch(const aios_run *r)
{
    for (uint32_t i = 0; r->n_subs && i < r->n_turn_calls; i++) {
        if (!r->calls[i].sub)
            continue;
        watch(r->calls[i].sub, EPOLL_CTL_ADD);
        aios__sub_watch(r->calls[i].sub);
    }
}

bool aios__sub_unseen(aios_run *r)
{
    if (listens(r) && !r->watched)
        watch(r, EPOLL_CTL_ADD);
    bool unseen = listens(r) && !r->watched;
    for (uint32_t i = 0; r->n_subs && i < r->n_turn_calls; i++)
        unseen = (r->calls[i].sub && aios__sub_unseen(r->calls[i].sub)) || unseen;
    return unseen;
}

/* ---- beginning ---------------------------------------------------------------------------------------------------- */

static int check_depth(const aios_run *r, aios_error *err)
{
    uint32_t depth = 1;
    for (const aios_run *p = r; p; p = p->parent, depth++)
        if (depth > p->agent->limits.max_depth)
            return aios__fail_need(err, AIOS_ELIMIT, p->agent->limits.max_depth, depth,
                                   "agents may call agents no more than %u levels deep (limits.max_depth): do this without calling one",
                                   p->agent->limits.max_depth);
    return AIOS_OK;
}

static void run_name(const aios__run_call *c, char id[AIOS__RUN_ID])
{
    snprintf(id, AIOS__RUN_ID, AIOS__CALL_RUN "%s", c->call->key);
}

void aios__sub_journal(const aios__run_call *c, aios__buf *b, aios_error *err)
{
    char id[AIOS__RUN_ID];
    if (!aios__sub_is(c->tool) || c->tool->pub.effect != AIOS_EFFECT_KEYED)
        return;
    run_name(c, id);
    aios__buf_addf(b, err, ",\"run\":\"%s\"", id);
}

/* Its text is what the caller's model wrote, and the values behind its handles: it has the label of both. */
static int add_prompt(aios_transcript *t, const aios__run_call *c, aios_error *err)
{
    aios__json_doc *doc;
    aios_part p = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    size_t n;
    const char *args = aios__call_text(c->call, &n);
    int rc = aios__json_parse(aios__ctx_heap(c->call->hub->ctx), args, n, &doc, err);
    if (rc)
        return rc;
    p.kind = AIOS_PART_TEXT;
    p.text = aios__json_str(aios__json_get(aios__json_root(doc), "prompt"), &p.n_text);
    e.role = AIOS_ROLE_USER;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    e.label = c->gate.label;
    rc = aios_transcript_add(t, &e, err);
    aios__json_free(doc);
    return rc;
}

static int start_anew(aios_run *r, aios__run_call *c, aios_agent *a, const char *id, aios_error *err)
{
    aios_run_options o = AIOS_INIT(aios_run_options);
    int rc = aios_transcript_new(a->ctx, &o.transcript, err);
    if (!rc && a->instructions)
        rc = aios_transcript_add_text(o.transcript, AIOS_ROLE_SYSTEM, a->instructions, AIOS_CSTR, err);
    if (!rc)
        rc = add_prompt(o.transcript, c, err);
    o.id = id;
    o.traceparent = c->call->traceparent;
    o.flags = AIOS_START_LATE; /* its caller has it in its journal */
    if (!rc)
        rc = aios__run_start(a, r, &o, &c->sub, err);
    if (rc)
        aios_transcript_free(o.transcript);
    else
        c->sub->own_t = true;
    return rc;
}

/* kept: what failed is its run of an earlier life, which is no answer. */
static int start_run(aios_run *r, aios__run_call *c, aios_agent *a, bool *kept, aios_error *err)
{
    char id[AIOS__RUN_ID];
    aios_error why = AIOS_INIT(aios_error);
    run_name(c, id);
    int rc = a->store ? aios__run_resume(a, r, id, c->call->traceparent, &c->sub, &why) : AIOS_ENOENT;
    if (rc == AIOS_ENOENT)
        rc = start_anew(r, c, a, id, err);
    else if (rc)
        aios__error_copy(err, &why);
    *kept = rc && why.code && why.code != AIOS_ENOENT;
    if (rc)
        return rc;
    c->sub->priority = r->priority;
    c->sub->wish = r->wish;
    aios__use_join(c->sub);
    if (c->sub->deadline > r->deadline)
        c->sub->deadline = r->deadline;
    watch(c->sub, EPOLL_CTL_ADD);
    return AIOS_OK;
}

static int start_sub(aios_run *r, aios__run_call *c, aios_agent *a, bool *kept, aios_error *err)
{
    int rc = a ? check_depth(r, err) : aios__fail(err, AIOS_ENOENT, "the agent behind %.64s is gone", c->call->name);
    if (!rc && c->tool->pub.effect == AIOS_EFFECT_READ && effect_of(a) != AIOS_EFFECT_READ)
        rc = aios__fail(err, AIOS_ESTATE, "the agent behind %.64s has got tools that do more than read since it was added", c->call->name);
    if (!rc)
        rc = start_run(r, c, a, kept, err);
    return rc;
}

/*
 * The call is over, and what its run has used is the caller's use from now on. later: the caller stops too, and both go on another day; what the
 * run used stays in what is below the caller, so that it counts above, and in the caller's next life where it is counted once more.
 */
static int end(aios_run *r, aios__run_call *c, int32_t status, const char *text, size_t n, bool later, aios_error *err)
{
    aios_call_finish(c->call, status, text, n);
    r->n_subs--;
    r->root->n_tree--;
    if (!c->sub)
        return AIOS_OK;
    watch(c->sub, EPOLL_CTL_DEL); /* its session may be another run's next */
    if (!later)
        aios__use_leave(c->sub);
    int rc = aios__gate_leave(r, c, err);
    aios__run_destroy(c->sub);
    c->sub = NULL;
    return rc;
}

/* Somebody else has the run, or its store failed: nothing that its caller could tell its model, and another day it goes on. */
static bool is_ours(int rc, const aios_agent *a)
{
    static const int32_t codes[] = {AIOS_EBUSY, AIOS_ECONFLICT, AIOS_EIO, AIOS_EUNAVAIL, AIOS_ETIMEDOUT, AIOS_EAUTH, AIOS_EPROTO};
    bool ours = false;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(codes) && !ours; i++)
        ours = rc == codes[i];
    return ours && a && a->store;
}

int aios__sub_begin(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    aios_agent *a = take_agent(c->tool->pub.user);
    r->n_subs++;
    r->root->n_tree++;
    bool kept = false;
    int rc = start_sub(r, c, a, &kept, &why);
    bool ours = kept || is_ours(rc, a);
    aios_agent_free(a);
    if (ours)
        return aios__error_copy(err, &why), rc;
    c->gate.ours = rc != AIOS_OK;
    if (rc)
        end(r, c, rc, why.msg, AIOS_CSTR, false, NULL);
    return AIOS_OK;
}

/* ---- going on ----------------------------------------------------------------------------------------------------- */

static int forward(aios_run *r, const aios__run_call *c, const aios_event *ev, aios_error *err)
{
    aios__event_node *node;
    aios__buf id;
    aios_event up = *ev;
    bool of_call = ev->call_id && ev->type != AIOS_EVENT_REASONING;
    aios__buf_init(&id, r->heap, AIOS_MEM_TEXT, 0);
    if (of_call || ev->type == AIOS_EVENT_STATE) {
        aios__buf_addf(&id, err, "%s%s%s", c->call->id, of_call ? "/" : "", of_call ? ev->call_id : "");
        up.call_id = id.p;
        up.name = up.name ? up.name : c->call->name;
    }
    int rc = id.failed ? id.failed : aios__event_new(r->heap, &up, aios__events_spare(&r->events), &node, err);
    aios__buf_free(&id);
    if (!rc)
        aios__events_push(&r->events, node);
    return rc;
}

static int step_one(aios_run *r, aios__run_call *c, aios_error *err)
{
    const aios_event *ev;
    int rc = aios__run_pull(c->sub, 0, &ev);
    if (rc)
        return rc;
    if (ev->type != AIOS_EVENT_DONE && ev->type != AIOS_EVENT_ERROR)
        return forward(r, c, ev, err);
    const aios_error *why = ev->type == AIOS_EVENT_ERROR ? ev->error : NULL;
    if (why && c->sub->journal && c->sub->journal->failed)
        return aios__error_copy(err, why), why->code; /* its store, and no answer: another day both go on */
    c->call->label = c->sub->label;
    return end(r, c, why ? why->code : AIOS_OK, why ? why->msg : ev->text, why ? AIOS_CSTR : ev->n_text, false, err);
}

static bool is_open(const aios__run_call *c)
{
    return c->state == AIOS__RC_RUNNING && aios__sub_is(c->tool) && atomic_load(&c->call->state) == AIOS__CALL_OPEN;
}

/* One after the other, so that turns of one model come together into its passes. */
int aios__sub_step(aios_run *r, aios_error *err)
{
    uint32_t n = r->n_turn_calls, first = r->sub_at;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = (first + k) % n;
        if (!is_open(&r->calls[i]))
            continue;
        int rc = step_one(r, &r->calls[i], err);
        r->sub_at = i + 1;
        if (rc != AIOS_AGAIN)
            return rc;
    }
    return AIOS_AGAIN;
}

/* Of a run that has been stopped: nobody is to answer for calls that are over. */
static bool is_told(int32_t type)
{
    return type != AIOS_EVENT_DONE && type != AIOS_EVENT_ERROR && type != AIOS_EVENT_ASK && type != AIOS_EVENT_UNKNOWN;
}

void aios__sub_stop(aios_run *r, aios__run_call *c)
{
    const aios_event *ev;
    if (!is_open(c))
        return;
    if (c->sub)
        aios__run_halt(c->sub);
    while (c->sub && (ev = aios__events_pop(&c->sub->events)))
        if (is_told(ev->type))
            forward(r, c, ev, NULL);
    bool later = c->sub && c->sub->journal && r->journal;
    r->spent = r->spent || (c->sub && !later);
    end(r, c, AIOS_ECANCELED, NULL, 0, later, NULL);
}

bool aios__sub_missing(const aios_run *r)
{
    bool missing = false;
    for (uint32_t i = 0; i < r->n_turn_calls && !missing; i++) {
        const aios__run_call *c = &r->calls[i];
        bool begun = c->state == AIOS__RC_READY && c->tries && aios__sub_is(c->tool);
        missing = begun || (c->sub && aios__sub_missing(c->sub));
    }
    return missing;
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

/* The next open run below, from place *i on; NULL: there is none. */
static const aios_run *next_sub(const aios_run *r, uint32_t *i)
{
    while (r->n_subs && *i < r->n_turn_calls) {
        const aios_run *sub = r->calls[(*i)++].sub;
        if (sub)
            return sub;
    }
    return NULL;
}

uint32_t aios__sub_room(const aios_run *r)
{
    uint32_t n = r->root->n_tree;
    return n < AIOS__SUBS_AT_ONCE ? AIOS__SUBS_AT_ONCE - n : !r->n_subs; /* one each always, or those with none would wait for ever */
}

bool aios__sub_busy(const aios_run *r)
{
    uint32_t i = 0;
    for (const aios_run *sub; (sub = next_sub(r, &i));) {
        bool turn = sub->state == AIOS__RUN_PROMPT && !aios__journal_holds(sub);
        bool work = turn || sub->state == AIOS__RUN_END || aios__events_ready(&sub->events);
        bool steps = listens(sub) && !aios__session_threaded(sub->session);
        work = work || aios__journal_is_back(sub);
        if (work || steps || (sub->state == AIOS__RUN_TOOLS && aios__tools_busy(sub)))
            return true;
    }
    return false;
}

int64_t aios__sub_deadline(const aios__run_call *c)
{
    return c->sub ? aios__run_deadline(c->sub) : INT64_MAX;
}

bool aios__sub_only_asks(const aios__run_call *c)
{
    return c->sub && c->sub->state == AIOS__RUN_TOOLS && !aios__events_ready(&c->sub->events) && aios__tools_only_ask(c->sub);
}

bool aios__sub_polls(const aios_run *r, struct pollfd *p, uint32_t cap, uint32_t *n)
{
    uint32_t i = 0;
    bool all = true;
    for (const aios_run *sub; all && (sub = next_sub(r, &i));) {
        if (sub->state == AIOS__RUN_TOOLS)
            all = aios__sub_polls(sub, p, cap, n);
        if (!listens(sub))
            continue;
        all = aios__session_threaded(sub->session);
        int fd = all ? aios_session_fd(sub->session) : -1;
        if (all && *n < cap)
            p[*n] = (struct pollfd){.fd = fd, .events = POLLIN};
        *n += !all ? 0 : fd < 0 ? cap : 1;
    }
    return all;
}
