/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_test.h"

typedef struct gate {
    int rc, verdict, n;
    aios_action last;
    char tool[64], args[128];
} gate;

static int decide(void *user, const aios_action *a, aios_verdict *out)
{
    gate *g = user;
    g->n++;
    g->last = *a;
    snprintf(g->tool, sizeof g->tool, "%s", a->tool);
    snprintf(g->args, sizeof g->args, "%s", a->args_json);
    out->verdict = g->verdict;
    snprintf(out->reason, sizeof out->reason, "rule 7");
    return g->rc;
}

static void run_gated(gate *g, int effect, int answer, log_text *l, int *called)
{
    world w;
    _Atomic int n = 0;
    const aios_event *ev;
    memset(l, 0, sizeof *l);
    world_open(&w, NULL, "echo:call act {\"x\":1}; say ok");
    aios_tool t = make_tool("act", tool_count, &n);
    t.effect = effect;
    world_tool(&w, t);
    if (g) {
        w.policy.user = g;
        w.policy.decide = decide;
    }
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    while (!aios_run_next(r, -1, &ev)) {
        log_event(l, ev);
        if (ev->type == AIOS_EVENT_ASK)
            assert_int_equal(aios_run_decide(r, ev->call_id, answer, NULL), 0);
    }
    check_whole(aios_run_transcript(r));
    *called = n;
    aios_run_free(r);
    world_close(&w);
}

static void without_a_policy_reading_is_allowed_and_the_rest_is_asked(void **state)
{
    (void)state;
    log_text l;
    int called;
    run_gated(NULL, AIOS_EFFECT_READ, 0, &l, &called);
    assert_int_equal(called, 1);
    assert_null(strstr(l.s, "ask:"));
    for (int effect = 0; effect <= AIOS_EFFECT_KEYED; effect++) {
        if (effect == AIOS_EFFECT_READ)
            continue;
        run_gated(NULL, effect, AIOS_ALLOW, &l, &called);
        assert_int_equal(called, 1);
        assert_non_null(strstr(l.s, "ask:act{\"x\":1}|result:counted"));
        run_gated(NULL, effect, AIOS_DENY, &l, &called);
        assert_int_equal(called, 0);
        assert_non_null(strstr(l.s, "result(EDENIED)"));
    }
}

static void only_allow_allows(void **state)
{
    (void)state;
    static const int verdicts[] = {AIOS_DENY, 0, 4, -1, 77};
    log_text l;
    int called;
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
        gate g = {.verdict = verdicts[i]};
        run_gated(&g, AIOS_EFFECT_READ, AIOS_ALLOW, &l, &called);
        assert_int_equal(called, 0);
        assert_non_null(strstr(l.s, "result(EDENIED):error: the policy denied this call: rule 7"));
    }
    gate broken = {.verdict = AIOS_ALLOW, .rc = -1};
    run_gated(&broken, AIOS_EFFECT_READ, AIOS_ALLOW, &l, &called);
    assert_int_equal(called, 0);
    gate ok = {.verdict = AIOS_ALLOW};
    run_gated(&ok, AIOS_EFFECT_UNSAFE, AIOS_DENY, &l, &called);
    assert_int_equal(called, 1);
    assert_int_equal(ok.n, 1);
}

static void the_gate_sees_the_call_and_the_label_of_the_context(void **state)
{
    (void)state;
    gate g = {.verdict = AIOS_ALLOW};
    world w;
    log_text l = {.n = 0};
    _Atomic int n = 0;
    world_open(&w, NULL, "echo:call act {\"x\":1}; turn; call act {\"x\":2}; say ok");
    world_tool(&w, make_tool("act", tool_count, &n));
    w.policy.user = &g;
    w.policy.decide = decide;
    w.limits.max_turns = 1;
    world_agent(&w);
    aios_transcript *t;
    aios_transcript_new(w.ctx, &t, NULL);
    aios_run *r = world_start(&w, t, "go");
    pull_all(r, &l);
    assert_string_equal(g.tool, "act");
    assert_string_equal(g.args, "{\"x\":1}");
    assert_int_equal(g.last.context.integrity, AIOS_LABEL_USER);
    aios_run_free(r);
    r = world_start(&w, t, "more"); /* now an untrusted result is in the context */
    memset(&l, 0, sizeof l);
    pull_all(r, &l);
    assert_string_equal(g.args, "{\"x\":2}");
    assert_int_equal(g.last.context.integrity, AIOS_LABEL_UNTRUSTED);
    aios_run_free(r);
    aios_transcript_free(t);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_policy_reading_is_allowed_and_the_rest_is_asked),
        cmocka_unit_test(only_allow_allows),
        cmocka_unit_test(the_gate_sees_the_call_and_the_label_of_the_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
