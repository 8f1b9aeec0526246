/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-VNNI GEMM: as the AVX2 one, but vpdpbusd sums straight into 32 bits, so no width of code can overflow and the zero point is
 * the value that the sum starts from.
 */
enum { SIGNED = 0 };
#include "kernel/x86/split_avx2.h"

AIOS__INLINE int halves_of(const fmt f)
{
    return f.pairs ? 1 : 2;
}

/* n_groups k groups added to v. */
AIOS__INLINE void dot_groups(const fmt f, const source s, const tokens k, const int first, const int n_groups, const int n, const int h,
                             const int end, __m256i v[4][2])
{
AIOS__UNROLL(8)
    for (int g = first; g < first + n_groups; g++) {
        __m256i c[2];
AIOS__UNROLL(2)
        for (int i = h; i < end; i++)
            c[i] = code(f, s, g, i);
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++) {
            const __m256i x = dword(k.q + 32 * u + 4 * g);
AIOS__UNROLL(2)
            for (int i = h; i < end; i++)
                v[u][i] = AIOS__DPBUSD256(v[u][i], c[i], x);
        }
    }
}

/* -zp * sum of one half of the activations, from the 16-bit sums of both. */
AIOS__INLINE __m256i half_seed(const fmt f, __m256i bs, const int half)
{
    return _mm256_madd_epi16(bs, _mm256_set1_epi32(half ? -f.zp * 65536 : -f.zp & 0xffff));
}

/* The integer scales multiply as floats: sums below 2^24 are exact either way. */
AIOS__INLINE void dot_pairs(const fmt f, const source s, const tokens k, const int n, const int h, const int end, __m256 y[4][2])
{
AIOS__UNROLL(2)
    for (int half = 0; half < 2; half++) {
        __m256i v[4][2];
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            v[u][0] = v[u][1] = f.zp ? half_seed(f, dword(k.bs + 4 * u), half) : _mm256_setzero_si256();
        dot_groups(f, s, k, 4 * half, 4, n, h, end, v);
AIOS__UNROLL(2)
        for (int i = h; i < end; i++) {
            const __m256 sc = _mm256_cvtepi32_ps(_mm256_srai_epi32(scale16(f, s, half, i), 16));
AIOS__UNROLL(4)
            for (int u = 0; u < n; u++) {
                const __m256 x = _mm256_cvtepi32_ps(v[u][i]);
                y[u][i] = half ? _mm256_fmadd_ps(x, sc, y[u][i]) : _mm256_mul_ps(x, sc);
            }
        }
    }
}

AIOS__INLINE void dot(const fmt f, const source s, const tokens k, const int n, const int h, const int end, __m256 y[4][2])
{
    __m256i v[4][2];
    if (f.pairs) {
        dot_pairs(f, s, k, n, h, end, y);
        return;
    }
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        v[u][0] = v[u][1] = f.zp ? dword(k.seed + 4 * u) : _mm256_setzero_si256();
    dot_groups(f, s, k, 0, 8, n, h, end, v);
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
AIOS__UNROLL(2)
        for (int i = h; i < end; i++)
            y[u][i] = _mm256_cvtepi32_ps(v[u][i]);
    }
}

AIOS__GEMMS(tile)

void aios__gemm_init_avxvnni(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
    split_set(k);
}
