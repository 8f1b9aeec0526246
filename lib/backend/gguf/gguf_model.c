/* SPDX-License-Identifier: Apache-2.0 */
/* An open model: file, network, tokens, template. */
#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

enum { DEFAULT_CTX = 8192 };

static int read_template(aios__gguf_model *m, const char *replacement, aios_error *err)
{
    aios__gstr text = {0};
    int rc = AIOS_OK;
    if (replacement) {
        text.p = replacement;
        text.n = strlen(replacement);
    } else {
        rc = aios__gguf_str(m->file, "tokenizer.chat_template", &text, err);
    }
    if (rc && rc != AIOS_ENOENT)
        return rc;
    m->calls = aios__call_format_find(text.p, text.n);
    m->think = aios__think_format_find(text.p, text.n);
    if (rc || !text.n)
        return AIOS_OK;
    aios_error why = AIOS_INIT(aios_error);
    rc = aios__template_new(m->heap, text.p, text.n, &m->tmpl, &why);
    if (rc)
        return aios__fail(err, rc, "%s: the chat template: %s", aios__gguf_path(m->file), why.msg);
    m->tmpl_tools = aios__template_uses(m->tmpl, "tools");
    return AIOS_OK;
}

/* A token of its own, written in brackets: "<tool_call>", not a word that such a text has too. */
static bool is_mark(const aios__vocab *v, int32_t id, const char *p, size_t n)
{
    uint32_t type = aios__vocab_type(v, id);
    return type == AIOS__TOKEN_CONTROL || (type == AIOS__TOKEN_USER && n > 2 && (*p == '<' || *p == '['));
}

static void add_tag(aios__gguf_model *m, int32_t id, uint32_t from, uint32_t *n)
{
    bool known = id == m->tags[0];
    for (uint32_t i = from; !known && i < *n; i++)
        known = m->tags[i] == id;
    if (!known && *n < AIOS__TAGS)
        m->tags[(*n)++] = id;
}

/* Adds the marks that stand in one of the texts: each part of these is looked up, since vocabularies are far larger. */
static void add_tags(aios__gguf_model *m, const char *const *texts, size_t n_texts, uint32_t *n)
{
    uint32_t from = *n;
    for (size_t i = 0; i < n_texts; i++)
        for (const char *p = texts[i]; p && *p; p++)
            for (size_t len = 2, left = strlen(p); len <= left; len++) {
                int32_t id = aios__vocab_find(m->vocab, p, len);
                if (id >= 0 && is_mark(m->vocab, id, p, len))
                    add_tag(m, id, from, n);
            }
}

static void find_tags(aios__gguf_model *m)
{
    const aios__call_format *f = m->calls;
    const char *const calls[] = {f->open, f->begin, f->end, f->between, f->close, f->id_open, f->mid, f->p_open, f->p_mid, f->p_close, f->quote};
    const char *const thinks[] = {m->think->open, m->think->close, m->think->finish, f->channels ? "<|start|>assistant<|message|>" : NULL};
    for (size_t i = 0; i < AIOS__TAGS; i++)
        m->tags[i] = -1;
    m->tags[0] = aios__vocab_find(m->vocab, f->opener, strlen(f->opener));
    m->n_call_tags = 1;
    add_tags(m, calls, AIOS__ARRAY_LEN(calls), &m->n_call_tags);
    uint32_t n = m->n_call_tags;
    add_tags(m, thinks, AIOS__ARRAY_LEN(thinks), &n);
}

static int check_sizes(aios__gguf_model *m, uint32_t n_ctx, aios_error *err)
{
    uint32_t n_vocab = m->net->hp.n_vocab, n_train = m->net->hp.n_ctx_train;
    if (aios__vocab_size(m->vocab) != n_vocab)
        return aios__fail(err, AIOS_EFORMAT, "%s: the tokenizer has %u tokens, but token_embd.weight has %u rows", aios__gguf_path(m->file),
                          aios__vocab_size(m->vocab), n_vocab);
    if (n_ctx > n_train)
        return aios__fail_need(err, AIOS_EINVAL, n_train, n_ctx, "the context asked for (n_ctx; the command: -c) has %u tokens, more than the %u the model was made for",
                               n_ctx, n_train);
    m->n_ctx = n_ctx ? n_ctx : n_train < DEFAULT_CTX ? n_train : DEFAULT_CTX;
    return AIOS_OK;
}

static int read_name(aios__gguf_model *m, aios_error *err)
{
    aios__gstr name = {0};
    int rc = aios__gguf_str(m->file, "general.name", &name, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    m->name = aios__strndup(m->heap, AIOS_MEM_TEXT, rc ? "" : name.p, rc ? 0 : name.n, err);
    return m->name ? AIOS_OK : aios__no_memory(err);
}

/* While the other threads pack weights. */
static int load_vocab(void *user, aios_error *err)
{
    aios__gguf_model *m = user;
    return aios__vocab_new(m->ctx, m->file, &m->vocab, err);
}

int aios__gguf_model_new(const aios_backend_open_args *args, aios__gguf_model **out, aios_error *err)
{
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    const aios_model_config *cfg = args->config;
    aios__gguf_model *m = aios__alloc(aios__ctx_heap(args->ctx), AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return aios__no_memory(err);
    m->ctx = args->ctx;
    m->heap = aios__ctx_heap(args->ctx);
    int rc = pthread_mutex_init(&m->lock, NULL) ? aios__fail(err, AIOS_ENOMEM, "no lock could be made for the model") : AIOS_OK;
    m->has_lock = !rc;
    rc = rc ? rc : aios__gguf_open(args->ctx, args->path, cfg->use_mmap && !cfg->cache_dir, &m->file, err);
    rc = rc ? rc : read_template(m, cfg->template_text, err);
    rc = rc ? rc : read_name(m, err);
    const aios__load_args load = {.n_threads = cfg->n_threads, .progress = cfg->progress, .progress_user = cfg->progress_user,
                                  .beside = load_vocab, .beside_user = m, .cache_dir = cfg->cache_dir,
                                  .cache_bytes = cfg->cache_bytes, .map_packed = cfg->use_mmap,
                                  .kv_type = cfg->kv_bits == 4 ? AIOS__KV_I4 : cfg->kv_bits == 8 ? AIOS__KV_I8 : AIOS__KV_I16};
    rc = rc ? rc : aios__net_open(args->ctx, m->file, &load, &m->net, err);
    rc = rc ? rc : check_sizes(m, cfg->n_ctx, err);
    rc = rc ? rc : aios__caches_init(&m->caches, &m->net->kv, err);
    rc = rc ? rc : aios__sched_new(m->net, &m->caches, &m->sched, err);
    if (rc) {
        aios__gguf_model_free(m);
        return rc;
    }
    find_tags(m);
    *out = m;
    return AIOS_OK;
}

void aios__gguf_model_free(aios__gguf_model *m)
{
    if (!m)
        return;
    aios__priors_free(m);
    aios__trie_free(m->trie);
    aios__prefixes_free(m->prefixes);
    aios__sched_free(m->sched);
    aios__net_free(m->net);
    aios__caches_destroy(&m->caches);
    aios__template_free(m->tmpl);
    aios__vocab_free(m->vocab);
    aios__gguf_close(m->file);
    aios__free(m->heap, m->name);
    if (m->has_lock)
        pthread_mutex_destroy(&m->lock);
    aios__free(m->heap, m);
}

/* Bytes of a token inside a grammar: no control tokens, save those that mark calls. */
static const char *piece(void *user, int32_t id, size_t *n)
{
    const aios__gguf_model *m = user;
    uint32_t type = aios__vocab_type(m->vocab, id);
    bool tag = false;
    for (uint32_t i = 0; i < m->n_call_tags; i++)
        tag |= id == m->tags[i];
    if (aios__vocab_is_end(m->vocab, id) || (!tag && type != AIOS__TOKEN_NORMAL && type != AIOS__TOKEN_USER && type != AIOS__TOKEN_BYTE))
        return NULL;
    const char *p = aios__vocab_piece(m->vocab, id, n);
    return *n ? p : NULL;
}

int aios__gguf_model_trie(aios__gguf_model *m, const aios__trie **out, aios_error *err)
{
    int rc = AIOS_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->trie)
        rc = aios__trie_new(m->ctx, m->net->hp.n_vocab, piece, m, &m->trie, err);
    if (!rc && !m->prefixes)
        rc = aios__prefixes_new(m->heap, m->vocab, &m->prefixes, err);
    *out = m->trie;
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* ---- which model it is -------------------------------------------------------------------------------------------- */

int aios__gguf_model_sum(aios__gguf_model *m, uint64_t *out, aios_error *err)
{
    int rc = AIOS_OK;
    pthread_mutex_lock(&m->lock);
    if (!m->has_sum)
        rc = aios__gguf_sum(m->file, &m->sum, err);
    m->has_sum = !rc;
    *out = m->sum;
    pthread_mutex_unlock(&m->lock);
    return rc;
}
