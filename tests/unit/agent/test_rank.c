/* SPDX-License-Identifier: Apache-2.0 */
/* What a run says of its weight reaches the model with every turn, and its session says that it will be back as long as it goes on. */
#include "agent_test.h"
#include "parrot.h"

enum { TURNS = 3 };

typedef struct seen {
    parrot bird; /* first: sessions are one */
    int32_t priority[TURNS + 1];
    int64_t deadline[TURNS + 1];
    uint32_t n;
    int32_t returns;
    uint32_t n_retained;
} seen;

static int note_start(void *session, const aios_request *req, aios_error *err)
{
    seen *s = session;
    if (s->n <= TURNS) {
        s->priority[s->n] = req->priority;
        s->deadline[s->n++] = req->deadline_ns;
    }
    return parrot_start(&s->bird, req, err);
}

static void note_retain(void *session, int32_t returns)
{
    seen *s = session;
    s->returns = returns;
    s->n_retained++;
}

/* An agent whose model says a word. */
static void open_rig(world *w, seen *s)
{
    static const char *const lines[] = {"one", NULL};
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    s->bird = (parrot){.lines = lines, .reason = "stop"};
    world_open(w, NULL, "echo:");
    aios_model_close(w->model);
    ops.name = "parrot";
    ops.open = parrot_open;
    ops.close = parrot_close;
    ops.info = parrot_info;
    ops.session_new = parrot_session;
    ops.session_free = parrot_close;
    ops.start = note_start;
    ops.step = parrot_step;
    ops.cancel = parrot_close;
    ops.retain = note_retain;
    assert_int_equal(aios_backend_register(w->ctx, &ops, s, NULL), 0);
    assert_int_equal(aios_model_open(w->ctx, "parrot:", NULL, &w->model, NULL), 0);
    w->cfg.model = w->model;
    w->cfg.toolset = NULL;
    world_agent(w);
}

static aios_run *start_run(const world *w, int32_t priority, int64_t deadline_ns)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r;
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.priority = priority;
    o.deadline_ns = deadline_ns;
    must(aios_run_start_with(w->agent, &o, &r, &err), &err);
    return r;
}

static void read_all(aios_run *r)
{
    log_text l = {.n = 0};
    pull_all(r, &l);
}

static void priority_and_deadline_reach_the_model(void **state)
{
    (void)state;
    world w;
    seen s = {.n = 0};
    open_rig(&w, &s);
    aios_run *r = start_run(&w, -7, 60000000000);
    read_all(r);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.priority[0], -7);
    assert_in_range(s.deadline[0], 1, 60000000000);
    aios_run_free(r);
    r = start_run(&w, INT32_MAX, INT64_MAX); /* further than the clock goes */
    read_all(r);
    assert_int_equal(s.priority[1], INT32_MAX);
    assert_true(s.deadline[1] > 60000000000);
    aios_run_free(r);
    r = start_run(&w, 0, 1); /* over before it begins: as urgent as can be */
    read_all(r);
    assert_int_equal(s.deadline[2], 1);
    aios_run_free(r);
    r = start_run(&w, 0, 0);
    read_all(r);
    assert_int_equal(s.deadline[3], 0);
    aios_run_free(r);
    world_close(&w);
}

static void a_negative_deadline_is_refused(void **state)
{
    (void)state;
    world w;
    seen s = {.n = 0};
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r;
    open_rig(&w, &s);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.deadline_ns = -1;
    assert_int_equal(aios_run_start_with(w.agent, &o, &r, &err), AIOS_EINVAL);
    assert_null(r);
    assert_non_null(strstr(err.msg, "deadline_ns"));
    o.deadline_ns = INT64_MIN;
    assert_int_equal(aios_run_start_with(w.agent, &o, &r, &err), AIOS_EINVAL);
    world_close(&w);
}

static void a_session_says_that_it_returns_while_its_run_goes_on(void **state)
{
    (void)state;
    world w;
    seen s = {.n = 0};
    open_rig(&w, &s);
    for (uint32_t i = 0; i < 2; i++) { /* the second run has the session of the first */
        aios_run *r = start_run(&w, 0, 0);
        assert_int_equal(s.returns, 1);
        read_all(r);
        assert_int_equal(s.returns, 1);
        aios_run_free(r);
        assert_int_equal(s.returns, 0);
        assert_int_equal(s.n_retained, 2 * (i + 1));
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priority_and_deadline_reach_the_model),
        cmocka_unit_test(a_negative_deadline_is_refused),
        cmocka_unit_test(a_session_says_that_it_returns_while_its_run_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
