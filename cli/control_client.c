/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the process that holds a store. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "control.h"

static int fail(aios_error *err, int code, const char *what, int sys)
{
    err->code = code;
    err->sys = sys;
    snprintf(err->msg, sizeof err->msg, "%s%s%s", what, sys ? ": " : "", sys ? strerror(sys) : "");
    return code;
}

static int connect_to(const struct sockaddr_un *at, int *fd, long *pid, aios_error *err)
{
    struct timeval wait = {.tv_sec = CONTROL_WAIT_S};
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return fail(err, AIOS_EIO, "a socket", errno);
    setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    if (connect(*fd, (const struct sockaddr *)at, sizeof *at))
        return errno == ENOENT || errno == ECONNREFUSED ? fail(err, AIOS_EUNAVAIL, "that process answers no questions: it is no `aios agent`", 0)
                                                        : fail(err, AIOS_EIO, "the process cannot be asked", errno);
    return control_peer(*fd, pid) ? AIOS_OK : fail(err, AIOS_EDENIED, "another user listens at the control socket", 0);
}

static int send_line(int fd, const json_t *q, aios_error *err)
{
    char *s = json_dumps(q, JSON_COMPACT);
    size_t n = s ? strlen(s) : 0, at = 0;
    if (!s)
        return fail(err, AIOS_ENOMEM, "a request", 0);
    s[n] = '\n'; /* in place of the NUL */
    while (at <= n) {
        ssize_t k = send(fd, s + at, n + 1 - at, MSG_NOSIGNAL);
        if (k <= 0 && errno != EINTR)
            break;
        at += k > 0 ? (size_t)k : 0;
    }
    free(s);
    return at > n ? AIOS_OK : fail(err, AIOS_EIO, "the process that holds the store takes no request", errno);
}

static int read_line(int fd, cli_text *out, aios_error *err)
{
    char piece[65536];
    while (!out->n || out->p[out->n - 1] != '\n') {
        ssize_t k = recv(fd, piece, sizeof piece, 0);
        if (k < 0 && errno == EINTR && !cli_interrupted())
            continue;
        if (k < 0)
            return errno == EAGAIN ? fail(err, AIOS_ETIMEDOUT, "the process that holds the store does not answer", 0)
                                   : fail(err, AIOS_EIO, "the answer cannot be read", errno);
        if (!k)
            return fail(err, AIOS_EIO, "the process that holds the store ended before it answered", 0);
        if (out->n + (size_t)k > CONTROL_ANSWER)
            return fail(err, AIOS_ELIMIT, "the answer is larger than 16 MiB", 0);
        if (cli_gather(out, piece, (size_t)k))
            return fail(err, AIOS_ENOMEM, "an answer", 0);
    }
    return AIOS_OK;
}

/* What the other end says of its failure. */
static int read_failure(const json_t *v, aios_error *err)
{
    const json_t *e = json_object_get(v, "error");
    const char *name = json_string_value(json_object_get(e, "code")), *msg = json_string_value(json_object_get(e, "message"));
    err->code = AIOS_EPROTO;
    for (int code = -1; name && code > -200; code--)
        if (!strcmp(aios_code_name(code), name))
            err->code = code;
    snprintf(err->msg, sizeof err->msg, "%s", msg ? msg : "the process that holds the store refused without saying why");
    return err->code;
}

int cli_control_ask(const char *uri, const json_t *q, json_t **out, long *pid, aios_error *err)
{
    struct sockaddr_un at;
    cli_text line = {0};
    int fd = -1, rc = control_path(uri, &at, err);
    *out = NULL;
    *pid = 0;
    rc = rc ? rc : connect_to(&at, &fd, pid, err);
    rc = rc ? rc : send_line(fd, q, err);
    rc = rc ? rc : read_line(fd, &line, err);
    if (!rc && !(*out = json_loadb(line.p, line.n, 0, NULL)))
        rc = fail(err, AIOS_EPROTO, "the answer is no JSON", 0);
    if (!rc && !json_is_true(json_object_get(*out, "ok"))) {
        rc = read_failure(*out, err);
        json_decref(*out);
        *out = NULL;
    }
    if (fd >= 0)
        close(fd);
    free(line.p);
    return rc;
}

void cli_control_sweep(const char *uri)
{
    struct sockaddr_un at;
    aios_error err = AIOS_INIT(aios_error);
    if (!control_path(uri, &at, &err))
        control_sweep(&at);
}
