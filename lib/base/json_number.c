/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of JSON as what they say, in decimals of any length: order, wholeness and multiples without a rounding. */
#include "base/json_priv.h"

enum { LIMB = 1000000000, MAX_LIMBS = AIOS__JSON_MAX_DIVISOR / 9 + 3, FAR = 1000000000 };

/* 0.DDD * 10^exp with n digits, the first and the last not 0; n = 0: zero. The digits may have a point among them. */
typedef struct decimal {
    bool negative;
    const char *d;
    size_t n;
    int64_t exp;
} decimal;

static int64_t read_exponent(const char *s, const char *end)
{
    bool minus = *s == '-';
    int64_t e = 0;
    for (s += *s == '-' || *s == '+'; s < end && e < FAR; s++)
        e = e * 10 + (*s - '0');
    return minus ? -e : e;
}

static decimal read_decimal(const aios__json *v)
{
    const char *s = v->s, *end = s + v->n, *first = NULL, *last = NULL;
    decimal x = {.negative = *s == '-'};
    int64_t whole = 0, at = 0; /* digits before the point; digits seen since the first that is not 0 */
    bool point = false;
    for (s += x.negative; s < end && (*s | 32) != 'e'; s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        if (*s != '0') {
            first = first ? first : s;
            last = s;
        }
        whole += first ? !point : point ? -1 : 0;
        at += first != NULL;
        if (last == s)
            x.n = (size_t)at;
    }
    if (!first)
        return (decimal){.negative = false};
    x.d = first;
    x.exp = whole + (s < end ? read_exponent(s + 1, end) : 0);
    return x;
}

static int next_digit(const char **d)
{
    *d += **d == '.';
    return *(*d)++ - '0';
}

static int compare_size(const decimal *a, const decimal *b)
{
    if (!a->n || !b->n)
        return (a->n > 0) - (b->n > 0);
    if (a->exp != b->exp)
        return a->exp < b->exp ? -1 : 1;
    const char *p = a->d, *q = b->d;
    for (size_t i = 0, n = a->n < b->n ? a->n : b->n; i < n; i++) {
        int x = next_digit(&p), y = next_digit(&q);
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a->n > b->n) - (a->n < b->n);
}

const char *aios__json_digits(const aios__json *v, size_t *n)
{
    if (!aios__json_is_number(v))
        return NULL;
    *n = v->n;
    return v->s;
}

int aios__json_compare(const aios__json *a, const aios__json *b)
{
    if (a->type == AIOS__JSON_INT && b->type == AIOS__JSON_INT)
        return (a->i > b->i) - (a->i < b->i);
    decimal x = read_decimal(a), y = read_decimal(b);
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    return x.negative ? compare_size(&y, &x) : compare_size(&x, &y);
}

bool aios__json_integral(const aios__json *v)
{
    if (!v || v->type == AIOS__JSON_INT)
        return v != NULL;
    if (v->type != AIOS__JSON_REAL)
        return false;
    decimal x = read_decimal(v);
    return x.exp >= (int64_t)x.n;
}

size_t aios__json_n_digits(const aios__json *v)
{
    return read_decimal(v).n;
}

/* r = r * 10 + d, then less b as often as it goes; both have n limbs, the lowest first, and r < b before and after. */
static void shift_in(uint32_t *r, const uint32_t *b, size_t n, int d)
{
    uint64_t carry = (uint64_t)d;
    for (size_t i = 0; i < n; i++) {
        carry += (uint64_t)r[i] * 10;
        r[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
    for (;;) {
        size_t i = n;
        while (i && r[i - 1] == b[i - 1])
            i--;
        if (i && r[i - 1] < b[i - 1])
            return;
        int64_t borrow = 0;
        for (i = 0; i < n; i++) {
            int64_t x = (int64_t)r[i] - b[i] - borrow;
            borrow = x < 0;
            r[i] = (uint32_t)(borrow ? x + LIMB : x);
        }
    }
}

/* The digits of a, then `zeros` of them, divided by the digits of b. */
static bool divides(const decimal *a, int64_t zeros, const decimal *b)
{
    uint32_t div[MAX_LIMBS] = {0}, rest[MAX_LIMBS] = {0};
    size_t n = b->n / 9 + 2;
    const char *p = b->d;
    if (n > MAX_LIMBS)
        return false;
    for (size_t i = b->n; i--;) {
        uint32_t scale = 1;
        for (size_t k = i % 9; k; k--)
            scale *= 10;
        div[i / 9] += (uint32_t)next_digit(&p) * scale;
    }
    p = a->d;
    for (size_t i = 0; i < a->n; i++)
        shift_in(rest, div, n, next_digit(&p));
    for (int64_t i = 0; i < zeros; i++)
        shift_in(rest, div, n, 0);
    for (size_t i = 0; i < n; i++)
        if (rest[i])
            return false;
    return true;
}

bool aios__json_multiple(const aios__json *a, const aios__json *b)
{
    if (a->type == AIOS__JSON_INT && b->type == AIOS__JSON_INT)
        return b->i && a->i % b->i == 0;
    decimal x = read_decimal(a), y = read_decimal(b);
    int64_t zeros = x.exp - (int64_t)x.n - (y.exp - (int64_t)y.n), enough = 4 * (int64_t)y.n; /* 10^enough has all 2s and 5s of y's digits */
    if (!x.n || !y.n)
        return !x.n && y.n;
    return zeros >= 0 && divides(&x, zeros < enough ? zeros : enough, &y);
}
