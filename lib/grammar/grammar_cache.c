/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of compiled grammars. One that nobody holds has no reference on the ctx, since the ctx holds the cache. */
#include "grammar/grammar_cache.h"

#include <pthread.h>

#include "grammar/program.h"

enum { BUCKETS = 1024, DEFAULT_BYTES = 32 << 20 };

typedef struct aios__gentry entry;
struct aios__gentry {
    entry *next;           /* in its bucket */
    entry *newer, *older;
    aios_grammar *g;
    uint64_t hash;
    size_t bytes, n;
    uint32_t kind;
    char key[];
};

typedef struct aios__gcache {
    aios__heap *heap;
    pthread_mutex_t lock; /* never held over a request for memory */
    aios__reclaimer reclaimer;
    entry *newest, *oldest;
    size_t bytes, max;
    entry *buckets[BUCKETS];
} cache;

static uint64_t hash_of(aios__gkey key)
{
    const uint8_t *p = key.p;
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ key.kind, w;
    size_t i = 0;
    for (; i + 8 <= key.n; i += 8) {
        memcpy(&w, p + i, 8);
        h = (h ^ w) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; i < key.n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

/* What an entry takes; a grammar of calls has its own copy of the tools besides. */
static size_t size_of(const aios_grammar *g, size_t n_key)
{
    return aios__grammar_size(g) + sizeof(entry) + (g->lazy ? 2 : 1) * n_key;
}

/* ---- under the lock ----------------------------------------------------------------------------------------------- */

static entry **bucket_of(cache *c, uint64_t hash)
{
    return &c->buckets[hash % BUCKETS];
}

static entry *find(cache *c, aios__gkey key, uint64_t hash)
{
    entry *e = *bucket_of(c, hash);
    while (e && (e->hash != hash || e->kind != key.kind || e->n != key.n || memcmp(e->key, key.p, key.n)))
        e = e->next;
    return e;
}

static void unlink_age(cache *c, entry *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
}

static void make_newest(cache *c, entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

/* Takes an entry out. Its grammar goes too, unless somebody holds it: then it goes with the last reference. */
static void drop(cache *c, entry *e)
{
    entry **at = bucket_of(c, e->hash);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_age(c, e);
    c->bytes -= e->bytes;
    e->g->entry = NULL;
    if (!__atomic_load_n(&e->g->refs, __ATOMIC_ACQUIRE))
        aios__grammar_destroy(e->g);
    aios__free(c->heap, e);
}

/* From the oldest on, those that nobody holds, until there are at most `max` bytes. */
static void shrink(cache *c, size_t max)
{
    for (entry *e = c->oldest, *newer; e && c->bytes > max; e = newer) {
        newer = e->newer;
        if (!__atomic_load_n(&e->g->refs, __ATOMIC_ACQUIRE))
            drop(c, e);
    }
}

/* ---- the cache ---------------------------------------------------------------------------------------------------- */

static size_t reclaim(void *user, size_t need)
{
    cache *c = user;
    pthread_mutex_lock(&c->lock);
    size_t had = c->bytes;
    shrink(c, had > need ? had - need : 0);
    size_t got = had - c->bytes;
    pthread_mutex_unlock(&c->lock);
    return got;
}

static void free_cache(aios_ctx *ctx, void *p)
{
    cache *c = p;
    (void)ctx;
    aios__reclaimer_remove(c->heap, &c->reclaimer);
    while (c->oldest)
        drop(c, c->oldest);
    pthread_mutex_destroy(&c->lock);
    aios__free(c->heap, c);
}

/* The ctx's one, made by whoever comes first; NULL: there is none. */
static cache *cache_of(aios_ctx *ctx)
{
    cache *c = aios__ctx_slot(ctx, AIOS__SLOT_GRAMMARS);
    if (c || aios__ctx_grammar_bytes(ctx) == 1)
        return c;
    cache *mine = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *mine, NULL);
    if (!mine)
        return NULL;
    mine->heap = aios__ctx_heap(ctx);
    mine->max = aios__ctx_grammar_bytes(ctx) ? (size_t)aios__ctx_grammar_bytes(ctx) : DEFAULT_BYTES;
    mine->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    mine->reclaimer = (aios__reclaimer){.fn = reclaim, .user = mine};
    aios__ctx_lock(ctx);
    c = aios__ctx_slot(ctx, AIOS__SLOT_GRAMMARS);
    if (!c)
        aios__ctx_slot_set(ctx, AIOS__SLOT_GRAMMARS, mine, free_cache);
    aios__ctx_unlock(ctx);
    if (c)
        aios__free(mine->heap, mine);
    else
        aios__reclaimer_add(mine->heap, &mine->reclaimer);
    return c ? c : mine;
}

aios_grammar *aios__grammar_recall(aios_ctx *ctx, aios__gkey key)
{
    cache *c = aios__ctx_slot(ctx, AIOS__SLOT_GRAMMARS);
    aios_grammar *g = NULL;
    if (!c)
        return NULL;
    uint64_t hash = hash_of(key);
    pthread_mutex_lock(&c->lock);
    entry *e = find(c, key, hash);
    if (e && e->g->rx && aios__rx_worn(e->g->rx)) { /* its automaton is near its cap: the next one begins with a new one */
        drop(c, e);
        e = NULL;
    }
    if (e) {
        g = e->g;
        if (!__atomic_fetch_add(&g->refs, 1, __ATOMIC_ACQ_REL))
            aios__ctx_ref(ctx);
        unlink_age(c, e);
        make_newest(c, e);
    }
    pthread_mutex_unlock(&c->lock);
    return g;
}

void aios__grammar_keep(aios_grammar *g, aios__gkey key)
{
    cache *c = cache_of(g->ctx);
    size_t bytes = size_of(g, key.n);
    entry *e = c && bytes <= c->max ? aios__alloc(c->heap, AIOS_MEM_OTHER, sizeof *e + key.n, NULL) : NULL;
    if (!e)
        return;
    *e = (entry){.g = g, .hash = hash_of(key), .bytes = bytes, .n = key.n, .kind = key.kind};
    memcpy(e->key, key.p, key.n);
    pthread_mutex_lock(&c->lock);
    bool is_there = find(c, key, e->hash); /* another thread was quicker */
    if (!is_there) {
        entry **at = bucket_of(c, e->hash);
        e->next = *at;
        *at = e;
        make_newest(c, e);
        c->bytes += bytes;
        g->entry = e;
        g->cache = c;
        shrink(c, c->max);
    }
    pthread_mutex_unlock(&c->lock);
    if (is_there)
        aios__free(c->heap, e);
}

void aios__grammar_release(aios_grammar *g)
{
    cache *c = g->cache;
    aios_ctx *ctx = g->ctx;
    pthread_mutex_lock(&c->lock);
    bool last = !__atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL), dead = last && !g->entry;
    if (last && !dead) {
        entry *e = g->entry;
        size_t bytes = size_of(g, e->n); /* automata grow as texts are read */
        c->bytes += bytes - e->bytes;
        e->bytes = bytes;
        shrink(c, c->max);
    }
    pthread_mutex_unlock(&c->lock);
    if (dead)
        aios__grammar_destroy(g);
    if (last)
        aios_ctx_free(ctx);
}
