/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in one form, so that equal values have equal texts. */
#include <math.h>
#include <stdlib.h>

#include "agent/ruleset.h"

typedef struct writer {
    bool sorted;
    aios__replace_fn *fn;
    void *user;
    aios__buf *out;
    aios_error *err;
} writer;

typedef struct member {
    const char *key;
    const aios__json *v;
} member;

static int put(writer *w, const aios__json *v);

static int by_key(const void *a, const void *b)
{
    return strcmp(((const member *)a)->key, ((const member *)b)->key);
}

static int put_object(writer *w, const aios__json *v)
{
    size_t n = aios__json_count(v), i = 0;
    const char *key;
    const aios__json *x;
    member *m = aios__alloc_array(w->out->heap, AIOS_MEM_TEXT, n, sizeof *m, w->err);
    if (!m)
        return aios__error_code(w->err, AIOS_ENOMEM);
    for (void *it = aios__json_iter(v, NULL, &key, &x); it && i < n; it = aios__json_iter(v, it, &key, &x))
        m[i++] = (member){key, x};
    if (w->sorted)
        qsort(m, n, sizeof *m, by_key);
    int rc = aios__buf_addc(w->out, '{', w->err);
    for (i = 0; i < n && !rc; i++) {
        if (i)
            aios__buf_addc(w->out, ',', w->err);
        aios__buf_add_json(w->out, m[i].key, strlen(m[i].key), w->err);
        aios__buf_addc(w->out, ':', w->err);
        rc = put(w, m[i].v);
    }
    aios__free(w->out->heap, m);
    return rc ? rc : aios__buf_addc(w->out, '}', w->err);
}

static int put_array(writer *w, const aios__json *v)
{
    int rc = aios__buf_addc(w->out, '[', w->err);
    for (size_t i = 0; i < aios__json_count(v) && !rc; i++) {
        if (i)
            aios__buf_addc(w->out, ',', w->err);
        rc = put(w, aios__json_at(v, i));
    }
    return rc ? rc : aios__buf_addc(w->out, ']', w->err);
}

/* 1.0, 1e0 and 1 are one number. */
static int put_number(writer *w, const aios__json *v)
{
    char text[AIOS__JSON_NUMBER];
    double x = aios__json_real(v, 0);
    if (w->sorted && aios__json_type(v) == AIOS__JSON_REAL && x == floor(x) && fabs(x) < 9007199254740992.0)
        return aios__buf_addf(w->out, w->err, "%lld", (long long)x);
    aios__json_digits(v, text);
    return aios__buf_adds(w->out, text, w->err);
}

static int put(writer *w, const aios__json *v)
{
    static const char *const words[] = {"null", "false", "true"};
    size_t n = 0, n_new = 0;
    const char *s = aios__json_str(v, &n), *replaced;
    enum aios__json_type type = aios__json_type(v);
    if (s) {
        replaced = w->fn ? w->fn(w->user, s, n, &n_new) : NULL;
        return aios__buf_add_json(w->out, replaced ? replaced : s, replaced ? n_new : n, w->err);
    }
    if (type == AIOS__JSON_OBJECT)
        return put_object(w, v);
    if (type == AIOS__JSON_ARRAY)
        return put_array(w, v);
    return type <= AIOS__JSON_TRUE ? aios__buf_adds(w->out, words[type], w->err) : put_number(w, v);
}

int aios__canon(const aios__json *v, bool sorted, aios__replace_fn *fn, void *user, aios__buf *out, aios_error *err)
{
    writer w = {.sorted = sorted, .fn = fn, .user = user, .out = out, .err = err};
    return put(&w, v);
}
