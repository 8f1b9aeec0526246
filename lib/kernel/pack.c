/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weight panels written a word at a time: four codes of a row stay neighbours on their way from the file to the panel, so shifts and
 * masks of whole words do it. The layout is that of quant.h; aios__panel_pack_plain in panel.c is its readable form, and a test
 * holds the two against each other for every type.
 */
#include "base/cachefile.h"
#include "kernel/quant.h"

/* One GGUF block of n rows, ld bytes apart, to the sub-blocks at out (a head, if there is one, in front). */
typedef void block_fn(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out);

static inline uint32_t word(const uint8_t *p, uint32_t i)
{
    uint32_t w;
    memcpy(&w, p + 4 * i, 4);
    return w;
}

/* Word w of row r in the planes at out. */
static inline void put(uint8_t *out, uint32_t w, uint32_t r, uint32_t v)
{
    memcpy(out + 64 * w + 4 * r, &v, 4);
}

static inline void copy16(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 2);
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------ */

/* Element j and j + 16 share a byte in the file as in the panel. */
static inline void put_nibbles(uint8_t *out, uint32_t r, const uint8_t *q)
{
    for (uint32_t w = 0; w < 4; w++)
        put(out, w, r, word(q, w));
}

static void block_q4_0(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        put_nibbles(out, r, p + 2);
        copy16(out + 256 + 2 * r, p);
    }
}

static void block_q4_1(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        put_nibbles(out, r, p + 4);
        copy16(out + 256 + 2 * r, p);
        copy16(out + 288 + 2 * r, p + 2);
    }
}

/* Bits 0, 2, 4 ... to the lower half, the others to the upper one. */
static inline uint32_t unshuffle(uint32_t x)
{
    uint32_t t = (x ^ x >> 1) & 0x22222222;
    x ^= t ^ t << 1;
    t = (x ^ x >> 2) & 0x0c0c0c0c;
    x ^= t ^ t << 2;
    t = (x ^ x >> 4) & 0x00f000f0;
    x ^= t ^ t << 4;
    t = (x ^ x >> 8) & 0x0000ff00;
    return x ^ t ^ t << 8;
}

/* The fifth bits of 16 rows at out: bit 4g + c of a row's word becomes bit g of its byte c. */
static void put_fifth(uint8_t *out, const uint8_t *p, size_t ld, uint32_t n)
{
    uint32_t h[AIOS__PANEL_ROWS] = {0};
    for (uint32_t r = 0; r < n; r++)
        h[r] = word(p + r * ld, 0);
    for (uint32_t r = 0; r < AIOS__PANEL_ROWS; r++)
        h[r] = unshuffle(unshuffle(h[r]));
    memcpy(out, h, sizeof h);
}

static void block_q5_0(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    put_fifth(out + 256, p + 2, ld, n);
    for (uint32_t r = 0; r < n; r++, p += ld) {
        put_nibbles(out, r, p + 6);
        copy16(out + 320 + 2 * r, p);
    }
}

static void block_q5_1(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    put_fifth(out + 256, p + 4, ld, n);
    for (uint32_t r = 0; r < n; r++, p += ld) {
        put_nibbles(out, r, p + 8);
        copy16(out + 320 + 2 * r, p);
        copy16(out + 352 + 2 * r, p + 2);
    }
}

static void block_q8_0(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        for (uint32_t w = 0; w < 8; w++)
            put(out, w, r, word(p + 2, w) ^ 0x80808080);
        copy16(out + 512 + 2 * r, p);
    }
}

/* ---- blocks of 256: eight sub-blocks of 32 ------------------------------------------------------------------------- */

/* 32 nibbles, one a byte at q from bit `shift` on. */
static inline void put_low(uint8_t *out, uint32_t r, const uint8_t *q, uint32_t shift)
{
    for (uint32_t w = 0; w < 4; w++)
        put(out, w, r, (word(q, w) >> shift & 0x0f0f0f0f) | (word(q, w + 4) >> shift & 0x0f0f0f0f) << 4);
}

/* 32 pairs of bits. */
static inline void put_two(uint8_t *out, uint32_t r, const uint8_t *q, uint32_t shift)
{
    for (uint32_t w = 0; w < 2; w++) {
        uint32_t v = 0;
        for (uint32_t s = 0; s < 4; s++)
            v |= (word(q, 4 * w + s) >> shift & 0x03030303) << 2 * s;
        put(out, w, r, v);
    }
}

/* 32 single bits. */
static inline void put_one(uint8_t *out, uint32_t r, const uint8_t *q, uint32_t shift)
{
    uint32_t v = 0;
    for (uint32_t g = 0; g < 8; g++)
        v |= (word(q, g) >> shift & 0x01010101) << g;
    put(out, 0, r, v);
}

static void block_q2_k(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        copy16(out + 2 * r, p + 80);
        copy16(out + 32 + 2 * r, p + 82);
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t *sub = out + 64 + 160 * i;
            put_two(sub, r, p + 16 + 32 * (i / 4), 2 * (i % 4));
            copy16(sub + 128 + 2 * r, p + 2 * i);
        }
    }
}

static void block_q3_k(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        copy16(out + 2 * r, p + 108);
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t *sub = out + 32 + 224 * i;
            put_two(sub, r, p + 32 + 32 * (i / 4), 2 * (i % 4));
            put_one(sub + 128, r, p, i);
            for (uint32_t h = 2 * i; h < 2 * i + 2; h++) {
                uint32_t low = p[96 + h % 8] >> (h < 8 ? 0 : 4) & 15, high = p[104 + h % 4] >> 2 * (h / 4) & 3;
                sub[192 + 2 * r + h % 2] = (uint8_t)((low | high << 4) - 32);
            }
        }
    }
}

/* Scale and min i of Q4_K and Q5_K, 6 bits each in 12 bytes. */
static inline void put_k_scales(uint8_t *out, uint32_t r, const uint8_t *p, uint32_t i)
{
    out[r] = (uint8_t)(i < 4 ? p[i] & 63 : (p[i + 4] & 15) | p[i - 4] >> 6 << 4);
    out[16 + r] = (uint8_t)(i < 4 ? p[i + 4] & 63 : p[i + 4] >> 4 | p[i] >> 6 << 4);
}

static void block_q4_k(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        copy16(out + 2 * r, p);
        copy16(out + 32 + 2 * r, p + 2);
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t *sub = out + 64 + 288 * i;
            put_low(sub, r, p + 16 + 32 * (i / 2), 4 * (i % 2));
            put_k_scales(sub + 256, r, p + 4, i);
        }
    }
}

static void block_q5_k(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        copy16(out + 2 * r, p);
        copy16(out + 32 + 2 * r, p + 2);
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t *sub = out + 64 + 352 * i;
            put_low(sub, r, p + 48 + 32 * (i / 2), 4 * (i % 2));
            put_one(sub + 256, r, p + 16, i);
            put_k_scales(sub + 320, r, p + 4, i);
        }
    }
}

static void block_q6_k(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++, p += ld) {
        copy16(out + 2 * r, p + 208);
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t *sub = out + 32 + 416 * i;
            put_low(sub, r, p + 64 * (i / 4) + 32 * (i % 2), i % 4 < 2 ? 0 : 4);
            put_two(sub + 256, r, p + 128 + 32 * (i / 4), 2 * (i % 4));
            copy16(sub + 384 + 2 * r, p + 192 + 2 * i);
        }
    }
}

/* ---- floats: a block is one k -------------------------------------------------------------------------------------- */

static void block_f32(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++)
        put(out, 0, r, word(p + r * ld, 0));
}

static void block_f16(const uint8_t *p, size_t ld, uint32_t n, uint8_t *out)
{
    for (uint32_t r = 0; r < n; r++)
        copy16(out + 2 * r, p + r * ld);
}

/* By dtype, as numbered in GGUF. */
static block_fn *const block_fns[] = {
    [AIOS_DTYPE_F32] = block_f32,   [AIOS_DTYPE_F16] = block_f16,   [AIOS_DTYPE_BF16] = block_f16, [AIOS_DTYPE_Q4_0] = block_q4_0,
    [AIOS_DTYPE_Q4_1] = block_q4_1, [AIOS_DTYPE_Q5_0] = block_q5_0, [AIOS_DTYPE_Q5_1] = block_q5_1, [AIOS_DTYPE_Q8_0] = block_q8_0,
    [AIOS_DTYPE_Q2_K] = block_q2_k, [AIOS_DTYPE_Q3_K] = block_q3_k, [AIOS_DTYPE_Q4_K] = block_q4_k, [AIOS_DTYPE_Q5_K] = block_q5_k,
    [AIOS_DTYPE_Q6_K] = block_q6_k,
};

void aios__panel_pack(int32_t dtype, const void *src, uint32_t n_rows, uint32_t cols, uint8_t *dst)
{
    const aios__format *f = aios__format_of(dtype);
    size_t bytes = aios__panel_bytes(dtype, cols);
    if (!bytes)
        return;
    if (n_rows < AIOS__PANEL_ROWS)
        memset(dst, 0, bytes);
    else
        n_rows = AIOS__PANEL_ROWS;
    size_t n_blocks = cols / f->block, ld = n_blocks * f->block_bytes, step = bytes / n_blocks;
    for (size_t b = 0; b < n_blocks; b++)
        block_fns[dtype]((const uint8_t *)src + b * f->block_bytes, ld, n_rows, dst + b * step);
}

uint64_t aios__panel_layout(void)
{
    enum { COLS = 256, MOST = COLS * 16 * 4 };
    uint8_t src[MOST], panel[MOST];
    uint64_t sum = AIOS__PANEL_ROWS;
    for (uint32_t i = 0; i < MOST; i++)
        src[i] = (uint8_t)(i * 2654435761u >> 24);
    for (int32_t dtype = 0; dtype < (int32_t)AIOS__ARRAY_LEN(block_fns); dtype++) {
        size_t n = block_fns[dtype] ? aios__panel_bytes(dtype, COLS) : 0;
        if (n > MOST)
            n = MOST;
        aios__panel_pack(dtype, src, AIOS__PANEL_ROWS, n ? COLS : 0, panel);
        sum = aios__sum64(sum, panel, n);
    }
    return sum;
}
