/* SPDX-License-Identifier: Apache-2.0 */
/* Commits that a run does not wait for: nothing happens before it may, whatever comes between, and runs of one thread share them. */
#include <poll.h>

#include <aios/plugin/store.h>

#include "agent_test.h"

/* ---- a store over memory: whose commits are held until they are let go ---------------------------------------------- */

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    int free;      /* commits that may go on, -1: all */
    int waiting, done, most; /* most: writes of one commit */
    int fail_sys;  /* of those that go on; 0: they succeed */
} gate;

static gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};

static void let_so(int n, int fail_sys)
{
    pthread_mutex_lock(&g.lock);
    g.free = n;
    g.fail_sys = fail_sys;
    pthread_cond_broadcast(&g.moved);
    pthread_mutex_unlock(&g.lock);
}

static void let(int n)
{
    let_so(n, 0);
}

static void await_waiting(void)
{
    pthread_mutex_lock(&g.lock);
    while (!g.waiting)
        pthread_cond_wait(&g.moved, &g.lock);
    pthread_mutex_unlock(&g.lock);
}

static int held_open(const aios_store_open_args *args, void **self, aios_error *err)
{
    return aios_store_open(args->ctx, "memory:held", NULL, (aios_store **)self, err);
}

static void held_close(void *self)
{
    aios_store_close(self);
}

static int held_commit(void *self, const aios_store_commit_args *a, aios_error *err)
{
    pthread_mutex_lock(&g.lock);
    g.waiting++;
    pthread_cond_broadcast(&g.moved);
    while (!g.free)
        pthread_cond_wait(&g.moved, &g.lock);
    g.free -= g.free > 0;
    g.waiting--;
    g.done++;
    g.most = (int)a->n_writes > g.most ? (int)a->n_writes : g.most;
    int sys = g.fail_sys;
    pthread_mutex_unlock(&g.lock);
    if (!sys)
        return aios_store_commit(self, a->writes, a->n_writes, sizeof *a->writes, a->seqs, err);
    if (err) {
        err->code = AIOS_EIO;
        err->sys = sys;
        snprintf(err->msg, sizeof err->msg, "as the test wants it");
    }
    return AIOS_EIO;
}

static int held_read(void *self, const aios_store_read_args *a, aios_error *err)
{
    return aios_store_read(self, a->stream, a->from, a->fn, a->user, err);
}

static int held_head(void *self, const char *stream, uint64_t *seq, aios_error *err)
{
    return aios_store_head(self, stream, seq, err);
}

static int held_list(void *self, const aios_store_list_args *a, aios_error *err)
{
    return aios_store_list(self, a->prefix, a->fn, a->user, err);
}

static int held_remove(void *self, const char *stream, aios_error *err)
{
    return aios_store_remove(self, stream, err);
}

static aios_store *open_held(aios_ctx *ctx)
{
    static const aios_store_ops ops = {.struct_size = sizeof ops, .name = "held", .open = held_open, .close = held_close, .commit = held_commit,
                                       .read = held_read, .head = held_head, .list = held_list, .remove = held_remove, .flags = AIOS_STORE_OPS_SLOW};
    aios_error err = AIOS_INIT(aios_error);
    aios_store *st = NULL;
    must(aios_store_register(ctx, &ops, NULL, &err), &err);
    must(aios_store_open(ctx, "held:", NULL, &st, &err), &err);
    let(-1);
    g.done = g.most = 0;
    return st;
}

/* ---- a world over it ------------------------------------------------------------------------------------------------ */

typedef struct late {
    world w;
    aios_store *store;
    _Atomic int n_acted;
} late;

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    (void)a;
    out->verdict = AIOS_ALLOW;
    return 0;
}

static void late_open(late *l, test_heap *h, const char *script)
{
    memset(l, 0, sizeof *l);
    world_open(&l->w, h, script);
    aios_tool t = make_tool("act", tool_count, &l->n_acted);
    t.effect = AIOS_EFFECT_UNSAFE;
    world_tool(&l->w, t);
    l->w.cfg.store = l->store = open_held(l->w.ctx);
    l->w.policy.decide = allow;
    world_agent(&l->w);
}

static void late_close(late *l)
{
    aios_store_close(l->store);
    world_close(&l->w);
}

static aios_run *start_as(late *l, const char *id)
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

static bool readable(aios_run *r, int ms)
{
    struct pollfd p = {.fd = aios_run_fd(r), .events = POLLIN};
    assert_true(p.fd >= 0);
    return poll(&p, 1, ms) == 1;
}

/* All that comes without the commit that is held: the run waits for nothing else then. */
static void pull_until_held(aios_run *r, log_text *l)
{
    const aios_event *ev;
    int rc;
    for (;;) {
        while ((rc = aios_run_next(r, 0, &ev)) == AIOS_OK)
            log_event(l, ev);
        assert_int_equal(rc, AIOS_AGAIN);
        if (!readable(r, 200)) {
            await_waiting();
            return;
        }
    }
}

static void poll_all(aios_run *r, log_text *l)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_run_next(r, 0, &ev)) != AIOS_DONE) {
        assert_true(rc == AIOS_OK || rc == AIOS_AGAIN);
        if (!rc)
            log_event(l, ev);
        else
            assert_true(readable(r, 20000));
    }
}

static const char acting[] = "echo:call act {};turn;say done";
static const char acted[] = "model|tools|call:act{}|result:counted|model|text:done|done(stop):done";

/* ---- what is so ----------------------------------------------------------------------------------------------------- */

static void an_effect_waits_for_its_intent_and_the_end_for_its_record(void **state)
{
    (void)state;
    late k;
    log_text l = {0};
    test_heap h = {0};
    late_open(&k, &h, acting);
    aios_run *r = start_as(&k, "one");
    let(0);
    pull_until_held(r, &l); /* the intent */
    assert_int_equal(k.n_acted, 0);
    assert_string_equal(l.s, "model|tools|call:act{}");
    let(1);
    assert_true(readable(r, 20000));
    pull_until_held(r, &l); /* the receipt: the model goes on meanwhile, and the end waits */
    assert_int_equal(k.n_acted, 1);
    assert_string_equal(l.s, "model|tools|call:act{}|result:counted|model|text:done");
    let(1);
    pull_until_held(r, &l); /* the end */
    assert_string_equal(l.s, "model|tools|call:act{}|result:counted|model|text:done");
    let(1);
    poll_all(r, &l);
    assert_string_equal(l.s, acted);
    assert_int_equal(g.done, 4); /* begin; turn and intent; receipt; turn and end */
    aios_run_free(r);
    late_close(&k);
    assert_int_equal(h.live, 0);
}

static void a_cancel_before_the_effect_leaves_a_call_that_did_not_begin(void **state)
{
    (void)state;
    for (int durable = 0; durable < 2; durable++) {
        late k;
        log_text l = {0}, again = {0};
        aios_error err = AIOS_INIT(aios_error);
        aios_run_info info = AIOS_INIT(aios_run_info);
        late_open(&k, NULL, acting);
        aios_run *r = start_as(&k, "two");
        let(0);
        pull_until_held(r, &l);
        if (durable) { /* the intent is there, and nobody has looked */
            let(1);
            assert_true(readable(r, 20000));
        }
        aios_run_cancel(r);
        let(-1);
        poll_all(r, &l);
        assert_int_equal(l.code, AIOS_ECANCELED);
        assert_int_equal(k.n_acted, 0);
        aios_run_free(r);
        must(aios_run_info_get(k.w.ctx, k.store, "two", &info, &err), &err);
        assert_int_equal(info.state, AIOS_RUN_STOPPED);
        assert_int_equal(info.n_unknown, 0);
        must(aios_run_resume(k.w.agent, "two", &r, &err), &err);
        poll_all(r, &again);
        assert_string_equal(again.s, "resume|result:counted|model|text:done|done(stop):done");
        assert_int_equal(k.n_acted, 1);
        aios_run_free(r);
        late_close(&k);
    }
}

static void *let_later(void *arg)
{
    (void)arg;
    sleep_ms(100);
    let(-1);
    return NULL;
}

static void a_run_that_is_freed_waits_for_its_commit(void **state)
{
    (void)state;
    late k;
    log_text l = {0};
    pthread_t t;
    test_heap h = {0};
    aios_error err = AIOS_INIT(aios_error);
    late_open(&k, &h, acting);
    aios_run *r = start_as(&k, "three");
    let(0);
    pull_until_held(r, &l);
    assert_int_equal(pthread_create(&t, NULL, let_later, NULL), 0);
    aios_run_free(r);
    pthread_join(t, NULL);
    assert_int_equal(k.n_acted, 0);
    log_text again = {0};
    must(aios_run_resume(k.w.agent, "three", &r, &err), &err);
    pull_all(r, &again);
    assert_string_equal(again.s, "resume|result:counted|model|text:done|done(stop):done");
    assert_int_equal(k.n_acted, 1);
    aios_run_free(r);
    late_close(&k);
    assert_int_equal(h.live, 0);
}

static void a_commit_that_fails_on_its_way_stops_the_run(void **state)
{
    (void)state;
    for (int commits = 0; commits < 3; commits++) { /* that succeed before it: the intent fails, the receipt, the end */
        late k;
        log_text l = {0};
        aios_error err = AIOS_INIT(aios_error);
        late_open(&k, NULL, acting);
        aios_run *r = start_as(&k, "four");
        let(0);
        pull_until_held(r, &l);
        for (int i = 0; i < commits; i++) {
            let(1);
            assert_true(readable(r, 20000));
            pull_until_held(r, &l);
        }
        let_so(-1, 28);
        poll_all(r, &l);
        assert_int_equal(l.code, AIOS_EIO);
        assert_non_null(strstr(l.msg, "was not written"));
        assert_int_equal(k.n_acted, commits > 0);
        check_whole(aios_run_transcript(r));
        aios_run_free(r);
        let(-1);
        must(aios_run_resume(k.w.agent, "four", &r, &err), &err);
        const aios_event *ev;
        bool unknown = false;
        while (!aios_run_next(r, -1, &ev)) {
            unknown = unknown || ev->type == AIOS_EVENT_UNKNOWN;
            if (ev->type == AIOS_EVENT_UNKNOWN)
                must(aios_run_decide(r, ev->call_id, AIOS_DENY, &err), &err);
        }
        assert_true(unknown == (commits == 1)); /* it acted, and its receipt is lost */
        assert_int_equal(k.n_acted, 1);
        aios_run_free(r);
        late_close(&k);
    }
}

static void a_late_start_waits_before_its_first_event(void **state)
{
    (void)state;
    late k;
    log_text l = {0};
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    aios_run_info info = AIOS_INIT(aios_run_info);
    aios_run *r, *again;
    late_open(&k, NULL, acting);
    o.prompt = "go";
    o.n_prompt = AIOS_CSTR;
    o.id = "six";
    o.flags = AIOS_START_LATE;
    let(0);
    must(aios_run_start_with(k.w.agent, &o, &r, &err), &err);
    pull_until_held(r, &l);
    assert_string_equal(l.s, "");
    assert_int_equal(aios_run_info_get(k.w.ctx, k.store, "six", &info, &err), AIOS_ENOENT);
    let(1);
    assert_true(readable(r, 20000));
    pull_until_held(r, &l);
    assert_string_equal(l.s, "model|tools|call:act{}");
    must(aios_run_info_get(k.w.ctx, k.store, "six", &info, &err), &err);
    let(-1);
    poll_all(r, &l);
    assert_string_equal(l.s, acted);
    aios_run_free(r);
    assert_int_equal(aios_run_start_with(k.w.agent, &o, &again, &err), AIOS_EEXIST);
    o.flags = 2;
    o.id = "seven";
    assert_int_equal(aios_run_start_with(k.w.agent, &o, &again, &err), AIOS_EVERSION);
    o.flags = AIOS_START_LATE;
    let_so(-1, 28);
    must(aios_run_start_with(k.w.agent, &o, &r, &err), &err);
    log_text failed = {0};
    poll_all(r, &failed);
    assert_string_equal(failed.s, "error:EIO");
    aios_run_free(r);
    late_close(&k);
}

enum { MANY = 24 };

static void runs_of_one_thread_share_commits(void **state)
{
    (void)state;
    late k;
    static log_text l[MANY];
    aios_run *runs[MANY];
    int open = MANY;
    late_open(&k, NULL, acting);
    memset(l, 0, sizeof l);
    for (int i = 0; i < MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "many-%d", i);
        runs[i] = start_as(&k, id);
    }
    let(0);
    for (int i = 0; i < MANY; i++)
        pull_until_held(runs[i], &l[i]);
    g.most = g.done = 0;
    let(-1);
    while (open)
        for (int i = 0; i < MANY; i++) {
            const aios_event *ev;
            int rc = runs[i] ? aios_run_next(runs[i], 0, &ev) : AIOS_AGAIN;
            if (!rc)
                log_event(&l[i], ev);
            if (rc != AIOS_DONE)
                continue;
            aios_run_free(runs[i]);
            runs[i] = NULL;
            open--;
        }
    for (int i = 0; i < MANY; i++)
        assert_string_equal(l[i].s, acted);
    assert_int_equal(k.n_acted, MANY);
    assert_true(g.most >= 2 * (MANY - 1)); /* turn and intent of all that came while the first was held */
    aios_store_info info = AIOS_INIT(aios_store_info);
    assert_int_equal(aios_store_info_get(k.store, &info), 0);
    assert_true((int)info.n_commits > g.done); /* commits that were made together are several still */
    late_close(&k);
}

static void one_that_waits_takes_over_what_is_on_its_way(void **state)
{
    (void)state;
    late k;
    log_text l = {0};
    pthread_t t;
    late_open(&k, NULL, acting);
    aios_run *r = start_as(&k, "five");
    let(0);
    pull_until_held(r, &l);
    const aios_event *ev;
    assert_int_equal(aios_run_next(r, 20, &ev), AIOS_AGAIN); /* and who waits for some time gets it back then */
    assert_int_equal(pthread_create(&t, NULL, let_later, NULL), 0);
    pull_all(r, &l);
    pthread_join(t, NULL);
    assert_string_equal(l.s, acted);
    aios_run_free(r);
    late_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_effect_waits_for_its_intent_and_the_end_for_its_record),
        cmocka_unit_test(a_cancel_before_the_effect_leaves_a_call_that_did_not_begin),
        cmocka_unit_test(a_run_that_is_freed_waits_for_its_commit),
        cmocka_unit_test(a_commit_that_fails_on_its_way_stops_the_run),
        cmocka_unit_test(a_late_start_waits_before_its_first_event),
        cmocka_unit_test(runs_of_one_thread_share_commits),
        cmocka_unit_test(one_that_waits_takes_over_what_is_on_its_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
