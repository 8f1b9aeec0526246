/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents, over jansson (json.c alone includes it). Objects keep the order of their keys. */
#ifndef AIOS_LIB_JSON_H
#define AIOS_LIB_JSON_H

#include "base/base.h"

/** A value, borrowed from its document. */
typedef struct aios__json aios__json;
/** A parsed document; its estimated size is charged to the heap. */
typedef struct aios__json_doc aios__json_doc;

enum aios__json_type { AIOS__JSON_NULL, AIOS__JSON_FALSE, AIOS__JSON_TRUE, AIOS__JSON_INT, AIOS__JSON_REAL, AIOS__JSON_STRING, AIOS__JSON_ARRAY, AIOS__JSON_OBJECT };

/** Bounds: nesting 256, n <= 64 MiB, no duplicate keys, no NUL, integers of 64 bits, valid UTF-8. EFORMAT says line and column. */
int aios__json_parse(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err);
/** As aios__json_parse, with NUL in strings (not in keys); where an integer needs more than 64 bits, all of them are REAL, at its precision. */
int aios__json_parse_exact(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err);
/** Bytes that the document of a text takes at most while it is parsed, which are charged for it. ELIMIT, EFORMAT: it is too long, nested too deep. */
int aios__json_cost(const char *s, size_t n, size_t *bytes, aios_error *err);
void aios__json_free(aios__json_doc *doc);
const aios__json *aios__json_root(const aios__json_doc *doc);

enum aios__json_type aios__json_type(const aios__json *v);
/** Members of an object or elements of an array; 0 else. v may be NULL everywhere below. */
size_t aios__json_count(const aios__json *v);
const aios__json *aios__json_at(const aios__json *arr, size_t i);
/** Value of an exact key, or NULL. */
const aios__json *aios__json_get(const aios__json *obj, const char *key);
/** Likewise, of n bytes. */
const aios__json *aios__json_find(const aios__json *obj, const char *key, size_t n);
/** Walks the members in order: it = NULL starts; returns NULL at the end. */
void *aios__json_iter(const aios__json *obj, void *it, const char **key, const aios__json **v);
/** The member that an iterator stands at. */
void aios__json_member_at(void *it, const char **key, const aios__json **v);
/** String and its length, or NULL if v is none. */
const char *aios__json_str(const aios__json *v, size_t *n);
int64_t aios__json_int(const aios__json *v, int64_t dflt);
double aios__json_real(const aios__json *v, double dflt); /**< of an int too */
bool aios__json_is_number(const aios__json *v);
bool aios__json_equal(const aios__json *a, const aios__json *b); /**< 1 equals 1.0, as JSON Schema has it */
/** Equal values have equal ones; the seed, if nobody knows it, keeps others from meeting. */
uint64_t aios__json_hash(const aios__json *v, uint64_t seed);
/** A document that is one string, without NUL. */
int aios__json_text(aios__heap *h, const char *s, aios__json_doc **doc, aios_error *err);
/* json_number.c: of what a number's shortest text says, without a rounding of its own. v is a number. */
#define AIOS__JSON_NUMBER 40
/** The shortest text that reads back the same, a point or an exponent in that of a REAL. */
void aios__json_digits(const aios__json *v, char out[AIOS__JSON_NUMBER]);
int aios__json_compare(const aios__json *a, const aios__json *b); /**< of numbers: below, at or above 0 */
bool aios__json_integral(const aios__json *v);
/** True if a is a whole multiple of b, which is above 0. */
bool aios__json_multiple(const aios__json *a, const aios__json *b);
/** Compact text, key order kept. Reals print shortest round-trip. */
int aios__json_write(const aios__json *v, aios__buf *out, aios_error *err);
/** As aios__json_write; spaced: with a blank behind each comma and colon. */
int aios__json_write_as(const aios__json *v, bool spaced, aios__buf *out, aios_error *err);

#endif
