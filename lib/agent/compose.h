/* SPDX-License-Identifier: Apache-2.0 */
/* What runs of several agents need of each other: use.c, subagent.c, grip.c. */
#ifndef AIOS_LIB_COMPOSE_H
#define AIOS_LIB_COMPOSE_H

#include <poll.h>

#include <aios/compose.h>

#include "agent/ledger.h"
#include "base/base.h"

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
/** It is over; kept: its caller goes on counting it as its own. */
void aios__use_leave(const aios_run *r, bool kept);

/* ---- grip.c: an agent held by those that it holds itself ------------------------------------------------------------- */

typedef struct aios__grip aios__grip;
/** A reference that does not keep the agent alive. NULL: no memory. */
aios__grip *aios__grip_new(aios_agent *a, aios_error *err);
/** A reference of the usual kind; NULL: the agent is gone. */
aios_agent *aios__grip_take(aios__grip *g);
void aios__grip_free(aios__grip *g);
/** The agent goes. */
void aios__grip_loose(aios_agent *a);

/* ---- subagent.c ------------------------------------------------------------------------------------------------------ */

bool aios__sub_is(const aios__tool *t);
/** Calls of agents that may begin now, beside those that are open. */
uint32_t aios__sub_room(const aios_run *r);
/** Begins the run behind a call that has been started. A failure is the caller's: else it is the call's result. */
int aios__sub_begin(aios_run *r, aios__run_call *c, aios_error *err);
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
/** The root's descriptor was made: it gets those of all that was called. */
void aios__sub_watch(const aios_run *r);
/** The call that waits for a decision, by its id as events have it or by its digest; *owner is whose it is. */
aios__run_call *aios__sub_find_ask(aios_run *r, const char *call_id, const char *digest, aios_run **owner);

#endif
