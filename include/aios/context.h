/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file context.h
 * What of a model's context a run takes, and what becomes of it when it is full. docs/context.md
 */
#ifndef AIOS_CONTEXT_H
#define AIOS_CONTEXT_H

#include <aios/tool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What is done about a request that takes more than its share of the context. The transcript keeps all entries, whatever it is. */
enum {
    AIOS_COMPACT_NONE = 0,      /**< nothing: one that does not fit ends the run with ECONTEXT */
    AIOS_COMPACT_DROP = 1,      /**< the oldest turns are left out; calls go with their results */
    AIOS_COMPACT_SUMMARISE = 2, /**< they are left out, and a summary by the model stands in their place */
    AIOS_COMPACT_OFFLOAD = 3    /**< large old results are shown by their beginning, and read on by the tool of aios_toolset_add_read_result; then DROP */
};

/** When and how; zero = the default in brackets. System entries, tools, the last entry of the user's and the last turn always stay. */
typedef struct aios_compact {
    size_t struct_size;
    int32_t policy;           /**< AIOS_COMPACT_x */
    uint32_t n_ctx;           /**< tokens to stay within [the model's context, or what its server says when it refuses] */
    float high;               /**< share of them above which a request is compacted, up to 1 [0.8] */
    float low;                /**< share that it is brought down to, below high [0.5]: far apart, it happens seldom and the cached prefix lives long */
    uint32_t max_summary;     /**< tokens of a summary [256, at most an eighth of n_ctx]; they count against the run's max_tokens */
    uint32_t min_offload;     /**< bytes of the smallest result that is shown by its beginning, at least 256 [512] */
    const char *instructions; /**< of the turn that summarises; NULL: the library's */
} aios_compact;

/** What the next request takes, in tokens. */
typedef struct aios_context_use {
    size_t struct_size;
    uint32_t n_ctx;        /**< the context holds so many; 0: nobody knows */
    uint32_t input;        /**< of the request: the sum of the next three */
    uint32_t instructions; /**< texts of system entries */
    uint32_t tools;        /**< what the request would be shorter by without tools */
    uint32_t history;      /**< the rest: the conversation, and what the template puts around it */
    uint32_t reply;        /**< that the reply may take (limits.max_turn_tokens), as far as there is room */
    uint32_t exact;        /**< 1: as the model itself counts; 0: by estimate, or as a server says */
    uint32_t high, low;    /**< marks of the agent's policy; 0: it has none */
    uint32_t n_entries;    /**< of the transcript, those about the context included */
    uint32_t n_hidden;     /**< of these, left out */
    uint32_t n_cut;        /**< of these, shown by their beginning */
    uint32_t n_compacted;  /**< how often it was compacted */
    uint32_t reserved0;
} aios_context_use;

/**
 * Adds the tool "read_result" {call, offset}: a piece of the result of an earlier call of this run, labelled as the result was. For
 * AIOS_COMPACT_OFFLOAD; it needs a capability as any other. EEXIST, EBUSY.
 */
AIOS_API int aios_toolset_add_read_result(aios_toolset *ts, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
