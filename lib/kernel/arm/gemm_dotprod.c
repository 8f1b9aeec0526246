/* SPDX-License-Identifier: Apache-2.0 */
/* GEMM by SDOT: four products of 4 k of a row each, a token's 4 k being one lane of a register. Every width of code fits. */
#define SIGNED 1
#define MOST 4
#define MOST_PAIRS 2

#include "kernel/arm/tile_neon.h"

AIOS__INLINE void dot(const fmt f, const source c, const uint8_t *q, const int first, const int n_groups, const int n, int32x4_t v[][QUADS])
{
    AIOS__UNROLL(2)
    for (int at = first; at < first + n_groups; at += 4) {
        int8x16_t x[4];
        AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            x[u] = bytes16(q + 32 * u + 4 * at);
#define GROUP(g)                                                                                                                          \
    AIOS__UNROLL(4)                                                                                                                       \
    for (int r = 0; r < QUADS; r++) {                                                                                                     \
        const int8x16_t w = code(f, c, at + g, r);                                                                                        \
        AIOS__UNROLL(4)                                                                                                                   \
        for (int u = 0; u < n; u++)                                                                                                       \
            v[u][r] = vdotq_laneq_s32(v[u][r], w, x[u], g);                                                                               \
    }
        GROUP(0)
        GROUP(1)
        GROUP(2)
        GROUP(3)
#undef GROUP
    }
}

AIOS__GEMMS(tile)

void aios__gemm_init_dotprod(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
