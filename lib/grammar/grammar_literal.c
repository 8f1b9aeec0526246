/* SPDX-License-Identifier: Apache-2.0 */
/* Listed values in every way that they may be written, for complete grammars. */
#include "grammar/grammar_schema.h"

#define DEEP 64u /* containers inside each other */

static int make(comp *c, const aios__json *v, unsigned depth, uint32_t *node, aios_error *err);

static int make_string(comp *c, const aios__json *v, uint32_t *node, aios_error *err)
{
    size_t n;
    const char *s = aios__json_str(v, &n);
    uint32_t rx;
    int rc = aios__comp_pool(c, err);
    rc = rc ? rc : aios__comp_exact(c, s, n, &rx, err);
    rc = rc ? rc : aios__grammar_node(c->g, AIOS__G_STR, node, err);
    if (!rc) {
        c->g->nodes[*node].a = rx;
        c->g->nodes[*node].c = 1;
        c->g->nodes[*node].max = AIOS__COUNT_MAX;
    }
    return rc;
}

static int make_array(comp *c, const aios__json *v, unsigned depth, uint32_t *node, aios_error *err)
{
    size_t n = aios__json_count(v);
    uint32_t *nodes = aios__grammar_alloc_beside(c->g, n + 1, sizeof *nodes, err);
    if (!nodes)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i++)
        rc = make(c, aios__json_at(v, i), depth + 1, &nodes[i], err);
    nodes[n] = c->never_node;
    rc = rc ? rc : aios__grammar_list(c->g, AIOS__G_ARR, nodes, n + 1, node, err);
    aios__grammar_drop(c->g, nodes, (n + 1) * sizeof *nodes);
    if (!rc) {
        c->g->nodes[*node].b = (uint32_t)n;
        c->g->nodes[*node].min = c->g->nodes[*node].max = n;
    }
    return rc;
}

static int make_object(comp *c, const aios__json *v, unsigned depth, uint32_t *node, aios_error *err)
{
    size_t n = aios__json_count(v);
    aios_grammar *g = c->g;
    uint32_t *words = aios__grammar_alloc_beside(g, n, 7 * sizeof *words, err), *names = words + 4 * n;
    const char *key;
    const aios__json *m;
    aios__gobj o = {.n = (uint32_t)n, .n_keys = (uint32_t)n, .loose = true, .min = n, .max = n};
    if (!words)
        return aios__oom(err);
    int rc = AIOS_OK;
    size_t i = 0;
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !rc; it = aios__json_iter(v, it, &key, &m), i++) {
        words[4 * i + 1] = 1;
        names[3 * i + 1] = (uint32_t)strlen(key);
        names[3 * i + 2] = (uint32_t)i;
        rc = make(c, m, depth + 1, &words[4 * i], err);
        rc = rc ? rc : aios__grammar_bytes(g, key, strlen(key), &names[3 * i], err);
    }
    rc = rc ? rc : aios__grammar_words(g, words, 4 * n, &o.props, err);
    rc = rc ? rc : aios__grammar_words(g, names, 3 * n, &o.keys, err);
    rc = rc ? rc : aios__grammar_sort(g, o.keys, o.n_keys, err);
    aios__grammar_drop(g, words, n * 7 * sizeof *words);
    return rc ? rc : aios__comp_obj(c, &o, node, err);
}

static int make_word(comp *c, enum aios__json_type type, uint32_t *node, aios_error *err)
{
    const char *text = type == AIOS__JSON_NULL ? "null" : type == AIOS__JSON_TRUE ? "true" : "false";
    return aios__grammar_lit(c->g, text, strlen(text), node, err);
}

/* Recursion is as deep as DEEP. */
static int make(comp *c, const aios__json *v, unsigned depth, uint32_t *node, aios_error *err)
{
    if (depth > DEEP)
        return aios__fail(err, AIOS_ELIMIT, "a listed value nests more than %u levels: simplify the schema", DEEP);
    switch (aios__json_type(v)) {
    case AIOS__JSON_STRING:
        return make_string(c, v, node, err);
    case AIOS__JSON_INT:
    case AIOS__JSON_REAL:
        return aios__comp_number_value(c, v, node, err);
    case AIOS__JSON_ARRAY:
        return make_array(c, v, depth, node, err);
    case AIOS__JSON_OBJECT:
        return make_object(c, v, depth, node, err);
    default:
        return make_word(c, aios__json_type(v), node, err);
    }
}

int aios__comp_value(comp *c, const aios__json *v, uint32_t *node, aios_error *err)
{
    return make(c, v, 0, node, err);
}
