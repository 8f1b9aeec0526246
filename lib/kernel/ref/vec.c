/* SPDX-License-Identifier: Apache-2.0 */
/* Readable reference of the float kernels: the specification that every ISA level is tested against. */
#include <math.h>

#include "kernel/half.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *out)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    float s = 1.0f / sqrtf((float)(sum / n) + eps);
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] * s * w[i];
}

static void add(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void mul(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] *= x[i];
}

static void silu_mul(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] = y[i] / (1.0f + expf(-y[i])) * x[i];
}

/* The tanh form: 0.5 v (1 + tanh(u)) = v / (1 + exp(-2u)), u = sqrt(2/pi) (v + 0.044715 v^3). */
static void gelu_mul(float *y, const float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float v = y[i];
        float u2 = 1.5957691216f * v * (1.0f + 0.044715f * v * v);
        y[i] = v / (1.0f + expf(-u2)) * x[i];
    }
}

static void scale(float *y, float s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        y[i] *= s;
}

/* Pairs are neighbours: (0,1), (2,3) ... */
static void rope_norm(float *x, uint32_t n_heads, uint32_t dim, const float *cs)
{
    for (uint32_t h = 0; h < n_heads; h++, x += dim) {
        for (uint32_t i = 0; i + 1 < dim; i += 2) {
            float a = x[i], b = x[i + 1];
            x[i] = a * cs[i] - b * cs[i + 1];
            x[i + 1] = a * cs[i + 1] + b * cs[i];
        }
    }
}

/* Pairs are half a head apart: (0, dim/2), (1, dim/2 + 1) ... */
static void rope_neox(float *x, uint32_t n_heads, uint32_t dim, const float *cs)
{
    uint32_t half = dim / 2;
    for (uint32_t h = 0; h < n_heads; h++, x += dim) {
        for (uint32_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            x[i] = a * cs[2 * i] - b * cs[2 * i + 1];
            x[i + half] = a * cs[2 * i + 1] + b * cs[2 * i];
        }
    }
}

static void to_f16(const float *x, uint16_t *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = aios__f32_to_f16(x[i]);
}

static void from_f16(const uint16_t *x, float *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        out[i] = aios__f16_to_f32(x[i]);
}

static uint32_t argmax(const float *x, uint32_t n)
{
    uint32_t best = 0;
    float top = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (x[i] > top) {
            top = x[i];
            best = i;
        }
    }
    return best;
}

void aios__vec_init_ref(aios__kernels *k)
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
