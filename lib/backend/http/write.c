/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of encoders: members of JSON objects, parts of entries. */
#include <stdio.h>

#include "backend/http/dialect.h"

int aios__put_args(aios__buf *b, const char *key, const aios_part *p, aios_error *err)
{
    aios__json_doc *doc = NULL;
    aios_error why = AIOS_INIT(aios_error);
    aios__put_key(b, key, err);
    if (!p->n_text)
        return aios__buf_adds(b, "{}", err);
    int rc = aios__json_parse(b->heap, p->text, p->n_text, &doc, &why);
    if (rc && rc != AIOS_EFORMAT)
        return b->failed = aios__error_copy(err, &why);
    bool object = !rc && aios__json_type(aios__json_root(doc)) == AIOS__JSON_OBJECT;
    aios__json_free(doc);
    if (object)
        return aios__buf_add(b, p->text, p->n_text, err);
    aios__buf_adds(b, "{\"invalid_arguments\":", err);
    aios__buf_add_json(b, p->text, p->n_text, err);
    return aios__buf_addc(b, '}', err);
}

void aios__put_back(aios__buf *b, size_t n)
{
    if (n < b->n) {
        b->n = n;
        b->p[n] = 0;
    }
}

int aios__put_base64(aios__buf *b, const void *p, size_t n, aios_error *err)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = p;
    int rc = aios__buf_reserve(b, (n + 2) / 3 * 4, err);
    for (size_t i = 0; !rc && i < n; i += 3) {
        uint32_t v = (uint32_t)s[i] << 16 | (i + 1 < n ? (uint32_t)s[i + 1] << 8 : 0) | (i + 2 < n ? s[i + 2] : 0);
        const char out[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=', i + 2 < n ? digits[v & 63] : '='};
        rc = aios__buf_add(b, out, sizeof out, err);
    }
    return rc;
}

int aios__put_data_url(aios__buf *b, const char *key, const aios_part *p, const char *type, aios_error *err)
{
    const char *mime = p->mime && *p->mime ? p->mime : type;
    aios__put_key(b, key, err);
    aios__buf_adds(b, "\"data:", err);
    for (; *mime; mime++) /* a type has no quotes; what has goes without them */
        if (*mime > ' ' && *mime < 0x7f && *mime != '"' && *mime != '\\')
            aios__buf_addc(b, *mime, err);
    aios__buf_adds(b, ";base64,", err);
    aios__put_base64(b, p->text, p->n_text, err);
    return aios__buf_addc(b, '"', err);
}

const char *aios__audio_format(const aios_part *p)
{
    static const struct {
        const char *mime, *format;
    } rows[] = {{"audio/wav", "wav"}, {"audio/x-wav", "wav"}, {"audio/wave", "wav"}, {"audio/mpeg", "mp3"}, {"audio/mp3", "mp3"}};
    if (!p->mime)
        return "wav";
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (!strcmp(p->mime, rows[i].mime))
            return rows[i].format;
    return NULL;
}

bool aios__part_is_text(const aios_part *p)
{
    bool text = p->mime && (!strncmp(p->mime, "text/", 5) || !strcmp(p->mime, "application/json"));
    return text && aios__utf8_valid(p->text, p->n_text);
}

const char *aios__effort_of(uint32_t max_reasoning)
{
    return max_reasoning <= 1024 ? "low" : max_reasoning <= 8192 ? "medium" : "high";
}

const aios_part *aios__part_at(const aios_entry *e, uint32_t i)
{
    return (const aios_part *)(const void *)((const char *)e->parts + i * e->part_stride);
}

int aios__put_text(aios__buf *b, const aios_entry *e, aios_error *err)
{
    aios__buf text;
    bool any = false;
    aios__buf_init(&text, b->heap, AIOS_MEM_TEXT, 0);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind != AIOS_PART_TEXT && p->kind != AIOS_PART_RESULT)
            continue;
        if (any)
            aios__buf_addc(&text, '\n', err);
        any = true;
        aios__buf_add(&text, p->text, p->n_text, err);
    }
    int rc = text.failed ? text.failed : aios__buf_add_json(b, text.p ? text.p : "", text.n, err);
    aios__buf_free(&text);
    return rc;
}

const char *aios__seal_of(const aios__server *s)
{
    return s->seal ? s->seal : s->dialect->name;
}

const char *aios__part_signature(const aios_part *p, const aios__server *server, const char *kind)
{
    const char *seal = aios__seal_of(server), *s = p->kind == AIOS_PART_REASONING ? p->call_id : NULL;
    size_t n = strlen(seal), k = strlen(kind);
    bool same = s && !strncmp(s, seal, n) && s[n] == '/' && !strncmp(s + n + 1, kind, k) && s[n + 1 + k] == ' ';
    return same ? s + n + k + 2 : NULL;
}

const char *aios__str_of(const aios__json *obj, const char *key)
{
    size_t n;
    const char *s = aios__json_str(aios__json_get(obj, key), &n);
    return s ? s : "";
}

int aios__put_refuse(const aios__server *s, const aios_part *p, aios_error *err)
{
    static const char *const names[] = {"?", "text", "reasoning", "a call", "a result", "an image", "audio", "data", "a part of an unknown kind"};
    const char *name = p->kind > 0 && (size_t)p->kind < AIOS__ARRAY_LEN(names) ? names[p->kind] : names[0];
    return aios__fail(err, AIOS_ENOTSUP, "%s has no way to carry %s%s%s here: leave it out, or use another model", s->dialect->title, name,
                      p->mime ? " of type " : "", p->mime ? p->mime : "");
}

int aios__put_tool(aios__buf *b, const aios_tool_def *t, const char *schema_key, aios_error *err)
{
    aios__put_str(b, "name", t->name, AIOS_CSTR, err);
    aios__put_str(b, "description", t->description, AIOS_CSTR, err);
    return aios__put_raw(b, schema_key, t->schema_json ? t->schema_json : "{\"type\":\"object\",\"properties\":{}}", err);
}

int aios__put_results(const aios__server *s, aios__buf *b, const aios_entry *e, int (*fn)(aios__buf *b, const aios_part *p, aios_error *err), aios_error *err)
{
    int rc = b->failed;
    for (uint32_t i = 0; !rc && i < e->n_parts; i++) {
        const aios_part *p = aios__part_at(e, i);
        if (p->kind != AIOS_PART_RESULT)
            return aios__put_refuse(s, p, err);
        aios__put_comma(b, err);
        rc = fn(b, p, err);
    }
    return rc;
}

int aios__put_listed(aios__buf *out, const char *id, int64_t context, aios_error *err)
{
    aios__put_comma(out, err);
    aios__buf_addc(out, '{', err);
    aios__put_str(out, "id", id, AIOS_CSTR, err);
    if (context > 0)
        aios__put_int(out, "context", context, err);
    return aios__buf_addc(out, '}', err);
}

int aios__read_count(const aios__json *v, const char *key, uint32_t *n, aios_error *err)
{
    int64_t count = aios__json_int(aios__json_get(v, key), -1);
    if (count < 0 || count > UINT32_MAX)
        return aios__fail(err, AIOS_EPROTO, "the answer to a count of tokens has no %s", key);
    *n = (uint32_t)count;
    return AIOS_OK;
}
