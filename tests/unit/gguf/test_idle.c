/* SPDX-License-Identifier: Apache-2.0 */
/* What costs nothing: sessions that wait, whatever they have read, models that nobody asks, and threads that the machine has not. */
#include "test.h"

#include <time.h>
#include <unistd.h>

#include "backend/gguf/net.h"
#include "net_make.h"

enum { N_CTX = 8192, LONG = 8000, SHORT = 200, MOST_TEXT = 256 };

typedef struct rig {
    aios_ctx *ctx;
    aios_model *model;
    char uri[64];
} rig;

static void rig_open(rig *r, const char *arch, uint32_t n_threads)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    net_make make = {.arch = arch, .dtype = 8, .n_layer = 3, .n_ctx = N_CTX};
    net_file(&make, r->uri);
    cfg.n_threads = n_threads;
    r->ctx = test_ctx(NULL, 0);
    must(aios_model_open(r->ctx, r->uri, &cfg, &r->model, &err), &err);
}

static void rig_close(rig *r)
{
    aios_model_close(r->model);
    aios_ctx_free(r->ctx);
    unlink(r->uri + 5);
}

static aios_session *session_new(rig *r)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = NULL;
    must(aios_session_new(r->model, NULL, &s, &err), &err);
    return s;
}

/* A turn about n bytes, which are as many tokens. */
static void ask(aios_session *s, uint32_t n, uint32_t max_tokens, char *text)
{
    static char raw[LONG];
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    for (uint32_t i = 0; i < n; i++)
        raw[i] = (char)('a' + (i * 7 + i / 26) % 26);
    q.raw = raw;
    q.n_raw = n;
    q.max_tokens = max_tokens;
    q.flags = AIOS_REQUEST_IGNORE_EOS;
    text[0] = 0;
    must(aios_session_start(s, &q, &err), &err);
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_ERROR)
            fail_msg("%s", ev->error->msg);
        if (ev->type == AIOS_EVENT_USAGE)
            assert_in_range(ev->usage->input, n, n + 1);
        if (ev->type == AIOS_EVENT_TEXT)
            strncat(text, ev->text, MOST_TEXT - strlen(text) - 1);
    }
}

static aios_mem_usage usage_of(rig *r)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    assert_int_equal(aios_ctx_usage(r->ctx, &u), AIOS_OK);
    return u;
}

static uint64_t bytes_since(rig *r, const aios_mem_usage *before, uint32_t kind)
{
    aios_mem_usage now = usage_of(r);
    return now.by_kind[kind] - before->by_kind[kind];
}

/* The store keeps what was computed, and a free page: what a session takes behind that is its own. */
static void an_idle_session_takes_a_few_kib_whatever_its_length(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "gemma3"};
    static const uint32_t lengths[] = {SHORT, LONG};
    char text[MOST_TEXT];
    for (size_t a = 0; a < AIOS__ARRAY_LEN(archs); a++) {
        rig r;
        uint64_t took[2];
        rig_open(&r, archs[a], 1); /* each thread has a scratch of the model's, from its first token on */
        for (size_t i = 0; i < AIOS__ARRAY_LEN(lengths); i++) {
            for (int k = 0; k < 2; k++) {
                aios_session *s = session_new(&r);
                ask(s, lengths[i], 8, text);
                aios_session_free(s);
            }
            aios_mem_usage before = usage_of(&r);
            aios_session *s = session_new(&r);
            ask(s, lengths[i], 8, text);
            took[i] = usage_of(&r).used - before.used;
            assert_in_range(bytes_since(&r, &before, AIOS_MEM_KV), 1, 4096);
            assert_int_equal(bytes_since(&r, &before, AIOS_MEM_SCRATCH), 0);
            aios_session_free(s);
        }
        assert_in_range(took[0], 1, 8 << 10);
        assert_in_range(took[1], took[0], took[0] + LONG / 4); /* the list of its blocks: 8 bytes for 64 tokens, and room to grow */
        rig_close(&r);
    }
}

static void a_fork_that_waits_takes_a_few_kib_too(void **state)
{
    (void)state;
    enum { FORKS = 16 };
    rig r;
    aios_error err = AIOS_INIT(aios_error);
    aios_session *forks[FORKS];
    char text[MOST_TEXT];
    rig_open(&r, "llama", 1);
    aios_session *s = session_new(&r);
    ask(s, LONG, 8, text);
    aios_mem_usage before = usage_of(&r);
    for (int i = 0; i < FORKS; i++)
        must(aios_session_fork(s, &forks[i], &err), &err);
    assert_in_range((usage_of(&r).used - before.used) / FORKS, 1, 8 << 10);
    assert_in_range(bytes_since(&r, &before, AIOS_MEM_KV) / FORKS, 1, 2048);
    for (int i = 0; i < FORKS; i++)
        aios_session_free(forks[i]);
    aios_session_free(s);
    rig_close(&r);
}

/* Tokens stand in the blocks, once: beside pages, a block is a record of fixed size. */
static void a_block_is_its_pages_and_a_record_of_64_tokens(void **state)
{
    (void)state;
    assert_true(sizeof(aios__kv_block) <= AIOS__KV_PAGE * sizeof(int32_t) + 256);
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void an_idle_model_and_its_sessions_burn_no_cpu(void **state)
{
    (void)state;
    enum { SESSIONS = 4 };
    rig r;
    aios_session *s[SESSIONS];
    char text[MOST_TEXT];
    const struct timespec settle = {.tv_nsec = 20000000}, idle = {.tv_nsec = 400000000};
    rig_open(&r, "llama", 2);
    for (int i = 0; i < SESSIONS; i++) {
        s[i] = session_new(&r);
        ask(s[i], SHORT, 8, text);
    }
    nanosleep(&settle, NULL);
    int64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    nanosleep(&idle, NULL);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = clock_ns(CLOCK_MONOTONIC) - wall;
    if (cpu > wall / 20)
        fail_msg("%lld us of CPU time in %lld us of waiting", (long long)cpu / 1000, (long long)wall / 1000);
    for (int i = 0; i < SESSIONS; i++)
        aios_session_free(s[i]);
    rig_close(&r);
}

static void more_threads_than_cpus_say_the_same(void **state)
{
    (void)state;
    static const uint32_t n_threads[] = {2, 64};
    char text[2][MOST_TEXT];
    for (int i = 0; i < 2; i++) {
        rig r;
        aios_model_info info = AIOS_INIT(aios_model_info);
        rig_open(&r, "gemma3", n_threads[i]);
        assert_int_equal(aios_model_info_get(r.model, &info), AIOS_OK);
        assert_int_equal(info.n_threads, n_threads[i]);
        aios_session *s = session_new(&r);
        ask(s, 300, 40, text[i]);
        aios_session_free(s);
        rig_close(&r);
    }
    assert_true(strlen(text[0]) > 10);
    assert_string_equal(text[1], text[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_session_takes_a_few_kib_whatever_its_length),
        cmocka_unit_test(a_fork_that_waits_takes_a_few_kib_too),
        cmocka_unit_test(a_block_is_its_pages_and_a_record_of_64_tokens),
        cmocka_unit_test(an_idle_model_and_its_sessions_burn_no_cpu),
        cmocka_unit_test(more_threads_than_cpus_say_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
