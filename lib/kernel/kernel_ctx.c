/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel table of a ctx, made on first use. */
#include "kernel/kernel.h"

static void kernels_free(aios_ctx *ctx, void *p)
{
    aios__free(aios__ctx_heap(ctx), p);
}

static aios__kernels *slot(aios_ctx *ctx, aios__kernels *set)
{
    aios__ctx_lock(ctx);
    aios__kernels *k = aios__ctx_slot(ctx, AIOS__SLOT_KERNELS);
    if (!k && set) {
        aios__ctx_slot_set(ctx, AIOS__SLOT_KERNELS, set, kernels_free);
        k = set;
    }
    aios__ctx_unlock(ctx);
    return k;
}

const aios__kernels *aios__ctx_kernels(aios_ctx *ctx, aios_error *err)
{
    aios__kernels *k = slot(ctx, NULL), *made;
    if (k)
        return k;
    made = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *made, err);
    if (!made)
        return NULL;
    aios__kernels_init(made, aios__cpu_levels(ctx));
    k = slot(ctx, made);
    if (k != made) /* another thread was first */
        kernels_free(ctx, made);
    return k;
}
