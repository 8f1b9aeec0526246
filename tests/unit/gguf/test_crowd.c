/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines with fewer CPUs than asked for: one CPU, many threads on few, neighbours that take the cores, a quota of a control group.
 * Slower, but the tokens are those of one thread alone, and the default number of threads follows what there is.
 */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_make.h"

enum { N_CTX = 1024, SKIPPED = 77 };

/* A prompt in several passes, and a reply behind it. */
typedef struct answer {
    uint32_t n_threads; /* that the model computes with */
    char text[1024];
} answer;

static char uri[64], prompt[700];
static answer want;

/* In a child too, where cmocka has no say: false, and a line, if anything fails. */
static bool ask(uint32_t n_threads, answer *out)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_request r = AIOS_INIT(aios_request);
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_session *s = NULL;
    const aios_event *ev;
    int code = 0;
    *out = (answer){0};
    cfg.n_threads = n_threads;
    r.raw = prompt;
    r.n_raw = AIOS_CSTR;
    r.max_tokens = 40;
    r.flags = AIOS_REQUEST_IGNORE_EOS;
    int rc = aios_ctx_new(NULL, &ctx, &err);
    rc = rc ? rc : aios_model_open(ctx, uri, &cfg, &m, &err);
    rc = rc ? rc : aios_model_info_get(m, &info);
    rc = rc ? rc : aios_session_new(m, NULL, &s, &err);
    rc = rc ? rc : aios_session_start(s, &r, &err);
    while (!rc && aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT)
            strncat(out->text, ev->text, sizeof out->text - strlen(out->text) - 1);
        else if (ev->type == AIOS_EVENT_ERROR)
            code = ev->error->code;
    }
    out->n_threads = info.n_threads;
    if (rc || code)
        fprintf(stderr, "%d, %d: %s\n", rc, code, err.msg);
    aios_session_free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return !rc && !code;
}

static int begin(void **state)
{
    (void)state;
    net_make make = {.arch = "gemma3", .dtype = 8, .tied = 1, .n_ctx = N_CTX};
    net_file(&make, uri);
    for (size_t i = 0; i + 1 < sizeof prompt; i++)
        prompt[i] = (char)('a' + i * i % 23);
    assert_true(ask(1, &want));
    assert_true(strlen(want.text) > 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(uri + 5);
    return 0;
}

static void more_threads_than_cpus_give_the_same_tokens(void **state)
{
    (void)state;
    static const uint32_t counts[] = {2, 3, 7, 24};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        answer got;
        assert_true(ask(counts[i], &got));
        assert_string_equal(got.text, want.text);
    }
}

static void one_cpu_means_one_thread_unless_more_are_asked_for(void **state)
{
    (void)state;
    cpu_set_t all, one;
    answer got;
    int first = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET((size_t)first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET((size_t)first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    for (uint32_t n = 0; n <= 4; n += 2) {
        assert_true(ask(n, &got));
        assert_int_equal(got.n_threads, n ? n : 1);
        assert_string_equal(got.text, want.text);
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

static void *spin(void *arg)
{
    while (!atomic_load_explicit((_Atomic int *)arg, memory_order_relaxed))
        ;
    return NULL;
}

static void neighbours_that_take_the_cores_change_no_token(void **state)
{
    (void)state;
    enum { N = 4 };
    pthread_t threads[N];
    _Atomic int over = 0;
    answer got;
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, spin, &over), 0);
    bool ok = ask(2, &got);
    atomic_store(&over, 1);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_true(ok);
    assert_string_equal(got.text, want.text);
}

/* ---- a quota: files of our own stand where the system's are ------------------------------------------------------------ */

typedef struct quota {
    const char *groups;                        /* /proc/self/cgroup */
    const char *const files[4][2];             /* behind /sys/fs/cgroup, and what is in it */
    uint32_t max_threads;
} quota;

static const quota quotas[] = {
    {"0::/\n", {{"cpu.max", "100000 100000\n"}}, 1},
    {"0::/a/b\n", {{"a/b/cpu.max", "max 100000\n"}, {"a/cpu.max", "50000 100000\n"}, {"cpu.max", "400000 100000\n"}}, 1},
    {"4:cpu,cpuacct:/c\n", {{"cpu,cpuacct/c/cpu.cfs_quota_us", "30000\n"}, {"cpu,cpuacct/c/cpu.cfs_period_us", "100000\n"}}, 1},
    {"0::/a\n", {{"a/cpu.max", "101000 100000\n"}}, 2},
    {"0::/a\n", {{"a/cpu.max", "what is this\n"}, {"cpu.max", "-1 -1\n"}}, UINT32_MAX},
};

static bool put(const char *dir, const char *name, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", dir, name);
    for (char *p = full + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(full, 0755);
    }
    FILE *f = fopen(full, "w");
    return f && fputs(text, f) >= 0 && !fclose(f);
}

/* Of a child: what it sees of /sys and /proc is its own from here on. */
static bool stand_in(const quota *q)
{
    char groups[64], target[64];
    if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
        return false;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL))
        return false;
    for (int i = 0; i < 4 && q->files[i][0]; i++)
        if (!put("/sys/fs/cgroup", q->files[i][0], q->files[i][1]))
            return false;
    snprintf(groups, sizeof groups, "/sys/fs/cgroup/groups");
    snprintf(target, sizeof target, "/proc/%d/cgroup", (int)getpid());
    return put("/sys/fs/cgroup", "groups", q->groups) && !mount(groups, target, NULL, MS_BIND, NULL);
}

/* In a child, since there is no way back; its exit status. */
static int ask_under(const quota *q, uint32_t n_threads, uint32_t n_default)
{
    answer got;
    int status = 0;
    pid_t child = fork();
    if (!child) {
        if (!stand_in(q))
            _exit(SKIPPED);
        uint32_t n = n_threads ? n_threads : n_default < q->max_threads ? n_default : q->max_threads;
        bool ok = ask(n_threads, &got);
        if (got.n_threads != n)
            fprintf(stderr, "%u threads, not %u\n", got.n_threads, n);
        _exit(ok && got.n_threads == n && !strcmp(got.text, want.text) ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void a_quota_sets_the_threads_and_no_token(void **state)
{
    (void)state;
    answer got;
    assert_true(ask(0, &got));
    assert_string_equal(got.text, want.text);
    for (size_t i = 0; i < sizeof quotas / sizeof quotas[0]; i++)
        for (uint32_t n = 0; n <= 3; n += 3) {
            int rc = ask_under(&quotas[i], n, got.n_threads);
            if (rc == SKIPPED)
                skip(); /* no right to mount here */
            assert_int_equal(rc, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_threads_than_cpus_give_the_same_tokens),
        cmocka_unit_test(one_cpu_means_one_thread_unless_more_are_asked_for),
        cmocka_unit_test(neighbours_that_take_the_cores_change_no_token),
        cmocka_unit_test(a_quota_sets_the_threads_and_no_token),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
