/* SPDX-License-Identifier: Apache-2.0 */
/* The server of bench_http and bench_streams: chunks as OpenAI's API has them, a token each, stamped with its clock; over TLS with BENCH_TLS. */
#ifndef AIOS_BENCH_STREAM_SERVER_H
#define AIOS_BENCH_STREAM_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#ifdef BENCH_TLS
#include "net/tls_server.h"
static tls_server tls = {.row = &(const tls_row){.name = "bench"}};
#endif

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
#ifdef BENCH_TLS
    SSL *ssl; /* NULL: none */
#endif
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

/* Over TLS they wait for the socket. */
static ssize_t say(peer *p, const char *s, size_t n)
{
#ifdef BENCH_TLS
    if (p->ssl)
        return SSL_write(p->ssl, s, (int)n);
#endif
    return send(p->fd, s, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static ssize_t hear(peer *p, char *s, size_t n)
{
#ifdef BENCH_TLS
    if (p->ssl)
        return SSL_read(p->ssl, s, (int)n);
#endif
    return recv(p->fd, s, n, 0);
}

/* Sends one chunk, or what is left of one; 0: the socket is full. */
static int send_chunk(peer *p, unsigned n_tokens)
{
    if (p->at == p->n)
        make_chunk(p, n_tokens);
    ssize_t r = say(p, p->text + p->at, p->n - p->at);
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

static void shake_hands(peer *p)
{
#ifdef BENCH_TLS
    p->ssl = SSL_new(tls.ctx[CERT_GOOD]);
    SSL_set_fd(p->ssl, p->fd);
    need(SSL_accept(p->ssl) == 1, "TLS");
#else
    need(!p, "TLS");
#endif
}

/* Takes a connection and its request, and answers with the head. */
static void greet(int lfd, peer *p, int over_tls)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    char text[8192];
    size_t n = 0;
    p->fd = accept(lfd, NULL, NULL);
    need(p->fd >= 0, "accept");
    if (over_tls)
        shake_hands(p);
    for (;;) {
        ssize_t r = hear(p, text + n, sizeof text - 1 - n);
        if (r <= 0)
            break;
        n += (size_t)r;
        text[n] = 0;
        const char *end = strstr(text, "\r\n\r\n"), *len = strcasestr(text, "content-length:");
        if (end && n >= (size_t)(end + 4 - text) + (len ? strtoul(len + 15, NULL, 10) : 0))
            break;
    }
    need(say(p, head, sizeof head - 1) > 0, "send");
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

static void part(peer *p)
{
    char c;
#ifdef BENCH_TLS
    if (p->ssl)
        SSL_shutdown(p->ssl);
#endif
    shutdown(p->fd, SHUT_WR);
    while (recv(p->fd, &c, 1, 0) > 0)
        ;
}

static void serve(int lfd, unsigned n_streams, unsigned n_tokens, double rate, int over_tls)
{
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < n_streams; i++)
        greet(lfd, &peers[i], over_tls);
    usleep(start_us(n_streams));
    if (rate > 0)
        drip(n_streams, n_tokens, rate);
    else
        pour(n_streams, n_tokens);
    for (unsigned i = 0; i < n_streams; i++)
        part(&peers[i]);
}

#endif
