/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives, the rows of the automaton, and whether a text exists. */
#include "grammar/rx_priv.h"

/* ---- derivatives -------------------------------------------------------------------------------------------------- */

static bool has_byte(const aios__rx *x, const aios__rx_node *n, uint8_t c)
{
    return x->words[n->a + c / 32] >> c % 32 & 1;
}

/* Of each member; they are pushed and joined. */
static int derive_list(aios__rx *x, const aios__rx_node *n, uint8_t c, uint32_t *out, aios_error *err)
{
    uint32_t from = x->n_scratch, e;
    int rc = aios__rx_spend(x, n->b / 2, err);
    for (uint32_t i = 0; !rc && i < n->b; i++) {
        rc = aios__rx_derive(x, x->words[n->a + i], c, &e, err);
        rc = rc ? rc : aios__rx_push(x, e, err);
    }
    if (!rc)
        return aios__rx_list(x, n->kind, from, out, err);
    x->n_scratch = from;
    return rc;
}

/* Of the first part, and of what follows as long as parts may be empty. */
static int derive_cat(aios__rx *x, uint32_t e, uint8_t c, uint32_t *out, aios_error *err)
{
    uint32_t from = x->n_scratch, d;
    int rc = AIOS_OK;
    for (;;) {
        const aios__rx_node *n = aios__rx_at(x, e);
        bool last = n->kind != AIOS__RX_CAT;
        rc = aios__rx_derive(x, last ? e : n->a, c, &d, err);
        if (!rc && !last)
            rc = aios__rx_cat(x, d, n->b, &d, err);
        rc = rc ? rc : aios__rx_push(x, d, err);
        if (rc || last || !aios__rx_nullable(x, n->a))
            break;
        e = n->b;
    }
    if (!rc)
        return aios__rx_list(x, AIOS__RX_OR, from, out, err);
    x->n_scratch = from;
    return rc;
}

static int derive(aios__rx *x, uint32_t e, uint8_t c, uint32_t *out, aios_error *err)
{
    const aios__rx_node n = *aios__rx_at(x, e);
    uint32_t rest;
    int rc;
    switch (n.kind) {
    case AIOS__RX_SET:
        *out = has_byte(x, &n, c) ? AIOS__RX_EMPTY : AIOS__RX_NOTHING;
        return AIOS_OK;
    case AIOS__RX_CAT:
        return derive_cat(x, e, c, out, err);
    case AIOS__RX_OR:
    case AIOS__RX_AND:
        return derive_list(x, &n, c, out, err);
    case AIOS__RX_NOT:
        rc = aios__rx_derive(x, n.a, c, out, err);
        return rc ? rc : aios__rx_not(x, *out, out, err);
    case AIOS__RX_REP:
        rc = aios__rx_derive(x, n.a, c, out, err);
        if (rc || *out == AIOS__RX_NOTHING)
            return rc;
        rc = aios__rx_repeat(x, n.a, n.min ? n.min - 1 : 0, n.max == AIOS__RX_ENDLESS ? n.max : n.max - 1, &rest, err);
        return rc ? rc : aios__rx_cat(x, *out, rest, out, err);
    default:
        *out = n.kind == AIOS__RX_ANY ? AIOS__RX_ALL : AIOS__RX_NOTHING;
        return AIOS_OK;
    }
}

/* As many results as there are expressions have room, or none without memory. */
static aios__rx_memo *memo_of(aios__rx *x, uint32_t e, uint8_t c)
{
    if (x->n > x->n_memo && x->n_memo < AIOS__RX_MEMO) {
        aios__free(x->heap, x->memo);
        x->n_memo = x->n_memo ? 2 * x->n_memo : 64;
        x->memo = aios__alloc_array(x->heap, AIOS_MEM_OTHER, x->n_memo, sizeof *x->memo, NULL);
    }
    return x->memo ? &x->memo[(e * 0x9e3779b1u ^ c * 0x85ebca6bu) >> 16 & (x->n_memo - 1)] : NULL;
}

/* Recursion is as deep as expressions nest: at most AIOS__RX_DEPTH. States have most of their parts in common, so the last results are kept. */
int aios__rx_derive(aios__rx *x, uint32_t e, uint8_t c, uint32_t *out, aios_error *err)
{
    if (aios__rx_at(x, e)->kind < AIOS__RX_CAT)
        return derive(x, e, c, out, err);
    const aios__rx_memo *m = memo_of(x, e, c);
    if (m && m->e == e && m->c == c) {
        *out = m->out;
        return AIOS_OK;
    }
    int rc = derive(x, e, c, out, err);
    aios__rx_memo *to = rc ? NULL : memo_of(x, e, c); /* it may have moved */
    if (to)
        *to = (aios__rx_memo){e, *out, c};
    return rc;
}

/* ---- classes of bytes --------------------------------------------------------------------------------------------- */

/* Bytes of one class have one derivative. The sets are apart, and all bytes are in one. */
typedef struct classes {
    uint64_t set[256][4];
    uint32_t n;
} classes;

static void split(classes *k, const uint32_t set[8])
{
    uint64_t s[4];
    memcpy(s, set, sizeof s);
    for (uint32_t i = 0, n = k->n; i < n; i++) {
        uint64_t *p = k->set[i], some = 0, others = 0;
        for (int j = 0; j < 4; j++) {
            some |= p[j] & s[j];
            others |= p[j] & ~s[j];
        }
        if (!some || !others)
            continue;
        for (int j = 0; j < 4; j++) {
            k->set[k->n][j] = p[j] & s[j];
            p[j] &= ~s[j];
        }
        k->n++;
    }
}

static void classify(const aios__rx *x, uint32_t e, classes *k)
{
    const aios__rx_node *n = aios__rx_at(x, e);
    for (; n->kind == AIOS__RX_CAT; n = aios__rx_at(x, n->b)) {
        classify(x, n->a, k);
        if (!aios__rx_nullable(x, n->a))
            return;
    }
    if (n->kind == AIOS__RX_SET)
        split(k, x->words + n->a);
    else if (n->kind == AIOS__RX_NOT || n->kind == AIOS__RX_REP)
        classify(x, n->a, k);
    for (uint32_t i = 0; (n->kind == AIOS__RX_OR || n->kind == AIOS__RX_AND) && i < n->b; i++)
        classify(x, x->words[n->a + i], k);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static _Atomic(uint32_t *) *row_of(const aios__rx *x, uint32_t e)
{
    return &aios__rx_chunk_of(x, e)->rows[e % AIOS__RX_CHUNK];
}

static uint8_t first_byte(const uint64_t set[4])
{
    uint32_t i = 0;
    while (!set[i])
        i++;
    return (uint8_t)(64 * i + (uint32_t)__builtin_ctzll(set[i]));
}

/* The state behind each class. Under the lock. */
static int derive_classes(aios__rx *x, uint32_t e, classes *k, uint32_t state[256], aios_error *err)
{
    int rc = aios__rx_spend(x, AIOS__RX_STATE, err);
    memset(k->set[0], 0xff, sizeof k->set[0]);
    k->n = 1;
    classify(x, e, k);
    for (uint32_t i = 0; !rc && i < k->n; i++)
        rc = aios__rx_derive(x, e, first_byte(k->set[i]), &state[i], err);
    return rc;
}

/* Without a look at what lives. */
static int raw_row(aios__rx *x, uint32_t e, uint32_t *row, aios_error *err)
{
    classes k;
    uint32_t state[256];
    int rc = derive_classes(x, e, &k, state, err);
    for (uint32_t i = 0; !rc && i < k.n; i++)
        for (uint32_t j = 0; j < 4; j++)
            for (uint64_t bits = k.set[i][j]; bits; bits &= bits - 1)
                row[64 * j + (uint32_t)__builtin_ctzll(bits)] = state[i];
    return rc;
}

static bool is_known(const aios__rx *x, uint32_t e)
{
    return e == AIOS__RX_NOTHING || aios__rx_at(x, e)->flags & (AIOS__RX_ALIVE | AIOS__RX_DEAD);
}

/* A list of states on the stack, each once, and behind each the place of the one that led to it. */
static int note(aios__rx *x, uint32_t e, uint32_t by, aios_error *err)
{
    if (aios__rx_at(x, e)->flags & AIOS__RX_NOTED)
        return AIOS_OK;
    int rc = aios__rx_push(x, e, err);
    rc = rc ? rc : aios__rx_push(x, by, err);
    aios__rx_at(x, e)->flags |= rc ? 0 : AIOS__RX_NOTED;
    return rc;
}

/* Looks breadth-first for a state in which some text is known to be; if there is none, all that were seen are dead. */
static int look(aios__rx *x, uint32_t e, aios_error *err)
{
    classes k;
    uint32_t from = x->n_scratch, state[256];
    bool alive = false;
    int rc = note(x, e, from, err);
    for (uint32_t i = from; !rc && !alive && i < x->n_scratch; i += 2) {
        if (x->n_scratch - from > 2 * AIOS__RX_LOOK)
            rc = aios__fail(err, AIOS_ELIMIT, "it takes more than %u steps to find out whether any text fits: make the pattern simpler", AIOS__RX_LOOK);
        rc = rc ? rc : derive_classes(x, x->scratch[i], &k, state, err);
        for (uint32_t c = 0; !rc && !alive && c < k.n; c++) {
            alive = aios__rx_at(x, state[c])->flags & AIOS__RX_ALIVE;
            if (!alive && !is_known(x, state[c]))
                rc = note(x, state[c], i, err);
        }
        for (uint32_t at = i; alive && !(aios__rx_at(x, x->scratch[at])->flags & AIOS__RX_ALIVE); at = x->scratch[at + 1])
            aios__rx_at(x, x->scratch[at])->flags |= AIOS__RX_ALIVE; /* and all on the way there */
    }
    for (uint32_t i = from; i < x->n_scratch; i += 2) {
        aios__rx_at(x, x->scratch[i])->flags &= (uint8_t)~AIOS__RX_NOTED;
        aios__rx_at(x, x->scratch[i])->flags |= rc || alive ? 0 : AIOS__RX_DEAD;
    }
    x->n_scratch = from;
    return rc;
}

static int make_row(aios__rx *x, uint32_t e, aios_error *err)
{
    int rc = AIOS_OK;
    if (x->n_rows == AIOS__RX_ROWS)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS__RX_ROWS, (uint64_t)x->n_rows + 1, "the texts read take more than %u states of regular expressions: leave less open in them", x->n_rows);
    uint32_t *row = aios__alloc_array(x->heap, AIOS_MEM_OTHER, 256, sizeof *row, err);
    if (!row)
        return aios__oom(err);
    x->fuel = 0;
    rc = raw_row(x, e, row, err);
    for (uint32_t c = 0; !rc && c < 256; c++) {
        if (!is_known(x, row[c]))
            rc = look(x, row[c], err);
        if (!rc && aios__rx_at(x, row[c])->flags & AIOS__RX_DEAD)
            row[c] = AIOS__RX_NOTHING;
    }
    if (rc) {
        aios__free(x->heap, row);
        return rc;
    }
    x->n_rows++;
    if (x->n_rows > AIOS__RX_ROWS / 2 || x->n > AIOS__RX_CHUNK * AIOS__RX_CHUNKS / 2)
        atomic_store_explicit(&x->worn, true, memory_order_relaxed);
    atomic_store_explicit(row_of(x, e), row, memory_order_release);
    return AIOS_OK;
}

int aios__rx_row(aios__rx *x, uint32_t state, const uint32_t **row, aios_error *err)
{
    int rc = AIOS_OK;
    *row = atomic_load_explicit(row_of(x, state), memory_order_acquire);
    if (*row)
        return AIOS_OK;
    pthread_mutex_lock(&x->lock);
    if (!atomic_load_explicit(row_of(x, state), memory_order_relaxed))
        rc = make_row(x, state, err);
    pthread_mutex_unlock(&x->lock);
    *row = atomic_load_explicit(row_of(x, state), memory_order_acquire);
    return rc;
}

bool aios__rx_ends(const aios__rx *x, uint32_t state)
{
    return aios__rx_nullable(x, state);
}

uint32_t aios__rx_least(const aios__rx *x, uint32_t e)
{
    return aios__rx_at(x, e)->least;
}

int aios__rx_exists(aios__rx *x, uint32_t e, bool *exists, aios_error *err)
{
    int rc = AIOS_OK;
    pthread_mutex_lock(&x->lock);
    x->fuel = 0;
    if (!is_known(x, e))
        rc = look(x, e, err);
    *exists = aios__rx_at(x, e)->flags & AIOS__RX_ALIVE;
    pthread_mutex_unlock(&x->lock);
    return rc;
}

int aios__rx_match(aios__rx *x, uint32_t e, const char *s, size_t n, bool *matches, aios_error *err)
{
    const uint32_t *row;
    int rc = AIOS_OK;
    for (size_t i = 0; i < n && e != AIOS__RX_NOTHING && e != AIOS__RX_ALL; i++) {
        rc = aios__rx_row(x, e, &row, err);
        if (rc)
            return rc;
        e = row[(uint8_t)s[i]];
    }
    *matches = aios__rx_ends(x, e);
    return AIOS_OK;
}
