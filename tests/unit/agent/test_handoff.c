/* SPDX-License-Identifier: Apache-2.0 */
/* Runs that are handed from one agent to another. */
#include <poll.h>

#include "compose_test.h"

static pair p;
static aios_handoff to[3];

/* The world's agent may hand over to "desk", the other; the other back to "first". */
static void open_pair(const char *uri, const char *desk_uri)
{
    pair_open(&p, uri, desk_uri);
    p.w.cfg.instructions = "you greet";
    p.o.cfg.instructions = "you work";
    to[0] = (aios_handoff)AIOS_INIT(aios_handoff);
    to[0].name = "desk";
    to[0].description = "for work";
    to[1] = (aios_handoff)AIOS_INIT(aios_handoff);
    to[1].name = "first";
    p.o.cfg.handoffs = &to[1];
    p.w.cfg.handoffs = &to[0];
    p.o.cfg.n_handoffs = p.w.cfg.n_handoffs = 1;
    p.o.cfg.handoff_stride = p.w.cfg.handoff_stride = sizeof *to;
}

static void make_agents(void)
{
    other_agent(&p.w, &p.o);
    to[0].agent = p.o.agent;
    world_agent(&p.w);
}

static void run_it(int32_t verdict)
{
    make_agents();
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, verdict);
    aios_run_free(r);
    pair_close(&p);
}

static void a_run_goes_on_as_the_other_agent(void **state)
{
    (void)state;
    open_pair("echo:say one moment; call transfer_to_desk {}", "echo:turn; call add {\"a\":1,\"b\":2}; turn; say it is three");
    run_it(AIOS_DENY);
    assert_string_equal(p.log.s, "model|text:one|text: moment|tools|call:transfer_to_desk{}|result:the conversation is with desk now|handoff|model|tools|"
                                 "call:add{\"a\":1,\"b\":2}|result:3|model|text:it|text: is|text: three|done(stop):it is three");
}

static void it_has_the_others_instructions_tools_and_model(void **state)
{
    (void)state;
    static const char *const first[] = {"!transfer_to_desk {}", "!add {\"a\":1,\"b\":2}", "bye", NULL};
    static const char *const desk[] = {"!only {}", "!transfer_to_first {}", NULL};
    scribe a = {.lines = first}, b = {.lines = desk};
    aios_error err = AIOS_INIT(aios_error);
    aios_event const *ev;
    open_pair("echo:", "echo:");
    aios_model_close(p.w.model);
    aios_model_close(p.o.model);
    p.w.model = p.w.cfg.model = scribe_model(p.w.ctx, "one", &a);
    p.o.model = p.o.cfg.model = scribe_model(p.w.ctx, "two", &b);
    aios_sampling warm = AIOS_INIT(aios_sampling);
    warm.temperature = 0.5f;
    p.o.cfg.sampling = &warm;
    must(aios_toolset_add(p.o.ts, &(aios_tool){.struct_size = sizeof(aios_tool), .name = "only", .fn = tool_add, .effect = AIOS_EFFECT_READ}, &err), &err);
    make_agents();
    aios_run *r = world_start(&p.w, NULL, "go");
    int handoffs = 0;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type != AIOS_EVENT_STATE || strcmp(ev->text, "handoff"))
            continue;
        handoffs++;
        assert_string_equal(ev->name, handoffs == 1 ? "desk" : "first");
    }
    assert_int_equal(handoffs, 2);
    assert_string_equal(b.system, "you work");
    assert_string_equal(b.tools, "add only transfer_to_first ");
    assert_true(b.temperature > 0);
    assert_string_equal(a.system, "you greet"); /* again */
    assert_string_equal(a.tools, "add transfer_to_desk ");
    assert_true(a.temperature < 0);
    assert_int_equal(a.n_entries, aios_transcript_count(aios_run_transcript(r)) - 1);
    check_whole(aios_run_transcript(r));
    aios_entry e = AIOS_INIT(aios_entry);
    aios_transcript_at(aios_run_transcript(r), 0, &e);
    assert_int_equal(e.parts[0].n_text, strlen("you greet")); /* what was said stays as it was */
    aios_run_free(r);
    pair_close(&p);
}

/* ---- what it may -------------------------------------------------------------------------------------------------- */

static int verdict_on_add(void *user, const aios_action *a, aios_verdict *out)
{
    out->verdict = strcmp(a->tool, "add") ? AIOS_ALLOW : *(int32_t *)user;
    return 0;
}

static void the_first_agents_policy_narrows_the_others(void **state)
{
    static const struct {
        int32_t first, other;
        const char *has;
    } cases[] = {{AIOS_DENY, AIOS_ALLOW, "result(EDENIED)"}, {AIOS_ALLOW, AIOS_DENY, "result(EDENIED)"}, {AIOS_ASK, AIOS_ALLOW, "ask:add"},
                 {AIOS_ALLOW, AIOS_ASK, "ask:add"},          {AIOS_ALLOW, AIOS_ALLOW, "result:3"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t first = cases[i].first, desk = cases[i].other;
        open_pair("echo:call transfer_to_desk {}", "echo:turn; call add {\"a\":1,\"b\":2}; turn; say end");
        p.w.policy.decide = p.o.policy.decide = verdict_on_add;
        p.w.policy.user = &first;
        p.o.policy.user = &desk;
        run_it(AIOS_ALLOW);
        assert_non_null(strstr(p.log.s, cases[i].has));
    }
}

static void rules_of_both_hold_and_their_counts_go_on(void **state)
{
    (void)state;
    static const char first[] = "{\"version\":1,\"capabilities\":[{\"tool\":\"transfer_to_*\"},{\"tool\":\"add\",\"max_calls\":3}]}";
    static const char desk[] = "{\"version\":1,\"capabilities\":[{\"tool\":\"transfer_to_*\"},{\"tool\":\"add\",\"max_calls\":1}]}";
    for (int mode = 0; mode < 3; mode++) {
        aios_error err = AIOS_INIT(aios_error);
        /* with the first: turns 0, 3, 5; with the desk: 1, 2, 4 */
        open_pair("echo:call transfer_to_desk {}; turn; turn; turn; call transfer_to_desk {}; turn; turn; call add {\"a\":6,\"b\":1}; turn; say end",
                  "echo:turn; call add {\"a\":1,\"b\":1}; turn; call transfer_to_first {}; turn; turn; call add {\"a\":2,\"b\":1}; call transfer_to_first {}");
        p.w.policy.decide = p.o.policy.decide = NULL;
        if (mode != 1)
            must(aios_rules_parse(p.w.ctx, first, AIOS_CSTR, &p.w.policy.rules, &err), &err);
        if (mode != 2)
            must(aios_rules_parse(p.w.ctx, desk, AIOS_CSTR, &p.o.policy.rules, &err), &err);
        make_agents();
        aios_rules_free(p.w.policy.rules);
        aios_rules_free(p.o.policy.rules);
        aios_run *r = world_start(&p.w, NULL, "go");
        pull_deep(r, &p.log, AIOS_DENY);
        aios_run_free(r);
        pair_close(&p);
        assert_non_null(strstr(p.log.s, "|result:2|"));
        assert_non_null(strstr(p.log.s, mode == 2 ? "|result:3|" : "|result(EDENIED)")); /* the desk's one call was used before */
        assert_non_null(strstr(p.log.s, "|result:7|"));
        assert_non_null(strstr(p.log.s, "done(stop):end"));
    }
}

static int drop_text(void *user, const void *s, size_t n)
{
    (void)user, (void)s, (void)n;
    return 0;
}

/* A value becomes trusted where both have rules that say so: who was handed the run widens nothing. */
static void both_must_endorse(void **state)
{
    (void)state;
    for (int who = 0; who < 4; who++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_transcript *before;
        aios_label label;
        const aios_event *ev;
        open_pair("echo:say true; turn; call secret {\"a\":1,\"b\":2}; turn; call transfer_to_desk {}", "echo:say true; turn; turn; turn; say over");
        aios_tool t = make_tool("secret", tool_add, NULL);
        t.flags = AIOS_TOOL_HANDLE;
        must(aios_toolset_add(p.w.ts, &t, &err), &err);
        for (int i = 0; i < 2; i++)
            if (who & 1 << i)
                must(aios_rules_parse(p.w.ctx, "{\"version\":1,\"endorse_bits\":2,\"capabilities\":[{\"tool\":\"*\"}]}", AIOS_CSTR,
                                      i ? &p.o.policy.rules : &p.w.policy.rules, &err), &err);
        make_agents();
        aios_rules_free(p.w.policy.rules);
        aios_rules_free(p.o.policy.rules);
        must(aios_transcript_new(p.w.ctx, &before, &err), &err);
        add_reply(before);
        aios_run *r = world_start(&p.w, before, "go");
        while (!aios_run_next(r, -1, &ev))
            if (ev->type == AIOS_EVENT_DONE)
                assert_string_equal(ev->text, "over");
        must(aios_run_extract(r, "$v1", "{\"type\":\"boolean\"}", "so?", drop_text, NULL, &label, &err), &err);
        assert_int_equal(label.integrity, who == 3 ? AIOS_LABEL_TOOL : AIOS_LABEL_UNTRUSTED);
        aios_run_free(r);
        aios_transcript_free(before);
        pair_close(&p);
    }
}

/* A read of the other agent is not known because the first one had a tool of that name. */
static void reads_of_another_agent_are_not_known(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    _Atomic int n = 0;
    open_pair("echo:call look {\"n\":1}; turn; call transfer_to_desk {}", "echo:turn; turn; call look {\"n\":1}; turn; result");
    aios_tool t = make_tool("look", tool_count, (void *)&n);
    must(aios_toolset_add(p.w.ts, &t, &err), &err);
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    run_it(AIOS_DENY);
    assert_int_equal(n, 2);
    assert_non_null(strstr(p.log.s, "done(stop):counted"));
}

/* Whoever has the run: the turn after a compaction is as large as that said, the instructions of that agent counted. */
static void the_others_instructions_count_in_its_context(void **state)
{
    (void)state;
    static char words[2001];
    char uri[4096] = "echo:set n_ctx 900;turn;";
    const aios_event *ev;
    aios_compact c = AIOS_INIT(aios_compact);
    uint32_t after = 0, compacted = 0;
    int code = 0;
    for (size_t i = 0; i < sizeof words - 1; i++)
        words[i] = i % 5 == 4 ? ' ' : (char)('a' + i % 23);
    for (int k = 0; k < 30; k++)
        snprintf(uri + strlen(uri), sizeof uri - strlen(uri), "call add {\"a\":%d,\"b\":100000000};turn;", k);
    open_pair("echo:call transfer_to_desk {}", uri);
    c.policy = AIOS_COMPACT_DROP;
    p.o.cfg.compact = &c;
    p.o.cfg.instructions = words;
    p.w.limits.max_turns = p.w.limits.max_calls = 90;
    make_agents();
    aios_run *r = world_start(&p.w, NULL, "go");
    while (!aios_run_next(r, -1, &ev)) {
        const char *part = ev->type == AIOS_EVENT_CONTEXT ? strstr(ev->text, "\"after\":") : NULL;
        compacted += part != NULL;
        after = part ? (uint32_t)strtoul(part + 8, NULL, 10) : after;
        if (ev->type == AIOS_EVENT_USAGE && after) {
            assert_int_equal(ev->usage->input, after);
            after = 0;
        }
        code = ev->type == AIOS_EVENT_ERROR ? ev->error->code : code;
    }
    assert_int_equal(code, AIOS_ELIMIT); /* it never ends by itself, and never was too large */
    assert_true(compacted > 2);
    aios_run_free(r);
    pair_close(&p);
}

static void limits_stay_those_of_the_first(void **state)
{
    (void)state;
    open_pair("echo:call transfer_to_desk {}", "echo:turn; call add {\"a\":1,\"b\":2}; turn; call add {\"a\":2,\"b\":2}; turn; say end");
    p.w.limits.max_turns = 3;
    p.o.limits.max_turns = 1;
    run_it(AIOS_DENY);
    assert_int_equal(p.log.code, AIOS_ELIMIT);
    assert_non_null(strstr(p.log.msg, "3 model turns"));
}

static void a_turn_hands_over_once_and_not_to_itself(void **state)
{
    (void)state;
    open_pair("echo:call transfer_to_desk {}; call transfer_to_desk {\"x\":1}; call add {\"a\":1,\"b\":2}; call transfer_to_desk {}",
              "echo:turn; call transfer_to_first {}; call add {\"a\":1,\"b\":3}; call transfer_to_first {}; say end");
    run_it(AIOS_DENY);
    assert_non_null(strstr(p.log.s, "result:the conversation is with desk now|"));
    assert_non_null(strstr(p.log.s, "result(ESCHEMA)")); /* it takes no arguments */
    assert_non_null(strstr(p.log.s, "result(ESTATE):error: this turn has handed the conversation to desk already"));
    assert_int_equal(count_text(p.log.s, "|handoff"), 2);
    open_pair("echo:call transfer_to_first {}; say stay", "echo:");
    to[0].name = "first";
    other_agent(&p.w, &p.o);
    world_agent(&p.w); /* agent NULL: itself */
    aios_run *r = world_start(&p.w, NULL, "go");
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "result(ESTATE):error: this conversation is with that agent already"));
    assert_null(strstr(p.log.s, "|handoff"));
    aios_run_free(r);
    pair_close(&p);
}

/* Going to and fro ends by the limits, like anything. */
static void agents_that_hand_over_for_ever_are_ended(void **state)
{
    (void)state;
    open_pair("echo:loop; call transfer_to_desk {}; turn; call transfer_to_desk {}", "echo:loop; call transfer_to_first {}; turn; call transfer_to_first {}");
    run_it(AIOS_DENY);
    assert_int_equal(p.log.code, AIOS_ELIMIT);
    assert_int_equal(count_text(p.log.s, "|handoff"), 16);
}

static void wrong_handoffs_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_agent *a;
    aios_ctx *other_ctx = test_ctx(NULL, 0);
    open_pair("echo:", "echo:");
    other_agent(&p.w, &p.o);
    static const char *const bad[] = {NULL, "", "a b", "name_that_is_longer_than_what_a_tool_may_have_with_its_prefix"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        to[0].name = bad[i];
        assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EINVAL);
    }
    to[0].name = to[1].name = "twice";
    p.w.cfg.n_handoffs = 2;
    assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EEXIST);
    p.w.cfg.handoffs = NULL;
    assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EINVAL);
    p.w.cfg.handoffs = to;
    p.w.cfg.handoff_stride = 0;
    assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EINVAL);
    p.w.cfg.handoff_stride = sizeof *to;
    p.w.cfg.n_handoffs = 65;
    assert_int_equal(aios_agent_new(p.w.ctx, &p.w.cfg, &a, &err), AIOS_EINVAL);
    aios_model *m;
    must(aios_model_open(other_ctx, "echo:", NULL, &m, &err), &err);
    aios_agent_config c = AIOS_INIT(aios_agent_config);
    c.model = m;
    to[0].name = "desk";
    to[0].agent = p.o.agent;
    c.handoffs = to;
    c.handoff_stride = sizeof *to;
    c.n_handoffs = 1;
    assert_int_equal(aios_agent_new(other_ctx, &c, &a, &err), AIOS_EINVAL);
    aios_model_close(m);
    aios_ctx_free(other_ctx);
    pair_close(&p);
}

/* ---- ends, drivers, stores ------------------------------------------------------------------------------------------ */

static const char there[] = "echo:call add {\"a\":5,\"b\":5}; turn; call transfer_to_desk {}; turn; turn; say done";
static const char back[] = "echo:turn; turn; call add {\"a\":1,\"b\":2}; call transfer_to_first {}";

static bool stop_after(int n, bool cancel)
{
    const aios_event *ev;
    int seen = 0;
    open_pair(there, back);
    make_agents();
    aios_run *r = world_start(&p.w, NULL, "go");
    while (seen < n && !aios_run_next(r, -1, &ev))
        seen++;
    if (cancel)
        aios_run_cancel(r);
    while (cancel && !aios_run_next(r, -1, &ev))
        ;
    if (cancel)
        check_whole(aios_run_transcript(r));
    aios_run_free(r);
    pair_close(&p);
    return seen < n;
}

static void it_ends_cleanly_at_any_event(void **state)
{
    (void)state;
    int n = 0;
    for (; !stop_after(n, true); n++)
        stop_after(n, false);
    assert_true(n > 15);
}

static void it_runs_on_threads_and_in_loops(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        const aios_event *ev;
        open_pair(there, back);
        p.w.cfg.driver = mode & 1 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER;
        p.o.cfg.driver = mode & 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER;
        make_agents();
        aios_run *r = world_start(&p.w, NULL, "go");
        memset(&p.log, 0, sizeof p.log);
        int rc;
        struct pollfd f = {.fd = mode & 4 ? aios_run_fd(r) : -1, .events = POLLIN};
        while ((rc = aios_run_next(r, mode & 4 ? 0 : -1, &ev)) != AIOS_DONE) {
            if (!rc)
                log_deep(&p.log, ev);
            else
                assert_int_equal(poll(&f, 1, 5000), 1);
        }
        assert_non_null(strstr(p.log.s, "done(stop):done"));
        aios_run_free(r);
        pair_close(&p);
    }
}

static void it_is_resumed_with_the_agent_that_had_it(void **state)
{
    (void)state;
    for (int stop = 0; stop < 30; stop++) {
        const aios_event *ev;
        aios_error err = AIOS_INIT(aios_error);
        aios_store *st;
        char id[80];
        int rc = 0;
        open_pair(there, back);
        must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
        p.w.cfg.store = st;
        make_agents();
        aios_run *r = world_start(&p.w, NULL, "go");
        snprintf(id, sizeof id, "%s", aios_run_id(r));
        for (int i = 0; i < stop && !rc; i++)
            rc = aios_run_next(r, -1, &ev);
        aios_run_free(r);
        must(aios_run_resume(p.w.agent, id, &r, &err), &err);
        pull_deep(r, &p.log, AIOS_DENY);
        if (!strstr(p.log.s, "done(stop):done"))
            fail_msg("stopped after %d events: %s (%s)", stop, p.log.s, p.log.msg);
        assert_int_equal(aios_transcript_count(aios_run_transcript(r)), 10);
        aios_run_free(r);
        aios_run_info info = AIOS_INIT(aios_run_info);
        must(aios_run_info_get(p.w.ctx, st, id, &info, &err), &err);
        assert_int_equal(info.state, AIOS_RUN_DONE);
        aios_store_close(st);
        pair_close(&p);
    }
}

/* Of the run that nobody stopped: what the model read of its calls. */
static void read_results(const aios_run *r, log_text *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < aios_transcript_count(aios_run_transcript(r)); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(aios_run_transcript(r), i, &e);
        if (e.role == AIOS_ROLE_TOOL)
            log_add(out, "", e.parts[0].text, e.parts[0].n_text);
    }
}

/* Cut at each event: the counts of both policies are as if nobody had. mode: who has rules. */
static void counts_of_both_hold_over_lives(void **state)
{
    static const char first[] = "{\"version\":1,\"capabilities\":[{\"tool\":\"transfer_to_*\"},{\"tool\":\"add\",\"max_calls\":3}]}";
    static const char desk[] = "{\"version\":1,\"capabilities\":[{\"tool\":\"add\",\"max_calls\":1},{\"tool\":\"transfer_to_*\",\"max_calls\":2}]}";
    (void)state;
    for (int mode = 0; mode < 4; mode++) {
        log_text truth, now;
        for (int stop = 1000; stop >= 0; stop = stop == 1000 ? 40 : stop - 1) {
            const aios_event *ev;
            aios_error err = AIOS_INIT(aios_error);
            aios_store *st;
            int rc = 0;
            open_pair("echo:call transfer_to_desk {}; turn; turn; turn; call transfer_to_desk {}; turn; turn; call add {\"a\":6,\"b\":1}; turn; say end",
                      "echo:turn; call add {\"a\":1,\"b\":1}; turn; call transfer_to_first {}; turn; turn; call add {\"a\":2,\"b\":1}; call transfer_to_first {}");
            must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
            p.w.cfg.store = st;
            p.w.policy.decide = p.o.policy.decide = mode == 3 ? allow_each : NULL;
            if (mode != 1)
                must(aios_rules_parse(p.w.ctx, first, AIOS_CSTR, &p.w.policy.rules, &err), &err);
            if (mode != 2)
                must(aios_rules_parse(p.w.ctx, desk, AIOS_CSTR, &p.o.policy.rules, &err), &err);
            make_agents();
            aios_rules_free(p.w.policy.rules);
            aios_rules_free(p.o.policy.rules);
            aios_run_options o = AIOS_INIT(aios_run_options);
            o.prompt = "go";
            o.n_prompt = AIOS_CSTR;
            o.id = "r";
            aios_run *r;
            must(aios_run_start_with(p.w.agent, &o, &r, &err), &err);
            for (int i = 0; i < stop && !rc; i++)
                rc = aios_run_next(r, -1, &ev);
            if (stop < 1000) {
                aios_run_free(r);
                if (aios_run_resume(p.w.agent, "r", &r, &err))
                    fail_msg("mode %d, stopped after %d events: %s", mode, stop, err.msg);
                pull_deep(r, &p.log, AIOS_DENY);
                assert_int_equal(p.log.code, 0);
            }
            read_results(r, stop == 1000 ? &truth : &now);
            if (stop < 1000 && strcmp(now.s, truth.s))
                fail_msg("mode %d, stopped after %d events: %s\nin place of %s", mode, stop, now.s, truth.s);
            aios_run_free(r);
            aios_store_close(st);
            pair_close(&p);
        }
    }
}

static void another_agent_in_its_place_is_told(void **state)
{
    (void)state;
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st;
    aios_agent *changed, *desk = NULL;
    char id[80];
    open_pair(there, back);
    must(aios_store_open(p.w.ctx, "memory:", NULL, &st, &err), &err);
    p.w.cfg.store = st;
    make_agents();
    aios_run *r = world_start(&p.w, NULL, "go");
    snprintf(id, sizeof id, "%s", aios_run_id(r));
    while (!aios_run_next(r, -1, &ev) && !(ev->type == AIOS_EVENT_RESULT && ev->text[0] == '3'))
        ;
    aios_run_free(r);
    p.o.cfg.instructions = "you do something else";
    must(aios_agent_new(p.w.ctx, &p.o.cfg, &desk, &err), &err);
    to[0].agent = desk;
    must(aios_agent_new(p.w.ctx, &p.w.cfg, &changed, &err), &err);
    assert_int_equal(aios_run_resume(changed, id, &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "its instructions"));
    aios_agent_free(changed);
    p.w.cfg.flags = AIOS_AGENT_CHANGED;
    must(aios_agent_new(p.w.ctx, &p.w.cfg, &changed, &err), &err);
    must(aios_run_resume(changed, id, &r, &err), &err);
    aios_run_free(r);
    aios_agent_free(changed);
    p.w.cfg.n_handoffs = 0; /* nobody to go on with */
    must(aios_agent_new(p.w.ctx, &p.w.cfg, &changed, &err), &err);
    assert_int_equal(aios_run_resume(changed, id, &r, &err), AIOS_ESTATE);
    assert_non_null(strstr(err.msg, "no such handoff"));
    aios_agent_free(changed);
    aios_agent_free(desk);
    aios_store_close(st);
    pair_close(&p);
}

/* A called agent may hand over too, under all that is above it. */
static void a_called_agent_hands_over_below_its_caller(void **state)
{
    (void)state;
    int32_t deny = AIOS_DENY;
    open_pair("echo:call transfer_to_desk {}", "echo:turn; call add {\"a\":1,\"b\":2}; turn; say end");
    make_agents();
    other boss;
    other_open(&p.w, &boss, "echo:call greeter {\"prompt\":\"x\"}; result");
    boss.policy.decide = verdict_on_add;
    boss.policy.user = &deny;
    other_agent(&p.w, &boss);
    add_agent(boss.ts, p.w.agent, "greeter");
    aios_run *r;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_run_start(boss.agent, NULL, "go", AIOS_CSTR, &r, &err), &err);
    pull_deep(r, &p.log, AIOS_DENY);
    assert_non_null(strstr(p.log.s, "|>handoff|"));
    assert_non_null(strstr(p.log.s, "|>result(EDENIED)"));
    assert_non_null(strstr(p.log.s, "|result:end|"));
    aios_run_free(r);
    other_close(&boss);
    pair_close(&p);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    long failed = 0;
    bool hit = true;
    for (long at = 1; hit; at++) {
        const aios_event *ev;
        aios_run *r = NULL;
        aios_error err = AIOS_INIT(aios_error);
        open_pair(there, back);
        other_agent(&p.w, &p.o);
        to[0].agent = p.o.agent;
        p.heap.n_allocs = 0;
        p.heap.fail_at = at;
        int rc = aios_agent_new(p.w.ctx, &p.w.cfg, &p.w.agent, &err), code = AIOS_ENOMEM;
        rc = rc ? rc : aios_run_start(p.w.agent, NULL, "go", AIOS_CSTR, &r, &err);
        while (!rc && !(rc = aios_run_next(r, -1, &ev)))
            code = ev->type == AIOS_EVENT_ERROR ? ev->error->code : ev->type == AIOS_EVENT_DONE ? 0 : code;
        hit = test_heap_heal(&p.heap);
        if (r)
            check_whole(aios_run_transcript(r));
        assert_true(r ? rc == AIOS_DONE && (!code || code == AIOS_ENOMEM) : rc == AIOS_ENOMEM);
        failed += code != 0;
        aios_run_free(r);
        pair_close(&p);
    }
    assert_true(failed > 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_goes_on_as_the_other_agent),
        cmocka_unit_test(it_has_the_others_instructions_tools_and_model),
        cmocka_unit_test(the_first_agents_policy_narrows_the_others),
        cmocka_unit_test(rules_of_both_hold_and_their_counts_go_on),
        cmocka_unit_test(both_must_endorse),
        cmocka_unit_test(reads_of_another_agent_are_not_known),
        cmocka_unit_test(the_others_instructions_count_in_its_context),
        cmocka_unit_test(limits_stay_those_of_the_first),
        cmocka_unit_test(a_turn_hands_over_once_and_not_to_itself),
        cmocka_unit_test(agents_that_hand_over_for_ever_are_ended),
        cmocka_unit_test(wrong_handoffs_are_refused),
        cmocka_unit_test(it_ends_cleanly_at_any_event),
        cmocka_unit_test(it_runs_on_threads_and_in_loops),
        cmocka_unit_test(it_is_resumed_with_the_agent_that_had_it),
        cmocka_unit_test(counts_of_both_hold_over_lives),
        cmocka_unit_test(another_agent_in_its_place_is_told),
        cmocka_unit_test(a_called_agent_hands_over_below_its_caller),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
