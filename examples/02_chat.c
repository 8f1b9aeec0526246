/* SPDX-License-Identifier: Apache-2.0 */
/* A conversation on standard input, one line a turn. Usage: 02_chat [MODEL] */
#include <aios/aios.h>
#include <stdio.h>
#include <string.h>

/* One run of the agent over the conversation so far. */
static int say(aios_agent *agent, aios_transcript *t, const char *line, aios_error *err)
{
    aios_run *run;
    const aios_event *ev;
    int rc = aios_run_start(agent, t, line, AIOS_CSTR, &run, err), result = 0;
    if (rc)
        return rc;
    while (aios_run_next(run, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT) {
            fwrite(ev->text, 1, ev->n_text, stdout);
            fflush(stdout);
        } else if (ev->type == AIOS_EVENT_ERROR) {
            *err = *ev->error;
            result = err->code;
        }
    }
    putchar('\n');
    aios_run_free(run);
    return result;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "echo:";
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_ctx *ctx = NULL;
    aios_agent *agent = NULL;
    aios_transcript *t = NULL;
    char line[4096];
    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = aios_model_open(ctx, uri, NULL, &cfg.model, &err);
    cfg.instructions = "You are a helpful assistant. Answer briefly.";
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, &agent, &err);
    if (!rc)
        rc = aios_transcript_new(ctx, &t, &err);
    while (!rc && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = 0;
        if (!line[0])
            continue;
        rc = say(agent, t, line, &err);
        if (rc == AIOS_ECONTEXT) { /* both numbers are told; forget the oldest turns, keep the instructions */
            fprintf(stderr, "[the conversation has %llu tokens, the model holds %llu: starting anew]\n", (unsigned long long)err.need,
                    (unsigned long long)err.have);
            rc = aios_transcript_truncate(t, 0, &err);
        }
    }
    if (rc)
        fprintf(stderr, "%s: %s\n", uri, err.msg);
    aios_transcript_free(t);
    aios_agent_free(agent);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
    return rc != 0;
}
