/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of the element types; the rows are AIOS_DTYPES. */
#include "tensor/tensor.h"

static const aios__dtype rows[] = {
#define X(name, number, n, bytes) {#name, number, n, bytes},
    AIOS_DTYPES(X)
#undef X
    {"U8", AIOS_DTYPE_U8, 1, 1},
};

const aios__dtype *aios__dtype_of(int32_t id)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].id == id)
            return &rows[i];
    return NULL;
}

bool aios__dtype_bytes(int32_t id, uint64_t n, uint64_t *bytes)
{
    const aios__dtype *d = aios__dtype_of(id);
    return d && !(n % d->block_elems) && aios__mul_u64(n / d->block_elems, d->block_bytes, bytes);
}

int aios_dtype_info_get(int32_t dtype, aios_dtype_info *out)
{
    const aios__dtype *d = aios__dtype_of(dtype);
    if (!out)
        return AIOS_EINVAL;
    if (!d)
        return AIOS_ENOTSUP;
    aios_dtype_info info = {
        .name = d->name, .block_elems = d->block_elems, .block_bytes = d->block_bytes, .quantized = d->block_elems > 1};
    return aios__struct_out(out, &info, sizeof info);
}
