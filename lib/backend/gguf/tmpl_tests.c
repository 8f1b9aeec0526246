/* SPDX-License-Identifier: Apache-2.0 */
/* What may follow `is`. */
#include "backend/gguf/tmpl_priv.h"

/* arg: the types that pass */
static int t_type(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)s;
    *out = aios__tp_bool(aios__tp_is(c->self, c->fn->arg));
    return 0;
}

static int t_truth(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)s;
    *out = aios__tp_bool(c->self.t == T_BOOL && c->self.u.i == (int64_t)c->fn->arg);
    return 0;
}

static int t_compare(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    bool yes;
    TP_TRY(aios__tp_compare(s, (uint8_t)c->fn->arg, c->self, c->a[0], &yes));
    *out = aios__tp_bool(yes);
    return 0;
}

/* arg: the remainder by two; 2: by the argument, 0 */
static int t_modulo(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val r, by = c->fn->arg == 2 ? c->a[0] : aios__tp_int(2);
    bool yes;
    TP_TRY(aios__tp_math(s, OP_MOD, c->self, by, &r));
    TP_TRY(aios__tp_equal(s, r, aios__tp_int(c->fn->arg & 1), &yes));
    *out = aios__tp_bool(yes);
    return 0;
}

static int t_case(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_args none = {0};
    aios__tp_val v;
    TP_TRY(aios__tp_to_str(s, c->self, &v));
    const char *name = c->fn->arg ? "isupper" : "islower";
    return aios__tp_call_fn(s, aios__tp_method_find(v, name, 7), v, &none, out);
}

static int t_sameas(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    aios__tp_val a = c->self, b = c->a[0];
    bool same = a.t == b.t && (a.t == T_NONE || (a.t == T_STR ? a.n == b.n && a.u.s == b.u.s : a.u.i == b.u.i));
    (void)s;
    *out = aios__tp_bool(same);
    return 0;
}

static int t_named(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)s;
    const char *p = c->self.u.s;
    *out = aios__tp_bool(c->self.t == T_STR && c->self.n && (c->fn->arg ? aios__tp_test_find(p, c->self.n) : aios__tp_filter_find(p, c->self.n)));
    return 0;
}

static int t_escaped(tp *s, aios__tp_call *c, aios__tp_val *out)
{
    (void)s;
    *out = aios__tp_bool(c->self.t == T_STR && c->self.sub);
    return 0;
}

#define CALLABLE (TBIT(T_MACRO) | TBIT(T_FUNC) | TBIT(T_METHOD) | TBIT(T_LOOP) | TBIT(T_JOINER) | TBIT(T_UNDEF))
#define SEQUENCE (TBIT(T_UNDEF) | TBIT(T_STR) | TBIT(T_LIST) | TBIT(T_TUPLE) | TBIT(T_DICT) | TBIT(T_RANGE))
#define ITERABLE (SEQUENCE | TBIT(T_VIEW) | TBIT(T_GEN) | TBIT(T_LOOP))

static const aios__tp_fn table[] = {
    {"defined", t_type, 0, "", ~TBIT(T_UNDEF)}, {"undefined", t_type, 0, "", TBIT(T_UNDEF)}, {"none", t_type, 0, "", TBIT(T_NONE)},
    {"string", t_type, 0, "", TBIT(T_STR)}, {"mapping", t_type, 0, "", TBIT(T_DICT)}, {"sequence", t_type, 0, "", SEQUENCE},
    {"iterable", t_type, 0, "", ITERABLE}, {"number", t_type, 0, "", TBIT(T_INT) | TBIT(T_REAL) | TBIT(T_BOOL)},
    {"integer", t_type, 0, "", TBIT(T_INT)}, {"float", t_type, 0, "", TBIT(T_REAL)}, {"boolean", t_type, 0, "", TBIT(T_BOOL)},
    {"callable", t_type, 0, "", CALLABLE}, {"true", t_truth, 0, "", 1}, {"false", t_truth, 0, "", 0},
    {"odd", t_modulo, 0, "", 1}, {"even", t_modulo, 0, "", 0}, {"divisibleby", t_modulo, 1, "num", 2},
    {"lower", t_case, 0, "", 0}, {"upper", t_case, 0, "", 1}, {"sameas", t_sameas, 1, "other", 0},
    {"filter", t_named, 0, "", 0}, {"test", t_named, 0, "", 1}, {"escaped", t_escaped, 0, "", 0},
    {"in", t_compare, 1, "seq", OP_IN}, {"eq", t_compare, 1, "|b", OP_EQ}, {"equalto", t_compare, 1, "|b", OP_EQ},
    {"==", t_compare, 1, "|b", OP_EQ}, {"ne", t_compare, 1, "|b", OP_NE}, {"!=", t_compare, 1, "|b", OP_NE},
    {"gt", t_compare, 1, "|b", OP_GT}, {"greaterthan", t_compare, 1, "|b", OP_GT}, {">", t_compare, 1, "|b", OP_GT},
    {"ge", t_compare, 1, "|b", OP_GE}, {">=", t_compare, 1, "|b", OP_GE}, {"lt", t_compare, 1, "|b", OP_LT},
    {"lessthan", t_compare, 1, "|b", OP_LT}, {"<", t_compare, 1, "|b", OP_LT}, {"le", t_compare, 1, "|b", OP_LE},
    {"<=", t_compare, 1, "|b", OP_LE},
};

const aios__tp_fn *aios__tp_test_find(const char *p, size_t n)
{
    return n ? aios__tp_table_find(table, AIOS__ARRAY_LEN(table), p, n) : NULL;
}
