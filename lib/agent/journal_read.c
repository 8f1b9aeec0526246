/* SPDX-License-Identifier: Apache-2.0 */
/* Journals as they are read: records checked for their form, and how a run stands. What a store gives is input as any other. */
#include <stdio.h>

#include "agent/agent_priv.h"

#define MAX_STEP (UINT64_C(1) << 31)

static const char *const kind_names[] = {
    NULL,
#define X(name, number, text) [number] = (text),
    AIOS__JOURNAL_KINDS(X)
#undef X
};

const char *aios__journal_kind_name(enum aios__journal_kind kind)
{
    return (size_t)kind < AIOS__ARRAY_LEN(kind_names) ? kind_names[kind] : NULL;
}

int aios__journal_bad(const aios__journal_record *rec, const char *what, aios_error *err)
{
    return aios__fail(err, AIOS_EFORMAT, "%s, record %llu (%s): %s", rec->stream, (unsigned long long)rec->seq, kind_names[rec->kind], what);
}

int aios__journal_number(const aios__journal_record *rec, const char *key, uint64_t max, uint64_t *out, aios_error *err)
{
    int64_t x = aios__json_int(aios__json_get(rec->root, key), -1);
    if (x < 0 || (uint64_t)x > max) {
        char what[96];
        snprintf(what, sizeof what, "\"%s\" must be a whole number of at most %llu", key, (unsigned long long)max);
        return aios__journal_bad(rec, what, err);
    }
    *out = (uint64_t)x;
    return AIOS_OK;
}

int aios__journal_hex(const aios__journal_record *rec, const char *key, uint64_t *out, aios_error *err)
{
    size_t n = 0, i = 0;
    const char *s = aios__json_str(aios__json_get(rec->root, key), &n), *hex = "0123456789abcdef";
    uint64_t x = 0;
    for (; s && n <= 16 && i < n && strchr(hex, s[i]); i++)
        x = x << 4 | (uint64_t)(strchr(hex, s[i]) - hex);
    if (!s || !n || i < n) {
        char what[96];
        snprintf(what, sizeof what, "\"%s\" must be 1 to 16 hexadecimal digits", key);
        return aios__journal_bad(rec, what, err);
    }
    *out = x;
    return AIOS_OK;
}

const char *aios__journal_parent(const aios__journal_record *begin)
{
    const char *s = aios__json_str(aios__json_get(begin->root, "parent"), NULL);
    return s ? s : "";
}

/* ---- each record -------------------------------------------------------------------------------------------------- */

typedef struct reading {
    aios__heap *heap;
    const char *stream;
    aios__journal_fn *fn;
    void *user;
    uint64_t n;
    aios_error err;
} reading;

static int check_place(aios__journal_record *rec, aios_error *err)
{
    uint64_t step = 0, call = 0;
    bool has_call = rec->kind == AIOS__JOURNAL_ASK || rec->kind == AIOS__JOURNAL_DECISION || rec->kind == AIOS__JOURNAL_RESULT;
    bool has_step = has_call || rec->kind == AIOS__JOURNAL_TURN || rec->kind == AIOS__JOURNAL_CONTEXT || rec->kind == AIOS__JOURNAL_INTENT;
    int rc = has_step ? aios__journal_number(rec, "step", MAX_STEP, &step, err) : AIOS_OK;
    if (!rc && has_call)
        rc = aios__journal_number(rec, "call", UINT32_MAX, &call, err);
    rec->step = (uint32_t)step;
    rec->call = (uint32_t)call;
    return rc;
}

static int check_record(const reading *g, const aios_record *r, const aios__json *root, aios__journal_record *rec, aios_error *err)
{
    int64_t v = aios__json_int(aios__json_get(root, "v"), -1);
    *rec = (aios__journal_record){.kind = r->kind, .seq = r->seq, .wall_us = r->wall_us, .stream = g->stream, .root = root};
    if (v > AIOS__JOURNAL_VERSION || r->kind >= AIOS__ARRAY_LEN(kind_names) || (r->kind && !kind_names[r->kind]))
        return aios__fail_need(err, AIOS_EVERSION, AIOS__JOURNAL_VERSION, v > 0 ? (uint64_t)v : 0,
                               "%s, record %llu is of a newer libaios (kind %u, version %lld): update it", g->stream, (unsigned long long)r->seq, r->kind,
                               (long long)v);
    if (v < 1 || !r->kind)
        return aios__fail(err, AIOS_EFORMAT, "%s, record %llu is none of a run's journal", g->stream, (unsigned long long)r->seq);
    if ((g->n == 0) != (rec->kind == AIOS__JOURNAL_BEGIN))
        return aios__journal_bad(rec, g->n ? "a journal begins once" : "a journal does not begin so", err);
    return check_place(rec, err);
}

static int read_record(void *user, const aios_record *r)
{
    reading *g = user;
    aios__json_doc *doc;
    aios__journal_record rec;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__json_parse(g->heap, r->data, r->n_data, &doc, &why);
    if (rc)
        return aios__fail(&g->err, rc, "%s, record %llu: %s", g->stream, (unsigned long long)r->seq, why.msg);
    rc = check_record(g, r, aios__json_root(doc), &rec, &g->err);
    if (!rc)
        rc = g->fn(g->user, &rec, &g->err);
    aios__json_free(doc);
    g->n++;
    return rc;
}

int aios__journal_each(aios_ctx *ctx, aios_store *st, const char *stream, aios__journal_fn *fn, void *user, aios_error *err)
{
    reading g = {.heap = aios__ctx_heap(ctx), .stream = stream, .fn = fn, .user = user, .err = AIOS_INIT(aios_error)};
    int rc = aios_store_read(st, stream, 0, read_record, &g, err);
    if (rc && g.err.code == rc)
        aios__error_copy(err, &g.err);
    if (!rc && !g.n)
        return aios__fail(err, AIOS_ENOENT, "the store has no run \"%.64s\"", stream + strlen(AIOS__RUN_STREAM));
    return rc;
}

/* ---- how a run stands --------------------------------------------------------------------------------------------- */

enum { CALL_NEW, CALL_ASKS, CALL_MAY, CALL_BEGUN, CALL_OVER };

typedef struct standing {
    aios__heap *heap;
    aios_run_info info;
    uint32_t step, n_calls, cap;
    uint8_t *calls; /* of the step */
} standing;

static void copy_text(char *out, size_t n, const char *s)
{
    size_t len = s ? strlen(s) : 0;
    len = len < n ? len : n - 1;
    len = aios__utf8_whole(s ? s : "", len);
    memcpy(out, s ? s : "", len);
    out[len] = 0;
}

static int read_counters(standing *w, const aios__journal_record *rec, aios_error *err)
{
    uint64_t turns = 0, calls = 0, tokens = 0, used = 0;
    int rc = aios__journal_number(rec, "turns", UINT32_MAX, &turns, err);
    rc = rc ? rc : aios__journal_number(rec, "calls", UINT32_MAX, &calls, err);
    rc = rc ? rc : aios__journal_number(rec, "tokens", INT64_MAX, &tokens, err);
    rc = rc ? rc : aios__journal_number(rec, "used_ns", INT64_MAX, &used, err);
    aios__ledger spent = {0};
    rc = rc ? rc : aios__ledger_read(rec, &spent, err);
    w->info.cost_micros = spent.cost_micros;
    w->info.n_input = spent.n_input;
    w->info.n_cached = spent.n_cached;
    w->info.n_turns = (uint32_t)turns;
    w->info.n_calls = (uint32_t)calls;
    w->info.n_tokens = tokens;
    w->info.used_ns = (int64_t)used;
    return rc;
}

static int take_begin(standing *w, const aios__journal_record *rec, aios_error *err)
{
    AIOS__UNUSED(err);
    copy_text(w->info.model, sizeof w->info.model, aios__json_str(aios__json_get(rec->root, "model"), NULL));
    copy_text(w->info.parent, sizeof w->info.parent, aios__journal_parent(rec));
    w->info.began_us = rec->wall_us;
    return AIOS_OK;
}

static int take_claim(standing *w, const aios__journal_record *rec, aios_error *err)
{
    w->info.n_resumes++;
    w->info.code = AIOS_OK;
    w->info.msg[0] = 0;
    w->info.state = AIOS_RUN_MODEL;
    return read_counters(w, rec, err);
}

static size_t count_calls(const aios__json *said)
{
    const aios__json *parts = aios__json_get(aios__json_at(aios__json_get(said, "entries"), 0), "parts");
    size_t n = 0;
    for (size_t i = 0; i < aios__json_count(parts); i++) {
        const char *kind = aios__json_str(aios__json_get(aios__json_at(parts, i), "kind"), NULL);
        n += kind && !strcmp(kind, "call");
    }
    return n;
}

static int take_turn(standing *w, const aios__journal_record *rec, aios_error *err)
{
    size_t n = count_calls(aios__json_get(rec->root, "said"));
    if (n > w->cap) {
        uint8_t *p = aios__realloc(w->heap, AIOS_MEM_OTHER, w->calls, n, err);
        if (!p)
            return aios__nomem(err);
        w->calls = p;
        w->cap = (uint32_t)n;
    }
    if (n)
        memset(w->calls, CALL_NEW, n);
    w->n_calls = (uint32_t)n;
    w->step = rec->step;
    return read_counters(w, rec, err);
}

static int set_call(standing *w, const aios__journal_record *rec, uint64_t call, uint8_t state, aios_error *err)
{
    if (rec->step != w->step || call >= w->n_calls)
        return aios__journal_bad(rec, "it is of a call that the turn before did not make", err);
    w->calls[call] = state;
    return AIOS_OK;
}

static int take_intent(standing *w, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *due = aios__json_get(rec->root, "due");
    int rc = AIOS_OK;
    for (size_t i = 0; i < aios__json_count(due) && !rc; i++) {
        int64_t call = aios__json_int(aios__json_get(aios__json_at(due, i), "call"), -1);
        rc = set_call(w, rec, call < 0 ? UINT64_MAX : (uint64_t)call, CALL_BEGUN, err);
    }
    const aios__json *none = aios__json_get(rec->root, "void");
    for (size_t i = 0; i < aios__json_count(none) && !rc; i++) {
        int64_t call = aios__json_int(aios__json_at(none, i), -1);
        rc = set_call(w, rec, call < 0 ? UINT64_MAX : (uint64_t)call, CALL_MAY, err);
    }
    return rc;
}

static int take_ask(standing *w, const aios__journal_record *rec, aios_error *err)
{
    return set_call(w, rec, rec->call, CALL_ASKS, err);
}

static int take_decision(standing *w, const aios__journal_record *rec, aios_error *err)
{
    return set_call(w, rec, rec->call, CALL_MAY, err);
}

static int take_result(standing *w, const aios__journal_record *rec, aios_error *err)
{
    int rc = aios__json_get(rec->root, "turns") ? read_counters(w, rec, err) : AIOS_OK;
    return rc ? rc : set_call(w, rec, rec->call, CALL_OVER, err);
}

static int take_context(standing *w, const aios__journal_record *rec, aios_error *err)
{
    w->n_calls = 0; /* those of the turn before are over */
    return read_counters(w, rec, err);
}

static int take_handoff(standing *w, const aios__journal_record *rec, aios_error *err)
{
    AIOS__UNUSED(w);
    AIOS__UNUSED(rec);
    AIOS__UNUSED(err);
    return AIOS_OK;
}

static int take_end(standing *w, const aios__journal_record *rec, aios_error *err)
{
    int64_t code = aios__json_int(aios__json_get(rec->root, "code"), 1);
    if (code > 0 || code < INT32_MIN)
        return aios__journal_bad(rec, "\"code\" must be 0 or a failure's", err);
    w->info.code = (int32_t)code;
    w->info.state = code ? AIOS_RUN_STOPPED : AIOS_RUN_DONE;
    copy_text(w->info.msg, sizeof w->info.msg, code ? aios__json_str(aios__json_get(rec->root, "why"), NULL) : NULL);
    return read_counters(w, rec, err);
}

static int take_extract(standing *w, const aios__journal_record *rec, aios_error *err)
{
    return read_counters(w, rec, err);
}

static int take_record(void *user, const aios__journal_record *rec, aios_error *err)
{
    static int (*const take[])(standing *, const aios__journal_record *, aios_error *) = {
        [AIOS__JOURNAL_BEGIN] = take_begin, [AIOS__JOURNAL_CLAIM] = take_claim,       [AIOS__JOURNAL_TURN] = take_turn,
        [AIOS__JOURNAL_INTENT] = take_intent, [AIOS__JOURNAL_ASK] = take_ask,         [AIOS__JOURNAL_DECISION] = take_decision,
        [AIOS__JOURNAL_RESULT] = take_result, [AIOS__JOURNAL_END] = take_end,         [AIOS__JOURNAL_EXTRACT] = take_extract,
        [AIOS__JOURNAL_CONTEXT] = take_context,
        [AIOS__JOURNAL_HANDOFF] = take_handoff,
    };
    standing *w = user;
    w->info.changed_us = rec->wall_us;
    w->info.n_records++;
    return take[rec->kind](w, rec, err);
}

static void count_open(standing *w)
{
    uint32_t n_open = 0;
    for (uint32_t i = 0; i < w->n_calls; i++) {
        w->info.n_asks += w->calls[i] == CALL_ASKS;
        w->info.n_unknown += w->calls[i] == CALL_BEGUN;
        n_open += w->calls[i] != CALL_OVER;
    }
    if (w->info.state == AIOS_RUN_MODEL && n_open)
        w->info.state = w->info.n_asks ? AIOS_RUN_ASK : AIOS_RUN_TOOLS;
}

/* Fails where the store does; a journal that is damaged is a state of the run. */
static int stand(aios_ctx *ctx, aios_store *st, const char *id, aios_run_info *out, aios_error *err)
{
    char stream[sizeof AIOS__RUN_STREAM + AIOS__RUN_ID];
    standing w = {.heap = aios__ctx_heap(ctx), .info = AIOS_INIT(aios_run_info)};
    aios_error why = AIOS_INIT(aios_error);
    snprintf(stream, sizeof stream, AIOS__RUN_STREAM "%s", id);
    snprintf(w.info.id, sizeof w.info.id, "%s", id);
    w.info.state = AIOS_RUN_MODEL;
    int rc = aios__journal_each(ctx, st, stream, take_record, &w, &why);
    if (rc == AIOS_EFORMAT || rc == AIOS_EVERSION) {
        w.info.state = AIOS_RUN_DAMAGED;
        w.info.code = rc;
        copy_text(w.info.msg, sizeof w.info.msg, why.msg);
        rc = AIOS_OK;
    } else if (!rc) {
        count_open(&w);
    }
    aios__free(w.heap, w.calls);
    *out = w.info;
    return rc ? aios__error_copy(err, &why), rc : AIOS_OK;
}

int aios_run_info_get(aios_ctx *ctx, aios_store *st, const char *id, aios_run_info *out, aios_error *err)
{
    aios_run_info info;
    if (!ctx || !st || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_run_info_get: %s is NULL", !ctx ? "ctx" : !st ? "store" : "out");
    if (!aios__run_id_ok(id))
        return aios__fail(err, AIOS_EINVAL, "run id \"%.80s\": it must match [A-Za-z0-9_.:-]{1,64}", id ? id : "");
    int rc = stand(ctx, st, id, &info, err);
    return rc ? rc : aios__struct_out(out, &info, sizeof info);
}

typedef struct listing {
    aios_ctx *ctx;
    aios_store *st;
    aios_run_fn *fn;
    void *user;
    int stopped;
    aios_error err;
} listing;

static int list_run(void *user, const aios_stream *s)
{
    listing *l = user;
    aios_run_info info;
    const char *id = s->name + strlen(AIOS__RUN_STREAM);
    if (!aios__run_id_ok(id))
        return AIOS_OK; /* a stream that is no run's */
    int rc = stand(l->ctx, l->st, id, &info, &l->err);
    if (rc)
        return rc == AIOS_ENOENT ? AIOS_OK : rc; /* removed meanwhile */
    l->stopped = l->fn(l->user, &info);
    return l->stopped ? AIOS_DONE : AIOS_OK;
}

int aios_run_list(aios_ctx *ctx, aios_store *st, aios_run_fn *fn, void *user, aios_error *err)
{
    listing l = {.ctx = ctx, .st = st, .fn = fn, .user = user, .err = AIOS_INIT(aios_error)};
    if (!ctx || !st || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_run_list: %s is NULL", !ctx ? "ctx" : !st ? "store" : "fn");
    int rc = aios_store_list(st, AIOS__RUN_STREAM, list_run, &l, err);
    if (rc && l.err.code == rc)
        aios__error_copy(err, &l.err);
    return rc ? rc : l.stopped;
}
