/* SPDX-License-Identifier: Apache-2.0 */
/* Weight panels: the layout described in quant.h, written and read back code by code (pack.c writes it by words). */
#include "kernel/split.h"

size_t aios__panel_bytes(int32_t dtype, uint32_t cols)
{
    const aios__format *f = aios__format_of(dtype);
    size_t n, heads = 0;
    if (!f || !cols || cols % f->block)
        return 0;
    if (!aios__mul_size(f->planes[0] ? cols / 32 : cols, f->sub, &n))
        return 0;
    if (f->head && !aios__mul_size(cols / 256, f->head, &heads))
        return 0;
    return aios__add_size(n, heads, &n) ? n : 0;
}

int aios__gemm_wants_q8(int32_t dtype)
{
    const aios__format *f = aios__format_of(dtype);
    return f && f->planes[0];
}

size_t aios__act_bytes(uint32_t n_tokens, uint32_t k)
{
    size_t n;
    if (!aios__mul_size(n_tokens, (size_t)k / 32 + (k % 32 != 0), &n) || !aios__mul_size(n, AIOS__ACT_TOKEN, &n))
        return 0;
    return aios__align_size(n, 64, &n) ? n : 0;
}

/* Byte and shift of group g (4 k) of a plane, whose first of 64 bytes is row 0, k 0. */
static uint32_t plane_byte(uint32_t bits, uint32_t g)
{
    return bits == 8 ? 64 * g : bits == 4 ? 64 * (g % 4) : bits == 2 ? 64 * (g / 4) : 0;
}
static uint32_t plane_shift(uint32_t bits, uint32_t g)
{
    return bits == 8 ? 0 : bits == 4 ? 4 * (g / 4) : bits == 2 ? 2 * (g % 4) : g;
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void put_codes(const aios__format *f, const aios__sub *s, uint32_t r, uint8_t *sub)
{
    uint32_t at = 0, low = 0;
    for (int n = 0; n < 2 && f->planes[n]; n++) {
        uint32_t bits = f->planes[n], mask = (1u << bits) - 1;
        for (uint32_t k = 0; k < 32; k++) {
            uint8_t *p = sub + at + plane_byte(bits, k / 4) + 4 * r + k % 4;
            *p = (uint8_t)(*p | (s->q[k] >> low & mask) << plane_shift(bits, k / 4));
        }
        at += 64 * bits;
        low += bits;
    }
}

/* Scales of row r: `head` is that of its 256-block (unused by types of 32), `sub` its sub-block. */
static void put_scales(const aios__format *f, const aios__sub *s, uint32_t r, uint8_t *head, uint8_t *sub)
{
    uint8_t *sc = sub + f->scales, *d = f->head ? head : sc;
    put16(d + 2 * r, s->d);
    if (f->min)
        put16(d + 32 + 2 * r, s->m);
    if (!f->head)
        return;
    for (uint32_t h = 0; f->pairs && h < 2; h++)
        sc[2 * r + h] = (uint8_t)(f->min ? s->sc[h] | s->mn[h] << 4 : s->sc[h]);
    if (!f->pairs) {
        sc[r] = (uint8_t)s->sc[0];
        sc[16 + r] = (uint8_t)s->mn[0];
    }
}

static void pack_floats(const aios__format *f, const uint8_t *src, uint32_t n_rows, uint32_t cols, uint8_t *dst)
{
    size_t e = f->block_bytes;
    for (uint32_t r = 0; r < n_rows; r++)
        for (size_t k = 0; k < cols; k++)
            memcpy(dst + (k * AIOS__PANEL_ROWS + r) * e, src + (r * (size_t)cols + k) * e, e);
}

void aios__panel_pack_plain(int32_t dtype, const void *src, uint32_t n_rows, uint32_t cols, uint8_t *dst)
{
    const aios__format *f = aios__format_of(dtype);
    size_t bytes = aios__panel_bytes(dtype, cols);
    const uint8_t *p = src;
    if (!bytes)
        return;
    if (n_rows > AIOS__PANEL_ROWS)
        n_rows = AIOS__PANEL_ROWS;
    memset(dst, 0, bytes);
    if (!f->planes[0]) {
        pack_floats(f, p, n_rows, cols, dst);
        return;
    }
    uint32_t subs = f->block / 32u;
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t b = 0; b < cols / 32; b++) {
            uint8_t *sub = dst + aios__sub_at(f, b);
            aios__sub s;
            aios__sub_decode(f, p + (size_t)(b / subs) * f->block_bytes, b % subs, &s);
            put_codes(f, &s, r, sub);
            put_scales(f, &s, r, f->head ? sub - (size_t)(b % 8) * f->sub - f->head : sub, sub);
        }
        p += (size_t)(cols / f->block) * f->block_bytes;
    }
}

static void get_scales(const aios__format *f, const uint8_t *head, const uint8_t *sc, uint32_t r, aios__sub *s)
{
    const uint8_t *d = f->head ? head : sc;
    s->sc[0] = s->sc[1] = s->mn[0] = s->mn[1] = 1;
    s->d = get16(d + 2 * r);
    s->m = f->min ? get16(d + 32 + 2 * r) : 0;
    if (!f->head)
        return;
    for (uint32_t h = 0; h < 2; h++) {
        uint8_t c = sc[f->pairs ? 2 * r + h : r];
        s->sc[h] = f->pairs && f->min ? c & 15 : f->pairs ? (int8_t)c : c;
        s->mn[h] = f->pairs ? c >> 4 : sc[16 + r];
    }
}

void aios__sub_fetch(const aios__format *f, const uint8_t *panel, uint32_t b, uint32_t r, aios__sub *s)
{
    const uint8_t *sub = panel + aios__sub_at(f, b);
    uint32_t at = 0, low = 0;
    memset(s->q, 0, sizeof s->q);
    for (int n = 0; n < 2 && f->planes[n]; n++) {
        uint32_t bits = f->planes[n], mask = (1u << bits) - 1;
        for (uint32_t k = 0; k < 32; k++) {
            uint32_t v = sub[at + plane_byte(bits, k / 4) + 4 * r + k % 4] >> plane_shift(bits, k / 4) & mask;
            s->q[k] = (uint8_t)(s->q[k] | v << low);
        }
        at += 64 * bits;
        low += bits;
    }
    get_scales(f, f->head ? sub - (size_t)(b % 8) * f->sub - f->head : sub, sub + f->scales, r, s);
}

void aios__block_fetch(const aios__format *f, const aios__panels *w, uint32_t p, uint32_t b, uint32_t r, aios__sub *s)
{
    const uint8_t *panel = w->data + p * w->panel_bytes;
    uint8_t whole[AIOS__WHOLE_SUB];
    if (w->low)
        aios__panel_merge(panel + (size_t)b * AIOS__HIGH_SUB, w->low + p * w->low_bytes + (size_t)b * AIOS__LOW_SUB, 32, whole);
    aios__sub_fetch(f, w->low ? whole : panel, w->low ? 0 : b, r, s);
}

void aios__panel_row(const aios__panels *w, uint32_t row, float *out)
{
    const aios__format *f = aios__format_of(w->dtype);
    uint32_t r = row % AIOS__PANEL_ROWS;
    const uint8_t *p = w->data + (size_t)(row / AIOS__PANEL_ROWS) * w->panel_bytes;
    if (!f || row >= w->rows)
        return;
    if (!f->planes[0]) {
        for (size_t k = 0; k < w->cols; k++)
            aios__dequantize(w->dtype, p + (k * AIOS__PANEL_ROWS + r) * f->block_bytes, 1, out + k);
        return;
    }
    for (uint32_t b = 0; b < w->cols / 32; b++) {
        aios__sub s;
        aios__block_fetch(f, w, row / AIOS__PANEL_ROWS, b, r, &s);
        aios__sub_values(f, &s, out + 32 * (size_t)b);
    }
}
