/* SPDX-License-Identifier: Apache-2.0 */
/* A fake model somewhere, registered by the test: "far:NAME", whose privacy, tempers and counts lie in a table. */
#ifndef AIOS_ROUTE_TEST_H
#define AIOS_ROUTE_TEST_H

#include <aios/plugin/backend.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "test.h"

#define N_FAR 8

typedef struct far_host {
    _Atomic int n_starts, n_turns, down; /* down: the code with which it fails after a word; 0: well */
    int32_t privacy;
    uint32_t n_ctx, flags;
} far_host;

typedef struct far_session {
    far_host *host;
    int number, said;
} far_session;

static inline int far_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)err;
    *model = (far_host *)user + (args->path[0] - '0') % N_FAR;
    return 0;
}

static inline void far_close(void *model)
{
    (void)model;
}

static inline int far_info(void *model, aios_model_info *out)
{
    const far_host *h = model;
    out->name = "far";
    out->privacy = h->privacy;
    out->n_ctx = h->n_ctx;
    out->flags = h->flags;
    return 0;
}

static inline int far_session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    far_session *s = calloc(1, sizeof *s);
    s->host = model;
    *session = s;
    return 0;
}

static inline void far_session_free(void *session)
{
    free(session);
}

static inline int far_start(void *session, const aios_request *req, aios_error *err)
{
    far_session *s = session;
    (void)req, (void)err;
    s->host->n_starts++;
    s->said = 0;
    return 0;
}

static inline int far_step(void *session, const aios_sink *sink, aios_error *err)
{
    far_session *s = session;
    static const char *const words[] = {"one", " two", " three"};
    int code = s->said ? s->host->down : 0;
    if (code) {
        if (err)
            err->code = code, snprintf(err->msg, sizeof err->msg, "the host went down");
        return code;
    }
    if (s->said < 3) {
        const char *w = words[s->said++];
        int rc = sink->text(sink->user, w, strlen(w));
        return rc ? rc : AIOS_AGAIN;
    }
    s->host->n_turns++;
    sink->stop(sink->user, "stop");
    return AIOS_DONE;
}

static inline void far_ops(aios_backend_ops *ops)
{
    ops->name = "far";
    ops->open = far_open;
    ops->close = far_close;
    ops->info = far_info;
    ops->session_new = far_session_new;
    ops->session_free = far_session_free;
    ops->start = far_start;
    ops->step = far_step;
    ops->cancel = far_close;
}

static inline void far_register(aios_ctx *ctx, far_host *hosts)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    far_ops(&ops);
    assert_int_equal(aios_backend_register(ctx, &ops, hosts, NULL), 0);
}

/* What a turn gave. */
typedef struct reply {
    char text[512];   /* of the last attempt, from its pieces */
    char routes[512]; /* names in order, with their reasons */
    uint32_t attempts;
    aios_error err;
} reply;

static inline void add_route(reply *r, const aios_event *ev)
{
    const char *why = strstr(ev->text, "\"reason\":\"");
    size_t n = strlen(r->routes);
    snprintf(r->routes + n, sizeof r->routes - n, "%s%s:%.*s", n ? " " : "", ev->name, (int)strcspn(why + 10, "\""), why + 10);
}

static inline int turn_of(aios_session *s, const aios_request *q, reply *r)
{
    const aios_event *ev;
    int code = AIOS_EINTERNAL, rc;
    memset(r, 0, sizeof *r);
    r->err = (aios_error)AIOS_INIT(aios_error);
    rc = aios_session_start(s, q, &r->err);
    if (rc)
        return rc;
    while ((rc = aios_session_next(s, -1, &ev)) == 0) {
        if (ev->attempt != r->attempts)
            r->text[0] = 0;
        r->attempts = ev->attempt;
        if (ev->type == AIOS_EVENT_TEXT)
            snprintf(r->text + strlen(r->text), sizeof r->text - strlen(r->text), "%s", ev->text);
        if (ev->type == AIOS_EVENT_ROUTE)
            add_route(r, ev);
        if (ev->type == AIOS_EVENT_DONE)
            code = 0;
        if (ev->type == AIOS_EVENT_ERROR) {
            code = ev->error->code;
            r->err = *ev->error;
        }
    }
    assert_int_equal(rc, AIOS_DONE);
    return code;
}

/* One turn of a new session; label: of the only entry. */
static inline int ask_with(aios_model *m, const char *text, uint64_t label, reply *r)
{
    aios_transcript *t = NULL;
    aios_session *s = NULL;
    aios_request q = AIOS_INIT(aios_request);
    aios_entry e = AIOS_INIT(aios_entry);
    aios_part p = AIOS_INIT(aios_part);
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_model_info_get(m, &info);
    assert_int_equal(aios_session_new(m, NULL, &s, NULL), 0);
    p.kind = AIOS_PART_TEXT;
    p.text = text;
    p.n_text = AIOS_CSTR;
    e.role = AIOS_ROLE_USER;
    e.parts = &p;
    e.n_parts = 1;
    e.part_stride = sizeof p;
    e.label.integrity = AIOS_LABEL_USER;
    e.label.confidentiality = label;
    aios_ctx *c = test_ctx(NULL, 0);
    assert_int_equal(aios_transcript_new(c, &t, NULL), 0);
    assert_int_equal(aios_transcript_add(t, &e, NULL), 0);
    q.transcript = t;
    int rc = turn_of(s, &q, r);
    aios_session_free(s);
    aios_transcript_free(t);
    aios_ctx_free(c);
    return rc;
}

#endif
