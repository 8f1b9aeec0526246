/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run over a long prompt is killed by SIGKILL inside of its tool, and resumed with and without what its session had computed: the reply is that of
 * a run that nobody killed, and with it the next token is there in a part of the time. Usage: warm [MODEL [TOKENS]]; exit 77 without a model.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <aios/aios.h>

static char dir[64], reply_path[96];
static int die; /* in the tool */
static double said;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void must(int rc, const aios_error *err)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", aios_code_name(rc), err->msg);
    exit(1);
}

static int look(void *user, aios_call *call)
{
    (void)user;
    fprintf(stderr, "  %.0f ms from the turn's usage to the tool, what is kept written between\n", now_ms() - said);
    if (die)
        raise(SIGKILL);
    return aios_call_finish(call, 0, "the lamp is green", AIOS_CSTR);
}

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    (void)a;
    out->verdict = AIOS_ALLOW;
    return 0;
}

/* About n tokens of English. */
static char *make_prompt(int n)
{
    static const char *const words[] = {"the", "old", "ship", "sails", "over", "a", "quiet", "sea", "with", "seven", "lamps", "and", "one", "small", "bell"};
    char *s = malloc((size_t)n * 8 + 64), *p = s;
    for (int i = 0; i < n; i++)
        p += sprintf(p, "%s ", words[(unsigned)(i * 7 + i / 13) % 15]);
    sprintf(p, "\nWhat colour is the lamp?");
    return s;
}

/* One life; the time from its beginning (with an open model) to the first text behind the result. */
static double live(const char *model_path, const char *id, int n_tokens, int keep)
{
    aios_ctx *ctx;
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_model_config mc = AIOS_INIT(aios_model_config);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_agent *agent;
    aios_run *run;
    char uri[128];
    mc.n_ctx = (uint32_t)n_tokens + 1024;
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    must(aios_model_open(ctx, model_path, &mc, &cfg.model, &err), &err);
    must(aios_toolset_new(ctx, &cfg.toolset, &err), &err);
    tool.name = "look";
    tool.description = "looks at the lamp";
    tool.fn = look;
    tool.effect = AIOS_EFFECT_KEYED;
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"where\":{\"type\":\"string\",\"maxLength\":20}},\"required\":[\"where\"]}";
    must(aios_toolset_add(cfg.toolset, &tool, &err), &err);
    snprintf(uri, sizeof uri, "sqlite:%s/%s.db", dir, id);
    must(aios_store_open(ctx, uri, NULL, &cfg.store, &err), &err);
    limits.max_turn_tokens = 24;
    cfg.limits = &limits;
    policy.decide = allow;
    cfg.policy = &policy;
    cfg.cache_dir = keep ? dir : NULL;
    cfg.tool_choice = AIOS_TOOLS_REQUIRED;
    cfg.instructions = "Answer in one sentence.";
    must(aios_agent_new(ctx, &cfg, &agent, &err), &err);
    double from = now_ms(), first = 0;
    int rc = aios_run_resume(agent, id, &run, &err);
    if (rc == AIOS_ENOENT) {
        char *prompt = make_prompt(n_tokens);
        aios_run_options o = AIOS_INIT(aios_run_options);
        o.id = id;
        o.prompt = prompt;
        o.n_prompt = AIOS_CSTR;
        rc = aios_run_start_with(agent, &o, &run, &err);
        free(prompt);
    }
    must(rc, &err);
    const aios_event *ev;
    int answered = 0;
    while (!aios_run_next(run, -1, &ev)) {
        answered |= ev->type == AIOS_EVENT_RESULT;
        if (ev->type == AIOS_EVENT_TEXT && answered && !first)
            first = now_ms() - from;
        said = ev->type == AIOS_EVENT_USAGE ? now_ms() : said;
        if (ev->type == AIOS_EVENT_USAGE)
            fprintf(stderr, "  %s: %u tokens, %u of them cached, %.0f ms prefill\n", id, ev->usage->input, ev->usage->cached, (double)ev->usage->prefill_ns / 1e6);
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
        if (ev->type == AIOS_EVENT_DONE) {
            FILE *f = fopen(reply_path, "w");
            fwrite(ev->text, 1, ev->n_text, f);
            fclose(f);
        }
    }
    aios_run_free(run);
    aios_agent_free(agent);
    aios_store_close(cfg.store);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
    return first;
}

static void kill_one(const char *model, const char *id, int n, int keep)
{
    int status;
    pid_t pid = fork();
    if (!pid) {
        die = 1;
        live(model, id, n, keep);
        _exit(1);
    }
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) {
        fprintf(stderr, "%s: the tool was not called\n", id);
        exit(1);
    }
}

static void read_reply(char *out, size_t n)
{
    FILE *f = fopen(reply_path, "r");
    out[f ? fread(out, 1, n - 1, f) : 0] = 0;
    if (f)
        fclose(f);
}

int main(int argc, char **argv)
{
    char model[512], straight[4096], cold[4096], warm[4096], command[128];
    int n = argc > 2 ? atoi(argv[2]) : 600;
    snprintf(model, sizeof model, "%s/.cache/aios/models/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("HOME") ? getenv("HOME") : "");
    if (argc > 1 && *argv[1])
        snprintf(model, sizeof model, "%s", argv[1]);
    if (access(model, R_OK))
        return 77;
    snprintf(dir, sizeof dir, "/tmp/aios-warm-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(reply_path, sizeof reply_path, "%s/reply", dir);
    kill_one(model, "cold", n, 0);
    kill_one(model, "warm", n, 1);
    live(model, "straight", n, 0);
    read_reply(straight, sizeof straight);
    double t_cold = live(model, "cold", n, 0);
    read_reply(cold, sizeof cold);
    double t_warm = live(model, "warm", n, 1);
    read_reply(warm, sizeof warm);
    printf("{\"e2e\":\"warm\",\"words\":%d,\"cold_ms\":%.0f,\"warm_ms\":%.0f,\"part\":%.3f,\"same\":%s}\n", n, t_cold, t_warm, t_warm / t_cold,
           !strcmp(straight, cold) && !strcmp(straight, warm) && *straight ? "true" : "false");
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    int rc = strcmp(straight, cold) || strcmp(straight, warm) || !*straight || t_warm > t_cold / 2;
    return system(command) || rc;
}
