/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* Tools that only read run; others run if --allow names them; else the person is asked, or without a terminal it is denied. */
static int decide(void *user, const aios_action *a, aios_verdict *out)
{
    const cli *c = user;
    out->verdict = a->effect == AIOS_EFFECT_READ ? AIOS_ALLOW : AIOS_ASK;
    for (int i = 0; i < c->n_allow; i++)
        if (!strcmp(c->allow[i], a->tool))
            out->verdict = AIOS_ALLOW;
    return 0;
}

static int32_t ask(const aios_event *ev)
{
    char answer[16] = "";
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "denied: %s changes something; --allow %s lets it run\n", ev->name, ev->name);
        return AIOS_DENY;
    }
    fprintf(stderr, "run %s %.*s ? [y/N] ", ev->name, (int)ev->n_text, ev->text);
    if (!fgets(answer, sizeof answer, stdin))
        return AIOS_DENY;
    return answer[0] == 'y' || answer[0] == 'Y' ? AIOS_ALLOW : AIOS_DENY;
}

static void show(const cli *c, const aios_event *ev, bool *open_line)
{
    bool color = cli_color(stderr);
    const char *dim = color ? "\x1b[2m" : "", *plain = color ? "\x1b[0m" : "";
    if (*open_line && ev->type != AIOS_EVENT_TEXT) {
        putchar('\n');
        fflush(stdout);
        *open_line = false;
    }
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        fwrite(ev->text, 1, ev->n_text, stdout);
        fflush(stdout);
        *open_line = true;
        break;
    case AIOS_EVENT_CALL:
        fprintf(stderr, "%scall   %s %.*s%s\n", dim, ev->name, (int)ev->n_text, ev->text, plain);
        break;
    case AIOS_EVENT_RESULT:
        fprintf(stderr, "%sresult %s %s%.*s%s\n", dim, ev->name, ev->code ? "failed: " : "", (int)(ev->n_text < 400 ? ev->n_text : 400), ev->text, plain);
        break;
    case AIOS_EVENT_USAGE:
        if (!c->quiet)
            cli_stats(ev->usage);
        break;
    case AIOS_EVENT_ERROR:
        cli_fail(NULL, ev->error);
        break;
    default:
        break;
    }
}

static int drive(const cli *c, aios_run *run)
{
    const aios_event *ev;
    bool open_line = false;
    int got, rc = 0;
    while ((got = aios_run_next(run, -1, &ev)) == AIOS_OK || got == AIOS_AGAIN) {
        if (got == AIOS_AGAIN)
            continue;
        if (c->json)
            cli_event_json(ev);
        else
            show(c, ev, &open_line);
        if (ev->type == AIOS_EVENT_ERROR)
            rc = ev->error->code == AIOS_ECANCELED ? EXIT_INTERRUPT : EXIT_FAIL;
        if (ev->type == AIOS_EVENT_ASK) {
            char id[128];
            snprintf(id, sizeof id, "%s", ev->call_id);
            aios_run_decide(run, id, ask(ev), NULL);
        }
    }
    return got < 0 && !rc ? EXIT_FAIL : rc;
}

static int run_agent(const cli *c, aios_ctx *ctx, aios_model *m, aios_toolset *ts, const char *prompt, size_t n, const char *schema)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_error err = AIOS_INIT(aios_error);
    aios_sampling smp;
    aios_agent *a = NULL;
    aios_run *run = NULL;
    cli_sampling(c, &smp);
    policy.user = (void *)(uintptr_t)c;
    policy.decide = decide;
    limits.max_turns = (uint32_t)c->max_turns;
    limits.max_turn_tokens = (uint32_t)c->n_predict;
    cfg.model = m;
    cfg.toolset = ts;
    cfg.policy = &policy;
    cfg.limits = &limits;
    cfg.sampling = &smp;
    cfg.instructions = c->system;
    cfg.schema_json = schema;
    cfg.tool_choice = c->require ? AIOS_TOOLS_REQUIRED : AIOS_TOOLS_AUTO;
    int rc;
    if (aios_agent_new(ctx, &cfg, &a, &err) || aios_run_start(a, NULL, prompt, n, &run, &err)) {
        rc = cli_fail(NULL, &err);
    } else {
        cli_interrupt_run(run);
        rc = drive(c, run);
        cli_interrupt_run(NULL);
    }
    aios_run_free(run);
    aios_agent_free(a);
    return rc;
}

int cmd_agent(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_toolset *ts = NULL;
    aios_error err = AIOS_INIT(aios_error);
    size_t n = 0, n_schema;
    char *schema = c->schema ? cli_read_file(c->schema, &n_schema) : NULL;
    if (c->schema && !schema)
        return EXIT_USAGE;
    char *prompt = cli_prompt(c, &n);
    int rc = !prompt ? EXIT_FAIL : !n ? cli_usage("a prompt is needed: aios agent 'What time is it?'") : cli_model(c, &ctx, &m);
    if (!rc && (aios_toolset_new(ctx, &ts, &err) || (!c->no_builtin && cli_tools_builtin(ts, c->root ? c->root : ".", &err))))
        rc = cli_fail(NULL, &err) == EXIT_MODEL ? EXIT_USAGE : EXIT_FAIL; /* --root */
    if (!rc && c->tools)
        rc = cli_tools_command(ts, c->tools);
    if (!rc)
        rc = run_agent(c, ctx, m, ts, prompt, n, schema);
    aios_toolset_free(ts);
    aios_model_close(m);
    aios_ctx_free(ctx);
    free(prompt);
    free(schema);
    return rc;
}
