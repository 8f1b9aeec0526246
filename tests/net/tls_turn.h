/* SPDX-License-Identifier: Apache-2.0 */
/* Turns of a model behind the server of TLS. */
#ifndef AIOS_TEST_TLS_TURN_H
#define AIOS_TEST_TLS_TURN_H

#include "hostile_turn.h"
#include "tls_server.h"

#define TLS_KEY "canary-key-5678"
#define TLS_PROMPT "ask-"

static tls_server tls;

/** Opens the server's model; of rc the deadlines, key and retries are filled in where they are zero. */
static inline int tls_open(aios_ctx *ctx, const char *host, aios_remote_config *rc, aios_model **m, aios_error *err)
{
    char uri[96];
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    snprintf(uri, sizeof uri, "openai+https://%s:%u/v1#m", host, tls.port);
    rc->struct_size = sizeof *rc;
    rc->api_key = TLS_KEY;
    rc->max_retries = rc->max_retries ? rc->max_retries : AIOS_NO_RETRIES;
    rc->connect_ns = rc->connect_ns ? rc->connect_ns : 8000 * MS;
    rc->first_byte_ns = rc->first_byte_ns ? rc->first_byte_ns : 8000 * MS;
    rc->idle_ns = rc->idle_ns ? rc->idle_ns : 8000 * MS;
    rc->max_body = rc->max_body ? rc->max_body : MAX_BODY;
    cfg.remote = rc;
    return aios_model_open(ctx, uri, &cfg, m, err);
}

static inline void tls_begin(aios_ctx *ctx, aios_session *s, uint32_t ask, turn *t)
{
    char text[32];
    aios_transcript *tr = NULL;
    aios_error err = AIOS_INIT(aios_error);
    snprintf(text, sizeof text, TLS_PROMPT "%08u", ask);
    must(aios_transcript_new(ctx, &tr, &err), &err);
    must(aios_transcript_add_text(tr, AIOS_ROLE_USER, text, AIOS_CSTR, &err), &err);
    begin_turn(s, tr, t);
    aios_transcript_free(tr);
}

/** A ctx, a model, a turn, and what is wrong beyond its outcome fails the test. */
static inline void tls_turn(const tls_row *row, const char *host, aios_remote_config *rc, turn *t)
{
    test_heap heap = {0};
    aios_ctx *ctx = test_ctx(&heap, 0);
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    tls.row = row;
    must(tls_open(ctx, host, rc, &m, &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    tls_begin(ctx, s, 42, t);
    if (!t->rc)
        end_turn(s, t);
    aios_session_free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    if (t->wrong[0] || heap.live || strstr(t->err.msg, TLS_KEY) || strstr(t->err.msg, TLS_PROMPT))
        fail_msg("%s: %s%ld blocks left, %s", row->name, t->wrong, heap.live, t->err.msg);
}

/** Why a turn's outcome is not the row's, in why; "" if it is. */
static inline void tls_judge(const tls_row *row, const turn *t, char *why, size_t n)
{
    char numbered[HOSTILE_TOKENS * 12 + 1];
    hostile_text(42, numbered, sizeof numbered);
    const char *text = row->text ? row->text : row->rc == 0 ? numbered : NULL, *silent = t->rc ? mute(t->rc, &t->err) : NULL;
    why[0] = 0;
    if (t->rc != row->rc && row->rc != HOSTILE_ANY)
        snprintf(why, n, "gives %s instead of %s: %s", aios_code_name(t->rc), aios_code_name(row->rc), t->err.msg);
    else if (silent)
        snprintf(why, n, "%s: %s", silent, t->err.msg);
    else if (text && strcmp(text, t->text))
        snprintf(why, n, "says \"%.100s\" instead of \"%.100s\"", t->text, text);
    else if (strncmp(numbered, t->text, t->n_kept))
        snprintf(why, n, "makes up \"%.100s\"", t->text);
    else if (row->says && !strstr(t->err.msg, row->says))
        snprintf(why, n, "does not say \"%s\": %s", row->says, t->err.msg);
    else if (row->by_ms ? t->ms < row->by_ms - 20 || t->ms > row->by_ms + LATE_MS : t->ms > WORK_MS)
        snprintf(why, n, "ended after %d ms instead of %d", (int)t->ms, row->by_ms);
}

/** All rows; the deadlines of those that one ends are by_ms. */
static inline void tls_rows(const tls_row *rows)
{
    char why[1200];
    int n_wrong = 0;
    const char *only = getenv("AIOS_TEST_ONLY");
    for (const tls_row *r = rows; r->name; r++) {
        if (only && strcmp(only, r->name))
            continue;
        for (int tries = 5; tries; tries--) { /* a busy machine is late at times, but not always */
            static turn t;
            aios_remote_config rc = {.ca_file = tls.ca_file, .connect_ns = r->by_ms * MS, .idle_ns = r->by_ms * MS, .first_byte_ns = r->by_ms * MS};
            long mark = memory_mark();
            tls_turn(r, "127.0.0.1", &rc, &t);
            tls_judge(r, &t, why, sizeof why);
            long grown = memory_grown(mark);
            if (!why[0] && grown > 16384)
                snprintf(why, sizeof why, "took %ld KiB", grown);
            if (!strstr(why, " ms instead of "))
                break;
        }
        if (why[0])
            print_error("%s: %s\n", r->name, why);
        n_wrong += why[0] != 0;
    }
    assert_int_equal(n_wrong, 0);
}

static int __attribute__((unused)) start_tls(void **state)
{
    (void)state;
    tls_start(&tls);
    return 0;
}

static int __attribute__((unused)) stop_tls(void **state)
{
    (void)state;
    tls_stop(&tls);
    return 0;
}

#endif
