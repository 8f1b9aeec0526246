/* SPDX-License-Identifier: Apache-2.0 */
/* The vocabulary as masks see it: trie.c makes it, mask.c and mask_string.c read it. */
#ifndef AIOS_LIB_TRIE_PRIV_H
#define AIOS_LIB_TRIE_PRIV_H

#include "grammar/walk_priv.h"

/** Nodes level by level, so that children lie side by side: those of i are first[i] .. first[i + 1], its tokens ids[tokens[i] .. tokens[i + 1]). */
typedef struct aios__tree {
    uint8_t *byte;
    uint16_t *atoms; /**< of all tokens in the branch */
    uint32_t *first, *tokens;
    uint32_t n, cap, depth; /**< depth: bytes of the longest token */
    int32_t *ids;
} aios__tree;

/* What the characters of a plain token are, a bit each. */
enum {
    AIOS__ATOM_LOWER = 1,
    AIOS__ATOM_UPPER = 2,
    AIOS__ATOM_DIGIT = 4,
    AIOS__ATOM_DASH = 8,     /**< and _ */
    AIOS__ATOM_SIGN = 16,    /**< others of ASCII */
    AIOS__ATOM_WIDE = 32,    /**< others */
    AIOS__ATOM_SPACE = 64,
    AIOS__ATOM_BLANK = 128,  /**< white space beyond ASCII but U+2028 and U+2029 */
    AIOS__ATOM_OTHER = 0x8000 /**< of tokens with other characters, quotes, escapes, parts of characters, more than AIOS__SHORT characters */
};
#define AIOS__ATOMS 8u
#define AIOS__NO_BLANK 0xff /* path of a character that is none */
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
    uint32_t *atom_bits; /**< AIOS__ATOMS bit sets: plain tokens of the first i + 1 atoms */
    uint32_t *plain;     /**< ids by atoms, those of a set at plain_at[set] .. plain_at[set + 1] */
    uint32_t plain_at[(1u << AIOS__ATOMS) + 1];
    uint32_t *short_bits; /**< AIOS__SHORT bit sets: tokens of at most i + 1 characters */
    uint32_t *longs, n_longs; /**< the others, longest first */
};

/** The atom that a character of ASCII is, or one that begins with the byte and is no blank. */
static inline uint16_t aios__atom_of(uint8_t c)
{
    if (c >= 0x7f || c == ' ')
        return c == ' ' ? AIOS__ATOM_SPACE : c == 0x7f ? AIOS__ATOM_OTHER : AIOS__ATOM_WIDE;
    bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
    return lower ? AIOS__ATOM_LOWER : upper ? AIOS__ATOM_UPPER : digit ? AIOS__ATOM_DIGIT : c == '_' || c == '-' ? AIOS__ATOM_DASH : AIOS__ATOM_SIGN;
}

/** Follows the bytes of blanks beyond ASCII: path is 0 at the beginning of a character. Returns what the character is if c ends one of them, else 0. */
uint16_t aios__blank_path(uint8_t *path, uint8_t c);

#endif
