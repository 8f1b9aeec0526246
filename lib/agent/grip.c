/* SPDX-License-Identifier: Apache-2.0 */
/* References to agents that do not keep them alive: what an agent holds can hold it only so, or none of them would ever go. */
#include "agent/agent_priv.h"

struct aios__grip {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    aios_agent *agent; /**< NULL: it is gone */
    aios__heap *heap;
};

static int make_grip(aios_agent *a, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(a->ctx);
    aios__grip *g = aios__alloc(h, AIOS_MEM_OTHER, sizeof *g, err);
    if (!g)
        return aios__nomem(err);
    if (pthread_mutex_init(&g->lock, NULL)) {
        aios__free(h, g);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    atomic_init(&g->refs, 1); /* the agent's */
    g->agent = a;
    g->heap = h;
    a->grip = g;
    return AIOS_OK;
}

aios__grip *aios__grip_new(aios_agent *a, aios_error *err)
{
    pthread_mutex_lock(&a->lock);
    int rc = a->grip ? AIOS_OK : make_grip(a, err);
    if (!rc)
        atomic_fetch_add(&a->grip->refs, 1);
    pthread_mutex_unlock(&a->lock);
    return rc ? NULL : a->grip;
}

aios_agent *aios__grip_take(aios__grip *g)
{
    pthread_mutex_lock(&g->lock);
    aios_agent *a = g->agent;
    uint32_t refs = a ? atomic_load(&a->refs) : 0;
    while (refs && !atomic_compare_exchange_weak(&a->refs, &refs, refs + 1))
        ;
    pthread_mutex_unlock(&g->lock);
    return refs ? a : NULL;
}

void aios__grip_free(aios__grip *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&g->lock);
    aios__free(g->heap, g);
}

void aios__grip_loose(aios_agent *a)
{
    if (!a->grip)
        return;
    pthread_mutex_lock(&a->grip->lock);
    a->grip->agent = NULL;
    pthread_mutex_unlock(&a->grip->lock);
    aios__grip_free(a->grip);
}
