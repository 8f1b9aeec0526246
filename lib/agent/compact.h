/* SPDX-License-Identifier: Apache-2.0 */
/* What a run knows of its context: context.c, context_plan.c, context_summary.c, context_read.c. docs/context.md says what follows from it. */
#ifndef AIOS_LIB_COMPACT_H
#define AIOS_LIB_COMPACT_H

#include <aios/agent.h>

#include "llm/llm.h"

typedef struct aios__context {
    uint32_t n_ctx;     /**< tokens to stay within; 0: not known yet */
    uint32_t told;      /**< by a server that refused; 0: none has */
    uint64_t n_input;   /**< of the last request, as its model counted; 0: it was of another view, or of another process */
    uint64_t n_bytes;   /**< of the last request, by aios__context_bytes */
    uint32_t mark;      /**< entries of the transcript then */
    double rate;        /**< tokens a byte of it; 0: not known yet */
    uint32_t step, n_tries; /**< compactions of that step */
    uint32_t known_from;    /**< answers of the run's calls before it may be out of the context */
    aios__view plan;    /**< what a summary is being written for */
    uint32_t n_before;
    aios__buf said;     /**< of the summary */
    uint32_t attempt;   /**< of its turn */
    bool forced;
} aios__context;

/** Of a plan that is carried out. */
typedef struct aios__compacted {
    int32_t policy;
    uint32_t before, after; /**< tokens of the request */
    const char *why;        /**< another policy than the agent's; NULL: it is not */
} aios__compacted;

/* ---- context.c ---------------------------------------------------------------------------------------------------- */

/** Checks, and puts defaults in place. EINVAL. */
int aios__compact_in(const aios_compact *src, aios_compact *out, aios_error *err);
void aios__context_init(aios_run *r);
void aios__context_free(aios_run *r);
/** Tokens of a request, by the model if it is here, else by estimate. */
int aios__context_count(const aios_agent *a, aios_session *s, const aios_request *q, double rate, uint32_t *n, bool *exact, aios_error *err);
/** Likewise of the run's, with its transcript as v shows it. */
int aios__context_weigh(aios_run *r, const aios_request *q, const aios__view *v, uint32_t *n, aios_error *err);
/** Before a turn: compacts if it is time to. The state is AIOS__RUN_CONTEXT if a summary is to be written first. */
int aios__context_fit(aios_run *r, const aios_request *q, aios_error *err);
/** The turn did not fit, says err: AIOS_OK if it is to be made again, else err's code. */
int aios__context_overflow(aios_run *r, aios_error *err);
/** The turn's usage came. */
void aios__context_counted(aios_run *r, const aios_usage *u);
/** Puts a plan into the transcript and the journal, and tells it. */
int aios__context_commit(aios_run *r, const aios__view *v, const aios__compacted *how, aios_error *err);
/** It is there (again). */
void aios__context_changed(aios_run *r);
/** The run goes on with another agent: what was known of the model is not so of its. */
void aios__context_moved(aios_run *r);

/* ---- context_plan.c ----------------------------------------------------------------------------------------------- */

/** A view of which the request takes `target` tokens, or as few as can be; *n: how many. AIOS_DONE: nothing more can be left out. */
int aios__context_plan(aios_run *r, const aios_request *q, int32_t policy, uint32_t target, aios__view *v, uint32_t *n, aios_error *err);

/* ---- context_summary.c -------------------------------------------------------------------------------------------- */

/** Tokens that a summary may have. */
uint32_t aios__summary_most(const aios_run *r);
/** Begins the turn that writes a summary of what `plan` leaves out; it takes the plan. AIOS_DONE: nothing could be asked. */
int aios__summary_start(aios_run *r, aios__view *plan, uint32_t n_before, aios_error *err);
/** Moves it on, as aios__turn_step; the next turn begins behind it. */
int aios__summary_step(aios_run *r, int32_t timeout_ms, aios_error *err);

/* ---- context_read.c ----------------------------------------------------------------------------------------------- */

#define AIOS__READ_RESULT "read_result"
int aios__read_result_fn(void *user, aios_call *c);

#endif
