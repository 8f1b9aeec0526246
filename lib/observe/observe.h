/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/observe: a run's events become spans and metrics. Nothing here fails a run: what cannot be kept is dropped and counted. */
#ifndef AIOS_LIB_OBSERVE_H
#define AIOS_LIB_OBSERVE_H

#include <aios/event.h>
#include <aios/telemetry.h>

#include "base/base.h"

/** One run as it is told. Thread-safety: one thread at a time. */
typedef struct aios__trace aios__trace;

typedef struct aios__trace_info {
    const char *agent;        /**< name; NULL: none */
    const char *conversation; /**< id of the run; NULL: none */
    const char *provider;     /**< "openai", "anthropic" ..., of a model in this process "aios" */
    const char *model;
    bool remote;              /**< the model is asked over the network */
    const char *parent;       /**< W3C traceparent of who asked for the run; NULL, or not well-formed: a trace of its own */
} aios__trace_info;

aios_telemetry *aios__telemetry_ref(aios_telemetry *tm);
/** NULL: no memory; every function below takes it. Holds a reference. */
aios__trace *aios__trace_begin(aios_telemetry *tm, const aios__trace_info *info);
/** An event of the run, in their order. DONE and ERROR end the root span. */
void aios__trace_event(aios__trace *t, const aios_event *ev);
/** The body of a tool begins (its CALL came earlier; asking for leave lies between). */
void aios__trace_tool(aios__trace *t, const char *call_id);
/** "00-TRACE-SPAN-01" of the open call, else of the run; for those who are called next. */
void aios__trace_parent(const aios__trace *t, const char *call_id, char out[56]);
/** Ends what is open, and frees. */
void aios__trace_free(aios__trace *t);

#endif
