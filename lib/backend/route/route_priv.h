/* SPDX-License-Identifier: Apache-2.0 */
/* A model made of other models: which of them gets a turn, and what becomes of it if that one fails. docs/routing.md has the file. */
#ifndef AIOS_LIB_ROUTE_PRIV_H
#define AIOS_LIB_ROUTE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/json.h"
#include "llm/llm.h"

enum { AIOS__ROUTE_ENDPOINTS = 64, AIOS__ROUTE_CANDIDATES = 32, AIOS__ROUTE_WAITS = 15 };

/** What a candidate may do that no model says of itself. */
enum { AIOS__ROUTE_IMAGES = 1, AIOS__ROUTE_AUDIO = 2 };

/** Why one does not get a turn. */
#define AIOS__ROUTE_WHYS(X) \
    X(NONE, "") \
    X(CLOSED, "not opened") \
    X(PRIVACY, "privacy") \
    X(CAPABILITY, "capability") \
    X(CONTEXT, "context") \
    X(SIZE, "size") \
    X(COST, "cost") \
    X(BUDGET, "budget") \
    X(FAILED, "failed") \
    X(LATENCY, "latency") \
    X(HEALTH, "health") \
    X(BUSY, "busy")
enum aios__route_why {
#define X(name, text) AIOS__WHY_##name,
    AIOS__ROUTE_WHYS(X)
#undef X
};
const char *aios__route_why_text(enum aios__route_why w);

typedef struct aios__route_spend {
    uint64_t tokens;
    double money; /**< millionths */
} aios__route_spend;

/** One place where a candidate is served. Configured once; the lower part is guarded by the router's lock. */
typedef struct aios__endpoint {
    const char *uri;     /**< of the document */
    char shown[160];     /**< without secrets */
    aios_model *model;   /**< NULL: it could not be opened, and is optional */
    uint32_t candidate, weight, n_ctx, can;
    int32_t privacy;

    uint32_t failures;   /**< one after the other */
    int64_t open_until;  /**< of the breaker; 0: closed */
    int64_t open_ns;     /**< how long it opens the next time */
    bool probing;        /**< half-open: one turn tries */
    uint32_t running;
    int64_t credit;      /**< smooth weighted round robin */
    int64_t waits[AIOS__ROUTE_WAITS], waited_at; /**< the last times until a first event */
    uint32_t n_waits;
} aios__endpoint;

typedef struct aios__candidate {
    const char *name;
    uint64_t classes;    /**< of confidentiality that may leave the machine for it */
    uint32_t any_class, optional, can;
    uint32_t n_ctx, weight, min_tokens, max_tokens;
    double max_cost;     /**< of a turn, by estimate; 0: no bound */
    int64_t max_wait_ns, first_event_ns, turn_ns;
    double cost_input, cost_output, cost_cached; /**< of a million tokens */
    aios__route_spend limit, spent, reserved;
    uint32_t concurrent, first, n;
} aios__candidate;

typedef struct aios__route {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__json_doc *doc;
    aios__candidate candidates[AIOS__ROUTE_CANDIDATES];
    aios__endpoint endpoints[AIOS__ROUTE_ENDPOINTS];
    uint32_t n_candidates, n_endpoints;
    int64_t hedge_ns, patience_ns, open_ns;
    uint32_t attempts, failures, sticky, strict_schema, least;
    aios_model *waits[AIOS__ROUTE_ENDPOINTS]; /**< one for each loop that sessions of candidates wait for */
    uint32_t n_waits, next_wait;
    uint64_t next_on;    /**< bit -code: the next candidate is tried */
    aios__route_spend limit;
    pthread_mutex_t lock;
    aios__route_spend spent, reserved;
} aios__route;

/** route_config.c: from the text of a file, or of a URI. EINVAL and EFORMAT name the path in the JSON. Opens nothing. */
int aios__route_read(const aios_backend_open_args *args, aios__route *r, aios_error *err);
/** What is passed on to the model of endpoint e; key: where one is, wiped by the caller. */
int aios__route_remote(const aios__route *r, uint32_t e, const aios_remote_config *host, aios_remote_config *out, aios_error *err);
/** Wipes the keys that the document holds. */
void aios__route_wipe(aios__route *r);

/** What a turn needs of a candidate. */
typedef struct aios__route_need {
    uint64_t classes;    /**< of confidentiality in it */
    uint32_t model_can;  /**< AIOS_MODEL_CAN_x */
    uint32_t can;        /**< AIOS__ROUTE_x */
    uint32_t tokens;     /**< of the prompt, by estimate */
    uint32_t max_tokens; /**< of the reply */
    uint64_t tried, dead; /**< endpoints, by bit: in this round; for good */
    uint32_t sticky;     /**< endpoint of the turn before; AIOS__ROUTE_ENDPOINTS: none */
    bool probe;          /**< of an attempt: it tries whether its endpoint is well again */
} aios__route_need;
void aios__route_need_of(const aios__route *r, const aios_request *q, aios__route_need *out);

typedef struct aios__route_pick {
    uint32_t endpoint;
    const char *how;     /**< "first", "sticky", "probe" ... */
    uint8_t why[AIOS__ROUTE_CANDIDATES]; /**< of those passed over, in front of the one chosen, or all */
} aios__route_pick;
/** Chooses; `take` also counts the turn as running there. AIOS_AGAIN: later perhaps; EDENIED, EQUOTA, ENOTSUP, ECONTEXT, EUNAVAIL. */
int aios__route_choose(aios__route *r, const aios__route_need *q, bool take, aios__route_pick *out, aios_error *err);
/** How a candidate failed in a turn, the last time. */
typedef struct aios__route_cause {
    int code;      /**< 0: it did not */
    char msg[200]; /**< UTF-8 */
} aios__route_cause;
/** Fails as `last` did, and says of every candidate why it did not answer: causes has one for each. */
int aios__route_fail_all(aios__route *r, const aios__route_need *q, const aios__route_cause *causes, const aios_error *last, aios_error *err);

/** Millionths that a candidate's prices make of what an attempt took; 0: it has none. */
uint64_t aios__route_cost(const aios__route *r, uint32_t e, const aios_usage *usage);
/** The turn's attempt at e is over: with a code, the tokens that it took, and the time until its first event (-1: there was none). */
void aios__route_report(aios__route *r, uint32_t e, const aios__route_need *q, int code, const aios_usage *usage, int64_t wait_ns);

/** route_turn.c */
typedef struct aios__route_turn aios__route_turn;
int aios__route_turn_new(aios__route *r, const aios_session_config *cfg, aios__route_turn **out, aios_error *err);
void aios__route_turn_free(aios__route_turn *t);
int aios__route_turn_start(aios__route_turn *t, const aios_request *req, aios_error *err);
int aios__route_turn_step(aios__route_turn *t, const aios_sink *sink, aios_error *err);
void aios__route_turn_cancel(aios__route_turn *t); /**< any thread, async-signal-safe */
/** Of the sessions of all endpoints, between turns. */
void aios__route_turn_retain(aios__route_turn *t, int32_t returns);
/** The session of the endpoint that would get the request now. */
int aios__route_turn_peek(aios__route_turn *t, const aios_request *req, aios_session **s, aios_error *err);

#endif
