/* SPDX-License-Identifier: Apache-2.0 */
/* Redirects, one hop at a time between two requests to curl, so that each hop is checked like the first. */
#include <stdio.h>
#include <strings.h>

#include "base/http_priv.h"

bool aios__redirect_meant(const aios__asked *a, int status)
{
    static const struct {
        int status;
        bool post; /* repeats a POST too */
    } rows[] = {{301, false}, {302, false}, {303, false}, {307, true}, {308, true}};
    for (size_t i = 0; a->max_redirects && i < AIOS__ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].post || !a->post;
    return false;
}

static bool same_origin(const aios__url *a, const aios__url *b)
{
    return !strcmp(a->scheme, b->scheme) && !strcasecmp(a->host, b->host) && !strcmp(a->port, b->port);
}

/* What a server sends is its fault, not the caller's. */
static int blame_server(const aios__asked *a, int rc, aios_error *err)
{
    char why[sizeof err->msg];
    if (rc != AIOS_EINVAL && rc != AIOS_ENOTSUP)
        return rc;
    snprintf(why, sizeof why, "%s", err->msg);
    return aios__fail(err, AIOS_EPROTO, "%s: the place it redirects to cannot be used: %s", a->at.host, why);
}

static int find_place(aios__transfer *t, aios__url *to, aios_error *err)
{
    aios__asked *a = &t->asked;
    size_t n;
    const char *v = aios__came_find(&t->came, "location", &n);
    char *text = aios__strndup(aios__ctx_heap(t->ctx), AIOS_MEM_TEXT, v, n, err);
    if (!text)
        return aios__error_code(err, AIOS_ENOMEM);
    int rc = memchr(text, 0, n) ? aios__fail(err, AIOS_EINVAL, "it holds a NUL") : aios__curl_url(t->http, a->at.text, text, to, err);
    aios__free(aios__ctx_heap(t->ctx), text);
    if (!rc && !strcmp(a->at.scheme, "https") && !strcmp(to->scheme, "http"))
        return aios__fail(err, AIOS_EDENIED, "%s: it redirects from https to http, which is refused", a->at.host);
    if (!rc)
        rc = aios__asked_check_url(a, to, err);
    return rc ? blame_server(a, rc, err) : AIOS_OK;
}

/*
 * A hop stays with the kind of address that the one before had: a server here does not send what it was asked beyond this machine, one outside
 * opens no door to what is within. Behind a proxy, which alone knows what a name stands for, addresses in URLs are held against each other.
 */
static int stay_within(aios__transfer *t, const aios__url *to, aios_error *err)
{
    aios__asked *a = &t->asked;
    uint32_t from = a->proxy ? aios__url_kind(&a->at) : aios__address_class(aios__curl_address(t)), kind = aios__url_kind(to);
    bool named = !kind && !a->proxy && from; /* what it resolves to is checked when it is connected to */
    if (!a->proxy && from)
        a->allow = a->allow ? a->allow & from : from;
    if (kind == from || named || same_origin(&a->at, to))
        return AIOS_OK;
    return aios__fail(err, AIOS_EDENIED, "%s (%s) redirects to %s (%s), another kind of address, which is refused: ask there at once if that is meant", a->at.host,
                      from ? aios__address_kind(from) : "a name", to->host, kind ? aios__address_kind(kind) : "a name");
}

static void forget_response(aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    aios__came *c = &t->came;
    c->n_head = 0;
    c->last_byte = 0;
    c->status = 0;
    c->head_done = c->hop = false;
    t->ended = t->paused = t->connected = false;
    t->refused = NULL;
    t->curl_text[0] = 0;
    t->hop_started = aios__now_ns(aios__ctx_env(t->ctx));
    aios__loop_alarm(t);
    pthread_mutex_unlock(&h->lock);
}

int aios__redirect_follow(aios__transfer *t, aios_error *err)
{
    aios__asked *a = &t->asked;
    aios__heap *heap = aios__ctx_heap(t->ctx);
    aios__url to = {0};
    if (!a->redirects_left)
        return aios__fail(err, AIOS_EPROTO, "%s: redirected more than %u times", a->at.host, a->max_redirects);
    int rc = find_place(t, &to, err);
    rc = rc ? rc : stay_within(t, &to, err);
    if (rc) {
        aios__url_free(&to, heap);
        return rc;
    }
    a->redirects_left--;
    aios__loop_take(t->http);
    aios__curl_remove(t);
    if (!same_origin(&a->at, &to)) {
        a->moved = true;
        explicit_bzero(a->lines + a->n_plain_bytes, a->n_line_bytes - a->n_plain_bytes);
        a->n_lines = a->n_plain;
        a->n_line_bytes = a->n_plain_bytes;
    }
    aios__url_free(&a->at, heap);
    a->at = to;
    forget_response(t);
    rc = aios__curl_reopen(t, err);
    if (!rc)
        rc = aios__curl_add(t, err);
    aios__loop_give(t->http);
    return rc;
}
