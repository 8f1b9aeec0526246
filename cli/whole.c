/* SPDX-License-Identifier: Apache-2.0 */
/* Events as a journal has them: texts whole, without what it does not keep. A live run and its replay print the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool is_state(const aios_event *ev, const char *name)
{
    return ev->type == AIOS_EVENT_STATE && ev->n_text == strlen(name) && !memcmp(ev->text, name, ev->n_text);
}

static void print_text(int32_t type, uint32_t step, const cli_text *t)
{
    aios_event ev = AIOS_INIT(aios_event);
    if (!t->n)
        return;
    ev.type = type;
    ev.step = step;
    ev.text = t->p;
    ev.n_text = t->n;
    cli_event_print(&ev, true);
}

/* The turn is over and counts. */
static void flush_turn(cli_whole *w)
{
    aios_event ev = AIOS_INIT(aios_event);
    if (!w->open)
        return;
    ev.type = AIOS_EVENT_STATE;
    ev.step = w->step;
    ev.text = "model";
    ev.n_text = 5;
    cli_event_print(&ev, true);
    print_text(AIOS_EVENT_REASONING, w->step, &w->reasoning);
    print_text(AIOS_EVENT_TEXT, w->step, &w->text);
    w->open = false;
}

static void begin_turn(cli_whole *w, const aios_event *ev)
{
    w->open = true;
    w->step = ev->step;
    w->attempt = ev->attempt;
    w->text.n = w->reasoning.n = 0;
}

int cli_whole_event(cli_whole *w, const aios_event *ev)
{
    switch (ev->type) {
    case AIOS_EVENT_TEXT:
    case AIOS_EVENT_REASONING:
        if (ev->attempt != w->attempt) /* what came before is void */
            begin_turn(w, ev);
        return cli_gather(ev->type == AIOS_EVENT_TEXT ? &w->text : &w->reasoning, ev->text, ev->n_text);
    case AIOS_EVENT_STATE:
        if (!is_state(ev, "model") && !is_state(ev, "context"))
            break;
        begin_turn(w, ev);
        w->open = is_state(ev, "model"); /* of a summary the journal has what it says, no more */
        return AIOS_OK;
    case AIOS_EVENT_CALL:
    case AIOS_EVENT_ASK:
    case AIOS_EVENT_RESULT:
    case AIOS_EVENT_DONE:
        break;
    case AIOS_EVENT_ERROR:
    case AIOS_EVENT_CONTEXT:
        w->open = false; /* a turn that was cut: the journal does not have it */
        break;
    default:
        return AIOS_OK;
    }
    flush_turn(w);
    cli_event_print(ev, true);
    return AIOS_OK;
}

void cli_whole_free(cli_whole *w)
{
    free(w->text.p);
    free(w->reasoning.p);
}
