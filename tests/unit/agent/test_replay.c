/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is told again from its journal, and journals that are not what they should be. */
#include "agent_test.h"

static int tool_fail(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, AIOS_ETOOL, "it broke", AIOS_CSTR);
}

static int ask_act(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    out->verdict = strcmp(a->tool, "act") ? AIOS_ALLOW : AIOS_ASK;
    return 0;
}

static void open_kept(world *w, test_heap *h, const char *script, aios_store **st)
{
    aios_error err = AIOS_INIT(aios_error);
    world_open(w, h, script);
    aios_tool t = make_tool("act", tool_fail, NULL);
    t.effect = AIOS_EFFECT_UNSAFE;
    world_tool(w, t);
    must(aios_store_open(w->ctx, "memory:replay", NULL, st, &err), &err);
    w->cfg.store = *st;
    w->policy.decide = ask_act;
    world_agent(w);
}

/* Drives a run to its end; asks are allowed. */
static void live(const world *w, const char *id, log_text *log)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    const aios_event *ev;
    aios_run *r;
    o.prompt = "go on";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    must(aios_run_start_with(w->agent, &o, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev)) {
        log_event(log, ev);
        if (ev->type == AIOS_EVENT_ASK)
            must(aios_run_decide(r, ev->call_id, AIOS_ALLOW, &err), &err);
    }
    aios_run_free(r);
}

typedef struct told {
    log_text log;
    char kinds[256];
    uint64_t record, tokens;
    int64_t used_ns;
} told;

static int tell(void *user, const aios_run_step *s)
{
    told *t = user;
    size_t n = strlen(t->kinds);
    assert_true(s->record >= t->record && s->n_tokens >= t->tokens && s->text);
    assert_true(s->used_ns == -1 || s->used_ns >= t->used_ns);
    t->record = s->record;
    t->tokens = s->n_tokens;
    t->used_ns = s->used_ns == -1 ? t->used_ns : s->used_ns;
    snprintf(t->kinds + n, sizeof t->kinds - n, "%d%s ", s->kind, s->call_id ? s->name : "");
    for (uint32_t i = 0; i < s->n_events; i++)
        log_event(&t->log, (const void *)((const char *)s->events + i * s->event_stride));
    return 0;
}

static void tells_what_the_run_told(void **state)
{
    static const char *const scripts[] = {"echo:say hello",
                                          "echo:think hm; say look; call add {\"a\":1,\"b\":2}; turn; say three",
                                          "echo:call act {\"n\":1}; call add {\"a\":1}; call none {}; turn; call add [1]; turn; say over"};
    (void)state;
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        aios_error err = AIOS_INIT(aios_error);
        log_text was = {.n = 0};
        told t = {.tokens = 0};
        aios_store *st;
        world w;
        open_kept(&w, NULL, scripts[i], &st);
        live(&w, "r1", &was);
        must(aios_run_replay(w.ctx, st, "r1", tell, &t, &err), &err);
        assert_string_equal(t.log.s, was.s);
        aios_store_close(st);
        world_close(&w);
    }
}

static void each_record_is_a_step(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    log_text was = {.n = 0};
    told t = {.tokens = 0};
    aios_store *st;
    world w;
    open_kept(&w, NULL, "echo:call act {}; call add {\"a\":1,\"b\":2}; turn; say over", &st);
    live(&w, "r1", &was);
    must(aios_run_replay(w.ctx, st, "r1", tell, &t, &err), &err);
    assert_non_null(strstr(t.kinds, "1 3 5act "));
    assert_non_null(strstr(t.kinds, "6act "));
    assert_non_null(strstr(t.kinds, "4act "));
    assert_non_null(strstr(t.kinds, "7act "));
    assert_non_null(strstr(t.kinds, " 3 8 "));
    assert_true(t.tokens > 0);
    assert_int_equal(aios_run_replay(w.ctx, st, "r2", tell, &t, &err), AIOS_ENOENT);
    assert_int_equal(aios_run_replay(w.ctx, st, "../r", tell, &t, &err), AIOS_EINVAL);
    assert_int_equal(aios_run_replay(w.ctx, st, "r1", NULL, NULL, &err), AIOS_EINVAL);
    aios_store_close(st);
    world_close(&w);
}

static void a_limit_tells_the_open_calls_as_cancelled(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    const aios_event *ev;
    log_text was = {.n = 0};
    told t = {.tokens = 0};
    aios_store *st;
    aios_run *r;
    world w;
    open_kept(&w, NULL, "echo:call act {}; call act {\"n\":2}; turn; say over", &st);
    o.prompt = "go on";
    o.n_prompt = AIOS_CSTR;
    o.id = "r1";
    must(aios_run_start_with(w.agent, &o, &r, &err), &err);
    while (!aios_run_next(r, -1, &ev)) {
        log_event(&was, ev);
        if (ev->type == AIOS_EVENT_ASK)
            aios_run_cancel(r);
    }
    aios_run_free(r);
    must(aios_run_replay(w.ctx, st, "r1", tell, &t, &err), &err);
    assert_non_null(strstr(t.log.s, "result(ECANCELED):error: cancelled|"));
    assert_int_equal(t.log.code, AIOS_ECANCELED);
    assert_string_equal(t.log.msg, was.msg);
    aios_store_close(st);
    world_close(&w);
}

static int stop_third(void *user, const aios_run_step *s)
{
    (void)s;
    return ++*(int *)user == 3 ? 42 : 0;
}

static void fn_stops_it(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    log_text was = {.n = 0};
    int n = 0;
    aios_store *st;
    world w;
    open_kept(&w, NULL, "echo:call add {\"a\":1,\"b\":2}; turn; say over", &st);
    live(&w, "r1", &was);
    assert_int_equal(aios_run_replay(w.ctx, st, "r1", stop_third, &n, &err), 42);
    assert_int_equal(n, 3);
    aios_store_close(st);
    world_close(&w);
}

/* ---- hostile journals --------------------------------------------------------------------------------------------- */

enum { MAX_RECORDS = 32, MAX_DATA = 4096 };

typedef struct journal {
    char data[MAX_RECORDS][MAX_DATA];
    aios_store_write w[MAX_RECORDS];
    uint32_t n;
} journal;

static int copy_record(void *user, const aios_record *r)
{
    journal *j = user;
    assert_true(j->n < MAX_RECORDS && r->n_data <= MAX_DATA);
    memcpy(j->data[j->n], r->data, r->n_data);
    j->w[j->n] = (aios_store_write)AIOS_INIT(aios_store_write);
    j->w[j->n].stream = "run/bad";
    j->w[j->n].data = j->data[j->n];
    j->w[j->n].n_data = r->n_data;
    j->w[j->n].kind = r->kind;
    j->n++;
    return 0;
}

static int look(void *user, const aios_run_step *s)
{
    for (uint32_t i = 0; i < s->n_events; i++)
        *(size_t *)user += strlen(s->events[i].text) + (s->events[i].name ? strlen(s->events[i].name) : 0);
    *(size_t *)user += s->name ? strlen(s->name) : 0;
    return 0;
}

static void try_journal(const world *w, aios_store *st, const journal *j)
{
    aios_error err = AIOS_INIT(aios_error);
    size_t n = 0;
    must(aios_store_commit(st, j->w, j->n, sizeof *j->w, NULL, &err), &err);
    int rc = aios_run_replay(w->ctx, st, "bad", look, &n, &err);
    if (rc && (err.code != rc || !err.msg[0] || (rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_EINVAL)))
        fail_msg("%d %s", rc, err.msg);
    must(aios_store_remove(st, "run/bad", &err), &err);
}

/* Each byte of each record is another, each record is missing, twice, or of another kind. */
static void a_journal_that_is_not_one_is_told_or_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    log_text was = {.n = 0};
    journal *j = calloc(1, sizeof *j), *bad = calloc(1, sizeof *j);
    test_heap h = {0};
    aios_store *st;
    world w;
    open_kept(&w, &h, "echo:think x; call act {\"n\":1}; call add {\"a\":1,\"b\":2}; call add [3]; turn; say over", &st);
    live(&w, "r1", &was);
    must(aios_store_read(st, "run/r1", 1, copy_record, j, &err), &err);
    for (uint32_t i = 0; i < j->n; i++) {
        char *data = j->data[i];
        for (size_t k = 0; k < j->w[i].n_data; k++) {
            static const char others[] = {'0', '9', '"', '}', '-', 'a', '\\', 1};
            char kept = data[k];
            data[k] = others[(k + i) % sizeof others];
            try_journal(&w, st, j);
            data[k] = kept;
        }
        for (uint32_t kind = 0; kind < 14; kind++) {
            uint32_t kept = j->w[i].kind;
            j->w[i].kind = kind;
            try_journal(&w, st, j);
            j->w[i].kind = kept;
        }
        *bad = *j;
        memmove(bad->w + i, bad->w + i + 1, (--bad->n - i) * sizeof *bad->w);
        try_journal(&w, st, bad);
        *bad = *j;
        memmove(bad->w + i + 1, bad->w + i, (bad->n++ - i) * sizeof *bad->w);
        try_journal(&w, st, bad);
    }
    free(j);
    free(bad);
    aios_store_close(st);
    world_close(&w);
    assert_int_equal(h.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_the_run_told),
        cmocka_unit_test(each_record_is_a_step),
        cmocka_unit_test(a_limit_tells_the_open_calls_as_cancelled),
        cmocka_unit_test(fn_stops_it),
        cmocka_unit_test(a_journal_that_is_not_one_is_told_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
