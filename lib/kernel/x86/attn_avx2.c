/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention at AVX2: up to six query rows share each K and V load. Whatever rows stand together, one row's sums run over
 * head dimensions, positions and pages in the same order, so its result is the same bits alone and in company.
 */
#include <math.h>

#include "kernel/half.h"
#include "kernel/vec.h"
#include "kernel/x86/exp_avx2.h"

enum { PAGE = AIOS__KV_PAGE, TILE = 16, MAX_ROWS = 6 };
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* What is known of the rows in work; scores and sums live in the scratch. */
typedef struct group {
    const aios__attn *a;
    uint32_t first;         /* row */
    float *s;               /* [rows][PAGE] */
    float *acc;             /* [rows][acc_ld] */
    size_t acc_ld;
    float top[MAX_ROWS], sum[MAX_ROWS], shrink[MAX_ROWS];
} group;

INLINE __m256 load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* Scores of n_rows rows against n_tiles tiles of 16 positions. */
INLINE void score_tiles(const group *g, const uint16_t *k, uint32_t tile, int n_rows, int n_tiles)
{
    const aios__attn *a = g->a;
    const float *q = a->q + g->first * a->q_ld;
    size_t ld = a->q_ld, tile_ld = (size_t)a->dim * TILE;
    __m256 acc[8][2];
    k += tile * tile_ld;
    UNROLL for (int i = 0; i < n_rows * n_tiles; i++)
        acc[i][0] = acc[i][1] = _mm256_setzero_ps();
    for (uint32_t d = 0; d < a->dim; d++) {
        UNROLL for (int t = 0; t < n_tiles; t++) {
            __m256 k0 = load_f16(k + t * tile_ld + d * TILE), k1 = load_f16(k + t * tile_ld + d * TILE + 8);
            UNROLL for (int r = 0; r < n_rows; r++) {
                __m256 v = _mm256_broadcast_ss(q + r * ld + d);
                acc[r * n_tiles + t][0] = _mm256_fmadd_ps(v, k0, acc[r * n_tiles + t][0]);
                acc[r * n_tiles + t][1] = _mm256_fmadd_ps(v, k1, acc[r * n_tiles + t][1]);
            }
        }
    }
    UNROLL for (int r = 0; r < n_rows; r++) {
        UNROLL for (int t = 0; t < n_tiles; t++) {
            float *s = g->s + r * PAGE + (tile + (uint32_t)t) * TILE;
            _mm256_storeu_ps(s, acc[r * n_tiles + t][0]);
            _mm256_storeu_ps(s + 8, acc[r * n_tiles + t][1]);
        }
    }
}

/* s = softcap * tanh(s / softcap), tanh(x) = 1 - 2 / (exp(2x) + 1). */
static __m256 cap8(__m256 s, float softcap)
{
    __m256 one = _mm256_set1_ps(1.0f), two = _mm256_set1_ps(2.0f);
    __m256 e = exp8(_mm256_mul_ps(s, _mm256_set1_ps(2.0f / softcap)));
    return _mm256_mul_ps(_mm256_set1_ps(softcap), _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(e, one))));
}

/* Turns row r's scores of a page into weights; positions outside [lo, hi) of the page weigh 0. */
static void soften(group *g, uint32_t r, uint32_t lo, uint32_t hi)
{
    float *s = g->s + r * PAGE;
    __m256 vs = _mm256_set1_ps(g->a->scale), none = _mm256_set1_ps(-INFINITY), top = none;
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), vlo = _mm256_set1_epi32((int)lo - 1), vhi = _mm256_set1_epi32((int)hi);
    for (uint32_t i = 0; i < PAGE; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(s + i), vs);
        if (g->a->softcap > 0)
            v = cap8(v, g->a->softcap);
        __m256i pos = _mm256_add_epi32(at, _mm256_set1_epi32((int)i));
        __m256i in = _mm256_and_si256(_mm256_cmpgt_epi32(pos, vlo), _mm256_cmpgt_epi32(vhi, pos));
        v = _mm256_blendv_ps(none, v, _mm256_castsi256_ps(in));
        top = _mm256_max_ps(top, v);
        _mm256_storeu_ps(s + i, v);
    }
    float m = hmax8(top), old = g->top[r];
    m = m > old ? m : old;
    g->shrink[r] = m > old ? _mm256_cvtss_f32(exp8(_mm256_set1_ps(old - m))) : 1.0f;
    g->top[r] = m;
    __m256 vm = _mm256_set1_ps(m), sum = _mm256_setzero_ps();
    for (uint32_t i = 0; i < PAGE; i += 8) {
        __m256 v = _mm256_loadu_ps(s + i);
        __m256 e = _mm256_and_ps(exp8(_mm256_sub_ps(v, vm)), _mm256_cmp_ps(v, none, _CMP_NEQ_UQ));
        sum = _mm256_add_ps(sum, e);
        _mm256_storeu_ps(s + i, e);
    }
    g->sum[r] = g->sum[r] * g->shrink[r] + hsum8(sum);
}

/* acc = acc * shrink + weights x V for n_rows rows and n_vec * 8 dimensions from d on. */
INLINE void weigh(const group *g, const uint16_t *v, uint32_t d, uint32_t lo, uint32_t hi, int n_rows, int n_vec)
{
    uint32_t dim = g->a->dim;
    __m256 acc[8][8];
    UNROLL for (int r = 0; r < n_rows; r++) {
        __m256 shrink = _mm256_set1_ps(g->shrink[r]);
        UNROLL for (int c = 0; c < n_vec; c++)
            acc[r][c] = _mm256_mul_ps(_mm256_loadu_ps(g->acc + r * g->acc_ld + d + (uint32_t)c * 8), shrink);
    }
    for (uint32_t p = lo; p < hi; p++) {
        const uint16_t *row = v + (size_t)p * dim + d;
        __m256 x[8];
        UNROLL for (int c = 0; c < n_vec; c++)
            x[c] = load_f16(row + c * 8);
        UNROLL for (int r = 0; r < n_rows; r++) {
            __m256 w = _mm256_broadcast_ss(g->s + r * PAGE + p);
            UNROLL for (int c = 0; c < n_vec; c++)
                acc[r][c] = _mm256_fmadd_ps(w, x[c], acc[r][c]);
        }
    }
    UNROLL for (int r = 0; r < n_rows; r++) {
        UNROLL for (int c = 0; c < n_vec; c++)
            _mm256_storeu_ps(g->acc + r * g->acc_ld + d + (uint32_t)c * 8, acc[r][c]);
    }
}

INLINE uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}
INLINE uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* One page for a group; n_rows, n_tiles and n_vec are constants where it is inlined. */
INLINE void page_step(group *g, uint32_t page, int n_rows, int n_tiles, int n_vec)
{
    const aios__attn *a = g->a;
    uint32_t base = page * PAGE, lo = PAGE, hi = 0, dim = a->dim, d = 0;
    uint32_t rlo[MAX_ROWS], rhi[MAX_ROWS];
    for (int r = 0; r < n_rows; r++) {
        uint32_t i = g->first + (uint32_t)r;
        rlo[r] = max_u32(a->lo[i], base) - base;
        rhi[r] = min_u32(max_u32(a->hi[i], base) - base, PAGE);
        if (rlo[r] < rhi[r]) {
            lo = min_u32(lo, rlo[r]);
            hi = max_u32(hi, rhi[r]);
        }
    }
    if (lo >= hi)
        return;
    uint32_t step = (uint32_t)n_tiles, t0 = lo / TILE / step * step, t1 = (hi + TILE - 1) / TILE;
    for (uint32_t t = t0; t < t1; t += step)
        score_tiles(g, a->k_pages[page], t, n_rows, n_tiles);
    for (int r = 0; r < n_rows; r++) {
        g->shrink[r] = 1.0f;
        if (rlo[r] < rhi[r])
            soften(g, (uint32_t)r, rlo[r], rhi[r]);
        else
            memset(g->s + r * PAGE, 0, PAGE * sizeof(float));
    }
    const uint16_t *v = a->v_pages[page];
    for (; d + (uint32_t)n_vec * 8 <= dim; d += (uint32_t)n_vec * 8)
        weigh(g, v, d, lo, hi, n_rows, n_vec);
    for (; d < dim; d += 8)
        weigh(g, v, d, lo, hi, n_rows, 1);
}

INLINE void group_run(const aios__attn *a, uint32_t first, int n_rows, int n_tiles, int n_vec)
{
    group g = {.a = a, .first = first, .acc_ld = ((size_t)a->dim + 15) / 16 * 16};
    g.s = a->scratch;
    g.acc = a->scratch + MAX_ROWS * PAGE;
    memset(g.acc, 0, (size_t)n_rows * g.acc_ld * sizeof(float));
    uint32_t lo = UINT32_MAX, hi = 0;
    for (int r = 0; r < n_rows; r++) {
        g.top[r] = -INFINITY;
        lo = min_u32(lo, a->lo[first + (uint32_t)r]);
        hi = max_u32(hi, a->hi[first + (uint32_t)r]);
    }
    for (uint32_t page = lo / PAGE; lo < hi && page <= (hi - 1) / PAGE; page++)
        page_step(&g, page, n_rows, n_tiles, n_vec);
    for (int r = 0; r < n_rows; r++) {
        float *out = a->out + (first + (uint32_t)r) * a->out_ld;
        __m256 inv = _mm256_set1_ps(g.sum[r] > 0 ? 1.0f / g.sum[r] : 0);
        for (uint32_t d = 0; d < a->dim; d += 8)
            _mm256_storeu_ps(out + d, _mm256_mul_ps(_mm256_loadu_ps(g.acc + r * g.acc_ld + d), inv));
    }
}

/* Fewer rows take more positions and dimensions at once, so that enough sums are under way. */
static void group6(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 6, 1, 2);
}
static void group5(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 5, 1, 2);
}
static void group4(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 4, 1, 2);
}
static void group3(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 3, 1, 4);
}
static void group2(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 2, 2, 4);
}
static void group1(const aios__attn *a, uint32_t i)
{
    group_run(a, i, 1, 4, 8);
}

static void attn(const aios__attn *a)
{
    static void (*const run[])(const aios__attn *, uint32_t) = {group1, group2, group3, group4, group5, group6};
    for (uint32_t i = 0; i < a->n_q;) {
        uint32_t n = min_u32(a->n_q - i, MAX_ROWS);
        run[n - 1](a, i);
        i += n;
    }
}

static void k_store(const float *k, uint32_t dim, uint32_t pos, uint16_t *page)
{
    uint16_t *p = page + (size_t)(pos / TILE) * dim * TILE + pos % TILE;
    uint32_t d = 0;
    for (; d + 8 <= dim; d += 8) {
        uint16_t h[8];
        _mm_storeu_si128((__m128i *)(void *)h, _mm256_cvtps_ph(_mm256_loadu_ps(k + d), 0));
        for (uint32_t j = 0; j < 8; j++)
            p[(size_t)(d + j) * TILE] = h[j];
    }
    for (; d < dim; d++)
        p[(size_t)d * TILE] = aios__f32_to_f16(k[d]);
}

void aios__attn_init_avx2(aios__kernels *k)
{
    k->attn = attn;
    k->k_store = k_store;
}
