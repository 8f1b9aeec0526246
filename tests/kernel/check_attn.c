/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: against sums in double, with any group of rows and bounds, and the same bits alone as in company. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "kernel/half.h"

enum { PAGES = 4, POS = PAGES * AIOS__KV_PAGE, ROWS = 19 };

typedef struct cache {
    uint32_t dim;
    uint16_t *k[PAGES], *v[PAGES];
    float *q, *scratch;
    uint32_t lo[ROWS], hi[ROWS];
} cache;

static cache cache_new(const aios__kernels *k, uint32_t dim, uint32_t n_pos)
{
    cache c = {.dim = dim};
    float row[512];
    size_t bytes = (size_t)AIOS__KV_PAGE * dim * 2;
    for (int p = 0; p < PAGES; p++) {
        c.k[p] = check_guarded(bytes);
        c.v[p] = check_guarded(bytes);
        memset(c.k[p], 0x7f, bytes); /* NaN where nothing is stored */
        memset(c.v[p], 0x7f, bytes);
    }
    for (uint32_t i = 0; i < n_pos; i++) {
        for (uint32_t d = 0; d < dim; d++)
            row[d] = check_normal();
        k->k_store(row, dim, i % AIOS__KV_PAGE, c.k[i / AIOS__KV_PAGE]);
        for (uint32_t d = 0; d < dim; d++)
            c.v[i / AIOS__KV_PAGE][(i % AIOS__KV_PAGE) * dim + d] = aios__f32_to_f16(check_normal());
    }
    c.q = malloc((size_t)ROWS * dim * sizeof(float));
    c.scratch = aligned_alloc(64, (aios__attn_scratch(dim) * sizeof(float) + 63) / 64 * 64);
    if (!c.q || !c.scratch)
        exit(1);
    for (uint32_t i = 0; i < ROWS * dim; i++)
        c.q[i] = check_normal();
    return c;
}

static void cache_free(cache *c)
{
    for (int p = 0; p < PAGES; p++) {
        check_unguard(c->k[p], (size_t)AIOS__KV_PAGE * c->dim * 2);
        check_unguard(c->v[p], (size_t)AIOS__KV_PAGE * c->dim * 2);
    }
    free(c->q);
    free(c->scratch);
}

static void run(const aios__kernels *k, const cache *c, uint32_t first, uint32_t n, float softcap, float *out)
{
    aios__attn a = {.q = c->q + first * c->dim, .q_ld = c->dim, .out = out, .out_ld = c->dim, .n_q = n, .dim = c->dim};
    a.k_pages = (const uint16_t *const *)c->k;
    a.v_pages = (const uint16_t *const *)c->v;
    a.lo = c->lo + first;
    a.hi = c->hi + first;
    a.scale = 1 / sqrtf((float)c->dim);
    a.softcap = softcap;
    a.scratch = c->scratch;
    k->attn(&a);
}

/* The result of a row in double. */
static void exact(const cache *c, uint32_t row, float softcap, double *out)
{
    double s[POS], top = -INFINITY, sum = 0;
    for (uint32_t p = c->lo[row]; p < c->hi[row]; p++) {
        const uint16_t *k = c->k[p / AIOS__KV_PAGE] + (size_t)(p % AIOS__KV_PAGE / 16) * c->dim * 16 + p % 16;
        s[p] = 0;
        for (uint32_t d = 0; d < c->dim; d++)
            s[p] += (double)c->q[row * c->dim + d] * (double)aios__f16_to_f32(k[d * 16]);
        s[p] /= sqrt(c->dim);
        s[p] = softcap > 0 ? (double)softcap * tanh(s[p] / (double)softcap) : s[p];
        top = fmax(top, s[p]);
    }
    memset(out, 0, c->dim * sizeof *out);
    for (uint32_t p = c->lo[row]; p < c->hi[row]; p++) {
        double e = exp(s[p] - top);
        sum += e;
        for (uint32_t d = 0; d < c->dim; d++)
            out[d] += e * (double)aios__f16_to_f32(c->v[p / AIOS__KV_PAGE][(p % AIOS__KV_PAGE) * c->dim + d]);
    }
    for (uint32_t d = 0; d < c->dim; d++)
        out[d] /= sum;
}

static void check_rows(const aios__kernels *k, cache *c, float softcap)
{
    static float together[ROWS * 512], alone[512];
    double want[512];
    char text[96];
    for (uint32_t n = 1; n <= ROWS; n += n < 9 ? 1 : 5) {
        memset(together, 0x55, sizeof together);
        run(k, c, 0, n, softcap, together);
        for (uint32_t r = 0; r < n; r++) {
            run(k, c, r, 1, softcap, alone);
            exact(c, r, softcap, want);
            if (memcmp(alone, together + r * c->dim, c->dim * sizeof(float))) {
                snprintf(text, sizeof text, "dim %u, row %u of %u: not the same bits alone", c->dim, r, n);
                check_fail("attn", text);
                return;
            }
            for (uint32_t d = 0; d < c->dim; d++) {
                if (!(fabs((double)alone[d] - want[d]) < 1e-5)) {
                    snprintf(text, sizeof text, "dim %u, row %u [%u, %u): %g is not %g", c->dim, r, c->lo[r], c->hi[r], (double)alone[d], want[d]);
                    check_fail("attn", text);
                    return;
                }
            }
        }
    }
}

void check_attn(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t dims[] = {8, 24, 64, 72, 80, 128, 256};
    AIOS__UNUSED(ref);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        uint32_t n_pos = i % 2 ? POS : POS - 37;
        cache c = cache_new(k, dims[i], n_pos);
        for (uint32_t r = 0; r < ROWS; r++) { /* a prompt: each row sees one more */
            c.lo[r] = 0;
            c.hi[r] = n_pos - ROWS + 1 + r;
        }
        check_rows(k, &c, 0);
        for (uint32_t r = 0; r < ROWS; r++) { /* windows of any place and length */
            c.lo[r] = check_random() % n_pos;
            c.hi[r] = c.lo[r] + 1 + check_random() % (n_pos - c.lo[r]);
        }
        check_rows(k, &c, i % 2 ? 0 : 5.0f);
        cache_free(&c);
    }
}

void bench_attn(const aios__kernels *k, const char *level)
{
    static float out[ROWS * 512];
    cache c = cache_new(k, 64, POS);
    for (uint32_t r = 0; r < ROWS; r++)
        c.hi[r] = POS;
    for (uint32_t n = 1; n <= 18; n += n < 3 ? 2 : 15) {
        enum { TIMES = 500 };
        double t = check_seconds();
        for (int j = 0; j < TIMES; j++)
            run(k, &c, 0, n, 0, out);
        t = (check_seconds() - t) / TIMES;
        printf("{\"kernel\":\"attn\",\"level\":\"%s\",\"rows\":%u,\"positions\":%d,\"dim\":64,\"gflops\":%.1f}\n", level, n, POS, 4.0 * n * POS * 64 / t * 1e-9);
    }
    cache_free(&c);
}
