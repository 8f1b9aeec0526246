/* SPDX-License-Identifier: Apache-2.0 */
/* What must not lie in a file that is shared: keys and credentials, by how they look and by what stands before them. */
#include <ctype.h>
#include <fnmatch.h>
#include <strings.h>

#include "backend/record/record_priv.h"

enum { SHORTEST = 8 }; /* of a value that only blanks part from its herald */

/* What follows one of these is one, whatever it looks like. */
static const char *const heralds[] = {"authorization", "proxy-authorization", "x-api-key", "api-key", "api_key", "apikey", "x-goog-api-key",
                                      "access_token", "refresh_token", "client_secret", "secret_key", "password", "passwd", "bearer"};
/* And what begins like this, with so many characters at least behind it. */
static const struct {
    const char *begin;
    size_t least;
} looks[] = {{"sk-", 16}, {"sk_", 16}, {"pk_", 16}, {"rk_", 16}, {"ghp_", 20}, {"gho_", 20}, {"github_pat_", 20}, {"glpat-", 16}, {"xoxb-", 16}, {"xoxp-", 16},
             {"AIza", 30}, {"AKIA", 16}, {"hf_", 20}, {"eyJ", 30}, {"gsk_", 20}, {"xai-", 20}};

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || (c && strchr("-_.~+/=", c)) || (unsigned char)c >= 0x80;
}

static size_t word_len(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && in_word(s[i]))
        i++;
    return i;
}

static bool looks_secret(const char *s, size_t n)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(looks); i++) {
        size_t k = strlen(looks[i].begin);
        if (n >= k + looks[i].least && !memcmp(s, looks[i].begin, k))
            return true;
    }
    return false;
}

static bool matches(const aios__tape_args *a, const char *s, size_t n)
{
    char word[256];
    if (n >= sizeof word || !a->patterns)
        return false;
    memcpy(word, s, n);
    word[n] = 0;
    for (size_t i = 0; i < aios__json_count(a->patterns); i++)
        if (!fnmatch(aios__json_str(aios__json_at(a->patterns, i), NULL), word, 0))
            return true;
    return false;
}

static bool is_herald(const char *s, size_t n)
{
    while (n && strchr("=-_.", s[n - 1]))
        n--;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(heralds); i++)
        if (n == strlen(heralds[i]) && !strncasecmp(s, heralds[i], n))
            return true;
    return false;
}

static bool has_sign(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strchr(":=\"\\", s[i]) && s[i])
            return true;
    return false;
}

/* Bytes from the end of a herald to its value: quotes, colons, blanks, and the name of a scheme; 0: no value is there. */
static size_t gap_len(const char *s, size_t n, bool scheme)
{
    size_t i = 0;
    while (i < n && strchr(" \t\"':=\\", s[i]) && s[i])
        i++;
    static const char *const schemes[] = {"bearer", "basic", "token", "digest"};
    size_t w = word_len(s + i, n - i);
    for (size_t k = 0; !scheme && k < AIOS__ARRAY_LEN(schemes); k++)
        if (w == strlen(schemes[k]) && !strncasecmp(s + i, schemes[k], w))
            return i + w + gap_len(s + i + w, n - i - w, true);
    return i;
}

/* A value goes to the next blank, quote or separator: passwords hold more than words do. */
static size_t value_len(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (unsigned char)s[i] > 0x20 && !strchr("\"\\,;<>{}[]", s[i]))
        i++;
    return i;
}

/* A value joined to its herald by "=": api_key=VALUE is one word here. */
static size_t joined(const char *s, size_t n)
{
    const char *eq = memchr(s, '=', n);
    return eq && is_herald(s, (size_t)(eq - s)) && eq + 1 < s + n ? (size_t)(eq + 1 - s) : 0;
}

size_t aios__secret_next(const aios__tape_args *a, const char *s, size_t n, size_t *at)
{
    size_t i = *at;
    while (a->redact && i < n) {
        size_t w = word_len(s + i, n - i);
        if (!w) {
            i++;
            continue;
        }
        size_t from = joined(s + i, w);
        *at = i + from;
        if (from)
            return value_len(s + i + from, n - i - from);
        if (looks_secret(s + i, w) || matches(a, s + i, w))
            return w;
        i += w;
        if (!is_herald(s + i - w, w))
            continue;
        size_t gap = gap_len(s + i, n - i, false), value = value_len(s + i + gap, n - i - gap);
        *at = i + gap;
        if (gap && value >= (has_sign(s + i, gap) ? 1u : SHORTEST))
            return value;
    }
    *at = n;
    return 0;
}

int aios__redact(const aios__tape_args *a, const char *s, size_t n, aios__buf *out, aios_error *err)
{
    int rc = AIOS_OK;
    for (size_t at = 0, done = 0; !rc && done < n;) {
        size_t len = aios__secret_next(a, s, n, &at);
        rc = aios__buf_add(out, s + done, at - done, err);
        if (!rc && len)
            rc = aios__buf_adds(out, AIOS__REDACTED, err);
        done = at += len;
    }
    return rc;
}
