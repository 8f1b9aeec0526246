/* SPDX-License-Identifier: Apache-2.0 */
/* State of the schema compiler, shared by its two files. */
#ifndef AIOS_LIB_GRAMMAR_SCHEMA_H
#define AIOS_LIB_GRAMMAR_SCHEMA_H

#include "llm/grammar_priv.h"
#include "llm/schema_priv.h"

/** A set of parts (subschema << 2 | which keywords), sorted, at pool[at], and the node that stands for it. */
typedef struct conj {
    uint32_t at, n, node;
} conj;

typedef struct comp {
    aios_grammar *g;
    const aios__schema *s;
    bool closed;  /**< a root object without properties stays empty */
    bool at_root; /**< the conjunction under way is the root's */
    uint32_t never_node, any[16];
    uint32_t *part, n_part, cap_part; /**< the set being built: aios__comp_clear, _add ..., _node */
    uint32_t *queue, n_queue, cap_queue;
    bool never;
    uint32_t *pool, n_pool, cap_pool;
    conj *conjs;
    uint32_t n_conjs, cap_conjs;
    uint32_t *map, map_size;
} comp;

int aios__comp_fail(comp *c, uint32_t sub, enum aios__kw kw, const char *why, aios_error *err);
void aios__comp_clear(comp *c);
int aios__comp_add(comp *c, const aios__json *schema, aios_error *err);
int aios__comp_node(comp *c, uint32_t *node, aios_error *err);
uint32_t aios__comp_own(const comp *c, const conj *k, uint32_t i);
void aios__comp_counts(const comp *c, const conj *k, enum aios__kw min_kw, enum aios__kw max_kw, uint64_t *min, uint64_t *max);
/** Adds an object node. */
int aios__comp_obj(comp *c, const aios__gobj *o, uint32_t *node, aios_error *err);
/** Object or array node of a conjunction of own parts. */
int aios__comp_object(comp *c, const conj *k, uint32_t *node, aios_error *err);
int aios__comp_array(comp *c, const conj *k, uint32_t *node, aios_error *err);

#endif
