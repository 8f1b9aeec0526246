/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_route_kill SERVE: three servers in processes of their own, of which one or two at a time are killed in the middle of their replies and
 * started again, while eight clients of a router over them ask: each request gets its whole reply, once. Long runs by AIOS_TEST_LONG=FACTOR.
 */
#include "hostile_client.h"
#include "net/serve.h"

#include <pthread.h>
#include <signal.h>

#define N_SERVERS 3
#define N_CLIENTS 8

static const char script[] = "echo:set slow 2; echo", *program;
static test_server servers[N_SERVERS];
static aios_model *model;
static aios_ctx *ctx;
static _Atomic int stop, n_kills, n_restarts, n_done;

typedef struct client {
    int number;
    long n, lost;
    char why[600];
} client;

static void revive(test_server *s)
{
    int port = s->port;
    if (serve_start_at(s, program, script, port) != port)
        abort(); /* its port is taken: nothing can be shown */
}

/* A machine that is too slow to end a reply between two kills would be shown nothing but that. */
static void await_progress(int *seen)
{
    while (!stop && n_done == *seen)
        usleep(1000);
    *seen = n_done;
}

static void *killer(void *arg)
{
    (void)arg;
    int seen = 0;
    for (unsigned i = 0; !stop; i++) {
        int n = i % 2 ? 2 : 1;
        for (int k = 0; k < n; k++)
            serve_kill(&servers[(i + (unsigned)k) % N_SERVERS]);
        n_kills += n;
        usleep(1000 * (10 + (unsigned)hostile_mix(i) % 30));
        for (int k = 0; k < n; k++)
            revive(&servers[(i + (unsigned)k) % N_SERVERS]);
        usleep(1000 * (5 + (unsigned)hostile_mix(i + 1000) % 30));
        await_progress(&seen);
    }
    return NULL;
}

/* What a turn said in its last attempt; its code. */
static int ask(const char *prompt, char *text, size_t max, aios_error *err)
{
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_request req = AIOS_INIT(aios_request);
    const aios_event *ev;
    uint32_t attempt = 0;
    size_t n = 0;
    int rc = aios_transcript_new(ctx, &t, err);
    rc = rc ? rc : aios_transcript_add_text(t, AIOS_ROLE_USER, prompt, AIOS_CSTR, err);
    rc = rc ? rc : aios_session_new(model, NULL, &s, err);
    req.transcript = t;
    rc = rc ? rc : aios_session_start(s, &req, err);
    while (!rc && !aios_session_next(s, -1, &ev)) {
        if (ev->attempt != attempt)
            n = 0;
        n_restarts += ev->attempt != attempt;
        attempt = ev->attempt;
        if (ev->type == AIOS_EVENT_TEXT)
            n += (size_t)snprintf(text + n, max - n, "%s", ev->text);
        n = n < max ? n : max - 1;
        if (ev->type == AIOS_EVENT_ERROR) {
            *err = *ev->error;
            rc = err->code;
        }
    }
    text[n] = 0;
    aios_session_free(s);
    aios_transcript_free(t);
    return rc;
}

static void *ask_often(void *arg)
{
    client *c = arg;
    for (long i = 0; i < c->n; i++) {
        char prompt[128], text[256];
        aios_error err = AIOS_INIT(aios_error);
        snprintf(prompt, sizeof prompt, "client %d asks for the time number %ld and wants all of it back", c->number, i);
        int rc = ask(prompt, text, sizeof text, &err);
        if (rc || strcmp(text, prompt)) {
            snprintf(c->why, sizeof c->why, "%s: %.200s \"%s\"", aios_code_name(rc), err.msg, text);
            c->lost++;
        }
        n_done++;
    }
    return NULL;
}

static void servers_killed_and_revived_lose_no_request(void **state)
{
    (void)state;
    char uri[512];
    client c[N_CLIENTS];
    pthread_t th[N_CLIENTS], k;
    aios_error err = AIOS_INIT(aios_error);
    ctx = test_ctx(NULL, 0);
    for (int i = 0; i < N_SERVERS; i++)
        assert_true(serve_start_at(&servers[i], program, script, 0) > 0);
    snprintf(uri, sizeof uri,
             "route:{\"attempts\":1000,\"patience_ms\":20000,\"breaker\":{\"failures\":2,\"open_ms\":20},\"candidates\":["
             "{\"name\":\"pool\",\"endpoints\":[{\"uri\":\"http://127.0.0.1:%d/v1#m\"},{\"uri\":\"http://127.0.0.1:%d/v1#m\"},"
             "{\"uri\":\"http://127.0.0.1:%d/v1#m\"}]}]}",
             servers[0].port, servers[1].port, servers[2].port);
    must(aios_model_open(ctx, uri, NULL, &model, &err), &err);
    assert_int_equal(pthread_create(&k, NULL, killer, NULL), 0);
    for (int i = 0; i < N_CLIENTS; i++) {
        c[i] = (client){.number = i, .n = rounds(60)};
        assert_int_equal(pthread_create(&th[i], NULL, ask_often, &c[i]), 0);
    }
    for (int i = 0; i < N_CLIENTS; i++)
        pthread_join(th[i], NULL);
    stop = 1;
    pthread_join(k, NULL);
    aios_model_close(model);
    aios_ctx_free(ctx);
    for (int i = 0; i < N_SERVERS; i++)
        serve_kill(&servers[i]);
    long lost = 0;
    for (int i = 0; i < N_CLIENTS; i++) {
        lost += c[i].lost;
        if (c[i].lost)
            print_error("client %d lost %ld: %s\n", i, c[i].lost, c[i].why);
    }
    print_message("%ld requests, %d kills, %d attempts more than requests: %ld lost\n", N_CLIENTS * rounds(60), n_kills, n_restarts, lost);
    assert_int_equal(lost, 0);
    assert_true(n_restarts > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(servers_killed_and_revived_lose_no_request)};
    program = argc > 1 ? argv[1] : NULL;
    if (!aios_has("curl") || !program)
        return 77;
    return cmocka_run_group_tests_name("route kill", tests, NULL, NULL);
}
