/* SPDX-License-Identifier: Apache-2.0 */
/* Claims among the threads of one process: a list by name. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "store/store_priv.h"

typedef struct aios__claim_node {
    int64_t since_us;
    char name[];
} node;

int aios__claims_init(aios__claims *c, aios_ctx *ctx, uint64_t base, aios_error *err)
{
    *c = (aios__claims){.heap = aios__ctx_heap(ctx), .env = aios__ctx_env(ctx), .epoch = base};
    return pthread_mutex_init(&c->lock, NULL) ? aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex") : AIOS_OK;
}

void aios__claims_free(aios__claims *c)
{
    for (size_t i = 0; i < c->n; i++)
        aios__free(c->heap, c->list[i]);
    aios__free(c->heap, c->list);
    pthread_mutex_destroy(&c->lock);
}

/* Place of a name, or where it would stand. */
static size_t place_of(const aios__claims *c, const char *name, bool *found)
{
    size_t lo = 0, hi = c->n;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = strcmp(c->list[mid]->name, name);
        if (!d) {
            *found = true;
            return mid;
        }
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The oldest stream that nobody claims. */
typedef struct search {
    aios__claims *c;
    uint64_t order;
    char name[AIOS_STORE_MAX_NAME + 1]; /* "" so far none */
} search;

static int look_at(void *user, const aios_stream *s)
{
    search *q = user;
    bool taken;
    if (*q->name && s->order >= q->order)
        return AIOS_OK;
    pthread_mutex_lock(&q->c->lock);
    place_of(q->c, s->name, &taken);
    pthread_mutex_unlock(&q->c->lock);
    if (taken)
        return AIOS_OK;
    q->order = s->order;
    memcpy(q->name, s->name, strlen(s->name) + 1);
    return AIOS_OK;
}

static int fail_taken(const char *name, int64_t since_us, aios_error *err)
{
    time_t t = (time_t)(since_us / 1000000);
    struct tm tm;
    char text[32] = "?";
    if (gmtime_r(&t, &tm))
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
    return aios__fail(err, AIOS_EBUSY, "\"%s\" is claimed by this process (%ld) since %s UTC: wait for its release", name, (long)getpid(), text);
}

/* Room for one more, made while no lock is held, since the host may be asked to free something. */
static int make_room(aios__claims *c, aios_error *err)
{
    for (;;) {
        pthread_mutex_lock(&c->lock);
        size_t cap = c->cap, need = c->n + 1;
        pthread_mutex_unlock(&c->lock);
        if (need <= cap)
            return AIOS_OK;
        cap = need + need / 2 + 8;
        node **bigger = aios__alloc_array(c->heap, AIOS_MEM_OTHER, cap, sizeof *bigger, err), **old = bigger;
        if (!bigger)
            return aios__error_code(err, AIOS_ENOMEM);
        pthread_mutex_lock(&c->lock);
        if (cap > c->cap) {
            if (c->n)
                memcpy(bigger, c->list, c->n * sizeof *bigger);
            old = c->list;
            c->list = bigger;
            c->cap = cap;
        }
        pthread_mutex_unlock(&c->lock);
        aios__free(c->heap, old);
    }
}

/* Puts a node in its place. AIOS_AGAIN: somebody else took the room. */
static int insert(aios__claims *c, node *me, uint64_t *epoch, aios_error *err)
{
    bool taken;
    int rc = AIOS_OK;
    int64_t since = 0;
    pthread_mutex_lock(&c->lock);
    size_t at = place_of(c, me->name, &taken);
    if (taken) {
        since = c->list[at]->since_us;
        rc = AIOS_EBUSY;
    } else if (c->n == c->cap) {
        rc = AIOS_AGAIN;
    } else {
        memmove(c->list + at + 1, c->list + at, (c->n - at) * sizeof *c->list);
        c->list[at] = me;
        c->n++;
        *epoch = ++c->epoch;
    }
    pthread_mutex_unlock(&c->lock);
    return rc == AIOS_EBUSY ? fail_taken(me->name, since, err) : rc;
}

int aios__claims_take(aios__claims *c, aios__list_fn *list, void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err)
{
    bool any = args->flags & AIOS_CLAIM_ANY;
    node *me = aios__alloc(c->heap, AIOS_MEM_OTHER, sizeof *me + (any ? AIOS_STORE_MAX_NAME : strlen(args->name)) + 1, err);
    if (!me)
        return aios__error_code(err, AIOS_ENOMEM);
    me->since_us = c->env->wall_us(c->env->user);
    int rc;
    do {
        search q = {.c = c};
        aios_store_list_args below = {sizeof below, args->name, look_at, &q};
        rc = any ? list(self, &below, err) : AIOS_OK;
        const char *name = any ? q.name : args->name;
        if (!rc && !*name)
            rc = aios__fail(err, AIOS_ENOENT, "nothing below \"%s\" is left to claim", args->name);
        if (!rc) {
            memcpy(me->name, name, strlen(name) + 1);
            rc = make_room(c, err);
        }
        rc = rc ? rc : insert(c, me, &out->epoch, err);
    } while (rc == AIOS_AGAIN || (any && rc == AIOS_EBUSY));
    if (rc) {
        aios__free(c->heap, me);
        return rc;
    }
    out->handle = me;
    memcpy(out->name, me->name, strlen(me->name) + 1);
    return AIOS_OK;
}

int aios__claims_renew(void *self, void *handle, aios_error *err)
{
    AIOS__UNUSED(self);
    AIOS__UNUSED(handle);
    AIOS__UNUSED(err);
    return AIOS_OK;
}

void aios__claims_drop(aios__claims *c, void *handle)
{
    node *me = handle;
    bool found;
    pthread_mutex_lock(&c->lock);
    size_t at = place_of(c, me->name, &found);
    if (found && c->list[at] == me)
        memmove(c->list + at, c->list + at + 1, (--c->n - at) * sizeof *c->list);
    pthread_mutex_unlock(&c->lock);
    aios__free(c->heap, me);
}
