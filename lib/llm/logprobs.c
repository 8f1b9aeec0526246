/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "llm/llm.h"

static int put_bytes(aios__buf *b, const char *s, size_t n, aios_error *err)
{
    aios__buf_adds(b, ",\"bytes\":[", err);
    for (size_t i = 0; i < n; i++)
        aios__buf_addf(b, err, i ? ",%u" : "%u", (unsigned)(unsigned char)s[i]);
    return aios__buf_addc(b, ']', err);
}

int aios__logprob_put(aios__buf *b, const char *s, size_t n, double logprob, aios_error *err)
{
    if (b->n && b->p[b->n - 1] != '[')
        aios__buf_addc(b, ',', err);
    aios__buf_adds(b, "{\"token\":", err);
    aios__buf_add_json(b, s, n, err);
    if (!aios__utf8_valid(s, n))
        put_bytes(b, s, n, err);
    aios__buf_adds(b, ",\"logprob\":", err);
    return aios__buf_add_real(b, logprob > AIOS__LOGPROB_LEAST ? logprob < 0 ? logprob : 0 : AIOS__LOGPROB_LEAST, 7, err); /* NaN too is the least */
}
