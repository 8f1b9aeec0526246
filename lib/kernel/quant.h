/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to lib/kernel: how weights lie in a panel and activations in a tile. Everything here is the same at every ISA level.
 *
 * Quantized panel: for each 32 k a "sub-block" of 16 rows; types with 256-blocks put a head (d, dmin of the 16 rows) in front of
 * every eight. A sub-block is its code planes, then its scales. Code of row r, k = 4g + c (g 0..7, c 0..3) is unsigned and cut
 * into planes of 8, 4, 2 or 1 bits, lowest first; within a plane byte i = 4r + c of 64:
 *   8 bits: byte 64g + i         4 bits: byte 64(g % 4) + i, shift 4(g / 4)
 *   2 bits: byte 64(g / 4) + i, shift 2(g % 4)          1 bit: byte i, shift g
 * Scales: f16 d[16] (and f16 m[16]) for types of 32; 8-bit codes sc[16], mn[16] for Q4_K, Q5_K; pairs [16][2] for the types with a
 * scale per 16 k. Float panels are [k][16] in the type of the file.
 *
 * Activation tile: up to 16 tokens; its width W is what is left of n_tokens. For each 32 k: q[W][32], then six arrays of W dwords.
 */
#ifndef AIOS_LIB_KERNEL_QUANT_H
#define AIOS_LIB_KERNEL_QUANT_H

#include "kernel/kernel.h"

enum { AIOS__ACT_TOKEN = 32 + 6 * 4 }; /* bytes of a token in a block */
enum aios__act_field {
    AIOS__ACT_D,   /* float scale */
    AIOS__ACT_DS,  /* float scale * sum of the 32 codes */
    AIOS__ACT_BS,  /* int16 sums of the two halves */
    AIOS__ACT_S8,  /* int32 -8 * sum: what a zero point of 8 adds to the dot product, and so on */
    AIOS__ACT_S16,
    AIOS__ACT_S128,
};

/** Width of the tile that begins at token t0. */
static inline uint32_t aios__act_width(const aios__act *a, uint32_t t0)
{
    return a->n_tokens - t0 < AIOS__ACT_TILE ? a->n_tokens - t0 : AIOS__ACT_TILE;
}
static inline uint8_t *aios__act_tile(const aios__act *a, uint32_t t0)
{
    return (uint8_t *)a->q + (size_t)t0 * (a->k / 32) * AIOS__ACT_TOKEN;
}
/** Byte offset of a field of token t in a block of width w. */
static inline size_t aios__act_at(uint32_t w, uint32_t t, enum aios__act_field f)
{
    return (size_t)w * 32 + (size_t)w * 4 * f + (size_t)t * 4;
}

/** Sets the fields of token t of a block of width w: its scale, and the sums of both halves of its codes. */
static inline void aios__act_set(uint8_t *blk, uint32_t w, uint32_t t, float d, int32_t s0, int32_t s1)
{
    int32_t s = s0 + s1, s8 = -8 * s, s16 = -16 * s, s128 = -128 * s;
    int16_t pair[2] = {(int16_t)s0, (int16_t)s1};
    float ds = d * (float)s;
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_D), &d, 4);
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_DS), &ds, 4);
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_BS), pair, 4);
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_S8), &s8, 4);
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_S16), &s16, 4);
    memcpy(blk + aios__act_at(w, t, AIOS__ACT_S128), &s128, 4);
}

/** Quantizes 32 floats as token t of a block of width w. */
typedef void aios__quantize_32_fn(const float *x, uint8_t *blk, uint32_t w, uint32_t t);
/** aios__quantize_fn by blocks of one token. */
static inline __attribute__((always_inline)) void aios__quantize_singly(aios__quantize_32_fn *fn, const aios__act *a, uint32_t t0, uint32_t t1,
                                                                        uint32_t b0, uint32_t b1)
{
    for (uint32_t t = t0; t < t1; t++) {
        uint32_t first = t - t % AIOS__ACT_TILE, w = aios__act_width(a, first);
        uint8_t *blk = aios__act_tile(a, first) + (size_t)b0 * w * AIOS__ACT_TOKEN;
        for (uint32_t b = b0; b < b1; b++, blk += (size_t)w * AIOS__ACT_TOKEN)
            fn(a->x + t * a->ld + 32 * (size_t)b, blk, w, t - first);
    }
}

/** One row a quantized or float type. */
typedef struct aios__format {
    int32_t dtype;
    uint16_t block;        /* elements of a GGUF block */
    uint16_t block_bytes;
    uint8_t planes[2];     /* bits of the code planes, lowest first; {0}: floats */
    uint8_t zp;            /* value = scale * (code - zp) ... */
    int8_t min;            /* ... + min * m: 0 none, 1 or -1 */
    uint8_t pairs;         /* 1: a scale for each 16 k */
    uint16_t head;         /* bytes in front of a 256-block */
    uint16_t scales;       /* offset of the scales in a sub-block */
    uint16_t sub;          /* bytes of a sub-block (floats: of 16 rows of one k) */
} aios__format;
const aios__format *aios__format_of(int32_t dtype);

/** 32 consecutive elements of a row. value = (d * sc[h]) * (q - zp) + min * (m * mn[h]), h = half of 16. */
typedef struct aios__sub {
    uint8_t q[32];
    uint16_t d, m; /* f16 bits */
    int16_t sc[2];
    int16_t mn[2];
} aios__sub;

/** Elements [32 i, 32 i + 32) of the GGUF block at p. */
void aios__sub_decode(const aios__format *f, const uint8_t *p, uint32_t i, aios__sub *s);
/** Block b of row r (0..15) of a panel. */
void aios__sub_fetch(const aios__format *f, const uint8_t *panel, uint32_t b, uint32_t r, aios__sub *s);
void aios__sub_values(const aios__format *f, const aios__sub *s, float out[32]);
/** Offset of sub-block b in a panel. */
static inline size_t aios__sub_at(const aios__format *f, uint32_t b)
{
    return (size_t)b * f->sub + (f->head ? (size_t)(b / 8 + 1) * f->head : 0);
}

/** aios__panel_pack in its readable form: the specification that pack.c is held against. */
void aios__panel_pack_plain(int32_t dtype, const void *src, uint32_t n_rows, uint32_t cols, uint8_t *dst);

float aios__f16_float(uint16_t h);
static inline float aios__bf16_float(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* What each file of a level adds to the table. */
void aios__gemm_init_ref(aios__kernels *k);
void aios__quantize_init_ref(aios__kernels *k);
void aios__gemm_init_avx2(aios__kernels *k);
void aios__float_init_avx2(aios__kernels *k);
void aios__gemm_init_avxvnni(aios__kernels *k);
void aios__gemm_init_avx512(aios__kernels *k);
void aios__quantize_init_avx512(aios__kernels *k);
void aios__gemm_init_avx512vnni(aios__kernels *k);
void aios__gemm_init_neon(aios__kernels *k);
void aios__float_init_neon(aios__kernels *k);
void aios__gemm_init_dotprod(aios__kernels *k);
void aios__gemm_init_i8mm(aios__kernels *k);

#endif
