/* SPDX-License-Identifier: Apache-2.0 */
/* Routers and recorders on the thread of their model, over sessions that park. */
#include "mailbox.h"

#include <unistd.h>

typedef struct rig {
    post_office office;
    aios_ctx *ctx;
    aios_model *m;
    aios_transcript *t;
    aios_session *s[MAX_BOXES];
    int n;
} rig;

static rig r;

static void open_rig(const char *uri, int n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_request req = AIOS_INIT(aios_request);
    memset(&r, 0, sizeof r);
    cfg.driver = AIOS_DRIVER_THREAD;
    r.ctx = test_ctx(NULL, 0);
    post_register(r.ctx, &r.office);
    must(aios_model_open(r.ctx, uri, NULL, &r.m, &err), &err);
    must(aios_transcript_new(r.ctx, &r.t, &err), &err);
    must(aios_transcript_add_text(r.t, AIOS_ROLE_USER, "hi", AIOS_CSTR, &err), &err);
    req.transcript = r.t;
    for (r.n = 0; r.n < n; r.n++) {
        must(aios_session_new(r.m, &cfg, &r.s[r.n], &err), &err);
        must(aios_session_start(r.s[r.n], &req, &err), &err);
    }
}

static void close_rig(void)
{
    for (int i = 0; i < r.n; i++)
        aios_session_free(r.s[i]);
    aios_transcript_free(r.t);
    aios_model_close(r.m);
    aios_ctx_free(r.ctx);
    post_free(&r.office);
}

/* Pieces until the turn is over, or 10 s have passed; *code of its end, AIOS_AGAIN: it did not end. */
static int read_turn(aios_session *s, int *code)
{
    const aios_event *ev;
    int n = 0;
    for (*code = AIOS_AGAIN; !aios_session_next(s, 10000, &ev);) {
        n += ev->type == AIOS_EVENT_TEXT;
        if (ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR)
            *code = ev->error ? ev->error->code : AIOS_OK;
    }
    return n;
}

/* All sessions have a box each, and what they did they have done. */
static void settle(void)
{
    for (int i = 0, n = 0; n < r.n; i++) {
        assert_in_range(i, 0, 5000);
        pthread_mutex_lock(&r.office.lock);
        n = r.office.n_boxes;
        pthread_mutex_unlock(&r.office.lock);
        nap_ms(1);
    }
    nap_ms(30);
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
        open_rig(uri, 61);
        settle();
        int idle = r.office.boxes[0]->n_steps;
        for (int i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&th[i], NULL, send_all, (void *)&rows[k].send), 0);
        for (int i = 1; i < r.n; i++) {
            int code;
            assert_int_equal(read_turn(r.s[i], &code), 100);
            assert_int_equal(code, AIOS_OK);
        }
        for (int i = 0; i < 2; i++)
            pthread_join(th[i], NULL);
        assert_in_range(r.office.boxes[0]->n_steps, idle, idle + 2); /* nobody wrote to it */
        int code;
        aios_session_cancel(r.s[0]);
        assert_int_equal(read_turn(r.s[0], &code), 0);
        assert_int_equal(code, AIOS_ECANCELED);
        close_rig();
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
        open_rig(uri, 1);
        settle();
        int before = r.office.n_waits;
        nap_ms(400);
        assert_in_range(r.office.n_waits - before, rows[k].least, rows[k].most);
        close_rig();
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
        int code, n = 0;
        int64_t from = mono_ns();
        open_rig(uris[k], 1);
        for (int i = 0; n < 2; i++) {
            assert_in_range(i, 0, 5000);
            pthread_mutex_lock(&r.office.lock);
            n = r.office.n_boxes;
            pthread_mutex_unlock(&r.office.lock);
            nap_ms(1);
        }
        assert_in_range(mono_ns() - from, INT64_C(40000000), INT64_C(3000000000));
        post_send(&r.office, 1, 1);
        assert_int_equal(read_turn(r.s[0], &code), 1);
        assert_int_equal(code, AIOS_OK);
        close_rig();
    }
}

static void a_router_parks_until_somebody_is_free(void **state)
{
    (void)state;
    int code;
    open_rig("route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"post:1\",\"limits\":{\"concurrent\":1}}]}", 2);
    nap_ms(100);
    assert_int_equal(r.office.n_boxes, 1);
    post_send(&r.office, 0, 1);
    assert_int_equal(read_turn(r.s[0], &code), 1);
    for (int i = 0, n = 1; n < 2; i++) {
        assert_in_range(i, 0, 5000);
        pthread_mutex_lock(&r.office.lock);
        n = r.office.n_boxes;
        pthread_mutex_unlock(&r.office.lock);
        nap_ms(1);
    }
    post_send(&r.office, 1, 1);
    assert_int_equal(read_turn(r.s[1], &code), 1);
    assert_int_equal(code, AIOS_OK);
    close_rig();
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
