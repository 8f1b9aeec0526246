/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of JSON (NDJSON) out of bytes that arrive in pieces of any size. The values are not parsed. */
#ifndef AIOS_LIB_NDJSON_H
#define AIOS_LIB_NDJSON_H

#include "base/base.h"

/** One line without its end, not blank; n bytes and a NUL, borrowed during the callback. Non-zero stops the feed, which gives it on. */
typedef int aios__ndjson_fn(void *user, const char *s, size_t n);

/** Where in the stream we are. The lines do not depend on how it was cut. */
typedef struct aios__ndjson {
    aios__ndjson_fn *fn;
    void *user;
    aios__buf line;
    int failed;
} aios__ndjson;

/** max: bytes of a line; 0: 1 MiB. */
void aios__ndjson_init(aios__ndjson *s, aios__heap *h, size_t max, aios__ndjson_fn *fn, void *user);
void aios__ndjson_free(aios__ndjson *s);
/** Eats n bytes and calls fn for each line that is complete. ELIMIT, ENOMEM, EBUDGET or fn's code; then it stays so. */
int aios__ndjson_feed(aios__ndjson *s, const char *p, size_t n, aios_error *err);
/** The stream is over: a last line without an end is one too. Codes as above. */
int aios__ndjson_end(aios__ndjson *s, aios_error *err);

#endif
