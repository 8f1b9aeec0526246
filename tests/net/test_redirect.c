/* SPDX-License-Identifier: Apache-2.0 */
/* Models whose server sends their requests elsewhere: what goes along, and what does not. */
#include "../unit/base/http_server.h"

#define KEY "canary-key-1234"
#define EVENTS                                                                                                                       \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"

static char place[128];
static int status;
static char at_first[65536];

static void redirect(server *s, int fd)
{
    char text[256];
    memcpy(at_first, s->request, s->n_request + 1);
    snprintf(text, sizeof text, "HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status, place);
    say(fd, text);
}

static void reply(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" EVENTS);
}

static void refuse(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static void redirect_to_a_slash(server *s, int fd)
{
    if (strstr(s->request, "POST /v1/chat/completions/ "))
        reply(s, fd);
    else
        redirect(s, fd);
}

/* A turn with a server's model; the reply's text is in `text`. */
static int take_turn(const server *s, char *text, size_t n, aios_error *err)
{
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_remote_config rc = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_request req = AIOS_INIT(aios_request);
    aios_model *m = NULL;
    aios_session *ses = NULL;
    aios_transcript *tr = NULL;
    const aios_event *ev;
    char uri[64];
    rc.api_key = KEY;
    rc.max_retries = AIOS_NO_RETRIES;
    cfg.remote = &rc;
    snprintf(uri, sizeof uri, "http://127.0.0.1:%u/v1#m", s->port);
    must(aios_model_open(ctx, uri, &cfg, &m, err), err);
    must(aios_session_new(m, NULL, &ses, err), err);
    must(aios_transcript_new(ctx, &tr, err), err);
    must(aios_transcript_add_text(tr, AIOS_ROLE_USER, "the-prompt", AIOS_CSTR, err), err);
    req.transcript = tr;
    must(aios_session_start(ses, &req, err), err);
    text[0] = 0;
    while (!aios_session_next(ses, -1, &ev)) {
        if (ev->type == AIOS_EVENT_TEXT)
            snprintf(text + strlen(text), n - strlen(text), "%.*s", (int)ev->n_text, ev->text);
        if (ev->type == AIOS_EVENT_ERROR)
            *err = *ev->error;
    }
    aios_transcript_free(tr);
    aios_session_free(ses);
    aios_model_close(m);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    assert_null(strstr(err->msg, KEY));
    return err->code;
}

static void the_same_origin_gets_the_key_again(void **state)
{
    (void)state;
    const int codes[] = {307, 308};
    for (size_t i = 0; i < 2; i++) {
        char text[64];
        aios_error err = AIOS_INIT(aios_error);
        server *s = server_start(redirect_to_a_slash);
        status = codes[i];
        strcpy(place, "/v1/chat/completions/");
        must(take_turn(s, text, sizeof text, &err), &err);
        assert_string_equal(text, "Hello");
        assert_int_equal(s->n_connections, 2);
        assert_non_null(strstr(s->request, KEY));
        assert_non_null(strstr(s->request, "the-prompt"));
        server_stop(s);
    }
}

static void another_origin_gets_the_request_without_the_key(void **state)
{
    (void)state;
    void (*const answers[])(server *, int) = {reply, refuse};
    for (size_t i = 0; i < 2; i++) {
        char text[64];
        aios_error err = AIOS_INIT(aios_error);
        server *a = server_start(redirect), *b = server_start(answers[i]);
        status = 307;
        snprintf(place, sizeof place, "http://localhost:%u/there", b->port);
        int rc = take_turn(a, text, sizeof text, &err);
        assert_int_equal(rc, i ? AIOS_EAUTH : 0);
        assert_string_equal(text, i ? "" : "Hello");
        assert_non_null(strstr(at_first, KEY));
        assert_int_equal(b->n_connections, 1);
        assert_non_null(strstr(b->request, "POST /there "));
        assert_non_null(strstr(b->request, "the-prompt"));
        assert_null(strstr(b->request, KEY));
        if (i)
            assert_non_null(strstr(err.msg, "redirected to localhost"));
        server_stop(a);
        server_stop(b);
    }
}

static void what_repeats_no_post_is_a_failure(void **state)
{
    (void)state;
    const int codes[] = {301, 302, 303};
    for (size_t i = 0; i < 3; i++) {
        char text[64];
        aios_error err = AIOS_INIT(aios_error);
        server *a = server_start(redirect), *b = server_start(reply);
        status = codes[i];
        snprintf(place, sizeof place, "http://127.0.0.1:%u/there", b->port);
        assert_int_equal(take_turn(a, text, sizeof text, &err), AIOS_EPROTO);
        assert_int_equal(b->n_connections, 0);
        server_stop(a);
        server_stop(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_origin_gets_the_key_again),
        cmocka_unit_test(another_origin_gets_the_request_without_the_key),
        cmocka_unit_test(what_repeats_no_post_is_a_failure),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("redirect", tests, NULL, NULL);
}
