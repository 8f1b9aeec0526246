/* SPDX-License-Identifier: Apache-2.0 */
/* Priors of toolsets, measured once and kept with the model: whatever session or conversation asks, they are the same. */
#include "backend/gguf/gguf.h"
#include "backend/gguf/vocab_priv.h"

#define KEEP_BYTES ((size_t)1 << 20)

static const aios_tool_def *tool_at(const aios_request *req, uint32_t i)
{
    return (const aios_tool_def *)(const void *)((const char *)req->tools + i * req->tool_stride);
}

/* ---- which toolset it is ------------------------------------------------------------------------------------------------ */

typedef struct sum {
    const aios__vocab *v;
    uint64_t key[2];
} sum;

static void add(sum *k, const char *s, size_t n)
{
    for (uint32_t i = 0; i < 2; i++)
        k->key[i] = aios__vocab_hash(k->key[i] + i + k->v->seed, s ? s : "", n);
}

static void add_text(sum *k, const char *s)
{
    add(k, s, s ? strlen(s) : 0);
}

/* What stands in front of the conversation, and the tools. The seed is the process's own: nobody can choose equal sums. */
static void make_key(const aios__vocab *v, const aios_request *req, uint64_t key[2])
{
    sum k = {.v = v, .key = {1, 2}};
    aios_entry e = AIOS_INIT(aios_entry);
    for (uint32_t i = 0; !aios_transcript_at(req->transcript, i, &e) && e.role == AIOS_ROLE_SYSTEM; i++) {
        for (uint32_t j = 0; j < e.n_parts; j++) {
            const aios_part *p = (const aios_part *)(const void *)((const char *)e.parts + j * e.part_stride);
            add(&k, p->text, !p->text ? 0 : p->n_text == AIOS_CSTR ? strlen(p->text) : p->n_text);
        }
        e = (aios_entry)AIOS_INIT(aios_entry);
    }
    for (uint32_t i = 0; i < req->n_tools; i++) {
        add_text(&k, tool_at(req, i)->name);
        add_text(&k, tool_at(req, i)->description);
        add_text(&k, tool_at(req, i)->schema_json);
    }
    memcpy(key, k.key, sizeof k.key);
}

/* ---- the list, under the model's lock ------------------------------------------------------------------------------------ */

static void unlink_one(aios__priors *list, aios__prior *p)
{
    *(p->older ? &p->older->newer : &list->oldest) = p->newer;
    *(p->newer ? &p->newer->older : &list->newest) = p->older;
    p->older = p->newer = NULL;
    list->n_bytes -= p->n_bytes;
}

static void link_newest(aios__priors *list, aios__prior *p)
{
    p->older = list->newest;
    *(list->newest ? &list->newest->newer : &list->oldest) = p;
    list->newest = p;
    list->n_bytes += p->n_bytes;
}

static aios__prior *find(const aios__priors *list, const uint64_t key[2])
{
    aios__prior *p = list->newest;
    while (p && memcmp(p->key, key, sizeof p->key))
        p = p->older;
    return p;
}

static void drop(aios__heap *h, aios__prior *p)
{
    if (!--p->refs)
        aios__free(h, p);
}

void aios__prior_drop(aios__gguf_model *m, aios__prior *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&m->lock);
    drop(m->heap, p);
    pthread_mutex_unlock(&m->lock);
}

void aios__prior_keep(aios__gguf_model *m, aios__prior *p)
{
    pthread_mutex_lock(&m->lock);
    if (!find(&m->priors, p->key) && p->n_bytes <= KEEP_BYTES) { /* else two turns measured the same at once */
        while (m->priors.n_bytes + p->n_bytes > KEEP_BYTES) {
            aios__prior *old = m->priors.oldest;
            unlink_one(&m->priors, old);
            drop(m->heap, old);
        }
        p->refs++;
        link_newest(&m->priors, p);
    }
    pthread_mutex_unlock(&m->lock);
}

void aios__priors_free(aios__gguf_model *m)
{
    while (m->priors.oldest) {
        aios__prior *p = m->priors.oldest;
        unlink_one(&m->priors, p);
        drop(m->heap, p);
    }
}

/* ---- a new one ------------------------------------------------------------------------------------------------------------ */

/* What a prior is made of. */
typedef struct parts {
    aios__buf names;
    aios__ids words, fit;
    uint32_t at[AIOS__OPTIONS_MAX + 1], fit_at[AIOS__OPTIONS_MAX + 1];
} parts;

/* Takes n elements off a block, each followed by those of the next call. */
static void *take(char **at, const void *from, size_t n, size_t size)
{
    void *p = *at;
    if (n && from)
        memcpy(p, from, n * size);
    *at += n * size;
    return p;
}

/* Lays all out in one block. */
static aios__prior *lay_out(aios__gguf_model *m, const aios_request *req, const parts *x, aios_error *err)
{
    size_t n = req->n_tools, n_bytes = sizeof(aios__prior) + n * sizeof(double) + (3 * (n + 1) + x->words.n + x->fit.n) * sizeof(uint32_t) + x->names.n;
    aios__prior *p = aios__alloc(m->heap, AIOS_MEM_TEXT, n_bytes, err);
    if (!p)
        return NULL;
    char *at = (char *)(p + 1);
    p->n = (uint32_t)n;
    p->n_bytes = n_bytes;
    p->refs = 1;
    p->score = take(&at, NULL, n, sizeof *p->score);
    p->at = take(&at, x->at, n + 1, sizeof *p->at);
    p->fit_at = take(&at, x->fit_at, n + 1, sizeof *p->fit_at);
    p->name_at = take(&at, NULL, n + 1, sizeof *p->name_at);
    p->ids = take(&at, x->words.p, x->words.n, sizeof *p->ids);
    p->fit_ids = take(&at, x->fit.p, x->fit.n, sizeof *p->fit_ids);
    p->names = take(&at, x->names.p, x->names.n, 1);
    for (uint32_t i = 0; i < n; i++)
        p->name_at[i + 1] = p->name_at[i] + (uint32_t)strlen(tool_at(req, i)->name) + 1;
    return p;
}

static int make(aios__gguf_model *m, const aios_request *req, aios__prior **out, aios_error *err)
{
    parts x = {.words.heap = m->heap, .fit.heap = m->heap};
    aios__buf_init(&x.names, m->heap, AIOS_MEM_SCRATCH, 0);
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < req->n_tools && !rc; i++) {
        const aios_tool_def *t = tool_at(req, i);
        rc = aios__buf_add(&x.names, t->name, strlen(t->name) + 1, err);
        rc = rc ? rc : aios__words_of_tool(m->vocab, t, &x.words, err);
        rc = rc ? rc : aios__fit_text(m->vocab, t, &x.fit, err);
        x.at[i + 1] = x.words.n;
        x.fit_at[i + 1] = x.fit.n;
    }
    if (!rc) {
        *out = lay_out(m, req, &x, err);
        rc = *out ? AIOS_OK : aios__no_memory(err);
    }
    aios__buf_free(&x.names);
    aios__ids_free(&x.words);
    aios__ids_free(&x.fit);
    return rc;
}

int aios__prior_get(aios__gguf_model *m, const aios_request *req, aios__prior **out, aios_error *err)
{
    uint64_t key[2];
    make_key(m->vocab, req, key);
    pthread_mutex_lock(&m->lock);
    aios__prior *p = find(&m->priors, key);
    if (p) {
        unlink_one(&m->priors, p);
        link_newest(&m->priors, p);
        p->refs++;
    }
    pthread_mutex_unlock(&m->lock);
    *out = p;
    int rc = p ? AIOS_OK : make(m, req, out, err);
    if (!rc && !p)
        memcpy((*out)->key, key, sizeof key);
    return rc;
}

uint32_t aios__prior_find(const aios__prior *p, const char *name, size_t n_name)
{
    uint32_t i = 0;
    while (i < p->n && (p->name_at[i + 1] - p->name_at[i] != n_name + 1 || memcmp(p->names + p->name_at[i], name, n_name)))
        i++;
    return i;
}
