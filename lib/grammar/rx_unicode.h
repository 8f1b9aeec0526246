/* SPDX-License-Identifier: Apache-2.0 */
/* What regular expressions know of Unicode: general categories, classes made of them, the cases of letters. */
#ifndef AIOS_LIB_RX_UNICODE_H
#define AIOS_LIB_RX_UNICODE_H

#include "base/base.h"

/** Every stride-th letter from lo to hi has a next one of the same kind, so far behind it; the last of an orbit has the first. */
typedef struct aios__rx_case {
    uint32_t lo, hi;
    uint8_t stride;
    int32_t delta;
} aios__rx_case;

/** Runs of one category: first code point << 5 | category. */
extern const uint32_t aios__rx_categories[];
extern const uint32_t aios__rx_n_categories;
extern const aios__rx_case aios__rx_cases[];
extern const uint32_t aios__rx_n_cases;

/** Takes one range. Whatever it returns but 0 ends the work. */
typedef int aios__rx_range_fn(void *user, uint32_t lo, uint32_t hi);

/** Set of categories (bits) of a name as \p{...} has it: Lu, Letter, gc=Nd ...; 0: there is none. loose: in any case, without _, - and blanks. */
uint32_t aios__rx_category(const char *name, size_t n, bool loose);
/** The ranges of a set of categories. */
int aios__rx_category_ranges(uint32_t set, aios__rx_range_fn *add, void *user);
/** What \d, \w and \s are in Rust; letter in small. */
int aios__rx_unicode_class(char letter, aios__rx_range_fn *add, void *user);
/** The next letters of the orbits of all that is in lo .. hi; three times over gives all cases. */
int aios__rx_next_cases(uint32_t lo, uint32_t hi, aios__rx_range_fn *add, void *user);

#endif
