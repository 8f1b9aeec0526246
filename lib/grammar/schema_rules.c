/* SPDX-License-Identifier: Apache-2.0 */
/* What each keyword asks of a value. Those with subschemas are called again after each child. */
#include "grammar/schema_rules.h"

#include <math.h>

#include "grammar/array.h"
#include "grammar/schema_format.h"

typedef aios__checker checker;
typedef aios__frame frame;
typedef aios__child child;

static int must(checker *c, bool ok, const char *why)
{
    return ok ? AIOS__PASS : aios__violation(c, why, NULL);
}

/* Each look-up by a list of the schema's or the value's is a step. */
static bool spent(checker *c, const aios__json *list)
{
    return aios__spend(c, aios__json_count(list));
}

static bool is_object(const frame *f)
{
    return aios__json_type(f->v) == AIOS__JSON_OBJECT;
}
static bool is_array(const frame *f)
{
    return aios__json_type(f->v) == AIOS__JSON_ARRAY;
}

/* ---- keywords without subschemas -------------------------------------------------------------------------------- */

static int check_type(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, aios__value_types(f->v) & aios__schema_types(kv->v), "the type is not the one asked for");
}

/* Each value that is compared or hashed is a step, and each sixteen bytes of a string. */
static uint64_t size_of(const aios__json *v)
{
    size_t n = 0;
    const char *key;
    const aios__json *m;
    uint64_t size = 1;
    aios__json_str(v, &n);
    for (size_t i = 0; aios__json_type(v) == AIOS__JSON_ARRAY && i < aios__json_count(v); i++)
        size += size_of(aios__json_at(v, i));
    for (void *it = aios__json_iter(v, NULL, &key, &m); it; it = aios__json_iter(v, it, &key, &m))
        size += 1 + strlen(key) / 16 + size_of(m);
    return size + n / 16;
}

static int check_enum(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    if (aios__spend(c, size_of(f->v) * (kv->rx ? 1 : aios__json_count(kv->v))))
        return AIOS__FAIL;
    return must(c, aios__schema_lists(c->s, kv, f->v), "the value is none of those listed");
}

static int check_const(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    if (aios__spend(c, size_of(f->v)))
        return AIOS__FAIL;
    return must(c, aios__json_equal(kv->v, f->v), "the value is not the constant");
}

static int check_minimum(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || aios__json_compare(f->v, kv->v) >= 0, "the number is too small");
}
static int check_maximum(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || aios__json_compare(f->v, kv->v) <= 0, "the number is too large");
}
static int check_above(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || aios__json_compare(f->v, kv->v) > 0, "the number is too small");
}
static int check_below(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || aios__json_compare(f->v, kv->v) < 0, "the number is too large");
}

static int check_multiple(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, !aios__json_is_number(f->v) || aios__json_multiple(f->v, kv->v), "the number is no multiple");
}

static double length(checker *c, const char *s, size_t n)
{
    size_t len = 0;
    if (aios__spend(c, n / 16))
        return 0;
    for (size_t i = 0; i < n; i++)
        len += ((unsigned char)s[i] & 0xc0) != 0x80;
    return (double)len;
}

static int check_min_length(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    return must(c, !s || length(c, s, n) >= aios__json_real(kv->v, 0), "the string is too short");
}
static int check_max_length(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    return must(c, !s || length(c, s, n) <= aios__json_real(kv->v, 0), "the string is too long");
}

static bool matches(checker *c, uint32_t rx, const char *s, size_t n)
{
    bool is = false;
    if (!c->rc)
        c->rc = aios__spend(c, n + 1) ? c->rc : aios__rx_match(*c->s->pool, rx, s, n, &is, c->err);
    return is;
}

static int check_pattern(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    const char *s = aios__json_str(f->v, &n);
    if (!s || matches(c, kv->rx, s, n))
        return AIOS__PASS;
    return aios__violation(c, "the string does not match ", aios__json_str(kv->v, NULL));
}

static int check_format(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    size_t n;
    bool is = false;
    const char *name = aios__json_str(kv->v, NULL), *s = aios__json_str(f->v, &n);
    if (!s)
        return AIOS__PASS;
    if (!aios__spend(c, n))
        c->rc = aios__format_match(*c->s->pool, name, kv->rx, s, n, &is, c->err);
    return is ? AIOS__PASS : aios__violation(c, "the string has not the format ", name);
}

/* Members or elements if v has the type, else `other`. */
static double count(const aios__json *v, enum aios__json_type type, double other)
{
    return aios__json_type(v) == type ? (double)aios__json_count(v) : other;
}

static int check_min_items(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_ARRAY, INFINITY) >= aios__json_real(kv->v, 0), "the array has too few items");
}
static int check_max_items(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_ARRAY, 0) <= aios__json_real(kv->v, 0), "the array has too many items");
}
static int check_min_properties(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_OBJECT, INFINITY) >= aios__json_real(kv->v, 0), "the object has too few properties");
}
static int check_max_properties(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return must(c, count(f->v, AIOS__JSON_OBJECT, 0) <= aios__json_real(kv->v, 0), "the object has too many properties");
}

struct item {
    uint64_t hash;
    uint32_t i; /* + 1; 0: free */
};

/* A hash table of twice the items at least. */
static bool has_twins(const aios__json *v, struct item *table, uint32_t size)
{
    for (uint32_t i = 0, n = (uint32_t)aios__json_count(v); i < n; i++) {
        const aios__json *item = aios__json_at(v, i);
        uint64_t hash = aios__json_hash(item, (uint64_t)(uintptr_t)table);
        uint32_t k = aios__slot(hash, size);
        for (; table[k].i; k = (k + 1) & (size - 1))
            if (table[k].hash == hash && aios__json_equal(item, aios__json_at(v, table[k].i - 1)))
                return true;
        table[k] = (struct item){hash, i + 1};
    }
    return false;
}

static int check_unique(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    uint32_t n = (uint32_t)aios__json_count(f->v);
    if (aios__json_type(kv->v) != AIOS__JSON_TRUE || !is_array(f) || n < 2)
        return AIOS__PASS;
    uint32_t size = 4;
    while (size < 2 * n)
        size *= 2;
    struct item *table = aios__alloc_array(c->s->heap, AIOS_MEM_OTHER, size, sizeof *table, c->err);
    if (!table) {
        c->rc = aios__oom(c->err);
        return AIOS__FAIL;
    }
    bool twins = !aios__spend(c, size_of(f->v)) && has_twins(f->v, table, size);
    aios__free(c->s->heap, table);
    return must(c, !twins, "two items are equal");
}

static int has_all(checker *c, const aios__json *v, const aios__json *names)
{
    if (spent(c, names))
        return AIOS__FAIL;
    for (size_t i = 0; i < aios__json_count(names); i++) {
        size_t n;
        const char *name = aios__json_str(aios__json_at(names, i), &n);
        if (!aios__json_find(v, name, n) && aios__violation(c, "a property is missing: ", name) == AIOS__FAIL)
            return AIOS__FAIL;
    }
    return AIOS__PASS;
}

static int check_required(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    return is_object(f) ? has_all(c, f->v, kv->v) : AIOS__PASS;
}

static int check_dependent(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(ch);
    const char *key;
    const aios__json *names;
    if (!is_object(f))
        return AIOS__PASS;
    if (spent(c, kv->v))
        return AIOS__FAIL;
    for (void *it = aios__json_iter(kv->v, NULL, &key, &names); it; it = aios__json_iter(kv->v, it, &key, &names))
        if (aios__json_get(f->v, key) && has_all(c, f->v, names) == AIOS__FAIL)
            return AIOS__FAIL;
    return AIOS__PASS;
}

/* ---- keywords whose subschemas apply to the same value ------------------------------------------------------------ */

static int on_same(checker *c, frame *f, child *ch, const aios__json *schema)
{
    ch->sub = aios__schema_sub(c->s, schema);
    ch->v = f->v;
    ch->join = true;
    return AIOS__CHILD;
}

static int check_ref(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(kv);
    if (f->i)
        return f->got;
    *ch = (child){.sub = c->s->subs[f->sub].ref, .v = f->v, .index = AIOS__NONE, .join = true};
    return AIOS__CHILD;
}

/* The outermost schema on the way here that has the anchor. */
static int check_dynamic(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    AIOS__UNUSED(kv);
    const aios__sub *sub = &c->s->subs[f->sub];
    uint32_t last = AIOS__NONE, target = sub->dynamic;
    if (f->i)
        return f->got;
    for (uint32_t i = 0; sub->anchor && i < c->n; i++) {
        uint32_t in = c->s->subs[c->frames[i].sub].resource;
        const aios__anchor *a = in == last ? NULL : aios__schema_anchor(c->s, in, sub->anchor, strlen(sub->anchor));
        last = in;
        if (!a || !a->dynamic)
            continue;
        target = a->sub;
        break;
    }
    if (sub->anchor && aios__spend(c, c->n))
        return AIOS__FAIL;
    *ch = (child){.sub = target, .v = f->v, .index = AIOS__NONE, .join = true};
    return AIOS__CHILD;
}

static int check_all(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    return f->i < aios__json_count(kv->v) ? on_same(c, f, ch, aios__json_at(kv->v, f->i)) : AIOS__PASS;
}

static int check_any(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    f->n_ok += f->got == AIOS__PASS;
    if (f->n_ok && !f->want) /* else each that fits may evaluate something */
        return AIOS__PASS;
    ch->quiet = true;
    if (f->i < aios__json_count(kv->v))
        return on_same(c, f, ch, aios__json_at(kv->v, f->i));
    return must(c, f->n_ok > 0, "the value fits no alternative");
}

static int check_one(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    f->n_ok += f->got == AIOS__PASS;
    if (f->n_ok > 1)
        return aios__violation(c, "the value fits more than one alternative", NULL);
    ch->quiet = true;
    if (f->i < aios__json_count(kv->v))
        return on_same(c, f, ch, aios__json_at(kv->v, f->i));
    return must(c, f->n_ok == 1, "the value fits no alternative");
}

static int check_not(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (f->i)
        return must(c, f->got == AIOS__FAIL, "the value is of the excluded kind");
    ch->quiet = true;
    on_same(c, f, ch, kv->v);
    ch->join = false;
    return AIOS__CHILD;
}

static int check_if(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    ch->quiet = !f->i;
    if (!f->i)
        return on_same(c, f, ch, kv->v);
    if (f->i > 1)
        return f->got;
    const aios__json *next = aios__schema_kw(c->s, f->sub, f->got == AIOS__PASS ? AIOS__KW_THEN : AIOS__KW_ELSE);
    return next ? on_same(c, f, ch, next) : AIOS__PASS;
}

/* Of dependencies too, where names may be listed instead. */
static int check_dependents(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    const char *key;
    const aios__json *m;
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_object(f) || (f->i && !f->it))
        return AIOS__PASS;
    if (!f->i && spent(c, kv->v))
        return AIOS__FAIL;
    while ((f->it = aios__json_iter(kv->v, f->it, &key, &m))) {
        if (!aios__json_get(f->v, key))
            continue;
        if (aios__schema_is(m))
            return on_same(c, f, ch, m);
        if (has_all(c, f->v, m) == AIOS__FAIL)
            return AIOS__FAIL;
    }
    return AIOS__PASS;
}

/* ---- keywords of objects ------------------------------------------------------------------------------------------ */

static int on_member(checker *c, child *ch, const aios__json *schema, const char *key, const aios__json *v)
{
    ch->v = v;
    ch->key = key;
    ch->sub = aios__schema_sub(c->s, schema);
    return AIOS__CHILD;
}

/* Members of the value that the map lists. */
static int mark_listed(checker *c, const frame *f, const aios__json *map)
{
    const char *key;
    const aios__json *v;
    size_t i = 0;
    if (f->want && spent(c, f->v))
        return AIOS__FAIL;
    for (void *it = f->want ? aios__json_iter(f->v, NULL, &key, &v) : NULL; it; it = aios__json_iter(f->v, it, &key, &v), i++)
        if (aios__json_get(map, key))
            aios__evaluated(c, f, i);
    return AIOS__PASS;
}

static int check_properties(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    const char *key;
    const aios__json *schema;
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_object(f))
        return AIOS__PASS;
    if (!f->i && spent(c, kv->v))
        return AIOS__FAIL;
    while (!(f->i && !f->it) && (f->it = aios__json_iter(kv->v, f->it, &key, &schema))) {
        const aios__json *v = aios__json_get(f->v, key);
        if (v)
            return on_member(c, ch, schema, key, v);
    }
    return mark_listed(c, f, kv->v);
}

/* The at-th subschema of patternProperties that speaks of the name; NULL: no more. */
static const aios__json *by_pattern(checker *c, const aios__kwval *kv, const char *name, uint32_t at)
{
    const char *key;
    const aios__json *schema;
    for (void *it = kv ? aios__json_iter(kv->v, NULL, &key, &schema) : NULL; it; it = aios__json_iter(kv->v, it, &key, &schema))
        if (matches(c, aios__schema_names(c->s, key), name, strlen(name)) && !at--)
            return schema;
    return NULL;
}

/* Begins or goes on with the members of the value; f->at is the place of the one that f->it stands at. */
static bool next_member(frame *f, const char **key, const aios__json **v)
{
    if (f->done)
        return false;
    bool first = !f->it;
    f->it = aios__json_iter(f->v, f->it, key, v);
    f->at += f->it && !first;
    f->done = !f->it;
    return f->it;
}

/* Members in their order, and of each all patterns that match: n_ok of them are done. */
static int check_patterns(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    const char *key;
    const aios__json *v, *schema;
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_object(f))
        return AIOS__PASS;
    if (f->it) /* again the member under way */
        aios__json_member_at(f->it, &key, &v);
    else if (!next_member(f, &key, &v))
        return AIOS__PASS;
    do {
        schema = by_pattern(c, kv, key, f->n_ok);
        if (schema) {
            f->n_ok++;
            aios__evaluated(c, f, f->at);
            return on_member(c, ch, schema, key, v);
        }
        f->n_ok = 0;
    } while (next_member(f, &key, &v));
    return AIOS__PASS;
}

/* The schema of all members that `skip` does not know. */
static int others(checker *c, frame *f, const aios__kwval *kv, child *ch, bool (*skip)(checker *, frame *, const char *))
{
    const char *key;
    const aios__json *v;
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!f->i && is_object(f) && spent(c, f->v))
        return AIOS__FAIL;
    while (is_object(f) && next_member(f, &key, &v)) {
        if (skip(c, f, key))
            continue;
        aios__evaluated(c, f, f->at);
        if (aios__json_type(kv->v) != AIOS__JSON_FALSE)
            return on_member(c, ch, kv->v, key, v);
        if (aios__violation(c, "a property is not allowed: ", key) == AIOS__FAIL)
            return AIOS__FAIL;
    }
    return AIOS__PASS;
}

static bool is_listed(checker *c, frame *f, const char *key)
{
    const aios__json *known = aios__schema_kw(c->s, f->sub, AIOS__KW_PROPERTIES);
    return (known && aios__json_get(known, key)) || by_pattern(c, aios__schema_kwval(c->s, f->sub, AIOS__KW_PATTERN_PROPERTIES), key, 0);
}

static int check_additional(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    return others(c, f, kv, ch, is_listed);
}

static bool is_done(checker *c, frame *f, const char *key)
{
    AIOS__UNUSED(key);
    return aios__is_evaluated(c, f, f->at);
}

static int check_unevaluated(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    return others(c, f, kv, ch, is_done);
}

/* Each name as a value of its own, which lives as long as its check. */
static int check_names(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    const char *key;
    const aios__json *v;
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_object(f) || !next_member(f, &key, &v))
        return AIOS__PASS;
    c->rc = aios__json_text(c->s->heap, key, &ch->owned, c->err);
    if (c->rc)
        return AIOS__FAIL;
    return on_member(c, ch, kv->v, key, aios__json_root(ch->owned));
}

/* ---- keywords of arrays ------------------------------------------------------------------------------------------- */

static int on_item(checker *c, frame *f, child *ch, const aios__json *schema, size_t at)
{
    ch->index = (uint32_t)at;
    ch->v = aios__json_at(f->v, at);
    ch->sub = aios__schema_sub(c->s, schema);
    return AIOS__CHILD;
}

static int check_prefix(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_array(f) || f->i >= aios__json_count(kv->v) || f->i >= aios__json_count(f->v))
        return AIOS__PASS;
    aios__evaluated(c, f, f->i);
    return on_item(c, f, ch, aios__json_at(kv->v, f->i), f->i);
}

static int items_from(checker *c, frame *f, const aios__kwval *kv, child *ch, size_t first)
{
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    if (!is_array(f) || first + f->i >= aios__json_count(f->v))
        return AIOS__PASS;
    aios__evaluated(c, f, first + f->i);
    return on_item(c, f, ch, kv->v, first + f->i);
}

static int check_items(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (aios__json_type(kv->v) == AIOS__JSON_ARRAY) /* as older drafts have it */
        return check_prefix(c, f, kv, ch);
    return items_from(c, f, kv, ch, aios__json_count(aios__schema_kw(c->s, f->sub, AIOS__KW_PREFIX_ITEMS)));
}

static int check_more_items(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    const aios__json *items = aios__schema_kw(c->s, f->sub, AIOS__KW_ITEMS);
    return aios__json_type(items) == AIOS__JSON_ARRAY ? items_from(c, f, kv, ch, aios__json_count(items)) : AIOS__PASS;
}

static int check_unevaluated_items(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (f->got == AIOS__FAIL)
        return AIOS__FAIL;
    for (; is_array(f) && f->at < aios__json_count(f->v); f->at++) {
        if (aios__is_evaluated(c, f, f->at))
            continue;
        aios__evaluated(c, f, f->at);
        return on_item(c, f, ch, kv->v, f->at);
    }
    return AIOS__PASS;
}

static int check_contains(checker *c, frame *f, const aios__kwval *kv, child *ch)
{
    if (!is_array(f))
        return AIOS__PASS;
    f->n_ok += f->got == AIOS__PASS;
    if (f->got == AIOS__PASS && c->s->subs[f->sub].draft >= AIOS__DRAFT_2020)
        aios__evaluated(c, f, f->i - 1);
    ch->quiet = true;
    if (f->i < aios__json_count(f->v))
        return on_item(c, f, ch, kv->v, f->i);
    double min = aios__json_real(aios__schema_kw(c->s, f->sub, AIOS__KW_MIN_CONTAINS), 1);
    double max = aios__json_real(aios__schema_kw(c->s, f->sub, AIOS__KW_MAX_CONTAINS), INFINITY);
    return must(c, f->n_ok >= min && f->n_ok <= max, "too few or too many items are of the kind that must be contained");
}

static aios__rule *const rules[AIOS__KW_COUNT] = {
    [AIOS__KW_REF] = check_ref,
    [AIOS__KW_DYNAMIC_REF] = check_dynamic,
    [AIOS__KW_RECURSIVE_REF] = check_dynamic,
    [AIOS__KW_TYPE] = check_type,
    [AIOS__KW_ENUM] = check_enum,
    [AIOS__KW_CONST] = check_const,
    [AIOS__KW_MINIMUM] = check_minimum,
    [AIOS__KW_MAXIMUM] = check_maximum,
    [AIOS__KW_EXCLUSIVE_MINIMUM] = check_above,
    [AIOS__KW_EXCLUSIVE_MAXIMUM] = check_below,
    [AIOS__KW_MULTIPLE_OF] = check_multiple,
    [AIOS__KW_MIN_LENGTH] = check_min_length,
    [AIOS__KW_MAX_LENGTH] = check_max_length,
    [AIOS__KW_PATTERN] = check_pattern,
    [AIOS__KW_FORMAT] = check_format,
    [AIOS__KW_MIN_ITEMS] = check_min_items,
    [AIOS__KW_MAX_ITEMS] = check_max_items,
    [AIOS__KW_MIN_PROPERTIES] = check_min_properties,
    [AIOS__KW_MAX_PROPERTIES] = check_max_properties,
    [AIOS__KW_UNIQUE_ITEMS] = check_unique,
    [AIOS__KW_REQUIRED] = check_required,
    [AIOS__KW_DEPENDENT_REQUIRED] = check_dependent,
    [AIOS__KW_DEPENDENT_SCHEMAS] = check_dependents,
    [AIOS__KW_DEPENDENCIES] = check_dependents,
    [AIOS__KW_ALL_OF] = check_all,
    [AIOS__KW_ANY_OF] = check_any,
    [AIOS__KW_ONE_OF] = check_one,
    [AIOS__KW_NOT] = check_not,
    [AIOS__KW_IF] = check_if,
    [AIOS__KW_PROPERTIES] = check_properties,
    [AIOS__KW_PATTERN_PROPERTIES] = check_patterns,
    [AIOS__KW_ADDITIONAL] = check_additional,
    [AIOS__KW_PROPERTY_NAMES] = check_names,
    [AIOS__KW_UNEVALUATED_PROPERTIES] = check_unevaluated,
    [AIOS__KW_PREFIX_ITEMS] = check_prefix,
    [AIOS__KW_ITEMS] = check_items,
    [AIOS__KW_ADDITIONAL_ITEMS] = check_more_items,
    [AIOS__KW_CONTAINS] = check_contains,
    [AIOS__KW_UNEVALUATED_ITEMS] = check_unevaluated_items,
};

aios__rule *aios__schema_rule(enum aios__kw kw)
{
    return rules[kw];
}
