/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of a store: what there is, how one stands, and what becomes of it. A store in use answers through the process that has it. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct scene {
    cli *c;
    aios_ctx *ctx;
    aios_store *st;
    const char *run, *ask; /* arguments */
} scene;

/* ---- printing ----------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static bool is_open(const json_t *run)
{
    const char *state = text_of(run, "state");
    return !strcmp(state, "model") || !strcmp(state, "tools") || !strcmp(state, "ask");
}

/* Its process is gone before it was over. Of stores that many processes have nobody here knows. */
static bool is_dead(const json_t *run)
{
    return json_is_false(json_object_get(run, "live")) && is_open(run);
}

static bool is_wanted(const cli *c, const json_t *run)
{
    return !c->state || !strcmp(c->state, text_of(run, "state"));
}

/* Takes the reference. */
static void print_row(const cli *c, json_t *r)
{
    if (!is_wanted(c, r)) {
        json_decref(r);
        return;
    }
    if (c->json) {
        cli_print_json(r);
        return;
    }
    long long turns = number_of(r, "turns"), calls = number_of(r, "calls"), tokens = number_of(r, "tokens"), asks = number_of(r, "asks");
    printf("%-32s %-8s %3lld turn%-1s %3lld call%-1s %6lld token%-1s  %s", text_of(r, "id"), text_of(r, "state"), turns, cli_s(turns), calls,
           cli_s(calls), tokens, cli_s(tokens), text_of(r, "changed"));
    if (*text_of(json_object_get(r, "error"), "code"))
        printf("  %s", text_of(json_object_get(r, "error"), "code"));
    if (asks)
        printf("  %lld wait%s", asks, asks == 1 ? "s" : "");
    if (number_of(r, "unknown"))
        printf("  %lld unknown", number_of(r, "unknown"));
    if (number_of(r, "pid"))
        printf("  process %lld", number_of(r, "pid"));
    puts(is_dead(r) ? "  no process" : "");
    json_decref(r);
}

static void print_calls(const char *label, const json_t *calls, const char *what)
{
    size_t i;
    json_t *w;
    json_array_foreach(calls, i, w) {
        char *args = json_dumps(json_object_get(w, "arguments"), JSON_COMPACT | JSON_ENCODE_ANY);
        bool unknown = json_is_true(json_object_get(w, "unknown"));
        printf("%-8s %s %s  (%s%s%.16s)%s\n", label, text_of(w, "name"), args ? args : "", text_of(w, "call_id"), *text_of(w, "digest") ? ", " : "",
               text_of(w, "digest"), unknown ? "  was begun before, and may have happened" : what);
        free(args);
    }
}

/* What can be done next, to paste. */
static void print_next(const cli *c, const json_t *r)
{
    const json_t *waits = json_object_get(r, "waits");
    cli_text t = {0};
    bool one = json_array_size(waits) == 1;
    if (json_array_size(waits) && !cli_put_word(&t, text_of(r, "id")) && !cli_put_word(&t, text_of(json_array_get(waits, 0), "call_id")) &&
        !cli_put_option(&t, "store", c->store))
        printf("decide   aios runs approve%s    (or deny%s)\n", t.p, one ? "" : "; the others by their ids");
    free(t.p);
    if (*text_of(r, "resume"))
        printf("next     %s\n", text_of(r, "resume"));
    if (*text_of(r, "resume") && json_array_size(json_object_get(r, "begun")))
        puts("         --wait there asks about what nobody knows; without it, and without a terminal, it is not repeated");
}

static void print_run(const cli *c, const json_t *r)
{
    long long asks = number_of(r, "asks"), unknown = number_of(r, "unknown");
    const json_t *e = json_object_get(r, "error");
    printf("run      %s\nstate    %s\nmodel    %s\nturns    %lld\ncalls    %lld\ntokens   %lld\nbegan    %s\nchanged  %s\nresumes  %lld\n",
           text_of(r, "id"), text_of(r, "state"), text_of(r, "model"), number_of(r, "turns"), number_of(r, "calls"), number_of(r, "tokens"),
           text_of(r, "began"), text_of(r, "changed"), number_of(r, "resumes"));
    if (number_of(r, "pid"))
        printf("process  %lld\n", number_of(r, "pid"));
    if (is_dead(r))
        puts("process  none: it ended before the run did");
    if (number_of(r, "cost_micros"))
        printf("cost     %.6f\n", (double)number_of(r, "cost_micros") / 1e6);
    if (asks)
        printf("asks     %lld wait%s for a decision\n", asks, asks == 1 ? "s" : "");
    print_calls("waits", json_object_get(r, "waits"), "");
    print_calls("running", json_object_get(r, "running"), "");
    if (unknown && !number_of(r, "pid"))
        printf("unknown  %lld call%s begun and %s no receipt%s\n", unknown, unknown == 1 ? " was" : "s were", unknown == 1 ? "has" : "have",
               json_object_get(r, "live") ? "" : ": it runs now, or nobody knows");
    print_calls("begun", json_object_get(r, "begun"), json_object_get(r, "live") ? "  nobody knows whether it happened" : "");
    if (e)
        printf("failure  %s: %s\n", text_of(e, "code"), text_of(e, "message"));
    print_next(c, r);
}

/* Of a run, with its steps if there are. */
static void print_shown(const cli *c, json_t *run, json_t *steps, bool cut)
{
    if (!c->json && steps)
        cli_timeline(run, steps, cut);
    else if (!c->json)
        print_run(c, run);
    else if (steps)
        cli_print_json(json_pack("{s:O,s:O,s:b}", "run", run, "steps", steps, "cut", cut));
    else
        cli_print_json(json_incref(run));
}

static void print_done(const scene *s, const char *what)
{
    if (s->c->json)
        cli_print_json(json_pack("{s:b,s:s,s:s}", "ok", 1, "run", s->run, "what", what));
    else if (!s->c->quiet)
        printf("run %s: %s\n", s->run, what);
}

/* ---- of a store that nobody has ------------------------------------------------------------------------------------- */

static int fail_of_run(const scene *s, aios_error *err)
{
    cli_run_meant(s->st, s->run, err);
    return cli_fail_run(err);
}

/* Who has opened a store of one process knows that no other lives with its runs. */
static json_t *standing_of(const cli *c, const aios_run_info *r)
{
    json_t *o = cli_run_json(r);
    if (cli_control_able(c->store))
        json_object_set_new(o, "live", json_false());
    return o;
}

static int list_one(void *user, const aios_run_info *r)
{
    print_row(user, standing_of(user, r));
    return !cli_flush();
}

static int list(scene *s)
{
    aios_error err = AIOS_INIT(aios_error);
    return aios_run_list(s->ctx, s->st, list_one, s->c, &err) < 0 ? cli_fail_run(&err) : 0;
}

/* Of a run of `aios agent` that is not over, and has no process. */
static void add_resume(const scene *s, const aios_run_info *info, json_t *run)
{
    cli_text options = {0}, line = {0};
    bool may = is_dead(run) || info->state == AIOS_RUN_STOPPED;
    if (may && cli_kept_options(s->st, s->run, &options) && !cli_resume_line(info, s->c->store, &options, &line))
        json_object_set_new(run, "resume", cli_json_text(line.p, line.n));
    free(options.p);
    free(line.p);
}

static json_t *run_of(const scene *s, aios_error *err)
{
    aios_run_info info = AIOS_INIT(aios_run_info);
    if (aios_run_info_get(s->ctx, s->st, s->run, &info, err))
        return NULL;
    json_t *run = standing_of(s->c, &info), *begun = NULL;
    json_t *waits = info.n_asks || info.n_unknown ? cli_run_waits(s->ctx, s->st, s->run, &begun, NULL) : NULL;
    if (waits)
        json_object_set_new(run, "waits", waits);
    if (begun)
        json_object_set_new(run, "begun", begun);
    add_resume(s, &info, run);
    return run;
}

static int show(scene *s)
{
    aios_error err = AIOS_INIT(aios_error);
    json_t *run = run_of(s, &err);
    cli_steps g = {.list = NULL};
    if (!run)
        return fail_of_run(s, &err);
    if (s->c->timeline) {
        g.list = json_array();
        int rc = aios_run_replay(s->ctx, s->st, s->run, cli_steps_add, &g, &err);
        json_decref(g.starts);
        if (rc)
            cli_fail_run(&err); /* of the record; the steps before it are shown */
    }
    print_shown(s->c, run, g.list, false);
    json_decref(run);
    json_decref(g.list);
    return err.code ? EXIT_FAIL : 0;
}

/* ---- through the process that has it -------------------------------------------------------------------------------- */

/* A process that does not answer is told with the store's own words, which name it. */
static int fail_live(const aios_error *busy, const aios_error *why)
{
    aios_error err = *busy;
    size_t n = strlen(err.msg);
    if (why->code != AIOS_EUNAVAIL && why->code != AIOS_ENOTSUP && why->code != AIOS_EIO && why->code != AIOS_ETIMEDOUT)
        return cli_fail_run(why);
    snprintf(err.msg + n, sizeof err.msg - n, " (%.200s)", why->msg);
    return cli_fail_run(&err);
}

static void print_answer(const scene *s, const json_t *v, const char *op)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(v, "runs"), i, r)
        print_row(s->c, json_incref(r));
    if (json_is_true(json_object_get(v, "cut")) && !strcmp(op, "list"))
        fputs("note: there are more: the process that has the store told of so many\n", stderr);
    if (json_object_get(v, "run"))
        print_shown(s->c, json_object_get(v, "run"), json_object_get(v, "steps"), json_is_true(json_object_get(v, "cut")));
}

static json_t *question(const scene *s, const char *op)
{
    json_t *q = json_pack("{s:s}", "op", op);
    if (s->run)
        json_object_set_new(q, "run", json_string(s->run));
    if (s->ask)
        json_object_set_new(q, "ask", json_string(s->ask));
    return q;
}

/* EUNAVAIL: there is no process that answers. */
static int ask_process(const scene *s, const char *op, const char *done, aios_error *why)
{
    json_t *v, *q = question(s, op);
    long pid;
    int rc = cli_control_ask(s->c->store, q, &v, &pid, why);
    json_decref(q);
    if (rc)
        return rc;
    if (done)
        print_done(s, done);
    else
        print_answer(s, v, op);
    json_decref(v);
    return AIOS_OK;
}

/* ---- verbs ---------------------------------------------------------------------------------------------------------- */

/* What its record is written with, if the run has an audit: the row. */
static int open_audit(const scene *s, aios_commit_hook *hook, cli_kept **kept)
{
    aios_error err = AIOS_INIT(aios_error);
    bool has;
    *kept = NULL;
    if (cli_audit_has(s->st, s->run, &has, &err))
        return cli_fail(NULL, &err);
    s->c->audit = has;
    return has ? cli_kept_open(s->c, s->st, hook, kept) : 0;
}

/* Of a run that no process has: it counts when the run is resumed. */
static int decide(scene *s, int32_t verdict)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_commit_hook hook;
    cli_kept *kept;
    int rc = open_audit(s, &hook, &kept);
    if (rc)
        return rc;
    cli_run_decide(s->ctx, s->st, s->run, s->ask, verdict, kept ? &hook : NULL, &err);
    cli_kept_close(kept);
    if (err.code)
        return fail_of_run(s, &err);
    print_done(s, verdict == AIOS_ALLOW ? "approved; it counts when the run is resumed" : "denied; it counts when the run is resumed");
    json_t *run = s->c->json || s->c->quiet ? NULL : run_of(s, &err);
    if (run)
        print_next(s->c, run);
    json_decref(run);
    return 0;
}

static int approve(scene *s)
{
    return decide(s, AIOS_ALLOW);
}

static int deny(scene *s)
{
    return decide(s, AIOS_DENY);
}

static int cancel(scene *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_commit_hook hook;
    cli_kept *kept;
    int rc = open_audit(s, &hook, &kept);
    if (rc)
        return rc;
    rc = aios_run_abandon_with(s->ctx, s->st, s->run, kept ? &hook : NULL, &err);
    cli_kept_close(kept);
    if (rc)
        return fail_of_run(s, &err);
    print_done(s, "given up");
    return 0;
}

static int audit(scene *s)
{
    return cli_audit_check(s->c, s->st, s->run);
}

static const struct verb {
    const char *name, *args;
    int least, most; /* how many of these */
    int (*fn)(scene *s);
    const char *op, *done; /* what the process that has the store is asked; NULL: it cannot be */
    uint32_t flags;        /* AIOS_STORE_x */
} verbs[] = {
    {"list", "", 0, 0, list, "list", NULL, AIOS_STORE_READ_ONLY},
    {"show", "RUN ", 1, 1, show, "show", NULL, AIOS_STORE_READ_ONLY},
    {"resume", "RUN ", 1, 1, NULL, NULL, NULL, 0},
    {"approve", "RUN [CALL] ", 1, 2, approve, "approve", "approved", 0},
    {"deny", "RUN [CALL] ", 1, 2, deny, "deny", "denied", 0},
    {"cancel", "RUN ", 1, 1, cancel, "cancel", "told to stop", 0},
    {"audit", "[RUN] ", 0, 1, audit, NULL, NULL, AIOS_STORE_READ_ONLY},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (!strcmp(verbs[i].name, name))
            return &verbs[i];
    return NULL;
}

static int no_verb(const char *name)
{
    const char *names[sizeof verbs / sizeof *verbs];
    char meant[CLI_MEANT];
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        names[i] = verbs[i].name;
    return cli_usage("aios runs has no \"%.40s\"%s: list, show, resume, approve, deny, cancel, audit", name,
                     cli_meant(meant, name, names, sizeof names / sizeof *names, "", ""));
}

static int check_options(const cli *c, const struct verb *v)
{
    char meant[CLI_MEANT];
    if (!c->store)
        return cli_usage("--store names where the runs are: aios runs --store sqlite:runs.db");
    if (c->n_args - 1 > v->most || (c->n_args ? c->n_args - 1 : 0) < v->least)
        return cli_usage("aios runs %s %s--store %s", v->name, v->args, c->store);
    if (c->state && strcmp(v->name, "list") != 0)
        return cli_usage("--state is of aios runs list");
    if (c->state && !cli_run_state(c->state))
        return cli_usage("--state \"%.40s\" is none%s: model, tools, ask, stopped, done, damaged", c->state,
                         cli_run_state_meant(meant, c->state));
    if (c->timeline && strcmp(v->name, "show") != 0)
        return cli_usage("--timeline is of aios runs show");
    return 0;
}

/* A store that is not there is not made. */
static int open_there(aios_ctx *ctx, const char *uri, const aios_store_config *cfg, aios_store **st, aios_error *err)
{
    aios_store_config look = AIOS_INIT(aios_store_config);
    look.flags = AIOS_STORE_READ_ONLY;
    int rc = cli_load_kind(ctx, uri, err);
    rc = rc ? rc : aios_store_open(ctx, uri, &look, st, err);
    if (rc || cfg->flags & AIOS_STORE_READ_ONLY)
        return rc;
    aios_store_close(*st);
    return aios_store_open(ctx, uri, cfg, st, err);
}

/* Opens the store, or asks who has it. One that lets not go and does not answer, or not now, within a second, is told. */
static int reach(scene *s, const struct verb *v)
{
    aios_store_config cfg = AIOS_INIT(aios_store_config);
    const char *op = s->c->timeline && v->op ? "steps" : v->op;
    cfg.flags = v->flags;
    for (int i = 0;; i++) {
        aios_error err = AIOS_INIT(aios_error), why = AIOS_INIT(aios_error);
        int rc = open_there(s->ctx, s->c->store, &cfg, &s->st, &err);
        if (rc && rc != AIOS_EBUSY) {
            cli_kinds_there(&err);
            return cli_fail_named(&err);
        }
        if (!rc) {
            cli_control_sweep(s->c->store);
            return v->fn(s);
        }
        rc = op ? ask_process(s, op, v->done, &why) : AIOS_EUNAVAIL;
        if (!rc)
            return 0;
        if ((rc != AIOS_EUNAVAIL && rc != AIOS_ERATE) || i == CLI_RETRIES)
            return op ? fail_live(&err, &why) : cli_fail_run(&err);
        cli_pause(CLI_RETRY_MS);
    }
}

static int run_verb(cli *c, const struct verb *v)
{
    scene s = {.c = c, .run = c->n_args > 1 ? c->args[1] : NULL, .ask = c->n_args > 2 ? c->args[2] : NULL};
    int rc = cli_ctx(c, &s.ctx);
    if (rc)
        return rc;
    rc = reach(&s, v);
    aios_store_close(s.st);
    aios_ctx_free(s.ctx);
    return rc;
}

int cmd_runs(cli *c)
{
    const char *name = c->n_args ? c->args[0] : "list";
    const struct verb *v = find_verb(name);
    int rc = v ? check_options(c, v) : no_verb(name);
    if (rc)
        return rc;
    if (v->fn)
        return run_verb(c, v);
    c->resume = c->args[1];
    c->n_args = 0;
    return cmd_agent(c);
}
