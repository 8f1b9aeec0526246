/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys out of messages. Servers quote what they were sent ("Incorrect API key provided: ..."), and every message of a failure goes through
 * here on its way to the host and the log. A message may be cut anywhere, so it is pieces of a secret that are looked for.
 */
#include "backend/http/remote_priv.h"

#define MIN_PIECE 8u  /* bytes of a secret that tell something */
#define MIN_SECRET 4u /* shorter ones ("x") are no secrets, and would be found in every word */

/* Bytes of s, at its beginning, that are a piece of the secret: as long as possible, 0 if it is shorter than a piece that counts. */
static size_t piece_at(const char *s, const char *secret, size_t n)
{
    size_t best = 0, least = n < MIN_PIECE ? n : MIN_PIECE;
    for (size_t i = 0; i + least <= n; i++) {
        size_t k = 0;
        while (i + k < n && s[k] && s[k] == secret[i + k])
            k++;
        best = k > best ? k : best;
    }
    return best >= least ? best : 0;
}

/* Puts three asterisks in place of each piece; the text does not grow. */
static void redact(char *msg, const char *secret, size_t n)
{
    char *out = msg;
    if (n < MIN_SECRET)
        return;
    for (const char *s = msg; *s;) {
        size_t k = piece_at(s, secret, n);
        if (!k) {
            *out++ = *s++;
            continue;
        }
        memcpy(out, "***", 3);
        out += 3;
        s += k;
    }
    *out = 0;
}

static void redact_text(char *msg, const char *secret)
{
    if (secret)
        redact(msg, secret, strlen(secret));
}

/* What stands behind a header's name, and behind the word for the kind of a credential. */
static void redact_header(char *msg, const char *line)
{
    const char *value = strchr(line, ':');
    for (value = value ? value + 1 : ""; *value == ' '; value++)
        ;
    redact_text(msg, value);
    const char *blank = strchr(value, ' ');
    if (blank)
        redact_text(msg, blank + 1);
}

/* User and password of "http://user:password@host". */
static void redact_proxy(char *msg, const char *url)
{
    const char *s = strstr(url, "://"), *at = strrchr(url, '@');
    s = s ? s + 3 : url;
    if (!at || at < s)
        return;
    const char *colon = memchr(s, ':', (size_t)(at - s));
    redact(msg, s, (size_t)(at - s));
    if (colon)
        redact(msg, colon + 1, (size_t)(at - colon - 1));
}

void aios__remote_redact(const aios__remote *m, const char *key, aios_error *err)
{
    if (!err)
        return;
    redact_text(err->msg, m->api_key);
    redact_text(err->msg, key);
    for (uint32_t i = 0; i < m->n_headers; i++)
        redact_header(err->msg, m->headers[i]);
    if (m->proxy)
        redact_proxy(err->msg, m->proxy);
}
