/* SPDX-License-Identifier: Apache-2.0 */
/* A writer and an evaluator: the evaluator answers under a schema, and what it finds is the writer's next prompt, until it is content or three
   rounds are over. Both keep their conversations. Usage: 10_evaluator [WRITER_MODEL [EVALUATOR_MODEL [TASK]]] */
#include <aios/aios.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3 };

/* An agent that goes on with one conversation, and its last answer. */
typedef struct role {
    aios_agent *agent;
    aios_transcript *talk;
    char answer[2048];
} role;

static int open_role(aios_ctx *ctx, const char *uri, const char *instructions, const char *schema, role *r, aios_error *err)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    cfg.instructions = instructions;
    cfg.schema_json = schema;
    int rc = aios_model_open(ctx, uri, NULL, &cfg.model, err);
    if (!rc)
        rc = aios_agent_new(ctx, &cfg, &r->agent, err);
    if (!rc)
        rc = aios_transcript_new(ctx, &r->talk, err);
    aios_model_close(cfg.model);
    return rc;
}

static void close_role(role *r)
{
    aios_transcript_free(r->talk);
    aios_agent_free(r->agent);
}

static int ask(role *r, const char *prompt, aios_error *err)
{
    const aios_event *ev;
    aios_run *run;
    int rc = aios_run_start(r->agent, r->talk, prompt, AIOS_CSTR, &run, err), result = AIOS_OK;
    if (rc)
        return rc;
    while ((rc = aios_run_next(run, -1, &ev)) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_DONE)
            snprintf(r->answer, sizeof r->answer, "%s", ev->text);
        if (ev->type == AIOS_EVENT_ERROR) {
            *err = *ev->error;
            result = ev->error->code;
        }
    }
    aios_run_free(run);
    return rc < 0 ? rc : result;
}

/* The schema leaves two ways to begin. */
static int is_good(const char *verdict)
{
    return strstr(verdict, "true") != NULL;
}

static int improve(role *writer, role *evaluator, const char *task, aios_error *err)
{
    char prompt[4200];
    int rc = ask(writer, task, err);
    for (int i = 0; i < ROUNDS && !rc; i++) {
        printf("draft: %s\n", writer->answer);
        snprintf(prompt, sizeof prompt, "Task: %.1000s\nDraft: %s\nIs it good?", task, writer->answer);
        rc = ask(evaluator, prompt, err);
        if (rc)
            break;
        printf("verdict: %s\n", evaluator->answer);
        if (is_good(evaluator->answer))
            return AIOS_OK;
        snprintf(prompt, sizeof prompt, "An editor says: %s\nWrite it again.", evaluator->answer);
        rc = i + 1 < ROUNDS ? ask(writer, prompt, err) : AIOS_OK;
    }
    return rc;
}

int main(int argc, char **argv)
{
    const char *writer_uri = argc > 1 ? argv[1] : "echo:say It works.; turn; say It reads a file, and says how many words it has.";
    const char *evaluator_uri = argc > 2 ? argv[2]
                                         : "echo:say {\"good\": false, \"why\": \"what does it do?\"}; turn; say {\"good\": true, \"why\": \"clear\"}";
    const char *task = argc > 3 ? argv[3] : "Describe the program wc in one sentence.";
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"good\":{\"type\":\"boolean\"},\"why\":{\"type\":\"string\",\"maxLength\":80}},"
                                 "\"required\":[\"good\",\"why\"],\"additionalProperties\":false}";
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    role writer = {0}, evaluator = {0};
    int rc = aios_ctx_new(NULL, &ctx, &err);
    if (!rc)
        rc = open_role(ctx, writer_uri, "You write short and clear.", NULL, &writer, &err);
    if (!rc)
        rc = open_role(ctx, evaluator_uri, "You are a strict editor.", schema, &evaluator, &err);
    if (!rc)
        rc = improve(&writer, &evaluator, task, &err);
    if (rc)
        fprintf(stderr, "%s (%s)\n", err.msg, aios_code_name(rc));
    close_role(&writer);
    close_role(&evaluator);
    aios_ctx_free(ctx);
    return rc != 0;
}
