/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bare transfers before the hostile server: every behaviour gives its code, says why, ends in time, and leaves no byte behind. Then what
 * holds for any of them: nothing of two connections mixes, a cancel is heeded whenever it comes.
 */
#include "hostile_client.h"

#include <pthread.h>

#include "base/http.h"

typedef struct got {
    char text[4096]; /* the beginning of the body */
    size_t n, n_kept;
    int status; /* when the first byte came */
    aios__transfer *t;
} got;

static int on_body(void *user, const char *s, size_t n)
{
    got *g = user;
    size_t k = n < sizeof g->text - 1 - g->n_kept ? n : sizeof g->text - 1 - g->n_kept;
    if (!g->n)
        g->status = aios__transfer_status(g->t);
    memcpy(g->text + g->n_kept, s, k);
    g->n_kept += k;
    g->n += n;
    return 0;
}

static aios__transfer *begin(aios_ctx *ctx, const hostile_row *row, got *g)
{
    char url[64];
    aios_error err = AIOS_INIT(aios_error);
    hostile_url(&server, row, url);
    aios__http_request r = {.url = url,
                            .body = "{\"stream\":true}",
                            .n_body = 15,
                            .max_body = MAX_BODY,
                            .connect_ns = limit_ns(row, CONNECT_MS),
                            .first_byte_ns = limit_ns(row, FIRST_BYTE_MS),
                            .idle_ns = limit_ns(row, IDLE_MS),
                            .total_ns = limit_ns(row, TOTAL_MS),
                            .on_body = on_body,
                            .user = g};
    memset(g, 0, sizeof *g);
    if (aios__http_start(ctx, &r, &g->t, &err))
        fail_msg("%s: %s", row->name, err.msg);
    return g->t;
}

static int to_end(aios__transfer *t, aios_error *err)
{
    int rc;
    double end = now_ms() + 30000;
    do
        rc = aios__transfer_step(t, 20, err);
    while (rc == AIOS_AGAIN && now_ms() < end);
    return rc == AIOS_DONE ? 0 : rc;
}

static int exchange(aios_ctx *ctx, const hostile_row *row, got *g, aios_error *err)
{
    aios__transfer *t = begin(ctx, row, g);
    int rc = to_end(t, err);
    aios__transfer_free(t);
    g->t = NULL;
    return rc;
}

static uint64_t used(const aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

static worst most;

/* One behaviour, before a ctx of its own; what is wrong is written to why. */
static bool holds(const hostile_row *row, char *why, size_t n)
{
    test_heap heap = {0};
    got g;
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = test_ctx(&heap, 0);
    hostile_choose(&server, hostile_find("plain"));
    exchange(ctx, hostile_find("plain"), &g, &err); /* libcurl is there, and warm */
    hostile_choose(&server, row);
    uint64_t before = used(ctx);
    long mark = memory_mark();
    double from = now_ms();
    int rc = exchange(ctx, row, &g, &err), ms = (int)(now_ms() - from), deadline = deadline_ms(row->by);
    long grown = memory_grown(mark);
    uint64_t after = used(ctx);
    const char *silent = rc ? mute(rc, &err) : NULL;
    why[0] = 0;
    if (rc != row->transfer && row->transfer != HOSTILE_ANY)
        snprintf(why, n, "gives %s instead of %s: %s", aios_code_name(rc), aios_code_name(row->transfer), err.msg);
    else if ((ms < deadline - 20 && row->transfer != HOSTILE_ANY) || ms > deadline + (row->by ? LATE_MS : WORK_MS))
        snprintf(why, n, "ended after %d ms instead of %d", ms, deadline);
    else if (silent)
        snprintf(why, n, "%s: %s", silent, err.msg);
    else if (g.n && !g.status)
        snprintf(why, n, "gives %zu bytes of a body without a response", g.n);
    else if (grown > 4096)
        snprintf(why, n, "took %ld KiB", grown);
    else if (after != before)
        snprintf(why, n, "keeps %lld bytes", (long long)(after - before));
    else if (server.shared->n_trapped)
        snprintf(why, n, "connects elsewhere");
    aios_ctx_free(ctx);
    if (!why[0] && heap.live)
        snprintf(why, n, "leaks %ld blocks", heap.live);
    if (!why[0])
        note_worst(&most, row, deadline ? ms - deadline : 0, grown);
    return !why[0];
}

static void every_behaviour_gives_its_code_in_time_and_leaves_nothing(void **state)
{
    (void)state;
    const hostile_row *row;
    char why[1024];
    int n_wrong = 0;
    const char *only = getenv("AIOS_TEST_ONLY");
    for (uint32_t i = 0; (row = hostile_at(i)) && row != hostile_chat; i++) { /* what a stream says is nothing to a transfer */
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

/* ---- connections that are used again ------------------------------------------------------------------------------------ */

static void left_over_bytes_never_answer_another_request(void **state)
{
    (void)state;
    const char *const names[] = {"second-response", "second-response-late", "kept-then-reset", "kept", "length-too-short",
        "hold-open-behind-the-end", "chunks-and-length"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const hostile_row *row = hostile_find(names[i]);
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        got g;
        aios_error err = AIOS_INIT(aios_error);
        hostile_choose(&server, row);
        assert_int_equal(exchange(ctx, row, &g, &err), row->transfer);
        usleep(60000); /* the late one comes */
        for (int k = 0; k < 3; k++) {
            int rc = exchange(ctx, row, &g, &err);
            if (rc != (row->then ? 0 : row->transfer) || strstr(g.text, "EVIL"))
                fail_msg("%s: request %d gives %s, %.80s: %s", row->name, k + 1, aios_code_name(rc), g.text, err.msg);
        }
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
    }
}

/* ---- resets at random bytes ---------------------------------------------------------------------------------------------- */

typedef struct worker {
    aios_ctx *ctx;
    const hostile_row *row;
    long n, n_whole, n_cut;
    char why[1024];
} worker;

/* The body is the beginning of what one connection says, or all of it. */
static bool is_of_one(const got *g, bool whole, char *why, size_t n)
{
    char text[HOSTILE_TOKENS * 12 + 1], want[4096];
    const char *at = strstr(g->text, "-00 ");
    uint32_t serial = at && at - g->text >= 8 ? (uint32_t)strtoul(at - 8, NULL, 10) : 0;
    size_t k = 0;
    hostile_text(serial, text, sizeof text);
    for (int i = 0; i < HOSTILE_TOKENS; i++)
        k += (size_t)snprintf(want + k, sizeof want - k, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%.12s\"}}]}\n\n", text +
            i * 12);
    k += (size_t)snprintf(want + k, sizeof want - k,
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    bool ok = whole ? g->n == k && !memcmp(g->text, want, k) : g->n <= k && (at ? !memcmp(g->text, want, g->n) : g->n < 64);
    if (!ok)
        snprintf(why, n, "%zu bytes, not of connection %u alone: %.200s", g->n, serial, g->text);
    return ok;
}

static void *fetch_often(void *arg)
{
    worker *w = arg;
    for (long i = 0; i < w->n && !w->why[0]; i++) {
        got g;
        aios_error err = AIOS_INIT(aios_error);
        int rc = exchange(w->ctx, w->row, &g, &err);
        w->n_whole += !rc && g.n > 1600;
        w->n_cut += rc || g.n <= 1600;
        if (rc && rc != AIOS_EPROTO)
            snprintf(w->why, sizeof w->why, "%s: %s", aios_code_name(rc), err.msg);
        else
            is_of_one(&g, !rc && g.n > 1600, w->why, sizeof w->why);
    }
    return NULL;
}

static void resets_at_random_bytes_mix_nothing(void **state)
{
    (void)state;
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    const hostile_row *row = hostile_find("numbered");
    long n_whole = 0, n_cut = 0;
    hostile_choose(&server, row);
    server.shared->cut_seed = 20240601;
    worker w[4] = {{0}};
    pthread_t th[4];
    for (int i = 0; i < 4; i++) {
        w[i] = (worker){.ctx = ctx, .row = row, .n = rounds(3000) / 4};
        assert_int_equal(pthread_create(&th[i], NULL, fetch_often, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(th[i], NULL);
    server.shared->cut_seed = 0;
    aios_ctx_free(ctx);
    for (int i = 0; i < 4; i++) {
        if (w[i].why[0])
            fail_msg("%s", w[i].why);
        n_whole += w[i].n_whole;
        n_cut += w[i].n_cut;
    }
    assert_true(n_whole > (n_whole + n_cut) / 8 && n_cut > (n_whole + n_cut) / 2);
    assert_int_equal(heap.live, 0);
}

/* ---- cancels ------------------------------------------------------------------------------------------------------------- */

typedef struct canceller {
    aios__transfer *t;
    unsigned after_us;
    double at;
} canceller;

static void *cancel_later(void *arg)
{
    canceller *c = arg;
    usleep(c->after_us);
    c->at = now_ms();
    aios__transfer_cancel(c->t);
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
        "endless-interim", "chunk-extension-endless",
                                 "silence-without-reading", "endless-headers"};
    static double late[100000];
    size_t n_names = sizeof names / sizeof names[0], n = (size_t)rounds(120), k = 0;
    n = n < 100000 ? n : 100000;
    aios_ctx *ctx = test_ctx(NULL, 0);
    for (size_t i = 0; i < n; i++) {
        const hostile_row *row = hostile_find(names[i % n_names]);
        got g;
        aios_error err = AIOS_INIT(aios_error);
        hostile_choose(&server, row);
        canceller c = {.t = begin(ctx, row, &g), .after_us = (unsigned)(i * 7919 % 25000)};
        pthread_t th;
        assert_int_equal(pthread_create(&th, NULL, cancel_later, &c), 0);
        int rc = to_end(c.t, &err);
        double ended = now_ms();
        pthread_join(th, NULL);
        aios__transfer_free(c.t);
        if (rc == AIOS_ECANCELED)
            late[k++] = ended - c.at;
        else if (rc != row->transfer && row->transfer != HOSTILE_ANY)
            fail_msg("%s, cancelled: %s: %s", row->name, aios_code_name(rc), err.msg);
    }
    aios_ctx_free(ctx);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_behaviour_gives_its_code_in_time_and_leaves_nothing),
        cmocka_unit_test(left_over_bytes_never_answer_another_request),
        cmocka_unit_test(resets_at_random_bytes_mix_nothing),
        cmocka_unit_test(cancels_at_random_moments_are_heeded),
    };
    if (!aios_has("curl"))
        return 77;
    return cmocka_run_group_tests_name("hostile http", tests, start_server, stop_server);
}
