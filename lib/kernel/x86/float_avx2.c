/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2: GEMM over float panels, and the quantizer. */
#include <float.h>

#include "kernel/x86/tile_avx2.h"

/* 8 rows of one k. */
AIOS__INLINE __m256 floats8(const int32_t dtype, const uint8_t *p)
{
    if (dtype == AIOS_DTYPE_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    if (dtype == AIOS_DTYPE_F16)
        return halves8(p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

/* A panel against c tokens: the accumulators of all of them are in registers, one chain an output. */
AIOS__INLINE void tile_floats(const int32_t dtype, const uint8_t *w, const float *x, size_t ld, uint32_t k, const int c, float *out)
{
    const int bytes = dtype == AIOS_DTYPE_F32 ? 4 : 2;
    __m256 acc[4][2];
AIOS__UNROLL(4)
    for (int t = 0; t < c; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (uint32_t i = 0; i < k; i++, w += 16 * bytes) {
        __m256 w0 = floats8(dtype, w), w1 = floats8(dtype, w + 8 * bytes);
        if (bytes == 4 || i % 2 == 0)
            _mm_prefetch((const char *)w + PREFETCH_BYTES, _MM_HINT_T0);
AIOS__UNROLL(4)
        for (int t = 0; t < c; t++) {
            __m256 v = _mm256_set1_ps(x[(size_t)t * ld + i]);
            acc[t][0] = _mm256_fmadd_ps(w0, v, acc[t][0]);
            acc[t][1] = _mm256_fmadd_ps(w1, v, acc[t][1]);
        }
    }
AIOS__UNROLL(4)
    for (int t = 0; t < c; t++) {
        _mm256_store_ps(out + 16 * t, acc[t][0]);
        _mm256_store_ps(out + 16 * t + 8, acc[t][1]);
    }
}

enum { MOST = 4, SOME = 2 };
#include "kernel/gemm_floats.h"

AIOS__INLINE __m256i abs_bits(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}
AIOS__INLINE float max_of(__m256i v)
{
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
}
AIOS__INLINE int32_t sum_of(__m128i v)
{
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1));
    return _mm_cvtsi128_si32(v);
}
/* ref/quantize.c says what each step is for. */
static void quantize_32(const float *x, uint8_t *blk, uint32_t w, uint32_t t)
{
    __m256 v[4];
    __m256i q[4], top = _mm256_setzero_si256();
AIOS__UNROLL(4)
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        top = _mm256_max_epu32(top, abs_bits(v[i]));
    }
    float d = max_of(top) / 127.0f, id = 0.0f;
    if (d < FLT_MIN)
        d = 0.0f;
    else if (d <= FLT_MAX)
        id = 1.0f / d;
    const __m256 scale = _mm256_set1_ps(id), lo = _mm256_set1_ps(-127.0f), hi = _mm256_set1_ps(127.0f);
AIOS__UNROLL(4)
    for (int i = 0; i < 4; i++)
        q[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(_mm256_mul_ps(v[i], scale), lo), hi));
    __m256i first = _mm256_add_epi32(q[0], q[1]), last = _mm256_add_epi32(q[2], q[3]);
    int32_t s0 = sum_of(_mm_add_epi32(_mm256_castsi256_si128(first), _mm256_extracti128_si256(first, 1)));
    int32_t s1 = sum_of(_mm_add_epi32(_mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1)));
    __m256i b = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    b = _mm256_permutevar8x32_epi32(b, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)(void *)(blk + 32 * (size_t)t), b);
    aios__act_set(blk, w, t, d, s0, s1);
}

static void quantize(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    aios__quantize_singly(quantize_32, a, t0, t1, b0, b1);
}

void aios__float_init_avx2(aios__kernels *k)
{
    set_floats(k);
    k->quantize = quantize;
}
