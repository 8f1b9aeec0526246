/* SPDX-License-Identifier: Apache-2.0 */
/* Speed of evaluation, as llama-bench measures it: random tokens, logits of the last one, no sampler. */
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
} bench;

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

static int prefill(bench *b, uint32_t n, double *seconds, aios_error *err)
{
    for (uint32_t i = 0; i < n; i++)
        b->ids[i] = random_id(b);
    int rc = aios_session_eval(b->s[0], NULL, 0, NULL, 0, err);
    double t = now();
    if (!rc)
        rc = aios_session_eval(b->s[0], b->ids, n, b->logits, 1, err);
    *seconds = now() - t;
    return rc;
}

static int decode(bench *b, uint32_t n, double *seconds, aios_error *err)
{
    int rc = aios_session_eval(b->s[0], NULL, 0, NULL, 0, err);
    double t = now();
    for (uint32_t i = 0; i < n && !rc; i++) {
        int32_t id = random_id(b);
        rc = aios_session_eval(b->s[0], &id, 1, b->logits, 1, err);
    }
    *seconds = now() - t;
    return rc;
}

static int decode_batch(bench *b, uint32_t n, double *seconds, aios_error *err)
{
    uint32_t n_seq = (uint32_t)b->c->batch;
    int rc = 0;
    for (uint32_t i = 0; i < n_seq && !rc; i++)
        rc = aios_session_eval(b->s[i], NULL, 0, NULL, 0, err);
    double t = now();
    for (uint32_t i = 0; i < n && !rc; i++) {
        for (uint32_t k = 0; k < n_seq; k++)
            b->ids[k] = random_id(b);
        rc = aios_session_eval_batch(b->s, b->ids, n_seq, b->logits, err);
    }
    *seconds = now() - t;
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One test: a warm-up, then the repetitions; prints its line. */
static int measure(bench *b, const char *name, int (*fn)(bench *, uint32_t, double *, aios_error *), uint32_t n, uint32_t per_step)
{
    aios_error err = AIOS_INIT(aios_error);
    long reps = b->c->repeat ? b->c->repeat : 5;
    double *tok_s = calloc((size_t)reps, sizeof *tok_s), *sorted = calloc((size_t)reps, sizeof *sorted), seconds;
    int rc = !tok_s || !sorted ? EXIT_FAIL : fn(b, n > 64 && per_step ? n / 4 : n, &seconds, &err) ? cli_fail(name, &err) : 0;
    for (long i = 0; i < reps && !rc; i++) {
        rc = fn(b, n, &seconds, &err) ? cli_fail(name, &err) : 0;
        tok_s[i] = sorted[i] = n * (per_step ? per_step : 1) / seconds;
    }
    if (!rc) {
        qsort(sorted, (size_t)reps, sizeof *sorted, by_value);
        json_t *runs = json_array();
        for (long i = 0; i < reps; i++)
            json_array_append_new(runs, json_real(tok_s[i]));
        cli_print_json(json_pack("{s:s,s:o,s:f,s:I,s:f,s:f,s:s}", "test", name, "tok_s", runs, "median",
                                 (sorted[reps / 2] + sorted[(reps - 1) / 2]) / 2, "threads", (json_int_t)b->info.n_threads, "rss_mib",
                                 (double)read_kib("VmRSS:") / 1024, "peak_rss_mib", (double)read_kib("VmHWM:") / 1024, "model", b->info.name));
    }
    free(tok_s);
    free(sorted);
    return rc;
}

static int prepare(bench *b)
{
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n_seq = b->c->batch ? (uint32_t)b->c->batch : 1;
    b->rng = 42;
    aios_model_info_get(b->m, &b->info);
    b->ids = calloc(b->info.n_ctx + MAX_BATCH, sizeof *b->ids);
    b->logits = calloc((size_t)n_seq * b->info.n_vocab, sizeof *b->logits);
    if (!b->ids || !b->logits)
        return cli_usage("out of memory");
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
        rc = n ? measure(b, name, prefill, (uint32_t)n, 0) : 0;
    }
    snprintf(name, sizeof name, "tg%u", n_decode);
    if (!rc)
        rc = measure(b, name, decode, n_decode, 1);
    snprintf(name, sizeof name, "tg%ux%ld", n_decode, b->c->batch);
    if (!rc && b->c->batch > 1)
        rc = measure(b, name, decode_batch, n_decode, (uint32_t)b->c->batch);
    return rc;
}

int cmd_bench(cli *c)
{
    aios_ctx *ctx = NULL;
    bench b = {.c = c, .info = AIOS_INIT(aios_model_info)};
    int rc = cli_model(c, &ctx, &b.m);
    if (!rc && !(rc = prepare(&b)))
        rc = run_tests(&b);
    for (uint32_t i = 0; i < MAX_BATCH; i++)
        aios_session_free(b.s[i]);
    free(b.ids);
    free(b.logits);
    aios_model_close(b.m);
    aios_ctx_free(ctx);
    return rc;
}
