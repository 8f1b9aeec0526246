/* SPDX-License-Identifier: Apache-2.0 */
/* What the process of a live run answers to a request. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

static json_t *failed(const aios_error *err)
{
    return json_pack("{s:b,s:o}", "ok", 0, "error", cli_error_json(err));
}

static json_t *refused(int code, const char *what, const char *word)
{
    aios_error err = AIOS_INIT(aios_error);
    err.code = code;
    snprintf(err.msg, sizeof err.msg, "%s%.80s", what, word);
    return failed(&err);
}

static const char *text_of(const json_t *q, const char *key)
{
    return json_string_value(json_object_get(q, key));
}

static bool is_live(const control_scene *s, const char *id)
{
    return s->run && id && !strcmp(aios_run_id(s->run), id);
}

static int64_t deadline(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + CONTROL_WORK_MS;
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

/* Of calls that were begun those that are not asked about: they run now. */
static json_t *running(const control_scene *s, const aios_run_info *info, int n_unknown)
{
    json_t *begun = NULL;
    if ((int)info->n_unknown <= n_unknown)
        return NULL;
    json_decref(cli_run_waits(s->ctx, s->store, info->id, &begun, NULL));
    for (size_t i = json_array_size(begun); i-- > 0;)
        for (int k = 0; k < s->asks->n; k++)
            if (!strcmp(s->asks->at[k].call_id, text_of(json_array_get(begun, i), "call_id"))) {
                json_array_remove(begun, i);
                break;
            }
    return begun;
}

static void add_live(const control_scene *s, const aios_run_info *info, json_t *o)
{
    int n_unknown = 0;
    for (int i = 0; i < s->asks->n; i++)
        n_unknown += s->asks->at[i].unknown;
    json_t *now = running(s, info, n_unknown);
    json_object_set_new(o, "pid", json_integer(getpid()));
    json_object_set_new(o, "waits", cli_asks_json(s->asks));
    json_object_set_new(o, "unknown", json_integer(n_unknown));
    if (now)
        json_object_set_new(o, "running", now);
}

/* How a run stands, and of the live one what waits, what runs, and where it lives. No other run of the store can be live. */
static json_t *with_process(const control_scene *s, const aios_run_info *info)
{
    json_t *o = cli_run_json(info);
    bool live = is_live(s, info->id);
    json_object_set_new(o, "live", json_boolean(live));
    if (o && live)
        add_live(s, info, o);
    return o;
}

static json_t *run_of(const control_scene *s, const char *id, aios_error *err)
{
    aios_run_info info = AIOS_INIT(aios_run_info);
    if (aios_run_info_get(s->ctx, s->store, id, &info, err)) {
        cli_run_meant(s->store, id, err);
        return NULL;
    }
    return with_process(s, &info);
}

static json_t *op_show(const control_scene *s, const json_t *q)
{
    aios_error err = AIOS_INIT(aios_error);
    json_t *run = run_of(s, text_of(q, "run"), &err);
    return run ? json_pack("{s:b,s:o}", "ok", 1, "run", run) : failed(&err);
}

static json_t *op_steps(const control_scene *s, const json_t *q)
{
    aios_error err = AIOS_INIT(aios_error);
    json_t *run = run_of(s, text_of(q, "run"), &err), *steps = json_array();
    cli_steps gather = {.list = steps, .until_ms = deadline()};
    int rc = run ? aios_run_replay(s->ctx, s->store, text_of(q, "run"), cli_steps_add, &gather, &err) : -1;
    json_decref(gather.starts);
    if (rc < 0) {
        json_decref(run);
        json_decref(steps);
        return failed(&err);
    }
    return json_pack("{s:b,s:o,s:o,s:b}", "ok", 1, "run", run, "steps", steps, "cut", gather.cut);
}

typedef struct listing {
    const control_scene *scene;
    json_t *runs;
    int64_t until_ms;
    bool cut;
} listing;

static int list_one(void *user, const aios_run_info *info)
{
    listing *l = user;
    l->cut = deadline() - CONTROL_WORK_MS > l->until_ms;
    if (!l->cut)
        json_array_append_new(l->runs, with_process(l->scene, info));
    return l->cut;
}

static json_t *op_list(const control_scene *s, const json_t *q)
{
    (void)q;
    aios_error err = AIOS_INIT(aios_error);
    listing l = {.scene = s, .runs = json_array(), .until_ms = deadline()};
    if (aios_run_list(s->ctx, s->store, list_one, &l, &err) < 0) {
        json_decref(l.runs);
        return failed(&err);
    }
    return json_pack("{s:b,s:o,s:b,s:I}", "ok", 1, "runs", l.runs, "cut", l.cut, "pid", (json_int_t)getpid());
}

/* ---- doing -------------------------------------------------------------------------------------------------------- */

static json_t *done(int rc, const aios_error *err)
{
    return rc ? failed(err) : json_pack("{s:b}", "ok", 1);
}

/* Of another run than the live one: what its record must be written with. */
static int hook_of(const control_scene *s, const char *run, const aios_commit_hook **hook, aios_error *err)
{
    bool has;
    int rc = cli_audit_has(s->store, run, &has, err);
    *hook = has ? s->hook : NULL;
    if (rc || !has || s->hook)
        return rc;
    err->code = AIOS_ESTATE;
    snprintf(err->msg, sizeof err->msg, "run %.64s has an audit, and the process that has the store (%ld) keeps none, as it would with --audit: ask again when it is over",
             run, (long)getpid());
    return err->code;
}

static int decide_other(const control_scene *s, const char *run, const char *word, int32_t verdict, aios_error *err)
{
    const aios_commit_hook *hook;
    int rc = hook_of(s, run, &hook, err);
    return rc ? rc : cli_run_decide(s->ctx, s->store, run, word, verdict, hook, err);
}

static int abandon_other(const control_scene *s, const char *run, aios_error *err)
{
    const aios_commit_hook *hook;
    int rc = hook_of(s, run, &hook, err);
    return rc ? rc : aios_run_abandon_with(s->ctx, s->store, run, hook, err);
}

/* Of another run of the store than the live one: as if nobody had the store. */
static json_t *op_decide(const control_scene *s, const json_t *q)
{
    aios_error err = AIOS_INIT(aios_error);
    const char *run = text_of(q, "run"), *word = text_of(q, "ask");
    int32_t verdict = !strcmp(text_of(q, "op"), "approve") ? AIOS_ALLOW : AIOS_DENY;
    if (is_live(s, run) && s->inside)
        return NULL;
    int rc = is_live(s, run) ? cli_asks_decide(s->asks, s->run, word, verdict, &err) : decide_other(s, run, word, verdict, &err);
    cli_run_meant(s->store, run, &err);
    return done(rc, &err);
}

static json_t *op_cancel(const control_scene *s, const json_t *q)
{
    aios_error err = AIOS_INIT(aios_error);
    const char *run = text_of(q, "run");
    int rc = is_live(s, run) ? aios_run_cancel(s->run) : abandon_other(s, run, &err);
    cli_run_meant(s->store, run, &err);
    return done(rc, &err);
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    json_t *(*fn)(const control_scene *s, const json_t *q);
    bool of_run;
} ops[] = {{"list", op_list, false},     {"show", op_show, true},   {"steps", op_steps, true},
           {"approve", op_decide, true}, {"deny", op_decide, true}, {"cancel", op_cancel, true}};

json_t *control_answer(const control_scene *s, const char *line, size_t n)
{
    json_t *q = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL), *out = NULL;
    const char *op = text_of(q, "op");
    size_t i = 0;
    while (op && i < sizeof ops / sizeof *ops && strcmp(ops[i].name, op))
        i++;
    if (!op)
        out = refused(AIOS_EFORMAT, "a request is a line of JSON: {\"op\":\"show\",\"run\":\"ID\"}", "");
    else if (i == sizeof ops / sizeof *ops)
        out = refused(AIOS_ENOTSUP, "this version knows no request ", op);
    else if (!s->run)
        out = refused(AIOS_EBUSY, "the run is only just being made: try again", "");
    else if (ops[i].of_run && !text_of(q, "run"))
        out = refused(AIOS_EINVAL, "a request must say which run: \"run\"", "");
    else
        out = ops[i].fn(s, q);
    json_decref(q);
    return out;
}
