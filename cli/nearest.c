/* SPDX-License-Identifier: Apache-2.0 */
/* Which word of a list was meant by a misspelt one. */
#include <string.h>

#include "cli.h"

#define MAX_WORD 63

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to put in, leave out, change, or swap with their neighbour. */
static size_t distance(const char *a, const char *b)
{
    size_t d[3][MAX_WORD + 1], n = strlen(a), m = strlen(b);
    if (n > MAX_WORD || m > MAX_WORD)
        return MAX_WORD;
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

static const char *nearest(const char *word, const char *const *list, size_t n)
{
    const char *best = NULL;
    size_t least_so_far = strlen(word) / 3 + 1;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, list[i]);
        if (d < least_so_far) {
            least_so_far = d;
            best = list[i];
        }
    }
    return best;
}

const char *cli_meant(char out[CLI_MEANT], const char *word, const char *const *list, size_t n, const char *before, const char *after)
{
    const char *meant = nearest(word, list, n);
    *out = 0;
    if (meant)
        snprintf(out, CLI_MEANT, " (did you mean %s%s%s?)", before, meant, after);
    return out;
}
