/* SPDX-License-Identifier: Apache-2.0 */
/* What every suite includes: cmocka with its prerequisites, and a heap that fails on order. */
#ifndef AIOS_TEST_H
#define AIOS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <aios/aios.h>

/** Fault-injecting allocator for aios_env.realloc: the n-th allocation fails (fail_at, from 1; 0: none). */
typedef struct test_heap {
    long n_allocs;  /**< allocations and growths seen */
    long fail_at;
    int persistent; /**< 1: every allocation from fail_at on fails */
    long live;      /**< blocks not freed */
} test_heap;

static inline void *heap_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    test_heap *h = user;
    if (!new_size) {
        if (ptr)
            __atomic_fetch_sub(&h->live, 1, __ATOMIC_RELAXED);
        free(ptr);
        return NULL;
    }
    if (new_size > old_size) {
        long n = __atomic_add_fetch(&h->n_allocs, 1, __ATOMIC_RELAXED);
        long fail_at = __atomic_load_n(&h->fail_at, __ATOMIC_RELAXED);
        if (fail_at && (n == fail_at || (h->persistent && n > fail_at)))
            return NULL;
    }
    void *p = realloc(ptr, new_size);
    if (p && !ptr)
        __atomic_fetch_add(&h->live, 1, __ATOMIC_RELAXED);
    return p;
}

/** Ends the failures, while threads may still allocate; true if there was one. */
static inline int test_heap_heal(test_heap *h)
{
    long at = __atomic_exchange_n(&h->fail_at, 0, __ATOMIC_RELAXED);
    return __atomic_load_n(&h->n_allocs, __ATOMIC_RELAXED) >= at;
}

/** A ctx over a test_heap (NULL: the real one) with a budget (0: default). Fails the test if it cannot be made. */
static inline aios_ctx *test_ctx(test_heap *h, uint64_t budget)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    if (h) {
        env.user = h;
        env.realloc = heap_realloc;
        cfg.env = &env;
    }
    cfg.budget = budget;
    if (aios_ctx_new(&cfg, &ctx, &err))
        fail_msg("aios_ctx_new: %s", err.msg);
    return ctx;
}

#endif
