/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sse.h"

#define MAX_LINE ((size_t)1 << 20)
#define MAX_RETRY_MS INT64_C(86400000)

void aios__sse_init(aios__sse *s, aios__heap *h, size_t max, aios__sse_fn *fn, void *user)
{
    memset(s, 0, sizeof *s);
    max = max ? max : MAX_LINE;
    aios__buf_init(&s->line, h, AIOS_MEM_TEXT, max);
    aios__buf_init(&s->data, h, AIOS_MEM_TEXT, max);
    aios__buf_init(&s->type, h, AIOS_MEM_TEXT, max);
    aios__buf_init(&s->id, h, AIOS_MEM_TEXT, max);
    s->fn = fn;
    s->user = user;
    s->retry_ms = -1;
}

void aios__sse_free(aios__sse *s)
{
    aios__buf_free(&s->line);
    aios__buf_free(&s->data);
    aios__buf_free(&s->type);
    aios__buf_free(&s->id);
}

static int set_text(aios__buf *b, const char *v, size_t n, aios_error *err)
{
    aios__buf_clear(b);
    return aios__buf_add(b, v, n, err);
}

static int on_data(aios__sse *s, const char *v, size_t n, aios_error *err)
{
    int rc = s->has_data ? aios__buf_addc(&s->data, '\n', err) : AIOS_OK;
    s->has_data = true;
    return rc ? rc : aios__buf_add(&s->data, v, n, err);
}

static int on_type(aios__sse *s, const char *v, size_t n, aios_error *err)
{
    return set_text(&s->type, v, n, err);
}

static int on_id(aios__sse *s, const char *v, size_t n, aios_error *err)
{
    return n && memchr(v, 0, n) ? AIOS_OK : set_text(&s->id, v, n, err);
}

static int on_retry(aios__sse *s, const char *v, size_t n, aios_error *err)
{
    AIOS__UNUSED(err);
    int64_t ms = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9')
            return AIOS_OK;
        ms = ms < MAX_RETRY_MS ? ms * 10 + (v[i] - '0') : MAX_RETRY_MS;
    }
    if (n)
        s->retry_ms = ms < MAX_RETRY_MS ? ms : MAX_RETRY_MS;
    return AIOS_OK;
}

static int end_event(aios__sse *s, aios_error *err)
{
    int rc = AIOS_OK;
    if (s->has_data) {
        aios__sse_event ev = {.type = s->type.n ? s->type.p : "message",
                              .id = s->id.n ? s->id.p : "",
                              .data = s->data.n ? s->data.p : "",
                              .n = s->data.n};
        rc = s->fn(s->user, &ev);
        if (rc)
            aios__fail(err, rc, "the receiver of the event stream stopped it");
    }
    aios__buf_clear(&s->data);
    aios__buf_clear(&s->type);
    s->has_data = false;
    return rc;
}

static int end_line(aios__sse *s, const char *line, size_t n, aios_error *err)
{
    static const struct {
        const char *name;
        int (*set)(aios__sse *s, const char *v, size_t n, aios_error *err);
    } fields[] = {{"data", on_data}, {"event", on_type}, {"id", on_id}, {"retry", on_retry}};
    if (!n)
        return end_event(s, err);
    const char *colon = memchr(line, ':', n);
    size_t n_name = colon ? (size_t)(colon - line) : n;
    const char *v = colon ? colon + 1 : line + n;
    if (v < line + n && *v == ' ')
        v++;
    int rc = AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(fields); i++)
        if (strlen(fields[i].name) == n_name && !memcmp(fields[i].name, line, n_name))
            rc = fields[i].set(s, v, (size_t)(line + n - v), err);
    return rc;
}

/* The bytes of a line that are not its end; all of it, if they are not whole yet. */
static int take_run(aios__sse *s, const char *p, size_t n, bool whole, aios_error *err)
{
    if (whole && !s->line.n) /* the most of them: none is copied but for its value */
        return end_line(s, p, n, err);
    int rc = aios__buf_add(&s->line, p, n, err);
    rc = rc || !whole ? rc : end_line(s, s->line.p, s->line.n, err);
    if (whole)
        aios__buf_clear(&s->line);
    return rc;
}

/* Skips a byte order mark at the very start; bytes of one that is none after all belong to the line. */
static int skip_bom(aios__sse *s, char c, bool *eaten, aios_error *err)
{
    static const char bom[] = "\xef\xbb\xbf";
    *eaten = false;
    if (s->n_bom >= 3)
        return AIOS_OK;
    if (c == bom[s->n_bom]) {
        s->n_bom++;
        *eaten = true;
        return AIOS_OK;
    }
    size_t n = s->n_bom;
    s->n_bom = 4;
    return aios__buf_add(&s->line, bom, n, err);
}

/* Bytes up to the next line end, taken at once. */
static size_t plain_run(const char *p, size_t n)
{
    const char *lf = memchr(p, '\n', n);
    n = lf ? (size_t)(lf - p) : n;
    const char *cr = memchr(p, '\r', n);
    return cr ? (size_t)(cr - p) : n;
}

static int feed(aios__sse *s, const char *p, size_t n, aios_error *err)
{
    for (size_t i = 0; i < n;) {
        bool eaten;
        int rc = skip_bom(s, p[i], &eaten, err);
        if (rc)
            return rc;
        if (eaten) {
            i++;
            continue;
        }
        if (p[i] == '\n' && s->after_cr) {
            s->after_cr = false;
            i++;
            continue;
        }
        size_t run = plain_run(p + i, n - i);
        bool whole = i + run < n;
        rc = take_run(s, p + i, run, whole, err);
        s->after_cr = whole && p[i + run] == '\r';
        i += run + whole;
        if (rc)
            return rc;
    }
    return AIOS_OK;
}

int aios__sse_feed(aios__sse *s, const char *p, size_t n, aios_error *err)
{
    if (s->failed)
        return aios__fail(err, s->failed, "the event stream failed before: %s", aios_strerror(s->failed));
    s->failed = feed(s, p, n, err);
    return s->failed;
}
