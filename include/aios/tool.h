/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file tool.h
 * Tools: C functions that a model may call.
 */
#ifndef AIOS_TOOL_H
#define AIOS_TOOL_H

#include <aios/ctx.h>
#include <aios/event.h>
#include <aios/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_toolset aios_toolset;
typedef struct aios_call aios_call;

/** What a tool does to the world; what may be done again after a crash follows from it. */
enum {
    AIOS_EFFECT_UNSAFE = 0, /**< never done again unless reconcile or the host says so */
    AIOS_EFFECT_READ = 1,   /**< none: done again freely */
    AIOS_EFFECT_LOCAL = 2,  /**< as UNSAFE, of things that reconcile can look at */
    AIOS_EFFECT_KEYED = 3   /**< done again with the same aios_call_key, by which its other end knows that it is the same call */
};
enum {
    AIOS_TOOL_ANY_THREAD = 1, /**< fn may run on a worker, beside other calls */
    AIOS_TOOL_TRUSTED = 2,    /**< its results are labelled LABEL_TOOL instead of LABEL_UNTRUSTED */
    /**
     * An untrusted result stays outside of the context: the model sees "$v1 (text, 5312 bytes, from NAME)", and may give "$v1" as an argument
     * of a later call, whose tool gets the value. Its label joins that of the call, not the context's.
     */
    AIOS_TOOL_HANDLE = 4
};

/**
 * Body of a tool: reads aios_call_args and either calls aios_call_finish before it returns 0, or returns AIOS_AGAIN and
 * has it called later, from any thread. A negative return finishes the call as failed.
 */
typedef int aios_tool_fn(void *user, aios_call *call);

typedef struct aios_tool {
    size_t struct_size;
    const char *name;        /**< [A-Za-z0-9_.-]{1,64}, unique in the set */
    const char *description; /**< what it does, for the model */
    const char *schema_json; /**< JSON schema of the arguments object; NULL: {"type":"object"} */
    uint32_t flags;          /**< AIOS_TOOL_x */
    int32_t effect;          /**< AIOS_EFFECT_x */
    aios_tool_fn *fn;
    void *user;
    void (*release)(void *user); /**< called once when the toolset goes; may be NULL */
    int64_t timeout_ns;      /**< 0: the run's */
    /**
     * Finds out what became of a call that was begun before a crash: finishes it with 0 and its result if it had happened, AIOS_ENOENT if it had
     * not (it runs now), and any other code if it cannot tell. Returns as fn does. NULL: of such calls nobody knows, and the host is asked.
     */
    int (*reconcile)(void *user, aios_call *call);
} aios_tool;

/** Thread-safety of a toolset: one thread at a time; agents that use it hold a reference. */
AIOS_API int aios_toolset_new(aios_ctx *ctx, aios_toolset **ts, aios_error *err);
/** Copies the tool. EEXIST, EINVAL (bad name), ESCHEMA (schema unusable; says where), EBUSY while an agent runs. */
AIOS_API int aios_toolset_add(aios_toolset *ts, const aios_tool *tool, aios_error *err);
/** Number of tools; 0 for NULL. */
AIOS_API uint32_t aios_toolset_count(const aios_toolset *ts);
/** Fills *out with tool i; its text is borrowed from the toolset. EINVAL past the end. */
AIOS_API int aios_toolset_at(const aios_toolset *ts, uint32_t i, aios_tool *out);
/** Drops the caller's reference; agents keep the toolset alive. NULL is fine. */
AIOS_API void aios_toolset_free(aios_toolset *ts);

/**
 * Adds the tool "extract" {handle, schema, question}: the model asks about a value behind a handle without seeing it, by aios_run_extract. What
 * it finds joins the context. EEXIST, EBUSY.
 */
AIOS_API int aios_toolset_add_extract(aios_toolset *ts, aios_error *err);

/** READ_ONLY: no "remember". FORGET: "forget" too. */
enum { AIOS_MEMORY_TOOLS_READ_ONLY = 1, AIOS_MEMORY_TOOLS_FORGET = 2 };

/** What the model has of a memory; all zero: its public items in the scope "", and new ones there. */
typedef struct aios_memory_tools {
    size_t struct_size;
    const char *scope;          /**< of what is remembered; it is recalled from there too. NULL: "" */
    const char *const *scopes;  /**< others that are recalled from */
    uint32_t n_scopes;
    uint32_t flags;             /**< AIOS_MEMORY_TOOLS_x */
    uint64_t readers;           /**< classes that may be recalled although the context has none of them yet, and then has */
    int32_t min_integrity;      /**< AIOS_LABEL_x of what is recalled, at least */
    uint32_t max_hits;          /**< of a call; 0: 5 */
    int64_t ttl_us;             /**< how long is remembered; 0: for ever */
} aios_memory_tools;

/**
 * Adds "recall" {query} (READ), "remember" {text, kind?} (LOCAL) and "forget" {id} (LOCAL). options may be NULL; the set holds a reference on m.
 * What is remembered has the label of the context that it was said in; recall sees what has no class that neither the context has nor
 * `readers`, and its result joins the labels of what it found. A call that a crash cut off is found by its key, and not made twice.
 * EEXIST, EBUSY; ESTATE: m was opened READ_ONLY, and options do not say so. After ENOMEM some may be in the set. docs/memory.md
 */
AIOS_API int aios_toolset_add_memory(aios_toolset *ts, aios_memory *m, const aios_memory_tools *options, aios_error *err);

/** Arguments, JSON that satisfies the tool's schema, values in place of handles; lives until the call is finished. */
AIOS_API const char *aios_call_args(const aios_call *call);
/** Id of the call, borrowed as aios_call_args. */
AIOS_API const char *aios_call_id(const aios_call *call);
/** Name of the tool, borrowed as aios_call_args. */
AIOS_API const char *aios_call_name(const aios_call *call);
/**
 * What names this call among all of all runs: 48 hexadecimal digits, the same each time that it is made or reconciled, also after a crash.
 * Borrowed as aios_call_args.
 */
AIOS_API const char *aios_call_key(const aios_call *call);
/** W3C traceparent for those whom the tool calls, "" without telemetry; borrowed as aios_call_args. */
AIOS_API const char *aios_call_traceparent(const aios_call *call);
/** 1 if the run was cancelled or the call's time is over: stop soon. Any thread. */
AIOS_API int aios_call_cancelled(const aios_call *call);
/**
 * Label of the result, before it is finished. A tool may only lower the integrity and add classes to what the result would have; one that is
 * AIOS_TOOL_TRUSTED may set integrity up to AIOS_LABEL_USER, and leave classes of the context out. EDENIED: more than that; ESTATE: finished.
 */
AIOS_API int aios_call_set_label(aios_call *call, const aios_label *label);
/** What the result would be labelled so far. EINVAL. */
AIOS_API int aios_call_get_label(const aios_call *call, aios_label *label);
/**
 * Ends the call with a result (UTF-8; invalid bytes become U+FFFD; longer than 1 MiB is cut and says so). status 0 or a negative code. Any
 * thread, exactly once: a second time gives ESTATE while the run lives. The call must not be touched afterwards. Too late, it
 * gives ETIMEDOUT or ECANCELED and the result is dropped, also when run, agent and ctx are gone; a call that is never
 * finished keeps its memory.
 */
AIOS_API int aios_call_finish(aios_call *call, int32_t status, const char *result, size_t n);

#ifdef __cplusplus
}
#endif
#endif
