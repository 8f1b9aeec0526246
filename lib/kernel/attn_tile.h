/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention for any vector width. A file of a level defines vec and ivec, WIDTH, STEPS x VECS (rows and vectors of one block of sums in
 * registers), the v_ and i_ operations below, HOLD and INIT, then includes this.
 *
 * Rows stand page by page before the same keys and values, STEPS at a time. Sums of products are exact integers; all floats of a row come
 * from its own numbers in the order of positions: so its result is the same bits alone and in company.
 */
#ifndef AIOS_LIB_KERNEL_ATTN_TILE_H
#define AIOS_LIB_KERNEL_ATTN_TILE_H

#include "kernel/attn_rows.h"

/* ---- segments and parts ------------------------------------------------------------------------------------------- */

static void clear(float *part, size_t n)
{
    memset(part, 0, n * sizeof *part);
    part[AIOS__PART_TOP] = -INFINITY;
}

static void merge(float *total, const float *part, uint32_t wide)
{
    if (!(part[AIOS__PART_SUM] > 0)) /* nothing of it is in the segment */
        return;
    float m = part[AIOS__PART_TOP], old = total[AIOS__PART_TOP];
    float less = v_first(v_exp2(v_set(m > old ? old - m : m - old))), shrink = m > old ? less : 1.0f, grow = m > old ? 1.0f : less;
    total[AIOS__PART_TOP] = m > old ? m : old;
    total[AIOS__PART_SUM] = fmaf(total[AIOS__PART_SUM], shrink, part[AIOS__PART_SUM] * grow);
    for (uint32_t d = AIOS__PART_V; d < AIOS__PART_V + wide; d += WIDTH)
        v_store(total + d, v_fma(v_load(part + d), v_set(grow), v_mul(v_load(total + d), v_set(shrink))));
}

/* Adding +0 makes every zero the same. */
static void finish(const aios__attn *a, const float *total, float *out)
{
    float inv = total[AIOS__PART_SUM] > 0 ? 1.0f / total[AIOS__PART_SUM] : 0;
    uint32_t d = 0;
    for (; d + WIDTH <= a->dim; d += WIDTH)
        v_store(out + d, v_fma(v_load(total + AIOS__PART_V + d), v_set(inv), v_set(0)));
    for (; d < a->dim; d++)
        out[d] = fmaf(total[AIOS__PART_V + d], inv, 0.0f);
    if (a->kv_type != AIOS__KV_I16)
        aios__kv_turn(out, a->dim);
}

/* The parts of segment `seg` for all rows of the block. */
static void segment_step(block *b, uint32_t seg)
{
    uint32_t from = seg * AIOS__KV_SEGMENT, to = from + AIOS__KV_SEGMENT, lo = UINT32_MAX, hi = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        clear(b->part + i * b->part_ld, b->part_ld);
        lo = min_u32(lo, b->lo[i]);
        hi = max_u32(hi, b->hi[i]);
    }
    lo = max_u32(lo, from);
    hi = min_u32(hi, to);
    for (uint32_t page = lo / PAGE; lo < hi && page <= (hi - 1) / PAGE; page++)
        page_step(b, page);
}

static void all_segments(block *b)
{
    uint32_t lo = UINT32_MAX, hi = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        clear(b->total + i * b->part_ld, b->part_ld);
        lo = min_u32(lo, b->lo[i]);
        hi = max_u32(hi, b->hi[i]);
    }
    b->last = (hi - 1) / PAGE;
    for (uint32_t seg = lo / AIOS__KV_SEGMENT; lo < hi && seg <= (hi - 1) / AIOS__KV_SEGMENT; seg++) {
        segment_step(b, seg);
        for (uint32_t i = 0; i < b->n; i++)
            merge(b->total + i * b->part_ld, b->part + i * b->part_ld, b->wide);
    }
}

/* Carves the scratch up and takes rows [first, first + n) in. */
static void set_block(block *b, const aios__attn *a, uint32_t first, uint32_t n)
{
    float *f = a->scratch;
    b->a = a;
    b->n = n;
    b->wide = aios__kv_wide(a->dim);
    b->part_ld = aios__attn_part(a->dim);
    b->part = f;
    b->total = f += MAX * b->part_ld;
    b->k_scale = f += MAX * b->part_ld;
    b->e = f += PAGE;
    b->weight = f += PAGE;
    b->inv = f += PAGE;
    b->s = (int32_t *)(void *)(f += PAGE);
    b->p = (int16_t *)(void *)(f += STEPS * PAGE);
    b->q = b->p + STEPS * PAGE;
    b->unpacked = b->q + (size_t)MAX * b->wide;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t t = (first + i) / a->n_heads, h = (first + i) % a->n_heads;
        b->lo[i] = a->lo[t];
        b->hi[i] = a->hi[t];
        set_query(b, i, a->q + t * a->q_ld + (size_t)h * a->dim);
    }
}

/* The segments asked for of the rows of one token, each part on its own. */
static void some_segments(block *b, uint32_t first)
{
    const aios__attn *a = b->a;
    uint32_t n = aios__attn_segments(a->lo[0], a->hi[0]);
    b->last = min_u32((a->hi[0] - 1) / PAGE, (a->lo[0] / AIOS__KV_SEGMENT + a->seg1) * (AIOS__KV_SEGMENT / PAGE) - 1);
    for (uint32_t seg = a->seg0; seg < a->seg1; seg++) {
        segment_step(b, a->lo[0] / AIOS__KV_SEGMENT + seg);
        for (uint32_t i = 0; i < b->n; i++)
            memcpy(a->parts + ((size_t)(first + i) * n + seg) * b->part_ld, b->part + i * b->part_ld, b->part_ld * sizeof(float));
    }
}

static void attn(const aios__attn *a)
{
    block b;
    uint32_t n_rows = a->n_tokens * a->n_heads, n;
    for (uint32_t first = 0; first < n_rows; first += n) {
        n = min_u32(n_rows - first, MAX);
        set_block(&b, a, first, n);
        if (a->parts) {
            some_segments(&b, first);
            continue;
        }
        all_segments(&b);
        for (uint32_t i = 0; i < n; i++)
            finish(a, b.total + i * b.part_ld, a->out + (first + i) / a->n_heads * a->out_ld + (size_t)((first + i) % a->n_heads) * a->dim);
    }
}

static void attn_merge(const aios__attn *a)
{
    uint32_t n = aios__attn_segments(a->lo[0], a->hi[0]);
    size_t ld = aios__attn_part(a->dim);
    for (uint32_t h = 0; h < a->n_heads; h++) {
        clear(a->scratch, ld);
        for (uint32_t i = 0; i < n; i++)
            merge(a->scratch, a->parts + ((size_t)h * n + i) * ld, aios__kv_wide(a->dim));
        finish(a, a->scratch, a->out + (size_t)h * a->dim);
    }
}

void INIT(aios__kernels *k)
{
    k->attn = attn;
    k->attn_merge = attn_merge;
    k->kv_store = kv_store;
}

#endif
