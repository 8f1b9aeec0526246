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
    float *x, *want, *got, *reach, *upper;
} pair;

/* Rows made for their tokens: what they hold in their low halves is as far from the middle as it can be, in the sign of the token. */
typedef struct worst {
    bool up;
    uint16_t scale; /* of the rows after the first; one that is no number must not hide the row before it */
} worst;

static void *room(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    if (!p)
        exit(1);
    memset(p, 0, (n + 63) / 64 * 64);
    return p;
}

static void make_worst(uint8_t *row, uint32_t cols, const float *x, bool up, uint16_t scale)
{
    for (uint32_t b = 0; b < cols / 32; b++, row += 34) {
        memcpy(row, &scale, 2);
        for (uint32_t i = 0; i < 32; i++)
            row[2 + i] = (uint8_t)((row[2 + i] & 0xf0) | ((x[32 * b + i] > 0) == (up != (scale >> 15)) ? 15 : 0));
    }
}

static void pair_new(pair *p, uint32_t rows, uint32_t cols, uint32_t n, const worst *w)
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
    p->x = room((size_t)n * cols * sizeof(float));
    for (size_t i = 0; i < (size_t)n * cols; i++)
        p->x[i] = check_normal();
    for (uint32_t r = 0; w && r < rows; r++)
        make_worst(src + row * r, cols, p->x, w->up, r % 5 ? w->scale : 0x2345);
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
    p->a = (aios__act){.n_tokens = n, .k = cols, .x = p->x, .ld = cols, .q = room(aios__act_bytes(n, cols))};
    p->want = room((size_t)n * rows * sizeof(float));
    p->got = room((size_t)n * rows * sizeof(float));
    p->reach = room((size_t)n * cols / 32 * sizeof(float));
    p->upper = room((size_t)2 * n * n_panels * sizeof(float));
}

static void pair_free(pair *p)
{
    free((void *)(uintptr_t)p->whole.data);
    free((void *)(uintptr_t)p->split.data);
    free(p->a.q);
    free(p->x);
    free(p->want);
    free(p->got);
    free(p->reach);
    free(p->upper);
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
    return a == b ? 0 : fabsf(a - b) / (1.0f + fabsf(b));
}

/* Of the products in p->want only finite ones count. */
static void check_bounds(const aios__kernels *k, const pair *p)
{
    uint32_t n = p->a.n_tokens, n_panels = p->split.n_panels;
    aios__bound x = {.w = &p->split, .a = &p->a, .reach = p->reach, .upper = p->upper}, ref = x;
    ref.upper += (size_t)n * n_panels;
    if (!aios__bound_reach(&p->a, p->reach))
        check_fail("bound", "no bounds of small activations");
    (k->bound ? k->bound : aios__bound_ref)(&x, 0, n_panels);
    aios__bound_ref(&ref, 0, n_panels);
    for (uint32_t t = 0; t < n; t++) {
        for (uint32_t r = 0; r < p->whole.rows; r++) {
            float v = p->want[(size_t)t * p->whole.rows + r];
            if (isfinite(v) && !(v <= x.upper[(size_t)t * n_panels + r / 16]))
                check_fail("bound", "a row is above its bound");
        }
        for (uint32_t i = 0; i < n_panels; i++)
            if (far(x.upper[(size_t)t * n_panels + i], ref.upper[(size_t)t * n_panels + i]) > 1e-4f)
                check_fail("bound", "an upper bound differs from the reference");
    }
}

static void check_pair(const aios__kernels *k, const aios__kernels *ref, pair *p)
{
    size_t n = (size_t)p->a.n_tokens * p->whole.rows;
    for (uint32_t t = 0; t < p->a.n_tokens; t += AIOS__ACT_TILE)
        k->quantize(&p->a, t, p->a.n_tokens - t < AIOS__ACT_TILE ? p->a.n_tokens : t + AIOS__ACT_TILE, 0, p->a.k / 32);
    ref->gemm_q8_0(&p->whole, 0, p->whole.n_panels, &p->a, p->want, p->whole.rows);
    k->gemm_split(&p->split, 0, p->split.n_panels, &p->a, p->got, p->whole.rows);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&p->want[i], &p->got[i], sizeof(float)) && !(isnan(p->want[i]) && isnan(p->got[i])))
            check_fail("gemm_split", "differs from the product of the whole matrix");
    if (p->a.n_tokens <= AIOS__ACT_TILE)
        check_bounds(k, p);
}

/* Low halves that all pull one way, as far as they can. */
static void check_worst(const aios__kernels *k, const aios__kernels *ref, uint32_t cols)
{
    static const uint16_t scales[] = {0x0001, 0x2345, 0xa345, 0x7bff, 0x0000, 0x7c00, 0x7e00};
    for (size_t i = 0; i < 2 * AIOS__ARRAY_LEN(scales); i++) {
        pair p;
        pair_new(&p, 48, cols, 1, &(worst){.up = i % 2 == 0, .scale = scales[i / 2]});
        check_pair(k, ref, &p);
        pair_free(&p);
    }
}

void check_split(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t rows[] = {1, 16, 37, 160}, cols[] = {32, 640}, counts[] = {1, 2, 4, 7, 8, 15, 16, 21, 40};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows) * AIOS__ARRAY_LEN(cols) * AIOS__ARRAY_LEN(counts); i++) {
        pair p;
        pair_new(&p, rows[i % 4], cols[i / 4 % 2], counts[i / 8], NULL);
        check_pair(k, ref, &p);
        check_rows(&p);
        pair_free(&p);
    }
    for (uint32_t n = 32; n <= 8192; n *= 4)
        check_worst(k, ref, n);
}

void bench_split(const aios__kernels *k, const char *level)
{
    AIOS__UNUSED(k); /* its gain is one of whole models: less to read */
    AIOS__UNUSED(level);
}
