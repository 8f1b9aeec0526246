/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: scratch, the lists that a forward pass walks, and evaluation of whole prompts chunk by chunk. */
#include "backend/gguf/work.h"

/* Takes n elements of `size` off a buffer that is only measured at first (base NULL). */
static void *carve(uint8_t *base, size_t *at, size_t n, size_t size)
{
    void *p = base ? base + *at : NULL;
    *at += (n * size + 63) / 64 * 64;
    return p;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_out(const aios__net *net, aios__work *w, uint8_t *base, size_t *at)
{
    const aios__hparams *hp = &net->hp;
    const aios__panels *head = &net->w.head;
    size_t n = AIOS__CHUNK, f = sizeof(float), u = sizeof(uint32_t);
    size_t q = (size_t)hp->n_head * hp->head_dim, kv = (size_t)hp->n_head_kv * hp->head_dim;
    uint32_t widest = (uint32_t)max_size(hp->n_embd, max_size(q, hp->n_ff));
    w->h = carve(base, at, n * hp->n_embd, f);
    w->h2 = carve(base, at, n * hp->n_embd, f);
    w->norm = carve(base, at, n * hp->n_embd, f);
    w->tmp = carve(base, at, n * hp->n_embd, f);
    w->q = carve(base, at, n * q, f);
    w->k = carve(base, at, n * kv, f);
    w->v = carve(base, at, n * kv, f);
    w->attn = carve(base, at, n * q, f);
    w->ff = carve(base, at, (n + 1) * hp->n_ff, f);
    w->up = carve(base, at, (n + 1) * hp->n_ff, f);
    w->cs[0] = carve(base, at, n * hp->n_rot, f);
    w->cs[1] = carve(base, at, hp->window ? n * hp->n_rot : 0, f);
    w->act = carve(base, at, aios__act_bytes((uint32_t)n, widest), 1);
    w->act2 = carve(base, at, aios__act_bytes((uint32_t)n, hp->n_ff), 1);
    w->lo[0] = carve(base, at, n, u);
    w->lo[1] = carve(base, at, n, u);
    w->hi = carve(base, at, n, u);
    w->all = carve(base, at, n, u);
    w->want = carve(base, at, n, u);
    w->runs[0].p = carve(base, at, n, sizeof(aios__run));
    w->runs[1].p = carve(base, at, n, sizeof(aios__run));
    w->upper = carve(base, at, head->low ? (size_t)AIOS__BOUND_ROWS * head->n_panels : 0, f);
    w->next = carve(base, at, (size_t)hp->n_layer * AIOS__SHARED_OPS, sizeof *w->next);
    w->done = carve(base, at, net->n_threads, sizeof *w->done);
    for (uint32_t t = 0; t < net->n_threads; t++) {
        aios__own own = {0};
        own.h = carve(base, at, (size_t)AIOS__NARROW * hp->n_embd, f);
        own.norm = carve(base, at, (size_t)AIOS__NARROW * hp->n_embd, f);
        own.q = carve(base, at, aios__act_bytes(AIOS__NARROW, widest), 1);
        own.attn = carve(base, at, aios__attn_scratch(hp->head_dim), 1);
        own.best = carve(base, at, AIOS__CHUNK, sizeof *own.best);
        own.piece = carve(base, at, AIOS__HEAD_FLOATS, f);
        own.reach = carve(base, at, head->low ? (size_t)AIOS__BOUND_ROWS * head->cols / 32 : 0, f);
        own.least = carve(base, at, AIOS__BOUND_ROWS, f);
        *at += 4096; /* so that threads do not share lines or prefetch each other's */
        if (base)
            w->own[t] = own;
    }
}

int aios__work_new(aios__net *net, aios_error *err)
{
    size_t n_bytes = 0;
    aios__work *w = aios__alloc(net->heap, AIOS_MEM_SCRATCH, sizeof *w, err);
    if (!w)
        return aios__no_memory(err);
    net->work = w;
    w->own = aios__alloc_array(net->heap, AIOS_MEM_SCRATCH, net->n_threads, sizeof *w->own, err);
    if (!w->own)
        return aios__no_memory(err);
    lay_out(net, w, NULL, &n_bytes);
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    cfg.n_bytes = n_bytes;
    cfg.flags = AIOS_BUFFER_ZERO; /* no huge pages: rows that no batch uses are never touched */
    cfg.kind = AIOS_MEM_SCRATCH;
    int rc = aios_buffer_alloc(aios__device_cpu(net->ctx), &cfg, &w->memory, err);
    if (rc)
        return rc;
    n_bytes = 0;
    lay_out(net, w, aios_buffer_data(w->memory), &n_bytes);
    for (uint32_t i = 0; i < AIOS__CHUNK; i++)
        w->all[i] = i;
    return AIOS_OK;
}

void aios__work_free(aios__net *net)
{
    aios__work *w = net->work;
    if (!w)
        return;
    aios_buffer_unref(w->memory);
    aios__free(net->heap, w->pages);
    aios__free(net->heap, w->parts);
    aios__free(net->heap, w->own);
    aios__free(net->heap, w);
    net->work = NULL;
}

/* Room for the parts of the longest row, where several threads may share its segments. */
static int reserve_parts(aios__net *net, uint32_t n_blocks, aios_error *err)
{
    const aios__hparams *hp = &net->hp;
    aios__work *w = net->work;
    size_t n = n_blocks / (AIOS__KV_SEGMENT / AIOS__KV_PAGE) + 2, ld = n * (hp->n_head / hp->n_head_kv) * aios__attn_part(hp->head_dim);
    if (net->n_threads < 2)
        return AIOS_OK;
    void *p = aios__realloc(net->heap, AIOS_MEM_SCRATCH, w->parts, ld * net->n_threads * sizeof *w->parts, err);
    if (!p)
        return aios__no_memory(err);
    w->parts = p;
    w->parts_ld = ld;
    return AIOS_OK;
}

/* Room in each thread's lists for the blocks of the longest cache. */
static int reserve_pages(aios__net *net, uint32_t n_blocks, aios_error *err)
{
    aios__work *w = net->work;
    if (n_blocks <= w->pages_cap)
        return AIOS_OK;
    uint32_t cap = n_blocks + n_blocks / 2 + 32;
    int rc = reserve_parts(net, cap, err);
    if (rc)
        return rc;
    void *p = aios__realloc(net->heap, AIOS_MEM_SCRATCH, w->pages, (size_t)cap * net->n_threads * sizeof *w->pages, err);
    if (!p)
        return aios__no_memory(err);
    w->pages = p;
    w->pages_cap = cap;
    for (uint32_t t = 0; t < net->n_threads; t++)
        w->own[t].pages = w->pages + (size_t)cap * t;
    return AIOS_OK;
}

/* Finds the runs of rows `map` names. */
static void find_runs(const aios__row *rows, const uint32_t *map, uint32_t n, const aios__hparams *hp, aios__runs *runs)
{
    runs->n = runs->units = 0;
    runs->single = true;
    uint32_t tokens = aios__attn_tokens(hp);
    for (uint32_t i = 0; i < n; i++) {
        aios__run *last = runs->n ? &runs->p[runs->n - 1] : NULL;
        if (last && rows[map[i]].kv == rows[map[i - 1]].kv && map[i] == map[i - 1] + 1) {
            last->n++;
            runs->single = false;
        } else {
            runs->p[runs->n++] = (aios__run){.at = i, .n = 1};
        }
    }
    for (uint32_t i = 0; i < runs->n; i++) {
        runs->p[i].units = runs->units;
        runs->units += (runs->p[i].n + tokens - 1) / tokens * hp->n_head_kv;
    }
}

static int set_batch(aios__net *net, const aios__row *rows, uint32_t n, aios_error *err)
{
    aios__work *w = net->work;
    const aios__hparams *hp = &net->hp;
    uint32_t longest = 0, n_want = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t pos = rows[i].pos;
        longest = pos / AIOS__KV_PAGE + 1 > longest ? pos / AIOS__KV_PAGE + 1 : longest;
        w->lo[0][i] = 0;
        w->lo[1][i] = hp->window && pos + 1 > hp->window ? pos + 1 - hp->window : 0;
        w->hi[i] = pos + 1;
        if (rows[i].want)
            w->want[n_want++] = i;
    }
    for (uint32_t i = 0; i < hp->n_layer * AIOS__SHARED_OPS; i++)
        atomic_store_explicit(&w->next[i], 0, memory_order_relaxed);
    find_runs(rows, w->all, n, hp, &w->runs[0]);
    find_runs(rows, w->want, n_want, hp, &w->runs[1]);
    w->batch.n_want = n_want;
    return reserve_pages(net, longest, err);
}

static void run_thread(void *user, uint32_t tid, uint32_t n_threads)
{
    aios__net *net = user;
    aios__work *w = net->work;
    aios__exec x = {.net = net, .k = net->k, .batch = &w->batch, .pool = net->pool, .tid = tid, .n_threads = n_threads};
    x.n = w->batch.n;
    x.map = w->all;
    x.own = &w->own[tid];
    x.wide = x.n > AIOS__NARROW;
    x.h = x.wide ? w->h : x.own->h;
    x.norm = x.wide ? w->norm : x.own->norm;
    net->arch->forward(&x);
}

/* In the order of coming, or a thread that takes it again and again would keep the others out. */
static void lock_net(aios__net *net)
{
    pthread_mutex_lock(&net->next);
    pthread_mutex_lock(&net->lock);
    pthread_mutex_unlock(&net->next);
}

int aios__net_spmd(aios__net *net, aios__spmd_fn *fn, void *user)
{
    lock_net(net);
    int rc = aios__pool_spmd(net->pool, fn, user);
    pthread_mutex_unlock(&net->lock);
    return rc;
}

static int run_batch(aios__net *net, aios_error *err)
{
    int rc = aios__pool_spmd(net->pool, run_thread, net);
    if (rc)
        return aios__fail(err, rc, "the threads of the model could not run: %s", aios_strerror(rc));
    if (net->work->given_up)
        return aios__fail(err, AIOS_ECANCELED, "the pass was given up");
    return AIOS_OK;
}

int aios__net_pass(aios__net *net, const aios__batch *batch, aios_error *err)
{
    if (!batch->n || batch->n > AIOS__CHUNK)
        return aios__fail(err, AIOS_EINTERNAL, "a batch of %u rows", batch->n);
    lock_net(net);
    net->work->batch = *batch;
    atomic_store(&net->work->stop_at, 0);
    net->work->given_up = false;
    int rc = set_batch(net, batch->rows, batch->n, err);
    rc = rc ? rc : run_batch(net, err);
    pthread_mutex_unlock(&net->lock);
    return rc;
}

int aios__net_eval(aios__net *net, const aios__row *rows, uint32_t n, float *logits, float *hidden, aios_error *err)
{
    aios__batch b = {.rows = rows, .n = n, .logits = logits, .hidden = hidden};
    return aios__net_pass(net, &b, err);
}

/* What the last n_rows of the ids give. */
typedef struct outputs {
    uint32_t n_rows;
    float *logits, *hidden;
    const aios__row *last; /* its best and bans; NULL: none */
} outputs;

static int eval_chunks(aios__kv *kv, const int32_t *ids, uint32_t n, outputs to, aios_error *err)
{
    aios__row rows[AIOS__CHUNK];
    uint32_t begin = kv->n, n_vocab = kv->net->hp.n_vocab;
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= n_vocab)
            return aios__fail(err, AIOS_EINVAL, "token %d at %u is not one of the %u of the vocabulary", ids[i], i, n_vocab);
    }
    rc = aios__kv_reserve(kv, n, err);
    for (uint32_t done = 0; !rc && done < n;) {
        uint32_t m = n - done < AIOS__CHUNK ? n - done : AIOS__CHUNK, n_want = 0;
        for (uint32_t i = 0; i < m; i++) {
            rows[i] = (aios__row){.kv = kv, .pos = kv->n + i, .id = ids[done + i], .want = done + i + to.n_rows >= n};
            rows[i].best = to.last && rows[i].want ? to.last->best : NULL;
            rows[i].bans = to.last ? to.last->bans : NULL;
            n_want += rows[i].want;
            *aios__kv_id(kv, kv->n + i) = ids[done + i];
        }
        rc = aios__net_eval(kv->net, rows, m, to.logits, to.hidden, err);
        if (rc)
            break;
        if (to.logits)
            to.logits += (size_t)n_want * n_vocab;
        if (to.hidden)
            to.hidden += (size_t)n_want * kv->net->hp.n_embd;
        kv->n += m;
        done += m;
    }
    if (rc)
        aios__kv_truncate(kv, begin);
    return rc;
}

int aios__kv_eval(aios__kv *kv, const int32_t *ids, uint32_t n, float *logits, uint32_t n_rows, aios_error *err)
{
    return eval_chunks(kv, ids, n, (outputs){.n_rows = n_rows, .logits = logits}, err);
}

int aios__kv_largest(aios__kv *kv, const int32_t *ids, uint32_t n, const aios__bans *bans, int32_t *id, aios_error *err)
{
    const aios__row last = {.best = id, .bans = bans};
    return eval_chunks(kv, ids, n, (outputs){.n_rows = 1, .last = &last}, err);
}

int aios__kv_hidden(aios__kv *kv, const int32_t *ids, uint32_t n, float *out, aios_error *err)
{
    return eval_chunks(kv, ids, n, (outputs){.n_rows = n, .hidden = out}, err);
}
