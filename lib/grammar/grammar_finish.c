/* SPDX-License-Identifier: Apache-2.0 */
/* Last pass over a program: what has no sentence goes, choices become flat. After it no walk runs into a dead end. */
#include "grammar/program.h"

static uint16_t of(const aios_grammar *g, uint32_t node)
{
    return node == AIOS__G_NONE ? AIOS__G_ENDLESS : g->nodes[node].height;
}

static uint16_t deeper(uint16_t h)
{
    return h >= AIOS__G_DEPTH ? AIOS__G_ENDLESS : (uint16_t)(h + 1);
}

/* An object whose members nest up to h containers has a sentence. */
static bool obj_ends(const aios_grammar *g, const aios__gobj *o, uint32_t h)
{
    uint32_t met = 0, n_needs = aios__grammar_lacking(g, o, 0, h);
    uint64_t n_required = 0, n_possible = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        const uint32_t *p = g->words + o->props + 4 * (size_t)i;
        if (p[1] && of(g, p[0]) > h)
            return false;
        n_required += p[1];
        n_possible += of(g, p[0]) <= h;
    }
    for (uint32_t i = 0; i < o->n_frees; i++) {
        const uint32_t *p = g->words + o->frees + AIOS__G_FREE * (size_t)i;
        met |= of(g, p[0]) <= h ? p[2] : 0;
    }
    return !(o->needs & ~met) && o->min <= o->max && n_required + n_needs <= o->max && n_possible + aios__grammar_room(g, o, h) >= o->min;
}

/* Of a complete grammar only the items that must be there count: its texts may run into dead ends. */
static bool arr_ends(const aios_grammar *g, const aios__gnode *n, uint32_t h)
{
    const uint32_t none[AIOS__G_GROUPS] = {0};
    if (n->min > n->max || !g->complete)
        return n->min <= n->max && aios__grammar_arr_ends(g, n, 0, none, h);
    for (uint64_t i = 0; i < n->min && i <= n->b; i++) {
        uint32_t ways, k = 0;
        const uint32_t *nodes = aios__grammar_item(g, n, i, &ways);
        while (k < ways && of(g, nodes[k]) > h)
            k++;
        if (k == ways)
            return false;
    }
    return true;
}

static bool ends(const aios_grammar *g, const aios__gnode *n, uint32_t h)
{
    return n->kind == AIOS__G_OBJ ? obj_ends(g, &g->objs[n->a], h) : arr_ends(g, n, h);
}

/* The least that its members must nest: more never makes it impossible. So heights only fall while they are found. */
static uint16_t height_container(const aios_grammar *g, const aios__gnode *n)
{
    uint32_t lo = 0, hi = AIOS__G_DEPTH - 1;
    if (ends(g, n, 0))
        return 1;
    if (!ends(g, n, hi))
        return AIOS__G_ENDLESS;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (ends(g, n, mid))
            hi = mid;
        else
            lo = mid;
    }
    return (uint16_t)(hi + 1);
}

/* Mostly that of the deepest required property. */
static uint16_t height_obj(const aios_grammar *g, const aios__gnode *n)
{
    const aios__gobj *o = &g->objs[n->a];
    uint16_t h = 0;
    for (uint32_t i = 0; i < o->n; i++) {
        const uint32_t *p = g->words + o->props + 4 * (size_t)i;
        h = p[1] && of(g, p[0]) > h ? of(g, p[0]) : h;
    }
    return o->min || o->needs || o->max < o->n ? height_container(g, n) : deeper(h);
}

static uint16_t height_arr(const aios_grammar *g, const aios__gnode *n)
{
    uint16_t h = 0;
    if (n->c)
        return height_container(g, n);
    for (uint64_t i = 0; i < n->min && i <= n->b; i++)
        h = of(g, g->words[n->a + i]) > h ? of(g, g->words[n->a + i]) : h;
    return n->min > n->max ? AIOS__G_ENDLESS : deeper(h);
}

static uint16_t height_list(const aios_grammar *g, const aios__gnode *n)
{
    uint16_t least = AIOS__G_ENDLESS, most = 0;
    for (uint32_t i = 0; i < n->b; i++) {
        uint16_t h = of(g, g->words[n->a + i]);
        least = h < least ? h : least;
        most = h > most ? h : most;
    }
    return n->kind == AIOS__G_ALT ? least : most;
}

static uint16_t height_set(const aios_grammar *g, const aios__gnode *n)
{
    uint16_t least = AIOS__G_ENDLESS;
    for (uint32_t i = 0; i < n->b; i++) {
        uint32_t next = g->words[n->a + 3 * (size_t)i + 2];
        uint16_t h = next == AIOS__G_NONE ? 0 : of(g, next);
        least = h < least ? h : least;
    }
    return least;
}

static uint16_t height(const aios_grammar *g, const aios__gnode *n)
{
    switch (n->kind) {
    case AIOS__G_OBJ:
        return height_obj(g, n);
    case AIOS__G_ARR:
        return height_arr(g, n);
    case AIOS__G_ALT:
    case AIOS__G_SEQ:
        return height_list(g, n);
    case AIOS__G_SET:
        return height_set(g, n);
    case AIOS__G_REP:
        return n->min ? of(g, n->a) : 0;
    case AIOS__G_STR:
        return n->min > n->max ? AIOS__G_ENDLESS : 0; /* expressions without texts were refused */
    default:
        return 0;
    }
}

static bool settle_node(aios_grammar *g, uint32_t i)
{
    uint16_t h = height(g, &g->nodes[i]);
    bool change = h != g->nodes[i].height;
    g->nodes[i].height = h;
    return change;
}

/* Least fixpoint: heights only fall. Both directions, since references go both ways. *last: the node that fell last. */
static int heights(aios_grammar *g, uint32_t *last, aios_error *err)
{
    uint64_t work = 0;
    bool change = true;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        g->nodes[i].height = AIOS__G_ENDLESS;
    while (change) {
        change = false;
        for (uint32_t i = 0; i < g->n_nodes; i++)
            if (settle_node(g, i)) {
                change = true;
                *last = i;
            }
        for (uint32_t i = g->n_nodes; change && i--;)
            settle_node(g, i);
        work += g->n_nodes + (uint64_t)g->n_words;
        if (work > UINT64_C(100000000))
            return aios__fail(err, AIOS_ELIMIT, "the schema's references are too entangled: simplify it");
    }
    return AIOS_OK;
}

/* ---- dropping what has no sentence ------------------------------------------------------------------------------ */

static void prune_set(aios_grammar *g, aios__gnode *n)
{
    uint32_t *e = g->words + n->a, kept = 0;
    for (uint32_t i = 0; i < n->b; i++)
        if (e[3 * (size_t)i + 2] == AIOS__G_NONE || of(g, e[3 * (size_t)i + 2]) != AIOS__G_ENDLESS)
            memmove(e + 3 * (size_t)kept++, e + 3 * (size_t)i, 3 * sizeof *e);
    n->b = kept;
}

static void prune_arr(aios_grammar *g, aios__gnode *n)
{
    for (uint32_t i = 0; i <= n->b; i++) {
        uint32_t ways, some = 0;
        const uint32_t *nodes = aios__grammar_item(g, n, i, &ways);
        for (uint32_t k = 0; k < ways; k++)
            some += of(g, nodes[k]) != AIOS__G_ENDLESS;
        if (!some && n->max > i)
            n->max = i;
    }
}

static void prune_frees(aios_grammar *g, aios__gobj *o)
{
    uint32_t *p = g->words + o->frees, kept = 0;
    for (uint32_t i = 0; i < o->n_frees; i++) {
        uint16_t h = of(g, p[AIOS__G_FREE * (size_t)i]);
        if (h == AIOS__G_ENDLESS)
            continue;
        o->deepest = h > o->deepest ? h : o->deepest;
        memmove(p + AIOS__G_FREE * (size_t)kept++, p + AIOS__G_FREE * (size_t)i, AIOS__G_FREE * sizeof *p);
    }
    o->n_frees = kept;
}

/* Leaves out properties without values, whose names stay taken, then counts what is required from each place on. */
static void prune_obj(aios_grammar *g, aios__gobj *o)
{
    uint32_t *p = g->words + o->props, *k = g->words + o->keys, required = 0, n = 0;
    for (uint32_t i = 0; i < o->n; i++)
        p[4 * (size_t)i + 3] = n += of(g, p[4 * (size_t)i]) != AIOS__G_ENDLESS; /* new index + 1 */
    for (uint32_t i = 0; i < o->n_keys; i++) {
        if (k[3 * (size_t)i + 2] == AIOS__G_NONE)
            continue;
        const uint32_t *of_key = p + 4 * (size_t)k[3 * (size_t)i + 2];
        k[3 * (size_t)i + 2] = of(g, of_key[0]) == AIOS__G_ENDLESS ? AIOS__G_NONE : of_key[3] - 1;
    }
    for (uint32_t i = 0; i < o->n; i++)
        if (of(g, p[4 * (size_t)i]) != AIOS__G_ENDLESS)
            memmove(p + 4 * (size_t)(p[4 * (size_t)i + 3] - 1), p + 4 * (size_t)i, 4 * sizeof *p);
    o->n = n;
    o->deepest = 0;
    for (uint32_t i = 0; i < o->n; i++)
        o->deepest = of(g, p[4 * (size_t)i]) > o->deepest ? of(g, p[4 * (size_t)i]) : o->deepest;
    prune_frees(g, o);
    uint32_t next = UINT32_MAX;
    for (uint32_t i = o->n; i--;) {
        next = p[4 * (size_t)i + 1] ? i : next;
        required += p[4 * (size_t)i + 1];
        p[4 * (size_t)i + 2] = next;
        p[4 * (size_t)i + 3] = required;
    }
}

/* ---- flat choices ----------------------------------------------------------------------------------------------- */

struct flat {
    uint32_t *seen, n_seen; /* by node: last choice that met it, + 1 */
    uint32_t *list, n, cap;
    uint32_t *sets, n_sets, cap_sets; /* entries of literals met */
};

static bool plain_set(const aios_grammar *g, const aios__gnode *n)
{
    for (uint32_t i = 0; i < n->b; i++)
        if (g->words[n->a + 3 * (size_t)i + 2] != AIOS__G_NONE)
            return false;
    return true;
}

static int flat_add(aios_grammar *g, struct flat *f, const aios__gnode *n, uint32_t stamp, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n->b && !rc; i++) {
        uint32_t child = g->words[n->a + i];
        bool made_here = child >= f->n_seen; /* a set of another choice, met once there */
        if (of(g, child) == AIOS__G_ENDLESS || (!made_here && f->seen[child] == stamp))
            continue;
        if (!made_here)
            f->seen[child] = stamp;
        rc = aios__grammar_grow_beside(g, &f->list, &f->cap, (size_t)f->n + 1, AIOS__G_WORDS, sizeof *f->list, "alternatives", err);
        if (!rc)
            f->list[f->n++] = child;
    }
    return rc;
}

static int take_set(aios_grammar *g, struct flat *f, const aios__gnode *n, aios_error *err)
{
    size_t words = 3 * (size_t)n->b;
    int rc = aios__grammar_grow_beside(g, &f->sets, &f->cap_sets, f->n_sets + words, AIOS__G_WORDS, sizeof *f->sets, "alternatives", err);
    if (!rc && words)
        memcpy(f->sets + f->n_sets, g->words + n->a, words * sizeof *f->sets);
    f->n_sets += rc ? 0 : (uint32_t)words;
    return rc;
}

static uint32_t unique_entries(aios_grammar *g, uint32_t at, uint32_t n)
{
    uint32_t *e = g->words + at, kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *x = e + 3 * (size_t)i, *y = kept ? e + 3 * ((size_t)kept - 1) : NULL;
        if (!y || x[1] != y[1] || memcmp(g->bytes + x[0], g->bytes + y[0], x[1]))
            memmove(e + 3 * (size_t)kept++, x, 3 * sizeof *x);
    }
    return kept;
}

/* A choice of choices becomes one list; its sets of literals one sorted set, so that they cost one reading. */
static int flatten(aios_grammar *g, struct flat *f, uint32_t id, aios_error *err)
{
    uint32_t set, at, kept = 0;
    f->n = f->n_sets = 0;
    int rc = flat_add(g, f, &g->nodes[id], id + 1, err);
    for (uint32_t i = 0; i < f->n && !rc; i++) {
        const aios__gnode *n = &g->nodes[f->list[i]];
        if (n->kind == AIOS__G_ALT)
            rc = flat_add(g, f, n, id + 1, err);
        else if (n->kind == AIOS__G_SET && plain_set(g, n))
            rc = take_set(g, f, n, err);
        else
            f->list[kept++] = f->list[i];
    }
    if (!rc && f->n_sets) {
        rc = aios__grammar_words(g, f->sets, f->n_sets, &at, err);
        if (!rc)
            rc = aios__grammar_sort(g, at, f->n_sets / 3, err);
        if (!rc)
            rc = aios__grammar_node(g, AIOS__G_SET, &set, err);
        if (rc)
            return rc;
        g->nodes[set].a = at;
        g->nodes[set].b = unique_entries(g, at, f->n_sets / 3);
        f->list[kept++] = set;
    }
    if (!rc)
        rc = aios__grammar_words(g, f->list, kept, &at, err);
    if (rc)
        return rc;
    g->nodes[id].a = at;
    g->nodes[id].b = kept;
    return AIOS_OK;
}

static int flatten_all(aios_grammar *g, aios_error *err)
{
    uint32_t n = g->n_nodes;
    struct flat f = {.n_seen = n, .seen = aios__grammar_alloc_beside(g, n, sizeof *f.seen, err)};
    if (!f.seen)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n && !rc; i++)
        if (g->nodes[i].kind == AIOS__G_ALT)
            rc = flatten(g, &f, i, err);
    aios__grammar_drop(g, f.seen, n * sizeof *f.seen);
    aios__grammar_drop(g, f.list, f.cap * sizeof *f.list);
    aios__grammar_drop(g, f.sets, f.cap_sets * sizeof *f.sets);
    return rc;
}

/* Names that no keyword speaks of, where an object has no sentence without; true if there are such. */
static bool add_spares(aios_grammar *g)
{
    bool some = false;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        aios__gobj *o = g->nodes[i].kind == AIOS__G_OBJ ? &g->objs[g->nodes[i].a] : NULL;
        if (!o || !o->spare)
            continue;
        o->n_frees += g->nodes[i].height == AIOS__G_ENDLESS;
        some |= g->nodes[i].height == AIOS__G_ENDLESS;
        o->spare = false;
    }
    return some;
}

int aios__grammar_heights(aios_grammar *g, uint32_t *last, aios_error *err)
{
    int rc = heights(g, last, err);
    return !rc && add_spares(g) ? heights(g, last, err) : rc;
}

static int prune(aios_grammar *g, aios_error *err)
{
    uint32_t last = 0;
    int rc = aios__grammar_heights(g, &last, err);
    if (rc)
        return rc;
    if (of(g, g->root) == AIOS__G_ENDLESS)
        return aios__fail(err, AIOS_ESCHEMA, "no value can satisfy the schema (or only one nested deeper than %d): its keywords contradict each other",
                          AIOS__G_DEPTH);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        aios__gnode *n = &g->nodes[i];
        if (n->kind == AIOS__G_SET)
            prune_set(g, n);
        else if (n->kind == AIOS__G_ARR)
            prune_arr(g, n);
        else if (n->kind == AIOS__G_OBJ)
            prune_obj(g, &g->objs[n->a]);
    }
    return AIOS_OK;
}

int aios__grammar_finish(aios_grammar *g, aios_error *err)
{
    bool bounded = false;
    int rc = prune(g, err);
    rc = rc ? rc : flatten_all(g, err);
    rc = rc ? rc : aios__grammar_few(g, &bounded, err);
    rc = rc || !bounded ? rc : prune(g, err);
    aios__rx_reading(g->rx);
    return rc;
}
