/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX2 GEMM. Unsigned codes times signed activations by vpmaddubsw, summed in 16 bits as long as nothing can overflow. A
 * sub-block is done in two passes of four k groups: their 8 registers of codes stay while the tokens of the tile go by, and
 * what a token has so far waits in the first-level cache.
 */
#include "kernel/x86/tile_avx2.h"

/* Two products of a 5-bit code and an activation reach 7874, so four groups fill 16 bits and eight do not; 6 bits: two. */
#define MADD _mm256_maddubs_epi16

/*
 * 16-bit sums of n_groups k groups, both halves of the rows, added to s. A lone token takes its codes as they are unpacked; more of
 * them share the registers c.
 */
AIOS__INLINE void dot16(const fmt f, const uint8_t *w, __m256i c[4][2], const uint8_t *q, const int first, const int n_groups,
                        const bool lone, __m256i s[2])
{
AIOS__UNROLL(4)
    for (int g = first; g < first + n_groups; g++) {
        const __m256i x = dword(q + 4 * g);
        s[0] = _mm256_add_epi16(s[0], MADD(lone ? codes(f, w, g, 0) : c[g % 4][0], x));
        s[1] = _mm256_add_epi16(s[1], MADD(lone ? codes(f, w, g, 1) : c[g % 4][1], x));
    }
}

/* One scale for the 32 k of a sub-block: codes of 4 bits, whose 16-bit sums never overflow, and of 5. */
AIOS__INLINE void block_single(const fmt f, const uint8_t *head, const uint8_t *w, const uint8_t *a, const uint32_t n,
                               __m256i part[][2], __m256 acc[][2])
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i c[4][2], v[2];
    if (n > 1)
        four_codes(f, w, 0, c);
    for (uint32_t t = 0; t < n; t++) {
        v[0] = v[1] = _mm256_setzero_si256();
        dot16(f, w, c, a + 32 * t, 0, 4, n == 1, v);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++)
            part[t][h] = f.bits == 4 ? v[h] : _mm256_madd_epi16(v[h], ones);
    }
    const scales s[2] = {scales_of(f, head, w, 0), scales_of(f, head, w, 1)};
    if (n > 1)
        four_codes(f, w, 4, c);
    for (uint32_t t = 0; t < n; t++) {
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++)
            v[h] = f.bits == 4 ? part[t][h] : _mm256_setzero_si256();
        dot16(f, w, c, a + 32 * t, 4, 4, n == 1, v);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            __m256i d = _mm256_madd_epi16(v[h], ones);
            if (f.bits == 5)
                d = _mm256_add_epi32(d, part[t][h]);
            if (f.zp)
                d = _mm256_add_epi32(d, dword(a + seed_at(f, n, t)));
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(d), single(a + aios__act_at(n, t, AIOS__ACT_D)));
            acc[t][h] = _mm256_fmadd_ps(y, s[h].d, acc[t][h]);
            if (f.min)
                acc[t][h] = _mm256_fmadd_ps(s[h].m, single(a + aios__act_at(n, t, AIOS__ACT_DS)), acc[t][h]);
        }
    }
}

/* 32-bit sums of four groups times the 16-bit factors sc; 6-bit codes fill 16 bits after two. */
AIOS__INLINE void dot32(const fmt f, const uint8_t *w, __m256i c[4][2], const uint8_t *q, const int first, const bool lone,
                        const __m256i sc[2], __m256i out[2])
{
    __m256i v[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    const int step = f.bits == 6 ? 2 : 4;
    dot16(f, w, c, q, first, step, lone, v);
    out[0] = _mm256_madd_epi16(v[0], sc[0]);
    out[1] = _mm256_madd_epi16(v[1], sc[1]);
    if (step == 4)
        return;
    v[0] = v[1] = _mm256_setzero_si256();
    dot16(f, w, c, q, first + 2, 2, lone, v);
    out[0] = _mm256_add_epi32(out[0], _mm256_madd_epi16(v[0], sc[0]));
    out[1] = _mm256_add_epi32(out[1], _mm256_madd_epi16(v[1], sc[1]));
}

/* An integer scale for each 16 k: a pass is just one of them. */
AIOS__INLINE void block_pairs(const fmt f, const uint8_t *head, const uint8_t *w, const uint8_t *a, const uint32_t n,
                              __m256i part[][2], __m256 acc[][2])
{
    const __m256i pair[2] = {pair_scales(f, w, 0), pair_scales(f, w, 1)};
    const __m256i sc0[2] = {pair_half(pair[0], 0), pair_half(pair[1], 0)}, sc1[2] = {pair_half(pair[0], 1), pair_half(pair[1], 1)};
    __m256i c[4][2];
    if (n > 1)
        four_codes(f, w, 0, c);
    for (uint32_t t = 0; t < n; t++)
        dot32(f, w, c, a + 32 * t, 0, n == 1, sc0, part[t]);
    const scales s[2] = {scales_of(f, head, w, 0), scales_of(f, head, w, 1)};
    const __m256i neg = _mm256_set1_epi16((short)-f.zp);
    const __m256i zp[2] = {_mm256_mullo_epi16(pair[0], neg), _mm256_mullo_epi16(pair[1], neg)};
    const __m256i mn[2] = {pair_mins(f, w, 0), pair_mins(f, w, 1)};
    if (n > 1)
        four_codes(f, w, 4, c);
    for (uint32_t t = 0; t < n; t++) {
        const __m256i bs = dword(a + aios__act_at(n, t, AIOS__ACT_BS));
        const __m256 da = single(a + aios__act_at(n, t, AIOS__ACT_D));
        __m256i v[2];
        dot32(f, w, c, a + 32 * t, 4, n == 1, sc1, v);
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            v[h] = _mm256_add_epi32(v[h], part[t][h]);
            if (f.zp)
                v[h] = _mm256_add_epi32(v[h], _mm256_madd_epi16(zp[h], bs));
            acc[t][h] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(v[h]), da), s[h].d, acc[t][h]);
            if (f.min)
                acc[t][h] = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_madd_epi16(mn[h], bs)), da), s[h].m, acc[t][h]);
        }
    }
}

/* 8-bit codes use both signs: |code| times the activation with the code's sign; 2 * 128 * 127 just fits 16 bits. */
AIOS__INLINE __m256i four_signed(const __m256i c[4], const __m256i mag[4], const uint8_t *q, const int first)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i v[4];
AIOS__UNROLL(4)
    for (int g = 0; g < 4; g++)
        v[g] = _mm256_madd_epi16(MADD(mag[g], _mm256_sign_epi8(dword(q + 4 * (first + g)), c[g])), ones);
    return _mm256_add_epi32(_mm256_add_epi32(v[0], v[1]), _mm256_add_epi32(v[2], v[3]));
}
AIOS__INLINE void four_magnitudes(const fmt f, const uint8_t *w, const int first, const int h, __m256i c[4], __m256i mag[4])
{
AIOS__UNROLL(4)
    for (int g = 0; g < 4; g++) {
        c[g] = _mm256_xor_si256(codes(f, w, first + g, h), _mm256_set1_epi8((char)0x80)); /* stored with 128 added */
        mag[g] = _mm256_abs_epi8(c[g]);
    }
}
AIOS__INLINE void block_bytes(const fmt f, const uint8_t *w, const uint8_t *a, const uint32_t n, __m256i part[][2], __m256 acc[][2])
{
AIOS__UNROLL(2)
    for (int h = 0; h < 2; h++) {
        __m256i c[4], mag[4];
        four_magnitudes(f, w, 0, h, c, mag);
        for (uint32_t t = 0; t < n; t++)
            part[t][0] = four_signed(c, mag, a + 32 * t, 0);
        const scales s = scales_of(f, NULL, w, h);
        four_magnitudes(f, w, 4, h, c, mag);
        for (uint32_t t = 0; t < n; t++) {
            __m256i v = _mm256_add_epi32(four_signed(c, mag, a + 32 * t, 4), part[t][0]);
            __m256 y = _mm256_mul_ps(_mm256_cvtepi32_ps(v), single(a + aios__act_at(n, t, AIOS__ACT_D)));
            acc[t][h] = _mm256_fmadd_ps(y, s.d, acc[t][h]);
        }
    }
}

AIOS__INLINE void tile_n(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, const uint32_t n, float *out)
{
    __m256i part[AIOS__ACT_TILE][2];
    __m256 acc[AIOS__ACT_TILE][2];
    const uint8_t *head = w;
    for (uint32_t t = 0; t < n; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += (size_t)n * AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        if (f.bits == 8)
            block_bytes(f, w, a, n, part, acc);
        else if (f.pairs)
            block_pairs(f, head, w, a, n, part, acc);
        else
            block_single(f, head, w, a, n, part, acc);
    }
    for (uint32_t t = 0; t < n; t++) {
        _mm256_store_ps(out + 16 * t, acc[t][0]);
        _mm256_store_ps(out + 16 * t + 8, acc[t][1]);
    }
}

AIOS__GEMMS(tile_n)

void aios__gemm_init_avx2(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
