/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the HTTP backend that are no dialects. */
#ifndef AIOS_LIB_REMOTE_PRIV_H
#define AIOS_LIB_REMOTE_PRIV_H

#include <pthread.h>
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

enum { AIOS__MAX_KEY = 8192 }; /**< bytes of a key, with its NUL */

/** When the next request and the next token are due, ns of the clock (remote_gate.c). */
typedef struct aios__gate {
    pthread_mutex_t lock;
    int64_t request_due, token_due;
} aios__gate;

/** A model. Read only once it is open, but for the estimate. */
typedef struct aios__remote {
    aios__heap *heap;
    aios__server server;
    aios__remote_uri uri;
    char *host;
    char *origin;        /**< "https://host:port" */
    char *seal;          /**< the server's, or NULL */
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
    aios__gate gate;
    atomic_uint woken;                     /**< the wait of the thread that steps its sessions is over */
    _Atomic uint32_t millibytes_per_token; /**< estimate, learnt from what the server counts */
    _Atomic uint32_t refused;              /**< parameters that the model does not take, by row (remote_params.c) */
} aios__remote;

/* ---- remote_send.c: requests with the model's headers and limits --------------------------------------------------- */

/**
 * Starts a transfer of m; body NULL: GET. idempotency: the key, or NULL. *secret: a copy of what the credential callback gave, if it did,
 * for aios__remote_redact; the caller's to wipe, by aios__remote_forget.
 */
int aios__remote_send(aios__remote *m, const char *path, const aios__buf *body, const char *idempotency, int (*on_body)(void *user, const char *s, size_t n),
                      void *user, char **secret, aios__transfer **t, aios_error *err);
/** Who refuses a request that came there by a redirect, and so without the key, is told of: adds it to err. Returns the code. */
int aios__remote_blame_move(const aios__remote *m, const aios__transfer *t, int code, aios_error *err);
/** Wipes and frees a secret; NULL is fine. */
void aios__remote_forget(const aios__remote *m, char *secret);

/* ---- remote_ask.c --------------------------------------------------------------------------------------------------- */

/**
 * A whole exchange (lists, counts, embeddings): waits for it, at most until its deadlines, and asks again as often as a turn would where that may
 * help. n_tokens: each attempt waits for the model's limits; 0: none does. The reply is parsed JSON.
 */
int aios__remote_ask(aios__remote *m, const char *path, const aios__buf *body, uint32_t n_tokens, aios__json_doc **reply, aios_error *err);

/* ---- remote_fault.c: what a failure means ------------------------------------------------------------------------- */

/** Fills err from a provider's words; status decides where they say nothing. Returns the code. */
int aios__fault_fail(const aios__server *s, const aios__fault *f, aios_error *err);
/** Likewise from the body of a reply with a status beyond 2xx. *param: what it refuses of the request (remote_params.c), else 0; may be NULL. */
int aios__fault_read(const aios__server *s, int status, const aios__buf *body, uint32_t *param, aios_error *err);

/* ---- remote_params.c: what a model does not take ------------------------------------------------------------------ */

/** The parameter that a fault refuses, or 0. */
uint32_t aios__param_refused(const aios__fault *f);
const char *aios__param_name(uint32_t param);
/** Takes it out of a request, for good: AIOS_AGAIN if the request is another now, 0 if there is nothing to take out. */
int aios__param_refuse(aios__remote *m, uint32_t param, aios__buf *body, aios_error *err);
/** Takes out of a new request what was refused before. */
int aios__params_omit(const aios__remote *m, aios__buf *body, aios_error *err);

/* ---- remote_redact.c ----------------------------------------------------------------------------------------------- */

/** Takes the model's secrets, and `key` (NULL: none), out of the message of a failure. */
void aios__remote_redact(const aios__remote *m, const char *key, aios_error *err);

/* ---- remote_truncation.c: servers that cut a prompt without a word ------------------------------------------------- */

/** How much text a turn sent, and what it was. */
typedef struct aios__prompt {
    uint64_t n_chars;
    uint64_t n_media;   /**< bytes of a request that images and the like take, which say nothing of their tokens */
    uint64_t hash;      /**< of tools and entries */
    uint32_t n_entries;
    uint32_t n_tokens;  /**< as the server counted, once the turn is over; 0: it did not say */
    bool reasoning;     /**< some was part of it */
    bool grown;         /**< the turn before it is its beginning */
} aios__prompt;
void aios__prompt_read(const aios_request *q, const aios__prompt *last, aios__prompt *out);
/** Bytes of a request's body that are text. */
size_t aios__prompt_bytes(const aios__prompt *p, size_t n_body);
/** Tokens that the prompt has at the very least, if the server counted fewer because it cut something off; else 0. */
uint32_t aios__prompt_missing(const aios__prompt *now, const aios__prompt *last, uint32_t counted);

/* ---- remote_retry.c: whether and when to try again ---------------------------------------------------------------- */

/** True if another attempt may help: no network, no answer, rate, server. */
bool aios__retry_helps(int code);
/**
 * Nanoseconds to wait before attempt number `attempt` (1: the first repetition): full jitter below a bound that doubles, and never less than
 * the server asks for (retry_after as in its header; NULL: none). -1: it asks for longer than we wait.
 */
int64_t aios__retry_wait(aios_ctx *ctx, uint32_t attempt, const char *retry_after, size_t n);

/* ---- remote_gate.c: limits of the model's configuration ------------------------------------------------------------ */

/** 0: a request of so many tokens may be sent, and is counted; else nanoseconds until it is worth to ask again. */
int64_t aios__gate_enter(aios__remote *m, uint32_t n_tokens);
/** Waits until it may be sent. ERATE: that would be later than `end` (env's clock). */
int aios__gate_wait(aios__remote *m, uint32_t n_tokens, int64_t end, aios_error *err);
/** What the request took, prompt and reply, in the place of what was estimated. */
void aios__gate_settle(aios__remote *m, uint32_t estimated, uint64_t counted);

/* ---- prune.c ------------------------------------------------------------------------------------------------------- */

/**
 * Writes a JSON object of n bytes to out, which has room for as many, without the members that are plain and none of `reads` (NULL-terminated);
 * returns how many that are, 0: it is to be parsed as it is.
 */
size_t aios__prune(const char *s, size_t n, const char *const *reads, char *out);

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
/** True if the reply is whole but holds no call. */
bool aios__reader_idle(const aios__reader *r);
/** Tokens of the prompt as the server counted; 0: it did not say. */
uint32_t aios__reader_input(const aios__reader *r);
uint32_t aios__reader_output(const aios__reader *r); /**< likewise of the reply */

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
