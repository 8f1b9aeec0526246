/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a live run: its process has the store's lock, so it answers for it. Served between events of the run and while its
 * tools run, never waiting for anybody: what a client does costs the run nothing but the work of its requests, which have a bound.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

typedef struct client {
    int fd;          /* -1: the place is free */
    char in[CONTROL_LINE];
    size_t n_in;
    char *out;       /* malloc'd; NULL: nothing is to be written */
    size_t n_out, sent;
    int64_t since;   /* the last time that it got on */
    int n_requests;
    bool last;       /* it ends with the answer */
    bool held;       /* its request waits until the run is not inside */
} client;

struct cli_control {
    int fd;
    struct sockaddr_un at;
    control_scene scene;
    client clients[CONTROL_CLIENTS];
    int64_t second;  /* that these are of */
    int served;      /* requests */
    int64_t spent;   /* milliseconds of the run's time */
};

static cli_control *control_now; /* for tools, which run inside the run */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the socket --------------------------------------------------------------------------------------------------- */

static int fail(aios_error *err, const char *what, const char *path)
{
    err->code = AIOS_EIO;
    err->sys = errno;
    snprintf(err->msg, sizeof err->msg, "control socket %.120s: it cannot be %s: %s", path, what, strerror(errno));
    return err->code;
}

static int listen_at(cli_control *k, aios_error *err)
{
    k->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (k->fd < 0)
        return fail(err, "made", k->at.sun_path);
    control_sweep(&k->at);
    mode_t was = umask(0177); /* 0600 from its first moment */
    int rc = bind(k->fd, (const struct sockaddr *)&k->at, sizeof k->at);
    umask(was);
    if (rc) {
        fail(err, "bound", k->at.sun_path);
        k->at.sun_path[0] = 0; /* it is another's */
        return err->code;
    }
    return listen(k->fd, 2 * CONTROL_CLIENTS) ? fail(err, "listened at", k->at.sun_path) : AIOS_OK;
}

int cli_control_open(const cli *c, aios_ctx *ctx, aios_store *st, cli_control **out, aios_error *err)
{
    cli_control *k = calloc(1, sizeof *k);
    *out = NULL;
    if (!k) {
        err->code = AIOS_ENOMEM;
        return AIOS_ENOMEM;
    }
    k->fd = -1;
    k->scene = (control_scene){.ctx = ctx, .store = st};
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        k->clients[i].fd = -1;
    int rc = control_path(c->store, &k->at, err);
    rc = rc ? rc : listen_at(k, err);
    if (rc) {
        cli_control_close(k);
        return rc;
    }
    control_now = *out = k;
    return AIOS_OK;
}

void cli_control_hook(cli_control *k, const aios_commit_hook *hook)
{
    if (k)
        k->scene.hook = hook;
}

void cli_control_run(cli_control *k, aios_run *run, cli_asks *asks)
{
    if (!k)
        return;
    k->scene.run = run;
    k->scene.asks = asks;
}

static void drop(client *x)
{
    if (x->fd >= 0)
        close(x->fd);
    free(x->out);
    *x = (client){.fd = -1};
}

void cli_control_close(cli_control *k)
{
    if (!k)
        return;
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        drop(&k->clients[i]);
    if (k->fd >= 0 && k->at.sun_path[0])
        unlink(k->at.sun_path);
    if (k->fd >= 0)
        close(k->fd);
    if (control_now == k)
        control_now = NULL;
    free(k);
}

/* ---- a client ----------------------------------------------------------------------------------------------------- */

static void send_some(client *x)
{
    ssize_t n = x->out ? send(x->fd, x->out + x->sent, x->n_out - x->sent, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        drop(x);
        return;
    }
    if (n > 0) {
        x->sent += (size_t)n;
        x->since = now_ms();
    }
    if (x->out && x->sent < x->n_out)
        return;
    free(x->out);
    x->out = NULL;
    if (x->last)
        drop(x);
}

/* Takes the reference. */
static void answer(client *x, json_t *v)
{
    char *s = v ? json_dumps(v, JSON_COMPACT) : NULL;
    size_t n = s ? strlen(s) : 0;
    json_decref(v);
    if (s && n + 1 > CONTROL_ANSWER) {
        free(s);
        s = strdup("{\"ok\":false,\"error\":{\"code\":\"ELIMIT\",\"message\":\"the answer is larger than 16 MiB\",\"have\":0,\"need\":0}}");
        n = s ? strlen(s) : 0;
    }
    if (!s) {
        drop(x);
        return;
    }
    s[n] = '\n'; /* in place of the NUL */
    x->out = s;
    x->n_out = n + 1;
    x->sent = 0;
    x->since = now_ms();
    send_some(x);
}

static void refuse(client *x, int code, const char *why)
{
    aios_error err = AIOS_INIT(aios_error);
    err.code = code;
    snprintf(err.msg, sizeof err.msg, "%s", why);
    x->last = true;
    answer(x, json_pack("{s:b,s:o}", "ok", 0, "error", cli_error_json(&err)));
}

/* Whoever asks much or for much waits for the next second, not the run. */
static bool too_fast(cli_control *k)
{
    int64_t second = now_ms() / 1000;
    if (second != k->second) {
        k->second = second;
        k->served = 0;
        k->spent = 0;
    }
    return k->served >= CONTROL_RATE || k->spent >= CONTROL_SHARE_MS;
}

/* NULL: it waits until the run is not inside. */
static json_t *work_on(cli_control *k, const client *x, size_t n)
{
    int64_t began = now_ms();
    json_t *v = control_answer(&k->scene, x->in, n);
    k->spent += now_ms() - began;
    k->served += v != NULL;
    return v;
}

/* One request, if there is a whole one. */
static void take_line(cli_control *k, client *x)
{
    const char *end = memchr(x->in, '\n', x->n_in);
    size_t n = end ? (size_t)(end - x->in) : 0;
    if (!end) {
        if (x->n_in == sizeof x->in)
            refuse(x, AIOS_ELIMIT, "a request is one line of at most 4096 bytes");
        return;
    }
    if (x->n_requests == CONTROL_REQUESTS || too_fast(k)) {
        refuse(x, AIOS_ERATE, "too many requests: wait a second");
        return;
    }
    json_t *v = work_on(k, x, n);
    x->held = !v;
    if (!v)
        return;
    x->n_requests++;
    x->n_in -= n + 1;
    memmove(x->in, end + 1, x->n_in);
    answer(x, v);
}

static void serve_client(cli_control *k, client *x)
{
    ssize_t n = x->n_in < sizeof x->in ? recv(x->fd, x->in + x->n_in, sizeof x->in - x->n_in, MSG_DONTWAIT) : 1;
    bool over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n > 0 && x->n_in < sizeof x->in)
        x->n_in += (size_t)n;
    for (int i = 0; i < 4 && x->fd >= 0 && !x->out && x->n_in; i++) {
        size_t before = x->n_in;
        take_line(k, x);
        if (x->fd < 0 || x->n_in == before)
            break;
    }
    if (x->fd >= 0 && x->out)
        send_some(x);
    if (x->fd < 0)
        return;
    if (over && x->out)
        x->last = true; /* it said all it had to say, and gets its answer */
    else if ((over && !x->held) || (!x->held && now_ms() - x->since > CONTROL_IDLE_MS))
        drop(x);
}

/* ---- all of them -------------------------------------------------------------------------------------------------- */

static client *place_for_one(cli_control *k)
{
    client *oldest = NULL;
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        client *x = &k->clients[i];
        if (x->fd < 0)
            return x;
        if (!x->held && (!oldest || x->since < oldest->since))
            oldest = x;
    }
    if (oldest)
        drop(oldest);
    return oldest;
}

static void accept_some(cli_control *k)
{
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        long pid;
        int fd = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        client *x = control_peer(fd, &pid) ? place_for_one(k) : NULL;
        if (!x) {
            close(fd);
            continue;
        }
        *x = (client){.fd = fd, .since = now_ms()};
        serve_client(k, x);
    }
}

void cli_control_serve(cli_control *k, bool inside)
{
    if (!k)
        return;
    k->scene.inside = inside;
    accept_some(k);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        if (k->clients[i].fd >= 0)
            serve_client(k, &k->clients[i]);
}

void cli_control_inside(void)
{
    cli_control_serve(control_now, true);
}

int cli_control_poll(const cli_control *k, struct pollfd *p, int *timeout_ms)
{
    int n = 0;
    if (!k)
        return 0;
    p[n++] = (struct pollfd){.fd = k->fd, .events = POLLIN};
    for (int i = 0; i < CONTROL_CLIENTS; i++) {
        const client *x = &k->clients[i];
        if (x->fd < 0)
            continue;
        p[n++] = (struct pollfd){.fd = x->fd, .events = x->out ? POLLOUT : POLLIN};
        *timeout_ms = *timeout_ms < 0 || *timeout_ms > CONTROL_IDLE_MS ? CONTROL_IDLE_MS : *timeout_ms;
    }
    return n;
}
