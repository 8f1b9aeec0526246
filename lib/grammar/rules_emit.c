/* SPDX-License-Identifier: Apache-2.0 */
/* From terms to nodes. A node is made empty when it is first asked for, and filled when its turn comes: nothing here calls itself. */
#include "grammar/rules.h"

int aios__rules_push(aios__rules *r, uint32_t v, aios_error *err)
{
    int rc = aios__grow(r->heap, &r->row, &r->cap_row, (size_t)r->n_row + 1, AIOS__G_WORDS, sizeof v, "parts of rules", err);
    if (!rc)
        r->row[r->n_row++] = v;
    return rc;
}

int aios__rules_later(aios__rules *r, uint32_t v, aios_error *err)
{
    int rc = aios__grow(r->heap, &r->todo, &r->cap_todo, (size_t)r->n_todo + 1, AIOS__G_WORDS, sizeof v, "parts of rules", err);
    if (!rc)
        r->todo[r->n_todo++] = v;
    return rc;
}

int aios__rules_empty(aios__rules *r, uint32_t *node, aios_error *err)
{
    int rc = r->empty ? AIOS_OK : aios__grammar_lit(r->g, "", 0, &r->empty, err);
    *node = r->empty;
    return rc;
}

int aios__rules_fill(aios__rules *r, uint32_t node, uint8_t kind, uint32_t from, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_words(r->g, r->row + from, r->n_row - from, &at, err);
    if (!rc)
        r->g->nodes[node] = (aios__gnode){.kind = kind, .a = at, .b = r->n_row - from};
    r->n_row = from;
    return rc;
}

/* The term behind references that do not lead back to themselves. */
static uint32_t behind(const aios__rules *r, uint32_t t)
{
    while (r->terms[t].kind == AIOS__T_REF && !r->terms[t].comp)
        t = r->rules[r->terms[t].a].body;
    return t;
}

int aios__rules_node_of(aios__rules *r, uint32_t t, int mode, uint32_t *node, aios_error *err)
{
    if (mode == AIOS__T_FIRST && r->terms[t].flags & AIOS__T_SKIP) { /* a choice of nothing */
        int rc = r->never ? AIOS_OK : aios__grammar_node(r->g, AIOS__G_ALT, &r->never, err);
        *node = r->never;
        return rc;
    }
    t = behind(r, t);
    mode = mode == AIOS__T_SOME && !aios__rules_nullable(r, t) ? AIOS__T_FULL : mode;
    *node = r->terms[t].kind == AIOS__T_NODE ? r->terms[t].a : r->terms[t].node[mode];
    if (*node)
        return AIOS_OK;
    int rc = aios__grammar_node(r->g, AIOS__G_ALT, node, err);
    r->terms[t].node[mode] = *node;
    return rc ? rc : aios__rules_later(r, t << 2 | (uint32_t)mode, err);
}

static int push_term(aios__rules *r, uint32_t t, int mode, aios_error *err)
{
    uint32_t node;
    int rc = aios__rules_node_of(r, t, mode, &node, err);
    return rc ? rc : aios__rules_push(r, node, err);
}

/* ---- regular parts ------------------------------------------------------------------------------------------------ */

/* Fills the node with an expression; without texts it stays a choice of nothing. */
static int fill_rx(aios__rules *r, uint32_t node, uint32_t expr, bool full, aios_error *err)
{
    aios__rx *x = r->g->rx;
    bool exists;
    int rc = !full && aios__rx_ends(x, expr) ? aios__rules_some(x, expr, &expr, err) : AIOS_OK;
    rc = rc ? rc : aios__rx_exists(x, expr, &exists, err);
    if (rc || !exists)
        return rc;
    r->g->nodes[node] = expr == AIOS__RX_EMPTY ? (aios__gnode){.kind = AIOS__G_LIT} : (aios__gnode){.kind = AIOS__G_RX, .a = expr};
    return AIOS_OK;
}

static int fill_regular(aios__rules *r, uint32_t t, uint32_t node, bool full, aios_error *err)
{
    const aios__term *x = &r->terms[t];
    uint32_t expr;
    if (x->kind == AIOS__T_LIT && (full || x->b)) {
        r->g->nodes[node] = (aios__gnode){.kind = AIOS__G_LIT, .a = x->a, .b = x->b};
        return AIOS_OK;
    }
    int rc = aios__rules_expr(r, t, &expr, err);
    return rc ? rc : fill_rx(r, node, expr, full, err);
}

/* Neighbours in a list that can be one expression: as many from the i-th on as are small enough together. */
static uint32_t run_of(const aios__rules *r, const uint32_t *t, uint32_t n)
{
    uint64_t weight = 0, size = 0;
    uint32_t i = 0;
    for (; i < n && r->terms[t[i]].flags & AIOS__T_REGULAR; i++) {
        weight += r->terms[t[i]].weight;
        size += r->terms[t[i]].size;
        if (i && !aios__rules_joins(r, weight, size))
            break;
    }
    return i;
}

/* One node for n regular terms, one after the other or any of them. */
static int push_run(aios__rules *r, uint8_t kind, const uint32_t *t, uint32_t n, bool full, aios_error *err)
{
    uint32_t from = r->n_row, expr = AIOS__RX_EMPTY, node;
    int rc = aios__grammar_node(r->g, AIOS__G_ALT, &node, err);
    for (uint32_t i = 0; i < n && !rc; i++) {
        rc = aios__rules_expr(r, t[i], &expr, err);
        rc = rc ? rc : aios__rules_push(r, expr, err);
    }
    if (!rc && kind == AIOS__T_ALT)
        rc = aios__rx_or(r->g->rx, r->row + from, n, &expr, err);
    else if (!rc)
        expr = AIOS__RX_EMPTY;
    for (uint32_t i = n; i-- && !rc && kind == AIOS__T_SEQ;)
        rc = aios__rx_cat(r->g->rx, r->row[from + i], expr, &expr, err);
    r->n_row = from;
    rc = rc ? rc : fill_rx(r, node, expr, full, err);
    return rc ? rc : aios__rules_push(r, node, err);
}

/* ---- lists -------------------------------------------------------------------------------------------------------- */

/* The n terms at list[at], neighbours that are regular as one. */
static int push_runs(aios__rules *r, uint8_t kind, uint32_t at, uint32_t n, bool full, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n && !rc;) {
        uint32_t run = run_of(r, r->list + at + i, n - i);
        rc = run > 1 ? push_run(r, kind, r->list + at + i, run, full, err) : push_term(r, r->list[at + i], full ? AIOS__T_FULL : AIOS__T_SOME, err);
        i += run > 1 ? run : 1;
    }
    return rc;
}

/* Not empty: the first is not, or the rest is not. */
static int fill_some(aios__rules *r, uint32_t t, uint32_t node, aios_error *err)
{
    uint32_t from = r->n_row, seq, first = r->list[r->terms[t].a];
    bool wrap = r->terms[t].flags & AIOS__T_WRAP; /* the rest is not empty, whatever is skipped */
    int rc = aios__rules_rests(r, t, err);
    uint32_t rest = r->terms[t].rest;
    if (wrap) {
        rc = rc ? rc : push_term(r, first, AIOS__T_FULL, err);
        rc = rc ? rc : push_term(r, rest, AIOS__T_SOME, err);
        return rc ? rc : aios__rules_fill(r, node, AIOS__G_SEQ, from, err);
    }
    rc = rc ? rc : aios__grammar_node(r->g, AIOS__G_SEQ, &seq, err);
    rc = rc ? rc : push_term(r, first, AIOS__T_SOME, err);
    rc = rc ? rc : push_term(r, rest, AIOS__T_FULL, err);
    rc = rc ? rc : aios__rules_fill(r, seq, AIOS__G_SEQ, from, err);
    rc = rc ? rc : aios__rules_push(r, seq, err);
    rc = rc ? rc : push_term(r, rest, AIOS__T_SOME, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

/* Literals of a choice that are too many for one expression: one set, which the last pass sorts. */
static int push_set(aios__rules *r, uint32_t at, uint32_t n, aios_error *err)
{
    uint32_t node, words, from = r->n_row;
    int rc = aios__grammar_node(r->g, AIOS__G_SET, &node, err);
    for (uint32_t i = 0; i < n && !rc; i++) {
        const aios__term *x = &r->terms[behind(r, r->list[at + i])];
        if (!x->b)
            continue;
        const uint32_t entry[3] = {x->a, x->b, AIOS__G_NONE};
        for (int k = 0; k < 3 && !rc; k++)
            rc = aios__rules_push(r, entry[k], err);
    }
    uint32_t n_words = r->n_row - from;
    rc = rc ? rc : aios__grammar_words(r->g, r->row + from, n_words, &words, err);
    r->n_row = from;
    if (rc)
        return rc;
    r->g->nodes[node] = (aios__gnode){.kind = AIOS__G_SET, .a = words, .b = n_words / 3};
    return aios__rules_push(r, node, err);
}

enum { LITERALS, REGULARS, OTHERS, CLASSES };

static int class_of(const aios__rules *r, uint32_t t)
{
    return r->terms[behind(r, t)].kind == AIOS__T_LIT ? LITERALS : r->terms[t].flags & AIOS__T_REGULAR ? REGULARS : OTHERS;
}

/* Puts the n alternatives at list[at] in order of their class; *n_lits: how many are literals. */
static int arrange(aios__rules *r, uint32_t at, uint32_t n, uint32_t *n_lits, aios_error *err)
{
    uint32_t from = r->n_row;
    int rc = AIOS_OK;
    for (int class = 0; class < CLASSES; class++) {
        for (uint32_t i = 0; i < n && !rc; i++)
            if (class_of(r, r->list[at + i]) == class)
                rc = aios__rules_push(r, r->list[at + i], err);
        *n_lits = class == LITERALS ? r->n_row - from : *n_lits;
    }
    if (!rc)
        memcpy(r->list + at, r->row + from, n * sizeof *r->list);
    r->n_row = from;
    return rc;
}

/* A choice: many literals as a set, what is regular together. */
static int fill_choice(aios__rules *r, uint32_t t, uint32_t node, bool full, aios_error *err)
{
    uint32_t from = r->n_row, at = r->terms[t].a, n = r->terms[t].b, n_lits = 0;
    int rc = arrange(r, at, n, &n_lits, err);
    n_lits = n_lits < 3 ? 0 : n_lits;
    rc = rc || !n_lits ? rc : push_set(r, at, n_lits, err);
    rc = rc ? rc : push_runs(r, AIOS__T_ALT, at + n_lits, n - n_lits, full, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

/* A repeat, of what is not empty. */
static int fill_rep(aios__rules *r, uint32_t t, uint32_t node, bool full, aios_error *err)
{
    const aios__term x = r->terms[t];
    uint32_t body, from = r->n_row, min = aios__rules_nullable(r, x.a) ? 0 : x.min;
    min = full || min ? min : 1;
    if (x.max < min || !x.max) /* nothing, or the empty text */
        return full && !x.max ? (r->g->nodes[node] = (aios__gnode){.kind = AIOS__G_LIT}, AIOS_OK) : AIOS_OK;
    int rc = aios__rules_node_of(r, x.a, AIOS__T_SOME, &body, err);
    if (rc)
        return rc;
    if (x.max > 1) {
        r->g->nodes[node] = (aios__gnode){.kind = AIOS__G_REP, .a = body, .b = body, .min = min, .max = x.max == AIOS__RULES_ENDLESS ? UINT64_MAX : x.max};
        return AIOS_OK;
    }
    uint32_t empty;
    rc = aios__rules_push(r, body, err);
    rc = rc || min ? rc : aios__rules_empty(r, &empty, err);
    rc = rc || min ? rc : aios__rules_push(r, empty, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

/* Empty, or as in the mode. */
static int fill_both(aios__rules *r, uint32_t t, int mode, uint32_t node, aios_error *err)
{
    uint32_t from = r->n_row, empty;
    int rc = push_term(r, t, mode, err);
    rc = rc ? rc : aios__rules_empty(r, &empty, err);
    rc = rc ? rc : aios__rules_push(r, empty, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

/* The beginning of a text: the first part that is not empty begins it, and the rest is as everywhere. */
static int fill_first_of(aios__rules *r, uint32_t first, uint32_t rest, bool may_begin_with_rest, uint32_t node, aios_error *err)
{
    uint32_t from = r->n_row, seq;
    int rc = aios__grammar_node(r->g, AIOS__G_SEQ, &seq, err);
    rc = rc ? rc : push_term(r, first, AIOS__T_FIRST, err);
    rc = rc || !rest ? rc : push_term(r, rest, AIOS__T_FULL, err);
    rc = rc ? rc : aios__rules_fill(r, seq, AIOS__G_SEQ, from, err);
    rc = rc ? rc : aios__rules_push(r, seq, err);
    rc = rc || !may_begin_with_rest ? rc : push_term(r, rest, AIOS__T_FIRST, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

static int fill_first(aios__rules *r, uint32_t t, uint32_t node, aios_error *err)
{
    const aios__term x = r->terms[t];
    uint32_t rest = 0, from = r->n_row;
    int rc = AIOS_OK;
    if (x.comp)
        return aios__rules_emit_left(r, t, AIOS__T_FIRST, node, err);
    if (x.kind == AIOS__T_SEQ) {
        rc = aios__rules_rests(r, t, err);
        return rc ? rc : fill_first_of(r, r->list[x.a], r->terms[t].rest, aios__rules_nullable(r, r->list[x.a]), node, err);
    }
    if (x.kind == AIOS__T_REP) {
        rc = x.max ? aios__rules_rest_of_rep(r, t, &rest, err) : AIOS_OK;
        return rc || !x.max ? rc : fill_first_of(r, x.a, rest, false, node, err);
    }
    for (uint32_t i = 0; i < x.b && !rc; i++)
        rc = push_term(r, r->list[x.a + i], AIOS__T_FIRST, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

static int fill(aios__rules *r, uint32_t t, int mode, aios_error *err)
{
    const aios__term *x = &r->terms[t];
    uint32_t node = x->node[mode], from = r->n_row;
    bool splits = aios__rules_nullable(r, t), whole = x->flags & AIOS__T_TOKEN || x->kind == AIOS__T_LIT || x->kind == AIOS__T_RX;
    int rc;
    if (mode == AIOS__T_FIRST && !whole)
        return fill_first(r, t, node, err);
    if (x->flags & AIOS__T_REGULAR)
        return fill_regular(r, t, node, mode == AIOS__T_FULL, err);
    if (x->kind == AIOS__T_LIT) { /* a long one */
        r->g->nodes[node] = (aios__gnode){.kind = AIOS__G_LIT, .a = x->a, .b = x->b};
        return AIOS_OK;
    }
    if (splits && mode == AIOS__T_FULL && (x->comp || x->kind != AIOS__T_REP))
        return fill_both(r, t, AIOS__T_SOME, node, err);
    if (x->comp)
        return aios__rules_emit_left(r, t, AIOS__T_SOME, node, err);
    switch (x->kind) {
    case AIOS__T_SEQ:
        if (splits)
            return fill_some(r, t, node, err);
        rc = push_runs(r, x->kind, x->a, x->b, true, err);
        return rc ? rc : aios__rules_fill(r, node, AIOS__G_SEQ, from, err);
    case AIOS__T_ALT:
        return fill_choice(r, t, node, !splits, err);
    default:
        return fill_rep(r, t, node, mode == AIOS__T_FULL, err);
    }
}

int aios__rules_emit(aios__rules *r, uint32_t t, uint32_t *node, aios_error *err)
{
    bool both = r->skips && aios__rules_nullable(r, t);
    int rc = both ? aios__grammar_node(r->g, AIOS__G_ALT, node, err) : aios__rules_node_of(r, t, r->skips ? AIOS__T_FIRST : AIOS__T_FULL, node, err);
    rc = rc || !both ? rc : fill_both(r, t, AIOS__T_FIRST, *node, err);
    while (!rc && r->n_todo) {
        uint32_t next = r->todo[--r->n_todo];
        rc = fill(r, next >> 2, next & 3, err);
    }
    return rc;
}
