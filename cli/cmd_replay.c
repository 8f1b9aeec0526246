/* SPDX-License-Identifier: Apache-2.0 */
/* A run told again from its journal, as `aios agent` told it. */
#include "cli.h"

typedef struct replaying {
    const cli *c;
    cli_shown shown;
} replaying;

static int show_step(void *user, const aios_run_step *s)
{
    replaying *r = user;
    for (uint32_t i = 0; i < s->n_events; i++) {
        const aios_event *ev = (const void *)((const char *)s->events + i * s->event_stride);
        if (r->c->json)
            cli_event_print(ev, true);
        else if (ev->type == AIOS_EVENT_ERROR)
            fprintf(stderr, "error: %s (%s)\n", ev->error->msg, aios_code_name(ev->error->code));
        else
            cli_show_event(r->c, ev, &r->shown);
    }
    return !cli_flush();
}

int cmd_replay(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_store *st = NULL;
    aios_error err = AIOS_INIT(aios_error);
    replaying r = {.c = c};
    if (!c->store || c->n_args != 1)
        return cli_usage("aios replay RUN --store sqlite:FILE");
    int rc = cli_ctx(c, &ctx);
    rc = rc ? rc : cli_store(c, ctx, &st, AIOS_STORE_READ_ONLY);
    if (!rc && aios_run_replay(ctx, st, c->args[0], show_step, &r, &err) < 0) {
        cli_run_meant(st, c->args[0], &err);
        rc = cli_fail_run(&err);
    }
    if (r.shown.open_line)
        putchar('\n');
    aios_store_close(st);
    aios_ctx_free(ctx);
    return rc;
}
