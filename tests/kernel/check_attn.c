/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over pages of each type: pages against the reference, results against sums in double over what the pages hold, with any
 * group of rows and bounds; and the same bits alone as in company, in parts as at once.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "kernel/kv_page.h"

enum { PAGES = 10, POS = PAGES * AIOS__KV_PAGE, TOKENS = 7, HEADS = 3, ROWS = TOKENS * HEADS };

typedef struct cache {
    uint32_t dim;
    int32_t type;
    void *pages[PAGES];
    float *q;
    void *scratch;
    uint32_t lo[TOKENS], hi[TOKENS];
} cache;

static cache cache_new(const aios__kernels *k, int32_t type, uint32_t dim, uint32_t n_pos)
{
    cache c = {.dim = dim, .type = type};
    float key[1024], value[1024];
    size_t bytes = aios__kv_page_bytes(type, dim);
    for (int p = 0; p < PAGES; p++) {
        c.pages[p] = check_guarded(bytes);
        memset(c.pages[p], 0x7f, bytes); /* not numbers, where nothing is stored */
    }
    for (uint32_t i = 0; i < n_pos; i++) {
        float size = check_normal();
        for (uint32_t d = 0; d < dim; d++) {
            key[d] = check_normal() * (d == 3 ? 9.0f : 1.0f);
            value[d] = check_normal() * size;
        }
        k->kv_store(type, key, value, dim, i % AIOS__KV_PAGE, c.pages[i / AIOS__KV_PAGE]);
    }
    c.q = malloc((size_t)ROWS * dim * sizeof(float));
    c.scratch = aligned_alloc(64, (aios__attn_scratch(dim) + 63) / 64 * 64);
    if (!c.q || !c.scratch)
        exit(1);
    for (uint32_t i = 0; i < ROWS * dim; i++)
        c.q[i] = check_normal();
    return c;
}

static void cache_free(cache *c)
{
    for (int p = 0; p < PAGES; p++)
        check_unguard(c->pages[p], aios__kv_page_bytes(c->type, c->dim));
    free(c->q);
    free(c->scratch);
}

static aios__attn attn_of(const cache *c, uint32_t token, uint32_t n, uint32_t head, uint32_t n_heads, float softcap, float *out)
{
    return (aios__attn){.q = c->q + (token * HEADS + head) * c->dim, .q_ld = HEADS * c->dim, .out = out, .out_ld = (size_t)n_heads * c->dim,
                        .pages = (const void *const *)c->pages, .lo = c->lo + token, .hi = c->hi + token, .n_tokens = n, .n_heads = n_heads,
                        .dim = c->dim, .kv_type = c->type, .scale = 1 / sqrtf((float)c->dim), .softcap = softcap, .scratch = c->scratch};
}

static double kv(const cache *c, bool is_key, uint32_t p, uint32_t d)
{
    const void *page = c->pages[p / AIOS__KV_PAGE];
    uint16_t scale = aios__kv_scales(page, c->type, c->dim)[(is_key ? 0 : AIOS__KV_PAGE) + p % AIOS__KV_PAGE];
    return (double)aios__kv_at(page, c->type, is_key, c->dim, p % AIOS__KV_PAGE, d) * (double)aios__kv_float((uint32_t)scale << 16);
}

/* The result of a row in double, of what the pages hold. */
static void exact(const cache *c, uint32_t token, uint32_t head, float softcap, float *out)
{
    double s[POS], top = -INFINITY, sum = 0, acc[1024] = {0};
    float q[1024];
    memcpy(q, c->q + (token * HEADS + head) * c->dim, c->dim * sizeof *q);
    if (c->type != AIOS__KV_I16)
        aios__kv_turn(q, c->dim);
    for (uint32_t p = c->lo[token]; p < c->hi[token]; p++) {
        s[p] = 0;
        for (uint32_t d = 0; d < c->dim; d++)
            s[p] += (double)q[d] * kv(c, true, p, d);
        s[p] /= sqrt(c->dim);
        s[p] = softcap > 0 ? (double)softcap * tanh(s[p] / (double)softcap) : s[p];
        top = fmax(top, s[p]);
    }
    for (uint32_t p = c->lo[token]; p < c->hi[token]; p++) {
        double e = exp(s[p] - top);
        sum += e;
        for (uint32_t d = 0; d < c->dim; d++)
            acc[d] += e * kv(c, false, p, d);
    }
    for (uint32_t d = 0; d < c->dim; d++)
        out[d] = (float)(acc[d] / sum);
    if (c->type != AIOS__KV_I16)
        aios__kv_turn(out, c->dim);
}

static void fail(const cache *c, const char *what, uint32_t token, uint32_t head, uint32_t n)
{
    char text[128];
    snprintf(text, sizeof text, "type %d, dim %u, token %u [%u, %u) head %u of %u: %s", c->type, c->dim, token, c->lo[token], c->hi[token], head, n, what);
    check_fail("attn", text);
}

/* One head alone in parts made in two goes, each into memory that says if it is not written. */
static void in_parts(const aios__kernels *k, const cache *c, uint32_t token, uint32_t head, float softcap, float *out)
{
    uint32_t n = aios__attn_segments(c->lo[token], c->hi[token]);
    aios__attn a = attn_of(c, token, 1, head, 1, softcap, out);
    size_t bytes = n * aios__attn_part(c->dim) * sizeof(float);
    a.parts = malloc(bytes);
    if (!a.parts)
        exit(1);
    memset(a.parts, 0xff, bytes);
    a.seg1 = n / 2;
    k->attn(&a);
    a.seg0 = a.seg1;
    a.seg1 = n;
    k->attn(&a);
    k->attn_merge(&a);
    free(a.parts);
}

static void check_rows(const aios__kernels *k, const cache *c, float softcap)
{
    static float together[ROWS * 1024], alone[1024], parts[1024], want[1024];
    for (uint32_t n = 1; n <= TOKENS; n += n < 3 ? 1 : 2) {
        for (uint32_t heads = 1; heads <= HEADS; heads++) {
            memset(together, 0x55, sizeof together);
            aios__attn a = attn_of(c, 0, n, 0, heads, softcap, together);
            k->attn(&a);
            for (uint32_t r = 0; r < n * heads; r++) {
                uint32_t token = r / heads, head = r % heads;
                aios__attn one = attn_of(c, token, 1, head, 1, softcap, alone);
                k->attn(&one);
                if (memcmp(alone, together + r * c->dim, c->dim * sizeof(float)))
                    fail(c, "not the same bits alone", token, head, heads);
                in_parts(k, c, token, head, softcap, parts);
                if (memcmp(alone, parts, c->dim * sizeof(float)))
                    fail(c, "not the same bits in parts", token, head, heads);
                exact(c, token, head, softcap, want);
                float size = 0, off = 0;
                for (uint32_t d = 0; d < c->dim; d++) {
                    size = fmaxf(size, fabsf(want[d]));
                    off = fmaxf(off, isnan(alone[d]) ? INFINITY : fabsf(alone[d] - want[d]));
                }
                if (!(off <= 1.2e-3f * fmaxf(size, 0.3f)))
                    fail(c, "far from exact", token, head, heads);
            }
        }
    }
}

/* What the level stores is what the reference stores, but for scales at the edge of a power of two; and the values come back. */
static void check_store(const aios__kernels *k, const aios__kernels *ref, int32_t type, uint32_t dim)
{
    static const double off[AIOS__KV_TYPES] = {2e-4, 0.015, 0.25}; /* root of mean squares, of the elements' */
    static const float sizes[] = {1, 1e-9f, 1e9f, 0, 1e30f};
    size_t bytes = aios__kv_page_bytes(type, dim);
    cache c = {.dim = dim, .type = type};
    void *want = check_guarded(bytes);
    c.pages[0] = check_guarded(bytes);
    memset(c.pages[0], 0, bytes);
    memset(want, 0, bytes);
    uint32_t differ = 0;
    for (uint32_t p = 0; p < AIOS__KV_PAGE; p++) {
        float x[1024], back[1024];
        double power = 0;
        for (uint32_t d = 0; d < dim; d++) {
            x[d] = check_normal() * sizes[p % 5];
            power += (double)x[d] * (double)x[d];
        }
        k->kv_store(type, x, x, dim, p, c.pages[0]);
        ref->kv_store(type, x, x, dim, p, want);
        for (int is_key = 0; is_key < 2; is_key++) {
            for (uint32_t d = 0; d < dim; d++)
                back[d] = (float)kv(&c, is_key, p, d);
            if (type != AIOS__KV_I16)
                aios__kv_turn(back, dim);
            double error = 0;
            for (uint32_t d = 0; d < dim; d++)
                error += pow((double)back[d] - (double)x[d], 2);
            if (sizes[p % 5] < 1e20f && !(sqrt(error) <= off[type] * sqrt(power)))
                fail(&c, is_key ? "a key came back wrong" : "a value came back wrong", 0, p, (uint32_t)(1e6 * sqrt(error / power)));
        }
    }
    for (size_t i = 0; i < bytes; i++)
        differ += ((uint8_t *)want)[i] != ((uint8_t *)c.pages[0])[i];
    if (differ > bytes / 20)
        fail(&c, "another page than the reference's", 0, differ, (uint32_t)bytes);
    check_unguard(want, bytes);
    check_unguard(c.pages[0], bytes);
}

/* Numbers that are none make no wild access; the result may be anything. */
static void check_hostile(const aios__kernels *k, int32_t type)
{
    cache c = cache_new(k, type, 64, POS);
    float x[64], out[64];
    for (uint32_t i = 0; i < POS; i++) {
        for (uint32_t d = 0; d < 64; d++)
            x[d] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -3e38f;
        k->kv_store(type, x, x, 64, i % AIOS__KV_PAGE, c.pages[i / AIOS__KV_PAGE]);
    }
    c.q[0] = NAN;
    c.q[64] = INFINITY;
    c.hi[0] = POS;
    for (uint32_t h = 0; h < HEADS; h++) {
        aios__attn a = attn_of(&c, 0, 1, h, 1, 0, out);
        k->attn(&a);
    }
    cache_free(&c);
}

void check_attn(const aios__kernels *k, const aios__kernels *ref)
{
    static const uint32_t dims[] = {8, 24, 64, 72, 80, 128, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims * AIOS__KV_TYPES; i++) {
        int32_t type = (int32_t)(i % AIOS__KV_TYPES);
        uint32_t dim = dims[i / AIOS__KV_TYPES], n_pos = i % 2 ? POS : POS - 37;
        check_store(k, ref, type, dim);
        cache c = cache_new(k, type, dim, n_pos);
        for (uint32_t t = 0; t < TOKENS; t++) { /* a prompt: each token sees one more */
            c.lo[t] = 0;
            c.hi[t] = n_pos - TOKENS + 1 + t;
        }
        check_rows(k, &c, 0);
        for (uint32_t t = 0; t < TOKENS; t++) { /* windows of any place and length */
            c.lo[t] = check_random() % n_pos;
            c.hi[t] = c.lo[t] + 1 + check_random() % (n_pos - c.lo[t]);
        }
        check_rows(k, &c, i % 2 ? 0 : 5.0f);
        cache_free(&c);
    }
    for (int32_t type = 0; type < AIOS__KV_TYPES; type++)
        check_hostile(k, type);
}

/* n_tokens tokens at the end of n_pos positions; all of them, with as many, is a whole prompt. Counted are the pairs that are seen. */
static void bench_shape(const aios__kernels *k, const char *level, int32_t type, uint32_t heads, uint32_t dim, uint32_t n_tokens, uint32_t n_pos)
{
    uint32_t n_pages = (n_pos + AIOS__KV_PAGE - 1) / AIOS__KV_PAGE, per = AIOS__ATTN_ROWS / heads, times = 0;
    size_t bytes = aios__kv_page_bytes(type, dim), row = (size_t)heads * dim;
    float *q = malloc(2 * n_tokens * row * sizeof *q), *out = q + n_tokens * row, kv[256];
    void *scratch = aligned_alloc(64, (aios__attn_scratch(dim) + 63) / 64 * 64), **pages = malloc(n_pages * sizeof *pages);
    uint8_t *memory = aligned_alloc(64, n_pages * bytes);
    uint32_t *lo = calloc(2 * n_tokens, sizeof *lo), *hi = lo + n_tokens;
    if (!q || !scratch || !pages || !memory || !lo)
        exit(1);
    for (uint32_t i = 0; i < n_pages; i++)
        pages[i] = memory + i * bytes;
    for (size_t i = 0; i < n_tokens * row; i++)
        q[i] = check_normal();
    for (uint32_t i = 0; i < dim; i++)
        kv[i] = check_normal();
    for (uint32_t i = 0; i < n_pos; i++) {
        kv[i % dim] = check_normal();
        k->kv_store(type, kv, kv, dim, i % AIOS__KV_PAGE, pages[i / AIOS__KV_PAGE]);
    }
    for (uint32_t i = 0; i < n_tokens; i++)
        hi[i] = n_pos - n_tokens + 1 + i;
    double pairs = heads * n_tokens * (n_pos - 0.5 * (n_tokens - 1)), t = check_seconds(), d;
    aios__attn a = {.q_ld = row, .out_ld = row, .pages = (const void *const *)pages, .n_heads = heads, .dim = dim, .kv_type = type, .scale = 0.125f, .scratch = scratch};
    do {
        for (uint32_t i = 0; i < n_tokens; i += per) {
            a.q = q + i * row;
            a.out = out + i * row;
            a.lo = lo + i;
            a.hi = hi + i;
            a.n_tokens = n_tokens - i < per ? n_tokens - i : per;
            k->attn(&a);
        }
        times++;
        d = check_seconds() - t;
    } while (d < 0.15);
    printf("{\"kernel\":\"attn\",\"level\":\"%s\",\"type\":%d,\"heads\":%u,\"dim\":%u,\"tokens\":%u,\"positions\":%u,\"us\":%.1f,\"gflops\":%.1f}\n",
           level, type, heads, dim, n_tokens, n_pos, d / times * 1e6, 4.0 * pairs * dim * times / d * 1e-9);
    free(q);
    free(scratch);
    free(pages);
    free(memory);
    free(lo);
}

void bench_attn(const aios__kernels *k, const char *level)
{
    static const uint32_t models[][2] = {{3, 64}, {4, 256}, {7, 64}}; /* SmolLM2, gemma 3, Qwen2.5: heads that share keys, dim */
    for (int32_t type = 0; type < AIOS__KV_TYPES; type++) {
        for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
            bench_shape(k, level, type, models[m][0], models[m][1], 512, 512);
            bench_shape(k, level, type, models[m][0], models[m][1], 2048, 2048);
            bench_shape(k, level, type, models[m][0], models[m][1], 1, 2048);
            bench_shape(k, level, type, models[m][0], models[m][1], 1, 8192);
        }
    }
}
