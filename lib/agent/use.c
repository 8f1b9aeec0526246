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

void aios__use_leave(const aios_run *r, bool kept)
{
    aios__use u = sum(r);
    for (aios_run *p = r->parent; p; p = kept ? NULL : p->parent)
        take(&p->below, &u);
    if (kept && r->parent)
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
            return aios__fail_need(err, AIOS_ELIMIT, most, spent + 1, "%s cost %.6g, and may cost %.6g (limits.max_cost, in millionths; the command: --max-cost)",
                                   whose(r, p), (double)spent / 1e6, (double)most / 1e6);
    }
    return AIOS_OK;
}

int aios__use_check_turn(const aios_run *r, aios_error *err)
{
    for (const aios_run *p = r; p; p = p->parent) {
        const aios_limits *l = &p->agent->limits;
        aios__use u = sum(p);
        if (u.turns >= l->max_turns)
            return aios__fail_need(err, AIOS_ELIMIT, l->max_turns, (uint64_t)u.turns + 1, "%s made %s %u model turns (limits.max_turns; the command: --max-turns)", whose(r, p),
                                   r == p ? "its" : "their", l->max_turns);
        if (u.tokens >= l->max_tokens)
            return aios__fail_need(err, AIOS_ELIMIT, l->max_tokens, u.tokens + 1, "%s generated %s %llu tokens (limits.max_tokens; the command: --max-tokens)", whose(r, p),
                                   r == p ? "its" : "their", (unsigned long long)l->max_tokens);
    }
    return aios__use_check_cost(r, err);
}

int aios__use_check_call(const aios_run *r, aios_error *err)
{
    for (const aios_run *p = r; p; p = p->parent) {
        const aios_limits *l = &p->agent->limits;
        aios__use u = sum(p);
        if (u.calls >= l->max_calls)
            return aios__fail_need(err, AIOS_ELIMIT, l->max_calls, (uint64_t)u.calls + 1, "%s made %s %u tool calls (limits.max_calls)",
                                   whose(r, p), r == p ? "its" : "their", l->max_calls);
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
