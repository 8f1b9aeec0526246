/* SPDX-License-Identifier: Apache-2.0 */
/* Many processes on one database: workers that claim, die and are fenced off; a server that goes away. Usage: postgres_workers URI PLUGIN. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 60, WORKERS = 4 };
static const char *uri, *plugin;
static aios_ctx *ctx;
static aios_store *st;

static aios_store *open_in(aios_ctx *c)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store *s = NULL;
    must(aios_plugin_load(c, plugin, &err), &err);
    must(aios_store_open(c, uri, NULL, &s, &err), &err);
    return s;
}

static int remove_one(void *user, const aios_stream *t)
{
    return aios_store_remove(user, t->name, NULL);
}

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    ctx = test_ctx(NULL, 0);
    st = open_in(ctx);
    must(aios_store_list(st, NULL, remove_one, st, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_store_close(st);
    aios_ctx_free(ctx);
    return 0;
}

static aios_store_write write_to(const char *stream, uint64_t seq)
{
    aios_store_write w = AIOS_INIT(aios_store_write);
    w.stream = stream;
    w.data = "x";
    w.n_data = 1;
    w.seq = seq;
    return w;
}

static int put(const char *stream, uint64_t seq, aios_error *err)
{
    aios_store_write w = write_to(stream, seq);
    return aios_store_commit(st, &w, 1, sizeof w, NULL, err);
}

static uint64_t head(const char *stream)
{
    aios_error err = AIOS_INIT(aios_error);
    uint64_t seq = 99;
    must(aios_store_head(st, stream, &seq, &err), &err);
    return seq;
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* ---- workers that die ------------------------------------------------------------------------------------------------- */

/* Does a job: its receipt, once, beside the job's own record. Non-zero: nothing is left, or something failed. */
static int do_one(aios_store *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_claim_args any = AIOS_INIT(aios_claim_args);
    aios_claim *c = NULL;
    any.flags = AIOS_CLAIM_ANY;
    any.ttl_ns = 200000000;
    int rc = aios_store_claim(s, "job/", &any, &c, &err);
    if (rc)
        return rc;
    char done[64];
    snprintf(done, sizeof done, "done/%s", aios_claim_name(c) + 4);
    aios_store_write w[2] = {write_to(aios_claim_name(c), 2), write_to(done, 1)};
    nap(2);
    rc = aios_store_commit(s, w, 2, sizeof *w, NULL, &err);
    if (!rc || rc == AIOS_ECONFLICT)
        rc = aios_store_remove(s, aios_claim_name(c), NULL);
    aios_claim_release(c);
    return rc == AIOS_ENOENT ? 0 : rc;
}

static void work(void)
{
    aios_store *s = open_in(test_ctx(NULL, 0));
    int rc;
    do
        rc = do_one(s);
    while (!rc);
    _exit(rc == AIOS_ENOENT ? 0 : 1);
}

static pid_t begin_worker(void)
{
    pid_t pid = fork();
    if (!pid)
        work();
    return pid;
}

static int count_one(void *user, const aios_stream *t)
{
    assert_int_equal(t->head, 1);
    ++*(int *)user;
    return 0;
}

static void workers_that_die_do_each_job_once(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    pid_t pids[WORKERS];
    char name[32];
    int n = 0;
    unsigned seed = 7;
    for (int i = 0; i < JOBS; i++) {
        snprintf(name, sizeof name, "job/%d", i);
        must(put(name, 1, &err), &err);
    }
    for (int i = 0; i < WORKERS; i++)
        pids[i] = begin_worker();
    for (int i = 0; i < 30; i++) {
        int k = rand_r(&seed) % WORKERS;
        nap(rand_r(&seed) % 60);
        kill(pids[k], SIGKILL);
        waitpid(pids[k], NULL, 0);
        pids[k] = begin_worker();
    }
    for (int round = 0; round < 2; round++) /* a claim of a dead one may have been in force when all had ended */
        for (int i = 0; i < WORKERS; i++) {
            int status;
            waitpid(pids[i], &status, 0);
            assert_int_equal(status, 0);
            nap(round ? 0 : 60);
            pids[i] = round ? 0 : begin_worker();
        }
    must(aios_store_list(st, "done/", count_one, &n, &err), &err);
    assert_int_equal(n, JOBS);
}

static void who_lost_a_claim_is_fenced_off(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_claim_args brief = AIOS_INIT(aios_claim_args);
    aios_claim *a = NULL, *b = NULL;
    brief.ttl_ns = 500000000;
    must(put("run/1", 1, &err), &err);
    aios_ctx *other = test_ctx(NULL, 0);
    aios_store *s = open_in(other);
    must(aios_store_claim(st, "run/1", &brief, &a, &err), &err);
    assert_int_equal(aios_store_claim(s, "run/1", NULL, &b, &err), AIOS_EBUSY);
    nap(600);
    must(aios_claim_renew(a, &err), &err); /* nobody took it meanwhile */
    assert_int_equal(aios_store_claim(s, "run/1", NULL, &b, &err), AIOS_EBUSY);
    nap(600);
    must(aios_store_claim(s, "run/1", NULL, &b, &err), &err);
    assert_true(aios_claim_epoch(b) > aios_claim_epoch(a));
    assert_int_equal(aios_claim_renew(a, &err), AIOS_ECONFLICT);
    aios_store_write w = write_to("run/1", 2);
    must(aios_store_commit(s, &w, 1, sizeof w, NULL, &err), &err);
    assert_int_equal(put("run/1", 2, &err), AIOS_ECONFLICT);
    aios_claim_release(a); /* which leaves the other's alone */
    assert_int_equal(aios_store_claim(st, "run/1", NULL, &a, &err), AIOS_EBUSY);
    aios_claim_release(b);
    aios_store_close(s);
    aios_ctx_free(other);
}

/* ---- a server that goes away ------------------------------------------------------------------------------------------ */

static void control(const char *what)
{
    char mode[] = "immediate", log[512];
    const char *data = getenv("AIOS_TEST_PG_DATA"), *ctl = getenv("AIOS_TEST_PG_CTL");
    snprintf(log, sizeof log, "%s/log", data);
    pid_t pid = fork();
    if (!pid) {
        if (!freopen("/dev/null", "w", stdout) || (!getuid() && (setgid(65534) || setuid(65534))))
            _exit(1);
        if (!strcmp(what, "stop"))
            execl(ctl, ctl, "-D", data, "-w", "-m", mode, what, (char *)NULL);
        execl(ctl, ctl, "-D", data, "-w", "-l", log, what, (char *)NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

static void a_server_that_comes_back_is_used_again(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    must(put("a", 1, &err), &err);
    control("stop");
    assert_int_equal(put("a", 2, &err), AIOS_EUNAVAIL);
    assert_non_null(strstr(err.msg, "no connection"));
    uint64_t seq;
    assert_int_equal(aios_store_head(st, "a", &seq, &err), AIOS_EUNAVAIL);
    control("start");
    must(put("a", 2, &err), &err);
    assert_int_equal(head("a"), 2);
}

static void a_lost_commit_is_not_followed_by_others(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    uint64_t n = 0;
    pid_t pid = fork();
    if (!pid) {
        nap(100);
        control("stop");
        _exit(0);
    }
    int rc;
    do
        rc = put("many", n + 1, &err);
    while (!rc && ++n);
    assert_true(n > 0 && rc < 0);
    waitpid(pid, NULL, 0);
    int again = put("many", 0, &err);
    control("start");
    if (again == AIOS_EIO)
        assert_int_equal(put("many", 0, &err), AIOS_EIO);
    aios_store_close(st);
    st = NULL;
    must(aios_store_open(ctx, uri, NULL, &st, &err), &err);
    uint64_t is = head("many");
    assert_true(is == n || (again == AIOS_EIO && is == n + 1));
    must(put("many", is + 1, &err), &err);
}

static void what_is_no_store_is_told(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_store *s = NULL;
    assert_int_equal(aios_store_open(ctx, "postgres:host=/nowhere", NULL, &s, &err), AIOS_EUNAVAIL);
    assert_int_equal(aios_store_open(ctx, "postgres:nonsense", NULL, &s, &err), AIOS_EUNAVAIL);
    char text[512];
    aios_store_config only = AIOS_INIT(aios_store_config);
    only.flags = AIOS_STORE_READ_ONLY;
    snprintf(text, sizeof text, "%s options='-c search_path=nothing'", uri);
    assert_int_equal(aios_store_open(ctx, text, &only, &s, &err), AIOS_ENOENT);
    must(aios_store_open(ctx, uri, &only, &s, &err), &err);
    aios_store_write w = write_to("a", 0);
    assert_int_equal(aios_store_commit(s, &w, 1, sizeof w, NULL, &err), AIOS_ESTATE);
    aios_store_close(s);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(workers_that_die_do_each_job_once),
        T(who_lost_a_claim_is_fenced_off),
        T(a_server_that_comes_back_is_used_again),
        T(a_lost_commit_is_not_followed_by_others),
        T(what_is_no_store_is_told),
    };
    if (argc < 3)
        return 2;
    uri = argv[1];
    plugin = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
