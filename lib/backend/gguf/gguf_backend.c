/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in engine behind the backend interface. */
#include <math.h>

#include "backend/gguf/gguf.h"

static int backend_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    AIOS__UNUSED(user);
    return aios__gguf_model_new(args, (aios__gguf_model **)model, err);
}

static void backend_close(void *model)
{
    aios__gguf_model_free(model);
}

/* Everything but the weights themselves: header, tokens, template, and whether the budget has room. */
static int backend_probe(void *user, const aios_backend_open_args *args, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__gguf *g = NULL;
    aios__vocab *v = NULL;
    uint64_t need = 0;
    aios_mem_usage usage = AIOS_INIT(aios_mem_usage);
    int rc = aios__gguf_open(args->ctx, args->path, args->config->use_mmap, &g, err);
    rc = rc ? rc : aios__net_plan(args->ctx, g, &need, err);
    rc = rc ? rc : aios__vocab_new(args->ctx, g, &v, err);
    rc = rc ? rc : aios_ctx_usage(args->ctx, &usage);
    if (!rc && need > usage.budget - usage.used && aios__reclaim(aios__ctx_heap(args->ctx), (size_t)need))
        rc = aios_ctx_usage(args->ctx, &usage);
    if (!rc && need > usage.budget - (usage.used < usage.budget ? usage.used : usage.budget))
        rc = aios__fail_need(err, AIOS_EBUDGET, usage.budget - usage.used, need,
                             "%s: the weights need %llu bytes, but %llu of the budget of %llu are in use", args->path, (unsigned long long)need,
                             (unsigned long long)usage.used, (unsigned long long)usage.budget);
    aios__vocab_free(v);
    aios__gguf_close(g);
    return rc;
}

static int backend_info(void *model, aios_model_info *out)
{
    const aios__gguf_model *m = model;
    const aios__hparams *hp = &m->net->hp;
    const aios__dtype *type = aios__dtype_of(m->net->main_dtype);
    out->name = m->name;
    out->backend = "gguf";
    out->architecture = m->net->arch->name;
    out->quantization = type ? type->name : "";
    out->n_ctx = m->n_ctx;
    out->n_ctx_train = hp->n_ctx_train;
    out->n_vocab = hp->n_vocab;
    out->n_embd = hp->n_embd;
    out->n_layers = hp->n_layer;
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_SCHEMA | AIOS_MODEL_CAN_GRAMMAR | AIOS_MODEL_CAN_TOKENIZE | AIOS_MODEL_CAN_FORK | AIOS_MODEL_CAN_EMBED |
                 AIOS_MODEL_CAN_LOGPROBS;
    out->flags |= m->tmpl ? AIOS_MODEL_HAS_TEMPLATE : 0;
    out->n_threads = m->net->n_threads;
    out->n_params = m->net->n_params;
    out->n_bytes = aios__gguf_size(m->file);
    return AIOS_OK;
}

/* ---- sessions ----------------------------------------------------------------------------------------------------- */

static aios__gguf_session *session_make(aios__gguf_model *m, uint32_t n_ctx, aios_error *err)
{
    aios__gguf_session *s = aios__alloc(m->heap, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return NULL;
    s->model = m;
    s->n_ctx = n_ctx;
    return s;
}

static void use_cache(aios__gguf_session *s)
{
    aios__caches_take(&s->model->caches, &s->cached);
}

/* fixed: the caller counts on it. */
static void leave_cache(aios__gguf_session *s, bool fixed)
{
    s->cached.fixed = fixed;
    aios__caches_put(&s->model->caches, &s->cached);
}

static void session_free(void *session)
{
    aios__gguf_session *s = session;
    if (!s)
        return;
    aios__gguf_turn_end(s);
    aios__caches_remove(&s->model->caches, &s->cached);
    aios__draft_model_free(s->guesser);
    aios__kv_free(s->kv);
    aios__free(s->model->heap, s);
}

static int session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__gguf_model *m = model;
    if (cfg->n_ctx > m->n_ctx)
        return aios__fail_need(err, AIOS_EINVAL, m->n_ctx, cfg->n_ctx, "n_ctx %u is more than the %u the model was opened with", cfg->n_ctx, m->n_ctx);
    aios__gguf_session *s = session_make(m, cfg->n_ctx ? cfg->n_ctx : m->n_ctx, err);
    if (!s)
        return aios__no_memory(err);
    s->drafts = cfg->speculation == AIOS_SPECULATION_AUTO;
    int rc = aios__kv_new(m->net, s->n_ctx, &s->kv, err);
    if (!rc && cfg->draft)
        rc = aios__draft_model_open(m, cfg->draft, s->n_ctx, &s->guesser, err);
    if (rc) {
        session_free(s);
        return rc;
    }
    s->cached.kv = s->kv;
    *session = s;
    return AIOS_OK;
}

static int session_fork(void *session, void **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__gguf_session *s = session, *f = session_make(s->model, s->n_ctx, err);
    if (!f)
        return aios__no_memory(err);
    f->drafts = s->drafts;
    use_cache(s);
    int rc = aios__kv_fork(s->kv, &f->kv, err);
    leave_cache(s, s->cached.fixed);
    if (!rc && s->guesser)
        rc = aios__draft_model_fork(s->guesser, &f->guesser, err);
    if (rc) {
        session_free(f);
        return rc;
    }
    f->cached = (aios__cached){.kv = f->kv, .priority = s->cached.priority};
    use_cache(f);
    leave_cache(f, s->cached.fixed);
    *out = f;
    return AIOS_OK;
}

static int session_save(void *session, const char *path, aios_error *err)
{
    aios__gguf_session *s = session;
    uint64_t sum;
    int rc = aios__gguf_model_sum(s->model, &sum, err);
    if (rc)
        return rc;
    use_cache(s);
    rc = aios__kv_save(s->kv, sum, path, err);
    leave_cache(s, s->cached.fixed);
    return rc;
}

static int session_load(void *session, const char *path, aios_error *err)
{
    aios__gguf_session *s = session;
    uint64_t sum;
    int rc = aios__gguf_model_sum(s->model, &sum, err);
    if (rc)
        return rc;
    use_cache(s);
    rc = aios__kv_load(s->kv, sum, path, err);
    leave_cache(s, !rc || s->cached.fixed);
    return rc;
}

static void session_retain(void *session, int32_t retain)
{
    aios__gguf_session *s = session;
    aios__caches_retain(&s->model->caches, &s->cached, retain != 0);
}

static int session_start(void *session, const aios_request *req, aios_error *err)
{
    return aios__gguf_turn_start(session, req, err);
}

static int session_step(void *session, const aios_sink *sink, aios_error *err)
{
    return aios__gguf_turn_step(session, sink, err);
}

static void session_cancel(void *session)
{
    aios__gguf_session *s = session;
    atomic_store(&s->cancel, 1);
}

static int session_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    const aios__gguf_session *s = session;
    aios__ids ids = {.heap = s->model->heap};
    bool thinks;
    int rc = aios__prompt_make(s->model, req, true, &ids, &thinks, err);
    *n = rc ? 0 : ids.n;
    aios__ids_free(&ids);
    return rc;
}

static int session_prewarm(void *session, const aios_request *req, aios_error *err)
{
    return aios__gguf_turn_prewarm(session, req, err);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

static int model_tokenize(void *model, const char *s, size_t n, uint32_t flags, int32_t *ids, uint32_t n_max, uint32_t *n_ids, aios_error *err)
{
    const aios__gguf_model *m = model;
    aios__ids list = {.heap = m->heap};
    int rc = aios__vocab_encode(m->vocab, s, n, flags, &list, err);
    *n_ids = rc ? 0 : list.n;
    if (!rc && ids && list.n > n_max)
        rc = aios__fail_need(err, AIOS_ELIMIT, n_max, list.n, "the text has %u tokens, but there is room for %u", list.n, n_max);
    if (!rc && ids && list.n)
        memcpy(ids, list.p, list.n * sizeof *ids);
    aios__ids_free(&list);
    return rc;
}

static int model_detokenize(void *model, const int32_t *ids, uint32_t n_ids, char *out, size_t n_max, size_t *n_bytes, aios_error *err)
{
    const aios__gguf_model *m = model;
    size_t total = 0, n;
    for (uint32_t i = 0; i < n_ids; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= aios__vocab_size(m->vocab))
            return aios__fail(err, AIOS_EINVAL, "token %d at %u is not one of the %u of the vocabulary", ids[i], i, aios__vocab_size(m->vocab));
        const char *p = aios__vocab_piece(m->vocab, ids[i], &n);
        if (out && n <= n_max && total <= n_max - n)
            memcpy(out + total, p, n);
        total += n;
    }
    *n_bytes = total;
    if (out && total > n_max)
        return aios__fail_need(err, AIOS_ELIMIT, n_max, total, "the text has %zu bytes, but there is room for %zu", total, n_max);
    return AIOS_OK;
}

static int model_render(void *model, const aios_request *req, aios_write_fn *fn, void *user, aios_error *err)
{
    const aios__gguf_model *m = model;
    if (req->raw)
        return fn(user, req->raw, req->n_raw);
    aios__buf marked, plain;
    aios__buf_init(&marked, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&plain, m->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__chat_render(m, req, true, &marked, err);
    rc = rc ? rc : aios__prompt_strip(marked.p ? marked.p : "", marked.n, &plain, err);
    rc = rc ? rc : fn(user, plain.p ? plain.p : "", plain.n);
    aios__buf_free(&marked);
    aios__buf_free(&plain);
    return rc;
}

static int session_eval(void *session, const int32_t *ids, uint32_t n_ids, float *logits, uint32_t n_rows, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__gguf_session *s = session;
    if (s->turn.active)
        return aios__fail(err, AIOS_EBUSY, "a turn is running");
    if (!n_ids && !n_rows) {
        use_cache(s);
        aios__kv_truncate(s->kv, 0);
        leave_cache(s, false);
        return AIOS_OK;
    }
    if (n_rows > n_ids || !ids || (n_rows && !logits))
        return aios__fail(err, AIOS_EINVAL, "%u rows of logits of %u tokens%s", n_rows, n_ids, n_rows && !logits ? ", and no room for them" : "");
    use_cache(s);
    int rc = aios__kv_eval(s->kv, ids, n_ids, logits, n_rows, err);
    leave_cache(s, true);
    return rc;
}

/* At most AIOS__CHUNK sessions, a token each. */
static int eval_group(aios__gguf_session *const *s, const int32_t *ids, uint32_t n, float *logits, aios_error *err)
{
    aios__row rows[AIOS__CHUNK];
    aios__net *net = s[0]->model->net;
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= net->hp.n_vocab)
            return aios__fail(err, AIOS_EINVAL, "token %d at %u is not one of the %u of the vocabulary", ids[i], i, net->hp.n_vocab);
        if (s[i]->model != s[0]->model)
            return aios__fail(err, AIOS_EINVAL, "session %u is of another model", i);
        if (s[i]->turn.active)
            return aios__fail(err, AIOS_EBUSY, "a turn of session %u is running", i);
        for (uint32_t j = 0; j < i; j++) {
            if (s[j] == s[i])
                return aios__fail(err, AIOS_EINVAL, "sessions %u and %u are the same", j, i);
        }
        int rc = aios__kv_reserve(s[i]->kv, 1, err);
        if (rc)
            return rc;
        *aios__kv_id(s[i]->kv, s[i]->kv->n) = ids[i];
        rows[i] = (aios__row){.kv = s[i]->kv, .pos = s[i]->kv->n, .id = ids[i], .want = logits != NULL};
    }
    int rc = aios__net_eval(net, rows, n, logits, NULL, err);
    for (uint32_t i = 0; !rc && i < n; i++)
        s[i]->kv->n++;
    return rc;
}

static int session_eval_batch(void *const *sessions, const int32_t *ids, uint32_t n, float *logits, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n; i++)
        use_cache(sessions[i]);
    for (uint32_t i = 0; !rc && i < n; i += AIOS__CHUNK) {
        const aios__gguf_session *first = sessions[i];
        uint32_t m = n - i < AIOS__CHUNK ? n - i : AIOS__CHUNK;
        rc = eval_group((aios__gguf_session *const *)sessions + i, ids + i, m, logits ? logits + (size_t)i * first->model->net->hp.n_vocab : NULL, err);
    }
    for (uint32_t i = 0; i < n; i++)
        leave_cache(sessions[i], true);
    return rc;
}

/* ---- embedding ---------------------------------------------------------------------------------------------------- */

/* Adds the final states of all tokens to sum, chunk by chunk. */
static int sum_hidden(aios__kv *kv, const aios__ids *ids, float *states, double *sum, aios_error *err)
{
    uint32_t n_embd = kv->net->hp.n_embd;
    for (uint32_t i = 0; i < ids->n; i += AIOS__CHUNK) {
        uint32_t m = ids->n - i < AIOS__CHUNK ? ids->n - i : AIOS__CHUNK;
        int rc = aios__kv_hidden(kv, ids->p + i, m, states, err);
        if (rc)
            return rc;
        for (uint32_t t = 0; t < m; t++)
            for (uint32_t d = 0; d < n_embd; d++)
                sum[d] += (double)states[(size_t)t * n_embd + d];
    }
    return AIOS_OK;
}

/* The mean of the final states, scaled to length 1. */
static int model_embed(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    aios__gguf_model *m = model;
    uint32_t n_embd = m->net->hp.n_embd;
    if (n_out != n_embd)
        return aios__fail_need(err, AIOS_EINVAL, n_out, n_embd, "an embedding of this model has %u numbers, not %u", n_embd, n_out);
    aios__ids ids = {.heap = m->heap};
    aios__kv *kv = NULL;
    float *states = aios__alloc_array(m->heap, AIOS_MEM_SCRATCH, (size_t)AIOS__CHUNK * n_embd, sizeof *states, err);
    double *sum = states ? aios__alloc_array(m->heap, AIOS_MEM_SCRATCH, n_embd, sizeof *sum, err) : NULL, length = 0;
    int rc = sum ? aios__vocab_encode(m->vocab, s, n, AIOS_TOKENIZE_BOS, &ids, err) : aios__no_memory(err);
    if (!rc && !ids.n)
        rc = aios__fail(err, AIOS_EINVAL, "an empty text has no embedding");
    if (!rc && ids.n > m->n_ctx)
        rc = aios__fail_need(err, AIOS_ECONTEXT, m->n_ctx, ids.n, "the text has %u tokens, but the context holds %u", ids.n, m->n_ctx);
    rc = rc ? rc : aios__kv_new(m->net, m->n_ctx, &kv, err);
    if (!rc)
        kv->unshared = true; /* no prompt will begin like this text */
    rc = rc ? rc : sum_hidden(kv, &ids, states, sum, err);
    for (uint32_t d = 0; !rc && d < n_embd; d++)
        length += sum[d] * sum[d];
    for (uint32_t d = 0; !rc && d < n_embd; d++)
        out[d] = (float)(length > 0 ? sum[d] / sqrt(length) : 0);
    aios__kv_free(kv);
    aios__ids_free(&ids);
    aios__free(m->heap, states);
    aios__free(m->heap, sum);
    return rc;
}

static int backend_inspect(void *user, const aios_backend_open_args *args, aios_write_fn *fn, void *wuser, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__gguf *g = NULL;
    int rc = aios__gguf_open(args->ctx, args->path, args->config->use_mmap, &g, err);
    rc = rc ? rc : aios__gguf_inspect(g, aios__ctx_heap(args->ctx), fn, wuser, err);
    aios__gguf_close(g);
    return rc;
}

int aios__backend_gguf_init(aios_ctx *ctx, aios_error *err)
{
    static const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = "gguf",
        .open = backend_open,
        .close = backend_close,
        .probe = backend_probe,
        .info = backend_info,
        .session_new = session_new,
        .session_free = session_free,
        .start = session_start,
        .step = session_step,
        .cancel = session_cancel,
        .fork = session_fork,
        .count = session_count,
        .prewarm = session_prewarm,
        .embed = model_embed,
        .tokenize = model_tokenize,
        .detokenize = model_detokenize,
        .render = model_render,
        .eval = session_eval,
        .eval_batch = session_eval_batch,
        .inspect = backend_inspect,
        .save = session_save,
        .load = session_load,
        .retain = session_retain,
    };
    return aios_backend_register(ctx, &ops, NULL, err);
}
