/* SPDX-License-Identifier: Apache-2.0 */
/* Failures: one line on standard error, or with --json one on standard output; and the exit codes. */
#include <stdarg.h>
#include <string.h>

#include "cli.h"

static bool as_json;

void cli_report_json(void)
{
    as_json = true;
}

/* What no row names is 1. */
static const struct {
    int exit_code, codes[6]; /* 0 ends them */
    const char *help;
} exits[] = {
    {EXIT_OK, {0}, "done"},
    {EXIT_FAIL, {0}, "failed, or the answer is no: a reply was cut off before its grammar's end, a value breaks its schema (validate),\n"
                     "       a grammar is wrong (grammar check), a text leaves it (grammar mask), a run is not there or its journal is damaged,\n"
                     "       a store is in use, standard output takes no more"},
    {EXIT_USAGE, {0}, "wrong usage: an option, an argument, or a file or store named by one that cannot be read or is wrong"},
    {EXIT_MODEL, {AIOS_ENOENT, AIOS_EFORMAT, AIOS_EVERSION, AIOS_ENOTSUP},
     "the model cannot be used: its file is missing, damaged, not supported, or too large for the memory"},
    {EXIT_NETWORK, {AIOS_EAUTH, AIOS_EUNAVAIL, AIOS_EPROTO, AIOS_ERATE, AIOS_EQUOTA},
     "network: the server is not reached, or takes no request now (EAUTH, EUNAVAIL, EPROTO, ERATE, EQUOTA)"},
    {EXIT_CONTEXT, {AIOS_ECONTEXT}, "the prompt is longer than the context (ECONTEXT)"},
    {EXIT_BUG, {AIOS_EINTERNAL}, "a bug of this library (EINTERNAL)"},
    {EXIT_DENIED, {AIOS_EDENIED}, "a rule forbids it: a labelled prompt may not leave the machine, or a policy says no (EDENIED)"},
    {EXIT_TIMEOUT, {AIOS_ETIMEDOUT}, "a deadline passed (ETIMEDOUT)"},
    {EXIT_INTERRUPT, {AIOS_ECANCELED}, "interrupted"},
};

static const struct {
    int code;
    const char *text;
} hints[] = {
    {AIOS_ECONTEXT, "-c N sets the context of a local model"},
};

int cli_exit_code(int code)
{
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        for (const int *p = exits[i].codes; *p; p++)
            if (*p == code)
                return exits[i].exit_code;
    return code ? EXIT_FAIL : EXIT_OK;
}

void cli_help_exits(FILE *f)
{
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++)
        fprintf(f, "  %3d  %s\n", exits[i].exit_code, exits[i].help);
}

static void print_line(const char *code, const char *what, const char *msg, const char *hint)
{
    bool color = cli_color(stderr);
    cli_bar_erase();
    fprintf(stderr, "%serror%s: %s%s%s", color ? "\x1b[31m" : "", color ? "\x1b[0m" : "", what ? what : "", what ? ": " : "", msg);
    if (hint)
        fprintf(stderr, "; %s", hint);
    if (code)
        fprintf(stderr, " (%s)", code);
    fputc('\n', stderr);
}

json_t *cli_error_json(const aios_error *err)
{
    const char *msg = err->msg[0] ? err->msg : aios_strerror(err->code);
    return json_pack("{s:s,s:o,s:I,s:I}", "code", aios_code_name(err->code), "message", cli_json_text(msg, strlen(msg)),
                     "have", (json_int_t)err->have, "need", (json_int_t)err->need);
}

static void print_json(const char *what, const aios_error *err, const char *hint)
{
    json_t *o = json_pack("{s:s,s:b,s:o}", "type", "error", "ok", 0, "error", cli_error_json(err));
    if (what)
        json_object_set_new(o, "what", cli_json_text(what, strlen(what)));
    if (hint)
        json_object_set_new(o, "hint", json_string(hint));
    cli_print_json(o);
}

int cli_fail(const char *what, const aios_error *err)
{
    const char *hint = NULL;
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        hint = hints[i].code == err->code ? hints[i].text : hint;
    if (as_json)
        print_json(what, err, hint);
    else
        print_line(aios_code_name(err->code), what, err->msg[0] ? err->msg : aios_strerror(err->code), hint);
    return cli_exit_code(err->code);
}

int cli_fail_run(const aios_error *err)
{
    int rc = cli_fail(NULL, err);
    return rc == EXIT_MODEL ? EXIT_FAIL : rc;
}

int cli_fail_named(const aios_error *err)
{
    int rc = cli_fail(NULL, err);
    return rc == EXIT_MODEL || err->code == AIOS_EINVAL ? EXIT_USAGE : rc;
}

int cli_usage(const char *fmt, ...)
{
    aios_error err = AIOS_INIT(aios_error);
    va_list ap;
    va_start(ap, fmt);
    err.code = AIOS_EINVAL;
    vsnprintf(err.msg, sizeof err.msg, fmt, ap);
    va_end(ap);
    if (as_json)
        print_json(NULL, &err, NULL);
    else
        print_line(NULL, NULL, err.msg, NULL);
    return EXIT_USAGE;
}

int cli_no_memory(void)
{
    aios_error err = AIOS_INIT(aios_error);
    err.code = AIOS_ENOMEM;
    return cli_fail(NULL, &err);
}

int cli_cut_off(uint32_t n_out, uint32_t limit, bool bound)
{
    aios_error err = AIOS_INIT(aios_error);
    const char *raise = n_out < limit ? "the context is full, raise -c" : "raise -n";
    err.code = AIOS_ELIMIT;
    snprintf(err.msg, sizeof err.msg, "cut off after %u tokens before the value was complete: %s", n_out, raise);
    if (bound)
        return cli_fail(NULL, &err);
    if (!as_json)
        fprintf(stderr, "note: the reply was cut off after %u tokens: %s\n", n_out, raise);
    return EXIT_OK;
}
