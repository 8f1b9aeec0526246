/* SPDX-License-Identifier: Apache-2.0 */
/* Which schemas OpenAI's strict mode takes. The others go out as a wish; what comes back is checked here in both cases. */
#include <stdatomic.h>

#include "backend/http/quirks.h"

#define MAX_DEPTH 10u
#define MAX_PROPERTIES 5000u

static bool check(const aios__json *v, uint32_t depth, uint32_t *n);

static bool is_plain(const aios__json *v, uint32_t depth, uint32_t *n)
{
    AIOS__UNUSED(depth);
    AIOS__UNUSED(n);
    enum aios__json_type t = v ? aios__json_type(v) : AIOS__JSON_NULL;
    return t == AIOS__JSON_STRING || t == AIOS__JSON_INT || t == AIOS__JSON_REAL;
}

static bool is_format(const aios__json *v, uint32_t depth, uint32_t *n)
{
    static const char *const formats[] = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"};
    size_t k;
    const char *s = aios__json_str(v, &k);
    AIOS__UNUSED(depth);
    AIOS__UNUSED(n);
    for (size_t i = 0; s && i < AIOS__ARRAY_LEN(formats); i++)
        if (!strcmp(s, formats[i]))
            return true;
    return false;
}

static bool is_false(const aios__json *v, uint32_t depth, uint32_t *n)
{
    AIOS__UNUSED(depth);
    AIOS__UNUSED(n);
    return aios__json_type(v) == AIOS__JSON_FALSE;
}

static bool is_any(const aios__json *v, uint32_t depth, uint32_t *n)
{
    AIOS__UNUSED(v);
    AIOS__UNUSED(depth);
    AIOS__UNUSED(n);
    return true;
}

static bool each_member(const aios__json *v, uint32_t depth, uint32_t *n)
{
    const char *key;
    const aios__json *one;
    *n += (uint32_t)aios__json_count(v);
    for (void *it = aios__json_iter(v, NULL, &key, &one); it; it = aios__json_iter(v, it, &key, &one))
        if (!check(one, depth + 1, n))
            return false;
    return *n <= MAX_PROPERTIES;
}

static bool each_element(const aios__json *v, uint32_t depth, uint32_t *n)
{
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (!check(aios__json_at(v, i), depth + 1, n))
            return false;
    return aios__json_count(v) > 0;
}

static bool deeper(const aios__json *v, uint32_t depth, uint32_t *n)
{
    return check(v, depth + 1, n);
}

static const struct {
    const char *name;
    bool (*fn)(const aios__json *v, uint32_t depth, uint32_t *n);
} keywords[] = {
    {"type", is_any},           {"description", is_any},      {"title", is_any},      {"enum", is_any},
    {"const", is_any},          {"required", is_any},         {"$ref", is_plain},     {"$defs", each_member},
    {"definitions", each_member}, {"properties", each_member}, {"items", deeper},     {"anyOf", each_element},
    {"additionalProperties", is_false}, {"pattern", is_plain}, {"format", is_format}, {"multipleOf", is_plain},
    {"minimum", is_plain},      {"maximum", is_plain},        {"exclusiveMinimum", is_plain}, {"exclusiveMaximum", is_plain},
    {"minItems", is_plain},     {"maxItems", is_plain},
};

static bool is_required(const aios__json *required, const char *key)
{
    for (size_t i = 0; i < aios__json_count(required); i++) {
        size_t n;
        const char *s = aios__json_str(aios__json_at(required, i), &n);
        if (s && !strcmp(s, key))
            return true;
    }
    return false;
}

static bool is_object(const aios__json *v)
{
    size_t n;
    const aios__json *type = aios__json_get(v, "type");
    const char *s = aios__json_str(type, &n);
    return s ? !strcmp(s, "object") : is_required(type, "object") || aios__json_get(v, "properties");
}

/* Every property is required, and there are no others. */
static bool is_closed(const aios__json *v)
{
    const char *key;
    const aios__json *one, *properties = aios__json_get(v, "properties"), *required = aios__json_get(v, "required");
    for (void *it = aios__json_iter(properties, NULL, &key, &one); it; it = aios__json_iter(properties, it, &key, &one))
        if (!is_required(required, key))
            return false;
    return aios__json_get(v, "additionalProperties") && aios__json_count(required) == aios__json_count(properties);
}

static bool check(const aios__json *v, uint32_t depth, uint32_t *n)
{
    const char *key;
    const aios__json *one;
    if (aios__json_type(v) != AIOS__JSON_OBJECT || depth > MAX_DEPTH || !aios__json_count(v) || (is_object(v) && !is_closed(v)))
        return false;
    for (void *it = aios__json_iter(v, NULL, &key, &one); it; it = aios__json_iter(v, it, &key, &one)) {
        size_t i = 0;
        while (i < AIOS__ARRAY_LEN(keywords) && strcmp(keywords[i].name, key))
            i++;
        if (i == AIOS__ARRAY_LEN(keywords) || !keywords[i].fn(one, depth, n))
            return false;
    }
    return true;
}

bool aios__schema_is_strict(const aios__json *schema)
{
    uint32_t n = 0;
    size_t k;
    const char *type = schema ? aios__json_str(aios__json_get(schema, "type"), &k) : NULL;
    return type && !strcmp(type, "object") && !aios__json_get(schema, "anyOf") && check(schema, 0, &n);
}

int aios__put_strict(const aios__server *s, aios__buf *b, const char *schema, aios_error *err)
{
    aios__json_doc *doc = NULL;
    bool strict = false;
    if (schema && !(atomic_load(&s->quirks) & AIOS__QUIRK_LOOSE)) {
        aios_error why = AIOS_INIT(aios_error);
        int rc = aios__json_parse(b->heap, schema, strlen(schema), &doc, &why);
        if (rc && rc != AIOS_EFORMAT) /* what the parser does not take, such as numbers beyond 64 bits, is not strict */
            return aios__error_copy(err, &why);
        strict = !rc && aios__schema_is_strict(aios__json_root(doc));
        aios__json_free(doc);
    }
    aios__put_comma(b, err);
    aios__buf_adds(b, AIOS__STRICT, err);
    return aios__buf_adds(b, strict ? "true" : "false", err);
}
