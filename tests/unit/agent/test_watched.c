/* SPDX-License-Identifier: Apache-2.0 */
/* What telemetry is told of an agent's runs. */
#include "agent_test.h"

typedef struct told {
    char spans[16384];
    char parent[64]; /* as the tool saw it */
} told;

static int take(void *user, const char *signal, const char *json, size_t n)
{
    told *t = user;
    if (!strcmp(signal, "traces"))
        snprintf(t->spans, sizeof t->spans, "%.*s", (int)n, json);
    return 0;
}

static int tool_parent(void *user, aios_call *call)
{
    told *t = user;
    snprintf(t->parent, sizeof t->parent, "%s", aios_call_traceparent(call));
    return aios_call_finish(call, 0, "seen", AIOS_CSTR);
}

static int count(const char *s, const char *word)
{
    int n = 0;
    for (; (s = strstr(s, word)); s++)
        n++;
    return n;
}

static void a_run_is_told_with_its_turns_and_tools(void **state)
{
    (void)state;
    world w;
    told t = {{0}, {0}};
    aios_error err = AIOS_INIT(aios_error);
    aios_telemetry_config c = AIOS_INIT(aios_telemetry_config);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_telemetry_info info = AIOS_INIT(aios_telemetry_info);
    aios_telemetry *tm;
    aios_run *r;
    const aios_event *ev;
    world_open(&w, NULL, "echo:call see {}; turn; say done");
    c.write = take;
    c.user = &t;
    must(aios_telemetry_new(w.ctx, &c, &tm, &err), &err);
    world_tool(&w, make_tool("see", tool_parent, &t));
    w.cfg.telemetry = tm;
    w.cfg.name = "watcher";
    world_agent(&w);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "run-7";
    o.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    must(aios_run_start_with(w.agent, &o, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev))
        ;
    aios_run_free(r);
    assert_int_equal(aios_telemetry_flush(tm, -1), 0);
    assert_int_equal(count(t.spans, "\"traceId\":\"0af7651916cd43dd8448eb211c80319c\""), 4);
    assert_int_equal(count(t.spans, "\"name\":\"chat "), 2);
    assert_int_equal(count(t.spans, "\"name\":\"execute_tool see\""), 1);
    assert_int_equal(count(t.spans, "\"name\":\"invoke_agent watcher\""), 1);
    assert_int_equal(count(t.spans, "\"parentSpanId\":\"b7ad6b7169203331\""), 1);
    assert_int_equal(count(t.spans, "\"stringValue\":\"run-7\""), 4);
    char span[32]; /* the tool's own is what it hands on */
    assert_int_equal(strlen(t.parent), 55);
    snprintf(span, sizeof span, "\"spanId\":\"%.16s\"", t.parent + 36);
    assert_non_null(strstr(t.spans, span));
    must(aios_telemetry_info_get(tm, &info), &err);
    assert_int_equal(info.n_sent, 4);
    aios_telemetry_free(tm); /* the agent has its own reference */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_run_is_told_with_its_turns_and_tools)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
