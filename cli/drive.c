/* SPDX-License-Identifier: Apache-2.0 */
/* A run from its first event to its last: what is shown, who is asked, and who may ask meanwhile. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

typedef struct driving {
    const cli *c;
    aios_run *run;
    cli_control *control;
    cli_asks asks;
    cli_whole whole;
    cli_shown shown;
    bool prompted;  /* the terminal asks; what about is the ask that is shown */
    bool told_unasked;
    uint32_t n_out; /* of the last turn */
    int rc;
} driving;

/* ---- what is shown ------------------------------------------------------------------------------------------------ */

/* Of a result: its beginning, without the line ends behind it. */
static size_t shown_bytes(const aios_event *ev)
{
    size_t n = ev->n_text;
    while (n && ev->text[n - 1] == '\n')
        n--;
    return n < 400 ? n : 400;
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
        cli_put_shown(stdout, ev->text, ev->n_text);
        cli_flush();
        s->open_line = s->said = true;
        break;
    case AIOS_EVENT_DONE:
        if (!s->said && ev->n_text) { /* of a run that was over before: it has no turn, but its answer once more */
            cli_put_shown(stdout, ev->text, ev->n_text);
            putchar('\n');
        }
        break;
    case AIOS_EVENT_CALL:
        fprintf(stderr, "%scall   %s ", dim, ev->name);
        cli_put_shown(stderr, ev->text, ev->n_text);
        fprintf(stderr, "%s\n", plain);
        break;
    case AIOS_EVENT_RESULT:
        fprintf(stderr, "%sresult %s %s", dim, ev->name, ev->code ? "failed: " : "");
        cli_put_shown(stderr, ev->text, shown_bytes(ev));
        fprintf(stderr, "%s\n", plain);
        break;
    case AIOS_EVENT_STATE:
        if (ev->name && ev->n_text == 7 && !memcmp(ev->text, "handoff", 7))
            fprintf(stderr, "%shandoff to %s%s\n", dim, ev->name, plain);
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

/* Once: the result of each such call says so to the model, and is shown. */
static void tell_unasked(driving *d, const aios_event *ev)
{
    if (ev->type == AIOS_EVENT_UNKNOWN) {
        fprintf(stderr, "not repeated: %s was begun before the program stopped, and nobody knows whether it happened%s\n", ev->name,
                cli_control_able(d->c->store) ? "; with --wait, or at a terminal, you are asked" : "");
        return;
    }
    if (d->told_unasked)
        return;
    fprintf(stderr, "denied: %s %s, and there is nobody to ask: standard input is no terminal", ev->name,
            d->c->policy ? "is to be asked for by the policy" : "may change something");
    if (!d->c->policy)
        fprintf(stderr, "; --allow %s lets it run%s", ev->name, cli_control_able(d->c->store) ? ", with --wait it waits for `aios runs approve`" : "");
    fputc('\n', stderr);
    d->told_unasked = true;
}

static void tell_unanswered(const char *name, const char *call_id, const aios_error *err)
{
    const char *why = err->msg[0] ? err->msg : aios_strerror(err->code);
    fprintf(stderr, "not answered: %s (%s): %s (%s)\n", name, call_id, why, aios_code_name(err->code));
}

/* The ask that the terminal shows; NULL: none, or it has been answered elsewhere or is over. */
static cli_ask *shown_ask(const cli_asks *a)
{
    cli_ask *found = NULL;
    for (int i = 0; i < a->n && !found; i++)
        found = a->at[i].shown ? &a->at[i] : NULL;
    return found;
}

/* What was typed before it is there is no answer to it. */
static void prompt(driving *d)
{
    if (!d->asks.n || !has_terminal() || shown_ask(&d->asks))
        return;
    cli_ask *a = &d->asks.at[0];
    tcflush(STDIN_FILENO, TCIFLUSH);
    fprintf(stderr, "%s %s ", a->unknown ? "was begun before the program stopped and may have happened: again," : "run", a->name);
    cli_put_shown(stderr, a->args, strlen(a->args));
    fputs(" ? [y/N] ", stderr);
    a->shown = d->prompted = true;
}

/* Whatever it was about does not wait any more, or is asked about once more. */
static void answer(driving *d, cli_ask *a, int32_t verdict)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_run_decide(d->run, a->call_id, verdict, &err);
    if (rc)
        tell_unanswered(a->name, a->call_id, &err);
    a->shown = d->prompted = false;
    if (!rc || rc == AIOS_ENOENT)
        cli_asks_drop(&d->asks, a->call_id);
}

/* A line of the terminal is there: the answer about what it shows. */
static void take_line(driving *d)
{
    char c = 0, first = 0;
    ssize_t n;
    for (int i = 0; (n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n'; i++)
        first = i ? first : c;
    cli_ask *a = shown_ask(&d->asks);
    if (a && (n >= 0 || errno != EINTR))
        answer(d, a, n < 0 ? AIOS_UNASKED : first == 'y' || first == 'Y' ? AIOS_ALLOW : AIOS_DENY);
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
    if (!cli_put_word(&t, aios_run_id(run)) && !cli_put_word(&t, id) && !cli_put_option(&t, "store", c->store)) {
        fprintf(stderr, "waits: %s ", ev->name);
        cli_put_shown(stderr, ev->text, ev->n_text);
        fprintf(stderr, "%s\n  aios runs approve%s\n  aios runs deny%s\n",
                ev->type == AIOS_EVENT_UNKNOWN ? "  (was begun before the program stopped, and may have happened)" : "", t.p, t.p);
    }
    free(t.p);
}

/* Without a person. A call that can be neither allowed nor denied would be waited for without end. */
static void decide_alone(driving *d, const aios_event *ev, int32_t verdict)
{
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_run_decide(d->run, ev->call_id, verdict, &err);
    if (!rc)
        return;
    tell_unanswered(ev->name, ev->call_id, &err);
    if (verdict == AIOS_ALLOW && !aios_run_decide(d->run, ev->call_id, AIOS_UNASKED, &err))
        return;
    d->rc = d->rc ? d->rc : cli_exit_code(rc);
    aios_run_cancel(d->run);
}

static void take_ask(driving *d, const aios_event *ev)
{
    bool waits = d->control && d->c->wait;
    if (is_allowed(d->c, ev)) {
        decide_alone(d, ev, AIOS_ALLOW);
    } else if (!has_terminal() && !waits) {
        tell_unasked(d, ev);
        decide_alone(d, ev, AIOS_UNASKED);
    } else if (cli_asks_add(&d->asks, ev)) {
        decide_alone(d, ev, AIOS_UNASKED);
        d->rc = cli_no_memory();
    } else if (waits && !has_terminal() && !d->c->quiet && !d->c->json) {
        tell_waits(d->c, d->run, ev, ev->call_id);
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
        if (got == AIOS_AGAIN)
            wait_more(&d);
        else
            take_event(&d, ev);
        cli_control_serve(control, false);
        if (d.prompted && !shown_ask(&d.asks)) {
            fputc('\n', stderr); /* somebody else has answered, or its time is over */
            d.prompted = false;
        }
    }
    cli_control_run(control, NULL, NULL);
    cli_asks_free(&d.asks);
    cli_whole_free(&d.whole);
    return got < 0 && !d.rc ? EXIT_FAIL : d.rc;
}
