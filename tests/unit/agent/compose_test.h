/* SPDX-License-Identifier: Apache-2.0 */
/* A world with agents below its own: what they say stands in the log behind a ">" for each level. */
#ifndef AIOS_COMPOSE_TEST_H
#define AIOS_COMPOSE_TEST_H

#include <aios/plugin/backend.h>

#include "agent_test.h"

/** An agent beside the world's, with a model and a toolset of its own. */
typedef struct other {
    aios_model *model;
    aios_toolset *ts;
    aios_agent *agent;
    aios_agent_config cfg;
    aios_limits limits;
    aios_policy policy;
} other;

static inline int allow_each(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user, (void)a;
    out->verdict = AIOS_ALLOW;
    return 0;
}

/** With the tool add, and a policy that allows all; change cfg, limits or tools, then other_agent. */
static inline void other_open(world *w, other *o, const char *uri)
{
    aios_error err = AIOS_INIT(aios_error);
    memset(o, 0, sizeof *o);
    must(aios_model_open(w->ctx, uri, NULL, &o->model, &err), &err);
    must(aios_toolset_new(w->ctx, &o->ts, &err), &err);
    aios_tool t = make_tool("add", tool_add, NULL);
    t.schema_json = add_schema;
    must(aios_toolset_add(o->ts, &t, &err), &err);
    o->limits = (aios_limits)AIOS_INIT(aios_limits);
    o->policy = (aios_policy)AIOS_INIT(aios_policy);
    o->policy.decide = allow_each;
    o->cfg = (aios_agent_config)AIOS_INIT(aios_agent_config);
    o->cfg.model = o->model;
    o->cfg.toolset = o->ts;
    o->cfg.limits = &o->limits;
    o->cfg.policy = &o->policy;
}

static inline void other_agent(world *w, other *o)
{
    aios_error err = AIOS_INIT(aios_error);
    must(aios_agent_new(w->ctx, &o->cfg, &o->agent, &err), &err);
}

static inline void other_close(other *o)
{
    aios_agent_free(o->agent);
    aios_toolset_free(o->ts);
    aios_model_close(o->model);
}

/** The agent as a tool of the set. */
static inline void add_agent(aios_toolset *ts, aios_agent *a, const char *name)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_tool spec = AIOS_INIT(aios_agent_tool);
    spec.name = name;
    spec.description = "an agent of the tests";
    must(aios_toolset_add_agent(ts, a, &spec, &err), &err);
}

static inline void log_deep(log_text *l, const aios_event *ev)
{
    static log_text one;
    one.n = 0;
    one.seq = l->seq;
    log_event(&one, ev);
    l->seq = one.seq;
    if (ev->type == AIOS_EVENT_ERROR) {
        l->code = one.code;
        snprintf(l->msg, sizeof l->msg, "%s", one.msg);
    }
    if (ev->type != AIOS_EVENT_USAGE)
        log_add(l, &">>>>>>>>"[8 - ev->depth], one.s, one.n);
}

/** Pulls to the end, and answers what is asked. */
static inline void pull_deep(aios_run *r, log_text *l, int32_t verdict)
{
    const aios_event *ev;
    int rc;
    memset(l, 0, sizeof *l);
    while ((rc = aios_run_next(r, -1, &ev)) == 0) {
        log_deep(l, ev);
        if (ev->type == AIOS_EVENT_ASK)
            assert_int_equal(aios_run_decide(r, ev->call_id, verdict, NULL), 0);
    }
    assert_int_equal(rc, AIOS_DONE);
    check_whole(aios_run_transcript(r));
}

/** A world whose agent may call "helper"; change either before pair_agents. */
typedef struct pair {
    world w;
    other o;
    test_heap heap;
    log_text log;
} pair;

static inline void pair_open(pair *p, const char *uri, const char *helper_uri)
{
    memset(p, 0, sizeof *p);
    world_open(&p->w, &p->heap, uri);
    p->w.policy.decide = allow_each;
    other_open(&p->w, &p->o, helper_uri);
}

static inline void pair_agents(pair *p)
{
    other_agent(&p->w, &p->o);
    add_agent(p->w.ts, p->o.agent, "helper");
    world_agent(&p->w);
}

static inline void pair_close(pair *p)
{
    other_close(&p->o);
    world_close(&p->w);
    assert_int_equal(p->heap.live, 0);
}

static inline void pair_run(pair *p, const char *uri, const char *helper_uri)
{
    pair_open(p, uri, helper_uri);
    pair_agents(p);
    aios_run *r = world_start(&p->w, NULL, "go");
    pull_deep(r, &p->log, AIOS_DENY);
    aios_run_free(r);
    pair_close(p);
}

/* ---- a model that keeps what it is asked ---------------------------------------------------------------------------- */

/** Says its lines, a turn each; "!NAME ARGS" is a call. The last one again and again. */
typedef struct scribe {
    const char *const *lines;
    uint32_t at;
    int32_t privacy;
    char system[256], tools[256]; /* of the last request */
    int32_t choice;
    uint32_t max_tokens, n_entries;
    float temperature;
    uint64_t seed;
    void (*think)(void); /* before it says a line; NULL: nothing */
} scribe;

static inline int scribe_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)args, (void)err;
    *model = user;
    return 0;
}

static inline void scribe_close(void *p)
{
    (void)p;
}

static inline int scribe_info(void *model, aios_model_info *out)
{
    const scribe *s = model;
    out->name = "scribe";
    out->privacy = s->privacy;
    out->flags = AIOS_MODEL_CAN_TOOLS;
    return 0;
}

static inline int scribe_session(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    *session = model;
    return 0;
}

static inline int scribe_start(void *session, const aios_request *q, aios_error *err)
{
    scribe *s = session;
    aios_entry e = AIOS_INIT(aios_entry);
    (void)err;
    aios_transcript_at(q->transcript, 0, &e);
    snprintf(s->system, sizeof s->system, "%.*s", e.role == AIOS_ROLE_SYSTEM ? (int)e.parts[0].n_text : 0, e.parts[0].text);
    s->tools[0] = 0;
    for (uint32_t i = 0; i < q->n_tools; i++)
        snprintf(s->tools + strlen(s->tools), sizeof s->tools - strlen(s->tools), "%s ", q->tools[i].name);
    s->choice = q->tool_choice;
    s->max_tokens = q->max_tokens;
    s->n_entries = aios_transcript_count(q->transcript);
    s->temperature = q->sampling ? q->sampling->temperature : -1;
    s->seed = q->sampling ? q->sampling->seed : 0;
    return 0;
}

static inline int scribe_step(void *session, const aios_sink *k, aios_error *err)
{
    scribe *s = session;
    char name[64];
    int n = 0, rc;
    const char *line = s->lines[s->at];
    (void)err;
    if (s->think)
        s->think();
    s->at += s->lines[s->at + 1] != NULL;
    if (*line == '!' && sscanf(line, "!%63s %n", name, &n) == 1)
        rc = k->call(k->user, name, line + n, strlen(line + n), NULL);
    else
        rc = k->text(k->user, line, strlen(line));
    return rc ? rc : AIOS_DONE;
}

/** Opens it in ctx as the model "NAME:". */
static inline aios_model *scribe_model(aios_ctx *ctx, const char *name, scribe *s)
{
    char uri[32];
    aios_error err = AIOS_INIT(aios_error);
    aios_model *m = NULL;
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = name;
    ops.open = scribe_open;
    ops.close = scribe_close;
    ops.info = scribe_info;
    ops.session_new = scribe_session;
    ops.session_free = scribe_close;
    ops.start = scribe_start;
    ops.step = scribe_step;
    ops.cancel = scribe_close;
    must(aios_backend_register(ctx, &ops, s, &err), &err);
    snprintf(uri, sizeof uri, "%s:", name);
    must(aios_model_open(ctx, uri, NULL, &m, &err), &err);
    return m;
}

static inline int count_text(const char *s, const char *word)
{
    int n = 0;
    for (; (s = strstr(s, word)); s += strlen(word))
        n++;
    return n;
}

#endif
