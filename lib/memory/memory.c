/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapper of every memory: checks arguments and limits, then calls the slot. */
#include <stdatomic.h>
#include <stdio.h>

#include "memory/memory.h"
#include "memory/memory_priv.h"

#define MAX_URI 4096u
#define DEFAULT_HITS 10u
#define DEFAULT_ITEMS 1000000u
#define DEFAULT_BYTES ((uint64_t)1 << 30)

struct aios_memory {
    _Atomic uint32_t refs;
    uint32_t flags;
    aios_ctx *ctx;
    const aios__kind *kind;
    const aios_memory_ops *ops; /* of the kind */
    void *self;
};

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static int read_config(const aios_memory_config *cfg, aios_memory_config *out, aios_error *err)
{
    int rc = aios__struct_in(out, sizeof *out, cfg, err);
    if (!rc && (out->flags & ~(uint32_t)(AIOS_MEMORY_READ_ONLY | AIOS_MEMORY_RELAXED | AIOS_MEMORY_EVICT)))
        return aios__fail(err, AIOS_EVERSION, "aios_memory_open: flags 0x%x are not known here: update libaios", out->flags);
    if (!rc && (out->tokenizer < 0 || out->tokenizer > AIOS_MEMORY_TRIGRAMS))
        return aios__fail(err, AIOS_EVERSION, "aios_memory_open: tokenizer %d is not known here: update libaios", out->tokenizer);
    out->max_items = out->max_items ? out->max_items : DEFAULT_ITEMS;
    out->max_bytes = out->max_bytes ? out->max_bytes : DEFAULT_BYTES;
    if (!rc && (out->max_items > INT64_MAX || out->max_bytes > INT64_MAX))
        return aios__fail(err, AIOS_EINVAL, "aios_memory_open: %s is beyond 2^63", out->max_items > INT64_MAX ? "max_items" : "max_bytes");
    return rc;
}

static int open_kind(aios_memory *m, const char *path, const aios_memory_config *c, aios_error *err)
{
    aios_memory_open_args args = {.struct_size = sizeof args, .ctx = m->ctx, .path = path, .flags = c->flags, .tokenizer = c->tokenizer,
                                  .max_items = c->max_items, .max_bytes = c->max_bytes, .user = m->kind->user};
    return m->ops->open(&args, &m->self, err);
}

int aios_memory_open(aios_ctx *ctx, const char *uri, const aios_memory_config *cfg, aios_memory **out, aios_error *err)
{
    aios_memory_config c;
    const aios__kind *kind;
    const char *path;
    if (!ctx || !uri || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_memory_open: %s is NULL", !ctx ? "ctx" : !uri ? "uri" : "m");
    *out = NULL;
    size_t n = strnlen(uri, MAX_URI + 1);
    if (n > MAX_URI || !aios__utf8_valid(uri, n))
        return aios__fail(err, AIOS_EINVAL, "the URI of a memory is UTF-8 text of at most %u bytes", MAX_URI);
    int rc = read_config(cfg, &c, err);
    rc = rc ? rc : aios__memory_kind_find(ctx, uri, &kind, &path, err);
    if (rc)
        return rc;
    aios_memory *m = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return aios__error_code(err, AIOS_ENOMEM);
    atomic_init(&m->refs, 1);
    m->ctx = aios__ctx_ref(ctx);
    m->flags = c.flags;
    m->kind = kind;
    m->ops = kind->ops;
    rc = open_kind(m, path, &c, err);
    if (rc) {
        aios__free(aios__ctx_heap(ctx), m);
        aios_ctx_free(ctx);
        return rc;
    }
    *out = m;
    return AIOS_OK;
}

aios_memory *aios_memory_ref(aios_memory *m)
{
    if (m)
        atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void aios_memory_close(aios_memory *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = m->ctx;
    m->ops->close(m->self);
    aios__free(aios__ctx_heap(ctx), m);
    aios_ctx_free(ctx);
}

aios_ctx *aios__memory_ctx(const aios_memory *m)
{
    return m->ctx;
}

int aios_memory_info_get(aios_memory *m, aios_memory_info *out)
{
    if (!m || !out)
        return AIOS_EINVAL;
    aios_memory_info i = AIOS_INIT(aios_memory_info);
    if (m->ops->info)
        m->ops->info(m->self, &i);
    i.name = m->kind->name;
    i.flags = m->flags;
    return aios__struct_out(out, &i, sizeof i);
}

static int64_t now(const aios_memory *m)
{
    const aios_env *env = aios__ctx_env(m->ctx);
    return env->wall_us(env->user);
}

static int check_writable(const aios_memory *m, const char *what, aios_error *err)
{
    return m->flags & AIOS_MEMORY_READ_ONLY ? aios__fail(err, AIOS_ESTATE, "%s: the memory was opened READ_ONLY", what) : AIOS_OK;
}

/* ---- items -------------------------------------------------------------------------------------------------------- */

/* A short text on one line; NULL is "". */
static int read_name(const char **s, size_t max, const char *what, const char *field, aios_error *err)
{
    *s = *s ? *s : "";
    size_t n = strnlen(*s, max + 1);
    if (n > max)
        return aios__fail_need(err, AIOS_ELIMIT, max, n, "%s: %s has more than %zu bytes", what, field, max);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)(*s)[i] < 32 || (*s)[i] == 127)
            return aios__fail(err, AIOS_EINVAL, "%s: %s holds a control character", what, field);
    return aios__utf8_valid(*s, n) ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "%s: %s is not valid UTF-8", what, field);
}

static int read_text(aios_item *it, const char *what, aios_error *err)
{
    char field[96];
    snprintf(field, sizeof field, "%s: text", what);
    int rc = aios__text_in(it->text, it->n_text, &it->n_text, field, err);
    if (rc)
        return rc;
    if (!it->n_text)
        return aios__fail(err, AIOS_EINVAL, "%s: the text is empty", what);
    if (it->n_text > AIOS_MEMORY_MAX_TEXT)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_TEXT, it->n_text, "%s: the text has %zu bytes, at most %d are kept: cut it into several items",
                               what, it->n_text, AIOS_MEMORY_MAX_TEXT);
    return aios__utf8_valid(it->text, it->n_text) ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "%s: the text is not valid UTF-8", what);
}

static int check_fields(const aios_item *it, const char *what, aios_error *err)
{
    if (it->flags & ~(uint32_t)AIOS_ITEM_REPLACE)
        return aios__fail(err, AIOS_EVERSION, "%s: flags 0x%x are not known here: update libaios", what, it->flags);
    if (it->flags && !it->key)
        return aios__fail(err, AIOS_EINVAL, "%s: REPLACE needs a key", what);
    if (it->key && !*it->key)
        return aios__fail(err, AIOS_EINVAL, "%s: the key is empty", what);
    if (it->label.integrity < AIOS_LABEL_UNTRUSTED || it->label.integrity > AIOS_LABEL_SYSTEM || it->label.reserved0)
        return aios__fail(err, AIOS_EINVAL, "%s: integrity %d is none of AIOS_LABEL_x", what, it->label.integrity);
    return it->expires_us < 0 ? aios__fail(err, AIOS_EINVAL, "%s: expires_us is negative", what) : AIOS_OK;
}

/* tags: where the tags go, in their one form; until all are read, tags_json is their place there. */
static int read_item(aios_memory *m, const void *src, uint32_t i, aios_item *it, aios__buf *tags, aios_error *err)
{
    char what[64];
    snprintf(what, sizeof what, "aios_memory_add, item %u", i);
    int rc = aios__struct_in(it, sizeof *it, src, err);
    rc = rc ? rc : read_text(it, what, err);
    rc = rc ? rc : read_name(&it->scope, AIOS_MEMORY_MAX_NAME, what, "scope", err);
    rc = rc ? rc : read_name(&it->kind, AIOS_MEMORY_MAX_KIND, what, "kind", err);
    rc = rc ? rc : read_name(&it->source, AIOS_MEMORY_MAX_SOURCE, what, "source", err);
    rc = rc || !it->key ? rc : read_name(&it->key, AIOS_MEMORY_MAX_NAME, what, "key", err);
    rc = rc ? rc : check_fields(it, what, err);
    rc = rc || !it->tags_json ? rc : aios__tags_read(m->ctx, it->tags_json, what, tags, err);
    if (!rc && !it->tags_json)
        rc = aios__buf_adds(tags, "{}", err);
    return rc ? rc : aios__buf_add(tags, "", 1, err);
}

static int read_items(aios_memory *m, const void *src, size_t stride, aios_memory_add_args *a, aios_item *items, aios__buf *tags, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < a->n_items && !rc; i++) {
        rc = read_item(m, (const char *)src + (size_t)i * stride, i, &items[i], tags, err);
        a->n_bytes += rc ? 0 : items[i].n_text;
    }
    if (!rc && a->n_bytes > AIOS_MEMORY_MAX_ADD_BYTES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_ADD_BYTES, a->n_bytes, "aios_memory_add: %llu bytes at once, at most %d are taken: split it",
                               (unsigned long long)a->n_bytes, AIOS_MEMORY_MAX_ADD_BYTES);
    const char *at = tags->p;
    for (uint32_t i = 0; i < a->n_items && !rc; i++, at += strlen(at) + 1)
        items[i].tags_json = at;
    return rc;
}

static int make_ids(aios_memory *m, uint64_t *ids, uint32_t n, aios_error *err)
{
    const aios_env *env = aios__ctx_env(m->ctx);
    int32_t sys = 0;
    int rc = env->random(env->user, ids, n * sizeof *ids, &sys);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (ids[i] & INT64_MAX) | !ids[i];
    return rc ? aios__fail_sys(err, rc, sys, "aios_memory_add: no random numbers") : AIOS_OK;
}

static int add(aios_memory *m, const void *src, size_t stride, aios_memory_add_args *a, aios_item *items, aios_error *err)
{
    aios__buf tags;
    aios__buf_init(&tags, aios__ctx_heap(m->ctx), AIOS_MEM_TEXT, 0);
    int rc = read_items(m, src, stride, a, items, &tags, err);
    rc = rc ? rc : make_ids(m, a->ids, a->n_items, err);
    a->wall_us = now(m);
    rc = rc ? rc : m->ops->add(m->self, a, err);
    aios__buf_free(&tags);
    return rc;
}

int aios_memory_add(aios_memory *m, const aios_item *src, uint32_t n, size_t stride, uint64_t *ids, aios_error *err)
{
    if (!m || (n && !src))
        return aios__fail(err, AIOS_EINVAL, "aios_memory_add: %s is NULL", m ? "items" : "m");
    int rc = check_writable(m, "aios_memory_add", err);
    if (rc || !n)
        return rc;
    if (n > 1 && stride < sizeof(size_t))
        return aios__fail(err, AIOS_EINVAL, "aios_memory_add: a stride of %zu bytes holds no item", stride);
    if (n > AIOS_MEMORY_MAX_ADD)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_ADD, n, "aios_memory_add: %u items at once, at most %d are taken: split it", n, AIOS_MEMORY_MAX_ADD);
    aios__heap *h = aios__ctx_heap(m->ctx);
    aios_item *items = aios__alloc_array(h, AIOS_MEM_OTHER, n, sizeof *items + sizeof *ids, err);
    if (!items)
        return aios__error_code(err, AIOS_ENOMEM);
    aios_memory_add_args a = {.struct_size = sizeof a, .items = items, .ids = (uint64_t *)(items + n), .n_items = n};
    rc = add(m, src, stride, &a, items, err);
    if (!rc && ids)
        memcpy(ids, a.ids, n * sizeof *ids);
    aios__free(h, items);
    return rc;
}

/* ---- queries ------------------------------------------------------------------------------------------------------ */

/* A query as a memory gets it. */
typedef struct asked {
    aios_query q;
    const char *scopes[AIOS_MEMORY_MAX_SCOPES];
    aios__buf tags;
    aios_memory_find_args args;
} asked;

static int read_scopes(asked *a, const char *what, aios_error *err)
{
    uint32_t n = a->q.n_scopes;
    int rc = AIOS_OK;
    if (a->q.flags & ~(uint32_t)AIOS_QUERY_ANY_SCOPE)
        return aios__fail(err, AIOS_EVERSION, "%s: flags 0x%x are not known here: update libaios", what, a->q.flags);
    if (n > AIOS_MEMORY_MAX_SCOPES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_SCOPES, n, "%s: %u scopes, at most %d are taken", what, n, AIOS_MEMORY_MAX_SCOPES);
    if (n && !a->q.scopes)
        return aios__fail(err, AIOS_EINVAL, "%s: scopes is NULL, but n_scopes is %u", what, n);
    if (n && a->q.flags)
        return aios__fail(err, AIOS_EINVAL, "%s: ANY_SCOPE and scopes exclude each other", what);
    for (uint32_t i = 0; i < n && !rc; i++) {
        a->scopes[i] = a->q.scopes[i];
        rc = read_name(&a->scopes[i], AIOS_MEMORY_MAX_NAME, what, "scope", err);
    }
    if (!n && !a->q.flags) {
        a->scopes[0] = "";
        n = 1;
    }
    a->q.scopes = a->scopes;
    a->q.n_scopes = n;
    return rc;
}

static int read_filters(aios_memory *m, asked *a, const char *what, aios_error *err)
{
    aios_query *q = &a->q;
    int rc = read_scopes(a, what, err);
    if (!rc && (q->min_integrity < AIOS_LABEL_UNTRUSTED || q->min_integrity > AIOS_LABEL_SYSTEM))
        return aios__fail(err, AIOS_EINVAL, "%s: min_integrity %d is none of AIOS_LABEL_x", what, q->min_integrity);
    if (!rc && q->max_hits > AIOS_MEMORY_MAX_HITS && q->text)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_HITS, q->max_hits, "%s: %u hits, at most %d are given", what, q->max_hits, AIOS_MEMORY_MAX_HITS);
    rc = rc || !q->kind ? rc : read_name(&q->kind, AIOS_MEMORY_MAX_KIND, what, "kind", err);
    if (!rc && q->tags_json) {
        rc = aios__tags_read(m->ctx, q->tags_json, what, &a->tags, err);
        q->tags_json = a->tags.p;
    }
    return rc;
}

/* AIOS_DONE: a text without a word, which finds nothing. */
static int read_words(aios_query *q, aios_error *err)
{
    aios__words w;
    int rc = aios__text_in(q->text, q->n_text, &q->n_text, "aios_memory_search: text", err);
    if (rc)
        return rc;
    if (q->n_text > AIOS_MEMORY_MAX_QUERY)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_QUERY, q->n_text, "aios_memory_search: the text has %zu bytes, at most %d are looked for", q->n_text,
                               AIOS_MEMORY_MAX_QUERY);
    if (!aios__utf8_valid(q->text, q->n_text))
        return aios__fail(err, AIOS_EINVAL, "aios_memory_search: the text is not valid UTF-8");
    if (!aios__words_cut(q->text, q->n_text, &w))
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_MEMORY_MAX_TERMS, w.n, "aios_memory_search: the text has more than %d different words", AIOS_MEMORY_MAX_TERMS);
    return w.n ? AIOS_OK : AIOS_DONE;
}

static int read_query(aios_memory *m, const aios_query *src, asked *a, const char *what, aios_error *err)
{
    aios__buf_init(&a->tags, aios__ctx_heap(m->ctx), AIOS_MEM_TEXT, 0);
    int rc = aios__struct_in(&a->q, sizeof a->q, src, err);
    rc = rc ? rc : read_filters(m, a, what, err);
    a->args = (aios_memory_find_args){.struct_size = sizeof a->args, .query = &a->q, .wall_us = now(m)};
    return rc;
}

static int no_text(const asked *a, const char *what, aios_error *err)
{
    return a->q.text ? aios__fail(err, AIOS_EINVAL, "%s: it takes no text, that is for aios_memory_search", what) : AIOS_OK;
}

static int fail_args(const char *what, const aios_memory *m, const char *missing, aios_error *err)
{
    return aios__fail(err, AIOS_EINVAL, "%s: %s is NULL", what, m ? missing : "m");
}

int aios_memory_search(aios_memory *m, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err)
{
    asked a = {.q = {0}};
    if (!m || !q || !fn)
        return fail_args("aios_memory_search", m, q ? "fn" : "q", err);
    int rc = read_query(m, q, &a, "aios_memory_search", err);
    if (!rc && !a.q.text)
        rc = aios__fail(err, AIOS_EINVAL, "aios_memory_search: text is NULL: aios_memory_list tells what there is");
    rc = rc ? rc : read_words(&a.q, err);
    a.q.max_hits = a.q.max_hits ? a.q.max_hits : DEFAULT_HITS;
    a.args.fn = fn;
    a.args.user = user;
    rc = rc ? rc : m->ops->search(m->self, &a.args, err);
    aios__buf_free(&a.tags);
    return rc > 0 ? AIOS_OK : rc;
}

int aios_memory_list(aios_memory *m, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err)
{
    asked a = {.q = {0}};
    if (!m || !fn)
        return fail_args("aios_memory_list", m, "fn", err);
    int rc = read_query(m, q, &a, "aios_memory_list", err);
    rc = rc ? rc : no_text(&a, "aios_memory_list", err);
    a.q.max_hits = a.q.max_hits ? a.q.max_hits : UINT32_MAX;
    a.args.fn = fn;
    a.args.user = user;
    rc = rc ? rc : m->ops->list(m->self, &a.args, err);
    aios__buf_free(&a.tags);
    return rc > 0 ? AIOS_OK : rc;
}

static int count_one(void *user, const aios_hit *hit)
{
    uint64_t *n = user;
    AIOS__UNUSED(hit);
    ++*n;
    return AIOS_OK;
}

int aios_memory_count(aios_memory *m, const aios_query *q, uint64_t *n, aios_error *err)
{
    asked a = {.q = {0}};
    if (!m || !n)
        return fail_args("aios_memory_count", m, "n", err);
    *n = 0;
    int rc = read_query(m, q, &a, "aios_memory_count", err);
    rc = rc ? rc : no_text(&a, "aios_memory_count", err);
    a.q.max_hits = UINT32_MAX;
    a.args.fn = count_one;
    a.args.user = n;
    if (!rc)
        rc = m->ops->count ? m->ops->count(m->self, &a.args, n, err) : m->ops->list(m->self, &a.args, err);
    aios__buf_free(&a.tags);
    return rc > 0 ? AIOS_OK : rc;
}

/* ---- one item ----------------------------------------------------------------------------------------------------- */

static int check_id(uint64_t id, const char *what, aios_error *err)
{
    return id && id <= INT64_MAX ? AIOS_OK : aios__fail(err, AIOS_ENOENT, "%s: there is no such item", what);
}

int aios_memory_get(aios_memory *m, uint64_t id, const aios_query *q, aios_hit_fn *fn, void *user, aios_error *err)
{
    asked a = {.q = {0}};
    if (!m || !fn)
        return fail_args("aios_memory_get", m, "fn", err);
    int rc = read_query(m, q, &a, "aios_memory_get", err);
    rc = rc ? rc : check_id(id, "aios_memory_get", err);
    a.args.query = q ? &a.q : NULL;
    a.args.id = id;
    a.args.fn = fn;
    a.args.user = user;
    rc = rc ? rc : m->ops->get(m->self, &a.args, err);
    aios__buf_free(&a.tags);
    return rc > 0 ? AIOS_OK : rc;
}

int aios_memory_find(aios_memory *m, const char *key, uint64_t *id, aios_error *err)
{
    if (!m || !key || !id)
        return fail_args("aios_memory_find", m, key ? "id" : "key", err);
    *id = 0;
    int rc = read_name(&key, AIOS_MEMORY_MAX_NAME, "aios_memory_find", "key", err);
    return rc ? rc : m->ops->find(m->self, key, now(m), id, err);
}

int aios_memory_remove(aios_memory *m, uint64_t id, const aios_query *q, aios_error *err)
{
    asked a = {.q = {0}};
    if (!m)
        return fail_args("aios_memory_remove", m, "", err);
    int rc = check_writable(m, "aios_memory_remove", err);
    rc = rc ? rc : read_query(m, q, &a, "aios_memory_remove", err);
    rc = rc ? rc : check_id(id, "aios_memory_remove", err);
    a.args.query = q ? &a.q : NULL;
    a.args.id = id;
    rc = rc ? rc : m->ops->remove(m->self, &a.args, err);
    aios__buf_free(&a.tags);
    return rc;
}

static int pass_hit(void *user, const aios_hit *hit)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(hit);
    return AIOS_OK;
}

int aios_memory_check(aios_memory *m, aios_error *err)
{
    if (!m)
        return fail_args("aios_memory_check", m, "", err);
    if (m->ops->check)
        return m->ops->check(m->self, err);
    aios_query all = AIOS_INIT(aios_query);
    all.flags = AIOS_QUERY_ANY_SCOPE;
    all.readers = UINT64_MAX;
    return aios_memory_list(m, &all, pass_hit, NULL, err);
}
