/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache in a file: a header that says what it belongs to and ends in its own sum, the tokens, then the parts of all blocks, class by
 * class, window parts from the first that was held on. Numbers are little endian, as those of a GGUF file. The size follows from the
 * header, and is the file's.
 */
#include <errno.h>
#include <stdio.h>

#include "backend/gguf/net.h"
#include "base/cachefile.h"

enum { KV_VERSION = 1 };
static const char magic[8] = {'a', 'i', 'o', 's', 'k', 'v', 0, 0};

typedef struct header {
    char magic[8];
    uint32_t version, n_bytes; /* of this struct */
    uint64_t model;
    uint32_t levels, page;     /* of the kernels; positions of a block */
    uint64_t part_bytes[AIOS__KV_CLASSES];
    uint32_t n, first;         /* positions; block whose window part is the first */
    uint64_t body_sum;
    uint64_t sum;              /* of all before it */
} header;

/* What is open, and how far it was written or read. */
typedef struct stream {
    const aios_env *env;
    aios_file *f;
    const char *path;
    bool writing;
    uint64_t at, sum;
} stream;

static uint64_t header_sum(const header *h)
{
    return aios__sum64(KV_VERSION, h, offsetof(header, sum));
}

static header header_of(const aios__kv *kv, uint64_t model)
{
    header h = {.version = KV_VERSION, .n_bytes = sizeof h, .model = model, .levels = kv->net->k->levels, .page = AIOS__KV_PAGE, .n = kv->n, .first = kv->first};
    memcpy(h.magic, magic, sizeof magic);
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        h.part_bytes[c] = kv->net->kv.part_bytes[c];
    return h;
}

/* Writes or reads n bytes and adds them to the sum. */
static int pass(stream *s, void *p, size_t n, aios_error *err)
{
    int32_t sys = 0;
    size_t got = n;
    int rc = s->writing ? s->env->file_write(s->env->user, s->f, s->at, p, n, &sys) : s->env->file_read(s->env->user, s->f, s->at, p, n, &got, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s: cannot be %s", s->path, s->writing ? "written" : "read");
    if (got != n)
        return aios__fail(err, AIOS_EFORMAT, "%.300s: it became shorter while it was read", s->path);
    s->at += n;
    s->sum = aios__sum64(s->sum, p, n);
    return AIOS_OK;
}

/* The tokens, which stand in the blocks, in one piece. */
static int pass_ids(stream *s, aios__kv *kv, uint32_t n, aios_error *err)
{
    aios__heap *heap = kv->net->heap;
    int32_t *ids = aios__alloc_array(heap, AIOS_MEM_SCRATCH, n, sizeof *ids, err);
    if (!ids)
        return aios__no_memory(err);
    for (uint32_t i = 0; s->writing && i < n; i++)
        ids[i] = *aios__kv_id(kv, i);
    int rc = pass(s, ids, n * sizeof *ids, err);
    for (uint32_t i = 0; !s->writing && i < n; i++)
        *aios__kv_id(kv, i) = ids[i];
    aios__free(heap, ids);
    return rc;
}

/* Everything behind the header. */
static int pass_body(stream *s, aios__kv *kv, const header *h, aios_error *err)
{
    uint32_t n_blocks = (h->n + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE;
    int rc = AIOS_OK;
    s->at = sizeof *h;
    s->sum = h->model;
    if (h->n)
        rc = pass_ids(s, kv, h->n, err);
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        for (uint32_t i = c == AIOS__KV_WINDOW ? h->first : 0; !rc && i < n_blocks && h->part_bytes[c]; i++)
            rc = pass(s, kv->blocks[i]->part[c].data, (size_t)h->part_bytes[c], err);
    return rc;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static int write_all(stream *s, aios__kv *kv, header *h, aios_error *err)
{
    int32_t sys = 0;
    int rc = pass_body(s, kv, h, err);
    h->body_sum = s->sum;
    h->sum = header_sum(h);
    s->at = 0;
    rc = rc ? rc : pass(s, h, sizeof *h, err);
    if (!rc) {
        rc = s->env->file_sync(s->env->user, s->f, &sys);
        rc = rc ? aios__fail_sys(err, rc, sys, "%.300s: cannot be made durable", s->path) : AIOS_OK;
    }
    return rc;
}

/* A name beside the path that nobody else uses. */
static char *name_temp(aios__net *net, const aios_env *env, const char *path, aios_error *err)
{
    uint64_t x = 0;
    int32_t sys = 0;
    size_t n = strlen(path) + 24;
    int rc = env->random(env->user, &x, sizeof x, &sys);
    if (rc) {
        aios__fail_sys(err, rc, sys, "no random name for a file");
        return NULL;
    }
    char *temp = aios__alloc(net->heap, AIOS_MEM_TEXT, n, err);
    if (temp)
        snprintf(temp, n, "%s.%016llx.tmp", path, (unsigned long long)x);
    return temp;
}

int aios__kv_save(aios__kv *kv, uint64_t model, const char *path, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    const aios_env *env = aios__ctx_env(kv->net->ctx);
    stream s = {.env = env, .path = path, .writing = true};
    header h = header_of(kv, model);
    int32_t sys = 0;
    char *temp = name_temp(kv->net, env, path, err);
    if (!temp)
        return aios__no_memory(err);
    int rc = env->file_open(env->user, temp, AIOS_OPEN_WRITE | AIOS_OPEN_CREATE | AIOS_OPEN_TRUNC, &s.f, &sys);
    if (rc) {
        rc = aios__fail_sys(err, rc, sys, "%.300s: cannot be made", temp);
        aios__free(kv->net->heap, temp);
        return rc;
    }
    rc = write_all(&s, kv, &h, err);
    env->file_close(env->user, s.f);
    if (!rc) {
        rc = env->file_rename(env->user, temp, path, &sys);
        rc = rc ? aios__fail_sys(err, rc, sys, "%.300s: cannot be put in its place", path) : AIOS_OK;
    }
    if (rc)
        env->file_remove(env->user, temp, &sys);
    aios__free(kv->net->heap, temp);
    return rc;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* The header is whole; now whether it suits this cache. */
static int check_owner(const aios__kv *kv, uint64_t model, const header *h, const char *path, aios_error *err)
{
    const aios__kv_store *st = &kv->net->kv;
    if (h->model != model)
        return aios__fail(err, AIOS_EINVAL, "%.300s: it was saved from another model", path);
    if (h->levels != kv->net->k->levels)
        return aios__fail(err, AIOS_EINVAL, "%.300s: it was computed at another instruction set level (0x%x, here 0x%x), where results differ in their last bits",
                          path, h->levels, kv->net->k->levels);
    for (uint32_t c = 0; c < AIOS__KV_CLASSES; c++)
        if (h->page != AIOS__KV_PAGE || h->part_bytes[c] != st->part_bytes[c])
            return aios__fail(err, AIOS_EINVAL, "%.300s: its keys and values are of another type", path);
    if (h->n > kv->n_ctx)
        return aios__fail_need(err, AIOS_ECONTEXT, kv->n_ctx, h->n, "%.300s: it holds %u tokens, but the context of the session %u", path, h->n, kv->n_ctx);
    if (h->first > aios__kv_first_seen(st, h->n))
        return aios__fail(err, AIOS_EFORMAT, "%.300s: damaged: block %u is too late a beginning for %u tokens", path, h->first, h->n);
    return AIOS_OK;
}

static int read_header(stream *s, header *h, aios_error *err)
{
    uint64_t n_bytes = 0;
    int32_t sys = 0;
    int rc = s->env->file_size(s->env->user, s->f, &n_bytes, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s: its size cannot be read", s->path);
    if (n_bytes < sizeof *h)
        return aios__fail_need(err, AIOS_EFORMAT, n_bytes, sizeof *h, "%.300s: %llu bytes are no saved session", s->path, (unsigned long long)n_bytes);
    rc = pass(s, h, sizeof *h, err);
    if (rc)
        return rc;
    if (memcmp(h->magic, magic, sizeof magic))
        return aios__fail(err, AIOS_EFORMAT, "%.300s: not a saved session", s->path);
    if (h->version != KV_VERSION || h->n_bytes != sizeof *h)
        return aios__fail(err, AIOS_EVERSION, "%.300s: a saved session of version %u, this library reads %u", s->path, h->version, KV_VERSION);
    if (h->sum != header_sum(h))
        return aios__fail(err, AIOS_EFORMAT, "%.300s: damaged in its header", s->path);
    return AIOS_OK;
}

/* Nothing was asked for yet: the file has as many bytes as its header promises. */
static int check_size(const stream *s, const header *h, aios_error *err)
{
    uint64_t n_bytes = 0, want = sizeof *h + (uint64_t)h->n * sizeof(int32_t), blocks = ((uint64_t)h->n + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE;
    int32_t sys = 0;
    want += blocks * h->part_bytes[AIOS__KV_GLOBAL]; /* below 2^32 tokens of sizes that this model has */
    want += (blocks - h->first) * h->part_bytes[AIOS__KV_WINDOW];
    int rc = s->env->file_size(s->env->user, s->f, &n_bytes, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s: its size cannot be read", s->path);
    if (n_bytes != want)
        return aios__fail_need(err, AIOS_EFORMAT, n_bytes, want, "%.300s: it has %llu bytes, but a session of %u tokens %llu: it was cut off or added to", s->path,
                               (unsigned long long)n_bytes, h->n, (unsigned long long)want);
    return AIOS_OK;
}

static int read_body(stream *s, aios__kv *kv, const header *h, aios_error *err)
{
    int rc = aios__kv_reserve(kv, h->n, err);
    if (rc)
        return rc;
    kv->unshared = true;
    kv->n = h->n;
    aios__kv_lock(&kv->net->kv);
    aios__kv_hold_windows(kv, h->first);
    aios__kv_unlock(&kv->net->kv);
    rc = pass_body(s, kv, h, err);
    if (!rc && s->sum != h->body_sum)
        rc = aios__fail(err, AIOS_EFORMAT, "%.300s: damaged: its bytes are not those that were written", s->path);
    for (uint32_t i = 0; !rc && i < h->n; i++) {
        int32_t id = *aios__kv_id(kv, i);
        if (id < 0 || (uint32_t)id >= kv->net->hp.n_vocab)
            rc = aios__fail(err, AIOS_EFORMAT, "%.300s: damaged: token %d at %u is not one of the %u of the vocabulary", s->path, id, i, kv->net->hp.n_vocab);
    }
    return rc;
}

static int read_all(stream *s, aios__kv *kv, uint64_t model, aios_error *err)
{
    header h;
    aios__kv *fresh = NULL;
    int rc = read_header(s, &h, err);
    rc = rc ? rc : check_owner(kv, model, &h, s->path, err);
    rc = rc ? rc : check_size(s, &h, err);
    rc = rc ? rc : aios__kv_new(kv->net, kv->n_ctx, &fresh, err);
    rc = rc ? rc : read_body(s, fresh, &h, err);
    if (!rc) {
        aios__kv old = *kv;
        *kv = *fresh;
        *fresh = old;
    }
    aios__kv_free(fresh);
    return rc;
}

int aios__kv_load(aios__kv *kv, uint64_t model, const char *path, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    stream s = {.env = aios__ctx_env(kv->net->ctx), .path = path};
    int32_t sys = 0;
    int rc = s.env->file_open(s.env->user, path, AIOS_OPEN_READ, &s.f, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s: cannot be opened", path);
    rc = read_all(&s, kv, model, err);
    s.env->file_close(s.env->user, s.f);
    return rc;
}
