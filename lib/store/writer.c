/* SPDX-License-Identifier: Apache-2.0 */
/* Commits of those who must not wait, made by one thread: while it writes, the next ones gather, and they go together. */
#include <signal.h>

#include "store/store_priv.h"

#define MAX_TOGETHER 256u
#define MAX_BYTES ((size_t)32 << 20)

void aios__writer_init(aios__writer *w)
{
    pthread_mutex_init(&w->lock, NULL); /* plain ones cannot fail here */
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->over, NULL);
    w->end = &w->queue;
}

/* ---- what is written together --------------------------------------------------------------------------------------- */

/* The first of those that wait; under the lock. */
static uint32_t take(aios__writer *w, aios__late_commit **batch)
{
    uint32_t n = 0, n_writes = 0;
    size_t n_bytes = 0;
    while (w->queue && n < MAX_TOGETHER) {
        aios__late_commit *c = w->queue;
        if (n && (n_bytes + c->n_bytes > MAX_BYTES || n_writes + c->n > AIOS_STORE_MAX_WRITES))
            break;
        n_bytes += c->n_bytes;
        n_writes += c->n;
        batch[n++] = c;
        w->queue = c->next;
    }
    if (!w->queue)
        w->end = &w->queue;
    return n;
}

static void commit_alone(aios_store *st, aios__late_commit *c)
{
    c->rc = aios_store_commit(st, c->writes, c->n, sizeof *c->writes, NULL, &c->err);
}

/* All in one commit. False: it failed, and each is to be tried by itself. */
static bool commit_joined(aios_store *st, aios__late_commit *const *batch, uint32_t n)
{
    aios__heap *h = aios__ctx_heap(aios__store_ctx(st));
    size_t total = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        total += batch[i]->n;
    aios_store_write *all = aios__realloc_quietly(h, AIOS_MEM_OTHER, NULL, total * sizeof *all);
    if (!all)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(all + at, batch[i]->writes, batch[i]->n * sizeof *all);
        at += batch[i]->n;
    }
    int rc = aios_store_commit(st, all, (uint32_t)total, sizeof *all, NULL, NULL);
    aios__free(h, all);
    if (rc)
        return false;
    aios__store_count_more(st, n - 1);
    return true;
}

static void run_batch(aios_store *st, aios__late_commit *const *batch, uint32_t n)
{
    if (n > 1 && commit_joined(st, batch, n))
        return;
    for (uint32_t i = 0; i < n; i++)
        commit_alone(st, batch[i]);
}

/* ---- the thread ----------------------------------------------------------------------------------------------------- */

/* Its owner can have it back only when the lock is free again, so it and whom it wakes are there still. */
static void finish(aios__writer *w, aios__late_commit *c)
{
    pthread_mutex_lock(&w->lock);
    atomic_store(&c->over, true);
    if (c->tell)
        c->tell(c->user);
    if (w->n_waiting)
        pthread_cond_broadcast(&w->over);
    pthread_mutex_unlock(&w->lock);
}

static uint32_t wait_for_some(aios__writer *w, aios__late_commit **batch)
{
    pthread_mutex_lock(&w->lock);
    while (!w->queue && !w->stop)
        pthread_cond_wait(&w->work, &w->lock);
    uint32_t n = take(w, batch);
    pthread_mutex_unlock(&w->lock);
    return n;
}

static void *work(void *arg)
{
    aios_store *st = arg;
    aios__writer *w = aios__store_writer(st);
    aios__late_commit *batch[MAX_TOGETHER];
    uint32_t n;
    while ((n = wait_for_some(w, batch)) != 0) {
        run_batch(st, batch, n);
        for (uint32_t i = 0; i < n; i++)
            finish(w, batch[i]);
    }
    return NULL;
}

/* Signals belong to the host's threads. */
static bool start(aios_store *st, aios__writer *w)
{
    sigset_t all, old;
    if (w->started)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    w->started = !pthread_create(&w->thread, NULL, work, st);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return w->started;
}

void aios__writer_end(aios__writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
    if (w->started)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->over);
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
}

/* ---- those who hand it something ------------------------------------------------------------------------------------ */

bool aios__store_commit_late(aios_store *st, aios__late_commit *c)
{
    aios__writer *w = aios__store_writer(st);
    c->next = NULL;
    atomic_init(&c->over, false);
    c->n_bytes = 0;
    c->err = (aios_error)AIOS_INIT(aios_error);
    for (uint32_t i = 0; i < c->n; i++)
        c->n_bytes += c->writes[i].n_data;
    pthread_mutex_lock(&w->lock);
    bool ok = start(st, w);
    if (ok) {
        *w->end = c;
        w->end = &c->next;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

void aios__late_wait(aios_store *st, const aios__late_commit *c)
{
    aios__writer *w = aios__store_writer(st);
    pthread_mutex_lock(&w->lock);
    w->n_waiting++;
    while (!atomic_load(&c->over))
        pthread_cond_wait(&w->over, &w->lock);
    w->n_waiting--;
    pthread_mutex_unlock(&w->lock);
}
