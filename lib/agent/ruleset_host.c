/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts in URLs. What two parsers could read in two ways is refused, not guessed. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/ruleset.h"

static const struct {
    const char *name;
    uint32_t port;
} schemes[] = {{"https", 443}, {"http", 80}, {"wss", 443}, {"ws", 80}, {"ftp", 21}, {"ssh", 22}};

static uint32_t port_of(const char *scheme)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(schemes); i++)
        if (!strcmp(schemes[i].name, scheme))
            return schemes[i].port;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z');
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s;
}

/* Browsers read a host whose last label is a number as an IPv4 address, in decimal, octal or hexadecimal. */
static const char *read_v4(aios__url *u, bool *found)
{
    const char *last = strrchr(u->host, '.');
    last = last ? last + 1 : u->host;
    bool hex = last[0] == '0' && last[1] == 'x';
    *found = is_digit(*last) && (hex || last[strspn(last, "0123456789")] == 0);
    if (!*found)
        return NULL;
    struct in_addr a;
    if (inet_pton(AF_INET, u->host, &a) != 1) /* strict: four decimals without leading zeros */
        return "has an address in a form that is not a.b.c.d in decimals";
    u->address = true;
    return NULL;
}

static const char *read_v6(aios__url *u)
{
    struct in6_addr a;
    char text[INET6_ADDRSTRLEN];
    if (inet_pton(AF_INET6, u->host, &a) != 1)
        return "has an IPv6 address that is none";
    u->address = true;
    if (IN6_IS_ADDR_V4MAPPED(&a))
        snprintf(text, sizeof text, "%u.%u.%u.%u", a.s6_addr[12], a.s6_addr[13], a.s6_addr[14], a.s6_addr[15]);
    else if (!inet_ntop(AF_INET6, &a, text, sizeof text))
        return "has an IPv6 address that is none";
    snprintf(u->host, sizeof u->host, "%s", text);
    return NULL;
}

static const char *read_name(aios__url *u)
{
    size_t n = strlen(u->host);
    bool v4;
    lower(u->host);
    if (n && u->host[n - 1] == '.')
        u->host[--n] = 0;
    if (!n)
        return "has no host";
    const char *why = read_v4(u, &v4);
    if (v4)
        return why;
    for (const char *s = u->host;;) {
        size_t k = strcspn(s, ".");
        if (!k || k > 63)
            return "has a host with an empty or too long label";
        if (s[0] == '-' || s[k - 1] == '-')
            return "has a host with a label that begins or ends with \"-\"";
        for (size_t i = 0; i < k; i++)
            if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_')
                return "has a host with characters other than letters, digits, \"-\" and \".\" (write international names as xn--)";
        if (!s[k])
            return NULL;
        s += k + 1;
    }
}

/* host, [v6] and :port of n bytes; *port: 0 if there is none, UINT32_MAX for "*". */
static const char *read_authority(const char *s, size_t n, aios__url *u, uint32_t *port)
{
    const char *end = s + n, *p = s;
    bool v6 = n && *s == '[';
    if (memchr(s, '@', n))
        return "has a user in front of its host";
    while (p < end && (v6 ? *p != ']' : *p != ':'))
        p++;
    size_t k = (size_t)(p - s) - v6;
    if (v6 && p == end)
        return "has \"[\" without \"]\"";
    if (k >= sizeof u->host)
        return "has a host that is too long";
    memcpy(u->host, s + v6, k);
    u->host[k] = 0;
    const char *why = v6 ? read_v6(u) : read_name(u);
    p += v6;
    *port = 0;
    if (why || p == end)
        return why;
    if (*p++ != ':' || p == end || end - p > 5)
        return "has a port that is none";
    if (end - p == 1 && *p == '*') {
        *port = UINT32_MAX;
        return NULL;
    }
    for (; p < end; p++) {
        if (!is_digit(*p))
            return "has a port that is none";
        *port = *port * 10 + (uint32_t)(*p - '0');
    }
    return *port && *port < 65536 ? NULL : "has a port that is none";
}

static const char *read_scheme(const char *s, size_t n, aios__url *u)
{
    if (!n || n >= sizeof u->scheme)
        return "has a scheme that is not known here";
    memcpy(u->scheme, s, n);
    u->scheme[n] = 0;
    lower(u->scheme);
    return port_of(u->scheme) ? NULL : "has a scheme that is not known here (https, http, wss, ws, ftp, ssh)";
}

const char *aios__url_read(const char *s, size_t n, aios__url *out)
{
    uint32_t port = 0;
    *out = (aios__url){.scheme = "https"};
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || s[i] == 127 || s[i] == '\\')
            return "has a blank, a control character or a backslash";
    const char *sep = memmem(s, n, "://", 3);
    out->bare = !sep;
    const char *why = sep ? read_scheme(s, (size_t)(sep - s), out) : NULL;
    const char *from = sep ? sep + 3 : s, *to = from;
    while (to < s + n && (out->bare || (*to != '/' && *to != '?' && *to != '#')))
        to++;
    why = why ? why : read_authority(from, (size_t)(to - from), out, &port);
    if (!why && port == UINT32_MAX)
        why = "has a port that is none";
    out->port = port ? port : port_of(out->scheme);
    return why;
}

const char *aios__host_read(const char *s, aios__host_pattern *out)
{
    uint32_t port = 0;
    *out = (aios__host_pattern){.url = {.scheme = "https"}};
    const char *sep = strstr(s, "://");
    const char *why = sep ? read_scheme(s, (size_t)(sep - s), &out->url) : NULL, *from = sep ? sep + 3 : s;
    out->below = !strncmp(from, "*.", 2);
    from += out->below ? 2 : 0;
    why = why ? why : read_authority(from, strlen(from), &out->url, &port);
    if (!why && out->below && out->url.address)
        why = "has \"*.\" in front of an address";
    out->any_port = port == UINT32_MAX;
    out->url.port = port ? port : port_of(out->url.scheme);
    return why;
}

bool aios__host_fits(const aios__host_pattern *p, const aios__url *u)
{
    size_t n = strlen(u->host), k = strlen(p->url.host);
    if ((!p->any_port && p->url.port != u->port) || strcmp(p->url.scheme, u->scheme))
        return false;
    if (!p->below)
        return !strcmp(p->url.host, u->host);
    return !u->address && n > k + 1 && u->host[n - k - 1] == '.' && !strcmp(u->host + n - k, p->url.host);
}
