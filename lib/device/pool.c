/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool. A worker's life is a row of barriers: the gap between two regions is the wait for the release of the next
 * one. Generations are counted by every thread alike, so that a flag is set once per barrier and never cleared.
 *
 * Arrivals go up a tree of fan-in 8, the release goes down by one flag that all read. Every flag has a cache line of its own.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "device/device_priv.h"

enum { LINE = 128, FAN_IN = 8, MAX_THREADS = 1024, STACK_BYTES = 1 << 20 };
enum { SPIN_US_DEFAULT = 50, SPIN_US_MAX = 10000, PARK_US = 1000, PARK_US_CROWDED = 100 };
/* A barrier that had to wait longer than it spins adds LATE_STEP, one that did not takes 1 away. */
enum { LATE_STEP = 4, LATE_MAX = 128, LATE_CROWDED = 64 };

/** A generation that one thread sets and others wait for. */
typedef struct flag {
    _Atomic uint32_t value;
    _Atomic uint32_t parked; /**< threads asleep on value, or about to be */
    char pad[LINE - 8];
} flag;

/** What one thread alone writes, but for `arrived`, which its parent reads. */
typedef struct seat {
    flag arrived;
    aios_pool *pool;
    uint32_t tid;
    uint32_t gen;
    uint32_t late;
    pthread_t thread;
    char pad[LINE - 24 - sizeof(pthread_t)];
} seat;
_Static_assert(sizeof(flag) == LINE && sizeof(seat) == 2 * LINE, "one cache line pair each");

struct aios_pool {
    flag go;
    aios__spmd_fn *fn;
    void *user;
    seat *seats;
    void *raw; /**< what the heap gave */
    aios_ctx *ctx;
    uint32_t n_threads; /**< asked for */
    uint32_t n_live;    /**< running, the caller included */
    uint32_t spin_us;
    uint32_t pin;
    bool started, crowded, stop;
    _Atomic uint32_t busy;
};

/* ---- flags ---------------------------------------------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *p, uint32_t seen)
{
    syscall(SYS_futex, p, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *p)
{
    syscall(SYS_futex, p, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* The pool's own clock: a host's frozen one must not keep a worker awake. */
static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool reached(flag *f, uint32_t gen)
{
    return (int32_t)(atomic_load_explicit(&f->value, memory_order_acquire) - gen) >= 0;
}

static void flag_set(flag *f, uint32_t gen)
{
    /* Sequentially consistent against flag_park: either this sees the sleeper, or the sleeper sees the value. */
    atomic_store(&f->value, gen);
    if (atomic_load(&f->parked))
        futex_wake_all(&f->value);
}

static void flag_park(flag *f, uint32_t gen)
{
    atomic_fetch_add(&f->parked, 1);
    for (;;) {
        uint32_t seen = atomic_load(&f->value);
        if ((int32_t)(seen - gen) >= 0)
            break;
        futex_wait(&f->value, seen);
    }
    atomic_fetch_sub(&f->parked, 1);
}

/* Spins (not if the machine is known to be busy), yields, parks. Returns true if it came within the time of a spin. */
static bool flag_wait(const aios_pool *pool, flag *f, uint32_t gen, bool spin)
{
    if (reached(f, gen))
        return true;
    int64_t start = clock_ns(), spin_end = start + (int64_t)pool->spin_us * 1000;
    int64_t park_at = start + (int64_t)(pool->crowded ? PARK_US_CROWDED : PARK_US) * 1000;
    int64_t now = start;
    while (spin && now < spin_end) {
        for (uint32_t i = 0; i < 32; i++) {
            if (reached(f, gen))
                return true;
            relax();
        }
        now = clock_ns();
    }
    while (now < park_at) {
        sched_yield();
        now = clock_ns();
        if (reached(f, gen))
            return now < spin_end;
    }
    flag_park(f, gen);
    return false;
}

/* ---- barrier -------------------------------------------------------------------------------------------------------- */

/* Waits within a region, which tell how crowded the machine is. */
static void wait_counted(aios_pool *pool, seat *me, flag *f, uint32_t gen)
{
    bool in_time = flag_wait(pool, f, gen, !pool->crowded && me->late < LATE_CROWDED);
    if (!in_time)
        me->late = me->late + LATE_STEP < LATE_MAX ? me->late + LATE_STEP : LATE_MAX;
    else if (me->late)
        me->late--;
}

/* Waits until everyone below has arrived, then tells the parent. */
static void arrive(aios_pool *pool, seat *me, uint32_t gen)
{
    uint32_t first = me->tid * FAN_IN + 1;
    for (uint32_t i = first; i < first + FAN_IN && i < pool->n_live; i++)
        wait_counted(pool, me, &pool->seats[i].arrived, gen);
    if (me->tid)
        flag_set(&me->arrived, gen);
}

void aios__pool_barrier(aios_pool *pool, uint32_t tid)
{
    seat *me = &pool->seats[tid];
    if (pool->n_live == 1)
        return;
    uint32_t gen = ++me->gen;
    arrive(pool, me, gen);
    if (tid)
        wait_counted(pool, me, &pool->go, gen);
    else
        flag_set(&pool->go, gen);
}

/* ---- workers --------------------------------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    seat *me = arg;
    aios_pool *pool = me->pool;
    for (;;) {
        flag_wait(pool, &pool->go, ++me->gen, !pool->crowded);
        if (pool->stop)
            return NULL;
        pool->fn(pool->user, me->tid, pool->n_live);
        arrive(pool, me, ++me->gen);
    }
}

static void pin_worker(aios_pool *pool, const aios__topo *t, seat *s)
{
    uint64_t bits[AIOS__CPU_WORDS] = {0};
    uint32_t cpu = t->order[s->tid % t->n_allowed];
    bits[cpu / 64] |= (uint64_t)1 << (cpu % 64);
    if (pthread_setaffinity_np(s->thread, sizeof bits, (const cpu_set_t *)bits))
        aios__log(pool->ctx, AIOS_LOG_WARN, "pool: worker %u could not be pinned to CPU %u", s->tid, cpu);
}

static bool start_worker(aios_pool *pool, const pthread_attr_t *attr, seat *s)
{
    char name[16];
    s->gen = pool->seats[0].gen;
    if (pthread_create(&s->thread, attr, work, s))
        return false;
    snprintf(name, sizeof name, "aios-%u", s->tid);
    pthread_setname_np(s->thread, name);
    return true;
}

/* Signals are the host's: workers block them all. Fewer threads than asked for are a warning. */
static void start_workers(aios_pool *pool)
{
    pthread_attr_t attr;
    sigset_t all, old;
    const aios__topo *topo = NULL;
    pool->started = true;
    if (pthread_attr_init(&attr))
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pool->pin && aios__ctx_topo(pool->ctx, &topo, NULL))
        topo = NULL;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    uint32_t n = 1;
    for (; n < pool->n_threads && start_worker(pool, &attr, &pool->seats[n]); n++)
        if (topo)
            pin_worker(pool, topo, &pool->seats[n]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (n < pool->n_threads)
        aios__log(pool->ctx, AIOS_LOG_WARN, "pool: the system gave %u of %u threads", n, pool->n_threads);
    pool->n_live = n;
}

/* ---- regions --------------------------------------------------------------------------------------------------------- */

static bool take(aios_pool *pool)
{
    if (atomic_exchange_explicit(&pool->busy, 1, memory_order_acquire))
        return false;
    if (!pool->started)
        start_workers(pool);
    return true;
}

/* The caller holds `busy`. */
static void run_region(aios_pool *pool, aios__spmd_fn *fn, void *user)
{
    seat *me = &pool->seats[0];
    if (pool->n_live == 1) {
        fn(user, 0, 1);
        return;
    }
    pool->fn = fn;
    pool->user = user;
    flag_set(&pool->go, ++me->gen);
    fn(user, 0, pool->n_live);
    arrive(pool, me, ++me->gen);
}

int aios__pool_spmd(aios_pool *pool, aios__spmd_fn *fn, void *user)
{
    if (!take(pool))
        return AIOS_EBUSY;
    run_region(pool, fn, user);
    atomic_store_explicit(&pool->busy, 0, memory_order_release);
    return AIOS_OK;
}

struct tasks {
    aios_task_fn *fn;
    void *user;
    uint32_t n;
    _Atomic uint64_t next; /**< wider than n, so that overshooting never wraps */
};

static void run_tasks(void *user, uint32_t tid, uint32_t n_threads)
{
    struct tasks *t = user;
    AIOS__UNUSED(tid);
    AIOS__UNUSED(n_threads);
    for (uint64_t i; (i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < t->n;)
        t->fn(t->user, (uint32_t)i, t->n);
}

int aios_pool_run(aios_pool *pool, aios_task_fn *fn, void *user, uint32_t n)
{
    if (!pool || !fn)
        return AIOS_EINVAL;
    struct tasks t = {.fn = fn, .user = user, .n = n};
    if (!take(pool))
        return AIOS_EBUSY;
    if (n > 1)
        run_region(pool, run_tasks, &t);
    else if (n)
        fn(user, 0, 1);
    atomic_store_explicit(&pool->busy, 0, memory_order_release);
    return AIOS_OK;
}

uint32_t aios_pool_threads(const aios_pool *pool)
{
    return pool ? pool->n_threads : 0;
}

/* ---- making ---------------------------------------------------------------------------------------------------------- */

static int choose_threads(aios_ctx *ctx, aios_pool_config *c, const aios_cpu_info *info, aios_error *err)
{
    if (!c->n_threads)
        c->n_threads = aios__ctx_threads(ctx);
    if (!c->n_threads)
        c->n_threads = info->n_usable < MAX_THREADS ? info->n_usable : MAX_THREADS;
    if (c->n_threads > MAX_THREADS)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_THREADS, c->n_threads, "a pool has at most %d threads, not %u", MAX_THREADS,
                               c->n_threads);
    if (c->spin_us > SPIN_US_MAX)
        return aios__fail(err, AIOS_EINVAL, "spin_us is %u: at most %d", c->spin_us, SPIN_US_MAX);
    if (!c->spin_us)
        c->spin_us = SPIN_US_DEFAULT;
    return AIOS_OK;
}

static bool is_crowded(const aios_cpu_info *info, uint32_t n_threads)
{
    return n_threads > info->n_allowed || (info->quota_millicpu && (uint64_t)n_threads * 1000 > info->quota_millicpu);
}

int aios_pool_new(aios_ctx *ctx, const aios_pool_config *cfg, aios_pool **out, aios_error *err)
{
    aios_pool_config c;
    aios_cpu_info info;
    if (!ctx || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_pool_new: %s is NULL", ctx ? "pool" : "ctx");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    if (!rc)
        rc = aios__cpu_info(ctx, &info, err);
    if (!rc)
        rc = choose_threads(ctx, &c, &info, err);
    if (rc)
        return rc;
    aios_error e = AIOS_INIT(aios_error);
    void *raw = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, LINE + sizeof(aios_pool) + LINE + c.n_threads * sizeof(seat), &e);
    if (!raw)
        return aios__error_copy(err, &e);
    aios_pool *pool = (aios_pool *)(((uintptr_t)raw + LINE - 1) & ~(uintptr_t)(LINE - 1));
    pool->seats = (seat *)(((uintptr_t)(pool + 1) + LINE - 1) & ~(uintptr_t)(LINE - 1));
    pool->raw = raw;
    pool->ctx = aios__ctx_ref(ctx);
    pool->n_threads = c.n_threads;
    pool->n_live = 1;
    pool->spin_us = c.spin_us;
    pool->pin = c.pin;
    pool->crowded = is_crowded(&info, c.n_threads);
    for (uint32_t i = 0; i < c.n_threads; i++) {
        pool->seats[i].pool = pool;
        pool->seats[i].tid = i;
    }
    *out = pool;
    return AIOS_OK;
}

void aios_pool_free(aios_pool *pool)
{
    if (!pool)
        return;
    if (pool->n_live > 1) {
        pool->stop = true;
        flag_set(&pool->go, ++pool->seats[0].gen);
        for (uint32_t i = 1; i < pool->n_live; i++)
            pthread_join(pool->seats[i].thread, NULL);
    }
    aios_ctx *ctx = pool->ctx;
    aios__free(aios__ctx_heap(ctx), pool->raw);
    aios_ctx_free(ctx);
}
