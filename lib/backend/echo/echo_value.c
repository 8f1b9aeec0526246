/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest value under a schema: built from its keywords, then checked by the validator. */
#include <math.h>

#include "backend/echo/echo_priv.h"
#include "base/json.h"

#define MAX_DEPTH 48
#define MAX_FILL 4096

typedef struct maker {
    const aios__json *root;
    aios__buf *out;
    aios_error *err;
} maker;

static int make(maker *m, const aios__json *s, int depth);

static int no_value(maker *m, const char *why)
{
    return aios__fail(m->err, AIOS_ENOTSUP, "the echo model cannot make a value under this schema: %s", why);
}

/* "#/a/b" from the root; NULL if it leads nowhere. */
static const aios__json *resolve(const maker *m, const char *ref)
{
    const aios__json *at = m->root;
    char key[128];
    if (ref[0] != '#')
        return NULL;
    for (const char *p = ref + 1; *p == '/' && at;) {
        size_t n = strcspn(++p, "/");
        if (n >= sizeof key)
            return NULL;
        memcpy(key, p, n);
        key[n] = 0;
        at = aios__json_get(at, key);
        p += n;
    }
    return at;
}

static const char *type_of(const aios__json *s)
{
    const aios__json *t = aios__json_get(s, "type");
    if (aios__json_type(t) == AIOS__JSON_ARRAY)
        t = aios__json_at(t, 0);
    const char *name = aios__json_str(t, NULL);
    if (name)
        return name;
    static const char *const hints[][2] = {{"properties", "object"}, {"required", "object"}, {"items", "array"},    {"minItems", "array"},
                                           {"minLength", "string"}, {"pattern", "string"},  {"minimum", "number"}, {"multipleOf", "number"}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(hints); i++)
        if (aios__json_get(s, hints[i][0]))
            return hints[i][1];
    return "null";
}

static bool is_required(const aios__json *s, const char *key)
{
    const aios__json *req = aios__json_get(s, "required");
    for (size_t i = 0; i < aios__json_count(req); i++) {
        const char *k = aios__json_str(aios__json_at(req, i), NULL);
        if (k && !strcmp(k, key))
            return true;
    }
    return false;
}

static int make_member(maker *m, const char *key, const aios__json *v, bool first, int depth)
{
    if (!first)
        aios__buf_addc(m->out, ',', m->err);
    aios__buf_add_json(m->out, key, strlen(key), m->err);
    aios__buf_addc(m->out, ':', m->err);
    return v ? make(m, v, depth + 1) : aios__buf_adds(m->out, "null", m->err);
}

static int make_object(maker *m, const aios__json *s, int depth)
{
    const aios__json *props = aios__json_get(s, "properties"), *req = aios__json_get(s, "required"), *v;
    const char *key;
    bool first = true;
    int rc = aios__buf_addc(m->out, '{', m->err);
    for (void *it = aios__json_iter(props, NULL, &key, &v); it && !rc; it = aios__json_iter(props, it, &key, &v)) {
        if (!is_required(s, key))
            continue;
        rc = make_member(m, key, v, first, depth);
        first = false;
    }
    for (size_t i = 0; !rc && i < aios__json_count(req); i++) {
        key = aios__json_str(aios__json_at(req, i), NULL);
        if (!key || aios__json_get(props, key))
            continue;
        rc = make_member(m, key, NULL, first, depth);
        first = false;
    }
    return rc ? rc : aios__buf_addc(m->out, '}', m->err);
}

static int make_array(maker *m, const aios__json *s, int depth)
{
    const aios__json *prefix = aios__json_get(s, "prefixItems"), *items = aios__json_get(s, "items");
    int64_t n = aios__json_int(aios__json_get(s, "minItems"), 0);
    if (n > MAX_FILL)
        return no_value(m, "minItems is too large");
    int rc = aios__buf_addc(m->out, '[', m->err);
    for (int64_t i = 0; !rc && i < n; i++) {
        const aios__json *v = aios__json_at(prefix, (size_t)i);
        if (i)
            aios__buf_addc(m->out, ',', m->err);
        v = v ? v : items;
        rc = v ? make(m, v, depth + 1) : aios__buf_adds(m->out, "null", m->err);
    }
    return rc ? rc : aios__buf_addc(m->out, ']', m->err);
}

static int make_string(maker *m, const aios__json *s)
{
    int64_t n = aios__json_int(aios__json_get(s, "minLength"), 0);
    if (n > MAX_FILL)
        return no_value(m, "minLength is too large");
    aios__buf_addc(m->out, '"', m->err);
    for (int64_t i = 0; i < n; i++)
        aios__buf_addc(m->out, 'a', m->err);
    return aios__buf_addc(m->out, '"', m->err);
}

static int make_number(maker *m, const aios__json *s, bool whole)
{
    const aios__json *lo = aios__json_get(s, "minimum"), *xlo = aios__json_get(s, "exclusiveMinimum");
    const aios__json *hi = aios__json_get(s, "maximum"), *xhi = aios__json_get(s, "exclusiveMaximum");
    double step = aios__json_real(aios__json_get(s, "multipleOf"), whole ? 1 : 0), x = 0;
    double unit = step > 0 ? step : 1e-3;
    if (aios__json_is_number(lo) && aios__json_real(lo, 0) > x)
        x = aios__json_real(lo, 0);
    if (aios__json_is_number(xlo) && aios__json_real(xlo, 0) >= x)
        x = aios__json_real(xlo, 0) + unit;
    if (aios__json_is_number(hi) && aios__json_real(hi, 0) < x)
        x = aios__json_real(hi, 0);
    if (aios__json_is_number(xhi) && aios__json_real(xhi, 0) <= x)
        x = aios__json_real(xhi, 0) - unit;
    if (step > 0)
        x = (x < 0 ? floor(x / step) : ceil(x / step)) * step;
    if (x == floor(x) && fabs(x) < 9e15)
        return aios__buf_addf(m->out, m->err, "%lld", (long long)x);
    return aios__buf_add_real(m->out, x, 15, m->err);
}

static int make_typed(maker *m, const aios__json *s, int depth)
{
    const char *t = type_of(s);
    if (!strcmp(t, "object"))
        return make_object(m, s, depth);
    if (!strcmp(t, "array"))
        return make_array(m, s, depth);
    if (!strcmp(t, "string"))
        return make_string(m, s);
    if (!strcmp(t, "integer") || !strcmp(t, "number"))
        return make_number(m, s, t[0] == 'i');
    return aios__buf_adds(m->out, !strcmp(t, "boolean") ? "false" : "null", m->err);
}

static int make(maker *m, const aios__json *s, int depth)
{
    if (depth > MAX_DEPTH)
        return no_value(m, "it is nested too deeply, or without end");
    const char *ref = aios__json_str(aios__json_get(s, "$ref"), NULL);
    if (ref) {
        const aios__json *target = resolve(m, ref);
        return target ? make(m, target, depth + 1) : no_value(m, "a $ref leads nowhere");
    }
    const aios__json *v = aios__json_get(s, "const");
    if (!v)
        v = aios__json_at(aios__json_get(s, "enum"), 0);
    if (v)
        return aios__json_write(v, m->out, m->err);
    static const char *const unions[] = {"anyOf", "oneOf", "allOf"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(unions); i++)
        if ((v = aios__json_at(aios__json_get(s, unions[i]), 0)) != NULL)
            return make(m, v, depth + 1);
    return make_typed(m, s, depth);
}

int aios__echo_minimal(aios_ctx *ctx, const char *schema, aios__buf *out, aios_error *err)
{
    aios__json_doc *doc;
    if (!schema)
        return aios__buf_adds(out, "{}", err);
    int rc = aios__json_parse(aios__ctx_heap(ctx), schema, strlen(schema), &doc, err);
    if (rc)
        return rc;
    size_t from = out->n;
    maker m = {.root = aios__json_root(doc), .out = out, .err = err};
    rc = make(&m, m.root, 0);
    aios__json_free(doc);
    if (rc || out->failed)
        return rc ? rc : out->failed;
    return aios_schema_check(ctx, schema, strlen(schema), out->p + from, out->n - from, err);
}
