/* SPDX-License-Identifier: Apache-2.0 */
/* A session: one turn at a time, driven by its caller or by the model's thread, read through the one queue. */
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "llm/session_priv.h"

#define MAX_REPLY ((size_t)64 << 20)
#define CANCEL_STEPS 8
#define STALL_EVENTS 512u
#define STALL_BYTES ((size_t)4 << 20)

/* ---- one call at a time ------------------------------------------------------------------------------------------- */

static int enter(aios_session *s, aios_error *err)
{
    uint32_t idle = 0;
    if (!atomic_compare_exchange_strong(&s->busy, &idle, 1))
        return aios__fail(err, AIOS_EBUSY, "another call is inside this session: use it from one thread at a time");
    return AIOS_OK;
}

static int leave(aios_session *s, int rc)
{
    atomic_store(&s->busy, 0);
    return rc;
}

/* As enter, for what must not happen while a turn runs. */
static int enter_idle(aios_session *s, aios_error *err)
{
    int rc = enter(s, err);
    if (!rc && atomic_load(&s->running))
        return leave(s, aios__fail(err, AIOS_EBUSY, "a turn is running: read its events to the end, or cancel it and read them"));
    return rc;
}

static int no_slot(const aios_session *s, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_ENOTSUP, "the backend %s cannot %s", s->ops->name, what);
}

/* ---- events up ---------------------------------------------------------------------------------------------------- */

void aios__session_wake_fd(aios_session *s)
{
    int fd = atomic_load(&s->fd);
    uint64_t one = 1;
    if (fd >= 0) {
        ssize_t r = write(fd, &one, sizeof one);
        AIOS__UNUSED(r); /* a full counter is readable already */
        atomic_store(&s->fd_up, true); /* only now: who drains in between must look again */
    }
}

static void drain_fd(aios_session *s)
{
    uint64_t count;
    if (atomic_exchange(&s->fd_up, false)) {
        ssize_t r = read(atomic_load(&s->fd), &count, sizeof count);
        AIOS__UNUSED(r);
    }
}

/* Ends the turn. Needs no memory. */
static void finish(aios_session *s, const aios_error *failure)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = failure ? AIOS_EVENT_ERROR : AIOS_EVENT_DONE;
    ev.error = failure;
    ev.attempt = s->attempt;
    ev.text = s->text.p ? s->text.p : "";
    ev.n_text = s->text.n;
    ev.name = failure ? aios_code_name(failure->code) : s->reason;
    pthread_mutex_lock(&s->lock);
    aios__events_finish(&s->events, &ev);
    atomic_store(&s->running, 0);
    aios__session_wake_fd(s);
    pthread_cond_broadcast(&s->ready);
    pthread_mutex_unlock(&s->lock);
}

/* ---- steps -------------------------------------------------------------------------------------------------------- */

static int step_once(aios_session *s, bool may_park, aios_error *err)
{
    aios_sink sink = AIOS_INIT(aios_sink);
    aios__session_sink(s, may_park, &sink);
    return s->ops->step(s->self, &sink, err);
}

/* Lets the backend end a turn that the wrapper gives up. */
static void stop_backend(aios_session *s)
{
    aios_error ignored = AIOS_INIT(aios_error);
    if (!s->ops->cancel)
        return;
    s->ops->cancel(s->self);
    if (!s->sink_failed)
        s->sink_failed = AIOS_ECANCELED; /* nothing more goes up */
    for (int i = 0; i < CANCEL_STEPS && step_once(s, false, &ignored) == AIOS_AGAIN; i++)
        ;
}

static void fail_turn(aios_session *s, int code, aios_error *err)
{
    if (s->events.last_error.code == code) {
        aios__error_copy(err, &s->events.last_error);
    } else if (err->code != code) {
        const char *why = code == AIOS_EPROTO ? "the backend %s sent text that is not valid UTF-8 or misused its sink" : "the turn of backend %s failed";
        aios__fail(err, code, why, s->ops->name);
    }
    finish(s, err);
}

static int start_backend(aios_session *s, const aios_request *q, aios_error *err)
{
    int rc = s->ops->start(s->self, q, err);
    return rc > 0 ? aios__fail(err, AIOS_EINTERNAL, "backend %s: start gave %d", s->ops->name, rc) : rc;
}

/* The backend has ended a turn: AIOS_DONE if its reply is what was promised, AIOS_AGAIN if another attempt has begun. */
static int settle(aios_session *s, aios_error *err)
{
    aios__settled is;
    if (!s->promise || s->n_calls || !strcmp(s->reason, "length"))
        return AIOS_DONE;
    int rc = aios__promise_settle(s->promise, s->ops->name, &s->text, &is, err);
    if (rc || is.stands)
        return rc ? rc : AIOS_DONE;
    aios__session_restart(s);
    if (is.req)
        rc = start_backend(s, is.req, err);
    else
        rc = aios__session_text(s, is.json, is.n_json);
    return rc ? rc : is.req ? AIOS_AGAIN : AIOS_DONE;
}

void aios__session_step(aios_session *s)
{
    aios_error err = AIOS_INIT(aios_error);
    s->parks = false;
    if (atomic_load(&s->cancel)) {
        stop_backend(s);
        aios__fail(&err, AIOS_ECANCELED, "the turn was cancelled");
        finish(s, &err);
        return;
    }
    if (s->deadline && aios__now_ns(aios__ctx_env(s->model->ctx)) >= s->deadline) {
        stop_backend(s);
        aios__fail(&err, AIOS_ETIMEDOUT, "the turn was not over within its timeout_ns");
        finish(s, &err);
        return;
    }
    int rc = step_once(s, s->threaded || s->may_park, &err);
    s->parks = s->parks && rc == AIOS_AGAIN;
    if (rc >= 0 && s->sink_failed) {
        rc = s->sink_failed;
        stop_backend(s);
    }
    if (rc == AIOS_DONE)
        rc = settle(s, &err);
    if (rc < 0 && atomic_load(&s->cancel)) {
        rc = AIOS_ECANCELED;
        aios__fail(&err, rc, "the turn was cancelled");
    }
    if (rc < 0)
        fail_turn(s, rc, &err);
    else if (rc == AIOS_DONE)
        finish(s, NULL);
}

int64_t aios__session_due(const aios_session *s)
{
    return s->deadline && s->deadline < s->park_until ? s->deadline : s->park_until;
}

void aios__session_follow(aios_session *inner, const aios_sink *outer)
{
    inner->may_park = aios__sink_parks(outer);
    if (inner->on_ready || !inner->may_park)
        return;
    inner->on_ready_user = outer->user;
    inner->on_ready = outer->ready;
}

bool aios__session_parked(const aios_session *inner, int64_t *until_ns)
{
    *until_ns = aios__session_due(inner);
    return inner->parks;
}

bool aios__session_stall(aios_session *s)
{
    pthread_mutex_lock(&s->lock);
    s->stalled = s->events.n >= STALL_EVENTS || s->events.n_bytes >= STALL_BYTES;
    bool stalled = s->stalled;
    pthread_mutex_unlock(&s->lock);
    return stalled;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static int init_sync(aios_session *s, aios_error *err)
{
    pthread_condattr_t attr;
    if (pthread_mutex_init(&s->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    int e = pthread_condattr_init(&attr);
    if (!e) {
        e = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        if (!e)
            e = pthread_cond_init(&s->ready, &attr);
        pthread_condattr_destroy(&attr);
    }
    if (e) {
        pthread_mutex_destroy(&s->lock);
        return aios__fail_sys(err, AIOS_ENOMEM, e, "the system has no room for another condition variable");
    }
    return AIOS_OK;
}

/* A session without a backend side. */
static int shell_new(aios_model *m, bool threaded, aios_session **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(m->ctx);
    aios_session *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    int rc = init_sync(s, err);
    if (rc) {
        aios__free(h, s);
        return rc;
    }
    s->heap = h;
    s->ops = m->ops;
    s->threaded = threaded;
    s->next_call = 1;
    atomic_init(&s->fd, -1);
    aios__events_init(&s->events, h);
    aios__buf_init(&s->text, h, AIOS_MEM_TEXT, MAX_REPLY);
    s->model = aios__model_ref(m);
    *out = s;
    return AIOS_OK;
}

static void shell_free(aios_session *s)
{
    aios_model *m = s->model, *draft = s->draft;
    aios__events_clear(&s->events);
    aios__promise_free(s->promise);
    aios__buf_free(&s->text);
    if (atomic_load(&s->fd) >= 0)
        close(atomic_load(&s->fd));
    pthread_cond_destroy(&s->ready);
    pthread_mutex_destroy(&s->lock);
    aios__free(s->heap, s);
    aios_model_close(draft);
    aios_model_close(m);
}

int aios_session_new(aios_model *m, const aios_session_config *src, aios_session **out, aios_error *err)
{
    aios_session_config cfg;
    if (!m || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_session_new: %s is NULL", m ? "s" : "m");
    *out = NULL;
    int rc = aios__struct_in(&cfg, sizeof cfg, src, err);
    if (!rc && cfg.driver > AIOS_DRIVER_THREAD)
        rc = aios__fail(err, AIOS_EINVAL, "driver %u is none of AIOS_DRIVER_x", cfg.driver);
    if (!rc && cfg.speculation > AIOS_SPECULATION_OFF)
        rc = aios__fail(err, AIOS_EINVAL, "speculation %u is none of AIOS_SPECULATION_x", cfg.speculation);
    aios_session *s;
    if (!rc)
        rc = shell_new(m, cfg.driver == AIOS_DRIVER_THREAD, &s, err);
    if (rc)
        return rc;
    s->draft = cfg.draft ? aios__model_ref(cfg.draft) : NULL;
    rc = m->ops->session_new(m->self, &cfg, &s->self, err);
    if (rc) {
        shell_free(s);
        return rc;
    }
    *out = s;
    return AIOS_OK;
}

void aios_session_free(aios_session *s)
{
    if (!s)
        return;
    if (s->threaded && s->model->driver.started) {
        aios_session_cancel(s);
        aios__driver_remove(&s->model->driver, s);
    }
    s->ops->session_free(s->self);
    shell_free(s);
}

int aios_session_fork(aios_session *s, aios_session **out, aios_error *err)
{
    if (!s || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_session_fork: %s is NULL", s ? "out" : "s");
    *out = NULL;
    if (!s->ops->fork)
        return no_slot(s, "fork a session", err);
    int rc = enter_idle(s, err);
    if (rc)
        return rc;
    aios_session *f;
    rc = shell_new(s->model, s->threaded, &f, err);
    if (rc)
        return leave(s, rc);
    f->next_call = s->next_call;
    f->draft = s->draft ? aios__model_ref(s->draft) : NULL;
    rc = s->ops->fork(s->self, &f->self, err);
    if (rc)
        shell_free(f);
    else
        *out = f;
    return leave(s, rc);
}

typedef int file_fn(void *session, const char *path, aios_error *err);

static int with_file(aios_session *s, file_fn *fn, const char *what, const char *path, aios_error *err)
{
    if (!fn)
        return no_slot(s, what, err);
    int rc = enter_idle(s, err);
    return rc ? rc : leave(s, fn(s->self, path, err));
}

int aios_session_save(aios_session *s, const char *path, aios_error *err)
{
    if (!s || !path || !*path)
        return aios__fail(err, AIOS_EINVAL, "aios_session_save: %s", !s ? "s is NULL" : !path ? "path is NULL" : "the path is empty");
    return with_file(s, s->ops->save, "save a session", path, err);
}

int aios_session_load(aios_session *s, const char *path, aios_error *err)
{
    if (!s || !path || !*path)
        return aios__fail(err, AIOS_EINVAL, "aios_session_load: %s", !s ? "s is NULL" : !path ? "path is NULL" : "the path is empty");
    return with_file(s, s->ops->load, "load a session", path, err);
}

int aios_session_retain(aios_session *s, int32_t retain, aios_error *err)
{
    if (!s || retain < 0 || retain > 1)
        return aios__fail(err, AIOS_EINVAL, "aios_session_retain: %s", s ? "retain is neither 0 nor 1" : "s is NULL");
    int rc = enter_idle(s, err);
    if (!rc && s->ops->retain)
        s->ops->retain(s->self, retain);
    return rc ? rc : leave(s, rc);
}

/* ---- before a turn ------------------------------------------------------------------------------------------------ */

int aios_session_prewarm(aios_session *s, const aios_request *prefix, aios_error *err)
{
    aios__request r;
    if (!s)
        return aios__fail(err, AIOS_EINVAL, "aios_session_prewarm: s is NULL");
    int rc = aios__request_in(s->model->ctx, prefix, &r, err);
    if (rc)
        return rc;
    rc = enter_idle(s, err);
    if (!rc)
        rc = leave(s, s->ops->prewarm ? s->ops->prewarm(s->self, &r.req, err) : AIOS_OK);
    aios__request_free(&r);
    return rc;
}

int aios_session_count(aios_session *s, const aios_request *req, uint32_t *n_tokens, aios_error *err)
{
    aios__request r;
    if (!s || !n_tokens)
        return aios__fail(err, AIOS_EINVAL, "aios_session_count: %s is NULL", s ? "n_tokens" : "s");
    *n_tokens = 0;
    if (!s->ops->count)
        return no_slot(s, "count tokens", err);
    int rc = aios__request_in(s->model->ctx, req, &r, err);
    if (rc)
        return rc;
    rc = enter_idle(s, err);
    if (!rc)
        rc = leave(s, s->ops->count(s->self, &r.req, n_tokens, err));
    aios__request_free(&r);
    return rc;
}

static int begin(aios_session *s, aios__request *r, aios_error *err)
{
    const aios_request *q = &r->req;
    if (s->threaded) {
        int rc = aios__driver_start(&s->model->driver, err);
        if (rc)
            return rc;
    }
    pthread_mutex_lock(&s->lock);
    aios__events_clear(&s->events);
    drain_fd(s);
    s->stalled = false;
    pthread_mutex_unlock(&s->lock);
    aios__buf_clear(&s->text);
    memcpy(s->reason, "stop", 5);
    s->sink_failed = 0;
    s->events.last_error = (aios_error)AIOS_INIT(aios_error);
    s->n_calls = 0;
    s->attempt = 0;
    aios__promise_free(s->promise);
    s->promise = NULL;
    int rc = r->schema && !(s->model->can & AIOS_MODEL_CAN_SCHEMA) ? aios__promise_new(s->heap, r, &s->promise, err) : AIOS_OK;
    s->one_call = q->flags & AIOS_REQUEST_ONE_CALL;
    s->deltas = q->flags & AIOS_REQUEST_CALL_DELTAS;
    s->logprobs = q->flags & AIOS_REQUEST_LOGPROBS;
    s->open_call = false;
    if (!rc && q->flags & AIOS_REQUEST_SNAPSHOTS)
        rc = aios__events_snapshots(&s->events, s->model->ctx, q->schema_json || q->grammar, s->deltas, err);
    if (rc)
        return rc;
    uint64_t last = aios__transcript_last_call(r->whole);
    if (last >= s->next_call)
        s->next_call = last + 1; /* ids made here stay unique within a conversation */
    atomic_store(&s->cancel, 0);
    rc = start_backend(s, q, err);
    if (rc)
        return rc;
    int64_t now = aios__now_ns(aios__ctx_env(s->model->ctx));
    s->deadline = !q->timeout_ns ? 0 : q->timeout_ns > INT64_MAX - now ? INT64_MAX : now + q->timeout_ns;
    atomic_store(&s->running, 1);
    if (s->threaded)
        aios__driver_add(&s->model->driver, s);
    return AIOS_OK;
}

void aios__session_renumber(aios_session *s)
{
    s->next_call = 1;
}

static int start(aios_session *s, aios__request *r, aios_error *err)
{
    int rc = aios__request_suits(&r->req, s->model->can, s->ops->name, err);
    rc = rc ? rc : enter_idle(s, err);
    if (!rc)
        rc = leave(s, begin(s, r, err));
    aios__request_free(r);
    return rc;
}

bool aios__session_threaded(const aios_session *s)
{
    return s->threaded;
}

int aios_session_start(aios_session *s, const aios_request *req, aios_error *err)
{
    aios__request r;
    if (!s)
        return aios__fail(err, AIOS_EINVAL, "aios_session_start: s is NULL");
    int rc = aios__request_in(s->model->ctx, req, &r, err);
    return rc ? rc : start(s, &r, err);
}

int aios__session_start_again(aios_session *s, const aios_request *req, aios_error *err)
{
    aios__request r;
    int rc = aios__request_in_again(s->model->ctx, req, &r, err);
    return rc ? rc : start(s, &r, err);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static int64_t real_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* With the lock held: waits for the driver until `until` (-1: for ever). False when the time is over. */
static bool wait_ready(aios_session *s, int64_t until)
{
    if (until < 0)
        return !pthread_cond_wait(&s->ready, &s->lock);
    struct timespec ts = {.tv_sec = (time_t)(until / 1000000000), .tv_nsec = (long)(until % 1000000000)};
    return pthread_cond_timedwait(&s->ready, &s->lock, &ts) != ETIMEDOUT;
}

/* Takes an event under the lock; tells whether the driver may go on. */
static const aios_event *take(aios_session *s, bool *resume)
{
    const aios_event *ev = aios__events_pop(&s->events);
    if (!ev || ev == &s->events.last) /* else the event need not wait for it: the reader comes again */
        drain_fd(s);
    *resume = s->stalled && s->events.n < STALL_EVENTS / 2 && s->events.n_bytes < STALL_BYTES / 2;
    if (*resume)
        s->stalled = false;
    return ev;
}

static int next_threaded(aios_session *s, int32_t timeout_ms, const aios_event **ev)
{
    int64_t until = timeout_ms < 0 ? -1 : real_now() + (int64_t)timeout_ms * 1000000;
    bool resume = false, in_time = true;
    pthread_mutex_lock(&s->lock);
    while (!(*ev = take(s, &resume)) && atomic_load(&s->running) && in_time) {
        if (resume)
            break;
        in_time = timeout_ms && wait_ready(s, until);
    }
    bool running = atomic_load(&s->running); /* under the lock: what ends the turn may follow at once */
    pthread_mutex_unlock(&s->lock);
    if (resume)
        aios__driver_add(&s->model->driver, s);
    if (*ev)
        return AIOS_OK;
    return running ? AIOS_AGAIN : AIOS_DONE;
}

static int next_driving(aios_session *s, int32_t timeout_ms, const aios_event **ev)
{
    int64_t until = timeout_ms <= 0 ? 0 : real_now() + (int64_t)timeout_ms * 1000000;
    bool resume;
    for (bool stepped = false;; stepped = true) {
        pthread_mutex_lock(&s->lock);
        *ev = take(s, &resume);
        pthread_mutex_unlock(&s->lock);
        if (*ev)
            return AIOS_OK;
        if (!atomic_load(&s->running))
            return AIOS_DONE;
        if (stepped && timeout_ms >= 0 && real_now() >= until)
            return AIOS_AGAIN;
        aios__session_step(s);
    }
}

int aios_session_next(aios_session *s, int32_t timeout_ms, const aios_event **ev)
{
    if (!s || !ev)
        return AIOS_EINVAL;
    *ev = NULL;
    int rc = enter(s, NULL);
    if (rc)
        return rc;
    return leave(s, s->threaded ? next_threaded(s, timeout_ms, ev) : next_driving(s, timeout_ms, ev));
}

int aios_session_fd(aios_session *s)
{
    if (!s || enter(s, NULL))
        return -1;
    int fd = atomic_load(&s->fd);
    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (fd >= 0 && aios__driver_start(&s->model->driver, NULL)) {
            close(fd);
            fd = -1;
        }
        if (fd >= 0) {
            atomic_store(&s->fd, fd);
            pthread_mutex_lock(&s->lock);
            if (aios__events_ready(&s->events))
                aios__session_wake_fd(s);
            pthread_mutex_unlock(&s->lock);
            bool take_over = !s->threaded && atomic_load(&s->running);
            s->threaded = true;
            if (take_over)
                aios__driver_add(&s->model->driver, s);
        }
    }
    leave(s, 0);
    return fd;
}

/* Atomics and write(2) alone: a signal handler may call it. */
int aios_session_cancel(aios_session *s)
{
    if (!s)
        return AIOS_EINVAL;
    int saved = errno;
    atomic_store(&s->cancel, 1);
    atomic_fetch_add(&s->model->driver.cancels, 1);
    if (s->ops->cancel && (atomic_load(&s->running) || atomic_load(&s->busy)))
        s->ops->cancel(s->self);
    aios__session_wake_fd(s);
    errno = saved;
    return AIOS_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

int aios_session_eval(aios_session *s, const int32_t *ids, uint32_t n_ids, float *logits, uint32_t n_rows, aios_error *err)
{
    if (!s || (!ids && n_ids) || (!logits && n_rows))
        return aios__fail(err, AIOS_EINVAL, "aios_session_eval: %s is NULL", !s ? "s" : !ids && n_ids ? "ids" : "logits");
    if (n_rows > n_ids)
        return aios__fail_need(err, AIOS_EINVAL, n_ids, n_rows, "%u rows of logits were asked for but only %u tokens given", n_rows, n_ids);
    if (!s->ops->eval)
        return no_slot(s, "evaluate tokens", err);
    int rc = enter_idle(s, err);
    return rc ? rc : leave(s, s->ops->eval(s->self, ids, n_ids, logits, n_rows, err));
}

static int batch_enter(aios_session *const *sessions, uint32_t n, void **selves, aios_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        int rc = !sessions[i] || sessions[i]->model != sessions[0]->model
                     ? aios__fail(err, AIOS_EINVAL, "sessions[%u] is NULL or of another model", i)
                     : enter_idle(sessions[i], err); /* a session given twice is busy the second time */
        if (rc) {
            while (i-- > 0)
                leave(sessions[i], 0);
            return rc;
        }
        selves[i] = sessions[i]->self;
    }
    return AIOS_OK;
}

int aios_session_eval_batch(aios_session *const *sessions, const int32_t *ids, uint32_t n, float *logits, aios_error *err)
{
    if (!sessions || !ids || !n || !sessions[0])
        return aios__fail(err, AIOS_EINVAL, "aios_session_eval_batch: %s", !n ? "n is 0" : "an argument is NULL");
    if (!sessions[0]->ops->eval_batch)
        return no_slot(sessions[0], "evaluate tokens", err);
    const aios_session *first = sessions[0];
    void **selves = aios__alloc_array(first->heap, AIOS_MEM_OTHER, n, sizeof *selves, err);
    if (!selves)
        return aios__nomem(err);
    int rc = batch_enter(sessions, n, selves, err);
    if (!rc) {
        rc = first->ops->eval_batch(selves, ids, n, logits, err);
        for (uint32_t i = 0; i < n; i++)
            leave(sessions[i], 0);
    }
    aios__free(first->heap, selves);
    return rc;
}
