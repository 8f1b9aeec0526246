/* SPDX-License-Identifier: Apache-2.0 */
/* The model's own thread. It exists only once a session asks for a descriptor or AIOS_DRIVER_THREAD. */
#include <signal.h>

#include "llm/session_priv.h"

int aios__driver_init(aios__driver *d, aios_error *err)
{
    memset(d, 0, sizeof *d);
    if (pthread_mutex_init(&d->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    if (pthread_cond_init(&d->work, NULL)) {
        pthread_mutex_destroy(&d->lock);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    }
    if (pthread_cond_init(&d->idle, NULL)) {
        pthread_cond_destroy(&d->work);
        pthread_mutex_destroy(&d->lock);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    }
    return AIOS_OK;
}

static void enqueue(aios__driver *d, aios_session *s)
{
    if (s->queued)
        return;
    s->queued = true;
    s->queue_next = NULL;
    if (d->tail)
        d->tail->queue_next = s;
    else
        d->head = s;
    d->tail = s;
}

static aios_session *dequeue(aios__driver *d)
{
    aios_session *s = d->head;
    d->head = s->queue_next;
    if (!d->head)
        d->tail = NULL;
    s->queued = false;
    return s;
}

static void *drive(void *arg)
{
    aios__driver *d = arg;
    pthread_mutex_lock(&d->lock);
    for (;;) {
        while (!d->head && !d->stop)
            pthread_cond_wait(&d->work, &d->lock);
        if (d->stop)
            break;
        aios_session *s = dequeue(d);
        d->stepping = s;
        pthread_mutex_unlock(&d->lock);
        aios__session_step(s);
        bool again = atomic_load(&s->running) && !aios__session_stall(s);
        pthread_mutex_lock(&d->lock);
        d->stepping = NULL;
        if (again)
            enqueue(d, s);
        pthread_cond_broadcast(&d->idle);
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

void aios__driver_add(aios__driver *d, aios_session *s)
{
    pthread_mutex_lock(&d->lock);
    enqueue(d, s);
    pthread_cond_signal(&d->work);
    pthread_mutex_unlock(&d->lock);
}

static void unlink_session(aios__driver *d, aios_session *s)
{
    aios_session **at = &d->head, *before = NULL;
    while (*at && *at != s) {
        before = *at;
        at = &(*at)->queue_next;
    }
    if (!*at)
        return;
    *at = s->queue_next;
    if (d->tail == s)
        d->tail = before;
    s->queued = false;
}

void aios__driver_remove(aios__driver *d, aios_session *s)
{
    pthread_mutex_lock(&d->lock);
    for (;;) {
        unlink_session(d, s);
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
        pthread_cond_signal(&d->work);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->thread, NULL);
    }
    pthread_cond_destroy(&d->idle);
    pthread_cond_destroy(&d->work);
    pthread_mutex_destroy(&d->lock);
}
