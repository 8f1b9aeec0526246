/* SPDX-License-Identifier: Apache-2.0 */
/* Starts tests/net/serve.c beside a test, and ends it. */
#ifndef AIOS_TEST_SERVE_H
#define AIOS_TEST_SERVE_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct test_server {
    pid_t pid;
    int in; /* the server ends when this is closed */
    int port;
} test_server;

/** Serves a model by program, at this port (0: any); its port, 0 if it did not start. */
static inline int serve_start_at(test_server *s, const char *program, const char *model, int port)
{
    int in[2], out[2];
    char at[16];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
        return 0;
    snprintf(at, sizeof at, "%d", port);
    s->pid = fork();
    if (!s->pid) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        execl(program, program, model, at, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    s->in = in[1];
    FILE *f = fdopen(out[0], "r");
    if (!f || fscanf(f, "%d", &s->port) != 1)
        s->port = 0;
    if (f)
        fclose(f);
    return s->port;
}

static inline int serve_start(test_server *s, const char *program, const char *model)
{
    return serve_start_at(s, program, model, 0);
}

static inline void serve_stop(test_server *s)
{
    close(s->in);
    waitpid(s->pid, NULL, 0);
}

/** In the middle of whatever it does. */
static inline void serve_kill(test_server *s)
{
    kill(s->pid, SIGKILL);
    serve_stop(s);
}

#endif
