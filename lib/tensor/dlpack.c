/* SPDX-License-Identifier: Apache-2.0 */
/* Exchange of tensors by DLPack 0.8: https://dmlc.github.io/dlpack/latest/c_api.html. Its dimensions run the other way round. */
#include "tensor/tensor_priv.h"

enum { DL_CPU = 1, DL_CUDA_HOST = 3 };
enum { DL_INT = 0, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4 };

typedef struct dl_tensor {
    void *data;
    struct {
        int32_t type, id;
    } device;
    int32_t ndim;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape;
    int64_t *strides; /**< in elements; NULL: compact */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor t;
    void *manager_ctx;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

static const struct dl_type {
    int32_t dtype;
    uint8_t code, bits;
} types[] = {
    {AIOS_DTYPE_F32, DL_FLOAT, 32}, {AIOS_DTYPE_F16, DL_FLOAT, 16}, {AIOS_DTYPE_BF16, DL_BFLOAT, 16},
    {AIOS_DTYPE_F64, DL_FLOAT, 64}, {AIOS_DTYPE_I8, DL_INT, 8},     {AIOS_DTYPE_I16, DL_INT, 16},
    {AIOS_DTYPE_I32, DL_INT, 32},   {AIOS_DTYPE_I64, DL_INT, 64},   {AIOS_DTYPE_U8, DL_UINT, 8},
};

/* ---- export ------------------------------------------------------------------------------------------------------------- */

struct export
{
    dl_managed m;
    aios_buffer *buf;
    int64_t shape[AIOS_MAX_DIMS], strides[AIOS_MAX_DIMS];
};

static void delete_export(dl_managed *m)
{
    struct export *x = m->manager_ctx;
    aios_buffer *buf = x->buf;
    aios__free(aios__ctx_heap(aios__device_ctx(buf->dev)), x);
    aios_buffer_unref(buf);
}

static int check_export(const aios_tensor *t, const struct dl_type **type, aios_error *err)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(types); i++)
        if (types[i].dtype == t->desc.dtype)
            *type = &types[i];
    const char *name = aios__dtype_of(t->desc.dtype)->name;
    if (!*type)
        return aios__fail(err, AIOS_ENOTSUP, "DLPack has no type for %s: dequantize it first", name);
    if (!aios__device_is_host(t->buf->dev))
        return aios__fail(err, AIOS_ENOTSUP, "DLPack cannot name device \"%s\": read the tensor to the host", aios__device_ops(t->buf->dev, NULL)->name);
    if (t->buf->read_only)
        return aios__fail(err, AIOS_ENOTSUP, "DLPack 0.8 cannot say that a tensor is read-only: copy it");
    if (t->offset + t->extent > t->buf->committed)
        return aios__fail_need(err, AIOS_ESTATE, t->buf->committed, t->offset + t->extent, "the tensor is not committed");
    for (uint32_t i = 0; i < t->desc.n_dims; i++)
        if (t->desc.nb[i] % ((*type)->bits / 8u))
            return aios__fail(err, AIOS_ENOTSUP, "DLPack counts strides in elements: %llu bytes are no whole number of %s",
                              (unsigned long long)t->desc.nb[i], name);
    return AIOS_OK;
}

int aios_tensor_to_dlpack(aios_tensor *t, void **out, aios_error *err)
{
    const struct dl_type *type = NULL;
    if (!t || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_tensor_to_dlpack: %s is NULL", t ? "dl_managed_tensor" : "t");
    *out = NULL;
    int rc = check_export(t, &type, err);
    if (rc)
        return rc;
    aios_error e = AIOS_INIT(aios_error);
    struct export *x = aios__alloc(aios__ctx_heap(aios__device_ctx(t->buf->dev)), AIOS_MEM_OTHER, sizeof *x, &e);
    if (!x)
        return aios__error_copy(err, &e);
    uint32_t n = t->desc.n_dims, size = type->bits / 8u;
    for (uint32_t i = 0; i < n; i++) {
        x->shape[n - 1 - i] = (int64_t)t->desc.ne[i];
        x->strides[n - 1 - i] = (int64_t)(t->desc.nb[i] / size);
    }
    x->buf = aios_buffer_ref(t->buf);
    x->m = (dl_managed){.manager_ctx = x, .deleter = delete_export};
    x->m.t = (dl_tensor){.data = aios_tensor_data(t), .device = {DL_CPU, 0}, .ndim = (int32_t)n, .dtype = {type->code, type->bits, 1},
                         .shape = x->shape, .strides = x->strides};
    *out = &x->m;
    return AIOS_OK;
}

/* ---- import ------------------------------------------------------------------------------------------------------------- */

static void release_import(void *user, void *ptr)
{
    dl_managed *m = user;
    AIOS__UNUSED(ptr);
    if (m->deleter)
        m->deleter(m);
}

static int import_shape(const dl_tensor *t, uint32_t size, aios_tensor_desc *d, aios_error *err)
{
    uint32_t n = (uint32_t)t->ndim;
    d->n_dims = n ? n : 1;
    d->ne[0] = 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t ne = t->shape[n - 1 - i], stride = t->strides ? t->strides[n - 1 - i] : 0;
        if (ne < 1)
            return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor has %lld elements in a dimension", (long long)ne);
        d->ne[i] = (uint64_t)ne;
        if (!t->strides)
            continue;
        if (ne > 1 && stride < 1)
            return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor has a stride of %lld: copy it first", (long long)stride);
        if (!aios__mul_u64(stride > 0 ? (uint64_t)stride : 1, size, &d->nb[i]))
            return aios__fail(err, AIOS_EINVAL, "the DLPack tensor has a stride of %lld elements", (long long)stride);
    }
    return AIOS_OK;
}

static int import_desc(const dl_tensor *t, aios_tensor_desc *d, aios_error *err)
{
    const struct dl_type *type = NULL;
    if (t->device.type != DL_CPU && t->device.type != DL_CUDA_HOST)
        return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor is on a device of type %d: only host memory can be imported", t->device.type);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(types); i++)
        if (types[i].code == t->dtype.code && types[i].bits == t->dtype.bits && t->dtype.lanes == 1)
            type = &types[i];
    if (!type)
        return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor has elements of code %u with %u bits and %u lanes", t->dtype.code, t->dtype.bits,
                          t->dtype.lanes);
    if (t->ndim < 0 || t->ndim > AIOS_MAX_DIMS)
        return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor has %d dimensions: up to %d", t->ndim, AIOS_MAX_DIMS);
    if (!t->data || (t->ndim && !t->shape))
        return aios__fail(err, AIOS_EINVAL, "the DLPack tensor has no %s", t->data ? "shape" : "data");
    uint32_t size = type->bits / 8u;
    if (((uintptr_t)t->data + t->byte_offset) % size)
        return aios__fail(err, AIOS_ENOTSUP, "the DLPack tensor is not aligned to its elements of %u bytes", size);
    d->dtype = type->dtype;
    return import_shape(t, size, d, err);
}

int aios_tensor_from_dlpack(aios_device *dev, void *dl_managed_tensor, aios_tensor **out, aios_error *err)
{
    dl_managed *m = dl_managed_tensor;
    aios_tensor_desc d = AIOS_INIT(aios_tensor_desc);
    uint64_t extent = 0;
    if (!dev || !m || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_tensor_from_dlpack: %s is NULL", !dev ? "dev" : !m ? "dl_managed_tensor" : "t");
    *out = NULL;
    int rc = import_desc(&m->t, &d, err);
    if (!rc)
        rc = aios__tensor_desc_check(&d, &extent, err);
    if (rc)
        return rc;
    aios_buffer *buf = NULL;
    if (extent > PTRDIFF_MAX)
        return aios__fail(err, AIOS_EINVAL, "the DLPack tensor claims %llu bytes", (unsigned long long)extent);
    rc = aios_buffer_import(dev, (char *)m->t.data + m->t.byte_offset, (size_t)extent, release_import, m, &buf, err);
    if (rc)
        return rc;
    rc = aios_tensor_new(buf, 0, &d, out, err);
    if (rc)
        buf->release = NULL; /* it stays the caller's */
    aios_buffer_unref(buf);
    return rc;
}
