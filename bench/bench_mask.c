/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token masks: bench_mask MODEL.gguf [--raw] [--cpu] < CASES. A case is a line {"schema": TEXT, "texts": [TEXT, ...]}. Each schema is compiled, each
 * text cut into the model's tokens and walked with a mask before every one, as far as the masks allow it. One JSON line a case: times of compiling, of
 * masks and of the walk's steps, bytes at most; --raw adds the tokens and each single time, for peers/masks.py to set others beside them. --cpu: time
 * that the thread has run, for a machine that has other work, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backend/gguf/vocab.h"
#include "base/json.h"
#include "grammar/grammar_mask.h"

enum { MAX_MASKS = 1 << 20 };

typedef struct bench {
    aios_ctx *ctx;
    aios__gguf *file;
    aios__vocab *vocab;
    aios__trie *trie;
    uint32_t *bits;
    bool raw;
    int64_t *mask_ns, *step_ns, *sorted;
    size_t n;
} bench;

static clockid_t the_clock = CLOCK_MONOTONIC;

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(the_clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void check(int rc, const aios_error *err)
{
    if (!rc)
        return;
    fprintf(stderr, "bench_mask: %s\n", err->msg);
    exit(1);
}

/* As the engine has it: no token that ends a turn, no control token. */
static const char *piece(void *user, int32_t id, size_t *n)
{
    const aios__vocab *v = user;
    uint32_t type = aios__vocab_type(v, id);
    if (aios__vocab_is_end(v, id) || (type != AIOS__TOKEN_NORMAL && type != AIOS__TOKEN_USER && type != AIOS__TOKEN_BYTE))
        return NULL;
    return aios__vocab_piece(v, id, n);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void print_times(bench *b, const char *name, const int64_t *ns)
{
    int64_t sum = 0;
    for (size_t i = 0; i < b->n; i++)
        sum += b->sorted[i] = ns[i];
    qsort(b->sorted, b->n, sizeof *b->sorted, by_value);
    printf(", \"%s\": {\"mean\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"per_s\": %.0f}", name, (double)sum / 1e3 / (double)b->n,
           (double)b->sorted[b->n / 2] / 1e3, (double)b->sorted[b->n * 99 / 100] / 1e3, (double)b->sorted[b->n - 1] / 1e3,
           (double)b->n * 1e9 / (double)(sum ? sum : 1));
}

/* Walks one text; prints how far the masks let it come. */
static void walk_text(bench *b, aios_grammar *g, const char *text, size_t n_text)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__ids ids = {.heap = aios__ctx_heap(b->ctx)};
    aios_walk *w = NULL;
    uint32_t n_allowed, at = 0;
    int32_t only;
    size_t from = b->n;
    check(aios__vocab_encode(b->vocab, text, n_text, 0, &ids, &err), &err);
    check(aios_walk_new(g, &w, &err), &err);
    while (at < ids.n && b->n < MAX_MASKS) {
        int64_t start = clock_ns();
        int rc = aios__walk_mask(w, b->trie, b->bits, &n_allowed, &only, &err);
        int64_t mid = clock_ns();
        uint32_t id = (uint32_t)ids.p[at];
        size_t len;
        bool ok = !rc && b->bits[id / 32] >> id % 32 & 1;
        const char *s = aios__vocab_piece(b->vocab, ids.p[at], &len);
        if (ok)
            check(aios_walk_accept(w, s, len, &err), &err);
        b->mask_ns[b->n] = mid - start;
        b->step_ns[b->n++] = clock_ns() - mid;
        if (!ok)
            break;
        at++;
    }
    printf("{\"n\": %u, \"accepted\": %u, \"complete\": %s", ids.n, at, at == ids.n && aios_walk_complete(w) ? "true" : "false");
    if (b->raw) {
        printf(", \"tokens\": [");
        for (uint32_t i = 0; i < ids.n; i++)
            printf("%s%d", i ? ", " : "", ids.p[i]);
        printf("], \"mask_ns\": [");
        for (size_t i = from; i < b->n; i++)
            printf("%s%lld", i > from ? ", " : "", (long long)b->mask_ns[i]);
        printf("], \"step_ns\": [");
        for (size_t i = from; i < b->n; i++)
            printf("%s%lld", i > from ? ", " : "", (long long)b->step_ns[i]);
        printf("]");
    }
    printf("}");
    aios_walk_free(w);
    aios__ids_free(&ids);
}

/* Its own context, so that the peak is this case's. */
static void run_case(bench *b, const char *schema, size_t n, const aios__json *texts)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage mem = AIOS_INIT(aios_mem_usage);
    aios_ctx *ctx = NULL;
    aios_grammar *g = NULL;
    check(aios_ctx_new(NULL, &ctx, &err), &err);
    int64_t start = clock_ns();
    int rc = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, n, &g, &err);
    printf("{\"compile_us\": %.3f", (double)(clock_ns() - start) / 1e3);
    if (rc) {
        aios__buf text;
        aios__buf_init(&text, aios__ctx_heap(b->ctx), AIOS_MEM_SCRATCH, 0);
        check(aios__buf_add_json(&text, err.msg, strlen(err.msg), &err), &err);
        printf(", \"error\": %.*s", (int)text.n, text.p);
        aios__buf_free(&text);
    } else {
        b->n = 0;
        printf(", \"texts\": [");
        for (size_t i = 0; i < aios__json_count(texts); i++) {
            size_t len;
            const char *s = aios__json_str(aios__json_at(texts, i), &len);
            fputs(i ? ", " : "", stdout);
            walk_text(b, g, s, len);
        }
        printf("]");
        if (b->n) {
            print_times(b, "mask_us", b->mask_ns);
            print_times(b, "step_us", b->step_ns);
        }
    }
    check(aios_ctx_usage(ctx, &mem), &err);
    printf(", \"peak_bytes\": %llu}\n", (unsigned long long)mem.peak);
    fflush(stdout);
    aios_grammar_free(g);
    aios_ctx_free(ctx);
}

static void run_line(bench *b, const char *line, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__json_doc *doc = NULL;
    check(aios__json_parse(aios__ctx_heap(b->ctx), line, n, &doc, &err), &err);
    size_t n_schema = 0;
    const char *schema = aios__json_str(aios__json_get(aios__json_root(doc), "schema"), &n_schema);
    if (schema)
        run_case(b, schema, n_schema, aios__json_get(aios__json_root(doc), "texts"));
    else
        fprintf(stderr, "bench_mask: a case without a schema was left out\n");
    aios__json_free(doc);
}

int main(int argc, char **argv)
{
    aios_error err = AIOS_INIT(aios_error);
    bench b = {0};
    for (int i = 2; i < argc; i++) {
        b.raw |= !strcmp(argv[i], "--raw");
        the_clock = !strcmp(argv[i], "--cpu") ? CLOCK_THREAD_CPUTIME_ID : the_clock;
    }
    if (argc < 2) {
        fputs("usage: bench_mask MODEL.gguf [--raw] [--cpu] < CASES\n", stderr);
        return argc != 1; /* without a model there is nothing to measure, and nothing has failed */
    }
    check(aios_ctx_new(NULL, &b.ctx, &err), &err);
    check(aios__gguf_open(b.ctx, argv[1], false, &b.file, &err), &err);
    check(aios__vocab_new(b.ctx, b.file, &b.vocab, &err), &err);
    check(aios__trie_new(b.ctx, aios__vocab_size(b.vocab), piece, b.vocab, &b.trie, &err), &err);
    b.bits = malloc((aios__vocab_size(b.vocab) + 31) / 32 * sizeof *b.bits);
    b.mask_ns = malloc(3 * MAX_MASKS * sizeof *b.mask_ns);
    if (!b.bits || !b.mask_ns)
        return 1;
    b.step_ns = b.mask_ns + MAX_MASKS;
    b.sorted = b.step_ns + MAX_MASKS;
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;)
        run_line(&b, line, (size_t)n);
    free(line);
    free(b.bits);
    free(b.mask_ns);
    aios__trie_free(b.trie);
    aios__vocab_free(b.vocab);
    aios__gguf_close(b.file);
    aios_ctx_free(b.ctx);
    return 0;
}
