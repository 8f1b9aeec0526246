/* SPDX-License-Identifier: Apache-2.0 */
/* GEMM of plain NEON: products of bytes are summed in 16 bits as long as nothing can overflow, a k of a row in each lane. */
#define SIGNED 1
#define MOST 1 /* 16-bit sums of a token take 8 registers */
#define MOST_PAIRS 1

#include "kernel/arm/tile_neon.h"

/* Sums of 4 lanes each, of 2 x 2 rows; of small codes two lanes still fit 16 bits. */
AIOS__INLINE int32x4_t add_lanes(const fmt f, int32x4_t v, int16x8_t low, int16x8_t high)
{
    if (f.bits <= 4)
        return vpadalq_s16(v, vpaddq_s16(low, high));
    return vaddq_s32(v, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
}

/* A product of a 5-bit code and an activation reaches 3937, so eight of them fit 16 bits; of 6 bits four do, of 8 two. */
AIOS__INLINE void dot(const fmt f, const source c, const uint8_t *q, const int first, const int n_groups, const int n, int32x4_t v[][QUADS])
{
    const int most = f.bits == 8 ? 2 : f.bits == 6 ? 4 : 8, step = most < n_groups ? most : n_groups;
    AIOS__UNUSED(n);
    AIOS__UNROLL(4)
    for (int at = first; at < first + n_groups; at += step) {
        int16x8_t s[QUADS][2];
        AIOS__UNROLL(8)
        for (int g = 0; g < step; g++) {
            const int8x16_t x = vreinterpretq_s8_s32(dwords(q + 4 * (at + g)));
            AIOS__UNROLL(4)
            for (int r = 0; r < QUADS; r++) {
                const int8x16_t w = code(f, c, at + g, r);
                s[r][0] = g ? vmlal_s8(s[r][0], vget_low_s8(w), vget_low_s8(x)) : vmull_s8(vget_low_s8(w), vget_low_s8(x));
                s[r][1] = g ? vmlal_high_s8(s[r][1], w, x) : vmull_high_s8(w, x);
            }
        }
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++)
            v[0][r] = add_lanes(f, v[0][r], s[r][0], s[r][1]);
    }
}

AIOS__GEMMS(tile)

void aios__gemm_init_neon(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
