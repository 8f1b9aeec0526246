/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "backend/gguf/packed.h"

static int find_arch(aios__net *net, const aios__gguf *g, aios_error *err)
{
    aios__gstr name = {0};
    int rc = aios__gguf_str(g, "general.architecture", &name, err);
    if (rc == AIOS_ENOENT)
        return aios__fail(err, AIOS_EFORMAT, "%s: the key general.architecture is missing", aios__gguf_path(g));
    if (rc)
        return rc;
    net->arch = aios__arch_find(name.p, name.n);
    if (net->arch)
        return AIOS_OK;
    aios__buf names;
    aios__buf_init(&names, net->heap, AIOS_MEM_TEXT, 0);
    aios__arch_names(&names);
    rc = aios__fail(err, AIOS_ENOTSUP, "%s: the architecture \"%.*s\" is not supported; supported are %s", aios__gguf_path(g),
                    (int)(name.n < 64 ? name.n : 64), name.p, names.p ? names.p : "?");
    aios__buf_free(&names);
    return rc;
}

static int net_begin(aios__net *net, aios_ctx *ctx, const aios__gguf *g, aios_error *err)
{
    net->ctx = ctx;
    net->heap = aios__ctx_heap(ctx);
    int rc = find_arch(net, g, err);
    rc = rc ? rc : aios__hparams_read(g, net->arch, &net->hp, err);
    if (rc)
        return rc;
    net->k = aios__ctx_kernels(ctx, err);
    return net->k ? AIOS_OK : aios__no_memory(err);
}

int aios__net_plan(aios_ctx *ctx, const aios__gguf *g, uint64_t *n_bytes, aios_error *err)
{
    aios__net net = {0};
    int rc = net_begin(&net, ctx, g, err);
    return rc ? rc : aios__weights_plan(&net, g, n_bytes, err);
}

/* Rotation speeds: base^(-2i/n), slowed by a linear scale and by the file's own factors. */
static int set_rope(aios__net *net, aios_error *err)
{
    const aios__hparams *hp = &net->hp;
    uint32_t n = hp->n_rot / 2;
    net->inv_freq[0] = aios__alloc_array(net->heap, AIOS_MEM_WEIGHTS, 2 * (size_t)n, sizeof(float), err);
    if (!net->inv_freq[0])
        return aios__no_memory(err);
    net->inv_freq[1] = net->inv_freq[0] + n;
    for (uint32_t i = 0; i < n; i++) {
        double at = -2.0 * i / hp->n_rot, speed = pow((double)hp->rope_base, at) * (double)hp->rope_scale;
        net->inv_freq[0][i] = (float)(net->w.rope_freqs ? speed / (double)net->w.rope_freqs[i] : speed);
        net->inv_freq[1][i] = (float)pow((double)hp->rope_base_local, at);
    }
    return AIOS_OK;
}

static int make_pool(aios__net *net, uint32_t n_threads, aios_error *err)
{
    aios_pool_config cfg = AIOS_INIT(aios_pool_config);
    cfg.n_threads = n_threads ? n_threads : aios__ctx_threads(net->ctx);
    int rc = aios_pool_new(net->ctx, &cfg, &net->pool, err);
    net->n_threads = rc ? 0 : aios_pool_threads(net->pool);
    return rc;
}

static int make_locks(aios__net *net, aios_error *err)
{
    if (pthread_mutex_init(&net->lock, NULL))
        return aios__fail(err, AIOS_ENOMEM, "no lock could be made for the model");
    if (pthread_mutex_init(&net->next, NULL)) {
        pthread_mutex_destroy(&net->lock);
        return aios__fail(err, AIOS_ENOMEM, "no lock could be made for the model");
    }
    net->has_lock = true;
    return AIOS_OK;
}

int aios__net_load(aios_ctx *ctx, const aios__gguf *g, uint32_t n_threads, aios__progress_fn *fn, void *user, aios__net **out, aios_error *err)
{
    return aios__net_open(ctx, g, &(aios__load_args){.n_threads = n_threads, .progress = fn, .progress_user = user}, out, err);
}

int aios__net_open(aios_ctx *ctx, const aios__gguf *g, const aios__load_args *args, aios__net **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__net *net = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *net, err);
    if (!net)
        return aios__no_memory(err);
    int rc = net_begin(net, ctx, g, err);
    rc = rc ? rc : make_pool(net, args->n_threads, err);
    rc = rc ? rc : aios__weights_load(net, g, args, err);
    rc = rc ? rc : set_rope(net, err);
    rc = rc ? rc : aios__kv_store_init(&net->kv, ctx, &net->hp, args->kv_type, err);
    rc = rc ? rc : aios__work_new(net, err);
    rc = rc ? rc : make_locks(net, err);
    if (rc) {
        aios__net_free(net);
        return rc;
    }
    *out = net;
    return AIOS_OK;
}

void aios__net_free(aios__net *net)
{
    if (!net)
        return;
    aios__packed_wait(net);
    aios_pool_free(net->pool);
    aios__work_free(net);
    aios__kv_store_destroy(&net->kv);
    aios__free(net->heap, net->inv_freq[0]);
    aios__weights_free(net);
    if (net->has_lock) {
        pthread_mutex_destroy(&net->next);
        pthread_mutex_destroy(&net->lock);
    }
    aios__free(net->heap, net);
}
