/* SPDX-License-Identifier: Apache-2.0 */
/* {"aios_transcript":1,"entries":[...]}: members in one fixed order, unknown ones behind them as they came. */
#include <stdio.h>

#include "base/json.h"
#include "llm/transcript_priv.h"

#define FORMAT_VERSION 1

static const char *const role_names[] = {NULL, "system", "user", "assistant", "tool"};
static const char *const kind_names[] = {NULL, "text", "reasoning", "call", "result", "image", "audio", "data", NULL, "context"};
static const char *const label_names[] = {"untrusted", "tool", "user", "system"};

static const char *const root_keys[] = {"aios_transcript", "entries", NULL};
static const char *const entry_keys[] = {"id", "role", "label", "confidentiality", "parts", NULL};
static const char *const part_keys[] = {"kind", "name", "call_id", "status", "mime", "text", "data", NULL};

static int32_t find_name(const char *const *names, size_t n, const char *s)
{
    for (size_t i = 0; s && i < n; i++)
        if (names[i] && !strcmp(names[i], s))
            return (int32_t)i;
    return -1;
}

/* ---- base64 (RFC 4648, with padding) ------------------------------------------------------------------------------ */

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int write_base64(aios__buf *out, const char *s, size_t n, aios_error *err)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        char q[4] = {b64[v >> 18], b64[v >> 12 & 63], i + 1 < n ? b64[v >> 6 & 63] : '=', i + 2 < n ? b64[v & 63] : '='};
        int rc = aios__buf_add(out, q, 4, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

static int read_base64(aios__buf *out, const char *s, size_t n, aios_error *err)
{
    if (n % 4)
        return AIOS_EFORMAT;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t v = 0, pad = 0;
        for (size_t k = 0; k < 4; k++) {
            const char *at = s[i + k] ? strchr(b64, s[i + k]) : NULL;
            bool is_pad = s[i + k] == '=' && k >= 2 && i + 4 == n;
            if (is_pad ? false : !at || pad)
                return AIOS_EFORMAT;
            pad += is_pad;
            v = v << 6 | (is_pad ? 0 : (uint32_t)(at - b64));
        }
        char b[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        int rc = aios__buf_add(out, b, 3 - pad, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/* ---- write -------------------------------------------------------------------------------------------------------- */

static void write_member(aios__buf *b, const char *key, const char *s, size_t n, aios_error *err)
{
    if (!s)
        return;
    aios__buf_addf(b, err, ",\"%s\":", key);
    aios__buf_add_json(b, s, n, err);
}

static void write_str(aios__buf *b, const char *key, const char *s, aios_error *err)
{
    write_member(b, key, s, s ? strlen(s) : 0, err);
}

static void write_part(aios__buf *b, const aios_part *p, const char *extra, aios_error *err)
{
    if (p->kind == AIOS_PART_UNKNOWN) {
        aios__buf_add(b, p->text, p->n_text, err);
        return;
    }
    aios__buf_addf(b, err, "{\"kind\":\"%s\"", kind_names[p->kind]);
    write_str(b, "name", p->name, err);
    write_str(b, "call_id", p->call_id, err);
    if (p->status)
        aios__buf_addf(b, err, ",\"status\":%d", p->status);
    write_str(b, "mime", p->mime, err);
    if (aios__part_is_bytes(p->kind)) {
        aios__buf_adds(b, ",\"data\":\"", err);
        write_base64(b, p->text, p->n_text, err);
        aios__buf_addc(b, '"', err);
    } else {
        write_member(b, "text", p->text, p->n_text, err);
    }
    aios__buf_adds(b, extra ? extra : "", err);
    aios__buf_addc(b, '}', err);
}

static int write_entry(aios__buf *b, const aios__entry *e, aios_error *err)
{
    aios__buf_addf(b, err, "{\"id\":%llu,\"role\":\"%s\",\"label\":\"%s\"", (unsigned long long)e->pub.id, role_names[e->pub.role],
                   label_names[e->pub.label.integrity]);
    if (e->pub.label.confidentiality)
        aios__buf_addf(b, err, ",\"confidentiality\":\"%llx\"", (unsigned long long)e->pub.label.confidentiality);
    aios__buf_adds(b, ",\"parts\":[", err);
    for (uint32_t i = 0; i < e->pub.n_parts; i++) {
        if (i)
            aios__buf_addc(b, ',', err);
        write_part(b, &e->parts[i], e->extra[i], err);
    }
    aios__buf_addc(b, ']', err);
    aios__buf_adds(b, e->extra[e->pub.n_parts] ? e->extra[e->pub.n_parts] : "", err);
    return aios__buf_addc(b, '}', err);
}

static int flush(aios__buf *b, aios_write_fn *fn, void *user, aios_error *err)
{
    if (b->failed)
        return b->failed;
    int rc = fn(user, b->p, b->n);
    aios__buf_clear(b);
    return rc < 0 ? aios__fail(err, rc, "the receiver of the JSON text stopped: %s", aios_strerror(rc)) : AIOS_OK;
}

int aios_transcript_write_json(const aios_transcript *t, aios_write_fn *fn, void *user, aios_error *err)
{
    if (!t || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_write_json: %s is NULL", t ? "fn" : "t");
    aios__buf b;
    aios__buf_init(&b, t->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_addf(&b, err, "{\"aios_transcript\":%d,\"entries\":[", FORMAT_VERSION);
    for (uint32_t i = 0; i < t->n && !rc; i++) {
        if (i)
            aios__buf_addc(&b, ',', err);
        write_entry(&b, t->entries[i], err);
        rc = flush(&b, fn, user, err);
    }
    if (!rc)
        rc = aios__buf_addf(&b, err, "]%s}", t->extra ? t->extra : "");
    if (!rc)
        rc = flush(&b, fn, user, err);
    aios__buf_free(&b);
    return rc;
}

int aios__transcript_write_from(const aios_transcript *t, uint32_t from, aios__buf *out, aios_error *err)
{
    aios__buf_addf(out, err, "{\"aios_transcript\":%d,\"entries\":[", FORMAT_VERSION);
    for (uint32_t i = from; i < t->n && !out->failed; i++) {
        if (i > from)
            aios__buf_addc(out, ',', err);
        write_entry(out, t->entries[i], err);
    }
    return aios__buf_addf(out, err, "]%s}", t->extra && !from ? t->extra : "");
}

/* ---- read --------------------------------------------------------------------------------------------------------- */

/* What one entry is read into; the texts are borrowed from the document or lie in the buffers. */
typedef struct reader {
    aios_transcript *t;
    uint32_t i;          /* entry */
    aios_part *parts;
    aios__buf *bufs;     /* one a part (data, raw JSON), then n_parts + 1 of extras */
    const char **extra;
    uint32_t n_parts;
} reader;

/* Members of obj that are not in known, as ,"key":value each; "" becomes NULL in *out. */
static int read_extra(const aios__json *obj, const char *const *known, aios__buf *b, const char **out, aios_error *err)
{
    const char *key;
    const aios__json *v;
    size_t n_known = 0;
    while (known[n_known])
        n_known++;
    for (void *it = aios__json_iter(obj, NULL, &key, &v); it; it = aios__json_iter(obj, it, &key, &v)) {
        if (find_name(known, n_known, key) >= 0)
            continue;
        aios__buf_addc(b, ',', err);
        aios__buf_add_json(b, key, strlen(key), err);
        aios__buf_addc(b, ':', err);
        aios__json_write(v, b, err);
    }
    *out = b->n ? b->p : NULL;
    return b->failed;
}

static int bad(const reader *r, uint32_t part, const char *what, aios_error *err)
{
    if (part == UINT32_MAX)
        return aios__fail(err, AIOS_EFORMAT, "transcript, entries[%u]: %s", r->i, what);
    return aios__fail(err, AIOS_EFORMAT, "transcript, entries[%u].parts[%u]: %s", r->i, part, what);
}

static int read_str(const reader *r, uint32_t k, const aios__json *obj, const char *key, const char **s, size_t *n, aios_error *err)
{
    const aios__json *v = aios__json_get(obj, key);
    *s = aios__json_str(v, n);
    if (v && !*s) {
        char what[64];
        snprintf(what, sizeof what, "\"%s\" must be a string", key);
        return bad(r, k, what, err);
    }
    return AIOS_OK;
}

static int read_part(reader *r, uint32_t k, const aios__json *v, aios_error *err)
{
    aios_part *p = &r->parts[k];
    const char *kind, *data = NULL;
    size_t n_data = 0;
    *p = (aios_part)AIOS_INIT(aios_part);
    if (aios__json_type(v) != AIOS__JSON_OBJECT || !(kind = aios__json_str(aios__json_get(v, "kind"), NULL)))
        return bad(r, k, "must be an object with a \"kind\"", err);
    p->kind = find_name(kind_names, AIOS__ARRAY_LEN(kind_names), kind);
    aios__buf *b = &r->bufs[k];
    if (p->kind < 0) {
        p->kind = AIOS_PART_UNKNOWN;
        int rc = aios__json_write(v, b, err);
        p->text = b->p;
        p->n_text = b->n;
        return rc ? rc : b->failed;
    }
    int rc = read_str(r, k, v, "name", &p->name, NULL, err);
    if (!rc)
        rc = read_str(r, k, v, "call_id", &p->call_id, NULL, err);
    if (!rc)
        rc = read_str(r, k, v, "mime", &p->mime, NULL, err);
    if (!rc)
        rc = read_str(r, k, v, "text", &p->text, &p->n_text, err);
    if (!rc)
        rc = read_str(r, k, v, "data", &data, &n_data, err);
    if (rc)
        return rc;
    const aios__json *code = aios__json_get(v, "status");
    int64_t status = aios__json_int(code, code ? INT64_MAX : 0);
    if (status < INT32_MIN || status > INT32_MAX)
        return bad(r, k, "\"status\" must be a whole number of 32 bits", err);
    p->status = (int32_t)status;
    if (!aios__part_is_bytes(p->kind))
        return p->text && !data ? read_extra(v, part_keys, &r->bufs[r->n_parts + k], &r->extra[k], err) : bad(r, k, "needs \"text\"", err);
    if (!data || p->text)
        return bad(r, k, "needs \"data\"", err);
    rc = read_base64(b, data, n_data, err);
    if (rc == AIOS_EFORMAT)
        return bad(r, k, "\"data\" is not base64", err);
    p->text = b->p;
    p->n_text = b->n;
    return rc ? rc : read_extra(v, part_keys, &r->bufs[r->n_parts + k], &r->extra[k], err);
}

static int read_confidentiality(const reader *r, const aios__json *v, uint64_t *out, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(v, &n);
    *out = 0;
    if (!v)
        return AIOS_OK;
    for (size_t i = 0; s && n && n <= 16 && i < n; i++) {
        const char *hex = "0123456789abcdef", *at = strchr(hex, s[i]);
        if (!at)
            return bad(r, UINT32_MAX, "\"confidentiality\" must be lower-case hexadecimal text", err);
        *out = *out << 4 | (uint64_t)(at - hex);
    }
    return s && n && n <= 16 ? AIOS_OK : bad(r, UINT32_MAX, "\"confidentiality\" must be 1 to 16 hexadecimal digits", err);
}

static int read_head(const reader *r, const aios__json *v, aios_entry *e, aios_error *err)
{
    if (aios__json_type(v) != AIOS__JSON_OBJECT)
        return bad(r, UINT32_MAX, "must be an object", err);
    int64_t id = aios__json_int(aios__json_get(v, "id"), -1);
    e->role = find_name(role_names, AIOS__ARRAY_LEN(role_names), aios__json_str(aios__json_get(v, "role"), NULL));
    e->label.integrity = find_name(label_names, AIOS__ARRAY_LEN(label_names), aios__json_str(aios__json_get(v, "label"), NULL));
    if (id < 1 || (uint64_t)id < r->t->next_id || id == INT64_MAX)
        return bad(r, UINT32_MAX, "\"id\" must be a whole number above the one before", err);
    e->id = (uint64_t)id;
    if (e->role < 0)
        return bad(r, UINT32_MAX, "\"role\" must be system, user, assistant or tool", err);
    if (e->label.integrity < 0)
        return bad(r, UINT32_MAX, "\"label\" must be untrusted, tool, user or system", err);
    return read_confidentiality(r, aios__json_get(v, "confidentiality"), &e->label.confidentiality, err);
}

static int read_parts(reader *r, const aios__json *v, aios_entry *e, aios_error *err)
{
    aios__heap *h = r->t->heap;
    const aios__json *parts = aios__json_get(v, "parts");
    size_t n = aios__json_count(parts);
    if (aios__json_type(parts) != AIOS__JSON_ARRAY || !n || n > 4096)
        return bad(r, UINT32_MAX, "\"parts\" must be an array of 1 to 4096 parts", err);
    r->n_parts = (uint32_t)n;
    r->parts = aios__alloc_array(h, AIOS_MEM_TEXT, n, sizeof *r->parts, err);
    r->bufs = r->parts ? aios__alloc_array(h, AIOS_MEM_TEXT, 2 * n + 1, sizeof *r->bufs, err) : NULL;
    r->extra = r->bufs ? aios__alloc_array(h, AIOS_MEM_TEXT, n + 1, sizeof *r->extra, err) : NULL;
    if (!r->extra)
        return aios__nomem(err);
    for (size_t i = 0; i < 2 * n + 1; i++)
        aios__buf_init(&r->bufs[i], h, AIOS_MEM_TEXT, 0);
    for (uint32_t k = 0; k < n; k++) {
        int rc = read_part(r, k, aios__json_at(parts, k), err);
        if (rc)
            return rc;
    }
    e->parts = r->parts;
    e->n_parts = r->n_parts;
    e->part_stride = sizeof(aios_part);
    return read_extra(v, entry_keys, &r->bufs[2 * n], &r->extra[n], err);
}

static int read_entry(aios_transcript *t, uint32_t i, const aios__json *v, aios_error *err)
{
    reader r = {.t = t, .i = i};
    aios_entry e = AIOS_INIT(aios_entry);
    int rc = read_head(&r, v, &e, err);
    if (!rc)
        rc = read_parts(&r, v, &e, err);
    if (!rc)
        rc = aios__transcript_append(t, &e, r.extra, e.id, err);
    if (rc == AIOS_EINVAL) {
        aios_error was = AIOS_INIT(aios_error);
        aios__error_copy(&was, err);
        rc = bad(&r, UINT32_MAX, was.msg[0] ? was.msg : "a part is not acceptable", err);
    }
    for (uint32_t k = 0; r.bufs && k < 2 * r.n_parts + 1; k++)
        aios__buf_free(&r.bufs[k]);
    aios__free(t->heap, r.parts);
    aios__free(t->heap, r.bufs);
    aios__free(t->heap, r.extra);
    return rc;
}

int aios__transcript_add_json(aios_transcript *t, const aios__json *root, aios_error *err)
{
    const aios__json *version = aios__json_get(root, "aios_transcript"), *entries = aios__json_get(root, "entries");
    int64_t v = aios__json_int(version, -1);
    if (v < 1)
        return aios__fail(err, AIOS_EFORMAT, "this JSON is no transcript: it must be an object with \"aios_transcript\":1");
    if (v > FORMAT_VERSION)
        return aios__fail_need(err, AIOS_EVERSION, FORMAT_VERSION, (uint64_t)v,
                               "the transcript has format version %lld, this library reads up to %d: update libaios", (long long)v, FORMAT_VERSION);
    if (aios__json_type(entries) != AIOS__JSON_ARRAY)
        return aios__fail(err, AIOS_EFORMAT, "transcript: \"entries\" must be an array");
    for (size_t i = 0; i < aios__json_count(entries); i++) {
        int rc = read_entry(t, (uint32_t)i, aios__json_at(entries, i), err);
        if (rc)
            return rc;
    }
    if (t->extra)
        return AIOS_OK; /* a piece of a transcript that has them */
    aios__buf b;
    const char *extra;
    aios__buf_init(&b, t->heap, AIOS_MEM_TEXT, 0);
    int rc = read_extra(root, root_keys, &b, &extra, err);
    if (rc)
        aios__buf_free(&b);
    else
        t->extra = b.p; /* same heap, same kind: the transcript owns it now */
    return rc;
}

int aios_transcript_read_json(aios_ctx *ctx, const char *s, size_t n, aios_transcript **out, aios_error *err)
{
    if (!ctx || !s || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_read_json: an argument is NULL");
    *out = NULL;
    aios__json_doc *doc;
    aios_transcript *t;
    aios_error local = AIOS_INIT(aios_error);
    if (n == AIOS_CSTR)
        n = strlen(s);
    int rc = aios__json_parse(aios__ctx_heap(ctx), s, n, &doc, &local);
    if (!rc) {
        rc = aios_transcript_new(ctx, &t, &local);
        if (!rc) {
            rc = aios__transcript_add_json(t, aios__json_root(doc), &local);
            if (rc)
                aios_transcript_free(t);
            else
                *out = t;
        }
        aios__json_free(doc);
    }
    if (rc)
        aios__error_copy(err, &local);
    return rc;
}
