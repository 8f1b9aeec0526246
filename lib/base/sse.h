/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events (HTML Living Standard 9.2.6) out of bytes that arrive in pieces of any size. */
#ifndef AIOS_LIB_SSE_H
#define AIOS_LIB_SSE_H

#include "base/base.h"

/** One event, borrowed during the callback. All three end in NUL. */
typedef struct aios__sse_event {
    const char *type; /**< "message" if the stream named none */
    const char *id;   /**< last id seen, "" if none */
    const char *data; /**< n bytes; lines joined by LF */
    size_t n;
} aios__sse_event;

/** Non-zero stops the feed, which gives it on. */
typedef int aios__sse_fn(void *user, const aios__sse_event *ev);

/** Where in the stream we are. The events made do not depend on how it was cut. */
typedef struct aios__sse {
    aios__sse_fn *fn;
    void *user;
    aios__buf line, data, type, id;
    int64_t retry_ms; /**< as the server wishes, -1 if it did not say */
    size_t n_bom;     /**< bytes of a byte order mark seen; 4: past the place for one */
    bool after_cr;    /**< a LF now belongs to the line end before it */
    bool has_data;
    int failed;
} aios__sse;

/** max: bytes of a line, and of the data of an event; 0: 1 MiB. */
void aios__sse_init(aios__sse *s, aios__heap *h, size_t max, aios__sse_fn *fn, void *user);
void aios__sse_free(aios__sse *s);
/** Eats n bytes and calls fn for each event that is complete. ELIMIT, ENOMEM, EBUDGET or fn's code; then it stays so. */
int aios__sse_feed(aios__sse *s, const char *p, size_t n, aios_error *err);

#endif
