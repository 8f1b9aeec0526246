/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutates grammars in GBNF and Lark and regular expressions: fuzz_grammar [ROUNDS [SEED]]. A refusal has a code and a text; in what compiles a
 * random walk never runs into a dead end, a byte that may come next is accepted and one that may not is refused, and a second walk takes the
 * same text whole; nothing is left over.
 */
#include <aios/aios.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { MAX = 600, STEPS = 60 };

static const char *const gbnf[] = {
    "root ::= (expr \"=\" term \"\\n\")+\nexpr ::= term ([-+*/] term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= [0-9]{1,3} (\".\" [0-9]+)?\n",
    "root ::= a | \"x\" root \"y\"\na ::= b \"c\" | a \"d\" |\nb ::= [^a-z\\n\\x41-\\u0142]{2,} # end\n",
    "root ::= item{,3} \"\\\"\" .\nitem ::= \"- \" [\\]^-] (\"a\"? \"b\"* | root) \"\\n\"\n",
};
static const char *const lark[] = {
    "start: expr\nexpr: expr \"+\" term | term\nterm: NUMBER | \"(\" expr \")\"\nNUMBER: /[0-9]+/ & ~\"13\"\n%ignore /[ \\t]+/\n",
    "%import common.INT\nstart: (ID \"=\" value \";\")~1..3\nID: /[a-z_]\\w{0,3}/i & ~(\"if\" | \"else\"i)\nvalue: INT | STRING | [value \",\"] \"nil\"\nSTRING: \"\\\"\" /[^\"\\n]/* \"\\\"\"\n",
    "start: \"a\"..\"f\" text tail?\ntext[lazy]: /.*!/s\ntail[capture]: %regex {\"substring_words\": \"to be or not\"}\n",
    "start: %json {\"type\": \"object\", \"properties\": {\"k\": {\"enum\": [1, \"two\"]}}, \"required\": [\"k\"]} \"\\n\"\n",
};
static const char *const regex[] = {
    "^(a|b(c|d){2,3})*[^\\d\\n]{1,4}$", "(?=.*\\d)(?!.*aa)[a-z0-9]{3,8}", "\\p{Lu}\\p{Ll}+( [\\u00c0-\\u{1f600}])?", "([a-f]{2}:){5}[a-f]{2}|\\x41\\cA\\.",
};
static const char *const words[] = {"(", ")", "[", "]", "{", "}", "{2}", "{0,}", "{1,1000000000}", "*", "+", "?", "|", "\"", "'", "/", "\\", "^", "$", "-", "..", ".", ":", "::=", "\n", "\n ",
                                    "root", "start", "a", "~", "&", "~2..4", "%ignore", "%import common", "%json {", "%regex", "[lazy]", "\\u", "\\x4", "\\p{L}", "(?", "(?=", "(?i:", "\xc3", "\xff", "#", "//",
                                    "\xf0\x9f\x98\x80", "\"\"", "_", ",", "i", "[^", "\\d", "->", "[suffix=\"x\"]"};
static const struct {
    int32_t kind;
    const char *const *seeds;
    uint32_t n;
} kinds[] = {
    {AIOS_GRAMMAR_GBNF, gbnf, sizeof gbnf / sizeof *gbnf}, {AIOS_GRAMMAR_LARK, lark, sizeof lark / sizeof *lark}, {AIOS_GRAMMAR_REGEX, regex, sizeof regex / sizeof *regex}};
#define N_KINDS (sizeof kinds / sizeof *kinds)
#define N_WORDS (sizeof words / sizeof *words)

static size_t mutate(char *s, size_t n, const char *other)
{
    for (uint32_t k = roll(5); k; k--) {
        size_t at = roll((uint32_t)n + 1), len = n - at ? 1 + roll(n - at < 12 ? (uint32_t)(n - at) : 12) : 0;
        const char *w = words[roll(N_WORDS)];
        char piece[12];
        switch (roll(5)) {
        case 0:
            n = insert(s, n, MAX, at, w, strlen(w));
            break;
        case 1:
            memmove(s + at, s + at + len, n - at - len);
            n -= len;
            break;
        case 2: /* a piece once more, elsewhere */
            memcpy(piece, s + at, len);
            n = insert(s, n, MAX, roll((uint32_t)n + 1), piece, len);
            break;
        case 3: /* the end of another one */
            w = other + roll((uint32_t)strlen(other) + 1);
            n = insert(s, n, MAX, at, w, strlen(w));
            break;
        default:
            if (at < n)
                s[at] = (char)roll(256);
        }
    }
    return n;
}

static bool refused(int rc, const aios_error *err)
{
    return (rc == AIOS_ESCHEMA || rc == AIOS_ENOTSUP || rc == AIOS_ELIMIT || rc == AIOS_EINVAL || rc == AIOS_EFORMAT || rc == AIOS_EEXIST || rc == AIOS_ENOENT || rc == AIOS_EBUDGET) &&
           *err->msg;
}

static uint32_t count(const uint8_t set[32])
{
    uint32_t n = 0;
    for (int c = 0; c < 256; c++)
        n += set[c / 8] >> c % 8 & 1;
    return n;
}

static bool has(const uint8_t set[32], uint32_t c)
{
    return set[c / 8] >> c % 8 & 1;
}

static int pick(const uint8_t set[32])
{
    uint32_t k = roll(count(set));
    for (uint32_t c = 0; c < 256; c++)
        if (has(set, c) && !k--)
            return (int)c;
    return -1;
}

/* A byte that may not come is refused, and changes nothing. */
static const char *try_other(aios_walk *w, const uint8_t set[32])
{
    aios_error err = AIOS_INIT(aios_error);
    char c = (char)roll(256);
    if (has(set, (uint8_t)c))
        return NULL;
    int rc = aios_walk_accept(w, &c, 1, &err);
    return rc == AIOS_ESCHEMA || rc == AIOS_ELIMIT ? NULL : "a byte that may not come next was accepted";
}

/* The text as a whole: with a grammar that has been read to its end by another walk. */
static const char *read_again(aios_grammar *g, const char *s, size_t n, bool whole)
{
    aios_walk *w = NULL;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_walk_new(g, &w, &err);
    rc = rc ? rc : aios_walk_accept(w, s, n, &err);
    bool same = !rc && aios_walk_complete(w) == whole;
    aios_walk_free(w);
    return same || rc == AIOS_ELIMIT || rc == AIOS_EBUDGET || rc == AIOS_ENOMEM ? NULL : "a second walk reads the text in another way";
}

static const char *walk(aios_grammar *g)
{
    aios_walk *w = NULL;
    aios_error err = AIOS_INIT(aios_error);
    char text[STEPS];
    size_t n = 0;
    const char *bad = NULL;
    int rc = aios_walk_new(g, &w, &err);
    while (!rc && !bad && n < STEPS) {
        uint8_t set[32];
        rc = aios_walk_next_bytes(w, set);
        if (rc || !count(set)) {
            bad = rc || aios_walk_complete(w) ? NULL : "a dead end";
            break;
        }
        bad = try_other(w, set);
        text[n] = (char)pick(set);
        rc = bad ? AIOS_OK : aios_walk_accept(w, text + n, 1, &err);
        n += !rc;
        bad = rc == AIOS_ESCHEMA ? "a byte that may come next was refused" : bad;
    }
    if (!bad && !rc)
        bad = read_again(g, text, n, aios_walk_complete(w));
    aios_walk_free(w);
    return bad;
}

static const char *try_text(aios_ctx *ctx, int32_t kind, const char *s, size_t n, long *n_good)
{
    aios_grammar *g = NULL;
    aios_error err = AIOS_INIT(aios_error);
    int rc = aios_grammar_compile(ctx, kind, s, n, &g, &err);
    if (rc)
        return refused(rc, &err) ? NULL : "a refusal without a reason";
    ++*n_good;
    const char *bad = NULL;
    for (int k = 0; k < 3 && !bad; k++)
        bad = walk(g);
    aios_grammar_free(g);
    return bad;
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 20000, n_good = 0;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) * 2654435761u + 1 : 88172645463325252u;
    aios_ctx *ctx = NULL;
    aios_error err = AIOS_INIT(aios_error);
    if (aios_ctx_new(NULL, &ctx, &err))
        return 1;
    aios_ctx_set_budget(ctx, 64u << 20, NULL);
    for (long r = 0; r < rounds; r++) {
        char s[MAX + 1];
        uint32_t k = roll(N_KINDS);
        const char *seed = kinds[k].seeds[roll(kinds[k].n)];
        size_t n = strlen(seed);
        memcpy(s, seed, n);
        n = mutate(s, n, kinds[k].seeds[roll(kinds[k].n)]);
        const char *bad = try_text(ctx, kinds[k].kind, s, n, &n_good);
        if (bad) {
            fprintf(stderr, "round %ld, kind %d: %s\n%.*s\n", r, (int)kinds[k].kind, bad, (int)n, s);
            aios_ctx_free(ctx);
            return 1;
        }
    }
    aios_ctx_free(ctx);
    printf("%ld grammars, %ld of them good\n", rounds, n_good);
    return n_good == 0;
}
