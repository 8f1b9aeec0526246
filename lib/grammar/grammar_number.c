/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of a conjunction of parts: between bounds, multiples of some numbers and not of others, and none of those that are excluded.
   All are decimals, so that what is compared is what is written. */
#include "grammar/grammar_schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define WHOLE_MAX INT64_C(99999999999999999) /* of integers without bounds: 17 digits */
#define SCALED_MAX INT64_C(999999999999)      /* with digits behind the point, which doubles must tell apart: 12 in all */
#define DIGITS_MAX 15                          /* where a value must not come near another: what doubles tell apart */

/* digits * 10^exp; digits end in no zero. */
typedef struct dec {
    uint64_t digits;
    int exp;
    bool neg;
    const aios__json *v;
    part from;
} dec;

typedef struct list {
    dec *d;
    uint32_t n, cap;
} list;

typedef struct range {
    comp *c;
    bool has_lo, has_hi, lo_open, hi_open;
    dec lo, hi;
    list of, not_of, out; /* multiples, no multiples, values excluded */
} range;

/* ---- decimals ----------------------------------------------------------------------------------------------------- */

static dec dec_of(const aios__json *v, part from)
{
    dec d = {.v = v, .from = from};
    if (aios__json_type(v) == AIOS__JSON_INT) {
        int64_t i = aios__json_int(v, 0);
        d.neg = i < 0;
        d.digits = i < 0 ? (uint64_t)0 - (uint64_t)i : (uint64_t)i;
    } else {
        char s[48];
        double x = fabs(aios__json_real(v, 0));
        for (int n = 14; n <= 16; n++) {
            snprintf(s, sizeof s, "%.*e", n, x);
            if (strtod(s, NULL) == x)
                break;
        }
        int behind = 0;
        for (const char *c = s; *c && *c != 'e'; c++) /* s[1] is whatever the locale calls a point */
            if (*c >= '0' && *c <= '9') {
                d.digits = d.digits * 10 + (uint64_t)(*c - '0');
                behind += c > s + 1;
            }
        const char *e = strchr(s, 'e');
        d.exp = (e ? atoi(e + 1) : 0) - behind;
        d.neg = aios__json_real(v, 0) < 0;
    }
    for (; d.digits && d.digits % 10 == 0; d.exp++)
        d.digits /= 10;
    d.exp = d.digits ? d.exp : 0;
    d.neg = d.digits && d.neg;
    return d;
}

/* Digits behind the point. */
static int places(const dec *d)
{
    return d->exp < 0 ? -d->exp : 0;
}

/* |d| * 10^f, rounded down, at most UINT64_MAX / 2; *exact: nothing was cut off. */
static uint64_t scaled(const dec *d, int f, bool *exact)
{
    uint64_t v = d->digits;
    *exact = true;
    for (int e = d->exp + f; e > 0 && v; e--) {
        if (v > UINT64_MAX / 20)
            return UINT64_MAX / 2;
        v *= 10;
    }
    for (int e = d->exp + f; e < 0 && v; e++) {
        *exact = *exact && v % 10 == 0;
        v /= 10;
    }
    return v > UINT64_MAX / 2 ? UINT64_MAX / 2 : v;
}

static int compare(const dec *a, const dec *b)
{
    double x = aios__json_real(a->v, 0), y = aios__json_real(b->v, 0);
    if (aios__json_type(a->v) == AIOS__JSON_INT && aios__json_type(b->v) == AIOS__JSON_INT) {
        int64_t i = aios__json_int(a->v, 0), k = aios__json_int(b->v, 0);
        return (i > k) - (i < k);
    }
    return (x > y) - (x < y);
}

static int put(range *r, list *l, dec d, aios_error *err)
{
    int rc = aios__grammar_grow_beside(r->c->g, &l->d, &l->cap, (size_t)l->n + 1, AIOS__G_NODES, sizeof *l->d, "numbers", err);
    if (!rc)
        l->d[l->n++] = d;
    return rc;
}

static int fails(range *r, const dec *d, enum aios__kw kw, const char *why, aios_error *err)
{
    return aios__comp_fail(r->c, part_sub(d->from), kw, why, err);
}

/* ---- what the parts say ------------------------------------------------------------------------------------------- */

static void lower(range *r, const aios__json *v, bool open, part from)
{
    dec d = dec_of(v, from);
    int order = !v ? -1 : r->has_lo ? compare(&d, &r->lo) : 1;
    if (order < 0 || (!order && !open))
        return;
    r->has_lo = true;
    r->lo = d;
    r->lo_open = open;
}

static void upper(range *r, const aios__json *v, bool open, part from)
{
    dec d = dec_of(v, from);
    int order = !v ? 1 : r->has_hi ? compare(&d, &r->hi) : -1;
    if (order > 0 || (!order && !open))
        return;
    r->has_hi = true;
    r->hi = d;
    r->hi_open = open;
}

static int exclude(range *r, part p, aios_error *err)
{
    const aios__json *v = aios__schema_kw(r->c->s, part_sub(p), (enum aios__kw)part_what(p));
    bool many = part_what(p) == AIOS__KW_ENUM;
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < (many ? aios__json_count(v) : 1); i++) {
        const aios__json *one = many ? aios__json_at(v, i) : v;
        rc = aios__json_is_number(one) ? put(r, &r->out, dec_of(one, p), err) : AIOS_OK;
    }
    return rc;
}

/* What is not at least is below, and so on. */
static int read_denied(range *r, part p, aios_error *err)
{
    enum aios__kw kw = (enum aios__kw)part_what(p);
    const aios__json *v = kw < AIOS__KW_COUNT ? aios__schema_kw(r->c->s, part_sub(p), kw) : NULL;
    switch (part_what(p)) {
    case AIOS__KW_MINIMUM:
    case AIOS__KW_EXCLUSIVE_MINIMUM:
        upper(r, v, kw == AIOS__KW_MINIMUM, p);
        return AIOS_OK;
    case AIOS__KW_MAXIMUM:
    case AIOS__KW_EXCLUSIVE_MAXIMUM:
        lower(r, v, kw == AIOS__KW_MAXIMUM, p);
        return AIOS_OK;
    case AIOS__KW_MULTIPLE_OF:
        return put(r, &r->not_of, dec_of(v, p), err);
    case AIOS__KW_CONST:
    case AIOS__KW_ENUM:
        return exclude(r, p, err);
    default:
        return AIOS_OK;
    }
}

static int read_parts(range *r, const conj *k, aios_error *err)
{
    const comp *c = r->c;
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        part p = part_at(c, k, i);
        if (part_neg(p)) {
            rc = read_denied(r, p, err);
            continue;
        }
        lower(r, aios__comp_kw(c, k, i, AIOS__KW_MINIMUM), false, p);
        lower(r, aios__comp_kw(c, k, i, AIOS__KW_EXCLUSIVE_MINIMUM), true, p);
        upper(r, aios__comp_kw(c, k, i, AIOS__KW_MAXIMUM), false, p);
        upper(r, aios__comp_kw(c, k, i, AIOS__KW_EXCLUSIVE_MAXIMUM), true, p);
        const aios__json *m = aios__comp_kw(c, k, i, AIOS__KW_MULTIPLE_OF);
        rc = m ? put(r, &r->of, dec_of(m, p), err) : AIOS_OK;
    }
    return rc;
}

/* ---- multiples: integers, once the point is taken out ------------------------------------------------------------- */

static int add_value(comp *c, int64_t v, aios_error *err)
{
    aios_grammar *g = c->g;
    int rc = aios__grammar_grow(g, &g->vals, &g->cap_vals, (size_t)g->n_vals + 1, AIOS__G_WORDS, sizeof *g->vals, "numbers", err);
    if (!rc)
        g->vals[g->n_vals++] = v;
    return rc;
}

static uint64_t common(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

/* The least common multiple, at 10^-f. */
static int multiple(range *r, int f, uint64_t *mul, aios_error *err)
{
    bool exact;
    for (uint32_t i = 0; i < r->of.n; i++) {
        uint64_t m = scaled(&r->of.d[i], f, &exact), factor = m / common(*mul, m ? m : 1);
        if (!m || *mul > UINT64_C(1000000000000000000) / factor)
            return fails(r, &r->of.d[i], AIOS__KW_MULTIPLE_OF, "has too many digits, alone or with another one, to be enforced while decoding", err);
        *mul *= factor;
    }
    return AIOS_OK;
}

/* The bound at 10^-f, rounded inwards: up for a lower one. */
static int64_t bound(const dec *d, bool open, bool up, int f)
{
    bool exact;
    uint64_t v = scaled(d, f, &exact);
    bool away = up == !d->neg; /* inwards is away from zero */
    v += away && (!exact || open) && v < UINT64_MAX / 2; /* what is beyond all numbers stays there */
    if (!away && open && exact) {
        if (!v)
            return up ? 1 : -1;
        v--;
    }
    return d->neg ? -(int64_t)v : (int64_t)v;
}

/* Values and numbers whose multiples are out, those that matter. */
static int add_exclusions(range *r, int f, aios__gint *t, aios_error *err)
{
    bool exact;
    int rc = AIOS_OK;
    t->outs = r->c->g->n_vals;
    for (uint32_t i = 0; !rc && i < r->out.n; i++) {
        uint64_t v = scaled(&r->out.d[i], f, &exact);
        rc = exact ? add_value(r->c, r->out.d[i].neg ? -(int64_t)v : (int64_t)v, err) : AIOS_OK;
    }
    t->n_outs = r->c->g->n_vals - t->outs;
    t->nots = r->c->g->n_vals;
    for (uint32_t i = 0; !rc && i < r->not_of.n; i++)
        rc = add_value(r->c, (int64_t)scaled(&r->not_of.d[i], f, &exact), err);
    t->n_nots = r->c->g->n_vals - t->nots;
    return rc;
}

static int make_multiples(range *r, int f, uint32_t *node, aios_error *err)
{
    comp *c = r->c;
    aios_grammar *g = c->g;
    aios__gint t = {.lo = f ? -SCALED_MAX : -WHOLE_MAX, .hi = f ? SCALED_MAX : WHOLE_MAX, .mul = 1, .frac = (uint8_t)f};
    int64_t end = INT64_MAX / 16;
    int rc = multiple(r, f, &t.mul, err);
    if (r->has_lo)
        t.lo = bound(&r->lo, r->lo_open, true, f);
    if (r->has_hi)
        t.hi = bound(&r->hi, r->hi_open, false, f);
    if (!f) { /* integers as they are */
        end = INT64_MAX;
        if (r->has_lo && aios__json_type(r->lo.v) == AIOS__JSON_INT)
            t.lo = aios__json_int(r->lo.v, 0) == INT64_MAX && r->lo_open ? INT64_MAX : aios__json_int(r->lo.v, 0) + r->lo_open;
        if (r->has_hi && aios__json_type(r->hi.v) == AIOS__JSON_INT)
            t.hi = aios__json_int(r->hi.v, 0) == INT64_MIN && r->hi_open ? INT64_MIN : aios__json_int(r->hi.v, 0) - r->hi_open;
    }
    if (!r->has_hi && t.lo > t.hi)
        t.hi = end;
    if (!r->has_lo && t.hi < t.lo)
        t.lo = -end;
    t.lo = t.lo == INT64_MIN ? INT64_MIN + 1 : t.lo;
    bool exact, none = (r->has_lo && !r->lo.neg && aios__json_type(r->lo.v) != AIOS__JSON_INT && scaled(&r->lo, f, &exact) == UINT64_MAX / 2) ||
                       (r->has_lo && r->lo_open && aios__json_int(r->lo.v, 0) == INT64_MAX) ||
                       (r->has_hi && r->hi.neg && aios__json_type(r->hi.v) != AIOS__JSON_INT && scaled(&r->hi, f, &exact) == UINT64_MAX / 2);
    rc = rc ? rc : add_exclusions(r, f, &t, err);
    if (rc || none || t.lo > t.hi || !aios__gint_exists(g, &t)) {
        *node = c->never_node;
        return rc;
    }
    rc = aios__grammar_grow(g, &g->ints, &g->cap_ints, (size_t)g->n_ints + 1, AIOS__G_NODES, sizeof *g->ints, "integers", err);
    rc = rc ? rc : aios__grammar_node(g, AIOS__G_INT, node, err);
    if (rc)
        return rc;
    g->ints[g->n_ints] = t;
    g->nodes[*node].a = g->n_ints++;
    return AIOS_OK;
}

/* ---- numbers with any fraction ------------------------------------------------------------------------------------ */

static bool is_out(const range *r, const dec *d, int f)
{
    bool exact, same;
    uint64_t v = scaled(d, f, &exact);
    for (uint32_t i = 0; i < r->out.n; i++)
        if (scaled(&r->out.d[i], f, &same) == v && exact && same && r->out.d[i].neg == d->neg)
            return true;
    for (uint32_t i = 0; i < r->not_of.n; i++) {
        uint64_t m = scaled(&r->not_of.d[i], f, &same);
        if (exact && m && v % m == 0)
            return true;
    }
    return false;
}

/* Bounds in which values that are out can be told from their neighbours: *f digits behind the point, few before it. */
static int narrow(range *r, int *f, double *lo, double *hi, aios_error *err)
{
    const list *all[] = {&r->out, &r->not_of};
    const dec *longest = NULL;
    *f = 0;
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < all[k]->n; i++)
            if (!longest || places(&all[k]->d[i]) > *f) {
                longest = &all[k]->d[i];
                *f = places(longest);
            }
    if (!longest)
        return AIOS_OK;
    *f = r->has_lo && places(&r->lo) > *f ? places(&r->lo) : *f;
    *f = r->has_hi && places(&r->hi) > *f ? places(&r->hi) : *f;
    *f = *f < 3 ? 4 : *f + 1;
    double top = *f < DIGITS_MAX ? pow(10, DIGITS_MAX - *f) - 1 : 0;
    if (top < 1 || *lo > top || *hi < -top)
        return fails(r, longest, part_what(longest->from) < AIOS__KW_COUNT ? (enum aios__kw)part_what(longest->from) : AIOS__KW_TYPE,
                     "has too many digits to be excluded while decoding", err);
    if (r->has_lo && is_out(r, &r->lo, *f))
        r->lo_open = true;
    if (r->has_hi && is_out(r, &r->hi, *f))
        r->hi_open = true;
    *lo = *lo < -top ? -top : *lo;
    *hi = *hi > top ? top : *hi;
    return AIOS_OK;
}

static int add_num(range *r, aios__gnum num, uint32_t *node, aios_error *err)
{
    aios_grammar *g = r->c->g;
    int rc = aios__grammar_grow(g, &g->nums, &g->cap_nums, (size_t)g->n_nums + 1, AIOS__G_NODES, sizeof *g->nums, "numbers", err);
    rc = rc ? rc : aios__grammar_node(g, AIOS__G_NUM, node, err);
    if (rc)
        return rc;
    g->nums[g->n_nums] = num;
    g->nodes[*node].a = g->n_nums++;
    return AIOS_OK;
}

static int make_any(range *r, uint32_t *node, aios_error *err)
{
    double lo = r->has_lo ? aios__json_real(r->lo.v, 0) : -INFINITY, hi = r->has_hi ? aios__json_real(r->hi.v, 0) : INFINITY;
    aios__gnum num;
    aios__gint out = {0};
    int f, rc = narrow(r, &f, &lo, &hi, err);
    if (rc)
        return rc;
    if (!r->has_lo && !r->has_hi && !f) {
        rc = aios__grammar_node(r->c->g, AIOS__G_NUM, node, err);
        if (!rc)
            r->c->g->nodes[*node].a = AIOS__G_NONE;
        return rc;
    }
    if (!aios__gnum_make(lo, r->lo_open, hi, r->hi_open, &num))
        return r->has_lo ? fails(r, &r->lo, r->lo_open ? AIOS__KW_EXCLUSIVE_MINIMUM : AIOS__KW_MINIMUM, "has too many digits to be enforced while decoding", err)
                         : fails(r, &r->hi, r->hi_open ? AIOS__KW_EXCLUSIVE_MAXIMUM : AIOS__KW_MAXIMUM, "has too many digits to be enforced while decoding", err);
    if (!num.side[0].any && !num.side[1].any) {
        *node = r->c->never_node;
        return AIOS_OK;
    }
    if (f) {
        rc = add_exclusions(r, f, &out, err);
        num.frac = num.side[0].max_frac = num.side[1].max_frac = (uint8_t)f;
        num.outs = out.outs, num.n_outs = out.n_outs;
        num.nots = out.nots, num.n_nots = out.n_nots;
    }
    return rc ? rc : add_num(r, num, node, err);
}

/* ---- complete grammars: as they are ------------------------------------------------------------------------------- */

static aios__gdec plain(const dec *d)
{
    return (aios__gdec){.digits = d->digits, .exp = d->exp, .neg = d->neg};
}

static int add_dec(comp *c, const aios__gdec *d, aios_error *err)
{
    aios_grammar *g = c->g;
    int rc = aios__grammar_grow(g, &g->decs, &g->cap_decs, (size_t)g->n_decs + 1, AIOS__G_WORDS, sizeof *g->decs, "numbers", err);
    if (!rc)
        g->decs[g->n_decs++] = *d;
    return rc;
}

static int make_dec(range *r, uint32_t *node, aios_error *err)
{
    aios_grammar *g = r->c->g;
    const list *lists[] = {&r->of, &r->not_of, &r->out};
    aios__gdecs s = {.lo = plain(&r->lo), .hi = plain(&r->hi), .has_lo = r->has_lo, .has_hi = r->has_hi, .lo_open = r->lo_open, .hi_open = r->hi_open,
                     .list = g->n_decs, .n_of = r->of.n, .n_not = r->not_of.n, .n_out = r->out.n};
    int rc = AIOS_OK;
    for (size_t k = 0; k < AIOS__ARRAY_LEN(lists); k++)
        for (uint32_t i = 0; !rc && i < lists[k]->n; i++) {
            aios__gdec d = plain(&lists[k]->d[i]);
            rc = add_dec(r->c, &d, err);
        }
    rc = rc ? rc : aios__grammar_grow(g, &g->decsets, &g->cap_decsets, (size_t)g->n_decsets + 1, AIOS__G_NODES, sizeof *g->decsets, "numbers", err);
    rc = rc ? rc : aios__grammar_node(g, AIOS__G_DEC, node, err);
    if (rc)
        return rc;
    g->decsets[g->n_decsets] = s;
    g->nodes[*node].a = g->n_decsets++;
    return AIOS_OK;
}

int aios__comp_number_value(comp *c, const aios__json *v, uint32_t *node, aios_error *err)
{
    range r = {.c = c, .has_lo = true, .has_hi = true, .lo = dec_of(v, 0), .hi = dec_of(v, 0)};
    return make_dec(&r, node, err);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

static int make(range *r, uint32_t types, uint32_t *node, aios_error *err)
{
    const dec one = {.digits = 1, .from = part_of(0, AIOS__KW_TYPE, false, 0)};
    int f = 0, rc = AIOS_OK;
    if (types == AIOS__T_INTEGER)
        rc = put(r, &r->of, one, err);
    else if (types == AIOS__T_NUMBER)
        rc = put(r, &r->not_of, one, err);
    if (!rc && r->c->g->complete)
        return make_dec(r, node, err);
    for (uint32_t i = 0; i < r->of.n; i++)
        f = places(&r->of.d[i]) > f ? places(&r->of.d[i]) : f;
    for (uint32_t i = 0; r->of.n && i < r->not_of.n; i++)
        f = places(&r->not_of.d[i]) > f ? places(&r->not_of.d[i]) : f;
    if (!rc && r->of.n && f > DIGITS_MAX)
        rc = fails(r, &r->of.d[0], AIOS__KW_MULTIPLE_OF, "has too many digits to be enforced while decoding", err);
    if (rc)
        return rc;
    return r->of.n ? make_multiples(r, f, node, err) : make_any(r, node, err);
}

int aios__comp_number(comp *c, const conj *k, uint32_t types, uint32_t *node, aios_error *err)
{
    range r = {.c = c};
    int rc = read_parts(&r, k, err);
    rc = rc ? rc : make(&r, types & (AIOS__T_INTEGER | AIOS__T_NUMBER), node, err);
    list *lists[] = {&r.of, &r.not_of, &r.out};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(lists); i++)
        aios__grammar_drop(c->g, lists[i]->d, lists[i]->cap * sizeof *lists[i]->d);
    return rc;
}
