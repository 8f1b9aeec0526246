/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of attn_tile.h on 512 bits, but for i_dot. */
#ifndef AIOS_LIB_KERNEL_ATTN_OPS512_H
#define AIOS_LIB_KERNEL_ATTN_OPS512_H

#include "kernel/kv_page.h"
#include "kernel/vec.h"
#include "kernel/x86/exp_avx512.h"

typedef __m512 vec;
typedef __m512i ivec;
enum { WIDTH = 16, VECS = 4 };
#define STEPS 6
#define v_set _mm512_set1_ps
#define v_load _mm512_loadu_ps
#define v_store _mm512_storeu_ps
#define v_add _mm512_add_ps
#define v_sub _mm512_sub_ps
#define v_mul _mm512_mul_ps
#define v_div _mm512_div_ps
#define v_max _mm512_max_ps
#define v_min _mm512_min_ps
#define v_fma _mm512_fmadd_ps
#define v_exp2 exp2_16
#define v_hsum hsum16
#define v_hmax hmax16
#define v_from_bits _mm512_castsi512_ps
#define v_from_int _mm512_cvtepi32_ps
#define i_set _mm512_set1_epi32
#define i_add _mm512_add_epi32
#define i_sub _mm512_sub_epi32
#define i_min _mm512_min_epi32
#define i_max _mm512_max_epi32

static inline float v_first(__m512 v)
{
    return _mm_cvtss_f32(_mm512_castps512_ps128(v));
}
static inline __m512i i_load(const int16_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}
static inline void i_store(void *p, __m512i v)
{
    _mm512_storeu_si512(p, v);
}
/* Two 16-bit integers to every pair of lanes. */
static inline __m512i i_pair(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}
static inline __m512i i_shift23(__m512i v)
{
    return _mm512_srli_epi32(v, 23);
}
static inline __m512i i_left23(__m512i v)
{
    return _mm512_slli_epi32(v, 23);
}
/* 16 halves as the upper halves of words. */
static inline __m512i i_upper(const uint16_t *p)
{
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)), 16);
}
static inline __m512i i_widen(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* The lower nibble of each 16-bit integer, less 8. */
static inline __m512i i_nibble(__m512i v)
{
    return _mm512_sub_epi16(_mm512_and_si512(v, _mm512_set1_epi16(15)), _mm512_set1_epi16(8));
}
static inline __m512i i_shift4(__m512i v)
{
    return _mm512_srli_epi16(v, 4);
}
static inline void v_to_i16(int16_t *p, __m512 v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(v)));
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

#endif
