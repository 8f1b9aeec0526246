/* SPDX-License-Identifier: Apache-2.0 */
/* The server of bench_http and bench_streams: chunks as OpenAI's API has them, a token each, stamped with its clock. */
#ifndef AIOS_BENCH_STREAM_SERVER_H
#define AIOS_BENCH_STREAM_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { MAX_STREAMS = 10000 };

/** Microseconds from the last greeting to the first token: the client looks at what streams take meanwhile. */
static unsigned start_us(unsigned n_streams)
{
    return 1500000 + n_streams * 200;
}

static void need(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

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
                           "\"delta\":{\"content\":\" tok%u@%.1f\"},\"logprobs\":null,\"finish_reason\":null}],\"sent_us\":%.1f}\n\n",
                           p->sent, now_us(), now_us());
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
    usleep(start_us(n_streams));
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

/* Starts it in a child process. */
static pid_t start_server(unsigned n_streams, unsigned n_tokens, double rate, uint16_t *port)
{
    int lfd = listen_somewhere(port);
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (!pid) {
        serve(lfd, n_streams, n_tokens, rate);
        _exit(0);
    }
    close(lfd);
    return pid;
}

/* ---- what clients look at ------------------------------------------------------------------------------------------ */

static double resident_kib(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    need(f && fscanf(f, "%ld %ld", &all, &pages) == 2, "statm");
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double ctx_kib(const aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return (double)u.used / 1024;
}

#endif
