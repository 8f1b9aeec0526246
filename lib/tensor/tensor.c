/* SPDX-License-Identifier: Apache-2.0 */
/* Typed views of buffers. */
#include "tensor/tensor_priv.h"

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

/* Sizes of unused dimensions become 1. */
static int check_shape(aios_tensor_desc *d, const aios__dtype *type, aios_error *err)
{
    if (!d->n_dims || d->n_dims > AIOS_MAX_DIMS)
        return aios__fail(err, AIOS_EINVAL, "a tensor of %u dimensions: 1 to %d", d->n_dims, AIOS_MAX_DIMS);
    for (uint32_t i = 0; i < AIOS_MAX_DIMS; i++) {
        if (i < d->n_dims ? !d->ne[i] : d->ne[i] > 1)
            return aios__fail(err, AIOS_EINVAL, "dimension %u of a tensor of %u has %llu elements", i, d->n_dims, (unsigned long long)d->ne[i]);
        if (i >= d->n_dims)
            d->ne[i] = 1;
    }
    if (d->ne[0] % type->block_elems)
        return aios__fail(err, AIOS_EINVAL, "%llu elements of %s are no whole number of blocks of %u", (unsigned long long)d->ne[0], type->name,
                          type->block_elems);
    return AIOS_OK;
}

static uint64_t blocks_of(const aios_tensor_desc *d, const aios__dtype *type, uint32_t i)
{
    return i ? d->ne[i] : d->ne[0] / type->block_elems;
}

/* Strides: none given means contiguous, and the stride of a single element means nothing. */
static int check_strides(aios_tensor_desc *d, const aios__dtype *type, aios_error *err)
{
    bool given = false;
    for (uint32_t i = 0; i < d->n_dims; i++)
        given |= d->nb[i] != 0;
    uint64_t packed = type->block_bytes;
    for (uint32_t i = 0; i < AIOS_MAX_DIMS; i++) {
        uint64_t n = blocks_of(d, type, i);
        if (!given || n == 1)
            d->nb[i] = packed;
        if (!d->nb[i] || d->nb[i] % (i || type->block_elems == 1 ? 1 : type->block_bytes))
            return aios__fail(err, AIOS_EINVAL, "dimension %u of a tensor has a stride of %llu bytes", i, (unsigned long long)d->nb[i]);
        if (!aios__mul_u64(packed, n, &packed))
            return aios__fail(err, AIOS_EINVAL, "a tensor has more bytes than fit 64 bits");
    }
    return AIOS_OK;
}

static int find_extent(const aios_tensor_desc *d, const aios__dtype *type, uint64_t *extent, aios_error *err)
{
    uint64_t end = type->block_bytes;
    for (uint32_t i = 0; i < AIOS_MAX_DIMS; i++) {
        uint64_t step;
        if (!aios__mul_u64(blocks_of(d, type, i) - 1, d->nb[i], &step) || !aios__add_u64(end, step, &end))
            return aios__fail(err, AIOS_EINVAL, "the strides of a tensor reach past 64 bits");
    }
    *extent = end;
    return AIOS_OK;
}

int aios__tensor_desc_check(aios_tensor_desc *d, uint64_t *extent, aios_error *err)
{
    const aios__dtype *type = aios__dtype_of(d->dtype);
    if (!type)
        return aios__fail(err, AIOS_ENOTSUP, "%d is no type of elements", d->dtype);
    int rc = check_shape(d, type, err);
    if (!rc)
        rc = check_strides(d, type, err);
    return rc ? rc : find_extent(d, type, extent, err);
}

/* ---- views ------------------------------------------------------------------------------------------------------------- */

int aios_tensor_new(aios_buffer *buf, size_t offset, const aios_tensor_desc *desc, aios_tensor **out, aios_error *err)
{
    aios_tensor_desc d;
    uint64_t extent = 0, end;
    if (!buf || !desc || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_tensor_new: %s is NULL", !buf ? "buf" : !desc ? "desc" : "t");
    *out = NULL;
    int rc = aios__struct_in(&d, sizeof d, desc, err);
    if (!rc)
        rc = aios__tensor_desc_check(&d, &extent, err);
    if (rc)
        return rc;
    if (!aios__add_u64(extent, offset, &end) || end > buf->n_bytes)
        return aios__fail_need(err, AIOS_EINVAL, buf->n_bytes, aios__add_u64(extent, offset, &end) ? end : UINT64_MAX,
                               "a tensor of %llu bytes at offset %zu reaches past its buffer of %zu", (unsigned long long)extent, offset,
                               buf->n_bytes);
    aios_error e = AIOS_INIT(aios_error);
    aios_tensor *t = aios__alloc(aios__ctx_heap(aios__device_ctx(buf->dev)), AIOS_MEM_OTHER, sizeof *t, &e);
    if (!t)
        return aios__error_copy(err, &e);
    t->buf = aios_buffer_ref(buf);
    t->offset = offset;
    t->extent = (size_t)extent;
    t->desc = d;
    *out = t;
    return AIOS_OK;
}

int aios_tensor_slice(const aios_tensor *t, uint32_t dim, uint64_t start, uint64_t count, aios_tensor **out, aios_error *err)
{
    if (!t || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_tensor_slice: %s is NULL", t ? "out" : "t");
    *out = NULL;
    aios_tensor_desc d = t->desc;
    if (dim >= d.n_dims || !count || start > d.ne[dim] || count > d.ne[dim] - start)
        return aios__fail(err, AIOS_EINVAL, "elements [%llu, +%llu) of dimension %u are not within the tensor", (unsigned long long)start,
                          (unsigned long long)count, dim);
    uint32_t block = dim ? 1 : aios__dtype_of(d.dtype)->block_elems;
    if (start % block || count % block)
        return aios__fail(err, AIOS_EINVAL, "elements [%llu, +%llu) of dimension 0 split a block of %u", (unsigned long long)start,
                          (unsigned long long)count, block);
    d.ne[dim] = count;
    return aios_tensor_new(t->buf, t->offset + (size_t)(start / block * d.nb[dim]), &d, out, err);
}

void aios_tensor_free(aios_tensor *t)
{
    if (!t)
        return;
    aios_buffer *buf = t->buf;
    aios__free(aios__ctx_heap(aios__device_ctx(buf->dev)), t);
    aios_buffer_unref(buf);
}

int aios_tensor_desc_get(const aios_tensor *t, aios_tensor_desc *out)
{
    return t && out ? aios__struct_out(out, &t->desc, sizeof t->desc) : AIOS_EINVAL;
}

void *aios_tensor_data(const aios_tensor *t)
{
    char *p = t ? aios_buffer_data(t->buf) : NULL;
    return p ? p + t->offset : NULL;
}

/* ---- reading and writing ------------------------------------------------------------------------------------------------ */

/* A packed copy of the elements on the host: exactly one of the two is set. */
struct packed {
    const aios_tensor *t;
    char *dst;
    const char *src;
};

static int copy_run(const struct packed *p, size_t at, size_t packed_at, size_t n, aios_error *err)
{
    const aios_buffer *buf = p->t->buf;
    aios_device_copy_args a = {.struct_size = sizeof a, .n_bytes = n};
    if (p->dst) {
        a.direction = AIOS_COPY_TO_HOST;
        a.src = &buf->mem;
        a.src_offset = at;
        a.dst_host = p->dst + packed_at;
    } else {
        a.direction = AIOS_COPY_TO_DEVICE;
        a.dst = &buf->mem;
        a.dst_offset = at;
        a.src_host = p->src + packed_at;
    }
    return aios_device_copy(buf->dev, &a, err);
}

/* Copies run by run; dimensions that lie without gaps in memory are one run. */
static int copy_packed(const struct packed *p, aios_error *err)
{
    const aios_tensor *t = p->t;
    const aios__dtype *type = aios__dtype_of(t->desc.dtype);
    uint64_t run = type->block_bytes, i[AIOS_MAX_DIMS] = {0};
    uint32_t from = 0;
    for (; from < AIOS_MAX_DIMS && t->desc.nb[from] == run; from++)
        run *= blocks_of(&t->desc, type, from);
    for (size_t done = 0;; done += (size_t)run) {
        uint64_t at = t->offset;
        for (uint32_t d = from; d < AIOS_MAX_DIMS; d++)
            at += i[d] * t->desc.nb[d];
        int rc = copy_run(p, (size_t)at, done, (size_t)run, err);
        if (rc)
            return rc;
        uint32_t d = from;
        for (; d < AIOS_MAX_DIMS && ++i[d] == blocks_of(&t->desc, type, d); d++)
            i[d] = 0;
        if (d == AIOS_MAX_DIMS)
            return AIOS_OK;
    }
}

static int check_packed(const aios_tensor *t, const void *host, size_t n_bytes, const char *what, aios_error *err)
{
    if (!t || !host)
        return aios__fail(err, AIOS_EINVAL, "%s: %s is NULL", what, t ? "the host's memory" : "t");
    const aios__dtype *type = aios__dtype_of(t->desc.dtype);
    uint64_t need = type->block_bytes;
    for (uint32_t i = 0; i < AIOS_MAX_DIMS; i++)
        need *= blocks_of(&t->desc, type, i);
    if (need != n_bytes)
        return aios__fail_need(err, AIOS_EINVAL, n_bytes, need, "%s: the tensor has %llu packed bytes, not %zu", what, (unsigned long long)need,
                               n_bytes);
    if (t->offset + t->extent > t->buf->committed)
        return aios__fail_need(err, AIOS_ESTATE, t->buf->committed, t->offset + t->extent,
                               "%s: the tensor reaches past the %zu committed bytes of its buffer", what, t->buf->committed);
    return AIOS_OK;
}

int aios_tensor_read(const aios_tensor *t, void *dst, size_t n_bytes, aios_error *err)
{
    int rc = check_packed(t, dst, n_bytes, "aios_tensor_read", err);
    struct packed p = {.t = t, .dst = dst};
    return rc ? rc : copy_packed(&p, err);
}

int aios_tensor_write(aios_tensor *t, const void *src, size_t n_bytes, aios_error *err)
{
    int rc = check_packed(t, src, n_bytes, "aios_tensor_write", err);
    if (rc)
        return rc;
    if (t->buf->read_only)
        return aios__fail(err, AIOS_ESTATE, "aios_tensor_write: the buffer is a read-only file");
    struct packed p = {.t = t, .src = src};
    return copy_packed(&p, err);
}
