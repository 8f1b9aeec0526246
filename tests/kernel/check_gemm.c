/* SPDX-License-Identifier: Apache-2.0 */
/* GEMM and quantize kernels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"

/* The rows of kernels.def that are gemms, by dtype. */
#define GEMM_TYPES(X)                                                                                                  \
    X(F32) X(F16) X(BF16) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K)
static const struct {
    const char *name;
    int32_t dtype;
} types[] = {
#define X(t) {#t, AIOS_DTYPE_##t},
    GEMM_TYPES(X)
#undef X
};

enum fill { FILL_RANDOM, FILL_LOW, FILL_HIGH, FILL_ZERO_SCALE, FILL_DENORMAL, FILL_COUNT };

static uint16_t half_scale(enum fill fill)
{
    uint32_t r = check_random();
    switch (fill) {
    case FILL_ZERO_SCALE:
        return (uint16_t)(r & 0x8000);
    case FILL_DENORMAL:
        return (uint16_t)((r & 0x8000) | (r >> 3 & 0x3ff));
    default:
        return (uint16_t)((r & 0x8000) | (0x1c00 + (r >> 3) % 0x2000)); /* 2^-8 .. 1 */
    }
}

/* f16 fields of a block; everything else may be any byte. */
static void scale_offsets(int32_t dtype, int at[2])
{
    static const int8_t off[32][2] = {
        [AIOS_DTYPE_Q4_0] = {0, -1}, [AIOS_DTYPE_Q4_1] = {0, 2}, [AIOS_DTYPE_Q5_0] = {0, -1}, [AIOS_DTYPE_Q5_1] = {0, 2},
        [AIOS_DTYPE_Q8_0] = {0, -1}, [AIOS_DTYPE_Q2_K] = {80, 82}, [AIOS_DTYPE_Q3_K] = {108, -1},
        [AIOS_DTYPE_Q4_K] = {0, 2}, [AIOS_DTYPE_Q5_K] = {0, 2}, [AIOS_DTYPE_Q6_K] = {-2, -1},
    };
    at[0] = dtype == AIOS_DTYPE_Q6_K ? 208 : off[dtype][0];
    at[1] = off[dtype][1];
}

static void fill_weights(const aios__format *f, uint8_t *p, size_t n_blocks, enum fill fill)
{
    for (size_t b = 0; b < n_blocks; b++, p += f->block_bytes) {
        if (!f->planes[0]) {
            float x = fill == FILL_ZERO_SCALE ? 0 : check_normal() * (fill == FILL_DENORMAL ? 1e-39f : 1.0f);
            uint16_t h = f->dtype == AIOS_DTYPE_F16 ? half_scale(fill) : 0;
            if (f->dtype == AIOS_DTYPE_F32)
                memcpy(p, &x, 4);
            else if (f->dtype == AIOS_DTYPE_F16)
                memcpy(p, &h, 2);
            else
                memcpy(p, (uint8_t *)&x + 2, 2);
            continue;
        }
        for (uint32_t i = 0; i < f->block_bytes; i++)
            p[i] = fill == FILL_LOW ? 0x00 : fill == FILL_HIGH ? 0xff : (uint8_t)check_random();
        if (f->dtype == AIOS_DTYPE_Q8_0 && (fill == FILL_LOW || fill == FILL_HIGH)) /* the extremes of signed codes */
            memset(p, fill == FILL_LOW ? 0x80 : 0x7f, f->block_bytes);
        int at[2];
        scale_offsets(f->dtype, at);
        for (int i = 0; i < 2 && at[i] >= 0; i++) {
            uint16_t h = half_scale(fill);
            memcpy(p + at[i], &h, 2);
        }
    }
}

static void fill_acts(float *x, size_t n, enum fill fill)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = check_normal();
        if (fill == FILL_LOW || fill == FILL_HIGH) /* every code at an end of its range */
            x[i] = (fill == FILL_LOW) != (check_random() % 64 == 0) ? -3.0f : 3.0f;
        else if (fill == FILL_ZERO_SCALE && i / 32 % 2)
            x[i] = 0;
        else if (fill == FILL_DENORMAL)
            x[i] *= i / 32 % 3 == 0 ? 1e-39f : i / 32 % 3 == 1 ? 1e-36f : 1e30f;
    }
}

typedef struct mat {
    aios__panels w;
    uint8_t *data;
    size_t n;
} mat;

static mat mat_new(int32_t dtype, uint32_t rows, uint32_t cols, enum fill fill)
{
    const aios__format *f = aios__format_of(dtype);
    size_t row = (size_t)(cols / f->block) * f->block_bytes;
    mat m = {.w = {dtype, rows, cols, (rows + 15) / 16, aios__panel_bytes(dtype, cols), NULL}};
    uint8_t *src = malloc(row * rows);
    fill_weights(f, src, (size_t)rows * (cols / f->block), fill);
    m.n = m.w.n_panels * m.w.panel_bytes + AIOS__PANEL_SLACK;
    m.data = check_guarded(m.n);
    m.w.data = m.data;
    for (uint32_t p = 0; p < m.w.n_panels; p++)
        aios__panel_pack(dtype, src + p * 16 * row, rows - p * 16 < 16 ? rows - p * 16 : 16, cols, m.data + p * m.w.panel_bytes);
    free(src);
    return m;
}

typedef struct acts {
    aios__act a;
    float *x;
    size_t nx, nq;
} acts;

static acts acts_new(uint32_t n, uint32_t k, enum fill fill)
{
    acts s = {.a = {.n_tokens = n, .k = k, .ld = k + 3}};
    s.nx = ((n - 1) * s.a.ld + k) * sizeof(float);
    s.nq = aios__act_bytes(n, k);
    s.x = check_guarded(s.nx);
    fill_acts(s.x, s.nx / sizeof(float), fill);
    s.a.x = s.x;
    s.a.q = check_guarded(s.nq);
    return s;
}
static void acts_free(acts *s)
{
    check_unguard(s->x, s->nx);
    check_unguard(s->a.q, s->nq);
}

/* Bits, so that -0 and NaN count. */
static int64_t first_difference(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, 4))
            return (int64_t)i;
    return -1;
}

static void one_case(const aios__kernels *k, const aios__kernels *ref, size_t type, uint32_t rows, uint32_t cols, uint32_t n,
                     enum fill fill)
{
    mat m = mat_new(types[type].dtype, rows, cols, fill);
    acts s = acts_new(n, cols, fill);
    char what[160];
    uint32_t ld = rows + 5, cut = m.w.n_panels / 2;
    size_t bytes = ((size_t)(n - 1) * ld + rows) * sizeof(float);
    float *want = check_guarded(bytes), *got = check_guarded(bytes);
    memset(want, 0x5a, bytes);
    memset(got, 0x5a, bytes);
    if (aios__gemm_wants_q8(m.w.dtype))
        ref->quantize(&s.a, 0, n, 0, s.a.k / 32);
    aios__gemm_of(ref, m.w.dtype)(&m.w, 0, m.w.n_panels, &s.a, want, ld);
    aios__gemm_fn *fn = aios__gemm_of(k, m.w.dtype); /* in two parts, as two threads would */
    fn(&m.w, cut, m.w.n_panels, &s.a, got, ld);
    fn(&m.w, 0, cut, &s.a, got, ld);
    int64_t at = first_difference(want, got, bytes / sizeof(float));
    if (at >= 0) {
        snprintf(what, sizeof what, "%ux%u, %u tokens, fill %d: row %d token %d is %a, not %a", rows, cols, n, (int)fill,
                 (int)(at % ld), (int)(at / ld), (double)got[at], (double)want[at]);
        check_fail(types[type].name, what);
    }
    check_unguard(want, bytes);
    check_unguard(got, bytes);
    check_unguard(m.data, m.n);
    acts_free(&s);
}

/* A token's results do not change with the number of tokens beside it. */
static void tile_invariance(const aios__kernels *k, size_t type)
{
    enum { N = 35, ROWS = 32 };
    mat m = mat_new(types[type].dtype, ROWS, 512, FILL_RANDOM);
    acts s = acts_new(N, 512, FILL_RANDOM);
    float *all = malloc(N * ROWS * sizeof(float)), few[N * ROWS];
    aios__gemm_fn *fn = aios__gemm_of(k, m.w.dtype);
    k->quantize(&s.a, 0, N, 0, s.a.k / 32);
    fn(&m.w, 0, m.w.n_panels, &s.a, all, ROWS);
    for (uint32_t n = 1; n < N; n++) {
        s.a.n_tokens = n;
        k->quantize(&s.a, 0, n, 0, s.a.k / 32);
        fn(&m.w, 0, m.w.n_panels, &s.a, few, ROWS);
        if (first_difference(all, few, (size_t)n * ROWS) >= 0) {
            check_fail(types[type].name, "the result depends on the number of tokens");
            break;
        }
    }
    free(all);
    check_unguard(m.data, m.n);
    acts_free(&s);
}

static void check_quantize(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t counts[] = {1, 2, 3, 15, 16, 17, 33, 48};
    for (int fill = 0; fill < FILL_COUNT + 1; fill++) {
        for (size_t i = 0; i < AIOS__ARRAY_LEN(counts); i++) {
            acts s = acts_new(counts[i], 32 * (uint32_t)(1 + i), (enum fill)(fill % FILL_COUNT));
            if (fill == FILL_COUNT) { /* values that halve between codes, and ones that are not numbers */
                for (size_t j = 0; j < s.nx / 4; j++)
                    s.x[j] = j % 32 ? (float)((int)(check_random() % 255) - 127) / 2.0f : 127.0f;
                s.x[5] = NAN;
                s.x[s.nx / 4 - 1] = INFINITY;
            }
            uint8_t *want = malloc(s.nq), *got = s.a.q;
            memset(want, 0, s.nq);
            memset(got, 0, s.nq);
            s.a.q = want;
            ref->quantize(&s.a, 0, counts[i], 0, s.a.k / 32);
            s.a.q = got;
            uint32_t n_blocks = s.a.k / 32, cut = check_random() % (n_blocks + 1);
            for (uint32_t t = 0; t < counts[i]; t += AIOS__ACT_TILE) { /* parts of a tile at a time, as threads do */
                uint32_t end = counts[i] - t < AIOS__ACT_TILE ? counts[i] : t + AIOS__ACT_TILE;
                k->quantize(&s.a, t, end, cut, n_blocks);
                k->quantize(&s.a, t, end, 0, cut);
            }
            if (memcmp(want, got, s.nq))
                check_fail("quantize", fill == FILL_COUNT ? "ties or non-finite values" : "differs from the reference");
            free(want);
            acts_free(&s);
        }
    }
}

void check_gemm(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t rows[] = {1, 15, 16, 17, 40}, counts[] = {1, 2, 3, 4, 5, 7, 8, 11, 15, 16, 17, 21, 32, 50};
    check_quantize(k, ref);
    for (size_t type = 0; type < AIOS__ARRAY_LEN(types); type++) {
        uint32_t step = aios__format_of(types[type].dtype)->block;
        if (k->levels & ~ref->levels && aios__gemm_wants_q8(types[type].dtype) &&
            aios__gemm_of(k, types[type].dtype) == aios__gemm_of(ref, types[type].dtype))
            check_fail(types[type].name, "this level has no kernel of its own");
        for (uint32_t n = 1; n <= 9; n++) /* every multiple of the block, short ones first */
            one_case(k, ref, type, 17, n * step, 1 + n % 4, FILL_RANDOM);
        for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
            one_case(k, ref, type, rows[i], 512, 3 + (uint32_t)i, FILL_RANDOM);
        for (size_t i = 0; i < AIOS__ARRAY_LEN(counts); i++)
            one_case(k, ref, type, 16, 256, counts[i], FILL_RANDOM);
        for (int fill = 0; fill < FILL_COUNT; fill++)
            for (uint32_t n = 1; n <= 18; n += n == 1 ? 16 : 1)
                one_case(k, ref, type, 24, 768, n, (enum fill)fill);
        one_case(k, ref, type, 16, 4096 + 256, 40, FILL_RANDOM); /* more tokens than one pass over the panels takes */
        tile_invariance(k, type);
    }
}

static double rate(aios__gemm_fn *fn, const mat *m, const acts *s, float *out)
{
    double best = 1e9, ops = 2.0 * m->w.rows * m->w.cols * s->a.n_tokens;
    int reps = 1 + (int)(5e7 / ops);
    for (int i = 0; i < 15; i++) {
        double t = check_seconds();
        for (int r = 0; r < reps; r++)
            fn(&m->w, 0, m->w.n_panels, &s->a, out, m->w.rows);
        t = (check_seconds() - t) / reps;
        best = t < best ? t : best;
    }
    return best;
}

void bench_gemm(const aios__kernels *k, const char *level)
{
    static const uint32_t counts[] = {1, 2, 4, 8, 16, 64, 256};
    enum { ROWS = 16384, ROWS_MANY = 1536, COLS = 1536 };
    const char *only = getenv("CHECKASM_TYPE");
    for (size_t type = 0; type < AIOS__ARRAY_LEN(types); type++) {
        if (only && strcmp(only, types[type].name))
            continue;
        for (size_t i = 0; i < AIOS__ARRAY_LEN(counts); i++) {
            mat m = mat_new(types[type].dtype, counts[i] < 16 ? ROWS : ROWS_MANY, COLS, FILL_RANDOM);
            acts s = acts_new(counts[i], COLS, FILL_RANDOM);
            float *out = malloc((size_t)m.w.rows * counts[i] * sizeof(float));
            k->quantize(&s.a, 0, counts[i], 0, s.a.k / 32);
            double t = rate(aios__gemm_of(k, types[type].dtype), &m, &s, out);
            printf("{\"kernel\":\"gemm\",\"level\":\"%s\",\"type\":\"%s\",\"tokens\":%u,\"gops\":%.1f,\"gbytes\":%.2f}\n", level,
                   types[type].name, counts[i], 2e-9 * m.w.rows * COLS * counts[i] / t,
                   1e-9 * (double)(m.w.panel_bytes * m.w.n_panels) / t);
            fflush(stdout);
            free(out);
            check_unguard(m.data, m.n);
            acts_free(&s);
        }
    }
}
