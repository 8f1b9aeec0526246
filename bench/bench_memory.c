/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding to a memory and searching it. Texts are 12 to 60 words of a vocabulary of 20,000, drawn as words are in languages (the n-th half as often as the
 * n/2-th). Usage: bench_memory [ITEMS, 100000 [URI...]]; JSON lines.
 */
#include <aios/aios.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 1000, WORDS = 20000, SINGLE = 200, SEARCHES = 60, SCOPES = 100 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t dice = 1;

static double roll(void)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (double)(dice >> 11) / 9007199254740992.0;
}

/* A word by its rank: 0 is the most common. */
static int put_word(char *out, int rank)
{
    int n = 0;
    for (unsigned x = (unsigned)rank + 30; x; x /= 15)
        n += sprintf(out + n, "%c%c", "bdfghklmnprstvz"[x % 15], "aeiou"[x % 5]);
    return n;
}

static void make_text(char *out)
{
    for (int n = 12 + (int)(roll() * 48); n; n--) {
        out += put_word(out, (int)pow(WORDS, roll()) - 1);
        *out++ = ' ';
    }
    out[-1] = 0;
}

static int add(aios_memory *m, int from, int n, aios_error *err)
{
    static char texts[BATCH][1024], scopes[BATCH][16];
    static aios_item items[BATCH];
    for (int i = 0; i < n; i++) {
        make_text(texts[i]);
        snprintf(scopes[i], sizeof scopes[i], "user:%d", (from + i) % SCOPES);
        items[i] = (aios_item)AIOS_INIT(aios_item);
        items[i].text = texts[i];
        items[i].n_text = AIOS_CSTR;
        items[i].scope = scopes[i];
        items[i].label.confidentiality = (uint64_t)((from + i) % 10 == 0);
    }
    return aios_memory_add(m, items, (uint32_t)n, sizeof *items, NULL, err);
}

static int count_hit(void *user, const aios_hit *h)
{
    (void)h;
    ++*(int *)user;
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Queries of n words of the ranks from .. to. */
static int search(aios_memory *m, const char *uri, const char *what, int n_words, int from, int to, const char *scope, aios_error *err)
{
    double ms[SEARCHES];
    int n_hits = 0, rc = 0;
    for (int i = 0; i < SEARCHES && !rc; i++) {
        char text[1024], *p = text;
        aios_query q = AIOS_INIT(aios_query);
        for (int k = 0; k < n_words; k++) {
            p += put_word(p, from + (int)(roll() * (to - from)));
            *p++ = ' ';
        }
        *p = 0;
        q.text = text;
        q.n_text = AIOS_CSTR;
        q.flags = scope ? 0 : AIOS_QUERY_ANY_SCOPE;
        q.scopes = scope ? &scope : NULL;
        q.n_scopes = scope != NULL;
        double begin = now();
        rc = aios_memory_search(m, &q, count_hit, &n_hits, err);
        ms[i] = (now() - begin) * 1e3;
    }
    qsort(ms, SEARCHES, sizeof *ms, compare);
    printf("{\"bench\":\"memory\",\"uri\":\"%s\",\"search\":\"%s\",\"words\":%d,\"median_ms\":%.2f,\"p95_ms\":%.2f,\"hits\":%.1f}\n", uri, what, n_words,
           ms[SEARCHES / 2], ms[SEARCHES * 95 / 100], (double)n_hits / SEARCHES);
    return rc;
}

static int measure(const char *uri, int n_items, aios_error *err)
{
    aios_ctx *ctx = NULL;
    aios_memory *m = NULL;
    struct stat st = {.st_size = 0};
    int rc = aios_ctx_new(NULL, &ctx, err);
    rc = rc ? rc : aios_memory_open(ctx, uri, NULL, &m, err);
    double begin = now();
    for (int i = 0; i < n_items && !rc; i += BATCH)
        rc = add(m, i, n_items - i < BATCH ? n_items - i : BATCH, err);
    double many = now() - begin;
    begin = now();
    for (int i = 0; i < SINGLE && !rc; i++)
        rc = add(m, i, 1, err);
    double one = now() - begin;
    if (rc)
        return rc;
    stat(strchr(uri, ':') + 1, &st);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    printf("{\"bench\":\"memory\",\"uri\":\"%s\",\"items\":%d,\"add_batch_us\":%.1f,\"add_one_us\":%.1f,\"file_mb\":%.1f,\"budget_mb\":%.1f}\n", uri, n_items,
           many / n_items * 1e6, one / SINGLE * 1e6, (double)st.st_size / 1e6, (double)u.used / 1e6);
    rc = search(m, uri, "rare words", 3, 2000, WORDS, NULL, err);
    rc = rc ? rc : search(m, uri, "usual words", 5, 50, 2000, NULL, err);
    rc = rc ? rc : search(m, uri, "the commonest words", 5, 0, 10, NULL, err);
    rc = rc ? rc : search(m, uri, "usual words of one scope in a hundred", 5, 50, 2000, "user:7", err);
    rc = rc ? rc : search(m, uri, "the commonest words of one scope in a hundred", 5, 0, 10, "user:7", err);
    aios_memory_close(m);
    aios_ctx_free(ctx);
    return rc;
}

int main(int argc, char **argv)
{
    char disk[64];
    aios_error err = AIOS_INIT(aios_error);
    snprintf(disk, sizeof disk, "sqlite:/tmp/aios-bench-memory-%ld", (long)getpid());
    const char *all[] = {disk, "memory:"};
    const char *const *uris = argc > 2 ? (const char *const *)argv + 2 : all;
    int n = argc > 2 ? argc - 2 : 2, n_items = argc > 1 ? atoi(argv[1]) : 100000, rc = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = measure(uris[i], n_items, &err);
        if (rc)
            fprintf(stderr, "%s: %s\n", uris[i], err.msg);
    }
    unlink(disk + strlen("sqlite:"));
    return rc != 0;
}
