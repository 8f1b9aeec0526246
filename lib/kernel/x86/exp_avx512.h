/* SPDX-License-Identifier: Apache-2.0 */
/* exp and reductions over 16 floats. */
#ifndef AIOS_LIB_KERNEL_EXP_AVX512_H
#define AIOS_LIB_KERNEL_EXP_AVX512_H

#include "kernel/x86/intrin.h"

/* 2^r for r from -1/2 to 1/2, to 2e-7. */
static inline __m512 exp2_part(__m512 r)
{
    __m512 p = _mm512_set1_ps(1.326472615e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.671512991e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.550733581e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.402224243e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.931470037e-1f));
    return _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
}

/* exp(-x), for gates: NaN stays one. */
static inline __m512 exp_minus16(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(104.0f), x));
    const __m512 log2e = _mm512_set1_ps(-1.44269504f), rest = _mm512_set1_ps(-1.925963033e-8f);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, log2e), 8); /* to nearest */
    __m512 r = _mm512_fmadd_ps(x, rest, _mm512_fmsub_ps(x, log2e, n));
    return _mm512_scalef_ps(exp2_part(r), n);
}

/* 2^x for x from -126 (anything lower, and NaN, counts as that) to 127, by a polynomial of degree 5 around the nearest integer. */
static inline __m512 exp2_16(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(12582912.0f);
    x = _mm512_max_ps(x, _mm512_set1_ps(-126.0f));
    __m512 shifted = _mm512_add_ps(x, magic), p = exp2_part(_mm512_sub_ps(x, _mm512_sub_ps(shifted, magic)));
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
}

static inline float hsum16(__m512 v)
{
    __m128 a = _mm_add_ps(_mm512_castps512_ps128(v), _mm512_extractf32x4_ps(v, 2));
    __m128 s = _mm_add_ps(a, _mm_add_ps(_mm512_extractf32x4_ps(v, 1), _mm512_extractf32x4_ps(v, 3)));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float hmax16(__m512 v)
{
    __m128 a = _mm_max_ps(_mm512_castps512_ps128(v), _mm512_extractf32x4_ps(v, 2));
    __m128 s = _mm_max_ps(a, _mm_max_ps(_mm512_extractf32x4_ps(v, 1), _mm512_extractf32x4_ps(v, 3)));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#endif
