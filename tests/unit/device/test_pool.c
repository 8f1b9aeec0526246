/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "device/device.h"

static aios_pool *make_pool(aios_ctx *ctx, uint32_t n, uint32_t pin, uint32_t spin_us)
{
    aios_pool_config cfg = AIOS_INIT(aios_pool_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_pool *pool = NULL;
    cfg.n_threads = n;
    cfg.pin = pin;
    cfg.spin_us = spin_us;
    if (aios_pool_new(ctx, &cfg, &pool, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(aios_pool_threads(pool), n);
    return pool;
}

static void count_task(void *user, uint32_t i, uint32_t n)
{
    _Atomic uint32_t *seen = user;
    assert_true(i < n);
    atomic_fetch_add(&seen[i], 1);
}

static void every_task_runs_once(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    static _Atomic uint32_t seen[1000];
    for (uint32_t threads = 1; threads <= 4; threads++) {
        aios_pool *pool = make_pool(ctx, threads, 0, 0);
        for (uint32_t n = 0; n <= 1000; n = n * 3 + 1) {
            memset((void *)seen, 0, sizeof seen);
            assert_int_equal(aios_pool_run(pool, count_task, (void *)seen, n), 0);
            for (uint32_t i = 0; i < 1000; i++)
                assert_int_equal(seen[i], i < n);
        }
        aios_pool_free(pool);
    }
    aios_ctx_free(ctx);
}

enum { ROUNDS = 300, MAX_T = 24 };
struct relay {
    aios_pool *pool;
    uint32_t cell[MAX_T]; /* plain: the barrier alone orders it */
    uint32_t errors[MAX_T];
    uint32_t n;
};

/* Each round everyone writes its own cell, then reads its neighbour's. */
static void relay(void *user, uint32_t tid, uint32_t n)
{
    struct relay *r = user;
    if (!tid)
        r->n = n;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        r->cell[tid] = round;
        aios__pool_barrier(r->pool, tid);
        r->errors[tid] += r->cell[(tid + 1) % n] != round;
        aios__pool_barrier(r->pool, tid);
    }
}

static void barriers_order_what_the_threads_write(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const uint32_t counts[] = {1, 2, 3, 9, 10, 20};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        struct relay r = {.pool = make_pool(ctx, counts[c], c % 2 != 0, 1 + (uint32_t)c * 10)};
        for (uint32_t again = 0; again < 3; again++) {
            assert_int_equal(aios__pool_spmd(r.pool, relay, &r), 0);
            assert_true(again ? r.n >= 1 && r.n <= counts[c] : r.n == counts[c]); /* fewer once they have held each other up */
        }
        for (uint32_t i = 0; i < r.n; i++)
            assert_int_equal(r.errors[i], 0);
        aios_pool_free(r.pool);
    }
    aios_ctx_free(ctx);
}

struct slow {
    aios_pool *pool;
    uint32_t value;
    uint32_t seen;
};

static void late_thread(void *user, uint32_t tid, uint32_t n)
{
    struct slow *s = user;
    if (tid == n - 1) {
        usleep(20000); /* everyone else parks */
        s->value = 7;
    }
    aios__pool_barrier(s->pool, tid);
    if (!tid)
        s->seen = s->value;
}

static void a_parked_thread_is_woken(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    struct slow s = {.pool = make_pool(ctx, 3, 0, 0)};
    for (uint32_t i = 0; i < 3; i++) {
        s.value = s.seen = 0;
        assert_int_equal(aios__pool_spmd(s.pool, late_thread, &s), 0);
        assert_int_equal(s.seen, 7);
        usleep(5000); /* the workers park between regions too */
    }
    aios_pool_free(s.pool);
    aios_ctx_free(ctx);
}

static void count_threads(void *user, uint32_t tid, uint32_t n)
{
    if (!tid)
        *(uint32_t *)user = n;
}

static void threads_that_hold_each_other_up_rest_for_a_while(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    struct slow s = {.pool = make_pool(ctx, 4, 0, 0)};
    uint32_t n = 0;
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(aios__pool_spmd(s.pool, late_thread, &s), 0);
    assert_int_equal(aios__pool_spmd(s.pool, count_threads, &n), 0);
    assert_true(n < 4);
    usleep(500000); /* longer than they rest after a region of 20 ms */
    uint32_t few = n;
    assert_int_equal(aios__pool_spmd(s.pool, count_threads, &n), 0);
    assert_true(n > few);
    aios_pool_free(s.pool);
    aios_ctx_free(ctx);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void an_idle_pool_costs_no_cpu(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    static _Atomic uint32_t seen[64];
    aios_pool *pool = make_pool(ctx, 4, 0, 0);
    assert_int_equal(aios_pool_run(pool, count_task, (void *)seen, 64), 0);
    usleep(20000);
    double before = cpu_seconds();
    usleep(200000);
    assert_true(cpu_seconds() - before < 0.01);
    aios_pool_free(pool);
    aios_ctx_free(ctx);
}

struct nested {
    aios_pool *pool;
    _Atomic int rc;
};

static void run_nested(void *user, uint32_t i, uint32_t n)
{
    struct nested *s = user;
    (void)i;
    (void)n;
    atomic_store(&s->rc, aios_pool_run(s->pool, count_task, NULL, 1));
}

static void a_second_run_at_the_same_time_is_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    struct nested s = {.pool = make_pool(ctx, 2, 0, 0)};
    assert_int_equal(aios_pool_run(s.pool, run_nested, &s, 2), 0);
    assert_int_equal(s.rc, AIOS_EBUSY);
    assert_int_equal(aios_pool_run(s.pool, run_nested, &s, 1), 0);
    assert_int_equal(s.rc, AIOS_EBUSY);
    aios_pool_free(s.pool);
    aios_ctx_free(ctx);
}

static void a_pool_outlives_the_hosts_context(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    static _Atomic uint32_t seen[8];
    aios_pool *pool = make_pool(ctx, 2, 0, 0);
    aios_ctx_free(ctx);
    assert_int_equal(aios_pool_run(pool, count_task, (void *)seen, 8), 0);
    aios_pool_free(pool);
    assert_int_equal(h.live, 0);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_pool_config cfg = AIOS_INIT(aios_pool_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_pool *pool = NULL;
    assert_int_equal(aios_pool_new(NULL, &cfg, &pool, &err), AIOS_EINVAL);
    assert_int_equal(aios_pool_new(ctx, &cfg, NULL, &err), AIOS_EINVAL);
    cfg.n_threads = 100000;
    assert_int_equal(aios_pool_new(ctx, &cfg, &pool, &err), AIOS_ELIMIT);
    assert_int_equal(err.need, 100000);
    cfg.n_threads = 1;
    cfg.spin_us = 1000000;
    assert_int_equal(aios_pool_new(ctx, &cfg, &pool, &err), AIOS_EINVAL);
    assert_null(pool);
    assert_int_equal(aios_pool_run(NULL, count_task, NULL, 1), AIOS_EINVAL);
    assert_int_equal(aios_pool_threads(NULL), 0);
    aios_pool_free(NULL);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(barriers_order_what_the_threads_write),
        cmocka_unit_test(a_parked_thread_is_woken),
        cmocka_unit_test(threads_that_hold_each_other_up_rest_for_a_while),
        cmocka_unit_test(an_idle_pool_costs_no_cpu),
        cmocka_unit_test(a_second_run_at_the_same_time_is_refused),
        cmocka_unit_test(a_pool_outlives_the_hosts_context),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
