/* SPDX-License-Identifier: Apache-2.0 */
#include <aios/version.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"

const char *aios_strerror(int code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        AIOS_CODES(X)
#undef X
    default:
        return "unknown code";
    }
}

const char *aios_code_name(int code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return #name;
        AIOS_CODES(X)
#undef X
    default:
        return "?";
    }
}

/* The first release's size: what struct_size 0 is read as. */
#define ERROR_SIZE_0_1 sizeof(aios_error)

static size_t error_room(const aios_error *err)
{
    return err->struct_size ? err->struct_size : ERROR_SIZE_0_1;
}

int aios__error_copy(aios_error *dst, const aios_error *src)
{
    if (!src)
        return AIOS_OK;
    if (dst && dst != src) {
        size_t room = error_room(dst), size = dst->struct_size;
        size_t src_n = error_room(src);
        if (src_n > room)
            src_n = room;
        memcpy(dst, src, src_n);
        dst->struct_size = size;
        if (room >= offsetof(aios_error, reserve))
            dst->msg[sizeof dst->msg - 1] = 0;
    }
    return src->code;
}

int aios__error_code(const aios_error *err, int dflt)
{
    if (!err || error_room(err) < offsetof(aios_error, reserve) || err->code >= 0)
        return dflt;
    return err->code;
}

/* Text of an errno behind a message of n bytes. */
static void add_sys(char *msg, size_t size, size_t n, int sys)
{
    char text[128] = "";
    /* strerror_r of glibc (GNU) or POSIX: both leave a usable text in one of the two places */
    const char *t = text;
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    t = strerror_r(sys, text, sizeof text);
#else
    if (strerror_r(sys, text, sizeof text))
        t = "unknown system error";
#endif
    snprintf(msg + n, size - n, ": %s", t);
}

/* Names in a message come from files and models: what is no UTF-8 or a control character is shown as '?'. */
static void clean_text(char *msg)
{
    uint32_t cp;
    for (size_t i = 0, n = strlen(msg), len; i < n; i += len ? len : 1) {
        len = aios__utf8_decode(msg + i, n - i, &cp);
        if (!len || ((unsigned char)msg[i] < 0x20 && msg[i] != '\n' && msg[i] != '\t') || msg[i] == 0x7f)
            msg[i] = '?';
    }
}

static int fail_va(aios_error *err, int code, int sys, uint64_t have, uint64_t need, const char *fmt, va_list ap)
{
    if (!err || error_room(err) < offsetof(aios_error, reserve))
        return code;
    /* formatted aside, since an argument may be err->msg itself */
    char msg[sizeof err->msg];
    int n = vsnprintf(msg, sizeof msg, fmt, ap);
    if (n < 0)
        n = snprintf(msg, sizeof msg, "%s", aios_strerror(code));
    if (sys && (size_t)n < sizeof msg)
        add_sys(msg, sizeof msg, (size_t)n, sys);
    size_t len = aios__utf8_whole(msg, strlen(msg)); /* a cut message ends with a whole character */
    msg[len] = 0;
    clean_text(msg);
    memcpy(err->msg, msg, len + 1);
    err->code = code;
    err->sys = sys;
    err->have = have;
    err->need = need;
    return code;
}

int aios__fail(aios_error *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_va(err, code, 0, 0, 0, fmt, ap);
    va_end(ap);
    return code;
}

int aios__fail_need(aios_error *err, int code, uint64_t have, uint64_t need, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_va(err, code, 0, have, need, fmt, ap);
    va_end(ap);
    return code;
}

int aios__fail_sys(aios_error *err, int code, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail_va(err, code, sys, 0, 0, fmt, ap);
    va_end(ap);
    return code;
}
