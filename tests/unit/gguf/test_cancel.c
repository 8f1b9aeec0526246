/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling at instants that nobody chose: whatever a turn or a load was at, it ends with ECANCELED or with all it was to give, those
 * beside it get what they get alone, and so does the same session afterwards. Nothing here depends on how long anything takes.
 */
#include "test.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "net_make.h"

enum { N_CTX = 2048, ROUNDS = 24, OTHERS = 2 };

static const char schema[] = "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9999},"
                             "\"s\":{\"type\":\"string\",\"minLength\":8,\"maxLength\":40}},\"required\":[\"n\",\"s\"],\"additionalProperties\":false}";

static char uri[64], long_text[1700];
static aios_ctx *ctx;
static aios_model *model;
static uint64_t seed = 7;

static uint32_t draw(uint32_t n)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % n;
}

static int begin(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    net_make make = {.arch = "llama", .dtype = 8, .n_layer = 6, .n_embd = 128, .n_ff = 256, .head_dim = 32, .tied = 1, .n_ctx = N_CTX};
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    net_file(&make, uri);
    for (size_t i = 0; i + 1 < sizeof long_text; i++)
        long_text[i] = (char)('a' + draw(26));
    ctx = test_ctx(NULL, 0);
    cfg.n_threads = 2;
    must(aios_model_open(ctx, uri, &cfg, &model, &err), &err);
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
    must(aios_session_new(model, &cfg, &s, &err), &err);
    return s;
}

/* One turn in the three phases that a cancel may fall into. `fresh` makes prompts that no cache has: the same number, the same text. */
typedef enum phase { PREFILL, DECODE, CONSTRAINED } phase;

static void start(aios_session *s, phase p, uint32_t fresh)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request r = AIOS_INIT(aios_request);
    char text[sizeof long_text + 16];
    snprintf(text, sizeof text, "%u%s", fresh, p == PREFILL ? long_text : " say something");
    r.raw = text;
    r.n_raw = AIOS_CSTR;
    r.max_tokens = p == PREFILL ? 3 : 120;
    r.flags = p == CONSTRAINED ? 0 : AIOS_REQUEST_IGNORE_EOS;
    r.schema_json = p == CONSTRAINED ? schema : NULL;
    must(aios_session_start(s, &r, &err), &err);
}

typedef struct reading {
    char text[4096];
    int code;
} reading;

static reading read_all(aios_session *s)
{
    reading r = {0};
    const aios_event *ev;
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT)
            strncat(r.text, ev->text, sizeof r.text - strlen(r.text) - 1);
        else if (ev->type == AIOS_EVENT_ERROR)
            r.code = ev->error->code;
    }
    return r;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_ns(int64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    nanosleep(&t, NULL);
}

/* What a fresh session gives alone, and how long that took: only to know where instants may lie. */
static reading alone(phase p, uint32_t fresh, int64_t *took)
{
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    int64_t since = now_ns();
    start(s, p, fresh);
    reading r = read_all(s);
    *took = now_ns() - since;
    assert_int_equal(r.code, 0);
    aios_session_free(s);
    return r;
}

static void *run_turn(void *arg)
{
    reading *r = calloc(1, sizeof *r);
    if (r)
        *r = read_all(arg);
    return r;
}

/* A victim of phase p beside others; each has its own thread. True if the cancel came before the end. */
static bool cancel_once(phase p, uint32_t round, int64_t took, const reading want[1 + OTHERS])
{
    aios_session *s[1 + OTHERS];
    pthread_t threads[1 + OTHERS];
    reading *got[1 + OTHERS];
    for (uint32_t i = 0; i <= OTHERS; i++) {
        s[i] = open_session((round + i) % 2 ? AIOS_DRIVER_THREAD : AIOS_DRIVER_CALLER);
        start(s[i], i ? (phase)((p + i) % 3) : p, i);
    }
    if (!round) /* nobody drives it yet: one cancel that is in time */
        must(aios_session_cancel(s[0]), NULL);
    for (uint32_t i = 0; i <= OTHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_turn, s[i]), 0);
    sleep_ns((int64_t)((double)took * 1.5 * draw(1000) / 1000));
    must(aios_session_cancel(s[0]), NULL);
    for (uint32_t i = 0; i <= OTHERS; i++) {
        pthread_join(threads[i], (void **)&got[i]);
        assert_non_null(got[i]);
    }
    bool cancelled = got[0]->code == AIOS_ECANCELED;
    if (cancelled) /* the text of a turn that was cut short is the beginning of the whole */
        assert_memory_equal(got[0]->text, want[0].text, strlen(got[0]->text));
    else
        assert_string_equal(got[0]->text, want[0].text);
    for (uint32_t i = cancelled; i <= OTHERS; i++)
        assert_int_equal(got[i]->code, 0);
    for (uint32_t i = 1; i <= OTHERS; i++)
        assert_string_equal(got[i]->text, want[i].text);
    start(s[0], p, 0);
    reading again = read_all(s[0]);
    assert_int_equal(again.code, 0);
    assert_string_equal(again.text, want[0].text);
    for (uint32_t i = 0; i <= OTHERS; i++) {
        free(got[i]);
        aios_session_free(s[i]);
    }
    return cancelled;
}

static void cancel_in(phase p)
{
    reading want[1 + OTHERS];
    int64_t took = 0, ignored;
    uint32_t n_cancelled = 0;
    for (uint32_t i = 0; i <= OTHERS; i++)
        want[i] = alone(i ? (phase)((p + i) % 3) : p, i, i ? &ignored : &took);
    for (uint32_t i = 0; i < ROUNDS; i++)
        n_cancelled += cancel_once(p, i, took, want);
    assert_true(n_cancelled > 0);
}

static void a_prompt_may_be_cancelled_at_any_instant(void **state)
{
    (void)state;
    cancel_in(PREFILL);
}

static void a_reply_may_be_cancelled_at_any_instant(void **state)
{
    (void)state;
    cancel_in(DECODE);
}

static void a_constrained_reply_may_be_cancelled_at_any_instant(void **state)
{
    (void)state;
    cancel_in(CONSTRAINED);
}

/* Many cancels of one session, some before the first event, some twice: what it has computed stays right. */
static void a_session_survives_cancel_after_cancel(void **state)
{
    (void)state;
    int64_t took;
    aios_session *s = open_session(AIOS_DRIVER_CALLER);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        phase p = (phase)draw(3);
        const aios_event *ev;
        start(s, p, 50 + draw(4));
        for (uint32_t n = draw(12); n && aios_session_next(s, 0, &ev) != AIOS_DONE; n--)
            ;
        must(aios_session_cancel(s), NULL);
        must(aios_session_cancel(s), NULL);
        int code = read_all(s).code;
        assert_true(code == AIOS_ECANCELED || code == 0);
        if (i % 4)
            continue;
        start(s, p, 50);
        reading got = read_all(s), want = alone(p, 50, &took);
        assert_int_equal(got.code, 0);
        assert_string_equal(got.text, want.text);
    }
    aios_session_free(s);
}

/* ---- loading -------------------------------------------------------------------------------------------------------- */

typedef struct watch {
    _Atomic int stop;
    int64_t after;
} watch;

static int ask(void *user, double part)
{
    (void)part;
    return ((watch *)user)->stop;
}

static void *stop_soon(void *arg)
{
    watch *w = arg;
    sleep_ns(w->after);
    w->stop = 1;
    return NULL;
}

/*
 * Opens the file with a heap of its own and stops after some time, 0: from the first question on, -1: never; the code. `out` gets a turn's text
 * if it came to that.
 */
static int load_once(int64_t after, reading *out, int64_t *took)
{
    test_heap heap = {0};
    aios_ctx *old = ctx, *own = test_ctx(&heap, 0);
    aios_model *old_model = model, *m = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    watch w = {.after = after, .stop = after == 0};
    pthread_t thread;
    cfg.n_threads = 2;
    cfg.progress = ask;
    cfg.progress_user = &w;
    if (after > 0)
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, &w), 0);
    int64_t since = now_ns(), ignored;
    int rc = aios_model_open(own, uri, &cfg, &m, &err);
    *took = now_ns() - since;
    if (after > 0)
        pthread_join(thread, NULL);
    assert_true(rc == 0 || rc == AIOS_ECANCELED);
    assert_int_equal(rc == 0, m != NULL);
    if (m) {
        ctx = own;
        model = m;
        *out = alone(DECODE, 1, &ignored);
        ctx = old;
        model = old_model;
        aios_model_close(m);
    }
    aios_ctx_free(own);
    assert_int_equal(heap.live, 0);
    return rc;
}

static void loading_may_be_cancelled_at_any_instant(void **state)
{
    (void)state;
    int64_t took, ignored;
    reading got, want = alone(DECODE, 1, &ignored);
    assert_int_equal(load_once(-1, &got, &took), 0);
    assert_string_equal(got.text, want.text);
    uint32_t n_cancelled = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        bool cancelled = load_once(i ? 1 + (int64_t)((double)took * draw(1000) / 1000) : 0, &got, &ignored) != 0;
        if (!cancelled)
            assert_string_equal(got.text, want.text);
        n_cancelled += cancelled;
    }
    assert_true(n_cancelled > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_may_be_cancelled_at_any_instant),
        cmocka_unit_test(a_reply_may_be_cancelled_at_any_instant),
        cmocka_unit_test(a_constrained_reply_may_be_cancelled_at_any_instant),
        cmocka_unit_test(a_session_survives_cancel_after_cancel),
        cmocka_unit_test(loading_may_be_cancelled_at_any_instant),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
