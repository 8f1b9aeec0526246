/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file compose.h
 * Agents that are made of agents (docs/composition.md).
 */
#ifndef AIOS_COMPOSE_H
#define AIOS_COMPOSE_H

#include <aios/agent.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An agent as a tool of others. */
typedef struct aios_agent_tool {
    size_t struct_size;
    const char *name;        /**< as of a tool */
    const char *description; /**< what it is good for, for the model that calls it; NULL: none */
    uint32_t flags;          /**< 0 or AIOS_TOOL_HANDLE */
    uint32_t reserved0;
} aios_agent_tool;
/**
 * Adds a tool {"prompt": text}. A call is a run of that agent with a transcript of its own, and its reply is the result. Its events come up
 * through the run that called (aios_event.depth, parent), its call ids behind the caller's: "call_1/call_2"; that is also how aios_run_decide
 * finds what it asks. What it does is decided by its own policy and by those of all runs above it, and counts against the limits of all of
 * them. Its context begins with the label of the call, and the result has the label of its own. Its effect is KEYED if the agent has a store
 * (the call's key names the run there, "call-KEY", and it goes on where it was), else READ if all its tools are, else UNSAFE. The toolset holds
 * a reference, but for an agent that uses this very set (a cycle): that one lives as long as its other users. EEXIST, EINVAL, EBUSY as
 * aios_toolset_add; ELIMIT: agents of agents too deep to follow.
 */
AIOS_API int aios_toolset_add_agent(aios_toolset *ts, aios_agent *agent, const aios_agent_tool *spec, aios_error *err);

/**
 * To whom an agent may hand a run (aios_agent_config.handoffs): its model sees the tool transfer_to_NAME, and after the turn that calls it the
 * run goes on with that agent's instructions, tools, model and choices, and with its policy and that of the first agent, the stricter of both.
 * Transcript, limits, store, telemetry and hooks stay those of the first.
 */
typedef struct aios_handoff {
    size_t struct_size;
    const char *name;        /**< [A-Za-z0-9_.-]{1,52} */
    const char *description; /**< when to, for the model; NULL: none */
    aios_agent *agent;       /**< a reference is held; NULL: back to the one that the run began with */
} aios_handoff;

/** Where a run stands when a hook is called. */
typedef struct aios_moment {
    size_t struct_size;
    const char *run_id;   /**< of the run, here and in its store */
    const char *agent;    /**< aios_agent_config.name of the agent that acts; "" */
    uint64_t run;         /**< these as in aios_event */
    uint32_t step;
    uint32_t attempt;
    uint32_t depth;
    uint32_t n_turns;     /**< of the run so far, against its limits */
    uint64_t n_tokens;
    aios_label context;   /**< join of everything the model has seen */
} aios_moment;
/** Why a hook refuses; empty: it does not say. */
typedef struct aios_refusal {
    size_t struct_size;
    char reason[256];
} aios_refusal;

/**
 * How one model turn is made. before_turn finds in it what the turn has without it, and may change all of it; what it points to is read before
 * the hook is called again.
 */
typedef struct aios_turn_profile {
    size_t struct_size;
    const char *instructions;      /**< for this turn, behind the agent's; NULL: none more */
    const char *const *tools;      /**< NULL-terminated names of those that the model is shown and may call; NULL: all */
    aios_model *model;             /**< NULL: the agent's; the run holds a reference, and a session of it */
    const aios_sampling *sampling; /**< NULL: the agent's */
    const char *tool_name;         /**< with AIOS_TOOLS_NAMED */
    int32_t tool_choice;           /**< AIOS_TOOLS_x; a turn that is made again without tools stays so */
    uint32_t max_tokens;           /**< of the turn; more than limits leave is cut to that */
} aios_turn_profile;
/** What a turn of the model came to. */
typedef struct aios_turn_said {
    size_t struct_size;
    const char *text;
    size_t n_text;
    uint32_t n_calls;     /**< calls of tools that it wants to make */
    uint32_t n_tokens;    /**< generated */
    const char *reason;   /**< as the name of DONE */
} aios_turn_said;

/**
 * Hooks of a run, at every transition, each may be NULL. They are called on the thread that drives the run (of a called agent: its caller's),
 * no locks held; they may cancel the run, and nothing else of it. A non-zero return refuses, with that code if it is a failure, else EDENIED,
 * and with the reason. A run has those of the agent that it began with, also after a handoff; an agent that is called as a tool has its own.
 */
typedef struct aios_hooks {
    size_t struct_size;
    void *user;
    /**
     * Before the model is asked, each attempt. May choose the profile. Refused: the run ends with that failure, before the turn. A run that is
     * resumed asks for each turn that it makes; one that its journal has is not made again, and keeps the tools that it was shown.
     */
    int (*before_turn)(void *user, const aios_moment *m, aios_turn_profile *profile, aios_refusal *no);
    /** After a turn that stands, before any of its calls. Refused: the run ends with that failure, and the transcript is as before the turn. */
    int (*after_turn)(void *user, const aios_moment *m, const aios_turn_said *said, aios_refusal *no);
    /** Right before a call that the policy allowed is begun; not before one that was begun before a crash. Refused: that is its result. */
    int (*before_call)(void *user, const aios_moment *m, const aios_action *action, aios_refusal *no);
    /** A call has ended; result is its RESULT to be. It has happened: refused, the model reads that in place of its text. */
    int (*after_call)(void *user, const aios_moment *m, const aios_event *result, aios_refusal *no);
    /** The model hands the run over, by the names of handoffs ("": the first agent). Refused: that is the result of the call, and the run stays. */
    int (*on_handoff)(void *user, const aios_moment *m, const char *from, const char *to, aios_refusal *no);
    /** The last event, DONE or ERROR, each time that it is told, also when a resumed run tells it again. Observes only. */
    void (*on_stop)(void *user, const aios_moment *m, const aios_event *last);
} aios_hooks;

#ifdef __cplusplus
}
#endif
#endif
