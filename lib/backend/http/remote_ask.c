/* SPDX-License-Identifier: Apache-2.0 */
/* Whole exchanges: lists, counts, embeddings. Asking twice does no more than asking once, so what failed on the way is asked again as turns are. */
#include <stdio.h>
#include <time.h>

#include "backend/http/remote_priv.h"

#define STEP_MS 20
#define SECOND INT64_C(1000000000)
#define DEADLINE (600 * SECOND) /* of all attempts, where the model has none */

/* What an attempt leaves to the next. */
typedef struct outcome {
    bool garbled;      /* an answer that would be no better again */
    bool asked;        /* the server says when */
    char after[32];    /* Retry-After */
} outcome;

static int keep_body(void *user, const char *s, size_t n)
{
    return aios__buf_add(user, s, n, NULL);
}

static int read_answer(const aios__remote *m, const aios__transfer *t, const aios__buf *got, aios__json_doc **reply, outcome *o, aios_error *err)
{
    size_t n = 0;
    int status = aios__transfer_status(t);
    const char *after = aios__transfer_header(t, "retry-after", &n);
    o->asked = after;
    snprintf(o->after, sizeof o->after, "%.*s", (int)(n < sizeof o->after ? n : 0), after ? after : "");
    if (aios__http_code(status))
        return aios__remote_blame_move(m, t, aios__fault_read(&m->server, status, got, NULL, err), err);
    int rc = aios__json_parse(m->heap, got->p ? got->p : "", got->n, reply, err);
    o->garbled = rc == AIOS_EFORMAT;
    return o->garbled ? aios__fail(err, AIOS_EPROTO, "%s: the answer is no JSON", m->host) : rc;
}

/* end: of all attempts, by env's clock. */
static int ask_once(aios__remote *m, const char *path, const aios__buf *body, int64_t end, aios__json_doc **reply, outcome *o, aios_error *err)
{
    aios__transfer *t = NULL;
    char *secret = NULL;
    aios__buf got;
    *o = (outcome){0};
    aios__buf_init(&got, m->heap, AIOS_MEM_TEXT, (size_t)(m->max_body ? m->max_body : (uint64_t)64 << 20));
    int rc = aios__remote_send(m, path, body, NULL, keep_body, &got, &secret, &t, err);
    while (rc == AIOS_OK || rc == AIOS_AGAIN)
        if ((rc = aios__transfer_step(t, STEP_MS, err)) == AIOS_AGAIN && aios__now_ns(aios__ctx_env(m->server.ctx)) >= end)
            rc = aios__fail(err, AIOS_ETIMEDOUT, "%s: the whole, repetitions included, took longer than allowed", m->host);
    if (rc == AIOS_DONE)
        rc = read_answer(m, t, &got, reply, o, err);
    if (rc)
        aios__remote_redact(m, secret, err);
    aios__remote_forget(m, secret);
    aios__transfer_free(t);
    aios__buf_free(&got);
    return rc;
}

int aios__remote_ask(aios__remote *m, const char *path, const aios__buf *body, uint32_t n_tokens, aios__json_doc **reply, aios_error *err)
{
    const aios_env *env = aios__ctx_env(m->server.ctx);
    int64_t end = aios__now_ns(env) + (m->total_ns ? m->total_ns : DEADLINE);
    aios_error own = AIOS_INIT(aios_error);
    err = err ? err : &own;
    for (uint32_t attempt = 1;; attempt++) {
        outcome o;
        int rc = n_tokens ? aios__gate_wait(m, n_tokens, end, err) : AIOS_OK;
        if (rc)
            return rc;
        rc = ask_once(m, path, body, end, reply, &o, err);
        if (!rc || o.garbled || attempt > m->max_retries || !aios__retry_helps(rc))
            return rc;
        int64_t wait = aios__retry_wait(m->server.ctx, attempt, o.asked ? o.after : NULL, strlen(o.after));
        if (wait < 0 || wait > end - aios__now_ns(env))
            return rc;
        aios__log(m->server.ctx, AIOS_LOG_WARN, "%s: attempt %u failed (%s), the next one in %lld ms", m->host, attempt, err->msg, (long long)(wait / 1000000));
        struct timespec ts = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
        nanosleep(&ts, NULL);
    }
}
