/* SPDX-License-Identifier: Apache-2.0 */
/* Growth of typed arrays with 32-bit counts. */
#ifndef AIOS_LIB_LLM_ARRAY_H
#define AIOS_LIB_LLM_ARRAY_H

#include "base/base.h"

/** What is compiled and what it is made from take no more together: 32 MiB but for what is too small to be counted. */
#define AIOS__COMPILE_BYTES ((size_t)31 << 20)

/** ELIMIT with both numbers if compiling takes more bytes than it may. */
static inline int aios__compile_fits(size_t bytes, aios_error *err)
{
    if (bytes <= AIOS__COMPILE_BYTES)
        return AIOS_OK;
    return aios__fail_need(err, AIOS_ELIMIT, AIOS__COMPILE_BYTES, bytes, "compiling it takes %zu bytes of memory and more, of %zu allowed: make it smaller", bytes,
                           AIOS__COMPILE_BYTES);
}

/** Code of a failed allocation that has filled err. */
static inline int aios__oom(const aios_error *err)
{
    return err && err->code < 0 ? err->code : AIOS_ENOMEM;
}

/** Where a hash begins to look in a table of `size` slots, a power of two. */
static inline uint32_t aios__slot(uint64_t hash, uint32_t size)
{
    return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (size - 1);
}

/** Elements that an array of `cap` has room for once it has grown. */
static inline size_t aios__grown(uint32_t cap, size_t need, size_t max)
{
    size_t n = cap ? (size_t)cap * 2 : 16;
    return n < need ? need : n > max ? max : n;
}

/** Bytes by which it grows for that. */
static inline size_t aios__growth(uint32_t cap, size_t need, size_t max, size_t size)
{
    return need <= cap || need > max ? 0 : (aios__grown(cap, need, max) - cap) * size;
}

/**
 * Makes room for `need` elements of `size` bytes in the array *pp (pointer to a typed pointer). ELIMIT past max.
 * New elements are not cleared.
 */
static inline int aios__grow(aios__heap *h, void *pp, uint32_t *cap, size_t need, size_t max, size_t size,
                             const char *what, aios_error *err)
{
    if (need <= *cap)
        return AIOS_OK;
    if (need > max)
        return aios__fail_need(err, AIOS_ELIMIT, max, need, "more than %zu %s: make it simpler", max, what);
    size_t n = aios__grown(*cap, need, max);
    void *p;
    memcpy(&p, pp, sizeof p);
    p = aios__realloc(h, AIOS_MEM_OTHER, p, n * size, err);
    if (!p)
        return aios__oom(err);
    memcpy(pp, &p, sizeof p);
    *cap = (uint32_t)n;
    return AIOS_OK;
}

#endif
