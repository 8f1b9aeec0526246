/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by model.c, session.c, request.c and driver.c. */
#ifndef AIOS_LIB_SESSION_PRIV_H
#define AIOS_LIB_SESSION_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "llm/llm.h"

/** Sessions in a row. */
typedef struct aios__sessions {
    aios_session *first, *last;
    uint32_t n;
} aios__sessions;

/** Steps those active sessions of one model that have something to do, one after the other. The lock comes behind all those of backends. */
typedef struct aios__driver {
    const aios_model *model;
    pthread_mutex_t lock;
    pthread_cond_t work; /**< a session was added or is ready, or stop */
    pthread_cond_t idle; /**< a step ended */
    pthread_t thread;
    bool started, stop;
    bool waiting;             /**< in the backend's wait, and nobody has ended it */
    bool broken;              /**< the last wait failed */
    aios__sessions queue, parked;
    aios_session *stepping;
    uint32_t n_round;         /**< steps until the backend's wait has a look, though there is more to step */
    int64_t due, swept;       /**< env's clock: no parked session has a time before; when the parked were looked through last */
    uint32_t cancels_seen;
    _Atomic uint32_t cancels; /**< of any session */
} aios__driver;

typedef struct aios__promise aios__promise;

struct aios_model {
    _Atomic uint32_t refs;
    aios_ctx *ctx;
    const struct aios__backend *backend;
    const aios_backend_ops *ops; /**< the backend's */
    void *self;
    uint32_t can;             /**< AIOS_MODEL_CAN_x */
    aios__driver driver;
};

struct aios_session {
    aios_model *model;
    aios_model *draft;        /**< kept alive for the backend; NULL: none */
    const aios_backend_ops *ops;
    void *self;
    aios__heap *heap;
    _Atomic uint32_t busy;    /**< a call is inside */
    _Atomic uint32_t cancel;
    _Atomic uint32_t running; /**< a turn wants steps */
    _Atomic int fd;           /**< eventfd, or -1 */
    atomic_bool fd_up;        /**< it is readable */
    bool threaded;

    pthread_mutex_t lock;     /**< guards the three below */
    pthread_cond_t ready;
    aios__events events;
    bool stalled;             /**< the driver waits for the reader */

    int64_t deadline;         /**< of the turn; 0: none */
    uint64_t next_call;       /**< number of the next call id that is made here */
    uint32_t n_calls;         /**< of this turn */
    bool one_call;
    bool deltas;              /**< calls are sent while they are written */
    bool logprobs;            /**< so are probabilities of tokens */
    bool open_call;           /**< one is, by the number call_id */
    char call_id[264];
    uint32_t attempt;         /**< of this turn */
    aios__promise *promise;   /**< what the reply must hold to; NULL: nothing, or the backend sees to it */
    int sink_failed;
    aios__buf text;           /**< the whole reply */
    char reason[32];

    bool parks;               /**< the step under way has parked, until park_until */
    int64_t park_until;
    bool may_park;            /**< the outer session's step allows it */
    void (*on_ready)(void *user); /**< of a session that another one's step drives, never changed once it is set; NULL: none does */
    void *on_ready_user;

    aios_session *prev, *next; /**< in the row `in`; guarded by the driver's lock, as news is */
    aios__sessions *in;            /**< NULL: none */
    bool news;                /**< ready since its last step began */
};

/** A request checked and widened to this version's structs. */
typedef struct aios__request {
    aios_request req;
    aios_sampling sampling;
    aios_tool_def *tools;
    aios__schema *schema; /**< of schema_json, or NULL */
    aios__heap *heap;
    const aios_transcript *whole; /**< the caller's transcript */
    aios_transcript *view;        /**< what of it the model gets, where that is not all; else NULL */
} aios__request;
int aios__request_in(aios_ctx *ctx, const aios_request *src, aios__request *out, aios_error *err);
/** Likewise; the schemas of its tools were compiled before, and are not again. */
int aios__request_in_again(aios_ctx *ctx, const aios_request *src, aios__request *out, aios_error *err);
void aios__request_free(aios__request *r);
/** ENOTSUP names what a model that can so much (AIOS_MODEL_CAN_x) would leave out in silence. */
int aios__request_suits(const aios_request *q, uint32_t can, const char *backend, aios_error *err);

/* ---- promise.c: a schema that the backend cannot enforce while it writes ------------------------------------------ */

/** Takes r's schema, and copies of all that another attempt needs. */
int aios__promise_new(aios__heap *h, aios__request *r, aios__promise **out, aios_error *err);
void aios__promise_free(aios__promise *p);

/** What becomes of a reply; all is borrowed from the promise until its next call. */
typedef struct aios__settled {
    bool stands;             /**< as it is */
    const aios_request *req; /**< of another attempt; NULL: none, the reply is json alone */
    const char *json;
    size_t n_json;
} aios__settled;
/** ESCHEMA: the reply does not hold to the schema, and there have been enough attempts. */
int aios__promise_settle(aios__promise *p, const char *backend, const aios__buf *reply, aios__settled *out, aios_error *err);

int aios__driver_init(aios__driver *d, const aios_model *m, aios_error *err);
int aios__driver_start(aios__driver *d, aios_error *err);
void aios__driver_add(aios__driver *d, aios_session *s);
/** A parked session has something to do. Any thread, locks of backends held. */
void aios__driver_ready(aios__driver *d, aios_session *s);
/** Returns once the session is neither queued nor parked nor being stepped. */
void aios__driver_remove(aios__driver *d, aios_session *s);
void aios__driver_destroy(aios__driver *d);

/* ---- sink.c: what a turn makes, on its way up ----------------------------------------------------------------------- */

void aios__session_sink(aios_session *s, bool may_park, aios_sink *out);
/** A piece of the reply. */
int aios__session_text(aios_session *s, const char *p, size_t n);
/** What was sent so far is void: another attempt of the turn begins. */
void aios__session_restart(aios_session *s);

/* ---- session.c ----------------------------------------------------------------------------------------------------- */

/** The descriptor, if there is one, is readable. Async-signal-safe. */
void aios__session_wake_fd(aios_session *s);
/** One step of a running turn, by whoever drives. */
void aios__session_step(aios_session *s);
/** Env's time of what a parked session waits for, its deadline included; INT64_MAX: none. */
int64_t aios__session_due(const aios_session *s);
/** True if the reader is so far behind that the driver must wait; marks the session stalled. */
bool aios__session_stall(aios_session *s);

#endif
