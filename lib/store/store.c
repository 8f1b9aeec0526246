/* SPDX-License-Identifier: Apache-2.0 */
/* The wrapper of every store: checks arguments and limits, counts, then calls the slot. */
#include <stdatomic.h>
#include <stdio.h>

#include "store/registry_priv.h"

#define MAX_URI 4096u
#define FEW_WRITES 16u
#define DEFAULT_TTL_NS INT64_C(30000000000)

struct aios_store {
    _Atomic uint32_t refs;
    uint32_t flags;
    aios_ctx *ctx;
    const aios__kind *kind;
    const aios_store_ops *ops; /* of the kind */
    void *self;
    aios__claims claims; /* where the kind has none of its own */
    aios__writer writer;
    _Atomic uint64_t n_commits, n_writes, n_bytes;
};

struct aios_claim {
    aios_store *st;
    void *handle;
    uint64_t epoch;
    char name[];
};

/* ---- open and close ------------------------------------------------------------------------------------------------- */

static int read_config(const aios_store_config *cfg, aios_store_config *out, aios_error *err)
{
    int rc = aios__struct_in(out, sizeof *out, cfg, err);
    if (!rc && (out->flags & ~(uint32_t)(AIOS_STORE_READ_ONLY | AIOS_STORE_RELAXED)))
        return aios__fail(err, AIOS_EVERSION, "aios_store_open: flags 0x%x are not known here: update libaios", out->flags);
    return rc;
}

static int open_kind(aios_store *st, const char *path, aios_error *err)
{
    const aios_store_ops *ops = st->ops;
    aios_store_open_args args = {.struct_size = sizeof args, .ctx = st->ctx, .path = path, .flags = st->flags, .user = st->kind->user};
    int rc = ops->claim ? AIOS_OK : aios__claims_init(&st->claims, st->ctx, 0, err);
    if (rc)
        return rc;
    rc = ops->open(&args, &st->self, err);
    if (rc && !ops->claim)
        aios__claims_free(&st->claims);
    return rc;
}

int aios_store_open(aios_ctx *ctx, const char *uri, const aios_store_config *cfg, aios_store **out, aios_error *err)
{
    aios_store_config c;
    const aios__kind *kind;
    const char *path;
    if (!ctx || !uri || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_store_open: %s is NULL", !ctx ? "ctx" : !uri ? "uri" : "st");
    *out = NULL;
    size_t n = strnlen(uri, MAX_URI + 1);
    if (n > MAX_URI || !aios__utf8_valid(uri, n))
        return aios__fail(err, AIOS_EINVAL, "the URI of a store is UTF-8 text of at most %u bytes", MAX_URI);
    int rc = read_config(cfg, &c, err);
    rc = rc ? rc : aios__store_kind_find(ctx, uri, &kind, &path, err);
    if (rc)
        return rc;
    aios_store *st = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *st, err);
    if (!st)
        return aios__error_code(err, AIOS_ENOMEM);
    atomic_init(&st->refs, 1);
    st->ctx = aios__ctx_ref(ctx);
    st->flags = c.flags;
    st->kind = kind;
    st->ops = kind->ops;
    rc = open_kind(st, path, err);
    if (rc) {
        aios__free(aios__ctx_heap(ctx), st);
        aios_ctx_free(ctx);
        return rc;
    }
    aios__writer_init(&st->writer);
    *out = st;
    return AIOS_OK;
}

aios_store *aios_store_ref(aios_store *st)
{
    if (st)
        atomic_fetch_add_explicit(&st->refs, 1, memory_order_relaxed);
    return st;
}

void aios_store_close(aios_store *st)
{
    if (!st || atomic_fetch_sub_explicit(&st->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = st->ctx;
    aios__writer_end(&st->writer);
    st->ops->close(st->self);
    if (!st->ops->claim)
        aios__claims_free(&st->claims);
    aios__free(aios__ctx_heap(ctx), st);
    aios_ctx_free(ctx);
}

aios_ctx *aios__store_ctx(const aios_store *st)
{
    return st->ctx;
}

aios__writer *aios__store_writer(aios_store *st)
{
    return &st->writer;
}

bool aios__store_is_slow(const aios_store *st)
{
    return st->ops->flags & AIOS_STORE_OPS_SLOW;
}

void aios__store_count_more(aios_store *st, uint32_t n)
{
    atomic_fetch_add_explicit(&st->n_commits, n, memory_order_relaxed);
}

int aios_store_info_get(const aios_store *st, aios_store_info *out)
{
    if (!st || !out)
        return AIOS_EINVAL;
    aios_store_info i = AIOS_INIT(aios_store_info);
    if (st->ops->info)
        st->ops->info(st->self, &i);
    i.name = st->kind->name;
    i.flags = st->flags;
    i.n_commits = atomic_load(&st->n_commits);
    i.n_writes = atomic_load(&st->n_writes);
    i.n_bytes = atomic_load(&st->n_bytes);
    return aios__struct_out(out, &i, sizeof i);
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_.:/-", c));
}

static bool name_ok(const char *s, bool empty)
{
    size_t n = s ? strnlen(s, AIOS_STORE_MAX_NAME + 1) : 0;
    bool ok = s && (n || empty) && n <= AIOS_STORE_MAX_NAME;
    for (size_t i = 0; ok && i < n; i++)
        ok = name_char(s[i]);
    return ok;
}

static int check_name(const char *what, const char *s, bool empty, aios_error *err)
{
    return name_ok(s, empty) ? AIOS_OK : aios__fail(err, AIOS_EINVAL, "%s: \"%.60s\" is no name of a stream: it matches [A-Za-z0-9_.:/-]{1,200}", what, s ? s : "(NULL)");
}

static int check_writable(const aios_store *st, const char *what, aios_error *err)
{
    return st->flags & AIOS_STORE_READ_ONLY ? aios__fail(err, AIOS_ESTATE, "%s: the store was opened READ_ONLY", what) : AIOS_OK;
}

static bool write_ok(const aios_store_write *w)
{
    return name_ok(w->stream, false) && !(w->flags & ~(uint32_t)AIOS_WRITE_FORGET) && (w->data || !w->n_data) && w->n_data <= AIOS_STORE_MAX_RECORD &&
           w->seq <= INT64_MAX;
}

static int fail_write(const aios_store_write *w, uint32_t i, aios_error *err)
{
    char what[64];
    snprintf(what, sizeof what, "aios_store_commit, write %u", i);
    int rc = check_name(what, w->stream, false, err);
    if (rc)
        return rc;
    if (w->flags & ~(uint32_t)AIOS_WRITE_FORGET)
        return aios__fail(err, AIOS_EVERSION, "%s: flags 0x%x are not known here: update libaios", what, w->flags);
    if (!w->data && w->n_data)
        return aios__fail(err, AIOS_EINVAL, "%s: data is NULL, but n_data is %zu", what, w->n_data);
    if (w->n_data > AIOS_STORE_MAX_RECORD)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_STORE_MAX_RECORD, w->n_data, "%s, to %s: %zu bytes, a record has at most %d", what, w->stream,
                               w->n_data, AIOS_STORE_MAX_RECORD);
    return aios__fail(err, AIOS_EINVAL, "%s: seq is beyond 2^63", what);
}

/* Copies the caller's writes to structs of this library's size. */
static int read_writes(const void *src, uint32_t n, size_t stride, aios_store_write *out, uint64_t *n_bytes, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n && !rc; i++) {
        rc = aios__struct_in(&out[i], sizeof out[i], (const char *)src + (size_t)i * stride, err);
        rc = rc ? rc : write_ok(&out[i]) ? AIOS_OK : fail_write(&out[i], i, err);
        *n_bytes += rc ? 0 : out[i].n_data;
        if (!out[i].data)
            out[i].data = "";
    }
    if (!rc && *n_bytes > AIOS_STORE_MAX_COMMIT)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_STORE_MAX_COMMIT, *n_bytes, "aios_store_commit: %llu bytes at once, a commit has at most %d: split it",
                               (unsigned long long)*n_bytes, AIOS_STORE_MAX_COMMIT);
    return rc;
}

int aios__store_conflict(const aios_store_write *w, uint64_t next, aios_error *err)
{
    return aios__fail_need(err, AIOS_ECONFLICT, next, w->seq, "stream %s: the next record is number %llu, not %llu: another writer came first", w->stream,
                           (unsigned long long)next, (unsigned long long)w->seq);
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

static int commit(aios_store *st, aios_store_write *w, uint64_t *seqs, const void *src, uint32_t n, size_t stride, aios_error *err)
{
    const aios_env *env = aios__ctx_env(st->ctx);
    uint64_t n_bytes = 0;
    int rc = read_writes(src, n, stride, w, &n_bytes, err);
    if (rc)
        return rc;
    aios_store_commit_args args = {.struct_size = sizeof args, .writes = w, .seqs = seqs, .wall_us = env->wall_us(env->user), .n_writes = n};
    rc = st->ops->commit(st->self, &args, err);
    if (rc)
        return rc;
    atomic_fetch_add_explicit(&st->n_commits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&st->n_writes, n, memory_order_relaxed);
    atomic_fetch_add_explicit(&st->n_bytes, n_bytes, memory_order_relaxed);
    return AIOS_OK;
}

int aios_store_commit(aios_store *st, const aios_store_write *writes, uint32_t n, size_t stride, uint64_t *seqs, aios_error *err)
{
    aios_store_write few[FEW_WRITES], *w = few;
    uint64_t few_seqs[FEW_WRITES], *numbers = few_seqs;
    if (!st || (n && !writes))
        return aios__fail(err, AIOS_EINVAL, "aios_store_commit: %s is NULL", st ? "writes" : "st");
    int rc = check_writable(st, "aios_store_commit", err);
    if (rc || !n)
        return rc;
    if (n > 1 && stride < sizeof(size_t))
        return aios__fail(err, AIOS_EINVAL, "aios_store_commit: a stride of %zu bytes holds no write", stride);
    if (n > AIOS_STORE_MAX_WRITES)
        return aios__fail_need(err, AIOS_ELIMIT, AIOS_STORE_MAX_WRITES, n, "aios_store_commit: %u writes at once, a commit has at most %d: split it", n,
                               AIOS_STORE_MAX_WRITES);
    aios__heap *h = aios__ctx_heap(st->ctx);
    if (n > FEW_WRITES) {
        w = aios__alloc_array(h, AIOS_MEM_OTHER, n, sizeof *w + sizeof *numbers, err);
        if (!w)
            return aios__error_code(err, AIOS_ENOMEM);
        numbers = (uint64_t *)(w + n);
    }
    rc = commit(st, w, numbers, writes, n, stride, err);
    if (!rc && seqs)
        memcpy(seqs, numbers, n * sizeof *seqs);
    if (w != few)
        aios__free(h, w);
    return rc;
}

int aios_store_read(aios_store *st, const char *stream, uint64_t from, aios_record_fn *fn, void *user, aios_error *err)
{
    if (!st || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_store_read: %s is NULL", st ? "fn" : "st");
    int rc = check_name("aios_store_read", stream, false, err);
    if (rc || from > INT64_MAX)
        return rc;
    aios_store_read_args args = {.struct_size = sizeof args, .stream = stream, .from = from, .fn = fn, .user = user};
    rc = st->ops->read(st->self, &args, err);
    return rc > 0 ? AIOS_OK : rc;
}

int aios_store_head(aios_store *st, const char *stream, uint64_t *seq, aios_error *err)
{
    if (!st || !seq)
        return aios__fail(err, AIOS_EINVAL, "aios_store_head: %s is NULL", st ? "seq" : "st");
    *seq = 0;
    int rc = check_name("aios_store_head", stream, false, err);
    return rc ? rc : st->ops->head(st->self, stream, seq, err);
}

int aios_store_list(aios_store *st, const char *prefix, aios_stream_fn *fn, void *user, aios_error *err)
{
    if (!st || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_store_list: %s is NULL", st ? "fn" : "st");
    aios_store_list_args args = {.struct_size = sizeof args, .prefix = prefix ? prefix : "", .fn = fn, .user = user};
    int rc = check_name("aios_store_list", args.prefix, true, err);
    rc = rc ? rc : st->ops->list(st->self, &args, err);
    return rc > 0 ? AIOS_OK : rc;
}

int aios_store_remove(aios_store *st, const char *stream, aios_error *err)
{
    if (!st)
        return aios__fail(err, AIOS_EINVAL, "aios_store_remove: st is NULL");
    int rc = check_name("aios_store_remove", stream, false, err);
    rc = rc ? rc : check_writable(st, "aios_store_remove", err);
    return rc ? rc : st->ops->remove(st->self, stream, err);
}

typedef struct checking {
    aios_store *st;
    aios_error *err;
} checking;

static int pass_record(void *user, const aios_record *r)
{
    AIOS__UNUSED(user);
    AIOS__UNUSED(r);
    return AIOS_OK;
}

static int check_stream(void *user, const aios_stream *s)
{
    checking *c = user;
    int rc = aios_store_read(c->st, s->name, 0, pass_record, NULL, c->err);
    return rc == AIOS_ECONFLICT ? AIOS_OK : rc; /* what went meanwhile is not damaged */
}

int aios_store_check(aios_store *st, aios_error *err)
{
    if (!st)
        return aios__fail(err, AIOS_EINVAL, "aios_store_check: st is NULL");
    checking c = {st, err};
    int rc = st->ops->check ? st->ops->check(st->self, err) : AIOS_OK;
    return rc ? rc : aios_store_list(st, NULL, check_stream, &c, err);
}

/* ---- claims --------------------------------------------------------------------------------------------------------- */

static int read_claim_args(const char *name, const aios_claim_args *src, aios_store_claim_args *out, aios_error *err)
{
    aios_claim_args a;
    int rc = aios__struct_in(&a, sizeof a, src, err);
    rc = rc ? rc : check_name("aios_store_claim", name, false, err);
    if (rc)
        return rc;
    if (a.flags & ~(uint32_t)AIOS_CLAIM_ANY)
        return aios__fail(err, AIOS_EVERSION, "aios_store_claim: flags 0x%x are not known here: update libaios", a.flags);
    if (a.ttl_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "aios_store_claim: ttl_ns is negative");
    if ((a.flags & AIOS_CLAIM_ANY) && name[strlen(name) - 1] != '/')
        return aios__fail(err, AIOS_EINVAL, "aios_store_claim: with AIOS_CLAIM_ANY the name is a prefix that ends in '/', not \"%s\"", name);
    *out = (aios_store_claim_args){.struct_size = sizeof *out, .name = name, .flags = a.flags, .ttl_ns = a.ttl_ns ? a.ttl_ns : DEFAULT_TTL_NS};
    return AIOS_OK;
}

int aios_store_claim(aios_store *st, const char *name, const aios_claim_args *args, aios_claim **out, aios_error *err)
{
    aios_store_claim_args a;
    if (!st || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_store_claim: %s is NULL", st ? "c" : "st");
    *out = NULL;
    int rc = read_claim_args(name, args, &a, err);
    rc = rc ? rc : check_writable(st, "aios_store_claim", err);
    if (rc)
        return rc;
    const aios_store_ops *ops = st->ops;
    aios_store_claim_out got = {.struct_size = sizeof got};
    bool any = a.flags & AIOS_CLAIM_ANY;
    aios_claim *c = aios__alloc(aios__ctx_heap(st->ctx), AIOS_MEM_OTHER, sizeof *c + (any ? sizeof got.name : strlen(name) + 1), err);
    if (!c)
        return aios__error_code(err, AIOS_ENOMEM);
    rc = ops->claim ? ops->claim(st->self, &a, &got, err) : aios__claims_take(&st->claims, ops->list, st->self, &a, &got, err);
    if (rc) {
        aios__free(aios__ctx_heap(st->ctx), c);
        return rc;
    }
    got.name[sizeof got.name - 1] = 0;
    const char *taken = any ? got.name : name;
    memcpy(c->name, taken, strlen(taken) + 1);
    c->handle = got.handle;
    c->epoch = got.epoch;
    c->st = aios_store_ref(st);
    *out = c;
    return AIOS_OK;
}

const char *aios_claim_name(const aios_claim *c)
{
    return c ? c->name : NULL;
}

uint64_t aios_claim_epoch(const aios_claim *c)
{
    return c ? c->epoch : 0;
}

int aios_claim_renew(aios_claim *c, aios_error *err)
{
    if (!c)
        return aios__fail(err, AIOS_EINVAL, "aios_claim_renew: c is NULL");
    const aios_store_ops *ops = c->st->ops;
    return ops->claim ? ops->claim_renew(c->st->self, c->handle, err) : AIOS_OK;
}

void aios_claim_release(aios_claim *c)
{
    if (!c)
        return;
    aios_store *st = c->st;
    if (st->ops->claim)
        st->ops->claim_release(st->self, c->handle);
    else
        aios__claims_drop(&st->claims, c->handle);
    aios__free(aios__ctx_heap(st->ctx), c);
    aios_store_close(st);
}
