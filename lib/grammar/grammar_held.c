/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What unevaluatedProperties and unevaluatedItems see: the subschemas for the same value below theirs that hold. A conjunction without
 * choices knows them, since each that holds has an own part.
 */
#include "grammar/grammar_schema.h"

/* Schemas that are known to be there but for the choices of a keyword, with the one of the i-th place; NULL: no more. */
static const aios__json *below(const aios__schema *s, uint32_t sub, uint32_t i, bool *chosen)
{
    static const enum aios__kw lists[] = {AIOS__KW_ALL_OF, AIOS__KW_ANY_OF, AIOS__KW_ONE_OF};
    static const enum aios__kw single[] = {AIOS__KW_IF, AIOS__KW_THEN, AIOS__KW_ELSE};
    static const enum aios__kw maps[] = {AIOS__KW_DEPENDENT_SCHEMAS, AIOS__KW_DEPENDENCIES};
    const char *key;
    *chosen = true;
    for (size_t k = 0; k < AIOS__ARRAY_LEN(lists); k++) {
        const aios__json *v = aios__schema_kw(s, sub, lists[k]);
        uint32_t n = (uint32_t)aios__json_count(v);
        *chosen = lists[k] != AIOS__KW_ALL_OF && n > 1;
        if (i < n)
            return aios__json_at(v, i);
        i -= n;
    }
    *chosen = true;
    for (size_t k = 0; k < AIOS__ARRAY_LEN(single); k++) {
        const aios__json *v = aios__schema_kw(s, sub, single[k]);
        if (v && !i--)
            return v;
    }
    for (size_t k = 0; k < AIOS__ARRAY_LEN(maps); k++) {
        const aios__json *v = aios__schema_kw(s, sub, maps[k]);
        uint32_t n = (uint32_t)aios__json_count(v);
        if (i < n)
            return aios__comp_member(v, i, &key);
        i -= n;
    }
    return NULL;
}

static int add(comp *c, held *h, uint32_t sub, aios_error *err)
{
    for (uint32_t i = h->at; i < h->at + h->n; i++)
        if (c->held[i] == sub)
            return AIOS_OK;
    int rc = aios__grammar_grow_beside(c->g, &c->held, &c->cap_held, (size_t)c->n_held + 1, AIOS__G_WORDS, sizeof *c->held, "schemas of one value", err);
    if (rc)
        return rc;
    c->held[c->n_held++] = sub;
    h->n++;
    return AIOS_OK;
}

static bool is_held(const comp *c, const conj *k, uint32_t sub)
{
    for (uint32_t i = 0; i < k->n; i++)
        if (aios__comp_own(c, k, i) == sub)
            return true;
    return false;
}

int aios__comp_held(comp *c, const conj *k, uint32_t sub, held *h, aios_error *err)
{
    *h = (held){.sub = sub, .at = c->n_held};
    int rc = add(c, h, sub, err);
    for (uint32_t i = h->at; !rc && i < h->at + h->n; i++) {
        uint32_t at = c->held[i];
        const aios__json *v;
        bool chosen;
        if (c->s->subs[at].ref != AIOS__NONE)
            rc = add(c, h, c->s->subs[at].ref, err);
        if (!rc && c->s->subs[at].dynamic != AIOS__NONE)
            rc = add(c, h, c->s->subs[at].dynamic, err);
        for (uint32_t j = 0; !rc && (v = below(c->s, at, j, &chosen)); j++) {
            uint32_t to = aios__schema_sub(c->s, v);
            if (to != AIOS__NONE && (!chosen || is_held(c, k, to)))
                rc = add(c, h, to, err);
        }
    }
    return rc;
}

/* ---- members and items that they speak of --------------------------------------------------------------------------- */

static bool speaks_of_all(const comp *c, const held *h, uint32_t sub)
{
    return aios__schema_kw(c->s, sub, AIOS__KW_ADDITIONAL) || (sub != h->sub && aios__schema_kw(c->s, sub, AIOS__KW_UNEVALUATED_PROPERTIES));
}

int aios__comp_held_name(const comp *c, const held *h, const char *name, bool *is, aios_error *err)
{
    const char *key;
    const aios__json *v;
    int rc = AIOS_OK;
    *is = false;
    for (uint32_t i = h->at; !rc && !*is && i < h->at + h->n; i++) {
        const aios__json *map = aios__schema_kw(c->s, c->held[i], AIOS__KW_PATTERN_PROPERTIES);
        *is = speaks_of_all(c, h, c->held[i]) || aios__json_get(aios__schema_kw(c->s, c->held[i], AIOS__KW_PROPERTIES), name);
        for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it && !*is && !rc; it = aios__json_iter(map, it, &key, &v))
            rc = aios__rx_match(c->g->rx, aios__schema_names(c->s, key), name, strlen(name), is, err);
    }
    return rc;
}

bool aios__comp_held_class(const comp *c, const held *h, const keys *names, const klass *k)
{
    const char *key;
    const aios__json *v;
    for (uint32_t i = h->at; i < h->at + h->n; i++) {
        const aios__json *map = aios__schema_kw(c->s, c->held[i], AIOS__KW_PATTERN_PROPERTIES);
        if (speaks_of_all(c, h, c->held[i]))
            return true;
        for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it; it = aios__json_iter(map, it, &key, &v))
            for (uint32_t p = 0; p < names->n_pat; p++)
                if (names->pat[p] == aios__schema_names(c->s, key) && k->in >> p & 1)
                    return true;
    }
    return false;
}

uint64_t aios__comp_held_items(const comp *c, const held *h)
{
    uint64_t n = 0;
    for (uint32_t i = h->at; i < h->at + h->n; i++) {
        uint32_t sub = c->held[i];
        const aios__json *prefix = aios__schema_kw(c->s, sub, AIOS__KW_PREFIX_ITEMS), *items = aios__schema_kw(c->s, sub, AIOS__KW_ITEMS);
        bool list = aios__json_type(items) == AIOS__JSON_ARRAY;
        if ((items && !list) || (list && aios__schema_kw(c->s, sub, AIOS__KW_ADDITIONAL_ITEMS)) ||
            (sub != h->sub && aios__schema_kw(c->s, sub, AIOS__KW_UNEVALUATED_ITEMS)))
            return UINT64_MAX;
        prefix = list ? items : prefix;
        n = aios__json_count(prefix) > n ? aios__json_count(prefix) : n;
    }
    return n;
}

const aios__json *aios__comp_held_contains(const comp *c, const held *h, uint32_t k)
{
    for (uint32_t i = h->at; i < h->at + h->n; i++) {
        const aios__json *v = aios__schema_kw(c->s, c->held[i], AIOS__KW_CONTAINS);
        bool counts = c->s->subs[c->held[i]].draft == AIOS__DRAFT_2020 || c->s->subs[c->held[i]].draft == AIOS__DRAFT_LATEST;
        if (v && counts && !k--)
            return v;
    }
    return NULL;
}
