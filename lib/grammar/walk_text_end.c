/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shortest text by which a string, a key or an expression that has begun comes to its end: best-first over frames, led by what an
 * expression still takes at least, so that mostly only the way itself is looked at.
 */
#include "grammar/walk_priv.h"

enum { SPOTS = 32768, LOOKS = 8000, FAR = 1 << 30, N_LIKELY = sizeof AIOS__LIKELY - 1 };

/** A frame that some text leads to. */
typedef struct spot {
    aios__frame f;
    uint32_t from, cost, next; /**< the spot before, bytes so far, the next one of the same bucket + 1 */
    uint8_t byte;
} spot;

typedef struct search {
    aios__step s;
    const aios__gnode *n;
    bool key; /**< no escapes */
    size_t max;
    spot *spots;
    uint32_t n_spots, cap_spots, looks;
    uint32_t *slots;   /**< spots by their frame, + 1 */
    uint32_t *buckets; /**< spots by bytes so far and to come, + 1 */
} search;

/* ---- what ends, and how soon at the earliest ---------------------------------------------------------------------- */

static bool is_end(const search *q, const aios__frame *f)
{
    const aios__rx *x = q->s.g->rx;
    if (q->n->kind == AIOS__G_RX)
        return aios__rx_ends(x, f->a);
    return aios__str_between(f) && f->v >= q->n->min && (q->n->a == AIOS__RX_NOTHING || aios__rx_ends(x, f->a));
}

static uint32_t to_come(const search *q, const aios__frame *f)
{
    uint32_t least = q->n->a == AIOS__RX_NOTHING ? 0 : aios__rx_least(q->s.g->rx, f->a);
    uint64_t chars = q->n->kind == AIOS__G_STR && f->v < q->n->min ? q->n->min - f->v : 0;
    least = chars > least ? (uint32_t)(chars < FAR ? chars : FAR) : least;
    return (least < FAR ? least : FAR) + (q->n->kind == AIOS__G_STR);
}

/* ---- spots -------------------------------------------------------------------------------------------------------- */

static uint32_t hash(const aios__frame *f)
{
    uint64_t h = (f->v ^ (uint64_t)f->a << 32 ^ f->c) * UINT64_C(0x9e3779b97f4a7c15) ^ f->b;
    h = (h ^ h >> 29 ^ (uint64_t)f->st << 8 ^ f->x) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (2 * SPOTS - 1);
}

static bool same(const aios__frame *a, const aios__frame *b)
{
    return a->a == b->a && a->v == b->v && a->b == b->b && a->c == b->c && a->st == b->st && a->x == b->x;
}

static uint32_t *slot_of(const search *q, const aios__frame *f)
{
    uint32_t i = hash(f);
    while (q->slots[i] && !same(&q->spots[q->slots[i] - 1].f, f))
        i = (i + 1) & (2 * SPOTS - 1);
    return &q->slots[i];
}

/* Unless a way there as short is known, or the end is too far. */
static int add(search *q, const aios__frame *f, uint32_t from, uint32_t cost, uint8_t byte, aios_error *err)
{
    uint32_t *slot = slot_of(q, f);
    if ((*slot && q->spots[*slot - 1].cost <= cost) || cost + (uint64_t)to_come(q, f) > q->max)
        return AIOS_OK;
    if (q->n_spots == SPOTS)
        return aios__fail(err, AIOS_ELIMIT, "no end of the text was found in %d states", (int)SPOTS);
    int rc = aios__grow(q->s.g->heap, &q->spots, &q->cap_spots, (size_t)q->n_spots + 1, SPOTS, sizeof *q->spots, "states", err);
    if (rc)
        return rc;
    q->spots[q->n_spots] = (spot){.f = *f, .from = from, .cost = cost, .byte = byte};
    *slot = ++q->n_spots;
    return AIOS_OK;
}

/* The spots from i on become candidates, the first of them the next one. */
static void link_all(search *q, uint32_t i)
{
    for (uint32_t k = q->n_spots; k-- > i;) {
        spot *p = &q->spots[k];
        uint32_t *bucket = &q->buckets[p->cost + to_come(q, &p->f)];
        p->next = *bucket;
        *bucket = k + 1;
    }
}

/* ---- the ways on -------------------------------------------------------------------------------------------------- */

/* Bytes as they are wanted: likely ones, then all from the blank on, then control characters. */
static uint8_t wanted(uint32_t i)
{
    return i < N_LIKELY ? (uint8_t)AIOS__LIKELY[i] : (uint8_t)(i - N_LIKELY + ' ');
}

static bool move(search *q, aios__frame *f, uint8_t c)
{
    const uint32_t *row;
    if (q->n->kind == AIOS__G_STR)
        return !(q->key && c == '\\') && aios__str_move(&q->s, q->n, f, c);
    q->s.rc = q->s.rc ? q->s.rc : aios__rx_row(q->s.g->rx, f->a, &row, q->s.err);
    f->a = q->s.rc ? AIOS__RX_NOTHING : row[c];
    return f->a != AIOS__RX_NOTHING;
}

static int go_on(search *q, uint32_t i, aios_error *err)
{
    aios__frame last = {0};
    uint32_t made = q->n_spots;
    int rc = AIOS_OK;
    for (uint32_t k = 0; !rc && k < N_LIKELY + 256; k++) {
        aios__frame to = q->spots[i].f;
        if (!move(q, &to, wanted(k)) || (k && same(&to, &last)))
            continue;
        last = to;
        rc = add(q, &to, i, q->spots[i].cost + 1, wanted(k), err);
    }
    rc = q->s.rc ? q->s.rc : rc;
    if (!rc)
        link_all(q, made);
    return rc;
}

static void write_way(const search *q, uint32_t i, char *out, size_t *n)
{
    *n = q->spots[i].cost;
    for (; q->spots[i].cost; i = q->spots[i].from)
        out[q->spots[i].cost - 1] = (char)q->spots[i].byte;
    if (q->n->kind == AIOS__G_STR)
        out[(*n)++] = '"';
}

/* *n stays 0 where there is no end near enough. */
static int look(search *q, const aios__frame *f, char *out, size_t *n, aios_error *err)
{
    int rc = add(q, f, 0, 0, 0, err);
    link_all(q, 0);
    for (size_t d = 0; !rc && d <= q->max;) {
        uint32_t i = q->buckets[d];
        if (!i) {
            d++;
            continue;
        }
        const spot *p = &q->spots[--i];
        q->buckets[d] = p->next;
        if (*slot_of(q, &p->f) != i + 1)
            continue;
        if (is_end(q, &p->f)) {
            write_way(q, i, out, n);
            return AIOS_OK;
        }
        if (++q->looks > LOOKS)
            return aios__fail(err, AIOS_ELIMIT, "no end of the text was found in %d states", (int)LOOKS);
        rc = go_on(q, i, err);
    }
    return rc;
}

static int run(search *q, const aios__frame *f, char *out, size_t *n, aios_error *err)
{
    aios__heap *h = q->s.g->heap;
    if (!q->max)
        return AIOS_OK;
    if (is_end(q, f) && q->n->kind == AIOS__G_STR) {
        out[0] = '"';
        *n = 1;
        return AIOS_OK;
    }
    q->slots = aios__alloc_array(h, AIOS_MEM_SCRATCH, 2 * SPOTS, sizeof *q->slots, err);
    q->buckets = q->slots ? aios__alloc_array(h, AIOS_MEM_SCRATCH, q->max + 1, sizeof *q->buckets, err) : NULL;
    int rc = q->buckets ? look(q, f, out, n, err) : aios__oom(err);
    aios__free(h, q->slots);
    aios__free(h, q->buckets);
    aios__free(h, q->spots);
    return rc;
}

/* ---- literals ----------------------------------------------------------------------------------------------------- */

/* False if what follows it is not known here. */
static bool literal(const aios_grammar *g, const aios__frame *f, char *out, size_t max, size_t *n_out)
{
    const aios__gnode *n = &g->nodes[f->node];
    uint32_t at = n->a, len = n->b, pos = f->a;
    const uint32_t *e = g->words + n->a;
    if (n->kind == AIOS__G_SET) {
        uint32_t least = f->a;
        for (uint32_t i = f->a; i < f->b; i++) {
            if (e[3 * (size_t)i + 2] != AIOS__G_NONE)
                return false;
            least = e[3 * (size_t)i + 1] < e[3 * (size_t)least + 1] ? i : least;
        }
        at = e[3 * (size_t)least];
        len = e[3 * (size_t)least + 1];
        pos = f->c;
    }
    if (len - pos > max)
        return true;
    memcpy(out, g->bytes + at + pos, len - pos);
    *n_out = len - pos;
    return true;
}

int aios__walk_text_end(aios_walk *w, uint32_t frame, char *out, size_t max, size_t *n, bool *in_text, uint32_t *looks, aios_error *err)
{
    const aios__frame *f = &w->frames[frame];
    while (w->g->nodes[f->node].kind == AIOS__G_ARR && f->st == ARR_WRAP)
        f = &w->frames[f->a];
    const aios__gnode *node = &w->g->nodes[f->node];
    const aios__frame at = *f;
    aios__inside in;
    *n = 0;
    *in_text = true;
    search q = {.s = {.w = w, .g = w->g, .err = err}, .n = node, .max = max, .looks = *looks};
    if (node->kind == AIOS__G_LIT || node->kind == AIOS__G_SET) {
        *in_text = literal(w->g, &at, out, max, n);
        return AIOS_OK;
    }
    int rc = AIOS_OK;
    if (node->kind == AIOS__G_STR ? aios__str_begun(&at) : node->kind == AIOS__G_RX && !aios__rx_ends(w->g->rx, at.a)) {
        rc = run(&q, &at, out, n, err);
    } else if (node->kind == AIOS__G_OBJ && aios__key_inside(w, (uint32_t)(f - w->frames), &in) && in.e != AIOS__RX_NOTHING) {
        const aios__gnode name = {.kind = AIOS__G_STR, .a = in.e, .min = in.least, .max = in.most};
        const aios__frame begun = aios__str_begin(in.node, in.e);
        q.n = &name;
        q.key = true;
        rc = run(&q, &begun, out, n, err);
    } else {
        *in_text = false;
    }
    *looks = q.looks;
    return rc;
}
