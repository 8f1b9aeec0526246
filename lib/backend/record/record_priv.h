/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cassettes: turns of any model as lines of JSON, and a model that plays them. docs/routing.md has the format.
 *   {"aios_cassette":1,"model":{...}}                      when a recorder opened the file
 *   {"hash":H,"request":{...},"events":[...],"end":{...}}  for each turn
 */
#ifndef AIOS_LIB_RECORD_PRIV_H
#define AIOS_LIB_RECORD_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "llm/llm.h"

enum { AIOS__HASH_TEXT = 33 };

/** What record: and replay: are told behind their colon: FILE|URI and FILE, or the same as an object. */
typedef struct aios__tape_args {
    aios__json_doc *doc; /**< NULL: the plain form */
    char *file, *inner;  /**< inner NULL: none was given */
    bool redact, timing;
    const aios__json *patterns; /**< further things to redact: globs of words */
} aios__tape_args;
int aios__tape_args_read(aios__heap *h, const char *path, bool recording, aios__tape_args *out, aios_error *err);
void aios__tape_args_free(aios__heap *h, aios__tape_args *a);

/* ---- redact.c ----------------------------------------------------------------------------------------------------- */

/** Where the next secret in s is: from at on; its length, or 0. Values behind
    "Authorization:" or "api_key=", keys as providers write them, words that patterns match. */
size_t aios__secret_next(const aios__tape_args *a, const char *s, size_t n, size_t *at);
/** Adds s to out with "[redacted]" for each secret. */
int aios__redact(const aios__tape_args *a, const char *s, size_t n, aios__buf *out, aios_error *err);
#define AIOS__REDACTED "[redacted]"

/* ---- canonical.c -------------------------------------------------------------------------------------------------- */

/** All of a request that bears on the reply, redacted, in one form: equal requests give equal bytes. */
int aios__canonical(const aios__tape_args *a, aios__heap *h, const aios_request *q, aios__buf *out, aios_error *err);
/** 128 bits of it in hexadecimal: an index, for accidents, not for enemies; the texts are compared too. */
void aios__canonical_hash(const char *s, size_t n, char out[AIOS__HASH_TEXT]);
/** replay_backend.c */
int aios__backend_replay_init(aios_ctx *ctx, aios_error *err);

/** Says in `out` at which path a and b differ first, and what stands there. */
void aios__canonical_differ(aios__heap *h, const aios__json *a, const aios__json *b, char *out, size_t n);

#endif
