/* SPDX-License-Identifier: Apache-2.0 */
/* Formats: what each has and has not, and that patterns and masks can hold them. */
#include "grammar_test.h"
#include "shared_ctx.h"

#include <stdio.h>

#include "grammar/schema_format.h"

/* {format, text, has it} */
static const struct {
    const char *name, *text;
    int is;
} rows[] = {
    {"date", "2024-02-29", 1},
    {"date", "2023-02-29", 0},
    {"date", "1900-02-29", 0},
    {"date", "2000-02-29", 1},
    {"date", "2020-04-31", 0},
    {"date", "2020-1-01", 0},
    {"time", "08:30:06.283185Z", 1},
    {"time", "08:30:06", 0},
    {"time", "24:00:00Z", 0},
    {"time", "23:59:60Z", 1},
    {"time", "22:59:60Z", 0},
    {"time", "01:29:60+01:30", 1},
    {"time", "15:59:60.5-08:00", 1},
    {"time", "15:59:60-07:00", 0},
    {"time", "15:59:60.-08:00", 0},
    {"date-time", "1990-12-31T15:59:60-08:00", 1},
    {"date-time", "1990-02-31T15:59:60-08:00", 0},
    {"date-time", "1990-12-31t15:59:50.123z", 1},
    {"date-time", "1990-12-31 15:59:50Z", 0},
    {"duration", "P4Y2M3DT1H2M3S", 1},
    {"duration", "P4Y3D", 0},
    {"duration", "PT", 0},
    {"duration", "P2W", 1},
    {"duration", "P1", 0},
    {"email", "joe.bloggs@example.com", 1},
    {"email", "\"joe bloggs\"@[IPv6:::1]", 1},
    {"email", ".test@example.com", 0},
    {"email", "2962", 0},
    {"idn-email", "\xec\x8b\xa4\xeb\xa1\x80@\xec\x8b\xa4\xeb\xa1\x80.kr", 1},
    {"hostname", "www.example.com", 1},
    {"hostname", "-bad.example", 0},
    {"hostname", "a_b", 0},
    {"ipv4", "192.168.0.255", 1},
    {"ipv4", "192.168.0.256", 0},
    {"ipv4", "192.168.00.1", 0},
    {"ipv6", "::", 1},
    {"ipv6", "1:2:3:4:5:6:7:8", 1},
    {"ipv6", "1::8", 1},
    {"ipv6", "::ffff:192.168.0.1", 1},
    {"ipv6", "1:2:3:4:5:6:7::8:9", 0},
    {"ipv6", "12345::", 0},
    {"uri", "http://foo.bar/?baz=qux#quux", 1},
    {"uri", "urn:oasis:names:specification:docbook:dtd:xml:4.1.2", 1},
    {"uri", "//foo.bar/", 0},
    {"uri", "http://[::1]:80/", 1},
    {"uri", "http:// should fail", 0},
    {"uri-reference", "/abc", 1},
    {"uri-reference", "\\\\windows", 0},
    {"iri", "http://\xc6\x92\xc3\xb8\xc3\xb8.\xc3\x9f\xc3\xa5r/?\xe2\x88\x82=1", 1},
    {"iri-reference", "/\xc3\xa2\xcf\x80", 1},
    {"uri-template", "http://example.com/dictionary/{term:1}/{+path*}", 1},
    {"uri-template", "http://example.com/{term:1}/{term", 0},
    {"uuid", "2EB8AA08-AA98-11EA-B4AA-73B441D16380", 1},
    {"uuid", "2eb8aa08-aa98-11ea-b4aa73b441d16380", 0},
    {"json-pointer", "/foo//bar~0/~1", 1},
    {"json-pointer", "/~2", 0},
    {"relative-json-pointer", "1/a", 1},
    {"relative-json-pointer", "01", 0},
    {"relative-json-pointer", "0#", 1},
    {"regex", "^(a[b\\d]+|c(d)){2,3}?$", 1},
    {"regex", "(?<=a)((((deep))))", 1},
    {"regex", "(unclosed", 0},
    {"no such", "anything", 1},
};

static void texts_have_a_format_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios__rx *x = NULL;
        uint32_t e;
        bool is = false, known = false;
        assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
        if (aios__format_rx(x, rows[i].name, &e, &known, &err) ||
            aios__format_match(x, rows[i].name, e, rows[i].text, strlen(rows[i].text), &is, &err))
            fail_msg("%s: %s", rows[i].name, err.msg);
        if (is != rows[i].is)
            fail_msg("%s of format %s: %d", rows[i].text, rows[i].name, is);
        assert_int_equal(known, strcmp(rows[i].name, "no such") != 0);
        aios__rx_free(x);
    }
}

/* Every day of 400 years, against the calendar counted out. */
static void calendars_are_exact(void **state)
{
    (void)state;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    aios_error err = AIOS_INIT(aios_error);
    aios__rx *x = NULL;
    uint32_t e;
    bool known, is;
    assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
    assert_int_equal(aios__format_rx(x, "date", &e, &known, &err), 0);
    for (int y = 1800; y < 2200; y++) {
        for (int m = 0; m <= 13; m++) {
            for (int d = 0; d <= 32; d++) {
                char s[40];
                int n = snprintf(s, sizeof s, "%04d-%02d-%02d", y, m, d);
                bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
                bool right = m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && leap);
                assert_int_equal(aios__rx_match(x, e, s, (size_t)n, &is, &err), 0);
                if (is != right)
                    fail_msg("%s: %d", s, is);
            }
        }
    }
    aios__rx_free(x);
}

/* Of each minute and each offset, the one second that may be the sixtieth. */
static void leap_seconds_are_at_midnight_of_utc(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__rx *x = NULL;
    uint32_t e;
    bool known, is;
    assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
    assert_int_equal(aios__format_rx(x, "time", &e, &known, &err), 0);
    for (int t = 0; t < 1440; t += 7) {
        for (int z = 1 - 1440; z < 1440; z++) {
            char s[60];
            int a = z < 0 ? -z : z;
            int n = snprintf(s, sizeof s, "%02d:%02d:60%c%02d:%02d", t / 60, t % 60, z < 0 ? '-' : '+', a / 60, a % 60);
            assert_int_equal(aios__format_match(x, "time", e, s, (size_t)n, &is, &err), 0);
            if (is != ((t - z + 2880) % 1440 == 1439))
                fail_msg("%s: %d", s, is);
        }
    }
    aios__rx_free(x);
}

/* Of every row: what surely has not the format has it not, and most that have it not are known to. */
static void what_surely_has_not_a_format_has_it_not(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios__rx *x = NULL;
    uint32_t e, without, n_known = 0, n_not = 0;
    bool known, is;
    assert_int_equal(aios__rx_new(ctx, &x, &err), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(aios__format_rx(x, rows[i].name, &e, &known, &err), 0);
        if (!known || aios__format_open(rows[i].name))
            continue;
        assert_int_equal(aios__format_not(x, rows[i].name, e, &without, &err), 0);
        assert_int_equal(aios__rx_match(x, without, rows[i].text, strlen(rows[i].text), &is, &err), 0);
        if (is && rows[i].is)
            fail_msg("%s: %s", rows[i].name, rows[i].text);
        n_known += is;
        n_not += !rows[i].is;
    }
    assert_true(n_known > 0 && n_not - n_known < 12); /* times with 60 seconds */
    assert_true(aios__format_open("regex"));
    aios__rx_free(x);
}

#define NAMES(schema) "{\"type\":\"object\",\"propertyNames\":" schema ",\"additionalProperties\":{\"type\":\"null\"}}"
#define REFUSED "\"format\" cannot be enforced while decoding under \"not\", \"if\" or \"oneOf\": say it with other keywords"

/* A name that the format has, but its pattern does not match, is none of those that have it not. */
static void names_without_a_format_surely_have_it_not(void **state)
{
    (void)state;
    static const reading readings[] = {
        {NAMES("{\"not\":{\"format\":\"time\"}}"), "{\"00:59:60+01:00\"", -1},
        {NAMES("{\"not\":{\"format\":\"time\"}}"), "{\"08:30:06Z\"", -1},
        {NAMES("{\"not\":{\"format\":\"time\"}}"), "{\"08:30:06\":null}", 1},
        {NAMES("{\"not\":{\"not\":{\"format\":\"time\"}}}"), "{\"08:30:06Z\":null}", 1},
        {NAMES("{\"not\":{\"not\":{\"format\":\"time\"}}}"), "{\"08:30:06\"", -1},
        {NAMES("{\"not\":{\"allOf\":[{\"format\":\"time\"},{\"maxLength\":14}]}}"), "{\"00:59:60+01:00\"", -1},
        {NAMES("{\"not\":{\"allOf\":[{\"format\":\"time\"},{\"maxLength\":13}]}}"), "{\"00:59:60+01:00\":null}", 1},
        {NAMES("{\"not\":{\"anyOf\":[{\"format\":\"time\"},{\"maxLength\":3}]}}"), "{\"00:59:60+01:00\"", -1},
        {NAMES("{\"not\":{\"anyOf\":[{\"format\":\"time\"},{\"maxLength\":3}]}}"), "{\"abc\"", -1},
        {NAMES("{\"not\":{\"anyOf\":[{\"format\":\"time\"},{\"maxLength\":3}]}}"), "{\"abcd\":null}", 1},
        {NAMES("{\"oneOf\":[{\"format\":\"time\"},{\"minLength\":4}]}"), "{\"00:59:60+01:00\"", -1},
        {NAMES("{\"oneOf\":[{\"format\":\"time\"},{\"minLength\":4}]}"), "{\"08:30:06\":null}", 1},
        {NAMES("{\"if\":{\"format\":\"time\"},\"then\":{\"maxLength\":9},\"else\":{\"maxLength\":20}}"), "{\"00:59:60+01:00\"", -1},
        {NAMES("{\"if\":{\"format\":\"time\"},\"then\":{\"maxLength\":9},\"else\":{\"maxLength\":20}}"), "{\"08:30:06+01\":null}", 1},
        {NAMES("{\"if\":{\"format\":\"regex\"}}"), "{\"a\":null}", 1},
        {NAMES("{\"anyOf\":[{\"format\":\"regex\",\"maxLength\":2},{\"oneOf\":[{\"format\":\"regex\"}]}]}"), "{\"[a]+\":null}", 1},
        {NAMES("{\"anyOf\":[{\"format\":\"regex\",\"maxLength\":2},{\"const\":\"(\"}]}"), "{\"[a\"", -1},
        {"{\"type\":\"object\",\"not\":{\"propertyNames\":{\"format\":\"time\"}}}", "{\"00:59:60+01:00\":1}", -1},
    };
    static const refusal refusals[] = {
        {NAMES("{\"not\":{\"format\":\"regex\"}}"), AIOS_ESCHEMA, "schema #/propertyNames/not: " REFUSED},
        {NAMES("{\"not\":{\"allOf\":[{\"maxLength\":3},{\"format\":\"regex\"}]}}"), AIOS_ESCHEMA, "schema #/propertyNames/not/allOf/1: " REFUSED},
        {NAMES("{\"oneOf\":[{\"maxLength\":3},{\"format\":\"regex\"}]}"), AIOS_ESCHEMA, "schema #/propertyNames/oneOf/1: " REFUSED},
        {NAMES("{\"if\":{\"format\":\"regex\"},\"then\":{\"maxLength\":3}}"), AIOS_ESCHEMA, "schema #/propertyNames/if: " REFUSED},
        {"{\"not\":{\"propertyNames\":{\"format\":\"regex\"}}}", AIOS_ESCHEMA, "schema #/not/propertyNames: " REFUSED},
    };
    assert_readings(ctx, AIOS_GRAMMAR_SCHEMA, readings, sizeof readings / sizeof *readings);
    assert_refusals(ctx, AIOS_GRAMMAR_SCHEMA, refusals, sizeof refusals / sizeof *refusals);
}

static void names_whose_schema_nests_too_deep_are_refused(void **state)
{
    (void)state;
    made_text t = {0};
    text_put(&t, "{\"propertyNames\":");
    for (int i = 0; i < 120; i++)
        text_put(&t, "{\"not\":");
    text_put(&t, "false");
    for (int i = 0; i < 121; i++)
        text_put(&t, "}");
    const refusal row = {t.p, AIOS_ESCHEMA, "\"not\" nests too deep to be enforced on names of properties"};
    assert_refusals(ctx, AIOS_GRAMMAR_SCHEMA, &row, 1);
    free(t.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_a_format_or_not),
        cmocka_unit_test(calendars_are_exact),
        cmocka_unit_test(leap_seconds_are_at_midnight_of_utc),
        cmocka_unit_test(what_surely_has_not_a_format_has_it_not),
        cmocka_unit_test(names_without_a_format_surely_have_it_not),
        cmocka_unit_test(names_whose_schema_nests_too_deep_are_refused),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
