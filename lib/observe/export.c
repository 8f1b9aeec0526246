/* SPDX-License-Identifier: Apache-2.0 */
/* Receivers of export requests: OTLP over HTTP, a file, the host. https://opentelemetry.io/docs/specs/otlp/#otlphttp */
#include <stdio.h>

#include "base/json.h"
#include "observe/observe_priv.h"

enum { STEP_MS = 20, MAX_HEADERS = 32 };
#define MAX_ANSWER ((uint64_t)64 << 10)

/* ---- the receiver over HTTP ---------------------------------------------------------------------------------------- */

static char *join(aios__heap *heap, const char *whole, const char *base, const char *path, aios_error *err)
{
    aios__buf b;
    aios__buf_init(&b, heap, AIOS_MEM_TEXT, 8192);
    if (whole) {
        aios__buf_adds(&b, whole, err);
    } else {
        size_t n = strlen(base);
        while (n && base[n - 1] == '/')
            n--;
        aios__buf_add(&b, base, n, err);
        aios__buf_adds(&b, path, err);
    }
    if (!b.failed)
        return b.p;
    aios__buf_free(&b);
    return NULL;
}

static int check_url(const char *url, aios_error *err)
{
    if (!url || !strncmp(url, "http://", 7) || !strncmp(url, "https://", 8))
        return AIOS_OK;
    return aios__fail(err, AIOS_EINVAL, "telemetry goes to a URL that begins with http:// or https://, not to %.80s", url);
}

static int read_headers(aios__receiver *r, aios__heap *heap, const char *pairs, aios_error *err)
{
    aios__buf key, value;
    int rc, n = 0;
    r->headers = aios__alloc_array(heap, AIOS_MEM_TEXT, MAX_HEADERS + 1, sizeof *r->headers, err);
    if (!r->headers)
        return aios__error_code(err, AIOS_ENOMEM);
    aios__buf_init(&key, heap, AIOS_MEM_TEXT, 1 << 10);
    aios__buf_init(&value, heap, AIOS_MEM_TEXT, 16 << 10);
    while (!(rc = aios__otlp_pair(&pairs, &key, &value, err))) {
        if (n == MAX_HEADERS || strpbrk(key.p, "\r\n: ") || strpbrk(value.p, "\r\n")) {
            rc = aios__fail(err, AIOS_EINVAL, n == MAX_HEADERS ? "more than %d headers of telemetry" : "header %d of telemetry has no name, or a line break", n == MAX_HEADERS ? n : n + 1);
            break;
        }
        size_t size = key.n + value.n + 3;
        r->headers[n] = aios__alloc(heap, AIOS_MEM_TEXT, size, err);
        if (!r->headers[n]) {
            rc = aios__error_code(err, AIOS_ENOMEM);
            break;
        }
        snprintf(r->headers[n++], size, "%s: %s", key.p, value.p);
    }
    if (value.p)
        explicit_bzero(value.p, value.cap);
    aios__buf_free(&key);
    aios__buf_free(&value);
    return rc == AIOS_DONE ? AIOS_OK : rc;
}

int aios__receiver_init(aios__receiver *r, aios__heap *heap, const aios_telemetry_config *c, aios_error *err)
{
    int rc = check_url(c->endpoint, err);
    rc = rc ? rc : check_url(c->traces_url, err);
    rc = rc ? rc : check_url(c->metrics_url, err);
    if (!rc && (c->traces_url || c->endpoint) && !(r->traces_url = join(heap, c->traces_url, c->endpoint, "/v1/traces", err)))
        rc = aios__error_code(err, AIOS_ENOMEM);
    if (!rc && (c->metrics_url || c->endpoint) && !(r->metrics_url = join(heap, c->metrics_url, c->endpoint, "/v1/metrics", err)))
        rc = aios__error_code(err, AIOS_ENOMEM);
    if (!rc && c->ca_file && !(r->ca_file = aios__strndup(heap, AIOS_MEM_TEXT, c->ca_file, strlen(c->ca_file), err)))
        rc = aios__error_code(err, AIOS_ENOMEM);
    r->timeout_ns = c->timeout_ns;
    return rc ? rc : read_headers(r, heap, c->headers, err);
}

void aios__receiver_free(aios__receiver *r, aios__heap *heap)
{
    for (char **h = r->headers; h && *h; h++) {
        explicit_bzero(*h, strlen(*h));
        aios__free(heap, *h);
    }
    aios__free(heap, r->headers);
    aios__free(heap, r->traces_url);
    aios__free(heap, r->metrics_url);
    aios__free(heap, r->ca_file);
}

static int keep_answer(void *user, const char *s, size_t n)
{
    return aios__buf_add(user, s, n, NULL);
}

/* What the receiver did not take although it answered with 200. */
static int read_answer(aios_telemetry *tm, const char *signal, const aios__buf *answer, aios_error *err)
{
    aios__json_doc *doc;
    size_t n = 0;
    if (!answer->n || aios__json_parse(tm->heap, answer->p, answer->n, &doc, NULL))
        return AIOS_OK; /* protobuf, or nothing: all was taken */
    const aios__json *part = aios__json_get(aios__json_root(doc), "partialSuccess");
    const char *why = aios__json_str(aios__json_get(part, "errorMessage"), &n);
    int rc = why && n ? aios__fail(err, AIOS_EREFUSED, "the receiver of %s took not all: %.200s", signal, why) : AIOS_OK;
    aios__json_free(doc);
    return rc;
}

static bool is_later(int status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

static int post(aios_telemetry *tm, const char *signal, const char *url, const aios__buf *json, aios_error *err)
{
    static const char *const plain[] = {"Content-Type: application/json", "Accept: application/json", NULL};
    aios__transfer *t = NULL;
    aios__buf answer;
    aios__buf_init(&answer, tm->heap, AIOS_MEM_TEXT, MAX_ANSWER);
    const aios__http_request q = {
        .method = "POST",
        .url = url,
        .headers = plain,
        .secret_headers = (const char *const *)tm->http.headers,
        .body = json->p,
        .n_body = json->n,
        .ca_file = tm->http.ca_file,
        .max_body = MAX_ANSWER,
        .total_ns = tm->http.timeout_ns,
        .on_body = keep_answer,
        .user = &answer,
    };
    int rc = aios__http_start(tm->ctx, &q, &t, err);
    while (rc == AIOS_OK || rc == AIOS_AGAIN)
        rc = aios__transfer_step(t, STEP_MS, err);
    int status = rc == AIOS_DONE ? aios__transfer_status(t) : 0;
    if (rc == AIOS_DONE && aios__http_code(status))
        rc = aios__fail(err, aios__http_code(status), "the receiver of %s answers with HTTP status %d", signal, status);
    else if (rc == AIOS_DONE)
        rc = read_answer(tm, signal, &answer, err);
    bool later = is_later(status) || (!status && (rc == AIOS_EUNAVAIL || rc == AIOS_ETIMEDOUT));
    aios__transfer_free(t);
    aios__buf_free(&answer);
    return later ? AIOS_AGAIN : rc;
}

/* ---- all of them --------------------------------------------------------------------------------------------------- */

static int append(aios_telemetry *tm, const aios__buf *json, aios_error *err)
{
    const aios_env *env = aios__ctx_env(tm->ctx);
    int32_t sys = 0;
    int rc = env->file_write(env->user, tm->file, tm->file_at, json->p, json->n, &sys);
    rc = rc ? rc : env->file_write(env->user, tm->file, tm->file_at + json->n, "\n", 1, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "telemetry could not be written to its file");
    tm->file_at += json->n + 1;
    return AIOS_OK;
}

int aios__export_send(aios_telemetry *tm, const char *signal, const aios__buf *json, bool again, aios_error *err)
{
    const char *url = !strcmp(signal, "traces") ? tm->http.traces_url : tm->http.metrics_url;
    int worst = AIOS_OK, rc;
    if (!again && tm->file && (rc = append(tm, json, err)) != AIOS_OK)
        worst = rc;
    if (!again && tm->write && (rc = tm->write(tm->user, signal, json->p, json->n)) != 0)
        worst = aios__fail(err, rc < 0 ? rc : AIOS_ECANCELED, "the host's receiver of %s refused them", signal);
    if (url && (rc = post(tm, signal, url, json, err)) != AIOS_OK)
        worst = rc;
    return worst;
}
