/* SPDX-License-Identifier: Apache-2.0 */
/* record: a model whose turns are also written down, a line when each is over. */
#include <stdio.h>

#include "backend/record/record_priv.h"

typedef struct recorder {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__tape_args args;
    aios_model *inner;
    aios_file *file;
    uint64_t n_bytes;     /* of the file; guarded */
    bool torn;            /* a line in it has no end; guarded */
    pthread_mutex_t lock; /* one line at a time */
} recorder;

typedef struct taken {
    int32_t type;
    uint32_t attempt;
    int64_t at_ns;
    size_t name, call_id, text, n_text; /* in bytes; 0: none */
    bool clean; /* text is in `clean` of the line */
    aios_usage usage;
} taken;

typedef struct recording {
    recorder *r;
    aios_session *inner;
    aios__buf request, bytes, line;
    taken *events;
    uint32_t n, cap, attempt;
    bool sent;
    int64_t began;
} recording;

static const char *const types[] = {"?", "text", "reasoning", "call", "?", "?", "usage", "?", "?", "?", "choice", "call_delta", "?", "route", "logprobs"};

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static void put_member(aios__buf *b, const char *key, const char *s, aios_error *err)
{
    aios__buf_addf(b, err, ",\"%s\":", key);
    aios__buf_add_json(b, s, strlen(s), err);
}

/* What the model says of itself, and what is redacted: a player needs both. */
static int put_head(const recorder *r, aios__buf *b, aios_error *err)
{
    aios_model_info i = AIOS_INIT(aios_model_info);
    aios_model_info_get(r->inner, &i);
    aios__buf_addf(b, err, "{\"aios_cassette\":1,\"model\":{\"n_ctx\":%u,\"flags\":%u", i.n_ctx, i.flags);
    put_member(b, "name", i.name, err);
    put_member(b, "architecture", i.architecture, err);
    put_member(b, "quantization", i.quantization, err);
    aios__buf_adds(b, "},\"redact\":", err);
    if (r->args.patterns)
        aios__json_write(r->args.patterns, b, err);
    else
        aios__buf_adds(b, r->args.redact ? "true" : "false", err);
    return aios__buf_adds(b, "}\n", err);
}

static int write_end(recorder *r, const char *s, size_t n, aios_error *err)
{
    const aios_env *env = aios__ctx_env(r->ctx);
    int32_t sys = 0, ignored;
    int rc = env->file_write(env->user, r->file, r->n_bytes, s, n, &sys);
    r->n_bytes += rc ? 0 : n;
    if (!rc)
        return AIOS_OK;
    r->torn = true; /* some of it may be there */
    env->file_size(env->user, r->file, &r->n_bytes, &ignored);
    return aios__fail_sys(err, rc, sys, "record: %.300s could not be written", r->args.file);
}

/* Behind a line without its end comes a head: by that a player knows it for one that was cut off. */
static int mend(recorder *r, aios_error *err)
{
    aios__buf b;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_addc(&b, '\n', err);
    rc = rc ? rc : put_head(r, &b, err);
    rc = rc ? rc : write_end(r, b.p, b.n, err);
    r->torn = r->torn && rc;
    aios__buf_free(&b);
    return rc;
}

static int append(recorder *r, const char *s, size_t n, aios_error *err)
{
    pthread_mutex_lock(&r->lock);
    int rc = r->torn ? mend(r, err) : AIOS_OK;
    rc = rc ? rc : write_end(r, s, n, err);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static int write_head(recorder *r, aios_error *err)
{
    aios__buf b;
    if (r->torn)
        return mend(r, err);
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    int rc = put_head(r, &b, err);
    rc = rc ? rc : write_end(r, b.p, b.n, err);
    aios__buf_free(&b);
    return rc;
}

static int open_file(recorder *r, aios_error *err)
{
    const aios_env *env = aios__ctx_env(r->ctx);
    int32_t sys = 0;
    char last = '\n';
    size_t got = 1;
    int rc = env->file_open(env->user, r->args.file, AIOS_OPEN_WRITE | AIOS_OPEN_CREATE | AIOS_OPEN_APPEND | AIOS_OPEN_PRIVATE, &r->file, &sys);
    if (rc) {
        r->file = NULL;
        return aios__fail_sys(err, rc, sys, "record: %.300s", r->args.file);
    }
    rc = env->file_size(env->user, r->file, &r->n_bytes, &sys);
    if (!rc && r->n_bytes)
        rc = env->file_read(env->user, r->file, r->n_bytes - 1, &last, 1, &got, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "record: %.300s", r->args.file);
    r->torn = last != '\n';
    return write_head(r, err);
}

/* ---- model -------------------------------------------------------------------------------------------------------- */

static void record_close(void *model)
{
    recorder *r = model;
    const aios_env *env = aios__ctx_env(r->ctx);
    aios_error why = AIOS_INIT(aios_error);
    int32_t sys = 0;
    aios_model_close(r->inner);
    int rc = r->file ? env->file_sync(env->user, r->file, &sys) : AIOS_OK; /* once: a turn does not wait for the disk */
    if (rc && aios__fail_sys(&why, rc, sys, "record: %.300s may not be on the disk", r->args.file))
        aios__log(r->ctx, AIOS_LOG_ERROR, "%s", why.msg);
    if (r->file)
        env->file_close(env->user, r->file);
    aios__tape_args_free(r->heap, &r->args);
    pthread_mutex_destroy(&r->lock);
    aios__free(r->heap, r);
}

static int record_open(void *user, const aios_backend_open_args *args, void **out, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__heap *h = aios__ctx_heap(args->ctx);
    recorder *r = aios__alloc(h, AIOS_MEM_OTHER, sizeof *r, err);
    if (!r)
        return aios__nomem(err);
    r->ctx = args->ctx;
    r->heap = h;
    if (pthread_mutex_init(&r->lock, NULL)) {
        aios__free(h, r);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    int rc = aios__tape_args_read(h, args->path, true, &r->args, err);
    rc = rc ? rc : aios__model_open_inner(args, r->args.inner, args->config, &r->inner, err);
    rc = rc ? rc : open_file(r, err);
    if (rc) {
        record_close(r);
        return rc;
    }
    *out = r;
    return AIOS_OK;
}

static int record_probe(void *user, const aios_backend_open_args *args, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__tape_args a;
    aios__heap *h = aios__ctx_heap(args->ctx);
    int rc = aios__tape_args_read(h, args->path, true, &a, err);
    rc = rc ? rc : aios__model_probe_inner(args, a.inner, args->config, err);
    aios__tape_args_free(h, &a);
    return rc;
}

static int record_info(void *model, aios_model_info *out)
{
    const recorder *r = model;
    int rc = aios_model_info_get(r->inner, out);
    out->flags &= ~(uint32_t)AIOS_MODEL_CAN_FORK;
    return rc;
}

static int record_embed(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    return aios_model_embed(((recorder *)model)->inner, s, n, out, n_out, err);
}

static int record_list(void *model, aios_write_fn *fn, void *user, aios_error *err)
{
    return aios_model_list(((recorder *)model)->inner, fn, user, err);
}

/* ---- what comes --------------------------------------------------------------------------------------------------- */

static size_t keep(recording *s, const char *p, size_t n, aios_error *err)
{
    size_t at = s->bytes.n;
    if (!p)
        return 0;
    aios__buf_add(&s->bytes, p, n, err);
    aios__buf_addc(&s->bytes, 0, err);
    return at;
}

static int keep_event(recording *s, const aios_event *ev, aios_error *err)
{
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 32;
        taken *p = aios__realloc(s->r->heap, AIOS_MEM_TEXT, s->events, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        s->events = p;
        s->cap = cap;
    }
    taken e = {.type = ev->type, .attempt = ev->attempt, .at_ns = aios__now_ns(aios__ctx_env(s->r->ctx)) - s->began, .n_text = ev->n_text};
    e.name = keep(s, ev->name, ev->name ? strlen(ev->name) : 0, err);
    e.call_id = keep(s, ev->call_id, ev->call_id ? strlen(ev->call_id) : 0, err);
    e.text = keep(s, ev->text, ev->n_text, err);
    if (ev->usage)
        e.usage = *ev->usage;
    if (s->bytes.failed)
        return s->bytes.failed;
    s->events[s->n++] = e;
    return AIOS_OK;
}

/* ---- a line ------------------------------------------------------------------------------------------------------- */

static bool joins(int32_t type)
{
    return type == AIOS_EVENT_TEXT || type == AIOS_EVENT_REASONING || type == AIOS_EVENT_CALL_DELTA;
}

/* Pieces k and i are of one text. */
static bool same_text(const recording *s, const taken *a, const taken *b)
{
    return a->type == b->type && a->attempt == b->attempt && !strcmp(s->bytes.p + a->call_id, s->bytes.p + b->call_id);
}

/* The texts of the pieces from i on that are one text, redacted as one, since a secret may come in several; they move to `clean`. */
static int redact_from(recording *s, uint32_t i, aios__buf *whole, aios__buf *clean, aios_error *err)
{
    const taken first = s->events[i];
    size_t from = 0, start = 0, len = 0;
    bool found = false;
    aios__buf_clear(whole);
    for (uint32_t k = i; k < s->n; k++)
        if (same_text(s, &first, &s->events[k]) && (k == i || joins(first.type)))
            aios__buf_add(whole, s->bytes.p + s->events[k].text, s->events[k].n_text, err);
    for (uint32_t k = i; k < s->n && !whole->failed; k++) {
        taken *e = &s->events[k];
        if (!same_text(s, &first, e) || (k != i && !joins(first.type)))
            continue;
        size_t to = from + e->n_text, at = clean->n;
        while (from < to) {
            if (!found || from >= start + len) {
                start = found ? start + len : 0;
                found = true;
                len = aios__secret_next(&s->r->args, whole->p, whole->n, &start);
            }
            size_t stop = from < start ? start : start + len;
            stop = stop < to ? stop : to;
            if (from < start)
                aios__buf_add(clean, whole->p + from, stop - from, err);
            else if (from == start)
                aios__buf_adds(clean, AIOS__REDACTED, err);
            from = stop;
        }
        e->n_text = clean->n - at;
        e->text = at;
        e->clean = true;
        aios__buf_addc(clean, 0, err);
    }
    return whole->failed ? whole->failed : clean->failed;
}

static void put_usage(aios__buf *b, const aios_usage *u, aios_error *err)
{
    aios__buf_addf(b, err,
                   ",\"usage\":{\"input\":%u,\"cached\":%u,\"output\":%u,\"reasoning\":%u,\"prefill_ns\":%lld,\"decode_ns\":%lld,\"drafted\":%u,\"accepted\":%u,"
                   "\"forced\":%u,\"passes\":%u,\"grammar_ns\":%lld,\"queue_ns\":%lld",
                   u->input, u->cached, u->output, u->reasoning, (long long)u->prefill_ns, (long long)u->decode_ns, u->drafted, u->accepted,
                   u->forced, u->passes, (long long)u->grammar_ns, (long long)u->queue_ns);
    if (u->cost_micros)
        aios__buf_addf(b, err, ",\"cost_micros\":%llu", (unsigned long long)u->cost_micros);
    aios__buf_addc(b, '}', err);
}

static void put_event(const recording *s, const taken *e, const aios__buf *clean, aios__buf *b, aios_error *err)
{
    aios__buf_addf(b, err, "{\"t_us\":%lld,\"type\":\"%s\"", (long long)(e->at_ns / 1000), types[e->type]);
    if (e->attempt)
        aios__buf_addf(b, err, ",\"attempt\":%u", e->attempt);
    if (e->name)
        put_member(b, "name", s->bytes.p + e->name, err);
    if (e->call_id)
        put_member(b, "call_id", s->bytes.p + e->call_id, err);
    if (e->type == AIOS_EVENT_USAGE) {
        put_usage(b, &e->usage, err);
    } else {
        aios__buf_adds(b, ",\"text\":", err);
        aios__buf_add_json(b, clean->p + e->text, e->n_text, err);
    }
    aios__buf_addc(b, '}', err);
}

static void put_end(const recording *s, const char *reason, const aios_error *failure, bool at_start, aios__buf *b, aios_error *err)
{
    aios__buf why;
    if (!failure) {
        aios__buf_adds(b, "],\"end\":{\"done\":", err);
        aios__buf_add_json(b, reason, strlen(reason), err);
        aios__buf_adds(b, "}}\n", err);
        return;
    }
    aios__buf_init(&why, s->r->heap, AIOS_MEM_TEXT, 0);
    aios__redact(&s->r->args, failure->msg, strlen(failure->msg), &why, err);
    aios__buf_addf(b, err, "],\"end\":{\"error\":\"%s\",\"have\":%llu,\"need\":%llu,\"at_start\":%s", aios_code_name(failure->code),
                   (unsigned long long)failure->have, (unsigned long long)failure->need, at_start ? "true" : "false");
    put_member(b, "message", why.p ? why.p : "", err);
    aios__buf_adds(b, "}}\n", err);
    if (why.failed && !b->failed)
        b->failed = why.failed;
    aios__buf_free(&why);
}

/* reason of a turn that was done, or its failure. */
static int write_turn(recording *s, const char *reason, const aios_error *failure, bool at_start, aios_error *err)
{
    char hash[AIOS__HASH_TEXT];
    aios__buf whole, clean, *b = &s->line;
    int rc = AIOS_OK;
    aios__buf_init(&whole, s->r->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&clean, s->r->heap, AIOS_MEM_TEXT, 0);
    for (uint32_t i = 0; i < s->n && !rc; i++)
        if (!s->events[i].clean)
            rc = redact_from(s, i, &whole, &clean, err);
    aios__buf_clear(b);
    aios__canonical_hash(s->request.p, s->request.n, hash);
    aios__buf_addf(b, err, "{\"hash\":\"%s\",\"request\":", hash);
    aios__buf_add(b, s->request.p, s->request.n, err);
    aios__buf_adds(b, ",\"events\":[", err);
    for (uint32_t i = 0; i < s->n && !rc; i++) {
        aios__buf_adds(b, i ? "," : "", err);
        put_event(s, &s->events[i], &clean, b, err);
    }
    put_end(s, reason, failure, at_start, b, err);
    rc = rc ? rc : b->failed;
    rc = rc ? rc : append(s->r, b->p, b->n, err);
    aios__buf_free(&whole);
    aios__buf_free(&clean);
    return rc;
}

/* ---- session ------------------------------------------------------------------------------------------------------ */

static void record_session_free(void *session)
{
    recording *s = session;
    aios_session_free(s->inner);
    aios__buf_free(&s->request);
    aios__buf_free(&s->bytes);
    aios__buf_free(&s->line);
    aios__free(s->r->heap, s->events);
    aios__free(s->r->heap, s);
}

static int record_session_new(void *model, const aios_session_config *cfg, void **out, aios_error *err)
{
    recorder *r = model;
    aios_session_config inner = *cfg;
    recording *s = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    inner.driver = AIOS_DRIVER_CALLER;
    s->r = r;
    aios__buf_init(&s->request, r->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&s->bytes, r->heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&s->line, r->heap, AIOS_MEM_TEXT, 0);
    int rc = aios_session_new(r->inner, &inner, &s->inner, err);
    if (rc)
        record_session_free(s);
    else
        *out = s;
    return rc;
}

static int record_start(void *session, const aios_request *req, aios_error *err)
{
    recording *s = session;
    aios_request q = *req;
    aios_error why = AIOS_INIT(aios_error), more = AIOS_INIT(aios_error);
    aios__buf_clear(&s->request);
    aios__buf_clear(&s->bytes);
    s->n = s->attempt = 0;
    s->sent = false;
    s->began = aios__now_ns(aios__ctx_env(s->r->ctx));
    int rc = aios__buf_addc(&s->bytes, 0, err); /* offset 0 is no text */
    rc = rc ? rc : aios__canonical(&s->r->args, s->r->heap, req, &s->request, err);
    if (rc)
        return rc;
    q.timeout_ns = 0; /* the wrapper's */
    q.flags &= ~(uint32_t)AIOS_REQUEST_SNAPSHOTS;
    rc = aios_session_start(s->inner, &q, &why);
    if (!rc)
        return rc;
    if (rc != AIOS_ENOMEM && rc != AIOS_EBUDGET && write_turn(s, NULL, &why, true, &more))
        return aios__error_copy(err, &more);
    return aios__error_copy(err, &why);
}

static int pass_on(recording *s, const aios_event *ev, const aios_sink *k)
{
    bool again = ev->attempt != s->attempt && s->sent;
    if (again && !(AIOS_HAS(k, restart) && k->restart))
        return AIOS_ENOTSUP;
    int rc = again ? k->restart(k->user) : AIOS_OK;
    s->attempt = ev->attempt;
    s->sent = true;
    return rc ? rc : aios__sink_pass(k, ev);
}

static int end(recording *s, const aios_event *ev, const aios_sink *sink, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    if (ev->type == AIOS_EVENT_DONE) {
        int rc = write_turn(s, ev->name, NULL, false, err);
        rc = rc ? rc : sink->stop(sink->user, ev->name);
        return rc ? rc : AIOS_DONE;
    }
    aios__error_copy(&why, ev->error);
    bool ours = why.code == AIOS_ECANCELED || why.code == AIOS_ENOMEM || why.code == AIOS_EBUDGET; /* it says nothing of the model */
    int rc = ours ? AIOS_OK : write_turn(s, NULL, &why, false, err);
    return rc ? rc : aios__error_copy(err, &why);
}

static int record_step(void *session, const aios_sink *sink, aios_error *err)
{
    recording *s = session;
    const aios_event *ev;
    int64_t until;
    aios__session_follow(s->inner, sink);
    int rc = aios_session_next(s->inner, 0, &ev);
    if (rc == AIOS_AGAIN && aios__session_parked(s->inner, &until))
        return aios__sink_park(sink, until);
    if (rc)
        return rc;
    if (ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR)
        return end(s, ev, sink, err);
    if (ev->type >= (int)AIOS__ARRAY_LEN(types) || types[ev->type][0] == '?')
        return AIOS_AGAIN;
    bool spells = ev->type == AIOS_EVENT_LOGPROBS && (s->r->args.redact || s->r->args.patterns); /* token by token, what is redacted as a whole */
    rc = spells ? AIOS_OK : keep_event(s, ev, err);
    rc = rc ? rc : pass_on(s, ev, sink);
    return rc ? rc : AIOS_AGAIN;
}

static int record_wait(void *model, int32_t timeout_ms)
{
    return aios__model_wait(((recorder *)model)->inner, timeout_ms);
}

static uint32_t record_loops(void *model, aios_model **one)
{
    *one = ((recorder *)model)->inner;
    return 1;
}

static void record_wake(void *model)
{
    aios__model_wake(((recorder *)model)->inner);
}

static void record_cancel(void *session)
{
    aios_session_cancel(((recording *)session)->inner);
}

static int record_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    return aios_session_count(((recording *)session)->inner, req, n, err);
}

static int record_prewarm(void *session, const aios_request *req, aios_error *err)
{
    return aios_session_prewarm(((recording *)session)->inner, req, err);
}

static void record_retain(void *session, int32_t returns)
{
    aios_session_retain(((recording *)session)->inner, returns, NULL);
}

int aios__backend_record_init(aios_ctx *ctx, aios_error *err)
{
    const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = "record",
        .open = record_open,
        .close = record_close,
        .probe = record_probe,
        .info = record_info,
        .session_new = record_session_new,
        .session_free = record_session_free,
        .start = record_start,
        .step = record_step,
        .cancel = record_cancel,
        .count = record_count,
        .prewarm = record_prewarm,
        .embed = record_embed,
        .list = record_list,
        .wait = record_wait,
        .wake = record_wake,
        .retain = record_retain,
    };
    int rc = aios__backend_register_outer(ctx, &ops, NULL, record_loops, err);
    return rc ? rc : aios__backend_replay_init(ctx, err);
}
