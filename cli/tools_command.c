/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tools that are programs: argv without a shell, arguments as JSON on standard input, the result from standard output. What one writes to
 * standard error goes on to ours, line by line with its name.
 */
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
#define COMMAND_FORM "an array of strings, the program and its arguments, such as [\"python3\", \"shout.py\"]"
#define STOPPED "it was stopped: cancelled or out of time"
extern char **environ;

typedef struct command_tool {
    json_t *row; /* owns the strings */
    char *argv[MAX_ARGV + 1];
} command_tool;

typedef struct child {
    pid_t pid;
    int in, out, err;
    const char *name;
    char line[1024]; /* of standard error, not yet shown */
    size_t n_line;
} child;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The command's own environment and the call's key, by which a program whose effect is "keyed" knows a call that is made again. */
static char **make_env(char *key)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = malloc((n + 2) * sizeof *env);
    for (size_t i = 0; env && i < n; i++)
        env[i] = environ[i];
    if (env) {
        env[n] = key;
        env[n + 1] = NULL;
    }
    return env;
}

static int spawn(command_tool *t, child *c, const char *key, const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *at)
{
    char text[96];
    snprintf(text, sizeof text, "AIOS_CALL_KEY=%s", key);
    char **env = make_env(text);
    int rc = env ? posix_spawnp(&c->pid, t->argv[0], fa, at, t->argv, env) : ENOMEM;
    free(env);
    return rc;
}

static int start_child(command_tool *t, child *c, const char *key)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        int e = errno;
        close_fd(&in[0]), close_fd(&in[1]);
        close_fd(&out[0]), close_fd(&out[1]);
        return e;
    }
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&fa, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&fa, err[1], STDERR_FILENO);
    posix_spawnattr_init(&at);
    posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&at, 0);
    int rc = spawn(t, c, key, &fa, &at);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    c->in = in[1];
    c->out = out[0];
    c->err = err[0];
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    fcntl(c->err, F_SETFL, O_NONBLOCK);
    if (rc) {
        close_fd(&c->in);
        close_fd(&c->out);
        close_fd(&c->err);
    }
    return rc;
}

static void show_line(child *c)
{
    if (c->n_line) {
        fprintf(stderr, "%s: ", c->name);
        cli_put_shown(stderr, c->line, c->n_line);
        fputc('\n', stderr);
    }
    c->n_line = 0;
}

/* Shows what is there of the standard error. */
static void read_errors(child *c)
{
    char s[4096];
    ssize_t n = c->err < 0 ? 0 : read(c->err, s, sizeof s);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_fd(&c->err);
    for (ssize_t i = 0; i < n; i++) {
        if (s[i] == '\n' || s[i] == '\r' || c->n_line == sizeof c->line)
            show_line(c);
        if (s[i] != '\n' && s[i] != '\r')
            c->line[c->n_line++] = s[i];
    }
}

/* Feeds the arguments and gathers the output until the child closes it, or the call is cancelled. */
static const char *talk(child *c, aios_call *call, char *buf, size_t *n)
{
    const char *args = aios_call_args(call);
    size_t left = strlen(args);
    *n = 0;
    while (c->out >= 0) {
        struct pollfd p[3] = {{.fd = c->out, .events = POLLIN}, {.fd = c->in, .events = POLLOUT}, {.fd = c->err, .events = POLLIN}};
        cli_control_inside();
        if (aios_call_cancelled(call))
            return STOPPED;
        int ready = poll(p, 3, 50);
        if (ready <= 0)
            continue;
        if (p[2].revents)
            read_errors(c);
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

/* Until the child ends; what it started may keep its standard error open. */
static const char *wait_end(child *c, aios_call *call, int *status)
{
    const char *bad = NULL;
    while (!bad && waitpid(c->pid, status, WNOHANG) == 0) {
        struct pollfd p = {.fd = c->err, .events = POLLIN};
        if (poll(&p, 1, 5) > 0)
            read_errors(c);
        cli_control_inside();
        bad = aios_call_cancelled(call) ? STOPPED : NULL;
    }
    return bad;
}

static int run_command(void *user, aios_call *call)
{
    command_tool *t = user;
    child c = {.in = -1, .out = -1, .err = -1, .name = aios_call_name(call)};
    char msg[256] = "", *buf = malloc(MAX_OUTPUT);
    size_t n = 0;
    int status = 0, rc = buf ? start_child(t, &c, aios_call_key(call)) : ENOMEM;
    if (rc) {
        snprintf(msg, sizeof msg, "%.100s cannot be started: %s", t->argv[0], strerror(rc));
    } else {
        const char *bad = talk(&c, call, buf, &n);
        close_fd(&c.in);
        close_fd(&c.out);
        bad = bad ? bad : wait_end(&c, call, &status);
        if (bad) {
            kill(-c.pid, SIGKILL);
            while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
                ;
        }
        for (int i = 0; c.err >= 0 && i < 16; i++) /* 64 KiB, what a pipe holds */
            read_errors(&c);
        show_line(&c);
        close_fd(&c.err);
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
    if (json_array_size(words) > MAX_ARGV)
        return cli_usage("%s: tool %zu has more than %d words in command", path, index, MAX_ARGV);
    json_array_foreach(words, i, arg)
        t->argv[i] = (char *)(uintptr_t)json_string_value(arg);
    for (i = 0; i < json_array_size(words) && t->argv[i]; i++)
        ;
    if (!i || i < json_array_size(words))
        return cli_usage("%s: tool %zu: command must be " COMMAND_FORM, path, index);
    return 0;
}

/* A field of another name or type would be left out in silence. */
static int check_fields(json_t *row, const char *path, size_t index)
{
    static const char *const names[] = {"name", "description", "parameters", "command", "effect"};
    static const json_type kinds[] = {JSON_STRING, JSON_STRING, JSON_OBJECT, JSON_ARRAY, JSON_STRING};
    static const char *const kind_names[] = {"a string", "a string", "a JSON schema (an object)", COMMAND_FORM, "a string"};
    enum { N = sizeof names / sizeof *names };
    const char *key;
    char meant[CLI_MEANT];
    json_t *v;
    if (!json_is_object(row))
        return cli_usage("%s: tool %zu is not an object", path, index);
    json_object_foreach(row, key, v) {
        size_t i = 0;
        while (i < N && strcmp(names[i], key))
            i++;
        if (i == N)
            return cli_usage("%s: tool %zu has an unknown field \"%.100s\"%s; there are name, description, parameters, command and effect", path, index,
                             key, cli_meant(meant, key, names, N, "\"", "\""));
        if (json_typeof(v) != kinds[i])
            return cli_usage("%s: tool %zu: %s must be %s", path, index, key, kind_names[i]);
    }
    return json_object_get(row, "name") ? 0 : cli_usage("%s: tool %zu has no name", path, index);
}

static int add_command(aios_toolset *ts, const char *path, json_t *row, size_t index)
{
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_error err = AIOS_INIT(aios_error);
    json_t *schema = json_object_get(row, "parameters"), *effect = json_object_get(row, "effect");
    int rc = check_fields(row, path, index);
    command_tool *t = rc ? NULL : calloc(1, sizeof *t);
    if (!t)
        return rc ? rc : cli_no_memory();
    t->row = json_incref(row);
    rc = fill_argv(t, json_object_get(row, "command"), path, index);
    char *text = schema ? json_dumps(schema, JSON_COMPACT) : NULL;
    tool.name = json_string_value(json_object_get(row, "name"));
    tool.description = json_string_value(json_object_get(row, "description"));
    tool.schema_json = text;
    tool.effect = read_effect(json_string_value(effect));
    tool.fn = run_command;
    tool.user = t;
    tool.release = release_command;
    if (!rc && tool.effect < 0)
        rc = cli_usage("%s: tool %zu: effect must be read, local, keyed or unsafe", path, index);
    if (!rc && aios_toolset_add(ts, &tool, &err)) {
        rc = cli_fail(path, &err);
        rc = err.code == AIOS_ENOMEM || err.code == AIOS_EBUDGET ? rc : EXIT_USAGE; /* it is the file that is wrong */
    }
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
    int rc = doc && !json_is_array(doc) ? cli_usage("%s must hold a JSON array of tools", path) : 0;
    if (!doc)
        rc = cli_usage("%s must hold a JSON array of tools: line %d, column %d: %s", path, je.line, je.column, je.text);
    json_array_foreach(doc, i, row) {
        if (rc)
            break;
        rc = add_command(ts, path, row, i + 1);
    }
    json_decref(doc);
    return rc;
}
