/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and arrays of a conjunction of schemas: every member's schema is the conjunction of what each says of it. */
#include "llm/grammar_schema.h"

#include <stdlib.h>

#define MAX_PREFIX 100000u

typedef struct object {
    comp *c;
    const conj *k;
    aios__gobj o;
    const char **required; /* sorted */
    uint32_t n_required, cap_required;
    uint32_t *props, n_props, cap_props; /* words */
    uint32_t *keys, n_keys, cap_keys;    /* words */
    bool open;                           /* no schema lists properties: anything goes */
    aios__buf text;
} object;

int aios__comp_obj(comp *c, const aios__gobj *o, uint32_t *node, aios_error *err)
{
    aios_grammar *g = c->g;
    int rc = aios__grow(g->heap, &g->objs, &g->cap_objs, (size_t)g->n_objs + 1, AIOS__G_NODES, sizeof *g->objs, "objects", err);
    if (!rc)
        rc = aios__grammar_node(g, AIOS__G_OBJ, node, err);
    if (rc)
        return rc;
    g->objs[g->n_objs] = *o;
    g->nodes[*node].a = g->n_objs++;
    return AIOS_OK;
}

static const aios__json *kw(const object *x, uint32_t i, enum aios__kw which)
{
    return aios__schema_kw(x->c->s, aios__comp_own(x->c, x->k, i), which);
}

static int by_name(const void *a, const void *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return strcmp(x, y);
}

static bool is_required(const object *x, const char *name)
{
    return x->n_required && bsearch(&name, x->required, x->n_required, sizeof *x->required, by_name);
}

static int read_required(object *x, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < x->k->n; i++) {
        const aios__json *list = kw(x, i, AIOS__KW_REQUIRED);
        for (size_t j = 0; !rc && j < aios__json_count(list); j++) {
            rc = aios__grow(x->c->g->heap, &x->required, &x->cap_required, (size_t)x->n_required + 1, AIOS__G_NODES, sizeof *x->required,
                            "required properties", err);
            if (!rc)
                x->required[x->n_required++] = aios__json_str(aios__json_at(list, j), NULL);
        }
    }
    if (rc || !x->n_required)
        return rc;
    qsort(x->required, x->n_required, sizeof *x->required, by_name);
    uint32_t n = 1;
    for (uint32_t i = 1; i < x->n_required; i++)
        if (strcmp(x->required[i], x->required[n - 1]))
            x->required[n++] = x->required[i];
    x->n_required = n;
    return AIOS_OK;
}

/* Adds what schema i says of the property to the set being built. */
static int add_says(object *x, uint32_t i, const char *name, aios_error *err)
{
    const aios__json *schema = aios__json_get(kw(x, i, AIOS__KW_PROPERTIES), name);
    if (!schema)
        schema = kw(x, i, AIOS__KW_ADDITIONAL);
    return schema ? aios__comp_add(x->c, schema, err) : AIOS_OK;
}

static int add_prop(object *x, const char *name, aios_error *err)
{
    uint32_t node, at;
    aios_grammar *g = x->c->g;
    int rc = AIOS_OK;
    aios__comp_clear(x->c);
    for (uint32_t i = 0; !rc && i < x->k->n; i++)
        rc = add_says(x, i, name, err);
    if (!rc)
        rc = aios__comp_node(x->c, &node, err);
    aios__buf_clear(&x->text);
    if (!rc)
        rc = aios__buf_add_json(&x->text, name, strlen(name), err);
    if (!rc)
        rc = aios__buf_addc(&x->text, ':', err);
    if (!rc)
        rc = aios__grammar_bytes(g, x->text.p, x->text.n, &at, err);
    if (!rc)
        rc = aios__grow(g->heap, &x->props, &x->cap_props, (size_t)x->n_props + 4, AIOS__G_WORDS, sizeof *x->props, "properties", err);
    if (!rc)
        rc = aios__grow(g->heap, &x->keys, &x->cap_keys, (size_t)x->n_keys + 3, AIOS__G_WORDS, sizeof *x->keys, "properties", err);
    if (rc)
        return rc;
    uint32_t key[3] = {at, (uint32_t)x->text.n, x->o.n++}, prop[4] = {node, is_required(x, name), 0, 0};
    memcpy(x->keys + x->n_keys, key, sizeof key);
    memcpy(x->props + x->n_props, prop, sizeof prop);
    x->n_keys += 3;
    x->n_props += 4;
    return AIOS_OK;
}

/* True if one of the first n schemas lists the property. */
static bool listed(const object *x, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (aios__json_get(kw(x, i, AIOS__KW_PROPERTIES), name))
            return true;
    return false;
}

static int add_props(object *x, aios_error *err)
{
    const char *name;
    const aios__json *v;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < x->k->n; i++) {
        const aios__json *map = kw(x, i, AIOS__KW_PROPERTIES);
        for (void *it = map ? aios__json_iter(map, NULL, &name, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &name, &v))
            if (!listed(x, i, name))
                rc = add_prop(x, name, err);
    }
    for (uint32_t i = 0; !rc && i < x->n_required; i++)
        if (!listed(x, x->k->n, x->required[i]))
            rc = add_prop(x, x->required[i], err);
    return rc;
}

/* Other properties: only where a schema says so in words, none forbids them, or nobody lists any. */
static int add_extra(object *x, aios_error *err)
{
    bool lists = false, allowed = false;
    int rc = AIOS_OK;
    aios__comp_clear(x->c);
    x->o.extra = AIOS__G_NONE;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        const aios__json *a = kw(x, i, AIOS__KW_ADDITIONAL);
        lists |= kw(x, i, AIOS__KW_PROPERTIES) != NULL;
        allowed |= a != NULL;
        rc = a ? aios__comp_add(x->c, a, err) : AIOS_OK;
    }
    if (rc || !(allowed || (!lists && !(x->c->closed && x->c->at_root))))
        return rc;
    return aios__comp_node(x->c, &x->o.extra, err);
}

static int finish_object(object *x, uint32_t *node, aios_error *err)
{
    aios_grammar *g = x->c->g;
    aios__comp_counts(x->c, x->k, AIOS__KW_MIN_PROPERTIES, AIOS__KW_MAX_PROPERTIES, &x->o.min, &x->o.max);
    int rc = aios__grammar_words(g, x->props, x->n_props, &x->o.props, err);
    if (!rc)
        rc = aios__grammar_words(g, x->keys, x->n_keys, &x->o.keys, err);
    x->o.n_keys = x->o.n;
    if (!rc)
        rc = aios__grammar_sort(g, x->o.keys, x->o.n_keys, err);
    return rc ? rc : aios__comp_obj(x->c, &x->o, node, err);
}

int aios__comp_object(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    object x = {.c = c, .k = k};
    aios__buf_init(&x.text, c->g->heap, AIOS_MEM_SCRATCH, 0);
    int rc = read_required(&x, err);
    if (!rc)
        rc = add_props(&x, err);
    if (!rc)
        rc = add_extra(&x, err);
    if (!rc)
        rc = finish_object(&x, node, err);
    aios__buf_free(&x.text);
    aios__free(c->g->heap, x.required);
    aios__free(c->g->heap, x.props);
    aios__free(c->g->heap, x.keys);
    return rc;
}

/* ---- arrays ----------------------------------------------------------------------------------------------------- */

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

/* Node of item i, or with i = NONE of all after the prefixes. */
static int item(comp *c, const conj *k, uint32_t i, uint32_t *node, aios_error *err)
{
    int rc = AIOS_OK;
    aios__comp_clear(c);
    for (uint32_t j = 0; !rc && j < k->n; j++) {
        const aios__json *prefix, *rest;
        items_of(c, aios__comp_own(c, k, j), &prefix, &rest);
        const aios__json *schema = i < aios__json_count(prefix) ? aios__json_at(prefix, i) : rest;
        rc = schema ? aios__comp_add(c, schema, err) : AIOS_OK;
    }
    return rc ? rc : aios__comp_node(c, node, err);
}

int aios__comp_array(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    uint64_t min, max;
    uint32_t rest, at, *nodes;
    size_t n = 0;
    aios__comp_counts(c, k, AIOS__KW_MIN_ITEMS, AIOS__KW_MAX_ITEMS, &min, &max);
    for (uint32_t j = 0; j < k->n; j++) {
        const aios__json *prefix, *other;
        items_of(c, aios__comp_own(c, k, j), &prefix, &other);
        n = aios__json_count(prefix) > n ? aios__json_count(prefix) : n;
    }
    if (n > MAX_PREFIX)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_PREFIX, n, "more than %u prefix items: simplify the schema", MAX_PREFIX);
    nodes = aios__alloc_array(c->g->heap, AIOS_MEM_SCRATCH, n, sizeof *nodes, err);
    if (!nodes)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < n; i++)
        rc = item(c, k, i, &nodes[i], err);
    if (!rc)
        rc = item(c, k, AIOS__NONE, &rest, err);
    if (!rc)
        rc = aios__grammar_words(c->g, nodes, n, &at, err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_ARR, node, err);
    aios__free(c->g->heap, nodes);
    if (!rc) {
        aios__gnode *a = &c->g->nodes[*node];
        *a = (aios__gnode){.kind = AIOS__G_ARR, .a = at, .b = (uint32_t)n, .c = rest, .min = min, .max = max};
    }
    return rc;
}
