/* SPDX-License-Identifier: Apache-2.0 */
/* A run inside the host's own event loop: poll() on the run and on standard input; a line "stop" cancels. A call that the
   policy asks about is put to the user. Usage: 04_own_event_loop [MODEL [PROMPT]] */
#include <aios/aios.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int delete_file(void *user, aios_call *call)
{
    (void)user;
    return aios_call_finish(call, 0, "deleted (not really)", AIOS_CSTR);
}

/* What the run has to say now. Returns AIOS_DONE at its end; asked becomes the id of a call that waits for an answer. */
static int take_events(aios_run *run, char *asked, size_t n_asked)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_run_next(run, 0, &ev)) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT) {
            fwrite(ev->text, 1, ev->n_text, stdout);
        } else if (ev->type == AIOS_EVENT_ASK) {
            printf("[may I call %s %s? y/n]\n", ev->name, ev->text);
            snprintf(asked, n_asked, "%s", ev->call_id);
        } else if (ev->type == AIOS_EVENT_ERROR) {
            printf("\n[%s: %s]", ev->name, ev->error->msg);
        }
        fflush(stdout);
    }
    return rc;
}

static void take_input(aios_run *run, char *asked)
{
    char line[256];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0 || !strncmp(line, "stop", 4)) {
        if (n > 0)
            aios_run_cancel(run);
        else if (asked[0])
            aios_run_decide(run, asked, AIOS_DENY, NULL); /* nobody is there to ask */
    } else if (asked[0]) {
        aios_run_decide(run, asked, line[0] == 'y' ? AIOS_ALLOW : AIOS_DENY, NULL);
    }
    asked[0] = 0;
}

static void loop(aios_run *run)
{
    struct pollfd fds[2] = {{.fd = aios_run_fd(run), .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    char asked[300] = "";
    int rc = AIOS_OK;
    while (rc != AIOS_DONE) {
        fds[1].fd = asked[0] ? STDIN_FILENO : -1; /* input matters while a question is open */
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            take_input(run, asked);
        rc = take_events(run, asked, sizeof asked);
    }
    putchar('\n');
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "echo:say Let me delete that.; call delete_file {\"path\":\"a.txt\"}; result";
    const char *prompt = argc > 2 ? argv[2] : "Delete a.txt.";
    aios_error err = AIOS_INIT(aios_error);
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_tool tool = AIOS_INIT(aios_tool);
    aios_ctx *ctx = NULL;
    aios_agent *agent = NULL;
    aios_run *run = NULL;

    tool.name = "delete_file";
    tool.description = "Deletes a file.";
    tool.schema_json = "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"}},\"required\":[\"path\"]}";
    tool.effect = AIOS_EFFECT_LOCAL; /* not READ: the default policy asks */
    tool.fn = delete_file;

    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = aios_model_open(ctx, uri, NULL, &cfg.model, &err);
    if (!rc)
        rc = aios_toolset_new(ctx, &cfg.toolset, &err);
    if (!rc)
        rc = aios_toolset_add(cfg.toolset, &tool, &err);
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, &agent, &err);
    if (!rc)
        rc = aios_run_start(agent, NULL, prompt, AIOS_CSTR, &run, &err);
    if (!rc)
        loop(run);
    else
        fprintf(stderr, "%s: %s\n", uri, err.msg);
    aios_run_free(run);
    aios_agent_free(agent);
    aios_toolset_free(cfg.toolset);
    aios_model_close(cfg.model);
    aios_ctx_free(ctx);
    return rc != 0;
}
