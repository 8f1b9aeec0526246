/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <signal.h>

#include "agent_test.h"

static void a_run_without_calls_is_text_and_done(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:think hm; say hello there", "hi", &l);
    assert_string_equal(l.s, "model|think:hm|text:hello|text: there|done(stop):hello there");
    run_script("echo:", "say it back", &l);
    assert_string_equal(l.s, "model|text:say|text: it|text: back|done(stop):say it back");
}

static void a_call_is_run_and_its_result_answered(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:say let me see; call add {\"a\":1,\"b\":2}; result", "1+2?", &l);
    assert_string_equal(l.s, "model|text:let|text: me|text: see|tools|call:add{\"a\":1,\"b\":2}|result:3|model|text:3|done(stop):3");
}

static void wrong_calls_become_results_that_tell_the_model_why(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:call sub {}; say ok", "x", &l);
    assert_non_null(strstr(l.s, "result(ENOENT):error: there is no tool named \"sub\"; the tools are: add|model|text:ok"));
    /* the message cuts the name inside a character: the result must still be text */
    run_script("echo:call aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9 {}; say ok", "x", &l);
    assert_non_null(strstr(l.s, "result(ENOENT):"));
    assert_non_null(strstr(l.s, "done(stop):ok"));
    run_script("echo:call add {\"a\":1}; say ok", "x", &l);
    assert_non_null(strstr(l.s, "result(ESCHEMA):error: the arguments do not fit the schema:"));
    run_script("echo:call add {\"a\":; say ok", "x", &l);
    assert_non_null(strstr(l.s, "result(ESCHEMA):error: the arguments are not valid JSON:"));
    run_script("echo:call add [1]; say ok", "x", &l);
    assert_non_null(strstr(l.s, "result(ESCHEMA):error: the arguments must be a JSON object"));
    assert_non_null(strstr(l.s, "done(stop):ok"));
}

static void a_repeated_call_is_answered_without_tools(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":1,\"b\":2}; turn; say not reached", "1+2?", &l);
    /* the second turn is made again with no tools; its script then has nothing left but to echo */
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":2}|result:3|model|model|text1:1+2?|done(stop):1+2?");
}

static void the_same_call_three_times_ends_the_run(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:call sub {}; call sub {}; call sub {}; say x", "go", &l);
    assert_int_equal(l.code, AIOS_ELIMIT);
    assert_non_null(strstr(l.msg, "same call 3 times"));
    assert_null(strstr(l.s, "result"));
}

static void reads_that_go_round_in_a_circle_are_answered_without_tools(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:call add {\"a\":1,\"b\":2}; turn; call add {\"a\":2,\"b\":2}; turn; call add {\"a\":1,\"b\":2}; turn; say x", "go", &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":2}|result:3|model|tools|call:add{\"a\":2,\"b\":2}|result:4|model|model|text1:go|done(stop):go");
}

static void a_read_written_twice_in_one_turn_runs_once(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:call add {\"a\":1,\"b\":2}; call add {\"a\":1,\"b\":2}; call add {\"a\":1,\"b\":2}; result", "go", &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":2}|result:3|model|text:3|done(stop):3");
}

static void limits_end_a_run_and_leave_it_resumable(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        aios_limits l;
        const char *says;
    } rows[] = {
        {"echo:call sub {\"a\":1}; turn; call sub {\"a\":2}; loop", {.max_turns = 5}, "max_turns"},
        {"echo:call sub {\"a\":1}; turn; call sub {\"a\":2}; loop", {.max_calls = 4}, "max_calls"},
        {"echo:say a b c d e f g h", {.max_tokens = 4}, "max_tokens"},
        {"echo:call sub {\"a\":1}; turn; call sub {\"a\":2}; loop", {.max_tokens = 9}, "max_tokens"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        world w;
        log_text l = {.n = 0};
        world_open(&w, NULL, rows[i].uri);
        w.limits = rows[i].l;
        w.limits.struct_size = sizeof w.limits;
        world_agent(&w);
        aios_transcript *t;
        aios_transcript_new(w.ctx, &t, NULL);
        aios_run *r = world_start(&w, t, "go");
        pull_all(r, &l);
        assert_int_equal(l.code, AIOS_ELIMIT);
        assert_non_null(strstr(l.msg, rows[i].says));
        check_whole(t);
        aios_run_free(r);
        r = world_start(&w, t, "again");
        aios_run_free(r);
        check_whole(t);
        world_close(&w);
        aios_transcript_free(t);
    }
}

static void a_turn_that_is_cut_says_length(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    world_open(&w, NULL, "echo:say a b c d");
    w.limits.max_turn_tokens = 2;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|text:a|text: b|done(length):a b");
    aios_run_free(r);
    world_close(&w);
}

static void tool_choice_holds_for_the_first_turn(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    world_open(&w, NULL, "echo:say no call here; turn; say answer");
    w.cfg.tool_choice = AIOS_TOOLS_REQUIRED;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":0,\"b\":0}|result:0|model|text:answer|done(stop):answer");
    aios_run_free(r);
    world_close(&w);

    world_open(&w, NULL, "echo:say free; call add {\"a\":1,\"b\":1}; say never");
    w.cfg.tool_choice = AIOS_TOOLS_NONE;
    world_agent(&w);
    memset(&l, 0, sizeof l);
    r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|text:free|done(stop):free");
    aios_run_free(r);
    world_close(&w);
}

static void run_with_schema(const char *uri, bool tools, log_text *l)
{
    world w;
    memset(l, 0, sizeof *l);
    world_open(&w, NULL, uri);
    w.cfg.schema_json = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":[\"n\"]}";
    if (!tools)
        w.cfg.toolset = NULL;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, l);
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    world_close(&w);
}

static void a_schema_binds_the_final_reply_and_leaves_calls_alone(void **state)
{
    (void)state;
    log_text l;
    run_with_schema("echo:say {\"n\":7}", false, &l);
    assert_string_equal(l.s, "model|text:{\"n\":7}|done(stop):{\"n\":7}");
    run_with_schema("echo:call add {\"a\":1,\"b\":2}; say {\"n\":3}", true, &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":2}|result:3|model|text:{\"n\":3}|done(stop):{\"n\":3}");
    /* free text first: the turn is made again under the schema */
    run_with_schema("echo:call add {\"a\":1,\"b\":2}; say it is three", true, &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":2}|result:3|model|model|text1:{\"n\":0}|done(stop):{\"n\":0}");
}

static void a_failing_model_ends_the_run_with_its_error(void **state)
{
    (void)state;
    log_text l;
    run_script("echo:say one; fail EIO the cable is cut", "x", &l);
    assert_int_equal(l.code, AIOS_EIO);
    assert_string_equal(l.msg, "the cable is cut");
    run_script("echo:say one; junk; say two", "x", &l);
    assert_int_equal(l.code, AIOS_EPROTO);
    run_script("echo:set n_ctx 4; say x", "a prompt that is far too long for a context of four tokens", &l);
    assert_int_equal(l.code, AIOS_ECONTEXT);
}

/* ---- tools that misbehave ----------------------------------------------------------------------------------------- */

static int tool_fails(void *user, aios_call *call)
{
    (void)user;
    (void)call;
    return AIOS_EIO;
}

static int tool_forgets(void *user, aios_call *call)
{
    (void)user;
    (void)call;
    return 0;
}

static int tool_twice(void *user, aios_call *call)
{
    int *second = user;
    aios_call_finish(call, 0, "first", AIOS_CSTR);
    *second = aios_call_finish(call, 0, "second", AIOS_CSTR);
    return 0;
}

static int tool_junk(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "a\xff\0b\xe2\x82", 6);
}

static int tool_huge(void *user, aios_call *call)
{
    (void)user;
    size_t n = 3 << 20;
    char *p = malloc(n);
    memset(p, 'Z', n);
    int rc = aios_call_finish(call, 0, p, n);
    free(p);
    return rc;
}

static void tools_that_misbehave_are_told_to_the_model(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    int second = 0;
    world_open(&w, NULL, "echo:call fails; call forgets; call twice; call junk; call huge; say ok");
    world_tool(&w, make_tool("fails", tool_fails, NULL));
    world_tool(&w, make_tool("forgets", tool_forgets, NULL));
    world_tool(&w, make_tool("twice", tool_twice, &second));
    world_tool(&w, make_tool("junk", tool_junk, NULL));
    world_tool(&w, make_tool("huge", tool_huge, NULL));
    w.limits.max_result = 10;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "|result(EIO):error: input or output failed|"));
    assert_non_null(strstr(l.s, "|result(ETOOL):error: the tool r\n[cut:"));
    assert_non_null(strstr(l.s, "|result:first|"));
    assert_int_equal(second, AIOS_ESTATE);
    assert_non_null(strstr(l.s, "|result:a\xef\xbf\xbd\xef\xbf\xbd"));
    assert_non_null(strstr(l.s, "|result:ZZZZZZZZZZ\n[cut: 10 of 1048"));
    assert_non_null(strstr(l.s, "done(stop):ok"));
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    world_close(&w);
}

/* A tool whose call is kept for the test to finish when it likes. */
typedef struct keeper {
    aios_call *call;
    pthread_t thread;
    long delay;
    int rc;
} keeper;

static int tool_keeps(void *user, aios_call *call)
{
    ((keeper *)user)->call = call;
    return AIOS_AGAIN;
}

static void *finish_later(void *arg)
{
    keeper *k = arg;
    sleep_ms(k->delay);
    k->rc = aios_call_finish(k->call, 0, "late but fine", AIOS_CSTR);
    return NULL;
}

static int tool_threaded(void *user, aios_call *call)
{
    keeper *k = user;
    k->call = call;
    return pthread_create(&k->thread, NULL, finish_later, k) ? AIOS_EUNAVAIL : AIOS_AGAIN;
}

static void a_call_may_be_finished_later_from_a_thread(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    keeper k = {.delay = 30};
    world_open(&w, NULL, "echo:call later; result");
    world_tool(&w, make_tool("later", tool_threaded, &k));
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    pthread_join(k.thread, NULL);
    assert_int_equal(k.rc, 0);
    assert_string_equal(l.s, "model|tools|call:later{}|result:late but fine|model|text:late|text: but|text: fine|done(stop):late but fine");
    aios_run_free(r);
    world_close(&w);
}

static void a_call_that_never_ends_times_out_and_may_end_after_the_world(void **state)
{
    (void)state;
    world w;
    test_heap h = {0};
    log_text l = {.n = 0};
    keeper k = {.call = NULL};
    world_open(&w, &h, "echo:call never; say went on");
    world_tool(&w, make_tool("never", tool_keeps, &k));
    w.limits.tool_timeout_ns = 20000000;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "result(ETIMEDOUT):error: the tool did not finish within 20 ms"));
    assert_non_null(strstr(l.s, "done(stop):went on"));
    assert_int_equal(aios_call_cancelled(k.call), 1);
    aios_run_free(r);
    world_close(&w);
    assert_true(h.live > 0); /* the call waits for its end */
    assert_string_equal(aios_call_name(k.call), "never");
    assert_int_equal(aios_call_finish(k.call, 0, "much too late", AIOS_CSTR), AIOS_ETIMEDOUT);
    assert_int_equal(h.live, 0);
}

static void the_time_of_the_run_ends_model_and_tools(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    keeper k = {.call = NULL};
    world_open(&w, NULL, "echo:call never; say went on");
    world_tool(&w, make_tool("never", tool_keeps, &k));
    w.limits.timeout_ns = 30000000;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_int_equal(l.code, AIOS_ETIMEDOUT);
    check_whole(aios_run_transcript(r));
    aios_call_finish(k.call, 0, NULL, 0);
    aios_run_free(r);
    world_close(&w);

    memset(&l, 0, sizeof l);
    world_open(&w, NULL, "echo:say a; delay 60000; say b");
    w.limits.timeout_ns = 30000000;
    world_agent(&w);
    r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|text:a|error:ETIMEDOUT");
    aios_run_free(r);
    world_close(&w);
}

/* ---- parallel ----------------------------------------------------------------------------------------------------- */

typedef struct crowd {
    _Atomic int in, most;
} crowd;

static int tool_slow(void *user, aios_call *call)
{
    crowd *c = user;
    int now = atomic_fetch_add(&c->in, 1) + 1, most = atomic_load(&c->most);
    while (most < now && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    sleep_ms(20);
    atomic_fetch_sub(&c->in, 1);
    return aios_call_finish(call, 0, aios_call_args(call), AIOS_CSTR);
}

static void ten_calls_run_beside_each_other_and_stay_in_order(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    crowd c = {0};
    char uri[1024] = "echo:";
    for (int i = 0; i < 10; i++)
        snprintf(uri + strlen(uri), sizeof uri - strlen(uri), "call slow {\"i\":%d}; ", i);
    strcat(uri, "say ok");
    world_open(&w, NULL, uri);
    aios_tool t = make_tool("slow", tool_slow, &c);
    t.flags = AIOS_TOOL_ANY_THREAD;
    world_tool(&w, t);
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    const aios_transcript *tr = aios_run_transcript(r);
    check_whole(tr); /* order of results is checked there */
    assert_int_equal(aios_transcript_count(tr), 1 + 1 + 10 + 1);
    assert_in_range(atomic_load(&c.most), 2, 4);
    aios_run_free(r);
    world_close(&w);
}

static void one_call_a_turn_if_asked(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    world_open(&w, NULL, "echo:call add {\"a\":1,\"b\":1}; call add {\"a\":2,\"b\":2}; say ok");
    w.cfg.flags = AIOS_AGENT_ONE_CALL;
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_string_equal(l.s, "model|tools|call:add{\"a\":1,\"b\":1}|result:2|model|text:ok|done(stop):ok");
    aios_run_free(r);
    world_close(&w);
}

/* ---- cancel ------------------------------------------------------------------------------------------------------- */

static const char busy_script[] = "echo:think t; say a b; call add {\"a\":1,\"b\":2}; call other {}; call add {\"a\":3,\"b\":4}; say c d";

/* Cancels at the n-th event; true if the run had that many. The transcript must be whole and a later run must work. */
static bool cancel_at(uint64_t at, bool with_fd)
{
    world w;
    test_heap h = {0};
    log_text l = {.n = 0};
    _Atomic int n = 0;
    const aios_event *ev;
    bool hit = false;
    int rc;
    world_open(&w, &h, busy_script);
    aios_tool t = make_tool("other", tool_count, &n);
    t.effect = AIOS_EFFECT_UNSAFE; /* is asked for */
    world_tool(&w, t);
    world_agent(&w);
    aios_transcript *tr;
    aios_transcript_new(w.ctx, &tr, NULL);
    aios_run *r = world_start(&w, tr, "go");
    if (with_fd)
        assert_true(aios_run_fd(r) >= 0);
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        log_event(&l, ev);
        if (ev->seq == at) {
            hit = true;
            assert_int_equal(aios_run_cancel(r), 0);
        } else if (ev->type == AIOS_EVENT_ASK) {
            assert_int_equal(aios_run_decide(r, ev->call_id, AIOS_ALLOW, NULL), 0);
        }
    }
    assert_int_equal(rc, AIOS_DONE);
    if (hit && !strstr(l.s, "done("))
        assert_int_equal(l.code, AIOS_ECANCELED);
    check_whole(tr);
    aios_run_free(r);
    memset(&l, 0, sizeof l);
    r = world_start(&w, tr, "and now?");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "done("));
    check_whole(tr);
    aios_run_free(r);
    world_close(&w);
    aios_transcript_free(tr);
    assert_int_equal(h.live, 0);
    return hit;
}

static void cancel_at_every_event_leaves_a_whole_transcript(void **state)
{
    (void)state;
    uint64_t n = 0;
    while (cancel_at(n, false))
        cancel_at(n++, true);
    assert_true(n > 12);
}

static void freeing_a_run_at_every_event_leaves_a_whole_transcript(void **state)
{
    (void)state;
    for (int stop = 0; stop < 20; stop++) {
        world w;
        test_heap h = {0};
        _Atomic int n = 0;
        const aios_event *ev;
        world_open(&w, &h, busy_script);
        world_tool(&w, make_tool("other", tool_count, &n));
        world_agent(&w);
        aios_transcript *tr;
        aios_transcript_new(w.ctx, &tr, NULL);
        aios_run *r = world_start(&w, tr, "go");
        for (int i = 0; i < stop; i++)
            if (aios_run_next(r, -1, &ev))
                break;
        world_close(&w); /* parents first */
        aios_run_free(r);
        check_whole(tr);
        aios_transcript_free(tr);
        assert_int_equal(h.live, 0);
    }
}

static void *cancel_soon(void *arg)
{
    sleep_ms(30);
    aios_run_cancel(arg);
    return NULL;
}

static void a_cancel_from_a_thread_ends_waits_of_all_kinds(void **state)
{
    (void)state;
    static const char *const uris[] = {"echo:delay 60000; say x", "echo:set slow 60000; say x y", "echo:call never; say x"};
    for (size_t i = 0; i < 6; i++) {
        world w;
        log_text l = {.n = 0};
        keeper k = {.call = NULL};
        pthread_t th;
        world_open(&w, NULL, uris[i % 3]);
        world_tool(&w, make_tool("never", tool_keeps, &k));
        w.cfg.driver = i < 3 ? AIOS_DRIVER_CALLER : AIOS_DRIVER_THREAD;
        world_agent(&w);
        aios_run *r = world_start(&w, NULL, "go");
        assert_int_equal(pthread_create(&th, NULL, cancel_soon, r), 0);
        pull_all(r, &l);
        pthread_join(th, NULL);
        assert_int_equal(l.code, AIOS_ECANCELED);
        check_whole(aios_run_transcript(r));
        if (k.call) {
            assert_int_equal(aios_call_cancelled(k.call), 1);
            assert_int_equal(aios_call_finish(k.call, 0, "x", 1), AIOS_ECANCELED);
        }
        aios_run_free(r);
        world_close(&w);
    }
}

static aios_run *signalled;
static void on_alarm(int sig)
{
    (void)sig;
    aios_run_cancel(signalled);
}

static void a_cancel_from_a_signal_handler_works(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    struct sigaction sa = {.sa_handler = on_alarm}, old;
    world_open(&w, NULL, "echo:delay 60000; say x");
    world_agent(&w);
    signalled = world_start(&w, NULL, "go");
    sigaction(SIGALRM, &sa, &old);
    ualarm(30000, 0);
    pull_all(signalled, &l);
    sigaction(SIGALRM, &old, NULL);
    assert_int_equal(l.code, AIOS_ECANCELED);
    aios_run_free(signalled);
    world_close(&w);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

static void a_run_lives_in_a_poll_loop(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    keeper k = {.delay = 30};
    world_open(&w, NULL, "echo:say one; call later; call add {\"a\":1,\"b\":2}; say two");
    world_tool(&w, make_tool("later", tool_threaded, &k));
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    int fd = aios_run_fd(r), rc = 0, waits = 0;
    assert_true(fd >= 0);
    assert_int_equal(aios_run_fd(r), fd);
    while (rc != AIOS_DONE) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        const aios_event *ev;
        assert_int_equal(poll(&p, 1, 5000), 1);
        waits++;
        while ((rc = aios_run_next(r, 0, &ev)) == 0) {
            log_event(&l, ev);
            if (ev->type == AIOS_EVENT_DONE)
                rc = AIOS_DONE;
            if (rc)
                break;
        }
        assert_true(waits < 1000);
    }
    pthread_join(k.thread, NULL);
    assert_string_equal(l.s, "model|text:one|tools|call:later{}|call:add{\"a\":1,\"b\":2}|result:3|result:late but fine|model|text:two|done(stop):two");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    const aios_event *ev;
    assert_int_equal(aios_run_next(r, 0, &ev), AIOS_DONE);
    assert_int_equal(poll(&p, 1, 0), 0);
    aios_run_free(r);
    world_close(&w);
}

static void next_waits_no_longer_than_it_may(void **state)
{
    (void)state;
    world w;
    keeper k = {.call = NULL};
    const aios_event *ev;
    int rc, again = 0;
    world_open(&w, NULL, "echo:call never; say x");
    world_tool(&w, make_tool("never", tool_keeps, &k));
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, "go");
    log_text l = {.n = 0};
    while (!k.call)
        l.seq += !aios_run_next(r, 0, &ev);
    while (again < 3 && (rc = aios_run_next(r, 5, &ev)) != AIOS_DONE) {
        again += rc == AIOS_AGAIN;
        l.seq += rc == 0;
    }
    assert_int_equal(again, 3);
    aios_call_finish(k.call, 0, "x", 1);
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "done(stop):x"));
    aios_run_free(r);
    world_close(&w);
}

static int tool_reenters(void *user, aios_call *call)
{
    aios_run **r = user;
    const aios_event *ev;
    char out[64];
    snprintf(out, sizeof out, "%s %d", aios_code_name(aios_run_next(*r, 0, &ev)), aios_run_fd(*r));
    return aios_call_finish(call, 0, out, AIOS_CSTR);
}

static void re_entry_is_refused_not_deadlocked(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    aios_run *r = NULL;
    world_open(&w, NULL, "echo:call again; say x");
    world_tool(&w, make_tool("again", tool_reenters, &r));
    world_agent(&w);
    r = world_start(&w, NULL, "go");
    pull_all(r, &l);
    assert_non_null(strstr(l.s, "result:EBUSY -1"));
    aios_run_free(r);
    world_close(&w);
}

static int tool_frees(void *user, aios_call *call)
{
    aios_run_free(*(aios_run **)user);
    return aios_call_finish(call, 0, "x", 1);
}

static void a_tool_may_free_its_own_run(void **state)
{
    (void)state;
    world w;
    test_heap h = {0};
    aios_run *r = NULL;
    const aios_event *ev;
    world_open(&w, &h, "echo:call end; say x");
    world_tool(&w, make_tool("end", tool_frees, &r));
    world_agent(&w);
    r = world_start(&w, NULL, "go");
    while (!aios_run_next(r, -1, &ev))
        ;
    world_close(&w);
    assert_int_equal(h.live, 0);
}

/* ---- push --------------------------------------------------------------------------------------------------------- */

static int on_event(void *user, const aios_event *ev)
{
    log_event(user, ev);
    return 0;
}

static int stop_at_text(void *user, const aios_event *ev)
{
    (void)user;
    return ev->type == AIOS_EVENT_TEXT;
}

static void the_push_wrapper_denies_what_is_asked(void **state)
{
    (void)state;
    world w;
    log_text l = {.n = 0};
    _Atomic int n = 0;
    aios_error err = AIOS_INIT(aios_error);
    world_open(&w, NULL, "echo:call other; say ok");
    aios_tool t = make_tool("other", tool_count, &n);
    t.effect = AIOS_EFFECT_UNSAFE;
    world_tool(&w, t);
    world_agent(&w);
    assert_int_equal(aios_agent_run(w.agent, "go", AIOS_CSTR, on_event, &l, &err), 0);
    assert_string_equal(l.s, "model|tools|call:other{}|ask:other{}|result(EDENIED):error: nobody could be asked whether this call may be made: it was "
                             "not made|model|text:ok|done(stop):ok");
    assert_int_equal(n, 0);
    assert_int_equal(aios_agent_run(w.agent, "go", AIOS_CSTR, NULL, NULL, &err), 0);
    assert_int_equal(aios_agent_run(w.agent, "go", AIOS_CSTR, stop_at_text, NULL, &err), AIOS_ECANCELED);
    assert_int_equal(err.code, AIOS_ECANCELED);
    world_close(&w);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    world w;
    aios_run *r;
    aios_agent *a;
    const aios_event *ev;
    aios_agent_config c = AIOS_INIT(aios_agent_config);
    world_open(&w, NULL, "echo:");
    world_agent(&w);
    assert_int_equal(aios_agent_new(w.ctx, &c, &a, NULL), AIOS_EINVAL);
    c = w.cfg;
    c.tool_choice = 9;
    assert_int_equal(aios_agent_new(w.ctx, &c, &a, NULL), AIOS_EINVAL);
    c = w.cfg;
    c.tool_choice = AIOS_TOOLS_NAMED;
    c.tool_name = "sub";
    assert_int_equal(aios_agent_new(w.ctx, &c, &a, NULL), AIOS_EINVAL);
    c = w.cfg;
    c.schema_json = "{\"type\":5}";
    assert_int_equal(aios_agent_new(w.ctx, &c, &a, NULL), AIOS_ESCHEMA);
    c = w.cfg;
    c.instructions = "\xff";
    assert_int_equal(aios_agent_new(w.ctx, &c, &a, NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_start(NULL, NULL, "x", 1, &r, NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_start(w.agent, NULL, NULL, 0, &r, NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_start(w.agent, NULL, "a\0b", 3, &r, NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_start(w.agent, NULL, "\xff", 1, &r, NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_next(NULL, 0, &ev), AIOS_EINVAL);
    assert_int_equal(aios_run_cancel(NULL), AIOS_EINVAL);
    assert_int_equal(aios_run_fd(NULL), -1);
    assert_null(aios_run_transcript(NULL));
    aios_run_free(NULL);
    aios_agent_free(NULL);
    r = world_start(&w, NULL, "x");
    assert_int_equal(aios_run_decide(r, "call_9", AIOS_ALLOW, NULL), AIOS_ENOENT);
    assert_int_equal(aios_run_decide(r, "call_9", AIOS_ASK, NULL), AIOS_EINVAL);
    aios_tool t = make_tool("new", tool_add, NULL);
    assert_int_equal(aios_toolset_add(w.ts, &t, NULL), AIOS_EBUSY);
    aios_run_free(r);
    assert_int_equal(aios_toolset_add(w.ts, &t, NULL), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_without_calls_is_text_and_done),
        cmocka_unit_test(a_call_is_run_and_its_result_answered),
        cmocka_unit_test(wrong_calls_become_results_that_tell_the_model_why),
        cmocka_unit_test(a_repeated_call_is_answered_without_tools),
        cmocka_unit_test(the_same_call_three_times_ends_the_run),
        cmocka_unit_test(reads_that_go_round_in_a_circle_are_answered_without_tools),
        cmocka_unit_test(a_read_written_twice_in_one_turn_runs_once),
        cmocka_unit_test(limits_end_a_run_and_leave_it_resumable),
        cmocka_unit_test(a_turn_that_is_cut_says_length),
        cmocka_unit_test(tool_choice_holds_for_the_first_turn),
        cmocka_unit_test(a_schema_binds_the_final_reply_and_leaves_calls_alone),
        cmocka_unit_test(a_failing_model_ends_the_run_with_its_error),
        cmocka_unit_test(tools_that_misbehave_are_told_to_the_model),
        cmocka_unit_test(a_call_may_be_finished_later_from_a_thread),
        cmocka_unit_test(a_call_that_never_ends_times_out_and_may_end_after_the_world),
        cmocka_unit_test(the_time_of_the_run_ends_model_and_tools),
        cmocka_unit_test(ten_calls_run_beside_each_other_and_stay_in_order),
        cmocka_unit_test(one_call_a_turn_if_asked),
        cmocka_unit_test(cancel_at_every_event_leaves_a_whole_transcript),
        cmocka_unit_test(freeing_a_run_at_every_event_leaves_a_whole_transcript),
        cmocka_unit_test(a_cancel_from_a_thread_ends_waits_of_all_kinds),
        cmocka_unit_test(a_cancel_from_a_signal_handler_works),
        cmocka_unit_test(a_run_lives_in_a_poll_loop),
        cmocka_unit_test(next_waits_no_longer_than_it_may),
        cmocka_unit_test(re_entry_is_refused_not_deadlocked),
        cmocka_unit_test(a_tool_may_free_its_own_run),
        cmocka_unit_test(the_push_wrapper_denies_what_is_asked),
        cmocka_unit_test(arguments_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
