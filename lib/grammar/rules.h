/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Context-free rules, as GBNF and Lark write them, and the way from them to a grammar's program. A walk enters nodes without reading, so
 * what reaches itself on the left is rewritten (rules_left.c), and what may be empty is split into "empty" and "not empty" wherever that
 * matters (rules_emit.c): a program has one way at most to read nothing.
 */
#ifndef AIOS_LIB_RULES_H
#define AIOS_LIB_RULES_H

#include "grammar/program.h"

#define AIOS__RULES_TERMS 150000u
#define AIOS__RULES_MAX 50000u
#define AIOS__RULES_TEXT ((size_t)1 << 20)
#define AIOS__RULES_ENDLESS UINT32_MAX

enum aios__term_kind {
    AIOS__T_LIT,  /**< bytes[a] of the grammar, b of them */
    AIOS__T_RX,   /**< expression expr */
    AIOS__T_NODE, /**< node a of the program, never empty */
    AIOS__T_REF,  /**< rule a; b: the next reference to it */
    AIOS__T_SEQ,  /**< b terms at list[a]; rest: the same without the first, once it was asked for */
    AIOS__T_ALT,  /**< one of b terms at list[a] */
    AIOS__T_REP,  /**< term a, min .. max times */
    AIOS__T_AND,  /**< in terminals: all of b terms at list[a] */
    AIOS__T_NOT,  /**< in terminals: whatever term a is not */
    AIOS__T_LAZY  /**< in terminals: texts of term a that begin with no other of them */
};

enum {
    AIOS__T_NULLABLE = 1,
    AIOS__T_REGULAR = 2, /**< an expression of its own, small enough */
    AIOS__T_TOKEN = 4,   /**< part of a terminal: regular, whatever its size */
    AIOS__T_SKIP = 8,    /**< what may stand between terminals, but not before the first */
    AIOS__T_WRAP = 16    /**< a sequence of such and a terminal: nothing, if the terminal is */
};

/** Which texts of a term a node stands for. FIRST: those that are not empty, without anything skipped before the first terminal. */
enum { AIOS__T_SOME, AIOS__T_FULL, AIOS__T_FIRST, AIOS__T_MODES };

/** A part of a rule. Each has one parent, or is the body of a rule. Number 0 is none. */
typedef struct aios__term {
    uint8_t kind, flags;
    uint32_t a, b, min, max;
    uint32_t up, rule; /**< parent; 1 + the rule whose body it is; 0: none */
    uint32_t left;     /**< children that a fact is still waiting for */
    uint32_t rest;
    uint32_t expr, weight; /**< of regular ones: expression and what it costs to step */
    uint32_t size;         /**< characters that it can count */
    uint32_t comp, pos;    /**< 1 + the set of terms that reach each other on the left, and the place in it; 0: none */
    uint32_t node[AIOS__T_MODES]; /**< of the program; 0: not asked for yet */
} aios__term;

typedef struct aios__rule {
    uint32_t name, n_name; /**< in bytes of the text */
    uint32_t at;           /**< where it is defined, else first named */
    uint32_t body, refs;   /**< terms; 0: none */
    bool token;            /**< a terminal */
} aios__rule;

typedef struct aios__rules {
    aios_grammar *g;
    aios__heap *heap;
    const char *text;
    size_t n_text;
    aios__term *terms;
    uint32_t n_terms, cap_terms;
    aios__rule *rules;
    uint32_t n_rules, cap_rules;
    uint32_t *list, n_list, cap_list;
    uint32_t *map, map_size; /**< rules by hash of the name, + 1 */
    uint32_t *todo, n_todo, cap_todo;
    uint32_t *row, n_row, cap_row; /**< nodes or terms of the list being made */
    struct aios__left *left;
    uint64_t fuel;
    uint32_t empty, never; /**< nodes; 0: none yet */
    uint8_t flags;  /**< of the terms that are made from here on: TOKEN, SKIP, WRAP or none */
    bool skips;     /**< there are terms to skip; the text does not begin with one */
    bool mixed;     /**< some nodes come from elsewhere */
} aios__rules;

/** The text stays the caller's. ELIMIT if it is too long. */
int aios__rules_init(aios__rules *r, aios_grammar *g, const char *text, size_t n, aios_error *err);
void aios__rules_free(aios__rules *r);
/** Fails with "line, column: ..." of byte `at` of the text. */
int aios__rules_fail(const aios__rules *r, int code, size_t at, aios_error *err, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* ---- terms; each returns its number in *out ---------------------------------------------------------------------- */

int aios__rules_lit(aios__rules *r, const char *s, size_t n, uint32_t *out, aios_error *err);
int aios__rules_rx(aios__rules *r, uint32_t expr, uint32_t weight, uint32_t *out, aios_error *err);
int aios__rules_node(aios__rules *r, uint32_t node, uint32_t *out, aios_error *err);
/** NOT or LAZY. */
int aios__rules_unary(aios__rules *r, uint8_t kind, uint32_t t, uint32_t *out, aios_error *err);
int aios__rules_rep(aios__rules *r, uint32_t t, uint32_t min, uint32_t max, uint32_t *out, aios_error *err);
/** SEQ, ALT or AND; of one term: that one. */
int aios__rules_list(aios__rules *r, uint8_t kind, const uint32_t *t, size_t n, uint32_t *out, aios_error *err);
/** The rule of that name, made when it is new. The name lies in the text. */
int aios__rules_find(aios__rules *r, size_t at, size_t n, uint32_t *rule, aios_error *err);
int aios__rules_ref(aios__rules *r, uint32_t rule, uint32_t *out, aios_error *err);
void aios__rules_define(aios__rules *r, uint32_t rule, size_t at, uint32_t body);

/** From the rules to the program's root. ESCHEMA: a rule is missing, or the root has no sentence. */
int aios__rules_build(aios__rules *r, uint32_t root, aios_error *err);

/* ---- rules_facts.c, rules_left.c, rules_emit.c, rules_finish.c ------------------------------------------------------------------- */

/** Which terms may be empty, which are regular. */
int aios__rules_facts(aios__rules *r, aios_error *err);
/** The expression of a regular term. */
int aios__rules_expr(aios__rules *r, uint32_t t, uint32_t *expr, aios_error *err);
/** The texts of an expression but the empty one. */
int aios__rules_some(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err);
/** True if a and b together are small enough for one expression. */
bool aios__rules_joins(const aios__rules *r, uint64_t weight, uint64_t size);
/** Makes the rests of a sequence. */
int aios__rules_rests(aios__rules *r, uint32_t t, aios_error *err);
/** What a repeat goes on with after the first time; 0: nothing. */
int aios__rules_rest_of_rep(aios__rules *r, uint32_t t, uint32_t *rest, aios_error *err);
int aios__rules_left(aios__rules *r, aios_error *err);
void aios__rules_left_free(aios__rules *r);
/** Fills `node` for term t, which reaches itself on the left; mode SOME or FIRST. */
int aios__rules_emit_left(aios__rules *r, uint32_t t, int mode, uint32_t node, aios_error *err);
/** The node of a term, filled later. */
int aios__rules_node_of(aios__rules *r, uint32_t t, int mode, uint32_t *node, aios_error *err);
/** The node of a term, filled with all that it needs. */
int aios__rules_emit(aios__rules *r, uint32_t t, uint32_t *node, aios_error *err);
/** Drops what has no sentence; ESCHEMA if the root has none. For programs whose nodes all come from rules. */
int aios__rules_finish(aios__rules *r, aios_error *err);
int aios__rules_empty(aios__rules *r, uint32_t *node, aios_error *err);
/** Makes node a list of what was pushed to row since `from`, and takes that off. */
int aios__rules_fill(aios__rules *r, uint32_t node, uint8_t kind, uint32_t from, aios_error *err);
int aios__rules_push(aios__rules *r, uint32_t v, aios_error *err);
/** Pushes to todo. */
int aios__rules_later(aios__rules *r, uint32_t v, aios_error *err);

static inline bool aios__rules_nullable(const aios__rules *r, uint32_t t)
{
    return r->terms[t].flags & AIOS__T_NULLABLE;
}

/** grammar_gbnf.c: the whole program of a grammar in GBNF. */
int aios__grammar_gbnf(aios_grammar *g, const char *s, size_t n, aios_error *err);
/** grammar_lark.c: likewise, of one in Lark. */
int aios__grammar_lark(aios_grammar *g, const char *s, size_t n, aios_error *err);

#endif
