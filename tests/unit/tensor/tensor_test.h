/* SPDX-License-Identifier: Apache-2.0 */
/* Refusal at every point: a scenario runs with a budget that ends after k bytes. */
#ifndef AIOS_TEST_TENSOR_H
#define AIOS_TEST_TENSOR_H

#include "test.h"

#include "tensor/tensor.h"

static inline void assert_every_budget_is_kept(scenario_fn *fn)
{
    int rc = AIOS_EBUDGET;
    uint64_t step = 16, room = 0;
    uint32_t n_refused = 0;
    for (; rc; room += step) {
        test_heap h = {0};
        aios_ctx *ctx = test_ctx(&h, 0);
        aios_error err = AIOS_INIT(aios_error);
        aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
        aios_ctx_usage(ctx, &before);
        assert_int_equal(aios_ctx_set_budget(ctx, before.used + room, &err), 0);
        rc = fn(ctx, &err);
        aios_ctx_usage(ctx, &after);
        assert_true(!rc || (rc == AIOS_EBUDGET && err.need > err.have));
        assert_int_equal(before.used, after.used);
        assert_true(after.peak <= before.used + room);
        n_refused += rc != 0;
        step = room / 8 + 16;
        aios_ctx_free(ctx);
        assert_int_equal(h.live, 0);
        assert_true(room < (uint64_t)1 << 40);
    }
    assert_true(n_refused > 0);
}

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
