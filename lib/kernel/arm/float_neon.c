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

AIOS__INLINE void gemm_floats(const int32_t dtype, const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out,
                              size_t ld_out)
{
    float sums[4 * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    for (uint32_t p = p0; p < p1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        uint32_t row = p * AIOS__PANEL_ROWS, n;
        for (uint32_t t = 0; t < a->n_tokens; t += n) {
            uint32_t left = a->n_tokens - t;
            const float *x = a->x + t * a->ld;
            n = left >= 4 ? 4 : left >= 2 ? 2 : 1;
            if (n == 4)
                tile_floats(dtype, panel, x, a->ld, a->k, 4, sums);
            else if (n == 2)
                tile_floats(dtype, panel, x, a->ld, a->k, 2, sums);
            else
                tile_floats(dtype, panel, x, a->ld, a->k, 1, sums);
            store_rows(sums, n, w->rows - row, out + t * ld_out + row, ld_out);
        }
    }
}

#define GEMM(name, DTYPE)                                                                                                                 \
    static void gemm_##name(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)               \
    {                                                                                                                                     \
        gemm_floats(DTYPE, w, p0, p1, a, out, ld_out);                                                                                    \
    }
GEMM(f32, AIOS_DTYPE_F32)
GEMM(f16, AIOS_DTYPE_F16)
GEMM(bf16, AIOS_DTYPE_BF16)

AIOS__INLINE void put(uint8_t *p, const void *v)
{
    memcpy(p, v, 4);
}

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
    int32_t s = s0 + s1, s8 = -8 * s, s16 = -16 * s, s128 = -128 * s;
    int16_t pair[2] = {(int16_t)s0, (int16_t)s1};
    float ds = d * (float)s;
    put(blk + aios__act_at(w, t, AIOS__ACT_D), &d);
    put(blk + aios__act_at(w, t, AIOS__ACT_DS), &ds);
    put(blk + aios__act_at(w, t, AIOS__ACT_BS), pair);
    put(blk + aios__act_at(w, t, AIOS__ACT_S8), &s8);
    put(blk + aios__act_at(w, t, AIOS__ACT_S16), &s16);
    put(blk + aios__act_at(w, t, AIOS__ACT_S128), &s128);
}

static void quantize(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    for (uint32_t t = t0; t < t1; t++) {
        uint32_t first = t - t % AIOS__ACT_TILE, w = aios__act_width(a, first);
        uint8_t *blk = aios__act_tile(a, first) + (size_t)b0 * w * AIOS__ACT_TOKEN;
        for (uint32_t b = b0; b < b1; b++, blk += (size_t)w * AIOS__ACT_TOKEN)
            quantize_32(a->x + t * a->ld + 32 * (size_t)b, blk, w, t - first);
    }
}

void aios__float_init_neon(aios__kernels *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
    k->quantize = quantize;
}
