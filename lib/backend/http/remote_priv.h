/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the HTTP backend that are no dialects. */
#ifndef AIOS_LIB_REMOTE_PRIV_H
#define AIOS_LIB_REMOTE_PRIV_H

#include <stdatomic.h>

#include "backend/http/dialect.h"
#include "base/http.h"

/** Parts of a model's URI. */
typedef struct aios__remote_uri {
    const aios__dialect *dialect;
    char *base_url; /**< no slash at its end; NULL: the dialect's own */
    char *model;
} aios__remote_uri;
/** remote_uri.c. EINVAL, ENOTSUP. */
int aios__remote_uri_read(aios__heap *h, const char *uri, aios__remote_uri *out, aios_error *err);
void aios__remote_uri_free(aios__heap *h, aios__remote_uri *u);

/** A model. Read only once it is open, but for the estimate. */
typedef struct aios__remote {
    aios__heap *heap;
    aios__server server;
    aios__remote_uri uri;
    char *host;
    char *origin;        /**< "https://host:port" */
    int32_t privacy;     /**< AIOS_PRIVACY_x */
    uint32_t n_ctx;      /**< as configured; 0: unknown */
    char *api_key;       /**< wiped; NULL: `credential` */
    aios_credential_fn *credential;
    void *credential_user;
    char **headers;      /**< of the configuration, NULL-terminated, wiped */
    uint32_t n_headers;
    char *proxy, *ca_file;
    uint32_t max_retries;
    int64_t connect_ns, first_byte_ns, idle_ns, total_ns;
    uint64_t max_body;
    uint32_t requests_per_min, tokens_per_min;
    _Atomic uint32_t millibytes_per_token; /**< estimate, learnt from what the server counts */
} aios__remote;

/* ---- remote_send.c: requests with the model's headers and limits --------------------------------------------------- */

/** Starts a transfer of m; body NULL: GET. `key` is the idempotency key, or NULL. */
int aios__remote_send(aios__remote *m, const char *path, const aios__buf *body, const char *idempotency, int (*on_body)(void *user, const char *s, size_t n),
                      void *user, aios__transfer **t, aios_error *err);
/** A whole exchange (lists, counts, embeddings): waits for it, at most until its deadlines. The reply is parsed JSON. */
int aios__remote_ask(aios__remote *m, const char *path, const aios__buf *body, aios__json_doc **reply, aios_error *err);

/* ---- remote_fault.c: what a failure means ------------------------------------------------------------------------- */

/** Fills err from a provider's words; status decides where they say nothing. Returns the code. */
int aios__fault_fail(const aios__server *s, const aios__fault *f, aios_error *err);
/** Likewise from the body of a reply with a status beyond 2xx. */
int aios__fault_read(const aios__server *s, int status, const aios__buf *body, aios_error *err);

/* ---- remote_retry.c: whether and when to try again ---------------------------------------------------------------- */

/** True if another attempt may help: no network, no answer, rate, server. */
bool aios__retry_helps(int code);
/**
 * Nanoseconds to wait before attempt number `attempt` (1: the first repetition): full jitter below a bound that doubles, and never less than
 * the server asks for (retry_after as in its header; NULL: none). -1: it asks for longer than we wait.
 */
int64_t aios__retry_wait(aios_ctx *ctx, uint32_t attempt, const char *retry_after, size_t n);

/* ---- reader.c ------------------------------------------------------------------------------------------------------ */

/** Makes the reader of an attempt. */
int aios__reader_new(aios__remote *m, aios__reader **out, aios_error *err);
void aios__reader_free(aios__reader *r);
/** Bytes of the stream. The reader finds out whether they are a stream or one piece of JSON. */
int aios__reader_feed(aios__reader *r, const aios_sink *sink, const char *s, size_t n, aios_error *err);
/** The transfer has ended well: EPROTO if the stream was cut. Sends calls that are whole, usage and why it stopped. */
int aios__reader_finish(aios__reader *r, const aios_sink *sink, aios_error *err);
/** True once the reply is whole: what else comes does not matter. */
bool aios__reader_ended(const aios__reader *r);
/** True once something went to the sink. */
bool aios__reader_sent(const aios__reader *r);
/** Tokens of the prompt as the server counted; 0: it did not say. */
uint32_t aios__reader_input(const aios__reader *r);

/* ---- remote_turn.c -------------------------------------------------------------------------------------------------- */

void aios__message_init(const aios__remote *m, aios__message *q);
void aios__message_free(aios__message *q);
/** The request of a turn in the model's dialect. */
int aios__remote_encode(const aios__remote *m, const aios_request *req, aios__message *out, aios_error *err);
typedef struct aios__remote_turn aios__remote_turn;
aios__remote *aios__remote_turn_model(const aios__remote_turn *t);
int aios__remote_turn_new(aios__remote *m, aios__remote_turn **out, aios_error *err);
void aios__remote_turn_free(aios__remote_turn *t);
int aios__remote_turn_start(aios__remote_turn *t, const aios_request *req, aios_error *err);
int aios__remote_turn_step(aios__remote_turn *t, const aios_sink *sink, aios_error *err);
void aios__remote_turn_cancel(aios__remote_turn *t); /**< any thread, async-signal-safe */
/** Tokens of a request of n bytes, by what was learnt. */
uint32_t aios__remote_estimate(const aios__remote *m, size_t n_bytes);

#endif
