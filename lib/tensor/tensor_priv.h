/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/tensor. */
#ifndef AIOS_LIB_TENSOR_PRIV_H
#define AIOS_LIB_TENSOR_PRIV_H

#include <stdatomic.h>

#include "tensor/tensor.h"

struct aios_buffer {
    _Atomic uint32_t refs;
    uint32_t kind;
    bool lazy, read_only;
    aios_device *dev;
    aios_device_mem mem;
    size_t n_bytes;                  /**< as asked for */
    size_t charged;                  /**< of the budget */
    size_t committed;                /**< usable from the start; n_bytes unless lazy */
    void (*drop)(aios_buffer *buf);  /**< gives back what is behind mem */
    aios_release_fn *release;        /**< of imported memory, may be NULL */
    void *release_user;
    size_t map_bytes;                /**< length of a file mapping, which begins at the file's start */
    void *map;
};

struct aios_tensor {
    aios_buffer *buf;
    size_t offset;
    size_t extent;         /**< bytes from offset to the end of the last element */
    aios_tensor_desc desc; /**< complete: every ne and nb is set */
};

/** Checks a desc, completes ne and nb, and tells how many bytes it spans. */
int aios__tensor_desc_check(aios_tensor_desc *d, uint64_t *extent, aios_error *err);

#endif
