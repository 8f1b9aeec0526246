/* SPDX-License-Identifier: Apache-2.0 */
/* Transfers against a server in this program, loopback only, that answers each connection as the test says. */
#include "http_server.h"

/* ---- the tests ------------------------------------------------------------------------------------------------- */

static void answer_hello(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\nX-Two: a\r\nContent-Length: 5\r\n\r\nhello");
}

static void get_gives_status_headers_and_body(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    server *s = server_start(answer_hello);
    got g = {0};
    const char *const headers[] = {"X-Key: v", NULL};
    aios__http_request r = {.headers = headers};
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t = begin(ctx, s, &r, &g);
    assert_int_equal(aios__transfer_status(t), 0);
    assert_int_equal(step_to_end(t, &err), AIOS_DONE);
    assert_int_equal(aios__transfer_step(t, 0, &err), AIOS_DONE);
    assert_int_equal(aios__transfer_status(t), 200);
    assert_string_equal(g.p, "hello");
    size_t n;
    const char *v = aios__transfer_header(t, "content-type", &n);
    assert_int_equal(n, 10);
    assert_memory_equal(v, "text/plain", n);
    assert_null(aios__transfer_header(t, "x-early", &n)); /* of the interim response */
    assert_null(aios__transfer_header(t, "content", &n));
    aios__transfer_free(t);
    assert_non_null(strstr(s->request, "GET /p?q=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(s->request, "X-Key: v\r\n"));
    assert_null(strcasestr(s->request, "accept-encoding"));
    assert_null(strcasestr(s->request, "user-agent"));
    server_stop(s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    free(g.p);
}

static void answer_echo(server *s, int fd)
{
    const char *body = strstr(s->request, "\r\n\r\n") + 4;
    char head[64];
    size_t n = s->n_request - (size_t)(body - s->request);
    snprintf(head, sizeof head, "HTTP/1.1 201 Created\r\nContent-Length: %zu\r\n\r\n", n);
    say(fd, head);
    send_all(fd, body, n);
}

static void post_sends_its_body(void **state)
{
    (void)state;
    got g = {0};
    char body[40000];
    memset(body, 'x', sizeof body);
    body[7] = 0;
    aios__http_request r = {.body = body, .n_body = sizeof body};
    outcome o = exchange(answer_echo, &r, &g);
    assert_int_equal(o.rc, AIOS_DONE);
    assert_int_equal(o.status, 201);
    assert_int_equal(g.n, sizeof body);
    assert_memory_equal(g.p, body, g.n);
    free(g.p);
}

#define BIG (3 << 20)
static void answer_big(server *s, int fd)
{
    (void)s;
    char chunk[8192];
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < BIG / 8192; i++) {
        memset(chunk, 'a' + i % 26, sizeof chunk);
        say(fd, "2000\r\n");
        send_all(fd, chunk, sizeof chunk);
        say(fd, "\r\n");
    }
    say(fd, "0\r\nX-Trailer: 1\r\n\r\n");
}

static void body_larger_than_the_ring_arrives_whole(void **state)
{
    (void)state;
    got g = {0};
    aios__http_request r = {0};
    outcome o = exchange(answer_big, &r, &g);
    assert_int_equal(o.rc, AIOS_DONE);
    assert_int_equal(g.n, BIG);
    for (size_t i = 0; i < g.n; i++)
        if (g.p[i] != (char)('a' + i / 8192 % 26))
            fail_msg("byte %zu", i);
    free(g.p);
}

static void body_over_its_cap_is_refused(void **state)
{
    (void)state;
    got g = {0};
    aios__http_request r = {.max_body = 100000};
    outcome o = exchange(answer_big, &r, &g);
    assert_int_equal(o.rc, AIOS_ELIMIT);
    assert_int_equal(o.err.have, 100000);
    assert_true(o.err.need > 100000);
    assert_true(g.n <= 100000);
    free(g.p);
}

static void answer_endless_headers(server *s, int fd)
{
    char line[1024];
    memset(line, 'h', sizeof line);
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    say(fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 2000 && !s->stop; i++)
        send_all(fd, line, sizeof line);
}

static void answer_endless_interim(server *s, int fd)
{
    for (int i = 0; i < 20000 && !s->stop; i++)
        say(fd, "HTTP/1.1 100 Continue\r\nX-Fill: 0123456789\r\n\r\n");
}

static void answer_endless_trailers(server *s, int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 20000 && !s->stop; i++)
        say(fd, "X-Trailer-Of-No-Use: 0123456789\r\n");
}

static void endless_headers_hit_their_cap(void **state)
{
    (void)state;
    void (*const answers[])(server *, int) = {answer_endless_headers, answer_endless_interim, answer_endless_trailers};
    for (size_t i = 0; i < 3; i++) {
        got g = {0};
        aios__http_request r = {0};
        outcome o = exchange(answers[i], &r, &g);
        assert_int_equal(o.rc, AIOS_ELIMIT);
        assert_int_equal(o.err.have, 256 << 10);
        assert_true(o.err.need > 256 << 10);
    }
}

static void answer_nothing(server *s, int fd)
{
    wait_for_peer(s, fd);
}

static void answer_then_silence(server *s, int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\n\r\npart");
    wait_for_peer(s, fd);
}

static void answer_slowly(server *s, int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    for (int i = 0; i < 500 && !s->stop; i++) {
        char c;
        say(fd, "x");
        usleep(10000);
        if (recv(fd, &c, 1, MSG_DONTWAIT) == 0)
            return;
    }
}

static void deadlines_are_kept(void **state)
{
    (void)state;
    const int64_t ms = 1000000;
    const struct {
        void (*answer)(server *, int);
        aios__http_request r;
        const char *word;
    } rows[] = {
        {answer_nothing, {.first_byte_ns = 300 * ms}, "no answer"},
        {answer_then_silence, {.idle_ns = 300 * ms}, "stopped"},
        {answer_slowly, {.total_ns = 300 * ms}, "whole response"},
    };
    for (size_t i = 0; i < 3; i++) {
        got g = {0};
        aios__http_request r = rows[i].r;
        outcome o = exchange(rows[i].answer, &r, &g);
        assert_int_equal(o.rc, AIOS_ETIMEDOUT);
        assert_non_null(strstr(o.err.msg, rows[i].word));
        assert_true(o.seconds >= 0.29 && o.seconds < 0.55);
        if (i == 1)
            assert_string_equal(g.p, "part"); /* what came is not lost */
        free(g.p);
    }
}

static void step_never_waits_longer_than_asked(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_nothing);
    got g = {0};
    aios__http_request r = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t = begin(ctx, s, &r, &g);
    double worst = 0;
    for (int i = 0; i < 20; i++) {
        double from = now();
        assert_int_equal(aios__transfer_step(t, i % 2 ? 20 : 0, &err), AIOS_AGAIN);
        worst = now() - from > worst ? now() - from : worst;
    }
    assert_true(worst < 0.5);
    aios__transfer_free(t);
    server_stop(s);
    aios_ctx_free(ctx);
}

static void answer_redirect(server *s, int fd)
{
    char text[128];
    snprintf(text, sizeof text, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/other\r\nContent-Length: 0\r\n\r\n", s->port);
    say(fd, text);
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_redirect);
    got g = {0};
    aios__http_request r = {0};
    outcome o = fetch(ctx, s, &r, &g);
    assert_int_equal(o.rc, AIOS_DONE);
    assert_int_equal(o.status, 302);
    assert_int_equal(s->n_connections, 1);
    server_stop(s);
    aios_ctx_free(ctx);
}

static void answer_gzip(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip");
}

static void bodies_are_not_decompressed(void **state)
{
    (void)state;
    got g = {0};
    aios__http_request r = {0};
    outcome o = exchange(answer_gzip, &r, &g);
    assert_int_equal(o.rc, AIOS_DONE);
    assert_string_equal(g.p, "not gzip");
    free(g.p);
}

static void answer_short(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
}
static void answer_bad_chunk(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n");
}
static void answer_garbage(server *s, int fd)
{
    (void)s;
    say(fd, "\x16\x03\x01 this is no HTTP at all\r\n\r\n");
}
static void answer_hangup(server *s, int fd)
{
    (void)s;
    (void)fd;
}

static void broken_responses_are_protocol_errors(void **state)
{
    (void)state;
    void (*const answers[])(server *, int) = {answer_short, answer_bad_chunk, answer_garbage, answer_hangup};
    for (size_t i = 0; i < 4; i++) {
        got g = {0};
        aios__http_request r = {0};
        outcome o = exchange(answers[i], &r, &g);
        assert_int_equal(o.rc, AIOS_EPROTO);
        assert_non_null(strstr(o.err.msg, "127.0.0.1"));
        free(g.p);
    }
}

static void nobody_listening_is_unavailable(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_hello), gone = {.port = s->port};
    server_stop(s);
    got g = {0};
    aios__http_request r = {0};
    outcome o = fetch(ctx, &gone, &r, &g);
    assert_int_equal(o.rc, AIOS_EUNAVAIL);
    aios_ctx_free(ctx);
}

static void receiver_can_stop_the_transfer(void **state)
{
    (void)state;
    got g = {.stop_with = AIOS_EFORMAT};
    aios__http_request r = {0};
    outcome o = exchange(answer_big, &r, &g);
    assert_int_equal(o.rc, AIOS_EFORMAT);
    free(g.p);
}

typedef struct gate {
    char host[64], address[64];
    uint16_t port;
    int refuse;
} gate;

static int check(void *user, const char *host, const char *address, uint16_t port)
{
    gate *g = user;
    snprintf(g->host, sizeof g->host, "%s", host);
    snprintf(g->address, sizeof g->address, "%s", address);
    g->port = port;
    return g->refuse;
}

static void every_address_passes_the_gate(void **state)
{
    (void)state;
    const char *const hosts[] = {"127.0.0.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"};
    server *s = server_start(answer_hello);
    for (int refuse = 0; refuse < 2; refuse++)
        for (size_t i = 0; i < 4; i++) {
            gate gt = {.refuse = refuse};
            aios_env env = AIOS_INIT(aios_env);
            aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
            aios_error err = AIOS_INIT(aios_error);
            aios_ctx *ctx;
            aios__transfer *t;
            char url[64];
            env.user = &gt;
            env.net_check = check;
            cfg.env = &env;
            assert_int_equal(aios_ctx_new(&cfg, &ctx, &err), 0);
            snprintf(url, sizeof url, "http://%s:%u/", hosts[i], s->port);
            aios__http_request r = {.url = url};
            int before = s->n_connections;
            assert_int_equal(aios__http_start(ctx, &r, &t, &err), 0);
            int rc = step_to_end(t, &err);
            assert_string_equal(gt.address, "127.0.0.1"); /* whatever it was written as */
            assert_int_equal(gt.port, s->port);
            assert_true(gt.host[0]);
            assert_int_equal(rc, refuse ? AIOS_EDENIED : AIOS_DONE);
            assert_int_equal(s->n_connections - before, refuse ? 0 : 1);
            aios__transfer_free(t);
            aios_ctx_free(ctx);
        }
    server_stop(s);
}

static void proxies_of_the_environment_are_ignored(void **state)
{
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    got g = {0};
    aios__http_request r = {0};
    outcome o = exchange(answer_hello, &r, &g);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(o.rc, AIOS_DONE);
    free(g.p);
}

static void *cancel_soon(void *t)
{
    usleep(100000);
    aios__transfer_cancel(t);
    return NULL;
}

static void cancel_from_another_thread_ends_the_wait(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_nothing);
    got g = {0};
    aios__http_request r = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t = begin(ctx, s, &r, &g);
    pthread_t th;
    double from = now();
    pthread_create(&th, NULL, cancel_soon, t);
    int rc;
    while ((rc = aios__transfer_step(t, 10000, &err)) == AIOS_AGAIN)
        ;
    assert_int_equal(rc, AIOS_ECANCELED);
    assert_true(now() - from < 2);
    pthread_join(th, NULL);
    aios__transfer_free(t);
    server_stop(s);
    aios_ctx_free(ctx);
}

typedef struct worker {
    aios_ctx *ctx;
    server *s;
    int failures;
} worker;

static void *fetch_often(void *arg)
{
    worker *w = arg;
    for (int i = 0; i < 20; i++) {
        got g = {0};
        aios__http_request r = {0};
        outcome o = fetch(w->ctx, w->s, &r, &g);
        w->failures += o.rc != AIOS_DONE || g.n != 5 || memcmp(g.p, "hello", 5);
        free(g.p);
    }
    return NULL;
}

static void threads_share_one_set_of_connections(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    server *s = server_start(answer_hello);
    pthread_t th[4];
    worker w[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (worker){.ctx = ctx, .s = s};
        pthread_create(&th[i], NULL, fetch_often, &w[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i], NULL);
        assert_int_equal(w[i].failures, 0);
    }
    server_stop(s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
}

static void bad_requests_are_refused_before_anything_is_sent(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const char *const two_lines[] = {"A: b\r\nEvil: 1", NULL}, *const no_colon[] = {"A", NULL};
    const struct {
        aios__http_request r;
        int code;
    } rows[] = {
        {{.url = NULL}, AIOS_EINVAL},
        {{.url = "file:///etc/passwd"}, AIOS_ENOTSUP},
        {{.url = "gopher://127.0.0.1/"}, AIOS_ENOTSUP},
        {{.url = "http://127.0.0.1/", .https_only = true}, AIOS_ENOTSUP},
        {{.url = "http://me:pw@127.0.0.1/"}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/\r\nEvil: 1"}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1:99999/"}, AIOS_EINVAL},
        {{.url = "http:///"}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .method = "BREW"}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .method = "GET", .body = "x", .n_body = 1}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .n_body = 1}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .idle_ns = -1}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .headers = two_lines}, AIOS_EINVAL},
        {{.url = "http://127.0.0.1/", .headers = no_colon}, AIOS_EINVAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios__transfer *t;
        int rc = aios__http_start(ctx, &rows[i].r, &t, &err);
        if (rc != rows[i].code)
            fail_msg("row %zu: %s", i, aios_code_name(rc));
        assert_null(t);
        assert_true(strlen(err.msg) > 10);
        assert_null(strstr(err.msg, "pw"));
    }
    aios_ctx_free(ctx);
}

static void start_survives_every_failed_allocation(void **state)
{
    (void)state;
    for (long at = 1; at < 40; at++) {
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        heap.fail_at = heap.n_allocs + at;
        aios_error err = AIOS_INIT(aios_error);
        aios__transfer *t;
        aios__http_request r = {.url = "http://127.0.0.1:1/", .body = "b", .n_body = 1};
        int rc = aios__http_start(ctx, &r, &t, &err);
        assert_true(rc == 0 || rc == AIOS_ENOMEM);
        aios__transfer_free(t);
        bool passed = heap.n_allocs < heap.fail_at;
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
        if (passed)
            return;
    }
    fail_msg("it never passed");
}

static void status_numbers_map_to_codes(void **state)
{
    (void)state;
    assert_int_equal(aios__http_code(200), AIOS_OK);
    assert_int_equal(aios__http_code(299), AIOS_OK);
    assert_int_equal(aios__http_code(302), AIOS_EPROTO);
    assert_int_equal(aios__http_code(400), AIOS_EINVAL);
    assert_int_equal(aios__http_code(401), AIOS_EAUTH);
    assert_int_equal(aios__http_code(429), AIOS_ERATE);
    assert_int_equal(aios__http_code(500), AIOS_EUNAVAIL);
    assert_int_equal(aios__http_code(504), AIOS_ETIMEDOUT);
    assert_int_equal(aios__http_code(0), AIOS_EPROTO);
}

static void a_build_without_curl_says_so(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t;
    aios__http_request r = {.url = "http://127.0.0.1/"};
    assert_int_equal(aios__http_start(ctx, &r, &t, &err), AIOS_ENOTSUP);
    assert_null(t);
    aios__transfer_free(t);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest none[] = {
        cmocka_unit_test(a_build_without_curl_says_so),
        cmocka_unit_test(status_numbers_map_to_codes),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_gives_status_headers_and_body),
        cmocka_unit_test(post_sends_its_body),
        cmocka_unit_test(body_larger_than_the_ring_arrives_whole),
        cmocka_unit_test(body_over_its_cap_is_refused),
        cmocka_unit_test(endless_headers_hit_their_cap),
        cmocka_unit_test(deadlines_are_kept),
        cmocka_unit_test(step_never_waits_longer_than_asked),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(bodies_are_not_decompressed),
        cmocka_unit_test(broken_responses_are_protocol_errors),
        cmocka_unit_test(nobody_listening_is_unavailable),
        cmocka_unit_test(receiver_can_stop_the_transfer),
        cmocka_unit_test(every_address_passes_the_gate),
        cmocka_unit_test(proxies_of_the_environment_are_ignored),
        cmocka_unit_test(cancel_from_another_thread_ends_the_wait),
        cmocka_unit_test(threads_share_one_set_of_connections),
        cmocka_unit_test(bad_requests_are_refused_before_anything_is_sent),
        cmocka_unit_test(start_survives_every_failed_allocation),
        cmocka_unit_test(status_numbers_map_to_codes),
    };
    if (!aios_has("curl"))
        return cmocka_run_group_tests_name("http", none, NULL, NULL);
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
