/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <malloc.h>

#include "base/json.h"

static aios_ctx *ctx;
static test_heap heap;

static int setup(void **state)
{
    (void)state;
    heap = (test_heap){0};
    ctx = test_ctx(&heap, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    assert_int_equal(heap.live, 0);
    return 0;
}

static aios__json_doc *parse(const char *s)
{
    aios__json_doc *d;
    aios_error err = AIOS_INIT(aios_error);
    if (aios__json_parse(aios__ctx_heap(ctx), s, strlen(s), &d, &err))
        fail_msg("%s: %s", s, err.msg);
    return d;
}

static void expect_text(const aios__json *v, const char *expected)
{
    aios__buf b;
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 0);
    assert_int_equal(aios__json_write(v, &b, NULL), 0);
    assert_string_equal(b.p, expected);
    aios__buf_free(&b);
}

static void documents_make_the_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "-0.0", "1e+300", "5e-324",
        "0.1", "123456789.125", "\"\"", "\"a\\\"b\\\\c\\n\\t\\u0001\"", "\"\xc3\xa4\xf0\x9f\x98\x80\"", "[]", "{}", "[[],[{}],{\"a\":[]}]",
        "{\"z\":1,\"a\":2,\"m\":{\"b\":null,\"a\":[1,2.0,\"x\"]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        aios__json_doc *d = parse(texts[i]);
        expect_text(aios__json_root(d), texts[i]);
        aios__json_free(d);
    }
}

static void equivalent_spellings_become_one(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {" [ 1 , 2 ]\n", "[1,2]"},   {"1.0", "1.0"},         {"1E2", "100.0"},  {"\"\\u00e4\\ud83d\\ude00\\/\"", "\"\xc3\xa4\xf0\x9f\x98\x80/\""},
        {"\"\\b\\f\\r\"", "\"\\b\\f\\r\""}, {"[-0]", "[0]"}, {"0.10000000000000001", "0.1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios__json_doc *d = parse(rows[i][0]);
        expect_text(aios__json_root(d), rows[i][1]);
        aios__json_free(d);
    }
}

static void what_is_no_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *s;
        size_t n;
    } bad[] = {
#define S(x) {x, sizeof(x) - 1}
        S(""), S(" "), S("{"), S("[1,]"), S("{\"a\":1,}"), S("{a:1}"), S("'a'"), S("01"), S("1."), S("+1"), S("NaN"), S("nul"),
        S("\"a"), S("\"\\x\""), S("\"\n\""), S("1 2"), S("[1]]"), S("{\"a\":1,\"a\":2}"), S("\"\\u0000\""), S("\"a\0b\""),
        S("[1]\0"), S("\"\xff\""), S("\"\xed\xa0\x80\""), S("\"\\ud800\""), S("{\"\\u0000\":1}"), S("\xef\xbb\xbf[]"),
        S("99999999999999999999"), S("1e999"),
#undef S
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        aios__json_doc *d = (aios__json_doc *)1;
        aios_error err = AIOS_INIT(aios_error);
        if (aios__json_parse(aios__ctx_heap(ctx), bad[i].s, bad[i].n, &d, &err) != AIOS_EFORMAT)
            fail_msg("case %zu: %s", i, bad[i].s);
        assert_null(d);
        assert_true(strlen(err.msg) > 10);
    }
    aios__json_doc *d;
    aios_error err = AIOS_INIT(aios_error);
    aios__json_parse(aios__ctx_heap(ctx), "{\n \"a\": x}", 10, &d, &err);
    assert_non_null(strstr(err.msg, "line 2"));
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    char s[2000];
    for (int objects = 0; objects < 2; objects++)
        for (size_t depth = 255; depth <= 257; depth++) {
            size_t n = 0;
            aios__json_doc *d;
            aios_error err = AIOS_INIT(aios_error);
            for (size_t i = 0; i < depth; i++)
                n += (size_t)sprintf(s + n, objects ? "{\"]\":" : "[");
            n += (size_t)sprintf(s + n, "1");
            for (size_t i = 0; i < depth; i++)
                s[n++] = objects ? '}' : ']';
            s[n] = 0;
            int rc = aios__json_parse(aios__ctx_heap(ctx), s, n, &d, &err);
            assert_int_equal(rc, depth > 256 ? AIOS_EFORMAT : 0);
            if (rc)
                assert_true(err.have == 256 && err.need == 257);
            else
                expect_text(aios__json_root(d), s);
            aios__json_free(d);
        }
    char deep[5000]; /* brackets inside a string do not count */
    memset(deep, '[', sizeof deep);
    memcpy(deep, "\"\\\"", 3);
    deep[sizeof deep - 2] = '"';
    deep[sizeof deep - 1] = 0;
    aios__json_free(parse(deep));
}

static void large_texts_are_refused_before_they_are_read(void **state)
{
    (void)state;
    aios__json_doc *d;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios__json_parse(aios__ctx_heap(ctx), "1", ((size_t)64 << 20) + 1, &d, &err), AIOS_ELIMIT);
    assert_int_equal(err.need, ((size_t)64 << 20) + 1);
}

static uint64_t used(void)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

/* Texts that cost most for their length. */
static size_t fill(char *s, size_t n, int kind)
{
    static const char *const items[] = {"[],", "{},", "1,", "\"\",", "0.5,", "\"abcdefghijklmnopqrstuvwxyz\",", "{\"a\":1},", "[1],", "[[[]]],"};
    size_t at = 0, len = strlen(items[kind]);
    s[at++] = '[';
    while (at + len + 2 < n) {
        memcpy(s + at, items[kind], len);
        at += len;
    }
    at += at == 1;
    s[at - 1] = ']';
    return at;
}

static void charge_covers_what_the_parser_really_takes_and_little_more(void **state)
{
    (void)state;
    static char s[200000];
    for (int kind = 0; kind < 10; kind++)
        for (size_t size = 8; size <= sizeof s; size *= 5) {
            size_t n;
            if (kind < 9) {
                n = fill(s, size, kind);
            } else { /* one object of many members */
                n = (size_t)sprintf(s, "{");
                for (int i = 0; n + 20 < size; i++)
                    n += (size_t)sprintf(s + n, "\"%d\":1,", i);
                s[n > 1 ? n - 1 : n++] = '}';
            }
            aios__json_doc *d;
            uint64_t before = used();
            struct mallinfo2 m0 = mallinfo2();
            aios_error err = AIOS_INIT(aios_error);
            assert_int_equal(aios__json_parse(aios__ctx_heap(ctx), s, n, &d, &err), 0);
            struct mallinfo2 m1 = mallinfo2();
            uint64_t charged = used() - before, real = m1.uordblks + m1.hblkhd - m0.uordblks - m0.hblkhd;
            if (!real) { /* the malloc of a sanitizer, which mallinfo does not see */
                aios__json_free(d);
                skip();
            }
            if ((int64_t)real > (int64_t)charged)
                fail_msg("kind %d, %zu bytes of text: %llu taken, %llu charged", kind, n, (unsigned long long)real, (unsigned long long)charged);
            if (charged > real + real * 7 / 10 + 4096)
                fail_msg("kind %d, %zu bytes of text: only %llu taken, %llu charged", kind, n, (unsigned long long)real, (unsigned long long)charged);
            aios__json_free(d);
            assert_int_equal(used(), before);
        }
}

static void budget_refuses_a_document_before_it_is_made(void **state)
{
    (void)state;
    static char s[20000];
    size_t n = fill(s, sizeof s, 1);
    aios__json_doc *d;
    aios_error err = AIOS_INIT(aios_error);
    uint64_t before = used();
    assert_int_equal(aios_ctx_set_budget(ctx, before + 100000, NULL), 0);
    assert_int_equal(aios__json_parse(aios__ctx_heap(ctx), s, n, &d, &err), AIOS_EBUDGET);
    assert_true(err.need > err.have);
    assert_null(d);
    assert_int_equal(used(), before);
}

static void values_are_read_by_type(void **state)
{
    (void)state;
    aios__json_doc *d = parse("{\"s\":\"text\",\"i\":3,\"r\":2.5,\"t\":true,\"n\":null,\"a\":[1,\"x\"],\"o\":{}}");
    const aios__json *o = aios__json_root(d);
    size_t n = 0;
    assert_int_equal(aios__json_count(o), 7);
    assert_string_equal(aios__json_str(aios__json_get(o, "s"), &n), "text");
    assert_int_equal(n, 4);
    assert_null(aios__json_str(aios__json_get(o, "i"), &n));
    assert_int_equal(aios__json_int(aios__json_get(o, "i"), 9), 3);
    assert_int_equal(aios__json_int(aios__json_get(o, "r"), 9), 9);
    assert_true(aios__json_real(aios__json_get(o, "r"), 0) == 2.5 && aios__json_real(aios__json_get(o, "i"), 0) == 3.0);
    assert_true(aios__json_is_number(aios__json_get(o, "r")) && !aios__json_is_number(aios__json_get(o, "t")));
    assert_int_equal(aios__json_type(aios__json_get(o, "t")), AIOS__JSON_TRUE);
    assert_int_equal(aios__json_type(aios__json_get(o, "n")), AIOS__JSON_NULL);
    assert_int_equal(aios__json_type(aios__json_get(o, "a")), AIOS__JSON_ARRAY);
    assert_string_equal(aios__json_str(aios__json_at(aios__json_get(o, "a"), 1), NULL), "x");
    assert_null(aios__json_at(aios__json_get(o, "a"), 2));
    assert_null(aios__json_get(o, "missing"));
    const char *key, *order[] = {"s", "i", "r", "t", "n", "a", "o"};
    const aios__json *v;
    size_t i = 0;
    for (void *it = aios__json_iter(o, NULL, &key, &v); it; it = aios__json_iter(o, it, &key, &v))
        assert_string_equal(key, order[i++]);
    assert_int_equal(i, 7);
    aios__json_free(d);
}

static void absent_values_are_harmless(void **state)
{
    (void)state;
    size_t n;
    const char *key;
    const aios__json *v;
    assert_int_equal(aios__json_type(NULL), AIOS__JSON_NULL);
    assert_int_equal(aios__json_count(NULL), 0);
    assert_null(aios__json_at(NULL, 0));
    assert_null(aios__json_get(NULL, "a"));
    assert_null(aios__json_iter(NULL, NULL, &key, &v));
    assert_null(aios__json_str(NULL, &n));
    assert_int_equal(aios__json_int(NULL, 5), 5);
    assert_true(aios__json_real(NULL, 0.5) == 0.5);
    assert_false(aios__json_is_number(NULL));
    assert_true(aios__json_equal(NULL, NULL));
    expect_text(NULL, "null");
    aios__json_free(NULL);
}

static void equality_is_that_of_json_schema(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {"1", "1.0", true},           {"1", "1.5", false},      {"0", "-0.0", true},       {"true", "1", false},
        {"null", "false", false},     {"\"a\"", "\"a\"", true}, {"\"a\"", "\"b\"", false}, {"[1,2]", "[1,2.0]", true},
        {"[1,2]", "[2,1]", false},    {"[1]", "[1,1]", false},  {"{}", "[]", false},       {"{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},              {"{\"a\":1}", "{\"b\":1}", false},
        {"9007199254740993", "9007199254740992.0", false},      {"9223372036854775807", "9223372036854775808.0", false},
        {"0.1", "0.1", true},         {"1e300", "1e300", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios__json_doc *a = parse(rows[i].a), *b = parse(rows[i].b);
        if (aios__json_equal(aios__json_root(a), aios__json_root(b)) != rows[i].same ||
            aios__json_equal(aios__json_root(b), aios__json_root(a)) != rows[i].same)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        aios__json_free(a);
        aios__json_free(b);
    }
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (long at = 1; at < 20; at++) {
        aios__json_doc *d;
        aios_error err = AIOS_INIT(aios_error);
        heap.n_allocs = 0;
        heap.fail_at = at;
        int rc = aios__json_parse(aios__ctx_heap(ctx), "[1]", 3, &d, &err);
        assert_int_equal(rc, at == 1 ? AIOS_ENOMEM : 0);
        aios__json_free(d);
    }
    heap.fail_at = 0;
}

static const aios__json *at(const aios__json_doc *d, size_t i)
{
    return aios__json_at(aios__json_root(d), i);
}

static aios__json_doc *parse_exact(const char *s)
{
    aios__json_doc *d;
    aios_error err = AIOS_INIT(aios_error);
    if (aios__json_parse_exact(aios__ctx_heap(ctx), s, strlen(s), &d, &err))
        fail_msg("%s: %s", s, err.msg);
    return d;
}

static void exact_documents_keep_large_integers_and_nul(void **state)
{
    (void)state;
    aios__json_doc *d = parse_exact("[\"a\\u0000b\",9223372036854775807]");
    size_t n;
    assert_memory_equal(aios__json_str(at(d, 0), &n), "a\0b", 4);
    assert_int_equal(n, 3);
    assert_int_equal(aios__json_type(at(d, 1)), AIOS__JSON_INT);
    aios__json_free(d);
    d = parse_exact("[9223372036854775808,-1e30,7]");
    assert_int_equal(aios__json_type(at(d, 0)), AIOS__JSON_REAL);
    assert_true(aios__json_real(at(d, 0), 0) == 0x1p63);
    assert_true(aios__json_integral(at(d, 2)));
    aios__json_free(d);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios__json_parse(aios__ctx_heap(ctx), "9223372036854775808", 19, &d, &err), AIOS_EFORMAT);
}

/* Each number of the list is above the one before it. */
static void numbers_are_compared_exactly(void **state)
{
    (void)state;
    aios__json_doc *d = parse_exact("[-1e300,-9223372036854775808,-10.01,-1e1,-0.1,-1e-300,0e99,1e-300,0.001,0.1,1,1.0000000000000002,10,100.5e-1,"
                                    "9007199254740992.0,9007199254740993,9007199254740994.0,9223372036854775000,9223372036854775807,9223372036854775807.0]");
    size_t n = aios__json_count(aios__json_root(d));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            int c = aios__json_compare(at(d, i), at(d, k));
            if ((c > 0) - (c < 0) != (i > k) - (i < k))
                fail_msg("%zu and %zu: %d", i, k, c);
        }
    aios__json_free(d);
}

static void multiples_and_wholeness_are_decimal(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool multiple, whole;
    } rows[] = {
        {"4.35", "0.01", true, false},      {"4.355", "0.01", false, false}, {"0.0075", "0.0001", true, false}, {"0.00751", "0.0001", false, false},
        {"1e308", "0.5", true, true},       {"1e308", "0.123456789", false, true}, {"12391239123", "1e-8", true, true}, {"0", "7", true, true},
        {"7.0", "7", true, true},           {"-21", "7", true, true},        {"-0.0", "0.3", true, true},       {"0.9", "0.3", true, false},
        {"1e2", "8", false, true},          {"1e3", "8", true, true},        {"12.50e1", "5", true, true},      {"12.505e2", "0.25", true, false},
        {"1.10e1", "11", true, true},       {"1e-1", "1e-3", true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios__json_doc *a = parse_exact(rows[i].a), *b = parse_exact(rows[i].b);
        if (aios__json_multiple(aios__json_root(a), aios__json_root(b)) != rows[i].multiple || aios__json_integral(aios__json_root(a)) != rows[i].whole)
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        aios__json_free(a);
        aios__json_free(b);
    }
}

static void writing_stops_at_the_limit_and_tells_the_first_failure(void **state)
{
    (void)state;
    aios__json_doc *d = parse("[\"aaaaaaaaaaaaaaaaaaaa\",\"bbbbbbbbbbbbbbbbbbbb\",{\"c\":1}]");
    aios__buf b;
    aios_error err = AIOS_INIT(aios_error);
    aios__buf_init(&b, aios__ctx_heap(ctx), AIOS_MEM_TEXT, 30);
    assert_int_equal(aios__json_write(aios__json_root(d), &b, &err), AIOS_ELIMIT);
    assert_int_equal(err.have, 30);
    assert_true(b.n <= 30);
    aios__buf_free(&b);
    aios__json_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(documents_make_the_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(equivalent_spellings_become_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_json_is_refused_with_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(nesting_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(large_texts_are_refused_before_they_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(charge_covers_what_the_parser_really_takes_and_little_more, setup, teardown),
        cmocka_unit_test_setup_teardown(budget_refuses_a_document_before_it_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(values_are_read_by_type, setup, teardown),
        cmocka_unit_test_setup_teardown(absent_values_are_harmless, setup, teardown),
        cmocka_unit_test_setup_teardown(equality_is_that_of_json_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(exact_documents_keep_large_integers_and_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers_are_compared_exactly, setup, teardown),
        cmocka_unit_test_setup_teardown(multiples_and_wholeness_are_decimal, setup, teardown),
        cmocka_unit_test_setup_teardown(writing_stops_at_the_limit_and_tells_the_first_failure, setup, teardown),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
