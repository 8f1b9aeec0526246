/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of one turn: checked, passed by the gate, run, and their results written in the order of the calls. */
#include <stdio.h>

#include "agent/agent_priv.h"

static int64_t now(const aios_run *r)
{
    return aios__now_ns(aios__ctx_env(r->agent->ctx));
}

static aios_label result_label(const aios_run *r, const aios__run_call *c)
{
    if (c->restored)
        return c->label;
    bool trusted = c->tool && (c->tool->pub.flags & AIOS_TOOL_TRUSTED) && c->status == AIOS_OK;
    return (aios_label){.integrity = trusted ? AIOS_LABEL_TOOL : AIOS_LABEL_UNTRUSTED, .confidentiality = r->label.confidentiality};
}

int aios__tools_emit(aios_run *r, int32_t type, const aios__run_call *c, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    bool result = type == AIOS_EVENT_RESULT;
    ev.type = type;
    ev.code = result ? c->status : 0;
    ev.call_id = c->call->id;
    ev.name = c->call->name;
    ev.text = result ? c->text : c->call->args;
    ev.n_text = result ? c->n_text : c->call->n_args;
    ev.label = result ? result_label(r, c) : r->label;
    return aios__run_emit(r, &ev, err);
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

/* The text that reaches the model: marked if it is a failure, cut at the run's limit. */
static int compose(const aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios_error *err)
{
    size_t max = r->agent->limits.max_result, cut = n > max ? aios__utf8_whole(s, max) : n;
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    if (status)
        aios__buf_adds(&b, "error: ", err);
    if (status && !n)
        aios__buf_adds(&b, aios_strerror(status), err);
    aios__buf_add(&b, s, cut, err);
    if (cut < n)
        aios__buf_addf(&b, err, "\n[cut: %zu of %zu bytes]", cut, n);
    if (b.failed || aios__buf_add(&b, "", 0, err)) {
        int rc = b.failed;
        aios__buf_free(&b);
        return rc;
    }
    c->text = b.p;
    c->n_text = b.n;
    return AIOS_OK;
}

int aios__tools_result(aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios_error *err)
{
    int rc = compose(r, c, status, s, n, err);
    if (rc)
        return rc;
    c->status = status;
    c->state = AIOS__RC_DONE;
    rc = aios__journal_result(r, c, result_label(r, c), err);
    return rc ? rc : aios__tools_emit(r, AIOS_EVENT_RESULT, c, err);
}

static int result_text(aios_run *r, aios__run_call *c, int32_t status, const char *s, aios_error *err)
{
    return aios__tools_result(r, c, status, s, strlen(s), err);
}

static int write_results(aios_run *r, aios_error *err)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        const aios__run_call *c = &r->calls[i];
        static const char lost[] = "error: cancelled";
        aios_part p = AIOS_INIT(aios_part);
        p.kind = AIOS_PART_RESULT;
        p.status = c->status;
        p.name = c->call->name;
        p.call_id = c->call->id;
        p.text = c->text ? c->text : lost;
        p.n_text = c->text ? c->n_text : sizeof lost - 1;
        aios_entry e = AIOS_INIT(aios_entry);
        e.role = AIOS_ROLE_TOOL;
        e.parts = &p;
        e.n_parts = 1;
        e.part_stride = sizeof p;
        e.label = result_label(r, c);
        int rc = aios__run_append(r, &e, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/* ---- admission ---------------------------------------------------------------------------------------------------- */

static int gate(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_action a = AIOS_INIT(aios_action);
    aios_verdict v;
    a.tool = c->call->name;
    a.call_id = c->call->id;
    a.args_json = c->call->args;
    a.effect = c->tool->pub.effect;
    a.context = r->label;
    a.run = r->number;
    a.step = r->step;
    aios__policy_decide(&r->agent->policy, &a, &v);
    if (v.verdict == AIOS_ALLOW) {
        c->state = AIOS__RC_READY;
        return AIOS_OK;
    }
    if (v.verdict == AIOS_ASK) {
        c->state = AIOS__RC_ASK;
        int rc = aios__journal_ask(r, c, err);
        return rc ? rc : aios__tools_emit(r, AIOS_EVENT_ASK, c, err);
    }
    char text[320];
    snprintf(text, sizeof text, "the policy denied this call%s%s", v.reason[0] ? ": " : "", v.reason);
    return result_text(r, c, AIOS_EDENIED, text, err);
}

static int admit(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    if (r->choice == AIOS_TOOLS_NONE)
        return result_text(r, c, AIOS_EDENIED, "no tool may be called in this turn: answer with text", err);
    int rc = aios__toolset_check(r->agent->toolset, c->call->name, c->call->args, c->call->n_args, &c->tool, &why);
    if (rc == AIOS_ENOENT || rc == AIOS_ESCHEMA)
        return result_text(r, c, rc, why.msg, err);
    if (rc)
        return aios__error_copy(err, &why), rc;
    return gate(r, c, err);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void start_clock(aios_run *r, aios__run_call *c)
{
    int64_t t = c->tool->pub.timeout_ns ? c->tool->pub.timeout_ns : r->agent->limits.tool_timeout_ns, at = now(r);
    atomic_store(&c->call->deadline, t > INT64_MAX - at ? INT64_MAX : at + t);
    c->call->tool = c->tool;
    c->call->reconciling = c->state == AIOS__RC_RECONCILE;
    c->state = AIOS__RC_RUNNING;
    aios__trace_tool(r->trace, c->call->id);
    aios__trace_parent(r->trace, c->call->id, c->call->traceparent);
    aios__call_ref(c->call); /* the tool's own, dropped by finish */
}

static bool on_worker(const aios__run_call *c)
{
    return c->tool->pub.flags & AIOS_TOOL_ANY_THREAD;
}

/* Those that start now: all that may run on workers, and one of the others. */
static aios__run_call *choose_due(aios_run *r, uint32_t *n)
{
    aios__run_call *here = NULL;
    *n = 0;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        bool ready = c->state == AIOS__RC_READY || c->state == AIOS__RC_RECONCILE;
        c->due = ready && (on_worker(c) || !here);
        if (c->due && !on_worker(c))
            here = c;
        *n += c->due;
    }
    return here;
}

/* Hands calls that may run anywhere to the workers, then runs one of the others here. AGAIN: there are none. */
static int start_ready(aios_run *r, aios_error *err)
{
    uint32_t n;
    aios__run_call *here = choose_due(r, &n);
    int rc = n ? aios__journal_intent(r, err) : AIOS_AGAIN;
    if (rc)
        return rc;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        if (!c->due || c == here)
            continue;
        start_clock(r, c);
        if (!aios__workers_submit(&r->agent->workers, c->call))
            aios__call_invoke(c->call);
    }
    if (here) {
        start_clock(r, here);
        aios__call_invoke(here->call);
    }
    return AIOS_OK;
}

/* ---- calls that were begun before a crash ------------------------------------------------------------------------- */

void aios__tools_unknown(aios__run_call *c)
{
    c->state = AIOS__RC_ASK;
    c->unknown = true;
}

/* Its tool could not tell: the host is asked. */
static int ask_unknown(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios__tools_unknown(c);
    return aios__tools_emit(r, AIOS_EVENT_UNKNOWN, c, err);
}

/* A call's object serves once: what follows the reconciliation needs another. */
static int renew_call(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.call_id = c->call->id;
    ev.name = c->call->name;
    ev.text = c->call->args;
    ev.n_text = c->call->n_args;
    aios_call *again;
    int rc = aios__call_new(r->hub, r->agent->toolset, &ev, &again, err);
    if (rc)
        return rc;
    memcpy(again->key, c->call->key, sizeof again->key);
    again->before = c->call;
    for (uint32_t i = 0; i < r->n_all; i++)
        if (r->all[i] == c->call)
            r->all[i] = again;
    c->call = again;
    return AIOS_OK;
}

static int collect_reconciled(aios_run *r, aios__run_call *c, int32_t status, aios_error *err)
{
    int rc = renew_call(r, c, err);
    if (rc || status != AIOS_ENOENT)
        return rc ? rc : ask_unknown(r, c, err);
    c->state = AIOS__RC_READY;
    return AIOS_OK;
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static int collect(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_call *call = c->call;
    if (call->reconciling && call->status)
        return collect_reconciled(r, c, call->status, err);
    int rc = aios__tools_result(r, c, call->status, call->result ? call->result : "", call->n_result, err);
    aios__free(r->heap, call->result);
    call->result = NULL;
    return rc;
}

static int expire(aios_run *r, aios__run_call *c, aios_error *err)
{
    char text[96];
    if (c->call->reconciling)
        return collect_reconciled(r, c, AIOS_ETIMEDOUT, err);
    int64_t limit = c->tool->pub.timeout_ns ? c->tool->pub.timeout_ns : r->agent->limits.tool_timeout_ns;
    snprintf(text, sizeof text, "the tool did not finish within %lld ms", (long long)(limit / 1000000));
    return result_text(r, c, AIOS_ETIMEDOUT, text, err);
}

/* One running call that has ended or run out of time; AGAIN if there is none. */
static int collect_one(aios_run *r, aios_error *err)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        if (c->state != AIOS__RC_RUNNING)
            continue;
        if (atomic_load(&c->call->state) == AIOS__CALL_FINISHED)
            return collect(r, c, err);
        if (now(r) < atomic_load(&c->call->deadline) || !aios__call_abandon(c->call, AIOS_ETIMEDOUT))
            continue;
        return atomic_load(&c->call->state) == AIOS__CALL_FINISHED ? collect(r, c, err) : expire(r, c, err);
    }
    return AIOS_AGAIN;
}

static uint32_t count_state(const aios_run *r, enum aios__run_call_state state)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        n += r->calls[i].state == state;
    return n;
}

int aios__tools_next(aios_run *r, aios_error *err)
{
    int rc = write_results(r, err);
    if (rc)
        return rc;
    aios__tools_clear(r);
    r->step++;
    r->attempt = 0;
    r->answer_now = false;
    r->state = AIOS__RUN_PROMPT;
    return AIOS_OK;
}

int aios__tools_step(aios_run *r, aios_error *err)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state == AIOS__RC_NEW)
            return admit(r, &r->calls[i], err);
    int rc = collect_one(r, err); /* first, so that a receipt is written with the next call's intent */
    if (rc == AIOS_AGAIN)
        rc = start_ready(r, err);
    if (rc != AIOS_AGAIN)
        return rc;
    if (count_state(r, AIOS__RC_DONE) == r->n_turn_calls)
        return aios__tools_next(r, err);
    rc = aios__journal_urgent(r, err);
    return rc ? rc : AIOS_AGAIN;
}

bool aios__tools_busy(const aios_run *r)
{
    if (count_state(r, AIOS__RC_NEW) || count_state(r, AIOS__RC_READY) || count_state(r, AIOS__RC_RECONCILE) || count_state(r, AIOS__RC_DONE) == r->n_turn_calls)
        return true;
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state == AIOS__RC_RUNNING && atomic_load(&r->calls[i].call->state) == AIOS__CALL_FINISHED)
            return true;
    return false;
}

bool aios__tools_only_ask(const aios_run *r)
{
    return !aios__tools_busy(r) && !count_state(r, AIOS__RC_RUNNING);
}

int64_t aios__tools_deadline(const aios_run *r)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        int64_t d = r->calls[i].state == AIOS__RC_RUNNING ? atomic_load(&r->calls[i].call->deadline) : 0;
        if (d && (!first || d < first))
            first = d;
    }
    return first;
}

/* The end of a call that the run does not wait for. Only what has ended gets a receipt: a resumed run makes the others, or asks. */
static void abort_call(aios_run *r, aios__run_call *c, int32_t code)
{
    static const char over[] = "cancelled: the time of the run is over";
    bool running = c->state == AIOS__RC_RUNNING;
    bool ended = running && atomic_load(&c->call->state) == AIOS__CALL_FINISHED && !(c->call->reconciling && c->call->status);
    if (running && !ended)
        aios__call_abandon(c->call, AIOS_ECANCELED); /* a result that is being written now comes too late */
    c->state = AIOS__RC_DONE;
    c->status = ended ? c->call->status : AIOS_ECANCELED;
    if (ended)
        compose(r, c, c->status, c->call->result ? c->call->result : "", c->call->n_result, NULL);
    else
        compose(r, c, c->status, code == AIOS_ETIMEDOUT ? over : "cancelled", code == AIOS_ETIMEDOUT ? sizeof over - 1 : 9, NULL);
    if (!c->text)
        return;
    if (ended)
        aios__journal_result(r, c, result_label(r, c), NULL);
    aios__tools_emit(r, AIOS_EVENT_RESULT, c, NULL);
}

void aios__tools_abort(aios_run *r, int32_t code)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state != AIOS__RC_DONE || !r->calls[i].text)
            abort_call(r, &r->calls[i], code);
    aios_transcript_truncate(r->t, r->mark + 1, NULL); /* some results may have got in before memory ran out */
    if (write_results(r, NULL))
        aios_transcript_truncate(r->t, r->mark, NULL);
    aios__tools_clear(r);
}

void aios__tools_clear(aios_run *r)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        aios__free(r->heap, r->calls[i].text);
    r->n_turn_calls = 0;
}
