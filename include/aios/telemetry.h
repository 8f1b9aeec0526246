/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file telemetry.h
 * Runs told to OpenTelemetry: spans and metrics by its conventions for generative AI (invoke_agent, chat, execute_tool;
 * gen_ai.client.token.usage, gen_ai.client.operation.duration ...), as OTLP/JSON over HTTP, into a file, or to the host.
 */
#ifndef AIOS_TELEMETRY_H
#define AIOS_TELEMETRY_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_telemetry aios_telemetry;

/** What is told, and to whom. All is copied; zero = the default in brackets. */
typedef struct aios_telemetry_config {
    size_t struct_size;
    const char *endpoint;     /**< http(s)://host:4318; /v1/traces and /v1/metrics are added [nobody] */
    const char *traces_url;   /**< whole URL of the spans' receiver [that of endpoint] */
    const char *metrics_url;  /**< and of the metrics' */
    const char *headers;      /**< sent to both, "name=value,name=value", values percent-encoded; told in no message [none] */
    const char *ca_file;      /**< certificates to trust, PEM [the system's] */
    const char *file;         /**< appended to: a line of JSON an export, for the collector's otlpjsonfile receiver [none] */
    /** The host's own receiver: the same JSON, on the thread that exports; signal: "traces" or "metrics" [none]. It must not call this telemetry. */
    int (*write)(void *user, const char *signal, const char *json, size_t n);
    void *user;
    const char *service_name; /**< ["aios"] */
    const char *resource;     /**< more attributes of the resource, "key=value,key=value", percent-encoded [none] */
    uint32_t flags;           /**< AIOS_TELEMETRY_x */
    uint32_t max_spans;       /**< that wait to be sent, 8 MiB of them at most; those on top are dropped and counted [2048] */
    int64_t interval_ns;      /**< between exports [5 s] */
    int64_t timeout_ns;       /**< of one export over HTTP [10 s] */
} aios_telemetry_config;
enum {
    AIOS_TELEMETRY_CONTENT = 1 /**< replies, arguments and results of tools, and the words of failures too; they are private, so not by default */
};

typedef struct aios_telemetry_info {
    size_t struct_size;
    uint64_t n_spans;   /**< ended so far */
    uint64_t n_sent;    /**< of these, taken by every receiver */
    uint64_t n_dropped; /**< of these, given up: too many waited, or a receiver refused them */
} aios_telemetry_info;

/**
 * Begins to collect; a thread exports from the first span or measurement on. EINVAL (with what is wrong of the config), EIO, EDENIED, ENOENT (file), ENOTSUP (this
 * build has no HTTP). Ownership: aios_telemetry_free; agents that use it hold a reference. Thread-safety of the object: safe.
 */
AIOS_API int aios_telemetry_new(aios_ctx *ctx, const aios_telemetry_config *cfg, aios_telemetry **tm, aios_error *err);
/**
 * Fills what is NULL or zero from OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, ..._METRICS_ENDPOINT, ..._HEADERS,
 * ..._CERTIFICATE, ..._TIMEOUT, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY, OTEL_BSP_MAX_QUEUE_SIZE,
 * OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT; texts are borrowed from the environment. AIOS_DONE: nothing is to be told
 * (OTEL_SDK_DISABLED, or no receiver is named). ENOTSUP: OTEL_EXPORTER_OTLP_PROTOCOL is grpc.
 */
AIOS_API int aios_telemetry_config_from_env(aios_telemetry_config *cfg, aios_error *err);
/** Exports what there is; waits at most timeout_ms (-1: for ever). AIOS_AGAIN: not all is out yet. */
AIOS_API int aios_telemetry_flush(aios_telemetry *tm, int32_t timeout_ms);
/** Fills *out. */
AIOS_API int aios_telemetry_info_get(const aios_telemetry *tm, aios_telemetry_info *out);
/** Drops the caller's reference; with the last one what there is is exported, 512 spans at a time, once, each time within timeout_ns. NULL is fine. */
AIOS_API void aios_telemetry_free(aios_telemetry *tm);

#ifdef __cplusplus
}
#endif
#endif
