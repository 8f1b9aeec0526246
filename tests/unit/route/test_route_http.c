/* SPDX-License-Identifier: Apache-2.0 */
/* A router over HTTP servers in this program, loopback only, that break off in the middle of their streams. */
#include "route_test.h"

#include "base/http_server.h"

static void answer(server *s, int fd)
{
    char piece[256];
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    snprintf(piece, sizeof piece, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"from %c, \"}}]}\n\n", s->name);
    say(fd, piece);
    if (s->breaks)
        return;
    say(fd, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"whole\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
}

static server *start(char name)
{
    server *s = server_start(answer);
    s->name = name;
    return s;
}

static int credential(void *user, const char *origin, char *out, size_t n)
{
    snprintf((char *)user, 64, "%s", origin);
    snprintf(out, n, "key-of-the-host");
    return 0;
}

static void a_stream_that_breaks_goes_on_elsewhere_with_that_ones_key(void **state)
{
    (void)state;
    server *a = start('a'), *b = start('b');
    char json[1024], asked[64] = "", origin[64];
    reply r;
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_ctx *ctx = test_ctx(NULL, 0);
    setenv("AIOS_TEST_ROUTE_KEY", "key-of-a", 1);
    remote.api_key = "key-for-nobody";
    remote.base_url = "http://127.0.0.1:1/v1";
    remote.credential = credential;
    remote.credential_user = asked;
    cfg.remote = &remote;
    snprintf(json, sizeof json, "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"http://127.0.0.1:%d/v1#m\",\"api_key_env\":\"AIOS_TEST_ROUTE_KEY\",\"max_retries\":0},"
             "{\"name\":\"b\",\"uri\":\"http://127.0.0.1:%d/v1#m\"}]}", a->port, b->port);
    must(aios_model_open(ctx, json, &cfg, &m, &err), &err);
    assert_int_equal(ask_with(m, "hi", 1, &r), 0); /* this machine: a class needs no rule */
    assert_string_equal(r.text, "from a, whole");
    assert_non_null(strstr(a->request, "key-of-a"));
    a->breaks = 1;
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.text, "from b, whole");
    assert_int_equal(r.attempts, 1);
    assert_non_null(strstr(r.routes, "a:first b:E"));
    assert_non_null(strstr(b->request, "key-of-the-host"));
    snprintf(origin, sizeof origin, "http://127.0.0.1:%d", b->port);
    assert_string_equal(asked, origin);
    assert_null(strstr(a->request, "key-for-nobody"));
    assert_null(strstr(b->request, "key-for-nobody"));
    assert_null(strstr(b->request, "key-of-a"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first"); /* the breaker is open */
    assert_int_equal(a->n_connections, 4);
    aios_model_close(m);
    aios_ctx_free(ctx);
    server_stop(a);
    server_stop(b);
}

static void what_is_on_this_machine_is_asked_without_a_proxy_beyond_it(void **state)
{
    (void)state;
    static const char *const proxies[] = {"http://192.0.2.1:1", "http://127.0.0.1:1@192.0.2.1:1"};
    server *a = start('a');
    char json[256];
    reply r;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_ctx *ctx = test_ctx(NULL, 0);
    remote.connect_ns = 200000000;
    cfg.remote = &remote;
    snprintf(json, sizeof json, "route:{\"candidates\":[{\"name\":\"a\",\"uri\":\"http://127.0.0.1:%d/v1#m\"}]}", a->port);
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        aios_model *m = NULL;
        remote.proxy = proxies[i];
        must(aios_model_open(ctx, json, &cfg, &m, &err), &err);
        assert_int_equal(ask_with(m, "hi", 1, &r), 0); /* the class has no rule: it may not leave */
        assert_string_equal(r.text, "from a, whole");
        aios_model_close(m);
    }
    assert_int_equal(a->n_connections, 2);
    server_stop(a);
    server *near = start('p');
    aios_model *m = NULL;
    char proxy[64];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", near->port);
    remote.proxy = proxy;
    must(aios_model_open(ctx, "http://127.0.0.1:1/v1#m", &cfg, &m, &err), &err);
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.text, "from p, whole");
    aios_model_close(m);
    aios_ctx_free(ctx);
    server_stop(near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_breaks_goes_on_elsewhere_with_that_ones_key),
        cmocka_unit_test(what_is_on_this_machine_is_asked_without_a_proxy_beyond_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
