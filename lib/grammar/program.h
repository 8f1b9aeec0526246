/* SPDX-License-Identifier: Apache-2.0 */
/* The program that every grammar becomes, and the walker's state. Repeats are counters, never unrolled. */
#ifndef AIOS_LIB_GRAMMAR_PRIV_H
#define AIOS_LIB_GRAMMAR_PRIV_H

#include "grammar/grammar_mask.h"
#include "grammar/grammar_memory.h"
#include "grammar/rx.h"

#define AIOS__G_NONE UINT32_MAX
#define AIOS__G_DEPTH 200        /**< containers inside each other in generated text */
#define AIOS__G_ENDLESS UINT16_MAX /**< height of a node without sentences */
#define AIOS__G_THREADS 1024u    /**< parallel readings of the same text */
#define AIOS__G_FRAMES 4000000u
#define AIOS__G_STATES (1u << 22)
#define AIOS__G_KEEP 8192u /**< frames that a walk has before it drops what its position does not need */
#define AIOS__G_NODES 100000u
#define AIOS__G_WORDS 8000000u

enum aios__gkind {
    AIOS__G_END,  /**< node 0: the whole sentence is there */
    AIOS__G_LIT,  /**< bytes[a], b of them */
    AIOS__G_SET,  /**< one of b literals, sorted: words[a] (offset, length, node that follows or NONE) */
    AIOS__G_STR,  /**< JSON string of min .. max code points that is in expression a of rx (NOTHING: in any); c: with any escapes */
    AIOS__G_INT,  /**< JSON integer: ints[a] */
    AIOS__G_NUM,  /**< JSON number: nums[a], or a NONE: any */
    AIOS__G_OBJ,  /**< JSON object: objs[a] */
    AIOS__G_ARR,  /**< JSON array of min .. max items: nodes of b prefix items, then of all others, at words[a]; arrs[c - 1] unless c is 0 */
    AIOS__G_ALT,  /**< one of b nodes at words[a] */
    AIOS__G_SEQ,  /**< b nodes at words[a], one after the other */
    AIOS__G_REP,  /**< node a, then node b again and again: min .. max of them in all, UINT64_MAX: no end; neither has the empty text */
    AIOS__G_RX,   /**< text of expression a of rx */
    AIOS__G_LAZY, /**< not compiled yet: arguments of tool a (grammar_calls.c) */
    AIOS__G_DEC,  /**< JSON number of any notation: decsets[a] */
    AIOS__G_BLANK /**< a blank, then the reading that the frame stands on (walk.c) */
};

typedef struct aios__gnode {
    uint8_t kind;
    uint16_t height; /**< containers that its shallowest sentence nests */
    uint32_t a, b, c;
    uint32_t few; /**< sentences, at least and up to AIOS__G_MANY; only if some array's items must differ */
    uint64_t min, max;
} aios__gnode;

/**
 * lo .. hi, multiples of mul, all at 10^-frac: a number with `frac` digits behind the point, the point left out. But for the values at
 * vals[outs], and the multiples of those at vals[nots].
 */
typedef struct aios__gint {
    int64_t lo, hi;
    uint64_t mul;
    uint32_t outs, n_outs, nots, n_nots;
    uint8_t frac;
} aios__gint;

/** digits * 10^exp. */
typedef struct aios__gdec {
    uint64_t digits;
    int32_t exp;
    bool neg;
} aios__gdec;

/** Bounds; and at decs[list] numbers of which all must be divisors, then those of which none, then values that are out. */
typedef struct aios__gdecs {
    aios__gdec lo, hi;
    bool has_lo, has_hi, lo_open, hi_open;
    uint32_t list, n_of, n_not, n_out;
} aios__gdecs;

#define AIOS__G_FRAC 24

/** A bound of a magnitude: whole.frac with frac of n digits, none of them a trailing zero. */
typedef struct aios__gbound {
    uint64_t whole;
    uint8_t frac[AIOS__G_FRAC];
    uint8_t n;
    bool open; /**< the bound itself is excluded */
} aios__gbound;

typedef struct aios__gside {
    bool any; /**< there are numbers of this sign */
    uint8_t max_frac;
    aios__gbound lo, hi;
} aios__gside;

typedef struct aios__gnum {
    aios__gside side[2]; /**< of positive and of negative numbers, by magnitude */
    uint32_t outs, n_outs, nots, n_nots; /**< as aios__gint has them, if frac is not 0 */
    uint8_t frac;
} aios__gnum;

/**
 * Members of an object. Properties come in order, then those with other names, and of these first one of each kind that is needed. loose:
 * in any order, and keys are sorted by what they mean, not by how they are written.
 */
typedef struct aios__gobj {
    uint32_t props, n;      /**< 4 words each (node, required, next required at or after, required from here on) */
    uint32_t keys, n_keys;  /**< sorted: 3 words each (offset, length of `"name":`, property or NONE: never) */
    /** AIOS__G_FREE words each: node, expression of names or NOTHING (any but those of keys), bits of needs that it meets, how many names. */
    uint32_t frees, n_frees;
    uint32_t needs;         /**< bits of what some other member must meet */
    bool loose;
    bool spare;             /**< one more of the frees stands behind them, for when members are too few; only until all nodes are there */
    uint16_t deepest;       /**< containers that the shallowest values of all members nest at most */
    uint64_t min, max;
} aios__gobj;

#define AIOS__G_FREE 4u
#define AIOS__G_GROUPS 3u
#define AIOS__G_MANY (1u << 20)
#define AIOS__G_NAMES UINT32_MAX /**< of what has more names than are counted */

/**
 * Counted items of an array: of every item there are 2^n nodes, bit i of their index says that the item counts in group i, of which
 * there are lo .. hi.
 */
typedef struct aios__garr {
    uint32_t n;
    uint32_t lo[AIOS__G_GROUPS], hi[AIOS__G_GROUPS];
    bool unique; /**< items differ; then there are two groups at most */
} aios__garr;

/** What a grammar with nodes LAZY, of things not compiled yet, is a part of; whoever made it has more behind it. */
struct aios__lazy {
    /**
     * Moves w to a grammar of the same language in which the node is there. Of what w knows, bytes and nodes before n_shared keep their
     * numbers, other nodes and states of expressions may not: no reading that goes on stands in them (aios__walk_forget drops the rest).
     */
    int (*resolve)(aios_walk *w, uint32_t node, aios_error *err);
    /** g goes: gives what it kept alive, to be let go next. */
    aios_grammar *(*leave)(aios_grammar *g);
};

struct aios_grammar {
    aios_ctx *ctx;
    aios__heap *heap;
    int refs;
    uint8_t kind; /**< AIOS_GRAMMAR_x, 0: as of a schema */
    bool strict; /**< unknown keywords of a schema are refused */
    bool complete; /**< all that the schema allows, however it is written; a text may run into a dead end */
    struct aios__gcache *cache; /**< that has kept it once; NULL: none */
    struct aios__gentry *entry; /**< that keeps it now; guarded by the cache's lock */
    uint32_t root;
    uint32_t blank; /**< node BLANK: one stands behind each comma and colon of JSON; 0: none does */
    aios__gnode *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *words;
    uint32_t n_words, cap_words;
    char *bytes;
    uint32_t n_bytes, cap_bytes;
    aios__gint *ints;
    uint32_t n_ints, cap_ints;
    int64_t *vals;
    uint32_t n_vals, cap_vals;
    aios__gdec *decs;
    uint32_t n_decs, cap_decs;
    aios__gdecs *decsets;
    uint32_t n_decsets, cap_decsets;
    aios__gnum *nums;
    uint32_t n_nums, cap_nums;
    aios__gobj *objs;
    uint32_t n_objs, cap_objs;
    aios__garr *arrs;
    uint32_t n_arrs, cap_arrs;
    aios__rx *rx;      /**< NULL: no pattern and no regular expression */
    uint32_t any_text; /**< what is left of a pattern behind which everything may follow */
    struct aios__lazy *lazy;  /**< of a family of grammars with nodes LAZY; NULL: no such */
    struct aios_grammar *parent; /**< the one with a LAZY node more; NULL: the first */
    uint32_t *done, n_done;   /**< tools that are compiled here, in order */
    uint32_t n_shared;        /**< the first nodes, that mean the same in the whole family */
    uint64_t work, source[2]; /**< steps that combining subschemas has taken; sums of kind and text */
    size_t beside;            /**< bytes that go once it is compiled: a parsed schema, arrays of aios__grammar_grow_beside */
};

/* ---- grammar.c: building blocks --------------------------------------------------------------------------------- */
aios_grammar *aios__grammar_new(aios_ctx *ctx, aios_error *err);
/** From here on JSON is written with a blank behind each comma and colon. Before all other nodes. */
int aios__grammar_spaced(aios_grammar *g, aios_error *err);
/** Adds an empty node. */
int aios__grammar_node(aios_grammar *g, uint8_t kind, uint32_t *id, aios_error *err);
int aios__grammar_words(aios_grammar *g, const uint32_t *w, size_t n, uint32_t *at, aios_error *err);
int aios__grammar_bytes(aios_grammar *g, const void *p, size_t n, uint32_t *at, aios_error *err);
int aios__grammar_lit(aios_grammar *g, const void *p, size_t n, uint32_t *id, aios_error *err);
int aios__grammar_list(aios_grammar *g, uint8_t kind, const uint32_t *nodes, size_t n, uint32_t *id, aios_error *err);
/** Members that must still come where some needs are met: one if it can meet all that is left. Here and below: of nodes up to a height. */
uint32_t aios__grammar_lacking(const aios_grammar *g, const aios__gobj *o, uint32_t met, uint32_t height);
/** Names that the members of no listed property have together, AIOS__G_NAMES: without end. */
uint64_t aios__grammar_room(const aios_grammar *g, const aios__gobj *o, uint32_t height);
/** From item i on, of which counts are in each group, an array can be ended. */
bool aios__grammar_arr_ends(const aios_grammar *g, const aios__gnode *n, uint64_t i, const uint32_t counts[AIOS__G_GROUPS], uint32_t height);
/** The nodes of item i, one for each way that it may count. */
const uint32_t *aios__grammar_item(const aios_grammar *g, const aios__gnode *n, uint64_t i, uint32_t *n_ways);
/* ---- grammar_few.c ------------------------------------------------------------------------------------------------ */

uint32_t aios__few_times(uint32_t a, uint32_t b);
/** Ends of an object from property `from` on, with some members there; of an array from item i on. */
uint32_t aios__few_obj(const aios_grammar *g, const aios__gobj *o, uint32_t from, uint64_t members);
uint32_t aios__few_arr(const aios_grammar *g, const aios__gnode *a, uint64_t i);
bool aios__grammar_unique(const aios_grammar *g, const aios__gnode *n);
/** Counts sentences and bounds arrays whose items differ by them; *bounded: some array's bound has changed. */
int aios__grammar_few(aios_grammar *g, bool *bounded, aios_error *err);

/** The only number between the bounds is one of them. */
bool aios__gnum_single(const aios__gnum *n);
/** Some number is within t's bounds and not excluded. */
bool aios__gint_exists(const aios_grammar *g, const aios__gint *t);
/** Sorts the n entries of 3 words at words[at] by their bytes. */
int aios__grammar_sort(aios_grammar *g, uint32_t at, uint32_t n, aios_error *err);
/** Heights of all nodes; ELIMIT if they do not settle soon, *last being one that did not. */
int aios__grammar_heights(aios_grammar *g, uint32_t *last, aios_error *err);
/** Computes heights, drops what has no sentence; ESCHEMA if the root has none. Once, when all nodes are there. */
int aios__grammar_finish(aios_grammar *g, aios_error *err);
/**
 * grammar_schema.c: a schema whose program could not be finished, as err says, is looked at again: err then names the place, if one is found.
 * Returns err's code.
 */
int aios__grammar_schema_why(aios_ctx *ctx, bool complete, const char *s, size_t n, aios_error *err);
/** grammar_schema.c: adds the nodes of a JSON schema; `closed`: a bare {"type":"object"} at the root has no members. */
int aios__grammar_schema(aios_grammar *g, const char *s, size_t n, bool closed, uint32_t *root, aios_error *err);
/** walk_number.c: bounds (NaN-free doubles, infinite: none) to an automaton; false: cannot be decided while decoding. */
bool aios__gnum_make(double lo, bool lo_open, double hi, bool hi_open, aios__gnum *out);

struct aios__frame;
/** walk_int.c: numbers that go on from the frame (NULL: all), counted up to a limit, at least. */
uint32_t aios__gint_count(const aios_grammar *g, const aios__gint *r, const struct aios__frame *f, uint32_t limit);

/* ---- walk.c ----------------------------------------------------------------------------------------------------- */

/** One level of a reading. Fields but node, up and depth belong to the node's kind (walk_x.c). */
typedef struct aios__frame {
    uint32_t node, up;
    uint32_t a, b, c;
    uint16_t depth;
    uint8_t st, x;
    uint64_t v;
} aios__frame;

/** A set of readings, each the number of its top frame, at pool[at .. at + n). */
typedef struct aios__state {
    uint32_t at, n;
    bool has_live;
    uint32_t live[8]; /**< no other bytes can go on */
} aios__state;

/** The state after a byte: from holds state << 8 | byte. */
typedef struct aios__hop {
    uint32_t from, to;
} aios__hop;

/** Numbers of equal things, found by their hash; 0: free. */
typedef struct aios__table {
    uint32_t *slots;
    uint32_t n_slots; /**< a power of two */
} aios__table;

/** Steps in which a frame was emitted, and left, last. */
typedef struct aios__stamp {
    uint32_t emitted, left;
} aios__stamp;

/**
 * A position. Frames and states are never changed once made, and equal ones are one, so what follows a state is computed once a byte.
 * All that the position does not need is dropped when it has grown.
 */
struct aios_walk {
    aios_grammar *g;
    uint32_t at, next; /**< its state, and the one that it is on the way to */
    aios__frame *frames;
    uint32_t n_frames, cap_frames;
    aios__stamp *stamps; /**< by frame */
    uint32_t cap_stamps, tick;
    aios__state *states; /**< 0: no reading */
    uint32_t n_states, cap_states;
    uint32_t *pool;
    uint32_t n_pool, cap_pool;
    aios__table by_frame, by_readings;
    aios__hop *hops;
    uint32_t n_hops, n_hop_slots;
    uint32_t spent; /**< alternatives that were looked at, beyond what a byte may take anyway */
    uint32_t gc_at; /**< frames from which on the position is packed */
    struct aios__todo *todo;
    uint32_t n_todo, cap_todo;
    struct aios__mask_cache *masks; /**< mask.c */
    bool held;   /**< a look ahead from inside what was LAZY: the grammar stays, and no further such node is entered */
    bool missed; /**< one was not */
};

/** The state after byte c; 0: none. Fails only without memory, or at a cap of readings or of a pattern's states. */
int aios__walk_next(aios_walk *w, uint32_t state, uint8_t c, uint32_t *to, aios_error *err);
/** Bytes that may go on; some of those set may turn out not to. */
const uint32_t *aios__walk_live(aios_walk *w, uint32_t state);
/** The state of some readings. */
int aios__walk_readings(aios_walk *w, const uint32_t *frames, uint32_t n, uint32_t *state, aios_error *err);
/** The grammar has changed: drops what was found out with nodes and expressions of the old one. */
void aios__walk_forget(aios_walk *w);
/** True if the text read so far may be a whole sentence. */
bool aios__walk_ended(const aios_walk *w, uint32_t state);

#endif
