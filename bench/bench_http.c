/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many streams of server-sent events at once: bench_http [STREAMS [TOKENS [RATE]]]. A server of one thread in a child process sends chunks as
 * OpenAI's API has them, a token each, TOKENS to each stream, stamped with its clock: as fast as they are taken, then RATE a second in all. The client
 * is one thread, which reads the JSON of each. A JSON line for each: tokens a second, microseconds from the stamp to the parsed token, KiB of
 * an open stream that waits (resident memory, and what the ctx counts). `bench_http serve STREAMS TOKENS RATE` is the server alone: it
 * prints its port, and ends with its streams.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/http.h"
#include "base/json.h"
#include "base/sse.h"
#include "bench.h"

enum { MAX_STREAMS = 10000, START_US = 1500000 };

static void need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

/* ---- the server ---------------------------------------------------------------------------------------------------- */

typedef struct peer {
    int fd;
    unsigned sent;     /* tokens */
    unsigned at, n;    /* of the chunk that is being sent */
    char text[512];
} peer;

static peer *peers;

static void make_chunk(peer *p, unsigned n_tokens)
{
    char data[400];
    int n = p->sent == n_tokens
                ? snprintf(data, sizeof data, "data: [DONE]\n\n")
                : snprintf(data, sizeof data,
                           "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock\",\"choices\":[{\"index\":0,"
                           "\"delta\":{\"content\":\" tok%u\"},\"logprobs\":null,\"finish_reason\":null}],\"sent_us\":%.1f}\n\n",
                           p->sent, now_us());
    p->n = (unsigned)snprintf(p->text, sizeof p->text, "%x\r\n%s\r\n%s", (unsigned)n, data, p->sent == n_tokens ? "0\r\n\r\n" : "");
    p->at = 0;
    p->sent++;
}

/* Sends one chunk, or what is left of one; 0: the socket is full. */
static int send_chunk(peer *p, unsigned n_tokens)
{
    if (p->at == p->n)
        make_chunk(p, n_tokens);
    ssize_t r = send(p->fd, p->text + p->at, p->n - p->at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (r > 0)
        p->at += (unsigned)r;
    else if (r < 0 && errno != EAGAIN)
        p->at = p->n = 0, p->sent = n_tokens + 1;
    return p->at == p->n;
}

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    need(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof a) && !listen(fd, 4096) && !getsockname(fd, (struct sockaddr *)&a, &n), "listen");
    *port = ntohs(a.sin_port);
    return fd;
}

/* Takes a connection and its request, and answers with the head. */
static void greet(int lfd, peer *p)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    char text[8192];
    size_t n = 0;
    p->fd = accept(lfd, NULL, NULL);
    need(p->fd >= 0, "accept");
    for (;;) {
        ssize_t r = recv(p->fd, text + n, sizeof text - 1 - n, 0);
        if (r <= 0)
            break;
        n += (size_t)r;
        text[n] = 0;
        const char *end = strstr(text, "\r\n\r\n"), *len = strcasestr(text, "content-length:");
        if (end && n >= (size_t)(end + 4 - text) + (len ? strtoul(len + 15, NULL, 10) : 0))
            break;
    }
    need(send(p->fd, head, sizeof head - 1, MSG_NOSIGNAL) > 0, "send");
}

static void wait_until(double us)
{
    double left = us - now_us();
    if (left > 0)
        nanosleep(&(struct timespec){.tv_sec = (time_t)(left / 1e6), .tv_nsec = (long)((left - (double)(time_t)(left / 1e6) * 1e6) * 1e3)}, NULL);
}

static void pour(unsigned n_streams, unsigned n_tokens)
{
    struct epoll_event ev[256];
    int ep = epoll_create1(0);
    unsigned left = n_streams;
    for (unsigned i = 0; i < n_streams; i++)
        need(!epoll_ctl(ep, EPOLL_CTL_ADD, peers[i].fd, &(struct epoll_event){.events = EPOLLOUT, .data.u32 = i}), "epoll_ctl");
    while (left) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            peer *p = &peers[ev[i].data.u32];
            if (send_chunk(p, n_tokens) && p->sent > n_tokens) {
                epoll_ctl(ep, EPOLL_CTL_DEL, p->fd, NULL);
                left--;
            }
        }
    }
}

static void drip(unsigned n_streams, unsigned n_tokens, double rate)
{
    double next = now_us();
    for (unsigned k = 0; k <= n_tokens; k++)
        for (unsigned i = 0; i < n_streams; i++) {
            next += 1e6 / rate;
            wait_until(next);
            while (!send_chunk(&peers[i * 7919u % n_streams], n_tokens))
                usleep(100);
        }
}

static void serve(int lfd, unsigned n_streams, unsigned n_tokens, double rate)
{
    char c;
    for (unsigned i = 0; i < n_streams; i++)
        greet(lfd, &peers[i]);
    usleep(START_US); /* the client looks at its memory meanwhile */
    if (rate > 0)
        drip(n_streams, n_tokens, rate);
    else
        pour(n_streams, n_tokens);
    for (unsigned i = 0; i < n_streams; i++) {
        shutdown(peers[i].fd, SHUT_WR);
        while (recv(peers[i].fd, &c, 1, 0) > 0)
            ;
    }
}

/* ---- the client ---------------------------------------------------------------------------------------------------- */

typedef struct stream {
    aios__transfer *t;
    aios__sse sse;
    unsigned n_tokens;
    int done;
} stream;

static double *latencies;
static size_t n_latencies;
static aios_ctx *ctx;

static int on_event(void *user, const aios__sse_event *ev)
{
    stream *s = user;
    aios_error err = AIOS_INIT(aios_error);
    if (!strcmp(ev->data, "[DONE]")) {
        s->done = 1;
        return 0;
    }
    aios__json_doc *doc;
    size_t n;
    int rc = aios__json_parse(aios__ctx_heap(ctx), ev->data, ev->n, &doc, &err);
    if (rc)
        return rc;
    const aios__json *root = aios__json_root(doc);
    const char *text = aios__json_str(aios__json_get(aios__json_get(aios__json_at(aios__json_get(root, "choices"), 0), "delta"), "content"), &n);
    double sent = aios__json_real(aios__json_get(root, "sent_us"), 0);
    s->n_tokens += text && !strncmp(text, " tok", 4);
    aios__json_free(doc);
    latencies[n_latencies++] = now_us() - sent;
    return 0;
}

static int on_body(void *user, const char *p, size_t n)
{
    return aios__sse_feed(&((stream *)user)->sse, p, n, NULL);
}

static void open_stream(stream *s, uint16_t port)
{
    static const char body[] = "{\"model\":\"mock\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    static const char *const headers[] = {"Content-Type: application/json", NULL}, *const secret[] = {"Authorization: Bearer none", NULL};
    char url[64];
    aios_error err = AIOS_INIT(aios_error);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/chat/completions", port);
    aios__sse_init(&s->sse, aios__ctx_heap(ctx), 0, on_event, s);
    aios__http_request r = {.url = url, .headers = headers, .secret_headers = secret, .body = body, .n_body = sizeof body - 1, .on_body = on_body, .user = s};
    must(aios__http_start(ctx, &r, &s->t, &err), &err);
}

static double resident_kib(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    need(f && fscanf(f, "%ld %ld", &all, &pages) == 2, "statm");
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double used_kib(void)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return (double)u.used / 1024;
}

static double cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* Steps whoever has something, by aios__http_next, or all in turn. Returns how many are over now. */
static unsigned step(stream *all, unsigned n, int round, unsigned *at)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *t = round ? all[(*at)++ % n].t : aios__http_next(ctx, 1000, &err);
    must(err.code, &err);
    if (!t)
        return 0;
    stream *s = aios__transfer_user(t);
    int was = s->done == 2, rc = was ? AIOS_DONE : aios__transfer_step(t, round ? 20 : 0, &err);
    must(rc < 0 ? rc : 0, &err);
    s->done = rc == AIOS_DONE ? 2 : s->done;
    return !was && rc == AIOS_DONE;
}

static void measure(unsigned n, unsigned n_tokens, double rate, int round)
{
    uint16_t port;
    int lfd = listen_somewhere(&port);
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (!pid) {
        serve(lfd, n, n_tokens, rate);
        _exit(0);
    }
    close(lfd);
    stream *all = calloc(n, sizeof *all);
    aios_error err = AIOS_INIT(aios_error);
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    aios__transfer *none; /* libcurl is there before memory is looked at */
    must(aios__http_start(ctx, &(aios__http_request){.url = "http://127.0.0.1:1/"}, &none, &err), &err);
    while (aios__transfer_step(none, 20, &err) == AIOS_AGAIN)
        ;
    aios__transfer_free(none);
    n_latencies = 0;
    double rss = resident_kib(), used = used_kib();
    for (unsigned i = 0; i < n; i++)
        open_stream(&all[i], port);
    for (unsigned ready = 0, i; ready < n;) {
        for (i = ready = 0; i < n; i++)
            ready += aios__transfer_status(all[i].t) == 200;
        for (unsigned k = 0; k < n && ready < n; k++)
            must(aios__transfer_step(all[k].t, 0, &err) < 0, &err);
    }
    rss = (resident_kib() - rss) / n;
    used = (used_kib() - used) / n;
    double from = 0, cpu = 0;
    for (unsigned over = 0, at = 0; over < n;) {
        over += step(all, n, round, &at);
        if (!from && n_latencies) {
            from = now_us();
            cpu = cpu_us();
        }
    }
    double took = now_us() - from;
    cpu = cpu_us() - cpu;
    size_t tokens = 0;
    for (unsigned i = 0; i < n; i++) {
        tokens += all[i].n_tokens;
        aios__transfer_free(all[i].t);
        aios__sse_free(&all[i].sse);
    }
    free(all);
    aios_ctx_free(ctx);
    waitpid(pid, NULL, 0);
    qsort(latencies, n_latencies, sizeof *latencies, by_size);
    printf("{\"bench\":\"http\",\"loop\":\"%s\",\"streams\":%u,\"tokens\":%zu,\"rate\":%.0f,\"tokens_s\":%.0f,\"cpu_us_token\":%.2f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"rss_kib_stream\":%.1f,\"ctx_kib_stream\":%.1f}\n",
           round ? "round" : "next", n, tokens, rate, (double)tokens / took * 1e6, cpu / (double)tokens, latencies[n_latencies / 2], latencies[n_latencies * 99 / 100], rss, used);
    fflush(stdout);
    need(tokens == (size_t)n * n_tokens, "tokens were lost");
}

int main(int argc, char **argv)
{
    int alone = argc > 1 && !strcmp(argv[1], "serve");
    unsigned long n = argc > 1 + alone ? strtoul(argv[1 + alone], NULL, 10) : 1000, tokens = argc > 2 + alone ? strtoul(argv[2 + alone], NULL, 10) : 100;
    double rate = argc > 3 + alone ? strtod(argv[3 + alone], NULL) : alone ? 0 : 5000;
    if (n < 1 || n > MAX_STREAMS || tokens < 1 || tokens > 100000 || rate < 0) {
        fprintf(stderr, "usage: bench_http [serve] [STREAMS [TOKENS [RATE]]], at most %d streams\n", MAX_STREAMS);
        return 2;
    }
    if (!aios_has("curl"))
        return 77; /* skipped */
    peers = calloc(n, sizeof *peers);
    latencies = calloc(n * (tokens + 1), sizeof *latencies);
    need(peers && latencies, "memory");
    if (alone) {
        uint16_t port;
        int lfd = listen_somewhere(&port);
        printf("%u\n", port);
        fflush(stdout);
        serve(lfd, (unsigned)n, (unsigned)tokens, rate);
        return 0;
    }
    unsigned n_paced = (unsigned)(rate * 8 / (double)n); /* eight seconds */
    for (int round = 0; round < 2; round++) {
        measure((unsigned)n, (unsigned)tokens, 0, round);
        if (rate > 0)
            measure((unsigned)n, n_paced < 1 ? 1 : n_paced < tokens ? n_paced : (unsigned)tokens, rate, round);
    }
    free(peers);
    free(latencies);
    return 0;
}
