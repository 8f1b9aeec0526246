/* SPDX-License-Identifier: Apache-2.0 */
/* How many sentences nodes have, at least: arrays whose items differ need to know where they are few. */
#include "grammar/program.h"

#define ROUNDS 12u /* of references to nodes that come later; a bound from below holds at any time */

uint32_t aios__few_times(uint32_t a, uint32_t b)
{
    uint64_t n = (uint64_t)a * b;
    return n > AIOS__G_MANY ? AIOS__G_MANY : (uint32_t)n;
}

static uint32_t few(const aios_grammar *g, uint32_t node)
{
    return g->nodes[node].few;
}

uint32_t aios__few_obj(const aios_grammar *g, const aios__gobj *o, uint32_t from, uint64_t members)
{
    uint32_t n = 1, most = 1;
    for (uint32_t i = from; i < o->n; i++) {
        const uint32_t *p = g->words + o->props + 4 * (size_t)i;
        members += p[1];
        if (p[1])
            n = aios__few_times(n, few(g, p[0]));
        else
            most = few(g, p[0]) > most ? few(g, p[0]) : most;
    }
    for (uint32_t i = 0; i < o->n_frees; i++) {
        const uint32_t *p = g->words + o->frees + AIOS__G_FREE * (size_t)i;
        uint32_t some = p[1] == AIOS__RX_NOTHING || p[3] == AIOS__G_NAMES ? AIOS__G_MANY : few(g, p[0]);
        most = some > most ? some : most;
    }
    return members < o->max ? aios__few_times(n, most) : n;
}

uint32_t aios__few_arr(const aios_grammar *g, const aios__gnode *a, uint64_t i)
{
    uint32_t n = 1;
    for (; i < a->max && n < AIOS__G_MANY; i++) {
        uint32_t ways, most = 0;
        const uint32_t *nodes = aios__grammar_item(g, a, i, &ways);
        for (uint32_t k = 0; k < ways; k++)
            most = few(g, nodes[k]) > most ? few(g, nodes[k]) : most;
        if (aios__grammar_unique(g, a))
            most = most > i ? most - (uint32_t)i : i < a->min ? 0 : 1;
        if (i >= a->min)
            return aios__few_times(n, most ? most : 1);
        n = aios__few_times(n, most);
        if (most <= 1 && i > a->b)
            return n; /* it stays as it is */
    }
    return n;
}

static int few_node(aios_grammar *g, aios__gnode *n, aios_error *err)
{
    uint32_t most = 0;
    int rc = AIOS_OK;
    switch (n->kind) {
    case AIOS__G_SET:
        n->few = n->b;
        break;
    case AIOS__G_STR:
        if (n->few)
            break;
        n->few = n->min > n->max ? 0 : n->max ? AIOS__G_MANY : 1;
        if (n->few && n->a != AIOS__RX_NOTHING)
            rc = aios__rx_count(g->rx, n->a, AIOS__G_MANY, &n->few, err);
        break;
    case AIOS__G_INT:
        n->few = aios__gint_count(g, &g->ints[n->a], NULL, AIOS__G_MANY);
        break;
    case AIOS__G_NUM:
        n->few = n->a == AIOS__G_NONE || !aios__gnum_single(&g->nums[n->a]) ? AIOS__G_MANY : 1;
        break;
    case AIOS__G_ALT:
        for (uint32_t i = 0; i < n->b; i++)
            most = few(g, g->words[n->a + i]) > most ? few(g, g->words[n->a + i]) : most;
        n->few = most;
        break;
    case AIOS__G_OBJ:
        n->few = aios__few_obj(g, &g->objs[n->a], 0, 0);
        break;
    case AIOS__G_ARR:
        n->few = aios__few_arr(g, n, 0);
        break;
    default:
        n->few = 1;
    }
    if (n->height == AIOS__G_ENDLESS)
        n->few = 0;
    return rc;
}

bool aios__grammar_unique(const aios_grammar *g, const aios__gnode *n)
{
    return n->kind == AIOS__G_ARR && n->c && g->arrs[n->c - 1].unique;
}

/* An array goes on as long as there are more items of the kind than it has. */
static void bound_unique(const aios_grammar *g, aios__gnode *n)
{
    uint32_t most = 0, ways;
    for (uint64_t i = 0; i <= n->b; i++) {
        const uint32_t *nodes = aios__grammar_item(g, n, i, &ways);
        most = AIOS__G_MANY;
        for (uint32_t k = 0; k < ways; k++)
            if (g->nodes[nodes[k]].height != AIOS__G_ENDLESS)
                most = few(g, nodes[k]) < most ? few(g, nodes[k]) : most;
        if (most <= i && n->max > i)
            n->max = i;
    }
    n->max = n->max > n->b && most < n->max ? (most > n->b ? most : n->b) : n->max;
}

int aios__grammar_few(aios_grammar *g, bool *bounded, aios_error *err)
{
    bool any = false;
    int rc = AIOS_OK;
    *bounded = false;
    for (uint32_t i = 0; i < g->n_nodes && !g->complete; i++)
        any = any || aios__grammar_unique(g, &g->nodes[i]);
    for (uint32_t round = 0; any && !rc && round < ROUNDS; round++) {
        bool change = false;
        for (uint32_t i = 0; i < g->n_nodes && !rc; i++) {
            uint32_t was = g->nodes[i].few;
            rc = few_node(g, &g->nodes[i], err);
            change = change || g->nodes[i].few != was;
        }
        if (!change)
            break;
    }
    for (uint32_t i = 0; any && !rc && i < g->n_nodes; i++) {
        uint64_t was = g->nodes[i].max;
        if (aios__grammar_unique(g, &g->nodes[i]))
            bound_unique(g, &g->nodes[i]);
        *bounded = *bounded || was != g->nodes[i].max;
    }
    return rc;
}
