/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of JSON Schema as regular languages, one table for masks and for the checker. */
#ifndef AIOS_LIB_SCHEMA_FORMAT_H
#define AIOS_LIB_SCHEMA_FORMAT_H

#include "grammar/rx.h"

/** Texts of a format into x; *known false and every text if there is no such format. */
int aios__format_rx(aios__rx *x, const char *name, uint32_t *rx, bool *known, aios_error *err);
/** True in *is if s has the format; rx is what aios__format_rx said, of which a few texts are left out. */
int aios__format_match(aios__rx *x, const char *name, uint32_t rx, const char *s, size_t n, bool *is, aios_error *err);

/** True if the format has texts that no pattern tells from others, so that what has it not cannot be written. */
bool aios__format_open(const char *name);
/** True if it has some texts beside the pattern's, so that what has it not is less than what the pattern does not match. */
bool aios__format_partial(const char *name);
/** Texts that surely have not the format, which is not open; rx is what aios__format_rx said. */
int aios__format_not(aios__rx *x, const char *name, uint32_t rx, uint32_t *out, aios_error *err);

#endif
