/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file agent.h
 * The agent loop: prompt -> model -> tools -> model ... -> done.
 */
#ifndef AIOS_AGENT_H
#define AIOS_AGENT_H

#include <aios/context.h>
#include <aios/llm.h>
#include <aios/policy.h>
#include <aios/store.h>
#include <aios/telemetry.h>
#include <aios/tool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_agent aios_agent;
typedef struct aios_run aios_run;
typedef struct aios_handoff aios_handoff; /* compose.h */
typedef struct aios_hooks aios_hooks;     /* compose.h */

/** Bounds of one run; zero = the default in brackets. Reaching one ends the run with ELIMIT (ETIMEDOUT for time). */
typedef struct aios_limits {
    size_t struct_size;
    uint32_t max_turns;      /**< model turns [16] */
    uint32_t max_calls;      /**< tool calls [64] */
    uint64_t max_tokens;     /**< generated tokens of the whole run [16384] */
    uint32_t max_turn_tokens;/**< generated tokens of one turn [1024] */
    uint32_t max_result;     /**< bytes of one tool result that reach the model [65536] */
    int64_t timeout_ns;      /**< wall time of the run [10 minutes] */
    int64_t tool_timeout_ns; /**< wall time of one call [60 s]; runs of agents (compose.h) have their own timeout_ns instead */
    uint64_t max_cost;       /**< what its model turns may cost, in millionths of the prices' currency; the turn that passes it is its last [no bound] */
    uint32_t max_depth;      /**< levels of agents called as tools below this one, at most 32 [4]; what they use counts in all of these limits */
    uint32_t reserved0;
} aios_limits;

/** Writes that a hook adds to a commit; borrowed until it is settled. */
typedef struct aios_commit_more {
    size_t struct_size;
    const aios_store_write *writes;
    size_t stride;       /**< sizeof(aios_store_write) of who made them */
    uint32_t n;
    uint32_t reserved0;
} aios_commit_more;
/**
 * Adds writes of the host's to the commits of an agent's runs, all or nothing with them: rows of an audit, for instance. Called on the
 * threads that drive the runs, each call of prepare followed by one of settle. It must not call the run.
 */
typedef struct aios_commit_hook {
    size_t struct_size;
    void *user;
    /** n records of a run, one behind the other, are about to be written. A failure stops the run as a failed commit does. */
    int (*prepare)(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more);
    /** How that ended: 0, or why nothing of it was written. May be NULL. */
    void (*settle)(void *user, const char *run_id, int32_t code);
} aios_commit_hook;

typedef struct aios_agent_config {
    size_t struct_size;
    aios_model *model;             /**< required; a reference is held */
    aios_toolset *toolset;         /**< may be NULL; a reference is held */
    const aios_policy *policy;     /**< copied; NULL: the default gate */
    const aios_limits *limits;     /**< copied; NULL: defaults */
    const aios_sampling *sampling; /**< copied; NULL: greedy */
    const char *instructions;      /**< system message; NULL: none */
    const char *schema_json;       /**< the final reply must be JSON under this schema; NULL: free */
    const char *tool_name;         /**< with AIOS_TOOLS_NAMED */
    /**
     * Of the first turn, AIOS_TOOLS_x. REQUIRED and NAMED make one call; NONE holds for all turns; later turns are AUTO. A turn that
     * repeats the call just answered, or only reads whose answers the run has, or that says nothing after results, is made again
     * with NONE (attempt 1). A read written twice in one turn runs once.
     */
    int32_t tool_choice;
    uint32_t flags;                /**< AIOS_AGENT_x */
    uint32_t driver;               /**< AIOS_DRIVER_x */
    float min_margin;              /**< of a choice among tools: aios_request.min_margin; a run that ends so says "unsure" in its DONE */
    aios_store *store;             /**< keeps a journal of every run, so that it goes on after a crash (docs/durable-runs.md); a reference is held; NULL: none */
    const aios_commit_hook *hook;  /**< copied; NULL: none */
    /**
     * With store: folder, there already and the user's alone, where a run keeps what its session has computed, so that a resumed run need not
     * compute it again. A file of it that is missing or damaged costs time alone. NULL: none is kept.
     */
    const char *cache_dir;
    const char *name;              /**< of the agent, for those who watch it; NULL: none */
    aios_telemetry *telemetry;     /**< is told of every run; a reference is held; NULL: nobody is */
    const aios_prices *prices;     /**< copied; NULL: a turn costs what the model says, as a router does whose candidates have prices (docs/routing.md) */
    const aios_compact *compact;   /**< what is done when the context is full; copied; NULL: nothing */
    const aios_handoff *handoffs;  /**< to other agents (compose.h); copied */
    size_t handoff_stride;         /**< sizeof(aios_handoff) of the caller */
    uint32_t n_handoffs;
    uint32_t reserved0;
    const aios_hooks *hooks;       /**< copied; NULL: none */
} aios_agent_config;
enum {
    AIOS_AGENT_ONE_CALL = 1,     /**< one tool call a turn */
    AIOS_AGENT_PLAIN_CHOICE = 2, /**< AIOS_REQUEST_PLAIN_CHOICE in every turn */
    AIOS_AGENT_CHANGED = 4       /**< runs that an agent with another model, other tools or instructions began are resumed all the same */
};

/** Makes an agent. EINVAL, ESCHEMA. Thread-safety of the object: safe; its runs are independent. */
AIOS_API int aios_agent_new(aios_ctx *ctx, const aios_agent_config *cfg, aios_agent **a, aios_error *err);
/** Drops the caller's reference; runs keep the agent alive. NULL is fine. */
AIOS_API void aios_agent_free(aios_agent *a);

/**
 * Starts a run. t is continued if given (it must outlive the run and is not to be touched while it runs), else a new one
 * is made. Thread-safety of a run: one thread at a time; cancel and aios_call_finish from any.
 */
AIOS_API int aios_run_start(aios_agent *a, aios_transcript *t, const char *prompt, size_t n, aios_run **run, aios_error *err);
/** LATE: to start does not wait for the commit of its first record. The run is in the store once its first event comes; what the store has against it ends the run there. */
enum { AIOS_START_LATE = 1 };
/** What aios_run_start has no argument for. */
typedef struct aios_run_options {
    size_t struct_size;
    aios_transcript *transcript; /**< as in aios_run_start */
    const char *prompt;
    size_t n_prompt;             /**< bytes, or AIOS_CSTR */
    const char *id;              /**< [A-Za-z0-9_.:-]{1,64}; NULL: 128 random bits as text */
    const char *traceparent;     /**< W3C trace context of who asks for the run; NULL, or not well-formed: it is a trace of its own */
    int32_t priority;            /**< of its turns before those of other runs over the model: higher first; hint (docs/scheduling.md) */
    uint32_t flags;              /**< AIOS_START_x */
    int64_t deadline_ns;         /**< time from here in which the run wants to be done: of one priority the earliest goes first. It ends nothing; 0: none */
} aios_run_options;
/** As aios_run_start. EEXIST: the agent's store has a run of that id; with a store also what aios_store_commit gives. */
AIOS_API int aios_run_start_with(aios_agent *a, const aios_run_options *options, aios_run **run, aios_error *err);
/** Text that names the run, in its agent's store too; borrowed until the run is freed. NULL for NULL. */
AIOS_API const char *aios_run_id(const aios_run *run);
/**
 * Goes on with a run of the agent's store where its journal ends: the next model turn has the request that it would have had, calls whose
 * outcome is known are not made again, and the others are handled by the effect of their tool (docs/durable-runs.md). What still waits for
 * a decision is asked again. A run that was done gives its DONE again; one that ended by a failure goes on from before it. The transcript is
 * the run's own. ENOENT: no such run; EBUSY: someone has it, here or in another process; ESTATE: the agent is another than the one that
 * began it (says in what; AIOS_AGENT_CHANGED allows it), or has no store, or the run is a call of another (says of which: it goes on with
 * that one, under its policy); EFORMAT, EVERSION: of its journal; what a commit gives.
 */
AIOS_API int aios_run_resume(aios_agent *a, const char *run_id, aios_run **run, aios_error *err);
/**
 * As aios_session_next. The last event is DONE or ERROR, then AIOS_DONE. Tools and the policy run in here. With timeout -1
 * it gives AIOS_AGAIN at once when every open call waits for aios_run_decide. With another timeout its commits are made by a thread of the
 * store, and it gives AIOS_AGAIN while an effect or the end waits for one (docs/durable-runs.md).
 * With a store of many processes call it at least every 20 s, or when the descriptor is readable, so that the run stays the caller's
 * (docs/durable-runs.md, "Whose a run is").
 */
AIOS_API int aios_run_next(aios_run *run, int32_t timeout_ms, const aios_event **ev);
enum { AIOS_UNASKED = 4 /**< AIOS_DENY where there is nobody to ask: the model is told so, and not that the user said no */ };
/**
 * Answers an ASK or an UNKNOWN: AIOS_ALLOW, AIOS_DENY or AIOS_UNASKED. Of an UNKNOWN, ALLOW makes the call again, the others tell the model that
 * nobody knows whether it happened. call_id: as the event has it; no two calls of a run share one, whatever their model called them. ENOENT if no
 * such call waits.
 */
AIOS_API int aios_run_decide(aios_run *run, const char *call_id, int32_t verdict, aios_error *err);
/**
 * Answers the ASK whose event had this digest: of the tool's definition, the canonical arguments, the labels and the policy. An approval that was given
 * for anything else finds no call: ENOENT. ENOTSUP: this build has no digests.
 */
AIOS_API int aios_run_decide_digest(aios_run *run, const char *digest, int32_t verdict, aios_error *err);
/** The value behind a handle ("$v1") of this run, borrowed until the run is freed. ENOENT. label may be NULL. */
AIOS_API int aios_run_value(const aios_run *run, const char *handle, const char **text, size_t *n, aios_label *label);
/**
 * Asks the agent's model about a value in a turn of its own, which sees nothing else and has no tools. The answer is JSON under the schema, in
 * canonical form. *label (may be NULL): integrity UNTRUSTED, or TOOL if what the schema can say, in bits, is finite and within what is left of the policy's
 * endorse_bits for this run; confidentiality of the value. Blocks; from the run's thread, or from a tool that runs on it. ENOENT, ESCHEMA, and the
 * model's failures.
 */
AIOS_API int aios_run_extract(aios_run *run, const char *handle, const char *schema_json, const char *question, aios_write_fn *fn, void *user,
                              aios_label *label, aios_error *err);
/** Fills *out for the run's next turn. From the run's thread, or from a tool that runs on it. What aios_session_count gives. */
AIOS_API int aios_run_context(aios_run *run, aios_context_use *out, aios_error *err);
/** Likewise for a run that would go on with this transcript; NULL: an empty one. */
AIOS_API int aios_agent_context(aios_agent *a, const aios_transcript *t, aios_context_use *out, aios_error *err);
/** Readable when _next has something to do; -1 if it cannot. Owned by the run. */
AIOS_API int aios_run_fd(aios_run *run);
/** Any thread, async-signal-safe. The run ends with ECANCELED; transcript and agent stay usable. */
AIOS_API int aios_run_cancel(aios_run *run);
/** The conversation, borrowed; it changes within _next. */
AIOS_API const aios_transcript *aios_run_transcript(const aios_run *run);
/** Ends the run if it goes on still, and frees it; its events and transcript (if it made it) go with it. NULL is fine. */
AIOS_API void aios_run_free(aios_run *run);

/** How a run of a store stands. */
enum {
    AIOS_RUN_MODEL = 1,   /**< the model is to go on */
    AIOS_RUN_TOOLS = 2,   /**< it has calls that are not over */
    AIOS_RUN_ASK = 3,     /**< of these, some wait for a decision */
    AIOS_RUN_STOPPED = 4, /**< it ended by a failure: code and msg; it can be resumed */
    AIOS_RUN_DONE = 5,
    AIOS_RUN_DAMAGED = 6  /**< its journal cannot be read: code and msg */
};

typedef struct aios_run_info {
    size_t struct_size;
    char id[72];
    char model[72];      /**< its name, as it called itself */
    int32_t state;       /**< AIOS_RUN_x */
    int32_t code;        /**< STOPPED, DAMAGED: why; else 0 */
    uint32_t n_turns;    /**< model turns */
    uint32_t n_calls;    /**< tool calls */
    uint64_t n_tokens;   /**< generated */
    uint32_t n_asks;     /**< calls that wait for a decision */
    uint32_t n_unknown;  /**< calls that began, other than READ, and have no receipt: they run now, or nobody knows */
    uint32_t n_resumes;
    uint32_t reserved0;
    uint64_t n_records;  /**< of its journal */
    int64_t began_us;    /**< since 1970, by the clocks of who wrote */
    int64_t changed_us;
    int64_t used_ns;     /**< against limits.timeout_ns, as far as it was written */
    char msg[256];
    uint64_t cost_micros; /**< of its model turns, in all its lives: aios_usage.cost_micros */
    uint64_t n_input;     /**< tokens of prompts, cached ones included */
    uint64_t n_cached;    /**< of these, not computed again */
    char parent[72];      /**< of a call of an agent (compose.h): id of the run that made it; else "" */
} aios_run_info;
/** Receives runs. Non-zero stops the list, and is returned by it. */
typedef int aios_run_fn(void *user, const aios_run_info *info);
/** Fills *out from the run's journal, whoever has it. ENOENT; a journal that cannot be read is told in *out. Thread-safety: safe. */
AIOS_API int aios_run_info_get(aios_ctx *ctx, aios_store *store, const char *run_id, aios_run_info *out, aios_error *err);
/** All runs of a store, in order of their ids. */
AIOS_API int aios_run_list(aios_ctx *ctx, aios_store *store, aios_run_fn *fn, void *user, aios_error *err);

/**
 * Decides, for a run that nobody has, about a call that waits, its own or one below a call of an agent: the ask's digest, or where it has none
 * the id of its call. AIOS_ALLOW or AIOS_DENY; the run takes it up when it is resumed, if what it is for is the same still. ENOENT: no such ask;
 * EBUSY: someone has the run; ESTATE: it is a call of another, so decide by that one's id; ETIMEDOUT: the ask's time is over; what a commit
 * gives. Thread-safety: safe.
 */
AIOS_API int aios_run_approve(aios_ctx *ctx, aios_store *store, const char *run_id, const char *digest, int32_t verdict, aios_error *err);
/** Ends a run that nobody has: STOPPED with ECANCELED; it can still be resumed. EBUSY, ENOENT; ESTATE: it is done. Thread-safety: safe. */
AIOS_API int aios_run_abandon(aios_ctx *ctx, aios_store *store, const char *run_id, aios_error *err);
/** As aios_run_approve; what the hook (may be NULL) adds is in the commit of the record: of a run with an audit, its row. */
AIOS_API int aios_run_approve_with(aios_ctx *ctx, aios_store *store, const char *run_id, const char *digest, int32_t verdict,
                                   const aios_commit_hook *hook, aios_error *err);
/** As aios_run_abandon, likewise. A run that was given up already gets no record. */
AIOS_API int aios_run_abandon_with(aios_ctx *ctx, aios_store *store, const char *run_id, const aios_commit_hook *hook, aios_error *err);

/** What a record of a run's journal says. Records of other kinds have their number, their name, and no events. */
enum {
    AIOS_STEP_BEGIN = 1,    /**< name: the model; text: the prompt, the last that the user said */
    AIOS_STEP_RESUME = 2,   /**< another process, or agent, goes on */
    AIOS_STEP_TURN = 3,     /**< a turn of the model is over */
    AIOS_STEP_INTENT = 4,   /**< a call other than READ is about to happen: told once for each; code ECANCELED: it did not begin after all */
    AIOS_STEP_ASK = 5,      /**< a call waits for a decision */
    AIOS_STEP_DECISION = 6, /**< which came: code is AIOS_ALLOW or AIOS_DENY */
    AIOS_STEP_RESULT = 7,   /**< a call is over: code 0, or how it failed */
    AIOS_STEP_END = 8,      /**< code 0: done; else the failure, whose message is text */
    AIOS_STEP_EXTRACT = 9,  /**< the host asked about a value: text: so many bits became trusted */
    AIOS_STEP_HANDOFF = 10, /**< name: to which agent the run was handed; text: its model */
    AIOS_STEP_CONTEXT = 12  /**< the context was full; name: what was done about it; text: what the model reads in place of what it does not get any more */
};
/** A record of a run's journal, and the events that the run gave there. All it points to is borrowed until the callback returns. */
typedef struct aios_run_step {
    size_t struct_size;
    int32_t kind;             /**< AIOS_STEP_x */
    int32_t code;
    uint64_t record;          /**< its number */
    int64_t wall_us;          /**< when it was committed, since 1970, by the clock of who wrote it */
    int64_t used_ns;          /**< the run's time until it was made, waiting included; known of BEGIN, RESUME, TURN and END, else -1 */
    uint64_t n_tokens;        /**< generated until here */
    uint32_t turn;            /**< model turn that it is of, from 0 */
    uint32_t n_events;
    const aios_event *events;
    size_t event_stride;      /**< bytes from one to the next */
    const char *call_id;      /**< INTENT, ASK, DECISION, RESULT; else NULL */
    const char *name;         /**< of the tool; BEGIN: the model; other kinds of records: of the kind; else NULL */
    const char *text;         /**< n_text bytes; never NULL */
    size_t n_text;
    const char *run;          /**< of a call of an agent, from its INTENT on: the id of that agent's run, in its store; else NULL */
} aios_run_step;
/** Receives steps. Non-zero stops the replay, and is returned by it. */
typedef int aios_step_fn(void *user, const aios_run_step *step);
/**
 * Tells a run again from its journal, without model, tools or policy, whoever has it: its texts and reasoning whole, one event a turn; states,
 * calls, asks, results, handoffs, what was done about a full context, and the end. What a journal does not keep is not there (docs/durable-runs.md): pieces, usage, times within a turn, and
 * turns that were cut. fn has what was whole when EFORMAT or EVERSION names the first record that is not. ENOENT. Thread-safety: safe.
 */
AIOS_API int aios_run_replay(aios_ctx *ctx, aios_store *store, const char *run_id, aios_step_fn *fn, void *user, aios_error *err);

/** Blocking convenience: start, next until the end, fn (may be NULL) for each event. ASK is denied. The run's own failure is the result. */
AIOS_API int aios_agent_run(aios_agent *a, const char *prompt, size_t n, aios_event_fn *fn, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
