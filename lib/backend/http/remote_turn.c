/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of a remote model: attempts until one is whole, or none helps any more. */
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "backend/http/quirks.h"
#include "backend/http/remote_priv.h"

#define STEP_MS 20
#define LAST_NS 1000000 /* of each of the last steps */
#define NAP_NS 5000000 /* between two looks at the clock while an attempt waits for its time */
#define MAX_FAULT_BODY ((size_t)64 << 10)
#define LAST_STEPS 3   /* of a transfer whose reply is whole: the connection is kept if it ends by itself */

struct aios__remote_turn {
    aios__remote *remote;
    aios__message message;
    char idempotency[33];
    _Atomic uint32_t cancel;
    bool running;
    uint32_t attempt;       /* from 0 */
    int64_t not_before;     /* of the next attempt */
    aios__transfer *transfer;
    aios__reader *reader;
    aios__buf fault;        /* body of an answer that is a failure */
    const aios_sink *sink;  /* while a step runs */
    aios_error inner;       /* of the reader; code 0: none */
    uint32_t last_steps;
    bool fed;               /* the reader has got something of this attempt */
    bool sent;              /* an attempt has put something into the sink */
    bool must_call;         /* a reply without a call is none */
    bool changed;           /* the request is another than the one that was refused */
    char *secret;           /* key of the attempt, if a callback gave it */
    aios__prompt prompt, last; /* of this turn, and of the one before */
};

static int64_t now(const aios__remote_turn *t)
{
    return aios__now_ns(aios__ctx_env(t->remote->server.ctx));
}

uint32_t aios__remote_estimate(const aios__remote *m, size_t n_bytes)
{
    uint64_t n = (uint64_t)n_bytes * 1000 / m->millibytes_per_token;
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* A quarter of the way towards what the server has counted. */
static void learn(aios__remote *m, size_t n_bytes, uint32_t n_tokens)
{
    uint64_t seen = n_tokens ? (uint64_t)n_bytes * 1000 / n_tokens : 0;
    if (seen >= 500 && seen <= 64000)
        m->millibytes_per_token = (uint32_t)((3 * (uint64_t)m->millibytes_per_token + seen) / 4);
}

/* ---- an attempt --------------------------------------------------------------------------------------------------- */

/* We ask for plain text, and unpack nothing. */
static int check_plain(aios__remote_turn *t)
{
    size_t n;
    const char *coding = aios__transfer_header(t->transfer, "content-encoding", &n);
    if (!coding || !n || (n == 8 && !strncasecmp(coding, "identity", n)))
        return AIOS_OK;
    n = n < 32 && aios__utf8_valid(coding, n) ? n : 0;
    return aios__fail(&t->inner, AIOS_EPROTO, "%s: the answer is compressed (%.*s), which it was not asked to be", t->remote->host, (int)n,
        coding);
}

static int on_body(void *user, const char *s, size_t n)
{
    aios__remote_turn *t = user;
    if (aios__http_code(aios__transfer_status(t->transfer))) {
        size_t room = MAX_FAULT_BODY - t->fault.n;
        int rc = aios__buf_add(&t->fault, s, n < room ? n : room, &t->inner);
        return rc || n <= room ? rc : AIOS_ELIMIT; /* enough to say what it is */
    }
    int rc = t->fed ? AIOS_OK : check_plain(t);
    t->fed = true;
    return rc ? rc : aios__reader_feed(t->reader, t->sink, s, n, &t->inner);
}

static void end_attempt(aios__remote_turn *t)
{
    aios__transfer_free(t->transfer);
    aios__reader_free(t->reader);
    t->transfer = NULL;
    t->reader = NULL;
    aios__buf_clear(&t->fault);
    aios__remote_forget(t->remote, t->secret);
    t->secret = NULL;
    t->last_steps = 0;
    t->fed = false;
}

static int begin_attempt(aios__remote_turn *t, aios_error *err)
{
    int rc = AIOS_OK;
    if (t->sent)
        rc = t->sink->restart(t->sink->user);
    t->sent = false;
    t->inner = (aios_error)AIOS_INIT(aios_error);
    rc = rc ? rc : aios__reader_new(t->remote, &t->reader, err);
    rc = rc ? rc : aios__remote_send(t->remote, t->message.path.p, &t->message.body, t->idempotency, on_body, t, &t->secret, &t->transfer, err);
    return rc;
}

static uint32_t estimate(const aios__remote_turn *t)
{
    return aios__remote_estimate(t->remote, aios__prompt_bytes(&t->prompt, t->message.body.n));
}

/* What the server answers by, to know it the next time. */
static void meet(aios__remote_turn *t)
{
    size_t n = 0;
    const char *server = aios__transfer_header(t->transfer, "server", &n);
    if (server)
        aios__quirks_of_software(&t->remote->server, server, n);
}

/* Who was given no key is told where one goes. */
static int ask_for_key(const aios__remote *m, aios_error *err)
{
    char said[300];
    const char *name = m->server.dialect->key_names[0];
    if (!err || m->api_key || m->credential || m->n_headers) /* which may hold it */
        return AIOS_EAUTH;
    snprintf(said, sizeof said, "%.*s", (int)aios__utf8_whole(err->msg, strnlen(err->msg, sizeof said - 1)), err->msg);
    return aios__fail(err, AIOS_EAUTH, "%s; no key was given: set remote.api_key (the command: --api-key-env VARIABLE; for %s: alone %s; a router: api_key_env)", said,
                      m->server.dialect->name, name ? name : "no other");
}

/* A refusal of the request: a parameter that the model does not take is left out, and the turn goes on. */
static int read_refusal(aios__remote_turn *t, int status, aios_error *err)
{
    aios__remote *m = t->remote;
    uint32_t param;
    int rc = aios__fault_read(&m->server, status, &t->fault, &param, err);
    int edited = param ? aios__param_refuse(m, param, &t->message.body, err) : AIOS_OK;
    t->changed = edited == AIOS_AGAIN;
    if (t->changed)
        aios__log(m->server.ctx, AIOS_LOG_WARN, "%s: %s%s does not take \"%s\" as it was sent: from now on it is left out or said otherwise",
                  m->host, *m->server.model ? "the model " : "its model", m->server.model, aios__param_name(param));
    return edited < 0 ? edited : aios__remote_blame_move(m, t->transfer, rc == AIOS_EAUTH ? ask_for_key(m, err) : rc, err);
}

/* A reply to a part of the prompt is no reply to it. What was said stays in the turn's last event. */
static int check_prompt(aios__remote_turn *t, aios_error *err)
{
    uint32_t counted = aios__reader_input(t->reader), least = aios__prompt_missing(&t->prompt, &t->last, counted);
    if (counted)
        aios__gate_settle(t->remote, estimate(t), (uint64_t)counted + aios__reader_output(t->reader));
    if (!least) {
        t->prompt.n_tokens = counted;
        t->last = t->prompt;
        if (!t->prompt.n_media)
            learn(t->remote, t->message.body.n, counted);
        return AIOS_OK;
    }
    uint32_t need = estimate(t);
    need = need > least ? need : least;
    return aios__fail_need(err, AIOS_ECONTEXT, counted, need,
                           "%s read %u of the prompt's tokens, which are at least %u, about %u: it has cut off the rest without saying so. Shorten the "
                           "conversation, or give the model a larger context there",
                           t->remote->host, counted, least, need);
}

/* Some servers read no more than "auto": Ollama (ollama#17921), llama-server without --jinja. */
static int check_call(const aios__remote_turn *t, aios_error *err)
{
    if (!t->must_call || !aios__reader_idle(t->reader))
        return AIOS_OK;
    return aios__fail(err, AIOS_ENOTSUP, "%s was told that a tool must be called, and replied without: it does not keep to tool_choice with %s%s",
                      t->remote->host, *t->remote->server.model ? "the model " : "its model", t->remote->server.model);
}

/* The transfer is over, or its reply is. */
static int settle(aios__remote_turn *t, aios_error *err)
{
    int status = aios__transfer_status(t->transfer);
    meet(t);
    if (aios__http_code(status))
        return read_refusal(t, status, err);
    int rc = aios__reader_finish(t->reader, t->sink, err);
    rc = rc ? rc : check_prompt(t, err);
    rc = rc ? rc : check_call(t, err);
    return rc ? rc : AIOS_DONE;
}

/* Both numbers of an overflow, also where the server gave none. */
static void complete_overflow(const aios__remote_turn *t, aios_error *err)
{
    if (err && err->code == AIOS_ECONTEXT && !err->need) {
        uint64_t need = estimate(t), have = err->have ? err->have : t->remote->n_ctx;
        aios__fail_need(err, AIOS_ECONTEXT, have, need > have ? need : have + 1, "%s", err->msg);
    }
}

/* Where the session may park, nothing is waited for within the step. */
static int await_transfer(aios__remote_turn *t, bool ended)
{
    if (!aios__sink_parks(t->sink))
        return AIOS_AGAIN;
    aios__transfer_watch(t->transfer, t->sink->ready, t->sink->user);
    return aios__sink_park(t->sink, ended ? now(t) + LAST_NS : INT64_MAX);
}

static int step_attempt(aios__remote_turn *t, aios_error *err)
{
    bool ended = aios__reader_ended(t->reader);
    int rc = aios__transfer_step(t->transfer, aios__sink_parks(t->sink) ? 0 : ended ? 1 : STEP_MS, err);
    if (rc < 0 && t->inner.code)
        return aios__error_copy(err, &t->inner);
    ended = aios__reader_ended(t->reader);
    if (rc == AIOS_AGAIN && !(ended && ++t->last_steps > LAST_STEPS))
        return await_transfer(t, ended);
    bool refused = aios__transfer_status(t->transfer) >= 300; /* that counts, however its body came to an end */
    return rc < 0 && !ended && (rc == AIOS_ECANCELED || !refused) ? rc : settle(t, err);
}

static void make_key(aios__remote_turn *t)
{
    const aios_env *env = aios__ctx_env(t->remote->server.ctx);
    unsigned char dice[16];
    int32_t sys;
    if (env->random(env->user, dice, sizeof dice, &sys))
        memset(dice, 0, sizeof dice);
    for (size_t i = 0; i < sizeof dice; i++)
        snprintf(t->idempotency + 2 * i, 3, "%02x", dice[i]);
}

/* After a failure: AIOS_AGAIN if another attempt will be made. */
static int reconsider(aios__remote_turn *t, int rc, aios_error *err)
{
    size_t n = 0;
    complete_overflow(t, err);
    aios__remote_redact(t->remote, t->secret, err);
    if (t->changed) {
        t->changed = false;
        make_key(t);
        end_attempt(t);
        return AIOS_AGAIN;
    }
    const char *after = t->transfer ? aios__transfer_header(t->transfer, "retry-after", &n) : NULL;
    bool can = t->attempt < t->remote->max_retries && (!t->sent || (AIOS_HAS(t->sink, restart) && t->sink->restart));
    bool garbled = t->inner.code != 0 && rc == AIOS_EPROTO; /* the same again would be no better */
    if (!can || garbled || !aios__retry_helps(rc))
        return rc;
    int64_t wait = aios__retry_wait(t->remote->server.ctx, t->attempt + 1, after, n);
    if (wait < 0)
        return rc;
    t->attempt++;
    t->not_before = now(t) + wait;
    aios__log(t->remote->server.ctx, AIOS_LOG_WARN, "%s: attempt %u failed (%s), the next one in %lld ms", t->remote->host, t->attempt, err->msg,
              (long long)(wait / 1000000));
    end_attempt(t);
    return AIOS_AGAIN;
}

/* ---- the turn ----------------------------------------------------------------------------------------------------- */

static int await_time(const aios__remote_turn *t, int64_t left)
{
    if (aios__sink_parks(t->sink))
        return aios__sink_park(t->sink, now(t) + left);
    struct timespec ts = {.tv_nsec = (long)(left < NAP_NS ? left : NAP_NS)};
    nanosleep(&ts, NULL);
    return AIOS_AGAIN;
}

static int step(aios__remote_turn *t, aios_error *err)
{
    if (atomic_load(&t->cancel))
        return aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    if (!t->transfer) {
        int64_t left = t->not_before - now(t);
        left = left > 0 ? left : aios__gate_enter(t->remote, estimate(t));
        if (left > 0)
            return await_time(t, left);
        int rc = begin_attempt(t, err);
        return rc ? rc : AIOS_AGAIN;
    }
    return step_attempt(t, err);
}

int aios__remote_turn_step(aios__remote_turn *t, const aios_sink *sink, aios_error *err)
{
    if (!t->running)
        return AIOS_DONE;
    t->sink = sink;
    int rc = step(t, err);
    t->sent = t->sent || (t->reader && aios__reader_sent(t->reader));
    if (rc < 0)
        rc = reconsider(t, rc, err);
    if (rc != AIOS_AGAIN)
        end_attempt(t);
    t->running = rc == AIOS_AGAIN;
    t->sink = NULL;
    return rc;
}

void aios__message_init(const aios__remote *m, aios__message *q)
{
    aios__buf_init(&q->path, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&q->body, m->heap, AIOS_MEM_TEXT, 0);
}

void aios__message_free(aios__message *q)
{
    aios__buf_free(&q->path);
    aios__buf_free(&q->body);
}

int aios__remote_encode(const aios__remote *m, const aios_request *req, aios__message *out, aios_error *err)
{
    if (req->raw)
        return aios__fail(err, AIOS_ENOTSUP, "%s takes conversations, not raw text: give a transcript (the command: no --raw)", m->server.dialect->title);
    return m->server.dialect->encode(&m->server, req, out, err);
}

aios__remote *aios__remote_turn_model(const aios__remote_turn *t)
{
    return t->remote;
}

int aios__remote_turn_start(aios__remote_turn *t, const aios_request *req, aios_error *err)
{
    const aios__remote *m = t->remote;
    aios__message fresh;
    aios__message_init(m, &fresh);
    int rc = aios__remote_encode(m, req, &fresh, err);
    rc = rc ? rc : aios__params_omit(m, &fresh.body, err);
    aios__prompt prompt;
    aios__prompt_read(req, &t->last, &prompt);
    uint32_t n = rc ? 0 : aios__remote_estimate(m, aios__prompt_bytes(&prompt, fresh.body.n));
    if (!rc && m->n_ctx && n > m->n_ctx)
        rc = aios__fail_need(err, AIOS_ECONTEXT, m->n_ctx, n, "the prompt has about %u tokens, the context holds %u: shorten it", n, m->n_ctx);
    if (rc) {
        aios__message_free(&fresh);
        return rc;
    }
    end_attempt(t);
    aios__message_free(&t->message);
    t->message = fresh;
    t->prompt = prompt;
    make_key(t);
    atomic_store(&t->cancel, 0);
    t->attempt = 0;
    t->not_before = 0;
    t->sent = t->changed = false;
    t->must_call = req->tool_choice == AIOS_TOOLS_REQUIRED || req->tool_choice == AIOS_TOOLS_NAMED;
    t->running = true;
    return AIOS_OK;
}

void aios__remote_turn_cancel(aios__remote_turn *t)
{
    atomic_store(&t->cancel, 1);
}

int aios__remote_turn_new(aios__remote *m, aios__remote_turn **out, aios_error *err)
{
    aios__remote_turn *t = aios__alloc(m->heap, AIOS_MEM_OTHER, sizeof *t, err);
    if (!t)
        return aios__nomem(err);
    t->remote = m;
    aios__message_init(m, &t->message);
    aios__buf_init(&t->fault, m->heap, AIOS_MEM_TEXT, MAX_FAULT_BODY);
    *out = t;
    return AIOS_OK;
}

void aios__remote_turn_free(aios__remote_turn *t)
{
    end_attempt(t);
    aios__message_free(&t->message);
    aios__buf_free(&t->fault);
    aios__free(t->remote->heap, t);
}
