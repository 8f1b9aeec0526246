/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 32 canaries, in every place of a configuration that may hold a secret, before servers that fail in every way: none is seen in what the host
 * is told, in the command's output, in memory that was given back, in what a context still holds when its model is closed, or in what is kept of
 * turns and runs.
 */
#include "hostile_turn.h"

#include <pthread.h>

#define MARK "cnry-" /* every canary begins so, and nothing else holds it */
#define N_CANARIES 32
#define N_HEADERS 24

/* Where a canary was seen, and the place's own test of that: each must have been looked at. */
enum { SINK_ERROR, SINK_LOG, SINK_EVENT, SINK_TRANSCRIPT, SINK_INFO, SINK_FREED, SINK_HEAP, SINK_STDOUT, SINK_STDERR, SINK_JSON,
    SINK_CASSETTE, SINK_JOURNAL, SINK_TRACE, N_SINKS };
static const char *const sink_names[] = {"an error", "the log", "an event", "the transcript", "the model's facts", "freed memory", "the heap",
    "stdout", "stderr", "--json", "a cassette", "a journal", "a trace"};

static char canary[N_CANARIES][40], why[1024];
static _Atomic uint64_t looked[N_SINKS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void look(int sink, const char *p, size_t n)
{
    const char *at = p && n ? memmem(p, n, MARK, strlen(MARK)) : NULL;
    looked[sink] += n;
    pthread_mutex_lock(&lock);
    if (at && !why[0]) {
        size_t before = (size_t)(at - p) < 30 ? (size_t)(at - p) : 30, after = (size_t)(p + n - at) < 30 ? (size_t)(p + n - at) : 30;
        snprintf(why, sizeof why, "%s of %zu bytes holds \"%.*s\"", sink_names[sink], n, (int)(before + after), at - before);
    }
    pthread_mutex_unlock(&lock);
}

static void look_at_error(const aios_error *err)
{
    look(SINK_ERROR, err->msg, sizeof err->msg);
}

/* ---- a heap that looks at what is given back --------------------------------------------------------------------------- */

typedef struct block {
    struct block *prev, *next;
    size_t n, pad;
} block;
static block blocks = {&blocks, &blocks, 0, 0};
static int quoting; /* the server tells what it was told: what it said may lie in memory */

static void *watched_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    block *b = ptr ? (block *)ptr - 1 : NULL, *fresh = NULL;
    if (new_size) {
        fresh = malloc(sizeof *fresh + new_size);
        if (!fresh)
            return NULL;
        fresh->n = new_size;
        memset(fresh + 1, 0, new_size);
        if (b)
            memcpy(fresh + 1, ptr, old_size < new_size ? old_size : new_size);
    }
    pthread_mutex_lock(&lock);
    if (b) {
        b->prev->next = b->next;
        b->next->prev = b->prev;
    }
    if (fresh) {
        fresh->prev = &blocks;
        fresh->next = blocks.next;
        fresh->prev->next = fresh->next->prev = fresh;
    }
    pthread_mutex_unlock(&lock);
    if (b) {
        if (!quoting)
            look(SINK_FREED, ptr, old_size);
        memset(b, 0, sizeof *b);
        free(b);
    }
    return fresh ? fresh + 1 : NULL;
}

static void look_at_heap(void)
{
    for (block *b = blocks.next; b != &blocks; b = b->next)
        look(SINK_HEAP, (const char *)(b + 1), b->n);
}

static void on_log(void *user, int32_t level, const char *msg)
{
    (void)user;
    (void)level;
    look(SINK_LOG, msg, strlen(msg));
}

/* No jitter: attempts follow each other at once. */
static int no_random(void *user, void *p, size_t n, int32_t *sys)
{
    (void)user;
    *sys = 0;
    memset(p, 0, n);
    return 0;
}

static aios_ctx *watched_ctx(void)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    env.realloc = watched_realloc;
    env.random = no_random;
    cfg.env = &env;
    cfg.log = on_log;
    cfg.log_level = AIOS_LOG_DEBUG;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    return ctx;
}

/* ---- what a turn tells -------------------------------------------------------------------------------------------------- */

static int to_transcript(void *user, const void *p, size_t n)
{
    (void)user;
    look(SINK_TRANSCRIPT, p, n);
    return 0;
}

static int to_info(void *user, const void *p, size_t n)
{
    (void)user;
    look(SINK_INFO, p, n);
    return 0;
}

static void look_at_model(aios_model *m)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_model_status status = AIOS_INIT(aios_model_status);
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios_model_info_get(m, &info), 0);
    const char *const texts[] = {info.name, info.backend, info.architecture, info.quantization};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        look(SINK_INFO, texts[i], strlen(texts[i]));
    assert_int_equal(aios_model_status_get(m, &status), 0);
    look(SINK_INFO, status.msg, sizeof status.msg);
    aios_model_list(m, to_info, NULL, &err);
    look_at_error(&err);
}

static void look_at_turn(aios_ctx *ctx, aios_model *m)
{
    aios_session *s = NULL;
    aios_transcript *tr = hello(ctx);
    aios_error err = AIOS_INIT(aios_error);
    aios_request req = AIOS_INIT(aios_request);
    const aios_event *ev;
    req.transcript = tr;
    must(aios_session_new(m, NULL, &s, &err), &err);
    if (aios_session_start(s, &req, &err))
        look_at_error(&err);
    for (int rc; (rc = aios_session_next(s, 1000, &ev)) != AIOS_DONE && rc >= 0;) {
        if (rc == AIOS_AGAIN)
            continue;
        const char *const texts[] = {ev->text, ev->name, ev->call_id};
        for (size_t i = 0; i < 3; i++)
            look(SINK_EVENT, texts[i], texts[i] ? strlen(texts[i]) : 0);
        if (ev->error)
            look_at_error(ev->error);
        if (ev->type == AIOS_EVENT_DONE && ev->n_text)
            must(aios_transcript_add_text(tr, AIOS_ROLE_ASSISTANT, ev->text, ev->n_text, &err), &err);
    }
    must(aios_transcript_write_json(tr, to_transcript, NULL, &err), &err);
    aios_session_free(s);
    aios_transcript_free(tr);
}

/* ---- where secrets are -------------------------------------------------------------------------------------------------- */

static int on_credential(void *user, const char *origin, char *out, size_t n)
{
    (void)user;
    look(SINK_EVENT, origin, strlen(origin));
    snprintf(out, n, "%s", canary[N_HEADERS + 1]);
    return 0;
}

typedef struct place {
    const char *name;
    bool key, callback, headers, proxy;
} place;
static const place places[] = {
    {"key and headers", true, false, true, false},
    {"callback and headers", false, true, true, false},
    {"proxy", true, false, false, true},
};

static void fill(const place *p, aios_remote_config *rc, char lines[][80], const char **headers, char *proxy, size_t n_proxy)
{
    *rc = (aios_remote_config)AIOS_INIT(aios_remote_config);
    for (int i = 0; i < N_HEADERS; i++) {
        snprintf(lines[i], 80, "X-Secret-%d: %.40s", i, canary[i]);
        headers[i] = lines[i];
    }
    headers[N_HEADERS] = NULL;
    snprintf(proxy, n_proxy, "http://%s:%s@127.0.0.1:%u", canary[N_HEADERS + 2], canary[N_HEADERS + 3], server.port);
    rc->headers = p->headers ? headers : NULL;
    rc->api_key = p->key ? canary[N_HEADERS] : NULL;
    rc->credential = p->callback ? on_credential : NULL;
    rc->proxy = p->proxy ? proxy : NULL;
    rc->max_retries = 1;
}

static void no_failure_shows_a_secret(void **state)
{
    (void)state;
    const char *const names[] = {"plain", "nobody-listens", "error-401", "error-500", "error-502-html", "reset-in-stream", "hangup", "silence",
        "redirect-307",
                                 "redirect-to-nonsense", "upgrade-101", "html-200", "json-half", "call", "stream-error", "binary-noise",
                                     "tls-plain-text", "endless-headers",
                                 "later-a-million-years", "json-not-at-all", "gzip-bomb"};
    for (size_t k = 0; k < sizeof places / sizeof places[0]; k++)
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            const hostile_row *row = hostile_find(names[i]);
            char lines[N_HEADERS][80], proxy[128];
            const char *headers[N_HEADERS + 1];
            aios_remote_config rc;
            aios_model *m = NULL;
            aios_error err = AIOS_INIT(aios_error);
            fill(&places[k], &rc, lines, headers, proxy, sizeof proxy);
            hostile_choose(&server, row);
            aios_ctx *ctx = watched_ctx();
            if (!open_row(ctx, row, &rc, &m, &err)) {
                look_at_turn(ctx, m);
                look_at_model(m);
            }
            look_at_error(&err);
            aios_model_close(m);
            look_at_heap();
            aios_ctx_free(ctx);
            if (why[0])
                fail_msg("%s, %s: %s", places[k].name, row->name, why);
            if (places[k].headers && !(row->flags & HOSTILE_TLS) && server.shared->n_requests && !strstr(server.shared->request, canary[0]) &&
                !strstr(server.shared->request, "GET "))
                fail_msg("%s, %s: the header was not sent, so that nothing is shown here", places[k].name, row->name);
        }
}

static void a_server_that_quotes_its_request_is_not_quoted(void **state)
{
    (void)state;
    const hostile_row *row = hostile_find("error-echo");
    for (size_t k = 0; k < 2; k++) {
        char lines[N_HEADERS][80], proxy[128];
        const char *headers[N_HEADERS + 1];
        aios_remote_config rc;
        aios_model *m = NULL;
        aios_error err = AIOS_INIT(aios_error);
        fill(&places[k], &rc, lines, headers, proxy, sizeof proxy);
        hostile_choose(&server, row);
        quoting = 1;
        aios_ctx *ctx = watched_ctx();
        must(open_row(ctx, row, &rc, &m, &err), &err);
        look_at_turn(ctx, m);
        aios_model_close(m);
        aios_ctx_free(ctx);
        quoting = 0;
        if (why[0])
            fail_msg("%s: %s", places[k].name, why);
    }
}

static void a_bad_configuration_is_not_quoted(void **state)
{
    (void)state;
    char uri[128], base[128], blank[64], folded[128];
    snprintf(uri, sizeof uri, "http://user:%s@127.0.0.1:1/v1#m", canary[28]);
    snprintf(base, sizeof base, "https://user:%s@example.com/v1", canary[29]);
    snprintf(blank, sizeof blank, "%s and more", canary[30]);
    snprintf(folded, sizeof folded, "X-Secret: a\r\nEvil: %s", canary[31]);
    const char *const lines[] = {folded, NULL}, *const no_name[] = {canary[31], NULL};
    const struct {
        const char *uri;
        aios_remote_config rc;
    } rows[] = {
        {uri, {0}},
        {"openai:m", {.base_url = base}},
        {"openai:m", {.base_url = canary[29]}},
        {"http://127.0.0.1:1/v1#m", {.api_key = blank}},
        {"http://127.0.0.1:1/v1#m", {.headers = lines}},
        {"http://127.0.0.1:1/v1#m", {.headers = no_name}},
        {"http://127.0.0.1:1/v1#m", {.proxy = canary[30]}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios_model_config cfg = AIOS_INIT(aios_model_config);
        aios_remote_config rc = rows[i].rc;
        aios_error err = AIOS_INIT(aios_error);
        aios_model *m = NULL;
        aios_ctx *ctx = watched_ctx();
        rc.struct_size = sizeof rc;
        rc.max_retries = AIOS_NO_RETRIES;
        cfg.remote = &rc;
        quoting = i < 3; /* a URL is no secret: it may lie in memory, but is not to be told when it is refused */
        if (!aios_model_open(ctx, rows[i].uri, &cfg, &m, &err))
            look_at_turn(ctx, m);
        look_at_error(&err);
        aios_model_close(m);
        aios_ctx_free(ctx);
        quoting = 0;
        if (why[0])
            fail_msg("row %zu: %s", i, why);
    }
}

/* ---- what is kept ------------------------------------------------------------------------------------------------------- */

static void read_all(int sink, const char *path)
{
    static char text[1 << 18];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    assert_true(n < sizeof text);
    look(sink, text, n);
    fclose(f);
    unlink(path);
}

static int to_trace(void *user, const char *signal, const char *json, size_t n)
{
    (void)user, (void)signal;
    look(SINK_TRACE, json, n);
    return 0;
}

static int to_record(void *user, const aios_record *r)
{
    (void)user;
    look(SINK_JOURNAL, r->data, r->n_data);
    return 0;
}

static int to_stream(void *user, const aios_stream *s)
{
    return aios_store_read(user, s->name, 0, to_record, NULL, NULL);
}

/* A run with a journal, watched, contents too. */
static void look_at_run(aios_ctx *ctx, aios_model *m)
{
    aios_agent_config cfg = AIOS_INIT(aios_agent_config);
    aios_telemetry_config watch = {.struct_size = sizeof watch, .write = to_trace, .flags = AIOS_TELEMETRY_CONTENT};
    aios_error err = AIOS_INIT(aios_error);
    aios_agent *a = NULL;
    aios_run *r = NULL;
    const aios_event *ev;
    cfg.model = m;
    must(aios_store_open(ctx, "memory:", NULL, &cfg.store, &err), &err);
    must(aios_telemetry_new(ctx, &watch, &cfg.telemetry, &err), &err);
    must(aios_agent_new(ctx, &cfg, &a, &err), &err);
    must(aios_run_start(a, NULL, "Say hello.", AIOS_CSTR, &r, &err), &err);
    while (!aios_run_next(r, 10000, &ev))
        if (ev->error)
            look_at_error(ev->error);
    aios_run_free(r);
    aios_agent_free(a);
    must(aios_store_list(cfg.store, NULL, to_stream, cfg.store, &err), &err);
    aios_telemetry_free(cfg.telemetry);
    aios_store_close(cfg.store);
}

static void what_is_kept_of_a_run_holds_no_secret(void **state)
{
    (void)state;
    const char *const names[] = {"plain", "error-401", "error-500", "error-echo", "reset-in-stream", "html-200", "redirect-307", "stream-error"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            const hostile_row *row = hostile_find(names[i]);
            char lines[N_HEADERS][80], proxy[128], tape[64], url[64], uri[192];
            const char *headers[N_HEADERS + 1];
            aios_remote_config rc;
            aios_model_config cfg = AIOS_INIT(aios_model_config);
            aios_model *m = NULL;
            aios_error err = AIOS_INIT(aios_error);
            fill(&places[k], &rc, lines, headers, proxy, sizeof proxy);
            cfg.remote = &rc;
            hostile_choose(&server, row);
            hostile_url(&server, row, url);
            snprintf(tape, sizeof tape, "/tmp/aios-secrets-%d.jsonl", (int)getpid());
            snprintf(uri, sizeof uri, "record:%s|%s/v1#m", tape, url);
            quoting = !strcmp(row->name, "error-echo");
            aios_ctx *ctx = watched_ctx();
            must(aios_model_open(ctx, uri, &cfg, &m, &err), &err);
            look_at_run(ctx, m);
            aios_model_close(m);
            aios_ctx_free(ctx);
            quoting = 0;
            read_all(SINK_CASSETTE, tape);
            if (why[0])
                fail_msg("%s, %s: %s", places[k].name, row->name, why);
            if (!strstr(server.shared->request, canary[N_HEADERS + k]))
                fail_msg("%s, %s: the key was not sent, so that nothing is shown here", places[k].name, row->name);
        }
}

/* ---- the command --------------------------------------------------------------------------------------------------------- */

static const char *command;

static void the_command_shows_no_secret(void **state)
{
    (void)state;
    const char *const names[] = {"plain", "error-401", "reset-in-stream", "redirect-307", "html-200", "nobody-listens"};
    const char *const args[] = {"run -m openai:m hi", "run --json -m openai:m hi", "models -m openai:m", "run -m openai:m"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (size_t k = 0; k < sizeof args / sizeof args[0]; k++) {
            const hostile_row *row = hostile_find(names[i]);
            char url[64], line[1024], out[64], err[64];
            snprintf(out, sizeof out, "/tmp/aios-secrets-%d-out", (int)getpid());
            snprintf(err, sizeof err, "/tmp/aios-secrets-%d-err", (int)getpid());
            hostile_choose(&server, row);
            hostile_url(&server, row, url);
            snprintf(line, sizeof line, "AIOS_LOG=debug OPENAI_API_KEY=%s OPENAI_BASE_URL=%s/v1 '%s' %s >%s 2>%s </dev/null",
                canary[N_HEADERS], url, command,
                     args[k], out, err);
            int status = system(line);
            assert_true(status != -1);
            read_all(k == 1 ? SINK_JSON : SINK_STDOUT, out);
            read_all(SINK_STDERR, err);
            looked[SINK_STDERR]++; /* nothing said is nothing told */
            if (why[0])
                fail_msg("aios %s before %s: %s", args[k], row->name, why);
            if (k < 2 && i < 2 && !strstr(server.shared->request, canary[N_HEADERS]))
                fail_msg("aios %s before %s: the key was not sent, so that nothing is shown here: %.200s", args[k], row->name,
                    server.shared->request);
        }
}

static void every_place_was_looked_at(void **state)
{
    (void)state;
    for (int i = 0; i < N_SINKS; i++)
        if (!looked[i])
            fail_msg("%s was never looked at", sink_names[i]);
    look(SINK_HEAP, "x cnry-00 y", 11); /* and looking finds what there is */
    assert_non_null(strstr(why, "cnry-00"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_failure_shows_a_secret),
        cmocka_unit_test(a_server_that_quotes_its_request_is_not_quoted),
        cmocka_unit_test(a_bad_configuration_is_not_quoted),
        cmocka_unit_test(what_is_kept_of_a_run_holds_no_secret),
        cmocka_unit_test(the_command_shows_no_secret),
        cmocka_unit_test(every_place_was_looked_at),
    };
    command = argc > 1 ? argv[1] : NULL;
    for (int i = 0; i < N_CANARIES; i++)
        snprintf(canary[i], sizeof canary[i], MARK "%02d-%016llx", i, (unsigned long long)hostile_mix((uint64_t)i));
    if (!aios_has("curl") || !command)
        return 77;
    return cmocka_run_group_tests_name("hostile secrets", tests, start_server, stop_server);
}
