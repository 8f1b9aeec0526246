/* SPDX-License-Identifier: Apache-2.0 */
/* A second, smaller network that reads along and guesses: its cache follows the session's text. */
#include "backend/gguf/gguf.h"

static int check_tokens(const aios__gguf_model *m, const aios__gguf_model *d, aios_error *err)
{
    uint32_t n = d->net->hp.n_vocab;
    if (n != m->net->hp.n_vocab || aios__vocab_size(d->vocab) != aios__vocab_size(m->vocab))
        return aios__fail_need(err, AIOS_EINVAL, n, m->net->hp.n_vocab, "the draft model has %u tokens and the model %u: they must have the same",
                               n, m->net->hp.n_vocab);
    for (uint32_t i = 0; i < aios__vocab_size(m->vocab); i++) {
        size_t n_a, n_b;
        const char *a = aios__vocab_piece(m->vocab, (int32_t)i, &n_a), *b = aios__vocab_piece(d->vocab, (int32_t)i, &n_b);
        if (n_a != n_b || memcmp(a, b, n_a))
            return aios__fail(err, AIOS_EINVAL, "token %u of the draft model is not that of the model: they must have the same tokens", i);
    }
    return AIOS_OK;
}

static int make(const aios__gguf_model *model, aios__draft_model **out, aios_error *err)
{
    *out = aios__alloc(model->heap, AIOS_MEM_OTHER, sizeof **out, err);
    if (!*out)
        return aios__no_memory(err);
    (*out)->model = model;
    return AIOS_OK;
}

int aios__draft_model_open(const aios__gguf_model *m, const aios_model *draft, uint32_t n_ctx, aios__draft_model **out, aios_error *err)
{
    const aios__gguf_model *model = aios__model_self(draft, "gguf");
    if (!model)
        return aios__fail(err, AIOS_EINVAL, "the draft model is not one of this engine: open it as gguf:FILE");
    int rc = check_tokens(m, model, err);
    rc = rc ? rc : make(model, out, err);
    rc = rc ? rc : aios__kv_new(model->net, n_ctx < model->n_ctx ? n_ctx : model->n_ctx, &(*out)->kv, err);
    return rc;
}

int aios__draft_model_fork(const aios__draft_model *d, aios__draft_model **out, aios_error *err)
{
    int rc = make(d->model, out, err);
    return rc ? rc : aios__kv_fork(d->kv, &(*out)->kv, err);
}

void aios__draft_model_free(aios__draft_model *d)
{
    if (!d)
        return;
    aios__kv_free(d->kv);
    aios__free(d->model->heap, d);
}

/* Reads ids that it has not, looks for a cancel between chunks, and says what follows. False if it cannot. */
static bool read_on(aios__draft_model *d, const aios__guess_args *args, const int32_t *ids, int32_t *id)
{
    while (d->kv->n < args->n) {
        uint32_t at = d->kv->n, m = args->n - at < AIOS__CHUNK ? args->n - at : AIOS__CHUNK;
        if (atomic_load(args->cancel))
            return false;
        if (at + m < args->n ? aios__kv_eval(d->kv, ids + at, m, NULL, 0, NULL) : aios__kv_largest(d->kv, ids + at, m, args->bans, id, NULL))
            return false;
    }
    return true;
}

uint32_t aios__draft_model_guess(aios__draft_model *d, const aios__guess_args *args, int32_t *out)
{
    uint32_t i = 0;
    if (!args->n || !args->max || args->n + args->max > d->kv->n_ctx)
        return 0;
    int32_t *ids = aios__alloc_array(d->model->heap, AIOS_MEM_SCRATCH, args->n, sizeof *ids, NULL);
    if (!ids)
        return 0;
    for (uint32_t j = 0; j < args->n; j++)
        ids[j] = *aios__kv_id(args->kv, j);
    aios__kv_resume(d->kv, ids, args->n - 1);
    for (bool ok = read_on(d, args, ids, &out[0]); ok; ok = i < args->max && !aios__kv_largest(d->kv, &out[i - 1], 1, args->bans, &out[i], NULL))
        i++;
    aios__free(d->model->heap, ids);
    return i;
}
