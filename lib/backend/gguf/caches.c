/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/gguf/caches.h"

static void unlist(aios__cached *e)
{
    aios__cached_row *r = e->row;
    if (!r)
        return;
    *(e->older ? &e->older->newer : &r->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &r->newest) = e->older;
    e->row = NULL;
}

static void list(aios__caches *c, aios__cached *e)
{
    aios__cached_row *r = &c->idle[e->returns];
    e->row = r;
    e->newer = NULL;
    e->older = r->newest;
    *(r->newest ? &r->newest->newer : &r->oldest) = e;
    r->newest = e;
}

static bool drop(aios__caches *c, bool returns, int64_t below)
{
    aios__cached *e = c->idle[returns].oldest;
    while (e && e->priority >= below)
        e = e->newer;
    if (!e)
        return false;
    unlist(e);
    aios__kv_truncate(e->kv, 0);
    return true;
}

/* Of the store, when somebody wants memory and no block is idle. */
static bool drop_any(void *user)
{
    aios__caches *c = user;
    pthread_mutex_lock(&c->lock);
    bool patient = c->patient && pthread_equal(c->waiter, pthread_self());
    bool dropped = drop(c, false, INT64_MAX) || (!patient && drop(c, true, INT64_MAX));
    pthread_mutex_unlock(&c->lock);
    return dropped;
}

int aios__caches_init(aios__caches *c, aios__kv_store *st, aios_error *err)
{
    if (pthread_mutex_init(&c->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "no lock could be made for the caches of sessions");
    c->has_lock = true;
    aios__kv_store_ask(st, drop_any, c);
    return AIOS_OK;
}

void aios__caches_destroy(aios__caches *c)
{
    if (c->has_lock)
        pthread_mutex_destroy(&c->lock);
}

void aios__caches_take(aios__caches *c, aios__cached *e)
{
    pthread_mutex_lock(&c->lock);
    unlist(e);
    e->users++;
    pthread_mutex_unlock(&c->lock);
}

void aios__caches_put(aios__caches *c, aios__cached *e)
{
    pthread_mutex_lock(&c->lock);
    if (!--e->users && !e->fixed && e->kv->n_blocks)
        list(c, e);
    pthread_mutex_unlock(&c->lock);
}

void aios__caches_remove(aios__caches *c, aios__cached *e)
{
    pthread_mutex_lock(&c->lock);
    unlist(e);
    pthread_mutex_unlock(&c->lock);
}

void aios__caches_retain(aios__caches *c, aios__cached *e, bool returns)
{
    pthread_mutex_lock(&c->lock);
    bool listed = e->row != NULL;
    unlist(e);
    e->returns = returns;
    if (listed)
        list(c, e);
    pthread_mutex_unlock(&c->lock);
}

bool aios__caches_drop(aios__caches *c, int64_t below)
{
    pthread_mutex_lock(&c->lock);
    bool dropped = drop(c, true, below);
    pthread_mutex_unlock(&c->lock);
    return dropped;
}

void aios__caches_patient(aios__caches *c, bool patient)
{
    pthread_mutex_lock(&c->lock);
    c->patient = patient;
    c->waiter = pthread_self();
    pthread_mutex_unlock(&c->lock);
}
