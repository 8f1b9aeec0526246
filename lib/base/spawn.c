/* SPDX-License-Identifier: Apache-2.0 */
/* Children of the built-in environment, by posix_spawn: quick also in a host of many gigabytes, safe beside threads. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/env_priv.h"

struct aios_child {
    pid_t pid; /* also its process group; a zombie until child_close, so that neither number is reused */
};

#define N_PIPES 3

typedef struct pipes {
    int child[N_PIPES], host[N_PIPES];
} pipes;

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void close_pipes(int *fds)
{
    for (int i = 0; i < N_PIPES; i++)
        close_fd(fds[i]);
}

/* A host that closed its standard streams would get these numbers: the child's dup2 must not run over them. */
static int move_up(int fd)
{
    if (fd > 2)
        return fd;
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int e = errno;
    close(fd);
    errno = e;
    return up;
}

static int open_pipes(pipes *p)
{
    for (int i = 0; i < N_PIPES; i++)
        p->child[i] = p->host[i] = -1;
    for (int i = 0; i < N_PIPES; i++) {
        int fd[2];
        if (pipe2(fd, O_CLOEXEC))
            return errno;
        p->child[i] = move_up(fd[i ? 1 : 0]);
        int e = errno;
        p->host[i] = move_up(fd[i ? 0 : 1]);
        if (p->child[i] < 0)
            return e;
        if (p->host[i] < 0 || fcntl(p->host[i], F_SETFL, O_NONBLOCK))
            return errno;
    }
    return 0;
}

/* The environment of a child that was given none: a fixed few of the host's. Freed with free_env. */
static char **clean_env(void)
{
    static const char *const names[] = {"PATH", "HOME", "LANG", "TMPDIR"};
    char **env = calloc(AIOS__ARRAY_LEN(names) + 1, sizeof *env);
    size_t n = 0;
    for (size_t i = 0; env && i < AIOS__ARRAY_LEN(names); i++) {
        const char *v = getenv(names[i]);
        if (!v)
            continue;
        size_t n_name = strlen(names[i]), n_v = strlen(v);
        char *s = malloc(n_name + n_v + 2);
        if (!s) {
            while (n)
                free(env[--n]);
            free(env);
            return NULL;
        }
        memcpy(s, names[i], n_name);
        s[n_name] = '=';
        memcpy(s + n_name + 1, v, n_v + 1);
        env[n++] = s;
    }
    return env;
}

static void free_env(char **env)
{
    for (size_t i = 0; env && env[i]; i++)
        free(env[i]);
    free(env);
}

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)

static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int e = posix_spawnattr_setsigmask(attr, &none);
    e = e ? e : posix_spawnattr_setsigdefault(attr, &all);
    e = e ? e : posix_spawnattr_setpgroup(attr, 0);
    return e ? e : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

static int set_actions(posix_spawn_file_actions_t *fa, const pipes *p, const char *cwd)
{
    int e = 0;
    for (int i = 0; i < N_PIPES && !e; i++)
        e = posix_spawn_file_actions_adddup2(fa, p->child[i], i);
    e = e ? e : posix_spawn_file_actions_addclosefrom_np(fa, N_PIPES);
    return e || !cwd ? e : posix_spawn_file_actions_addchdir_np(fa, cwd);
}

static int start(const aios_spawn_args *a, const pipes *p, char *const *env, pid_t *pid)
{
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t fa;
    int e = posix_spawnattr_init(&attr);
    if (e)
        return e;
    e = posix_spawn_file_actions_init(&fa);
    if (e) {
        posix_spawnattr_destroy(&attr);
        return e;
    }
    e = set_attributes(&attr);
    e = e ? e : set_actions(&fa, p, a->cwd);
    e = e ? e : posix_spawnp(pid, a->argv[0], &fa, &attr, (char *const *)(uintptr_t)a->argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return e;
}

#else

/* Without closefrom in posix_spawn descriptors of the host could leak into the child: refused rather than done badly. */
static int start(const aios_spawn_args *a, const pipes *p, char *const *env, pid_t *pid)
{
    AIOS__UNUSED(a);
    AIOS__UNUSED(p);
    AIOS__UNUSED(env);
    AIOS__UNUSED(pid);
    return ENOSYS;
}

#endif

static int spawn_code(int e)
{
    static const struct {
        int sys, code;
    } rows[] = {{0, AIOS_OK},           {ENOENT, AIOS_ENOENT}, {ENOTDIR, AIOS_ENOENT}, {EACCES, AIOS_EDENIED},
                {EPERM, AIOS_EDENIED},  {ENOMEM, AIOS_ENOMEM}, {ENOSYS, AIOS_ENOTSUP}, {EINVAL, AIOS_EINVAL},
                {E2BIG, AIOS_EINVAL},   {EAGAIN, AIOS_ELIMIT}, {EMFILE, AIOS_ELIMIT},  {ENFILE, AIOS_ELIMIT}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].sys == e)
            return rows[i].code;
    return AIOS_EIO;
}

/* Everything that can fail; returns an errno. On success c and p's host ends are the caller's. */
static int make_child(const aios_spawn_args *a, pipes *p, aios_child **c)
{
    char **own = NULL;
    aios_child *child = malloc(sizeof *child);
    int e = child ? open_pipes(p) : ENOMEM;
    if (!e && !a->envp && !(own = clean_env()))
        e = ENOMEM;
    if (!e)
        e = start(a, p, a->envp ? (char *const *)(uintptr_t)a->envp : own, &child->pid);
    free_env(own);
    close_pipes(p->child);
    if (e) {
        close_pipes(p->host);
        free(child);
        return e;
    }
    *c = child;
    return 0;
}

int aios__spawn(void *user, const aios_spawn_args *args, aios_spawn_out *out, aios_child **c, int32_t *sys)
{
    AIOS__UNUSED(user);
    aios_spawn_args a;
    pipes p = {{-1, -1, -1}, {-1, -1, -1}};
    *sys = EINVAL;
    *c = NULL;
    int rc = args ? aios__struct_in(&a, sizeof a, args, NULL) : AIOS_EINVAL;
    if (rc)
        return rc;
    if (!out || !a.argv || !a.argv[0] || !a.argv[0][0])
        return AIOS_EINVAL;
    *sys = make_child(&a, &p, c);
    if (*sys)
        return spawn_code(*sys);
    aios_spawn_out o = {.fd_in = p.host[0], .fd_out = p.host[1], .fd_err = p.host[2], .pid = (*c)->pid};
    rc = aios__struct_out(out, &o, sizeof o);
    if (rc) {
        close_pipes(p.host);
        aios__child_close(NULL, *c);
        *c = NULL;
    }
    return rc;
}

/* 0 and *status if it ended, AIOS_AGAIN if not. It stays a zombie. */
static int peek(const aios_child *c, int32_t *status, int32_t *sys)
{
    siginfo_t si = {0};
    if (waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG | WNOWAIT)) {
        if (errno == EINTR)
            return AIOS_AGAIN;
        *sys = errno; /* ECHILD: the host reaps or ignores children it does not know */
        return AIOS_EIO;
    }
    if (!si.si_pid)
        return AIOS_AGAIN;
    int st = si.si_status;
    *status = si.si_code == CLD_EXITED ? (st & 0xff) << 8 : si.si_code == CLD_DUMPED ? st | 0x80 : st;
    return AIOS_OK;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sleeps until the child ends or ms are over; without a pidfd in steps of 5 ms. */
static void doze(int pidfd, int64_t ms)
{
    struct pollfd pf = {.fd = pidfd, .events = POLLIN};
    int64_t step = pidfd >= 0 ? 3600000 : 5;
    poll(&pf, pidfd >= 0 ? 1 : 0, (int)(ms < 0 || ms > step ? step : ms));
}

int aios__child_wait(void *user, aios_child *c, int32_t timeout_ms, int32_t *status, int32_t *sys)
{
    AIOS__UNUSED(user);
    int32_t dummy;
    status = status ? status : &dummy;
    sys = sys ? sys : &dummy;
    if (!c) {
        *sys = EINVAL;
        return AIOS_EINVAL;
    }
    int rc = peek(c, status, sys);
    if (rc != AIOS_AGAIN || !timeout_ms)
        return rc;
    int pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    int64_t end = now_ms() + timeout_ms;
    do {
        int64_t left = timeout_ms < 0 ? -1 : end - now_ms();
        if (timeout_ms >= 0 && left <= 0)
            break;
        doze(pidfd, left);
        rc = peek(c, status, sys);
    } while (rc == AIOS_AGAIN);
    close_fd(pidfd);
    return rc;
}

void aios__child_close(void *user, aios_child *c)
{
    AIOS__UNUSED(user);
    if (!c)
        return;
    int32_t status, sys;
    int rc = peek(c, &status, &sys);
    if (rc >= 0) { /* not reaped behind our back: the numbers are still ours */
        kill(-c->pid, SIGKILL);
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    free(c);
}
