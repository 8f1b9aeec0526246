/* SPDX-License-Identifier: Apache-2.0 */
/* Float kernels: every length around the vector width, guard pages behind, special values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"

enum { N_MAX = 300 };

/* Fails unless got is within rel of want, or of `around` where want is small. */
static void compare(const char *kernel, const float *got, const float *want, uint32_t n, float rel, float around)
{
    for (uint32_t i = 0; i < n; i++) {
        float limit = rel * fmaxf(fabsf(want[i]), around);
        if (!(fabsf(got[i] - want[i]) <= limit) && !(isnan(got[i]) && isnan(want[i])) && memcmp(got + i, want + i, 4)) {
            char text[96];
            snprintf(text, sizeof text, "%u of %u: %.9g is not %.9g", i, n, (double)got[i], (double)want[i]);
            check_fail(kernel, text);
            return;
        }
    }
}

typedef struct rows {
    float *x, *y, *z; /* guarded; z: what the reference makes of y */
    uint32_t n;
} rows;

static rows rows_new(uint32_t n, float spread)
{
    size_t bytes = n * sizeof(float);
    rows r = {check_guarded(bytes), check_guarded(bytes), check_guarded(bytes), n};
    for (uint32_t i = 0; i < n; i++) {
        r.x[i] = check_normal();
        r.y[i] = r.z[i] = spread * check_normal();
    }
    return r;
}

static void rows_free(rows *r)
{
    check_unguard(r->x, r->n * sizeof(float));
    check_unguard(r->y, r->n * sizeof(float));
    check_unguard(r->z, r->n * sizeof(float));
}

static void check_vec2(const char *name, aios__vec2_fn *fn, aios__vec2_fn *ref, float rel)
{
    for (uint32_t n = 1; n < N_MAX; n += n < 70 ? 1 : 37) {
        rows r = rows_new(n, n % 3 ? 2.0f : 60.0f);
        fn(r.y, r.x, n);
        ref(r.z, r.x, n);
        compare(name, r.y, r.z, n, rel, 1e-30f);
        rows_free(&r);
    }
}

static void check_norm(const aios__kernels *k, const aios__kernels *ref)
{
    for (uint32_t n = 1; n < N_MAX; n += n < 70 ? 1 : 37) {
        rows r = rows_new(n, 3);
        float *w = check_guarded(n * sizeof *w), *got = check_guarded(n * sizeof *got);
        for (uint32_t i = 0; i < n; i++)
            w[i] = check_normal();
        k->rmsnorm(r.x, w, n, 1e-6f, got);
        ref->rmsnorm(r.x, w, n, 1e-6f, r.z);
        compare("rmsnorm", got, r.z, n, 2e-6f, 1e-30f);
        k->rmsnorm(r.x, w, n, 1e-6f, r.x); /* in place */
        if (memcmp(r.x, got, n * sizeof *got))
            check_fail("rmsnorm", "in place it differs");
        check_unguard(w, n * sizeof *w);
        check_unguard(got, n * sizeof *got);
        rows_free(&r);
    }
}

static void check_rope(const char *name, aios__rope_fn *fn, aios__rope_fn *ref)
{
    for (uint32_t dim = 2; dim <= 80; dim += 2) {
        uint32_t heads = 1 + dim % 3;
        rows r = rows_new(heads * dim, 1);
        float *cs = check_guarded(dim * sizeof *cs);
        for (uint32_t i = 0; i < dim / 2; i++) {
            cs[2 * i] = cosf((float)i);
            cs[2 * i + 1] = sinf((float)i);
        }
        fn(r.y, heads, dim, cs);
        ref(r.z, heads, dim, cs);
        compare(name, r.y, r.z, heads * dim, 1e-6f, 1);
        check_unguard(cs, dim * sizeof *cs);
        rows_free(&r);
    }
}

/* All 65536 halves, and floats between and beyond them. */
static void check_halves(const aios__kernels *k, const aios__kernels *ref)
{
    enum { N = 65536 };
    uint16_t *h = malloc(N * 2), *back = malloc(N * 2), *want = malloc(N * 2);
    float *f = malloc(N * 4), *g = malloc(N * 4);
    if (!h || !back || !want || !f || !g)
        exit(1);
    for (uint32_t i = 0; i < N; i++)
        h[i] = (uint16_t)i;
    k->from_f16(h, f, N);
    ref->from_f16(h, g, N);
    compare("from_f16", f, g, N, 0, 0);
    for (int round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t bits = check_random() << 16 ^ check_random();
            memcpy(&f[i], &bits, 4);
            f[i] = round % 2 ? g[i] * (1 + 0x1p-11f) : f[i];
        }
        k->to_f16(f, back, N);
        ref->to_f16(f, want, N);
        for (uint32_t i = 0; i < N; i++) {
            if (back[i] != want[i] && !((back[i] & 0x7fff) > 0x7c00 && (want[i] & 0x7fff) > 0x7c00)) {
                check_fail("to_f16", "a rounding differs");
                break;
            }
        }
    }
    free(h);
    free(back);
    free(want);
    free(f);
    free(g);
}

static void check_argmax(const aios__kernels *k, const aios__kernels *ref)
{
    for (uint32_t n = 1; n < N_MAX; n++) {
        rows r = rows_new(n, 1);
        r.x[check_random() % n] = NAN;
        r.x[check_random() % n] = 5;
        r.x[check_random() % n] = 5;
        if (k->argmax(r.x, n) != ref->argmax(r.x, n))
            check_fail("argmax", "another index");
        for (uint32_t i = 0; i < n; i++)
            r.x[i] = n % 2 ? NAN : -INFINITY;
        if (k->argmax(r.x, n) >= n)
            check_fail("argmax", "an index out of range");
        rows_free(&r);
    }
}

static void check_gates(const aios__kernels *k)
{
    float y[16] = {0, -0.0f, 1e30f, -1e30f, INFINITY, 100, -100, 88, -88, 1e-30f, -1e-30f, 20, -20, 0.5f, -0.5f, 3}, z[16], one[16];
    for (int i = 0; i < 16; i++)
        one[i] = 1;
    memcpy(z, y, sizeof y);
    k->silu_mul(y, one, 16);
    k->gelu_mul(z, one, 16);
    for (int i = 0; i < 16; i++)
        if (isnan(y[i]) || isnan(z[i]))
            check_fail("silu_mul, gelu_mul", "a large value became NaN");
}

void check_vec(const aios__kernels *k, const aios__kernels *ref)
{
    check_norm(k, ref);
    check_vec2("add", k->add, ref->add, 0);
    check_vec2("mul", k->mul, ref->mul, 0);
    check_vec2("silu_mul", k->silu_mul, ref->silu_mul, 2e-6f);
    check_vec2("gelu_mul", k->gelu_mul, ref->gelu_mul, 2e-5f);
    check_rope("rope_norm", k->rope_norm, ref->rope_norm);
    check_rope("rope_neox", k->rope_neox, ref->rope_neox);
    check_halves(k, ref);
    check_argmax(k, ref);
    check_gates(k);
    for (uint32_t n = 1; n < 40; n++) {
        rows r = rows_new(n, 1);
        k->scale(r.y, 0.3f, n);
        ref->scale(r.z, 0.3f, n);
        compare("scale", r.y, r.z, n, 0, 0);
        rows_free(&r);
    }
}

void bench_vec(const aios__kernels *k, const char *level)
{
    enum { N = 1536, TIMES = 2000 };
    static float x[N], y[N];
    const struct {
        const char *name;
        aios__vec2_fn *fn;
    } list[] = {{"add", k->add}, {"silu_mul", k->silu_mul}, {"gelu_mul", k->gelu_mul}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        double t = check_seconds();
        for (int j = 0; j < TIMES; j++)
            list[i].fn(y, x, N);
        t = check_seconds() - t;
        printf("{\"kernel\":\"%s\",\"level\":\"%s\",\"n\":%d,\"ns\":%.1f}\n", list[i].name, level, N, t * 1e9 / TIMES);
    }
}
