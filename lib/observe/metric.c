/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms, cumulative. Names, units and bounds are those of the conventions:
 * https://github.com/open-telemetry/semantic-conventions-genai (gen-ai-metrics, execute-tool)
 */
#include "observe/observe_priv.h"

#define SECONDS {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}

static const aios__metric metrics[AIOS__METRIC_COUNT] = {
    [AIOS__METRIC_TOKENS] = {"gen_ai.client.token.usage", "{token}", "Tokens of a model turn", 14,
                             {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}},
    [AIOS__METRIC_DURATION] = {"gen_ai.client.operation.duration", "s", "Time of a model turn or a run", 14, SECONDS},
    [AIOS__METRIC_FIRST_CHUNK] = {"gen_ai.client.operation.time_to_first_chunk", "s", "Time to the first piece of a reply", 14, SECONDS},
    [AIOS__METRIC_TOOL] = {"gen_ai.execute_tool.duration", "s", "Time of a tool call", 14, SECONDS},
    [AIOS__METRIC_QUEUE] = {"aios.turn.queue.duration", "s", "Time that a model turn could have gone on and others were computed", 14, SECONDS},
};

const aios__metric *aios__metric_at(uint32_t kind)
{
    return &metrics[kind];
}

/* ---- counting ------------------------------------------------------------------------------------------------------ */

static aios__series *find(aios_telemetry *tm, uint32_t kind, const char *attributes)
{
    for (uint32_t i = 0; i < tm->n_series; i++)
        if (tm->series[i].kind == kind && !strcmp(tm->series[i].attributes, attributes))
            return &tm->series[i];
    return NULL;
}

/* The last place of each metric is for all sets that come too late, as the SDKs do. */
static aios__series *make(aios_telemetry *tm, uint32_t kind, const char *attributes)
{
    static const char overflow[] = "[{\"key\":\"otel.metric.overflow\",\"value\":{\"boolValue\":true}}]";
    bool full = tm->n_series >= AIOS__MAX_SERIES - AIOS__METRIC_COUNT;
    aios__series *s = full ? find(tm, kind, overflow) : NULL;
    const char *key = full ? overflow : attributes;
    if (s)
        return s;
    s = &tm->series[tm->n_series];
    *s = (aios__series){.kind = kind, .attributes = aios__realloc_quietly(tm->heap, AIOS_MEM_TEXT, NULL, strlen(key) + 1)};
    if (!s->attributes)
        return NULL;
    memcpy(s->attributes, key, strlen(key) + 1);
    tm->n_series++;
    return s;
}

void aios__metric_add(aios_telemetry *tm, uint32_t kind, const char *attributes, double value)
{
    const aios__metric *m = &metrics[kind];
    uint32_t i = 0;
    pthread_mutex_lock(&tm->lock);
    aios__series *s = find(tm, kind, attributes);
    s = s ? s : make(tm, kind, attributes);
    while (i < m->n_bounds && value > m->bounds[i])
        i++;
    if (s) {
        s->buckets[i]++;
        s->count++;
        s->sum += value;
        tm->measured = aios__telemetry_start(tm);
    }
    pthread_mutex_unlock(&tm->lock);
}

void aios__metric_free(aios_telemetry *tm)
{
    for (uint32_t i = 0; i < tm->n_series; i++)
        aios__free(tm->heap, tm->series[i].attributes);
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static void write_point(const aios_telemetry *tm, const aios__series *s, int64_t now_us, aios__buf *b)
{
    const aios__metric *m = &metrics[s->kind];
    aios__put_comma(b, NULL);
    aios__buf_addc(b, '{', NULL);
    aios__put_raw(b, "attributes", s->attributes, NULL);
    aios__otlp_count(b, "startTimeUnixNano", (uint64_t)tm->began_us * 1000);
    aios__otlp_count(b, "timeUnixNano", (uint64_t)now_us * 1000);
    aios__otlp_count(b, "count", s->count);
    aios__put_key(b, "sum", NULL);
    aios__buf_add_real(b, s->sum, 17, NULL);
    aios__put_raw(b, "bucketCounts", "[", NULL);
    for (uint32_t i = 0; i <= m->n_bounds; i++)
        aios__buf_addf(b, NULL, "%s\"%llu\"", i ? "," : "", (unsigned long long)s->buckets[i]);
    aios__buf_addc(b, ']', NULL);
    aios__put_raw(b, "explicitBounds", "[", NULL);
    for (uint32_t i = 0; i < m->n_bounds; i++) {
        aios__put_comma(b, NULL);
        aios__buf_add_real(b, m->bounds[i], 9, NULL);
    }
    aios__buf_adds(b, "]}", NULL);
}

static void write_metric(const aios_telemetry *tm, const aios__series *all, uint32_t n, uint32_t kind, int64_t now_us, aios__buf *b)
{
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].kind != kind)
            continue;
        if (!any) {
            aios__put_comma(b, NULL);
            aios__buf_addc(b, '{', NULL);
            aios__put_str(b, "name", metrics[kind].name, AIOS_CSTR, NULL);
            aios__put_str(b, "description", metrics[kind].what, AIOS_CSTR, NULL);
            aios__put_str(b, "unit", metrics[kind].unit, AIOS_CSTR, NULL);
            aios__put_raw(b, "histogram", "{\"aggregationTemporality\":2,\"dataPoints\":[", NULL);
        }
        any = true;
        write_point(tm, &all[i], now_us, b);
    }
    if (any)
        aios__buf_adds(b, "]}}", NULL);
}

int aios__metric_write(aios_telemetry *tm, int64_t now_us, aios__buf *out, aios_error *err)
{
    aios__series *copy = aios__alloc_array(tm->heap, AIOS_MEM_TEXT, AIOS__MAX_SERIES, sizeof *copy, err);
    if (!copy)
        return aios__error_code(err, AIOS_ENOMEM);
    pthread_mutex_lock(&tm->lock); /* texts stay until the end */
    uint32_t n = tm->n_series;
    memcpy(copy, tm->series, n * sizeof *copy);
    tm->measured = false;
    pthread_mutex_unlock(&tm->lock);
    aios__otlp_open(tm, out, "metrics");
    for (uint32_t k = 0; k < AIOS__METRIC_COUNT; k++)
        write_metric(tm, copy, n, k, now_us, out);
    aios__otlp_close(out);
    aios__free(tm->heap, copy);
    return out->failed ? aios__fail(err, out->failed, "there is no memory for an export of metrics") : AIOS_OK;
}
