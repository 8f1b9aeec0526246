/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary of a model: flat tables over the metadata, and the way from text to ids. */
#include <aios/token.h>

#include "backend/gguf/vocab_priv.h"

int aios__ids_reserve(aios__ids *ids, uint32_t n, aios_error *err)
{
    if (n <= ids->cap)
        return AIOS_OK;
    uint32_t cap = ids->cap ? ids->cap + ids->cap / 2 : 64;
    cap = cap < n ? n : cap;
    size_t bytes = 0;
    if (cap < ids->cap || !aios__mul_size(cap, sizeof *ids->p, &bytes))
        return aios__fail(err, AIOS_ELIMIT, "the text has more than %u tokens", ids->cap);
    aios_error mine = AIOS_INIT(aios_error);
    int32_t *p = aios__realloc(ids->heap, AIOS_MEM_SCRATCH, ids->p, bytes, &mine);
    if (!p)
        return aios__error_copy(err, &mine);
    ids->p = p;
    ids->cap = cap;
    return AIOS_OK;
}

int aios__ids_add(aios__ids *ids, int32_t id, aios_error *err)
{
    if (ids->n == UINT32_MAX)
        return aios__fail(err, AIOS_ELIMIT, "the text has more than %u tokens", ids->n);
    int rc = aios__ids_reserve(ids, ids->n + 1, err);
    if (!rc)
        ids->p[ids->n++] = id;
    return rc;
}

void aios__ids_free(aios__ids *ids)
{
    if (!ids)
        return;
    aios__free(ids->heap, ids->p);
    *ids = (aios__ids){.heap = ids->heap};
}

/* ---- loading -------------------------------------------------------------------------------------------------- */

/* "gpt2" or "llama"; ENOTSUP for the others. */
static int find_model(aios__vocab *v, aios_error *err)
{
    aios__gstr m = {NULL, 0};
    const char *path = aios__gguf_path(v->file);
    int rc = aios__gguf_str(v->file, "tokenizer.ggml.model", &m, err);
    if (rc == AIOS_ENOENT)
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"tokenizer.ggml.model\" is missing: the file has no tokenizer; convert the model again", path);
    if (rc)
        return rc;
    v->spm = m.n == 5 && !memcmp(m.p, "llama", 5);
    if (v->spm || (m.n == 4 && !memcmp(m.p, "gpt2", 4)))
        return AIOS_OK;
    return aios__fail(err, AIOS_ENOTSUP, "%.200s: the tokenizer \"%.*s\" (key \"tokenizer.ggml.model\") is not supported, \"gpt2\" and \"llama\" are; use another model",
                      path, (int)(m.n < 80 ? m.n : 80), m.p);
}

static int load_texts(aios__vocab *v, aios_error *err)
{
    const aios__gguf_kv *kv = NULL;
    const char *path = aios__gguf_path(v->file);
    int rc = aios__gguf_array(v->file, "tokenizer.ggml.tokens", AIOS__GGUF_STRING, &kv, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (rc || !kv->n || kv->n > INT32_MAX || kv->n_bytes > UINT32_MAX)
        return aios__fail(err, AIOS_EFORMAT, "%.200s: key \"tokenizer.ggml.tokens\" has %llu tokens; convert the model again", path,
                          rc ? 0 : (unsigned long long)kv->n);
    v->texts = kv->data;
    v->n = (uint32_t)kv->n;
    v->text_off = aios__alloc_array(v->heap, AIOS_MEM_VOCAB, v->n, sizeof *v->text_off, err);
    if (!v->text_off)
        return err->code;
    aios__gstr t;
    size_t pos = 0;
    for (uint32_t id = 0; id < v->n; id++) {
        if (!aios__gguf_next_str(kv, &pos, &t))
            return aios__fail(err, AIOS_EFORMAT, "%.200s: the tokens changed while they were read", path);
        v->text_off[id] = (uint32_t)(t.p - (const char *)v->texts);
    }
    return AIOS_OK;
}

static int load_types(aios__vocab *v, aios_error *err)
{
    const aios__gguf_kv *kv = NULL;
    int rc = aios__gguf_array(v->file, "tokenizer.ggml.token_type", AIOS__GGUF_I32, &kv, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (!rc && kv->n < v->n)
        return aios__fail_need(err, AIOS_EFORMAT, kv->n, v->n, "%.200s: key \"tokenizer.ggml.token_type\" has %llu entries for %u tokens; convert the model again",
                               aios__gguf_path(v->file), (unsigned long long)kv->n, v->n);
    v->types = aios__realloc(v->heap, AIOS_MEM_VOCAB, NULL, v->n, err);
    if (!v->types)
        return err->code;
    for (uint32_t id = 0; id < v->n; id++) {
        int32_t t = AIOS__TOKEN_NORMAL;
        if (!rc)
            memcpy(&t, kv->data + 4 * (size_t)id, sizeof t);
        v->types[id] = (uint8_t)(t >= AIOS__TOKEN_NORMAL && t <= AIOS__TOKEN_BYTE ? t : AIOS__TOKEN_UNUSED);
    }
    return AIOS_OK;
}

static int load_pieces(aios__vocab *v, aios_error *err)
{
    size_t bytes = 0;
    for (uint32_t id = 0; id < v->n; id++)
        bytes += vocab_text(v, id).n; /* at most the array's bytes, which fit in 32 bits */
    v->piece = aios__alloc_large(v->heap, AIOS_MEM_VOCAB, bytes, err);
    if (!v->piece)
        return err->code;
    v->piece_off = aios__alloc_array(v->heap, AIOS_MEM_VOCAB, (size_t)v->n + 1, sizeof *v->piece_off, err);
    if (!v->piece_off)
        return err->code;
    return v->spm ? aios__spm_pieces(v, err) : aios__bpe_pieces(v, err);
}

static int load(aios__vocab *v, aios_error *err)
{
    int rc = find_model(v, err);
    if (!rc)
        rc = load_texts(v, err);
    if (!rc)
        rc = load_types(v, err);
    if (!rc)
        rc = aios__vocab_index(v, err);
    if (!rc)
        rc = v->spm ? aios__spm_build(v, err) : aios__bpe_build(v, err);
    if (!rc)
        rc = aios__special_ids(v, err);
    if (!rc)
        rc = aios__special_build(v, err);
    return rc ? rc : load_pieces(v, err);
}

int aios__vocab_new(aios_ctx *ctx, const aios__gguf *g, aios__vocab **out, aios_error *err)
{
    aios_error mine = AIOS_INIT(aios_error);
    if (!out)
        return aios__fail(err, AIOS_EINVAL, "aios__vocab_new: out is NULL");
    *out = NULL;
    if (!ctx || !g)
        return aios__fail(err, AIOS_EINVAL, "aios__vocab_new: ctx or file is missing");
    aios__heap *h = aios__ctx_heap(ctx);
    aios__vocab *v = aios__alloc(h, AIOS_MEM_VOCAB, sizeof *v, &mine);
    if (!v)
        return aios__error_copy(err, &mine);
    const aios_env *e = aios__ctx_env(ctx);
    int32_t sys = 0;
    v->heap = h;
    v->file = g;
    v->ctx = aios__ctx_ref(ctx);
    int rc = e->random(e->user, &v->seed, sizeof v->seed, &sys);
    if (rc)
        rc = aios__fail_sys(&mine, rc, sys, "no randomness for the table of tokens");
    else
        rc = load(v, &mine);
    if (rc) {
        aios__vocab_free(v);
        aios__error_copy(err, &mine);
        return rc;
    }
    *out = v;
    return AIOS_OK;
}

void aios__vocab_free(aios__vocab *v)
{
    if (!v)
        return;
    aios_ctx *ctx = v->ctx;
    aios__free(v->heap, v->text_off);
    aios__free(v->heap, v->types);
    aios__free(v->heap, v->table);
    aios__free(v->heap, v->piece);
    aios__free(v->heap, v->piece_off);
    aios__free(v->heap, v->merges.off);
    aios__free(v->heap, v->merges.table);
    aios__free(v->heap, v->joint);
    aios__special_free(v);
    aios__free(v->heap, v);
    aios_ctx_free(ctx);
}

/* ---- encoding ------------------------------------------------------------------------------------------------- */

static int encode_text(const aios__vocab *v, vocab_work *w, const char *s, size_t n, bool first, aios__ids *out, aios_error *err)
{
    if (!n)
        return AIOS_OK;
    if (v->spm)
        return aios__spm_encode(v, w, s, n, v->space_prefix && first, out, err);
    return aios__bpe_encode(v, w, s, n, out, err);
}

static int encode(const aios__vocab *v, vocab_work *w, const char *s, size_t n, uint32_t flags, aios__ids *out, aios_error *err)
{
    bool marks = flags & AIOS_TOKENIZE_BOS, control = flags & AIOS_TOKENIZE_SPECIAL, first = true;
    int rc = marks && v->add_bos && v->bos >= 0 ? aios__ids_add(out, v->bos, err) : AIOS_OK;
    for (size_t pos = 0; !rc && pos < n;) {
        size_t at = n;
        int32_t id = -1;
        bool found = aios__special_find(v, s, n, pos, control, &at, &id);
        rc = encode_text(v, w, s + pos, at - pos, first, out, err);
        pos = at;
        if (!rc && found) {
            rc = aios__ids_add(out, id, err);
            pos += vocab_text(v, (uint32_t)id).n;
        }
        first = found;
    }
    if (!rc && marks && v->add_eos && v->eos >= 0)
        rc = aios__ids_add(out, v->eos, err);
    return rc;
}

int aios__vocab_encode(const aios__vocab *v, const char *s, size_t n, uint32_t flags, aios__ids *out, aios_error *err)
{
    aios_error mine = AIOS_INIT(aios_error);
    if (!v || !out || !out->heap || (!s && n))
        return aios__fail(err, AIOS_EINVAL, "aios__vocab_encode: a NULL argument");
    vocab_work w = {.heap = v->heap};
    uint32_t before = out->n;
    int rc = encode(v, &w, s, n, flags, out, &mine);
    aios__tokwork_free(&w);
    if (rc) {
        out->n = before;
        aios__error_copy(err, &mine);
    }
    return rc;
}

/* ---- facts ---------------------------------------------------------------------------------------------------- */

uint32_t aios__vocab_size(const aios__vocab *v)
{
    return v ? v->n : 0;
}

const char *aios__vocab_piece(const aios__vocab *v, int32_t id, size_t *n)
{
    bool in = v && id >= 0 && (uint32_t)id < v->n;
    if (n)
        *n = in ? v->piece_off[id + 1] - v->piece_off[id] : 0;
    return in ? v->piece + v->piece_off[id] : "";
}

uint32_t aios__vocab_type(const aios__vocab *v, int32_t id)
{
    return v && id >= 0 && (uint32_t)id < v->n ? v->types[id] : AIOS__TOKEN_UNKNOWN;
}

int32_t aios__vocab_bos(const aios__vocab *v)
{
    return v ? v->bos : -1;
}

int32_t aios__vocab_eos(const aios__vocab *v)
{
    return v ? v->eos : -1;
}

bool aios__vocab_is_end(const aios__vocab *v, int32_t id)
{
    for (uint32_t i = 0; v && id >= 0 && i < v->n_ends; i++)
        if (v->ends[i] == id)
            return true;
    return false;
}

bool aios__vocab_adds_bos(const aios__vocab *v)
{
    return v && v->add_bos && v->bos >= 0;
}
