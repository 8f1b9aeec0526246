/* SPDX-License-Identifier: Apache-2.0 */
/* A backend that calls "look" again and again, counts a token for four bytes, and checks what it is given. */
#ifndef AIOS_TELLER_H
#define AIOS_TELLER_H

#include <stdbool.h>

#include <aios/plugin/backend.h>

#include "test.h"

typedef struct teller {
    uint32_t n_ctx;        /* 0 in its info, too, if secret */
    bool secret;           /* it says how many only when it refuses */
    bool late;             /* it refuses within the turn */
    bool lax;              /* it checks nothing */
    int32_t privacy;
    uint32_t n_calls;      /* turns that call, then the answer */
    const char *summary;   /* NULL: one of its own */
    uint32_t summary_bytes; /* says that many x instead; 0: no */
    uint32_t die_in_summary; /* the process ends in that summary, from 1 */
    const char *prompt;    /* in each request, else it fails the test; NULL: whatever */
    /* what it has seen */
    uint32_t n_starts, n_summaries, n_refused, most, n_last; /* most: tokens of a request it took */
    char asked[65536];     /* the last request as text */
    char asked_summary[65536];
} teller;

typedef struct teller_session {
    teller *t;
    bool summary, refuse;
    uint32_t next, input;
} teller_session;

static inline int teller_open(void *user, const aios_backend_open_args *args, void **model, aios_error *err)
{
    (void)args, (void)err;
    *model = user;
    return 0;
}

static inline void teller_close(void *model)
{
    (void)model;
}

static inline int teller_info(void *model, aios_model_info *out)
{
    teller *t = model;
    out->name = "teller";
    out->n_ctx = t->secret ? 0 : t->n_ctx;
    out->privacy = t->privacy;
    out->flags = AIOS_MODEL_CAN_TOOLS;
    return 0;
}

static inline int teller_session_new(void *model, const aios_session_config *cfg, void **session, aios_error *err)
{
    (void)cfg, (void)err;
    teller_session *s = calloc(1, sizeof *s);
    s->t = model;
    *session = s;
    return 0;
}

static inline void teller_session_free(void *session)
{
    free(session);
}

static inline const aios_part *teller_part(const aios_entry *e, uint32_t k)
{
    return (const aios_part *)(const void *)((const char *)e->parts + k * e->part_stride);
}

typedef struct teller_text {
    char *p;
    size_t n, size;
} teller_text;

/* As much as there is room for; n counts all. */
static inline void teller_put(teller_text *x, const char *s, size_t n)
{
    for (size_t i = 0; x->p && i < n && x->n + i + 1 < x->size; i++)
        x->p[x->n + i] = s[i];
    x->n += n;
    if (x->p)
        x->p[x->n < x->size ? x->n : x->size - 1] = 0;
}

static inline void teller_puts(teller_text *x, const char *s)
{
    teller_put(x, s, strlen(s));
}

static inline size_t teller_write(const aios_request *q, char *out, size_t size)
{
    static const char *const roles[] = {"", "[system]", "[user]", "[assistant]", "[tool]"};
    teller_text x = {out, 0, size};
    for (uint32_t i = 0; i < q->n_tools; i++) {
        teller_puts(&x, q->tools[i].name);
        teller_puts(&x, q->tools[i].description);
    }
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        teller_puts(&x, roles[e.role]);
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = teller_part(&e, k);
            teller_puts(&x, p->name ? p->name : "");
            teller_put(&x, p->text, p->n_text);
        }
    }
    return x.n;
}

static inline int teller_count(void *session, const aios_request *q, uint32_t *n, aios_error *err)
{
    (void)session, (void)err;
    *n = (uint32_t)(teller_write(q, NULL, 0) / 4 + 1);
    return 0;
}

/* Calls have results, results calls; no kind is unknown; the prompt is there. */
static inline void teller_check(const teller *t, const aios_request *q)
{
    char open[16][64];
    uint32_t n_open = 0;
    bool prompt = !t->prompt;
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        if (!i && e.role != AIOS_ROLE_SYSTEM)
            fail_msg("the system entry is gone");
        for (uint32_t k = 0; k < e.n_parts; k++) {
            const aios_part *p = teller_part(&e, k);
            if (p->kind > AIOS_PART_RESULT)
                fail_msg("a part of kind %d came to the model", p->kind);
            if (p->kind == AIOS_PART_CALL)
                snprintf(open[n_open++ % 16], sizeof open[0], "%s", p->call_id);
            if (p->kind == AIOS_PART_RESULT && (!n_open || strcmp(open[--n_open % 16], p->call_id)))
                fail_msg("the result of %s has no call before it", p->call_id);
            prompt |= e.role == AIOS_ROLE_USER && p->kind == AIOS_PART_TEXT && t->prompt && memmem(p->text, p->n_text, t->prompt, strlen(t->prompt));
        }
    }
    if (n_open || !prompt)
        fail_msg("%u calls without results; the prompt is %s", n_open, prompt ? "there" : "gone");
}

/* One more than the largest that was called with. */
static inline uint32_t teller_next(const aios_request *q)
{
    uint32_t next = 1, n;
    for (uint32_t i = 0; i < aios_transcript_count(q->transcript); i++) {
        aios_entry e = AIOS_INIT(aios_entry);
        aios_transcript_at(q->transcript, i, &e);
        for (uint32_t k = 0; k < e.n_parts; k++)
            if (teller_part(&e, k)->kind == AIOS_PART_CALL && sscanf(teller_part(&e, k)->text, "{\"n\":%u}", &n) == 1 && n >= next)
                next = n + 1;
    }
    return next;
}

static inline int teller_refuse(teller_session *s, aios_error *err)
{
    if (err) {
        err->code = AIOS_ECONTEXT;
        err->have = s->t->n_ctx;
        err->need = s->input;
        snprintf(err->msg, sizeof err->msg, "%u tokens, the context holds %u", s->input, s->t->n_ctx);
    }
    s->t->n_refused++;
    return AIOS_ECONTEXT;
}

static inline int teller_start(void *session, const aios_request *q, aios_error *err)
{
    teller_session *s = session;
    teller *t = s->t;
    aios_entry e = AIOS_INIT(aios_entry);
    aios_transcript_at(q->transcript, 0, &e);
    s->summary = e.role == AIOS_ROLE_SYSTEM && strstr(teller_part(&e, 0)->text, "Write a short summary");
    s->refuse = false;
    teller_count(s, q, &s->input, err);
    t->n_starts++;
    teller_write(q, s->summary ? t->asked_summary : t->asked, sizeof t->asked);
    if (s->summary && q->n_tools)
        fail_msg("a summary has tools");
    if (!s->summary && !t->lax)
        teller_check(t, q);
    if (s->input >= t->n_ctx && !t->late)
        return teller_refuse(s, err);
    s->refuse = s->input >= t->n_ctx;
    s->next = s->summary ? 0 : teller_next(q);
    t->n_last = s->input;
    t->most = !s->refuse && s->input > t->most ? s->input : t->most;
    return 0;
}

static inline int teller_summarise(teller_session *s, const aios_sink *sink)
{
    teller *t = s->t;
    char text[64];
    if (++t->n_summaries == t->die_in_summary)
        _exit(9);
    for (uint32_t i = 0; i < t->summary_bytes; i += 16)
        sink->text(sink->user, "xxxxxxxxxxxxxxxx", 16);
    snprintf(text, sizeof text, "looked often, code %u", s->input);
    const char *say = t->summary ? t->summary : text;
    return t->summary_bytes ? 0 : sink->text(sink->user, say, strlen(say));
}

static inline int teller_step(void *session, const aios_sink *sink, aios_error *err)
{
    teller_session *s = session;
    char args[32];
    aios_usage u = AIOS_INIT(aios_usage);
    if (s->refuse)
        return teller_refuse(s, err);
    int rc;
    if (s->summary)
        rc = teller_summarise(s, sink);
    else if (s->next > s->t->n_calls)
        rc = sink->text(sink->user, "looked enough", 13);
    else
        rc = sink->call(sink->user, "look", args, (size_t)snprintf(args, sizeof args, "{\"n\":%u}", s->next), NULL);
    u.input = s->input;
    u.output = 7;
    rc = rc ? rc : sink->usage(sink->user, &u);
    rc = rc ? rc : sink->stop(sink->user, s->next ? "tool_calls" : "stop");
    return rc ? rc : AIOS_DONE;
}

/** Registers it in ctx under "teller:" and opens its model. */
static inline void teller_model(aios_ctx *ctx, teller *t, aios_model **m)
{
    aios_backend_ops ops = AIOS_INIT(aios_backend_ops);
    ops.name = "teller";
    ops.open = teller_open;
    ops.close = teller_close;
    ops.info = teller_info;
    ops.session_new = teller_session_new;
    ops.session_free = teller_session_free;
    ops.start = teller_start;
    ops.step = teller_step;
    ops.cancel = teller_close;
    ops.count = t->privacy == AIOS_PRIVACY_LOCAL ? teller_count : NULL;
    t->n_ctx = t->n_ctx ? t->n_ctx : 1000;
    assert_int_equal(aios_backend_register(ctx, &ops, t, NULL), 0);
    assert_int_equal(aios_model_open(ctx, "teller:", NULL, m, NULL), 0);
}

#endif
