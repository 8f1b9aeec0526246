/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/tensor. */
#ifndef AIOS_LIB_TENSOR_H
#define AIOS_LIB_TENSOR_H

#include <aios/tensor.h>

#include "device/device.h"

/** One row a type; NULL if unknown. */
typedef struct aios__dtype {
    const char *name;
    int32_t id;
    uint32_t block_elems, block_bytes;
} aios__dtype;
const aios__dtype *aios__dtype_of(int32_t id);
/** Bytes of n elements (a whole number of blocks), checked; false on overflow or a split block. */
bool aios__dtype_bytes(int32_t id, uint64_t n, uint64_t *bytes);

/**
 * Size-class pool of equal pages on a device (KV pages): freed pages are kept and reused. Thread-safety: safe.
 * Idle memory beyond keep_bytes is given back. Contents of a page are undefined; pages are 64-aligned.
 */
typedef struct aios__pages aios__pages;
int aios__pages_new(aios_device *dev, size_t page_bytes, size_t keep_bytes, uint32_t kind, aios__pages **out, aios_error *err);
void *aios__pages_get(aios__pages *p, aios_error *err);
void aios__pages_put(aios__pages *p, void *page);
/** Gives back what is idle; returns the bytes. */
size_t aios__pages_trim(aios__pages *p);
void aios__pages_free(aios__pages *p);

#endif
