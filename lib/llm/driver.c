/* SPDX-License-Identifier: Apache-2.0 */
/* The model's own thread. It exists only once a session asks for a descriptor or AIOS_DRIVER_THREAD. */
#include <signal.h>
#include <time.h>

#include "llm/session_priv.h"

#define REST_NS INT64_C(20000000) /* the longest it rests while sessions are parked: cancels take no lock, and env's clock may be any */
#define SWEEP_NS 1500             /* between two looks through the parked, for each of them: ten times what it takes out of cold memory */

static int init_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr))
        return -1;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int e = pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
    return e;
}

int aios__driver_init(aios__driver *d, const aios_model *m, aios_error *err)
{
    memset(d, 0, sizeof *d);
    d->model = m;
    d->due = INT64_MAX;
    if (pthread_mutex_init(&d->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    if (init_cond(&d->work)) {
        pthread_mutex_destroy(&d->lock);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    }
    if (init_cond(&d->idle)) {
        pthread_cond_destroy(&d->work);
        pthread_mutex_destroy(&d->lock);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    }
    return AIOS_OK;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void drop(aios_session *s)
{
    aios__sessions *r = s->in;
    if (!r)
        return;
    *(s->prev ? &s->prev->next : &r->first) = s->next;
    *(s->next ? &s->next->prev : &r->last) = s->prev;
    r->n--;
    s->in = NULL;
}

static void put(aios__sessions *r, aios_session *s)
{
    if (s->in == r)
        return;
    drop(s);
    s->prev = r->last;
    s->next = NULL;
    *(r->last ? &r->last->next : &r->first) = s;
    r->last = s;
    r->n++;
    s->in = r;
}

/* With the lock held: there is more to step. True if the backend's wait has to be ended, once the lock is not held. */
static bool rouse(aios__driver *d)
{
    bool waits = d->waiting && !pthread_equal(d->thread, pthread_self());
    pthread_cond_signal(&d->work);
    d->waiting = d->waiting && !waits;
    return waits;
}

/* ---- parked sessions ---------------------------------------------------------------------------------------------- */

static int64_t now_ns(const aios__driver *d)
{
    return aios__now_ns(aios__ctx_env(d->model->ctx));
}

static void park(aios__driver *d, aios_session *s)
{
    int64_t due = aios__session_due(s);
    d->due = due < d->due ? due : d->due;
    put(&d->parked, s);
}

/* Env's time of the next look through the parked, if nobody cancels. */
static int64_t next_sweep(const aios__driver *d)
{
    int64_t pause = d->swept + (int64_t)d->parked.n * SWEEP_NS;
    return d->due > pause ? d->due : pause;
}

/* Those whose time has come, or that were cancelled, are to be stepped; all: each is. */
static void sweep(aios__driver *d, bool all)
{
    uint32_t cancels = atomic_load(&d->cancels);
    bool none = d->due == INT64_MAX && cancels == d->cancels_seen;
    if (!d->parked.first || (none && !all))
        return;
    int64_t now = now_ns(d), due = INT64_MAX;
    if (!all && now < next_sweep(d) && (cancels == d->cancels_seen || now < d->swept + (int64_t)d->parked.n * SWEEP_NS))
        return;
    d->cancels_seen = cancels;
    d->swept = now;
    for (aios_session *s = d->parked.first, *next; s; s = next) {
        int64_t at = aios__session_due(s);
        next = s->next;
        if (all || at <= now || atomic_load(&s->cancel))
            put(&d->queue, s);
        else
            due = at < due ? at : due;
    }
    d->due = due;
}

static void sleep_on(aios__driver *d, int64_t ns)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ns += ts.tv_nsec;
    ts.tv_sec += (time_t)(ns / 1000000000);
    ts.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&d->work, &d->lock, &ts);
}

/* Nanoseconds until something is to be done that nobody tells of. */
static int64_t rest_ns(const aios__driver *d)
{
    if (d->queue.first)
        return 0;
    int64_t left = d->due == INT64_MAX ? REST_NS : next_sweep(d) - now_ns(d);
    return left < 0 ? 0 : left < REST_NS ? left : REST_NS;
}

/* Lets the backend find out who has news; with a queue, without waiting. */
static void rest(aios__driver *d)
{
    int64_t ns = rest_ns(d);
    d->waiting = true;
    pthread_mutex_unlock(&d->lock);
    int rc = aios__model_wait(d->model, (int32_t)((ns + 999999) / 1000000));
    pthread_mutex_lock(&d->lock);
    d->waiting = false;
    bool broken = rc < 0 && rc != AIOS_ENOTSUP;
    if (rc < 0 && (broken ? d->broken : ns > 0) && !d->queue.first && !d->stop)
        sleep_on(d, broken ? REST_NS : ns); /* one that goes on failing must not keep a core busy */
    if (broken)
        sweep(d, true);
    d->broken = broken;
    d->n_round = d->queue.n;
}

/* ---- the thread --------------------------------------------------------------------------------------------------- */

static void step(aios__driver *d, aios_session *s)
{
    drop(s);
    s->news = false;
    d->stepping = s;
    d->n_round -= d->n_round > 0;
    pthread_mutex_unlock(&d->lock);
    aios__session_step(s);
    bool again = atomic_load(&s->running) && !aios__session_stall(s);
    pthread_mutex_lock(&d->lock);
    d->stepping = NULL;
    if (again && !s->in) {
        if (s->parks && !s->news && !atomic_load(&s->cancel))
            park(d, s);
        else
            put(&d->queue, s);
    }
    pthread_cond_broadcast(&d->idle);
}

static void *drive(void *arg)
{
    aios__driver *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->stop) {
        sweep(d, false);
        if (d->parked.first && (!d->queue.first || (!d->n_round && aios__model_waits(d->model))))
            rest(d);
        else if (d->queue.first)
            step(d, d->queue.first);
        else
            pthread_cond_wait(&d->work, &d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

int aios__driver_start(aios__driver *d, aios_error *err)
{
    int rc = AIOS_OK;
    pthread_mutex_lock(&d->lock);
    if (!d->started) {
        /* Signals belong to the host's threads. */
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        int e = pthread_create(&d->thread, NULL, drive, d);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (e)
            rc = aios__fail_sys(err, AIOS_ENOMEM, e, "the thread that drives the model could not be started");
        else
            d->started = true;
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static void wake(aios__driver *d, bool waits)
{
    if (waits)
        aios__model_wake(d->model);
}

void aios__driver_add(aios__driver *d, aios_session *s)
{
    pthread_mutex_lock(&d->lock);
    put(&d->queue, s);
    bool waits = rouse(d);
    pthread_mutex_unlock(&d->lock);
    wake(d, waits);
}

void aios__driver_ready(aios__driver *d, aios_session *s)
{
    bool waits = false;
    pthread_mutex_lock(&d->lock);
    s->news = true;
    if (s->in == &d->parked) {
        put(&d->queue, s);
        waits = rouse(d);
    }
    pthread_mutex_unlock(&d->lock);
    wake(d, waits);
}

void aios__driver_remove(aios__driver *d, aios_session *s)
{
    pthread_mutex_lock(&d->lock);
    for (;;) {
        drop(s);
        if (d->stepping != s)
            break;
        pthread_cond_wait(&d->idle, &d->lock);
    }
    pthread_mutex_unlock(&d->lock);
}

void aios__driver_destroy(aios__driver *d)
{
    if (d->started) {
        pthread_mutex_lock(&d->lock);
        d->stop = true;
        bool waits = rouse(d);
        pthread_mutex_unlock(&d->lock);
        wake(d, waits);
        pthread_join(d->thread, NULL);
    }
    pthread_cond_destroy(&d->idle);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->lock);
}
