/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of JSON as what they say in decimals: order, wholeness and multiples without a rounding. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

enum { LIMB = 1000000000, MAX_LIMBS = AIOS__JSON_NUMBER / 9 + 3, FAR = 1000000000 };

/* A magnitude 0.DDD * 10^exp with n digits, the first and the last not 0; n = 0: zero. The digits may have a point among them. */
typedef struct decimal {
    const char *d;
    size_t n;
    int64_t exp;
    char text[AIOS__JSON_NUMBER];
} decimal;

/* 15 digits are exact for every short number, but for subnormal ones. */
static void print_real(double x, char s[AIOS__JSON_NUMBER])
{
    for (int digits = fabs(x) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(s, AIOS__JSON_NUMBER, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    aios__real_point(s);
    if (!strpbrk(s, ".eE"))
        strcat(s, ".0");
}

void aios__json_digits(const aios__json *v, char out[AIOS__JSON_NUMBER])
{
    if (aios__json_type(v) == AIOS__JSON_REAL)
        print_real(aios__json_real(v, 0), out);
    else
        snprintf(out, AIOS__JSON_NUMBER, "%lld", (long long)aios__json_int(v, 0));
}

static int64_t read_exponent(const char *s, const char *end)
{
    bool minus = *s == '-';
    int64_t e = 0;
    for (s += *s == '-' || *s == '+'; s < end && e < FAR; s++)
        e = e * 10 + (*s - '0');
    return minus ? -e : e;
}

static void read_decimal(const aios__json *v, decimal *x)
{
    *x = (decimal){.n = 0};
    aios__json_digits(v, x->text);
    const char *s = x->text, *end = s + strlen(s), *first = NULL, *last = NULL;
    int64_t whole = 0, at = 0; /* digits before the point; digits seen since the first that is not 0 */
    bool point = false;
    for (s += *s == '-'; s < end && (*s | 32) != 'e'; s++) {
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
            x->n = (size_t)at;
    }
    if (!first)
        return;
    x->d = first;
    x->exp = whole + (s < end ? read_exponent(s + 1, end) : 0);
}

static int next_digit(const char **d)
{
    *d += **d == '.';
    return *(*d)++ - '0';
}

static bool is_int(const aios__json *v)
{
    return aios__json_type(v) == AIOS__JSON_INT;
}

/* Exact also where a double cannot hold the integer. */
static int compare_int_real(int64_t i, double d)
{
    if (d < -0x1p63 || d >= 0x1p63)
        return d < 0 ? 1 : -1;
    int64_t k = (int64_t)floor(d);
    return i != k ? (i > k) - (i < k) : -(d > floor(d));
}

int aios__json_compare(const aios__json *a, const aios__json *b)
{
    int64_t i = aios__json_int(a, 0), k = aios__json_int(b, 0);
    double d = aios__json_real(a, 0), e = aios__json_real(b, 0);
    if (is_int(a))
        return is_int(b) ? (i > k) - (i < k) : compare_int_real(i, e);
    return is_int(b) ? -compare_int_real(k, d) : (d > e) - (d < e);
}

bool aios__json_integral(const aios__json *v)
{
    double d = aios__json_real(v, 0.5);
    return is_int(v) || d == floor(d);
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
    decimal x, y;
    if (is_int(a) && is_int(b))
        return aios__json_int(b, 1) && aios__json_int(a, 0) % aios__json_int(b, 1) == 0;
    read_decimal(a, &x);
    read_decimal(b, &y);
    int64_t zeros = x.exp - (int64_t)x.n - (y.exp - (int64_t)y.n), enough = 4 * (int64_t)y.n; /* 10^enough has all 2s and 5s of y's digits */
    if (!x.n || !y.n)
        return !x.n && y.n;
    return zeros >= 0 && divides(&x, zeros < enough ? zeros : enough, &y);
}
