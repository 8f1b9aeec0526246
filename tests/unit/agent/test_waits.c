/* SPDX-License-Identifier: Apache-2.0 */
/* What a run waits on: it takes no descriptor before it has to wait, and goes on without one where the system has none left. */
#include <poll.h>
#include <sys/resource.h>

#include "compose_test.h"

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

/* ---- many called agents ------------------------------------------------------------------------------------------- */

enum { AGENTS = 24 };
static pair p;

/* Each answers its prompt after a while, on the thread of its model. */
static void open_many(void)
{
    static char uri[AGENTS * 48];
    size_t n = (size_t)snprintf(uri, sizeof uri, "echo:");
    for (int i = 0; i < AGENTS; i++)
        n += (size_t)snprintf(uri + n, sizeof uri - n, "call helper {\"prompt\":\"%d\"};", i);
    snprintf(uri + n, sizeof uri - n, "turn; say all");
    pair_open(&p, uri, "echo:think a; delay 10; call add {\"a\":1,\"b\":2}; turn; delay 10; result");
    p.w.cfg.driver = p.o.cfg.driver = AIOS_DRIVER_THREAD;
    p.w.limits.max_calls = p.w.limits.max_turns = 4 * AGENTS;
    pair_agents(&p);
}

static int64_t spent_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* So many descriptors more than there are now. */
static void leave_descriptors(int n, struct rlimit *was)
{
    struct rlimit few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, was), 0);
    few = *was;
    few.rlim_cur = n < 0 ? was->rlim_cur : (rlim_t)(lowest_free() + n);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static int count_result(const aios_event *ev)
{
    if (ev->type == AIOS_EVENT_ERROR)
        fail_msg("%s", ev->error->msg);
    return ev->type == AIOS_EVENT_RESULT && !ev->depth && !strcmp(ev->text, "3");
}

static void agents_on_threads_are_waited_for(void **state)
{
    static const int left[] = {-1, 0, 1, 2, 5, 9, 17};
    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        struct rlimit was;
        const aios_event *ev;
        int n = 0, rc;
        open_many();
        aios_run *r = world_start(&p.w, NULL, "go");
        leave_descriptors(left[i], &was);
        int64_t spent = spent_us(), began = now_us();
        while (!(rc = aios_run_next(r, -1, &ev)))
            n += count_result(ev);
        spent = spent_us() - spent;
        began = now_us() - began;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(rc, AIOS_DONE);
        assert_int_equal(n, AGENTS);
        assert_true(began > 60000 && spent < began / 2); /* it waits, and does not go round and round */
        aios_run_free(r);
        pair_close(&p);
    }
}

/* The host's own loop, whose descriptor was there before there were none left; a poll that times out was not woken. */
static void agents_are_seen_in_a_loop_of_the_hosts(void **state)
{
    static const int left[] = {-1, 0, 1, 5, 17};
    (void)state;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        struct rlimit was;
        const aios_event *ev;
        int n = 0, rc = 0, waits = 0;
        open_many();
        aios_run *r = world_start(&p.w, NULL, "go");
        struct pollfd f = {.fd = aios_run_fd(r), .events = POLLIN};
        assert_true(f.fd >= 0);
        leave_descriptors(left[i], &was);
        while ((rc = aios_run_next(r, 0, &ev)) != AIOS_DONE) {
            n += rc ? 0 : count_result(ev);
            if (rc != AIOS_AGAIN)
                continue;
            assert_int_equal(poll(&f, 1, 3000), 1);
            assert_true(++waits < 5000);
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(n, AGENTS);
        aios_run_free(r);
        pair_close(&p);
    }
}

/* More asks than agents that run at a time: who would decide gets to, and is not waited for as if there was something to do. */
static void asks_of_many_agents_come_to_the_host(void **state)
{
    (void)state;
    static char asked[AGENTS][64], uri[AGENTS * 48];
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    size_t at = (size_t)snprintf(uri, sizeof uri, "echo:");
    for (int i = 0; i < AGENTS; i++)
        at += (size_t)snprintf(uri + at, sizeof uri - at, "call helper {\"prompt\":\"%d\"};", i);
    snprintf(uri + at, sizeof uri - at, "turn; say all");
    pair_open(&p, uri, "echo:call write {\"a\":1,\"b\":2}; result");
    p.w.limits.max_calls = p.w.limits.max_turns = 4 * AGENTS;
    p.o.policy.decide = NULL;
    aios_tool t = make_tool("write", tool_add, NULL);
    t.effect = AIOS_EFFECT_UNSAFE;
    must(aios_toolset_add(p.o.ts, &t, &err), &err);
    pair_agents(&p);
    aios_run *r = world_start(&p.w, NULL, "go");
    int results = 0, rc, n = 0, rounds = 0;
    while ((rc = aios_run_next(r, -1, &ev)) != AIOS_DONE) {
        if (rc == AIOS_AGAIN) { /* in the order of nothing in particular */
            assert_true(n > 0);
            while (n)
                must(aios_run_decide(r, asked[--n], AIOS_ALLOW, &err), &err);
            rounds++;
            continue;
        }
        results += count_result(ev);
        if (ev->type == AIOS_EVENT_ASK)
            snprintf(asked[n++], sizeof asked[0], "%s", ev->call_id);
    }
    assert_int_equal(results, AGENTS);
    assert_int_equal(rounds, 2);
    aios_run_free(r);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_takes_a_descriptor_when_it_waits),
        cmocka_unit_test(a_run_waits_where_no_descriptor_is_left),
        cmocka_unit_test(a_look_at_a_call_that_runs_is_short),
        cmocka_unit_test(agents_on_threads_are_waited_for),
        cmocka_unit_test(agents_are_seen_in_a_loop_of_the_hosts),
        cmocka_unit_test(asks_of_many_agents_come_to_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
