/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints that are killed and revived while many sessions ask. */
#include "route_test.h"

#include <pthread.h>
#include <time.h>

#define N_CLIENTS 8
#define N_ASKS 60

static far_host hosts[N_FAR];
static aios_model *model;
static _Atomic int stop, n_restarts;

static void nap_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

/* At any time one at least is well. */
static void *killer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; !stop; i++) {
        hosts[i % 3].down = AIOS_EUNAVAIL;
        hosts[(i + 1) % 3].down = i % 2 ? AIOS_EPROTO : 0;
        nap_ms(3);
        hosts[i % 3].down = 0;
        hosts[(i + 1) % 3].down = 0;
    }
    return NULL;
}

static void *client(void *arg)
{
    int *lost = arg;
    reply r;
    for (int i = 0; i < N_ASKS; i++) {
        int rc = ask_with(model, "hi", 0, &r);
        if (rc || strcmp(r.text, "one two three")) {
            fprintf(stderr, "lost: %d \"%s\" %s\n", rc, r.text, r.err.msg);
            ++*lost;
        }
        n_restarts += (int)r.attempts;
        nap_ms(1);
    }
    return NULL;
}

static void endpoints_killed_and_revived_lose_no_request(void **state)
{
    (void)state;
    pthread_t k, c[N_CLIENTS];
    int lost[N_CLIENTS] = {0}, n_turns = 0;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < N_FAR; i++)
        hosts[i].privacy = AIOS_PRIVACY_REMOTE;
    far_register(ctx, hosts);
    must(aios_model_open(ctx,
                         "route:{\"attempts\":40,\"breaker\":{\"failures\":2,\"open_ms\":5},\"candidates\":[{\"name\":\"pool\",\"endpoints\":[{\"uri\":\"far:0\"},"
                         "{\"uri\":\"far:1\"},{\"uri\":\"far:2\"}]}]}",
                         NULL, &model, &err),
         &err);
    assert_int_equal(pthread_create(&k, NULL, killer, NULL), 0);
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(pthread_create(&c[i], NULL, client, &lost[i]), 0);
    for (int i = 0; i < N_CLIENTS; i++)
        pthread_join(c[i], NULL);
    stop = 1;
    pthread_join(k, NULL);
    for (int i = 0; i < N_CLIENTS; i++)
        assert_int_equal(lost[i], 0);
    for (int i = 0; i < 3; i++)
        n_turns += hosts[i].n_turns;
    assert_int_equal(n_turns, N_CLIENTS * N_ASKS); /* and none was answered twice */
    assert_true(n_restarts > 0);
    aios_model_close(model);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_killed_and_revived_lose_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
