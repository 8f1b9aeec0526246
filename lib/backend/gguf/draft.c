/* SPDX-License-Identifier: Apache-2.0 */
/* Prompt lookup: what followed the last tokens when they stood together before, in the prompt or in the reply. */
#include "backend/gguf/gguf.h"

/* Tokens that must be the same; how far back they are looked for; first length; longest rest. */
enum { GRAM = 3, REACH = 16384, LENGTH = 3, REST_MAX = 64 };

/* Where the last GRAM of n tokens stood before, behind them; 0: nowhere. */
static uint32_t find_before(const aios__kv *kv, uint32_t n)
{
    if (n <= GRAM)
        return 0;
    const int32_t end[GRAM] = {*aios__kv_id(kv, n - 3), *aios__kv_id(kv, n - 2), *aios__kv_id(kv, n - 1)};
    uint32_t first = n > REACH ? n - REACH : 0;
    for (uint32_t i = n - GRAM; i-- > first;)
        if (*aios__kv_id(kv, i) == end[0] && *aios__kv_id(kv, i + 1) == end[1] && *aios__kv_id(kv, i + 2) == end[2])
            return i + GRAM;
    return 0;
}

uint32_t aios__draft_length(aios__draft *d, uint32_t max)
{
    d->length = d->length ? d->length : LENGTH;
    if (d->rest) {
        d->rest--;
        return 0;
    }
    return max < d->length ? max : d->length;
}

uint32_t aios__draft_lookup(const aios__kv *kv, uint32_t n, uint32_t max)
{
    uint32_t from = max ? find_before(kv, n) : 0;
    for (uint32_t i = 0; from && i < max; i++)
        *aios__kv_id(kv, n + i) = *aios__kv_id(kv, from + i); /* runs into its own guesses where the text goes round */
    return from ? max : 0;
}

void aios__draft_score(aios__draft *d, uint32_t n)
{
    if (!d->n)
        return;
    d->n_drafted += d->n;
    d->n_accepted += n;
    if (n == d->n) {
        d->length = 2 * d->length < AIOS__DRAFT_MAX ? 2 * d->length + 1 : AIOS__DRAFT_MAX;
        d->patience = 0;
    } else if (2 * n < d->n) {
        d->length = d->length / 2 ? d->length / 2 : 1;
        d->patience = n ? 0 : 2 * d->patience < REST_MAX ? 2 * d->patience + 2 : REST_MAX;
        d->rest = d->patience;
    }
    d->n = 0;
}
