/* SPDX-License-Identifier: Apache-2.0 */
/* grammar check, sample and mask: what a grammar allows, without a model or with the tokens of one. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

enum { TAIL = 60 }; /* bytes of a text that are shown again */

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static bool bit(const uint8_t mask[32], int b)
{
    return mask[b / 8] >> b % 8 & 1;
}

/* Which bytes may come next, or why that was not found out. */
static int next_bytes(const aios_walk *w, uint8_t mask[32], aios_error *err)
{
    int rc = aios_walk_next_bytes(w, mask);
    if (rc)
        snprintf(err->msg, sizeof err->msg, "what may come next was not found out (%s): %s", aios_strerror(rc),
                 rc == AIOS_ELIMIT ? "simplify the grammar" : "raise --budget");
    return rc ? err->code = rc : 0;
}

/* ---- check -------------------------------------------------------------------------------------------------------- */

/* What a strict reading refuses: *err tells. False where there is nothing, or the source was read so already. */
static bool is_doubtful(const cli_source *src, aios_ctx *ctx, aios_error *err)
{
    cli_source strict = *src;
    aios_grammar *g = NULL;
    if (src->kind != AIOS_GRAMMAR_SCHEMA || src->flags)
        return false;
    strict.flags = AIOS_GRAMMAR_STRICT;
    int rc = cli_source_compile(&strict, ctx, &g, err);
    aios_grammar_free(g);
    return rc == AIOS_ESCHEMA;
}

static int check(const cli *c, aios_ctx **at, const cli_source *src, const char *text, size_t n_text)
{
    aios_ctx *ctx = *at;
    (void)text;
    (void)n_text;
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_grammar *g = NULL;
    aios_ctx_usage(ctx, &before);
    double us = now_us();
    int rc = cli_source_compile(src, ctx, &g, &err);
    us = now_us() - us;
    aios_ctx_usage(ctx, &after);
    json_int_t bytes = (json_int_t)(after.used - before.used), peak = (json_int_t)(after.peak - before.used);
    aios_grammar_free(g);
    aios_error doubt = AIOS_INIT(aios_error);
    bool warned = !rc && is_doubtful(src, ctx, &doubt);
    if (c->json)
        cli_print_json(json_pack("{s:o,s:b,s:s,s:I,s:I,s:I,s:I,s:o,s:s?}", "file",
                                 src->is_option ? json_null() : cli_json_text(src->name, strlen(src->name)), "ok", !rc, "kind",
                                 cli_grammar_kind(src->kind), "bytes", (json_int_t)src->n, "compile_us", (json_int_t)us, "memory", bytes,
                                 "peak", peak, "error", rc ? cli_error_json(&err) : json_null(), "warning",
                                 warned ? doubt.msg : NULL));
    else if (rc)
        cli_fail(src->name, &err);
    else if (warned)
        fprintf(stderr, "warning: %s: %s\n", src->name, doubt.msg);
    if (rc)
        return EXIT_FAIL; /* what was asked is answered: it is wrong */
    if (!c->json) {
        bool color = cli_color(stdout);
        printf("%sok%s: %s, %s of %zu bytes, compiled in %.2f ms to %.1f KiB (at most %.1f KiB meanwhile)\n", color ? "\x1b[32m" : "", color ? "\x1b[0m" : "",
               src->name, cli_grammar_kind(src->kind), src->n, us / 1e3, (double)bytes / 1024, (double)peak / 1024);
    }
    return 0;
}

/* ---- sample ------------------------------------------------------------------------------------------------------- */

static uint64_t rng;

static uint32_t roll(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)((rng >> 16) % n);
}

/* How likely a byte is among those allowed: samples are for reading. */
static uint32_t weight_of(int b)
{
    return (b >= 'a' && b <= 'z') ? 40 : (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || b == ' ' ? 10 : b >= 0x80 || b < ' ' ? 1 : b == '\\' ? 2 : 6;
}

/* One of the mask's bytes; the longer the text, the likelier one that closes something. */
static int choose(const uint8_t mask[32], double closing)
{
    uint32_t total = 0;
    for (const char *p = roll(1000) < closing * 1000 ? "\"]}" : ""; *p; p++)
        if (bit(mask, *p))
            return *p;
    for (int b = 0; b < 256; b++)
        total += bit(mask, b) ? weight_of(b) : 0;
    uint32_t at = roll(total);
    for (int b = 0; b < 256; b++) {
        uint32_t w = bit(mask, b) ? weight_of(b) : 0;
        if (at < w)
            return b;
        at -= w;
    }
    return 0;
}

/* Appends a sentence to text; *whole: it is one, not only the beginning of one. */
static int draw(aios_walk *w, char *text, size_t max, size_t *n, bool *whole, aios_error *err)
{
    static const uint8_t none[32];
    uint8_t mask[32];
    for (*n = 0;;) {
        if (next_bytes(w, mask, err))
            return err->code;
        bool ends = !memcmp(mask, none, sizeof none);
        *whole = aios_walk_complete(w);
        if ((*whole && (ends || *n >= max || !roll(3))) || *n >= max)
            return 0;
        if (ends) {
            snprintf(err->msg, sizeof err->msg, "nothing can follow after %zu bytes, and it is no whole sentence: a defect of the library, please report it", *n);
            return err->code = AIOS_EINTERNAL;
        }
        char b = (char)choose(mask, 0.1 + 0.9 * (double)*n / (double)max);
        if (aios_walk_accept(w, &b, 1, err))
            return err->code;
        text[(*n)++] = b;
    }
}

static int sample_grammar(const cli *c, const cli_source *src, aios_grammar *g)
{
    aios_error err = AIOS_INIT(aios_error);
    size_t max = c->max_bytes ? (size_t)c->max_bytes : 2000, n = 0;
    char *text = malloc(max + 1);
    long n_cut = 0, count = c->count ? c->count : 1;
    bool torn = false; /* by a line end of its own */
    int rc = text ? 0 : cli_no_memory();
    rng = (c->seed_set ? (uint64_t)c->seed : (uint64_t)now_us()) * 2654435761u + 88172645463325252u;
    for (long i = 0; i < count && !rc && cli_flush(); i++) {
        aios_walk *w = NULL;
        bool whole = false;
        if (aios_walk_new(g, &w, &err) || draw(w, text, max, &n, &whole, &err))
            rc = cli_source_fail(src, &err);
        else if (c->json)
            cli_print_json(json_pack("{s:o,s:b}", "text", cli_json_text(text, n), "complete", whole));
        else if (whole)
            fwrite(text, 1, n, stdout), putchar(c->null ? 0 : '\n');
        torn |= count > 1 && whole && memchr(text, '\n', n);
        n_cut += !rc && !whole;
        aios_walk_free(w);
    }
    free(text);
    if (!rc && torn && !c->quiet && !c->json && !c->null)
        fputs("note: sentences have line ends of their own: --null or --json tells where each ends\n", stderr);
    if (!rc && n_cut && !c->quiet)
        fprintf(stderr, "%ld of %ld found no end within %zu bytes: try --max-bytes %zu\n", n_cut, count, max, 10 * max);
    return rc ? rc : n_cut ? EXIT_FAIL : 0;
}

static int sample(const cli *c, aios_ctx **ctx, const cli_source *src, const char *text, size_t n_text)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    (void)text;
    (void)n_text;
    int rc = cli_source_compile(src, *ctx, &g, &err) ? cli_source_fail(src, &err) : sample_grammar(c, src, g);
    aios_grammar_free(g);
    return rc;
}

/* ---- mask --------------------------------------------------------------------------------------------------------- */

static void print_byte(int b)
{
    if (b > ' ' && b < 0x7f)
        printf("'%c'", b);
    else
        printf("0x%02x", (unsigned)b);
}

static void print_bytes(const uint8_t mask[32])
{
    int n = 0;
    for (int b = 0; b < 256; b++) {
        int last = b;
        if (!bit(mask, b))
            continue;
        while (last < 255 && bit(mask, last + 1))
            last++;
        printf(n++ ? " " : "");
        print_byte(b);
        if (last > b)
            fputs("-", stdout), print_byte(last);
        b = last;
    }
    puts(n ? "" : "(none)");
}

/* Whether a token's bytes may come next. Special tokens may not, and are those that only their whole text makes. */
static bool may_follow(aios_model *m, const aios_walk *w, int32_t id, const char *s, size_t n)
{
    aios_walk *copy = NULL;
    int32_t got = -1;
    uint32_t n_ids = 0;
    bool ok = n && !aios_walk_copy(w, &copy, NULL) && !aios_walk_accept(copy, s, n, NULL);
    aios_walk_free(copy);
    if (!ok || aios_model_tokenize(m, s, n, AIOS_TOKENIZE_SPECIAL, &got, 1, &n_ids, NULL) || n_ids != 1 || got != id)
        return ok;
    return !aios_model_tokenize(m, s, n, 0, &got, 1, &n_ids, NULL) && n_ids == 1 && got == id;
}

/* Bytes of a token as it stands behind others: alone, a blank in front of it might be left out. */
static size_t piece_of(aios_model *m, int32_t before, int32_t id, char *out, size_t max)
{
    const int32_t two[] = {before, id};
    size_t n_before = 0, n = 0;
    if (aios_model_detokenize(m, two, 1, NULL, 0, &n_before, NULL) || aios_model_detokenize(m, two, 2, out, max, &n, NULL) || n > max || n < n_before)
        return 0;
    memmove(out, out + n_before, n - n_before);
    return n - n_before;
}

static json_t *tokens_after(const cli *c, aios_model *m, const aios_walk *w, json_int_t *n_allowed)
{
    aios_model_info info = AIOS_INIT(aios_model_info);
    json_t *list = json_array();
    char piece[4096];
    int32_t before = 0;
    uint32_t n_ids = 0;
    aios_model_info_get(m, &info);
    aios_model_tokenize(m, "a", 1, 0, &before, 1, &n_ids, NULL);
    for (uint32_t id = 0; id < info.n_vocab; id++) {
        size_t n = piece_of(m, before, (int32_t)id, piece, sizeof piece);
        if (!may_follow(m, w, (int32_t)id, piece, n))
            continue;
        if (!c->top || *n_allowed < c->top)
            json_array_append_new(list, json_pack("[I,o]", (json_int_t)id, cli_json_text(piece, n)));
        ++*n_allowed;
    }
    return list;
}

static void print_mask(const uint8_t mask[32], const aios_walk *w, const char *forced, size_t n_forced, json_t *tokens, json_int_t n_allowed)
{
    size_t i;
    json_t *t;
    printf("complete  %s\nforced    ", aios_walk_complete(w) ? "yes" : "no");
    cli_json_string(stdout, forced, n_forced);
    fputs("\nbytes     ", stdout);
    print_bytes(mask);
    if (!tokens)
        return;
    printf("tokens    %lld\n", (long long)n_allowed);
    json_array_foreach(tokens, i, t) {
        printf("  %8lld  ", (long long)json_integer_value(json_array_get(t, 0)));
        cli_json_string(stdout, json_string_value(json_array_get(t, 1)), json_string_length(json_array_get(t, 1)));
        putchar('\n');
    }
}

static int show_mask(const cli *c, const cli_source *src, aios_model *m, aios_walk *w)
{
    aios_error err = AIOS_INIT(aios_error);
    uint8_t mask[32];
    char forced[256];
    json_int_t n_allowed = 0;
    size_t n_forced = aios_walk_forced(w, forced, sizeof forced);
    if (next_bytes(w, mask, &err))
        return cli_source_fail(src, &err);
    json_t *tokens = m ? tokens_after(c, m, w, &n_allowed) : NULL, *bytes = json_array();
    for (int b = 0; b < 256; b++)
        if (bit(mask, b))
            json_array_append_new(bytes, json_integer(b));
    if (!c->json) {
        print_mask(mask, w, forced, n_forced, tokens, n_allowed);
    } else {
        json_t *o = json_pack("{s:b,s:o,s:O}", "complete", aios_walk_complete(w), "forced", cli_json_text(forced, n_forced), "bytes", bytes);
        if (tokens)
            json_object_update_new(o, json_pack("{s:I,s:O}", "n_tokens", n_allowed, "tokens", tokens));
        cli_print_json(o);
    }
    json_decref(bytes);
    json_decref(tokens);
    return 0;
}

/* Where the last characters of a long text begin. */
static size_t tail_at(const char *text, size_t n)
{
    size_t at = n > TAIL ? n - TAIL : 0;
    while (at && at < n && (text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* The text leaves the language: says where, and what could have stood there. */
static int fail_text(const cli *c, aios_walk *w, const char *text, size_t n_text, const aios_error *err)
{
    size_t at = err->have < n_text ? (size_t)err->have : 0;
    uint8_t mask[32];
    if (c->json) {
        cli_print_json(json_pack("{s:I,s:o}", "accepted", (json_int_t)at, "error", cli_error_json(err)));
        return EXIT_FAIL;
    }
    int rc = cli_fail("the text", err);
    if (err->code == AIOS_ELIMIT || aios_walk_accept(w, text, at, NULL) || aios_walk_next_bytes(w, mask))
        return rc; /* no byte is at fault, or what may stand there is not known */
    size_t tail = tail_at(text, at);
    fprintf(stderr, "after %s", tail ? "..." : "");
    cli_json_string(stderr, text + tail, at - tail);
    fputs(" may come: ", stderr);
    fflush(stderr);
    int n = 0;
    for (int b = 0; b < 256 && n < 12; b++)
        if (bit(mask, b))
            fprintf(stderr, b > ' ' && b < 0x7f ? "%s'%c'" : "%s0x%02x", n++ ? " " : "", b);
    fprintf(stderr, "%s\n", n == 12 ? " ..." : n ? "" : "nothing");
    return rc;
}

static int mask(const cli *c, aios_ctx **ctx, const cli_source *src, const char *text, size_t n_text)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    aios_model *m = NULL;
    int rc = cli_source_compile(src, *ctx, &g, &err) || aios_walk_new(g, &w, &err) ? cli_source_fail(src, &err) : 0;
    if (!rc && aios_walk_accept(w, text, n_text, &err))
        rc = fail_text(c, w, text, n_text, &err);
    else if (!rc && c->model)
        rc = cli_model(c, ctx, &m);
    rc = rc ? rc : show_mask(c, src, m, w);
    aios_model_close(m);
    aios_walk_free(w);
    aios_grammar_free(g);
    return rc;
}

/* ---- the command -------------------------------------------------------------------------------------------------- */

static const struct verb {
    const char *name;
    int (*run)(const cli *c, aios_ctx **ctx, const cli_source *src, const char *text, size_t n_text);
    bool takes_text;
} verbs[] = {{"check", check, false}, {"sample", sample, false}, {"mask", mask, true}};

static int run_verb(const cli *c, const struct verb *v, const char *file, const char *text)
{
    cli_source src;
    aios_ctx *ctx = NULL;
    size_t n_text = strlen(text);
    char *input = NULL; /* the text, from standard input */
    int rc = cli_source_read(c, file, &src);
    if (!rc && c->strict && src.kind != AIOS_GRAMMAR_SCHEMA)
        rc = cli_usage("--strict is about keywords of schemas; %s is none", src.name);
    src.flags = c->strict ? AIOS_GRAMMAR_STRICT : 0;
    if (!rc && !strcmp(text, "-") && !(input = cli_read_file(text, &n_text)))
        rc = EXIT_USAGE;
    rc = rc ? rc : cli_ctx(c, &ctx);
    rc = rc ? rc : v->run(c, &ctx, &src, input ? input : text, n_text);
    free(input);
    aios_ctx_free(ctx);
    cli_source_free(&src);
    return rc;
}

int cmd_grammar(cli *c)
{
    bool named = c->schema || c->regex || c->gbnf || c->lark;
    const struct verb *v = NULL;
    for (size_t i = 0; c->n_args && i < sizeof verbs / sizeof *verbs; i++)
        v = strcmp(c->args[0], verbs[i].name) ? v : &verbs[i];
    if (!v)
        return cli_usage("aios grammar check, sample or mask? `aios grammar --help` shows examples");
    int at = 1;
    const char *file = !named && at < c->n_args ? c->args[at++] : NULL;
    const char *text = v->takes_text && at < c->n_args ? c->args[at++] : "";
    const char *source = c->schema ? c->schema : c->gbnf ? c->gbnf : c->lark ? c->lark : file;
    if (source && !strcmp(source, "-") && !strcmp(text, "-"))
        return cli_usage("grammar and text cannot both be standard input");
    if (at < c->n_args)
        return cli_usage("\"%s\" is one argument too many for aios grammar %s", c->args[at], v->name);
    return run_verb(c, v, file, text);
}
