/* SPDX-License-Identifier: Apache-2.0 */
/* Needs nothing but the C library: the command is built with it too. */
#ifndef AIOS_LIB_NEAREST_H
#define AIOS_LIB_NEAREST_H

#include <stddef.h>

/** Which of `words` the n bytes of s were meant to be: the one that takes the fewest letters put in, left out, changed or swapped with the
    next one, at most one for each three of s, and two in all. The first of equals; NULL: none is near. */
const char *aios__nearest(const char *s, size_t n, const char *const *words, size_t n_words);

#endif
