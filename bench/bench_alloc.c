/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation as inference does it: KV pages that come and go, scratch of a step, weights. Each round runs every
 * implementation once, in an order that rotates, so that what disturbs the machine disturbs all of them; what is printed is
 * the median, and the median of the ratios within a round. JSON lines on standard output.
 *
 * Allocators run with their defaults, returning memory to the system included, which is most of what glibc's malloc costs
 * here; MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ in the environment show it without. jemalloc needs
 * GLIBC_TUNABLES=glibc.rtld.optional_static_tls=65536 to be loaded late.
 *
 * usage: bench_alloc [rounds]
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tensor/tensor.h"

enum { MAX_IMPLS = 8, MAX_ROUNDS = 1001, N_PAGES = 512, PAGE_BYTES = 32 << 10, N_SCRATCH = 64, WEIGHT_BYTES = 32 << 20 };

/** A foreign allocator; alloc NULL: libaios. */
typedef struct impl {
    const char *name;
    void *(*alloc)(size_t align, size_t n);
    void (*free)(void *p);
} impl;

typedef struct bench {
    aios_device *dev;
    aios__pages *pages;
    aios_arena *arena;
    const impl *impl;
    uint32_t random;
} bench;

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint32_t next_random(bench *b)
{
    b->random = b->random * 1664525u + 1013904223u;
    return b->random >> 8;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_alloc: %s\n", what);
    exit(1);
}

/* ---- implementations ------------------------------------------------------------------------------------------------- */

static void *plain_malloc(size_t align, size_t n)
{
    (void)align;
    return malloc(n);
}

static void *(*mi_malloc_aligned)(size_t n, size_t align);
static void *mi_alloc(size_t align, size_t n)
{
    return mi_malloc_aligned(n, align);
}

static void *open_library(const char *name)
{
    void *lib = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!lib)
        fprintf(stderr, "bench_alloc: without %s: %s\n", name, dlerror());
    return lib;
}

static void find_symbol(void *lib, const char *name, void *fn)
{
    void *p = lib ? dlsym(lib, name) : NULL;
    memcpy(fn, &p, sizeof p);
}

static uint32_t find_impls(impl *out)
{
    uint32_t n = 0;
    out[n++] = (impl){"aios", NULL, NULL};
    out[n++] = (impl){"malloc", plain_malloc, free};
    out[n++] = (impl){"aligned_alloc", aligned_alloc, free};
    impl je = {"jemalloc", NULL, NULL}, mi = {"mimalloc", NULL, NULL};
    void *lib = open_library("libjemalloc.so.2");
    find_symbol(lib, "aligned_alloc", &je.alloc);
    find_symbol(lib, "free", &je.free);
    if (je.alloc && je.free)
        out[n++] = je;
    lib = open_library("libmimalloc.so.2");
    find_symbol(lib, "mi_malloc_aligned", &mi_malloc_aligned);
    find_symbol(lib, "mi_free", &mi.free);
    mi.alloc = mi_malloc_aligned ? mi_alloc : NULL;
    if (mi.alloc && mi.free)
        out[n++] = mi;
    return n;
}

/* ---- patterns: each returns how many allocations it made --------------------------------------------------------------- */

static void *get_page(bench *b)
{
    void *p = b->impl->alloc ? b->impl->alloc(64, PAGE_BYTES) : aios__pages_get(b->pages, NULL);
    if (!p)
        die("no memory for a page");
    memset(p, 1, 256); /* what one position writes */
    return p;
}

static void put_page(bench *b, void *p)
{
    if (b->impl->alloc)
        b->impl->free(p);
    else
        aios__pages_put(b->pages, p);
}

/* Sessions of different lengths begin and end; each holds the pages of its positions. */
static uint32_t run_kv_pages(bench *b)
{
    static void *page[N_PAGES];
    uint32_t n_ops = 0;
    b->random = 1;
    for (uint32_t i = 0; i < N_PAGES; i++, n_ops++)
        page[i] = get_page(b);
    for (uint32_t session = 0; session < 100; session++) {
        uint32_t from = next_random(b) % N_PAGES, len = 1 + next_random(b) % 64;
        for (uint32_t i = from; i < from + len && i < N_PAGES; i++)
            put_page(b, page[i]);
        for (uint32_t i = from; i < from + len && i < N_PAGES; i++, n_ops++)
            page[i] = get_page(b);
    }
    for (uint32_t i = 0; i < N_PAGES; i++)
        put_page(b, page[i]);
    return n_ops;
}

/* Steps: a few dozen temporaries of mixed sizes, gone together. */
static uint32_t run_scratch(bench *b)
{
    void *p[N_SCRATCH];
    uint32_t n_ops = 0;
    b->random = 2;
    for (uint32_t step = 0; step < 200; step++) {
        for (uint32_t i = 0; i < N_SCRATCH; i++, n_ops++) {
            size_t n = ((size_t)256 << next_random(b) % 9) / 64 * 64;
            p[i] = b->impl->alloc ? b->impl->alloc(64, n) : aios_arena_alloc(b->arena, n, 64, NULL);
            if (!p[i])
                die("no memory for scratch");
            memset(p[i], 1, 64);
        }
        for (uint32_t i = 0; b->impl->alloc && i < N_SCRATCH; i++)
            b->impl->free(p[i]);
        if (!b->impl->alloc)
            aios_arena_reset(b->arena);
    }
    return n_ops;
}

static void touch(volatile char *p)
{
    for (size_t i = 0; i < WEIGHT_BYTES; i += 4096)
        p[i] = 1;
}

/* A model comes and goes: one large block, every page of it written. */
static uint32_t run_weights(bench *b)
{
    if (b->impl->alloc) {
        void *p = b->impl->alloc(64, WEIGHT_BYTES);
        if (!p)
            die("no memory for weights");
        touch(p);
        b->impl->free(p);
        return 1;
    }
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    aios_buffer *buf;
    cfg.n_bytes = WEIGHT_BYTES;
    cfg.flags = AIOS_BUFFER_HUGE;
    cfg.kind = AIOS_MEM_WEIGHTS;
    if (aios_buffer_alloc(b->dev, &cfg, &buf, NULL))
        die("no memory for weights");
    touch(aios_buffer_data(buf));
    aios_buffer_unref(buf);
    return 1;
}

static const struct pattern {
    const char *name;
    uint32_t (*run)(bench *b);
} patterns[] = {
    {"kv_pages", run_kv_pages},
    {"scratch", run_scratch},
    {"weights", run_weights},
};

/* ---- measuring ---------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, uint32_t n)
{
    qsort(v, n, sizeof *v, compare);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void run_pattern(bench *b, const struct pattern *p, const impl *impls, uint32_t n_impls, uint32_t n_rounds)
{
    static double ns[MAX_IMPLS][MAX_ROUNDS], ratio[MAX_ROUNDS];
    for (uint32_t round = 0; round <= n_rounds; round++)
        for (uint32_t i = 0; i < n_impls; i++) {
            uint32_t which = (round + i) % n_impls;
            b->impl = &impls[which];
            int64_t start = clock_ns();
            uint32_t n_ops = p->run(b);
            double t = (double)(clock_ns() - start) / n_ops;
            if (round) /* the first one warms up */
                ns[which][round - 1] = t;
        }
    for (uint32_t i = n_impls; i-- > 0;) { /* libaios last: its row is sorted by then */
        for (uint32_t r = 0; r < n_rounds; r++)
            ratio[r] = ns[i][r] / ns[0][r];
        double m = median(ratio, n_rounds);
        printf("{\"bench\":\"alloc\",\"pattern\":\"%s\",\"impl\":\"%s\",\"rounds\":%u,\"ns_per_alloc\":%.1f,\"times_aios\":%.3f}\n", p->name,
               impls[i].name, n_rounds, median(ns[i], n_rounds), m);
    }
}

int main(int argc, char **argv)
{
    impl impls[MAX_IMPLS];
    bench b = {0};
    aios_ctx *ctx;
    aios_error err = AIOS_INIT(aios_error);
    uint32_t n_rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 51;
    if (!n_rounds || n_rounds > MAX_ROUNDS)
        die("rounds: 1 to 1001");
    if (aios_ctx_new(NULL, &ctx, &err))
        die(err.msg);
    b.dev = aios_device_at(ctx, 0);
    if (aios__pages_new(b.dev, PAGE_BYTES, 64 << 20, AIOS_MEM_KV, &b.pages, &err) || aios_arena_new(b.dev, 0, AIOS_MEM_SCRATCH, &b.arena, &err))
        die(err.msg);
    uint32_t n_impls = find_impls(impls);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(patterns); i++)
        run_pattern(&b, &patterns[i], impls, n_impls, n_rounds);
    aios__pages_free(b.pages);
    aios_arena_free(b.arena);
    aios_ctx_free(ctx);
    return 0;
}
