/* SPDX-License-Identifier: Apache-2.0 */
/* The model's thread: who is stepped, who is left alone, and that nobody is forgotten. */
#include "mailbox_rig.h"

static const char *const schemes[] = {"post", "loop"};
typedef void send_fn(post_office *o, int box, int n);
static send_fn *const senders[] = {post_send, loop_send};

static rig r;

static void who_has_nothing_to_do_is_left_alone(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        rig_open(&r, k ? "loop:300" : "post:300", 100, AIOS_DRIVER_THREAD);
        for (int i = 0; i < r.n; i++)
            rig_start(&r, i, 0);
        rig_settle(&r, r.n);
        for (int i = 0; i < 300; i++) {
            senders[k](&r.office, 7, 1);
            nap_ms(i % 20 == 0);
        }
        int code, n = read_turn(r.s[7], &code);
        assert_int_equal(code, AIOS_OK);
        assert_int_equal(n, 300);
        for (int i = 0; i < r.n; i++)
            if (i != 7)
                assert_in_range(rig_steps(&r, i), 1, 3);
        rig_close(&r);
    }
}

static void what_is_ready_before_it_parks_is_stepped_again(void **state)
{
    (void)state;
    rig_open(&r, "post:1", 3, AIOS_DRIVER_THREAD);
    r.office.cries = true;
    for (int i = 0; i < r.n; i++)
        rig_start(&r, i, 0);
    for (int i = 0; i < r.n; i++)
        AWAIT(rig_steps(&r, i) >= 1000)
    rig_close(&r);
}

typedef struct sender {
    send_fn *send;
    int seed, n_each;
} sender;

/* Sends each session its pieces in some order, with calls for nothing among them. */
static void *send_all(void *arg)
{
    const sender *w = arg;
    unsigned x = (unsigned)w->seed;
    for (int k = 0; k < w->n_each; k++)
        for (int i = 0; i < r.n; i++) {
            x = x * 1103515245u + 12345u;
            w->send(&r.office, (i + (int)(x >> 16)) % r.n, 0);
            w->send(&r.office, (i * 7 + k) % r.n, 1);
        }
    return NULL;
}

static void news_from_many_threads_are_never_lost(void **state)
{
    (void)state;
    enum { SENDERS = 4, EACH = 100, N = 20 };
    for (int k = 0; k < 2; k++) {
        char uri[32];
        pthread_t threads[SENDERS];
        sender w[SENDERS];
        snprintf(uri, sizeof uri, "%s:%d", schemes[k], SENDERS * EACH);
        rig_open(&r, uri, N, AIOS_DRIVER_THREAD);
        for (int i = 0; i < N; i++)
            rig_start(&r, i, 0);
        for (int i = 0; i < SENDERS; i++) {
            w[i] = (sender){senders[k], i + 1, EACH};
            assert_int_equal(pthread_create(&threads[i], NULL, send_all, &w[i]), 0);
        }
        for (int i = 0; i < N; i++) {
            int code, n = read_turn(r.s[i], &code);
            assert_int_equal(code, AIOS_OK);
            assert_int_equal(n, SENDERS * EACH);
        }
        for (int i = 0; i < SENDERS; i++)
            pthread_join(threads[i], NULL);
        rig_close(&r);
    }
}

static void parked_sessions_are_cancelled_and_run_out_of_time(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        int code;
        rig_open(&r, k ? "loop:1" : "post:1", 20, AIOS_DRIVER_THREAD);
        for (int i = 0; i < r.n; i++)
            rig_start(&r, i, i < 10 ? 0 : 50 * 1000000);
        rig_settle(&r, r.n);
        int64_t from = mono_ns();
        for (int i = 0; i < 10; i++)
            aios_session_cancel(r.s[i]);
        for (int i = 0; i < r.n; i++) {
            assert_int_equal(read_turn(r.s[i], &code), 0);
            assert_int_equal(code, i < 10 ? AIOS_ECANCELED : AIOS_ETIMEDOUT);
        }
        assert_in_range(mono_ns() - from, 0, INT64_C(3000000000));
        rig_start(&r, 0, 0); /* and they go on as ever */
        senders[k](&r.office, 0, 1);
        assert_int_equal(read_turn(r.s[0], &code), 1);
        assert_int_equal(code, AIOS_OK);
        rig_close(&r);
    }
}

static void a_parked_session_is_stepped_at_its_time(void **state)
{
    (void)state;
    enum { N = 50, PIECES = 10 };
    for (int k = 0; k < 2; k++) {
        char uri[32];
        int code;
        snprintf(uri, sizeof uri, "%s:%d", schemes[k], PIECES);
        rig_open(&r, uri, N, AIOS_DRIVER_THREAD);
        r.office.every_ns = 10 * 1000000;
        int64_t from = mono_ns();
        for (int i = 0; i < N; i++)
            rig_start(&r, i, 0);
        for (int i = 0; i < N; i++)
            assert_int_equal(read_turn(r.s[i], &code), PIECES);
        assert_in_range(mono_ns() - from, INT64_C(100000000), INT64_C(5000000000));
        for (int i = 0; i < N; i++)
            assert_in_range(rig_steps(&r, i), 1, 3 * PIECES);
        rig_close(&r);
    }
}

static void *pester(void *arg)
{
    _Atomic int *stop = arg;
    for (int i = 0; !*stop; i++)
        post_send(&r.office, i % r.n, 0);
    return NULL;
}

static void parked_sessions_may_be_freed_while_others_tell_them(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        _Atomic int stop = 0;
        pthread_t t;
        rig_open(&r, k ? "loop:1" : "post:1", 100, AIOS_DRIVER_THREAD);
        for (int i = 0; i < r.n; i++)
            rig_start(&r, i, 0);
        rig_settle(&r, r.n);
        assert_int_equal(pthread_create(&t, NULL, pester, &stop), 0);
        for (int i = 0; i < r.n; i++) {
            aios_session_free(r.s[i]);
            r.s[i] = NULL;
        }
        stop = 1;
        pthread_join(t, NULL);
        rig_close(&r);
    }
}

static void a_reader_that_sleeps_stalls_its_session_alone(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        int code;
        rig_open(&r, k ? "loop:3000" : "post:3000", 2, AIOS_DRIVER_THREAD);
        rig_start(&r, 0, 0);
        rig_start(&r, 1, 0);
        rig_settle(&r, r.n);
        for (int i = 0; i < 3; i++) {
            senders[k](&r.office, 0, 1000); /* the first thousand stalls it, the others come meanwhile */
            senders[k](&r.office, 1, 1000);
            nap_ms(10);
        }
        assert_in_range(r.office.boxes[0]->got, 1000, 2999);
        assert_int_equal(read_turn(r.s[1], &code), 3000);
        assert_int_equal(read_turn(r.s[0], &code), 3000);
        assert_int_equal(code, AIOS_OK);
        rig_close(&r);
    }
}

static void a_new_session_ends_the_wait_for_the_parked(void **state)
{
    (void)state;
    rig_open(&r, "loop:1", 2, AIOS_DRIVER_THREAD);
    rig_start(&r, 0, 0);
    rig_settle(&r, 1);
    int woken = r.office.n_wakes;
    for (int tries = 0; r.office.n_wakes == woken && tries < 100; tries++) { /* the thread may look at something else just then */
        int code;
        rig_start(&r, 1, 0);
        loop_send(&r.office, 1, 1);
        assert_int_equal(read_turn(r.s[1], &code), 1);
    }
    assert_true(r.office.n_wakes > woken);
    rig_close(&r);
}

static void a_wait_that_fails_is_told_by_steps(void **state)
{
    (void)state;
    int code;
    rig_open(&r, "loop:1", 2, AIOS_DRIVER_THREAD);
    r.office.wait_fails = 1;
    rig_start(&r, 0, 0);
    rig_start(&r, 1, 0);
    rig_settle(&r, r.n);
    AWAIT(rig_steps(&r, 0) >= 20 && rig_steps(&r, 1) >= 20)
    r.office.wait_fails = 0;
    loop_send(&r.office, 0, 1);
    assert_int_equal(read_turn(r.s[0], &code), 1);
    assert_int_equal(code, AIOS_OK);
    rig_close(&r);
}

static void who_asks_for_a_descriptor_in_a_turn_parks_from_then_on(void **state)
{
    (void)state;
    const aios_event *ev;
    int code;
    rig_open(&r, "post:2", 1, AIOS_DRIVER_CALLER);
    rig_start(&r, 0, 0);
    post_send(&r.office, 0, 1);
    while (aios_session_next(r.s[0], 0, &ev) == AIOS_AGAIN)
        ;
    assert_int_equal(ev->type, AIOS_EVENT_TEXT);
    assert_int_equal(aios_session_next(r.s[0], 0, &ev), AIOS_AGAIN);
    assert_true(aios_session_fd(r.s[0]) >= 0);
    nap_ms(20);
    int before = rig_steps(&r, 0);
    nap_ms(50);
    assert_int_equal(rig_steps(&r, 0), before);
    post_send(&r.office, 0, 1);
    assert_int_equal(read_turn(r.s[0], &code), 1);
    assert_int_equal(code, AIOS_OK);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_nothing_to_do_is_left_alone),
        cmocka_unit_test(what_is_ready_before_it_parks_is_stepped_again),
        cmocka_unit_test(news_from_many_threads_are_never_lost),
        cmocka_unit_test(parked_sessions_are_cancelled_and_run_out_of_time),
        cmocka_unit_test(a_parked_session_is_stepped_at_its_time),
        cmocka_unit_test(parked_sessions_may_be_freed_while_others_tell_them),
        cmocka_unit_test(a_reader_that_sleeps_stalls_its_session_alone),
        cmocka_unit_test(a_new_session_ends_the_wait_for_the_parked),
        cmocka_unit_test(a_wait_that_fails_is_told_by_steps),
        cmocka_unit_test(who_asks_for_a_descriptor_in_a_turn_parks_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
