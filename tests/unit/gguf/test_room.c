/* SPDX-License-Identifier: Apache-2.0 */
/* More turns than the budget has room for: they wait for each other, say what they would say alone, and fail only where waiting cannot help. */
#include "test.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "backend/gguf/gguf.h"
#include "backend/gguf/room.h"
#include "llm/session_priv.h"
#include "net_make.h"

enum { N_CTX = 2048, S = 6, TEXT = 1100, REPLY = 40 };

static aios_ctx *ctx;
static aios_model *model;
static char uri[64];
static _Atomic int64_t skipped; /* ns that the clock of the ctx is ahead of the real one */

static int64_t clock_ns(void *user)
{
    (void)user;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + atomic_load(&skipped);
}

static int begin_with(net_make make)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config mc = AIOS_INIT(aios_model_config);
    net_file(&make, uri);
    atomic_store(&skipped, 0);
    env.mono_ns = clock_ns;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    mc.n_threads = 2;
    must(aios_model_open(ctx, uri, &mc, &model, &err), &err);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_with((net_make){.arch = "llama", .dtype = 8, .tied = 1, .n_ctx = N_CTX, .template_text = net_chatml});
}

/* Of blocks as large as those of real models: none shares its piece of memory with another. */
static int begin_large(void **state)
{
    (void)state;
    return begin_with((net_make){.arch = "llama", .dtype = 8, .tied = 1, .n_ctx = N_CTX, .n_layer = 9, .n_head = 4, .n_head_kv = 4, .head_dim = 128});
}

static int end(void **state)
{
    (void)state;
    aios_model_close(model);
    aios_ctx_free(ctx);
    unlink(uri + 5);
    return 0;
}

static aios_session *open_session(uint32_t driver)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_session *s;
    cfg.driver = driver;
    must(aios_session_new(model, &cfg, &s, &err), &err);
    return s;
}

static const aios__gguf_session *inner(const aios_session *s)
{
    return s->self;
}

/* ---- turns ------------------------------------------------------------------------------------------------------------ */

/* A text that no other number has a beginning of. */
static const char *text_of(int number, char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + (i * i + (size_t)number * 7 + i / 50) % 26);
    out[0] = (char)('A' + number);
    out[n] = 0;
    return out;
}

static aios_request request(const char *text, int32_t priority)
{
    aios_request q = AIOS_INIT(aios_request);
    q.raw = text;
    q.n_raw = AIOS_CSTR;
    q.max_tokens = REPLY;
    q.flags = AIOS_REQUEST_IGNORE_EOS | AIOS_REQUEST_LOGPROBS;
    q.priority = priority;
    return q;
}

static void start(aios_session *s, int number, size_t n, int32_t priority)
{
    char text[N_CTX + 1];
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = request(text_of(number, text, n), priority);
    must(aios_session_start(s, &q, &err), &err);
}

typedef struct reading {
    char text[1 << 14]; /* and how likely each token was, which says more than bytes that are no text */
    int code;
    bool over;
} reading;

static bool read_one(aios_session *s, int32_t timeout_ms, reading *r)
{
    const aios_event *ev;
    int rc = aios_session_next(s, timeout_ms, &ev);
    if (rc == AIOS_OK && ev->text && (ev->type == AIOS_EVENT_TEXT || ev->type == AIOS_EVENT_LOGPROBS || ev->type == AIOS_EVENT_CALL))
        strncat(r->text, ev->text, sizeof r->text - strlen(r->text) - 1);
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_ERROR)
        r->code = ev->error->code;
    r->over = rc == AIOS_DONE || rc < 0;
    return r->over;
}

static reading read_all(aios_session *s)
{
    reading r = {.code = 0};
    while (!read_one(s, -1, &r))
        ;
    return r;
}

static void read_alone(int number, size_t n, reading *r)
{
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    start(s, number, n, 0);
    *r = read_all(s);
    assert_int_equal(r->code, 0);
    aios_session_free(s);
}

/* ---- the budget --------------------------------------------------------------------------------------------------------- */

static size_t bytes_of(size_t n_tokens)
{
    const aios__gguf_model *m = model->self;
    return (n_tokens / AIOS__KV_PAGE + 1) * (m->net->kv.part_bytes[0] + m->net->kv.part_bytes[1]);
}

/* Room for caches of so many tokens beside what is in use once nothing is cached, and a little for what a turn needs else. */
static void leave_room(size_t n_tokens)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios__reclaim(aios__ctx_heap(ctx), SIZE_MAX);
    aios_ctx_usage(ctx, &u);
    must(aios_ctx_set_budget(ctx, u.used + bytes_of(n_tokens) + (3u << 20) / 4, &err), &err);
}

static void leave_all_room(void)
{
    aios_error err = AIOS_INIT(aios_error);
    must(aios_ctx_set_budget(ctx, (uint64_t)1 << 32, &err), &err);
}

static void read_all_alone(reading want[S])
{
    for (int i = 0; i < S; i++)
        read_alone(i, TEXT, &want[i]);
}

/* ---- turns that wait ------------------------------------------------------------------------------------------------------ */

static void *run_turn(void *arg)
{
    reading *r = calloc(1, sizeof *r);
    if (r)
        *r = read_all(arg);
    return r;
}

static void turns_that_do_not_fit_wait_for_each_other(void **state)
{
    (void)state;
    reading want[S];
    read_all_alone(want);
    for (int way = 0; way < 3; way++) { /* one thread that polls, a thread each, the driver */
        aios_session *s[S];
        pthread_t threads[S];
        reading got[S] = {{.code = 0}};
        leave_room(2 * (TEXT + REPLY) + 300);
        for (int i = 0; i < S; i++) {
            s[i] = open_session(way == 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER);
            start(s[i], i, TEXT, i % 2);
        }
        for (int left = way == 0 ? S : 0; left;) {
            left = 0;
            for (int i = 0; i < S; i++)
                left += !got[i].over && !read_one(s[i], 0, &got[i]);
        }
        for (int i = 0; way && i < S; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, run_turn, s[i]), 0);
        for (int i = 0; way && i < S; i++) {
            reading *r;
            pthread_join(threads[i], (void **)&r);
            got[i] = *r;
            free(r);
        }
        for (int i = 0; i < S; i++) {
            if (got[i].code)
                fail_msg("way %d, turn %d: %s", way, i, aios_code_name(got[i].code));
            assert_string_equal(want[i].text, got[i].text);
            aios_session_free(s[i]);
        }
        leave_all_room();
    }
}

static void a_turn_that_fits_never_fails_and_does_not_wait_for_ever(void **state)
{
    (void)state;
    aios_session *s[3];
    reading r[3] = {{.code = 0}};
    leave_room(TEXT + REPLY);
    for (int i = 0; i < 3; i++) {
        s[i] = open_session(AIOS_DRIVER_CALLER);
        start(s[i], i, i == 1 ? 2000 : TEXT - 200, 0);
    }
    for (int left = 3; left;) {
        left = 0;
        for (int i = 0; i < 3; i++)
            left += !r[i].over && !read_one(s[i], 0, &r[i]);
    }
    assert_int_equal(r[0].code, 0);
    assert_int_equal(r[1].code, AIOS_EBUDGET);
    assert_int_equal(r[2].code, 0);
    for (int i = 0; i < 3; i++)
        aios_session_free(s[i]);
    leave_all_room();
}

static bool is_held(const aios_session *s)
{
    return inner(s)->job.state == AIOS__JOB_HELD;
}

/* One turn computes, and one of its rank that came later waits for memory. */
static void make_one_wait(aios_session *s[2])
{
    const aios_event *ev;
    leave_room(TEXT + REPLY + 100);
    for (int i = 0; i < 2; i++)
        s[i] = open_session(AIOS_DRIVER_CALLER);
    start(s[0], 0, TEXT, 0);
    start(s[1], 1, TEXT, 0);
    for (int i = 0; i < 100 && !is_held(s[1]); i++) {
        aios_session_next(s[0], 0, &ev);
        aios_session_next(s[1], 0, &ev);
    }
    assert_true(is_held(s[1]));
    assert_int_equal(inner(s[1])->kv->n_blocks, 0);
    assert_false(is_held(s[0]));
}

static void a_turn_that_waits_can_be_cancelled_freed_or_run_out_of_time(void **state)
{
    (void)state;
    reading want, got;
    read_alone(0, TEXT, &want);
    for (int way = 0; way < 3; way++) {
        aios_session *s[2];
        make_one_wait(s);
        if (way == 0) {
            aios_session_cancel(s[1]);
            got = read_all(s[1]);
            assert_int_equal(got.code, AIOS_ECANCELED);
        } else if (way == 1) {
            s[1]->deadline = 1; /* its timeout_ns is over */
            got = read_all(s[1]);
            assert_int_equal(got.code, AIOS_ETIMEDOUT);
        }
        if (way == 2)
            aios_session_free(s[1]);
        got = read_all(s[0]);
        assert_int_equal(got.code, 0);
        assert_string_equal(want.text, got.text);
        aios_session_free(s[0]);
        if (way < 2)
            aios_session_free(s[1]);
        leave_all_room();
    }
}

/* Who holds the memory is not read any more: nothing moves, and the other is told so in the end. */
static void nobody_waits_for_what_stands_still(void **state)
{
    (void)state;
    aios_session *s[2];
    const aios_event *ev;
    make_one_wait(s);
    for (int i = 0; i < 50; i++)
        aios_session_next(s[1], 0, &ev);
    assert_true(is_held(s[1]));
    int64_t began = clock_ns(NULL);
    reading r = {.code = 0};
    while (!read_one(s[1], 0, &r))
        atomic_fetch_add(&skipped, AIOS__ROOM_PATIENCE_NS / 100);
    assert_true(r.code == 0 || r.code == AIOS_EBUDGET);
    assert_true(clock_ns(NULL) - began < 10 * AIOS__ROOM_PATIENCE_NS);
    aios_session_free(s[0]);
    aios_session_free(s[1]);
    leave_all_room();
}

static void a_higher_priority_takes_the_memory_of_a_lower_one(void **state)
{
    (void)state;
    reading want[2], low = {.code = 0}, high = {.code = 0};
    for (int i = 0; i < 2; i++)
        read_alone(i, TEXT, &want[i]);
    leave_room(TEXT + REPLY + 100);
    aios_session *s[2] = {open_session(AIOS_DRIVER_CALLER), open_session(AIOS_DRIVER_CALLER)};
    start(s[0], 0, TEXT, 0);
    for (int i = 0; i < 12; i++)
        read_one(s[0], 0, &low);
    assert_true(inner(s[0])->turn.n_out > 0); /* in the middle of its reply */
    start(s[1], 1, TEXT, 1);
    while (!inner(s[1])->turn.n_out && !read_one(s[1], 0, &high))
        ;
    if (!inner(s[0])->job.held) {
        aios_mem_usage u = AIOS_INIT(aios_mem_usage);
        aios_ctx_usage(ctx, &u);
        fail_msg("it was not held: %llu of %llu in use", (unsigned long long)u.used, (unsigned long long)u.budget);
    }
    while (!read_one(s[1], -1, &high))
        ;
    while (!read_one(s[0], -1, &low)) /* goes on where it was */
        ;
    assert_string_equal(want[1].text, high.text);
    assert_string_equal(want[0].text, low.text);
    assert_int_equal(low.code | high.code, 0);
    aios_session_free(s[0]);
    aios_session_free(s[1]);
    leave_all_room();
}

/* ---- a turn that lets go of its cache says the same --------------------------------------------------------------------- */

static const aios_tool_def tools[] = {
    {sizeof(aios_tool_def), "read_log", "Reads a log", "{\"type\":\"object\",\"properties\":{\"lines\":{\"type\":\"integer\"}},\"required\":[\"lines\"]}"},
    {sizeof(aios_tool_def), "restart", "Restarts it", "{\"type\":\"object\",\"properties\":{\"host\":{\"enum\":[\"alpha\",\"beta\"]}},\"required\":[\"host\"]}"},
};

typedef struct kind {
    const char *schema;
    int32_t choice; /* < 0: no tools */
    float temperature;
} kind;

/* How many steps it took; every `every`-th is followed by letting go. */
static int run_kind(const kind *k, int every, reading *r)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = request("Some text that it goes on from, longer than a page of the cache has positions, so that there is a whole one.", 0);
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_session *s;
    aios_transcript *t = NULL;
    cfg.speculation = every % 2 ? AIOS_SPECULATION_OFF : AIOS_SPECULATION_AUTO;
    must(aios_session_new(model, &cfg, &s, &err), &err);
    q.schema_json = k->schema;
    if (k->choice >= 0) {
        must(aios_transcript_new(ctx, &t, &err), &err);
        must(aios_transcript_add_text(t, AIOS_ROLE_USER, "Why is it slow? Look for the reason, please, and tell me.", AIOS_CSTR, &err), &err);
        q.transcript = t;
        q.raw = NULL;
        q.tools = tools;
        q.tool_stride = sizeof *tools;
        q.n_tools = 2;
        q.tool_choice = k->choice;
        q.flags = AIOS_REQUEST_LOGPROBS;
    }
    sampling.temperature = k->temperature;
    sampling.repeat_penalty = k->temperature > 0 ? 1.2f : 0;
    sampling.seed = 5;
    q.sampling = &sampling;
    must(aios_session_start(s, &q, &err), &err);
    aios__gguf_session *g = s->self;
    int n = 0, n_let_go = 0;
    uint32_t last = UINT32_MAX; /* once a token, so that it gets on */
    while (!read_one(s, 0, r)) {
        if (!every || !g->turn.active || g->job.state != AIOS__JOB_READY || g->turn.n_out == last || ++n % every)
            continue;
        last = g->turn.n_out;
        bool gone = aios__turn_let_go(g);
        n_let_go += gone;
        if (gone && n_let_go % 4 == 1)
            aios__reclaim(aios__ctx_heap(ctx), SIZE_MAX); /* nor is it found again */
    }
    assert_int_equal(r->code, 0);
    aios_session_free(s);
    aios_transcript_free(t);
    return n_let_go;
}

static void a_turn_that_lets_go_says_the_same(void **state)
{
    (void)state;
    const kind kinds[] = {
        {NULL, -1, 0},
        {NULL, -1, 0.9f},
        {"{\"type\":\"object\",\"properties\":{\"name\":{\"enum\":[\"one\",\"other\"]},\"n\":{\"type\":\"integer\"}},\"required\":[\"name\",\"n\"]}", -1, 0},
        {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":5},\"minItems\":2,\"maxItems\":4}", -1, 0.9f},
        {NULL, AIOS_TOOLS_REQUIRED, 0},
        {NULL, AIOS_TOOLS_AUTO, 0},
        {NULL, AIOS_TOOLS_NONE, 0.5f},
    };
    int n_let_go = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        reading want = {.code = 0};
        run_kind(&kinds[i], 0, &want);
        for (int every = 1; every < 5; every++) {
            reading got = {.code = 0};
            int n = run_kind(&kinds[i], every, &got);
            n_let_go += n;
            if (strcmp(want.text, got.text))
                fail_msg("kind %zu, every %d: \"%s\", not \"%s\"", i, every, got.text, want.text);
        }
    }
    assert_true(n_let_go > 200);
}

/* ---- whose cache goes first ------------------------------------------------------------------------------------------------ */

/* A session that has said something of this text and is idle. */
static aios_session *leave_idle(int number, int32_t priority, int32_t returns)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    start(s, number, 400, priority);
    reading r = read_all(s);
    if (r.code)
        fail_msg("session %d: %s", number, aios_code_name(r.code));
    must(aios_session_retain(s, returns, &err), &err);
    assert_true(inner(s)->kv->n >= 400);
    return s;
}

static bool has_cache(const aios_session *s)
{
    return inner(s)->kv->n_blocks > 0;
}

static void idle_sessions_let_go_before_those_that_return(void **state)
{
    (void)state;
    leave_room(4 * (400 + REPLY) + 300);
    aios_session *back = leave_idle(0, 0, 1), *idle = leave_idle(1, 0, 0), *later = leave_idle(2, 0, 0), *busy = open_session(AIOS_DRIVER_CALLER);
    start(busy, 3, TEXT, 0);
    reading r = read_all(busy);
    assert_int_equal(r.code, 0);
    assert_true(has_cache(back)); /* though it is the oldest */
    assert_false(has_cache(idle));
    start(idle, 1, 400, 0); /* it is no worse off but for the time */
    assert_int_equal(read_all(idle).code, 0);
    start(busy, 4, 1900, 0); /* all that there is */
    assert_int_equal(read_all(busy).code, 0);
    assert_false(has_cache(back));
    assert_false(has_cache(later));
    aios_session_free(back);
    aios_session_free(idle);
    aios_session_free(later);
    aios_session_free(busy);
    leave_all_room();
}

static void of_those_that_return_the_lower_priority_goes_first(void **state)
{
    (void)state;
    leave_room(3 * (400 + REPLY) + 300);
    aios_session *high = leave_idle(0, 5, 1), *low = leave_idle(1, 0, 1), *busy = open_session(AIOS_DRIVER_CALLER);
    start(busy, 2, TEXT - 100, 3);
    assert_int_equal(read_all(busy).code, 0);
    assert_true(has_cache(high)); /* though it is the older */
    assert_false(has_cache(low));
    aios_session_free(high);
    aios_session_free(low);
    aios_session_free(busy);
    leave_all_room();
}

static void other_memory_takes_what_sessions_have_cached(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    leave_room(3 * (400 + REPLY));
    aios_session *back = leave_idle(0, 0, 1), *idle = leave_idle(1, 0, 0);
    void *p = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, bytes_of(2 * (400 + REPLY)), &err);
    assert_non_null(p);
    assert_false(has_cache(idle));
    assert_false(has_cache(back));
    aios__free(aios__ctx_heap(ctx), p);
    aios_session_free(back);
    aios_session_free(idle);
    leave_all_room();
}

/* What was computed by hand is no cache: what comes next stands behind it. */
static void a_session_that_was_evaluated_keeps_what_it_has(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    int32_t ids[100];
    float want[262], got[262];
    for (int i = 0; i < 100; i++)
        ids[i] = 10 + i;
    aios_session *s = open_session(AIOS_DRIVER_CALLER), *fork;
    must(aios_session_eval(s, ids, 100, NULL, 0, &err), &err);
    must(aios_session_fork(s, &fork, &err), &err);
    must(aios_session_eval(s, ids, 1, want, 1, &err), &err);
    aios__reclaim(aios__ctx_heap(ctx), SIZE_MAX);
    must(aios_session_eval(fork, ids, 1, got, 1, &err), &err);
    assert_memory_equal(want, got, sizeof got);
    must(aios_session_eval(s, NULL, 0, NULL, 0, &err), &err); /* it begins anew */
    aios_session_free(s);
    aios_session_free(fork);
}

static void retain_takes_what_it_says(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    assert_int_equal(aios_session_retain(NULL, 1, &err), AIOS_EINVAL);
    assert_int_equal(aios_session_retain(s, 2, &err), AIOS_EINVAL);
    assert_int_equal(aios_session_retain(s, INT32_MIN, &err), AIOS_EINVAL);
    must(aios_session_retain(s, 1, &err), &err);
    start(s, 0, 100, 0);
    assert_int_equal(aios_session_retain(s, 0, &err), AIOS_EBUSY);
    assert_int_equal(read_all(s).code, 0);
    must(aios_session_retain(s, 0, &err), &err);
    aios_session_free(s);
}

/* ---- all at once ------------------------------------------------------------------------------------------------------------ */

typedef struct worker {
    int number;
    const reading *want;
    int n_wrong, n_over;
} worker;

static void *work(void *arg)
{
    worker *w = arg;
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = open_session(w->number % 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER);
    for (int i = 0; i < 6; i++) {
        int which = (w->number + i) % S;
        reading r = {.code = 0};
        char text[TEXT + 1];
        aios_request q = request(text_of(which, text, TEXT), (w->number + i) % 3);
        int rc;
        while ((rc = aios_session_start(s, &q, &err)) == AIOS_EBUDGET) /* to cut six texts into tokens at once is more than is kept free */
            usleep(1000);
        must(rc, &err);
        for (int n = 0; !read_one(s, 1, &r); n++)
            if (i % 3 == 2 && n == 5 * w->number)
                aios_session_cancel(s);
        w->n_over += r.code == 0;
        w->n_wrong += (r.code && r.code != AIOS_ECANCELED) || (!r.code && strcmp(r.text, w->want[which].text));
        if (r.code && r.code != AIOS_ECANCELED)
            fprintf(stderr, "worker %d: %s\n", w->number, aios_code_name(r.code));
        aios_session_retain(s, i % 2, &err);
    }
    aios_session_free(s);
    return NULL;
}

static void many_threads_over_too_little_memory(void **state)
{
    (void)state;
    reading want[S];
    worker workers[S];
    pthread_t threads[S];
    read_all_alone(want);
    leave_room(3 * (TEXT + REPLY));
    for (int i = 0; i < S; i++) {
        workers[i] = (worker){.number = i, .want = want};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < S; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].n_wrong, 0);
        assert_in_range(workers[i].n_over, 4, 6);
    }
    leave_all_room();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_that_do_not_fit_wait_for_each_other, begin, end),
        cmocka_unit_test_setup_teardown(a_turn_that_fits_never_fails_and_does_not_wait_for_ever, begin, end),
        cmocka_unit_test_setup_teardown(a_turn_that_waits_can_be_cancelled_freed_or_run_out_of_time, begin, end),
        cmocka_unit_test_setup_teardown(nobody_waits_for_what_stands_still, begin, end),
        cmocka_unit_test_setup_teardown(a_higher_priority_takes_the_memory_of_a_lower_one, begin, end),
        cmocka_unit_test_setup_teardown(a_turn_that_lets_go_says_the_same, begin, end),
        cmocka_unit_test_setup_teardown(idle_sessions_let_go_before_those_that_return, begin_large, end),
        cmocka_unit_test_setup_teardown(of_those_that_return_the_lower_priority_goes_first, begin_large, end),
        cmocka_unit_test_setup_teardown(other_memory_takes_what_sessions_have_cached, begin_large, end),
        cmocka_unit_test_setup_teardown(a_session_that_was_evaluated_keeps_what_it_has, begin, end),
        cmocka_unit_test_setup_teardown(retain_takes_what_it_says, begin, end),
        cmocka_unit_test_setup_teardown(many_threads_over_too_little_memory, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
