/* SPDX-License-Identifier: Apache-2.0 */
/* What mutators do alike: random numbers from a seed (xorshift), and bytes put into a text. */
#ifndef AIOS_TESTS_FUZZ_H
#define AIOS_TESTS_FUZZ_H

#include <stdint.h>
#include <string.h>

static uint64_t state; /* not 0; each program sets it first */

static inline uint64_t rng(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/** One of n. */
static inline uint32_t roll(uint32_t n)
{
    return (uint32_t)((rng() >> 20) % n);
}

/** Puts len bytes at `at` into the n bytes of s, if they are then no more than max; how many there are. */
static inline size_t insert(char *s, size_t n, size_t max, size_t at, const char *what, size_t len)
{
    if (n + len > max)
        return n;
    memmove(s + at + len, s + at, n - at);
    memcpy(s + at, what, len);
    return n + len;
}

#endif
