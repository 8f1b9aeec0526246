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

#endif
