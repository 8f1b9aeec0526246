/* SPDX-License-Identifier: Apache-2.0 */
/* A backend without any promise about what it says. */
#ifndef AIOS_PARROT_H
#define AIOS_PARROT_H

#include <aios/plugin/backend.h>

#include "test.h"

/* Lines that are no text: what was said so far is void; a call of "look"; reasoning that is signed. All go on with the next line. */
#define PARROT_RESTART "\x01"
#define PARROT_CALL "\x02"
#define PARROT_SIGNED "\x03"

/* A backend that says its lines one after the other, whatever is asked, and keeps what it was asked. */
typedef struct parrot {
    const char *const *lines;
    uint32_t at, sent;
    const char *reason;
    char asked[4096]; /* the last text of the last request */
    char tool[64], stop[64];
    int start_code; /* of a start after the first line */
} parrot;

static inline int parrot_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)args, (void)err;
    *model = user;
    return 0;
}

static inline void parrot_close(void *model)
{
    (void)model;
}

static inline int parrot_info(void *model, aios_model_info *out)
{
    (void)model;
    out->name = "parrot";
    return 0;
}

static inline int parrot_session(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    *session = model;
    return 0;
}

static inline int parrot_start(void *session, const aios_request *req, aios_error *err)
{
    parrot *p = session;
    (void)err;
    p->sent = 0;
    p->asked[0] = 0;
    uint32_t n = aios_transcript_count(req->transcript);
    if (n) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(req->transcript, n - 1, &e);
        snprintf(p->asked, sizeof p->asked, "%.*s", (int)e.parts[0].n_text, e.parts[0].text);
    }
    snprintf(p->tool, sizeof p->tool, "%s", req->n_tools ? req->tools[0].name : "");
    snprintf(p->stop, sizeof p->stop, "%s", req->stop ? req->stop[0] : "");
    return p->at ? p->start_code : 0;
}

static inline int parrot_step(void *session, const aios_sink *sink, aios_error *err)
{
    parrot *p = session;
    (void)err;
    const char *line = p->lines[p->at];
    if (*line == *PARROT_RESTART || *line == *PARROT_CALL || *line == *PARROT_SIGNED) {
        int rc = *line == *PARROT_CALL      ? sink->call(sink->user, "look", "{}", 2, NULL)
                 : *line == *PARROT_RESTART ? sink->restart(sink->user)
                                            : sink->reasoning(sink->user, "hm", 2);
        rc = rc || *line != *PARROT_SIGNED ? rc : sink->sign(sink->user, "parrot/seal QUJD");
        p->at++;
        return rc ? rc : AIOS_AGAIN;
    }
    if (p->sent < strlen(line)) {
        int rc = sink->text(sink->user, line + p->sent++, 1);
        return rc ? rc : AIOS_AGAIN;
    }
    if (p->lines[p->at + 1])
        p->at++;
    if (*p->lines[p->at] == *PARROT_RESTART) {
        p->sent = 0;
        return AIOS_AGAIN;
    }
    sink->stop(sink->user, p->reason);
    return AIOS_DONE;
}

/** Registers it in ctx under "parrot:" and opens its model. */
static inline void parrot_model(aios_ctx *ctx, parrot *p, aios_model **m)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = "parrot";
    ops.open = parrot_open;
    ops.close = parrot_close;
    ops.info = parrot_info;
    ops.session_new = parrot_session;
    ops.session_free = parrot_close;
    ops.start = parrot_start;
    ops.step = parrot_step;
    ops.cancel = parrot_close;
    assert_int_equal(aios_backend_register(ctx, &ops, p, NULL), 0);
    assert_int_equal(aios_model_open(ctx, "parrot:", NULL, m, NULL), 0);
}

#endif
