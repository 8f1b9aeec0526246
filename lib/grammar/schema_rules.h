/* SPDX-License-Identifier: Apache-2.0 */
/* The checker's machine, and the rules that it runs: one for each keyword that constrains (schema_rules.c). */
#ifndef AIOS_LIB_SCHEMA_RULES_H
#define AIOS_LIB_SCHEMA_RULES_H

#include <aios/grammar.h>

#include "grammar/schema_priv.h"

/** What a rule says; CHILD: `ch` is to be checked next, then the rule is asked again. */
enum { AIOS__FAIL, AIOS__PASS, AIOS__CHILD };
enum { AIOS__GOT_NONE = -1 };

typedef struct aios__frame {
    uint32_t sub;
    uint32_t k;    /**< keyword under way, from sub.first */
    uint32_t i;    /**< children of the keyword begun */
    uint32_t n_ok;
    size_t at;     /**< the rule's own place */
    void *it;      /**< the rule's own iterator */
    bool done;     /**< it has come to its end */
    int got;       /**< FAIL, PASS of the last child, or GOT_NONE */
    bool quiet;    /**< a failure here is no violation yet */
    bool part;     /**< the first frame: one keyword of it counts */
    bool want;     /**< which members or items were evaluated matters */
    bool join;     /**< what was evaluated here counts for the frame below too */
    bool memo;     /**< the result is worth keeping */
    bool passing;  /**< v is a name, which lasts no longer than its check */
    aios__json_doc *owned; /**< that v is from, or NULL */
    size_t bits;   /**< of the evaluated ones, in the checker's; one for each member or item of v */
    const aios__json *v;
    const char *key; /**< how v is reached from the frame below: member, element, or neither */
    uint32_t index;
} aios__frame;

typedef struct aios__memo {
    const aios__json *v;
    uint32_t sub;
    int result;
} aios__memo;

typedef struct aios__checker {
    const aios__schema *s;
    aios__frame *frames;
    uint32_t n, cap;
    uint64_t *bits;
    uint32_t n_bits, cap_bits;
    aios__memo *memo; /**< hash of (subschema, value) */
    uint32_t n_memo, memo_size;
    enum aios__kw only; /**< of the first frame; AIOS__KW_COUNT: all */
    uint64_t steps;
    uint64_t n_told; /**< violations */
    aios_violation_fn *tell; /**< NULL: the first one ends the check */
    void *user;
    int rc;
    aios_error *err;
} aios__checker;

typedef struct aios__child {
    uint32_t sub;
    const aios__json *v;
    const char *key;
    uint32_t index;
    bool quiet;
    aios__json_doc *owned; /**< NULL, or what v is from: the frame's from here on */
    bool join; /**< it is applied to the same value, and what it evaluates is evaluated */
} aios__child;

typedef int aios__rule(aios__checker *c, aios__frame *f, const aios__kwval *kv, aios__child *ch);

/** NULL for keywords that say nothing alone. */
aios__rule *aios__schema_rule(enum aios__kw kw);

/* ---- schema_check.c, for the rules --------------------------------------------------------------------------------- */

/** FAIL, or PASS where violations are told and the check goes on. */
int aios__violation(aios__checker *c, const char *why, const char *what);
/** Counts n steps; the checker's code. */
int aios__spend(aios__checker *c, uint64_t n);
/** Member or item i of the frame's value counts as evaluated. */
void aios__evaluated(aios__checker *c, const aios__frame *f, size_t i);
bool aios__is_evaluated(const aios__checker *c, const aios__frame *f, size_t i);

#endif
