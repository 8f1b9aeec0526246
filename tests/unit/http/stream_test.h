/* SPDX-License-Identifier: Apache-2.0 */
/* What comes up from a dialect's stream, however it is cut. */
#ifndef AIOS_STREAM_TEST_H
#define AIOS_STREAM_TEST_H

#include "dialect_test.h"

/** What came up, as one line: "text:Hello|call:get_weather{...}#id|usage:25/0/15/0|stop:stop", pieces of one kind joined. */
typedef struct heard {
    char s[8192];
    size_t n;
    char kind;
    char delta[4096]; /* of the call being written */
} heard;

static inline int heard_add(heard *h, char kind, const char *head, const char *s, size_t n)
{
    bool joined = kind == h->kind && (kind == 't' || kind == 'r');
    int k = snprintf(h->s + h->n, sizeof h->s - h->n, "%s%s%.*s", h->n && !joined ? "|" : "", joined ? "" : head, (int)n, s);
    assert_true(k >= 0 && (size_t)k < sizeof h->s - h->n);
    h->n += (size_t)k;
    h->kind = kind;
    return 0;
}

static inline int heard_text(void *user, const char *s, size_t n)
{
    return heard_add(user, 't', "text:", s, n);
}

static inline int heard_reasoning(void *user, const char *s, size_t n)
{
    return heard_add(user, 'r', "think:", s, n);
}

static inline int heard_delta(void *user, const char *name, const char *s, size_t n, const char *id)
{
    heard *h = user;
    size_t k = strlen(h->delta);
    assert_non_null(name);
    (void)id;
    snprintf(h->delta + k, sizeof h->delta - k, "%.*s", (int)n, s);
    return 0;
}

static inline int heard_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    heard *h = user;
    char head[512];
    assert_int_equal(strlen(h->delta), n);
    assert_memory_equal(h->delta, args, n); /* the pieces make up the whole */
    h->delta[0] = 0;
    snprintf(head, sizeof head, "call:%s", name);
    heard_add(h, 'c', head, args, n);
    h->n += (size_t)snprintf(h->s + h->n, sizeof h->s - h->n, "%s%s", id ? "#" : "", id ? id : "");
    assert_true(h->n < sizeof h->s);
    return 0;
}

static inline int heard_usage(void *user, const aios_usage *u)
{
    char s[80];
    int n = snprintf(s, sizeof s, "%u/%u/%u/%u", u->input, u->cached, u->output, u->reasoning);
    return heard_add(user, 'u', "usage:", s, (size_t)n);
}

static inline int heard_stop(void *user, const char *reason)
{
    return heard_add(user, 's', "stop:", reason, strlen(reason));
}

static inline int heard_logprobs(void *user, const char *json, size_t n)
{
    return heard_add(user, 'l', "probs:", json, n);
}

static inline int heard_sign(void *user, const char *signature)
{
    return heard_add(user, 'g', "sign:", signature, strlen(signature));
}

/* Feeds pieces that end at a, at b and at the end. Returns the code; what came up is in h. */
static inline int hear(bench *w, const char *s, size_t a, size_t b, heard *h)
{
    size_t n = strlen(s);
    aios_sink k = AIOS_INIT(aios_sink);
    aios__reader *r = NULL;
    memset(h, 0, sizeof *h);
    k.user = h;
    k.text = heard_text;
    k.reasoning = heard_reasoning;
    k.call = heard_call;
    k.usage = heard_usage;
    k.stop = heard_stop;
    k.call_delta = heard_delta;
    k.sign = heard_sign;
    k.logprobs = heard_logprobs;
    w->err = (aios_error)AIOS_INIT(aios_error);
    must(aios__reader_new(&w->remote, &r, &w->err), &w->err);
    int rc = aios__reader_feed(r, &k, s, a, &w->err);
    rc = rc ? rc : aios__reader_feed(r, &k, s + a, b - a, &w->err);
    rc = rc ? rc : aios__reader_feed(r, &k, s + b, n - b, &w->err);
    rc = rc ? rc : aios__reader_finish(r, &k, &w->err);
    aios__reader_free(r);
    return rc;
}

/* Begins to hear anew. */
static inline aios_sink heard_sink(heard *h)
{
    memset(h, 0, sizeof *h);
    return (aios_sink){.struct_size = sizeof(aios_sink), .user = h, .text = heard_text, .reasoning = heard_reasoning, .call = heard_call,
                       .usage = heard_usage, .stop = heard_stop, .call_delta = heard_delta, .sign = heard_sign, .logprobs = heard_logprobs};
}

/* One byte at a time. */
static inline int hear_slowly(bench *w, const char *s, heard *h)
{
    aios_sink k = heard_sink(h);
    aios__reader *r = NULL;
    int rc = AIOS_OK;
    w->err = (aios_error)AIOS_INIT(aios_error);
    must(aios__reader_new(&w->remote, &r, &w->err), &w->err);
    for (; *s && !rc; s++)
        rc = aios__reader_feed(r, &k, s, 1, &w->err);
    rc = rc ? rc : aios__reader_finish(r, &k, &w->err);
    aios__reader_free(r);
    return rc;
}

/* The stream says this, with this code, wherever it is cut. */
static inline void check_stream(bench *w, const char *s, int code, const char *what)
{
    heard h;
    size_t n = strlen(s);
    for (size_t i = 0; i <= n; i++) {
        size_t second = i + (n - i) / 3;
        int rc = hear(w, s, i, second, &h);
        if (rc != code || strcmp(h.s, what))
            fail_msg("cut at %zu and %zu: %d (%s), expected %d\n got: %s\nneed: %s", i, second, rc, w->err.msg, code, h.s, what);
    }
    assert_int_equal(hear_slowly(w, s, &h), code);
    assert_string_equal(h.s, what);
}

/* A stream that ends anywhere before its end fails, or says no more than the whole one; nothing is lost of the heap. */
static inline void check_cut_off(bench *w, const char *s, size_t whole)
{
    char part[8192];
    heard h;
    for (size_t i = 0; i < whole; i++) {
        snprintf(part, sizeof part, "%.*s", (int)i, s);
        if (hear(w, part, i, i, &h) != AIOS_EPROTO)
            fail_msg("a stream of %zu of %zu bytes counts as whole: %s", i, whole, h.s);
    }
}

/* Streams that differ from s in a few bytes end with a reply or a failure, and leave nothing behind. */
static inline void check_damaged(bench *w, const char *s)
{
    char copy[8192];
    heard h;
    uint32_t x = 2463534242u;
    for (int i = 0; i < 4000; i++) {
        size_t n = strlen(s);
        memcpy(copy, s, n + 1);
        for (int k = i % 5; k >= 0; k--) {
            x ^= x << 13, x ^= x >> 17, x ^= x << 5;
            size_t at = x % n, len = (x >> 16) % (n - at < 40 ? n - at : 40);
            if (x & 0x8000)
                copy[at] = "\"{}[]:,\\n0-\xff\r e"[x >> 24 & 15];
            else if (x & 0x4000)
                memmove(copy + at, copy + at + len, strlen(copy + at + len) + 1);
            else
                memmove(copy + at, s + (x >> 8) % (n - len), len);
            n = strlen(copy);
            if (!n)
                break;
        }
        int rc = hear(w, copy, n / 3, n / 2, &h);
        assert_true(rc <= AIOS_OK);
        assert_true(!rc || w->err.msg[0]);
    }
}

/* Memory runs out at every place, once or from there on. */
static inline void check_stream_heap(bench *w, const char *s, const char *what)
{
    heard h;
    for (long i = 2;; i++) {
        long at = i / 2;
        aios_sink k = heard_sink(&h);
        aios__reader *r = NULL;
        aios_error err = AIOS_INIT(aios_error);
        w->heap.n_allocs = 0;
        w->heap.fail_at = at;
        w->heap.persistent = (int)(i % 2);
        int rc = aios__reader_new(&w->remote, &r, &err);
        rc = rc ? rc : aios__reader_feed(r, &k, s, strlen(s), &err);
        rc = rc ? rc : aios__reader_finish(r, &k, &err);
        aios__reader_free(r);
        if (!test_heap_heal(&w->heap))
            break;
        assert_true(rc == AIOS_ENOMEM || (rc == AIOS_OK && !strcmp(h.s, what)));
    }
}

/* A body of an answer that is a failure, with its status: its code and a word of its message. */
static inline void check_fault(bench *w, int status, const char *body, int code, const char *word)
{
    aios__buf b;
    aios_error err = AIOS_INIT(aios_error);
    aios__buf_init(&b, w->remote.heap, AIOS_MEM_TEXT, 0);
    must(aios__buf_adds(&b, body, &w->err), &w->err);
    int rc = aios__fault_read(&w->remote.server, status, &b, NULL, &err);
    if (rc != code || !strstr(err.msg, word))
        fail_msg("%d %s: %d \"%s\", expected %d and \"%s\"", status, body, rc, err.msg, code, word);
    aios__buf_free(&b);
}

#endif
