/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equal pages, cut from slabs of the device's memory. Which pages are free is kept beside them, so that a free page is not
 * touched. A slab of which no page is in use goes back to the device once what is idle exceeds keep_bytes.
 */
#include <pthread.h>

#include "tensor/tensor_priv.h"

enum { SLAB_MIN = 256 << 10, SLAB_MAX = 2 << 20, PAGE_ALIGN = 64, SLABS_STEP = 16 };

typedef struct slab {
    struct slab *next, *prev; /**< of those with a page to give */
    bool listed;
    aios_device_mem mem;
    size_t charged;
    uint32_t n_pages, n_used;
    uint32_t n_fresh; /**< pages from here on were never handed out */
    uint32_t n_free;
    uint32_t free[]; /**< numbers of pages that came back; n_pages entries */
} slab;

struct aios__pages {
    aios_device *dev;
    pthread_mutex_t lock;
    size_t stride; /**< from one page to the next */
    size_t keep_bytes, idle_bytes;
    uint32_t kind;
    uint32_t n_slabs, cap_slabs;
    slab **sorted; /**< by address */
    slab *first, *last; /**< with a page to give */
    size_t total_bytes;
};

static aios__heap *heap_of(const aios__pages *p)
{
    return aios__ctx_heap(aios__device_ctx(p->dev));
}

int aios__pages_new(aios_device *dev, size_t page_bytes, size_t keep_bytes, uint32_t kind, aios__pages **out, aios_error *err)
{
    size_t stride;
    *out = NULL;
    if (!page_bytes || !aios__align_size(page_bytes, PAGE_ALIGN, &stride) || stride > PTRDIFF_MAX)
        return aios__fail(err, AIOS_EINVAL, "pages of %zu bytes", page_bytes);
    if (!aios__device_is_host(dev))
        return aios__fail(err, AIOS_ENOTSUP, "pages on device \"%s\": its memory has no host addresses", aios__device_ops(dev, NULL)->name);
    aios_ctx *ctx = aios__device_ctx(dev);
    aios_error e = AIOS_INIT(aios_error);
    aios__pages *p = aios__alloc(aios__ctx_heap(ctx), kind, sizeof *p, &e);
    if (!p)
        return aios__error_copy(err, &e);
    if (pthread_mutex_init(&p->lock, NULL)) {
        aios__free(aios__ctx_heap(ctx), p);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    p->dev = dev;
    p->stride = stride;
    p->keep_bytes = keep_bytes;
    p->kind = kind;
    aios__ctx_ref(ctx);
    *out = p;
    return AIOS_OK;
}

/* ---- slabs with a page to give ---------------------------------------------------------------------------------------- */

static void list_slab(aios__pages *p, slab *s)
{
    if (s->listed)
        return;
    s->listed = true;
    s->next = NULL;
    s->prev = p->last;
    *(p->last ? &p->last->next : &p->first) = s;
    p->last = s;
}

static void unlist_slab(aios__pages *p, slab *s)
{
    if (!s->listed)
        return;
    s->listed = false;
    *(s->prev ? &s->prev->next : &p->first) = s->next;
    *(s->next ? &s->next->prev : &p->last) = s->prev;
}

/* ---- slabs by address -------------------------------------------------------------------------------------------------- */

/* Index of the first slab that begins after `at`. */
static uint32_t slab_after(const aios__pages *p, const void *at)
{
    uint32_t lo = 0, hi = p->n_slabs;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((uintptr_t)p->sorted[mid]->mem.ptr > (uintptr_t)at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static slab *slab_of(const aios__pages *p, const void *page, uint32_t *number)
{
    uint32_t i = slab_after(p, page);
    if (!i)
        return NULL;
    slab *s = p->sorted[i - 1];
    size_t off = (size_t)((uintptr_t)page - (uintptr_t)s->mem.ptr);
    if (off % p->stride || off / p->stride >= s->n_pages)
        return NULL;
    *number = (uint32_t)(off / p->stride);
    return s;
}

/* Room for one more entry. Gives up the lock while it asks for memory, since that may call the host's pressure function. */
static int reserve_slot(aios__pages *p, aios_error *err)
{
    while (p->n_slabs == p->cap_slabs) {
        uint32_t cap = p->cap_slabs + p->cap_slabs / 2 + SLABS_STEP;
        pthread_mutex_unlock(&p->lock);
        slab **grown = aios__alloc_array(heap_of(p), p->kind, cap, sizeof *grown, err);
        pthread_mutex_lock(&p->lock);
        if (!grown)
            return AIOS_ENOMEM;
        slab **old = grown;
        if (cap > p->cap_slabs) {
            if (p->n_slabs)
                memcpy(grown, p->sorted, p->n_slabs * sizeof *grown);
            old = p->sorted;
            p->sorted = grown;
            p->cap_slabs = cap;
        }
        aios__free(heap_of(p), old);
    }
    return AIOS_OK;
}

/* ---- making and dropping slabs ------------------------------------------------------------------------------------------ */

static int new_slab(aios__pages *p, uint32_t n_pages, slab **out, aios_error *err)
{
    aios_error e = AIOS_INIT(aios_error);
    slab *s = aios__alloc(heap_of(p), p->kind, sizeof *s + n_pages * sizeof s->free[0], &e);
    if (!s)
        return aios__error_copy(err, &e);
    aios_device_alloc_args a = {.struct_size = sizeof a, .n_bytes = n_pages * p->stride, .align = PAGE_ALIGN, .flags = AIOS_BUFFER_HUGE};
    int rc = aios__device_alloc(p->dev, &a, p->kind, &s->mem, NULL, err);
    if (rc) {
        aios__free(heap_of(p), s);
        return rc;
    }
    s->charged = s->mem.n_bytes;
    s->n_pages = n_pages;
    *out = s;
    return AIOS_OK;
}

/* Slabs grow with what there is, so that a small cache stays small, and what others keep is not asked for more than a page. */
static uint32_t choose_pages(const aios__pages *p)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    size_t want = p->total_bytes < SLAB_MIN ? SLAB_MIN : p->total_bytes > SLAB_MAX ? SLAB_MAX : p->total_bytes;
    aios_ctx_usage(aios__device_ctx(p->dev), &u);
    want = u.budget - u.used < 2 * want ? 0 : want;
    return want > p->stride ? (uint32_t)(want / p->stride) : 1;
}

/* Out of the lock, since asking for memory may call the host's pressure function, which may put pages back. */
static int make_slab(aios__pages *p, uint32_t n_pages, slab **s, aios_error *err)
{
    aios_error first = AIOS_INIT(aios_error);
    int rc = new_slab(p, n_pages, s, &first);
    if (rc && n_pages > 1)
        return new_slab(p, 1, s, err);
    return rc ? aios__error_copy(err, &first) : AIOS_OK;
}

static void free_slab(aios__pages *p, slab *s)
{
    aios__device_release(p->dev, &s->mem, p->kind, s->charged);
    aios__free(heap_of(p), s);
}

static size_t slab_bytes(const aios__pages *p, const slab *s)
{
    return s->n_pages * p->stride;
}

static void insert_slab(aios__pages *p, slab *s)
{
    uint32_t i = slab_after(p, s->mem.ptr);
    memmove(p->sorted + i + 1, p->sorted + i, (p->n_slabs - i) * sizeof *p->sorted);
    p->sorted[i] = s;
    p->n_slabs++;
    p->total_bytes += slab_bytes(p, s);
    p->idle_bytes += slab_bytes(p, s);
    list_slab(p, s);
}

static void remove_slab(aios__pages *p, slab *s)
{
    uint32_t i = slab_after(p, s->mem.ptr) - 1;
    memmove(p->sorted + i, p->sorted + i + 1, (p->n_slabs - i - 1) * sizeof *p->sorted);
    p->n_slabs--;
    p->total_bytes -= slab_bytes(p, s);
    p->idle_bytes -= slab_bytes(p, s);
    unlist_slab(p, s);
}

/* ---- pages -------------------------------------------------------------------------------------------------------------- */

static void *take_page(aios__pages *p)
{
    slab *s = p->first;
    if (!s)
        return NULL;
    if (!s->n_used++)
        p->idle_bytes -= slab_bytes(p, s);
    uint32_t number = s->n_free ? s->free[--s->n_free] : s->n_fresh++;
    if (s->n_used == s->n_pages)
        unlist_slab(p, s);
    return (char *)s->mem.ptr + number * p->stride;
}

void *aios__pages_get(aios__pages *p, aios_error *err)
{
    pthread_mutex_lock(&p->lock);
    void *page = take_page(p);
    uint32_t n_pages = choose_pages(p);
    pthread_mutex_unlock(&p->lock);
    if (page)
        return page;
    slab *s;
    if (make_slab(p, n_pages, &s, err))
        return NULL;
    pthread_mutex_lock(&p->lock);
    int rc = reserve_slot(p, err);
    if (!rc) {
        insert_slab(p, s);
        page = take_page(p);
    }
    pthread_mutex_unlock(&p->lock);
    if (rc)
        free_slab(p, s);
    return page;
}

void aios__pages_put(aios__pages *p, void *page)
{
    uint32_t number;
    slab *drop = NULL;
    if (!page)
        return;
    pthread_mutex_lock(&p->lock);
    slab *s = slab_of(p, page, &number);
    if (s && s->n_used) {
        s->free[s->n_free++] = number;
        list_slab(p, s);
        if (!--s->n_used) {
            p->idle_bytes += slab_bytes(p, s);
            if (p->idle_bytes > p->keep_bytes) {
                remove_slab(p, s);
                drop = s;
            }
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (drop)
        free_slab(p, drop);
}

size_t aios__pages_trim(aios__pages *p)
{
    size_t got = 0;
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = p->n_slabs; p->idle_bytes && i-- > 0;) {
        slab *s = p->sorted[i];
        if (s->n_used)
            continue;
        got += s->charged;
        remove_slab(p, s);
        free_slab(p, s);
    }
    pthread_mutex_unlock(&p->lock);
    return got;
}

void aios__pages_free(aios__pages *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; i < p->n_slabs; i++)
        free_slab(p, p->sorted[i]);
    aios_ctx *ctx = aios__device_ctx(p->dev);
    aios__free(aios__ctx_heap(ctx), p->sorted);
    pthread_mutex_destroy(&p->lock);
    aios__free(aios__ctx_heap(ctx), p);
    aios_ctx_free(ctx);
}
