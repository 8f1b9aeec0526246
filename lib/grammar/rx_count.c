/* SPDX-License-Identifier: Apache-2.0 */
/* How many texts an expression has, length by length. */
#include "grammar/rx.h"

#define LENGTHS 300u
#define STATES 256u

typedef struct level {
    uint32_t state[STATES], count[STATES], n;
} level;

static bool add(level *l, uint32_t state, uint32_t count, uint32_t limit)
{
    uint32_t i = 0;
    while (i < l->n && l->state[i] != state)
        i++;
    if (i == STATES)
        return false;
    uint64_t sum = (i < l->n ? l->count[i] : 0) + (uint64_t)count;
    l->count[i] = sum > limit ? limit : (uint32_t)sum;
    l->state[i] = state;
    l->n += i == l->n;
    return true;
}

int aios__rx_count(aios__rx *x, uint32_t e, uint32_t limit, uint32_t *n, aios_error *err)
{
    level at = {.state = {e}, .count = {1}, .n = 1}, next;
    uint64_t found = 0;
    const uint32_t *row;
    int rc = AIOS_OK;
    *n = limit;
    if (e == AIOS__RX_NOTHING)
        at.n = 0;
    for (uint32_t k = 0; k < LENGTHS && at.n && found < limit; k++) {
        next.n = 0;
        for (uint32_t i = 0; i < at.n; i++) {
            found += aios__rx_ends(x, at.state[i]) ? at.count[i] : 0;
            rc = aios__rx_row(x, at.state[i], &row, err);
            if (rc)
                return rc;
            for (uint32_t c = 0; c < 256; c++)
                if (row[c] != AIOS__RX_NOTHING && !add(&next, row[c], at.count[i], limit))
                    return AIOS_OK; /* too many ways to be few texts */
        }
        at = next;
        uint64_t begun = 0; /* each beginning has an end of its own */
        for (uint32_t i = 0; i < at.n; i++)
            begun += at.count[i];
        if (found + begun >= limit)
            return AIOS_OK;
    }
    if (!at.n && found < limit)
        *n = (uint32_t)found;
    return AIOS_OK;
}
