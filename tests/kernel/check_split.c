/* SPDX-License-Identifier: Apache-2.0 */
/* Split matrices: the same products as of whole ones to the bit, and bounds that hold and agree with the reference. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "kernel/split.h"

/* A matrix whole and split, tokens, and what is computed of them. */
typedef struct pair {
    aios__panels whole, split;
    aios__act a;
    float *x, *want, *got, *energy, *upper, *lower;
} pair;

static void *room(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p)
        exit(1);
    memset(p, 0, (n + 63) / 64 * 64);
    return p;
}

static void pair_new(pair *p, uint32_t rows, uint32_t cols, uint32_t n)
{
    size_t row = cols / 32 * 34, bytes = aios__panel_bytes(AIOS_DTYPE_Q8_0, cols);
    uint32_t n_panels = (rows + 15) / 16;
    uint8_t *src = room(row * rows), *data = room(bytes * n_panels + AIOS__PANEL_SLACK), *planes = room(bytes * n_panels + AIOS__PANEL_SLACK);
    for (size_t i = 0; i < row * rows; i++)
        src[i] = (uint8_t)check_random();
    for (size_t b = 0; b < row * rows / 34; b++) {
        uint16_t d = (uint16_t)(0x2000 + check_random() % 0x800);
        memcpy(src + 34 * b, &d, 2);
    }
    p->whole = (aios__panels){.dtype = AIOS_DTYPE_Q8_0, .rows = rows, .cols = cols, .n_panels = n_panels, .panel_bytes = bytes, .data = data};
    p->split = p->whole;
    p->split.data = planes;
    aios__split_set(&p->split);
    for (uint32_t i = 0; i < n_panels; i++) {
        uint32_t left = rows - 16 * i;
        aios__panel_pack(AIOS_DTYPE_Q8_0, src + row * 16 * i, left < 16 ? left : 16, cols, data + bytes * i);
        aios__panel_split(data + bytes * i, cols, planes + p->split.panel_bytes * i, planes + (p->split.low - planes) + p->split.low_bytes * i);
    }
    free(src);
    p->x = room((size_t)n * cols * sizeof(float));
    for (size_t i = 0; i < (size_t)n * cols; i++)
        p->x[i] = check_normal();
    p->a = (aios__act){.n_tokens = n, .k = cols, .x = p->x, .ld = cols, .q = room(aios__act_bytes(n, cols))};
    p->want = room((size_t)n * rows * sizeof(float));
    p->got = room((size_t)n * rows * sizeof(float));
    p->energy = room((size_t)n * cols / 32 * sizeof(float));
    p->upper = room((size_t)2 * n * n_panels * sizeof(float));
    p->lower = room((size_t)2 * n * sizeof(float));
}

static void pair_free(pair *p)
{
    free((void *)(uintptr_t)p->whole.data);
    free((void *)(uintptr_t)p->split.data);
    free(p->a.q);
    free(p->x);
    free(p->want);
    free(p->got);
    free(p->energy);
    free(p->upper);
    free(p->lower);
}

static void check_rows(const pair *p)
{
    float *a = room(p->whole.cols * sizeof(float)), *b = room(p->whole.cols * sizeof(float));
    for (uint32_t r = 0; r < p->whole.rows; r++) {
        aios__panel_row(&p->whole, r, a);
        aios__panel_row(&p->split, r, b);
        if (memcmp(a, b, p->whole.cols * sizeof(float)))
            check_fail("split", "a row differs");
    }
    free(a);
    free(b);
}

static float far(float a, float b)
{
    return fabsf(a - b) / (1.0f + fabsf(b));
}

/* p->want has the exact products. */
static void check_bounds(const aios__kernels *k, const pair *p)
{
    uint32_t n = p->a.n_tokens, n_panels = p->split.n_panels;
    aios__bound x = {.w = &p->split, .a = &p->a, .energy = p->energy, .sigmas = 8, .upper = p->upper, .lower = p->lower}, ref = x;
    ref.upper += (size_t)n * n_panels;
    ref.lower += n;
    for (uint32_t t = 0; t < n; t++)
        x.lower[t] = ref.lower[t] = -INFINITY;
    aios__bound_energy(&p->a, p->energy);
    (k->bound ? k->bound : aios__bound_ref)(&x, 0, n_panels);
    aios__bound_ref(&ref, 0, n_panels);
    for (uint32_t t = 0; t < n; t++) {
        float most = -INFINITY;
        for (uint32_t r = 0; r < p->whole.rows; r++) {
            float v = p->want[(size_t)t * p->whole.rows + r];
            most = v > most ? v : most;
            if (v > x.upper[(size_t)t * n_panels + r / 16])
                check_fail("bound", "a row is above its bound");
        }
        if (most < x.lower[t])
            check_fail("bound", "no row is above the lower bound");
        if (far(x.lower[t], ref.lower[t]) > 1e-4f)
            check_fail("bound", "the lower bound differs from the reference");
        for (uint32_t i = 0; i < n_panels; i++)
            if (far(x.upper[(size_t)t * n_panels + i], ref.upper[(size_t)t * n_panels + i]) > 1e-4f)
                check_fail("bound", "an upper bound differs from the reference");
    }
}

void check_split(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t rows[] = {1, 16, 37, 160}, cols[] = {32, 640}, counts[] = {1, 2, 4, 7, 8, 15, 16, 21, 40};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) * AIOS__ARRAY_LEN(cols) * AIOS__ARRAY_LEN(counts); i++) {
        pair p;
        pair_new(&p, rows[i % 4], cols[i / 4 % 2], counts[i / 8]);
        for (uint32_t t = 0; t < p.a.n_tokens; t += AIOS__ACT_TILE)
            k->quantize(&p.a, t, p.a.n_tokens - t < AIOS__ACT_TILE ? p.a.n_tokens : t + AIOS__ACT_TILE);
        ref->gemm_q8_0(&p.whole, 0, p.whole.n_panels, &p.a, p.want, p.whole.rows);
        k->gemm_split(&p.split, 0, p.split.n_panels, &p.a, p.got, p.whole.rows);
        if (memcmp(p.want, p.got, (size_t)p.a.n_tokens * p.whole.rows * sizeof(float)))
            check_fail("gemm_split", "differs from the product of the whole matrix");
        check_rows(&p);
        if (p.a.n_tokens <= AIOS__ACT_TILE)
            check_bounds(k, &p);
        pair_free(&p);
    }
}

void bench_split(const aios__kernels *k, const char *level)
{
    AIOS__UNUSED(k); /* its gain is one of whole models: less to read */
    AIOS__UNUSED(level);
}
