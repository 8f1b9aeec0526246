/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of str; many of the filters are these too. */
#include "backend/gguf/tmpl_priv.h"

#include <stdio.h>

static int want_str(tp *s, const aios__tp_call *c, aios__tp_val v)
{
    if (v.t == T_STR)
        return 0;
    if (v.t == T_UNDEF)
        return aios__tp_undefined(s, v);
    return aios__tp_fail(s, "%s: expected a str, not %s", c->fn->name, aios__tp_type(v));
}

static bool given(aios__tp_val v)
{
    return v.t != T_ABSENT && v.t != T_NONE;
}

int aios__tp_int_arg(tp *s, aios__tp_val v, const char *what, int64_t *out)
{
    if (v.t == T_UNDEF)
        return aios__tp_undefined(s, v);
    if (!aios__tp_integral(v))
        return aios__tp_fail(s, "%s must be an integer, not %s", what, aios__tp_type(v));
    *out = v.u.i;
    return 0;
}

static bool in_set(aios__tp_val set, const char *p, size_t n)
{
    for (uint32_t i = 0; i < set.n;) {
        uint32_t cp;
        size_t k = aios__tp_step(set.u.s + i, set.n - i, &cp);
        if (k == n && !memcmp(set.u.s + i, p, n))
            return true;
        i += (uint32_t)k;
    }
    return false;
}

/* arg: 1 left, 2 right, 3 both */
static int m_strip(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    const char *p = c->self.u.s;
    size_t a = 0, b = c->self.n;
    TP_TRY(aios__tp_burn_bytes(s, b));
    if (!given(c->a[0])) {
        a = c->fn->arg & 1 ? aios__tp_lspace(p, b) : 0;
        b = c->fn->arg & 2 ? a + aios__tp_rspace(p + a, b - a) : b;
    } else {
        uint32_t cp;
        TP_TRY(want_str(s, c, c->a[0]));
        TP_TRY(aios__tp_burn_bytes(s, c->a[0].n));
        while ((c->fn->arg & 1) && a < b) {
            size_t k = aios__tp_step(p + a, b - a, &cp);
            if (!in_set(c->a[0], p + a, k))
                break;
            a += k;
            TP_TRY(aios__tp_burn(s, 1 + c->a[0].n / 16));
        }
        while ((c->fn->arg & 2) && b > a) {
            size_t i = b - 1;
            while (i > a && ((unsigned char)p[i] & 0xc0) == 0x80)
                i--;
            if (!in_set(c->a[0], p + i, b - i))
                break;
            b = i;
            TP_TRY(aios__tp_burn(s, 1 + c->a[0].n / 16));
        }
    }
    *out = aios__tp_str(p + a, b - a);
    out->sub = c->self.sub;
    return 0;
}

static bool cased(uint32_t cp)
{
    return aios__tp_cp_is(cp, AIOS__UNI_UPPER) || aios__tp_cp_is(cp, AIOS__UNI_LOWER) || aios__tp_cp_is(cp, AIOS__UNI_TITLE);
}

/* A capital sigma at the end of a word becomes the final form. */
static bool final_sigma(const char *p, size_t n, size_t at, size_t end)
{
    uint32_t cp = 0;
    bool before = false;
    for (size_t i = at; i > 0;) {
        i--;
        if (((unsigned char)p[i] & 0xc0) == 0x80)
            continue;
        aios__tp_step(p + i, n - i, &cp);
        if (aios__tp_cp_is(cp, AIOS__UNI_IGNORABLE))
            continue;
        before = cased(cp);
        break;
    }
    for (size_t i = end; before && i < n;) {
        i += aios__tp_step(p + i, n - i, &cp);
        if (!aios__tp_cp_is(cp, AIOS__UNI_IGNORABLE))
            return !cased(cp);
    }
    return before;
}

enum { MODE_UPPER, MODE_LOWER, MODE_CAPITALIZE, MODE_TITLE, MODE_SWAP, MODE_FTITLE };

static int which_case(int mode, uint32_t cp, bool first, bool after_cased)
{
    switch (mode) {
    case MODE_UPPER:
        return AIOS__CASE_UPPER;
    case MODE_LOWER:
        return AIOS__CASE_LOWER;
    case MODE_CAPITALIZE:
        return first ? AIOS__CASE_TITLE : AIOS__CASE_LOWER;
    case MODE_SWAP:
        return aios__tp_cp_is(cp, AIOS__UNI_UPPER) ? AIOS__CASE_LOWER : AIOS__CASE_UPPER;
    case MODE_FTITLE:
        return first ? AIOS__CASE_UPPER : AIOS__CASE_LOWER;
    default:
        return after_cased ? AIOS__CASE_LOWER : AIOS__CASE_TITLE;
    }
}

static int m_case(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    const char *p = c->self.u.s;
    size_t n = c->self.n, k = 0;
    bool first = true, after = false;
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)n * 8));
    char *q = aios__tp_alloc(s, n * 3 + 16);
    if (!q)
        return s->rc;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        char to[16];
        size_t w = aios__tp_step(p + i, n - i, &cp);
        int which = which_case((int)c->fn->arg, cp, first, after);
        size_t m = aios__tp_cp_case(cp, which, to);
        if (cp == 0x3a3 && which == AIOS__CASE_LOWER)
            m = aios__utf8_encode(final_sigma(p, n, i, i + w) ? 0x3c2 : 0x3c3, to);
        memcpy(q + k, to, m);
        k += m;
        after = cased(cp);
        /* The title filter starts a word after these. */
        first = c->fn->arg == MODE_FTITLE && (aios__tp_cp_is(cp, AIOS__UNI_SPACE) || (cp < 128 && strchr("-({[<", (int)cp)));
        i += w;
    }
    *out = aios__tp_str(q, k);
    return 0;
}

static int add_piece(tp *s, aios__tp_val list, const char *p, size_t n)
{
    return aios__tp_list_add(s, list.u.l, aios__tp_str(p, n));
}

static int split_space(tp *s, aios__tp_val v, int64_t max, aios__tp_val out)
{
    const char *p = v.u.s;
    size_t n = v.n, i = aios__tp_lspace(p, n);
    while (i < n) {
        size_t j = i;
        uint32_t cp;
        if (max-- == 0)
            return add_piece(s, out, p + i, aios__tp_rspace(p + i, n - i));
        while (j < n) {
            size_t k = aios__tp_step(p + j, n - j, &cp);
            if (aios__tp_cp_is(cp, AIOS__UNI_SPACE))
                break;
            j += k;
        }
        TP_TRY(add_piece(s, out, p + i, j - i));
        i = j + aios__tp_lspace(p + j, n - j);
    }
    return 0;
}

static int rsplit_space(tp *s, aios__tp_val v, int64_t max, aios__tp_val out)
{
    const char *p = v.u.s;
    size_t n = aios__tp_rspace(p, v.n);
    while (n) {
        if (max-- == 0) {
            size_t a = aios__tp_lspace(p, n);
            return add_piece(s, out, p + a, n - a);
        }
        size_t i = n;
        while (i && aios__tp_rspace(p, i) == i) {
            do
                i--;
            while (i && ((unsigned char)p[i] & 0xc0) == 0x80);
            TP_TRY(aios__tp_burn_bytes(s, 16));
        }
        TP_TRY(add_piece(s, out, p + i, n - i));
        n = aios__tp_rspace(p, i);
    }
    return 0;
}

static void reverse_list(aios__tp_list *l)
{
    for (uint32_t i = 0, j = l->n; i + 1 < j; i++) {
        aios__tp_val t = l->v[i];
        l->v[i] = l->v[--j];
        l->v[j] = t;
    }
}

/* The last x in p, or NULL. Every place may cost the length of x, so this pays as it goes: 256 places cost x.n steps. */
static int find_last(tp *s, const char *p, size_t n, aios__tp_val x, const char **out)
{
    size_t i = n + 1 - x.n, seen = 0;
    *out = NULL;
    while (i-- > 0 && !*out) {
        if (!memcmp(p + i, x.u.s, x.n))
            *out = p + i;
        if (++seen % 256 == 0)
            TP_TRY(aios__tp_burn(s, x.n));
    }
    return aios__tp_burn(s, (uint64_t)(seen % 256) * x.n >> 8);
}

static int find_sub(tp *s, const char *p, size_t n, aios__tp_val x, bool right, const char **out)
{
    if (right)
        return find_last(s, p, n, x, out);
    *out = memmem(p, n, x.u.s, x.n);
    return 0;
}

static int split_sep(tp *s, aios__tp_val v, aios__tp_val sep, int64_t max, bool right, aios__tp_val out)
{
    const char *p = v.u.s;
    size_t n = v.n;
    while (max-- != 0 && n >= sep.n) {
        const char *q;
        TP_TRY(find_sub(s, p, n, sep, right, &q));
        if (!q)
            break;
        if (right) {
            TP_TRY(add_piece(s, out, q + sep.n, n - (size_t)(q - p) - sep.n));
            n = (size_t)(q - p);
        } else {
            TP_TRY(add_piece(s, out, p, (size_t)(q - p)));
            n -= (size_t)(q - p) + sep.n;
            p = q + sep.n;
        }
    }
    return add_piece(s, out, p, n);
}

static int m_split(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t max = -1;
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[1], "maxsplit", &max));
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)c->self.n * 2));
    TP_TRY(aios__tp_list_new(s, T_LIST, 0, out));
    if (!given(c->a[0])) {
        TP_TRY(c->fn->arg ? rsplit_space(s, c->self, max, *out) : split_space(s, c->self, max, *out));
    } else {
        TP_TRY(want_str(s, c, c->a[0]));
        if (!c->a[0].n)
            return aios__tp_fail(s, "empty separator");
        TP_TRY(split_sep(s, c->self, c->a[0], max, c->fn->arg, *out));
    }
    if (c->fn->arg)
        reverse_list(out->u.l);
    return 0;
}

static bool line_end(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 28 && cp <= 30) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

static int m_splitlines(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    const char *p = c->self.u.s;
    size_t n = c->self.n, start = 0;
    bool keep = false;
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[0], &keep));
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)n * 2));
    TP_TRY(aios__tp_list_new(s, T_LIST, 0, out));
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t k = aios__tp_step(p + i, n - i, &cp);
        if (!line_end(cp)) {
            i += k;
            continue;
        }
        if (cp == '\r' && i + 1 < n && p[i + 1] == '\n')
            k = 2;
        TP_TRY(add_piece(s, *out, p + start, i - start + (keep ? k : 0)));
        start = i += k;
    }
    return start < n ? add_piece(s, *out, p + start, n - start) : 0;
}

/* Byte range of the optional start and end arguments, which count characters. */
static int window(tp *s, const aios__tp_call *c, size_t *from, size_t *to, bool *empty)
{
    int64_t n = (int64_t)aios__tp_utf8_len(c->self.u.s, c->self.n), a = 0, b = n;
    if (given(c->a[1]))
        TP_TRY(aios__tp_int_arg(s, c->a[1], "start", &a));
    if (given(c->a[2]))
        TP_TRY(aios__tp_int_arg(s, c->a[2], "end", &b));
    a = a < 0 ? (a < -n ? 0 : a + n) : a;
    b = b < 0 ? (b < -n ? 0 : b + n) : b > n ? n : b;
    *empty = a > b || a > n;
    *from = *empty ? 0 : aios__tp_utf8_off(c->self.u.s, c->self.n, (size_t)a);
    *to = *empty ? 0 : aios__tp_utf8_off(c->self.u.s, c->self.n, (size_t)b);
    return aios__tp_burn_bytes(s, (uint64_t)c->self.n * 3);
}

/* arg: 0 startswith, 1 endswith */
static int m_affix(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    size_t a, b;
    bool empty, yes = false;
    aios__tp_val *items = &c->a[0];
    uint32_t n = 1;
    TP_TRY(window(s, c, &a, &b, &empty));
    if (c->a[0].t == T_TUPLE)
        TP_TRY(aios__tp_items(s, c->a[0], &items, &n));
    for (uint32_t i = 0; i < n; i++) {
        TP_TRY(want_str(s, c, items[i]));
        if (!empty && items[i].n <= b - a)
            yes |= !memcmp(c->self.u.s + (c->fn->arg ? b - items[i].n : a), items[i].u.s, items[i].n);
    }
    *out = aios__tp_bool(yes);
    return 0;
}

/* arg: 1 from the right, 2 raises if there is none */
static int m_find(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    size_t a, b;
    bool empty;
    const char *q = NULL;
    TP_TRY(want_str(s, c, c->a[0]));
    TP_TRY(window(s, c, &a, &b, &empty));
    const char *p = c->self.u.s + a;
    if (!empty && !c->a[0].n)
        q = c->fn->arg & 1 ? p + (b - a) : p;
    else if (!empty && c->a[0].n <= b - a)
        TP_TRY(find_sub(s, p, b - a, c->a[0], c->fn->arg & 1, &q));
    if (!q && (c->fn->arg & 2))
        return aios__tp_fail(s, "substring not found");
    *out = aios__tp_int(q ? (int64_t)aios__tp_utf8_len(c->self.u.s, (size_t)(q - c->self.u.s)) : -1);
    return 0;
}

static int m_count(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    size_t a, b;
    bool empty;
    int64_t n = 0;
    TP_TRY(want_str(s, c, c->a[0]));
    TP_TRY(window(s, c, &a, &b, &empty));
    const char *p = c->self.u.s + a, *end = c->self.u.s + b;
    if (!c->a[0].n) {
        *out = aios__tp_int(empty ? 0 : (int64_t)aios__tp_utf8_len(p, b - a) + 1);
        return 0;
    }
    while (!empty && p < end && (p = memmem(p, (size_t)(end - p), c->a[0].u.s, c->a[0].n))) {
        n++;
        p += c->a[0].n;
    }
    *out = aios__tp_int(n);
    return aios__tp_burn(s, (uint64_t)n / 4);
}

/* An empty `old` matches before every character and at the end. */
static int replace_all(tp *s, aios__tp_val v, aios__tp_val old, aios__tp_val new, int64_t max, aios__buf *b)
{
    const char *p = v.u.s, *end = v.u.s + v.n;
    int rc = 0;
    while (max-- != 0 && !rc) {
        const char *q = old.n ? (p < end ? memmem(p, (size_t)(end - p), old.u.s, old.n) : NULL) : p;
        if (!q)
            break;
        TP_TRY(aios__tp_burn(s, 1));
        rc = aios__buf_add(b, p, (size_t)(q - p), s->err);
        if (!rc)
            rc = aios__buf_add(b, new.u.s, new.n, s->err);
        p = q + old.n;
        if (!old.n) {
            if (p >= end)
                break;
            size_t k = aios__tp_utf8_off(p, (size_t)(end - p), 1);
            if (!rc)
                rc = aios__buf_add(b, p, k, s->err);
            p += k;
        }
    }
    if (!rc)
        rc = aios__buf_add(b, p, (size_t)(end - p), s->err);
    return aios__tp_buf_rc(s, rc);
}

static int m_replace(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t max = -1;
    if (c->fn->arg) { /* the filter takes anything */
        TP_TRY(aios__tp_to_str(s, c->a[0], &c->a[0]));
        TP_TRY(aios__tp_to_str(s, c->a[1], &c->a[1]));
    }
    TP_TRY(want_str(s, c, c->a[0]));
    TP_TRY(want_str(s, c, c->a[1]));
    if (given(c->a[2]))
        TP_TRY(aios__tp_int_arg(s, c->a[2], "count", &max));
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)c->self.n * 2));
    if (c->a[0].n > c->self.n || (c->a[0].n && !memmem(c->self.u.s, c->self.n, c->a[0].u.s, c->a[0].n))) {
        *out = c->self;
        return 0;
    }
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = replace_all(s, c->self, c->a[0], c->a[1], max, &b);
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

static int m_join(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val *items;
    uint32_t n;
    TP_TRY(aios__tp_items(s, c->a[0], &items, &n));
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = 0;
    for (uint32_t i = 0; i < n && !rc; i++) {
        if (items[i].t != T_STR)
            rc = aios__tp_fail(s, "sequence item %u: expected str instance, %s found", i, aios__tp_type(items[i]));
        else
            rc = aios__tp_burn(s, 1 + (items[i].n + c->self.n) / 32);
        if (!rc && i)
            rc = aios__tp_print(s, c->self, &b);
        if (!rc)
            rc = aios__tp_print(s, items[i], &b);
    }
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

/* arg: 0 prefix, 1 suffix */
static int m_remove(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    TP_TRY(want_str(s, c, c->a[0]));
    size_t n = c->a[0].n;
    *out = c->self;
    if (n <= c->self.n && !memcmp(c->self.u.s + (c->fn->arg ? c->self.n - n : 0), c->a[0].u.s, n))
        *out = aios__tp_str(c->self.u.s + (c->fn->arg ? 0 : n), c->self.n - n);
    return 0;
}

/* arg: 0 partition, 1 rpartition */
static int m_partition(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    TP_TRY(want_str(s, c, c->a[0]));
    aios__tp_val v = c->self, sep = c->a[0], part[3] = {v, aios__tp_str("", 0), aios__tp_str("", 0)};
    if (!sep.n)
        return aios__tp_fail(s, "empty separator");
    TP_TRY(aios__tp_burn_bytes(s, v.n));
    const char *q = NULL;
    if (sep.n <= v.n)
        TP_TRY(find_sub(s, v.u.s, v.n, sep, c->fn->arg, &q));
    if (q) {
        part[0] = aios__tp_str(v.u.s, (size_t)(q - v.u.s));
        part[1] = sep;
        part[2] = aios__tp_str(q + sep.n, v.n - (size_t)(q - v.u.s) - sep.n);
    } else if (c->fn->arg) {
        part[0] = aios__tp_str("", 0);
        part[2] = v;
    }
    TP_TRY(aios__tp_list_new(s, T_TUPLE, 3, out));
    for (int i = 0; i < 3; i++)
        TP_TRY(aios__tp_list_add(s, out->u.l, part[i]));
    return 0;
}

enum { IS_ALPHA, IS_DIGIT, IS_DECIMAL, IS_NUMERIC, IS_SPACE, IS_PRINTABLE, IS_ALNUM, IS_UPPER, IS_LOWER, IS_ASCII, IS_TITLE };

static bool all_in_class(const char *p, size_t n, uint32_t kind)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += aios__tp_step(p + i, n - i, &cp);
        bool yes = kind == IS_ASCII ? cp < 128
                   : kind == IS_ALNUM ? aios__tp_cp_is(cp, AIOS__UNI_ALPHA) || aios__tp_cp_is(cp, AIOS__UNI_DIGIT) || aios__tp_cp_is(cp, AIOS__UNI_DECIMAL) ||
                                            aios__tp_cp_is(cp, AIOS__UNI_NUMERIC)
                                      : aios__tp_cp_is(cp, (int)kind);
        if (!yes)
            return false;
    }
    return true;
}

static bool is_cased(const char *p, size_t n, uint32_t kind)
{
    bool any = false, after = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += aios__tp_step(p + i, n - i, &cp);
        bool up = aios__tp_cp_is(cp, AIOS__UNI_UPPER), low = aios__tp_cp_is(cp, AIOS__UNI_LOWER), title = aios__tp_cp_is(cp, AIOS__UNI_TITLE);
        if ((kind == IS_UPPER && (low || title)) || (kind == IS_LOWER && (up || title)) ||
            (kind == IS_TITLE && (((up || title) && after) || (low && !after))))
            return false;
        after = up || low || title;
        any |= after;
    }
    return any;
}

static int m_is(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    const char *p = c->self.u.s;
    size_t n = c->self.n;
    uint32_t kind = c->fn->arg;
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)n * 8));
    if (kind == IS_UPPER || kind == IS_LOWER || kind == IS_TITLE)
        *out = aios__tp_bool(is_cased(p, n, kind));
    else
        *out = aios__tp_bool((n || kind == IS_ASCII || kind == IS_PRINTABLE) && all_in_class(p, n, kind));
    return 0;
}

enum { PAD_ZERO, PAD_LEFT, PAD_RIGHT, PAD_CENTER };

static int m_pad(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t width = 80;
    aios__tp_val fill = aios__tp_str(c->fn->arg == PAD_ZERO ? "0" : " ", 1);
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[0], "width", &width));
    if (c->a[1].t != T_ABSENT) {
        TP_TRY(want_str(s, c, c->a[1]));
        if (aios__tp_utf8_len(c->a[1].u.s, c->a[1].n) != 1)
            return aios__tp_fail(s, "the fill character must be exactly one character long");
        fill = c->a[1];
    }
    int64_t n = (int64_t)aios__tp_utf8_len(c->self.u.s, c->self.n), pad = width - n;
    *out = c->self;
    if (pad <= 0)
        return 0;
    if (pad > (int64_t)(s->arena->max / 4))
        return aios__tp_limit(s, "a width of %lld is too large", (long long)width);
    int64_t left = c->fn->arg == PAD_CENTER ? pad / 2 + (pad & width & 1) : c->fn->arg == PAD_LEFT ? 0 : pad;
    size_t sign = c->fn->arg == PAD_ZERO && c->self.n && (c->self.u.s[0] == '-' || c->self.u.s[0] == '+');
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)pad * 4));
    char *p = aios__tp_alloc(s, c->self.n + (size_t)pad * fill.n), *q = p;
    if (!p)
        return s->rc;
    if (sign)
        *q++ = c->self.u.s[0];
    for (int64_t i = 0; i < left; i++, q += fill.n)
        memcpy(q, fill.u.s, fill.n);
    memcpy(q, c->self.u.s + sign, c->self.n - sign);
    q += c->self.n - sign;
    for (int64_t i = left; i < pad; i++, q += fill.n)
        memcpy(q, fill.u.s, fill.n);
    *out = aios__tp_str(p, (size_t)(q - p));
    return 0;
}

static int m_expandtabs(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t size = 8, col = 0;
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[0], "tabsize", &size));
    if (size > 64)
        return aios__tp_limit(s, "a tab size of more than 64");
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)c->self.n * 8));
    char *p = aios__tp_alloc(s, (size_t)c->self.n * (size_t)(size > 0 ? size : 1) + 1);
    size_t k = 0;
    if (!p)
        return s->rc;
    for (uint32_t i = 0; i < c->self.n; i++) {
        char ch = c->self.u.s[i];
        if (ch == '\t') {
            for (int64_t j = size > 0 ? size - col % size : 0; j > 0; j--, col++)
                p[k++] = ' ';
            continue;
        }
        p[k++] = ch;
        col = ch == '\n' || ch == '\r' ? 0 : col + (((unsigned char)ch & 0xc0) != 0x80);
    }
    *out = aios__tp_str(p, k);
    return 0;
}

const aios__tp_fn aios__tp_str_methods[] = {
    {"strip", m_strip, 0, "|chars", 3},
    {"lstrip", m_strip, 0, "|chars", 1},
    {"rstrip", m_strip, 0, "|chars", 2},
    {"upper", m_case, 0, "", MODE_UPPER},
    {"lower", m_case, 0, "", MODE_LOWER},
    {"casefold", m_case, 0, "", MODE_LOWER},
    {"capitalize", m_case, 0, "", MODE_CAPITALIZE},
    {"title", m_case, 0, "", MODE_TITLE},
    {"swapcase", m_case, 0, "", MODE_SWAP},
    {"split", m_split, 0, "sep,maxsplit", 0},
    {"rsplit", m_split, 0, "sep,maxsplit", 1},
    {"splitlines", m_splitlines, 0, "keepends", 0},
    {"startswith", m_affix, 1, "|prefix,start,end", 0},
    {"endswith", m_affix, 1, "|suffix,start,end", 1},
    {"find", m_find, 1, "|sub,start,end", 0},
    {"rfind", m_find, 1, "|sub,start,end", 1},
    {"index", m_find, 1, "|sub,start,end", 2},
    {"rindex", m_find, 1, "|sub,start,end", 3},
    {"count", m_count, 1, "|sub,start,end", 0},
    {"replace", m_replace, 2, "|old,new,count", 0},
    {"join", m_join, 1, "|iterable", 0},
    {"format", aios__tp_format_method, 0, NULL, 0},
    {"format_map", aios__tp_format_method, 0, NULL, 1},
    {"removeprefix", m_remove, 1, "|prefix", 0},
    {"removesuffix", m_remove, 1, "|suffix", 1},
    {"partition", m_partition, 1, "|sep", 0},
    {"rpartition", m_partition, 1, "|sep", 1},
    {"isalpha", m_is, 0, "", IS_ALPHA},
    {"isdigit", m_is, 0, "", IS_DIGIT},
    {"isdecimal", m_is, 0, "", IS_DECIMAL},
    {"isnumeric", m_is, 0, "", IS_NUMERIC},
    {"isspace", m_is, 0, "", IS_SPACE},
    {"isprintable", m_is, 0, "", IS_PRINTABLE},
    {"isalnum", m_is, 0, "", IS_ALNUM},
    {"isupper", m_is, 0, "", IS_UPPER},
    {"islower", m_is, 0, "", IS_LOWER},
    {"istitle", m_is, 0, "", IS_TITLE},
    {"isascii", m_is, 0, "", IS_ASCII},
    {"zfill", m_pad, 1, "|width", PAD_ZERO},
    {"ljust", m_pad, 1, "|width,fill", PAD_LEFT},
    {"rjust", m_pad, 1, "|width,fill", PAD_RIGHT},
    {"center", m_pad, 1, "|width,fill", PAD_CENTER},
    {"expandtabs", m_expandtabs, 0, "tabsize", 0},
    /* Only filters from here on. */
    {"trim", m_strip, 0, "chars", 3},
    {"|replace", m_replace, 2, "old,new,count", 1},
    {"|title", m_case, 0, "", MODE_FTITLE},
    {"|center", m_pad, 0, "width", PAD_CENTER},
};
const size_t aios__tp_n_str_methods = AIOS__ARRAY_LEN(aios__tp_str_methods);
