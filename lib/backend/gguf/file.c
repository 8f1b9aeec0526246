/* SPDX-License-Identifier: Apache-2.0 */
/* Where the bytes of a GGUF file come from: a file read once, a mapping, or memory. */
#include <stdio.h>

#include "backend/gguf/file_priv.h"

static aios__gguf *new_reader(aios_ctx *ctx, const char *path, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(ctx);
    aios__gguf *g = aios__alloc(h, AIOS_MEM_VOCAB, sizeof *g, err);
    if (!g)
        return NULL;
    g->path = aios__strndup(h, AIOS_MEM_VOCAB, path, strlen(path), err);
    if (!g->path) {
        aios__free(h, g);
        return NULL;
    }
    g->ctx = aios__ctx_ref(ctx);
    return g;
}

int aios__gguf_pread(const aios__gguf *g, uint64_t off, void *p, size_t n, aios_error *err)
{
    const aios_env *e = aios__ctx_env(g->ctx);
    size_t done = 0;
    while (done < n) {
        size_t got = 0;
        int32_t sys = 0;
        int rc = e->file_read(e->user, g->file, off + done, (char *)p + done, n - done, &got, &sys);
        if (rc)
            return aios__fail_sys(err, rc, sys, "%.200s: reading %zu bytes at %llu failed", g->path, n, (unsigned long long)off);
        if (!got || got > n - done)
            return aios__fail_need(err, AIOS_EIO, off + done, off + n,
                                   "%.200s: the file ended at byte %llu while it was read, but had %llu bytes when it was "
                                   "opened; do not change a model file in use",
                                   g->path, (unsigned long long)(off + done), (unsigned long long)g->size);
        done += got;
    }
    return AIOS_OK;
}

static int open_file(aios__gguf *g, aios_error *err)
{
    const aios_env *e = aios__ctx_env(g->ctx);
    int32_t sys = 0;
    int rc = e->file_open(e->user, g->path, AIOS_OPEN_READ, &g->file, &sys);
    if (rc) {
        g->file = NULL;
        return aios__fail_sys(err, rc, sys, "cannot open the model file %.300s", g->path);
    }
    rc = e->file_size(e->user, g->file, &g->size, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s is not a regular file that can be read", g->path);
    return AIOS_OK;
}

static int map_file(aios__gguf *g, aios_error *err)
{
    const aios_env *e = aios__ctx_env(g->ctx);
    int32_t sys = 0;
    if (!g->size || g->size > SIZE_MAX)
        return aios__fail(err, AIOS_EFORMAT, "%.200s: %llu bytes cannot be mapped", g->path, (unsigned long long)g->size);
    int rc = aios__charge(aios__ctx_heap(g->ctx), AIOS_MEM_WEIGHTS, (size_t)g->size, err);
    if (rc)
        return rc;
    rc = e->file_map(e->user, g->file, (size_t)g->size, &g->map, &sys);
    if (rc) {
        g->map = NULL;
        aios__uncharge(aios__ctx_heap(g->ctx), AIOS_MEM_WEIGHTS, (size_t)g->size);
        return aios__fail_sys(err, rc, sys, "%.200s cannot be mapped; open it without mmap", g->path);
    }
    g->bytes = g->map;
    return AIOS_OK;
}

/* Two passes: the first finds where the metadata ends in constant memory, the second loads exactly that and checks it. */
static int load_meta(aios__gguf *g, aios_error *err)
{
    int rc = aios__gguf_outline(g, &g->meta_n, err);
    if (rc)
        return rc;
    g->meta = aios__alloc_large(aios__ctx_heap(g->ctx), AIOS_MEM_VOCAB, (size_t)g->meta_n, err);
    if (!g->meta)
        return aios__error_code(err, AIOS_ENOMEM);
    rc = aios__gguf_pread(g, 0, g->meta, (size_t)g->meta_n, err);
    return rc ? rc : aios__gguf_check(g, g->meta, g->meta_n, err);
}

int aios__gguf_open(aios_ctx *ctx, const char *path, bool use_mmap, aios__gguf **out, aios_error *err)
{
    aios_error mine = AIOS_INIT(aios_error);
    if (!out)
        return aios__fail(err, AIOS_EINVAL, "aios__gguf_open: out is NULL");
    *out = NULL;
    if (!ctx || !path || !*path)
        return aios__fail(err, AIOS_EINVAL, "aios__gguf_open: ctx or path is missing");
    aios__gguf *g = new_reader(ctx, path, &mine);
    if (!g)
        return aios__error_copy(err, &mine);
    int rc = open_file(g, &mine);
    if (!rc && use_mmap) {
        rc = map_file(g, &mine);
        if (!rc)
            rc = aios__gguf_check(g, g->bytes, g->size, &mine);
    } else if (!rc) {
        rc = load_meta(g, &mine);
    }
    if (rc) {
        aios__gguf_close(g);
        aios__error_copy(err, &mine);
        return rc;
    }
    *out = g;
    return AIOS_OK;
}

int aios__gguf_open_mem(aios_ctx *ctx, const void *p, size_t n, const char *name, aios__gguf **out, aios_error *err)
{
    aios_error mine = AIOS_INIT(aios_error);
    if (!out)
        return aios__fail(err, AIOS_EINVAL, "aios__gguf_open_mem: out is NULL");
    *out = NULL;
    if (!ctx || (!p && n))
        return aios__fail(err, AIOS_EINVAL, "aios__gguf_open_mem: ctx or bytes are missing");
    aios__gguf *g = new_reader(ctx, name ? name : "(memory)", &mine);
    if (!g)
        return aios__error_copy(err, &mine);
    g->bytes = p ? p : (const uint8_t *)"";
    g->size = n;
    int rc = aios__gguf_check(g, g->bytes, n, &mine);
    if (rc) {
        aios__gguf_close(g);
        aios__error_copy(err, &mine);
        return rc;
    }
    *out = g;
    return AIOS_OK;
}

void aios__gguf_close(aios__gguf *g)
{
    if (!g)
        return;
    aios_ctx *ctx = g->ctx;
    const aios_env *e = aios__ctx_env(ctx);
    aios__heap *h = aios__ctx_heap(ctx);
    if (g->map) {
        e->file_unmap(e->user, g->map, (size_t)g->size);
        aios__uncharge(h, AIOS_MEM_WEIGHTS, (size_t)g->size);
    }
    if (g->file)
        e->file_close(e->user, g->file);
    aios__free(h, g->meta);
    aios__free(h, g->kv);
    aios__free(h, g->tensors);
    aios__free(h, g->kv_order);
    aios__free(h, g->tensor_order);
    aios__free(h, g->path);
    aios__free(h, g);
    aios_ctx_free(ctx);
}

int aios__gguf_read(const aios__gguf *g, const aios__gguf_tensor *t, uint64_t off, void *p, size_t n, aios_error *err)
{
    char name[GGUF_TEXT];
    if (!g || !t || (!p && n))
        return aios__fail(err, AIOS_EINVAL, "aios__gguf_read: a NULL argument");
    if (off > t->n_bytes || n > t->n_bytes - off)
        return aios__fail_need(err, AIOS_EINVAL, t->n_bytes, off, "%.200s: tensor \"%s\" has %llu bytes, %zu at %llu are not in it",
                               g->path, aios__gguf_show(t->name, name), (unsigned long long)t->n_bytes, n,
                               (unsigned long long)off);
    if (!n)
        return AIOS_OK;
    if (g->bytes) {
        memcpy(p, g->bytes + t->offset + off, n);
        return AIOS_OK;
    }
    return aios__gguf_pread(g, t->offset + off, p, n, err);
}

bool aios__gguf_id(const aios__gguf *g, aios__file_id *out)
{
    return g->file && aios__env_file_id(aios__ctx_env(g->ctx), g->file, out);
}

int aios__gguf_sum(const aios__gguf *g, uint64_t *out, aios_error *err)
{
    uint8_t piece[4096];
    uint64_t n_meta = g->meta ? g->meta_n : g->data_off < g->size ? g->data_off : g->size;
    *out = aios__sum64(g->size, g->meta ? g->meta : g->bytes, (size_t)n_meta);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        const aios__gguf_tensor *t = &g->tensors[i];
        size_t n = t->n_bytes < sizeof piece ? (size_t)t->n_bytes : sizeof piece;
        int rc = aios__gguf_read(g, t, (t->n_bytes - n) / 2, piece, n, err);
        if (rc)
            return rc;
        *out = aios__sum64(*out, piece, n);
    }
    return AIOS_OK;
}

const void *aios__gguf_data(const aios__gguf *g, const aios__gguf_tensor *t)
{
    return g && t && g->bytes ? g->bytes + t->offset : NULL;
}
