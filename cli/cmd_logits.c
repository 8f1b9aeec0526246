/* SPDX-License-Identifier: Apache-2.0 */
/* Token ids to log-probabilities: {"nll":[...],"top":[[[id,logprob],...],...]}, natural logarithm. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct scored {
    int32_t id;
    float logit;
} scored;

static double log_sum_exp(const float *x, uint32_t n)
{
    double max = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        max = x[i] > max ? (double)x[i] : max;
    for (uint32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

/* The k largest, best first, by insertion into a sorted list. */
static uint32_t top_of(const float *x, uint32_t n, uint32_t k, scored *out)
{
    uint32_t have = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (have == k && (!k || !(x[i] > out[k - 1].logit)))
            continue;
        uint32_t at = have < k ? have++ : k - 1;
        for (; at && x[i] > out[at - 1].logit; at--)
            out[at] = out[at - 1];
        out[at] = (scored){(int32_t)i, x[i]};
    }
    return have;
}

typedef struct output {
    double *nll;
    uint32_t n_nll;
    scored *top;
    uint32_t k;
} output;

static void print_top(const output *o, const float *row, uint32_t n_vocab, double lse, bool first)
{
    uint32_t n = top_of(row, n_vocab, o->k, o->top);
    fputs(first ? "[" : ",[", stdout);
    for (uint32_t i = 0; i < n; i++)
        printf("%s[%d,%.6f]", i ? "," : "", o->top[i].id, (double)o->top[i].logit - lse);
    putchar(']');
}

/* The "top" rows are printed as they come; nll is kept for the end. */
static int score(aios_session *s, const int32_t *ids, uint32_t n, uint32_t n_vocab, uint32_t chunk, float *logits, output *o)
{
    aios_error err = AIOS_INIT(aios_error);
    fputs("{\"top\":[", stdout);
    for (uint32_t at = 0; at < n; at += chunk) {
        uint32_t len = n - at < chunk ? n - at : chunk;
        if (aios_session_eval(s, ids + at, len, logits, len, &err)) {
            puts("]}");
            return cli_fail("logits", &err);
        }
        for (uint32_t i = 0; i < len; i++) {
            const float *row = logits + (size_t)i * n_vocab;
            double lse = log_sum_exp(row, n_vocab);
            print_top(o, row, n_vocab, lse, at + i == 0);
            if (at + i + 1 < n)
                o->nll[o->n_nll++] = lse - (double)row[ids[at + i + 1]];
        }
    }
    fputs("],\"nll\":[", stdout);
    for (uint32_t i = 0; i < o->n_nll; i++)
        printf("%s%.6f", i ? "," : "", o->nll[i]);
    puts("]}");
    return 0;
}

int cmd_logits(cli *c)
{
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_session *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    aios_model_info info = AIOS_INIT(aios_model_info);
    output o = {.k = (uint32_t)c->top};
    uint32_t n = 0;
    int32_t *ids = cli_read_ids(&n);
    float *logits = NULL;
    if (!ids)
        return EXIT_USAGE;
    int rc = cli_model(c, &ctx, &m);
    if (!rc) {
        aios_model_info_get(m, &info);
        uint32_t chunk = c->chunk ? (uint32_t)c->chunk : 1 + (64u << 20) / 4 / (info.n_vocab + 1);
        o.nll = malloc((n + 1) * sizeof *o.nll);
        o.top = malloc((o.k + 1) * sizeof *o.top);
        logits = malloc((size_t)chunk * info.n_vocab * sizeof *logits + 1);
        for (uint32_t i = 0; i < n && !rc; i++)
            if ((uint32_t)ids[i] >= info.n_vocab)
                rc = cli_usage("id %d at position %u is not below the vocabulary size %u", ids[i], i, info.n_vocab);
        if (!rc && (!o.nll || !o.top || !logits))
            rc = cli_no_memory();
        if (!rc && aios_session_new(m, NULL, &s, &err))
            rc = cli_fail(NULL, &err);
        if (!rc)
            rc = score(s, ids, n, info.n_vocab, chunk, logits, &o);
    }
    free(ids);
    free(o.nll);
    free(o.top);
    free(logits);
    aios_session_free(s);
    aios_model_close(m);
    aios_ctx_free(ctx);
    return rc;
}
