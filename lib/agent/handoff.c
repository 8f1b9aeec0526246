/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handoffs: tools transfer_to_NAME after whose turn a run goes on as another agent, with the same transcript and limits. What it goes on as is
 * a blend: the instructions, tools, model and choices of the other, all that belongs to the run of the one that it began with, and the policies
 * of both.
 */
#include <stdio.h>

#include "agent/agent_priv.h"

#define PREFIX "transfer_to_"
enum { MAX_HANDOFFS = 64 };

struct aios__handoff {
    char *name;
    aios_agent *agent; /**< NULL: the one that the run began with */
};

/* An agent that the run has gone on as. */
typedef struct aios__station {
    aios_agent *of;        /**< the other, a reference */
    aios_agent *blend;
    aios_session *session; /**< kept until the end: a cancel may look at it at any time */
    aios_policy both[2];   /**< of the first, of the other */
    aios__ruleset_use use; /**< of the other's capabilities while the run is not with it */
} aios__station;

static int handoff_fn(void *user, aios_call *call);

bool aios__handoff_is(const aios__tool *t)
{
    return t && t->pub.fn == handoff_fn;
}

/* ---- of an agent -------------------------------------------------------------------------------------------------- */

void aios__handoff_drop(aios_agent *a)
{
    aios__heap *h = aios__ctx_heap(a->ctx);
    for (uint32_t i = 0; i < a->n_handoffs; i++) {
        aios__free(h, a->handoffs[i].name);
        aios_agent_free(a->handoffs[i].agent);
    }
    aios__free(h, a->handoffs);
}

const aios_agent *aios__handoff_to(const aios_agent *a, uint32_t i)
{
    return a->handoffs[i].agent;
}

static int add_tool(aios_agent *a, aios__handoff *to, const aios_handoff *in, aios_error *err)
{
    char name[80];
    snprintf(name, sizeof name, PREFIX "%s", in->name);
    aios_tool t = AIOS_INIT(aios_tool);
    t.name = name;
    t.description = in->description;
    t.schema_json = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";
    t.effect = AIOS_EFFECT_READ;
    t.fn = handoff_fn;
    t.user = to;
    if (aios__toolset_find(a->toolset, name))
        return aios__fail(err, AIOS_EEXIST, "handoff %.64s: there is a tool named %s already", in->name, name);
    return aios_toolset_add(a->toolset, &t, err);
}

static int add_handoff(aios_agent *a, const aios_handoff *in, aios_error *err)
{
    aios__handoff *to = &a->handoffs[a->n_handoffs];
    if (!aios__tool_name_ok(in->name) || strlen(in->name) + strlen(PREFIX) > 64)
        return aios__fail(err, AIOS_EINVAL, "handoff \"%.80s\": a name must match [A-Za-z0-9_.-]{1,52}", in->name ? in->name : "");
    if (in->agent && in->agent->ctx != a->ctx)
        return aios__fail(err, AIOS_EINVAL, "handoff %s: its agent is of another context", in->name);
    to->name = aios__strndup(aios__ctx_heap(a->ctx), AIOS_MEM_TEXT, in->name, strlen(in->name), err);
    if (!to->name)
        return aios__nomem(err);
    to->agent = in->agent ? aios__agent_ref(in->agent) : NULL;
    a->n_handoffs++;
    return add_tool(a, to, in, err);
}

int aios__handoff_add(aios_agent *a, const aios_agent_config *c, aios_error *err)
{
    if (!c->n_handoffs)
        return AIOS_OK;
    if (!c->handoffs || c->handoff_stride < sizeof(size_t) || c->n_handoffs > MAX_HANDOFFS)
        return aios__fail(err, AIOS_EINVAL, "handoffs: there are more than %d, the array is NULL, or handoff_stride is no size of an aios_handoff", MAX_HANDOFFS);
    a->handoffs = aios__alloc_array(aios__ctx_heap(a->ctx), AIOS_MEM_OTHER, c->n_handoffs, sizeof *a->handoffs, err);
    aios_toolset *own = NULL;
    int rc = a->handoffs ? aios_toolset_new(a->ctx, &own, err) : aios__nomem(err);
    if (rc)
        return rc;
    own->base = a->toolset;
    a->toolset = own;
    for (uint32_t i = 0; i < c->n_handoffs && !rc; i++) {
        aios_handoff in;
        rc = aios__struct_in(&in, sizeof in, (const char *)c->handoffs + i * c->handoff_stride, err);
        if (!rc)
            rc = add_handoff(a, &in, err);
    }
    return rc;
}

/* ---- the blend ---------------------------------------------------------------------------------------------------- */

/* Each has its say, with its own default. */
static int decide_both(void *user, const aios_action *action, aios_verdict *out)
{
    const aios_policy *both = user;
    for (int i = 0; i < 2 && out->verdict != AIOS_DENY; i++) {
        aios_verdict v;
        if (both[i].rules && !both[i].decide)
            continue;
        aios__policy_decide(&both[i], action, &v);
        if (v.verdict >= out->verdict)
            *out = v;
    }
    if (!out->verdict)
        out->verdict = AIOS_ALLOW; /* rules alone decide, and have */
    return AIOS_OK;
}

static int narrow(aios_rules *first, aios_rules *other, aios_rules **out, aios_error *err)
{
    if (first && other)
        return aios_rules_narrow(first, other, out, err);
    *out = aios__ruleset_ref(first ? first : other);
    return AIOS_OK;
}

static int make_blend(const aios_run *r, aios__station *s, aios_error *err)
{
    const aios_agent *home = r->home, *of = s->of;
    aios_agent *b = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *b, err);
    if (!b)
        return aios__nomem(err);
    size_t from = offsetof(aios_agent, ctx);
    memcpy((char *)b + from, (const char *)of + from, sizeof *b - from); /* what it points to is kept by `of` */
    s->blend = b;
    b->limits = home->limits;
    b->store = home->store;
    b->hook = home->hook;
    b->cache_dir = home->cache_dir;
    b->telemetry = home->telemetry;
    b->hooks = home->hooks;
    b->flags |= home->flags & AIOS_AGENT_CHANGED;
    s->both[0] = home->policy;
    s->both[1] = of->policy;
    b->policy = (aios_policy)AIOS_INIT(aios_policy);
    b->policy.user = s->both;
    b->policy.decide = decide_both;
    return narrow(home->policy.rules, of->policy.rules, &b->policy.rules, err);
}

static void free_station(aios_run *r, aios__station *s)
{
    if (s->session)
        aios__agent_give_session(s->of, s->session);
    if (s->blend) {
        aios__toolset_hold(s->of->toolset, -1);
        aios_rules_free(s->blend->policy.rules);
        aios__free(r->heap, s->blend);
    }
    aios__free(r->heap, s->use.calls);
    aios__free(r->heap, s->use.cost);
    aios__free(r->heap, s->use.last);
    aios_agent_free(s->of);
    aios__free(r->heap, s);
}

static int new_station(aios_run *r, aios_agent *of, aios__station **out, aios_error *err)
{
    aios__station **all = aios__realloc(r->heap, AIOS_MEM_OTHER, r->stations, (r->n_stations + 1) * sizeof(*all), err);
    if (!all)
        return aios__nomem(err);
    r->stations = all;
    aios__station *s = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    s->of = aios__agent_ref(of);
    int rc = make_blend(r, s, err);
    if (s->blend)
        aios__toolset_hold(of->toolset, 1);
    if (!rc)
        rc = aios__agent_take_session(of, &s->session, err);
    if (rc) {
        free_station(r, s);
        return rc;
    }
    r->stations[r->n_stations++] = *out = s;
    return AIOS_OK;
}

static aios__station *find_station(const aios_run *r, const aios_agent *of)
{
    for (uint32_t i = 0; i < r->n_stations; i++)
        if (r->stations[i]->of == of)
            return r->stations[i];
    return NULL;
}

static aios__station *current(const aios_run *r)
{
    for (uint32_t i = 0; i < r->n_stations; i++)
        if (r->stations[i]->blend == r->agent)
            return r->stations[i];
    return NULL;
}

const aios_agent *aios__handoff_agent(const aios_run *r)
{
    const aios__station *s = current(r);
    return s ? s->of : r->home;
}

/* ---- what capabilities have been used ------------------------------------------------------------------------------- */

static uint32_t count_caps(const aios_rules *rules)
{
    return rules ? rules->n_caps : 0;
}

static void copy_use(const aios__ruleset_use *from, uint32_t at, const aios__ruleset_use *to, uint32_t to_at, uint32_t n)
{
    for (uint32_t i = 0; from->calls && i < n; i++) {
        to->calls[to_at + i] = from->calls[at + i];
        to->cost[to_at + i] = from->cost[at + i];
    }
}

static int new_use(aios__heap *h, uint32_t n, aios__ruleset_use *out, aios_error *err)
{
    out->calls = aios__alloc_array(h, AIOS_MEM_OTHER, n, sizeof *out->calls, err);
    out->cost = out->calls ? aios__alloc_array(h, AIOS_MEM_OTHER, n, sizeof *out->cost, err) : NULL;
    if (out->cost)
        return AIOS_OK;
    aios__free(h, out->calls);
    *out = (aios__ruleset_use){0};
    return aios__nomem(err);
}

static void replace_use(aios__heap *h, aios__ruleset_use *use, const aios__ruleset_use *by)
{
    aios__free(h, use->calls);
    aios__free(h, use->cost);
    aios__free(h, use->last); /* it is as long as the rules are */
    *use = *by;
}

/* The run's counts are of the first agent's capabilities, then of those of the one that it is with: none begin anew by going to and fro. */
static int switch_use(aios_run *r, aios__station *from, const aios__station *to, aios_error *err)
{
    uint32_t first = count_caps(r->home->policy.rules);
    uint32_t before = from ? count_caps(from->of->policy.rules) : 0, after = to ? count_caps(to->of->policy.rules) : 0;
    aios__ruleset_use kept = {0}, next = {0};
    int rc = new_use(r->heap, before, &kept, err);
    if (rc)
        return rc;
    rc = new_use(r->heap, first + after, &next, err);
    if (rc) {
        replace_use(r->heap, &kept, &(aios__ruleset_use){0});
        return rc;
    }
    copy_use(&r->gate.use, 0, &next, 0, first);
    copy_use(&r->gate.use, first, &kept, 0, before);
    if (to)
        copy_use(&to->use, 0, &next, first, after);
    replace_use(r->heap, from ? &from->use : &kept, from ? &kept : &(aios__ruleset_use){0});
    replace_use(r->heap, &r->gate.use, &next);
    return AIOS_OK;
}

/* ---- of a run ------------------------------------------------------------------------------------------------------- */

static aios_agent *target(const aios_run *r, const aios__handoff *h)
{
    return h->agent ? h->agent : r->home;
}

static int take(aios_run *r, const aios__handoff *h, aios_error *err)
{
    aios_agent *to = target(r, h);
    aios__station *from = current(r), *s = to == r->home ? NULL : find_station(r, to);
    int rc = s || to == r->home ? AIOS_OK : new_station(r, to, &s, err);
    rc = rc ? rc : switch_use(r, from, s, err);
    if (rc)
        return rc;
    r->handed = h->name;
    r->agent = s ? s->blend : r->home;
    r->base_session = s ? s->session : r->home_session;
    aios__run_use_session(r, r->base_session);
    aios__context_moved(r);
    return aios__run_defs(r, err);
}

void aios__handoff_clear(aios_run *r)
{
    r->agent = r->home;
    r->session = r->base_session = r->home_session;
    for (uint32_t i = 0; i < r->n_stations; i++)
        free_station(r, r->stations[i]);
    aios__free(r->heap, r->stations);
    r->stations = NULL;
    r->n_stations = 0;
}

static const aios__handoff *of_call(const aios_run *r, const aios__run_call *c)
{
    const aios__tool *t = c->state == AIOS__RC_DONE && !c->status ? aios__toolset_find(r->agent->toolset, c->call->name) : NULL;
    return aios__handoff_is(t) ? t->pub.user : NULL;
}

/* The handoff that the turn has made; NULL: none. */
static const aios__handoff *made(const aios_run *r)
{
    const aios__handoff *h = NULL;
    for (uint32_t i = 0; r->agent->n_handoffs && i < r->n_turn_calls && !h; i++)
        h = of_call(r, &r->calls[i]);
    return h;
}

static int handoff_fn(void *user, aios_call *call)
{
    const aios__handoff *h = user, *before;
    aios_run *r = call->run;
    char text[256];
    if (target(r, h) == aios__handoff_agent(r))
        return aios_call_finish(call, AIOS_ESTATE, "this conversation is with that agent already", AIOS_CSTR);
    before = made(r);
    if (before) {
        snprintf(text, sizeof text, "this turn has handed the conversation to %s already", before->name);
        return aios_call_finish(call, AIOS_ESTATE, text, AIOS_CSTR);
    }
    int rc = aios__hook_handoff(r, r->handed ? r->handed : "", h->name, text);
    if (rc)
        return aios_call_finish(call, rc, text, AIOS_CSTR);
    call->label = r->label; /* the text is this library's */
    snprintf(text, sizeof text, "the conversation is with %s now", h->name);
    return aios_call_finish(call, AIOS_OK, text, AIOS_CSTR);
}

static int tell(aios_run *r, const aios__handoff *h, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = AIOS_EVENT_STATE;
    ev.name = h->name;
    ev.text = "handoff";
    ev.n_text = strlen(ev.text);
    ev.label.integrity = AIOS_LABEL_SYSTEM;
    return aios__run_emit(r, &ev, err);
}

int aios__handoff_next(aios_run *r, aios_error *err)
{
    const aios__handoff *h = made(r);
    int rc = h ? aios__journal_handoff(r, h->name, target(r, h), err) : AIOS_OK;
    rc = rc ? rc : aios__tools_next(r, err);
    if (rc || !h)
        return rc;
    rc = take(r, h, err);
    return rc ? rc : tell(r, h, err);
}

int aios__handoff_restore(aios_run *r, const char *name, aios_error *err)
{
    const aios__handoff *h = NULL;
    for (uint32_t i = 0; i < r->agent->n_handoffs && name && !h; i++)
        h = strcmp(r->agent->handoffs[i].name, name) ? NULL : &r->agent->handoffs[i];
    if (!h)
        return aios__fail(err, AIOS_ESTATE, "run %s was handed to \"%.64s\", and its agent has no such handoff any more", r->id,
                          name ? name : "");
    int rc = aios__tools_next(r, err);
    return rc ? rc : take(r, h, err);
}
