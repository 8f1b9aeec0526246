/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came: the lines of the head, and the bytes of the body that their owner has not taken. Both lie in buffers that are made when
 * something comes and go when it is taken. They are made inside of curl's callbacks, where the host must not be asked for memory
 * (it might free transfers): what then is not to be had, the owner asks for in its own step.
 */
#include <strings.h>

#include "base/http_priv.h"

#define FIRST_CAP ((size_t)1008) /* with the heap's head the most that glibc keeps for each thread: beyond, each piece costs 2 us of merging */

static bool refuse(aios__transfer *t, int code, uint64_t have, uint64_t need, const char *what)
{
    aios__fail_need(&t->inner, code, have, need, "%s: %s", t->asked.at.host, what);
    return false;
}

/* Room for n more bytes behind `used`, at most `max` in all; false: no memory now. With the lock held. */
static bool make_room(aios__transfer *t, char **p, size_t used, size_t *cap, size_t n, size_t max)
{
    size_t want = *cap ? *cap : FIRST_CAP;
    if (n <= *cap - used)
        return true;
    while (want < used + n)
        want *= 2;
    want = want < max ? want : max;
    char *more = aios__realloc_quietly(aios__ctx_heap(t->ctx), AIOS_MEM_TEXT, *p, want);
    if (!more)
        return false;
    *p = more;
    *cap = want;
    return true;
}

static void mark_byte(aios__transfer *t)
{
    int64_t now = aios__now_ns(aios__ctx_env(t->ctx));
    bool first = !t->came.last_byte;
    t->came.last_byte = now ? now : 1;
    if (first)
        aios__loop_alarm(t);
}

static bool starts_with(const char *s, size_t n, const char *word)
{
    return n >= strlen(word) && !memcmp(s, word, strlen(word));
}

/* The status in "HTTP/1.1 200 OK", 0 if there is none. */
static int read_status(const char *s, size_t n)
{
    const char *blank = memchr(s, ' ', n);
    int status = 0;
    for (const char *p = blank ? blank + 1 : s + n; p < s + n && p < blank + 4 && *p >= '0' && *p <= '9'; p++)
        status = status * 10 + (*p - '0');
    return status;
}

const char *aios__came_find(const aios__came *c, const char *name, size_t *n)
{
    size_t n_name = strlen(name);
    for (const char *p = c->head, *end = p + c->n_head; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p)), *next = eol ? eol + 1 : end;
        if ((size_t)(next - p) > n_name && p[n_name] == ':' && !strncasecmp(p, name, n_name)) {
            const char *v = p + n_name + 1, *last = eol ? eol : end;
            while (v < last && (*v == ' ' || *v == '\t'))
                v++;
            while (last > v && (last[-1] == '\r' || last[-1] == ' ' || last[-1] == '\t'))
                last--;
            *n = (size_t)(last - v);
            return v;
        }
        p = next;
    }
    return NULL;
}

/* The lines are all there: is it an answer, or an interim one? */
static void end_head(aios__transfer *t)
{
    aios__came *c = &t->came;
    const char *eol = c->head ? memchr(c->head, '\n', c->n_head) : NULL;
    int status = eol ? read_status(c->head, (size_t)(eol - c->head)) : 0;
    size_t n;
    if (status < 200)
        return;
    c->head_done = true;
    c->hop = aios__redirect_meant(&t->asked, status) && aios__came_find(c, "location", &n);
    if (c->hop)
        return;
    c->status = status;
    c->head_news = true;
    aios__loop_news(t);
}

static bool take_header(aios__transfer *t, const char *s, size_t n)
{
    aios__came *c = &t->came;
    mark_byte(t);
    if (n > c->max_header - c->head_seen)
        return refuse(t, AIOS_ELIMIT, c->max_header, c->head_seen + n, "the headers of the response are larger than their limit");
    c->head_seen += n;
    if (c->head_done)
        return true; /* trailers: counted, not kept */
    if (starts_with(s, n, "HTTP/"))
        c->n_head = 0; /* a response behind an interim one */
    if (!make_room(t, &c->head, c->n_head, &c->cap_head, n, c->max_header))
        return refuse(t, AIOS_ENOMEM, 0, c->n_head + n, "there is no memory for the headers of the response");
    memcpy(c->head + c->n_head, s, n);
    c->n_head += n;
    if ((n == 2 && s[0] == '\r') || (n == 1 && s[0] == '\n'))
        end_head(t);
    return true;
}

bool aios__came_header(aios__transfer *t, const char *s, size_t n)
{
    pthread_mutex_lock(&t->http->lock);
    bool ok = take_header(t, s, n);
    pthread_mutex_unlock(&t->http->lock);
    return ok;
}

static bool take_body(aios__transfer *t, const char *s, size_t n, bool *full)
{
    aios__came *c = &t->came;
    mark_byte(t);
    if (!c->head_done) /* behind a 101 that nobody asked for */
        return refuse(t, AIOS_EPROTO, 0, 0, "the answer is no HTTP response: a body without a final status");
    if (n > c->max_body - c->body_seen)
        return refuse(t, AIOS_ELIMIT, c->max_body, c->body_seen + n, "the body of the response is larger than its limit");
    if (n > AIOS__HTTP_PIECE)
        return refuse(t, AIOS_EPROTO, AIOS__HTTP_PIECE, n, "a piece of the body is larger than curl should make any");
    if (c->hop) {
        c->body_seen += n;
        return true;
    }
    bool fits = n <= AIOS__HTTP_PIECE - c->n_body;
    t->starved = fits && !make_room(t, &c->body, c->n_body, &c->cap_body, n, AIOS__HTTP_PIECE);
    t->paused = *full = !fits || t->starved;
    if (!*full) {
        memcpy(c->body + c->n_body, s, n);
        c->n_body += n;
        c->body_seen += n;
    }
    aios__loop_news(t);
    return true;
}

bool aios__came_body(aios__transfer *t, const char *s, size_t n, bool *full)
{
    *full = false;
    pthread_mutex_lock(&t->http->lock);
    bool ok = take_body(t, s, n, full);
    pthread_mutex_unlock(&t->http->lock);
    return ok;
}

/* The memory that was not to be had when bytes came: from here the host may be asked. */
static void feed_starved(aios__transfer *t)
{
    char *p = aios__realloc(aios__ctx_heap(t->ctx), AIOS_MEM_TEXT, NULL, AIOS__HTTP_PIECE, &t->why);
    if (!p) {
        t->why.code = aios__error_code(&t->why, AIOS_ENOMEM);
        return;
    }
    pthread_mutex_lock(&t->http->lock);
    char *old = t->came.body; /* empty: the owner has taken all, and a paused transfer gets nothing */
    t->came.body = p;
    t->came.cap_body = AIOS__HTTP_PIECE;
    t->starved = false;
    pthread_mutex_unlock(&t->http->lock);
    aios__free(aios__ctx_heap(t->ctx), old);
}

bool aios__came_deliver(aios__transfer *t)
{
    aios__came *c = &t->came;
    pthread_mutex_lock(&t->http->lock);
    char *p = c->body;
    size_t n = c->n_body;
    bool starved = t->starved, any = n || c->head_news;
    if (n) {
        c->body = NULL;
        c->n_body = c->cap_body = 0;
    }
    c->head_news = false;
    pthread_mutex_unlock(&t->http->lock);
    if (n) {
        int rc = t->on_body ? t->on_body(t->user, p, n) : 0;
        aios__free(aios__ctx_heap(t->ctx), p);
        if (rc && !t->why.code)
            aios__fail(&t->why, rc < 0 ? rc : AIOS_ECANCELED, "%s: the receiver of the response stopped it", t->asked.at.host);
    }
    if (starved && !t->why.code)
        feed_starved(t);
    return any;
}

void aios__came_free(aios__came *c, aios__heap *heap)
{
    aios__free(heap, c->head);
    aios__free(heap, c->body);
    c->head = c->body = NULL;
    c->n_head = c->cap_head = c->n_body = c->cap_body = 0;
}

int aios__transfer_status(const aios__transfer *t)
{
    aios__http *h = t->http;
    pthread_mutex_lock(&h->lock);
    int status = t->came.status;
    pthread_mutex_unlock(&h->lock);
    return status;
}

const char *aios__transfer_header(const aios__transfer *t, const char *name, size_t *n)
{
    *n = 0;
    return aios__transfer_status(t) ? aios__came_find(&t->came, name, n) : NULL; /* from then on the head stays as it is */
}

const char *aios__transfer_moved(const aios__transfer *t)
{
    return t->asked.moved ? t->asked.at.host : NULL;
}
