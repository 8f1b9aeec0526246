/* SPDX-License-Identifier: Apache-2.0 */
/* Part of attn_tile.h: rows before a page. */
#ifndef AIOS_LIB_KERNEL_ATTN_ROWS_H
#define AIOS_LIB_KERNEL_ATTN_ROWS_H

#include "kernel/attn_pack.h"

/*
 * acc[row][vector] = sums over n pairs: pairs of row r at x + r * ld, their factors for vector c at y + pair * step + c * next.
 * n_rows and n_vecs are constants where it is inlined. Few rows wait for memory: they have what is `ahead` of the factors brought nearer.
 */
INLINE void dots(const int16_t *x, size_t ld, const int16_t *y, size_t step, size_t next, uint32_t n, ptrdiff_t ahead, ivec acc[STEPS][VECS],
                 const int n_rows, const int n_vecs)
{
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int c = 0; c < n_vecs; c++)
            acc[r][c] = i_set(0);
    for (uint32_t i = 0; i < n; i++, x += 2, y += step) {
        ivec f[VECS];
        UNROLL for (int c = 0; c < n_vecs; c++) {
            f[c] = i_load(y + (size_t)c * next);
            HOLD(f[c]);
        }
        if (n_rows <= FEW)
            UNROLL for (int c = 0; c < n_vecs; c += 16 / WIDTH)
                near((const char *)(y + (size_t)c * next) + ahead);
        UNROLL for (int r = 0; r < n_rows; r++) {
            ivec w = i_pair(x + (size_t)r * ld);
            UNROLL for (int c = 0; c < n_vecs; c++)
                acc[r][c] = i_dot(acc[r][c], w, f[c]);
        }
    }
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int c = 0; c < n_vecs; c++)
            HOLD(acc[r][c]);
}

/* Products with the keys of positions [pos, pos + n_vecs * WIDTH). */
INLINE void score(const block *b, uint32_t row, uint32_t pos, const int n_rows, const int n_vecs)
{
    ivec acc[STEPS][VECS];
    size_t tile = (size_t)b->wide * TILE;
    dots(b->q + (size_t)row * b->wide, b->wide, b->k + pos / TILE * tile + pos % TILE * 2, 2 * TILE, (int)WIDTH == (int)TILE ? tile : 2 * WIDTH,
         b->wide / 2, b->ahead, acc, n_rows, n_vecs);
    UNROLL for (int r = 0; r < n_rows; r++)
        UNROLL for (int c = 0; c < n_vecs; c++)
            i_store(b->s + r * PAGE + pos + (uint32_t)(c * WIDTH), acc[r][c]);
}

/* Part = part x shrink + grow x (weights x values of positions [lo, hi)), vectors [c, c + n_vecs) of it. */
INLINE void weigh(block *b, uint32_t row, uint32_t lo, uint32_t hi, uint32_t c, const int n_rows, const int n_vecs)
{
    ivec acc[STEPS][VECS];
    float *part = b->part + row * b->part_ld + AIOS__PART_V + (size_t)c * WIDTH;
    dots(b->p + lo, PAGE, b->v + (size_t)lo * b->wide + (size_t)c * 2 * WIDTH, 2 * (size_t)b->wide, 2 * WIDTH, (hi - lo) / 2, b->ahead,
         acc, n_rows, n_vecs);
    UNROLL for (int r = 0; r < n_rows; r++) {
        vec shrink = v_set(b->shrink[r]), grow = v_set(b->grow[r]);
        UNROLL for (int i = 0; i < n_vecs; i++) {
            float *to = part + (size_t)r * b->part_ld + (size_t)i * WIDTH;
            v_store(to, v_fma(v_from_int(acc[r][i]), grow, v_mul(v_load(to), shrink)));
        }
    }
}

/* s = softcap * tanh(s / softcap) in powers of two, tanh(x) = 1 - 2 / (exp(2x) + 1). */
static vec cap(vec s, float softcap)
{
    vec x = v_max(v_min(v_mul(s, v_set(2.0f * LOG2_E / softcap)), v_set(60.0f)), v_set(-60.0f));
    return v_mul(v_set(softcap * LOG2_E), v_sub(v_set(1.0f), v_div(v_set(2.0f), v_add(v_exp2(x), v_set(1.0f)))));
}

/* Range of a page, of vectors that hold some position of [lo, hi); `whole`, a constant: of all. */
INLINE uint32_t first_of(uint32_t lo, const bool whole)
{
    return whole ? 0 : lo / WIDTH * WIDTH;
}
INLINE uint32_t end_of(uint32_t hi, const bool whole)
{
    return whole ? PAGE : (hi + WIDTH - 1) / WIDTH * WIDTH;
}

/* Row r's products of a page as scores in powers of two, and the largest; -infinity at positions outside [lo, hi). */
INLINE void scale(block *b, uint32_t row, uint32_t r, uint32_t lo, uint32_t hi, const bool whole)
{
    int32_t *s = b->s + r * PAGE;
    float softcap = b->a->softcap;
    vec unit = v_set(b->unit[row]), top = v_set(-INFINITY);
    for (uint32_t i = first_of(lo, whole); i < end_of(hi, whole); i += WIDTH) {
        vec v = v_mul(v_from_int(i_load((const int16_t *)(void *)(s + i))), v_load(b->k_scale + i));
        v = softcap > 0 ? v_add(cap(v_mul(v, unit), softcap), v_load(b->e + i)) : v_fma(v, unit, v_load(b->e + i));
        v = whole ? v : v_inside(v, (int)i, (int)lo, (int)hi);
        top = v_max(v, top);
        v_store((float *)(void *)(s + i), v);
    }
    b->top[r] = v_hmax(top);
}

/* Row r's scores as integer weights, and the sum of the weights; positions outside [lo, hi) weigh 0. */
INLINE void soften(block *b, uint32_t r, uint32_t lo, uint32_t hi, const bool whole)
{
    const float *s = (const float *)(void *)(b->s + r * PAGE);
    int16_t *p = b->p + r * PAGE;
    vec top = v_set(b->top[r]), sum = v_set(0);
    if (!whole)
        memset(p, 0, PAGE * sizeof *p);
    for (uint32_t i = first_of(lo, whole); i < end_of(hi, whole); i += WIDTH) {
        vec v = v_load(s + i), u = v_exp2(v_sub(v, top));
        u = whole ? u : v_drop(u, v);
        sum = v_fma(u, v_load(b->inv + i), sum);
        v_to_i16(p + i, v_mul(u, v_load(b->weight + i)));
    }
    b->sum[r] = v_hsum(sum);
}

/* How the parts of n rows shrink and what they take grows, now that the page's largest scores and sums are known; one in a lane. */
static void grow_rows(block *b, uint32_t row, uint32_t n)
{
    float old[LANES] = {0}, total[LANES] = {0};
    for (uint32_t r = 0; r < n; r++) {
        old[r] = b->part[(row + r) * b->part_ld + AIOS__PART_TOP];
        total[r] = b->part[(row + r) * b->part_ld + AIOS__PART_SUM];
    }
    for (uint32_t r = 0; r < n; r += WIDTH) {
        vec m = v_load(b->top + r), was = v_load(old + r), top = v_max(m, was);
        vec grow = v_exp2(v_sub(m, top)), shrink = v_exp2(v_sub(was, top)); /* one of them is 1 */
        v_store(b->shrink + r, shrink);
        v_store(b->grow + r, v_div(grow, v_set(AIOS__KV_LIMIT_P)));
        v_store(old + r, top);
        v_store(total + r, v_fma(v_load(total + r), shrink, v_mul(v_load(b->sum + r), grow)));
    }
    for (uint32_t r = 0; r < n; r++) {
        b->part[(row + r) * b->part_ld + AIOS__PART_TOP] = old[r];
        b->part[(row + r) * b->part_ld + AIOS__PART_SUM] = total[r];
    }
}

/* All rows see the whole page. Step by step for all of them: what one waits for, the next ones do not. */
static void soften_whole(block *b, uint32_t row, uint32_t n_rows)
{
    for (uint32_t r = 0; r < n_rows; r++)
        scale(b, row + r, r, 0, PAGE, true);
    for (uint32_t r = 0; r < n_rows; r++)
        soften(b, r, 0, PAGE, true);
    grow_rows(b, row, n_rows);
}

/* One row; `lo` and `hi` are within the page. */
static void soften_some(block *b, uint32_t row, uint32_t r, uint32_t lo, uint32_t hi)
{
    if (lo < hi) {
        scale(b, row, r, lo, hi, false);
        soften(b, r, lo, hi, false);
        return;
    }
    b->top[r] = b->part[row * b->part_ld + AIOS__PART_TOP];
    b->sum[r] = 0;
    memset(b->p + r * PAGE, 0, PAGE * sizeof *b->p);
}

/* Weights of rows from `row` on, of the positions from base on. Apart from the products, whose registers it would take. */
static __attribute__((noinline)) void soften_rows(block *b, uint32_t row, uint32_t base, uint32_t n_rows)
{
    uint32_t n_whole = 0;
    for (uint32_t r = 0; r < n_rows; r++)
        n_whole += b->lo[row + r] <= base && b->hi[row + r] >= base + PAGE;
    if (n_whole == n_rows) {
        soften_whole(b, row, n_rows);
        return;
    }
    for (uint32_t r = 0; r < n_rows; r++)
        soften_some(b, row + r, r, max_u32(b->lo[row + r], base) - base, min_u32(max_u32(b->hi[row + r], base) - base, PAGE));
    grow_rows(b, row, n_rows);
}

/* Rows from `row` on before the page of positions [base, base + PAGE); n_rows is a constant. */
INLINE void rows_step(block *b, uint32_t row, uint32_t base, const int n_rows)
{
    uint32_t lo = PAGE, hi = 0, i, n_vec = b->wide / WIDTH;
    for (int r = 0; r < n_rows; r++) {
        lo = min_u32(lo, max_u32(b->lo[row + (uint32_t)r], base) - base);
        hi = max_u32(hi, min_u32(max_u32(b->hi[row + (uint32_t)r], base) - base, PAGE));
    }
    if (lo >= hi)
        return;
    uint32_t first = lo / TILE * TILE, last = (hi + TILE - 1) / TILE * TILE;
    if (VECS * WIDTH > TILE && last - first <= 2 * TILE) {
        for (i = first; i < last; i += WIDTH)
            score(b, row, i, n_rows, 1);
    } else {
        for (i = VECS * WIDTH > TILE ? 0 : first; i < last; i += VECS * WIDTH)
            score(b, row, i, n_rows, VECS);
    }
    soften_rows(b, row, base, (uint32_t)n_rows);
    for (uint32_t at = lo / SPAN * SPAN; at < hi; at += SPAN) {
        uint32_t from = max_u32(lo / 2 * 2, at), to = min_u32((hi + 1) / 2 * 2, at + SPAN);
        for (i = 0; i + VECS <= n_vec; i += VECS)
            weigh(b, row, from, to, i, n_rows, VECS);
        for (; i < n_vec; i++)
            weigh(b, row, from, to, i, n_rows, 1);
        for (int r = 0; r < n_rows; r++)
            b->shrink[r] = 1.0f;
    }
}

#define STEP(n_rows)                                                                               \
    static void step##n_rows(block *b, uint32_t row, uint32_t base)                                \
    {                                                                                              \
        rows_step(b, row, base, n_rows);                                                           \
    }
STEP(1)
STEP(2)
STEP(3)
STEP(4)
STEP(5)
#if STEPS > 5
STEP(6)
#endif

static void page_step(block *b, uint32_t page)
{
    static void (*const step[])(block *, uint32_t, uint32_t) = {step1, step2, step3, step4, step5,
#if STEPS > 5
                                                                step6,
#endif
    };
    uint32_t n_groups = (b->n + STEPS - 1) / STEPS;
    open_page(b, page);
    for (uint32_t i = 0; i < n_groups; i++) { /* of about the same size */
        uint32_t row = b->n * i / n_groups, end = b->n * (i + 1) / n_groups;
        step[end - row - 1](b, row, page * PAGE);
    }
}

#endif
