/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ndjson.h"

#define MAX_LINE ((size_t)1 << 20)

void aios__ndjson_init(aios__ndjson *s, aios__heap *h, size_t max, aios__ndjson_fn *fn, void *user)
{
    memset(s, 0, sizeof *s);
    aios__buf_init(&s->line, h, AIOS_MEM_TEXT, max ? max : MAX_LINE);
    s->fn = fn;
    s->user = user;
}

void aios__ndjson_free(aios__ndjson *s)
{
    aios__buf_free(&s->line);
}

/* Blanks that JSON allows around a value, CR among them, are no part of the line. */
static int end_line(aios__ndjson *s, aios_error *err)
{
    static const char blank[] = " \t\r";
    size_t n = s->line.n;
    while (n && memchr(blank, s->line.p[n - 1], sizeof blank - 1))
        n--;
    int rc = AIOS_OK;
    if (n) {
        s->line.p[n] = 0;
        rc = s->fn(s->user, s->line.p, n);
        if (rc)
            aios__fail(err, rc, "the receiver of the lines stopped them");
    }
    aios__buf_clear(&s->line);
    return rc;
}

static int feed(aios__ndjson *s, const char *p, size_t n, aios_error *err)
{
    for (const char *end = p + n; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        int rc = aios__buf_add(&s->line, p, (size_t)((eol ? eol : end) - p), err);
        if (!rc && eol)
            rc = end_line(s, err);
        if (rc)
            return rc;
        p = eol ? eol + 1 : end;
    }
    return AIOS_OK;
}

int aios__ndjson_feed(aios__ndjson *s, const char *p, size_t n, aios_error *err)
{
    if (s->failed)
        return aios__fail(err, s->failed, "the lines failed before: %s", aios_strerror(s->failed));
    s->failed = feed(s, p, n, err);
    return s->failed;
}

int aios__ndjson_end(aios__ndjson *s, aios_error *err)
{
    if (s->failed)
        return aios__fail(err, s->failed, "the lines failed before: %s", aios_strerror(s->failed));
    s->failed = end_line(s, err);
    return s->failed;
}
