/* SPDX-License-Identifier: Apache-2.0 */
/* The budgeted heap: a 16-byte head in front of each block remembers size and kind. */
#include <sys/mman.h>

#include "base/alloc_priv.h"

typedef struct head {
    size_t n;
    uint32_t kind;
    uint32_t magic;
} head;
_Static_assert(sizeof(head) == 16, "keeps blocks 16-aligned");
#define HEAD_MAGIC 0xa105a110u
#define HUGE_BYTES ((uintptr_t)2 << 20)

const char *aios_mem_kind_name(uint32_t kind)
{
    static const char *const names[] = {
#define X(name, number, text) [number] = text,
        AIOS_MEM_KINDS(X)
#undef X
    };
    return kind < AIOS__ARRAY_LEN(names) ? names[kind] : NULL;
}

void aios__heap_init(aios__heap *h, const aios_env *env, uint64_t budget, aios_pressure_fn *fn, void *user)
{
    memset(h, 0, sizeof *h);
    h->env = env;
    atomic_store(&h->budget, budget);
    h->pressure = fn;
    h->pressure_user = user;
    h->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* ---- memory that is kept until it is needed ----------------------------------------------------------------------- */

void aios__reclaimer_add(aios__heap *h, aios__reclaimer *r)
{
    pthread_mutex_lock(&h->lock);
    r->next = h->reclaimers;
    h->reclaimers = r;
    pthread_mutex_unlock(&h->lock);
}

void aios__reclaimer_remove(aios__heap *h, aios__reclaimer *r)
{
    pthread_mutex_lock(&h->lock);
    aios__reclaimer **at = &h->reclaimers;
    while (*at && *at != r)
        at = &(*at)->next;
    if (*at)
        *at = r->next;
    pthread_mutex_unlock(&h->lock);
}

size_t aios__reclaim(aios__heap *h, size_t n)
{
    size_t got = 0;
    pthread_mutex_lock(&h->lock);
    for (aios__reclaimer *r = h->reclaimers; r && got < n; r = r->next)
        got += r->fn(r->user, n - got);
    pthread_mutex_unlock(&h->lock);
    return got;
}

/* ---- the budget --------------------------------------------------------------------------------------------------- */

static void raise_peak(_Atomic uint64_t *peak, uint64_t now)
{
    uint64_t seen = atomic_load_explicit(peak, memory_order_relaxed);
    while (seen < now && !atomic_compare_exchange_weak_explicit(peak, &seen, now, memory_order_relaxed, memory_order_relaxed))
        ;
}

/*
 * Takes n bytes of the budget; false and *used as seen if it does not hold them. `used` is changed before `budget` is read
 * again, and a new budget is set before `used` is read: whatever the order, one of the two sides sees the other.
 */
static bool take(aios__heap *h, size_t n, uint64_t *used)
{
    uint64_t u = atomic_load(&h->used);
    for (;;) {
        uint64_t budget = atomic_load(&h->budget);
        *used = u;
        if (u > budget || n > budget - u)
            return false;
        if (!atomic_compare_exchange_weak(&h->used, &u, u + n))
            continue;
        budget = atomic_load(&h->budget);
        if (u + n <= budget) {
            raise_peak(&h->peak, u + n);
            return true;
        }
        u = atomic_fetch_sub(&h->used, n) - n;
    }
}

/* `asked`: the host was, or must not be. */
static int charge(aios__heap *h, uint32_t kind, size_t n, bool asked, aios_error *err)
{
    if (kind >= AIOS_MEM_COUNT)
        kind = AIOS_MEM_OTHER;
    uint64_t used = 0;
    while (!take(h, n, &used)) {
        uint64_t budget = atomic_load(&h->budget);
        if (aios__reclaim(h, n))
            continue;
        if (asked || !h->pressure || !h->pressure(h->pressure_user, used, budget, n)) {
            atomic_fetch_add(&h->refused, 1);
            return aios__fail_need(err, AIOS_EBUDGET, budget > used ? budget - used : 0, n,
                                   "%zu bytes for %s do not fit: %llu of the budget of %llu are in use; raise the budget or "
                                   "free sessions, models or buffers",
                                   n, aios_mem_kind_name(kind), (unsigned long long)used, (unsigned long long)budget);
        }
        asked = true;
    }
    uint64_t now = atomic_fetch_add_explicit(&h->by_kind[kind], n, memory_order_relaxed) + n;
    raise_peak(&h->peak_by_kind[kind], now);
    return AIOS_OK;
}

int aios__charge(aios__heap *h, uint32_t kind, size_t n, aios_error *err)
{
    return charge(h, kind, n, false, err);
}

void aios__uncharge(aios__heap *h, uint32_t kind, size_t n)
{
    if (kind >= AIOS_MEM_COUNT)
        kind = AIOS_MEM_OTHER;
    atomic_fetch_sub_explicit(&h->by_kind[kind], n, memory_order_relaxed);
    atomic_fetch_sub_explicit(&h->used, n, memory_order_relaxed);
}

static int fail_nomem(aios_error *err, size_t n)
{
    return aios__fail_need(err, AIOS_ENOMEM, 0, n, "the system has no memory for %zu bytes", n);
}

static void *resize(aios__heap *h, uint32_t kind, void *p, size_t n, bool asked, aios_error *err)
{
    head *old = p ? (head *)p - 1 : NULL;
    size_t old_n = old ? old->n : 0, total;
    if (!aios__add_size(n, sizeof(head), &total) || total > PTRDIFF_MAX) {
        fail_nomem(err, n);
        return NULL;
    }
    if (old)
        kind = old->kind;
    size_t old_total = old ? old_n + sizeof(head) : 0;
    if (total > old_total && charge(h, kind, total - old_total, asked, err))
        return NULL;
    head *new = h->env->realloc(h->env->user, old, old_total, total);
    while (!new && aios__reclaim(h, total))
        new = h->env->realloc(h->env->user, old, old_total, total);
    if (!new) {
        if (total > old_total)
            aios__uncharge(h, kind, total - old_total);
        fail_nomem(err, n);
        return NULL;
    }
    if (total < old_total)
        aios__uncharge(h, kind, old_total - total);
    *new = (head){.n = n, .kind = kind, .magic = HEAD_MAGIC};
    return new + 1;
}

void *aios__realloc(aios__heap *h, uint32_t kind, void *p, size_t n, aios_error *err)
{
    return resize(h, kind, p, n, false, err);
}

void *aios__realloc_quietly(aios__heap *h, uint32_t kind, void *p, size_t n)
{
    return resize(h, kind, p, n, true, NULL);
}

void *aios__alloc(aios__heap *h, uint32_t kind, size_t n, aios_error *err)
{
    void *p = aios__realloc(h, kind, NULL, n, err);
    if (p)
        memset(p, 0, n);
    return p;
}

/* Only those that lie wholly in the block: a page of the system takes 2 us when it is first touched, one of 2 MiB as long as 100. */
void *aios__alloc_large(aios__heap *h, uint32_t kind, size_t n, aios_error *err)
{
    char *p = aios__realloc(h, kind, NULL, n, err);
    uintptr_t from = ((uintptr_t)p + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES, to = ((uintptr_t)p + n) / HUGE_BYTES * HUGE_BYTES;
    if (p && from < to)
        (void)!madvise((void *)from, to - from, MADV_HUGEPAGE);
    return p;
}

void *aios__alloc_array(aios__heap *h, uint32_t kind, size_t n, size_t size, aios_error *err)
{
    size_t total;
    if (!aios__mul_size(n, size, &total)) {
        fail_nomem(err, SIZE_MAX);
        return NULL;
    }
    return aios__alloc(h, kind, total, err);
}

void aios__free(aios__heap *h, void *p)
{
    if (!p)
        return;
    head *old = (head *)p - 1;
    size_t total = old->n + sizeof(head);
    uint32_t kind = old->kind;
    old->magic = 0;
    h->env->realloc(h->env->user, old, total, 0);
    aios__uncharge(h, kind, total);
}

char *aios__strndup(aios__heap *h, uint32_t kind, const char *s, size_t n, aios_error *err)
{
    size_t total;
    if (!aios__add_size(n, 1, &total)) {
        fail_nomem(err, n);
        return NULL;
    }
    char *p = aios__realloc(h, kind, NULL, total, err);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, s, n);
    p[n] = 0;
    return p;
}

int aios__heap_set_budget(aios__heap *h, uint64_t budget, aios_error *err)
{
    uint64_t old = atomic_exchange(&h->budget, budget);
    uint64_t used = atomic_load(&h->used), mine = budget;
    while (used > budget && aios__reclaim(h, (size_t)(used - budget)))
        used = atomic_load(&h->used);
    if (budget >= used)
        return AIOS_OK;
    atomic_compare_exchange_strong(&h->budget, &mine, old); /* unless another thread has set one since */
    return aios__fail_need(err, AIOS_EBUDGET, budget, used, "a budget of %llu bytes is below the %llu in use: free something first",
                           (unsigned long long)budget, (unsigned long long)used);
}

void aios__heap_usage(const aios__heap *h, aios_mem_usage *out)
{
    out->budget = atomic_load(&h->budget);
    out->used = atomic_load(&h->used);
    out->peak = atomic_load(&h->peak);
    out->refused = atomic_load(&h->refused);
    for (uint32_t i = 0; i < AIOS_MEM_COUNT; i++) {
        out->by_kind[i] = atomic_load(&h->by_kind[i]);
        out->peak_by_kind[i] = atomic_load(&h->peak_by_kind[i]);
    }
}
