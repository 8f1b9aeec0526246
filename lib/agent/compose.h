/* SPDX-License-Identifier: Apache-2.0 */
/* What runs of several agents need of each other: use.c, subagent.c, grip.c. */
#ifndef AIOS_LIB_COMPOSE_H
#define AIOS_LIB_COMPOSE_H

#include <poll.h>

#include <aios/compose.h>

#include "agent/ledger.h"
#include "base/json.h"

typedef struct aios__run_call aios__run_call;
typedef struct aios__tool aios__tool;

enum { AIOS__MAX_DEPTH = 32, AIOS__SUBS_AT_ONCE = 16 };

/* ---- use.c: limits of a run are those of all runs above it, too ----------------------------------------------------- */

/** What runs have used of their limits. */
typedef struct aios__use {
    uint32_t turns, calls;
    uint64_t tokens;
    aios__ledger ledger;
} aios__use;

void aios__use_add(aios_run *r, aios__use more);
/** ELIMIT where no turn more may begin. */
int aios__use_check_turn(const aios_run *r, aios_error *err);
/** ELIMIT where what models cost has reached a limit. */
int aios__use_check_cost(const aios_run *r, aios_error *err);
int aios__use_check_call(const aios_run *r, aios_error *err);
/** Tokens that the run may still generate. */
uint64_t aios__use_tokens_left(const aios_run *r);
/** What a resumed run had used before counts above it while it is open. */
void aios__use_join(const aios_run *r);
/** It is over, or belongs to nobody else: its caller goes on counting what it used as its own. */
void aios__use_leave(const aios_run *r);

/* ---- grip.c: an agent held by those that it holds itself ------------------------------------------------------------- */

typedef struct aios__grip aios__grip;
/** A reference that does not keep the agent alive. NULL: no memory. */
aios__grip *aios__grip_new(aios_agent *a, aios_error *err);
/** A reference of the usual kind; NULL: the agent is gone. */
aios_agent *aios__grip_take(aios__grip *g);
void aios__grip_free(aios__grip *g);
/** The agent goes. */
void aios__grip_loose(aios_agent *a);

/* ---- run.c, resume.c: a run as the one above it has it -------------------------------------------------------------------- */

/** As aios_run_start_with and aios_run_resume, of a run below a parent (or NULL). */
int aios__run_start(aios_agent *a, aios_run *parent, const aios_run_options *options, aios_run **out, aios_error *err);
int aios__run_resume(aios_agent *a, aios_run *parent, const char *id, const char *traceparent, aios_run **out, aios_error *err);
/** Ends what is going on, as a cancel does; its store knows what has ended, and it may be resumed. */
void aios__run_halt(aios_run *r);
/** Works until there is an event; the caller sees to it that nobody else does. */
int aios__run_pull(aios_run *r, int32_t timeout_ms, const aios_event **ev);
/** The earliest deadline of it and what it waits for. */
int64_t aios__run_deadline(const aios_run *r);

/* ---- subagent.c ------------------------------------------------------------------------------------------------------ */

bool aios__sub_is(const aios__tool *t);
/** Calls of agents that may begin now, beside those that are open. */
uint32_t aios__sub_room(const aios_run *r);
/** In the intent of a call: the run behind it, if that is in a store. */
void aios__sub_journal(const aios__run_call *c, aios__buf *b, aios_error *err);
/** Begins the run behind a call that has been started. A failure is the caller's: else it is the call's result. */
int aios__sub_begin(aios_run *r, aios__run_call *c, aios_error *err);
/** True if r, or a run below it, has called an agent whose run is not here again yet: what that has taken of the policies above is not counted. */
bool aios__sub_missing(const aios_run *r);
/** Moves the agents that were called on until one has something to say. AIOS_AGAIN: none has. */
int aios__sub_step(aios_run *r, aios_error *err);
/** Ends the run behind a call, if there is one. */
void aios__sub_stop(aios_run *r, aios__run_call *c);
/** True if some have something to do now. */
bool aios__sub_busy(const aios_run *r);
/** Earliest deadline below, INT64_MAX: none. */
int64_t aios__sub_deadline(const aios__run_call *c);
/** The call waits for decisions alone, of calls of its own. */
bool aios__sub_only_asks(const aios__run_call *c);
/** Adds what is to be waited for; false: some is computed by who steps it, and cannot be. *n over cap: there is more than what p has got. */
bool aios__sub_polls(const aios_run *r, struct pollfd *p, uint32_t cap, uint32_t *n);
/** The session of what comes next; the one before stays open. */
void aios__run_use_session(aios_run *r, aios_session *s);
/** True if some model that it or one below waits for is not among what the root's descriptor watches, since the system has none left for it. */
bool aios__sub_unseen(aios_run *r);
/** The root's descriptor was made: it gets those of all that was called. */
void aios__sub_watch(const aios_run *r);

/* ---- handoff.c ------------------------------------------------------------------------------------------------------- */

typedef struct aios__handoff aios__handoff;
typedef struct aios__station aios__station;

bool aios__handoff_is(const aios__tool *t);
/** The agent gets its handoffs, and a toolset of its own with them on that of the host. */
int aios__handoff_add(aios_agent *a, const aios_agent_config *c, aios_error *err);
void aios__handoff_drop(aios_agent *a);
/** Agent of handoff i; NULL: the first one. */
const aios_agent *aios__handoff_to(const aios_agent *a, uint32_t i);
/** The agent that acts, by itself: r->agent has what it may here. */
const aios_agent *aios__handoff_agent(const aios_run *r);
/** All calls of the turn are over: the next turn is that of the agent to which it has handed the run. */
int aios__handoff_next(aios_run *r, aios_error *err);
/** Likewise, as the journal has it. ESTATE: the agent has no handoff of that name. */
int aios__handoff_restore(aios_run *r, const char *name, aios_error *err);
/** The end: the run is its first agent's again. */
void aios__handoff_clear(aios_run *r);

/* ---- hooks.c --------------------------------------------------------------------------------------------------------- */

/** The hook, if there is one; a refusal is a failure of the run. */
int aios__hook_before_turn(const aios_run *r, aios_turn_profile *profile, aios_error *err);
int aios__hook_after_turn(const aios_run *r, aios_error *err);
/** Before those calls that are to begin; one that is refused has its result. AIOS_AGAIN: none was. */
int aios__hook_before_calls(aios_run *r, aios_error *err);
/** 0, or the code that takes the place of the result, and its reason (256 bytes). */
int aios__hook_after_call(const aios_run *r, const aios__run_call *c, int32_t status, const char *text, size_t n, char *reason);
int aios__hook_handoff(const aios_run *r, const char *from, const char *to, char *reason);
void aios__hook_stop(const aios_run *r, const aios_event *last);

/* ---- profile.c ------------------------------------------------------------------------------------------------------- */

/** A model that some turns of a run had in place of its agent's. */
typedef struct aios__bench {
    aios_model *model;
    aios_session *session;
} aios__bench;

typedef struct aios__profile {
    aios_turn_profile pub;     /**< of the turn that begins */
    aios_sampling sampling;
    int32_t privacy;           /**< of the turn's model */
    bool limited;              /**< of the tools, only those in shown */
    aios__buf shown;           /**< their names, each behind a NUL and before one */
    aios_tool_def *defs;
    uint32_t n_defs;
    aios_transcript *view;     /**< the transcript as the model sees it, where that differs; NULL: it does not */
    aios__bench *bench;
    uint32_t n_bench;
} aios__profile;

/** A turn begins: how it is made. Sets the run's choice and session. */
int aios__profile_begin(aios_run *r, aios_error *err);
/** A transcript behind the turn's instructions, in a new one: it shares the entries. */
int aios__profile_view(const aios_run *r, aios_transcript *t, aios_transcript **out, aios_error *err);
/** Puts it into the request. */
int aios__profile_fill(aios_run *r, aios_request *q, aios_error *err);
/** False: the model was not shown this tool in this turn. */
bool aios__profile_shows(const aios_run *r, const char *name);
/** The tools that were shown, in the record of a turn; and out of it. */
void aios__profile_write(const aios_run *r, aios__buf *b, aios_error *err);
int aios__profile_read(aios_run *r, const aios__json *turn, aios_error *err);
void aios__profile_free(aios_run *r);

#endif
