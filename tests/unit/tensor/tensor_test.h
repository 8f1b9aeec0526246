/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers for suites of tensors, and what they use. */
#ifndef AIOS_TEST_TENSOR_H
#define AIOS_TEST_TENSOR_H

#include "test.h"

#include "tensor/tensor.h"

static inline aios_buffer *make_buffer(aios_ctx *ctx, size_t n, size_t align, uint32_t flags)
{
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = NULL;
    cfg.n_bytes = n;
    cfg.align = align;
    cfg.flags = flags;
    if (aios_buffer_alloc(aios_device_at(ctx, 0), &cfg, &buf, &err))
        fail_msg("%s", err.msg);
    return buf;
}

static inline uint64_t used_now(const aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

#endif
