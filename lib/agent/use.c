/* SPDX-License-Identifier: Apache-2.0 */
/* What a run has used of its limits, and what the agents have that it called: those count in all runs above them as long as they are open. */
#include "agent/agent_priv.h"

static void add(aios__use *u, const aios__use *more)
{
    u->turns += more->turns;
    u->calls += more->calls;
    u->tokens += more->tokens;
    aios__ledger_add(&u->ledger, &more->ledger);
}

static void take(aios__use *u, const aios__use *less)
{
    u->turns -= less->turns;
    u->calls -= less->calls;
    u->tokens -= less->tokens;
    aios__ledger_sub(&u->ledger, &less->ledger);
}

static aios__use sum(const aios_run *r)
{
    aios__use u = {r->n_turns, r->n_calls, r->n_tokens, r->ledger};
    add(&u, &r->below);
    return u;
}

static void keep(aios_run *r, const aios__use *more)
{
    r->n_turns += more->turns;
    r->n_calls += more->calls;
    r->n_tokens += more->tokens;
    aios__ledger_add(&r->ledger, &more->ledger);
}

void aios__use_add(aios_run *r, aios__use more)
{
    keep(r, &more);
    for (aios_run *p = r->parent; p; p = p->parent)
        add(&p->below, &more);
}

void aios__use_join(const aios_run *r)
{
    aios__use u = sum(r);
    for (aios_run *p = r->parent; p; p = p->parent)
        add(&p->below, &u);
}

void aios__use_leave(const aios_run *r)
{
    aios__use u = sum(r);
    if (!r->parent)
        return;
    take(&r->parent->below, &u);
    keep(r->parent, &u);
}

static const char *whose(const aios_run *r, const aios_run *p)
{
    return r == p ? "the run has" : "this run and the ones above it have";
}

int aios__use_check_cost(const aios_run *r, aios_error *err)
{
    for (const aios_run *p = r; p; p = p->parent) {
        uint64_t most = p->agent->limits.max_cost, spent = most ? sum(p).ledger.cost_micros : 0;
        if (most && spent >= most)
            return aios__fail_need(err, AIOS_ELIMIT, most, spent + 1,
                                   "%s cost %.6f, and may cost %.6f in the currency of the prices (limits.max_cost counts millionths of it; "
                                   "the command: --max-cost)",
                                   whose(r, p), (double)spent / 1e6, (double)most / 1e6);
    }
    return AIOS_OK;
}

/* All that a run may have: verb "made", noun "model turn", name of the limit "turns". */
static int used_up(const aios_run *r, const aios_run *p, uint64_t most, uint64_t used, const char *verb, const char *noun, const char *name,
                   aios_error *err)
{
    return aios__fail_need(err, AIOS_ELIMIT, most, used + 1, "%s %s %s %llu %s%s (limits.max_%s; the command: --max-%s)", whose(r, p), verb,
                           r == p ? "its" : "their", (unsigned long long)most, noun, most == 1 ? "" : "s", name, name);
}

int aios__use_check_turn(const aios_run *r, aios_error *err)
{
    for (const aios_run *p = r; p; p = p->parent) {
        const aios_limits *l = &p->agent->limits;
        aios__use u = sum(p);
        if (u.turns >= l->max_turns)
            return used_up(r, p, l->max_turns, u.turns, "made", "model turn", "turns", err);
        if (u.tokens >= l->max_tokens)
            return used_up(r, p, l->max_tokens, u.tokens, "generated", "token", "tokens", err);
    }
    return aios__use_check_cost(r, err);
}

int aios__use_check_call(const aios_run *r, aios_error *err)
{
    for (const aios_run *p = r; p; p = p->parent) {
        aios__use u = sum(p);
        if (u.calls >= p->agent->limits.max_calls)
            return used_up(r, p, p->agent->limits.max_calls, u.calls, "made", "tool call", "calls", err);
    }
    return AIOS_OK;
}

uint64_t aios__use_tokens_left(const aios_run *r)
{
    uint64_t left = UINT64_MAX;
    for (const aios_run *p = r; p; p = p->parent) {
        uint64_t used = sum(p).tokens, max = p->agent->limits.max_tokens;
        uint64_t here = used < max ? max - used : 0;
        left = here < left ? here : left;
    }
    return left;
}
