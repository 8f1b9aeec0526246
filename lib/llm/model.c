/* SPDX-License-Identifier: Apache-2.0 */
#include "llm/backend_priv.h"
#include "llm/session_priv.h"

const char *aios_model_state_name(int32_t state)
{
    static const char *const names[] = {
#define X(name, number, text) [number] = text,
        AIOS_MODEL_STATES(X)
#undef X
    };
    return state >= 0 && (size_t)state < AIOS__ARRAY_LEN(names) ? names[state] : "?";
}

/* Why a model is not ready, by the code of the failure; what is not listed is FAILED. */
static int32_t state_of(int code)
{
    static const struct {
        int32_t code, state;
    } rows[] = {
        {AIOS_OK, AIOS_MODEL_READY},
        {AIOS_ENOENT, AIOS_MODEL_NO_FILE},
        {AIOS_EFORMAT, AIOS_MODEL_BAD_FILE},
        {AIOS_ELIMIT, AIOS_MODEL_BAD_FILE},
        {AIOS_ETEMPLATE, AIOS_MODEL_BAD_FILE},
        {AIOS_EVERSION, AIOS_MODEL_UNSUPPORTED},
        {AIOS_ENOTSUP, AIOS_MODEL_UNSUPPORTED},
        {AIOS_ENOMEM, AIOS_MODEL_NO_MEMORY},
        {AIOS_EBUDGET, AIOS_MODEL_NO_MEMORY},
        {AIOS_EDENIED, AIOS_MODEL_NO_ACCESS},
        {AIOS_EAUTH, AIOS_MODEL_NO_ACCESS},
        {AIOS_EQUOTA, AIOS_MODEL_NO_ACCESS},
        {AIOS_EUNAVAIL, AIOS_MODEL_UNREACHABLE},
        {AIOS_ERATE, AIOS_MODEL_UNREACHABLE},
        {AIOS_ETIMEDOUT, AIOS_MODEL_UNREACHABLE},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].code == code)
            return rows[i].state;
    return AIOS_MODEL_FAILED;
}

static int config_in(const aios_model_config *src, aios_model_config *cfg, aios_error *err)
{
    int rc = aios__struct_in(cfg, sizeof *cfg, src, err);
    if (!rc && cfg->use_mmap > 1)
        rc = aios__fail(err, AIOS_EINVAL, "use_mmap is %u: it must be 0 or 1", cfg->use_mmap);
    if (!rc && cfg->n_threads > 4096)
        rc = aios__fail(err, AIOS_EINVAL, "n_threads is %u: at most 4096", cfg->n_threads);
    if (!rc && cfg->kv_bits && cfg->kv_bits != 16 && cfg->kv_bits != 8 && cfg->kv_bits != 4)
        rc = aios__fail(err, AIOS_EINVAL, "kv_bits is %u: it must be 16, 8 or 4, or 0 for 16", cfg->kv_bits);
    return rc;
}

#define MAX_DEPTH 4u

static int open_args(aios_ctx *ctx, uint32_t depth, const char *uri, const aios_model_config *src, aios_model_config *cfg, const aios__backend **b,
                     aios_backend_open_args *args, aios_error *err)
{
    if (depth > MAX_DEPTH)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_DEPTH, depth, "models are opened in one another more than %u deep: is one a part of itself?", MAX_DEPTH);
    const char *path;
    int rc = config_in(src, cfg, err);
    if (!rc)
        rc = aios__backend_find(ctx, uri, b, &path, err);
    if (rc)
        return rc;
    *args = (aios_backend_open_args)AIOS_INIT(aios_backend_open_args);
    args->ctx = ctx;
    args->uri = uri;
    args->path = path;
    args->config = cfg;
    args->depth = depth;
    return AIOS_OK;
}

static int open_model(aios_ctx *ctx, uint32_t depth, const char *uri, const aios_model_config *src, aios_model **out, aios_error *err)
{
    const aios__backend *b;
    aios_model_config cfg;
    aios_backend_open_args args;
    int rc = open_args(ctx, depth, uri, src, &cfg, &b, &args, err);
    if (rc)
        return rc;
    aios_model *m = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return aios__nomem(err);
    rc = aios__driver_init(&m->driver, m, err);
    if (rc) {
        aios__free(aios__ctx_heap(ctx), m);
        return rc;
    }
    atomic_init(&m->refs, 1);
    m->backend = b;
    m->ops = &b->ops;
    rc = b->ops.open(b->user, &args, &m->self, err);
    if (rc) {
        aios__driver_destroy(&m->driver);
        aios__free(aios__ctx_heap(ctx), m);
        return rc < 0 ? rc : aios__fail(err, AIOS_EINTERNAL, "backend %s: open gave %d", b->name, rc);
    }
    m->ctx = aios__ctx_ref(ctx);
    aios_model_info info = AIOS_INIT(aios_model_info);
    m->can = aios_model_info_get(m, &info) ? 0 : info.flags;
    *out = m;
    return AIOS_OK;
}

int aios_model_open(aios_ctx *ctx, const char *uri, const aios_model_config *src, aios_model **out, aios_error *err)
{
    if (!ctx || !uri || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_model_open: %s is NULL", !ctx ? "ctx" : !uri ? "uri" : "m");
    *out = NULL;
    return open_model(ctx, 0, uri, src, out, err);
}

int aios__model_open_inner(const aios_backend_open_args *outer, const char *uri, const aios_model_config *cfg, aios_model **out, aios_error *err)
{
    *out = NULL;
    return open_model(outer->ctx, outer->depth + 1, uri, cfg, out, err);
}

aios_model *aios__model_ref(aios_model *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

bool aios__model_waits(const aios_model *m)
{
    return m->ops->wait;
}

aios_model *aios__model_waiter(aios_model *m)
{
    while (m && m->backend->loops) {
        aios_model *one = NULL;
        uint32_t n = m->backend->loops(m->self, &one);
        if (n > 1)
            return m;
        m = n ? one : NULL;
    }
    return m && m->ops->wait ? m : NULL;
}

bool aios__model_waits_alike(const aios_model *a, const aios_model *b)
{
    return a == b || (a->backend->one_loop && a->ops->wait == b->ops->wait);
}

int aios__model_wait(const aios_model *m, int32_t timeout_ms)
{
    return m->ops->wait ? m->ops->wait(m->self, timeout_ms) : AIOS_ENOTSUP;
}

void aios__model_wake(const aios_model *m)
{
    if (m->ops->wake)
        m->ops->wake(m->self);
}

void *aios__model_self(const aios_model *m, const char *backend)
{
    return strcmp(m->ops->name, backend) ? NULL : m->self;
}

void aios_model_close(aios_model *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    aios_ctx *ctx = m->ctx;
    aios__driver_destroy(&m->driver);
    m->ops->close(m->self);
    aios__free(aios__ctx_heap(ctx), m);
    aios_ctx_free(ctx);
}

static int put_status(int code, const aios_error *err, aios_model_status *out)
{
    aios_model_status s = AIOS_INIT(aios_model_status);
    s.code = code;
    s.state = state_of(code);
    if (code) {
        memcpy(s.msg, err->msg, sizeof s.msg);
        s.msg[sizeof s.msg - 1] = 0;
        s.have = err->have;
        s.need = err->need;
    }
    return aios__struct_out(out, &s, sizeof s);
}

int aios_model_status_get(const aios_model *m, aios_model_status *out)
{
    return m && out ? put_status(AIOS_OK, NULL, out) : AIOS_EINVAL;
}

static int probe_model(aios_ctx *ctx, uint32_t depth, const char *uri, const aios_model_config *src, aios_error *err)
{
    const aios__backend *b;
    aios_model_config cfg;
    aios_backend_open_args args;
    aios_model *m = NULL;
    int rc = open_args(ctx, depth, uri, src, &cfg, &b, &args, err);
    if (!rc && b->ops.probe)
        return b->ops.probe(b->user, &args, err);
    rc = rc ? rc : open_model(ctx, depth, uri, src, &m, err);
    aios_model_close(m);
    return rc;
}

int aios__model_probe_inner(const aios_backend_open_args *outer, const char *uri, const aios_model_config *cfg, aios_error *err)
{
    return probe_model(outer->ctx, outer->depth + 1, uri, cfg, err);
}

int aios_model_probe(aios_ctx *ctx, const char *uri, const aios_model_config *src, aios_model_status *out)
{
    aios_error err = AIOS_INIT(aios_error);
    if (!ctx || !uri || !out)
        return AIOS_EINVAL;
    int rc = probe_model(ctx, 0, uri, src, &err);
    return put_status(rc, &err, out);
}

int aios_model_info_get(const aios_model *m, aios_model_info *out)
{
    if (!m || !out)
        return AIOS_EINVAL;
    aios_model_info info = AIOS_INIT(aios_model_info);
    info.privacy = AIOS_PRIVACY_REMOTE; /* of a backend that does not say */
    int rc = m->ops->info ? m->ops->info(m->self, &info) : AIOS_OK;
    if (rc)
        return rc;
    info.backend = m->ops->name;
    info.flags = (info.flags & ~(uint32_t)AIOS_MODEL_CAN_SAVE) | (m->ops->save && m->ops->load ? AIOS_MODEL_CAN_SAVE : 0u);
    info.name = info.name ? info.name : "";
    info.architecture = info.architecture ? info.architecture : "";
    info.quantization = info.quantization ? info.quantization : "";
    return aios__struct_out(out, &info, sizeof info);
}

static int no_slot(const aios_model *m, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_ENOTSUP, "the backend %s cannot %s", m->ops->name, what);
}

int aios_model_tokenize(aios_model *m, const char *s, size_t n, uint32_t flags, int32_t *ids, uint32_t n_max, uint32_t *n_ids, aios_error *err)
{
    if (!m || !n_ids || (!s && n))
        return aios__fail(err, AIOS_EINVAL, "aios_model_tokenize: %s is NULL", !m ? "m" : !n_ids ? "n_ids" : "s");
    *n_ids = 0;
    if (flags & ~(uint32_t)(AIOS_TOKENIZE_SPECIAL | AIOS_TOKENIZE_BOS))
        return aios__fail(err, AIOS_EINVAL, "flags 0x%x has bits that are no AIOS_TOKENIZE_x", flags);
    if (!m->ops->tokenize)
        return no_slot(m, "tokenize", err);
    return m->ops->tokenize(m->self, s ? s : "", n == AIOS_CSTR ? strlen(s) : n, flags, ids, ids ? n_max : 0, n_ids, err);
}

int aios_model_detokenize(aios_model *m, const int32_t *ids, uint32_t n_ids, char *out, size_t n_max, size_t *n_bytes, aios_error *err)
{
    if (!m || !n_bytes || (!ids && n_ids))
        return aios__fail(err, AIOS_EINVAL, "aios_model_detokenize: %s is NULL", !m ? "m" : !n_bytes ? "n_bytes" : "ids");
    *n_bytes = 0;
    if (!m->ops->detokenize)
        return no_slot(m, "detokenize", err);
    return m->ops->detokenize(m->self, ids, n_ids, out, out ? n_max : 0, n_bytes, err);
}

int aios_model_render(aios_model *m, const aios_request *src, aios_write_fn *fn, void *user, aios_error *err)
{
    if (!m || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_model_render: %s is NULL", m ? "fn" : "m");
    if (!m->ops->render)
        return no_slot(m, "render a prompt", err);
    aios__request r;
    int rc = aios__request_in(m->ctx, src, &r, err);
    if (rc)
        return rc;
    rc = m->ops->render(m->self, &r.req, fn, user, err);
    aios__request_free(&r);
    return rc;
}

int aios_model_list(aios_model *m, aios_write_fn *fn, void *user, aios_error *err)
{
    if (!m || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_model_list: %s is NULL", m ? "fn" : "m");
    if (!m->ops->list)
        return aios__fail(err, AIOS_ENOTSUP, "the backend %s has no list of models", m->ops->name);
    return m->ops->list(m->self, fn, user, err);
}

int aios_model_embed(aios_model *m, const char *text, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    if (!m || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_model_embed: %s is NULL", m ? "out" : "m");
    int rc = aios__text_in(text, n, &n, "text", err);
    if (rc)
        return rc;
    if (!m->ops->embed)
        return no_slot(m, "embed", err);
    return m->ops->embed(m->self, text ? text : "", n, out, n_out, err);
}

int aios_model_inspect(aios_ctx *ctx, const char *uri, aios_write_fn *fn, void *user, aios_error *err)
{
    if (!ctx || !uri || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_model_inspect: %s is NULL", !ctx ? "ctx" : !uri ? "uri" : "fn");
    const aios__backend *b;
    aios_model_config cfg;
    aios_backend_open_args args;
    int rc = open_args(ctx, 0, uri, NULL, &cfg, &b, &args, err);
    if (rc)
        return rc;
    if (!b->ops.inspect)
        return aios__fail(err, AIOS_ENOTSUP, "the backend %s has no files to inspect", b->name);
    return b->ops.inspect(b->user, &args, fn, user, err);
}
