/* SPDX-License-Identifier: Apache-2.0 */
/* The only arithmetic allowed on untrusted sizes: each returns false on overflow. */
#ifndef AIOS_LIB_SIZE_H
#define AIOS_LIB_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool aios__add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool aios__mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool aios__add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool aios__mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
/** Rounds n up to a multiple of align (a power of two). */
static inline bool aios__align_size(size_t n, size_t align, size_t *out)
{
    if (__builtin_add_overflow(n, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}
static inline bool aios__align_u64(uint64_t n, uint64_t align, uint64_t *out)
{
    if (__builtin_add_overflow(n, align - 1, out))
        return false;
    *out &= ~(align - 1);
    return true;
}
static inline bool aios__is_pow2(uint64_t n)
{
    return n && !(n & (n - 1));
}

#endif
