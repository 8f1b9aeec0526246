/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_TMPL_PARSE_H
#define AIOS_LIB_TMPL_PARSE_H

#include "backend/gguf/tmpl_lex.h"

typedef struct aios__tp_parser {
    tp *s;
    aios__template *t;
    const aios__tp_token *tok;
    uint32_t i, n, depth, uses, loops;
} aios__tp_parser;

typedef struct aios__tp_kids { uint32_t first, last; } aios__tp_kids;

/* tmpl_expr.c: each sets *out to a node. */
int aios__tp_parse_expr(aios__tp_parser *p, bool cond, uint32_t *out);
int aios__tp_parse_tuple(aios__tp_parser *p, bool cond, const char *end_name, bool parens, uint32_t *out);
int aios__tp_parse_target(aios__tp_parser *p, bool ns, const char *end_name, uint32_t *out);
int aios__tp_parse_filters(aios__tp_parser *p, bool inline_first, uint32_t *out);

/* tmpl_nodes.c */
int aios__tp_node_new(aios__tp_parser *p, uint8_t k, uint32_t *out);
void aios__tp_kids_add(aios__tp_parser *p, aios__tp_kids *kids, uint32_t node);
int aios__tp_symbol(aios__tp_parser *p, aios__tp_val name, uint32_t *sym);
int aios__tp_parse_fail(aios__tp_parser *p, const char *what);
int aios__tp_deeper(aios__tp_parser *p);
int aios__tp_expect_op(aios__tp_parser *p, uint16_t op);
int aios__tp_expect_name(aios__tp_parser *p, aios__tp_val *name);
int aios__tp_expect(aios__tp_parser *p, uint8_t k, const char *what);
static inline const aios__tp_token *aios__tp_cur(const aios__tp_parser *p) { return &p->tok[p->i]; }
static inline void aios__tp_next(aios__tp_parser *p) { p->i += p->i + 1 < p->n; }
static inline aios__tp_node *aios__tp_at(const aios__tp_parser *p, uint32_t i) { return &p->t->nodes[i]; }
bool aios__tp_is_op(const aios__tp_parser *p, uint16_t op);
bool aios__tp_is_name(const aios__tp_token *t, const char *name);
bool aios__tp_skip_op(aios__tp_parser *p, uint16_t op);
bool aios__tp_skip_name(aios__tp_parser *p, const char *name);

#endif
