/* SPDX-License-Identifier: Apache-2.0 */
/* The only file that includes jansson.h. Its allocator hooks are process-global, so they stay untouched: inputs are bounded
   and the estimated size of a document is charged instead. */
#include "base/json.h"

#include <jansson.h>

#include "base/cachefile.h"

#define MAX_TEXT ((size_t)64 << 20)
#define MAX_DEPTH 256

struct aios__json_doc {
    aios__heap *heap;
    json_t *root;
    size_t charged;
};

static json_t *of(const aios__json *v)
{
    return (json_t *)(uintptr_t)v;
}
static const aios__json *from(const json_t *v)
{
    return (const aios__json *)v;
}

/*
 * One pass before jansson's: it recurses by nesting, so that is bounded here; and it allocates by malloc, so what it can
 * take at most is estimated from the marks and strings. The weights are what its nodes take of malloc, and of their
 * tables at the worst moment of growth (jansson 2.14, 64 bit); the longest string stands in a buffer too, while it is read.
 */
int aios__json_cost(const char *s, size_t n, size_t *n_bytes, aios_error *err)
{
    enum { VALUE = 64, STRING = 40, OBJECT = 232, ARRAY = 136, MEMBER = 96, BUFFER = 3 };
    size_t depth = 0, bytes = 1024 + VALUE, from = 0, longest = 0; /* n <= MAX_TEXT: no overflow */
    bool in_string = false;
    *n_bytes = 0;
    if (n > MAX_TEXT)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_TEXT, n, "a JSON text of %zu bytes is larger than the %zu allowed", n, MAX_TEXT);
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            if (in_string)
                continue;
            bytes += STRING + i - from;
            longest = i - from > longest ? i - from : longest;
        } else if (c == '"') {
            in_string = true;
            from = i;
        } else if (c == ',' || c == ':') {
            bytes += c == ',' ? VALUE : MEMBER;
        } else if (c == '[' || c == '{') {
            bytes += c == '[' ? ARRAY : OBJECT;
            if (++depth > MAX_DEPTH)
                return aios__fail_need(err, AIOS_EFORMAT, MAX_DEPTH, depth, "JSON is nested deeper than %d at byte %zu", MAX_DEPTH, i);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    *n_bytes = bytes + BUFFER * longest;
    return AIOS_OK;
}

static json_t *load(const char *s, size_t n, bool exact, int *rc, aios_error *err)
{
    json_error_t je;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | (exact ? JSON_ALLOW_NUL : 0);
    json_t *root = json_loadb(s, n, flags, &je);
    if (!root && exact && json_error_code(&je) == json_error_numeric_overflow)
        root = json_loadb(s, n, flags | JSON_DECODE_INT_AS_REAL, &je);
    if (root)
        return root;
    *rc = json_error_code(&je) == json_error_out_of_memory
              ? aios__fail(err, AIOS_ENOMEM, "the system has no memory for a JSON text of %zu bytes", n)
              : aios__fail(err, AIOS_EFORMAT, "JSON, line %d column %d: %s", je.line, je.column, je.text);
    return NULL;
}

static int parse(aios__heap *h, const char *s, size_t n, bool exact, aios__json_doc **doc, aios_error *err)
{
    size_t charge = 0;
    *doc = NULL;
    if (!n)
        return aios__fail(err, AIOS_EFORMAT, "an empty text is no JSON");
    int rc = aios__json_cost(s, n, &charge, err);
    if (rc)
        return rc;
    aios__json_doc *d = aios__alloc(h, AIOS_MEM_TEXT, sizeof *d, err);
    if (!d)
        return aios__error_code(err, AIOS_ENOMEM);
    d->heap = h;
    rc = aios__charge(h, AIOS_MEM_TEXT, charge, err);
    if (!rc) {
        d->charged = charge;
        d->root = load(s, n, exact, &rc, err);
    }
    if (rc) {
        aios__json_free(d);
        return rc;
    }
    *doc = d;
    return AIOS_OK;
}

int aios__json_text(aios__heap *h, const char *s, aios__json_doc **doc, aios_error *err)
{
    size_t charge = 256 + strlen(s);
    aios__json_doc *d = aios__alloc(h, AIOS_MEM_TEXT, sizeof *d, err);
    *doc = NULL;
    if (!d)
        return aios__error_code(err, AIOS_ENOMEM);
    d->heap = h;
    int rc = aios__charge(h, AIOS_MEM_TEXT, charge, err);
    d->charged = rc ? 0 : charge;
    d->root = rc ? NULL : json_string(s);
    if (!rc && !d->root)
        rc = aios__fail(err, AIOS_ENOMEM, "the system has no memory for a string of %zu bytes", strlen(s));
    if (rc) {
        aios__json_free(d);
        return rc;
    }
    *doc = d;
    return AIOS_OK;
}

int aios__json_parse(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err)
{
    return parse(h, s, n, false, doc, err);
}

int aios__json_parse_exact(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err)
{
    return parse(h, s, n, true, doc, err);
}

void aios__json_free(aios__json_doc *doc)
{
    if (!doc)
        return;
    json_decref(doc->root);
    aios__uncharge(doc->heap, AIOS_MEM_TEXT, doc->charged);
    aios__free(doc->heap, doc);
}

const aios__json *aios__json_root(const aios__json_doc *doc)
{
    return from(doc->root);
}

enum aios__json_type aios__json_type(const aios__json *v)
{
    static const enum aios__json_type map[] = {
        [JSON_OBJECT] = AIOS__JSON_OBJECT, [JSON_ARRAY] = AIOS__JSON_ARRAY, [JSON_STRING] = AIOS__JSON_STRING,
        [JSON_INTEGER] = AIOS__JSON_INT,   [JSON_REAL] = AIOS__JSON_REAL,   [JSON_TRUE] = AIOS__JSON_TRUE,
        [JSON_FALSE] = AIOS__JSON_FALSE,   [JSON_NULL] = AIOS__JSON_NULL,
    };
    return v ? map[json_typeof(of(v))] : AIOS__JSON_NULL;
}

size_t aios__json_count(const aios__json *v)
{
    return json_is_object(of(v)) ? json_object_size(of(v)) : json_array_size(of(v));
}

const aios__json *aios__json_at(const aios__json *arr, size_t i)
{
    return from(json_array_get(of(arr), i));
}

const aios__json *aios__json_get(const aios__json *obj, const char *key)
{
    return from(json_object_get(of(obj), key));
}

const aios__json *aios__json_find(const aios__json *obj, const char *key, size_t n)
{
    return from(json_object_getn(of(obj), key, n));
}

void *aios__json_iter(const aios__json *obj, void *it, const char **key, const aios__json **v)
{
    it = it ? json_object_iter_next(of(obj), it) : json_object_iter(of(obj));
    if (it)
        aios__json_member_at(it, key, v);
    return it;
}

void aios__json_member_at(void *it, const char **key, const aios__json **v)
{
    *key = json_object_iter_key(it);
    *v = from(json_object_iter_value(it));
}

const char *aios__json_str(const aios__json *v, size_t *n)
{
    if (!json_is_string(of(v)))
        return NULL;
    if (n)
        *n = json_string_length(of(v));
    return json_string_value(of(v));
}

int64_t aios__json_int(const aios__json *v, int64_t dflt)
{
    return json_is_integer(of(v)) ? (int64_t)json_integer_value(of(v)) : dflt;
}

double aios__json_real(const aios__json *v, double dflt)
{
    return json_is_number(of(v)) ? json_number_value(of(v)) : dflt;
}

bool aios__json_is_number(const aios__json *v)
{
    return json_is_number(of(v));
}

static bool equal_members(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)a, key, v) {
        const json_t *w = json_object_get(b, key);
        if (!w || !aios__json_equal(from(v), from(w)))
            return false;
    }
    return true;
}

/* Recursion is bounded by MAX_DEPTH, which the parser enforced. */
bool aios__json_equal(const aios__json *va, const aios__json *vb)
{
    const json_t *a = of(va), *b = of(vb);
    if (!a || !b)
        return a == b;
    if (json_is_number(a) && json_is_number(b))
        return !aios__json_compare(va, vb);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_string(a))
        return json_string_length(a) == json_string_length(b) &&
               !memcmp(json_string_value(a), json_string_value(b), json_string_length(a));
    if (json_is_array(a)) {
        if (json_array_size(a) != json_array_size(b))
            return false;
        for (size_t i = 0; i < json_array_size(a); i++)
            if (!aios__json_equal(from(json_array_get(a, i)), from(json_array_get(b, i))))
                return false;
        return true;
    }
    if (json_is_object(a))
        return json_object_size(a) == json_object_size(b) && equal_members(a, b);
    return true; /* true, false, null: equal types are equal values */
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* Recursion is bounded by MAX_DEPTH, which the parser enforced. */
uint64_t aios__json_hash(const aios__json *v, uint64_t seed)
{
    enum aios__json_type type = aios__json_type(v);
    double d = aios__json_real(v, 0) + 0.0; /* -0 becomes 0; integers that share a double share a hash */
    uint64_t h = mix(seed, type == AIOS__JSON_INT ? AIOS__JSON_REAL : type), bits, sum = 0;
    const char *key;
    const aios__json *m;
    size_t n = 0;
    if (aios__json_is_number(v)) {
        memcpy(&bits, &d, sizeof bits);
        return mix(h, bits);
    }
    if (type == AIOS__JSON_STRING) {
        const char *s = aios__json_str(v, &n);
        return mix(h, aios__sum64(seed, s, n));
    }
    for (size_t i = 0; type == AIOS__JSON_ARRAY && i < aios__json_count(v); i++)
        h = mix(h, aios__json_hash(aios__json_at(v, i), seed));
    for (void *it = aios__json_iter(v, NULL, &key, &m); it; it = aios__json_iter(v, it, &key, &m))
        sum += mix(aios__sum64(seed, key, strlen(key)), aios__json_hash(m, seed)); /* in any order */
    return mix(h, sum);
}

static int write_number(const aios__json *v, aios__buf *out, aios_error *err)
{
    char s[AIOS__JSON_NUMBER];
    aios__json_digits(v, s);
    return aios__buf_adds(out, s, err);
}

static int write_array(const aios__json *v, bool spaced, aios__buf *out, aios_error *err)
{
    aios__buf_addc(out, '[', err);
    for (size_t i = 0, n = aios__json_count(v); i < n && !out->failed; i++) {
        if (i)
            aios__buf_adds(out, spaced ? ", " : ",", err);
        aios__json_write_as(aios__json_at(v, i), spaced, out, err);
    }
    return aios__buf_addc(out, ']', err);
}

static int write_object(const aios__json *v, bool spaced, aios__buf *out, aios_error *err)
{
    const char *key, *comma = "";
    const aios__json *m;
    aios__buf_addc(out, '{', err);
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !out->failed; it = aios__json_iter(v, it, &key, &m)) {
        aios__buf_adds(out, comma, err);
        aios__buf_add_json(out, key, strlen(key), err);
        aios__buf_adds(out, spaced ? ": " : ":", err);
        aios__json_write_as(m, spaced, out, err);
        comma = spaced ? ", " : ",";
    }
    return aios__buf_addc(out, '}', err);
}

int aios__json_write(const aios__json *v, aios__buf *out, aios_error *err)
{
    return aios__json_write_as(v, false, out, err);
}

/* Recursion is bounded by MAX_DEPTH, which the parser enforced. */
int aios__json_write_as(const aios__json *v, bool spaced, aios__buf *out, aios_error *err)
{
    switch (aios__json_type(v)) {
    case AIOS__JSON_FALSE:
        return aios__buf_adds(out, "false", err);
    case AIOS__JSON_TRUE:
        return aios__buf_adds(out, "true", err);
    case AIOS__JSON_INT:
    case AIOS__JSON_REAL:
        return write_number(v, out, err);
    case AIOS__JSON_STRING:
        return aios__buf_add_json(out, json_string_value(of(v)), json_string_length(of(v)), err);
    case AIOS__JSON_ARRAY:
        return write_array(v, spaced, out, err);
    case AIOS__JSON_OBJECT:
        return write_object(v, spaced, out, err);
    case AIOS__JSON_NULL:
        break;
    }
    return aios__buf_adds(out, "null", err);
}
