/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided about a run that no process drives: it is written down, and counts when the run goes on. */
#include <string.h>

#include "cli.h"

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static bool means(const json_t *w, const char *word)
{
    size_t n = strlen(word);
    return !strcmp(text_of(w, "call_id"), word) || (n >= CLI_DIGEST_PREFIX && !strncmp(text_of(w, "digest"), word, n));
}

/* By its call's id, its digest or 8 digits of it; without a word the only one there is. NULL: *n are meant. */
static const json_t *find_wait(const json_t *waits, const char *word, int *n)
{
    const json_t *found = NULL;
    size_t i;
    json_t *w;
    *n = 0;
    json_array_foreach(waits, i, w)
        if (!word || means(w, word)) {
            found = w;
            ++*n;
        }
    return *n == 1 ? found : NULL;
}

static void tell_none(const char *run, const char *word, int n, aios_error *err)
{
    err->code = n ? AIOS_EINVAL : AIOS_ENOENT;
    snprintf(err->msg, sizeof err->msg, "run %.64s: %s%s%.80s", run,
             n ? "several calls wait: say which, by its id or digest (aios runs show)" : "no call waits for a decision", word ? ", of " : "",
             word ? word : "");
}

/* Without a digest a call is told by its id, which is of one run's calls alone. */
static void tell_below(const char *run, const char *top, aios_error *err)
{
    err->code = AIOS_ESTATE;
    snprintf(err->msg, sizeof err->msg, "run %.64s is a call of run %.64s: decide by that one's id", run, top);
}

/* The run that a host has where this one is a call of an agent: decisions go by its id. */
static void find_top(aios_ctx *ctx, aios_store *st, const char *run, char top[72])
{
    enum { MAX_LEVELS = 64 };
    aios_run_info info = AIOS_INIT(aios_run_info);
    snprintf(top, 72, "%s", run);
    for (int i = 0; i < MAX_LEVELS && !aios_run_info_get(ctx, st, top, &info, NULL) && *info.parent; i++)
        snprintf(top, 72, "%s", info.parent);
}

int cli_run_decide(aios_ctx *ctx, aios_store *st, const char *run, const char *word, int32_t verdict, const aios_commit_hook *hook,
                   aios_error *err)
{
    int n;
    char top[72];
    json_t *waits = cli_run_waits(ctx, st, run, NULL, err);
    if (!waits)
        return err->code;
    const json_t *w = find_wait(waits, word, &n);
    find_top(ctx, st, run, top);
    if (w && strcmp(run, top) && !*text_of(w, "digest"))
        tell_below(run, top, err);
    else if (w)
        aios_run_approve_with(ctx, st, top, *text_of(w, "digest") ? text_of(w, "digest") : text_of(w, "call_id"), verdict, hook, err);
    else
        tell_none(run, word, n, err);
    json_decref(waits);
    return err->code;
}
