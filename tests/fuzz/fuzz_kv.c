/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates saved sessions: fuzz_kv [ROUNDS [SEED]], many of them with sums made right again. Each is loaded: a refusal has a code and a
 * text and changes nothing; what is taken is computed on from.
 */
#include <stdio.h>
#include <unistd.h>

#include "backend/gguf/net.h"
#include "base/cachefile.h"
#include "fuzz.h"
#include "net_make.h"

enum { MODEL = 7, TOKENS = 150, SUM_AT = 64, HEADER = 72, PARTS_AT = 32, N_AT = 48, BODY_AT = 56 };

static const uint64_t bad_ints[] = {0, 1, 2, 63, 64, 65, 149, 151, 255, 512, 65536, 0x7fffffff, 0xffffffffu, 1ull << 32, 1ull << 63, UINT64_MAX};
static char path[64];
typedef struct seed {
    net_make make;
    aios__gguf *g;
    aios__net *net;
    uint8_t *p;
    size_t n;
} seed;

static int write_file(const uint8_t *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    return !f || fwrite(p, 1, n, f) != n || fclose(f);
}

static int make_seed(aios_ctx *ctx, const char *arch, seed *s)
{
    int32_t ids[TOKENS];
    aios__kv *kv = NULL;
    s->make = (net_make){.arch = arch, .dtype = 8, .n_layer = 7};
    net_build(&s->make);
    for (int i = 0; i < TOKENS; i++)
        ids[i] = i % 200;
    if (aios__gguf_open_mem(ctx, s->make.p, s->make.n, "seed", &s->g, NULL) || aios__net_load(ctx, s->g, 1, NULL, NULL, &s->net, NULL) ||
        aios__kv_new(s->net, 400, &kv, NULL) || aios__kv_eval(kv, ids, TOKENS, NULL, 0, NULL) || aios__kv_save(kv, MODEL, path, NULL))
        return 1;
    aios__kv_free(kv);
    FILE *f = fopen(path, "rb");
    s->p = malloc(4 << 20);
    s->n = f && s->p ? fread(s->p, 1, 4 << 20, f) : 0;
    return !f || fclose(f) || s->n < HEADER;
}

/* The sum of the body if its sizes are still those of a file of this length. */
static void seal_body(uint8_t *p, size_t n)
{
    uint64_t parts[2], sum;
    uint32_t count[2];
    memcpy(parts, p + PARTS_AT, sizeof parts);
    memcpy(count, p + N_AT, sizeof count);
    uint64_t blocks = ((uint64_t)count[0] + 63) / 64, at = HEADER + 4 * (uint64_t)count[0];
    if (count[0] > 1000 || count[1] > blocks || parts[0] > n || parts[1] > n || at + blocks * parts[0] + (blocks - count[1]) * parts[1] != n)
        return;
    memcpy(&sum, p + 16, 8);
    if (count[0])
        sum = aios__sum64(sum, p + HEADER, 4 * (size_t)count[0]);
    for (int c = 0; c < 2; c++)
        for (uint64_t b = c ? count[1] : 0; b < blocks && parts[c]; b++, at += parts[c])
            sum = aios__sum64(sum, p + at, (size_t)parts[c]);
    memcpy(p + BODY_AT, &sum, 8);
}

static size_t mutate(uint8_t *p, size_t n)
{
    for (uint64_t k = 1 + rng() % 3; k; k--) {
        size_t at = rng() % 2 ? rng() % HEADER : rng() % (n - 8);
        uint64_t v = bad_ints[rng() % (sizeof bad_ints / sizeof *bad_ints)];
        switch (rng() % 4) {
        case 0:
            p[at] = (uint8_t)(p[at] ^ 1u << rng() % 8);
            break;
        case 1:
            memcpy(p + at / 4 * 4, &v, 4);
            break;
        case 2:
            memcpy(p + at / 8 * 8, &v, 8);
            break;
        default:
            if (rng() % 4 == 0)
                n = HEADER + 8 + rng() % (n - HEADER - 8);
        }
    }
    if (rng() % 2)
        seal_body(p, n);
    if (rng() % 4) {
        uint64_t sum = aios__sum64(1, p, SUM_AT);
        memcpy(p + SUM_AT, &sum, 8);
    }
    return n;
}

static int try_file(const seed *s, long *loaded)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__kv *kv = NULL;
    int32_t more[] = {1, 2, 3};
    float logits[262];
    if (aios__kv_new(s->net, 400, &kv, NULL) || aios__kv_eval(kv, more, 3, NULL, 0, NULL))
        return 2;
    aios__kv before = *kv;
    int rc = aios__kv_load(kv, MODEL, path, &err), bad = 0;
    if (rc) {
        bad = rc != err.code || !err.msg[0] || memcmp(&before, kv, sizeof before) ||
              (rc != AIOS_EFORMAT && rc != AIOS_EVERSION && rc != AIOS_EINVAL && rc != AIOS_ECONTEXT);
    } else {
        ++*loaded;
        aios__kv_truncate(kv, kv->n < 70 ? kv->n / 2 : kv->n - 70);
        bad = aios__kv_eval(kv, more, 3, logits, 1, &err);
    }
    if (bad)
        fprintf(stderr, "code %d, error %d: %s\n", rc, err.code, err.msg);
    aios__kv_free(kv);
    return bad;
}

int main(int argc, char **argv)
{
    static const char *const archs[] = {"llama", "gemma3"};
    long rounds = argc > 1 ? atol(argv[1]) : 300, loaded = 0;
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios_ctx *ctx = NULL;
    seed seeds[2] = {0};
    int bad = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) | 1 : 0x9e3779b97f4a7c15u;
    cfg.budget = 256u << 20;
    snprintf(path, sizeof path, "%s", "aios-fuzz-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) || aios_ctx_new(&cfg, &ctx, NULL))
        return 2;
    for (int i = 0; i < 2; i++)
        bad |= make_seed(ctx, archs[i], &seeds[i]);
    for (long i = 0; i < rounds && !bad; i++) {
        const seed *s = &seeds[rng() % 2];
        uint8_t *copy = malloc(s->n);
        if (!copy)
            return 2;
        memcpy(copy, s->p, s->n);
        size_t n = i < 4 ? s->n : mutate(copy, s->n);
        bad = write_file(copy, n) || try_file(s, &loaded);
        if (bad)
            fprintf(stderr, "round %ld\n", i);
        free(copy);
    }
    printf("%ld of %ld loaded\n", loaded, rounds);
    unlink(path);
    for (int i = 0; i < 2; i++) {
        aios__net_free(seeds[i].net);
        aios__gguf_close(seeds[i].g);
        free(seeds[i].make.p);
        free(seeds[i].p);
    }
    aios_ctx_free(ctx);
    return bad || loaded < 4;
}
