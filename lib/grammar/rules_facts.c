/* SPDX-License-Identifier: Apache-2.0 */
/* Which terms may be empty and which are regular: least fixpoints, each fact handed on to parents and references once. */
#include "grammar/rules.h"
#include "grammar/rx_priv.h"

/* More than this and a part stays a node of its own: steps of an expression cost as much as it has parts, and each count is a state. */
enum { MAX_WEIGHT = 400, MAX_SIZE = 2000, MAX_POOL = 60000 };

bool aios__rules_joins(const aios__rules *r, uint64_t weight, uint64_t size)
{
    return weight <= MAX_WEIGHT && size <= MAX_SIZE && r->g->rx->n < MAX_POOL;
}

static int literal(aios__rules *r, const char *s, uint32_t n, uint32_t *expr, aios_error *err)
{
    int rc = AIOS_OK;
    *expr = AIOS__RX_EMPTY;
    while (!rc && n--) {
        uint32_t set[8] = {0}, e = 0;
        set[(uint8_t)s[n] / 32] = 1u << (uint8_t)s[n] % 32;
        rc = aios__rx_bytes(r->g->rx, set, &e, err);
        rc = rc ? rc : aios__rx_cat(r->g->rx, e, *expr, expr, err);
    }
    return rc;
}

int aios__rules_expr(aios__rules *r, uint32_t t, uint32_t *expr, aios_error *err)
{
    aios__term *x = &r->terms[t];
    int rc = x->kind == AIOS__T_LIT && !x->expr && x->b ? literal(r, r->g->bytes + x->a, x->b, &x->expr, err) : AIOS_OK;
    *expr = x->kind == AIOS__T_LIT && !x->b ? AIOS__RX_EMPTY : x->expr;
    return rc;
}

int aios__rules_some(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err)
{
    uint32_t both[2] = {e, 0};
    int rc = aios__rx_repeat(x, AIOS__RX_BYTE, 1, AIOS__RX_ENDLESS, &both[1], err);
    return rc ? rc : aios__rx_and(x, both, 2, out, err);
}

static int expr_of_list(aios__rules *r, aios__term *x, aios_error *err)
{
    uint32_t from = r->n_row, e = 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->b; i++) {
        rc = aios__rules_expr(r, r->list[x->a + i], &e, err);
        rc = rc ? rc : aios__rules_push(r, e, err);
    }
    bool optional = !rc && x->flags & AIOS__T_WRAP && aios__rx_ends(r->g->rx, e);
    if (optional)
        rc = aios__rules_some(r->g->rx, e, &r->row[from + 1], err);
    if (!rc && x->kind != AIOS__T_SEQ)
        rc = (x->kind == AIOS__T_ALT ? aios__rx_or : aios__rx_and)(r->g->rx, r->row + from, x->b, &x->expr, err);
    else if (!rc)
        x->expr = AIOS__RX_EMPTY;
    for (uint32_t i = x->b; !rc && x->kind == AIOS__T_SEQ && i--;)
        rc = aios__rx_cat(r->g->rx, r->row[from + i], x->expr, &x->expr, err);
    if (!rc && optional)
        rc = aios__rx_or(r->g->rx, (uint32_t[2]){x->expr, AIOS__RX_EMPTY}, 2, &x->expr, err);
    r->n_row = from;
    return rc;
}

/* Texts of whole characters that are not in e. */
static int not_in(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err)
{
    static const uint32_t every[] = {0, 0x10ffff};
    uint32_t both[2] = {0, 0};
    int rc = aios__rx_chars(x, every, 1, &both[0], err);
    rc = rc ? rc : aios__rx_repeat(x, both[0], 0, AIOS__RX_ENDLESS, &both[0], err);
    rc = rc ? rc : aios__rx_not(x, e, &both[1], err);
    return rc ? rc : aios__rx_and(x, both, 2, out, err);
}

/* e without what begins with another text of it. */
static int lazy(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err)
{
    uint32_t longer, both[2] = {e};
    int rc = aios__rx_repeat(x, AIOS__RX_BYTE, 1, AIOS__RX_ENDLESS, &longer, err);
    rc = rc ? rc : aios__rx_cat(x, e, longer, &longer, err);
    rc = rc ? rc : aios__rx_not(x, longer, &both[1], err);
    return rc ? rc : aios__rx_and(x, both, 2, out, err);
}

static int expr_of_one(aios__rules *r, aios__term *x, aios_error *err)
{
    uint32_t e;
    int rc = aios__rules_expr(r, x->a, &e, err);
    if (!rc && x->kind != AIOS__T_REP)
        return x->kind == AIOS__T_NOT ? not_in(r->g->rx, e, &x->expr, err) : lazy(r->g->rx, e, &x->expr, err);
    return rc ? rc : aios__rx_repeat(r->g->rx, e, x->min, x->max == AIOS__RULES_ENDLESS ? AIOS__RX_ENDLESS : x->max, &x->expr, err);
}

/* What a term whose children are regular costs. */
static void measure(const aios__rules *r, const aios__term *x, uint64_t *weight, uint64_t *size)
{
    const aios__term *y;
    *weight = *size = x->kind == AIOS__T_LIT ? x->b : 0;
    switch (x->kind) {
    case AIOS__T_RX:
        *weight = x->weight;
        *size = x->size;
        break;
    case AIOS__T_REF:
        y = &r->terms[r->rules[x->a].body];
        *weight = y->weight;
        *size = y->size;
        break;
    case AIOS__T_NOT:
    case AIOS__T_LAZY:
    case AIOS__T_REP:
        y = &r->terms[x->a];
        *weight = (uint64_t)y->weight + 1;
        *size = x->kind != AIOS__T_REP ? y->size : (uint64_t)y->size * (x->max != AIOS__RULES_ENDLESS ? x->max : x->min ? x->min : 1);
        break;
    default:
        for (uint32_t i = 0; i < x->b && x->kind != AIOS__T_LIT; i++) {
            *weight += r->terms[r->list[x->a + i]].weight;
            *size += r->terms[r->list[x->a + i]].size;
        }
    }
}

/* Gives term t, whose children are regular, its expression; one that is too large is not regular. */
static int express(aios__rules *r, uint32_t t, aios_error *err)
{
    aios__term *x = &r->terms[t];
    uint64_t weight, size;
    measure(r, x, &weight, &size);
    if (x->kind != AIOS__T_RX && !(x->flags & AIOS__T_TOKEN) && !aios__rules_joins(r, weight, size)) {
        x->flags &= (uint8_t)~AIOS__T_REGULAR;
        return AIOS_OK;
    }
    x->weight = weight < UINT32_MAX ? (uint32_t)weight : UINT32_MAX;
    x->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    if (x->kind == AIOS__T_REF)
        return aios__rules_expr(r, r->rules[x->a].body, &x->expr, err);
    if (x->kind == AIOS__T_REP || x->kind == AIOS__T_NOT || x->kind == AIOS__T_LAZY)
        return expr_of_one(r, x, err);
    return x->kind == AIOS__T_LIT || x->kind == AIOS__T_RX ? AIOS_OK : expr_of_list(r, x, err);
}

static bool has_of_itself(const aios__rules *r, const aios__term *x, uint8_t fact)
{
    if (fact == AIOS__T_REGULAR)
        return x->kind == AIOS__T_LIT || x->kind == AIOS__T_RX;
    if (x->flags & AIOS__T_REGULAR)
        return x->kind == AIOS__T_LIT ? !x->b : aios__rx_ends(r->g->rx, x->expr);
    return x->kind == AIOS__T_REP && !x->min;
}

/* Whether regular terms may be empty, their expressions say. */
static int set_fact(aios__rules *r, uint32_t t, uint8_t fact, aios_error *err)
{
    if (r->terms[t].flags & fact || (r->terms[t].flags & AIOS__T_REGULAR && !has_of_itself(r, &r->terms[t], fact)))
        return AIOS_OK;
    int rc = aios__grow(r->heap, &r->todo, &r->cap_todo, (size_t)r->n_todo + 1, AIOS__RULES_TERMS, sizeof *r->todo, "parts of rules", err);
    if (rc)
        return rc;
    r->terms[t].flags |= fact;
    r->todo[r->n_todo++] = t;
    return AIOS_OK;
}

/* A child of t has the fact. */
static int hand_up(aios__rules *r, uint32_t t, uint8_t fact, aios_error *err)
{
    aios__term *x = &r->terms[t];
    bool one_is_enough = x->kind == AIOS__T_REP || x->kind == AIOS__T_NOT || x->kind == AIOS__T_LAZY || (x->kind == AIOS__T_ALT && fact == AIOS__T_NULLABLE);
    return !t || (!one_is_enough && --x->left) ? AIOS_OK : set_fact(r, t, fact, err);
}

static int find_out(aios__rules *r, uint8_t fact, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t t = 1; t < r->n_terms && !rc; t++) {
        r->terms[t].left = r->terms[t].b;
        rc = has_of_itself(r, &r->terms[t], fact) ? set_fact(r, t, fact, err) : AIOS_OK;
    }
    while (!rc && r->n_todo) {
        uint32_t t = r->todo[--r->n_todo];
        rc = fact == AIOS__T_REGULAR ? express(r, t, err) : AIOS_OK;
        if (rc || !(r->terms[t].flags & fact))
            continue;
        uint32_t ref = r->terms[t].rule ? r->rules[r->terms[t].rule - 1].refs : 0;
        for (; ref && !rc; ref = r->terms[ref].b)
            rc = set_fact(r, ref, fact, err);
        rc = rc ? rc : hand_up(r, r->terms[t].up, fact, err);
    }
    r->n_todo = 0;
    return rc;
}

int aios__rules_facts(aios__rules *r, aios_error *err)
{
    int rc = find_out(r, AIOS__T_REGULAR, err);
    return rc ? rc : find_out(r, AIOS__T_NULLABLE, err);
}
