/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that are integers at some power of ten, digit by digit: a byte is accepted exactly if one of them still begins so. A
   frame's v are the digits so far without the point, a how many of them are behind it. */
#include "grammar/walk_priv.h"

#define TRIES 1000u /* multiples that are looked at, behind those excluded by value */

bool aios__gint_out(const aios_grammar *g, uint32_t outs, uint32_t n_outs, uint32_t nots, uint32_t n_nots, uint64_t v, bool neg)
{
    int64_t signed_v = neg ? -(int64_t)v : (int64_t)v;
    for (uint32_t i = 0; i < n_outs; i++)
        if (g->vals[outs + i] == signed_v)
            return true;
    for (uint32_t i = 0; i < n_nots; i++)
        if (v % (uint64_t)g->vals[nots + i] == 0)
            return true;
    return false;
}

static bool is_out(const aios_grammar *g, const aios__gint *r, uint64_t v, bool neg)
{
    return (r->n_outs || r->n_nots) && aios__gint_out(g, r->outs, r->n_outs, r->nots, r->n_nots, v, neg);
}

/* Range of magnitudes of a sign; false if there are none. */
static bool side(const aios__gint *r, bool neg, uint64_t *lo, uint64_t *hi)
{
    if (neg) {
        *lo = r->hi < 0 ? (uint64_t)0 - (uint64_t)r->hi : 1;
        *hi = (uint64_t)0 - (uint64_t)r->lo;
        return r->lo < 0;
    }
    *lo = r->lo > 0 ? (uint64_t)r->lo : 0;
    *hi = (uint64_t)r->hi;
    return r->hi >= 0;
}

/* One of the magnitudes a .. b is a number of the sign. What is found in a part is found in the whole: tries begin nearer there. */
static bool exists(const aios_grammar *g, const aios__gint *r, bool neg, uint64_t a, uint64_t b)
{
    uint64_t lo, hi, tries = (uint64_t)r->n_outs + TRIES;
    if (!side(r, neg, &lo, &hi))
        return false;
    a = a > lo ? a : lo;
    b = b < hi ? b : hi;
    uint64_t v = a / r->mul * r->mul;
    if (v < a && b - v < r->mul)
        return false;
    v += v < a ? r->mul : 0;
    for (; v <= b && tries; tries--) {
        if (!is_out(g, r, v, neg))
            return true;
        if (b - v < r->mul)
            return false;
        v += r->mul;
    }
    return false;
}

bool aios__gint_exists(const aios_grammar *g, const aios__gint *t)
{
    return exists(g, t, false, 0, UINT64_MAX) || exists(g, t, true, 0, UINT64_MAX);
}

/* How many of the magnitudes a .. b are numbers of the sign, at least. */
static uint64_t count(const aios_grammar *g, const aios__gint *r, bool neg, uint64_t a, uint64_t b)
{
    uint64_t lo, hi;
    if (!exists(g, r, neg, a, b) || !side(r, neg, &lo, &hi))
        return 0;
    a = a > lo ? a : lo;
    b = b < hi ? b : hi;
    uint64_t n = b / r->mul - (a ? (a - 1) / r->mul : 0) + !a;
    return r->n_nots || n <= r->n_outs ? 1 : n - r->n_outs;
}

static uint64_t power(unsigned n)
{
    uint64_t p = 1;
    while (n--)
        p *= 10;
    return p;
}

/* Some number begins with the digits of the frame: more may come before the point too, as long as there is none. */
static bool reachable(const aios_grammar *g, const aios__gint *r, const aios__frame *f, uint64_t v, bool point)
{
    uint64_t lo, hi, span = power(r->frac - (point ? f->a : 0u));
    if (!side(r, f->x, &lo, &hi) || v > hi / span)
        return false;
    for (uint64_t first = v * span; first <= hi; first *= 10, span *= 10) {
        if (exists(g, r, f->x, first, span - 1 > hi - first ? hi : first + (span - 1)))
            return true;
        if (point || !v || first > hi / 10)
            return false;
    }
    return false;
}

uint32_t aios__gint_count(const aios_grammar *g, const aios__gint *r, const aios__frame *f, uint32_t limit)
{
    uint64_t n = 0, lo, hi;
    if (!f || f->st == START) {
        n = count(g, r, false, 0, UINT64_MAX) + count(g, r, true, 0, UINT64_MAX);
    } else if (f->st == MINUS) {
        n = count(g, r, true, 0, UINT64_MAX);
    } else if (side(r, f->x, &lo, &hi)) {
        bool point = f->st >= POINT;
        uint64_t span = power(r->frac - (point ? f->a : 0u));
        for (uint64_t first = f->v <= hi / span ? f->v * span : UINT64_MAX; first <= hi && n < limit; first *= 10, span *= 10) {
            n += count(g, r, f->x, first, span - 1 > hi - first ? hi : first + (span - 1));
            if (point || !f->v || first > hi / 10)
                break;
        }
    }
    return n < limit ? (uint32_t)n : limit;
}

static bool digit_may_follow(const aios_grammar *g, const aios__gint *r, aios__frame f)
{
    bool point = f.st >= POINT;
    if (f.st == ZERO || (point && f.a == r->frac) || f.v > UINT64_MAX / 20)
        return false;
    f.a += point;
    for (uint64_t d = 0; d < 10; d++)
        if (reachable(g, r, &f, f.v * 10 + d, point))
            return true;
    return false;
}

static bool point_may_follow(const aios_grammar *g, const aios__gint *r, aios__frame f)
{
    f.a = 0;
    return r->frac && f.st < POINT && reachable(g, r, &f, f.v, true);
}

static int digit(const aios_grammar *g, const aios__gint *r, aios__frame *f, uint8_t c)
{
    uint64_t lo, hi, d = c - '0';
    bool point = f->st >= POINT;
    if (!aios__is_digit(c) || f->st == ZERO || (point && f->a == r->frac) || f->v > UINT64_MAX / 20 || !side(r, f->x, &lo, &hi))
        return NO;
    f->v = f->v * 10 + d;
    f->a += point;
    f->st = point ? FRACTION : f->v ? DIGITS : ZERO;
    if (!reachable(g, r, f, f->v, point))
        return NO;
    uint64_t span = power(r->frac - f->a), n = f->v <= UINT64_MAX / 2 / span ? f->v * span : UINT64_MAX;
    bool end = n >= lo && n <= hi && n % r->mul == 0 && !is_out(g, r, n, f->x) && (n || !f->x);
    bool more = digit_may_follow(g, r, *f) || point_may_follow(g, r, *f);
    return more ? (end ? MAY_END : GOES_ON) : end ? ENDS : NO;
}

int aios__walk_int(const aios_grammar *g, aios__frame *f, uint8_t c)
{
    const aios__gint *r = &g->ints[g->nodes[f->node].a];
    if (c == '-' && f->st == START) {
        f->st = MINUS;
        f->x = 1;
        return exists(g, r, true, 1, UINT64_MAX) ? GOES_ON : NO;
    }
    if (c == '.' && (f->st == DIGITS || f->st == ZERO) && point_may_follow(g, r, *f)) {
        f->st = POINT;
        f->a = 0;
        return GOES_ON;
    }
    return digit(g, r, f, c);
}
