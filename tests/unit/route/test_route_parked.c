/* SPDX-License-Identifier: Apache-2.0 */
/* Routers and recorders on the thread of their model, over sessions that park. */
#include "mailbox_rig.h"

#include <unistd.h>

static rig r;

/* Sessions that have started a turn. */
static void open_started(const char *uri, int n)
{
    rig_open(&r, uri, n, AIOS_DRIVER_THREAD);
    for (int i = 0; i < n; i++)
        rig_start(&r, i, 0);
}

static void *send_all(void *arg)
{
    void (*send)(post_office *, int, int) = *(void (**)(post_office *, int, int))arg;
    for (int k = 0; k < 50; k++)
        for (int i = 1; i < r.n; i++)
            send(&r.office, 1 + (i * 7 + k) % (r.n - 1), 1);
    return NULL;
}

static void many_sessions_park_and_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        void (*send)(post_office *, int, int);
    } rows[] = {
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"post:100\"}]}", post_send},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"loop:100\"}]}", loop_send},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"post:100\",\"limits\":{\"concurrent\":30}},{\"name\":\"b\",\"uri\":\"loop:100\"}]}", post_send},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"record:%s|post:100\",\"limits\":{\"concurrent\":30}},"
         "{\"name\":\"b\",\"uri\":\"loop:100\"}]}", loop_send}, /* a recorder of what has no loop, beside one that has */
        {"record:%s|post:100", post_send},
        {"record:%s|loop:100", loop_send},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"record:%s|loop:100\"}]}", loop_send},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        char uri[512], tape[64];
        pthread_t th[2];
        snprintf(tape, sizeof tape, "/tmp/aios-parked-%d.jsonl", (int)getpid());
        snprintf(uri, sizeof uri, rows[k].uri, tape);
        remove(tape);
        open_started(uri, 61);
        rig_settle(&r, r.n);
        int idle = rig_steps(&r, 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&th[i], NULL, send_all, (void *)&rows[k].send), 0);
        for (int i = 1; i < r.n; i++) {
            int code;
            assert_int_equal(read_turn(r.s[i], &code), 100);
            assert_int_equal(code, AIOS_OK);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(th[i], NULL);
        assert_in_range(rig_steps(&r, 0), idle, idle + 2); /* nobody wrote to it */
        int code;
        aios_session_cancel(r.s[0]);
        assert_int_equal(read_turn(r.s[0], &code), 0);
        assert_int_equal(code, AIOS_ECANCELED);
        rig_close(&r);
        remove(tape);
    }
}

static void write_router(const char *path, const char *tape)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"candidates\":[{\"name\":\"i\",\"uri\":\"record:%s|shared:1\"}]}", tape);
    assert_int_equal(fclose(f), 0);
}

/* Nothing happens for 400 ms: one loop is waited for in long rests, however the models are wrapped; two take turns every 2 ms. */
static void one_loop_is_waited_for_once(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        int least, most; /* waits */
    } rows[] = {
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"shared:1\"},{\"name\":\"b\",\"uri\":\"record:%s|shared:1\"}]}", 1, 60},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"record:%s|post:1\"},{\"name\":\"b\",\"uri\":\"shared:1\"}]}", 0, 60},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"route:%s.json\"},{\"name\":\"b\",\"uri\":\"shared:1\"}]}", 1, 60},
        {"route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"loop:1\"},{\"name\":\"b\",\"uri\":\"record:%s|shared:1\"}]}", 100, 10000},
    };
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        char uri[512], tape[64], inner[80];
        snprintf(tape, sizeof tape, "/tmp/aios-parked-%d.jsonl", (int)getpid());
        snprintf(inner, sizeof inner, "%s.json", tape);
        snprintf(uri, sizeof uri, rows[k].uri, tape);
        write_router(inner, tape);
        open_started(uri, 1);
        rig_settle(&r, r.n);
        int before = r.office.n_waits;
        nap_ms(400);
        assert_in_range(r.office.n_waits - before, rows[k].least, rows[k].most);
        rig_close(&r);
        remove(tape);
        remove(inner);
    }
}

static void times_of_a_router_come_while_its_attempts_are_parked(void **state)
{
    (void)state;
    static const char *const uris[] = {
        "route:{\"hedge_ms\":40,\"candidates\":[{\"name\":\"a\",\"uri\":\"loop:1\"},{\"name\":\"b\",\"uri\":\"post:1\"}]}",
        "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"loop:1\",\"limits\":{\"first_event_ms\":40}},{\"name\":\"b\",\"uri\":\"post:1\"}]}",
        "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"loop:1\",\"limits\":{\"turn_ms\":40}},{\"name\":\"b\",\"uri\":\"post:1\"}]}",
    };
    for (size_t k = 0; k < sizeof uris / sizeof *uris; k++) {
        int code;
        int64_t from = mono_ns();
        open_started(uris[k], 1);
        AWAIT(rig_boxes(&r) == 2)
        assert_in_range(mono_ns() - from, INT64_C(40000000), INT64_C(3000000000));
        post_send(&r.office, 1, 1);
        assert_int_equal(read_turn(r.s[0], &code), 1);
        assert_int_equal(code, AIOS_OK);
        rig_close(&r);
    }
}

static void a_router_parks_until_somebody_is_free(void **state)
{
    (void)state;
    int code;
    open_started("route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"post:1\",\"limits\":{\"concurrent\":1}}]}", 2);
    nap_ms(100);
    assert_int_equal(rig_boxes(&r), 1);
    post_send(&r.office, 0, 1);
    assert_int_equal(read_turn(r.s[0], &code), 1);
    AWAIT(rig_boxes(&r) == 2)
    post_send(&r.office, 1, 1);
    assert_int_equal(read_turn(r.s[1], &code), 1);
    assert_int_equal(code, AIOS_OK);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_sessions_park_and_are_told),
        cmocka_unit_test(one_loop_is_waited_for_once),
        cmocka_unit_test(times_of_a_router_come_while_its_attempts_are_parked),
        cmocka_unit_test(a_router_parks_until_somebody_is_free),
    };
    return cmocka_run_group_tests_name("route_parked", tests, NULL, NULL);
}
