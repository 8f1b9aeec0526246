/* SPDX-License-Identifier: Apache-2.0 */
/* Float kernels at AVX-512, where wider vectors pay; the rest stays with AVX2. */
#include <math.h>

#include "kernel/vec.h"
#include "kernel/x86/exp_avx512.h"

static void rmsnorm(const float *x, const float *w, uint32_t n, float eps, float *out)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
        s0 = _mm512_fmadd_ps(a, a, s0);
        s1 = _mm512_fmadd_ps(b, b, s1);
    }
    float sum = hsum16(_mm512_add_ps(s0, s1));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float s = 1.0f / sqrtf(sum / (float)n + eps);
    __m512 vs = _mm512_set1_ps(s);
    for (i = 0; i + 16 <= n; i += 16)
        _mm512_storeu_ps(out + i, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(x + i), vs), _mm512_loadu_ps(w + i)));
    for (; i < n; i++)
        out[i] = x[i] * s * w[i];
}

static inline __m512 silu16(__m512 v, __m512 x)
{
    return _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(_mm512_set1_ps(1.0f), exp_minus16(v))), x);
}

static inline __m512 gelu16(__m512 v, __m512 x)
{
    __m512 one = _mm512_set1_ps(1.0f);
    __m512 u = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(0.044715f), v), v, one);
    u = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(1.5957691216f), v), u);
    return _mm512_mul_ps(_mm512_div_ps(v, _mm512_add_ps(one, exp_minus16(u))), x);
}

/* The tail goes through the same vector code, so that a value never depends on where in the row it stands. */
#define GATE(name, fn)                                                                             \
    static void name(float *y, const float *x, uint32_t n)                                         \
    {                                                                                              \
        uint32_t i = 0;                                                                            \
        for (; i + 16 <= n; i += 16)                                                               \
            _mm512_storeu_ps(y + i, fn(_mm512_loadu_ps(y + i), _mm512_loadu_ps(x + i)));           \
        if (i < n) {                                                                               \
            float ty[16] = {0}, tx[16] = {0};                                                      \
            memcpy(ty, y + i, (n - i) * sizeof(float));                                            \
            memcpy(tx, x + i, (n - i) * sizeof(float));                                            \
            _mm512_storeu_ps(ty, fn(_mm512_loadu_ps(ty), _mm512_loadu_ps(tx)));                    \
            memcpy(y + i, ty, (n - i) * sizeof(float));                                            \
        }                                                                                          \
    }
GATE(silu_mul, silu16)
GATE(gelu_mul, gelu16)

void aios__vec_init_avx512(aios__kernels *k)
{
    k->rmsnorm = rmsnorm;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
}
