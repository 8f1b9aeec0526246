/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 VNNI GEMM: codes are the unsigned register operand of vpdpbusd, activations its signed broadcast from memory. */
#include "kernel/x86/tile_avx512.h"

AIOS__INLINE void unpack(const fmt f, const uint8_t *w, __m512i c[16])
{
AIOS__UNROLL(8)
    for (int g = 0; g < 8; g++)
        c[g] = codes512(f, w, g);
}

/* Compilers do not fold the broadcast into vpdpbusd by themselves, which costs a load and a register each. */
AIOS__INLINE __m512i dot_bytes(__m512i v, __m512i c, const uint8_t *q)
{
#ifdef AIOS_SIMDE
    return _mm512_dpbusd_epi32(v, c, dword512(q));
#else
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(v) : "v"(c), "m"(*(const uint8_t(*)[4])q));
    return v;
#endif
}

AIOS__INLINE void dot(const fmt f, __m512i c[16], const uint8_t *q, const int first, const int n_groups, const int n, __m512i v[4])
{
    AIOS__UNUSED(f);
AIOS__UNROLL(8)
    for (int g = first; g < first + n_groups; g++) {
AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            v[u] = dot_bytes(v[u], c[g], q + 32 * u + 4 * g);
    }
}

AIOS__INLINE void tile(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    tile_512(f, f.pairs ? 8 : 16, w, pf, a, n_blocks, width, out);
}

AIOS__GEMMS(tile)

void aios__gemm_init_avx512vnni(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
