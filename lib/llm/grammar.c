/* SPDX-License-Identifier: Apache-2.0 */
/* Grammars and walks as objects; the program's building blocks. */
#include "llm/grammar_priv.h"

#include <stdlib.h>

#include "llm/grammar_cache.h"

int aios__walk_begin(aios_walk *w, aios_error *err);
void aios__walk_compact(aios_walk *w);

aios_grammar *aios__grammar_new(aios_ctx *ctx, aios_error *err)
{
    uint32_t end;
    aios_grammar *g = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *g, err);
    if (!g)
        return NULL;
    g->ctx = aios__ctx_ref(ctx);
    g->heap = aios__ctx_heap(ctx);
    g->refs = 1;
    if (!aios__grammar_node(g, AIOS__G_END, &end, err))
        return g;
    aios_grammar_free(g);
    return NULL;
}

size_t aios__grammar_size(const aios_grammar *g)
{
    return sizeof *g + g->cap_nodes * sizeof *g->nodes + g->cap_words * sizeof *g->words + g->cap_bytes + g->cap_ints * sizeof *g->ints +
           g->cap_nums * sizeof *g->nums + g->cap_objs * sizeof *g->objs + (g->rx ? aios__rx_size(g->rx) : 0);
}

void aios_grammar_free(aios_grammar *g)
{
    if (g && g->cache) {
        aios__grammar_release(g);
    } else if (g && !__atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL)) {
        aios_ctx *ctx = g->ctx;
        aios__grammar_destroy(g);
        aios_ctx_free(ctx);
    }
}

void aios__grammar_destroy(aios_grammar *g)
{
    aios__free(g->heap, g->nodes);
    aios__free(g->heap, g->words);
    aios__free(g->heap, g->bytes);
    aios__free(g->heap, g->ints);
    aios__free(g->heap, g->nums);
    aios__free(g->heap, g->vals);
    aios__free(g->heap, g->objs);
    aios__free(g->heap, g->arrs);
    aios__rx_free(g->rx);
    aios__free(g->heap, g);
}

/* ---- building blocks -------------------------------------------------------------------------------------------- */

int aios__grammar_node(aios_grammar *g, uint8_t kind, uint32_t *id, aios_error *err)
{
    int rc = aios__grow(g->heap, &g->nodes, &g->cap_nodes, (size_t)g->n_nodes + 1, AIOS__G_NODES, sizeof *g->nodes, "nodes of a grammar", err);
    if (rc)
        return rc;
    g->nodes[g->n_nodes] = (aios__gnode){.kind = kind};
    *id = g->n_nodes++;
    return AIOS_OK;
}

int aios__grammar_words(aios_grammar *g, const uint32_t *w, size_t n, uint32_t *at, aios_error *err)
{
    int rc = aios__grow(g->heap, &g->words, &g->cap_words, g->n_words + n, AIOS__G_WORDS, sizeof *g->words, "words of a grammar", err);
    if (rc)
        return rc;
    if (n)
        memcpy(g->words + g->n_words, w, n * sizeof *w);
    *at = g->n_words;
    g->n_words += (uint32_t)n;
    return AIOS_OK;
}

int aios__grammar_bytes(aios_grammar *g, const void *p, size_t n, uint32_t *at, aios_error *err)
{
    int rc = aios__grow(g->heap, &g->bytes, &g->cap_bytes, g->n_bytes + n, (size_t)64 << 20, 1, "bytes of a grammar", err);
    if (rc)
        return rc;
    if (n)
        memcpy(g->bytes + g->n_bytes, p, n);
    *at = g->n_bytes;
    g->n_bytes += (uint32_t)n;
    return AIOS_OK;
}

int aios__grammar_lit(aios_grammar *g, const void *p, size_t n, uint32_t *id, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_bytes(g, p, n, &at, err);
    if (!rc)
        rc = aios__grammar_node(g, AIOS__G_LIT, id, err);
    if (rc)
        return rc;
    g->nodes[*id].a = at;
    g->nodes[*id].b = (uint32_t)n;
    return AIOS_OK;
}

int aios__grammar_list(aios_grammar *g, uint8_t kind, const uint32_t *nodes, size_t n, uint32_t *id, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_words(g, nodes, n, &at, err);
    if (!rc)
        rc = aios__grammar_node(g, kind, id, err);
    if (rc)
        return rc;
    g->nodes[*id].a = at;
    g->nodes[*id].b = (uint32_t)n;
    return AIOS_OK;
}

static int compare(const aios_grammar *g, const uint32_t *x, const uint32_t *y)
{
    uint32_t n = x[1] < y[1] ? x[1] : y[1];
    int r = memcmp(g->bytes + x[0], g->bytes + y[0], n);
    return r ? r : (x[1] > y[1]) - (x[1] < y[1]);
}

int aios__grammar_sort(aios_grammar *g, uint32_t at, uint32_t n, aios_error *err)
{
    if (n < 2)
        return AIOS_OK;
    uint32_t *buf = aios__alloc_array(g->heap, AIOS_MEM_SCRATCH, n, 3 * sizeof *buf, err), *from = g->words + at, *to = buf;
    if (!buf)
        return aios__oom(err);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t a = i, b = i + width < n ? i + width : n, mid = b, end = i + 2 * width < n ? i + 2 * width : n;
            for (size_t k = i; k < end; k++) {
                bool left = a < mid && (b >= end || compare(g, from + 3 * a, from + 3 * b) <= 0);
                memcpy(to + 3 * k, from + 3 * (left ? a++ : b++), 3 * sizeof *to);
            }
        }
        uint32_t *t = from;
        from = to;
        to = t;
    }
    if (from == buf)
        memcpy(g->words + at, buf, (size_t)n * 3 * sizeof *buf);
    aios__free(g->heap, buf);
    return AIOS_OK;
}

/* The whole text is in the expression. */
static int regex(aios_grammar *g, const char *s, size_t n, aios_error *err)
{
    uint32_t e;
    bool exists = false;
    int rc = aios__rx_new(g->ctx, &g->rx, err);
    rc = rc ? rc : aios__rx_parse(g->rx, s, n, true, &e, err);
    rc = rc ? rc : aios__rx_exists(g->rx, e, &exists, err);
    if (!rc && !exists)
        rc = aios__fail(err, AIOS_ESCHEMA, "no text matches the regular expression");
    rc = rc ? rc : aios__grammar_node(g, AIOS__G_RX, &g->root, err);
    if (rc)
        return rc;
    g->nodes[g->root].a = e;
    return aios__grammar_finish(g, err);
}

static int schema(aios_grammar *g, const char *s, size_t n, aios_error *err)
{
    int rc = aios__grammar_schema(g, s, n, false, &g->root, err);
    return rc ? rc : aios__grammar_finish(g, err);
}

static int (*const compilers[])(aios_grammar *g, const char *s, size_t n, aios_error *err) = {
    [AIOS_GRAMMAR_SCHEMA] = schema, [AIOS_GRAMMAR_REGEX] = regex, [AIOS_GRAMMAR_GBNF] = aios__grammar_gbnf};

/* ---- public: grammar -------------------------------------------------------------------------------------------- */

int aios_grammar_compile(aios_ctx *ctx, int32_t kind, const char *s, size_t n, aios_grammar **out, aios_error *err)
{
    if (!ctx || !s || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_grammar_compile: ctx, s and g must not be NULL");
    *out = NULL;
    if (kind < AIOS_GRAMMAR_SCHEMA || kind > AIOS_GRAMMAR_GBNF)
        return aios__fail(err, AIOS_EINVAL, "aios_grammar_compile: kind %d is none of AIOS_GRAMMAR_x", (int)kind);
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    int rc = aios__text_in(s, n, &n, "the text of the grammar", err);
    if (rc)
        return rc;
    const aios__gkey key = {(uint32_t)kind, s, n};
    *out = aios__grammar_recall(ctx, key);
    aios_grammar *g = *out ? NULL : aios__grammar_new(ctx, err);
    if (!g)
        return *out ? AIOS_OK : aios__oom(err);
    rc = compilers[kind](g, s, n, err);
    if (rc) {
        aios_grammar_free(g);
        return rc;
    }
    aios__grammar_keep(g, key);
    *out = g;
    return AIOS_OK;
}

/* ---- public: walk ----------------------------------------------------------------------------------------------- */

int aios_walk_new(aios_grammar *g, aios_walk **out, aios_error *err)
{
    if (!g || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_walk_new: g and w must not be NULL");
    *out = NULL;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    aios_walk *w = aios__alloc(g->heap, AIOS_MEM_OTHER, sizeof *w, err);
    if (!w)
        return aios__oom(err);
    __atomic_add_fetch(&g->refs, 1, __ATOMIC_RELAXED);
    w->g = g;
    w->gc_at = 1024;
    int rc = aios__walk_begin(w, err);
    if (rc) {
        aios_walk_free(w);
        return rc;
    }
    *out = w;
    return AIOS_OK;
}

void aios_walk_free(aios_walk *w)
{
    if (!w)
        return;
    aios_grammar *g = w->g;
    aios__free(g->heap, w->frames);
    aios__free(g->heap, w->threads);
    aios__free(g->heap, w->todo);
    aios__free(g->heap, w);
    aios_grammar_free(g);
}

int aios_walk_copy(const aios_walk *w, aios_walk **out, aios_error *err)
{
    if (!w || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_walk_copy: w and out must not be NULL");
    int rc = aios_walk_new(w->g, out, err);
    if (rc)
        return rc;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    aios_walk *c = *out;
    rc = aios__grow(c->g->heap, &c->frames, &c->cap_frames, w->n_frames, AIOS__G_FRAMES, sizeof *c->frames, "frames", err);
    if (!rc)
        rc = aios__grow(c->g->heap, &c->threads, &c->cap_threads, w->n_threads, UINT32_MAX, sizeof *c->threads, "readings", err);
    if (rc) {
        aios_walk_free(c);
        *out = NULL;
        return rc;
    }
    memcpy(c->frames, w->frames, w->n_frames * sizeof *c->frames);
    if (w->n_threads)
        memcpy(c->threads, w->threads, w->n_threads * sizeof *c->threads);
    c->n_frames = w->n_frames;
    c->n_threads = w->n_threads;
    c->gc_at = w->gc_at;
    return AIOS_OK;
}

int aios_walk_accept(aios_walk *w, const char *s, size_t n, aios_error *err)
{
    if (!w || (!s && n))
        return aios__fail(err, AIOS_EINVAL, "aios_walk_accept: w and s must not be NULL");
    n = n == AIOS_CSTR ? strlen(s) : n;
    aios_error local = AIOS_INIT(aios_error);
    err = err ? err : &local;
    uint32_t frames = w->n_frames, at = 0, n_at = w->n_threads, to, n_to;
    for (size_t i = 0; i < n; i++) {
        to = at + n_at; /* the walk's own set stays in front until all is read */
        int rc = aios__walk_step(w, at, n_at, (uint8_t)s[i], to, &n_to, err);
        if (!rc && !n_to)
            rc = aios__fail_need(err, AIOS_ESCHEMA, i, n, "byte %zu of the text (0x%02x) is outside the grammar", i, (uint8_t)s[i]);
        if (rc) {
            w->n_frames = frames;
            return rc;
        }
        if (at)
            memmove(w->threads + at, w->threads + to, n_to * sizeof *w->threads);
        else
            at = to;
        n_at = n_to;
    }
    if (at)
        memmove(w->threads, w->threads + at, n_at * sizeof *w->threads);
    w->n_threads = n_at;
    aios__walk_compact(w);
    return AIOS_OK;
}

int aios_walk_complete(const aios_walk *w)
{
    for (uint32_t i = 0; w && i < w->n_threads; i++)
        if (!w->threads[i])
            return 1;
    return 0;
}

/* A walk's scratch ends may be used through a const walk: nothing of its position changes. */
static aios_walk *scratch(const aios_walk *w)
{
    return (aios_walk *)(uintptr_t)w;
}

/* Bytes that may follow the n readings at threads[at]. */
static int next_bytes(aios_walk *w, uint32_t at, uint32_t n, uint8_t mask[32], aios_error *err)
{
    uint32_t frames = w->n_frames, n_to;
    int rc = AIOS_OK;
    memset(mask, 0, 32);
    for (unsigned c = 0; c < 256 && !rc; c++) {
        rc = aios__walk_step(w, at, n, (uint8_t)c, at + n, &n_to, err);
        w->n_frames = frames;
        if (!rc && n_to)
            mask[c / 8] |= (uint8_t)(1u << c % 8);
    }
    return rc;
}

int aios_walk_next_bytes(const aios_walk *w, uint8_t mask[32])
{
    aios_error err = AIOS_INIT(aios_error);
    if (!w || !mask)
        return AIOS_EINVAL;
    return next_bytes(scratch(w), 0, w->n_threads, mask, &err);
}

/* The only bit of a mask, or -1. */
static int only_byte(const uint8_t mask[32])
{
    int found = -1;
    for (int c = 0; c < 256; c++)
        if (mask[c / 8] & 1u << c % 8) {
            if (found >= 0)
                return -1;
            found = c;
        }
    return found;
}

static bool any_ended(const aios_walk *w, uint32_t at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!w->threads[at + i])
            return true;
    return false;
}

size_t aios_walk_forced(const aios_walk *cw, char *out, size_t n_max)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = scratch(cw);
    if (!w || (!out && n_max))
        return 0;
    uint32_t frames = w->n_frames, at = 0, n_at = w->n_threads, n_to;
    uint8_t mask[32];
    size_t n = 0;
    while (n < n_max && !any_ended(w, at, n_at) && !next_bytes(w, at, n_at, mask, &err)) {
        int c = only_byte(mask);
        if (c < 0 || aios__walk_step(w, at, n_at, (uint8_t)c, at + n_at, &n_to, &err))
            break;
        at += n_at;
        n_at = n_to;
        out[n++] = (char)c;
    }
    w->n_frames = frames;
    return n;
}
