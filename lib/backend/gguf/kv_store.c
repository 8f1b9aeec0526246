/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of keys and values: made, held, found by their tokens, kept while idle, given back. */
#include "backend/gguf/kv.h"
#include "backend/gguf/net.h"

/* Free memory kept for the next block, and idle blocks kept for the next prompt (at most, and of the budget one part in so many). */
#define KEEP_BYTES ((size_t)32 << 20)
#define IDLE_BYTES ((size_t)512 << 20)
enum { IDLE_SHARE = 8 };

/* ---- idle parts: the one let go last is the newest ---------------------------------------------------------------- */

static void wake(aios__kv_store *st, aios__kv_part *p)
{
    if (!p->idle)
        return;
    *(p->older ? &p->older->newer : &st->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &st->newest) = p->older;
    p->idle = false;
    st->idle_bytes -= st->part_bytes[p - p->block->part];
}

static void put_idle(aios__kv_store *st, aios__kv_part *p)
{
    p->idle = true;
    p->newer = NULL;
    p->older = st->newest;
    *(st->newest ? &st->newest->newer : &st->oldest) = p;
    st->newest = p;
    st->idle_bytes += st->part_bytes[p - p->block->part];
}

static void free_part(aios__kv_store *st, aios__kv_part *p)
{
    wake(st, p);
    if (p->data)
        aios__pages_put(st->pages[p - p->block->part], p->data);
    p->data = NULL;
}

/* ---- blocks by their tokens --------------------------------------------------------------------------------------- */

static uint32_t bucket_of(uint64_t parent, int32_t id)
{
    uint64_t x = (parent ^ (uint64_t)(uint32_t)id << 32) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(x >> 40) % AIOS__KV_BUCKETS;
}

static uint32_t count_same(const int32_t *a, const int32_t *b, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

aios__kv_block *aios__kv_find(const aios__kv_store *st, uint64_t parent, const int32_t *ids, uint32_t n, uint32_t *same)
{
    aios__kv_block *best = NULL;
    *same = 0;
    for (aios__kv_block *b = n ? st->buckets[bucket_of(parent, ids[0])] : NULL; b; b = b->next) {
        if (b->parent != parent)
            continue;
        uint32_t k = count_same(b->ids, ids, n < b->n_ids ? n : b->n_ids);
        if (k > *same && (k == AIOS__KV_PAGE || aios__kv_has_window(st, b))) {
            best = b;
            *same = k;
        }
    }
    return best;
}

static void unlist(aios__kv_store *st, aios__kv_block *b)
{
    aios__kv_block **at = &st->buckets[bucket_of(b->parent, b->ids[0])];
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->n_ids = 0;
}

static void destroy(aios__kv_store *st, aios__kv_block *b)
{
    if (b->n_ids)
        unlist(st, b);
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        free_part(st, &b->part[c]);
    aios__free(st->heap, b);
}

/* Another block begins with all that this one has. */
static bool is_contained(const aios__kv_store *st, const aios__kv_block *b)
{
    for (const aios__kv_block *o = st->buckets[bucket_of(b->parent, b->ids[0])]; o; o = o->next)
        if (o != b && o->parent == b->parent && o->n_ids >= b->n_ids && aios__kv_has_window(st, o) && count_same(o->ids, b->ids, b->n_ids) == b->n_ids)
            return true;
    return false;
}

/* A whole block that is there already takes the place of one just filled. */
static aios__kv_block *use_equal(aios__kv_store *st, aios__kv_block *b)
{
    aios__kv_part *mine = &b->part[AIOS__KV_WINDOW];
    if (b->part[AIOS__KV_GLOBAL].refs > 1)
        return b; /* somebody reads it just now */
    for (aios__kv_block *o = st->buckets[bucket_of(b->parent, b->ids[0])]; o; o = o->next) {
        if (o == b || o->parent != b->parent || o->n_ids != AIOS__KV_PAGE || count_same(o->ids, b->ids, AIOS__KV_PAGE) != AIOS__KV_PAGE)
            continue;
        if (!o->part[AIOS__KV_WINDOW].data) {
            o->part[AIOS__KV_WINDOW].data = mine->data;
            mine->data = NULL;
        }
        for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
            aios__kv_hold(st, o, c);
        destroy(st, b);
        return o;
    }
    return b;
}

aios__kv_block *aios__kv_list(aios__kv_store *st, aios__kv_block *b, uint64_t parent, uint32_t n)
{
    if (!b->n_ids) {
        aios__kv_block **bucket = &st->buckets[bucket_of(parent, b->ids[0])];
        b->parent = parent;
        b->next = *bucket;
        *bucket = b;
    }
    b->n_ids = n;
    return n == AIOS__KV_PAGE ? use_equal(st, b) : b;
}

/* ---- holding ------------------------------------------------------------------------------------------------------ */

/* Gives back the part that was let go first. A block is let go before the one in front of it, so that none is cut off from its beginning. */
static bool evict(aios__kv_store *st)
{
    aios__kv_part *p = st->oldest;
    if (!p)
        return false;
    aios__kv_block *b = p->block;
    bool bare = p == &b->part[AIOS__KV_GLOBAL] || !st->part_bytes[AIOS__KV_GLOBAL];
    if (bare && !b->part[AIOS__KV_GLOBAL].refs)
        destroy(st, b);
    else
        free_part(st, p);
    return true;
}

void aios__kv_hold(aios__kv_store *st, aios__kv_block *b, uint32_t class)
{
    wake(st, &b->part[class]);
    b->part[class].refs++;
}

void aios__kv_drop(aios__kv_store *st, aios__kv_block *b, uint32_t class)
{
    aios__kv_part *p = &b->part[class];
    if (--p->refs)
        return;
    bool known = b->n_ids && (b->part[AIOS__KV_GLOBAL].data || b->part[AIOS__KV_WINDOW].data);
    if (class == AIOS__KV_GLOBAL && (!known || is_contained(st, b))) {
        destroy(st, b);
        return;
    }
    if (!known)
        free_part(st, p);
    else if (p->data)
        put_idle(st, p);
}

void aios__kv_lock(aios__kv_store *st)
{
    pthread_mutex_lock(&st->lock);
}

void aios__kv_unlock(aios__kv_store *st)
{
    while (st->idle_bytes > st->idle_max && evict(st))
        ;
    pthread_mutex_unlock(&st->lock);
}

aios__kv_block *aios__kv_block_new(aios__kv_store *st, aios_error *err)
{
    aios__kv_block *b = aios__alloc(st->heap, AIOS_MEM_KV, sizeof *b, err);
    if (b)
        b->serial = atomic_fetch_add(&st->last_serial, 1) + 1;
    for (uint32_t c = 0; b && c < AIOS__KV_CLASSES; c++) {
        aios__kv_part *p = &b->part[c];
        p->block = b;
        p->refs = 1;
        if (!st->pages[c])
            continue;
        p->data = aios__pages_get(st->pages[c], err);
        if (!p->data) {
            destroy(st, b);
            return NULL;
        }
        memset(p->data, 0, st->part_bytes[c]);
    }
    return b;
}

/* ---- the store ---------------------------------------------------------------------------------------------------- */

void aios__kv_store_ask(aios__kv_store *st, bool (*fn)(void *user), void *user)
{
    pthread_mutex_lock(&st->lock);
    st->ask = fn;
    st->ask_user = user;
    pthread_mutex_unlock(&st->lock);
}

/* With the lock, which is given back meanwhile. */
static bool ask(aios__kv_store *st)
{
    bool (*fn)(void *user) = st->ask;
    void *user = st->ask_user;
    if (!fn)
        return false;
    pthread_mutex_unlock(&st->lock);
    bool more = fn(user);
    pthread_mutex_lock(&st->lock);
    return more;
}

/* Runs when memory is wanted elsewhere. */
static size_t reclaim(void *user, size_t need)
{
    aios__kv_store *st = user;
    size_t got = 0;
    pthread_mutex_lock(&st->lock);
    do {
        for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
            got += st->pages[c] ? aios__pages_trim(st->pages[c]) : 0;
    } while (got < need && (evict(st) || ask(st)));
    pthread_mutex_unlock(&st->lock);
    return got;
}

static int make_pages(aios__kv_store *st, aios_ctx *ctx, const aios__hparams *hp, aios_error *err)
{
    uint32_t n_layers[AIOS__KV_CLASSES] = {0};
    int rc = AIOS_OK;
    for (uint32_t il = 0; il < hp->n_layer; il++)
        n_layers[aios__layer_has_window(hp, il)]++;
    for (uint32_t c = 0; !rc && c < AIOS__KV_CLASSES; c++) {
        size_t n = (size_t)n_layers[c] * hp->n_head_kv;
        if (!n)
            continue;
        if (!aios__mul_size(n, aios__kv_page_bytes(st->type, hp->head_dim), &n))
            return aios__fail(err, AIOS_EFORMAT, "the cache of one token is too large");
        st->part_bytes[c] = n;
        rc = aios__pages_new(aios__device_cpu(ctx), n, KEEP_BYTES, AIOS_MEM_KV, &st->pages[c], err);
    }
    st->window = n_layers[AIOS__KV_WINDOW] ? hp->window : 0;
    return rc;
}

int aios__kv_store_init(aios__kv_store *st, aios_ctx *ctx, const aios__hparams *hp, int32_t type, aios_error *err)
{
    aios_mem_usage usage = AIOS_INIT(aios_mem_usage);
    st->heap = aios__ctx_heap(ctx);
    st->type = type;
    int rc = make_pages(st, ctx, hp, err);
    rc = rc ? rc : aios_ctx_usage(ctx, &usage);
    if (!rc && pthread_mutex_init(&st->lock, NULL))
        rc = aios__fail(err, AIOS_ENOMEM, "no lock could be made for the cache");
    if (rc)
        return rc;
    st->idle_max = usage.budget / IDLE_SHARE < IDLE_BYTES ? (size_t)(usage.budget / IDLE_SHARE) : IDLE_BYTES;
    st->has_lock = true;
    st->reclaimer = (aios__reclaimer){.fn = reclaim, .user = st};
    aios__reclaimer_add(st->heap, &st->reclaimer);
    return AIOS_OK;
}

void aios__kv_store_destroy(aios__kv_store *st)
{
    if (st->has_lock) {
        aios__reclaimer_remove(st->heap, &st->reclaimer);
        while (evict(st))
            ;
        pthread_mutex_destroy(&st->lock);
    }
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        aios__pages_free(st->pages[c]);
}
