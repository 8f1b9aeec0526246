/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of the 256-bit GEMM kernels (AVX2, AVX-VNNI): unpacking of codes and scales. The names
 * bits, zp, ... of a format are compile-time constants of always-inlined functions: each kernel is one such instance.
 */
#ifndef AIOS_LIB_KERNEL_TILE_AVX2_H
#define AIOS_LIB_KERNEL_TILE_AVX2_H

#include "kernel/gemm_tile.h"
#include "kernel/x86/intrin.h"

AIOS__INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256(p);
}
AIOS__INLINE __m256i dword(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}
AIOS__INLINE __m256 single(const uint8_t *p)
{
    float v;
    memcpy(&v, p, 4);
    return _mm256_set1_ps(v);
}

/* Bits from .. of each byte moved to bit `to`; garbage from the neighbour byte is left for the mask. */
AIOS__INLINE __m256i move_bits(__m256i x, int from, int to)
{
    return from == to ? x : from > to ? _mm256_srli_epi16(x, from - to) : _mm256_slli_epi16(x, to - from);
}

/** Unsigned codes of rows 8h..8h+7, k group g of the sub-block at w. */
AIOS__INLINE __m256i codes(const fmt f, const uint8_t *w, const int g, const int h)
{
    const uint8_t *p = w + 32 * h;
    if (f.bits == 8)
        return load256(p + 64 * g);
    if (f.bits <= 3) {
        __m256i x = move_bits(load256(p + 64 * (g / 4)), 2 * (g % 4), 0);
        x = _mm256_and_si256(x, _mm256_set1_epi8(3));
        if (f.bits == 2)
            return x;
        return _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 128), g, 2), _mm256_set1_epi8(4)));
    }
    __m256i x = _mm256_and_si256(move_bits(load256(p + 64 * (g % 4)), 4 * (g / 4), 0), _mm256_set1_epi8(15));
    if (f.bits == 5)
        x = _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 256), g, 4), _mm256_set1_epi8(16)));
    if (f.bits == 6)
        x = _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4), _mm256_set1_epi8(48)));
    return x;
}

/** Float factors of 8 rows: w = d * code + m. For pairs d alone is per 256, and m its minimum's. */
typedef struct scales {
    __m256 d, m;
} scales;

AIOS__INLINE __m256 halves8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
AIOS__INLINE __m256 bytes8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
AIOS__INLINE scales scales_of(const fmt f, const uint8_t *head, const uint8_t *w, const int h)
{
    const uint8_t *sc = w + f.scales, *d = f.head ? head : sc;
    scales s;
    s.d = halves8(d + 16 * h);
    s.m = f.min ? halves8(d + 32 + 16 * h) : _mm256_setzero_ps();
    if (f.min < 0)
        s.m = _mm256_xor_ps(s.m, _mm256_set1_ps(-0.0f));
    if (f.head && !f.pairs) {
        s.d = _mm256_mul_ps(s.d, bytes8(sc + 8 * h));
        s.m = _mm256_mul_ps(s.m, bytes8(sc + 16 + 8 * h));
    }
    return s;
}

/** Integer scales of types with one for each 16 k: 8 rows of (first half, second half). */
AIOS__INLINE __m256i pair_scales(const fmt f, const uint8_t *w, const int h)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(w + f.scales + 16 * h));
    if (f.min) /* Q2_K: scale in the low nibble, minimum in the high one */
        return _mm256_cvtepu8_epi16(_mm_and_si128(b, _mm_set1_epi8(15)));
    return _mm256_cvtepi8_epi16(b);
}
AIOS__INLINE __m256i pair_mins(const fmt f, const uint8_t *w, const int h)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(w + f.scales + 16 * h));
    return _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15)));
}
/** One half of the pairs in both places. */
AIOS__INLINE __m256i pair_half(__m256i v, const int half)
{
    return half ? _mm256_blend_epi16(_mm256_srli_epi32(v, 16), v, 0xaa) : _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}

/** Where up to four tokens of a block find their codes, scales, sums and seeds: u * 32 or u * 4 bytes on. */
typedef struct tokens {
    const uint8_t *q, *d, *ds, *bs, *seed;
} tokens;

/* Each base in a register of its own, or compilers keep one for every single offset and spill them. */
AIOS__INLINE const uint8_t *base(const uint8_t *p)
{
    __asm__("" : "+r"(p));
    return p;
}

AIOS__INLINE tokens tokens_of(const fmt f, const uint8_t *a, uint32_t w, uint32_t t)
{
    tokens k = {.q = base(a + 32 * t), .d = base(a + aios__act_at(w, t, AIOS__ACT_D))};
    if (f.min && !f.pairs)
        k.ds = base(a + aios__act_at(w, t, AIOS__ACT_DS));
    if (f.pairs)
        k.bs = base(a + aios__act_at(w, t, AIOS__ACT_BS));
    else if (f.zp)
        k.seed = base(a + seed_at(f, w, t));
    return k;
}

#endif
