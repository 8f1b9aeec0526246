/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that other agents call as tools: what they may, what they know, what they use. */
#include "compose_test.h"

static pair p;

static void a_called_agent_answers_out_of_its_own_transcript(void **state)
{
    (void)state;
    pair_run(&p, "echo:call helper {\"prompt\":\"1+2?\"}; result", "echo:call add {\"a\":1,\"b\":2}; say sum");
    assert_string_equal(p.log.s, "model|tools|call:helper{\"prompt\":\"1+2?\"}|>agent|>model|>tools|>call:add{\"a\":1,\"b\":2}|>result:3|>model|>text:sum|"
                                 "result:sum|model|text:sum|done(stop):sum");
    pair_run(&p, "echo:call helper {\"prompt\":\"only this\"}; result", "echo:");
    assert_non_null(strstr(p.log.s, "result:only this|model"));
}

static void its_events_say_whose_they_are(void **state)
{
    (void)state;
    const aios_event *ev;
    uint64_t parent = 0, child = 0;
    int seen = 0;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; say sum");
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    while (!aios_run_next(r, -1, &ev)) {
        parent = ev->depth ? parent : ev->run;
        child = ev->depth ? ev->run : child;
        assert_true(!ev->depth || (ev->parent == parent && ev->run != parent));
        if (ev->depth && ev->type == AIOS_EVENT_STATE) {
            assert_string_equal(ev->name, "helper");
            assert_string_equal(ev->call_id, "call_1");
        }
        if (ev->depth && (ev->type == AIOS_EVENT_CALL || ev->type == AIOS_EVENT_RESULT))
            seen += !strcmp(ev->call_id, "call_1/call_1") && !strcmp(ev->name, "add");
    }
    assert_int_equal(seen, 2);
    assert_true(child && parent && child != parent);
    aios_run_free(r);
    pair_close(&p);
}

static void wrong_specs_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:", "echo:");
    pair_agents(&p);
    aios_agent_tool s = AIOS_INIT(aios_agent_tool);
    s.name = "helper";
    assert_int_equal(aios_toolset_add_agent(p.w.ts, p.o.agent, &s, &err), AIOS_EEXIST);
    s.name = "not a name";
    assert_int_equal(aios_toolset_add_agent(p.w.ts, p.o.agent, &s, &err), AIOS_EINVAL);
    s.name = "b";
    s.flags = AIOS_TOOL_ANY_THREAD;
    assert_int_equal(aios_toolset_add_agent(p.w.ts, p.o.agent, &s, &err), AIOS_EINVAL);
    s.flags = 0;
    assert_int_equal(aios_toolset_add_agent(NULL, p.o.agent, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_toolset_add_agent(p.w.ts, NULL, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_toolset_add_agent(p.w.ts, p.o.agent, NULL, &err), AIOS_EINVAL);
    p.w.limits.max_depth = 33;
    aios_agent *a;
    assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EINVAL);
    pair_close(&p);
}

/* ---- effects ------------------------------------------------------------------------------------------------------ */

static int32_t effect_of_helper(void)
{
    aios_tool t = AIOS_INIT(aios_tool);
    pair_agents(&p);
    assert_int_equal(aios_toolset_at(p.w.ts, 1, &t), 0);
    int32_t effect = t.effect;
    pair_close(&p);
    return effect;
}

static void the_effect_is_that_of_its_tools(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:", "echo:");
    assert_int_equal(effect_of_helper(), AIOS_EFFECT_READ);
    pair_open(&p, "echo:", "echo:");
    aios_tool t = make_tool("write", tool_add, NULL);
    t.effect = AIOS_EFFECT_LOCAL;
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    assert_int_equal(effect_of_helper(), AIOS_EFFECT_UNSAFE);
}

static void tools_that_came_later_do_not_hide_behind_read(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:");
    pair_agents(&p);
    aios_tool t = make_tool("write", tool_add, NULL);
    t.effect = AIOS_EFFECT_LOCAL;
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_ALLOW);
    assert_non_null(strstr(p.log.s, "result(ESTATE):error: the agent behind helper has got tools that do more than read"));
    assert_null(strstr(p.log.s, ">"));
    aios_run_free(r);
    pair_close(&p);
}

/* ---- policy ------------------------------------------------------------------------------------------------------- */

static void its_asks_are_asked_of_the_callers_host(void **state)
{
    (void)state;
    const aios_event *ev;
    for (int allow = 0; allow < 2; allow++) {
        _Atomic int n = 0;
        aios_error err = AIOS_INIT(aios_error);
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call write {}; result");
        p.o.policy.decide = NULL;
        aios_tool t = make_tool("write", tool_count, (void *)&n);
        t.effect = AIOS_EFFECT_UNSAFE;
        must(aios_toolset_add(p.o.ts, &t, &err), &err);
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        do
            assert_int_equal(aios_run_next(r, -1, &ev), 0);
        while (ev->type != AIOS_EVENT_ASK);
        assert_int_equal(ev->depth, 1);
        assert_string_equal(ev->call_id, "call_1/call_1");
        assert_int_equal(aios_run_next(r, -1, &ev), AIOS_AGAIN); /* nobody but this host can go on */
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        assert_int_equal(aios_run_decide(r, "call_1", AIOS_ALLOW, &err), AIOS_ENOENT);
        assert_int_equal(aios_run_decide(r, "call_1/call_2", AIOS_ALLOW, &err), AIOS_ENOENT);
        assert_int_equal(aios_run_decide(r, "call_1/call_1", allow ? AIOS_ALLOW : AIOS_DENY, &err), 0);
        while (!aios_run_next(r, -1, &ev))
            if (ev->type == AIOS_EVENT_DONE)
                assert_string_equal(ev->text, allow ? "counted" : "error: the user denied this call");
        assert_int_equal(n, allow);
        aios_run_free(r);
        pair_close(&p);
    }
}

static void an_ask_can_be_decided_by_its_digest(void **state)
{
    (void)state;
    const aios_event *ev;
    char digest[80];
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; result");
    p.w.policy.decide = NULL;
    p.o.policy.decide = NULL;
    aios_tool t = make_tool("write", tool_add, NULL);
    t.effect = AIOS_EFFECT_UNSAFE;
    must(aios_toolset_add(p.o.ts, &t, &err), &err); /* so that the call of the agent is asked for, too */
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    do
        assert_int_equal(aios_run_next(r, -1, &ev), 0);
    while (ev->type != AIOS_EVENT_ASK);
    assert_int_equal(ev->depth, 0);
    if (!ev->digest) {
        aios_run_free(r);
        pair_close(&p);
        skip();
    }
    snprintf(digest, sizeof digest, "%s", ev->digest);
    assert_int_equal(aios_run_decide_digest(r, digest, AIOS_ALLOW, &err), 0);
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_DONE)
            assert_string_equal(ev->text, "3");
    aios_run_free(r);
    pair_close(&p);
}

typedef struct seen_actions {
    int32_t verdict; /* for add */
    uint32_t n, depth;
    aios_label context;
} seen_actions;

static int see_action(void *user, const aios_action *a, aios_verdict *out)
{
    seen_actions *s = user;
    bool add = !strcmp(a->tool, "add");
    out->verdict = add ? s->verdict : AIOS_ALLOW;
    if (add) {
        s->n++;
        s->depth = a->depth;
        s->context = a->context;
    }
    return 0;
}

static void whoever_is_above_narrows_what_it_may(void **state)
{
    static const struct {
        int32_t above, own;
        const char *has;
    } cases[] = {{AIOS_DENY, AIOS_ALLOW, ">result(EDENIED):error: the policy denied this call"},
                 {AIOS_ASK, AIOS_ALLOW, ">ask:add"},
                 {AIOS_ALLOW, AIOS_ASK, ">ask:add"},
                 {AIOS_ALLOW, AIOS_DENY, ">result(EDENIED):error: the policy denied this call"},
                 {AIOS_ASK, AIOS_DENY, ">result(EDENIED):error: the policy denied this call"},
                 {AIOS_ALLOW, AIOS_ALLOW, ">result:3"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        seen_actions above = {.verdict = cases[i].above}, own = {.verdict = cases[i].own};
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; result");
        p.w.policy.decide = p.o.policy.decide = see_action;
        p.w.policy.user = &above;
        p.o.policy.user = &own;
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        pull_deep(r, &p.log, AIOS_ALLOW);
        assert_non_null(strstr(p.log.s, cases[i].has));
        assert_int_equal(own.depth, 0);
        assert_int_equal(own.n, 1);
        assert_int_equal(above.n, cases[i].own != AIOS_DENY);
        assert_int_equal(above.depth, above.n);
        aios_run_free(r);
        pair_close(&p);
    }
}

/* The default gate of the caller asks for what its agents want to do, whatever they allow themselves. */
static void the_default_gate_above_asks(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    _Atomic int n = 0;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call write {}; result");
    p.w.policy.decide = NULL;
    aios_tool t = make_tool("write", tool_count, (void *)&n);
    t.effect = AIOS_EFFECT_UNSAFE;
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_ALLOW);
    assert_non_null(strstr(p.log.s, "|ask:helper"));
    assert_non_null(strstr(p.log.s, "|>ask:write"));
    assert_int_equal(n, 1);
    aios_run_free(r);
    pair_close(&p);
}

static void budgets_of_rules_count_what_is_done_below(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; call helper {\"prompt\":\"y\"}; result", "echo:call add {\"a\":1,\"b\":2}; result");
    p.w.policy.decide = NULL;
    must(aios_rules_parse(p.w.ctx, "{\"version\":1,\"capabilities\":[{\"tool\":\"helper\"},{\"tool\":\"add\",\"max_calls\":1}]}", AIOS_CSTR, &p.w.policy.rules, &err),
         &err);
    pair_agents(&p);
    aios_rules_free(p.w.policy.rules);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(count_text(p.log.s, ">result:3"), 1);
    assert_int_equal(count_text(p.log.s, ">result(EDENIED)"), 1);
    aios_run_free(r);
    pair_close(&p);
}

/* ---- labels ------------------------------------------------------------------------------------------------------- */

static int tool_secret(void *user, aios_call *call)
{
    const aios_label l = {.integrity = AIOS_LABEL_UNTRUSTED, .confidentiality = *(uint64_t *)user};
    aios_label now;
    aios_call_get_label(call, &now);
    aios_label set = {.integrity = now.integrity, .confidentiality = now.confidentiality | l.confidentiality};
    if (aios_call_set_label(call, &set))
        return AIOS_EINTERNAL;
    return aios_call_finish(call, 0, "secret", AIOS_CSTR);
}

static void labels_go_down_with_the_prompt_and_up_with_the_answer(void **state)
{
    (void)state;
    uint64_t above = 1, below = 2;
    const aios_event *ev;
    aios_label result = {0}, done = {0};
    seen_actions own = {.verdict = AIOS_ALLOW};
    aios_error err = AIOS_INIT(aios_error);
    pair_open(&p, "echo:call see {}; turn; call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; turn; call look {}; say ok");
    world_tool(&p.w, make_tool("see", tool_secret, &above));
    aios_tool t = make_tool("look", tool_secret, &below);
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    p.o.policy.decide = see_action;
    p.o.policy.user = &own;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_RESULT && !ev->depth && !strcmp(ev->name, "helper"))
            result = ev->label;
        if (ev->type == AIOS_EVENT_DONE)
            done = ev->label;
    }
    assert_int_equal(own.context.confidentiality, 1); /* the caller's, before it did anything */
    assert_int_equal(own.context.integrity, AIOS_LABEL_UNTRUSTED);
    assert_int_equal(result.confidentiality, 3);
    assert_int_equal(result.integrity, AIOS_LABEL_UNTRUSTED);
    assert_int_equal(done.confidentiality, 3);
    aios_run_free(r);
    pair_close(&p);
}

/* Nothing untrusted was read on either side: the answer is as good as the question. */
static void an_answer_made_of_trusted_text_is_not_less_than_that(void **state)
{
    (void)state;
    const aios_event *ev;
    int32_t integrity = -1;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:say fine");
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_RESULT)
            integrity = ev->label.integrity;
    assert_int_equal(integrity, AIOS_LABEL_USER);
    aios_run_free(r);
    pair_close(&p);
}

static void an_answer_can_stay_behind_a_handle(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_tool spec = AIOS_INIT(aios_agent_tool);
    pair_open(&p, "echo:call reader {\"prompt\":\"x\"}; turn; call helper {\"prompt\":\"$v1\"}; result", "echo:call add {\"a\":1,\"b\":2}; echo");
    pair_agents(&p);
    spec.name = "reader";
    spec.flags = AIOS_TOOL_HANDLE;
    must(aios_toolset_add_agent(p.w.ts, p.o.agent, &spec, &err), &err);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "|result:$v1 (text, 1 bytes, from reader)|"));
    assert_non_null(strstr(p.log.s, "|result:x|")); /* the agent behind the handle's value has read it */
    aios_run_free(r);
    pair_close(&p);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static void what_it_uses_counts_above(void **state)
{
    static const char child[] = "echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":2,\"b\":2}; turn; call add {\"a\":3,\"b\":2}; turn; say a b c d e f g h";
    (void)state;
    for (int i = 0; i < 4; i++) {
        pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; turn; call add {\"a\":9,\"b\":9}; result", child);
        p.w.limits.max_turns = i == 0 ? 3 : 0;
        p.w.limits.max_calls = i == 1 ? 3 : 0;
        p.w.limits.max_tokens = i == 2 ? 20 : 0;
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        pull_deep(r, &p.log, AIOS_DENY);
        if (i == 3) {
            assert_int_equal(p.log.code, 0);
        } else {
            if (!strstr(p.log.s, "result(ELIMIT):error: this run and the ones above it have"))
                fail_msg("%d: %s", i, p.log.s);
            assert_int_equal(p.log.code, AIOS_ELIMIT);
        }
        if (i == 0)
            assert_int_equal(count_text(p.log.s, ">model"), 2); /* the third turn of all was the last */
        if (i == 1)
            assert_int_equal(count_text(p.log.s, ">result:"), 2);
        aios_run_free(r);
        pair_close(&p);
    }
}

static void its_own_limits_hold_too(void **state)
{
    (void)state;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":2,\"b\":2}; turn; say no");
    p.o.limits.max_turns = 2;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "result(ELIMIT):error: the run has made its 2 model turns"));
    assert_int_equal(p.log.code, 0); /* the caller goes on */
    aios_run_free(r);
    pair_close(&p);
}

static void an_agent_that_calls_itself_ends_by_depth(void **state)
{
    (void)state;
    for (uint32_t depth = 1; depth <= 5; depth++) {
        world w;
        test_heap h = {0};
        world_open(&w, &h, "echo:call self {\"prompt\":\"deeper\"}; result");
        w.policy.decide = allow_each;
        w.limits.max_depth = depth < 5 ? depth : 0;
        world_agent(&w);
        add_agent(w.ts, w.agent, "self");
        aios_run *r = world_start(&w, NULL, "go");
        pull_deep(r, &p.log, AIOS_DENY);
        assert_int_equal(count_text(p.log.s, ">agent|"), depth < 5 ? depth : 4);
        assert_int_equal(count_text(p.log.s, "result(ELIMIT):error: agents may call agents no more than"), 1);
        assert_int_equal(p.log.code, 0);
        aios_run_free(r);
        world_close(&w);
        assert_int_equal(h.live, 0); /* the set does not keep the agent that keeps it */
    }
}

static void two_agents_that_call_each_other_go_when_nobody_has_them(void **state)
{
    (void)state;
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; result", "echo:call back {\"prompt\":\"y\"}; result");
    pair_agents(&p);
    add_agent(p.o.ts, p.w.agent, "back");
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(count_text(p.log.s, "agent|"), 4);
    aios_run_free(r);
    aios_agent_free(p.w.agent); /* the helper alone: who it would call is gone */
    p.w.agent = NULL;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_run_start(p.o.agent, NULL, "go", AIOS_CSTR, &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "result(ENOENT):error: the agent behind back is gone"));
    aios_run_free(r);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_called_agent_answers_out_of_its_own_transcript),
        cmocka_unit_test(its_events_say_whose_they_are),
        cmocka_unit_test(wrong_specs_are_refused),
        cmocka_unit_test(the_effect_is_that_of_its_tools),
        cmocka_unit_test(tools_that_came_later_do_not_hide_behind_read),
        cmocka_unit_test(its_asks_are_asked_of_the_callers_host),
        cmocka_unit_test(an_ask_can_be_decided_by_its_digest),
        cmocka_unit_test(whoever_is_above_narrows_what_it_may),
        cmocka_unit_test(the_default_gate_above_asks),
        cmocka_unit_test(budgets_of_rules_count_what_is_done_below),
        cmocka_unit_test(labels_go_down_with_the_prompt_and_up_with_the_answer),
        cmocka_unit_test(an_answer_made_of_trusted_text_is_not_less_than_that),
        cmocka_unit_test(an_answer_can_stay_behind_a_handle),
        cmocka_unit_test(what_it_uses_counts_above),
        cmocka_unit_test(its_own_limits_hold_too),
        cmocka_unit_test(an_agent_that_calls_itself_ends_by_depth),
        cmocka_unit_test(two_agents_that_call_each_other_go_when_nobody_has_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
