/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for immintrin.h: SIMDe's intrinsics under their usual names, the few that it lacks, and fused
 * multiply-add, which SIMDe rounds twice. check_emulated.c gives the kernels compiled with it to checkasm.
 */
#ifndef AIOS_TEST_EMULATE_H
#define AIOS_TEST_EMULATE_H

#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wpsabi"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wextra"
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#pragma GCC diagnostic pop

#include <math.h>

/* In the tests the kernels' inits have names of their own, beside those of the library. */
#define aios__gemm_init_avxvnni emulated_gemm_init_avxvnni
#define aios__gemm_init_avx512 emulated_gemm_init_avx512
#define aios__gemm_init_avx512vnni emulated_gemm_init_avx512vnni
#define aios__quantize_init_avx512 emulated_quantize_init_avx512
#define aios__vec_init_avx512 emulated_vec_init_avx512
#define aios__attn_init_avxvnni emulated_attn_init_avxvnni
#define aios__attn_init_avx512 emulated_attn_init_avx512
#define aios__attn_init_avx512vnni emulated_attn_init_avx512vnni
#define aios__split_init_avx512vnni emulated_split_init_avx512vnni

#define EMULATE static inline __attribute__((unused))
typedef float __attribute__((may_alias)) emulate_float;
typedef int32_t __attribute__((may_alias)) emulate_int32;
typedef uint16_t __attribute__((may_alias)) emulate_uint16;
typedef uint8_t __attribute__((may_alias)) emulate_uint8;
typedef int8_t __attribute__((may_alias)) emulate_int8;
#define LANES(T, v) ((emulate_##T *)(void *)&(v))

EMULATE __m512 emulate_fmadd512(__m512 a, __m512 b, __m512 c)
{
    for (int i = 0; i < 16; i++)
        LANES(float, c)[i] = fmaf(LANES(float, a)[i], LANES(float, b)[i], LANES(float, c)[i]);
    return c;
}
EMULATE __m256i emulate_dpbusd256(__m256i v, __m256i a, __m256i b)
{
    for (int i = 0; i < 32; i++)
        LANES(int32, v)[i / 4] += LANES(uint8, a)[i] * LANES(int8, b)[i];
    return v;
}
EMULATE __m512 emulate_halves(__m256i h)
{
    __m512 v = _mm512_setzero_ps();
    for (int i = 0; i < 16; i++)
        LANES(float, v)[i] = simde_float16_to_float32(simde_uint16_as_float16(LANES(uint16, h)[i]));
    return v;
}
EMULATE __m512i emulate_bytes_to_dwords(__m128i b)
{
    __m512i v = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++)
        LANES(int32, v)[i] = LANES(uint8, b)[i];
    return v;
}
EMULATE __m512i emulate_words_to_dwords(__m256i b)
{
    __m512i v = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++)
        LANES(int32, v)[i] = LANES(uint16, b)[i];
    return v;
}
EMULATE __m512i emulate_srai(__m512i v, int n)
{
    for (int i = 0; i < 16; i++)
        LANES(int32, v)[i] >>= n;
    return v;
}
EMULATE __m512 emulate_to_floats(__m512i v)
{
    __m512 f = _mm512_setzero_ps();
    for (int i = 0; i < 16; i++)
        LANES(float, f)[i] = (float)LANES(int32, v)[i];
    return f;
}
EMULATE __m512i emulate_to_ints(__m512 f)
{
    __m512i v = _mm512_setzero_si512();
    for (int i = 0; i < 16; i++) { /* what does not fit becomes the least integer, as NaN does */
        float x = rintf(LANES(float, f)[i]);
        LANES(int32, v)[i] = fabsf(x) < 0x1p31f ? (int32_t)x : INT32_MIN;
    }
    return v;
}
EMULATE __m256i emulate_dwords_to_words(__m512i v)
{
    __m256i w = _mm256_setzero_si256();
    for (int i = 0; i < 16; i++)
        LANES(uint16, w)[i] = (uint16_t)LANES(int32, v)[i];
    return w;
}
EMULATE __m128i emulate_dwords_to_bytes(__m512i v)
{
    __m128i b = _mm_setzero_si128();
    for (int i = 0; i < 16; i++)
        LANES(uint8, b)[i] = (uint8_t)LANES(int32, v)[i];
    return b;
}

#undef _mm512_madd_epi16 /* the alias of SIMDe 0.7.4 has the wrong number of arguments */
#define _mm512_madd_epi16 simde_mm512_madd_epi16
#undef _mm512_maddubs_epi16
#define _mm512_maddubs_epi16 simde_mm512_maddubs_epi16
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps emulate_fmadd512
#define _mm512_cvtph_ps emulate_halves
#define _mm512_cvtepu8_epi32 emulate_bytes_to_dwords
#define _mm512_cvtepu16_epi32 emulate_words_to_dwords
#define _mm512_srai_epi32 emulate_srai
#define _mm512_cvtepi32_ps emulate_to_floats
#define _mm512_cvtps_epi32 emulate_to_ints
#define _mm512_cvtepi32_epi16 emulate_dwords_to_words
#define _mm512_cvtepi32_epi8 emulate_dwords_to_bytes
#define AIOS__DPBUSD256 emulate_dpbusd256
#define AIOS__DPWSSD256(v, a, b) _mm256_add_epi32(v, _mm256_madd_epi16(a, b))
#undef _mm_prefetch
#define _mm_prefetch(p, hint) ((void)(p))

#endif
