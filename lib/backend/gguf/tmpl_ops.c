/* SPDX-License-Identifier: Apache-2.0 */
/* Operators, attributes, subscripts and slices. */
#include "backend/gguf/tmpl_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int too_big(tp *s)
{
    return tp_limit(s, "the integer does not fit in 64 bits");
}

static int pow_int(tp *s, int64_t a, int64_t b, tp_val *out)
{
    int64_t r = 1;
    if (a == 0 || a == 1 || a == -1) {
        *out = tp_int(b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a);
        return 0;
    }
    if (b > 63)
        return too_big(s);
    for (; b > 0; b--)
        if (__builtin_mul_overflow(r, a, &r))
            return too_big(s);
    *out = tp_int(r);
    return 0;
}

static int math_int(tp *s, uint8_t op, int64_t a, int64_t b, tp_val *out)
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
            return tp_fail(s, "division by zero");
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
    *out = tp_int(r);
    return 0;
}

static int math_real(tp *s, uint8_t op, double a, double b, tp_val *out)
{
    double r = 0, m, q;
    if (!b && (op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD))
        return tp_fail(s, "division by zero");
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
            return tp_fail(s, "0.0 cannot be raised to a negative power");
        if ((r != r && a == a && b == b) || (isinf(r) && isfinite(a) && isfinite(b)))
            return tp_fail(s, "the power has no value among the floats");
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
    *out = tp_real(r);
    return 0;
}

int tp_escape(tp *s, tp_val v, tp_val *out)
{
    static const struct { char c; const char *to; } map[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    TP_TRY(tp_to_str(s, v, &v));
    if (v.sub) {
        *out = v;
        return 0;
    }
    char *p = tp_alloc(s, (size_t)v.n * 5 + 1);
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
    *out = tp_str(p, n);
    out->sub = 1;
    return tp_burn_bytes(s, (uint64_t)v.n * 4);
}

/* A string that was just built grows in place, so that repeated appending costs what is appended. */
static int concat(tp *s, tp_val a, tp_val b, tp_val *out)
{
    tp_arena *ar = s->arena;
    uint8_t markup = a.sub | b.sub;
    size_t n = (size_t)a.n + b.n;
    if (markup) {
        TP_TRY(tp_escape(s, a, &a));
        TP_TRY(tp_escape(s, b, &b));
        n = (size_t)a.n + b.n;
    }
    TP_TRY(tp_burn_bytes(s, n));
    if (!b.n || !a.n) {
        *out = a.n ? a : b;
    } else if (a.u.s == ar->last && a.n == ar->last_n && (size_t)(ar->last - (char *)(ar->head + 1)) + n <= ar->head->n) {
        memcpy((char *)(uintptr_t)ar->last + a.n, b.u.s, b.n);
        size_t used = (size_t)(ar->last - (char *)(ar->head + 1)) + n;
        used = (used + 15) & ~(size_t)15;
        ar->head->used = used > ar->head->n ? ar->head->n : used;
        ar->last_n = n;
        *out = tp_str(a.u.s, n);
    } else {
        char *p = tp_alloc(s, n);
        if (!p)
            return s->rc;
        memcpy(p, a.u.s, a.n);
        memcpy(p + a.n, b.u.s, b.n);
        *out = tp_str(p, n);
        if (p >= (char *)(ar->head + 1) && p < (char *)(ar->head + 1) + ar->head->n) {
            ar->last = p;
            ar->last_n = n;
        }
    }
    out->sub = markup;
    return 0;
}

static int concat_lists(tp *s, tp_val a, tp_val b, tp_val *out)
{
    tp_val l;
    TP_TRY(tp_list_load(s, a.u.l));
    TP_TRY(tp_list_load(s, b.u.l));
    TP_TRY(tp_list_new(s, a.t, a.u.l->n + b.u.l->n, &l));
    for (uint32_t i = 0; i < a.u.l->n; i++)
        TP_TRY(tp_list_add(s, l.u.l, a.u.l->v[i]));
    for (uint32_t i = 0; i < b.u.l->n; i++)
        TP_TRY(tp_list_add(s, l.u.l, b.u.l->v[i]));
    *out = l;
    return 0;
}

static int repeat(tp *s, tp_val v, int64_t times, tp_val *out)
{
    int64_t unit = v.n;
    if (v.t != T_STR) {
        TP_TRY(tp_list_load(s, v.u.l));
        unit = v.u.l->n;
    }
    if (times < 0 || !unit)
        times = 0;
    if (times && times > (int64_t)(s->arena->max / (v.t == T_STR ? 1 : sizeof(tp_val))) / unit)
        return tp_limit(s, "repeated %" PRId64 " times, it is larger than the %zu bytes allowed", times, s->arena->max);
    if (v.t == T_STR) {
        TP_TRY(tp_burn_bytes(s, (uint64_t)(unit * times)));
        char *p = tp_alloc(s, (size_t)(unit * times) + 1);
        if (!p)
            return s->rc;
        for (int64_t i = 0; i < times; i++)
            memcpy(p + i * unit, v.u.s, (size_t)unit);
        *out = tp_str(p, (size_t)(unit * times));
        return tp_burn(s, (uint64_t)times / 8);
    }
    tp_val l;
    TP_TRY(tp_burn(s, (uint64_t)(unit * times)));
    TP_TRY(tp_list_new(s, v.t, (uint32_t)(unit * times), &l));
    for (int64_t i = 0; i < times * unit; i++)
        TP_TRY(tp_list_add(s, l.u.l, v.u.l->v[i % unit]));
    *out = l;
    return 0;
}

int tp_math(tp *s, uint8_t op, tp_val a, tp_val b, tp_val *out)
{
    static const char *const names[] = {"", "+", "-", "*", "/", "//", "%", "**"};
    const uint32_t seq = TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE);
    if (op == OP_MOD && a.t == T_STR)
        return tp_percent(s, a, b, out);
    if (a.t == T_UNDEF || b.t == T_UNDEF)
        return tp_undefined(s, a.t == T_UNDEF ? a : b);
    if (tp_integral(a) && tp_integral(b) && op != OP_DIV && !(op == OP_POW && b.u.i < 0))
        return math_int(s, op, a.u.i, b.u.i, out);
    if (tp_numeric(a) && tp_numeric(b))
        return math_real(s, op, tp_num(a), tp_num(b), out);
    if (op == OP_ADD && a.t == T_STR && b.t == T_STR)
        return concat(s, a, b, out);
    if (op == OP_ADD && a.t == b.t && tp_is(a, seq))
        return concat_lists(s, a, b, out);
    if (op == OP_MUL && tp_is(a, seq) && tp_integral(b))
        return repeat(s, a, b.u.i, out);
    if (op == OP_MUL && tp_is(b, seq) && tp_integral(a))
        return repeat(s, b, a.u.i, out);
    return tp_fail(s, "unsupported operand type(s) for %s: '%s' and '%s'", names[op], tp_type(a), tp_type(b));
}

int tp_unary(tp *s, uint8_t k, tp_val a, tp_val *out)
{
    if (a.t == T_UNDEF)
        return tp_undefined(s, a);
    if (!tp_numeric(a))
        return tp_fail(s, "bad operand type for unary %c: '%s'", k == N_NEG ? '-' : '+', tp_type(a));
    if (a.t == T_REAL) {
        *out = tp_real(k == N_NEG ? -a.u.d : a.u.d);
        return 0;
    }
    return math_int(s, k == N_NEG ? OP_SUB : OP_ADD, 0, a.u.i, out);
}

static int bind_method(tp *s, tp_val obj, const tp_fn *fn, tp_val name, tp_val *out)
{
    if (!fn->fn) {
        aios__buf b;
        aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, 4096);
        int rc = tp_buf_rc(s, aios__buf_addf(&b, s->err, "access to attribute '%.*s' of '%s' object is unsafe.", (int)name.n, name.u.s, tp_type(obj)));
        if (!rc)
            rc = tp_buf_val(s, &b, out);
        aios__buf_free(&b);
        if (!rc)
            *out = tp_undef(UNDEF_HINT, out->u.s, out->n);
        return rc;
    }
    tp_bound *b = tp_alloc(s, sizeof *b);
    if (!b)
        return s->rc;
    *b = (tp_bound){obj, fn};
    *out = (tp_val){.t = T_METHOD, .u.bound = b};
    return 0;
}

static int native_attr(tp *s, tp_val obj, tp_val name, tp_val *out, bool *found)
{
    const tp_fn *fn = tp_method_find(obj, name.u.s, name.n);
    *found = true;
    if (fn)
        return bind_method(s, obj, fn, name, out);
    if (obj.t == T_LOOP) {
        TP_TRY(tp_loop_attr(s, obj.u.loop, name, out));
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

static int no_such(tp *s, tp_val obj, tp_val key, tp_val *out)
{
    if (key.t == T_STR) {
        *out = tp_undef((uint8_t)(UNDEF_ATTR + obj.t), key.u.s, key.n);
        return 0;
    }
    tp_val k;
    TP_TRY(tp_repr(s, key, &k));
    aios__buf b;
    aios__buf_init(&b, s->arena->heap, AIOS_MEM_TEXT, 4096);
    int rc = tp_buf_rc(s, aios__buf_addf(&b, s->err, "%s object has no element %.*s", tp_type(obj), k.n < 200 ? (int)k.n : 200, k.u.s));
    if (!rc)
        rc = tp_buf_val(s, &b, &k);
    aios__buf_free(&b);
    if (!rc)
        *out = tp_undef(UNDEF_HINT, k.u.s, k.n);
    return rc;
}

int tp_attr(tp *s, tp_val obj, tp_val name, tp_val *out)
{
    bool found;
    tp_val *v;
    if (obj.t == T_UNDEF)
        return tp_undefined(s, obj);
    TP_TRY(native_attr(s, obj, name, out, &found));
    if (found)
        return 0;
    if (tp_is(obj, TBIT(T_DICT) | TBIT(T_NS))) {
        TP_TRY(tp_dict_find(s, obj.u.m, name, &v));
        if (v) {
            *out = *v;
            return 0;
        }
    }
    return no_such(s, obj, name, out);
}

static int index_of(tp *s, tp_val obj, int64_t i, tp_val *out, bool *found)
{
    int64_t n;
    TP_TRY(tp_len(s, obj, &n));
    if (i < 0)
        i += n;
    *found = i >= 0 && i < n;
    if (!*found)
        return 0;
    if (obj.t == T_STR) {
        size_t from = tp_utf8_off(obj.u.s, obj.n, (size_t)i);
        *out = tp_str(obj.u.s + from, tp_utf8_off(obj.u.s + from, obj.n - from, 1));
    } else if (obj.t == T_RANGE) {
        *out = tp_int(obj.u.r->start + i * obj.u.r->step);
    } else {
        *out = obj.u.l->v[i];
    }
    return 0;
}

int tp_item(tp *s, tp_val obj, tp_val key, tp_val *out)
{
    bool found = false;
    if (obj.t == T_UNDEF)
        return tp_undefined(s, obj);
    if (obj.t == T_DICT && !tp_is(key, TBIT(T_LIST) | TBIT(T_DICT))) {
        tp_val *v;
        TP_TRY(tp_dict_find(s, obj.u.m, key, &v));
        if (v) {
            *out = *v;
            return 0;
        }
    } else if (tp_is(obj, TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_RANGE)) && tp_integral(key)) {
        TP_TRY(index_of(s, obj, key.u.i, out, &found));
    } else if (obj.t == T_NS && key.t == T_STR) {
        return tp_attr(s, obj, key, out);
    }
    if (!found && key.t == T_STR)
        TP_TRY(native_attr(s, obj, key, out, &found));
    return found ? 0 : no_such(s, obj, key, out);
}

static int slice_part(tp *s, tp_val v, int64_t dflt, int64_t *out)
{
    if (v.t == T_NONE) {
        *out = dflt;
        return 0;
    }
    if (v.t == T_UNDEF)
        return tp_undefined(s, v);
    if (!tp_integral(v))
        return tp_fail(s, "slice indices must be integers or None, not %s", tp_type(v));
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

static int slice_str(tp *s, tp_val obj, int64_t from, int64_t count, int64_t step, tp_val *out)
{
    if (step == 1) {
        size_t a = tp_utf8_off(obj.u.s, obj.n, (size_t)from), b = tp_utf8_off(obj.u.s + a, obj.n - a, (size_t)count);
        *out = tp_str(obj.u.s + a, b);
        return 0;
    }
    tp_val *items;
    uint32_t n, len = 0;
    TP_TRY(tp_items(s, obj, &items, &n));
    char *p = tp_alloc(s, (size_t)obj.n + 1);
    if (!p)
        return s->rc;
    for (int64_t i = 0; i < count; i++) {
        tp_val c = items[from + i * step];
        memcpy(p + len, c.u.s, c.n);
        len += c.n;
    }
    *out = tp_str(p, len);
    return 0;
}

int tp_slice(tp *s, tp_val obj, tp_val a, tp_val b, tp_val step_v, tp_val *out)
{
    int64_t step, n, from, to;
    if (obj.t == T_UNDEF)
        return tp_undefined(s, obj);
    if (!tp_is(obj, TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_RANGE)))
        return tp_fail(s, "'%s' object cannot be sliced", tp_type(obj));
    TP_TRY(slice_part(s, step_v, 1, &step));
    if (!step)
        return tp_fail(s, "slice step cannot be zero");
    if (step > (int64_t)1 << 32 || step < -((int64_t)1 << 32))
        step = step < 0 ? -((int64_t)1 << 32) : (int64_t)1 << 32;
    TP_TRY(tp_len(s, obj, &n));
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
        const tp_range *r = obj.u.r;
        tp_range *q = tp_alloc(s, sizeof *q);
        if (!q)
            return s->rc;
        *q = (tp_range){.start = r->start + from * r->step, .stop = r->start + to * r->step, .step = r->step * step, .n = count};
        *out = (tp_val){.t = T_RANGE, .u.r = q};
        return 0;
    }
    tp_val l;
    TP_TRY(tp_list_new(s, obj.t, (uint32_t)count, &l));
    for (int64_t i = 0; i < count; i++)
        TP_TRY(tp_list_add(s, l.u.l, obj.u.l->v[from + i * step]));
    *out = l;
    return 0;
}
