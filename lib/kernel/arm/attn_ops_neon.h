/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of attn_tile.h on 128 bits. A register of integers holds pairs of 16 bits apart: the first of all four below, the second
 * above, so that one SMLAL takes four of them times one lane. i_load and i_store bring them into that order and back.
 */
#ifndef AIOS_LIB_KERNEL_ATTN_OPS_NEON_H
#define AIOS_LIB_KERNEL_ATTN_OPS_NEON_H

#include "kernel/arm/exp_neon.h"
#include "kernel/kv_page.h"
#include "kernel/vec.h"

typedef float32x4_t vec;
typedef int32x4_t ivec;
enum { WIDTH = 4, VECS = 4 };
#define HOLD(v) ((void)(v)) /* registers of this CPU are many */
#define STEPS 5
#define v_set vdupq_n_f32
#define v_load vld1q_f32
#define v_store vst1q_f32
#define v_add vaddq_f32
#define v_sub vsubq_f32
#define v_mul vmulq_f32
#define v_div vdivq_f32
#define v_max vmaxnmq_f32
#define v_min vminnmq_f32
#define v_exp2 exp2_4
#define v_hsum vaddvq_f32
#define v_hmax vmaxnmvq_f32
#define v_from_bits vreinterpretq_f32_s32
#define v_from_int vcvtq_f32_s32
#define i_set vdupq_n_s32
#define i_add vaddq_s32
#define i_sub vsubq_s32
#define i_min vminq_s32
#define i_max vmaxq_s32

static inline float32x4_t v_fma(float32x4_t a, float32x4_t b, float32x4_t c)
{
    return vfmaq_f32(c, a, b);
}
static inline float v_first(float32x4_t v)
{
    return vgetq_lane_f32(v, 0);
}
static inline int32x4_t i_apart(int16x8_t v)
{
    return vreinterpretq_s32_s16(__builtin_shufflevector(v, v, 0, 2, 4, 6, 1, 3, 5, 7));
}
static inline int32x4_t i_load(const int16_t *p)
{
    return i_apart(vld1q_s16(p));
}
static inline void i_store(void *p, int32x4_t v)
{
    const int16x8_t w = vreinterpretq_s16_s32(v);
    vst1q_s16((int16_t *)p, __builtin_shufflevector(w, w, 0, 4, 1, 5, 2, 6, 3, 7));
}
/* Two 16-bit integers to every pair of lanes. */
static inline int32x4_t i_pair(const int16_t *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return vdupq_n_s32(pair);
}
static inline int32x4_t i_dot(int32x4_t acc, int32x4_t pair, int32x4_t apart)
{
    const int16x4_t w = vget_low_s16(vreinterpretq_s16_s32(pair));
    const int16x8_t f = vreinterpretq_s16_s32(apart);
    return vmlal_high_lane_s16(vmlal_lane_s16(acc, vget_low_s16(f), w, 0), f, w, 1);
}
static inline int32x4_t i_shift23(int32x4_t v)
{
    return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(v), 23));
}
static inline int32x4_t i_left23(int32x4_t v)
{
    return vshlq_n_s32(v, 23);
}
/* 4 halves as the upper halves of words. */
static inline int32x4_t i_upper(const uint16_t *p)
{
    return vreinterpretq_s32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline int32x4_t i_widen(const int8_t *p)
{
    return i_apart(vmovl_s8(vld1_s8(p)));
}
/* The lower nibble of each 16-bit integer, less 8. */
static inline int32x4_t i_nibble(int32x4_t v)
{
    return vreinterpretq_s32_s16(vsubq_s16(vandq_s16(vreinterpretq_s16_s32(v), vdupq_n_s16(15)), vdupq_n_s16(8)));
}
static inline int32x4_t i_shift4(int32x4_t v)
{
    return vreinterpretq_s32_u16(vshrq_n_u16(vreinterpretq_u16_s32(v), 4));
}
static inline void v_to_i16(int16_t *p, float32x4_t v)
{
    vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(v)));
}

/* v at positions lo .. hi-1, -infinity at others; element 0 is position i. */
static inline float32x4_t v_inside(float32x4_t v, int i, int lo, int hi)
{
    const int32x4_t count = {0, 1, 2, 3}, pos = vaddq_s32(count, vdupq_n_s32(i));
    uint32x4_t in = vandq_u32(vcgeq_s32(pos, vdupq_n_s32(lo)), vcltq_s32(pos, vdupq_n_s32(hi)));
    return vbslq_f32(in, v, vdupq_n_f32(-INFINITY));
}

/* e, or 0 where v is -infinity. */
static inline float32x4_t v_drop(float32x4_t e, float32x4_t v)
{
    uint32x4_t none = vceqq_f32(v, vdupq_n_f32(-INFINITY));
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(e), none));
}

#endif
