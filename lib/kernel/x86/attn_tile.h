/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention for any vector width: a file of a level defines vec, WIDTH, MAX_ROWS and the v_ operations below, then includes this.
 * Several query rows share each K and V load. Whatever rows stand together, one row's sums run over head dimensions, positions and
 * pages in the same order, so its result is the same bits alone and in company.
 */
#ifndef AIOS_LIB_KERNEL_ATTN_TILE_H
#define AIOS_LIB_KERNEL_ATTN_TILE_H

enum { PAGE = AIOS__KV_PAGE, TILE = 16, VECS = TILE / WIDTH };
#define INLINE static inline __attribute__((always_inline))
#ifdef AIOS_SIMDE
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* What is known of the rows in work; scores and sums live in the scratch. */
typedef struct group {
    const aios__attn *a;
    uint32_t first;         /* row */
    float *s;               /* [rows][PAGE] */
    float *acc;             /* [rows][acc_ld] */
    size_t acc_ld;
    float top[MAX_ROWS], sum[MAX_ROWS], shrink[MAX_ROWS];
} group;

/* Scores of n_rows rows against n_tiles tiles of 16 positions. */
INLINE void score_tiles(const group *g, const uint16_t *k, uint32_t tile, const int n_rows, const int n_tiles)
{
    const aios__attn *a = g->a;
    const float *q = a->q + g->first * a->q_ld;
    size_t ld = a->q_ld, tile_ld = (size_t)a->dim * TILE;
    vec acc[16][VECS];
    k += tile * tile_ld;
    UNROLL for (int i = 0; i < n_rows * n_tiles; i++)
        UNROLL for (int j = 0; j < VECS; j++)
            acc[i][j] = v_set(0);
    for (uint32_t d = 0; d < a->dim; d++) {
        UNROLL for (int t = 0; t < n_tiles; t++) {
            vec x[VECS];
            UNROLL for (int j = 0; j < VECS; j++)
                x[j] = v_half(k + t * tile_ld + d * TILE + j * WIDTH);
            UNROLL for (int r = 0; r < n_rows; r++) {
                vec v = v_set(q[r * ld + d]);
                UNROLL for (int j = 0; j < VECS; j++)
                    acc[r * n_tiles + t][j] = v_fma(v, x[j], acc[r * n_tiles + t][j]);
            }
        }
    }
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int t = 0; t < n_tiles; t++)
            UNROLL for (int j = 0; j < VECS; j++)
                v_store(g->s + r * PAGE + (tile + (uint32_t)t) * TILE + j * WIDTH, acc[r * n_tiles + t][j]);
}

/* s = softcap * tanh(s / softcap), tanh(x) = 1 - 2 / (exp(2x) + 1). */
INLINE vec cap(vec s, float softcap)
{
    vec e = v_exp(v_mul(s, v_set(2.0f / softcap)));
    return v_mul(v_set(softcap), v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(e, v_set(1.0f)))));
}

/* Turns row r's scores of a page into weights; positions outside [lo, hi) of the page weigh 0. */
static void soften(group *g, uint32_t r, uint32_t lo, uint32_t hi)
{
    float *s = g->s + r * PAGE;
    vec scale = v_set(g->a->scale), top = v_set(-INFINITY);
    for (uint32_t i = 0; i < PAGE; i += WIDTH) {
        vec v = v_mul(v_load(s + i), scale);
        if (g->a->softcap > 0)
            v = cap(v, g->a->softcap);
        v = v_inside(v, (int)i, (int)lo, (int)hi);
        top = v_max(top, v);
        v_store(s + i, v);
    }
    float m = v_hmax(top), old = g->top[r];
    m = m > old ? m : old;
    g->shrink[r] = m > old ? v_first(v_exp(v_set(old - m))) : 1.0f;
    g->top[r] = m;
    vec vm = v_set(m), sum = v_set(0);
    for (uint32_t i = 0; i < PAGE; i += WIDTH) {
        vec v = v_load(s + i), e = v_drop(v_exp(v_sub(v, vm)), v);
        sum = v_add(sum, e);
        v_store(s + i, e);
    }
    g->sum[r] = g->sum[r] * g->shrink[r] + v_hsum(sum);
}

/* acc = acc * shrink + weights x V for n_rows rows and n_vec vectors of dimensions from d on. */
INLINE void weigh(const group *g, const uint16_t *v, uint32_t d, uint32_t lo, uint32_t hi, const int n_rows, const int n_vec)
{
    uint32_t dim = g->a->dim;
    vec acc[MAX_ROWS][8];
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int c = 0; c < n_vec; c++)
            acc[r][c] = v_mul(v_load(g->acc + r * g->acc_ld + d + (uint32_t)(c * WIDTH)), v_set(g->shrink[r]));
    for (uint32_t p = lo; p < hi; p++) {
        const uint16_t *row = v + (size_t)p * dim + d;
        vec x[8];
        UNROLL for (int c = 0; c < n_vec; c++)
            x[c] = v_half(row + c * WIDTH);
        UNROLL for (int r = 0; r < n_rows; r++) {
            vec w = v_set(g->s[r * PAGE + p]);
            UNROLL for (int c = 0; c < n_vec; c++)
                acc[r][c] = v_fma(w, x[c], acc[r][c]);
        }
    }
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int c = 0; c < n_vec; c++)
            v_store(g->acc + r * g->acc_ld + d + (uint32_t)(c * WIDTH), acc[r][c]);
}

/* The dimensions that do not fill a vector. */
static void weigh_rest(const group *g, const uint16_t *v, uint32_t d, uint32_t lo, uint32_t hi, int n_rows)
{
    for (int r = 0; r < n_rows; r++) {
        for (uint32_t i = d; i < g->a->dim; i++) {
            float acc = g->acc[r * g->acc_ld + i] * g->shrink[r];
            for (uint32_t p = lo; p < hi; p++)
                acc = fmaf(g->s[r * PAGE + p], aios__f16_to_f32(v[(size_t)p * g->a->dim + i]), acc);
            g->acc[r * g->acc_ld + i] = acc;
        }
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
INLINE void page_step(group *g, uint32_t page, const int n_rows, const int n_tiles, const int n_vec)
{
    const aios__attn *a = g->a;
    uint32_t base = page * PAGE, lo = PAGE, hi = 0, dim = a->dim, d = 0, wide = (uint32_t)(n_vec * WIDTH);
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
    for (; d + wide <= dim; d += wide)
        weigh(g, v, d, lo, hi, n_rows, n_vec);
    for (; d + WIDTH <= dim; d += WIDTH)
        weigh(g, v, d, lo, hi, n_rows, 1);
    if (d < dim)
        weigh_rest(g, v, d, lo, hi, n_rows);
}

INLINE void group_run(const aios__attn *a, uint32_t first, const int n_rows, const int n_tiles, const int n_vec)
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
        float *out = a->out + (first + (uint32_t)r) * a->out_ld, inv = g.sum[r] > 0 ? 1.0f / g.sum[r] : 0;
        for (uint32_t d = 0; d < a->dim; d++)
            out[d] = g.acc[r * g.acc_ld + d] * inv;
    }
}

#endif
