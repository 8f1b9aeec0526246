/* SPDX-License-Identifier: Apache-2.0 */
/* Reference attention over paged K and V, one row at a time, page by page with a running maximum and sum. */
#include <math.h>

#include "kernel/half.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"

/* Rows the wide kernels take together; the scratch holds scores of a page and the sums of each. */
enum { MAX_ROWS = 8 };

size_t aios__attn_scratch(uint32_t dim)
{
    return (size_t)MAX_ROWS * (AIOS__KV_PAGE + ((size_t)dim + 15) / 16 * 16) + 64;
}

static void k_store(const float *k, uint32_t dim, uint32_t pos, uint16_t *page)
{
    uint16_t *p = page + (size_t)(pos / 16) * dim * 16 + pos % 16;
    for (uint32_t d = 0; d < dim; d++)
        p[(size_t)d * 16] = aios__f32_to_f16(k[d]);
}

static float score(const aios__attn *a, const float *q, uint32_t p)
{
    const uint16_t *k = a->k_pages[p / AIOS__KV_PAGE] + (size_t)(p % AIOS__KV_PAGE / 16) * a->dim * 16 + p % 16;
    float s = 0;
    for (uint32_t d = 0; d < a->dim; d++)
        s += q[d] * aios__f16_to_f32(k[(size_t)d * 16]);
    s *= a->scale;
    return a->softcap > 0 ? a->softcap * tanhf(s / a->softcap) : s;
}

static void attend(const aios__attn *a, uint32_t i)
{
    const float *q = a->q + i * a->q_ld;
    float *out = a->out + i * a->out_ld;
    float *s = a->scratch, *acc = a->scratch + AIOS__KV_PAGE;
    float top = -INFINITY, sum = 0;
    uint32_t lo = a->lo[i], hi = a->hi[i], next;
    memset(acc, 0, a->dim * sizeof *acc);
    for (uint32_t p = lo; p < hi; p = next) {
        next = (p / AIOS__KV_PAGE + 1) * AIOS__KV_PAGE;
        next = next < hi ? next : hi;
        float m = top;
        for (uint32_t j = p; j < next; j++) {
            s[j - p] = score(a, q, j);
            m = s[j - p] > m ? s[j - p] : m;
        }
        float shrink = m > top ? expf(top - m) : 1.0f;
        top = m;
        sum *= shrink;
        for (uint32_t d = 0; d < a->dim; d++)
            acc[d] *= shrink;
        for (uint32_t j = p; j < next; j++) {
            const uint16_t *v = a->v_pages[j / AIOS__KV_PAGE] + (size_t)(j % AIOS__KV_PAGE) * a->dim;
            float e = expf(s[j - p] - top);
            sum += e;
            for (uint32_t d = 0; d < a->dim; d++)
                acc[d] += e * aios__f16_to_f32(v[d]);
        }
    }
    float inv = sum > 0 ? 1.0f / sum : 0;
    for (uint32_t d = 0; d < a->dim; d++)
        out[d] = acc[d] * inv;
}

static void attn(const aios__attn *a)
{
    for (uint32_t i = 0; i < a->n_q; i++)
        attend(a, i);
}

void aios__attn_init_ref(aios__kernels *k)
{
    k->attn = attn;
    k->k_store = k_store;
}
