/* SPDX-License-Identifier: Apache-2.0 */
/* A small world for agents: a scripted model, a few tools, and a log of what came up. */
#ifndef AIOS_AGENT_TEST_H
#define AIOS_AGENT_TEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

typedef struct world {
    aios_ctx *ctx;
    aios_model *model;
    aios_toolset *ts;
    aios_agent *agent;
    aios_agent_config cfg;
    aios_limits limits;
    aios_policy policy;
} world;

/** Events as one line of text: "model|text:hello|call:add{...}|result:3|done:stop". */
typedef struct log_text {
    char s[16384];
    size_t n;
    int code;       /* of the ERROR event */
    char msg[512];
    uint64_t seq;   /* expected next */
} log_text;

static inline void log_add(log_text *l, const char *a, const char *b, size_t n)
{
    int k = snprintf(l->s + l->n, sizeof l->s - l->n, "%s%s%.*s", l->n ? "|" : "", a, (int)n, b ? b : "");
    if (k > 0 && (size_t)k < sizeof l->s - l->n)
        l->n += (size_t)k;
}

static inline void log_event(log_text *l, const aios_event *ev)
{
    char head[200];
    assert_true(ev->seq == l->seq);
    l->seq++;
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        snprintf(head, sizeof head, ev->attempt ? "text%u:" : "text:", ev->attempt);
        log_add(l, head, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_REASONING:
        log_add(l, "think:", ev->text, ev->n_text);
        break;
    case AIOS_EVENT_CALL:
        snprintf(head, sizeof head, "call:%s", ev->name);
        log_add(l, head, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_ASK:
        snprintf(head, sizeof head, "ask:%s", ev->name);
        log_add(l, head, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_RESULT:
        snprintf(head, sizeof head, ev->code ? "result(%s):" : "result:", aios_code_name(ev->code));
        log_add(l, head, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_STATE:
        log_add(l, "", ev->text, ev->n_text);
        break;
    case AIOS_EVENT_DONE:
        snprintf(head, sizeof head, "done(%s):", ev->name);
        log_add(l, head, ev->text, ev->n_text);
        break;
    case AIOS_EVENT_ERROR:
        log_add(l, "error:", ev->name, strlen(ev->name));
        l->code = ev->error->code;
        snprintf(l->msg, sizeof l->msg, "%s", ev->error->msg);
        break;
    case AIOS_EVENT_CONTEXT:
        log_add(l, "context:", ev->name, strlen(ev->name));
        break;
    default: /* usage: numbers vary with the script */
        assert_int_equal(ev->type, AIOS_EVENT_USAGE);
        assert_non_null(ev->usage);
    }
}

static inline int tool_add(void *user, aios_call *call)
{
    int a = 0, b = 0;
    char out[32];
    (void)user;
    if (sscanf(aios_call_args(call), "{\"a\":%d,\"b\":%d}", &a, &b) != 2)
        return AIOS_EINVAL;
    int n = snprintf(out, sizeof out, "%d", a + b);
    return aios_call_finish(call, 0, out, (size_t)n);
}

static inline int tool_count(void *user, aios_call *call)
{
    atomic_fetch_add((_Atomic int *)user, 1);
    return aios_call_finish(call, 0, "counted", AIOS_CSTR);
}

static inline aios_tool make_tool(const char *name, aios_tool_fn *fn, void *user)
{
    aios_tool t = AIOS_INIT(aios_tool);
    t.name = name;
    t.description = "a tool of the tests";
    t.fn = fn;
    t.user = user;
    t.effect = AIOS_EFFECT_READ;
    return t;
}

static inline void world_tool(world *w, aios_tool t)
{
    aios_error err = AIOS_INIT(aios_error);
    if (aios_toolset_add(w->ts, &t, &err))
        fail_msg("%s", err.msg);
}

static const char add_schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},"
                                 "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}";

/** A world with the tool add; change w->cfg, w->limits or add tools, then world_agent. */
static inline void world_open_in(world *w, aios_ctx *ctx, const char *uri)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(w, 0, sizeof *w);
    w->ctx = ctx;
    if (aios_model_open(w->ctx, uri, NULL, &w->model, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(aios_toolset_new(w->ctx, &w->ts, &err), 0);
    aios_tool t = make_tool("add", tool_add, NULL);
    t.schema_json = add_schema;
    world_tool(w, t);
    w->limits = (aios_limits)AIOS_INIT(aios_limits);
    w->policy = (aios_policy)AIOS_INIT(aios_policy);
    w->cfg = (aios_agent_config)AIOS_INIT(aios_agent_config);
    w->cfg.model = w->model;
    w->cfg.toolset = w->ts;
    w->cfg.limits = &w->limits;
    w->cfg.policy = &w->policy;
}

static inline void world_open(world *w, test_heap *h, const char *uri)
{
    world_open_in(w, test_ctx(h, 0), uri);
}

static inline void world_agent(world *w)
{
    aios_error err = AIOS_INIT(aios_error);
    if (aios_agent_new(w->ctx, &w->cfg, &w->agent, &err))
        fail_msg("%s", err.msg);
}

static inline void world_close(world *w)
{
    aios_agent_free(w->agent);
    aios_toolset_free(w->ts);
    aios_model_close(w->model);
    aios_ctx_free(w->ctx);
}

static inline aios_run *world_start(world *w, aios_transcript *t, const char *prompt)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run *r = NULL;
    if (aios_run_start(w->agent, t, prompt, AIOS_CSTR, &r, &err))
        fail_msg("%s", err.msg);
    return r;
}

/** Pulls to the end; what is asked is denied. */
static inline void pull_all(aios_run *r, log_text *l)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        log_event(l, ev);
        if (ev->type == AIOS_EVENT_ASK)
            assert_int_equal(aios_run_decide(r, ev->call_id, AIOS_DENY, NULL), 0);
    }
    assert_int_equal(rc, AIOS_DONE);
    assert_int_equal(aios_run_next(r, -1, &ev), AIOS_DONE);
}

/** A reply "true" that is as trusted as its user. With the echo model: what the script's first turn says is what a quarantined turn answers. */
static inline void add_reply(aios_transcript *t)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_part part = AIOS_INIT(aios_part);
    aios_entry e = AIOS_INIT(aios_entry);
    part.kind = AIOS_PART_TEXT;
    part.text = "true";
    part.n_text = 4;
    e.role = AIOS_ROLE_ASSISTANT;
    e.parts = &part;
    e.n_parts = 1;
    e.part_stride = sizeof part;
    e.label.integrity = AIOS_LABEL_USER;
    must(aios_transcript_add(t, &e, &err), &err);
}

/** Every call has exactly one result behind it, and no result is without its call. */
static inline void check_whole(const aios_transcript *t)
{
    char open[64][64];
    int n_open = 0;
    for (uint32_t i = 0; i < aios_transcript_count(t); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        assert_int_equal(aios_transcript_at(t, i, &e), 0);
        if (e.role != AIOS_ROLE_TOOL)
            assert_int_equal(n_open, 0);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            if (e.parts[k].kind == AIOS_PART_CALL)
                snprintf(open[n_open++], sizeof open[0], "%s", e.parts[k].call_id);
            if (e.parts[k].kind != AIOS_PART_RESULT)
                continue;
            assert_true(n_open > 0);
            assert_string_equal(open[0], e.parts[k].call_id); /* in the order of the calls */
            memmove(open, open + 1, (size_t)--n_open * sizeof open[0]);
        }
    }
    assert_int_equal(n_open, 0);
}

/** One run from a script; the caller frees nothing. */
static inline void run_script(const char *uri, const char *prompt, log_text *l)
{
    world w;
    test_heap h = {0};
    memset(l, 0, sizeof *l);
    world_open(&w, &h, uri);
    world_agent(&w);
    aios_run *r = world_start(&w, NULL, prompt);
    pull_all(r, l);
    check_whole(aios_run_transcript(r));
    aios_run_free(r);
    world_close(&w);
    assert_int_equal(h.live, 0);
}

static inline void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL);
}

#endif
