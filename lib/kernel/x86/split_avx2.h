/* SPDX-License-Identifier: Apache-2.0 */
/* Split matrices by the kernels of block_avx2.h: the 8-bit GEMM over two planes, and bounds as by a 4-bit one over the upper plane. */
#ifndef AIOS_LIB_KERNEL_SPLIT_AVX2_H
#define AIOS_LIB_KERNEL_SPLIT_AVX2_H

#include <math.h>

#include "kernel/x86/block_avx2.h"
#include "kernel/x86/exp_avx2.h"

/* Whole codes that are joined, and upper halves alone, whose offset counts as a minimum. */
#define FMT_SPLIT ((fmt){8, 128, 0, 0, 0, 256, AIOS__HIGH_SUB})
#define FMT_UPPER ((fmt){4, 0, 1, 0, 0, 256, AIOS__HIGH_SUB})

/* The largest bound of rows [8 h, 8 h + 8) before row `left`; a sum that is no number has none. */
AIOS__INLINE float most_of(__m256 bounds, int left, const int h)
{
    const __m256i row = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(8 * h));
    const __m256 real = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(left), row));
    const __m256 odd = _mm256_cmp_ps(bounds, bounds, _CMP_UNORD_Q);
    bounds = _mm256_blendv_ps(bounds, _mm256_set1_ps(INFINITY), odd);
    return hmax8(_mm256_blendv_ps(_mm256_set1_ps(-INFINITY), bounds, real));
}

/* n <= 2 tokens from t on against panel p. */
AIOS__INLINE void bound_tokens(const aios__bound *x, uint32_t p, uint32_t t, const int n, size_t pf)
{
    const fmt f = FMT_UPPER;
    const uint32_t width = aios__act_width(x->a, 0), n_blocks = x->a->k / 32, left = x->w->rows - p * AIOS__PANEL_ROWS;
    const uint8_t *a = aios__act_tile(x->a, 0);
    source s = {.packed = true, .w = x->w->data + p * x->w->panel_bytes};
    __m256 y[4][2], sum[2][2], spread[2][2];
AIOS__UNROLL(2)
    for (int u = 0; u < n; u++)
        sum[u][0] = sum[u][1] = spread[u][0] = spread[u][1] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++, s.w += f.sub, a += (size_t)width * AIOS__ACT_TOKEN) {
        const tokens k = tokens_of(f, a, width, t);
        prefetch(f, s.w + pf);
        dot(f, s, k, n, 0, 2, y);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            const __m256 d = halves8(s.w + f.scales + 16 * h), d16 = _mm256_mul_ps(d, _mm256_set1_ps(16));
            const __m256 m = _mm256_mul_ps(d, _mm256_set1_ps(AIOS__HIGH_OFFSET)), size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d);
AIOS__UNROLL(2)
            for (int u = 0; u < n; u++) {
                const __m256 reach = _mm256_set1_ps(x->reach[(size_t)(t + (uint32_t)u) * n_blocks + b]);
                sum[u][h] = _mm256_fmadd_ps(_mm256_mul_ps(y[u][h], single(k.d + 4 * u)), d16, sum[u][h]);
                sum[u][h] = _mm256_fmadd_ps(m, single(k.ds + 4 * u), sum[u][h]);
                spread[u][h] = _mm256_fmadd_ps(size, reach, spread[u][h]);
            }
        }
    }
AIOS__UNROLL(2)
    for (int u = 0; u < n; u++) {
        float low = most_of(_mm256_add_ps(sum[u][0], spread[u][0]), (int)left, 0), high = most_of(_mm256_add_ps(sum[u][1], spread[u][1]), (int)left, 1);
        x->upper[(size_t)(t + (uint32_t)u) * x->w->n_panels + p] = low > high ? low : high;
    }
}

static void bound(const aios__bound *x, uint32_t p0, uint32_t p1)
{
    uint32_t n = x->a->n_tokens;
    for (uint32_t p = p0; p < p1; p++) {
        uint32_t t = 0;
        for (; n - t >= 2; t += 2)
            bound_tokens(x, p, t, 2, t ? 0 : PREFETCH_BYTES);
        if (t < n)
            bound_tokens(x, p, t, 1, t ? 0 : PREFETCH_BYTES);
    }
}

static void gemm_split(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)
{
    float sums[AIOS__ACT_TILE * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    for (uint32_t p = p0; p < p1; p++) {
        const uint8_t *high = w->data + p * w->panel_bytes, *low = w->low + p * w->low_bytes;
        uint32_t row = p * AIOS__PANEL_ROWS;
        for (uint32_t t = 0; t < a->n_tokens; t += AIOS__ACT_TILE) {
            uint32_t width = aios__act_width(a, t);
            tile_256(FMT_SPLIT, true, high, low, t ? 0 : PREFETCH_BYTES, aios__act_tile(a, t), a->k / 32, width, sums);
            store_rows(sums, width, w->rows - row, out + t * ld_out + row, ld_out);
        }
    }
}

AIOS__INLINE void split_set(aios__kernels *k)
{
    k->bound = bound;
    k->gemm_split = gemm_split;
}

#endif
