/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 GEMM. Unsigned codes times signed activations by vpmaddubsw, summed in 16 bits as long as nothing can overflow. */
enum { SIGNED = 1 };
#include "kernel/x86/split_avx2.h"

/*
 * 16-bit sums hold eight groups of 4-bit codes (30480) and four of 5 bits (31496); pairs have a scale for each four. Four of 6 bits pass
 * the range and come back: with the zero point in them they reach 32512.
 */
AIOS__INLINE int groups_of(const fmt f)
{
    return f.pairs || f.bits == 5 ? 4 : 8;
}
AIOS__INLINE bool wraps(const fmt f)
{
    return f.bits == 6;
}

/* What the zero point takes from each of the 16-bit sums of either half of a token's k: a dword at 0 and one at 16. */
AIOS__INLINE void store_zeros(const fmt f, const uint8_t *q, uint8_t *to)
{
    __m256i z = _mm256_maddubs_epi16(_mm256_set1_epi8((char)f.zp), load256(q));
    z = _mm256_add_epi16(z, _mm256_shuffle_epi32(z, 0x4e));
    store256(to, _mm256_add_epi16(z, _mm256_shuffle_epi32(z, 0xb1)));
}

AIOS__INLINE int halves_of(const fmt f)
{
    AIOS__UNUSED(f);
    return 2;
}

/* 16-bit sums of groups_of(f) k groups from `first` on. */
AIOS__INLINE void dot16(const fmt f, const source s, const tokens k, const uint8_t *z, const int first, const int n, const int h, const int end, __m256i v[4][2])
{
AIOS__UNROLL(8)
    for (int g = first; g < first + groups_of(f); g++) {
        __m256i c[2];
AIOS__UNROLL(2)
        for (int i = h; i < end; i++)
            c[i] = code(f, s, g, i);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++) {
            const __m256i x = dword(k.q + 32 * u + 4 * g);
AIOS__UNROLL(2)
            for (int i = h; i < end; i++) {
                const __m256i p = _mm256_maddubs_epi16(c[i], x);
                if (g == first)
                    v[u][i] = wraps(f) ? _mm256_sub_epi16(p, dword(z + 32 * u + 4 * first)) : p;
                else
                    v[u][i] = held(_mm256_add_epi16(v[u][i], p));
            }
        }
    }
}

/* What 16-bit sums of k group g on are multiplied with as they are widened. */
AIOS__INLINE __m256i factor(const fmt f, const source s, const int g, const int h)
{
    return f.pairs ? scale16(f, s, g / 4, h) : _mm256_set1_epi16(1);
}

/* Out of the registers and back where sums are needed again. */
AIOS__INLINE void away(const int n, __m256i sum[4][2], __m256i part[4][2])
{
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        part[u][0] = sum[u][0];
        part[u][1] = sum[u][1];
    }
}

AIOS__INLINE void dot_unsigned(const fmt f, const source s, const tokens k, const int n, const int h, const int end, __m256i sum[4][2])
{
    const bool full = n == 4 && end - h == 2;
    uint8_t zeros[4][32];
    const uint8_t *z = base(zeros[0]);
    for (int u = 0; wraps(f) && u < n; u++)
        store_zeros(f, k.q + 32 * u, zeros[u]);
    __m256i part[4][2];
    const __m256i (*from)[2] = (const __m256i (*)[2])(const void *)base((const uint8_t *)part);
AIOS__UNROLL(4)
    for (int g = 0; g < 8; g += groups_of(f)) {
        __m256i v[4][2];
        dot16(f, s, k, z, g, n, h, end, v);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++) {
AIOS__UNROLL(2)
            for (int i = h; i < end; i++) {
                const __m256i p = _mm256_madd_epi16(v[u][i], factor(f, s, g, i));
                sum[u][i] = g ? held(_mm256_add_epi32(full ? from[u][i] : sum[u][i], p)) : p;
            }
        }
        if (full && g + groups_of(f) < 8)
            away(n, sum, part);
    }
}

/* The zero point's part. */
AIOS__INLINE __m256i seed(const fmt f, const source s, const tokens k, const int u, const int h)
{
    return f.pairs ? _mm256_madd_epi16(zero16(f, s, h), dword(k.bs + 4 * u)) : dword(k.seed + 4 * u);
}

/* 8-bit codes use both signs: |code| times the activation with the code's sign; 2 * 128 * 127 just fits 16 bits. */
AIOS__INLINE void dot_signed(const fmt f, const source s, const tokens k, const int n, __m256i sum[4][2])
{
    const __m256i ones = _mm256_set1_epi16(1);
AIOS__UNROLL(8)
    for (int g = 0; g < 8; g++) {
AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            const __m256i c = code(f, s, g, h), mag = magnitude(s, g, h, c);
AIOS__UNROLL(4)
            for (int u = 0; u < n; u++) {
                const __m256i x = dword(k.q + 32 * u + 4 * g);
                const __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(mag, _mm256_sign_epi8(x, c)), ones);
                sum[u][h] = g ? held(_mm256_add_epi32(sum[u][h], p)) : p;
            }
        }
    }
}

AIOS__INLINE void dot(const fmt f, const source s, const tokens k, const int n, const int h, const int end, __m256 y[4][2])
{
    __m256i sum[4][2];
    if (f.bits == 8)
        dot_signed(f, s, k, n, sum);
    else
        dot_unsigned(f, s, k, n, h, end, sum);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
AIOS__UNROLL(2)
        for (int i = h; i < end; i++)
            y[u][i] = _mm256_cvtepi32_ps(f.zp && f.bits < 8 && !wraps(f) ? _mm256_add_epi32(sum[u][i], seed(f, s, k, u, i)) : sum[u][i]);
    }
}

AIOS__GEMMS(tile)

void aios__gemm_init_avx2(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
    split_set(k);
}
