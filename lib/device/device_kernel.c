/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU device's "kernel" slot: the plain loops that say what each operation means. The engine has kernels of its own. */
#include "device/device_priv.h"

enum { CHUNK = 256 }; /* a multiple of every block */

static bool block_of(int32_t dtype, uint32_t *elems, uint32_t *bytes)
{
    static const struct {
        int32_t id;
        uint32_t elems, bytes;
    } rows[] = {
#define X(name, number, n, b) {number, n, b},
        AIOS_DTYPES(X)
#undef X
        {AIOS_DTYPE_U8, 1, 1},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].id == dtype) {
            *elems = rows[i].elems;
            *bytes = rows[i].bytes;
            return true;
        }
    return false;
}

static uint64_t dim(const aios_tensor_desc *d, uint32_t i)
{
    return i < d->n_dims && d->ne[i] ? d->ne[i] : 1;
}

uint64_t aios__desc_bytes(const aios_tensor_desc *d)
{
    uint32_t elems, bytes;
    uint64_t total;
    if (!d->n_dims || d->n_dims > AIOS_MAX_DIMS || !block_of(d->dtype, &elems, &bytes) || dim(d, 0) % elems)
        return 0;
    total = dim(d, 0) / elems;
    if (!aios__mul_u64(total, bytes, &total) || (d->nb[0] && d->nb[0] != bytes))
        return 0;
    for (uint32_t i = 1; i < d->n_dims; i++) {
        if (d->nb[i] && d->nb[i] != total)
            return 0;
        if (!aios__mul_u64(total, dim(d, i), &total))
            return 0;
    }
    return total;
}

/* ---- reading floats --------------------------------------------------------------------------------------------------- */

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* IEEE 754 binary16. */
static float from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, frac = h & 0x3ff;
    if (exp == 31)
        return from_bits(sign | 0x7f800000 | frac << 13);
    if (exp)
        return from_bits(sign | (exp + 112) << 23 | frac << 13);
    float v = (float)frac * 0x1p-24f;
    return sign ? -v : v;
}

static void read_f32(const void *src, size_t n, float *out)
{
    memcpy(out, src, n * sizeof *out);
}

static void read_f16(const void *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, (const char *)src + 2 * i, 2);
        out[i] = from_f16(h);
    }
}

static void read_bf16(const void *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, (const char *)src + 2 * i, 2);
        out[i] = from_bits((uint32_t)h << 16);
    }
}

static void read_f64(const void *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        double v;
        memcpy(&v, (const char *)src + 8 * i, 8);
        out[i] = (float)v;
    }
}

static void read_i8(const void *src, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ((const int8_t *)src)[i];
}

/* A dtype that is read without the kernel tier. */
static const struct reader {
    int32_t dtype;
    void (*read)(const void *src, size_t n, float *out);
} readers[] = {
    {AIOS_DTYPE_F32, read_f32}, {AIOS_DTYPE_F16, read_f16}, {AIOS_DTYPE_BF16, read_bf16},
    {AIOS_DTYPE_F64, read_f64}, {AIOS_DTYPE_I8, read_i8},
};

/* n elements of dtype as floats; ENOTSUP if nobody can read them. */
static int read_floats(aios__cpu *cpu, int32_t dtype, const void *src, size_t n, float *out)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(readers); i++)
        if (readers[i].dtype == dtype) {
            readers[i].read(src, n, out);
            return AIOS_OK;
        }
    aios__dequantize_fn *fn = atomic_load(&cpu->dequantize);
    return fn ? fn(dtype, src, n, out) : AIOS_ENOTSUP;
}

/* ---- operations ------------------------------------------------------------------------------------------------------- */

static const char *address(const aios_device_mem *mem, size_t offset)
{
    return (const char *)mem->ptr + offset;
}

static int check_matmul(const aios_device_kernel_args *a, aios_error *err)
{
    const aios_tensor_desc *x = &a->in_desc[0], *w = &a->in_desc[1], *y = a->out_desc;
    if (x->dtype != AIOS_DTYPE_F32 || y->dtype != AIOS_DTYPE_F32)
        return aios__fail(err, AIOS_ENOTSUP, "matmul: the first input and the output must be F32");
    if (x->n_dims > 2 || w->n_dims > 2 || y->n_dims > 2 || dim(x, 0) != dim(w, 0) || dim(y, 0) != dim(w, 1) || dim(y, 1) != dim(x, 1))
        return aios__fail(err, AIOS_EINVAL, "matmul: a[m][k] x b[n][k] = out[m][n] does not hold: a is [%llu][%llu], b [%llu][%llu], out [%llu][%llu]",
                          (unsigned long long)dim(x, 1), (unsigned long long)dim(x, 0), (unsigned long long)dim(w, 1),
                          (unsigned long long)dim(w, 0), (unsigned long long)dim(y, 1), (unsigned long long)dim(y, 0));
    return AIOS_OK;
}

/* Adds the products of n elements of one weight row to column j of every output row. */
static void add_products(const float *x, uint64_t k, const float *w, uint64_t n, uint64_t m_rows, float *y, uint64_t n_cols)
{
    for (uint64_t m = 0; m < m_rows; m++) {
        float sum = 0;
        for (uint64_t i = 0; i < n; i++)
            sum += x[m * k + i] * w[i];
        y[m * n_cols] += sum;
    }
}

static int op_matmul(aios__cpu *cpu, const aios_device_kernel_args *a, aios_error *err)
{
    float row[CHUNK];
    uint32_t elems = 1, bytes = 1;
    int rc = check_matmul(a, err);
    if (rc)
        return rc;
    const float *x = (const void *)address(a->in[0], a->in_offset[0]);
    const char *w = address(a->in[1], a->in_offset[1]);
    float *y = (float *)(uintptr_t)address(a->out, a->out_offset);
    uint64_t k = dim(&a->in_desc[0], 0), m_rows = dim(&a->in_desc[0], 1), n_cols = dim(&a->in_desc[1], 1);
    block_of(a->in_desc[1].dtype, &elems, &bytes);
    memset(y, 0, m_rows * n_cols * sizeof *y);
    for (uint64_t j = 0; j < n_cols; j++) {
        for (uint64_t i = 0; i < k; i += CHUNK) {
            uint64_t n = k - i < CHUNK ? k - i : CHUNK;
            rc = read_floats(cpu, a->in_desc[1].dtype, w + (j * k + i) / elems * bytes, n, row);
            if (rc)
                return aios__fail(err, rc, "matmul: weights of type %d cannot be read", a->in_desc[1].dtype);
            add_products(x + i, k, row, n, m_rows, y + j, n_cols);
        }
    }
    return AIOS_OK;
}

/* Two F32 tensors of one shape. */
static int check_pair(const aios_device_kernel_args *a, uint64_t *n, aios_error *err)
{
    *n = 1;
    for (uint32_t i = 0; i < AIOS_MAX_DIMS; i++) {
        if (dim(&a->in_desc[0], i) != dim(&a->in_desc[1], i) || dim(&a->in_desc[0], i) != dim(a->out_desc, i))
            return aios__fail(err, AIOS_EINVAL, "%s: the shapes differ in dimension %u", a->op, i);
        *n *= dim(a->out_desc, i);
    }
    if (a->in_desc[0].dtype != AIOS_DTYPE_F32 || a->in_desc[1].dtype != AIOS_DTYPE_F32 || a->out_desc->dtype != AIOS_DTYPE_F32)
        return aios__fail(err, AIOS_ENOTSUP, "%s: only F32 is supported", a->op);
    return AIOS_OK;
}

static int op_pair(const aios_device_kernel_args *a, bool mul, aios_error *err)
{
    uint64_t n;
    int rc = check_pair(a, &n, err);
    if (rc)
        return rc;
    const float *x = (const void *)address(a->in[0], a->in_offset[0]), *z = (const void *)address(a->in[1], a->in_offset[1]);
    float *y = (float *)(uintptr_t)address(a->out, a->out_offset);
    for (uint64_t i = 0; i < n; i++)
        y[i] = mul ? x[i] * z[i] : x[i] + z[i];
    return AIOS_OK;
}

static int op_add(aios__cpu *cpu, const aios_device_kernel_args *a, aios_error *err)
{
    AIOS__UNUSED(cpu);
    return op_pair(a, false, err);
}

static int op_mul(aios__cpu *cpu, const aios_device_kernel_args *a, aios_error *err)
{
    AIOS__UNUSED(cpu);
    return op_pair(a, true, err);
}

static const struct op {
    const char *name;
    uint32_t n_in;
    int (*run)(aios__cpu *cpu, const aios_device_kernel_args *a, aios_error *err);
} ops[] = {
    {"matmul", 2, op_matmul},
    {"add", 2, op_add},
    {"mul", 2, op_mul},
};

static bool aligned(const aios_device_kernel_args *a)
{
    uintptr_t bits = (uintptr_t)a->out->ptr + a->out_offset;
    for (uint32_t i = 0; i < a->n_in; i++)
        if (a->in_desc[i].dtype == AIOS_DTYPE_F32)
            bits |= (uintptr_t)a->in[i]->ptr + a->in_offset[i];
    return !(bits & 3);
}

int aios__device_cpu_kernel(void *self, const aios_device_kernel_args *args, aios_error *err)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(ops); i++) {
        if (strcmp(ops[i].name, args->op))
            continue;
        if (args->n_in != ops[i].n_in)
            return aios__fail(err, AIOS_EINVAL, "%s takes %u inputs, not %u", args->op, ops[i].n_in, args->n_in);
        if (!aligned(args))
            return aios__fail(err, AIOS_EINVAL, "%s: an F32 tensor is not aligned to 4 bytes", args->op);
        return ops[i].run(self, args, err);
    }
    return aios__fail(err, AIOS_ENOTSUP, "the CPU device has no operation \"%.40s\"", args->op);
}
