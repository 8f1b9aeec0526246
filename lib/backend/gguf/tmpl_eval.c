/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions to values. Nesting is counted, so the C stack is bounded whatever the template says. */
#include "backend/gguf/tmpl_priv.h"

int aios__tp_enter(tp *s)
{
    if (++s->depth > s->max_depth) {
        s->depth--;
        return aios__tp_limit(s, "calls and expressions are nested deeper than %u", s->max_depth);
    }
    int rc = aios__tp_burn(s, 1);
    if (rc)
        s->depth--;
    return rc;
}

void aios__tp_leave(tp *s)
{
    s->depth--;
}

static int eval_global(tp *s, uint32_t sym, aios__tp_val *out)
{
    if (s->globals[sym].t == T_ABSENT) {
        const aios__tp_sym *y = &s->t->syms[sym];
        char key[256];
        const aios__json *j = NULL;
        if (y->n < sizeof key) {
            memcpy(key, y->s, y->n);
            key[y->n] = 0;
            j = aios__json_get(s->vars, key);
        }
        const aios__tp_fn *fn = j ? NULL : aios__tp_global_find(y->s, y->n);
        int rc = 0;
        aios__tp_val v = j ? aios__tp_from_json(s, j, &rc) : fn ? (aios__tp_val){.t = T_FUNC, .u.fn = fn} : aios__tp_undef(UNDEF_NAME, y->s, y->n);
        if (rc)
            return rc;
        s->globals[sym] = v;
    }
    *out = s->globals[sym];
    return 0;
}

static int eval_name(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    for (const aios__tp_scope *c = s->scope; c; c = c->parent)
        for (uint32_t i = c->n; i--;)
            if (c->v[i].sym == n->sym) {
                *out = c->v[i].v;
                return 0;
            }
    return eval_global(s, n->sym, out);
}

static int eval_sequence(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    TP_TRY(aios__tp_list_new(s, n->k == N_LIST ? T_LIST : T_TUPLE, 0, out));
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next) {
        aios__tp_val v;
        TP_TRY(aios__tp_eval(s, i, &v));
        TP_TRY(aios__tp_list_add(s, out->u.l, v));
    }
    return 0;
}

static int eval_dict(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    TP_TRY(aios__tp_dict_new(s, T_DICT, 0, out));
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next) {
        aios__tp_val k, v;
        TP_TRY(aios__tp_eval(s, s->t->nodes[i].a, &k));
        TP_TRY(aios__tp_eval(s, s->t->nodes[i].b, &v));
        TP_TRY(aios__tp_dict_set(s, out->u.m, k, v));
    }
    return 0;
}

static int eval_cond(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    static const char hint[] = "the inline if-expression evaluated to false and no else section was defined.";
    aios__tp_val test;
    bool yes;
    TP_TRY(aios__tp_eval(s, n->a, &test));
    TP_TRY(aios__tp_truth(s, test, &yes));
    if (yes || n->c)
        return aios__tp_eval(s, yes ? n->b : n->c, out);
    *out = aios__tp_undef(UNDEF_HINT, hint, sizeof hint - 1);
    return 0;
}

/* and, or: the first operand stands alone, the others are N_OPERAND. */
static int eval_logic(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next) {
        bool yes;
        TP_TRY(aios__tp_eval(s, i == n->a ? i : s->t->nodes[i].a, out));
        if (!s->t->nodes[i].next)
            break;
        TP_TRY(aios__tp_truth(s, *out, &yes));
        if (yes == (n->k == N_OR))
            break;
    }
    return 0;
}

static int eval_compare(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    aios__tp_val left, right;
    bool yes = true;
    TP_TRY(aios__tp_eval(s, n->a, &left));
    for (uint32_t i = s->t->nodes[n->a].next; i && yes; i = s->t->nodes[i].next) {
        TP_TRY(aios__tp_eval(s, s->t->nodes[i].a, &right));
        s->pos = n->pos;
        TP_TRY(aios__tp_compare(s, s->t->nodes[i].op, left, right, &yes));
        left = right;
    }
    *out = aios__tp_bool(yes);
    return 0;
}

static int eval_math(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    aios__tp_val right;
    TP_TRY(aios__tp_eval(s, n->a, out));
    for (uint32_t i = s->t->nodes[n->a].next; i; i = s->t->nodes[i].next) {
        TP_TRY(aios__tp_eval(s, s->t->nodes[i].a, &right));
        s->pos = s->t->nodes[i].pos;
        TP_TRY(aios__tp_math(s, s->t->nodes[i].op, *out, right, out));
    }
    return 0;
}

static int eval_concat(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    *out = aios__tp_str("", 0);
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next) {
        aios__tp_val v;
        TP_TRY(aios__tp_eval(s, i == n->a ? i : s->t->nodes[i].a, &v));
        TP_TRY(aios__tp_to_str(s, v, &v));
        v.sub = out->sub = 0;
        TP_TRY(aios__tp_math(s, OP_ADD, *out, v, out));
    }
    return 0;
}

static int eval_slice(tp *s, const aios__tp_node *n, aios__tp_val obj, aios__tp_val *out)
{
    aios__tp_val part[3] = {aios__tp_none(), aios__tp_none(), aios__tp_none()};
    const uint32_t at[3] = {n->a, n->b, n->c};
    for (int i = 0; i < 3; i++)
        if (at[i])
            TP_TRY(aios__tp_eval(s, at[i], &part[i]));
    s->pos = n->pos;
    return aios__tp_slice(s, obj, part[0], part[1], part[2], out);
}

static int eval_filter(tp *s, const aios__tp_node *n, aios__tp_val *v)
{
    aios__tp_args a = {0};
    if (!n->fn) {
        s->pos = n->pos;
        return aios__tp_fail(s, "no %s named '%.*s'", n->k == N_FILTER ? "filter" : "test", (int)n->v.n, n->v.u.s);
    }
    TP_TRY(aios__tp_call_args(s, n->a, &a));
    s->pos = n->pos;
    TP_TRY(aios__tp_call_fn(s, n->fn, *v, &a, v));
    if (n->k == N_TEST && n->op) {
        bool yes;
        TP_TRY(aios__tp_truth(s, *v, &yes));
        *v = aios__tp_bool(!yes);
    }
    return 0;
}

/* A value and what follows it: .name [item] (args) |filter is test. */
static int eval_link(tp *s, const aios__tp_node *n, aios__tp_val *v)
{
    aios__tp_val key;
    aios__tp_args a = {0};
    TP_TRY(aios__tp_burn(s, 1));
    switch (n->k) {
    case N_ATTR:
        s->pos = n->pos;
        return aios__tp_attr(s, *v, n->v, v);
    case N_ITEM:
        TP_TRY(aios__tp_eval(s, n->a, &key));
        s->pos = n->pos;
        return aios__tp_item(s, *v, key, v);
    case N_SLICE:
        return eval_slice(s, n, *v, v);
    case N_CALL:
        TP_TRY(aios__tp_call_args(s, n->a, &a));
        s->pos = n->pos;
        return aios__tp_call_value(s, *v, &a, v);
    default:
        return eval_filter(s, n, v);
    }
}

static int eval_chain(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    TP_TRY(aios__tp_eval(s, n->a, out));
    for (uint32_t i = s->t->nodes[n->a].next; i; i = s->t->nodes[i].next)
        TP_TRY(eval_link(s, &s->t->nodes[i], out));
    return 0;
}

static int eval_unary(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    bool yes;
    TP_TRY(aios__tp_eval(s, n->a, out));
    s->pos = n->pos;
    if (n->k != N_NOT)
        return aios__tp_unary(s, n->k, *out, out);
    TP_TRY(aios__tp_truth(s, *out, &yes));
    *out = aios__tp_bool(!yes);
    return 0;
}

static int eval_const(tp *s, const aios__tp_node *n, aios__tp_val *out)
{
    (void)s;
    *out = n->v;
    return 0;
}

typedef int eval_fn(tp *s, const aios__tp_node *n, aios__tp_val *out);
static eval_fn *const evals[] = {
    [N_CONST] = eval_const, [N_NAME] = eval_name, [N_LIST] = eval_sequence, [N_TUPLE] = eval_sequence, [N_DICT] = eval_dict,
    [N_COND] = eval_cond, [N_AND] = eval_logic, [N_OR] = eval_logic, [N_NOT] = eval_unary, [N_NEG] = eval_unary,
    [N_POS] = eval_unary, [N_COMPARE] = eval_compare, [N_MATH] = eval_math, [N_CONCAT] = eval_concat, [N_CHAIN] = eval_chain,
};

int aios__tp_eval(tp *s, uint32_t node, aios__tp_val *out)
{
    const aios__tp_node *n = &s->t->nodes[node];
    if (n->k >= AIOS__ARRAY_LEN(evals) || !evals[n->k])
        return aios__tp_fail(s, "this cannot be evaluated");
    TP_TRY(aios__tp_enter(s));
    s->pos = n->pos;
    int rc = evals[n->k](s, n, out);
    aios__tp_leave(s);
    return rc;
}
