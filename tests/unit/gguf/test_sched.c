/* SPDX-License-Identifier: Apache-2.0 */
/* Turns computed together: they share passes, in the right order, and leave each other alone when one fails or goes. */
#include "test.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "backend/gguf/gguf.h"
#include "llm/session_priv.h"
#include "net_make.h"

enum { S = 8, N_CTX = 2048 };

static char uri[64];
static aios_ctx *ctx;
static aios_model *model;
static char long_text[1500];

static void write_model(void)
{
    net_make make = {.arch = "llama", .dtype = 8, .tied = 1, .n_ctx = N_CTX};
    net_file(&make, uri);
}

static int open_model(aios_error *err)
{
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    cfg.n_threads = 2;
    return aios_model_open(ctx, uri, &cfg, &model, err);
}

static int begin(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    ctx = test_ctx(NULL, 0);
    write_model();
    must(open_model(&err), &err);
    for (size_t i = 0; i + 1 < sizeof long_text; i++)
        long_text[i] = (char)('a' + i * i % 23);
    return 0;
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
    cfg.speculation = AIOS_SPECULATION_OFF; /* a pass for each token */
    must(aios_session_new(model, &cfg, &s, &err), &err);
    return s;
}

static aios_request request(const char *text, uint32_t max_tokens)
{
    aios_request r = AIOS_INIT(aios_request);
    r.raw = text;
    r.n_raw = AIOS_CSTR;
    r.max_tokens = max_tokens;
    r.flags = AIOS_REQUEST_IGNORE_EOS;
    return r;
}

static void start(aios_session *s, const char *text, uint32_t max_tokens, int32_t priority)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = request(text, max_tokens);
    r.priority = priority;
    must(aios_session_start(s, &r, &err), &err);
}

/* The text so far and the code of an error; true once the turn is over. */
typedef struct reading {
    char text[4096];
    int code;
    bool over;
    uint32_t drafted, accepted;
    int64_t queue_ns;
} reading;

static bool read_one(aios_session *s, int32_t timeout_ms, reading *r)
{
    const aios_event *ev;
    int rc = aios_session_next(s, timeout_ms, &ev);
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_TEXT)
        strncat(r->text, ev->text, sizeof r->text - strlen(r->text) - 1);
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_ERROR)
        r->code = ev->error->code;
    if (rc == AIOS_OK && ev->type == AIOS_EVENT_USAGE) {
        r->drafted = ev->usage->drafted;
        r->accepted = ev->usage->accepted;
        r->queue_ns = ev->usage->queue_ns;
    }
    r->over = rc == AIOS_DONE || rc < 0;
    return r->over;
}

static reading read_all(aios_session *s)
{
    reading r = {0};
    while (!read_one(s, -1, &r))
        ;
    return r;
}

static const aios__gguf_session *inner(const aios_session *s)
{
    return s->self;
}

static uint64_t count_passes(void)
{
    const aios__gguf_model *m = model->self;
    return aios__sched_passes(m->sched);
}

static void one_thread_that_polls_its_sessions_computes_them_together(void **state)
{
    (void)state;
    enum { N = 20 };
    aios_session *s[S];
    reading alone[S] = {0}, both[S] = {0};
    const char *const texts[] = {"one", "two and more", "a", "the fourth of them", "5", "six", "seven", "eight"};
    for (int i = 0; i < S; i++) {
        s[i] = open_session(AIOS_DRIVER_CALLER);
        start(s[i], texts[i], N, 0);
        alone[i] = read_all(s[i]);
        aios_session_free(s[i]);
    }
    uint64_t before = count_passes();
    for (int i = 0; i < S; i++) {
        s[i] = open_session(AIOS_DRIVER_CALLER);
        start(s[i], texts[i], N, 0);
    }
    for (int left = S; left;) {
        left = 0;
        for (int i = 0; i < S; i++)
            left += !both[i].over && !read_one(s[i], 0, &both[i]);
    }
    uint64_t passes = count_passes() - before;
    assert_in_range(passes, N, N + 4);
    for (int i = 0; i < S; i++) {
        assert_string_equal(alone[i].text, both[i].text);
        aios_session_free(s[i]);
    }
}

static void the_driver_computes_its_sessions_together(void **state)
{
    (void)state;
    enum { N = 40 };
    aios_session *s[S];
    uint64_t before = count_passes();
    for (int i = 0; i < S; i++)
        s[i] = open_session(AIOS_DRIVER_THREAD);
    for (int i = 0; i < S; i++)
        start(s[i], "the same for all", N, 0);
    for (int i = 0; i < S; i++) {
        assert_int_equal(read_all(s[i]).code, 0);
        aios_session_free(s[i]);
    }
    assert_in_range(count_passes() - before, N, 3 * N); /* some begin while others run already */
}

static void *run_turn(void *arg)
{
    aios_session *s = arg;
    reading *r = calloc(1, sizeof *r);
    while (r && !read_one(s, -1, r))
        ;
    return r;
}

static void threads_that_step_their_own_sessions_share_passes(void **state)
{
    (void)state;
    enum { N = 60 };
    aios_session *s[S];
    pthread_t threads[S];
    s[0] = open_session(AIOS_DRIVER_CALLER);
    start(s[0], "a common text", N, 0);
    reading alone = read_all(s[0]);
    aios_session_free(s[0]);
    uint64_t before = count_passes();
    for (int i = 0; i < S; i++) {
        s[i] = open_session(AIOS_DRIVER_CALLER);
        start(s[i], "a common text", N, 0);
    }
    for (int i = 0; i < S; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_turn, s[i]), 0);
    for (int i = 0; i < S; i++) {
        reading *r;
        pthread_join(threads[i], (void **)&r);
        assert_string_equal(alone.text, r->text);
        free(r);
        aios_session_free(s[i]);
    }
    assert_true(count_passes() - before < N * S / 2);
}

/* A model whose time is this test's: each look at the clock finds it `step_ns` later. */
typedef struct world {
    aios_ctx *ctx;
    aios_model *model;
    _Atomic int64_t now;
    int64_t step_ns;
} world;

static int64_t step_clock(void *user)
{
    world *w = user;
    return atomic_fetch_add(&w->now, w->step_ns) + w->step_ns;
}

static void enter_world(world *w, int64_t step_ns)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    *w = (world){.ctx = ctx, .model = model, .step_ns = step_ns};
    env.user = w;
    env.mono_ns = step_clock;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    must(open_model(&err), &err);
}

static void leave_world(const world *w)
{
    aios_model_close(model);
    aios_ctx_free(ctx);
    ctx = w->ctx;
    model = w->model;
}

static void step_all(aios_session *const *s, int n, reading *r)
{
    for (int i = 0; i < n; i++)
        if (!r[i].over)
            read_one(s[i], 0, &r[i]);
}

/* Three prompts polled by one thread. */
static void a_higher_priority_goes_first_and_a_short_prompt_is_not_kept_waiting(void **state)
{
    (void)state;
    world w;
    enter_world(&w, 0);
    aios_session *s[3];
    reading r[3] = {{.code = 0}};
    for (int i = 0; i < 3; i++)
        s[i] = open_session(AIOS_DRIVER_CALLER);
    start(s[0], long_text, 2, 0);
    start(s[1], long_text + 1, 2, 5);
    start(s[2], "a prompt of more than the sixteen rows that count as a reply", 1, 5);
    const aios__gguf_session *low = inner(s[0]), *high = inner(s[1]), *brief = inner(s[2]);
    step_all(s, 3, r);
    assert_int_equal(low->turn.at, 0); /* what is of less weight waits */
    assert_true(high->turn.at > 0 && high->turn.at < high->turn.prompt.n);
    assert_true(r[2].over || brief->turn.n_out || brief->turn.at == brief->turn.prompt.n);
    uint64_t before = count_passes();
    while (!low->turn.at) /* but not for ever */
        step_all(s, 3, r);
    assert_in_range(count_passes() - before, 1, 3 * AIOS__ORDER_AGED);
    for (int i = 0; i < 3; i++)
        aios_session_free(s[i]);
    leave_world(&w);
}

static void a_prompt_under_way_is_interrupted_by_one_of_higher_priority(void **state)
{
    (void)state;
    world w;
    enter_world(&w, 0); /* passes of full width, however slow the machine is */
    aios_session *low = open_session(AIOS_DRIVER_CALLER), *high = open_session(AIOS_DRIVER_CALLER);
    const aios_event *ev;
    long_text[0] = 'I';
    start(low, long_text, 1, 0);
    while (inner(low)->turn.at < AIOS__CHUNK)
        assert_int_equal(aios_session_next(low, 0, &ev), AIOS_AGAIN);
    uint32_t at = inner(low)->turn.at;
    char other[700] = "J";
    memcpy(other + 1, long_text + 100, sizeof other - 2);
    start(high, other, 1, 1);
    uint64_t before = count_passes();
    aios_session_next(high, 0, &ev); /* the very next pass */
    assert_int_equal(count_passes() - before, 1);
    if (!aios__order_is_aged(before)) {
        assert_int_equal(inner(high)->turn.at, AIOS__CHUNK);
        assert_int_equal(inner(low)->turn.at, at);
    }
    reading r = read_all(high);
    assert_int_equal(r.code, 0);
    assert_true(r.queue_ns >= 0 && inner(low)->turn.at < inner(low)->turn.prompt.n);
    assert_int_equal(read_all(low).code, 0);
    aios_session_free(low);
    aios_session_free(high);
    leave_world(&w);
}

static void of_one_priority_the_earliest_deadline_goes_first(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    enum { N = 4 };
    world w;
    enter_world(&w, 0); /* passes of full width, however slow the machine is */
    aios_session *s[N];
    reading r[N] = {{.code = 0}};
    int64_t seconds[N] = {0, 300, 100, 200};
    int order[N], n = 0;
    for (int i = 0; i < N; i++) {
        static char text[N][1200];
        memcpy(text[i], long_text, sizeof text[i] - 1);
        text[i][0] = (char)('0' + i);
        aios_request q = request(text[i], 1);
        q.deadline_ns = seconds[i] * 1000000000;
        s[i] = open_session(AIOS_DRIVER_CALLER);
        must(aios_session_start(s[i], &q, &err), &err);
    }
    while (n < N) {
        bool was[N];
        for (int i = 0; i < N; i++)
            was[i] = r[i].over;
        step_all(s, N, r);
        for (int i = 0; i < N; i++)
            if (r[i].over && !was[i])
                order[n++] = i;
    }
    assert_int_equal(order[0], 2);
    assert_int_equal(order[1], 3);
    assert_int_equal(order[2], 1);
    for (int i = 0; i < N; i++)
        aios_session_free(s[i]);
    aios_request q = request("x", 1);
    q.deadline_ns = -1;
    aios_session *bad = open_session(AIOS_DRIVER_CALLER);
    assert_int_equal(aios_session_start(bad, &q, &err), AIOS_EINVAL);
    q.deadline_ns = INT64_MAX; /* further than the clock goes */
    must(aios_session_start(bad, &q, &err), &err);
    assert_int_equal(read_all(bad).code, 0);
    aios_session_free(bad);
    leave_world(&w);
}

/* Each look at the clock takes a millisecond: what a turn waits for others, and what it is computed in, add up to no more than there was. */
static void a_turn_tells_how_long_it_waited(void **state)
{
    (void)state;
    world w;
    enter_world(&w, 1000000);
    aios_session *s[2] = {open_session(AIOS_DRIVER_CALLER), open_session(AIOS_DRIVER_CALLER)};
    reading r[2] = {{.code = 0}};
    start(s[0], long_text, 1, 1);
    int64_t began = atomic_load(&w.now);
    start(s[1], long_text + 1, 1, 0);
    while (!r[0].over || !r[1].over)
        step_all(s, 2, r);
    assert_true(r[1].queue_ns > 2 * r[0].queue_ns);
    assert_true(r[0].queue_ns > 0 && r[1].queue_ns < atomic_load(&w.now) - began);
    aios_session_free(s[0]);
    aios_session_free(s[1]);
    leave_world(&w);
}

static void a_slow_machine_computes_fewer_rows_of_a_prompt_at_a_time(void **state)
{
    (void)state;
    world w;
    enter_world(&w, 0);
    const aios__gguf_model *m = model->self;
    w.step_ns = 8 * (int64_t)20000000 * m->net->hp.n_layer; /* 256 rows take eight times as long as they should */
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    const aios_event *ev;
    start(s, long_text, 1, 0);
    assert_int_equal(aios_session_next(s, 0, &ev), AIOS_AGAIN);
    assert_int_equal(inner(s)->turn.at, AIOS__CHUNK);
    assert_int_equal(aios_session_next(s, 0, &ev), AIOS_AGAIN);
    assert_int_equal(inner(s)->turn.at, AIOS__CHUNK + AIOS__CHUNK / 8);
    aios_session_free(s);
    leave_world(&w);
}

static void a_prompt_that_several_turns_begin_with_is_computed_once(void **state)
{
    (void)state;
    aios_session *s[S];
    uint32_t n_new = 0, n_prompt = 0;
    long_text[0] = 'Z'; /* no other test has computed it */
    for (int i = 0; i < S; i++) {
        s[i] = open_session(AIOS_DRIVER_CALLER);
        start(s[i], long_text, 1, 0);
    }
    for (int left = S; left;) {
        left = 0;
        for (int i = 0; i < S; i++) {
            const aios_event *ev;
            int rc = aios_session_next(s[i], 0, &ev);
            left += rc != AIOS_DONE;
            if (rc == AIOS_OK && ev->type == AIOS_EVENT_USAGE) {
                n_new += ev->usage->input - ev->usage->cached;
                n_prompt = ev->usage->input;
            }
        }
    }
    assert_true(n_prompt > 1000);
    assert_in_range(n_new, n_prompt, n_prompt + S * 64);
    for (int i = 0; i < S; i++)
        aios_session_free(s[i]);
}

static void guesses_follow_the_last_place_that_looked_the_same(void **state)
{
    (void)state;
    aios__draft d = {0};
    static const int32_t text[] = {7, 1, 2, 3, 8, 9, 1, 2, 3, 4, 5, 6, 1, 2, 3};
    aios__kv_block first = {0}, second = {0}, *blocks[] = {&first, &second};
    const aios__kv kv = {.blocks = blocks, .n_blocks = 2};
    for (uint32_t i = 0; i < 60 + 15; i++) /* over the border of two blocks */
        *aios__kv_id(&kv, i) = i < 60 ? 100 + (int32_t)i : text[i - 60];
    assert_int_equal(aios__draft_lookup(&kv, 60 + 15, 7), 7);
    assert_int_equal(*aios__kv_id(&kv, 60 + 15), 4);
    assert_int_equal(*aios__kv_id(&kv, 60 + 21), 4); /* it went round: 4 5 6 1 2 3 4 */
    assert_int_equal(aios__draft_lookup(&kv, 60 + 5, 7), 0);
    assert_int_equal(aios__draft_lookup(&kv, 0, 7), 0);
    d.n = aios__draft_length(&d, 15);
    assert_int_equal(d.n, 3);
    aios__draft_score(&d, 3);
    d.n = aios__draft_length(&d, 15);
    assert_int_equal(d.n, 7);
    uint32_t n_made = 0;
    for (int i = 0; i < 1000; i++) { /* guesses that never come true become rare */
        aios__draft_score(&d, 0);
        n_made += d.n = aios__draft_length(&d, 15);
    }
    assert_in_range(n_made, 10, 40);
    assert_int_equal(d.n_accepted, 3);
}

/* A second model file: other weights, or (evil) another name of a token. */
static aios_model *open_other(uint64_t seed, bool evil)
{
    aios_error err = AIOS_INIT(aios_error);
    net_make make = {.arch = "llama", .dtype = 8, .n_layer = 1, .tied = 1, .n_ctx = N_CTX, .seed = seed};
    aios_model *m;
    char other[64];
    net_build(&make);
    if (evil)
        memcpy(memmem(make.p, make.n, "<think>", 7), "<thing>", 7);
    net_file(&make, other);
    must(aios_model_open(ctx, other, NULL, &m, &err), &err);
    unlink(other + 5);
    return m;
}

static reading read_drawn(aios_session *s, float temperature)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_sampling sampling = AIOS_INIT(aios_sampling);
    aios_request r = request("anything that is not said twice", 60);
    sampling.temperature = temperature;
    sampling.seed = 7;
    r.sampling = &sampling;
    must(aios_session_start(s, &r, &err), &err);
    return read_all(s);
}

static void a_draft_model_changes_nothing_but_the_number_of_passes(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_session *plain = open_session(AIOS_DRIVER_CALLER), *s, *fork;
    reading greedy = read_drawn(plain, 0), drawn = read_drawn(plain, 0.8f);
    assert_int_equal(greedy.drafted, 0);
    for (int itself = 0; itself < 2; itself++) {
        cfg.draft = itself ? model : open_other(5, false);
        must(aios_session_new(model, &cfg, &s, &err), &err);
        must(aios_session_fork(s, &fork, &err), &err);
        if (!itself)
            aios_model_close(cfg.draft); /* the sessions keep it */
        reading a = read_drawn(s, 0), b = read_drawn(s, 0.8f), c = read_drawn(fork, 0);
        assert_string_equal(greedy.text, a.text);
        assert_string_equal(drawn.text, b.text);
        assert_string_equal(greedy.text, c.text);
        assert_true(a.drafted && b.drafted);
        if (itself)
            assert_true(a.accepted > 20 && 2 * a.accepted > a.drafted); /* not all: an end is banned here */
        aios_session_free(fork);
        aios_session_free(s);
    }
    aios_session_free(plain);
}

static void a_draft_model_with_other_tokens_is_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_session *s;
    cfg.draft = open_other(5, true);
    assert_int_equal(aios_session_new(model, &cfg, &s, &err), AIOS_EINVAL);
    assert_non_null(strstr(err.msg, "token 260"));
    aios_model_close(cfg.draft);
    must(aios_model_open(ctx, "echo:say x", NULL, &cfg.draft, &err), &err);
    assert_int_equal(aios_session_new(model, &cfg, &s, &err), AIOS_EINVAL);
    aios_model_close(cfg.draft);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

typedef struct victim {
    aios_session *s;
    _Atomic int inside;
    int64_t ended;
    int code;
} victim;

static void *run_victim(void *arg)
{
    victim *v = arg;
    reading r = {0};
    atomic_store(&v->inside, 1);
    while (!read_one(v->s, -1, &r))
        ;
    v->ended = now_ns();
    v->code = r.code;
    return NULL;
}

static void a_cancelled_turn_leaves_the_batch_and_the_others_stay_as_they_are(void **state)
{
    (void)state;
    aios_session *other = open_session(AIOS_DRIVER_THREAD);
    start(other, "undisturbed", 200, 0);
    reading alone = read_all(other);
    for (int i = 0; i < 12; i++) {
        victim v = {.s = open_session(i % 2 ? AIOS_DRIVER_CALLER : AIOS_DRIVER_THREAD)};
        pthread_t thread;
        start(other, "undisturbed", 200, 0);
        start(v.s, long_text, 100, 0);
        assert_int_equal(pthread_create(&thread, NULL, run_victim, &v), 0);
        while (!atomic_load(&v.inside))
            ;
        usleep((useconds_t)(i * 300));
        int64_t asked = now_ns();
        aios_session_cancel(v.s);
        pthread_join(thread, NULL);
        assert_true(v.code == AIOS_ECANCELED || v.code == 0); /* it may just have ended */
        if (v.ended - asked > 500000000)
            fail_msg("the cancel took %lld ms", (long long)(v.ended - asked) / 1000000);
        reading r = read_all(other);
        assert_string_equal(alone.text, r.text);
        aios_session_free(v.s);
    }
    aios_session_free(other);
}

static void a_session_may_be_freed_while_its_rows_wait_or_are_computed(void **state)
{
    (void)state;
    aios_session *other = open_session(AIOS_DRIVER_THREAD);
    start(other, "goes on", 400, 0);
    for (int i = 0; i < 30; i++) {
        aios_session *s = open_session(i % 2 ? AIOS_DRIVER_CALLER : AIOS_DRIVER_THREAD);
        start(s, long_text, 100, 0);
        usleep((useconds_t)(i * 100));
        aios_session_free(s);
    }
    assert_int_equal(read_all(other).code, 0);
    aios_session_free(other);
}

static void a_timeout_ends_one_turn_only(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_session *a = open_session(AIOS_DRIVER_THREAD), *b = open_session(AIOS_DRIVER_THREAD);
    aios_request r = request(long_text, 0);
    r.timeout_ns = 2000000;
    must(aios_session_start(a, &r, &err), &err);
    start(b, "as long as it takes", 50, 0);
    assert_int_equal(read_all(a).code, AIOS_ETIMEDOUT);
    assert_int_equal(read_all(b).code, 0);
    aios_session_free(a);
    aios_session_free(b);
}

/* Three turns polled by one thread with a heap that fails once: each gives its text or ENOMEM. Returns how many failed; -1 if it came to no turn. */
static int run_three(test_heap *h, long fail_at, const char *const texts[3], reading want[3])
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s[3] = {0};
    reading got[3] = {0};
    int rc = 0, failed = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        aios_request r = request(texts[i], 6);
        r.schema_json = i == 1 ? "{\"type\":\"integer\"}" : NULL;
        rc = aios_session_new(model, NULL, &s[i], &err);
        rc = rc ? rc : aios_session_start(s[i], &r, &err);
    }
    h->n_allocs = 0;
    h->fail_at = fail_at;
    for (int left = rc ? 0 : 3; left;) {
        left = 0;
        for (int i = 0; i < 3; i++)
            left += !got[i].over && !read_one(s[i], 0, &got[i]);
    }
    h->fail_at = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        assert_true(got[i].code == 0 || got[i].code == AIOS_ENOMEM);
        failed += got[i].code != 0;
        if (!fail_at)
            want[i] = got[i];
        else if (!got[i].code)
            assert_string_equal(want[i].text, got[i].text);
    }
    for (int i = 0; i < 3; i++)
        aios_session_free(s[i]);
    return rc ? -1 : failed;
}

static void an_allocation_that_fails_in_a_batch_fails_one_turn_at_most(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    const char *const texts[3] = {long_text, "give a number", "short"};
    static reading want[3];
    test_heap h = {0};
    aios_ctx *old = ctx;
    aios_model *old_model = model;
    ctx = test_ctx(&h, 0);
    int failures = 0, calm = 0;
    for (long at = 0; calm < 5; at++) { /* a fresh model each time: it has nothing pooled yet */
        must(open_model(&err), &err);
        int n = run_three(&h, at, texts, want);
        assert_in_range(n, 0, 1);
        failures += n;
        calm = n || at < 10 ? 0 : calm + 1;
        aios_model_close(model);
    }
    assert_true(failures > 5);
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
    ctx = old;
    model = old_model;
}

static int64_t cpu_ns(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 + ((int64_t)u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void an_idle_model_costs_no_cpu(void **state)
{
    (void)state;
    aios_session *a = open_session(AIOS_DRIVER_THREAD), *b = open_session(AIOS_DRIVER_CALLER);
    start(a, "some work first", 30, 0);
    start(b, long_text, 30, 0);
    assert_int_equal(read_all(a).code, 0);
    assert_int_equal(read_all(b).code, 0);
    usleep(100000);
    int64_t before = cpu_ns();
    usleep(1000000);
    int64_t used = cpu_ns() - before;
    if (used > 3000000)
        fail_msg("%lld us of CPU in a second without work", (long long)used / 1000);
    aios_session_free(a);
    aios_session_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_that_polls_its_sessions_computes_them_together),
        cmocka_unit_test(the_driver_computes_its_sessions_together),
        cmocka_unit_test(threads_that_step_their_own_sessions_share_passes),
        cmocka_unit_test(a_higher_priority_goes_first_and_a_short_prompt_is_not_kept_waiting),
        cmocka_unit_test(a_prompt_under_way_is_interrupted_by_one_of_higher_priority),
        cmocka_unit_test(of_one_priority_the_earliest_deadline_goes_first),
        cmocka_unit_test(a_turn_tells_how_long_it_waited),
        cmocka_unit_test(a_slow_machine_computes_fewer_rows_of_a_prompt_at_a_time),
        cmocka_unit_test(a_prompt_that_several_turns_begin_with_is_computed_once),
        cmocka_unit_test(guesses_follow_the_last_place_that_looked_the_same),
        cmocka_unit_test(a_draft_model_changes_nothing_but_the_number_of_passes),
        cmocka_unit_test(a_draft_model_with_other_tokens_is_refused),
        cmocka_unit_test(a_cancelled_turn_leaves_the_batch_and_the_others_stay_as_they_are),
        cmocka_unit_test(a_session_may_be_freed_while_its_rows_wait_or_are_computed),
        cmocka_unit_test(a_timeout_ends_one_turn_only),
        cmocka_unit_test(an_allocation_that_fails_in_a_batch_fails_one_turn_at_most),
        cmocka_unit_test(an_idle_model_costs_no_cpu),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
