/* SPDX-License-Identifier: Apache-2.0 */
/* Agents, their tools, gates, hooks and runs, over the scripted model. */
#include "cases.hpp"

#include <chrono>
#include <thread>

/* An agent's parts, in an order that frees the model first. */
struct parts {
    explicit parts(const char *script) : model(ctx, script), tools(ctx)
    {
        cfg.model = model;
        cfg.limits.max_turns = 8;
    }
    aios::agent agent()
    {
        cfg.toolset(tools);
        return aios::agent(ctx, cfg);
    }
    aios::ctx ctx;
    aios::agent_config cfg;
    aios::model model;
    aios::toolset tools;
};

static std::string nothing(std::string_view) { return "{}"; }

/* Adds a tool that reads, and is called by its name. */
template <class F> static void reads(aios::toolset &ts, const char *name, F fn)
{
    ts.add({name, "Reads.", "", AIOS_EFFECT_READ}, std::move(fn));
}

/* The result that the model got of its first call, and its code. */
struct outcome {
    std::string text;
    int code = 1;
};
static outcome result_of(aios::run run)
{
    outcome out;
    for (aios::event ev : run)
        if (ev.type() == AIOS_EVENT_RESULT && out.code == 1)
            out = {std::string(ev.text()), ev->code};
    return out;
}

static void lambda_is_a_tool()
{
    parts p(R"(echo:call add {"a":19,"b":23}; say The sum is ; result)");
    int n_calls = 0;
    const char *schema = R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}}})";
    p.tools.add({"add", "Adds two whole numbers.", schema, AIOS_EFFECT_READ},
                [&n_calls](std::string_view args) {
                    n_calls++;
                    return args == R"({"a":19,"b":23})" ? std::string("42") : std::string(args);
                });
    aios::agent agent = p.agent();
    std::string text, log;
    for (aios::event ev : agent.start("What is 19 plus 23?")) {
        if (ev.type() == AIOS_EVENT_CALL)
            log += "call " + std::string(ev.name()) + "; ";
        if (ev.type() == AIOS_EVENT_RESULT)
            log += "result " + std::string(ev.text()) + " of " + std::string(ev.call_id()) + "; ";
        if (ev.type() == AIOS_EVENT_TEXT)
            text += ev.text();
        if (ev.type() == AIOS_EVENT_DONE)
            log += "done";
    }
    CHECK(n_calls == 1 && text == "The sum is42" && log == "call add; result 42 of call_1; done");
    CHECK(agent.ask("Again") == "The sum is42" && n_calls == 2);
}

static void exception_is_the_calls_failure()
{
    parts p("echo:call bad {}; say I see");
    int kind = 0;
    reads(p.tools, "bad", [&kind](std::string_view) -> std::string {
        switch (kind) {
        case 0: throw std::runtime_error("the disk is full");
        case 1: throw aios::error(AIOS_ENOENT, "no such file");
        case 2: throw 7;
        default: throw std::bad_alloc();
        }
    });
    aios::agent agent = p.agent();
    const struct {
        int code;
        const char *text;
    } want[] = {{AIOS_ETOOL, "the disk is full"}, {AIOS_ENOENT, "no such file"}, {AIOS_ETOOL, "no std::exception"}, {AIOS_ENOMEM, "memory"}};
    for (kind = 0; kind < 4; kind++) {
        outcome got = result_of(agent.start("go"));
        CHECK(got.code == want[kind].code && got.text.find(want[kind].text) != std::string::npos);
    }
    kind = 0;
    CHECK(agent.ask("go") == "I see");
}

static void calls_tell_who_they_are()
{
    parts p("echo:call who {}; say ok");
    reads(p.tools, "who", [](aios::call &c) {
        return std::string(c.name()) + " " + std::string(c.id()) + " " + std::to_string(c.key().size());
    });
    CHECK(result_of(p.agent().start("go")).text == "who call_1 48");
}

static void call_is_answered_from_another_thread()
{
    parts p("echo:call later {}; say ok");
    std::thread worker;
    reads(p.tools, "later", [&worker](aios::call &&c) {
        worker = std::thread([call = std::move(c)]() mutable {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            std::string args(call.args());
            call.finish("late " + args);
            CHECK(call.finish("twice") == AIOS_ESTATE && call.cancelled() && call.args().empty());
        });
    });
    outcome got = result_of(p.agent().start("go"));
    worker.join();
    CHECK(got.code == AIOS_OK && got.text == "late {}");
}

static void dropped_call_fails()
{
    parts p("echo:call drop {}; say ok");
    reads(p.tools, "drop", [](aios::call c) { CHECK(c.args() == "{}"); });
    outcome got = result_of(p.agent().start("go"));
    CHECK(got.code == AIOS_ETOOL && got.text.find("dropped the call") != std::string::npos);
}

static void tools_live_as_long_as_their_agents()
{
    auto alive = std::make_shared<int>(7);
    std::weak_ptr<int> watch = alive;
    {
        parts p("echo:call get {}; say ok");
        aios::toolset own(p.ctx);
        reads(own, "get", [alive = std::move(alive)](std::string_view) { return std::to_string(*alive); });
        p.cfg.toolset(own);
        aios::agent agent(p.ctx, p.cfg);
        aios::run run = agent.start("go");
        own = aios::toolset();
        agent = aios::agent();
        CHECK(!watch.expired() && result_of(std::move(run)).text == "7");
        p.cfg = aios::agent_config();
    }
    CHECK(watch.expired());
}

static void refused_tool_is_freed()
{
    auto alive = std::make_shared<int>(7);
    aios::ctx ctx;
    aios::toolset tools(ctx);
    aios::status st;
    CHECK(tools.add({"no blanks please", "", ""}, [alive](std::string_view) { return std::to_string(*alive); }, &st) == AIOS_EINVAL && !st.ok());
    CHECK(alive.use_count() == 1 && tools.size() == 0);
}

static void gate_is_a_lambda()
{
    parts p(R"(echo:call write {}; say done)");
    p.tools.add({"write", "Writes.", ""}, nothing);
    p.cfg.decide = [](const aios_action &a, aios_verdict &v) {
        CHECK(a.effect == AIOS_EFFECT_UNSAFE);
        v.verdict = AIOS_DENY;
        std::snprintf(v.reason, sizeof v.reason, "not on %s", "Sundays");
    };
    outcome got = result_of(p.agent().start("go"));
    CHECK(got.code == AIOS_EDENIED && got.text.find("not on Sundays") != std::string::npos);
    p.cfg.decide = [](const aios_action &, aios_verdict &v) { v.verdict = AIOS_ALLOW; };
    CHECK(result_of(p.agent().start("go")).code == AIOS_OK);
    p.cfg.decide = [](const aios_action &, aios_verdict &v) {
        v.verdict = AIOS_ALLOW;
        throw std::logic_error("the gate is broken");
    };
    got = result_of(p.agent().start("go"));
    CHECK(got.code == AIOS_EDENIED && got.text.find("the gate is broken") != std::string::npos);
}

static void rules_are_asked_first()
{
    parts p("echo:call read {}; say done");
    reads(p.tools, "read", nothing);
    aios::rules rules(p.ctx, R"({"version":1})");
    p.cfg.rules = rules;
    CHECK(result_of(p.agent().start("go")).code == AIOS_EDENIED);
    aios::status st;
    CHECK(!aios::rules(p.ctx, "{", &st) && st.code == AIOS_EFORMAT);
    CHECK(!aios::rules::open(p.ctx, "/nowhere.json", &st) && !st.ok());
}

static void loop_waits_for_decisions()
{
    parts p("echo:call write {}; say done");
    p.tools.add({"write", "Writes.", ""}, nothing);
    aios::agent agent = p.agent();
    aios::run run = agent.start("go");
    aios::status st;
    std::string asked, end;
    for (aios::event ev : run.events(&st))
        if (ev.type() == AIOS_EVENT_ASK)
            asked = ev.call_id();
    CHECK(asked == "call_1" && st.code == AIOS_AGAIN && st.ok());
    CHECK(run.decide("call_9", AIOS_ALLOW, &st) == AIOS_ENOENT);
    run.decide(asked, AIOS_ALLOW);
    for (aios::event ev : run.events(&st))
        if (ev.type() == AIOS_EVENT_DONE)
            end = ev.text();
    CHECK(end == "done" && st.code == AIOS_DONE);
    run = agent.start("go");
    for (aios::event ev : run) {
        if (ev.type() == AIOS_EVENT_ASK)
            run.decide(ev.call_id(), AIOS_DENY);
        if (ev.type() == AIOS_EVENT_RESULT)
            CHECK(ev->code == AIOS_EDENIED);
    }
    CHECK(agent.ask("go") == "done");
}

static void hooks_are_lambdas()
{
    parts p("echo:call read {}; say done");
    reads(p.tools, "read", nothing);
    std::string log;
    p.cfg.name = "eve";
    p.cfg.hooks.before_turn = [&](const aios_moment &m, aios_turn_profile &, aios_refusal &) {
        log += "turn " + std::string(m.agent) + std::to_string(m.step) + "; ";
        return 0;
    };
    p.cfg.hooks.after_turn = [&](const aios_moment &, const aios_turn_said &s, aios_refusal &) {
        log += std::to_string(s.n_calls) + " calls; ";
        return 0;
    };
    p.cfg.hooks.before_call = [&](const aios_moment &, const aios_action &a, aios_refusal &) -> int {
        log += "before " + std::string(a.tool) + "; ";
        throw aios::error(AIOS_ERATE, "too often");
    };
    p.cfg.hooks.after_call = [&](const aios_moment &, aios::event ev, aios_refusal &) {
        log += "after " + std::to_string(ev->code) + "; ";
        return 0;
    };
    p.cfg.hooks.on_stop = [&](const aios_moment &, aios::event ev) {
        log += "stop " + std::to_string(ev.type());
        throw std::runtime_error("nobody hears it");
    };
    outcome got = result_of(p.agent().start("go"));
    CHECK(got.code == AIOS_ERATE && got.text.find("too often") != std::string::npos);
    CHECK(log.find("turn eve0; 1 calls; before read; ") == 0 && log.find("turn eve1; 0 calls; stop 8") != std::string::npos);
    p.cfg.hooks = {};
    p.cfg.hooks.before_turn = [](const aios_moment &, aios_turn_profile &, aios_refusal &no) {
        std::snprintf(no.reason, sizeof no.reason, "closed");
        return int(AIOS_EDENIED);
    };
    aios::status st;
    p.agent().ask("go", &st);
    CHECK(st.code == AIOS_EDENIED && st.message().find("closed") != std::string_view::npos);
}

static void callables_outlive_their_agent()
{
    auto alive = std::make_shared<int>(0);
    std::weak_ptr<int> watch = alive;
    parts p("echo:call read {}; say done");
    reads(p.tools, "read", nothing);
    p.cfg.decide = [alive](const aios_action &, aios_verdict &v) { v.verdict = ++*alive ? AIOS_ALLOW : AIOS_DENY; };
    p.cfg.hooks.on_stop = [alive](const aios_moment &, aios::event) { ++*alive; };
    int *count = alive.get();
    alive.reset();
    aios::run run = p.agent().start("go");
    p.cfg = aios::agent_config();
    run = aios::run(std::move(run));
    CHECK(result_of(std::move(run)).code == AIOS_OK);
    CHECK(watch.expired() && count != nullptr);
}

static void agents_are_tools_of_others()
{
    std::weak_ptr<int> watch;
    int n_asked = 0;
    {
        parts boss(R"(echo:call worker {"prompt":"dig"}; say boss: ; result)");
        {
            parts worker("echo:call read {}; say dug");
            reads(worker.tools, "read", nothing);
            auto alive = std::make_shared<int>(0);
            watch = alive;
            worker.cfg.decide = [alive, &n_asked](const aios_action &, aios_verdict &v) {
                n_asked += 1 + *alive;
                v.verdict = AIOS_ALLOW;
            };
            worker.cfg.toolset(worker.tools);
            aios::agent agent(boss.ctx, worker.cfg);
            boss.tools.add(agent, "worker", "Digs.");
        }
        CHECK(!watch.expired() && boss.agent().ask("go") == "boss:dug" && n_asked == 1);
    }
    CHECK(watch.expired());
}

static void agents_that_call_themselves_are_freed()
{
    auto alive = std::make_shared<int>(0);
    std::weak_ptr<int> watch = alive;
    {
        parts p(R"(echo:call me {"prompt":"again"}; say ok)"), q("echo:say ok");
        p.cfg.decide = [alive](const aios_action &, aios_verdict &v) { v.verdict = AIOS_DENY; };
        q.cfg.decide = p.cfg.decide;
        aios::toolset other(p.ctx);
        aios::agent a = p.agent();
        p.tools.add(a, "me", "Itself.");
        q.cfg.toolset(other);
        other.add(a, "a", "");
        aios::agent b(p.ctx, q.cfg);
        p.tools.add(b, "b", "Has a.");
        alive.reset();
        CHECK(a.ask("go") == "ok" && b.ask("go") == "ok");
    }
    CHECK(watch.expired());
}

static void runs_are_handed_over()
{
    parts first("echo:call transfer_to_expert {}; say never");
    int n_asked = 0;
    aios::agent agent;
    {
        aios::model model(first.ctx, R"(echo:turn; call read {}; say expert here)");
        aios::toolset tools(first.ctx);
        reads(tools, "read", nothing);
        aios::agent_config cfg;
        cfg.model = model;
        cfg.toolset(tools);
        cfg.handoff("first", "Back.");
        cfg.decide = [&](const aios_action &, aios_verdict &v) {
            n_asked++;
            v.verdict = AIOS_ALLOW;
        };
        aios::agent expert(first.ctx, cfg);
        first.cfg.handoff(std::string("expert"), "Knows.", &expert);
        first.cfg.hooks.on_handoff = [](const aios_moment &, std::string_view from, std::string_view to, aios_refusal &) {
            CHECK(from.empty() && to == "expert");
            return 0;
        };
        agent = first.agent();
    }
    CHECK(agent.ask("go") == "expert here" && n_asked == 1);
}

static void failing_run_throws_behind_its_event()
{
    parts p("echo:fail EAUTH who are you");
    aios::agent agent = p.agent();
    bool seen = false;
    try {
        for (aios::event ev : agent.start("go"))
            seen |= ev.type() == AIOS_EVENT_ERROR && ev->error && ev->error->code == AIOS_EAUTH;
        CHECK(false);
    } catch (const aios::error &e) {
        CHECK(seen && e.code() == AIOS_EAUTH && std::string(e.what()).find("who are you") != std::string::npos);
    }
    try {
        agent.ask("go");
        CHECK(false);
    } catch (const aios::error &e) {
        CHECK(e.code() == AIOS_EAUTH);
    }
    aios::status st;
    aios::run run = agent.start("go");
    for (aios::event ev : run.events(&st))
        (void)ev;
    CHECK(st.code == AIOS_EAUTH);
    for (aios::event ev : run.events(&st))
        CHECK(ev.type() < 0);
    CHECK(st.code == AIOS_DONE);
}

static void left_loop_goes_on()
{
    parts p("echo:say one two three four");
    aios::agent agent = p.agent();
    aios::run run = agent.start("go");
    std::string text;
    for (aios::event ev : run)
        if (ev.type() == AIOS_EVENT_TEXT) {
            text += ev.text();
            break;
        }
    CHECK(!text.empty());
    for (aios::event ev : run)
        if (ev.type() == AIOS_EVENT_TEXT)
            text += ev.text();
    CHECK(text == "one two three four" && aios::to_json(run.transcript()).find("one two three four") != std::string::npos);
    run = agent.start("go");
    try {
        for (aios::event ev : run)
            throw ev.type();
    } catch (int) {
        run.cancel();
    }
    aios::status st;
    for (aios::event ev : run.events(&st))
        (void)ev;
    CHECK(st.code == AIOS_ECANCELED);
}

static void transcript_is_continued()
{
    parts p("echo:say one; turn; say two");
    aios::transcript t(p.ctx);
    aios::agent agent = p.agent();
    for (const char *want : {"one", "two"}) {
        std::string reply;
        for (aios::event ev : agent.start("go", t))
            if (ev.type() == AIOS_EVENT_DONE)
                reply = ev.text();
        CHECK(reply == want);
    }
    CHECK(t.size() == 4);
}

static void runs_are_resumed()
{
    parts p("echo:call write {}; say done");
    int n_calls = 0;
    p.tools.add({"write", "Writes.", ""}, [&](std::string_view) { return std::to_string(++n_calls); });
    aios::store store(p.ctx, "memory:");
    p.cfg.store = store;
    aios::agent agent = p.agent();
    aios::init<aios_run_options> options;
    options.prompt = "go";
    options.n_prompt = AIOS_CSTR;
    options.id = "the-run";
    {
        aios::run run = agent.start(options);
        CHECK(run.id() == "the-run");
        for (aios::event ev : run)
            (void)ev; // it waits to be asked
    }
    aios::status st;
    CHECK(!agent.resume("no-run", &st) && st.code == AIOS_ENOENT);
    aios::run run = agent.resume("the-run");
    std::string end;
    for (aios::event ev : run) {
        if (ev.type() == AIOS_EVENT_ASK)
            run.decide(ev.call_id(), AIOS_ALLOW);
        if (ev.type() == AIOS_EVENT_DONE)
            end = ev.text();
    }
    CHECK(end == "done" && n_calls == 1);
}

static void agent_that_cannot_be_made_throws()
{
    aios::ctx ctx;
    aios::agent_config cfg;
    aios::status st;
    CHECK(!aios::agent(ctx, cfg, &st) && st.code == AIOS_EINVAL);
    try {
        aios::agent agent(ctx, cfg);
        CHECK(false);
    } catch (const aios::error &e) {
        CHECK(e.code() == AIOS_EINVAL);
    }
}

test_cases agent_cases()
{
    static const test_case cases[] = {
        {"lambda_is_a_tool", lambda_is_a_tool},
        {"exception_is_the_calls_failure", exception_is_the_calls_failure},
        {"calls_tell_who_they_are", calls_tell_who_they_are},
        {"call_is_answered_from_another_thread", call_is_answered_from_another_thread},
        {"dropped_call_fails", dropped_call_fails},
        {"tools_live_as_long_as_their_agents", tools_live_as_long_as_their_agents},
        {"refused_tool_is_freed", refused_tool_is_freed},
        {"gate_is_a_lambda", gate_is_a_lambda},
        {"rules_are_asked_first", rules_are_asked_first},
        {"loop_waits_for_decisions", loop_waits_for_decisions},
        {"hooks_are_lambdas", hooks_are_lambdas},
        {"callables_outlive_their_agent", callables_outlive_their_agent},
        {"agents_are_tools_of_others", agents_are_tools_of_others},
        {"agents_that_call_themselves_are_freed", agents_that_call_themselves_are_freed},
        {"runs_are_handed_over", runs_are_handed_over},
        {"failing_run_throws_behind_its_event", failing_run_throws_behind_its_event},
        {"left_loop_goes_on", left_loop_goes_on},
        {"transcript_is_continued", transcript_is_continued},
        {"runs_are_resumed", runs_are_resumed},
        {"agent_that_cannot_be_made_throws", agent_that_cannot_be_made_throws},
    };
    return {cases, sizeof cases / sizeof *cases};
}
