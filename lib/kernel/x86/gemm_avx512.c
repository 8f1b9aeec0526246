/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 (F, BW) GEMM without VNNI: vpmaddubsw as in the AVX2 kernels; 8-bit codes are cut into two planes of 4 bits. */
#include "kernel/x86/tile_avx512.h"

/* c[8 + g]: the high nibbles of 8-bit codes. */
AIOS__INLINE void unpack(const fmt f, const uint8_t *w, __m512i c[16])
{
    const __m512i low = _mm512_set1_epi8(15);
AIOS__UNROLL(8)
    for (int g = 0; g < 8; g++) {
        c[g] = codes512(f, w, g);
        if (f.bits == 8) {
            c[8 + g] = _mm512_and_si512(_mm512_srli_epi16(c[g], 4), low);
            c[g] = _mm512_and_si512(c[g], low);
        }
    }
}

/* 16-bit sums of n_groups k groups: as many as cannot overflow for the width of the codes. */
AIOS__INLINE __m512i dot16(__m512i *c, const uint8_t *q, const int n_groups)
{
    __m512i s = _mm512_maddubs_epi16(c[0], dword512(q));
AIOS__UNROLL(8)
    for (int g = 1; g < n_groups; g++)
        s = _mm512_add_epi16(s, _mm512_maddubs_epi16(c[g], dword512(q + 4 * g)));
    return s;
}

AIOS__INLINE void dot(const fmt f, __m512i c[16], const uint8_t *q, const int first, const int n_groups, const int n, __m512i v[4])
{
    const __m512i ones = _mm512_set1_epi16(1);
    const int most = f.bits == 6 ? 2 : f.bits == 5 ? 4 : 8, step = most < n_groups ? most : n_groups;
AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
AIOS__UNROLL(4)
        for (int g = first; g < first + n_groups; g += step) {
            v[u] = _mm512_add_epi32(v[u], _mm512_madd_epi16(dot16(c + g, q + 32 * u + 4 * g, step), ones));
            if (f.bits == 8)
                v[u] = _mm512_add_epi32(v[u], _mm512_madd_epi16(dot16(c + 8 + g, q + 32 * u + 4 * g, step), _mm512_set1_epi16(16)));
        }
    }
}

AIOS__INLINE void tile(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    tile_512(f, f.pairs || f.bits == 8 ? 8 : 16, w, pf, a, n_blocks, width, out);
}

AIOS__GEMMS(tile)

/* 16 rows of one k. */
AIOS__INLINE __m512 floats16(const int32_t dtype, const uint8_t *p)
{
    if (dtype == AIOS_DTYPE_F32)
        return _mm512_loadu_ps(p);
    if (dtype == AIOS_DTYPE_F16)
        return halves16(p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(load256(p)), 16));
}

AIOS__INLINE void tile_floats(const int32_t dtype, const uint8_t *w, const float *x, size_t ld, uint32_t k, const int n, float *out)
{
    const int bytes = dtype == AIOS_DTYPE_F32 ? 4 : 2;
    __m512 acc[8];
AIOS__UNROLL(8)
    for (int t = 0; t < n; t++)
        acc[t] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < k; i++, w += 16 * bytes) {
        const __m512 v = floats16(dtype, w);
        if (bytes == 4 || i % 2 == 0)
            _mm_prefetch((const char *)w + PREFETCH_BYTES, _MM_HINT_T0);
AIOS__UNROLL(8)
        for (int t = 0; t < n; t++)
            acc[t] = _mm512_fmadd_ps(v, _mm512_set1_ps(x[(size_t)t * ld + i]), acc[t]);
    }
AIOS__UNROLL(8)
    for (int t = 0; t < n; t++)
        _mm512_store_ps(out + 16 * t, acc[t]);
}

enum { MOST = 8, SOME = 4 };
#include "kernel/gemm_floats.h"

void aios__gemm_init_avx512(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
    set_floats(k);
}
