/* SPDX-License-Identifier: Apache-2.0 */
/* Equality, order, membership and sorting as Python has them. */
#include "backend/gguf/tmpl_priv.h"

static int equal_lists(tp *s, aios__tp_list *a, aios__tp_list *b, bool *out)
{
    TP_TRY(aios__tp_list_load(s, a));
    TP_TRY(aios__tp_list_load(s, b));
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++)
        TP_TRY(aios__tp_equal(s, a->v[i], b->v[i], out));
    return 0;
}

static int equal_dicts(tp *s, aios__tp_dict *a, aios__tp_dict *b, bool *out)
{
    TP_TRY(aios__tp_dict_load(s, a));
    TP_TRY(aios__tp_dict_load(s, b));
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        aios__tp_val *v;
        TP_TRY(aios__tp_dict_find(s, b, a->k[i], &v));
        *out = v != NULL;
        if (v)
            TP_TRY(aios__tp_equal(s, a->v[i], *v, out));
    }
    return 0;
}

static int equal_same_type(tp *s, aios__tp_val a, aios__tp_val b, bool *out)
{
    switch (a.t) {
    case T_STR:
        *out = a.n == b.n && !memcmp(a.u.s, b.u.s, a.n);
        return aios__tp_burn_bytes(s, a.n);
    case T_LIST: case T_TUPLE:
        return equal_lists(s, a.u.l, b.u.l, out);
    case T_DICT:
        return equal_dicts(s, a.u.m, b.u.m, out);
    case T_RANGE:
        *out = a.u.r->n == b.u.r->n && (!a.u.r->n || (a.u.r->start == b.u.r->start && (a.u.r->n == 1 || a.u.r->step == b.u.r->step)));
        return 0;
    case T_UNDEF: case T_NONE: case T_ABSENT:
        *out = true;
        return 0;
    default:
        *out = a.u.l == b.u.l;
        return 0;
    }
}

int aios__tp_equal(tp *s, aios__tp_val a, aios__tp_val b, bool *out)
{
    *out = false;
    if (aios__tp_integral(a) && aios__tp_integral(b)) {
        *out = a.u.i == b.u.i;
        return 0;
    }
    if (aios__tp_numeric(a) && aios__tp_numeric(b)) {
        *out = aios__tp_num(a) == aios__tp_num(b);
        return 0;
    }
    if (a.t != b.t)
        return 0;
    TP_TRY(aios__tp_enter(s));
    int rc = equal_same_type(s, a, b, out);
    aios__tp_leave(s);
    return rc;
}

static int order_lists(tp *s, aios__tp_list *a, aios__tp_list *b, int *out)
{
    TP_TRY(aios__tp_list_load(s, a));
    TP_TRY(aios__tp_list_load(s, b));
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        bool eq;
        TP_TRY(aios__tp_equal(s, a->v[i], b->v[i], &eq));
        if (!eq)
            return aios__tp_order(s, a->v[i], b->v[i], out);
    }
    *out = (a->n > b->n) - (a->n < b->n);
    return 0;
}

/* -1, 0, 1, or 2 if there is no order (NaN). */
int aios__tp_order(tp *s, aios__tp_val a, aios__tp_val b, int *out)
{
    if (aios__tp_integral(a) && aios__tp_integral(b)) {
        *out = (a.u.i > b.u.i) - (a.u.i < b.u.i);
    } else if (aios__tp_numeric(a) && aios__tp_numeric(b)) {
        double x = aios__tp_num(a), y = aios__tp_num(b);
        *out = x != x || y != y ? 2 : (x > y) - (x < y);
    } else if (a.t == T_STR && b.t == T_STR) {
        uint32_t n = a.n < b.n ? a.n : b.n;
        int c = n ? memcmp(a.u.s, b.u.s, n) : 0;
        *out = c ? (c > 0) - (c < 0) : (a.n > b.n) - (a.n < b.n);
        return aios__tp_burn_bytes(s, n);
    } else if (a.t == b.t && aios__tp_is(a, TBIT(T_LIST) | TBIT(T_TUPLE))) {
        TP_TRY(aios__tp_enter(s));
        int rc = order_lists(s, a.u.l, b.u.l, out);
        aios__tp_leave(s);
        return rc;
    } else if (a.t == T_UNDEF || b.t == T_UNDEF) {
        return aios__tp_undefined(s, a.t == T_UNDEF ? a : b);
    } else {
        return aios__tp_fail(s, "no order between instances of '%s' and '%s'", aios__tp_type(a), aios__tp_type(b));
    }
    return 0;
}

int aios__tp_contains(tp *s, aios__tp_val hay, aios__tp_val x, bool *out)
{
    aios__tp_val *items, *found;
    uint32_t n;
    *out = false;
    if (hay.t == T_STR) {
        if (x.t != T_STR)
            return aios__tp_fail(s, "'in <string>' requires string as left operand, not %s", aios__tp_type(x));
        *out = !x.n || (hay.n >= x.n && memmem(hay.u.s, hay.n, x.u.s, x.n));
        return aios__tp_burn_bytes(s, hay.n);
    }
    if (hay.t == T_DICT) {
        TP_TRY(aios__tp_dict_find(s, hay.u.m, x, &found));
        *out = found != NULL;
        return 0;
    }
    uint32_t pos = hay.t == T_GEN ? hay.u.l->pos : 0;
    TP_TRY(aios__tp_items(s, hay, &items, &n));
    TP_TRY(aios__tp_burn(s, n / 4));
    uint32_t i = 0;
    while (i < n && !*out)
        TP_TRY(aios__tp_equal(s, items[i++], x, out));
    if (hay.t == T_GEN)
        hay.u.l->pos = pos + i;
    return 0;
}

int aios__tp_compare(tp *s, uint8_t op, aios__tp_val a, aios__tp_val b, bool *out)
{
    int order = 0;
    if (op == OP_EQ || op == OP_NE) {
        TP_TRY(aios__tp_equal(s, a, b, out));
        *out ^= op == OP_NE;
        return 0;
    }
    if (op == OP_IN || op == OP_NOTIN) {
        TP_TRY(aios__tp_contains(s, b, a, out));
        *out ^= op == OP_NOTIN;
        return 0;
    }
    TP_TRY(aios__tp_order(s, a, b, &order));
    *out = order != 2 && (op == OP_LT ? order < 0 : op == OP_LE ? order <= 0 : op == OP_GT ? order > 0 : order >= 0);
    return 0;
}

/* Merges two sorted runs of indices. */
static int merge(tp *s, const aios__tp_val *key, const uint32_t *from, uint32_t lo, uint32_t mid, uint32_t hi, bool reverse, uint32_t *to)
{
    uint32_t a = lo, b = mid;
    for (uint32_t k = lo; k < hi; k++) {
        bool right = a >= mid;
        if (!right && b < hi) {
            int order;
            TP_TRY(aios__tp_burn(s, 1));
            TP_TRY(reverse ? aios__tp_order(s, key[from[a]], key[from[b]], &order) : aios__tp_order(s, key[from[b]], key[from[a]], &order));
            right = order == -1;
        }
        to[k] = right ? from[b++] : from[a++];
    }
    return 0;
}

/* Stable, also in reverse. */
int aios__tp_sort(tp *s, aios__tp_val *v, aios__tp_val *key, uint32_t n, bool reverse)
{
    uint32_t *a = aios__tp_alloc(s, n * sizeof *a + 1), *b = aios__tp_alloc(s, n * sizeof *b + 1);
    aios__tp_val *sorted = aios__tp_alloc(s, n * sizeof *sorted + 1);
    if (!a || !b || !sorted)
        return s->rc;
    for (uint32_t i = 0; i < n; i++)
        a[i] = i;
    for (uint64_t w = 1; w < n; w *= 2) {
        for (uint64_t lo = 0; lo < n; lo += 2 * w) {
            uint32_t mid = (uint32_t)(lo + w < n ? lo + w : n), hi = (uint32_t)(lo + 2 * w < n ? lo + 2 * w : n);
            TP_TRY(merge(s, key, a, (uint32_t)lo, mid, hi, reverse, b));
        }
        uint32_t *t = a;
        a = b;
        b = t;
    }
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = v[a[i]];
    if (n)
        memcpy(v, sorted, n * sizeof *v);
    return 0;
}
