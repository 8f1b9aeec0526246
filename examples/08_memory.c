/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent that remembers: what one run keeps, a later one finds, with the label of what it was said among. Usage: 08_memory [MODEL [PROMPT]]; without
 * a model a script plays one.
 */
#include <aios/aios.h>
#include <stdio.h>

static const char *const script[] = {
    "echo:call remember {\"text\":\"Sam drinks green tea\",\"kind\":\"fact\"};turn;say I will remember that.",
    "echo:call recall {\"query\":\"What does Sam drink?\"};turn;say Green tea.",
};

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user, (void)a;
    out->verdict = AIOS_ALLOW; /* a memory is no one else's business; see docs/policy.md for rules */
    return 0;
}

static int show(void *user, const aios_event *ev)
{
    (void)user;
    if (ev->type == AIOS_EVENT_CALL)
        printf("[%s %s]\n", ev->name, ev->text);
    if (ev->type == AIOS_EVENT_DONE)
        printf("%s\n", ev->text);
    return 0;
}

static int show_item(void *user, const aios_hit *h)
{
    (void)user;
    printf("%s: %s (integrity %d)\n", h->item->kind, h->item->text, h->item->label.integrity);
    return 0;
}

static int ask(aios_ctx *ctx, aios_memory *memory, const char *uri, const char *prompt, aios_error *err)
{
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_model *model = NULL;
    aios_toolset *tools = NULL;
    aios_agent *agent = NULL;
    policy.decide = allow;
    int rc = aios_model_open(ctx, uri, NULL, &model, err);
    rc = rc ? rc : aios_toolset_new(ctx, &tools, err);
    rc = rc ? rc : aios_toolset_add_memory(tools, memory, NULL, err);
    cfg.model = model;
    cfg.toolset = tools;
    cfg.policy = &policy;
    rc = rc ? rc : aios_agent_new(ctx, &cfg, &agent, err);
    rc = rc ? rc : aios_agent_run(agent, prompt, AIOS_CSTR, show, NULL, err);
    aios_agent_free(agent);
    aios_toolset_free(tools);
    aios_model_close(model);
    return rc;
}

int main(int argc, char **argv)
{
    aios_ctx *ctx = NULL;
    aios_memory *memory = NULL;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_ctx_new(NULL, &ctx, &err);
    rc = rc ? rc : aios_memory_open(ctx, "memory:", NULL, &memory, &err); /* "sqlite:FILE" keeps it */
    rc = rc ? rc : ask(ctx, memory, argc > 1 ? argv[1] : script[0], argc > 2 ? argv[2] : "Remember that Sam drinks green tea.", &err);
    rc = rc ? rc : ask(ctx, memory, argc > 1 ? argv[1] : script[1], "What does Sam drink?", &err);
    rc = rc ? rc : aios_memory_list(memory, NULL, show_item, NULL, &err);
    if (rc)
        fprintf(stderr, "%s\n", err.msg);
    aios_memory_close(memory);
    aios_ctx_free(ctx);
    return rc != 0;
}
