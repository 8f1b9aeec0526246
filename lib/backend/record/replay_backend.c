/* SPDX-License-Identifier: Apache-2.0 */
/* replay: turns of a cassette, found by their requests, without network or model. */
#include <stdio.h>
#include <time.h>

#include "backend/record/record_priv.h"

#define MAX_TAPE ((size_t)512 << 20)
#define STEP_NS INT64_C(20000000)

typedef struct track {
    size_t at, n; /* its bytes in the file */
    char hash[AIOS__HASH_TEXT]; /* of the request as it is here, whatever the line says */
    uint32_t line;
    bool served;
} track;

typedef struct player {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__tape_args args;
    aios__buf file;
    aios__json_doc *head; /* NULL: the file has none */
    track *tracks;
    uint32_t n, cap;
    pthread_mutex_t lock; /* guards served */
} player;

typedef struct playing {
    player *p;
    aios__json_doc *doc;             /* the turn's line */
    const aios__json *events, *end;  /* of it; NULL: no turn */
    size_t at;                       /* next event */
    uint32_t attempt;
    int64_t began;
    _Atomic uint32_t cancel;
} playing;

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static int add_track(player *p, const aios__json_doc *doc, size_t at, size_t n, uint32_t line, aios_error *err)
{
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 16;
        track *t = aios__realloc(p->heap, AIOS_MEM_TEXT, p->tracks, cap * sizeof *t, err);
        if (!t)
            return aios__nomem(err);
        p->tracks = t;
        p->cap = cap;
    }
    const aios__json *root = aios__json_root(doc), *request = aios__json_get(root, "request");
    track t = {.at = at, .n = n, .line = line};
    bool whole = aios__json_type(request) == AIOS__JSON_OBJECT && aios__json_type(aios__json_get(root, "end")) == AIOS__JSON_OBJECT;
    if (!whole || aios__json_type(aios__json_get(root, "events")) != AIOS__JSON_ARRAY)
        return aios__fail(err, AIOS_EFORMAT, "replay: %.200s, line %u: it has no request, events and end", p->args.file, line);
    aios__buf text;
    aios__buf_init(&text, p->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__json_write(request, &text, err);
    if (!rc) {
        aios__canonical_hash(text.p, text.n, t.hash);
        p->tracks[p->n++] = t;
    }
    aios__buf_free(&text);
    return rc;
}

static int add_head(player *p, aios__json_doc *doc, uint32_t line, aios_error *err)
{
    const aios__json *v = aios__json_get(aios__json_root(doc), "redact");
    if (aios__json_int(aios__json_get(aios__json_root(doc), "aios_cassette"), 0) != 1)
        return aios__fail(err, AIOS_EVERSION, "replay: %.200s, line %u: a cassette of another version", p->args.file, line);
    for (size_t i = 0; i < aios__json_count(v); i++)
        if (!aios__json_str(aios__json_at(v, i), NULL))
            return aios__fail(err, AIOS_EFORMAT, "replay: %.200s, line %u: redact[%zu] is no string", p->args.file, line, i);
    if (p->head)
        return AIOS_OK; /* later ones repeat it */
    p->head = doc;
    if (!p->args.patterns) { /* requests are redacted as they were then */
        p->args.redact = aios__json_type(v) != AIOS__JSON_FALSE;
        p->args.patterns = aios__json_type(v) == AIOS__JSON_ARRAY ? v : NULL;
    }
    return AIOS_OK;
}

static int add_line(player *p, size_t at, size_t n, bool whole, uint32_t line, aios_error *err)
{
    const char *s = p->file.p + at;
    aios__json_doc *doc = NULL;
    aios_error why = AIOS_INIT(aios_error);
    if (!n)
        return AIOS_OK;
    int rc = aios__json_parse_exact(p->heap, s, n, &doc, &why);
    if (rc == AIOS_EFORMAT && !whole) {
        aios__log(p->ctx, AIOS_LOG_WARN, "replay: %s, line %u: the line was cut off, and is left out", p->args.file, line);
        return AIOS_OK;
    }
    if (rc)
        return aios__fail_need(err, rc, why.have, why.need, "replay: %.200s, line %u: %.200s", p->args.file, line, why.msg);
    bool head = aios__json_get(aios__json_root(doc), "aios_cassette");
    rc = head ? add_head(p, doc, line, err) : add_track(p, doc, at, n, line, err);
    if (p->head != doc)
        aios__json_free(doc);
    return rc;
}

/* What stands behind a line that was cut off: the head of a recorder that went on, perhaps after tries to write one; in a cassette, also only those. */
static bool begins_head(const char *s, size_t n, bool in_cassette)
{
    static const char head[] = "{\"aios_cassette\":";
    for (;;) {
        const char *nl = memchr(s, '\n', n);
        size_t len = nl ? (size_t)(nl - s) : n;
        if (memcmp(s, head, len < sizeof head - 1 ? len : sizeof head - 1))
            return false;
        if (len >= sizeof head - 1)
            return true;
        if (!nl)
            return in_cassette;
        n -= len + 1;
        s = nl + 1;
    }
}

static int add_lines(player *p, aios_error *err)
{
    const aios__buf *file = &p->file;
    int rc = AIOS_OK;
    uint32_t line = 1;
    for (size_t at = 0; !rc && at < file->n; line++) {
        const char *s = file->p + at, *nl = memchr(s, '\n', file->n - at);
        size_t n = nl ? (size_t)(nl - s) : file->n - at;
        rc = add_line(p, at, n, nl && !begins_head(nl + 1, file->n - at - n - 1, p->head), line, err);
        at += n + 1;
    }
    return rc;
}

static int read_tape(player *p, aios_error *err)
{
    const aios_env *env = aios__ctx_env(p->ctx);
    aios_file *f;
    int32_t sys = 0;
    uint64_t size = 0;
    int rc = env->file_open(env->user, p->args.file, AIOS_OPEN_READ, &f, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "replay: %.300s", p->args.file);
    rc = env->file_size(env->user, f, &size, &sys);
    if (rc)
        aios__fail_sys(err, rc, sys, "replay: %.300s", p->args.file);
    else if (size >= MAX_TAPE)
        rc = aios__fail_need(err, AIOS_ELIMIT, MAX_TAPE, size, "replay: %.300s is larger than a cassette may be", p->args.file);
    rc = rc ? rc : aios__buf_reserve(&p->file, (size_t)size, err);
    if (!rc && (rc = env->file_read(env->user, f, 0, p->file.p, (size_t)size, &p->file.n, &sys)) != 0)
        aios__fail_sys(err, rc, sys, "replay: %.300s", p->args.file);
    env->file_close(env->user, f);
    return rc ? rc : add_lines(p, err);
}

/* ---- model -------------------------------------------------------------------------------------------------------- */

static void replay_close(void *model)
{
    player *p = model;
    aios__free(p->heap, p->tracks);
    aios__buf_free(&p->file);
    aios__json_free(p->head);
    aios__tape_args_free(p->heap, &p->args);
    pthread_mutex_destroy(&p->lock);
    aios__free(p->heap, p);
}

static int replay_open(void *user, const aios_backend_open_args *args, void **out, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__heap *h = aios__ctx_heap(args->ctx);
    player *p = aios__alloc(h, AIOS_MEM_OTHER, sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    p->ctx = args->ctx;
    p->heap = h;
    aios__buf_init(&p->file, h, AIOS_MEM_TEXT, MAX_TAPE);
    if (pthread_mutex_init(&p->lock, NULL)) {
        aios__free(h, p);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    int rc = aios__tape_args_read(h, args->path, false, &p->args, err);
    rc = rc ? rc : read_tape(p, err);
    if (rc) {
        replay_close(p);
        return rc;
    }
    *out = p;
    return AIOS_OK;
}

static int replay_info(void *model, aios_model_info *out)
{
    const player *p = model;
    const aios__json *m = p->head ? aios__json_get(aios__json_root(p->head), "model") : NULL;
    uint32_t can = AIOS_MODEL_CAN_TOOLS | AIOS_MODEL_CAN_SCHEMA | AIOS_MODEL_CAN_GRAMMAR | AIOS_MODEL_HAS_TEMPLATE | AIOS_MODEL_CAN_LOGPROBS;
    out->name = m ? aios__json_str(aios__json_get(m, "name"), NULL) : "replay";
    out->architecture = aios__json_str(aios__json_get(m, "architecture"), NULL);
    out->quantization = aios__json_str(aios__json_get(m, "quantization"), NULL);
    out->n_ctx = out->n_ctx_train = (uint32_t)aios__json_int(aios__json_get(m, "n_ctx"), 0);
    out->privacy = AIOS_PRIVACY_LOCAL; /* whatever the model was, nothing leaves now */
    out->flags = (uint32_t)aios__json_int(aios__json_get(m, "flags"), can) & can;
    return AIOS_OK;
}

/* ---- finding a turn ------------------------------------------------------------------------------------------------ */

/* Bytes that both have in common at their ends. */
static size_t likeness(const aios__buf *a, const aios__buf *b)
{
    size_t n = a->n < b->n ? a->n : b->n, i = 0, k = 0;
    while (i < n && a->p[i] == b->p[i])
        i++;
    while (k < n - i && a->p[a->n - 1 - k] == b->p[b->n - 1 - k])
        k++;
    return i + k;
}

static int open_track(const player *p, const track *t, aios__json_doc **doc, aios_error *err)
{
    return aios__json_parse_exact(p->heap, p->file.p + t->at, t->n, doc, err);
}

static const aios__json *request_of(const aios__json_doc *doc)
{
    return aios__json_get(aios__json_root(doc), "request");
}

static int fail_unknown(const player *p, const aios__json *asked, const aios__buf *text, aios_error *err)
{
    const track *best = NULL;
    size_t most = 0;
    char what[300];
    aios__json_doc *doc = NULL;
    aios__buf other;
    int rc = AIOS_OK;
    aios__buf_init(&other, p->heap, AIOS_MEM_TEXT, 0);
    for (uint32_t i = 0; i < p->n && !rc; i++) {
        aios__buf_clear(&other);
        rc = open_track(p, &p->tracks[i], &doc, err);
        rc = rc ? rc : aios__json_write(request_of(doc), &other, err);
        size_t same = rc ? 0 : likeness(&other, text);
        best = !best || same > most ? &p->tracks[i] : best;
        most = same > most ? same : most;
        aios__json_free(doc);
        doc = NULL;
    }
    aios__buf_free(&other);
    if (!rc && !best)
        return aios__fail(err, AIOS_ENOENT, "replay: %.100s holds no turns", p->args.file);
    rc = rc ? rc : open_track(p, best, &doc, err);
    if (rc)
        return rc;
    aios__canonical_differ(p->heap, request_of(doc), asked, what, sizeof what);
    aios__json_free(doc);
    return aios__fail(err, AIOS_ENOENT, "replay: none of the %u turns of %.100s is of this request; the nearest, in line %u, differs at %s", p->n,
                      p->args.file, best->line, what);
}

/* Equal requests are served in the order of their recording; behind the last one, that one again. */
static track *serve(player *p, const char *hash, bool take)
{
    track *found = NULL;
    pthread_mutex_lock(&p->lock);
    for (uint32_t i = 0; i < p->n && !(found && !found->served); i++)
        if (!strcmp(p->tracks[i].hash, hash))
            found = &p->tracks[i];
    if (found && take)
        found->served = true;
    pthread_mutex_unlock(&p->lock);
    return found;
}

/* The line of the turn, for the caller to free. */
static int find(player *p, const aios_request *req, bool take, aios__json_doc **out, aios_error *err)
{
    aios__buf text;
    aios__json_doc *doc = NULL;
    char hash[AIOS__HASH_TEXT];
    aios__buf_init(&text, p->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__canonical(&p->args, p->heap, req, &text, err);
    rc = rc ? rc : aios__json_parse_exact(p->heap, text.p, text.n, &doc, err);
    if (!rc) {
        aios__canonical_hash(text.p, text.n, hash);
        const track *t = serve(p, hash, take);
        rc = t ? open_track(p, t, out, err) : fail_unknown(p, aios__json_root(doc), &text, err);
    }
    if (!rc && !aios__json_equal(request_of(*out), aios__json_root(doc))) { /* two requests with one hash */
        aios__json_free(*out);
        *out = NULL;
        rc = fail_unknown(p, aios__json_root(doc), &text, err);
    }
    aios__json_free(doc);
    aios__buf_free(&text);
    return rc;
}

/* ---- session ------------------------------------------------------------------------------------------------------ */

static int code_of(const char *name)
{
    static const int codes[] = {
#define X(name, number, text) number,
        AIOS_CODES(X)
#undef X
    };
    for (size_t i = 0; name && i < AIOS__ARRAY_LEN(codes); i++)
        if (codes[i] < 0 && !strcmp(aios_code_name(codes[i]), name))
            return codes[i];
    return AIOS_EFORMAT;
}

static int fail_recorded(const aios__json *e, aios_error *err)
{
    const char *msg = aios__json_str(aios__json_get(e, "message"), NULL);
    return aios__fail_need(err, code_of(aios__json_str(aios__json_get(e, "error"), NULL)), (uint64_t)aios__json_int(aios__json_get(e, "have"), 0),
                           (uint64_t)aios__json_int(aios__json_get(e, "need"), 0), "%s", msg ? msg : "the turn failed when it was recorded");
}

static int replay_session_new(void *model, const aios_session_config *cfg, void **out, aios_error *err)
{
    player *p = model;
    AIOS__UNUSED(cfg);
    playing *s = aios__alloc(p->heap, AIOS_MEM_OTHER, sizeof *s, err);
    if (!s)
        return aios__nomem(err);
    s->p = p;
    *out = s;
    return AIOS_OK;
}

static void end_turn(playing *s)
{
    aios__json_free(s->doc);
    s->doc = NULL;
    s->events = s->end = NULL;
}

static void replay_session_free(void *session)
{
    end_turn(session);
    aios__free(((playing *)session)->p->heap, session);
}

static int replay_start(void *session, const aios_request *req, aios_error *err)
{
    playing *s = session;
    end_turn(s);
    int rc = find(s->p, req, true, &s->doc, err);
    if (rc)
        return rc;
    s->events = aios__json_get(aios__json_root(s->doc), "events");
    s->end = aios__json_get(aios__json_root(s->doc), "end");
    if (aios__json_type(aios__json_get(s->end, "at_start")) == AIOS__JSON_TRUE)
        return fail_recorded(s->end, err);
    s->at = 0;
    s->attempt = 0;
    s->began = aios__now_ns(aios__ctx_env(s->p->ctx));
    atomic_store(&s->cancel, 0);
    return AIOS_OK;
}

static uint32_t uint_of(const aios__json *o, const char *key)
{
    int64_t v = aios__json_int(aios__json_get(o, key), 0);
    return v < 0 || v > UINT32_MAX ? 0 : (uint32_t)v;
}

static void read_usage(const aios__json *v, aios_usage *u)
{
    u->input = uint_of(v, "input");
    u->cached = uint_of(v, "cached");
    u->output = uint_of(v, "output");
    u->reasoning = uint_of(v, "reasoning");
    u->prefill_ns = aios__json_int(aios__json_get(v, "prefill_ns"), 0);
    u->decode_ns = aios__json_int(aios__json_get(v, "decode_ns"), 0);
    u->drafted = uint_of(v, "drafted");
    u->accepted = uint_of(v, "accepted");
    u->forced = uint_of(v, "forced");
    u->passes = uint_of(v, "passes");
    u->grammar_ns = aios__json_int(aios__json_get(v, "grammar_ns"), 0);
    int64_t cost = aios__json_int(aios__json_get(v, "cost_micros"), 0);
    u->cost_micros = cost > 0 ? (uint64_t)cost : 0;
    u->queue_ns = aios__json_int(aios__json_get(v, "queue_ns"), 0);
}

static int send(const aios__json *e, const aios_sink *k, aios_error *err)
{
    static const struct {
        const char *type;
        int32_t number;
        bool named;
    } rows[] = {
        {"text", AIOS_EVENT_TEXT, false}, {"reasoning", AIOS_EVENT_REASONING, false}, {"call", AIOS_EVENT_CALL, true},
        {"call_delta", AIOS_EVENT_CALL_DELTA, true}, {"choice", AIOS_EVENT_CHOICE, true}, {"route", AIOS_EVENT_ROUTE, true},
        {"usage", AIOS_EVENT_USAGE, false}, {"logprobs", AIOS_EVENT_LOGPROBS, false},
    };
    aios_usage usage = AIOS_INIT(aios_usage);
    aios_event ev = AIOS_INIT(aios_event);
    const char *type = aios__json_str(aios__json_get(e, "type"), NULL);
    ev.name = aios__json_str(aios__json_get(e, "name"), NULL);
    ev.call_id = aios__json_str(aios__json_get(e, "call_id"), NULL);
    ev.text = aios__json_str(aios__json_get(e, "text"), &ev.n_text);
    ev.usage = &usage;
    read_usage(aios__json_get(e, "usage"), &usage);
    for (size_t i = 0; type && i < AIOS__ARRAY_LEN(rows); i++) {
        ev.type = rows[i].number;
        if (!strcmp(type, rows[i].type) && (ev.text || ev.type == AIOS_EVENT_USAGE) && (ev.name || !rows[i].named))
            return aios__sink_pass(k, &ev);
    }
    return aios__fail(err, AIOS_EFORMAT, "replay: an event of type \"%.32s\" is not of this version, or incomplete", type ? type : "?");
}

/* With timing: AIOS_OK once the event's time has come. */
static int await_time(const playing *s, const aios__json *e, const aios_sink *k)
{
    int64_t at = aios__json_int(aios__json_get(e, "t_us"), 0);
    int64_t left = s->p->args.timing && at > 0 && at < INT64_C(1) << 40 ? s->began + at * 1000 - aios__now_ns(aios__ctx_env(s->p->ctx)) : 0;
    if (left <= 0)
        return AIOS_OK;
    if (aios__sink_parks(k))
        return aios__sink_park(k, aios__now_ns(aios__ctx_env(s->p->ctx)) + left);
    struct timespec ts = {.tv_nsec = (long)(left < STEP_NS ? left : STEP_NS)};
    nanosleep(&ts, NULL);
    return left <= STEP_NS ? AIOS_OK : AIOS_AGAIN;
}

static int finish(const aios__json *e, const aios_sink *sink, aios_error *err)
{
    const char *reason = aios__json_str(aios__json_get(e, "done"), NULL);
    if (!reason)
        return fail_recorded(e, err);
    int rc = sink->stop(sink->user, reason);
    return rc ? rc : AIOS_DONE;
}

static int replay_step(void *session, const aios_sink *sink, aios_error *err)
{
    playing *s = session;
    if (atomic_load(&s->cancel))
        return aios__fail(err, AIOS_ECANCELED, "the turn was cancelled");
    if (!s->end)
        return AIOS_DONE;
    if (s->at == aios__json_count(s->events)) {
        int rc = finish(s->end, sink, err);
        end_turn(s);
        return rc;
    }
    const aios__json *e = aios__json_at(s->events, s->at);
    int rc = await_time(s, e, sink);
    if (rc)
        return rc;
    uint32_t attempt = uint_of(e, "attempt");
    bool again = attempt != s->attempt && s->at;
    if (again && !(AIOS_HAS(sink, restart) && sink->restart))
        return aios__fail(err, AIOS_ENOTSUP, "replay: the recorded reply begins again, which whoever receives it knows nothing of");
    if (again)
        rc = sink->restart(sink->user);
    s->attempt = attempt;
    s->at++;
    rc = rc ? rc : send(e, sink, err);
    return rc ? rc : AIOS_AGAIN;
}

static void replay_cancel(void *session)
{
    atomic_store(&((playing *)session)->cancel, 1);
}

static int replay_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    aios__json_doc *doc = NULL;
    int rc = find(((playing *)session)->p, req, false, &doc, err);
    const aios__json *events = rc ? NULL : aios__json_get(aios__json_root(doc), "events");
    const aios__json *usage = NULL;
    for (size_t i = 0; i < aios__json_count(events); i++) {
        const aios__json *u = aios__json_get(aios__json_at(events, i), "usage");
        usage = u ? u : usage;
    }
    if (!rc && !usage)
        rc = aios__fail(err, AIOS_ENOTSUP, "replay: nobody counted the tokens of this request when it was recorded");
    *n = rc ? 0 : uint_of(usage, "input");
    aios__json_free(doc);
    return rc;
}

int aios__backend_replay_init(aios_ctx *ctx, aios_error *err)
{
    const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = "replay",
        .open = replay_open,
        .close = replay_close,
        .info = replay_info,
        .session_new = replay_session_new,
        .session_free = replay_session_free,
        .start = replay_start,
        .step = replay_step,
        .cancel = replay_cancel,
        .count = replay_count,
    };
    return aios_backend_register(ctx, &ops, NULL, err);
}
