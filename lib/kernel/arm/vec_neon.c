/* SPDX-License-Identifier: Apache-2.0 */
/* Float kernels of plain NEON. Every sum runs in one fixed order. */
#include <math.h>

#include "kernel/arm/exp_neon.h"
#include "kernel/half.h"
#include "kernel/vec.h"

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *out)
{
    float32x4_t part[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (uint32_t j = 0; j < 4; j++) {
            float32x4_t v = vld1q_f32(x + i + 4 * j);
            part[j] = vfmaq_f32(part[j], v, v);
        }
    }
    float sum = vaddvq_f32(vaddq_f32(vaddq_f32(part[0], part[1]), vaddq_f32(part[2], part[3])));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float s = 1.0f / sqrtf(sum / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4)
        vst1q_f32(out + i, vmulq_f32(vmulq_n_f32(vld1q_f32(x + i), s), vld1q_f32(w + i)));
    for (; i < n; i++)
        out[i] = x[i] * s * w[i];
}

static void add(float *y, const float *x, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vaddq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

static void mul(float *y, const float *x, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_f32(vld1q_f32(y + i), vld1q_f32(x + i)));
    for (; i < n; i++)
        y[i] *= x[i];
}

static void scale(float *y, float s, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_n_f32(vld1q_f32(y + i), s));
    for (; i < n; i++)
        y[i] *= s;
}

static inline float32x4_t silu4(float32x4_t v, float32x4_t x)
{
    return vmulq_f32(vdivq_f32(v, vaddq_f32(vdupq_n_f32(1.0f), exp4(vnegq_f32(v)))), x);
}

static inline float32x4_t gelu4(float32x4_t v, float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    float32x4_t u = vfmaq_f32(one, vmulq_n_f32(v, 0.044715f), v);
    u = vmulq_f32(vmulq_n_f32(v, -1.5957691216f), u);
    return vmulq_f32(vdivq_f32(v, vaddq_f32(one, exp4(u))), x);
}

/* The tail goes through the same vector code, so that a value never depends on where in the row it stands. */
#define GATE(name, fn)                                                                             \
    static void name(float *y, const float *x, uint32_t n)                                         \
    {                                                                                              \
        uint32_t i = 0;                                                                            \
        for (; i + 4 <= n; i += 4)                                                                 \
            vst1q_f32(y + i, fn(vld1q_f32(y + i), vld1q_f32(x + i)));                              \
        if (i < n) {                                                                               \
            float ty[4] = {0}, tx[4] = {0};                                                        \
            memcpy(ty, y + i, (n - i) * sizeof(float));                                            \
            memcpy(tx, x + i, (n - i) * sizeof(float));                                            \
            vst1q_f32(ty, fn(vld1q_f32(ty), vld1q_f32(tx)));                                       \
            memcpy(y + i, ty, (n - i) * sizeof(float));                                            \
        }                                                                                          \
    }
GATE(silu_mul, silu4)
GATE(gelu_mul, gelu4)

static void rope_norm(float *x, uint32_t n_heads, uint32_t dim, const float *cs)
{
    const uint32x4_t first = {0x80000000u, 0, 0x80000000u, 0}; /* of a pair: its product is taken off */
    for (uint32_t h = 0; h < n_heads; h++, x += dim) {
        uint32_t i = 0;
        for (; i + 4 <= dim; i += 4) {
            float32x4_t v = vld1q_f32(x + i), t = vld1q_f32(cs + i);
            float32x4_t other = vmulq_f32(vrev64q_f32(v), vtrn2q_f32(t, t));
            other = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(other), first));
            vst1q_f32(x + i, vfmaq_f32(other, v, vtrn1q_f32(t, t)));
        }
        for (; i + 1 < dim; i += 2) {
            float a = x[i], b = x[i + 1], c = cs[i], s = cs[i + 1];
            x[i] = fmaf(a, c, -(b * s));
            x[i + 1] = fmaf(b, c, a * s);
        }
    }
}

static void rope_neox(float *x, uint32_t n_heads, uint32_t dim, const float *cs)
{
    uint32_t half = dim / 2;
    for (uint32_t h = 0; h < n_heads; h++, x += dim) {
        uint32_t i = 0;
        for (; i + 4 <= half; i += 4) {
            float32x4x2_t t = vld2q_f32(cs + 2 * i);
            float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + half);
            vst1q_f32(x + i, vfmaq_f32(vnegq_f32(vmulq_f32(b, t.val[1])), a, t.val[0]));
            vst1q_f32(x + i + half, vfmaq_f32(vmulq_f32(a, t.val[1]), b, t.val[0]));
        }
        for (; i < half; i++) {
            float a = x[i], b = x[i + half], c = cs[2 * i], s = cs[2 * i + 1];
            x[i] = fmaf(a, c, -(b * s));
            x[i + half] = fmaf(b, c, a * s);
        }
    }
}

static void to_f16(const float *x, uint16_t *out, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++)
        out[i] = aios__f32_to_f16(x[i]);
}

static void from_f16(const uint16_t *x, float *out, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(x + i))));
    for (; i < n; i++)
        out[i] = aios__f16_to_f32(x[i]);
}

static uint32_t argmax(const float *x, uint32_t n)
{
    float32x4_t top = vdupq_n_f32(-INFINITY);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t v = vld1q_f32(x + i);
        top = vbslq_f32(vcgtq_f32(v, top), v, top); /* NaN is not above anything */
    }
    float m = vmaxvq_f32(top);
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    if (m == -INFINITY)
        return 0;
    for (i = 0; i < n; i++) {
        if (x[i] == m)
            return i;
    }
    return 0;
}

void aios__vec_init_neon(aios__kernels *k)
{
    k->rmsnorm = rmsnorm;
    k->add = add;
    k->mul = mul;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->scale = scale;
    k->rope_norm = rope_norm;
    k->rope_neox = rope_neox;
    k->to_f16 = to_f16;
    k->from_f16 = from_f16;
    k->argmax = argmax;
}
