/* SPDX-License-Identifier: Apache-2.0 */
/* A mask in the making: mask.c, and mask_string.c for readings inside strings. */
#ifndef AIOS_LIB_MASK_PRIV_H
#define AIOS_LIB_MASK_PRIV_H

#include "grammar/trie_priv.h"

typedef struct aios__mask {
    aios_walk *w;
    const aios__trie *t;
    uint32_t *bits;
    uint32_t n; /**< bits set */
    uint64_t work;
    aios_error *err;
} aios__mask;

/** A node's children that are still to be looked at, and the state that they follow. */
typedef struct aios__visit {
    uint32_t child, end, state;
    aios__mark mark;
} aios__visit;

/** A node's children, and a string's frame before them. */
typedef struct aios__chars {
    uint32_t child, end;
    const uint32_t *row;
    aios__frame f;
} aios__chars;

/** Bits by key: masks of states, and what the states of an expression let stand inside a string. */
typedef struct aios__kept {
    uint64_t key, used;
    uint32_t *bits, n;
} aios__kept;

typedef struct aios__mask_cache {
    const aios__trie *t;
    aios__kept *kept;
    uint32_t n, cap, most;
    uint64_t clock;
    aios__visit *visits; /**< as deep as the trie */
    aios__chars *chars;  /**< likewise */
} aios__mask_cache;

#define AIOS__KEY_RX (UINT64_C(1) << 32)

static inline void aios__mask_add(aios__mask *m, uint32_t id)
{
    uint32_t *word = &m->bits[id / 32], bit = 1u << id % 32;
    m->n += !(*word & bit);
    *word |= bit;
}

/** NULL if it is not there. */
aios__kept *aios__mask_find(aios__mask *m, uint64_t key);
/** Room for the bits of a key that is not there, cleared, in the place of what was not used the longest. It stays until the next is made. */
int aios__mask_make(aios__mask *m, uint64_t key, aios__kept **out, aios_error *err);
/** Adds the tokens of tree t that the readings of a state accept; each: what to do with those of a node. */
int aios__mask_walk(aios__mask *m, const aios__tree *t, uint32_t state, void (*each)(void *user, const int32_t *ids, uint32_t n), void *user);
/** Adds the tokens that a reading inside a string accepts. */
int aios__mask_string(aios__mask *m, const aios__inside *in);

#endif
