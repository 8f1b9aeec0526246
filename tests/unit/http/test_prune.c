/* SPDX-License-Identifier: Apache-2.0 */
/* What is left out of a chunk before it is parsed, and that nothing wrong becomes right by it. */
#include "test.h"

#include "backend/http/remote_priv.h"

static const char *const reads[] = {"choices", "error", "object", NULL};

static void members_that_nobody_reads_are_left_out(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: left as it is */
    } rows[] = {
        {"{\"id\":\"c-1\",\"object\":\"x\",\"created\":17,\"choices\":[{\"a\":\"}],\\\"\"}],\"f\":null}", "{\"object\":\"x\",\"choices\":[{\"a\":\"}],\\\"\"}]}"},
        {"{ \"id\" : \"c\" , \"choices\" : [ ] , \"t\" : -0.5 }", "{\"choices\" : [ ] }"},
        {"{\"a\":1}", "{}"},
        {"{\"a\":true,\"b\":false,\"c\":0}", "{}"},
        {"{\"n\":{\"a\":1},\"m\":[1,2],\"s\":\"\xc3\xa9\",\"e\":\"\\n\",\"x\":1e5,\"l\":1234567890123456}",
         "{\"n\":{\"a\":1},\"m\":[1,2],\"s\":\"\xc3\xa9\",\"e\":\"\\n\",\"x\":1e5,\"l\":1234567890123456}"},
        {"{\"error\":\"x\"}\r\n", "{\"error\":\"x\"}"},
        {"{}", NULL},
        {"[1]", NULL},
        {"", NULL},
        {"{", NULL},
        {"{\"a\":1,}", NULL},
        {"{\"a\":1 \"b\":2}", "{\"a\":1 \"b\":2}"},
        {"{\"a\":1}x", NULL},
        {"{\"a\":01}", "{\"a\":01}"},
        {"{\"a\":1.}", "{\"a\":1.}"},
        {"{\"a\":-}", "{\"a\":-}"},
        {"{\"a\":nul}", "{\"a\":nul}"},
        {"{\"a\":nullx}", "{\"a\":nullx}"},
        {"{\"a\":\"x}", NULL},
        {"{\"a\\u0062\":1}", NULL},
        {"{\"a\"}", NULL},
        {"{\"a\":}", "{\"a\":}"},
        {"{\"a\":1]", NULL},
        {"{\"a\":[1}", NULL},
        {"{a:1}", NULL},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        char *s = malloc(n ? n : 1), out[256]; /* exact, so that a sanitizer sees a byte too many */
        memcpy(s, rows[i].text, n);
        size_t k = aios__prune(s, n, reads, out);
        out[k] = 0;
        if (rows[i].want ? !k || strcmp(out, rows[i].want) : k)
            fail_msg("%s: %s", rows[i].text, k ? out : "(left)");
        free(s);
    }
}

static bool parses(aios__heap *h, const char *s, size_t n)
{
    aios__json_doc *doc = NULL;
    int rc = aios__json_parse(h, s, n, &doc, NULL);
    aios__json_free(doc);
    return !rc;
}

/* Every text that is no JSON stays none, but for two members of the same name among those left out. */
static void nothing_wrong_becomes_right(void **state)
{
    (void)state;
    static const char whole[] = "{\"id\":\"chatcmpl-1\",\"object\":\"chunk\",\"created\":1700,\"t\":-1.5,\"u1\":null,\"choices\":[{\"index\":0,\"delta\":{\"content\":\" a\\\"b\"}}],\"v2\":true}";
    static const char odd[] = "\"\\{}[],:.-0x \n\x01\xc3";
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios__heap *h = aios__ctx_heap(ctx);
    uint32_t x = 12345;
    int n_right = 0, n_wrong = 0;
    for (int round = 0; round < 200000; round++) {
        char s[sizeof whole + 8], out[sizeof whole + 8];
        size_t n = sizeof whole - 1;
        memcpy(s, whole, n);
        for (int k = round % 3; k >= 0; k--) { /* changes, and cuts */
            x = x * 1664525 + 1013904223;
            s[(x >> 8) % n] = odd[(x >> 20) % (sizeof odd - 1)];
        }
        n = round % 7 ? n : (x >> 4) % (n + 1);
        size_t k = aios__prune(s, n, reads, out);
        assert_true(k <= n + 1);
        bool was = parses(h, s, n);
        n_right += was;
        n_wrong += !was;
        if (k && parses(h, out, k) != was)
            fail_msg("%.*s: %.*s", (int)n, s, (int)k, out);
    }
    assert_true(n_right > 1000 && n_wrong > 1000);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_nobody_reads_are_left_out),
        cmocka_unit_test(nothing_wrong_becomes_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
