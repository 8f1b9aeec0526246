/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a run that wait for a decision, by whatever way it comes. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void free_ask(cli_ask *a)
{
    free(a->call_id);
    free(a->digest);
    free(a->name);
    free(a->args);
}

static char *copy(const char *s, size_t n)
{
    char *p = malloc(n + 1);
    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

int cli_asks_add(cli_asks *a, const aios_event *ev)
{
    if (a->n == a->cap) {
        int cap = a->cap ? a->cap * 2 : 4;
        cli_ask *p = realloc(a->at, (size_t)cap * sizeof *p);
        if (!p)
            return AIOS_ENOMEM;
        a->at = p;
        a->cap = cap;
    }
    const char *digest = ev->digest ? ev->digest : "";
    cli_ask ask = {.call_id = copy(ev->call_id, strlen(ev->call_id)),
                   .digest = copy(digest, strlen(digest)),
                   .name = copy(ev->name, strlen(ev->name)),
                   .args = copy(ev->text, ev->n_text),
                   .unknown = ev->type == AIOS_EVENT_UNKNOWN};
    if (!ask.call_id || !ask.digest || !ask.name || !ask.args) {
        free_ask(&ask);
        return AIOS_ENOMEM;
    }
    a->at[a->n++] = ask;
    return AIOS_OK;
}

static void drop_at(cli_asks *a, int i)
{
    free_ask(&a->at[i]);
    memmove(a->at + i, a->at + i + 1, (size_t)(--a->n - i) * sizeof *a->at);
}

void cli_asks_drop(cli_asks *a, const char *call_id)
{
    for (int i = 0; i < a->n; i++)
        if (!strcmp(a->at[i].call_id, call_id)) {
            drop_at(a, i);
            return;
        }
}

void cli_asks_free(cli_asks *a)
{
    while (a->n)
        drop_at(a, a->n - 1);
    free(a->at);
    a->at = NULL;
}

static bool means(const cli_ask *a, const char *word)
{
    size_t n = strlen(word);
    return !strcmp(a->call_id, word) || (n >= CLI_DIGEST_PREFIX && !strncmp(a->digest, word, n));
}

static int fail(aios_error *err, int code, const char *what, const char *word)
{
    err->code = code;
    snprintf(err->msg, sizeof err->msg, "%s%.80s%s", what, word ? word : "", word ? "\"" : "");
    return code;
}

/* The one that word names: a call id, a digest or its beginning; without a word the only one there is. */
static int find(const cli_asks *a, const char *word, int *at, aios_error *err)
{
    int n = 0;
    for (int i = 0; i < a->n; i++)
        if (!word || means(&a->at[i], word)) {
            *at = i;
            n++;
        }
    if (n == 1)
        return AIOS_OK;
    if (n)
        return fail(err, AIOS_EINVAL,
                    word ? "several calls that wait are meant by \"" : "several calls wait: say which, by its id or digest (aios runs show)",
                    word);
    return fail(err, AIOS_ENOENT, word ? "no call that waits has the id or digest \"" : "no call waits for a decision", word);
}

int cli_asks_decide(cli_asks *a, aios_run *run, const char *word, int32_t verdict, aios_error *err)
{
    int i = 0, rc = find(a, word, &i, err);
    if (rc)
        return rc;
    const cli_ask *ask = &a->at[i];
    bool by_digest = *ask->digest && (!word || strcmp(word, ask->call_id) != 0);
    rc = by_digest ? aios_run_decide_digest(run, ask->digest, verdict, err) : aios_run_decide(run, ask->call_id, verdict, err);
    if (!rc)
        drop_at(a, i);
    return rc;
}

json_t *cli_asks_json(const cli_asks *a)
{
    json_t *list = json_array();
    for (int i = 0; i < a->n; i++) {
        const cli_ask *k = &a->at[i];
        json_t *args = json_loads(k->args, JSON_DECODE_ANY, NULL);
        json_t *o = json_pack("{s:s,s:s,s:o}", "call_id", k->call_id, "name", k->name, "arguments",
                              args ? args : cli_json_text(k->args, strlen(k->args)));
        if (*k->digest)
            json_object_set_new(o, "digest", json_string(k->digest));
        if (k->unknown)
            json_object_set_new(o, "unknown", json_true());
        json_array_append_new(list, o);
    }
    return list;
}
