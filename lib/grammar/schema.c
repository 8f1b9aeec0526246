/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a schema to a flat table of subschemas: every keyword is known and well-formed, every reference resolved, no cycle that
 * consumes nothing. Iterative throughout.
 */
#include "grammar/schema_priv.h"

#include <aios/grammar.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>

#include "base/nearest.h"
#include "grammar/array.h"
#include "grammar/schema_format.h"

#define MAX_SUBS 200000u
#define MAX_KWS 1000000u
#define MAX_LISTED 8000000u
_Static_assert(AIOS__KW_COUNT <= 64, "bits of a subschema's keywords");
#define FEW 8 /* values of an enum that are compared one by one */

enum shape {
    NOTE,
    REF,
    NOPE,
    ANY,
    TYPE,
    LIST,
    NUMBER,
    EXCLUSIVE,
    POSITIVE,
    COUNT,
    BOOL,
    NAMES,
    NAMEMAP,
    SUB,
    SCHEMAS,
    MAP,
    RXMAP,
    REGEX,
    FORMAT,
    ITEMS,
    DEPENDENCY
};

static const struct keyword {
    const char *name;
    enum shape shape;
} keywords[] = {
#define X(name, text, shape) {text, shape},
    AIOS__KEYWORDS(X)
#undef X
};

/* Drafts that do not know a keyword, which then says nothing there. */
static const struct {
    enum aios__kw kw;
    uint8_t first, last;
} spans[] = {
    {AIOS__KW_CONST, AIOS__DRAFT_6, AIOS__DRAFT_LATEST},
    {AIOS__KW_CONTAINS, AIOS__DRAFT_6, AIOS__DRAFT_LATEST},
    {AIOS__KW_PROPERTY_NAMES, AIOS__DRAFT_6, AIOS__DRAFT_LATEST},
    {AIOS__KW_IF, AIOS__DRAFT_7, AIOS__DRAFT_LATEST},
    {AIOS__KW_THEN, AIOS__DRAFT_7, AIOS__DRAFT_LATEST},
    {AIOS__KW_ELSE, AIOS__DRAFT_7, AIOS__DRAFT_LATEST},
    {AIOS__KW_MIN_CONTAINS, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_MAX_CONTAINS, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_DEPENDENT_REQUIRED, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_DEPENDENT_SCHEMAS, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_UNEVALUATED_ITEMS, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_UNEVALUATED_PROPERTIES, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_RECURSIVE_REF, AIOS__DRAFT_2019, AIOS__DRAFT_LATEST},
    {AIOS__KW_DYNAMIC_REF, AIOS__DRAFT_2020, AIOS__DRAFT_LATEST},
    {AIOS__KW_PREFIX_ITEMS, AIOS__DRAFT_2020, AIOS__DRAFT_LATEST},
};

static bool in_draft(enum aios__kw kw, uint8_t draft)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(spans); i++)
        if (spans[i].kw == kw)
            return draft >= spans[i].first && draft <= spans[i].last;
    return true;
}

static const struct {
    const char *name;
    uint32_t bits;
} types[] = {
    {"null", AIOS__T_NULL},     {"boolean", AIOS__T_BOOLEAN},
    {"integer", AIOS__T_INTEGER}, {"number", AIOS__T_NUMBER | AIOS__T_INTEGER},
    {"string", AIOS__T_STRING}, {"array", AIOS__T_ARRAY},
    {"object", AIOS__T_OBJECT},
};

const char *aios__kw_name(enum aios__kw kw)
{
    return keywords[kw].name;
}

static uint32_t type_bits(const char *name)
{
    for (size_t i = 0; name && i < AIOS__ARRAY_LEN(types); i++)
        if (!strcmp(types[i].name, name))
            return types[i].bits;
    return 0;
}

uint32_t aios__schema_types(const aios__json *type)
{
    uint32_t bits = type_bits(aios__json_str(type, NULL));
    for (size_t i = 0; aios__json_type(type) == AIOS__JSON_ARRAY && i < aios__json_count(type); i++)
        bits |= type_bits(aios__json_str(aios__json_at(type, i), NULL));
    return bits;
}

uint32_t aios__value_types(const aios__json *v)
{
    switch (aios__json_type(v)) {
    case AIOS__JSON_NULL:
        return AIOS__T_NULL;
    case AIOS__JSON_FALSE:
    case AIOS__JSON_TRUE:
        return AIOS__T_BOOLEAN;
    case AIOS__JSON_INT:
        return AIOS__T_INTEGER | AIOS__T_NUMBER;
    case AIOS__JSON_REAL:
        return aios__json_integral(v) ? AIOS__T_INTEGER | AIOS__T_NUMBER : AIOS__T_NUMBER;
    case AIOS__JSON_STRING:
        return AIOS__T_STRING;
    case AIOS__JSON_ARRAY:
        return AIOS__T_ARRAY;
    case AIOS__JSON_OBJECT:
        return AIOS__T_OBJECT;
    }
    return 0;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

size_t aios__schema_size(const aios__schema *s)
{
    return sizeof *s + s->n_json + s->cap_subs * sizeof *s->subs + s->cap_kws * sizeof *s->kws + s->cap_listed * sizeof *s->listed +
           (size_t)s->map_size * sizeof *s->map + s->cap_resources * sizeof *s->resources + s->n_uris + s->cap_anchors * sizeof *s->anchors +
           (size_t)s->names_size * sizeof *s->names;
}

int aios__schema_fits(const aios__schema *s, size_t more, aios_error *err)
{
    return aios__compile_fits(aios__schema_size(s) + (*s->pool ? aios__rx_size(*s->pool) : 0) + more, err);
}

int aios__schema_grow(aios__schema *s, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err)
{
    size_t more = aios__growth(*cap, need, max, size);
    int rc = more ? aios__schema_fits(s, more, err) : AIOS_OK;
    return rc ? rc : aios__grow(s->heap, pp, cap, need, max, size, what, err);
}

int aios__schema_place(const aios__schema *s, uint32_t i, int rc, aios_error *err)
{
    char path[200];
    if (rc != AIOS_ELIMIT || !strncmp(err->msg, "schema ", 7))
        return rc;
    const aios_error was = *err;
    return aios__fail_need(err, rc, was.have, was.need, "schema %s: %.250s", aios__schema_path(s, i, path, sizeof path), was.msg);
}

int aios__schema_doc(aios__schema *s, const char *text, size_t n, aios_error *err)
{
    size_t bytes;
    int rc = aios__json_cost(text, n, &bytes, err);
    rc = rc ? rc : aios__schema_fits(s, bytes, err);
    rc = rc ? rc : aios__json_parse_exact(s->heap, text, n, &s->docs[s->n_docs], err);
    s->n_docs += !rc;
    s->n_json += rc ? 0 : bytes;
    return rc;
}

/* ---- table of subschemas ---------------------------------------------------------------------------------------- */

static uint32_t map_slot(const aios__schema *s, const aios__json *json)
{
    uint32_t i = aios__slot((uintptr_t)json, s->map_size);
    while (s->map[i] && s->subs[s->map[i] - 1].json != json)
        i = (i + 1) & (s->map_size - 1);
    return i;
}

uint32_t aios__schema_sub(const aios__schema *s, const aios__json *json)
{
    return s->map_size && json ? s->map[map_slot(s, json)] - 1 : AIOS__NONE;
}

static int map_grow(aios__schema *s, aios_error *err)
{
    if (s->n_subs * 2 < s->map_size)
        return AIOS_OK;
    uint32_t size = s->map_size ? s->map_size * 2 : 64;
    int rc = aios__schema_fits(s, size * sizeof(uint32_t), err);
    uint32_t *map = rc ? NULL : aios__alloc_array(s->heap, AIOS_MEM_OTHER, size, sizeof *map, err);
    if (!map)
        return aios__oom(err);
    aios__free(s->heap, s->map);
    s->map = map;
    s->map_size = size;
    for (uint32_t i = 0; i < s->n_subs; i++)
        s->map[map_slot(s, s->subs[i].json)] = i + 1;
    return AIOS_OK;
}

/* The table itself is the worklist. */
int aios__schema_add(aios__schema *s, const aios__json *json, uint32_t parent, const char *kw, const char *key, uint32_t index, aios_error *err)
{
    if (aios__schema_sub(s, json) != AIOS__NONE)
        return AIOS_OK;
    int rc = aios__schema_grow(s, &s->subs, &s->cap_subs, (size_t)s->n_subs + 1, MAX_SUBS, sizeof *s->subs, "subschemas", err);
    if (!rc)
        rc = map_grow(s, err);
    if (rc)
        return rc;
    s->map[map_slot(s, json)] = s->n_subs + 1;
    const aios__sub *in = parent == AIOS__NONE ? NULL : &s->subs[parent];
    s->subs[s->n_subs++] = (aios__sub){.json = json,
                                       .parent = parent,
                                       .kw = kw,
                                       .key = key,
                                       .index = index,
                                       .ref = AIOS__NONE,
                                       .dynamic = AIOS__NONE,
                                       .resource = in ? in->resource : 0,
                                       .draft = in ? in->draft : AIOS__DRAFT_LATEST};
    return aios__schema_enter(s, s->n_subs - 1, err);
}

const aios__kwval *aios__schema_kwval(const aios__schema *s, uint32_t i, enum aios__kw kw)
{
    const aios__sub *sub = &s->subs[i];
    for (uint32_t k = sub->first; sub->has >> kw & 1; k++)
        if (s->kws[k].kw == kw)
            return &s->kws[k];
    return NULL;
}

const aios__json *aios__schema_kw(const aios__schema *s, uint32_t i, enum aios__kw kw)
{
    const aios__kwval *k = aios__schema_kwval(s, i, kw);
    return k ? k->v : NULL;
}

uint32_t aios__schema_names(const aios__schema *s, const char *pattern)
{
    const aios__anchor *a = aios__schema_anchor(s, AIOS__NAMES, pattern, strlen(pattern));
    return a ? a->sub : AIOS__RX_NOTHING;
}

const char *aios__schema_path(const aios__schema *s, uint32_t i, char *out, size_t n)
{
    /* Written from the end; what does not fit in front is left out. */
    size_t at = n - 1;
    out[at] = 0;
    for (; i != AIOS__NONE && s->subs[i].parent != AIOS__NONE; i = s->subs[i].parent) {
        const aios__sub *sub = &s->subs[i];
        char step[128];
        int len = sub->index != AIOS__NONE ? snprintf(step, sizeof step, "/%s/%u", sub->kw, sub->index)
                  : sub->key               ? snprintf(step, sizeof step, "/%s/%s", sub->kw, sub->key)
                                           : snprintf(step, sizeof step, "/%s", sub->kw);
        size_t l = len < 0 ? 0 : (size_t)len < sizeof step ? (size_t)len : aios__utf8_whole(step, sizeof step - 1);
        if (l + 1 > at)
            break;
        at -= l;
        memcpy(out + at, step, l);
    }
    if (at)
        out[--at] = '#';
    return out + at;
}

/* ---- keywords --------------------------------------------------------------------------------------------------- */

int aios__schema_bad(const aios__schema *s, uint32_t i, const char *kw, const char *why, aios_error *err)
{
    char path[200];
    return aios__fail(err, AIOS_ESCHEMA, "schema %s: \"%s\" %s", aios__schema_path(s, i, path, sizeof path), kw, why);
}

bool aios__schema_is(const aios__json *v)
{
    enum aios__json_type t = aios__json_type(v);
    return v && (t == AIOS__JSON_OBJECT || t == AIOS__JSON_TRUE || t == AIOS__JSON_FALSE);
}

static bool is_names(const aios__json *v)
{
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return false;
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (!aios__json_str(aios__json_at(v, i), NULL))
            return false;
    return true;
}

static bool is_type(const aios__json *v)
{
    if (aios__json_type(v) != AIOS__JSON_ARRAY)
        return type_bits(aios__json_str(v, NULL)) != 0;
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (!type_bits(aios__json_str(aios__json_at(v, i), NULL)))
            return false;
    return aios__json_count(v) > 0;
}

/* NULL if the value has the shape, else what was expected. */
static const char *wrong_shape(enum shape shape, const aios__json *v)
{
    const char *key;
    const aios__json *m;
    double d = aios__json_real(v, -1);
    switch (shape) {
    case REF:
        return aios__json_str(v, NULL) ? NULL : "must be a string";
    case TYPE:
        return is_type(v) ? NULL : "must name null, boolean, integer, number, string, array or object, or list some of them";
    case LIST:
        return aios__json_type(v) == AIOS__JSON_ARRAY ? NULL : "must be a list";
    case NUMBER:
        return aios__json_is_number(v) ? NULL : "must be a number";
    case EXCLUSIVE:
        return aios__json_is_number(v) || aios__value_types(v) == AIOS__T_BOOLEAN ? NULL : "must be a number";
    case POSITIVE:
        return aios__json_is_number(v) && d > 0 ? NULL : "must be a number above 0";
    case COUNT:
        return aios__json_is_number(v) && d >= 0 && aios__json_integral(v) ? NULL : "must be an integer, 0 or more";
    case BOOL:
        return aios__value_types(v) == AIOS__T_BOOLEAN ? NULL : "must be true or false";
    case NAMES:
        return is_names(v) ? NULL : "must be a list of strings";
    case NAMEMAP:
        if (aios__json_type(v) != AIOS__JSON_OBJECT)
            return "must be an object";
        for (void *it = aios__json_iter(v, NULL, &key, &m); it; it = aios__json_iter(v, it, &key, &m))
            if (!is_names(m))
                return "must hold lists of strings";
        return NULL;
    case SUB:
        return aios__schema_is(v) ? NULL : "must be a schema: an object, true or false";
    case ITEMS:
        return aios__schema_is(v) || aios__json_type(v) == AIOS__JSON_ARRAY ? NULL : "must be a schema";
    case SCHEMAS:
        return aios__json_type(v) == AIOS__JSON_ARRAY && aios__json_count(v) ? NULL : "must be a list of schemas, not empty";
    case REGEX:
    case FORMAT:
        return aios__json_str(v, NULL) ? NULL : "must be a string";
    case MAP:
    case DEPENDENCY:
    case RXMAP:
        return aios__json_type(v) == AIOS__JSON_OBJECT ? NULL : "must be an object of schemas";
    default:
        return NULL;
    }
}

static int add_list(aios__schema *s, uint32_t i, const char *kw, const aios__json *v, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t k = 0; !rc && k < aios__json_count(v); k++) {
        const aios__json *e = aios__json_at(v, k);
        rc = aios__schema_is(e) ? aios__schema_add(s, e, i, kw, NULL, (uint32_t)k, err)
                          : aios__schema_bad(s, i, kw, "must hold schemas only: objects, true or false", err);
    }
    return rc;
}

/* `names`: lists of names may be among them. */
static int add_map(aios__schema *s, uint32_t i, const char *kw, const aios__json *v, bool names, aios_error *err)
{
    const char *key;
    const aios__json *m;
    int rc = AIOS_OK;
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !rc; it = aios__json_iter(v, it, &key, &m))
        if (aios__schema_is(m))
            rc = aios__schema_add(s, m, i, kw, key, AIOS__NONE, err);
        else if (!names || !is_names(m))
            rc = aios__schema_bad(s, i, kw, names ? "must hold schemas and lists of names" : "must hold schemas only: objects, true or false", err);
    return rc;
}

static int add_children(aios__schema *s, uint32_t i, const struct keyword *k, const aios__json *v, aios_error *err)
{
    if (k->shape == SUB || (k->shape == ITEMS && aios__schema_is(v)))
        return aios__schema_add(s, v, i, k->name, NULL, AIOS__NONE, err);
    if (k->shape == SCHEMAS || k->shape == ITEMS)
        return add_list(s, i, k->name, v, err);
    return k->shape == MAP || k->shape == RXMAP || k->shape == DEPENDENCY ? add_map(s, i, k->name, v, k->shape == DEPENDENCY, err) : AIOS_OK;
}

static int add_pattern(aios__schema *s, uint32_t i, const char *kw, const char *p, size_t n, uint32_t *rx, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    int rc = *s->pool ? AIOS_OK : aios__rx_new(s->ctx, s->pool, err);
    if (rc)
        return rc;
    rc = aios__rx_parse(*s->pool, p, n, false, rx, &why);
    return rc == AIOS_ESCHEMA || rc == AIOS_ENOTSUP || rc == AIOS_ELIMIT ? aios__schema_bad(s, i, kw, why.msg, err) : aios__error_copy(err, &why);
}

/* Those of patternProperties are found by their text: their schemas may be one and the same. */
static int add_patterns(aios__schema *s, uint32_t i, const struct keyword *k, const aios__json *v, uint32_t *rx, aios_error *err)
{
    const char *key, *p;
    const aios__json *m;
    aios__anchor *name;
    size_t n;
    int rc = AIOS_OK;
    if (k->shape == REGEX) {
        p = aios__json_str(v, &n);
        return add_pattern(s, i, k->name, p, n, rx, err);
    }
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !rc; it = aios__json_iter(v, it, &key, &m)) {
        rc = add_pattern(s, i, k->name, key, strlen(key), rx, err);
        rc = rc ? rc : aios__schema_name(s, AIOS__NAMES, key, strlen(key), *rx, &name, err);
    }
    return rc;
}

static int add_format(aios__schema *s, const aios__json *v, uint32_t *rx, bool *known, aios_error *err)
{
    int rc = *s->pool ? AIOS_OK : aios__rx_new(s->ctx, s->pool, err);
    return rc ? rc : aios__format_rx(*s->pool, aios__json_str(v, NULL), rx, known, err);
}

static int push_keyword(aios__schema *s, enum aios__kw kw, const aios__json *v, uint32_t rx, aios_error *err)
{
    int rc = aios__schema_grow(s, &s->kws, &s->cap_kws, (size_t)s->n_kws + 1, MAX_KWS, sizeof *s->kws, "keywords", err);
    if (!rc)
        s->kws[s->n_kws++] = (aios__kwval){kw, v, rx};
    return rc;
}

/* Where a value stands in the hash table of an enum; n is its size. */
static uint32_t listed_slot(const aios__schema *s, uint32_t from, uint32_t n, uint64_t hash, const aios__json *v, const aios__json *list)
{
    uint32_t k = aios__slot(hash, n);
    for (; s->listed[from + k].i; k = (k + 1) & (n - 1))
        if (s->listed[from + k].hash == hash && aios__json_equal(v, aios__json_at(list, s->listed[from + k].i - 1)))
            break;
    return from + k;
}

static uint32_t table_size(size_t n)
{
    uint32_t size = 4;
    while (size < 2 * n)
        size *= 2;
    return size;
}

/* A long enum is looked up, not gone through. */
static int index_enum(aios__schema *s, const aios__json *list, uint32_t *at, aios_error *err)
{
    size_t n = aios__json_count(list);
    uint32_t size = table_size(n), from = s->n_listed;
    int rc = aios__schema_grow(s, &s->listed, &s->cap_listed, (size_t)from + size, MAX_LISTED, sizeof *s->listed, "values of enums", err);
    if (rc)
        return rc;
    memset(s->listed + from, 0, size * sizeof *s->listed);
    s->n_listed += size;
    for (size_t i = 0; i < n; i++) {
        const aios__json *v = aios__json_at(list, i);
        uint64_t hash = aios__json_hash(v, (uint64_t)(uintptr_t)s);
        uint32_t k = listed_slot(s, from, size, hash, v, list);
        if (!s->listed[k].i)
            s->listed[k] = (aios__listed){hash, (uint32_t)i + 1};
    }
    *at = from + 1;
    return AIOS_OK;
}

bool aios__schema_lists(const aios__schema *s, const aios__kwval *kv, const aios__json *v)
{
    size_t n = aios__json_count(kv->v);
    if (kv->rx) /* not 0: one more than where its table begins */
        return s->listed[listed_slot(s, kv->rx - 1, table_size(n), aios__json_hash(v, (uint64_t)(uintptr_t)s), v, kv->v)].i != 0;
    for (size_t i = 0; i < n; i++)
        if (aios__json_equal(aios__json_at(kv->v, i), v))
            return true;
    return false;
}

static size_t find_keyword(const char *name)
{
    size_t k = 0;
    while (k < AIOS__KW_COUNT && (keywords[k].name[0] != name[0] || strcmp(keywords[k].name, name)))
        k++;
    return k;
}

static const char *kw_near(const char *name)
{
    const char *names[AIOS__KW_COUNT];
    for (size_t k = 0; k < AIOS__KW_COUNT; k++)
        names[k] = keywords[k].name;
    return aios__nearest(name, strlen(name), names, AIOS__KW_COUNT);
}

/* Unknown keywords constrain nothing, but what a slip of the pen stands for would. */
static int check_unknown(const aios__schema *s, uint32_t i, const char *name, aios_error *err)
{
    for (size_t k = 0; k < AIOS__KW_COUNT; k++)
        if (keywords[k].shape != NOTE && !strcasecmp(keywords[k].name, name))
            return aios__schema_bad(s, i, name, "is not a keyword: mind upper and lower case", err);
    if (!s->strict || !strncmp(name, "x-", 2) || (s->subs[i].draft == AIOS__DRAFT_4 && !strcmp(name, "id")))
        return AIOS_OK;
    char why[80];
    const char *near = kw_near(name);
    snprintf(why, sizeof why, near ? "is not a keyword: did you mean \"%s\"?" : "is not a keyword, and unknown ones are refused here", near);
    return aios__schema_bad(s, i, name, why, err);
}

/* An older $ref hides what stands beside it, but for what others may point into. */
static bool hidden(const aios__schema *s, uint32_t i, size_t k)
{
    const aios__sub *sub = &s->subs[i];
    return sub->draft <= AIOS__DRAFT_7 && k != AIOS__KW_REF && k != AIOS__KW_DEFS && k != AIOS__KW_DEFINITIONS && aios__json_get(sub->json, "$ref");
}

static int check_keyword(aios__schema *s, uint32_t i, const char *name, const aios__json *v, aios_error *err)
{
    size_t k = find_keyword(name);
    if (k == AIOS__KW_COUNT)
        return check_unknown(s, i, name, err);
    if (!in_draft(k, s->subs[i].draft) || hidden(s, i, k) || keywords[k].shape == NOTE)
        return AIOS_OK;
    if (k == AIOS__KW_NULLABLE && aios__json_type(v) == AIOS__JSON_FALSE)
        return AIOS_OK;
    if (keywords[k].shape == NOPE)
        return aios__schema_bad(s, i, name, "cannot be enforced here: leave it out or say it with other keywords", err);
    const char *why = wrong_shape(keywords[k].shape, v);
    if (why)
        return aios__schema_bad(s, i, name, why, err);
    uint32_t rx = 0;
    bool known = true;
    int rc = add_children(s, i, &keywords[k], v, err);
    if (!rc && (keywords[k].shape == REGEX || keywords[k].shape == RXMAP))
        rc = add_patterns(s, i, &keywords[k], v, &rx, err);
    if (!rc && keywords[k].shape == LIST && aios__json_count(v) > FEW)
        rc = index_enum(s, v, &rx, err);
    if (!rc && keywords[k].shape == FORMAT)
        rc = s->notes ? (known = false, AIOS_OK) : add_format(s, v, &rx, &known, err);
    return rc || !known ? rc : push_keyword(s, (enum aios__kw)k, v, rx, err);
}

/* Draft 4 has bounds made exclusive by a flag beside them: as newer drafts say it. */
static int settle_bound(aios__schema *s, uint32_t i, enum aios__kw bound, enum aios__kw exclusive, aios_error *err)
{
    aios__kwval *b = NULL, *e = NULL;
    for (uint32_t k = s->subs[i].first; k < s->n_kws; k++) {
        b = s->kws[k].kw == bound ? &s->kws[k] : b;
        e = s->kws[k].kw == exclusive ? &s->kws[k] : e;
    }
    if (!e || aios__json_is_number(e->v))
        return AIOS_OK;
    if (s->subs[i].draft != AIOS__DRAFT_4 && s->subs[i].draft != AIOS__DRAFT_LATEST)
        return aios__schema_bad(s, i, keywords[exclusive].name, "must be a number: true and false are of draft 4", err);
    if (b && aios__json_type(e->v) == AIOS__JSON_TRUE)
        b->kw = exclusive;
    *e = s->kws[--s->n_kws];
    return AIOS_OK;
}

/* A list of schemas is called prefixItems from 2020-12 on. */
static int check_items(const aios__schema *s, uint32_t i, const aios__json *json, aios_error *err)
{
    if (s->subs[i].draft < AIOS__DRAFT_2020 || aios__json_type(aios__json_get(json, "items")) != AIOS__JSON_ARRAY)
        return AIOS_OK;
    if (aios__json_get(json, "prefixItems"))
        return aios__schema_bad(s, i, "items", "must be a schema beside \"prefixItems\"", err);
    return s->subs[i].draft == AIOS__DRAFT_LATEST ? AIOS_OK : aios__schema_bad(s, i, "items", "must be a schema: a list is called \"prefixItems\" in 2020-12", err);
}

/* What depends on what the others have seen comes last. */
static void unevaluated_last(aios__schema *s, uint32_t first)
{
    for (uint32_t k = first, end = s->n_kws; k < end;) {
        if (s->kws[k].kw != AIOS__KW_UNEVALUATED_ITEMS && s->kws[k].kw != AIOS__KW_UNEVALUATED_PROPERTIES) {
            k++;
            continue;
        }
        aios__kwval t = s->kws[k];
        s->kws[k] = s->kws[--end];
        s->kws[end] = t;
    }
}

/* What is found without going through the keywords: which there are, and what types of values they leave. */
static void describe(aios__schema *s, uint32_t i)
{
    aios__sub *sub = &s->subs[i];
    for (uint32_t k = sub->first; k < sub->first + sub->n; k++)
        sub->has |= UINT64_C(1) << s->kws[k].kw;
    const aios__json *t = aios__schema_kw(s, i, AIOS__KW_TYPE), *e = aios__schema_kw(s, i, AIOS__KW_ENUM), *v = aios__schema_kw(s, i, AIOS__KW_CONST);
    uint32_t listed = e ? 0 : AIOS__T_ALL;
    for (size_t k = 0; listed != AIOS__T_ALL && k < aios__json_count(e); k++)
        listed |= aios__value_types(aios__json_at(e, k));
    sub->types = (uint8_t)((t ? aios__schema_types(t) : AIOS__T_ALL) & listed & (v ? aios__value_types(v) : AIOS__T_ALL));
}

/* ---- compile ---------------------------------------------------------------------------------------------------- */

static int read_sub(aios__schema *s, uint32_t i, aios_error *err)
{
    const char *key;
    const aios__json *v, *json = s->subs[i].json;
    int rc = AIOS_OK;
    uint32_t first = s->n_kws;
    for (void *it = aios__json_iter(json, NULL, &key, &v); it && !rc; it = aios__json_iter(json, it, &key, &v))
        rc = check_keyword(s, i, key, v, err);
    s->subs[i].first = first;
    rc = rc ? rc : settle_bound(s, i, AIOS__KW_MINIMUM, AIOS__KW_EXCLUSIVE_MINIMUM, err);
    rc = rc ? rc : settle_bound(s, i, AIOS__KW_MAXIMUM, AIOS__KW_EXCLUSIVE_MAXIMUM, err);
    rc = rc ? rc : check_items(s, i, json, err);
    unevaluated_last(s, first);
    s->subs[i].n = s->n_kws - first;
    describe(s, i);
    return rc;
}

static int compile(aios__schema *s, aios_error *err)
{
    int rc = aios__schema_add(s, aios__json_root(s->docs[0]), AIOS__NONE, NULL, NULL, AIOS__NONE, err);
    uint32_t read = 0, resolved = 0;
    while (!rc && resolved < s->n_subs) { /* an anchor may stand anywhere, so all is read before anything is resolved */
        bool reads = read < s->n_subs;
        uint32_t i = reads ? read++ : resolved++;
        rc = reads ? read_sub(s, i, err) : aios__schema_resolve(s, i, err);
        rc = aios__schema_place(s, i, rc ? rc : aios__schema_fits(s, 0, err), err);
    }
    return rc ? rc : aios__schema_cycles(s, err);
}

static int make(aios_ctx *ctx, aios__rx **rx, bool strict, uint32_t flags, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    *out = NULL;
    aios__schema *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__oom(err);
    s->heap = h;
    s->ctx = ctx;
    s->pool = rx ? rx : &s->own;
    s->strict = strict;
    s->notes = flags & AIOS_SCHEMA_FORMAT_NOTE;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__schema_doc(s, text, n, &why);
    if (rc == AIOS_EFORMAT)
        rc = aios__fail(err, AIOS_ESCHEMA, "schema: %s", why.msg);
    else if (rc == AIOS_ELIMIT)
        rc = aios__fail_need(err, rc, why.have, why.need, "schema #: %.400s", why.msg);
    else if (rc)
        aios__error_copy(err, &why);
    else if (!aios__schema_is(aios__json_root(s->docs[0])))
        rc = aios__fail(err, AIOS_ESCHEMA, "schema: it must be an object, true or false");
    else
        rc = compile(s, err);
    aios__rx_reading(s->own);
    if (rc) {
        aios__schema_free(s);
        return rc;
    }
    *out = s;
    return AIOS_OK;
}

int aios__schema_new(aios_ctx *ctx, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    return make(ctx, NULL, false, 0, text, n, out, err);
}

int aios__schema_new_in(aios_ctx *ctx, aios__rx **rx, bool strict, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    return make(ctx, rx, strict, 0, text, n, out, err);
}

int aios__schema_new_as(aios_ctx *ctx, uint32_t flags, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    return make(ctx, NULL, false, flags, text, n, out, err);
}

void aios__schema_free(aios__schema *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->n_docs; i++)
        aios__json_free(s->docs[i]);
    for (uint32_t i = 0; i < s->n_resources; i++)
        aios__free(s->heap, s->resources[i].uri);
    aios__free(s->heap, s->resources);
    aios__free(s->heap, s->anchors);
    aios__free(s->heap, s->listed);
    aios__free(s->heap, s->names);
    aios__rx_free(s->own);
    aios__free(s->heap, s->subs);
    aios__free(s->heap, s->kws);
    aios__free(s->heap, s->map);
    aios__free(s->heap, s);
}
