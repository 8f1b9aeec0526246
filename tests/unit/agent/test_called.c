/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that are calls of others, in their store: whose they are, and what may be done with them but for their callers. */
#include "compose_test.h"
#include "log_store.h"

/** The world's agent calls "helper", whose calls of "pay" are asked about. */
typedef struct called {
    pair p;
    aios_store *st;
    _Atomic int paid;
    char name[80]; /* of the ask: its digest, or where it has none its call's id */
    char below[72];
} called;

static int ask_pay(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    out->verdict = strcmp(a->tool, "pay") ? AIOS_ALLOW : AIOS_ASK;
    return 0;
}

static void add_pay(called *c, aios_toolset *ts)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_tool t = make_tool("pay", tool_count, &c->paid);
    t.effect = AIOS_EFFECT_UNSAFE;
    must(aios_toolset_add(ts, &t, &err), &err);
}

static void called_open_on(called *c, const char *script, const char *below)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(c, 0, sizeof *c);
    pair_open(&c->p, script, below);
    add_pay(c, c->p.o.ts);
    c->p.o.policy.decide = ask_pay;
    must(aios_store_open(c->p.w.ctx, "memory:called", NULL, &c->st, &err), &err);
    c->p.w.cfg.store = c->p.o.cfg.store = c->st;
}

static void called_open(called *c)
{
    called_open_on(c, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call pay {}; result");
    pair_agents(&c->p);
}

static void called_close(called *c)
{
    aios_store_close(c->st);
    pair_close(&c->p);
}

static aios_run *start_as(called *c, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r = NULL;
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    must(aios_run_start_with(c->p.w.agent, &o, &r, &err), &err);
    return r;
}

static int take_below(void *user, const aios_run_info *info)
{
    called *c = user;
    if (info->n_asks || !strncmp(info->id, "call-", 5))
        snprintf(c->below, sizeof c->below, "%s", info->id);
    return 0;
}

/* Until it asks; then nobody has it. */
static void leave_at_ask(called *c, aios_run *r)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    do
        assert_int_equal(aios_run_next(r, -1, &ev), 0);
    while (ev->type != AIOS_EVENT_ASK);
    snprintf(c->name, sizeof c->name, "%s", ev->digest ? ev->digest : ev->call_id);
    assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN);
    assert_int_equal(aios_run_approve(c->p.w.ctx, c->st, aios_run_id(r), c->name, AIOS_ALLOW, &err), AIOS_EBUSY);
    aios_run_free(r);
    must(aios_run_list(c->p.w.ctx, c->st, take_below, c, &err), &err);
}

static aios_run_info info_of(const called *c, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_info info = AIOS_INIT(aios_run_info);
    must(aios_run_info_get(c->p.w.ctx, c->st, id, &info, &err), &err);
    return info;
}

static void go_on(called *c, const char *id, const char *says)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run *r = NULL;
    must(aios_run_resume(c->p.w.agent, id, &r, &err), &err);
    pull_deep(r, &c->p.log, AIOS_DENY);
    if (!strstr(c->p.log.s, says))
        fail_msg("%s does not say %s", c->p.log.s, says);
    aios_run_free(r);
}

static void a_call_goes_on_with_its_caller_alone(void **state)
{
    (void)state;
    called c;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    called_open(&c);
    leave_at_ask(&c, start_as(&c, "top"));
    assert_string_equal(info_of(&c, c.below).parent, "top");
    assert_string_equal(info_of(&c, "top").parent, "");
    assert_int_equal(aios_run_resume(c.p.o.agent, c.below, &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "is a call of run top"));
    assert_null(r);
    aios_agent_free(c.p.o.agent); /* a change of the agent allows no other caller */
    c.p.o.cfg.flags = AIOS_AGENT_CHANGED;
    other_agent(&c.p.w, &c.p.o);
    assert_int_equal(aios_run_resume(c.p.o.agent, c.below, &r, &err), AIOS_ESTATE);
    go_on(&c, "top", "result(EDENIED)");
    assert_int_equal(info_of(&c, c.below).state, AIOS_RUN_DONE);
    assert_int_equal(aios_run_resume(c.p.o.agent, c.below, &r, &err), AIOS_ESTATE); /* nor when it is over */
    called_close(&c);
}

static void decisions_below_go_by_the_callers_id(void **state)
{
    (void)state;
    for (int32_t verdict = AIOS_ALLOW; verdict <= AIOS_DENY; verdict += 2) {
        called c;
        aios_error err = AIOS_INIT(aios_error);
        called_open(&c);
        leave_at_ask(&c, start_as(&c, "top"));
        assert_int_equal(aios_run_approve(c.p.w.ctx, c.st, c.below, c.name, verdict, &err), AIOS_ESTATE);
        assert_non_null(strstr(err.msg, "is a call of run top"));
        assert_int_equal(info_of(&c, c.below).n_asks, 1);
        assert_int_equal(aios_run_approve(c.p.w.ctx, c.st, "top", "call_1/other", verdict, &err), AIOS_ENOENT);
        must(aios_run_approve(c.p.w.ctx, c.st, "top", c.name, verdict, &err), &err);
        assert_int_equal(info_of(&c, c.below).n_asks, 0);
        assert_int_equal(aios_run_approve(c.p.w.ctx, c.st, "top", c.name, verdict, &err), AIOS_ENOENT);
        go_on(&c, "top", verdict == AIOS_ALLOW ? "result:counted" : "result(EDENIED)");
        assert_null(strstr(c.p.log.s, "ask:"));
        assert_int_equal(c.paid, verdict == AIOS_ALLOW);
        assert_int_equal(aios_run_approve(c.p.w.ctx, c.st, "top", c.name, verdict, &err), AIOS_ENOENT);
        called_close(&c);
    }
}

/* top calls helper, helper calls clerk, who asks. */
static void decisions_find_their_way_down(void **state)
{
    (void)state;
    called c;
    other clerk;
    aios_error err = AIOS_INIT(aios_error);
    called_open_on(&c, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call clerk {\"prompt\":\"y\"}; result");
    other_open(&c.p.w, &clerk, "echo:call add {\"a\":1,\"b\":2}; turn; call pay {}; result");
    add_pay(&c, clerk.ts);
    clerk.policy.decide = ask_pay;
    clerk.cfg.store = c.st;
    other_agent(&c.p.w, &clerk);
    add_agent(c.p.o.ts, clerk.agent, "clerk");
    pair_agents(&c.p);
    leave_at_ask(&c, start_as(&c, "top"));
    must(aios_run_approve(c.p.w.ctx, c.st, "top", c.name, AIOS_ALLOW, &err), &err);
    go_on(&c, "top", ">>result:counted");
    assert_int_equal(c.paid, 1);
    other_close(&clerk);
    called_close(&c);
}

/* To give up a call gives nobody anything: its caller goes on with it all the same. */
static void a_call_that_is_given_up_goes_on_with_its_caller(void **state)
{
    (void)state;
    called c;
    aios_error err = AIOS_INIT(aios_error);
    called_open(&c);
    leave_at_ask(&c, start_as(&c, "top"));
    must(aios_run_abandon(c.p.w.ctx, c.st, c.below, &err), &err);
    assert_int_equal(info_of(&c, c.below).state, AIOS_RUN_STOPPED);
    assert_string_equal(info_of(&c, c.below).parent, "top");
    must(aios_run_approve(c.p.w.ctx, c.st, "top", c.name, AIOS_ALLOW, &err), &err);
    go_on(&c, "top", "result:counted");
    called_close(&c);
}

/* A run that is given up behind a call keeps what that call has used. */
static void what_calls_used_is_still_counted_when_a_run_is_given_up(void **state)
{
    (void)state;
    called c;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    called_open_on(&c, "echo:call helper {\"prompt\":\"x\"}; result",
                   "echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":3,\"b\":4}; result");
    pair_agents(&c.p);
    aios_run *r = start_as(&c, "top");
    do
        assert_int_equal(aios_run_next(r, -1, &ev), 0);
    while (ev->type != AIOS_EVENT_RESULT || ev->depth);
    aios_run_free(r);
    aios_run_info was = info_of(&c, "top");
    assert_int_equal(was.n_turns, 4);
    assert_int_equal(was.n_calls, 3);
    assert_true(was.n_tokens > 0);
    must(aios_run_abandon(c.p.w.ctx, c.st, "top", &err), &err);
    aios_run_info is = info_of(&c, "top");
    assert_int_equal(is.state, AIOS_RUN_STOPPED);
    assert_int_equal(is.n_turns, was.n_turns);
    assert_int_equal(is.n_calls, was.n_calls);
    assert_int_equal(is.n_tokens, was.n_tokens);
    assert_int_equal(is.used_ns, was.used_ns);
    assert_int_equal(is.n_input, was.n_input);
    go_on(&c, "top", "done(stop)");
    assert_int_equal(info_of(&c, "top").n_turns, 5);
    called_close(&c);
}

static int take_key(void *user, const aios_record *r)
{
    char text[1024];
    snprintf(text, sizeof text, "%.*s", (int)r->n_data, (const char *)r->data);
    const char *at = r->kind == 4 ? strstr(text, "\"key\":\"") : NULL;
    if (at)
        snprintf(user, 49, "%s", at + 7);
    return 0;
}

/* Somebody who can write the store has begun a run under the name that a call will have. */
static void a_run_that_nobody_called_is_no_call(void **state)
{
    (void)state;
    called c;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    char path[] = "/tmp/aios-called-XXXXXX", id[80] = "call-";
    log_faults faults = {.fail_at = 3, .fail_code = AIOS_EIO}; /* begin; turn and intent; the begin of the call's run */
    close(mkstemp(path));
    called_open_on(&c, "echo:call helper {\"prompt\":\"x\"}; result", "echo:say mine");
    aios_store_close(c.st);
    c.p.w.cfg.store = c.p.o.cfg.store = c.st = log_store_open(c.p.w.ctx, path, &faults);
    pair_agents(&c.p);
    r = start_as(&c, "top");
    pull_deep(r, &c.p.log, AIOS_DENY);
    assert_int_equal(c.p.log.code, AIOS_EIO);
    aios_run_free(r);
    must(aios_store_read(c.st, "run/top", 0, take_key, id + 5, &err), &err);
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    must(aios_run_start_with(c.p.o.agent, &o, &r, &err), &err);
    aios_run_free(r);
    must(aios_run_resume(c.p.w.agent, "top", &r, &err), &err);
    pull_deep(r, &c.p.log, AIOS_DENY);
    assert_int_equal(c.p.log.code, AIOS_ESTATE); /* no answer for a model: the host is told */
    assert_non_null(strstr(c.p.log.msg, "was begun by nobody's call"));
    aios_run_free(r);
    called_close(&c);
    unlink(path);
}

/* ---- more than there is room for ---- */

enum { LEAVES = 14 };

typedef struct crowd {
    world w;
    other leaf, many, one;
    test_heap heap;
    aios_store *st;
    log_text log;
    char script[LEAVES * 40 + 40];
} crowd;

static void crowd_of(crowd *k, other *o, const char *script)
{
    other_open(&k->w, o, script);
    o->cfg.store = k->st;
    o->limits.timeout_ns = 20 * INT64_C(1000000000);
    o->limits.max_turns = o->limits.max_calls = 200;
}

static void crowd_open(crowd *k)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(k, 0, sizeof *k);
    world_open(&k->w, &k->heap, "echo:call one {\"prompt\":\"x\"}; call many {\"prompt\":\"x\"}; turn; say done");
    must(aios_store_open(k->w.ctx, "memory:", NULL, &k->st, &err), &err);
    snprintf(k->script, sizeof k->script, "echo:");
    for (int i = 0; i < LEAVES; i++)
        snprintf(k->script + strlen(k->script), 48, "call leaf {\"prompt\":\"x%d\"}; ", i);
    snprintf(k->script + strlen(k->script), 24, "turn; say over");
    crowd_of(k, &k->leaf, "echo:call pay {}; turn; say paid");
    aios_tool pay = make_tool("pay", tool_add, NULL);
    pay.effect = AIOS_EFFECT_UNSAFE;
    must(aios_toolset_add(k->leaf.ts, &pay, &err), &err);
    k->leaf.policy.decide = NULL;
    other_agent(&k->w, &k->leaf);
    crowd_of(k, &k->many, k->script);
    add_agent(k->many.ts, k->leaf.agent, "leaf");
    other_agent(&k->w, &k->many);
    crowd_of(k, &k->one, "echo:call leaf {\"prompt\":\"y\"}; turn; say over");
    add_agent(k->one.ts, k->leaf.agent, "leaf");
    other_agent(&k->w, &k->one);
    add_agent(k->w.ts, k->many.agent, "many");
    add_agent(k->w.ts, k->one.agent, "one");
    k->w.cfg.store = k->st;
    k->w.policy.decide = NULL;
    k->w.limits.timeout_ns = 20 * INT64_C(1000000000);
    k->w.limits.max_turns = k->w.limits.max_calls = 200;
    world_agent(&k->w);
}

/* But for the leaf of "one", and none of leaves, of whose asks it gives the number. */
static int allow_calls_of_agents(aios_run *r)
{
    const aios_event *ev;
    int rc, n = 0;
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        n += ev->type == AIOS_EVENT_ASK && ev->depth == 2;
        if (ev->type == AIOS_EVENT_ASK && ev->depth < 2 && strcmp(ev->call_id, "call_1/call_1"))
            assert_int_equal(aios_run_decide(r, ev->call_id, AIOS_ALLOW, NULL), 0);
    }
    assert_int_equal(rc, AIOS_AGAIN);
    return n;
}

/* "many" calls its leaves before "one" calls its own, which it always may: one more than SUBS_AT_ONCE is open. All that were open go on, though in another order there would have been no room for the last. */
static void a_tree_that_was_full_goes_on(void **state)
{
    (void)state;
    crowd k;
    aios_run *r = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    int n_asks;
    crowd_open(&k);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "top";
    must(aios_run_start_with(k.w.agent, &o, &r, &err), &err);
    n_asks = allow_calls_of_agents(r);
    assert_int_equal(n_asks, LEAVES);
    must(aios_run_decide(r, "call_1/call_1", AIOS_ALLOW, &err), &err);
    n_asks += allow_calls_of_agents(r);
    assert_int_equal(n_asks, LEAVES + 1);
    aios_run_free(r);
    must(aios_run_resume(k.w.agent, "top", &r, &err), &err);
    pull_deep(r, &k.log, AIOS_ALLOW);
    assert_int_equal(k.log.code, 0);
    assert_non_null(strstr(k.log.s, "done(stop):done"));
    aios_run_free(r);
    aios_store_close(k.st);
    other_close(&k.one);
    other_close(&k.many);
    other_close(&k.leaf);
    world_close(&k.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_on_with_its_caller_alone),
        cmocka_unit_test(decisions_below_go_by_the_callers_id),
        cmocka_unit_test(decisions_find_their_way_down),
        cmocka_unit_test(a_call_that_is_given_up_goes_on_with_its_caller),
        cmocka_unit_test(what_calls_used_is_still_counted_when_a_run_is_given_up),
        cmocka_unit_test(a_run_that_nobody_called_is_no_call),
        cmocka_unit_test(a_tree_that_was_full_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
