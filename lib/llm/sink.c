/* SPDX-License-Identifier: Apache-2.0 */
/* Where the steps of a session's turn put what they make: checked, and into its queue. */
#include <stdio.h>

#include "llm/session_priv.h"

static int push(aios_session *s, const aios_event *ev)
{
    aios__event_node *node;
    aios_event up = *ev;
    up.attempt = s->attempt;
    pthread_mutex_lock(&s->lock);
    aios__event_node *spare = aios__events_spare(&s->events);
    pthread_mutex_unlock(&s->lock);
    int rc = aios__event_new(s->heap, &up, spare, &node, &s->events.last_error);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->lock);
    aios__events_push(&s->events, node);
    if (!atomic_load(&s->fd_up))
        aios__session_wake_fd(s);
    pthread_cond_broadcast(&s->ready);
    pthread_mutex_unlock(&s->lock);
    return AIOS_OK;
}

static int sink_failed(aios_session *s, int rc)
{
    if (rc)
        s->sink_failed = rc;
    return rc;
}

static int sink_dead(const aios_session *s)
{
    return s->sink_failed ? s->sink_failed : atomic_load(&s->cancel) ? AIOS_ECANCELED : AIOS_OK;
}

static bool is_sound(const char *p, size_t n)
{
    return p && !memchr(p, 0, n) && aios__utf8_valid(p, n);
}

static int send_text(aios_session *s, int32_t type, const char *name, const char *call_id, const char *p, size_t n)
{
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = type;
    ev.name = name;
    ev.call_id = call_id;
    ev.text = p;
    ev.n_text = n;
    return sink_failed(s, push(s, &ev));
}

static int sink_piece(aios_session *s, int32_t type, const char *p, size_t n)
{
    int rc = sink_dead(s);
    if (rc || !n)
        return rc;
    if (!is_sound(p, n))
        return sink_failed(s, AIOS_EPROTO);
    if (type == AIOS_EVENT_TEXT)
        rc = sink_failed(s, aios__buf_add(&s->text, p, n, &s->events.last_error));
    return rc ? rc : send_text(s, type, NULL, NULL, p, n);
}

int aios__session_text(aios_session *s, const char *p, size_t n)
{
    return sink_piece(s, AIOS_EVENT_TEXT, p, n);
}

static int sink_text(void *user, const char *p, size_t n)
{
    return aios__session_text(user, p, n);
}

static int sink_reasoning(void *user, const char *p, size_t n)
{
    return sink_piece(user, AIOS_EVENT_REASONING, p, n);
}

static int sink_sign(void *user, const char *signature)
{
    aios_session *s = user;
    int rc = sink_dead(s);
    if (rc || (signature && aios__utf8_valid(signature, strlen(signature))))
        return rc ? rc : send_text(s, AIOS_EVENT_REASONING, NULL, signature, "", 0);
    return sink_failed(s, AIOS_EPROTO);
}

/* The id of a call: the backend's own, or the next one that is made here. */
static void name_call(aios_session *s, const char *call_id)
{
    if (call_id && *call_id && strlen(call_id) <= 256 && aios__utf8_valid(call_id, strlen(call_id))) {
        uint64_t n = aios__call_number(call_id);
        s->next_call = n >= s->next_call ? n + 1 : s->next_call;
        memcpy(s->call_id, call_id, strlen(call_id) + 1);
        return;
    }
    snprintf(s->call_id, sizeof s->call_id, "call_%llu", (unsigned long long)s->next_call++);
}

/* A sink that may go on with a text under a name. */
static int sink_check(aios_session *s, const char *name, const char *p, size_t n)
{
    int rc = sink_dead(s);
    return rc || (name && is_sound(name, strlen(name)) && is_sound(p, n)) ? rc : sink_failed(s, AIOS_EPROTO);
}

static int sink_call_delta(void *user, const char *name, const char *p, size_t n, const char *call_id)
{
    aios_session *s = user;
    int rc = sink_check(s, name, n ? p : "", n);
    if (rc || (s->n_calls && s->one_call))
        return rc;
    if (!n || !s->open_call)
        name_call(s, call_id);
    s->open_call = true;
    return send_text(s, AIOS_EVENT_CALL_DELTA, name, s->call_id, p, n);
}

static int sink_call(void *user, const char *name, const char *args, size_t n_args, const char *call_id)
{
    aios_session *s = user;
    int rc = sink_check(s, name, args, n_args);
    if (rc || (s->n_calls++ && s->one_call))
        return rc; /* asked for one: a server that ignores it must not have two effects */
    if (!s->open_call)
        name_call(s, call_id);
    s->open_call = false;
    return send_text(s, AIOS_EVENT_CALL, name, s->call_id, args, n_args);
}

static int sink_choice(void *user, const char *name, const char *scores, size_t n)
{
    int rc = sink_check(user, name, scores, n);
    return rc ? rc : send_text(user, AIOS_EVENT_CHOICE, name, NULL, scores, n);
}

static int sink_route(void *user, const char *name, const char *why, size_t n)
{
    int rc = sink_check(user, name, why, n);
    return rc ? rc : send_text(user, AIOS_EVENT_ROUTE, name, NULL, why, n);
}

static int sink_logprobs(void *user, const char *json, size_t n)
{
    int rc = sink_check(user, "", json, n);
    return rc ? rc : send_text(user, AIOS_EVENT_LOGPROBS, NULL, NULL, json, n);
}

static int sink_usage(void *user, const aios_usage *usage)
{
    aios_session *s = user;
    aios_usage u;
    int rc = sink_dead(s);
    if (rc)
        return rc;
    if (!usage || aios__struct_in(&u, sizeof u, usage, NULL))
        return sink_failed(s, AIOS_EPROTO);
    aios_event ev = AIOS_INIT(aios_event);
    ev.type = AIOS_EVENT_USAGE;
    ev.usage = &u;
    return sink_failed(s, push(s, &ev));
}

static int sink_stop(void *user, const char *reason)
{
    aios_session *s = user;
    snprintf(s->reason, sizeof s->reason, "%s", reason ? reason : "stop");
    return AIOS_OK;
}

static int sink_park(void *user, int64_t until_ns)
{
    aios_session *s = user;
    s->parks = true;
    s->park_until = until_ns;
    return AIOS_OK;
}

static void sink_ready(void *user)
{
    aios_session *s = user;
    if (s->on_ready)
        s->on_ready(s->on_ready_user);
    else
        aios__driver_ready(&s->model->driver, s);
}

void aios__session_restart(aios_session *s)
{
    s->attempt++; /* what was sent so far is void */
    aios__buf_clear(&s->text);
    memcpy(s->reason, "stop", 5);
}

static int sink_restart(void *user)
{
    aios_session *s = user;
    int rc = sink_dead(s);
    if (rc)
        return rc;
    aios__session_restart(s);
    s->n_calls = 0;
    s->open_call = false;
    return AIOS_OK;
}

void aios__session_sink(aios_session *s, bool may_park, aios_sink *out)
{
    out->user = s;
    out->text = sink_text;
    out->reasoning = sink_reasoning;
    out->call = sink_call;
    out->usage = sink_usage;
    out->stop = sink_stop;
    out->choice = sink_choice;
    out->call_delta = s->deltas ? sink_call_delta : NULL;
    out->restart = sink_restart;
    out->sign = sink_sign;
    out->route = sink_route;
    out->logprobs = s->logprobs ? sink_logprobs : NULL;
    out->park = may_park ? sink_park : NULL;
    out->ready = may_park ? sink_ready : NULL;
}
