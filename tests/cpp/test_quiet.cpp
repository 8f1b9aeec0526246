/* SPDX-License-Identifier: Apache-2.0 */
/* The layer where exceptions are off, linked with files where they are on. */
#include "cases.hpp"

#if defined(__cpp_exceptions)
#error "this file is to be compiled with -fno-exceptions"
#endif

static void failed_open_leaves_an_empty_object()
{
    aios::ctx ctx;
    aios::status st;
    aios::model model(ctx, "/nowhere/at/all.gguf", {}, &st);
    CHECK(!model && !st.ok() && st.code == AIOS_ENOENT && !st.message().empty());
    aios::model unasked(ctx, "/nowhere/at/all.gguf");
    CHECK(!unasked);
    model = aios::model(ctx, "echo:", {}, &st);
    CHECK(model && st.ok() && st.message().empty());
}

static void calls_return_their_code()
{
    aios::ctx ctx;
    CHECK(ctx.set_budget(1) == AIOS_EBUDGET);
    aios::toolset tools(ctx);
    auto fn = [](std::string_view) { return std::string("{}"); };
    CHECK(tools.add({"bad name!", "", ""}, fn) == AIOS_EINVAL);
    CHECK(tools.add({"good", "", ""}, fn) == AIOS_OK && tools.size() == 1);
}

static void agent_runs_a_tool()
{
    aios::ctx ctx;
    aios::model model(ctx, R"(echo:call add {"a":19,"b":23}; say The answer is ; result)");
    aios::toolset tools(ctx);
    tools.add({"add", "Adds.", "", AIOS_EFFECT_READ}, [](std::string_view args) {
        CHECK(args == R"({"a":19,"b":23})");
        return std::string("42");
    });
    aios::agent_config cfg;
    cfg.model = model;
    cfg.toolset(tools);
    aios::status st;
    aios::agent agent(ctx, cfg, &st);
    CHECK(st.ok());
    CHECK(agent.ask("19 + 23?", &st) == "The answer is42" && st.ok());
}

static void failing_run_ends_its_loop()
{
    aios::ctx ctx;
    aios::model model(ctx, "echo:fail EIO the wire is cut");
    aios::agent_config cfg;
    cfg.model = model;
    aios::agent agent(ctx, cfg);
    aios::status st;
    int n_errors = 0;
    aios::run run = agent.start("go", nullptr, &st);
    for (aios::event ev : run.events(&st))
        n_errors += ev.type() == AIOS_EVENT_ERROR;
    CHECK(n_errors == 1 && st.code == AIOS_EIO && st.message().find("the wire is cut") != std::string_view::npos);
    run = agent.start("again");
    for (aios::event ev : run)
        n_errors += ev.type() == AIOS_EVENT_ERROR;
    CHECK(n_errors == 2);
}

test_cases quiet_cases()
{
    static const test_case cases[] = {
        {"failed_open_leaves_an_empty_object", failed_open_leaves_an_empty_object},
        {"calls_return_their_code", calls_return_their_code},
        {"agent_runs_a_tool_without_exceptions", agent_runs_a_tool},
        {"failing_run_ends_its_loop", failing_run_ends_its_loop},
    };
    return {cases, sizeof cases / sizeof *cases};
}
