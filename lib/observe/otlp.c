/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP's JSON: attributes, resource, the frame of an export request. */
#include "observe/observe_priv.h"

#include <aios/version.h>

#define STR_(x) #x
#define STR(x) STR_(x)

static void open_attribute(aios__buf *b, const char *key)
{
    aios__put_comma(b, NULL);
    aios__buf_addc(b, '{', NULL);
    aios__put_str(b, "key", key, AIOS_CSTR, NULL);
    aios__put_raw(b, "value", "{", NULL);
}

static void close_attribute(aios__buf *b)
{
    aios__buf_adds(b, "}}", NULL);
}

void aios__otlp_text(aios__buf *b, const char *key, const char *s, size_t n)
{
    if (!s || !n || !*s)
        return;
    open_attribute(b, key);
    aios__put_str(b, "stringValue", s, n, NULL);
    close_attribute(b);
}

void aios__otlp_count(aios__buf *b, const char *key, uint64_t v)
{
    aios__put_key(b, key, NULL);
    aios__buf_addf(b, NULL, "\"%llu\"", (unsigned long long)v);
}

void aios__otlp_int(aios__buf *b, const char *key, int64_t v)
{
    open_attribute(b, key);
    aios__put_key(b, "intValue", NULL);
    aios__buf_addf(b, NULL, "\"%lld\"", (long long)v);
    close_attribute(b);
}

void aios__otlp_texts(aios__buf *b, const char *key, const char *const *list, uint32_t n)
{
    open_attribute(b, key);
    aios__put_raw(b, "arrayValue", "{\"values\":[", NULL);
    for (uint32_t i = 0; i < n; i++) {
        aios__put_comma(b, NULL);
        aios__buf_addc(b, '{', NULL);
        aios__put_str(b, "stringValue", list[i], AIOS_CSTR, NULL);
        aios__buf_addc(b, '}', NULL);
    }
    aios__buf_adds(b, "]}", NULL);
    close_attribute(b);
}

/* ---- "key=value,key=value", as in W3C Baggage and the OTEL_ variables --------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int decode(aios__buf *out, const char *s, size_t n, aios_error *err)
{
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
        n--;
    for (; n && (*s == ' ' || *s == '\t'); s++, n--)
        ;
    aios__buf_clear(out);
    aios__buf_adds(out, "", err);
    for (size_t i = 0; i < n && !out->failed; i++) {
        bool coded = s[i] == '%' && i + 2 < n && digit(s[i + 1]) >= 0 && digit(s[i + 2]) >= 0;
        aios__buf_addc(out, coded ? (char)(digit(s[i + 1]) << 4 | digit(s[i + 2])) : s[i], err);
        i += coded ? 2 : 0;
    }
    return out->failed;
}

int aios__otlp_pair(const char **pairs, aios__buf *key, aios__buf *value, aios_error *err)
{
    const char *s = *pairs;
    size_t n = s ? strcspn(s, ",") : 0, k;
    for (; s && *s && !n; n = strcspn(s, ","))
        s++; /* an empty member */
    if (!s || !*s)
        return AIOS_DONE;
    k = strcspn(s, "=");
    int rc = k < n ? decode(key, s, k, err) : AIOS_EINVAL;
    rc = rc ? rc : decode(value, s + k + 1, n - k - 1, err);
    if (!rc && (!key->n || memchr(value->p, 0, value->n) || !aios__utf8_valid(key->p, key->n) || !aios__utf8_valid(value->p, value->n)))
        rc = AIOS_EINVAL;
    *pairs = s + n;
    /* the value may be a secret */
    return rc == AIOS_EINVAL ? aios__fail(err, rc, "\"%.*s\" is no list of key=value, separated by commas", (int)(k < n ? k : n < 40 ? n : 40), s) : rc;
}

int aios__otlp_resource(aios__buf *b, const char *service, const char *pairs, aios_error *err)
{
    aios__buf key, value;
    int rc;
    aios__buf_init(&key, b->heap, AIOS_MEM_TEXT, 1 << 10);
    aios__buf_init(&value, b->heap, AIOS_MEM_TEXT, 16 << 10);
    aios__buf_adds(b, "{\"attributes\":[", err);
    aios__otlp_text(b, "service.name", service, AIOS_CSTR);
    aios__otlp_text(b, "telemetry.sdk.name", "libaios", AIOS_CSTR);
    aios__otlp_text(b, "telemetry.sdk.language", "c", AIOS_CSTR);
    while (!(rc = aios__otlp_pair(&pairs, &key, &value, err)))
        if (strcmp(key.p, "service.name"))
            aios__otlp_text(b, key.p, value.p, value.n);
    aios__buf_adds(b, "]}", err);
    aios__buf_free(&key);
    aios__buf_free(&value);
    return rc == AIOS_DONE ? b->failed : rc;
}

/* ---- an export request --------------------------------------------------------------------------------------------- */

void aios__otlp_open(const aios_telemetry *tm, aios__buf *b, const char *signal)
{
    bool spans = !strcmp(signal, "traces");
    aios__buf_adds(b, spans ? "{\"resourceSpans\":[{" : "{\"resourceMetrics\":[{", NULL);
    aios__put_raw(b, "resource", tm->resource, NULL);
    aios__put_raw(b, spans ? "scopeSpans" : "scopeMetrics",
                  "[{\"scope\":{\"name\":\"libaios\",\"version\":\"" STR(AIOS_VERSION_MAJOR) "." STR(AIOS_VERSION_MINOR) "." STR(AIOS_VERSION_PATCH) "\"}", NULL);
    aios__put_raw(b, spans ? "spans" : "metrics", "[", NULL);
}

void aios__otlp_close(aios__buf *b)
{
    aios__buf_adds(b, "]}]}]}", NULL);
}
