/* SPDX-License-Identifier: Apache-2.0 */
/* Tools that are programs: argv without a shell, arguments as JSON on standard input, the result from standard output. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

#define MAX_OUTPUT ((size_t)1 << 20)
#define MAX_ARGV 64
extern char **environ;

typedef struct command_tool {
    json_t *row; /* owns the strings */
    char *argv[MAX_ARGV + 1];
} command_tool;

typedef struct child {
    pid_t pid;
    int in, out;
} child;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int start_child(command_tool *t, child *c)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
        int e = errno;
        close_fd(&in[0]);
        close_fd(&in[1]);
        return e;
    }
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&fa, out[1], STDOUT_FILENO);
    posix_spawnattr_init(&at);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&at, 0);
    int rc = posix_spawnp(&c->pid, t->argv[0], &fa, &at, t->argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    close_fd(&in[0]);
    close_fd(&out[1]);
    c->in = in[1];
    c->out = out[0];
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    if (rc) {
        close_fd(&c->in);
        close_fd(&c->out);
    }
    return rc;
}

/* Feeds the arguments and gathers the output until the child closes it, or the call is cancelled. */
static const char *talk(child *c, aios_call *call, char *buf, size_t *n)
{
    const char *args = aios_call_args(call);
    size_t left = strlen(args);
    *n = 0;
    while (c->out >= 0) {
        struct pollfd p[2] = {{.fd = c->out, .events = POLLIN}, {.fd = c->in, .events = POLLOUT}};
        if (aios_call_cancelled(call))
            return "it was stopped: cancelled or out of time";
        int ready = poll(p, 2, 50);
        if (ready <= 0)
            continue;
        if (c->in >= 0 && p[1].revents) {
            ssize_t w = left ? write(c->in, args, left) : 0;
            if (w > 0)
                args += w, left -= (size_t)w;
            if (!left || (w < 0 && errno != EAGAIN && errno != EINTR))
                close_fd(&c->in);
        }
        if (p[0].revents) {
            if (*n == MAX_OUTPUT)
                return "it printed more than 1 MiB";
            ssize_t r = read(c->out, buf + *n, MAX_OUTPUT - *n);
            if (r > 0)
                *n += (size_t)r;
            else if (r == 0 || errno != EINTR)
                close_fd(&c->out);
        }
    }
    return NULL;
}

static int run_command(void *user, aios_call *call)
{
    command_tool *t = user;
    child c = {.in = -1, .out = -1};
    char msg[256] = "", *buf = malloc(MAX_OUTPUT);
    size_t n = 0;
    int status = 0, rc = buf ? start_child(t, &c) : ENOMEM;
    if (rc) {
        snprintf(msg, sizeof msg, "%.100s cannot be started: %s", t->argv[0], strerror(rc));
    } else {
        const char *bad = talk(&c, call, buf, &n);
        close_fd(&c.in);
        close_fd(&c.out);
        if (bad)
            kill(-c.pid, SIGKILL);
        while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
            ;
        if (bad)
            snprintf(msg, sizeof msg, "%.100s: %s", t->argv[0], bad);
        else if (WIFSIGNALED(status))
            snprintf(msg, sizeof msg, "%.100s was ended by signal %d", t->argv[0], WTERMSIG(status));
        else if (WEXITSTATUS(status))
            snprintf(msg, sizeof msg, "%.100s failed with exit code %d: %.80s", t->argv[0], WEXITSTATUS(status), n && n < 80 ? (buf[n] = 0, buf) : "");
    }
    rc = msg[0] ? aios_call_finish(call, AIOS_ETOOL, msg, AIOS_CSTR) : aios_call_finish(call, AIOS_OK, buf, memchr(buf, 0, n) ? strlen(buf) : n);
    free(buf);
    return rc;
}

static void release_command(void *user)
{
    command_tool *t = user;
    json_decref(t->row);
    free(t);
}

static int read_effect(const char *s)
{
    static const struct {
        const char *name;
        int effect;
    } effects[] = {{"read", AIOS_EFFECT_READ}, {"pure", AIOS_EFFECT_READ}, {"local", AIOS_EFFECT_LOCAL}, {"keyed", AIOS_EFFECT_KEYED}, {"unsafe", AIOS_EFFECT_UNSAFE}};
    for (size_t i = 0; s && i < sizeof effects / sizeof *effects; i++)
        if (!strcmp(s, effects[i].name))
            return effects[i].effect;
    return s ? -1 : AIOS_EFFECT_UNSAFE;
}

static int fill_argv(command_tool *t, json_t *words, const char *path, size_t index)
{
    size_t i;
    json_t *arg;
    if (json_is_string(words))
        t->argv[0] = (char *)(uintptr_t)json_string_value(words);
    else if (json_array_size(words) > MAX_ARGV)
        return cli_usage("%s: tool %zu has more than %d words in command", path, index, MAX_ARGV);
    json_array_foreach(words, i, arg) {
        if (!json_is_string(arg))
            return cli_usage("%s: tool %zu: command must be strings", path, index);
        t->argv[i] = (char *)(uintptr_t)json_string_value(arg);
    }
    return t->argv[0] ? 0 : cli_usage("%s: tool %zu has no command (an array of strings)", path, index);
}

static int add_command(aios_toolset *ts, const char *path, json_t *row, size_t index)
{
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_error err = AIOS_INIT(aios_error);
    json_t *schema = json_object_get(row, "parameters"), *effect = json_object_get(row, "effect");
    command_tool *t = calloc(1, sizeof *t);
    if (!t)
        return EXIT_FAIL;
    t->row = json_incref(row);
    int rc = fill_argv(t, json_object_get(row, "command"), path, index);
    char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;
    tool.name = json_string_value(json_object_get(row, "name"));
    tool.description = json_string_value(json_object_get(row, "description"));
    tool.schema_json = text;
    tool.effect = read_effect(json_string_value(effect));
    tool.fn = run_command;
    tool.user = t;
    tool.release = release_command;
    if (!rc && (tool.effect < 0 || (effect && !json_is_string(effect))))
        rc = cli_usage("%s: tool %zu: effect must be read, local, keyed or unsafe", path, index);
    if (!rc && aios_toolset_add(ts, &tool, &err))
        rc = cli_fail(path, &err);
    free(text);
    if (rc)
        release_command(t);
    return rc;
}

int cli_tools_command(aios_toolset *ts, const char *path)
{
    json_error_t je;
    size_t i, n;
    json_t *row;
    char *s = cli_read_file(path, &n);
    if (!s)
        return EXIT_USAGE;
    json_t *doc = json_loadb(s, n, JSON_REJECT_DUPLICATES, &je);
    free(s);
    signal(SIGPIPE, SIG_IGN); /* a tool may close its input early */
    int rc = json_is_array(doc) ? 0 : cli_usage("%s must hold a JSON array of tools%s%s", path, doc ? "" : ": ", doc ? "" : je.text);
    json_array_foreach(doc, i, row) {
        if (rc)
            break;
        rc = add_command(ts, path, row, i);
    }
    json_decref(doc);
    return rc;
}
