/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at AVX-512: up to eight rows together. */
#include <math.h>

#include "kernel/half.h"
#include "kernel/vec.h"
#include "kernel/x86/exp_avx512.h"

typedef __m512 vec;
enum { WIDTH = 16, MAX_ROWS = 8 };
#define v_set _mm512_set1_ps
#define v_load _mm512_loadu_ps
#define v_store _mm512_storeu_ps
#define v_add _mm512_add_ps
#define v_sub _mm512_sub_ps
#define v_mul _mm512_mul_ps
#define v_div _mm512_div_ps
#define v_max _mm512_max_ps
#define v_fma _mm512_fmadd_ps
#define v_exp exp16
#define v_hsum hsum16
#define v_hmax hmax16

static inline float v_first(__m512 v)
{
    return _mm_cvtss_f32(_mm512_castps512_ps128(v));
}

static inline __m512 v_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

/* v at positions lo .. hi-1, -infinity at others; element 0 is position i. */
static inline __m512 v_inside(__m512 v, int i, int lo, int hi)
{
    int from = lo > i ? lo - i : 0, to = hi - i < 16 ? hi - i : 16;
    uint32_t bits = to > from ? (0xffffu >> (16 - to)) & (0xffffu << from) : 0;
    return _mm512_mask_blend_ps((__mmask16)bits, _mm512_set1_ps(-INFINITY), v);
}

/* e, or 0 where v is -infinity. */
static inline __m512 v_drop(__m512 e, __m512 v)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ), e);
}

#include "kernel/x86/attn_tile.h"

#define GROUP(n_rows, n_tiles, n_vec)                                                              \
    static void group##n_rows(const aios__attn *a, uint32_t i)                                     \
    {                                                                                              \
        group_run(a, i, n_rows, n_tiles, n_vec);                                                   \
    }
GROUP(1, 4, 8)
GROUP(2, 4, 4)
GROUP(3, 2, 4)
GROUP(4, 2, 4)
GROUP(5, 2, 4)
GROUP(6, 2, 2)
GROUP(7, 2, 2)
GROUP(8, 2, 2)

static void attn(const aios__attn *a)
{
    static void (*const run[])(const aios__attn *, uint32_t) = {group1, group2, group3, group4, group5, group6, group7, group8};
    for (uint32_t i = 0; i < a->n_q;) {
        uint32_t n = min_u32(a->n_q - i, MAX_ROWS);
        run[n - 1](a, i);
        i += n;
    }
}

void aios__attn_init_avx512(aios__kernels *k)
{
    k->attn = attn;
}
