/* SPDX-License-Identifier: Apache-2.0 */
/* Token masks: one pass over the vocabulary's trie along the bytes that may go on; readings inside strings by sets made beforehand. */
#include "grammar/mask_priv.h"

#define CACHE_BYTES (2u << 20)
#define CACHE_MIN 8u
#define CACHE_MAX 256u

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

static void drop_kept(aios_walk *w, uint64_t below)
{
    aios__mask_cache *c = w->masks;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->kept[i].key < below)
            aios__free(w->g->heap, c->kept[i].bits);
        else
            c->kept[n++] = c->kept[i];
    c->n = n;
}

void aios__masks_forget(aios_walk *w)
{
    if (w->masks)
        drop_kept(w, AIOS__KEY_RX);
}

/* Someone further up may read the bits, so they stay where they are and are the first to be made anew. */
void aios__masks_outdate(aios_walk *w)
{
    for (uint32_t i = 0; w->masks && i < w->masks->n; i++)
        w->masks->kept[i].key = w->masks->kept[i].used = 0;
}

void aios__masks_free(aios_walk *w)
{
    aios__mask_cache *c = w->masks;
    if (!c)
        return;
    drop_kept(w, UINT64_MAX);
    aios__free(w->g->heap, c->kept);
    aios__free(w->g->heap, c->visits);
    aios__free(w->g->heap, c->chars);
    aios__free(w->g->heap, c);
    w->masks = NULL;
}

/* The walk's cache for this vocabulary. */
static int make_cache(aios_walk *w, const aios__trie *t, aios_error *err)
{
    if (w->masks && w->masks->t == t)
        return AIOS_OK;
    aios__masks_free(w);
    aios__mask_cache *c = w->masks = aios__alloc(w->g->heap, AIOS_MEM_OTHER, sizeof *c, err);
    if (!c)
        return aios__oom(err);
    size_t one = t->n_words * sizeof(uint32_t), most = CACHE_BYTES / one;
    c->t = t;
    c->most = (uint32_t)(most < CACHE_MIN ? CACHE_MIN : most > CACHE_MAX ? CACHE_MAX : most);
    c->visits = aios__alloc_array(w->g->heap, AIOS_MEM_OTHER, (size_t)t->all.depth + 1, sizeof *c->visits, err);
    if (c->visits)
        return AIOS_OK;
    aios__masks_free(w);
    return aios__oom(err);
}

aios__kept *aios__mask_find(aios__mask *m, uint64_t key)
{
    aios__mask_cache *c = m->w->masks;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->kept[i].key == key) {
            c->kept[i].used = ++c->clock;
            return &c->kept[i];
        }
    return NULL;
}

int aios__mask_make(aios__mask *m, uint64_t key, aios__kept **out, aios_error *err)
{
    aios__mask_cache *c = m->w->masks;
    aios__heap *h = m->w->g->heap;
    uint32_t at = c->n;
    if (at < c->most) {
        int rc = aios__grow(h, &c->kept, &c->cap, (size_t)at + 1, c->most, sizeof *c->kept, "masks", err);
        uint32_t *bits = rc ? NULL : aios__alloc_array(h, AIOS_MEM_OTHER, m->t->n_words, sizeof *bits, err);
        if (!bits)
            return rc ? rc : aios__oom(err);
        c->kept[c->n++].bits = bits;
    } else {
        at = 0;
        for (uint32_t i = 1; i < c->n; i++)
            at = c->kept[i].used < c->kept[at].used ? i : at;
        memset(c->kept[at].bits, 0, m->t->n_words * sizeof(uint32_t));
    }
    aios__kept *k = &c->kept[at];
    *k = (aios__kept){.key = key, .used = ++c->clock, .bits = k->bits};
    *out = k;
    return AIOS_OK;
}

/* ---- the pass ----------------------------------------------------------------------------------------------------- */

int aios__mask_walk(aios__mask *m, const aios__tree *t, uint32_t state, void (*each)(void *user, const int32_t *ids, uint32_t n), void *user)
{
    aios_walk *w = m->w;
    aios__visit *v = w->masks->visits;
    uint32_t depth = 0, to;
    if (!state)
        return AIOS_OK;
    if (t->tokens[1])
        each(user, t->ids, t->tokens[1]);
    v[0] = (aios__visit){t->first[0], t->first[1], state, aios__walk_mark(w)};
    for (;;) {
        aios__visit *here = &v[depth];
        const uint32_t *live = aios__walk_live(w, here->state);
        while (here->child < here->end && !(live[t->byte[here->child] / 32] >> t->byte[here->child] % 32 & 1))
            here->child++;
        if (here->child == here->end) {
            if (!depth--)
                return AIOS_OK;
            aios__walk_back(w, v[depth].mark);
            continue;
        }
        uint32_t i = here->child++;
        m->work++;
        int rc = aios__walk_next(w, here->state, t->byte[i], &to, m->err);
        if (rc)
            return rc;
        if (!to)
            continue;
        if (t->tokens[i] < t->tokens[i + 1])
            each(user, t->ids + t->tokens[i], t->tokens[i + 1] - t->tokens[i]);
        if (t->first[i] < t->first[i + 1])
            v[++depth] = (aios__visit){t->first[i], t->first[i + 1], to, aios__walk_mark(w)};
    }
}

static void add_all(void *user, const int32_t *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        aios__mask_add(user, (uint32_t)ids[i]);
}

/* Readings inside strings one by one, the others together. */
static int make_mask(aios__mask *m)
{
    aios_walk *w = m->w;
    uint32_t n = w->states[w->at].n, n_rest = 0, rest;
    aios__inside in;
    int rc = aios__grow(w->g->heap, &w->pool, &w->cap_pool, (size_t)w->n_pool + n, UINT32_MAX, sizeof *w->pool, "readings", m->err);
    for (uint32_t i = 0; i < n && !rc; i++) {
        uint32_t frame = w->pool[w->states[w->at].at + i];
        if (!aios__walk_inside(w, frame, &in))
            w->pool[w->n_pool + n_rest++] = frame;
    }
    rc = rc ? rc : aios__walk_intern(w, n_rest, &rest, m->err);
    for (uint32_t i = 0; i < n && !rc; i++)
        if (aios__walk_inside(w, w->pool[w->states[w->at].at + i], &in))
            rc = aios__mask_string(m, &in);
    return rc ? rc : aios__mask_walk(m, &m->t->all, rest, add_all, m);
}

static int cached_mask(aios__mask *m)
{
    size_t size = m->t->n_words * sizeof *m->bits;
    aios__kept *k = aios__mask_find(m, m->w->at);
    if (k) {
        memcpy(m->bits, k->bits, size);
        m->n = k->n;
        return AIOS_OK;
    }
    memset(m->bits, 0, size);
    aios__mark mark = aios__walk_mark(m->w);
    int rc = make_mask(m);
    aios_error err = AIOS_INIT(aios_error);
    if (!rc && m->work > m->t->n_words && !aios__mask_make(m, m->w->at, &k, &err)) {
        memcpy(k->bits, m->bits, size);
        k->n = m->n;
    }
    aios__walk_back(m->w, mark);
    return rc;
}

static int32_t first_bit(const uint32_t *bits, uint32_t n_words)
{
    for (uint32_t i = 0; i < n_words; i++)
        if (bits[i])
            return (int32_t)(i * 32 + (uint32_t)__builtin_ctz(bits[i]));
    return -1;
}

/* All readings are inside what was LAZY: their frames mean something in this grammar only. */
static bool inside_lazy(const aios_walk *w)
{
    const aios__state *s = &w->states[w->at];
    bool inside = w->g->parent;
    for (uint32_t i = 0; i < s->n && inside; i++) {
        uint32_t f = w->pool[s->at + i];
        while (f && w->frames[f].node < w->g->n_shared)
            f = w->frames[f].up;
        inside = f;
    }
    return inside;
}

int aios__walk_mask(const aios_walk *cw, const aios__trie *t, uint32_t *bits, uint32_t *n_allowed, int32_t *only, aios_error *err)
{
    aios_walk *w = (aios_walk *)(uintptr_t)cw; /* what it remembers, not its position */
    aios_error local = AIOS_INIT(aios_error);
    aios__mask m = {.w = w, .t = t, .bits = bits, .err = err ? err : &local};
    int rc = make_cache(w, t, m.err);
    w->held = inside_lazy(w);
    rc = rc ? rc : cached_mask(&m);
    w->held = false;
    *n_allowed = rc ? 0 : m.n;
    *only = !rc && m.n == 1 ? first_bit(bits, t->n_words) : -1;
    return rc;
}
