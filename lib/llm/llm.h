/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/llm for the agent tier and the backends. */
#ifndef AIOS_LIB_LLM_H
#define AIOS_LIB_LLM_H

#include <aios/plugin/backend.h>
#include <aios/snapshot.h>

#include "base/json.h"
#include "grammar/grammar_mask.h"
#include "grammar/schema.h"

/** Code of a refused allocation whose error went to err (may be NULL). */
static inline int aios__nomem(const aios_error *err)
{
    return aios__error_code(err, AIOS_ENOMEM);
}

/** Join of two labels: the smaller integrity, the union of confidentiality. */
aios_label aios__label_join(aios_label a, aios_label b);
/** Join over all entries: what the model has seen. SYSTEM for an empty transcript. */
aios_label aios__label_of(const aios_transcript *t);
/** Adds the entries from `from` on in the form of aios_transcript_write_json; those before it are left out. */
int aios__transcript_write_from(const aios_transcript *t, uint32_t from, aios__buf *out, aios_error *err);
/** Appends the entries of such a text; EFORMAT, EVERSION leave those before the bad one. */
int aios__transcript_add_json(aios_transcript *t, const aios__json *root, aios_error *err);
/** As aios_session_start, for tools whose schemas were compiled when they were added to their toolset. */
int aios__session_start_again(aios_session *s, const aios_request *req, aios_error *err);
/** Largest number of the ids "call_N" of its calls; 0: there is none. */
uint64_t aios__transcript_last_call(const aios_transcript *t);
/** N of an id "call_N" as they are made here, of at most 18 digits; 0: it is none. */
uint64_t aios__call_number(const char *id);
/** True if a call or result of it has this id. */
bool aios__transcript_has_call(const aios_transcript *t, const char *id);
/** Appends t's entries from `from` on; they are shared, as by aios_transcript_copy. */
int aios__transcript_share_from(aios_transcript *to, const aios_transcript *t, uint32_t from, aios_error *err);
/** Ids of calls that are made here follow from the next turn's transcript alone, not from what the session did before. */
void aios__session_renumber(aios_session *s);
/** Another thread drives it, so that it can be waited for by its descriptor. */
bool aios__session_threaded(const aios_session *s);
aios_model *aios__model_ref(aios_model *m); /**< dropped by aios_model_close */
/** As aios_model_open and aios_model_probe, for a model that is a part of one being opened; ELIMIT where that goes too deep. */
int aios__model_open_inner(const aios_backend_open_args *outer, const char *uri, const aios_model_config *cfg, aios_model **m, aios_error *err);
int aios__model_probe_inner(const aios_backend_open_args *outer, const char *uri, const aios_model_config *cfg, aios_error *err);
/** What the named backend made of a model; NULL if it is another backend's. */
void *aios__model_self(const aios_model *m, const char *backend);


/* ---- sessions within sessions: what an outer step drives by aios_session_next(inner, 0, ..) ------------------------- */

/** True if the wrapper takes sessions that park. */
static inline bool aios__sink_parks(const aios_sink *k)
{
    return AIOS_HAS(k, ready) && k->park && k->ready;
}
/** What a step gives that parks. */
static inline int aios__sink_park(const aios_sink *k, int64_t until_ns)
{
    int rc = k->park(k->user, until_ns);
    return rc ? rc : AIOS_AGAIN;
}
/** Before the inner session is driven: it may park if the outer one may, and is ready where that is. */
void aios__session_follow(aios_session *inner, const aios_sink *outer);
/** After AIOS_AGAIN: true if it parked; *until_ns: env's time, INT64_MAX: none. */
bool aios__session_parked(const aios_session *inner, int64_t *until_ns);
/** A model's slots wait and wake, for the outer model's. */
int aios__model_wait(const aios_model *m, int32_t timeout_ms);
void aios__model_wake(const aios_model *m);
bool aios__model_waits(const aios_model *m); /**< it has them */
/** The model whose waits are all of m's: m itself, or one within; NULL: nothing of it waits. */
aios_model *aios__model_waiter(aios_model *m);
/** True if a wait of one drives what the other's sessions wait for, too. */
bool aios__model_waits_alike(const aios_model *a, const aios_model *b);
/** As aios_backend_register, for one whose waits all drive the one loop of the ctx. */
int aios__backend_register_loop(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios_error *err);
/** How many loops a model drives that is made of others, when it waits; *one: the model within that has it, if it may be one alone. */
typedef uint32_t aios__loops_fn(void *model, aios_model **one);
/** As aios_backend_register, for one whose models are made of others. */
int aios__backend_register_outer(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios__loops_fn *loops, aios_error *err);

/* ---- view.c: what of a transcript the model gets (docs/context.md) -------------------------------------------------- */

/** What the newest AIOS_PART_CONTEXT of a transcript says; all zero: the model gets everything. */
typedef struct aios__view {
    aios__heap *heap;
    uint64_t first, last; /**< ids: these entries are not shown, but for system entries and `keep`; last 0: all are */
    uint64_t keep;        /**< the user's entry that is shown though it lies between; 0: none */
    uint64_t *cut;        /**< ids, ascending: of the results of these only the beginning is shown */
    uint32_t n_cut;
    char *tool;           /**< reads results that were cut; NULL: none does */
    char *note;           /**< text in place of what is not shown; NULL: none */
    size_t n_note;
    aios_label label;     /**< of the note */
} aios__view;

/** EFORMAT: it is not what a context part says. */
int aios__view_check(const aios__json *root, aios_error *err);
/** Reads what holds of t; all zero if it has no such part. */
int aios__view_read(const aios_transcript *t, aios__view *v, aios_error *err);
int aios__view_copy(const aios__view *from, aios__view *to, aios_error *err);
/** Adds its members to a JSON object. */
int aios__view_write(const aios__view *v, aios__buf *out, aios_error *err);
void aios__view_free(aios__view *v);
/** True for an entry that is about the context and no part of the conversation. */
bool aios__entry_is_context(const aios_entry *e);
/** True if the model gets the entry, whole or cut. */
bool aios__view_shows(const aios__view *v, const aios_entry *e);
bool aios__view_cuts(const aios__view *v, uint64_t id);
/** The transcript as v shows it. EINVAL if that is nothing. */
int aios__view_make(const aios_transcript *t, const aios__view *v, aios_transcript **out, aios_error *err);
/** Likewise by what t itself says; *out is NULL where that is t as it is. */
int aios__view_of(const aios_transcript *t, aios_transcript **out, aios_error *err);

/* ---- request_copy.c: a request that outlives its caller ------------------------------------------------------------ */

typedef struct aios__request_copy {
    aios__heap *heap;
    aios_request req; /**< points to what is below */
    aios_sampling sampling;
    aios_transcript *transcript;
    aios_tool_def *tools;
    const char **stop;
    aios__buf texts;
    aios_walk *walk;  /**< keeps the grammar */
} aios__request_copy;
/** Copies a request that the wrapper has checked. A failure leaves it empty. */
int aios__request_copy_make(aios__heap *h, const aios_request *q, aios__request_copy *c, aios_error *err);
/** One that was never made may be freed too, once its heap is set. */
void aios__request_copy_free(aios__request_copy *c);

/* ---- event.c: the queue behind every _next; the owner locks ------------------------------------------------------ */

typedef struct aios__event_node aios__event_node;
typedef struct aios__events {
    aios__heap *heap;
    aios__event_node *head, *tail;
    aios__event_node *current; /**< what the caller holds */
    aios__event_node *spare;   /**< of one that was read; NULL: none */
    uint32_t n;                /**< waiting, the last one not counted */
    size_t n_bytes;
    uint64_t seq;
    aios_event last;           /**< DONE or ERROR: needs no memory, so it always gets through */
    aios_error last_error; /**< of last; before that, why the sink of a session failed */
    bool has_last;
    aios_snapshot *shots[2];   /**< of the reply and of the call being written; NULL: not wanted, or it is no JSON */
    aios_event shot;           /**< due behind `current` */
    bool shot_due;
    uint32_t shot_attempt;
} aios__events;

void aios__events_init(aios__events *q, aios__heap *h);
/** A copy of *ev and all that it points to, outside any lock. spare (may be NULL) is used or freed. */
int aios__event_new(aios__heap *h, const aios_event *ev, aios__event_node *spare, aios__event_node **out, aios_error *err);
/** Takes the queue's spare node: NULL if it has none. */
aios__event_node *aios__events_spare(aios__events *q);
/** Nothing comes for a while: lets the spare node go. */
void aios__events_rest(aios__events *q);
/** Puts a node at the end. */
void aios__events_push(aios__events *q, aios__event_node *node);
/** Sets the end: *ev is copied flat, its error deeply. */
void aios__events_finish(aios__events *q, const aios_event *ev);
/** Events SNAPSHOT come behind pieces of the reply, of calls, until the next clear. They are made when they are read. */
int aios__events_snapshots(aios__events *q, aios_ctx *ctx, bool text, bool calls, aios_error *err);
/** Next event or NULL; it lives until the next pop or clear. */
const aios_event *aios__events_pop(aios__events *q);
/** True if pop would give something. */
bool aios__events_ready(const aios__events *q);
/** Drops everything but the numbering. */
void aios__events_clear(aios__events *q);
/** Hands an event of a model below on to a sink; its end, its attempts and what no sink takes are the caller's. */
int aios__sink_pass(const aios_sink *k, const aios_event *ev);

/* ---- logprobs.c: texts of AIOS_EVENT_LOGPROBS ----------------------------------------------------------------------- */

#define AIOS__LOGPROB_LEAST (-9999.0) /* what OpenAI says of tokens that are very unlikely */

/** Begins an object in an array: {"token":S[,"bytes":[...]],"logprob":X, without its bracket. */
int aios__logprob_put(aios__buf *b, const char *s, size_t n, double logprob, aios_error *err);

/* ---- price.c --------------------------------------------------------------------------------------------------------- */

#define AIOS__MAX_PRICE 1e9
/** Millionths that a turn costs, rounded up, at most INT64_MAX; prices within [0, AIOS__MAX_PRICE]. */
uint64_t aios__price(const aios_prices *p, const aios_usage *u);

/* ---- for lib/agent ------------------------------------------------------------------------------------------------ */

/** 1 if s is [A-Za-z0-9_.-]{1,64}, as tools and their callers are named. */
bool aios__tool_name_ok(const char *s);

/** Called by lib/builtin.c for each built-in backend. */
int aios__backend_echo_init(aios_ctx *ctx, aios_error *err);
int aios__backend_gguf_init(aios_ctx *ctx, aios_error *err);
int aios__backend_http_init(aios_ctx *ctx, aios_error *err);
int aios__backend_record_init(aios_ctx *ctx, aios_error *err);
int aios__backend_route_init(aios_ctx *ctx, aios_error *err);

#endif
