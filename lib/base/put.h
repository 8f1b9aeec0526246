/* SPDX-License-Identifier: Apache-2.0 */
/* JSON written member by member into a buffer, whose sticky code says whether all of it found room. */
#ifndef AIOS_LIB_PUT_H
#define AIOS_LIB_PUT_H

#include "base/base.h"

/** Adds ,"key": (without the comma behind a bracket), then what the caller adds. */
int aios__put_key(aios__buf *b, const char *key, aios_error *err);
/** A member that is a string, NULL-safe: nothing is added for NULL. */
int aios__put_str(aios__buf *b, const char *key, const char *s, size_t n, aios_error *err);
int aios__put_int(aios__buf *b, const char *key, int64_t v, aios_error *err);
int aios__put_real(aios__buf *b, const char *key, double v, aios_error *err);
int aios__put_bool(aios__buf *b, const char *key, bool v, aios_error *err);
/** A member that is JSON already (checked by the wrapper: schemas, arguments). */
int aios__put_raw(aios__buf *b, const char *key, const char *json, aios_error *err);
/** A member that is an array of strings, NULL-terminated; nothing is added for none. */
int aios__put_strings(aios__buf *b, const char *key, const char *const *list, aios_error *err);
/** Adds a comma unless b is empty or ends in a bracket, a colon or a comma. */
int aios__put_comma(aios__buf *b, aios_error *err);

#endif
