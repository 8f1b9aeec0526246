/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled grammars kept for the next use, shared by all sessions of a context: the least recently used go first. */
#ifndef AIOS_LIB_GRAMMAR_CACHE_H
#define AIOS_LIB_GRAMMAR_CACHE_H

#include <aios/grammar.h>

#include "base/base.h"

/** What a grammar was made from: equal keys give equal grammars. kind tells apart who makes keys: AIOS_GRAMMAR_x, or AIOS__KEY_CALLS. */
typedef struct aios__gkey {
    uint32_t kind;
    const void *p;
    size_t n;
} aios__gkey;
enum { AIOS__KEY_CALLS = 100 };

/** The grammar of that key with a reference for the caller (aios_grammar_free), or NULL. */
aios_grammar *aios__grammar_recall(aios_ctx *ctx, aios__gkey key);
/** Keeps a finished grammar that nobody else holds yet. Without memory for it, or room, it is not kept. */
void aios__grammar_keep(aios_grammar *g, aios__gkey key);
/** Drops a reference on a grammar that was kept once. */
void aios__grammar_release(aios_grammar *g);
/** grammar.c: what it takes, and its end. */
size_t aios__grammar_size(const aios_grammar *g);
/** Returns the grammar that this one kept alive, or NULL: a kept one keeps none. */
aios_grammar *aios__grammar_destroy(aios_grammar *g);

#endif
