/* SPDX-License-Identifier: Apache-2.0 */
/* What suites of grammars do alike: compile, read texts, run over tables of both, and see what bad input costs. */
#ifndef AIOS_TEST_GRAMMAR_H
#define AIOS_TEST_GRAMMAR_H

#include <time.h>

#include "test.h"

static inline aios_grammar *compiled(aios_ctx *c, int32_t kind, const char *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = NULL;
    if (aios_grammar_compile(c, kind, s, AIOS_CSTR, &g, &err))
        fail_msg("%s\n%s", s, err.msg);
    return g;
}

/** A walk at the beginning of a grammar that nothing else holds. */
static inline aios_walk *walk_of(aios_ctx *c, int32_t kind, const char *s)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_grammar *g = compiled(c, kind, s);
    aios_walk *w = NULL;
    must(aios_walk_new(g, &w, &err), &err);
    aios_grammar_free(g);
    return w;
}

/** 1: a whole sentence, 0: a beginning of one, -1: outside. */
static inline int read_by(aios_grammar *g, const char *text, size_t n)
{
    aios_error err = AIOS_INIT(aios_error);
    aios_walk *w = NULL;
    must(aios_walk_new(g, &w, &err), &err);
    int rc = aios_walk_accept(w, text, n, &err);
    int whole = aios_walk_complete(w);
    aios_walk_free(w);
    if (rc && rc != AIOS_ESCHEMA)
        fail_msg("%d: %s", rc, err.msg);
    return rc ? -1 : whole;
}

typedef struct reading {
    const char *grammar, *text;
    int result; /**< of read_by */
} reading;

static inline void assert_readings(aios_ctx *c, int32_t kind, const reading *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        aios_grammar *g = compiled(c, kind, rows[i].grammar);
        int r = read_by(g, rows[i].text, AIOS_CSTR);
        if (r != rows[i].result)
            fail_msg("row %zu: %s\n%s\n%d instead of %d", i, rows[i].grammar, rows[i].text, r, rows[i].result);
        aios_grammar_free(g);
    }
}

typedef struct refusal {
    const char *grammar;
    int code;
    const char *says;
} refusal;

static inline void assert_refusals(aios_ctx *c, int32_t kind, const refusal *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        aios_error err = AIOS_INIT(aios_error);
        aios_grammar *g = NULL;
        int rc = aios_grammar_compile(c, kind, rows[i].grammar, AIOS_CSTR, &g, &err);
        if (rc != rows[i].code || !strstr(err.msg, rows[i].says) || g)
            fail_msg("row %zu: %s\n%s: %s", i, rows[i].grammar, aios_code_name(rc), err.msg);
    }
}

/** A whole way, for refuse_every_allocation. */
static inline int compile_and_read(aios_ctx *c, int32_t kind, const char *grammar, const char *text, aios_error *err)
{
    aios_grammar *g = NULL;
    aios_walk *w = NULL;
    int rc = aios_grammar_compile(c, kind, grammar, AIOS_CSTR, &g, err);
    rc = rc ? rc : aios_walk_new(g, &w, err);
    rc = rc ? rc : aios_walk_accept(w, text, AIOS_CSTR, err);
    aios_walk_free(w);
    aios_grammar_free(g);
    return rc;
}

/* ---- bad input ---------------------------------------------------------------------------------------------------- */

typedef struct made_text {
    char *p;
    size_t n, cap;
} made_text;

static inline void text_put(made_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (t->cap - t->n < 200) {
        t->cap = 2 * t->cap + 400;
        t->p = realloc(t->p, t->cap);
        assert_non_null(t->p);
    }
    t->n += (size_t)vsnprintf(t->p + t->n, t->cap - t->n, fmt, ap);
    va_end(ap);
}

/** Compiled, or refused with the code `want`, in 32 MiB and 5 s. Frees t. */
static inline void assert_ends_soon(int32_t kind, made_text *t, int want, const char *what)
{
    struct timespec a, b;
    aios_ctx *c = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_mem_usage usage = AIOS_INIT(aios_mem_usage);
    aios_grammar *g = NULL;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    int rc = aios_grammar_compile(c, kind, t->p, t->n, &g, &err);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    aios_ctx_usage(c, &usage);
    if (rc != want)
        fail_msg("%s: %s, %s expected (%s)", what, aios_code_name(rc), aios_code_name(want), err.msg);
    if (s > 5 || usage.peak > 32u << 20)
        fail_msg("%s took %.1f s and %.1f MiB", what, s, (double)usage.peak / (1 << 20));
    aios_grammar_free(g);
    aios_ctx_free(c);
    free(t->p);
}

/** A text of n times `each` between two others, given to assert_ends_soon; `each` is a format that may use the number and the next one. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static inline void assert_many_end_soon(int32_t kind, const char *before, int n, const char *each, const char *after, int want, const char *what)
{
    made_text t = {0};
    text_put(&t, "%s", before);
    for (int i = 0; i < n; i++)
        text_put(&t, each, i, i + 1);
    text_put(&t, "%s", after);
    assert_ends_soon(kind, &t, want, what);
}
#pragma GCC diagnostic pop

#endif
