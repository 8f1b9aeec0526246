/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "base/ndjson.h"

typedef struct seen {
    char text[4096];
    size_t n;
    int stop_with;
} seen;

static int note(void *user, const char *s, size_t n)
{
    seen *o = user;
    assert_int_equal(s[n], 0);
    assert_true(n > 0);
    o->n += (size_t)snprintf(o->text + o->n, sizeof o->text - o->n, "[%zu|%s]", n, s);
    return o->stop_with;
}

static uint64_t rng = 1;

static size_t draw(size_t n)
{
    rng = rng * 6364136223846793005ull + 1442695040888963407ull;
    return (size_t)((rng >> 33) % n);
}

/* Feeds the text in random pieces (max_piece 0: whole); returns the last code. */
static int run(const char *p, size_t n, size_t max_piece, size_t max, seen *out)
{
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios__ndjson s;
    aios_error err = AIOS_INIT(aios_error);
    int rc = 0;
    aios__ndjson_init(&s, aios__ctx_heap(ctx), max, note, out);
    for (size_t at = 0; at < n && !rc;) {
        size_t piece = max_piece ? 1 + draw(max_piece) : n;
        piece = piece < n - at ? piece : n - at;
        rc = aios__ndjson_feed(&s, p + at, piece, &err);
        at += piece;
    }
    if (!rc)
        rc = aios__ndjson_end(&s, &err);
    if (rc)
        assert_int_equal(aios__ndjson_feed(&s, "x", 1, &err), rc);
    aios__ndjson_free(&s);
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    return rc;
}

static const struct {
    const char *in, *out;
} cases[] = {
    {"{}\n{\"a\":1}\n", "[2|{}][7|{\"a\":1}]"},
    {"1\r\n2\r\n", "[1|1][1|2]"},
    {"\n\r\n \t\n1\n\n", "[1|1]"},
    {"1\nlast", "[1|1][4|last]"},
    {"last \r", "[4|last]"},
    {"", ""},
    {" 1 2 \n", "[4| 1 2]"},
    {"\"\xf0\x9f\x98\x80\"\n", "[6|\"\xf0\x9f\x98\x80\"]"},
};

static void lines_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    const char *rounds = getenv("AIOS_TEST_CHUNKINGS");
    long n_rounds = rounds ? atol(rounds) : 3000;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (long r = 0; r < n_rounds / (long)(sizeof cases / sizeof cases[0]); r++) {
            seen s = {0};
            assert_int_equal(run(cases[i].in, strlen(cases[i].in), (size_t)(r % 9), 0, &s), 0);
            if (strcmp(s.text, cases[i].out))
                fail_msg("case %zu: %s", i, s.text);
        }
}

static void endless_lines_hit_the_limit(void **state)
{
    (void)state;
    char in[200];
    seen s = {0};
    memset(in, 'x', sizeof in);
    assert_int_equal(run(in, 100, 7, 100, &s), 0);
    assert_int_equal(run(in, 101, 7, 100, &s), AIOS_ELIMIT);
}

static void receiver_stops_the_lines_with_its_code(void **state)
{
    (void)state;
    seen s = {.stop_with = AIOS_EPROTO};
    assert_int_equal(run("1\n2\n", 4, 0, 0, &s), AIOS_EPROTO);
    assert_string_equal(s.text, "[1|1]");
}

static int one_line(aios_ctx *c, aios_error *err)
{
    aios__ndjson s;
    seen out = {0};
    aios__ndjson_init(&s, aios__ctx_heap(c), 0, note, &out);
    int rc = aios__ndjson_feed(&s, "{\"a\":1}\n", 8, err);
    aios__ndjson_free(&s);
    return rc;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    refuse_every_allocation(one_line, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_do_not_depend_on_the_cuts),
        cmocka_unit_test(endless_lines_hit_the_limit),
        cmocka_unit_test(receiver_stops_the_lines_with_its_code),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("ndjson", tests, NULL, NULL);
}
