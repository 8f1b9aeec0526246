/* SPDX-License-Identifier: Apache-2.0 */
/* A reply on its way up: reasoning and calls are told apart, stop texts cut, only whole and valid code points sent. */
#include "backend/gguf/gguf.h"

static const char think_open[] = "<think>", think_close[] = "</think>";

void aios__reply_init(aios__reply *r, aios__heap *h)
{
    memset(r, 0, sizeof *r);
    r->heap = h;
    aios__buf_init(&r->held, h, AIOS_MEM_TEXT, 0);
    aios__buf_init(&r->calls, h, AIOS_MEM_TEXT, 0);
    aios__buf_init(&r->stops, h, AIOS_MEM_TEXT, 0);
}

void aios__reply_free(aios__reply *r)
{
    aios__buf_free(&r->held);
    aios__buf_free(&r->calls);
    aios__buf_free(&r->stops);
}

int aios__reply_add_stop(aios__reply *r, const char *s, aios_error *err)
{
    return aios__buf_add(&r->stops, s, strlen(s) + 1, err);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static size_t count_blanks(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && is_blank(s[i]))
        i++;
    return i;
}

/* Sends valid UTF-8; bytes that are none, and NUL, become U+FFFD. */
static int send(const aios__reply *r, int (*fn)(void *, const char *, size_t), const char *s, size_t n)
{
    while (n) {
        size_t good = 0, len = 1;
        uint32_t cp;
        while (good < n && s[good] && (len = aios__utf8_decode(s + good, n - good, &cp)) > 0)
            good += len;
        int rc = good ? fn(r->sink->user, s, good) : AIOS_OK;
        if (!rc && good < n) {
            rc = fn(r->sink->user, "\xef\xbf\xbd", 3);
            good++;
        }
        if (rc)
            return rc;
        s += good;
        n -= good;
    }
    return AIOS_OK;
}

static int send_text(aios__reply *r, const char *s, size_t n)
{
    if (r->trim) {
        size_t blanks = count_blanks(s, n);
        s += blanks;
        n -= blanks;
        r->trim = n == 0;
    }
    if (!n)
        return AIOS_OK;
    r->any = true;
    return send(r, r->sink->text, s, n);
}

static void drop(aios__buf *b, size_t n)
{
    if (!n)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

/* Length of the longest end of s that is a beginning, but not the whole, of what. */
static size_t overlap(const char *s, size_t n, const char *what)
{
    size_t len = strlen(what), max = len - 1 < n ? len - 1 : n;
    for (size_t i = max; len && i > 0; i--) {
        if (!memcmp(s + n - i, what, i))
            return i;
    }
    return 0;
}

/* The earliest stop text or opener in what is held. */
static const char *find_first(const aios__reply *r, size_t *at)
{
    const char *first = NULL;
    *at = SIZE_MAX;
    for (size_t i = 0; i < r->stops.n; i += strlen(r->stops.p + i) + 1) {
        const char *hit = memmem(r->held.p, r->held.n, r->stops.p + i, strlen(r->stops.p + i));
        if (hit && (size_t)(hit - r->held.p) < *at) {
            *at = (size_t)(hit - r->held.p);
            first = r->stops.p + i;
        }
    }
    const char *hit = r->opener ? memmem(r->held.p, r->held.n, r->opener, strlen(r->opener)) : NULL;
    if (hit && (size_t)(hit - r->held.p) < *at) {
        *at = (size_t)(hit - r->held.p);
        first = r->opener;
    }
    return first;
}

/* How many bytes at the end could still become something that must not be sent. */
static size_t count_held(const aios__reply *r)
{
    size_t most = r->opener ? overlap(r->held.p, r->held.n, r->opener) : 0;
    for (size_t i = 0; i < r->stops.n; i += strlen(r->stops.p + i) + 1) {
        size_t n = overlap(r->held.p, r->held.n, r->stops.p + i);
        most = n > most ? n : most;
    }
    while (r->opener && most < r->held.n && is_blank(r->held.p[r->held.n - most - 1]))
        most++;
    return most;
}

/* True if the beginning of the reply may still turn out to be "<think>". */
static bool await_think(aios__reply *r)
{
    size_t blanks = count_blanks(r->held.p, r->held.n), n = r->held.n - blanks, len = sizeof think_open - 1;
    if (n >= len && !memcmp(r->held.p + blanks, think_open, len)) {
        drop(&r->held, blanks + len);
        r->state = AIOS__REPLY_THINK;
        r->may_think = false;
        return false;
    }
    if (n < len && !memcmp(r->held.p + blanks, think_open, n))
        return true;
    r->may_think = false;
    return false;
}

/* Moves *i over what; 1: it is there, 0: it is not, -1: the text ends inside it. */
static int match(const char *s, size_t n, size_t *i, const char *what)
{
    for (; *what; what++, (*i)++) {
        if (*i == n)
            return -1;
        if (s[*i] != *what)
            return 0;
    }
    return 1;
}

/*
 * Small models often write a call as bare or fenced JSON: blanks, "```json", {, "name", : and a quote. 1: that is what the text
 * begins with, 0: it is not, -1: it may still become that.
 */
static int match_bare(const aios__reply *r)
{
    const char *s = r->held.p;
    size_t n = r->held.n, i = count_blanks(s, n);
    int rc;
    if (i < n && s[i] == '`') {
        if ((rc = match(s, n, &i, "```")) < 1)
            return rc;
        if (i < n && !is_blank(s[i]) && s[i] != '{' && (rc = match(s, n, &i, "json")) < 1)
            return rc;
    }
    const char *const parts[] = {"{", "\"", r->name_key, "\"", ":", "\""};
    for (size_t k = 0; k < AIOS__ARRAY_LEN(parts); k++) {
        if (k != 2 && k != 3)
            i += count_blanks(s + i, n - i);
        if ((rc = match(s, n, &i, parts[k])) < 1)
            return rc;
    }
    return 1;
}

static int add_think(aios__reply *r)
{
    const char *hit = memmem(r->held.p, r->held.n, think_close, sizeof think_close - 1);
    size_t n = hit ? (size_t)(hit - r->held.p) : r->held.n - overlap(r->held.p, r->held.n, think_close);
    if (!hit)
        n = aios__utf8_whole(r->held.p, n);
    int rc = n ? send(r, r->sink->reasoning, r->held.p, n) : AIOS_OK;
    drop(&r->held, hit ? n + sizeof think_close - 1 : n);
    if (hit) {
        r->state = AIOS__REPLY_TEXT;
        r->trim = true;
    }
    return rc;
}

static int add_text(aios__reply *r, aios_error *err)
{
    size_t at;
    if (r->may_think && await_think(r))
        return AIOS_OK;
    if (r->state == AIOS__REPLY_THINK)
        return add_think(r);
    int bare = r->may_call && !r->any ? match_bare(r) : 0;
    r->may_call = bare < 0;
    if (bare > 0) {
        r->state = AIOS__REPLY_RETRY;
        aios__buf_clear(&r->held);
    }
    if (bare)
        return AIOS_OK;
    const char *what = find_first(r, &at);
    if (!what) {
        size_t n = aios__utf8_whole(r->held.p, r->held.n - count_held(r));
        int rc = send_text(r, r->held.p, n);
        drop(&r->held, n);
        return rc;
    }
    size_t n = at;
    while (what == r->opener && n && is_blank(r->held.p[n - 1]))
        n--;
    int rc = send_text(r, r->held.p, n);
    bool over = what != r->opener || r->cut_calls, retry = what == r->opener && r->cut_calls && !r->any;
    if (!rc && !over)
        rc = aios__buf_add(&r->calls, r->held.p + at, r->held.n - at, err);
    r->state = retry ? AIOS__REPLY_RETRY : over ? AIOS__REPLY_OVER : AIOS__REPLY_CALLS;
    aios__buf_clear(&r->held);
    return rc;
}

int aios__reply_add(aios__reply *r, const char *s, size_t n, aios_error *err)
{
    if (r->state == AIOS__REPLY_CALLS)
        return aios__buf_add(&r->calls, s, n, err);
    int rc = aios__buf_add(&r->held, s, n, err);
    enum aios__reply_state state;
    do { /* what is behind a "</think>" in the same piece is text */
        state = r->state;
        if (rc || !r->held.n || state >= AIOS__REPLY_CALLS)
            return rc;
        rc = state == AIOS__REPLY_THINK ? add_think(r) : add_text(r, err);
    } while (!rc && r->state != state);
    return rc;
}

bool aios__reply_is_blank(const aios__reply *r)
{
    return r->state == AIOS__REPLY_TEXT && !r->any && count_blanks(r->held.p, r->held.n) == r->held.n;
}

int aios__reply_finish(aios__reply *r, aios_error *err)
{
    AIOS__UNUSED(err);
    int rc = AIOS_OK;
    if (r->held.n && r->state == AIOS__REPLY_THINK)
        rc = send(r, r->sink->reasoning, r->held.p, r->held.n);
    else if (r->held.n && r->state == AIOS__REPLY_TEXT)
        rc = send_text(r, r->held.p, r->held.n);
    aios__buf_clear(&r->held);
    return rc;
}

/* ---- calls ---------------------------------------------------------------------------------------------------------- */

/* Length of the JSON object that begins s, 0 if it does not end. */
static size_t object_len(const char *s, size_t n)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else
                in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && !--depth) {
            return i + 1;
        }
    }
    return 0;
}

static int send_call(const aios__gguf_model *m, const char *s, size_t n, const aios_sink *sink, uint32_t *n_calls, aios_error *err)
{
    const aios__call_format *f = &m->dialect->calls;
    aios__json_doc *doc = NULL;
    aios__buf args;
    aios__buf_init(&args, m->heap, AIOS_MEM_TEXT, 0);
    int rc = aios__json_parse(m->heap, s, n, &doc, err);
    const aios__json *root = rc ? NULL : aios__json_root(doc);
    const char *name = aios__json_str(aios__json_get(root, f->name_key), NULL);
    if (!rc && !name)
        rc = aios__fail(err, AIOS_EPROTO, "the model wrote a call without a name");
    rc = rc ? rc : aios__json_write(aios__json_get(root, f->args_key), &args, err);
    if (!rc) {
        rc = sink->call(sink->user, name, args.p, args.n, NULL);
        *n_calls += 1;
    }
    aios__buf_free(&args);
    aios__json_free(doc);
    return rc;
}

int aios__calls_send(const aios__gguf_model *m, const char *s, size_t n, const aios_sink *sink, uint32_t *n_calls, aios_error *err)
{
    *n_calls = 0;
    while (n) {
        const char *begin = memchr(s, '{', n);
        size_t len = begin ? object_len(begin, n - (size_t)(begin - s)) : 0;
        if (!len)
            return AIOS_OK;
        int rc = send_call(m, begin, len, sink, n_calls, err);
        if (rc)
            return rc;
        n -= (size_t)(begin - s) + len;
        s = begin + len;
    }
    return AIOS_OK;
}
