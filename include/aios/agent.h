/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file agent.h
 * The agent loop: prompt -> model -> tools -> model ... -> done.
 */
#ifndef AIOS_AGENT_H
#define AIOS_AGENT_H

#include <aios/llm.h>
#include <aios/policy.h>
#include <aios/tool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_agent aios_agent;
typedef struct aios_run aios_run;

/** Bounds of one run; zero = the default in brackets. Reaching one ends the run with ELIMIT (ETIMEDOUT for time). */
typedef struct aios_limits {
    size_t struct_size;
    uint32_t max_turns;      /**< model turns [16] */
    uint32_t max_calls;      /**< tool calls [64] */
    uint64_t max_tokens;     /**< generated tokens of the whole run [16384] */
    uint32_t max_turn_tokens;/**< generated tokens of one turn [1024] */
    uint32_t max_result;     /**< bytes of one tool result that reach the model [65536] */
    int64_t timeout_ns;      /**< wall time of the run [10 minutes] */
    int64_t tool_timeout_ns; /**< wall time of one call [60 s] */
} aios_limits;

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
} aios_agent_config;
enum {
    AIOS_AGENT_ONE_CALL = 1,    /**< one tool call a turn */
    AIOS_AGENT_PLAIN_CHOICE = 2 /**< AIOS_REQUEST_PLAIN_CHOICE in every turn */
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
/**
 * As aios_session_next. The last event is DONE or ERROR, then AIOS_DONE. Tools and the policy run in here. With timeout -1
 * it gives AIOS_AGAIN at once when every open call waits for aios_run_decide.
 */
AIOS_API int aios_run_next(aios_run *run, int32_t timeout_ms, const aios_event **ev);
/** Answers an ASK: AIOS_ALLOW or AIOS_DENY. ENOENT if no such call waits. */
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
/** Readable when _next has something to do; -1 if it cannot. Owned by the run. */
AIOS_API int aios_run_fd(aios_run *run);
/** Any thread, async-signal-safe. The run ends with ECANCELED; transcript and agent stay usable. */
AIOS_API int aios_run_cancel(aios_run *run);
/** The conversation, borrowed; it changes within _next. */
AIOS_API const aios_transcript *aios_run_transcript(const aios_run *run);
/** Ends the run if it goes on still, and frees it; its events and transcript (if it made it) go with it. NULL is fine. */
AIOS_API void aios_run_free(aios_run *run);
/** Blocking convenience: start, next until the end, fn (may be NULL) for each event. ASK is denied. The run's own failure is the result. */
AIOS_API int aios_agent_run(aios_agent *a, const char *prompt, size_t n, aios_event_fn *fn, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
