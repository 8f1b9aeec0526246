/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/transcript_priv.h"

#define MAX_PARTS 4096u
#define MAX_ENTRIES 1000000u

static int check_name(const char *s, const char *what, uint32_t i, aios_error *err)
{
    if (s && !aios__utf8_valid(s, strlen(s)))
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: %s is not valid UTF-8", i, what);
    return AIOS_OK;
}

static int check_text(aios_part *p, uint32_t i, aios_error *err)
{
    if (aios__part_is_bytes(p->kind)) {
        if (!p->text && p->n_text)
            return aios__fail(err, AIOS_EINVAL, "parts[%u]: data is NULL but its length is %zu", i, p->n_text);
        if (p->n_text == AIOS_CSTR)
            return aios__fail(err, AIOS_EINVAL, "parts[%u]: data needs its length in bytes", i);
        return AIOS_OK;
    }
    int rc = aios__text_in(p->text, p->n_text, &p->n_text, "the text of a part", err);
    if (!rc && !aios__utf8_valid(p->text ? p->text : "", p->n_text))
        rc = aios__fail(err, AIOS_EINVAL, "parts[%u]: the text is not valid UTF-8; convert it first", i);
    return rc;
}

/* A part of a newer version is a JSON object whose kind is text. */
static int check_unknown(aios__heap *h, const aios_part *p, uint32_t i, aios_error *err)
{
    aios__json_doc *doc;
    int rc = aios__json_parse(h, p->text ? p->text : "", p->n_text, &doc, err);
    if (rc == AIOS_EFORMAT)
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: a part of unknown kind must be the JSON object it was read as", i);
    if (rc)
        return rc;
    if (!aios__json_str(aios__json_get(aios__json_root(doc), "kind"), NULL))
        rc = aios__fail(err, AIOS_EINVAL, "parts[%u]: a part of unknown kind must be a JSON object with a \"kind\"", i);
    aios__json_free(doc);
    return rc;
}

/* What it says of entries is checked here once: whoever reads it finds the members that there must be. */
static int check_context(aios__heap *h, const aios_entry *e, const aios_part *p, uint32_t i, aios_error *err)
{
    aios__json_doc *doc;
    if (e->role != AIOS_ROLE_SYSTEM || i || e->n_parts > 2)
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: a context part is the first of a system entry, with one text behind it at most", i);
    int rc = aios__json_parse(h, p->text ? p->text : "", p->n_text, &doc, err);
    if (!rc) {
        rc = aios__view_check(aios__json_root(doc), err);
        aios__json_free(doc);
    }
    return rc == AIOS_EFORMAT ? AIOS_EINVAL : rc;
}

/* Part i of the caller's array as a checked struct of this version. */
static int part_in(aios__heap *h, const aios_entry *e, uint32_t i, aios_part *p, aios_error *err)
{
    const char *src = (const char *)e->parts + (size_t)i * e->part_stride;
    size_t size;
    memcpy(&size, src, sizeof size);
    if (size > e->part_stride)
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: struct_size %zu is larger than part_stride %zu", i, size, e->part_stride);
    int rc = aios__struct_in(p, sizeof *p, src, err);
    if (rc)
        return rc;
    if (p->kind < AIOS_PART_TEXT || p->kind > AIOS_PART_CONTEXT)
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: kind %d is none of AIOS_PART_x", i, p->kind);
    if ((p->kind == AIOS_PART_CALL || p->kind == AIOS_PART_RESULT) && (!p->name || !p->call_id))
        return aios__fail(err, AIOS_EINVAL, "parts[%u]: a call or result needs name and call_id", i);
    rc = check_text(p, i, err);
    if (!rc)
        rc = check_name(p->name, "name", i, err);
    if (!rc)
        rc = check_name(p->call_id, "call_id", i, err);
    if (!rc)
        rc = check_name(p->mime, "mime", i, err);
    if (!rc && p->kind == AIOS_PART_UNKNOWN)
        rc = check_unknown(h, p, i, err);
    if (!rc && p->kind == AIOS_PART_CONTEXT)
        rc = check_context(h, e, p, i, err);
    return rc;
}

static int check_entry(const aios_entry *e, aios_error *err)
{
    if (e->role < AIOS_ROLE_SYSTEM || e->role > AIOS_ROLE_TOOL)
        return aios__fail(err, AIOS_EINVAL, "role %d is none of AIOS_ROLE_x", e->role);
    if (!e->parts || !e->n_parts)
        return aios__fail(err, AIOS_EINVAL, "an entry needs at least one part");
    if (e->n_parts > MAX_PARTS)
        return aios__fail_need(err, AIOS_EINVAL, MAX_PARTS, e->n_parts, "%u parts are more than the %u an entry may have", e->n_parts, MAX_PARTS);
    if (e->part_stride < sizeof(size_t) || e->part_stride % sizeof(size_t))
        return aios__fail(err, AIOS_EINVAL, "part_stride is %zu: set it to sizeof(aios_part)", e->part_stride);
    if (e->label.integrity < AIOS_LABEL_UNTRUSTED || e->label.integrity > AIOS_LABEL_SYSTEM)
        return aios__fail(err, AIOS_EINVAL, "label.integrity %d is none of AIOS_LABEL_x", e->label.integrity);
    return AIOS_OK;
}

static size_t str_size(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

/* Copies s behind the block's end and moves the end. */
static const char *put(char **at, const char *s, size_t n)
{
    char *p = *at;
    if (n)
        memcpy(p, s, n);
    p[n] = 0;
    *at += n + 1;
    return p;
}

static const char *put_str(char **at, const char *s)
{
    return s ? put(at, s, strlen(s)) : NULL;
}

static int entry_size(aios__heap *h, const aios_entry *e, const char *const *extra, size_t *total, aios_error *err)
{
    *total = sizeof(aios__entry) + e->n_parts * sizeof(aios_part) + (e->n_parts + 1) * sizeof(char *);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        aios_part p;
        int rc = part_in(h, e, i, &p, err);
        if (rc)
            return rc;
        size_t n = str_size(p.name) + str_size(p.call_id) + str_size(p.mime) + 1;
        if (!aios__add_size(n, p.n_text, &n) || !aios__add_size(*total, n, total))
            return aios__fail(err, AIOS_EINVAL, "parts[%u]: a text of %zu bytes is impossible", i, p.n_text);
    }
    for (uint32_t i = 0; extra && i <= e->n_parts; i++)
        *total += str_size(extra[i]);
    return AIOS_OK;
}

static int entry_new(aios__heap *h, const aios_entry *e, const char *const *extra, aios__entry **out, aios_error *err)
{
    size_t total;
    int rc = entry_size(h, e, extra, &total, err);
    if (rc)
        return rc;
    aios__entry *n = aios__alloc(h, AIOS_MEM_TEXT, total, err);
    if (!n)
        return aios__nomem(err);
    atomic_init(&n->refs, 1);
    n->pub = *e;
    n->pub.parts = n->parts;
    n->pub.part_stride = sizeof(aios_part);
    n->extra = (const char **)(n->parts + e->n_parts);
    char *at = (char *)(n->extra + e->n_parts + 1);
    for (uint32_t i = 0; i < e->n_parts; i++) {
        aios_part *p = &n->parts[i];
        const char *src = (const char *)e->parts + (size_t)i * e->part_stride;
        aios__struct_in(p, sizeof *p, src, NULL);
        if (p->n_text == AIOS_CSTR || !p->text)
            p->n_text = p->text ? strlen(p->text) : 0;
        p->text = put(&at, p->text, p->n_text);
        p->name = put_str(&at, p->name);
        p->call_id = put_str(&at, p->call_id);
        p->mime = put_str(&at, p->mime);
    }
    for (uint32_t i = 0; extra && i <= e->n_parts; i++)
        n->extra[i] = put_str(&at, extra[i]);
    *out = n;
    return AIOS_OK;
}

static void entry_unref(aios__heap *h, aios__entry *e)
{
    if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
        aios__free(h, e);
}

static int grow(aios_transcript *t, uint32_t need, aios_error *err)
{
    if (need <= t->cap)
        return AIOS_OK;
    if (need > MAX_ENTRIES)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_ENTRIES, need, "a transcript holds at most %u entries", MAX_ENTRIES);
    uint32_t cap = t->cap ? t->cap * 2 : 16;
    if (cap < need)
        cap = need;
    aios__entry **p = aios__realloc(t->heap, AIOS_MEM_TEXT, t->entries, cap * sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    t->entries = p;
    t->cap = cap;
    return AIOS_OK;
}

uint64_t aios__call_number(const char *id)
{
    uint64_t n = 0;
    if (strncmp(id, "call_", 5) || id[5] == '0')
        return 0;
    size_t n_digits = strspn(id + 5, "0123456789");
    for (size_t i = 5; n_digits <= 18 && i < 5 + n_digits; i++)
        n = n * 10 + (uint64_t)(id[i] - '0');
    return id[5 + n_digits] ? 0 : n;
}

static bool names_call(const aios_part *p)
{
    return p->kind == AIOS_PART_CALL || p->kind == AIOS_PART_RESULT;
}

static void count_calls(aios_transcript *t, const aios__entry *e)
{
    for (uint32_t i = 0; i < e->pub.n_parts; i++) {
        uint64_t n = names_call(&e->parts[i]) ? aios__call_number(e->parts[i].call_id) : 0;
        t->last_call = n > t->last_call ? n : t->last_call;
    }
}

bool aios__transcript_has_call(const aios_transcript *t, const char *id)
{
    bool found = false;
    if (aios__call_number(id) > t->last_call)
        return false;
    for (uint32_t i = 0; i < t->n && !found; i++)
        for (uint32_t k = 0; k < t->entries[i]->pub.n_parts && !found; k++)
            found = names_call(&t->entries[i]->parts[k]) && !strcmp(t->entries[i]->parts[k].call_id, id);
    return found;
}

uint64_t aios__transcript_last_call(const aios_transcript *t)
{
    return t ? t->last_call : 0;
}

int aios__transcript_append(aios_transcript *t, const aios_entry *e, const char *const *extra, uint64_t id, aios_error *err)
{
    aios__entry *n = NULL;
    int rc = check_entry(e, err);
    if (!rc)
        rc = grow(t, t->n + 1, err);
    if (!rc)
        rc = entry_new(t->heap, e, extra, &n, err);
    if (rc)
        return rc;
    n->pub.id = id ? id : t->next_id;
    t->next_id = n->pub.id + 1;
    t->entries[t->n++] = n;
    count_calls(t, n);
    return AIOS_OK;
}

int aios__transcript_share(aios_transcript *t, const aios_transcript *from, uint32_t i, aios_error *err)
{
    int rc = grow(t, t->n + 1, err);
    if (rc)
        return rc;
    atomic_fetch_add_explicit(&from->entries[i]->refs, 1, memory_order_relaxed);
    t->entries[t->n++] = from->entries[i];
    t->next_id = from->entries[i]->pub.id + 1;
    return AIOS_OK;
}

int aios_transcript_new(aios_ctx *ctx, aios_transcript **out, aios_error *err)
{
    if (!ctx || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_new: %s is NULL", ctx ? "t" : "ctx");
    *out = NULL;
    aios__heap *h = aios__ctx_heap(ctx);
    aios_transcript *t = aios__alloc(h, AIOS_MEM_TEXT, sizeof *t, err);
    if (!t)
        return aios__nomem(err);
    t->ctx = aios__ctx_ref(ctx);
    t->heap = h;
    t->next_id = 1;
    *out = t;
    return AIOS_OK;
}

int aios_transcript_add(aios_transcript *t, const aios_entry *entry, aios_error *err)
{
    if (!t || !entry)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_add: %s is NULL", t ? "entry" : "t");
    aios_entry e;
    int rc = aios__struct_in(&e, sizeof e, entry, err);
    return rc ? rc : aios__transcript_append(t, &e, NULL, 0, err);
}

int aios_transcript_add_text(aios_transcript *t, int32_t role, const char *s, size_t n, aios_error *err)
{
    if (!t || !s)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_add_text: %s is NULL", t ? "s" : "t");
    aios_part p = AIOS_INIT(aios_part);
    p.kind = AIOS_PART_TEXT;
    p.text = s;
    p.n_text = n;
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = role;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    e.label.integrity = role == AIOS_ROLE_SYSTEM ? AIOS_LABEL_SYSTEM : role == AIOS_ROLE_USER ? AIOS_LABEL_USER : AIOS_LABEL_UNTRUSTED;
    return aios__transcript_append(t, &e, NULL, 0, err);
}

uint32_t aios_transcript_count(const aios_transcript *t)
{
    return t ? t->n : 0;
}

int aios_transcript_at(const aios_transcript *t, uint32_t i, aios_entry *out)
{
    if (!t || !out || i >= t->n)
        return AIOS_EINVAL;
    return aios__struct_out(out, &t->entries[i]->pub, sizeof *out);
}

int aios_transcript_truncate(aios_transcript *t, uint32_t i, aios_error *err)
{
    if (!t)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_truncate: t is NULL");
    if (i > t->n)
        return aios__fail_need(err, AIOS_EINVAL, t->n, i, "the transcript has %u entries, %u cannot be kept", t->n, i);
    bool shorter = t->n > i;
    while (t->n > i)
        entry_unref(t->heap, t->entries[--t->n]);
    t->last_call = shorter ? 0 : t->last_call;
    for (uint32_t k = 0; shorter && k < i; k++)
        count_calls(t, t->entries[k]);
    return AIOS_OK;
}

int aios__transcript_share_from(aios_transcript *to, const aios_transcript *t, uint32_t from, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = from; i < t->n && !rc; i++)
        rc = aios__transcript_share(to, t, i, err);
    to->last_call = t->last_call > to->last_call ? t->last_call : to->last_call; /* of those left out, too: ids are unique in the whole */
    return rc;
}

int aios_transcript_copy(const aios_transcript *t, aios_transcript **out, aios_error *err)
{
    if (!t || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_transcript_copy: %s is NULL", t ? "out" : "t");
    *out = NULL;
    aios_transcript *c;
    int rc = aios_transcript_new(t->ctx, &c, err);
    if (rc)
        return rc;
    rc = grow(c, t->n, err);
    if (!rc && t->extra && !(c->extra = aios__strndup(c->heap, AIOS_MEM_TEXT, t->extra, strlen(t->extra), err)))
        rc = aios__nomem(err);
    if (rc) {
        aios_transcript_free(c);
        return rc;
    }
    for (uint32_t i = 0; i < t->n; i++) {
        atomic_fetch_add_explicit(&t->entries[i]->refs, 1, memory_order_relaxed);
        c->entries[c->n++] = t->entries[i];
    }
    c->next_id = t->next_id;
    c->last_call = t->last_call;
    *out = c;
    return AIOS_OK;
}

void aios_transcript_free(aios_transcript *t)
{
    if (!t)
        return;
    aios_transcript_truncate(t, 0, NULL);
    aios_ctx *ctx = t->ctx;
    aios__free(t->heap, t->entries);
    aios__free(t->heap, t->extra);
    aios__free(t->heap, t);
    aios_ctx_free(ctx);
}
