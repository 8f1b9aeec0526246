/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine: PROMPT -> MODEL -> TOOLS -> PROMPT ... -> END. Pull is the core; push is a loop around it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "config.h"

#define MAX_TEXT ((size_t)64 << 20)
#define BLIND_MS 5     /* between two looks where the system has no descriptor to wait on */
enum { MAX_POLLS = 64, UNSEEN_MS = 5, MAX_WAIT_MS = 60000 }; /* those that have no descriptor, or are beyond, are looked at so often */
_Static_assert((int)AIOS__SUBS_AT_ONCE < (int)MAX_POLLS, "as many called agents at most wait for their models at a time, however deep");

static int64_t now(const aios_run *r)
{
    return aios__now_ns(aios__ctx_env(r->agent->ctx));
}

/* ---- events and transcript ---------------------------------------------------------------------------------------- */

static void stamp(const aios_run *r, aios_event *ev)
{
    ev->run = r->number;
    ev->step = r->step;
    ev->attempt = r->attempt;
    ev->depth = r->depth;
    ev->parent = r->parent ? r->parent->number : 0;
}

int aios__run_emit(aios_run *r, aios_event *ev, aios_error *err)
{
    aios__event_node *node;
    stamp(r, ev);
    aios__trace_event(r->trace, ev);
    int rc = aios__event_new(r->heap, ev, aios__events_spare(&r->events), &node, err);
    if (!rc)
        aios__events_push(&r->events, node);
    return rc;
}

int aios__run_emit_state(aios_run *r, const char *name, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = AIOS_EVENT_STATE;
    ev.text = name;
    ev.n_text = strlen(name);
    ev.label.integrity = AIOS_LABEL_SYSTEM;
    return aios__run_emit(r, &ev, err);
}

int aios__run_append(aios_run *r, const aios_entry *e, aios_error *err)
{
    int rc = aios_transcript_add(r->t, e, err);
    if (!rc)
        r->label = aios__label_join(r->label, e->label);
    return rc;
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

void aios__run_end(aios_run *r, const aios_error *failure)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = failure ? AIOS_EVENT_ERROR : AIOS_EVENT_DONE;
    ev.error = failure;
    ev.name = failure ? aios_code_name(failure->code) : r->reason;
    ev.text = failure || !r->text.p ? "" : r->text.p;
    ev.n_text = failure ? 0 : r->text.n;
    ev.label = r->label;
    stamp(r, &ev);
    aios__trace_event(r->trace, &ev);
    aios__hook_stop(r, &ev);
    aios__events_finish(&r->events, &ev);
    r->state = AIOS__RUN_END;
}

/* Leaves the transcript whole whatever was going on. */
static void stop_work(aios_run *r, int code)
{
    if (r->state == AIOS__RUN_MODEL || r->state == AIOS__RUN_CONTEXT)
        aios__turn_drop(r);
    else if (r->state == AIOS__RUN_TOOLS)
        aios__tools_abort(r, code);
}

/* For the time that its commit takes. */
static bool keep_failure(aios_run *r, const aios_error *err)
{
    aios_error *kept = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *kept, NULL);
    if (!kept)
        return false;
    *kept = *err;
    aios__free(r->heap, r->journal->ended);
    r->journal->ended = kept;
    return true;
}

static void fail_run(aios_run *r, int code, aios_error *err)
{
    stop_work(r, code);
    if (err->code != code)
        aios__fail(err, code, "the run failed: %s", aios_strerror(code));
    if (aios__journal_end(r, err, NULL) == AIOS_AGAIN && keep_failure(r, err))
        r->state = AIOS__RUN_CLOSING;
    else
        aios__run_end(r, err);
}

/* Done is what the journal says it is; rc: of the end in it. */
static void finish_run(aios_run *r, int rc, aios_error *err)
{
    if (rc == AIOS_AGAIN) {
        r->state = AIOS__RUN_CLOSING;
    } else if (rc) {
        fail_run(r, rc, err);
    } else {
        aios__keep_drop(r);
        aios__run_end(r, NULL);
    }
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

int aios__run_defs(aios_run *r, aios_error *err)
{
    const aios_toolset *ts = r->agent->toolset;
    uint32_t n = aios_toolset_count(ts);
    aios_tool_def *defs = aios__alloc_array(r->heap, AIOS_MEM_TEXT, n, sizeof *defs, err);
    if (!defs)
        return aios__nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        const aios_tool *t = &aios__toolset_get(ts, i)->pub;
        defs[i] = (aios_tool_def)AIOS_INIT(aios_tool_def);
        defs[i].name = t->name;
        defs[i].description = t->description;
        defs[i].schema_json = t->schema_json;
    }
    aios__free(r->heap, r->defs);
    r->defs = defs;
    r->n_defs = n;
    return AIOS_OK;
}

static int make_transcript(aios_run *r, aios_transcript *t, const char *prompt, size_t n, aios_error *err)
{
    int rc = AIOS_OK;
    if (!t) {
        rc = aios_transcript_new(r->agent->ctx, &r->t, err);
        r->own_t = !rc;
    } else {
        r->t = t;
    }
    if (!rc && r->agent->instructions && !aios_transcript_count(r->t))
        rc = aios_transcript_add_text(r->t, AIOS_ROLE_SYSTEM, r->agent->instructions, AIOS_CSTR, err);
    if (!rc && prompt)
        rc = aios_transcript_add_text(r->t, AIOS_ROLE_USER, prompt, n, err);
    if (!rc && !aios_transcript_count(r->t))
        rc = aios__fail(err, AIOS_EINVAL, "a run needs a prompt, or a transcript that has entries");
    if (!rc)
        r->label = aios__label_of(r->t);
    return rc;
}

void aios__run_destroy(aios_run *r)
{
    aios_agent *a = r->home;
    aios__handoff_clear(r);
    if (r->home_session)
        aios__agent_give_session(a, r->home_session);
    aios__profile_free(r);
    aios__trace_free(r->trace);
    aios__journal_close(r);
    aios__tools_clear(r);
    for (uint32_t i = 0; i < r->n_all; i++)
        aios__call_unref(r->all[i].call);
    aios__free(r->heap, r->all);
    aios__free(r->heap, r->calls);
    aios__free(r->heap, r->defs);
    aios__events_clear(&r->events);
    aios__buf_free(&r->text);
    aios__buf_free(&r->reasoning);
    aios__buf_free(&r->signatures);
    aios__free(r->heap, r->signs);
    aios__buf_free(&r->last_call);
    aios__gate_free(r);
    aios__context_free(r);
    if (r->own_t)
        aios_transcript_free(r->t);
    if (r->fd >= 0)
        close(r->fd);
    if (r->timer >= 0)
        close(r->timer);
    aios__hub_unref(r->hub);
    aios__toolset_hold(a->toolset, -1);
    aios__free(r->heap, r);
    aios_agent_free(a);
}

/* What names the run, and what names its calls: another, since a host may use the same id in two stores. */
static int draw_id(aios_run *r, aios_error *err)
{
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    uint8_t id[16];
    int32_t sys = 0;
    int rc = env->random(env->user, r->nonce, sizeof r->nonce, &sys);
    if (!rc)
        rc = env->random(env->user, id, sizeof id, &sys);
    if (rc)
        return aios__fail_sys(err, AIOS_EIO, sys, "the system gave no random bits to name the run by");
    for (size_t i = 0; i < sizeof id; i++) {
        r->id[2 * i] = "0123456789abcdef"[id[i] >> 4];
        r->id[2 * i + 1] = "0123456789abcdef"[id[i] & 15];
    }
    return AIOS_OK;
}

/* Numbers are unique among all that one run tells of. */
static int place(aios_run *r, aios_run *parent, aios_error *err)
{
    r->parent = parent;
    r->root = parent ? parent->root : r;
    r->depth = parent ? parent->depth + 1 : 0;
    r->number = atomic_fetch_add(&r->root->home->n_runs, 1) + 1;
    if (!parent)
        return aios__hub_new(r->agent->ctx, &r->hub, err);
    r->hub = aios__hub_ref(parent->hub);
    return aios__run_emit_state(r, "agent", err);
}

int aios__run_new(aios_agent *a, aios_run *parent, aios_run **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(a->ctx);
    aios_run *r = aios__alloc(h, AIOS_MEM_OTHER, sizeof *r, err);
    if (!r)
        return aios__nomem(err);
    r->agent = r->home = aios__agent_ref(a);
    r->heap = h;
    r->fd = r->timer = -1;
    aios__events_init(&r->events, h);
    aios__buf_init(&r->text, h, AIOS_MEM_TEXT, MAX_TEXT);
    aios__buf_init(&r->reasoning, h, AIOS_MEM_TEXT, MAX_TEXT);
    aios__buf_init(&r->signatures, h, AIOS_MEM_TEXT, MAX_TEXT);
    aios__buf_init(&r->last_call, h, AIOS_MEM_TEXT, MAX_TEXT);
    aios__context_init(r);
    aios__buf_init(&r->profile.shown, h, AIOS_MEM_TEXT, MAX_TEXT);
    aios__toolset_hold(a->toolset, 1);
    int rc = draw_id(r, err);
    if (!rc)
        rc = place(r, parent, err);
    if (!rc)
        rc = aios__run_defs(r, err);
    if (!rc)
        rc = aios__agent_take_session(a, &r->home_session, err);
    r->session = r->base_session = r->home_session;
    if (rc) {
        aios__run_destroy(r);
        return rc;
    }
    *out = r;
    return AIOS_OK;
}

void aios__run_trace(aios_run *r, const char *parent)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    const aios_agent *a = r->agent;
    aios_telemetry *tm = a->telemetry;
    for (const aios_run *p = r->parent; !tm && p; p = p->parent)
        tm = p->agent->telemetry;
    if (!tm || aios_model_info_get(a->model, &info))
        return;
    const aios__trace_info t = {.agent = a->name,
                                .conversation = r->id,
                                .provider = strcmp(info.backend, "gguf") ? info.backend : "aios",
                                .model = info.name,
                                .remote = info.privacy != AIOS_PRIVACY_LOCAL,
                                .parent = parent};
    r->trace = aios__trace_begin(tm, &t);
}

void aios__run_clock(aios_run *r, int64_t used_ns)
{
    int64_t at = now(r), left = r->agent->limits.timeout_ns - used_ns;
    r->deadline = left > INT64_MAX - at ? INT64_MAX : at + left;
    if (r->journal)
        r->journal->since = at;
}

/* A new stream of the store, and in it what the run begins with. */
static int begin_journal(aios_run *r, bool late, aios_error *err)
{
    uint64_t head;
    int rc = aios__journal_open(r, &head, err);
    if (!rc && head)
        rc = aios__fail(err, AIOS_EEXIST, "the store has a run \"%s\" already: resume it, or choose another id", r->id);
    if (rc)
        return rc;
    aios__run_clock(r, 0);
    return aios__journal_begin(r, late, err);
}

int aios__run_start(aios_agent *a, aios_run *parent, const aios_run_options *options, aios_run **out, aios_error *err)
{
    aios_run_options o;
    aios_run *r;
    if (!a || !options || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_run_start_with: %s is NULL", !a ? "a" : !out ? "run" : "options");
    *out = NULL;
    int rc = aios__struct_in(&o, sizeof o, options, err);
    if (!rc)
        rc = aios__text_in(o.prompt, o.n_prompt, &o.n_prompt, "the prompt", err);
    if (rc)
        return rc;
    if (o.flags & ~(uint32_t)AIOS_START_LATE)
        return aios__fail(err, AIOS_EVERSION, "aios_run_start_with: flags 0x%x are not known here: update libaios", o.flags);
    if (o.id && !aios__run_id_ok(o.id))
        return aios__fail(err, AIOS_EINVAL, "run id \"%.80s\": it must match [A-Za-z0-9_.:-]{1,64}", o.id);
    rc = aios__run_new(a, parent, &r, err);
    if (rc)
        return rc;
    if (o.id)
        memcpy(r->id, o.id, strlen(o.id) + 1);
    uint32_t before = aios_transcript_count(o.transcript);
    rc = aios__run_rank(r, &o, err);
    rc = rc ? rc : make_transcript(r, o.transcript, o.prompt, o.n_prompt, err);
    if (!rc)
        rc = begin_journal(r, o.flags & AIOS_START_LATE, err);
    if (!rc)
        aios__run_trace(r, o.traceparent);
    if (rc) {
        if (o.transcript)
            aios_transcript_truncate(o.transcript, before, NULL);
        aios__run_destroy(r);
        return rc;
    }
    *out = r;
    return AIOS_OK;
}

int aios_run_start_with(aios_agent *a, const aios_run_options *options, aios_run **out, aios_error *err)
{
    return aios__run_start(a, NULL, options, out, err);
}

int aios_run_start(aios_agent *a, aios_transcript *t, const char *prompt, size_t n, aios_run **out, aios_error *err)
{
    aios_run_options o = AIOS_INIT(aios_run_options);
    if (!a || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_run_start: %s is NULL", a ? "run" : "a");
    o.transcript = t;
    o.prompt = prompt;
    o.n_prompt = n;
    return aios_run_start_with(a, &o, out, err);
}

/* ---- moving on ---------------------------------------------------------------------------------------------------- */

static int64_t real_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t aios__run_deadline(const aios_run *r)
{
    if (r->state == AIOS__RUN_CLOSING)
        return INT64_MAX; /* it is over but for its commit */
    int64_t call = r->state == AIOS__RUN_TOOLS ? aios__tools_deadline(r) : 0, lease = aios__lease_due(r);
    int64_t first = lease < r->deadline ? lease : r->deadline;
    return call && call < first ? call : first;
}

static int32_t ms_left(const aios_run *r)
{
    int64_t left = aios__run_deadline(r) - now(r), ms = left / 1000000 + (left % 1000000 > 0);
    return ms < 0 ? 0 : ms > MAX_WAIT_MS ? MAX_WAIT_MS : (int32_t)ms;
}

/* Waits for a call to end, a model or a deadline; AGAIN if the caller's time is over first. */
static int wait_calls(aios_run *r, int32_t timeout_ms)
{
    struct pollfd p[MAX_POLLS];
    uint32_t n = 1; /* over MAX_POLLS: there are more than stand in p, or some cannot be waited on */
    for (uint32_t i = 0; i < MAX_POLLS; i++)
        p[i].fd = -1;
    uint64_t count;
    if (!aios__sub_polls(r, p, MAX_POLLS, &n))
        return timeout_ms ? AIOS_OK : AIOS_AGAIN;
    int32_t left = ms_left(r);
    if (n > MAX_POLLS && left > UNSEEN_MS)
        left = UNSEEN_MS;
    bool callers = timeout_ms >= 0 && timeout_ms < left;
    int ms = callers ? timeout_ms : left;
    bool made;
    p[0] = (struct pollfd){.fd = aios__hub_fd(r->hub, &made), .events = POLLIN};
    if (p[0].fd < 0 && ms > BLIND_MS) {
        poll(NULL, 0, BLIND_MS);
        return AIOS_OK;
    }
    int got = made ? 1 : poll(p, n < MAX_POLLS ? n : MAX_POLLS, ms);
    if (got < 0 && errno != EINTR) /* more than the process may have open */
        poll(NULL, 0, ms < BLIND_MS ? ms : BLIND_MS);
    bool ready = got > 0;
    if (ready && p[0].revents && read(p[0].fd, &count, sizeof count) < 0)
        ready = n > 1;
    return ready || !callers ? AIOS_OK : AIOS_AGAIN;
}

static int step_tools(aios_run *r, int32_t timeout_ms, aios_error *err)
{
    int rc = aios__tools_step(r, err);
    if (rc != AIOS_AGAIN || r->parent)
        return rc;
    if (timeout_ms < 0 && aios__tools_only_ask(r))
        return AIOS_AGAIN; /* nobody but the caller can end this wait */
    return wait_calls(r, timeout_ms);
}

static int step_model(aios_run *r, int32_t timeout_ms, aios_error *err)
{
    int32_t left = ms_left(r);
    bool callers = timeout_ms >= 0 && timeout_ms <= left;
    int (*step)(aios_run *, int32_t, aios_error *) = r->state == AIOS__RUN_MODEL ? aios__turn_step : aios__summary_step;
    int rc = step(r, callers ? timeout_ms : left, err);
    return rc == AIOS_AGAIN && !callers ? AIOS_OK : rc;
}

/* Its end is on its way to the store: it is neither cancelled nor late any more. */
static int close_run(aios_run *r, int32_t timeout_ms)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios__journal_settle(r, &err);
    if (rc == AIOS_AGAIN)
        return r->parent ? rc : wait_calls(r, timeout_ms);
    if (r->journal->ended)
        aios__run_end(r, r->journal->ended);
    else
        finish_run(r, rc, &err);
    return AIOS_OK;
}

static int start_turn(aios_run *r, int32_t timeout_ms, aios_error *err)
{
    int rc = aios__turn_start(r, err);
    return rc == AIOS_AGAIN && !r->parent ? wait_calls(r, timeout_ms) : rc;
}

/* A piece of work. AIOS_AGAIN: nothing to do within timeout_ms. */
static int advance(aios_run *r, int32_t timeout_ms)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc;
    if (r->state == AIOS__RUN_CLOSING)
        return close_run(r, timeout_ms);
    if (atomic_load(&r->hub->cancel))
        rc = aios__fail(&err, AIOS_ECANCELED, "the run was cancelled");
    else if (now(r) >= r->deadline)
        rc = aios__fail(&err, AIOS_ETIMEDOUT, "the run was not over within %lld ms (limits.timeout_ns; the command: --timeout)",
                        (long long)(r->agent->limits.timeout_ns / 1000000));
    else if ((rc = aios__lease_keep(r, &err)))
        ;
    else if (r->journal && r->journal->failed)
        rc = aios__journal_commit(r, &err); /* somewhere else: tells so */
    else if ((rc = aios__journal_pump(r, &err)) != 0)
        ; /* what was on its way has not arrived */
    else if (r->state == AIOS__RUN_PROMPT)
        rc = start_turn(r, timeout_ms, &err);
    else if (r->state == AIOS__RUN_TOOLS)
        rc = step_tools(r, timeout_ms, &err);
    else
        rc = step_model(r, timeout_ms, &err);
    if (rc < 0)
        fail_run(r, rc, &err);
    else if (rc == AIOS_DONE)
        finish_run(r, aios__journal_end(r, NULL, &err), &err);
    return rc == AIOS_AGAIN ? rc : AIOS_OK;
}

int aios__run_pull(aios_run *r, int32_t timeout_ms, const aios_event **ev)
{
    int64_t until = timeout_ms > 0 ? real_now_ms() + timeout_ms : 0;
    int32_t left = timeout_ms;
    for (;;) {
        *ev = aios__events_pop(&r->events);
        if (*ev)
            return AIOS_OK;
        if (r->state == AIOS__RUN_END)
            return AIOS_DONE;
        if (advance(r, left) == AIOS_AGAIN)
            return AIOS_AGAIN;
        if (timeout_ms > 0) {
            int64_t ms = until - real_now_ms();
            left = ms > 0 ? (int32_t)ms : 0;
        }
    }
}

/* ---- one thread at a time ----------------------------------------------------------------------------------------- */

static bool enter(aios_run *r)
{
    uint32_t idle = 0;
    return atomic_compare_exchange_strong(&r->busy, &idle, 1);
}

void aios__run_halt(aios_run *r)
{
    aios_error why = AIOS_INIT(aios_error);
    bool told = r->state == AIOS__RUN_CLOSING; /* its end is written, or on its way */
    stop_work(r, AIOS_ECANCELED);
    if (r->state == AIOS__RUN_END)
        return;
    bool spent = r->spent && !told;
    if (spent)
        aios__fail(&why, AIOS_ECANCELED, "the run was given up while an agent worked for it");
    if (!spent || aios__journal_end(r, &why, NULL))
        aios__journal_commit(r, NULL); /* receipts of what has ended; the run may be resumed */
}

static void free_now(aios_run *r)
{
    atomic_store(&r->hub->cancel, 1);
    aios__run_halt(r);
    aios__run_destroy(r);
}

/* A tool that freed its own run meant: when this is over. */
static void leave(aios_run *r)
{
    if (r->doomed)
        free_now(r);
    else
        atomic_store(&r->busy, 0);
}

/* ---- the descriptor ----------------------------------------------------------------------------------------------- */

static void drain(int fd)
{
    uint64_t count;
    if (fd >= 0) {
        ssize_t n = read(fd, &count, sizeof count);
        AIOS__UNUSED(n);
    }
}

/* Makes the descriptor readable if there is work, and sets the timer to the next deadline. */
static void arm(aios_run *r)
{
    if (r->fd < 0)
        return;
    bool turn = r->state == AIOS__RUN_PROMPT && !aios__journal_holds(r);
    bool work = turn || (r->state == AIOS__RUN_TOOLS && aios__tools_busy(r)) || aios__journal_is_back(r);
    bool live = r->state < AIOS__RUN_CLOSING;
    if (work || aios__events_ready(&r->events) || (atomic_load(&r->hub->cancel) && live))
        aios__hub_wake(r->hub);
    struct itimerspec ts = {{0, 0}, {0, 0}};
    if (live) {
        int64_t left = aios__run_deadline(r) - now(r), unseen = (int64_t)UNSEEN_MS * 1000000;
        if (left > unseen && aios__sub_unseen(r))
            left = unseen;
        if (left < 1)
            left = 1;
        ts.it_value.tv_sec = (time_t)(left / 1000000000);
        ts.it_value.tv_nsec = (long)(left % 1000000000);
    }
    timerfd_settime(r->timer, 0, &ts, NULL);
}

static int watch(int ep, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};
    return fd < 0 ? -1 : epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

int aios_run_fd(aios_run *r)
{
    if (!r || !enter(r))
        return -1;
    if (r->fd < 0) {
        int ep = epoll_create1(EPOLL_CLOEXEC);
        int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        bool made;
        if (ep < 0 || watch(ep, timer) || watch(ep, aios__hub_fd(r->hub, &made)) || watch(ep, aios_session_fd(r->session))) {
            if (ep >= 0)
                close(ep);
            if (timer >= 0)
                close(timer);
        } else {
            r->fd = ep;
            r->timer = timer;
            r->watched = true;
            aios__sub_watch(r);
            arm(r);
        }
    }
    int fd = r->fd;
    leave(r);
    return fd;
}

/* ---- public ------------------------------------------------------------------------------------------------------- */

int aios_run_next(aios_run *r, int32_t timeout_ms, const aios_event **ev)
{
    if (!r || !ev)
        return AIOS_EINVAL;
    *ev = NULL;
    if (!enter(r))
        return AIOS_EBUSY;
    drain(atomic_load(&r->hub->fd));
    drain(r->timer);
    r->patient = timeout_ms < 0;
    int rc = aios__run_pull(r, timeout_ms, ev);
    if (rc == AIOS_AGAIN)
        aios__events_rest(&r->events);
    if (r->doomed) {
        *ev = NULL;
        rc = AIOS_DONE;
    } else {
        arm(r);
    }
    leave(r);
    return rc;
}

const char *aios__run_denial(int32_t verdict)
{
    return verdict == AIOS_UNASKED ? "nobody could be asked whether this call may be made: it was not made" : "the user denied this call";
}

static int decide_call(aios_run *r, aios__run_call *c, int32_t verdict, aios_error *err)
{
    static const char lost[] = "the program stopped while this call ran: nobody knows whether it happened";
    if (verdict == AIOS_ALLOW && c->gate.ask_until && now(r) >= c->gate.ask_until)
        return aios__fail(err, AIOS_ETIMEDOUT, "the time to allow call \"%.64s\" is over (ask.timeout_ms)", c->call->id);
    if (verdict == AIOS_ALLOW && !c->tool)
        return aios__fail(err, AIOS_ESTATE, "the agent has no tool %.64s any more: deny the call", c->call->name);
    int rc = aios__journal_decision(r, c, verdict, err);
    if (rc)
        return rc;
    if (verdict == AIOS_ALLOW) {
        c->state = AIOS__RC_READY;
        c->unknown = false;
        if (c->gate.stale) /* what is made again passes the policy of today */
            aios__gate_forget(r, c);
        return AIOS_OK;
    }
    return aios__tools_refuse(r, c, c->unknown ? AIOS_EUNKNOWN : AIOS_EDENIED, c->unknown ? lost : aios__run_denial(verdict), err);
}

static int decide(aios_run *r, const char *name, bool is_digest, int32_t verdict, aios_error *err)
{
    if (verdict != AIOS_ALLOW && verdict != AIOS_DENY && verdict != AIOS_UNASKED)
        return aios__fail(err, AIOS_EINVAL, "verdict %d is none of AIOS_ALLOW, AIOS_DENY and AIOS_UNASKED", verdict);
    if (!enter(r))
        return aios__fail(err, AIOS_EBUSY, "another call is inside this run: use it from one thread at a time");
    aios_run *owner;
    aios__run_call *c = aios__run_find_ask(r, name, is_digest, &owner);
    int rc = c ? decide_call(owner, c, verdict, err) : aios__fail(err, AIOS_ENOENT, "no call \"%.64s\" waits for a decision", name);
    arm(r);
    leave(r);
    return rc;
}

int aios_run_decide(aios_run *r, const char *call_id, int32_t verdict, aios_error *err)
{
    if (!r || !call_id)
        return aios__fail(err, AIOS_EINVAL, "aios_run_decide: %s is NULL", r ? "call_id" : "run");
    return decide(r, call_id, false, verdict, err);
}

int aios_run_decide_digest(aios_run *r, const char *digest, int32_t verdict, aios_error *err)
{
    if (!r || !digest)
        return aios__fail(err, AIOS_EINVAL, "aios_run_decide_digest: %s is NULL", r ? "digest" : "run");
    if (!AIOS_HAVE_CRYPTO)
        return aios__fail(err, AIOS_ENOTSUP, "this build has no SHA-256: build it with OpenSSL 3 (-Dcrypto=enabled), or decide by call id");
    if (strlen(digest) != AIOS__SHA256_TEXT - 1)
        return aios__fail(err, AIOS_EINVAL, "a digest has %d hexadecimal digits", AIOS__SHA256_TEXT - 1);
    return decide(r, digest, true, verdict, err);
}

/* Atomics and write(2) alone: a signal handler may call it. */
int aios_run_cancel(aios_run *r)
{
    if (!r)
        return AIOS_EINVAL;
    int saved = errno;
    atomic_store(&r->hub->cancel, 1);
    aios_session_cancel(r->session);
    aios__hub_wake(r->hub);
    errno = saved;
    return AIOS_OK;
}

const char *aios_run_id(const aios_run *r)
{
    return r ? r->id : NULL;
}

const aios_transcript *aios_run_transcript(const aios_run *r)
{
    return r ? r->t : NULL;
}

void aios_run_free(aios_run *r)
{
    if (!r)
        return;
    if (!enter(r)) {
        r->doomed = true;
        aios_run_cancel(r);
        return;
    }
    free_now(r);
}

int aios_agent_run(aios_agent *a, const char *prompt, size_t n, aios_event_fn *fn, void *user, aios_error *err)
{
    aios_run *r;
    const aios_event *ev;
    int rc = aios_run_start(a, NULL, prompt, n, &r, err), result = AIOS_OK;
    if (rc)
        return rc;
    while ((rc = aios_run_next(r, -1, &ev)) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_ERROR)
            result = aios__error_copy(err, ev->error);
        if (fn && fn(user, ev))
            aios_run_cancel(r);
        if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN) {
            rc = aios_run_decide(r, ev->call_id, AIOS_UNASKED, err);
            if (rc)
                break;
        }
    }
    aios_run_free(r);
    return rc < 0 ? rc : result;
}
