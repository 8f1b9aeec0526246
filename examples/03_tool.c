/* SPDX-License-Identifier: Apache-2.0 */
/* An agent with a tool in C. Usage: 03_tool [MODEL [PROMPT]] */
#include <aios/aios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Arguments are JSON that satisfies the schema below, in any order of members. */
static long number(const char *json, const char *key)
{
    const char *at = strstr(json, key);
    return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

static int add(void *user, aios_call *call)
{
    const char *args = aios_call_args(call);
    char out[64];
    (void)user;
    int n = snprintf(out, sizeof out, "{\"sum\":%ld}", number(args, "\"a\":") + number(args, "\"b\":"));
    return aios_call_finish(call, 0, out, (size_t)n);
}

static int on_event(void *user, const aios_event *ev)
{
    (void)user;
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        fwrite(ev->text, 1, ev->n_text, stdout);
        break;
    case AIOS_EVENT_CALL:
        printf("[%s %s]\n", ev->name, ev->text);
        break;
    case AIOS_EVENT_RESULT:
        printf("[= %s]\n", ev->text);
        break;
    default:
        break;
    }
    fflush(stdout);
    return 0; /* anything else cancels */
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "echo:call add {\"a\":19,\"b\":23}; say The answer is; result";
    const char *prompt = argc > 2 ? argv[2] : "What is 19 plus 23?";
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_ctx *ctx = NULL;
    aios_agent *agent = NULL;

    tool.name = "add";
    tool.description = "Adds two whole numbers.";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}},"
                       "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}";
    tool.effect = AIOS_EFFECT_READ; /* the default policy lets it run; others would be asked for */
    tool.fn = add;

    cfg.tool_choice = AIOS_TOOLS_REQUIRED; /* the first turn must call; the default leaves it to the model */
    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = aios_model_open(ctx, uri, NULL, &cfg.model, &err);
    if (!rc)
        rc = aios_toolset_new(ctx, &cfg.toolset, &err);
    if (!rc)
        rc = aios_toolset_add(cfg.toolset, &tool, &err);
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, &agent, &err);
    if (!rc)
        rc = aios_agent_run(agent, prompt, AIOS_CSTR, on_event, NULL, &err);
    putchar('\n');
    if (rc)
        fprintf(stderr, "%s: %s (%s)\n", uri, err.msg, aios_code_name(rc));
    aios_agent_free(agent);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
    return rc != 0;
}
