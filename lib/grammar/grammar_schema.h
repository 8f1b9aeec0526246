/* SPDX-License-Identifier: Apache-2.0 */
/* State of the schema compiler, shared by its files. */
#ifndef AIOS_LIB_GRAMMAR_SCHEMA_H
#define AIOS_LIB_GRAMMAR_SCHEMA_H

#include "grammar/program.h"
#include "grammar/schema_priv.h"

#define AIOS__COUNT_MAX UINT64_C(1000000000000000000) /**< stands for no bound */

/**
 * One thing that must hold of a value: subschema << 40 | what << 33 | negated << 32 | index. What: a keyword, with NONE or a member of its
 * value as index, or one of those below.
 */
typedef uint64_t part;

enum {
    PART_OWN = AIOS__KW_COUNT, /**< all keywords of a subschema but those that have parts of their own; never negated */
    PART_SUB,                  /**< negated: the subschema does not hold, whatever keyword says so */
    PART_HAS,                  /**< names[index] is a property; negated: the value is an object without it */
    PART_FREE_OF,              /**< if the value is an object, it has no property names[index] */
    PART_LAST
};

/** A set of parts, sorted, at pool[at], and the node that stands for it. */
typedef struct conj {
    uint32_t at, n, node;
} conj;

/** Alternatives of a oneOf that may hold together, for values of some types: n pairs at pairs[at]. */
typedef struct overlap {
    uint32_t sub, at, n, types;
    bool neg;
} overlap;

/** Subschemas that hold for the same value, `sub` and what is below it: n at held[at]. */
typedef struct held {
    uint32_t sub, at, n;
} held;

typedef struct comp {
    aios_grammar *g;
    const aios__schema *s;
    bool closed;  /**< a root object without properties stays empty */
    bool at_root; /**< the conjunction under way is the root's */
    uint32_t never_node, any[16];
    part *part; /**< the set being built: aios__comp_clear, _add ..., _node */
    uint32_t n_part, cap_part;
    uint32_t *queue, n_queue, cap_queue; /**< subschema << 1 | negated */
    uint32_t types;                      /**< that a value of the set may have, once it is settled */
    bool never;
    part *pool;
    uint32_t n_pool, cap_pool;
    conj *conjs;
    uint32_t n_conjs, cap_conjs, n_filled;
    uint32_t *map, map_size;
    const char **names;
    uint32_t n_names, cap_names;
    overlap *overlaps;
    uint32_t n_overlaps, cap_overlaps;
    uint32_t *pairs, n_pairs, cap_pairs;
    uint32_t *held, n_held, cap_held;
    bool marks;    /**< every subschema that holds has an own part, since unevaluated... must know */
    const aios__json *list; /**< whose values are tried */
    part under;    /**< the choice under way, to be named if there are too many */
} comp;

static inline part part_of(uint32_t sub, uint32_t what, bool neg, uint32_t index)
{
    return (part)sub << 40 | (part)what << 33 | (part)neg << 32 | index;
}
static inline uint32_t part_sub(part p)
{
    return (uint32_t)(p >> 40);
}
static inline uint32_t part_what(part p)
{
    return p >> 33 & 127;
}
static inline bool part_neg(part p)
{
    return p >> 32 & 1;
}
static inline uint32_t part_index(part p)
{
    return (uint32_t)p;
}
static inline part part_at(const comp *c, const conj *k, uint32_t i)
{
    return c->pool[k->at + i];
}

int aios__comp_fail(comp *c, uint32_t sub, enum aios__kw kw, const char *why, aios_error *err);
/** Refuses a keyword whose negation no walk enforces. */
int aios__comp_fail_denied(comp *c, uint32_t sub, enum aios__kw kw, aios_error *err);
/** The i-th member of an object of the schema's. */
const aios__json *aios__comp_member(const aios__json *map, uint32_t i, const char **key);

/* ---- grammar_parts.c: sets of parts ------------------------------------------------------------------------------- */

void aios__comp_clear(comp *c);
int aios__comp_add(comp *c, const aios__json *schema, bool neg, aios_error *err);
int aios__comp_part(comp *c, part p, aios_error *err);
/** Takes out of the set what its other parts say already; finds types and some contradictions. */
void aios__comp_settle(comp *c);
/** How many ways there are for a part to hold; 0: it is no choice. */
int aios__comp_ways(comp *c, part p, uint32_t *n, aios_error *err);
/** Adds the i-th of them to the set. */
int aios__comp_way(comp *c, part p, uint32_t i, aios_error *err);

/* ---- grammar_apart.c: schemas that no value fits both of ------------------------------------------------------------ */

/** The set's own parts and schema `sub` surely exclude each other. */
bool aios__comp_apart(comp *c, uint32_t sub);
/** What the set says of a property and the schema of the same surely exclude each other. */
bool aios__comp_apart_member(comp *c, const char *name, const aios__json *schema);
/** Which alternatives of the oneOf of sub may hold together, as far as can be seen; neg: whatever else sub says. */
int aios__comp_overlap(comp *c, uint32_t sub, bool neg, const overlap **out, aios_error *err);

/* ---- grammar_schema.c: nodes of sets -------------------------------------------------------------------------------- */

int aios__comp_node(comp *c, uint32_t *node, aios_error *err);
/** Fills the nodes of all sets that are not yet. */
int aios__comp_fill(comp *c, aios_error *err);
/** grammar_why.c: says in err why no value satisfies the schema, if it finds out; returns err's code. */
int aios__comp_why(comp *c, aios_error *err);
/** The i-th part's subschema if it is an own part, or NONE. */
uint32_t aios__comp_own(const comp *c, const conj *k, uint32_t i);
/** A keyword of it, or NULL. */
const aios__json *aios__comp_kw(const comp *c, const conj *k, uint32_t i, enum aios__kw kw);
/** Bounds by two counting keywords and their negations. */
void aios__comp_counts(const comp *c, const conj *k, enum aios__kw min_kw, enum aios__kw max_kw, uint64_t *min, uint64_t *max);

/* ---- grammar_keys.c: names as expressions ----------------------------------------------------------------------------- */

#define AIOS__KLASSES 64u

/** Names that the same patterns match: bits of their numbers. */
typedef struct klass {
    uint32_t rx;
    uint64_t in;
} klass;

/** Patterns of an object's names, each once, and the classes of names that they make. */
typedef struct keys {
    uint32_t pat[AIOS__KLASSES], n_pat;
    klass of[AIOS__KLASSES];
    uint32_t n;
} keys;

int aios__comp_pool(comp *c, aios_error *err);
/** The text s alone. */
int aios__comp_exact(comp *c, const char *s, size_t n, uint32_t *rx, aios_error *err);
/** The strings of a list (many), or the one; NOTHING if there is none. */
int aios__comp_texts(comp *c, const aios__json *v, bool many, uint32_t *rx, aios_error *err);
/** Strings for which the schema holds, or with neg surely does not; ESCHEMA where a format keeps these from being told. */
int aios__comp_strings(comp *c, uint32_t sub, bool neg, uint32_t *rx, aios_error *err);
/** Splits the names of `all` by the patterns. */
int aios__comp_split(comp *c, keys *k, uint32_t all, bool *fits, aios_error *err);

/* ---- grammar_held.c: what unevaluated... sees ------------------------------------------------------------------------- */

int aios__comp_held(comp *c, const conj *k, uint32_t sub, held *h, aios_error *err);
/** They speak of the property; of names of the class. */
int aios__comp_held_name(const comp *c, const held *h, const char *name, bool *is, aios_error *err);
bool aios__comp_held_class(const comp *c, const held *h, const keys *keys, const klass *k);
/** Items that they speak of, from the first one on; the k-th schema whose items count as spoken of too, or NULL. */
uint64_t aios__comp_held_items(const comp *c, const held *h);
const aios__json *aios__comp_held_contains(const comp *c, const held *h, uint32_t k);

/* ---- nodes of each type, of a conjunction without choices ------------------------------------------------------------ */

/** grammar_value.c: if the values are listed, their node. */
int aios__comp_listed(comp *c, const conj *k, bool *is, uint32_t *node, aios_error *err);
int aios__comp_words(comp *c, const conj *k, uint32_t types, uint32_t *node, aios_error *err);
/** grammar_literal.c: a value in every way that it may be written, for complete grammars. */
int aios__comp_value(comp *c, const aios__json *v, uint32_t *node, aios_error *err);
/** grammar_string.c, grammar_number.c */
int aios__comp_string(comp *c, const conj *k, uint32_t *node, aios_error *err);
int aios__comp_number_value(comp *c, const aios__json *v, uint32_t *node, aios_error *err);
int aios__comp_number(comp *c, const conj *k, uint32_t types, uint32_t *node, aios_error *err);
/** grammar_object.c, grammar_array.c */
int aios__comp_object(comp *c, const conj *k, uint32_t *node, aios_error *err);
int aios__comp_array(comp *c, const conj *k, uint32_t *node, aios_error *err);
/** Adds an object node. */
int aios__comp_obj(comp *c, const aios__gobj *o, uint32_t *node, aios_error *err);

#endif
