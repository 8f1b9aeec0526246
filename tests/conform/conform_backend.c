/* SPDX-License-Identifier: Apache-2.0 */
/* What every backend must do, through the public headers alone, whatever its model says. */
#include "conform_backend.h"
#include "test.h"

#include <jansson.h>
#include <poll.h>
#include <pthread.h>

#include <aios/plugin/backend.h>

#include "net/serve.h"
#include "net_make.h"

static char uri[512];
static const char *plugin_path;
static conform_prepare_fn *prepare;
static void *prepare_user;
static uint32_t n_ctx;
static aios_ctx *ctx;
static aios_model *model;
static aios_model_info facts;
static test_heap heap;

enum { TOKENS = 24 };

/* ---- a world ------------------------------------------------------------------------------------------------------ */

static int open_model(aios_ctx *c, aios_model **m, aios_error *err)
{
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    cfg.n_ctx = n_ctx;
    int rc = prepare ? prepare(prepare_user, c, err) : 0;
    rc = rc || !plugin_path ? rc : aios_plugin_load(c, plugin_path, err);
    return rc ? rc : aios_model_open(c, uri, &cfg, m, err);
}

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    heap = (test_heap){0};
    ctx = test_ctx(&heap, (uint64_t)2 << 30);
    must(open_model(ctx, &model, &err), &err);
    facts = (aios_model_info)AIOS_INIT(aios_model_info);
    must(aios_model_info_get(model, &facts), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_model_close(model);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    return 0;
}

static aios_session *new_session(uint32_t driver)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_session *s = NULL;
    cfg.driver = driver;
    must(aios_session_new(model, &cfg, &s, &err), &err);
    return s;
}

static aios_transcript *ask(const char *text)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = NULL;
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, text, AIOS_CSTR, &err), &err);
    return t;
}

static aios_request request(const aios_transcript *t)
{
    static const aios_sampling greedy = AIOS_INIT(aios_sampling);
    aios_request q = AIOS_INIT(aios_request);
    q.transcript = t;
    q.sampling = &greedy;
    q.max_tokens = TOKENS;
    return q;
}

/* ---- what came up ------------------------------------------------------------------------------------------------- */

typedef struct reply {
    char text[65536];    /* of the last attempt */
    char call[256], args[16384], call_id[300], reason[64];
    size_t n;
    uint32_t n_calls, n_usage, n_ends, attempt;
    aios_usage usage;
    int code;            /* of the ERROR */
    char msg[512];
    uint64_t seq;
} reply;

static void take(reply *r, const aios_event *ev)
{
    assert_true(ev->seq == r->seq++);
    assert_int_equal(r->n_ends, 0);
    assert_true(ev->text && !ev->text[ev->n_text] && strlen(ev->text) == ev->n_text);
    if (ev->attempt != r->attempt) {
        assert_true(ev->attempt > r->attempt);
        r->attempt = ev->attempt;
        r->n = r->n_calls = 0;
    }
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        assert_true(ev->n_text > 0 && r->n + ev->n_text < sizeof r->text);
        memcpy(r->text + r->n, ev->text, ev->n_text + 1);
        r->n += ev->n_text;
        break;
    case AIOS_EVENT_CALL:
        r->n_calls++;
        snprintf(r->call, sizeof r->call, "%s", ev->name);
        snprintf(r->args, sizeof r->args, "%s", ev->text);
        snprintf(r->call_id, sizeof r->call_id, "%s", ev->call_id);
        break;
    case AIOS_EVENT_USAGE:
        r->n_usage++;
        r->usage = *ev->usage;
        break;
    case AIOS_EVENT_DONE:
        r->n_ends++;
        assert_int_equal(ev->n_text, r->n);
        assert_memory_equal(ev->text, r->text, r->n);
        snprintf(r->reason, sizeof r->reason, "%s", ev->name);
        break;
    case AIOS_EVENT_ERROR:
        r->n_ends++;
        r->code = ev->error->code;
        snprintf(r->msg, sizeof r->msg, "%s", ev->error->msg);
        assert_true(r->code < 0 && *r->msg);
        break;
    default:
        break;
    }
}

static void read_all(aios_session *s, reply *r)
{
    const aios_event *ev;
    int rc;
    while (!(rc = aios_session_next(s, -1, &ev)))
        take(r, ev);
    assert_int_equal(rc, AIOS_DONE);
    assert_int_equal(r->n_ends, 1);
    assert_int_equal(aios_session_next(s, 0, &ev), AIOS_DONE);
}

/* One turn. seq: events of earlier turns of this session. */
static uint64_t talk(aios_session *s, const aios_request *q, uint64_t seq, reply *r)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(r, 0, sizeof *r);
    r->seq = seq;
    must(aios_session_start(s, q, &err), &err);
    read_all(s, r);
    return r->seq;
}

/* ---- tests -------------------------------------------------------------------------------------------------------- */

static void a_model_tells_what_it_is(void **state)
{
    aios_model_status st = AIOS_INIT(aios_model_status);
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    assert_true(facts.name && facts.backend && *facts.backend && facts.architecture && facts.quantization);
    assert_true(facts.privacy >= AIOS_PRIVACY_LOCAL && facts.privacy <= AIOS_PRIVACY_REMOTE);
    must(aios_model_status_get(model, &st), &err);
    assert_int_equal(st.state, AIOS_MODEL_READY);
    must(aios_model_probe(ctx, uri, NULL, &st), &err);
    assert_int_equal(st.state, AIOS_MODEL_READY);
}

static void a_turn_has_text_usage_and_one_end(void **state)
{
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask("Say something.");
    aios_request q = request(t);
    reply a, b;
    uint64_t seq = talk(s, &q, 0, &a);
    assert_int_equal(a.code, 0);
    assert_true(a.n > 0 && a.n_usage == 1);
    assert_true(a.usage.input > 0 && a.usage.output > 0 && a.usage.cached <= a.usage.input);
    assert_true(!strcmp(a.reason, "stop") || !strcmp(a.reason, "length"));
    talk(s, &q, seq, &b);
    assert_string_equal(a.text, b.text); /* greedy: the same again */
    aios_session_free(s);
    aios_transcript_free(t);
}

static void sessions_side_by_side_do_not_mix(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    (void)state;
    aios_session *s[3];
    aios_transcript *t = ask("Count to five.");
    aios_request q = request(t);
    static reply alone, r[3];
    memset(r, 0, sizeof r);
    for (int i = 0; i < 3; i++)
        s[i] = new_session(AIOS_DRIVER_CALLER);
    talk(s[0], &q, 0, &alone);
    r[0].seq = alone.seq;
    for (int i = 0; i < 3; i++)
        must(aios_session_start(s[i], &q, &err), &err);
    for (int left = 3, i = 0; left; i = (i + 1) % 3)
        if (!r[i].n_ends && !aios_session_next(s[i], 5, &ev)) {
            take(&r[i], ev);
            left -= (int)r[i].n_ends;
        }
    for (int i = 0; i < 3; i++) {
        assert_string_equal(r[i].text, alone.text);
        aios_session_free(s[i]);
    }
    aios_transcript_free(t);
}

static void a_thread_of_the_model_wakes_a_descriptor(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_THREAD);
    aios_transcript *t = ask("Say something.");
    aios_request q = request(t);
    reply r = {0};
    struct pollfd p = {.fd = aios_session_fd(s), .events = POLLIN};
    assert_true(p.fd >= 0);
    must(aios_session_start(s, &q, &err), &err);
    while (!r.n_ends) {
        assert_true(poll(&p, 1, 60000) > 0);
        while (!aios_session_next(s, 0, &ev))
            take(&r, ev);
    }
    assert_int_equal(r.code, 0);
    aios_session_free(s);
    aios_transcript_free(t);
}

static void a_second_start_is_busy_and_a_cancel_ends_the_turn(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask("Tell a long story.");
    aios_request q = request(t);
    reply r = {0};
    q.max_tokens = 200;
    must(aios_session_start(s, &q, &err), &err);
    assert_int_equal(aios_session_start(s, &q, &err), AIOS_EBUSY);
    aios_session_cancel(s);
    read_all(s, &r);
    assert_int_equal(r.code, AIOS_ECANCELED);
    talk(s, &q, r.seq, &r); /* and the session is as good as before */
    assert_int_equal(r.code, 0);
    aios_session_free(s);
    aios_transcript_free(t);
}

static void a_turn_ends_at_its_deadline(void **state)
{
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask("Tell a long story.");
    aios_request q = request(t);
    reply r;
    q.timeout_ns = 1;
    talk(s, &q, 0, &r);
    assert_int_equal(r.code, AIOS_ETIMEDOUT);
    aios_session_free(s);
    aios_transcript_free(t);
}

static void a_turn_may_be_left_at_any_time(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    (void)state;
    aios_transcript *t = ask("Tell a long story.");
    for (int steps = 0; steps < 6; steps++) {
        aios_session *s = new_session(steps % 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER);
        aios_request q = request(t);
        must(aios_session_start(s, &q, &err), &err);
        for (int i = 0; i < steps; i++)
            aios_session_next(s, 5, &ev);
        aios_session_free(s);
    }
    aios_transcript_free(t);
}

static void a_prompt_beyond_the_context_is_told_with_both_numbers(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    static char text[400000];
    (void)state;
    if (!facts.n_ctx)
        skip();
    for (size_t i = 0; i + 8 < sizeof text; i += 8)
        memcpy(text + i, "word 12 ", 8);
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask(text);
    aios_request q = request(t);
    assert_int_equal(aios_session_start(s, &q, &err), AIOS_ECONTEXT);
    assert_true(err.have > 0 && err.need > err.have);
    aios_session_free(s);
    aios_transcript_free(t);
}

static const char weather[] = "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":20}},\"required\":[\"city\"],\"additionalProperties\":false}";

/* A call that is required comes, of a tool that there is, and its result may follow. */
static void tools_are_called_and_answered(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    if (!(facts.flags & AIOS_MODEL_CAN_TOOLS))
        skip();
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask("How is the weather in Paris?");
    aios_tool_def tool = AIOS_INIT(aios_tool_def);
    aios_request q = request(t);
    reply r;
    tool.name = "get_weather";
    tool.description = "Weather of a city";
    tool.schema_json = weather;
    q.tools = &tool;
    q.tool_stride = sizeof tool;
    q.n_tools = 1;
    q.tool_choice = AIOS_TOOLS_REQUIRED;
    q.flags = AIOS_REQUEST_ONE_CALL;
    q.max_tokens = 96;
    uint64_t seq = talk(s, &q, 0, &r);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.n_calls, 1);
    assert_string_equal(r.call, "get_weather");
    assert_string_equal(r.reason, "tool_calls");
    json_t *args = json_loads(r.args, 0, NULL);
    assert_true(json_is_object(args));
    json_decref(args);
    aios_part parts[2] = {AIOS_INIT(aios_part), AIOS_INIT(aios_part)};
    aios_entry e = AIOS_INIT(aios_entry);
    for (int i = 0; i < 2; i++) {
        parts[i].kind = i ? AIOS_PART_RESULT : AIOS_PART_CALL;
        parts[i].name = r.call;
        parts[i].call_id = r.call_id;
        parts[i].text = i ? "sunny, 21 degrees" : r.args;
        parts[i].n_text = AIOS_CSTR;
        e.role = i ? AIOS_ROLE_TOOL : AIOS_ROLE_ASSISTANT;
        e.parts = &parts[i];
        e.n_parts = 1;
        e.part_stride = sizeof *parts;
        must(aios_transcript_add(t, &e, &err), &err);
    }
    q.tool_choice = AIOS_TOOLS_NONE;
    talk(s, &q, seq, &r);
    assert_int_equal(r.code, 0);
    assert_int_equal(r.n_calls, 0);
    aios_session_free(s);
    aios_transcript_free(t);
}

/* Under a schema a reply holds to it, or the turn says that it does not. */
static void a_reply_under_a_schema_holds_to_it(void **state)
{
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_CALLER);
    aios_transcript *t = ask("The weather of Paris as JSON.");
    aios_request q = request(t);
    reply r;
    q.schema_json = weather;
    q.max_tokens = 96;
    talk(s, &q, 0, &r);
    if (r.code) {
        assert_int_equal(r.code, AIOS_ESCHEMA);
    } else if (strcmp(r.reason, "length")) {
        json_t *v = json_loads(r.text, 0, NULL);
        assert_true(json_is_string(json_object_get(v, "city")) && json_object_size(v) == 1);
        json_decref(v);
    }
    aios_session_free(s);
    aios_transcript_free(t);
}

/* What a backend does not do it says by name. */
static void what_is_missing_is_a_typed_failure(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    int32_t ids[64];
    uint32_t n = 0;
    float one;
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_CALLER), *f = NULL;
    aios_transcript *t = ask("Say something.");
    aios_request q = request(t);
    int rc = aios_session_fork(s, &f, &err);
    assert_true(facts.flags & AIOS_MODEL_CAN_FORK ? !rc : rc == AIOS_ENOTSUP && *err.msg);
    aios_session_free(f);
    rc = aios_model_tokenize(model, "text", 4, 0, ids, 64, &n, &err);
    assert_true(facts.flags & AIOS_MODEL_CAN_TOKENIZE ? !rc && n : rc == AIOS_ENOTSUP);
    rc = aios_model_embed(model, "text", 4, &one, 1, &err);
    assert_true(facts.flags & AIOS_MODEL_CAN_EMBED ? rc < 0 : rc == AIOS_ENOTSUP);
    rc = aios_session_count(s, &q, &n, &err);
    assert_true(rc == AIOS_ENOTSUP || (!rc && n > 0));
    rc = aios_session_prewarm(s, &q, &err);
    assert_true(rc == AIOS_OK || rc == AIOS_ENOTSUP);
    aios_session_free(s);
    aios_transcript_free(t);
}

static void sessions_outlive_the_handle_of_their_model(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    aios_session *s = new_session(AIOS_DRIVER_THREAD);
    aios_transcript *t = ask("Say something.");
    aios_request q = request(t);
    reply r;
    aios_model_close(model);
    talk(s, &q, 0, &r);
    assert_int_equal(r.code, 0);
    aios_session_free(s);
    aios_transcript_free(t);
    must(aios_model_open(ctx, uri, NULL, &model, &err), &err);
}

/* A whole turn over a fresh context. Returns what refused it, if anything. */
static int one_turn(aios_ctx *c, aios_error *err)
{
    static const aios_sampling greedy = AIOS_INIT(aios_sampling);
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    int rc = open_model(c, &m, err);
    rc = rc ? rc : aios_session_new(m, NULL, &s, err);
    rc = rc ? rc : aios_transcript_new(c, &t, err);
    rc = rc ? rc : aios_transcript_add_text(t, AIOS_ROLE_USER, "hi", AIOS_CSTR, err);
    q.transcript = t;
    q.sampling = &greedy;
    q.max_tokens = 4;
    rc = rc ? rc : aios_session_start(s, &q, err);
    while (!rc && !aios_session_next(s, -1, &ev))
        if (ev->type == AIOS_EVENT_ERROR) {
            *err = *ev->error;
            rc = err->code;
        }
    aios_session_free(s);
    aios_transcript_free(t);
    aios_model_close(m);
    return rc;
}

/* Some of the allocations: a turn of a real engine makes thousands. */
static void memory_that_runs_out_is_a_typed_failure(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *c = test_ctx(&h, 0);
    long before = h.n_allocs;
    must(one_turn(c, &err), &err);
    long total = h.n_allocs - before, step = total / 150 + 1;
    aios_ctx_free(c);
    for (long at = 1; at <= total; at += step) {
        h = (test_heap){.persistent = 1};
        c = test_ctx(&h, 0);
        h.fail_at = h.n_allocs + at;
        err = (aios_error)AIOS_INIT(aios_error);
        int rc = one_turn(c, &err);
        if (rc != AIOS_ENOMEM && h.n_allocs >= h.fail_at)
            fail_msg("allocation %ld of %ld: %d %s", at, total, rc, err.msg);
        aios_ctx_free(c);
        assert_int_equal(h.live, 0);
    }
}

/* The URI with a port in the place of % and a file in that of @. */
static void fill(const char *pattern, int port, const char *file)
{
    size_t n = 0;
    for (uri[0] = 0; *pattern && n < sizeof uri - 1; pattern++)
        n += (size_t)(*pattern == '%'   ? snprintf(uri + n, sizeof uri - n, "%d", port)
                      : *pattern == '@' ? snprintf(uri + n, sizeof uri - n, "%s", file)
                                        : snprintf(uri + n, sizeof uri - n, "%c", *pattern));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int conform_backend(int argc, char **argv, conform_prepare_fn *fn, void *user)
{
    const struct CMUnitTest tests[] = {
        T(a_model_tells_what_it_is),
        T(a_turn_has_text_usage_and_one_end),
        T(sessions_side_by_side_do_not_mix),
        T(a_thread_of_the_model_wakes_a_descriptor),
        T(a_second_start_is_busy_and_a_cancel_ends_the_turn),
        T(a_turn_ends_at_its_deadline),
        T(a_turn_may_be_left_at_any_time),
        T(a_prompt_beyond_the_context_is_told_with_both_numbers),
        T(tools_are_called_and_answered),
        T(a_reply_under_a_schema_holds_to_it),
        T(what_is_missing_is_a_typed_failure),
        T(sessions_outlive_the_handle_of_their_model),
        T(memory_that_runs_out_is_a_typed_failure),
    };
    test_server server = {0};
    char file[] = "/tmp/aios-conform-XXXXXX", net[64] = "";
    const char *uris[2] = {argc > 1 ? argv[1] : NULL, NULL};
    net_make made = {.arch = "llama", .template_text = net_chatml, .n_ctx = 4096};
    prepare = fn;
    prepare_user = user;
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--plugin") && i + 1 < argc) {
            plugin_path = argv[++i];
        } else if (!strcmp(argv[i], "--then") && i + 1 < argc) {
            uris[1] = argv[++i];
        } else if (!strcmp(argv[i], "--ctx") && i + 1 < argc) {
            n_ctx = (uint32_t)strtoul(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--serve") && i + 2 < argc) {
            serve_start(&server, argv[i + 1], argv[i + 2]);
            i += 2;
        }
    }
    int fd = mkstemp(file), rc = argc < 2 || fd < 0 || (server.pid && !server.port) ? 2 : 0;
    if (!rc && !strcmp(uris[0], "net:")) {
        net_file(&made, net);
        uris[0] = net;
    }
    for (int i = 0; i < 2 && uris[i] && !rc; i++) {
        fill(uris[i], server.port, file);
        rc = cmocka_run_group_tests_name(uri, tests, NULL, NULL);
    }
    if (fd >= 0)
        close(fd);
    unlink(file);
    if (*net)
        unlink(net + strlen("gguf:"));
    if (server.pid)
        serve_stop(&server);
    return rc;
}
