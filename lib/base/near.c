/* SPDX-License-Identifier: Apache-2.0 */
/* What a misspelt name was probably meant to be. */
#include "base/base.h"

enum { NEAR = 2, LONG = 32 };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Letters to be put in, left out, replaced or swapped with the next one (optimal string alignment); both shorter than LONG. */
static uint32_t distance(const char *a, size_t n, const char *b, size_t m)
{
    uint32_t d[LONG + 1][LONG + 1];
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (!i || !j) {
                d[i][j] = (uint32_t)(i + j);
                continue;
            }
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

const char *aios__near(const char *name, aios__name_fn *at, const void *user, size_t n_names)
{
    size_t n = strlen(name);
    const char *near = NULL;
    uint32_t best = least(NEAR, (uint32_t)(n < LONG ? n / 2 : 0)) + 1;
    for (size_t i = 0; i < n_names; i++) {
        const char *s = at(user, i);
        uint32_t d = n < LONG && strlen(s) < LONG ? distance(name, n, s, strlen(s)) : UINT32_MAX;
        near = d < best ? s : near;
        best = least(d, best);
    }
    return near;
}
