/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "test.h"

typedef struct rig {
    test_heap h;
    aios_ctx *ctx;
    aios_model *m;
    aios_session *s;
    aios_transcript *t;
    aios_request req;
} rig;

static void rig_open(rig *r, const char *uri, uint32_t driver)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    memset(r, 0, sizeof *r);
    r->ctx = test_ctx(&r->h, 0);
    cfg.driver = driver;
    if (aios_model_open(r->ctx, uri, NULL, &r->m, &err) || aios_session_new(r->m, &cfg, &r->s, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(aios_transcript_new(r->ctx, &r->t, NULL), 0);
    assert_int_equal(aios_transcript_add_text(r->t, AIOS_ROLE_USER, "tell me", AIOS_CSTR, NULL), 0);
    r->req = (aios_request)AIOS_INIT(aios_request);
    r->req.transcript = r->t;
}

/* Parents first: children keep them. */
static void rig_close(rig *r)
{
    aios_ctx_free(r->ctx);
    aios_model_close(r->m);
    aios_transcript_free(r->t);
    aios_session_free(r->s);
    assert_int_equal(r->h.live, 0);
}

static void start(rig *r)
{
    aios_error err = AIOS_INIT(aios_error);
    if (aios_session_start(r->s, &r->req, &err))
        fail_msg("%s", err.msg);
}

/* Text of a turn; *code of its error. */
static void read_turn(aios_session *s, char *out, size_t n, int *code, aios_usage *usage)
{
    const aios_event *ev;
    int rc;
    size_t at = 0;
    *code = AIOS_EINTERNAL;
    out[0] = 0;
    while ((rc = aios_session_next(s, -1, &ev)) == 0) {
        if (ev->type == AIOS_EVENT_TEXT)
            at += (size_t)snprintf(out + at, n - at, "%s", ev->text);
        if (ev->type == AIOS_EVENT_USAGE && usage)
            *usage = *ev->usage;
        if (ev->type == AIOS_EVENT_ERROR)
            *code = ev->error->code;
        if (ev->type == AIOS_EVENT_DONE) {
            *code = 0;
            assert_string_equal(ev->text, out);
        }
    }
    assert_int_equal(rc, AIOS_DONE);
}

static void both_drivers_give_the_same_turn(void **state)
{
    (void)state;
    for (uint32_t d = 0; d <= AIOS_DRIVER_THREAD; d++) {
        rig r;
        char text[100];
        int code;
        aios_usage u = AIOS_INIT(aios_usage);
        uint32_t n = 0;
        rig_open(&r, "echo:think a b; say one two three", d);
        assert_int_equal(aios_session_count(r.s, &r.req, &n, NULL), 0);
        for (int i = 0; i < 3; i++) {
            start(&r);
            read_turn(r.s, text, sizeof text, &code, &u);
            assert_int_equal(code, 0);
            assert_string_equal(text, "one two three");
            assert_int_equal(u.input, n);
            assert_int_equal(u.output, 5);
            assert_int_equal(u.reasoning, 2);
            assert_int_equal(u.cached > 0, i > 0);
        }
        rig_close(&r);
    }
}

static void a_turn_must_end_before_the_next_begins(void **state)
{
    (void)state;
    for (uint32_t d = 0; d <= AIOS_DRIVER_THREAD; d++) {
        rig r;
        char text[100];
        int code;
        uint32_t n;
        aios_session *f;
        rig_open(&r, "echo:set slow 2; say one two three", d);
        start(&r);
        assert_int_equal(aios_session_start(r.s, &r.req, NULL), AIOS_EBUSY);
        assert_int_equal(aios_session_fork(r.s, &f, NULL), AIOS_EBUSY);
        assert_int_equal(aios_session_count(r.s, &r.req, &n, NULL), AIOS_EBUSY);
        assert_int_equal(aios_session_prewarm(r.s, &r.req, NULL), AIOS_EBUSY);
        aios_session_cancel(r.s);
        read_turn(r.s, text, sizeof text, &code, NULL);
        assert_int_equal(code, AIOS_ECANCELED);
        start(&r);
        read_turn(r.s, text, sizeof text, &code, NULL);
        assert_int_equal(code, 0);
        assert_string_equal(text, "one two three");
        rig_close(&r);
    }
}

static void a_fork_shares_the_computed_prefix(void **state)
{
    (void)state;
    rig r;
    char text[100];
    int code;
    aios_usage u = AIOS_INIT(aios_usage);
    aios_session *f;
    rig_open(&r, "echo:say x", 0);
    assert_int_equal(aios_session_prewarm(r.s, &r.req, NULL), 0);
    assert_int_equal(aios_session_fork(r.s, &f, NULL), 0);
    assert_int_equal(aios_session_start(f, &r.req, NULL), 0);
    read_turn(f, text, sizeof text, &code, &u);
    assert_int_equal(code, 0);
    assert_true(u.cached > 0);
    aios_session *g;
    assert_int_equal(aios_session_fork(f, &g, NULL), 0);
    aios_session_free(f);
    aios_session_free(g);
    rig_close(&r);
}

static void the_time_of_a_turn_is_kept(void **state)
{
    (void)state;
    for (uint32_t d = 0; d <= AIOS_DRIVER_THREAD; d++) {
        rig r;
        char text[100];
        int code;
        rig_open(&r, "echo:say a; delay 60000; say b", d);
        r.req.timeout_ns = 20000000;
        start(&r);
        read_turn(r.s, text, sizeof text, &code, NULL);
        assert_int_equal(code, AIOS_ETIMEDOUT);
        rig_close(&r);
    }
}

static void overflow_is_told_with_both_numbers_before_anything_runs(void **state)
{
    (void)state;
    rig r;
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n;
    rig_open(&r, "echo:set n_ctx 3; say x", 0);
    assert_int_equal(aios_session_start(r.s, &r.req, &err), AIOS_ECONTEXT);
    assert_int_equal(err.have, 3);
    assert_int_equal(aios_session_count(r.s, &r.req, &n, NULL), 0);
    assert_int_equal(err.need, n);
    rig_close(&r);
}

static void the_descriptor_is_readable_when_there_is_something(void **state)
{
    (void)state;
    rig r;
    const aios_event *ev;
    rig_open(&r, "echo:set slow 1; say a b c d", 0);
    int fd = aios_session_fd(r.s), words = 0, rc = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_true(fd >= 0);
    assert_int_equal(poll(&p, 1, 0), 0);
    start(&r);
    for (bool over = false; !over;) {
        assert_int_equal(poll(&p, 1, 5000), 1);
        while (!over && (rc = aios_session_next(r.s, 0, &ev)) == 0) {
            words += ev->type == AIOS_EVENT_TEXT;
            over = ev->type == AIOS_EVENT_DONE;
        }
    }
    assert_int_equal(words, 4);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(aios_session_next(r.s, 0, &ev), AIOS_DONE);
    rig_close(&r);
}

static void a_thread_driven_session_may_be_freed_at_any_time(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        rig r;
        const aios_event *ev;
        rig_open(&r, "echo:set slow 1; say a b c d e f", AIOS_DRIVER_THREAD);
        start(&r);
        for (int k = 0; k < i / 5; k++)
            aios_session_next(r.s, i % 3, &ev);
        rig_close(&r);
    }
}

static void a_reader_that_sleeps_stops_the_driver_and_loses_nothing(void **state)
{
    (void)state;
    char *uri = malloc(20000);
    strcpy(uri, "echo:say ");
    for (int i = 0; i < 3000; i++)
        strcat(uri + i * 2, "x ");
    rig r;
    rig_open(&r, uri, AIOS_DRIVER_THREAD);
    start(&r);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    const aios_event *ev;
    int rc, words = 0;
    while ((rc = aios_session_next(r.s, -1, &ev)) == 0)
        words += ev->type == AIOS_EVENT_TEXT;
    assert_int_equal(words, 3000);
    rig_close(&r);
    free(uri);
}

static void *run_one(void *arg)
{
    rig *r = arg;
    aios_session *s = NULL;
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    cfg.driver = AIOS_DRIVER_THREAD;
    aios_request q = r->req;
    char text[100];
    int code = 1;
    for (int i = 0; i < 20; i++) {
        if (aios_session_new(r->m, &cfg, &s, NULL) || aios_session_start(s, &q, NULL))
            return (void *)1;
        if (i % 3 == 2)
            aios_session_cancel(s);
        if (i % 4 != 3)
            read_turn(s, text, sizeof text, &code, NULL);
        aios_session_free(s);
    }
    return NULL;
}

static void many_threads_share_one_model(void **state)
{
    (void)state;
    rig r;
    pthread_t th[6];
    rig_open(&r, "echo:say one two three four", 0);
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&th[i], NULL, run_one, &r), 0);
    for (int i = 0; i < 6; i++) {
        void *bad;
        pthread_join(th[i], &bad);
        assert_null(bad);
    }
    rig_close(&r);
}

static void wrong_requests_are_refused_by_name(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "echo:", 0);
    const char *stops[20];
    for (int i = 0; i < 19; i++)
        stops[i] = "x";
    stops[19] = NULL;
    aios_sampling nan = AIOS_INIT(aios_sampling);
    nan.temperature = NAN;
    aios_tool_def two[2] = {AIOS_INIT(aios_tool_def), AIOS_INIT(aios_tool_def)};
    two[0].name = two[1].name = "same";
    aios_tool_def bad = AIOS_INIT(aios_tool_def);
    bad.name = "a b";
    aios_tool_def schema = AIOS_INIT(aios_tool_def);
    schema.name = "s";
    schema.schema_json = "{\"type\":7}";
    aios_request q[13];
    int want[13];
    aios_grammar *g = NULL;
    assert_int_equal(aios_grammar_compile(r.ctx, AIOS_GRAMMAR_REGEX, "[a-z]+", AIOS_CSTR, &g, NULL), 0);
    for (int i = 0; i < 13; i++) {
        q[i] = r.req;
        want[i] = AIOS_EINVAL;
    }
    q[0].transcript = NULL;
    q[1].raw = "both";
    q[2].tool_choice = 7;
    q[3].tool_choice = AIOS_TOOLS_REQUIRED;
    q[4].sampling = &nan;
    q[5].stop = stops;
    q[6].tools = two, q[6].n_tools = 2, q[6].tool_stride = sizeof two[0];
    q[7].tools = &bad, q[7].n_tools = 1, q[7].tool_stride = sizeof bad;
    q[8].tools = &schema, q[8].n_tools = 1, q[8].tool_stride = sizeof schema, want[8] = AIOS_ESCHEMA;
    q[9].schema_json = "[]", want[9] = AIOS_ESCHEMA;
    q[10].flags = 1u << 20;
    q[11].transcript = NULL, q[11].raw = "\xff", q[11].n_raw = 1;
    q[12].schema_json = "{}", q[12].grammar = g;
    for (int i = 0; i < 13; i++) {
        aios_error err = AIOS_INIT(aios_error);
        int rc = aios_session_start(r.s, &q[i], &err);
        if (rc != want[i] || !err.msg[0])
            fail_msg("row %d: %d %s", i, rc, err.msg);
    }
    const aios_event *ev;
    assert_int_equal(aios_session_next(r.s, 0, &ev), AIOS_DONE);
    assert_int_equal(aios_session_start(NULL, &r.req, NULL), AIOS_EINVAL);
    assert_int_equal(aios_session_next(NULL, 0, &ev), AIOS_EINVAL);
    assert_int_equal(aios_session_cancel(NULL), AIOS_EINVAL);
    assert_int_equal(aios_session_fd(NULL), -1);
    aios_session_free(NULL);
    aios_grammar_free(g);
    rig_close(&r);
}

static void what_the_script_says_must_be_in_the_grammar(void **state)
{
    (void)state;
    static const struct {
        const char *script, *grammar;
        int code;
    } rows[] = {{"echo:say hello", "[a-z]+", 0}, {"echo:say hello", "[0-9]+", AIOS_ESCHEMA}, {"echo:say hello", "hello!", AIOS_ESCHEMA}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rig r;
        char text[100];
        int code = 0;
        aios_grammar *g = NULL;
        rig_open(&r, rows[i].script, 0);
        assert_int_equal(aios_grammar_compile(r.ctx, AIOS_GRAMMAR_REGEX, rows[i].grammar, AIOS_CSTR, &g, NULL), 0);
        r.req.grammar = g;
        assert_int_equal(aios_session_start(r.s, &r.req, NULL), rows[i].code);
        aios_grammar_free(g);
        if (!rows[i].code) {
            read_turn(r.s, text, sizeof text, &code, NULL);
            assert_string_equal(text, "hello");
        }
        rig_close(&r);
    }
}

/* Pieces of a call make up the call; a snapshot behind each piece is JSON that ends as the whole. */
static void calls_and_values_may_be_watched_while_they_are_written(void **state)
{
    (void)state;
    static const aios_tool_def tool = {sizeof tool, "add", NULL, NULL};
    for (uint32_t d = 0; d <= AIOS_DRIVER_THREAD; d++) {
        for (uint32_t flags = 0; flags < 4; flags++) {
            rig r;
            const aios_event *ev;
            char pieces[100] = "", id[32] = "", shot[100] = "";
            uint64_t seq = 0;
            uint32_t n_calls = 0, n_shots = 0, n_deltas = 0;
            rig_open(&r, "echo:call add {\"a\":\"bcd\",\"n\":12}; call add {\"a\":[]}", d);
            r.req.tools = &tool;
            r.req.tool_stride = sizeof tool;
            r.req.n_tools = 1;
            r.req.flags = (flags & 1 ? AIOS_REQUEST_CALL_DELTAS : 0u) | (flags & 2 ? AIOS_REQUEST_SNAPSHOTS : 0u);
            start(&r);
            while (aios_session_next(r.s, -1, &ev) == 0) {
                assert_int_equal(ev->seq, seq++);
                if (ev->type == AIOS_EVENT_CALL_DELTA) {
                    assert_string_equal(ev->name, "add");
                    if (!ev->n_text)
                        pieces[0] = 0;
                    strcat(pieces, ev->text);
                    snprintf(id, sizeof id, "%s", ev->call_id);
                    n_deltas++;
                }
                if (ev->type == AIOS_EVENT_SNAPSHOT) {
                    assert_string_equal(ev->call_id, id);
                    assert_string_equal(ev->name, "add");
                    assert_int_equal(!ev->path, !!(ev->code & AIOS_SNAPSHOT_COMPLETE));
                    snprintf(shot, sizeof shot, "%s", ev->text);
                    n_shots++;
                }
                if (ev->type == AIOS_EVENT_CALL) {
                    n_calls++;
                    if (n_deltas) {
                        assert_string_equal(ev->text, pieces);
                        assert_string_equal(ev->call_id, id);
                    }
                    if (n_shots)
                        assert_string_equal(ev->text, shot);
                }
            }
            assert_int_equal(n_calls, 2);
            assert_int_equal(n_deltas, flags & 1 ? 6 : 0);
            assert_int_equal(n_shots, flags == 3 ? 4 : 0);
            rig_close(&r);
        }
    }
}

static void a_reply_under_a_schema_is_shown_as_it_grows(void **state)
{
    (void)state;
    rig r;
    const aios_event *ev;
    char last[100] = "";
    uint32_t n = 0, text = 0;
    rig_open(&r, "echo:say {\"name\":\"Ola\",\"list\":[1,2]}", 0);
    r.req.schema_json = "{\"type\":\"object\"}";
    r.req.flags = AIOS_REQUEST_SNAPSHOTS;
    start(&r);
    while (aios_session_next(r.s, -1, &ev) == 0) {
        text += ev->type == AIOS_EVENT_TEXT;
        if (ev->type != AIOS_EVENT_SNAPSHOT)
            continue;
        assert_null(ev->name);
        snprintf(last, sizeof last, "%s", ev->text);
        assert_int_equal(last[0], '{');
        assert_int_equal(last[strlen(last) - 1], '}');
        n++;
    }
    assert_true(n > 0 && n == text);
    assert_string_equal(last, "{\"name\":\"Ola\",\"list\":[1,2]}");
    rig_close(&r);
}

static void stops_and_raw_text_are_honoured(void **state)
{
    (void)state;
    rig r;
    char text[100];
    int code;
    rig_open(&r, "echo:say alpha beta gamma", 0);
    const char *stop[] = {"gam", "et", NULL};
    r.req.stop = stop;
    start(&r);
    read_turn(r.s, text, sizeof text, &code, NULL);
    assert_string_equal(text, "alpha b");
    rig_close(&r);
    rig_open(&r, "echo:echo", 0);
    r.req.transcript = NULL;
    r.req.raw = "once upon";
    r.req.n_raw = AIOS_CSTR;
    start(&r);
    read_turn(r.s, text, sizeof text, &code, NULL);
    assert_string_equal(text, "once upon");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_drivers_give_the_same_turn),
        cmocka_unit_test(a_turn_must_end_before_the_next_begins),
        cmocka_unit_test(a_fork_shares_the_computed_prefix),
        cmocka_unit_test(the_time_of_a_turn_is_kept),
        cmocka_unit_test(overflow_is_told_with_both_numbers_before_anything_runs),
        cmocka_unit_test(the_descriptor_is_readable_when_there_is_something),
        cmocka_unit_test(a_thread_driven_session_may_be_freed_at_any_time),
        cmocka_unit_test(a_reader_that_sleeps_stops_the_driver_and_loses_nothing),
        cmocka_unit_test(many_threads_share_one_model),
        cmocka_unit_test(wrong_requests_are_refused_by_name),
        cmocka_unit_test(calls_and_values_may_be_watched_while_they_are_written),
        cmocka_unit_test(a_reply_under_a_schema_is_shown_as_it_grows),
        cmocka_unit_test(stops_and_raw_text_are_honoured),
        cmocka_unit_test(what_the_script_says_must_be_in_the_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
