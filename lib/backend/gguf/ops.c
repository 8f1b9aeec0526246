/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "backend/gguf/work.h"

/* Rows that are normed and quantized while they are in the nearest cache; panels of gates whose outputs are, in the next one. */
enum { WARM_ROWS = 4, WARM_PANELS = 8 };

/* Rows this thread norms and quantizes: all if every thread does so for itself, else whole tiles. */
static void split_rows(const aios__exec *x, uint32_t *from, uint32_t *to)
{
    *from = 0;
    *to = x->n;
    if (!x->wide)
        return;
    aios__exec_split(x, (x->n + AIOS__ACT_TILE - 1) / AIOS__ACT_TILE, from, to);
    *from *= AIOS__ACT_TILE;
    *to *= AIOS__ACT_TILE;
    *from = *from < x->n ? *from : x->n;
    *to = *to < x->n ? *to : x->n;
}

static void barrier(const aios__exec *x)
{
    aios__pool_barrier(x->pool, x->tid);
}

/* What threads divide among themselves: of few rows each has its part, the same in every step, of many rows who is sooner takes more. */
typedef struct share {
    uint32_t from, to;      /* the piece in hand */
    uint32_t n, n_threads;
    _Atomic uint32_t *next; /* NULL: one piece each */
} share;

static share begin_share(aios__exec *x, uint32_t n)
{
    share s = {.n = n, .n_threads = x->n_threads};
    if (x->wide)
        s.next = &x->net->work->next[x->n_shared++];
    else
        aios__exec_split(x, n, &s.from, &s.n);
    s.to = s.from;
    return s;
}

/* A part of what is left, so that all end at about the same time; in whole pairs, but for the last one of all. */
static uint32_t piece_of(uint32_t left, uint32_t n_threads)
{
    uint32_t pairs = left / (4 * n_threads), piece = pairs ? 2 * pairs : 2;
    return piece < left ? piece : left;
}

/* The next piece, if there is one. */
static bool take(share *s)
{
    s->from = s->to;
    s->to = s->n;
    if (!s->next)
        return s->from < s->n;
    s->from = atomic_load_explicit(s->next, memory_order_relaxed);
    do
        s->to = s->from + piece_of(s->n - s->from, s->n_threads);
    while (s->from < s->n && !atomic_compare_exchange_weak_explicit(s->next, &s->from, s->to, memory_order_relaxed, memory_order_relaxed));
    return s->from < s->n;
}

/* Rows of k floats are what the next gemm reads, once they are quantized. */
static void begin_act(aios__exec *x, const float *rows, uint32_t k)
{
    x->act = (aios__act){.n_tokens = x->n, .k = k, .x = rows, .ld = k, .q = x->wide ? x->net->work->act : x->own->q};
}

static void quantize(const aios__exec *x, uint32_t from, uint32_t to)
{
    if (x->net->quantizes && x->act.k % 32 == 0 && from < to)
        x->k->quantize(&x->act, from, to, 0, x->act.k / 32);
}

static void set_act(aios__exec *x, const float *rows, uint32_t k)
{
    uint32_t from, to;
    begin_act(x, rows, k);
    split_rows(x, &from, &to);
    quantize(x, from, to);
    if (x->wide)
        barrier(x);
}

/* Cosines and sines of a position, in double so that long contexts stay exact. */
static void turn(const float *inv_freq, uint32_t pos, uint32_t n_rot, float *cs)
{
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        double angle = (double)pos * (double)inv_freq[i];
        cs[2 * i] = (float)cos(angle);
        cs[2 * i + 1] = (float)sin(angle);
    }
}

/* The first thread asks and names the next place to stop: a barrier stands between, so that all see it there. */
bool aios__op_stopped(aios__exec *x)
{
    aios__work *work = x->net->work;
    uint32_t stop_at = atomic_load_explicit(&work->stop_at, memory_order_relaxed), here = x->n_asked++;
    if (!x->tid && !stop_at && x->batch->stop && x->batch->stop(x->batch->user))
        atomic_store_explicit(&work->stop_at, here + 1, memory_order_relaxed);
    if (!stop_at || here < stop_at)
        return false;
    if (!x->tid)
        work->given_up = true;
    return true;
}

void aios__op_embed(aios__exec *x)
{
    const aios__net *net = x->net;
    const aios__hparams *hp = &net->hp;
    const aios__row *rows = x->batch->rows;
    uint32_t from, to;
    split_rows(x, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        float *h = x->h + (size_t)i * hp->n_embd;
        aios__panel_row(&net->w.embd, (uint32_t)rows[i].id, h);
        if (hp->embd_scale != 0)
            x->k->scale(h, hp->embd_scale, hp->n_embd);
    }
    aios__exec_split(x, x->n, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        turn(net->inv_freq[0], rows[i].pos, hp->n_rot, net->work->cs[0] + (size_t)i * hp->n_rot);
        if (hp->window)
            turn(net->inv_freq[1], rows[i].pos, hp->n_rot, net->work->cs[1] + (size_t)i * hp->n_rot);
    }
}

void aios__op_norm(aios__exec *x, const float *w)
{
    uint32_t from, to, n = x->net->hp.n_embd;
    begin_act(x, x->norm, n);
    split_rows(x, &from, &to);
    for (uint32_t at = from, end; at < to; at = end) {
        end = at + WARM_ROWS < to ? at + WARM_ROWS : to;
        for (uint32_t i = at; i < end; i++)
            x->k->rmsnorm(x->h + (size_t)i * n, w, n, x->net->hp.eps, x->norm + (size_t)i * n);
        quantize(x, at, end);
    }
    if (x->wide)
        barrier(x);
}

/* One gemm over panels [p0, p1) of a matrix. */
static void gemm(const aios__exec *x, const aios__panels *w, uint32_t p0, uint32_t p1, float *out, size_t ld)
{
    if (p0 < p1)
        aios__gemm_of(x->k, w->dtype)(w, p0, p1, &x->act, out, ld);
}

static void gemm_all(aios__exec *x, const aios__panels *w, float *out, size_t ld)
{
    for (share s = begin_share(x, w->n_panels); take(&s);)
        gemm(x, w, s.from, s.to, out, ld);
}

/* Panels [from, to) of the three matrices in one row. */
static void qkv_piece(const aios__exec *x, const aios__layer *l, uint32_t from, uint32_t to)
{
    const aios__work *work = x->net->work;
    const aios__panels *w[] = {&l->q, &l->k, &l->v};
    float *out[] = {work->q, work->k, work->v};
    for (uint32_t i = 0, at = 0; i < 3; at += w[i++]->n_panels) {
        uint32_t p0 = from > at ? from - at : 0, p1 = to > at ? to - at : 0;
        gemm(x, w[i], p0, p1 < w[i]->n_panels ? p1 : w[i]->n_panels, out[i], w[i]->rows);
    }
}

void aios__op_qkv(aios__exec *x, const aios__layer *l)
{
    for (share s = begin_share(x, l->q.n_panels + l->k.n_panels + l->v.n_panels); take(&s);)
        qkv_piece(x, l, s.from, s.to);
    barrier(x);
}

static void bias_norm_rope(const aios__exec *x, float *v, const float *bias, const float *norm, const float *cs)
{
    const aios__hparams *hp = &x->net->hp;
    if (bias)
        x->k->add(v, bias, hp->head_dim);
    if (norm)
        x->k->rmsnorm(v, norm, hp->head_dim, hp->eps, v);
    (hp->rope_neox ? x->k->rope_neox : x->k->rope_norm)(v, 1, hp->n_rot, cs);
}

void aios__op_rope_store(aios__exec *x, const aios__layer *l, uint32_t il)
{
    const aios__work *work = x->net->work;
    const aios__hparams *hp = &x->net->hp;
    uint32_t from, to, dim = hp->head_dim, per_row = hp->n_head + hp->n_head_kv;
    const float *cs = work->cs[aios__layer_has_window(hp, il)];
    aios__exec_split(x, x->n * per_row, &from, &to);
    for (uint32_t u = from; u < to; u++) {
        uint32_t i = u / per_row, head = u % per_row;
        const aios__row *row = &x->batch->rows[i];
        const float *turns = cs + (size_t)i * hp->n_rot;
        if (head < hp->n_head) {
            bias_norm_rope(x, work->q + ((size_t)i * hp->n_head + head) * dim, l->q_bias ? l->q_bias + (size_t)head * dim : NULL, l->q_norm, turns);
            continue;
        }
        head -= hp->n_head;
        float *k = work->k + ((size_t)i * hp->n_head_kv + head) * dim, *v = work->v + ((size_t)i * hp->n_head_kv + head) * dim;
        bias_norm_rope(x, k, l->k_bias ? l->k_bias + (size_t)head * dim : NULL, l->k_norm, turns);
        if (l->v_bias)
            x->k->add(v, l->v_bias + (size_t)head * dim, dim);
        x->k->kv_store(x->net->kv.type, k, v, dim, row->pos % AIOS__KV_PAGE, aios__kv_page(row->kv, il, head, row->pos / AIOS__KV_PAGE));
    }
    barrier(x);
}

bool aios__op_select(aios__exec *x)
{
    aios__work *work = x->net->work;
    size_t n_embd = x->net->hp.n_embd;
    const float *old = x->h;
    x->n = x->batch->n_want;
    x->map = work->want;
    if (x->wide) {
        x->wide = x->n > AIOS__NARROW;
        x->h = x->wide ? work->h2 : x->own->h;
        x->norm = x->wide ? work->norm : x->own->norm;
    }
    uint32_t from, to;
    split_rows(x, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        if (x->h + i * n_embd != old + x->map[i] * n_embd)
            memcpy(x->h + i * n_embd, old + x->map[i] * n_embd, n_embd * sizeof(float));
    }
    return x->n > 0;
}

/* Attention of n rows from i on, whose cache is one, with the heads of KV head `head`. */
static aios__attn attn_of(const aios__exec *x, uint32_t il, uint32_t i, uint32_t n, uint32_t head)
{
    const aios__work *work = x->net->work;
    const aios__hparams *hp = &x->net->hp;
    uint32_t r = x->map[i], group = hp->n_head / hp->n_head_kv;
    size_t ld = (size_t)hp->n_head * hp->head_dim, at = (size_t)head * group * hp->head_dim;
    aios__attn a = {.q = work->q + r * ld + at, .q_ld = ld, .out = work->attn + i * ld + at, .out_ld = ld, .pages = x->own->pages,
                    .lo = work->lo[aios__layer_has_window(hp, il)] + r, .hi = work->hi + r, .n_tokens = n, .n_heads = group,
                    .dim = hp->head_dim, .kv_type = x->net->kv.type, .scale = hp->attn_scale, .softcap = hp->attn_softcap,
                    .scratch = x->own->attn};
    for (uint32_t b = a.lo[0] / AIOS__KV_PAGE; b <= (a.hi[n - 1] - 1) / AIOS__KV_PAGE; b++)
        x->own->pages[b] = aios__kv_page(x->batch->rows[r].kv, il, head, b);
    return a;
}

/* Segments of row i in one KV head. */
static uint32_t segments_of(const aios__exec *x, uint32_t il, uint32_t i)
{
    const aios__work *work = x->net->work;
    uint32_t r = x->map[i];
    return aios__attn_segments(work->lo[aios__layer_has_window(&x->net->hp, il)][r], work->hi[r]);
}

/* Part of row i in KV head `head`: segments [from, to) of n, the first of them number `at` of all `total` that threads share. */
static void attend_part(const aios__exec *x, uint32_t il, uint32_t i, uint32_t head, uint32_t from, uint32_t to, uint32_t at, uint32_t total)
{
    aios__work *work = x->net->work;
    aios__attn a = attn_of(x, il, i, 1, head);
    uint32_t n = aios__attn_segments(a.lo[0], a.hi[0]), owner = x->tid;
    if (to - from < n) { /* the room for the parts is that of the thread that has the first */
        while ((uint64_t)total * owner / x->n_threads > at - from)
            owner--;
        a.parts = work->parts + owner * work->parts_ld;
        a.seg0 = from;
        a.seg1 = to;
    }
    x->k->attn(&a);
    if (!a.parts || atomic_fetch_add_explicit(&work->done[owner], to - from, memory_order_acq_rel) + to - from < n)
        return;
    atomic_store_explicit(&work->done[owner], 0, memory_order_relaxed);
    x->k->attn_merge(&a);
}

/* The segments of all rows and KV heads stand in one line, of which each thread takes its share; who ends the last part of a row merges it. */
static void attend_singles(const aios__exec *x, uint32_t il)
{
    uint32_t from, to, at = 0, total = 0, n_head = x->net->hp.n_head_kv;
    for (uint32_t i = 0; i < x->n; i++)
        total += segments_of(x, il, i) * n_head;
    aios__exec_split(x, total, &from, &to);
    for (uint32_t i = 0; i < x->n && at < to; i++) {
        uint32_t n = segments_of(x, il, i);
        for (uint32_t head = 0; head < n_head && at < to; head++, at += n) {
            uint32_t first = from > at ? from - at : 0, last = to - at < n ? to - at : n;
            if (first < last)
                attend_part(x, il, i, head, first, last, at + first, total);
        }
    }
}

/* Threads take units of a KV head and some rows, the longest first. */
static void attend_runs(aios__exec *x, uint32_t il, const aios__runs *runs)
{
    uint32_t n_head = x->net->hp.n_head_kv, tokens = aios__attn_tokens(&x->net->hp), u, at = runs->n;
    _Atomic uint32_t *next = &x->net->work->next[x->n_shared++];
    while ((u = atomic_fetch_add_explicit(next, 1, memory_order_relaxed)) < runs->units) {
        u = runs->units - 1 - u;
        while (u < runs->p[at - 1].units)
            at--;
        const aios__run *run = &runs->p[at - 1];
        uint32_t block = (u - run->units) / n_head * tokens, n = run->n - block;
        aios__attn a = attn_of(x, il, run->at + block, n < tokens ? n : tokens, (u - run->units) % n_head);
        x->k->attn(&a);
    }
}

void aios__op_attend(aios__exec *x, uint32_t il)
{
    const aios__runs *runs = &x->net->work->runs[x->map == x->net->work->want];
    if (runs->single)
        attend_singles(x, il);
    else
        attend_runs(x, il, runs);
    barrier(x);
}

void aios__op_project(aios__exec *x, const aios__panels *w)
{
    set_act(x, x->net->work->attn, x->net->hp.n_head * x->net->hp.head_dim);
    gemm_all(x, w, x->net->work->tmp, w->rows);
    barrier(x);
}

void aios__op_residual(aios__exec *x, const float *post_norm)
{
    uint32_t from, to, n = x->net->hp.n_embd;
    split_rows(x, &from, &to);
    for (uint32_t i = from; i < to; i++) {
        float *tmp = x->net->work->tmp + (size_t)i * n;
        if (post_norm) {
            x->k->rmsnorm(tmp, post_norm, n, x->net->hp.eps, x->norm + (size_t)i * n);
            tmp = x->norm + (size_t)i * n;
        }
        x->k->add(x->h + (size_t)i * n, tmp, n);
    }
}

/* Gates of n rows: gate and up have `ld` floats from one to the next. */
static void gate_rows(const aios__exec *x, float *gate, const float *up, size_t ld, uint32_t n_columns, aios__vec2_fn *fn)
{
    for (uint32_t i = 0; i < x->n; i++)
        fn(gate + i * ld, up + i * ld, n_columns);
}

/*
 * Each thread makes, gates and quantizes some columns after the other in memory that stays in its cache, which is the place of the first
 * ones that it took; ff as floats is nowhere whole. Panels are taken by twos, since a block of what is quantized has 32 columns.
 */
static void gate_up_warm(aios__exec *x, const aios__layer *l, aios__vec2_fn *fn)
{
    const aios__work *work = x->net->work;
    uint32_t rows = l->gate.rows, first = UINT32_MAX;
    aios__act act = {.n_tokens = x->n, .k = rows, .q = work->act2};
    for (share s = begin_share(x, l->gate.n_panels); take(&s);) {
        first = first == UINT32_MAX ? s.from : first;
        for (uint32_t p = s.from, end; p < s.to; p = end) {
            end = p + WARM_PANELS < s.to ? p + WARM_PANELS : s.to;
            uint32_t from = p * AIOS__PANEL_ROWS, n = (end - p) * AIOS__PANEL_ROWS;
            size_t place = rows + (size_t)first * AIOS__PANEL_ROWS * x->n - from; /* of column 0, if it were there */
            act.x = work->ff + place;
            act.ld = n;
            gemm(x, &l->gate, p, end, work->ff + place, n);
            gemm(x, &l->up, p, end, work->up + place, n);
            gate_rows(x, work->ff + place + from, work->up + place + from, n, n, fn);
            x->k->quantize(&act, 0, x->n, from / 32, (from + n) / 32);
        }
    }
    barrier(x);
    x->act = act;
}

/* Each thread gates the columns it made itself, so that no barrier stands between. */
void aios__op_gate_up(aios__exec *x, const aios__layer *l, aios__vec2_fn *fn)
{
    const aios__work *work = x->net->work;
    uint32_t rows = l->gate.rows;
    if (x->wide && rows % 32 == 0 && aios__gemm_wants_q8(l->down.dtype)) {
        gate_up_warm(x, l, fn);
        return;
    }
    for (share s = begin_share(x, l->gate.n_panels); take(&s);) {
        uint32_t from = s.from * AIOS__PANEL_ROWS, to = s.to * AIOS__PANEL_ROWS < rows ? s.to * AIOS__PANEL_ROWS : rows;
        gemm(x, &l->gate, s.from, s.to, work->ff, rows);
        gemm(x, &l->up, s.from, s.to, work->up, rows);
        gate_rows(x, work->ff + from, work->up + from, rows, to - from, fn);
    }
    barrier(x);
    set_act(x, work->ff, rows);
}

void aios__op_down(aios__exec *x, const aios__panels *w)
{
    gemm_all(x, w, x->net->work->tmp, w->rows);
    barrier(x);
}
