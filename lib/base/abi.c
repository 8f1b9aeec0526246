/* SPDX-License-Identifier: Apache-2.0 */
/* Structs that cross the ABI: the rule of the Linux kernel's copy_struct_from_user. */
#include "base/base.h"

/* No struct of any version is longer: a larger size is one that was never set. */
#define MAX_STRUCT 65536

int aios__struct_in(void *dst, size_t size, const void *src, aios_error *err)
{
    memset(dst, 0, size);
    if (src) {
        size_t n;
        memcpy(&n, src, sizeof n);
        if (n < sizeof n || n > MAX_STRUCT)
            return aios__fail(err, AIOS_EINVAL, "struct_size is %zu: initialise the struct with AIOS_INIT", n);
        const unsigned char *p = src;
        for (size_t i = size; i < n; i++)
            if (p[i])
                return aios__fail(err, AIOS_EVERSION,
                                  "the struct has a field at offset %zu that this library does not know: update libaios", i);
        memcpy(dst, src, n < size ? n : size);
    }
    memcpy(dst, &size, sizeof size);
    return AIOS_OK;
}

int aios__struct_out(void *dst, const void *src, size_t size)
{
    size_t n;
    if (!dst)
        return AIOS_EINVAL;
    memcpy(&n, dst, sizeof n);
    if (n < sizeof n || n > MAX_STRUCT)
        return AIOS_EINVAL;
    if (n > size) {
        memset((char *)dst + size, 0, n - size);
        memcpy((char *)dst + sizeof n, (const char *)src + sizeof n, size - sizeof n);
    } else {
        memcpy((char *)dst + sizeof n, (const char *)src + sizeof n, n - sizeof n);
    }
    return AIOS_OK;
}

int aios__text_in(const char *s, size_t n, size_t *n_out, const char *what, aios_error *err)
{
    if (!s && n && n != AIOS_CSTR)
        return aios__fail(err, AIOS_EINVAL, "%s is NULL but its length is %zu", what, n);
    if (!s)
        n = 0;
    else if (n == AIOS_CSTR)
        n = strlen(s);
    else if (n && memchr(s, 0, n))
        return aios__fail(err, AIOS_EINVAL, "%s contains a NUL byte at offset %zu: remove it", what,
                          (size_t)((const char *)memchr(s, 0, n) - s));
    *n_out = n;
    return AIOS_OK;
}
