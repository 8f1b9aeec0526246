/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many streams of server-sent events at once through the transport alone (stream_load.h has the options): the client is one thread, which
 * reads the JSON of each chunk; it steps those that a watch told it of, then all in turn.
 */
#include "base/http.h"
#include "base/json.h"
#include "base/sse.h"
#include "stream_load.h"

/* ---- the client ---------------------------------------------------------------------------------------------------- */

typedef struct stream {
    aios__transfer *t;
    aios__sse sse;
    int done;
    struct stream *next; /* of those with news */
} stream;

static load *running;
static aios_ctx *ctx;
static stream *with_news;
static atomic_uint woken;

static int on_event(void *user, const aios__sse_event *ev)
{
    stream *s = user;
    aios_error err = AIOS_INIT(aios_error);
    if (!strcmp(ev->data, "[DONE]")) {
        s->done = 1;
        return 0;
    }
    aios__json_doc *doc;
    size_t n;
    int rc = aios__json_parse(aios__ctx_heap(ctx), ev->data, ev->n, &doc, &err);
    if (rc)
        return rc;
    const aios__json *root = aios__json_root(doc);
    const char *text = aios__json_str(aios__json_get(aios__json_get(aios__json_at(aios__json_get(root, "choices"), 0), "delta"), "content"), &n);
    if (text && !strncmp(text, " tok", 4))
        load_token(running, aios__json_real(aios__json_get(root, "sent_us"), 0));
    aios__json_free(doc);
    return 0;
}

static int on_body(void *user, const char *p, size_t n)
{
    return aios__sse_feed(&((stream *)user)->sse, p, n, NULL);
}

static void open_stream(stream *s, const load *l)
{
    static const char body[] = "{\"model\":\"mock\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    static const char *const headers[] = {"Content-Type: application/json", NULL}, *const secret[] = {"Authorization: Bearer none", NULL};
    char url[96];
    aios_error err = AIOS_INIT(aios_error);
    snprintf(url, sizeof url, "%s/v1/chat/completions", l->url);
    aios__sse_init(&s->sse, aios__ctx_heap(ctx), 0, on_event, s);
    aios__http_request r = {.url = url, .headers = headers, .secret_headers = secret, .body = body, .n_body = sizeof body - 1, .on_body = on_body, .user = s};
    r.ca_file = l->ca_file;
    must(aios__http_start(ctx, &r, &s->t, &err), &err);
}

static void on_news(void *user)
{
    stream *s = user;
    s->next = with_news;
    with_news = s;
}

/* Of those with news, told by watches; or of all in turn. NULL: none yet. */
static stream *next_stream(stream *all, unsigned n, int round, unsigned *at)
{
    aios_error err = AIOS_INIT(aios_error);
    if (round)
        return &all[(*at)++ % n];
    if (!with_news)
        must(aios__http_wait(ctx, 1000, &woken, &err), &err);
    stream *s = with_news;
    with_news = s ? s->next : NULL;
    return s;
}

/* Returns how many are over now. */
static unsigned step(stream *all, unsigned n, int round, unsigned *at)
{
    aios_error err = AIOS_INIT(aios_error);
    stream *s = next_stream(all, n, round, at);
    if (!s || s->done == 2)
        return 0;
    int rc = aios__transfer_step(s->t, round ? 20 : 0, &err);
    must(rc < 0 ? rc : 0, &err);
    s->done = rc == AIOS_DONE ? 2 : s->done;
    if (rc == AIOS_AGAIN && !round)
        aios__transfer_watch(s->t, on_news, s);
    return rc == AIOS_DONE;
}

/* libcurl is there before memory is looked at. */
static void warm_up(void)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__transfer *none;
    must(aios__http_start(ctx, &(aios__http_request){.url = "http://127.0.0.1:1/"}, &none, &err), &err);
    while (aios__transfer_step(none, 20, &err) == AIOS_AGAIN)
        ;
    aios__transfer_free(none);
}

static void open_all(stream *all, const load *l, int round)
{
    aios_error err = AIOS_INIT(aios_error);
    unsigned n = l->n_streams;
    for (unsigned i = 0; i < n; i++)
        open_stream(&all[i], l);
    for (unsigned ready = 0, i; ready < n;) {
        for (i = ready = 0; i < n; i++)
            ready += aios__transfer_status(all[i].t) == 200;
        for (unsigned k = 0; k < n && ready < n; k++) {
            int rc = aios__transfer_step(all[k].t, 0, &err);
            must(rc < 0 ? rc : 0, &err);
        }
    }
    for (unsigned i = 0; i < n && !round; i++)
        aios__transfer_watch(all[i].t, on_news, &all[i]);
}

static void measure(load *l)
{
    int round = !strcmp(l->loop, "round");
    unsigned n = l->n_streams;
    stream *all = calloc(n, sizeof *all);
    aios_error err = AIOS_INIT(aios_error);
    need(all != NULL, "memory");
    running = l;
    with_news = NULL;
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    warm_up();
    load_begin(l, ctx);
    open_all(all, l, round);
    load_opened(l, ctx);
    for (unsigned over = 0, at = 0; over < n;)
        over += step(all, n, round, &at);
    load_over(l);
    for (unsigned i = 0; i < n; i++) {
        aios__transfer_free(all[i].t);
        aios__sse_free(&all[i].sse);
    }
    free(all);
    aios_ctx_free(ctx);
    load_report(l, "");
}

int main(int argc, char **argv)
{
    static const char *const loops[] = {"watch", "round"};
    return load_main(argc, argv, loops, 2, measure);
}
