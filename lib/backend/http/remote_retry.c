/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "backend/http/remote_priv.h"

#define SECOND INT64_C(1000000000)
#define FIRST_WAIT (SECOND / 2)
#define MAX_WAIT (8 * SECOND)
#define MAX_ASKED 60 /* seconds that a server may ask for */

/* What a deadline of ours ended is not tried again: the host has said how long it waits. */
bool aios__retry_helps(int code)
{
    return code == AIOS_EUNAVAIL || code == AIOS_ERATE || code == AIOS_EPROTO;
}

/* Seconds in a Retry-After; -1: absent, a date or no number, which the jitter stands in for. */
static int64_t asked_seconds(const char *s, size_t n)
{
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '.' && i)
            return v + 1;
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v < 1000000000 ? v * 10 + (s[i] - '0') : v;
    }
    return n ? v : -1;
}

int64_t aios__retry_wait(aios_ctx *ctx, uint32_t attempt, const char *retry_after, size_t n)
{
    int64_t asked = retry_after ? asked_seconds(retry_after, n) : -1, bound = FIRST_WAIT;
    uint64_t dice = 0;
    int32_t sys;
    if (asked > MAX_ASKED)
        return -1;
    for (uint32_t i = 1; i < attempt && bound < MAX_WAIT; i++)
        bound *= 2;
    bound = bound < MAX_WAIT ? bound : MAX_WAIT;
    const aios_env *env = aios__ctx_env(ctx);
    if (env->random(env->user, &dice, sizeof dice, &sys))
        dice = (uint64_t)bound / 2;
    int64_t wait = (int64_t)(dice % (uint64_t)bound);
    return asked * SECOND > wait ? asked * SECOND + wait / 8 : wait;
}
