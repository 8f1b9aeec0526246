/* SPDX-License-Identifier: Apache-2.0 */
/* Commits a second of stores, one record of 300 bytes each, by threads with a stream of their own. Usage: bench_store [URI...]; JSON lines. */
#include <aios/aios.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 16, RECORD = 300 };
#define SECONDS 1.0

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

typedef struct worker {
    pthread_t thread;
    aios_store *st;
    double until;
    char name[16];
    uint64_t n;
    int failed;
} worker;

static void *work(void *user)
{
    worker *w = user;
    char data[RECORD];
    aios_store_write x = AIOS_INIT(aios_store_write);
    memset(data, 'x', sizeof data);
    x.stream = w->name;
    x.data = data;
    x.n_data = sizeof data;
    while (!w->failed && now() < w->until) {
        w->failed = aios_store_commit(w->st, &x, 1, sizeof x, NULL, NULL) != 0;
        w->n++;
    }
    return NULL;
}

static int measure(aios_store *st, const char *uri, int n_threads)
{
    worker w[MAX_THREADS] = {{.n = 0}};
    aios_store_info a = AIOS_INIT(aios_store_info), b = AIOS_INIT(aios_store_info);
    double begin = now();
    uint64_t n = 0;
    int rc = 0;
    aios_store_info_get(st, &a);
    for (int i = 0; i < n_threads; i++) {
        w[i].st = st;
        w[i].until = begin + SECONDS;
        snprintf(w[i].name, sizeof w[i].name, "run/%d", i);
        if (pthread_create(&w[i].thread, NULL, work, &w[i]))
            return 1;
    }
    for (int i = 0; i < n_threads; i++) {
        pthread_join(w[i].thread, NULL);
        n += w[i].n;
        rc |= w[i].failed;
    }
    double seconds = now() - begin;
    aios_store_info_get(st, &b);
    uint64_t syncs = b.n_syncs - a.n_syncs;
    printf("{\"bench\":\"store\",\"uri\":\"%s\",\"threads\":%d,\"commits_per_s\":%.0f,\"us_per_commit\":%.2f,\"commits_per_sync\":%.2f}\n", uri, n_threads,
           (double)n / seconds, seconds / (double)n * 1e6, syncs ? (double)n / (double)syncs : 0);
    return rc;
}

int main(int argc, char **argv)
{
    char disk[64], memory_disk[64];
    snprintf(disk, sizeof disk, "sqlite:/tmp/aios-bench-%ld", (long)getpid());
    snprintf(memory_disk, sizeof memory_disk, "sqlite:/dev/shm/aios-bench-%ld", (long)getpid());
    const char *all[] = {"memory:", disk, memory_disk};
    const char *const *uris = argc > 1 ? (const char *const *)argv + 1 : all;
    int n = argc > 1 ? argc - 1 : 3, rc = 0;
    for (int i = 0; i < n; i++) {
        aios_ctx *ctx = NULL;
        aios_store *st = NULL;
        aios_error err = AIOS_INIT(aios_error);
        rc |= aios_ctx_new(NULL, &ctx, &err) || aios_store_open(ctx, uris[i], NULL, &st, &err);
        if (!st)
            fprintf(stderr, "%s: %s\n", uris[i], err.msg);
        for (int threads = 1; st && threads <= MAX_THREADS; threads *= 16)
            rc |= measure(st, uris[i], threads);
        aios_store_close(st);
        aios_ctx_free(ctx);
    }
    if (argc < 2) {
        unlink(disk + strlen("sqlite:"));
        unlink(memory_disk + strlen("sqlite:"));
    }
    return rc;
}
