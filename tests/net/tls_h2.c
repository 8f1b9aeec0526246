/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 of the server: frames by hand, so that it can break every rule. Of the requests' heads nothing is read. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls_server.h"

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

#define MAX_STREAMS 256
#define PIECE 97 /* bytes of a DATA frame, so that replies lie in between each other */

typedef struct stream {
    uint32_t id;
    int64_t window;
    char *reply, body[8192];
    size_t n_body, n_reply, at;
    int64_t due; /* the reply begins, ms */
} stream;

typedef struct session {
    tls_conn *c;
    stream *streams[MAX_STREAMS];
    uint32_t n;
    int64_t window, first_window;
} session;

void tls_frame(tls_conn *c, uint8_t type, uint8_t flags, uint32_t id, const void *p, size_t n)
{
    unsigned char out[9 + 16384] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n, type, flags, (unsigned char)(id >> 24),
        (unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};
    if (n)
        memcpy(out + 9, p, n);
    tls_say(c, out, 9 + n);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint32_t number(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static stream *find(session *s, uint32_t id)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->streams[i]->id == id)
            return s->streams[i];
    return NULL;
}

static void drop(session *s, stream *x)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->streams[i] == x) {
            s->streams[i] = s->streams[--s->n];
            s->c->server->n_live_streams--;
            free(x->reply);
            free(x);
            return;
        }
}

static void give_window(tls_conn *c, uint32_t id, uint32_t n)
{
    const unsigned char more[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
    if (n)
        tls_frame(c, WINDOW, 0, id, more, 4);
}

/* A request is whole. */
static void answer(session *s, stream *x)
{
    static const char head[] = "\x88\x0f\x10\x11text/event-stream"; /* :status 200, content-type */
    tls_server *server = s->c->server;
    server->n_requests++;
    if (s->c->row->h2) {
        s->c->row->h2(s->c, x->id);
        return;
    }
    x->reply = tls_reply(x->body, &x->n_reply);
    x->due = now_ms() + server->delay_ms;
    tls_frame(s->c, HEADERS, END_HEADERS, x->id, head, sizeof head - 1);
}

static void open_stream(session *s, uint32_t id)
{
    stream *x = s->n < MAX_STREAMS ? calloc(1, sizeof *x) : NULL;
    if (!x)
        return;
    int live = ++s->c->server->n_live_streams;
    if (live > s->c->server->most_streams)
        s->c->server->most_streams = live;
    x->id = id;
    x->window = s->first_window;
    s->streams[s->n++] = x;
}

static void read_settings(session *s, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i + 6 <= n; i += 6)
        if (p[i] == 0 && p[i + 1] == 4) {
            for (uint32_t k = 0; k < s->n; k++)
                s->streams[k]->window += (int64_t)number(p + i + 2) - s->first_window;
            s->first_window = number(p + i + 2);
        }
    tls_frame(s->c, SETTINGS, ACK, 0, NULL, 0);
}

static bool take_frame(session *s)
{
    unsigned char h[9], p[16384];
    if (!tls_read(s->c, h, 9))
        return false;
    size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    uint32_t id = number(h + 5) & 0x7fffffff;
    if (n > sizeof p || (n && !tls_read(s->c, p, n)))
        return false;
    if (h[3] == HEADERS)
        open_stream(s, id);
    stream *x = id ? find(s, id) : NULL;
    if (h[3] == DATA && x && x->n_body + n < sizeof x->body) {
        memcpy(x->body + x->n_body, p, n);
        x->n_body += n;
    }
    if (h[3] == DATA)
        give_window(s->c, 0, (uint32_t)n);
    if ((h[3] == DATA || h[3] == HEADERS) && x && h[4] & END_STREAM)
        answer(s, x);
    if (h[3] == SETTINGS && !(h[4] & ACK))
        read_settings(s, p, n);
    if (h[3] == PING && !(h[4] & ACK))
        tls_frame(s->c, PING, ACK, 0, p, n);
    if (h[3] == WINDOW && n == 4)
        *(x ? &x->window : &s->window) += number(p);
    if (h[3] == RST && x)
        drop(s, x);
    return h[3] != GOAWAY;
}

/* A piece of every reply for which there is room; false: there is none. */
static bool send_pieces(session *s)
{
    bool any = false;
    int64_t now = s->c->server->delay_ms ? now_ms() : 0;
    for (uint32_t i = 0; i < s->n;) {
        stream *x = s->streams[i];
        size_t n = x->reply && x->n_reply - x->at < PIECE ? x->n_reply - x->at : PIECE;
        if (!x->reply || (now && x->due > now) || x->window < (int64_t)n || s->window < (int64_t)n) {
            i++;
            continue;
        }
        any = true;
        x->at += n;
        x->window -= (int64_t)n;
        s->window -= (int64_t)n;
        tls_frame(s->c, DATA, x->at == x->n_reply ? END_STREAM : 0, x->id, x->reply + x->at - n, n);
        if (x->at == x->n_reply)
            drop(s, x);
        else
            i++;
    }
    return any;
}

void tls_h2(tls_conn *c)
{
    session s = {.c = c, .window = 65535, .first_window = 65535};
    char preface[24];
    if (tls_read(c, preface, sizeof preface) && !memcmp(preface, "PRI * HTTP/2.0", 14)) {
        const unsigned char many[6] = {0, 3, 0, 0, 1, 0}; /* 256 streams at once */
        tls_frame(c, SETTINGS, 0, 0, many, sizeof many);
        for (bool any = false, up = true; up && !c->broken && !c->silent && !c->server->stop;) {
            struct pollfd p = {.fd = c->fd, .events = POLLIN};
            if (SSL_pending(c->ssl) || poll(&p, 1, any ? 0 : c->server->delay_ms ? 5 : 50) > 0)
                up = take_frame(&s);
            any = send_pieces(&s);
        }
    }
    while (s.n)
        drop(&s, s.streams[0]);
}
