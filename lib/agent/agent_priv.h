/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of lib/agent. */
#ifndef AIOS_LIB_AGENT_PRIV_H
#define AIOS_LIB_AGENT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include <aios/agent.h>

#include "agent/call.h"
#include "agent/compact.h"
#include "agent/compose.h"
#include "agent/gate.h"
#include "agent/journal.h"
#include "agent/ledger.h"
#include "base/json.h"
#include "llm/llm.h"
#include "observe/observe.h"

/* ---- policy.c ----------------------------------------------------------------------------------------------------- */

/** Asks what the host decides, or without that the default; out->verdict is ALLOW, ASK or DENY and reason is valid text. */
void aios__policy_decide(const aios_policy *p, const aios_action *action, aios_verdict *out);

/* ---- agent.c ------------------------------------------------------------------------------------------------------ */

struct aios_agent {
    _Atomic uint32_t refs;
    _Atomic uint64_t n_runs;
    pthread_mutex_t lock;
    aios_session *idle; /**< session of the last run: its cache makes the next one quick */
    aios__grip *grip;   /**< NULL: none was asked for */
    aios__workers workers;

    aios_ctx *ctx;      /**< from here on nothing changes, and a handoff copies it */
    aios_model *model;
    aios_toolset *toolset;
    aios_policy policy;
    int32_t privacy;    /**< of the model */
    aios_limits limits;
    aios_sampling sampling;
    aios_prices prices;
    bool has_sampling, has_prices;
    char *instructions, *schema_json, *tool_name, *cache_dir, *name;
    aios_telemetry *telemetry;
    aios_store *store;          /**< NULL: runs have no journal */
    aios_commit_hook hook;
    aios_compact compact;       /**< with its defaults in place */
    char *compact_text;         /**< its instructions */
    int32_t tool_choice;
    uint32_t flags, driver;
    float min_margin;
    aios__handoff *handoffs;
    uint32_t n_handoffs;
    aios_hooks hooks;
};
aios_agent *aios__agent_ref(aios_agent *a);
int aios__agent_take_session(aios_agent *a, aios_session **s, aios_error *err);
void aios__agent_give_session(aios_agent *a, aios_session *s);

/* ---- run.c, run_turn.c, run_tools.c ------------------------------------------------------------------------------- */

enum aios__run_state { AIOS__RUN_PROMPT, AIOS__RUN_CONTEXT, AIOS__RUN_MODEL, AIOS__RUN_TOOLS, AIOS__RUN_CLOSING, AIOS__RUN_END };
enum aios__run_call_state {
    AIOS__RC_NEW,
    AIOS__RC_ASK,       /**< waits for a decision */
    AIOS__RC_READY,     /**< is to run */
    AIOS__RC_RECONCILE, /**< was begun before a crash: its tool is to find out what became of it */
    AIOS__RC_RUNNING,
    AIOS__RC_DONE
};

struct aios__run_call {
    aios_call *call;
    aios__gated gate;
    const aios__tool *tool;
    aios__json_doc *args;   /**< its arguments, from the end of the turn to its admission; NULL: they are read again */
    enum aios__run_call_state state;
    int32_t status;
    uint32_t tries;     /**< intents that the journal has of it */
    bool due;           /**< starts now */
    bool hooked;        /**< before_call has been asked */
    bool unknown;       /**< ASK: it was begun, and nobody knows whether it happened */
    int32_t effect;     /**< of its last intent */
    uint32_t value;   /**< handle of what its result hides, 0: nothing */
    aios_label label; /**< of its result */
    char *text; /**< result as the model will read it */
    size_t n_text;
    aios_run *sub; /**< RUNNING: of the agent that it is a call of; NULL: none */
};

/** A signed piece of reasoning: where it ends in what the turn has said, and its signature's place among `signatures`. */
typedef struct aios__run_sign {
    size_t reasoning, text, at;
    uint32_t n_calls;
} aios__run_sign;

/** A call that was made, and the sum of its name and arguments: equal calls have equal sums. */
typedef struct aios__run_made {
    aios_call *call;
    uint64_t sum;
} aios__run_made;

struct aios_run {
    aios_agent *agent;         /**< that acts: home, or the blend of a handoff */
    aios_agent *home;          /**< that it began with */
    aios__heap *heap;
    aios__hub *hub;
    _Atomic(aios_session *) session; /**< of the turn; a cancel reads it at any time, so none goes before the run does */
    aios_session *base_session, *home_session; /**< of the agent that acts; of home */
    aios__station **stations;  /**< agents that it has been handed to */
    uint32_t n_stations;
    const char *handed;        /**< name of the last handoff; NULL: none yet */
    aios__profile profile;     /**< of the turn */
    aios_transcript *t;
    bool own_t, doomed;
    _Atomic uint32_t busy;
    enum aios__run_state state;
    uint64_t number;
    char id[AIOS__RUN_ID];
    uint8_t nonce[16];         /**< of the keys of its calls */
    aios__journal *journal;    /**< NULL: it has none */
    aios__trace *trace;        /**< NULL: nobody is told */
    uint32_t step, attempt;
    uint32_t session_attempt; /* of the session's turn: what came in earlier ones is void */
    aios__events events;
    aios_tool_def *defs;       /**< of the agent that acts */
    uint32_t n_defs;
    int64_t deadline;
    int fd, timer;             /**< epoll and timerfd, or -1 */
    bool watched;              /**< its session is in the root's fd */

    uint32_t turn_tokens;      /**< of the last turn */
    uint64_t n_context;        /**< tokens of the last turn, prompt and reply */
    uint32_t n_turns, n_calls; /**< against the limits */
    uint64_t n_tokens;
    aios__ledger ledger;
    aios__use below;           /**< of the open runs below */
    aios_run *parent, *root;   /**< who called it, NULL: the host; the one that the host has */
    uint32_t depth;            /**< below the root */
    uint32_t n_subs, n_tree;   /**< open runs that it called; of the root, all below */
    uint32_t sub_at;           /**< place of the call that is stepped next */
    aios_label label;          /**< join of the transcript */
    aios__gate gate;
    aios__context context;

    aios__buf text, reasoning; /**< of the turn */
    aios__buf signatures;      /**< of its reasoning, NUL-terminated */
    aios__run_sign *signs;
    uint32_t n_signs;
    char reason[32];
    int32_t choice;            /**< of the turn */
    bool constrained;          /**< the turn has the schema */
    bool held;                 /**< text waits until the schema has been checked */
    bool answer_now;           /**< next try: no tools, schema if there is one */
    uint32_t mark;             /**< entries before the turn's */
    aios__run_call *calls;     /**< of the turn */
    uint32_t n_turn_calls, cap_calls;

    aios__buf last_call;       /**< name NUL arguments */
    uint32_t same;             /**< how often in a row */
    int32_t priority;          /**< of its turns */
    int64_t wish;              /**< when it wants to be done; 0: it does not say */
    aios__run_made *all;       /**< every call of the run, so that a late second finish finds it */
    uint32_t n_all, cap_all;
    uint32_t n_effects;        /**< of these, calls of what does more than read */
    bool patient;              /**< of the root: who drives it waits, so it may wait for its commits too */
    bool spent;                /**< an agent was stopped that it had called: what that used stands in no record yet */
};

/** The tools as the model sees them, of the agent that acts. */
int aios__run_defs(aios_run *r, aios_error *err);
/** It has its id: what it does is told from here on. */
void aios__run_trace(aios_run *r, const char *parent);
/** A run without transcript, at PROMPT. parent: NULL, or the run whose call it is. */
int aios__run_new(aios_agent *a, aios_run *parent, aios_run **out, aios_error *err);
/** One that did not get so far as to be its caller's, or that has been halted. */
void aios__run_destroy(aios_run *r);
/** Nothing was said or done yet: starts its clock. used_ns: before. */
void aios__run_clock(aios_run *r, int64_t used_ns);
/** The end: its last event. failure NULL: done. */
void aios__run_end(aios_run *r, const aios_error *failure);
/** rank.c: when its turns are to be computed. EINVAL. */
int aios__run_rank(aios_run *r, const aios_run_options *o, aios_error *err);
/** Tells the engine. */
void aios__run_rank_request(const aios_run *r, aios_request *q);
/** Sends an event up; fills run, step, attempt. */
int aios__run_emit(aios_run *r, aios_event *ev, aios_error *err);
int aios__run_emit_state(aios_run *r, const char *name, aios_error *err);
/** Appends to the transcript and joins the label. */
int aios__run_append(aios_run *r, const aios_entry *e, aios_error *err);

/** run.c: what the model reads where a person said no (AIOS_DENY), or none could be asked (AIOS_UNASKED). */
const char *aios__run_denial(int32_t verdict);

/** run_turn.c: what the next turn asks, and how. */
int aios__turn_ask(aios_run *r, aios_request *q, aios_error *err);
/** Starts a model turn. */
int aios__turn_start(aios_run *r, aios_error *err);
/** Moves the model turn on. AIOS_AGAIN: nothing within timeout_ms; AIOS_DONE: the reply is final. */
int aios__turn_step(aios_run *r, int32_t timeout_ms, aios_error *err);
/** A call of the turn, without question: an event CALL. */
int aios__turn_push_call(aios_run *r, const aios_event *ev, aios_error *err);
/** The turn's calls are complete: counts how often the same came in a row. ELIMIT. *repeat: each is the last one again. */
int aios__turn_count_same(aios_run *r, bool *repeat, aios_error *err);
/** Stops a model turn and drops what it said. */
void aios__turn_drop(aios_run *r);

/** run_tools.c: moves the calls of the turn on. AIOS_AGAIN: all wait; AIOS_OK: something happened. */
int aios__tools_step(aios_run *r, aios_error *err);
/** True if step has something to do now. */
bool aios__tools_busy(const aios_run *r);
/** True if every open call waits for a decision. */
bool aios__tools_only_ask(const aios_run *r);
/** Earliest deadline of a running call, 0: none. */
int64_t aios__tools_deadline(const aios_run *r);
/** Ends every open call with `code` and writes all results, so that no call dangles; without memory the turn is undone. */
void aios__tools_abort(aios_run *r, int32_t code);
void aios__tools_clear(aios_run *r);
/** The call was begun, and nobody knows whether it happened: the host is to say what becomes of it. */
void aios__tools_unknown(aios__run_call *c);
/** Sends an event of a call up. */
int aios__tools_emit(aios_run *r, int32_t type, const aios__run_call *c, aios_error *err);
/** Writes the results of the turn into the transcript, and the next begins. */
int aios__tools_next(aios_run *r, aios_error *err);
/** Gives a call its result. */
int aios__tools_result(aios_run *r, aios__run_call *c, int32_t status, const char *s, size_t n, aios_error *err);
/** Likewise, with a text of this library's own. */
int aios__tools_refuse(aios_run *r, aios__run_call *c, int32_t status, const char *s, aios_error *err);

/* ---- call_id.c ---------------------------------------------------------------------------------------------------- */

enum { AIOS__OWN_ID = 32 };
/** The name of a call that the turn makes: the one that came, or the run's own next one (in own) where that is no name, or is another call's. */
const char *aios__run_call_id(const aios_run *r, const char *id, char own[AIOS__OWN_ID]);
/** The call that waits for a decision, by its id as events have it or by its digest; *owner is whose it is. NULL: none does. */
aios__run_call *aios__run_find_ask(aios_run *r, const char *name, bool is_digest, aios_run **owner);

#endif
