/* SPDX-License-Identifier: Apache-2.0 */
/* The root object. Children hold references, so any order of freeing is safe. */
#include <aios/version.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc_priv.h"
#include "base/memlimit.h"

struct aios_ctx {
    _Atomic uint32_t refs;
    uint32_t n_threads;
    int32_t log_level;
    char cpu[32];
    uint64_t grammar_bytes;
    aios_env env;
    aios_log_fn *log;
    void *log_user;
    aios__heap heap;
    pthread_mutex_t lock;
    struct {
        _Atomic(void *) p;
        void (*free_fn)(aios_ctx *ctx, void *p);
    } slots[AIOS__SLOT_COUNT];
};

uint32_t aios_version(void)
{
    return AIOS_VERSION;
}

static int init_ctx(aios_ctx *ctx, const aios_ctx_config *c, const aios_env *env, aios_error *err)
{
    atomic_init(&ctx->refs, 1);
    ctx->env = *env;
    ctx->n_threads = c->n_threads;
    ctx->grammar_bytes = c->grammar_bytes;
    ctx->log = c->log;
    ctx->log_user = c->log_user;
    ctx->log_level = c->log_level;
    if (c->cpu) {
        if (strlen(c->cpu) >= sizeof ctx->cpu)
            return aios__fail(err, AIOS_EINVAL, "cpu \"%.40s...\" is no instruction set level: use scalar; avx2, avx512 or avx512vnni; on ARM neon, dotprod or i8mm", c->cpu);
        memcpy(ctx->cpu, c->cpu, strlen(c->cpu) + 1);
    }
    uint64_t budget = c->budget ? c->budget : aios__memory_limit() / 10 * 8;
    aios__heap_init(&ctx->heap, &ctx->env, budget, c->pressure, c->pressure_user);
    int rc = aios__charge(&ctx->heap, AIOS_MEM_OTHER, sizeof *ctx, err);
    if (rc)
        return rc;
    if (pthread_mutex_init(&ctx->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    return AIOS_OK;
}

int aios_ctx_new(const aios_ctx_config *cfg, aios_ctx **out, aios_error *err)
{
    aios_ctx_config c;
    aios_env host, env;
    if (!out)
        return aios__fail(err, AIOS_EINVAL, "aios_ctx_new: ctx is NULL");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    if (!rc && c.env)
        rc = aios__struct_in(&host, sizeof host, c.env, err);
    if (rc)
        return rc;
    rc = aios__env_fill(&env, c.env ? &host : NULL, err);
    if (rc)
        return rc;
    aios_ctx *ctx = env.realloc(env.user, NULL, 0, sizeof *ctx);
    if (!ctx)
        return aios__fail_need(err, AIOS_ENOMEM, 0, sizeof *ctx, "the system has no memory for a context");
    memset(ctx, 0, sizeof *ctx);
    rc = init_ctx(ctx, &c, &env, err);
    if (rc) {
        env.realloc(env.user, ctx, sizeof *ctx, 0);
        return rc;
    }
    rc = aios__builtin_init(ctx, err);
    if (rc) {
        aios_ctx_free(ctx);
        return rc;
    }
    *out = ctx;
    return AIOS_OK;
}

aios_ctx *aios__ctx_ref(aios_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void aios_ctx_free(aios_ctx *ctx)
{
    if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
        return;
    /* what is freed here may take and drop references of its own: they must not end the ctx a second time */
    atomic_store(&ctx->refs, UINT32_MAX / 2);
    for (uint32_t i = AIOS__SLOT_COUNT; i-- > 0;) {
        void *p = atomic_exchange(&ctx->slots[i].p, NULL);
        if (p && ctx->slots[i].free_fn)
            ctx->slots[i].free_fn(ctx, p);
    }
    pthread_mutex_destroy(&ctx->lock);
    aios_env env = ctx->env;
    env.realloc(env.user, ctx, sizeof *ctx, 0);
}

int aios_ctx_set_budget(aios_ctx *ctx, uint64_t bytes, aios_error *err)
{
    if (!ctx || !bytes)
        return aios__fail(err, AIOS_EINVAL, "aios_ctx_set_budget: %s", ctx ? "a budget of 0 bytes holds nothing" : "ctx is NULL");
    return aios__heap_set_budget(&ctx->heap, bytes, err);
}

int aios_ctx_usage(const aios_ctx *ctx, aios_mem_usage *out)
{
    if (!ctx || !out)
        return AIOS_EINVAL;
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios__heap_usage(&ctx->heap, &u);
    return aios__struct_out(out, &u, sizeof u);
}

aios__heap *aios__ctx_heap(aios_ctx *ctx)
{
    return &ctx->heap;
}
const aios_env *aios__ctx_env(const aios_ctx *ctx)
{
    return &ctx->env;
}
uint32_t aios__ctx_threads(const aios_ctx *ctx)
{
    return ctx->n_threads;
}
uint64_t aios__ctx_grammar_bytes(const aios_ctx *ctx)
{
    return ctx->grammar_bytes;
}
const char *aios__ctx_cpu(const aios_ctx *ctx)
{
    return ctx->cpu;
}

void *aios__ctx_slot(const aios_ctx *ctx, uint32_t slot)
{
    return atomic_load_explicit(&ctx->slots[slot].p, memory_order_acquire);
}

void aios__ctx_slot_set(aios_ctx *ctx, uint32_t slot, void *p, void (*free_fn)(aios_ctx *ctx, void *p))
{
    ctx->slots[slot].free_fn = free_fn;
    atomic_store_explicit(&ctx->slots[slot].p, p, memory_order_release);
}

void aios__ctx_lock(aios_ctx *ctx)
{
    pthread_mutex_lock(&ctx->lock);
}
void aios__ctx_unlock(aios_ctx *ctx)
{
    pthread_mutex_unlock(&ctx->lock);
}

void aios__log(aios_ctx *ctx, int32_t level, const char *fmt, ...)
{
    if (!ctx->log || level > ctx->log_level)
        return;
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    ctx->log(ctx->log_user, level, msg);
}
