/* SPDX-License-Identifier: Apache-2.0 */
/* "..." % values and "...".format(values). */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#define MAX_WIDTH 10000

/* One conversion, in either syntax. */
typedef struct spec {
    char fill[4], align, sign, type;
    uint8_t fill_n;
    bool alt, zero, comma, under;
    int64_t width, prec;
} spec;

static int add(tp *s, aios__buf *b, const char *p, size_t n)
{
    return aios__tp_buf_rc(s, aios__buf_add(b, p, n, s->err));
}

static int fill(tp *s, aios__buf *b, const spec *f, int64_t n)
{
    for (; n > 0; n--)
        TP_TRY(add(s, b, f->fill, f->fill_n));
    return 0;
}

/* Adds sign and body, padded to the width. */
static int add_padded(tp *s, aios__buf *b, const spec *f, const char *sign, aios__tp_val body, char dflt_align)
{
    int64_t pad = f->width - (int64_t)aios__tp_utf8_len(body.u.s, body.n) - (int64_t)strlen(sign);
    char align = f->align ? f->align : dflt_align;
    int64_t left = pad <= 0 ? 0 : align == '>' || align == '=' ? pad : align == '^' ? pad / 2 : 0;
    TP_TRY(aios__tp_burn(s, 1 + (uint64_t)(pad > 0 ? pad : 0) / 8));
    if (align == '=')
        TP_TRY(add(s, b, sign, strlen(sign)));
    TP_TRY(fill(s, b, f, left));
    if (align != '=')
        TP_TRY(add(s, b, sign, strlen(sign)));
    TP_TRY(add(s, b, body.u.s, body.n));
    return fill(s, b, f, pad - left);
}

static int add_text(tp *s, aios__buf *b, const spec *f, aios__tp_val v)
{
    if (f->prec >= 0)
        v.n = (uint32_t)aios__tp_utf8_off(v.u.s, v.n, (size_t)f->prec);
    return add_padded(s, b, f, "", v, '<');
}

/* Thousands separators in the integer part. */
static void group(char *text, size_t size, char sep)
{
    size_t digits = strspn(text, "0123456789"), n = strlen(text), more = digits ? (digits - 1) / 3 : 0;
    if (n + more + 1 > size)
        return;
    memmove(text + digits + more, text + digits, n - digits + 1);
    for (size_t i = digits, k = digits + more, c = 0; i-- > 0; c++) {
        if (c && c % 3 == 0)
            text[--k] = sep;
        text[--k] = text[i];
    }
}

static const char *sign_text(const spec *f, bool negative)
{
    return negative ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
}

static int add_int(tp *s, aios__buf *b, const spec *f, int64_t i)
{
    char text[128], prefix[4] = "";
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    if (f->type == 'b') {
        size_t n = 0;
        for (int k = 63; k >= 0; k--)
            if (u >> k || !k)
                text[n++] = (char)('0' + (u >> k & 1));
        text[n] = 0;
    } else {
        snprintf(text, sizeof text, f->type == 'x' ? "%" PRIx64 : f->type == 'X' ? "%" PRIX64 : f->type == 'o' ? "%" PRIo64 : "%" PRIu64, u);
    }
    if (f->comma || f->under)
        group(text, sizeof text, f->comma ? ',' : '_');
    if (f->alt && strchr("xXob", f->type))
        snprintf(prefix, sizeof prefix, "0%c", f->type);
    char sign[8];
    snprintf(sign, sizeof sign, "%s%s", sign_text(f, i < 0), prefix);
    return add_padded(s, b, f, sign, aios__tp_cstr(text), '>');
}

static int add_real(tp *s, aios__buf *b, const spec *f, double d)
{
    char text[512], form[16];
    double a = fabs(d);
    int prec = f->prec < 0 ? 6 : f->prec > 100 ? 100 : (int)f->prec;
    char type = f->type ? f->type : 'r';
    if (type == '%') {
        a *= 100;
        type = 'f';
    }
    if (!isfinite(d)) {
        snprintf(text, sizeof text, "%s", d != d ? "nan" : "inf");
    } else if (type == 'r' && f->prec < 0) {
        aios__tp_real_text(a, text);
    } else {
        if (type == 'r')
            type = 'g';
        if (type == 'n')
            type = 'g';
        snprintf(form, sizeof form, "%%%s.*%c", f->alt ? "#" : "", type);
        snprintf(text, sizeof text, form, prec, a);
        aios__real_point(text);
        /* Without a type, a float always shows that it is one. */
        if (!f->type && !strpbrk(text, ".en"))
            strcat(text, ".0");
    }
    if (f->comma || f->under)
        group(text, sizeof text, f->comma ? ',' : '_');
    if (f->type == '%')
        strcat(text, "%");
    return add_padded(s, b, f, sign_text(f, signbit(d) && d == d), aios__tp_cstr(text), '>');
}

/* ---- % ------------------------------------------------------------------------------------------------------------ */

typedef struct source { aios__tp_val args; aios__tp_val *v; uint32_t n, i; } source;

static int next_value(tp *s, source *a, aios__tp_val *v)
{
    if (a->i >= a->n)
        return aios__tp_fail(s, "not enough arguments for format string");
    *v = a->v[a->i++];
    return 0;
}

static int percent_number(tp *s, source *a, const char *p, size_t n, size_t *i, int64_t *out)
{
    int64_t v = 0;
    if (*i < n && p[*i] == '*') {
        aios__tp_val w;
        ++*i;
        TP_TRY(next_value(s, a, &w));
        TP_TRY(aios__tp_int_arg(s, w, "*", &v));
    }
    while (*i < n && p[*i] >= '0' && p[*i] <= '9' && v <= MAX_WIDTH)
        v = v * 10 + (p[(*i)++] - '0');
    if (v > MAX_WIDTH || v < -MAX_WIDTH)
        return aios__tp_limit(s, "a width or precision of more than %d", MAX_WIDTH);
    *out = v;
    return 0;
}

static int percent_emit(tp *s, aios__buf *b, spec *f, aios__tp_val v)
{
    char c = f->type;
    aios__tp_val text;
    if (f->align == '<' || c == 's' || c == 'r' || c == 'a' || c == 'c')
        f->zero = false;
    if (f->zero) {
        f->fill[0] = '0';
        f->align = '=';
    }
    if (c == 's' || c == 'r' || c == 'a') {
        TP_TRY(c == 's' ? aios__tp_to_str(s, v, &text) : aios__tp_repr(s, v, &text));
        f->align = f->align ? f->align : '>';
        return add_text(s, b, f, text);
    }
    if (c == 'c') {
        char u[4];
        if (v.t == T_STR && aios__tp_utf8_len(v.u.s, v.n) == 1)
            return add_padded(s, b, f, "", v, '>');
        if (!aios__tp_integral(v) || v.u.i < 0 || v.u.i > 0x10ffff)
            return aios__tp_fail(s, "%%c requires int or char");
        return add_padded(s, b, f, "", aios__tp_str(u, aios__utf8_encode((uint32_t)v.u.i, u)), '>');
    }
    if (!aios__tp_numeric(v))
        return v.t == T_UNDEF ? aios__tp_undefined(s, v) : aios__tp_fail(s, "%%%c format: a number is required, not %s", c, aios__tp_type(v));
    if (strchr("eEfFgG", c))
        return add_real(s, b, f, aios__tp_num(v));
    if (v.t == T_REAL) {
        if (strchr("xXo", c))
            return aios__tp_fail(s, "%%%c format: an integer is required, not float", c);
        TP_TRY(aios__tp_to_int(s, v, &v));
    }
    return add_int(s, b, f, v.u.i);
}

static int percent_one(tp *s, source *a, const char *p, size_t n, size_t *i, aios__buf *b)
{
    spec f = {.fill = " ", .fill_n = 1, .prec = -1};
    aios__tp_val v = {.t = T_ABSENT};
    if (*i < n && p[*i] == '(') {
        size_t from = ++*i;
        while (*i < n && p[*i] != ')')
            ++*i;
        if (a->args.t != T_DICT)
            return aios__tp_fail(s, "format requires a mapping");
        aios__tp_val *x;
        TP_TRY(aios__tp_dict_find(s, a->args.u.m, aios__tp_str(p + from, *i - from), &x));
        if (!x)
            return aios__tp_fail(s, "format: no key '%.*s'", (int)(*i - from), p + from);
        v = *x;
        ++*i;
    }
    for (; *i < n && strchr("-+ #0", p[*i]) && p[*i]; ++*i) {
        f.align = p[*i] == '-' ? '<' : f.align;
        f.sign = p[*i] == '+' || (p[*i] == ' ' && !f.sign) ? p[*i] : f.sign;
        f.alt |= p[*i] == '#';
        f.zero |= p[*i] == '0';
    }
    TP_TRY(percent_number(s, a, p, n, i, &f.width));
    if (f.width < 0) {
        f.align = '<';
        f.width = -f.width;
    }
    if (*i < n && p[*i] == '.') {
        ++*i;
        TP_TRY(percent_number(s, a, p, n, i, &f.prec));
        f.prec = f.prec < 0 ? 0 : f.prec;
    }
    while (*i < n && strchr("hlL", p[*i]) && p[*i])
        ++*i;
    if (*i >= n)
        return aios__tp_fail(s, "incomplete format");
    f.type = p[(*i)++];
    if (f.type == '%')
        return add(s, b, "%", 1);
    if (!f.type || !strchr("diuxXoeEfFgGcrsa", f.type))
        return aios__tp_fail(s, "unsupported format character '%c'", f.type);
    if (v.t == T_ABSENT)
        TP_TRY(next_value(s, a, &v));
    return percent_emit(s, b, &f, v);
}

static int percent_all(tp *s, aios__tp_val fmt, source *a, aios__buf *b)
{
    const char *p = fmt.u.s;
    for (size_t i = 0; i < fmt.n;) {
        const char *q = memchr(p + i, '%', fmt.n - i);
        size_t plain = q ? (size_t)(q - p) - i : fmt.n - i;
        TP_TRY(add(s, b, p + i, plain));
        i += plain + 1;
        TP_TRY(aios__tp_burn(s, 1 + plain / 32));
        if (q)
            TP_TRY(percent_one(s, a, p, fmt.n, &i, b));
    }
    if (a->i < a->n && a->args.t != T_DICT && a->args.t != T_LIST)
        return aios__tp_fail(s, "not all arguments converted during string formatting");
    return 0;
}

int aios__tp_percent(tp *s, aios__tp_val fmt, aios__tp_val args, aios__tp_val *out)
{
    source a = {.args = args, .v = &args, .n = 1};
    if (args.t == T_TUPLE) {
        a.v = args.u.l->v;
        a.n = args.u.l->n;
    }
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = percent_all(s, fmt, &a, &b);
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

/* ---- format ------------------------------------------------------------------------------------------------------- */

static int parse_width(tp *s, const char *p, size_t n, size_t *i, int64_t *out)
{
    int64_t v = 0;
    while (*i < n && p[*i] >= '0' && p[*i] <= '9' && v <= MAX_WIDTH)
        v = v * 10 + (p[(*i)++] - '0');
    if (v > MAX_WIDTH)
        return aios__tp_limit(s, "a width or precision of more than %d", MAX_WIDTH);
    *out = v;
    return 0;
}

static int parse_spec(tp *s, const char *p, size_t n, spec *f)
{
    size_t i = 0, k = n ? aios__tp_utf8_off(p, n, 1) : 0;
    *f = (spec){.fill = " ", .fill_n = 1, .prec = -1};
    if (k && k < n && k <= 4 && strchr("<>=^", p[k])) {
        memcpy(f->fill, p, k);
        f->fill_n = (uint8_t)k;
        f->align = p[k];
        i = k + 1;
    } else if (n && strchr("<>=^", p[0])) {
        f->align = p[i++];
    }
    if (i < n && strchr("+- ", p[i]))
        f->sign = p[i++];
    if (i < n && p[i] == '#')
        f->alt = p[i++] == '#';
    if (i < n && p[i] == '0') {
        i++;
        f->zero = true;
    }
    TP_TRY(parse_width(s, p, n, &i, &f->width));
    if (i < n && (p[i] == ',' || p[i] == '_')) {
        f->comma = p[i] == ',';
        f->under = p[i++] == '_';
    }
    if (i < n && p[i] == '.') {
        i++;
        TP_TRY(parse_width(s, p, n, &i, &f->prec));
    }
    if (i < n)
        f->type = p[i++];
    return i < n ? aios__tp_fail(s, "invalid format specifier '%.*s'", (int)n, p) : 0;
}

static int format_value(tp *s, aios__buf *b, aios__tp_val v, const char *p, size_t n)
{
    spec f;
    TP_TRY(parse_spec(s, p, n, &f));
    bool number = aios__tp_numeric(v) && !(v.t == T_BOOL && !f.type);
    if (f.zero && !f.align) {
        f.fill[0] = '0';
        f.align = number ? '=' : '<';
    }
    if (number && f.type == 'c')
        return aios__tp_fail(s, "the format 'c' is not supported");
    if (number && (v.t == T_REAL || (f.type && strchr("eEfFgG%", f.type)))) {
        if (f.type && !strchr("eEfFgGn%", f.type))
            return aios__tp_fail(s, "unknown format code '%c' for a float", f.type);
        return add_real(s, b, &f, aios__tp_num(v));
    }
    if (number) {
        if (f.type && !strchr("dbxXon", f.type))
            return aios__tp_fail(s, "unknown format code '%c' for an int", f.type);
        return add_int(s, b, &f, v.u.i);
    }
    if (n && v.t != T_STR && v.t != T_BOOL)
        return aios__tp_fail(s, "unsupported format string passed to %s", aios__tp_type(v));
    if (f.type && f.type != 's')
        return aios__tp_fail(s, "unknown format code '%c' for a str", f.type);
    TP_TRY(aios__tp_to_str(s, v, &v));
    return add_text(s, b, &f, v);
}

typedef struct fields { const aios__tp_args *a; aios__tp_val map; uint32_t next; } fields;

static int first_value(tp *s, fields *x, const char *p, size_t n, aios__tp_val *v)
{
    int64_t at;
    if (!n || !aios__tp_parse_int(p, n, 10, &at)) {
        at = n ? at : x->next++;
        if (x->map.t == T_DICT || at < 0 || at >= x->a->n)
            return aios__tp_fail(s, "replacement index %lld out of range for positional args", (long long)at);
        *v = x->a->v[at];
        return 0;
    }
    if (x->map.t == T_DICT) {
        aios__tp_val *found;
        TP_TRY(aios__tp_dict_find(s, x->map.u.m, aios__tp_str(p, n), &found));
        if (found) {
            *v = *found;
            return 0;
        }
    }
    for (uint32_t i = 0; i < x->a->nkw; i++)
        if (x->a->kw[i].name.n == n && !memcmp(x->a->kw[i].name.u.s, p, n)) {
            *v = x->a->kw[i].v;
            return 0;
        }
    return aios__tp_fail(s, "format: no argument '%.*s'", (int)n, p);
}

/* name.attr[key] */
static int field_value(tp *s, fields *x, const char *p, size_t n, aios__tp_val *v)
{
    size_t i = 0;
    while (i < n && p[i] != '.' && p[i] != '[')
        i++;
    TP_TRY(first_value(s, x, p, i, v));
    while (i < n) {
        bool item = p[i++] == '[';
        size_t from = i;
        int64_t at;
        while (i < n && (item ? p[i] != ']' : p[i] != '.' && p[i] != '['))
            i++;
        if (item && (i >= n || i == from))
            return aios__tp_fail(s, "format: a '[' is not closed or empty");
        aios__tp_val key = aios__tp_str(p + from, i - from);
        if (item && !aios__tp_parse_int(p + from, i - from, 10, &at))
            key = aios__tp_int(at);
        TP_TRY(item ? aios__tp_item(s, *v, key, v) : aios__tp_attr(s, *v, key, v));
        i += item;
    }
    return 0;
}

static int format_field(tp *s, fields *x, const char *p, size_t n, aios__buf *b)
{
    aios__tp_val v;
    size_t end = 0, depth = 0;
    while (end < n && (depth || (p[end] != ':' && p[end] != '!'))) {
        depth += p[end] == '[';
        depth -= p[end] == ']' && depth;
        end++;
    }
    TP_TRY(field_value(s, x, p, end, &v));
    if (end < n && p[end] == '!') {
        char c = end + 1 < n ? p[end + 1] : 0;
        if (c != 's' && c != 'r')
            return aios__tp_fail(s, "format: unknown conversion");
        TP_TRY(c == 's' ? aios__tp_to_str(s, v, &v) : aios__tp_repr(s, v, &v));
        end += 2;
    }
    if (end < n && p[end] != ':')
        return aios__tp_fail(s, "format: expected ':' after the conversion");
    end += end < n;
    return format_value(s, b, v, p + end, n - end);
}

static int format_all(tp *s, aios__tp_val fmt, fields *x, aios__buf *b)
{
    const char *p = fmt.u.s;
    for (size_t i = 0; i < fmt.n;) {
        size_t from = i;
        while (i < fmt.n && p[i] != '{' && p[i] != '}')
            i++;
        TP_TRY(add(s, b, p + from, i - from));
        TP_TRY(aios__tp_burn(s, 1 + (i - from) / 32));
        if (i >= fmt.n)
            break;
        if (i + 1 < fmt.n && p[i + 1] == p[i]) {
            TP_TRY(add(s, b, p + i, 1));
            i += 2;
            continue;
        }
        const char *close = p[i] == '{' ? memchr(p + i, '}', fmt.n - i) : NULL;
        if (!close || memchr(p + i + 1, '{', (size_t)(close - p) - i - 1))
            return aios__tp_fail(s, "format: single or nested '{' or '}' in the format string");
        TP_TRY(format_field(s, x, p + i + 1, (size_t)(close - p) - i - 1, b));
        i = (size_t)(close - p) + 1;
    }
    return 0;
}

/* arg: 1 format_map */
int aios__tp_format_method(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    fields x = {.a = c->raw, .map = aios__tp_none()};
    if (c->fn->arg) {
        if (c->raw->n != 1 || c->raw->nkw || c->raw->v[0].t != T_DICT)
            return aios__tp_fail(s, "format_map takes one mapping");
        x.map = c->raw->v[0];
    }
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = format_all(s, c->self, &x, &b);
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}
