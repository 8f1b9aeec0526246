/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of route:FILE and route:{...}. */
#include <stdio.h>

#include "backend/route/route_priv.h"

enum { SLICE_MS = 2 };

/* ---- model -------------------------------------------------------------------------------------------------------- */

static void route_close(void *model)
{
    aios__route *r = model;
    for (uint32_t i = 0; i < r->n_endpoints; i++)
        aios_model_close(r->endpoints[i].model);
    if (r->doc)
        aios__route_wipe(r);
    aios__json_free(r->doc);
    pthread_mutex_destroy(&r->lock);
    aios__free(r->heap, r);
}

static int route_new(const aios_backend_open_args *args, aios__route **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(args->ctx);
    aios__route *r = aios__alloc(h, AIOS_MEM_OTHER, sizeof *r, err);
    if (!r)
        return aios__nomem(err);
    r->ctx = args->ctx;
    r->heap = h;
    if (pthread_mutex_init(&r->lock, NULL)) {
        aios__free(h, r);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    int rc = aios__route_read(args, r, err);
    if (rc) {
        route_close(r);
        return rc;
    }
    *out = r;
    return AIOS_OK;
}

typedef int open_fn(const aios_backend_open_args *outer, aios__endpoint *e, const aios_model_config *cfg, aios_error *err);

static int open_one(const aios_backend_open_args *outer, aios__endpoint *e, const aios_model_config *cfg, aios_error *err)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    int rc = aios__model_open_inner(outer, e->uri, cfg, &e->model, err);
    rc = rc ? rc : aios_model_info_get(e->model, &info);
    if (rc) { /* where it sends its text is not known */
        aios_model_close(e->model);
        e->model = NULL;
    }
    e->privacy = info.privacy;
    e->can = info.flags;
    e->n_ctx = info.n_ctx;
    return rc;
}

static int probe_one(const aios_backend_open_args *outer, aios__endpoint *e, const aios_model_config *cfg, aios_error *err)
{
    return aios__model_probe_inner(outer, e->uri, cfg, err);
}

/* Each endpoint with its own configuration; at least one must be there. */
static int each(aios__route *r, const aios_backend_open_args *args, open_fn *fn, aios_error *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_endpoints; i++) {
        aios__endpoint *e = &r->endpoints[i];
        const aios__candidate *c = &r->candidates[e->candidate];
        aios_remote_config remote;
        aios_model_config cfg = *args->config;
        aios_error why = AIOS_INIT(aios_error);
        int rc = aios__route_remote(r, i, args->config->remote, &remote, &why);
        cfg.remote = &remote;
        cfg.n_ctx = c->n_ctx ? c->n_ctx : cfg.n_ctx;
        rc = rc ? rc : fn(args, e, &cfg, &why);
        n += !rc;
        if (rc && (!c->optional || rc == AIOS_ENOMEM || rc == AIOS_ECANCELED))
            return aios__fail_need(err, rc, why.have, why.need, "route: $.candidates[%u] (%s): %s", e->candidate, e->shown, why.msg);
        if (rc)
            aios__log(r->ctx, AIOS_LOG_WARN, "route: %s is left out: %s", e->shown, why.msg);
    }
    return n ? AIOS_OK : aios__fail(err, AIOS_EUNAVAIL, "route: none of the candidates could be opened");
}

static void find_waits(aios__route *r)
{
    for (uint32_t i = 0; i < r->n_endpoints; i++) {
        aios_model *m = r->endpoints[i].model ? aios__model_waiter(r->endpoints[i].model) : NULL;
        bool known = !m;
        for (uint32_t k = 0; !known && k < r->n_waits; k++)
            known = aios__model_waits_alike(r->waits[k], m);
        if (!known)
            r->waits[r->n_waits++] = m;
    }
}

static uint32_t route_loops(void *model, aios_model **one)
{
    const aios__route *r = model;
    *one = r->waits[0];
    return r->n_waits;
}

/* Loops that know nothing of each other (of plugins: those of servers are one) take turns: a look at each, then a little while of one that has something. */
static int route_wait(void *model, int32_t timeout_ms)
{
    aios__route *r = model;
    uint32_t n = r->n_waits;
    bool idle[AIOS__ROUTE_ENDPOINTS] = {false};
    for (uint32_t i = 0; n > 1 && i < n; i++) {
        int rc = aios__model_wait(r->waits[i], 0);
        idle[i] = rc == AIOS_ENOTSUP;
        if (rc && !idle[i])
            return rc;
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = r->next_wait++ % n;
        if (!idle[i])
            return aios__model_wait(r->waits[i], n > 1 && timeout_ms > SLICE_MS ? SLICE_MS : timeout_ms);
    }
    return AIOS_ENOTSUP;
}

static void route_wake(void *model)
{
    aios__route *r = model;
    for (uint32_t i = 0; i < r->n_waits; i++)
        aios__model_wake(r->waits[i]);
}

static int route_open(void *user, const aios_backend_open_args *args, void **out, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__route *r = NULL;
    int rc = route_new(args, &r, err);
    if (rc)
        return rc;
    rc = each(r, args, open_one, err);
    if (rc) {
        route_close(r);
        return rc;
    }
    find_waits(r);
    aios__route_wipe(r); /* each model has its own copy now */
    *out = r;
    return AIOS_OK;
}

static int route_probe(void *user, const aios_backend_open_args *args, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__route *r = NULL;
    int rc = route_new(args, &r, err);
    if (rc)
        return rc;
    rc = each(r, args, probe_one, err);
    route_close(r);
    return rc;
}

/* The first on this machine that embeds: such texts carry no labels, so that they stay here. */
static aios_model *embedder(const aios__route *r)
{
    for (uint32_t i = 0; i < r->n_endpoints; i++)
        if (r->endpoints[i].model && r->endpoints[i].privacy == AIOS_PRIVACY_LOCAL && r->endpoints[i].can & AIOS_MODEL_CAN_EMBED)
            return r->endpoints[i].model;
    return NULL;
}

static int route_info(void *model, aios_model_info *out)
{
    const aios__route *r = model;
    aios_model_info inner = AIOS_INIT(aios_model_info);
    uint32_t all = UINT32_MAX, any = 0;
    out->privacy = AIOS_PRIVACY_LOCAL;
    for (uint32_t i = 0; i < r->n_endpoints; i++) {
        const aios__endpoint *e = &r->endpoints[i];
        if (!e->model)
            continue;
        out->privacy = e->privacy > out->privacy ? e->privacy : out->privacy;
        out->n_ctx = out->n_ctx_train = e->n_ctx > out->n_ctx ? e->n_ctx : out->n_ctx;
        all &= e->can;
        any |= e->can;
    }
    if (embedder(r) && !aios_model_info_get(embedder(r), &inner))
        out->n_embd = inner.n_embd;
    out->name = "route";
    out->flags = (any & (AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_GRAMMAR | AIOS_MODEL_CAN_LOGPROBS | AIOS_MODEL_HAS_TEMPLATE)) | (all & AIOS_MODEL_CAN_SCHEMA) |
                 (embedder(r) ? AIOS_MODEL_CAN_EMBED : 0u);
    return AIOS_OK;
}

static int route_embed(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    aios_model *m = embedder(model);
    return m ? aios_model_embed(m, s, n, out, n_out, err) : aios__fail(err, AIOS_ENOTSUP, "no candidate on this machine embeds");
}

static int route_list(void *model, aios_write_fn *fn, void *user, aios_error *err)
{
    const aios__route *r = model;
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_addc(&b, '[', err);
    for (uint32_t i = 0; i < r->n_candidates; i++) {
        aios__buf_adds(&b, i ? ",{\"id\":" : "{\"id\":", err);
        aios__buf_add_json(&b, r->candidates[i].name, strlen(r->candidates[i].name), err);
        if (r->endpoints[r->candidates[i].first].n_ctx)
            aios__buf_addf(&b, err, ",\"context\":%u", r->endpoints[r->candidates[i].first].n_ctx);
        aios__buf_addc(&b, '}', err);
    }
    rc = rc ? rc : aios__buf_addc(&b, ']', err);
    if (!rc && (rc = fn(user, b.p, b.n)) != 0)
        rc = aios__fail(err, rc, "the receiver of the list stopped");
    aios__buf_free(&b);
    return rc;
}

/* ---- session ------------------------------------------------------------------------------------------------------ */

static int route_session_new(void *model, const aios_session_config *cfg, void **out, aios_error *err)
{
    if (cfg->draft)
        return aios__fail(err, AIOS_ENOTSUP, "a router takes no draft model: its candidates have different tokens");
    return aios__route_turn_new(model, cfg, (aios__route_turn **)out, err);
}

static void route_session_free(void *session)
{
    aios__route_turn_free(session);
}

static int route_start(void *session, const aios_request *req, aios_error *err)
{
    return aios__route_turn_start(session, req, err);
}

static int route_step(void *session, const aios_sink *sink, aios_error *err)
{
    return aios__route_turn_step(session, sink, err);
}

static void route_cancel(void *session)
{
    aios__route_turn_cancel(session);
}

static int route_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    aios_session *s;
    int rc = aios__route_turn_peek(session, req, &s, err);
    return rc ? rc : aios_session_count(s, req, n, err);
}

static int route_prewarm(void *session, const aios_request *req, aios_error *err)
{
    aios_session *s;
    int rc = aios__route_turn_peek(session, req, &s, err);
    return rc ? rc : aios_session_prewarm(s, req, err);
}

static void route_retain(void *session, int32_t returns)
{
    aios__route_turn_retain(session, returns);
}

int aios__backend_route_init(aios_ctx *ctx, aios_error *err)
{
    const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = "route",
        .open = route_open,
        .close = route_close,
        .probe = route_probe,
        .info = route_info,
        .session_new = route_session_new,
        .session_free = route_session_free,
        .start = route_start,
        .step = route_step,
        .cancel = route_cancel,
        .count = route_count,
        .prewarm = route_prewarm,
        .embed = route_embed,
        .list = route_list,
        .wait = route_wait,
        .wake = route_wake,
        .retain = route_retain,
    };
    return aios__backend_register_outer(ctx, &ops, NULL, route_loops, err);
}
