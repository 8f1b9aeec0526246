/* SPDX-License-Identifier: Apache-2.0 */
/* Growth of typed arrays with 32-bit counts. */
#ifndef AIOS_LIB_LLM_ARRAY_H
#define AIOS_LIB_LLM_ARRAY_H

#include "base/base.h"

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
    size_t n = *cap ? (size_t)*cap * 2 : 16;
    n = n < need ? need : n > max ? max : n;
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
