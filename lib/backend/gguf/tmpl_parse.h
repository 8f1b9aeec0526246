/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_TMPL_PARSE_H
#define AIOS_LIB_TMPL_PARSE_H

#include "backend/gguf/tmpl_lex.h"

typedef struct tp_parser {
    tp *s;
    aios__template *t;
    const tp_token *tok;
    uint32_t i, n, depth, uses, loops;
} tp_parser;

typedef struct tp_kids { uint32_t first, last; } tp_kids;

/* tmpl_expr.c: each sets *out to a node. */
int tp_parse_expr(tp_parser *p, bool cond, uint32_t *out);
int tp_parse_tuple(tp_parser *p, bool cond, const char *end_name, bool parens, uint32_t *out);
int tp_parse_target(tp_parser *p, bool ns, const char *end_name, uint32_t *out);
int tp_parse_filters(tp_parser *p, bool inline_first, uint32_t *out);

/* tmpl_nodes.c */
int tp_node_new(tp_parser *p, uint8_t k, uint32_t *out);
void tp_kids_add(tp_parser *p, tp_kids *kids, uint32_t node);
int tp_symbol(tp_parser *p, tp_val name, uint32_t *sym);
int tp_parse_fail(tp_parser *p, const char *what);
int tp_deeper(tp_parser *p);
int tp_expect_op(tp_parser *p, uint16_t op);
int tp_expect_name(tp_parser *p, tp_val *name);
int tp_expect(tp_parser *p, uint8_t k, const char *what);
static inline const tp_token *tp_cur(const tp_parser *p) { return &p->tok[p->i]; }
static inline void tp_next(tp_parser *p) { p->i += p->i + 1 < p->n; }
static inline tp_node *tp_at(const tp_parser *p, uint32_t i) { return &p->t->nodes[i]; }
bool tp_is_op(const tp_parser *p, uint16_t op);
bool tp_is_name(const tp_token *t, const char *name);
bool tp_skip_op(tp_parser *p, uint16_t op);
bool tp_skip_name(tp_parser *p, const char *name);

#endif
