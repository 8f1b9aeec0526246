/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokenizes from outside: tok_dump MODEL [FLAGS] reads texts from standard input, each as a 32-bit length and its bytes,
 * and answers each with one line of ids. FLAGS as AIOS_TOKENIZE_x; flag 4 prints the pieces of the ids back as hex instead.
 */
#include <stdio.h>
#include <stdlib.h>

#include <aios/token.h>

#include "backend/gguf/vocab.h"

static void show(const aios__vocab *v, const aios__ids *ids, int pieces)
{
    for (uint32_t i = 0; i < ids->n; i++) {
        size_t n = 0;
        const char *p = aios__vocab_piece(v, ids->p[i], &n);
        if (!pieces)
            printf("%s%d", i ? " " : "", ids->p[i]);
        for (size_t k = 0; pieces && k < n; k++)
            printf("%02x", (unsigned char)p[k]);
    }
    putchar('\n');
}

static int serve(const aios__vocab *v, aios_ctx *ctx, uint32_t flags)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__ids ids = {.heap = aios__ctx_heap(ctx)};
    uint32_t n;
    int rc = 0;
    while (!rc && fread(&n, sizeof n, 1, stdin) == 1) {
        char *s = malloc((size_t)n + 1);
        if (!s || fread(s, 1, n, stdin) != n) {
            free(s);
            return 1;
        }
        ids.n = 0;
        rc = aios__vocab_encode(v, s, n, flags & 3, &ids, &err);
        free(s);
        if (!rc)
            show(v, &ids, flags & 4);
        fflush(stdout);
    }
    if (rc)
        fprintf(stderr, "%s\n", err.msg);
    aios__ids_free(&ids);
    return rc != 0;
}

int main(int argc, char **argv)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_ctx *ctx = NULL;
    aios__gguf *g = NULL;
    aios__vocab *v = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: %s MODEL [FLAGS] < texts\n", argv[0]);
        return 2;
    }
    int rc = aios_ctx_new(NULL, &ctx, &err);
    const aios_env *e = rc ? NULL : aios__ctx_env(ctx);
    int64_t t0 = e ? aios__now_ns(e) : 0, t1 = t0;
    if (!rc)
        rc = aios__gguf_open(ctx, argv[1], false, &g, &err);
    if (!rc) {
        t1 = aios__now_ns(e);
        rc = aios__vocab_new(ctx, g, &v, &err);
    }
    if (!rc)
        fprintf(stderr, "open %.2f ms, vocabulary %.2f ms\n", (double)(t1 - t0) / 1e6, (double)(aios__now_ns(e) - t1) / 1e6);
    else
        fprintf(stderr, "%s: %s\n", aios_code_name(rc), err.msg);
    if (!rc)
        rc = serve(v, ctx, argc > 2 ? (uint32_t)atoi(argv[2]) : 0);
    aios__vocab_free(v);
    aios__gguf_close(g);
    aios_ctx_free(ctx);
    return rc ? 1 : 0;
}
