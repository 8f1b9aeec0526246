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

int aios__gate_model(const aios_run *r, aios_error *err)
{
    const aios_rules *rules = r->agent->policy.rules;
    if (rules && r->agent->privacy != AIOS_PRIVACY_LOCAL && r->label.confidentiality & rules->local)
        return aios__fail(err, AIOS_EDENIED,
                          "the conversation holds classes that the policy keeps on this machine (0x%llx), and the model is not on it",
                          (unsigned long long)(r->label.confidentiality & rules->local));
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
    if (u->cost && !u->last && r->journal)
        u->last = aios__alloc_array(r->heap, AIOS_MEM_OTHER, rules->n_caps, sizeof *u->last, err);
    return u->calls && u->cost && (u->last || !r->journal) ? AIOS_OK : aios__nomem(err);
}

/* What the call was charged just now goes into the journal with its first record. */
static int note_charges(aios_run *r, aios__run_call *c, aios_error *err)
{
    const aios__ruleset_use *u = &r->gate.use;
    aios__free(r->heap, c->gate.charges);
    c->gate.charges = NULL;
    c->gate.n_charges = 0;
    if (!u->last || !u->n_last)
        return AIOS_OK;
    c->gate.charges = aios__alloc_array(r->heap, AIOS_MEM_OTHER, u->n_last, sizeof *c->gate.charges, err);
    if (!c->gate.charges)
        return aios__nomem(err);
    memcpy(c->gate.charges, u->last, u->n_last * sizeof *u->last);
    c->gate.n_charges = u->n_last;
    return AIOS_OK;
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
    aios__buf_addf(&b, err, ",\"policy\":\"%s\",\"arguments\":", aios_rules_digest(r->agent->policy.rules));
    int rc = aios__canon(args, true, NULL, NULL, &b, err);
    rc = rc ? rc : aios__buf_addc(&b, '}', err);
    if (!rc)
        aios__sha256_text(b.p, b.n, c->gate.digest, NULL); /* without sums an ASK is answered by its id alone */
    aios__buf_free(&b);
    return rc;
}

static int ask_rules(aios_run *r, aios__run_call *c, const aios__json *args, size_t n_args, aios_verdict *out, aios_error *err)
{
    const aios_rules *rules = r->agent->policy.rules;
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    aios__ruleset_call q = {c->call->name, c->tool->pub.effect, args, n_args, c->gate.label, env->wall_us(env->user)};
    int rc = make_room(r, rules, err);
    rc = rc ? rc : aios__ruleset_decide(rules, &q, &r->gate.use, out, &c->gate.handle, err);
    return rc ? rc : note_charges(r, c, err);
}

static void ask_host(const aios_run *r, const aios__run_call *c, aios_verdict *v)
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
    aios__policy_decide(&r->agent->policy, &a, &host);
    if (host.verdict >= v->verdict)
        *v = host;
}

/* An ASK costs of the budget, and waits as long as the policy says. */
static void limit_ask(aios_run *r, aios__run_call *c, aios_verdict *v)
{
    const aios_rules *rules = r->agent->policy.rules;
    if (!rules)
        return;
    if (r->gate.n_asks >= rules->ask_budget) {
        v->verdict = AIOS_DENY;
        snprintf(v->reason, sizeof v->reason, "it would have to be asked for, and this run has asked %u times (ask.budget)", r->gate.n_asks);
        return;
    }
    r->gate.n_asks++;
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    int64_t at = aios__now_ns(env), us = env->wall_us(env->user);
    c->gate.ask_until = !rules->ask_ns ? 0 : rules->ask_ns > INT64_MAX - at ? INT64_MAX : at + rules->ask_ns;
    c->gate.ask_until_us = !rules->ask_ns ? 0 : us > INT64_MAX - rules->ask_ns / 1000 ? INT64_MAX : us + rules->ask_ns / 1000;
}

static bool keeps_handle(const aios__run_call *c)
{
    return (c->gate.handle || c->tool->pub.flags & AIOS_TOOL_HANDLE) && c->tool->pub.fn != aios__extract_fn;
}

int aios__gate_decide(aios_run *r, aios__run_call *c, aios_verdict *out, aios_error *err)
{
    const aios_policy *p = &r->agent->policy;
    aios__json_doc *doc = NULL; /* read where somebody looks into the arguments */
    size_t n;
    const char *text = aios__call_text(c->call, &n);
    *out = (aios_verdict)AIOS_INIT(aios_verdict);
    int rc = p->rules ? aios__json_parse(r->heap, text, n, &doc, err) : AIOS_OK;
    if (!rc && p->rules)
        rc = ask_rules(r, c, aios__json_root(doc), n, out, err);
    if (!rc && out->verdict != AIOS_DENY && (p->decide || !p->rules))
        ask_host(r, c, out);
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

/* As it was asked about, and the rules still do not deny it: it is charged now, as it was then. */
static int check_stands(aios_run *r, aios__run_call *c, const aios__json *args, size_t n_args, bool *stands, aios_error *err)
{
    char was[AIOS__SHA256_TEXT];
    aios_verdict v = AIOS_INIT(aios_verdict);
    memcpy(was, c->gate.digest, sizeof was);
    int rc = make_digest(r, c, args, err);
    *stands = !rc && (!was[0] || !strcmp(was, c->gate.digest));
    if (*stands && r->agent->policy.rules) {
        rc = ask_rules(r, c, args, n_args, &v, err);
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

int aios__gate_charge(aios_run *r, const aios__run_call *c, aios_error *err)
{
    int rc = c->gate.n_charges ? make_room(r, r->agent->policy.rules, err) : AIOS_OK;
    for (uint32_t i = 0; i < c->gate.n_charges && !rc; i++)
        aios__ruleset_charge(&r->gate.use, &c->gate.charges[i]);
    return rc;
}

void aios__gate_forget(aios_run *r, aios__run_call *c)
{
    aios__free(r->heap, c->gate.charges);
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
}
