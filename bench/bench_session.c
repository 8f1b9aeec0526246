/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of a model: bench_session MODEL.gguf [TOKENS]. One JSON line: time of a fork and of leaving it; heap bytes that a session keeps
 * beside its pages of keys and values, new and idle after a turn; time to compute a prompt, to take it from another session, to save and
 * to load it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <aios/aios.h>

#include "bench.h"

enum { FORKS = 201, SESSIONS = 16, REPLY = 32, LOADS = 5 };

static long long live; /* heap bytes; pages of keys and values are mapped memory */

static void *count_realloc(void *user, void *p, size_t old_size, size_t new_size)
{
    (void)user;
    void *q = NULL;
    if (new_size)
        q = realloc(p, new_size);
    else
        free(p);
    if (q || !new_size)
        __atomic_fetch_add(&live, (long long)new_size - (long long)old_size, __ATOMIC_RELAXED);
    return q;
}

/* A turn over a text of about n_words tokens that ends in `last`; the time up to its first event. */
static double turn(aios_session *s, uint32_t n_words, const char *last, aios_usage *usage)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    const aios_event *ev;
    size_t cap = n_words * 8 + strlen(last) + 1, n = 0;
    char *text = malloc(cap);
    for (uint32_t i = 0; text && i < n_words; i++)
        n += (size_t)snprintf(text + n, cap - n, i % 2 ? " list" : " word");
    if (!text)
        exit(1);
    snprintf(text + n, cap - n, "%s", last);
    q.raw = text;
    q.n_raw = AIOS_CSTR;
    q.max_tokens = REPLY;
    q.flags = AIOS_REQUEST_IGNORE_EOS;
    double begin = now_us(), first = 0;
    must(aios_session_start(s, &q, &err), &err);
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        first = first > 0 ? first : now_us() - begin;
        if (ev->type == AIOS_EVENT_USAGE)
            *usage = *ev->usage;
        if (ev->type == AIOS_EVENT_ERROR)
            must(ev->error->code, ev->error);
    }
    free(text);
    return first;
}

static void time_forks(aios_session *s)
{
    static double fork_us[FORKS], free_us[FORKS];
    aios_error err = AIOS_INIT(aios_error);
    for (int i = 0; i < FORKS; i++) {
        aios_session *f = NULL;
        double begin = now_us();
        must(aios_session_fork(s, &f, &err), &err);
        double made = now_us();
        aios_session_free(f);
        fork_us[i] = made - begin;
        free_us[i] = now_us() - made;
    }
    qsort(fork_us, FORKS, sizeof *fork_us, by_size);
    qsort(free_us, FORKS, sizeof *free_us, by_size);
    printf(",\"fork_us\":%.1f,\"fork_us_max\":%.1f,\"free_us\":%.1f", fork_us[FORKS / 2], fork_us[FORKS - 1], free_us[FORKS / 2]);
}

/* Without the scratch of passes, which is the model's: a thread's comes when it first draws a token. */
static long long weigh(aios_ctx *ctx)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return live - (long long)u.by_kind[AIOS_MEM_SCRATCH];
}

static void weigh_sessions(aios_ctx *ctx, aios_model *m, uint32_t n_words)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_usage usage = AIOS_INIT(aios_usage);
    aios_session *s[SESSIONS + 1];
    for (int i = 0; i <= SESSIONS; i++) /* the first one brings what all share */
        s[i] = NULL;
    must(aios_session_new(m, NULL, &s[SESSIONS], &err), &err);
    double first_us = turn(s[SESSIONS], n_words, " 0", &usage), next_us = 0;
    long long before = weigh(ctx);
    for (int i = 0; i < SESSIONS; i++)
        must(aios_session_new(m, NULL, &s[i], &err), &err);
    long long fresh = weigh(ctx) - before;
    for (int i = 0; i < SESSIONS; i++) {
        char last[16];
        snprintf(last, sizeof last, " %d", i + 1);
        next_us += turn(s[i], n_words, last, &usage) / SESSIONS;
    }
    printf(",\"new_bytes\":%lld,\"idle_bytes\":%lld,\"first_token_ms\":%.2f,\"first_token_ms_shared\":%.2f,\"prefilled_shared\":%llu", fresh / SESSIONS,
           (weigh(ctx) - before) / SESSIONS, first_us / 1e3, next_us / 1e3, (unsigned long long)(usage.input - usage.cached));
    for (int i = 0; i <= SESSIONS; i++)
        aios_session_free(s[i]);
}

static void time_files(aios_model *m, aios_session *s)
{
    aios_error err = AIOS_INIT(aios_error);
    char path[] = "aios-bench-XXXXXX";
    double save_us = 1e12, load_us = 1e12;
    int fd = mkstemp(path);
    if (fd < 0)
        return;
    for (int i = 0; i < LOADS; i++) {
        aios_session *t = NULL;
        double begin = now_us();
        must(aios_session_save(s, path, &err), &err);
        double saved = now_us();
        must(aios_session_new(m, NULL, &t, &err), &err);
        must(aios_session_load(t, path, &err), &err);
        load_us = now_us() - saved < load_us ? now_us() - saved : load_us;
        save_us = saved - begin < save_us ? saved - begin : save_us;
        aios_session_free(t);
    }
    close(fd);
    FILE *f = fopen(path, "rb");
    long size = f && !fseek(f, 0, SEEK_END) ? ftell(f) : 0;
    if (f)
        fclose(f);
    unlink(path);
    printf(",\"save_ms\":%.2f,\"load_ms\":%.2f,\"file_bytes\":%ld", save_us / 1e3, load_us / 1e3, size);
}

int main(int argc, char **argv)
{
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_model_info info = AIOS_INIT(aios_model_info);
    aios_error err = AIOS_INIT(aios_error);
    aios_usage usage = AIOS_INIT(aios_usage);
    aios_ctx *ctx = NULL;
    aios_model *m = NULL;
    aios_session *s = NULL;
    const char *path = argc > 1 ? argv[1] : getenv("AIOS_MODEL");
    uint32_t n_words = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1024;
    if (!path) {
        fputs("usage: bench_session MODEL.gguf [TOKENS]\n", stderr);
        return 77; /* skipped */
    }
    env.realloc = count_realloc;
    cfg.env = &env;
    must(aios_ctx_new(&cfg, &ctx, &err), &err);
    must(aios_model_open(ctx, path, NULL, &m, &err), &err);
    must(aios_session_new(m, NULL, &s, &err), &err);
    aios_model_info_get(m, &info);
    double prefill_us = turn(s, n_words, " of their own", &usage);
    printf("{\"bench\":\"session\",\"model\":\"%s\",\"tokens\":%llu,\"threads\":%u,\"prefill_ms\":%.2f", info.name,
           (unsigned long long)(usage.input + usage.output), info.n_threads, prefill_us / 1e3);
    time_forks(s);
    time_files(m, s);
    aios_session_free(s);
    weigh_sessions(ctx, m, n_words / 2);
    puts("}");
    aios_model_close(m);
    aios_ctx_free(ctx);
    return 0;
}
