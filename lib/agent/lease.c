/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run's claim of its stream, which some stores give for a while only. Whoever drives the run renews it every third of that time. The thread
 * that drives may be away for one call of a tool that it runs itself, so this third and a call's time must fit into the whole.
 */
#include "agent/agent_priv.h"

#define MIN_TTL_NS INT64_C(60000000000)
#define MAX_TTL_NS INT64_C(3600000000000)

static int64_t now(const aios_run *r)
{
    return aios__now_ns(aios__ctx_env(r->agent->ctx));
}

static int64_t choose_ttl(const aios_limits *l)
{
    int64_t call = l->tool_timeout_ns < MAX_TTL_NS ? l->tool_timeout_ns : MAX_TTL_NS, ttl = call + call / 2;
    return ttl < MIN_TTL_NS ? MIN_TTL_NS : ttl > MAX_TTL_NS ? MAX_TTL_NS : ttl;
}

/* at: before the store was asked, so that it holds no longer here than there. */
static void hold(aios__journal *j, int64_t at)
{
    j->renew_at = at + j->ttl_ns / 3;
    j->held_until = at + j->ttl_ns;
}

int aios__lease_take(aios_run *r, aios_error *err)
{
    aios__journal *j = r->journal;
    aios_claim_args args = AIOS_INIT(aios_claim_args);
    int64_t at = now(r);
    args.ttl_ns = j->ttl_ns = choose_ttl(&r->agent->limits);
    int rc = aios_store_claim(r->agent->store, j->stream, &args, &j->claim, err);
    if (!rc)
        hold(j, at);
    return rc;
}

int64_t aios__lease_due(const aios_run *r)
{
    return r->journal && !r->journal->failed ? r->journal->renew_at : INT64_MAX;
}

/* Another has it, or nobody can tell any more: nothing is written behind this. */
static int lose(aios_run *r, int rc, const aios_error *why, aios_error *err)
{
    r->journal->failed = rc;
    aios__fail_need(err, rc, why->have, why->need,
                    "run %s goes no further, since its claim was not renewed in time (drive a run at least every %lld s); resume it: %s",
                    r->id, (long long)(r->journal->ttl_ns / 3000000000), why->msg);
    if (err)
        err->sys = why->sys;
    return rc;
}

static int renew(aios_run *r, int64_t at, aios_error *err)
{
    aios__journal *j = r->journal;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios_claim_renew(j->claim, &why);
    int64_t over = now(r), next = over + j->ttl_ns / 30; /* it may have taken long to fail */
    if (!rc)
        hold(j, at);
    else if (rc == AIOS_ECONFLICT || over >= j->held_until)
        return lose(r, rc, &why, err);
    else
        j->renew_at = next < j->held_until ? next : j->held_until; /* a store that cannot be reached just now: nobody else gets the claim until then */
    return AIOS_OK;
}

int aios__lease_keep(aios_run *r, aios_error *err)
{
    int64_t due = aios__lease_due(r), at = due < INT64_MAX ? now(r) : 0;
    return at < due ? AIOS_OK : renew(r, at, err);
}
