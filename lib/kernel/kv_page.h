/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a page of keys and values, `wide` = dim rounded up to 16 (the rest zero):
 *   keys    [position / 16][d / 2][position % 16][d % 2]
 *   values  [position / 2][d][position % 2]
 *   scales  of the keys, of the values: 64 each, the upper half of a float
 * so that 64 bytes of I16 hold 16 positions (keys) or dimensions (values) x 2 of what is summed over. I4 has d and d + wide / 2 in one
 * byte, the latter above, both + 8; each half is laid out as above. A number is integer x scale.
 */
#ifndef AIOS_LIB_KERNEL_KV_PAGE_H
#define AIOS_LIB_KERNEL_KV_PAGE_H

#include <math.h>

#include "kernel/kernel.h"

/* Softmax weights become integers up to LIMIT_P; SPAN of them times values up to LIMIT_V stay below 2^31. */
enum { AIOS__KV_SPAN = 32, AIOS__KV_LIMIT_K = 32767, AIOS__KV_LIMIT_V = 8191, AIOS__KV_LIMIT_P = 8191 };

/* A part: the largest score of a segment, the sum of its weights, and from PART_V on the weighted sum of its values. */
enum { AIOS__PART_TOP, AIOS__PART_SUM, AIOS__PART_V = 16 };

static inline uint32_t aios__kv_wide(uint32_t dim)
{
    return (dim + 15) / 16 * 16;
}

/** Bytes of all keys, or of all values, of a page. */
static inline size_t aios__kv_half(int32_t type, uint32_t dim)
{
    return (size_t)AIOS__KV_PAGE * aios__kv_wide(dim) * (type == AIOS__KV_I16 ? 4 : type == AIOS__KV_I8 ? 2 : 1) / 2;
}

/** Scales of a page: 64 of the keys, then 64 of the values. */
static inline const uint16_t *aios__kv_scales(const void *page, int32_t type, uint32_t dim)
{
    return (const uint16_t *)(const void *)((const uint8_t *)page + 2 * aios__kv_half(type, dim));
}

static inline float aios__kv_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline uint32_t aios__kv_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

/** size, or the nearest that a scale can serve; NaN becomes the largest. */
static inline float aios__kv_sane(float size)
{
    return !(size < 0x1p60f) ? 0x1p60f : size > 0x1p-60f ? size : 0x1p-60f;
}

static inline float aios__kv_limit(int32_t type, bool is_key)
{
    return type == AIOS__KV_I8 ? 127 : type == AIOS__KV_I4 ? 7 : is_key ? AIOS__KV_LIMIT_K : AIOS__KV_LIMIT_V;
}

/** Scale of a key or value of this largest element and length, rounded up to what a page holds, so that no integer passes the limit. */
static inline float aios__kv_scale(int32_t type, bool is_key, float top, float length)
{
    float size = aios__kv_sane(type == AIOS__KV_I16 && is_key ? length : top);
    return aios__kv_float((aios__kv_bits(size / aios__kv_limit(type, is_key)) + 0xffff) & 0xffff0000u);
}

/** Scale of a query: with keys of a length below 2^15 its products stay below 2^31. */
static inline float aios__kv_scale_query(float length)
{
    return aios__kv_sane(length) / AIOS__KV_LIMIT_K;
}

/**
 * A value's scale as 2^e x part, 1/2 < part <= 1: softmax adds e to the score, so that its largest weight has the largest product
 * with a value, and the integer weight takes `part`.
 */
typedef struct aios__kv_weight {
    float e, part, inv; /**< inv: 2^-e */
} aios__kv_weight;
static inline aios__kv_weight aios__kv_weigh(uint16_t scale)
{
    uint32_t bits = (uint32_t)scale << 16, up = (bits + 0x7fffff) >> 23;
    up = up < 27 ? 27 : up > 227 ? 227 : up; /* what was never stored may be anything */
    float inv = aios__kv_float((254 - up) << 23);
    return (aios__kv_weight){(float)up - 127.0f, aios__kv_float(bits) * inv, inv};
}

/** Writes `wide` integers as key (is_key) or value of position pos. */
static inline void aios__kv_place(int32_t type, bool is_key, const int16_t *x, uint32_t wide, uint32_t pos, void *page)
{
    uint8_t *half = (uint8_t *)page + (is_key ? 0 : aios__kv_half(type, wide));
    uint32_t n = type == AIOS__KV_I4 ? wide / 2 : wide; /* places of the position */
    size_t at = is_key ? (size_t)(pos / 16) * 16 * n + pos % 16 * 2 : (size_t)(pos / 2) * 2 * n + pos % 2, step = is_key ? 32 : 4;
    uint32_t next = is_key ? 1 : 2; /* from the first of a pair of dimensions to the second */
    for (uint32_t d = 0; d < n; d += 2, at += step) {
        if (type == AIOS__KV_I16) {
            ((int16_t *)(void *)half)[at] = x[d];
            ((int16_t *)(void *)half)[at + next] = x[d + 1];
        } else if (type == AIOS__KV_I8) {
            half[at] = (uint8_t)x[d];
            half[at + next] = (uint8_t)x[d + 1];
        } else {
            half[at] = (uint8_t)(x[d] + 8 + (x[d + n] + 8) * 16);
            half[at + next] = (uint8_t)(x[d + 1] + 8 + (x[d + 1 + n] + 8) * 16);
        }
    }
}

/** Sets the scale of position pos; it is one that aios__kv_scale gave. */
static inline void aios__kv_set_scale(int32_t type, bool is_key, float scale, uint32_t wide, uint32_t pos, void *page)
{
    uint16_t *to = (uint16_t *)(void *)((uint8_t *)page + 2 * aios__kv_half(type, wide));
    to[(is_key ? 0 : AIOS__KV_PAGE) + pos] = (uint16_t)(aios__kv_bits(scale) >> 16);
}

/** The integer at (pos, d): for the reference and tests. */
static inline int32_t aios__kv_at(const void *page, int32_t type, bool is_key, uint32_t dim, uint32_t pos, uint32_t d)
{
    uint32_t wide = aios__kv_wide(dim), n = type == AIOS__KV_I4 ? wide / 2 : wide, low = d % n;
    const uint8_t *half = (const uint8_t *)page + (is_key ? 0 : aios__kv_half(type, dim));
    size_t at = is_key ? (size_t)(pos / 16) * 16 * n + low / 2 * 32 + pos % 16 * 2 + low % 2 : (size_t)(pos / 2) * 2 * n + low * 2 + pos % 2;
    if (type == AIOS__KV_I16)
        return ((const int16_t *)(const void *)half)[at];
    if (type == AIOS__KV_I8)
        return (int8_t)half[at];
    return (half[at] >> (low < d ? 4 : 0) & 15) - 8;
}

/**
 * Turns blocks of the largest power of two in dim (at most 256) by a Hadamard matrix, its own inverse: outliers spread over all
 * elements, so that few bits serve keys and values well, and products of keys and queries stay the same.
 */
static inline void aios__kv_turn(float *x, uint32_t dim)
{
    uint32_t n = dim & (0u - dim);
    n = n < 256 ? n : 256;
    float root = 1.0f / sqrtf((float)n);
    for (uint32_t half = 1; half < n; half *= 2) {
        for (uint32_t i = 0; i < dim; i += 2 * half) {
            for (uint32_t j = i; j < i + half; j++) {
                float a = x[j], b = x[j + half];
                x[j] = a + b;
                x[j + half] = a - b;
            }
        }
    }
    for (uint32_t i = 0; i < dim; i++)
        x[i] *= root;
}

#endif
