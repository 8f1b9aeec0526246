/* SPDX-License-Identifier: Apache-2.0 */
/* Part of attn_tile.h: its state, numbers as integers, and pages as I16. */
#ifndef AIOS_LIB_KERNEL_ATTN_PACK_H
#define AIOS_LIB_KERNEL_ATTN_PACK_H

enum { PAGE = AIOS__KV_PAGE, TILE = 16, SPAN = AIOS__KV_SPAN, MAX = AIOS__ATTN_ROWS, DIM_MAX = 1024, FEW = 4, LANES = 16 };
#define LOG2_E 1.44269504f
#if defined(__GNUC__) && !defined(__clang__) && !defined(AIOS_SIMDE)
#pragma GCC optimize("ira-region=all") /* registers of a loop are not given to what stands around it */
#endif
#define INLINE static inline __attribute__((always_inline))
#ifdef AIOS_SIMDE
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* What is known of the rows in work and of the page before them; all but the arrays of numbers lie in the scratch. */
typedef struct block {
    const aios__attn *a;
    uint32_t n, wide;            /* rows; dimensions */
    int16_t *q;                  /* [row][wide] */
    float *part, *total;         /* [row][part_ld] */
    size_t part_ld;
    const int16_t *k, *v;        /* the page, as I16 */
    int16_t *unpacked;
    uint32_t last;               /* page of the rows */
    ptrdiff_t ahead;             /* bytes from what is multiplied to the same of the next page */
    float *k_scale, *e, *weight, *inv; /* [PAGE] */
    int32_t *s;                  /* [STEPS][PAGE] scores, as floats once they are scaled */
    int16_t *p;                  /* [STEPS][PAGE] weights */
    float shrink[LANES], grow[LANES], top[LANES], sum[LANES]; /* of STEPS rows */
    uint32_t lo[MAX], hi[MAX];
    float unit[MAX];             /* a score in powers of two (with a softcap: before it) of a product of integers */
} block;

/* Into the second-level cache. */
INLINE void near(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}
INLINE uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}
INLINE uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* ---- numbers to integers ---------------------------------------------------------------------------------------- */

static float largest(const float *x, uint32_t wide)
{
    vec top = v_set(0);
    for (uint32_t d = 0; d < wide; d += WIDTH)
        top = v_max(v_max(v_load(x + d), v_sub(v_set(0), v_load(x + d))), top);
    return v_hmax(top);
}

static float length(const float *x, uint32_t wide)
{
    vec sum = v_set(0);
    for (uint32_t d = 0; d < wide; d += WIDTH) {
        vec v = v_load(x + d);
        sum = v_fma(v, v, sum);
    }
    return sqrtf(v_hsum(sum));
}

/* x holds `wide` floats. */
static void to_integers(const float *x, uint32_t wide, float scale, float limit, int16_t *out)
{
    vec inv = v_set(1.0f / scale), most = v_set(limit), least = v_set(-limit);
    for (uint32_t d = 0; d < wide; d += WIDTH)
        v_to_i16(out + d, v_max(v_min(v_mul(v_load(x + d), inv), most), least));
}

static void store(int32_t type, bool is_key, const float *x, uint32_t dim, uint32_t pos, void *page)
{
    float own[DIM_MAX];
    int16_t ints[DIM_MAX];
    uint32_t wide = aios__kv_wide(dim);
    memcpy(own, x, dim * sizeof *x);
    memset(own + dim, 0, (wide - dim) * sizeof *x);
    if (type != AIOS__KV_I16)
        aios__kv_turn(own, dim);
    float scale = aios__kv_scale(type, is_key, largest(own, wide), length(own, wide));
    to_integers(own, wide, scale, aios__kv_limit(type, is_key), ints);
    aios__kv_place(type, is_key, ints, wide, pos, page);
    aios__kv_set_scale(type, is_key, scale, wide, pos, page);
}

static void kv_store(int32_t type, const float *k, const float *v, uint32_t dim, uint32_t pos, void *page)
{
    store(type, true, k, dim, pos, page);
    store(type, false, v, dim, pos, page);
}

static void set_query(block *b, uint32_t row, const float *q)
{
    float own[DIM_MAX];
    uint32_t dim = b->a->dim;
    memcpy(own, q, dim * sizeof *q);
    memset(own + dim, 0, (b->wide - dim) * sizeof *q);
    if (b->a->kv_type != AIOS__KV_I16)
        aios__kv_turn(own, dim);
    float scale = aios__kv_scale_query(length(own, b->wide));
    to_integers(own, b->wide, scale, AIOS__KV_LIMIT_K, b->q + (size_t)row * b->wide);
    b->unit[row] = scale * b->a->scale * (b->a->softcap > 0 ? 1.0f : LOG2_E);
}

/* ---- a page ------------------------------------------------------------------------------------------------------ */

/* n bytes as 16-bit integers. */
static void widen8(const uint8_t *from, int16_t *to, size_t n, ptrdiff_t ahead)
{
    for (size_t i = 0; i < n; i += 2 * WIDTH) {
        near((const char *)from + i + ahead);
        i_store(to + i, i_widen((const int8_t *)from + i));
    }
}

/* Runs of n bytes: the lower nibbles of all, then the upper ones. */
static void widen4(const uint8_t *from, int16_t *to, uint32_t n, ptrdiff_t ahead)
{
    for (uint32_t i = 0; i < n; i += 64)
        near((const char *)from + i + ahead);
    for (uint32_t i = 0; i < n; i += 2 * WIDTH) /* may write beyond n what the next loop or run writes again */
        i_store(to + i, i_nibble(i_widen((const int8_t *)from + i)));
    for (uint32_t i = 0; i < n; i += 2 * WIDTH)
        i_store(to + n + i, i_nibble(i_shift4(i_widen((const int8_t *)from + i))));
}

static void unpack4(block *b, const uint8_t *page, ptrdiff_t ahead)
{
    uint32_t k_run = b->wide / 2 * TILE, v_run = b->wide;
    int16_t *to = b->unpacked;
    for (uint32_t i = 0; i < PAGE / TILE; i++, page += k_run, to += 2 * k_run)
        widen4(page, to, k_run, ahead);
    for (uint32_t i = 0; i < PAGE / 2; i++, page += v_run, to += 2 * v_run)
        widen4(page, to, v_run, ahead);
}

static void open_page(block *b, uint32_t number)
{
    int32_t type = b->a->kv_type;
    const void *page = b->a->pages[number], *next = b->a->pages[min_u32(number + 1, b->last)];
    ptrdiff_t ahead = (const char *)next - (const char *)page;
    size_t half = (size_t)PAGE * b->wide;
    const uint16_t *scales = aios__kv_scales(page, type, b->wide);
    b->k = type == AIOS__KV_I16 ? page : b->unpacked;
    b->v = b->k + half;
    b->ahead = type == AIOS__KV_I16 ? ahead : 0;
    if (type == AIOS__KV_I8)
        widen8(page, b->unpacked, 2 * half, ahead);
    else if (type == AIOS__KV_I4)
        unpack4(b, page, ahead);
    for (uint32_t i = 0; i < PAGE; i += WIDTH) {
        ivec bits = i_upper(scales + PAGE + i), up = i_shift23(i_add(bits, i_set(0x7fffff)));
        up = i_min(i_max(up, i_set(27)), i_set(227));
        vec inv = v_from_bits(i_left23(i_sub(i_set(254), up)));
        v_store(b->k_scale + i, v_from_bits(i_upper(scales + i)));
        v_store(b->e + i, v_from_int(i_sub(up, i_set(127))));
        v_store(b->weight + i, v_mul(v_mul(v_from_bits(bits), inv), v_set(AIOS__KV_LIMIT_P)));
        v_store(b->inv + i, inv);
    }
}

#endif
