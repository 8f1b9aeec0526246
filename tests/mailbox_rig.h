/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions over mailboxes: made and started, waited for, read. */
#ifndef AIOS_MAILBOX_RIG_H
#define AIOS_MAILBOX_RIG_H

#include "mailbox.h"

/** Until something holds, for some seconds at most. */
#define AWAIT(what)                        \
    for (int tries_ = 0; !(what); tries_++) { \
        assert_in_range(tries_, 0, 5000);  \
        nap_ms(1);                         \
    }

typedef struct rig {
    post_office office;
    aios_ctx *ctx;
    aios_model *m;
    aios_transcript *t;
    aios_session *s[MAX_BOXES];
    int n;
} rig;

static inline void rig_open(rig *r, const char *uri, int n, uint32_t driver)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    cfg.driver = driver;
    memset(r, 0, sizeof *r);
    r->ctx = test_ctx(NULL, 0);
    post_register(r->ctx, &r->office);
    must(aios_model_open(r->ctx, uri, NULL, &r->m, &err), &err);
    must(aios_transcript_new(r->ctx, &r->t, &err), &err);
    must(aios_transcript_add_text(r->t, AIOS_ROLE_USER, "hi", AIOS_CSTR, &err), &err);
    for (r->n = 0; r->n < n; r->n++)
        must(aios_session_new(r->m, &cfg, &r->s[r->n], &err), &err);
}

static inline void rig_start(rig *r, int i, int64_t timeout_ns)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request req = AIOS_INIT(aios_request);
    req.transcript = r->t;
    req.timeout_ns = timeout_ns;
    must(aios_session_start(r->s[i], &req, &err), &err);
}

static inline void rig_close(rig *r)
{
    for (int i = 0; i < r->n; i++)
        aios_session_free(r->s[i]);
    aios_transcript_free(r->t);
    aios_model_close(r->m);
    aios_ctx_free(r->ctx);
    post_free(&r->office);
}

/** Pieces until the turn is over, or 10 s have passed; *code of its end, AIOS_AGAIN: it did not end. */
static inline int read_turn(aios_session *s, int *code)
{
    const aios_event *ev;
    int n = 0;
    for (*code = AIOS_AGAIN; !aios_session_next(s, 10000, &ev);) {
        n += ev->type == AIOS_EVENT_TEXT;
        if (ev->type == AIOS_EVENT_DONE || ev->type == AIOS_EVENT_ERROR)
            *code = ev->error ? ev->error->code : AIOS_OK;
    }
    return n;
}

static inline int rig_boxes(rig *r)
{
    pthread_mutex_lock(&r->office.lock);
    int n = r->office.n_boxes;
    pthread_mutex_unlock(&r->office.lock);
    return n;
}

/** How often a box was stepped; 0 before it is there. */
static inline int rig_steps(rig *r, int box)
{
    pthread_mutex_lock(&r->office.lock);
    int n = box < r->office.n_boxes && r->office.boxes[box] ? r->office.boxes[box]->n_steps : 0;
    pthread_mutex_unlock(&r->office.lock);
    return n;
}

/** The first n boxes are there, have been stepped, and have parked. */
static inline void rig_settle(rig *r, int n)
{
    for (int i = 0; i < n; i++)
        AWAIT(rig_steps(r, i))
    nap_ms(30);
}

#endif
