/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the GEMM kernels of any vector width share: formats as constants of always-inlined functions, and the loops around a tile. A
 * file of a level defines tile(f, panel, pf, act, n_blocks, w, out) and has AIOS__GEMMS make the kernel of each format of it.
 */
#ifndef AIOS_LIB_KERNEL_GEMM_TILE_H
#define AIOS_LIB_KERNEL_GEMM_TILE_H

#include "kernel/quant.h"
#include "kernel/unroll.h"

/** What the kernels must know of a format while compiling; the same facts as aios__format. */
typedef struct fmt {
    int bits; /* of a code */
    int zp, min, pairs, head, scales, sub;
} fmt;
#define FMT_Q4_0 ((fmt){4, 8, 0, 0, 0, 256, 288})
#define FMT_Q4_1 ((fmt){4, 0, 1, 0, 0, 256, 320})
#define FMT_Q5_0 ((fmt){5, 16, 0, 0, 0, 320, 352})
#define FMT_Q5_1 ((fmt){5, 0, 1, 0, 0, 320, 384})
#define FMT_Q8_0 ((fmt){8, 128, 0, 0, 0, 512, 544})
#define FMT_Q2_K ((fmt){2, 0, -1, 1, 64, 128, 160})
#define FMT_Q3_K ((fmt){3, 4, 0, 1, 32, 192, 224})
#define FMT_Q4_K ((fmt){4, 0, -1, 0, 64, 256, 288})
#define FMT_Q5_K ((fmt){5, 0, -1, 0, 64, 320, 352})
#define FMT_Q6_K ((fmt){6, 32, 0, 1, 32, 384, 416})

/** A panel against one tile of w tokens; pf: bytes to prefetch ahead. Sums go to out[w][16]. */
typedef void tile_fn(const uint8_t *panel, size_t pf, const uint8_t *act, uint32_t n_blocks, uint32_t w, float *out);

/** Offset, in an activation block of width w, of what the zero point adds to the dot product. */
AIOS__INLINE size_t seed_at(const fmt f, uint32_t w, uint32_t t)
{
    return aios__act_at(w, t, f.zp == 8 ? AIOS__ACT_S8 : f.zp == 16 ? AIOS__ACT_S16 : AIOS__ACT_S128);
}

AIOS__INLINE void prefetch(const fmt f, const uint8_t *p)
{
    AIOS__UNROLL(9)
    for (int i = 0; i < f.sub; i += 64)
        __builtin_prefetch(p + i);
}

/* Activations of this many bytes stay in the second-level cache while the panels pass by. */
enum { TOKENS_BYTES = 192 * 1024, PREFETCH_BYTES = 4096 };

AIOS__INLINE uint32_t tokens_per_pass(const aios__act *a)
{
    size_t n = TOKENS_BYTES / ((size_t)(a->k / 32 + 1) * AIOS__ACT_TOKEN) / AIOS__ACT_TILE * AIOS__ACT_TILE;
    return n < AIOS__ACT_TILE ? AIOS__ACT_TILE : (uint32_t)n;
}

AIOS__INLINE void store_rows(const float *sums, uint32_t w, uint32_t rows, float *out, size_t ld_out)
{
    for (uint32_t t = 0; t < w; t++, sums += AIOS__PANEL_ROWS, out += ld_out) {
        if (rows >= AIOS__PANEL_ROWS)
            memcpy(out, sums, AIOS__PANEL_ROWS * sizeof(float));
        else
            memcpy(out, sums, rows * sizeof(float));
    }
}

AIOS__INLINE void drive(tile_fn *fn, const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)
{
    float sums[AIOS__ACT_TILE * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    uint32_t step = tokens_per_pass(a);
    for (uint32_t c = 0; c < a->n_tokens; c += step) {
        uint32_t end = a->n_tokens - c < step ? a->n_tokens : c + step;
        for (uint32_t p = p0; p < p1; p++) {
            const uint8_t *panel = w->data + p * w->panel_bytes;
            uint32_t row = p * AIOS__PANEL_ROWS;
            for (uint32_t t = c; t < end; t += AIOS__ACT_TILE) {
                uint32_t width = aios__act_width(a, t);
                fn(panel, t == c ? PREFETCH_BYTES : 0, aios__act_tile(a, t), a->k / 32, width, sums);
                store_rows(sums, width, w->rows - row, out + t * ld_out + row, ld_out);
            }
        }
    }
}

/* The gemm of every quantized format, and their place in the table. */
#define AIOS__GEMM(TILE, name, F)                                                                                                         \
    static void tile_##name(const uint8_t *panel, size_t pf, const uint8_t *act, uint32_t n_blocks, uint32_t w, float *out)               \
    {                                                                                                                                     \
        TILE(F, panel, pf, act, n_blocks, w, out);                                                                                        \
    }                                                                                                                                     \
    static void gemm_##name(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)               \
    {                                                                                                                                     \
        drive(tile_##name, w, p0, p1, a, out, ld_out);                                                                                    \
    }
#define AIOS__GEMMS(TILE)                                                                                                                 \
    AIOS__GEMM(TILE, q4_0, FMT_Q4_0)                                                                                                      \
    AIOS__GEMM(TILE, q4_1, FMT_Q4_1)                                                                                                      \
    AIOS__GEMM(TILE, q5_0, FMT_Q5_0)                                                                                                      \
    AIOS__GEMM(TILE, q5_1, FMT_Q5_1)                                                                                                      \
    AIOS__GEMM(TILE, q8_0, FMT_Q8_0)                                                                                                      \
    AIOS__GEMM(TILE, q2_k, FMT_Q2_K)                                                                                                      \
    AIOS__GEMM(TILE, q3_k, FMT_Q3_K)                                                                                                      \
    AIOS__GEMM(TILE, q4_k, FMT_Q4_K)                                                                                                      \
    AIOS__GEMM(TILE, q5_k, FMT_Q5_K)                                                                                                      \
    AIOS__GEMM(TILE, q6_k, FMT_Q6_K)
#define AIOS__GEMMS_SET(k)                                                                                                                \
    do {                                                                                                                                  \
        (k)->gemm_q4_0 = gemm_q4_0;                                                                                                       \
        (k)->gemm_q4_1 = gemm_q4_1;                                                                                                       \
        (k)->gemm_q5_0 = gemm_q5_0;                                                                                                       \
        (k)->gemm_q5_1 = gemm_q5_1;                                                                                                       \
        (k)->gemm_q8_0 = gemm_q8_0;                                                                                                       \
        (k)->gemm_q2_k = gemm_q2_k;                                                                                                       \
        (k)->gemm_q3_k = gemm_q3_k;                                                                                                       \
        (k)->gemm_q4_k = gemm_q4_k;                                                                                                       \
        (k)->gemm_q5_k = gemm_q5_k;                                                                                                       \
        (k)->gemm_q6_k = gemm_q6_k;                                                                                                       \
    } while (0)

#endif
