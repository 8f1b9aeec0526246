/* SPDX-License-Identifier: Apache-2.0 */
/* Which word of a list was meant by a misspelt one. */
#include <string.h>

#include "base/nearest.h"
#include "cli.h"

const char *cli_meant(char out[CLI_MEANT], const char *word, const char *const *list, size_t n, const char *before, const char *after)
{
    const char *meant = aios__nearest(word, strlen(word), list, n);
    *out = 0;
    if (meant)
        snprintf(out, CLI_MEANT, " (did you mean %s%s%s?)", before, meant, after);
    return out;
}
