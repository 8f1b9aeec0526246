/* SPDX-License-Identifier: Apache-2.0 */
/* Events of a turn on their way to its reader: a turn is computed by whoever runs the pass, its sink belongs to its own thread. */
#include "backend/gguf/gguf.h"

enum { TEXT, REASONING, CALL, USAGE, STOP, CHOICE, CALL_DELTA, LOGPROBS };

typedef struct head {
    uint32_t kind, n;
} head;

static int put(void *user, uint32_t kind, const void *a, size_t n_a, const void *b, size_t n_b)
{
    aios__outbox *o = user;
    if (n_a + n_b > UINT32_MAX)
        return AIOS_ELIMIT;
    head h = {kind, (uint32_t)(n_a + n_b)};
    size_t before = o->buf.n;
    int rc = aios__buf_add(&o->buf, &h, sizeof h, NULL);
    rc = rc ? rc : aios__buf_add(&o->buf, a, n_a, NULL);
    rc = rc || !n_b ? rc : aios__buf_add(&o->buf, b, n_b, NULL);
    if (rc)
        o->buf.n = before; /* nothing goes out in part */
    return rc;
}

static int put_text(void *user, const char *s, size_t n)
{
    ((aios__outbox *)user)->n_texts++;
    return put(user, TEXT, s, n, NULL, 0);
}

static int put_reasoning(void *user, const char *s, size_t n)
{
    return put(user, REASONING, s, n, NULL, 0);
}

static int put_call(void *user, const char *name, const char *args, size_t n_args, const char *call_id)
{
    AIOS__UNUSED(call_id); /* the engine makes none */
    return put(user, CALL, name, strlen(name) + 1, args, n_args);
}

static int put_choice(void *user, const char *name, const char *scores_json, size_t n)
{
    return put(user, CHOICE, name, strlen(name) + 1, scores_json, n);
}

static int put_call_delta(void *user, const char *name, const char *s, size_t n, const char *call_id)
{
    AIOS__UNUSED(call_id);
    return put(user, CALL_DELTA, name, strlen(name) + 1, s, n);
}

static int put_logprobs(void *user, const char *json, size_t n)
{
    return put(user, LOGPROBS, json, n, NULL, 0);
}

static int put_usage(void *user, const aios_usage *usage)
{
    return put(user, USAGE, usage, sizeof *usage, NULL, 0);
}

static int put_stop(void *user, const char *reason)
{
    return put(user, STOP, reason, strlen(reason) + 1, NULL, 0);
}

void aios__outbox_init(aios__outbox *o, aios__heap *h)
{
    aios__buf_init(&o->buf, h, AIOS_MEM_TEXT, 0);
    o->sink = (aios_sink){.struct_size = sizeof o->sink, .user = o, .text = put_text, .reasoning = put_reasoning, .call = put_call,
                          .usage = put_usage, .stop = put_stop, .choice = put_choice, .call_delta = put_call_delta, .logprobs = put_logprobs};
}

void aios__outbox_free(aios__outbox *o)
{
    aios__buf_free(&o->buf);
}

static int send(const aios_sink *to, uint32_t kind, const char *p, size_t n)
{
    size_t name = kind == CALL || kind == CHOICE || kind == CALL_DELTA ? strlen(p) + 1 : 0;
    aios_usage usage;
    switch (kind) {
    case TEXT:
        return to->text(to->user, p, n);
    case REASONING:
        return to->reasoning(to->user, p, n);
    case CALL:
        return to->call(to->user, p, p + name, n - name, NULL);
    case CHOICE:
        return to->choice ? to->choice(to->user, p, p + name, n - name) : AIOS_OK;
    case CALL_DELTA:
        return to->call_delta ? to->call_delta(to->user, p, p + name, n - name, NULL) : AIOS_OK;
    case LOGPROBS:
        return AIOS_HAS(to, logprobs) && to->logprobs ? to->logprobs(to->user, p, n) : AIOS_OK;
    case USAGE:
        memcpy(&usage, p, sizeof usage);
        return to->usage(to->user, &usage);
    default:
        return to->stop(to->user, p);
    }
}

int aios__outbox_flush(aios__outbox *o, const aios_sink *to)
{
    int rc = AIOS_OK;
    for (size_t at = 0; to && !rc && at < o->buf.n;) {
        head h;
        memcpy(&h, o->buf.p + at, sizeof h);
        at += sizeof h;
        rc = send(to, h.kind, o->buf.p + at, h.n);
        at += h.n;
    }
    aios__buf_clear(&o->buf);
    return rc;
}
