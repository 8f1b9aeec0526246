/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a session will be back reaches the models behind routers and recorders, also those that a turn goes to only later. */
#include "route_test.h"

#include <unistd.h>

typedef struct hint {
    far_session far; /* first: it is one */
    int32_t returns;
    uint32_t n;
} hint;

static hint *hints[N_FAR]; /* of the sessions that there are, by host */
static far_host hosts[N_FAR];
static char tape[64];

static int hint_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    hint *h = calloc(1, sizeof *h);
    h->far.host = model;
    h->returns = -1;
    hints[h->far.host - hosts] = h;
    *session = h;
    return 0;
}

static void hint_free(void *session)
{
    hint *h = session;
    hints[h->far.host - hosts] = NULL;
    free(h);
}

static void hint_retain(void *session, int32_t returns)
{
    hint *h = session;
    h->returns = returns;
    h->n++;
}

static aios_ctx *ctx;
static aios_model *model;
static aios_session *session;

static void open_session(const char *form)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    aios_error err = AIOS_INIT(aios_error);
    char uri[512];
    memset(hosts, 0, sizeof hosts);
    snprintf(tape, sizeof tape, "/tmp/aios-retain-%d.jsonl", (int)getpid());
    snprintf(uri, sizeof uri, form, tape);
    far_ops(&ops);
    ops.session_new = hint_new;
    ops.session_free = hint_free;
    ops.retain = hint_retain;
    ctx = test_ctx(NULL, 0);
    assert_int_equal(aios_backend_register(ctx, &ops, hosts, NULL), 0);
    must(aios_model_open(ctx, uri, NULL, &model, &err), &err);
    must(aios_session_new(model, NULL, &session, &err), &err);
}

static void close_session(void)
{
    aios_session_free(session);
    aios_model_close(model);
    aios_ctx_free(ctx);
    remove(tape);
}

static void ask(void)
{
    aios_request q = AIOS_INIT(aios_request);
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *t = NULL;
    reply r;
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "hi", AIOS_CSTR, &err), &err);
    q.transcript = t;
    assert_int_equal(turn_of(session, &q, &r), 0);
    aios_transcript_free(t);
}

static void retain(int32_t returns)
{
    aios_error err = AIOS_INIT(aios_error);
    must(aios_session_retain(session, returns, &err), &err);
}

static void hints_go_through_each_layer(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "far:0%.0s",
        "record:%s|far:0",
        "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"}]}%.0s",
        "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"record:%s|far:0\"}]}",
        "record:%s|route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"}]}",
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        open_session(forms[i]);
        retain(1); /* before a router has any */
        ask();
        assert_non_null(hints[0]);
        assert_int_equal(hints[0]->returns, 1);
        assert_int_equal(hints[0]->n, 1);
        retain(0);
        assert_int_equal(hints[0]->returns, 0);
        ask();
        retain(1);
        assert_int_equal(hints[0]->returns, 1);
        assert_int_equal(hints[0]->n, 3);
        close_session();
    }
}

static void those_that_a_turn_goes_to_later_are_told_too(void **state)
{
    (void)state;
    open_session("route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"},{\"name\":\"b\",\"uri\":\"far:1\"}]}%.0s");
    retain(1);
    ask();
    assert_null(hints[1]);
    hosts[0].down = AIOS_EUNAVAIL;
    ask();
    assert_non_null(hints[1]);
    assert_int_equal(hints[1]->returns, 1);
    retain(0);
    assert_int_equal(hints[0]->returns, 0);
    assert_int_equal(hints[1]->returns, 0);
    close_session();
}

static void who_was_told_nothing_tells_nothing(void **state)
{
    (void)state;
    open_session("route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"far:0\"}]}%.0s");
    ask();
    assert_int_equal(hints[0]->n, 0);
    close_session();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hints_go_through_each_layer),
        cmocka_unit_test(those_that_a_turn_goes_to_later_are_told_too),
        cmocka_unit_test(who_was_told_nothing_tells_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
