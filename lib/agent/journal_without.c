/* SPDX-License-Identifier: Apache-2.0 */
/* What is done about a run that nobody has: a record behind its journal, for whoever resumes it. */
#include <stdio.h>

#include "agent/agent_priv.h"

/* ---- the calls that wait ------------------------------------------------------------------------------------------ */

/* A call of the newest turn. */
typedef struct asked {
    bool waits;
    char *id;
    char digest[AIOS__SHA256_TEXT], policy[AIOS__SHA256_TEXT];
    uint64_t until_us;
    char below[AIOS__RUN_ID]; /* begun and not over: the run that it is, if its tool is an agent */
} asked;

typedef struct asking {
    aios__heap *heap;
    asked *calls;
    uint32_t n, cap, step;
    uint64_t seq;
    char parent[AIOS__RUN_ID];
} asking;

static void clear_calls(asking *g)
{
    for (uint32_t i = 0; i < g->n; i++)
        aios__free(g->heap, g->calls[i].id);
    g->n = 0;
}

static int add_call(asking *g, const char *id, aios_error *err)
{
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 4;
        asked *p = aios__realloc(g->heap, AIOS_MEM_OTHER, g->calls, cap * sizeof *p, err);
        if (!p)
            return aios__nomem(err);
        g->calls = p;
        g->cap = cap;
    }
    char *copy = aios__strndup(g->heap, AIOS_MEM_TEXT, id, strlen(id), err);
    if (!copy)
        return aios__nomem(err);
    g->calls[g->n++] = (asked){.id = copy};
    return AIOS_OK;
}

static int see_turn(asking *g, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *said = aios__json_get(rec->root, "said");
    const aios__json *parts = aios__json_get(aios__json_at(aios__json_get(said, "entries"), 0), "parts");
    int rc = AIOS_OK;
    clear_calls(g);
    g->step = rec->step;
    for (size_t i = 0; i < aios__json_count(parts) && !rc; i++) {
        const aios__json *p = aios__json_at(parts, i);
        const char *kind = aios__json_str(aios__json_get(p, "kind"), NULL), *id = aios__json_str(aios__json_get(p, "call_id"), NULL);
        if (kind && !strcmp(kind, "call"))
            rc = add_call(g, id ? id : "", err);
    }
    return rc;
}

static void copy_sum(char out[AIOS__SHA256_TEXT], const aios__json *v)
{
    const char *s = aios__json_str(v, NULL);
    snprintf(out, AIOS__SHA256_TEXT, "%s", s && strspn(s, "0123456789abcdef") == strlen(s) ? s : "");
}

static int see_ask(asked *c, const aios__journal_record *rec, aios_error *err)
{
    c->waits = true;
    c->until_us = 0;
    copy_sum(c->digest, aios__json_get(rec->root, "digest"));
    copy_sum(c->policy, aios__json_get(rec->root, "policy"));
    return aios__json_get(rec->root, "until_us") ? aios__journal_number(rec, "until_us", INT64_MAX, &c->until_us, err) : AIOS_OK;
}

static int see_intent(asking *g, const aios__journal_record *rec, aios_error *err)
{
    const aios__json *due = aios__json_get(rec->root, "due");
    for (size_t i = 0; i < aios__json_count(due); i++) {
        const aios__json *v = aios__json_at(due, i);
        const char *key = aios__json_str(aios__json_get(v, "key"), NULL);
        int64_t call = aios__json_int(aios__json_get(v, "call"), -1);
        if (rec->step != g->step || call < 0 || call >= (int64_t)g->n)
            return aios__journal_bad(rec, "it is of a call that the turn before did not make", err);
        snprintf(g->calls[call].below, sizeof g->calls[call].below, AIOS__CALL_RUN "%.48s", key ? key : "");
    }
    return AIOS_OK;
}

static int see_record(void *user, const aios__journal_record *rec, aios_error *err)
{
    asking *g = user;
    g->seq = rec->seq;
    if (rec->kind == AIOS__JOURNAL_BEGIN)
        snprintf(g->parent, sizeof g->parent, "%.64s", aios__journal_parent(rec));
    if (rec->kind == AIOS__JOURNAL_TURN)
        return see_turn(g, rec, err);
    if (rec->kind == AIOS__JOURNAL_INTENT)
        return see_intent(g, rec, err);
    if (rec->kind != AIOS__JOURNAL_ASK && rec->kind != AIOS__JOURNAL_DECISION && rec->kind != AIOS__JOURNAL_RESULT)
        return AIOS_OK;
    if (rec->step != g->step || rec->call >= g->n)
        return aios__journal_bad(rec, "it is of a call that the turn before did not make", err);
    g->calls[rec->call].waits = false;
    if (rec->kind == AIOS__JOURNAL_RESULT)
        g->calls[rec->call].below[0] = 0;
    return rec->kind == AIOS__JOURNAL_ASK ? see_ask(&g->calls[rec->call], rec, err) : AIOS_OK;
}

/* By its digest; an ask that has none by the id of its call. */
static uint32_t find_ask(const asking *g, const char *name)
{
    uint32_t i = 0;
    while (i < g->n && !(g->calls[i].waits && !strcmp(g->calls[i].digest[0] ? g->calls[i].digest : g->calls[i].id, name)))
        i++;
    return i;
}

/* ---- one record more ---------------------------------------------------------------------------------------------- */

/* Where the record goes. */
typedef struct ending {
    aios_ctx *ctx;
    aios_store *st;
    const char *id;
    char stream[sizeof AIOS__RUN_STREAM + AIOS__RUN_ID];
    aios_commit_hook hook; /* prepare NULL: none */
    aios_claim *claim;
} ending;

/* The record, and what the hook adds to its commit. */
static int commit_all(const ending *e, const aios_store_write *w, const aios_commit_more *more, aios_error *err)
{
    aios__heap *h = aios__ctx_heap(e->ctx);
    if (more->n > AIOS_STORE_MAX_WRITES || (more->n && (!more->writes || more->stride < sizeof(size_t))))
        return aios__fail(err, AIOS_EINVAL, "the commit hook gave %u writes without saying where they are", more->n);
    aios_store_write *all = aios__alloc_array(h, AIOS_MEM_OTHER, 1 + (size_t)more->n, sizeof *all, err);
    int rc = all ? AIOS_OK : aios__nomem(err);
    if (all)
        all[0] = *w;
    for (uint32_t i = 0; i < more->n && !rc; i++)
        rc = aios__struct_in(&all[1 + i], sizeof *all, (const char *)more->writes + i * more->stride, err);
    rc = rc ? rc : aios_store_commit(e->st, all, 1 + more->n, sizeof *all, NULL, err);
    aios__free(h, all);
    return rc;
}

/* Its number fences off a writer that was believed to be gone. */
static int put_record(const ending *e, enum aios__journal_kind kind, uint64_t seq, const aios__buf *b, aios_error *err)
{
    aios_store_write w = AIOS_INIT(aios_store_write);
    aios_commit_more more = AIOS_INIT(aios_commit_more);
    w.stream = e->stream;
    w.data = b->p;
    w.n_data = b->n;
    w.seq = seq;
    w.kind = kind;
    if (!e->hook.prepare)
        return aios_store_commit(e->st, &w, 1, sizeof w, NULL, err);
    int rc = e->hook.prepare(e->hook.user, e->id, &w, 1, &more);
    if (rc)
        return aios__fail(err, rc < 0 ? rc : AIOS_ESTATE, "the commit hook refused: %s", aios_strerror(rc));
    rc = commit_all(e, &w, &more, err);
    if (e->hook.settle)
        e->hook.settle(e->hook.user, e->id, rc);
    return rc;
}

static int write_decision(const ending *e, const asking *g, uint32_t call, int32_t verdict, aios_error *err)
{
    const asked *c = &g->calls[call];
    const aios_env *env = aios__ctx_env(e->ctx);
    aios__buf b;
    if (verdict == AIOS_ALLOW && c->until_us && env->wall_us(env->user) >= (int64_t)c->until_us)
        return aios__fail(err, AIOS_ETIMEDOUT, "the time to allow call \"%.64s\" is over (ask.timeout_ms)", c->id);
    aios__buf_init(&b, g->heap, AIOS_MEM_TEXT, 0);
    aios__buf_addf(&b, err, "{\"v\":%d,\"step\":%u,\"call\":%u", AIOS__JOURNAL_VERSION, g->step, call);
    if (c->policy[0])
        aios__buf_addf(&b, err, ",\"policy\":\"%s\"", c->policy);
    if (c->digest[0])
        aios__buf_addf(&b, err, ",\"digest\":\"%s\"", c->digest);
    int rc = aios__buf_addf(&b, err, ",\"verdict\":\"%s\",\"again\":false}", verdict == AIOS_ALLOW ? "allow" : "deny");
    rc = rc ? rc : put_record(e, AIOS__JOURNAL_DECISION, g->seq + 1, &b, err);
    aios__buf_free(&b);
    return rc;
}

/* Takes the run's stream: nobody has it meanwhile. */
static int open_ending(ending *e, const char *fn, const aios_commit_hook *hook, aios_error *err)
{
    if (!e->ctx || !e->st)
        return aios__fail(err, AIOS_EINVAL, "%s: %s is NULL", fn, e->ctx ? "store" : "ctx");
    if (!aios__run_id_ok(e->id))
        return aios__fail(err, AIOS_EINVAL, "run id \"%.80s\": it must match [A-Za-z0-9_.:-]{1,64}", e->id ? e->id : "");
    int rc = aios__struct_in(&e->hook, sizeof e->hook, hook, err);
    if (rc)
        return rc;
    snprintf(e->stream, sizeof e->stream, AIOS__RUN_STREAM "%s", e->id);
    return aios_store_claim(e->st, e->stream, NULL, &e->claim, err);
}

typedef struct deciding {
    aios_ctx *ctx;
    aios_store *st;
    const aios_commit_hook *hook;
    int32_t verdict;
    uint32_t depth;
} deciding;

static int decide_in(deciding *d, const char *id, const char *above, const char *name, aios_error *err);

/* What the call's run has of the name: a digest is the same, of an id what stands behind the call's. NULL: nothing. */
static const char *name_below(const asked *c, const char *name)
{
    size_t n = strlen(c->id);
    bool under = !strncmp(name, c->id, n) && name[n] == '/';
    return under ? name + n + 1 : strlen(name) == AIOS__SHA256_TEXT - 1 ? name : NULL;
}

/* ENOENT: none of the calls below waits for it. One that cannot be read, or is had by somebody, hides no other. */
static int decide_below(deciding *d, const asking *g, const char *id, const char *name, aios_error *err)
{
    int rc = AIOS_ENOENT;
    d->depth++;
    for (uint32_t i = 0; i < g->n && rc && d->depth <= AIOS__MAX_DEPTH; i++) {
        aios_error why = AIOS_INIT(aios_error);
        const char *of = g->calls[i].below[0] && aios__run_id_ok(g->calls[i].below) ? name_below(&g->calls[i], name) : NULL;
        int got = of ? decide_in(d, g->calls[i].below, id, of, &why) : AIOS_ENOENT;
        if (!got)
            rc = AIOS_OK;
        else if (got != AIOS_ENOENT && rc == AIOS_ENOENT)
            rc = aios__error_copy(err, &why);
    }
    d->depth--;
    return rc == AIOS_ENOENT ? aios__fail(err, rc, "no call \"%.64s\" of run %s waits for a decision", name, id) : rc;
}

static int decide_one(deciding *d, const ending *e, const char *above, const char *name, aios_error *err)
{
    const char *id = e->id;
    asking g = {.heap = aios__ctx_heap(d->ctx)};
    uint32_t i = 0;
    int rc = aios__journal_each(d->ctx, d->st, e->stream, see_record, &g, err);
    if (!rc && above && strcmp(g.parent, above))
        rc = aios__fail(err, AIOS_ENOENT, "run %s is no call of run %s", id, above);
    else if (!rc && !above && g.parent[0])
        rc = aios__fail(err, AIOS_ESTATE, "run %s is a call of run %s: decide by that one's id", id, g.parent);
    if (!rc)
        i = find_ask(&g, name);
    if (!rc)
        rc = i < g.n ? write_decision(e, &g, i, d->verdict, err) : decide_below(d, &g, id, name, err);
    clear_calls(&g);
    aios__free(g.heap, g.calls);
    return rc;
}

/* above: the run whose call it is; NULL: the host named it. */
static int decide_in(deciding *d, const char *id, const char *above, const char *name, aios_error *err)
{
    ending e = {.ctx = d->ctx, .st = d->st, .id = id};
    int rc = open_ending(&e, "aios_run_approve", d->hook, err);
    rc = rc ? rc : decide_one(d, &e, above, name, err);
    aios_claim_release(e.claim);
    return rc;
}

int aios_run_approve_with(aios_ctx *ctx, aios_store *st, const char *id, const char *digest, int32_t verdict, const aios_commit_hook *hook, aios_error *err)
{
    if (!digest || !*digest)
        return aios__fail(err, AIOS_EINVAL, "aios_run_approve: digest is %s", digest ? "empty" : "NULL");
    if (verdict != AIOS_ALLOW && verdict != AIOS_DENY)
        return aios__fail(err, AIOS_EINVAL, "verdict %d is neither AIOS_ALLOW nor AIOS_DENY", verdict);
    deciding d = {.ctx = ctx, .st = st, .hook = hook, .verdict = verdict};
    return decide_in(&d, id, NULL, digest, err);
}

int aios_run_approve(aios_ctx *ctx, aios_store *st, const char *id, const char *digest, int32_t verdict, aios_error *err)
{
    return aios_run_approve_with(ctx, st, id, digest, verdict, NULL, err);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static int write_end(const ending *e, const aios_run_info *info, aios_error *err)
{
    const aios__ledger spent = {.cost_micros = info->cost_micros, .n_input = info->n_input, .n_cached = info->n_cached};
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(e->ctx), AIOS_MEM_TEXT, 0);
    aios__buf_addf(&b, err, "{\"v\":%d,\"turns\":%u,\"calls\":%u,\"tokens\":%llu,\"used_ns\":%lld", AIOS__JOURNAL_VERSION, info->n_turns, info->n_calls,
                   (unsigned long long)info->n_tokens, (long long)info->used_ns);
    aios__ledger_put(&spent, &b, err);
    int rc = aios__buf_addf(&b, err, ",\"code\":%d,\"why\":\"the run was abandoned\"}", AIOS_ECANCELED);
    rc = rc ? rc : put_record(e, AIOS__JOURNAL_END, info->n_records + 1, &b, err);
    aios__buf_free(&b);
    return rc;
}

static int abandon(const ending *e, aios_error *err)
{
    aios_run_info info = AIOS_INIT(aios_run_info);
    int rc = aios_run_info_get(e->ctx, e->st, e->id, &info, err);
    if (rc)
        return rc;
    if (info.state == AIOS_RUN_DAMAGED)
        return aios__fail(err, info.code, "run %s cannot be read: %s", e->id, info.msg);
    if (info.state == AIOS_RUN_DONE)
        return aios__fail(err, AIOS_ESTATE, "run %s is done: there is nothing to abandon", e->id);
    bool already = info.state == AIOS_RUN_STOPPED && info.code == AIOS_ECANCELED;
    return already ? AIOS_OK : write_end(e, &info, err);
}

int aios_run_abandon_with(aios_ctx *ctx, aios_store *st, const char *id, const aios_commit_hook *hook, aios_error *err)
{
    ending e = {.ctx = ctx, .st = st, .id = id};
    int rc = open_ending(&e, "aios_run_abandon", hook, err);
    rc = rc ? rc : abandon(&e, err);
    aios_claim_release(e.claim);
    return rc;
}

int aios_run_abandon(aios_ctx *ctx, aios_store *st, const char *id, aios_error *err)
{
    return aios_run_abandon_with(ctx, st, id, NULL, err);
}
