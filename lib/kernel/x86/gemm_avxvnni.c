/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-VNNI GEMM: as the AVX2 one, but vpdpbusd sums straight into 32 bits, so no width of code can overflow and the zero point is
 * the value that the sum starts from.
 */
#include "kernel/x86/tile_avx2.h"

/* n_groups k groups of both halves of the rows, added to v. */
AIOS__INLINE void dot(const fmt f, const uint8_t *w, __m256i c[4][2], const uint8_t *q, const int first, const bool lone, __m256i v[2])
{
AIOS__UNROLL(4)
    for (int g = first; g < first + 4; g++) {
        const __m256i x = dword(q + 4 * g);
        v[0] = AIOS__DPBUSD256(v[0], lone ? codes(f, w, g, 0) : c[g % 4][0], x);
        v[1] = AIOS__DPBUSD256(v[1], lone ? codes(f, w, g, 1) : c[g % 4][1], x);
    }
}

AIOS__INLINE void block_single(const fmt f, const uint8_t *head, const uint8_t *w, const uint8_t *a, const uint32_t n,
                               __m256i part[][2], __m256 acc[][2])
{
    __m256i c[4][2], v[2];
    if (n > 1)
        four_codes(f, w, 0, c);
    for (uint32_t t = 0; t < n; t++) {
        v[0] = v[1] = f.zp ? dword(a + seed_at(f, n, t)) : _mm256_setzero_si256();
        dot(f, w, c, a + 32 * t, 0, n == 1, v);
        part[t][0] = v[0];
        part[t][1] = v[1];
    }
    const scales s[2] = {scales_of(f, head, w, 0), scales_of(f, head, w, 1)};
    if (n > 1)
        four_codes(f, w, 4, c);
    for (uint32_t t = 0; t < n; t++) {
        v[0] = part[t][0];
        v[1] = part[t][1];
        dot(f, w, c, a + 32 * t, 4, n == 1, v);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(v[h]), single(a + aios__act_at(n, t, AIOS__ACT_D)));
            acc[t][h] = _mm256_fmadd_ps(y, s[h].d, acc[t][h]);
            if (f.min)
                acc[t][h] = _mm256_fmadd_ps(s[h].m, single(a + aios__act_at(n, t, AIOS__ACT_DS)), acc[t][h]);
        }
    }
}

/* -zp * sum of one half of the activations, from the 16-bit sums of both. */
AIOS__INLINE __m256i half_seed(const fmt f, __m256i bs, const int half)
{
    if (!f.zp)
        return _mm256_setzero_si256();
    return _mm256_madd_epi16(bs, _mm256_set1_epi32(half ? -f.zp * 65536 : -f.zp & 0xffff));
}
AIOS__INLINE __m256 pair_float(__m256i pair, const int half)
{
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(half ? pair : _mm256_slli_epi32(pair, 16), 16));
}

/* The integer scales multiply as floats: sums below 2^24 are exact either way. */
AIOS__INLINE void block_pairs(const fmt f, const uint8_t *head, const uint8_t *w, const uint8_t *a, const uint32_t n,
                              __m256 part[][2], __m256 acc[][2])
{
    const __m256i pair[2] = {pair_scales(f, w, 0), pair_scales(f, w, 1)};
    const __m256 sc0[2] = {pair_float(pair[0], 0), pair_float(pair[1], 0)}, sc1[2] = {pair_float(pair[0], 1), pair_float(pair[1], 1)};
    __m256i c[4][2], v[2];
    if (n > 1)
        four_codes(f, w, 0, c);
    for (uint32_t t = 0; t < n; t++) {
        v[0] = v[1] = half_seed(f, dword(a + aios__act_at(n, t, AIOS__ACT_BS)), 0);
        dot(f, w, c, a + 32 * t, 0, n == 1, v);
        part[t][0] = _mm256_mul_ps(_mm256_cvtepi32_ps(v[0]), sc0[0]);
        part[t][1] = _mm256_mul_ps(_mm256_cvtepi32_ps(v[1]), sc0[1]);
    }
    const scales s[2] = {scales_of(f, head, w, 0), scales_of(f, head, w, 1)};
    const __m256i mn[2] = {pair_mins(f, w, 0), pair_mins(f, w, 1)};
    if (n > 1)
        four_codes(f, w, 4, c);
    for (uint32_t t = 0; t < n; t++) {
        const __m256i bs = dword(a + aios__act_at(n, t, AIOS__ACT_BS));
        const __m256 da = single(a + aios__act_at(n, t, AIOS__ACT_D));
        v[0] = v[1] = half_seed(f, bs, 1);
        dot(f, w, c, a + 32 * t, 4, n == 1, v);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            __m256 y = _mm256_fmadd_ps(_mm256_cvtepi32_ps(v[h]), sc1[h], part[t][h]);
            acc[t][h] = _mm256_fmadd_ps(_mm256_mul_ps(y, da), s[h].d, acc[t][h]);
            if (f.min)
                acc[t][h] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_madd_epi16(mn[h], bs)), da), s[h].m, acc[t][h]);
        }
    }
}

AIOS__INLINE void tile_n(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, const uint32_t n, float *out)
{
    __m256i part[AIOS__ACT_TILE][2];
    __m256 partf[AIOS__ACT_TILE][2], acc[AIOS__ACT_TILE][2];
    const uint8_t *head = w;
    for (uint32_t t = 0; t < n; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += (size_t)n * AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        if (f.pairs)
            block_pairs(f, head, w, a, n, partf, acc);
        else
            block_single(f, head, w, a, n, part, acc);
    }
    for (uint32_t t = 0; t < n; t++) {
        _mm256_store_ps(out + 16 * t, acc[t][0]);
        _mm256_store_ps(out + 16 * t + 8, acc[t][1]);
    }
}

AIOS__GEMMS(tile_n)

void aios__gemm_init_avxvnni(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
