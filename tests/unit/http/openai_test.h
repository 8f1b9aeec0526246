/* SPDX-License-Identifier: Apache-2.0 */
/* The dialects of OpenAI without a network: requests and streams as texts in which ' stands for ". */
#ifndef AIOS_OPENAI_TEST_H
#define AIOS_OPENAI_TEST_H

#include "test.h"

#include "backend/http/quirks.h"
#include "backend/http/remote_priv.h"

typedef struct desk {
    test_heap heap;
    aios_ctx *ctx;
    aios__remote m;
    aios_transcript *t;
    aios_request req;
    aios_error err;
} desk;

static inline desk *desk_open(const aios__dialect *d, const char *base_url, const char *host)
{
    desk *k = calloc(1, sizeof *k);
    assert_non_null(k);
    k->ctx = test_ctx(&k->heap, 0);
    k->m.heap = aios__ctx_heap(k->ctx);
    k->m.host = (char *)(uintptr_t)host;
    k->m.millibytes_per_token = 3500;
    k->m.server.ctx = k->ctx;
    k->m.server.dialect = d;
    k->m.server.model = "m";
    k->m.server.base_url = base_url;
    k->m.server.host = host;
    aios__quirks_of_host(&k->m.server);
    k->req = (aios_request)AIOS_INIT(aios_request);
    k->err = (aios_error)AIOS_INIT(aios_error);
    must(aios_transcript_new(k->ctx, &k->t, &k->err), &k->err);
    k->req.transcript = k->t;
    return k;
}

static inline void desk_close(desk *k)
{
    aios_transcript_free(k->t);
    aios_ctx_free(k->ctx);
    assert_int_equal(k->heap.live, 0);
    free(k);
}

static inline void add_text(desk *k, int32_t role, const char *s)
{
    must(aios_transcript_add_text(k->t, role, s, AIOS_CSTR, &k->err), &k->err);
}

static inline void add_parts(desk *k, int32_t role, const aios_part *parts, uint32_t n)
{
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = role;
    e.parts = parts;
    e.n_parts = n;
    e.part_stride = sizeof *parts;
    must(aios_transcript_add(k->t, &e, &k->err), &k->err);
}

static inline aios_part part(int32_t kind, const char *text, const char *name, const char *id, const char *mime)
{
    return (aios_part){.struct_size = sizeof(aios_part), .kind = kind, .text = text, .n_text = strlen(text), .name = name, .call_id = id, .mime = mime};
}

/** A copy with quotes for apostrophes; two buffers in turn. */
static inline const char *quoted(const char *s)
{
    static char text[2][16384];
    static int turn;
    char *out = text[turn ^= 1];
    size_t n = strlen(s);
    assert_true(n < sizeof text[0]);
    for (size_t i = 0; i <= n; i++)
        out[i] = s[i] == '\'' ? '"' : s[i];
    return out;
}

/** The request is exactly this, and JSON; where memory runs out it fails with that, and loses nothing. */
static inline void check_request(desk *k, const char *path, const char *body)
{
    aios__message q;
    aios__json_doc *doc = NULL;
    const char *want = quoted(body);
    aios__message_init(&k->m, &q);
    must(aios__remote_encode(&k->m, &k->req, &q, &k->err), &k->err);
    assert_string_equal(q.path.p, path);
    if (strcmp(q.body.p, want))
        fail_msg("\n got: %s\nneed: %s", q.body.p, want);
    must(aios__json_parse(k->m.heap, q.body.p, q.body.n, &doc, &k->err), &k->err);
    aios__json_free(doc);
    aios__message_free(&q);
    int reached = 1;
    for (long at = 1; reached; at++) {
        aios_error err = AIOS_INIT(aios_error);
        k->heap.n_allocs = 0;
        k->heap.fail_at = at;
        aios__message_init(&k->m, &q);
        int rc = aios__remote_encode(&k->m, &k->req, &q, &err);
        reached = test_heap_heal(&k->heap);
        if (rc != AIOS_ENOMEM && (rc || strcmp(q.body.p, want)))
            fail_msg("allocation %ld: %d %s", at, rc, err.msg);
        aios__message_free(&q);
    }
}

/* ---- what comes up ------------------------------------------------------------------------------------------------ */

typedef struct heard {
    char s[8192];
    size_t n;
    char kind;
} heard;

static inline int hear_piece(heard *h, char kind, const char *s, size_t n)
{
    int k = kind == h->kind && (kind == 'T' || kind == 'R') ? snprintf(h->s + h->n, sizeof h->s - h->n, "%.*s", (int)n, s)
                                                            : snprintf(h->s + h->n, sizeof h->s - h->n, "%s%c:%.*s", h->n ? "|" : "", kind, (int)n, s);
    assert_true(k >= 0 && (size_t)k < sizeof h->s - h->n);
    h->n += (size_t)k;
    h->kind = kind;
    return 0;
}

static inline int hear_text(void *user, const char *s, size_t n)
{
    return hear_piece(user, 'T', s, n);
}

static inline int hear_reasoning(void *user, const char *s, size_t n)
{
    return hear_piece(user, 'R', s, n);
}

static inline int hear_call(void *user, const char *name, const char *args, size_t n, const char *id)
{
    char s[2048];
    int k = snprintf(s, sizeof s, "%s%.*s#%s", name, (int)n, args, id ? id : "");
    return hear_piece(user, 'C', s, (size_t)k);
}

static inline int hear_usage(void *user, const aios_usage *u)
{
    char s[64];
    int k = snprintf(s, sizeof s, "%u/%u/%u/%u", u->input, u->cached, u->output, u->reasoning);
    return hear_piece(user, 'U', s, (size_t)k);
}

static inline int hear_stop(void *user, const char *reason)
{
    return hear_piece(user, 'S', reason, strlen(reason));
}

static inline int hear_sign(void *user, const char *signature)
{
    return hear_piece(user, 'G', signature, strlen(signature));
}

static inline int hear_logprobs(void *user, const char *json, size_t n)
{
    return hear_piece(user, 'L', json, n);
}

static inline aios_sink sink_of(heard *h)
{
    aios_sink k = AIOS_INIT(aios_sink);
    k.user = h;
    k.text = hear_text;
    k.reasoning = hear_reasoning;
    k.call = hear_call;
    k.usage = hear_usage;
    k.stop = hear_stop;
    k.sign = hear_sign;
    k.logprobs = hear_logprobs;
    return k;
}

/** Reads s in two pieces, or (cut SIZE_MAX) byte by byte. */
static inline int listen_to(desk *k, const char *s, size_t cut, heard *h)
{
    size_t n = strlen(s), step = cut == SIZE_MAX ? 1 : cut ? cut : n;
    aios__reader *r = NULL;
    memset(h, 0, sizeof *h);
    aios_sink sink = sink_of(h);
    k->err = (aios_error)AIOS_INIT(aios_error);
    int rc = aios__reader_new(&k->m, &r, &k->err);
    for (size_t i = 0; !rc && i < n;) {
        size_t len = i + step < n ? step : n - i;
        rc = aios__reader_feed(r, &sink, s + i, len, &k->err);
        i += len;
        step = cut == SIZE_MAX ? 1 : n;
    }
    rc = rc ? rc : aios__reader_finish(r, &sink, &k->err);
    aios__reader_free(r);
    return rc;
}

/** The stream says this and ends with this code, wherever it is cut; where memory runs out nothing is lost. */
static inline void check_stream(desk *k, const char *s, int code, const char *what)
{
    static heard h;
    char *text = strdup(quoted(s));
    const char *want = quoted(what);
    size_t n = strlen(text);
    for (size_t i = 0; i <= n; i++) {
        int rc = listen_to(k, text, i == n ? SIZE_MAX : i, &h);
        if (rc != code || strcmp(h.s, want))
            fail_msg("cut at %zu: %d (%s), expected %d\n got: %s\nneed: %s", i, rc, k->err.msg, code, h.s, want);
    }
    int reached = 1;
    for (long at = 1; reached; at++) {
        k->heap.n_allocs = 0;
        k->heap.fail_at = at;
        int rc = listen_to(k, text, 0, &h);
        reached = test_heap_heal(&k->heap);
        assert_true(rc == code || rc == AIOS_ENOMEM);
    }
    free(text);
}

#endif
