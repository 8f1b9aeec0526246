/* SPDX-License-Identifier: Apache-2.0 */
/* run and chat: turns of one session. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct turn {
    const cli *c;
    aios_session *s;
    bool bound;      /**< by a grammar */
    bool open, cut;  /**< the line; the reply, by a limit */
    uint32_t attempt;
    aios_usage usage;
    char *reply;     /**< malloc'd, once it is whole */
    int rc;          /**< exit code */
} turn;

static void end_line(turn *t)
{
    if (t->open)
        putchar('\n'), cli_flush();
    t->open = false;
}

static void fail_turn(turn *t, const aios_error *err)
{
    end_line(t);
    t->rc = t->rc ? t->rc : t->c->json || cli_interrupted() ? cli_exit_code(err->code) : cli_fail(NULL, err);
}

/* What stands on the line is void. */
static void begin_again(turn *t, uint32_t attempt)
{
    t->attempt = attempt;
    if (!t->open)
        return;
    end_line(t);
    fputs("note: that reply broke off, it begins again\n", stderr);
}

static void take_event(turn *t, const aios_event *ev)
{
    if (ev->attempt != t->attempt)
        begin_again(t, ev->attempt);
    if (t->c->json)
        cli_event_print(ev, false);
    else if (ev->type == AIOS_EVENT_TEXT)
        t->open = true, cli_put_shown(stdout, ev->text, ev->n_text);
    if (!cli_flush() && !t->rc) {
        t->rc = EXIT_FAIL; /* nobody reads on */
        aios_session_cancel(t->s);
    }
    if (ev->type == AIOS_EVENT_USAGE)
        t->usage = *ev->usage;
    else if (ev->type == AIOS_EVENT_ERROR)
        fail_turn(t, ev->error);
    if (ev->type != AIOS_EVENT_DONE)
        return;
    t->cut = ev->name && !strcmp(ev->name, "length");
    t->reply = strndup(ev->text ? ev->text : "", ev->n_text);
    t->open = !t->c->json; /* an empty reply is a line too */
}

/* Streams one turn. */
static int stream_turn(turn *t, const aios_request *req)
{
    aios_error err = AIOS_INIT(aios_error);
    const aios_event *ev;
    int got;
    if (aios_session_start(t->s, req, &err))
        return cli_fail(NULL, &err);
    while ((got = aios_session_next(t->s, -1, &ev)) == AIOS_OK || got == AIOS_AGAIN)
        if (got == AIOS_OK)
            take_event(t, ev);
    end_line(t);
    if (t->usage.struct_size && !t->c->json)
        cli_stats(t->c, &t->usage);
    if (t->cut && !t->rc && (t->bound || !t->c->n_predict))
        t->rc = cli_cut_off(t->usage.output, req->max_tokens, t->bound);
    if (got < 0 && !t->rc) {
        err.code = got;
        t->rc = cli_fail(NULL, &err);
    }
    return t->rc;
}

static void fill_request(const cli *c, aios_request *req, aios_sampling *smp)
{
    *req = (aios_request)AIOS_INIT(aios_request);
    cli_sampling(c, smp);
    req->sampling = smp;
    req->max_tokens = c->n_predict ? (uint32_t)c->n_predict : CLI_MAX_TOKENS;
    req->flags = (c->ignore_eos ? AIOS_REQUEST_IGNORE_EOS : 0u) | (c->n_top ? AIOS_REQUEST_LOGPROBS : 0u);
    req->n_top = (uint32_t)c->n_top;
}

static int run_once(const cli *c, aios_ctx *ctx, aios_model *m, uint64_t classes, const char *prompt, size_t n_prompt, aios_grammar *grammar,
                    const char *schema)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_request req;
    aios_sampling smp;
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    fill_request(c, &req, &smp);
    req.grammar = grammar;
    req.schema_json = schema;
    aios_model_info_get(m, &info);
    int rc = aios_session_new(m, NULL, &s, &err);
    if (!rc && c->load_session)
        rc = aios_session_load(s, c->load_session, &err);
    if (!rc && (c->raw || !(classes || info.flags & AIOS_MODEL_HAS_TEMPLATE))) {
        req.raw = prompt;
        req.n_raw = n_prompt;
    } else if (!rc && !(rc = aios_transcript_new(ctx, &t, &err))) {
        if (c->system)
            rc = aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, c->system, AIOS_CSTR, &err);
        if (!rc)
            rc = cli_add_user(t, classes, prompt, n_prompt, &err);
        req.transcript = t;
    }
    if (rc) {
        rc = cli_fail(NULL, &err);
        rc = rc == EXIT_MODEL || err.code == AIOS_EINVAL ? EXIT_USAGE : rc; /* the model is open: it was the session's file */
    } else {
        turn one = {.c = c, .s = s, .bound = grammar || schema};
        cli_interrupt_session(s);
        rc = stream_turn(&one, &req);
        free(one.reply);
        bool stopped = cli_interrupted();
        cli_interrupt_session(NULL);
        rc = stopped ? EXIT_INTERRUPT : rc;
        if (!rc && c->save_session && aios_session_save(s, c->save_session, &err))
            rc = cli_fail(NULL, &err);
    }
    aios_session_free(s);
    aios_transcript_free(t);
    return rc;
}

/* Before a reply is paid for: can be kept what --save-session is to keep, and may the prompt go where the model is. */
static int check_model(const cli *c, const aios_model *m, uint64_t classes)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_model_info_get(m, &info);
    for (int i = 0; i < 2; i++)
        if ((i ? c->load_session : c->save_session) && !(info.flags & AIOS_MODEL_CAN_SAVE))
            return cli_usage("--%s-session: what a model of the backend %s has computed cannot be kept in a file; that of a .gguf file can",
                             i ? "load" : "save", info.backend);
    return cli_label_check(m, cli_model_path(c), classes);
}

/* What the reply is bound to: a schema as text, which other backends take too, everything else compiled. */
static int read_bound(const cli *c, aios_ctx **ctx, cli_source *src, aios_grammar **g)
{
    aios_error err = AIOS_INIT(aios_error);
    if (!c->schema && !c->regex && !c->grammar)
        return 0;
    int rc = cli_source_read(c, c->grammar, src);
    rc = rc ? rc : cli_ctx(c, ctx);
    if (!rc && src->kind == AIOS_GRAMMAR_SCHEMA)
        return cli_source_check(src, *ctx);
    if (!rc && cli_source_compile(src, *ctx, g, &err))
        rc = cli_source_fail(src, &err);
    return rc;
}

int cmd_run(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_grammar *g = NULL;
    cli_source src = {0};
    size_t n = 0;
    char *prompt = NULL;
    uint64_t classes;
    int rc = c->raw && c->labels.n ? cli_usage("--label does not go with --raw: a raw text carries no labels") : cli_label(c, &classes);
    rc = rc ? rc : read_bound(c, &ctx, &src, &g);
    if (!rc)
        rc = !(prompt = cli_prompt(c, &n)) ? EXIT_FAIL : !n ? cli_usage("a prompt is needed: aios run 'Hello'") : cli_model(c, &ctx, &m);
    rc = rc ? rc : check_model(c, m, classes);
    if (!rc)
        rc = run_once(c, ctx, m, classes, prompt, n, g, src.kind == AIOS_GRAMMAR_SCHEMA ? src.text : NULL);
    free(prompt);
    cli_source_free(&src);
    aios_grammar_free(g);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}

static int chat_loop(const cli *c, aios_transcript *t, aios_session *s, uint64_t classes)
{
    aios_error err = AIOS_INIT(aios_error);
    bool tty = isatty(STDIN_FILENO) && !c->json;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;
    for (;;) {
        if (tty)
            fputs("> ", stderr);
        n = getline(&line, &cap, stdin);
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (n < 0 || !strcmp(line, "/exit") || !strcmp(line, "/quit"))
            break;
        if (!n)
            continue;
        aios_request req;
        aios_sampling smp;
        turn one = {.c = c, .s = s};
        uint32_t before = aios_transcript_count(t);
        fill_request(c, &req, &smp);
        req.transcript = t;
        if (cli_add_user(t, classes, line, (size_t)n, &err)) {
            rc = cli_fail(NULL, &err);
            continue;
        }
        cli_interrupt_session(s);
        rc = stream_turn(&one, &req);
        cli_interrupt_session(NULL);
        if (rc || !one.reply || aios_transcript_add_text(t, AIOS_ROLE_ASSISTANT, one.reply, AIOS_CSTR, &err))
            aios_transcript_truncate(t, before, NULL); /* a turn that failed leaves no trace */
        free(one.reply);
        if (!cli_flush())
            break; /* nobody reads on */
    }
    free(line);
    return rc;
}

int cmd_chat(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_transcript *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    uint64_t classes;
    int rc = cli_label(c, &classes);
    rc = rc ? rc : cli_model(c, &ctx, &m);
    if (rc)
        return rc;
    if ((rc = cli_label_check(m, cli_model_path(c), classes)) != 0)
        ; /* told */
    else if (aios_session_new(m, NULL, &s, &err) || aios_transcript_new(ctx, &t, &err) ||
        (c->system && aios_transcript_add_text(t, AIOS_ROLE_SYSTEM, c->system, AIOS_CSTR, &err)))
        rc = cli_fail(NULL, &err);
    else
        rc = chat_loop(c, t, s, classes);
    aios_session_free(s);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}
