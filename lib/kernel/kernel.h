/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/kernel: the kernel table, weight panels, quantized activations. */
#ifndef AIOS_LIB_KERNEL_H
#define AIOS_LIB_KERNEL_H

#include "device/device.h"
#include "tensor/tensor.h"

/*
 * Weight panels. A matrix of `rows` outputs by `cols` inputs (a GGUF tensor ne = {cols, rows}) is repacked once into panels
 * of 16 rows; inside a panel blocks of 32 k, and inside a block 8 groups of 4 k, so that 64 bytes hold 16 rows x 4 k
 * (design: docs/performance.md). The layout is the same at every ISA level. The last panel is padded with zero rows.
 */
enum { AIOS__PANEL_ROWS = 16 };
typedef struct aios__panels {
    int32_t dtype;
    uint32_t rows, cols;
    uint32_t n_panels;
    size_t panel_bytes;
    const uint8_t *data; /**< n_panels * panel_bytes, 64-aligned, plus aios__PANEL_SLACK readable bytes */
    const uint8_t *low;  /**< split: lower halves of the 8-bit codes, n_panels * low_bytes, while data has the upper ones; else NULL */
    size_t low_bytes;
} aios__panels;
#define AIOS__PANEL_SLACK 16384 /* prefetch and whole-vector loads may run past the end */

/** Bytes of one panel; 0 if dtype or cols cannot be packed (cols must be a multiple of the block). */
size_t aios__panel_bytes(int32_t dtype, uint32_t cols);
/** Packs rows [16*panel, ...) from `src`, the rows' GGUF bytes (n_rows <= 16 of them, the rest padded), to dst. Thread-safe. */
void aios__panel_pack(int32_t dtype, const void *src, uint32_t n_rows, uint32_t cols, uint8_t *dst);
/** A number that changes when panels of any type change; images of packed weights are kept by it. */
uint64_t aios__panel_layout(void);
/**
 * Splits a Q8_0 panel into planes of half codes, panel_bytes and low_bytes of which aios__panels says by aios__split_set: so that the
 * largest of many rows is found by reading half of most (aios__bound). And back, into aios__panel_bytes.
 */
void aios__panel_split(const uint8_t *panel, uint32_t cols, uint8_t *high, uint8_t *low);
void aios__panel_merge(const uint8_t *high, const uint8_t *low, uint32_t cols, uint8_t *panel);
/** Makes whole Q8_0 panels at data split ones: low planes stand behind all high ones. */
void aios__split_set(aios__panels *w);
/** Dequantizes one row of the panels (embedding lookup): exactly the values of the GGUF format. */
void aios__panel_row(const aios__panels *w, uint32_t row, float *out);
/** Dequantizes n elements of GGUF bytes (n a whole number of blocks): the specification of each format. */
int aios__dequantize(int32_t dtype, const void *src, size_t n, float *out);
/** 1 if gemm of this dtype reads quantized activations, 0 if floats. */
int aios__gemm_wants_q8(int32_t dtype);

/*
 * Activations of n_tokens rows of k floats. For quantized weights they are quantized once: int8 per block of 32 with a float
 * scale and the block's integer sum; the memory layout is the kernels' own affair.
 */
typedef struct aios__act {
    uint32_t n_tokens, k;
    const float *x; /**< row-major, for float weights */
    size_t ld;      /**< floats from one row to the next */
    void *q;        /**< aios__act_bytes(n_tokens, k), 64-aligned; for quantized weights */
} aios__act;
enum { AIOS__ACT_TILE = 16 }; /**< quantize in ranges that begin at a multiple of this, so that threads do not clash */
size_t aios__act_bytes(uint32_t n_tokens, uint32_t k);

/**
 * out[t * ld_out + row] = dot(weights row, activation t) for the rows of panels [p0, p1) (rows beyond w->rows are not
 * written) and all tokens of a. The sum over k runs in one fixed order, so a result never depends on n_tokens or the split.
 */
typedef void aios__gemm_fn(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out);
/** Quantizes blocks of 32 [b0, b1) of tokens [t0, t1) of a->x into a->q. Round to nearest even, scale max|x|/127. */
typedef void aios__quantize_fn(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1);

/*
 * Upper bounds of the outputs of a split matrix from its high planes alone, that hold whatever the low ones are and however the sums
 * of the product are rounded. n_tokens is at most AIOS__ACT_TILE.
 */
typedef struct aios__bound {
    const aios__panels *w;
    const aios__act *a;
    const float *reach; /**< [token][k / 32], of aios__bound_reach */
    float *upper;       /**< [token][panel]: no finite output of the panel is above it */
} aios__bound;
/** What low halves can add in a block whose scale is 1; false: the activations are too large for bounds. */
bool aios__bound_reach(const aios__act *a, float *reach);
/** Panels [p0, p1). */
typedef void aios__bound_fn(const aios__bound *x, uint32_t p0, uint32_t p1);

typedef void aios__rmsnorm_fn(const float *x, const float *w, uint32_t n, float eps, float *out);
typedef void aios__vec2_fn(float *y, const float *x, uint32_t n); /**< y op= x */
typedef void aios__scale_fn(float *y, float s, uint32_t n);
/** Rotates n_heads heads of dim floats in place; cs = dim/2 pairs (cos, sin). */
typedef void aios__rope_fn(float *x, uint32_t n_heads, uint32_t dim, const float *cs);
typedef void aios__to_f16_fn(const float *x, uint16_t *out, uint32_t n);
typedef void aios__from_f16_fn(const uint16_t *x, float *out, uint32_t n);
/** Index of the largest (the first of equals; NaN never wins). */
typedef uint32_t aios__argmax_fn(const float *x, uint32_t n);

/*
 * Attention. Keys and values are integers with a scale a position, in pages of AIOS__KV_PAGE positions of one KV head (kv_page.h),
 * and queries and softmax weights become integers too: sums of products are exact, so no order of theirs matters, and they run at twice
 * the speed of floats. I16 is as large as f16 and keeps more: 15 bits of a key's length, 13 of a value's largest element.
 */
enum { AIOS__KV_PAGE = 64, AIOS__KV_SEGMENT = 256, AIOS__ATTN_ROWS = 48 };
enum aios__kv_type { AIOS__KV_I16, AIOS__KV_I8, AIOS__KV_I4, AIOS__KV_TYPES };
/** Bytes of a page, a multiple of 64. dim: a multiple of 8, at most 1024. */
size_t aios__kv_page_bytes(int32_t kv_type, uint32_t dim);
/** Stores dim floats each of a key and a value as position pos (0 .. 63) of a page; other positions may be stored at the same time. */
typedef void aios__kv_store_fn(int32_t kv_type, const float *k, const float *v, uint32_t dim, uint32_t pos, void *page);

/*
 * Rows of one attention: n_tokens tokens x the n_heads query heads that share a KV head. Token t sees positions lo[t] <= p < hi[t].
 * Positions are summed in segments of AIOS__KV_SEGMENT, merged in order; a row's result is the same bits whatever rows stand
 * beside it and whoever computed its segments.
 */
typedef struct aios__attn {
    const float *q;  /**< head h of token t: dim floats at q + t * q_ld + h * dim; out likewise */
    size_t q_ld;
    float *out;
    size_t out_ld;
    const void *const *pages;
    const uint32_t *lo, *hi;
    uint32_t n_tokens, n_heads, dim;
    int32_t kv_type;
    float scale;
    float softcap;   /**< 0: none */
    void *scratch;   /**< aios__attn_scratch(dim) bytes, 64-aligned */
    float *parts;    /**< one token: its segments go to [head][segment - first][aios__attn_part(dim)] and not to out; NULL: all to out */
    uint32_t seg0, seg1; /**< with parts: only segments [seg0, seg1) of the token's, counted from its first */
} aios__attn;
size_t aios__attn_scratch(uint32_t dim);
size_t aios__attn_part(uint32_t dim); /**< floats */
/** Segments that positions [lo, hi) touch. */
static inline uint32_t aios__attn_segments(uint32_t lo, uint32_t hi)
{
    return lo < hi ? (hi - 1) / AIOS__KV_SEGMENT - lo / AIOS__KV_SEGMENT + 1 : 0;
}
/** attn computes rows; attn_merge makes out of the parts of all segments of one token. */
typedef void aios__attn_fn(const aios__attn *a);

/** One field for each row of kernels.def. */
typedef struct aios__kernels {
#define K(name, type, family) type *name;
#include "kernel/kernels.def"
#undef K
    uint32_t levels; /**< the ISA bits it was built for */
} aios__kernels;

/** The table for a set of levels: ref first, then each level present, ascending. */
void aios__kernels_init(aios__kernels *k, uint32_t levels);
/** The table of ctx, made once; borrowed. NULL + err. */
const aios__kernels *aios__ctx_kernels(aios_ctx *ctx, aios_error *err);
/** The gemm of a dtype, or NULL if it is not supported; of a split matrix: gemm_split. */
aios__gemm_fn *aios__gemm_of(const aios__kernels *k, int32_t dtype);
/** BLAS for these F32 panels and activations; NULL if it is not built in or they do not suit it. Not reproducible: see blas.c. */
aios__gemm_fn *aios__blas_gemm(const aios__panels *w, const aios__act *a, size_t ld_out);

#endif
