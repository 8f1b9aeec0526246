/* SPDX-License-Identifier: Apache-2.0 */
/* What the suites of the HTTP transport share: a server in this program, loopback only, that answers each connection as the test says. */
#ifndef AIOS_TEST_HTTP_SERVER_H
#define AIOS_TEST_HTTP_SERVER_H

#include "test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/http.h"

/* ---- the server ------------------------------------------------------------------------------------------------ */

typedef struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    void (*answer)(struct server *s, int fd);
    char request[65536]; /* the last one */
    size_t n_request;
    _Atomic int n_connections, stop;
    _Atomic int breaks; /* as the test says: whether streams break off */
    char name;          /* likewise: who answers */
} server;

static inline void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r <= 0)
            return;
        p += r;
        n -= (size_t)r;
    }
}

static inline void say(int fd, const char *s)
{
    send_all(fd, s, strlen(s));
}

/* Reads head and body (by content-length) of one request. */
static inline int read_request(server *s, int fd)
{
    s->n_request = 0;
    for (;;) {
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        if (poll(&pf, 1, 5000) <= 0)
            return 0;
        ssize_t r = recv(fd, s->request + s->n_request, sizeof s->request - 1 - s->n_request, 0);
        if (r <= 0)
            return 0;
        s->n_request += (size_t)r;
        s->request[s->n_request] = 0;
        const char *end = strstr(s->request, "\r\n\r\n"), *cl = strcasestr(s->request, "content-length:");
        if (end && s->n_request >= (size_t)(end + 4 - s->request) + (cl && cl < end ? strtoul(cl + 15, NULL, 10) : 0))
            return 1;
    }
}

static inline void *serve(void *arg)
{
    server *s = arg;
    while (!s->stop) {
        struct pollfd pf = {.fd = s->fd, .events = POLLIN};
        if (poll(&pf, 1, 50) <= 0)
            continue;
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            continue;
        s->n_connections++;
        if (read_request(s, fd))
            s->answer(s, fd);
        close(fd);
    }
    return NULL;
}

/* Until the peer goes away or five seconds are over. */
static inline void wait_for_peer(server *s, int fd)
{
    char c;
    for (int i = 0; i < 500 && !s->stop; i++) {
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        if (poll(&pf, 1, 10) > 0 && recv(fd, &c, 1, 0) <= 0)
            return;
    }
}

static inline server *server_start(void (*answer)(server *s, int fd))
{
    server *s = calloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    s->answer = answer;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0 && !bind(s->fd, (struct sockaddr *)&a, sizeof a) && !listen(s->fd, 16));
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    return s;
}

static inline void server_stop(server *s)
{
    s->stop = 1;
    pthread_join(s->thread, NULL);
    close(s->fd);
    free(s);
}

/* ---- the client ------------------------------------------------------------------------------------------------ */

typedef struct got {
    char *p;
    size_t n;
    int stop_with; /* what the callback returns */
} got;

static inline int on_body(void *user, const char *s, size_t n)
{
    got *g = user;
    g->p = realloc(g->p, g->n + n + 1);
    memcpy(g->p + g->n, s, n);
    g->n += n;
    g->p[g->n] = 0;
    return g->stop_with;
}

typedef struct outcome {
    int rc;
    int status;
    aios_error err;
    double seconds;
} outcome;

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline int step_to_end(aios__transfer *t, aios_error *err)
{
    int rc;
    double end = now() + 20;
    do
        rc = aios__transfer_step(t, 20, err);
    while (rc == AIOS_AGAIN && now() < end);
    return rc;
}

static inline aios__transfer *begin(aios_ctx *ctx, const server *s, aios__http_request *r, got *g)
{
    char url[64];
    aios__transfer *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/p?q=1", s->port);
    r->url = url;
    r->on_body = on_body;
    r->user = g;
    if (aios__http_start(ctx, r, &t, &err))
        fail_msg("aios__http_start: %s", err.msg);
    return t;
}

static inline outcome fetch(aios_ctx *ctx, const server *s, aios__http_request *r, got *g)
{
    outcome o = {.err = AIOS_INIT(aios_error)};
    double from = now();
    aios__transfer *t = begin(ctx, s, r, g);
    o.rc = step_to_end(t, &o.err);
    o.status = aios__transfer_status(t);
    o.seconds = now() - from;
    if (o.rc < 0) { /* a failure stays the same */
        aios_error again = AIOS_INIT(aios_error);
        assert_int_equal(aios__transfer_step(t, 0, &again), o.rc);
        assert_string_equal(again.msg, o.err.msg);
    }
    aios__transfer_free(t);
    return o;
}

/* One whole exchange, after which nothing is left in the heap. */
static inline outcome exchange(void (*answer)(server *s, int fd), aios__http_request *r, got *g)
{
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    server *s = server_start(answer);
    outcome o = fetch(ctx, s, r, g);
    server_stop(s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    return o;
}

#endif
