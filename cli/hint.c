/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines with which a run goes on: whole, for a person to read and then to paste. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define DEFAULT_TIMEOUT 600 /* seconds: limits.timeout_ns */

/* The end of a word of a shell that begins at p. */
static char *word_end(char *p)
{
    for (bool quoted = false; *p && (quoted || *p != ' '); p++) {
        if (*p == '\'')
            quoted = !quoted;
        else if (*p == '\\' && !quoted && p[1])
            p++;
    }
    return p;
}

/* Takes an option and its number out of a line of them: the number, 0: it is not there. Values that begin with - are quoted. */
static double take_number(cli_text *line, const char *name)
{
    double value = 0;
    for (char *at = line->p, *word, *end; at && *at; at = end) {
        word = at + strspn(at, " ");
        end = word_end(word);
        if (strncmp(word, "--", 2) || (size_t)(end - word) != strlen(name) + 2 || strncmp(word + 2, name, strlen(name)))
            continue;
        char *from = end + strspn(end, " "), *to = word_end(from);
        value = strtod(from, NULL);
        memmove(at, to, strlen(to) + 1);
        line->n = strlen(line->p);
        end = at;
    }
    return value > 0 ? value : 0;
}

static bool has_option(const cli_text *line, const char *name)
{
    cli_text copy = {0};
    bool there = !cli_gather(&copy, line->p ? line->p : "", line->n) && (take_number(&copy, name), copy.n < line->n);
    free(copy.p);
    return there;
}

/* How much of a limit, by the name of its option, a run has used. 0: it is no limit. */
static double used_of(const aios_run_info *i, const char *name)
{
    const struct {
        const char *name;
        double used;
    } rows[] = {{"max-turns", i->n_turns},
                {"max-calls", i->n_calls},
                {"max-tokens", (double)i->n_tokens},
                {"max-cost", (double)i->cost_micros / 1e6},
                {"timeout", (double)i->used_ns / 1e9},
                {"predict", 1}}; /* of a turn, which nobody counts: what was given, or the default */
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        if (!strcmp(rows[k].name, name))
            return rows[k].used;
    return 0;
}

/* The option of the limit that ended a run: the failure names it; a turn that had no time left does not. */
static bool name_limit(const aios_run_info *info, char name[32])
{
    static const char mark[] = "the command: --";
    const char *at = strstr(info->msg, mark), *turn = strstr(info->msg, "the command: -n");
    if (info->state != AIOS_RUN_STOPPED || (info->code != AIOS_ELIMIT && info->code != AIOS_ETIMEDOUT))
        return false;
    at = at ? at + sizeof mark - 1 : turn ? "predict" : info->code == AIOS_ETIMEDOUT ? "timeout" : "";
    snprintf(name, 32, "%.*s", (int)strspn(at, "abcdefghijklmnopqrstuvwxyz-"), at);
    return true;
}

/* Of the limit that ended a run twice as much: with the same one it would end again at once. */
static int raise_limit(const aios_run_info *info, cli_text *options)
{
    char name[32], number[32];
    if (!name_limit(info, name))
        return AIOS_OK;
    double used = used_of(info, name), was = used > 0 ? take_number(options, name) : 0;
    if (!strcmp(name, "predict") && was == 0)
        was = CLI_MAX_TOKENS;
    double more = 2 * (used > was ? used : was), least = was > 0 ? was : DEFAULT_TIMEOUT;
    if (!strcmp(name, "timeout") && used < 0.99 * least)
        more = was; /* it was a deadline of something else */
    snprintf(number, sizeof number, "%.*f", strcmp(name, "max-cost") ? 0 : 6, strcmp(name, "max-cost") ? ceil(more) : more);
    return more > 0 ? cli_put_option(options, name, number) : AIOS_OK;
}

int cli_resume_line(const aios_run_info *info, const char *store, const cli_text *options, cli_text *out)
{
    cli_text rest = {0};
    int rc = cli_gather(&rest, options->p ? options->p : "", options->n);
    rc = rc ? rc : raise_limit(info, &rest);
    if (!rc && info->state == AIOS_RUN_STOPPED && info->code == AIOS_ECONTEXT && !has_option(&rest, "compact"))
        rc = cli_put_option(&rest, "compact", "drop");
    rc = rc ? rc : cli_gather(out, "aios runs resume", 16);
    rc = rc ? rc : cli_put_word(out, info->id);
    rc = rc ? rc : cli_put_option(out, "store", store);
    rc = rc ? rc : cli_gather(out, rest.p, rest.n);
    free(rest.p);
    return rc;
}

static void print_hint(const cli *c, aios_ctx *ctx, aios_store *st, const char *id, const char *what, const cli_text *options)
{
    aios_run_info info = AIOS_INIT(aios_run_info);
    cli_text line = {0};
    if (!aios_run_info_get(ctx, st, id, &info, NULL) && info.state != AIOS_RUN_DONE && info.state != AIOS_RUN_DAMAGED &&
        !cli_resume_line(&info, c->store, options, &line))
        fprintf(stderr, "hint: %s: %s\n", what, line.p);
    free(line.p);
}

void cli_hint_stopped(const cli *c, aios_ctx *ctx, aios_store *st, const char *id)
{
    cli_text options = {0};
    if (!c->quiet && !c->json && !cli_options_text(c, &options) && !(c->wait && cli_put_option(&options, "wait", NULL)))
        print_hint(c, ctx, st, id, "the run is kept, and goes on with", &options);
    free(options.p);
}

void cli_hint_begun(const cli *c, aios_ctx *ctx, aios_store *st, const char *id)
{
    cli_text options = {0};
    if (!c->quiet && !c->json && cli_kept_options(st, id, &options))
        print_hint(c, ctx, st, id, "it was begun with what this has", &options);
    free(options.p);
}
