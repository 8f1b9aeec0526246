/* SPDX-License-Identifier: Apache-2.0 */
/* Grammars and walks as objects; the program's building blocks. */
#include <stdlib.h>

#include "base/cachefile.h"
#include "grammar/grammar_cache.h"
#include "grammar/grammar_mask.h"
#include "grammar/program.h"
#include "grammar/rules.h"

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

int aios__grammar_spaced(aios_grammar *g, aios_error *err)
{
    return aios__grammar_node(g, AIOS__G_BLANK, &g->blank, err);
}

size_t aios__grammar_size(const aios_grammar *g)
{
    return sizeof *g + g->cap_nodes * sizeof *g->nodes + g->cap_words * sizeof *g->words + g->cap_bytes + g->cap_ints * sizeof *g->ints +
           g->cap_vals * sizeof *g->vals + g->cap_decs * sizeof *g->decs + g->cap_decsets * sizeof *g->decsets + g->cap_nums * sizeof *g->nums +
           g->cap_objs * sizeof *g->objs + g->cap_arrs * sizeof *g->arrs + (g->rx ? aios__rx_size(g->rx) : 0);
}

void aios_grammar_free(aios_grammar *g)
{
    while (g) {
        if (g->cache) {
            aios__grammar_release(g);
            return;
        }
        if (__atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL))
            return; /* from here on it may be gone */
        aios_ctx *ctx = g->ctx;
        g = aios__grammar_destroy(g);
        aios_ctx_free(ctx);
    }
}

static void free_program(const aios_grammar *g)
{
    aios__free(g->heap, g->nodes);
    aios__free(g->heap, g->words);
    aios__free(g->heap, g->bytes);
    aios__free(g->heap, g->ints);
    aios__free(g->heap, g->nums);
    aios__free(g->heap, g->vals);
    aios__free(g->heap, g->decs);
    aios__free(g->heap, g->decsets);
    aios__free(g->heap, g->objs);
    aios__free(g->heap, g->arrs);
    aios__rx_free(g->rx);
}

aios_grammar *aios__grammar_destroy(aios_grammar *g)
{
    aios_grammar *parent = g->lazy ? g->lazy->leave(g) : NULL;
    free_program(g);
    aios__free(g->heap, g);
    return parent;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

int aios__grammar_fits(const aios_grammar *g, size_t more, aios_error *err)
{
    return aios__compile_fits(aios__grammar_size(g) + g->beside + more, err);
}

int aios__grammar_grow(aios_grammar *g, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err)
{
    size_t more = aios__growth(*cap, need, max, size);
    int rc = more ? aios__grammar_fits(g, more, err) : AIOS_OK;
    return rc ? rc : aios__grow(g->heap, pp, cap, need, max, size, what, err);
}

int aios__grammar_grow_beside(aios_grammar *g, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err)
{
    uint32_t had = *cap;
    int rc = aios__grammar_grow(g, pp, cap, need, max, size, what, err);
    g->beside += (size_t)(*cap - had) * size;
    return rc;
}

void *aios__grammar_alloc_beside(aios_grammar *g, size_t n, size_t size, aios_error *err)
{
    void *p = aios__grammar_fits(g, n * size, err) ? NULL : aios__alloc_array(g->heap, AIOS_MEM_SCRATCH, n, size, err);
    g->beside += p ? n * size : 0;
    return p;
}

void aios__grammar_drop(aios_grammar *g, void *p, size_t bytes)
{
    aios__free(g->heap, p);
    g->beside -= bytes;
}

/* ---- building blocks -------------------------------------------------------------------------------------------- */

int aios__grammar_node(aios_grammar *g, uint8_t kind, uint32_t *id, aios_error *err)
{
    int rc = aios__grammar_grow(g, &g->nodes, &g->cap_nodes, (size_t)g->n_nodes + 1, AIOS__G_NODES, sizeof *g->nodes, "nodes of a grammar", err);
    if (rc)
        return rc;
    g->nodes[g->n_nodes] = (aios__gnode){.kind = kind};
    *id = g->n_nodes++;
    return AIOS_OK;
}

int aios__grammar_words(aios_grammar *g, const uint32_t *w, size_t n, uint32_t *at, aios_error *err)
{
    int rc = aios__grammar_grow(g, &g->words, &g->cap_words, g->n_words + n, AIOS__G_WORDS, sizeof *g->words, "words of a grammar", err);
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
    int rc = aios__grammar_grow(g, &g->bytes, &g->cap_bytes, g->n_bytes + n, (size_t)64 << 20, 1, "bytes of a grammar", err);
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
    uint32_t *buf = aios__grammar_alloc_beside(g, n, 3 * sizeof *buf, err), *from = g->words + at, *to = buf;
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
    aios__grammar_drop(g, buf, (size_t)n * 3 * sizeof *buf);
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
    if (rc)
        return rc;
    rc = aios__grammar_finish(g, err);
    const aios_error was = *err;
    if (rc == AIOS_ELIMIT && was.need) /* too much of something, wherever it is */
        return aios__fail_need(err, rc, was.have, was.need, "schema #: %.400s", was.msg);
    if (rc != AIOS_ESCHEMA && rc != AIOS_ELIMIT)
        return rc;
    free_program(g);
    *g = (aios_grammar){.ctx = g->ctx, .heap = g->heap, .refs = g->refs, .complete = g->complete};
    return aios__grammar_schema_why(g->ctx, g->complete, s, n, err);
}

static int (*const compilers[])(aios_grammar *g, const char *s, size_t n, aios_error *err) = {
    [AIOS_GRAMMAR_SCHEMA] = schema, [AIOS_GRAMMAR_REGEX] = regex, [AIOS_GRAMMAR_GBNF] = aios__grammar_gbnf,
    [AIOS_GRAMMAR_LARK] = aios__grammar_lark};

void aios__grammar_source(const aios_grammar *g, uint64_t out[2])
{
    memcpy(out, g->source, sizeof g->source);
}

/* ---- public: grammar -------------------------------------------------------------------------------------------- */

int aios_grammar_compile(aios_ctx *ctx, int32_t kind, const char *s, size_t n, aios_grammar **out, aios_error *err)
{
    if (!ctx || !s || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_grammar_compile: ctx, s and g must not be NULL");
    *out = NULL;
    const int32_t flags = kind & (AIOS_GRAMMAR_COMPLETE | AIOS_GRAMMAR_STRICT | AIOS_GRAMMAR_SPACED), plain = kind - flags;
    if (plain < AIOS_GRAMMAR_SCHEMA || plain > AIOS_GRAMMAR_LARK || (flags && plain != AIOS_GRAMMAR_SCHEMA))
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
    g->complete = flags & AIOS_GRAMMAR_COMPLETE;
    g->strict = flags & AIOS_GRAMMAR_STRICT;
    g->kind = (uint8_t)plain;
    for (uint64_t i = 0; i < AIOS__ARRAY_LEN(g->source); i++)
        g->source[i] = aios__sum64((uint64_t)kind << 1 | i, s, n);
    rc = flags & AIOS_GRAMMAR_SPACED ? aios__grammar_spaced(g, err) : AIOS_OK;
    rc = rc ? rc : compilers[g->kind](g, s, n, err);
    if (rc) {
        aios_grammar_free(g);
        return rc;
    }
    aios__grammar_keep(g, key);
    *out = g;
    return AIOS_OK;
}
