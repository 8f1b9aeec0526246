/* SPDX-License-Identifier: Apache-2.0 */
/* A run told again from its journal: each record, and the events that the run gave there. */
#include <stdio.h>

#include "agent/agent_priv.h"

/* A call of the turn. */
typedef struct played {
    const char *id, *name; /* of the transcript */
    const char *args;      /* likewise, or raw */
    size_t n_args;
    char *raw;             /* what the model wrote, where the transcript has it otherwise */
    char run[AIOS__RUN_ID]; /* of the agent that was called; "": none, or it has no store */
    bool over;
} played;

typedef struct replaying {
    aios__heap *heap;
    aios_ctx *ctx;
    aios_step_fn *fn;
    void *user;
    aios_transcript *said; /* one entry: the turn's */
    aios_entry entry;
    aios__buf text, reasoning;
    played *calls;
    uint32_t n_calls, cap_calls;
    aios_event *events;
    uint32_t n_events, cap_events;
    uint64_t seq;
    char word[32];      /* of a record: a name, or a number */
    aios_error failure; /* how the run ended */
    aios_run_step step;
    int stopped;
} replaying;

/* ---- events ------------------------------------------------------------------------------------------------------- */

static aios_event *add_event(replaying *p, int32_t type, const char *text, size_t n, aios_error *err)
{
    if (p->n_events == p->cap_events) {
        uint32_t cap = p->cap_events ? p->cap_events * 2 : 8;
        aios_event *bigger = aios__realloc(p->heap, AIOS_MEM_OTHER, p->events, cap * sizeof *bigger, err);
        if (!bigger)
            return NULL;
        p->events = bigger;
        p->cap_events = cap;
    }
    aios_event *ev = &p->events[p->n_events++];
    *ev = (aios_event)AIOS_INIT(aios_event);
    ev->type = type;
    ev->seq = p->seq++;
    ev->step = p->step.turn;
    ev->text = text ? text : "";
    ev->n_text = n;
    ev->label = p->entry.label;
    return ev;
}

static int add_state(replaying *p, const char *name, aios_error *err)
{
    aios_event *ev = add_event(p, AIOS_EVENT_STATE, name, strlen(name), err);
    if (!ev)
        return aios__nomem(err);
    ev->label = (aios_label){.integrity = AIOS_LABEL_SYSTEM};
    return AIOS_OK;
}

static int add_call_event(replaying *p, int32_t type, const played *c, aios_error *err)
{
    aios_event *ev = add_event(p, type, c->args, c->n_args, err);
    if (!ev)
        return aios__nomem(err);
    ev->name = c->name;
    ev->call_id = c->id;
    return AIOS_OK;
}

static int add_result(replaying *p, const played *c, int32_t code, const char *text, size_t n, aios_error *err)
{
    aios_event *ev = add_event(p, AIOS_EVENT_RESULT, text, n, err);
    if (!ev)
        return aios__nomem(err);
    ev->name = c->name;
    ev->call_id = c->id;
    ev->code = code;
    return AIOS_OK;
}

static int tell(replaying *p)
{
    p->step.events = p->events;
    p->step.n_events = p->n_events;
    p->stopped = p->fn(p->user, &p->step);
    return p->stopped ? AIOS_DONE : AIOS_OK;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static int read_counters(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    uint64_t used = 0;
    int rc = aios__journal_number(rec, "used_ns", INT64_MAX, &used, err);
    p->step.used_ns = (int64_t)used;
    return rc ? rc : aios__journal_number(rec, "tokens", INT64_MAX, &p->step.n_tokens, err);
}

/* The call that a record is of, which becomes the step's. */
static played *find_call(replaying *p, const aios__journal_record *rec, int64_t i, aios_error *err)
{
    if (rec->step != p->step.turn || i < 0 || i >= (int64_t)p->n_calls) {
        aios__journal_bad(rec, "it is of a call that the turn before did not make", err);
        return NULL;
    }
    p->step.call_id = p->calls[i].id;
    p->step.name = p->calls[i].name;
    p->step.run = p->calls[i].run[0] ? p->calls[i].run : NULL;
    return &p->calls[i];
}

static int play_begin(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *entries = aios__json_get(aios__json_get(rec->root, "transcript"), "entries"), *parts = NULL;
    size_t n = 0;
    for (size_t i = 0; i < aios__json_count(entries); i++) {
        const aios__json *e = aios__json_at(entries, i);
        const char *role = aios__json_str(aios__json_get(e, "role"), NULL);
        if (role && !strcmp(role, "user"))
            parts = aios__json_get(e, "parts");
    }
    const char *text = aios__json_str(aios__json_get(aios__json_at(parts, 0), "text"), &n);
    p->step.name = aios__json_str(aios__json_get(rec->root, "model"), NULL);
    p->step.text = text ? text : "";
    p->step.n_text = text ? n : 0;
    p->step.used_ns = 0;
    AIOS__UNUSED(err);
    return tell(p);
}

static int play_resume(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    int rc = read_counters(p, rec, err);
    rc = rc ? rc : add_state(p, "resume", err);
    return rc ? rc : tell(p);
}

static void clear_calls(replaying *p)
{
    for (uint32_t i = 0; i < p->n_calls; i++)
        aios__free(p->heap, p->calls[i].raw);
    p->n_calls = 0;
}

static int push_call(replaying *p, const aios__journal_record *rec, const aios_part *part, aios_error *err)
{
    char key[16];
    size_t n = 0;
    if (!part->name || !part->call_id)
        return aios__journal_bad(rec, "a call has no name or id", err);
    if (p->n_calls == p->cap_calls) {
        uint32_t cap = p->cap_calls ? p->cap_calls * 2 : 4;
        played *bigger = aios__realloc(p->heap, AIOS_MEM_OTHER, p->calls, cap * sizeof *bigger, err);
        if (!bigger)
            return aios__nomem(err);
        p->calls = bigger;
        p->cap_calls = cap;
    }
    played c = {.id = part->call_id, .name = part->name, .args = part->text, .n_args = part->n_text};
    snprintf(key, sizeof key, "%u", p->n_calls);
    const char *raw = aios__json_str(aios__json_get(aios__json_get(rec->root, "raw"), key), &n);
    if (raw) {
        c.args = c.raw = aios__strndup(p->heap, AIOS_MEM_TEXT, raw, n, err);
        c.n_args = n;
        if (!c.raw)
            return aios__nomem(err);
    }
    p->calls[p->n_calls++] = c;
    return AIOS_OK;
}

static int read_parts(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < p->entry.n_parts && !rc; i++) {
        const aios_part *part = &p->entry.parts[i];
        if (part->kind == AIOS_PART_CALL)
            rc = push_call(p, rec, part, err);
        else if (part->kind == AIOS_PART_TEXT || part->kind == AIOS_PART_REASONING)
            rc = aios__buf_add(part->kind == AIOS_PART_TEXT ? &p->text : &p->reasoning, part->text, part->n_text, err);
    }
    return rc;
}

/* The reply, in a transcript of its own. */
static int read_reply(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    clear_calls(p);
    aios__buf_clear(&p->text);
    aios__buf_clear(&p->reasoning);
    aios_transcript_free(p->said);
    p->said = NULL;
    p->entry = (aios_entry)AIOS_INIT(aios_entry);
    int rc = aios_transcript_new(p->ctx, &p->said, err);
    rc = rc ? rc : aios__transcript_add_json(p->said, aios__json_get(rec->root, "said"), err);
    if (rc)
        return rc;
    if (aios_transcript_count(p->said) != 1 || aios_transcript_at(p->said, 0, &p->entry) || p->entry.role != AIOS_ROLE_ASSISTANT)
        return aios__journal_bad(rec, "\"said\" must be one entry of the assistant", err);
    return read_parts(p, rec, err);
}

static int play_turn(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    p->step.turn = rec->step;
    int rc = read_counters(p, rec, err);
    rc = rc ? rc : read_reply(p, rec, err);
    rc = rc ? rc : add_state(p, "model", err);
    if (!rc && p->reasoning.n && !add_event(p, AIOS_EVENT_REASONING, p->reasoning.p, p->reasoning.n, err))
        rc = aios__nomem(err);
    if (!rc && p->text.n && !add_event(p, AIOS_EVENT_TEXT, p->text.p, p->text.n, err))
        rc = aios__nomem(err);
    if (!rc && p->n_calls)
        rc = add_state(p, "tools", err);
    for (uint32_t i = 0; i < p->n_calls && !rc; i++)
        rc = add_call_event(p, AIOS_EVENT_CALL, &p->calls[i], err);
    return rc ? rc : tell(p);
}

static int play_due(replaying *p, const aios__journal_record *rec, const aios__json *due, aios_error *err)
{
    played *c = find_call(p, rec, aios__json_int(aios__json_get(due, "call"), -1), err);
    const char *run = aios__json_str(aios__json_get(due, "run"), NULL);
    if (!c)
        return AIOS_EFORMAT;
    if (run && !aios__run_id_ok(run))
        return aios__journal_bad(rec, "\"run\" of a call is no id", err);
    if (run)
        snprintf(c->run, sizeof c->run, "%s", run);
    p->step.run = c->run[0] ? c->run : NULL;
    return tell(p);
}

/* One that was about to happen, and did not. */
static int play_void(replaying *p, const aios__journal_record *rec, const aios__json *call, aios_error *err)
{
    played *c = find_call(p, rec, aios__json_int(call, -1), err);
    if (!c)
        return AIOS_EFORMAT;
    p->step.code = AIOS_ECANCELED;
    p->step.run = NULL;
    c->run[0] = 0;
    return tell(p);
}

static int play_intent(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *due = aios__json_get(rec->root, "due"), *none = aios__json_get(rec->root, "void");
    int rc = AIOS_OK;
    for (size_t i = 0; i < aios__json_count(due) && !rc; i++)
        rc = play_due(p, rec, aios__json_at(due, i), err);
    for (size_t i = 0; i < aios__json_count(none) && !rc; i++)
        rc = play_void(p, rec, aios__json_at(none, i), err);
    return rc;
}

static int play_ask(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    played *c = find_call(p, rec, rec->call, err);
    int rc = c ? add_call_event(p, AIOS_EVENT_ASK, c, err) : AIOS_EFORMAT;
    if (rc)
        return rc;
    p->events[0].digest = aios__json_str(aios__json_get(rec->root, "digest"), NULL);
    return tell(p);
}

static int play_decision(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    const char *verdict = aios__json_str(aios__json_get(rec->root, "verdict"), NULL);
    if (!find_call(p, rec, rec->call, err))
        return AIOS_EFORMAT;
    if (!verdict || (strcmp(verdict, "allow") && strcmp(verdict, "deny")))
        return aios__journal_bad(rec, "\"verdict\" must be allow or deny", err);
    p->step.code = *verdict == 'a' ? AIOS_ALLOW : AIOS_DENY;
    return tell(p);
}

static int play_result(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    size_t n = 0;
    const char *text = aios__json_str(aios__json_get(rec->root, "text"), &n);
    int64_t status = aios__json_int(aios__json_get(rec->root, "status"), 1);
    played *c = find_call(p, rec, rec->call, err);
    if (!c)
        return AIOS_EFORMAT;
    if (!text || status > 0 || status < INT32_MIN)
        return aios__journal_bad(rec, "its text or status is missing or out of range", err);
    c->over = true;
    p->step.code = (int32_t)status;
    p->step.text = text;
    p->step.n_text = n;
    int rc = add_result(p, c, (int32_t)status, text, n, err);
    if (rc)
        return rc;
    aios_label *l = &p->events[0].label;
    l->integrity = (int32_t)aios__json_int(aios__json_get(rec->root, "integrity"), AIOS_LABEL_UNTRUSTED);
    l->confidentiality = 0;
    rc = aios__json_get(rec->root, "confidentiality") ? aios__journal_hex(rec, "confidentiality", &l->confidentiality, err) : AIOS_OK;
    return rc ? rc : tell(p);
}

/* Calls that were open have no receipt: the run that stopped told them so. */
static int close_calls(replaying *p, int32_t code, aios_error *err)
{
    static const char plain[] = "error: cancelled", over[] = "error: cancelled: the time of the run is over";
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < p->n_calls && !rc; i++)
        if (!p->calls[i].over)
            rc = add_result(p, &p->calls[i], AIOS_ECANCELED, code == AIOS_ETIMEDOUT ? over : plain,
                            code == AIOS_ETIMEDOUT ? sizeof over - 1 : sizeof plain - 1, err);
    return rc;
}

static int play_end(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    size_t n = 0;
    int64_t code = aios__json_int(aios__json_get(rec->root, "code"), 1);
    const char *why = aios__json_str(aios__json_get(rec->root, "why"), &n);
    if (code > 0 || code < INT32_MIN || !why)
        return aios__journal_bad(rec, "\"code\" must be 0 or a failure's, with \"why\"", err);
    p->step.code = (int32_t)code;
    p->step.text = code ? why : "";
    p->step.n_text = code ? n : 0;
    int rc = read_counters(p, rec, err);
    rc = rc || !code ? rc : close_calls(p, (int32_t)code, err);
    aios_event *ev = rc ? NULL : add_event(p, code ? AIOS_EVENT_ERROR : AIOS_EVENT_DONE, code ? "" : p->text.p, code ? 0 : p->text.n, err);
    if (!ev)
        return rc ? rc : aios__nomem(err);
    p->failure = (aios_error)AIOS_INIT(aios_error);
    if (code)
        aios__fail(&p->failure, (int)code, "%s", why);
    ev->error = code ? &p->failure : NULL;
    ev->name = code ? aios_code_name((int)code) : why;
    return tell(p);
}

/* By hosts, also of runs that are over. */
static int play_extract(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    double bits = aios__json_real(aios__json_get(rec->root, "endorsed"), -1);
    if (!(bits >= 0))
        return aios__journal_bad(rec, "\"endorsed\" must be a number of bits", err);
    p->step.name = aios__journal_kind_name(rec->kind);
    p->step.text = p->word;
    p->step.n_text = (size_t)snprintf(p->word, sizeof p->word, "%.17g", bits);
    int rc = read_counters(p, rec, err);
    return rc ? rc : tell(p);
}

static int play_handoff(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    const char *to = aios__json_str(aios__json_get(rec->root, "to"), NULL), *model = aios__json_str(aios__json_get(rec->root, "model"), NULL);
    if (!to || !model)
        return aios__journal_bad(rec, "\"to\" or \"model\" is missing", err);
    int rc = add_state(p, "handoff", err);
    if (rc)
        return rc;
    p->events[0].name = p->step.name = to;
    p->events[0].step = p->step.turn + 1; /* the next turn is the other's */
    p->step.text = model;
    p->step.n_text = strlen(model);
    return tell(p);
}

/* How: a member of the part, in letters. */
static int read_how(replaying *p, const aios__journal_record *rec, const aios_part *part, aios_error *err)
{
    aios__json_doc *doc;
    size_t n = 0;
    int rc = aios__json_parse(p->heap, part->text, part->n_text, &doc, err);
    if (rc)
        return rc;
    const char *how = aios__json_str(aios__json_get(aios__json_root(doc), "policy"), &n);
    if (!how || !n || n >= sizeof p->word || strspn(how, "abcdefghijklmnopqrstuvwxyz") != n)
        rc = aios__journal_bad(rec, "\"context\" does not say by what policy", err);
    else
        memcpy(p->word, how, n + 1);
    aios__json_free(doc);
    return rc;
}

static int tell_context(replaying *p, const aios__journal_record *rec, const aios_transcript *t, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    if (aios_transcript_count(t) != 1 || aios_transcript_at(t, 0, &e) || !aios__entry_is_context(&e))
        return aios__journal_bad(rec, "\"context\" must be one entry with a context part", err);
    int rc = read_how(p, rec, &e.parts[0], err);
    aios_event *ev = rc ? NULL : add_event(p, AIOS_EVENT_CONTEXT, e.parts[0].text, e.parts[0].n_text, err);
    if (!ev)
        return rc ? rc : aios__nomem(err);
    ev->label = (aios_label){.integrity = AIOS_LABEL_SYSTEM};
    ev->name = p->step.name = p->word;
    if (e.n_parts > 1) {
        p->step.text = e.parts[1].text;
        p->step.n_text = e.parts[1].n_text;
    }
    return tell(p);
}

static int play_context(replaying *p, const aios__journal_record *rec, aios_error *err)
{
    aios_transcript *t = NULL;
    p->step.turn = rec->step;
    clear_calls(p); /* those of the turn before are over */
    int rc = read_counters(p, rec, err);
    rc = rc ? rc : aios_transcript_new(p->ctx, &t, err);
    rc = rc ? rc : aios__transcript_add_json(t, aios__json_get(rec->root, "context"), err);
    rc = rc ? rc : tell_context(p, rec, t, err);
    aios_transcript_free(t);
    return rc;
}

/* Of a kind that is not told: only that it is there. */
static int play_other(replaying *p, const aios__journal_record *rec)
{
    p->step.name = aios__journal_kind_name(rec->kind);
    return tell(p);
}

static int play_record(void *user, const aios__journal_record *rec, aios_error *err)
{
    static int (*const play[])(replaying *, const aios__journal_record *, aios_error *) = {
        [AIOS_STEP_BEGIN] = play_begin, [AIOS_STEP_RESUME] = play_resume,     [AIOS_STEP_TURN] = play_turn,     [AIOS_STEP_INTENT] = play_intent,
        [AIOS_STEP_ASK] = play_ask,     [AIOS_STEP_DECISION] = play_decision, [AIOS_STEP_RESULT] = play_result, [AIOS_STEP_END] = play_end,
        [AIOS_STEP_EXTRACT] = play_extract, [AIOS_STEP_HANDOFF] = play_handoff, [AIOS_STEP_CONTEXT] = play_context,
    };
    replaying *p = user;
    p->n_events = 0;
    p->step.kind = (int32_t)rec->kind;
    p->step.code = 0;
    p->step.record = rec->seq;
    p->step.wall_us = rec->wall_us;
    p->step.used_ns = -1;
    p->step.call_id = p->step.name = p->step.run = NULL;
    p->step.text = "";
    p->step.n_text = 0;
    bool known = (size_t)rec->kind < AIOS__ARRAY_LEN(play) && play[rec->kind];
    return known ? play[rec->kind](p, rec, err) : play_other(p, rec);
}

_Static_assert((int)AIOS_STEP_BEGIN == (int)AIOS__JOURNAL_BEGIN && (int)AIOS_STEP_RESUME == (int)AIOS__JOURNAL_CLAIM &&
                   (int)AIOS_STEP_TURN == (int)AIOS__JOURNAL_TURN && (int)AIOS_STEP_INTENT == (int)AIOS__JOURNAL_INTENT &&
                   (int)AIOS_STEP_ASK == (int)AIOS__JOURNAL_ASK && (int)AIOS_STEP_DECISION == (int)AIOS__JOURNAL_DECISION &&
                   (int)AIOS_STEP_RESULT == (int)AIOS__JOURNAL_RESULT && (int)AIOS_STEP_END == (int)AIOS__JOURNAL_END &&
                   (int)AIOS_STEP_EXTRACT == (int)AIOS__JOURNAL_EXTRACT && (int)AIOS_STEP_HANDOFF == (int)AIOS__JOURNAL_HANDOFF &&
                   (int)AIOS_STEP_CONTEXT == (int)AIOS__JOURNAL_CONTEXT,
               "steps have the numbers of their records");

int aios_run_replay(aios_ctx *ctx, aios_store *st, const char *id, aios_step_fn *fn, void *user, aios_error *err)
{
    char stream[sizeof AIOS__RUN_STREAM + AIOS__RUN_ID];
    if (!ctx || !st || !fn)
        return aios__fail(err, AIOS_EINVAL, "aios_run_replay: %s is NULL", !ctx ? "ctx" : !st ? "store" : "fn");
    if (!aios__run_id_ok(id))
        return aios__fail(err, AIOS_EINVAL, "run id \"%.80s\": it must match [A-Za-z0-9_.:-]{1,64}", id ? id : "");
    replaying p = {.heap = aios__ctx_heap(ctx), .ctx = ctx, .fn = fn, .user = user, .step = AIOS_INIT(aios_run_step)};
    p.step.event_stride = sizeof *p.events;
    aios__buf_init(&p.text, p.heap, AIOS_MEM_TEXT, 0);
    aios__buf_init(&p.reasoning, p.heap, AIOS_MEM_TEXT, 0);
    snprintf(stream, sizeof stream, AIOS__RUN_STREAM "%s", id);
    int rc = aios__journal_each(ctx, st, stream, play_record, &p, err);
    clear_calls(&p);
    aios__free(p.heap, p.calls);
    aios__free(p.heap, p.events);
    aios__buf_free(&p.text);
    aios__buf_free(&p.reasoning);
    aios_transcript_free(p.said);
    return rc ? rc : p.stopped;
}
