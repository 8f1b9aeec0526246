/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, builtin functions, macros. */
#include "backend/gguf/tmpl_priv.h"

int aios__tp_args_add(tp *s, aios__tp_args *a, aios__tp_val v)
{
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? 2 * a->cap : 4;
        aios__tp_val *p = aios__tp_alloc(s, cap * sizeof *p);
        if (!p)
            return s->rc;
        if (a->n)
            memcpy(p, a->v, a->n * sizeof *p);
        a->v = p;
        a->cap = cap;
    }
    a->v[a->n++] = v;
    return aios__tp_burn(s, 1);
}

int aios__tp_args_kw(tp *s, aios__tp_args *a, aios__tp_val name, aios__tp_val v)
{
    for (uint32_t i = 0; i < a->nkw; i++)
        if (a->kw[i].name.n == name.n && !memcmp(a->kw[i].name.u.s, name.u.s, name.n))
            return aios__tp_fail(s, "the argument '%.*s' is given twice", (int)name.n, name.u.s);
    if (a->nkw == a->capkw) {
        uint32_t cap = a->capkw ? 2 * a->capkw : 4;
        aios__tp_kw *p = aios__tp_alloc(s, cap * sizeof *p);
        if (!p)
            return s->rc;
        if (a->nkw)
            memcpy(p, a->kw, a->nkw * sizeof *p);
        a->kw = p;
        a->capkw = cap;
    }
    a->kw[a->nkw++] = (aios__tp_kw){name, v};
    return aios__tp_burn(s, 1 + a->nkw);
}

static int spread_list(tp *s, aios__tp_val v, aios__tp_args *a)
{
    aios__tp_val *items;
    uint32_t n;
    TP_TRY(aios__tp_items(s, v, &items, &n));
    for (uint32_t i = 0; i < n; i++)
        TP_TRY(aios__tp_args_add(s, a, items[i]));
    return 0;
}

static int spread_dict(tp *s, aios__tp_val v, aios__tp_args *a)
{
    if (v.t != T_DICT)
        return aios__tp_fail(s, "the argument after ** must be a mapping, not %s", aios__tp_type(v));
    TP_TRY(aios__tp_dict_load(s, v.u.m));
    for (uint32_t i = 0; i < v.u.m->n; i++) {
        if (v.u.m->k[i].t != T_STR)
            return aios__tp_fail(s, "keywords must be strings");
        TP_TRY(aios__tp_args_kw(s, a, v.u.m->k[i], v.u.m->v[i]));
    }
    return 0;
}

int aios__tp_call_args(tp *s, uint32_t first, aios__tp_args *a)
{
    for (uint32_t i = first; i; i = s->t->nodes[i].next) {
        const aios__tp_node *n = &s->t->nodes[i];
        aios__tp_val v;
        TP_TRY(aios__tp_eval(s, n->a, &v));
        if (n->k == N_ARG)
            TP_TRY(aios__tp_args_add(s, a, v));
        else if (n->k == N_KWARG)
            TP_TRY(aios__tp_args_kw(s, a, n->v, v));
        else
            TP_TRY(n->k == N_STAR ? spread_list(s, v, a) : spread_dict(s, v, a));
    }
    return 0;
}

/* Index of a name in "a,b|c,d" if a keyword may name it, else -1; *count: how many names there are. */
static int param_index(const char *params, aios__tp_val name, uint32_t *count)
{
    int found = -1, i = 0;
    bool keyword = true;
    for (const char *p = params; *p; i++) {
        size_t n = strcspn(p, ",|");
        if (keyword && n == name.n && n && !memcmp(p, name.u.s, n))
            found = i;
        if (p[n] == '|')
            keyword = false;
        p += n + (p[n] != 0);
    }
    *count = (uint32_t)i;
    return found;
}

static int bind(tp *s, aios__tp_call *c, const aios__tp_args *a)
{
    const aios__tp_fn *f = c->fn;
    uint32_t count;
    param_index(f->params, aios__tp_str("", 0), &count);
    for (uint32_t i = 0; i < TP_ARGV; i++)
        c->a[i] = (aios__tp_val){.t = T_ABSENT};
    if (a->n > count)
        return aios__tp_fail(s, "%s takes at most %u argument(s), %u given", f->name, count, a->n);
    for (uint32_t i = 0; i < a->n; i++)
        c->a[i] = a->v[i];
    for (uint32_t i = 0; i < a->nkw; i++) {
        int at = param_index(f->params, a->kw[i].name, &count);
        if (at < 0)
            return aios__tp_fail(s, "%s takes no keyword argument '%.*s'", f->name, (int)a->kw[i].name.n, a->kw[i].name.u.s);
        if (c->a[at].t != T_ABSENT)
            return aios__tp_fail(s, "%s got the argument '%.*s' twice", f->name, (int)a->kw[i].name.n, a->kw[i].name.u.s);
        c->a[at] = a->kw[i].v;
    }
    for (uint32_t i = 0; i < f->min; i++)
        if (c->a[i].t == T_ABSENT)
            return aios__tp_fail(s, "%s needs %u argument(s)", f->name, f->min);
    return 0;
}

int aios__tp_call_fn(tp *s, const aios__tp_fn *fn, aios__tp_val self, const aios__tp_args *a, aios__tp_val *out)
{
    aios__tp_call c = {.self = self, .raw = a, .fn = fn};
    TP_TRY(aios__tp_enter(s));
    int rc = fn->params ? bind(s, &c, a) : 0;
    if (!rc)
        rc = fn->fn(s, &c, out);
    aios__tp_leave(s);
    return rc;
}

aios__tp_macro *aios__tp_macro_new(tp *s, uint32_t node)
{
    aios__tp_macro *m = aios__tp_alloc(s, sizeof *m);
    if (!m)
        return NULL;
    const aios__tp_node *n = &s->t->nodes[node];
    *m = (aios__tp_macro){.node = node, .scope = s->scope, .name = n->k == N_MACRO ? n->v : aios__tp_str("caller", 6)};
    for (aios__tp_scope *c = s->scope; c && !c->captured; c = c->parent)
        c->captured = true;
    return m;
}

static int find_symbol(tp *s, const char *name, uint32_t *sym)
{
    size_t n = strlen(name);
    for (uint32_t i = 0; i < s->t->n_syms; i++)
        if (s->t->syms[i].n == n && !memcmp(s->t->syms[i].s, name, n)) {
            *sym = i;
            return 0;
        }
    return aios__tp_fail(s, "no name '%s'", name);
}

static int set_special(tp *s, const char *name, aios__tp_val v)
{
    uint32_t sym = 0;
    TP_TRY(find_symbol(s, name, &sym));
    return aios__tp_scope_set(s, sym, v);
}

/* Parameters in order; the used keywords are marked absent in kw. */
static int bind_params(tp *s, aios__tp_macro *m, const aios__tp_args *a, aios__tp_kw *kw, uint32_t *n_params, uint32_t *special)
{
    const aios__tp_node *def = &s->t->nodes[m->node];
    uint32_t k = 0;
    for (uint32_t i = def->a; i; i = s->t->nodes[i].next, k++) {
        const aios__tp_node *p = &s->t->nodes[i];
        aios__tp_val v = {.t = T_ABSENT};
        if (k < a->n)
            v = a->v[k];
        for (uint32_t j = 0; k >= a->n && j < a->nkw; j++)
            if (kw[j].v.t != T_ABSENT && kw[j].name.n == p->v.n && !memcmp(kw[j].name.u.s, p->v.u.s, p->v.n)) {
                v = kw[j].v;
                kw[j].v.t = T_ABSENT;
            }
        if (v.t == T_ABSENT) {
            if (p->a)
                TP_TRY(aios__tp_eval(s, p->a, &v));
            else
                v = aios__tp_undef(UNDEF_NAME, p->v.u.s, p->v.n);
        }
        TP_TRY(aios__tp_scope_set(s, p->sym, v));
        static const struct { const char *name; uint32_t bit; } names[] = {{"caller", USES_CALLER}, {"varargs", USES_VARARGS}, {"kwargs", USES_KWARGS}};
        for (size_t j = 0; j < 3; j++)
            if (p->v.n == strlen(names[j].name) && !memcmp(p->v.u.s, names[j].name, p->v.n))
                *special |= names[j].bit;
    }
    *n_params = k;
    return 0;
}

static int bind_specials(tp *s, aios__tp_macro *m, const aios__tp_args *a, aios__tp_kw *kw, uint32_t n_params, uint32_t special)
{
    const uint32_t uses = s->t->nodes[m->node].op & ~special;
    aios__tp_val rest, v = aios__tp_undef(UNDEF_HINT, "No caller defined", 17);
    if (uses & USES_CALLER) {
        for (uint32_t j = 0; j < a->nkw; j++)
            if (kw[j].v.t != T_ABSENT && kw[j].name.n == 6 && !memcmp(kw[j].name.u.s, "caller", 6)) {
                v = kw[j].v;
                kw[j].v.t = T_ABSENT;
            }
        TP_TRY(set_special(s, "caller", v));
    }
    if (uses & USES_KWARGS) {
        TP_TRY(aios__tp_dict_new(s, T_DICT, 0, &rest));
        for (uint32_t j = 0; j < a->nkw; j++)
            if (kw[j].v.t != T_ABSENT)
                TP_TRY(aios__tp_dict_set(s, rest.u.m, kw[j].name, kw[j].v));
        TP_TRY(set_special(s, "kwargs", rest));
    } else {
        for (uint32_t j = 0; j < a->nkw; j++)
            if (kw[j].v.t != T_ABSENT)
                return aios__tp_fail(s, "macro '%.*s' takes no keyword argument '%.*s'", (int)m->name.n, m->name.u.s, (int)kw[j].name.n,
                               kw[j].name.u.s);
    }
    if (uses & USES_VARARGS) {
        TP_TRY(aios__tp_list_new(s, T_TUPLE, 0, &rest));
        for (uint32_t j = n_params; j < a->n; j++)
            TP_TRY(aios__tp_list_add(s, rest.u.l, a->v[j]));
        return set_special(s, "varargs", rest);
    }
    if (a->n > n_params)
        return aios__tp_fail(s, "macro '%.*s' takes not more than %u argument(s)", (int)m->name.n, m->name.u.s, n_params);
    return 0;
}

static int run_macro(tp *s, aios__tp_macro *m, const aios__tp_args *a, aios__tp_val *out)
{
    uint32_t n_params = 0, special = 0;
    aios__tp_kw *kw = aios__tp_alloc(s, a->nkw * sizeof *kw + 1);
    if (!kw)
        return s->rc;
    if (a->nkw)
        memcpy(kw, a->kw, a->nkw * sizeof *kw);
    if (!aios__tp_scope_push(s))
        return s->rc;
    TP_TRY(bind_params(s, m, a, kw, &n_params, &special));
    TP_TRY(bind_specials(s, m, a, kw, n_params, special));
    size_t mark = aios__tp_capture_begin(s);
    TP_TRY(aios__tp_exec(s, s->t->nodes[m->node].b));
    return aios__tp_capture_end(s, mark, out);
}

int aios__tp_call_macro(tp *s, aios__tp_macro *m, const aios__tp_args *a, aios__tp_val *out)
{
    aios__tp_scope *caller = s->scope;
    TP_TRY(aios__tp_enter(s));
    s->scope = m->scope;
    int rc = run_macro(s, m, a, out);
    s->scope = caller;
    aios__tp_leave(s);
    return rc;
}

static int call_loop(tp *s, aios__tp_loop *l, const aios__tp_args *a, aios__tp_val *out)
{
    if (!s->t->nodes[l->node].op)
        return aios__tp_fail(s, "the loop must have the 'recursive' marker to be called");
    if (a->n != 1 || a->nkw)
        return aios__tp_fail(s, "loop() takes one argument");
    size_t mark = aios__tp_capture_begin(s);
    TP_TRY(aios__tp_loop_run(s, l->node, a->v[0], l->depth0 + 1, l->scope));
    return aios__tp_capture_end(s, mark, out);
}

static int call_joiner(tp *s, aios__tp_val f, aios__tp_val *out)
{
    (void)s;
    aios__tp_list *l = f.u.l;
    *out = l->pos ? l->v[0] : aios__tp_str("", 0);
    l->pos = 1;
    return 0;
}

int aios__tp_call_value(tp *s, aios__tp_val f, const aios__tp_args *a, aios__tp_val *out)
{
    switch (f.t) {
    case T_FUNC:
        return aios__tp_call_fn(s, f.u.fn, aios__tp_none(), a, out);
    case T_METHOD:
        return aios__tp_call_fn(s, f.u.bound->fn, f.u.bound->self, a, out);
    case T_MACRO:
        return aios__tp_call_macro(s, f.u.macro, a, out);
    case T_LOOP:
        return call_loop(s, f.u.loop, a, out);
    case T_JOINER:
        return call_joiner(s, f, out);
    case T_UNDEF:
        return aios__tp_undefined(s, f);
    default:
        return aios__tp_fail(s, "'%s' object is not callable", aios__tp_type(f));
    }
}
