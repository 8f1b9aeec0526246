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

static inline void must(int rc, const aios_error *err)
{
    if (rc)
        fail_msg("%d: %s", rc, err->msg);
}

/** Runs once over a fresh ctx; 0, or the code of the first failure, told in err. It frees all it made, whatever happens. */
typedef int scenario_fn(aios_ctx *c, aios_error *err);

/**
 * Runs fn with every allocation refused in turn: alone, and with all that follow it. `spare`: one that is refused alone may be made good
 * by asking for less, or by keeping nothing for others.
 */
static inline void refuse_every_allocation(scenario_fn *fn, int spare)
{
    int reached = 1;
    for (long at = 1; reached; at++) {
        test_heap h = {.persistent = (int)(at % 2)};
        aios_ctx *c = test_ctx(&h, 0);
        aios_error err = AIOS_INIT(aios_error);
        h.fail_at = h.n_allocs + (at + 1) / 2;
        int rc = fn(c, &err);
        reached = h.n_allocs >= h.fail_at;
        int made_good = reached && !rc && spare && !h.persistent;
        if (!made_good && rc != (reached ? AIOS_ENOMEM : 0))
            fail_msg("allocation %ld%s: %d %s", (at + 1) / 2, h.persistent ? " and all behind" : "", rc, err.msg);
        if (rc && (err.code != rc || !err.msg[0]))
            fail_msg("allocation %ld: code %d, but the error says %d \"%s\"", (at + 1) / 2, rc, err.code, err.msg);
        aios_ctx_free(c);
        assert_int_equal(h.live, 0);
    }
}

static inline void assert_nothing_leaks_when_memory_runs_out(scenario_fn *fn)
{
    refuse_every_allocation(fn, 0);
}

/** Runs fn with budgets that end the later each time, until it comes through. */
static inline void assert_every_budget_is_kept(scenario_fn *fn)
{
    int rc = AIOS_EBUDGET;
    uint64_t step = 16, room = 0;
    uint32_t n_refused = 0;
    for (; rc; room += step) {
        test_heap h = {0};
        aios_ctx *c = test_ctx(&h, 0);
        aios_error err = AIOS_INIT(aios_error);
        aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
        aios_ctx_usage(c, &before);
        assert_int_equal(aios_ctx_set_budget(c, before.used + room, &err), 0);
        rc = fn(c, &err);
        aios_ctx_usage(c, &after);
        assert_true(!rc || (rc == AIOS_EBUDGET && err.need > err.have));
        assert_int_equal(before.used, after.used);
        assert_true(after.peak <= before.used + room || after.peak == before.peak); /* that of making the ctx */
        n_refused += rc != 0;
        step = room / 8 + 16;
        aios_ctx_free(c);
        assert_int_equal(h.live, 0);
        assert_true(room < (uint64_t)1 << 40);
    }
    assert_true(n_refused > 0);
}

#endif
