/* SPDX-License-Identifier: Apache-2.0 */
#include "base/nearest.h"

#include <string.h>

enum { LONGEST = 63, FAR = 3 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment; three rows of its table. Both at most LONGEST. */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t d[3][LONGEST + 1];
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = d[i % 3], *above = d[(i + 2) % 3], *before = d[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(least(row[j - 1], above[j]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return d[n % 3][m];
}

const char *aios__nearest(const char *s, size_t n, const char *const *words, size_t n_words)
{
    const char *best = NULL;
    size_t bound = least(n / 3 + 1, FAR);
    for (size_t i = 0; i < n_words && n <= LONGEST; i++) {
        size_t m = strlen(words[i]), d = m <= LONGEST ? distance(s, n, words[i], m) : FAR;
        best = d < bound ? words[i] : best;
        bound = least(d, bound);
    }
    return best;
}
