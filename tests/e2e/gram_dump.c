/* SPDX-License-Identifier: Apache-2.0 */
/* Driver of tools/check_schema.py.
 *   gram_dump sample SEED N < schema     N random sentences of the schema's grammar, one a line
 *   gram_dump check < pairs              lines alternate schema and value: prints the code and message of each pair
 *   gram_dump compile < schemas          one schema a line: prints code, message, microseconds */
#include <aios/aios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t rng;

static uint32_t roll(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

/* A random byte of the mask; the longer the text, the likelier one that closes something. */
static int choose(const uint8_t mask[32], size_t n)
{
    int all[256], k = 0;
    for (int c = 0; c < 256; c++)
        if (mask[c / 8] >> c % 8 & 1)
            all[k++] = c;
    if (roll(1000) < n + 100)
        for (const char *c = "\"]}"; *c; c++)
            if (mask[(uint8_t)*c / 8] >> (uint8_t)*c % 8 & 1)
                return (uint8_t)*c;
    return all[roll((uint32_t)k)];
}

static int sample(aios_grammar *g, FILE *out)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = NULL;
    uint8_t mask[32];
    size_t n = 0;
    int rc = aios_walk_new(g, &w, &err);
    for (; !rc && n < 200000; n++) {
        static const uint8_t none[32];
        aios_walk_next_bytes(w, mask);
        int ends = !memcmp(mask, none, 32), whole = aios_walk_complete(w);
        if (whole && (ends || roll(3) == 0))
            break;
        if (ends) {
            fprintf(stderr, "dead end after %zu bytes\n", n);
            rc = AIOS_EINTERNAL;
            break;
        }
        char c = (char)choose(mask, n);
        rc = aios_walk_accept(w, &c, 1, &err);
        fputc(c, out);
    }
    fputc('\n', out);
    aios_walk_free(w);
    return rc;
}

static char *line(void)
{
    static char *buf[2];
    static size_t cap[2];
    static int turn;
    turn ^= 1;
    ssize_t n = getline(&buf[turn], &cap[turn], stdin);
    if (n < 0)
        return NULL;
    buf[turn][strcspn(buf[turn], "\n")] = 0;
    return buf[turn];
}

static int samples(aios_ctx *ctx, const char *seed, const char *count)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    char *schema = NULL;
    size_t cap = 0;
    ssize_t n = getdelim(&schema, &cap, 0, stdin);
    int rc = n < 0 ? AIOS_EIO : aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, (size_t)n, &g, &err);
    if (rc)
        fprintf(stderr, "%s: %s\n", aios_code_name(rc), err.msg);
    rng = strtoull(seed, NULL, 10) * 2654435761u + 88172645463325252u;
    for (long i = atol(count); !rc && i > 0; i--)
        rc = sample(g, stdout);
    aios_grammar_free(g);
    free(schema);
    return rc;
}

static int checks(aios_ctx *ctx)
{
    for (char *schema, *value; (schema = line()) && (value = line());) {
        aios_error err = AIOS_INIT(aios_error);
        int rc = aios_schema_check(ctx, schema, AIOS_CSTR, value, AIOS_CSTR, &err);
        aios_grammar *g = NULL;
        aios_error none = AIOS_INIT(aios_error);
        int compiled = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &none);
        aios_grammar_free(g);
        for (char *c = err.msg; *c; c++) /* names in it may hold anything */
            *c = *c == '\n' ? ' ' : *c;
        printf("%s\t%s\t%s\n", aios_code_name(rc), aios_code_name(compiled), err.msg);
    }
    return 0;
}

static int compiles(aios_ctx *ctx)
{
    for (char *schema; (schema = line());) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        int rc = aios_grammar_compile(ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err);
        clock_gettime(CLOCK_MONOTONIC, &b);
        aios_grammar_free(g);
        printf("%s\t%lld\t%s\n", aios_code_name(rc), (long long)((b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000), err.msg);
    }
    return 0;
}

int main(int argc, char **argv)
{
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    if (aios_ctx_new(NULL, &ctx, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int rc = 2;
    if (argc == 4 && !strcmp(argv[1], "sample"))
        rc = samples(ctx, argv[2], argv[3]);
    else if (argc == 2 && !strcmp(argv[1], "check"))
        rc = checks(ctx);
    else if (argc == 2 && !strcmp(argv[1], "compile"))
        rc = compiles(ctx);
    else
        fprintf(stderr, "usage: gram_dump sample SEED N | check | compile\n");
    aios_ctx_free(ctx);
    return rc ? 1 : 0;
}
