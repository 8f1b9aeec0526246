/* SPDX-License-Identifier: Apache-2.0 */
/* What models and tools wrote, as a terminal gets it: nothing in it moves the cursor, hides, colours or reorders what else is shown. */
#include <unistd.h>

#include "cli.h"

#define MARK "\xef\xbf\xbd"

/* Bytes of what is to be seen in place of these: controls but line ends and tabs, C1 controls, marks of direction. 0: it is shown as it is. */
static size_t hidden(const unsigned char *s, size_t n)
{
    if (*s < 0x20 || *s == 0x7f)
        return *s != '\n' && *s != '\t';
    if (n > 1 && s[0] == 0xc2 && s[1] < 0xa0)
        return 2;
    bool marks = n > 2 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xaa && s[2] <= 0xae));
    bool isolates = n > 2 && s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
    return marks || isolates ? 3 : 0;
}

void cli_put_shown(FILE *f, const char *s, size_t n)
{
    if (f == stdout && !isatty(STDOUT_FILENO)) {
        fwrite(s, 1, n, f);
        return;
    }
    for (size_t i = 0, from = 0, k; i <= n; i += k) {
        k = i < n ? hidden((const unsigned char *)s + i, n - i) : 1;
        if (k) {
            fwrite(s + from, 1, i - from, f);
            fputs(i < n ? MARK : "", f);
            from = i + k;
        }
        k = k ? k : 1;
    }
}
