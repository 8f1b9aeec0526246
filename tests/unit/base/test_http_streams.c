/* SPDX-License-Identifier: Apache-2.0 */
/* Many open streams of one thread: who is woken by what, deadlines, cancels, memory. */
#include "http_server.h"

enum { MAX_STREAMS = 200 };

/* ---- a server whose connections stay open, for the test to write to ------------------------------------------------ */

typedef struct hub {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic int n_open, stop;
    int fds[MAX_STREAMS]; /* by number in the path */
} hub;

static void greet(hub *b, int fd)
{
    char text[4096];
    size_t n = 0;
    ssize_t r;
    while (n < sizeof text - 1 && (r = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0) {
        n += (size_t)r;
        text[n] = 0;
        if (strstr(text, "\r\n\r\n"))
            break;
    }
    b->fds[strtoul(strchr(text, '/') + 1, NULL, 10) % MAX_STREAMS] = fd;
    b->n_open++; /* the client may look as soon as it has the head */
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
}

static void *run_hub(void *arg)
{
    hub *b = arg;
    while (!b->stop) {
        struct pollfd pf = {.fd = b->fd, .events = POLLIN};
        int fd = poll(&pf, 1, 20) > 0 ? accept(b->fd, NULL, NULL) : -1;
        if (fd >= 0)
            greet(b, fd);
    }
    return NULL;
}

static hub *hub_start(void)
{
    hub *b = calloc(1, sizeof *b);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    memset(b->fds, -1, sizeof b->fds);
    b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(b->fd >= 0 && !bind(b->fd, (struct sockaddr *)&a, sizeof a) && !listen(b->fd, MAX_STREAMS));
    assert_int_equal(getsockname(b->fd, (struct sockaddr *)&a, &n), 0);
    b->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&b->thread, NULL, run_hub, b), 0);
    return b;
}

static void hub_stop(hub *b)
{
    b->stop = 1;
    pthread_join(b->thread, NULL);
    for (int i = 0; i < MAX_STREAMS; i++)
        if (b->fds[i] >= 0)
            close(b->fds[i]);
    close(b->fd);
    free(b);
}

/* ---- its streams --------------------------------------------------------------------------------------------------- */

typedef struct stream {
    aios__transfer *t;
    got g;
} stream;

static void open_streams(aios_ctx *ctx, hub *b, stream *s, int n, const aios__http_request *like)
{
    for (int i = 0; i < n; i++) {
        char url[64];
        aios__http_request r = like ? *like : (aios__http_request){0};
        aios_error err = AIOS_INIT(aios_error);
        snprintf(url, sizeof url, "http://127.0.0.1:%u/%d", b->port, i);
        r.url = url;
        r.on_body = on_body;
        r.user = &s[i].g;
        must(aios__http_start(ctx, &r, &s[i].t, &err), &err);
    }
    double end = now() + 10;
    for (int ready = 0; ready < n && now() < end;) {
        ready = 0;
        for (int i = 0; i < n; i++) {
            aios_error err = AIOS_INIT(aios_error);
            assert_int_equal(aios__transfer_step(s[i].t, 5, &err), AIOS_AGAIN);
            ready += aios__transfer_status(s[i].t) == 200;
        }
    }
    assert_int_equal(b->n_open, n);
}

static void close_streams(stream *s, int n)
{
    for (int i = 0; i < n; i++) {
        aios__transfer_free(s[i].t);
        free(s[i].g.p);
    }
}

/* ---- the tests ----------------------------------------------------------------------------------------------------- */

static void news_of_another_stream_end_the_wait(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[2] = {{0}};
    aios_error err = AIOS_INIT(aios_error);
    open_streams(ctx, b, s, 2, NULL);
    double from = now();
    assert_int_equal(aios__transfer_step(s[0].t, 100, &err), AIOS_AGAIN);
    assert_true(now() - from >= 0.09); /* nothing came: it waits */
    say(b->fds[1], "one");
    from = now();
    assert_int_equal(aios__transfer_step(s[0].t, 5000, &err), AIOS_AGAIN);
    assert_int_equal(aios__transfer_step(s[0].t, 5000, &err), AIOS_AGAIN); /* they still lie there */
    assert_true(now() - from < 0.25);
    assert_int_equal(aios__transfer_step(s[1].t, 5000, &err), AIOS_AGAIN);
    assert_string_equal(s[1].g.p, "one");
    from = now();
    assert_int_equal(aios__transfer_step(s[0].t, 100, &err), AIOS_AGAIN);
    assert_true(now() - from >= 0.09);
    close_streams(s, 2);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void news_left_alone_keep_nobody_awake(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[3] = {{0}};
    aios_error err = AIOS_INIT(aios_error);
    open_streams(ctx, b, s, 3, NULL);
    say(b->fds[2], "nobody wants it");
    int n_steps = 0;
    for (double end = now() + 0.4; now() < end; n_steps++)
        assert_int_equal(aios__transfer_step(s[n_steps % 2].t, 20, &err), AIOS_AGAIN);
    assert_true(n_steps <= 20 + 2 * 3 + 2 + 2);
    close_streams(s, 3);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void count_news(void *user)
{
    atomic_fetch_add((atomic_uint *)user, 1);
}

static void a_watch_is_told_of_news_once(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[50] = {{0}};
    aios_error err = AIOS_INIT(aios_error);
    atomic_uint news[50] = {0}, woken = 0;
    open_streams(ctx, b, s, 50, NULL);
    for (int i = 0; i < 50; i++)
        aios__transfer_watch(s[i].t, count_news, &news[i]);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 50; i += 5)
            say(b->fds[i], "x");
        double until = now() + 0.2;
        while (now() < until)
            assert_int_equal(aios__http_wait(ctx, 20, &woken, &err), AIOS_OK);
        for (int i = 0; i < 50; i++)
            assert_int_equal(news[i], i % 5 ? 0 : 1); /* what comes behind is no news before the next step */
    }
    for (int i = 0; i < 50; i += 5) {
        assert_int_equal(aios__transfer_step(s[i].t, 0, &err), AIOS_AGAIN);
        assert_string_equal(s[i].g.p, "xx");
        aios__transfer_watch(s[i].t, count_news, &news[i]);
        assert_int_equal(news[i], 1);
        say(b->fds[i], "y");
        while (news[i] == 1)
            assert_int_equal(aios__http_wait(ctx, 1000, &woken, &err), AIOS_OK);
        aios__transfer_step(s[i].t, 0, &err);
        say(b->fds[i], "z");
        aios__transfer_watch(s[i].t, count_news, &news[i]);
        aios__transfer_watch(s[i].t, count_news, &news[i]); /* with or without news by now: told of them once at least */
        while (news[i] == 2)
            assert_int_equal(aios__http_wait(ctx, 1000, &woken, &err), AIOS_OK);
    }
    close_streams(s, 50);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void deadlines_of_others_end_the_wait(void **state)
{
    (void)state;
    enum { N = 20 };
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[N] = {{0}}, patient[1] = {{0}};
    double from, at[N] = {0};
    const int64_t ms = 1000000;
    open_streams(ctx, b, patient, 1, NULL);
    b->n_open = 0;
    from = now();
    open_streams(ctx, b, s, N, &(aios__http_request){.total_ns = 600 * ms});
    for (int left = N; left && now() - from < 5;) {
        aios_error err = AIOS_INIT(aios_error);
        assert_int_equal(aios__transfer_step(patient[0].t, 3000, &err), AIOS_AGAIN);
        for (int i = 0; i < N; i++)
            if (!at[i] && aios__transfer_step(s[i].t, 0, &err) == AIOS_ETIMEDOUT) {
                at[i] = now() - from;
                left--;
            }
    }
    for (int i = 0; i < N; i++)
        assert_true(at[i] > 0.59 && at[i] < 0.85);
    close_streams(s, N);
    close_streams(patient, 1);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void paused_stream_is_bounded_and_can_be_cancelled(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[2] = {{0}};
    char many[4096];
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    memset(many, 'x', sizeof many);
    open_streams(ctx, b, s, 2, NULL);
    aios_ctx_usage(ctx, &before);
    for (int i = 0; i < 256; i++) { /* 1 MiB, of which nothing is fetched; the other stream drives */
        (void)!send(b->fds[1], many, sizeof many, MSG_NOSIGNAL | MSG_DONTWAIT);
        assert_int_equal(aios__transfer_step(s[0].t, 1, &err), AIOS_AGAIN);
    }
    aios_ctx_usage(ctx, &after);
    assert_true(after.used - before.used > 100 << 10);
    assert_true(after.used - before.used <= (128 << 10) + 1024);
    aios__transfer_cancel(s[1].t);
    double from = now();
    int rc;
    while ((rc = aios__transfer_step(s[1].t, 1000, &err)) == AIOS_AGAIN)
        ;
    assert_int_equal(rc, AIOS_ECANCELED);
    assert_true(now() - from < 0.25);
    aios_ctx_usage(ctx, &after);
    assert_true(after.used <= before.used);
    close_streams(s, 2);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void *cancel_soon(void *t)
{
    usleep(100000);
    aios__transfer_cancel(t);
    return NULL;
}

/* A queue of connections that is full swallows what else comes. */
static void cancel_and_deadline_end_a_connect(void **state)
{
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill[4];
    assert_true(!bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 0) && !getsockname(fd, (struct sockaddr *)&a, &n));
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&a, sizeof a);
    }
    aios_ctx *ctx = test_ctx(NULL, 0);
    server hole = {.port = ntohs(a.sin_port)};
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        got g = {0};
        aios__http_request r = {.connect_ns = cancelled ? 0 : 300000000};
        aios_error err = AIOS_INIT(aios_error);
        aios__transfer *t = begin(ctx, &hole, &r, &g);
        pthread_t th;
        double from = now();
        if (cancelled)
            pthread_create(&th, NULL, cancel_soon, t);
        int rc;
        while ((rc = aios__transfer_step(t, 10000, &err)) == AIOS_AGAIN)
            ;
        double took = now() - from;
        assert_int_equal(rc, cancelled ? AIOS_ECANCELED : AIOS_ETIMEDOUT);
        assert_true(cancelled ? took < 0.35 : took > 0.29 && took < 0.55);
        if (cancelled)
            pthread_join(th, NULL);
        aios__transfer_free(t);
    }
    for (int i = 0; i < 4; i++)
        close(fill[i]);
    close(fd);
    aios_ctx_free(ctx);
}

static void idle_streams_are_small(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream *s = calloc(MAX_STREAMS, sizeof *s);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &before);
    open_streams(ctx, b, s, MAX_STREAMS, NULL);
    aios_ctx_usage(ctx, &after);
    assert_true((after.used - before.used) / MAX_STREAMS < 40 << 10);
    close_streams(s, MAX_STREAMS);
    free(s);
    hub_stop(b);
    aios_ctx_free(ctx);
}

/* Bytes that found no memory wait in curl, until their owner gets some or is told. */
static void memory_that_is_not_there_is_asked_for_by_the_owner(void **state)
{
    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        aios_ctx *ctx = test_ctx(NULL, 0);
        hub *b = hub_start();
        stream s[2] = {{0}};
        aios_error err = AIOS_INIT(aios_error);
        aios_mem_usage u = AIOS_INIT(aios_mem_usage);
        open_streams(ctx, b, s, 2, NULL);
        aios_ctx_usage(ctx, &u);
        must(aios_ctx_set_budget(ctx, u.used, &err), &err);
        say(b->fds[1], "late");
        for (int i = 0; i < 5; i++)
            assert_int_equal(aios__transfer_step(s[0].t, 20, &err), AIOS_AGAIN);
        if (freed)
            must(aios_ctx_set_budget(ctx, u.used + (1 << 20), &err), &err);
        int rc = AIOS_AGAIN;
        for (int i = 0; i < 10 && rc == AIOS_AGAIN && !s[1].g.n; i++)
            rc = aios__transfer_step(s[1].t, 20, &err);
        assert_int_equal(rc, freed ? AIOS_AGAIN : AIOS_EBUDGET);
        if (freed)
            assert_string_equal(s[1].g.p, "late");
        close_streams(s, 2);
        hub_stop(b);
        aios_ctx_free(ctx);
    }
}

typedef struct party {
    aios_ctx *ctx;
    stream *s;
    int failures;
} party;

/* Each thread goes round its own half of the streams until all said "end". */
static void *go_round(void *arg)
{
    party *p = arg;
    aios_error err = AIOS_INIT(aios_error);
    double end = now() + 20;
    for (int left = 1; left && now() < end;) {
        left = 0;
        for (int i = 0; i < 20; i++) {
            p->failures += aios__transfer_step(p->s[i].t, 20, &err) != AIOS_AGAIN;
            left += p->s[i].g.n < 300;
        }
    }
    for (int i = 0; i < 20; i++)
        p->failures += p->s[i].g.n != 300;
    return NULL;
}

static void threads_fetch_what_is_theirs(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[80] = {{0}};
    pthread_t th[4];
    party p[4];
    open_streams(ctx, b, s, 80, NULL);
    for (int i = 0; i < 4; i++) {
        p[i] = (party){.ctx = ctx, .s = s + 20 * i};
        pthread_create(&th[i], NULL, go_round, &p[i]);
    }
    for (int k = 0; k < 100; k++)
        for (int i = 0; i < 80; i++)
            say(b->fds[(i * 7 + k) % 80], "abc");
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i], NULL);
        assert_int_equal(p[i].failures, 0);
    }
    close_streams(s, 80);
    hub_stop(b);
    aios_ctx_free(ctx);
}

/* ---- watches -------------------------------------------------------------------------------------------------------- */

typedef struct watcher {
    aios_ctx *ctx;
    stream *s;
    atomic_uint woken, told[20];
    int failures;
} watcher;

/* Each thread steps those of its own that it is told of, until all said 300 bytes. */
static void *step_told(void *arg)
{
    watcher *w = arg;
    aios_error err = AIOS_INIT(aios_error);
    double end = now() + 20;
    for (int i = 0; i < 20; i++)
        atomic_store(&w->told[i], 1);
    for (int left = 1; left && now() < end;) {
        left = 0;
        for (int i = 0; i < 20; i++) {
            if (atomic_exchange(&w->told[i], 0)) {
                w->failures += aios__transfer_step(w->s[i].t, 0, &err) != AIOS_AGAIN;
                aios__transfer_watch(w->s[i].t, count_news, &w->told[i]);
            }
            left += w->s[i].g.n < 300;
        }
        w->failures += left && aios__http_wait(w->ctx, 5000, &w->woken, &err);
        w->failures += now() > end - 10; /* a lost word would be waited for, for seconds */
    }
    for (int i = 0; i < 20; i++)
        w->failures += w->s[i].g.n != 300;
    return NULL;
}

static void threads_are_told_what_is_theirs(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[80] = {{0}};
    pthread_t th[4];
    watcher w[4];
    open_streams(ctx, b, s, 80, NULL);
    for (int i = 0; i < 4; i++) {
        w[i] = (watcher){.ctx = ctx, .s = s + 20 * i};
        pthread_create(&th[i], NULL, step_told, &w[i]);
    }
    for (int k = 0; k < 100; k++)
        for (int i = 0; i < 80; i++) {
            say(b->fds[(i * 7 + k) % 80], "abc");
            if (i % 20 == k % 20)
                aios__http_wake(ctx, &w[i % 4].woken);
        }
    for (int i = 0; i < 4; i++) {
        pthread_join(th[i], NULL);
        assert_int_equal(w[i].failures, 0);
    }
    close_streams(s, 80);
    hub_stop(b);
    aios_ctx_free(ctx);
}

static void *wait_long(void *arg)
{
    watcher *w = arg;
    w->failures += aios__http_wait(w->ctx, 20000, &w->woken, NULL) != AIOS_OK;
    return NULL;
}

static void a_wake_ends_its_wait_whoever_drives(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    for (int order = 0; order < 4; order++) {
        watcher w[2] = {{.ctx = ctx}, {.ctx = ctx}};
        pthread_t th[2];
        double from = now();
        if (order >= 2)
            aios__http_wake(ctx, &w[0].woken); /* before it waits */
        for (int i = 0; i < 2; i++)
            pthread_create(&th[i], NULL, wait_long, &w[i]);
        if (order >= 2)
            pthread_join(th[0], NULL);
        usleep(20000);
        for (int i = order >= 2; i < 2; i++) {
            int k = order == 1 ? !i : i;
            aios__http_wake(ctx, &w[k].woken);
            pthread_join(th[k], NULL);
            assert_int_equal(w[k].failures, 0);
        }
        assert_true(now() - from < 5);
    }
    aios_ctx_free(ctx);
}

static void a_watched_stream_that_paused_goes_on(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    aios_ctx *ctx = test_ctx(NULL, 0);
    hub *b = hub_start();
    stream s[1] = {{0}};
    aios_error err = AIOS_INIT(aios_error);
    atomic_uint told = 0, woken = 0;
    char *text = malloc(MIB);
    memset(text, 'x', MIB);
    open_streams(ctx, b, s, 1, NULL);
    aios__transfer_watch(s[0].t, count_news, &told);
    double end = now() + 10;
    for (size_t sent = 0; s[0].g.n < MIB && now() < end;) {
        ssize_t r = sent < MIB ? send(b->fds[0], text + sent, MIB - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += r > 0 ? (size_t)r : 0;
        must(aios__http_wait(ctx, 5, &woken, &err), &err);
        if (!atomic_exchange(&told, 0))
            continue;
        usleep(1000); /* so that more comes than a transfer holds */
        assert_int_equal(aios__transfer_step(s[0].t, 0, &err), AIOS_AGAIN);
        aios__transfer_watch(s[0].t, count_news, &told);
    }
    assert_int_equal(s[0].g.n, MIB);
    free(text);
    close_streams(s, 1);
    hub_stop(b);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(news_of_another_stream_end_the_wait),
        cmocka_unit_test(news_left_alone_keep_nobody_awake),
        cmocka_unit_test(a_watch_is_told_of_news_once),
        cmocka_unit_test(deadlines_of_others_end_the_wait),
        cmocka_unit_test(paused_stream_is_bounded_and_can_be_cancelled),
        cmocka_unit_test(cancel_and_deadline_end_a_connect),
        cmocka_unit_test(idle_streams_are_small),
        cmocka_unit_test(memory_that_is_not_there_is_asked_for_by_the_owner),
        cmocka_unit_test(threads_fetch_what_is_theirs),
        cmocka_unit_test(threads_are_told_what_is_theirs),
        cmocka_unit_test(a_wake_ends_its_wait_whoever_drives),
        cmocka_unit_test(a_watched_stream_that_paused_goes_on),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("http_streams", tests, NULL, NULL);
}
