/* SPDX-License-Identifier: Apache-2.0 */
/* exp over 4 floats: the polynomials of the x86 levels, so that they say where they come from. */
#ifndef AIOS_LIB_KERNEL_EXP_NEON_H
#define AIOS_LIB_KERNEL_EXP_NEON_H

#include <arm_neon.h>

/* As exp8 in x86/exp_avx2.h. */
static inline float32x4_t exp4(float32x4_t x)
{
    x = vminnmq_f32(vmaxnmq_f32(x, vdupq_n_f32(-104.0f)), vdupq_n_f32(89.0f));
    float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504f)));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(0.693359375f));
    r = vfmsq_f32(r, n, vdupq_n_f32(-2.12194440e-4f));
    float32x4_t p = vdupq_n_f32(1.9875691500e-4f);
    p = vfmaq_f32(vdupq_n_f32(1.3981999507e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(8.3334519073e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(4.1665795894e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.6666665459e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.0000001201e-1f), p, r);
    p = vfmaq_f32(vaddq_f32(r, vdupq_n_f32(1.0f)), p, vmulq_f32(r, r));
    int32x4_t i = vcvtnq_s32_f32(n), half = vshrq_n_s32(i, 1), rest = vsubq_s32(i, half), bias = vdupq_n_s32(127);
    float32x4_t a = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    float32x4_t b = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23));
    return vmulq_f32(vmulq_f32(p, a), b);
}

/* As exp2_16 in x86/exp_avx512.h. */
static inline float32x4_t exp2_4(float32x4_t x)
{
    const float32x4_t magic = vdupq_n_f32(12582912.0f);
    x = vmaxnmq_f32(x, vdupq_n_f32(-126.0f));
    float32x4_t shifted = vaddq_f32(x, magic), r = vsubq_f32(x, vsubq_f32(shifted, magic));
    float32x4_t p = vdupq_n_f32(1.326472615e-3f);
    p = vfmaq_f32(vdupq_n_f32(9.671512991e-3f), p, r);
    p = vfmaq_f32(vdupq_n_f32(5.550733581e-2f), p, r);
    p = vfmaq_f32(vdupq_n_f32(2.402224243e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(6.931470037e-1f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23)));
}

#endif
