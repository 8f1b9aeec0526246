/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks at every transition, and turns that are made as a hook says. */
#include "compose_test.h"

/* What was called, "|" behind each; `refuse` is the number of the call that refuses, from 1. */
typedef struct watch {
    char s[2048];
    int n, refuse, code;
    const char *reason;
    aios_turn_profile profile; /* members that are set replace those there */
    bool use_choice;
    aios_run **cancel;
    aios_run **driven; /* what may not be done to it is tried; freed by call `refuse` */
} watch;

static void drive_inside(aios_run *r, bool last)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_run_next(r, 0, &ev), AIOS_EBUSY);
    assert_int_equal(aios_run_decide(r, "call_1", AIOS_ALLOW, &err), AIOS_EBUSY);
    assert_int_equal(aios_run_fd(r), -1);
    if (last)
        aios_run_free(r);
}

static int note(watch *w, const char *what, const char *detail, size_t n, const aios_moment *m, aios_refusal *no)
{
    w->n++;
    size_t at = strlen(w->s);
    snprintf(w->s + at, sizeof w->s - at, "%s%u%s%.*s|", what, m->step, n ? ":" : "", (int)n, detail ? detail : "");
    assert_non_null(m->run_id);
    assert_non_null(m->agent);
    if (w->driven)
        drive_inside(*w->driven, w->n == w->refuse);
    if (w->driven)
        return 0;
    if (w->cancel && w->n == w->refuse)
        aios_run_cancel(*w->cancel);
    if (w->cancel || w->n != w->refuse)
        return 0;
    if (w->reason)
        snprintf(no->reason, sizeof no->reason, "%s", w->reason);
    return w->code;
}

static int before_turn(void *user, const aios_moment *m, aios_turn_profile *p, aios_refusal *no)
{
    watch *w = user;
    const aios_turn_profile *by = &w->profile;
    p->instructions = by->instructions;
    p->tools = by->tools;
    p->model = by->model;
    p->sampling = by->sampling;
    if (by->max_tokens)
        p->max_tokens = by->max_tokens;
    if (w->use_choice) {
        p->tool_choice = by->tool_choice;
        p->tool_name = by->tool_name;
    }
    return note(w, "turn", NULL, 0, m, no);
}

static int after_turn(void *user, const aios_moment *m, const aios_turn_said *said, aios_refusal *no)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%.*s+%u", (int)said->n_text, said->text, said->n_calls);
    return note(user, "said", text, (size_t)n, m, no);
}

static int before_call(void *user, const aios_moment *m, const aios_action *a, aios_refusal *no)
{
    return note(user, "call", a->tool, strlen(a->tool), m, no);
}

static int after_call(void *user, const aios_moment *m, const aios_event *result, aios_refusal *no)
{
    assert_int_equal(result->type, AIOS_EVENT_RESULT);
    return note(user, "result", result->text, result->n_text, m, no);
}

static int on_handoff(void *user, const aios_moment *m, const char *from, const char *to, aios_refusal *no)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%s>%s", from, to);
    return note(user, "handoff", text, (size_t)n, m, no);
}

static void on_stop(void *user, const aios_moment *m, const aios_event *last)
{
    aios_refusal no = AIOS_INIT(aios_refusal);
    note(user, "stop", last->name, strlen(last->name), m, &no);
}

static aios_hooks hooks_of(watch *w)
{
    aios_hooks h = AIOS_INIT(aios_hooks);
    h.user = w;
    h.before_turn = before_turn;
    h.after_turn = after_turn;
    h.before_call = before_call;
    h.after_call = after_call;
    h.on_handoff = on_handoff;
    h.on_stop = on_stop;
    return h;
}

static pair p;
static watch w;

static const char script[] = "echo:say hm; call add {\"a\":1,\"b\":2}; turn; say done";

static void run_hooked(const char *uri)
{
    aios_hooks h = hooks_of(&w);
    pair_open(&p, uri, "echo:turn; say desk");
    aios_handoff to = AIOS_INIT(aios_handoff);
    to.name = "desk";
    other_agent(&p.w, &p.o);
    to.agent = p.o.agent;
    p.w.cfg.handoffs = &to;
    p.w.cfg.handoff_stride = sizeof to;
    p.w.cfg.n_handoffs = 1;
    p.w.cfg.hooks = &h;
    world_agent(&p.w);
    aios_run *r = world_start(&p.w, NULL, "go");
    aios_run *own = r;
    w.cancel = w.cancel ? &own : NULL;
    pull_deep(r, &p.log, AIOS_DENY);
    aios_run_free(r);
    pair_close(&p);
}

static void each_transition_is_told(void **state)
{
    (void)state;
    w = (watch){.code = 0};
    run_hooked(script);
    assert_string_equal(w.s, "turn0|said0:hm+1|call0:add|result0:3|turn1|said1:done+0|stop1:stop|");
    w = (watch){.code = 0};
    run_hooked("echo:call transfer_to_desk {}");
    assert_string_equal(w.s, "turn0|said0:+1|call0:transfer_to_desk|handoff0:>desk|result0:the conversation is with desk now|turn1|said1:desk+0|stop1:stop|");
}

static void a_refusal_has_its_code_and_its_reason(void **state)
{
    (void)state;
    for (int at = 1; at <= 4; at++) {
        bool turn = at <= 2; /* those end the run, the others are the call's result */
        for (int i = 0; i < 3; i++) {
            w = (watch){.refuse = at, .code = i == 0 ? AIOS_EREFUSED : i == 1 ? 7 : AIOS_EDENIED, .reason = i == 2 ? NULL : i == 1 ? "cut \xc3" : "not today"};
            run_hooked(script);
            int code = i == 0 ? AIOS_EREFUSED : AIOS_EDENIED;
            char want[96];
            const char *why = i == 0 ? "not today" : i == 1 ? "cut " : "refused it";
            snprintf(want, sizeof want, "result(%s):error: ", aios_code_name(code));
            assert_int_equal(p.log.code, turn ? code : 0);
            assert_true(turn ? strstr(p.log.msg, why) != NULL : strstr(p.log.s, want) && strstr(p.log.s, why));
            assert_non_null(strstr(w.s, turn ? "|stop0:E" : "|stop1:stop|"));
            assert_null(strstr(p.log.s, "|result:3"));
            assert_true((strstr(w.s, "result0:3") != NULL) == (at == 4)); /* refused afterwards, it has happened */
        }
    }
}

static const char handing[] = "echo:call add {\"a\":1,\"b\":2}; turn; call transfer_to_desk {}";

/* A pair whose first agent has the hooks of w, and may hand over. */
static void open_handing(aios_hooks *h, aios_handoff *to)
{
    *h = hooks_of(&w);
    *to = (aios_handoff)AIOS_INIT(aios_handoff);
    pair_open(&p, handing, "echo:turn; turn; call add {\"a\":2,\"b\":2}; turn; say desk");
    to->name = "desk";
    other_agent(&p.w, &p.o);
    to->agent = p.o.agent;
    p.w.cfg.handoffs = to;
    p.w.cfg.handoff_stride = sizeof *to;
    p.w.cfg.n_handoffs = 1;
    p.w.cfg.hooks = h;
}

static void a_hook_cannot_drive_its_run_and_may_free_it(void **state)
{
    (void)state;
    int rc = 0;
    bool over = false; /* the whole run: nothing freed it */
    for (int at = 1; !over; at++) {
        aios_hooks h;
        aios_handoff to;
        const aios_event *ev;
        aios_run *r = NULL;
        w = (watch){.refuse = at, .driven = &r};
        open_handing(&h, &to);
        world_agent(&p.w);
        r = world_start(&p.w, NULL, "go");
        while (!(rc = aios_run_next(r, -1, &ev)) && w.n < at)
            ;
        over = w.n < at;
        if (over)
            aios_run_free(r);
        assert_int_equal(rc, AIOS_DONE);
        assert_true(!over || at > 14);
        pair_close(&p);
    }
}

static int count_calls(void *user, aios_call *c)
{
    ++*(int *)user;
    return aios_call_finish(c, 0, "3", AIOS_CSTR);
}

/* What a hook refused, and the journal of it: the next life goes on from there, makes nothing twice, and is with the agent that had it. */
static void a_run_that_hooks_stopped_goes_on(void **state)
{
    (void)state;
    for (int at = 1; at <= 15; at++) {
        aios_hooks h;
        aios_handoff to;
        aios_store *st;
        aios_run *r;
        aios_error err = AIOS_INIT(aios_error);
        aios_run_options o = AIOS_INIT(aios_run_options);
        int made = 0, lives = 1;
        w = (watch){.refuse = at, .code = AIOS_EREFUSED, .reason = "not today"};
        open_handing(&h, &to);
        aios_tool t = make_tool("act", count_calls, &made);
        t.effect = AIOS_EFFECT_UNSAFE;
        must(aios_toolset_add(p.w.ts, &t, &err), &err);
        aios_model_close(p.w.model);
        must(aios_model_open(p.w.ctx, "echo:call act {}; turn; call transfer_to_desk {}; turn; say stayed", NULL, &p.w.model, &err), &err);
        p.w.cfg.model = p.w.model;
        must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
        p.w.cfg.store = st;
        world_agent(&p.w);
        o.prompt = "go";
        o.n_prompt = AIOS_CSTR;
        o.id = "r";
        must(aios_run_start_with(p.w.agent, &o, &r, &err), &err);
        pull_deep(r, &p.log, AIOS_DENY);
        while (p.log.code && lives++ < 3) {
            assert_int_equal(p.log.code, AIOS_EREFUSED);
            aios_run_free(r);
            must(aios_run_resume(p.w.agent, "r", &r, &err), &err);
            pull_deep(r, &p.log, AIOS_DENY);
        }
        assert_int_equal(p.log.code, 0);
        bool before = at == 3; /* before_call of act: it was never made */
        bool stayed = at >= 7 && at <= 9; /* before_call, on_handoff or after_call of the handoff */
        assert_int_equal(made, !before);
        assert_non_null(strstr(p.log.s, stayed ? "done(stop):stayed" : "done(stop):desk"));
        check_whole(aios_run_transcript(r));
        aios_run_free(r);
        aios_store_close(st);
        pair_close(&p);
    }
}

static void a_refused_turn_is_not_in_the_transcript(void **state)
{
    (void)state;
    aios_hooks h = hooks_of(&w);
    w = (watch){.refuse = 2, .code = AIOS_EREFUSED};
    pair_open(&p, script, "echo:");
    p.w.cfg.hooks = &h;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_int_equal(p.log.code, AIOS_EREFUSED);
    assert_int_equal(aios_transcript_count(aios_run_transcript(r)), 1);
    aios_run_free(r);
    pair_close(&p);
}

static void a_handoff_that_is_refused_stays(void **state)
{
    (void)state;
    w = (watch){.refuse = 4, .code = AIOS_EDENIED, .reason = "stay"};
    run_hooked("echo:call transfer_to_desk {}; turn; say here");
    assert_non_null(strstr(p.log.s, "result(EDENIED):error: stay|model|text:here|"));
    assert_null(strstr(p.log.s, "|handoff"));
}

static void a_hook_may_cancel_the_run(void **state)
{
    (void)state;
    static aios_run *some;
    for (int at = 1; at <= 6; at++) {
        w = (watch){.refuse = at, .cancel = &some};
        run_hooked(script);
        assert_int_equal(p.log.code, at <= 5 ? AIOS_ECANCELED : 0); /* the last turn stands, and is the answer */
    }
}

/* ---- profiles ----------------------------------------------------------------------------------------------------- */

static void a_turn_is_made_as_its_profile_says(void **state)
{
    (void)state;
    static const char *const lines[] = {"!add {\"a\":1,\"b\":2}", "fine", NULL}, *const only[] = {"add", NULL}, *const none[] = {NULL};
    scribe a = {.lines = lines}, b = {.lines = lines + 1};
    aios_sampling warm = AIOS_INIT(aios_sampling);
    aios_hooks h = hooks_of(&w);
    w = (watch){.profile = {.instructions = "be short", .tools = only, .max_tokens = 5, .tool_choice = AIOS_TOOLS_NAMED, .tool_name = "add"}, .use_choice = true};
    warm.temperature = 0.7f;
    w.profile.sampling = &warm;
    pair_open(&p, "echo:", "echo:");
    aios_model_close(p.w.model);
    p.w.model = p.w.cfg.model = scribe_model(p.w.ctx, "one", &a);
    aios_model *m = scribe_model(p.w.ctx, "two", &b);
    p.w.cfg.instructions = "be kind";
    p.w.cfg.hooks = &h;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    const aios_event *ev;
    while (!aios_run_next(r, -1, &ev) && ev->type != AIOS_EVENT_CALL)
        ;
    assert_string_equal(a.system, "be kind\n\nbe short");
    assert_string_equal(a.tools, "add ");
    assert_int_equal(a.choice, AIOS_TOOLS_NAMED);
    assert_int_equal(a.max_tokens, 5);
    assert_true(a.temperature > 0.6f);
    w.use_choice = false;
    w.profile = (aios_turn_profile){.tools = none, .model = m, .max_tokens = 1u << 30};
    while (!aios_run_next(r, -1, &ev) && ev->type != AIOS_EVENT_DONE)
        ;
    assert_string_equal(b.system, "be kind"); /* of that turn alone */
    assert_string_equal(b.tools, "");
    assert_int_equal(b.max_tokens, 1024);
    assert_true(b.temperature < 0);
    assert_string_equal(ev->text, "fine");
    assert_int_equal(a.at, 1);
    aios_run_free(r);
    aios_model_close(m);
    pair_close(&p);
}

static void a_tool_that_was_not_shown_is_not_called(void **state)
{
    (void)state;
    static const char *const only[] = {"helper", NULL};
    w = (watch){.profile = {.tools = only}};
    aios_hooks h = hooks_of(&w);
    for (int stop = 0; stop < 8; stop++) { /* also where the run went on in another life, without asking again for that turn */
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        aios_store *st;
        char id[80];
        pair_open(&p, script, "echo:");
        must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
        p.w.cfg.store = st;
        p.w.cfg.hooks = &h;
        pair_agents(&p);
        aios_run *r = world_start(&p.w, NULL, "go");
        snprintf(id, sizeof id, "%s", aios_run_id(r));
        for (int i = 0; i < stop && !aios_run_next(r, -1, &ev); i++)
            ;
        aios_run_free(r);
        must(aios_run_resume(p.w.agent, id, &r, &err), &err);
        pull_deep(r, &p.log, AIOS_DENY);
        assert_null(strstr(p.log.s, "result:3"));
        assert_int_equal(p.log.code, 0);
        aios_run_free(r);
        aios_store_close(st);
        pair_close(&p);
    }
}

/* The turn is in the journal and its call is not decided: whoever goes on has not been asked, and knows what was shown. */
static void what_was_shown_is_in_the_journal(void **state)
{
    (void)state;
    static const char *const only[] = {"ask", NULL};
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st;
    char id[80];
    w = (watch){.profile = {.tools = only}};
    aios_hooks h = hooks_of(&w);
    pair_open(&p, "echo:call ask {}; call add {\"a\":1,\"b\":2}; say end", "echo:");
    p.w.policy.decide = NULL;
    aios_tool t = make_tool("ask", tool_add, NULL);
    t.effect = AIOS_EFFECT_LOCAL;
    world_tool(&p.w, t);
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    p.w.cfg.store = st;
    p.w.cfg.hooks = &h;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    snprintf(id, sizeof id, "%s", aios_run_id(r));
    while (!aios_run_next(r, -1, &ev))
        ;
    aios_run_free(r);
    h.before_turn = NULL;
    aios_agent *plain;
    must(aios_agent_new(p.w.ctx, &p.w.cfg, &plain, &err), &err);
    must(aios_run_resume(plain, id, &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_null(strstr(p.log.s, "result:3"));
    aios_run_free(r);
    aios_agent_free(plain);
    aios_store_close(st);
    pair_close(&p);
}

static void a_profile_that_cannot_be_ends_the_run(void **state)
{
    (void)state;
    static const char *const unknown[] = {"nothing", NULL}, *const many[] = {"add", "add", "add", "add", NULL}, *const add[] = {"add", NULL}, *const none[] = {NULL};
    const struct {
        aios_turn_profile profile;
        bool use_choice;
    } cases[] = {{{.tools = unknown}, false},
                 {{.tools = many}, false},
                 {{.tool_choice = 9}, true},
                 {{.tool_choice = -1}, true},
                 {{.tool_choice = AIOS_TOOLS_NAMED}, true},
                 {{.tool_choice = AIOS_TOOLS_NAMED, .tool_name = "transfer_to_desk", .tools = add}, true},
                 {{.tool_choice = AIOS_TOOLS_REQUIRED, .tools = none}, true},
                 {{.instructions = "\xff"}, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        w = (watch){.profile = cases[i].profile, .use_choice = cases[i].use_choice};
        run_hooked(script);
        if (p.log.code != AIOS_EINVAL)
            fail_msg("case %zu: %s", i, p.log.s);
    }
}

/* A model elsewhere does not get what the policy keeps here, although the agent's own would. */
static void a_profiles_model_is_under_the_policy_too(void **state)
{
    (void)state;
    static const char *const lines[] = {"far", NULL};
    scribe far = {.lines = lines, .privacy = AIOS_PRIVACY_REMOTE};
    aios_error err = AIOS_INIT(aios_error);
    for (int secret = 0; secret < 2; secret++) {
        aios_hooks h = hooks_of(&w);
        aios_transcript *t;
        pair_open(&p, "echo:say near", "echo:");
        must(aios_rules_parse(p.w.ctx, "{\"version\":1,\"classes\":{\"health\":{\"bit\":1,\"local\":true}}}", AIOS_CSTR, &p.w.policy.rules, &err), &err);
        aios_model *m = scribe_model(p.w.ctx, "far", &far);
        w = (watch){.profile = {.model = m}};
        p.w.cfg.hooks = &h;
        pair_agents(&p);
        aios_rules_free(p.w.policy.rules);
        must(aios_transcript_new(p.w.ctx, &t, &err), &err);
        aios_part part = AIOS_INIT(aios_part);
        aios_entry e = AIOS_INIT(aios_entry);
        part.kind = AIOS_PART_TEXT;
        part.text = "I am ill";
        part.n_text = AIOS_CSTR;
        e.role = AIOS_ROLE_USER;
        e.parts = &part;
        e.n_parts = 1;
        e.part_stride = sizeof part;
        e.label = (aios_label){AIOS_LABEL_USER, 0, secret ? 2 : 0};
        must(aios_transcript_add(t, &e, &err), &err);
        aios_run *r = world_start(&p.w, t, NULL);
        pull_deep(r, &p.log, AIOS_DENY);
        assert_int_equal(p.log.code, secret ? AIOS_EDENIED : 0);
        assert_true((strstr(p.log.s, "far") != NULL) == !secret);
        aios_run_free(r);
        aios_transcript_free(t);
        aios_model_close(m);
        pair_close(&p);
    }
}

static void a_called_agent_has_hooks_of_its_own(void **state)
{
    (void)state;
    watch below = {.code = 0};
    aios_hooks h = hooks_of(&w), hb = hooks_of(&below);
    w = (watch){.code = 0};
    pair_open(&p, "echo:call helper {\"prompt\":\"x\"}; say end", "echo:call add {\"a\":1,\"b\":2}; say sum");
    p.w.cfg.hooks = &h;
    p.o.cfg.hooks = &hb;
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_string_equal(w.s, "turn0|said0:+1|call0:helper|result0:sum|turn1|said1:end+0|stop1:stop|");
    assert_string_equal(below.s, "turn0|said0:+1|call0:add|result0:3|turn1|said1:sum+0|stop1:stop|");
    aios_run_free(r);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_transition_is_told),
        cmocka_unit_test(a_refusal_has_its_code_and_its_reason),
        cmocka_unit_test(a_hook_cannot_drive_its_run_and_may_free_it),
        cmocka_unit_test(a_run_that_hooks_stopped_goes_on),
        cmocka_unit_test(a_refused_turn_is_not_in_the_transcript),
        cmocka_unit_test(a_handoff_that_is_refused_stays),
        cmocka_unit_test(a_hook_may_cancel_the_run),
        cmocka_unit_test(a_turn_is_made_as_its_profile_says),
        cmocka_unit_test(a_tool_that_was_not_shown_is_not_called),
        cmocka_unit_test(what_was_shown_is_in_the_journal),
        cmocka_unit_test(a_profile_that_cannot_be_ends_the_run),
        cmocka_unit_test(a_profiles_model_is_under_the_policy_too),
        cmocka_unit_test(a_called_agent_has_hooks_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
