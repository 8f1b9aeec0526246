/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/sse.h"

typedef struct seen {
    char text[4096];
    size_t n;
    int stop_with;
} seen;

static int note(void *user, const aios__sse_event *ev)
{
    seen *s = user;
    assert_int_equal(ev->data[ev->n], 0);
    s->n += (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "[%s|%s|%zu|%s]", ev->type, ev->id, ev->n, ev->data);
    return s->stop_with;
}

/* Feeds the text in pieces that end at the cuts; returns the last code. */
static int run(const char *p, size_t n, size_t cut_a, size_t cut_b, size_t max, seen *out, int64_t *retry)
{
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios__sse s;
    aios_error err = AIOS_INIT(aios_error);
    aios__sse_init(&s, aios__ctx_heap(ctx), max, note, out);
    int rc = aios__sse_feed(&s, p, cut_a, &err);
    if (!rc)
        rc = aios__sse_feed(&s, p + cut_a, cut_b - cut_a, &err);
    if (!rc)
        rc = aios__sse_feed(&s, p + cut_b, n - cut_b, &err);
    if (rc)
        assert_int_equal(aios__sse_feed(&s, "x", 1, &err), rc);
    if (retry)
        *retry = s.retry_ms;
    aios__sse_free(&s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    return rc;
}

static const struct {
    const char *in, *out;
} cases[] = {
    {"data: a\n\n", "[message||1|a]"},
    {"data:a\r\rdata:b\r\r", "[message||1|a][message||1|b]"},
    {"data:a\r\n\r\ndata:b\r\n\r\n", "[message||1|a][message||1|b]"},
    {"\xef\xbb\xbf" "data: a\n\n", "[message||1|a]"},
    {"\xef\xbb" "data: a\n\ndata:b\n\n", "[message||1|b]"}, /* half a mark is part of an unknown field */
    {"data\n\n", "[message||0|]"},
    {"data:\n\n", "[message||0|]"},
    {"data: a\ndata:  b\ndata\n\n", "[message||5|a\n b\n]"},
    {": comment\n\nevent: x\n\ndata: a\n\n", "[message||1|a]"}, /* the type does not outlive its event */
    {"event: delta\nid: 7\ndata: a\n\ndata: b\n\n", "[delta|7|1|a][message|7|1|b]"},
    {"id: 7\ndata: a\n\nid\ndata: b\n\n", "[message|7|1|a][message||1|b]"},
    {"unknown: 1\nDATA: no\ndata : no\ndata: a:b: c\n\n", "[message||6|a:b: c]"},
    {"data: unfinished", ""},
    {"data: unfinished\n", ""},
    {"\n\n\r\r\n\n", ""},
    {"data: \xc3\xa4\xf0\x9f\x98\x80\n\n", "[message||6|\xc3\xa4\xf0\x9f\x98\x80]"},
};

static void streams_give_the_events_of_the_standard(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        seen s = {0};
        size_t n = strlen(cases[i].in);
        assert_int_equal(run(cases[i].in, n, 0, 0, 0, &s, NULL), 0);
        assert_string_equal(s.text, cases[i].out);
    }
}

static void events_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = strlen(cases[i].in);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                seen s = {0};
                assert_int_equal(run(cases[i].in, n, a, b, 0, &s, NULL), 0);
                if (strcmp(s.text, cases[i].out))
                    fail_msg("case %zu cut at %zu and %zu: %s", i, a, b, s.text);
            }
    }
}

/* Whole streams of several events, cut at random; AIOS_TEST_CHUNKINGS asks for more of them. */
static void events_do_not_depend_on_random_chunkings(void **state)
{
    (void)state;
    static const char all[] = "\xef\xbb\xbf: hello\r\n\r\nevent: delta\r\nid: 1\r\ndata: {\"a\":\"\xc3\xa4\"}\r\n\r\ndata: two\ndata: lines\n\n"
                              "retry: 10\rdata:x\r\revent: end\ndata: [DONE]\n\n";
    static const char out[] = "[delta|1|10|{\"a\":\"\xc3\xa4\"}][message|1|9|two\nlines][message|1|1|x][end|1|6|[DONE]]";
    const char *rounds = getenv("AIOS_TEST_CHUNKINGS");
    long n_rounds = rounds ? atol(rounds) : 3000;
    uint64_t rng = 1;
    aios_ctx *ctx = test_ctx(NULL, 0);
    for (long r = 0; r < n_rounds; r++) {
        aios__sse s;
        seen o = {0};
        aios_error err = AIOS_INIT(aios_error);
        aios__sse_init(&s, aios__ctx_heap(ctx), 0, note, &o);
        for (size_t at = 0, n = sizeof all - 1; at < n;) {
            rng = rng * 6364136223846793005ull + 1442695040888963407ull;
            size_t piece = 1 + (rng >> 33) % (1 + (size_t)r % 40);
            piece = piece < n - at ? piece : n - at;
            must(aios__sse_feed(&s, all + at, piece, &err), &err);
            at += piece;
        }
        if (strcmp(o.text, out))
            fail_msg("round %ld: %s", r, o.text);
        assert_int_equal(s.retry_ms, 10);
        aios__sse_free(&s);
    }
    aios_ctx_free(ctx);
}

static void id_with_a_nul_is_ignored(void **state)
{
    (void)state;
    static const char in[] = "id: 1\nid: 2\0\ndata: a\0b\n\n";
    seen s = {0};
    assert_int_equal(run(in, sizeof in - 1, 0, 0, 0, &s, NULL), 0);
    assert_string_equal(s.text, "[message|1|3|a]"); /* snprintf ends at the NUL, n does not */
}

static void retry_takes_digits_only_and_is_capped(void **state)
{
    (void)state;
    const struct {
        const char *in;
        int64_t ms;
    } rows[] = {{"retry: 1500\n", 1500}, {"retry: -1\n", -1}, {"retry: 1e3\n", -1}, {"retry:\n", -1},
                {"retry: 99999999999999999999999\n", 86400000}, {"data: a\n", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        seen s = {0};
        int64_t ms;
        assert_int_equal(run(rows[i].in, strlen(rows[i].in), 0, 0, 0, &s, &ms), 0);
        assert_int_equal(ms, rows[i].ms);
    }
}

static void endless_lines_and_events_hit_the_limit(void **state)
{
    (void)state;
    char in[400];
    seen s = {0};
    memset(in, 'x', sizeof in);
    assert_int_equal(run(in, 100, 50, 50, 100, &s, NULL), 0);
    assert_int_equal(run(in, 101, 50, 60, 100, &s, NULL), AIOS_ELIMIT);
    for (size_t i = 0; i < sizeof in; i += 10) /* lines are short, their sum is not */
        memcpy(in + i, "data:1234\n", 10);
    assert_int_equal(run(in, 200, 10, 20, 100, &s, NULL), 0);
    assert_int_equal(run(in, 400, 10, 20, 100, &s, NULL), AIOS_ELIMIT);
    assert_int_equal(s.n, 0);
}

static void receiver_stops_the_stream_with_its_code(void **state)
{
    (void)state;
    seen s = {.stop_with = AIOS_EPROTO};
    assert_int_equal(run("data:a\n\ndata:b\n\n", 16, 0, 0, 0, &s, NULL), AIOS_EPROTO);
    assert_string_equal(s.text, "[message||1|a]");
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char in[] = "event: x\nid: 1\ndata: abc\n\n";
    for (long at = 1; at < 20; at++) {
        test_heap heap = {0};
        aios_ctx *ctx = test_ctx(&heap, 0);
        seen out = {0};
        aios__sse s;
        aios_error err = AIOS_INIT(aios_error);
        aios__sse_init(&s, aios__ctx_heap(ctx), 0, note, &out);
        heap.fail_at = heap.n_allocs + at;
        heap.persistent = 1;
        int rc = aios__sse_feed(&s, in, sizeof in - 1, &err);
        assert_int_equal(rc, at <= 4 ? AIOS_ENOMEM : 0);
        aios__sse_free(&s);
        heap.fail_at = 0;
        aios_ctx_free(ctx);
        assert_int_equal(heap.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_give_the_events_of_the_standard),
        cmocka_unit_test(events_do_not_depend_on_the_cuts),
        cmocka_unit_test(events_do_not_depend_on_random_chunkings),
        cmocka_unit_test(id_with_a_nul_is_ignored),
        cmocka_unit_test(retry_takes_digits_only_and_is_capped),
        cmocka_unit_test(endless_lines_and_events_hit_the_limit),
        cmocka_unit_test(receiver_stops_the_stream_with_its_code),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
