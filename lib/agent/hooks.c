/* SPDX-License-Identifier: Apache-2.0 */
/* What a host is told at every transition of a run, and where it may refuse one. */
#include <stdio.h>

#include "agent/agent_priv.h"

static aios_moment now(const aios_run *r)
{
    aios_moment m = AIOS_INIT(aios_moment);
    m.run_id = r->id;
    m.agent = r->agent->name ? r->agent->name : "";
    m.run = r->number;
    m.step = r->step;
    m.attempt = r->attempt;
    m.depth = r->depth;
    m.n_turns = r->n_turns;
    m.n_tokens = r->n_tokens;
    m.context = r->label;
    return m;
}

/* The code of what a hook gave, and what it said, as valid text. */
static int refused(int rc, aios_refusal *no, const char *hook, char *reason)
{
    if (!rc)
        return AIOS_OK;
    no->reason[sizeof no->reason - 1] = 0;
    no->reason[aios__utf8_whole(no->reason, strlen(no->reason))] = 0;
    bool said = no->reason[0] && aios__utf8_valid(no->reason, strlen(no->reason));
    snprintf(reason, sizeof no->reason, "%s%s", said ? no->reason : hook, said ? "" : " refused it");
    return rc < 0 ? rc : AIOS_EDENIED;
}

static int fail(int rc, const char *reason, aios_error *err)
{
    return rc ? aios__fail(err, rc, "%s", reason) : AIOS_OK;
}

int aios__hook_before_turn(const aios_run *r, aios_turn_profile *profile, aios_error *err)
{
    const aios_hooks *h = &r->agent->hooks;
    aios_refusal no = AIOS_INIT(aios_refusal);
    char reason[256];
    if (!h->before_turn)
        return AIOS_OK;
    aios_moment m = now(r);
    return fail(refused(h->before_turn(h->user, &m, profile, &no), &no, "the hook before_turn", reason), reason, err);
}

int aios__hook_after_turn(const aios_run *r, aios_error *err)
{
    const aios_hooks *h = &r->agent->hooks;
    aios_refusal no = AIOS_INIT(aios_refusal);
    aios_turn_said said = AIOS_INIT(aios_turn_said);
    char reason[256];
    if (!h->after_turn)
        return AIOS_OK;
    aios_moment m = now(r);
    said.text = r->text.p ? r->text.p : "";
    said.n_text = r->text.n;
    said.n_calls = r->n_turn_calls;
    said.n_tokens = r->turn_tokens;
    said.reason = r->reason;
    return fail(refused(h->after_turn(h->user, &m, &said, &no), &no, "the hook after_turn", reason), reason, err);
}

static int before_call(aios_run *r, aios__run_call *c, char *reason)
{
    const aios_hooks *h = &r->agent->hooks;
    aios_refusal no = AIOS_INIT(aios_refusal);
    aios_action a = AIOS_INIT(aios_action);
    size_t n;
    aios_moment m = now(r);
    a.tool = c->call->name;
    a.call_id = c->call->id;
    a.args_json = aios__call_text(c->call, &n);
    a.effect = c->tool->pub.effect;
    a.context = c->gate.label;
    a.run = r->number;
    a.step = r->step;
    return refused(h->before_call(h->user, &m, &a, &no), &no, "the hook before_call", reason);
}

int aios__hook_before_calls(aios_run *r, aios_error *err)
{
    char reason[256];
    if (!r->agent->hooks.before_call)
        return AIOS_AGAIN;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        if (c->state != AIOS__RC_READY || c->tries || c->hooked)
            continue;
        c->hooked = true;
        int rc = before_call(r, c, reason);
        if (rc)
            return aios__tools_refuse(r, c, rc, reason, err);
    }
    return AIOS_AGAIN;
}

int aios__hook_after_call(const aios_run *r, const aios__run_call *c, int32_t status, const char *text, size_t n, char *reason)
{
    const aios_hooks *h = &r->agent->hooks;
    aios_refusal no = AIOS_INIT(aios_refusal);
    aios_event ev = AIOS_INIT(aios_event);
    if (!h->after_call)
        return AIOS_OK;
    aios_moment m = now(r);
    ev.type = AIOS_EVENT_RESULT;
    ev.code = status;
    ev.run = r->number;
    ev.step = r->step;
    ev.attempt = r->attempt;
    ev.depth = r->depth;
    ev.call_id = c->call->id;
    ev.name = c->call->name;
    ev.text = text;
    ev.n_text = n;
    ev.label = c->call->label;
    return refused(h->after_call(h->user, &m, &ev, &no), &no, "the hook after_call", reason);
}

int aios__hook_handoff(const aios_run *r, const char *from, const char *to, char *reason)
{
    const aios_hooks *h = &r->agent->hooks;
    aios_refusal no = AIOS_INIT(aios_refusal);
    if (!h->on_handoff)
        return AIOS_OK;
    aios_moment m = now(r);
    return refused(h->on_handoff(h->user, &m, from, to, &no), &no, "the hook on_handoff", reason);
}

void aios__hook_stop(const aios_run *r, const aios_event *last)
{
    const aios_hooks *h = &r->agent->hooks;
    if (!h->on_stop)
        return;
    aios_moment m = now(r);
    h->on_stop(h->user, &m, last);
}
