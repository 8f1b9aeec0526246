/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles a schema to a flat table of subschemas: every keyword is known and well-formed, every $ref resolved, no cycle
   that consumes nothing. Iterative throughout. */
#include "llm/schema_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "llm/array.h"

#define MAX_SUBS 200000u
#define MAX_KWS 1000000u

enum shape { NOTE, ID, REF, NOPE, ANY, TYPE, LIST, NUMBER, POSITIVE, COUNT, BOOL, NAMES, NAMEMAP, SUB, SCHEMAS, MAP, RXMAP, REGEX, ITEMS };

static const struct keyword {
    const char *name;
    enum shape shape;
} keywords[] = {
#define X(name, text, shape) {text, shape},
    AIOS__KEYWORDS(X)
#undef X
};

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
    double d;
    switch (aios__json_type(v)) {
    case AIOS__JSON_NULL:
        return AIOS__T_NULL;
    case AIOS__JSON_FALSE:
    case AIOS__JSON_TRUE:
        return AIOS__T_BOOLEAN;
    case AIOS__JSON_INT:
        return AIOS__T_INTEGER | AIOS__T_NUMBER;
    case AIOS__JSON_REAL:
        d = aios__json_real(v, 0);
        return floor(d) == d ? AIOS__T_INTEGER | AIOS__T_NUMBER : AIOS__T_NUMBER;
    case AIOS__JSON_STRING:
        return AIOS__T_STRING;
    case AIOS__JSON_ARRAY:
        return AIOS__T_ARRAY;
    case AIOS__JSON_OBJECT:
        return AIOS__T_OBJECT;
    }
    return 0;
}

/* ---- table of subschemas ---------------------------------------------------------------------------------------- */

static uint32_t hash_ptr(const void *p)
{
    uint64_t x = (uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(x >> 32);
}

static uint32_t map_slot(const aios__schema *s, const aios__json *json)
{
    uint32_t i = hash_ptr(json) & (s->map_size - 1);
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
    uint32_t *map = aios__alloc_array(s->heap, AIOS_MEM_OTHER, size, sizeof *map, err);
    if (!map)
        return aios__oom(err);
    aios__free(s->heap, s->map);
    s->map = map;
    s->map_size = size;
    for (uint32_t i = 0; i < s->n_subs; i++)
        s->map[map_slot(s, s->subs[i].json)] = i + 1;
    return AIOS_OK;
}

/* Adds a subschema unless it is there; the table itself is the worklist. */
static int add_sub(aios__schema *s, const aios__json *json, uint32_t parent, const char *kw, const char *key, uint32_t index,
                   aios_error *err)
{
    if (aios__schema_sub(s, json) != AIOS__NONE)
        return AIOS_OK;
    int rc = aios__grow(s->heap, &s->subs, &s->cap_subs, (size_t)s->n_subs + 1, MAX_SUBS, sizeof *s->subs, "subschemas", err);
    if (!rc)
        rc = map_grow(s, err);
    if (rc)
        return rc;
    s->map[map_slot(s, json)] = s->n_subs + 1;
    s->subs[s->n_subs++] = (aios__sub){.json = json, .parent = parent, .kw = kw, .key = key, .index = index, .ref = AIOS__NONE};
    return AIOS_OK;
}

static const aios__kwval *find(const aios__schema *s, uint32_t i, enum aios__kw kw)
{
    const aios__sub *sub = &s->subs[i];
    for (uint32_t k = sub->first; k < sub->first + sub->n; k++)
        if (s->kws[k].kw == kw)
            return &s->kws[k];
    return NULL;
}

const aios__json *aios__schema_kw(const aios__schema *s, uint32_t i, enum aios__kw kw)
{
    const aios__kwval *k = find(s, i, kw);
    return k ? k->v : NULL;
}

uint32_t aios__schema_pattern(const aios__schema *s, uint32_t i)
{
    const aios__kwval *k = find(s, i, AIOS__KW_PATTERN);
    return k ? k->rx : AIOS__RX_NOTHING;
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
        size_t l = len < 0 ? 0 : (size_t)len < sizeof step ? (size_t)len : sizeof step - 1;
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

static int bad(const aios__schema *s, uint32_t i, const char *kw, const char *why, aios_error *err)
{
    char path[200];
    return aios__fail(err, AIOS_ESCHEMA, "schema %s: \"%s\" %s", aios__schema_path(s, i, path, sizeof path), kw, why);
}

static bool is_schema(const aios__json *v)
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
        return aios__json_type(v) == AIOS__JSON_ARRAY && aios__json_count(v) ? NULL : "must be a list that is not empty";
    case NUMBER:
        return aios__json_is_number(v) ? NULL : "must be a number";
    case POSITIVE:
        return aios__json_is_number(v) && d > 0 ? NULL : "must be a number above 0";
    case COUNT:
        return aios__json_is_number(v) && d >= 0 && floor(d) == d ? NULL : "must be an integer, 0 or more";
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
        return is_schema(v) ? NULL : "must be a schema: an object, true or false";
    case ITEMS:
        return is_schema(v) || aios__json_type(v) == AIOS__JSON_ARRAY ? NULL : "must be a schema";
    case SCHEMAS:
        return aios__json_type(v) == AIOS__JSON_ARRAY && aios__json_count(v) ? NULL : "must be a list of schemas, not empty";
    case REGEX:
        return aios__json_str(v, NULL) ? NULL : "must be a string";
    case MAP:
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
        rc = is_schema(e) ? add_sub(s, e, i, kw, NULL, (uint32_t)k, err)
                          : bad(s, i, kw, "must hold schemas only: objects, true or false", err);
    }
    return rc;
}

static int add_map(aios__schema *s, uint32_t i, const char *kw, const aios__json *v, aios_error *err)
{
    const char *key;
    const aios__json *m;
    int rc = AIOS_OK;
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !rc; it = aios__json_iter(v, it, &key, &m))
        rc = is_schema(m) ? add_sub(s, m, i, kw, key, AIOS__NONE, err)
                          : bad(s, i, kw, "must hold schemas only: objects, true or false", err);
    return rc;
}

static int add_children(aios__schema *s, uint32_t i, const struct keyword *k, const aios__json *v, aios_error *err)
{
    if (k->shape == SUB || (k->shape == ITEMS && is_schema(v)))
        return add_sub(s, v, i, k->name, NULL, AIOS__NONE, err);
    if (k->shape == SCHEMAS || k->shape == ITEMS)
        return add_list(s, i, k->name, v, err);
    return k->shape == MAP || k->shape == RXMAP ? add_map(s, i, k->name, v, err) : AIOS_OK;
}

static int add_pattern(aios__schema *s, uint32_t i, const char *kw, const char *p, size_t n, uint32_t *rx, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    int rc = *s->pool ? AIOS_OK : aios__rx_new(s->ctx, s->pool, err);
    if (rc)
        return rc;
    rc = aios__rx_parse(*s->pool, p, n, false, rx, &why);
    return rc == AIOS_ESCHEMA || rc == AIOS_ENOTSUP || rc == AIOS_ELIMIT ? bad(s, i, kw, why.msg, err) : aios__error_copy(err, &why);
}

static int add_patterns(aios__schema *s, uint32_t i, const struct keyword *k, const aios__json *v, uint32_t *rx, aios_error *err)
{
    const char *key, *p;
    const aios__json *m;
    size_t n;
    int rc = AIOS_OK;
    if (k->shape == REGEX) {
        p = aios__json_str(v, &n);
        return add_pattern(s, i, k->name, p, n, rx, err);
    }
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !rc; it = aios__json_iter(v, it, &key, &m))
        rc = add_pattern(s, i, k->name, key, strlen(key), &s->subs[aios__schema_sub(s, m)].rx, err);
    return rc;
}

static int check_keyword(aios__schema *s, uint32_t i, const char *name, const aios__json *v, aios_error *err)
{
    size_t k = 0;
    while (k < AIOS__KW_COUNT && strcmp(keywords[k].name, name))
        k++;
    if (k == AIOS__KW_COUNT) { /* unknown ones constrain nothing, but a slip of the pen would */
        for (k = 0; k < AIOS__KW_COUNT; k++)
            if (!strcasecmp(keywords[k].name, name))
                return bad(s, i, name, "is not a keyword: mind upper and lower case", err);
        return AIOS_OK;
    }
    if (k == AIOS__KW_NULLABLE && aios__json_type(v) == AIOS__JSON_FALSE)
        return AIOS_OK;
    if (keywords[k].shape == NOPE)
        return bad(s, i, name, "cannot be enforced here: leave it out or say it with other keywords", err);
    if (keywords[k].shape == ID && i)
        return bad(s, i, name, "is supported at the root of a schema only", err);
    const char *why = wrong_shape(keywords[k].shape, v);
    if (why)
        return bad(s, i, name, why, err);
    uint32_t rx = 0;
    int rc = add_children(s, i, &keywords[k], v, err);
    if (!rc && (keywords[k].shape == REGEX || keywords[k].shape == RXMAP))
        rc = add_patterns(s, i, &keywords[k], v, &rx, err);
    if (!rc && keywords[k].shape != NOTE && keywords[k].shape != ID) {
        rc = aios__grow(s->heap, &s->kws, &s->cap_kws, (size_t)s->n_kws + 1, MAX_KWS, sizeof *s->kws, "keywords", err);
        if (!rc)
            s->kws[s->n_kws++] = (aios__kwval){(enum aios__kw)k, v, rx};
    }
    return rc;
}

/* ---- references ------------------------------------------------------------------------------------------------- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* One token of a JSON pointer in a URI fragment, unescaped; returns what follows it. */
static const char *pointer_token(const char *p, char *out, size_t n)
{
    size_t k = 0;
    for (; *p && *p != '/'; p++) {
        char c = *p;
        if (c == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0) {
            c = (char)(hex(p[1]) << 4 | hex(p[2]));
            p += 2;
        }
        if (k + 1 < n)
            out[k++] = c;
    }
    out[k] = 0;
    char *w = out;
    for (const char *r = out; *r; r++)
        *w++ = *r == '~' && (r[1] == '0' || r[1] == '1') ? (*++r == '0' ? '~' : '/') : *r;
    *w = 0;
    return p;
}

static const aios__json *follow_pointer(const aios__json *v, const char *p)
{
    char token[512], *end;
    while (v && *p == '/') {
        p = pointer_token(p + 1, token, sizeof token);
        if (aios__json_type(v) == AIOS__JSON_OBJECT) {
            v = aios__json_get(v, token);
        } else {
            unsigned long k = strtoul(token, &end, 10);
            v = *token >= '0' && *token <= '9' && !*end && aios__json_type(v) == AIOS__JSON_ARRAY && k < aios__json_count(v)
                    ? aios__json_at(v, k)
                    : NULL;
        }
    }
    return *p ? NULL : v;
}

static const aios__json *find_anchor(const aios__schema *s, const char *name)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        const char *a = aios__json_str(aios__json_get(s->subs[i].json, "$anchor"), NULL);
        if (a && !strcmp(a, name))
            return s->subs[i].json;
    }
    return NULL;
}

static int resolve(aios__schema *s, uint32_t i, aios_error *err)
{
    const aios__json *root = s->subs[0].json;
    const char *ref = aios__json_str(aios__schema_kw(s, i, AIOS__KW_REF), NULL);
    const char *id = aios__json_str(aios__json_get(root, "$id"), NULL);
    if (!ref)
        return AIOS_OK;
    size_t n = id ? strcspn(id, "#") : 0;
    if (n && !strncmp(ref, id, n) && (!ref[n] || ref[n] == '#'))
        ref += n;
    if (*ref && *ref != '#')
        return bad(s, i, "$ref", "points outside this schema, which is never fetched: put the target under $defs", err);
    const aios__json *to = !*ref || !ref[1] ? root : ref[1] == '/' ? follow_pointer(root, ref + 1) : find_anchor(s, ref + 1);
    if (!is_schema(to))
        return bad(s, i, "$ref", "points to no schema", err);
    int rc = add_sub(s, to, 0, ref, NULL, AIOS__NONE, err);
    s->subs[i].ref = aios__schema_sub(s, to);
    return rc;
}

/* ---- cycles ----------------------------------------------------------------------------------------------------- */

/* The k-th subschema that applies to the same value as sub i, or NONE. */
static uint32_t same_value(const aios__schema *s, uint32_t i, uint32_t k)
{
    static const enum aios__kw single[] = {AIOS__KW_NOT, AIOS__KW_IF, AIOS__KW_THEN, AIOS__KW_ELSE};
    static const enum aios__kw lists[] = {AIOS__KW_ALL_OF, AIOS__KW_ANY_OF, AIOS__KW_ONE_OF};
    const char *key;
    const aios__json *m;
    if (s->subs[i].ref != AIOS__NONE && !k--)
        return s->subs[i].ref;
    for (size_t j = 0; j < AIOS__ARRAY_LEN(single); j++) {
        const aios__json *v = aios__schema_kw(s, i, single[j]);
        if (v && !k--)
            return aios__schema_sub(s, v);
    }
    for (size_t j = 0; j < AIOS__ARRAY_LEN(lists); j++) {
        const aios__json *v = aios__schema_kw(s, i, lists[j]);
        size_t n = aios__json_count(v);
        if (v && k < n)
            return aios__schema_sub(s, aios__json_at(v, k));
        k -= (uint32_t)(v ? n : 0);
    }
    const aios__json *v = aios__schema_kw(s, i, AIOS__KW_DEPENDENT_SCHEMAS);
    for (void *it = v ? aios__json_iter(v, NULL, &key, &m) : NULL; it; it = aios__json_iter(v, it, &key, &m))
        if (!k--)
            return aios__schema_sub(s, m);
    return AIOS__NONE;
}

struct visit {
    uint32_t sub, next;
};

/* Depth-first over edges that consume nothing; mark 1: on the path, 2: done. */
static int search_from(aios__schema *s, struct visit *stack, uint32_t root, aios_error *err)
{
    uint32_t n = 0;
    if (s->subs[root].mark)
        return AIOS_OK;
    stack[n++] = (struct visit){root, 0};
    s->subs[root].mark = 1;
    while (n) {
        struct visit *v = &stack[n - 1];
        uint32_t to = same_value(s, v->sub, v->next++);
        if (to == AIOS__NONE) {
            s->subs[v->sub].mark = 2;
            n--;
        } else if (s->subs[to].mark == 1) {
            return bad(s, v->sub, "$ref", "leads back to itself without going into the value: it means nothing", err);
        } else if (!s->subs[to].mark) {
            s->subs[to].mark = 1;
            stack[n++] = (struct visit){to, 0};
        }
    }
    return AIOS_OK;
}

static int check_cycles(aios__schema *s, aios_error *err)
{
    struct visit *stack = aios__alloc_array(s->heap, AIOS_MEM_OTHER, s->n_subs, sizeof *stack, err);
    if (!stack)
        return aios__oom(err);
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < s->n_subs; i++)
        rc = search_from(s, stack, i, err);
    aios__free(s->heap, stack);
    return rc;
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
    s->subs[i].n = s->n_kws - first;
    return rc;
}

static int compile(aios__schema *s, aios_error *err)
{
    int rc = add_sub(s, aios__json_root(s->doc), AIOS__NONE, NULL, NULL, AIOS__NONE, err);
    uint32_t read = 0, resolved = 0;
    while (!rc && resolved < s->n_subs) { /* an anchor may stand anywhere, so all is read before anything is resolved */
        if (read < s->n_subs)
            rc = read_sub(s, read++, err);
        else
            rc = resolve(s, resolved++, err);
    }
    return rc ? rc : check_cycles(s, err);
}

int aios__schema_new_in(aios_ctx *ctx, aios__rx **rx, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    *out = NULL;
    aios__schema *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__oom(err);
    s->heap = h;
    s->ctx = ctx;
    s->pool = rx ? rx : &s->own;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__json_parse(h, text, n, &s->doc, &why);
    if (rc == AIOS_EFORMAT)
        rc = aios__fail(err, AIOS_ESCHEMA, "schema: %s", why.msg);
    else if (rc)
        aios__error_copy(err, &why);
    else if (!is_schema(aios__json_root(s->doc)))
        rc = aios__fail(err, AIOS_ESCHEMA, "schema: it must be an object, true or false");
    else
        rc = compile(s, err);
    if (rc) {
        aios__schema_free(s);
        return rc;
    }
    *out = s;
    return AIOS_OK;
}

int aios__schema_new(aios_ctx *ctx, const char *text, size_t n, aios__schema **out, aios_error *err)
{
    return aios__schema_new_in(ctx, NULL, text, n, out, err);
}

void aios__schema_free(aios__schema *s)
{
    if (!s)
        return;
    aios__json_free(s->doc);
    aios__rx_free(s->own);
    aios__free(s->heap, s->subs);
    aios__free(s->heap, s->kws);
    aios__free(s->heap, s->map);
    aios__free(s->heap, s);
}
