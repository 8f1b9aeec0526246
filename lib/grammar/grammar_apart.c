/* SPDX-License-Identifier: Apache-2.0 */
/* Which schemas exclude each other at a glance: by type, by listed values, by those of a property that one of them requires. It
   keeps unions with a discriminator plain alternatives. What is not seen here is only dearer. */
#include "grammar/grammar_schema.h"

#include <stdlib.h>

#define FLAT 24u       /* subschemas of one schema that are looked at */
#define PAIRWISE 256u  /* alternatives that are compared each with each */
#define MAX_PAIRS 4096u
#define LISTED 64u     /* values of a list that are compared */

/* A schema and what it refers to for the same value. */
typedef struct flat {
    uint32_t sub[FLAT], n;
} flat;

static void flat_push(flat *f, uint32_t sub)
{
    for (uint32_t i = 0; i < f->n; i++)
        if (f->sub[i] == sub)
            return;
    if (f->n < FLAT)
        f->sub[f->n++] = sub;
}

static void flatten(const aios__schema *s, uint32_t sub, flat *f)
{
    f->n = 0;
    flat_push(f, sub);
    for (uint32_t i = 0; i < f->n; i++) {
        const aios__json *all = aios__schema_kw(s, f->sub[i], AIOS__KW_ALL_OF);
        if (s->subs[f->sub[i]].ref != AIOS__NONE)
            flat_push(f, s->subs[f->sub[i]].ref);
        for (size_t k = 0; k < aios__json_count(all) && f->n < FLAT; k++)
            flat_push(f, aios__schema_sub(s, aios__json_at(all, k)));
    }
}

static void flatten_set(const comp *c, flat *f)
{
    f->n = 0;
    for (uint32_t i = 0; i < c->n_part && f->n < FLAT; i++)
        if (part_what(c->part[i]) == PART_OWN)
            flat_push(f, part_sub(c->part[i]));
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static const aios__json *listed(const aios__schema *s, uint32_t sub, size_t i)
{
    const aios__json *v = aios__schema_kw(s, sub, AIOS__KW_CONST);
    if (v)
        return i ? NULL : v;
    v = aios__schema_kw(s, sub, AIOS__KW_ENUM);
    return i < aios__json_count(v) && aios__json_count(v) <= LISTED ? aios__json_at(v, i) : NULL;
}

static bool lists_apart(const aios__schema *s, uint32_t a, uint32_t b, uint64_t *work)
{
    const aios__json *x, *y;
    if (!listed(s, a, 0) || !listed(s, b, 0))
        return false;
    for (size_t i = 0; (x = listed(s, a, i)); i++)
        for (size_t k = 0; (y = listed(s, b, k)); k++, ++*work)
            if (aios__json_equal(x, y))
                return false;
    return true;
}

static uint32_t types_of(const aios__schema *s, const flat *f)
{
    uint32_t types = AIOS__T_ALL;
    for (uint32_t i = 0; i < f->n; i++)
        types &= s->subs[f->sub[i]].types;
    return types;
}

static bool values_apart(const aios__schema *s, const flat *a, const flat *b, uint64_t *work)
{
    *work += 1 + a->n * b->n / 4;
    if (!(types_of(s, a) & types_of(s, b)))
        return true;
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t k = 0; k < b->n; k++)
            if (lists_apart(s, a->sub[i], b->sub[k], work))
                return true;
    return false;
}

/* ---- properties --------------------------------------------------------------------------------------------------- */

static bool requires(const aios__schema *s, const flat *f, const char *name)
{
    for (uint32_t i = 0; i < f->n; i++) {
        const aios__json *list = aios__schema_kw(s, f->sub[i], AIOS__KW_REQUIRED);
        for (size_t k = 0; k < aios__json_count(list); k++)
            if (!strcmp(aios__json_str(aios__json_at(list, k), NULL), name))
                return true;
    }
    return false;
}

/* Subschema a forbids a property that b requires. */
static bool forbids_required(const aios__schema *s, uint32_t a, const flat *b)
{
    const aios__json *more = aios__schema_kw(s, a, AIOS__KW_ADDITIONAL), *known = aios__schema_kw(s, a, AIOS__KW_PROPERTIES);
    if (aios__json_type(more) != AIOS__JSON_FALSE || !more || aios__schema_kw(s, a, AIOS__KW_PATTERN_PROPERTIES))
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        const aios__json *list = aios__schema_kw(s, b->sub[i], AIOS__KW_REQUIRED);
        for (size_t k = 0; k < aios__json_count(list); k++)
            if (!aios__json_get(known, aios__json_str(aios__json_at(list, k), NULL)))
                return true;
    }
    return false;
}

static bool member_apart(const aios__schema *s, const flat *f, const char *name, const aios__json *schema, uint64_t *work)
{
    flat a, b;
    const aios__json *other;
    flatten(s, aios__schema_sub(s, schema), &b);
    *work += 2 + b.n / 4;
    if (types_of(s, &b) == AIOS__T_ALL && b.n == 1 && !listed(s, b.sub[0], 0))
        return false;
    *work += f->n / 2;
    for (uint32_t i = 0; i < f->n; i++) {
        other = aios__json_get(aios__schema_kw(s, f->sub[i], AIOS__KW_PROPERTIES), name);
        if (!other || other == schema)
            continue;
        flatten(s, aios__schema_sub(s, other), &a);
        if (values_apart(s, &a, &b, work))
            return true;
    }
    return false;
}

/* Both say objects, or one requires a property that only objects have: else they meet where no object is. */
static bool objects_apart(const aios__schema *s, const flat *a, const flat *b, uint64_t *work)
{
    *work += a->n + b->n;
    const char *name;
    const aios__json *v;
    for (uint32_t i = 0; i < b->n; i++) {
        const aios__json *map = aios__schema_kw(s, b->sub[i], AIOS__KW_PROPERTIES);
        for (void *it = map ? aios__json_iter(map, NULL, &name, &v) : NULL; it; it = aios__json_iter(map, it, &name, &v))
            if (member_apart(s, a, name, v, work) && (requires(s, a, name) || requires(s, b, name)))
                return true;
        if (forbids_required(s, b->sub[i], a))
            return true;
    }
    for (uint32_t i = 0; i < a->n; i++)
        if (forbids_required(s, a->sub[i], b))
            return true;
    return false;
}

static bool apart(const aios__schema *s, const flat *a, const flat *b, uint32_t types, uint64_t *work)
{
    if (values_apart(s, a, b, work))
        return true;
    types &= types_of(s, a) & types_of(s, b);
    return types == AIOS__T_OBJECT && objects_apart(s, a, b, work);
}

bool aios__comp_apart(comp *c, uint32_t sub)
{
    flat a, b;
    flatten_set(c, &a);
    if (!a.n)
        return aios__json_type(c->s->subs[sub].json) == AIOS__JSON_FALSE;
    flatten(c->s, sub, &b);
    return apart(c->s, &a, &b, AIOS__T_ALL, &c->g->work);
}

bool aios__comp_apart_member(comp *c, const char *name, const aios__json *schema)
{
    flat a;
    flatten_set(c, &a);
    return member_apart(c->s, &a, name, schema, &c->g->work);
}

/* ---- the alternatives of a oneOf ------------------------------------------------------------------------------------ */

static int add_pair(comp *c, overlap *o, uint32_t i, uint32_t k, aios_error *err)
{
    if (o->n == MAX_PAIRS)
        return aios__comp_fail(c, o->sub, AIOS__KW_ONE_OF, "has too many alternatives that may hold together: give them a required property with a different constant each", err);
    int rc = aios__grammar_grow_beside(c->g, &c->pairs, &c->cap_pairs, (size_t)c->n_pairs + 2, AIOS__G_WORDS, sizeof *c->pairs, "alternatives", err);
    if (rc)
        return rc;
    c->pairs[c->n_pairs++] = i;
    c->pairs[c->n_pairs++] = k;
    o->n++;
    return AIOS_OK;
}

static int compare_pair(comp *c, overlap *o, const aios__json *list, uint32_t i, uint32_t k, aios_error *err)
{
    flat a, b;
    flatten(c->s, aios__schema_sub(c->s, aios__json_at(list, i)), &a);
    flatten(c->s, aios__schema_sub(c->s, aios__json_at(list, k)), &b);
    c->g->work += 4;
    return apart(c->s, &a, &b, o->types, &c->g->work) ? AIOS_OK : add_pair(c, o, i < k ? i : k, i < k ? k : i, err);
}

/* One value that an alternative says of itself, or of a property that it requires. */
typedef struct mark {
    uint64_t hash;
    uint32_t way;
} mark;

static int by_hash(const void *a, const void *b)
{
    mark x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x.hash != y.hash ? (x.hash > y.hash) - (x.hash < y.hash) : (x.way > y.way) - (x.way < y.way);
}

/* The values of alternative f: its own (name NULL) or of a required property. Equal values have equal hashes. */
static const aios__json *marked(const comp *c, const flat *f, const char *name, size_t i)
{
    if (name && !requires(c->s, f, name))
        return NULL;
    for (uint32_t k = 0; k < f->n; k++) {
        uint32_t sub = f->sub[k];
        if (name)
            sub = aios__schema_sub(c->s, aios__json_get(aios__schema_kw(c->s, sub, AIOS__KW_PROPERTIES), name));
        if (sub != AIOS__NONE && listed(c->s, sub, 0))
            return listed(c->s, sub, i);
    }
    return NULL;
}

static uint64_t hash_value(const aios__json *v)
{
    size_t n = 0;
    const char *s = aios__json_str(v, &n);
    uint64_t h = UINT64_C(0xcbf29ce484222325) + aios__json_type(v);
    if (aios__json_is_number(v)) {
        double d = aios__json_real(v, 0) + 0.0;
        memcpy(&h, &d, sizeof h);
    }
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * UINT64_C(0x100000001b3);
    return h;
}

typedef struct marks {
    mark *m;
    uint32_t n, cap;
} marks;

/* False if some alternative says no value of that name, or holds for values without properties. */
static int mark_all(comp *c, const overlap *o, const aios__json *list, const char *name, marks *ms, bool *all, aios_error *err)
{
    int rc = AIOS_OK;
    flat f;
    const aios__json *v;
    ms->n = 0;
    *all = true;
    for (uint32_t i = 0; *all && !rc && i < aios__json_count(list); i++) {
        flatten(c->s, aios__schema_sub(c->s, aios__json_at(list, i)), &f);
        *all = marked(c, &f, name, 0) && (!name || (types_of(c->s, &f) & o->types) == AIOS__T_OBJECT);
        for (size_t k = 0; !rc && (v = marked(c, &f, name, k)); k++) {
            rc = aios__grammar_grow_beside(c->g, &ms->m, &ms->cap, (size_t)ms->n + 1, AIOS__G_WORDS, sizeof *ms->m, "alternatives", err);
            if (!rc)
                ms->m[ms->n++] = (mark){hash_value(v), i};
        }
    }
    return rc;
}

/* Compares those that share a value. */
static int pairs_of_marks(comp *c, overlap *o, const aios__json *list, marks *ms, aios_error *err)
{
    int rc = AIOS_OK;
    qsort(ms->m, ms->n, sizeof *ms->m, by_hash);
    for (uint32_t i = 0; !rc && i < ms->n; i++)
        for (uint32_t k = i + 1; !rc && k < ms->n && ms->m[k].hash == ms->m[i].hash; k++)
            rc = ms->m[k].way == ms->m[i].way ? AIOS_OK : compare_pair(c, o, list, ms->m[i].way, ms->m[k].way, err);
    return rc;
}

/* By the first name whose values tell all alternatives. */
static int find_pairs(comp *c, overlap *o, const aios__json *list, aios_error *err)
{
    uint32_t n = (uint32_t)aios__json_count(list);
    marks ms = {0};
    flat f;
    bool all = false;
    flatten(c->s, aios__schema_sub(c->s, aios__json_at(list, 0)), &f);
    int rc = mark_all(c, o, list, NULL, &ms, &all, err);
    for (uint32_t k = 0; !rc && !all && k < f.n; k++) {
        const aios__json *names = aios__schema_kw(c->s, f.sub[k], AIOS__KW_REQUIRED);
        for (size_t j = 0; !rc && !all && j < aios__json_count(names); j++)
            rc = mark_all(c, o, list, aios__json_str(aios__json_at(names, j), NULL), &ms, &all, err);
    }
    if (!rc && all)
        rc = pairs_of_marks(c, o, list, &ms, err);
    else if (!rc && n > PAIRWISE)
        rc = aios__comp_fail(c, o->sub, AIOS__KW_ONE_OF, "has too many alternatives to see that they exclude each other: give them a required property with a different constant each", err);
    for (uint32_t i = 0; !rc && !all && i < n; i++)
        for (uint32_t k = i + 1; !rc && k < n; k++)
            rc = compare_pair(c, o, list, i, k, err);
    aios__grammar_drop(c->g, ms.m, ms.cap * sizeof *ms.m);
    return rc;
}

int aios__comp_overlap(comp *c, uint32_t sub, bool neg, const overlap **out, aios_error *err)
{
    for (uint32_t i = 0; i < c->n_overlaps; i++)
        if (c->overlaps[i].sub == sub && c->overlaps[i].neg == neg) {
            *out = &c->overlaps[i];
            return AIOS_OK;
        }
    flat all;
    flatten(c->s, sub, &all);
    overlap o = {.sub = sub, .neg = neg, .at = c->n_pairs, .types = neg ? AIOS__T_ALL : types_of(c->s, &all)};
    int rc = find_pairs(c, &o, aios__schema_kw(c->s, sub, AIOS__KW_ONE_OF), err);
    if (!rc)
        rc = aios__grammar_grow_beside(c->g, &c->overlaps, &c->cap_overlaps, (size_t)c->n_overlaps + 1, AIOS__G_NODES, sizeof *c->overlaps, "oneOf", err);
    if (rc)
        return rc;
    c->overlaps[c->n_overlaps] = o;
    *out = &c->overlaps[c->n_overlaps++];
    return AIOS_OK;
}
