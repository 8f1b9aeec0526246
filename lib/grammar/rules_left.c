/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Left recursion. Terms that reach each other before anything is read form a component (Tarjan 1972). Inside one, a text of v is one of a
 * term w's other beginnings b, then what makes a w into a v: v = b_w tail(w, v), where tail(w, v) = rest tail(u, v) for each u that begins
 * with a w and goes on with `rest`, or nothing if w is v. Steps whose rest may be empty are followed at once, so that tails read something
 * whenever they go round; all texts of a component are those that are not empty.
 */
#include "grammar/rules.h"

enum { FUEL = 3000000 };

/** Member `to` may begin with a member and go on with `rest` (0: nothing). next: another edge from the same one, + 1. */
typedef struct edge {
    uint32_t to, rest, next;
    uint32_t tail, node; /**< the last node that was made of it, and of which tail: stacks are equal only if their nodes are */
} edge;

/** A term of a component. Its parts, those of its beginnings that are no members, end where the next member's begin. */
typedef struct member {
    uint32_t term, edges, parts; /**< edges: the first, + 1; 0: none */
    uint32_t begin[AIOS__T_MODES]; /**< node of the parts, by mode; 0: not asked for yet */
    uint32_t seen;  /**< stamp of the last tail that came by */
    uint32_t next;  /**< of those that it has still to follow, + 1 */
} member;

typedef struct aios__left {
    member *members; /**< one more than there are, which ends the parts of the last */
    uint32_t n, cap;
    uint32_t *comps; /**< first member of each component; one more */
    uint32_t n_comps, cap_comps;
    edge *edges;
    uint32_t n_edges, cap_edges;
    uint32_t *parts; /**< two each: the term that is not empty, what follows it or 0 */
    uint32_t n_parts, cap_parts;
    uint32_t *tails, n_tails, cap_tails; /**< nodes of tails towards a member, one for each member of its component */
    uint32_t *rows;  /**< by member: 1 + where these are; 0: not asked for yet */
    uint32_t *wanted, n_wanted, cap_wanted; /**< two each: tails that wait to be filled, from and towards which member */
    uint32_t stamp, open; /**< open: the first that a tail has still to follow, + 1 */
} left;

void aios__rules_left_free(aios__rules *r)
{
    left *l = r->left;
    if (!l)
        return;
    aios__free(r->heap, l->members);
    aios__free(r->heap, l->comps);
    aios__free(r->heap, l->edges);
    aios__free(r->heap, l->parts);
    aios__free(r->heap, l->tails);
    aios__free(r->heap, l->rows);
    aios__free(r->heap, l->wanted);
    aios__free(r->heap, l);
    r->left = NULL;
}

static int burn(aios__rules *r, uint64_t n, aios_error *err)
{
    r->fuel += n;
    return r->fuel <= FUEL ? AIOS_OK : aios__fail(err, AIOS_ELIMIT, "too many rules of the grammar begin with each other: write repeats instead of left recursion");
}

int aios__rules_rests(aios__rules *r, uint32_t t, aios_error *err)
{
    uint32_t a = r->terms[t].a, n = r->terms[t].b;
    if (r->terms[t].rest || n < 2)
        return AIOS_OK;
    uint32_t rest = r->list[a + n - 1];
    for (uint32_t k = n - 2; k; k--) {
        int rc = aios__grow(r->heap, &r->terms, &r->cap_terms, (size_t)r->n_terms + 1, AIOS__RULES_TERMS, sizeof *r->terms, "parts of rules", err);
        if (rc)
            return rc;
        uint8_t flags = r->terms[r->list[a + k]].flags & r->terms[rest].flags & AIOS__T_NULLABLE;
        r->terms[r->n_terms] = (aios__term){.kind = AIOS__T_SEQ, .flags = flags, .a = a + k, .b = n - k, .rest = rest};
        rest = r->n_terms++;
    }
    r->terms[t].rest = rest;
    return AIOS_OK;
}

/* ---- components --------------------------------------------------------------------------------------------------- */

/* The i-th term with which t may begin; 0: there are no more. */
static uint32_t begins(const aios__rules *r, uint32_t t, uint32_t i)
{
    const aios__term *x = &r->terms[t];
    if (x->flags & AIOS__T_REGULAR)
        return 0;
    switch (x->kind) {
    case AIOS__T_REF:
        return i ? 0 : r->rules[x->a].body;
    case AIOS__T_REP:
        return i || !x->max ? 0 : x->a;
    case AIOS__T_ALT:
        return i < x->b ? r->list[x->a + i] : 0;
    case AIOS__T_SEQ:
        return i < x->b && (!i || aios__rules_nullable(r, r->list[x->a + i - 1])) ? r->list[x->a + i] : 0;
    default:
        return 0;
    }
}

typedef struct tarjan {
    uint32_t *index, *low, *stack, *path, *at; /* by term, by term; open terms; the way to the present one and the place in each */
    uint32_t n_stack, n_path, n_index;
} tarjan;

static void enter(tarjan *s, uint32_t t)
{
    s->index[t] = s->low[t] = ++s->n_index;
    s->stack[s->n_stack++] = t;
    s->path[s->n_path] = t;
    s->at[s->n_path++] = 0;
}

static bool reaches_itself(const aios__rules *r, uint32_t t)
{
    for (uint32_t i = 0, u; (u = begins(r, t, i)); i++)
        if (u == t)
            return true;
    return false;
}

/* t is the first of its component, which is what lies on the stack from it on. */
static int close_comp(aios__rules *r, tarjan *s, uint32_t t, aios_error *err)
{
    left *l = r->left;
    uint32_t from = s->n_stack;
    while (s->stack[--from] != t)
        ;
    bool many = s->n_stack - from > 1 || reaches_itself(r, t);
    int rc = many ? aios__grow(r->heap, &l->comps, &l->cap_comps, (size_t)l->n_comps + 2, AIOS__RULES_TERMS, sizeof *l->comps, "parts of rules", err) : AIOS_OK;
    rc = rc || !many ? rc : aios__grow(r->heap, &l->members, &l->cap, (size_t)l->n + (s->n_stack - from) + 1, AIOS__RULES_TERMS, sizeof *l->members, "parts of rules", err);
    if (!rc && many) {
        l->comps[l->n_comps++] = l->n;
        for (uint32_t i = from; i < s->n_stack; i++) {
            r->terms[s->stack[i]].comp = l->n_comps;
            r->terms[s->stack[i]].pos = l->n;
            l->members[l->n++] = (member){.term = s->stack[i]};
        }
        l->comps[l->n_comps] = l->n;
    }
    for (uint32_t i = from; i < s->n_stack; i++)
        s->low[s->stack[i]] = UINT32_MAX; /* closed */
    s->n_stack = from;
    return rc;
}

static int search(aios__rules *r, tarjan *s, uint32_t from, aios_error *err)
{
    int rc = AIOS_OK;
    enter(s, from);
    while (s->n_path && !rc) {
        uint32_t t = s->path[s->n_path - 1], u = begins(r, t, s->at[s->n_path - 1]++);
        if (u && !s->index[u]) {
            enter(s, u);
        } else if (u) {
            if (s->low[u] != UINT32_MAX && s->index[u] < s->low[t])
                s->low[t] = s->index[u];
        } else {
            uint32_t low = s->low[t];
            if (low == s->index[t])
                rc = close_comp(r, s, t, err);
            if (--s->n_path && s->low[t] != UINT32_MAX && low < s->low[s->path[s->n_path - 1]])
                s->low[s->path[s->n_path - 1]] = low;
        }
    }
    return rc;
}

static int components(aios__rules *r, aios_error *err)
{
    uint32_t n = r->n_terms;
    tarjan s = {.index = aios__alloc_array(r->heap, AIOS_MEM_SCRATCH, n, 5 * sizeof *s.index, err)};
    if (!s.index)
        return aios__oom(err);
    s.low = s.index + n;
    s.stack = s.low + n;
    s.path = s.stack + n;
    s.at = s.path + n;
    int rc = AIOS_OK;
    for (uint32_t t = 1; t < n && !rc; t++)
        if (!s.index[t])
            rc = search(r, &s, t, err);
    aios__free(r->heap, s.index);
    return rc;
}

/* ---- edges and parts ---------------------------------------------------------------------------------------------- */

static int add_edge(aios__rules *r, uint32_t from, uint32_t to, uint32_t rest, aios_error *err)
{
    left *l = r->left;
    int rc = aios__grow(r->heap, &l->edges, &l->cap_edges, (size_t)l->n_edges + 1, AIOS__G_WORDS, sizeof *l->edges, "parts of rules", err);
    if (rc)
        return rc;
    l->edges[l->n_edges++] = (edge){.to = to, .rest = rest, .next = l->members[from].edges};
    l->members[from].edges = l->n_edges;
    return AIOS_OK;
}

static int add_part(aios__rules *r, uint32_t t, uint32_t rest, aios_error *err)
{
    left *l = r->left;
    int rc = aios__grow(r->heap, &l->parts, &l->cap_parts, (size_t)l->n_parts + 2, AIOS__G_WORDS, sizeof *l->parts, "parts of rules", err);
    if (rc)
        return rc;
    l->parts[l->n_parts++] = t;
    l->parts[l->n_parts++] = rest;
    return AIOS_OK;
}

int aios__rules_rest_of_rep(aios__rules *r, uint32_t t, uint32_t *rest, aios_error *err)
{
    const aios__term x = r->terms[t];
    *rest = 0;
    if (x.max == 1)
        return AIOS_OK;
    uint32_t min = x.min > 1 && !aios__rules_nullable(r, x.a) ? x.min - 1 : 0;
    int rc = aios__rules_rep(r, x.a, min, x.max == AIOS__RULES_ENDLESS ? x.max : x.max - 1, rest, err);
    if (!rc && !min)
        r->terms[*rest].flags |= AIOS__T_NULLABLE;
    return rc;
}

/* Sorts what member m begins with into edges and parts. */
static int look(aios__rules *r, uint32_t m, aios_error *err)
{
    uint32_t t = r->left->members[m].term, rest = 0, seq = t;
    uint8_t kind = r->terms[t].kind;
    int rc = kind == AIOS__T_SEQ ? aios__rules_rests(r, t, err) : kind == AIOS__T_REP ? aios__rules_rest_of_rep(r, t, &rest, err) : AIOS_OK;
    r->left->members[m].parts = r->left->n_parts;
    for (uint32_t i = 0, u; !rc && (u = begins(r, t, i)); i++) {
        if (kind == AIOS__T_SEQ) {
            rest = i + 1 < r->terms[t].b ? r->terms[seq].rest : 0;
            seq = rest;
        }
        rc = r->terms[u].comp == r->terms[t].comp ? add_edge(r, r->terms[u].pos, m, rest, err) : add_part(r, u, rest, err);
    }
    return rc;
}

int aios__rules_left(aios__rules *r, aios_error *err)
{
    left *l = r->left = aios__alloc(r->heap, AIOS_MEM_SCRATCH, sizeof *l, err);
    if (!l)
        return aios__oom(err);
    int rc = components(r, err);
    for (uint32_t m = 0; m < l->n && !rc; m++)
        rc = look(r, m, err);
    if (rc || !l->n)
        return rc;
    l->members[l->n] = (member){.parts = l->n_parts};
    l->rows = aios__alloc_array(r->heap, AIOS_MEM_SCRATCH, l->n, sizeof *l->rows, err);
    return l->rows ? AIOS_OK : aios__oom(err);
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

/* A new node on the row. */
static int push_new(aios__rules *r, uint8_t kind, uint32_t *node, aios_error *err)
{
    int rc = aios__grammar_node(r->g, kind, node, err);
    return rc ? rc : aios__rules_push(r, *node, err);
}

/* First t in a mode without empty texts, then what follows. */
static int push_both(aios__rules *r, uint32_t t, int mode, uint32_t then, aios_error *err)
{
    uint32_t node, first;
    int rc = push_new(r, AIOS__G_SEQ, &node, err);
    rc = rc ? rc : aios__rules_node_of(r, t, mode, &first, err);
    uint32_t from = r->n_row;
    rc = rc ? rc : aios__rules_push(r, first, err);
    rc = rc || !then ? rc : aios__rules_push(r, then, err);
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_SEQ, from, err);
}

/* The node of what member m begins with that is no member; 0: nothing. */
static int begin_of(aios__rules *r, uint32_t m, int mode, uint32_t *node, aios_error *err)
{
    left *l = r->left;
    uint32_t from = r->n_row, then;
    int rc = AIOS_OK;
    *node = l->members[m].begin[mode];
    if (*node || l->members[m].parts == l->members[m + 1].parts)
        return AIOS_OK;
    rc = aios__grammar_node(r->g, AIOS__G_ALT, node, err);
    for (uint32_t i = l->members[m].parts; i < l->members[m + 1].parts && !rc; i += 2) {
        then = 0;
        if (l->parts[i + 1])
            rc = aios__rules_node_of(r, l->parts[i + 1], AIOS__T_FULL, &then, err);
        rc = rc ? rc : push_both(r, l->parts[i], mode, then, err);
    }
    l->members[m].begin[mode] = *node;
    return rc ? rc : aios__rules_fill(r, *node, AIOS__G_ALT, from, err);
}

/* The node of the tail from member m to member to; it is filled later. */
static int tail_of(aios__rules *r, uint32_t m, uint32_t to, uint32_t *node, aios_error *err)
{
    left *l = r->left;
    uint32_t comp = r->terms[l->members[to].term].comp - 1, first = l->comps[comp], n = l->comps[comp + 1] - first;
    int rc = l->rows[to] ? AIOS_OK : aios__grow(r->heap, &l->tails, &l->cap_tails, (size_t)l->n_tails + n, AIOS__G_WORDS / 4, sizeof *l->tails, "parts of rules", err);
    if (rc)
        return rc;
    if (!l->rows[to]) {
        memset(l->tails + l->n_tails, 0, n * sizeof *l->tails);
        l->rows[to] = l->n_tails + 1;
        l->n_tails += n;
    }
    uint32_t slot = l->rows[to] - 1 + (m - first);
    *node = l->tails[slot];
    if (*node)
        return AIOS_OK;
    rc = aios__grow(r->heap, &l->wanted, &l->cap_wanted, (size_t)l->n_wanted + 2, AIOS__G_WORDS, sizeof *l->wanted, "parts of rules", err);
    rc = rc ? rc : aios__grammar_node(r->g, AIOS__G_ALT, node, err);
    if (rc)
        return rc;
    l->tails[slot] = *node;
    l->wanted[l->n_wanted++] = m;
    l->wanted[l->n_wanted++] = to;
    return AIOS_OK;
}

/* Puts down each way on from member m; members that are reached by reading nothing are followed later. */
static int follow(aios__rules *r, uint32_t m, uint32_t to, aios_error *err)
{
    left *l = r->left;
    uint32_t tail;
    int rc = AIOS_OK;
    for (uint32_t i = l->members[m].edges; i && !rc; i = l->edges[i - 1].next) {
        edge e = l->edges[i - 1];
        rc = burn(r, 1, err);
        if (!rc && e.rest) {
            rc = tail_of(r, e.to, to, &tail, err);
            if (!rc && e.tail == tail) {
                rc = aios__rules_push(r, e.node, err);
            } else if (!rc) {
                rc = push_both(r, e.rest, AIOS__T_SOME, tail, err);
                l->edges[i - 1].tail = tail;
                l->edges[i - 1].node = rc ? 0 : r->row[r->n_row - 1];
            }
        }
        if (rc || (e.rest && !aios__rules_nullable(r, e.rest)) || l->members[e.to].seen == l->stamp)
            continue;
        l->members[e.to].seen = l->stamp;
        l->members[e.to].next = l->open;
        l->open = e.to + 1;
    }
    return rc;
}

static int fill_tail(aios__rules *r, uint32_t m, uint32_t to, aios_error *err)
{
    left *l = r->left;
    uint32_t node, from = r->n_row, empty;
    int rc = tail_of(r, m, to, &node, err);
    l->members[m].seen = ++l->stamp;
    l->members[m].next = 0;
    l->open = m + 1;
    while (!rc && l->open) {
        uint32_t k = l->open - 1;
        l->open = l->members[k].next;
        rc = follow(r, k, to, err);
    }
    if (!rc && l->members[to].seen == l->stamp) {
        rc = aios__rules_empty(r, &empty, err);
        rc = rc ? rc : aios__rules_push(r, empty, err);
    }
    return rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
}

int aios__rules_emit_left(aios__rules *r, uint32_t t, int mode, uint32_t node, aios_error *err)
{
    left *l = r->left;
    uint32_t comp = r->terms[t].comp - 1, from = r->n_row, begin, tail;
    int rc = burn(r, l->comps[comp + 1] - l->comps[comp], err);
    for (uint32_t m = l->comps[comp]; m < l->comps[comp + 1] && !rc; m++) {
        uint32_t seq, both[2];
        rc = begin_of(r, m, mode, &begin, err);
        if (rc || !begin)
            continue;
        rc = tail_of(r, m, r->terms[t].pos, &tail, err);
        both[0] = begin;
        both[1] = tail;
        rc = rc ? rc : aios__grammar_list(r->g, AIOS__G_SEQ, both, 2, &seq, err);
        rc = rc ? rc : aios__rules_push(r, seq, err);
    }
    rc = rc ? rc : aios__rules_fill(r, node, AIOS__G_ALT, from, err);
    while (!rc && l->n_wanted) {
        l->n_wanted -= 2;
        rc = fill_tail(r, l->wanted[l->n_wanted], l->wanted[l->n_wanted + 1], err);
    }
    return rc;
}
