/* SPDX-License-Identifier: Apache-2.0 */
/* Tags in one form, so that a member is found as a part of the text: where they are compared, nothing may be allocated. */
#include "base/json.h"
#include "memory/memory_priv.h"

static bool is_plain(const aios__json *v)
{
    enum aios__json_type t = aios__json_type(v);
    return t == AIOS__JSON_STRING || t == AIOS__JSON_TRUE || t == AIOS__JSON_FALSE || aios__json_is_number(v);
}

static int write_tags(const aios__json *root, const char *what, aios__buf *out, aios_error *err)
{
    const char *key;
    const aios__json *v;
    if (aios__json_type(root) != AIOS__JSON_OBJECT)
        return aios__fail(err, AIOS_EINVAL, "%s: tags_json is no JSON object", what);
    for (void *it = aios__json_iter(root, NULL, &key, &v); it; it = aios__json_iter(root, it, &key, &v))
        if (!is_plain(v))
            return aios__fail(err, AIOS_EINVAL, "%s: tag \"%.60s\" is neither a text nor a number nor a boolean", what, key);
    return aios__json_write(root, out, err);
}

int aios__tags_read(aios_ctx *ctx, const char *json, const char *what, aios__buf *out, aios_error *err)
{
    aios__json_doc *doc;
    aios_error why = AIOS_INIT(aios_error);
    size_t n = strnlen(json, AIOS_MEMORY_MAX_TAGS + 1);
    if (n > AIOS_MEMORY_MAX_TAGS)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_TAGS, n, "%s: tags_json has more than %d bytes", what, AIOS_MEMORY_MAX_TAGS);
    int rc = aios__json_parse(aios__ctx_heap(ctx), json, n, &doc, &why);
    if (rc)
        return aios__fail_need(err, rc == AIOS_EFORMAT ? AIOS_EINVAL : rc, why.have, why.need, "%s: tags_json: %s", what, why.msg);
    rc = write_tags(aios__json_root(doc), what, out, err);
    aios__json_free(doc);
    return rc;
}

/* End of the member at s: its comma, or the bracket. */
static const char *member_end(const char *s, const char *end)
{
    bool inside = false;
    for (; s < end; s++) {
        if (*s == '"')
            inside = !inside;
        else if (inside && *s == '\\')
            s++;
        else if (!inside && (*s == ',' || *s == '}'))
            break;
    }
    return s < end ? s : end;
}

/* A quote behind a comma or bracket begins a member: one inside a text has a backslash in front, one that ends it has none of these behind. */
static bool has_member(const char *tags, size_t n, const char *m, size_t n_m)
{
    const char *end = tags + n, *p = tags;
    while ((p = memmem(p, (size_t)(end - p), m, n_m)) != NULL) {
        if (p > tags && (p[-1] == '{' || p[-1] == ',') && p + n_m < end && (p[n_m] == ',' || p[n_m] == '}'))
            return true;
        p++;
    }
    return false;
}

bool aios__tags_have(const char *tags, size_t n_tags, const char *want, size_t n_want)
{
    const char *end = want + n_want, *s = want + 1;
    while (s < end && *s != '}') {
        const char *e = member_end(s, end);
        if (!has_member(tags, n_tags, s, (size_t)(e - s)))
            return false;
        s = e + (e < end && *e == ',');
    }
    return true;
}
