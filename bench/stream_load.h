/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bench_http and bench_streams do alike. PROGRAM [serve] [STREAMS [TOKENS [RATE [https]]]]: a server of one thread in a child process
 * says TOKENS to each stream, as fast as they are taken, then RATE a second in all. A JSON line for each: tokens a second, microseconds from
 * the server's stamp to the token that was read, KiB of an open stream that waits (resident memory, and what the ctx counts). `serve` is the
 * server alone, at RATE (0: as fast as they are taken): it prints its URL and the file of its certificate's authority, and ends with its streams.
 */
#ifndef AIOS_BENCH_STREAM_LOAD_H
#define AIOS_BENCH_STREAM_LOAD_H

#include <sys/resource.h>

#include "stream_server.h"

typedef struct load {
    const char *loop; /* how the client reads */
    unsigned n_streams, n_tokens;
    double rate; /* tokens a second in all; 0: as fast as they are taken */
    int over_tls;
    const char *ca_file; /* NULL: no TLS */
    char url[48];        /* of the server, without a path */
    pid_t server;
    double *latencies; /* us */
    size_t n_latencies;
    double rss, used, from, cpu, took; /* KiB, us */
} load;

static double resident_kib(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");
    need(f && fscanf(f, "%ld %ld", &all, &pages) == 2, "statm");
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double cpu_us(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static double ctx_kib(const aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return (double)u.used / 1024;
}

/** Before the streams are opened. */
static void load_begin(load *l, const aios_ctx *ctx)
{
    l->n_latencies = 0;
    l->rss = resident_kib();
    l->used = ctx_kib(ctx);
}

/** All are open, none has a token. */
static void load_opened(load *l, const aios_ctx *ctx)
{
    l->rss = (resident_kib() - l->rss) / l->n_streams;
    l->used = (ctx_kib(ctx) - l->used) / l->n_streams;
    need(!l->n_latencies, "the server began early");
}

/** A token was read, that the server stamped. */
static void load_token(load *l, double sent_us)
{
    need(l->n_latencies < (size_t)l->n_streams * l->n_tokens, "tokens were doubled");
    l->latencies[l->n_latencies++] = now_us() - sent_us;
    if (l->n_latencies == 1) {
        l->from = now_us();
        l->cpu = cpu_us();
    }
}

/** All streams are over. */
static void load_over(load *l)
{
    l->took = now_us() - l->from;
    l->cpu = cpu_us() - l->cpu;
}

/** Behind the last use of the server; `more`: further members of the line, each behind a comma. */
static void load_report(load *l, const char *more)
{
    waitpid(l->server, NULL, 0);
    size_t n = l->n_latencies;
    need(n == (size_t)l->n_streams * l->n_tokens, "tokens were lost");
    qsort(l->latencies, n, sizeof *l->latencies, by_size);
    printf("{\"bench\":\"http\",\"loop\":\"%s\",\"tls\":%d,\"streams\":%u,\"tokens\":%zu,\"rate\":%.0f,\"tokens_s\":%.0f,", l->loop, l->over_tls,
           l->n_streams, n, l->rate, (double)n / l->took * 1e6);
    printf("\"cpu_us_token\":%.2f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"rss_kib_stream\":%.1f,\"ctx_kib_stream\":%.1f%s}\n", l->cpu / (double)n,
           l->latencies[n / 2], l->latencies[n * 99 / 100], l->rss, l->used, more);
    fflush(stdout);
}

static int load_usage(const char *program)
{
    fprintf(stderr, "usage: %s [serve] [STREAMS [TOKENS [RATE [https]]]], at most %d streams%s\n", program, MAX_STREAMS,
#ifdef BENCH_TLS
            "");
#else
            "; this build has no TLS to measure");
#endif
    return 2;
}

/* The authority's file, for the whole life of the program; NULL: no TLS. */
static const char *make_authority(int over_tls)
{
#ifdef BENCH_TLS
    if (over_tls)
        tls_make_certs(&tls);
    return over_tls ? tls.ca_file : NULL;
#else
    (void)over_tls;
    return NULL;
#endif
}

static void drop_authority(int over_tls)
{
#ifdef BENCH_TLS
    if (over_tls)
        tls_drop_certs(&tls);
#else
    (void)over_tls;
#endif
}

/* Starts the server in a child process, measures, twice. */
static void measure_both(load *l, void (*measure)(load *l))
{
    double rate = l->rate;
    unsigned n_tokens = l->n_tokens, n_paced = (unsigned)(rate * 8 / l->n_streams); /* eight seconds */
    for (int paced = 0; paced < 1 + (rate > 0); paced++) {
        uint16_t port;
        int lfd = listen_somewhere(&port);
        l->rate = paced ? rate : 0;
        l->n_tokens = !paced || n_paced > n_tokens ? n_tokens : n_paced < 1 ? 1 : n_paced;
        snprintf(l->url, sizeof l->url, "http%s://127.0.0.1:%u", l->over_tls ? "s" : "", port);
        l->server = fork();
        need(l->server >= 0, "fork");
        if (!l->server) {
            serve(lfd, l->n_streams, l->n_tokens, l->rate, l->over_tls);
            _exit(0);
        }
        close(lfd);
        measure(l);
    }
    l->rate = rate;
    l->n_tokens = n_tokens;
}

static void serve_alone(const load *l)
{
    uint16_t port;
    int lfd = listen_somewhere(&port);
    printf("http%s://127.0.0.1:%u%s%s\n", l->over_tls ? "s" : "", port, l->over_tls ? " " : "", l->over_tls ? l->ca_file : "");
    fflush(stdout);
    serve(lfd, l->n_streams, l->n_tokens, l->rate, l->over_tls);
}

/** What main does: a line for each of n loops and paces, each measured by `measure`. */
static int load_main(int argc, char **argv, const char *const *loops, int n_loops, void (*measure)(load *l))
{
    int alone = argc > 1 && !strcmp(argv[1], "serve");
    char **a = argv + alone;
    argc -= alone;
    unsigned long n = argc > 1 ? strtoul(a[1], NULL, 10) : 1000, n_tokens = argc > 2 ? strtoul(a[2], NULL, 10) : 100;
    load l = {.n_streams = (unsigned)n, .n_tokens = (unsigned)n_tokens};
    l.rate = argc > 3 ? strtod(a[3], NULL) : alone ? 0 : 5000;
    l.over_tls = argc > 4 && !strcmp(a[4], "https");
    if (n < 1 || n > MAX_STREAMS || n_tokens < 1 || n_tokens > 100000 || !(l.rate >= 0 && l.rate < 1e9) || argc > 4 + l.over_tls)
        return load_usage(argv[0]);
#ifndef BENCH_TLS
    if (l.over_tls)
        return load_usage(argv[0]);
#endif
    if (!aios_has("curl"))
        return 77; /* skipped */
    peers = calloc(n, sizeof *peers);
    l.latencies = calloc(n * n_tokens, sizeof *l.latencies);
    need(peers && l.latencies, "memory");
    l.ca_file = make_authority(l.over_tls);
    if (alone)
        serve_alone(&l);
    for (int i = 0; i < n_loops && !alone; i++) {
        l.loop = loops[i];
        measure_both(&l, measure);
    }
    drop_authority(l.over_tls);
    free(peers);
    free(l.latencies);
    return 0;
}

#endif
