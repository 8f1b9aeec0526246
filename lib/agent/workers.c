/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads for tools that may run on any. None exists before such a tool is called. */
#include <signal.h>

#include "agent/agent_priv.h"

int aios__workers_init(aios__workers *w, aios_error *err)
{
    memset(w, 0, sizeof *w);
    if (pthread_mutex_init(&w->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    if (pthread_cond_init(&w->work, NULL)) {
        pthread_mutex_destroy(&w->lock);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    }
    return AIOS_OK;
}

static void *work(void *arg)
{
    aios__workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        w->n_idle++;
        while (!w->head && !w->stop)
            pthread_cond_wait(&w->work, &w->lock);
        w->n_idle--;
        if (!w->head)
            break; /* stop; what is queued is still given its end */
        aios_call *c = w->head;
        w->head = c->next;
        if (!w->head)
            w->tail = NULL;
        w->n_queued--;
        pthread_mutex_unlock(&w->lock);
        aios__call_invoke(c);
        aios__call_unref(c);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals belong to the host's threads. */
static void add_thread(aios__workers *w)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (!pthread_create(&w->threads[w->n_threads], NULL, work, w))
        w->n_threads++;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

bool aios__workers_submit(aios__workers *w, aios_call *c)
{
    pthread_mutex_lock(&w->lock);
    if (w->n_queued >= w->n_idle && w->n_threads < AIOS__MAX_WORKERS)
        add_thread(w);
    bool ok = w->n_threads > 0;
    if (ok) {
        aios__call_ref(c);
        c->next = NULL;
        if (w->tail)
            w->tail->next = c;
        else
            w->head = c;
        w->tail = c;
        w->n_queued++;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

void aios__workers_destroy(aios__workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    for (uint32_t i = 0; i < w->n_threads; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
}
