/* SPDX-License-Identifier: Apache-2.0 */
/* A planner whose tool is another agent: it splits a task, each part is a run of its own, and all parts of a turn run side by side.
   Usage: 09_planner_worker [PLANNER_MODEL [WORKER_MODEL [TASK]]] */
#include <aios/aios.h>
#include <stdio.h>
#include <string.h>

/* Events of a worker come up through the planner's run, one level deeper. */
static int on_event(void *user, const aios_event *ev)
{
    const char *indent = ev->depth ? "  " : "";
    (void)user;
    if (ev->type == AIOS_EVENT_CALL)
        printf("%s-> %s %s %s\n", indent, ev->call_id, ev->name, ev->text);
    else if (ev->type == AIOS_EVENT_RESULT)
        printf("%s<- %s %s\n", indent, ev->call_id, ev->text);
    else if (ev->type == AIOS_EVENT_DONE)
        printf("%s\n", ev->text);
    return 0;
}

/* The worker's one tool: it reads, so nobody has to be asked. */
static int look_up(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "42", AIOS_CSTR);
}

static int make_worker(aios_ctx *ctx, const char *uri, aios_agent **worker, aios_error *err)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_tool tool = AIOS_INIT(aios_tool);
    tool.name = "look_up";
    tool.description = "Looks up the value of a name.";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}},\"required\":[\"name\"]}";
    tool.effect = AIOS_EFFECT_READ;
    tool.fn = look_up;
    cfg.instructions = "Do the one thing you are asked to, then answer in one short sentence.";
    cfg.name = "worker";
    int rc = aios_model_open(ctx, uri, NULL, &cfg.model, err);
    if (!rc)
        rc = aios_toolset_new(ctx, &cfg.toolset, err);
    if (!rc)
        rc = aios_toolset_add(cfg.toolset, &tool, err);
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, worker, err);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    return rc;
}

static int make_planner(aios_ctx *ctx, const char *uri, aios_agent *worker, aios_agent **planner, aios_error *err)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_agent_tool as_tool = AIOS_INIT(aios_agent_tool);
    aios_limits limits = AIOS_INIT(aios_limits);
    as_tool.name = "work";
    as_tool.description = "Gives one part of the task to a worker, who knows only what you write.";
    limits.max_turns = 12; /* of planner and workers together */
    cfg.instructions = "Split the task into parts, give each to a worker, then say what came out.";
    cfg.name = "planner";
    cfg.limits = &limits;
    int rc = aios_model_open(ctx, uri, NULL, &cfg.model, err);
    if (!rc)
        rc = aios_toolset_new(ctx, &cfg.toolset, err);
    if (!rc)
        rc = aios_toolset_add_agent(cfg.toolset, worker, &as_tool, err);
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, planner, err);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    return rc;
}

int main(int argc, char **argv)
{
    const char *planner_uri = argc > 1 ? argv[1]
                                       : "echo:call work {\"prompt\":\"find the width\"}; call work {\"prompt\":\"find the height\"}; "
                                         "say Both parts are there.";
    const char *worker_uri = argc > 2 ? argv[2] : "echo:call look_up {\"name\":\"it\"}; say part:; echo; say \\:; result";
    const char *task = argc > 3 ? argv[3] : "How large is it?";
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    aios_agent *worker = NULL, *planner = NULL;
    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = make_worker(ctx, worker_uri, &worker, &err);
    if (!rc)
        rc = make_planner(ctx, planner_uri, worker, &planner, &err);
    if (!rc)
        rc = aios_agent_run(planner, task, AIOS_CSTR, on_event, NULL, &err);
    if (rc)
        fprintf(stderr, "%s (%s)\n", err.msg, aios_code_name(rc));
    aios_agent_free(planner);
    aios_agent_free(worker);
    aios_ctx_free(ctx);
    return rc != 0;
}
