/* SPDX-License-Identifier: Apache-2.0 */
/* Tools, calls of them, and the threads that these may run on. */
#ifndef AIOS_LIB_CALL_H
#define AIOS_LIB_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include <aios/agent.h>

#include "base/json.h"
#include "llm/llm.h"

enum { AIOS__MAX_ARGS = 1 << 20, AIOS__MAX_RESULT = 1 << 20, AIOS__MAX_WORKERS = 4, AIOS__SAME_CALLS = 3 };

/* ---- tool.c ------------------------------------------------------------------------------------------------------- */

typedef struct aios__tool {
    aios_tool pub;       /**< full size, strings owned */
    aios__schema *schema;
} aios__tool;

struct aios_toolset {
    _Atomic uint32_t refs;
    _Atomic uint32_t n_runs; /**< runs that use it now */
    aios_ctx *ctx;
    aios__tool **tools;
    uint32_t n, cap;
    aios_toolset *base;      /**< those of the host's set come first; NULL: it is one itself */
};
/** Tool i of aios_toolset_count. */
const aios__tool *aios__toolset_get(const aios_toolset *ts, uint32_t i);
/** A run more, or less, has it in use. */
void aios__toolset_hold(aios_toolset *ts, int n);

aios_toolset *aios__toolset_ref(aios_toolset *ts);
const aios__tool *aios__toolset_find(const aios_toolset *ts, const char *name);
/**
 * Checks a call of the model: ENOENT (names those there are), ESCHEMA (where and why). The text is meant for the model. doc: the arguments
 * as they were read before, or NULL.
 */
int aios__toolset_check(const aios_toolset *ts, const char *name, const char *args, size_t n, const aios__json_doc *doc, const aios__tool **tool,
                        aios_error *err);

/* ---- call.c ------------------------------------------------------------------------------------------------------- */

/** What calls and their run share; outlives the run while a call is out. */
typedef struct aios__hub {
    _Atomic uint32_t refs;
    _Atomic uint32_t cancel;
    aios_ctx *ctx;
    _Atomic int fd; /**< eventfd: a call ended, or cancel; -1: nobody has waited yet */
} aios__hub;
int aios__hub_new(aios_ctx *ctx, aios__hub **out, aios_error *err);
aios__hub *aios__hub_ref(aios__hub *h);
void aios__hub_unref(aios__hub *h);
void aios__hub_wake(const aios__hub *h); /**< async-signal-safe */
/** The descriptor to wait on; after it has been made (*made) the run looks once more for what came before. -1: the system has none left. */
int aios__hub_fd(aios__hub *h, bool *made);

enum { AIOS__CALL_OPEN, AIOS__CALL_WRITING, AIOS__CALL_FINISHED, AIOS__CALL_GONE };

struct aios_call {
    _Atomic uint32_t refs;
    _Atomic uint32_t state;
    _Atomic uint32_t user_done; /**< the tool's side has ended */
    _Atomic int64_t deadline;   /**< 0: none */
    aios__hub *hub;
    aios_toolset *ts;
    const aios__tool *tool;     /**< set when it is started */
    char *id, *name, *args;     /**< in bytes */
    size_t n_args;
    char key[49];
    bool reconciling;           /**< the tool's reconcile runs in place of fn */
    char *filled;               /**< the arguments with values in place of handles; NULL: there were none */
    size_t n_filled;
    aios_label base, label;     /**< of the result: what it would have, and what it has */
    double endorsed;            /**< bits of a value that became trusted in the result */
    aios_label context;         /**< of what the model had seen, and of the values in the arguments; set when it is started */
    aios_run *run;              /**< set while the tool runs on the run's thread */
    int32_t status, gone_code;
    char traceparent[56];       /**< set when it is started */
    char *result;
    size_t n_result;
    aios_call *next;            /**< in the workers' queue */
    aios_call *before;          /**< the one that was reconciled: a late second finish finds it */
    char bytes[];
};

int aios__call_new(aios__hub *hub, aios_toolset *ts, const aios_event *ev, aios_call **out, aios_error *err);
/** The arguments as the tool gets them. */
const char *aios__call_text(const aios_call *c, size_t *n);
void aios__call_ref(aios_call *c);
void aios__call_unref(aios_call *c);
/** Runs the tool's body on this thread; consumes nothing of the caller's reference. */
void aios__call_invoke(aios_call *c);
/** Gives the call up. False if a result is being written this moment: look again. */
bool aios__call_abandon(aios_call *c, int32_t code);

/* ---- workers.c ---------------------------------------------------------------------------------------------------- */

typedef struct aios__workers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t threads[AIOS__MAX_WORKERS];
    uint32_t n_threads, n_idle, n_queued;
    aios_call *head, *tail;
    bool stop;
} aios__workers;
int aios__workers_init(aios__workers *w, aios_error *err);
/** Takes a reference. False if no worker could be had: run it here. */
bool aios__workers_submit(aios__workers *w, aios_call *c);
void aios__workers_destroy(aios__workers *w);

#endif
