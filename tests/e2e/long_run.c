/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation of many tool turns on a real model whose context holds a few of them: nothing ends for want of room, each request is counted right
 * before it is made, and what compacting costs is told. Usage: long_run [MODEL [CALLS [N_CTX [none|drop|summarise|offload]]]]; exit 77 without a model.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <aios/aios.h>

typedef struct tally {
    uint32_t calls, turns, compactions, summary_turns, most;
    uint64_t input, cached, output, summary_input, summary_cached, summary_output;
    uint64_t before, after;      /* tokens at compactions */
    double compact_ms, worst_ms; /* choosing, the summary's turn left out */
    double summary_ms, refill_ms; /* its turns; prefill of the turns behind compactions */
    uint64_t refill;             /* tokens that these computed */
} tally;

static uint32_t n_looks;
static int n_times = 1; /* that a result says its sentence */

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
    char text[4000];
    int n = 0;
    (void)user;
    n_looks++;
    for (int i = 0; i < n_times; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "Lamp %u is %s. The keeper of hall %u wrote that the switch is %s the door, and that the bulb was changed in %u. ", n_looks,
                      n_looks % 3 ? "green" : "dark", n_looks * 7 % 100, n_looks % 2 ? "behind" : "beside", 1950 + n_looks % 70 + (unsigned)i);
    return aios_call_finish(call, 0, text, (size_t)n);
}

static int allow(void *user, const aios_action *a, aios_verdict *out)
{
    (void)user;
    (void)a;
    out->verdict = AIOS_ALLOW;
    return 0;
}

/* What the events of a run say; a failure ends the program. */
static void follow(aios_run *r, tally *t)
{
    const aios_event *ev;
    aios_error err = AIOS_INIT(aios_error);
    aios_context_use use = AIOS_INIT(aios_context_use);
    int summing = 0, fresh = 0;
    double since = now_ms();
    while (!aios_run_next(r, -1, &ev)) {
        double at = now_ms();
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
        if (ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "context"))
            summing = 1;
        if (ev->type == AIOS_EVENT_STATE && !strcmp(ev->text, "model"))
            must(aios_run_context(r, &use, &err), &err);
        if (ev->type == AIOS_EVENT_CONTEXT) {
            unsigned before = 0, after = 0;
            sscanf(strstr(ev->text, "\"before\":"), "\"before\":%u,\"after\":%u", &before, &after);
            t->before += before;
            t->after += after;
            t->compactions++;
            t->compact_ms += at - since;
            t->worst_ms = at - since > t->worst_ms ? at - since : t->worst_ms;
            summing = 0;
            fresh = 1;
        }
        if (ev->type == AIOS_EVENT_USAGE && summing) {
            t->summary_turns++;
            t->summary_input += ev->usage->input;
            t->summary_cached += ev->usage->cached;
            t->summary_output += ev->usage->output;
            t->summary_ms += (double)(ev->usage->prefill_ns + ev->usage->decode_ns) / 1e6;
        } else if (ev->type == AIOS_EVENT_USAGE) {
            if (use.input != ev->usage->input || !use.exact || use.input != use.instructions + use.tools + use.history) {
                fprintf(stderr, "the request was said to take %u tokens, and took %u\n", use.input, ev->usage->input);
                exit(1);
            }
            t->turns++;
            t->input += ev->usage->input;
            t->cached += ev->usage->cached;
            t->output += ev->usage->output;
            t->most = ev->usage->input > t->most ? ev->usage->input : t->most;
            t->refill += fresh ? ev->usage->input - ev->usage->cached : 0;
            t->refill_ms += fresh ? (double)ev->usage->prefill_ns / 1e6 : 0;
            fresh = 0;
        }
        t->calls += ev->type == AIOS_EVENT_CALL;
        since = now_ms();
    }
}

static void live(const char *path, int n_calls, uint32_t n_ctx, int32_t policy, tally *t)
{
    aios_ctx *ctx;
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_model_config mc = AIOS_INIT(aios_model_config);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_policy allowed = AIOS_INIT(aios_policy);
    aios_compact compact = AIOS_INIT(aios_compact);
    aios_agent *agent;
    aios_transcript *tr;
    n_looks = 0;
    n_times = policy == AIOS_COMPACT_OFFLOAD ? 6 : 1;
    mc.n_ctx = n_ctx;
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    must(aios_model_open(ctx, path, &mc, &cfg.model, &err), &err);
    must(aios_toolset_new(ctx, &cfg.toolset, &err), &err);
    tool.name = "look";
    tool.description = "looks at a lamp";
    tool.fn = look;
    tool.effect = AIOS_EFFECT_LOCAL;
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"lamp\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":999}},\"required\":[\"lamp\"],\"additionalProperties\":false}";
    must(aios_toolset_add(cfg.toolset, &tool, &err), &err);
    if (policy == AIOS_COMPACT_OFFLOAD)
        must(aios_toolset_add_read_result(cfg.toolset, &err), &err);
    limits.max_turn_tokens = 24;
    limits.max_turns = 4;
    compact.policy = policy;
    compact.min_offload = 256;
    compact.max_summary = 96;
    allowed.decide = allow;
    cfg.limits = &limits;
    cfg.policy = &allowed;
    cfg.compact = &compact;
    cfg.tool_choice = AIOS_TOOLS_NAMED;
    cfg.tool_name = "look";
    cfg.instructions = "You look at lamps and say in few words how they are.";
    must(aios_agent_new(ctx, &cfg, &agent, &err), &err);
    must(aios_transcript_new(ctx, &tr, &err), &err);
    for (int i = 1; (int)n_looks < n_calls; i++) {
        aios_run *r;
        char prompt[80];
        snprintf(prompt, sizeof prompt, "Now look at lamp %d.", i);
        must(aios_run_start(agent, tr, prompt, AIOS_CSTR, &r, &err), &err);
        follow(r, t);
        aios_run_free(r);
    }
    aios_agent_free(agent);
    aios_transcript_free(tr);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
}

static int tell(const char *name, uint32_t n_ctx, const tally *t)
{
    double n = t->compactions ? t->compactions : 1;
    printf("{\"e2e\":\"long_run\",\"policy\":\"%s\",\"n_ctx\":%u,\"calls\":%u,\"turns\":%u,\"most\":%u,\"input\":%llu,\"computed\":%llu,\"output\":%llu,\"compactions\":%u,"
           "\"before\":%.0f,\"after\":%.0f,\"choose_ms\":%.2f,\"choose_worst_ms\":%.2f,\"refill\":%.0f,\"refill_ms\":%.0f,\"summary_turns\":%u,"
           "\"summary_computed\":%llu,\"summary_output\":%llu,\"summary_ms\":%.0f}\n",
           name, n_ctx, t->calls, t->turns, t->most, (unsigned long long)t->input, (unsigned long long)(t->input - t->cached), (unsigned long long)t->output, t->compactions,
           (double)t->before / n, (double)t->after / n, t->compact_ms / n, t->worst_ms, (double)t->refill / n, t->refill_ms / n, t->summary_turns,
           (unsigned long long)(t->summary_input - t->summary_cached), (unsigned long long)t->summary_output, t->summary_ms / n);
    fflush(stdout);
    return t->most >= n_ctx;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"none", "drop", "summarise", "offload"};
    char model[512];
    int n = argc > 2 ? atoi(argv[2]) : 16, rc = 0;
    uint32_t n_ctx = argc > 3 ? (uint32_t)atoi(argv[3]) : 768;
    snprintf(model, sizeof model, "%s/.cache/aios/models/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("HOME") ? getenv("HOME") : "");
    if (argc > 1 && *argv[1])
        snprintf(model, sizeof model, "%s", argv[1]);
    if (access(model, R_OK))
        return 77;
    for (int32_t policy = AIOS_COMPACT_NONE; policy <= AIOS_COMPACT_OFFLOAD; policy++) {
        tally t = {0};
        bool wanted = argc > 4 ? !strcmp(argv[4], names[policy]) : policy > AIOS_COMPACT_NONE;
        if (!wanted)
            continue;
        live(model, n, n_ctx, policy, &t);
        rc |= tell(names[policy], n_ctx, &t) || (policy && !t.compactions);
    }
    return rc;
}
