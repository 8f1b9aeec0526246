/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GEMM by registers of 4 rows. A lone token takes its codes as they are unpacked, and has its sums in registers; more of them share
 * codes that are unpacked once a sub-block, and their sums wait in the first-level cache. How integers are multiplied is the including
 * file's: it defines SIGNED (8-bit codes are multiplied as signed ones) and
 *   dot(f, c, q, first, n_groups, n, v): adds k groups of n tokens, 32 bytes apart from q on, to v,
 * and with MOST and MOST_PAIRS, the tokens that go at once, takes tile for its own.
 */
#ifndef AIOS_LIB_KERNEL_TILE_NEON_H
#define AIOS_LIB_KERNEL_TILE_NEON_H

#include "kernel/arm/codes_neon.h"

/** Codes of a sub-block: packed, or unpacked in 512 bytes as the panel of 8-bit codes has them. */
typedef struct source {
    const uint8_t *at;
    bool packed;
} source;

AIOS__INLINE void dot(const fmt f, const source c, const uint8_t *q, const int first, const int n_groups, const int n, int32x4_t v[][QUADS]);

/* SIGNED: codes that are stored with 128 added are signed ones again; the others are positive either way. */
AIOS__INLINE int8x16_t signed_codes(const fmt f, const uint8_t *w, const int g, const int r)
{
    const uint8x16_t c = codes(f, w, g, r);
    return vreinterpretq_s8_u8(f.bits == 8 && SIGNED ? veorq_u8(c, vdupq_n_u8(0x80)) : c);
}

AIOS__INLINE int8x16_t code(const fmt f, const source c, const int g, const int r)
{
    return c.packed ? signed_codes(f, c.at, g, r) : bytes16(c.at + 64 * g + 16 * r);
}

AIOS__INLINE void unpack(const fmt f, const uint8_t *w, uint8_t *to)
{
    AIOS__UNROLL(8)
    for (int g = 0; g < 8; g++) {
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++)
            vst1q_u8(to + 64 * g + 16 * r, vreinterpretq_u8_s8(signed_codes(f, w, g, r)));
    }
}

/* A pointer that compilers know nothing of: what it points at is loaded where it is needed, not kept over the loop and spilled. */
AIOS__INLINE const uint8_t *afresh(const uint8_t *p)
{
    __asm__("" : "+r"(p) : : "memory");
    return p;
}

AIOS__INLINE void spread(int32x4_t seed, int32x4_t v[QUADS])
{
    AIOS__UNROLL(4)
    for (int r = 0; r < QUADS; r++)
        v[r] = seed;
}

/* Tokens [t, t + n) of the activation block a: one scale for the 32 k. */
AIOS__INLINE void add_single(const fmt f, const source c, const factors *s, const uint8_t *a, uint32_t width, uint32_t t, const int n,
                             float32x4_t acc[][QUADS])
{
    int32x4_t v[4][QUADS];
    AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        spread(f.zp && (f.bits < 8 || !SIGNED) ? dwords(a + seed_at(f, width, t + (uint32_t)u)) : vdupq_n_s32(0), v[u]);
    dot(f, c, a + 32 * t, 0, 8, n, v);
    AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        const float32x4_t da = singles(a + aios__act_at(width, t + (uint32_t)u, AIOS__ACT_D));
        const float32x4_t ds = singles(a + aios__act_at(width, t + (uint32_t)u, AIOS__ACT_DS));
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++) {
            acc[u][r] = vfmaq_f32(acc[u][r], vmulq_f32(vcvtq_f32_s32(v[u][r]), da), s->d[r]);
            if (f.min)
                acc[u][r] = vfmaq_f32(acc[u][r], s->m[r], ds);
        }
    }
}

/* An integer scale for each 16 k. */
AIOS__INLINE void add_pairs(const fmt f, const source c, const factors *s, const uint8_t *a, uint32_t width, uint32_t t, const int n,
                            float32x4_t acc[][QUADS])
{
    int32x4_t v[4][QUADS], y[4][QUADS];
    halfsums bs[4];
    AIOS__UNROLL(4)
    for (int u = 0; u < n; u++)
        bs[u] = halfsums_of(a + aios__act_at(width, t + (uint32_t)u, AIOS__ACT_BS));
    AIOS__UNROLL(2)
    for (int h = 0; h < 2; h++) {
        AIOS__UNROLL(4)
        for (int u = 0; u < n; u++)
            spread(vdupq_n_s32(-f.zp * bs[u].of[h]), v[u]);
        dot(f, c, a + 32 * t, 4 * h, 4, n, v);
        AIOS__UNROLL(4)
        for (int u = 0; u < n; u++) {
            AIOS__UNROLL(4)
            for (int r = 0; r < QUADS; r++)
                y[u][r] = h ? vmlaq_s32(y[u][r], v[u][r], s->sc[h][r]) : vmulq_s32(v[u][r], s->sc[h][r]);
        }
    }
    AIOS__UNROLL(4)
    for (int u = 0; u < n; u++) {
        const float32x4_t da = singles(a + aios__act_at(width, t + (uint32_t)u, AIOS__ACT_D));
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++) {
            acc[u][r] = vfmaq_f32(acc[u][r], vmulq_f32(vcvtq_f32_s32(y[u][r]), da), s->d[r]);
            if (f.min) {
                int32x4_t m = vmlal_n_s16(vmull_n_s16(s->mn[0][r], bs[u].of[0]), s->mn[1][r], bs[u].of[1]);
                acc[u][r] = vfmaq_f32(acc[u][r], vmulq_f32(vcvtq_f32_s32(m), da), s->m[r]);
            }
        }
    }
}

AIOS__INLINE void add_block(const fmt f, const source c, const factors *s, const uint8_t *a, uint32_t width, uint32_t t, const int n,
                            float32x4_t acc[][QUADS])
{
    if (f.pairs)
        add_pairs(f, c, s, a, width, t, n, acc);
    else
        add_single(f, c, s, a, width, t, n, acc);
}

AIOS__INLINE void store_sums(float32x4_t acc[][QUADS], uint32_t n, float *out)
{
    for (uint32_t t = 0; t < n; t++) {
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++)
            vst1q_f32(out + 16 * t + 4 * r, acc[t][r]);
    }
}

AIOS__INLINE void tile_lone(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, float *out)
{
    float32x4_t acc[1][QUADS];
    const uint8_t *head = w;
    AIOS__UNROLL(4)
    for (int r = 0; r < QUADS; r++)
        acc[0][r] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        const factors s = factors_of(f, head, w);
        add_block(f, (source){w, true}, &s, a, 1, 0, 1, acc);
    }
    store_sums(acc, 1, out);
}

#ifdef MOST
AIOS__INLINE void tile_many(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    uint8_t unpacked[512] __attribute__((aligned(64)));
    float32x4_t acc[AIOS__ACT_TILE][QUADS];
    const uint8_t *head = w;
    const int most = f.pairs ? MOST_PAIRS : MOST;
    for (uint32_t t = 0; t < width; t++)
        acc[t][0] = acc[t][1] = acc[t][2] = acc[t][3] = vdupq_n_f32(0);
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += (size_t)width * AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        const factors s = factors_of(f, head, w);
        uint32_t t = 0;
        unpack(f, w, unpacked);
        for (; width - t >= (uint32_t)most; t += (uint32_t)most)
            add_block(f, (source){afresh(unpacked), false}, &s, a, width, t, most, acc + t);
        if (most > 2 && width - t >= 2) {
            add_block(f, (source){afresh(unpacked), false}, &s, a, width, t, 2, acc + t);
            t += 2;
        }
        if (t < width)
            add_block(f, (source){afresh(unpacked), false}, &s, a, width, t, 1, acc + t);
    }
    store_sums(acc, width, out);
}

AIOS__INLINE void tile(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    if (width == 1)
        tile_lone(f, w, pf, a, n_blocks, out);
    else
        tile_many(f, w, pf, a, n_blocks, width, out);
}
#endif

#endif
