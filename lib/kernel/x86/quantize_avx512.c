/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512: the quantizer, four blocks at once, whose scales and sums share registers. ref/quantize.c says what each step is for. */
#include <float.h>

#include "kernel/x86/tile_avx2.h"

enum { N = 4, N_FIELDS = 6 };

/* Where the floats, the codes and the fields of a block are; those of the next one: so many floats or bytes on. */
typedef struct four {
    const float *x;
    uint8_t *q, *fields;
    size_t x_step, q_step, fields_step;
    size_t next_field; /* from one field of a block to the next */
} four;

AIOS__INLINE __m512i magnitudes(const float *x)
{
    const __m512i bits = _mm512_set1_epi32(0x7fffffff);
    __m512i a = _mm512_and_si512(_mm512_loadu_si512(x), bits), b = _mm512_and_si512(_mm512_loadu_si512(x + 16), bits);
    return _mm512_max_epu32(a, b);
}

/* Element i: the largest magnitude of block i. */
AIOS__INLINE __m128 maxima(const four *b)
{
    __m512i v[N], w[2];
AIOS__UNROLL(4)
    for (size_t i = 0; i < N; i++)
        v[i] = magnitudes(b->x + i * b->x_step);
AIOS__UNROLL(2)
    for (int i = 0; i < 2; i++)
        w[i] = _mm512_max_epu32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]), _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    const __m512i all = _mm512_max_epu32(_mm512_unpacklo_epi64(w[0], w[1]), _mm512_unpackhi_epi64(w[0], w[1]));
    const __m256i half = _mm256_max_epu32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_castsi128_ps(_mm_max_epu32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}

/* No product is beyond +-127 by more than rounding takes away; NaN becomes the least integer. */
AIOS__INLINE __m512i codes16(const float *x, __m512 id)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), id));
}

/* Stores the codes of blocks i and i + 1; in each quarter of the result are parts of the sums of their four halves. */
AIOS__INLINE __m512i codes_of_two(const four *b, const size_t i, __m512 id0, __m512 id1)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const float *x = b->x + i * b->x_step, *y = x + b->x_step;
    uint8_t *q = b->q + i * b->q_step;
    const __m512i first = _mm512_packs_epi32(codes16(x, id0), codes16(x + 16, id0));
    const __m512i second = _mm512_packs_epi32(codes16(y, id1), codes16(y + 16, id1));
    const __m512i bytes = _mm512_max_epi8(_mm512_packs_epi16(first, second), _mm512_set1_epi8(-127));
    const __m512i both = _mm512_permutexvar_epi32(order, bytes);
    _mm256_storeu_si256((__m256i *)(void *)q, _mm512_castsi512_si256(both));
    _mm256_storeu_si256((__m256i *)(void *)(q + b->q_step), _mm512_extracti64x4_epi64(both, 1));
    return _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), bytes), _mm512_set1_epi16(1));
}

/* Stores the codes; element i: the sums of the halves of block i, 16 bits each. */
AIOS__INLINE __m128i codes_of_four(const four *b, __m128 id)
{
    const __m512i v = codes_of_two(b, 0, _mm512_broadcastss_ps(id), _mm512_broadcastss_ps(_mm_movehdup_ps(id)));
    const __m512i w = codes_of_two(b, 2, _mm512_broadcastss_ps(_mm_movehl_ps(id, id)), _mm512_broadcastss_ps(_mm_permute_ps(id, 0xff)));
    const __m256i s = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    const __m256i t = _mm256_add_epi32(_mm512_castsi512_si256(w), _mm512_extracti64x4_epi64(w, 1));
    const __m128i low = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    const __m128i high = _mm_add_epi32(_mm256_castsi256_si128(t), _mm256_extracti128_si256(t, 1));
    return _mm_packs_epi32(low, high);
}

/* The first n of four blocks that stand apart. */
AIOS__INLINE void put_fields(const four *b, const __m128i f[N_FIELDS], uint32_t n)
{
    uint32_t out[N][8];
    const __m128i a0 = _mm_unpacklo_epi32(f[0], f[1]), a1 = _mm_unpackhi_epi32(f[0], f[1]);
    const __m128i b0 = _mm_unpacklo_epi32(f[2], f[3]), b1 = _mm_unpackhi_epi32(f[2], f[3]);
    const __m128i c[2] = {_mm_unpacklo_epi32(f[4], f[5]), _mm_unpackhi_epi32(f[4], f[5])};
    const __m128i r[N] = {_mm_unpacklo_epi64(a0, b0), _mm_unpackhi_epi64(a0, b0), _mm_unpacklo_epi64(a1, b1), _mm_unpackhi_epi64(a1, b1)};
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *p = b->fields + i * b->fields_step;
        _mm_storeu_si128((__m128i *)(void *)out[i], r[i]);
        _mm_storeu_si128((__m128i *)(void *)(out[i] + 4), i % 2 ? _mm_unpackhi_epi64(c[i / 2], c[i / 2]) : c[i / 2]);
        if (b->next_field == 4) {
            memcpy(p, out[i], 4 * N_FIELDS);
            continue;
        }
        for (size_t k = 0; k < N_FIELDS; k++)
            memcpy(p + b->next_field * k, &out[i][k], 4);
    }
}

/* Of n < 4 the rest is done and not stored: its codes go where the caller has room. */
AIOS__INLINE void quantize_four(const four *b, uint32_t n)
{
    const __m128 raw = _mm_div_ps(maxima(b), _mm_set1_ps(127.0f));
    const __m128 small = _mm_cmplt_ps(raw, _mm_set1_ps(FLT_MIN)), d = _mm_andnot_ps(small, raw);
    const __m128 finite = _mm_andnot_ps(small, _mm_cmple_ps(raw, _mm_set1_ps(FLT_MAX)));
    const __m128i pairs = codes_of_four(b, _mm_and_ps(finite, _mm_div_ps(_mm_set1_ps(1.0f), d)));
    const __m128i s = _mm_madd_epi16(pairs, _mm_set1_epi16(1)), minus = _mm_sub_epi32(_mm_setzero_si128(), s);
    const __m128i f[N_FIELDS] = {
        [AIOS__ACT_D] = _mm_castps_si128(d),
        [AIOS__ACT_DS] = _mm_castps_si128(_mm_mul_ps(d, _mm_cvtepi32_ps(s))),
        [AIOS__ACT_BS] = pairs,
        [AIOS__ACT_S8] = _mm_slli_epi32(minus, 3),
        [AIOS__ACT_S16] = _mm_slli_epi32(minus, 4),
        [AIOS__ACT_S128] = _mm_slli_epi32(minus, 7),
    };
    if (b->fields_step != 4) {
        put_fields(b, f, n);
        return;
    }
AIOS__UNROLL(6)
    for (size_t k = 0; k < N_FIELDS; k++)
        _mm_storeu_si128((__m128i *)(void *)(b->fields + b->next_field * k), f[k]);
}

/* A copy of n < 4 blocks of a token, and what became of it. */
static void quantize_rest(const four *b, uint32_t n)
{
    float x[N * 32] __attribute__((aligned(64))) = {0};
    uint8_t q[N * 32] __attribute__((aligned(64)));
    four own = *b;
    memcpy(x, b->x, n * 32 * sizeof *x);
    own.x = x;
    own.q = q;
    own.q_step = 32;
    quantize_four(&own, n);
    for (uint32_t i = 0; i < n; i++)
        memcpy(b->q + i * b->q_step, q + i * 32, 32);
}

/* Blocks [b0, b1) of tokens [t, t + n) of the tile that begins at `first`: n is 1, or 4, whose fields stand together. */
AIOS__INLINE void quantize_tokens(const aios__act *a, uint32_t first, uint32_t t, const uint32_t n, uint32_t b0, uint32_t b1)
{
    const size_t w = aios__act_width(a, first), block = w * AIOS__ACT_TOKEN, step = n == 1 ? block : 0;
    four b = {.x = a->x + t * a->ld + 32 * (size_t)b0, .x_step = n == 1 ? 32 : a->ld, .q_step = n == 1 ? step : 32,
              .fields_step = n == 1 ? step : 4, .next_field = 4 * w};
    b.q = aios__act_tile(a, first) + b0 * block;
    b.fields = b.q + aios__act_at((uint32_t)w, t - first, 0);
    b.q += 32 * (size_t)(t - first);
    const uint32_t most = n == 1 ? N : 1; /* blocks at once */
    for (; b1 - b0 >= most; b0 += most, b.x += 32 * (size_t)most, b.q += block * most, b.fields += block * most)
        quantize_four(&b, N);
    if (b0 < b1)
        quantize_rest(&b, b1 - b0);
}

static void quantize(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    for (uint32_t t = t0, n; t < t1; t += n) {
        uint32_t first = t - t % AIOS__ACT_TILE;
        n = t1 - t >= N && t - first <= AIOS__ACT_TILE - N ? N : 1;
        if (n == N)
            quantize_tokens(a, first, t, N, b0, b1);
        else
            quantize_tokens(a, first, t, 1, b0, b1);
    }
}

void aios__quantize_init_avx512(aios__kernels *k)
{
    k->quantize = quantize;
}
