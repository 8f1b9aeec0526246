/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "backend/http/remote_priv.h"

#define SECOND INT64_C(1000000000)

static int64_t clock_ns;

static int64_t read_clock(void *user)
{
    (void)user;
    return clock_ns;
}

typedef struct gate_world {
    aios_ctx *ctx;
    aios__remote m;
} gate_world;

static void world_open(gate_world *w, uint32_t requests, uint32_t tokens)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    memset(w, 0, sizeof *w);
    clock_ns = SECOND;
    env.mono_ns = read_clock;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &w->ctx, &err), &err);
    w->m.server.ctx = w->ctx;
    w->m.requests_per_min = requests;
    w->m.tokens_per_min = tokens;
    pthread_mutex_init(&w->m.gate.lock, NULL);
}

static void world_close(gate_world *w)
{
    pthread_mutex_destroy(&w->m.gate.lock);
    aios_ctx_free(w->ctx);
}

/* Whoever is told to wait waits that long and may go then; seconds that n requests of n_tokens take. */
static double send(gate_world *w, int n, uint32_t n_tokens)
{
    int64_t begin = clock_ns;
    for (int i = 0; i < n; i++) {
        int64_t wait = aios__gate_enter(&w->m, n_tokens);
        if (wait) {
            clock_ns += wait;
            assert_true(aios__gate_enter(&w->m, n_tokens) == 0);
        }
    }
    return (double)(clock_ns - begin) / 1e9;
}

static void without_limits_nobody_waits(void **state)
{
    (void)state;
    gate_world w;
    world_open(&w, 0, 0);
    assert_true(send(&w, 100000, 1000) == 0);
    world_close(&w);
}

static void requests_are_spaced(void **state)
{
    (void)state;
    gate_world w;
    world_open(&w, 120, 0);
    double s = send(&w, 1200, 1); /* 10 minutes' worth, a second of it at once */
    assert_true(s > 598 && s < 600);
    clock_ns += 3600 * SECOND; /* what was not used is not saved up */
    s = send(&w, 120, 1);
    assert_true(s > 58 && s < 60);
    world_close(&w);
}

static void tokens_are_counted_by_the_server_in_the_end(void **state)
{
    (void)state;
    gate_world w;
    world_open(&w, 0, 60000);
    double s = send(&w, 60, 1000);
    assert_true(s > 57 && s < 60);
    aios__gate_settle(&w.m, 1000, 31000); /* half a minute more than was thought */
    s = send(&w, 1, 1000);
    assert_true(s > 29 && s < 32);
    aios__gate_settle(&w.m, 1000, 0);
    assert_true(send(&w, 1, 1000) < 1.01);
    world_close(&w);
}

static void a_request_of_more_than_a_minute_goes_alone(void **state)
{
    (void)state;
    gate_world w;
    world_open(&w, 0, 1000);
    assert_true(send(&w, 1, 5000) == 0);
    double s = send(&w, 1, 10);
    assert_true(s > 298 && s < 301);
    world_close(&w);
}

static void a_server_that_counts_wrongly_does_not_stop_the_model(void **state)
{
    (void)state;
    gate_world w;
    world_open(&w, 0, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(send(&w, 1, 1) < 3601);
        aios__gate_settle(&w.m, 1, UINT64_C(2) * UINT32_MAX);
    }
    world_close(&w);
}

static void what_would_wait_past_its_deadline_is_told_so(void **state)
{
    (void)state;
    gate_world w;
    aios_error err = AIOS_INIT(aios_error);
    world_open(&w, 1, 0);
    w.m.host = (char *)(uintptr_t) "far.test";
    assert_int_equal(aios__gate_wait(&w.m, 1, clock_ns + SECOND, &err), 0);
    assert_int_equal(aios__gate_wait(&w.m, 1, clock_ns + SECOND, &err), AIOS_ERATE);
    assert_non_null(strstr(err.msg, "59 s"));
    clock_ns += 60 * SECOND;
    assert_int_equal(aios__gate_wait(&w.m, 1, clock_ns + SECOND, &err), 0);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_nobody_waits),
        cmocka_unit_test(requests_are_spaced),
        cmocka_unit_test(tokens_are_counted_by_the_server_in_the_end),
        cmocka_unit_test(a_request_of_more_than_a_minute_goes_alone),
        cmocka_unit_test(what_would_wait_past_its_deadline_is_told_so),
        cmocka_unit_test(a_server_that_counts_wrongly_does_not_stop_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
