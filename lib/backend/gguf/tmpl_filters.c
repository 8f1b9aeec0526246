/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of single values; those of sequences are in tmpl_seqfilters.c. */
#include "backend/gguf/tmpl_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool given(aios__tp_val v)
{
    return v.t != T_ABSENT && v.t != T_NONE;
}

/* arg: index of a row of aios__tp_str_methods plus one, set by find; the value becomes a str first. */
static int f_method(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    TP_TRY(aios__tp_to_str(s, c->self, &c->self));
    for (size_t i = 0; i < aios__tp_n_str_methods; i++) {
        const char *name = aios__tp_str_methods[i].name;
        if (strcmp(name + (*name == '|'), c->fn->name) || (c->fn->arg && *name != '|'))
            continue;
        c->fn = &aios__tp_str_methods[i];
        return c->fn->fn(s, c, out);
    }
    return aios__tp_fail(s, "no filter named '%s'", c->fn->name);
}

static int f_default(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool boolean = false, yes = true;
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[1], &boolean));
    if (boolean)
        TP_TRY(aios__tp_truth(s, c->self, &yes));
    *out = c->self.t == T_UNDEF || !yes ? (c->a[0].t == T_ABSENT ? aios__tp_str("", 0) : c->a[0]) : c->self;
    return 0;
}

static int f_string(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    return aios__tp_to_str(s, c->self, out);
}

/* arg: 0 safe, 1 escape, 2 forceescape */
static int f_markup(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val v;
    TP_TRY(aios__tp_to_str(s, c->self, &v));
    if (c->fn->arg == 2)
        v.sub = 0;
    if (c->fn->arg)
        return aios__tp_escape(s, v, out);
    *out = v;
    out->sub = 1;
    return 0;
}

static int f_length(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t n;
    TP_TRY(aios__tp_len(s, c->self, &n));
    *out = aios__tp_int(n);
    return 0;
}

static int digit_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* As int(str, base): white space, a sign, a prefix, single underscores. Non-zero if it is no integer. */
int aios__tp_parse_int(const char *p, size_t n, int base, int64_t *out)
{
    size_t i = aios__tp_lspace(p, n), end = aios__tp_rspace(p, n);
    bool neg = false, any = false, prefix = false;
    int64_t v = 0;
    if (i < end && (p[i] == '-' || p[i] == '+'))
        neg = p[i++] == '-';
    if (i + 1 < end && p[i] == '0') {
        char c = (char)(p[i + 1] | 32);
        int b = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
        if (b && (base == b || base == 0)) {
            i += 2;
            base = b;
            prefix = true;
        }
    }
    base = base ? base : 10;
    for (; i < end; i++) {
        if (p[i] == '_' && (any || prefix) && i + 1 < end && p[i + 1] != '_')
            continue;
        int d = digit_value(p[i]);
        if (d >= base || __builtin_mul_overflow(v, (int64_t)base, &v) || __builtin_sub_overflow(v, (int64_t)d, &v))
            return 1;
        any = true;
    }
    if (!any || (!neg && v == INT64_MIN))
        return 1;
    *out = neg ? v : -v;
    return 0;
}

/* As float(str). */
int aios__tp_parse_real(const char *p, size_t n, double *out)
{
    char buf[128];
    size_t i = aios__tp_lspace(p, n), end = aios__tp_rspace(p, n), k = 0;
    for (; i < end; i++) {
        if (p[i] == '_') {
            if (!k || digit_value(p[i - 1]) > 9 || i + 1 >= end || digit_value(p[i + 1]) > 9)
                return 1;
            continue;
        }
        if (k + 1 >= sizeof buf || (p[i] | 32) == 'x' || (unsigned char)p[i] >= 128)
            return 1;
        buf[k++] = p[i];
    }
    buf[k] = 0;
    char *stop;
    *out = aios__real_parse(buf, &stop);
    return !k || *stop || aios__tp_lspace(buf, k) || strchr(buf, '(') ? 1 : 0;
}

int aios__tp_to_int(tp *s, aios__tp_val v, aios__tp_val *out)
{
    if (v.t == T_REAL) {
        if (!isfinite(v.u.d))
            return aios__tp_fail(s, "cannot convert float %s to integer", v.u.d != v.u.d ? "NaN" : "infinity");
        if (v.u.d >= 9223372036854775808.0 || v.u.d < -9223372036854775808.0)
            return aios__tp_limit(s, "the integer does not fit in 64 bits");
        *out = aios__tp_int((int64_t)v.u.d);
        return 0;
    }
    *out = aios__tp_int(v.u.i);
    return 0;
}

static int f_int(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t base = 10, i;
    double d;
    aios__tp_val v = c->self, dflt = c->a[0].t == T_ABSENT ? aios__tp_int(0) : c->a[0];
    if (v.t == T_UNDEF)
        return aios__tp_undefined(s, v);
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[1], "base", &base));
    if (v.t == T_STR && !aios__tp_parse_int(v.u.s, v.n, (int)base, &i)) {
        *out = aios__tp_int(i);
        return 0;
    }
    if (v.t == T_STR && !aios__tp_parse_real(v.u.s, v.n, &d))
        v = aios__tp_real(d);
    if (aios__tp_integral(v) || (v.t == T_REAL && isfinite(v.u.d)))
        return aios__tp_to_int(s, v, out);
    if (v.t == T_REAL && c->self.t == T_REAL && v.u.d == v.u.d)
        return aios__tp_to_int(s, v, out);
    *out = dflt;
    return 0;
}

static int f_float(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    double d;
    if (c->self.t == T_UNDEF)
        return aios__tp_undefined(s, c->self);
    if (aios__tp_numeric(c->self))
        *out = aios__tp_real(aios__tp_num(c->self));
    else if (c->self.t == T_STR && !aios__tp_parse_real(c->self.u.s, c->self.n, &d))
        *out = aios__tp_real(d);
    else
        *out = c->a[0].t == T_ABSENT ? aios__tp_real(0) : c->a[0];
    return 0;
}

static int f_abs(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    if (!aios__tp_numeric(c->self))
        return aios__tp_fail(s, "bad operand type for abs(): '%s'", aios__tp_type(c->self));
    if (c->self.t == T_REAL ? signbit(c->self.u.d) : c->self.u.i < 0)
        return aios__tp_unary(s, N_NEG, c->self, out);
    return aios__tp_unary(s, N_POS, c->self, out);
}

static double round_to(double d, int64_t digits)
{
    char text[512];
    if (!isfinite(d) || digits > 300)
        return d;
    if (digits >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)digits, d); /* exact and half to even, as round() is */
        return strtod(text, NULL);
    }
    double p = pow(10, (double)-digits);
    return isinf(p) ? copysign(0.0, d) : nearbyint(d / p) * p;
}

/* round() of an int to tens, hundreds ...: half to even. */
static int round_int(tp *s, int64_t v, int64_t digits, aios__tp_val *out)
{
    int64_t p = 1;
    if (digits < -18) {
        *out = aios__tp_int(0);
        return 0;
    }
    for (; digits < 0; digits++)
        p *= 10;
    int64_t q = v / p, r = v % p, a = r < 0 ? -r : r;
    if (a > p - a || (a == p - a && p > 1 && q % 2))
        q += v < 0 ? -1 : 1;
    return aios__tp_math(s, OP_MUL, aios__tp_int(q), aios__tp_int(p), out);
}

static int f_round(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t digits = 0;
    char mode = 'c';
    if (c->self.t == T_UNDEF)
        return aios__tp_undefined(s, c->self);
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[0], "precision", &digits));
    if (c->a[1].t != T_ABSENT) {
        static const char *const modes[] = {"common", "ceil", "floor"};
        mode = 0;
        for (size_t i = 0; i < 3; i++)
            if (c->a[1].t == T_STR && c->a[1].n == strlen(modes[i]) && !memcmp(c->a[1].u.s, modes[i], c->a[1].n))
                mode = modes[i][0];
        if (c->a[1].t == T_STR && mode == 'c' && c->a[1].n == 4)
            mode = 'u';
        if (!mode)
            return aios__tp_fail(s, "method must be common, ceil or floor");
    }
    if (!aios__tp_numeric(c->self))
        return aios__tp_fail(s, "type %s cannot be rounded", aios__tp_type(c->self));
    if (mode == 'c' && aios__tp_integral(c->self))
        return round_int(s, c->self.u.i, digits, out);
    if (mode == 'c') {
        *out = aios__tp_real(round_to(c->self.u.d, digits));
        return 0;
    }
    double p = pow(10, (double)digits), d = aios__tp_num(c->self) * p;
    if (!isfinite(d))
        return aios__tp_fail(s, "cannot convert float to integer");
    *out = aios__tp_real((mode == 'u' ? ceil(d) : floor(d)) / p);
    return 0;
}

static int indent_lines(tp *s, aios__tp_val lines, aios__tp_val by, bool first, bool blank, aios__buf *b)
{
    const aios__tp_list *l = lines.u.l;
    int rc = 0;
    for (uint32_t i = 0; i < l->n && !rc; i++) {
        TP_TRY(aios__tp_burn(s, 1 + (by.n + l->v[i].n) / 32));
        if (i)
            rc = aios__buf_addc(b, '\n', s->err);
        if (!rc && (i ? l->v[i].n || blank : first))
            rc = aios__buf_add(b, by.u.s, by.n, s->err);
        if (!rc)
            rc = aios__buf_add(b, l->v[i].u.s, l->v[i].n, s->err);
    }
    return aios__tp_buf_rc(s, rc);
}

static int f_indent(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool first = false, blank = false;
    aios__tp_val by = c->a[0].t == T_ABSENT ? aios__tp_int(4) : c->a[0], text, lines;
    aios__tp_args none = {0};
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[1], &first));
    if (c->a[2].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[2], &blank));
    if (by.t != T_STR)
        TP_TRY(aios__tp_math(s, OP_MUL, aios__tp_str(" ", 1), by, &by));
    TP_TRY(aios__tp_math(s, OP_ADD, c->self, aios__tp_str("\n", 1), &text));
    text.sub = 0;
    TP_TRY(aios__tp_call_fn(s, aios__tp_method_find(text, "splitlines", 10), text, &none, &lines));
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = indent_lines(s, lines, by, first, blank, &b);
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

static int f_format(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val fmt, args;
    if (c->raw->n && c->raw->nkw)
        return aios__tp_fail(s, "can't handle positional and keyword arguments at the same time");
    TP_TRY(aios__tp_to_str(s, c->self, &fmt));
    if (c->raw->nkw) {
        TP_TRY(aios__tp_dict_new(s, T_DICT, 0, &args));
        for (uint32_t i = 0; i < c->raw->nkw; i++)
            TP_TRY(aios__tp_dict_set(s, args.u.m, c->raw->kw[i].name, c->raw->kw[i].v));
    } else {
        TP_TRY(aios__tp_list_new(s, T_TUPLE, c->raw->n, &args));
        for (uint32_t i = 0; i < c->raw->n; i++)
            TP_TRY(aios__tp_list_add(s, args.u.l, c->raw->v[i]));
    }
    return aios__tp_percent(s, fmt, args, out);
}

static int f_truncate(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    int64_t length = 255, leeway = 5;
    bool kill = false;
    aios__tp_val end = c->a[2].t == T_ABSENT ? aios__tp_str("...", 3) : c->a[2], v = c->self;
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_int_arg(s, c->a[0], "length", &length));
    if (c->a[1].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[1], &kill));
    if (given(c->a[3]))
        TP_TRY(aios__tp_int_arg(s, c->a[3], "leeway", &leeway));
    if (v.t != T_STR || end.t != T_STR)
        return aios__tp_fail(s, "truncate takes a str, not %s", aios__tp_type(v.t != T_STR ? v : end));
    int64_t n = (int64_t)aios__tp_utf8_len(v.u.s, v.n), keep = length - (int64_t)aios__tp_utf8_len(end.u.s, end.n);
    if (keep < 0 || leeway < 0)
        return aios__tp_fail(s, "truncate: expected a length of at least that of the end, and a leeway of at least 0");
    *out = v;
    TP_TRY(aios__tp_burn_bytes(s, v.n));
    if (n <= length || n - length <= leeway)
        return 0;
    v.n = (uint32_t)aios__tp_utf8_off(v.u.s, v.n, (size_t)keep);
    for (uint32_t i = v.n; !kill && i > 0; i--)
        if (v.u.s[i - 1] == ' ') {
            v.n = i - 1;
            break;
        }
    return aios__tp_math(s, OP_ADD, v, end, out);
}

static int f_wordcount(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val v;
    int64_t n = 0;
    bool in = false;
    TP_TRY(aios__tp_to_str(s, c->self, &v));
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)v.n * 8));
    for (uint32_t i = 0; i < v.n;) {
        uint32_t cp;
        i += (uint32_t)aios__tp_step(v.u.s + i, v.n - i, &cp);
        bool word = cp == '_' || aios__tp_cp_is(cp, AIOS__UNI_ALPHA) || aios__tp_cp_is(cp, AIOS__UNI_NUMERIC) || aios__tp_cp_is(cp, AIOS__UNI_DIGIT);
        n += word && !in;
        in = word;
    }
    *out = aios__tp_int(n);
    return 0;
}

static int f_attr(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    if (c->a[0].t != T_STR)
        return aios__tp_fail(s, "attr takes a name");
    if (aios__tp_is(c->self, TBIT(T_DICT)) && !aios__tp_method_find(c->self, c->a[0].u.s, c->a[0].n)) {
        *out = aios__tp_undef((uint8_t)(UNDEF_ATTR + c->self.t), c->a[0].u.s, c->a[0].n);
        return 0;
    }
    return aios__tp_attr(s, c->self, c->a[0], out);
}

static const aios__tp_fn table[] = {
    {"tojson", aios__tp_json_filter, 0, "ensure_ascii,indent,separators,sort_keys", 0},
    {"trim", f_method, 0, "chars", 0}, {"upper", f_method, 0, "", 0}, {"lower", f_method, 0, "", 0},
    {"capitalize", f_method, 0, "", 0}, {"title", f_method, 0, "", 1}, {"replace", f_method, 2, "old,new,count", 1},
    {"center", f_method, 0, "width", 1}, {"length", f_length, 0, "", 0}, {"count", f_length, 0, "", 0},
    {"default", f_default, 0, "default_value,boolean", 0}, {"d", f_default, 0, "default_value,boolean", 0},
    {"string", f_string, 0, "", 0}, {"safe", f_markup, 0, "", 0}, {"escape", f_markup, 0, "", 1}, {"e", f_markup, 0, "", 1},
    {"forceescape", f_markup, 0, "", 2}, {"int", f_int, 0, "default,base", 0}, {"float", f_float, 0, "default", 0},
    {"abs", f_abs, 0, "", 0}, {"round", f_round, 0, "precision,method", 0}, {"indent", f_indent, 0, "width,first,blank", 0},
    {"format", f_format, 0, NULL, 0}, {"truncate", f_truncate, 0, "length,killwords,end,leeway", 0},
    {"wordcount", f_wordcount, 0, "", 0}, {"attr", f_attr, 1, "name", 0},
};

const aios__tp_fn *aios__tp_filter_find(const char *p, size_t n)
{
    const aios__tp_fn *f = n ? aios__tp_table_find(table, AIOS__ARRAY_LEN(table), p, n) : NULL;
    return f || !n ? f : aios__tp_table_find(aios__tp_seq_filters, aios__tp_n_seq_filters, p, n);
}
