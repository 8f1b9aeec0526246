/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by telemetry.c (the object, its thread), trace.c (events to spans), metric.c (histograms), otlp.c (their JSON), export.c (receivers). */
#ifndef AIOS_LIB_OBSERVE_PRIV_H
#define AIOS_LIB_OBSERVE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/http.h"
#include "base/put.h"
#include "observe/observe.h"

enum { AIOS__MAX_SERIES = 256, AIOS__MAX_BOUNDS = 14, AIOS__N_TRIES = 5 };

/** What is measured; a row each in metric.c. */
enum { AIOS__METRIC_TOKENS, AIOS__METRIC_DURATION, AIOS__METRIC_FIRST_CHUNK, AIOS__METRIC_TOOL, AIOS__METRIC_QUEUE, AIOS__METRIC_COUNT };

typedef struct aios__metric {
    const char *name, *unit, *what;
    uint32_t n_bounds;
    double bounds[AIOS__MAX_BOUNDS];
} aios__metric;
const aios__metric *aios__metric_at(uint32_t kind);

/** A histogram of one metric and set of attributes, cumulative. */
typedef struct aios__series {
    uint32_t kind;
    char *attributes; /* JSON array, the key */
    uint64_t count, buckets[AIOS__MAX_BOUNDS + 1];
    double sum;
} aios__series;

/** A span that has ended, as JSON. */
typedef struct aios__span {
    struct aios__span *next;
    size_t n;
    char json[];
} aios__span;

typedef struct aios__receiver {
    char *traces_url, *metrics_url, *ca_file;
    char **headers; /* NULL-terminated "Name: value" lines, wiped in the end */
    int64_t timeout_ns;
} aios__receiver;

struct aios_telemetry {
    _Atomic uint32_t refs;
    aios_ctx *ctx;
    aios__heap *heap;
    aios__receiver http;
    aios_file *file;
    uint64_t file_at;
    int (*write)(void *user, const char *signal, const char *json, size_t n);
    void *user;
    char *resource;        /* JSON object */
    uint32_t flags, max_spans;
    int64_t interval_ns, began_us;

    pthread_mutex_t lock;  /* guards all below */
    pthread_cond_t work, idle;
    pthread_t thread;
    bool started, stop, flush, exporting;
    aios__span *first, *last;
    uint32_t n_waiting;
    size_t n_waiting_bytes;
    aios__series series[AIOS__MAX_SERIES];
    uint32_t n_series;
    bool measured;         /* something since the metrics were exported */
    aios_telemetry_info info;
    uint32_t n_failed;     /* exports in a row */
};

/* ---- telemetry.c --------------------------------------------------------------------------------------------------- */

/** Takes a span's JSON; drops it if too many wait. */
void aios__telemetry_add(aios_telemetry *tm, const aios__buf *json);
/** With the lock held: the thread that exports runs. False: it could not be started. */
bool aios__telemetry_start(aios_telemetry *tm);
void aios__telemetry_drop(aios_telemetry *tm, uint64_t n);

/* ---- metric.c ------------------------------------------------------------------------------------------------------ */

/** Counts a value; attributes: a JSON array as of aios__otlp_attribute. */
void aios__metric_add(aios_telemetry *tm, uint32_t kind, const char *attributes, double value);
/** All histograms as an export request. */
int aios__metric_write(aios_telemetry *tm, int64_t now_us, aios__buf *out, aios_error *err);
void aios__metric_free(aios_telemetry *tm);

/* ---- otlp.c: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding ---------------------------------------- */

/** Adds {"key":...,"value":{"stringValue":...}}; nothing for NULL or an empty text. */
void aios__otlp_text(aios__buf *b, const char *key, const char *s, size_t n);
void aios__otlp_int(aios__buf *b, const char *key, int64_t v);
void aios__otlp_texts(aios__buf *b, const char *key, const char *const *list, uint32_t n);
/** A member whose value is a number in quotes, as 64 bits are. */
void aios__otlp_count(aios__buf *b, const char *key, uint64_t v);
/** {"attributes":[...]} from a service's name and "key=value,..." (percent-encoded). EINVAL names the place. */
int aios__otlp_resource(aios__buf *b, const char *service, const char *pairs, aios_error *err);
/** Begins and ends an export request around its spans or metrics. */
void aios__otlp_open(const aios_telemetry *tm, aios__buf *b, const char *signal);
void aios__otlp_close(aios__buf *b);
/** Takes the next "key=value" off *pairs, decoded; AIOS_DONE: none is left. EINVAL, ENOMEM. */
int aios__otlp_pair(const char **pairs, aios__buf *key, aios__buf *value, aios_error *err);

/* ---- export.c ------------------------------------------------------------------------------------------------------ */

int aios__receiver_init(aios__receiver *r, aios__heap *heap, const aios_telemetry_config *c, aios_error *err);
void aios__receiver_free(aios__receiver *r, aios__heap *heap);
/**
 * Sends one request to every receiver. AIOS_AGAIN: the receiver over HTTP asks to come again later, and only it is to be asked again. Other
 * failures are final. No lock is held.
 */
int aios__export_send(aios_telemetry *tm, const char *signal, const aios__buf *json, bool again, aios_error *err);

#endif
