/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates JSON: fuzz_snapshot [ROUNDS [SEED]]. Read in pieces, each look at it must be JSON that the reader of base/json.c takes, the last one
 * the document itself; and both refuse the same texts, but for keys that repeat.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aios/aios.h>

#include "base/json.h"
#include "fuzz.h"

enum { MAX = 400 };

static const char *const seeds[] = {
    "{\"list\": [ {\"id\": -1.5e3, \"tags\": [\"a\", \"b\\n\\u00e9\\\"\"]}, null, [], {} ], \"text\": \"\xc3\xa9\xf0\x9f\x98\x80 end\", \"on\": true}",
    "[0, -0.5, 10e+2, 1E-7, false, \"\\ud83d\\ude00\", [[[{\"a\": [{\"b/~\": \"c\"}]}]]]]",
    "\"text \\\\ \\/ \\b\\f\\n\\r\\t\"",
    "{\"a\":{\"b\":{\"c\":{\"d\":\"e\"},\"f\":[1,2,3]},\"g\":\"h\"},\"i\":null}",
};
static const char *const words[] = {"{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud800", "\\udc00", "0", "1e", ".", "-", "true", "null", " ", "\n", "\xc3", "\xff", "\"k\":", "{\"x\":[", "\\u0000"};
static size_t mutate(char *s, size_t n)
{
    for (uint64_t k = rng() % 4; k; k--) {
        size_t at = rng() % (n + 1), len = n - at ? 1 + rng() % (n - at < 9 ? n - at : 9) : 0;
        const char *w = words[rng() % AIOS__ARRAY_LEN(words)];
        switch (rng() % 4) {
        case 0:
            if (n + strlen(w) <= MAX) {
                memmove(s + at + strlen(w), s + at, n - at);
                memcpy(s + at, w, strlen(w));
                n += strlen(w);
            }
            break;
        case 1:
            memmove(s + at, s + at + len, n - at - len);
            n -= len;
            break;
        case 2:
            if (at < n)
                s[at] = (char)rng();
            break;
        default:
            n = rng() % 4 ? n : at;
        }
    }
    return n;
}

/* A view is JSON; blanks aside its text is never shorter than the one before without its end. */
static int look(aios_snapshot *s, aios__heap *h, aios__buf *last)
{
    aios_snapshot_view v = AIOS_INIT(aios_snapshot_view);
    aios__json_doc *doc = NULL;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_snapshot_get(s, &v, NULL);
    if (rc)
        return rc != AIOS_AGAIN;
    rc = aios__json_parse(h, v.json, v.n_json, &doc, &err);
    aios__json_free(doc);
    if (rc && !strstr(err.msg, "twice") && !strstr(err.msg, "duplicate"))
        return 1;
    aios__buf_clear(last);
    return aios__buf_add(last, v.json, v.n_json, NULL) || (!v.path) != !!(v.flags & AIOS_SNAPSHOT_COMPLETE);
}

static int read_text(aios_ctx *ctx, const char *text, size_t n)
{
    aios__heap *h = aios__ctx_heap(ctx);
    aios_snapshot *s = NULL;
    aios__buf last;
    aios__json_doc *doc = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios__buf_init(&last, h, AIOS_MEM_TEXT, 0);
    int bad = aios_snapshot_new(ctx, &s, NULL), rc = 0;
    for (size_t at = 0, len; !bad && !rc && at < n; at += len) {
        len = 1 + rng() % 7;
        len = len < n - at ? len : n - at;
        rc = aios_snapshot_add(s, text + at, len, NULL);
        bad = look(s, h, &last);
    }
    rc = rc ? rc : aios_snapshot_end(s, NULL);
    bad = bad || look(s, h, &last);
    int is = aios__json_parse(h, text, n, &doc, &err);
    bad = bad || (!rc && is && !strstr(err.msg, "twice") && !strstr(err.msg, "duplicate")) || (rc && !is);
    aios__json_free(doc);
    aios__buf_free(&last);
    aios_snapshot_free(s);
    return bad;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 100000;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 0x9e3779b97f4a7c15u;
    aios_ctx *ctx = NULL;
    if (aios_ctx_new(NULL, &ctx, NULL))
        return 1;
    for (long r = 0; r < rounds; r++) {
        char s[MAX + 1];
        const char *seed = seeds[rng() % AIOS__ARRAY_LEN(seeds)];
        size_t n = strlen(seed);
        memcpy(s, seed, n);
        n = mutate(s, n);
        if (read_text(ctx, s, n)) {
            fprintf(stderr, "round %ld: %.*s\n", r, (int)n, s);
            return 1;
        }
    }
    aios_ctx_free(ctx);
    printf("%ld texts\n", rounds);
    return 0;
}
