/* SPDX-License-Identifier: Apache-2.0 */
/* What a journal says, who may go on with it, and what of it is refused. tests/unit/agent/test_crash.c has the deaths. */
#include "agent_test.h"

typedef struct durable {
    world w;
    aios_store *store;
} durable;

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)a;
    out->verdict = user ? *(const int32_t *)user : AIOS_ALLOW;
    return 0;
}

static int tool_key(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, aios_call_key(call), AIOS_CSTR);
}

static void durable_open_on(durable *d, test_heap *h, const char *script)
{
    aios_error err = AIOS_INIT(aios_error);
    world_open(&d->w, h, script);
    aios_tool t = make_tool("act", tool_key, NULL);
    t.effect = AIOS_EFFECT_KEYED;
    world_tool(&d->w, t);
    must(aios_store_open(d->w.ctx, "memory:durable", NULL, &d->store, &err), &err);
    d->w.cfg.store = d->store;
    d->w.policy.decide = allow;
    world_agent(&d->w);
}

static void durable_open(durable *d, const char *script)
{
    durable_open_on(d, NULL, script);
}

static void durable_close(durable *d)
{
    aios_store_close(d->store);
    world_close(&d->w);
}

static aios_run *start_as(durable *d, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r = NULL;
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    must(aios_run_start_with(d->w.agent, &o, &r, &err), &err);
    return r;
}

/* Pulls until an event of that type. */
static const aios_event *pull_to(aios_run *r, int32_t type)
{
    const aios_event *ev;
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == type)
            return ev;
    fail_msg("no event %d came", type);
    return NULL;
}

static int add_kind(void *user, const aios_record *r)
{
    char *s = user;
    size_t n = strlen(s);
    snprintf(s + n, 256 - n, "%s%u", n ? " " : "", r->kind);
    return 0;
}

static void journal_has_each_step_in_order(void **state)
{
    (void)state;
    durable d;
    log_text l = {0};
    char kinds[256] = "";
    aios_error err = AIOS_INIT(aios_error);
    durable_open(&d, "echo:call add {\"a\":1,\"b\":2};turn;call act {};turn;say done");
    aios_run *r = start_as(&d, "one");
    assert_string_equal(aios_run_id(r), "one");
    pull_all(r, &l);
    aios_run_free(r);
    must(aios_store_read(d.store, "run/one", 0, add_kind, kinds, &err), &err);
    assert_string_equal(kinds, "1 3 7 3 4 7 3 8");
    aios_store_info info = AIOS_INIT(aios_store_info);
    assert_int_equal(aios_store_info_get(d.store, &info), 0);
    assert_int_equal(info.n_commits, 5); /* begin; read turn; intent; receipt; end */
    durable_close(&d);
}

static int take_info(void *user, const aios_run_info *info)
{
    aios_run_info *out = user;
    *out = *info;
    return 0;
}

static void runs_of_a_store_are_told(void **state)
{
    (void)state;
    durable d;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    durable_open(&d, "echo:call act {};turn;say done");
    int32_t ask = AIOS_ASK;
    d.w.policy.user = &ask;
    aios_agent_free(d.w.agent);
    world_agent(&d.w);
    aios_run *r = start_as(&d, "told");
    pull_to(r, AIOS_EVENT_ASK);
    const aios_event *ev;
    assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN);
    must(aios_run_list(d.w.ctx, d.store, take_info, &info, &err), &err);
    assert_string_equal(info.id, "told");
    assert_int_equal(info.state, AIOS_RUN_ASK);
    assert_int_equal(info.n_asks, 1);
    assert_int_equal(info.n_turns, 1);
    assert_int_equal(info.n_calls, 1);
    assert_true(info.began_us > 0 && info.changed_us >= info.began_us && info.n_records == 3);
    aios_run_cancel(r);
    pull_to(r, AIOS_EVENT_ERROR);
    aios_run_free(r);
    must(aios_run_info_get(d.w.ctx, d.store, "told", &info, &err), &err);
    assert_int_equal(info.state, AIOS_RUN_STOPPED);
    assert_int_equal(info.code, AIOS_ECANCELED);
    must(aios_run_resume(d.w.agent, "told", &r, &err), &err);
    ev = pull_to(r, AIOS_EVENT_ASK);
    must(aios_run_decide(r, ev->call_id, AIOS_ALLOW, &err), &err);
    ev = pull_to(r, AIOS_EVENT_DONE);
    assert_string_equal(ev->text, "done");
    aios_run_free(r);
    must(aios_run_info_get(d.w.ctx, d.store, "told", &info, &err), &err);
    assert_int_equal(info.state, AIOS_RUN_DONE);
    assert_int_equal(info.n_resumes, 1);
    assert_int_equal(info.n_turns, 2);
    assert_int_equal(aios_run_info_get(d.w.ctx, d.store, "none", &info, &err), AIOS_ENOENT);
    durable_close(&d);
}

static void run_that_is_done_gives_its_answer_again(void **state)
{
    (void)state;
    durable d;
    log_text l = {0};
    aios_error err = AIOS_INIT(aios_error);
    durable_open(&d, "echo:say hello world");
    aios_run *r = start_as(&d, "done");
    pull_all(r, &l);
    aios_run_free(r);
    for (int i = 0; i < 2; i++) {
        memset(&l, 0, sizeof l);
        must(aios_run_resume(d.w.agent, "done", &r, &err), &err);
        pull_all(r, &l);
        assert_string_equal(l.s, "done(stop):hello world");
        aios_run_free(r);
    }
    durable_close(&d);
}

static void one_writer_has_a_run(void **state)
{
    (void)state;
    durable d;
    aios_run *r = NULL, *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    durable_open(&d, "echo:call act {};turn;say done");
    r = start_as(&d, "mine");
    assert_int_equal(aios_run_resume(d.w.agent, "mine", &s, &err), AIOS_EBUSY);
    assert_null(s);
    assert_int_equal(aios_run_resume(d.w.agent, "other", &s, &err), AIOS_ENOENT);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "mine";
    assert_int_equal(aios_run_start_with(d.w.agent, &o, &s, &err), AIOS_EBUSY);
    aios_run_free(r);
    assert_int_equal(aios_run_start_with(d.w.agent, &o, &s, &err), AIOS_EEXIST);
    o.id = "no/slash";
    assert_int_equal(aios_run_start_with(d.w.agent, &o, &s, &err), AIOS_EINVAL);
    durable_close(&d);
}

/* One who has lost the run, and does not know it yet. */
static void stale_writer_stops_before_the_effect(void **state)
{
    (void)state;
    durable d;
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    static const char claim[] = "{\"v\":1,\"turns\":0,\"calls\":0,\"tokens\":0,\"used_ns\":0}";
    _Atomic int acted = 0;
    durable_open(&d, "echo:call count {};turn;say done");
    aios_tool t = make_tool("count", tool_count, &acted);
    t.effect = AIOS_EFFECT_UNSAFE;
    world_tool(&d.w, t);
    aios_run *r = start_as(&d, "lost");
    w.stream = "run/lost";
    w.data = claim;
    w.n_data = sizeof claim - 1;
    w.kind = 2;
    must(aios_store_commit(d.store, &w, 1, sizeof w, NULL, &err), &err);
    const aios_event *ev = pull_to(r, AIOS_EVENT_ERROR);
    assert_int_equal(ev->error->code, AIOS_ECONFLICT);
    assert_int_equal(acted, 0);
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    must(aios_run_resume(d.w.agent, "lost", &r, &err), &err);
    pull_to(r, AIOS_EVENT_DONE);
    assert_int_equal(acted, 1);
    aios_run_free(r);
    durable_close(&d);
}

static void another_agent_is_refused_and_told_why(void **state)
{
    (void)state;
    durable d;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    durable_open(&d, "echo:say hello");
    aios_run_free(start_as(&d, "a"));
    aios_agent_free(d.w.agent);
    d.w.cfg.instructions = "be another";
    world_agent(&d.w);
    assert_int_equal(aios_run_resume(d.w.agent, "a", &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "instructions"));
    aios_agent_free(d.w.agent);
    d.w.cfg.instructions = NULL;
    world_tool(&d.w, make_tool("late", tool_key, NULL));
    world_agent(&d.w);
    assert_int_equal(aios_run_resume(d.w.agent, "a", &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "the tool late is new"));
    aios_agent_free(d.w.agent);
    d.w.cfg.flags = AIOS_AGENT_CHANGED;
    world_agent(&d.w);
    must(aios_run_resume(d.w.agent, "a", &r, &err), &err);
    pull_to(r, AIOS_EVENT_DONE);
    aios_run_free(r);
    durable_close(&d);
}

/* The tool as it was, gone, or one that takes other arguments; a policy that asked, or allows by now. */
static void change_agent(durable *d, int tool, int32_t *verdict)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_free(d->w.agent);
    aios_toolset_free(d->w.ts);
    must(aios_toolset_new(d->w.ctx, &d->w.ts, &err), &err);
    aios_tool act = make_tool(tool == 1 ? "other" : "act", tool_key, NULL);
    act.effect = AIOS_EFFECT_KEYED;
    if (tool == 2)
        act.schema_json = add_schema;
    world_tool(&d->w, act);
    d->w.cfg.toolset = d->w.ts;
    d->w.cfg.flags = AIOS_AGENT_CHANGED;
    d->w.policy.user = verdict;
    world_agent(&d->w);
}

static void a_no_holds_whatever_has_changed(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        durable d;
        char name[80];
        log_text l = {0};
        int32_t ask = AIOS_ASK, now = i / 3 ? AIOS_ALLOW : AIOS_ASK;
        aios_error err = AIOS_INIT(aios_error);
        durable_open(&d, "echo:call act {};turn;say done");
        change_agent(&d, 0, &ask);
        aios_run *r = start_as(&d, "no");
        const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
        snprintf(name, sizeof name, "%s", ev->digest ? ev->digest : ev->call_id);
        assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN);
        aios_run_free(r);
        must(aios_run_approve(d.w.ctx, d.store, "no", name, AIOS_DENY, &err), &err);
        change_agent(&d, i % 3, &now);
        must(aios_run_resume(d.w.agent, "no", &r, &err), &err);
        while (!aios_run_next(r, -1, &ev))
            log_event(&l, ev);
        if (!strstr(l.s, "result(EDENIED):error: the user denied this call|") || strstr(l.s, "ask:") || !strstr(l.s, "done(stop):done"))
            fail_msg("change %d: %s", i, l.s);
        aios_run_free(r);
        durable_close(&d);
    }
}

/* ---- hooks -------------------------------------------------------------------------------------------------------- */

typedef struct audit {
    aios_store_write row;
    int n_prepared, n_settled, refuse, last;
} audit;

static int prepare(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    audit *a = user;
    assert_string_equal(run_id, "audited");
    assert_true(n > 0 && records[0].n_data > 0);
    a->row = (aios_store_write)AIOS_INIT(aios_store_write);
    a->row.stream = "audit/x";
    a->row.data = "row";
    a->row.n_data = 3;
    more->writes = &a->row;
    more->stride = sizeof a->row;
    more->n = 1;
    return ++a->n_prepared == a->refuse ? AIOS_EDENIED : 0;
}

static void settle(void *user, const char *run_id, int32_t code)
{
    audit *a = user;
    (void)run_id;
    a->n_settled++;
    a->last = code;
}

static void hook_adds_to_every_commit(void **state)
{
    (void)state;
    durable d;
    log_text l = {0};
    audit a = {.refuse = 3};
    aios_error err = AIOS_INIT(aios_error);
    aios_commit_hook hook = AIOS_INIT(aios_commit_hook);
    uint64_t head = 0;
    hook.user = &a;
    hook.prepare = prepare;
    hook.settle = settle;
    durable_open(&d, "echo:call act {};turn;say done");
    aios_agent_free(d.w.agent);
    d.w.cfg.hook = &hook;
    world_agent(&d.w);
    aios_run *r = start_as(&d, "audited");
    pull_all(r, &l);
    assert_int_equal(l.code, AIOS_EDENIED);
    aios_run_free(r);
    must(aios_store_head(d.store, "audit/x", &head, &err), &err);
    assert_int_equal(head, 2);
    memset(&l, 0, sizeof l);
    must(aios_run_resume(d.w.agent, "audited", &r, &err), &err);
    pull_all(r, &l);
    assert_int_equal(l.code, 0);
    aios_run_free(r);
    must(aios_store_head(d.store, "audit/x", &head, &err), &err);
    assert_int_equal(head, a.n_settled);
    assert_int_equal(a.last, 0);
    durable_close(&d);
}

typedef struct rowed {
    aios_store_write row;
    int refuse, n_prepared, n_settled, settled;
    bool many, nowhere;
} rowed;

static int prepare_row(void *user, const char *run_id, const aios_store_write *records, uint32_t n, aios_commit_more *more)
{
    rowed *d = user;
    assert_string_equal(run_id, "rows");
    assert_int_equal(n, 1);
    d->n_prepared++;
    d->row = (aios_store_write)AIOS_INIT(aios_store_write);
    d->row.stream = "rows";
    d->row.data = records[0].data;
    d->row.n_data = records[0].n_data;
    d->row.kind = records[0].kind;
    d->row.seq = d->many ? 99 : 0;
    more->writes = d->nowhere ? NULL : &d->row;
    more->stride = sizeof d->row;
    more->n = 1;
    return d->refuse;
}

static void settle_row(void *user, const char *run_id, int32_t code)
{
    rowed *d = user;
    assert_string_equal(run_id, "rows");
    d->n_settled++;
    d->settled = code;
}

static uint64_t head_of(const durable *d, const char *stream)
{
    aios_error err = AIOS_INIT(aios_error);
    uint64_t head = 0;
    must(aios_store_head(d->store, stream, &head, &err), &err);
    return head;
}

/* Record and row, or neither. */
static void a_hook_adds_to_what_is_decided_away(void **state)
{
    (void)state;
    durable d;
    char digest[65];
    aios_error err = AIOS_INIT(aios_error);
    rowed row = {.refuse = 0};
    int32_t ask = AIOS_ASK;
    aios_commit_hook hook = AIOS_INIT(aios_commit_hook), bad = {.struct_size = 1};
    hook.user = &row;
    hook.prepare = prepare_row;
    hook.settle = settle_row;
    durable_open(&d, "echo:call act {\"n\":1};turn;say ok");
    aios_agent_free(d.w.agent);
    d.w.policy.user = &ask;
    world_agent(&d.w);
    aios_run *r = start_as(&d, "rows");
    const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
    snprintf(digest, sizeof digest, "%s", ev->digest ? ev->digest : ev->call_id);
    assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN);
    aios_run_free(r);
    uint64_t head = head_of(&d, "run/rows");
    assert_int_equal(aios_run_approve_with(d.w.ctx, d.store, "rows", digest, AIOS_ALLOW, &bad, &err), AIOS_EINVAL);
    row.refuse = AIOS_EIO;
    assert_int_equal(aios_run_approve_with(d.w.ctx, d.store, "rows", digest, AIOS_ALLOW, &hook, &err), AIOS_EIO);
    assert_int_equal(aios_run_abandon_with(d.w.ctx, d.store, "rows", &hook, &err), AIOS_EIO);
    row.refuse = 0;
    row.nowhere = true;
    assert_int_equal(aios_run_approve_with(d.w.ctx, d.store, "rows", digest, AIOS_ALLOW, &hook, &err), AIOS_EINVAL);
    assert_int_equal(row.settled, AIOS_EINVAL);
    row.nowhere = false;
    row.many = true; /* the row's number is taken: its commit fails */
    assert_int_equal(aios_run_approve_with(d.w.ctx, d.store, "rows", digest, AIOS_ALLOW, &hook, &err), AIOS_ECONFLICT);
    assert_int_equal(row.settled, AIOS_ECONFLICT);
    assert_int_equal(aios_run_abandon_with(d.w.ctx, d.store, "rows", &hook, &err), AIOS_ECONFLICT);
    assert_int_equal(head_of(&d, "run/rows"), head);
    assert_int_equal(head_of(&d, "rows"), 0);
    row.many = false;
    must(aios_run_approve_with(d.w.ctx, d.store, "rows", digest, AIOS_ALLOW, &hook, &err), &err);
    must(aios_run_abandon_with(d.w.ctx, d.store, "rows", &hook, &err), &err);
    assert_int_equal(row.settled, 0);
    must(aios_run_abandon_with(d.w.ctx, d.store, "rows", &hook, &err), &err); /* already: no record, no row */
    assert_int_equal(head_of(&d, "run/rows"), head + 2);
    assert_int_equal(head_of(&d, "rows"), 2);
    assert_int_equal(row.n_prepared, row.n_settled + 2); /* those that were refused */
    durable_close(&d);
}

/* ---- journals of enemies ------------------------------------------------------------------------------------------ */

static void put_record(durable *d, const char *stream, uint32_t kind, const char *data, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = stream;
    w.data = data;
    w.n_data = n;
    w.kind = kind;
    must(aios_store_commit(d->store, &w, 1, sizeof w, NULL, &err), &err);
}

typedef struct copied {
    char *data[32];
    size_t n[32];
    uint32_t kind[32];
    int count;
} copied;

static int copy_record(void *user, const aios_record *r)
{
    copied *c = user;
    c->data[c->count] = malloc(r->n_data);
    memcpy(c->data[c->count], r->data, r->n_data);
    c->n[c->count] = r->n_data;
    c->kind[c->count++] = r->kind;
    return 0;
}

/* Either it is refused with a code of its kind, or the run ends as runs end. */
static void try_journal(durable *d, const char *id)
{
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    int rc = aios_run_resume(d->w.agent, id, &r, &err);
    if (rc && rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_ESTATE && rc != AIOS_ELIMIT)
        fail_msg("%d: %s", rc, err.msg);
    assert_true(!rc == !!r);
    const aios_event *ev;
    for (int i = 0; r && i < 200 && !aios_run_next(r, -1, &ev); i++)
        if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN)
            aios_run_decide(r, ev->call_id, AIOS_DENY, NULL);
    if (r && rc == 0)
        check_whole(aios_run_transcript(r));
    aios_run_free(r);
    assert_int_equal(aios_run_info_get(d->w.ctx, d->store, id, &info, &err), 0);
}

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void journal_of_an_enemy_is_refused_or_read(void **state)
{
    (void)state;
    durable d;
    copied c = {0};
    log_text l = {0};
    uint64_t x = 88172645463325252u;
    char id[32], stream[40];
    aios_error err = AIOS_INIT(aios_error);
    durable_open(&d, "echo:call add {\"a\":1,\"b\":2};call act {};call nobody {};turn;call act {\"n\":2};turn;say done");
    aios_run *r = start_as(&d, "model");
    pull_all(r, &l);
    aios_run_free(r);
    must(aios_store_read(d.store, "run/model", 0, copy_record, &c, &err), &err);
    for (int round = 0; round < 1500; round++) {
        int what = (int)(next_random(&x) % 4), at = (int)(next_random(&x) % (uint64_t)c.count), upto = c.count - (int)(next_random(&x) % 3);
        snprintf(id, sizeof id, "enemy-%d", round);
        snprintf(stream, sizeof stream, "run/%s", id);
        for (int i = 0; i < upto; i++) {
            char *p = malloc(c.n[i] + 1);
            memcpy(p, c.data[i], c.n[i]);
            size_t n = c.n[i], pos = next_random(&x) % n;
            if (i == at && what == 0)
                p[pos] = (char)next_random(&x);
            if (i == at && what == 1)
                n = pos;
            if (i != at || what != 2) /* 2: it is gone */
                put_record(&d, stream, i == at && what == 3 ? (uint32_t)(next_random(&x) % 10) : c.kind[i], p, n);
            free(p);
        }
        try_journal(&d, id);
    }
    for (int i = 0; i < c.count; i++)
        free(c.data[i]);
    durable_close(&d);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

/* They hold over all lives of a run. */
static void limits_count_on(void **state)
{
    (void)state;
    durable d;
    aios_error err = AIOS_INIT(aios_error);
    durable_open(&d, "echo:call act {\"n\":1};turn;call act {\"n\":2};turn;call act {\"n\":3};turn;say done");
    aios_agent_free(d.w.agent);
    d.w.limits.max_turns = 3;
    world_agent(&d.w);
    aios_run *r = start_as(&d, "limited");
    pull_to(r, AIOS_EVENT_RESULT);
    pull_to(r, AIOS_EVENT_RESULT);
    aios_run_free(r);
    must(aios_run_resume(d.w.agent, "limited", &r, &err), &err);
    const aios_event *ev = pull_to(r, AIOS_EVENT_ERROR);
    assert_int_equal(ev->error->code, AIOS_ELIMIT);
    aios_run_free(r);
    aios_agent_free(d.w.agent);
    d.w.limits.max_turns = 4;
    world_agent(&d.w);
    must(aios_run_resume(d.w.agent, "limited", &r, &err), &err);
    ev = pull_to(r, AIOS_EVENT_DONE);
    assert_string_equal(ev->text, "done");
    aios_run_free(r);
    durable_close(&d);
}

/* ---- lack of memory ----------------------------------------------------------------------------------------------- */

/* Resumes and runs to the end; 0 or the first failure. */
static int resume_whole(durable *d, aios_error *err)
{
    aios_run *r;
    const aios_event *ev;
    int rc = aios_run_resume(d->w.agent, "poor", &r, err), result = AIOS_EINTERNAL;
    if (rc)
        return rc;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_ERROR)
            result = ev->error->code;
        if (ev->type == AIOS_EVENT_DONE)
            result = 0;
    }
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    return result;
}

static void resume_at_every_lack_of_memory(void **state)
{
    (void)state;
    long failed = 0, at = 1;
    for (bool hit = true; hit; at++) {
        durable d;
        test_heap h = {0};
        aios_error err = AIOS_INIT(aios_error);
        durable_open_on(&d, &h, "echo:call add {\"a\":1,\"b\":2};call act {};turn;call act {\"n\":2};turn;say done");
        aios_run *r = start_as(&d, "poor");
        pull_to(r, AIOS_EVENT_RESULT);
        aios_run_free(r);
        h.n_allocs = 0;
        h.fail_at = at;
        int rc = resume_whole(&d, &err);
        hit = test_heap_heal(&h);
        if (rc && rc != AIOS_ENOMEM)
            fail_msg("allocation %ld: %s: %s", at, aios_code_name(rc), err.msg);
        failed += rc != 0;
        if (rc)
            must(resume_whole(&d, &err), &err);
        durable_close(&d);
        assert_int_equal(h.live, 0);
    }
    assert_true(failed > 50);
}

/* Rules, a handle, a decision between two lives. */
static int whole_life(aios_ctx *ctx, aios_error *err)
{
    static const char policy[] = "{\"version\":1,\"endorse_bits\":2,\"rule_of_two\":false,\"capabilities\":[{\"tool\":\"far\"},{\"tool\":\"act\",\"verdict\":\"ask\","
                                 "\"confidentiality\":\"any\",\"max_calls\":2}]}";
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_policy p = AIOS_INIT(aios_policy);
    aios_agent *a = NULL;
    aios_run *r = NULL;
    const aios_event *ev;
    char digest[65] = "";
    cfg.policy = &p;
    aios_tool mail = make_tool("far", tool_key, NULL), act = make_tool("act", tool_key, NULL);
    mail.flags = AIOS_TOOL_HANDLE;
    act.effect = AIOS_EFFECT_KEYED;
    int rc = aios_model_open(ctx, "echo:call far {\"n\":1};turn;call act {\"to\":\"$v1\"};turn;say ok", NULL, &cfg.model, err);
    rc = rc ? rc : aios_toolset_new(ctx, &cfg.toolset, err);
    rc = rc ? rc : aios_toolset_add(cfg.toolset, &mail, err);
    rc = rc ? rc : aios_toolset_add(cfg.toolset, &act, err);
    rc = rc ? rc : aios_rules_parse(ctx, policy, AIOS_CSTR, &p.rules, err);
    rc = rc ? rc : aios_store_open(ctx, "memory:", NULL, &cfg.store, err);
    rc = rc ? rc : aios_agent_new(ctx, &cfg, &a, err);
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "go";
    o.n_prompt = 2;
    o.id = "poor";
    rc = rc ? rc : aios_run_start_with(a, &o, &r, err);
    for (int life = 0; life < 2 && !rc; life++) {
        bool left = false;
        while (!left && !aios_run_next(r, -1, &ev)) {
            if (ev->type == AIOS_EVENT_ERROR)
                rc = err->code = ev->error->code, snprintf(err->msg, sizeof err->msg, "%s", ev->error->msg);
            if (ev->type == AIOS_EVENT_ASK)
                snprintf(digest, sizeof digest, "%s", ev->digest ? ev->digest : ev->call_id);
        }
        aios_run_free(r);
        r = NULL;
        rc = rc || life ? rc : aios_run_approve(ctx, cfg.store, "poor", digest, AIOS_ALLOW, err);
        rc = rc || life ? rc : aios_run_resume(a, "poor", &r, err);
    }
    aios_run_free(r);
    aios_agent_free(a);
    aios_store_close(cfg.store);
    aios_rules_free(p.rules);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    return rc;
}

static void lives_at_every_lack_of_memory(void **state)
{
    (void)state;
    refuse_every_allocation(whole_life, 1);
}

static int find_unasked(void *user, const aios_record *r)
{
    char *out = user;
    if (r->kind == 6)
        snprintf(out, 512, "%.*s", (int)r->n_data, (const char *)r->data);
    return 0;
}

/* That nobody could be asked is in the journal, and read out of it by a life that has no result yet. */
static void nobody_is_said_to_have_denied(void **state)
{
    static const char record[] = "{\"v\":1,\"step\":0,\"call\":0,\"verdict\":\"deny\",\"again\":false,\"unasked\":true}";
    (void)state;
    for (int life = 0; life < 2; life++) {
        durable d;
        char said[512] = "";
        int32_t ask = AIOS_ASK;
        aios_error err = AIOS_INIT(aios_error);
        durable_open(&d, "echo:call act {};turn;say over");
        d.w.policy.user = &ask;
        aios_agent_free(d.w.agent);
        world_agent(&d.w);
        aios_run *r = start_as(&d, "one");
        const aios_event *ev = pull_to(r, AIOS_EVENT_ASK);
        assert_int_equal(aios_run_decide(r, ev->call_id, AIOS_ASK, &err), AIOS_EINVAL);
        if (life) { /* the record alone, as one that died behind it leaves it */
            assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
            aios_run_free(r);
            put_record(&d, "run/one", 6, record, sizeof record - 1);
            must(aios_run_resume(d.w.agent, "one", &r, &err), &err);
        } else {
            must(aios_run_decide(r, ev->call_id, AIOS_UNASKED, &err), &err);
        }
        ev = pull_to(r, AIOS_EVENT_RESULT);
        assert_int_equal(ev->code, AIOS_EDENIED);
        assert_non_null(strstr(ev->text, "nobody could be asked"));
        pull_to(r, AIOS_EVENT_DONE);
        aios_run_free(r);
        must(aios_store_read(d.store, "run/one", 0, find_unasked, said, &err), &err);
        assert_non_null(strstr(said, "\"verdict\":\"deny\",\"again\":false,\"unasked\":true}"));
        durable_close(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(journal_has_each_step_in_order),
        cmocka_unit_test(runs_of_a_store_are_told),
        cmocka_unit_test(run_that_is_done_gives_its_answer_again),
        cmocka_unit_test(one_writer_has_a_run),
        cmocka_unit_test(stale_writer_stops_before_the_effect),
        cmocka_unit_test(another_agent_is_refused_and_told_why),
        cmocka_unit_test(a_no_holds_whatever_has_changed),
        cmocka_unit_test(hook_adds_to_every_commit),
        cmocka_unit_test(a_hook_adds_to_what_is_decided_away),
        cmocka_unit_test(journal_of_an_enemy_is_refused_or_read),
        cmocka_unit_test(limits_count_on),
        cmocka_unit_test(resume_at_every_lack_of_memory),
        cmocka_unit_test(lives_at_every_lack_of_memory),
        cmocka_unit_test(nobody_is_said_to_have_denied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
