/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request may go: redirects and what goes with them, addresses, proxies. */
#include "http_server.h"

static char place[128]; /* where the server sends who comes */
static int status_of_redirect;
static char first_request[65536];

/* A redirect at /p, its request as the body elsewhere. */
static void answer_by_path(server *s, int fd)
{
    char text[256];
    if (strstr(s->request, " /p?q=1 ")) {
        snprintf(text, sizeof text, "HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 5\r\n\r\naside", status_of_redirect, place);
        memcpy(first_request, s->request, s->n_request + 1);
        say(fd, text);
        return;
    }
    snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", s->n_request);
    say(fd, text);
    send_all(fd, s->request, s->n_request);
}

static void answer_in_circles(server *s, int fd)
{
    (void)s;
    say(fd, "HTTP/1.1 302 Found\r\nLocation: /p?q=1\r\nContent-Length: 0\r\n\r\n");
}

static const char *const secrets[] = {"Authorization: Bearer canary-1234", NULL}, *const plain[] = {"X-Plain: yes", NULL};

static void redirects_are_followed_by_their_rules(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body, *method; /* of the second request, NULL: there is none */
    } rows[] = {{301, NULL, "GET"}, {302, NULL, "GET"}, {303, NULL, "GET"}, {307, NULL, "GET"}, {308, NULL, "GET"}, {300, NULL, NULL}, {304, NULL, NULL},
                {301, "b", NULL},   {302, "b", NULL},   {303, "b", NULL},   {307, "body-1", "POST"}, {308, "body-2", "POST"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        got g = {0};
        status_of_redirect = rows[i].status;
        strcpy(place, "/there?x=1");
        aios__http_request r = {.max_redirects = 3, .body = rows[i].body, .n_body = rows[i].body ? strlen(rows[i].body) : 0, .secret_headers = secrets, .headers = plain};
        outcome o = exchange(answer_by_path, &r, &g);
        assert_int_equal(o.rc, AIOS_DONE);
        assert_int_equal(o.status, rows[i].method ? 200 : rows[i].status);
        if (rows[i].method) {
            assert_int_equal(strncmp(g.p, rows[i].method, strlen(rows[i].method)), 0);
            assert_non_null(strstr(g.p, " /there?x=1 HTTP/1.1\r\n"));
            assert_non_null(strstr(g.p, "Authorization: Bearer canary-1234\r\n")); /* the same origin */
            assert_non_null(strstr(g.p, "X-Plain: yes\r\n"));
            assert_null(strstr(g.p, "aside")); /* the first body is dropped */
            if (rows[i].body)
                assert_non_null(strstr(g.p, rows[i].body));
        }
        free(g.p);
    }
}

static void secrets_stay_with_their_origin(void **state)
{
    (void)state;
    static const char *const to[] = {"http://127.0.0.1:%u/there", "http://localhost:%u/there"}; /* another port, another name */
    for (size_t i = 0; i < 2; i++) {
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        server *a = server_start(answer_by_path), *b = server_start(answer_by_path);
        got g = {0};
        status_of_redirect = 307;
        snprintf(place, sizeof place, to[i], i ? a->port : b->port);
        aios__http_request r = {.max_redirects = 1, .body = "all", .n_body = 3, .secret_headers = secrets, .headers = plain};
        outcome o = fetch(ctx, a, &r, &g);
        assert_int_equal(o.rc, AIOS_DONE);
        assert_int_equal(o.status, 200);
        assert_non_null(strstr(first_request, "canary-1234"));
        assert_null(strstr(g.p, "canary-1234"));
        assert_null(strcasestr(g.p, "authorization"));
        assert_non_null(strstr(g.p, "X-Plain: yes\r\n"));
        assert_non_null(strstr(g.p, "all"));
        server_stop(a);
        server_stop(b);
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
        free(g.p);
    }
}

static void redirects_have_an_end(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_in_circles);
    got g = {0};
    aios__http_request r = {.max_redirects = 4, .secret_headers = secrets};
    outcome o = fetch(ctx, s, &r, &g);
    assert_int_equal(o.rc, AIOS_EPROTO);
    assert_non_null(strstr(o.err.msg, "more than 4 times"));
    assert_null(strstr(o.err.msg, "canary"));
    assert_int_equal(s->n_connections, 5);
    server_stop(s);
    aios_ctx_free(ctx);
}

static void redirects_to_nowhere_are_refused(void **state)
{
    (void)state;
    const char *const places[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "http://me:pw@127.0.0.1/", "http://:1/", "http://127.0.0.1:99999/"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        got g = {0};
        status_of_redirect = 302;
        strcpy(place, places[i]);
        aios__http_request r = {.max_redirects = 2};
        outcome o = exchange(answer_by_path, &r, &g);
        assert_int_equal(o.rc, AIOS_EPROTO);
        assert_non_null(strstr(o.err.msg, "redirects to"));
        assert_null(strstr(o.err.msg, "pw@"));
        free(g.p);
    }
}

static void addresses_that_are_not_allowed_are_not_connected_to(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        uint32_t allow;
        int rc;
    } rows[] = {
        {"127.0.0.1", 0, AIOS_DONE},
        {"127.0.0.1", AIOS__ALLOW_LOOPBACK, AIOS_DONE},
        {"127.0.0.1", AIOS__ALLOW_PUBLIC | AIOS__ALLOW_PRIVATE | AIOS__ALLOW_LINK_LOCAL, AIOS_EDENIED},
        {"localhost", AIOS__ALLOW_PUBLIC, AIOS_EDENIED}, /* a name that resolves to what is not allowed */
        {"0x7f.1", AIOS__ALLOW_PUBLIC, AIOS_EDENIED},
        {"2130706433", AIOS__ALLOW_PUBLIC, AIOS_EDENIED},
        {"0.0.0.0", AIOS__ALLOW_PUBLIC, AIOS_EDENIED},
        {"[::ffff:127.0.0.1]", AIOS__ALLOW_PUBLIC, AIOS_EDENIED},
        {"[::1]", AIOS__ALLOW_PUBLIC, AIOS_EDENIED},
    };
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_by_path);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char url[64];
        aios_error err = AIOS_INIT(aios_error);
        aios__transfer *t;
        int before = s->n_connections;
        snprintf(url, sizeof url, "http://%s:%u/", rows[i].host, s->port);
        aios__http_request r = {.url = url, .allow = rows[i].allow};
        must(aios__http_start(ctx, &r, &t, &err), &err);
        int rc = step_to_end(t, &err);
        if (rc != rows[i].rc)
            fail_msg("row %zu: %d %s", i, rc, err.msg);
        assert_int_equal(s->n_connections - before, rc == AIOS_DONE);
        if (rc == AIOS_EDENIED)
            assert_non_null(strstr(err.msg, "loopback addresses are not allowed"));
        aios__transfer_free(t);
    }
    server_stop(s);
    aios_ctx_free(ctx);
}

/* Answers two requests on one connection. */
static void answer_twice(server *s, int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (read_request(s, fd))
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain");
}

static void a_connection_used_again_is_checked_too(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    server *s = server_start(answer_twice);
    const struct {
        uint32_t allow;
        int rc;
    } rows[] = {{0, AIOS_DONE}, {AIOS__ALLOW_PUBLIC, AIOS_EDENIED}};
    for (size_t i = 0; i < 2; i++) {
        got g = {0};
        aios__http_request r = {.allow = rows[i].allow};
        outcome o = fetch(ctx, s, &r, &g);
        assert_int_equal(o.rc, rows[i].rc);
        free(g.p);
    }
    assert_int_equal(s->n_connections, 1);
    server_stop(s);
    aios_ctx_free(ctx);
}

static void redirects_to_addresses_not_allowed_are_refused(void **state)
{
    (void)state;
    got g = {0};
    status_of_redirect = 302;
    strcpy(place, "http://169.254.169.254/latest/meta-data");
    aios__http_request r = {.max_redirects = 2, .allow = AIOS__ALLOW_LOOPBACK | AIOS__ALLOW_PUBLIC};
    outcome o = exchange(answer_by_path, &r, &g);
    assert_int_equal(o.rc, AIOS_EDENIED);
    assert_non_null(strstr(o.err.msg, "link-local"));
    assert_true(o.seconds < 1);
    free(g.p);
}

static void requests_go_through_the_proxy_that_is_named(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    server *s = server_start(answer_by_path);
    char proxy[64];
    got g = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t;
    setenv("no_proxy", "*", 1); /* of the environment: not heeded */
    snprintf(proxy, sizeof proxy, "http://me:canary-pw@127.0.0.1:%u", s->port);
    aios__http_request r = {.url = "http://model.example/v1", .proxy = proxy, .on_body = on_body, .user = &g};
    must(aios__http_start(ctx, &r, &t, &err), &err);
    assert_int_equal(step_to_end(t, &err), AIOS_DONE);
    unsetenv("no_proxy");
    assert_non_null(strstr(g.p, "GET http://model.example/v1 HTTP/1.1\r\n"));
    assert_non_null(strstr(g.p, "Proxy-Authorization: Basic "));
    aios__transfer_free(t);
    r.url = "http://10.0.0.1/"; /* an address in the URL is held against what is allowed */
    r.allow = AIOS__ALLOW_PUBLIC;
    assert_int_equal(aios__http_start(ctx, &r, &t, &err), AIOS_EDENIED);
    r.proxy = "ftp://127.0.0.1";
    assert_int_equal(aios__http_start(ctx, &r, &t, &err), AIOS_EINVAL);
    server_stop(s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    free(g.p);
}

/* ---- what is freed is looked at for secrets ------------------------------------------------------------------------ */

static int n_canaries;

static void *searching_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    if (!new_size) {
        n_canaries += ptr && memmem(ptr, old_size, "canary-1234", 11);
        free(ptr);
        return NULL;
    }
    char *p = realloc(ptr, new_size);
    if (p && new_size > old_size) /* what others left in this memory is not ours to find */
        memset(p + old_size, 0, new_size - old_size);
    return p;
}

static void secrets_are_wiped_and_never_told(void **state)
{
    (void)state;
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx;
    aios__transfer *t;
    env.realloc = searching_realloc;
    cfg.env = &env;
    n_canaries = 0;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    server *s = server_start(answer_by_path), gone = {.port = s->port};
    server_stop(s);
    got g = {0};
    aios__http_request r = {.secret_headers = secrets, .headers = plain};
    outcome o = fetch(ctx, &gone, &r, &g);
    assert_int_equal(o.rc, AIOS_EUNAVAIL);
    assert_null(strstr(o.err.msg, "canary"));
    const char *const broken[] = {"Authorization canary-1234", NULL};
    r.url = "http://127.0.0.1/?key=canary-1234";
    r.secret_headers = broken;
    assert_int_equal(aios__http_start(ctx, &r, &t, &err), AIOS_EINVAL);
    assert_null(strstr(err.msg, "canary"));
    aios_ctx_free(ctx);
    assert_int_equal(n_canaries, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirects_are_followed_by_their_rules),
        cmocka_unit_test(secrets_stay_with_their_origin),
        cmocka_unit_test(redirects_have_an_end),
        cmocka_unit_test(redirects_to_nowhere_are_refused),
        cmocka_unit_test(addresses_that_are_not_allowed_are_not_connected_to),
        cmocka_unit_test(a_connection_used_again_is_checked_too),
        cmocka_unit_test(redirects_to_addresses_not_allowed_are_refused),
        cmocka_unit_test(requests_go_through_the_proxy_that_is_named),
        cmocka_unit_test(secrets_are_wiped_and_never_told),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("http_redirect", tests, NULL, NULL);
}
