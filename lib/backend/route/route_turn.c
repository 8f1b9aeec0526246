/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of a router: an attempt, perhaps a hedge beside it, and the next one elsewhere if it fails. */
#include <stdio.h>
#include <time.h>

#include "backend/route/route_priv.h"

#define MS INT64_C(1000000)
#define NAP (5 * MS)
#define FIRST_PAUSE (50 * MS) /* before a round over all that have failed */
#define LONGEST_PAUSE (1000 * MS)

typedef struct attempt {
    bool live, parked;
    uint32_t endpoint, number; /* number: of the inner session's attempt */
    int64_t began, wait_ns, until; /* until: if parked */
    aios_usage usage;
    uint64_t told;             /* of its cost, in what went up */
    aios__route_need need;     /* as it was taken */
} attempt;

struct aios__route_turn {
    aios__route *r;
    aios_session_config cfg;
    aios_session *sessions[AIOS__ROUTE_ENDPOINTS];
    aios__request_copy copy;
    aios__route_need need;
    bool running, sent, hedged;  /* sent: the sink holds something of this attempt */
    int32_t returns;             /* as aios_session_retain says, also of sessions to come */
    _Atomic uint32_t cancel;
    _Atomic(aios_session *) inner[2]; /* for cancel */
    attempt a[2];
    int winner, next;          /* -1: nobody has spoken yet; whose step is next */
    uint32_t n_starts, last;
    int64_t pause, not_before, give_up;
    uint64_t lost;             /* cost of attempts that came to nothing, which the next usage holds too */
    aios__buf notes;           /* names and texts of AIOS_EVENT_ROUTE, each with its NUL */
    aios_error why;            /* of the last attempt that failed */
    aios__route_cause causes[AIOS__ROUTE_CANDIDATES];
};

static int64_t now(const aios__route_turn *t)
{
    return aios__now_ns(aios__ctx_env(t->r->ctx));
}

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static int note(aios__route_turn *t, const aios__route_pick *p, const char *reason, aios_error *err)
{
    static const char *const privacy[] = {"local", "lan", "remote"};
    const aios__endpoint *e = &t->r->endpoints[p->endpoint];
    const aios__candidate *c = &t->r->candidates[e->candidate];
    aios__buf *b = &t->notes;
    const char *where = privacy[e->privacy == AIOS_PRIVACY_LOCAL ? 0 : e->privacy == AIOS_PRIVACY_LAN ? 1 : 2], *comma = "";
    aios__buf_add(b, c->name, strlen(c->name) + 1, err);
    aios__buf_adds(b, "{\"uri\":", err);
    aios__buf_add_json(b, e->shown, strlen(e->shown), err);
    aios__buf_addf(b, err, ",\"privacy\":\"%s\",\"reason\":\"%s\",\"tokens\":%u,\"skipped\":[", where, reason, t->need.tokens);
    for (uint32_t i = 0; i < e->candidate; i++) {
        if (!p->why[i])
            continue;
        aios__buf_addf(b, err, "%s{\"name\":", comma);
        aios__buf_add_json(b, t->r->candidates[i].name, strlen(t->r->candidates[i].name), err);
        aios__buf_addf(b, err, ",\"why\":\"%s\"}", aios__route_why_text((enum aios__route_why)p->why[i]));
        comma = ",";
    }
    int rc = aios__buf_add(b, "]}", 3, err);
    aios__log(t->r->ctx, AIOS_LOG_INFO, "route: about %u tokens go to %s (%s, %s): %s", t->need.tokens, c->name, e->shown, where, reason);
    return rc;
}

static int tell(aios__route_turn *t, const aios_sink *sink)
{
    int rc = AIOS_OK;
    for (size_t at = 0; !rc && at < t->notes.n;) {
        const char *name = t->notes.p + at, *text = name + strlen(name) + 1;
        size_t n = strlen(text);
        if (AIOS_HAS(sink, route) && sink->route)
            rc = sink->route(sink->user, name, text, n);
        at = (size_t)(text - t->notes.p) + n + 1;
    }
    aios__buf_clear(&t->notes);
    return rc;
}

/* ---- an attempt --------------------------------------------------------------------------------------------------- */

static int session_of(aios__route_turn *t, uint32_t e, aios_error *err)
{
    if (t->sessions[e])
        return AIOS_OK;
    int rc = aios_session_new(t->r->endpoints[e].model, &t->cfg, &t->sessions[e], err);
    return rc || !t->returns ? rc : aios_session_retain(t->sessions[e], t->returns, err);
}

static uint64_t add_cost(uint64_t a, uint64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b;
}

/* What was sent is paid for, also where nobody has counted it. */
static void end_attempt(aios__route_turn *t, int i, int code)
{
    attempt *a = &t->a[i];
    if (!a->live)
        return;
    a->live = false;
    atomic_store(&t->inner[i], NULL);
    if (!a->usage.input)
        a->usage.input = a->need.tokens;
    uint64_t cost = code ? aios__route_cost(t->r, a->endpoint, &a->usage) : 0;
    t->lost = add_cost(t->lost, cost > a->told ? cost - a->told : 0);
    aios__route_report(t->r, a->endpoint, &a->need, code, &a->usage, a->wait_ns);
}

static void stop_attempt(aios__route_turn *t, int i)
{
    const aios_event *ev;
    int rc = AIOS_OK;
    if (!t->a[i].live)
        return;
    aios_session *s = t->sessions[t->a[i].endpoint];
    aios_session_cancel(s);
    while (rc == AIOS_OK || rc == AIOS_AGAIN)
        rc = aios_session_next(s, 0, &ev);
    end_attempt(t, i, AIOS_ECANCELED);
}

static bool goes_on(const aios__route_turn *t, int code)
{
    return code < 0 && code > -64 && t->r->next_on >> -code & 1;
}

static bool passes(int code)
{
    return code == AIOS_EUNAVAIL || code == AIOS_ERATE || code == AIOS_ETIMEDOUT || code == AIOS_EPROTO || code == AIOS_EIO;
}

/* A failure at e: not there again in this round, or not at all. */
static void strike(aios__route_turn *t, uint32_t e, const aios_error *why)
{
    uint64_t bit = UINT64_C(1) << e;
    aios__route_cause *cause = &t->causes[t->r->endpoints[e].candidate];
    t->need.tried |= bit;
    t->need.dead |= passes(why->code) ? 0 : bit;
    t->why = *why;
    cause->code = why->code;
    snprintf(cause->msg, sizeof cause->msg, "%.*s", (int)aios__utf8_whole(why->msg, strnlen(why->msg, sizeof cause->msg - 1)), why->msg);
    aios__log(t->r->ctx, AIOS_LOG_WARN, "route: %s failed: %s", t->r->endpoints[e].shown, why->msg);
}

static int fail_all(aios__route_turn *t, aios_error *err)
{
    return aios__route_fail_all(t->r, &t->need, t->causes, &t->why, err);
}

static int begin_at(aios__route_turn *t, int i, const aios__route_pick *p, aios_error *err)
{
    attempt *a = &t->a[i];
    const aios__candidate *c = &t->r->candidates[t->r->endpoints[p->endpoint].candidate];
    aios_request q = t->copy.req;
    q.timeout_ns = c->turn_ns; /* the whole turn's is the wrapper's */
    q.flags &= ~(uint32_t)AIOS_REQUEST_SNAPSHOTS; /* made above */
    *a = (attempt){.endpoint = p->endpoint, .wait_ns = -1, .need = t->need};
    a->need.probe = !strcmp(p->how, "probe");
    int rc = session_of(t, p->endpoint, err);
    rc = rc ? rc : aios_session_start(t->sessions[p->endpoint], &q, err);
    if (rc) {
        aios__route_report(t->r, p->endpoint, &a->need, rc, &a->usage, -1);
        return rc;
    }
    a->live = true;
    a->began = now(t);
    atomic_store(&t->inner[i], t->sessions[p->endpoint]);
    if (atomic_load(&t->cancel))
        aios_session_cancel(t->sessions[p->endpoint]);
    return AIOS_OK;
}

/* AIOS_OK: attempt i runs; AIOS_AGAIN: nobody is free now; else why nobody will be. */
static int begin(aios__route_turn *t, int i, const char *reason, aios_error *err)
{
    aios__route_pick p;
    aios_error why = AIOS_INIT(aios_error);
    for (;;) {
        int rc = aios__route_choose(t->r, &t->need, true, &p, &why);
        if (rc < 0 && t->why.code)
            return fail_all(t, err);
        if (rc)
            return rc < 0 ? aios__error_copy(err, &why) : rc;
        int told = note(t, &p, reason ? reason : p.how, err);
        if ((rc = begin_at(t, i, &p, &why)) == AIOS_OK) {
            t->n_starts++;
            t->last = p.endpoint;
            return told;
        }
        if (told || !goes_on(t, rc))
            return told ? told : aios__error_copy(err, &why);
        strike(t, p.endpoint, &why);
        reason = aios_code_name(rc);
    }
}

/* Nobody is free: a pause, longer each time, and all may try again. */
static int pause_round(aios__route_turn *t, aios_error *err)
{
    int64_t t0 = now(t);
    uint32_t dice = 0;
    int32_t sys;
    const aios_env *env = aios__ctx_env(t->r->ctx);
    if (t0 >= t->give_up || t->n_starts >= t->r->attempts) {
        if (t->why.code)
            return fail_all(t, err);
        return aios__fail(err, AIOS_EUNAVAIL, "no candidate became free or well within patience_ms");
    }
    if (env->random(env->user, &dice, sizeof dice, &sys))
        dice = UINT32_MAX / 2;
    t->not_before = t0 + t->pause / 2 + (int64_t)((double)t->pause / 2 * dice / UINT32_MAX);
    t->not_before = t->not_before < t->give_up ? t->not_before : t->give_up;
    t->pause = t->pause < LONGEST_PAUSE / 2 ? t->pause * 2 : LONGEST_PAUSE;
    t->need.tried = 0;
    return AIOS_AGAIN;
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

static void clear(aios__route_turn *t)
{
    stop_attempt(t, 0);
    stop_attempt(t, 1);
    aios__buf_clear(&t->notes);
    t->running = t->sent = t->hedged = false;
    t->winner = -1;
    t->next = 0;
    t->n_starts = 0;
    t->pause = FIRST_PAUSE;
    t->not_before = 0;
    t->lost = 0;
    t->why = (aios_error)AIOS_INIT(aios_error);
    memset(t->causes, 0, sizeof t->causes);
}

int aios__route_turn_start(aios__route_turn *t, const aios_request *req, aios_error *err)
{
    clear(t);
    aios__request_copy_free(&t->copy);
    int rc = aios__request_copy_make(t->r->heap, req, &t->copy, err);
    if (rc)
        return rc;
    atomic_store(&t->cancel, 0);
    aios__route_need_of(t->r, req, &t->need);
    t->need.sticky = t->last;
    t->give_up = now(t) + t->r->patience_ns;
    rc = begin(t, 0, NULL, err);
    rc = rc == AIOS_AGAIN ? pause_round(t, err) : rc;
    if (rc < 0)
        clear(t);
    t->running = rc >= 0;
    return rc < 0 ? rc : AIOS_OK;
}

int aios__route_turn_peek(aios__route_turn *t, const aios_request *req, aios_session **s, aios_error *err)
{
    aios__route_need q;
    aios__route_pick p;
    aios__route_need_of(t->r, req, &q);
    q.sticky = t->last;
    int rc = aios__route_choose(t->r, &q, false, &p, err);
    if (rc == AIOS_AGAIN)
        rc = aios__fail(err, AIOS_EUNAVAIL, "no candidate is free and well now");
    rc = rc ? rc : session_of(t, p.endpoint, err);
    *s = rc ? NULL : t->sessions[p.endpoint];
    return rc;
}

/* ---- steps -------------------------------------------------------------------------------------------------------- */

static bool can_restart(const aios__route_turn *t, const aios_sink *sink)
{
    return !t->sent || (AIOS_HAS(sink, restart) && sink->restart);
}

static int restart(aios__route_turn *t, const aios_sink *sink)
{
    int rc = t->sent ? sink->restart(sink->user) : AIOS_OK;
    t->sent = false;
    return rc;
}

/* An attempt is to follow, or to be waited for. */
static int go_on(aios__route_turn *t, const aios_sink *sink, const char *reason, aios_error *err)
{
    t->winner = -1;
    t->hedged = false;
    if (t->n_starts >= t->r->attempts && t->why.code)
        return fail_all(t, err);
    int rc = begin(t, 0, reason, err);
    if (rc == AIOS_AGAIN)
        return pause_round(t, err);
    rc = rc ? rc : restart(t, sink);
    return rc ? rc : AIOS_AGAIN;
}

static int fail_attempt(aios__route_turn *t, int i, const aios_sink *sink, const aios_error *why, aios_error *err)
{
    int code = why->code;
    aios_error copy = *why;
    if (t->winner >= 0)
        t->give_up = now(t) + t->r->patience_ns; /* it had begun: the time for another begins now */
    uint32_t endpoint = t->a[i].endpoint;
    end_attempt(t, i, code);
    if (atomic_load(&t->cancel))
        return aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    if (!goes_on(t, code) || !can_restart(t, sink))
        return aios__error_copy(err, &copy);
    strike(t, endpoint, &copy);
    return t->a[!i].live ? AIOS_AGAIN : go_on(t, sink, aios_code_name(code), err);
}

/* The first to speak is heard to the end. */
static void win(aios__route_turn *t, int i)
{
    if (t->winner >= 0)
        return;
    t->winner = i;
    t->a[i].wait_ns = now(t) - t->a[i].began;
    stop_attempt(t, !i);
}

static void add_usage(aios_usage *sum, const aios_usage *u)
{
    sum->input += u->input;
    sum->cached += u->cached;
    sum->output += u->output;
}

static int pass_usage(aios__route_turn *t, attempt *a, const aios_event *ev, const aios_sink *sink)
{
    aios_event up = *ev;
    aios_usage u = *ev->usage;
    uint64_t own = aios__route_cost(t->r, a->endpoint, &u);
    add_usage(&a->usage, &u);
    a->told = add_cost(a->told, own);
    u.cost_micros = add_cost(t->lost, own ? own : u.cost_micros < INT64_MAX ? u.cost_micros : INT64_MAX); /* a router below has prices of its own */
    t->lost = 0;
    up.usage = &u;
    int rc = aios__sink_pass(sink, &up);
    return rc ? rc : AIOS_AGAIN;
}

static int take(aios__route_turn *t, int i, const aios_event *ev, const aios_sink *sink, aios_error *err)
{
    attempt *a = &t->a[i];
    if (ev->type == AIOS_EVENT_ERROR)
        return fail_attempt(t, i, sink, ev->error, err);
    int rc = AIOS_OK;
    if (ev->type == AIOS_EVENT_ROUTE) { /* of a router below: nothing was said yet */
        rc = aios__sink_pass(sink, ev);
        return rc ? rc : AIOS_AGAIN;
    }
    win(t, i);
    if (ev->type == AIOS_EVENT_DONE) {
        rc = sink->stop(sink->user, ev->name);
        end_attempt(t, i, AIOS_OK);
        return rc ? rc : AIOS_DONE;
    }
    if (ev->attempt != a->number) {
        a->number = ev->attempt;
        if (!can_restart(t, sink))
            return aios__fail(err, AIOS_ENOTSUP, "a candidate began again, which this caller cannot follow");
        if ((rc = restart(t, sink)) != AIOS_OK)
            return rc;
    }
    t->sent = true;
    if (ev->usage)
        return pass_usage(t, a, ev, sink);
    rc = aios__sink_pass(sink, ev);
    return rc ? rc : AIOS_AGAIN;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int step_attempt(aios__route_turn *t, int i, const aios_sink *sink, aios_error *err)
{
    const aios_event *ev;
    attempt *a = &t->a[i];
    int64_t patience = t->r->candidates[t->r->endpoints[a->endpoint].candidate].first_event_ns;
    aios__session_follow(t->sessions[a->endpoint], sink);
    int rc = aios_session_next(t->sessions[a->endpoint], 0, &ev);
    a->parked = rc == AIOS_AGAIN && aios__session_parked(t->sessions[a->endpoint], &a->until);
    if (rc == AIOS_OK)
        return take(t, i, ev, sink, err);
    bool patient = patience && t->winner < 0;
    if (rc == AIOS_AGAIN && !(patient && now(t) - a->began > patience)) {
        a->until = patient ? earlier(a->until, a->began + patience + 1) : a->until;
        return AIOS_AGAIN;
    }
    a->parked = false;
    aios_error why = AIOS_INIT(aios_error);
    if (rc == AIOS_AGAIN) {
        atomic_store(&t->inner[i], NULL);
        aios__fail(&why, AIOS_ETIMEDOUT, "%s did not begin within first_event_ms", t->r->endpoints[a->endpoint].shown);
        aios_session_cancel(t->sessions[a->endpoint]);
        while (rc == AIOS_OK || rc == AIOS_AGAIN)
            rc = aios_session_next(t->sessions[a->endpoint], 0, &ev);
    } else {
        aios__fail(&why, rc < 0 ? rc : AIOS_EINTERNAL, "%s ended without a last event", t->r->endpoints[a->endpoint].shown);
    }
    return fail_attempt(t, i, sink, &why, err);
}

static int await_time(aios__route_turn *t, const aios_sink *sink, int64_t left)
{
    if (aios__sink_parks(sink))
        return aios__sink_park(sink, now(t) + left);
    struct timespec ts = {.tv_nsec = (long)(left < NAP ? left : NAP)};
    nanosleep(&ts, NULL);
    return AIOS_AGAIN;
}

/* Env's time of a hedge beside the attempt that runs; INT64_MAX: there will be none. */
static int64_t hedge_at(const aios__route_turn *t)
{
    int i = t->a[0].live ? 0 : 1;
    bool may = t->r->hedge_ns && !t->hedged && t->winner < 0 && !t->a[!i].live && t->n_starts < t->r->attempts;
    return may ? t->a[i].began + t->r->hedge_ns : INT64_MAX;
}

/* A second one beside an attempt that has not spoken yet. */
static void hedge(aios__route_turn *t)
{
    aios_error ignored = AIOS_INIT(aios_error);
    int i = t->a[0].live ? 0 : 1;
    aios__route_need before = t->need;
    if (hedge_at(t) > now(t))
        return;
    t->hedged = true;
    t->need.tried |= UINT64_C(1) << t->a[i].endpoint;
    uint32_t last = t->last;
    if (begin(t, !i, "hedge", &ignored) != AIOS_OK)
        t->last = last;
    t->need.tried = before.tried | (t->need.tried & ~(UINT64_C(1) << t->a[i].endpoint));
}

/* Parks once all attempts have: news of one do not say of which. */
static int step_attempts(aios__route_turn *t, const aios_sink *sink, aios_error *err)
{
    int64_t until = hedge_at(t);
    for (int k = 0; k < 2; k++) {
        int i = t->next;
        t->next = !i;
        if (!t->a[i].live)
            continue;
        int rc = step_attempt(t, i, sink, err);
        if (rc != AIOS_AGAIN || !t->a[i].parked)
            return rc;
        until = earlier(until, t->a[i].until);
    }
    return aios__sink_park(sink, until);
}

static int step(aios__route_turn *t, const aios_sink *sink, aios_error *err)
{
    if (atomic_load(&t->cancel))
        return aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    if (!t->a[0].live && !t->a[1].live) {
        int64_t left = t->not_before - now(t);
        if (left <= 0)
            return go_on(t, sink, t->why.code ? aios_code_name(t->why.code) : NULL, err);
        return await_time(t, sink, left);
    }
    hedge(t);
    int rc = tell(t, sink);
    return rc ? rc : step_attempts(t, sink, err);
}

int aios__route_turn_step(aios__route_turn *t, const aios_sink *sink, aios_error *err)
{
    if (!t->running)
        return AIOS_DONE;
    int rc = step(t, sink, err);
    if (rc == AIOS_AGAIN)
        return rc;
    if (t->winner >= 0)
        t->last = t->a[t->winner].endpoint;
    clear(t);
    return rc;
}

void aios__route_turn_cancel(aios__route_turn *t)
{
    atomic_store(&t->cancel, 1);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(t->inner); i++) {
        aios_session *s = atomic_load(&t->inner[i]);
        if (s)
            aios_session_cancel(s);
    }
}

void aios__route_turn_retain(aios__route_turn *t, int32_t returns)
{
    t->returns = returns;
    for (uint32_t i = 0; i < t->r->n_endpoints; i++)
        if (t->sessions[i])
            aios_session_retain(t->sessions[i], returns, NULL);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

int aios__route_turn_new(aios__route *r, const aios_session_config *cfg, aios__route_turn **out, aios_error *err)
{
    aios__route_turn *t = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *t, err);
    if (!t)
        return aios__nomem(err);
    t->r = r;
    t->cfg = *cfg;
    t->cfg.driver = AIOS_DRIVER_CALLER;
    t->copy.heap = r->heap;
    t->last = AIOS__ROUTE_ENDPOINTS;
    t->winner = -1;
    aios__buf_init(&t->notes, r->heap, AIOS_MEM_TEXT, 0);
    *out = t;
    return AIOS_OK;
}

void aios__route_turn_free(aios__route_turn *t)
{
    clear(t);
    for (uint32_t i = 0; i < t->r->n_endpoints; i++)
        aios_session_free(t->sessions[i]);
    aios__request_copy_free(&t->copy);
    aios__buf_free(&t->notes);
    aios__free(t->r->heap, t);
}
