/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole turns of a remote model before the hostile server: every behaviour gives its code, says why, keeps what had come, ends in time, and
 * leaves no byte behind. Then what holds for any of them: no text of two attempts mixes, a cancel is heeded whenever it comes, no mistake
 * in the bytes of a stream does more than fail its turn.
 */
#include "hostile_turn.h"

#include <pthread.h>

static uint64_t used(const aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

/* A model, a session and a turn, all gone again. */
static void exchange(aios_ctx *ctx, const hostile_row *row, aios_remote_config rc, turn *t)
{
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *tr = hello(ctx);
    must(open_row(ctx, row, &rc, &m, &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    aios_model_close(m);
    take_turn(s, tr, t);
    aios_session_free(s);
    aios_transcript_free(tr);
}

/* What a turn gave, and when, against its row. */
static void judge(const hostile_row *row, const turn *t, char *why, size_t n)
{
    int deadline = row->turn == AIOS_ETIMEDOUT || row->turn == HOSTILE_ANY ? deadline_ms(row->by) : 0;
    const char *silent = t->rc ? mute(t->rc, &t->err) : NULL;
    bool any = row->turn == HOSTILE_ANY;
    if (t->rc != row->turn && !any)
        snprintf(why, n, "gives %s instead of %s: %s", aios_code_name(t->rc), aios_code_name(row->turn), t->err.msg);
    else if (t->wrong[0])
        snprintf(why, n, "%s", t->wrong);
    else if ((t->ms < deadline - 20 && !any) || t->ms > deadline + (deadline ? LATE_MS : WORK_MS))
        snprintf(why, n, "ended after %d ms instead of %d", (int)t->ms, deadline);
    else if (silent)
        snprintf(why, n, "%s: %s", silent, t->err.msg);
    else if (row->text && strcmp(row->text, t->text))
        snprintf(why, n, "says \"%.80s\" instead of \"%s\"", t->text, row->text);
    else if (!any && !t->rc && strcmp(row->calls ? row->calls : "", t->calls) && (row->calls || row->text))
        snprintf(why, n, "calls %.80s instead of %s", t->calls, row->calls ? row->calls : "nothing");
    else if (row->says && !strstr(t->err.msg, row->says))
        snprintf(why, n, "does not say \"%s\": %s", row->says, t->err.msg);
    else if (t->usage.cached > t->usage.input || t->usage.reasoning > t->usage.output)
        snprintf(why, n, "tells %u tokens, %u of them cached", t->usage.input, t->usage.cached);
}

static worst most;

static bool holds(const hostile_row *row, char *why, size_t n)
{
    test_heap heap = {0};
    static turn t;
    aios_remote_config rc = {.max_retries = AIOS_NO_RETRIES};
    aios_ctx *ctx = test_ctx(&heap, 0);
    hostile_choose(&server, hostile_find("plain"));
    exchange(ctx, hostile_find("plain"), rc, &t); /* libcurl is there, and warm */
    hostile_choose(&server, row);
    uint64_t before = used(ctx);
    long mark = memory_mark();
    exchange(ctx, row, rc, &t);
    long grown = memory_grown(mark);
    uint64_t after = used(ctx);
    why[0] = 0;
    judge(row, &t, why, n);
    if (!why[0] && grown > 4096 && !(row->flags & HOSTILE_BIG))
        snprintf(why, n, "took %ld KiB", grown);
    else if (!why[0] && after != before)
        snprintf(why, n, "keeps %lld bytes", (long long)(after - before));
    else if (!why[0] && server.shared->n_trapped)
        snprintf(why, n, "connects elsewhere");
    aios_ctx_free(ctx);
    if (!why[0] && heap.live)
        snprintf(why, n, "leaks %ld blocks", heap.live);
    if (!why[0])
        note_worst(&most, row, t.rc == AIOS_ETIMEDOUT && row->by ? (int)t.ms - deadline_ms(row->by) : 0, row->flags & HOSTILE_BIG ? 0 : grown);
    return !why[0];
}

static void every_behaviour_gives_its_code_in_time_and_leaves_nothing(void **state)
{
    (void)state;
    const hostile_row *row;
    char why[1024];
    int n_wrong = 0;
    const char *only = getenv("AIOS_TEST_ONLY");
    for (uint32_t i = 0; (row = hostile_at(i)); i++) {
        if (only && strcmp(only, row->name))
            continue;
        int tries = 5; /* a busy machine is late at times, but not always */
        while (tries && !holds(row, why, sizeof why) && strstr(why, " ms instead of "))
            tries--;
        if (why[0]) {
            print_error("%s: %s\n", row->name, why);
            n_wrong++;
        }
    }
    tell_worst(&most);
    assert_int_equal(n_wrong, 0);
}

static void left_over_bytes_never_answer_another_turn(void **state)
{
    (void)state;
    const char *const names[] = {"second-response", "second-response-late", "kept-then-reset", "kept", "hold-open-behind-the-end",
        "chunks-and-length"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const hostile_row *row = hostile_find(names[i]);
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        static turn t;
        hostile_choose(&server, row);
        for (int k = 0; k < 4; k++) {
            aios_remote_config rc = {.max_retries = AIOS_NO_RETRIES};
            exchange(ctx, row, rc, &t);
            if (t.rc || t.wrong[0] || strcmp(t.text, "Hello"))
                fail_msg("%s: turn %d gives %s, \"%.80s\": %s%s", row->name, k, aios_code_name(t.rc), t.text, t.err.msg, t.wrong);
            usleep(50000); /* the late one comes */
        }
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
    }
}

/* ---- attempts ------------------------------------------------------------------------------------------------------------ */

/* No randomness: no attempt waits for the jitter. */
static int no_random(void *user, void *p, size_t n, int32_t *sys)
{
    (void)user;
    *sys = 0;
    memset(p, 0, n);
    return 0;
}

static aios_ctx *hasty_ctx(test_heap *h)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    env.user = h;
    env.realloc = heap_realloc;
    env.random = no_random;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    return ctx;
}

static void no_server_decides_how_long_is_waited(void **state)
{
    (void)state;
    const hostile_row *row;
    int n_rows = 0, n_good = 0;
    for (uint32_t i = 0; (row = hostile_at(i)); i++) {
        if (strncmp(row->name, "later-", 6))
            continue;
        test_heap heap = {0};
        static turn t;
        aios_remote_config rc = {.max_retries = 1};
        aios_ctx *ctx = hasty_ctx(&heap);
        hostile_choose(&server, row);
        exchange(ctx, row, rc, &t);
        bool good = !t.rc && !strcmp(t.text, "Hello") && t.attempt == 0 && server.shared->n_requests == 2;
        bool given_up = t.rc == row->turn && server.shared->n_requests == 1;
        if (t.wrong[0] || !(good || given_up) || t.ms > WORK_MS)
            fail_msg("%s: %s after %u requests and %d ms: %s%s", row->name, aios_code_name(t.rc), server.shared->n_requests, (int)t.ms,
                t.err.msg, t.wrong);
        n_rows++;
        n_good += good;
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
    }
    assert_true(n_rows >= 12 && n_good >= 5);
}

typedef struct worker {
    aios_model *m;
    aios_ctx *ctx;
    long n, n_whole, n_cut, n_again;
    int whole_only;
    char why[1024];
} worker;

static void *turn_often(void *arg)
{
    worker *w = arg;
    turn *t = malloc(sizeof *t);
    aios_session *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_transcript *tr = hello(w->ctx);
    if (aios_session_new(w->m, NULL, &s, &err))
        snprintf(w->why, sizeof w->why, "%s", err.msg);
    for (long i = 0; i < w->n && !w->why[0]; i++) {
        char want[HOSTILE_TOKENS * 12 + 1];
        take_turn(s, tr, t);
        hostile_text((uint32_t)strtoul(t->text, NULL, 10), want, sizeof want);
        w->n_whole += !t->rc;
        w->n_cut += t->rc != 0;
        w->n_again += t->attempt > 0;
        if (t->wrong[0] || (t->rc && t->rc != AIOS_EPROTO && t->rc != AIOS_EUNAVAIL))
            snprintf(w->why, sizeof w->why, "turn %ld: %s%s: %s", i, t->wrong, aios_code_name(t->rc), t->err.msg);
        else if (t->rc ? strncmp(t->text, want, t->n_text) : strcmp(t->text, want))
            snprintf(w->why, sizeof w->why, "turn %ld, %s, attempt %u: tokens of two attempts: %.400s", i, aios_code_name(t->rc), t->attempt,
                t->text);
    }
    aios_session_free(s);
    aios_transcript_free(tr);
    free(t);
    return NULL;
}

static void reset_at_random(uint32_t retries, long n, worker *sum)
{
    test_heap heap = {0};
    aios_ctx *ctx = hasty_ctx(&heap);
    aios_model *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_remote_config rc = {.max_retries = retries};
    worker w[4];
    pthread_t th[4];
    hostile_choose(&server, hostile_find("numbered"));
    must(open_row(ctx, hostile_find("numbered"), &rc, &m, &err), &err);
    server.shared->cut_seed = 20240602;
    for (int i = 0; i < 4; i++) {
        w[i] = (worker){.m = m, .ctx = ctx, .n = n / 4};
        assert_int_equal(pthread_create(&th[i], NULL, turn_often, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(th[i], NULL);
    server.shared->cut_seed = 0;
    aios_model_close(m);
    aios_ctx_free(ctx);
    *sum = (worker){0};
    for (int i = 0; i < 4; i++) {
        if (w[i].why[0])
            fail_msg("%s", w[i].why);
        sum->n_whole += w[i].n_whole;
        sum->n_cut += w[i].n_cut;
        sum->n_again += w[i].n_again;
    }
    assert_int_equal(heap.live, 0);
}

static void resets_at_random_bytes_mix_nothing(void **state)
{
    (void)state;
    worker sum;
    reset_at_random(AIOS_NO_RETRIES, rounds(4000), &sum);
    assert_true(sum.n_whole > 0 && sum.n_cut > sum.n_whole && !sum.n_again);
    reset_at_random(8, rounds(2000), &sum);
    print_message("%u connections: %ld turns whole, %ld of them not at first, %ld not\n", server.shared->n_connections, sum.n_whole,
        sum.n_again, sum.n_cut);
    assert_true(sum.n_whole > 8 * sum.n_cut && sum.n_again > sum.n_whole / 2);
}

/* ---- cancels ------------------------------------------------------------------------------------------------------------- */

typedef struct canceller {
    aios_session *s;
    unsigned after_us;
    double at;
} canceller;

static void *cancel_later(void *arg)
{
    canceller *c = arg;
    usleep(c->after_us);
    c->at = now_ms();
    aios_session_cancel(c->s);
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Cancels a number of them; ms that 99 in 100 took at most. */
static double cancel_some(void)
{
    const char *const names[] = {"connect-black-hole", "silence", "silence-in-stream", "tls-silence", "slow-headers", "slow-body",
        "endless-body", "later-0", "comment-flood"};
    static double late[100000];
    static turn t;
    size_t n_names = sizeof names / sizeof names[0], n = (size_t)rounds(100), k = 0;
    n = n < 100000 ? n : 100000;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_transcript *tr = hello(ctx);
    for (size_t i = 0; i < n; i++) {
        const hostile_row *row = hostile_find(names[i % n_names]);
        aios_model *m = NULL;
        canceller c = {.after_us = (unsigned)(i * 7919 % 25000)};
        aios_error err = AIOS_INIT(aios_error);
        aios_remote_config rc = {.max_retries = 5};
        pthread_t th;
        hostile_choose(&server, row);
        must(open_row(ctx, row, &rc, &m, &err), &err);
        must(aios_session_new(m, NULL, &c.s, &err), &err);
        must(begin_turn(c.s, tr, &t), &t.err);
        assert_int_equal(pthread_create(&th, NULL, cancel_later, &c), 0);
        end_turn(c.s, &t);
        double ended = now_ms();
        pthread_join(th, NULL);
        aios_session_free(c.s);
        aios_model_close(m);
        if (t.wrong[0] || (t.rc != AIOS_ECANCELED && t.rc != row->turn && t.rc))
            fail_msg("%s, cancelled: %s: %s%s", row->name, aios_code_name(t.rc), t.err.msg, t.wrong);
        if (t.rc == AIOS_ECANCELED)
            late[k++] = ended - c.at;
    }
    aios_transcript_free(tr);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    assert_true(k > n / 2);
    qsort(late, k, sizeof *late, by_size);
    print_message("%zu cancels: median %.2f ms, p99 %.2f ms, worst %.2f ms\n", k, late[k / 2], late[k * 99 / 100], late[k - 1]);
    return late[k * 99 / 100];
}

static void cancels_at_random_moments_are_heeded(void **state)
{
    (void)state;
    double p99 = cancel_some();
    for (int i = 0; i < 3 && p99 > 250; i++) /* a busy machine is late at times, but not always */
        p99 = cancel_some();
    assert_true(p99 <= 250);
}

/* ---- random mistakes ------------------------------------------------------------------------------------------------------ */

static void mistakes_in_a_stream_only_fail_its_turn(void **state)
{
    (void)state;
    const char *const names[] = {"numbered", "mixed", "chunks-and-length", "json-whole", "calls-interleaved", "error-400", "later-0",
        "interim-then-final", "stream-error-late"};
    static turn t;
    size_t n_names = sizeof names / sizeof names[0];
    long n = rounds(2500), n_failed = 0;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    for (long i = 0; i < n; i++) {
        hostile_row row = *hostile_find(names[(size_t)i % n_names]);
        aios_remote_config rc = {.max_retries = AIOS_NO_RETRIES};
        hostile_choose(&server, hostile_find(row.name));
        server.shared->serial = 0;
        server.shared->mutate_seed = (uint64_t)i + 1;
        row.by = BY_TOTAL; /* a length that grew is waited for in vain */
        exchange(ctx, &row, rc, &t);
        const char *silent = t.rc ? mute(t.rc, &t.err) : NULL;
        if (t.wrong[0] || silent || t.ms > TOTAL_MS + LATE_MS || t.usage.cached > t.usage.input)
            fail_msg("%s with mistakes %ld: %s after %d ms: %s%s %s", row.name, i + 1, aios_code_name(t.rc), (int)t.ms, t.err.msg, t.wrong,
                silent ? silent : "");
        n_failed += t.rc != 0;
    }
    server.shared->mutate_seed = 0;
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    assert_true(n_failed > n / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_behaviour_gives_its_code_in_time_and_leaves_nothing),
        cmocka_unit_test(left_over_bytes_never_answer_another_turn),
        cmocka_unit_test(no_server_decides_how_long_is_waited),
        cmocka_unit_test(resets_at_random_bytes_mix_nothing),
        cmocka_unit_test(cancels_at_random_moments_are_heeded),
        cmocka_unit_test(mistakes_in_a_stream_only_fail_its_turn),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("hostile chat", tests, start_server, stop_server);
}
