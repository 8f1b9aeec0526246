/* SPDX-License-Identifier: Apache-2.0 */
/* Reference attention over pages of integers, one row at a time: the specification of the layout and of every rounding. */
#include "kernel/kv_page.h"
#include "kernel/vec.h"

enum { PAGE = AIOS__KV_PAGE, DIM_MAX = 1024 };

size_t aios__kv_page_bytes(int32_t type, uint32_t dim)
{
    return 2 * aios__kv_half(type, dim) + 2 * PAGE * sizeof(uint16_t);
}

size_t aios__attn_part(uint32_t dim)
{
    return AIOS__PART_V + (size_t)aios__kv_wide(dim);
}

/* For the wider kernels: integers and sums of AIOS__ATTN_ROWS rows, a page unpacked, scores and weights of some rows. */
size_t aios__attn_scratch(uint32_t dim)
{
    size_t wide = aios__kv_wide(dim), rows = AIOS__ATTN_ROWS * (wide * 2 + 2 * aios__attn_part(dim) * 4 + 64);
    return rows + 2 * PAGE * wide * 2 + 16 * PAGE * 8;
}

static void to_integers(const float *x, uint32_t dim, float scale, float limit, int16_t *out)
{
    for (uint32_t d = 0; d < aios__kv_wide(dim); d++) {
        float v = d < dim ? rintf(x[d] / scale) : 0;
        v = v < limit ? v : limit; /* NaN too */
        out[d] = (int16_t)(v > -limit ? v : -limit);
    }
}

static float largest(const float *x, uint32_t dim)
{
    float top = 0;
    for (uint32_t d = 0; d < dim; d++)
        top = fabsf(x[d]) > top ? fabsf(x[d]) : top;
    return top;
}

static float length(const float *x, uint32_t dim)
{
    float sum = 0;
    for (uint32_t d = 0; d < dim; d++)
        sum += x[d] * x[d];
    return sqrtf(sum);
}

static void store(int32_t type, bool is_key, const float *x, uint32_t dim, uint32_t pos, void *page)
{
    float turned[DIM_MAX];
    int16_t ints[DIM_MAX];
    memcpy(turned, x, dim * sizeof *x);
    if (type != AIOS__KV_I16)
        aios__kv_turn(turned, dim);
    float scale = aios__kv_scale(type, is_key, largest(turned, dim), length(turned, dim));
    to_integers(turned, dim, scale, aios__kv_limit(type, is_key), ints);
    aios__kv_place(type, is_key, ints, aios__kv_wide(dim), pos, page);
    aios__kv_set_scale(type, is_key, scale, aios__kv_wide(dim), pos, page);
}

static void kv_store(int32_t type, const float *k, const float *v, uint32_t dim, uint32_t pos, void *page)
{
    store(type, true, k, dim, pos, page);
    store(type, false, v, dim, pos, page);
}

/* A query as integers, and what makes a score in powers of two of its products with keys. */
typedef struct query {
    int16_t x[DIM_MAX];
    float unit;
} query;

static void set_query(const aios__attn *a, const float *q, query *out)
{
    float turned[DIM_MAX];
    memcpy(turned, q, a->dim * sizeof *q);
    if (a->kv_type != AIOS__KV_I16)
        aios__kv_turn(turned, a->dim);
    float scale = aios__kv_scale_query(length(turned, a->dim));
    to_integers(turned, a->dim, scale, AIOS__KV_LIMIT_K, out->x);
    out->unit = scale * a->scale;
}

static float score(const aios__attn *a, const query *q, const void *page, uint32_t pos)
{
    int32_t sum = 0;
    for (uint32_t d = 0; d < a->dim; d++)
        sum += q->x[d] * aios__kv_at(page, a->kv_type, true, a->dim, pos, d);
    float s = (float)sum * aios__kv_float((uint32_t)aios__kv_scales(page, a->kv_type, a->dim)[pos] << 16) * q->unit;
    s = a->softcap > 0 ? a->softcap * tanhf(s / a->softcap) : s;
    return s * 1.44269504f;
}

/* Adds positions [lo, hi) of a page to a part. */
static void add_page(const aios__attn *a, const query *q, const void *page, uint32_t lo, uint32_t hi, float *part)
{
    const uint16_t *scales = aios__kv_scales(page, a->kv_type, a->dim) + PAGE;
    float s[PAGE], top = -INFINITY, sum = 0;
    int32_t weight[PAGE];
    for (uint32_t p = lo; p < hi; p++) {
        s[p] = score(a, q, page, p) + aios__kv_weigh(scales[p]).e;
        top = s[p] > top ? s[p] : top;
    }
    for (uint32_t p = lo; p < hi; p++) {
        aios__kv_weight w = aios__kv_weigh(scales[p]);
        float u = exp2f(s[p] - top), v = rintf(u * w.part * AIOS__KV_LIMIT_P);
        weight[p] = v >= 0 && v <= AIOS__KV_LIMIT_P ? (int32_t)v : 0; /* NaN is 0 */
        sum += u * w.inv;
    }
    float max = top > part[AIOS__PART_TOP] ? top : part[AIOS__PART_TOP], shrink = exp2f(part[AIOS__PART_TOP] - max), grow = exp2f(top - max);
    part[AIOS__PART_TOP] = max;
    part[AIOS__PART_SUM] = part[AIOS__PART_SUM] * shrink + sum * grow;
    for (uint32_t d = 0; d < a->dim; d++) {
        int64_t acc = 0; /* the wider kernels need 32 bits, AIOS__KV_SPAN positions at a time */
        for (uint32_t p = lo; p < hi; p++)
            acc += (int64_t)weight[p] * aios__kv_at(page, a->kv_type, false, a->dim, p, d);
        part[AIOS__PART_V + d] = part[AIOS__PART_V + d] * shrink + (float)acc * (grow / AIOS__KV_LIMIT_P);
    }
}

static void clear(float *part, uint32_t dim)
{
    memset(part, 0, aios__attn_part(dim) * sizeof *part);
    part[AIOS__PART_TOP] = -INFINITY;
}

static void segment(const aios__attn *a, const query *q, uint32_t seg, uint32_t lo, uint32_t hi, float *part)
{
    uint32_t from = seg * AIOS__KV_SEGMENT, to = from + AIOS__KV_SEGMENT;
    clear(part, a->dim);
    from = from > lo ? from : lo;
    to = to < hi ? to : hi;
    for (uint32_t p = from, next; p < to; p = next) {
        next = (p / PAGE + 1) * PAGE;
        next = next < to ? next : to;
        add_page(a, q, a->pages[p / PAGE], p % PAGE, (next - 1) % PAGE + 1, part);
    }
}

static void merge(float *total, const float *part, uint32_t dim)
{
    float max = part[AIOS__PART_TOP] > total[AIOS__PART_TOP] ? part[AIOS__PART_TOP] : total[AIOS__PART_TOP];
    float shrink = exp2f(total[AIOS__PART_TOP] - max), grow = exp2f(part[AIOS__PART_TOP] - max);
    total[AIOS__PART_TOP] = max;
    total[AIOS__PART_SUM] = total[AIOS__PART_SUM] * shrink + part[AIOS__PART_SUM] * grow;
    for (uint32_t d = 0; d < dim; d++)
        total[AIOS__PART_V + d] = total[AIOS__PART_V + d] * shrink + part[AIOS__PART_V + d] * grow;
}

static void finish(const aios__attn *a, const float *total, float *out)
{
    float inv = total[AIOS__PART_SUM] > 0 ? 1.0f / total[AIOS__PART_SUM] : 0;
    for (uint32_t d = 0; d < a->dim; d++)
        out[d] = total[AIOS__PART_V + d] * inv;
    if (a->kv_type != AIOS__KV_I16)
        aios__kv_turn(out, a->dim);
}

static void attend(const aios__attn *a, uint32_t t, uint32_t h)
{
    query q;
    float *total = a->scratch, *part = total + aios__attn_part(a->dim);
    uint32_t lo = a->lo[t], hi = a->hi[t], first = lo / AIOS__KV_SEGMENT, n = aios__attn_segments(lo, hi);
    set_query(a, a->q + t * a->q_ld + (size_t)h * a->dim, &q);
    if (a->parts) {
        for (uint32_t i = a->seg0; i < a->seg1; i++)
            segment(a, &q, first + i, lo, hi, a->parts + ((size_t)h * n + i) * aios__attn_part(a->dim));
        return;
    }
    clear(total, a->dim);
    for (uint32_t i = 0; i < n; i++) {
        segment(a, &q, first + i, lo, hi, part);
        merge(total, part, a->dim);
    }
    finish(a, total, a->out + t * a->out_ld + (size_t)h * a->dim);
}

static void attn(const aios__attn *a)
{
    for (uint32_t t = 0; t < a->n_tokens; t++)
        for (uint32_t h = 0; h < a->n_heads; h++)
            attend(a, t, h);
}

static void attn_merge(const aios__attn *a)
{
    uint32_t n = aios__attn_segments(a->lo[0], a->hi[0]);
    for (uint32_t h = 0; h < a->n_heads; h++) {
        clear(a->scratch, a->dim);
        for (uint32_t i = 0; i < n; i++)
            merge(a->scratch, a->parts + ((size_t)h * n + i) * aios__attn_part(a->dim), a->dim);
        finish(a, a->scratch, a->out + (size_t)h * a->dim);
    }
}

void aios__attn_init_ref(aios__kernels *k)
{
    k->attn = attn;
    k->attn_merge = attn_merge;
    k->kv_store = kv_store;
}
