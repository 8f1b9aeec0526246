/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many streams of server-sent events at once: bench_http [STREAMS [TOKENS [RATE]]]. A server of one thread in a child process sends chunks as
 * OpenAI's API has them, a token each, TOKENS to each stream, stamped with its clock: as fast as they are taken, then RATE a second in all. The client
 * is one thread, which reads the JSON of each. A JSON line for each: tokens a second, microseconds from the stamp to the parsed token, KiB of
 * an open stream that waits (resident memory, and what the ctx counts). `bench_http serve STREAMS TOKENS RATE` is the server alone: it
 * prints its port, and ends with its streams.
 */
#include "base/http.h"
#include "base/json.h"
#include "base/sse.h"
#include "stream_server.h"

/* ---- the client ---------------------------------------------------------------------------------------------------- */

typedef struct stream {
    aios__transfer *t;
    aios__sse sse;
    unsigned n_tokens;
    int done;
    struct stream *next; /* of those with news */
} stream;

static double *latencies;
static size_t n_latencies;
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
    double sent = aios__json_real(aios__json_get(root, "sent_us"), 0);
    s->n_tokens += text && !strncmp(text, " tok", 4);
    aios__json_free(doc);
    latencies[n_latencies++] = now_us() - sent;
    return 0;
}

static int on_body(void *user, const char *p, size_t n)
{
    return aios__sse_feed(&((stream *)user)->sse, p, n, NULL);
}

static void open_stream(stream *s, uint16_t port)
{
    static const char body[] = "{\"model\":\"mock\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";
    static const char *const headers[] = {"Content-Type: application/json", NULL}, *const secret[] = {"Authorization: Bearer none", NULL};
    char url[64];
    aios_error err = AIOS_INIT(aios_error);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/v1/chat/completions", port);
    aios__sse_init(&s->sse, aios__ctx_heap(ctx), 0, on_event, s);
    aios__http_request r = {.url = url, .headers = headers, .secret_headers = secret, .body = body, .n_body = sizeof body - 1, .on_body = on_body, .user = s};
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

static void measure(unsigned n, unsigned n_tokens, double rate, int round)
{
    uint16_t port;
    pid_t pid = start_server(n, n_tokens, rate, &port);
    stream *all = calloc(n, sizeof *all);
    aios_error err = AIOS_INIT(aios_error);
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    aios__transfer *none; /* libcurl is there before memory is looked at */
    must(aios__http_start(ctx, &(aios__http_request){.url = "http://127.0.0.1:1/"}, &none, &err), &err);
    while (aios__transfer_step(none, 20, &err) == AIOS_AGAIN)
        ;
    aios__transfer_free(none);
    n_latencies = 0;
    double rss = resident_kib(), used = ctx_kib(ctx);
    for (unsigned i = 0; i < n; i++)
        open_stream(&all[i], port);
    for (unsigned ready = 0, i; ready < n;) {
        for (i = ready = 0; i < n; i++)
            ready += aios__transfer_status(all[i].t) == 200;
        for (unsigned k = 0; k < n && ready < n; k++)
            must(aios__transfer_step(all[k].t, 0, &err) < 0, &err);
    }
    rss = (resident_kib() - rss) / n;
    used = (ctx_kib(ctx) - used) / n;
    for (unsigned i = 0; i < n && !round; i++)
        aios__transfer_watch(all[i].t, on_news, &all[i]);
    double from = 0, cpu = 0;
    for (unsigned over = 0, at = 0; over < n;) {
        over += step(all, n, round, &at);
        if (!from && n_latencies) {
            from = now_us();
            cpu = cpu_us();
        }
    }
    double took = now_us() - from;
    cpu = cpu_us() - cpu;
    size_t tokens = 0;
    for (unsigned i = 0; i < n; i++) {
        tokens += all[i].n_tokens;
        aios__transfer_free(all[i].t);
        aios__sse_free(&all[i].sse);
    }
    free(all);
    aios_ctx_free(ctx);
    waitpid(pid, NULL, 0);
    qsort(latencies, n_latencies, sizeof *latencies, by_size);
    printf("{\"bench\":\"http\",\"loop\":\"%s\",\"streams\":%u,\"tokens\":%zu,\"rate\":%.0f,\"tokens_s\":%.0f,\"cpu_us_token\":%.2f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"rss_kib_stream\":%.1f,\"ctx_kib_stream\":%.1f}\n",
           round ? "round" : "watch", n, tokens, rate, (double)tokens / took * 1e6, cpu / (double)tokens, latencies[n_latencies / 2], latencies[n_latencies * 99 / 100], rss, used);
    fflush(stdout);
    need(tokens == (size_t)n * n_tokens, "tokens were lost");
}

int main(int argc, char **argv)
{
    int alone = argc > 1 && !strcmp(argv[1], "serve");
    unsigned long n = argc > 1 + alone ? strtoul(argv[1 + alone], NULL, 10) : 1000, tokens = argc > 2 + alone ? strtoul(argv[2 + alone], NULL, 10) : 100;
    double rate = argc > 3 + alone ? strtod(argv[3 + alone], NULL) : alone ? 0 : 5000;
    if (n < 1 || n > MAX_STREAMS || tokens < 1 || tokens > 100000 || rate < 0) {
        fprintf(stderr, "usage: bench_http [serve] [STREAMS [TOKENS [RATE]]], at most %d streams\n", MAX_STREAMS);
        return 2;
    }
    if (!aios_has("curl"))
        return 77; /* skipped */
    peers = calloc(n, sizeof *peers);
    latencies = calloc(n * (tokens + 1), sizeof *latencies);
    need(peers && latencies, "memory");
    if (alone) {
        uint16_t port;
        int lfd = listen_somewhere(&port);
        printf("%u\n", port);
        fflush(stdout);
        serve(lfd, (unsigned)n, (unsigned)tokens, rate);
        return 0;
    }
    unsigned n_paced = (unsigned)(rate * 8 / (double)n); /* eight seconds */
    for (int round = 0; round < 2; round++) {
        measure((unsigned)n, (unsigned)tokens, 0, round);
        if (rate > 0)
            measure((unsigned)n, n_paced < 1 ? 1 : n_paced < tokens ? n_paced : (unsigned)tokens, rate, round);
    }
    free(peers);
    free(latencies);
    return 0;
}
