/* SPDX-License-Identifier: Apache-2.0 */
/* str() and repr() as Python prints them. */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

int aios__tp_buf_rc(tp *s, int rc)
{
    if (rc)
        s->rc = rc;
    return rc;
}

int aios__tp_buf_val(tp *s, aios__buf *b, aios__tp_val *out)
{
    return aios__tp_copy(s, b->p ? b->p : "", b->n, out);
}

/* Shortest text that reads back as d, in the form of Python's repr. */
size_t aios__tp_real_text(double d, char *out)
{
    char tmp[40], digits[24];
    if (d != d || isinf(d))
        return (size_t)sprintf(out, "%s", d != d ? "nan" : d > 0 ? "inf" : "-inf");
    for (int p = 0; p < 17; p++) {
        snprintf(tmp, sizeof tmp, "%.*e", p, d);
        if (strtod(tmp, NULL) == d)
            break;
    }
    aios__real_point(tmp);
    size_t n = 0, k = 0, i = 0;
    if (tmp[0] == '-')
        out[k++] = tmp[i++];
    for (; tmp[i] && tmp[i] != 'e'; i++)
        if (tmp[i] != '.')
            digits[n++] = tmp[i];
    int e = atoi(tmp + i + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (e < -4 || e >= 16) {
        out[k++] = digits[0];
        if (n > 1) {
            out[k++] = '.';
            memcpy(out + k, digits + 1, n - 1);
            k += n - 1;
        }
        return k + (size_t)sprintf(out + k, "e%c%02d", e < 0 ? '-' : '+', abs(e));
    }
    if (e < 0) {
        out[k++] = '0';
        out[k++] = '.';
        for (int z = -1; z > e; z--)
            out[k++] = '0';
    }
    for (size_t j = 0; j < n || (e >= 0 && j <= (size_t)e); j++) {
        if (e >= 0 && j == (size_t)e + 1)
            out[k++] = '.';
        out[k++] = j < n ? digits[j] : '0';
    }
    if (e >= 0 && n <= (size_t)e + 1) {
        out[k++] = '.';
        out[k++] = '0';
    }
    out[k] = 0;
    return k;
}

static int repr_char(aios__buf *b, uint32_t cp, const char *p, size_t n, char quote)
{
    static const char from[] = "\n\r\t\\", to[] = "nrt\\";
    const char *m = cp && cp < 128 ? strchr(from, (int)cp) : NULL;
    if (m)
        return aios__buf_addf(b, NULL, "\\%c", to[m - from]);
    if (cp == (unsigned char)quote)
        return aios__buf_addf(b, NULL, "\\%c", quote);
    if (cp >= 32 && cp < 127)
        return aios__buf_addc(b, (char)cp, NULL);
    if (cp >= 127 && aios__tp_cp_is(cp, AIOS__UNI_PRINTABLE))
        return aios__buf_add(b, p, n, NULL);
    return aios__buf_addf(b, NULL, cp < 256 ? "\\x%02x" : cp < 65536 ? "\\u%04x" : "\\U%08x", cp);
}

static int repr_str(tp *s, aios__tp_val v, aios__buf *b)
{
    char quote = v.n && memchr(v.u.s, '\'', v.n) && !memchr(v.u.s, '"', v.n) ? '"' : '\'';
    TP_TRY(aios__tp_burn_bytes(s, (uint64_t)v.n * 4));
    int rc = aios__buf_addf(b, s->err, v.sub ? "Markup(%c" : "%c", quote);
    for (size_t i = 0; i < v.n && !rc;) {
        uint32_t cp;
        size_t k = aios__tp_step(v.u.s + i, v.n - i, &cp);
        rc = repr_char(b, cp, v.u.s + i, k, quote);
        i += k;
    }
    if (!rc)
        rc = aios__buf_addf(b, s->err, v.sub ? "%c)" : "%c", quote);
    return rc ? aios__tp_buf_rc(s, rc == AIOS_ELIMIT ? aios__tp_limit(s, "the text is too long") : aios__fail(s->err, rc, "no memory for the text of a value")) : 0;
}

static int adds(tp *s, aios__buf *b, const char *text)
{
    return aios__tp_buf_rc(s, aios__buf_adds(b, text, s->err));
}

static int repr(tp *s, aios__tp_val v, aios__buf *b);

static int repr_list(tp *s, aios__tp_list *l, const char *open, const char *close, bool tuple, aios__buf *b)
{
    TP_TRY(aios__tp_list_load(s, l));
    TP_TRY(adds(s, b, open));
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            TP_TRY(adds(s, b, ", "));
        TP_TRY(repr(s, l->v[i], b));
    }
    if (tuple && l->n == 1)
        TP_TRY(adds(s, b, ","));
    return adds(s, b, close);
}

static int repr_dict(tp *s, aios__tp_dict *m, aios__buf *b)
{
    TP_TRY(aios__tp_dict_load(s, m));
    TP_TRY(adds(s, b, "{"));
    for (uint32_t i = 0; i < m->n; i++) {
        if (i)
            TP_TRY(adds(s, b, ", "));
        TP_TRY(repr(s, m->k[i], b));
        TP_TRY(adds(s, b, ": "));
        TP_TRY(repr(s, m->v[i], b));
    }
    return adds(s, b, "}");
}

static int repr_other(tp *s, aios__tp_val v, aios__buf *b)
{
    if (v.t == T_NS) {
        TP_TRY(adds(s, b, "<Namespace "));
        TP_TRY(repr_dict(s, v.u.m, b));
        return adds(s, b, ">");
    }
    if (v.t == T_RANGE) {
        const aios__tp_range *r = v.u.r;
        int rc = aios__buf_addf(b, s->err, "range(%" PRId64 ", %" PRId64, r->start, r->stop);
        if (!rc && r->step != 1)
            rc = aios__buf_addf(b, s->err, ", %" PRId64, r->step);
        return aios__tp_buf_rc(s, rc ? rc : aios__buf_adds(b, ")", s->err));
    }
    if (v.t == T_LOOP)
        return aios__tp_buf_rc(s, aios__buf_addf(b, s->err, "<LoopContext %u/%u>", v.u.loop->i + 1, v.u.loop->n));
    if (v.t == T_MACRO)
        return aios__tp_buf_rc(s, aios__buf_addf(b, s->err, "<Macro '%.*s'>", (int)v.u.macro->name.n, v.u.macro->name.u.s));
    return aios__tp_buf_rc(s, aios__buf_addf(b, s->err, "<%s object>", aios__tp_type(v)));
}

static int repr_any(tp *s, aios__tp_val v, aios__buf *b)
{
    char text[64];
    switch (v.t) {
    case T_UNDEF:
        return adds(s, b, "Undefined");
    case T_NONE:
        return adds(s, b, "None");
    case T_BOOL:
        return adds(s, b, v.u.i ? "True" : "False");
    case T_INT:
        snprintf(text, sizeof text, "%" PRId64, v.u.i);
        return adds(s, b, text);
    case T_REAL:
        aios__tp_real_text(v.u.d, text);
        return adds(s, b, text);
    case T_STR:
        return repr_str(s, v, b);
    case T_LIST:
        return repr_list(s, v.u.l, "[", "]", false, b);
    case T_TUPLE:
        return repr_list(s, v.u.l, "(", ")", true, b);
    case T_VIEW:
        return repr_list(s, v.u.l, v.sub == 'k' ? "dict_keys([" : v.sub == 'v' ? "dict_values([" : "dict_items([", "])", false, b);
    case T_DICT:
        return repr_dict(s, v.u.m, b);
    default:
        return repr_other(s, v, b);
    }
}

static int repr(tp *s, aios__tp_val v, aios__buf *b)
{
    TP_TRY(aios__tp_enter(s));
    int rc = repr_any(s, v, b);
    aios__tp_leave(s);
    return rc;
}

int aios__tp_print(tp *s, aios__tp_val v, aios__buf *b)
{
    if (v.t == T_UNDEF)
        return 0;
    if (v.t == T_STR)
        return aios__tp_buf_rc(s, aios__buf_add(b, v.u.s, v.n, s->err));
    return repr(s, v, b);
}

static int to_text(tp *s, aios__tp_val v, int (*fn)(tp *s, aios__tp_val v, aios__buf *b), aios__tp_val *out)
{
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = fn(s, v, &b);
    if (!rc)
        rc = aios__tp_buf_val(s, &b, out);
    aios__buf_free(&b);
    return rc;
}

int aios__tp_to_str(tp *s, aios__tp_val v, aios__tp_val *out)
{
    if (v.t == T_STR)
        *out = v;
    else if (v.t == T_UNDEF)
        *out = aios__tp_str("", 0);
    else if (v.t == T_NONE || v.t == T_BOOL)
        *out = aios__tp_cstr(v.t == T_NONE ? "None" : v.u.i ? "True" : "False");
    else
        return to_text(s, v, repr, out);
    return 0;
}

int aios__tp_repr(tp *s, aios__tp_val v, aios__tp_val *out)
{
    return to_text(s, v, repr, out);
}
