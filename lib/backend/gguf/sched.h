/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continuous batching: the running turns of all sessions of a model are computed together. There is no thread of its own: of
 * the threads that step a session one leads a pass, which computes what every turn has waiting, also those whose threads are
 * elsewhere; the others sleep until it is over. Results lie in the turn until its own thread comes.
 */
#ifndef AIOS_LIB_GGUF_SCHED_H
#define AIOS_LIB_GGUF_SCHED_H

#include "backend/gguf/net.h"

struct aios__gguf_session;
typedef struct aios__sched aios__sched;

enum aios__job_state {
    AIOS__JOB_NONE,
    AIOS__JOB_NEW,     /**< not prepared */
    AIOS__JOB_READY,   /**< its rows may go into the next pass */
    AIOS__JOB_RUNNING, /**< in a pass: only that one touches the turn */
    AIOS__JOB_DONE     /**< its own thread looks next */
};

/** The scheduler's side of a turn; guarded by its lock, n_waiting, n_rows, n_wants and n_logits by the turn's owner of the moment. */
typedef struct aios__job {
    enum aios__job_state state;
    int32_t priority;
    uint32_t n_waiting;       /**< rows that could be computed */
    bool prompt;              /**< most of them are of a prompt */
    uint32_t n_rows, n_wants; /**< in this pass */
    uint32_t n_logits;        /**< of those wanted, rows that do so for more than the largest */
    uint32_t n_sure;          /**< of the rows, those that are no guesses */
    uint32_t row, logit;      /**< where they begin */
    int rc;                   /**< 0: they were computed; ECANCELED: the pass was given up */
    uint64_t n_served;        /**< prompt rows computed so far */
    uint64_t last;            /**< number of the pass that computed something of it */
    bool waiting;             /**< its thread is inside and sleeps */
    bool late;                /**< its thread took long to come: passes do not wait for it */
    int64_t done_at;
} aios__job;

int aios__sched_new(aios__net *net, aios__sched **out, aios_error *err);
void aios__sched_free(aios__sched *d);
/** Takes a turn in; its prompt may be computed from here on. */
int aios__sched_add(aios__sched *d, struct aios__gguf_session *s, int32_t priority, aios_error *err);
/** Returns once no pass touches the turn any more, and none will. */
void aios__sched_remove(aios__sched *d, struct aios__gguf_session *s);
/** Waits for one pass, or leads it. True: the turn is DONE and belongs to the caller until _go_on. */
bool aios__sched_wait(aios__sched *d, struct aios__gguf_session *s);
/** The turn's next rows may be computed. */
void aios__sched_go_on(aios__sched *d, struct aios__gguf_session *s);
/** Passes so far. */
uint64_t aios__sched_passes(aios__sched *d);

#endif
