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

AIOS__INLINE void gemm_floats(const int32_t dtype, const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out,
                              size_t ld_out)
{
    float sums[4 * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    for (uint32_t p = p0; p < p1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        uint32_t row = p * AIOS__PANEL_ROWS, c;
        for (uint32_t t = 0; t < a->n_tokens; t += c) {
            uint32_t left = a->n_tokens - t;
            const float *x = a->x + t * a->ld;
            c = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            if (c == 4)
                tile_floats(dtype, panel, x, a->ld, a->k, 4, sums);
            else if (c == 2)
                tile_floats(dtype, panel, x, a->ld, a->k, 2, sums);
            else
                tile_floats(dtype, panel, x, a->ld, a->k, 1, sums);
            store_rows(sums, c, w->rows - row, out + t * ld_out + row, ld_out);
        }
    }
}

#define GEMM(name, DTYPE)                                                                                                    \
    static void gemm_##name(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)  \
    {                                                                                                                        \
        gemm_floats(DTYPE, w, p0, p1, a, out, ld_out);                                                                       \
    }
GEMM(f32, AIOS_DTYPE_F32)
GEMM(f16, AIOS_DTYPE_F16)
GEMM(bf16, AIOS_DTYPE_BF16)

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
AIOS__INLINE void put(uint8_t *p, const void *v)
{
    memcpy(p, v, 4);
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
    int32_t s = s0 + s1, s8 = -8 * s, s16 = -16 * s, s128 = -128 * s;
    int16_t pair[2] = {(int16_t)s0, (int16_t)s1};
    float ds = d * (float)s;
    put(blk + aios__act_at(w, t, AIOS__ACT_D), &d);
    put(blk + aios__act_at(w, t, AIOS__ACT_DS), &ds);
    put(blk + aios__act_at(w, t, AIOS__ACT_BS), pair);
    put(blk + aios__act_at(w, t, AIOS__ACT_S8), &s8);
    put(blk + aios__act_at(w, t, AIOS__ACT_S16), &s16);
    put(blk + aios__act_at(w, t, AIOS__ACT_S128), &s128);
}

static void quantize(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    for (uint32_t t = t0; t < t1; t++) {
        uint32_t first = t - t % AIOS__ACT_TILE, w = aios__act_width(a, first);
        uint8_t *blk = aios__act_tile(a, first) + (size_t)b0 * w * AIOS__ACT_TOKEN;
        for (uint32_t b = b0; b < b1; b++, blk += (size_t)w * AIOS__ACT_TOKEN)
            quantize_32(a->x + t * a->ld + 32 * (size_t)b, blk, w, t - first);
    }
}

void aios__float_init_avx2(aios__kernels *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->quantize = quantize;
}
