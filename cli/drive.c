/* SPDX-License-Identifier: Apache-2.0 */
/* A run from its first event to its last: what is shown, who is asked, and who may ask meanwhile. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct driving {
    const cli *c;
    aios_run *run;
    cli_control *control;
    cli_asks asks;
    cli_whole whole;
    cli_shown shown;
    bool prompted;  /* the terminal shows the first of the asks */
    uint32_t n_out; /* of the last turn */
    int rc;
} driving;

/* ---- what is shown ------------------------------------------------------------------------------------------------ */

/* Of a result: its beginning, without the line ends behind it. */
static int shown_bytes(const aios_event *ev)
{
    size_t n = ev->n_text;
    while (n && ev->text[n - 1] == '\n')
        n--;
    return (int)(n < 400 ? n : 400);
}

void cli_show_event(const cli *c, const aios_event *ev, cli_shown *s)
{
    bool color = cli_color(stderr);
    const char *dim = color ? "\x1b[2m" : "", *plain = color ? "\x1b[0m" : "";
    if (s->open_line && ev->type != AIOS_EVENT_TEXT) {
        putchar('\n');
        cli_flush();
        s->open_line = false;
    }
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
        fwrite(ev->text, 1, ev->n_text, stdout);
        cli_flush();
        s->open_line = true;
        break;
    case AIOS_EVENT_CALL:
        fprintf(stderr, "%scall   %s %.*s%s\n", dim, ev->name, (int)ev->n_text, ev->text, plain);
        break;
    case AIOS_EVENT_RESULT:
        fprintf(stderr, "%sresult %s %s%.*s%s\n", dim, ev->name, ev->code ? "failed: " : "", shown_bytes(ev), ev->text, plain);
        break;
    case AIOS_EVENT_CONTEXT:
        fprintf(stderr, "%scontext was full: %s%s\n", dim, ev->name, plain);
        break;
    case AIOS_EVENT_USAGE:
        cli_stats(c, ev->usage);
        break;
    case AIOS_EVENT_ERROR:
        if (!cli_interrupted() && cli_flush())
            cli_fail(NULL, ev->error);
        if (ev->error->code == AIOS_ELIMIT && !c->store)
            fputs("hint: with --store sqlite:FILE a run that came to a limit can go on with a larger one\n", stderr);
        break;
    default:
        break;
    }
}

/* ---- who is asked ------------------------------------------------------------------------------------------------- */

static bool has_terminal(void)
{
    return isatty(STDIN_FILENO);
}

static void tell_denied(const cli *c, const aios_event *ev)
{
    if (ev->type == AIOS_EVENT_UNKNOWN)
        fprintf(stderr, "not repeated: %s was begun before the program stopped, and nobody knows whether it happened%s\n", ev->name,
                cli_control_able(c->store) ? "; with --wait, or at a terminal, you are asked" : "");
    else if (c->policy)
        fprintf(stderr, "denied: the policy asks about %s, and there is no terminal to ask at\n", ev->name);
    else
        fprintf(stderr, "denied: %s may change something; --allow %s lets it run\n", ev->name, ev->name);
}

static void prompt(driving *d)
{
    if (d->prompted || !d->asks.n || !has_terminal())
        return;
    const cli_ask *a = &d->asks.at[0];
    fprintf(stderr, "%s %s %s ? [y/N] ", a->unknown ? "was begun before the program stopped and may have happened: again," : "run", a->name,
            a->args);
    d->prompted = true;
}

/* A line of the terminal is there: the answer about the first. */
static void take_line(driving *d)
{
    char c = 0, first = 0;
    ssize_t n;
    for (int i = 0; (n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n'; i++)
        first = i ? first : c;
    if (n < 0 && errno == EINTR)
        return;
    d->prompted = false;
    if (d->asks.n)
        cli_asks_decide(&d->asks, d->run, d->asks.at[0].call_id, first == 'y' || first == 'Y' ? AIOS_ALLOW : AIOS_DENY, NULL);
}

/* A call that was asked about by an earlier process, and is allowed on the command line of this one. */
static bool is_allowed(const cli *c, const aios_event *ev)
{
    bool allowed = false;
    for (int i = 0; i < c->allow.n && ev->type == AIOS_EVENT_ASK; i++)
        allowed = allowed || !strcmp(c->allow.at[i], ev->name);
    return allowed;
}

/* A call that waits for `aios runs`: a line to paste, though it comes from another terminal. */
static void tell_waits(const cli *c, const aios_run *run, const aios_event *ev, const char *id)
{
    cli_text t = {0};
    if (!cli_put_word(&t, aios_run_id(run)) && !cli_put_word(&t, id) && !cli_put_option(&t, "store", c->store))
        fprintf(stderr, "waits: %s %.*s%s\n  aios runs approve%s\n  aios runs deny%s\n", ev->name, (int)ev->n_text, ev->text,
                ev->type == AIOS_EVENT_UNKNOWN ? "  (was begun before the program stopped, and may have happened)" : "", t.p, t.p);
    free(t.p);
}

static void take_ask(driving *d, const aios_event *ev)
{
    char id[128];
    bool waits = d->control && d->c->wait;
    snprintf(id, sizeof id, "%s", ev->call_id);
    if (is_allowed(d->c, ev)) {
        aios_run_decide(d->run, id, AIOS_ALLOW, NULL);
        return;
    }
    if (!has_terminal() && !waits) {
        tell_denied(d->c, ev);
        aios_run_decide(d->run, id, AIOS_DENY, NULL);
        return;
    }
    if (cli_asks_add(&d->asks, ev)) {
        aios_run_decide(d->run, id, AIOS_DENY, NULL);
        d->rc = cli_no_memory();
    } else if (waits && !has_terminal() && !d->c->quiet && !d->c->json) {
        tell_waits(d->c, d->run, ev, id);
    }
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static void take_event(driving *d, const aios_event *ev)
{
    const cli *c = d->c;
    if (d->asks.n && ev->type == AIOS_EVENT_RESULT)
        cli_asks_drop(&d->asks, ev->call_id);
    if (c->whole && cli_whole_event(&d->whole, ev))
        d->rc = cli_no_memory();
    else if (c->json && !c->whole)
        cli_event_print(ev, false);
    else if (!c->json)
        cli_show_event(c, ev, &d->shown);
    if (!cli_flush() && !d->rc) {
        d->rc = EXIT_FAIL; /* nobody reads on */
        aios_run_cancel(d->run);
    }
    if (ev->type == AIOS_EVENT_ERROR)
        d->rc = d->rc ? d->rc : cli_exit_code(ev->error->code);
    if (ev->type == AIOS_EVENT_USAGE)
        d->n_out = ev->usage->output;
    if (ev->type == AIOS_EVENT_DONE && ev->name && !strcmp(ev->name, "length"))
        d->rc = cli_cut_off(d->n_out, c->n_predict ? (uint32_t)c->n_predict : CLI_MAX_TOKENS, c->schema);
    if (ev->type == AIOS_EVENT_ASK || ev->type == AIOS_EVENT_UNKNOWN)
        take_ask(d, ev);
}

/* The run has nothing to do now: waits for it, for the terminal, and for those who ask. */
static void wait_more(driving *d)
{
    struct pollfd p[2 + CLI_CONTROL_FDS] = {{.fd = aios_run_fd(d->run), .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int timeout_ms = p[0].fd < 0 ? 50 : -1;
    prompt(d);
    if (d->prompted)
        p[1].fd = STDIN_FILENO;
    int n = 2 + cli_control_poll(d->control, p + 2, &timeout_ms);
    if (poll(p, (nfds_t)n, timeout_ms) > 0 && p[1].revents)
        take_line(d);
}

int cli_drive(const cli *c, aios_run *run, cli_control *control)
{
    driving d = {.c = c, .run = run, .control = control};
    const aios_event *ev;
    int got;
    cli_control_run(control, run, &d.asks);
    while ((got = aios_run_next(run, control || d.asks.n ? 0 : -1, &ev)) == AIOS_OK || got == AIOS_AGAIN) {
        int asks = d.asks.n;
        if (got == AIOS_AGAIN)
            wait_more(&d);
        else
            take_event(&d, ev);
        cli_control_serve(control, false);
        if (d.prompted && d.asks.n < asks) {
            fputc('\n', stderr); /* somebody else has answered */
            d.prompted = false;
        }
    }
    cli_control_run(control, NULL, NULL);
    cli_asks_free(&d.asks);
    cli_whole_free(&d.whole);
    return got < 0 && !d.rc ? EXIT_FAIL : d.rc;
}
