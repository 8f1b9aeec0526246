/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend whose sessions wait for what the test sends them, and park meanwhile: "post:N", where whoever sends tells the session, and "loop:N", where
 * the model's wait does; "shared:N" is as "loop:N", with one loop for all models. A turn is over after N pieces. With `every_ns` pieces come by the clock.
 */
#ifndef AIOS_MAILBOX_H
#define AIOS_MAILBOX_H

#include <aios/plugin/backend.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "llm/llm.h"
#include "test.h"

#define MAX_BOXES 256

typedef struct mailbox {
    struct post_office *office;
    bool told;               /* by send, for the wait to hand on */
    int pending, total; /* pieces */
    _Atomic int got;    /* of this turn */
    int64_t next_ns;
    void (*ready)(void *user);
    void *user;
    _Atomic int n_steps, cancelled;
} mailbox;

typedef struct post_office {
    pthread_mutex_t lock; /* guards the boxes; ready is called under it */
    mailbox *boxes[MAX_BOXES];
    int n_boxes;
    pthread_mutex_t bell;
    pthread_cond_t rings;
    bool rung;
    int64_t every_ns;
    bool cries;           /* each step calls ready before it parks */
    _Atomic int n_waits, n_wakes, wait_fails;
} post_office;

static inline int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void nap_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

typedef struct post_model {
    post_office *office;
    int total;
} post_model;

static inline int post_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)err;
    post_model *m = calloc(1, sizeof *m);
    *m = (post_model){user, atoi(args->path)};
    *model = m;
    return 0;
}

static inline void post_close(void *model)
{
    free(model);
}

static inline int post_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "post";
    out->privacy = AIOS_PRIVACY_LOCAL;
    return 0;
}

static inline int post_session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    post_model *m = model;
    mailbox *b = calloc(1, sizeof *b);
    b->office = m->office;
    b->total = m->total;
    pthread_mutex_lock(&m->office->lock);
    m->office->boxes[m->office->n_boxes++] = b;
    pthread_mutex_unlock(&m->office->lock);
    *session = b;
    return 0;
}

static inline void post_session_free(void *session)
{
    mailbox *b = session;
    post_office *o = b->office;
    pthread_mutex_lock(&o->lock);
    for (int i = 0; i < o->n_boxes; i++)
        if (o->boxes[i] == b)
            o->boxes[i] = NULL;
    pthread_mutex_unlock(&o->lock);
    free(b);
}

static inline int post_start(void *session, const aios_request *req, aios_error *err)
{
    mailbox *b = session;
    (void)req, (void)err;
    b->got = 0;
    b->cancelled = 0;
    b->next_ns = mono_ns() + b->office->every_ns;
    return 0;
}

static inline int take_pieces(mailbox *b, const aios_sink *k)
{
    pthread_mutex_lock(&b->office->lock);
    int n = b->pending;
    b->pending = 0;
    b->ready = AIOS_HAS(k, ready) ? k->ready : NULL;
    b->user = k->user;
    pthread_mutex_unlock(&b->office->lock);
    for (; b->office->every_ns && b->next_ns <= mono_ns(); n++)
        b->next_ns += b->office->every_ns;
    return n;
}

static inline int post_step(void *session, const aios_sink *k, aios_error *err)
{
    (void)err;
    mailbox *b = session;
    int rc = b->cancelled ? AIOS_ECANCELED : 0, n = take_pieces(b, k);
    b->n_steps++;
    for (; !rc && n > 0 && b->got < b->total; n--, b->got++)
        rc = k->text(k->user, "x", 1);
    if (rc || b->got >= b->total)
        return rc ? rc : AIOS_DONE;
    if (!AIOS_HAS(k, ready) || !k->park) {
        nap_ms(1);
        return AIOS_AGAIN;
    }
    if (b->office->cries)
        k->ready(k->user);
    rc = k->park(k->user, b->office->every_ns ? b->next_ns : INT64_MAX);
    return rc ? rc : AIOS_AGAIN;
}

static inline void post_cancel(void *session)
{
    ((mailbox *)session)->cancelled = 1;
}

static inline int loop_wait(void *model, int32_t timeout_ms)
{
    post_office *o = ((post_model *)model)->office;
    int64_t end = mono_ns() + (int64_t)timeout_ms * 1000000;
    struct timespec ts = {.tv_sec = (time_t)(end / 1000000000), .tv_nsec = (long)(end % 1000000000)};
    o->n_waits++;
    if (o->wait_fails)
        return AIOS_EIO;
    pthread_mutex_lock(&o->bell);
    for (int e = 0; !o->rung && !e && timeout_ms;)
        e = pthread_cond_timedwait(&o->rings, &o->bell, &ts);
    o->rung = false;
    pthread_mutex_unlock(&o->bell);
    pthread_mutex_lock(&o->lock);
    for (int i = 0; i < o->n_boxes; i++) {
        mailbox *b = o->boxes[i];
        if (b && b->told && b->ready)
            b->ready(b->user);
        if (b)
            b->told = false;
    }
    pthread_mutex_unlock(&o->lock);
    return 0;
}

static inline void ring(post_office *o)
{
    pthread_mutex_lock(&o->bell);
    o->rung = true;
    pthread_cond_signal(&o->rings);
    pthread_mutex_unlock(&o->bell);
}

static inline void loop_wake(void *model)
{
    post_office *o = ((post_model *)model)->office;
    o->n_wakes++;
    ring(o);
}

/** Any thread; n 0: a superfluous call of ready. */
static inline void post_send(post_office *o, int box, int n)
{
    pthread_mutex_lock(&o->lock);
    mailbox *b = o->boxes[box];
    if (b) {
        b->pending += n;
        if (b->ready)
            b->ready(b->user);
    }
    pthread_mutex_unlock(&o->lock);
}

/** As post_send, for the model's wait to tell. */
static inline void loop_send(post_office *o, int box, int n)
{
    pthread_mutex_lock(&o->lock);
    o->boxes[box]->pending += n;
    o->boxes[box]->told = true;
    pthread_mutex_unlock(&o->lock);
    ring(o);
}

static inline void post_register(aios_ctx *ctx, post_office *o)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    aios_error err = AIOS_INIT(aios_error);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&o->lock, NULL);
    pthread_mutex_init(&o->bell, NULL);
    pthread_cond_init(&o->rings, &attr);
    pthread_condattr_destroy(&attr);
    ops.name = "post";
    ops.open = post_open;
    ops.close = post_close;
    ops.info = post_info;
    ops.session_new = post_session_new;
    ops.session_free = post_session_free;
    ops.start = post_start;
    ops.step = post_step;
    ops.cancel = post_cancel;
    must(aios_backend_register(ctx, &ops, o, &err), &err);
    ops.name = "loop";
    ops.wait = loop_wait;
    ops.wake = loop_wake;
    must(aios_backend_register(ctx, &ops, o, &err), &err);
    ops.name = "shared";
    must(aios__backend_register_loop(ctx, &ops, o, &err), &err);
}

static inline void post_free(post_office *o)
{
    pthread_cond_destroy(&o->rings);
    pthread_mutex_destroy(&o->bell);
    pthread_mutex_destroy(&o->lock);
}

#endif
