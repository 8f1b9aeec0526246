/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked: checked, and copied so that what is secret can be wiped. */
#include <strings.h>

#include "base/http_priv.h"

#define SECOND INT64_C(1000000000)

static const char no_expect[] = "Expect:"; /* no waiting for 100-continue */

static bool is_plain(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 && *s != '\t')
            return false;
    return true;
}

/* The line itself is not shown: it may be a secret. */
static int check_lines(const char *const *lines, const char *what, aios_error *err)
{
    for (size_t i = 0; lines && lines[i]; i++) {
        const char *colon = strchr(lines[i], ':');
        if (!colon || colon == lines[i] || !is_plain(lines[i]))
            return aios__fail(err, AIOS_EINVAL, "%s %zu is not of the form \"Name: value\" on one line", what, i);
    }
    return AIOS_OK;
}

static int check_proxy(const char *proxy, aios_error *err)
{
    static const char *const schemes[] = {"http://", "https://", "socks5h://"};
    for (size_t i = 0; proxy && i < AIOS__ARRAY_LEN(schemes); i++)
        if (!strncmp(proxy, schemes[i], strlen(schemes[i])) && is_plain(proxy))
            return AIOS_OK;
    return proxy ? aios__fail(err, AIOS_EINVAL, "the URL of the proxy must begin with http://, https:// or socks5h:// (names are looked up behind it)") : AIOS_OK;
}

static int check_request(const aios__http_request *r, aios_error *err)
{
    if (!r || !r->url || (r->n_body && !r->body))
        return aios__fail(err, AIOS_EINVAL, "an HTTP request needs a URL, and a body where it says so");
    if (r->method && strcmp(r->method, "GET") && strcmp(r->method, "POST"))
        return aios__fail(err, AIOS_EINVAL, "HTTP method \"%.16s\" is not GET or POST", r->method);
    if (r->n_body && r->method && !strcmp(r->method, "GET"))
        return aios__fail(err, AIOS_EINVAL, "a GET request has no body");
    if (r->connect_ns < 0 || r->first_byte_ns < 0 || r->idle_ns < 0 || r->total_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "a deadline of an HTTP request is negative");
    if (r->allow & ~(uint32_t)AIOS__ALLOW_ALL)
        return aios__fail(err, AIOS_EINVAL, "allow has bits that are no AIOS__ALLOW_x");
    int rc = check_lines(r->headers, "HTTP header", err);
    if (!rc)
        rc = check_lines(r->secret_headers, "secret HTTP header", err);
    return rc ? rc : check_proxy(r->proxy, err);
}

/* Puts the lines behind those that are there, or (p NULL) only counts them. */
static void add_lines(aios__asked *a, char *p, const char *const *lines)
{
    for (size_t i = 0; lines && lines[i]; i++) {
        size_t n = strlen(lines[i]) + 1;
        if (p)
            memcpy(p + a->n_line_bytes, lines[i], n);
        a->n_line_bytes += n;
        a->n_lines++;
    }
}

static void add_all_lines(aios__asked *a, char *p, const aios__http_request *r)
{
    const char *const first[] = {no_expect, NULL};
    a->n_line_bytes = a->n_lines = 0;
    add_lines(a, p, first);
    add_lines(a, p, r->headers);
    a->n_plain = a->n_lines;
    a->n_plain_bytes = a->n_line_bytes;
    add_lines(a, p, r->secret_headers);
}

static bool copy(aios__heap *heap, const char *s, size_t n, char **out, aios_error *err)
{
    *out = s ? aios__strndup(heap, AIOS_MEM_TEXT, s, n, err) : NULL;
    return *out || !s;
}

int aios__asked_init(aios__asked *a, aios__heap *heap, const aios__http_request *r, aios_error *err)
{
    int rc = check_request(r, err);
    if (rc)
        return rc;
    a->post = r->method ? !strcmp(r->method, "POST") : r->n_body > 0;
    a->n_body = r->n_body;
    a->https_only = r->https_only;
    a->http1 = r->http1;
    a->allow = r->allow;
    a->redirects_left = a->max_redirects = r->max_redirects;
    a->connect_ns = r->connect_ns ? r->connect_ns : 10 * SECOND;
    a->first_byte_ns = r->first_byte_ns ? r->first_byte_ns : 120 * SECOND;
    a->idle_ns = r->idle_ns ? r->idle_ns : 60 * SECOND;
    a->total_ns = r->total_ns ? r->total_ns : 600 * SECOND;
    add_all_lines(a, NULL, r);
    a->lines = aios__realloc(heap, AIOS_MEM_TEXT, NULL, a->n_line_bytes, err);
    if (!a->lines)
        return aios__error_code(err, AIOS_ENOMEM);
    add_all_lines(a, a->lines, r);
    bool ok = copy(heap, r->n_body ? r->body : "", r->n_body, &a->body, err) &&
              copy(heap, r->ca_file, r->ca_file ? strlen(r->ca_file) : 0, &a->ca_file, err) && copy(heap, r->proxy, r->proxy ? strlen(r->proxy) : 0, &a->proxy, err);
    return ok ? AIOS_OK : aios__error_code(err, AIOS_ENOMEM);
}

static void wipe_text(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
}

void aios__url_free(aios__url *u, aios__heap *heap)
{
    wipe_text(u->text); /* keys of some services stand in the query */
    aios__free(heap, u->scheme);
    aios__free(heap, u->host);
    aios__free(heap, u->port);
    aios__free(heap, u->text);
    memset(u, 0, sizeof *u);
}

uint32_t aios__url_kind(const aios__url *u)
{
    return strcasecmp(u->host, "localhost") ? aios__address_class(u->host) : AIOS__ALLOW_LOOPBACK;
}

int aios__asked_check_url(const aios__asked *a, const aios__url *u, aios_error *err)
{
    if (a->https_only && strcmp(u->scheme, "https"))
        return aios__fail(err, AIOS_ENOTSUP, "URL scheme \"%.16s\" is not https", u->scheme);
    uint32_t kind = aios__url_kind(u);
    if (a->proxy && a->allow && kind && !(a->allow & kind)) /* what a name stands for, only the proxy knows */
        return aios__fail(err, AIOS_EDENIED, "%s: a %s address, which this request does not allow", u->host, aios__address_kind(kind));
    return AIOS_OK;
}

const char *aios__asked_refusal(const aios__asked *a, const char *address)
{
    static const char *const why[] = {"special-purpose addresses are not allowed", "public addresses are not allowed", "private addresses are not allowed",
                                      "link-local addresses are not allowed", "loopback addresses are not allowed"};
    uint32_t kind = aios__address_class(address), row = 0;
    if (a->proxy || !a->allow || a->allow & kind)
        return NULL;
    while (kind >> row)
        row++;
    return why[row];
}

void aios__asked_free(aios__asked *a, aios__heap *heap)
{
    if (a->lines)
        explicit_bzero(a->lines, a->n_line_bytes);
    wipe_text(a->proxy);
    aios__url_free(&a->at, heap);
    aios__free(heap, a->lines);
    aios__free(heap, a->proxy);
    aios__free(heap, a->via);
    aios__free(heap, a->body);
    aios__free(heap, a->ca_file);
    memset(a, 0, sizeof *a);
}
