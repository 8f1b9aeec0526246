/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of a run: what a call is and carries, the verdict of rules and host about it, and labels of what comes back. */
#include <stdio.h>

#include "agent/agent_priv.h"

/* ---- labels ------------------------------------------------------------------------------------------------------- */

aios_label aios__gate_base(const aios__run_call *c)
{
    bool trusted = c->tool->pub.flags & AIOS_TOOL_TRUSTED;
    aios_label l = {.integrity = trusted ? AIOS_LABEL_TOOL : AIOS_LABEL_UNTRUSTED, .confidentiality = c->gate.label.confidentiality};
    if (c->call->filled && c->gate.label.integrity < l.integrity)
        l.integrity = c->gate.label.integrity; /* a value does not become trusted by going through a tool */
    return l;
}

aios_label aios__gate_label(const aios_run *r, const aios__run_call *c)
{
    aios_label l = r->label;
    if (!c->gate.ours && !aios__value_due(c, c->status)) {
        l = c->call->label;
        l.integrity = c->status == AIOS_OK ? l.integrity : AIOS_LABEL_UNTRUSTED;
        return l;
    }
    l.integrity = l.integrity < AIOS_LABEL_TOOL ? l.integrity : AIOS_LABEL_TOOL;
    l.confidentiality |= c->call->filled ? c->gate.label.confidentiality : 0; /* that it was refused, or how long it is, says something */
    return l;
}

uint64_t aios__gate_local(const aios_run *r)
{
    uint64_t local = 0;
    for (const aios_run *p = r; p; p = p->parent)
        local |= p->agent->policy.rules ? p->agent->policy.rules->local : 0;
    return local;
}

int aios__gate_model(const aios_run *r, aios_error *err)
{
    uint64_t local = aios__gate_local(r);
    if (r->profile.privacy != AIOS_PRIVACY_LOCAL && r->label.confidentiality & local)
        return aios__fail(err, AIOS_EDENIED,
                          "the conversation holds classes that the policy keeps on this machine (0x%llx), and the model is not on it",
                          (unsigned long long)(r->label.confidentiality & local));
    return AIOS_OK;
}

/* ---- values in place of handles ----------------------------------------------------------------------------------- */

typedef struct filling {
    aios_run *r;
    aios__run_call *c;
    bool any;
} filling;

static const char *fill_one(void *user, const char *s, size_t n, size_t *n_out)
{
    filling *f = user;
    const aios__value *v = aios__value_find(f->r, s, n);
    if (!v || v - f->r->gate.values >= f->r->gate.n_told)
        return NULL; /* the model cannot know of it */
    f->any = true;
    f->c->gate.label = aios__label_join(f->c->gate.label, v->label);
    *n_out = v->n;
    return v->text;
}

/* "extract" reads values itself: its model sees them, the tool does not have to. */
static bool takes_handles(const aios_run *r, const aios_call *c)
{
    const aios__tool *t = aios__toolset_find(r->agent->toolset, c->name);
    return t && t->pub.fn == aios__extract_fn;
}

int aios__gate_fill(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_call *call = c->call;
    aios__json_doc *doc;
    aios__buf out;
    filling f = {r, c, false};
    c->gate.label = r->label;
    aios__free(r->heap, call->filled);
    call->filled = NULL;
    if (!r->gate.n_told || takes_handles(r, call) || !memmem(call->args, call->n_args, "$v", 2))
        return AIOS_OK;
    if (call->n_args > AIOS__MAX_ARGS || aios__json_parse(r->heap, call->args, call->n_args, &doc, NULL))
        return AIOS_OK; /* what is wrong with it is told where arguments are checked */
    aios__buf_init(&out, r->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__canon(aios__json_root(doc), false, fill_one, &f, &out, err);
    aios__json_free(doc);
    if (rc || !f.any) {
        aios__buf_free(&out);
        return rc;
    }
    call->filled = out.p;
    call->n_filled = out.n;
    return AIOS_OK;
}

/* ---- the verdict -------------------------------------------------------------------------------------------------- */

static int make_room(aios_run *r, const aios_rules *rules, aios_error *err)
{
    aios__ruleset_use *u = &r->gate.use;
    if (!u->calls)
        u->calls = aios__alloc_array(r->heap, AIOS_MEM_OTHER, rules->n_caps, sizeof *u->calls, err);
    if (u->calls && !u->cost)
        u->cost = aios__alloc_array(r->heap, AIOS_MEM_OTHER, rules->n_caps, sizeof *u->cost, err);
    if (u->cost && !u->last)
        u->last = aios__alloc_array(r->heap, AIOS_MEM_OTHER, rules->n_caps, sizeof *u->last, err);
    return u->calls && u->cost && u->last ? AIOS_OK : aios__nomem(err);
}

static void drop_charges(const aios_run *r, aios__gated *g)
{
    aios__free(r->heap, g->charges);
    g->charges = NULL;
    g->n_charges = 0;
}

int aios__owed_add(const aios_run *r, aios__owed *o, const aios__taken *t, aios_error *err)
{
    uint32_t i = 0;
    while (i < o->n && (o->list[i].cap != t->cap || o->list[i].level != t->level))
        i++;
    if (i == o->cap) {
        uint32_t cap = o->cap * 2 + 4;
        aios__taken *bigger = aios__alloc_array(r->heap, AIOS_MEM_OTHER, cap, sizeof *bigger, err);
        if (!bigger)
            return aios__nomem(err);
        if (o->n)
            memcpy(bigger, o->list, o->n * sizeof *bigger);
        aios__free(r->heap, o->list);
        o->list = bigger;
        o->cap = cap;
    }
    if (i == o->n)
        o->list[o->n++] = (aios__taken){.cap = t->cap, .level = t->level};
    o->list[i].n += t->n;
    o->list[i].cost += t->cost;
    return AIOS_OK;
}

/* What the call was charged just now by the rules of `above` goes into the journal with its first record, and to its run's caller. */
static int note_charges(const aios_run *above, aios_run *r, aios__run_call *c, aios_error *err)
{
    const aios__ruleset_use *u = &above->gate.use;
    aios__gated *g = &c->gate;
    if (!u->n_last || (!r->journal && !r->parent))
        return AIOS_OK;
    aios__taken *all = aios__alloc_array(r->heap, AIOS_MEM_OTHER, g->n_charges + u->n_last, sizeof *all, err);
    int rc = all ? AIOS_OK : aios__nomem(err);
    if (rc)
        return rc;
    if (g->n_charges)
        memcpy(all, g->charges, g->n_charges * sizeof *all);
    aios__free(r->heap, g->charges);
    g->charges = all;
    for (uint32_t i = 0; i < u->n_last && !rc; i++) {
        aios__taken *t = &all[g->n_charges++];
        *t = u->last[i];
        t->level = r->depth - above->depth;
        rc = t->level ? aios__owed_add(r, &r->gate.owed, t, err) : AIOS_OK;
    }
    return rc;
}

/* What an approval is for: anything else in here asks again. */
static int make_digest(const aios_run *r, aios__run_call *c, const aios__json *args, aios_error *err)
{
    const aios_tool *t = &c->tool->pub;
    const aios_label *l = &c->gate.label;
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&b, "{\"aios_ask\":1,\"tool\":", err);
    aios__buf_add_json(&b, t->name, strlen(t->name), err);
    aios__buf_adds(&b, ",\"description\":", err);
    aios__buf_add_json(&b, t->description ? t->description : "", t->description ? strlen(t->description) : 0, err);
    aios__buf_adds(&b, ",\"schema\":", err);
    aios__buf_add_json(&b, t->schema_json, strlen(t->schema_json), err);
    aios__buf_addf(&b, err, ",\"flags\":%u,\"effect\":%d,\"integrity\":%d,\"confidentiality\":\"%llx\"", t->flags, t->effect, l->integrity,
                   (unsigned long long)l->confidentiality);
    aios__buf_addf(&b, err, ",\"policy\":\"%s\"", aios_rules_digest(r->agent->policy.rules));
    for (const aios_run *p = r->parent; p; p = p->parent)
        aios__buf_addf(&b, err, ",\"under\":\"%s\"", aios_rules_digest(p->agent->policy.rules));
    aios__buf_adds(&b, ",\"arguments\":", err);
    int rc = aios__canon(args, true, NULL, NULL, &b, err);
    rc = rc ? rc : aios__buf_addc(&b, '}', err);
    if (!rc)
        aios__sha256_text(b.p, b.n, c->gate.digest, NULL); /* without sums an ASK is answered by its id alone */
    aios__buf_free(&b);
    return rc;
}

/* above: whose rules, the run of the call or one above it. */
static int ask_rules(aios_run *above, aios_run *r, aios__run_call *c, const aios__json *args, size_t n_args, aios_verdict *out, aios_error *err)
{
    const aios_rules *rules = above->agent->policy.rules;
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    aios__ruleset_call q = {c->call->name, c->tool->pub.effect, args, n_args, c->gate.label, env->wall_us(env->user)};
    bool handle = false;
    int rc = make_room(above, rules, err);
    rc = rc ? rc : aios__ruleset_decide(rules, &q, &above->gate.use, out, &handle, err);
    c->gate.handle = c->gate.handle || handle;
    return rc ? rc : note_charges(above, r, c, err);
}

static void ask_host(const aios_run *above, const aios_run *r, const aios__run_call *c, aios_verdict *v)
{
    size_t n;
    aios_action a = AIOS_INIT(aios_action);
    aios_verdict host;
    a.tool = c->call->name;
    a.call_id = c->call->id;
    a.args_json = aios__call_text(c->call, &n);
    a.effect = c->tool->pub.effect;
    a.context = c->gate.label;
    a.run = r->number;
    a.step = r->step;
    a.depth = r->depth - above->depth;
    aios__policy_decide(&above->agent->policy, &a, &host);
    if (host.verdict >= v->verdict)
        *v = host;
}

void aios__gate_asked(aios_run *r, uint32_t n)
{
    r->gate.owed.n_asks += n;
    for (aios_run *p = r; p; p = p->parent)
        p->gate.n_asks += p->agent->policy.rules ? n : 0;
}

void aios__gate_endorsed(aios_run *r, double bits)
{
    r->gate.owed.bits += bits;
    for (aios_run *p = r; p; p = p->parent)
        p->gate.endorsed += bits;
}

/* An ASK waits as long as the policies say. */
static void limit_wait(const aios_rules *rules, const aios_env *env, aios__gated *g)
{
    int64_t at = aios__now_ns(env), us = env->wall_us(env->user);
    int64_t until = !rules->ask_ns ? 0 : rules->ask_ns > INT64_MAX - at ? INT64_MAX : at + rules->ask_ns;
    if (!until || (g->ask_until && g->ask_until <= until))
        return;
    g->ask_until = until;
    g->ask_until_us = us > INT64_MAX - rules->ask_ns / 1000 ? INT64_MAX : us + rules->ask_ns / 1000;
}

/* An ASK costs of all budgets. */
static void limit_ask(aios_run *r, aios__run_call *c, aios_verdict *v)
{
    bool any = false;
    c->gate.ask_until = c->gate.ask_until_us = 0;
    for (const aios_run *p = r; p; p = p->parent) {
        const aios_rules *rules = p->agent->policy.rules;
        any = any || rules;
        if (!rules || p->gate.n_asks < rules->ask_budget)
            continue;
        v->verdict = AIOS_DENY;
        snprintf(v->reason, sizeof v->reason, "it would have to be asked for, and this run has asked %u times (ask.budget)", p->gate.n_asks);
        return;
    }
    for (const aios_run *p = r; p; p = p->parent)
        if (p->agent->policy.rules)
            limit_wait(p->agent->policy.rules, aios__ctx_env(r->agent->ctx), &c->gate);
    if (any)
        aios__gate_asked(r, 1);
}

static bool keeps_handle(const aios__run_call *c)
{
    return (c->gate.handle || c->tool->pub.flags & AIOS_TOOL_HANDLE) && c->tool->pub.fn != aios__extract_fn;
}

/* What the rules and the host of one run say of a call of that run or one below; v gets the stricter of that and what it was. */
static int ask_one(aios_run *above, aios_run *r, aios__run_call *c, const aios__json *args, size_t n, aios_verdict *v, aios_error *err)
{
    const aios_policy *p = &above->agent->policy;
    aios_verdict out = AIOS_INIT(aios_verdict);
    int rc = p->rules ? ask_rules(above, r, c, args, n, &out, err) : AIOS_OK;
    if (!rc && out.verdict != AIOS_DENY && (p->decide || !p->rules))
        ask_host(above, r, c, &out);
    if (out.verdict >= v->verdict)
        *v = out;
    return rc;
}

static bool has_rules(const aios_run *r)
{
    while (r && !r->agent->policy.rules)
        r = r->parent;
    return r;
}

int aios__gate_decide(aios_run *r, aios__run_call *c, aios_verdict *out, aios_error *err)
{
    aios__json_doc *doc = NULL; /* read where somebody looks into the arguments */
    size_t n;
    const char *text = aios__call_text(c->call, &n);
    *out = (aios_verdict)AIOS_INIT(aios_verdict);
    drop_charges(r, &c->gate);
    c->gate.handle = false;
    int rc = has_rules(r) ? aios__json_parse(r->heap, text, n, &doc, err) : AIOS_OK;
    for (aios_run *p = r; p && !rc && out->verdict != AIOS_DENY; p = p->parent)
        rc = ask_one(p, r, c, doc ? aios__json_root(doc) : NULL, n, out, err);
    c->gate.handle = keeps_handle(c);
    if (!rc && out->verdict == AIOS_ASK)
        limit_ask(r, c, out);
    if (!rc && out->verdict == AIOS_ASK && !doc)
        rc = aios__json_parse(r->heap, text, n, &doc, err);
    if (!rc && out->verdict == AIOS_ASK)
        rc = make_digest(r, c, aios__json_root(doc), err);
    aios__json_free(doc);
    return rc;
}

/* ---- calls of a resumed run --------------------------------------------------------------------------------------- */

/* As it was asked about, and no rules deny it: it is charged now, as it was then. */
static int check_stands(aios_run *r, aios__run_call *c, const aios__json *args, size_t n_args, bool *stands, aios_error *err)
{
    char was[AIOS__SHA256_TEXT];
    memcpy(was, c->gate.digest, sizeof was);
    int rc = make_digest(r, c, args, err);
    *stands = !rc && (!was[0] || !strcmp(was, c->gate.digest));
    drop_charges(r, &c->gate);
    for (aios_run *p = r; p && *stands; p = p->parent) {
        aios_verdict v = AIOS_INIT(aios_verdict);
        if (!p->agent->policy.rules)
            continue;
        rc = ask_rules(p, r, c, args, n_args, &v, err);
        *stands = !rc && v.verdict != AIOS_DENY;
    }
    return rc;
}

int aios__gate_stands(aios_run *r, aios__run_call *c, bool *stands, aios_error *err)
{
    aios__json_doc *doc;
    size_t n;
    const char *text = aios__call_text(c->call, &n);
    *stands = false;
    if (c->gate.stale)
        return AIOS_OK;
    int rc = aios__json_parse(r->heap, text, n, &doc, err);
    if (rc)
        return rc;
    rc = check_stands(r, c, aios__json_root(doc), n, stands, err);
    aios__json_free(doc);
    c->gate.handle = keeps_handle(c);
    return rc;
}

/* What was taken of a policy that is another now is not this one's. */
static int charge(aios_run *r, const aios__taken *t, aios_error *err)
{
    aios_run *p = r;
    for (uint32_t i = 0; i < t->level && p; i++)
        p = p->parent;
    const aios_rules *rules = p ? p->agent->policy.rules : NULL;
    int rc = t->level ? aios__owed_add(r, &r->gate.owed, t, err) : AIOS_OK;
    if (rc || !rules || t->cap >= rules->n_caps)
        return rc;
    rc = make_room(p, rules, err);
    if (!rc)
        aios__ruleset_charge(&p->gate.use, t);
    return rc;
}

int aios__gate_charge(aios_run *r, const aios__run_call *c, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < c->gate.n_charges && !rc; i++)
        rc = charge(r, &c->gate.charges[i], err);
    for (uint32_t i = 0; i < c->gate.below.n && !rc; i++)
        rc = charge(r, &c->gate.below.list[i], err);
    return rc;
}

int aios__gate_leave(aios_run *r, aios__run_call *c, aios_error *err)
{
    const aios__owed *o = &c->sub->gate.owed;
    int rc = AIOS_OK;
    r->gate.owed.n_asks += o->n_asks;
    r->gate.owed.bits += o->bits;
    c->gate.below.n_asks = o->n_asks;
    c->gate.below.bits = o->bits;
    for (uint32_t i = 0; i < o->n && !rc; i++) {
        aios__taken t = o->list[i];
        t.level--;
        rc = aios__owed_add(r, &c->gate.below, &t, err);
        if (!rc && t.level)
            rc = aios__owed_add(r, &r->gate.owed, &t, err);
    }
    return rc;
}

void aios__gate_clear(const aios_run *r, aios__gated *g)
{
    aios__free(r->heap, g->charges);
    aios__free(r->heap, g->below.list);
}

void aios__gate_forget(aios_run *r, aios__run_call *c)
{
    aios__gate_clear(r, &c->gate);
    c->gate = (aios__gated){.label = c->gate.label};
    c->state = AIOS__RC_NEW;
}

void aios__gate_free(aios_run *r)
{
    for (uint32_t i = 0; i < r->gate.n_values; i++)
        aios__free(r->heap, r->gate.values[i].text);
    aios__free(r->heap, r->gate.values);
    aios__free(r->heap, r->gate.use.calls);
    aios__free(r->heap, r->gate.use.cost);
    aios__free(r->heap, r->gate.use.last);
    aios__free(r->heap, r->gate.owed.list);
}
