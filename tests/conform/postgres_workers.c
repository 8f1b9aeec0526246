/* SPDX-License-Identifier: Apache-2.0 */
/* Many processes on one database: workers that claim, die and are fenced off; a server that goes away. Usage: postgres_workers URI PLUGIN. */
#include "test.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
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

/* ---- rows of claims --------------------------------------------------------------------------------------------------- */

/* A connection beside the store's. */
static PGconn *beside(void)
{
    PGconn *c = PQconnectdb(uri + strlen("postgres:"));
    assert_int_equal(PQstatus(c), CONNECTION_OK);
    return c;
}

static double ask(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType is = PQresultStatus(r);
    if (is != PGRES_TUPLES_OK && is != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    double x = is == PGRES_TUPLES_OK && PQntuples(r) ? strtod(PQgetvalue(r, 0, 0), NULL) : -1;
    PQclear(r);
    return x;
}

static void claims_of_what_is_gone_leave_no_row(void **state)
{
    (void)state;
    static const char count[] = "select count(*) from aios_claim";
    aios_error err = AIOS_INIT(aios_error);
    aios_claim_args brief = AIOS_INIT(aios_claim_args);
    aios_claim *a = NULL, *b = NULL;
    PGconn *c = beside();
    brief.ttl_ns = 30000000;
    ask(c, "delete from aios_claim"); /* those of workers that were killed */
    must(aios_store_claim(st, "x/none", NULL, &a, &err), &err);
    aios_claim_release(a);
    assert_true(ask(c, count) == 0);
    must(put("x/1", 1, &err), &err);
    must(aios_store_claim(st, "x/1", NULL, &a, &err), &err);
    uint64_t epoch = aios_claim_epoch(a);
    aios_claim_release(a);
    assert_true(ask(c, count) == 1); /* who takes any finds it by this */
    must(aios_store_remove(st, "x/1", &err), &err);
    assert_true(ask(c, count) == 0);
    must(put("x/1", 1, &err), &err);
    must(aios_store_claim(st, "x/1", NULL, &a, &err), &err);
    assert_true(aios_claim_epoch(a) > epoch);
    must(aios_store_remove(st, "x/1", &err), &err);
    assert_int_equal(aios_store_claim(st, "x/1", NULL, &b, &err), AIOS_EBUSY);
    must(aios_claim_renew(a, &err), &err);
    aios_claim_release(a);
    assert_true(ask(c, count) == 0);
    must(put("x/1", 1, &err), &err);
    must(aios_store_claim(st, "x/1", &brief, &a, &err), &err);
    nap(50);
    must(aios_store_remove(st, "x/1", &err), &err);
    assert_true(ask(c, count) == 0);
    assert_int_equal(aios_claim_renew(a, &err), AIOS_ECONFLICT);
    must(aios_store_claim(st, "x/1", NULL, &b, &err), &err);
    assert_true(aios_claim_epoch(b) > aios_claim_epoch(a));
    assert_int_equal(aios_claim_renew(a, &err), AIOS_ECONFLICT);
    aios_claim_release(a);
    must(aios_claim_renew(b, &err), &err);
    aios_claim_release(b);
    assert_true(ask(c, count) == 0);
    PQfinish(c);
}

static void *let_go(void *claim)
{
    aios_claim_release(claim);
    return NULL;
}

/* A claim that is let go while a commit that makes its stream is on its way: whoever takes any finds the stream. */
static void a_stream_is_found_whoever_let_it_go(void **state)
{
    (void)state;
    pthread_t t;
    aios_error err = AIOS_INIT(aios_error);
    aios_claim_args any = AIOS_INIT(aios_claim_args);
    aios_claim *claim = NULL;
    PGconn *c = beside();
    any.flags = AIOS_CLAIM_ANY;
    must(aios_store_claim(st, "job/new", NULL, &claim, &err), &err);
    ask(c, "begin");
    ask(c, "select aios_commit('{job/new}', '{1}', '{1}', '{0}', array['x'::bytea], 0)");
    assert_int_equal(pthread_create(&t, NULL, let_go, claim), 0);
    nap(200);
    ask(c, "commit");
    pthread_join(t, NULL);
    PQfinish(c);
    must(aios_store_claim(st, "job/", &any, &claim, &err), &err);
    assert_string_equal(aios_claim_name(claim), "job/new");
    aios_claim_release(claim);
}

/* ---- connections ------------------------------------------------------------------------------------------------------ */

enum { POOL = 16 };

static void *wait_for_the_row(void *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_store_write w = write_to("busy", 0);
    return (void *)(intptr_t)aios_store_commit(s, &w, 1, sizeof w, NULL, &err);
}

static void a_wait_for_a_connection_ends(void **state)
{
    (void)state;
    char text[512];
    aios_error err = AIOS_INIT(aios_error);
    aios_store *s = NULL;
    pthread_t t[POOL];
    uint64_t seq;
    struct timespec from, to;
    snprintf(text, sizeof text, "%s connect_timeout=2", uri);
    must(aios_store_open(ctx, text, NULL, &s, &err), &err);
    must(put("busy", 1, &err), &err);
    PGconn *c = beside(), *look = beside();
    ask(c, "begin");
    ask(c, "select 1 from aios_stream where name = 'busy' for update");
    for (int i = 0; i < POOL; i++)
        assert_int_equal(pthread_create(&t[i], NULL, wait_for_the_row, s), 0);
    while (ask(look, "select count(*) from pg_stat_activity where wait_event_type = 'Lock'") < POOL)
        nap(10);
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(aios_store_head(s, "busy", &seq, &err), AIOS_ETIMEDOUT);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_non_null(strstr(err.msg, "all 16 connections of this store were in use for 2 s"));
    assert_in_range(to.tv_sec - from.tv_sec, 1, 10);
    ask(c, "commit");
    for (int i = 0; i < POOL; i++) {
        void *rc;
        pthread_join(t[i], &rc);
        assert_null(rc);
    }
    must(aios_store_head(s, "busy", &seq, &err), &err);
    assert_int_equal(seq, POOL + 1);
    aios_store_close(s);
    PQfinish(c);
    PQfinish(look);
}

/* ---- a run that waits ------------------------------------------------------------------------------------------------- */

static _Atomic int64_t skew_ns;

static int64_t clock_ns(void *user)
{
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec + atomic_load(&skew_ns);
}

static int tool_wait(void *user, aios_call *call)
{
    *(aios_call **)user = call;
    return AIOS_AGAIN;
}

static aios_agent *waiting_agent(aios_ctx *c, aios_store *s, aios_call **call)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_tool t = AIOS_INIT(aios_tool);
    aios_model *m = NULL;
    aios_toolset *ts = NULL;
    aios_agent *a = NULL;
    t.name = "wait";
    t.description = "waits";
    t.fn = tool_wait;
    t.user = call;
    t.effect = AIOS_EFFECT_READ;
    t.timeout_ns = INT64_C(600000000000);
    must(aios_model_open(c, "echo:call wait {}; turn; say ok", NULL, &m, &err), &err);
    must(aios_toolset_new(c, &ts, &err), &err);
    must(aios_toolset_add(ts, &t, &err), &err);
    cfg.model = m;
    cfg.toolset = ts;
    cfg.store = s;
    must(aios_agent_new(c, &cfg, &a, &err), &err);
    aios_toolset_free(ts);
    aios_model_close(m);
    return a;
}

/* Its claim is put off while it waits; and when another has got it, it ends. */
static void a_run_that_waits_keeps_its_lease_or_ends(void **state)
{
    (void)state;
    static const char until[] = "select extract(epoch from until) from aios_claim where name = 'run/w'";
    aios_error err = AIOS_INIT(aios_error);
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_ctx *own = NULL;
    aios_run *r = NULL;
    aios_call *call = NULL;
    aios_claim *other = NULL;
    const aios_event *ev;
    int rc;
    env.mono_ns = clock_ns;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &own, &err), &err);
    aios_store *s = open_in(own);
    aios_agent *a = waiting_agent(own, s, &call);
    PGconn *c = beside();
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "w";
    must(aios_run_start_with(a, &o, &r, &err), &err);
    while ((rc = aios_run_next(r, 0, &ev)) == 0 || !call)
        assert_true(rc >= 0);
    assert_int_equal(rc, AIOS_AGAIN);
    double first = ask(c, until);
    nap(20);
    atomic_fetch_add(&skew_ns, INT64_C(31000000000));
    assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
    assert_true(ask(c, until) > first);
    assert_int_equal(aios_store_claim(st, "run/w", NULL, &other, &err), AIOS_EBUSY);
    ask(c, "update aios_claim set until = now() where name = 'run/w'"); /* as if nobody had driven it for long */
    must(aios_store_claim(st, "run/w", NULL, &other, &err), &err);
    atomic_fetch_add(&skew_ns, INT64_C(31000000000));
    while ((rc = aios_run_next(r, 0, &ev)) == 0 && ev->type != AIOS_EVENT_ERROR)
        ;
    assert_int_equal(rc, 0);
    assert_int_equal(ev->error->code, AIOS_ECONFLICT);
    aios_run_free(r);
    aios_call_finish(call, 0, "too late", AIOS_CSTR);
    must(aios_claim_renew(other, &err), &err);
    aios_claim_release(other);
    assert_int_equal(head("run/w"), 1); /* its begin: the turn was to be written with what follows from it */
    aios_agent_free(a);
    aios_store_close(s);
    aios_ctx_free(own);
    PQfinish(c);
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
        T(claims_of_what_is_gone_leave_no_row),
        T(a_stream_is_found_whoever_let_it_go),
        T(a_wait_for_a_connection_ends),
        T(a_run_that_waits_keeps_its_lease_or_ends),
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
