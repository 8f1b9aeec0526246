/* SPDX-License-Identifier: Apache-2.0 */
/* Operators, attributes, subscripts and slices. */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int too_big(tp *s)
{
    return aios__tp_limit(s, "the integer does not fit in 64 bits");
}

static int pow_int(tp *s, int64_t a, int64_t b, aios__tp_val *out)
{
    int64_t r = 1;
    if (a == 0 || a == 1 || a == -1) {
        *out = aios__tp_int(b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
        return 0;
    }
    if (b > 63)
        return too_big(s);
    for (; b > 0; b--)
        if (__builtin_mul_overflow(r, a, &r))
            return too_big(s);
    *out = aios__tp_int(r);
    return 0;
}

static int math_int(tp *s, uint8_t op, int64_t a, int64_t b, aios__tp_val *out)
{
    int64_t r = 0, m;
    bool over = false;
    switch (op) {
    case OP_ADD:
        over = __builtin_add_overflow(a, b, &r);
        break;
    case OP_SUB:
        over = __builtin_sub_overflow(a, b, &r);
        break;
    case OP_MUL:
        over = __builtin_mul_overflow(a, b, &r);
        break;
    case OP_POW:
        return pow_int(s, a, b, out);
    default:
        if (!b)
            return aios__tp_fail(s, "division by zero");
        if (b == -1) {
            over = op == OP_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &r);
            break;
        }
        m = a % b;
        r = a / b - (m && (m < 0) != (b < 0));
        if (op == OP_MOD)
            r = m && (m < 0) != (b < 0) ? m + b : m;
        break;
    }
    if (over)
        return too_big(s);
    *out = aios__tp_int(r);
    return 0;
}

static int math_real(tp *s, uint8_t op, double a, double b, aios__tp_val *out)
{
    double r = 0, m, q;
    if (!b && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return aios__tp_fail(s, "division by zero");
    switch (op) {
    case OP_ADD:
        r = a + b;
        break;
    case OP_SUB:
        r = a - b;
        break;
    case OP_MUL:
        r = a * b;
        break;
    case OP_DIV:
        r = a / b;
        break;
    case OP_POW:
        r = pow(a, b);
        if (a == 0 && b < 0)
            return aios__tp_fail(s, "0.0 cannot be raised to a negative power");
        if ((r != r && a == a && b == b) || (isinf(r) && isfinite(a) && isfinite(b)))
            return aios__tp_fail(s, "the power has no value among the floats");
        break;
    default:
        m = fmod(a, b);
        q = (a - m) / b;
        if (m && (b < 0) != (m < 0)) {
            m += b;
            q -= 1;
        } else if (!m) {
            m = copysign(0.0, b);
        }
        r = floor(q);
        if (q - r > 0.5)
            r += 1;
        if (!q)
            r = copysign(0.0, a / b);
        if (op == OP_MOD)
            r = m;
        break;
    }
    *out = aios__tp_real(r);
    return 0;
}

int aios__tp_escape(tp *s, aios__tp_val v, aios__tp_val *out)
{
    static const struct { char c; const char *to; } map[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    TP_TRY(aios__tp_to_str(s, v, &v));
    if (v.sub) {
        *out = v;
        return 0;
    }
    char *p = aios__tp_alloc(s, (size_t)v.n * 5 + 1);
    size_t n = 0;
    if (!p)
        return s->rc;
    for (uint32_t i = 0; i < v.n; i++) {
        const char *to = NULL;
        for (size_t k = 0; k < AIOS__ARRAY_LEN(map); k++)
            if (v.u.s[i] == map[k].c)
                to = map[k].to;
        if (to) {
            memcpy(p + n, to, strlen(to));
            n += strlen(to);
        } else {
            p[n++] = v.u.s[i];
        }
    }
    *out = aios__tp_str(p, n);
    out->sub = 1;
    return aios__tp_burn_bytes(s, (uint64_t)v.n * 4);
}

/* Where a string that was allocated last can grow in place to n bytes, else NULL. */
static char *extend(tp *s, aios__tp_val a, size_t n)
{
    aios__tp_arena *ar = s->arena;
    if (!ar->last || a.u.s != ar->last || a.n != ar->last_n)
        return NULL;
    const char *base = (const char *)(ar->head + 1);
    if ((uintptr_t)ar->last < (uintptr_t)base || (uintptr_t)ar->last >= (uintptr_t)base + ar->head->n)
        return NULL;
    size_t at = (size_t)(ar->last - base);
    if (((at + a.n + 15) & ~(size_t)15) != ar->head->used || n > ar->head->n - at)
        return NULL;
    size_t used = (at + n + 15) & ~(size_t)15;
    ar->head->used = used > ar->head->n ? ar->head->n : used;
    return (char *)(ar->head + 1) + at;
}

/* Repeated appending costs what is appended. */
static int concat(tp *s, aios__tp_val a, aios__tp_val b, aios__tp_val *out)
{
    uint8_t markup = a.sub | b.sub;
    if (markup) {
        TP_TRY(aios__tp_escape(s, a, &a));
        TP_TRY(aios__tp_escape(s, b, &b));
    }
    size_t n = (size_t)a.n + b.n;
    TP_TRY(aios__tp_burn_bytes(s, n));
    if (!b.n || !a.n) {
        *out = a.n ? a : b;
    } else {
        char *p = extend(s, a, n);
        if (!p) {
            p = aios__tp_alloc(s, n);
            if (!p)
                return s->rc;
            memcpy(p, a.u.s, a.n);
        }
        memcpy(p + a.n, b.u.s, b.n);
        *out = aios__tp_str(p, n);
        s->arena->last = p;
        s->arena->last_n = n;
    }
    out->sub = markup;
    return 0;
}

static int concat_lists(tp *s, aios__tp_val a, aios__tp_val b, aios__tp_val *out)
{
    aios__tp_val l;
    TP_TRY(aios__tp_list_load(s, a.u.l));
    TP_TRY(aios__tp_list_load(s, b.u.l));
    TP_TRY(aios__tp_list_new(s, a.t, a.u.l->n + b.u.l->n, &l));
    for (uint32_t i = 0; i < a.u.l->n; i++)
        TP_TRY(aios__tp_list_add(s, l.u.l, a.u.l->v[i]));
    for (uint32_t i = 0; i < b.u.l->n; i++)
        TP_TRY(aios__tp_list_add(s, l.u.l, b.u.l->v[i]));
    *out = l;
    return 0;
}

static int repeat(tp *s, aios__tp_val v, int64_t times, aios__tp_val *out)
{
    int64_t unit = v.n;
    if (v.t != T_STR) {
        TP_TRY(aios__tp_list_load(s, v.u.l));
        unit = v.u.l->n;
    }
    if (times < 0 || !unit)
        times = 0;
    if (times && times > (int64_t)(s->arena->max / (v.t == T_STR ? 1 : sizeof(aios__tp_val))) / unit)
        return aios__tp_limit(s, "repeated %" PRId64 " times, it is larger than the %zu bytes allowed", times, s->arena->max);
    if (v.t == T_STR) {
        TP_TRY(aios__tp_burn_bytes(s, (uint64_t)(unit * times)));
        char *p = aios__tp_alloc(s, (size_t)(unit * times) + 1);
        if (!p)
            return s->rc;
        for (int64_t i = 0; i < times; i++)
            memcpy(p + i * unit, v.u.s, (size_t)unit);
        *out = aios__tp_str(p, (size_t)(unit * times));
        return aios__tp_burn(s, (uint64_t)times / 8);
    }
    aios__tp_val l;
    TP_TRY(aios__tp_burn(s, (uint64_t)(unit * times)));
    TP_TRY(aios__tp_list_new(s, v.t, (uint32_t)(unit * times), &l));
    for (int64_t i = 0; i < times * unit; i++)
        TP_TRY(aios__tp_list_add(s, l.u.l, v.u.l->v[i % unit]));
    *out = l;
    return 0;
}

int aios__tp_math(tp *s, uint8_t op, aios__tp_val a, aios__tp_val b, aios__tp_val *out)
{
    static const char *const names[] = {"", "+", "-", "*", "/", "//", "%", "**"};
    const uint32_t seq = TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE);
    if (op == OP_MOD && a.t == T_STR)
        return aios__tp_percent(s, a, b, out);
    if (a.t == T_UNDEF || b.t == T_UNDEF)
        return aios__tp_undefined(s, a.t == T_UNDEF ? a : b);
    if (aios__tp_integral(a) && aios__tp_integral(b) && op != OP_DIV && !(op == OP_POW && b.u.i < 0))
        return math_int(s, op, a.u.i, b.u.i, out);
    if (aios__tp_numeric(a) && aios__tp_numeric(b))
        return math_real(s, op, aios__tp_num(a), aios__tp_num(b), out);
    if (op == OP_ADD && a.t == T_STR && b.t == T_STR)
        return concat(s, a, b, out);
    if (op == OP_ADD && a.t == b.t && aios__tp_is(a, seq))
        return concat_lists(s, a, b, out);
    if (op == OP_MUL && aios__tp_is(a, seq) && aios__tp_integral(b))
        return repeat(s, a, b.u.i, out);
    if (op == OP_MUL && aios__tp_is(b, seq) && aios__tp_integral(a))
        return repeat(s, b, a.u.i, out);
    return aios__tp_fail(s, "unsupported operand type(s) for %s: '%s' and '%s'", names[op], aios__tp_type(a), aios__tp_type(b));
}

int aios__tp_unary(tp *s, uint8_t k, aios__tp_val a, aios__tp_val *out)
{
    if (a.t == T_UNDEF)
        return aios__tp_undefined(s, a);
    if (!aios__tp_numeric(a))
        return aios__tp_fail(s, "bad operand type for unary %c: '%s'", k == N_NEG ? '-' : '+', aios__tp_type(a));
    if (a.t == T_REAL) {
        *out = aios__tp_real(k == N_NEG ? -a.u.d : a.u.d);
        return 0;
    }
    return math_int(s, k == N_NEG ? OP_SUB : OP_ADD, 0, a.u.i, out);
}

static int bind_method(tp *s, aios__tp_val obj, const aios__tp_fn *fn, aios__tp_val name, aios__tp_val *out)
{
    if (!fn->fn) {
        aios__buf b;
        aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, 4096);
        int rc = aios__tp_buf_rc(s, aios__buf_addf(&b, s->err, "access to attribute '%.*s' of '%s' object is unsafe.", (int)name.n, name.u.s, aios__tp_type(obj)));
        if (!rc)
            rc = aios__tp_buf_val(s, &b, out);
        aios__buf_free(&b);
        if (!rc)
            *out = aios__tp_undef(UNDEF_HINT, out->u.s, out->n);
        return rc;
    }
    aios__tp_bound *b = aios__tp_alloc(s, sizeof *b);
    if (!b)
        return s->rc;
    *b = (aios__tp_bound){obj, fn};
    *out = (aios__tp_val){.t = T_METHOD, .u.bound = b};
    return 0;
}

static int native_attr(tp *s, aios__tp_val obj, aios__tp_val name, aios__tp_val *out, bool *found)
{
    const aios__tp_fn *fn = aios__tp_method_find(obj, name.u.s, name.n);
    *found = true;
    if (fn)
        return bind_method(s, obj, fn, name, out);
    if (obj.t == T_LOOP) {
        TP_TRY(aios__tp_loop_attr(s, obj.u.loop, name, out));
        *found = out->t != T_ABSENT;
        return 0;
    }
    if (obj.t == T_TUPLE && obj.u.l->group && name.n == 7 && !memcmp(name.u.s, "grouper", 7))
        *out = obj.u.l->v[0];
    else if (obj.t == T_TUPLE && obj.u.l->group && name.n == 4 && !memcmp(name.u.s, "list", 4))
        *out = obj.u.l->v[1];
    else if (obj.t == T_MACRO && name.n == 4 && !memcmp(name.u.s, "name", 4))
        *out = obj.u.macro->name;
    else if (obj.t == T_CYCLER && name.n == 7 && !memcmp(name.u.s, "current", 7))
        *out = obj.u.l->v[obj.u.l->pos % obj.u.l->n];
    else
        *found = false;
    return 0;
}

static int no_such(tp *s, aios__tp_val obj, aios__tp_val key, aios__tp_val *out)
{
    if (key.t == T_STR) {
        *out = aios__tp_undef((uint8_t)(UNDEF_ATTR + obj.t), key.u.s, key.n);
        return 0;
    }
    aios__tp_val k;
    TP_TRY(aios__tp_repr(s, key, &k));
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, 4096);
    int rc = aios__tp_buf_rc(s, aios__buf_addf(&b, s->err, "%s object has no element %.*s", aios__tp_type(obj), k.n < 200 ? (int)k.n : 200, k.u.s));
    if (!rc)
        rc = aios__tp_buf_val(s, &b, &k);
    aios__buf_free(&b);
    if (!rc)
        *out = aios__tp_undef(UNDEF_HINT, k.u.s, k.n);
    return rc;
}

int aios__tp_attr(tp *s, aios__tp_val obj, aios__tp_val name, aios__tp_val *out)
{
    bool found;
    aios__tp_val *v;
    if (obj.t == T_UNDEF)
        return aios__tp_undefined(s, obj);
    TP_TRY(native_attr(s, obj, name, out, &found));
    if (found)
        return 0;
    if (aios__tp_is(obj, TBIT(T_DICT) | TBIT(T_NS))) {
        TP_TRY(aios__tp_dict_find(s, obj.u.m, name, &v));
        if (v) {
            *out = *v;
            return 0;
        }
    }
    return no_such(s, obj, name, out);
}

static int index_of(tp *s, aios__tp_val obj, int64_t i, aios__tp_val *out, bool *found)
{
    int64_t n;
    TP_TRY(aios__tp_len(s, obj, &n));
    if (i < 0)
        i += n;
    *found = i >= 0 && i < n;
    if (!*found)
        return 0;
    if (obj.t == T_STR) {
        size_t from = aios__tp_utf8_off(obj.u.s, obj.n, (size_t)i);
        *out = aios__tp_str(obj.u.s + from, aios__tp_utf8_off(obj.u.s + from, obj.n - from, 1));
    } else if (obj.t == T_RANGE) {
        *out = aios__tp_int(obj.u.r->start + i * obj.u.r->step);
    } else {
        *out = obj.u.l->v[i];
    }
    return 0;
}

int aios__tp_item(tp *s, aios__tp_val obj, aios__tp_val key, aios__tp_val *out)
{
    bool found = false;
    if (obj.t == T_UNDEF)
        return aios__tp_undefined(s, obj);
    if (obj.t == T_DICT && !aios__tp_is(key, TBIT(T_LIST) | TBIT(T_DICT))) {
        aios__tp_val *v;
        TP_TRY(aios__tp_dict_find(s, obj.u.m, key, &v));
        if (v) {
            *out = *v;
            return 0;
        }
    } else if (aios__tp_is(obj, TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_RANGE)) && aios__tp_integral(key)) {
        TP_TRY(index_of(s, obj, key.u.i, out, &found));
    } else if (obj.t == T_NS && key.t == T_STR) {
        return aios__tp_attr(s, obj, key, out);
    }
    if (!found && key.t == T_STR)
        TP_TRY(native_attr(s, obj, key, out, &found));
    return found ? 0 : no_such(s, obj, key, out);
}

static int slice_part(tp *s, aios__tp_val v, int64_t dflt, int64_t *out)
{
    if (v.t == T_NONE) {
        *out = dflt;
        return 0;
    }
    if (v.t == T_UNDEF)
        return aios__tp_undefined(s, v);
    if (!aios__tp_integral(v))
        return aios__tp_fail(s, "slice indices must be integers or None, not %s", aios__tp_type(v));
    *out = v.u.i;
    return 0;
}

static int64_t clamp(int64_t i, int64_t n, bool back)
{
    if (i < 0) {
        i = i < -n ? -1 : i + n;
        return i < 0 ? (back ? -1 : 0) : i;
    }
    return i >= n ? (back ? n - 1 : n) : i;
}

static int slice_str(tp *s, aios__tp_val obj, int64_t from, int64_t count, int64_t step, aios__tp_val *out)
{
    if (step == 1) {
        size_t a = aios__tp_utf8_off(obj.u.s, obj.n, (size_t)from), b = aios__tp_utf8_off(obj.u.s + a, obj.n - a, (size_t)count);
        *out = aios__tp_str(obj.u.s + a, b);
        return 0;
    }
    aios__tp_val *items;
    uint32_t n, len = 0;
    TP_TRY(aios__tp_items(s, obj, &items, &n));
    char *p = aios__tp_alloc(s, (size_t)obj.n + 1);
    if (!p)
        return s->rc;
    for (int64_t i = 0; i < count; i++) {
        aios__tp_val c = items[from + i * step];
        memcpy(p + len, c.u.s, c.n);
        len += c.n;
    }
    *out = aios__tp_str(p, len);
    return 0;
}

int aios__tp_slice(tp *s, aios__tp_val obj, aios__tp_val a, aios__tp_val b, aios__tp_val step_v, aios__tp_val *out)
{
    int64_t step = 1, n, from = 0, to = 0;
    if (obj.t == T_UNDEF)
        return aios__tp_undefined(s, obj);
    if (!aios__tp_is(obj, TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_RANGE)))
        return aios__tp_fail(s, "'%s' object cannot be sliced", aios__tp_type(obj));
    TP_TRY(slice_part(s, step_v, 1, &step));
    if (!step)
        return aios__tp_fail(s, "slice step cannot be zero");
    if (step > (int64_t)1 << 32 || step < -((int64_t)1 << 32))
        step = step < 0 ? -((int64_t)1 << 32) : (int64_t)1 << 32;
    TP_TRY(aios__tp_len(s, obj, &n));
    TP_TRY(slice_part(s, a, step < 0 ? INT64_MAX : 0, &from));
    TP_TRY(slice_part(s, b, step < 0 ? INT64_MIN : INT64_MAX, &to));
    from = clamp(from, n, step < 0);
    to = clamp(to, n, step < 0);
    int64_t count = step > 0 ? (to - from + step - 1) / step : (from - to - step - 1) / -step;
    if (count < 0)
        count = 0;
    if (obj.t == T_STR)
        return slice_str(s, obj, from, count, step, out);
    if (obj.t == T_RANGE) {
        const aios__tp_range *r = obj.u.r;
        aios__tp_range *q = aios__tp_alloc(s, sizeof *q);
        if (!q)
            return s->rc;
        *q = (aios__tp_range){.start = r->start + from * r->step, .stop = r->start + to * r->step, .step = r->step * step, .n = count};
        *out = (aios__tp_val){.t = T_RANGE, .u.r = q};
        return 0;
    }
    aios__tp_val l;
    TP_TRY(aios__tp_list_new(s, obj.t, (uint32_t)count, &l));
    for (int64_t i = 0; i < count; i++)
        TP_TRY(aios__tp_list_add(s, l.u.l, obj.u.l->v[from + i * step]));
    *out = l;
    return 0;
}
