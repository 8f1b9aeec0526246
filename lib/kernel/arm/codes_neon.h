/* SPDX-License-Identifier: Apache-2.0 */
/* Codes and scales of a sub-block as NEON registers: one holds 4 k of 4 rows, so that four of them are a group of the panel. */
#ifndef AIOS_LIB_KERNEL_CODES_NEON_H
#define AIOS_LIB_KERNEL_CODES_NEON_H

#include <arm_neon.h>

#include "kernel/gemm_tile.h"

/** Registers of the 16 rows. */
enum { QUADS = AIOS__PANEL_ROWS / 4 };

AIOS__INLINE int32x4_t dwords(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return vdupq_n_s32(v);
}
AIOS__INLINE float32x4_t singles(const uint8_t *p)
{
    float v;
    memcpy(&v, p, 4);
    return vdupq_n_f32(v);
}
AIOS__INLINE int8x16_t bytes16(const uint8_t *p)
{
    return vreinterpretq_s8_u8(vld1q_u8(p));
}

/* Bits from .. of each byte moved to bit `to`. */
AIOS__INLINE uint8x16_t move_bits(uint8x16_t x, int from, int to)
{
    return from == to ? x : from > to ? x >> (from - to) : x << (to - from);
}
/* x with the bits of mask from y, whose bit `from` is that of the lowest, which is bit `to`. */
AIOS__INLINE uint8x16_t put_bits(uint8x16_t x, uint8x16_t y, int from, int to, int mask)
{
    return vbslq_u8(vdupq_n_u8((uint8_t)mask), move_bits(y, from, to), x);
}

/** Unsigned codes of rows 4r..4r+3, k group g of the sub-block at w. */
AIOS__INLINE uint8x16_t codes(const fmt f, const uint8_t *w, const int g, const int r)
{
    const uint8_t *p = w + 16 * r;
    if (f.bits == 8)
        return vld1q_u8(p + 64 * g);
    if (f.bits <= 3) {
        uint8x16_t x = vld1q_u8(p + 64 * (g / 4));
        x = g % 4 == 3 ? x >> 6 : vandq_u8(move_bits(x, 2 * (g % 4), 0), vdupq_n_u8(3));
        return f.bits == 2 ? x : put_bits(x, vld1q_u8(p + 128), g, 2, 4);
    }
    uint8x16_t x = vld1q_u8(p + 64 * (g % 4));
    x = g / 4 ? x >> 4 : vandq_u8(x, vdupq_n_u8(15));
    if (f.bits == 5)
        return put_bits(x, vld1q_u8(p + 256), g, 4, 16);
    if (f.bits == 6)
        return put_bits(x, vld1q_u8(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4, 48);
    return x;
}

/** Factors of the 16 rows: w = d * code + m; types with a scale for each 16 k have theirs (and their minimum) in sc and mn. */
typedef struct factors {
    float32x4_t d[QUADS], m[QUADS];
    int32x4_t sc[2][QUADS];
    int16x4_t mn[2][QUADS];
} factors;

AIOS__INLINE float32x4_t halves4(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

/* 16 bytes as integers of 16 bits, two quads a register. */
AIOS__INLINE void widen(int8x16_t b, int16x4_t out[QUADS])
{
    int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_high_s8(b);
    out[0] = vget_low_s16(low);
    out[1] = vget_high_s16(low);
    out[2] = vget_low_s16(high);
    out[3] = vget_high_s16(high);
}

AIOS__INLINE factors factors_of(const fmt f, const uint8_t *head, const uint8_t *w)
{
    const uint8_t *sc = w + f.scales, *d = f.head ? head : sc;
    int16x4_t by[2][QUADS];
    factors s;
    AIOS__UNROLL(4)
    for (int r = 0; r < QUADS; r++) {
        s.d[r] = halves4(d + 8 * r);
        s.m[r] = f.min ? halves4(d + 32 + 8 * r) : vdupq_n_f32(0);
        s.m[r] = f.min < 0 ? vnegq_f32(s.m[r]) : s.m[r];
    }
    if (f.pairs) {
        const uint8x16x2_t b = vld2q_u8(sc);
        AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) { /* Q2_K: scale in the low nibble, minimum in the high one */
            widen(vreinterpretq_s8_u8(f.min ? vandq_u8(b.val[h], vdupq_n_u8(15)) : b.val[h]), by[h]);
            widen(vreinterpretq_s8_u8(vshrq_n_u8(b.val[h], 4)), s.mn[h]);
            AIOS__UNROLL(4)
            for (int r = 0; r < QUADS; r++)
                s.sc[h][r] = vmovl_s16(by[h][r]);
        }
    } else if (f.head) { /* 6 bits each: signed or not is the same */
        widen(bytes16(sc), by[0]);
        widen(bytes16(sc + 16), by[1]);
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++) {
            s.d[r] = vmulq_f32(s.d[r], vcvtq_f32_s32(vmovl_s16(by[0][r])));
            s.m[r] = vmulq_f32(s.m[r], vcvtq_f32_s32(vmovl_s16(by[1][r])));
        }
    }
    return s;
}

/** Sums of the activations' codes, one half of 16 each. */
typedef struct halfsums {
    int16_t of[2];
} halfsums;
AIOS__INLINE halfsums halfsums_of(const uint8_t *p)
{
    halfsums b;
    memcpy(&b, p, sizeof b);
    return b;
}

#endif
