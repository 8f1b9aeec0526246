/* SPDX-License-Identifier: Apache-2.0 */
/* Models behind HTTP as a backend: one for each scheme of each dialect. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/http/quirks.h"
#include "backend/http/remote_priv.h"

#define FIRST_ESTIMATE 3500u /* thousandths of a byte of JSON for a token, before a server has counted */
#define DEFAULT_RETRIES 2u
#define MAX_SECRETS 48u

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static int keep(aios__remote *m, const char *s, char **out, aios_error *err)
{
    if (!s || !*s)
        return AIOS_OK;
    *out = aios__strndup(m->heap, AIOS_MEM_TEXT, s, strlen(s), err);
    return *out ? AIOS_OK : aios__nomem(err);
}

static int keep_headers(aios__remote *m, const char *const *src, aios_error *err)
{
    uint32_t n = 0;
    while (src && src[n])
        n++;
    if (n > MAX_SECRETS)
        return aios__fail_need(err, AIOS_EINVAL, MAX_SECRETS, n, "remote.headers: %u are more than the %u allowed", n, MAX_SECRETS);
    m->headers = aios__alloc_array(m->heap, AIOS_MEM_TEXT, n + 1, sizeof *m->headers, err);
    int rc = m->headers ? AIOS_OK : aios__nomem(err);
    for (; !rc && m->n_headers < n; m->n_headers += !rc)
        rc = keep(m, src[m->n_headers], &m->headers[m->n_headers], err);
    return rc;
}

static int check_config(const aios_remote_config *c, aios_error *err)
{
    if (c->flags & ~(uint32_t)(AIOS_REMOTE_PLAIN_HTTP | AIOS_REMOTE_KEEP))
        return aios__fail(err, AIOS_EINVAL, "remote.flags 0x%x has bits that are no AIOS_REMOTE_x", c->flags);
    if (c->connect_ns < 0 || c->first_byte_ns < 0 || c->idle_ns < 0 || c->total_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "a deadline of remote is negative: use 0 for the default");
    if (c->api_key && strlen(c->api_key) >= AIOS__MAX_KEY)
        return aios__fail_need(err, AIOS_EINVAL, AIOS__MAX_KEY - 1, strlen(c->api_key),
                               "the key (remote.api_key; the command: the variable of --api-key-env) is longer than the %d bytes a key may have", AIOS__MAX_KEY - 1);
    for (const char *p = c->api_key; p && *p; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return aios__fail(err, AIOS_EINVAL, "the key (remote.api_key; the command: the variable of --api-key-env) holds a blank or a character that no key has");
    return AIOS_OK;
}

static int read_config(aios__remote *m, const aios_remote_config *c, aios_error *err)
{
    int rc = check_config(c, err);
    rc = rc ? rc : keep(m, c->api_key, &m->api_key, err);
    rc = rc ? rc : keep(m, c->proxy, &m->proxy, err);
    rc = rc ? rc : keep(m, c->ca_file, &m->ca_file, err);
    rc = rc ? rc : keep_headers(m, c->headers, err);
    m->credential = c->credential;
    m->credential_user = c->credential_user;
    m->max_retries = c->max_retries == AIOS_NO_RETRIES ? 0 : c->max_retries ? c->max_retries : DEFAULT_RETRIES;
    m->connect_ns = c->connect_ns;
    m->first_byte_ns = c->first_byte_ns;
    m->idle_ns = c->idle_ns;
    m->total_ns = c->total_ns;
    m->max_body = c->max_body;
    m->requests_per_min = c->requests_per_min;
    m->tokens_per_min = c->tokens_per_min;
    m->server.keep = c->flags & AIOS_REMOTE_KEEP;
    return rc;
}

static void wipe(aios__remote *m, char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    aios__free(m->heap, s);
}

/* ---- where it is -------------------------------------------------------------------------------------------------- */

/* An address, not a name that looks like one ("127.0.0.1.example.com"). */
static bool is_loopback(const char *host)
{
    struct in_addr a;
    return !strcmp(host, "localhost") || !strcmp(host, "[::1]") || (inet_pton(AF_INET, host, &a) == 1 && ntohl(a.s_addr) >> 24 == 127);
}

/* Bytes of the host at the beginning of "host:port/path". */
static size_t host_len(const char *s)
{
    return *s == '[' ? strcspn(s, "]") + 1 : strcspn(s, ":/?#");
}

/* Is the proxy on this machine? */
static bool is_near(const char *proxy)
{
    char name[256];
    const char *s = strstr(proxy, "://"), *host = s ? s + 3 : proxy, *at = memrchr(host, '@', strcspn(host, "/?#"));
    host = at ? at + 1 : host;
    snprintf(name, sizeof name, "%.*s", (int)(host_len(host) < sizeof name ? host_len(host) : 0), host);
    return is_loopback(name);
}

/* Host and origin of a base URL. */
static int read_origin(aios__remote *m, const char *url, uint32_t flags, aios_error *err)
{
    bool plain = !strncmp(url, "http://", 7), tls = !strncmp(url, "https://", 8);
    if (!plain && !tls)
        return aios__fail(err, AIOS_EINVAL, "the base URL of %s does not begin with https:// or http://", m->server.dialect->title);
    const char *host = url + (plain ? 7 : 8);
    size_t n_origin = (size_t)(host - url) + strcspn(host, "/?#"), n_host = host_len(host);
    if (!n_host || n_host > 255 || memchr(url, '@', n_origin))
        return aios__fail(err, AIOS_EINVAL, "the base URL of %s names no host, or a user", m->server.dialect->title);
    m->origin = aios__strndup(m->heap, AIOS_MEM_TEXT, url, n_origin, err);
    m->host = aios__strndup(m->heap, AIOS_MEM_TEXT, host, n_host, err);
    if (!m->origin || !m->host)
        return aios__nomem(err);
    for (char *p = m->host; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    m->privacy = is_loopback(m->host) ? AIOS_PRIVACY_LOCAL : AIOS_PRIVACY_REMOTE;
    if (plain && m->privacy != AIOS_PRIVACY_LOCAL && !(flags & AIOS_REMOTE_PLAIN_HTTP))
        return aios__fail(err, AIOS_EDENIED, "%s would be asked by http://, which everybody on the way can read: use https://, or allow it (AIOS_REMOTE_PLAIN_HTTP in remote.flags, plain_http in Python, --plain-http of the command)",
                          m->host);
    return AIOS_OK;
}

/* What a provider signs is marked by its dialect alone where it is at its own address: transcripts of it know no other. */
static int keep_seal(aios__remote *m, aios_error *err)
{
    const char *own = m->uri.dialect->base_url;
    size_t n = strlen(m->origin);
    aios__buf seal;
    if (own && !strncmp(own, m->origin, n) && (own[n] == '/' || !own[n]))
        return AIOS_OK;
    aios__buf_init(&seal, m->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__buf_addf(&seal, err, "%s@%s", m->uri.dialect->name, m->origin);
    if (!rc && !(m->seal = aios__strndup(m->heap, AIOS_MEM_TEXT, seal.p, seal.n, err)))
        rc = aios__nomem(err);
    m->server.seal = m->seal;
    aios__buf_free(&seal);
    return rc;
}

/* The configured base URL, whole and without a slash at its end. */
static int keep_url(aios__remote *m, const char *given, aios_error *err)
{
    aios__buf url;
    aios__buf_init(&url, m->heap, AIOS_MEM_TEXT, 0);
    int rc = m->uri.dialect->complete_url ? m->uri.dialect->complete_url(given, &url, err) : aios__buf_adds(&url, given, err);
    size_t n = rc ? 0 : url.n;
    while (n && url.p[n - 1] == '/')
        n--;
    if (!rc && !(m->uri.base_url = aios__strndup(m->heap, AIOS_MEM_TEXT, url.p, n, err)))
        rc = aios__nomem(err);
    aios__buf_free(&url);
    return rc;
}

/* Ollama hands on what is asked of its models "NAME:cloud" and "NAME:SIZE-cloud". */
static bool is_forwarded(const char *model)
{
    size_t n = strlen(model);
    return n > 6 && !strcmp(model + n - 5, "cloud") && (model[n - 6] == ':' || model[n - 6] == '-');
}

static int place(aios__remote *m, const char *base_url, uint32_t flags, aios_error *err)
{
    const aios__dialect *d = m->uri.dialect;
    int rc = base_url && *base_url && !m->uri.base_url ? keep_url(m, base_url, err) : AIOS_OK;
    if (rc)
        return rc;
    m->server.dialect = d;
    m->server.model = m->uri.model;
    m->server.base_url = m->uri.base_url ? m->uri.base_url : d->base_url;
    if (!m->server.base_url)
        return aios__fail(err, AIOS_EINVAL, "%s has no usual address: write %s+https://HOST/PATH#MODEL", d->title, d->name);
    rc = read_origin(m, m->server.base_url, flags, err);
    m->server.host = m->host;
    rc = rc ? rc : keep_seal(m, err);
    if (!rc && m->proxy && m->privacy == AIOS_PRIVACY_LOCAL && !is_near(m->proxy)) { /* what is said on this machine stays here */
        aios__log(m->server.ctx, AIOS_LOG_INFO, "%s is on this machine, and asked without the proxy", m->host);
        wipe(m, m->proxy);
        m->proxy = NULL;
    }
    if (is_forwarded(m->server.model))
        m->privacy = AIOS_PRIVACY_REMOTE;
    if (!rc)
        aios__quirks_of_host(&m->server);
    return rc;
}

/* ---- model -------------------------------------------------------------------------------------------------------- */

static void http_close(void *model)
{
    aios__remote *m = model;
    for (uint32_t i = 0; i < m->n_headers; i++)
        wipe(m, m->headers[i]);
    aios__free(m->heap, m->headers);
    wipe(m, m->api_key);
    wipe(m, m->proxy);
    pthread_mutex_destroy(&m->gate.lock);
    aios__free(m->heap, m->ca_file);
    aios__free(m->heap, m->host);
    aios__free(m->heap, m->origin);
    aios__free(m->heap, m->seal);
    aios__remote_uri_free(m->heap, &m->uri);
    aios__free(m->heap, m);
}

static int http_open(void *user, const aios_backend_open_args *args, void **out, aios_error *err)
{
    AIOS__UNUSED(user);
    aios__heap *h = aios__ctx_heap(args->ctx);
    aios_remote_config cfg;
    int rc = aios__struct_in(&cfg, sizeof cfg, args->config->remote, err);
    aios__remote *m = rc ? NULL : aios__alloc(h, AIOS_MEM_OTHER, sizeof *m, err);
    if (!m)
        return rc ? rc : aios__nomem(err);
    if (pthread_mutex_init(&m->gate.lock, NULL)) {
        aios__free(h, m);
        return aios__fail(err, AIOS_ENOMEM, "the system has no room for another mutex");
    }
    m->heap = h;
    m->server.ctx = args->ctx;
    m->millibytes_per_token = FIRST_ESTIMATE;
    m->n_ctx = m->server.n_ctx = args->config->n_ctx;
    rc = aios__remote_uri_read(h, args->uri, &m->uri, err);
    rc = rc ? rc : read_config(m, &cfg, err);
    rc = rc ? rc : place(m, cfg.base_url, cfg.flags, err);
    if (rc) {
        http_close(m);
        return rc;
    }
    *out = m;
    return AIOS_OK;
}

static int http_info(void *model, aios_model_info *out)
{
    const aios__remote *m = model;
    out->name = m->server.model;
    out->architecture = "";
    out->quantization = "";
    out->n_ctx = out->n_ctx_train = m->n_ctx;
    out->privacy = m->privacy;
    out->flags = m->server.dialect->can | AIOS_MODEL_HAS_TEMPLATE;
    return AIOS_OK;
}

/* ---- what a server is asked besides turns -------------------------------------------------------------------------- */

static int http_list(void *model, aios_write_fn *fn, void *user, aios_error *err)
{
    aios__remote *m = model;
    const aios__dialect *d = m->server.dialect;
    aios__json_doc *doc = NULL;
    aios__buf out;
    if (!d->list_path)
        return aios__fail(err, AIOS_ENOTSUP, "%s has no list of models", d->title);
    aios__buf_init(&out, m->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__remote_ask(m, d->list_path, NULL, 0, &doc, err);
    if (!rc)
        aios__quirks_of_list(&m->server, aios__json_root(doc));
    rc = rc ? rc : aios__buf_addc(&out, '[', err);
    rc = rc ? rc : d->decode_list(aios__json_root(doc), &out, err);
    rc = rc ? rc : aios__buf_addc(&out, ']', err);
    if (!rc && (rc = fn(user, out.p, out.n)) != 0)
        rc = aios__fail(err, rc, "the receiver of the list stopped");
    aios__json_free(doc);
    aios__buf_free(&out);
    return rc;
}

typedef int read_fn(const aios__json *v, void *user, aios_error *err);

/* Sends what an encoder wrote and reads the answer; n_tokens as of aios__remote_ask. */
static int ask(aios__remote *m, int encoded, aios__message *q, uint32_t n_tokens, read_fn *fn, void *user, aios_error *err)
{
    aios__json_doc *doc = NULL;
    int rc = encoded ? encoded : aios__remote_ask(m, q->path.p, &q->body, n_tokens, &doc, err);
    rc = rc ? rc : fn(aios__json_root(doc), user, err);
    aios__json_free(doc);
    aios__message_free(q);
    return rc;
}

typedef struct floats {
    const aios__remote *remote;
    float *out;
    uint32_t n;
} floats;

static int read_floats(const aios__json *v, void *user, aios_error *err)
{
    const floats *f = user;
    const aios__json *a = f->remote->server.dialect->decode_embed(v);
    size_t n = aios__json_count(a);
    if (!n)
        return aios__fail(err, AIOS_EPROTO, "%s: the answer holds no embedding", f->remote->host);
    if (n != f->n)
        return aios__fail_need(err, AIOS_EINVAL, f->n, n, "an embedding of this model has %zu floats, not %u", n, f->n);
    for (uint32_t i = 0; i < f->n; i++)
        f->out[i] = (float)aios__json_real(aios__json_at(a, i), 0);
    return AIOS_OK;
}

static int http_embed(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err)
{
    aios__remote *m = model;
    const aios__dialect *d = m->server.dialect;
    floats f = {m, out, n_out};
    aios__message q;
    if (!d->encode_embed)
        return aios__fail(err, AIOS_ENOTSUP, "%s has no embeddings", d->title);
    aios__message_init(m, &q);
    int rc = d->encode_embed(&m->server, s, n, &q, err);
    uint32_t n_tokens = aios__remote_estimate(m, q.body.n);
    return ask(m, rc, &q, n_tokens ? n_tokens : 1, read_floats, &f, err);
}

typedef struct tally {
    const aios__dialect *dialect;
    uint32_t *n;
} tally;

static int read_tally(const aios__json *v, void *user, aios_error *err)
{
    const tally *t = user;
    return t->dialect->decode_count(v, t->n, err);
}

static int http_count(void *session, const aios_request *req, uint32_t *n, aios_error *err)
{
    aios__remote *m = aios__remote_turn_model(session);
    const aios__dialect *d = m->server.dialect;
    tally t = {d, n};
    aios__message q;
    aios__message_init(m, &q);
    int rc = AIOS_ENOENT; /* not every server of a dialect counts */
    if (d->encode_count)
        rc = ask(m, d->encode_count(&m->server, req, &q, err), &q, 0, read_tally, &t, err);
    if (rc != AIOS_ENOENT)
        return rc;
    aios__message_init(m, &q);
    rc = aios__remote_encode(m, req, &q, err);
    const aios__prompt none = {0};
    aios__prompt prompt;
    aios__prompt_read(req, &none, &prompt);
    *n = rc ? 0 : aios__remote_estimate(m, aios__prompt_bytes(&prompt, q.body.n));
    aios__message_free(&q);
    return rc;
}

/* ---- session ------------------------------------------------------------------------------------------------------ */

static int http_session_new(void *model, const aios_session_config *cfg, void **out, aios_error *err)
{
    aios__remote *m = model;
    if (cfg->n_ctx && m->n_ctx && cfg->n_ctx > m->n_ctx)
        return aios__fail_need(err, AIOS_ECONTEXT, m->n_ctx, cfg->n_ctx, "a session of %u tokens was asked for, the model has %u", cfg->n_ctx, m->n_ctx);
    return aios__remote_turn_new(m, (aios__remote_turn **)out, err);
}

static void http_session_free(void *session)
{
    aios__remote_turn_free(session);
}

static int http_start(void *session, const aios_request *req, aios_error *err)
{
    return aios__remote_turn_start(session, req, err);
}

static int http_step(void *session, const aios_sink *sink, aios_error *err)
{
    return aios__remote_turn_step(session, sink, err);
}

static int http_wait(void *model, int32_t timeout_ms)
{
    aios__remote *m = model;
    return aios__http_wait(m->server.ctx, timeout_ms, &m->woken, NULL);
}

static void http_wake(void *model)
{
    aios__remote *m = model;
    aios__http_wake(m->server.ctx, &m->woken);
}

static void http_cancel(void *session)
{
    aios__remote_turn_cancel(session);
    http_wake(aios__remote_turn_model(session));
}

static int register_scheme(aios_ctx *ctx, const char *name, const char *more, aios_error *err)
{
    char scheme[33];
    snprintf(scheme, sizeof scheme, "%s%s", name, more);
    const aios_backend_ops ops = {
        .struct_size = sizeof ops,
        .name = scheme,
        .open = http_open,
        .close = http_close,
        .info = http_info,
        .session_new = http_session_new,
        .session_free = http_session_free,
        .start = http_start,
        .step = http_step,
        .cancel = http_cancel,
        .count = http_count,
        .embed = http_embed,
        .list = http_list,
        .wait = http_wait,
        .wake = http_wake,
    };
    return aios__backend_register_loop(ctx, &ops, NULL, err);
}

int aios__backend_http_init(aios_ctx *ctx, aios_error *err)
{
    static const char *const more[] = {"", "+http", "+https"};
    int rc = register_scheme(ctx, "http", "", err);
    rc = rc ? rc : register_scheme(ctx, "https", "", err);
    for (uint32_t i = 0; !rc && aios__dialect_at(i); i++)
        for (size_t k = 0; !rc && k < AIOS__ARRAY_LEN(more); k++)
            rc = register_scheme(ctx, aios__dialect_at(i)->name, more[k], err);
    return rc;
}

/* ---- the environment ---------------------------------------------------------------------------------------------- */

static const char *variable(const char *name)
{
    const char *s = name ? getenv(name) : NULL;
    return s && *s ? s : NULL;
}

/* What record:{...} records; what is wrong with the object is told when it is opened. */
static int from_object(const char *text, aios_remote_config *cfg, aios_error *err)
{
    aios_ctx *ctx = NULL;
    aios__json_doc *doc = NULL;
    int rc = aios_ctx_new(NULL, &ctx, err);
    if (rc)
        return rc;
    rc = aios__json_parse(aios__ctx_heap(ctx), text, strlen(text), &doc, NULL);
    const char *uri = rc ? NULL : aios__json_str(aios__json_get(aios__json_root(doc), "model"), NULL);
    rc = uri ? aios_remote_config_from_env(uri, cfg, err) : AIOS_OK;
    aios__json_free(doc);
    aios_ctx_free(ctx);
    return rc;
}

int aios_remote_config_from_env(const char *uri, aios_remote_config *cfg, aios_error *err)
{
    static const char record[] = "record:"; /* its model's keys are meant */
    aios_remote_config c;
    if (!uri || !cfg)
        return aios__fail(err, AIOS_EINVAL, "aios_remote_config_from_env: %s is NULL", uri ? "cfg" : "uri");
    while (!strncmp(uri, record, sizeof record - 1)) {
        const char *text = uri + sizeof record - 1;
        if (*text == '{')
            return from_object(text, cfg, err);
        uri = strchr(text, '|') ? strchr(text, '|') + 1 : "";
    }
    int rc = aios__struct_in(&c, sizeof c, cfg, err);
    const char *colon = strchr(uri, ':');
    const aios__dialect *d = colon ? aios__dialect_find(uri, (size_t)(colon - uri)) : NULL; /* a host of the URI's own gets no key */
    if (rc || !d)
        return rc;
    for (size_t i = 0; !c.api_key && !c.credential && i < AIOS__ARRAY_LEN(d->key_names); i++)
        c.api_key = variable(d->key_names[i]);
    if (!c.base_url)
        c.base_url = variable(d->url_name);
    return aios__struct_out(cfg, &c, sizeof c);
}
