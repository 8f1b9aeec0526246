/* SPDX-License-Identifier: Apache-2.0 */
/* Split matrices: the 8-bit GEMM over two planes; bounds as by the 4-bit GEMM, with what was not read beside each sum. */
#include <math.h>

#include "kernel/split.h"
#include "kernel/x86/tile_avx512.h"
#include "kernel/x86/exp_avx512.h"

AIOS__INLINE void unpack(const fmt f, const uint8_t *w, __m512i c[16])
{
AIOS__UNROLL(8)
    for (int g = 0; g < 8; g++)
        c[g] = codes512(f, w, g);
}

AIOS__INLINE void dot(const fmt f, __m512i c[16], const uint8_t *q, const int first, const int n_groups, const int n, __m512i v[4])
{
    AIOS__UNUSED(f);
AIOS__UNROLL(8)
    for (int g = first; g < first + n_groups; g++) {
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            v[u] = _mm512_dpbusd_epi32(v[u], c[g], dword512(q + 32 * u + 4 * g));
    }
}

/* Bounds of n tokens from t on: a sum that is none has none. */
AIOS__INLINE void keep_bounds(const aios__bound *x, uint32_t p, uint32_t t, const int n, const __m512 *sum, const __m512 *spread)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    uint32_t left = x->w->rows - p * AIOS__PANEL_ROWS;
    const __mmask16 rows = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        __m512 most = _mm512_mask_add_ps(none, rows, sum[u], spread[u]);
        most = _mm512_mask_mov_ps(most, _mm512_cmp_ps_mask(most, most, _CMP_UNORD_Q), _mm512_set1_ps(INFINITY));
        x->upper[(size_t)(t + (uint32_t)u) * x->w->n_panels + p] = hmax16(most);
    }
}

/* n <= 4 tokens from t on against panel p. */
AIOS__INLINE void bound_tokens(const aios__bound *x, uint32_t p, uint32_t t, const int n, size_t pf)
{
    const fmt f = FMT_Q4_0;
    const uint32_t width = aios__act_width(x->a, 0), n_blocks = x->a->k / 32;
    const uint8_t *w = x->w->data + p * x->w->panel_bytes, *a = aios__act_tile(x->a, 0);
    __m512 sum[4], spread[4];
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        sum[u] = spread[u] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++, w += AIOS__HIGH_SUB, a += (size_t)width * AIOS__ACT_TOKEN) {
        __m512i c[16], v[4];
        prefetch(f, w + pf);
        unpack(f, w, c);
        const __m512 d = halves16(w + 256), d16 = _mm512_mul_ps(d, _mm512_set1_ps(16)), m = _mm512_mul_ps(d, _mm512_set1_ps(AIOS__HIGH_OFFSET));
        const __m512 size = _mm512_abs_ps(d);
        const uint8_t *q = base(a + 32 * t), *da = base(a + aios__act_at(width, t, AIOS__ACT_D)), *ds = base(a + aios__act_at(width, t, AIOS__ACT_DS));
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            v[u] = _mm512_setzero_si512();
        dot(f, c, q, 0, 8, n, v);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++) {
            sum[u] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(v[u]), single512(da + 4 * u)), d16, sum[u]);
            sum[u] = _mm512_fmadd_ps(m, single512(ds + 4 * u), sum[u]);
            spread[u] = _mm512_fmadd_ps(size, _mm512_set1_ps(x->reach[(size_t)(t + (uint32_t)u) * n_blocks + b]), spread[u]);
        }
    }
    keep_bounds(x, p, t, n, sum, spread);
}

static void bound(const aios__bound *x, uint32_t p0, uint32_t p1)
{
    uint32_t n = x->a->n_tokens;
    for (uint32_t p = p0; p < p1; p++) {
        uint32_t t = 0;
        for (; n - t >= 4; t += 4)
            bound_tokens(x, p, t, 4, t ? 0 : PREFETCH_BYTES);
        for (; t < n; t++)
            bound_tokens(x, p, t, 1, t ? 0 : PREFETCH_BYTES);
    }
}

/* The eight code registers of a block from its two planes. */
AIOS__INLINE void join(const uint8_t *high, const uint8_t *low, __m512i c[16])
{
    const __m512i upper = _mm512_set1_epi8((char)0xf0);
AIOS__UNROLL(4)
    for (int g = 0; g < 4; g++) {
        const __m512i h = load512(high + 64 * g), l = load512(low + 64 * g);
        c[g] = _mm512_ternarylogic_epi32(upper, _mm512_slli_epi16(h, 4), l, 0xca); /* upper ? h << 4 : l */
        c[g + 4] = _mm512_ternarylogic_epi32(upper, h, _mm512_srli_epi16(l, 4), 0xca);
    }
}

/* Panel p against n tokens from t on of the tile at a, `width` wide. */
AIOS__INLINE void split_tokens(const aios__panels *w, uint32_t p, size_t pf, const uint8_t *a, uint32_t width, uint32_t t, const int n, float *out)
{
    const uint8_t *high = w->data + p * w->panel_bytes, *low = w->low + p * w->low_bytes;
    const int step = n < 4 ? n : 4;
    scales512 s = {0};
    __m512 acc[16];
AIOS__UNROLL(16)
    for (int u = 0; u < n; u++)
        acc[u] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < w->cols / 32; b++, high += AIOS__HIGH_SUB, low += AIOS__LOW_SUB, a += (size_t)width * AIOS__ACT_TOKEN) {
        __m512i c[16];
        prefetch(FMT_Q4_0, high + pf);
        prefetch(FMT_Q4_0, low + pf);
        join(high, low, c);
        s.d = halves16(high + 256);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u += step)
            tokens_single(FMT_Q8_0, c, &s, tokens_of(FMT_Q8_0, a, width, t + (uint32_t)u), step, acc + u);
    }
AIOS__UNROLL(16)
    for (int u = 0; u < n; u++)
        _mm512_store_ps(out + 16 * u, acc[u]);
}

static void gemm_split(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)
{
    float sums[AIOS__ACT_TILE * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    for (uint32_t p = p0; p < p1; p++) {
        size_t pf = PREFETCH_BYTES;
        for (uint32_t t0 = 0, n; t0 < a->n_tokens; t0 += n) {
            uint32_t width = aios__act_width(a, t0 / AIOS__ACT_TILE * AIOS__ACT_TILE), t = t0 % AIOS__ACT_TILE;
            const uint8_t *tile = aios__act_tile(a, t0 - t);
            n = width - t >= 8 ? 8 : width - t >= 4 ? 4 : 1;
            if (n == 8)
                split_tokens(w, p, pf, tile, width, t, 8, sums);
            else if (n == 4)
                split_tokens(w, p, pf, tile, width, t, 4, sums);
            else
                split_tokens(w, p, pf, tile, width, t, 1, sums);
            store_rows(sums, n, w->rows - p * AIOS__PANEL_ROWS, out + t0 * ld_out + p * AIOS__PANEL_ROWS, ld_out);
            pf = 0;
        }
    }
}

void aios__split_init_avx512vnni(aios__kernels *k)
{
    k->bound = bound;
    k->gemm_split = gemm_split;
}
