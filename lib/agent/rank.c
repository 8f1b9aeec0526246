/* SPDX-License-Identifier: Apache-2.0 */
/* What a run wants of the scheduler of its model. */
#include "agent/agent_priv.h"

int aios__run_rank(aios_run *r, const aios_run_options *o, aios_error *err)
{
    int64_t now = aios__now_ns(aios__ctx_env(r->agent->ctx));
    if (o->deadline_ns < 0)
        return aios__fail(err, AIOS_EINVAL, "deadline_ns of the run is negative: use 0 for none");
    r->priority = o->priority;
    r->wish = !o->deadline_ns ? 0 : o->deadline_ns > INT64_MAX - now ? INT64_MAX : now + o->deadline_ns;
    return AIOS_OK;
}

void aios__run_rank_request(const aios_run *r, aios_request *q)
{
    int64_t left = r->wish ? r->wish - aios__now_ns(aios__ctx_env(r->agent->ctx)) : 0;
    q->priority = r->priority;
    q->deadline_ns = r->wish && left < 1 ? 1 : left; /* too late is most urgent */
}
