/* SPDX-License-Identifier: Apache-2.0 */
/* References between schemas are URIs: RFC 3986, section 5.2. */
#include "grammar/array.h"
#include "grammar/schema_priv.h"

typedef struct span {
    const char *s;
    size_t n;
    bool has;
} span;

/* scheme:, //authority, path, ?query; the fragment is left out. */
typedef struct parts {
    span scheme, authority, path, query;
} parts;

static size_t until(const char *s, size_t n, const char *stop)
{
    size_t i = 0;
    while (i < n && !strchr(stop, s[i]))
        i++;
    return i;
}

static parts split(const char *s, size_t n)
{
    parts p = {0};
    n = until(s, n, "#");
    size_t k = until(s, n, ":/?");
    if (k && k < n && s[k] == ':') {
        p.scheme = (span){s, k, true};
        s += k + 1;
        n -= k + 1;
    }
    if (n >= 2 && s[0] == '/' && s[1] == '/') {
        k = until(s + 2, n - 2, "/?");
        p.authority = (span){s + 2, k, true};
        s += k + 2;
        n -= k + 2;
    }
    k = until(s, n, "?");
    p.path = (span){s, k, true};
    if (k < n)
        p.query = (span){s + k + 1, n - k - 1, true};
    return p;
}

/* Section 5.2.4, in place: "." and ".." segments of a path. */
static size_t without_dots(char *path, size_t n)
{
    size_t at = 0, out = 0;
    while (at < n) {
        size_t from = at + (path[at] == '/'), end = from;
        while (end < n && path[end] != '/')
            end++;
        size_t len = end - from;
        bool one = len == 1 && path[from] == '.', two = len == 2 && path[from] == '.' && path[from + 1] == '.';
        if (two)
            while (out && path[--out] != '/')
                ;
        if (!one && !two) {
            memmove(path + out, path + at, end - at);
            out += end - at;
        } else if (end == n) {
            path[out++] = '/'; /* out <= at: a segment was left out */
        }
        at = end;
    }
    return out;
}

static char *put(char *to, span s, const char *before, const char *after)
{
    if (!s.has)
        return to;
    to = stpcpy(to, before);
    memcpy(to, s.s, s.n);
    return stpcpy(to + s.n, after);
}

/* The reference's path after the base's last slash, or as it is. */
static char *put_path(char *to, const parts *base, const parts *ref, bool same_authority)
{
    char *from = to;
    if (same_authority && ref->path.n && ref->path.s[0] != '/') {
        size_t n = base->path.n;
        while (n && base->path.s[n - 1] != '/')
            n--;
        if (!n && base->authority.has)
            *to++ = '/';
        memcpy(to, base->path.s, n);
        to += n;
    }
    memcpy(to, ref->path.s, ref->path.n);
    to += ref->path.n;
    return from + without_dots(from, (size_t)(to - from));
}

int aios__uri_resolve(aios__heap *h, const char *base, const char *ref, size_t n, char **out, aios_error *err)
{
    parts b = split(base, strlen(base)), r = split(ref, n);
    bool no_authority = !r.scheme.has && !r.authority.has, same = no_authority && !r.path.n;
    char *to = *out = aios__alloc(h, AIOS_MEM_OTHER, strlen(base) + n + 8, err);
    if (!to)
        return aios__oom(err);
    to = put(to, r.scheme.has ? r.scheme : b.scheme, "", ":");
    to = put(to, no_authority ? b.authority : r.authority, "//", "");
    to = same ? put(to, b.path, "", "") : put_path(to, &b, &r, no_authority);
    to = put(to, same && !r.query.has ? b.query : r.query, "?", "");
    *to = 0;
    return AIOS_OK;
}
