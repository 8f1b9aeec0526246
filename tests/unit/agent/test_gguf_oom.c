/* SPDX-License-Identifier: Apache-2.0 */
/* A whole agent run on the engine, from loading a model to its answer, under every lack of memory. */
#include "test.h"

#include <stdbool.h>

#include <unistd.h>

#include "net_make.h"

static char uri[64];

static int write_model(void **state)
{
    (void)state;
    net_make make = {.arch = "qwen2", .dtype = 8, .template_text = net_chatml, .tied = 1, .n_ctx = 1024};
    net_file(&make, uri);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    return unlink(uri + 5);
}

static int tool_seven(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, AIOS_OK, "7", 1);
}

static int add_tool(aios_toolset *ts, aios_error *err)
{
    aios_tool tool = AIOS_INIT(aios_tool);
    tool.name = "seven";
    tool.description = "gives a number";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":99}},\"required\":[\"n\"]}";
    tool.effect = AIOS_EFFECT_READ;
    tool.fn = tool_seven;
    return aios_toolset_add(ts, &tool, err);
}

/* The run's last code; a failure before the run too. */
static int whole_run(aios_ctx *ctx, aios_error *err)
{
    aios_model_config mc = AIOS_INIT(aios_model_config);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_model *model = NULL;
    aios_toolset *ts = NULL;
    aios_agent *agent = NULL;
    limits.max_turns = 3;
    limits.max_turn_tokens = 40;
    mc.n_threads = 1;
    int rc = aios_model_open(ctx, uri, &mc, &model, err);
    rc = rc ? rc : aios_toolset_new(ctx, &ts, err);
    rc = rc ? rc : add_tool(ts, err);
    cfg.model = model;
    cfg.toolset = ts;
    cfg.limits = &limits;
    cfg.tool_choice = AIOS_TOOLS_REQUIRED;
    rc = rc ? rc : aios_agent_new(ctx, &cfg, &agent, err);
    rc = rc ? rc : aios_agent_run(agent, "which number?", AIOS_CSTR, NULL, NULL, err);
    aios_agent_free(agent);
    aios_toolset_free(ts);
    aios_model_close(model);
    return rc;
}

static void every_allocation_of_a_run_on_the_engine_may_fail(void **state)
{
    (void)state;
    long failed = 0;
    for (long at = 1;; at++) {
        test_heap h = {.fail_at = 0, .persistent = (int)(at % 2)};
        aios_error err = AIOS_INIT(aios_error);
        aios_ctx *ctx = test_ctx(&h, 0);
        h.fail_at = h.n_allocs + at;
        int rc = whole_run(ctx, &err);
        bool reached = h.n_allocs >= h.fail_at;
        aios_ctx_free(ctx);
        assert_int_equal(h.live, 0);
        if (!reached)
            break;
        if (rc) {
            assert_int_equal(rc, AIOS_ENOMEM);
            assert_true(err.msg[0]);
            failed++;
        }
    }
    assert_true(failed > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_a_run_on_the_engine_may_fail),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
