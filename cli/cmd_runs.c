/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of a store: what there is, and how one stands. */
#include <string.h>
#include <time.h>

#include "cli.h"

static const char *const states[] = {"?", "model", "tools", "ask", "stopped", "done", "damaged"};

static const char *state_of(const aios_run_info *r)
{
    bool known = r->state > 0 && r->state < (int)(sizeof states / sizeof *states);
    return states[known ? r->state : 0];
}

static void print_time(char out[32], int64_t us)
{
    time_t s = (time_t)(us / 1000000);
    struct tm tm;
    if (!gmtime_r(&s, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
        out[0] = 0;
}

static json_t *run_json(const aios_run_info *r)
{
    char began[32], changed[32];
    print_time(began, r->began_us);
    print_time(changed, r->changed_us);
    json_t *o = json_pack("{s:s,s:s,s:s,s:i,s:i,s:I,s:i,s:i,s:i,s:I,s:s,s:s,s:f}", "id", r->id, "state", state_of(r), "model", r->model, "turns", (int)r->n_turns, "calls",
                          (int)r->n_calls, "tokens", (json_int_t)r->n_tokens, "asks", (int)r->n_asks, "unknown", (int)r->n_unknown, "resumes", (int)r->n_resumes, "records",
                          (json_int_t)r->n_records, "began", began, "changed", changed, "used_s", (double)r->used_ns / 1e9);
    if (o) {
        json_object_set_new(o, "cost_micros", json_integer((json_int_t)r->cost_micros));
        json_object_set_new(o, "input", json_integer((json_int_t)r->n_input));
        json_object_set_new(o, "cached", json_integer((json_int_t)r->n_cached));
    }
    if (o && r->code)
        json_object_set_new(o, "error", json_pack("{s:s,s:s}", "code", aios_code_name(r->code), "message", r->msg));
    return o;
}

static int list_one(void *user, const aios_run_info *r)
{
    const cli *c = user;
    char changed[32];
    if (c->json) {
        cli_print_json(run_json(r));
        return 0;
    }
    print_time(changed, r->changed_us);
    printf("%-32s %-8s %3u turns %3u calls %6llu tokens  %s  %s\n", r->id, state_of(r), r->n_turns, r->n_calls, (unsigned long long)r->n_tokens, changed,
           r->code ? aios_code_name(r->code) : "");
    return 0;
}

static void show_one(const aios_run_info *r)
{
    char began[32], changed[32];
    print_time(began, r->began_us);
    print_time(changed, r->changed_us);
    printf("run      %s\nstate    %s\nmodel    %s\nturns    %u\ncalls    %u\ntokens   %llu\nbegan    %s\nchanged  %s\nresumes  %u\n", r->id, state_of(r), r->model, r->n_turns,
           r->n_calls, (unsigned long long)r->n_tokens, began, changed, r->n_resumes);
    printf("prompts  %llu tokens, %llu of them cached\n", (unsigned long long)r->n_input, (unsigned long long)r->n_cached);
    if (r->cost_micros)
        printf("cost     %.6f\n", (double)r->cost_micros / 1e6);
    if (r->n_asks)
        printf("asks     %u wait for a decision\n", r->n_asks);
    if (r->n_unknown)
        printf("unknown  %u calls were begun and have no receipt\n", r->n_unknown);
    if (r->code)
        printf("failure  %s: %s\n", aios_code_name(r->code), r->msg);
}

static int show(const cli *c, aios_ctx *ctx, aios_store *st, const char *id)
{
    aios_run_info info = AIOS_INIT(aios_run_info);
    aios_error err = AIOS_INIT(aios_error);
    if (aios_run_info_get(ctx, st, id, &info, &err))
        return cli_fail(NULL, &err);
    if (c->json)
        cli_print_json(run_json(&info));
    else
        show_one(&info);
    return 0;
}

static int list(cli *c, aios_ctx *ctx, aios_store *st)
{
    aios_error err = AIOS_INIT(aios_error);
    return aios_run_list(ctx, st, list_one, c, &err) ? cli_fail(NULL, &err) : 0;
}

int cmd_runs(cli *c)
{
    const char *verb = c->n_args ? c->args[0] : "list";
    bool lists = !strcmp(verb, "list") && c->n_args <= 1, shows = !strcmp(verb, "show") && c->n_args == 2;
    aios_ctx *ctx = NULL;
    aios_store *st = NULL;
    if (!c->store)
        return cli_usage("--store names where the runs are: aios runs --store sqlite:runs.db");
    if (!lists && !shows)
        return cli_usage("aios runs list, or aios runs show ID");
    int rc = cli_ctx(c, &ctx);
    rc = rc ? rc : cli_store(c, ctx, &st, AIOS_STORE_READ_ONLY);
    if (!rc)
        rc = lists ? list(c, ctx, st) : show(c, ctx, st, c->args[1]);
    aios_store_close(st);
    aios_ctx_free(ctx);
    return rc;
}
