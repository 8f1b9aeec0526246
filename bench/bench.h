/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks do alike. */
#ifndef AIOS_BENCH_H
#define AIOS_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <aios/aios.h>

static inline double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/** Ends the program with what went wrong. */
static inline void must(int rc, const aios_error *err)
{
    if (!rc)
        return;
    fprintf(stderr, "%s: %s\n", aios_code_name(rc), err->msg);
    exit(1);
}

/** For qsort of doubles. */
static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
