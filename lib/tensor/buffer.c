/* SPDX-License-Identifier: Apache-2.0 */
/* Reference-counted memory of a device: allocated, imported from the host, or a mapped file. */
#include <unistd.h>

#include "tensor/tensor_priv.h"

enum { DEFAULT_ALIGN = 64 };

static aios__heap *heap_of(const aios_buffer *buf)
{
    return aios__ctx_heap(aios__device_ctx(buf->dev));
}

/* A buffer without memory; it keeps the ctx alive. */
static int new_buffer(aios_device *dev, uint32_t kind, aios_buffer **out, aios_error *err)
{
    aios_ctx *ctx = aios__device_ctx(dev);
    aios_error e = AIOS_INIT(aios_error);
    aios_buffer *buf = aios__alloc(aios__ctx_heap(ctx), kind, sizeof *buf, &e);
    if (!buf)
        return aios__error_copy(err, &e);
    atomic_init(&buf->refs, 1);
    buf->kind = kind;
    buf->dev = dev;
    buf->mem = (aios_device_mem)AIOS_INIT(aios_device_mem);
    aios__ctx_ref(ctx);
    *out = buf;
    return AIOS_OK;
}

static void free_buffer(aios_buffer *buf)
{
    aios_ctx *ctx = aios__device_ctx(buf->dev);
    aios__free(aios__ctx_heap(ctx), buf);
    aios_ctx_free(ctx);
}

/* ---- allocated ------------------------------------------------------------------------------------------------------- */

static void drop_device_memory(aios_buffer *buf)
{
    aios__device_release(buf->dev, &buf->mem, buf->kind, buf->charged);
}

static int check_config(const aios_buffer_config *c, aios_error *err)
{
    const uint32_t known = AIOS_BUFFER_HUGE | AIOS_BUFFER_HUGE_TLB | AIOS_BUFFER_LAZY | AIOS_BUFFER_ZERO;
    if (!c->n_bytes)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_alloc: n_bytes is 0");
    if (c->align && !aios__is_pow2(c->align))
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_alloc: align %zu is no power of two", c->align);
    if (c->flags & ~known)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_alloc: unknown flags 0x%x", c->flags & ~known);
    if (c->kind >= AIOS_MEM_COUNT)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_alloc: kind %u is none of AIOS_MEM_x", c->kind);
    return AIOS_OK;
}

int aios_buffer_alloc(aios_device *dev, const aios_buffer_config *cfg, aios_buffer **out, aios_error *err)
{
    aios_buffer_config c;
    aios_buffer *buf = NULL;
    if (!dev || !cfg || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_alloc: %s is NULL", !dev ? "dev" : !cfg ? "cfg" : "buf");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    if (!rc)
        rc = check_config(&c, err);
    if (!rc)
        rc = new_buffer(dev, c.kind ? c.kind : AIOS_MEM_BUFFER, &buf, err);
    if (rc)
        return rc;
    aios_device_alloc_args a = {.struct_size = sizeof a, .n_bytes = c.n_bytes, .align = c.align ? c.align : DEFAULT_ALIGN,
                                .flags = c.flags, .numa = c.numa};
    rc = aios__device_alloc(dev, &a, buf->kind, &buf->mem, &buf->lazy, err);
    if (rc) {
        free_buffer(buf);
        return rc;
    }
    buf->n_bytes = c.n_bytes;
    buf->charged = buf->lazy ? 0 : buf->mem.n_bytes;
    buf->committed = buf->lazy ? 0 : c.n_bytes;
    buf->drop = drop_device_memory;
    *out = buf;
    return AIOS_OK;
}

/* Whole pages, since the budget should know what the system really gives. */
static size_t commit_bytes(const aios_buffer *buf, size_t n)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t whole;
    if (!aios__align_size(n, page > 0 ? (size_t)page : 4096, &whole) || whole > buf->mem.n_bytes)
        return buf->mem.n_bytes;
    return whole;
}

int aios_buffer_commit(aios_buffer *buf, size_t n_bytes, aios_error *err)
{
    if (!buf)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_commit: buf is NULL");
    if (n_bytes > buf->n_bytes)
        return aios__fail_need(err, AIOS_EINVAL, buf->n_bytes, n_bytes, "aios_buffer_commit: %zu bytes of a buffer of %zu", n_bytes, buf->n_bytes);
    if (n_bytes <= buf->committed)
        return AIOS_OK;
    size_t now = commit_bytes(buf, n_bytes), more = now - buf->charged;
    int rc = aios__charge(heap_of(buf), buf->kind, more, err);
    if (rc)
        return rc;
    void *self;
    const aios_device_ops *ops = aios__device_ops(buf->dev, &self);
    rc = ops->commit(self, &buf->mem, now, err);
    if (rc) {
        aios__uncharge(heap_of(buf), buf->kind, more);
        return rc;
    }
    buf->charged = now;
    buf->committed = now < buf->n_bytes ? now : buf->n_bytes;
    return AIOS_OK;
}

/* ---- imported --------------------------------------------------------------------------------------------------------- */

static void drop_import(aios_buffer *buf)
{
    if (buf->release)
        buf->release(buf->release_user, buf->mem.ptr);
}

int aios_buffer_import(aios_device *dev, void *ptr, size_t n_bytes, aios_release_fn *fn, void *user, aios_buffer **out, aios_error *err)
{
    aios_buffer *buf;
    if (!dev || !ptr || !n_bytes || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_import: %s", !dev ? "dev is NULL" : !ptr ? "ptr is NULL" : !out ? "buf is NULL" : "n_bytes is 0");
    *out = NULL;
    if (!aios__device_is_host(dev))
        return aios__fail(err, AIOS_ENOTSUP, "aios_buffer_import: device \"%s\" cannot address host memory", aios__device_ops(dev, NULL)->name);
    if (n_bytes > PTRDIFF_MAX || (uintptr_t)ptr > UINTPTR_MAX - n_bytes)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_import: %zu bytes run past the end of the address space", n_bytes);
    int rc = new_buffer(dev, AIOS_MEM_BUFFER, &buf, err);
    if (rc)
        return rc;
    buf->mem.ptr = ptr;
    buf->mem.n_bytes = buf->n_bytes = buf->committed = n_bytes;
    buf->release = fn;
    buf->release_user = user;
    buf->drop = drop_import;
    *out = buf;
    return AIOS_OK;
}

/* ---- mapped ------------------------------------------------------------------------------------------------------------ */

static void drop_map(aios_buffer *buf)
{
    const aios_env *env = aios__ctx_env(aios__device_ctx(buf->dev));
    env->file_unmap(env->user, buf->map, buf->map_bytes);
    aios__uncharge(heap_of(buf), buf->kind, buf->charged);
}

struct source {
    const aios_env *env;
    const char *path;
    aios_file *file;
    uint64_t offset;
    size_t n_bytes;
};

static int open_source(struct source *s, aios_error *err)
{
    int32_t sys = 0;
    uint64_t size = 0;
    int rc = s->env->file_open(s->env->user, s->path, AIOS_OPEN_READ, &s->file, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%.300s: cannot be opened", s->path);
    rc = s->env->file_size(s->env->user, s->file, &size, &sys);
    if (rc)
        rc = aios__fail_sys(err, rc, sys, "%.300s: its size cannot be read", s->path);
    else if (s->offset >= size || s->n_bytes > size - s->offset || size > PTRDIFF_MAX)
        rc = aios__fail_need(err, AIOS_EINVAL, size, s->offset + s->n_bytes, "%.300s: %zu bytes at %llu are not within its %llu bytes", s->path,
                             s->n_bytes, (unsigned long long)s->offset, (unsigned long long)size);
    if (rc)
        s->env->file_close(s->env->user, s->file);
    else if (!s->n_bytes)
        s->n_bytes = (size_t)(size - s->offset);
    return rc;
}

/* Where files cannot be mapped their bytes are read. */
static int read_source(aios_device *dev, const struct source *s, aios_buffer **out, aios_error *err)
{
    aios_buffer_config c = {.struct_size = sizeof c, .n_bytes = s->n_bytes, .flags = AIOS_BUFFER_HUGE};
    aios_buffer *buf;
    size_t got = 0;
    int32_t sys = 0;
    int rc = aios_buffer_alloc(dev, &c, &buf, err);
    if (rc)
        return rc;
    rc = s->env->file_read(s->env->user, s->file, s->offset, buf->mem.ptr, s->n_bytes, &got, &sys);
    if (rc || got != s->n_bytes) {
        aios_buffer_unref(buf);
        return rc ? aios__fail_sys(err, rc, sys, "%.300s: cannot be read", s->path)
                  : aios__fail_need(err, AIOS_EIO, got, s->n_bytes, "%.300s: it became shorter while it was read", s->path);
    }
    buf->read_only = true;
    *out = buf;
    return AIOS_OK;
}

static int map_source(aios_device *dev, const struct source *s, aios_buffer **out, aios_error *err)
{
    aios_buffer *buf;
    int32_t sys = 0;
    int rc = new_buffer(dev, AIOS_MEM_BUFFER, &buf, err);
    if (rc)
        return rc;
    rc = aios__charge(heap_of(buf), buf->kind, s->n_bytes, err);
    if (rc) {
        free_buffer(buf);
        return rc;
    }
    buf->map_bytes = (size_t)s->offset + s->n_bytes;
    rc = s->env->file_map(s->env->user, s->file, buf->map_bytes, &buf->map, &sys);
    if (rc) {
        aios__uncharge(heap_of(buf), buf->kind, s->n_bytes);
        free_buffer(buf);
        if (rc == AIOS_ENOTSUP)
            return read_source(dev, s, out, err);
        return aios__fail_sys(err, rc, sys, "%.300s: cannot be mapped", s->path);
    }
    buf->mem.ptr = (char *)buf->map + s->offset;
    buf->mem.n_bytes = buf->n_bytes = buf->committed = buf->charged = s->n_bytes;
    buf->read_only = true;
    buf->drop = drop_map;
    *out = buf;
    return AIOS_OK;
}

int aios_buffer_map(aios_device *dev, const char *path, uint64_t offset, size_t n_bytes, aios_buffer **out, aios_error *err)
{
    if (!dev || !path || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_buffer_map: %s is NULL", !dev ? "dev" : !path ? "path" : "buf");
    *out = NULL;
    if (!aios__device_is_host(dev))
        return aios__fail(err, AIOS_ENOTSUP, "aios_buffer_map: device \"%s\" cannot address host memory", aios__device_ops(dev, NULL)->name);
    struct source s = {.env = aios__ctx_env(aios__device_ctx(dev)), .path = path, .offset = offset, .n_bytes = n_bytes};
    int rc = open_source(&s, err);
    if (rc)
        return rc;
    rc = map_source(dev, &s, out, err);
    s.env->file_close(s.env->user, s.file);
    return rc;
}

/* ---- all --------------------------------------------------------------------------------------------------------------- */

aios_buffer *aios_buffer_ref(aios_buffer *buf)
{
    if (buf)
        atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
    return buf;
}

void aios_buffer_unref(aios_buffer *buf)
{
    if (!buf || atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) != 1)
        return;
    buf->drop(buf);
    free_buffer(buf);
}

void *aios_buffer_data(aios_buffer *buf)
{
    return buf && aios__device_is_host(buf->dev) ? buf->mem.ptr : NULL;
}

size_t aios_buffer_size(const aios_buffer *buf)
{
    return buf ? buf->n_bytes : 0;
}

const aios_device_mem *aios_buffer_mem(const aios_buffer *buf)
{
    return buf ? &buf->mem : NULL;
}
