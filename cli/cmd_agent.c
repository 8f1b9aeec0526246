/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Tools that only read run; others run if --allow names them; else the person is asked, or without a terminal it is denied. */
static int decide(void *user, const aios_action *a, aios_verdict *out)
{
    const cli *c = user;
    out->verdict = a->effect == AIOS_EFFECT_READ ? AIOS_ALLOW : AIOS_ASK;
    for (int i = 0; i < c->allow.n; i++)
        if (!strcmp(c->allow.at[i], a->tool))
            out->verdict = AIOS_ALLOW;
    return 0;
}

/* Whom the OTEL_ variables name is told of the run. */
static int make_telemetry(aios_ctx *ctx, aios_telemetry **tm, aios_error *err)
{
    aios_telemetry_config cfg = AIOS_INIT(aios_telemetry_config);
    int rc = aios_telemetry_config_from_env(&cfg, err);
    return rc == AIOS_DONE ? AIOS_OK : rc ? rc : aios_telemetry_new(ctx, &cfg, tm, err);
}

static const char *const compacts[] = {"none", "drop", "summarise", "offload"};

/* What --compact says; a word that is none of them: -1. */
static int32_t compact_policy(const cli *c)
{
    int32_t i = 3;
    while (c->compact && i >= 0 && strcmp(c->compact, compacts[i]))
        i--;
    return c->compact ? i : AIOS_COMPACT_NONE;
}

static int check_compact(const cli *c)
{
    char meant[CLI_MEANT];
    if (compact_policy(c) >= 0)
        return 0;
    return cli_usage("--compact %s: it is drop, summarise or offload%s", c->compact, cli_meant(meant, c->compact, compacts, 4, "", ""));
}

static int fail_begin(const cli *c, aios_ctx *ctx, aios_store *st, aios_error *err)
{
    if (c->resume)
        cli_run_meant(st, c->resume, err);
    int rc = c->store ? cli_fail_run(err) : cli_fail(NULL, err);
    if (c->resume && err->code == AIOS_ESTATE)
        cli_hint_begun(c, ctx, st, c->resume);
    return rc;
}

/* An exit code; prints what is wrong. */
static int begin_run(const cli *c, aios_ctx *ctx, aios_store *st, aios_agent *a, aios_transcript *t, aios_run **run)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_run_options o = AIOS_INIT(aios_run_options);
    o.transcript = t;
    o.id = c->run_id;
    if (c->resume ? aios_run_resume(a, c->resume, run, &err) : aios_run_start_with(a, &o, run, &err))
        return fail_begin(c, ctx, st, &err);
    if (c->store && !c->quiet)
        fprintf(stderr, "run %s\n", aios_run_id(*run));
    return 0;
}

static void set_limits(const cli *c, aios_limits *l)
{
    l->max_turns = (uint32_t)c->max_turns;
    l->max_calls = (uint32_t)c->max_calls;
    l->max_tokens = (uint64_t)c->max_tokens;
    l->max_cost = (uint64_t)(c->max_cost * 1e6);
    l->timeout_ns = (int64_t)(c->timeout * 1e9);
    l->max_turn_tokens = c->n_predict ? (uint32_t)c->n_predict : CLI_MAX_TOKENS;
}

/* Without the socket the run goes on all the same, unless it is what its asks wait for. */
static int open_control(const cli *c, aios_ctx *ctx, aios_store *st, cli_control **control, aios_error *err)
{
    int rc = st ? cli_control_open(c, ctx, st, control, err) : AIOS_OK;
    if (rc && !c->wait) {
        if (rc != AIOS_ENOTSUP && !c->quiet && !c->json)
            fprintf(stderr, "note: `aios runs` cannot ask this run: %s\n", err->msg);
        *err = (aios_error)AIOS_INIT(aios_error);
    }
    return c->wait ? rc : AIOS_OK;
}

static int run_agent(const cli *c, aios_ctx *ctx, aios_store *st, aios_model *m, aios_toolset *ts, aios_rules *rules, uint64_t classes, const char *prompt, size_t n,
                     const char *schema)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_policy policy = AIOS_INIT(aios_policy);
    aios_limits limits = AIOS_INIT(aios_limits);
    aios_error err = AIOS_INIT(aios_error);
    aios_compact compact = AIOS_INIT(aios_compact);
    aios_sampling smp;
    aios_agent *a = NULL;
    aios_run *run = NULL;
    aios_telemetry *tm = NULL;
    aios_prices prices = AIOS_INIT(aios_prices);
    int rc = cli_prices(c, &prices);
    if (rc)
        return rc;
    cfg.prices = c->prices ? &prices : NULL;
    cli_sampling(c, &smp);
    policy.user = (void *)(uintptr_t)c;
    policy.decide = rules ? NULL : decide;
    policy.rules = rules;
    set_limits(c, &limits);
    cfg.model = m;
    cfg.toolset = ts;
    cfg.policy = &policy;
    cfg.limits = &limits;
    compact.policy = compact_policy(c);
    cfg.compact = &compact;
    cfg.sampling = &smp;
    cfg.schema_json = schema;
    cfg.tool_choice = c->require ? AIOS_TOOLS_REQUIRED : AIOS_TOOLS_AUTO;
    aios_transcript *t = NULL;
    aios_commit_hook hook;
    cli_kept *kept = NULL;
    cli_control *control = NULL;
    rc = st ? cli_kept_open(c, st, &hook, &kept) : 0;
    if (rc)
        return rc;
    rc = open_control(c, ctx, st, &control, &err);
    cli_control_hook(control, c->audit ? &hook : NULL);
    rc = rc ? rc : make_telemetry(ctx, &tm, &err);
    cfg.telemetry = tm;
    cfg.hook = kept ? &hook : NULL;
    cfg.store = st;
    cfg.name = "aios";
    cfg.flags = c->changed ? AIOS_AGENT_CHANGED : 0;
    rc = rc ? rc : aios_transcript_new(ctx, &t, &err);
    if (!rc && c->system)
        rc = aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, c->system, AIOS_CSTR, &err);
    if (!rc && !c->resume)
        rc = cli_add_user(t, classes, prompt, n, &err);
    if (rc || aios_agent_new(ctx, &cfg, &a, &err)) {
        rc = cli_fail(NULL, &err);
    } else if (!(rc = begin_run(c, ctx, st, a, t, &run))) {
        cli_interrupt_run(run);
        rc = cli_drive(c, run, control);
        cli_interrupt_run(NULL);
        if (rc && st)
            cli_hint_stopped(c, ctx, st, aios_run_id(run));
    }
    cli_control_close(control);
    aios_run_free(run);
    aios_agent_free(a);
    cli_kept_close(kept);
    aios_telemetry_free(tm);
    aios_transcript_free(t);
    return rc;
}

/* A name that is allowed but belongs to no tool is misspelt. */
static int check_allowed(const cli *c, const aios_toolset *ts)
{
    uint32_t n = aios_toolset_count(ts);
    const char **names = calloc(n + 1, sizeof *names), *wrong = NULL;
    if (!names)
        return cli_no_memory();
    for (uint32_t i = 0; i < n; i++) {
        aios_tool t = AIOS_INIT(aios_tool);
        names[i] = aios_toolset_at(ts, i, &t) ? "" : t.name;
    }
    for (int k = 0; k < c->allow.n && !wrong; k++) {
        uint32_t i = 0;
        while (i < n && strcmp(names[i], c->allow.at[k]))
            i++;
        wrong = i < n ? NULL : c->allow.at[k];
    }
    char meant[CLI_MEANT];
    int rc = wrong ? cli_usage("--allow %s names no tool%s", wrong, cli_meant(meant, wrong, names, n, "", "")) : 0;
    free(names);
    return rc;
}

static int make_tools(const cli *c, aios_ctx *ctx, aios_toolset **ts)
{
    aios_error err = AIOS_INIT(aios_error);
    if (aios_toolset_new(ctx, ts, &err))
        return cli_fail(NULL, &err);
    if (!c->no_builtin && cli_tools_builtin(*ts, c->root ? c->root : ".", &err))
        return cli_fail(NULL, &err) == EXIT_MODEL ? EXIT_USAGE : EXIT_FAIL; /* --root */
    if (c->policy && aios_toolset_add_extract(*ts, &err))
        return cli_fail(NULL, &err);
    if (compact_policy(c) == AIOS_COMPACT_OFFLOAD && aios_toolset_add_read_result(*ts, &err))
        return cli_fail(NULL, &err);
    int rc = cli_memory(c, ctx, *ts);
    rc = rc || !c->tools ? rc : cli_tools_command(*ts, c->tools);
    return rc ? rc : check_allowed(c, *ts);
}

static int read_policy(const cli *c, aios_ctx *ctx, aios_rules **rules)
{
    aios_error err = AIOS_INIT(aios_error);
    if (!c->policy)
        return 0;
    if (c->allow.n)
        return cli_usage("--allow has no effect beside --policy: allow the tool there");
    return aios_rules_open(ctx, c->policy, rules, &err) ? (cli_fail(NULL, &err), EXIT_USAGE) : 0;
}

static int check_store(const cli *c)
{
    if (!c->store && (c->resume || c->run_id))
        return cli_usage("--resume and --run-id are of a store: --store sqlite:FILE");
    if (!c->store && (c->wait || c->audit))
        return cli_usage("--wait and --audit are of runs in a store: --store sqlite:FILE");
    if (c->wait && !cli_control_able(c->store))
        return cli_usage("--wait: `aios runs approve` reaches the process of a run in a store sqlite:FILE only, not in %.100s: leave --wait out, or take such a store",
                         c->store);
    if (c->changed && !c->resume)
        return cli_usage("--changed is of runs that are resumed");
    if (!c->audit && (c->audit_key || c->anchor))
        return cli_usage("--audit-key and --anchor are of --audit");
    if (c->whole && !c->json)
        return cli_usage("--whole is of --json");
    if (c->resume && (c->run_id || c->n_args))
        return cli_usage("--resume takes neither a prompt nor --run-id: the run has both");
    if (c->resume && (c->system || c->labels.n))
        return cli_usage("--system and --label are of a run's first prompt, which a resumed run has: leave them out");
    return 0;
}

int cmd_agent(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_toolset *ts = NULL;
    aios_rules *rules = NULL;
    cli_source src = {0};
    size_t n = 0;
    uint64_t classes;
    aios_store *st = NULL;
    char *prompt = c->resume ? NULL : cli_prompt(c, &n);
    int rc = check_store(c);
    rc = rc ? rc : check_compact(c);
    rc = rc ? rc : !prompt && !c->resume ? EXIT_FAIL : !n && !c->resume ? cli_usage("a prompt is needed: aios agent 'What time is it?'") : cli_ctx(c, &ctx);
    if (!rc && c->schema && !(rc = cli_source_read(c, NULL, &src)))
        rc = cli_source_check(&src, ctx);
    rc = rc ? rc : read_policy(c, ctx, &rules);
    rc = rc ? rc : cli_store(c, ctx, &st, 0);
    rc = rc ? rc : make_tools(c, ctx, &ts);
    rc = rc ? rc : cli_label(c, &classes);
    rc = rc ? rc : cli_model(c, &ctx, &m);
    rc = rc ? rc : cli_label_check(m, cli_model_path(c), classes);
    rc = rc ? rc : run_agent(c, ctx, st, m, ts, rules, classes, prompt, n, src.text);
    aios_rules_free(rules);
    aios_store_close(st);
    aios_toolset_free(ts);
    aios_model_close(m);
    aios_ctx_free(ctx);
    free(prompt);
    cli_source_free(&src);
    return rc;
}
