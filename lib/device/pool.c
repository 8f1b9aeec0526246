/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool. A region is run by the first n_active threads; each of these has a flag that starts it, so that the others sleep
 * on. Inside a region generations are counted by every thread alike: a flag is set once per barrier and never cleared.
 *
 * Arrivals go up a tree of fan-in 8, the release goes down by one flag that all read. Every flag has a cache line of its own.
 *
 * Lock-step threads run at the pace of the slowest, and a core that others use too stops one of them for milliseconds. So every
 * region says how much of its time was lost in barriers longer than a spin; after two whose threads stood still for half of it, half
 * as many run, until a trial of more threads loses less. (One alone may have been the first touch of memory.)
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
enum { SPIN_US_DEFAULT = 50, SPIN_US_MAX = 10000, PARK_US = 1000 };
enum { STRIKES = 2 };
/* The next trial of more threads comes after HOLD_TIMES the length of the region that failed, and after twice that if it fails too. */
enum { HOLD_TIMES = 4, HOLD_MAX_MS = 2000 };

/** A generation that one thread sets and others wait for. */
typedef struct flag {
    _Atomic uint32_t value;
    _Atomic uint32_t parked; /**< threads asleep on value, or about to be */
    char pad[LINE - 8];
} flag;

/** What one thread alone writes, but for `start`; its parent reads `arrived`. */
typedef struct seat {
    flag arrived;
    flag start;      /**< regions that this thread has part in */
    aios_pool *pool;
    uint32_t tid;
    uint32_t gen;    /**< barriers of all regions */
    int64_t lost_ns; /**< in barriers of this region, beyond spins */
    pthread_t thread;
    _Atomic int cpu; /**< where it last arrived */
    char pad[LINE - 28 - sizeof(pthread_t)];
} seat;
_Static_assert(sizeof(flag) == LINE && sizeof(seat) == 3 * LINE, "one cache line pair each");

struct aios_pool {
    flag go;
    aios__spmd_fn *fn;
    void *user;
    seat *seats;
    void *raw; /**< what the heap gave */
    aios_ctx *ctx;
    uint32_t n_threads; /**< asked for */
    uint32_t n_live;    /**< running, the caller included */
    _Atomic uint32_t n_active; /**< with a part in this region; a worker that comes late may look at the next one's */
    uint32_t gen;       /**< barriers before this region */
    uint32_t spin_us;
    uint32_t pin;
    uint32_t strikes;   /**< regions in a row that lost much */
    int64_t hold_ns, trial_at; /**< how long fewer threads run, and until when */
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

/*
 * Systems may wake a worker on the CPU of its waker and leave another one idle; two threads of a region on one CPU hold each other
 * up. Moves worker `me` to one of its CPUs where none of the others was.
 */
static void step_aside(const aios_pool *pool, const seat *me)
{
    cpu_set_t allowed, one;
    bool alone = true;
    if (!me->tid || pool->pin || sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    cpu_set_t rest = allowed;
    for (uint32_t i = 0; i < pool->n_active; i++) {
        int cpu = atomic_load_explicit(&pool->seats[i].cpu, memory_order_relaxed);
        if (i == me->tid || cpu < 0 || cpu >= CPU_SETSIZE)
            continue;
        alone = alone && cpu != atomic_load_explicit(&me->cpu, memory_order_relaxed);
        CPU_CLR((size_t)cpu, &rest);
    }
    for (int cpu = 0; !alone && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &rest))
            continue;
        CPU_ZERO(&one);
        CPU_SET((size_t)cpu, &one);
        if (!sched_setaffinity(0, sizeof one, &one))
            sched_setaffinity(0, sizeof allowed, &allowed);
        return;
    }
}

/* Spins (not if there are more threads than CPUs), yields, parks. Returns the time beyond that of a spin. */
static int64_t flag_wait(const aios_pool *pool, const seat *me, flag *f, uint32_t gen)
{
    if (reached(f, gen))
        return 0;
    int64_t start = clock_ns(), spin_end = start + (int64_t)pool->spin_us * 1000, now = start;
    while (!pool->crowded && now < spin_end) {
        for (uint32_t i = 0; i < 32; i++) {
            if (reached(f, gen))
                return 0;
            relax();
        }
        now = clock_ns();
    }
    step_aside(pool, me);
    while (!pool->crowded && now < start + (int64_t)PARK_US * 1000) {
        sched_yield();
        now = clock_ns();
        if (reached(f, gen))
            return now - spin_end;
    }
    flag_park(f, gen);
    now = clock_ns();
    return now > spin_end ? now - spin_end : 0;
}

/* ---- barrier -------------------------------------------------------------------------------------------------------- */

/* Waits until everyone below has arrived, then tells the parent. Returns the time beyond spins. */
static int64_t arrive(aios_pool *pool, seat *me, uint32_t gen)
{
    uint32_t first = me->tid * FAN_IN + 1;
    int64_t lost = 0;
    for (uint32_t i = first; i < first + FAN_IN && i < pool->n_active; i++)
        lost += flag_wait(pool, me, &pool->seats[i].arrived, gen);
    if (me->tid)
        flag_set(&me->arrived, gen);
    return lost;
}

void aios__pool_barrier(aios_pool *pool, uint32_t tid)
{
    seat *me = &pool->seats[tid];
    if (pool->n_active == 1)
        return;
    uint32_t gen = ++me->gen;
    atomic_store_explicit(&me->cpu, sched_getcpu(), memory_order_relaxed);
    me->lost_ns += arrive(pool, me, gen);
    if (tid)
        me->lost_ns += flag_wait(pool, me, &pool->go, gen);
    else
        flag_set(&pool->go, gen);
}

/* ---- workers --------------------------------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    seat *me = arg;
    aios_pool *pool = me->pool;
    for (uint32_t region = 1;; region++) {
        flag_wait(pool, me, &me->start, region);
        if (pool->stop)
            return NULL;
        me->gen = pool->gen;
        me->lost_ns = 0;
        pool->fn(pool->user, me->tid, pool->n_active);
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

static bool start_worker(const pthread_attr_t *attr, seat *s)
{
    char name[16];
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
    for (; n < pool->n_threads && start_worker(&attr, &pool->seats[n]); n++)
        if (topo)
            pin_worker(pool, topo, &pool->seats[n]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (n < pool->n_threads)
        aios__log(pool->ctx, AIOS_LOG_WARN, "pool: the system gave %u of %u threads", n, pool->n_threads);
    pool->n_live = pool->n_active = n;
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

static void start(seat *s)
{
    flag_set(&s->start, atomic_load_explicit(&s->start.value, memory_order_relaxed) + 1);
}

/* Threads of the next region: twice as many as in the last one, if it is time to try. */
static uint32_t choose_active(aios_pool *pool, int64_t now)
{
    uint32_t n = pool->n_active;
    if (n < pool->n_live && now >= pool->trial_at)
        n = n * 2 < pool->n_live ? n * 2 : pool->n_live;
    return n;
}

/* What a region of n threads that began at `from` says about the next ones. */
static void judge(aios_pool *pool, uint32_t n, int64_t from)
{
    int64_t now = clock_ns(), took = now - from, lost = 0;
    for (uint32_t i = 0; i < n; i++)
        lost += pool->seats[i].lost_ns;
    if (lost <= took * (n - 1) / 2) {
        pool->hold_ns = pool->hold_ns / 2;
        pool->strikes = 0;
        return;
    }
    if (++pool->strikes < STRIKES)
        return;
    pool->hold_ns = took * HOLD_TIMES > pool->hold_ns * 2 ? took * HOLD_TIMES : pool->hold_ns * 2;
    if (pool->hold_ns > (int64_t)HOLD_MAX_MS * 1000000)
        pool->hold_ns = (int64_t)HOLD_MAX_MS * 1000000;
    pool->n_active = (n + 1) / 2;
    pool->trial_at = now + pool->hold_ns;
}

/* The caller holds `busy`. */
static void run_region(aios_pool *pool, aios__spmd_fn *fn, void *user)
{
    seat *me = &pool->seats[0];
    int64_t now = pool->n_live > 1 ? clock_ns() : 0;
    uint32_t n = choose_active(pool, now);
    pool->n_active = n;
    if (n == 1) {
        fn(user, 0, 1);
        return;
    }
    pool->fn = fn;
    pool->user = user;
    pool->gen = me->gen;
    me->lost_ns = 0;
    for (uint32_t i = 1; i < n; i++)
        start(&pool->seats[i]);
    fn(user, 0, n);
    arrive(pool, me, ++me->gen);
    judge(pool, n, now);
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
    pool->n_live = pool->n_active = 1;
    pool->spin_us = c.spin_us;
    pool->pin = c.pin;
    pool->crowded = is_crowded(&info, c.n_threads);
    for (uint32_t i = 0; i < c.n_threads; i++) {
        pool->seats[i].pool = pool;
        pool->seats[i].tid = i;
        atomic_init(&pool->seats[i].cpu, -1);
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
        for (uint32_t i = 1; i < pool->n_live; i++)
            start(&pool->seats[i]);
        for (uint32_t i = 1; i < pool->n_live; i++)
            pthread_join(pool->seats[i].thread, NULL);
    }
    aios_ctx *ctx = pool->ctx;
    aios__free(aios__ctx_heap(ctx), pool->raw);
    aios_ctx_free(ctx);
}
