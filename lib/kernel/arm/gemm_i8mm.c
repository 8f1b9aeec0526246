/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GEMM by USMMLA: 8 k of two rows times those of two tokens. Codes are unpacked once a sub-block, two rows a register, and everything of
 * a sum is laid out alike: (row, token), (row, next token), (next row, token), (next row, next token). A lone token goes by USDOT.
 */
#define SIGNED 0

#include "kernel/arm/tile_neon.h"

AIOS__INLINE void dot(const fmt f, const source c, const uint8_t *q, const int first, const int n_groups, const int n, int32x4_t v[][QUADS])
{
    AIOS__UNUSED(n); /* 1 */
    AIOS__UNROLL(2)
    for (int at = first; at < first + n_groups; at += 4) {
        const int8x16_t x = bytes16(q + 4 * at);
#define GROUP(g)                                                                                                                          \
    AIOS__UNROLL(4)                                                                                                                       \
    for (int r = 0; r < QUADS; r++)                                                                                                       \
        v[0][r] = vusdotq_laneq_s32(v[0][r], codes(f, c.at, at + g, r), x, g);
        GROUP(0)
        GROUP(1)
        GROUP(2)
        GROUP(3)
#undef GROUP
    }
}

/** Pairs of rows of a panel, pairs of tokens of a tile. */
enum { ROW_PAIRS = AIOS__PANEL_ROWS / 2, TOKEN_PAIRS = AIOS__ACT_TILE / 2 };

/** A sub-block in that layout: codes [8 k][pair of rows][row][k], and the factors of the rows. */
typedef struct pair_block {
    uint8_t codes[4][ROW_PAIRS][16];
    float32x4_t d[ROW_PAIRS], m[ROW_PAIRS];
    int32x4_t sc[2][ROW_PAIRS], mn[2][ROW_PAIRS];
} pair_block;

/* Each of four rows twice. */
AIOS__INLINE void twice_f32(float32x4_t v, float32x4_t *out)
{
    out[0] = vzip1q_f32(v, v);
    out[1] = vzip2q_f32(v, v);
}
AIOS__INLINE void twice_s32(int32x4_t v, int32x4_t *out)
{
    out[0] = vzip1q_s32(v, v);
    out[1] = vzip2q_s32(v, v);
}

AIOS__INLINE void open_block(const fmt f, const uint8_t *head, const uint8_t *w, pair_block *to)
{
    const factors s = factors_of(f, head, w);
    AIOS__UNROLL(4)
    for (int r = 0; r < QUADS; r++) {
        AIOS__UNROLL(4)
        for (int g = 0; g < 8; g += 2) {
            const uint32x4_t a = vreinterpretq_u32_u8(codes(f, w, g, r)), b = vreinterpretq_u32_u8(codes(f, w, g + 1, r));
            vst1q_u8(to->codes[g / 2][2 * r], vreinterpretq_u8_u32(vzip1q_u32(a, b)));
            vst1q_u8(to->codes[g / 2][2 * r + 1], vreinterpretq_u8_u32(vzip2q_u32(a, b)));
        }
        twice_f32(s.d[r], to->d + 2 * r);
        if (f.min)
            twice_f32(s.m[r], to->m + 2 * r);
        if (!f.pairs)
            continue;
        AIOS__UNROLL(2)
        for (int h = 0; h < 2; h++) {
            twice_s32(s.sc[h][r], to->sc[h] + 2 * r);
            if (f.min)
                twice_s32(vmovl_s16(s.mn[h][r]), to->mn[h] + 2 * r);
        }
    }
}

/* A field of two tokens that are neighbours. */
AIOS__INLINE int32x4_t two_dwords(const uint8_t *p)
{
    const int32x2_t v = vreinterpret_s32_u8(vld1_u8(p));
    return vcombine_s32(v, v);
}
AIOS__INLINE float32x4_t two_singles(const uint8_t *p)
{
    return vreinterpretq_f32_s32(two_dwords(p));
}

/* Adds k [16 h, 16 h + 16) or, without halves, all 32 of n pairs of tokens; q: of the first token of each. */
AIOS__INLINE void multiply(const pair_block *b, const uint8_t *const *q, const int from, const int to, const int n, int32x4_t v[][ROW_PAIRS])
{
    AIOS__UNROLL(4)
    for (int j = from; j < to; j++) {
        int8x16_t x[2];
        AIOS__UNROLL(2)
        for (int p = 0; p < n; p++)
            x[p] = vreinterpretq_s8_u8(vcombine_u8(vld1_u8(q[p] + 8 * j), vld1_u8(q[p] + 32 + 8 * j)));
        AIOS__UNROLL(8)
        for (int r = 0; r < ROW_PAIRS; r++) {
            const uint8x16_t c = vld1q_u8(b->codes[j][r]);
            AIOS__UNROLL(2)
            for (int p = 0; p < n; p++)
                v[p][r] = vusmmlaq_s32(v[p][r], c, x[p]);
        }
    }
}

/* n pairs of tokens, t[p] and t[p] + 1: one scale for the 32 k. */
AIOS__INLINE void add_two_single(const fmt f, const pair_block *b, const uint8_t *a, uint32_t width, const uint32_t *t, const int n,
                                 float32x4_t acc[][ROW_PAIRS])
{
    int32x4_t v[2][ROW_PAIRS];
    const uint8_t *q[2];
    AIOS__UNROLL(2)
    for (int p = 0; p < n; p++) {
        const int32x4_t seed = f.zp ? two_dwords(a + seed_at(f, width, t[p])) : vdupq_n_s32(0);
        q[p] = a + 32 * t[p];
        AIOS__UNROLL(8)
        for (int r = 0; r < ROW_PAIRS; r++)
            v[p][r] = seed;
    }
    multiply(b, q, 0, 4, n, v);
    AIOS__UNROLL(2)
    for (int p = 0; p < n; p++) {
        const float32x4_t da = two_singles(a + aios__act_at(width, t[p], AIOS__ACT_D)), ds = two_singles(a + aios__act_at(width, t[p], AIOS__ACT_DS));
        AIOS__UNROLL(8)
        for (int r = 0; r < ROW_PAIRS; r++) {
            acc[p][r] = vfmaq_f32(acc[p][r], vmulq_f32(vcvtq_f32_s32(v[p][r]), da), b->d[r]);
            if (f.min)
                acc[p][r] = vfmaq_f32(acc[p][r], b->m[r], ds);
        }
    }
}

/* Tokens t and t + 1: an integer scale for each 16 k. */
AIOS__INLINE void add_two_pairs(const fmt f, const pair_block *b, const uint8_t *a, uint32_t width, uint32_t t, float32x4_t acc[ROW_PAIRS])
{
    const int32x4_t sums = two_dwords(a + aios__act_at(width, t, AIOS__ACT_BS)), bs[2] = {vshrq_n_s32(vshlq_n_s32(sums, 16), 16), vshrq_n_s32(sums, 16)};
    const float32x4_t da = two_singles(a + aios__act_at(width, t, AIOS__ACT_D));
    const uint8_t *q = a + 32 * t;
    int32x4_t v[1][ROW_PAIRS], y[ROW_PAIRS];
    AIOS__UNROLL(2)
    for (int h = 0; h < 2; h++) {
        AIOS__UNROLL(8)
        for (int r = 0; r < ROW_PAIRS; r++)
            v[0][r] = vmulq_n_s32(bs[h], -f.zp);
        multiply(b, &q, 2 * h, 2 * h + 2, 1, v);
        AIOS__UNROLL(8)
        for (int r = 0; r < ROW_PAIRS; r++)
            y[r] = h ? vmlaq_s32(y[r], v[0][r], b->sc[h][r]) : vmulq_s32(v[0][r], b->sc[h][r]);
    }
    AIOS__UNROLL(8)
    for (int r = 0; r < ROW_PAIRS; r++) {
        acc[r] = vfmaq_f32(acc[r], vmulq_f32(vcvtq_f32_s32(y[r]), da), b->d[r]);
        if (f.min) {
            const int32x4_t m = vmlaq_s32(vmulq_s32(b->mn[0][r], bs[0]), b->mn[1][r], bs[1]);
            acc[r] = vfmaq_f32(acc[r], vmulq_f32(vcvtq_f32_s32(m), da), b->m[r]);
        }
    }
}

/* The last of an odd number is paired with the one before it, which comes out the same twice. */
AIOS__INLINE uint32_t first_of(uint32_t pair, uint32_t width)
{
    return 2 * pair + 2 <= width ? 2 * pair : width - 2;
}

/* n pairs of tokens from `pair` on. */
AIOS__INLINE void add_two(const fmt f, const pair_block *b, const uint8_t *a, uint32_t width, uint32_t pair, const int n, float32x4_t acc[][ROW_PAIRS])
{
    const uint32_t t[2] = {first_of(pair, width), first_of(pair + 1, width)};
    if (f.pairs)
        add_two_pairs(f, b, a, width, t[0], acc[0]);
    else
        add_two_single(f, b, a, width, t, n, acc);
}

AIOS__INLINE const pair_block *again(const pair_block *b)
{
    return (const pair_block *)(const void *)afresh((const uint8_t *)b);
}

AIOS__INLINE void store_pair(const float32x4_t acc[ROW_PAIRS], float *out)
{
    AIOS__UNROLL(4)
    for (int r = 0; r < ROW_PAIRS; r += 2) {
        vst1q_f32(out + 2 * r, vuzp1q_f32(acc[r], acc[r + 1]));
        vst1q_f32(out + 16 + 2 * r, vuzp2q_f32(acc[r], acc[r + 1]));
    }
}

AIOS__INLINE void tile_pairs(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    pair_block unpacked;
    float32x4_t acc[TOKEN_PAIRS][ROW_PAIRS];
    const uint32_t n_pairs = (width + 1) / 2;
    const uint8_t *head = w;
    memset(acc, 0, n_pairs * sizeof acc[0]);
    for (uint32_t b = 0; b < n_blocks; b++, w += f.sub, a += (size_t)width * AIOS__ACT_TOKEN) {
        if (f.head && b % 8 == 0) {
            head = w;
            w += f.head;
        }
        prefetch(f, w + pf);
        open_block(f, head, w, &unpacked);
        uint32_t p = 0;
        for (; !f.pairs && p + 2 <= n_pairs; p += 2)
            add_two(f, again(&unpacked), a, width, p, 2, acc + p);
        for (; p < n_pairs; p++)
            add_two(f, again(&unpacked), a, width, p, 1, acc + p);
    }
    for (uint32_t p = 0; p < n_pairs; p++)
        store_pair(acc[p], out + 16 * first_of(p, width));
}

AIOS__INLINE void tile(const fmt f, const uint8_t *w, size_t pf, const uint8_t *a, uint32_t n_blocks, uint32_t width, float *out)
{
    if (width == 1)
        tile_lone(f, w, pf, a, n_blocks, out);
    else
        tile_pairs(f, w, pf, a, n_blocks, width, out);
}

AIOS__GEMMS(tile)

void aios__gemm_init_i8mm(aios__kernels *k)
{
    AIOS__GEMMS_SET(k);
}
