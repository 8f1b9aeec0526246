/* SPDX-License-Identifier: Apache-2.0 */
/* The object, the spans that wait, and the thread that exports them. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "observe/observe_priv.h"

enum { BATCH = 512 };
#define MAX_WAITING ((size_t)8 << 20) /* bytes of spans that wait */
#define SECOND INT64_C(1000000000)

static int64_t real_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static int wait_until(pthread_cond_t *c, pthread_mutex_t *lock, int64_t until)
{
    return pthread_cond_timedwait(c, lock, &(struct timespec){.tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND)});
}

/* ---- spans that wait ------------------------------------------------------------------------------------------------ */

void aios__telemetry_drop(aios_telemetry *tm, uint64_t n)
{
    pthread_mutex_lock(&tm->lock);
    tm->info.n_spans += n;
    tm->info.n_dropped += n;
    pthread_mutex_unlock(&tm->lock);
}

static void *export_loop(void *arg);

bool aios__telemetry_start(aios_telemetry *tm)
{
    sigset_t all, old; /* signals belong to the host's threads */
    if (tm->started)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    tm->started = !pthread_create(&tm->thread, NULL, export_loop, tm);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return tm->started;
}

void aios__telemetry_add(aios_telemetry *tm, const aios__buf *json)
{
    aios__span *s = json->failed ? NULL : aios__realloc_quietly(tm->heap, AIOS_MEM_TEXT, NULL, sizeof *s + json->n);
    if (!s) {
        aios__telemetry_drop(tm, 1);
        return;
    }
    s->next = NULL;
    s->n = json->n;
    memcpy(s->json, json->p, json->n);
    pthread_mutex_lock(&tm->lock);
    tm->info.n_spans++;
    bool room = tm->n_waiting < tm->max_spans && tm->n_waiting_bytes + s->n <= MAX_WAITING;
    bool kept = room && aios__telemetry_start(tm);
    if (kept) {
        *(tm->last ? &tm->last->next : &tm->first) = s;
        tm->last = s;
        tm->n_waiting_bytes += s->n;
        if (++tm->n_waiting == BATCH || tm->n_waiting_bytes > MAX_WAITING / 2)
            pthread_cond_signal(&tm->work);
    } else {
        tm->info.n_dropped++;
    }
    pthread_mutex_unlock(&tm->lock);
    if (!kept)
        aios__free(tm->heap, s);
}

static void free_spans(aios_telemetry *tm, aios__span *s)
{
    for (aios__span *next; s; s = next) {
        next = s->next;
        aios__free(tm->heap, s);
    }
}

/* ---- exporting ------------------------------------------------------------------------------------------------------ */

/* With the lock held. */
static aios__span *take(aios_telemetry *tm, uint32_t *n)
{
    aios__span *first = tm->first, *s = first;
    *n = 0;
    for (; s && ++*n < BATCH && s->next; s = s->next)
        ;
    tm->first = s ? s->next : NULL;
    if (!tm->first)
        tm->last = NULL;
    if (s)
        s->next = NULL;
    tm->n_waiting -= *n;
    for (s = first; s; s = s->next)
        tm->n_waiting_bytes -= s->n;
    return first;
}

static int write_spans(const aios_telemetry *tm, const aios__span *s, aios__buf *out)
{
    aios__otlp_open(tm, out, "traces");
    for (; s; s = s->next) {
        aios__put_comma(out, NULL);
        aios__buf_add(out, s->json, s->n, NULL);
    }
    aios__otlp_close(out);
    return out->failed;
}

/* Pauses of 1, 2, 4, 8 s, each between half and whole; cut short by the end. */
static bool pause_before(aios_telemetry *tm, int try)
{
    uint32_t dice = 0;
    int32_t sys;
    const aios_env *env = aios__ctx_env(tm->ctx);
    if (env->random(env->user, &dice, sizeof dice, &sys))
        dice = 0;
    int64_t whole = SECOND << (try - 1), until = real_ns() + whole / 2 + (int64_t)((double)dice / 4294967296.0 * (double)(whole / 2));
    pthread_mutex_lock(&tm->lock);
    while (!tm->stop && wait_until(&tm->work, &tm->lock, until) != ETIMEDOUT)
        ;
    bool go = !tm->stop;
    pthread_mutex_unlock(&tm->lock);
    return go;
}

static int send_all(aios_telemetry *tm, const char *signal, const aios__buf *json)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios__export_send(tm, signal, json, false, &err);
    for (int try = 1; rc == AIOS_AGAIN && try < AIOS__N_TRIES && pause_before(tm, try); try++)
        rc = aios__export_send(tm, signal, json, true, &err);
    if (rc && !tm->n_failed++) /* once, until it goes well again */
        aios__log(tm->ctx, AIOS_LOG_WARN, "telemetry is lost: %s", err.msg);
    if (!rc)
        tm->n_failed = 0;
    return rc;
}

static void export_spans(aios_telemetry *tm)
{
    aios__buf json;
    uint32_t n;
    for (;;) {
        pthread_mutex_lock(&tm->lock);
        aios__span *spans = take(tm, &n);
        pthread_mutex_unlock(&tm->lock);
        if (!spans)
            return;
        aios__buf_init(&json, tm->heap, AIOS_MEM_TEXT, 0);
        int rc = write_spans(tm, spans, &json);
        rc = rc ? rc : send_all(tm, "traces", &json);
        aios__buf_free(&json);
        free_spans(tm, spans);
        pthread_mutex_lock(&tm->lock);
        *(rc ? &tm->info.n_dropped : &tm->info.n_sent) += n;
        pthread_mutex_unlock(&tm->lock);
    }
}

static void export_metrics(aios_telemetry *tm)
{
    const aios_env *env = aios__ctx_env(tm->ctx);
    aios__buf json;
    aios__buf_init(&json, tm->heap, AIOS_MEM_TEXT, 0);
    if (!aios__metric_write(tm, env->wall_us(env->user), &json, NULL))
        send_all(tm, "metrics", &json);
    aios__buf_free(&json);
}

static void *export_loop(void *arg)
{
    aios_telemetry *tm = arg;
    pthread_mutex_lock(&tm->lock);
    for (bool last = false; !last;) {
        int64_t until = real_ns() + tm->interval_ns;
        while (!tm->stop && !tm->flush && tm->n_waiting < BATCH && tm->n_waiting_bytes <= MAX_WAITING / 2 && wait_until(&tm->work, &tm->lock, until) != ETIMEDOUT)
            ;
        last = tm->stop;
        tm->flush = false;
        tm->exporting = true;
        bool measured = tm->measured;
        pthread_mutex_unlock(&tm->lock);
        export_spans(tm);
        if (measured)
            export_metrics(tm);
        pthread_mutex_lock(&tm->lock);
        tm->exporting = false;
        pthread_cond_broadcast(&tm->idle);
    }
    pthread_mutex_unlock(&tm->lock);
    return NULL;
}

int aios_telemetry_flush(aios_telemetry *tm, int32_t timeout_ms)
{
    int64_t until = timeout_ms < 0 ? INT64_MAX : real_ns() + (int64_t)timeout_ms * 1000000;
    if (!tm)
        return AIOS_EINVAL;
    pthread_mutex_lock(&tm->lock);
    bool open = tm->started;
    while (open && (tm->first || tm->measured || tm->exporting)) {
        tm->flush = tm->first || tm->measured;
        pthread_cond_signal(&tm->work);
        int64_t now = real_ns();
        if (now >= until)
            break;
        wait_until(&tm->idle, &tm->lock, until - now > SECOND ? now + SECOND : until);
    }
    open = tm->first || tm->exporting || tm->measured;
    pthread_mutex_unlock(&tm->lock);
    return open ? AIOS_AGAIN : AIOS_OK;
}

int aios_telemetry_info_get(const aios_telemetry *ctm, aios_telemetry_info *out)
{
    aios_telemetry *tm = (aios_telemetry *)(uintptr_t)ctm; /* for the lock */
    if (!tm || !out)
        return AIOS_EINVAL;
    pthread_mutex_lock(&tm->lock);
    aios_telemetry_info info = tm->info;
    pthread_mutex_unlock(&tm->lock);
    return aios__struct_out(out, &info, sizeof info);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

aios_telemetry *aios__telemetry_ref(aios_telemetry *tm)
{
    if (tm)
        atomic_fetch_add(&tm->refs, 1);
    return tm;
}

static void destroy(aios_telemetry *tm)
{
    const aios_env *env = aios__ctx_env(tm->ctx);
    aios_ctx *ctx = tm->ctx;
    if (tm->started) {
        pthread_mutex_lock(&tm->lock);
        tm->stop = true;
        pthread_cond_signal(&tm->work);
        pthread_mutex_unlock(&tm->lock);
        pthread_join(tm->thread, NULL);
    }
    if (tm->info.n_dropped)
        aios__log(ctx, AIOS_LOG_WARN, "%llu of %llu spans of telemetry were dropped", (unsigned long long)tm->info.n_dropped, (unsigned long long)tm->info.n_spans);
    free_spans(tm, tm->first);
    aios__metric_free(tm);
    aios__receiver_free(&tm->http, tm->heap);
    if (tm->file)
        env->file_close(env->user, tm->file);
    aios__free(tm->heap, tm->resource);
    pthread_cond_destroy(&tm->idle);
    pthread_cond_destroy(&tm->work);
    pthread_mutex_destroy(&tm->lock);
    aios__free(tm->heap, tm);
    aios_ctx_free(ctx);
}

void aios_telemetry_free(aios_telemetry *tm)
{
    if (tm && atomic_fetch_sub(&tm->refs, 1) == 1)
        destroy(tm);
}

static int init_sync(aios_telemetry *tm, aios_error *err)
{
    pthread_condattr_t attr;
    int n = 0;
    if (pthread_condattr_init(&attr))
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another condition variable");
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    n += !pthread_mutex_init(&tm->lock, NULL);
    n += n == 1 && !pthread_cond_init(&tm->work, &attr);
    n += n == 2 && !pthread_cond_init(&tm->idle, &attr);
    pthread_condattr_destroy(&attr);
    if (n == 3)
        return AIOS_OK;
    if (n > 1)
        pthread_cond_destroy(&tm->work);
    if (n > 0)
        pthread_mutex_destroy(&tm->lock);
    return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex or condition variable");
}

static int open_file(aios_telemetry *tm, const char *path, aios_error *err)
{
    const aios_env *env = aios__ctx_env(tm->ctx);
    int32_t sys = 0;
    if (!env->file_write)
        return aios__fail(err, AIOS_ENOTSUP, "telemetry: the host's files cannot be written");
    int rc = env->file_open(env->user, path, AIOS_OPEN_WRITE | AIOS_OPEN_CREATE | AIOS_OPEN_APPEND | AIOS_OPEN_PRIVATE, &tm->file, &sys);
    rc = rc ? rc : env->file_size(env->user, tm->file, &tm->file_at, &sys);
    return rc ? aios__fail_sys(err, rc, sys, "telemetry: %s cannot be opened", path) : AIOS_OK;
}

static int make_resource(aios_telemetry *tm, const aios_telemetry_config *c, aios_error *err)
{
    aios__buf b;
    aios__buf_init(&b, tm->heap, AIOS_MEM_TEXT, 64 << 10);
    int rc = aios__otlp_resource(&b, c->service_name ? c->service_name : "aios", c->resource, err);
    if (rc)
        aios__buf_free(&b);
    tm->resource = b.p;
    return rc;
}

static int check_config(const aios_telemetry_config *c, aios_error *err)
{
    if (!c->endpoint && !c->traces_url && !c->metrics_url && !c->file && !c->write)
        return aios__fail(err, AIOS_EINVAL, "telemetry needs a receiver: endpoint, file or write");
    if (c->flags & ~(uint32_t)AIOS_TELEMETRY_CONTENT)
        return aios__fail(err, AIOS_EINVAL, "flags 0x%x has bits that are no AIOS_TELEMETRY_x", c->flags);
    if (c->interval_ns < 0 || c->timeout_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "a time of telemetry is negative; 0 is the default");
    return AIOS_OK;
}

int aios_telemetry_new(aios_ctx *ctx, const aios_telemetry_config *cfg, aios_telemetry **out, aios_error *err)
{
    aios_telemetry_config c;
    if (!ctx || !cfg || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_telemetry_new: %s is NULL", !ctx ? "ctx" : !cfg ? "cfg" : "tm");
    *out = NULL;
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    rc = rc ? rc : check_config(&c, err);
    if (rc)
        return rc;
    aios__heap *h = aios__ctx_heap(ctx);
    aios_telemetry *tm = aios__alloc(h, AIOS_MEM_OTHER, sizeof *tm, err);
    if (!tm)
        return aios__error_code(err, AIOS_ENOMEM);
    rc = init_sync(tm, err);
    if (rc) {
        aios__free(h, tm);
        return rc;
    }
    const aios_env *env = aios__ctx_env(ctx);
    c.timeout_ns = c.timeout_ns ? c.timeout_ns : 10 * SECOND;
    atomic_init(&tm->refs, 1);
    tm->ctx = aios__ctx_ref(ctx);
    tm->heap = h;
    tm->write = c.write;
    tm->user = c.user;
    tm->flags = c.flags;
    tm->max_spans = c.max_spans ? c.max_spans : 2048;
    tm->interval_ns = c.interval_ns ? c.interval_ns : 5 * SECOND;
    tm->began_us = env->wall_us(env->user);
    rc = aios__receiver_init(&tm->http, h, &c, err);
    rc = rc ? rc : make_resource(tm, &c, err);
    rc = rc || !c.file ? rc : open_file(tm, c.file, err);
    if (rc) {
        aios_telemetry_free(tm);
        return rc;
    }
    *out = tm;
    return AIOS_OK;
}

/* ---- the environment ------------------------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *s = getenv(name);
    return s && *s ? s : NULL;
}

static void borrow(const char **field, const char *name)
{
    if (!*field)
        *field = variable(name);
}

/* Milliseconds; what is no number is left alone, as the specification has it. */
static int64_t read_ms(const char *name)
{
    const char *s = variable(name);
    char *end;
    long long v = s ? strtoll(s, &end, 10) : 0;
    return s && !*end && v > 0 && v < 86400000 ? v * 1000000 : 0;
}

int aios_telemetry_config_from_env(aios_telemetry_config *cfg, aios_error *err)
{
    aios_telemetry_config c;
    if (!cfg)
        return aios__fail(err, AIOS_EINVAL, "aios_telemetry_config_from_env: cfg is NULL");
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    const char *off = variable("OTEL_SDK_DISABLED"), *protocol = variable("OTEL_EXPORTER_OTLP_PROTOCOL");
    const char *content = variable("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT");
    if (rc)
        return rc;
    borrow(&c.endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT");
    borrow(&c.traces_url, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    borrow(&c.metrics_url, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
    borrow(&c.headers, "OTEL_EXPORTER_OTLP_HEADERS");
    borrow(&c.ca_file, "OTEL_EXPORTER_OTLP_CERTIFICATE");
    borrow(&c.service_name, "OTEL_SERVICE_NAME");
    borrow(&c.resource, "OTEL_RESOURCE_ATTRIBUTES");
    c.timeout_ns = c.timeout_ns ? c.timeout_ns : read_ms("OTEL_EXPORTER_OTLP_TIMEOUT");
    c.interval_ns = c.interval_ns ? c.interval_ns : read_ms("OTEL_BSP_SCHEDULE_DELAY");
    c.max_spans = c.max_spans ? c.max_spans : (uint32_t)(read_ms("OTEL_BSP_MAX_QUEUE_SIZE") / 1000000);
    if (content && (!strcasecmp(content, "true") || !strcasecmp(content, "span_only") || !strcasecmp(content, "span_and_event")))
        c.flags |= AIOS_TELEMETRY_CONTENT;
    bool named = c.endpoint || c.traces_url || c.metrics_url || c.file || c.write;
    if (!named || (off && !strcasecmp(off, "true")))
        return AIOS_DONE;
    if (protocol && !strcmp(protocol, "grpc") && (c.endpoint || c.traces_url))
        return aios__fail(err, AIOS_ENOTSUP, "OTEL_EXPORTER_OTLP_PROTOCOL is grpc: this library speaks http/json; set it so, and the endpoint to the receiver's "
                                             "port for HTTP (4318)");
    return aios__struct_out(cfg, &c, sizeof c);
}
