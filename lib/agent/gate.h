/* SPDX-License-Identifier: Apache-2.0 */
/* What rules and labels need of a run: run_gate.c, run_values.c, extract.c. */
#ifndef AIOS_LIB_GATE_H
#define AIOS_LIB_GATE_H

#include <aios/agent.h>

#include "agent/ruleset.h"

typedef struct aios__run_call aios__run_call;

/** A value outside of the context. */
typedef struct aios__value {
    char *text;
    size_t n;
    aios_label label;
} aios__value;

/** What a run and those below it have taken of the policies above: their calls, times that they asked, bits that they endorsed. */
typedef struct aios__owed {
    aios__taken *list;         /**< one a policy and capability */
    uint32_t n, cap;
    uint32_t n_asks;
    double bits;
} aios__owed;

typedef struct aios__gate {
    aios__ruleset_use use;
    aios__value *values;
    uint32_t n_values, n_asks;
    uint32_t n_told;           /**< values that the model had read of before this turn: those that its calls may name */
    double endorsed;           /**< bits */
    aios__owed owed;
} aios__gate;

/** Of a call of the turn. */
typedef struct aios__gated {
    aios_label label;          /**< of what is in the call: the context, and the values behind its handles */
    int64_t ask_until;         /**< 0: for ever */
    int64_t ask_until_us;      /**< the same, as others know it: since 1970 */
    char digest[AIOS__SHA256_TEXT];
    aios__taken *charges;      /**< what it took of the policies, where a journal or a caller is to know */
    uint32_t n_charges;
    aios__owed below;          /**< of a call of an agent that is over: what its run took of them, seen from here */
    bool charged;              /**< the journal knows */
    bool stale;                /**< another policy than the agent's let it begin */
    int32_t answered;          /**< AIOS_DENY, AIOS_UNASKED: came while nobody had the run; the call has no result yet */
    bool handle;               /**< its result is to become one */
    bool ours;                 /**< the result is this library's text */
} aios__gated;

/** Puts values in place of handles. */
int aios__gate_fill(aios_run *r, aios__run_call *c, aios_error *err);
/** The verdict about a call; an ASK has its digest and its time. */
int aios__gate_decide(aios_run *r, aios__run_call *c, aios_verdict *out, aios_error *err);
/** A call of a resumed run that waits for a decision, or was allowed by one: *stands if rules, labels and digest are as they were. */
int aios__gate_stands(aios_run *r, aios__run_call *c, bool *stands, aios_error *err);
/** The policy's counts have what the call took. */
int aios__gate_charge(aios_run *r, const aios__run_call *c, aios_error *err);
/** It is to be decided about anew. */
void aios__gate_forget(aios_run *r, aios__run_call *c);
/** Classes that its rules, or those above, keep on this machine. */
uint64_t aios__gate_local(const aios_run *r);
/** EDENIED if the context holds what must not go to the agent's model. */
int aios__gate_model(const aios_run *r, aios_error *err);
void aios__gate_free(aios_run *r);
/** Of a call. */
void aios__gate_clear(const aios_run *r, aios__gated *g);
/** Adds to what is owed. */
int aios__owed_add(const aios_run *r, aios__owed *o, const aios__taken *t, aios_error *err);
/** The run behind a call is over: what it took stands in the call, and what of that is above the caller in what the caller owes. */
int aios__gate_leave(aios_run *r, aios__run_call *c, aios_error *err);
/** Some asked, or endorsed bits: counts in the run and all above it. */
void aios__gate_asked(aios_run *r, uint32_t n);
void aios__gate_endorsed(aios_run *r, double bits);
/** Label of a result as the context gets it. */
aios_label aios__gate_label(const aios_run *r, const aios__run_call *c);
/** What the result of a call would be labelled if its tool said nothing. */
aios_label aios__gate_base(const aios__run_call *c);
/** True if a result is to stay outside of the context. */
bool aios__value_due(const aios__run_call *c, int32_t status);
/** Keeps a result outside of the context; `out` gets what the model sees instead. */
int aios__value_keep(aios_run *r, const aios__run_call *c, int32_t status, const char *s, size_t n, aios__buf *out, aios_error *err);
/** One value more, $v<n_values>; the text is copied. */
int aios__value_add(aios_run *r, const char *s, size_t n, aios_label label, aios_error *err);
const aios__value *aios__value_find(const aios_run *r, const char *handle, size_t n);
int aios__extract_fn(void *user, aios_call *c);
/** Bits that a value under the schema can carry at most, but for the order of keys; infinite where that is not clear. */
double aios__schema_bits(const aios__json *schema);

#endif
