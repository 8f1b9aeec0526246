/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: equal ones have one number, and are made simple where that keeps the automaton small. */
#include "grammar/rx_priv.h"

static uint32_t mix(uint32_t h, uint32_t v)
{
    h = (h ^ v) * 0x9e3779b1u;
    return h ^ h >> 15;
}

static bool is_list(uint8_t kind)
{
    return kind == AIOS__RX_OR || kind == AIOS__RX_AND;
}

/* Words that belong to a node besides its fields. */
static uint32_t n_words_of(const aios__rx_node *n)
{
    return n->kind == AIOS__RX_SET ? 8 : is_list(n->kind) ? n->b : 0;
}

static uint32_t hash_of(const aios__rx_node *n, const uint32_t *w)
{
    uint32_t h = mix(n->kind, n->min);
    h = mix(h, n->max);
    h = mix(h, n_words_of(n) ? n->b : n->a);
    h = mix(h, n->b);
    for (uint32_t i = 0; i < n_words_of(n); i++)
        h = mix(h, w[i]);
    return h;
}

static bool equal(const aios__rx *x, const aios__rx_node *p, const aios__rx_node *q, const uint32_t *w)
{
    if (p->hash != q->hash || p->kind != q->kind || p->b != q->b || p->min != q->min || p->max != q->max)
        return false;
    uint32_t n = n_words_of(p);
    return n ? !memcmp(x->words + p->a, w, n * sizeof *w) : p->a == q->a;
}

static int rehash(aios__rx *x, aios_error *err)
{
    uint32_t n = x->n_buckets ? 4 * x->n_buckets : 256;
    uint32_t *b = aios__alloc_array(x->heap, AIOS_MEM_OTHER, n, sizeof *b, err);
    if (!b)
        return aios__oom(err);
    for (uint32_t e = 1; e < x->n; e++) {
        aios__rx_node *node = aios__rx_at(x, e);
        node->next = b[node->hash % n];
        b[node->hash % n] = e;
    }
    aios__free(x->heap, x->buckets);
    x->buckets = b;
    x->n_buckets = n;
    return AIOS_OK;
}

#define TOO_BIG "a regular expression becomes more than %u parts: make it simpler"
#define TOO_OPEN "texts take more than %u parts of regular expressions: leave less open in them, as .*a.{20} leaves where each a counts from"

static int room(aios__rx *x, aios_error *err)
{
    if (x->n == AIOS__RX_CHUNK * AIOS__RX_CHUNKS)
        return aios__fail_need(err, AIOS_ELIMIT, x->n, (uint64_t)x->n + 1, x->reading ? TOO_OPEN : TOO_BIG, x->n);
    if (x->n % AIOS__RX_CHUNK == 0) {
        aios__rx_chunk *c = aios__alloc(x->heap, AIOS_MEM_OTHER, sizeof *c, err);
        if (!c)
            return aios__oom(err);
        atomic_store_explicit(&x->chunks[x->n / AIOS__RX_CHUNK], c, memory_order_release);
    }
    return x->n >= x->n_buckets ? rehash(x, err) : AIOS_OK;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Bytes of its shortest text, or fewer. */
static uint32_t least_of(const aios__rx *x, const aios__rx_node *n, const uint32_t *w)
{
    uint64_t least = n->kind == AIOS__RX_OR ? UINT32_MAX : 0;
    for (uint32_t i = 0; is_list(n->kind) && i < n->b; i++) {
        uint32_t p = aios__rx_at(x, w[i])->least;
        least = (n->kind == AIOS__RX_OR) == (p < least) ? p : least;
    }
    if (n->kind == AIOS__RX_CAT)
        least = (uint64_t)aios__rx_at(x, n->a)->least + aios__rx_at(x, n->b)->least;
    else if (n->kind == AIOS__RX_REP)
        least = (uint64_t)n->min * aios__rx_at(x, n->a)->least;
    else if (n->kind == AIOS__RX_NOT)
        least = aios__rx_nullable(x, n->a);
    else if (n->kind == AIOS__RX_SET)
        least = 1;
    else if (n->kind == AIOS__RX_NONE)
        least = UINT32_MAX;
    return least < UINT32_MAX ? (uint32_t)least : UINT32_MAX;
}

/* What the parts of a node say about it. */
static void describe(const aios__rx *x, aios__rx_node *n, const uint32_t *w)
{
    bool any = false, all = true, plain = true;
    uint32_t depth = 0;
    for (uint32_t i = 0; is_list(n->kind) && i < n->b; i++) {
        const aios__rx_node *p = aios__rx_at(x, w[i]);
        any = any || p->flags & AIOS__RX_NULLABLE;
        all = all && p->flags & AIOS__RX_NULLABLE;
        plain = plain && p->flags & AIOS__RX_PLAIN;
        depth = max_u32(depth, p->depth + 1u);
    }
    const aios__rx_node *a = n->kind == AIOS__RX_CAT || n->kind == AIOS__RX_NOT || n->kind == AIOS__RX_REP ? aios__rx_at(x, n->a) : NULL;
    const aios__rx_node *b = n->kind == AIOS__RX_CAT ? aios__rx_at(x, n->b) : NULL;
    if (a) {
        depth = max_u32(a->depth + 1u, b ? b->depth : 0);
        plain = a->flags & AIOS__RX_PLAIN && (!b || b->flags & AIOS__RX_PLAIN);
    }
    const bool nullable[] = {[AIOS__RX_NONE] = false, [AIOS__RX_EPSILON] = true, [AIOS__RX_ANY] = true, [AIOS__RX_SET] = false,
                             [AIOS__RX_CAT] = a && b && a->flags & b->flags & AIOS__RX_NULLABLE, [AIOS__RX_OR] = any, [AIOS__RX_AND] = all,
                             [AIOS__RX_NOT] = a && !(a->flags & AIOS__RX_NULLABLE), [AIOS__RX_REP] = !n->min};
    plain = plain && n->kind != AIOS__RX_AND && n->kind != AIOS__RX_NOT && n->kind != AIOS__RX_NONE;
    n->flags = (uint8_t)((nullable[n->kind] ? AIOS__RX_NULLABLE | AIOS__RX_ALIVE : 0) | (plain ? AIOS__RX_PLAIN | AIOS__RX_ALIVE : 0));
    n->depth = (uint16_t)depth;
    n->least = least_of(x, n, w);
}

int aios__rx_spend(aios__rx *x, uint64_t steps, aios_error *err)
{
    x->fuel += steps;
    x->made += x->reading ? 0 : steps;
    if (x->fuel <= AIOS__RX_FUEL && x->made <= AIOS__RX_MAKING)
        return AIOS_OK;
    return aios__fail(err, AIOS_ELIMIT, "regular expressions take more than %u steps: make them simpler", x->fuel > AIOS__RX_FUEL ? AIOS__RX_FUEL : AIOS__RX_MAKING);
}

void aios__rx_reading(aios__rx *x)
{
    if (x)
        x->reading = true;
}

void aios__rx_making(aios__rx *x)
{
    if (x)
        x->reading = false;
}

/* The number of a node; w: its words, if it has any. */
static int intern(aios__rx *x, aios__rx_node n, const uint32_t *w, uint32_t *out, aios_error *err)
{
    int rc = aios__rx_spend(x, 1 + n_words_of(&n) / 8, err);
    if (rc)
        return rc;
    n.hash = hash_of(&n, w);
    for (uint32_t e = x->n_buckets ? x->buckets[n.hash % x->n_buckets] : 0; e; e = aios__rx_at(x, e)->next) {
        if (equal(x, aios__rx_at(x, e), &n, w)) {
            *out = e;
            return AIOS_OK;
        }
    }
    describe(x, &n, w);
    if (n.depth > AIOS__RX_DEPTH)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__RX_DEPTH, n.depth, "a regular expression is nested more than %u deep", AIOS__RX_DEPTH);
    rc = room(x, err);
    if (!rc && n_words_of(&n)) {
        rc = aios__grow(x->heap, &x->words, &x->cap_words, (size_t)x->n_words + n_words_of(&n), AIOS__RX_WORDS, sizeof *w, "words of regular expressions", err);
        if (rc)
            return rc;
        memcpy(x->words + x->n_words, w, n_words_of(&n) * sizeof *w);
        n.a = x->n_words;
        x->n_words += n_words_of(&n);
    }
    if (rc)
        return rc;
    n.next = x->buckets[n.hash % x->n_buckets];
    *out = x->n++;
    *aios__rx_at(x, *out) = n;
    x->buckets[n.hash % x->n_buckets] = *out;
    return AIOS_OK;
}

int aios__rx_push(aios__rx *x, uint32_t v, aios_error *err)
{
    int rc = aios__grow(x->heap, &x->scratch, &x->cap_scratch, (size_t)x->n_scratch + 1, AIOS__RX_WORDS, sizeof v, "parts of a regular expression", err);
    if (!rc)
        x->scratch[x->n_scratch++] = v;
    return rc;
}

int aios__rx_bytes(aios__rx *x, const uint32_t set[8], uint32_t *out, aios_error *err)
{
    uint32_t any = 0;
    for (int i = 0; i < 8; i++)
        any |= set[i];
    *out = AIOS__RX_NOTHING;
    return any ? intern(x, (aios__rx_node){.kind = AIOS__RX_SET}, set, out, err) : AIOS_OK;
}

/* ---- operations --------------------------------------------------------------------------------------------------- */

/* CAT of one that is no CAT itself. */
static int chain(aios__rx *x, uint32_t a, uint32_t b, uint32_t *out, aios_error *err)
{
    *out = a == AIOS__RX_NOTHING || b == AIOS__RX_NOTHING ? AIOS__RX_NOTHING : a == AIOS__RX_EMPTY ? b : a;
    if (*out == AIOS__RX_NOTHING || a == AIOS__RX_EMPTY || b == AIOS__RX_EMPTY || (a == AIOS__RX_ALL && b == AIOS__RX_ALL))
        return AIOS_OK;
    return intern(x, (aios__rx_node){.kind = AIOS__RX_CAT, .a = a, .b = b}, NULL, out, err);
}

int aios__rx_cat(aios__rx *x, uint32_t a, uint32_t b, uint32_t *out, aios_error *err)
{
    uint32_t from = x->n_scratch;
    int rc = AIOS_OK;
    for (; !rc && aios__rx_at(x, a)->kind == AIOS__RX_CAT; a = aios__rx_at(x, a)->b)
        rc = aios__rx_push(x, aios__rx_at(x, a)->a, err);
    rc = rc ? rc : chain(x, a, b, &b, err);
    while (x->n_scratch > from) {
        a = x->scratch[--x->n_scratch];
        rc = rc ? rc : chain(x, a, b, &b, err);
    }
    *out = b;
    return rc;
}

int aios__rx_not(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err)
{
    const aios__rx_node *n = aios__rx_at(x, e);
    *out = e == AIOS__RX_NOTHING ? AIOS__RX_ALL : e == AIOS__RX_ALL ? AIOS__RX_NOTHING : n->a;
    if (e == AIOS__RX_NOTHING || e == AIOS__RX_ALL || n->kind == AIOS__RX_NOT)
        return AIOS_OK;
    return intern(x, (aios__rx_node){.kind = AIOS__RX_NOT, .a = e}, NULL, out, err);
}

int aios__rx_repeat(aios__rx *x, uint32_t e, uint32_t min, uint32_t max, uint32_t *out, aios_error *err)
{
    const aios__rx_node *n = aios__rx_at(x, e);
    *out = e == AIOS__RX_NOTHING ? (min ? AIOS__RX_NOTHING : AIOS__RX_EMPTY) : e;
    if (e == AIOS__RX_NOTHING || e == AIOS__RX_EMPTY || e == AIOS__RX_ALL || (min == 1 && max == 1))
        return max ? AIOS_OK : (*out = AIOS__RX_EMPTY, AIOS_OK);
    if (!max) {
        *out = AIOS__RX_EMPTY;
        return AIOS_OK;
    }
    if (n->flags & AIOS__RX_NULLABLE)
        min = 0;
    if (n->kind == AIOS__RX_REP && !n->min && n->max == AIOS__RX_ENDLESS)
        return AIOS_OK; /* of what repeats without end: the same */
    *out = AIOS__RX_ALL;
    if (e == AIOS__RX_BYTE && !min && max == AIOS__RX_ENDLESS)
        return AIOS_OK;
    return intern(x, (aios__rx_node){.kind = AIOS__RX_REP, .a = e, .min = min, .max = max}, NULL, out, err);
}

/* ---- OR and AND --------------------------------------------------------------------------------------------------- */

/* Lets p[at] sink in a heap of n. */
static void sink(uint32_t *p, uint32_t n, uint32_t at)
{
    for (uint32_t big; (big = 2 * at + 1) < n; at = big) {
        big += big + 1 < n && p[big + 1] > p[big];
        if (p[at] >= p[big])
            return;
        uint32_t t = p[at];
        p[at] = p[big];
        p[big] = t;
    }
}

/* Heap sort. */
static void sort_u32(uint32_t *p, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sink(p, n, i);
    while (n-- > 1) {
        uint32_t t = p[0];
        p[0] = p[n];
        p[n] = t;
        sink(p, n, 0);
    }
}

/* Puts the members of lists of the same kind in the place of these. */
static int flatten(aios__rx *x, uint8_t kind, uint32_t from, aios_error *err)
{
    int rc = AIOS_OK;
    uint32_t end = x->n_scratch;
    for (uint32_t i = from; !rc && i < end; i++) {
        const aios__rx_node *n = aios__rx_at(x, x->scratch[i]);
        if (n->kind != kind)
            continue;
        for (uint32_t j = 1; !rc && j < n->b; j++)
            rc = aios__rx_push(x, x->words[n->a + j], err);
        x->scratch[i] = x->words[n->a];
    }
    return rc;
}

/* One set for all sets of single bytes. */
static int join_sets(aios__rx *x, uint8_t kind, uint32_t from, aios_error *err)
{
    uint32_t to = from, set[8], n = 0, e;
    for (uint32_t i = from; i < x->n_scratch; i++) {
        const aios__rx_node *p = aios__rx_at(x, x->scratch[i]);
        if (p->kind != AIOS__RX_SET) {
            x->scratch[to++] = x->scratch[i];
            continue;
        }
        for (uint32_t k = 0; k < 8; k++) {
            uint32_t w = x->words[p->a + k];
            set[k] = !n ? w : kind == AIOS__RX_OR ? set[k] | w : set[k] & w;
        }
        n++;
    }
    x->n_scratch = to;
    if (!n)
        return AIOS_OK;
    int rc = aios__rx_bytes(x, set, &e, err);
    return rc ? rc : aios__rx_push(x, e, err);
}

/* An alternative as repeat and rest: r{min,max} t. */
typedef struct counted {
    uint32_t of, min, max, rest;
} counted;

static bool as_counted(const aios__rx *x, uint32_t e, counted *c)
{
    const aios__rx_node *n = aios__rx_at(x, e), *r = n->kind == AIOS__RX_CAT ? aios__rx_at(x, n->a) : n;
    *c = (counted){.of = r->a, .min = r->min, .max = r->max, .rest = n->kind == AIOS__RX_CAT ? n->b : AIOS__RX_EMPTY};
    return r->kind == AIOS__RX_REP;
}

/* Counts of the same repeat that meet become one, so that readings of a counter do not pile up. */
static int join_counts(aios__rx *x, uint32_t from, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = from; !rc && i < x->n_scratch; i++) {
        counted a, b;
        for (uint32_t j = i + 1; !rc && j < x->n_scratch && as_counted(x, x->scratch[i], &a); j++) {
            rc = aios__rx_spend(x, j % 8 == 0, err);
            if (rc || !as_counted(x, x->scratch[j], &b) || a.of != b.of || a.rest != b.rest || a.min > (uint64_t)b.max + 1 || b.min > (uint64_t)a.max + 1)
                continue;
            uint32_t e;
            rc = aios__rx_repeat(x, a.of, a.min < b.min ? a.min : b.min, a.max > b.max ? a.max : b.max, &e, err);
            rc = rc ? rc : aios__rx_cat(x, e, a.rest, &e, err);
            x->scratch[i] = e;
            x->scratch[j] = x->scratch[--x->n_scratch];
            j = i;
        }
    }
    return rc;
}

/* Takes out double ones and what says nothing; true if the whole list is *whole. */
static bool reduce(aios__rx *x, uint8_t kind, uint32_t from, uint32_t *whole)
{
    uint32_t zero = kind == AIOS__RX_OR ? AIOS__RX_ALL : AIOS__RX_NOTHING, one = kind == AIOS__RX_OR ? AIOS__RX_NOTHING : AIOS__RX_ALL, to = from;
    sort_u32(x->scratch + from, x->n_scratch - from);
    bool all_nullable = true, has_empty = false;
    for (uint32_t i = from; i < x->n_scratch; i++) {
        uint32_t e = x->scratch[i];
        *whole = zero;
        if (e == zero)
            return true;
        all_nullable = all_nullable && aios__rx_nullable(x, e);
        has_empty = has_empty || e == AIOS__RX_EMPTY;
        if (e != one && (to == from || x->scratch[to - 1] != e))
            x->scratch[to++] = e;
    }
    x->n_scratch = to;
    *whole = to == from ? one : x->scratch[from];
    if (kind == AIOS__RX_AND && has_empty)
        *whole = all_nullable ? AIOS__RX_EMPTY : AIOS__RX_NOTHING;
    return to <= from + 1 || (kind == AIOS__RX_AND && has_empty);
}

int aios__rx_list(aios__rx *x, uint8_t kind, uint32_t from, uint32_t *out, aios_error *err)
{
    int rc = aios__rx_spend(x, (x->n_scratch - from) / 4, err);
    rc = rc ? rc : flatten(x, kind, from, err);
    rc = rc ? rc : join_sets(x, kind, from, err);
    if (!rc && kind == AIOS__RX_OR)
        rc = join_counts(x, from, err);
    if (!rc && !reduce(x, kind, from, out))
        rc = intern(x, (aios__rx_node){.kind = kind, .b = x->n_scratch - from}, x->scratch + from, out, err);
    x->n_scratch = from;
    return rc;
}

static int list_of(aios__rx *x, uint8_t kind, const uint32_t *e, size_t n, uint32_t *out, aios_error *err)
{
    uint32_t from = x->n_scratch;
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = aios__rx_push(x, e[i], err);
    if (rc) {
        x->n_scratch = from;
        return rc;
    }
    return aios__rx_list(x, kind, from, out, err);
}

int aios__rx_or(aios__rx *x, const uint32_t *e, size_t n, uint32_t *out, aios_error *err)
{
    return list_of(x, AIOS__RX_OR, e, n, out, err);
}

int aios__rx_and(aios__rx *x, const uint32_t *e, size_t n, uint32_t *out, aios_error *err)
{
    return list_of(x, AIOS__RX_AND, e, n, out, err);
}

/* ---- pools -------------------------------------------------------------------------------------------------------- */

int aios__rx_new(aios_ctx *ctx, aios__rx **out, aios_error *err)
{
    const uint32_t every[8] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    uint32_t e;
    *out = NULL;
    aios__rx *x = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *x, err);
    if (!x)
        return aios__oom(err);
    x->heap = aios__ctx_heap(ctx);
    x->ctx = ctx;
    pthread_mutex_init(&x->lock, NULL);
    int rc = intern(x, (aios__rx_node){.kind = AIOS__RX_NONE}, NULL, &e, err);
    rc = rc ? rc : intern(x, (aios__rx_node){.kind = AIOS__RX_EPSILON}, NULL, &e, err);
    rc = rc ? rc : intern(x, (aios__rx_node){.kind = AIOS__RX_ANY}, NULL, &e, err);
    rc = rc ? rc : aios__rx_bytes(x, every, &e, err);
    if (rc) {
        aios__rx_free(x);
        return rc;
    }
    *out = x;
    return AIOS_OK;
}

void aios__rx_free(aios__rx *x)
{
    if (!x)
        return;
    for (uint32_t i = 0; i < AIOS__RX_CHUNKS; i++) {
        aios__rx_chunk *c = atomic_load(&x->chunks[i]);
        for (uint32_t j = 0; c && j < AIOS__RX_CHUNK; j++)
            aios__free(x->heap, atomic_load(&c->rows[j]));
        aios__free(x->heap, c);
    }
    aios__free(x->heap, x->memo);
    aios__free(x->heap, x->words);
    aios__free(x->heap, x->buckets);
    aios__free(x->heap, x->scratch);
    pthread_mutex_destroy(&x->lock);
    aios__free(x->heap, x);
}

size_t aios__rx_size(const aios__rx *x)
{
    return sizeof *x + ((x->n + AIOS__RX_CHUNK - 1) / AIOS__RX_CHUNK) * sizeof(aios__rx_chunk) + x->n_rows * 256 * sizeof(uint32_t) +
           ((size_t)x->cap_words + x->n_buckets + x->cap_scratch) * sizeof(uint32_t) +
           (x->memo ? x->n_memo * sizeof *x->memo : 0);
}

bool aios__rx_worn(const aios__rx *x)
{
    return atomic_load_explicit(&((aios__rx *)(uintptr_t)x)->worn, memory_order_relaxed);
}
