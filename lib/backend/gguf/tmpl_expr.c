/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions. Operators of one level become a flat list of operands, so that long chains nest no deeper than short ones. */
#include "backend/gguf/tmpl_parse.h"

static int parse_unary(aios__tp_parser *p, bool filters, uint32_t *out);
static int parse_primary(aios__tp_parser *p, bool ns, uint32_t *out);
static int parse_postfix(aios__tp_parser *p, bool filters, uint32_t *out);

typedef int level_fn(aios__tp_parser *p, uint32_t *out);
typedef uint8_t match_fn(aios__tp_parser *p);

/* left (op right)*, as one node with the operands as a list. */
static int parse_level(aios__tp_parser *p, uint8_t k, level_fn *next, match_fn *match, uint32_t *out)
{
    uint32_t left;
    TP_TRY(next(p, &left));
    *out = left;
    uint8_t op = match(p);
    if (!op)
        return 0;
    aios__tp_kids kids = {0};
    aios__tp_kids_add(p, &kids, left);
    TP_TRY(aios__tp_node_new(p, k, out));
    for (; op; op = match(p)) {
        uint32_t right, operand;
        TP_TRY(aios__tp_node_new(p, N_OPERAND, &operand));
        TP_TRY(next(p, &right));
        aios__tp_at(p, operand)->op = op;
        aios__tp_at(p, operand)->a = right;
        aios__tp_kids_add(p, &kids, operand);
    }
    aios__tp_at(p, *out)->a = kids.first;
    return 0;
}

static uint8_t match_ops(aios__tp_parser *p, const uint16_t (*ops)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (aios__tp_skip_op(p, ops[i][0]))
            return (uint8_t)ops[i][1];
    return 0;
}

static uint8_t match_pow(aios__tp_parser *p)
{
    return aios__tp_skip_op(p, OP2('*', '*')) ? OP_POW : 0;
}
static uint8_t match_mul(aios__tp_parser *p)
{
    static const uint16_t ops[][2] = {{OP1('*'), OP_MUL}, {OP1('/'), OP_DIV}, {OP2('/', '/'), OP_FLOORDIV}, {OP1('%'), OP_MOD}};
    return match_ops(p, ops, 4);
}
static uint8_t match_tilde(aios__tp_parser *p)
{
    return aios__tp_skip_op(p, OP1('~'));
}
static uint8_t match_add(aios__tp_parser *p)
{
    static const uint16_t ops[][2] = {{OP1('+'), OP_ADD}, {OP1('-'), OP_SUB}};
    return match_ops(p, ops, 2);
}
static uint8_t match_compare(aios__tp_parser *p)
{
    static const uint16_t ops[][2] = {{OP2('=', '='), OP_EQ}, {OP2('!', '='), OP_NE}, {OP1('<'), OP_LT},
                                      {OP2('<', '='), OP_LE}, {OP1('>'), OP_GT},      {OP2('>', '='), OP_GE}};
    uint8_t op = match_ops(p, ops, 6);
    if (op)
        return op;
    if (aios__tp_skip_name(p, "in"))
        return OP_IN;
    if (aios__tp_is_name(aios__tp_cur(p), "not") && aios__tp_is_name(aios__tp_cur(p) + 1, "in")) {
        p->i += 2;
        return OP_NOTIN;
    }
    return 0;
}
static uint8_t match_and(aios__tp_parser *p)
{
    return aios__tp_skip_name(p, "and");
}
static uint8_t match_or(aios__tp_parser *p)
{
    return aios__tp_skip_name(p, "or");
}

static int level_unary(aios__tp_parser *p, uint32_t *out)
{
    return parse_unary(p, true, out);
}
static int level_pow(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_MATH, level_unary, match_pow, out);
}
static int level_mul(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_MATH, level_pow, match_mul, out);
}
static int level_concat(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_CONCAT, level_mul, match_tilde, out);
}
static int level_add(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_MATH, level_concat, match_add, out);
}
static int level_compare(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_COMPARE, level_add, match_compare, out);
}

static int level_not(aios__tp_parser *p, uint32_t *out)
{
    uint32_t nots = 0, node;
    while (aios__tp_skip_name(p, "not"))
        nots++;
    TP_TRY(level_compare(p, out));
    if (!nots)
        return 0;
    /* Any even number above zero is a conversion to bool. */
    for (uint32_t k = 0; k < 2 - nots % 2; k++) {
        TP_TRY(aios__tp_node_new(p, N_NOT, &node));
        aios__tp_at(p, node)->a = *out;
        *out = node;
    }
    return 0;
}
static int level_and(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_AND, level_not, match_and, out);
}
static int level_or(aios__tp_parser *p, uint32_t *out)
{
    return parse_level(p, N_OR, level_and, match_or, out);
}

static int parse_cond(aios__tp_parser *p, uint32_t *out)
{
    TP_TRY(level_or(p, out));
    while (aios__tp_skip_name(p, "if")) {
        uint32_t node, test, other = 0;
        TP_TRY(aios__tp_node_new(p, N_COND, &node));
        TP_TRY(level_or(p, &test));
        if (aios__tp_skip_name(p, "else"))
            TP_TRY(aios__tp_parse_expr(p, true, &other));
        aios__tp_at(p, node)->a = test;
        aios__tp_at(p, node)->b = *out;
        aios__tp_at(p, node)->c = other;
        *out = node;
    }
    return 0;
}

int aios__tp_parse_expr(aios__tp_parser *p, bool cond, uint32_t *out)
{
    TP_TRY(aios__tp_deeper(p));
    int rc = cond ? parse_cond(p, out) : level_or(p, out);
    p->depth--;
    return rc;
}

static bool tuple_end(aios__tp_parser *p, const char *end_name)
{
    uint8_t k = aios__tp_cur(p)->k;
    return k == K_VAR_END || k == K_BLOCK_END || aios__tp_is_op(p, OP1(')')) || (end_name && aios__tp_is_name(aios__tp_cur(p), end_name));
}

/* kind: 0 expressions without a condition, 1 with, 2 targets, 3 targets with namespaces. */
static int parse_items(aios__tp_parser *p, int kind, const char *end_name, bool parens, uint32_t *out)
{
    aios__tp_kids kids = {0};
    bool tuple = false;
    uint32_t node = 0;
    for (;;) {
        if (tuple_end(p, end_name))
            break;
        if (kind >= 2)
            TP_TRY(parse_primary(p, kind == 3, &node));
        else
            TP_TRY(aios__tp_parse_expr(p, kind == 1, &node));
        aios__tp_kids_add(p, &kids, node);
        if (!aios__tp_skip_op(p, OP1(',')))
            break;
        tuple = true;
    }
    if (!tuple && kids.first) {
        *out = kids.first;
        return 0;
    }
    if (!tuple && !parens)
        return aios__tp_parse_fail(p, "expected an expression");
    TP_TRY(aios__tp_node_new(p, N_TUPLE, out));
    aios__tp_at(p, *out)->a = kids.first;
    return 0;
}

int aios__tp_parse_tuple(aios__tp_parser *p, bool cond, const char *end_name, bool parens, uint32_t *out)
{
    return parse_items(p, cond, end_name, parens, out);
}

static int check_target(aios__tp_parser *p, uint32_t node, uint32_t depth)
{
    aios__tp_node *n = aios__tp_at(p, node);
    if (n->k == N_NAME || n->k == N_NSREF) {
        n->op = n->k == N_NAME; /* written, not read */
        return 0;
    }
    if (n->k != N_TUPLE || depth > 16)
        return aios__tp_parse_fail(p, "cannot assign to this");
    for (uint32_t i = n->a; i; i = aios__tp_at(p, i)->next)
        TP_TRY(check_target(p, i, depth + 1));
    return 0;
}

int aios__tp_parse_target(aios__tp_parser *p, bool ns, const char *end_name, uint32_t *out)
{
    TP_TRY(parse_items(p, ns ? 3 : 2, end_name, false, out));
    return check_target(p, *out, 0);
}

static int parse_brackets(aios__tp_parser *p, bool dict, uint32_t *out)
{
    uint16_t close = dict ? OP1('}') : OP1(']');
    aios__tp_kids kids = {0};
    TP_TRY(aios__tp_node_new(p, dict ? N_DICT : N_LIST, out));
    aios__tp_next(p);
    while (!aios__tp_is_op(p, close)) {
        uint32_t item, pair;
        if (kids.first) {
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
            if (aios__tp_is_op(p, close))
                break;
        }
        TP_TRY(aios__tp_parse_expr(p, true, &item));
        if (dict) {
            TP_TRY(aios__tp_node_new(p, N_PAIR, &pair));
            aios__tp_at(p, pair)->a = item;
            TP_TRY(aios__tp_expect_op(p, OP1(':')));
            TP_TRY(aios__tp_parse_expr(p, true, &item));
            aios__tp_at(p, pair)->b = item;
            item = pair;
        }
        aios__tp_kids_add(p, &kids, item);
    }
    aios__tp_at(p, *out)->a = kids.first;
    aios__tp_next(p);
    return 0;
}

static int parse_strings(aios__tp_parser *p, uint32_t *out)
{
    TP_TRY(aios__tp_node_new(p, N_CONST, out));
    aios__tp_val v = aios__tp_cur(p)->v;
    aios__tp_next(p);
    while (aios__tp_cur(p)->k == K_STRING) {
        aios__tp_val w = aios__tp_cur(p)->v;
        char *q = aios__tp_alloc(p->s, (size_t)v.n + w.n + 1);
        if (!q)
            return p->s->rc;
        memcpy(q, v.u.s, v.n);
        memcpy(q + v.n, w.u.s, w.n);
        v = aios__tp_str(q, (size_t)v.n + w.n);
        aios__tp_next(p);
    }
    aios__tp_at(p, *out)->v = v;
    return 0;
}

static int parse_name(aios__tp_parser *p, bool ns, uint32_t *out)
{
    const aios__tp_token *t = aios__tp_cur(p);
    static const struct { const char *name; uint8_t t, b; } consts[] = {
        {"true", T_BOOL, 1}, {"True", T_BOOL, 1}, {"false", T_BOOL, 0}, {"False", T_BOOL, 0}, {"none", T_NONE, 0}, {"None", T_NONE, 0}};
    TP_TRY(aios__tp_node_new(p, N_NAME, out));
    aios__tp_next(p);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(consts); i++)
        if (aios__tp_is_name(t, consts[i].name)) {
            aios__tp_at(p, *out)->k = N_CONST;
            aios__tp_at(p, *out)->v = (aios__tp_val){.t = consts[i].t, .u.i = consts[i].b};
            return 0;
        }
    uint32_t sym = 0;
    TP_TRY(aios__tp_symbol(p, t->v, &sym));
    aios__tp_at(p, *out)->sym = sym;
    p->uses |= aios__tp_is_name(t, "caller") ? USES_CALLER : aios__tp_is_name(t, "varargs") ? USES_VARARGS : aios__tp_is_name(t, "kwargs") ? USES_KWARGS : 0;
    if (ns && aios__tp_skip_op(p, OP1('.'))) {
        aios__tp_val name;
        TP_TRY(aios__tp_expect_name(p, &name));
        aios__tp_at(p, *out)->k = N_NSREF;
        aios__tp_at(p, *out)->v = name;
    }
    return 0;
}

static int parse_primary(aios__tp_parser *p, bool ns, uint32_t *out)
{
    const aios__tp_token *t = aios__tp_cur(p);
    if (t->k == K_NAME) {
        TP_TRY(parse_name(p, ns, out));
        return 0;
    }
    if (t->k == K_STRING)
        return parse_strings(p, out);
    if (t->k == K_INT || t->k == K_REAL) {
        TP_TRY(aios__tp_node_new(p, N_CONST, out));
        aios__tp_at(p, *out)->v = t->v;
        aios__tp_next(p);
        return 0;
    }
    if (aios__tp_is_op(p, OP1('['))) {
        return parse_brackets(p, false, out);
    } else if (aios__tp_is_op(p, OP1('{'))) {
        return parse_brackets(p, true, out);
    } else if (aios__tp_skip_op(p, OP1('('))) {
        TP_TRY(aios__tp_deeper(p));
        TP_TRY(aios__tp_parse_tuple(p, true, NULL, true, out));
        p->depth--;
        return aios__tp_expect_op(p, OP1(')'));
    }
    return aios__tp_parse_fail(p, "expected an expression");
}

static int parse_subscribed(aios__tp_parser *p, uint32_t *out)
{
    uint32_t part[3] = {0, 0, 0}, k = 0;
    if (!aios__tp_is_op(p, OP1(':')))
        TP_TRY(aios__tp_parse_expr(p, true, &part[0]));
    if (!aios__tp_is_op(p, OP1(':'))) {
        *out = part[0];
        return 0;
    }
    while (k < 2 && aios__tp_skip_op(p, OP1(':'))) {
        k++;
        if (!aios__tp_is_op(p, OP1(':')) && !aios__tp_is_op(p, OP1(']')) && !aios__tp_is_op(p, OP1(',')))
            TP_TRY(aios__tp_parse_expr(p, true, &part[k]));
    }
    TP_TRY(aios__tp_node_new(p, N_SLICE, out));
    aios__tp_at(p, *out)->a = part[0];
    aios__tp_at(p, *out)->b = part[1];
    aios__tp_at(p, *out)->c = part[2];
    return 0;
}

static int parse_subscript(aios__tp_parser *p, uint32_t *out)
{
    uint32_t item, n = 0;
    aios__tp_kids kids = {0};
    TP_TRY(aios__tp_node_new(p, N_ITEM, out));
    aios__tp_next(p);
    while (!aios__tp_is_op(p, OP1(']'))) {
        if (n)
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
        TP_TRY(parse_subscribed(p, &item));
        aios__tp_kids_add(p, &kids, item);
        n++;
    }
    aios__tp_next(p);
    if (n == 1 && aios__tp_at(p, kids.first)->k == N_SLICE) {
        aios__tp_at(p, kids.first)->pos = aios__tp_at(p, *out)->pos;
        *out = kids.first;
        return 0;
    }
    if (n != 1) {
        for (uint32_t i = kids.first; i; i = aios__tp_at(p, i)->next)
            if (aios__tp_at(p, i)->k == N_SLICE)
                return aios__tp_parse_fail(p, "a slice cannot be one of several subscripts");
        TP_TRY(aios__tp_node_new(p, N_TUPLE, &item));
        aios__tp_at(p, item)->a = kids.first;
        kids.first = item;
    }
    aios__tp_at(p, *out)->a = kids.first;
    return 0;
}

static int parse_dot(aios__tp_parser *p, uint32_t *out)
{
    TP_TRY(aios__tp_node_new(p, N_ATTR, out));
    aios__tp_next(p);
    const aios__tp_token *t = aios__tp_cur(p);
    if (t->k == K_NAME) {
        aios__tp_at(p, *out)->v = t->v;
    } else if (t->k == K_INT) {
        uint32_t c;
        TP_TRY(aios__tp_node_new(p, N_CONST, &c));
        aios__tp_at(p, c)->v = t->v;
        aios__tp_at(p, *out)->k = N_ITEM;
        aios__tp_at(p, *out)->a = c;
    } else {
        return aios__tp_parse_fail(p, "expected a name or a number after '.'");
    }
    aios__tp_next(p);
    return 0;
}

/* The argument that starts here; *stage keeps the order: positional, keyword, *args, **kwargs. */
static int parse_arg(aios__tp_parser *p, int *stage, uint32_t *out)
{
    uint32_t v;
    uint8_t k = N_ARG;
    TP_TRY(aios__tp_node_new(p, N_ARG, out));
    if (aios__tp_skip_op(p, OP1('*')))
        k = N_STAR;
    else if (aios__tp_skip_op(p, OP2('*', '*')))
        k = N_STARSTAR;
    else if (aios__tp_cur(p)->k == K_NAME && aios__tp_cur(p)[1].k == K_OP && aios__tp_cur(p)[1].op == OP1('=')) {
        k = N_KWARG;
        aios__tp_at(p, *out)->v = aios__tp_cur(p)->v;
        p->i += 2;
    }
    int order = k == N_ARG ? 0 : k == N_KWARG ? 1 : k == N_STAR ? 2 : 3;
    if (order < *stage && !(order == 1 && *stage == 2))
        return aios__tp_parse_fail(p, "invalid order of arguments");
    *stage = order > *stage ? order : *stage;
    TP_TRY(aios__tp_parse_expr(p, true, &v));
    aios__tp_at(p, *out)->k = k;
    aios__tp_at(p, *out)->a = v;
    return 0;
}

static int parse_args(aios__tp_parser *p, uint32_t *first)
{
    aios__tp_kids kids = {0};
    int stage = 0;
    TP_TRY(aios__tp_expect_op(p, OP1('(')));
    while (!aios__tp_is_op(p, OP1(')'))) {
        uint32_t arg;
        if (kids.first) {
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
            if (aios__tp_is_op(p, OP1(')')))
                break;
        }
        TP_TRY(parse_arg(p, &stage, &arg));
        aios__tp_kids_add(p, &kids, arg);
    }
    aios__tp_next(p);
    *first = kids.first;
    return 0;
}

static int parse_dotted(aios__tp_parser *p, aios__tp_val *name)
{
    TP_TRY(aios__tp_expect_name(p, name));
    while (aios__tp_skip_op(p, OP1('.'))) {
        aios__tp_val more;
        TP_TRY(aios__tp_expect_name(p, &more));
        name->n = (uint32_t)(more.u.s + more.n - name->u.s);
    }
    return 0;
}

static int parse_filter(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_val name;
    uint32_t args = 0;
    TP_TRY(aios__tp_node_new(p, N_FILTER, out));
    TP_TRY(parse_dotted(p, &name));
    aios__tp_at(p, *out)->v = name;
    aios__tp_at(p, *out)->fn = aios__tp_filter_find(name.u.s, name.n);
    if (aios__tp_is_op(p, OP1('(')))
        TP_TRY(parse_args(p, &args));
    aios__tp_at(p, *out)->a = args;
    return 0;
}

static bool test_arg_follows(aios__tp_parser *p)
{
    const aios__tp_token *t = aios__tp_cur(p);
    if (t->k == K_NAME)
        return !aios__tp_is_name(t, "else") && !aios__tp_is_name(t, "or") && !aios__tp_is_name(t, "and");
    return t->k == K_STRING || t->k == K_INT || t->k == K_REAL || aios__tp_is_op(p, OP1('[')) || aios__tp_is_op(p, OP1('{'));
}

static int parse_test(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_val name;
    uint32_t args = 0, v;
    aios__tp_next(p);
    bool negated = aios__tp_skip_name(p, "not");
    TP_TRY(aios__tp_node_new(p, N_TEST, out));
    TP_TRY(parse_dotted(p, &name));
    aios__tp_at(p, *out)->v = name;
    aios__tp_at(p, *out)->op = negated;
    aios__tp_at(p, *out)->fn = aios__tp_test_find(name.u.s, name.n);
    if (aios__tp_is_op(p, OP1('('))) {
        TP_TRY(parse_args(p, &args));
    } else if (test_arg_follows(p)) {
        if (aios__tp_is_name(aios__tp_cur(p), "is"))
            return aios__tp_parse_fail(p, "tests cannot be chained with 'is'");
        TP_TRY(aios__tp_node_new(p, N_ARG, &args));
        TP_TRY(aios__tp_deeper(p));
        TP_TRY(parse_primary(p, false, &v));
        TP_TRY(parse_postfix(p, false, &v));
        p->depth--;
        aios__tp_at(p, args)->a = v;
    }
    aios__tp_at(p, *out)->a = args;
    return 0;
}

/* Attributes, subscripts and calls after *out, then filters and tests, all as one chain. */
static int parse_postfix(aios__tp_parser *p, bool filters, uint32_t *out)
{
    aios__tp_kids kids = {0};
    bool tail = false;
    for (;;) {
        uint32_t node = 0;
        if (!tail && aios__tp_is_op(p, OP1('.'))) {
            TP_TRY(parse_dot(p, &node));
        } else if (!tail && aios__tp_is_op(p, OP1('['))) {
            TP_TRY(parse_subscript(p, &node));
        } else if (aios__tp_is_op(p, OP1('('))) {
            uint32_t args;
            TP_TRY(aios__tp_node_new(p, N_CALL, &node));
            TP_TRY(parse_args(p, &args));
            aios__tp_at(p, node)->a = args;
        } else if (filters && aios__tp_skip_op(p, OP1('|'))) {
            TP_TRY(parse_filter(p, &node));
            tail = true;
        } else if (filters && aios__tp_is_name(aios__tp_cur(p), "is")) {
            TP_TRY(parse_test(p, &node));
            tail = true;
        } else {
            break;
        }
        if (!kids.first) {
            uint32_t chain;
            TP_TRY(aios__tp_node_new(p, N_CHAIN, &chain));
            aios__tp_kids_add(p, &kids, *out);
            aios__tp_at(p, chain)->pos = aios__tp_at(p, *out)->pos;
            aios__tp_at(p, chain)->a = kids.first;
            *out = chain;
        }
        aios__tp_kids_add(p, &kids, node);
    }
    return 0;
}

static int parse_unary(aios__tp_parser *p, bool filters, uint32_t *out)
{
    if (!aios__tp_is_op(p, OP1('-')) && !aios__tp_is_op(p, OP1('+'))) {
        TP_TRY(parse_primary(p, false, out));
        return parse_postfix(p, filters, out);
    }
    uint32_t v;
    TP_TRY(aios__tp_deeper(p));
    TP_TRY(aios__tp_node_new(p, aios__tp_is_op(p, OP1('-')) ? N_NEG : N_POS, out));
    aios__tp_next(p);
    TP_TRY(parse_unary(p, false, &v));
    aios__tp_at(p, *out)->a = v;
    p->depth--;
    return parse_postfix(p, filters, out);
}

int aios__tp_parse_filters(aios__tp_parser *p, bool inline_first, uint32_t *out)
{
    aios__tp_kids kids = {0};
    while (inline_first || aios__tp_skip_op(p, OP1('|'))) {
        uint32_t node;
        inline_first = false;
        TP_TRY(parse_filter(p, &node));
        aios__tp_kids_add(p, &kids, node);
    }
    *out = kids.first;
    return 0;
}
