/* SPDX-License-Identifier: Apache-2.0 */
/* A dialect without a network: what it writes for a request, and how it reads what is no stream. */
#ifndef AIOS_DIALECT_TEST_H
#define AIOS_DIALECT_TEST_H

#include "test.h"

#include "backend/http/remote_priv.h"

typedef struct bench {
    test_heap heap;
    aios_ctx *ctx;
    aios__remote remote;
    aios_transcript *t;
    aios_request req;
    aios_error err;
} bench;

static inline void bench_open(bench *b, const aios__dialect *d, const char *model)
{
    memset(b, 0, sizeof *b);
    b->ctx = test_ctx(&b->heap, 0);
    b->remote.heap = aios__ctx_heap(b->ctx);
    b->remote.host = (char *)(uintptr_t) "host.test";
    b->remote.server = (aios__server){.ctx = b->ctx, .dialect = d, .model = model, .base_url = "https://host.test", .host = "host.test"};
    b->req = (aios_request)AIOS_INIT(aios_request);
    b->err = (aios_error)AIOS_INIT(aios_error);
    must(aios_transcript_new(b->ctx, &b->t, &b->err), &b->err);
    b->req.transcript = b->t;
}

static inline void bench_close(bench *b)
{
    aios_transcript_free(b->t);
    aios_ctx_free(b->ctx);
    assert_int_equal(b->heap.live, 0);
}

static inline void say(bench *b, int32_t role, const char *text)
{
    must(aios_transcript_add_text(b->t, role, text, AIOS_CSTR, &b->err), &b->err);
}

static inline void say_parts(bench *b, int32_t role, const aios_part *parts, uint32_t n)
{
    aios_entry e = AIOS_INIT(aios_entry);
    e.role = role;
    e.parts = parts;
    e.n_parts = n;
    e.part_stride = sizeof *parts;
    must(aios_transcript_add(b->t, &e, &b->err), &b->err);
}

#define PART(k, s, ...) {.struct_size = sizeof(aios_part), .kind = AIOS_PART_##k, .text = (s), .n_text = sizeof(s) - 1, __VA_ARGS__}
#define SAY(b, role, ...)                                                                          \
    do {                                                                                           \
        const aios_part parts_[] = {__VA_ARGS__};                                                  \
        say_parts(b, role, parts_, sizeof parts_ / sizeof *parts_);                                \
    } while (0)

static const aios_tool_def weather_tool[] = {{.struct_size = sizeof(aios_tool_def), .name = "get_weather", .description = "Weather of a place",
    .schema_json = "{\"type\":\"object\",\"properties\":{\"location\":{\"type\":\"string\"}},\"required\":[\"location\"]}"},
    {.struct_size = sizeof(aios_tool_def), .name = "now"}};

static inline void use_tools(bench *b, uint32_t n)
{
    b->req.tools = weather_tool;
    b->req.tool_stride = sizeof *weather_tool;
    b->req.n_tools = n;
}

typedef int encode_fn(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err);

/* The request is exactly path and body, and valid JSON; where the heap runs out, at any place, it is ENOMEM or all the same. */
static inline void check_encode(bench *b, encode_fn *fn, const char *path, const char *body)
{
    aios__message q;
    aios__json_doc *doc = NULL;
    aios__message_init(&b->remote, &q);
    must(fn(&b->remote.server, &b->req, &q, &b->err), &b->err);
    assert_string_equal(q.path.p, path);
    assert_string_equal(q.body.p, body);
    must(aios__json_parse(b->remote.heap, q.body.p, q.body.n, &doc, &b->err), &b->err);
    aios__json_free(doc);
    aios__message_free(&q);
    for (long at = 1;; at++) {
        aios_error err = AIOS_INIT(aios_error);
        b->heap.n_allocs = 0;
        b->heap.fail_at = at;
        aios__message_init(&b->remote, &q);
        int rc = fn(&b->remote.server, &b->req, &q, &err);
        assert_true(rc == AIOS_ENOMEM || (rc == AIOS_OK && !strcmp(q.path.p, path) && !strcmp(q.body.p, body)));
        aios__message_free(&q);
        if (!test_heap_heal(&b->heap))
            break;
    }
}

static inline void check_refused(bench *b, encode_fn *fn, int code, const char *word)
{
    aios__message q;
    aios_error err = AIOS_INIT(aios_error);
    aios__message_init(&b->remote, &q);
    assert_int_equal(fn(&b->remote.server, &b->req, &q, &err), code);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say %s", err.msg, word);
    aios__message_free(&q);
}

typedef int decode_list_fn(const aios__json *v, aios__buf *out, aios_error *err);

static inline void check_list(bench *w, decode_list_fn *fn, const char *page, const char *rows)
{
    aios__json_doc *doc = NULL;
    aios__buf b;
    aios__buf_init(&b, w->remote.heap, AIOS_MEM_TEXT, 0);
    must(aios__json_parse(w->remote.heap, page, strlen(page), &doc, &w->err), &w->err);
    must(fn(aios__json_root(doc), &b, &w->err), &w->err);
    assert_string_equal(b.p, rows);
    aios__buf_free(&b);
    aios__json_free(doc);
}

typedef int decode_count_fn(const aios__json *v, uint32_t *n, aios_error *err);

static inline void check_count(bench *w, decode_count_fn *fn, const char *reply, int code, uint32_t expected)
{
    aios__json_doc *doc = NULL;
    uint32_t n = 0;
    must(aios__json_parse(w->remote.heap, reply, strlen(reply), &doc, &w->err), &w->err);
    assert_int_equal(fn(aios__json_root(doc), &n, &w->err), code);
    assert_int_equal(n, expected);
    aios__json_free(doc);
}

static inline void check_embed(bench *w, const char *path, const char *body, const char *reply, double first, size_t n)
{
    const aios__dialect *d = w->remote.server.dialect;
    aios__json_doc *doc = NULL;
    aios__message q;
    aios__message_init(&w->remote, &q);
    must(d->encode_embed(&w->remote.server, "a \"text\"", 8, &q, &w->err), &w->err);
    assert_string_equal(q.path.p, path);
    assert_string_equal(q.body.p, body);
    aios__message_free(&q);
    must(aios__json_parse(w->remote.heap, reply, strlen(reply), &doc, &w->err), &w->err);
    const aios__json *v = d->decode_embed(aios__json_root(doc));
    assert_int_equal(aios__json_count(v), n);
    assert_true(!n || (aios__json_real(aios__json_at(v, 0), 9) >= first && aios__json_real(aios__json_at(v, 0), 9) <= first));
    aios__json_free(doc);
}

#endif
