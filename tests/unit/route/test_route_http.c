/* SPDX-License-Identifier: Apache-2.0 */
/* A router over HTTP servers in this program, loopback only, that break off in the middle of their streams. */
#include "route_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct server {
    int fd, port;
    pthread_t thread;
    _Atomic int stop, breaks, n_requests; /* breaks: the stream ends after its first piece */
    char name;
    char last[8192]; /* request */
} server;

static void say(int fd, const char *s)
{
    size_t n = strlen(s);
    while (n) {
        ssize_t r = send(fd, s, n, MSG_NOSIGNAL);
        if (r <= 0)
            return;
        s += r;
        n -= (size_t)r;
    }
}

static int read_request(server *s, int fd)
{
    size_t n = 0;
    for (;;) {
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        if (poll(&pf, 1, 2000) <= 0)
            return 0;
        ssize_t r = recv(fd, s->last + n, sizeof s->last - 1 - n, 0);
        if (r <= 0)
            return 0;
        n += (size_t)r;
        s->last[n] = 0;
        const char *end = strstr(s->last, "\r\n\r\n"), *cl = strcasestr(s->last, "content-length:");
        if (end && n >= (size_t)(end + 4 - s->last) + (cl && cl < end ? strtoul(cl + 15, NULL, 10) : 0))
            return 1;
    }
}

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

static void *serve(void *arg)
{
    server *s = arg;
    while (!s->stop) {
        struct pollfd pf = {.fd = s->fd, .events = POLLIN};
        int fd = poll(&pf, 1, 20) > 0 ? accept(s->fd, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        if (read_request(s, fd)) {
            s->n_requests++;
            answer(s, fd);
        }
        close(fd);
    }
    return NULL;
}

static server *server_start(char name)
{
    server *s = calloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    s->name = name;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0 && !bind(s->fd, (struct sockaddr *)&a, sizeof a) && !listen(s->fd, 16));
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

static void server_stop(server *s)
{
    s->stop = 1;
    pthread_join(s->thread, NULL);
    close(s->fd);
    free(s);
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
    server *a = server_start('a'), *b = server_start('b');
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
    assert_non_null(strstr(a->last, "key-of-a"));
    a->breaks = 1;
    assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.text, "from b, whole");
    assert_int_equal(r.attempts, 1);
    assert_non_null(strstr(r.routes, "a:first b:E"));
    assert_non_null(strstr(b->last, "key-of-the-host"));
    snprintf(origin, sizeof origin, "http://127.0.0.1:%d", b->port);
    assert_string_equal(asked, origin);
    assert_null(strstr(a->last, "key-for-nobody"));
    assert_null(strstr(b->last, "key-for-nobody"));
    assert_null(strstr(b->last, "key-of-a"));
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask_with(m, "hi", 0, &r), 0);
    assert_string_equal(r.routes, "b:first"); /* the breaker is open */
    assert_int_equal(a->n_requests, 4);
    aios_model_close(m);
    aios_ctx_free(ctx);
    server_stop(a);
    server_stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_breaks_goes_on_elsewhere_with_that_ones_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
