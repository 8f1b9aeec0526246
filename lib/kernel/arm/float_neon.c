/* SPDX-License-Identifier: Apache-2.0 */
/* Plain NEON: GEMM over float panels, and the quantizer. */
#include <float.h>

#include "kernel/arm/codes_neon.h"

/* Rows 4r..4r+3 of the k at p. */
AIOS__INLINE float32x4_t floats4(const int32_t dtype, const uint8_t *p, const int r)
{
    if (dtype == AIOS_DTYPE_F32)
        return vreinterpretq_f32_u8(vld1q_u8(p + 16 * r));
    if (dtype == AIOS_DTYPE_F16)
        return halves4(p + 8 * r);
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p + 8 * r)), 16));
}

/* A panel against n tokens: the accumulators of all of them are in registers, one chain an output. */
AIOS__INLINE void tile_floats(const int32_t dtype, const uint8_t *w, const float *x, size_t ld, uint32_t k, const int n, float *out)
{
    const int bytes = dtype == AIOS_DTYPE_F32 ? 4 : 2;
    float32x4_t acc[4][QUADS];
    AIOS__UNROLL(4)
    for (int t = 0; t < n; t++)
        acc[t][0] = acc[t][1] = acc[t][2] = acc[t][3] = vdupq_n_f32(0);
    for (uint32_t i = 0; i < k; i++, w += 16 * bytes) {
        float32x4_t v[QUADS];
        if (bytes == 4 || i % 2 == 0)
            __builtin_prefetch(w + PREFETCH_BYTES);
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++)
            v[r] = floats4(dtype, w, r);
        AIOS__UNROLL(4)
        for (int t = 0; t < n; t++) {
            const float32x4_t f = vdupq_n_f32(x[(size_t)t * ld + i]);
            AIOS__UNROLL(4)
            for (int r = 0; r < QUADS; r++)
                acc[t][r] = vfmaq_f32(acc[t][r], v[r], f);
        }
    }
    AIOS__UNROLL(4)
    for (int t = 0; t < n; t++) {
        AIOS__UNROLL(4)
        for (int r = 0; r < QUADS; r++)
            vst1q_f32(out + 16 * t + 4 * r, acc[t][r]);
    }
}

enum { MOST = 4, SOME = 2 };
#include "kernel/gemm_floats.h"

/* ref/quantize.c says what each step is for. */
static void quantize_32(const float *x, uint8_t *blk, uint32_t w, uint32_t t)
{
    float32x4_t v[8];
    int32x4_t q[8];
    uint32x4_t top = vdupq_n_u32(0);
    AIOS__UNROLL(8)
    for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(v[i]), vdupq_n_u32(0x7fffffff)));
    }
    uint32_t bits = vmaxvq_u32(top);
    float max, id = 0.0f;
    memcpy(&max, &bits, 4);
    float d = max / 127.0f;
    if (d < FLT_MIN)
        d = 0.0f;
    else if (d <= FLT_MAX)
        id = 1.0f / d;
    const float32x4_t lo = vdupq_n_f32(-127.0f), hi = vdupq_n_f32(127.0f);
    AIOS__UNROLL(8)
    for (int i = 0; i < 8; i++) /* of NaN and a number the number */
        q[i] = vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(vmulq_n_f32(v[i], id), lo), hi));
    AIOS__UNROLL(2)
    for (int h = 0; h < 2; h++) {
        const int16x8_t low = vcombine_s16(vmovn_s32(q[4 * h]), vmovn_s32(q[4 * h + 1]));
        const int16x8_t high = vcombine_s16(vmovn_s32(q[4 * h + 2]), vmovn_s32(q[4 * h + 3]));
        vst1q_s8((int8_t *)blk + 32 * (size_t)t + 16 * h, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
    int32_t s0 = vaddvq_s32(vaddq_s32(vaddq_s32(q[0], q[1]), vaddq_s32(q[2], q[3])));
    int32_t s1 = vaddvq_s32(vaddq_s32(vaddq_s32(q[4], q[5]), vaddq_s32(q[6], q[7])));
    aios__act_set(blk, w, t, d, s0, s1);
}

static void quantize(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    aios__quantize_singly(quantize_32, a, t0, t1, b0, b1);
}

void aios__float_init_neon(aios__kernels *k)
{
    set_floats(k);
    k->quantize = quantize;
}
