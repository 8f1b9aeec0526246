/* SPDX-License-Identifier: Apache-2.0 */
/* Statements. */
#include "backend/gguf/tmpl_parse.h"

static int parse_body(aios__tp_parser *p, const char *const *ends, uint32_t *out);
typedef int tag_fn(aios__tp_parser *p, uint32_t *out);

/* Parses `%} ... {% end`, leaves the stream after the word that ended it. */
static int parse_until(aios__tp_parser *p, const char *const *ends, uint32_t *out)
{
    aios__tp_skip_op(p, OP1(':'));
    TP_TRY(aios__tp_expect(p, K_BLOCK_END, "expected %}"));
    TP_TRY(aios__tp_deeper(p));
    TP_TRY(parse_body(p, ends, out));
    p->depth--;
    aios__tp_next(p);
    return 0;
}

static int until(aios__tp_parser *p, const char *end, uint32_t *out)
{
    return parse_until(p, (const char *const[]){end, NULL}, out);
}

static bool ended_with(const aios__tp_parser *p, const char *word)
{
    return aios__tp_is_name(&p->tok[p->i - 1], word);
}

static int parse_if(aios__tp_parser *p, uint32_t *out)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    aios__tp_kids kids = {0};
    bool more = true;
    TP_TRY(aios__tp_node_new(p, N_IF, out));
    while (more) {
        uint32_t branch, test, body;
        TP_TRY(aios__tp_node_new(p, N_BRANCH, &branch));
        TP_TRY(aios__tp_parse_tuple(p, false, NULL, false, &test));
        TP_TRY(parse_until(p, ends, &body));
        aios__tp_at(p, branch)->a = test;
        aios__tp_at(p, branch)->b = body;
        aios__tp_kids_add(p, &kids, branch);
        more = ended_with(p, "elif");
    }
    if (ended_with(p, "else")) {
        uint32_t branch, body;
        TP_TRY(aios__tp_node_new(p, N_BRANCH, &branch));
        TP_TRY(until(p, "endif", &body));
        aios__tp_at(p, branch)->b = body;
        aios__tp_kids_add(p, &kids, branch);
    }
    aios__tp_at(p, *out)->a = kids.first;
    return 0;
}

static int parse_for(aios__tp_parser *p, uint32_t *out)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    uint32_t target, iter, test = 0, body, other = 0, part;
    TP_TRY(aios__tp_node_new(p, N_FOR, out));
    TP_TRY(aios__tp_parse_target(p, false, "in", &target));
    if (!aios__tp_skip_name(p, "in"))
        return aios__tp_parse_fail(p, "expected 'in'");
    TP_TRY(aios__tp_parse_tuple(p, false, "recursive", false, &iter));
    if (aios__tp_skip_name(p, "if"))
        TP_TRY(aios__tp_parse_expr(p, true, &test));
    aios__tp_at(p, *out)->op = aios__tp_skip_name(p, "recursive");
    p->loops++;
    TP_TRY(parse_until(p, ends, &body));
    p->loops--;
    if (ended_with(p, "else"))
        TP_TRY(until(p, "endfor", &other));
    TP_TRY(aios__tp_node_new(p, N_BRANCH, &part));
    aios__tp_node *n = aios__tp_at(p, *out), *b = aios__tp_at(p, part);
    b->a = test;
    b->b = body;
    b->c = other;
    n->a = target;
    n->b = iter;
    n->c = part;
    return 0;
}

static int parse_set(aios__tp_parser *p, uint32_t *out)
{
    uint32_t target, v = 0, body;
    TP_TRY(aios__tp_node_new(p, N_SET, out));
    TP_TRY(aios__tp_parse_target(p, true, NULL, &target));
    aios__tp_at(p, *out)->a = target;
    if (aios__tp_skip_op(p, OP1('='))) {
        TP_TRY(aios__tp_parse_tuple(p, true, NULL, false, &v));
        aios__tp_at(p, *out)->b = v;
        return 0;
    }
    TP_TRY(aios__tp_parse_filters(p, false, &v));
    TP_TRY(until(p, "endset", &body));
    aios__tp_at(p, *out)->k = N_SETBLOCK;
    aios__tp_at(p, *out)->b = v;
    aios__tp_at(p, *out)->c = body;
    return 0;
}

static int parse_signature(aios__tp_parser *p, uint32_t *first)
{
    aios__tp_kids kids = {0};
    bool defaults = false;
    TP_TRY(aios__tp_expect_op(p, OP1('(')));
    while (!aios__tp_is_op(p, OP1(')'))) {
        aios__tp_val name;
        uint32_t param, sym, v = 0;
        if (kids.first)
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
        TP_TRY(aios__tp_node_new(p, N_PARAM, &param));
        TP_TRY(aios__tp_expect_name(p, &name));
        TP_TRY(aios__tp_symbol(p, name, &sym));
        if (aios__tp_skip_op(p, OP1('='))) {
            TP_TRY(aios__tp_parse_expr(p, true, &v));
            defaults = true;
        } else if (defaults) {
            return aios__tp_parse_fail(p, "a parameter without default follows one with a default");
        }
        aios__tp_node *n = aios__tp_at(p, param);
        n->v = name;
        n->sym = sym;
        n->a = v;
        aios__tp_kids_add(p, &kids, param);
    }
    aios__tp_next(p);
    *first = kids.first;
    return 0;
}

/* The body of a macro, which notes whether it reads caller, varargs or kwargs. */
static int parse_macro_body(aios__tp_parser *p, const char *end, uint32_t node)
{
    uint32_t outer = p->uses, loops = p->loops, body;
    p->uses = p->loops = 0;
    TP_TRY(until(p, end, &body));
    aios__tp_at(p, node)->b = body;
    aios__tp_at(p, node)->op = (uint8_t)p->uses;
    p->uses |= outer;
    p->loops = loops;
    return 0;
}

static int parse_macro(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_val name;
    uint32_t sym, params;
    TP_TRY(aios__tp_node_new(p, N_MACRO, out));
    TP_TRY(aios__tp_expect_name(p, &name));
    TP_TRY(aios__tp_symbol(p, name, &sym));
    TP_TRY(parse_signature(p, &params));
    aios__tp_node *n = aios__tp_at(p, *out);
    n->v = name;
    n->sym = sym;
    n->a = params;
    return parse_macro_body(p, "endmacro", *out);
}

static int parse_call(aios__tp_parser *p, uint32_t *out)
{
    uint32_t params = 0, call;
    TP_TRY(aios__tp_node_new(p, N_CALLBLOCK, out));
    if (aios__tp_is_op(p, OP1('(')))
        TP_TRY(parse_signature(p, &params));
    TP_TRY(aios__tp_parse_expr(p, true, &call));
    uint32_t last = aios__tp_at(p, call)->k == N_CHAIN ? aios__tp_at(p, call)->a : 0;
    while (last && aios__tp_at(p, last)->next)
        last = aios__tp_at(p, last)->next;
    if (!last || aios__tp_at(p, last)->k != N_CALL)
        return aios__tp_parse_fail(p, "expected a call");
    aios__tp_at(p, *out)->a = params;
    aios__tp_at(p, *out)->c = call;
    return parse_macro_body(p, "endcall", *out);
}

/* {% generation %}: a scope of its own whose output is used as it is. */
static int parse_generation(aios__tp_parser *p, uint32_t *out)
{
    uint32_t body;
    TP_TRY(aios__tp_node_new(p, N_SCOPE, out));
    uint32_t loops = p->loops;
    p->loops = 0;
    TP_TRY(until(p, "endgeneration", &body));
    p->loops = loops;
    aios__tp_at(p, *out)->b = body;
    return 0;
}

static int parse_block(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_val name;
    uint32_t body;
    TP_TRY(aios__tp_node_new(p, N_SCOPE, out));
    TP_TRY(aios__tp_expect_name(p, &name));
    aios__tp_skip_name(p, "scoped");
    TP_TRY(until(p, "endblock", &body));
    if (aios__tp_cur(p)->k == K_NAME)
        aios__tp_next(p);
    aios__tp_at(p, *out)->b = body;
    return 0;
}

static int parse_autoescape(aios__tp_parser *p, uint32_t *out)
{
    uint32_t body;
    TP_TRY(aios__tp_node_new(p, N_SCOPE, out));
    if (!aios__tp_skip_name(p, "false") && !aios__tp_skip_name(p, "False"))
        return aios__tp_parse_fail(p, "autoescape is supported with false only");
    TP_TRY(until(p, "endautoescape", &body));
    aios__tp_at(p, *out)->b = body;
    return 0;
}

static int parse_filter_block(aios__tp_parser *p, uint32_t *out)
{
    uint32_t filters, body;
    TP_TRY(aios__tp_node_new(p, N_FILTERBLOCK, out));
    TP_TRY(aios__tp_parse_filters(p, true, &filters));
    TP_TRY(until(p, "endfilter", &body));
    aios__tp_at(p, *out)->a = filters;
    aios__tp_at(p, *out)->b = body;
    return 0;
}

static int parse_with(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_kids kids = {0};
    uint32_t body;
    TP_TRY(aios__tp_node_new(p, N_WITH, out));
    while (aios__tp_cur(p)->k != K_BLOCK_END) {
        uint32_t bind, target, v;
        if (kids.first)
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
        TP_TRY(aios__tp_node_new(p, N_BIND, &bind));
        /* Targets and values are both separated by commas, so a target is one name here. */
        aios__tp_val name;
        TP_TRY(aios__tp_node_new(p, N_NAME, &target));
        TP_TRY(aios__tp_expect_name(p, &name));
        TP_TRY(aios__tp_symbol(p, name, &aios__tp_at(p, target)->sym));
        aios__tp_at(p, target)->op = 1;
        TP_TRY(aios__tp_expect_op(p, OP1('=')));
        TP_TRY(aios__tp_parse_expr(p, true, &v));
        aios__tp_at(p, bind)->a = target;
        aios__tp_at(p, bind)->b = v;
        aios__tp_kids_add(p, &kids, bind);
    }
    TP_TRY(until(p, "endwith", &body));
    aios__tp_at(p, *out)->a = kids.first;
    aios__tp_at(p, *out)->b = body;
    return 0;
}

static int parse_print(aios__tp_parser *p, uint32_t *out)
{
    aios__tp_kids kids = {0};
    uint32_t v, node;
    *out = 0;
    while (aios__tp_cur(p)->k != K_BLOCK_END) {
        if (kids.first)
            TP_TRY(aios__tp_expect_op(p, OP1(',')));
        TP_TRY(aios__tp_node_new(p, N_PRINT, &node));
        TP_TRY(aios__tp_parse_expr(p, true, &v));
        aios__tp_at(p, node)->a = v;
        aios__tp_kids_add(p, &kids, node);
    }
    TP_TRY(aios__tp_node_new(p, N_IF, out)); /* a group of statements: one branch without a test */
    TP_TRY(aios__tp_node_new(p, N_BRANCH, &node));
    aios__tp_at(p, node)->b = kids.first;
    aios__tp_at(p, *out)->a = node;
    return 0;
}

static int parse_jump(aios__tp_parser *p, uint8_t k, uint32_t *out)
{
    if (!p->loops)
        return aios__tp_parse_fail(p, "break and continue belong in a loop");
    return aios__tp_node_new(p, k, out);
}
static int parse_break(aios__tp_parser *p, uint32_t *out)
{
    return parse_jump(p, N_BREAK, out);
}
static int parse_continue(aios__tp_parser *p, uint32_t *out)
{
    return parse_jump(p, N_CONTINUE, out);
}

static const struct { const char *name; tag_fn *fn; } tags[] = {
    {"if", parse_if}, {"for", parse_for}, {"set", parse_set}, {"macro", parse_macro}, {"call", parse_call},
    {"generation", parse_generation}, {"filter", parse_filter_block}, {"with", parse_with}, {"print", parse_print},
    {"break", parse_break}, {"continue", parse_continue}, {"block", parse_block}, {"autoescape", parse_autoescape},
};

static int parse_statement(aios__tp_parser *p, uint32_t *out)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(tags); i++)
        if (aios__tp_is_name(aios__tp_cur(p), tags[i].name)) {
            aios__tp_next(p);
            TP_TRY(tags[i].fn(p, out));
            return aios__tp_expect(p, K_BLOCK_END, "expected %}");
        }
    return aios__tp_parse_fail(p, "expected a tag that chat templates know (if, for, set, macro, call, filter, with, generation ...)");
}

static bool is_end(const aios__tp_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (aios__tp_is_name(aios__tp_cur(p), *ends))
            return true;
    return false;
}

static int parse_output(aios__tp_parser *p, uint32_t *out)
{
    uint32_t v;
    TP_TRY(aios__tp_node_new(p, N_PRINT, out));
    aios__tp_next(p);
    TP_TRY(aios__tp_parse_tuple(p, true, NULL, false, &v));
    aios__tp_at(p, *out)->a = v;
    return aios__tp_expect(p, K_VAR_END, "expected }}");
}

static int parse_body(aios__tp_parser *p, const char *const *ends, uint32_t *out)
{
    aios__tp_kids kids = {0};
    for (;;) {
        uint32_t node;
        uint8_t k = aios__tp_cur(p)->k;
        if (k == K_EOF) {
            if (!ends)
                break;
            char what[64] = "expected a tag that ends the block, such as ";
            return aios__tp_parse_fail(p, strncat(what, ends[0], 16));
        }
        if (k == K_DATA) {
            TP_TRY(aios__tp_node_new(p, N_DATA, &node));
            aios__tp_at(p, node)->v = aios__tp_cur(p)->v;
            aios__tp_next(p);
        } else if (k == K_VAR_BEGIN) {
            TP_TRY(parse_output(p, &node));
        } else {
            aios__tp_next(p);
            if (is_end(p, ends))
                break;
            TP_TRY(parse_statement(p, &node));
        }
        aios__tp_kids_add(p, &kids, node);
    }
    *out = kids.first;
    return 0;
}

int aios__tp_compile(tp *s)
{
    aios__tp_parser p = {.s = s, .t = s->made};
    aios__tp_token *tok;
    TP_TRY(aios__tp_lex(s, &tok, &p.n));
    p.tok = tok;
    TP_TRY(parse_body(&p, NULL, &s->made->body));
    /* What is read is known by then: every name that is not only a target. */
    for (uint32_t i = 1; i < s->made->n_nodes; i++)
        if ((s->made->nodes[i].k == N_NAME && !s->made->nodes[i].op) || s->made->nodes[i].k == N_NSREF)
            s->made->syms[s->made->nodes[i].sym].read = true;
    return 0;
}
