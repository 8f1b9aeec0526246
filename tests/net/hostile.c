/* SPDX-License-Identifier: Apache-2.0 */
#include "hostile.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#define MAX_PEERS 512
#define FLAT ((size_t)64 << 10) /* what is changed at random must be no longer */

/* One connection. */
typedef struct peer {
    int fd;
    const hostile_row *row;
    uint32_t serial;
    char *head, *tail; /* of this connection, or NULL */
    size_t n_head, n_tail;
    uint64_t at, n_all; /* bytes sent, and how many there are */
    uint64_t cut;       /* reset behind so many */
    int64_t due;        /* not before, ns */
    uint32_t n_answers;
    size_t n_req, n_body; /* of the request: seen, still to come */
    char req[HOSTILE_REQUEST];
    uint8_t talking, closing, watched;
} peer;

typedef struct server {
    const hostile *h;
    int ep;
    peer *peers[MAX_PEERS];
    uint32_t n_peers;
    uint64_t random;
} server;

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t hostile_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* ---- what a connection says ---------------------------------------------------------------------------------------- */

/* A copy with the quotes, the trap's port and the connection's number put in. */
static char *written(const server *s, const peer *p, hostile_bytes b)
{
    char *out = malloc(b.n + 1), text[16];
    if (!out)
        _exit(3);
    memcpy(out, b.p ? b.p : "", b.n);
    out[b.n] = 0;
    for (size_t i = 0; i < b.n && !(p->row->flags & HOSTILE_RAW); i++)
        out[i] = out[i] == '\'' ? '"' : out[i];
    snprintf(text, sizeof text, "%05u", s->h->trap);
    for (char *at = out; b.n >= 5 && (at = memmem(at, (size_t)(out + b.n - at), "@@@@@", 5)); at += 5)
        memcpy(at, text, 5);
    snprintf(text, sizeof text, "%08u", p->serial % 100000000);
    for (char *at = out; b.n >= 8 && (at = memmem(at, (size_t)(out + b.n - at), "########", 8)); at += 8)
        memcpy(at, text, 8);
    return out;
}

/* The request behind the head, escaped. */
static void echo(peer *p)
{
    size_t n = strlen(p->req);
    char *out = realloc(p->head, p->n_head + 2 * n + 1);
    if (!out)
        _exit(3);
    for (size_t i = 0; i < n; i++) {
        char c = p->req[i];
        if (c == '"' || c == '\\' || c == '\n')
            out[p->n_head++] = '\\';
        if (c != '\r')
            out[p->n_head++] = c == '\n' ? 'n' : c;
    }
    p->head = out;
}

static void put_range(char *s, size_t *n, size_t max, size_t at, const char *what, size_t len)
{
    if (*n + len > max)
        return;
    memmove(s + at + len, s + at, *n - at);
    memcpy(s + at, what, len);
    *n += len;
}

void hostile_mutate(char *s, size_t *n, size_t max, uint64_t seed)
{
    static const hostile_bytes what[] = {{"\0", 1}, {"\r", 1}, {"\n", 1}, {"\r\n\r\n", 4}, {"\n\n", 2}, {"data:", 5}, {"data: [DONE]\n\n", 14},
        {"\xff", 1},
        {"\xe2\x82", 2}, {"{", 1}, {"}", 1}, {"[[", 2}, {"\"", 1}, {"\\ud800", 6}, {"-1", 2}, {"9e99", 4}, {"null", 4}, {":", 1},
            {"\xef\xbb\xbf", 3},
        {"HTTP/1.1 200 OK\r\n\r\n", 19}, {"Content-Length: 3\r\n", 19}, {"Transfer-Encoding: chunked\r\n", 28}, {"event: error\n", 13},
            {"\"error\":{},", 11}};
    for (uint64_t i = 0, k = 1 + hostile_mix(seed) % 4; i < k && *n; i++) {
        uint64_t r = hostile_mix(seed + 7 * i + 1), op = r % 6;
        size_t at = hostile_mix(r) % *n, len = 1 + hostile_mix(r + 1) % 16;
        const hostile_bytes *w = &what[hostile_mix(r + 2) % (sizeof what / sizeof what[0])];
        len = len < *n - at ? len : *n - at;
        if (op == 0)
            s[at] ^= (char)(1 << r % 8);
        else if (op == 1) {
            memmove(s + at, s + at + len, *n - at - len);
            *n -= len;
        } else if (op == 2) {
            char part[16];
            memcpy(part, s + at, len);
            put_range(s, n, max, hostile_mix(r + 3) % *n, part, len);
        } else if (op == 3)
            s[at] = (char)hostile_mix(r + 4);
        else
            put_range(s, n, max, at, w->p, w->n);
    }
}

/* All in one piece, with mistakes. */
static void flatten(peer *p, uint64_t seed)
{
    char *all = malloc(FLAT);
    size_t n = p->n_head;
    if (!all)
        _exit(3);
    if (p->n_all > FLAT / 2) {
        free(all);
        return;
    }
    memcpy(all, p->head, p->n_head);
    for (uint64_t i = 0; i < p->row->times; i++, n += p->row->loop.n)
        memcpy(all + n, p->row->loop.p, p->row->loop.n);
    memcpy(all + n, p->tail, p->n_tail);
    n += p->n_tail;
    hostile_mutate(all, &n, FLAT, seed);
    free(p->head);
    free(p->tail);
    p->head = all;
    p->tail = NULL;
    p->n_head = p->n_all = n;
    p->n_tail = 0;
}

/* An answer begins. */
static void begin(server *s, peer *p)
{
    hostile_shared *sh = s->h->shared;
    uint32_t nth = sh->n_requests++;
    if (p->row->then && nth)
        p->row = hostile_find(p->row->then);
    p->serial = sh->serial++;
    free(p->head);
    free(p->tail);
    p->head = written(s, p, p->row->head);
    p->tail = written(s, p, p->row->tail);
    p->n_head = p->row->head.n;
    p->n_tail = p->row->tail.n;
    if (p->row->flags & HOSTILE_ECHO)
        echo(p);
    p->at = 0;
    p->n_all = p->row->times == HOSTILE_FOREVER ? UINT64_MAX : p->n_head + p->row->times * p->row->loop.n + p->n_tail;
    if (sh->mutate_seed)
        flatten(p, hostile_mix(sh->mutate_seed + p->serial));
    uint64_t r = hostile_mix(sh->cut_seed + p->serial);
    p->cut = sh->cut_seed && r % 4 ? hostile_mix(r) % p->n_all : UINT64_MAX;
    p->talking = 1;
    p->due = 0;
}

/* The bytes from p->at on, at most max. */
static size_t bytes_at(const peer *p, char *out, size_t max)
{
    const hostile_row *row = p->row;
    uint64_t at = p->at, n_loop = p->n_all == UINT64_MAX ? UINT64_MAX : p->n_all - p->n_head - p->n_tail;
    size_t n = 0;
    while (n < max && at < p->n_all) {
        const char *from;
        size_t len;
        if (at < p->n_head) {
            from = p->head + at;
            len = p->n_head - at;
        } else if (at - p->n_head < n_loop) {
            size_t k = (at - p->n_head) % row->loop.n;
            from = row->loop.p + k;
            len = row->loop.n - k;
        } else {
            from = p->tail + (at - p->n_head - n_loop);
            len = p->n_all - at;
        }
        len = len < max - n ? len : max - n;
        memcpy(out + n, from, len);
        for (size_t i = n; i < n + len && !(row->flags & HOSTILE_RAW); i++)
            out[i] = out[i] == '\'' ? '"' : out[i];
        n += len;
        at += len;
    }
    return n;
}

/* ---- connections --------------------------------------------------------------------------------------------------- */

static void drop(server *s, peer *p, int reset)
{
    struct linger hard = {1, 0};
    if (reset)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(p->fd);
    free(p->head);
    free(p->tail);
    for (uint32_t i = 0; i < s->n_peers; i++)
        if (s->peers[i] == p)
            s->peers[i] = s->peers[--s->n_peers];
    free(p);
}

static void watch(server *s, peer *p, int writing)
{
    struct epoll_event ev = {.events = (p->row->flags & HOSTILE_DEAF ? 0 : EPOLLIN) | (writing ? EPOLLOUT : 0), .data.ptr = p};
    epoll_ctl(s->ep, p->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->fd, &ev);
    p->watched = 1;
}

/* Behind the last byte; false: p is gone. */
static int finish(server *s, peer *p)
{
    p->talking = 0;
    watch(s, p, 0);
    if (p->row->end == HOSTILE_RESET || p->at >= p->cut) {
        drop(s, p, 1);
        return 0;
    }
    if (p->row->end == HOSTILE_CLOSE) {
        shutdown(p->fd, SHUT_WR);
        p->closing = 1;
    }
    return 1;
}

/* Sends what may be sent now; false: p is gone. */
static int talk(server *s, peer *p)
{
    char buf[32768];
    while (p->talking && now_ns() >= p->due) {
        uint64_t end = p->n_all < p->cut ? p->n_all : p->cut, max = end - p->at;
        uint32_t paced = p->row->pace_ms && p->at >= p->row->at_once;
        if (!max)
            return finish(s, p);
        if (p->row->pace_ms && !paced && max > p->row->at_once - p->at)
            max = p->row->at_once - p->at;
        if (p->row->piece && (paced || !p->row->pace_ms) && max > p->row->piece)
            max = p->row->piece;
        size_t n = bytes_at(p, buf, max < sizeof buf ? (size_t)max : sizeof buf);
        ssize_t r = send(p->fd, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0 && errno == EAGAIN) {
            watch(s, p, 1);
            return 1;
        }
        if (r <= 0) {
            drop(s, p, 0);
            return 0;
        }
        p->at += (uint64_t)r;
        if (p->row->pace_ms && p->at >= p->row->at_once)
            p->due = now_ns() + (int64_t)p->row->pace_ms * 1000000;
    }
    if (p->talking)
        watch(s, p, 0);
    return 1;
}

/* Notes n bytes of a request; true once one is whole. */
static int heard(server *s, peer *p, const char *buf, size_t n)
{
    if (p->n_body || p->n_req >= sizeof p->req - 1) {
        p->n_body -= n < p->n_body ? n : p->n_body;
        return !p->n_body;
    }
    size_t k = n < sizeof p->req - 1 - p->n_req ? n : sizeof p->req - 1 - p->n_req;
    memcpy(p->req + p->n_req, buf, k);
    p->n_req += k;
    p->req[p->n_req] = 0;
    const char *end = strstr(p->req, "\r\n\r\n"), *cl = strcasestr(p->req, "\ncontent-length:");
    if (!end)
        return 0;
    size_t want = (size_t)(end + 4 - p->req) + (cl && cl < end ? strtoul(cl + 16, NULL, 10) : 0), have = p->n_req + n - k;
    p->n_body = want > have ? want - have : 0;
    memcpy(s->h->shared->request, p->req, p->n_req + 1);
    return !p->n_body;
}

static void on_readable(server *s, peer *p)
{
    char buf[32768];
    ssize_t r = recv(p->fd, buf, sizeof buf, MSG_DONTWAIT);
    if (r < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (r <= 0) {
        drop(s, p, 0);
        return;
    }
    if (p->closing || (p->row->flags & (HOSTILE_EAGER | HOSTILE_TLS) && p->n_answers) || !heard(s, p, buf, (size_t)r))
        return;
    p->n_req = 0;
    if (p->row->flags & HOSTILE_EAGER || (p->talking && p->n_answers))
        return;
    p->n_answers++;
    begin(s, p);
    talk(s, p);
}

static void on_connection(server *s, int listener)
{
    hostile_shared *sh = s->h->shared;
    int fd = accept(listener, NULL, NULL), on = 1;
    if (fd < 0)
        return;
    peer *p = s->n_peers < MAX_PEERS ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        close(fd);
        return;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    p->fd = fd;
    p->row = hostile_at(sh->row);
    s->peers[s->n_peers++] = p;
    sh->n_connections++;
    watch(s, p, 0);
    if (p->row->flags & (HOSTILE_EAGER | HOSTILE_DEAF | HOSTILE_TLS)) {
        p->n_answers = 1;
        begin(s, p);
        talk(s, p);
    }
}

/* ---- the loop ------------------------------------------------------------------------------------------------------- */

static int until_due(const server *s, int64_t end)
{
    int64_t now = now_ns(), left = end - now;
    for (uint32_t i = 0; i < s->n_peers; i++)
        if (s->peers[i]->talking && s->peers[i]->due && s->peers[i]->due - now < left)
            left = s->peers[i]->due - now;
    return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

static void talk_all(server *s)
{
    int64_t now = now_ns();
    for (uint32_t i = 0; i < s->n_peers;) {
        peer *p = s->peers[i];
        int due = p->talking && p->due && p->due <= now;
        if (due && !talk(s, p))
            continue; /* another one is here now */
        i++;
    }
}

/* False: the listeners' owner is gone. */
static int on_event(server *s, const struct epoll_event *ev, int *listener, int *trap, int *life)
{
    if (ev->data.ptr == life)
        return 0;
    if (ev->data.ptr == listener)
        on_connection(s, *listener);
    else if (ev->data.ptr == trap) {
        s->h->shared->n_trapped++;
        close(accept(*trap, NULL, NULL));
    } else {
        peer *p = ev->data.ptr;
        uint32_t i = 0;
        while (i < s->n_peers && s->peers[i] != p)
            i++;
        if (i == s->n_peers)
            return 1; /* gone in this round */
        if (p->row->flags & HOSTILE_DEAF && ev->events & (EPOLLHUP | EPOLLERR))
            drop(s, p, 0);
        else if (ev->events & EPOLLOUT && !talk(s, p))
            return 1;
        else if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !(p->row->flags & HOSTILE_DEAF))
            on_readable(s, p);
    }
    return 1;
}

void hostile_serve(const hostile *h, int listener, int trap, int life, unsigned seconds)
{
    server s = {.h = h, .ep = epoll_create1(EPOLL_CLOEXEC)};
    int *const fds[] = {&listener, &trap, &life};
    int64_t end = now_ns() + (int64_t)seconds * 1000000000;
    for (int i = 0; i < 3; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fds[i]};
        if (epoll_ctl(s.ep, EPOLL_CTL_ADD, *fds[i], &ev))
            _exit(2);
    }
    while (now_ns() < end) {
        struct epoll_event ev[64];
        int n = epoll_wait(s.ep, ev, 64, until_due(&s, end));
        if (n < 0 && errno != EINTR)
            break;
        for (int i = 0; i < n; i++)
            if (!on_event(&s, &ev[i], &listener, &trap, &life))
                _exit(0);
        talk_all(&s);
    }
    _exit(0);
}

/* ---- starting and choosing ------------------------------------------------------------------------------------------ */

static int listen_at(uint16_t *port, int backlog)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, backlog) || getsockname(fd, (struct sockaddr *)&a, &n))
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

/* Nobody accepts, and the queue is full: whoever comes waits for ever. */
static int dig_hole(uint16_t *port)
{
    int fd = listen_at(port, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*port)};
    for (int i = 0; fd >= 0 && i < 4; i++) {
        int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c < 0 || (connect(c, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS))
            return -1;
    }
    return fd;
}

int hostile_start(hostile *h, unsigned seconds)
{
    int life[2], closed = listen_at(&h->closed, 1), listener = listen_at(&h->port, 256), trap = listen_at(&h->trap, 64);
    h->shared = mmap(NULL, sizeof *h->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (closed < 0 || listener < 0 || trap < 0 || h->shared == MAP_FAILED || pipe(life))
        return -1;
    close(closed);
    fcntl(life[1], F_SETFD, FD_CLOEXEC);
    fflush(NULL);
    h->pid = fork();
    if (h->pid < 0)
        return -1;
    if (!h->pid) {
        close(life[1]);
        if (dig_hole(&h->hole) < 0)
            _exit(2);
        h->shared->n_connections = h->hole; /* the first word to the parent */
        hostile_serve(h, listener, trap, life[0], seconds);
    }
    close(listener);
    close(trap);
    close(life[0]);
    h->life = life[1];
    for (int i = 0; i < 5000 && !h->shared->n_connections; i++)
        usleep(1000);
    h->hole = (uint16_t)h->shared->n_connections;
    return h->hole ? 0 : -1;
}

void hostile_stop(hostile *h)
{
    close(h->life);
    kill(h->pid, SIGKILL);
    waitpid(h->pid, NULL, 0);
    munmap(h->shared, sizeof *h->shared);
}

void hostile_choose(hostile *h, const hostile_row *row)
{
    for (uint32_t i = 0; hostile_at(i); i++)
        if (hostile_at(i) == row)
            h->shared->row = i;
    h->shared->n_connections = h->shared->n_requests = h->shared->n_trapped = 0;
    h->shared->request[0] = 0;
}

void hostile_url(const hostile *h, const hostile_row *row, char out[64])
{
    uint32_t f = row->flags;
    snprintf(out, 64, "http%s://127.0.0.1:%u", f & HOSTILE_TLS ? "s" : "", f & HOSTILE_HOLE ? h->hole : f & HOSTILE_CLOSED ? h->closed :
        h->port);
}

void hostile_text(uint32_t serial, char *out, size_t n)
{
    size_t at = 0;
    for (int i = 0; i < HOSTILE_TOKENS; i++)
        at += (size_t)snprintf(out + at, n - at, "%08u-%02d ", serial % 100000000, i);
}

const hostile_row *hostile_at(uint32_t i)
{
    const hostile_row *const tables[] = {hostile_http, hostile_status, hostile_chat};
    for (int t = 0; t < 3; t++)
        for (const hostile_row *r = tables[t]; r->name; r++)
            if (!i--)
                return r;
    return NULL;
}

const hostile_row *hostile_find(const char *name)
{
    const hostile_row *r;
    for (uint32_t i = 0; (r = hostile_at(i)); i++)
        if (!strcmp(r->name, name))
            return r;
    return NULL;
}
