/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chunk of a stream is mostly what says the same each time: id, model, times. What no dialect reads need not become values: members of the
 * object that are plain strings, numbers and literals are left out before it is parsed, once their form is known to be right. All
 * else is left to the parser. (That a member left out stands there twice is not seen.)
 */
#include "backend/http/remote_priv.h"

static const char *skip_blanks(const char *s, const char *end)
{
    while (s < end && (*s == ' ' || *s == '\t' || *s == '\r' || *s == '\n'))
        s++;
    return s;
}

/* Behind the string that begins at s if it is printable ASCII without escapes; else NULL. */
static const char *plain_string(const char *s, const char *end)
{
    for (s++; s < end && *s >= 0x20 && *s < 0x7f && *s != '\\'; s++)
        if (*s == '"')
            return s + 1;
    return NULL;
}

static const char *digits(const char *s, const char *end)
{
    const char *from = s;
    while (s < end && *s >= '0' && *s <= '9')
        s++;
    return s > from ? s : NULL;
}

/* Behind a number without exponent, or NULL. */
static const char *plain_number(const char *s, const char *end)
{
    s += *s == '-';
    const char *p = digits(s, end);
    if (!p || (*s == '0' && p > s + 1) || p - s > 15)
        return NULL;
    return p < end && *p == '.' ? digits(p + 1, end) : p;
}

static const char *literal(const char *s, const char *end)
{
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(end - s) > n && !memcmp(s, words[i], n))
            return s + n;
    }
    return NULL;
}

/* Behind a value of any kind; its form is not looked at. */
static const char *any_value(const char *s, const char *end)
{
    int depth = 0;
    for (bool quoted = false; s < end; s++) {
        if (quoted) {
            quoted = *s != '"';
            s += *s == '\\';
        } else if (*s == '"') {
            quoted = true;
        } else if (*s == '{' || *s == '[') {
            depth++;
        } else if ((*s == '}' || *s == ']' || *s == ',') && !depth) {
            return s;
        } else if (*s == '}' || *s == ']') {
            depth--;
        }
    }
    return NULL;
}

static bool is_read(const char *key, size_t n, const char *const *reads)
{
    for (; *reads; reads++)
        if (strlen(*reads) == n && !memcmp(*reads, key, n))
            return true;
    return false;
}

/* Behind the member's value; *drop: it is plain, and nobody reads it. NULL: something that is better left to the parser. */
static const char *member(const char *s, const char *end, const char *const *reads, bool *drop)
{
    const char *key = s + 1, *p = s < end && *s == '"' ? plain_string(s, end) : NULL;
    size_t n_key = p ? (size_t)(p - key) - 1 : 0;
    p = p ? skip_blanks(p, end) : NULL;
    if (!p || p == end || *p != ':')
        return NULL;
    p = skip_blanks(p + 1, end);
    if (p == end)
        return NULL;
    bool number = *p == '-' || (*p >= '0' && *p <= '9');
    const char *plain = is_read(key, n_key, reads) ? NULL : *p == '"' ? plain_string(p, end) : number ? plain_number(p, end) : literal(p, end);
    const char *after = plain ? skip_blanks(plain, end) : NULL;
    *drop = after && after < end && (*after == ',' || *after == '}');
    return *drop ? after : any_value(p, end);
}

size_t aios__prune(const char *s, size_t n, const char *const *reads, char *out)
{
    const char *end = s + n, *p = skip_blanks(s, end);
    char *to = out;
    if (p == end || *p != '{')
        return 0;
    *to++ = '{';
    do {
        bool drop;
        const char *from = skip_blanks(p + 1, end);
        p = member(from, end, reads, &drop);
        if (!p)
            return 0;
        if (!drop) {
            if (to > out + 1)
                *to++ = ',';
            memcpy(to, from, (size_t)(p - from));
            to += p - from;
        }
    } while (*p == ',');
    if (*p != '}' || skip_blanks(p + 1, end) != end)
        return 0;
    *to++ = '}';
    return (size_t)(to - out);
}
