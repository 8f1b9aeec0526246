/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP transfers, over libcurl (http.c alone includes it). All transfers of a ctx share one set of connections; nothing
 * blocks longer than the caller says, and no thread is made: whoever steps a transfer drives those of the others too.
 * env.net_check is asked on that thread and must not use this door.
 * Redirects are not followed, bodies not decompressed, proxies, .netrc and cookies of the user not used.
 */
#ifndef AIOS_LIB_HTTP_H
#define AIOS_LIB_HTTP_H

#include "base/base.h"

/** One request and its response. Thread-safety: one thread at a time, cancel from any. */
typedef struct aios__transfer aios__transfer;

/** A request; all is copied. Zero means the default in brackets. */
typedef struct aios__http_request {
    const char *method;         /**< "GET" or "POST" [GET, POST with a body] */
    const char *url;            /**< http:// or https://, without user and password */
    const char *const *headers; /**< NULL-terminated "Name: value", without CR and LF; may be NULL */
    const char *body;
    size_t n_body;
    const char *ca_file;        /**< certificates to trust, PEM [the system's] */
    bool https_only;
    size_t max_header;          /**< bytes of all headers, trailers and interim responses [256 KiB, also at most] */
    uint64_t max_body;          /**< bytes of the response's body [64 MiB] */
    int64_t connect_ns;         /**< until connected, TLS included [10 s] */
    int64_t first_byte_ns;      /**< from the start until the first byte of the response [120 s] */
    int64_t idle_ns;            /**< between two bytes of the response [60 s] */
    int64_t total_ns;           /**< of the whole transfer [10 min] */
    /** Gets the body piece by piece, on the thread that steps, no lock held; non-zero ends the transfer with that code. */
    int (*on_body)(void *user, const char *s, size_t n);
    void *user;
} aios__http_request;

/** Starts a transfer. EINVAL (the request), ENOTSUP (this build has no HTTP, or not this scheme), ENOMEM, EBUDGET. */
int aios__http_start(aios_ctx *ctx, const aios__http_request *req, aios__transfer **t, aios_error *err);
/**
 * Waits at most timeout_ms for something to happen, possibly less, and passes on what came. AIOS_AGAIN: go on;
 * AIOS_DONE: the response is whole. Failures: EUNAVAIL (no such host, no connection), EDENIED (env.net_check refused every
 * address), ETIMEDOUT, ELIMIT (too large; have, need), EPROTO (broken response or TLS), ECANCELED, ENOMEM, or on_body's
 * code. An HTTP status is no failure here. A failed transfer gives the same failure again.
 */
int aios__transfer_step(aios__transfer *t, int32_t timeout_ms, aios_error *err);
/** The transfer ends with ECANCELED. Any thread, async-signal-safe. */
void aios__transfer_cancel(aios__transfer *t);
/** Status of the final response, 0 before its headers are complete. */
int aios__transfer_status(const aios__transfer *t);
/** Value of a header of the final response (the first of that name, any case), or NULL. *n: its length. Borrowed. */
const char *aios__transfer_header(const aios__transfer *t, const char *name, size_t *n);
void aios__transfer_free(aios__transfer *t);

/** The code that an HTTP status stands for: 0 for 2xx, EAUTH, ERATE, ENOENT, EUNAVAIL ... */
int aios__http_code(int status);

#endif
