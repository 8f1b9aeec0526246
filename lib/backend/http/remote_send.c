/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with a model's headers, key and limits. */
#include <aios/version.h>
#include <stdio.h>

#include "backend/http/remote_priv.h"

#define MAX_HEADERS 64u
#define MAX_REDIRECTS 3

/* Header lines of one request, plain ones and secret ones; wiped after use. */
typedef struct head {
    const char *lines[MAX_HEADERS + 1], *secrets[MAX_HEADERS + 1];
    uint32_t n, n_secrets;
    char agent[64], idempotency[96];
    char auth[AIOS__MAX_KEY + 64];
} head;

static void add(head *h, const char *line)
{
    if (h->n < MAX_HEADERS)
        h->lines[h->n++] = line;
}

static void add_secret(head *h, const char *line)
{
    if (h->n_secrets < MAX_HEADERS)
        h->secrets[h->n_secrets++] = line;
}

static int keep_secret(const aios__remote *m, const char *key, char **secret, aios_error *err)
{
    *secret = aios__strndup(m->heap, AIOS_MEM_TEXT, key, strlen(key), err);
    return *secret ? AIOS_OK : aios__nomem(err);
}

void aios__remote_forget(const aios__remote *m, char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    aios__free(m->heap, secret);
}

static int add_key(const aios__remote *m, head *h, char **secret, aios_error *err)
{
    char key[AIOS__MAX_KEY] = "";
    int rc = AIOS_OK;
    if (m->api_key)
        snprintf(key, sizeof key, "%s", m->api_key);
    else if (m->credential)
        rc = m->credential(m->credential_user, m->origin, key, sizeof key);
    key[sizeof key - 1] = 0;
    if (rc)
        rc = aios__fail(err, rc < 0 ? rc : AIOS_EAUTH, "the credential callback gave no key for %s", m->origin);
    else if (*key) {
        snprintf(h->auth, sizeof h->auth, "%s%s", m->server.dialect->auth, key);
        add_secret(h, h->auth);
        rc = m->api_key ? AIOS_OK : keep_secret(m, key, secret, err);
    }
    explicit_bzero(key, sizeof key);
    return rc;
}

static int make_head(const aios__remote *m, bool post, const char *idempotency, head *h, char **secret, aios_error *err)
{
    const char *const *more = m->server.dialect->headers;
    snprintf(h->agent, sizeof h->agent, "User-Agent: libaios/%d.%d.%d", AIOS_VERSION_MAJOR, AIOS_VERSION_MINOR, AIOS_VERSION_PATCH);
    add(h, h->agent);
    add(h, "Accept: application/json, text/event-stream, application/x-ndjson");
    if (post)
        add(h, "Content-Type: application/json");
    for (; more && *more; more++)
        add(h, *more);
    if (idempotency) {
        snprintf(h->idempotency, sizeof h->idempotency, "Idempotency-Key: %s", idempotency);
        add(h, h->idempotency);
    }
    int rc = add_key(m, h, secret, err);
    for (uint32_t i = 0; i < m->n_headers; i++)
        add_secret(h, m->headers[i]);
    return rc;
}

int aios__remote_send(aios__remote *m, const char *path, const aios__buf *body, const char *idempotency, int (*on_body)(void *user, const char *s, size_t n),
                      void *user, char **secret, aios__transfer **t, aios_error *err)
{
    head *h = aios__alloc(m->heap, AIOS_MEM_TEXT, sizeof *h, err);
    aios__buf url;
    if (!h)
        return aios__nomem(err);
    aios__buf_init(&url, m->heap, AIOS_MEM_TEXT, 0);
    aios__buf_adds(&url, m->server.base_url, err);
    int rc = aios__buf_adds(&url, path, err);
    rc = rc ? rc : make_head(m, body != NULL, idempotency, h, secret, err);
    if (!rc) {
        const aios__http_request q = {
            .method = body ? "POST" : "GET",
            .url = url.p,
            .headers = h->lines,
            .secret_headers = h->secrets,
            .proxy = m->proxy,
            .body = body ? body->p : NULL,
            .n_body = body ? body->n : 0,
            .ca_file = m->ca_file,
            .max_redirects = MAX_REDIRECTS,
            .allow = m->privacy == AIOS_PRIVACY_LOCAL ? AIOS__ALLOW_LOOPBACK : 0,
            .max_body = m->max_body,
            .connect_ns = m->connect_ns,
            .first_byte_ns = m->first_byte_ns,
            .idle_ns = m->idle_ns,
            .total_ns = m->total_ns,
            .on_body = on_body,
            .user = user,
        };
        rc = aios__http_start(m->server.ctx, &q, t, err);
    }
    aios__buf_free(&url);
    explicit_bzero(h, sizeof *h);
    aios__free(m->heap, h);
    return rc;
}

int aios__remote_blame_move(const aios__remote *m, const aios__transfer *t, int code, aios_error *err)
{
    char said[300];
    const char *to = t ? aios__transfer_moved(t) : NULL;
    if (!err || !to || code != AIOS_EAUTH)
        return code;
    snprintf(said, sizeof said, "%.*s", (int)aios__utf8_whole(err->msg, strnlen(err->msg, sizeof said - 1)), err->msg);
    return aios__fail(err, code, "%s; the request was redirected to %.200s, which is sent no key of %s: configure that address if the key is meant"
                      " for it", said, to, m->origin);
}
