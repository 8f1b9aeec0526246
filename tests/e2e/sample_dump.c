/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of a model that knows nothing, for tools/check_samples.py: reads schemas, one a line, and writes N lines for each: its number,
 * how the reply ended (whole, cut, refused, failed), and the reply or the reason.
 *   sample_dump MODEL.gguf SEED N      random choices among the tokens that the mask allows, of the vocabulary of a model
 *   sample_dump engine SEED N          a network of random weights through the engine, at temperature 1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <aios/aios.h>

#include "backend/gguf/gguf.h"
#include "llm/llm.h"
#include "net_make.h"

enum { MAX_TOKENS = 300, ENGINE_TOKENS = 1500, MAX_TEXT = 1 << 20 };

static uint64_t rng;

static uint32_t roll(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

static void tell(long i, const char *end, const char *s, size_t n)
{
    printf("%ld\t%s\t", i, end);
    fwrite(s, 1, n, stdout);
    putchar('\n');
}

static void tell_error(long i, const char *end, aios_error *err)
{
    for (char *c = err->msg; *c; c++) /* names in it may hold anything */
        *c = *c == '\n' ? ' ' : *c;
    tell(i, end, err->msg, strlen(err->msg));
}

/* ---- masks -------------------------------------------------------------------------------------------------------- */

typedef struct rig {
    aios_ctx *ctx;
    aios_model *model;
    const aios__vocab *vocab;
    const aios__trie *trie;
    uint32_t *bits, n_vocab;
    char *text;
} rig;

/* The k-th token of the mask. */
static int32_t nth(const rig *r, uint32_t k)
{
    for (uint32_t w = 0; w < (r->n_vocab + 31) / 32; w++) {
        uint32_t n = (uint32_t)__builtin_popcount(r->bits[w]), left = r->bits[w];
        if (k >= n) {
            k -= n;
            continue;
        }
        while (k--)
            left &= left - 1;
        return (int32_t)(w * 32 + (uint32_t)__builtin_ctz(left));
    }
    return -1;
}

/* One that closes something, if chance finds it: a random choice alone would write strings of hundreds of tokens. */
static int32_t choose(const rig *r, uint32_t n_allowed, uint32_t haste)
{
    int32_t id = nth(r, roll(n_allowed));
    for (uint32_t i = 0; i < 64 && roll(1000) < haste; i++) {
        size_t n = 0;
        const char *p = aios__vocab_piece(r->vocab, id, &n);
        if (n && strchr("\"]}", *p))
            break;
        id = nth(r, roll(n_allowed));
    }
    static const char *const closers[] = {"\"", "]", "}", "\"}", "\"]"};
    for (size_t i = 0; i < sizeof closers / sizeof *closers && roll(1000) < haste; i++) {
        aios__ids ids = {.heap = aios__ctx_heap(r->ctx)};
        bool one = !aios__vocab_encode(r->vocab, closers[i], strlen(closers[i]), 0, &ids, NULL) && ids.n == 1;
        int32_t c = one ? ids.p[0] : 0;
        aios__ids_free(&ids);
        if (one && r->bits[c / 32] >> c % 32 & 1)
            return c;
    }
    return id;
}

static void sample(const rig *r, long i, aios_grammar *g)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = NULL;
    size_t n = 0;
    int rc = aios_walk_new(g, &w, &err);
    const char *end = "cut";
    uint32_t style = roll(3) * 40;
    for (uint32_t k = 0; !rc && k < MAX_TOKENS; k++) {
        uint32_t n_allowed = 0;
        int32_t only = -1;
        bool whole = aios_walk_complete(w);
        rc = aios__walk_mask(w, r->trie, r->bits, &n_allowed, &only, &err);
        if (rc || (whole && (!n_allowed || !roll(4)))) {
            end = "whole";
            break;
        }
        if (!n_allowed) {
            snprintf(err.msg, sizeof err.msg, "no token may follow: %.300s", r->text + (n > 300 ? n - 300 : 0));
            rc = AIOS_EINTERNAL;
            break;
        }
        size_t n_piece = 0;
        const char *p = aios__vocab_piece(r->vocab, choose(r, n_allowed, 60 + style + 3 * k), &n_piece);
        rc = n + n_piece < MAX_TEXT ? aios_walk_accept(w, p, n_piece, &err) : AIOS_ELIMIT;
        memcpy(r->text + n, p, rc ? 0 : n_piece);
        n += rc ? 0 : n_piece;
        r->text[n] = 0;
    }
    if (rc)
        tell_error(i, "failed", &err);
    else
        tell(i, end, r->text, n);
    aios_walk_free(w);
}

static void sample_schema(const rig *r, long i, const char *schema, long n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    if (aios_grammar_compile(r->ctx, AIOS_GRAMMAR_SCHEMA, schema, AIOS_CSTR, &g, &err))
        tell_error(i, "refused", &err);
    for (long k = 0; g && k < n; k++)
        sample(r, i, g);
    aios_grammar_free(g);
}

/* ---- the engine --------------------------------------------------------------------------------------------------- */

static void reply(const rig *r, aios_session *s, long i, const char *schema)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_request q = AIOS_INIT(aios_request);
    aios_sampling smp = AIOS_INIT(aios_sampling);
    const aios_event *ev;
    size_t n = 0;
    const char *end = "failed";
    smp.temperature = 1;
    smp.seed = rng + (uint64_t)roll(1 << 30);
    q.raw = "a";
    q.n_raw = 1;
    q.max_tokens = ENGINE_TOKENS;
    q.schema_json = schema;
    q.sampling = &smp;
    if (aios_session_start(s, &q, &err)) {
        tell_error(i, err.code == AIOS_ESCHEMA || err.code == AIOS_ELIMIT ? "refused" : "failed", &err);
        return;
    }
    while (aios_session_next(s, -1, &ev) == AIOS_OK) {
        if (ev->type == AIOS_EVENT_TEXT && n + ev->n_text < MAX_TEXT) {
            memcpy(r->text + n, ev->text, ev->n_text);
            n += ev->n_text;
        }
        if (ev->type == AIOS_EVENT_DONE)
            end = ev->name && !strcmp(ev->name, "length") ? "cut" : "whole";
        if (ev->type == AIOS_EVENT_ERROR)
            err = *ev->error;
    }
    if (*end == 'f')
        tell_error(i, end, &err);
    else
        tell(i, end, r->text, n);
}

static void reply_schema(const rig *r, long i, const char *schema, long n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_session *s = NULL;
    if (aios_session_new(r->model, NULL, &s, &err))
        tell_error(i, "failed", &err);
    for (long k = 0; s && k < n; k++)
        reply(r, s, i, schema);
    aios_session_free(s);
}

/* ---- both --------------------------------------------------------------------------------------------------------- */

static int open_rig(rig *r, const char *uri, aios_error *err)
{
    aios_model_config cfg = AIOS_INIT(aios_model_config);
    cfg.n_threads = 1;
    int rc = aios_ctx_new(NULL, &r->ctx, err);
    rc = rc ? rc : aios_model_open(r->ctx, uri, &cfg, &r->model, err);
    aios__gguf_model *m = rc ? NULL : aios__model_self(r->model, "gguf");
    if (!m)
        return rc ? rc : AIOS_EINVAL;
    r->vocab = m->vocab;
    r->n_vocab = aios__vocab_size(m->vocab);
    r->bits = calloc(r->n_vocab / 32 + 1, sizeof *r->bits);
    r->text = malloc(MAX_TEXT + 1);
    return aios__gguf_model_trie(m, &r->trie, err);
}

int main(int argc, char **argv)
{
    aios_error err = AIOS_INIT(aios_error);
    rig r = {0};
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    if (argc != 4) {
        fprintf(stderr, "usage: sample_dump MODEL.gguf|engine SEED N < schemas\n");
        return 2;
    }
    bool engine = !strcmp(argv[1], "engine");
    char made[64];
    net_make make = {.arch = "llama", .dtype = 8, .n_layer = 1, .n_ctx = 2048};
    if (engine)
        net_file(&make, made);
    if (open_rig(&r, engine ? made : argv[1], &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    rng = strtoull(argv[2], NULL, 10) * 2654435761u + 88172645463325252u;
    for (long i = 0; (n = getline(&line, &cap, stdin)) >= 0; i++) {
        line[strcspn(line, "\n")] = 0;
        (engine ? reply_schema : sample_schema)(&r, i, line, atol(argv[3]));
    }
    free(line);
    free(r.text);
    free(r.bits);
    aios_model_close(r.model);
    aios_ctx_free(r.ctx);
    if (engine)
        unlink(made + 5);
    return 0;
}
