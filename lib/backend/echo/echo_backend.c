/* SPDX-License-Identifier: Apache-2.0 */
/* The reference backend: what each slot of plugin/backend.h must do, with a script in place of a model. */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "backend/echo/echo_priv.h"

#define DEFAULT_CTX 8192u
#define N_EMBD 32u
#define WAIT_NS 20000000 /* the longest a step may wait */

typedef struct echo_model {
    aios_ctx *ctx; /* kept alive by the wrapper's model */
    aios__echo_script script;
    uint32_t n_ctx;
    uint64_t n_bytes;
} echo_model;

typedef struct echo_session {
    echo_model *model;
    uint32_t n_ctx;
    _Atomic uint32_t cancel;
    aios__buf seen;         /* the prompt computed last: what a real model would have cached */
    uint32_t raw_turn;
    aios__echo_plan plan;
    uint32_t item;          /* next of the plan */
    size_t at;              /* bytes of it that are out */
    uint32_t max_tokens;
    uint64_t n_calls;
    bool one_call, ended;
    int64_t wait_until, began;
    aios_usage usage;
} echo_session;

static uint32_t tokens_of(size_t n_bytes)
{
    return (uint32_t)(n_bytes / 4 + (n_bytes % 4 != 0));
}

static int64_t now(const echo_session *s)
{
    return aios__now_ns(aios__ctx_env(s->model->ctx));
}

/* ---- model -------------------------------------------------------------------------------------------------------- */

static int echo_open(void *user, const aios_backend_open_args *args, void **out, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__heap *h = aios__ctx_heap(args->ctx);
    echo_model *m = aios__alloc(h, AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return aios__nomem(err);
    m->ctx = args->ctx;
    int rc = aios__echo_script_read(args->ctx, args->path, &m->script, err);
    if (!rc && args->config->progress && args->config->progress(args->config->progress_user, 1.0)) {
        aios__echo_script_free(&m->script);
        rc = aios__fail(err, AIOS_ECANCELED, "loading was cancelled by its progress callback");
    }
    if (rc) {
        aios__free(h, m);
        return rc;
    }
    m->n_bytes = m->script.bytes.n;
    m->n_ctx = m->script.n_ctx ? m->script.n_ctx : args->config->n_ctx ? args->config->n_ctx : DEFAULT_CTX;
    *out = m;
    return AIOS_OK;
}

static void echo_close(void *model)
{
    echo_model *m = model;
    aios__heap *h = aios__ctx_heap(m->ctx);
    aios__echo_script_free(&m->script);
    aios__free(h, m);
}

static int echo_probe(void *user, const aios_backend_open_args *args, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__echo_script s;
    int rc = aios__echo_script_read(args->ctx, args->path, &s, err);
    if (!rc)
        aios__echo_script_free(&s);
    return rc;
}

static int echo_info(void *model, aios_model_info *out)
{
    const echo_model *m = model;
    out->name = "echo";
    out->architecture = "script";
    out->n_ctx = out->n_ctx_train = m->n_ctx;
    out->n_embd = N_EMBD;
    out->privacy = AIOS_PRIVACY_LOCAL;
    out->flags = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_SCHEMA | AIOS_MODEL_CAN_GRAMMAR | AIOS_MODEL_CAN_FORK | AIOS_MODEL_CAN_EMBED | AIOS_MODEL_HAS_TEMPLATE;
    out->n_threads = 1;
    out->n_bytes = m->n_bytes;
    return AIOS_OK;
}

/* A hashed bag of letter pairs, length 1: near texts are near. */
static int echo_embed(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    AIOS__UNUSED(model);
    double sum = 0;
    if (n_out != N_EMBD)
        return aios__fail_need(err, AIOS_EINVAL, n_out, N_EMBD, "an embedding of this model has %u floats, not %u", N_EMBD, n_out);
    memset(out, 0, n_out * sizeof *out);
    for (size_t i = 0; i + 1 < n; i++)
        out[((unsigned char)s[i] * 31u + (unsigned char)s[i + 1]) % N_EMBD] += 1;
    for (uint32_t i = 0; i < n_out; i++)
        sum += (double)out[i] * (double)out[i];
    for (uint32_t i = 0; i < n_out && sum > 0; i++)
        out[i] = (float)((double)out[i] / sqrt(sum));
    return AIOS_OK;
}

static int echo_render(void *model, const aios_request *req, aios_write_fn *fn, void *user, aios_error *err)
{
    const echo_model *m = model;
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(m->ctx), AIOS_MEM_TEXT, 0);
    int rc = aios__echo_render(req, &b, err);
    if (!rc && (rc = fn(user, b.p, b.n)) != 0)
        rc = aios__fail(err, rc, "the receiver of the prompt stopped");
    aios__buf_free(&b);
    return rc;
}

static int echo_inspect(void *user, const aios_backend_open_args *args, aios_write_fn *fn, void *wuser, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__echo_script s;
    char text[160];
    int rc = aios__echo_script_read(args->ctx, args->path, &s, err);
    if (rc)
        return rc;
    int n = snprintf(text, sizeof text, "{\"metadata\":{\"general.architecture\":\"script\",\"echo.turns\":%u,\"echo.statements\":%u},\"tensors\":[]}",
                     s.n_turns, s.n_lines);
    aios__echo_script_free(&s);
    rc = fn(wuser, text, (size_t)n);
    return rc ? aios__fail(err, rc, "the receiver of the facts stopped") : AIOS_OK;
}

/* ---- session ------------------------------------------------------------------------------------------------------ */

static int session_make(echo_model *m, uint32_t n_ctx, echo_session **out, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(m->ctx);
    echo_session *s = aios__alloc(h, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    s->model = m;
    s->n_ctx = n_ctx;
    aios__buf_init(&s->seen, h, AIOS_MEM_KV, 0);
    aios__buf_init(&s->plan.bytes, h, AIOS_MEM_TEXT, 0);
    *out = s;
    return AIOS_OK;
}

static int echo_session_new(void *model, const aios_session_config *cfg, void **out, aios_error *err)
{
    echo_model *m = model;
    if (cfg->n_ctx > m->n_ctx)
        return aios__fail_need(err, AIOS_ECONTEXT, m->n_ctx, cfg->n_ctx, "a session of %u tokens was asked for, the model has %u", cfg->n_ctx, m->n_ctx);
    return session_make(m, cfg->n_ctx ? cfg->n_ctx : m->n_ctx, (echo_session **)out, err);
}

static void echo_session_free(void *session)
{
    echo_session *s = session;
    aios__echo_plan_free(&s->plan);
    aios__buf_free(&s->seen);
    aios__free(aios__ctx_heap(s->model->ctx), s);
}

static int echo_fork(void *session, void **out, aios_error *err)
{
    const echo_session *s = session;
    echo_session *f = NULL;
    int rc = session_make(s->model, s->n_ctx, &f, err);
    if (rc)
        return rc;
    f->raw_turn = s->raw_turn;
    rc = aios__buf_add(&f->seen, s->seen.p, s->seen.n, err);
    if (rc)
        echo_session_free(f);
    else
        *out = f;
    return rc;
}

static size_t common_prefix(const aios__buf *a, const aios__buf *b)
{
    size_t i = 0;
    while (i < a->n && i < b->n && a->p[i] == b->p[i])
        i++;
    return i;
}

/* Renders req; checks that it fits. */
static int prompt_of(const echo_session *s, const aios_request *req, aios__buf *out, aios_error *err)
{
    aios__buf_init(out, s->seen.heap, AIOS_MEM_KV, 0);
    int rc = aios__echo_render(req, out, err);
    if (!rc && tokens_of(out->n) > s->n_ctx)
        rc = aios__fail_need(err, AIOS_ECONTEXT, s->n_ctx, tokens_of(out->n), "the prompt has %u tokens, the context holds %u: shorten it", tokens_of(out->n),
                             s->n_ctx);
    if (rc)
        aios__buf_free(out);
    return rc;
}

static int echo_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    echo_session *s = session;
    aios__buf b;
    aios__buf_init(&b, s->seen.heap, AIOS_MEM_TEXT, 0);
    int rc = aios__echo_render(req, &b, err);
    if (!rc)
        *n = tokens_of(b.n);
    aios__buf_free(&b);
    return rc;
}

static int echo_prewarm(void *session, const aios_request *req, aios_error *err)
{
    echo_session *s = session;
    aios__buf prompt;
    int rc = prompt_of(s, req, &prompt, err);
    if (rc)
        return rc;
    aios__buf_free(&s->seen);
    s->seen = prompt;
    return AIOS_OK;
}

static int echo_start(void *session, const aios_request *req, aios_error *err)
{
    echo_session *s = session;
    aios__buf prompt;
    aios__echo_plan plan;
    int rc = prompt_of(s, req, &prompt, err);
    if (rc)
        return rc;
    rc = aios__echo_plan_make(s->model->ctx, &s->model->script, req, s->raw_turn, &plan, err);
    if (rc) {
        aios__buf_free(&prompt);
        return rc;
    }
    aios__echo_plan_free(&s->plan);
    s->plan = plan;
    s->usage = (aios_usage)AIOS_INIT(aios_usage);
    s->usage.input = tokens_of(prompt.n);
    s->usage.cached = (uint32_t)(common_prefix(&prompt, &s->seen) / 4);
    aios__buf_free(&s->seen);
    s->seen = prompt;
    s->raw_turn += req->raw != NULL;
    s->item = 0;
    s->at = 0;
    s->n_calls = 0;
    s->ended = false;
    s->wait_until = 0;
    s->one_call = req->flags & AIOS_REQUEST_ONE_CALL;
    uint32_t room = s->n_ctx - s->usage.input;
    s->max_tokens = req->max_tokens && req->max_tokens < room ? req->max_tokens : room;
    s->began = now(s);
    atomic_store(&s->cancel, 0);
    return AIOS_OK;
}

static void echo_cancel(void *session)
{
    atomic_store(&((echo_session *)session)->cancel, 1);
}

/* Waits a bounded while; true once ns have passed since the first call. */
static bool waited(echo_session *s, int64_t ns)
{
    int64_t t = now(s);
    if (!s->wait_until)
        s->wait_until = t + ns;
    int64_t left = s->wait_until - t;
    if (left > 0) {
        if (left > WAIT_NS)
            left = WAIT_NS;
        struct timespec ts = {.tv_nsec = (long)left};
        nanosleep(&ts, NULL);
    }
    if (now(s) < s->wait_until)
        return false;
    s->wait_until = 0;
    return true;
}

/* Bytes of the next word with the blanks in front of it. */
static size_t next_word(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && (p[i] == ' ' || p[i] == '\n'))
        i++;
    while (i < n && p[i] != ' ' && p[i] != '\n')
        i++;
    return i;
}

static int step_text(echo_session *s, const aios__echo_item *it, const aios_sink *sink)
{
    const char *p = s->plan.bytes.p + it->text + s->at;
    size_t n = next_word(p, it->n_text - s->at);
    if (n && s->usage.output >= s->max_tokens) {
        memcpy(s->plan.reason, "length", 7);
        s->item = s->plan.n;
        return AIOS_AGAIN;
    }
    if (n && s->model->script.slow_ns && !waited(s, s->model->script.slow_ns))
        return AIOS_AGAIN;
    s->at += n;
    s->usage.output += n > 0;
    s->usage.reasoning += n > 0 && it->verb == ECHO_THINK;
    if (s->at == it->n_text) {
        s->item++;
        s->at = 0;
    }
    int rc = !n ? AIOS_OK : it->verb == ECHO_THINK ? sink->reasoning(sink->user, p, n) : sink->text(sink->user, p, n);
    return rc ? rc : AIOS_AGAIN;
}

static int step_call(echo_session *s, const aios__echo_item *it, const aios_sink *sink)
{
    s->item++;
    if (s->one_call && s->n_calls)
        return AIOS_AGAIN;
    s->n_calls++;
    s->usage.output += tokens_of(it->n_text);
    const char *name = s->plan.bytes.p + it->name, *args = s->plan.bytes.p + it->text;
    size_t half = aios__utf8_whole(args, it->n_text / 2);
    int rc = AIOS_OK;
    if (sink->call_delta) { /* as one that is being written */
        rc = sink->call_delta(sink->user, name, "", 0, NULL);
        rc = rc || !half ? rc : sink->call_delta(sink->user, name, args, half, NULL);
        rc = rc || half == it->n_text ? rc : sink->call_delta(sink->user, name, args + half, it->n_text - half, NULL);
    }
    rc = rc ? rc : sink->call(sink->user, name, args, it->n_text, NULL);
    return rc ? rc : AIOS_AGAIN;
}

static int step_end(echo_session *s, const aios_sink *sink)
{
    s->usage.decode_ns = now(s) - s->began;
    s->ended = true;
    int rc = sink->usage(sink->user, &s->usage);
    if (!rc)
        rc = sink->stop(sink->user, s->plan.reason);
    return rc ? rc : AIOS_DONE;
}

static int echo_step(void *session, const aios_sink *sink, aios_error *err)
{
    echo_session *s = session;
    if (atomic_load(&s->cancel))
        return aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    if (s->ended)
        return AIOS_DONE;
    if (s->item >= s->plan.n)
        return step_end(s, sink);
    const aios__echo_item *it = &s->plan.items[s->item];
    switch (it->verb) {
    case ECHO_CALL:
        return step_call(s, it, sink);
    case ECHO_DELAY:
        s->item += waited(s, it->number * 1000000);
        return AIOS_AGAIN;
    case ECHO_FAIL:
        return aios__fail(err, (int)it->number, "%s", it->n_text ? s->plan.bytes.p + it->text : "the script says so");
    case ECHO_JUNK:
        s->item++;
        sink->text(sink->user, "\xff\xfe", 2); /* goes on as if nothing had happened: the wrapper must notice */
        return AIOS_AGAIN;
    default:
        return step_text(s, it, sink);
    }
}

int aios__backend_echo_init(aios_ctx *ctx, aios_error *err)
{
    const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = "echo",
        .open = echo_open,
        .close = echo_close,
        .probe = echo_probe,
        .info = echo_info,
        .session_new = echo_session_new,
        .session_free = echo_session_free,
        .start = echo_start,
        .step = echo_step,
        .cancel = echo_cancel,
        .fork = echo_fork,
        .count = echo_count,
        .prewarm = echo_prewarm,
        .embed = echo_embed,
        .render = echo_render,
        .inspect = echo_inspect,
    };
    return aios_backend_register(ctx, &ops, NULL, err);
}
