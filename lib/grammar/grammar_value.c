/* SPDX-License-Identifier: Apache-2.0 */
/* Listed values: exactly those that satisfy everything else too. */
#include "grammar/grammar_schema.h"

typedef struct literals {
    uint32_t *e, n, cap; /* 3 words each */
    aios__buf text;
} literals;

static int add_literal(comp *c, literals *l, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_bytes(c->g, l->text.p, l->text.n, &at, err);
    if (!rc)
        rc = aios__grammar_grow_beside(c->g, &l->e, &l->cap, (size_t)l->n + 3, AIOS__G_WORDS, sizeof *l->e, "listed values", err);
    if (rc)
        return rc;
    l->e[l->n++] = at;
    l->e[l->n++] = (uint32_t)l->text.n;
    l->e[l->n++] = AIOS__G_NONE;
    return AIOS_OK;
}

/* What the subschema whose list v is from says beside it. */
static int own_list_holds(const comp *c, uint32_t sub, const aios__json *v, aios_error *why)
{
    const aios__sub *s = &c->s->subs[sub];
    int rc = AIOS_OK;
    for (uint32_t i = s->first; !rc && i < s->first + s->n; i++)
        if (c->s->kws[i].kw != AIOS__KW_ENUM && c->s->kws[i].kw != AIOS__KW_CONST)
            rc = aios__schema_check_at(c->s, sub, c->marks ? AIOS__KW_COUNT : c->s->kws[i].kw, v, why);
    return rc;
}

static int part_holds(const comp *c, part p, const aios__json *v, aios_error *why)
{
    /* of a negated keyword's ways the others let through what this one does not mean: they are alternatives of one choice */
    uint32_t what = part_what(p), sub = part_sub(p);
    enum aios__kw only = part_neg(p) && what < AIOS__KW_COUNT ? (enum aios__kw)what : AIOS__KW_COUNT;
    const aios__json *list = what == PART_OWN && !aios__schema_kw(c->s, sub, AIOS__KW_CONST) ? aios__schema_kw(c->s, sub, AIOS__KW_ENUM) : NULL;
    if (list && list == c->list)
        return own_list_holds(c, sub, v, why);
    return aios__schema_check_at(c->s, sub, only, v, why);
}

/* Every part holds for v. */
static int all_hold(const comp *c, const conj *k, const aios__json *v, bool *holds, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    *holds = true;
    for (uint32_t i = 0; *holds && i < k->n; i++) {
        part p = part_at(c, k, i);
        uint32_t what = part_what(p);
        if (what == PART_HAS || what == PART_FREE_OF) {
            bool object = aios__json_type(v) == AIOS__JSON_OBJECT, has = aios__json_get(v, c->names[part_index(p)]);
            *holds = what == PART_FREE_OF ? !has : object && has != part_neg(p);
            continue;
        }
        int rc = part_holds(c, p, v, &why);
        if (rc && rc != AIOS_ESCHEMA)
            return aios__error_copy(err, &why);
        *holds = part_neg(p) ? rc != 0 : !rc;
    }
    return AIOS_OK;
}

static int add_value(comp *c, const conj *k, literals *l, const aios__json *v, aios_error *err)
{
    bool holds;
    int rc = all_hold(c, k, v, &holds, err);
    if (rc || !holds)
        return rc;
    aios__buf_clear(&l->text);
    rc = aios__json_write_as(v, c->g->blank, &l->text, err);
    return rc ? rc : add_literal(c, l, err);
}

static int make_set(comp *c, literals *l, uint32_t *node, aios_error *err)
{
    uint32_t at;
    int rc = aios__grammar_words(c->g, l->e, l->n, &at, err);
    if (!rc)
        rc = aios__grammar_sort(c->g, at, l->n / 3, err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_SET, node, err);
    if (rc)
        return rc;
    uint32_t *e = c->g->words + at, kept = 0;
    for (uint32_t i = 0; i < l->n; i += 3) {
        uint32_t *y = kept ? e + 3 * ((size_t)kept - 1) : NULL;
        if (!y || y[1] != e[i + 1] || memcmp(c->g->bytes + y[0], c->g->bytes + e[i], y[1]))
            memmove(e + 3 * (size_t)kept++, e + i, 3 * sizeof *e);
    }
    c->g->nodes[*node].a = at;
    c->g->nodes[*node].b = kept;
    return AIOS_OK;
}

static void literals_init(comp *c, literals *l)
{
    memset(l, 0, sizeof *l);
    aios__buf_init(&l->text, c->g->heap, AIOS_MEM_SCRATCH, 0);
}

static void literals_free(comp *c, literals *l)
{
    aios__buf_free(&l->text);
    aios__grammar_drop(c->g, l->e, l->cap * sizeof *l->e);
}

static int make_enum(comp *c, const conj *k, const aios__json *list, const aios__json *value, uint32_t *node, aios_error *err)
{
    literals l;
    literals_init(c, &l);
    int rc = value ? add_value(c, k, &l, value, err) : AIOS_OK;
    for (size_t i = 0; !value && !rc && i < aios__json_count(list); i++)
        rc = add_value(c, k, &l, aios__json_at(list, i), err);
    if (!rc)
        rc = make_set(c, &l, node, err);
    literals_free(c, &l);
    return rc;
}

/* The value is none of those that negated lists exclude; the words of JSON have no other keywords that could. */
static bool word_out(const comp *c, const conj *k, const char *text)
{
    uint32_t type = *text == 'n' ? AIOS__JSON_NULL : *text == 't' ? AIOS__JSON_TRUE : AIOS__JSON_FALSE;
    for (uint32_t i = 0; k && i < k->n; i++) {
        part p = part_at(c, k, i);
        if (!part_neg(p) || (part_what(p) != AIOS__KW_CONST && part_what(p) != AIOS__KW_ENUM))
            continue;
        const aios__json *v = aios__schema_kw(c->s, part_sub(p), (enum aios__kw)part_what(p));
        if (part_what(p) == AIOS__KW_CONST && aios__json_type(v) == type)
            return true;
        for (size_t j = 0; part_what(p) == AIOS__KW_ENUM && j < aios__json_count(v); j++)
            if (aios__json_type(aios__json_at(v, j)) == type)
                return true;
    }
    return false;
}

int aios__comp_words(comp *c, const conj *k, uint32_t types, uint32_t *node, aios_error *err)
{
    static const struct {
        uint32_t type;
        const char *text;
    } words[] = {{AIOS__T_BOOLEAN, "false"}, {AIOS__T_NULL, "null"}, {AIOS__T_BOOLEAN, "true"}};
    literals l;
    literals_init(c, &l);
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < AIOS__ARRAY_LEN(words); i++) {
        if (!(types & words[i].type) || word_out(c, k, words[i].text))
            continue;
        aios__buf_clear(&l.text);
        rc = aios__buf_adds(&l.text, words[i].text, err);
        if (!rc)
            rc = add_literal(c, &l, err);
    }
    if (!rc)
        rc = make_set(c, &l, node, err);
    literals_free(c, &l);
    return rc;
}

/* All strings of a list are one node. */
static int join_strings(comp *c, const uint32_t *texts, uint32_t n, uint32_t *node, aios_error *err)
{
    uint32_t rx;
    int rc = aios__rx_or(c->g->rx, texts, n, &rx, err);
    rc = rc ? rc : aios__grammar_node(c->g, AIOS__G_STR, node, err);
    if (!rc)
        c->g->nodes[*node] = (aios__gnode){.kind = AIOS__G_STR, .a = rx, .c = 1, .max = AIOS__COUNT_MAX};
    return rc;
}

/* The same in a complete grammar. */
static int make_values(comp *c, const conj *k, const aios__json *list, const aios__json *value, uint32_t *node, aios_error *err)
{
    size_t n = value ? 1 : aios__json_count(list), len;
    uint32_t *nodes = aios__grammar_alloc_beside(c->g, 2 * n + 1, sizeof *nodes, err), *texts = nodes + n + 1, kept = 0, n_texts = 0;
    if (!nodes)
        return aios__oom(err);
    int rc = aios__comp_pool(c, err);
    for (size_t i = 0; !rc && i < n; i++) {
        bool holds;
        const aios__json *v = value ? value : aios__json_at(list, i);
        const char *s = aios__json_str(v, &len);
        rc = all_hold(c, k, v, &holds, err);
        if (!rc && holds)
            rc = s ? aios__comp_exact(c, s, len, &texts[n_texts++], err) : aios__comp_value(c, v, &nodes[kept++], err);
    }
    if (!rc && n_texts)
        rc = join_strings(c, texts, n_texts, &nodes[kept++], err);
    rc = rc ? rc : aios__grammar_list(c->g, AIOS__G_ALT, nodes, kept, node, err);
    aios__grammar_drop(c->g, nodes, (2 * n + 1) * sizeof *nodes);
    return rc;
}

int aios__comp_listed(comp *c, const conj *k, bool *is, uint32_t *node, aios_error *err)
{
    *is = false;
    for (uint32_t i = 0; i < k->n; i++) {
        const aios__json *list = aios__comp_kw(c, k, i, AIOS__KW_ENUM), *value = aios__comp_kw(c, k, i, AIOS__KW_CONST);
        *is = list || value;
        c->list = value ? NULL : list;
        if (*is)
            return c->g->complete ? make_values(c, k, list, value, node, err) : make_enum(c, k, list, value, node, err);
    }
    return AIOS_OK;
}
