/* SPDX-License-Identifier: Apache-2.0 */
/* What a run waits on: it takes no descriptor before it has to wait, and goes on without one where the system has none left. */
#include <sys/resource.h>

#include "agent_test.h"

typedef struct later {
    aios_call *call;
    pthread_t thread;
} later;

static void *finish(void *arg)
{
    later *l = arg;
    sleep_ms(150);
    aios_call_finish(l->call, 0, "late but fine", AIOS_CSTR);
    return NULL;
}

static int tool_later(void *user, aios_call *call)
{
    later *l = user;
    l->call = call;
    return pthread_create(&l->thread, NULL, finish, l) ? AIOS_EUNAVAIL : AIOS_AGAIN;
}

static int lowest_free(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static void open_later(world *w, later *l)
{
    world_open(w, NULL, "echo:call add {\"a\":1,\"b\":2};turn;call later; result");
    world_tool(w, make_tool("later", tool_later, l));
    world_agent(w);
}

static void a_run_takes_a_descriptor_when_it_waits(void **state)
{
    (void)state;
    world w;
    later k;
    const aios_event *ev;
    open_later(&w, &k);
    int before = lowest_free();
    aios_run *r = world_start(&w, NULL, "go");
    do
        assert_int_equal(aios_run_next(r, -1, &ev), 0);
    while (ev->type != AIOS_EVENT_RESULT);
    assert_int_equal(lowest_free(), before);
    while (!aios_run_next(r, -1, &ev))
        ;
    assert_true(lowest_free() > before);
    pthread_join(k.thread, NULL);
    aios_run_free(r);
    assert_int_equal(lowest_free(), before);
    world_close(&w);
}

static void a_run_waits_where_no_descriptor_is_left(void **state)
{
    (void)state;
    world w;
    later k;
    struct rlimit was, none;
    log_text l = {.n = 0}, again = {.n = 0};
    open_later(&w, &k);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    pthread_join(k.thread, NULL);
    assert_int_equal(aios_run_fd(r), -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_true(aios_run_fd(r) >= 0);
    assert_non_null(strstr(l.s, "result:3|model|tools|call:later{}|result:late but fine|"));
    aios_run_free(r);
    r = world_start(&w, NULL, "go");
    pull_all(r, &again);
    pthread_join(k.thread, NULL);
    assert_string_equal(again.s, l.s);
    aios_run_free(r);
    world_close(&w);
}

/* A poll that is given no time at all ends, with and without a descriptor. */
static void a_look_at_a_call_that_runs_is_short(void **state)
{
    (void)state;
    world w;
    later k;
    struct rlimit was, none;
    const aios_event *ev;
    int rc;
    for (int left = 0; left < 2; left++) {
        open_later(&w, &k);
        aios_run *r = world_start(&w, NULL, "go");
        do
            assert_int_equal(aios_run_next(r, -1, &ev), 0);
        while (ev->type != AIOS_EVENT_CALL || strcmp(ev->name, "later"));
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = was;
        none.rlim_cur = left ? was.rlim_cur : 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        assert_int_equal(aios_run_next(r, 1, &ev), AIOS_AGAIN);
        while ((rc = aios_run_next(r, 5, &ev)) == AIOS_AGAIN)
            ;
        assert_int_equal(rc, 0);
        assert_int_equal(ev->type, AIOS_EVENT_RESULT);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        pthread_join(k.thread, NULL);
        aios_run_free(r);
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_takes_a_descriptor_when_it_waits),
        cmocka_unit_test(a_run_waits_where_no_descriptor_is_left),
        cmocka_unit_test(a_look_at_a_call_that_runs_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
