/* SPDX-License-Identifier: Apache-2.0 */
/* A run out of its journal: record for record as it was, then what was open at its end. */
#include <stdio.h>

#include "agent/agent_priv.h"

typedef struct restoring {
    aios_run *r;
    bool answered; /* the last turn made no calls */
    bool done;
} restoring;

/* ---- is it the same agent? ---------------------------------------------------------------------------------------- */

static bool same_text(const aios__json *a, const aios__json *b)
{
    const char *s = aios__json_str(a, NULL), *t = aios__json_str(b, NULL);
    return s && t && !strcmp(s, t);
}

static int other_agent(const aios_run *r, const char *what, const char *name, const char *how, aios_error *err)
{
    return aios__fail(err, AIOS_ESTATE,
                      "run %s was begun by another agent: %s%s%.64s%s; resume it with the one that began it, or allow the change "
                      "(AIOS_AGENT_CHANGED; the command: --changed)",
                      r->id, what, *name ? " " : "", name, how);
}

static int compare_tools(const aios_run *r, const aios__json *was, const aios__json *is, aios_error *err)
{
    const char *name;
    const aios__json *v;
    for (void *it = aios__json_iter(was, NULL, &name, &v); it; it = aios__json_iter(was, it, &name, &v)) {
        const aios__json *now = aios__json_get(is, name);
        if (!now)
            return other_agent(r, "its tool", name, " is gone", err);
        if (!same_text(now, v))
            return other_agent(r, "its tool", name, " is defined otherwise", err);
    }
    for (void *it = aios__json_iter(is, NULL, &name, &v); it; it = aios__json_iter(is, it, &name, &v))
        if (!aios__json_get(was, name))
            return other_agent(r, "the tool", name, " is new", err);
    return AIOS_OK;
}

static int compare_agent(const aios_run *r, const aios__json *was, const aios__json *is, aios_error *err)
{
    static const struct {
        const char *key, *what, *how;
    } parts[] = {{"instructions", "its instructions", " are other ones"},
                 {"schema", "its schema", " is another"},
                 {"sampling", "its sampling (temperature, top_k, top_p, min_p, penalty)", " is another"},
                 {"choice", "its choice of tools (required, named, one call, margin)", " is another"}};
    const char *model = aios__json_str(aios__json_get(was, "model"), NULL);
    if (!same_text(aios__json_get(was, "model"), aios__json_get(is, "model")))
        return other_agent(r, "its model", model ? model : "", " is another", err);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(parts); i++)
        if (!same_text(aios__json_get(was, parts[i].key), aios__json_get(is, parts[i].key)))
            return other_agent(r, parts[i].what, "", parts[i].how, err);
    const char *rules = aios__json_str(aios__json_get(was, "policy"), NULL), *now = aios__json_str(aios__json_get(is, "policy"), NULL);
    if (strcmp(rules ? rules : "", now ? now : ""))
        return other_agent(r, "its policy", "", !now ? " is gone" : rules ? " is another" : " is new", err);
    return compare_tools(r, aios__json_get(was, "tools"), aios__json_get(is, "tools"), err);
}

static int check_agent(const aios_run *r, const aios__json *was, aios_error *err)
{
    if (r->agent->flags & AIOS_AGENT_CHANGED)
        return AIOS_OK;
    aios__buf b;
    aios__json_doc *doc;
    aios__buf_init(&b, r->heap, AIOS_MEM_TEXT, 0);
    aios__buf_addf(&b, err, "{\"v\":%d", AIOS__JOURNAL_VERSION);
    aios__journal_add_agent(aios__handoff_agent(r), &b, err);
    int rc = aios__buf_addc(&b, '}', err);
    if (!rc)
        rc = aios__json_parse(r->heap, b.p, b.n, &doc, err);
    if (!rc) {
        rc = compare_agent(r, was, aios__json_root(doc), err);
        aios__json_free(doc);
    }
    aios__buf_free(&b);
    return rc;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static int read_nonce(aios_run *r, const aios__journal_record *rec, aios_error *err)
{
    size_t n = 0;
    const char *s = aios__json_str(aios__json_get(rec->root, "key"), &n), *hex = "0123456789abcdef";
    if (!s || n != 2 * sizeof r->nonce || strspn(s, hex) != n)
        return aios__journal_bad(rec, "\"key\" must be 32 hexadecimal digits", err);
    for (size_t i = 0; i < sizeof r->nonce; i++)
        r->nonce[i] = (uint8_t)((strchr(hex, s[2 * i]) - hex) << 4 | (strchr(hex, s[2 * i + 1]) - hex));
    return AIOS_OK;
}

/* A call goes on below its caller alone, whose policy, limits and labels it has. */
static int check_parent(const aios_run *r, const aios__journal_record *rec, aios_error *err)
{
    const char *was = aios__journal_parent(rec), *is = r->parent ? r->parent->id : "";
    if (!strcmp(was, is))
        return AIOS_OK;
    if (*was)
        return aios__fail(err, AIOS_ESTATE, "run %s is a call of run %.64s, whose policy holds for it too: resume that one, which goes on with this", r->id, was);
    return aios__fail(err, AIOS_ESTATE, "run %s was begun by nobody's call, so no call goes on with it", r->id);
}

static int restore_begin(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    aios_run *r = w->r;
    int rc = check_parent(r, rec, err);
    if (!rc)
        rc = read_nonce(r, rec, err);
    if (!rc)
        rc = aios__journal_hex(rec, "seed", &r->journal->seed, err);
    if (!rc)
        rc = check_agent(r, rec->root, err);
    if (!rc)
        rc = aios_transcript_new(r->agent->ctx, &r->t, err);
    r->own_t = r->t != NULL;
    if (!rc)
        rc = aios__transcript_add_json(r->t, aios__json_get(rec->root, "transcript"), err);
    if (!rc && !aios_transcript_count(r->t))
        return aios__journal_bad(rec, "it has no prompt", err);
    if (!rc)
        r->label = aios__label_of(r->t);
    return rc;
}

static int restore_counters(aios_run *r, const aios__journal_record *rec, aios_error *err)
{
    uint64_t turns = 0, calls = 0, used = 0;
    int rc = aios__journal_number(rec, "turns", UINT32_MAX, &turns, err);
    rc = rc ? rc : aios__journal_number(rec, "calls", UINT32_MAX, &calls, err);
    rc = rc ? rc : aios__journal_number(rec, "tokens", INT64_MAX, &r->n_tokens, err);
    rc = rc ? rc : aios__journal_number(rec, "used_ns", INT64_MAX, &used, err);
    rc = rc ? rc : aios__ledger_read(rec, &r->ledger, err);
    r->n_turns = (uint32_t)turns;
    r->n_calls = (uint32_t)calls;
    r->journal->used_ns = (int64_t)used;
    return rc;
}

static int restore_claim(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    return restore_counters(w->r, rec, err);
}

/* The reply: one entry behind those there are. */
static int restore_reply(aios_run *r, const aios__journal_record *rec, aios_entry *e, aios_error *err)
{
    r->mark = aios_transcript_count(r->t);
    int rc = aios__transcript_add_json(r->t, aios__json_get(rec->root, "said"), err);
    if (rc)
        return rc;
    if (aios_transcript_count(r->t) != r->mark + 1 || aios_transcript_at(r->t, r->mark, e) || e->role != AIOS_ROLE_ASSISTANT)
        return aios__journal_bad(rec, "\"said\" must be one entry of the assistant", err);
    r->label = aios__label_join(r->label, e->label);
    return AIOS_OK;
}

static int restore_calls(aios_run *r, const aios__journal_record *rec, const aios_entry *e, aios_error *err)
{
    const aios__json *raw = aios__json_get(rec->root, "raw");
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < e->n_parts && !rc; i++) {
        const aios_part *p = &e->parts[i];
        char key[16];
        size_t n = 0;
        if (p->kind != AIOS_PART_CALL)
            continue;
        if (!p->name || !p->call_id)
            return aios__journal_bad(rec, "a call has no name or id", err);
        snprintf(key, sizeof key, "%u", r->n_turn_calls);
        const char *args = aios__json_str(aios__json_get(raw, key), &n);
        aios_event ev = AIOS_INIT(aios_event);
        ev.name = p->name;
        ev.call_id = p->call_id;
        ev.text = args ? args : p->text;
        ev.n_text = args ? n : p->n_text;
        rc = aios__turn_push_call(r, &ev, err);
    }
    return rc;
}

static bool all_over(const aios_run *r)
{
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        if (r->calls[i].state != AIOS__RC_DONE)
            return false;
    return true;
}

/* What the calls of a turn took of the policy, in the order in which they took it. */
static int charge_turn(aios_run *r, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < r->n_turn_calls && !rc; i++)
        rc = aios__gate_charge(r, &r->calls[i], err);
    return rc;
}

static int restore_turn(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    aios_run *r = w->r;
    aios_entry e = AIOS_INIT(aios_entry);
    bool repeat;
    if (w->answered || (r->n_turn_calls && !all_over(r)))
        return aios__journal_bad(rec, "the turn before is not over", err);
    int rc = charge_turn(r, err);
    rc = rc || !r->n_turn_calls ? rc : aios__tools_next(r, err);
    if (!rc && rec->step != r->step)
        return aios__journal_bad(rec, "its step does not follow", err);
    if (!rc)
        rc = restore_reply(r, rec, &e, err);
    if (!rc)
        rc = restore_calls(r, rec, &e, err);
    if (!rc && r->n_turn_calls)
        rc = aios__turn_count_same(r, &repeat, err);
    int64_t choice = aios__json_int(aios__json_get(rec->root, "choice"), -1);
    if (!rc && (choice < AIOS_TOOLS_AUTO || choice > AIOS_TOOLS_NAMED))
        return aios__journal_bad(rec, "\"choice\" is none of tools", err);
    r->choice = (int32_t)choice;
    r->state = r->n_turn_calls ? AIOS__RUN_TOOLS : AIOS__RUN_PROMPT;
    w->answered = !r->n_turn_calls;
    rc = rc ? rc : aios__profile_read(r, rec->root, err);
    return rc ? rc : restore_counters(r, rec, err);
}

/* The call that a record is of; it must be open. */
static aios__run_call *find_call(const aios_run *r, const aios__journal_record *rec, int64_t i, aios_error *err)
{
    if (rec->step == r->step && i >= 0 && i < (int64_t)r->n_turn_calls && r->calls[i].state != AIOS__RC_DONE)
        return &r->calls[i];
    aios__journal_bad(rec, "it is of a call that is not open", err);
    return NULL;
}

/* Calls that an intent was of, and that did not begin. */
static int restore_void(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *list = aios__json_get(rec->root, "void");
    for (size_t i = 0; i < aios__json_count(list); i++) {
        aios__run_call *c = find_call(w->r, rec, aios__json_int(aios__json_at(list, i), -1), err);
        if (!c)
            return AIOS_EFORMAT;
        if (c->state != AIOS__RC_RECONCILE || c->tries != 1)
            return aios__journal_bad(rec, "a call in \"void\" was not about to begin for the first time", err);
        c->state = AIOS__RC_READY;
        c->tries = 0;
    }
    return AIOS_OK;
}

static int restore_intent(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *due = aios__json_get(rec->root, "due");
    for (size_t i = 0; i < aios__json_count(due); i++) {
        const aios__json *v = aios__json_at(due, i);
        int64_t effect = aios__json_int(aios__json_get(v, "effect"), -1), tries = aios__json_int(aios__json_get(v, "try"), -1);
        aios__run_call *c = find_call(w->r, rec, aios__json_int(aios__json_get(v, "call"), -1), err);
        if (!c)
            return AIOS_EFORMAT;
        if (effect < AIOS_EFFECT_UNSAFE || effect > AIOS_EFFECT_KEYED || tries < 1 || tries > INT32_MAX)
            return aios__journal_bad(rec, "\"effect\" or \"try\" is out of range", err);
        c->state = AIOS__RC_RECONCILE;
        c->effect = (int32_t)effect;
        c->tries = (uint32_t)tries;
        int rc = aios__journal_take_gate(w->r, c, rec, v, err);
        if (rc)
            return rc;
    }
    return restore_void(w, rec, err);
}

static int restore_ask(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    aios__run_call *c = find_call(w->r, rec, rec->call, err);
    if (!c)
        return AIOS_EFORMAT;
    c->state = AIOS__RC_ASK;
    int rc = aios__journal_take_gate(w->r, c, rec, rec->root, err);
    return rc ? rc : aios__journal_take_ask(w->r, c, rec, err);
}

static int restore_decision(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    const char *verdict = aios__json_str(aios__json_get(rec->root, "verdict"), NULL);
    aios__run_call *c = find_call(w->r, rec, rec->call, err);
    if (!c)
        return AIOS_EFORMAT;
    if (!verdict || (strcmp(verdict, "allow") && strcmp(verdict, "deny")))
        return aios__journal_bad(rec, "\"verdict\" must be allow or deny", err);
    if (c->state != AIOS__RC_ASK && c->state != AIOS__RC_RECONCILE)
        return aios__journal_bad(rec, "nobody asked about its call", err);
    if (!strcmp(verdict, "allow"))
        c->state = AIOS__RC_READY;
    else
        c->gate.answered = aios__json_get(rec->root, "unasked") ? AIOS_UNASKED : AIOS_DENY;
    return aios__journal_take_policy(w->r, c, rec, rec->root, err);
}

static int restore_result(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    size_t n = 0;
    const char *text = aios__json_str(aios__json_get(rec->root, "text"), &n);
    int64_t status = aios__json_int(aios__json_get(rec->root, "status"), 1), integrity = aios__json_int(aios__json_get(rec->root, "integrity"), -1);
    aios__run_call *c = find_call(w->r, rec, rec->call, err);
    if (!c)
        return AIOS_EFORMAT;
    if (!text || status > 0 || status < INT32_MIN || integrity < AIOS_LABEL_UNTRUSTED || integrity > AIOS_LABEL_SYSTEM)
        return aios__journal_bad(rec, "its text, status or integrity is missing or out of range", err);
    int rc = aios__json_get(rec->root, "confidentiality") ? aios__journal_hex(rec, "confidentiality", &c->label.confidentiality, err) : AIOS_OK;
    rc = rc ? rc : aios__journal_take_gate(w->r, c, rec, rec->root, err);
    rc = rc ? rc : aios__journal_take_hidden(w->r, c, rec, err);
    if (!rc && aios__json_get(rec->root, "turns"))
        rc = restore_counters(w->r, rec, err);
    if (rc)
        return rc;
    c->text = aios__strndup(w->r->heap, AIOS_MEM_TEXT, text, n, err);
    if (!c->text)
        return aios__nomem(err);
    c->n_text = n;
    c->status = (int32_t)status;
    c->label.integrity = (int32_t)integrity;
    c->state = AIOS__RC_DONE;
    return AIOS_OK;
}

/* Between two turns: what the model does not get from here on. */
static int restore_context(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    aios_run *r = w->r;
    aios_entry e = AIOS_INIT(aios_entry);
    if (w->answered || (r->n_turn_calls && !all_over(r)))
        return aios__journal_bad(rec, "the turn before is not over", err);
    int rc = charge_turn(r, err);
    rc = rc || !r->n_turn_calls ? rc : aios__tools_next(r, err);
    uint32_t n = aios_transcript_count(r->t);
    if (!rc && rec->step != r->step)
        return aios__journal_bad(rec, "its step does not follow", err);
    rc = rc ? rc : aios__transcript_add_json(r->t, aios__json_get(rec->root, "context"), err);
    if (rc)
        return rc;
    if (aios_transcript_count(r->t) != n + 1 || aios_transcript_at(r->t, n, &e) || !aios__entry_is_context(&e))
        return aios__journal_bad(rec, "\"context\" must be one entry with a context part", err);
    r->label = aios__label_join(r->label, e.label);
    aios__context_changed(r);
    r->state = AIOS__RUN_PROMPT;
    return restore_counters(r, rec, err);
}

static int restore_handoff(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    if (!w->r->n_turn_calls || !all_over(w->r))
        return aios__journal_bad(rec, "the turn before is not over", err);
    int rc = charge_turn(w->r, err);
    rc = rc ? rc : aios__handoff_restore(w->r, aios__json_str(aios__json_get(rec->root, "to"), NULL), err);
    return rc ? rc : check_agent(w->r, rec->root, err);
}

static int restore_end(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    const char *why = aios__json_str(aios__json_get(rec->root, "why"), NULL);
    w->done = aios__json_int(aios__json_get(rec->root, "code"), 1) == AIOS_OK;
    if (w->done && !w->answered)
        return aios__journal_bad(rec, "it ends without an answer", err);
    if (w->done)
        snprintf(w->r->reason, sizeof w->r->reason, "%.31s", why ? why : "");
    return restore_counters(w->r, rec, err);
}

/* The host may ask about values of a run that is over, too. */
static int restore_extract(restoring *w, const aios__journal_record *rec, aios_error *err)
{
    int rc = aios__journal_take_bits(w->r, rec, err);
    return rc ? rc : restore_counters(w->r, rec, err);
}

static int restore_record(void *user, const aios__journal_record *rec, aios_error *err)
{
    static int (*const restore[])(restoring *, const aios__journal_record *, aios_error *) = {
        [AIOS__JOURNAL_BEGIN] = restore_begin,   [AIOS__JOURNAL_CLAIM] = restore_claim, [AIOS__JOURNAL_TURN] = restore_turn,
        [AIOS__JOURNAL_INTENT] = restore_intent, [AIOS__JOURNAL_ASK] = restore_ask,     [AIOS__JOURNAL_DECISION] = restore_decision,
        [AIOS__JOURNAL_RESULT] = restore_result, [AIOS__JOURNAL_END] = restore_end,     [AIOS__JOURNAL_EXTRACT] = restore_extract,
        [AIOS__JOURNAL_CONTEXT] = restore_context,
        [AIOS__JOURNAL_HANDOFF] = restore_handoff,
    };
    restoring *w = user;
    if (w->done && rec->kind != AIOS__JOURNAL_EXTRACT)
        return aios__journal_bad(rec, "the run was done before it", err);
    w->r->journal->seq = rec->seq;
    return restore[rec->kind](w, rec, err);
}

/* ---- what was open ------------------------------------------------------------------------------------------------ */

/* A call that was begun and has no receipt. What another policy let is not made again by itself. */
static int settle_begun(aios_run *r, aios__run_call *c, aios_error *err)
{
    c->tool = aios__toolset_find(r->agent->toolset, c->call->name);
    int32_t effect = c->tool ? c->tool->pub.effect : AIOS_EFFECT_UNSAFE;
    if (c->tool && c->effect == AIOS_EFFECT_KEYED && effect == AIOS_EFFECT_KEYED && !c->gate.stale)
        c->state = AIOS__RC_READY;
    else if (!c->tool || !c->tool->pub.reconcile)
        aios__tools_unknown(c);
    return aios__gate_charge(r, c, err);
}

/* One that waits or was allowed. A no holds whatever has changed; else it must be what it was asked as, and its tool may have changed since. */
static int settle_waiting(aios_run *r, aios__run_call *c, aios_error *err)
{
    size_t n;
    const char *args = aios__call_text(c->call, &n);
    bool stands = !aios__toolset_check(r->agent->toolset, c->call->name, args, n, NULL, &c->tool, NULL);
    int rc = stands ? aios__gate_stands(r, c, &stands, err) : AIOS_OK;
    if (rc)
        return rc;
    if (c->gate.answered)
        return aios__tools_refuse(r, c, AIOS_EDENIED, aios__run_denial(c->gate.answered), err);
    if (!stands)
        aios__gate_forget(r, c);
    return AIOS_OK;
}

static int settle_call(aios_run *r, aios__run_call *c, aios_error *err)
{
    if (c->state == AIOS__RC_DONE)
        return aios__gate_charge(r, c, err);
    int rc = aios__gate_fill(r, c, err);
    if (!rc && c->state == AIOS__RC_RECONCILE)
        rc = settle_begun(r, c, err);
    else if (!rc && (c->state == AIOS__RC_ASK || c->state == AIOS__RC_READY))
        rc = settle_waiting(r, c, err);
    if (!rc && c->state == AIOS__RC_ASK)
        rc = aios__tools_emit(r, c->unknown ? AIOS_EVENT_UNKNOWN : AIOS_EVENT_ASK, c, err);
    return rc;
}

static int settle_calls(aios_run *r, aios_error *err)
{
    int rc = AIOS_OK;
    for (uint32_t i = 0; i < r->n_turn_calls && !rc; i++)
        rc = settle_call(r, &r->calls[i], err);
    return rc;
}

/* The answer that the run gave, once more. */
static int answer_again(aios_run *r, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    aios_transcript_at(r->t, r->mark, &e);
    for (uint32_t i = 0; i < e.n_parts; i++)
        if (e.parts[i].kind == AIOS_PART_TEXT && aios__buf_add(&r->text, e.parts[i].text, e.parts[i].n_text, err))
            return r->text.failed;
    aios__run_end(r, NULL);
    return AIOS_OK;
}

static int go_on(aios_run *r, const char *traceparent, aios_error *err)
{
    int rc = aios__journal_resume(r, err);
    if (!rc) {
        aios__run_trace(r, traceparent);
        rc = aios__run_emit_state(r, "resume", err);
    }
    if (!rc)
        rc = settle_calls(r, err);
    if (!rc && r->session == r->home_session)
        aios__keep_load(r);
    return rc;
}

static int restore_run(aios_run *r, const char *id, const char *traceparent, aios_error *err)
{
    restoring w = {.r = r};
    uint64_t head;
    memcpy(r->id, id, strlen(id) + 1);
    int rc = aios__journal_open(r, &head, err);
    if (!rc)
        rc = aios__journal_each(r->agent->ctx, r->agent->store, r->journal->stream, restore_record, &w, err);
    if (rc)
        return rc;
    aios__run_clock(r, r->journal->used_ns);
    return w.answered ? answer_again(r, err) : go_on(r, traceparent, err);
}

int aios_run_resume(aios_agent *a, const char *id, aios_run **out, aios_error *err)
{
    return aios__run_resume(a, NULL, id, NULL, out, err);
}

int aios__run_resume(aios_agent *a, aios_run *parent, const char *id, const char *traceparent, aios_run **out, aios_error *err)
{
    aios_run *r;
    if (!a || !out)
        return aios__fail(err, AIOS_EINVAL, "aios_run_resume: %s is NULL", a ? "run" : "a");
    *out = NULL;
    if (!aios__run_id_ok(id))
        return aios__fail(err, AIOS_EINVAL, "run id \"%.80s\": it must match [A-Za-z0-9_.:-]{1,64}", id ? id : "");
    if (!a->store)
        return aios__fail(err, AIOS_ESTATE, "the agent has no store to resume a run from: set aios_agent_config.store");
    int rc = aios__run_new(a, parent, &r, err);
    if (rc)
        return rc;
    rc = restore_run(r, id, traceparent, err);
    if (rc) {
        aios__run_destroy(r);
        return rc;
    }
    *out = r;
    return AIOS_OK;
}
