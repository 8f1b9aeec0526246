/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a JSON document: reading them, their equality, and their text. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_priv.h"

const aios__json *aios__json_root(const aios__json_doc *doc)
{
    return &doc->root;
}

enum aios__json_type aios__json_type(const aios__json *v)
{
    return v ? (enum aios__json_type)v->type : AIOS__JSON_NULL;
}

size_t aios__json_count(const aios__json *v)
{
    return v && (v->type == AIOS__JSON_ARRAY || v->type == AIOS__JSON_OBJECT) ? v->n : 0;
}

const aios__json *aios__json_at(const aios__json *arr, size_t i)
{
    return arr && arr->type == AIOS__JSON_ARRAY && i < arr->n ? &arr->items[i] : NULL;
}

const aios__json *aios__json_find(const aios__json *obj, const char *key, size_t n, size_t *index)
{
    size_t lo = 0, hi = obj && obj->type == AIOS__JSON_OBJECT ? obj->n : 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const aios__json_member *m = &obj->members[obj->order[mid]];
        int c = aios__json_key_compare(m, key, n);
        if (!c) {
            if (index)
                *index = obj->order[mid];
            return &m->v;
        }
        lo = c < 0 ? mid + 1 : lo;
        hi = c < 0 ? hi : mid;
    }
    return NULL;
}

const aios__json *aios__json_get(const aios__json *obj, const char *key)
{
    return aios__json_find(obj, key, strlen(key), NULL);
}

void *aios__json_iter(const aios__json *obj, void *it, const char **key, const aios__json **v)
{
    if (!obj || obj->type != AIOS__JSON_OBJECT)
        return NULL;
    size_t i = it ? (size_t)((const aios__json_member *)it - obj->members) + 1 : 0;
    if (i >= obj->n)
        return NULL;
    it = (void *)(uintptr_t)&obj->members[i];
    aios__json_member_at(it, key, v);
    return it;
}

void aios__json_member_at(void *it, const char **key, const aios__json **v)
{
    const aios__json_member *m = it;
    *key = m->key;
    *v = &m->v;
}

const char *aios__json_str(const aios__json *v, size_t *n)
{
    if (!v || v->type != AIOS__JSON_STRING)
        return NULL;
    if (n)
        *n = v->n;
    return v->s;
}

int64_t aios__json_int(const aios__json *v, int64_t dflt)
{
    return v && v->type == AIOS__JSON_INT ? v->i : dflt;
}

double aios__json_real(const aios__json *v, double dflt)
{
    return !aios__json_is_number(v) ? dflt : v->type == AIOS__JSON_INT ? (double)v->i : v->d;
}

bool aios__json_is_number(const aios__json *v)
{
    return v && (v->type == AIOS__JSON_INT || v->type == AIOS__JSON_REAL);
}

static bool equal_members(const aios__json *a, const aios__json *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const aios__json_member *m = &a->members[a->order[i]], *w = &b->members[b->order[i]];
        if (aios__json_key_compare(m, w->key, w->n_key) || !aios__json_equal(&m->v, &w->v))
            return false;
    }
    return true;
}

/* Recursion is bounded by the depth that the parser enforced. */
bool aios__json_equal(const aios__json *a, const aios__json *b)
{
    if (!a || !b)
        return a == b;
    if (aios__json_is_number(a) && aios__json_is_number(b))
        return aios__json_compare(a, b) == 0;
    if (a->type != b->type || a->n != b->n)
        return false;
    if (a->type == AIOS__JSON_STRING)
        return !memcmp(a->s, b->s, a->n);
    if (a->type == AIOS__JSON_OBJECT)
        return equal_members(a, b);
    for (uint32_t i = 0; a->type == AIOS__JSON_ARRAY && i < a->n; i++)
        if (!aios__json_equal(&a->items[i], &b->items[i]))
            return false;
    return true;
}

/*
 * The shortest that reads back the same: 15 digits are exact for every short one, but for subnormal numbers. An integer beyond 64 bits keeps
 * its digits.
 */
static int write_real(const aios__json *v, aios__buf *out, aios_error *err)
{
    char s[40];
    double x = v->d;
    if (!memchr(v->s, '.', v->n) && !memchr(v->s, 'e', v->n) && !memchr(v->s, 'E', v->n))
        return aios__buf_add(out, v->s, v->n, err);
    for (int digits = fabs(x) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    aios__real_point(s);
    if (!strpbrk(s, ".eE"))
        strcat(s, ".0");
    return aios__buf_adds(out, s, err);
}

static int write_array(const aios__json *v, aios__buf *out, aios_error *err)
{
    aios__buf_addc(out, '[', err);
    for (size_t i = 0, n = aios__json_count(v); i < n && !out->failed; i++) {
        if (i)
            aios__buf_addc(out, ',', err);
        aios__json_write(aios__json_at(v, i), out, err);
    }
    return aios__buf_addc(out, ']', err);
}

static int write_object(const aios__json *v, aios__buf *out, aios_error *err)
{
    const char *key, *comma = "";
    const aios__json *m;
    aios__buf_addc(out, '{', err);
    for (void *it = aios__json_iter(v, NULL, &key, &m); it && !out->failed; it = aios__json_iter(v, it, &key, &m)) {
        aios__buf_adds(out, comma, err);
        aios__buf_add_json(out, key, strlen(key), err);
        aios__buf_addc(out, ':', err);
        aios__json_write(m, out, err);
        comma = ",";
    }
    return aios__buf_addc(out, '}', err);
}

/* Recursion is bounded by MAX_DEPTH, which the parser enforced. */
int aios__json_write(const aios__json *v, aios__buf *out, aios_error *err)
{
    switch (aios__json_type(v)) {
    case AIOS__JSON_FALSE:
        return aios__buf_adds(out, "false", err);
    case AIOS__JSON_TRUE:
        return aios__buf_adds(out, "true", err);
    case AIOS__JSON_INT:
        return aios__buf_addf(out, err, "%lld", (long long)aios__json_int(v, 0));
    case AIOS__JSON_REAL:
        return write_real(v, out, err);
    case AIOS__JSON_STRING:
        return aios__buf_add_json(out, v->s, v->n, err);
    case AIOS__JSON_ARRAY:
        return write_array(v, out, err);
    case AIOS__JSON_OBJECT:
        return write_object(v, out, err);
    case AIOS__JSON_NULL:
        break;
    }
    return aios__buf_adds(out, "null", err);
}
