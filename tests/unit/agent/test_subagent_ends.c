/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that other agents call as tools: many of them, their ends, who drives them, their stores. */
#include <poll.h>

#include "compose_test.h"

static pair p;

/* ---- many at once ------------------------------------------------------------------------------------------------- */

static void several_calls_of_one_turn_run_side_by_side(void **state)
{
    (void)state;
    pair_run(&p, "echo:call helper {\"prompt\":\"one\"}; call helper {\"prompt\":\"two\"}; call helper {\"prompt\":\"three\"}; result", "echo:say a b c");
    const char *first = strstr(p.log.s, "|result:");
    int begun = 0;
    for (const char *s = p.log.s; (s = strstr(s, ">agent")) && s < first; s++)
        begun++;
    assert_int_equal(begun, 3); /* all before the first ends */
    assert_non_null(strstr(p.log.s, ">text:a|>text:a|>text:a"));
    assert_int_equal(count_text(p.log.s, "|result:a b c"), 3);
}

static void a_thousand_calls_are_a_few_at_a_time(void **state)
{
    enum { CALLS = 1000 };
    (void)state;
    static char uri[CALLS * 48];
    size_t n = (size_t)snprintf(uri, sizeof uri, "echo:set n_ctx 100000;");
    for (int i = 0; i < CALLS; i++)
        n += (size_t)snprintf(uri + n, sizeof uri - n, "call helper {\"prompt\":\"%d\"};", i);
    snprintf(uri + n, sizeof uri - n, "say all");
    pair_open(&p, uri, "echo:");
    p.w.limits.max_calls = p.w.limits.max_turns = 3 * CALLS;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    const aios_event *ev;
    int open = 0, most = 0, results = 0;
    while (!aios_run_next(r, -1, &ev)) {
        open += ev->depth && ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "agent");
        most = open > most ? open : most;
        if (ev->type == AIOS_EVENT_RESULT) {
            char want[16];
            int id = 0;
            sscanf(ev->call_id, "call_%d", &id);
            snprintf(want, sizeof want, "%d", id - 1);
            assert_string_equal(ev->text, want);
            results++;
            open--;
        }
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
    }
    assert_int_equal(results, CALLS);
    assert_true(most > 1 && most <= 16);
    aios_run_free(r);
    pair_close(&p);
}

/* ---- failures and ends -------------------------------------------------------------------------------------------- */

static void whatever_it_fails_with_is_a_result(void **state)
{
    static const int codes[] = {
#define X(name, number, text) number,
        AIOS_CODES(X)
#undef X
    };
    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char uri[96], want[96];
        if (codes[i] >= 0)
            continue;
        snprintf(uri, sizeof uri, "echo:say half; fail %s broken", aios_code_name(codes[i]));
        snprintf(want, sizeof want, "|result(%s):error: ", aios_code_name(codes[i]));
        pair_run(&p, "echo:call helper {\"prompt\":\"x\"}; say still here", uri);
        assert_non_null(strstr(p.log.s, want));
        assert_non_null(strstr(p.log.s, "done(stop):still here"));
    }
}

static const char busy_uri[] = "echo:call helper {\"prompt\":\"x\"}; call helper {\"prompt\":\"y\"}; call add {\"a\":1,\"b\":2}; say end";
static const char busy_helper[] = "echo:say let me; call add {\"a\":1,\"b\":2}; call deeper {\"prompt\":\"z\"}; turn; say done";

static void three_levels(other *deep)
{
    pair_open(&p, busy_uri, busy_helper);
    other_open(&p.w, deep, "echo:call add {\"a\":4,\"b\":2}; say deep");
    other_agent(&p.w, deep);
    add_agent(p.o.ts, deep->agent, "deeper");
    pair_agents(&p);
}

/* Pulls n events, then cancels or frees. */
static bool stop_after(int n, bool cancel)
{
    other deep;
    const aios_event *ev;
    int seen = 0, calls = 0, results = 0, rc;
    three_levels(&deep);
    aios_run *r = world_start(&p.w, NULL, "go");
    while (seen < n && !aios_run_next(r, -1, &ev)) {
        seen++;
        calls += ev->type == AIOS_EVENT_CALL;
        results += ev->type == AIOS_EVENT_RESULT;
    }
    bool over = seen < n;
    if (cancel)
        aios_run_cancel(r);
    while (cancel && (rc = aios_run_next(r, -1, &ev)) != AIOS_DONE) {
        assert_int_equal(rc, 0);
        calls += ev->type == AIOS_EVENT_CALL;
        results += ev->type == AIOS_EVENT_RESULT;
        if (ev->type == AIOS_EVENT_ERROR)
            assert_int_equal(ev->error->code, AIOS_ECANCELED);
    }
    if (cancel) {
        assert_int_equal(calls, results);
        check_whole(aios_run_transcript(r));
    }
    aios_run_free(r);
    other_close(&deep);
    pair_close(&p);
    return over;
}

static void it_can_be_cancelled_at_any_event(void **state)
{
    (void)state;
    int n = 0;
    while (!stop_after(n, true))
        n++;
    assert_true(n > 50);
}

static void it_can_be_freed_at_any_event(void **state)
{
    (void)state;
    int n = 0;
    while (!stop_after(n, false))
        n++;
    assert_true(n > 50);
}

typedef struct pending {
    aios_call *calls[3];
    int n;
} pending;

static int tool_pend(void *user, aios_call *call)
{
    pending *w = user;
    if (w->n < 3)
        w->calls[w->n++] = call;
    return AIOS_AGAIN;
}

/* A run whose agent has begun three calls, and is gone. */
static void leave_begun(pending *w)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_run *r;
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "top";
    must(aios_run_start_with(p.w.agent, &o, &r, &err), &err);
    while (w->n < 3)
        aios_run_next(r, 0, &ev);
    aios_run_free(r);
    for (int i = 0; i < 3; i++)
        aios_call_finish(w->calls[i], 0, "too late", AIOS_CSTR);
}

/* Whatever is told to be unknown can be answered there and then, also when the run has been cancelled meanwhile. */
static void what_is_told_as_unknown_waits_for_an_answer(void **state)
{
    (void)state;
    bool over = false;
    int told = 0;
    for (int n = 0; !over; n++) {
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        aios_store *st;
        aios_run *r;
        pending w = {.n = 0};
        int seen = 0;
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; say end", "echo:call write {\"n\":1}; call write {\"n\":2}; call write {\"n\":3}; say done");
        aios_tool t = make_tool("write", tool_pend, &w);
        t.effect = AIOS_EFFECT_UNSAFE;
        must(aios_toolset_add(p.o.ts, &t, &err), &err);
        must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
        p.w.cfg.store = p.o.cfg.store = st;
        pair_agents(&p);
        leave_begun(&w);
        must(aios_run_resume(p.w.agent, "top", &r, &err), &err);
        for (; !aios_run_next(r, -1, &ev); seen++) {
            told += ev->type == AIOS_EVENT_UNKNOWN;
            if (ev->type == AIOS_EVENT_UNKNOWN && aios_run_decide(r, ev->call_id, AIOS_DENY, &err))
                fail_msg("cancelled after %d events: %s", n, err.msg);
            if (seen == n)
                aios_run_cancel(r);
        }
        over = seen <= n;
        aios_run_free(r);
        aios_store_close(st);
        pair_close(&p);
    }
    assert_true(told > 20);
}

static int tool_cancel(void *user, aios_call *call)
{
    aios_run_cancel(*(aios_run **)user);
    return aios_call_finish(call, 0, "cancelled it", AIOS_CSTR);
}

static int tool_free(void *user, aios_call *call)
{
    aios_run_free(*(aios_run **)user);
    return aios_call_finish(call, 0, "freed it", AIOS_CSTR);
}

static void a_tool_below_may_end_the_run_above(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        aios_run *r = NULL;
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call end {}; result");
        aios_tool t = make_tool("end", i ? tool_free : tool_cancel, &r);
        must(aios_toolset_add(p.o.ts, &t, &err), &err);
        pair_agents(&p);
        r = world_start(&p.w, NULL, "go");
        int rc, code = 0;
        while (!(rc = aios_run_next(r, -1, &ev)))
            code = ev->type == AIOS_EVENT_ERROR ? ev->error->code : code;
        assert_int_equal(rc, AIOS_DONE);
        assert_int_equal(code, i ? 0 : AIOS_ECANCELED);
        if (!i)
            aios_run_free(r);
        pair_close(&p);
    }
}

static void time_above_is_time_below(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; say too late", "echo:say a; delay 10000; say b");
        *(i ? &p.o.limits.timeout_ns : &p.w.limits.timeout_ns) = 50000000;
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        pull_deep(r, &p.log, AIOS_DENY);
        assert_int_equal(p.log.code, i ? 0 : AIOS_ETIMEDOUT);
        assert_int_equal(count_text(p.log.s, "|result(ETIMEDOUT)"), i);
        aios_run_free(r);
        pair_close(&p);
    }
}

static int tool_write(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "written", AIOS_CSTR);
}

/* ---- what was used is used ---------------------------------------------------------------------------------------- */

/* "go" calls helper, which calls deeper, which asks: three turns and three calls by then. */
typedef struct levels {
    other deep;
    aios_store *st; /* of "top", and by the bits of `which` of helper (2) and of deeper (4) */
} levels;

static void levels_open(levels *l, int which)
{
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; say went on", "echo:call deeper {\"prompt\":\"z\"}; say helped");
    other_open(&p.w, &l->deep, "echo:call write {}; say deep");
    l->deep.policy.decide = NULL;
    aios_tool t = make_tool("write", tool_write, NULL);
    t.effect = AIOS_EFFECT_LOCAL;
    must(aios_toolset_add(l->deep.ts, &t, &err), &err);
    must(aios_store_open(p.w.ctx, "memory:", NULL, &l->st, &err), &err);
    p.w.cfg.store = l->st;
    p.o.cfg.store = which & 2 ? l->st : NULL;
    l->deep.cfg.store = which & 4 ? l->st : NULL;
}

static aios_run *levels_start(levels *l)
{
    aios_run *r;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    other_agent(&p.w, &l->deep);
    add_agent(p.o.ts, l->deep.agent, "deeper");
    pair_agents(&p);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "top";
    must(aios_run_start_with(p.w.agent, &o, &r, &err), &err);
    return r;
}

static void levels_close(levels *l)
{
    aios_store_close(l->st);
    other_close(&l->deep);
    pair_close(&p);
}

static void assert_used(const levels *l, uint32_t turns, uint32_t calls)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    must(aios_run_info_get(p.w.ctx, l->st, "top", &info, &err), &err);
    assert_int_equal(info.n_turns, turns);
    assert_int_equal(info.n_calls, calls);
    assert_true(info.n_tokens >= turns);
}

static void what_a_caller_used_that_failed_counts_above(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        levels l;
        const aios_event *ev;
        bool limit = i & 1;
        int rc;
        levels_open(&l, i);
        p.o.limits.timeout_ns = 30000000; /* helper ends while deeper waits */
        p.w.limits.max_turns = limit ? 3 : 0;
        aios_run *r = levels_start(&l);
        memset(&p.log, 0, sizeof p.log);
        while ((rc = aios_run_next(r, 10, &ev)) != AIOS_DONE)
            if (!rc)
                log_deep(&p.log, ev);
        assert_non_null(strstr(p.log.s, "|result(ETIMEDOUT)"));
        assert_int_equal(p.log.code, limit ? AIOS_ELIMIT : 0);
        assert_used(&l, limit ? 3 : 4, 3);
        aios_run_free(r);
        levels_close(&l);
    }
}

/* Answers all; true if it was done. */
static bool goes_on(aios_run *r)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    bool done = false;
    while (!aios_run_next(r, -1, &ev)) {
        done = ev->type == AIOS_EVENT_DONE && !strcmp(ev->text, "went on");
        if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN)
            must(aios_run_decide(r, ev->call_id, AIOS_ALLOW, &err), &err);
    }
    return done;
}

/* In the next life, too: nothing is given back, and nothing counts twice. */
static void what_an_agent_used_that_was_stopped_counts_on(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        levels l;
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        bool cancel = i & 1, helper = i & 2, deeper = helper && i & 4; /* those go on, with what they used */
        levels_open(&l, i);
        aios_run *r = levels_start(&l);
        do
            assert_int_equal(aios_run_next(r, -1, &ev), 0);
        while (ev->type != AIOS_EVENT_ASK);
        if (cancel)
            aios_run_cancel(r);
        while (cancel && !aios_run_next(r, -1, &ev))
            ;
        aios_run_free(r);
        assert_used(&l, helper ? 1 : 3, helper ? 1 : 3);
        must(aios_run_resume(p.w.agent, "top", &r, &err), &err);
        assert_true(goes_on(r));
        uint32_t again = deeper ? 0 : helper ? 1 : 2; /* turns and calls of those that began anew */
        assert_used(&l, 6 + again, 3 + again);
        aios_run_free(r);
        levels_close(&l);
    }
}

static int tool_act(void *user, aios_call *call)
{
    ++*(int *)user;
    return aios_call_finish(call, 0, "acted", AIOS_CSTR);
}

static void open_acting(other *o, aios_store *st, const char *uri, int *made)
{
    aios_error err = AIOS_INIT(aios_error);
    other_open(&p.w, o, uri);
    aios_tool act = make_tool("act", tool_act, made), wait = make_tool("wait", tool_write, NULL);
    act.effect = AIOS_EFFECT_LOCAL;
    must(aios_toolset_add(o->ts, &act, &err), &err);
    must(aios_toolset_add(o->ts, &wait, &err), &err);
    o->cfg.store = st;
}

/* What was taken four levels down is counted again before anybody else may take of it. */
static void what_was_taken_deep_below_counts_first(void **state)
{
    (void)state;
    enum { DEEP = 4 };
    static const char rules[] = "{\"version\":1,\"capabilities\":[{\"tool\":\"deeper\"},{\"tool\":\"wait\",\"verdict\":\"ask\"},{\"tool\":\"late\",\"verdict\":\"ask\"},"
                                "{\"tool\":\"act\",\"max_calls\":3}]}";
    other o[DEEP], late;
    int made = 0;
    char asks[2][80];
    uint32_t n = 0;
    const char *go = "echo:call deeper {\"prompt\":\"z\"}; result";
    aios_store *st;
    aios_run *r;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options opt = AIOS_INIT(aios_run_options);
    memset(&p, 0, sizeof p);
    world_open(&p.w, &p.heap, "echo:call deeper {\"prompt\":\"x\"}; call late {\"prompt\":\"y\"}; say end");
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    for (int i = 0; i < DEEP; i++)
        open_acting(&o[i], st, i < DEEP - 1 ? go : "echo:call act {\"n\":1}; call act {\"n\":2}; call act {\"n\":3}; call wait {}; say deep", &made);
    open_acting(&late, st, "echo:call act {\"n\":4}; result", &made);
    for (int i = DEEP; i-- > 0;) {
        other_agent(&p.w, &o[i]);
        add_agent(i ? o[i - 1].ts : p.w.ts, o[i].agent, "deeper");
    }
    other_agent(&p.w, &late);
    add_agent(p.w.ts, late.agent, "late");
    must(aios_rules_parse(p.w.ctx, rules, AIOS_CSTR, &p.w.policy.rules, &err), &err);
    p.w.cfg.store = st;
    world_agent(&p.w);
    aios_rules_free(p.w.policy.rules);
    opt.prompt = "go";
    opt.n_prompt = AIOS_CSTR;
    opt.id = "top";
    must(aios_run_start_with(p.w.agent, &opt, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_ASK)
            snprintf(asks[n++ % 2], sizeof asks[0], "%s", ev->digest ? ev->digest : ev->call_id);
    assert_int_equal(n, 2); /* late, and what waits deep below */
    aios_run_free(r);
    assert_int_equal(made, 3);
    must(aios_run_approve(p.w.ctx, st, "top", asks[0], AIOS_ALLOW, &err), &err);
    must(aios_run_resume(p.w.agent, "top", &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(made, 3);
    assert_non_null(strstr(p.log.s, ">result(EDENIED)"));
    assert_non_null(strstr(p.log.s, "done(stop):end"));
    aios_run_free(r);
    for (int i = 0; i < DEEP; i++)
        other_close(&o[i]);
    other_close(&late);
    aios_store_close(st);
    world_close(&p.w);
    assert_int_equal(p.heap.live, 0);
}

/* ---- who drives --------------------------------------------------------------------------------------------------- */

static void it_runs_on_threads_of_models_too(void **state)
{
    (void)state;
    for (int i = 1; i < 4; i++) {
        other deep;
        pair_open(&p, busy_uri, busy_helper);
        p.w.cfg.driver = i & 1 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER;
        p.o.cfg.driver = i & 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER;
        other_open(&p.w, &deep, "echo:delay 5; call add {\"a\":4,\"b\":2}; say deep");
        deep.cfg.driver = AIOS_DRIVER_THREAD;
        other_agent(&p.w, &deep);
        add_agent(p.o.ts, deep.agent, "deeper");
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        pull_deep(r, &p.log, AIOS_DENY);
        assert_non_null(strstr(p.log.s, "done(stop):end"));
        assert_int_equal(count_text(p.log.s, ">>result:6"), 2);
        aios_run_free(r);
        other_close(&deep);
        pair_close(&p);
    }
}

static void it_runs_in_a_loop_of_the_hosts(void **state)
{
    (void)state;
    other deep;
    const aios_event *ev;
    pair_open(&p, busy_uri, busy_helper);
    other_open(&p.w, &deep, "echo:delay 5; call add {\"a\":4,\"b\":2}; say deep");
    other_agent(&p.w, &deep);
    add_agent(p.o.ts, deep.agent, "deeper");
    pair_agents(&p);
    for (int late = 0; late < 30; late += 10) { /* the descriptor is asked for when some run already */
        aios_run *r = world_start(&p.w, NULL, "go");
        memset(&p.log, 0, sizeof p.log);
        int rc = 0, n = 0, waits = 0;
        while (rc != AIOS_DONE) {
            rc = aios_run_next(r, 0, &ev);
            if (!rc) {
                log_deep(&p.log, ev);
                n++;
            }
            struct pollfd f = {.fd = n >= late ? aios_run_fd(r) : -1, .events = POLLIN};
            if (rc == AIOS_AGAIN && f.fd >= 0) {
                assert_int_equal(poll(&f, 1, 5000), 1);
                waits++;
            }
        }
        assert_non_null(strstr(p.log.s, "done(stop):end"));
        assert_int_equal(count_text(p.log.s, ">>result:6"), 2);
        assert_true(waits < 2000);
        aios_run_free(r);
    }
    other_close(&deep);
    pair_close(&p);
}

/* ---- a store ------------------------------------------------------------------------------------------------------ */

static int find_called(void *user, const aios_run_info *info)
{
    if (!strncmp(info->id, "call-", 5)) {
        assert_int_equal(info->state, AIOS_RUN_DONE);
        *(int *)user += 1;
    }
    return 0;
}

static void with_a_store_its_run_has_the_name_of_the_call(void **state)
{
    (void)state;
    int n = 0;
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; call helper {\"prompt\":\"y\"}; result", "echo:call add {\"a\":1,\"b\":2}; result");
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    p.w.cfg.store = p.o.cfg.store = st;
    pair_agents(&p);
    aios_tool t = AIOS_INIT(aios_tool);
    aios_toolset_at(p.w.ts, 1, &t);
    assert_int_equal(t.effect, AIOS_EFFECT_KEYED);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(p.log.code, 0);
    must(aios_run_list(p.w.ctx, st, find_called, &n, &err), &err);
    assert_int_equal(n, 2);
    aios_run_free(r);
    aios_store_close(st);
    pair_close(&p);
}

/* The caller is given up with its agent in the middle; both go on, and what they had used counts on. */
static void it_goes_on_with_its_caller(void **state)
{
    (void)state;
    static const char child[] = "echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":2,\"b\":2}; turn; call add {\"a\":3,\"b\":2}; turn; say made it";
    for (int stop = 1; stop < 40; stop++) {
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        aios_store *st;
        char id[80];
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", child);
        must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
        p.w.cfg.store = p.o.cfg.store = st;
        p.w.limits.max_turns = 6; /* just what it takes: nothing may be counted twice */
        p.w.limits.max_calls = 4;
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        snprintf(id, sizeof id, "%s", aios_run_id(r));
        int rc = 0;
        for (int i = 0; i < stop && !rc; i++)
            rc = aios_run_next(r, -1, &ev);
        aios_run_free(r);
        must(aios_run_resume(p.w.agent, id, &r, &err), &err);
        pull_deep(r, &p.log, AIOS_DENY);
        if (!strstr(p.log.s, "done(stop):made it"))
            fail_msg("stopped after %d events: %s (%s)", stop, p.log.s, p.log.msg);
        aios_run_free(r);
        aios_store_close(st);
        pair_close(&p);
    }
}

static int keep_called(void *user, const aios_run_info *info)
{
    if (!strncmp(info->id, "call-", 5))
        snprintf(user, 72, "%s", info->id);
    return 0;
}

static void one_that_somebody_else_has_stops_the_caller(void **state)
{
    (void)state;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st;
    aios_run *r;
    aios_claim *theirs;
    char id[80] = "", called[80] = "run/";
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:say a b c d; call add {\"a\":1,\"b\":2}; say done");
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    p.w.cfg.store = p.o.cfg.store = st;
    pair_agents(&p);
    r = world_start(&p.w, NULL, "go");
    snprintf(id, sizeof id, "%s", aios_run_id(r));
    while (!aios_run_next(r, -1, &ev) && ev->type != AIOS_EVENT_TEXT)
        ;
    aios_run_free(r);
    must(aios_run_list(p.w.ctx, st, keep_called, called + 4, &err), &err);
    must(aios_store_claim(st, called, NULL, &theirs, &err), &err);
    must(aios_run_resume(p.w.agent, id, &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(p.log.code, AIOS_EBUSY);
    aios_run_free(r);
    aios_claim_release(theirs);
    must(aios_run_resume(p.w.agent, id, &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "done(stop):done"));
    aios_run_free(r);
    aios_store_close(st);
    pair_close(&p);
}

/* ---- telemetry ---------------------------------------------------------------------------------------------------- */

static char spans[65536];

static int take_spans(void *user, const char *signal, const char *json, size_t n)
{
    (void)user;
    if (!strcmp(signal, "traces"))
        snprintf(spans, sizeof spans, "%.*s", (int)n, json);
    return 0;
}

/* The member of the span that has this name. */
static void span_id(const char *name, const char *key, char out[17])
{
    char want[64];
    const char *at = spans, *found = NULL;
    snprintf(want, sizeof want, "\"name\":\"%s", name);
    const char *end = strstr(spans, want);
    assert_non_null(end);
    for (; (at = strstr(at, key)) && at < end; at++)
        found = at;
    assert_non_null(found);
    snprintf(out, 17, "%s", found + strlen(key));
}

static void its_spans_are_under_the_span_of_the_call(void **state)
{
    (void)state;
    char call[17], parent[17];
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; result");
    c.write = take_spans;
    must(aios_telemetry_new(p.w.ctx, &c, &p.w.cfg.telemetry, &err), &err);
    p.w.cfg.name = "boss";
    p.o.cfg.name = "hand";
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    aios_run_free(r);
    assert_int_equal(aios_telemetry_flush(p.w.cfg.telemetry, -1), 0);
    span_id("execute_tool helper", "\"spanId\":\"", call);
    span_id("invoke_agent hand", "\"parentSpanId\":\"", parent);
    assert_string_equal(call, parent);
    assert_int_equal(count_text(spans, "\"traceId\":"), 8);
    aios_telemetry_free(p.w.cfg.telemetry);
    pair_close(&p);
}

/* ---- no memory ---------------------------------------------------------------------------------------------------- */

static const aios_agent_tool helper_spec = {.struct_size = sizeof(aios_agent_tool), .name = "helper"};

/* All from the model on; what could be made is in q. */
static int oom_build(pair *q, bool with_store, aios_error *err)
{
    aios_agent_config c = AIOS_INIT(aios_agent_config), o = AIOS_INIT(aios_agent_config);
    aios_tool add = make_tool("add", tool_add, NULL);
    int rc = aios_model_open(q->w.ctx, "echo:call helper {\"prompt\":\"x\"}; call helper {\"prompt\":\"y\"}; say end", NULL, &q->w.model, err);
    rc = rc ? rc : aios_model_open(q->w.ctx, "echo:call add {\"a\":1,\"b\":2}; result", NULL, &q->o.model, err);
    rc = rc ? rc : aios_toolset_new(q->w.ctx, &q->w.ts, err);
    rc = rc ? rc : aios_toolset_new(q->w.ctx, &q->o.ts, err);
    rc = rc ? rc : aios_toolset_add(q->o.ts, &add, err);
    c.model = q->w.model;
    o.model = q->o.model;
    c.toolset = q->w.ts;
    o.toolset = q->o.ts;
    o.instructions = "add";
    aios_policy all = AIOS_INIT(aios_policy);
    all.decide = allow_each;
    c.policy = &all;
    if (!rc && with_store)
        rc = aios_store_open(q->w.ctx, "memory:", NULL, &o.store, err);
    rc = rc ? rc : aios_agent_new(q->w.ctx, &o, &q->o.agent, err);
    aios_store_close(o.store);
    rc = rc ? rc : aios_toolset_add_agent(q->w.ts, q->o.agent, &helper_spec, err);
    rc = rc ? rc : aios_agent_new(q->w.ctx, &c, &q->w.agent, err);
    rc = rc ? rc : aios_toolset_add_agent(q->w.ts, q->w.agent, &(aios_agent_tool){.struct_size = sizeof(aios_agent_tool), .name = "self"}, err);
    return rc;
}

static int oom_run(pair *q, bool with_fd, aios_error *err)
{
    aios_run *r = NULL;
    const aios_event *ev;
    int rc = aios_run_start(q->w.agent, NULL, "go", AIOS_CSTR, &r, err), result = AIOS_EINTERNAL;
    if (rc)
        return rc;
    if (with_fd)
        aios_run_fd(r);
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        if (ev->type == AIOS_EVENT_ERROR)
            result = ev->error->code;
        if (ev->type == AIOS_EVENT_DONE)
            result = 0;
    }
    assert_int_equal(rc, AIOS_DONE);
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    return result;
}

static void every_allocation_fails_once_or_for_good(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        long failed = 0;
        bool hit = true;
        for (long at = 1; hit; at++) {
            aios_error err = AIOS_INIT(aios_error);
            memset(&p, 0, sizeof p);
            p.w.ctx = test_ctx(&p.heap, 0);
            p.heap.n_allocs = 0;
            p.heap.persistent = mode & 1;
            p.heap.fail_at = at;
            int rc = oom_build(&p, mode & 4, &err);
            rc = rc ? rc : oom_run(&p, mode & 2, &err);
            hit = test_heap_heal(&p.heap);
            if (rc && rc != AIOS_ENOMEM)
                fail_msg("mode %d allocation %ld: %s: %s", mode, at, aios_code_name(rc), err.msg);
            failed += rc != 0;
            other_close(&p.o);
            world_close(&p.w);
            if (p.heap.live)
                fail_msg("mode %d allocation %ld: %ld blocks leak", mode, at, p.heap.live);
        }
        assert_true(failed > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_calls_of_one_turn_run_side_by_side),
        cmocka_unit_test(a_thousand_calls_are_a_few_at_a_time),
        cmocka_unit_test(whatever_it_fails_with_is_a_result),
        cmocka_unit_test(it_can_be_cancelled_at_any_event),
        cmocka_unit_test(it_can_be_freed_at_any_event),
        cmocka_unit_test(what_is_told_as_unknown_waits_for_an_answer),
        cmocka_unit_test(a_tool_below_may_end_the_run_above),
        cmocka_unit_test(time_above_is_time_below),
        cmocka_unit_test(what_a_caller_used_that_failed_counts_above),
        cmocka_unit_test(what_an_agent_used_that_was_stopped_counts_on),
        cmocka_unit_test(what_was_taken_deep_below_counts_first),
        cmocka_unit_test(it_runs_on_threads_of_models_too),
        cmocka_unit_test(it_runs_in_a_loop_of_the_hosts),
        cmocka_unit_test(with_a_store_its_run_has_the_name_of_the_call),
        cmocka_unit_test(it_goes_on_with_its_caller),
        cmocka_unit_test(one_that_somebody_else_has_stops_the_caller),
        cmocka_unit_test(its_spans_are_under_the_span_of_the_call),
        cmocka_unit_test(every_allocation_fails_once_or_for_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
