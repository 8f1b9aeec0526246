/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 256-bit GEMM kernels. A sub-block is unpacked to memory, so that registers are for sums, and the tokens of the tile go by, four of
 * them at a time; their float sums stay in the first-level cache. Fewer than four tokens take codes as they are unpacked. How integers
 * are multiplied is the including file's: it defines SIGNED, 1 if 8-bit codes are multiplied as signed ones, and
 *   halves_of(f): 2 if registers hold the sums of four tokens for all rows, 1 if for half of them, and
 *   dot(f, s, k, n, h, end, y): products of n tokens with the 32 k of a sub-block, without d of rows and tokens, to y[n][half of the rows],
 *   for halves [h, end).
 */
#ifndef AIOS_LIB_KERNEL_BLOCK_AVX2_H
#define AIOS_LIB_KERNEL_BLOCK_AVX2_H

#include "kernel/split.h"
#include "kernel/x86/tile_avx2.h"

/** A sub-block for many tokens; halves are those of the rows. */
typedef struct block {
    uint8_t codes[16][2][32];       /* [k group][half]; signed ones have their magnitudes in [8 + group] */
    scales s[2];
    __m256i sc[2][2], zp[2], mn[2]; /* pairs: [half of 16 k][half] scales; -zp x scales and minima [half] of both */
} block;

/** Where codes and factors come from: a block, or, `packed`, the panel itself. */
typedef struct source {
    bool packed, split; /* constants */
    const uint8_t *w, *head;
    const uint8_t *low; /* split: w has the upper halves of codes only */
    const block *b;
} source;

AIOS__INLINE int halves_of(const fmt f);
AIOS__INLINE void dot(const fmt f, const source s, const tokens k, const int n, const int h, const int end, __m256 y[4][2]);

/* The sum so far, in a register: compilers add up products in an order of their own, for which they spill most of them. */
AIOS__INLINE __m256i held(__m256i v)
{
#ifndef AIOS_SIMDE
    __asm__("" : "+x"(v));
#endif
    return v;
}
AIOS__INLINE void store256(void *p, __m256i v)
{
    _mm256_storeu_si256(p, v);
}

/* Whole codes from two planes. */
AIOS__INLINE __m256i joined(const uint8_t *high, const uint8_t *low, const int g, const int h)
{
    const __m256i upper = _mm256_set1_epi8((char)0xf0), u = load256(high + 64 * (g % 4) + 32 * h), l = load256(low + 64 * (g % 4) + 32 * h);
    return _mm256_or_si256(_mm256_and_si256(upper, g < 4 ? _mm256_slli_epi16(u, 4) : u),
                           _mm256_andnot_si256(upper, g < 4 ? l : _mm256_srli_epi16(l, 4)));
}

/** Codes of k group g, or magnitudes: both of signed codes are wanted. */
AIOS__INLINE __m256i code(const fmt f, const source s, const int g, const int h)
{
    if (!s.packed)
        return load256(s.b->codes[g][h]);
    const __m256i c = s.split ? joined(s.w, s.low, g, h) : codes(f, s.w, g, h);
    return SIGNED && f.bits == 8 ? _mm256_xor_si256(c, _mm256_set1_epi8((char)0x80)) : c;
}
AIOS__INLINE __m256i magnitude(const source s, const int g, const int h, __m256i c)
{
    return s.packed ? _mm256_abs_epi8(c) : load256(s.b->codes[8 + g][h]);
}

AIOS__INLINE __m256i scale16(const fmt f, const source s, const int half, const int h)
{
    return s.packed ? pair_half(pair_scales(f, s.w, h), half) : s.b->sc[half][h];
}
AIOS__INLINE __m256i zero16(const fmt f, const source s, const int h)
{
    return s.packed ? _mm256_mullo_epi16(pair_scales(f, s.w, h), _mm256_set1_epi16((short)-f.zp)) : s.b->zp[h];
}
AIOS__INLINE __m256i minima16(const fmt f, const source s, const int h)
{
    return s.packed ? pair_mins(f, s.w, h) : s.b->mn[h];
}
AIOS__INLINE scales scales_at(const fmt f, const source s, const int h)
{
    return s.packed ? scales_of(f, s.head, s.w, h) : s.b->s[h];
}

AIOS__INLINE void unpack(const fmt f, const source s, block *b)
{
AIOS__UNROLL(2)
    for (int h = 0; h < 2; h++) {
AIOS__UNROLL(8)
        for (int g = 0; g < 8; g++) {
            const __m256i c = code(f, s, g, h);
            store256(b->codes[g][h], c);
            if (SIGNED && f.bits == 8)
                store256(b->codes[8 + g][h], magnitude(s, g, h, c));
        }
        b->s[h] = scales_at(f, s, h);
        if (f.pairs) {
            b->sc[0][h] = scale16(f, s, 0, h);
            b->sc[1][h] = scale16(f, s, 1, h);
        }
        if (f.pairs && f.zp)
            b->zp[h] = zero16(f, s, h);
        if (f.pairs && f.min)
            b->mn[h] = minima16(f, s, h);
    }
}

/* n tokens, half h of the rows: acc += y x scales. */
AIOS__INLINE void add_scaled(const fmt f, const source s, const tokens k, const int n, const int h, __m256 y[4][2], __m256 acc[][2])
{
    const scales r = scales_at(f, s, h);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        const __m256 da = single(k.d + 4 * u);
        __m256 sum = _mm256_fmadd_ps(_mm256_mul_ps(y[u][h], da), r.d, acc[u][h]);
        if (f.min && f.pairs) {
            const __m256i least = _mm256_madd_epi16(minima16(f, s, h), dword(k.bs + 4 * u));
            sum = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(least), da), r.m, sum);
        } else if (f.min) {
            sum = _mm256_fmadd_ps(r.m, single(k.ds + 4 * u), sum);
        }
        acc[u][h] = sum;
    }
}

AIOS__INLINE void step(const fmt f, const source s, const uint8_t *a, uint32_t width, uint32_t t, const int n, __m256 acc[][2])
{
    const tokens k = tokens_of(f, a, width, t);
    const int together = s.packed ? 2 : halves_of(f);
    __m256 y[4][2];
AIOS__UNROLL(2)
    for (int h = 0; h < 2; h += together) {
        dot(f, s, k, n, h, h + together, y);
AIOS__UNROLL(2)
        for (int i = h; i < h + together; i++)
            add_scaled(f, s, k, n, i, y, acc);
    }
}

/* All tokens of the tile before a block. */
AIOS__INLINE void steps(const fmt f, const block *b, const uint8_t *a, uint32_t width, __m256 acc[][2])
{
    const source s = {.b = b};
    uint32_t t = 0;
    for (; width - t >= 4; t += 4)
        step(f, s, a, width, t, 4, acc + t);
    if (width - t >= 2) {
        step(f, s, a, width, t, 2, acc + t);
        t += 2;
    }
    if (t < width)
        step(f, s, a, width, t, 1, acc + t);
}

/*
 * The panel, of whole codes or, with `split`, of their upper halves, the lower ones at low, against a tile. n: its width if that is
 * less than four, else 0.
 */
AIOS__INLINE void tile_n(const fmt f, const bool split, const uint8_t *w, const uint8_t *low, size_t pf, const uint8_t *a,
                         uint32_t n_blocks, uint32_t width, const int n, float *out)
{
    block b;
    __m256 lone[1][2], (*acc)[2] = n == 1 ? lone : (__m256(*)[2])(uintptr_t)base((const uint8_t *)out);
    source s = {.packed = true, .split = split, .w = w, .head = w, .low = low};
    for (uint32_t t = 0; t < width; t++)
        acc[t][0] = acc[t][1] = _mm256_setzero_ps();
    for (uint32_t i = 0; i < n_blocks; i++, a += (size_t)width * AIOS__ACT_TOKEN) {
        if (f.head && i % 8 == 0) {
            s.head = s.w;
            s.w += f.head;
        }
        prefetch(f, s.w + pf);
        if (split)
            prefetch(FMT_Q4_0, s.low + pf);
        if (n) {
            step(f, s, a, (uint32_t)n, 0, n, acc);
        } else {
            unpack(f, s, &b);
            steps(f, (const block *)(const void *)base((const uint8_t *)&b), a, width, acc);
        }
        s.w += f.sub;
        s.low += split ? AIOS__LOW_SUB : 0;
    }
    if (n == 1) {
        _mm256_store_ps(out, acc[0][0]);
        _mm256_store_ps(out + 8, acc[0][1]);
    }
}

AIOS__INLINE void tile_256(const fmt f, const bool split, const uint8_t *w, const uint8_t *low, size_t pf, const uint8_t *a,
                           uint32_t n_blocks, uint32_t width, float *out)
{
    if (width == 1)
        tile_n(f, split, w, low, pf, a, n_blocks, 1, 1, out);
    else if (width == 2)
        tile_n(f, split, w, low, pf, a, n_blocks, 2, 2, out);
    else if (width == 3)
        tile_n(f, split, w, low, pf, a, n_blocks, 3, 3, out);
    else
        tile_n(f, split, w, low, pf, a, n_blocks, width, 0, out);
}

AIOS__INLINE void tile(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    tile_256(f, false, w, NULL, pf, a, n_blocks, width, out);
}

#endif
