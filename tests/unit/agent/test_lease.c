/* SPDX-License-Identifier: Apache-2.0 */
/* Claims that end if they are not renewed, over a store whose claims do, and a clock that can be put forward. */
#include <poll.h>

#include "compose_test.h"
#include "log_store.h"

#define S INT64_C(1000000000)

/* ---- a clock, and claims by it -------------------------------------------------------------------------------------- */

enum { MAX_CLAIMS = 8 };

typedef struct row {
    char name[208];
    uint64_t epoch;
    int64_t until, ttl;
    int n_renewed, n_refused;
} row;

static struct {
    _Atomic int64_t skew;
    pthread_mutex_t lock;
    row rows[MAX_CLAIMS];
    uint64_t epoch;
    int fail_renew; /* code */
    int64_t fails_for; /* so long it takes */
} server;

typedef struct held {
    row *of;
    uint64_t epoch;
} held;

static int64_t clock_ns(void *user)
{
    struct timespec t;
    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * S + t.tv_nsec + atomic_load(&server.skew);
}

static row *row_of(const char *name)
{
    int i = 0;
    while (i < MAX_CLAIMS - 1 && server.rows[i].name[0] && strcmp(server.rows[i].name, name))
        i++;
    if (!server.rows[i].name[0])
        snprintf(server.rows[i].name, sizeof server.rows[i].name, "%s", name);
    return &server.rows[i];
}

static int take_claim(void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err)
{
    held *h = malloc(sizeof *h);
    (void)self;
    pthread_mutex_lock(&server.lock);
    row *r = row_of(args->name);
    bool free_now = r->until <= clock_ns(NULL);
    if (free_now) {
        r->until = clock_ns(NULL) + args->ttl_ns;
        r->ttl = args->ttl_ns;
        *h = (held){r, r->epoch = out->epoch = ++server.epoch};
    }
    pthread_mutex_unlock(&server.lock);
    if (!free_now) {
        free(h);
        return log_refuse(err, AIOS_EBUSY, 0);
    }
    out->handle = h;
    snprintf(out->name, sizeof out->name, "%s", args->name);
    return 0;
}

static int renew_claim(void *self, void *handle, aios_error *err)
{
    const held *h = handle;
    (void)self;
    pthread_mutex_lock(&server.lock);
    int rc = h->epoch != h->of->epoch ? AIOS_ECONFLICT : server.fail_renew;
    h->of->n_renewed += !rc;
    h->of->n_refused += rc != 0;
    if (rc)
        atomic_fetch_add(&server.skew, server.fails_for);
    if (!rc)
        h->of->until = clock_ns(NULL) + h->of->ttl;
    pthread_mutex_unlock(&server.lock);
    return rc ? log_refuse(err, rc, 0) : 0;
}

static void release_claim(void *self, void *handle)
{
    held *h = handle;
    (void)self;
    pthread_mutex_lock(&server.lock);
    if (h->epoch == h->of->epoch)
        h->of->until = 0;
    pthread_mutex_unlock(&server.lock);
    free(h);
}

static int renewed(const char *name)
{
    pthread_mutex_lock(&server.lock);
    int n = row_of(name)->n_renewed;
    pthread_mutex_unlock(&server.lock);
    return n;
}

static void put_forward(int64_t ns)
{
    atomic_fetch_add(&server.skew, ns);
}

/* ---- a world over it ------------------------------------------------------------------------------------------------ */

typedef struct leased {
    world w;
    aios_store *st;
    log_faults faults;
    char path[64];
    aios_call *call; /* that waits */
    _Atomic int acted;
} leased;

static int tool_wait(void *user, aios_call *call)
{
    leased *l = user;
    l->call = call;
    return AIOS_AGAIN;
}

static void leased_open(leased *l, const char *script)
{
    static const aios_store_ops ops = {.struct_size = sizeof ops, .name = "lease", .open = log_open, .close = log_close, .commit = log_commit,
                                       .read = log_read, .head = log_find_head, .list = log_list, .remove = log_remove, .claim = take_claim,
                                       .claim_renew = renew_claim, .claim_release = release_claim};
    aios_error err = AIOS_INIT(aios_error);
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_ctx *ctx;
    char uri[96];
    memset(l, 0, sizeof *l);
    memset(server.rows, 0, sizeof server.rows);
    server.fail_renew = 0;
    server.fails_for = 0;
    env.mono_ns = clock_ns;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    world_open_in(&l->w, ctx, script);
    snprintf(l->path, sizeof l->path, "/tmp/aios-lease-XXXXXX");
    close(mkstemp(l->path));
    snprintf(uri, sizeof uri, "lease:%s", l->path);
    must(aios_store_register(ctx, &ops, &l->faults, &err), &err);
    must(aios_store_open(ctx, uri, NULL, &l->st, &err), &err);
    aios_tool wait = make_tool("wait", tool_wait, l), act = make_tool("act", tool_count, &l->acted);
    wait.timeout_ns = 7200 * S;
    world_tool(&l->w, wait);
    world_tool(&l->w, act);
    l->w.limits.timeout_ns = 7200 * S;
    l->w.policy.decide = allow_each;
    l->w.cfg.store = l->st;
}

static void leased_close(leased *l)
{
    aios_store_close(l->st);
    world_close(&l->w);
    unlink(l->path);
}

static aios_run *start_as(leased *l, const char *id)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run *r = NULL;
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = id;
    must(aios_run_start_with(l->w.agent, &o, &r, &err), &err);
    return r;
}

/* Until the tool has begun, and nothing more is to be told. */
static void drive_to_the_wait(const leased *l, aios_run *r)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_run_next(r, 0, &ev)) == 0 || !l->call)
        if ((rc && rc != AIOS_AGAIN) || (!rc && ev->type == AIOS_EVENT_ERROR))
            fail_msg("%d: %s", rc, rc ? "" : ev->error->msg);
    assert_int_equal(rc, AIOS_AGAIN);
}

static aios_run *start_waiting(leased *l)
{
    world_agent(&l->w);
    aios_run *r = start_as(l, "r");
    drive_to_the_wait(l, r);
    return r;
}

static void go_on_to_the_end(aios_run *r, int code)
{
    const aios_event *ev;
    int got = 1;
    while (!aios_run_next(r, -1, &ev)) {
        if (ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR)
            got = ev->type == AIOS_EVENT_DONE ? 0 : ev->error->code;
        if (ev->type == AIOS_EVENT_ERROR && !code)
            fail_msg("%s", ev->error->msg);
    }
    assert_int_equal(got, code);
    check_whole(aios_run_transcript(r));
}

/* Somebody else wants the run. */
static int try_to_take(leased *l, const char *name)
{
    aios_claim *c = NULL;
    int rc = aios_store_claim(l->st, name, NULL, &c, NULL);
    aios_claim_release(c);
    return rc;
}

/* ---- kept ----------------------------------------------------------------------------------------------------------- */

static void a_run_keeps_its_claim_however_long_it_waits(void **state)
{
    (void)state;
    leased l;
    const aios_event *ev;
    leased_open(&l, "echo:call wait {}; turn; say ok");
    aios_run *r = start_waiting(&l);
    assert_int_equal(server.rows[0].ttl, 90 * S); /* half as much again as a tool's call may take */
    assert_int_equal(renewed("run/r"), 0);        /* five records, no time */
    for (int i = 0; i < 100; i++) {
        put_forward(29 * S);
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        put_forward(29 * S);
        assert_int_equal(try_to_take(&l, "run/r"), AIOS_EBUSY);
    }
    assert_in_range(renewed("run/r"), 90, 100);
    put_forward(89 * S); /* late, and nobody came meanwhile */
    aios_call_finish(l.call, 0, "over", AIOS_CSTR);
    go_on_to_the_end(r, 0);
    aios_run_free(r);
    assert_int_equal(try_to_take(&l, "run/r"), 0);
    leased_close(&l);
}

static void the_time_of_a_claim_follows_from_that_of_a_call(void **state)
{
    (void)state;
    static const int64_t rows[][2] = {{S, 60 * S}, {40 * S, 60 * S}, {600 * S, 900 * S}, {INT64_MAX, 3600 * S}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        leased l;
        leased_open(&l, "echo:say ok");
        l.w.limits.tool_timeout_ns = rows[i][0];
        world_agent(&l.w);
        aios_run *r = start_as(&l, "r");
        assert_int_equal(server.rows[0].ttl, rows[i][1]);
        go_on_to_the_end(r, 0);
        aios_run_free(r);
        leased_close(&l);
    }
}

/* ---- woken ---------------------------------------------------------------------------------------------------------- */

static int before_the_end; /* renewals, as the tool or the model ended */

static void think_long(void)
{
    sleep_ms(400);
    before_the_end = renewed("run/r");
}

static void *finish_late(void *arg)
{
    think_long();
    aios_call_finish(arg, 0, "late", AIOS_CSTR);
    return NULL;
}

static void who_waits_for_a_tool_wakes_to_renew(void **state)
{
    (void)state;
    leased l;
    pthread_t t;
    leased_open(&l, "echo:call wait {}; turn; say ok");
    aios_run *r = start_waiting(&l);
    put_forward(30 * S - S / 10);
    assert_int_equal(pthread_create(&t, NULL, finish_late, l.call), 0);
    go_on_to_the_end(r, 0);
    pthread_join(t, NULL);
    assert_int_equal(before_the_end, 1);
    aios_run_free(r);
    leased_close(&l);
}

static void who_waits_for_a_model_wakes_to_renew(void **state)
{
    (void)state;
    leased l;
    static const char *const lines[] = {"fine", NULL};
    scribe s = {.lines = lines, .think = think_long};
    leased_open(&l, "echo:");
    l.w.cfg.model = scribe_model(l.w.ctx, "slow", &s);
    l.w.cfg.driver = AIOS_DRIVER_THREAD;
    world_agent(&l.w);
    aios_run *r = start_as(&l, "r");
    put_forward(30 * S - S / 10);
    go_on_to_the_end(r, 0);
    assert_int_equal(before_the_end, 1);
    aios_run_free(r);
    aios_model_close(l.w.cfg.model);
    leased_close(&l);
}

/* Also where a person is asked: the host waits by the descriptor alone. */
static void the_descriptor_wakes_its_host_to_renew(void **state)
{
    (void)state;
    for (int asks = 0; asks < 2; asks++) {
        leased l;
        const aios_event *ev;
        leased_open(&l, asks ? "echo:call pay {}; turn; say ok" : "echo:call wait {}; turn; say ok");
        aios_tool pay = make_tool("pay", tool_count, &l.acted);
        pay.effect = AIOS_EFFECT_UNSAFE;
        world_tool(&l.w, pay);
        l.w.policy.decide = NULL;
        l.call = asks ? (aios_call *)&l : NULL;
        aios_run *r = start_waiting(&l);
        struct pollfd p = {.fd = aios_run_fd(r), .events = POLLIN};
        assert_true(p.fd >= 0);
        while (poll(&p, 1, 0) > 0)
            assert_true(aios_run_next(r, 0, &ev) >= 0);
        put_forward(30 * S - S / 2);
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        assert_int_equal(renewed("run/r"), 0);
        assert_int_equal(poll(&p, 1, 5000), 1);
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        assert_int_equal(renewed("run/r"), 1);
        assert_int_equal(poll(&p, 1, 0), 0);
        aios_run_free(r);
        if (!asks)
            aios_call_finish(l.call, 0, "too late", AIOS_CSTR);
        leased_close(&l);
    }
}

/* ---- lost ----------------------------------------------------------------------------------------------------------- */

static void who_has_lost_its_run_does_nothing_more(void **state)
{
    (void)state;
    leased l;
    aios_claim *taken = NULL;
    aios_error err = AIOS_INIT(aios_error);
    log_text log;
    const aios_event *ev;
    leased_open(&l, "echo:call wait {}; turn; call act {}; turn; say ok");
    aios_run *r = start_waiting(&l);
    put_forward(91 * S);
    must(aios_store_claim(l.st, "run/r", NULL, &taken, &err), &err);
    aios_call_finish(l.call, 0, "over", AIOS_CSTR);
    uint32_t commits = l.faults.commits;
    memset(&log, 0, sizeof log);
    while (!aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_ERROR) {
            log.code = ev->error->code;
            snprintf(log.msg, sizeof log.msg, "%s", ev->error->msg);
        }
    assert_int_equal(log.code, AIOS_ECONFLICT);
    assert_non_null(strstr(log.msg, "(drive a run at least every 30 s)"));
    assert_int_equal(l.acted, 0);
    assert_int_equal(l.faults.commits, commits);
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    assert_int_equal(try_to_take(&l, "run/r"), AIOS_EBUSY); /* it has let go of nothing that is another's */
    aios_claim_release(taken);
    l.call = NULL;
    must(aios_run_resume(l.w.agent, "r", &r, &err), &err);
    drive_to_the_wait(&l, r);
    aios_call_finish(l.call, 0, "over", AIOS_CSTR);
    go_on_to_the_end(r, 0);
    assert_int_equal(l.acted, 1);
    aios_run_free(r);
    leased_close(&l);
}

/* A store that is away is no reason to stop, as long as nobody else can have got the run. */
static void a_store_that_is_away_for_a_while_ends_nothing(void **state)
{
    (void)state;
    for (int long_away = 0; long_away < 2; long_away++) {
        leased l;
        const aios_event *ev;
        leased_open(&l, "echo:call wait {}; turn; call act {}; turn; say ok");
        aios_run *r = start_waiting(&l);
        server.fail_renew = AIOS_EUNAVAIL;
        for (int i = 0; i < 29; i++) {
            put_forward(3 * S);
            assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        }
        assert_in_range(server.rows[0].n_refused, 15, 20); /* every 3 s from the 30th on, and not more often */
        if (long_away)
            put_forward(4 * S);
        else
            server.fail_renew = 0;
        aios_call_finish(l.call, 0, "over", AIOS_CSTR);
        go_on_to_the_end(r, long_away ? AIOS_EUNAVAIL : 0);
        assert_int_equal(l.acted, !long_away);
        aios_run_free(r);
        leased_close(&l);
    }
}

/* No effect behind a claim's time: neither where asking took the rest of it, nor between two tries. */
static void what_was_not_renewed_in_time_acts_no_more(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        leased l;
        const aios_event *ev;
        leased_open(&l, "echo:call wait {}; turn; call act {}; turn; say ok");
        aios_run *r = start_waiting(&l);
        server.fail_renew = AIOS_EUNAVAIL;
        server.fails_for = slow ? 60 * S : 0;
        put_forward(slow ? 31 * S : 88 * S);
        if (!slow) {
            assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
            put_forward(5 * S / 2);
        }
        aios_call_finish(l.call, 0, "over", AIOS_CSTR);
        go_on_to_the_end(r, AIOS_EUNAVAIL);
        assert_int_equal(l.acted, 0);
        aios_run_free(r);
        leased_close(&l);
    }
}

/* ---- called agents -------------------------------------------------------------------------------------------------- */

/* The world's agent calls "helper", which waits; the second row of the server is its run's. */
static aios_run *start_helper(leased *l, other *o)
{
    leased_open(l, "echo:call helper {\"prompt\":\"x\"}; turn; say ok");
    other_open(&l->w, o, "echo:call wait {}; turn; call act {}; turn; say done");
    aios_tool wait = make_tool("wait", tool_wait, l), act = make_tool("act", tool_count, &l->acted);
    wait.timeout_ns = 7200 * S;
    must(aios_toolset_add(o->ts, &wait, NULL), &(aios_error)AIOS_INIT(aios_error));
    must(aios_toolset_add(o->ts, &act, NULL), &(aios_error)AIOS_INIT(aios_error));
    o->limits.timeout_ns = 7200 * S;
    o->cfg.store = l->st;
    other_agent(&l->w, o);
    add_agent(l->w.ts, o->agent, "helper");
    return start_waiting(l);
}

static void callers_and_called_keep_their_claims(void **state)
{
    (void)state;
    leased l;
    other o;
    const aios_event *ev;
    aios_run *r = start_helper(&l, &o);
    const char *below = server.rows[1].name;
    assert_int_equal(strncmp(below, "run/call-", 9), 0);
    for (int i = 0; i < 50; i++) {
        put_forward(58 * S);
        assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
        put_forward(29 * S);
        assert_int_equal(try_to_take(&l, "run/r"), AIOS_EBUSY);
        assert_int_equal(try_to_take(&l, below), AIOS_EBUSY);
    }
    pthread_t t;
    put_forward(2 * S);
    assert_int_equal(aios_run_next(r, 0, &ev), AIOS_AGAIN);
    put_forward(30 * S - S / 10);
    int n = renewed("run/r"), n_below = renewed(below);
    assert_int_equal(pthread_create(&t, NULL, finish_late, l.call), 0);
    go_on_to_the_end(r, 0);
    pthread_join(t, NULL);
    assert_true(before_the_end > n && renewed(below) > n_below);
    assert_int_equal(l.acted, 1);
    aios_run_free(r);
    other_close(&o);
    leased_close(&l);
}

static void a_caller_or_a_called_that_is_lost_ends_both(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        leased l;
        other o;
        aios_claim *taken = NULL;
        aios_error err = AIOS_INIT(aios_error);
        aios_run *r = start_helper(&l, &o);
        put_forward(91 * S);
        must(aios_store_claim(l.st, server.rows[i].name, NULL, &taken, &err), &err);
        aios_call_finish(l.call, 0, "over", AIOS_CSTR);
        go_on_to_the_end(r, AIOS_ECONFLICT);
        assert_int_equal(l.acted, 0);
        aios_run_free(r);
        aios_claim_release(taken);
        l.call = NULL;
        must(aios_run_resume(l.w.agent, "r", &r, &err), &err);
        if (i) { /* the called one could write no receipt */
            drive_to_the_wait(&l, r);
            aios_call_finish(l.call, 0, "over", AIOS_CSTR);
        }
        go_on_to_the_end(r, 0);
        assert_int_equal(l.acted, 1);
        aios_run_free(r);
        other_close(&o);
        leased_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_keeps_its_claim_however_long_it_waits),
        cmocka_unit_test(the_time_of_a_claim_follows_from_that_of_a_call),
        cmocka_unit_test(who_waits_for_a_tool_wakes_to_renew),
        cmocka_unit_test(who_waits_for_a_model_wakes_to_renew),
        cmocka_unit_test(the_descriptor_wakes_its_host_to_renew),
        cmocka_unit_test(who_has_lost_its_run_does_nothing_more),
        cmocka_unit_test(a_store_that_is_away_for_a_while_ends_nothing),
        cmocka_unit_test(what_was_not_renewed_in_time_acts_no_more),
        cmocka_unit_test(callers_and_called_keep_their_claims),
        cmocka_unit_test(a_caller_or_a_called_that_is_lost_ends_both),
    };
    pthread_mutex_init(&server.lock, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
