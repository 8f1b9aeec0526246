/* SPDX-License-Identifier: Apache-2.0 */
/*
 * same_agent SERVE [MODEL]: one agent, unchanged, over a local model and over a server of the same model: at temperature 0 the
 * transcripts are equal, byte for byte, and so is how likely each token of a reply was. A scripted model, then MODEL, or that of AIOS_TEST_MODEL.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aios/aios.h>

#include "net/serve.h"

typedef struct text {
    char s[65536];
    size_t n;
} text;

static int gather(void *user, const void *p, size_t n)
{
    text *t = user;
    if (n >= sizeof t->s - t->n)
        return AIOS_ELIMIT;
    memcpy(t->s + t->n, p, n);
    t->n += n;
    return 0;
}

static int weigh(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "{\"grams\":42}", AIOS_CSTR);
}

static int add_tool(aios_toolset *ts, aios_error *err)
{
    aios_tool tool = AIOS_INIT(aios_tool);
    tool.name = "weigh";
    tool.description = "Weighs a thing";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"thing\":{\"type\":\"string\",\"maxLength\":12}},\"required\":[\"thing\"],\"additionalProperties\":false}";
    tool.effect = AIOS_EFFECT_READ;
    tool.fn = weigh;
    return aios_toolset_add(ts, &tool, err);
}

/* The agent: it does not know where its model is. */
static int run_agent(const char *uri, text *out)
{
    static const aios_sampling greedy = AIOS_INIT(aios_sampling);
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_toolset *ts = NULL;
    aios_agent *a = NULL;
    aios_run *r = NULL;
    const aios_event *ev;
    int rc = aios_ctx_new(NULL, &ctx, &err);
    rc = rc ? rc : aios_model_open(ctx, uri, NULL, &m, &err);
    rc = rc ? rc : aios_toolset_new(ctx, &ts, &err);
    rc = rc ? rc : add_tool(ts, &err);
    cfg.model = m;
    cfg.toolset = ts;
    cfg.sampling = &greedy;
    cfg.instructions = "You weigh things with your tool.";
    cfg.tool_choice = AIOS_TOOLS_REQUIRED;
    rc = rc ? rc : aios_agent_new(ctx, &cfg, &a, &err);
    rc = rc ? rc : aios_run_start(a, NULL, "How heavy is the apple?", AIOS_CSTR, &r, &err);
    while (!rc && !aios_run_next(r, -1, &ev))
        if (ev->type == AIOS_EVENT_ERROR) {
            rc = ev->error->code;
            err = *ev->error;
        }
    rc = rc ? rc : aios_transcript_write_json(aios_run_transcript(r), gather, out, &err);
    if (rc)
        fprintf(stderr, "%s: %s\n", uri, err.msg);
    aios_run_free(r);
    aios_agent_free(a);
    aios_toolset_free(ts);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

/* A reply of 20 tokens: how likely each was, and four in its place. */
static int tell_logprobs(const char *uri, text *out)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request req = AIOS_INIT(aios_request);
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    const aios_event *ev;
    int rc = aios_ctx_new(NULL, &ctx, &err);
    rc = rc ? rc : aios_model_open(ctx, uri, NULL, &m, &err);
    rc = rc ? rc : aios_session_new(m, NULL, &s, &err);
    rc = rc ? rc : aios_transcript_new(ctx, &t, &err);
    rc = rc ? rc : aios_transcript_add_text(t, AIOS_ROLE_USER, "Tell me of the sea.", AIOS_CSTR, &err);
    req.transcript = t;
    req.max_tokens = 20;
    req.flags = AIOS_REQUEST_LOGPROBS;
    req.n_top = 4;
    rc = rc ? rc : aios_session_start(s, &req, &err);
    while (!rc && !aios_session_next(s, -1, &ev)) {
        if (ev->type == AIOS_EVENT_LOGPROBS)
            rc = gather(out, ev->text, ev->n_text);
        if (ev->type == AIOS_EVENT_ERROR)
            rc = (err = *ev->error).code;
    }
    if (rc)
        fprintf(stderr, "%s: %s\n", uri, err.msg);
    aios_session_free(s);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc ? rc : out->n ? 0 : AIOS_EPROTO;
}

typedef int run_fn(const char *uri, text *out);

static int compare(const char *serve, const char *model, run_fn *run)
{
    static text here, there;
    test_server server = {0};
    char uri[64];
    here.n = there.n = 0;
    if (!serve_start(&server, serve, model))
        return 2;
    snprintf(uri, sizeof uri, "http://127.0.0.1:%d/v1#m", server.port);
    int rc = run(model, &here);
    rc = rc ? rc : run(uri, &there);
    serve_stop(&server);
    bool same = !rc && here.n == there.n && !memcmp(here.s, there.s, here.n);
    printf("%s: %s\n%s\n%s\n", model, same ? "equal" : "different", here.s, same ? "" : there.s);
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *model = argc > 2 ? argv[2] : getenv("AIOS_TEST_MODEL");
    if (argc < 2)
        return 2;
    int rc = compare(argv[1], "echo:", run_agent);
    if (rc || !model || !*model)
        return rc;
    rc = compare(argv[1], model, run_agent);
    return rc ? rc : compare(argv[1], model, tell_logprobs);
}
