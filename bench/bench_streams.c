/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of bench_http as sessions: bench_streams [STREAMS [TOKENS [RATE [SCHEME]]]]. The model is SCHEME+http of the server ("openai"), its own thread
 * drives, the host's thread waits with one epoll for all descriptors and reads events. JSON lines with the names of bench_http; latency is from
 * the server's stamp to the event that was read. open_s: seconds until all streams are open; waiting_cpu_percent: of a CPU, while none has a token.
 */
#include <signal.h>

#include "stream_server.h"

typedef struct stream {
    aios_session *s;
    unsigned n_tokens;
    int over;
} stream;

static double *latencies;
static size_t n_latencies;

static void open_session(aios_model *m, const aios_transcript *t, stream *s, int ep, unsigned i)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session_config cfg = AIOS_INIT(aios_session_config);
    aios_request req = AIOS_INIT(aios_request);
    cfg.driver = AIOS_DRIVER_THREAD;
    req.transcript = t;
    must(aios_session_new(m, &cfg, &s->s, &err), &err);
    int fd = aios_session_fd(s->s);
    need(fd >= 0 && !epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.u32 = i}), "descriptor");
    must(aios_session_start(s->s, &req, &err), &err);
}

/* All that is there. Returns 1 if the stream is over now. */
static unsigned read_events(stream *s)
{
    const aios_event *ev;
    int rc;
    while ((rc = aios_session_next(s->s, 0, &ev)) == AIOS_OK) {
        const char *at = ev->type == AIOS_EVENT_TEXT ? memchr(ev->text, '@', ev->n_text) : NULL;
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
        if (!at)
            continue;
        latencies[n_latencies++] = now_us() - strtod(at + 1, NULL);
        s->n_tokens++;
    }
    unsigned over = rc == AIOS_DONE && !s->over;
    s->over = s->over || over;
    return over;
}

static unsigned read_ready(int ep, stream *all, int wait_ms)
{
    struct epoll_event ev[256];
    unsigned over = 0;
    int n = epoll_wait(ep, ev, 256, wait_ms);
    for (int i = 0; i < n; i++)
        over += read_events(&all[ev[i].data.u32]);
    return over;
}

static void measure(const char *scheme, unsigned n, unsigned n_tokens, double rate)
{
    uint16_t port;
    pid_t pid = start_server(n, n_tokens, rate, &port);
    aios_ctx *ctx;
    aios_model *m;
    aios_transcript *t;
    char uri[96];
    aios_error err = AIOS_INIT(aios_error);
    aios_remote_config remote = AIOS_INIT(aios_remote_config);
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    remote.api_key = "none";
    remote.max_retries = AIOS_NO_RETRIES;
    cfg.remote = &remote;
    snprintf(uri, sizeof uri, "%s+http://127.0.0.1:%u/v1#mock", scheme, port);
    must(aios_ctx_new(NULL, &ctx, &err), &err);
    must(aios_model_open(ctx, uri, &cfg, &m, &err), &err);
    must(aios_transcript_new(ctx, &t, &err), &err);
    must(aios_transcript_add_text(t, AIOS_ROLE_USER, "hi", AIOS_CSTR, &err), &err);
    stream *all = calloc(n, sizeof *all);
    int ep = epoll_create1(0);
    n_latencies = 0;
    double rss = resident_kib(), used = ctx_kib(ctx), began = now_us();
    for (unsigned i = 0; i < n; i++)
        open_session(m, t, &all[i], ep, i);
    double waits = 1;
    for (int i = 0; i < 300 && waits > 0.1; i++) { /* until all is quiet: the server says nothing yet */
        waits = cpu_us();
        usleep(200000);
        waits = (cpu_us() - waits) / 2e5;
    }
    double opened = now_us() - 2e5;
    rss = (resident_kib() - rss) / n;
    used = (ctx_kib(ctx) - used) / n;
    need(!n_latencies, "the server began early");
    double from = 0, cpu = 0;
    for (unsigned over = 0; over < n;) {
        over += read_ready(ep, all, 1000);
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
        aios_session_free(all[i].s);
    }
    free(all);
    close(ep);
    aios_transcript_free(t);
    aios_model_close(m);
    aios_ctx_free(ctx);
    waitpid(pid, NULL, 0);
    qsort(latencies, n_latencies, sizeof *latencies, by_size);
    printf("{\"bench\":\"http\",\"loop\":\"sessions %s\",\"streams\":%u,\"tokens\":%zu,\"rate\":%.0f,\"tokens_s\":%.0f,\"cpu_us_token\":%.2f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"rss_kib_stream\":%.1f,\"ctx_kib_stream\":%.1f,\"open_s\":%.1f,\"waiting_cpu_percent\":%.2f}\n",
           scheme, n, tokens, rate, (double)tokens / took * 1e6, cpu / (double)tokens, latencies[n_latencies / 2], latencies[n_latencies * 99 / 100], rss, used, (opened - began) / 1e6, waits * 100);
    fflush(stdout);
    need(tokens == (size_t)n * n_tokens, "tokens were lost");
}

int main(int argc, char **argv)
{
    unsigned long n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000, tokens = argc > 2 ? strtoul(argv[2], NULL, 10) : 100;
    double rate = argc > 3 ? strtod(argv[3], NULL) : 5000;
    const char *scheme = argc > 4 ? argv[4] : "openai";
    if (n < 1 || n > MAX_STREAMS || tokens < 1 || tokens > 100000 || rate < 0 || strlen(scheme) > 32) {
        fprintf(stderr, "usage: bench_streams [STREAMS [TOKENS [RATE [SCHEME]]]], at most %d streams\n", MAX_STREAMS);
        return 2;
    }
    if (!aios_has("curl"))
        return 77; /* skipped */
    peers = calloc(n, sizeof *peers);
    latencies = calloc(n * (tokens + 1), sizeof *latencies);
    need(peers && latencies, "memory");
    unsigned n_paced = (unsigned)(rate * 8 / (double)n); /* eight seconds */
    measure(scheme, (unsigned)n, (unsigned)tokens, 0);
    if (rate > 0)
        measure(scheme, (unsigned)n, n_paced < 1 ? 1 : n_paced < tokens ? n_paced : (unsigned)tokens, rate);
    free(peers);
    free(latencies);
    return 0;
}
