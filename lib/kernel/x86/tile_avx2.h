/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of the 256-bit GEMM kernels (AVX2, AVX-VNNI): unpacking of codes and scales, and the loops around a tile. The names
 * bits, zp, ... of a format are compile-time constants of always-inlined functions: each kernel is one such instance.
 */
#ifndef AIOS_LIB_KERNEL_TILE_AVX2_H
#define AIOS_LIB_KERNEL_TILE_AVX2_H

#include "kernel/quant.h"
#include "kernel/x86/intrin.h"

#define AIOS__INLINE static inline __attribute__((always_inline))

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

AIOS__INLINE __m256i load256(const void *p)
{
    return _mm256_loadu_si256(p);
}
AIOS__INLINE __m256i dword(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}
AIOS__INLINE __m256 single(const uint8_t *p)
{
    float v;
    memcpy(&v, p, 4);
    return _mm256_set1_ps(v);
}

/* Bits from .. of each byte moved to bit `to`; garbage from the neighbour byte is left for the mask. */
AIOS__INLINE __m256i move_bits(__m256i x, int from, int to)
{
    return from == to ? x : from > to ? _mm256_srli_epi16(x, from - to) : _mm256_slli_epi16(x, to - from);
}

/** Unsigned codes of rows 8h..8h+7, k group g of the sub-block at w. */
AIOS__INLINE __m256i codes(const fmt f, const uint8_t *w, const int g, const int h)
{
    const uint8_t *p = w + 32 * h;
    if (f.bits == 8)
        return load256(p + 64 * g);
    if (f.bits <= 3) {
        __m256i x = move_bits(load256(p + 64 * (g / 4)), 2 * (g % 4), 0);
        x = _mm256_and_si256(x, _mm256_set1_epi8(3));
        if (f.bits == 2)
            return x;
        return _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 128), g, 2), _mm256_set1_epi8(4)));
    }
    __m256i x = _mm256_and_si256(move_bits(load256(p + 64 * (g % 4)), 4 * (g / 4), 0), _mm256_set1_epi8(15));
    if (f.bits == 5)
        x = _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 256), g, 4), _mm256_set1_epi8(16)));
    if (f.bits == 6)
        x = _mm256_or_si256(x, _mm256_and_si256(move_bits(load256(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4), _mm256_set1_epi8(48)));
    return x;
}

/** Offset, in an activation block of width w, of what the zero point adds to the dot product. */
AIOS__INLINE size_t seed_at(const fmt f, uint32_t w, uint32_t t)
{
    return aios__act_at(w, t, f.zp == 8 ? AIOS__ACT_S8 : f.zp == 16 ? AIOS__ACT_S16 : AIOS__ACT_S128);
}

/** Float factors of 8 rows: w = d * code + m. For pairs d alone is per 256, and m its minimum's. */
typedef struct scales {
    __m256 d, m;
} scales;

AIOS__INLINE __m256 halves8(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
AIOS__INLINE __m256 bytes8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
AIOS__INLINE scales scales_of(const fmt f, const uint8_t *head, const uint8_t *w, const int h)
{
    const uint8_t *sc = w + f.scales, *d = f.head ? head : sc;
    scales s;
    s.d = halves8(d + 16 * h);
    s.m = f.min ? halves8(d + 32 + 16 * h) : _mm256_setzero_ps();
    if (f.min < 0)
        s.m = _mm256_xor_ps(s.m, _mm256_set1_ps(-0.0f));
    if (f.head && !f.pairs) {
        s.d = _mm256_mul_ps(s.d, bytes8(sc + 8 * h));
        s.m = _mm256_mul_ps(s.m, bytes8(sc + 16 + 8 * h));
    }
    return s;
}

/** Integer scales of types with one for each 16 k: 8 rows of (first half, second half). */
AIOS__INLINE __m256i pair_scales(const fmt f, const uint8_t *w, const int h)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(w + f.scales + 16 * h));
    if (f.min) /* Q2_K: scale in the low nibble, minimum in the high one */
        return _mm256_cvtepu8_epi16(_mm_and_si128(b, _mm_set1_epi8(15)));
    return _mm256_cvtepi8_epi16(b);
}
AIOS__INLINE __m256i pair_mins(const fmt f, const uint8_t *w, const int h)
{
    __m128i b = _mm_loadu_si128((const __m128i *)(w + f.scales + 16 * h));
    return _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(b, 4), _mm_set1_epi8(15)));
}
/** One half of the pairs in both places. */
AIOS__INLINE __m256i pair_half(__m256i v, const int half)
{
    return half ? _mm256_blend_epi16(_mm256_srli_epi32(v, 16), v, 0xaa) : _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}

/** Where up to four tokens of a block find their codes, scales, sums and seeds: u * 32 or u * 4 bytes on. */
typedef struct tokens {
    const uint8_t *q, *d, *ds, *bs, *seed;
} tokens;

/* Each base in a register of its own, or compilers keep one for every single offset and spill them. */
AIOS__INLINE const uint8_t *base(const uint8_t *p)
{
    __asm__("" : "+r"(p));
    return p;
}

AIOS__INLINE tokens tokens_of(const fmt f, const uint8_t *a, uint32_t w, uint32_t t)
{
    tokens k = {.q = base(a + 32 * t), .d = base(a + aios__act_at(w, t, AIOS__ACT_D))};
    if (f.min && !f.pairs)
        k.ds = base(a + aios__act_at(w, t, AIOS__ACT_DS));
    if (f.pairs)
        k.bs = base(a + aios__act_at(w, t, AIOS__ACT_BS));
    else if (f.zp)
        k.seed = base(a + seed_at(f, w, t));
    return k;
}

AIOS__INLINE void prefetch(const fmt f, const uint8_t *p)
{
AIOS__UNROLL(9)
    for (int i = 0; i < f.sub; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
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
        if (rows >= AIOS__PANEL_ROWS) {
            _mm256_storeu_ps(out, _mm256_loadu_ps(sums));
            _mm256_storeu_ps(out + 8, _mm256_loadu_ps(sums + 8));
        } else {
            memcpy(out, sums, rows * sizeof(float));
        }
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

/* The gemm of every quantized format from TILE(f, panel, pf, act, n_blocks, w, out), and their place in the table. */
#define AIOS__GEMM(TILE, name, F)                                                                                            \
    static void tile_##name(const uint8_t *panel, size_t pf, const uint8_t *act, uint32_t n_blocks, uint32_t w, float *out)  \
    {                                                                                                                        \
        if (w == 1)                                                                                                          \
            TILE(F, panel, pf, act, n_blocks, 1, out);                                                                       \
        else                                                                                                                 \
            TILE(F, panel, pf, act, n_blocks, w, out);                                                                       \
    }                                                                                                                        \
    static void gemm_##name(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)  \
    {                                                                                                                        \
        drive(tile_##name, w, p0, p1, a, out, ld_out);                                                                       \
    }
#define AIOS__GEMMS(TILE)                                                                                                    \
    AIOS__GEMM(TILE, q4_0, FMT_Q4_0)                                                                                         \
    AIOS__GEMM(TILE, q4_1, FMT_Q4_1)                                                                                         \
    AIOS__GEMM(TILE, q5_0, FMT_Q5_0)                                                                                         \
    AIOS__GEMM(TILE, q5_1, FMT_Q5_1)                                                                                         \
    AIOS__GEMM(TILE, q8_0, FMT_Q8_0)                                                                                         \
    AIOS__GEMM(TILE, q2_k, FMT_Q2_K)                                                                                         \
    AIOS__GEMM(TILE, q3_k, FMT_Q3_K)                                                                                         \
    AIOS__GEMM(TILE, q4_k, FMT_Q4_K)                                                                                         \
    AIOS__GEMM(TILE, q5_k, FMT_Q5_K)                                                                                         \
    AIOS__GEMM(TILE, q6_k, FMT_Q6_K)
#define AIOS__GEMMS_SET(k)                                                                                                   \
    do {                                                                                                                     \
        (k)->gemm_q4_0 = gemm_q4_0;                                                                                          \
        (k)->gemm_q4_1 = gemm_q4_1;                                                                                          \
        (k)->gemm_q5_0 = gemm_q5_0;                                                                                          \
        (k)->gemm_q5_1 = gemm_q5_1;                                                                                          \
        (k)->gemm_q8_0 = gemm_q8_0;                                                                                          \
        (k)->gemm_q2_k = gemm_q2_k;                                                                                          \
        (k)->gemm_q3_k = gemm_q3_k;                                                                                          \
        (k)->gemm_q4_k = gemm_q4_k;                                                                                          \
        (k)->gemm_q5_k = gemm_q5_k;                                                                                          \
        (k)->gemm_q6_k = gemm_q6_k;                                                                                          \
    } while (0)

#endif
