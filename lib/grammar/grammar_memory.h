/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a grammar that is compiled, bounded together with what it is made from (grammar.c). */
#ifndef AIOS_LIB_GRAMMAR_MEMORY_H
#define AIOS_LIB_GRAMMAR_MEMORY_H

#include <aios/grammar.h>

#include "grammar/array.h"

/** ELIMIT with the numbers if `more` bytes are more than compiling may take. */
int aios__grammar_fits(const aios_grammar *g, size_t more, aios_error *err);
/** As aios__grow, of an array of the grammar's; ELIMIT also where all together take too many bytes. */
int aios__grammar_grow(aios_grammar *g, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err);
/** Likewise, of one that is needed while it is compiled only; given back by aios__grammar_drop. */
int aios__grammar_grow_beside(aios_grammar *g, void *pp, uint32_t *cap, size_t need, size_t max, size_t size, const char *what, aios_error *err);
/** n cleared elements for aios__grammar_drop. */
void *aios__grammar_alloc_beside(aios_grammar *g, size_t n, size_t size, aios_error *err);
void aios__grammar_drop(aios_grammar *g, void *p, size_t bytes);

#endif
