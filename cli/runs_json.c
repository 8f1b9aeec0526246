/* SPDX-License-Identifier: Apache-2.0 */
/* Runs and their steps as JSON, which is what is printed, sent over the control socket, and drawn. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

enum { CLIP = 200, MAX_STEPS = 10000 };

static const char *const states[] = {"?", "model", "tools", "ask", "stopped", "done", "damaged"};
static const char *const kinds[] = {"?", "begin", "resume", "turn", "intent", "ask", "decision", "result", "end", "extract", "handoff", "?", "context"};

static const char *word(const char *const *list, size_t n, int32_t i)
{
    return list[i > 0 && i < (int32_t)n ? i : 0];
}

const char *cli_step_kind(int32_t kind)
{
    return word(kinds, sizeof kinds / sizeof *kinds, kind);
}

static void print_time(char out[32], int64_t us)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    if (!gmtime_r(&s, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        out[0] = 0;
}

json_t *cli_run_json(const aios_run_info *r)
{
    char began[32], changed[32];
    print_time(began, r->began_us);
    print_time(changed, r->changed_us);
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:i,s:i,s:I,s:i,s:i,s:i,s:I,s:s,s:s,s:f}", "id", r->id, "state",
                  word(states, sizeof states / sizeof *states, r->state), "model", r->model, "turns", (int)r->n_turns, "calls", (int)r->n_calls,
                  "tokens", (json_int_t)r->n_tokens, "asks", (int)r->n_asks, "unknown", (int)r->n_unknown, "resumes", (int)r->n_resumes,
                  "records", (json_int_t)r->n_records, "began", began, "changed", changed, "used_s", (double)r->used_ns / 1e9);
    if (o) {
        json_object_set_new(o, "cost_micros", json_integer((json_int_t)r->cost_micros));
        json_object_set_new(o, "input", json_integer((json_int_t)r->n_input));
        json_object_set_new(o, "cached", json_integer((json_int_t)r->n_cached));
    }
    if (o && *r->parent)
        json_object_set_new(o, "parent", json_string(r->parent));
    if (o && r->code)
        json_object_set_new(o, "error",
                            json_pack("{s:s,s:o}", "code", aios_code_name(r->code), "message", cli_json_text(r->msg, strlen(r->msg))));
    return o;
}

int cli_run_state(const char *name)
{
    for (size_t i = 1; i < sizeof states / sizeof *states; i++)
        if (!strcmp(states[i], name))
            return (int)i;
    return 0;
}

const char *cli_run_state_meant(char out[CLI_MEANT], const char *name)
{
    return cli_meant(out, name, states + 1, sizeof states / sizeof *states - 1, "", "");
}

/* ---- which run was meant ------------------------------------------------------------------------------------------ */

enum { MAX_MEANT = 1000 };

typedef struct ids {
    char *at[MAX_MEANT];
    size_t n;
    const char *id;
    bool there;
} ids;

static int add_id(void *user, const aios_stream *s)
{
    ids *l = user;
    if (l->n == MAX_MEANT)
        return AIOS_DONE;
    char *id = strdup(s->name + 4);
    l->there = l->there || (id && !strcmp(id, l->id));
    if (id)
        l->at[l->n++] = id;
    return AIOS_OK;
}

void cli_run_meant(aios_store *st, const char *id, aios_error *err)
{
    ids l = {.id = id};
    char meant[CLI_MEANT];
    if (err->code != AIOS_ENOENT || aios_store_list(st, "run/", add_id, &l, NULL))
        return;
    size_t n = strlen(err->msg);
    if (!l.there)
        snprintf(err->msg + n, sizeof err->msg - n, "%s", cli_meant(meant, id, (const char *const *)l.at, l.n, "", ""));
    while (l.n)
        free(l.at[--l.n]);
}

/* ---- steps -------------------------------------------------------------------------------------------------------- */

/* The beginning of a text, to a whole character. */
static json_t *clipped(const char *s, size_t n)
{
    size_t k = n < CLIP ? n : CLIP;
    while (k && k < n && ((unsigned char)s[k] & 0xc0) == 0x80)
        k--;
    return cli_json_text(s, k);
}

/* When a step was, in seconds since the run began: of a record with counters by the run's own clock, since its commit came later. */
static double time_of(cli_steps *g, const aios_run_step *s)
{
    if (s->kind == AIOS_STEP_BEGIN)
        g->began_us = s->wall_us;
    if (s->kind == AIOS_STEP_BEGIN || s->kind == AIOS_STEP_RESUME) {
        g->base_us = s->wall_us;
        g->base_ns = s->used_ns;
    }
    int64_t us = s->used_ns < 0 ? s->wall_us : g->base_us + (s->used_ns - g->base_ns) / 1000;
    us = us > s->wall_us ? s->wall_us : us;
    double at = (double)(us - g->began_us) / 1e6;
    return at < g->last_s ? g->last_s : at; /* clocks may be set back */
}

static void add_calls(cli_steps *g, json_t *o, const aios_run_step *s, double at)
{
    json_t *calls = json_array();
    for (uint32_t i = 0; i < s->n_events; i++) {
        const aios_event *ev = (const void *)((const char *)s->events + i * s->event_stride);
        if (ev->type == AIOS_EVENT_TEXT)
            json_object_set_new(o, "text", clipped(ev->text, ev->n_text));
        if (ev->type != AIOS_EVENT_CALL)
            continue;
        json_array_append_new(calls,
                              json_pack("{s:s,s:s,s:o}", "call_id", ev->call_id, "name", ev->name, "arguments", clipped(ev->text, ev->n_text)));
        json_object_set_new(g->starts, ev->call_id, json_real(at));
    }
    if (json_array_size(calls))
        json_object_set(o, "calls", calls);
    json_decref(calls);
}

/* How long that took which this step ends. */
static double took(cli_steps *g, const aios_run_step *s, double at)
{
    double from = g->last_s;
    if (s->kind == AIOS_STEP_RESULT || s->kind == AIOS_STEP_DECISION)
        from = json_real_value(json_object_get(g->starts, s->call_id));
    if (s->call_id)
        json_object_set_new(g->starts, s->call_id, json_real(at));
    bool timed = s->kind == AIOS_STEP_TURN || s->kind == AIOS_STEP_RESULT || s->kind == AIOS_STEP_DECISION || s->kind == AIOS_STEP_RESUME ||
                 s->kind == AIOS_STEP_CONTEXT;
    return timed ? at - from : -1;
}

/* Numbers of a compaction. */
static void add_context(json_t *o, const aios_run_step *s)
{
    static const char *const keys[] = {"n_ctx", "before", "after", "why"};
    const aios_event *ev = s->n_events ? s->events : NULL;
    json_t *part = ev ? json_loadb(ev->text, ev->n_text, 0, NULL) : NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(part, keys[i]))
            json_object_set(o, keys[i], json_object_get(part, keys[i]));
    json_decref(part);
}

static json_t *step_json(cli_steps *g, const aios_run_step *s)
{
    double at = time_of(g, s), t = took(g, s, at);
    bool known = s->kind > 0 && s->kind < (int32_t)(sizeof kinds / sizeof *kinds);
    json_t *o = json_pack("{s:I,s:s,s:f}", "record", (json_int_t)s->record, "kind",
                          known     ? kinds[s->kind]
                          : s->name ? s->name
                                    : "?",
                          "at_s", at);
    if (t >= 0)
        json_object_set_new(o, "took_s", json_real(t));
    if (s->kind == AIOS_STEP_TURN) {
        json_object_set_new(o, "turn", json_integer(s->turn));
        json_object_set_new(o, "tokens", json_integer((json_int_t)(s->n_tokens - g->tokens)));
        add_calls(g, o, s, at);
    }
    if (s->kind == AIOS_STEP_CONTEXT)
        add_context(o, s);
    if (s->run)
        json_object_set_new(o, "run", json_string(s->run));
    g->tokens = s->n_tokens;
    g->last_s = at;
    if (s->call_id)
        json_object_set_new(o, "call_id", json_string(s->call_id));
    if (known && s->name)
        json_object_set_new(o, s->kind == AIOS_STEP_BEGIN ? "model" : "name", cli_json_text(s->name, strlen(s->name)));
    if (s->kind == AIOS_STEP_DECISION)
        json_object_set_new(o, "verdict", json_string(s->code == AIOS_ALLOW ? "allow" : "deny"));
    else if (s->kind == AIOS_STEP_RESULT || s->kind == AIOS_STEP_END)
        json_object_set_new(o, "code", s->code ? json_string(aios_code_name(s->code)) : json_integer(0));
    if (s->n_text)
        json_object_set_new(o, "text", clipped(s->text, s->n_text));
    return o;
}

int cli_steps_add(void *user, const aios_run_step *s)
{
    cli_steps *g = user;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    g->cut = g->until_ms && (json_array_size(g->list) >= MAX_STEPS || (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 > g->until_ms);
    if (g->cut)
        return 1;
    if (!g->starts)
        g->starts = json_object();
    json_array_append_new(g->list, step_json(g, s));
    return 0;
}

/* ---- what waits --------------------------------------------------------------------------------------------------- */

typedef struct open_calls {
    json_t *made, *waits, *begun; /* of the last turn, by their ids */
} open_calls;

static json_t *call_json(const aios_event *ev)
{
    json_t *args = json_loadb(ev->text, ev->n_text, JSON_DECODE_ANY, NULL);
    return json_pack("{s:s,s:s,s:o}", "call_id", ev->call_id, "name", ev->name, "arguments", args ? args : cli_json_text(ev->text, ev->n_text));
}

static void take_turn(open_calls *g, const aios_run_step *s)
{
    json_object_clear(g->made);
    json_object_clear(g->waits);
    json_object_clear(g->begun);
    for (uint32_t i = 0; i < s->n_events; i++) {
        const aios_event *ev = (const void *)((const char *)s->events + i * s->event_stride);
        if (ev->type == AIOS_EVENT_CALL)
            json_object_set_new(g->made, ev->call_id, call_json(ev));
    }
}

static int gather_open(void *user, const aios_run_step *s)
{
    open_calls *g = user;
    if (s->kind == AIOS_STEP_TURN)
        take_turn(g, s);
    if (s->kind == AIOS_STEP_DECISION || s->kind == AIOS_STEP_RESULT || s->kind == AIOS_STEP_INTENT)
        json_object_del(g->waits, s->call_id);
    if (s->kind == AIOS_STEP_DECISION || s->kind == AIOS_STEP_RESULT)
        json_object_del(g->begun, s->call_id);
    if (s->kind == AIOS_STEP_INTENT && s->code)
        json_object_del(g->begun, s->call_id);
    else if (s->kind == AIOS_STEP_INTENT)
        json_object_set(g->begun, s->call_id, json_object_get(g->made, s->call_id));
    if (s->kind == AIOS_STEP_ASK && s->n_events) {
        json_t *o = call_json(s->events);
        if (s->events->digest)
            json_object_set_new(o, "digest", json_string(s->events->digest));
        json_object_set_new(g->waits, s->call_id, o);
    }
    return 0;
}

static json_t *values_of(const json_t *by_id)
{
    json_t *list = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)by_id, key, v)
        json_array_append(list, v);
    return list;
}

json_t *cli_run_waits(aios_ctx *ctx, aios_store *st, const char *id, json_t **begun, aios_error *err)
{
    open_calls g = {.made = json_object(), .waits = json_object(), .begun = json_object()};
    int rc = aios_run_replay(ctx, st, id, gather_open, &g, err);
    json_t *waits = rc ? NULL : values_of(g.waits);
    if (begun)
        *begun = rc ? NULL : values_of(g.begun);
    json_decref(g.made);
    json_decref(g.waits);
    json_decref(g.begun);
    return waits;
}
