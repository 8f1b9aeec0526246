/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular languages of UTF-8 texts: expressions with intersection and complement, and the automaton of their derivatives
 * (Brzozowski 1964; Owens, Reppy, Turon 2009), made state by state as texts are read. Repeats are numbers in an expression,
 * never unrolled. An expression is its own state.
 */
#ifndef AIOS_LIB_RX_H
#define AIOS_LIB_RX_H

#include "base/base.h"

/** A pool of expressions. Making them: one thread at a time; stepping: safe. */
typedef struct aios__rx aios__rx;

enum {
    AIOS__RX_NOTHING, /**< no text: a state from which none is reached */
    AIOS__RX_EMPTY,   /**< the empty text */
    AIOS__RX_ALL,     /**< every text */
    AIOS__RX_BYTE     /**< every single byte */
};
#define AIOS__RX_ENDLESS UINT32_MAX

int aios__rx_new(aios_ctx *ctx, aios__rx **out, aios_error *err);
void aios__rx_free(aios__rx *x); /**< NULL is fine */
/** Bytes that it takes, while nobody steps in it. */
size_t aios__rx_size(const aios__rx *x);
/** No more expressions are made: from here on only the steps of one call are bounded, no more those of all together. */
void aios__rx_reading(aios__rx *x);
/** Expressions are made again, whose steps count on from those made before. */
void aios__rx_making(aios__rx *x);
/** True once it has used up half of what a pool may have, so that it should not be given to anybody new. Thread-safety: safe. */
bool aios__rx_worn(const aios__rx *x);

/* ---- expressions: each returns its number in *out; ELIMIT when the pool's caps are reached ------------------------ */

int aios__rx_bytes(aios__rx *x, const uint32_t set[8], uint32_t *out, aios_error *err); /**< one byte of a set of 256 bits */
/** One code point of n ranges (first, last), in any order. */
int aios__rx_chars(aios__rx *x, const uint32_t *ranges, size_t n, uint32_t *out, aios_error *err);
/** Sorts and joins n ranges (first, last), for `negated` to what they are not, which may be one more; returns how many there are then. */
uint32_t aios__rx_ranges(uint32_t *ranges, uint32_t n, bool negated);
int aios__rx_cat(aios__rx *x, uint32_t a, uint32_t b, uint32_t *out, aios_error *err);
int aios__rx_or(aios__rx *x, const uint32_t *e, size_t n, uint32_t *out, aios_error *err);
int aios__rx_and(aios__rx *x, const uint32_t *e, size_t n, uint32_t *out, aios_error *err);
int aios__rx_not(aios__rx *x, uint32_t e, uint32_t *out, aios_error *err);
int aios__rx_repeat(aios__rx *x, uint32_t e, uint32_t min, uint32_t max, uint32_t *out, aios_error *err);
/**
 * A pattern of ECMA-262 in Unicode mode. `whole`: texts that it matches; else texts in which it matches somewhere. ESCHEMA with the place
 * in the pattern if it is wrong; ENOTSUP for what is not regular or not built: back references, \b, look-behind, look-ahead and anchors
 * under a repeat, properties but general categories.
 */
int aios__rx_parse(aios__rx *x, const char *pattern, size_t n, bool whole, uint32_t *out, aios_error *err);
/**
 * A pattern as Rust's crate regex and Lark write them, which whole texts match: . is all but \n, flags stand in groups, classes of POSIX in
 * brackets. Look-around and back references are ENOTSUP.
 */
int aios__rx_parse_rust(aios__rx *x, const char *pattern, size_t n, uint32_t flags, uint32_t *out, aios_error *err);
enum { AIOS__RX_ANY_CASE = 1, AIOS__RX_DOT_ALL = 2, AIOS__RX_BLANKS = 4 /**< blanks and comments mean nothing */, AIOS__RX_RUST = 8 };

/* ---- the automaton ------------------------------------------------------------------------------------------------ */

/** 256 states, one for each byte that may follow; AIOS__RX_NOTHING where no text goes on so. Lives as long as x. */
int aios__rx_row(aios__rx *x, uint32_t state, const uint32_t **row, aios_error *err);
/** True if the text may end here. */
bool aios__rx_ends(const aios__rx *x, uint32_t state);
/** Bytes that a text of e has at least, as far as can be seen; UINT32_MAX: no text. */
uint32_t aios__rx_least(const aios__rx *x, uint32_t e);
/** True if some text is in e. */
int aios__rx_exists(aios__rx *x, uint32_t e, bool *exists, aios_error *err);
/** Texts in e, at most `limit`; that too if they are too long or too various to be counted (rx_count.c). */
int aios__rx_count(aios__rx *x, uint32_t e, uint32_t limit, uint32_t *n, aios_error *err);
int aios__rx_match(aios__rx *x, uint32_t e, const char *s, size_t n, bool *matches, aios_error *err);

#endif
