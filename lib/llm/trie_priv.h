/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary as masks see it: trie.c makes it, mask.c and mask_string.c read it. */
#ifndef AIOS_LIB_TRIE_PRIV_H
#define AIOS_LIB_TRIE_PRIV_H

#include "llm/walk_priv.h"

/** Nodes level by level, so that children lie side by side: those of i are first[i] .. first[i + 1], its tokens ids[tokens[i] .. tokens[i + 1]). */
typedef struct aios__tree {
    uint8_t *byte, *rank; /**< rank: the highest of the tokens in its branch */
    uint32_t *first, *tokens;
    uint32_t n, cap, depth; /**< depth: bytes of the longest token */
    int32_t *ids;
} aios__tree;

/* Classes of plain tokens, each within the next: a-z, A-Z too, digits too, _ and - too, all of ASCII, all characters. */
#define AIOS__RANKS 6u
#define AIOS__RANK_OTHER 7u /**< quotes, escapes, parts of characters, tokens of more than AIOS__SHORT characters */
#define AIOS__SHORT 16u
#define AIOS__MAX_TOKEN 4096u

/** What a token does inside a string, from between two characters on. */
enum { AIOS__TOKEN_NOT, AIOS__TOKEN_STAYS, AIOS__TOKEN_LEAVES };

/** A token that closes a string: its text, where in it the quote is. */
typedef struct aios__exit {
    uint32_t text;
    uint16_t n, quote;
    bool escapes; /**< in front of the quote */
    bool far;     /**< there are two more quotes behind: another key may end there */
} aios__exit;

struct aios__trie {
    aios__heap *heap;
    uint32_t n_vocab, n_words;
    aios__tree all;
    aios__tree exits;    /**< of what comes behind the closing quote of a string */
    aios__exit *exit;    /**< of each of its ids */
    char *texts;
    uint8_t *does;       /**< AIOS__TOKEN_x */
    uint16_t *len;       /**< characters inside the string */
    uint32_t max_len;
    uint32_t *stays[2];  /**< bit sets: tokens that stay in a string of anything; without escapes */
    uint32_t n_stays[2];
    uint32_t *rank_bits; /**< AIOS__RANKS bit sets: short plain tokens of rank 1 .. i + 1 */
    uint32_t *short_bits; /**< AIOS__SHORT bit sets: tokens of at most i + 1 characters */
    uint32_t *longs, n_longs; /**< the others, longest first */
};

/** The class that a character with this byte is in. */
static inline uint8_t aios__rank_of(uint8_t c)
{
    bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
    return lower ? 1 : upper ? 2 : digit ? 3 : c == '_' || c == '-' ? 4 : c < 0x80 ? 5 : 6;
}

#endif
