/* SPDX-License-Identifier: Apache-2.0 */
/* Turns of a remote model, and what their events say: kept by attempt, checked as they come. */
#ifndef AIOS_TEST_HOSTILE_TURN_H
#define AIOS_TEST_HOSTILE_TURN_H

#include "hostile_client.h"

/** What a turn has given: of its last attempt, earlier ones are void. */
typedef struct turn {
    int rc;
    aios_error err;
    char text[8192], calls[8192];
    size_t n_text, n_kept, n_calls; /* n_kept: of the text, what `text` holds */
    char reason[32];
    uint32_t attempt;
    aios_usage usage;
    char wrong[256]; /* what an event must never be; "" if none was */
    double ms;
} turn;

static inline void keep(char *dst, size_t max, size_t *n, const char *s, size_t n_s)
{
    size_t k = n_s < max - 1 - *n ? n_s : max - 1 - *n;
    memcpy(dst + *n, s, k);
    *n += k;
    dst[*n] = 0;
}

static inline void keep_call(turn *t, const aios_event *ev)
{
    keep(t->calls, sizeof t->calls, &t->n_calls, ev->name, strlen(ev->name));
    keep(t->calls, sizeof t->calls, &t->n_calls, "(", 1);
    keep(t->calls, sizeof t->calls, &t->n_calls, ev->text, ev->n_text);
    keep(t->calls, sizeof t->calls, &t->n_calls, ")", 1);
}

/** Takes one event in; what is wrong with it goes to t->wrong. */
static inline void take_event(turn *t, const aios_event *ev)
{
    if (ev->text && (!aios__utf8_valid(ev->text, ev->n_text) || strlen(ev->text) != ev->n_text))
        snprintf(t->wrong, sizeof t->wrong, "event %d holds no sound text", ev->type);
    if (ev->attempt < t->attempt)
        snprintf(t->wrong, sizeof t->wrong, "attempt %u behind attempt %u", ev->attempt, t->attempt);
    if (ev->attempt > t->attempt) {
        t->attempt = ev->attempt;
        t->n_text = t->n_kept = t->n_calls = 0;
        t->text[0] = t->calls[0] = 0;
    }
    if (ev->type == AIOS_EVENT_TEXT) {
        keep(t->text, sizeof t->text, &t->n_kept, ev->text, ev->n_text);
        t->n_text += ev->n_text;
    } else if (ev->type == AIOS_EVENT_CALL) {
        keep_call(t, ev);
    } else if (ev->type == AIOS_EVENT_USAGE) {
        t->usage = *ev->usage;
    } else if (ev->type == AIOS_EVENT_ERROR) {
        t->err = *ev->error;
        t->rc = ev->error->code;
    } else if (ev->type == AIOS_EVENT_DONE) {
        snprintf(t->reason, sizeof t->reason, "%s", ev->name);
    }
    if ((ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR) && (ev->n_text != t->n_text || strncmp(ev->text, t->text, t->n_kept)))
        snprintf(t->wrong, sizeof t->wrong, "the end has %zu bytes of text, the events had %zu: %.80s", ev->n_text, t->n_text, ev->text);
}

static const aios_tool_def add_tool = {.struct_size = sizeof add_tool, .name = "add", .description = "Adds."};

static inline aios_transcript *hello(aios_ctx *ctx)
{
    aios_transcript *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "Say hello.", AIOS_CSTR, &err), &err);
    return t;
}

/** Starts a turn with one tool. */
static inline int begin_turn(aios_session *s, const aios_transcript *tr, turn *t)
{
    aios_request req = AIOS_INIT(aios_request);
    memset(t, 0, sizeof *t);
    t->err = (aios_error)AIOS_INIT(aios_error);
    req.transcript = tr;
    req.tools = &add_tool;
    req.tool_stride = sizeof add_tool;
    req.n_tools = 1;
    t->rc = aios_session_start(s, &req, &t->err);
    return t->rc;
}

/** Takes all events, for at most 30 seconds. */
static inline void end_turn(aios_session *s, turn *t)
{
    const aios_event *ev;
    double from = now_ms();
    uint64_t seq = 0;
    int rc, last = 0;
    while ((rc = aios_session_next(s, 1000, &ev)) != AIOS_DONE && now_ms() - from < 30000) {
        if (rc < 0) {
            snprintf(t->wrong, sizeof t->wrong, "next gives %s", aios_code_name(rc));
            break;
        }
        if (rc == AIOS_AGAIN)
            continue;
        if (seq && ev->seq <= seq)
            snprintf(t->wrong, sizeof t->wrong, "event %llu behind %llu", (unsigned long long)ev->seq, (unsigned long long)seq);
        seq = ev->seq;
        last = ev->type;
        take_event(t, ev);
    }
    t->ms = now_ms() - from;
    if (rc != AIOS_DONE || (last != AIOS_EVENT_DONE && last != AIOS_EVENT_ERROR))
        snprintf(t->wrong, sizeof t->wrong, "it does not end");
}

static inline void take_turn(aios_session *s, const aios_transcript *tr, turn *t)
{
    if (!begin_turn(s, tr, t))
        end_turn(s, t);
}

/** The model that a row plays. */
static inline int open_row(aios_ctx *ctx, const hostile_row *row, aios_remote_config *rc, aios_model **m, aios_error *err)
{
    char url[64], uri[96];
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    hostile_url(&server, row, url);
    snprintf(uri, sizeof uri, "%s/v1#m", url);
    rc->struct_size = sizeof *rc;
    rc->max_body = MAX_BODY;
    rc->connect_ns = limit_ns(row, CONNECT_MS);
    rc->first_byte_ns = limit_ns(row, FIRST_BYTE_MS);
    rc->idle_ns = limit_ns(row, IDLE_MS);
    rc->total_ns = limit_ns(row, TOTAL_MS);
    cfg.remote = rc;
    return aios_model_open(ctx, uri, &cfg, m, err);
}

#endif
