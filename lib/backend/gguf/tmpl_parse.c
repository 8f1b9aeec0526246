/* SPDX-License-Identifier: Apache-2.0 */
/* Statements. */
#include "backend/gguf/tmpl_parse.h"

static int parse_body(tp_parser *p, const char *const *ends, uint32_t *out);
typedef int tag_fn(tp_parser *p, uint32_t *out);

/* Parses `%} ... {% end`, leaves the stream after the word that ended it. */
static int parse_until(tp_parser *p, const char *const *ends, uint32_t *out)
{
    tp_skip_op(p, OP1(':'));
    TP_TRY(tp_expect(p, K_BLOCK_END, "expected %}"));
    TP_TRY(tp_deeper(p));
    TP_TRY(parse_body(p, ends, out));
    p->depth--;
    tp_next(p);
    return 0;
}

static int until(tp_parser *p, const char *end, uint32_t *out)
{
    return parse_until(p, (const char *const[]){end, NULL}, out);
}

static bool ended_with(const tp_parser *p, const char *word)
{
    return tp_is_name(&p->tok[p->i - 1], word);
}

static int parse_if(tp_parser *p, uint32_t *out)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    tp_kids kids = {0};
    bool more = true;
    TP_TRY(tp_node_new(p, N_IF, out));
    while (more) {
        uint32_t branch, test, body;
        TP_TRY(tp_node_new(p, N_BRANCH, &branch));
        TP_TRY(tp_parse_tuple(p, false, NULL, false, &test));
        TP_TRY(parse_until(p, ends, &body));
        tp_at(p, branch)->a = test;
        tp_at(p, branch)->b = body;
        tp_kids_add(p, &kids, branch);
        more = ended_with(p, "elif");
    }
    if (ended_with(p, "else")) {
        uint32_t branch, body;
        TP_TRY(tp_node_new(p, N_BRANCH, &branch));
        TP_TRY(until(p, "endif", &body));
        tp_at(p, branch)->b = body;
        tp_kids_add(p, &kids, branch);
    }
    tp_at(p, *out)->a = kids.first;
    return 0;
}

static int parse_for(tp_parser *p, uint32_t *out)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    uint32_t target, iter, test = 0, body, other = 0, part;
    TP_TRY(tp_node_new(p, N_FOR, out));
    TP_TRY(tp_parse_target(p, false, "in", &target));
    if (!tp_skip_name(p, "in"))
        return tp_parse_fail(p, "expected 'in'");
    TP_TRY(tp_parse_tuple(p, false, "recursive", false, &iter));
    if (tp_skip_name(p, "if"))
        TP_TRY(tp_parse_expr(p, true, &test));
    tp_at(p, *out)->op = tp_skip_name(p, "recursive");
    p->loops++;
    TP_TRY(parse_until(p, ends, &body));
    p->loops--;
    if (ended_with(p, "else"))
        TP_TRY(until(p, "endfor", &other));
    TP_TRY(tp_node_new(p, N_BRANCH, &part));
    tp_node *n = tp_at(p, *out), *b = tp_at(p, part);
    b->a = test;
    b->b = body;
    b->c = other;
    n->a = target;
    n->b = iter;
    n->c = part;
    return 0;
}

static int parse_set(tp_parser *p, uint32_t *out)
{
    uint32_t target, v = 0, body;
    TP_TRY(tp_node_new(p, N_SET, out));
    TP_TRY(tp_parse_target(p, true, NULL, &target));
    tp_at(p, *out)->a = target;
    if (tp_skip_op(p, OP1('='))) {
        TP_TRY(tp_parse_tuple(p, true, NULL, false, &v));
        tp_at(p, *out)->b = v;
        return 0;
    }
    TP_TRY(tp_parse_filters(p, false, &v));
    TP_TRY(until(p, "endset", &body));
    tp_at(p, *out)->k = N_SETBLOCK;
    tp_at(p, *out)->b = v;
    tp_at(p, *out)->c = body;
    return 0;
}

static int parse_signature(tp_parser *p, uint32_t *first)
{
    tp_kids kids = {0};
    bool defaults = false;
    TP_TRY(tp_expect_op(p, OP1('(')));
    while (!tp_is_op(p, OP1(')'))) {
        tp_val name;
        uint32_t param, sym, v = 0;
        if (kids.first)
            TP_TRY(tp_expect_op(p, OP1(',')));
        TP_TRY(tp_node_new(p, N_PARAM, &param));
        TP_TRY(tp_expect_name(p, &name));
        TP_TRY(tp_symbol(p, name, &sym));
        if (tp_skip_op(p, OP1('='))) {
            TP_TRY(tp_parse_expr(p, true, &v));
            defaults = true;
        } else if (defaults) {
            return tp_parse_fail(p, "a parameter without default follows one with a default");
        }
        tp_node *n = tp_at(p, param);
        n->v = name;
        n->sym = sym;
        n->a = v;
        tp_kids_add(p, &kids, param);
    }
    tp_next(p);
    *first = kids.first;
    return 0;
}

/* The body of a macro, which notes whether it reads caller, varargs or kwargs. */
static int parse_macro_body(tp_parser *p, const char *end, uint32_t node)
{
    uint32_t outer = p->uses, loops = p->loops, body;
    p->uses = p->loops = 0;
    TP_TRY(until(p, end, &body));
    tp_at(p, node)->b = body;
    tp_at(p, node)->op = (uint8_t)p->uses;
    p->uses |= outer;
    p->loops = loops;
    return 0;
}

static int parse_macro(tp_parser *p, uint32_t *out)
{
    tp_val name;
    uint32_t sym, params;
    TP_TRY(tp_node_new(p, N_MACRO, out));
    TP_TRY(tp_expect_name(p, &name));
    TP_TRY(tp_symbol(p, name, &sym));
    TP_TRY(parse_signature(p, &params));
    tp_node *n = tp_at(p, *out);
    n->v = name;
    n->sym = sym;
    n->a = params;
    return parse_macro_body(p, "endmacro", *out);
}

static int parse_call(tp_parser *p, uint32_t *out)
{
    uint32_t params = 0, call;
    TP_TRY(tp_node_new(p, N_CALLBLOCK, out));
    if (tp_is_op(p, OP1('(')))
        TP_TRY(parse_signature(p, &params));
    TP_TRY(tp_parse_expr(p, true, &call));
    uint32_t last = tp_at(p, call)->k == N_CHAIN ? tp_at(p, call)->a : 0;
    while (last && tp_at(p, last)->next)
        last = tp_at(p, last)->next;
    if (!last || tp_at(p, last)->k != N_CALL)
        return tp_parse_fail(p, "expected a call");
    tp_at(p, *out)->a = params;
    tp_at(p, *out)->c = call;
    return parse_macro_body(p, "endcall", *out);
}

/* {% generation %}: a scope of its own whose output is used as it is. */
static int parse_generation(tp_parser *p, uint32_t *out)
{
    uint32_t body;
    TP_TRY(tp_node_new(p, N_SCOPE, out));
    uint32_t loops = p->loops;
    p->loops = 0;
    TP_TRY(until(p, "endgeneration", &body));
    p->loops = loops;
    tp_at(p, *out)->b = body;
    return 0;
}

static int parse_block(tp_parser *p, uint32_t *out)
{
    tp_val name;
    uint32_t body;
    TP_TRY(tp_node_new(p, N_SCOPE, out));
    TP_TRY(tp_expect_name(p, &name));
    tp_skip_name(p, "scoped");
    TP_TRY(until(p, "endblock", &body));
    if (tp_cur(p)->k == K_NAME)
        tp_next(p);
    tp_at(p, *out)->b = body;
    return 0;
}

static int parse_autoescape(tp_parser *p, uint32_t *out)
{
    uint32_t body;
    TP_TRY(tp_node_new(p, N_SCOPE, out));
    if (!tp_skip_name(p, "false") && !tp_skip_name(p, "False"))
        return tp_parse_fail(p, "autoescape is supported with false only");
    TP_TRY(until(p, "endautoescape", &body));
    tp_at(p, *out)->b = body;
    return 0;
}

static int parse_filter_block(tp_parser *p, uint32_t *out)
{
    uint32_t filters, body;
    TP_TRY(tp_node_new(p, N_FILTERBLOCK, out));
    TP_TRY(tp_parse_filters(p, true, &filters));
    TP_TRY(until(p, "endfilter", &body));
    tp_at(p, *out)->a = filters;
    tp_at(p, *out)->b = body;
    return 0;
}

static int parse_with(tp_parser *p, uint32_t *out)
{
    tp_kids kids = {0};
    uint32_t body;
    TP_TRY(tp_node_new(p, N_WITH, out));
    while (tp_cur(p)->k != K_BLOCK_END) {
        uint32_t bind, target, v;
        if (kids.first)
            TP_TRY(tp_expect_op(p, OP1(',')));
        TP_TRY(tp_node_new(p, N_BIND, &bind));
        /* Targets and values are both separated by commas, so a target is one name here. */
        tp_val name;
        TP_TRY(tp_node_new(p, N_NAME, &target));
        TP_TRY(tp_expect_name(p, &name));
        TP_TRY(tp_symbol(p, name, &tp_at(p, target)->sym));
        tp_at(p, target)->op = 1;
        TP_TRY(tp_expect_op(p, OP1('=')));
        TP_TRY(tp_parse_expr(p, true, &v));
        tp_at(p, bind)->a = target;
        tp_at(p, bind)->b = v;
        tp_kids_add(p, &kids, bind);
    }
    TP_TRY(until(p, "endwith", &body));
    tp_at(p, *out)->a = kids.first;
    tp_at(p, *out)->b = body;
    return 0;
}

static int parse_print(tp_parser *p, uint32_t *out)
{
    tp_kids kids = {0};
    uint32_t v, node;
    *out = 0;
    while (tp_cur(p)->k != K_BLOCK_END) {
        if (kids.first)
            TP_TRY(tp_expect_op(p, OP1(',')));
        TP_TRY(tp_node_new(p, N_PRINT, &node));
        TP_TRY(tp_parse_expr(p, true, &v));
        tp_at(p, node)->a = v;
        tp_kids_add(p, &kids, node);
    }
    TP_TRY(tp_node_new(p, N_IF, out)); /* a group of statements: one branch without a test */
    TP_TRY(tp_node_new(p, N_BRANCH, &node));
    tp_at(p, node)->b = kids.first;
    tp_at(p, *out)->a = node;
    return 0;
}

static int parse_jump(tp_parser *p, uint8_t k, uint32_t *out)
{
    if (!p->loops)
        return tp_parse_fail(p, "break and continue belong in a loop");
    return tp_node_new(p, k, out);
}
static int parse_break(tp_parser *p, uint32_t *out)
{
    return parse_jump(p, N_BREAK, out);
}
static int parse_continue(tp_parser *p, uint32_t *out)
{
    return parse_jump(p, N_CONTINUE, out);
}

static const struct { const char *name; tag_fn *fn; } tags[] = {
    {"if", parse_if}, {"for", parse_for}, {"set", parse_set}, {"macro", parse_macro}, {"call", parse_call},
    {"generation", parse_generation}, {"filter", parse_filter_block}, {"with", parse_with}, {"print", parse_print},
    {"break", parse_break}, {"continue", parse_continue}, {"block", parse_block}, {"autoescape", parse_autoescape},
};

static int parse_statement(tp_parser *p, uint32_t *out)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(tags); i++)
        if (tp_is_name(tp_cur(p), tags[i].name)) {
            tp_next(p);
            TP_TRY(tags[i].fn(p, out));
            return tp_expect(p, K_BLOCK_END, "expected %}");
        }
    return tp_parse_fail(p, "expected a tag that chat templates know (if, for, set, macro, call, filter, with, generation ...)");
}

static bool is_end(const tp_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (tp_is_name(tp_cur(p), *ends))
            return true;
    return false;
}

static int parse_output(tp_parser *p, uint32_t *out)
{
    uint32_t v;
    TP_TRY(tp_node_new(p, N_PRINT, out));
    tp_next(p);
    TP_TRY(tp_parse_tuple(p, true, NULL, false, &v));
    tp_at(p, *out)->a = v;
    return tp_expect(p, K_VAR_END, "expected }}");
}

static int parse_body(tp_parser *p, const char *const *ends, uint32_t *out)
{
    tp_kids kids = {0};
    for (;;) {
        uint32_t node;
        uint8_t k = tp_cur(p)->k;
        if (k == K_EOF) {
            if (!ends)
                break;
            char what[64] = "expected a tag that ends the block, such as ";
            return tp_parse_fail(p, strncat(what, ends[0], 16));
        }
        if (k == K_DATA) {
            TP_TRY(tp_node_new(p, N_DATA, &node));
            tp_at(p, node)->v = tp_cur(p)->v;
            tp_next(p);
        } else if (k == K_VAR_BEGIN) {
            TP_TRY(parse_output(p, &node));
        } else {
            tp_next(p);
            if (is_end(p, ends))
                break;
            TP_TRY(parse_statement(p, &node));
        }
        tp_kids_add(p, &kids, node);
    }
    *out = kids.first;
    return 0;
}

int tp_compile(tp *s)
{
    tp_parser p = {.s = s, .t = s->made};
    tp_token *tok;
    TP_TRY(tp_lex(s, &tok, &p.n));
    p.tok = tok;
    TP_TRY(parse_body(&p, NULL, &s->made->body));
    /* What is read is known by then: every name that is not only a target. */
    for (uint32_t i = 1; i < s->made->n_nodes; i++)
        if ((s->made->nodes[i].k == N_NAME && !s->made->nodes[i].op) || s->made->nodes[i].k == N_NSREF)
            s->made->syms[s->made->nodes[i].sym].read = true;
    return 0;
}
