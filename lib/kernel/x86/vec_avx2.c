/* SPDX-License-Identifier: Apache-2.0 */
/* Float kernels at AVX2 + FMA + F16C. Every sum runs in one fixed order. */
#include <math.h>

#include "kernel/half.h"
#include "kernel/vec.h"
#include "kernel/x86/exp_avx2.h"

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *out)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        __m256 c = _mm256_loadu_ps(x + i + 16), d = _mm256_loadu_ps(x + i + 24);
        s0 = _mm256_fmadd_ps(a, a, s0);
        s1 = _mm256_fmadd_ps(b, b, s1);
        s2 = _mm256_fmadd_ps(c, c, s2);
        s3 = _mm256_fmadd_ps(d, d, s3);
    }
    float sum = hsum8(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float s = 1.0f / sqrtf(sum / (float)n + eps);
    __m256 vs = _mm256_set1_ps(s);
    for (i = 0; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), vs), _mm256_loadu_ps(w + i)));
    for (; i < n; i++)
        out[i] = x[i] * s * w[i];
}

static void add(float *y, const float *x, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] += x[i];
}

static void mul(float *y, const float *x, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    for (; i < n; i++)
        y[i] *= x[i];
}

static void scale(float *y, float s, uint32_t n)
{
    __m256 vs = _mm256_set1_ps(s);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), vs));
    for (; i < n; i++)
        y[i] *= s;
}

static inline __m256 silu8(__m256 v, __m256 x)
{
    __m256 e = exp8(_mm256_sub_ps(_mm256_setzero_ps(), v));
    return _mm256_mul_ps(_mm256_div_ps(v, _mm256_add_ps(_mm256_set1_ps(1.0f), e)), x);
}

static inline __m256 gelu8(__m256 v, __m256 x)
{
    __m256 one = _mm256_set1_ps(1.0f);
    __m256 u = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(0.044715f), v), v, one);
    u = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(-1.5957691216f), v), u);
    return _mm256_mul_ps(_mm256_div_ps(v, _mm256_add_ps(one, exp8(u))), x);
}

/* The tail goes through the same vector code, so that a value never depends on where in the row it stands. */
#define GATE(name, fn)                                                                             \
    static void name(float *y, const float *x, uint32_t n)                                         \
    {                                                                                              \
        uint32_t i = 0;                                                                            \
        for (; i + 8 <= n; i += 8)                                                                 \
            _mm256_storeu_ps(y + i, fn(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));           \
        if (i < n) {                                                                               \
            float ty[8] = {0}, tx[8] = {0};                                                        \
            memcpy(ty, y + i, (n - i) * sizeof(float));                                            \
            memcpy(tx, x + i, (n - i) * sizeof(float));                                            \
            _mm256_storeu_ps(ty, fn(_mm256_loadu_ps(ty), _mm256_loadu_ps(tx)));                    \
            memcpy(y + i, ty, (n - i) * sizeof(float));                                            \
        }                                                                                          \
    }
GATE(silu_mul, silu8)
GATE(gelu_mul, gelu8)

static void rope_norm(float *x, uint32_t n_heads, uint32_t dim, const float *cs)
{
    for (uint32_t h = 0; h < n_heads; h++, x += dim) {
        uint32_t i = 0;
        for (; i + 8 <= dim; i += 8) {
            __m256 v = _mm256_loadu_ps(x + i), t = _mm256_loadu_ps(cs + i);
            __m256 c = _mm256_moveldup_ps(t), s = _mm256_movehdup_ps(t);
            __m256 swapped = _mm256_permute_ps(v, 0xb1);
            _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(v, c, _mm256_mul_ps(swapped, s)));
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
        for (; i + 8 <= half; i += 8) {
            __m256 p = _mm256_loadu_ps(cs + 2 * i), q = _mm256_loadu_ps(cs + 2 * i + 8);
            __m256 c = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(p, q, 0x88)), 0xd8));
            __m256 s = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_shuffle_ps(p, q, 0xdd)), 0xd8));
            __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);
            _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
            _mm256_storeu_ps(x + i + half, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
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
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
    for (; i < n; i++)
        out[i] = aios__f32_to_f16(x[i]);
}

static void from_f16(const uint16_t *x, float *out, uint32_t n)
{
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
    for (; i < n; i++)
        out[i] = aios__f16_to_f32(x[i]);
}

static uint32_t argmax(const float *x, uint32_t n)
{
    __m256 top = _mm256_set1_ps(-INFINITY);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        top = _mm256_max_ps(_mm256_loadu_ps(x + i), top); /* NaN in the first operand gives the second */
    float m = hmax8(top);
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

void aios__vec_init_avx2(aios__kernels *k)
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
