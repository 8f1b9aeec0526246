/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the gate has counted and hidden, in the journal: what a call took of the policy stands in the first record of the call, what it was
 * asked by in its ask, what its result hides in its result. docs/durable-runs.md says what follows from that.
 */
#include <math.h>
#include <stdio.h>

#include "agent/agent_priv.h"

#define MAX_BITS 1e9
#define MAX_CAPS 1000000

/* ---- written ------------------------------------------------------------------------------------------------------ */

static const char *policy_of(const aios_run *r)
{
    const aios_rules *rules = r->agent->policy.rules;
    return rules ? rules->id : "";
}

void aios__journal_add_policy(const aios_agent *a, aios__buf *b, aios_error *err)
{
    if (a->policy.rules)
        aios__buf_addf(b, err, ",\"policy\":\"%s\"", a->policy.rules->id);
}

void aios__journal_add_gate(aios__run_call *c, aios__buf *b, aios_error *err)
{
    if (c->gate.digest[0])
        aios__buf_addf(b, err, ",\"digest\":\"%s\"", c->gate.digest);
    if (c->gate.charged)
        return;
    c->gate.charged = true;
    if (c->gate.handle)
        aios__buf_adds(b, ",\"handle\":true", err);
    for (uint32_t i = 0; i < c->gate.n_charges; i++) {
        const aios__taken *t = &c->gate.charges[i];
        aios__buf_addf(b, err, t->level ? "%s[%u,%.17g,%u]" : "%s[%u,%.17g]", i ? "," : ",\"charged\":[", t->cap, t->cost, t->level);
    }
    if (c->gate.n_charges)
        aios__buf_addc(b, ']', err);
}

void aios__journal_add_ask(const aios__run_call *c, aios__buf *b, aios_error *err)
{
    if (c->gate.ask_until)
        aios__buf_addf(b, err, ",\"until_us\":%lld", (long long)c->gate.ask_until_us);
}

/* What the run behind the call took: of the policy of this run (level 0) and those above. */
static void add_below(const aios__owed *o, aios__buf *b, aios_error *err)
{
    if (!o->n && !o->n_asks && !(o->bits > 0))
        return;
    aios__buf_addf(b, err, ",\"below\":{\"asks\":%u,\"bits\":%.17g,\"charged\":[", o->n_asks, o->bits);
    for (uint32_t i = 0; i < o->n; i++) {
        const aios__taken *t = &o->list[i];
        aios__buf_addf(b, err, "%s[%u,%.17g,%u,%llu]", i ? "," : "", t->cap, t->cost, t->level, (unsigned long long)t->n);
    }
    aios__buf_adds(b, "]}", err);
}

void aios__journal_add_hidden(const aios_run *r, const aios__run_call *c, aios__buf *b, aios_error *err)
{
    if (c->call->endorsed > 0)
        aios__buf_addf(b, err, ",\"endorsed\":%.17g", c->call->endorsed);
    add_below(&c->gate.below, b, err);
    if (!c->value)
        return;
    const aios__value *v = &r->gate.values[c->value - 1];
    aios__buf_addf(b, err, ",\"value\":{\"handle\":%u,\"confidentiality\":\"%llx\",\"text\":", c->value,
                   (unsigned long long)v->label.confidentiality);
    aios__buf_add_json(b, v->text, v->n, err);
    aios__buf_addc(b, '}', err);
}

/* ---- read --------------------------------------------------------------------------------------------------------- */

/* [capability, cost, level (0), calls (1)] */
static int read_charge(const aios_run *r, const aios__journal_record *rec, const aios__json *v, aios__taken *out, aios_error *err)
{
    const aios_rules *rules = r->agent->policy.rules;
    size_t n_fields = aios__json_count(v);
    int64_t cap = aios__json_int(aios__json_at(v, 0), -1), level = aios__json_int(aios__json_at(v, 2), n_fields > 2 ? -1 : 0);
    int64_t n = aios__json_int(aios__json_at(v, 3), n_fields > 3 ? -1 : 1), caps = level || !rules ? MAX_CAPS : rules->n_caps;
    double cost = aios__json_real(aios__json_at(v, 1), -1);
    if (n_fields < 2 || n_fields > 4 || cap < 0 || cap >= caps || level < 0 || level > AIOS__MAX_DEPTH || n < 1 || n > INT32_MAX || !(cost >= 0) || !isfinite(cost))
        return aios__journal_bad(rec, "\"charged\" must be of capabilities of the policy, with costs of 0 or more", err);
    *out = (aios__taken){.cap = (uint32_t)cap, .level = (uint32_t)level, .n = (uint64_t)n, .cost = cost};
    return AIOS_OK;
}

/* They stand for what the call took before: it was asked about anew. What another policy counted is not this one's. */
static int read_charges(aios_run *r, aios__run_call *c, const aios__journal_record *rec, const aios__json *list, aios_error *err)
{
    size_t n = aios__json_count(list), own = 0;
    aios__free(r->heap, c->gate.charges);
    c->gate.charges = NULL;
    c->gate.n_charges = 0;
    if (c->gate.stale)
        return AIOS_OK;
    if (n > MAX_CAPS)
        return aios__journal_bad(rec, "\"charged\" has more than the capabilities of policies", err);
    c->gate.charges = aios__alloc_array(r->heap, AIOS_MEM_OTHER, n, sizeof *c->gate.charges, err);
    int rc = c->gate.charges ? AIOS_OK : aios__nomem(err);
    for (size_t i = 0; i < n && !rc; i++) {
        aios__taken *t = &c->gate.charges[c->gate.n_charges++];
        rc = read_charge(r, rec, aios__json_at(list, i), t, err);
        own += !t->level;
    }
    if (!rc && own && !aios__json_get(rec->root, "policy"))
        return aios__journal_bad(rec, "it was charged without a policy", err);
    if (!rc && own > (r->agent->policy.rules ? r->agent->policy.rules->n_caps : 0))
        return aios__journal_bad(rec, "\"charged\" has more than the policy's capabilities", err);
    return rc;
}

static int read_digest(aios__run_call *c, const aios__journal_record *rec, const aios__json *v, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(v, &n);
    if (!s)
        return AIOS_OK;
    if (n != AIOS__SHA256_TEXT - 1 || strspn(s, "0123456789abcdef") != n)
        return aios__journal_bad(rec, "\"digest\" must be 64 hexadecimal digits", err);
    memcpy(c->gate.digest, s, n + 1);
    return AIOS_OK;
}

int aios__journal_take_policy(const aios_run *r, aios__run_call *c, const aios__journal_record *rec, const aios__json *of, aios_error *err)
{
    const char *policy = aios__json_str(aios__json_get(rec->root, "policy"), NULL);
    c->gate.stale = strcmp(policy ? policy : "", policy_of(r)) != 0;
    return read_digest(c, rec, aios__json_get(of, "digest"), err);
}

int aios__journal_take_gate(aios_run *r, aios__run_call *c, const aios__journal_record *rec, const aios__json *of, aios_error *err)
{
    const aios__json *charged = aios__json_get(of, "charged"), *handle = aios__json_get(of, "handle");
    int rc = aios__journal_take_policy(r, c, rec, of, err);
    c->gate.charged = !c->gate.stale;
    c->gate.handle = c->gate.handle || (handle && aios__json_type(handle) == AIOS__JSON_TRUE);
    if (rc || !charged)
        return rc;
    return read_charges(r, c, rec, charged, err);
}

/* Time went on while nobody had the run; clocks that jumped give no more of it than the policy does. */
int aios__journal_take_ask(aios_run *r, aios__run_call *c, const aios__journal_record *rec, aios_error *err)
{
    const aios_rules *rules = r->agent->policy.rules;
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    uint64_t until = 0;
    int rc = aios__json_get(rec->root, "until_us") ? aios__journal_number(rec, "until_us", INT64_MAX, &until, err) : AIOS_OK;
    if (aios__json_get(rec->root, "policy") || r->parent)
        aios__gate_asked(r, 1);
    c->gate.ask_until = 0;
    c->gate.answered = 0;
    if (rc || !until)
        return rc;
    int64_t wall = env->wall_us(env->user), left = (int64_t)until > wall ? (int64_t)until - wall : 0;
    int64_t most = rules && rules->ask_ns ? rules->ask_ns : INT64_MAX;
    left = left > most / 1000 ? most : left * 1000;
    int64_t at = aios__now_ns(env);
    c->gate.ask_until_us = (int64_t)until;
    c->gate.ask_until = left > INT64_MAX - at ? INT64_MAX : at + left;
    return AIOS_OK;
}

int aios__journal_take_bits(aios_run *r, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *v = aios__json_get(rec->root, "endorsed");
    double bits = aios__json_real(v, v ? -1 : 0);
    if (!(bits >= 0 && bits <= MAX_BITS))
        return aios__journal_bad(rec, "\"endorsed\" must be a number of bits", err);
    aios__gate_endorsed(r, bits);
    return AIOS_OK;
}

/* Counts at once, but for what capabilities were taken: that is charged with the call. */
static int take_below(aios_run *r, aios__run_call *c, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *below = aios__json_get(rec->root, "below"), *list = aios__json_get(below, "charged");
    int64_t asks = aios__json_int(aios__json_get(below, "asks"), -1);
    double bits = aios__json_real(aios__json_get(below, "bits"), -1);
    size_t n = aios__json_count(list);
    int rc = AIOS_OK;
    if (!below)
        return AIOS_OK;
    if (asks < 0 || asks > INT32_MAX || !(bits >= 0 && bits <= MAX_BITS) || n > MAX_CAPS)
        return aios__journal_bad(rec, "\"below\" must have its asks, bits and charges", err);
    aios__gate_asked(r, (uint32_t)asks);
    aios__gate_endorsed(r, bits);
    for (size_t i = 0; i < n && !rc; i++) {
        aios__taken t;
        rc = read_charge(r, rec, aios__json_at(list, i), &t, err);
        rc = rc ? rc : aios__owed_add(r, &c->gate.below, &t, err);
    }
    return rc;
}

int aios__journal_take_hidden(aios_run *r, aios__run_call *c, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *v = aios__json_get(rec->root, "value");
    size_t n = 0;
    const char *text = aios__json_str(aios__json_get(v, "text"), &n);
    aios__journal_record part = *rec;
    aios_label label = {.integrity = AIOS_LABEL_UNTRUSTED};
    int rc = aios__journal_take_bits(r, rec, err);
    rc = rc ? rc : take_below(r, c, rec, err);
    if (rc || !v)
        return rc;
    part.root = v;
    if (!text || aios__json_int(aios__json_get(v, "handle"), -1) != (int64_t)r->gate.n_values + 1)
        return aios__journal_bad(rec, "\"value\" has no text, or its handle is not the next", err);
    rc = aios__journal_hex(&part, "confidentiality", &label.confidentiality, err);
    rc = rc ? rc : aios__value_add(r, text, n, label, err);
    c->value = rc ? 0 : r->gate.n_values;
    return rc;
}
