/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates replies with calls in every format: fuzz_callparse [ROUNDS [SEED]]. Each is read twice, whole and in pieces: what comes must be
 * the same, valid UTF-8, arguments JSON that is what came in pieces; where no call came, no text may be lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aios/aios.h>

#include "call_samples.h"
#include "fuzz.h"
#include "llm/callparse.h"

enum { MAX = 700, LOG = 16384, SAMPLES = AIOS__ARRAY_LEN(call_samples) };

static const char *const words[] = {
    "<tool_call>", "</tool_call>", "{\"name\": \"", "\", \"arguments\": {", "}", "]", "[", "\"", "\\", "\\ud83d", "\\u", "<think>", "</think>", "[TOOL_CALLS]",
    "[ARGS]", "[CALL_ID]", "<escape>", "<|\"|>", "</parameter>", "<parameter=k>", "\n", " ", "```", "```json", ",", ";", ":", "=", "(", ")", "'", "<|message|>",
    "<|channel|>", "<|end|>", " to=", "<|call|>", "\xf0\x9f\x98\x80", "\xf0\x9f", "\xff", "1e", "-", "null", "true", "function", "<", "<｜tool▁calls▁end｜>",
};
/* What came: kinds and bytes, pieces of one kind joined. */
typedef struct log {
    aios__heap *heap;
    char p[LOG], args[LOG];
    size_t n, n_args, n_text;
    char kind;
    bool in_call, reasons, bad;
    uint32_t n_calls;
} log;

static void put(log *l, const char *s, size_t n)
{
    n = n < LOG - l->n ? n : LOG - l->n;
    memcpy(l->p + l->n, s, n);
    l->n += n;
}

static int piece(log *l, char kind, const char *s, size_t n)
{
    l->bad |= !n || !aios__utf8_valid(s, n) || memchr(s, 0, n);
    if (l->kind != kind)
        put(l, &kind, 1);
    l->kind = kind;
    put(l, s, n);
    return 0;
}

static int on_text(void *user, const char *s, size_t n)
{
    log *l = user;
    for (size_t i = 0; i < n; i++)
        l->n_text += !aios__is_blank(s[i]);
    return piece(l, 1, s, n);
}

static int on_reasoning(void *user, const char *s, size_t n)
{
    ((log *)user)->reasons = true;
    return piece(user, 2, s, n);
}

static int on_begin(void *user, const char *name, const char *id)
{
    log *l = user;
    (void)id;
    l->bad |= l->in_call || !*name;
    l->in_call = true;
    l->n_args = 0;
    return 0;
}

static int on_args(void *user, const char *s, size_t n)
{
    log *l = user;
    l->bad |= !l->in_call || !n || n > LOG - l->n_args || !aios__utf8_valid(s, n);
    if (!l->bad)
        memcpy(l->args + l->n_args, s, n);
    l->n_args += n;
    return 0;
}

static int on_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    log *l = user;
    aios__json_doc *doc = NULL;
    l->bad |= !l->in_call || n != l->n_args || memcmp(args, l->args, n) || aios__json_parse(l->heap, args, n, &doc, NULL) ||
              aios__json_type(aios__json_root(doc)) != AIOS__JSON_OBJECT;
    aios__json_free(doc);
    l->in_call = false;
    l->kind = 3;
    l->n_calls++;
    put(l, "\3", 1);
    put(l, name, strlen(name) + 1);
    put(l, args, n);
    if (id)
        put(l, id, strlen(id) + 1);
    return 0;
}

static int on_drop(void *user)
{
    log *l = user;
    l->bad |= !l->in_call;
    l->in_call = false;
    return 0;
}

static int read_reply(log *l, size_t sample, const char *s, size_t n, bool cut)
{
    aios__callparse p;
    const aios__call_sink sink = {l, on_text, on_reasoning, on_begin, on_args, on_call, on_drop};
    const char *t = call_samples[sample].think;
    l->n = l->n_args = l->n_text = 0;
    l->kind = 0;
    l->in_call = l->reasons = l->bad = false;
    l->n_calls = 0;
    aios__callparse_init(&p, l->heap, aios__call_format_named(call_samples[sample].format), aios__think_format_find(t, strlen(t)), &sink);
    p.may_think = true;
    int rc = 0;
    for (size_t at = 0, len; !rc && at < n; at += len) {
        len = cut ? 1 + rng() % 9 : n;
        len = len < n - at ? len : n - at;
        rc = aios__callparse_add(&p, s + at, len, NULL, NULL);
    }
    rc = rc ? rc : aios__callparse_finish(&p, NULL);
    aios__callparse_free(&p);
    return rc || l->bad || l->in_call;
}

static size_t mutate(char *s, size_t n)
{
    for (uint64_t k = rng() % 5; k; k--) {
        size_t at = rng() % (n + 1), len = n - at ? 1 + rng() % (n - at < 20 ? n - at : 20) : 0;
        const char *w = words[rng() % AIOS__ARRAY_LEN(words)];
        char copy[20];
        switch (rng() % 6) {
        case 0:
            n = insert(s, n, MAX, at, w, strlen(w));
            break;
        case 1: /* leave out */
            memmove(s + at, s + at + len, n - at - len);
            n -= len;
            break;
        case 2: /* twice */
            memcpy(copy, s + at, len);
            n = insert(s, n, MAX, rng() % (n + 1), copy, len);
            break;
        case 3:
            if (at < n)
                s[at] = (char)rng();
            break;
        case 4: /* the end of another */
            w = call_samples[rng() % SAMPLES].reply;
            len = rng() % strlen(w);
            n = insert(s, n, MAX, at, w + len, strlen(w + len));
            break;
        default:
            n = at > 3 ? at : n;
        }
    }
    return n;
}

/* Where nothing but text came, all of it must have come. */
static bool lost_text(const log *l, size_t sample, const char *s, size_t n)
{
    const char *t = call_samples[sample].think, *open = aios__think_format_find(t, strlen(t))->open;
    size_t is = 0;
    if (l->n_calls || l->reasons || !strcmp(call_samples[sample].format, "harmony") || memmem(s, n, open, strlen(open)) || !aios__utf8_valid(s, n) || memchr(s, 0, n))
        return false;
    for (size_t i = 0; i < n; i++)
        is += !aios__is_blank(s[i]);
    return is != l->n_text;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? atol(argv[1]) : 100000;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 0x9e3779b97f4a7c15u;
    aios_ctx *ctx = NULL;
    if (aios_ctx_new(NULL, &ctx, NULL))
        return 1;
    static log a, b;
    a.heap = b.heap = aios__ctx_heap(ctx);
    unsigned long calls = 0;
    for (long r = 0; r < rounds; r++) {
        char s[MAX + 1];
        size_t sample = rng() % SAMPLES, n = strlen(call_samples[sample].reply);
        memcpy(s, call_samples[sample].reply, n);
        n = mutate(s, n);
        uint64_t seed = state;
        if (read_reply(&a, sample, s, n, false) || read_reply(&b, sample, s, n, true) || a.n != b.n || memcmp(a.p, b.p, a.n) || lost_text(&a, sample, s, n)) {
            fprintf(stderr, "round %ld (state %llu), %s: %.*s\n", r, (unsigned long long)seed, call_samples[sample].format, (int)n, s);
            return 1;
        }
        calls += a.n_calls;
    }
    aios_ctx_free(ctx);
    printf("%ld replies read twice, %lu calls\n", rounds, calls);
    return 0;
}
