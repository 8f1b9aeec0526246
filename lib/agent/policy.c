/* SPDX-License-Identifier: Apache-2.0 */
/* The one gate in front of every effect. What is not clearly allowed is denied. */
#include <stdio.h>

#include "agent/agent_priv.h"

static void clean_reason(aios_verdict *v)
{
    v->reason[sizeof v->reason - 1] = 0;
    size_t n = strlen(v->reason);
    n = aios__utf8_whole(v->reason, n);
    v->reason[n] = 0;
    if (!aios__utf8_valid(v->reason, n))
        v->reason[0] = 0;
}

void aios__policy_decide(const aios_policy *p, const aios_action *action, aios_verdict *out)
{
    *out = (aios_verdict)AIOS_INIT(aios_verdict);
    if (!p->decide) {
        out->verdict = action->effect == AIOS_EFFECT_READ ? AIOS_ALLOW : AIOS_ASK;
        return;
    }
    int rc = p->decide(p->user, action, out);
    clean_reason(out);
    if (rc) {
        out->verdict = AIOS_DENY;
        if (!out->reason[0])
            snprintf(out->reason, sizeof out->reason, "the policy failed");
    }
    if (out->verdict != AIOS_ALLOW && out->verdict != AIOS_ASK)
        out->verdict = AIOS_DENY;
}
