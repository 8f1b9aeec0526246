/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of a conjunction of schemas: every member's schema is the conjunction of what each says of it. Names that none lists are
   told apart by the patterns that match them. */
#include "grammar/grammar_schema.h"

#include <stdlib.h>

#define MAX_NEEDS 3u
#define MAX_VARIANTS 64u
#define ROOM 4096u /* names are counted up to it */

typedef struct names {
    const char **p; /* sorted, once it is all there */
    uint32_t n, cap;
} names;

/* Some member must have a name in rx and, if there is a schema, a value for which that does not hold. */
typedef struct need {
    uint32_t rx, sub;
    enum aios__kw kw;
    const aios__json *schema;
    const char *by; /* the listed property that meets it, or NULL: another one */
} need;

typedef struct object {
    comp *c;
    const conj *k;
    aios__gobj o;
    names required, banned, more; /* more: listed by no `properties` */
    keys keys;
    uint32_t all_names;  /* what propertyNames allow; RX_ALL: everything */
    need needs[MAX_NEEDS];
    uint32_t n_needs;
    held *held; /* of each unevaluatedProperties */
    uint32_t n_held, cap_held;
    uint32_t *props, n_props, cap_props;   /* words */
    uint32_t *names, n_names, cap_names;   /* words */
    uint32_t *frees, n_frees, cap_frees;   /* words */
    aios__buf text;
} object;

int aios__comp_obj(comp *c, const aios__gobj *o, uint32_t *node, aios_error *err)
{
    aios_grammar *g = c->g;
    int rc = aios__grammar_grow(g, &g->objs, &g->cap_objs, (size_t)g->n_objs + 1, AIOS__G_NODES, sizeof *g->objs, "objects", err);
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
    return aios__comp_kw(x->c, x->k, i, which);
}

/* ---- sets of names ------------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b)
{
    const char *x, *y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return strcmp(x, y);
}

static bool has_name(const names *l, const char *name)
{
    return l->n && bsearch(&name, l->p, l->n, sizeof *l->p, by_name);
}

static int add_name(object *x, names *l, const char *name, aios_error *err)
{
    int rc = aios__grammar_grow_beside(x->c->g, &l->p, &l->cap, (size_t)l->n + 1, AIOS__G_NODES, sizeof *l->p, "names of properties", err);
    if (!rc)
        l->p[l->n++] = name;
    return rc;
}

static void sort_names(names *l)
{
    uint32_t n = l->n ? 1 : 0;
    if (l->n)
        qsort(l->p, l->n, sizeof *l->p, by_name);
    for (uint32_t i = 1; i < l->n; i++)
        if (strcmp(l->p[i], l->p[n - 1]))
            l->p[n++] = l->p[i];
    l->n = n;
}

/* The member of `properties` that a part denies, or NULL. */
static const aios__json *denied_member(const object *x, uint32_t i, const char **name)
{
    part p = part_at(x->c, x->k, i);
    if (part_what(p) != AIOS__KW_PROPERTIES || !part_neg(p))
        return NULL;
    return aios__comp_member(aios__schema_kw(x->c->s, part_sub(p), AIOS__KW_PROPERTIES), part_index(p), name);
}

static int read_names(object *x, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        part p = part_at(x->c, x->k, i);
        const aios__json *list = kw(x, i, AIOS__KW_REQUIRED);
        const char *name;
        for (size_t j = 0; !rc && j < aios__json_count(list); j++)
            rc = add_name(x, &x->required, aios__json_str(aios__json_at(list, j), NULL), err);
        if (denied_member(x, i, &name))
            rc = add_name(x, &x->required, name, err);
        if (!rc && part_what(p) == PART_HAS)
            rc = add_name(x, part_neg(p) ? &x->banned : &x->required, x->c->names[part_index(p)], err);
        if (!rc && part_what(p) == PART_FREE_OF)
            rc = add_name(x, &x->banned, x->c->names[part_index(p)], err);
    }
    for (uint32_t i = 0; !rc && i < x->n_needs; i++)
        if (x->needs[i].by)
            rc = add_name(x, &x->required, x->needs[i].by, err);
    sort_names(&x->required);
    sort_names(&x->banned);
    return rc;
}

/* True if one of the first n parts lists the property. */
static bool listed(const object *x, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (aios__json_get(kw(x, i, AIOS__KW_PROPERTIES), name))
            return true;
    return false;
}

/* ---- patterns of names -------------------------------------------------------------------------------------------- */

static uint32_t pattern_bit(const keys *k, uint32_t rx)
{
    uint32_t i = 0;
    while (i < k->n_pat && k->pat[i] != rx)
        i++;
    return i;
}

static int too_many(object *x, uint32_t i, enum aios__kw which, aios_error *err)
{
    return aios__comp_fail(x->c, part_sub(part_at(x->c, x->k, i)), which, "and others like it tell more kinds of names than can be enforced while decoding", err);
}

static int read_patterns(object *x, aios_error *err)
{
    const char *key;
    const aios__json *v;
    uint32_t rx, last = 0;
    bool fits = true;
    int rc = AIOS_OK;
    x->all_names = AIOS__RX_ALL;
    x->keys.n_pat = 0;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        const aios__json *map = kw(x, i, AIOS__KW_PATTERN_PROPERTIES), *in = kw(x, i, AIOS__KW_PROPERTY_NAMES);
        last = map ? i : last;
        for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it; it = aios__json_iter(map, it, &key, &v)) {
            rx = aios__schema_names(x->c->s, key);
            if (pattern_bit(&x->keys, rx) < x->keys.n_pat)
                continue;
            if (x->keys.n_pat == AIOS__KLASSES)
                return too_many(x, i, AIOS__KW_PATTERN_PROPERTIES, err);
            x->keys.pat[x->keys.n_pat++] = rx;
        }
        if (!in)
            continue;
        rc = aios__comp_strings(x->c, aios__schema_sub(x->c->s, in), false, &rx, err);
        uint32_t both[2] = {rx, x->all_names};
        rc = rc ? rc : aios__rx_and(x->c->g->rx, both, 2, &x->all_names, err);
    }
    if (rc)
        return rc;
    aios_error why = AIOS_INIT(aios_error);
    rc = aios__comp_split(x->c, &x->keys, x->all_names, &fits, &why);
    if (!rc && fits)
        return AIOS_OK;
    return rc && rc != AIOS_ELIMIT ? aios__error_copy(err, &why) : too_many(x, last, AIOS__KW_PATTERN_PROPERTIES, err);
}

static int matches(const object *x, uint32_t rx, const char *name, bool *is, aios_error *err)
{
    return aios__rx_match(x->c->g->rx, rx, name, strlen(name), is, err);
}

/* ---- listed properties -------------------------------------------------------------------------------------------- */

/* Adds what part i says of the property to the set being built. */
static int add_says(object *x, uint32_t i, const char *name, aios_error *err)
{
    const char *key;
    const aios__json *v, *schema = aios__json_get(kw(x, i, AIOS__KW_PROPERTIES), name), *map = kw(x, i, AIOS__KW_PATTERN_PROPERTIES);
    const aios__json *denied = denied_member(x, i, &key);
    bool known = schema, is;
    int rc = schema ? aios__comp_add(x->c, schema, false, err) : AIOS_OK;
    if (!rc && denied && !strcmp(key, name))
        rc = aios__comp_add(x->c, denied, true, err);
    for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &key, &v)) {
        rc = matches(x, aios__schema_names(x->c->s, key), name, &is, err);
        if (rc || !is)
            continue;
        known = true;
        rc = aios__comp_add(x->c, v, false, err);
    }
    schema = known ? NULL : kw(x, i, AIOS__KW_ADDITIONAL);
    return rc || !schema ? rc : aios__comp_add(x->c, schema, false, err);
}

/* What no schema of the same value speaks of. */
static int add_unevaluated(object *x, const char *name, const klass *k, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->n_held; i++) {
        bool is = k && aios__comp_held_class(x->c, &x->held[i], &x->keys, k);
        rc = name ? aios__comp_held_name(x->c, &x->held[i], name, &is, err) : AIOS_OK;
        if (!rc && !is)
            rc = aios__comp_add(x->c, aios__schema_kw(x->c->s, x->held[i].sub, AIOS__KW_UNEVALUATED_PROPERTIES), false, err);
    }
    return rc;
}

static int read_held(object *x, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        if (!kw(x, i, AIOS__KW_UNEVALUATED_PROPERTIES))
            continue;
        rc = aios__grammar_grow_beside(x->c->g, &x->held, &x->cap_held, (size_t)x->n_held + 1, AIOS__G_NODES, sizeof *x->held, "schemas", err);
        rc = rc ? rc : aios__comp_held(x->c, x->k, aios__comp_own(x->c, x->k, i), &x->held[x->n_held++], err);
    }
    return rc;
}

static int prop_node(object *x, const char *name, uint32_t *node, aios_error *err)
{
    bool is = true;
    int rc = x->all_names == AIOS__RX_ALL ? AIOS_OK : matches(x, x->all_names, name, &is, err);
    aios__comp_clear(x->c);
    for (uint32_t i = 0; !rc && i < x->k->n; i++)
        rc = add_says(x, i, name, err);
    rc = rc ? rc : add_unevaluated(x, name, NULL, err);
    for (uint32_t i = 0; !rc && i < x->n_needs; i++)
        if (x->needs[i].by && !strcmp(x->needs[i].by, name) && x->needs[i].schema)
            rc = aios__comp_add(x->c, x->needs[i].schema, true, err);
    x->c->never = x->c->never || !is || has_name(&x->banned, name);
    return rc ? rc : aios__comp_node(x->c, node, err);
}

static int add_prop(object *x, const char *name, aios_error *err)
{
    uint32_t node, at;
    aios_grammar *g = x->c->g;
    int rc = prop_node(x, name, &node, err);
    aios__buf_clear(&x->text);
    if (!rc)
        rc = x->c->g->complete ? aios__buf_adds(&x->text, name, err) : aios__buf_add_json(&x->text, name, strlen(name), err);
    if (!rc && !x->c->g->complete)
        rc = aios__buf_addc(&x->text, ':', err);
    if (!rc)
        rc = aios__grammar_bytes(g, x->text.p, x->text.n, &at, err);
    if (!rc)
        rc = aios__grammar_grow_beside(g, &x->props, &x->cap_props, (size_t)x->n_props + 4, AIOS__G_WORDS, sizeof *x->props, "properties", err);
    if (!rc)
        rc = aios__grammar_grow_beside(g, &x->names, &x->cap_names, (size_t)x->n_names + 3, AIOS__G_WORDS, sizeof *x->names, "properties", err);
    if (rc)
        return rc;
    uint32_t key[3] = {at, (uint32_t)x->text.n, x->o.n++}, prop[4] = {node, has_name(&x->required, name), 0, 0};
    memcpy(x->names + x->n_names, key, sizeof key);
    memcpy(x->props + x->n_props, prop, sizeof prop);
    x->n_names += 3;
    x->n_props += 4;
    return AIOS_OK;
}

static int add_more(object *x, const names *l, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < l->n; i++) {
        if (listed(x, x->k->n, l->p[i]) || (l == &x->banned && has_name(&x->required, l->p[i])))
            continue;
        rc = add_name(x, &x->more, l->p[i], err);
        rc = rc ? rc : add_prop(x, l->p[i], err);
    }
    return rc;
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
    rc = rc ? rc : add_more(x, &x->required, err);
    return rc ? rc : add_more(x, &x->banned, err);
}

/* ---- other properties --------------------------------------------------------------------------------------------- */

/* What part i says of names of a class. */
static int add_class_says(object *x, uint32_t i, const klass *k, aios_error *err)
{
    const char *key;
    const aios__json *v, *map = kw(x, i, AIOS__KW_PATTERN_PROPERTIES), *other = kw(x, i, AIOS__KW_ADDITIONAL);
    int rc = AIOS_OK;
    bool known = false;
    for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &key, &v)) {
        if (!(k->in >> pattern_bit(&x->keys, aios__schema_names(x->c->s, key)) & 1))
            continue;
        known = true;
        rc = aios__comp_add(x->c, v, false, err);
    }
    return rc || known || !other ? rc : aios__comp_add(x->c, other, false, err);
}

static int but_listed(object *x, const char *name, uint32_t *rx, aios_error *err)
{
    bool is;
    uint32_t one;
    int rc = matches(x, *rx, name, &is, err);
    if (rc || !is)
        return rc;
    rc = aios__comp_exact(x->c, name, strlen(name), &one, err);
    rc = rc ? rc : aios__rx_not(x->c->g->rx, one, &one, err);
    uint32_t both[2] = {*rx, one};
    return rc ? rc : aios__rx_and(x->c->g->rx, both, 2, rx, err);
}

/* Names of the expression that are written without escapes and not listed. */
static int plain_names(object *x, uint32_t *rx, aios_error *err)
{
    static const uint32_t sayable[] = {0x20, 0x21, 0x23, 0x5b, 0x5d, 0x10ffff};
    const char *name;
    const aios__json *v;
    uint32_t one;
    int rc = aios__rx_chars(x->c->g->rx, sayable, AIOS__ARRAY_LEN(sayable) / 2, &one, err);
    rc = rc ? rc : aios__rx_repeat(x->c->g->rx, one, 0, AIOS__RX_ENDLESS, &one, err);
    uint32_t both[2] = {*rx, one};
    rc = rc ? rc : aios__rx_and(x->c->g->rx, both, 2, rx, err);
    for (uint32_t i = 0; i < x->k->n; i++) {
        const aios__json *map = kw(x, i, AIOS__KW_PROPERTIES);
        for (void *it = map ? aios__json_iter(map, NULL, &name, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &name, &v))
            rc = but_listed(x, name, rx, err);
    }
    for (uint32_t i = 0; !rc && i < x->more.n; i++)
        rc = but_listed(x, x->more.p[i], rx, err);
    return rc;
}

/* Members of a class that meet the needs of bits `meets`. */
static int add_free(object *x, const klass *k, uint32_t meets, aios_error *err)
{
    uint32_t node, rx = k->rx, room = ROOM;
    bool any = rx == AIOS__RX_ALL && !meets, exists = true;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->n_needs; i++) {
        uint32_t both[2] = {rx, x->needs[i].rx};
        if (meets >> i & 1)
            rc = aios__rx_and(x->c->g->rx, both, 2, &rx, err);
    }
    if (!rc && !any) {
        rc = x->c->g->complete ? AIOS_OK : plain_names(x, &rx, err);
        rc = rc ? rc : aios__rx_exists(x->c->g->rx, rx, &exists, err);
        rc = rc || !exists ? rc : aios__rx_count(x->c->g->rx, rx, ROOM, &room, err);
    }
    if (rc || !exists)
        return rc;
    aios__comp_clear(x->c);
    for (uint32_t i = 0; !rc && i < x->k->n; i++)
        rc = add_class_says(x, i, k, err);
    rc = rc ? rc : add_unevaluated(x, NULL, k, err);
    for (uint32_t i = 0; !rc && i < x->n_needs; i++)
        if (meets >> i & 1 && x->needs[i].schema)
            rc = aios__comp_add(x->c, x->needs[i].schema, true, err);
    rc = rc ? rc : aios__comp_node(x->c, &node, err);
    rc = rc ? rc : aios__grammar_grow_beside(x->c->g, &x->frees, &x->cap_frees, (size_t)x->n_frees + AIOS__G_FREE, AIOS__G_WORDS, sizeof *x->frees, "properties", err);
    if (rc || node == x->c->never_node)
        return rc;
    const uint32_t free[AIOS__G_FREE] = {node, any ? AIOS__RX_NOTHING : rx, meets, room == ROOM ? AIOS__G_NAMES : room};
    memcpy(x->frees + x->n_frees, free, sizeof free);
    x->n_frees += AIOS__G_FREE;
    return AIOS_OK;
}

/* Names that no pattern matches: only where a schema says so in words, none forbids them, or nobody lists any. */
static bool allows_others(const object *x)
{
    bool lists = false, allowed = x->c->g->complete;
    for (uint32_t i = 0; i < x->k->n; i++) {
        allowed = allowed || kw(x, i, AIOS__KW_ADDITIONAL) || kw(x, i, AIOS__KW_UNEVALUATED_PROPERTIES);
        lists = lists || kw(x, i, AIOS__KW_PROPERTIES) || kw(x, i, AIOS__KW_PATTERN_PROPERTIES);
    }
    return allowed || (!lists && !(x->c->closed && x->c->at_root));
}

static int add_frees(object *x, aios_error *err)
{
    int rc = AIOS_OK;
    uint32_t all = 0, last = x->keys.n - 1;
    bool others = allows_others(x);
    for (uint32_t i = 0; i < x->n_needs; i++)
        all |= x->needs[i].by ? 0 : 1u << i;
    x->o.needs = all;
    for (uint32_t i = 0; !rc && i < x->keys.n; i++)
        for (uint32_t meets = 0; !rc && meets <= all; meets++)
            if (!(meets & ~all) && (meets || x->keys.of[i].in || others))
                rc = add_free(x, &x->keys.of[i], meets, err);
    uint32_t n = x->n_frees;
    if (!rc && !others && x->keys.n && !x->keys.of[last].in && x->o.min > x->required.n)
        rc = add_free(x, &x->keys.of[last], 0, err);
    x->o.spare = x->n_frees > n;
    return rc;
}

/* ---- needs -------------------------------------------------------------------------------------------------------- */

/* Names that additionalProperties of a subschema speaks of. */
static int other_names(object *x, uint32_t sub, uint32_t *rx, aios_error *err)
{
    const char *key;
    const aios__json *v, *map = aios__schema_kw(x->c->s, sub, AIOS__KW_PROPERTIES);
    uint32_t one, known = AIOS__RX_NOTHING;
    int rc = aios__comp_pool(x->c, err);
    for (int patterns = 0; patterns < 2; patterns++) {
        for (void *it = map ? aios__json_iter(map, NULL, &key, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &key, &v)) {
            one = patterns ? aios__schema_names(x->c->s, key) : 0;
            rc = patterns ? AIOS_OK : aios__comp_exact(x->c, key, strlen(key), &one, err);
            uint32_t either[2] = {known, one};
            rc = rc ? rc : aios__rx_or(x->c->g->rx, either, 2, &known, err);
        }
        map = aios__schema_kw(x->c->s, sub, AIOS__KW_PATTERN_PROPERTIES);
    }
    return rc ? rc : aios__rx_not(x->c->g->rx, known, rx, err);
}

static int read_needs(object *x, aios_error *err)
{
    const char *key;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < x->k->n; i++) {
        part p = part_at(x->c, x->k, i);
        uint32_t what = part_what(p), sub = part_sub(p);
        if (!part_neg(p) || (what != AIOS__KW_PATTERN_PROPERTIES && what != AIOS__KW_ADDITIONAL && what != AIOS__KW_PROPERTY_NAMES))
            continue;
        if (x->n_needs == MAX_NEEDS)
            return too_many(x, i, (enum aios__kw)what, err);
        need *n = &x->needs[x->n_needs++];
        *n = (need){.sub = sub, .kw = (enum aios__kw)what, .schema = aios__schema_kw(x->c->s, sub, (enum aios__kw)what)};
        if (what == AIOS__KW_PATTERN_PROPERTIES) {
            n->schema = aios__comp_member(n->schema, part_index(p), &key);
            n->rx = aios__schema_names(x->c->s, key);
        } else if (what == AIOS__KW_ADDITIONAL) {
            rc = other_names(x, sub, &n->rx, err);
        } else {
            rc = aios__comp_strings(x->c, aios__schema_sub(x->c->s, n->schema), true, &n->rx, err);
            n->schema = NULL;
        }
    }
    return rc;
}

/* ---- objects ------------------------------------------------------------------------------------------------------ */

static int finish_object(object *x, uint32_t *node, aios_error *err)
{
    aios_grammar *g = x->c->g;
    int rc = aios__grammar_words(g, x->props, x->n_props, &x->o.props, err);
    if (!rc)
        rc = aios__grammar_words(g, x->names, x->n_names, &x->o.keys, err);
    if (!rc)
        rc = aios__grammar_words(g, x->frees, x->n_frees, &x->o.frees, err);
    x->o.n_keys = x->o.n;
    x->o.n_frees = x->n_frees / AIOS__G_FREE - x->o.spare;
    if (!rc)
        rc = aios__grammar_sort(g, x->o.keys, x->o.n_keys, err);
    return rc ? rc : aios__comp_obj(x->c, &x->o, node, err);
}

/* One object node, for one way to meet each need. */
static int make_object(object *x, uint32_t *node, aios_error *err)
{
    x->o = (aios__gobj){.loose = x->c->g->complete};
    x->required.n = x->banned.n = x->more.n = x->n_props = x->n_names = x->n_frees = 0;
    aios__comp_counts(x->c, x->k, AIOS__KW_MIN_PROPERTIES, AIOS__KW_MAX_PROPERTIES, &x->o.min, &x->o.max);
    int rc = read_names(x, err);
    rc = rc ? rc : add_props(x, err);
    rc = rc ? rc : add_frees(x, err);
    return rc ? rc : finish_object(x, node, err);
}

/* Listed properties by which need i can be met, after the name `last`; NULL: no more. */
static int next_by(object *x, const names *all, uint32_t i, uint32_t *at, const char **name, aios_error *err)
{
    bool is = false;
    int rc = AIOS_OK;
    *name = NULL;
    while (!rc && !is && *at < all->n) {
        rc = matches(x, x->needs[i].rx, all->p[*at], &is, err);
        *name = is ? all->p[*at] : NULL;
        ++*at;
    }
    return rc;
}

static int all_listed(object *x, names *l, aios_error *err)
{
    const char *name;
    const aios__json *v;
    int rc = read_names(x, err);
    for (uint32_t i = 0; !rc && i < x->required.n; i++)
        rc = add_name(x, l, x->required.p[i], err);
    for (uint32_t i = 0; i < x->k->n; i++) {
        const aios__json *map = kw(x, i, AIOS__KW_PROPERTIES);
        for (void *it = map ? aios__json_iter(map, NULL, &name, &v) : NULL; it && !rc; it = aios__json_iter(map, it, &name, &v))
            rc = add_name(x, l, name, err);
    }
    sort_names(l);
    return rc;
}

/* Every way to meet the needs: by a listed property, or by another one. */
static int make_variants(object *x, uint32_t *node, aios_error *err)
{
    names all = {0};
    uint32_t at[MAX_NEEDS] = {0}, list[MAX_VARIANTS], n = 0, i = 0;
    int rc = all_listed(x, &all, err);
    while (!rc && n < MAX_VARIANTS) {
        rc = make_object(x, &list[n++], err);
        for (i = 0; !rc && i < x->n_needs; i++) { /* counts up: the next way of the first need that has one */
            rc = next_by(x, &all, i, &at[i], &x->needs[i].by, err);
            if (x->needs[i].by)
                break;
            at[i] = 0;
        }
        if (i == x->n_needs)
            break;
    }
    aios__grammar_drop(x->c->g, all.p, all.cap * sizeof *all.p);
    if (!rc && i < x->n_needs)
        rc = aios__comp_fail(x->c, x->needs[0].sub, x->needs[0].kw, "can be broken in more ways than can be enforced while decoding", err);
    return rc ? rc : aios__grammar_list(x->c->g, AIOS__G_ALT, list, n, node, err);
}

int aios__comp_object(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    object x = {.c = c, .k = k};
    aios__buf_init(&x.text, c->g->heap, AIOS_MEM_SCRATCH, 0);
    int rc = read_patterns(&x, err);
    rc = rc ? rc : read_held(&x, err);
    rc = rc ? rc : read_needs(&x, err);
    if (!rc)
        rc = x.n_needs ? make_variants(&x, node, err) : make_object(&x, node, err);
    aios__buf_free(&x.text);
    names *lists[] = {&x.required, &x.banned, &x.more};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(lists); i++)
        aios__grammar_drop(c->g, lists[i]->p, lists[i]->cap * sizeof *lists[i]->p);
    aios__grammar_drop(c->g, x.props, x.cap_props * sizeof *x.props);
    aios__grammar_drop(c->g, x.names, x.cap_names * sizeof *x.names);
    aios__grammar_drop(c->g, x.frees, x.cap_frees * sizeof *x.frees);
    aios__grammar_drop(c->g, x.held, x.cap_held * sizeof *x.held);
    return rc;
}
