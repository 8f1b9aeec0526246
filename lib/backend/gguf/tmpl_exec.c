/* SPDX-License-Identifier: Apache-2.0 */
/* Statements to output. */
#include "backend/gguf/tmpl_priv.h"

enum { FLOW_BREAK = 1, FLOW_CONTINUE = 2 };

int aios__tp_emit(tp *s, const char *p, size_t n)
{
    if (s->capturing)
        return aios__tp_buf_rc(s, aios__buf_add(&s->cap, p, n, s->err));
    if (n > s->out_max - (s->out->n - s->out_base))
        return aios__tp_limit(s, "the output is longer than the %zu bytes allowed", s->out_max);
    return aios__tp_buf_rc(s, aios__buf_add(s->out, p, n, s->err));
}

size_t aios__tp_capture_begin(tp *s)
{
    s->capturing++;
    return s->cap.n;
}

int aios__tp_capture_end(tp *s, size_t mark, aios__tp_val *out)
{
    s->capturing--;
    TP_TRY(aios__tp_copy(s, s->cap.p ? s->cap.p + mark : "", s->cap.n - mark, out));
    s->cap.n = mark;
    return 0;
}

aios__tp_scope *aios__tp_scope_push(tp *s)
{
    aios__tp_scope *c = aios__tp_alloc(s, sizeof *c);
    if (!c)
        return NULL;
    *c = (aios__tp_scope){.parent = s->scope};
    s->scope = c;
    return c;
}

int aios__tp_scope_set(tp *s, uint32_t sym, aios__tp_val v)
{
    aios__tp_scope *c = s->scope;
    for (uint32_t i = 0; i < c->n; i++)
        if (c->v[i].sym == sym) {
            c->v[i].v = v;
            return 0;
        }
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? 2 * c->cap : 4;
        aios__tp_var *p = aios__tp_alloc(s, cap * sizeof *p);
        if (!p)
            return s->rc;
        if (c->n)
            memcpy(p, c->v, c->n * sizeof *p);
        c->v = p;
        c->cap = cap;
    }
    c->v[c->n++] = (aios__tp_var){sym, v};
    return 0;
}

static int find_var(tp *s, uint32_t sym, aios__tp_val *v)
{
    for (const aios__tp_scope *c = s->scope; c; c = c->parent)
        for (uint32_t i = 0; i < c->n; i++)
            if (c->v[i].sym == sym) {
                *v = c->v[i].v;
                return 0;
            }
    *v = aios__tp_none();
    return 0;
}

static int assign(tp *s, uint32_t target, aios__tp_val v)
{
    const aios__tp_node *n = &s->t->nodes[target];
    if (n->k == N_NAME)
        return aios__tp_scope_set(s, n->sym, v);
    if (n->k == N_NSREF) {
        aios__tp_val ns;
        TP_TRY(find_var(s, n->sym, &ns));
        if (ns.t != T_NS)
            return aios__tp_fail(s, "cannot assign attribute on non-namespace object");
        if (n->v.n && n->v.u.s[0] == '_')
            return aios__tp_fail(s, "a namespace has no names with an underscore in front: '%.*s'", (int)n->v.n, n->v.u.s);
        return aios__tp_dict_set(s, ns.u.m, n->v, v);
    }
    aios__tp_val *items;
    uint32_t count, want = 0;
    TP_TRY(aios__tp_items(s, v, &items, &count));
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next)
        want++;
    if (want != count)
        return aios__tp_fail(s, "%s values to unpack (expected %u)", count < want ? "not enough" : "too many", want);
    want = 0;
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next)
        TP_TRY(assign(s, i, items[want++]));
    return 0;
}

static int exec_data(tp *s, const aios__tp_node *n)
{
    return aios__tp_emit(s, n->v.u.s, n->v.n);
}

static int exec_print(tp *s, const aios__tp_node *n)
{
    aios__tp_val v;
    TP_TRY(aios__tp_eval(s, n->a, &v));
    if (v.t != T_STR)
        TP_TRY(aios__tp_to_str(s, v, &v));
    TP_TRY(aios__tp_burn_bytes(s, v.n));
    return aios__tp_emit(s, v.u.s, v.n);
}

static int exec_if(tp *s, const aios__tp_node *n)
{
    for (uint32_t i = n->a; i; i = s->t->nodes[i].next) {
        const aios__tp_node *b = &s->t->nodes[i];
        bool yes = true;
        if (b->a) {
            aios__tp_val v;
            TP_TRY(aios__tp_eval(s, b->a, &v));
            TP_TRY(aios__tp_truth(s, v, &yes));
        }
        if (yes)
            return aios__tp_exec(s, b->b);
    }
    return 0;
}

/* A scope for the next iteration: the old one is emptied unless a macro still sees it. */
static int fresh_scope(tp *s, aios__tp_scope *outer)
{
    if (s->scope != outer && !s->scope->captured) {
        s->scope->n = 0;
        return 0;
    }
    s->scope = outer;
    return aios__tp_scope_push(s) ? 0 : s->rc;
}

/* Keeps the items that pass the `if` of the loop. */
static int filter_items(tp *s, uint32_t target, uint32_t test, aios__tp_loop *l)
{
    aios__tp_scope *outer = s->scope;
    aios__tp_val kept;
    TP_TRY(aios__tp_list_new(s, T_LIST, 0, &kept));
    for (uint32_t i = 0; i < l->n; i++) {
        aios__tp_val v;
        bool yes;
        TP_TRY(fresh_scope(s, outer));
        TP_TRY(assign(s, target, l->items[i]));
        TP_TRY(aios__tp_eval(s, test, &v));
        TP_TRY(aios__tp_truth(s, v, &yes));
        if (yes)
            TP_TRY(aios__tp_list_add(s, kept.u.l, l->items[i]));
    }
    s->scope = outer;
    l->items = kept.u.l->v;
    l->n = kept.u.l->n;
    return 0;
}

static int loop_body(tp *s, const aios__tp_node *n, const aios__tp_node *part, aios__tp_loop *l, uint32_t sym_loop)
{
    aios__tp_scope *outer = s->scope;
    for (l->i = 0; l->i < l->n; l->i++) {
        TP_TRY(aios__tp_burn(s, 1));
        TP_TRY(fresh_scope(s, outer));
        if (sym_loop != UINT32_MAX)
            TP_TRY(aios__tp_scope_set(s, sym_loop, (aios__tp_val){.t = T_LOOP, .u.loop = l}));
        TP_TRY(assign(s, n->a, l->items[l->i]));
        int flow = aios__tp_exec(s, part->b);
        if (flow < 0)
            return flow;
        if (flow == FLOW_BREAK)
            break;
    }
    s->scope = outer;
    return 0;
}

int aios__tp_loop_run(tp *s, uint32_t node, aios__tp_val iter, uint32_t depth0, aios__tp_scope *outer)
{
    const aios__tp_node *n = &s->t->nodes[node], *part = &s->t->nodes[n->c];
    aios__tp_scope *caller = s->scope;
    aios__tp_loop *l = aios__tp_alloc(s, sizeof *l);
    if (!l)
        return s->rc;
    *l = (aios__tp_loop){.depth0 = depth0, .node = node, .scope = outer, .changed = {.t = T_ABSENT}};
    TP_TRY(aios__tp_items(s, iter, &l->items, &l->n));
    s->scope = outer;
    if (part->a)
        TP_TRY(filter_items(s, n->a, part->a, l));
    uint32_t sym_loop = UINT32_MAX;
    for (uint32_t i = 0; i < s->t->n_syms && sym_loop == UINT32_MAX; i++)
        if (s->t->syms[i].n == 4 && !memcmp(s->t->syms[i].s, "loop", 4))
            sym_loop = i;
    TP_TRY(loop_body(s, n, part, l, sym_loop));
    if (!l->n && part->c) {
        if (!aios__tp_scope_push(s))
            return s->rc;
        int flow = aios__tp_exec(s, part->c);
        s->scope = caller;
        return flow;
    }
    s->scope = caller;
    return 0;
}

static int exec_for(tp *s, const aios__tp_node *n)
{
    aios__tp_val iter;
    TP_TRY(aios__tp_eval(s, n->b, &iter));
    s->pos = n->pos;
    return aios__tp_loop_run(s, (uint32_t)(n - s->t->nodes), iter, 0, s->scope);
}

static int exec_set(tp *s, const aios__tp_node *n)
{
    aios__tp_val v;
    TP_TRY(aios__tp_eval(s, n->b, &v));
    s->pos = n->pos;
    return assign(s, n->a, v);
}

/* Runs a body in a scope of its own and returns what it wrote. */
static int capture_body(tp *s, uint32_t body, aios__tp_val *v)
{
    aios__tp_scope *outer = s->scope;
    if (!aios__tp_scope_push(s))
        return s->rc;
    size_t mark = aios__tp_capture_begin(s);
    int flow = aios__tp_exec(s, body);
    if (flow < 0)
        return flow;
    s->scope = outer;
    TP_TRY(aios__tp_capture_end(s, mark, v));
    return flow;
}

static int apply_filters(tp *s, uint32_t first, aios__tp_val *v)
{
    for (uint32_t i = first; i; i = s->t->nodes[i].next) {
        const aios__tp_node *f = &s->t->nodes[i];
        aios__tp_args a = {0};
        s->pos = f->pos;
        if (!f->fn)
            return aios__tp_fail(s, "no filter named '%.*s'", (int)f->v.n, f->v.u.s);
        TP_TRY(aios__tp_call_args(s, f->a, &a));
        s->pos = f->pos;
        TP_TRY(aios__tp_call_fn(s, f->fn, *v, &a, v));
    }
    return 0;
}

static int exec_setblock(tp *s, const aios__tp_node *n)
{
    aios__tp_val v;
    int flow = capture_body(s, n->c, &v);
    if (flow)
        return flow;
    TP_TRY(apply_filters(s, n->b, &v));
    return assign(s, n->a, v);
}

static int exec_filterblock(tp *s, const aios__tp_node *n)
{
    aios__tp_val v;
    int flow = capture_body(s, n->b, &v);
    if (flow)
        return flow;
    TP_TRY(apply_filters(s, n->a, &v));
    TP_TRY(aios__tp_to_str(s, v, &v));
    return aios__tp_emit(s, v.u.s, v.n);
}

static int exec_macro(tp *s, const aios__tp_node *n)
{
    aios__tp_macro *m = aios__tp_macro_new(s, (uint32_t)(n - s->t->nodes));
    if (!m)
        return s->rc;
    return aios__tp_scope_set(s, n->sym, (aios__tp_val){.t = T_MACRO, .u.macro = m});
}

/* The last link of the call expression is called with `caller` as one more keyword. */
static int exec_callblock(tp *s, const aios__tp_node *n)
{
    aios__tp_val v;
    aios__tp_args a = {0};
    aios__tp_macro *m = aios__tp_macro_new(s, (uint32_t)(n - s->t->nodes));
    if (!m)
        return s->rc;
    uint32_t first = s->t->nodes[n->c].a, last = s->t->nodes[first].next;
    TP_TRY(aios__tp_eval(s, first, &v));
    for (; s->t->nodes[last].next; last = s->t->nodes[last].next) {
        const aios__tp_node *link = &s->t->nodes[last];
        if (link->k != N_ATTR)
            return aios__tp_fail(s, "a call block calls a name or an attribute");
        TP_TRY(aios__tp_attr(s, v, link->v, &v));
    }
    TP_TRY(aios__tp_call_args(s, s->t->nodes[last].a, &a));
    TP_TRY(aios__tp_args_kw(s, &a, aios__tp_str("caller", 6), (aios__tp_val){.t = T_MACRO, .u.macro = m}));
    s->pos = n->pos;
    TP_TRY(aios__tp_call_value(s, v, &a, &v));
    TP_TRY(aios__tp_to_str(s, v, &v));
    return aios__tp_emit(s, v.u.s, v.n);
}

static int exec_with(tp *s, const aios__tp_node *n)
{
    aios__tp_scope *outer = s->scope, *inner = aios__tp_scope_push(s);
    if (!inner)
        return s->rc;
    for (uint32_t i = n->k == N_WITH ? n->a : 0; i; i = s->t->nodes[i].next) {
        aios__tp_val v;
        s->scope = outer;
        TP_TRY(aios__tp_eval(s, s->t->nodes[i].b, &v));
        s->scope = inner;
        TP_TRY(assign(s, s->t->nodes[i].a, v));
    }
    int flow = aios__tp_exec(s, n->b);
    s->scope = outer;
    return flow;
}

static int exec_jump(tp *s, const aios__tp_node *n)
{
    (void)s;
    return n->k == N_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
}

typedef int exec_fn(tp *s, const aios__tp_node *n);
static exec_fn *const execs[] = {
    [N_DATA] = exec_data, [N_PRINT] = exec_print, [N_IF] = exec_if, [N_FOR] = exec_for, [N_SET] = exec_set,
    [N_SETBLOCK] = exec_setblock, [N_MACRO] = exec_macro, [N_CALLBLOCK] = exec_callblock, [N_FILTERBLOCK] = exec_filterblock,
    [N_WITH] = exec_with, [N_SCOPE] = exec_with, [N_BREAK] = exec_jump, [N_CONTINUE] = exec_jump,
};

int aios__tp_exec(tp *s, uint32_t node)
{
    TP_TRY(aios__tp_enter(s));
    int flow = 0;
    for (; node && !flow; node = s->t->nodes[node].next) {
        const aios__tp_node *n = &s->t->nodes[node];
        s->pos = n->pos;
        flow = aios__tp_burn(s, 1);
        if (!flow)
            flow = execs[n->k](s, n);
    }
    aios__tp_leave(s);
    return flow;
}
