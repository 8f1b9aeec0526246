/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop itself costs: steps that call a tool, with the scripted model, without a store and with those there are; and runs that wait.
 * Usage: bench_agent [STEPS [STORE...]], STORE as for aios_store_open. JSON lines. */
#include <string.h>

#include "bench.h"

static int act(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "42", 2);
}

static int decide(void *user, const aios_action *a, aios_verdict *out)
{
    (void)a;
    out->verdict = *(const int32_t *)user;
    return 0;
}

typedef struct setting {
    const char *store; /* NULL: none */
    int32_t effect, verdict;
    uint32_t n_steps;
} setting;

typedef struct made {
    aios_ctx *ctx;
    aios_store *store;
    aios_agent *agent;
} made;

/* A script that calls the tool n times with other arguments, then answers. */
static char *make_script(uint32_t n)
{
    size_t cap = 64 + (size_t)n * 40, at = 0;
    char *s = malloc(cap);
    at += (size_t)snprintf(s, cap, "echo:");
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(s + at, cap - at, "call act {\"n\":%u};turn;", i);
    snprintf(s + at, cap - at, "say done");
    return s;
}

static made make(const setting *s)
{
    made m = {NULL, NULL, NULL};
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_model_config mc = AIOS_INIT(aios_model_config);
    mc.n_ctx = 1u << 24;
    char *script = make_script(s->n_steps);
    must(aios_ctx_new(NULL, &m.ctx, &err), &err);
    must(aios_model_open(m.ctx, script, &mc, &cfg.model, &err), &err);
    free(script);
    must(aios_toolset_new(m.ctx, &cfg.toolset, &err), &err);
    tool.name = "act";
    tool.fn = act;
    tool.effect = s->effect;
    must(aios_toolset_add(cfg.toolset, &tool, &err), &err);
    if (s->store)
        must(aios_store_open(m.ctx, s->store, NULL, &m.store, &err), &err);
    limits.max_turns = limits.max_calls = s->n_steps + 2;
    policy.decide = decide;
    policy.user = (void *)(uintptr_t)&s->verdict;
    cfg.policy = &policy;
    cfg.limits = &limits;
    cfg.store = m.store;
    must(aios_agent_new(m.ctx, &cfg, &m.agent, &err), &err);
    aios_model_close(cfg.model);
    aios_toolset_free(cfg.toolset);
    return m;
}

static void unmake(made *m)
{
    aios_agent_free(m->agent);
    aios_store_close(m->store);
    aios_ctx_free(m->ctx);
}

static void bench_steps(const char *name, setting s)
{
    double best = 1e300;
    uint64_t commits = 0;
    for (int i = 0; i < 5; i++) {
        made m = make(&s);
        aios_error err = AIOS_INIT(aios_error);
        aios_store_info info = AIOS_INIT(aios_store_info);
        double at = now_us();
        must(aios_agent_run(m.agent, "go", 2, NULL, NULL, &err), &err);
        double us = (now_us() - at) / s.n_steps;
        best = us < best ? us : best;
        if (m.store && !aios_store_info_get(m.store, &info))
            commits = info.n_commits;
        unmake(&m);
    }
    printf("{\"bench\":\"agent_step\",\"store\":\"%s\",\"effect\":\"%s\",\"steps\":%u,\"us_per_step\":%.2f,\"steps_per_s\":%.0f,\"commits\":%llu}\n", name,
           s.effect == AIOS_EFFECT_READ ? "read" : "keyed", s.n_steps, best, 1e6 / best, (unsigned long long)commits);
    fflush(stdout);
}

/* Runs that wait for a decision, all alive: bytes of the heap each. */
static void bench_idle(const char *store, uint32_t n)
{
    setting s = {store, AIOS_EFFECT_UNSAFE, AIOS_ASK, 1};
    made m = make(&s);
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_run **runs = calloc(n, sizeof *runs);
    const aios_event *ev;
    uint32_t k = 0;
    aios_ctx_usage(m.ctx, &before);
    for (; k < n; k++) {
        if (aios_run_start(m.agent, NULL, "go", 2, &runs[k], &err)) {
            fprintf(stderr, "idle runs end at %u: %s\n", k, err.msg);
            break;
        }
        while (aios_run_next(runs[k], -1, &ev) == AIOS_OK)
            ;
    }
    aios_ctx_usage(m.ctx, &after);
    printf("{\"bench\":\"agent_idle\",\"store\":\"%s\",\"runs\":%u,\"bytes_per_run\":%.0f}\n", store ? store : "none", k,
           k ? (double)(after.used - before.used) / k : 0);
    for (uint32_t i = 0; i < k; i++)
        aios_run_free(runs[i]);
    free(runs);
    unmake(&m);
}

int main(int argc, char **argv)
{
    uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 100;
    static const char *const own[] = {"memory:"};
    const char *const *stores = argc > 2 ? (const char *const *)argv + 2 : own;
    int n_stores = argc > 2 ? argc - 2 : 1;
    bench_steps("none", (setting){NULL, AIOS_EFFECT_READ, AIOS_ALLOW, n});
    bench_steps("none", (setting){NULL, AIOS_EFFECT_KEYED, AIOS_ALLOW, n});
    for (int i = 0; i < n_stores; i++) {
        bench_steps(stores[i], (setting){stores[i], AIOS_EFFECT_READ, AIOS_ALLOW, n});
        bench_steps(stores[i], (setting){stores[i], AIOS_EFFECT_KEYED, AIOS_ALLOW, n});
    }
    bench_idle(NULL, 400);
    bench_idle("memory:", 400);
    return 0;
}
