/* SPDX-License-Identifier: Apache-2.0 */
/* A whole agent run under every lack of memory: nothing crashes, nothing leaks, the error is typed, the transcript whole. */
#include "agent_test.h"

static const char script[] = "echo:think hm; say let me see; call add {\"a\":1,\"b\":2}; call counts; call sub {}; say {\"n\":3}";

static int build(world *w, bool with_store, _Atomic int *n, aios_transcript **t, aios_error *err)
{
    aios_tool add = make_tool("add", tool_add, NULL), counts = make_tool("counts", tool_count, n);
    add.schema_json = add_schema;
    counts.flags = AIOS_TOOL_ANY_THREAD | AIOS_TOOL_TRUSTED;
    int rc = aios_model_open(w->ctx, script, NULL, &w->model, err);
    if (!rc)
        rc = aios_toolset_new(w->ctx, &w->ts, err);
    if (!rc)
        rc = aios_toolset_add(w->ts, &add, err);
    if (!rc)
        rc = aios_toolset_add(w->ts, &counts, err);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    cfg.model = w->model;
    cfg.toolset = w->ts;
    cfg.instructions = "be brief";
    cfg.schema_json = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}";
    if (!rc && with_store)
        rc = aios_store_open(w->ctx, "memory:", NULL, &cfg.store, err);
    if (!rc)
        rc = aios_agent_new(w->ctx, &cfg, &w->agent, err);
    aios_store_close(cfg.store);
    if (!rc)
        rc = aios_transcript_new(w->ctx, t, err);
    return rc;
}

/* Everything from opening the model to the last event; 0 or the first failure. */
static int whole_run(world *w, bool with_store, aios_transcript **t, bool with_fd, aios_error *err)
{
    _Atomic int n = 0;
    aios_run *r = NULL;
    const aios_event *ev;
    int rc = build(w, with_store, &n, t, err);
    if (!rc)
        rc = aios_run_start(w->agent, *t, "1+2?", AIOS_CSTR, &r, err);
    if (rc)
        return rc;
    if (with_fd)
        aios_run_fd(r);
    int result = AIOS_EINTERNAL;
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        if (ev->type == AIOS_EVENT_ERROR)
            result = ev->error->code;
        if (ev->type == AIOS_EVENT_DONE)
            result = 0;
    }
    if (rc != AIOS_DONE)
        fail_msg("next gave %d", rc);
    aios_run_free(r);
    return result;
}

static void close_all(world *w, aios_transcript *t)
{
    if (t)
        check_whole(t);
    aios_transcript_free(t);
    world_close(w);
}

static void every_allocation_fails_once_or_for_good(void **state)
{
    (void)state;
    for (int mode = 0; mode < 8; mode++) {
        long failed = 0, at = 1;
        for (bool hit = true; hit; at++) {
            world w = {0};
            test_heap h = {0};
            aios_transcript *t = NULL;
            aios_error err = AIOS_INIT(aios_error);
            w.ctx = test_ctx(&h, 0);
            h.n_allocs = 0;
            h.persistent = mode & 1;
            h.fail_at = at;
            int rc = whole_run(&w, mode & 4, &t, mode & 2, &err);
            hit = test_heap_heal(&h);
            if (rc && rc != AIOS_ENOMEM)
                fail_msg("mode %d allocation %ld: %s: %s", mode, at, aios_code_name(rc), err.msg);
            failed += rc != 0;
            close_all(&w, t);
            if (h.live)
                fail_msg("mode %d allocation %ld: %ld blocks leak", mode, at, h.live);
            if (!hit)
                assert_int_equal(rc, 0);
        }
        assert_true(failed > 50);
    }
}

static void a_budget_too_small_at_any_point_is_told(void **state)
{
    (void)state;
    world w = {0};
    test_heap h = {0};
    aios_transcript *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    w.ctx = test_ctx(&h, 0);
    aios_ctx_usage(w.ctx, &before);
    assert_int_equal(whole_run(&w, false, &t, false, &err), 0);
    aios_ctx_usage(w.ctx, &after);
    close_all(&w, t);
    uint64_t from = before.used, to = after.peak, step = (to - from) / 300 + 1;
    int refused = 0;
    for (uint64_t budget = from; budget < to + 4 * step; budget += step) {
        memset(&w, 0, sizeof w);
        memset(&h, 0, sizeof h);
        t = NULL;
        err = (aios_error)AIOS_INIT(aios_error);
        w.ctx = test_ctx(&h, 0);
        aios_mem_usage u = AIOS_INIT(aios_mem_usage);
        aios_ctx_usage(w.ctx, &u);
        assert_int_equal(aios_ctx_set_budget(w.ctx, budget > u.peak ? budget : u.peak, &err), 0);
        int rc = whole_run(&w, false, &t, false, &err);
        if (rc && rc != AIOS_EBUDGET)
            fail_msg("budget %llu: %s: %s", (unsigned long long)budget, aios_code_name(rc), err.msg);
        refused += rc != 0;
        aios_ctx_usage(w.ctx, &u);
        assert_true(u.peak <= u.budget);
        close_all(&w, t);
        assert_int_equal(h.live, 0);
    }
    assert_in_range(refused, 100, 304);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails_once_or_for_good),
        cmocka_unit_test(a_budget_too_small_at_any_point_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
