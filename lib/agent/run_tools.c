/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of one turn: checked, passed by the gate, run, and their results written in the order of the calls. */
#include <stdio.h>

#include "agent/agent_priv.h"

static int64_t now(const aios_run *r)
{
    return aios__now_ns(aios__ctx_env(r->agent->ctx));
}

int aios__tools_emit(aios_run *r, int32_t type, const aios__run_call *c, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    bool result = type == AIOS_EVENT_RESULT;
    ev.type = type;
    ev.code = result ? c->status : 0;
    ev.call_id = c->call->id;
    ev.name = c->call->name;
    ev.text = result ? c->text : aios__call_text(c->call, &ev.n_text);
    ev.n_text = result ? c->n_text : ev.n_text;
    ev.digest = !result && c->gate.digest[0] ? c->gate.digest : NULL;
    ev.label = result ? c->label : c->gate.label;
    return aios__run_emit(r, &ev, err);
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

static int take_text(aios__run_call *c, aios__buf *b, aios_error *err)
{
    if (b->failed || aios__buf_add(b, "", 0, err)) {
        int rc = b->failed;
        aios__buf_free(b);
        return rc;
    }
    c->text = b->p;
    c->n_text = b->n;
    return AIOS_OK;
}

static int compose_value(aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios__buf *b, aios_error *err)
{
    int rc = aios__value_keep(r, c, status, s, n, b, err);
    c->value = rc ? 0 : r->gate.n_values;
    if (!rc)
        return take_text(c, b, err);
    aios__buf_free(b);
    return rc;
}

/* The text that reaches the model: marked if it is a failure, cut at the run's limit. */
static int compose(aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios_error *err)
{
    size_t max = r->agent->limits.max_result, cut = n > max ? aios__utf8_whole(s, max) : n;
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    if (aios__value_due(c, status))
        return compose_value(r, c, status, s, n, &b, err);
    if (status)
        aios__buf_adds(&b, "error: ", err);
    if (status && !n)
        aios__buf_adds(&b, aios_strerror(status), err);
    aios__buf_add(&b, s, cut, err);
    if (cut < n)
        aios__buf_addf(&b, err, "\n[cut: %zu of %zu bytes]", cut, n);
    return take_text(c, &b, err);
}

int aios__tools_result(aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios_error *err)
{
    int rc = compose(r, c, status, s, n, err);
    if (rc)
        return rc;
    c->status = status;
    c->state = AIOS__RC_DONE;
    c->label = aios__gate_label(r, c);
    rc = aios__journal_result(r, c, err);
    return rc ? rc : aios__tools_emit(r, AIOS_EVENT_RESULT, c, err);
}

int aios__tools_refuse(aios_run *r, aios__run_call *c, int32_t status, const char *s, aios_error *err)
{
    c->gate.ours = true;
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
        e.label = c->label;
        int rc = aios__run_append(r, &e, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/* ---- admission ---------------------------------------------------------------------------------------------------- */

static int gate(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_verdict v;
    int rc = aios__gate_decide(r, c, &v, err);
    if (rc)
        return rc;
    if (v.verdict == AIOS_ALLOW) {
        c->state = AIOS__RC_READY;
        return AIOS_OK;
    }
    if (v.verdict == AIOS_ASK) {
        c->state = AIOS__RC_ASK;
        rc = aios__journal_ask(r, c, err);
        return rc ? rc : aios__tools_emit(r, AIOS_EVENT_ASK, c, err);
    }
    char text[320];
    bool told = v.reason[0] && !c->call->filled; /* a reason may quote a value that the model is not to see */
    snprintf(text, sizeof text, "the policy denied this call%s%s", told ? ": " : "", told ? v.reason : "");
    return aios__tools_refuse(r, c, AIOS_EDENIED, text, err);
}

static int admit(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    if (r->choice == AIOS_TOOLS_NONE)
        return aios__tools_refuse(r, c, AIOS_EDENIED, "no tool may be called in this turn: answer with text", err);
    int rc = aios__gate_fill(r, c, err);
    if (rc)
        return rc;
    size_t n;
    const char *args = aios__call_text(c->call, &n);
    rc = aios__toolset_check(r->agent->toolset, c->call->name, args, n, c->call->filled ? NULL : c->args, &c->tool, &why);
    aios__json_free(c->args); /* a call that waits holds no more than its text */
    c->args = NULL;
    if (rc == AIOS_ESCHEMA && c->call->filled)
        return aios__tools_refuse(r, c, rc, "with the values behind its handles the arguments do not fit the schema", err);
    if (rc == AIOS_ENOENT || rc == AIOS_ESCHEMA)
        return aios__tools_refuse(r, c, rc, why.msg, err);
    if (rc)
        return aios__error_copy(err, &why), rc;
    if (!aios__profile_shows(r, c->call->name))
        return aios__tools_refuse(r, c, AIOS_EDENIED, "this tool is not among those of this turn", err);
    return gate(r, c, err);
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static bool on_worker(const aios__run_call *c)
{
    return c->tool->pub.flags & AIOS_TOOL_ANY_THREAD;
}

static void start_clock(aios_run *r, aios__run_call *c)
{
    int64_t t = c->tool->pub.timeout_ns ? c->tool->pub.timeout_ns : r->agent->limits.tool_timeout_ns, at = now(r);
    atomic_store(&c->call->deadline, t > INT64_MAX - at ? INT64_MAX : at + t);
    c->call->tool = c->tool;
    c->call->reconciling = c->state == AIOS__RC_RECONCILE;
    c->call->base = c->call->label = aios__gate_base(c);
    c->call->context = c->gate.label;
    c->call->run = on_worker(c) ? NULL : r;
    c->state = AIOS__RC_RUNNING;
    c->due = false;
    aios__trace_tool(r->trace, c->call->id);
    aios__trace_parent(r->trace, c->call->id, c->call->traceparent);
    aios__call_ref(c->call); /* the tool's own, dropped by finish */
}

/* Those that start now: all that may run on workers, calls of agents as far as there is room, and one of the others. */
static bool choose_due(aios_run *r)
{
    bool here = false, any = false;
    uint32_t room = aios__sub_room(r);
    bool missing = aios__sub_missing(r->root);
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        bool again = c->state == AIOS__RC_READY && c->tries; /* what was open before a crash has its place */
        bool ready = again || (c->state == AIOS__RC_READY && !missing) || c->state == AIOS__RC_RECONCILE;
        bool sub = aios__sub_is(c->tool);
        c->due = ready && (sub ? again || room > 0 : on_worker(c) || !here);
        room -= c->due && sub && room;
        here = here || (c->due && !sub && !on_worker(c));
        any = any || c->due;
    }
    return any;
}

/* Hands calls that may run anywhere to the workers, then runs one of the others here. */
static int start_due(aios_run *r, aios_error *err)
{
    aios__run_call *here = NULL;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < r->n_turn_calls && !rc; i++) {
        aios__run_call *c = &r->calls[i];
        if (!c->due)
            continue;
        if (!aios__sub_is(c->tool) && !on_worker(c)) {
            here = c;
            continue;
        }
        start_clock(r, c);
        if (aios__sub_is(c->tool))
            rc = aios__sub_begin(r, c, err);
        else if (!aios__workers_submit(&r->home->workers, c->call))
            aios__call_invoke(c->call);
    }
    if (here && !rc) {
        start_clock(r, here);
        aios__call_invoke(here->call);
    }
    return rc;
}

/* AGAIN: there are none, or it is not durable yet that they begin. */
static int start_ready(aios_run *r, aios_error *err)
{
    int rc = AIOS_AGAIN;
    if (aios__journal_intends(r))
        rc = aios__journal_may_begin(r);
    else if (choose_due(r))
        rc = aios__journal_intent(r, err);
    return rc ? rc : start_due(r, err);
}

/* ---- calls that were begun before a crash ------------------------------------------------------------------------- */

void aios__tools_unknown(aios__run_call *c)
{
    c->state = AIOS__RC_ASK;
    c->unknown = true;
    c->gate.ask_until = 0;
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
        if (r->all[i].call == c->call)
            r->all[i].call = again;
    c->call = again;
    return aios__gate_fill(r, c, err);
}

static int collect_reconciled(aios_run *r, aios__run_call *c, int32_t status, aios_error *err)
{
    int rc = renew_call(r, c, err);
    if (rc || status != AIOS_ENOENT)
        return rc ? rc : ask_unknown(r, c, err);
    c->state = AIOS__RC_READY;
    if (c->gate.stale) /* it did not happen, and what let it is no more */
        aios__gate_forget(r, c);
    return AIOS_OK;
}

/* ---- ends --------------------------------------------------------------------------------------------------------- */

static int collect(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios_call *call = c->call;
    if (call->reconciling && call->status)
        return collect_reconciled(r, c, call->status, err);
    char reason[256];
    const char *text = call->result ? call->result : "";
    int no = aios__hook_after_call(r, c, call->status, text, call->n_result, reason);
    c->gate.ours = c->gate.ours || no;
    int rc = aios__tools_result(r, c, no ? no : call->status, no ? reason : text, no ? strlen(reason) : call->n_result, err);
    if (rc && c->state != AIOS__RC_DONE) /* its receipt is made when the run ends */
        return rc;
    aios__free(r->heap, call->result);
    call->result = NULL;
    call->n_result = 0;
    return rc;
}

static int expire(aios_run *r, aios__run_call *c, aios_error *err)
{
    char text[96];
    if (c->call->reconciling)
        return collect_reconciled(r, c, AIOS_ETIMEDOUT, err);
    int64_t limit = c->tool->pub.timeout_ns ? c->tool->pub.timeout_ns : r->agent->limits.tool_timeout_ns;
    snprintf(text, sizeof text, "the tool did not finish within %lld ms", (long long)(limit / 1000000));
    return aios__tools_refuse(r, c, AIOS_ETIMEDOUT, text, err);
}

/* One call that has ended, or run or waited out of time; AGAIN if there is none. */
static int collect_one(aios_run *r, aios_error *err)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        if (c->state == AIOS__RC_ASK && c->gate.ask_until && now(r) >= c->gate.ask_until)
            return aios__tools_refuse(r, c, AIOS_EDENIED, "nobody allowed this call in time", err);
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
    r->gate.n_told = r->gate.n_values;
    r->step++;
    r->attempt = 0;
    r->answer_now = false;
    r->state = AIOS__RUN_PROMPT;
    return AIOS_OK;
}

/* None as long as what was begun before a crash has not been counted. */
static aios__run_call *next_new(const aios_run *r)
{
    uint32_t i = 0;
    while (i < r->n_turn_calls && r->calls[i].state != AIOS__RC_NEW)
        i++;
    return i < r->n_turn_calls && !aios__sub_missing(r->root) ? &r->calls[i] : NULL;
}

int aios__tools_step(aios_run *r, aios_error *err)
{
    aios__run_call *c = next_new(r);
    if (c)
        return admit(r, c, err);
    int rc = collect_one(r, err); /* first, so that a receipt is written with the next call's intent */
    if (rc == AIOS_AGAIN)
        rc = aios__hook_before_calls(r, err);
    if (rc == AIOS_AGAIN)
        rc = start_ready(r, err);
    if (rc == AIOS_AGAIN && r->n_subs)
        rc = aios__sub_step(r, err);
    if (rc != AIOS_AGAIN)
        return rc;
    if (count_state(r, AIOS__RC_DONE) == r->n_turn_calls)
        return aios__handoff_next(r, err);
    rc = aios__journal_urgent(r, err);
    return rc ? rc : AIOS_AGAIN;
}

/* True if some call is to begin now; those of agents wait for room. */
static bool can_begin(const aios_run *r)
{
    uint32_t room = aios__sub_room(r);
    bool can = false, held = aios__journal_holds(r), missing = aios__sub_missing(r->root);
    for (uint32_t i = 0; i < r->n_turn_calls && !held && !can; i++) {
        const aios__run_call *c = &r->calls[i];
        bool again = c->state == AIOS__RC_READY && c->tries;
        bool ready = again || (c->state == AIOS__RC_READY && !missing) || c->state == AIOS__RC_RECONCILE;
        can = ready && (again || room || !aios__sub_is(c->tool));
    }
    return can;
}

bool aios__tools_busy(const aios_run *r)
{
    if (next_new(r) || can_begin(r) || count_state(r, AIOS__RC_DONE) == r->n_turn_calls)
        return true;
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state == AIOS__RC_RUNNING && atomic_load(&r->calls[i].call->state) == AIOS__CALL_FINISHED)
            return true;
    return r->n_subs && aios__sub_busy(r);
}

bool aios__tools_only_ask(const aios_run *r)
{
    if (aios__tools_busy(r) || aios__journal_intends(r))
        return false;
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state == AIOS__RC_RUNNING && !aios__sub_only_asks(&r->calls[i]))
            return false;
    return true;
}

int64_t aios__tools_deadline(const aios_run *r)
{
    int64_t first = 0;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        const aios__run_call *c = &r->calls[i];
        int64_t d = c->state == AIOS__RC_RUNNING ? atomic_load(&c->call->deadline) : c->state == AIOS__RC_ASK ? c->gate.ask_until : 0;
        d = c->sub ? aios__sub_deadline(c) : d;
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
    aios__sub_stop(r, c);
    if (running && !ended)
        aios__call_abandon(c->call, AIOS_ECANCELED); /* a result that is being written now comes too late */
    c->state = AIOS__RC_DONE;
    c->status = ended ? c->call->status : AIOS_ECANCELED;
    c->gate.ours = !ended;
    if (ended)
        compose(r, c, c->status, c->call->result ? c->call->result : "", c->call->n_result, NULL);
    else
        compose(r, c, c->status, code == AIOS_ETIMEDOUT ? over : "cancelled", code == AIOS_ETIMEDOUT ? sizeof over - 1 : 9, NULL);
    c->label = aios__gate_label(r, c);
    if (!c->text)
        return;
    if (ended)
        aios__journal_result(r, c, NULL);
    aios__tools_emit(r, AIOS_EVENT_RESULT, c, NULL);
}

void aios__tools_abort(aios_run *r, int32_t code)
{
    aios__journal_void(r);
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
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__gate_clear(r, &r->calls[i].gate);
        aios__free(r->heap, r->calls[i].text);
        aios__json_free(r->calls[i].args);
    }
    r->n_turn_calls = 0;
}
