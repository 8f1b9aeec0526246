/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays of a conjunction of schemas: every item's schema is the conjunction of what each says of it; what some items must or
   must not be is counted. */
#include "grammar/grammar_schema.h"

#define MAX_PREFIX 100000u
#define MAX_HELD 4u
#define MAX_PICKS 16u

/* Items of a kind of which there are lo .. hi, counted from one on. */
typedef struct group {
    const aios__json *schema;
    bool neg;
    uint32_t from, lo, hi;
} group;

typedef struct array {
    comp *c;
    const conj *k;
    size_t n; /* prefix */
    group groups[AIOS__G_GROUPS];
    uint32_t n_groups;
    held held[MAX_HELD]; /* of each unevaluatedItems, with how many items are spoken of and which way the others take */
    uint64_t spoken[MAX_HELD];
    uint32_t pick[MAX_HELD], n_held;
    uint64_t min, max;
    bool unique;
    uint32_t *nodes, n_nodes, cap_nodes;
} array;

/* The list of item schemas in front, and the schema of the rest (NULL: any), as both generations of drafts say it. */
static void items_of(const comp *c, uint32_t sub, const aios__json **prefix, const aios__json **rest)
{
    *prefix = aios__schema_kw(c->s, sub, AIOS__KW_PREFIX_ITEMS);
    *rest = aios__schema_kw(c->s, sub, AIOS__KW_ITEMS);
    if (aios__json_type(*rest) == AIOS__JSON_ARRAY) {
        *prefix = *rest;
        *rest = aios__schema_kw(c->s, sub, AIOS__KW_ADDITIONAL_ITEMS);
    }
}

static uint32_t small_count(const aios__json *v, uint32_t dflt)
{
    double d = aios__json_real(v, dflt);
    return d >= UINT32_MAX ? UINT32_MAX : (uint32_t)d;
}

static int add_group(array *x, uint32_t sub, enum aios__kw kw, group g, aios_error *err)
{
    if (x->n_groups + x->unique == AIOS__G_GROUPS) /* the frame of one group holds the items */
        return aios__comp_fail(x->c, sub, kw, "and others like it count more kinds of items than can be enforced while decoding", err);
    x->groups[x->n_groups++] = g;
    return AIOS_OK;
}

/* contains, and both ways to fail it: too few and too many. */
static int read_contains(array *x, part p, aios_error *err)
{
    uint32_t sub = part_sub(p);
    const aios__json *schema = aios__schema_kw(x->c->s, sub, AIOS__KW_CONTAINS);
    const aios__json *max = aios__schema_kw(x->c->s, sub, AIOS__KW_MAX_CONTAINS);
    group g = {.schema = schema, .lo = small_count(aios__schema_kw(x->c->s, sub, AIOS__KW_MIN_CONTAINS), 1), .hi = small_count(max, UINT32_MAX)};
    if (!part_neg(p))
        return !g.lo && g.hi == UINT32_MAX ? AIOS_OK : add_group(x, sub, AIOS__KW_CONTAINS, g, err);
    if (part_index(p) ? g.hi == UINT32_MAX : !g.lo)
        x->max = 0, x->min = 1;
    else if (part_index(p))
        g.lo = g.hi + 1, g.hi = UINT32_MAX;
    else
        g.hi = g.lo - 1, g.lo = 0;
    return x->max < x->min ? AIOS_OK : add_group(x, sub, AIOS__KW_CONTAINS, g, err);
}

/* Some item behind the prefix is none of the kind that all must be. */
static int read_denied_rest(array *x, part p, aios_error *err)
{
    const aios__json *prefix, *rest;
    items_of(x->c, part_sub(p), &prefix, &rest);
    group g = {.schema = rest, .neg = true, .from = (uint32_t)aios__json_count(prefix), .lo = 1, .hi = UINT32_MAX};
    return add_group(x, part_sub(p), (enum aios__kw)part_what(p), g, err);
}

static int read_parts(array *x, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t j = 0; j < x->k->n; j++)
        x->unique = x->unique || aios__json_type(aios__comp_kw(x->c, x->k, j, AIOS__KW_UNIQUE_ITEMS)) == AIOS__JSON_TRUE;
    for (uint32_t j = 0; !rc && j < x->k->n; j++) {
        part p = part_at(x->c, x->k, j);
        uint32_t what = part_what(p);
        bool listed = part_neg(p) && (what == AIOS__KW_PREFIX_ITEMS || what == AIOS__KW_ITEMS) && part_index(p) != AIOS__NONE;
        const aios__json *prefix = NULL, *other;
        if (what == PART_OWN)
            items_of(x->c, part_sub(p), &prefix, &other);
        x->n = aios__json_count(prefix) > x->n ? aios__json_count(prefix) : x->n;
        if (listed) {
            x->n = (size_t)part_index(p) + 1 > x->n ? (size_t)part_index(p) + 1 : x->n;
            x->min = (uint64_t)part_index(p) + 1 > x->min ? (uint64_t)part_index(p) + 1 : x->min;
        } else if (part_neg(p) && (what == AIOS__KW_ITEMS || what == AIOS__KW_ADDITIONAL_ITEMS)) {
            rc = read_denied_rest(x, p, err);
        } else if ((what == PART_OWN || what == AIOS__KW_CONTAINS) && aios__schema_kw(x->c->s, part_sub(p), AIOS__KW_CONTAINS)) {
            rc = read_contains(x, p, err);
        }
    }
    for (uint32_t i = 0; i < x->n_groups; i++)
        x->n = x->groups[i].from > x->n ? x->groups[i].from : x->n;
    return rc;
}

/* What part j says of item i: NONE for those after every prefix. */
static int add_says(array *x, uint32_t j, uint32_t i, aios_error *err)
{
    const aios__json *prefix, *rest;
    part p = part_at(x->c, x->k, j);
    uint32_t what = part_what(p);
    if (what >= AIOS__KW_COUNT && what != PART_OWN)
        return AIOS_OK;
    items_of(x->c, part_sub(p), &prefix, &rest);
    if (part_neg(p) && part_index(p) == i && i != AIOS__NONE && (what == AIOS__KW_PREFIX_ITEMS || what == AIOS__KW_ITEMS))
        return aios__comp_add(x->c, aios__json_at(prefix, i), true, err);
    if (what != PART_OWN)
        return AIOS_OK;
    const aios__json *schema = i < aios__json_count(prefix) ? aios__json_at(prefix, i) : rest;
    return schema ? aios__comp_add(x->c, schema, false, err) : AIOS_OK;
}

/* Items that no schema of the same value speaks of are what unevaluatedItems says, or what some contains does. */
static int add_unevaluated(array *x, uint32_t i, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t j = 0; !rc && j < x->n_held; j++) {
        const aios__json *schema = x->pick[j] ? aios__comp_held_contains(x->c, &x->held[j], x->pick[j] - 1)
                                              : aios__schema_kw(x->c->s, x->held[j].sub, AIOS__KW_UNEVALUATED_ITEMS);
        if (i >= x->spoken[j])
            rc = aios__comp_add(x->c, schema, false, err);
    }
    return rc;
}

/* The next way of items that none speaks of; false: that was the last. */
static bool next_pick(array *x, uint32_t i)
{
    for (uint32_t j = 0; j < x->n_held; j++) {
        if (i >= x->spoken[j] && aios__comp_held_contains(x->c, &x->held[j], x->pick[j])) {
            x->pick[j]++;
            return true;
        }
        x->pick[j] = 0;
    }
    return false;
}

static int read_held(array *x, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        if (!aios__comp_kw(x->c, x->k, i, AIOS__KW_UNEVALUATED_ITEMS))
            continue;
        if (x->n_held == MAX_HELD)
            return aios__comp_fail(x->c, aios__comp_own(x->c, x->k, i), AIOS__KW_UNEVALUATED_ITEMS, "and others like it are too many for one value to be enforced while decoding", err);
        held *h = &x->held[x->n_held++];
        rc = aios__comp_held(x->c, x->k, aios__comp_own(x->c, x->k, i), h, err);
        x->spoken[x->n_held - 1] = rc ? 0 : aios__comp_held_items(x->c, h);
    }
    return rc;
}

/* Node of item i that counts in the groups of bits `way`, of the ways picked. */
static int item_node(array *x, uint32_t i, uint32_t way, uint32_t *node, aios_error *err)
{
    comp *c = x->c;
    int rc = AIOS_OK;
    aios__comp_clear(c);
    for (uint32_t j = 0; !rc && j < x->k->n; j++)
        rc = add_says(x, j, i, err);
    rc = rc ? rc : add_unevaluated(x, i, err);
    for (uint32_t j = 0; !rc && j < x->n_groups; j++) {
        const group *g = &x->groups[j];
        bool in = way >> j & 1;
        c->never = c->never || (in && i < g->from);
        if (in || (g->hi != UINT32_MAX && i >= g->from))
            rc = aios__comp_add(c, g->schema, in == g->neg, err);
    }
    return rc ? rc : aios__comp_node(c, node, err);
}

static int add_item(array *x, uint32_t i, uint32_t way, aios_error *err)
{
    uint32_t list[MAX_PICKS], n = 0;
    int rc = aios__grammar_grow_beside(x->c->g, &x->nodes, &x->cap_nodes, (size_t)x->n_nodes + 1, AIOS__G_WORDS, sizeof *x->nodes, "items", err);
    memset(x->pick, 0, sizeof x->pick);
    do {
        if (n == MAX_PICKS)
            return aios__comp_fail(x->c, x->held[0].sub, AIOS__KW_UNEVALUATED_ITEMS, "stands beside too many \"contains\" to be enforced while decoding", err);
        rc = rc ? rc : item_node(x, i, way, &list[n++], err);
    } while (!rc && next_pick(x, i));
    if (!rc && n > 1)
        rc = aios__grammar_list(x->c->g, AIOS__G_ALT, list, n, &list[0], err);
    if (!rc)
        x->nodes[x->n_nodes++] = list[0];
    return rc;
}

static int add_groups(array *x, uint32_t *id, aios_error *err)
{
    aios_grammar *g = x->c->g;
    *id = 0;
    if (!x->n_groups && !x->unique)
        return AIOS_OK;
    int rc = aios__grammar_grow(g, &g->arrs, &g->cap_arrs, (size_t)g->n_arrs + 1, AIOS__G_NODES, sizeof *g->arrs, "arrays", err);
    if (rc)
        return rc;
    aios__garr a = {.n = x->n_groups, .unique = x->unique};
    for (uint32_t i = 0; i < x->n_groups; i++) {
        a.lo[i] = x->groups[i].lo;
        a.hi[i] = x->groups[i].hi;
    }
    g->arrs[g->n_arrs] = a;
    *id = ++g->n_arrs;
    return AIOS_OK;
}

static int make(array *x, uint32_t *node, aios_error *err)
{
    uint32_t at, id, ways;
    int rc = read_parts(x, err);
    rc = rc ? rc : read_held(x, err);
    for (uint32_t i = 0; i < x->n_held; i++)
        x->n = x->spoken[i] != UINT64_MAX && x->spoken[i] > x->n ? x->spoken[i] : x->n;
    if (!rc && x->n > MAX_PREFIX)
        rc = aios__fail_need(err, AIOS_ELIMIT, MAX_PREFIX, x->n, "more than %u prefix items: simplify the schema", MAX_PREFIX);
    ways = 1u << x->n_groups;
    for (uint32_t i = 0; !rc && i <= x->n; i++)
        for (uint32_t way = 0; !rc && way < ways; way++)
            rc = add_item(x, i < x->n ? i : AIOS__NONE, way, err);
    rc = rc ? rc : add_groups(x, &id, err);
    rc = rc ? rc : aios__grammar_words(x->c->g, x->nodes, x->n_nodes, &at, err);
    rc = rc ? rc : aios__grammar_node(x->c->g, AIOS__G_ARR, node, err);
    if (!rc)
        x->c->g->nodes[*node] = (aios__gnode){.kind = AIOS__G_ARR, .a = at, .b = (uint32_t)x->n, .c = id, .min = x->min, .max = x->max};
    return rc;
}

int aios__comp_array(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    array x = {.c = c, .k = k};
    aios__comp_counts(c, k, AIOS__KW_MIN_ITEMS, AIOS__KW_MAX_ITEMS, &x.min, &x.max);
    int rc = make(&x, node, err);
    aios__grammar_drop(c->g, x.nodes, x.cap_nodes * sizeof *x.nodes);
    return rc;
}
