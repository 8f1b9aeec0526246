/* SPDX-License-Identifier: Apache-2.0 */
/* Cache of keys and values in blocks of 64 positions, taken as they are needed, shared by forks until written. */
#include "backend/gguf/net.h"

static void block_unref(aios__net *net, aios__kv_block *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios__pages_put(net->pages, b->data);
    aios__free(net->heap, b);
}

static aios__kv_block *block_new(aios__net *net, aios_error *err)
{
    aios__kv_block *b = aios__alloc(net->heap, AIOS_MEM_KV, sizeof *b, err);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->data = aios__pages_get(net->pages, err);
    if (!b->data) {
        aios__free(net->heap, b);
        return NULL;
    }
    return b;
}

int aios__kv_new(aios__net *net, uint32_t n_ctx, aios__kv **out, aios_error *err)
{
    aios__kv *kv = aios__alloc(net->heap, AIOS_MEM_KV, sizeof *kv, err);
    if (!kv)
        return aios__no_memory(err);
    kv->net = net;
    kv->n_ctx = n_ctx;
    *out = kv;
    return AIOS_OK;
}

void aios__kv_free(aios__kv *kv)
{
    if (!kv)
        return;
    aios__kv_truncate(kv, 0);
    aios__free(kv->net->heap, kv->blocks);
    aios__free(kv->net->heap, kv->ids);
    aios__free(kv->net->heap, kv);
}

/* Grows an array to hold n elements. */
static int grow(aios__heap *h, void **p, uint32_t *cap, uint32_t n, size_t size, aios_error *err)
{
    if (n <= *cap)
        return AIOS_OK;
    uint32_t want = *cap < 16 ? 16 : *cap + *cap / 2;
    want = want < n ? n : want;
    size_t bytes;
    if (!aios__mul_size(want, size, &bytes))
        return aios__fail(err, AIOS_ELIMIT, "a cache of %u entries is too large", n);
    void *q = aios__realloc(h, AIOS_MEM_KV, *p, bytes, err);
    if (!q)
        return aios__no_memory(err);
    *p = q;
    *cap = want;
    return AIOS_OK;
}

/* The block of position n is about to be written: nobody else may see that. */
static int make_own(aios__kv *kv, aios_error *err)
{
    uint32_t i = kv->n / AIOS__KV_PAGE;
    if (i >= kv->n_blocks || atomic_load_explicit(&kv->blocks[i]->refs, memory_order_acquire) == 1)
        return AIOS_OK;
    aios__kv_block *b = block_new(kv->net, err);
    if (!b)
        return aios__no_memory(err);
    memcpy(b->data, kv->blocks[i]->data, kv->net->kv_block_bytes);
    block_unref(kv->net, kv->blocks[i]);
    kv->blocks[i] = b;
    return AIOS_OK;
}

int aios__kv_reserve(aios__kv *kv, uint32_t n, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    if (n > kv->n_ctx - kv->n)
        return aios__fail_need(err, AIOS_ECONTEXT, kv->n_ctx, (uint64_t)kv->n + n,
                               "%u tokens more than the %u there are do not fit a context of %u", n, kv->n, kv->n_ctx);
    uint32_t total = kv->n + n, need = (total + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE;
    int rc = make_own(kv, err);
    rc = rc ? rc : grow(kv->net->heap, (void **)&kv->ids, &kv->ids_cap, total, sizeof *kv->ids, err);
    rc = rc ? rc : grow(kv->net->heap, (void **)&kv->blocks, &kv->cap, need, sizeof(void *), err);
    while (!rc && kv->n_blocks < need) {
        aios__kv_block *b = block_new(kv->net, err);
        if (!b)
            return aios__no_memory(err);
        memset(b->data, 0, kv->net->kv_block_bytes);
        kv->blocks[kv->n_blocks++] = b;
    }
    return rc;
}

void aios__kv_truncate(aios__kv *kv, uint32_t n)
{
    uint32_t keep = (n + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE;
    while (kv->n_blocks > keep)
        block_unref(kv->net, kv->blocks[--kv->n_blocks]);
    kv->n = n < kv->n ? n : kv->n;
}

int aios__kv_fork(const aios__kv *kv, aios__kv **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__kv *copy = NULL;
    uint32_t n_blocks = (kv->n + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE;
    int rc = aios__kv_new(kv->net, kv->n_ctx, &copy, err);
    if (rc)
        return rc;
    rc = grow(kv->net->heap, (void **)&copy->ids, &copy->ids_cap, kv->n, sizeof *kv->ids, err);
    rc = rc ? rc : grow(kv->net->heap, (void **)&copy->blocks, &copy->cap, n_blocks, sizeof(void *), err);
    if (rc) {
        aios__kv_free(copy);
        return rc;
    }
    if (kv->n)
        memcpy(copy->ids, kv->ids, kv->n * sizeof *kv->ids);
    for (uint32_t i = 0; i < n_blocks; i++) {
        atomic_fetch_add_explicit(&kv->blocks[i]->refs, 1, memory_order_relaxed);
        copy->blocks[copy->n_blocks++] = kv->blocks[i];
    }
    copy->n = kv->n;
    *out = copy;
    return AIOS_OK;
}
