/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 512-bit GEMM kernels: a register is a k group of all 16 rows, so the 8 registers of a sub-block stay while the tokens go by, and
 * the sums of up to 16 tokens are in registers too. How integers are multiplied is the including file's: it defines
 *   unpack(f, w, c): the codes of a sub-block, and
 *   dot(f, c, q, first, n_groups, n, v): adds k groups of n (at most 4) tokens, 32 bytes apart from q on, to v[n].
 */
#ifndef AIOS_LIB_KERNEL_TILE_AVX512_H
#define AIOS_LIB_KERNEL_TILE_AVX512_H

#include "kernel/x86/tile_avx2.h"

AIOS__INLINE void unpack(const fmt f, const uint8_t *w, __m512i c[16]);
AIOS__INLINE void dot(const fmt f, __m512i c[16], const uint8_t *q, const int first, const int n_groups, const int n, __m512i v[4]);

AIOS__INLINE __m512i load512(const void *p)
{
    return _mm512_loadu_si512(p);
}
AIOS__INLINE __m512i dword512(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
AIOS__INLINE __m512 single512(const uint8_t *p)
{
    float v;
    memcpy(&v, p, 4);
    return _mm512_set1_ps(v);
}
AIOS__INLINE __m512i move_bits512(__m512i x, int from, int to)
{
    return from == to ? x : from > to ? _mm512_srli_epi16(x, (unsigned)(from - to)) : _mm512_slli_epi16(x, (unsigned)(to - from));
}

/** Unsigned codes of k group g. */
AIOS__INLINE __m512i codes512(const fmt f, const uint8_t *w, const int g)
{
    if (f.bits == 8)
        return load512(w + 64 * g);
    if (f.bits <= 3) {
        __m512i x = move_bits512(load512(w + 64 * (g / 4)), 2 * (g % 4), 0);
        x = _mm512_and_si512(x, _mm512_set1_epi8(3));
        if (f.bits == 2)
            return x;
        return _mm512_or_si512(x, _mm512_and_si512(move_bits512(load512(w + 128), g, 2), _mm512_set1_epi8(4)));
    }
    __m512i x = _mm512_and_si512(move_bits512(load512(w + 64 * (g % 4)), 4 * (g / 4), 0), _mm512_set1_epi8(15));
    if (f.bits == 5)
        x = _mm512_or_si512(x, _mm512_and_si512(move_bits512(load512(w + 256), g, 4), _mm512_set1_epi8(16)));
    if (f.bits == 6)
        x = _mm512_or_si512(x, _mm512_and_si512(move_bits512(load512(w + 256 + 64 * (g / 4)), 2 * (g % 4), 4), _mm512_set1_epi8(48)));
    return x;
}

AIOS__INLINE __m512 halves16(const uint8_t *p)
{
    return _mm512_cvtph_ps(load256(p));
}
AIOS__INLINE __m512 bytes16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/** Factors of the 16 rows; sc and mn only for types with a scale for each 16 k. */
typedef struct scales512 {
    __m512 d, m, sc[2];
    __m512i mn;
} scales512;

AIOS__INLINE scales512 scales512_of(const fmt f, const uint8_t *head, const uint8_t *w)
{
    const uint8_t *sc = w + f.scales, *d = f.head ? head : sc;
    scales512 s;
    s.d = halves16(d);
    s.m = f.min ? halves16(d + 32) : _mm512_setzero_ps();
    if (f.min < 0)
        s.m = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(s.m), _mm512_set1_epi32(INT32_MIN)));
    s.sc[0] = s.sc[1] = _mm512_setzero_ps();
    s.mn = _mm512_setzero_si512();
    if (f.pairs) {
        __m256i b = load256(sc), low = _mm256_set1_epi8(15);
        __m512i pair = _mm512_cvtepi8_epi16(f.min ? _mm256_and_si256(b, low) : b);
        s.sc[0] = _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(pair, 16), 16));
        s.sc[1] = _mm512_cvtepi32_ps(_mm512_srai_epi32(pair, 16));
        s.mn = _mm512_cvtepi8_epi16(_mm256_and_si256(_mm256_srli_epi16(b, 4), low));
    } else if (f.head) {
        s.d = _mm512_mul_ps(s.d, bytes16(sc));
        s.m = _mm512_mul_ps(s.m, bytes16(sc + 16));
    }
    return s;
}

/* -zp * sum of one half of the activations. */
AIOS__INLINE __m512i half_seed512(const fmt f, __m512i bs, const int half)
{
    if (!f.zp)
        return _mm512_setzero_si512();
    return _mm512_madd_epi16(bs, _mm512_set1_epi32(half ? -f.zp * 65536 : -f.zp & 0xffff));
}

/* n <= 4 tokens of a block. */
AIOS__INLINE void tokens_single(const fmt f, __m512i c[16], const scales512 *s, const tokens k, const int n, __m512 *acc)
{
    __m512i v[4];
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        v[u] = f.zp ? dword512(k.seed + 4 * u) : _mm512_setzero_si512();
    dot(f, c, k.q, 0, 8, n, v);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(v[u]), single512(k.d + 4 * u));
        acc[u] = _mm512_fmadd_ps(y, s->d, acc[u]);
        if (f.min)
            acc[u] = _mm512_fmadd_ps(s->m, single512(k.ds + 4 * u), acc[u]);
    }
}

/* The integer scales multiply as floats: sums below 2^24 are exact either way. */
AIOS__INLINE void tokens_pairs(const fmt f, __m512i c[16], const scales512 *s, const tokens k, const int n, __m512 *acc)
{
    __m512i v[4];
    __m512 y[4];
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        v[u] = half_seed512(f, dword512(k.bs + 4 * u), 0);
    dot(f, c, k.q, 0, 4, n, v);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        y[u] = _mm512_mul_ps(_mm512_cvtepi32_ps(v[u]), s->sc[0]);
        v[u] = half_seed512(f, dword512(k.bs + 4 * u), 1);
    }
    dot(f, c, k.q, 4, 4, n, v);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        const __m512 da = single512(k.d + 4 * u);
        y[u] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(v[u]), s->sc[1], y[u]);
        acc[u] = _mm512_fmadd_ps(_mm512_mul_ps(y[u], da), s->d, acc[u]);
        if (f.min) {
            v[u] = _mm512_madd_epi16(s->mn, dword512(k.bs + 4 * u));
            acc[u] = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(v[u]), da), s->m, acc[u]);
        }
    }
}

/* A panel against tokens [t, t + n) of a tile of width width. */
AIOS__INLINE void tokens_n(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, uint32_t t,
                           const int n, float *out)
{
    __m512 acc[16];
    const uint8_t *head = w;
    const int step = n < 4 ? n : 4;
AIOS__UNROLL(16)
    for (int u = 0; u < n; u++)
        acc[u] = _mm512_setzero_ps();
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += (size_t)width * AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        __m512i c[16];
        unpack(f, w, c);
        const scales512 s = scales512_of(f, head, w);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u += step) {
            const tokens k = tokens_of(f, a, width, t + (uint32_t)u);
            if (f.pairs)
                tokens_pairs(f, c, &s, k, step, acc + u);
            else
                tokens_single(f, c, &s, k, step, acc + u);
        }
    }
AIOS__UNROLL(16)
    for (int u = 0; u < n; u++)
        _mm512_store_ps(out + 16 * (t + (uint32_t)u), acc[u]);
}

/* most: tokens whose sums fit the registers beside the codes. */
AIOS__INLINE void tile_512(const fmt f, const int most, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks,
                           uint32_t width, float *out)
{
    if (width == 1) {
        tokens_n(f, w, pf, a, n_blocks, 1, 0, 1, out);
        return;
    }
    uint32_t t = 0;
    for (; width - t >= (uint32_t)most; t += (uint32_t)most, pf = 0)
        tokens_n(f, w, pf, a, n_blocks, width, t, most, out);
AIOS__UNROLL(4)
    for (int n = most / 2; n; n /= 2) {
        if (!(width - t >= (uint32_t)n))
            continue;
        tokens_n(f, w, pf, a, n_blocks, width, t, n, out);
        t += (uint32_t)n;
        pf = 0;
    }
}

#endif
