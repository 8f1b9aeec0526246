/* SPDX-License-Identifier: Apache-2.0 */
/* The tojson filter: json.dumps with ensure_ascii, indent, separators and sort_keys. */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct dump {
    tp *s;
    aios__buf b;
    bool ascii, sort, indented;
    aios__tp_val indent, item_sep, key_sep;
    uint32_t level;
} dump;

static int put(dump *d, const char *p, size_t n)
{
    return aios__tp_buf_rc(d->s, aios__buf_add(&d->b, p, n, d->s->err));
}

static int puts_(dump *d, const char *text)
{
    return put(d, text, strlen(text));
}

static int put_escaped(dump *d, uint32_t cp)
{
    static const char from[] = "\"\\\n\r\t\f\b", to[] = "\"\\nrtfb";
    char text[16];
    const char *m = cp && cp < 128 ? strchr(from, (int)cp) : NULL;
    if (m)
        snprintf(text, sizeof text, "\\%c", to[m - from]);
    else if (cp < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", cp);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10), 0xdc00 + ((cp - 0x10000) & 0x3ff));
    return puts_(d, text);
}

static int put_string(dump *d, aios__tp_val v)
{
    size_t plain = 0;
    TP_TRY(aios__tp_burn_bytes(d->s, (uint64_t)v.n * 2));
    TP_TRY(puts_(d, "\""));
    for (size_t i = 0; i < v.n;) {
        uint32_t cp;
        size_t k = aios__tp_step(v.u.s + i, v.n - i, &cp);
        if (cp < 32 || cp == '"' || cp == '\\' || (d->ascii && cp >= 127)) {
            TP_TRY(put(d, v.u.s + plain, i - plain));
            TP_TRY(put_escaped(d, cp));
            plain = i + k;
        }
        i += k;
    }
    TP_TRY(put(d, v.u.s + plain, v.n - plain));
    return puts_(d, "\"");
}

static int newline(dump *d)
{
    if (!d->indented)
        return 0;
    TP_TRY(aios__tp_burn(d->s, 1 + d->level));
    TP_TRY(puts_(d, "\n"));
    for (uint32_t i = 0; i < d->level; i++)
        TP_TRY(put(d, d->indent.u.s, d->indent.n));
    return 0;
}

static int number_text(aios__tp_val v, char *text, size_t n)
{
    if (v.t == T_INT)
        snprintf(text, n, "%" PRId64, v.u.i);
    else if (v.t == T_BOOL || v.t == T_NONE)
        snprintf(text, n, "%s", v.t == T_NONE ? "null" : v.u.i ? "true" : "false");
    else if (v.t == T_REAL && isfinite(v.u.d))
        aios__tp_real_text(v.u.d, text);
    else if (v.t == T_REAL)
        snprintf(text, n, "%s", v.u.d != v.u.d ? "NaN" : v.u.d > 0 ? "Infinity" : "-Infinity");
    else
        return 1;
    return 0;
}

static int put_value(dump *d, aios__tp_val v);

static int put_list(dump *d, aios__tp_list *l)
{
    TP_TRY(aios__tp_list_load(d->s, l));
    if (!l->n)
        return puts_(d, "[]");
    TP_TRY(puts_(d, "["));
    d->level++;
    for (uint32_t i = 0; i < l->n; i++) {
        if (i)
            TP_TRY(put(d, d->item_sep.u.s, d->item_sep.n));
        TP_TRY(newline(d));
        TP_TRY(put_value(d, l->v[i]));
    }
    d->level--;
    TP_TRY(newline(d));
    return puts_(d, "]");
}

static int put_key(dump *d, aios__tp_val k)
{
    char text[64];
    if (k.t == T_STR)
        return put_string(d, k);
    if (number_text(k, text, sizeof text))
        return aios__tp_fail(d->s, "JSON keys must be str, int, float, bool or None, not %s", aios__tp_type(k));
    return put_string(d, aios__tp_cstr(text));
}

static int sorted_keys(dump *d, aios__tp_dict *m, aios__tp_val **order)
{
    aios__tp_val *key = aios__tp_alloc(d->s, m->n * sizeof *key + 1), *at = aios__tp_alloc(d->s, m->n * sizeof *at + 1);
    if (!key || !at)
        return d->s->rc;
    for (uint32_t i = 0; i < m->n; i++) {
        key[i] = m->k[i];
        at[i] = aios__tp_int(i);
    }
    *order = at;
    return aios__tp_sort(d->s, at, key, m->n, false);
}

static int put_dict(dump *d, aios__tp_dict *m)
{
    aios__tp_val *order = NULL;
    TP_TRY(aios__tp_dict_load(d->s, m));
    if (!m->n)
        return puts_(d, "{}");
    if (d->sort)
        TP_TRY(sorted_keys(d, m, &order));
    TP_TRY(puts_(d, "{"));
    d->level++;
    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t at = order ? (uint32_t)order[i].u.i : i;
        if (i)
            TP_TRY(put(d, d->item_sep.u.s, d->item_sep.n));
        TP_TRY(newline(d));
        TP_TRY(put_key(d, m->k[at]));
        TP_TRY(put(d, d->key_sep.u.s, d->key_sep.n));
        TP_TRY(put_value(d, m->v[at]));
    }
    d->level--;
    TP_TRY(newline(d));
    return puts_(d, "}");
}

static int put_value(dump *d, aios__tp_val v)
{
    char text[64];
    if (v.t == T_STR)
        return put_string(d, v);
    TP_TRY(aios__tp_enter(d->s));
    int rc;
    if (aios__tp_is(v, TBIT(T_LIST) | TBIT(T_TUPLE)))
        rc = put_list(d, v.u.l);
    else if (v.t == T_DICT)
        rc = put_dict(d, v.u.m);
    else if (!number_text(v, text, sizeof text))
        rc = puts_(d, text);
    else
        rc = aios__tp_fail(d->s, "Object of type %s is not JSON serializable", aios__tp_type(v));
    aios__tp_leave(d->s);
    return rc;
}

static int set_indent(dump *d, aios__tp_val v)
{
    if (v.t == T_ABSENT || v.t == T_NONE)
        return 0;
    d->indented = true;
    d->item_sep = aios__tp_str(",", 1);
    if (v.t == T_STR) {
        d->indent = v;
        return 0;
    }
    if (!aios__tp_integral(v))
        return aios__tp_fail(d->s, "indent must be a number or a string, not %s", aios__tp_type(v));
    static const char spaces[] = "                                ";
    if (v.u.i > 32)
        return aios__tp_limit(d->s, "indent is larger than 32");
    d->indent = aios__tp_str(spaces, v.u.i > 0 ? (size_t)v.u.i : 0);
    return 0;
}

static int set_separators(dump *d, aios__tp_val v)
{
    if (v.t == T_ABSENT || v.t == T_NONE)
        return 0;
    if (!aios__tp_is(v, TBIT(T_LIST) | TBIT(T_TUPLE)) || aios__tp_list_load(d->s, v.u.l) || v.u.l->n != 2 || v.u.l->v[0].t != T_STR ||
        v.u.l->v[1].t != T_STR)
        return d->s->rc ? d->s->rc : aios__tp_fail(d->s, "separators must be two strings");
    d->item_sep = v.u.l->v[0];
    d->key_sep = v.u.l->v[1];
    return 0;
}

int aios__tp_json_filter(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    dump d = {.s = s, .item_sep = aios__tp_str(", ", 2), .key_sep = aios__tp_str(": ", 2), .indent = aios__tp_str("", 0)};
    if (c->a[0].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[0], &d.ascii));
    if (c->a[3].t != T_ABSENT)
        TP_TRY(aios__tp_truth(s, c->a[3], &d.sort));
    TP_TRY(set_indent(&d, c->a[1]));
    TP_TRY(set_separators(&d, c->a[2]));
    aios__buf_init(&d.b, s->arena->heap, AIOS_MEM_TEXT, s->arena->max);
    int rc = put_value(&d, c->self);
    if (!rc)
        rc = aios__tp_buf_val(s, &d.b, out);
    aios__buf_free(&d.b);
    return rc;
}
