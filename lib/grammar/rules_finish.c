/* SPDX-License-Identifier: Apache-2.0 */
/* Last pass over a program made of rules alone: what has no sentence goes. Linear, and choices are not made flat: chains of them are long. */
#include "grammar/rules.h"

/** Who needs whom: those that need node i are at[i] .. at[i + 1] in who. */
typedef struct needs {
    uint32_t *at, *who, *missing, *todo, n_todo;
    bool *has; /**< a sentence */
} needs;

/* The i-th node that n needs or may take; NONE: there are no more. */
static uint32_t child(const aios_grammar *g, const aios__gnode *n, uint32_t i)
{
    if (n->kind == AIOS__G_REP)
        return i ? AIOS__G_NONE : n->a;
    return (n->kind == AIOS__G_ALT || n->kind == AIOS__G_SEQ) && i < n->b ? g->words[n->a + i] : AIOS__G_NONE;
}

static void turn_round(const aios_grammar *g, needs *s)
{
    uint32_t c;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; (c = child(g, &g->nodes[i], k)) != AIOS__G_NONE; k++)
            s->at[c + 1]++;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        s->at[i + 1] += s->at[i];
    for (uint32_t i = g->n_nodes; i--;)
        for (uint32_t k = 0; (c = child(g, &g->nodes[i], k)) != AIOS__G_NONE; k++)
            s->who[s->at[c] + s->missing[c]++] = i;
}

static void has_sentence(needs *s, uint32_t node)
{
    if (s->has[node])
        return;
    s->has[node] = true;
    s->todo[s->n_todo++] = node;
}

static void find_out(const aios_grammar *g, needs *s)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const aios__gnode *n = &g->nodes[i];
        s->missing[i] = n->kind == AIOS__G_SEQ ? n->b : 1;
        if ((n->kind != AIOS__G_ALT && n->kind != AIOS__G_SEQ && n->kind != AIOS__G_REP) || (n->kind == AIOS__G_REP && !n->min))
            has_sentence(s, i);
    }
    while (s->n_todo) {
        uint32_t node = s->todo[--s->n_todo];
        for (uint32_t k = s->at[node]; k < s->at[node + 1]; k++)
            if (!s->has[s->who[k]] && !--s->missing[s->who[k]])
                has_sentence(s, s->who[k]);
    }
}

static void prune(aios_grammar *g, const needs *s, aios__gnode *n)
{
    uint32_t *w = g->words + n->a, kept = 0;
    if (n->kind == AIOS__G_REP && !n->min && !s->has[n->a])
        *n = (aios__gnode){.kind = AIOS__G_LIT};
    for (uint32_t i = 0; n->kind == AIOS__G_ALT && i < n->b; i++)
        if (s->has[w[i]])
            w[kept++] = w[i];
    n->b = n->kind == AIOS__G_ALT ? kept : n->b;
}

/* A set's entries sorted, each once. */
static int sort_set(aios_grammar *g, aios__gnode *n, aios_error *err)
{
    uint32_t *e = g->words + n->a, kept = 0;
    int rc = aios__grammar_sort(g, n->a, n->b, err);
    for (uint32_t i = 0; i < n->b && !rc; i++) {
        const uint32_t *x = e + 3 * (size_t)i, *y = kept ? e + 3 * ((size_t)kept - 1) : NULL;
        if (!y || x[1] != y[1] || memcmp(g->bytes + x[0], g->bytes + y[0], x[1]))
            memmove(e + 3 * (size_t)kept++, x, 3 * sizeof *x);
    }
    n->b = rc ? n->b : kept;
    return rc;
}

int aios__rules_finish(aios__rules *r, aios_error *err)
{
    aios_grammar *g = r->g;
    needs s = {.at = aios__alloc_array(r->heap, AIOS_MEM_SCRATCH, 4 * ((size_t)g->n_nodes + 1) + g->n_words + g->n_nodes, sizeof *s.at, err)};
    if (!s.at)
        return aios__oom(err);
    s.missing = s.at + g->n_nodes + 1;
    s.todo = s.missing + g->n_nodes;
    s.has = (bool *)(s.todo + g->n_nodes);
    s.who = s.todo + 2 * (size_t)g->n_nodes;
    turn_round(g, &s);
    find_out(g, &s);
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < g->n_nodes && !rc; i++) {
        g->nodes[i].height = s.has[i] ? 0 : AIOS__G_ENDLESS;
        prune(g, &s, &g->nodes[i]);
        rc = g->nodes[i].kind == AIOS__G_SET ? sort_set(g, &g->nodes[i], err) : AIOS_OK;
    }
    aios__free(r->heap, s.at);
    if (!rc && g->nodes[g->root].height == AIOS__G_ENDLESS)
        rc = aios__fail(err, AIOS_ESCHEMA, "the grammar has no sentence");
    aios__rx_reading(g->rx);
    return rc;
}
