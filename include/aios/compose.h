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
 * Adds a tool {"prompt": text}. A call is a run of that agent with a transcript of its own, and its reply is the result. Its events come up through the run
 * that called (aios_event.depth, parent), its call ids behind the caller's: "call_1/call_2"; that is also how aios_run_decide finds what it asks.
 * What it does is decided by its own policy and by those of all runs above it, and counts against the limits of all of them. Its context begins
 * with the label of the call, and the result has the label of its own.
 * Its effect is KEYED if the agent has a store (the call's key names the run there, "call-KEY", and it goes on where it was), else READ if all its tools
 * are, else UNSAFE. The toolset holds a reference, but for an agent that uses this very set (a cycle): that one lives as long as its other users.
 * EEXIST, EINVAL, EBUSY as aios_toolset_add; ELIMIT: agents of agents too deep to follow.
 */
AIOS_API int aios_toolset_add_agent(aios_toolset *ts, aios_agent *agent, const aios_agent_tool *spec, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
