/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

#define BUF_MAX ((size_t)1 << 30)

void aios__buf_init(aios__buf *b, aios__heap *h, uint32_t kind, size_t max)
{
    memset(b, 0, sizeof *b);
    b->heap = h;
    b->kind = kind;
    b->max = max && max < BUF_MAX ? max : BUF_MAX;
}

void aios__buf_free(aios__buf *b)
{
    if (b->heap)
        aios__free(b->heap, b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

void aios__buf_clear(aios__buf *b)
{
    b->n = 0;
    b->failed = 0;
    if (b->p)
        b->p[0] = 0;
}

/* Room for `need` bytes: half as much again if that can be had, else just what is needed. */
static int grow(aios__buf *b, size_t need, aios_error *err)
{
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap += cap / 2 + 16;
    char *p = aios__realloc(b->heap, b->kind, b->p, cap, NULL);
    if (!p) {
        cap = need;
        p = aios__realloc(b->heap, b->kind, b->p, cap, err);
    }
    if (!p)
        return aios__error_code(err, AIOS_ENOMEM);
    b->p = p;
    b->cap = cap;
    return AIOS_OK;
}

int aios__buf_reserve(aios__buf *b, size_t n, aios_error *err)
{
    if (b->failed) {
        if (aios__error_code(err, AIOS_OK) != b->failed) /* else err tells the first failure still */
            aios__fail(err, b->failed, "an earlier write to this text failed: %s", aios_strerror(b->failed));
        return b->failed;
    }
    if (n > b->max || b->n > b->max - n) {
        b->failed = AIOS_ELIMIT;
        return aios__fail_need(err, AIOS_ELIMIT, b->max, n > SIZE_MAX - b->n ? SIZE_MAX : b->n + n,
                               "the text would be longer than its limit of %zu bytes", b->max);
    }
    size_t need = b->n + n + 1;
    if (need > b->cap)
        b->failed = grow(b, need, err);
    return b->failed;
}

int aios__buf_add(aios__buf *b, const void *p, size_t n, aios_error *err)
{
    int rc = aios__buf_reserve(b, n, err);
    if (rc)
        return rc;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
    return AIOS_OK;
}

int aios__buf_adds(aios__buf *b, const char *s, aios_error *err)
{
    return aios__buf_add(b, s, strlen(s), err);
}

int aios__buf_addc(aios__buf *b, char c, aios_error *err)
{
    return aios__buf_add(b, &c, 1, err);
}

/* ---- formats ------------------------------------------------------------------------------------------------------ */

typedef struct arguments {
    va_list list;
} arguments;

static uint64_t take_unsigned(arguments *a, int size)
{
    return size >= 2 ? va_arg(a->list, unsigned long long) : size ? va_arg(a->list, unsigned long) : va_arg(a->list, unsigned);
}

static int64_t take_signed(arguments *a, int size)
{
    return size >= 2 ? va_arg(a->list, long long) : size ? va_arg(a->list, long) : va_arg(a->list, int);
}

static void add_digits(aios__buf *b, uint64_t x, unsigned base, bool minus, aios_error *err)
{
    char text[24], *p = text + sizeof text;
    do {
        *--p = "0123456789abcdef"[x % base];
        x /= base;
    } while (x);
    if (minus)
        *--p = '-';
    aios__buf_add(b, p, (size_t)(text + sizeof text - p), err);
}

/* What stands behind a '%', without flags, widths and reals; NULL: it is one of those. */
static const char *add_plain(aios__buf *b, const char *at, arguments *a, aios_error *err)
{
    int size = 0;
    for (; *at == 'l' || *at == 'z'; at++)
        size++; /* size_t is as wide as long where this runs */
    if (*at == 's' && !size) {
        const char *s = va_arg(a->list, const char *);
        aios__buf_adds(b, s ? s : "(null)", err);
    } else if (*at == 'd') {
        int64_t x = take_signed(a, size);
        add_digits(b, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, 10, x < 0, err);
    } else if (*at == 'u' || *at == 'x') {
        add_digits(b, take_unsigned(a, size), *at == 'x' ? 16 : 10, false, err);
    } else {
        return NULL;
    }
    return at + 1;
}

/* Formats of plain conversions alone, several times as fast as printf. False: nothing was added, since it has others. */
static bool add_fast(aios__buf *b, aios_error *err, const char *fmt, arguments *a)
{
    size_t before = b->n;
    for (const char *at = fmt; at && *at;) {
        size_t n = strcspn(at, "%");
        aios__buf_add(b, at, n, err);
        at += n;
        if (*at && !(at = add_plain(b, at + 1, a, err))) {
            b->n = before;
            if (b->p)
                b->p[before] = 0;
            return false;
        }
    }
    return true;
}

__attribute__((format(printf, 3, 0))) static int add_printed(aios__buf *b, aios_error *err, const char *fmt, va_list ap)
{
    char small[256];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    int rc = AIOS_OK;
    if (n < 0) {
        rc = aios__fail(err, AIOS_EINTERNAL, "a format string of the library is wrong");
    } else if ((size_t)n < sizeof small) {
        rc = aios__buf_add(b, small, (size_t)n, err);
    } else if (!(rc = aios__buf_reserve(b, (size_t)n, err))) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    return rc;
}

int aios__buf_addf(aios__buf *b, aios_error *err, const char *fmt, ...)
{
    arguments a;
    va_list ap;
    va_start(a.list, fmt);
    va_copy(ap, a.list);
    int rc = add_fast(b, err, fmt, &a) ? aios__buf_reserve(b, 0, err) : add_printed(b, err, fmt, ap);
    va_end(a.list);
    va_end(ap);
    return rc;
}

void aios__real_point(char *s)
{
    char *comma = strchr(s, ',');
    if (comma)
        *comma = '.';
}

double aios__real_parse(char *s, char **end)
{
    char half[8], *point = strchr(s, '.');
    snprintf(half, sizeof half, "%.1f", 0.5);
    if (point && half[1] == ',')
        *point = ',';
    return strtod(s, end);
}

int aios__buf_add_real(aios__buf *b, double x, int n_digits, aios_error *err)
{
    char s[40];
    snprintf(s, sizeof s, "%.*g", n_digits < 17 ? n_digits : 17, x);
    aios__real_point(s);
    return aios__buf_adds(b, s, err);
}

int aios__buf_add_json(aios__buf *b, const char *s, size_t n, aios_error *err)
{
    static const char hex[] = "0123456789abcdef";
    aios__buf_addc(b, '"', err);
    size_t from = 0, i = 0;
    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        uint32_t cp;
        size_t len = c < 0x80 ? 1 : aios__utf8_decode(s + i, n - i, &cp);
        if (len && c != '"' && c != '\\' && c >= 0x20) {
            i += len;
            continue;
        }
        aios__buf_add(b, s + from, i - from, err);
        static const char short_of[] = "btn\0fr"; /* for 8, 9, 10, 12, 13 */
        if (!len)
            aios__buf_adds(b, "\xef\xbf\xbd", err);
        else if (c == '"' || c == '\\')
            aios__buf_add(b, (char[]){'\\', (char)c}, 2, err);
        else if (c == 8 || c == 9 || c == 10 || c == 12 || c == 13)
            aios__buf_add(b, (char[]){'\\', short_of[c - 8]}, 2, err);
        else
            aios__buf_add(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6, err);
        from = ++i;
    }
    aios__buf_add(b, s ? s + from : "", n - from, err);
    return aios__buf_addc(b, '"', err);
}

static int add_open_file(aios__buf *b, const aios_env *env, aios_file *f, const char *path, const char *what, aios_error *err)
{
    int32_t sys = 0;
    uint64_t size = 0;
    size_t got = 0;
    int rc = env->file_size(env->user, f, &size, &sys);
    if (!rc && b->max && size > b->max - b->n)
        return aios__fail_need(err, AIOS_ELIMIT, b->max - b->n, size, "%s %.300s is larger than the %zu bytes it may have", what, path, b->max - b->n);
    if (!rc) {
        rc = aios__buf_reserve(b, (size_t)size, err);
        if (rc)
            return rc;
        rc = env->file_read(env->user, f, 0, b->p + b->n, (size_t)size, &got, &sys);
    }
    if (rc)
        return aios__fail_sys(err, rc, sys, "%s %.300s", what, path);
    b->n += got;
    b->p[b->n] = 0;
    return AIOS_OK;
}

int aios__buf_add_file(aios__buf *b, const aios_env *env, const char *path, const char *what, aios_error *err)
{
    aios_file *f;
    int32_t sys = 0;
    int rc = env->file_open(env->user, path, AIOS_OPEN_READ, &f, &sys);
    if (rc)
        return aios__fail_sys(err, rc, sys, "%s %.300s", what, path);
    rc = add_open_file(b, env, f, path, what, err);
    env->file_close(env->user, f);
    return rc;
}
