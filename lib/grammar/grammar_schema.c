/* SPDX-License-Identifier: Apache-2.0 */
/* JSON schema to program. A node stands for a conjunction: a sorted set of parts of subschemas that must hold together;
   equal conjunctions share a node, which is what ends recursion. Choices are distributed over the rest. */
#include "grammar/grammar_schema.h"
#include "grammar/schema_format.h"

#include <stdlib.h>

#define MAX_POOL 1000000u
#define ANY_LEVELS 8u

int aios__comp_fail(comp *c, uint32_t sub, enum aios__kw kw, const char *why, aios_error *err)
{
    char path[200];
    return aios__fail(err, AIOS_ESCHEMA, "schema %s: \"%s\" %s", aios__schema_path(c->s, sub, path, sizeof path), aios__kw_name(kw), why);
}

int aios__comp_fail_denied(comp *c, uint32_t sub, enum aios__kw kw, aios_error *err)
{
    return aios__comp_fail(c, sub, kw, "cannot be enforced while decoding under \"not\", \"if\" or \"oneOf\": say it with other keywords", err);
}

/* ---- nodes of sets ---------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    part x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static uint64_t hash_parts(const part *p, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static uint32_t slot(const comp *c, const part *p, uint32_t n)
{
    uint32_t i = aios__slot(hash_parts(p, n), c->map_size);
    for (; c->map[i]; i = (i + 1) & (c->map_size - 1)) {
        const conj *k = &c->conjs[c->map[i] - 1];
        if (k->n == n && !memcmp(c->pool + k->at, p, n * sizeof *p))
            break;
    }
    return i;
}

static int map_grow(comp *c, aios_error *err)
{
    if (c->n_conjs * 2 < c->map_size)
        return AIOS_OK;
    uint32_t size = c->map_size ? c->map_size * 2 : 64;
    uint32_t *map = aios__grammar_alloc_beside(c->g, size, sizeof *map, err);
    if (!map)
        return aios__oom(err);
    aios__grammar_drop(c->g, c->map, c->map_size * sizeof *map);
    c->map = map;
    c->map_size = size;
    for (uint32_t i = 0; i < c->n_conjs; i++)
        c->map[slot(c, c->pool + c->conjs[i].at, c->conjs[i].n)] = i + 1;
    return AIOS_OK;
}

int aios__comp_node(comp *c, uint32_t *node, aios_error *err)
{
    aios__comp_settle(c);
    if (c->never) {
        *node = c->never_node;
        return AIOS_OK;
    }
    if (!c->n_part) {
        *node = c->any[ANY_LEVELS];
        return AIOS_OK;
    }
    qsort(c->part, c->n_part, sizeof *c->part, by_value);
    int rc = map_grow(c, err);
    if (rc)
        return rc;
    uint32_t i = slot(c, c->part, c->n_part);
    if (c->map[i]) {
        *node = c->conjs[c->map[i] - 1].node;
        return AIOS_OK;
    }
    rc = aios__grammar_grow_beside(c->g, &c->pool, &c->cap_pool, (size_t)c->n_pool + c->n_part, MAX_POOL, sizeof *c->pool, "parts of schemas", err);
    if (!rc)
        rc = aios__grammar_grow_beside(c->g, &c->conjs, &c->cap_conjs, (size_t)c->n_conjs + 1, AIOS__G_NODES, sizeof *c->conjs,
                        "combinations of schemas", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_ALT, node, err);
    if (rc)
        return rc;
    memcpy(c->pool + c->n_pool, c->part, c->n_part * sizeof *c->part);
    c->conjs[c->n_conjs] = (conj){c->n_pool, c->n_part, *node};
    c->n_pool += c->n_part;
    c->map[i] = ++c->n_conjs;
    return AIOS_OK;
}

/* The nodes become the alternatives of the conjunction's. */
static int fill_node(comp *c, const conj *k, const uint32_t *nodes, uint32_t n, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_words(c->g, nodes, n, &at, err);
    if (rc)
        return rc;
    c->g->nodes[k->node].a = at;
    c->g->nodes[k->node].b = n;
    return AIOS_OK;
}

/* ---- a conjunction ---------------------------------------------------------------------------------------------- */

uint32_t aios__comp_own(const comp *c, const conj *k, uint32_t i)
{
    part p = part_at(c, k, i);
    return part_what(p) == PART_OWN ? part_sub(p) : AIOS__NONE;
}

const aios__json *aios__comp_kw(const comp *c, const conj *k, uint32_t i, enum aios__kw kw)
{
    uint32_t sub = aios__comp_own(c, k, i);
    return sub == AIOS__NONE ? NULL : aios__schema_kw(c->s, sub, kw);
}

/* A list that a negation excludes has a value of one of the types. */
static bool lists_types(const comp *c, part p, uint32_t types)
{
    const aios__json *v = aios__schema_kw(c->s, part_sub(p), (enum aios__kw)part_what(p));
    if (part_what(p) == AIOS__KW_CONST)
        return aios__value_types(v) & types;
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (aios__value_types(aios__json_at(v, i)) & types)
            return true;
    return false;
}

/* What has the format cannot be told from what has it not. */
static bool names_open_format(const comp *c, part p, uint32_t types)
{
    AIOS__UNUSED(types);
    return aios__format_open(aios__json_str(aios__schema_kw(c->s, part_sub(p), AIOS__KW_FORMAT), NULL));
}

/* Negations that no walk enforces, with the types of values that they speak of and, for some, what they must say. */
static int refuse(comp *c, part p, uint32_t types, aios_error *err)
{
    static const struct {
        enum aios__kw kw;
        uint32_t types;
        bool (*says)(const comp *c, part p, uint32_t types);
    } rows[] = {
        {AIOS__KW_CONST, AIOS__T_ARRAY | AIOS__T_OBJECT, lists_types},
        {AIOS__KW_ENUM, AIOS__T_ARRAY | AIOS__T_OBJECT, lists_types},
        {AIOS__KW_FORMAT, AIOS__T_STRING, names_open_format},
        {AIOS__KW_UNIQUE_ITEMS, AIOS__T_ARRAY, NULL},
        {AIOS__KW_UNEVALUATED_ITEMS, AIOS__T_ARRAY, NULL},
        {AIOS__KW_UNEVALUATED_PROPERTIES, AIOS__T_OBJECT, NULL},
    };
    for (size_t i = 0; part_neg(p) && i < AIOS__ARRAY_LEN(rows); i++) {
        uint32_t of = types & rows[i].types;
        if (part_what(p) == (uint32_t)rows[i].kw && of && (!rows[i].says || rows[i].says(c, p, of)))
            return aios__comp_fail_denied(c, part_sub(p), rows[i].kw, err);
    }
    return AIOS_OK;
}

static int make_typed(comp *c, const conj *k, uint32_t types, aios_error *err)
{
    uint32_t list[6], n = 0;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < k->n; i++)
        rc = refuse(c, part_at(c, k, i), types, err);
    if (!rc && (types & AIOS__T_STRING))
        rc = aios__comp_string(c, k, &list[n++], err);
    if (!rc && (types & (AIOS__T_INTEGER | AIOS__T_NUMBER)))
        rc = aios__comp_number(c, k, types, &list[n++], err);
    if (!rc && (types & AIOS__T_OBJECT))
        rc = aios__comp_object(c, k, &list[n++], err);
    if (!rc && (types & AIOS__T_ARRAY))
        rc = aios__comp_array(c, k, &list[n++], err);
    if (!rc && (types & (AIOS__T_NULL | AIOS__T_BOOLEAN)))
        rc = aios__comp_words(c, k, types, &list[n++], err);
    return rc ? rc : fill_node(c, k, list, n, err);
}

/* The set of conjunction k but for part `at`, joined by way i of that. */
static int build_way(comp *c, const conj *k, uint32_t at, uint32_t i, aios_error *err)
{
    int rc = AIOS_OK;
    aios__comp_clear(c);
    for (uint32_t j = 0; !rc && j < k->n; j++)
        rc = j == at ? AIOS_OK : aios__comp_part(c, part_at(c, k, j), err);
    return rc ? rc : aios__comp_way(c, part_at(c, k, at), i, err);
}

/* The way asks for nothing that the rest of k does not. */
static bool adds_nothing(const comp *c, const conj *k, uint32_t at)
{
    for (uint32_t i = 0; !c->never && i < c->n_part; i++) {
        uint32_t j = 0;
        while (j < k->n && (j == at || part_at(c, k, j) != c->part[i]))
            j++;
        if (j == k->n)
            return false;
    }
    return !c->never;
}

/* One node for each way of part `at`, joined with all other parts. */
static int make_choice(comp *c, const conj *k, uint32_t at, uint32_t n, aios_error *err)
{
    uint32_t *nodes = aios__grammar_alloc_beside(c->g, n, sizeof *nodes, err), kept = 0;
    if (!nodes)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < n; i++) {
        rc = build_way(c, k, at, i, err);
        if (rc || c->never)
            continue;
        aios__comp_settle(c);
        bool all = adds_nothing(c, k, at);
        rc = aios__comp_node(c, &nodes[kept], err);
        if (all && !rc)
            nodes[0] = nodes[kept];
        kept = all ? 1 : kept + (nodes[kept] != c->never_node);
        if (all)
            break;
    }
    rc = rc ? rc : fill_node(c, k, nodes, kept, err);
    aios__grammar_drop(c->g, nodes, n * sizeof *nodes);
    return rc;
}

/* The choice with the fewest ways; NONE: there is none. */
static int find_choice(comp *c, const conj *k, uint32_t *at, uint32_t *n, aios_error *err)
{
    int rc = AIOS_OK;
    *at = AIOS__NONE;
    *n = 0;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        uint32_t ways;
        rc = aios__comp_ways(c, part_at(c, k, i), &ways, err);
        if (rc || !ways || (*at != AIOS__NONE && ways >= *n))
            continue;
        *at = i;
        *n = ways;
    }
    return rc;
}

static int fill_one(comp *c, uint32_t i, aios_error *err)
{
    conj k = c->conjs[i];
    uint32_t at, n = 0, set;
    bool listed;
    int rc = aios__comp_listed(c, &k, &listed, &set, err);
    if (rc || listed)
        return rc ? rc : fill_node(c, &k, &set, 1, err);
    rc = find_choice(c, &k, &at, &n, err);
    if (rc || at != AIOS__NONE)
        return rc ? rc : make_choice(c, &k, at, n, err);
    aios__comp_clear(c);
    for (uint32_t j = 0; !rc && j < k.n; j++)
        rc = aios__comp_part(c, part_at(c, &k, j), err);
    aios__comp_settle(c);
    return rc ? rc : make_typed(c, &k, c->types, err);
}

/* ---- any value -------------------------------------------------------------------------------------------------- */

static int any_number(comp *c, uint32_t *node, aios_error *err)
{
    const conj nothing = {0};
    return aios__comp_number(c, &nothing, AIOS__T_INTEGER | AIOS__T_NUMBER, node, err);
}

static int make_any(comp *c, aios_error *err)
{
    uint32_t list[5] = {0}, inner = 0;
    int rc = aios__grammar_node(c->g, AIOS__G_STR, &list[0], err);
    if (!rc)
        rc = c->g->complete ? any_number(c, &list[1], err) : aios__grammar_node(c->g, AIOS__G_NUM, &list[1], err);
    if (!rc)
        rc = aios__comp_words(c, NULL, AIOS__T_ALL, &list[2], err);
    if (rc)
        return rc;
    c->g->nodes[list[0]].max = AIOS__COUNT_MAX;
    c->g->nodes[list[0]].c = c->g->complete;
    if (!c->g->complete)
        c->g->nodes[list[1]].a = AIOS__G_NONE;
    rc = aios__grammar_list(c->g, AIOS__G_ALT, list, 3, &c->any[0], err);
    for (uint32_t i = 1; !rc && i <= ANY_LEVELS; i++) {
        aios__gobj o = {.n_frees = 1, .loose = c->g->complete, .max = AIOS__COUNT_MAX};
        const uint32_t other[AIOS__G_FREE] = {c->any[i - 1], AIOS__RX_NOTHING, 0, AIOS__G_NAMES};
        rc = aios__grammar_words(c->g, other, AIOS__G_FREE, &o.frees, err);
        rc = rc ? rc : aios__comp_obj(c, &o, &list[3], err);
        if (!rc)
            rc = aios__grammar_list(c->g, AIOS__G_ARR, NULL, 0, &list[4], err);
        if (rc)
            break;
        c->g->nodes[list[4]].a = o.frees;
        inner = i == 1 ? o.frees : inner;
        c->g->nodes[list[4]].max = AIOS__COUNT_MAX;
        rc = aios__grammar_list(c->g, AIOS__G_ALT, list, 5, &c->any[i], err);
    }
    if (!rc && c->g->complete) /* what is deepest is any value again */
        c->g->words[inner] = c->any[ANY_LEVELS];
    if (!rc)
        rc = aios__grammar_list(c->g, AIOS__G_ALT, NULL, 0, &c->never_node, err);
    return rc;
}

/* The choice begins with more nodes than a text can be read by at once; listed values are one. */
static bool too_wide(const comp *c, const conj *k)
{
    const aios__gnode *n = &c->g->nodes[k->node];
    uint32_t wide = 0;
    for (uint32_t i = 0; n->b > AIOS__G_THREADS && i < n->b; i++) {
        const aios__gnode *way = &c->g->nodes[c->g->words[n->a + i]];
        wide += way->kind != AIOS__G_ALT || way->b != 1 || c->g->nodes[c->g->words[way->a]].kind != AIOS__G_SET;
    }
    return wide > AIOS__G_THREADS;
}

static int check_width(comp *c, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < c->n_conjs; i++)
        for (uint32_t j = 0; !rc && too_wide(c, &c->conjs[i]) && j < c->conjs[i].n; j++) {
            part p = part_at(c, &c->conjs[i], j);
            uint32_t n;
            rc = aios__comp_ways(c, p, &n, err);
            if (!rc && n > AIOS__G_THREADS && part_what(p) < AIOS__KW_COUNT)
                rc = aios__comp_fail(c, part_sub(p), (enum aios__kw)part_what(p), "leaves more alternatives than can be followed at once: 1024 that are no constants", err);
        }
    return rc;
}

/* A limit that is reached without a word of where: at what the conjunction under way begins with. */
static int name_place(comp *c, uint32_t i, int rc, aios_error *err)
{
    return aios__schema_place(c->s, i < c->n_conjs ? part_sub(part_at(c, &c->conjs[i], 0)) : 0, rc, err);
}

int aios__comp_fill(comp *c, aios_error *err)
{
    int rc = AIOS_OK;
    for (; !rc && c->n_filled < c->n_conjs; c->n_filled++) {
        c->at_root = !c->n_filled;
        rc = fill_one(c, c->n_filled, err);
        rc = name_place(c, c->n_filled, rc ? rc : aios__grammar_fits(c->g, 0, err), err);
    }
    return rc;
}

static int compile(comp *c, uint32_t *root, aios_error *err)
{
    int rc = make_any(c, err);
    for (uint32_t i = 0; i < c->s->n_kws; i++)
        c->marks = c->marks || c->s->kws[i].kw == AIOS__KW_UNEVALUATED_ITEMS || c->s->kws[i].kw == AIOS__KW_UNEVALUATED_PROPERTIES;
    if (!rc)
        rc = aios__comp_add(c, c->s->subs[0].json, false, err);
    if (!rc)
        rc = aios__comp_node(c, root, err);
    rc = rc ? rc : aios__comp_fill(c, err);
    return rc ? rc : check_width(c, err);
}

/* The set whose node, or a way of it, that is. */
static uint32_t conj_of(const comp *c, uint32_t node)
{
    for (uint32_t i = 0; i < c->n_conjs; i++) {
        const aios__gnode *n = &c->g->nodes[c->conjs[i].node];
        bool is = c->conjs[i].node == node;
        for (uint32_t k = 0; !is && k < n->b; k++)
            is = c->g->words[n->a + k] == node;
        if (is)
            return i;
    }
    return 0;
}

/* Names the place of what err says of the program. */
static int explain(comp *c, uint32_t root, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    uint32_t last = 0;
    c->g->root = root;
    return err->code == AIOS_ESCHEMA ? aios__comp_why(c, err) : aios__grammar_heights(c->g, &last, &own) ? name_place(c, conj_of(c, last), err->code, err) : err->code;
}

static int with_schema(aios_grammar *g, const char *s, size_t n, bool closed, bool why, uint32_t *root, aios_error *err)
{
    comp c = {.g = g, .closed = closed};
    aios__schema *schema = NULL;
    aios_error own = AIOS_INIT(aios_error), *first = why ? &own : err;
    int rc = aios__schema_new_in(g->ctx, &g->rx, g->strict, s, n, &schema, first);
    c.s = schema;
    const size_t before = g->beside;
    g->beside += rc ? 0 : aios__schema_size(schema);
    if (!rc)
        rc = compile(&c, root, first);
    if (!rc && why)
        rc = explain(&c, *root, err);
    aios__schema_free(schema);
    aios__free(g->heap, c.part);
    aios__free(g->heap, c.queue);
    aios__free(g->heap, c.pool);
    aios__free(g->heap, c.conjs);
    aios__free(g->heap, c.map);
    aios__free(g->heap, c.names);
    aios__free(g->heap, c.overlaps);
    aios__free(g->heap, c.pairs);
    aios__free(g->heap, c.held);
    g->beside = before;
    return rc;
}

int aios__grammar_schema(aios_grammar *g, const char *s, size_t n, bool closed, uint32_t *root, aios_error *err)
{
    return with_schema(g, s, n, closed, false, root, err);
}

int aios__grammar_schema_why(aios_ctx *ctx, bool complete, const char *s, size_t n, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    aios_grammar *g = aios__grammar_new(ctx, &own);
    if (!g)
        return err->code;
    g->complete = complete;
    (void)with_schema(g, s, n, false, true, &g->root, err); /* what goes wrong here leaves err as it was */
    aios_grammar_free(g);
    return err->code;
}
