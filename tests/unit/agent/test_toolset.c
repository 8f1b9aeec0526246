/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_test.h"

static void released(void *user)
{
    ++*(int *)user;
}

static void tools_are_copied_checked_and_released_once(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_toolset *ts;
    aios_error err = AIOS_INIT(aios_error);
    int n = 0;
    char name[8] = "one";
    assert_int_equal(aios_toolset_new(ctx, &ts, NULL), 0);
    aios_tool t = make_tool(name, tool_add, &n);
    t.release = released;
    assert_int_equal(aios_toolset_add(ts, &t, NULL), 0);
    name[0] = 'x';
    aios_tool got = AIOS_INIT(aios_tool);
    assert_int_equal(aios_toolset_at(ts, 0, &got), 0);
    assert_string_equal(got.name, "one");
    assert_string_equal(got.schema_json, "{\"type\":\"object\"}");
    assert_int_equal(aios_toolset_at(ts, 1, &got), AIOS_EINVAL);
    t.name = "one";
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EEXIST);
    static const char *const bad[] = {"", "a b", "\xc3\xa9", "x/y", "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        t.name = bad[i];
        assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EINVAL);
    }
    t.name = NULL;
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EINVAL);
    t.name = "two";
    t.schema_json = "{\"type\":\"nonsense\"}";
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_ESCHEMA);
    assert_non_null(strstr(err.msg, "two"));
    t.schema_json = "{";
    assert_true(aios_toolset_add(ts, &t, &err) < 0);
    t.schema_json = NULL;
    t.fn = NULL;
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EINVAL);
    t.fn = tool_add;
    t.effect = 9;
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EINVAL);
    t.effect = 0;
    t.flags = 64;
    assert_int_equal(aios_toolset_add(ts, &t, &err), AIOS_EINVAL);
    assert_int_equal(aios_toolset_count(ts), 1);
    assert_int_equal(aios_toolset_add(NULL, &t, NULL), AIOS_EINVAL);
    assert_int_equal(aios_toolset_count(NULL), 0);
    aios_ctx_free(ctx);
    assert_int_equal(n, 0);
    aios_toolset_free(ts);
    aios_toolset_free(NULL);
    assert_int_equal(n, 1);
    assert_int_equal(h.live, 0);
}

static void calls_of_nothing_are_refused(void **state)
{
    (void)state;
    assert_null(aios_call_args(NULL));
    assert_null(aios_call_id(NULL));
    assert_null(aios_call_name(NULL));
    assert_int_equal(aios_call_cancelled(NULL), 1);
    assert_int_equal(aios_call_finish(NULL, 0, "x", 1), AIOS_EINVAL);
}

static void an_agent_keeps_its_toolset(void **state)
{
    (void)state;
    world w;
    int n = 0;
    world_open(&w, NULL, "echo:say x");
    aios_tool t = make_tool("kept", tool_add, &n);
    t.release = released;
    world_tool(&w, t);
    world_agent(&w);
    aios_toolset_free(w.ts);
    w.ts = NULL;
    assert_int_equal(n, 0);
    assert_int_equal(aios_agent_run(w.agent, "go", AIOS_CSTR, NULL, NULL, NULL), 0);
    world_close(&w);
    assert_int_equal(n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_are_copied_checked_and_released_once),
        cmocka_unit_test(calls_of_nothing_are_refused),
        cmocka_unit_test(an_agent_keeps_its_toolset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
