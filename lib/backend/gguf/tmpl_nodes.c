/* SPDX-License-Identifier: Apache-2.0 */
/* What both parsers share: nodes, symbols and the stream of tokens. */
#include "backend/gguf/tmpl_parse.h"

int aios__tp_parse_fail(aios__tp_parser *p, const char *what)
{
    const aios__tp_token *t = aios__tp_cur(p);
    p->s->pos = t->pos;
    if (t->k == K_NAME)
        return aios__tp_fail(p->s, "%s, found '%.*s'", what, (int)t->v.n, t->v.u.s);
    if (t->k == K_OP)
        return aios__tp_fail(p->s, "%s, found '%c%.1s'", what, t->op & 255, t->op >> 8 ? (char[2]){(char)(t->op >> 8), 0} : "");
    static const char *const names[] = {"the end of the template", "text", "{{", "}}", "{%", "%}", "", "a string", "a number", "a number"};
    return aios__tp_fail(p->s, "%s, found %s", what, names[t->k]);
}

int aios__tp_deeper(aios__tp_parser *p)
{
    if (++p->depth <= TP_MAX_DEPTH)
        return 0;
    p->s->pos = aios__tp_cur(p)->pos;
    return aios__tp_limit(p->s, "it is nested deeper than %d", TP_MAX_DEPTH);
}

int aios__tp_node_new(aios__tp_parser *p, uint8_t k, uint32_t *out)
{
    aios__template *t = p->t;
    if (t->n_nodes == t->cap_nodes) {
        uint32_t cap = t->cap_nodes ? 2 * t->cap_nodes : 256;
        void *q = aios__realloc(t->arena.heap, AIOS_MEM_TEXT, t->nodes, cap * sizeof *t->nodes, p->s->err);
        if (!q)
            return p->s->rc = p->s->err->code;
        t->nodes = q;
        t->cap_nodes = cap;
    }
    if (!t->n_nodes)
        t->nodes[t->n_nodes++] = (aios__tp_node){0};
    t->nodes[t->n_nodes] = (aios__tp_node){.k = k, .pos = aios__tp_cur(p)->pos};
    *out = t->n_nodes++;
    return 0;
}

void aios__tp_kids_add(aios__tp_parser *p, aios__tp_kids *kids, uint32_t node)
{
    if (kids->last)
        aios__tp_at(p, kids->last)->next = node;
    else
        kids->first = node;
    kids->last = node;
}

int aios__tp_symbol(aios__tp_parser *p, aios__tp_val name, uint32_t *sym)
{
    aios__template *t = p->t;
    for (uint32_t i = 0; i < t->n_syms; i++)
        if (t->syms[i].n == name.n && !memcmp(t->syms[i].s, name.u.s, name.n)) {
            *sym = i;
            return 0;
        }
    if (t->n_syms == t->cap_syms) {
        uint32_t cap = t->cap_syms ? 2 * t->cap_syms : 32;
        if (cap > 4096) {
            p->s->pos = aios__tp_cur(p)->pos;
            return aios__tp_limit(p->s, "more than 4096 names");
        }
        void *q = aios__realloc(t->arena.heap, AIOS_MEM_TEXT, t->syms, cap * sizeof *t->syms, p->s->err);
        if (!q)
            return p->s->rc = p->s->err->code;
        t->syms = q;
        t->cap_syms = cap;
    }
    t->syms[t->n_syms] = (aios__tp_sym){.s = name.u.s, .n = name.n};
    *sym = t->n_syms++;
    return 0;
}

bool aios__tp_is_op(const aios__tp_parser *p, uint16_t op)
{
    return aios__tp_cur(p)->k == K_OP && aios__tp_cur(p)->op == op;
}

bool aios__tp_is_name(const aios__tp_token *t, const char *name)
{
    return t->k == K_NAME && t->v.n == strlen(name) && !memcmp(t->v.u.s, name, t->v.n);
}

bool aios__tp_skip_op(aios__tp_parser *p, uint16_t op)
{
    bool yes = aios__tp_is_op(p, op);
    if (yes)
        aios__tp_next(p);
    return yes;
}

bool aios__tp_skip_name(aios__tp_parser *p, const char *name)
{
    bool yes = aios__tp_is_name(aios__tp_cur(p), name);
    if (yes)
        aios__tp_next(p);
    return yes;
}

int aios__tp_expect_op(aios__tp_parser *p, uint16_t op)
{
    char what[32] = "expected ' '";
    what[10] = (char)op;
    return aios__tp_skip_op(p, op) ? 0 : aios__tp_parse_fail(p, what);
}

int aios__tp_expect_name(aios__tp_parser *p, aios__tp_val *name)
{
    if (aios__tp_cur(p)->k != K_NAME)
        return aios__tp_parse_fail(p, "expected a name");
    *name = aios__tp_cur(p)->v;
    aios__tp_next(p);
    return 0;
}

int aios__tp_expect(aios__tp_parser *p, uint8_t k, const char *what)
{
    if (aios__tp_cur(p)->k != k)
        return aios__tp_parse_fail(p, what);
    aios__tp_next(p);
    return 0;
}
