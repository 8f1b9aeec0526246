/* SPDX-License-Identifier: Apache-2.0 */
/* One turn of the model: what it is asked, what it says, and whether that is the answer. */
#include <stdio.h>

#include "agent/agent_priv.h"
#include "base/cachefile.h"

/* ---- asking ------------------------------------------------------------------------------------------------------- */

static int32_t choose(const aios_run *r)
{
    if (r->answer_now || r->agent->tool_choice == AIOS_TOOLS_NONE)
        return AIOS_TOOLS_NONE;
    return r->step ? AIOS_TOOLS_AUTO : r->agent->tool_choice;
}

static int fill_request(aios_run *r, aios_request *q, aios_error *err)
{
    const aios_agent *a = r->agent;
    int64_t time = r->deadline - aios__now_ns(aios__ctx_env(a->ctx));
    q->schema_json = r->constrained ? a->schema_json : NULL;
    /* a turn that must call makes one call: small models do not stop by themselves */
    bool must = r->choice == AIOS_TOOLS_REQUIRED || r->choice == AIOS_TOOLS_NAMED;
    q->flags = must || a->flags & AIOS_AGENT_ONE_CALL ? AIOS_REQUEST_ONE_CALL : 0;
    q->flags |= a->flags & AIOS_AGENT_PLAIN_CHOICE ? AIOS_REQUEST_PLAIN_CHOICE : 0;
    q->min_margin = a->min_margin;
    q->timeout_ns = time > 0 ? time : 1;
    aios__run_rank_request(r, q);
    return aios__profile_fill(r, q, err);
}

int aios__turn_ask(aios_run *r, aios_request *q, aios_error *err)
{
    r->constrained = r->agent->schema_json && r->choice == AIOS_TOOLS_NONE;
    r->held = r->agent->schema_json && !r->constrained;
    return fill_request(r, q, err);
}

static void clear_reply(aios_run *r)
{
    aios__buf_clear(&r->text);
    aios__buf_clear(&r->reasoning);
    aios__buf_clear(&r->signatures);
    r->n_signs = 0;
}

int aios__turn_start(aios_run *r, aios_error *err)
{
    aios_request q = AIOS_INIT(aios_request);
    int rc = aios__journal_begun(r, err);
    if (rc)
        return rc;
    r->choice = r->n_defs ? choose(r) : AIOS_TOOLS_NONE;
    rc = aios__use_check_turn(r, err);
    rc = rc ? rc : aios__profile_begin(r, err);
    rc = rc ? rc : aios__gate_model(r, err);
    uint32_t n = aios_transcript_count(r->t);
    rc = rc ? rc : aios__turn_ask(r, &q, err);
    rc = rc ? rc : aios__context_fit(r, &q, err);
    if (rc || r->state == AIOS__RUN_CONTEXT)
        return rc;
    if (r->profile.view && aios_transcript_count(r->t) != n)
        rc = aios__turn_ask(r, &q, err); /* a view does not have what was compacted since */
    if (rc)
        return rc;
    rc = aios__journal_send(r, err);
    if (rc)
        return rc;
    r->session_attempt = 0;
    clear_reply(r);
    r->mark = aios_transcript_count(r->t);
    rc = aios__run_emit_state(r, "model", err);
    if (r->journal)
        aios__session_renumber(r->session);
    if (!rc)
        rc = aios__session_start_again(r->session, &q, err);
    if (rc == AIOS_ECONTEXT)
        return aios__context_overflow(r, err);
    if (rc)
        return rc;
    aios__use_add(r, (aios__use){.turns = 1});
    r->state = AIOS__RUN_MODEL;
    return AIOS_OK;
}

/* ---- listening ---------------------------------------------------------------------------------------------------- */

static bool is_same(const aios_call *c, const char *name, const char *args, size_t n_args)
{
    return !strcmp(c->name, name) && c->n_args == n_args && !memcmp(c->args, args, n_args);
}

static bool is_read(const aios_run *r, const char *name)
{
    const aios__tool *tool = aios__toolset_find(r->agent->toolset, name);
    return tool && tool->pub.effect == AIOS_EFFECT_READ && !aios__handoff_is(tool);
}

/* Small models write the same call over and over in one turn; a tool that only reads need not run twice. */
static bool is_read_again(const aios_run *r, const aios_event *ev)
{
    bool again = false;
    for (uint32_t i = 0; i < r->n_turn_calls && !again; i++)
        again = is_same(r->calls[i].call, ev->name, ev->text, ev->n_text);
    return again && is_read(r, ev->name);
}

/* Room for one more in both arrays. */
static int grow_calls(aios_run *r, aios_error *err)
{
    if (r->n_turn_calls == r->cap_calls) {
        uint32_t cap = r->cap_calls ? r->cap_calls * 2 : 1; /* most turns make one, and a run that waits keeps it */
        aios__run_call *p = aios__realloc(r->heap, AIOS_MEM_OTHER, r->calls, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        r->calls = p;
        r->cap_calls = cap;
    }
    if (r->n_all == r->cap_all) {
        uint32_t cap = r->cap_all ? r->cap_all * 2 : 4;
        aios__run_made *p = aios__realloc(r->heap, AIOS_MEM_OTHER, r->all, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        r->all = p;
        r->cap_all = cap;
    }
    return AIOS_OK;
}

static void add_hex(char *out, uint64_t x, int n_digits)
{
    for (int i = n_digits - 1; i >= 0; i--, x >>= 4)
        out[i] = "0123456789abcdef"[x & 15];
}

/* Run, step and place in it: no other call of any run has all three. */
static void set_key(const aios_run *r, aios_call *c)
{
    for (int i = 0; i < 16; i++)
        add_hex(c->key + 2 * i, r->nonce[i], 2);
    add_hex(c->key + 32, r->step, 8);
    add_hex(c->key + 40, r->n_turn_calls, 8);
}

int aios__turn_push_call(aios_run *r, const aios_event *ev, aios_error *err)
{
    aios_call *c;
    int rc = grow_calls(r, err);
    if (!rc)
        rc = aios__call_new(r->hub, r->agent->toolset, ev, &c, err);
    if (rc)
        return rc;
    set_key(r, c);
    r->all[r->n_all++] = (aios__run_made){c, aios__sum64(aios__sum64(0, c->name, strlen(c->name)), c->args, c->n_args)};
    r->n_effects += !is_read(r, c->name);
    r->calls[r->n_turn_calls++] = (aios__run_call){.call = c};
    return AIOS_OK;
}

static int add_call(aios_run *r, const aios_event *ev, aios_error *err)
{
    char own[AIOS__OWN_ID];
    aios_event named = *ev;
    if (is_read_again(r, ev))
        return AIOS_OK;
    named.call_id = aios__run_call_id(r, ev->call_id, own);
    int rc = aios__use_check_call(r, err);
    rc = rc ? rc : aios__turn_push_call(r, &named, err);
    if (!rc)
        aios__use_add(r, (aios__use){.calls = 1});
    return rc;
}

static int pass_on(aios_run *r, const aios_event *ev, aios_error *err)
{
    aios_event up = *ev;
    up.label = r->label;
    return aios__run_emit(r, &up, err);
}

/* The whole text of a turn that was held back. */
static int emit_text(aios_run *r, aios_error *err)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = AIOS_EVENT_TEXT;
    ev.text = r->text.p;
    ev.n_text = r->text.n;
    return pass_on(r, &ev, err);
}

/* ---- the end of a turn -------------------------------------------------------------------------------------------- */

int aios__turn_count_same(aios_run *r, bool *repeat, aios_error *err)
{
    *repeat = r->last_call.n > 0;
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        const aios_call *c = r->calls[i].call;
        size_t n_name = strlen(c->name) + 1;
        bool same = r->last_call.n == n_name + c->n_args && !memcmp(r->last_call.p, c->name, n_name) &&
                    !memcmp(r->last_call.p + n_name, c->args, c->n_args);
        *repeat = *repeat && same;
        r->same = same ? r->same + 1 : 1;
        if (r->same >= AIOS__SAME_CALLS)
            return aios__fail_need(err, AIOS_ELIMIT, AIOS__SAME_CALLS - 1, r->same,
                                   "the model made the same call %u times in a row (%.64s with the same arguments): it would not end", r->same, c->name);
        if (same)
            continue;
        aios__buf_clear(&r->last_call);
        aios__buf_add(&r->last_call, c->name, n_name, err);
        int rc = aios__buf_add(&r->last_call, c->args, c->n_args, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

/*
 * True if the run has made nothing but reads, and an earlier turn made each of this one's: the answers are known. Small models go
 * round in such circles instead of answering.
 */
static bool all_known(const aios_run *r)
{
    uint32_t n_before = r->n_all - r->n_turn_calls;
    bool known = !r->n_effects;
    for (uint32_t i = n_before; i < r->n_all && known; i++) {
        const aios_call *c = r->all[i].call;
        known = false;
        for (uint32_t k = r->context.known_from; k < n_before && !known; k++)
            known = r->all[k].sum == r->all[i].sum && is_same(r->all[k].call, c->name, c->args, c->n_args);
    }
    return known;
}

/* Arguments as the transcript keeps them: a JSON object always, since templates and servers read them. */
static int record_args(const aios_run *r, aios__run_call *call, aios__buf *out, aios_error *err)
{
    const aios_call *c = call->call;
    aios_error why = AIOS_INIT(aios_error);
    int rc = c->n_args > AIOS__MAX_ARGS ? AIOS_EFORMAT : aios__json_parse(r->heap, c->args, c->n_args, &call->args, &why);
    if (rc && rc != AIOS_EFORMAT)
        return aios__error_copy(err, &why), rc;
    if (!rc && aios__json_type(aios__json_root(call->args)) == AIOS__JSON_OBJECT)
        return aios__buf_add(out, c->args, c->n_args, err);
    size_t n = c->n_args > 1024 ? aios__utf8_whole(c->args, 1024) : c->n_args;
    aios__buf_adds(out, "{\"invalid_arguments\":", err);
    aios__buf_add_json(out, c->args, n, err);
    return aios__buf_addc(out, '}', err);
}

static int add_sign(aios_run *r, const char *signature, aios_error *err)
{
    aios__run_sign *p = aios__realloc(r->heap, AIOS_MEM_TEXT, r->signs, (r->n_signs + 1) * sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    r->signs = p;
    r->signs[r->n_signs++] = (aios__run_sign){r->reasoning.n, r->text.n, r->signatures.n, r->n_turn_calls};
    return aios__buf_add(&r->signatures, signature, strlen(signature) + 1, err);
}

/* Parts of a reply in the order of their coming, as far as signatures show it. */
typedef struct reply {
    const aios_run *r;
    aios_part *parts;
    uint32_t n, n_calls;    /* calls that are among them */
    size_t reasoning, text; /* bytes that are */
    aios__buf args;         /* of the calls */
} reply;

static aios_part *add_part(reply *p, int32_t kind, const char *text, size_t n)
{
    aios_part *part = &p->parts[p->n++];
    *part = (aios_part)AIOS_INIT(aios_part);
    part->kind = kind;
    part->text = text ? text : "";
    part->n_text = n;
    return part;
}

static void add_text(reply *p, size_t end)
{
    if (end > p->text)
        add_part(p, AIOS_PART_TEXT, p->r->text.p + p->text, end - p->text);
    p->text = end;
}

static void add_reasoning(reply *p, size_t end, const char *signature)
{
    if (end > p->reasoning || signature)
        add_part(p, AIOS_PART_REASONING, p->r->reasoning.p ? p->r->reasoning.p + p->reasoning : NULL, end - p->reasoning)->call_id = signature;
    p->reasoning = end;
}

static void add_calls(reply *p, uint32_t end)
{
    for (; p->n_calls < end; p->n_calls++) {
        const aios_call *c = p->r->calls[p->n_calls].call;
        aios_part *part = add_part(p, AIOS_PART_CALL, NULL, 0);
        part->name = c->name;
        part->call_id = c->id;
    }
}

static void fill_parts(reply *p)
{
    const aios_run *r = p->r;
    for (uint32_t i = 0; i < r->n_signs; i++) {
        add_text(p, r->signs[i].text);
        add_calls(p, r->signs[i].n_calls);
        add_reasoning(p, r->signs[i].reasoning, r->signatures.p + r->signs[i].at);
    }
    add_reasoning(p, r->reasoning.n, NULL);
    add_text(p, r->text.n);
    if (!r->text.n && !r->n_turn_calls)
        add_part(p, AIOS_PART_TEXT, NULL, 0);
    add_calls(p, r->n_turn_calls);
}

/* Arguments of all calls, put into their parts when the buffer has stopped moving. */
static int fill_args(reply *p, aios_error *err)
{
    int rc = AIOS_OK;
    size_t at = 0;
    for (uint32_t i = 0, k = 0; i < p->n && !rc; i++) {
        if (p->parts[i].kind != AIOS_PART_CALL)
            continue;
        size_t from = p->args.n;
        rc = record_args(p->r, &p->r->calls[k++], &p->args, err);
        p->parts[i].n_text = p->args.n - from;
    }
    for (uint32_t i = 0; i < p->n && !rc; i++) {
        if (p->parts[i].kind != AIOS_PART_CALL)
            continue;
        p->parts[i].text = p->args.p + at;
        at += p->parts[i].n_text;
    }
    return rc;
}

/* What the assistant said, as one entry. */
static int append_reply(aios_run *r, aios_error *err)
{
    aios_part few[4];
    size_t n = (size_t)r->n_turn_calls + 2 * (size_t)r->n_signs + 2;
    bool many = n > AIOS__ARRAY_LEN(few);
    reply p = {.r = r, .parts = many ? aios__alloc_array(r->heap, AIOS_MEM_TEXT, n, sizeof *p.parts, err) : few};
    if (!p.parts)
        return aios__nomem(err);
    aios__buf_init(&p.args, r->heap, AIOS_MEM_TEXT, 0);
    fill_parts(&p);
    int rc = fill_args(&p, err);
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = AIOS_ROLE_ASSISTANT;
    e.parts = p.parts;
    e.n_parts = p.n;
    e.part_stride = sizeof *p.parts;
    e.label = r->label;
    if (!rc)
        rc = aios__run_append(r, &e, err);
    if (many)
        aios__free(r->heap, p.parts);
    aios__buf_free(&p.args);
    return rc;
}

/* The same turn once more, without tools. */
static int try_again(aios_run *r)
{
    aios__tools_clear(r);
    r->attempt++;
    r->answer_now = true;
    r->state = AIOS__RUN_PROMPT;
    return AIOS_OK;
}

/* The server refused it: once more, with less. */
static int again_smaller(aios_run *r, aios_error *err)
{
    int rc = aios__context_overflow(r, err);
    if (rc)
        return rc;
    aios__tools_clear(r);
    r->attempt++;
    return AIOS_OK;
}

static int end_with_calls(aios_run *r, aios_error *err)
{
    bool repeat;
    int rc = aios__turn_count_same(r, &repeat, err);
    if (rc)
        return rc;
    if ((repeat || all_known(r)) && r->step && !r->answer_now)
        return try_again(r);
    rc = aios__hook_after_turn(r, err);
    rc = rc ? rc : append_reply(r, err);
    if (rc)
        return rc;
    r->state = AIOS__RUN_TOOLS; /* from here on a failure must write results */
    rc = aios__journal_turn(r, err);
    if (rc)
        return rc;
    if (r->session == r->home_session)
        aios__keep_save(r);
    rc = r->held && r->text.n ? emit_text(r, err) : AIOS_OK;
    if (!rc)
        rc = aios__run_emit_state(r, "tools", err);
    for (uint32_t i = 0; i < r->n_turn_calls && !rc; i++) {
        aios_event ev = AIOS_INIT(aios_event);
        ev.type = AIOS_EVENT_CALL;
        ev.call_id = r->calls[i].call->id;
        ev.name = r->calls[i].call->name;
        ev.text = r->calls[i].call->args;
        ev.n_text = r->calls[i].call->n_args;
        rc = pass_on(r, &ev, err);
    }
    return rc;
}

static bool cut_short(const aios_run *r)
{
    return !strcmp(r->reason, "length");
}

/* A reply without calls, where a schema is set: is it what was asked for? */
static int check_reply(aios_run *r, aios_error *err)
{
    aios_error why = AIOS_INIT(aios_error);
    const char *schema = r->agent->schema_json;
    int rc = aios_schema_check(r->agent->ctx, schema, strlen(schema), r->text.p ? r->text.p : "", r->text.n, &why);
    if (!rc && r->held)
        return emit_text(r, err);
    if (rc == AIOS_ENOMEM || rc == AIOS_EBUDGET)
        return aios__error_copy(err, &why), rc;
    if (!rc)
        return AIOS_OK;
    if (r->held)
        return AIOS_AGAIN;
    if (cut_short(r))
        return aios__fail(err, AIOS_ELIMIT, "the reply reached its limit of tokens before its JSON was complete: raise limits.max_turn_tokens (the command: -n)");
    return aios__fail(err, AIOS_ESCHEMA, "the reply is not what its schema asks for: %s", why.msg);
}

static bool is_blank(const aios__buf *b)
{
    return !b->n || strspn(b->p, " \t\r\n") == b->n;
}

static int end_with_text(aios_run *r, aios_error *err)
{
    /* results came, but nothing is said of them */
    if (r->step && r->n_all && is_blank(&r->text) && !r->answer_now && !r->held)
        return try_again(r);
    int rc = r->agent->schema_json ? check_reply(r, err) : AIOS_OK;
    if (rc == AIOS_AGAIN)
        return try_again(r);
    rc = rc ? rc : aios__hook_after_turn(r, err);
    rc = rc ? rc : append_reply(r, err);
    if (rc)
        return rc;
    if (cut_short(r) && !aios__use_tokens_left(r))
        return aios__use_check_turn(r, err);
    rc = aios__journal_turn(r, err);
    return rc ? rc : AIOS_DONE;
}

static void begin_attempt(aios_run *r, uint32_t number)
{
    r->session_attempt = number;
    r->attempt++;
    aios__tools_clear(r); /* calls of what is void are not made */
    clear_reply(r);
}

static int take_usage(aios_run *r, const aios_event *ev, aios_error *err)
{
    aios_event priced = *ev;
    aios_usage u = *ev->usage;
    aios__ledger_take(r, &u);
    r->n_context = (uint64_t)u.input + u.output;
    aios__context_counted(r, &u);
    priced.usage = &u;
    return pass_on(r, &priced, err);
}

int aios__turn_step(aios_run *r, int32_t timeout_ms, aios_error *err)
{
    const aios_event *ev;
    int rc = aios_session_next(r->session, timeout_ms, &ev);
    if (rc == AIOS_DONE)
        return aios__fail(err, AIOS_EINTERNAL, "the model's turn ended without a last event");
    if (rc)
        return rc;
    if (ev->attempt != r->session_attempt)
        begin_attempt(r, ev->attempt);
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        rc = aios__buf_add(&r->text, ev->text, ev->n_text, err);
        return rc || r->held ? rc : pass_on(r, ev, err);
    case AIOS_EVENT_REASONING:
        rc = aios__buf_add(&r->reasoning, ev->text, ev->n_text, err);
        rc = rc || !ev->call_id ? rc : add_sign(r, ev->call_id, err);
        return rc ? rc : pass_on(r, ev, err);
    case AIOS_EVENT_CALL:
        return add_call(r, ev, err);
    case AIOS_EVENT_CHOICE:
    case AIOS_EVENT_ROUTE:
        return pass_on(r, ev, err);
    case AIOS_EVENT_USAGE:
        r->turn_tokens = ev->usage->output;
        return take_usage(r, ev, err);
    case AIOS_EVENT_ERROR:
        aios__error_copy(err, ev->error);
        return ev->error->code == AIOS_ECONTEXT ? again_smaller(r, err) : ev->error->code;
    case AIOS_EVENT_DONE:
        snprintf(r->reason, sizeof r->reason, "%s", ev->name);
        return r->n_turn_calls ? end_with_calls(r, err) : end_with_text(r, err);
    default:
        return AIOS_OK; /* of a newer backend */
    }
}

void aios__turn_drop(aios_run *r)
{
    const aios_event *ev;
    aios_session_cancel(r->session);
    while (!aios_session_next(r->session, -1, &ev))
        ;
    aios__tools_clear(r);
}
