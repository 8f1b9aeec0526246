/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine needs of a grammar: token masks by a trie over the vocabulary's bytes. */
#ifndef AIOS_LIB_GRAMMAR_MASK_H
#define AIOS_LIB_GRAMMAR_MASK_H

#include <aios/grammar.h>

#include "base/base.h"

/** Trie over the bytes of all usable tokens; made once per vocabulary, safe for concurrent use. */
typedef struct aios__trie aios__trie;
/** Gives the bytes of a token, or NULL for those that must never appear inside a grammar (control, unused, empty). */
typedef const char *aios__piece_fn(void *user, int32_t id, size_t *n);
int aios__trie_new(aios_ctx *ctx, uint32_t n_vocab, aios__piece_fn *piece, void *user, aios__trie **out, aios_error *err);
void aios__trie_free(aios__trie *t);

/**
 * Sets in bits (n_vocab bits, 32 a word, cleared first) each token whose bytes the walk accepts. *n_allowed how many,
 * *only the id if exactly one, else -1. ELIMIT if a cap of the engine was hit.
 */
int aios__walk_mask(const aios_walk *w, const aios__trie *t, uint32_t *bits, uint32_t *n_allowed, int32_t *only, aios_error *err);

/**
 * A short text that ends the sentence, at most max bytes, *n of them (0: it is complete). ELIMIT: none was found, *n bytes of a try are there.
 */
int aios__walk_shortest(const aios_walk *w, char *out, size_t max, size_t *n, aios_error *err);

/** The literals one of which has to come; borrowed from the walk's grammar. */
typedef struct aios__literals {
    const char *bytes;
    const uint32_t *words;
    uint32_t n; /**< 0: the text may go on in another way */
} aios__literals;
/** Whether w stands in front of a set of literals, with nothing but text that is forced between, which is added to `forced`. */
int aios__walk_literals(const aios_walk *w, aios__buf *forced, aios__literals *out, aios_error *err);
/** *goes_on: something of its own follows this literal, as arguments do a tool's name. */
const char *aios__literal_at(const aios__literals *l, uint32_t i, size_t *n, bool *goes_on);

/** Sums of the kind and text that g was compiled from: those of equal texts are equal. */
void aios__grammar_source(const aios_grammar *g, uint64_t out[2]);

#endif
