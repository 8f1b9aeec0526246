/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a run: a stream of its store. Records wait in a buffer until a commit must have them: before an effect, before a wait on
 * somebody's decision, before the next turn, and at the end. docs/durable-runs.md says what follows from that.
 */
#include <stdio.h>

#include "agent/agent_priv.h"
#include "base/cachefile.h"

#define MAX_WAITING ((size_t)256 << 20)

bool aios__run_id_ok(const char *id)
{
    size_t n = id ? strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-") : 0;
    return n && n < AIOS__RUN_ID && !id[n];
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

int aios__journal_open(aios_run *r, uint64_t *head, aios_error *err)
{
    const aios_agent *a = r->agent;
    *head = 0;
    if (!a->store)
        return AIOS_OK;
    aios__journal *j = aios__alloc(r->heap, AIOS_MEM_OTHER, sizeof *j, err);
    if (!j)
        return aios__nomem(err);
    r->journal = j;
    aios__buf_init(&j->text, r->heap, AIOS_MEM_TEXT, MAX_WAITING);
    snprintf(j->stream, sizeof j->stream, AIOS__RUN_STREAM "%s", r->id);
    int rc = aios__lease_take(r, err);
    if (!rc)
        rc = aios_store_head(a->store, j->stream, head, err);
    j->seq = *head;
    return rc;
}

void aios__journal_close(aios_run *r)
{
    aios__journal *j = r->journal;
    if (!j)
        return;
    aios__journal_land(r, NULL);
    aios_claim_release(j->claim);
    aios__free(r->heap, j->ended);
    aios__buf_free(&j->text);
    aios__free(r->heap, j->marks);
    aios__free(r->heap, j);
    r->journal = NULL;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static int put_record(aios__heap *h, aios__journal *j, enum aios__journal_kind kind, aios_error *err)
{
    if (j->n == j->cap) {
        uint32_t cap = j->cap ? j->cap * 2 : 4;
        aios__journal_mark *p = aios__realloc(h, AIOS_MEM_OTHER, j->marks, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        j->marks = p;
        j->cap = cap;
    }
    j->marks[j->n++] = (aios__journal_mark){kind, j->text.n};
    return AIOS_OK;
}

/* Opens the text of a record; its members follow, then close_record. NULL: nothing is to be written. */
static aios__buf *open_record(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    if (!j || j->failed)
        return NULL;
    aios__buf_addf(&j->text, err, "{\"v\":%d", AIOS__JOURNAL_VERSION);
    return &j->text;
}

/* A record that could not be made whole leaves the journal as it is: what was done after it would be missing. */
static int close_record(aios_run *r, enum aios__journal_kind kind, aios_error *err)
{
    aios__journal *j = r->journal;
    int rc = aios__buf_addc(&j->text, '}', err);
    if (!rc)
        rc = put_record(r->heap, j, kind, err);
    j->failed = rc;
    return rc;
}

static void add_text(aios__buf *b, const char *key, const char *s, size_t n, aios_error *err)
{
    aios__buf_addf(b, err, ",\"%s\":", key);
    aios__buf_add_json(b, s, n, err);
}

static void add_hex(aios__buf *b, const char *key, uint64_t x, aios_error *err)
{
    aios__buf_addf(b, err, ",\"%s\":\"%llx\"", key, (unsigned long long)x);
}

static int64_t time_used(const aios_run *r)
{
    int64_t t = aios__now_ns(aios__ctx_env(r->agent->ctx)) - r->journal->since;
    return r->journal->used_ns + (t > 0 ? t : 0);
}

static void add_counters(const aios_run *r, aios__buf *b, aios_error *err)
{
    aios__buf_addf(b, err, ",\"turns\":%u,\"calls\":%u,\"tokens\":%llu,\"used_ns\":%lld", r->n_turns, r->n_calls, (unsigned long long)r->n_tokens,
                   (long long)time_used(r));
    aios__ledger_put(&r->ledger, b, err);
}

static void add_place(const aios_run *r, const aios__run_call *c, aios__buf *b, aios_error *err)
{
    aios__buf_addf(b, err, ",\"step\":%u,\"call\":%u", r->step, (uint32_t)(c - r->calls));
}

/* ---- what the agent is -------------------------------------------------------------------------------------------- */

static uint64_t sum_text(uint64_t seed, const char *s)
{
    return aios__sum64(seed, s ? s : "", s ? strlen(s) + 1 : 0);
}

static uint64_t sum_tool(const aios_tool *t)
{
    uint64_t flags = t->flags & (uint32_t)(AIOS_TOOL_TRUSTED | AIOS_TOOL_HANDLE); /* labels hang on them */
    return sum_text(sum_text(sum_text((uint64_t)t->effect + 1 + (flags << 8), t->name), t->description), t->schema_json);
}

/* What a request has besides transcript and tools: a sum for each thing that a resume may find changed. */
static void add_options(const aios_agent *a, aios__buf *b, aios_error *err)
{
    uint32_t flags = a->flags & ~(uint32_t)AIOS_AGENT_CHANGED;
    float margin = a->min_margin;
    aios_sampling s = a->sampling;
    s.seed = 0; /* the journal has its own */
    uint64_t choice = sum_text((uint64_t)a->tool_choice + 1, a->tool_name);
    choice = aios__sum64(aios__sum64(choice, &margin, sizeof margin), &flags, sizeof flags);
    add_hex(b, "schema", sum_text(0, a->schema_json), err);
    add_hex(b, "sampling", aios__sum64(0, &s, sizeof s), err);
    add_hex(b, "choice", choice, err);
}

int aios__journal_add_agent(const aios_agent *a, aios__buf *b, aios_error *err)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    int rc = aios_model_info_get(a->model, &info);
    if (rc)
        return aios__fail(err, rc, "the model does not tell its name");
    add_text(b, "model", info.name, strlen(info.name), err);
    add_hex(b, "instructions", sum_text(0, a->instructions), err);
    add_options(a, b, err);
    aios__journal_add_policy(a, b, err);
    aios__buf_adds(b, ",\"tools\":{", err);
    for (uint32_t i = 0; i < aios_toolset_count(a->toolset); i++) {
        const aios_tool *t = &aios__toolset_get(a->toolset, i)->pub;
        aios__buf_addf(b, err, "%s\"%s\":\"%llx\"", i ? "," : "", t->name, (unsigned long long)sum_tool(t));
    }
    return aios__buf_addc(b, '}', err);
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static int draw_seed(aios_run *r, aios_error *err)
{
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    int32_t sys = 0;
    r->journal->seed = r->agent->sampling.seed;
    if (r->journal->seed || !(r->agent->sampling.temperature > 0))
        return AIOS_OK;
    int rc = env->random(env->user, &r->journal->seed, sizeof r->journal->seed, &sys);
    return rc ? aios__fail_sys(err, AIOS_EIO, sys, "the system gave no random seed: set sampling.seed (the command: --seed)") : AIOS_OK;
}

int aios__journal_begin(aios_run *r, bool late, aios_error *err)
{
    if (!r->journal)
        return AIOS_OK;
    int rc = draw_seed(r, err);
    if (rc)
        return rc;
    const aios_limits *l = &r->agent->limits;
    aios__buf *b = open_record(r, err);
    aios__buf_adds(b, ",\"key\":\"", err);
    for (size_t i = 0; i < sizeof r->nonce; i++)
        aios__buf_addf(b, err, "%02x", r->nonce[i]);
    aios__buf_addc(b, '"', err);
    add_hex(b, "seed", r->journal->seed, err);
    if (r->parent)
        add_text(b, "parent", r->parent->id, strlen(r->parent->id), err);
    aios__journal_add_agent(r->agent, b, err);
    aios__buf_addf(b, err, ",\"limits\":{\"turns\":%u,\"calls\":%u,\"tokens\":%llu,\"timeout_ns\":%lld}", l->max_turns, l->max_calls,
                   (unsigned long long)l->max_tokens, (long long)l->timeout_ns);
    aios__buf_adds(b, ",\"transcript\":", err);
    aios__transcript_write_from(r->t, 0, b, err);
    rc = close_record(r, AIOS__JOURNAL_BEGIN, err);
    return rc || late ? rc : aios__journal_commit(r, err);
}

int aios__journal_resume(aios_run *r, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    add_counters(r, b, err);
    int rc = close_record(r, AIOS__JOURNAL_CLAIM, err);
    return rc ? rc : aios__journal_commit(r, err);
}

/* Arguments that are no JSON object stand in the transcript as one; what the model wrote is needed too. */
static void add_raw_args(const aios_run *r, aios__buf *b, aios_error *err)
{
    aios_entry e = AIOS_INIT(aios_entry);
    uint32_t n = 0, k = 0;
    if (aios_transcript_at(r->t, aios_transcript_count(r->t) - 1, &e))
        return;
    for (uint32_t i = 0; i < e.n_parts; i++) {
        const aios_part *p = &e.parts[i];
        if (p->kind != AIOS_PART_CALL)
            continue;
        const aios_call *c = r->calls[k].call;
        if (c->n_args != p->n_text || memcmp(c->args, p->text, c->n_args)) {
            aios__buf_addf(b, err, "%s\"%u\":", n++ ? "," : ",\"raw\":{", k);
            aios__buf_add_json(b, c->args, c->n_args, err);
        }
        k++;
    }
    if (n)
        aios__buf_addc(b, '}', err);
}

int aios__journal_turn(aios_run *r, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    aios__buf_addf(b, err, ",\"step\":%u,\"choice\":%d", r->step, r->choice);
    add_counters(r, b, err);
    add_raw_args(r, b, err);
    aios__profile_write(r, b, err);
    aios__buf_adds(b, ",\"said\":", err);
    aios__transcript_write_from(r->t, aios_transcript_count(r->t) - 1, b, err);
    return close_record(r, AIOS__JOURNAL_TURN, err);
}

static bool has_effect(const aios__run_call *c)
{
    return c->due && c->state == AIOS__RC_READY && c->tool->pub.effect != AIOS_EFFECT_READ;
}

int aios__journal_intent(aios_run *r, aios_error *err)
{
    uint32_t n = 0;
    bool first = true;
    for (uint32_t i = 0; i < r->n_turn_calls; i++)
        n += has_effect(&r->calls[i]);
    aios__journal *j = r->journal;
    if (!j || !n)
        return AIOS_OK;
    if (j->failed)
        return aios__journal_commit(r, err);
    aios__buf *b = open_record(r, err);
    aios__buf_addf(b, err, ",\"step\":%u", r->step);
    aios__journal_add_policy(r->agent, b, err);
    aios__buf_adds(b, ",\"due\":[", err);
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        aios__run_call *c = &r->calls[i];
        if (!has_effect(c))
            continue;
        c->effect = c->tool->pub.effect;
        aios__buf_addf(b, err, "%s{\"call\":%u,\"effect\":%d,\"try\":%u,\"key\":\"%s\"", first ? "" : ",", i, c->effect, ++c->tries,
                       c->call->key);
        aios__journal_add_gate(c, b, err);
        aios__sub_journal(c, b, err);
        aios__buf_addc(b, '}', err);
        first = false;
    }
    aios__buf_addc(b, ']', err);
    int rc = close_record(r, AIOS__JOURNAL_INTENT, err);
    return rc ? rc : aios__journal_sent_intent(r, err);
}

/* Of those begun twice nobody knows still what became of the first time. */
static bool is_void(const aios__run_call *c)
{
    return has_effect(c) && c->tries == 1;
}

void aios__journal_void(aios_run *r)
{
    bool first = true, any = aios__journal_intends(r);
    for (uint32_t i = 0; i < r->n_turn_calls && !any; i++)
        any = is_void(&r->calls[i]);
    aios__buf *b = any ? open_record(r, NULL) : NULL;
    if (!b)
        return;
    r->journal->intent = 0;
    aios__buf_addf(b, NULL, ",\"step\":%u,\"due\":[],\"void\":[", r->step);
    for (uint32_t i = 0; i < r->n_turn_calls; i++) {
        if (!is_void(&r->calls[i]))
            continue;
        aios__buf_addf(b, NULL, first ? "%u" : ",%u", i);
        first = false;
    }
    aios__buf_addc(b, ']', NULL);
    close_record(r, AIOS__JOURNAL_INTENT, NULL);
}

int aios__journal_ask(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    r->journal->urgent = true;
    add_place(r, c, b, err);
    aios__journal_add_policy(r->agent, b, err);
    aios__journal_add_gate(c, b, err);
    aios__journal_add_ask(c, b, err);
    return close_record(r, AIOS__JOURNAL_ASK, err);
}

int aios__journal_decision(aios_run *r, const aios__run_call *c, int32_t verdict, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    r->journal->urgent = true;
    add_place(r, c, b, err);
    aios__journal_add_policy(r->agent, b, err);
    if (c->gate.digest[0])
        add_text(b, "digest", c->gate.digest, strlen(c->gate.digest), err);
    aios__buf_addf(b, err, ",\"verdict\":\"%s\",\"again\":%s", verdict == AIOS_ALLOW ? "allow" : "deny", c->unknown ? "true" : "false");
    if (verdict == AIOS_UNASKED)
        aios__buf_adds(b, ",\"unasked\":true", err);
    return close_record(r, AIOS__JOURNAL_DECISION, err);
}

int aios__journal_result(aios_run *r, aios__run_call *c, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    if (c->tries)
        r->journal->urgent = true;
    add_place(r, c, b, err);
    aios__buf_addf(b, err, ",\"status\":%d,\"integrity\":%d", c->status, c->label.integrity);
    if (c->label.confidentiality)
        add_hex(b, "confidentiality", c->label.confidentiality, err);
    aios__journal_add_policy(r->agent, b, err);
    aios__journal_add_gate(c, b, err);
    aios__journal_add_hidden(r, c, b, err);
    if (aios__sub_is(c->tool) || (c->tool && c->tool->pub.fn == aios__extract_fn))
        add_counters(r, b, err); /* models were asked for it */
    add_text(b, "text", c->text, c->n_text, err);
    return close_record(r, AIOS__JOURNAL_RESULT, err);
}

int aios__journal_extract(aios_run *r, double bits, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return aios__journal_commit(r, err);
    aios__buf_addf(b, err, ",\"endorsed\":%.17g", bits);
    add_counters(r, b, err);
    int rc = close_record(r, AIOS__JOURNAL_EXTRACT, err);
    return rc ? rc : aios__journal_commit(r, err);
}

int aios__journal_context(aios_run *r, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    aios__buf_addf(b, err, ",\"step\":%u", r->step);
    add_counters(r, b, err);
    aios__buf_adds(b, ",\"context\":", err);
    aios__transcript_write_from(r->t, aios_transcript_count(r->t) - 1, b, err);
    return close_record(r, AIOS__JOURNAL_CONTEXT, err);
}

int aios__journal_handoff(aios_run *r, const char *name, const aios_agent *to, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return AIOS_OK;
    add_text(b, "to", name, strlen(name), err);
    aios__journal_add_agent(to, b, err);
    return close_record(r, AIOS__JOURNAL_HANDOFF, err);
}

int aios__journal_end(aios_run *r, const aios_error *failure, aios_error *err)
{
    aios__buf *b = open_record(r, err);
    if (!b)
        return r->journal && !failure ? aios__journal_commit(r, err) : AIOS_OK;
    add_counters(r, b, err);
    aios__buf_addf(b, err, ",\"code\":%d", failure ? failure->code : AIOS_OK);
    const char *why = failure ? failure->msg : r->reason;
    add_text(b, "why", why, strlen(why), err);
    int rc = close_record(r, AIOS__JOURNAL_END, err);
    return rc ? rc : aios__journal_settle(r, err);
}

/* ---- commits ------------------------------------------------------------------------------------------------------ */

void aios__journal_fill(const aios__journal *j, aios_store_write *w)
{
    size_t from = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        w[i] = (aios_store_write)AIOS_INIT(aios_store_write);
        w[i].stream = j->stream;
        w[i].data = j->text.p + from;
        w[i].n_data = j->marks[i].end - from;
        w[i].seq = j->seq + 1 + i;
        w[i].kind = j->marks[i].kind;
        from = j->marks[i].end;
    }
}

/* Writes of the run and of the hook, in one array. */
static int join_writes(aios_run *r, aios_store_write **w, const aios_commit_more *more, aios_error *err)
{
    uint32_t n = r->journal->n;
    if (more->n > AIOS_STORE_MAX_WRITES || (more->n && (!more->writes || more->stride < sizeof(size_t))))
        return aios__fail(err, AIOS_EINVAL, "the commit hook gave %u writes without saying where they are", more->n);
    aios_store_write *p = aios__realloc(r->heap, AIOS_MEM_OTHER, *w, ((size_t)n + more->n) * sizeof *p, err);
    if (!p)
        return aios__nomem(err);
    *w = p;
    for (uint32_t i = 0; i < more->n; i++) {
        int rc = aios__struct_in(&p[n + i], sizeof *p, (const char *)more->writes + i * more->stride, err);
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

static int commit_hooked(aios_run *r, aios_store_write **w, aios_error *err)
{
    const aios_commit_hook *hook = &r->agent->hook;
    aios_commit_more more = AIOS_INIT(aios_commit_more);
    int rc = hook->prepare(hook->user, r->id, *w, r->journal->n, &more);
    if (rc)
        return aios__fail(err, rc < 0 ? rc : AIOS_ESTATE, "the commit hook refused: %s", aios_strerror(rc));
    if (more.n)
        rc = join_writes(r, w, &more, err);
    if (!rc)
        rc = aios_store_commit(r->agent->store, *w, r->journal->n + more.n, sizeof **w, NULL, err);
    if (hook->settle)
        hook->settle(hook->user, r->id, rc);
    return rc;
}

static int commit_writes(aios_run *r, aios_error *err)
{
    const aios__journal *j = r->journal;
    aios_store_write few[4], *w = few;
    bool hooked = r->agent->hook.prepare != NULL, many = hooked || j->n > AIOS__ARRAY_LEN(few);
    if (many)
        w = aios__alloc_array(r->heap, AIOS_MEM_OTHER, j->n, sizeof *w, err);
    if (!w)
        return aios__nomem(err);
    aios__journal_fill(j, w);
    int rc = hooked ? commit_hooked(r, &w, err) : aios_store_commit(r->agent->store, w, j->n, sizeof *w, NULL, err);
    if (many)
        aios__free(r->heap, w);
    return rc;
}

int aios__journal_lost(aios_run *r, int rc, const aios_error *why, aios_error *err)
{
    r->journal->failed = rc;
    aios__fail_need(err, rc, why->have, why->need, "the journal of run %s was not written, and the run goes no further: %s", r->id, why->msg);
    if (err)
        err->sys = why->sys;
    return rc;
}

int aios__journal_commit(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    int gone = aios__journal_land(r, err);
    if (gone || !j || (!j->n && !j->failed))
        return gone;
    if (j->failed)
        return aios__fail(err, j->failed, "the journal of run %s ends before this: a record could not be written. Resume the run", r->id);
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__lease_keep(r, &why);
    if (!rc)
        rc = commit_writes(r, &why);
    if (rc)
        return aios__journal_lost(r, rc, &why, err);
    j->seq += j->n;
    j->n = 0;
    j->urgent = j->send = false;
    aios__buf_clear(&j->text);
    return AIOS_OK;
}

int aios__journal_urgent(aios_run *r, aios_error *err)
{
    return r->journal && r->journal->urgent ? aios__journal_send(r, err) : AIOS_OK;
}

/* ---- seeds -------------------------------------------------------------------------------------------------------- */

/* splitmix64 of the run's seed and the turn's place; 0 would mean: a random one. */
static uint64_t turn_seed(const aios_run *r)
{
    uint64_t x = r->journal->seed + (2 * (uint64_t)r->step + r->answer_now + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x ? x : 1;
}

const aios_sampling *aios__journal_sampling(aios_run *r, const aios_sampling *own)
{
    const aios_agent *a = r->agent;
    const aios_sampling *s = own ? own : a->has_sampling ? &a->sampling : NULL;
    if (!r->journal || !s || !(s->temperature > 0))
        return s;
    r->journal->sampling = *s;
    r->journal->sampling.seed = own && own->seed ? own->seed : turn_seed(r);
    return &r->journal->sampling;
}
