/* SPDX-License-Identifier: Apache-2.0 */
/* One prompt, the reply as it comes. Usage: 01_hello [MODEL [PROMPT]], e.g. 01_hello gguf:model.gguf "Say hi." */
#include <aios/aios.h>
#include <stdio.h>

static int fail(const char *what, const aios_error *err)
{
    fprintf(stderr, "%s: %s (%s)\n", what, err->msg, aios_code_name(err->code));
    return 1;
}

/* Starts a turn over the transcript and prints its text. */
static int turn(aios_session *s, const aios_transcript *t, aios_error *err)
{
    aios_request req = AIOS_INIT(aios_request);
    req.transcript = t;
    req.max_tokens = 200;
    int rc = aios_session_start(s, &req, err);
    const aios_event *ev;
    while (!rc && !(rc = aios_session_next(s, -1, &ev))) {
        if (ev->type == AIOS_EVENT_TEXT) {
            fwrite(ev->text, 1, ev->n_text, stdout);
            fflush(stdout);
        } else if (ev->type == AIOS_EVENT_USAGE) {
            fprintf(stderr, "[%u tokens in, %u out]\n", ev->usage->input, ev->usage->output);
        } else if (ev->type == AIOS_EVENT_ERROR) {
            *err = *ev->error;
            return err->code;
        }
    }
    putchar('\n');
    return rc == AIOS_DONE ? 0 : rc;
}

int main(int argc, char **argv)
{
    const char *uri = argc > 1 ? argv[1] : "echo:";
    const char *prompt = argc > 2 ? argv[2] : "Hello!";
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    aios_model *model = NULL;
    aios_session *session = NULL;
    aios_transcript *t = NULL;
    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = aios_model_open(ctx, uri, NULL, &model, &err);
    if (!rc)
        rc = aios_session_new(model, NULL, &session, &err);
    if (!rc)
        rc = aios_transcript_new(ctx, &t, &err);
    if (!rc)
        rc = aios_transcript_add_text(t, AIOS_ROLE_USER, prompt, AIOS_CSTR, &err);
    if (!rc)
        rc = turn(session, t, &err);
    if (rc)
        fail(uri, &err);
    /* Any order of freeing is fine, and NULL too. */
    aios_ctx_free(ctx);
    aios_model_close(model);
    aios_session_free(session);
    aios_transcript_free(t);
    return rc != 0;
}
