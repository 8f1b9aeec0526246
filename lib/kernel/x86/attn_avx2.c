/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at AVX2: up to six rows together. */
#include <math.h>

#include "kernel/half.h"
#include "kernel/vec.h"
#include "kernel/x86/exp_avx2.h"

typedef __m256 vec;
enum { WIDTH = 8, MAX_ROWS = 6 };
#define v_set _mm256_set1_ps
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_add _mm256_add_ps
#define v_sub _mm256_sub_ps
#define v_mul _mm256_mul_ps
#define v_div _mm256_div_ps
#define v_max _mm256_max_ps
#define v_fma _mm256_fmadd_ps
#define v_exp exp8
#define v_hsum hsum8
#define v_hmax hmax8
#define v_first _mm256_cvtss_f32

static inline __m256 v_half(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* v at positions lo .. hi-1, -infinity at others; element 0 is position i. */
static inline __m256 v_inside(__m256 v, int i, int lo, int hi)
{
    __m256i pos = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(i));
    __m256i in = _mm256_and_si256(_mm256_cmpgt_epi32(pos, _mm256_set1_epi32(lo - 1)), _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), pos));
    return _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), v, _mm256_castsi256_ps(in));
}

/* e, or 0 where v is -infinity. */
static inline __m256 v_drop(__m256 e, __m256 v)
{
    return _mm256_and_ps(e, _mm256_cmp_ps(v, _mm256_set1_ps(-INFINITY), _CMP_NEQ_UQ));
}

#include "kernel/x86/attn_tile.h"

/* Fewer rows take more positions and dimensions at once, so that enough sums are under way. */
#define GROUP(n_rows, n_tiles, n_vec)                                                              \
    static void group##n_rows(const aios__attn *a, uint32_t i)                                     \
    {                                                                                              \
        group_run(a, i, n_rows, n_tiles, n_vec);                                                   \
    }
GROUP(1, 4, 8)
GROUP(2, 2, 4)
GROUP(3, 1, 4)
GROUP(4, 1, 2)
GROUP(5, 1, 2)
GROUP(6, 1, 2)

static void attn(const aios__attn *a)
{
    static void (*const run[])(const aios__attn *, uint32_t) = {group1, group2, group3, group4, group5, group6};
    for (uint32_t i = 0; i < a->n_q;) {
        uint32_t n = min_u32(a->n_q - i, MAX_ROWS);
        run[n - 1](a, i);
        i += n;
    }
}

static void k_store(const float *k, uint32_t dim, uint32_t pos, uint16_t *page)
{
    uint16_t *p = page + (size_t)(pos / TILE) * dim * TILE + pos % TILE;
    uint32_t d = 0;
    for (; d + 8 <= dim; d += 8) {
        uint16_t h[8];
        _mm_storeu_si128((__m128i *)(void *)h, _mm256_cvtps_ph(_mm256_loadu_ps(k + d), 0));
        for (uint32_t j = 0; j < 8; j++)
            p[(size_t)(d + j) * TILE] = h[j];
    }
    for (; d < dim; d++)
        p[(size_t)d * TILE] = aios__f32_to_f16(k[d]);
}

void aios__attn_init_avx2(aios__kernels *k)
{
    k->attn = attn;
    k->k_store = k_store;
}
