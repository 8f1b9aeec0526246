/* SPDX-License-Identifier: Apache-2.0 */
/* Children of the built-in environment. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static aios_env env;

static int setup(void **state)
{
    (void)state;
    aios__env_default(&env);
    return 0;
}

static void slurp(int fd, char *out, size_t n)
{
    size_t have = 0;
    for (;;) {
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        assert_true(poll(&pf, 1, 5000) > 0);
        ssize_t r = read(fd, out + have, n - 1 - have);
        if (r <= 0)
            break;
        have += (size_t)r;
    }
    out[have] = 0;
}

static void close_all(const aios_spawn_out *o)
{
    close(o->fd_in);
    close(o->fd_out);
    close(o->fd_err);
}

/* Runs a command to its end and returns its status. */
static int run(const char *const *argv, const char *const *envp, const char *cwd, const char *in, char *out, size_t n_out)
{
    aios_spawn_args a = AIOS_INIT(aios_spawn_args);
    aios_spawn_out o = AIOS_INIT(aios_spawn_out);
    aios_child *c;
    int32_t sys = 0, status = -1;
    a.argv = argv;
    a.envp = envp;
    a.cwd = cwd;
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), 0);
    if (in)
        assert_int_equal(write(o.fd_in, in, strlen(in)), strlen(in));
    close(o.fd_in);
    slurp(o.fd_out, out, n_out);
    assert_int_equal(env.child_wait(NULL, c, 5000, &status, &sys), 0);
    close(o.fd_out);
    close(o.fd_err);
    env.child_close(NULL, c);
    return status;
}

static void child_reads_and_writes_through_pipes(void **state)
{
    (void)state;
    char out[256];
    assert_int_equal(run((const char *const[]){"cat", NULL}, NULL, NULL, "hello", out, sizeof out), 0);
    assert_string_equal(out, "hello");
}

static void arguments_never_see_a_shell(void **state)
{
    (void)state;
    char out[256];
    run((const char *const[]){"printf", "%s|", "a b", "$HOME", "`id`", ";rm *", "", NULL}, NULL, NULL, NULL, out, sizeof out);
    assert_string_equal(out, "a b|$HOME|`id`|;rm *||");
}

static void status_is_that_of_waitpid(void **state)
{
    (void)state;
    char out[16];
    int st = run((const char *const[]){"sh", "-c", "exit 7", NULL}, NULL, NULL, NULL, out, sizeof out);
    assert_true(WIFEXITED(st) && WEXITSTATUS(st) == 7);
    st = run((const char *const[]){"sh", "-c", "kill -9 $$", NULL}, NULL, NULL, NULL, out, sizeof out);
    assert_true(WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
}

static void environment_is_clean_unless_given(void **state)
{
    (void)state;
    char out[4096];
    setenv("SECRET_OF_THE_HOST", "1", 1);
    run((const char *const[]){"/usr/bin/env", NULL}, NULL, NULL, NULL, out, sizeof out);
    assert_null(strstr(out, "SECRET_OF_THE_HOST"));
    assert_non_null(strstr(out, "PATH="));
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(!strncmp(line, "PATH=", 5) || !strncmp(line, "HOME=", 5) || !strncmp(line, "LANG=", 5) || !strncmp(line, "TMPDIR=", 7));
    run((const char *const[]){"/usr/bin/env", NULL}, (const char *const[]){"A=1", "B=2", NULL}, NULL, NULL, out, sizeof out);
    assert_string_equal(out, "A=1\nB=2\n");
}

static void child_starts_where_it_is_told(void **state)
{
    (void)state;
    char out[256];
    run((const char *const[]){"/bin/pwd", NULL}, NULL, "/usr", NULL, out, sizeof out);
    assert_string_equal(out, "/usr\n");
}

static void no_other_descriptor_reaches_the_child(void **state)
{
    (void)state;
    char out[1024];
    int leak = fcntl(STDOUT_FILENO, F_DUPFD, 77); /* without close-on-exec */
    assert_int_equal(leak, 77);
    run((const char *const[]){"/bin/sh", "-c", "for f in 0 1 2 3 4 5 77; do [ -e /proc/$$/fd/$f ] && echo $f; done", NULL}, NULL, NULL, NULL,
        out, sizeof out);
    close(leak);
    assert_string_equal(out, "0\n1\n2\n");
}

static void host_ends_are_nonblocking_and_close_on_exec(void **state)
{
    (void)state;
    aios_spawn_args a = AIOS_INIT(aios_spawn_args);
    aios_spawn_out o = AIOS_INIT(aios_spawn_out);
    aios_child *c;
    int32_t sys = 0, status;
    a.argv = (const char *const[]){"sleep", "30", NULL};
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), 0);
    const int fds[] = {o.fd_in, o.fd_out, o.fd_err};
    for (int i = 0; i < 3; i++) {
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    char b;
    assert_true(read(o.fd_out, &b, 1) < 0 && errno == EAGAIN);
    assert_int_equal(getpgid(o.pid), o.pid);
    assert_int_equal(env.child_wait(NULL, c, 0, &status, &sys), AIOS_AGAIN);
    assert_int_equal(env.child_wait(NULL, c, 50, &status, &sys), AIOS_AGAIN);
    close_all(&o);
    env.child_close(NULL, c);
    assert_true(kill(o.pid, 0) < 0 && errno == ESRCH); /* gone and reaped */
}

static void close_ends_the_whole_process_group(void **state)
{
    (void)state;
    aios_spawn_args a = AIOS_INIT(aios_spawn_args);
    aios_spawn_out o = AIOS_INIT(aios_spawn_out);
    aios_child *c;
    int32_t sys = 0, status;
    char out[64];
    a.argv = (const char *const[]){"sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!", NULL};
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), 0);
    slurp(o.fd_out, out, sizeof out);
    pid_t grandchild = (pid_t)strtol(out, NULL, 10);
    assert_int_equal(env.child_wait(NULL, c, 5000, &status, &sys), 0);
    assert_int_equal(env.child_wait(NULL, c, 5000, &status, &sys), 0); /* again: the same */
    assert_int_equal(kill(grandchild, 0), 0);
    close_all(&o);
    env.child_close(NULL, c);
    char path[64], state_char = 'R';
    for (int i = 0; i < 200 && state_char != 'Z'; i++) { /* gone, or a zombie where nobody reaps orphans */
        snprintf(path, sizeof path, "/proc/%d/stat", (int)grandchild);
        FILE *f = fopen(path, "r");
        if (!f)
            return;
        if (fscanf(f, "%*d (%*[^)]) %c", &state_char) != 1)
            state_char = 'R';
        fclose(f);
        usleep(10000);
    }
    assert_int_equal(state_char, 'Z');
}

static void signals_of_the_host_are_not_inherited(void **state)
{
    (void)state;
    char out[512];
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    void (*was)(int) = signal(SIGTERM, SIG_IGN);
    run((const char *const[]){"grep", "^Sig[BI]", "/proc/self/status", NULL}, NULL, NULL, NULL, out, sizeof out);
    signal(SIGTERM, was);
    sigprocmask(SIG_SETMASK, &old, NULL);
    assert_non_null(strstr(out, "SigBlk:\t0000000000000000"));
    unsigned long long ign = strtoull(strstr(out, "SigIgn:") + 7, NULL, 16);
    assert_false(ign >> (SIGTERM - 1) & 1);
}

static void failures_are_typed_and_leave_no_descriptor(void **state)
{
    (void)state;
    aios_spawn_out o = AIOS_INIT(aios_spawn_out);
    aios_spawn_args a = AIOS_INIT(aios_spawn_args);
    aios_child *c;
    int32_t sys = 0;
    int before = dup(0);
    close(before);
    assert_int_equal(env.spawn(NULL, NULL, &o, &c, &sys), AIOS_EINVAL);
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), AIOS_EINVAL);
    a.argv = (const char *const[]){"no-such-program-anywhere", NULL};
    assert_int_equal(env.spawn(NULL, &a, NULL, &c, &sys), AIOS_EINVAL);
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), AIOS_ENOENT);
    assert_int_equal(sys, ENOENT);
    a.argv = (const char *const[]){"/etc/passwd", NULL};
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), AIOS_EDENIED);
    a.argv = (const char *const[]){"true", NULL};
    a.cwd = "/no/such/folder";
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), AIOS_ENOENT);
    a.cwd = NULL;
    o.struct_size = 0;
    assert_int_equal(env.spawn(NULL, &a, &o, &c, &sys), AIOS_EINVAL);
    assert_null(c);
    int after = dup(0);
    close(after);
    assert_int_equal(before, after);
    env.child_close(NULL, NULL);
    assert_int_equal(env.child_wait(NULL, NULL, 0, NULL, NULL), AIOS_EINVAL);
}

static void works_in_a_host_without_standard_streams(void **state)
{
    (void)state;
    int keep[3];
    char out[64];
    for (int i = 0; i < 3; i++)
        keep[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 3; i++)
        close(i);
    aios_spawn_args a = AIOS_INIT(aios_spawn_args);
    aios_spawn_out o = AIOS_INIT(aios_spawn_out);
    aios_child *c = NULL;
    int32_t sys = 0, status = -1;
    a.argv = (const char *const[]){"sh", "-c", "cat; echo err >&2", NULL};
    int rc = env.spawn(NULL, &a, &o, &c, &sys);
    int above = o.fd_in > 2 && o.fd_out > 2 && o.fd_err > 2;
    ssize_t wrote = write(o.fd_in, "in", 2);
    close(o.fd_in);
    int waited = rc ? rc : env.child_wait(NULL, c, 5000, &status, &sys);
    ssize_t n = read(o.fd_out, out, sizeof out), m = read(o.fd_err, out + 32, 32);
    close(o.fd_out);
    close(o.fd_err);
    env.child_close(NULL, c);
    for (int i = 0; i < 3; i++) {
        dup2(keep[i], i);
        close(keep[i]);
    }
    assert_int_equal(rc, 0);
    assert_true(above && wrote == 2);
    assert_int_equal(waited, 0);
    assert_int_equal(status, 0);
    assert_true(n == 2 && !memcmp(out, "in", 2));
    assert_true(m == 4 && !memcmp(out + 32, "err\n", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_reads_and_writes_through_pipes),
        cmocka_unit_test(arguments_never_see_a_shell),
        cmocka_unit_test(status_is_that_of_waitpid),
        cmocka_unit_test(environment_is_clean_unless_given),
        cmocka_unit_test(child_starts_where_it_is_told),
        cmocka_unit_test(no_other_descriptor_reaches_the_child),
        cmocka_unit_test(host_ends_are_nonblocking_and_close_on_exec),
        cmocka_unit_test(close_ends_the_whole_process_group),
        cmocka_unit_test(signals_of_the_host_are_not_inherited),
        cmocka_unit_test(failures_are_typed_and_leave_no_descriptor),
        cmocka_unit_test(works_in_a_host_without_standard_streams),
    };
    return cmocka_run_group_tests_name("spawn", tests, setup, NULL);
}
