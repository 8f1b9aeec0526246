/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of evaluation, as llama-bench measures it: random tokens, logits of the last one, no sampler. Each line has its share of what
 * the machine allows, probed just before and after. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define MAX_BATCH 256

typedef struct bench {
    const cli *c;
    aios_model *m;
    aios_session *s[MAX_BATCH];
    aios_model_info info;
    float *logits;
    int32_t *ids;
    uint64_t rng;
    const char *level;
    cli_prober prober;
    cli_limits limits; /**< of the last time they were asked for */
} bench;

/** One test: n tokens at once, or n steps of n_seq sequences. */
typedef struct test {
    int (*fn)(bench *b, const struct test *t, double *seconds, aios_error *err);
    uint32_t n, n_seq;
    bool steps;
} test;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int32_t random_id(bench *b)
{
    b->rng = b->rng * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((b->rng >> 33) % b->info.n_vocab);
}

static long read_kib(const char *key)
{
    char line[256];
    long v = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)))
            v = strtol(line + strlen(key), NULL, 10);
    if (f)
        fclose(f);
    return v;
}

/* A session with nothing but the depth in its cache. */
static int begin(bench *b, uint32_t i, aios_error *err)
{
    uint32_t n = (uint32_t)b->c->depth;
    int rc = aios_session_eval(b->s[i], NULL, 0, NULL, 0, err);
    for (uint32_t k = 0; k < n; k++)
        b->ids[k] = random_id(b);
    return rc || !n ? rc : aios_session_eval(b->s[i], b->ids, n, b->logits, 1, err);
}

static int prefill(bench *b, const test *t, double *seconds, aios_error *err)
{
    int rc = begin(b, 0, err);
    for (uint32_t i = 0; i < t->n; i++)
        b->ids[i] = random_id(b);
    double start = now();
    if (!rc)
        rc = aios_session_eval(b->s[0], b->ids, t->n, b->logits, 1, err);
    *seconds = now() - start;
    return rc;
}

static int decode(bench *b, const test *t, double *seconds, aios_error *err)
{
    int rc = begin(b, 0, err);
    double start = now();
    for (uint32_t i = 0; i < t->n && !rc; i++) {
        int32_t id = random_id(b);
        rc = aios_session_eval(b->s[0], &id, 1, b->logits, 1, err);
    }
    *seconds = now() - start;
    return rc;
}

static int decode_batch(bench *b, const test *t, double *seconds, aios_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < t->n_seq && !rc; i++)
        rc = begin(b, i, err);
    double start = now();
    for (uint32_t i = 0; i < t->n && !rc; i++) {
        for (uint32_t k = 0; k < t->n_seq; k++)
            b->ids[k] = random_id(b);
        rc = aios_session_eval_batch(b->s, b->ids, t->n_seq, b->logits, err);
    }
    *seconds = now() - start;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, long n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return (v[n / 2] + v[(n - 1) / 2]) / 2;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* What one token takes of the int8 peak (prefill; the head once) or of the read bandwidth (decode; the weights once a step). */
static void add_share(bench *b, json_t *line, const test *t, double tok_s)
{
    cli_limits l = b->limits, now = {0};
    if (!cli_prober_ask(&b->prober, &now) || !now.layer_macs)
        return;
    b->limits = now;
    double limit = t->steps ? larger(l.rates.read_bytes_per_s, now.rates.read_bytes_per_s) : larger(l.rates.int8_op_per_s, now.rates.int8_op_per_s);
    double work = t->steps ? (now.layer_bytes + now.head_bytes) / t->n_seq : 2 * (now.layer_macs + now.head_macs / t->n);
    json_object_set_new(line, "limit", json_string(t->steps ? "read" : "int8"));
    json_object_set_new(line, "limit_per_s", json_real(limit));
    json_object_set_new(line, "work_per_token", json_real(work));
    json_object_set_new(line, "share", json_real(tok_s * work / limit));
}

static void print_line(bench *b, const char *name, const test *t, double *tok_s, long n)
{
    json_t *runs = json_array();
    for (long i = 0; i < n; i++)
        json_array_append_new(runs, json_real(tok_s[i]));
    double m = median(tok_s, n);
    json_t *line = json_pack("{s:s,s:o,s:f,s:I,s:s,s:I,s:I,s:f,s:f,s:s}", "test", name, "tok_s", runs, "median", m, "threads",
                             (json_int_t)b->info.n_threads, "level", b->level, "depth", (json_int_t)b->c->depth, "sequences",
                             (json_int_t)t->n_seq, "rss_mib", (double)read_kib("VmRSS:") / 1024, "peak_rss_mib",
                             (double)read_kib("VmHWM:") / 1024, "model", b->info.name);
    add_share(b, line, t, m);
    cli_print_json(line);
}

/* A warm-up, then the repetitions; prints the line. */
static int measure(bench *b, const char *name, const test *t)
{
    aios_error err = AIOS_INIT(aios_error);
    long reps = b->c->repeat ? b->c->repeat : 5;
    test warm = *t;
    double *tok_s = calloc((size_t)reps, sizeof *tok_s), seconds;
    warm.n = t->steps && t->n > 64 ? t->n / 4 : t->n;
    int rc = !tok_s ? EXIT_FAIL : t->fn(b, &warm, &seconds, &err) ? cli_fail(name, &err) : 0;
    for (long i = 0; i < reps && !rc; i++) {
        rc = t->fn(b, t, &seconds, &err) ? cli_fail(name, &err) : 0;
        tok_s[i] = t->n * t->n_seq / seconds;
    }
    if (!rc)
        print_line(b, name, t, tok_s, reps);
    free(tok_s);
    return rc;
}

static int prepare(bench *b)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n_seq = b->c->batch ? (uint32_t)b->c->batch : 1;
    b->rng = 42;
    aios_model_info_get(b->m, &b->info);
    if (!b->info.n_vocab)
        return cli_usage("bench measures what this machine computes of a .gguf file, not what the backend %s says: there -v of `aios run` shows "
                         "the time until the first token, and tokens a second", b->info.backend);
    cli_prober_ask(&b->prober, &b->limits);
    if (b->c->depth >= (long)b->info.n_ctx)
        return cli_usage("-d takes a depth below the context of %u", b->info.n_ctx);
    b->ids = calloc(b->info.n_ctx + MAX_BATCH, sizeof *b->ids);
    b->logits = calloc((size_t)n_seq * b->info.n_vocab, sizeof *b->logits);
    if (!b->ids || !b->logits)
        return cli_no_memory();
    for (uint32_t i = 0; i < n_seq; i++)
        if (aios_session_new(b->m, NULL, &b->s[i], &err))
            return cli_fail(NULL, &err);
    return 0;
}

static int run_tests(bench *b)
{
    const char *p = b->c->prompts ? b->c->prompts : "16,64,512";
    uint32_t n_decode = b->c->n_predict ? (uint32_t)b->c->n_predict : 128;
    char name[32];
    int rc = 0;
    while (*p && !rc) {
        char *end;
        unsigned long n = strtoul(p, &end, 10);
        if (end == p || (*end && *end != ',') || n > b->info.n_ctx)
            return cli_usage("-p takes lengths up to the context of %u, such as 16,64,512; \"%s\" is not", b->info.n_ctx, p);
        p = *end ? end + 1 : end;
        snprintf(name, sizeof name, "pp%lu", n);
        test t = {prefill, (uint32_t)n, 1, false};
        rc = n ? measure(b, name, &t) : 0;
    }
    snprintf(name, sizeof name, "tg%u", n_decode);
    test one = {decode, n_decode, 1, true}, many = {decode_batch, n_decode, (uint32_t)b->c->batch, true};
    if (!rc)
        rc = measure(b, name, &one);
    snprintf(name, sizeof name, "tg%ux%ld", n_decode, b->c->batch);
    if (!rc && b->c->batch > 1)
        rc = measure(b, name, &many);
    return rc;
}

int cmd_bench(cli *c)
{
    aios_ctx *ctx = NULL;
    bench b = {.c = c, .info = AIOS_INIT(aios_model_info)};
    aios_cpu_info cpu = AIOS_INIT(aios_cpu_info);
    cli_prober_start(c, &b.prober);
    int rc = cli_model(c, &ctx, &b.m);
    aios_cpu_info_get(ctx, &cpu);
    b.level = cpu.isa;
    if (!rc && !(rc = prepare(&b)))
        rc = run_tests(&b);
    cli_prober_stop(&b.prober);
    for (uint32_t i = 0; i < MAX_BATCH; i++)
        aios_session_free(b.s[i]);
    free(b.ids);
    free(b.logits);
    aios_model_close(b.m);
    aios_ctx_free(ctx);
    return rc;
}
