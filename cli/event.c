/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const char *const types[] = {"?", "text", "reasoning", "call", "ask", "result", "usage", "state", "done", "error", "choice",
                                    "call_delta", "snapshot", "route", "unknown", "logprobs", "context"};

static void put(json_t *o, const char *key, const char *s, size_t n)
{
    if (s)
        json_object_set_new(o, key, json_stringn(s, n));
}

static void put_usage(json_t *o, const aios_usage *u)
{
    if (u)
        json_object_set_new(o, "usage",
                            json_pack("{s:I,s:I,s:I,s:I,s:f,s:f,s:f}", "input", (json_int_t)u->input, "cached", (json_int_t)u->cached,
                                      "output", (json_int_t)u->output, "reasoning", (json_int_t)u->reasoning, "prefill_s",
                                      (double)u->prefill_ns / 1e9, "decode_s", (double)u->decode_ns / 1e9, "queue_s", (double)u->queue_ns / 1e9));
    if (u && u->cost_micros)
        json_object_set_new(json_object_get(o, "usage"), "cost_micros", json_integer((json_int_t)u->cost_micros));
}

/* What is JSON travels as JSON, not as a string of it. */
static void put_json(json_t *o, const char *key, const char *s, size_t n)
{
    json_t *v = s ? json_loadb(s, n, JSON_DECODE_ANY, NULL) : NULL;
    if (v)
        json_object_set_new(o, key, v);
    else
        put(o, key, s, n);
}

static json_t *event_json(const aios_event *ev)
{
    json_t *o = json_object();
    bool known = ev->type > 0 && ev->type < (int)(sizeof types / sizeof *types);
    put(o, "type", types[known ? ev->type : 0], strlen(types[known ? ev->type : 0]));
    json_object_set_new(o, "seq", json_integer((json_int_t)ev->seq));
    json_object_set_new(o, "step", json_integer(ev->step));
    if (ev->attempt)
        json_object_set_new(o, "attempt", json_integer(ev->attempt));
    if (ev->name)
        put(o, ev->type == AIOS_EVENT_DONE ? "reason" : "name", ev->name, strlen(ev->name));
    if (ev->call_id)
        put(o, "call_id", ev->call_id, strlen(ev->call_id));
    if (ev->type == AIOS_EVENT_CALL || ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN)
        put_json(o, "arguments", ev->text, ev->n_text);
    else if (ev->type == AIOS_EVENT_CHOICE)
        put_json(o, "scores", ev->text, ev->n_text);
    else if (ev->type == AIOS_EVENT_ROUTE)
        put_json(o, "route", ev->text, ev->n_text);
    else if (ev->type == AIOS_EVENT_LOGPROBS)
        put_json(o, "tokens", ev->text, ev->n_text);
    else if (ev->type == AIOS_EVENT_CONTEXT)
        put_json(o, "context", ev->text, ev->n_text);
    else
        put(o, "text", ev->text, ev->n_text);
    if (ev->type == AIOS_EVENT_RESULT)
        json_object_set_new(o, "code", json_integer(ev->code));
    put_usage(o, ev->usage);
    if (ev->digest)
        json_object_set_new(o, "digest", json_string(ev->digest));
    if (ev->error)
        json_object_set_new(o, "error", cli_error_json(ev->error));
    return o;
}

/* What a journal does not keep. */
static void reduce(json_t *o, int32_t type)
{
    json_t *error = json_object_get(o, "error");
    json_object_del(o, "seq");
    json_object_del(o, "attempt");
    if (type == AIOS_EVENT_ASK)
        json_object_del(o, "arguments"); /* the call has them; here values stand in place of handles */
    if (!error)
        return;
    json_object_del(o, "step");
    json_object_del(error, "have");
    json_object_del(error, "need");
}

void cli_event_print(const aios_event *ev, bool whole)
{
    json_t *o = event_json(ev);
    if (whole)
        reduce(o, ev->type);
    cli_print_json(o);
}

void cli_stats(const cli *c, const aios_usage *u)
{
    double pre = (double)u->prefill_ns / 1e9, dec = (double)u->decode_ns / 1e9;
    uint32_t fresh = u->input - u->cached;
    bool color = cli_color(stderr);
    if (c->quiet || !(c->verbose || isatty(STDERR_FILENO)))
        return;
    fprintf(stderr, "%s%u tokens in (%u cached", color ? "\x1b[2m" : "", u->input, u->cached);
    if (pre > 0)
        fprintf(stderr, ", %.0f/s", fresh / pre);
    fprintf(stderr, "), %u out", u->output);
    if (c->verbose && pre > 0)
        fprintf(stderr, ", the first after %.3f s", pre);
    if (dec > 0)
        fprintf(stderr, " (%.1f/s)", u->output / dec);
    fprintf(stderr, "%s\n", color ? "\x1b[0m" : "");
}

static aios_session *volatile session_now;
static aios_run *volatile run_now;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    if (interrupted++) /* the second one ends the process */
        signal(sig, SIG_DFL);
    if (session_now)
        aios_session_cancel(session_now);
    if (run_now)
        aios_run_cancel(run_now);
}

static int watch(void)
{
    struct sigaction sa = {.sa_handler = on_interrupt};
    return sigaction(SIGINT, &sa, NULL);
}

int cli_interrupt_session(aios_session *s)
{
    session_now = s;
    interrupted = 0;
    return watch();
}

int cli_interrupt_run(aios_run *r)
{
    run_now = r;
    return watch();
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}
