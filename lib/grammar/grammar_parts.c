/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of parts: a subschema that holds, or does not, as its keywords. What a keyword leaves open is a choice of further parts. */
#include "grammar/grammar_schema.h"

#define MAX_PARTS 2048u
#define MAX_WORK 4600000u
#define EACH_SET 8u
#define SETTLED_MAX 200u /* sets up to it are searched for what goes without saying */

_Static_assert(PART_LAST < 128, "seven bits of a part");

void aios__comp_clear(comp *c)
{
    c->n_part = c->n_queue = 0;
    c->never = false;
}

int aios__comp_part(comp *c, part p, aios_error *err)
{
    for (uint32_t i = 0; i < c->n_part; i++)
        if (c->part[i] == p)
            return AIOS_OK;
    c->g->work += 8 + c->n_part / 8;
    if (c->g->work > MAX_WORK)
        return aios__comp_fail(c, part_sub(c->under), part_what(c->under) < AIOS__KW_COUNT ? (enum aios__kw)part_what(c->under) : AIOS__KW_NOT,
                               "and the keywords around it make too many combinations to be enforced while decoding: simplify the schema", err);
    int rc = aios__grammar_grow_beside(c->g, &c->part, &c->cap_part, (size_t)c->n_part + 1, MAX_PARTS, sizeof *c->part, "schemas that must hold together", err);
    if (!rc)
        c->part[c->n_part++] = p;
    return rc;
}

static int queue(comp *c, uint32_t sub, bool neg, aios_error *err)
{
    for (uint32_t i = 0; i < c->n_queue; i++) {
        if (c->queue[i] == (sub << 1 | neg))
            return AIOS_OK;
        c->never = c->never || c->queue[i] == (sub << 1 | !neg);
    }
    if (c->n_queue == MAX_PARTS)
        return aios__comp_fail(c, sub, c->s->subs[sub].n ? c->s->kws[c->s->subs[sub].first].kw : AIOS__KW_REF,
                               "is one of more than 2048 schemas that must hold together: simplify the schema", err);
    int rc = aios__grammar_grow_beside(c->g, &c->queue, &c->cap_queue, (size_t)c->n_queue + 1, MAX_PARTS, sizeof *c->queue, "schemas that must hold together", err);
    if (!rc)
        c->queue[c->n_queue++] = sub << 1 | neg;
    return rc;
}

static int queue_schema(comp *c, const aios__json *schema, bool neg, aios_error *err)
{
    return schema ? queue(c, aios__schema_sub(c->s, schema), neg, err) : AIOS_OK;
}

/* As queue_schema, of an alternative: gone if the set excludes it. */
static int queue_way(comp *c, const aios__json *schema, aios_error *err)
{
    c->never = c->never || (schema && aios__comp_apart(c, aios__schema_sub(c->s, schema)));
    return c->never ? AIOS_OK : queue_schema(c, schema, false, err);
}

static int queue_all(comp *c, const aios__json *list, bool neg, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < aios__json_count(list); i++)
        rc = queue_schema(c, aios__json_at(list, i), neg, err);
    return rc;
}

const aios__json *aios__comp_member(const aios__json *map, uint32_t i, const char **key)
{
    const aios__json *v = NULL;
    for (void *it = aios__json_iter(map, NULL, key, &v); it; it = aios__json_iter(map, it, key, &v))
        if (!i--)
            return v;
    return NULL;
}

/* A part about a property. */
static int name_part(comp *c, uint32_t what, bool neg, const char *name, aios_error *err)
{
    uint32_t i = 0;
    while (i < c->n_names && c->names[i] != name && strcmp(c->names[i], name))
        i++;
    int rc = aios__grammar_grow_beside(c->g, &c->names, &c->cap_names, (size_t)i + 1, AIOS__G_NODES, sizeof *c->names, "names of properties", err);
    if (rc)
        return rc;
    if (i == c->n_names)
        c->names[c->n_names++] = name;
    return aios__comp_part(c, part_of(0, what, neg, i), err);
}

/* ---- keywords that hold --------------------------------------------------------------------------------------------- */

static bool has(const comp *c, uint32_t sub, enum aios__kw kw)
{
    return aios__schema_kw(c->s, sub, kw) != NULL;
}

/* A part for each member. */
static int each_member(comp *c, uint32_t sub, const aios__kwval *kv, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < aios__json_count(kv->v); i++)
        rc = aios__comp_part(c, part_of(sub, kv->kw, false, i), err);
    return rc;
}

/* As $ref, where the target is known. */
static int queue_dynamic(comp *c, uint32_t sub, enum aios__kw kw, bool neg, aios_error *err)
{
    if (c->s->subs[sub].anchor)
        return aios__comp_fail(c, sub, kw, "leads to a schema that depends on the way to it, which cannot be enforced while decoding: use $ref", err);
    return queue(c, c->s->subs[sub].dynamic, neg, err);
}

static int add_keyword(comp *c, uint32_t sub, const aios__kwval *kv, aios_error *err)
{
    switch (kv->kw) {
    case AIOS__KW_DEFS:
    case AIOS__KW_DEFINITIONS:
    case AIOS__KW_THEN:
    case AIOS__KW_ELSE:
        return AIOS_OK;
    case AIOS__KW_REF:
        return queue(c, c->s->subs[sub].ref, false, err);
    case AIOS__KW_DYNAMIC_REF:
    case AIOS__KW_RECURSIVE_REF:
        return queue_dynamic(c, sub, kv->kw, false, err);
    case AIOS__KW_ALL_OF:
        return queue_all(c, kv->v, false, err);
    case AIOS__KW_ANY_OF:
    case AIOS__KW_ONE_OF:
        if (aios__json_count(kv->v) == 1)
            return queue_all(c, kv->v, false, err);
        return aios__comp_part(c, part_of(sub, kv->kw, false, AIOS__NONE), err);
    case AIOS__KW_NOT:
        return queue_schema(c, kv->v, true, err);
    case AIOS__KW_IF:
        return c->marks || has(c, sub, AIOS__KW_THEN) || has(c, sub, AIOS__KW_ELSE) ? aios__comp_part(c, part_of(sub, kv->kw, false, AIOS__NONE), err) : AIOS_OK;
    case AIOS__KW_DEPENDENT_REQUIRED:
    case AIOS__KW_DEPENDENT_SCHEMAS:
    case AIOS__KW_DEPENDENCIES:
        return each_member(c, sub, kv, err);
    default:
        return aios__comp_part(c, part_of(sub, PART_OWN, false, 0), err);
    }
}

/* ---- keywords that do not hold -------------------------------------------------------------------------------------- */

static uint32_t count_names(const aios__json *map)
{
    const char *key;
    const aios__json *v;
    uint32_t n = 0;
    for (void *it = aios__json_iter(map, NULL, &key, &v); it; it = aios__json_iter(map, it, &key, &v))
        n += aios__json_type(v) == AIOS__JSON_ARRAY ? (uint32_t)aios__json_count(v) : 1;
    return n;
}

/* The keyword can fail on its own account. */
static bool can_fail(const comp *c, uint32_t sub, const aios__kwval *kv)
{
    switch (kv->kw) {
    case AIOS__KW_DEFS:
    case AIOS__KW_DEFINITIONS:
    case AIOS__KW_THEN:
    case AIOS__KW_ELSE:
    case AIOS__KW_MIN_CONTAINS: /* say something beside another keyword only */
    case AIOS__KW_MAX_CONTAINS:
        return false;
    case AIOS__KW_IF:
        return has(c, sub, AIOS__KW_THEN) || has(c, sub, AIOS__KW_ELSE);
    case AIOS__KW_UNIQUE_ITEMS:
        return aios__json_type(kv->v) == AIOS__JSON_TRUE;
    case AIOS__KW_REQUIRED:
    case AIOS__KW_PROPERTIES:
    case AIOS__KW_PATTERN_PROPERTIES:
        return aios__json_count(kv->v) > 0;
    case AIOS__KW_DEPENDENT_REQUIRED:
    case AIOS__KW_DEPENDENT_SCHEMAS:
    case AIOS__KW_DEPENDENCIES:
        return count_names(kv->v) > 0;
    case AIOS__KW_ITEMS:
        return aios__json_type(kv->v) != AIOS__JSON_ARRAY || aios__json_count(kv->v) > 0;
    case AIOS__KW_ADDITIONAL_ITEMS:
        return aios__json_type(aios__schema_kw(c->s, sub, AIOS__KW_ITEMS)) == AIOS__JSON_ARRAY;
    default:
        return true;
    }
}

static int deny_keyword(comp *c, uint32_t sub, const aios__kwval *kv, aios_error *err)
{
    switch (kv->kw) {
    case AIOS__KW_REF:
        return queue(c, c->s->subs[sub].ref, true, err);
    case AIOS__KW_DYNAMIC_REF:
    case AIOS__KW_RECURSIVE_REF:
        return queue_dynamic(c, sub, kv->kw, true, err);
    case AIOS__KW_NOT:
        return queue_schema(c, kv->v, false, err);
    case AIOS__KW_ANY_OF:
        return queue_all(c, kv->v, true, err);
    case AIOS__KW_ALL_OF:
        if (aios__json_count(kv->v) == 1)
            return queue_all(c, kv->v, true, err);
        break;
    default:
        break;
    }
    return aios__comp_part(c, part_of(sub, kv->kw, true, AIOS__NONE), err);
}

/* The k-th keyword that can fail, or NULL. */
static const aios__kwval *failing(const comp *c, uint32_t sub, uint32_t k)
{
    const aios__sub *s = &c->s->subs[sub];
    for (uint32_t i = s->first; i < s->first + s->n; i++)
        if (can_fail(c, sub, &c->s->kws[i]) && !k--)
            return &c->s->kws[i];
    return NULL;
}

static int deny(comp *c, uint32_t sub, aios_error *err)
{
    if (aios__json_type(c->s->subs[sub].json) == AIOS__JSON_FALSE)
        return AIOS_OK;
    const aios__kwval *only = failing(c, sub, 0);
    c->never = c->never || !only;
    if (!only)
        return AIOS_OK;
    return failing(c, sub, 1) ? aios__comp_part(c, part_of(sub, PART_SUB, true, AIOS__NONE), err) : deny_keyword(c, sub, only, err);
}

/* ---- adding schemas ------------------------------------------------------------------------------------------------- */

static int drain(comp *c, uint32_t from, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = from; !rc && i < c->n_queue; i++) {
        uint32_t id = c->queue[i] >> 1;
        const aios__sub *sub = &c->s->subs[id];
        if (c->queue[i] & 1) {
            rc = deny(c, id, err);
            continue;
        }
        c->never = c->never || aios__json_type(sub->json) == AIOS__JSON_FALSE;
        if (c->marks)
            rc = aios__comp_part(c, part_of(id, PART_OWN, false, 0), err);
        for (uint32_t k = 0; !rc && k < sub->n; k++)
            rc = add_keyword(c, id, &c->s->kws[sub->first + k], err);
    }
    return rc;
}

int aios__comp_add(comp *c, const aios__json *schema, bool neg, aios_error *err)
{
    uint32_t from = c->n_queue;
    int rc = queue_schema(c, schema, neg, err);
    return rc ? rc : drain(c, from, err);
}

/* ---- choices -------------------------------------------------------------------------------------------------------- */

static int ways_denied(comp *c, part p, const aios__json *v, uint32_t *n, aios_error *err)
{
    const overlap *o;
    int rc;
    switch (part_what(p)) {
    case AIOS__KW_ALL_OF:
    case AIOS__KW_REQUIRED:
    case AIOS__KW_PROPERTIES:
    case AIOS__KW_PATTERN_PROPERTIES:
    case AIOS__KW_PREFIX_ITEMS:
        *n = (uint32_t)aios__json_count(v);
        return AIOS_OK;
    case AIOS__KW_ITEMS:
        *n = aios__json_type(v) == AIOS__JSON_ARRAY ? (uint32_t)aios__json_count(v) : 0;
        return AIOS_OK;
    case AIOS__KW_IF:
    case AIOS__KW_CONTAINS:
        *n = 2;
        return AIOS_OK;
    case AIOS__KW_DEPENDENT_REQUIRED:
    case AIOS__KW_DEPENDENT_SCHEMAS:
    case AIOS__KW_DEPENDENCIES:
        *n = count_names(v);
        return AIOS_OK;
    case AIOS__KW_ONE_OF:
        rc = aios__comp_overlap(c, part_sub(p), true, &o, err);
        *n = rc ? 0 : 1 + o->n;
        return rc;
    case PART_SUB:
        while (failing(c, part_sub(p), *n))
            ++*n;
        return AIOS_OK;
    default:
        return AIOS_OK;
    }
}

/* unevaluated... must know of each alternative whether it holds; where not all that is allowed is walked, one that does will do. */
static bool each_set(const comp *c)
{
    return c->marks && c->g->complete;
}

/* The alternatives of bits `set` hold, the others do not. */
static int way_any_of(comp *c, const aios__json *list, uint32_t set, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < aios__json_count(list); i++)
        rc = queue_schema(c, aios__json_at(list, i), !(set >> i & 1), err);
    return rc;
}

int aios__comp_ways(comp *c, part p, uint32_t *n, aios_error *err)
{
    uint32_t what = part_what(p);
    *n = 0;
    if (what >= AIOS__KW_COUNT && what != PART_SUB)
        return AIOS_OK;
    const aios__json *v = what == PART_SUB ? NULL : aios__schema_kw(c->s, part_sub(p), (enum aios__kw)what);
    if (part_neg(p))
        return part_index(p) == AIOS__NONE ? ways_denied(c, p, v, n, err) : AIOS_OK;
    *n = what == AIOS__KW_ANY_OF || what == AIOS__KW_ONE_OF ? (uint32_t)aios__json_count(v) : 2;
    if (what == AIOS__KW_ANY_OF && each_set(c)) {
        if (*n > EACH_SET)
            return aios__comp_fail(c, part_sub(p), AIOS__KW_ANY_OF, "has too many alternatives beside unevaluated... to be walked completely", err);
        *n = (1u << *n) - 1;
    }
    return AIOS_OK;
}

/* if: with then, or not with else. */
static int way_if(comp *c, uint32_t sub, bool neg, uint32_t i, aios_error *err)
{
    const aios__json *then = aios__schema_kw(c->s, sub, i ? AIOS__KW_ELSE : AIOS__KW_THEN);
    const aios__json *cond = aios__schema_kw(c->s, sub, AIOS__KW_IF);
    int rc = i ? queue_schema(c, cond, true, err) : queue_way(c, cond, err);
    c->never = c->never || (neg && !then);
    return rc ? rc : queue_schema(c, then, neg, err);
}

/* Without the property, or with it and what depends on it. */
static int way_dependent(comp *c, const aios__json *map, uint32_t index, uint32_t i, aios_error *err)
{
    const char *name;
    const aios__json *v = aios__comp_member(map, index, &name);
    if (!i)
        return name_part(c, PART_FREE_OF, false, name, err);
    int rc = name_part(c, PART_HAS, false, name, err);
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return rc ? rc : queue_schema(c, v, false, err);
    for (size_t k = 0; !rc && k < aios__json_count(v); k++)
        rc = name_part(c, PART_HAS, false, aios__json_str(aios__json_at(v, k), NULL), err);
    return rc;
}

/* With the property, and against the i-th thing that depends on any. */
static int way_undependent(comp *c, const aios__json *map, uint32_t i, aios_error *err)
{
    const char *name;
    const aios__json *v;
    for (void *it = aios__json_iter(map, NULL, &name, &v); it; it = aios__json_iter(map, it, &name, &v)) {
        bool list = aios__json_type(v) == AIOS__JSON_ARRAY;
        uint32_t n = list ? (uint32_t)aios__json_count(v) : 1;
        if (i >= n) {
            i -= n;
            continue;
        }
        int rc = name_part(c, PART_HAS, false, name, err);
        if (rc)
            return rc;
        return list ? name_part(c, PART_HAS, true, aios__json_str(aios__json_at(v, i), NULL), err) : queue_schema(c, v, true, err);
    }
    return AIOS_OK;
}

static int way_one_of(comp *c, uint32_t sub, const aios__json *list, bool neg, uint32_t i, aios_error *err)
{
    const overlap *o;
    int rc = aios__comp_overlap(c, sub, neg, &o, err);
    if (rc || (neg && !i))
        return rc ? rc : queue_all(c, list, true, err);
    const uint32_t *pair = c->pairs + o->at;
    if (neg) {
        rc = queue_schema(c, aios__json_at(list, pair[2 * (size_t)(i - 1)]), false, err);
        return rc ? rc : queue_schema(c, aios__json_at(list, pair[2 * (size_t)(i - 1) + 1]), false, err);
    }
    rc = queue_way(c, aios__json_at(list, i), err);
    for (size_t k = 0; !rc && !c->never && k < o->n; k++)
        if (pair[2 * k] == i || pair[2 * k + 1] == i)
            rc = queue_schema(c, aios__json_at(list, pair[2 * k] == i ? pair[2 * k + 1] : pair[2 * k]), true, err);
    return rc;
}

static int way_denied(comp *c, part p, const aios__json *v, uint32_t i, aios_error *err)
{
    switch (part_what(p)) {
    case AIOS__KW_ALL_OF:
        return queue_schema(c, aios__json_at(v, i), true, err);
    case AIOS__KW_REQUIRED:
        return name_part(c, PART_HAS, true, aios__json_str(aios__json_at(v, i), NULL), err);
    case AIOS__KW_DEPENDENT_REQUIRED:
    case AIOS__KW_DEPENDENT_SCHEMAS:
    case AIOS__KW_DEPENDENCIES:
        return way_undependent(c, v, i, err);
    case PART_SUB:
        return deny_keyword(c, part_sub(p), failing(c, part_sub(p), i), err);
    default:
        return aios__comp_part(c, part_of(part_sub(p), part_what(p), true, i), err);
    }
}

int aios__comp_way(comp *c, part p, uint32_t i, aios_error *err)
{
    uint32_t what = part_what(p), sub = part_sub(p), from = c->n_queue;
    const aios__json *v = what >= AIOS__KW_COUNT ? NULL : aios__schema_kw(c->s, sub, (enum aios__kw)what);
    int rc;
    c->under = p;
    if (what == AIOS__KW_IF)
        rc = way_if(c, sub, part_neg(p), i, err);
    else if (what == AIOS__KW_ONE_OF)
        rc = way_one_of(c, sub, v, part_neg(p), i, err);
    else if (part_neg(p))
        rc = way_denied(c, p, v, i, err);
    else if (what == AIOS__KW_ANY_OF)
        rc = each_set(c) ? way_any_of(c, v, i + 1, err) : queue_way(c, aios__json_at(v, i), err);
    else
        rc = way_dependent(c, v, part_index(p), i, err);
    return rc ? rc : drain(c, from, err);
}

/* ---- what goes without saying --------------------------------------------------------------------------------------- */

/* Types that a value may have of which the part holds. */
static uint32_t types_of(const comp *c, part p)
{
    static const struct {
        enum aios__kw first, last; /* as AIOS__KEYWORDS has them in order */
        uint32_t types;
    } rows[] = {
        {AIOS__KW_MINIMUM, AIOS__KW_MULTIPLE_OF, AIOS__T_INTEGER | AIOS__T_NUMBER},
        {AIOS__KW_MIN_LENGTH, AIOS__KW_PATTERN, AIOS__T_STRING},
        {AIOS__KW_FORMAT, AIOS__KW_FORMAT, AIOS__T_STRING},
        {AIOS__KW_MIN_ITEMS, AIOS__KW_MAX_CONTAINS, AIOS__T_ARRAY},
        {AIOS__KW_UNEVALUATED_ITEMS, AIOS__KW_UNEVALUATED_ITEMS, AIOS__T_ARRAY},
        {AIOS__KW_UNEVALUATED_PROPERTIES, AIOS__KW_UNEVALUATED_PROPERTIES, AIOS__T_OBJECT},
        {AIOS__KW_MIN_PROPERTIES, AIOS__KW_DEPENDENCIES, AIOS__T_OBJECT},
    };
    uint32_t what = part_what(p), sub = part_sub(p);
    if (what == PART_OWN)
        return c->s->subs[sub].types;
    if (what == PART_HAS)
        return AIOS__T_OBJECT;
    if (!part_neg(p) || what >= AIOS__KW_COUNT)
        return AIOS__T_ALL;
    if (what == AIOS__KW_TYPE)
        return AIOS__T_ALL & ~aios__schema_types(aios__schema_kw(c->s, sub, AIOS__KW_TYPE));
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (what >= rows[i].first && what <= rows[i].last)
            return rows[i].types;
    return AIOS__T_ALL;
}

/* The set says, and not only by part `but`, that there is a property of the name. */
static bool says_has(comp *c, const char *name, part but)
{
    c->g->work += 1 + c->n_part / 2;
    for (uint32_t i = 0; i < c->n_part; i++) {
        part p = c->part[i];
        const char *key;
        if (p == but)
            continue;
        if (part_what(p) == PART_HAS && !part_neg(p) && !strcmp(c->names[part_index(p)], name))
            return true;
        if (part_what(p) == AIOS__KW_PROPERTIES && part_index(p) != AIOS__NONE &&
            aios__comp_member(aios__schema_kw(c->s, part_sub(p), AIOS__KW_PROPERTIES), part_index(p), &key) && !strcmp(key, name))
            return true;
        const aios__json *list = part_what(p) == PART_OWN ? aios__schema_kw(c->s, part_sub(p), AIOS__KW_REQUIRED) : NULL;
        for (size_t k = 0; k < aios__json_count(list); k++)
            if (!strcmp(aios__json_str(aios__json_at(list, k), NULL), name))
                return true;
    }
    return false;
}

static bool says_part(comp *c, part p)
{
    c->g->work += 1 + c->n_part / 16;
    for (uint32_t i = 0; i < c->n_part; i++)
        if (c->part[i] == p)
            return true;
    return false;
}

static bool others_say_object(comp *c, part p)
{
    c->g->work += 1 + c->n_part / 2;
    uint32_t types = AIOS__T_ALL;
    for (uint32_t i = 0; i < c->n_part; i++)
        types &= c->part[i] == p ? AIOS__T_ALL : types_of(c, c->part[i]);
    return types == AIOS__T_OBJECT;
}

/* The part holds whenever the others do. */
static bool is_idle(comp *c, part p)
{
    uint32_t what = part_what(p), sub = part_sub(p);
    const char *name;
    const aios__json *v;
    switch (what) {
    case PART_SUB:
        return aios__comp_apart(c, sub);
    case PART_FREE_OF:
        return !(c->types & AIOS__T_OBJECT) || says_part(c, part_of(0, PART_HAS, true, part_index(p)));
    case AIOS__KW_DEPENDENT_REQUIRED:
    case AIOS__KW_DEPENDENT_SCHEMAS:
    case AIOS__KW_DEPENDENCIES:
        return !part_neg(p) && !(c->types & AIOS__T_OBJECT);
    case AIOS__KW_IF:
        v = aios__schema_kw(c->s, sub, AIOS__KW_IF);
        return !part_neg(p) && !has(c, sub, AIOS__KW_ELSE) && aios__comp_apart(c, aios__schema_sub(c->s, v));
    case AIOS__KW_PROPERTIES:
        v = part_index(p) == AIOS__NONE ? NULL : aios__comp_member(aios__schema_kw(c->s, sub, AIOS__KW_PROPERTIES), part_index(p), &name);
        return v && others_say_object(c, p) && says_has(c, name, p) && aios__comp_apart_member(c, name, v);
    default:
        return false;
    }
}

/* A property that must be there and must not. */
static bool clashes(comp *c, part p)
{
    bool out = part_what(p) == PART_FREE_OF || (part_what(p) == PART_HAS && part_neg(p));
    return out && says_has(c, c->names[part_index(p)], p);
}

void aios__comp_settle(comp *c)
{
    c->types = AIOS__T_ALL;
    for (uint32_t i = 0; i < c->n_part; i++)
        c->types &= types_of(c, c->part[i]);
    c->never = c->never || !c->types;
    if (c->never || c->n_part > SETTLED_MAX)
        return;
    for (uint32_t i = 0; i < c->n_part;) { /* one by one: what goes says nothing for the next */
        if (part_what(c->part[i]) == PART_OWN || !is_idle(c, c->part[i])) {
            i++;
            continue;
        }
        memmove(c->part + i, c->part + i + 1, (c->n_part - i - 1) * sizeof *c->part);
        c->n_part--;
    }
    for (uint32_t i = 0; i < c->n_part; i++)
        if (clashes(c, c->part[i]))
            c->types &= ~(uint32_t)AIOS__T_OBJECT;
    c->never = !c->types;
}
