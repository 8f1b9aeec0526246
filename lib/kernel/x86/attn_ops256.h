/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of attn_tile.h on 256 bits, but for i_dot. */
#ifndef AIOS_LIB_KERNEL_ATTN_OPS256_H
#define AIOS_LIB_KERNEL_ATTN_OPS256_H

#include "kernel/kv_page.h"
#include "kernel/vec.h"
#include "kernel/x86/intrin.h"
#include "kernel/x86/exp_avx2.h"

typedef __m256 vec;
typedef __m256i ivec;
enum { WIDTH = 8, VECS = 2 };
#define STEPS 5
#define v_set _mm256_set1_ps
#define v_load _mm256_loadu_ps
#define v_store _mm256_storeu_ps
#define v_add _mm256_add_ps
#define v_sub _mm256_sub_ps
#define v_mul _mm256_mul_ps
#define v_div _mm256_div_ps
#define v_max _mm256_max_ps
#define v_min _mm256_min_ps
#define v_fma _mm256_fmadd_ps
#define v_exp2 exp2_8
#define v_hsum hsum8
#define v_hmax hmax8
#define v_first _mm256_cvtss_f32
#define v_from_bits _mm256_castsi256_ps
#define v_from_int _mm256_cvtepi32_ps
#define i_set _mm256_set1_epi32
#define i_add _mm256_add_epi32
#define i_sub _mm256_sub_epi32
#define i_min _mm256_min_epi32
#define i_max _mm256_max_epi32

static inline __m256i i_load(const int16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}
static inline void i_store(void *p, __m256i v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}
/* Two 16-bit integers to every pair of lanes. */
static inline __m256i i_pair(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return _mm256_set1_epi32(pair);
}
static inline __m256i i_shift23(__m256i v)
{
    return _mm256_srli_epi32(v, 23);
}
static inline __m256i i_left23(__m256i v)
{
    return _mm256_slli_epi32(v, 23);
}
/* 8 halves as the upper halves of words. */
static inline __m256i i_upper(const uint16_t *p)
{
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)), 16);
}
static inline __m256i i_widen(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* The lower nibble of each 16-bit integer, less 8. */
static inline __m256i i_nibble(__m256i v)
{
    return _mm256_sub_epi16(_mm256_and_si256(v, _mm256_set1_epi16(15)), _mm256_set1_epi16(8));
}
static inline __m256i i_shift4(__m256i v)
{
    return _mm256_srli_epi16(v, 4);
}
static inline void v_to_i16(int16_t *p, __m256 v)
{
    __m256i i = _mm256_cvtps_epi32(v);
    _mm_storeu_si128((__m128i *)(void *)p, _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
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

#endif
