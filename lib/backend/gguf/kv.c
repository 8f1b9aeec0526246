/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of one session: blocks taken as they are needed, shared with forks and with other sessions until written. */
#include "backend/gguf/net.h"

int aios__kv_new(aios__net *net, uint32_t n_ctx, aios__kv **out, aios_error *err)
{
    aios__kv *kv = aios__alloc(net->heap, AIOS_MEM_KV, sizeof *kv, err);
    if (!kv)
        return aios__no_memory(err);
    kv->net = net;
    kv->n_ctx = n_ctx;
    *out = kv;
    return AIOS_OK;
}

void aios__kv_free(aios__kv *kv)
{
    if (!kv)
        return;
    aios__kv_settle(kv);
    aios__kv_truncate(kv, 0);
    aios__free(kv->net->heap, kv->blocks);
    aios__free(kv->net->heap, kv);
}

static uint32_t blocks_of(uint32_t n)
{
    return n / AIOS__KV_PAGE + (n % AIOS__KV_PAGE > 0);
}

/* Makes the list of blocks long enough for n positions. */
static int grow_to(aios__kv *kv, uint32_t n, aios_error *err)
{
    uint32_t need = blocks_of(n), want = kv->cap < 16 ? 16 : kv->cap + kv->cap / 2;
    if (need <= kv->cap)
        return AIOS_OK;
    want = want < need ? need : want;
    aios__kv_block **p = aios__realloc(kv->net->heap, AIOS_MEM_KV, kv->blocks, want * sizeof(aios__kv_block *), err);
    if (!p)
        return aios__no_memory(err);
    kv->blocks = p;
    kv->cap = want;
    return AIOS_OK;
}

/* ---- under the lock of the store ---------------------------------------------------------------------------------- */

uint32_t aios__kv_first_seen(const aios__kv_store *st, uint32_t n)
{
    return st->window && n + 1 > st->window ? (n + 1 - st->window) / AIOS__KV_PAGE : 0;
}

void aios__kv_hold_windows(aios__kv *kv, uint32_t first)
{
    aios__kv_store *st = &kv->net->kv;
    for (uint32_t i = kv->first; i < first && i < kv->n_blocks; i++)
        aios__kv_drop(st, kv->blocks[i], AIOS__KV_WINDOW);
    for (uint32_t i = first; i < kv->first && i < kv->n_blocks; i++)
        aios__kv_hold(st, kv->blocks[i], AIOS__KV_WINDOW);
    kv->first = first;
}

/* Lets go of the blocks behind n, the last one first. */
static void cut(aios__kv *kv, uint32_t n)
{
    aios__kv_store *st = &kv->net->kv;
    while (kv->n_blocks > blocks_of(n)) {
        aios__kv_block *b = kv->blocks[--kv->n_blocks];
        if (kv->n_blocks >= kv->first)
            aios__kv_drop(st, b, AIOS__KV_WINDOW);
        aios__kv_drop(st, b, AIOS__KV_GLOBAL);
    }
    kv->n = n < kv->n ? n : kv->n;
    kv->settled = kv->settled < kv->n ? kv->settled : kv->n;
    kv->first = kv->first < kv->n_blocks ? kv->first : kv->n_blocks;
    kv->unshared = kv->unshared && kv->n;
}

static void settle(aios__kv *kv)
{
    if (kv->unshared)
        return;
    for (uint32_t i = kv->settled / AIOS__KV_PAGE; kv->settled < kv->n; i++) {
        uint32_t at = i * AIOS__KV_PAGE, n = kv->n - at < AIOS__KV_PAGE ? kv->n - at : AIOS__KV_PAGE;
        if (kv->blocks[i]->n_ids < n) /* else it is shared, and has them */
            kv->blocks[i] = aios__kv_list(&kv->net->kv, kv->blocks[i], i ? kv->blocks[i - 1]->serial : 0, n);
        kv->settled = at + n;
    }
}

/* ---- longest known beginning -------------------------------------------------------------------------------------- */

typedef struct plan {
    uint32_t n;            /* positions to have */
    uint32_t first;        /* block from which on window parts are held */
    uint32_t own;          /* of them from the cache itself */
    aios__kv_block *copy;  /* begins with those behind the last whole block; NULL: they are the cache's own, or none */
} plan;

/* A whole block behind `parent` of the ids from `at` on, of n. */
static aios__kv_block *find_whole(const aios__kv *kv, uint64_t parent, const int32_t *ids, uint32_t at, uint32_t n)
{
    uint32_t same;
    aios__kv_block *b = n - at < AIOS__KV_PAGE ? NULL : aios__kv_find(&kv->net->kv, parent, ids + at, AIOS__KV_PAGE, &same);
    return b && same == AIOS__KV_PAGE ? b : NULL;
}

/* What the next token sees, and a page to step back if it is there. */
static uint32_t first_held(const aios__kv_store *st, uint32_t n, uint32_t ready)
{
    uint32_t first = aios__kv_first_seen(st, n < AIOS__KV_PAGE ? 0 : n - AIOS__KV_PAGE);
    return first > ready ? first : ready;
}

/*
 * Looks for the longest beginning of ids, at most n: `same` positions are the cache's own, then come blocks of the store. Only those
 * count whose window parts are all there that the next token sees. With same = n and no copy the ids are not read.
 */
static plan find_beginning(const aios__kv *kv, const int32_t *ids, uint32_t n, uint32_t same, bool may_copy)
{
    const aios__kv_store *st = &kv->net->kv;
    plan p = {0};
    uint64_t parent = 0;
    uint32_t i = 0, at = 0, ready = 0, k = 0; /* window parts are there from block `ready` on */
    for (aios__kv_block *b;; i++) {
        at = i * AIOS__KV_PAGE;
        b = i < same / AIOS__KV_PAGE ? kv->blocks[i] : find_whole(kv, parent, ids, at, n);
        if (!b)
            break;
        ready = aios__kv_has_window(st, b) ? ready : i + 1;
        if (aios__kv_first_seen(st, at + AIOS__KV_PAGE) >= ready)
            p = (plan){.n = at + AIOS__KV_PAGE, .first = first_held(st, at + AIOS__KV_PAGE, ready)};
        parent = b->serial;
    }
    p.own = p.n < same ? p.n : same / AIOS__KV_PAGE * AIOS__KV_PAGE;
    uint32_t mine = i == same / AIOS__KV_PAGE ? same % AIOS__KV_PAGE : 0;
    mine = mine && aios__kv_has_window(st, kv->blocks[i]) ? mine : 0;
    aios__kv_block *b = may_copy ? aios__kv_find(st, parent, ids + at, n - at, &k) : NULL;
    b = k > mine ? b : NULL;
    k = b ? k : mine;
    if (k && aios__kv_first_seen(st, at + k) >= ready)
        p = (plan){.n = at + k, .first = first_held(st, at + k, ready), .own = b ? same / AIOS__KV_PAGE * AIOS__KV_PAGE : same, .copy = b};
    return p;
}

static void copy_ids(aios__kv_block *to, const aios__kv_block *from, uint32_t n)
{
    memcpy(to->ids, from->ids, n * sizeof *to->ids);
}

/* Makes it so; the copy is still to be filled. Room is there. */
static void follow(aios__kv *kv, const plan *p, const int32_t *ids, aios__kv_block *copy)
{
    aios__kv_store *st = &kv->net->kv;
    for (uint32_t c = 0; p->copy && c < AIOS__KV_CLASSES; c++)
        aios__kv_hold(st, p->copy, c);
    if (p->copy)
        copy_ids(copy, p->copy, p->n % AIOS__KV_PAGE);
    cut(kv, p->own);
    aios__kv_hold_windows(kv, kv->n_blocks < p->first ? kv->n_blocks : p->first);
    for (uint32_t i = kv->n_blocks; (i + 1) * AIOS__KV_PAGE <= p->n; i++) {
        aios__kv_block *b = find_whole(kv, i ? kv->blocks[i - 1]->serial : 0, ids, i * AIOS__KV_PAGE, p->n);
        for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
            aios__kv_hold(st, b, c);
        kv->blocks[kv->n_blocks++] = b;
    }
    if (p->copy)
        kv->blocks[kv->n_blocks++] = copy;
    aios__kv_hold_windows(kv, p->first);
    kv->n = p->n;
}

static void copy_block(const aios__kv_store *st, aios__kv_block *to, const aios__kv_block *from)
{
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        if (to->part[c].data)
            memcpy(to->part[c].data, from->part[c].data, st->part_bytes[c]);
}

uint32_t aios__kv_resume(aios__kv *kv, const int32_t *ids, uint32_t n)
{
    aios__net *net = kv->net;
    aios__kv_store *st = &net->kv;
    uint32_t same = 0;
    while (same < n && same < kv->n && *aios__kv_id(kv, same) == ids[same])
        same++;
    n = n < kv->n_ctx ? n : kv->n_ctx;
    if (grow_to(kv, n, NULL))
        n = same;
    aios__kv_settle(kv);
    aios__kv_lock(st);
    plan p = find_beginning(kv, ids, n, same, true);
    aios__kv_block *copy = NULL;
    if (p.copy) { /* what was found may be gone once the lock was not held */
        aios__kv_unlock(st);
        copy = aios__kv_block_new(st, NULL);
        aios__kv_lock(st);
        p = find_beginning(kv, ids, n, same, copy != NULL);
    }
    follow(kv, &p, ids, copy);
    if (copy && !p.copy)
        aios__kv_drop(st, copy, AIOS__KV_GLOBAL);
    aios__kv_unlock(st);
    if (p.copy) {
        pthread_mutex_lock(&net->lock); /* its holder may be writing behind what it has listed */
        copy_block(st, copy, p.copy);
        pthread_mutex_unlock(&net->lock);
        aios__kv_lock(st);
        for (uint32_t c = AIOS__KV_CLASSES; c-- > 0;)
            aios__kv_drop(st, p.copy, c);
        aios__kv_unlock(st);
    }
    return kv->n;
}

/* ---- the cache ---------------------------------------------------------------------------------------------------- */

void aios__kv_settle(aios__kv *kv)
{
    if (kv->settled == kv->n || kv->unshared)
        return;
    aios__kv_lock(&kv->net->kv);
    settle(kv);
    aios__kv_unlock(&kv->net->kv);
}

/* The block of position n is about to be written: nobody else may see that. */
static int make_own(aios__kv *kv, aios_error *err)
{
    aios__kv_store *st = &kv->net->kv;
    uint32_t i = kv->n / AIOS__KV_PAGE;
    if (i >= kv->n_blocks)
        return AIOS_OK;
    aios__kv_lock(st);
    aios__kv_block *old = kv->blocks[i];
    bool own = old->part[AIOS__KV_GLOBAL].refs == 1 && old->n_ids <= kv->n % AIOS__KV_PAGE;
    aios__kv_unlock(st);
    if (own)
        return AIOS_OK;
    aios__kv_block *b = aios__kv_block_new(st, err);
    if (!b)
        return aios__no_memory(err);
    copy_block(st, b, old);
    copy_ids(b, old, kv->n % AIOS__KV_PAGE);
    aios__kv_lock(st);
    for (uint32_t c = AIOS__KV_CLASSES; c-- > 0;)
        aios__kv_drop(st, old, c);
    aios__kv_unlock(st);
    kv->blocks[i] = b;
    return AIOS_OK;
}

/* What no token from here on sees, nor would after stepping back by a page. */
static void drop_windows(aios__kv *kv)
{
    aios__kv_store *st = &kv->net->kv;
    uint32_t first = first_held(st, kv->n, 0);
    if (!st->window || first <= kv->first)
        return;
    aios__kv_lock(st);
    aios__kv_hold_windows(kv, first);
    aios__kv_unlock(st);
}

int aios__kv_reserve(aios__kv *kv, uint32_t n, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    if (n > kv->n_ctx - kv->n)
        return aios__fail_need(err, AIOS_ECONTEXT, kv->n_ctx, (uint64_t)kv->n + n,
                               "%u tokens more than the %u there are do not fit a context of %u", n, kv->n, kv->n_ctx);
    aios__kv_settle(kv);
    drop_windows(kv);
    uint32_t need = blocks_of(kv->n + n);
    int rc = make_own(kv, err);
    rc = rc ? rc : grow_to(kv, kv->n + n, err);
    while (!rc && kv->n_blocks < need) {
        aios__kv_block *b = aios__kv_block_new(&kv->net->kv, err);
        if (!b)
            return aios__no_memory(err);
        kv->blocks[kv->n_blocks++] = b;
    }
    return rc;
}

void aios__kv_truncate(aios__kv *kv, uint32_t n)
{
    aios__kv_store *st = &kv->net->kv;
    n = n < kv->n ? n : kv->n;
    aios__kv_lock(st);
    plan p = {.n = n, .own = n, .first = kv->first};
    if (aios__kv_first_seen(st, n) < kv->first)
        p = find_beginning(kv, NULL, n, n, false);
    follow(kv, &p, NULL, NULL);
    aios__kv_unlock(st);
}

int aios__kv_fork(aios__kv *kv, aios__kv **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__kv_store *st = &kv->net->kv;
    aios__kv *copy = NULL;
    int rc = aios__kv_new(kv->net, kv->n_ctx, &copy, err);
    if (rc)
        return rc;
    rc = grow_to(copy, kv->n, err);
    if (rc) {
        aios__kv_free(copy);
        return rc;
    }
    aios__kv_settle(kv);
    aios__kv_lock(st);
    for (uint32_t i = 0; i < blocks_of(kv->n); i++) {
        aios__kv_hold(st, kv->blocks[i], AIOS__KV_GLOBAL);
        if (i >= kv->first)
            aios__kv_hold(st, kv->blocks[i], AIOS__KV_WINDOW);
        copy->blocks[copy->n_blocks++] = kv->blocks[i];
    }
    aios__kv_unlock(st);
    copy->n = kv->n;
    copy->first = kv->first;
    copy->settled = kv->settled;
    copy->unshared = kv->unshared;
    *out = copy;
    return AIOS_OK;
}
