/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates GGUF files: fuzz_gguf [ROUNDS [SEED]] [FILE...]. Seeds are a small file with tensors, two vocabularies and the
 * FILEs (their first 64 KiB). Without a driver of its own a fuzzer can call fuzz_one.
 */
#include <stdio.h>

#include "fuzz.h"
#include "vocab_make.h"

#include <aios/token.h>

#include "backend/gguf/vocab.h"

static aios_ctx *ctx;

static void use_vocab(const aios__gguf *g)
{
    aios__vocab *v = NULL;
    static const char text[] = "hello  world 123\n<|end|>\xc3\xa9\xff<user></s>ab abab \xe2\x96\x81 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    if (aios__vocab_new(ctx, g, &v, NULL))
        return;
    aios__ids ids = {.heap = aios__ctx_heap(ctx)};
    for (uint32_t flags = 0; flags < 4; flags++)
        if (aios__vocab_encode(v, text, sizeof text - 1, flags, &ids, NULL))
            abort();
    for (uint32_t i = 0; i < ids.n; i++)
        if (ids.p[i] < 0 || (uint32_t)ids.p[i] >= aios__vocab_size(v))
            abort();
    size_t n = 0, sum = 0;
    for (uint32_t id = 0; id < aios__vocab_size(v); id++) {
        const char *p = aios__vocab_piece(v, (int32_t)id, &n);
        for (size_t k = 0; k < n; k++)
            sum += (uint8_t)p[k];
    }
    *(volatile size_t *)&sum = sum;
    aios__ids_free(&ids);
    aios__vocab_free(v);
}

/** One input; aborts only if something is wrong with the reader. */
int fuzz_one(const uint8_t *p, size_t n);
int fuzz_one(const uint8_t *p, size_t n)
{
    aios__gguf *g = NULL;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios__gguf_open_mem(ctx, p, n, "fuzz", &g, &err);
    if (rc) {
        if (g || !err.msg[0] || rc != err.code)
            abort();
        return 0;
    }
    for (uint32_t i = 0; i < aios__gguf_tensor_count(g); i++) {
        const aios__gguf_tensor *t = aios__gguf_tensor_at(g, i);
        if (t->offset > n || t->n_bytes > n - t->offset)
            abort();
        volatile uint8_t sum = 0;
        const uint8_t *d = aios__gguf_data(g, t);
        for (uint64_t k = 0; k < t->n_bytes; k++)
            sum = (uint8_t)(sum + d[k]);
    }
    use_vocab(g);
    aios__gguf_close(g);
    return 1;
}

/* ---- driver --------------------------------------------------------------------------------------------------- */

static const uint64_t bad_ints[] = {0, 1, 2, 7, 8, 13, 32, 255, 65536, 65537, 0x7fffffff, 0x80000000u, 0xffffffffu, 1ull << 32, 1ull << 61, 1ull << 63, UINT64_MAX};

static size_t mutate(uint8_t *p, size_t n, const gguf_make *m)
{
    for (uint64_t k = 1 + rng() % 4; k; k--) {
        size_t at = rng() % n;
        uint64_t v = bad_ints[rng() % (sizeof bad_ints / sizeof *bad_ints)];
        switch (rng() % 7) {
        case 0: /* a bit */
            p[at] = (uint8_t)(p[at] ^ 1u << rng() % 8);
            break;
        case 1: /* a byte */
            p[at] = (uint8_t)rng();
            break;
        case 2: /* a known field to a bad value */
            if (m->n_fields) {
                uint32_t f = (uint32_t)(rng() % m->n_fields);
                if (m->fields[f] + m->width[f] <= n)
                    memcpy(p + m->fields[f], &v, m->width[f]);
            }
            break;
        case 3: /* any place to a bad value */
            if (n >= 8)
                memcpy(p + rng() % (n - 7), &v, 8);
            break;
        case 4: /* cut a piece out */
        {
            size_t len = rng() % (n - at) % 64;
            memmove(p + at, p + at + len, n - at - len);
            n = n - len > 8 ? n - len : n;
            break;
        }
        case 5: /* copy a piece over another */
        {
            size_t from = rng() % n, len = rng() % 64;
            len = len < n - at ? len : n - at;
            len = len < n - from ? len : n - from;
            memmove(p + at, p + from, len);
            break;
        }
        default: /* shorten */
            n = rng() % 4 ? n : 1 + rng() % n;
        }
    }
    return n;
}

static size_t load_seed(gguf_make *m, const char *path)
{
    FILE *f = fopen(path, "rb");
    m->n = f ? fread(m->p, 1, sizeof m->p, f) : 0;
    m->n_fields = 0;
    if (f)
        fclose(f);
    return m->n;
}

int main(int argc, char **argv)
{
    static gguf_make seeds[16];
    long rounds = argc > 1 ? atol(argv[1]) : 20000, opened = 0;
    int n_seeds = 4;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x9e3779b97f4a7c15u;
    if (aios_ctx_new(NULL, &ctx, NULL))
        return 1;
    make_sample(&seeds[0]);
    make_bpe(&seeds[1], "qwen2");
    make_bpe(&seeds[2], "deepseek-llm");
    make_spm(&seeds[3]);
    for (int i = 3; i < argc && n_seeds < 16; i++)
        n_seeds += load_seed(&seeds[n_seeds], argv[i]) > 8;
    for (int i = 0; i < 4; i++)
        if (!fuzz_one(seeds[i].p, seeds[i].n)) {
            fprintf(stderr, "seed %d does not open\n", i);
            return 1;
        }
    for (long i = 0; i < rounds; i++) {
        const gguf_make *m = &seeds[rng() % (uint64_t)n_seeds];
        uint8_t *p = malloc(m->n);
        if (!p)
            return 1;
        memcpy(p, m->p, m->n);
        size_t n = mutate(p, m->n, m);
        uint8_t *tight = realloc(p, n); /* a sanitizer sees a read past the end */
        opened += fuzz_one(tight ? tight : p, n);
        free(tight ? tight : p);
    }
    printf("%ld rounds, %ld opened\n", rounds, opened);
    aios_ctx_free(ctx);
    return opened == 0 && rounds > 1000;
}
