/* SPDX-License-Identifier: Apache-2.0 */
/* What a session has computed, in a file beside the journal. Whatever fails here costs a resumed run time and nothing else. */
#include <stdio.h>

#include "agent/agent_priv.h"

enum { FIRST = 256, SHARE = 4 };

static bool make_path(const aios_run *r, char *out, size_t n)
{
    int k = snprintf(out, n, "%s/run-%s.kv", r->agent->cache_dir ? r->agent->cache_dir : "", r->id);
    return r->journal && r->agent->cache_dir && k > 0 && (size_t)k < n;
}

static void tell(const aios_run *r, const char *what, const aios_error *why)
{
    aios__log(r->agent->ctx, AIOS_LOG_WARN, "run %s: its session was not %s, which costs time when it is resumed: %s", r->id, what, why->msg);
}

/* A save writes the whole, so it must have grown by a share of itself: what is written in all stays within SHARE + 1 times its end. */
void aios__keep_save(aios_run *r)
{
    char path[4096];
    aios_error why = AIOS_INIT(aios_error);
    uint64_t had = r->journal ? r->journal->kept : 0;
    if (r->n_context < had + FIRST || r->n_context - had < had / SHARE || !make_path(r, path, sizeof path))
        return;
    r->journal->kept = r->n_context; /* also where it fails: not each turn again */
    int rc = aios_session_save(r->session, path, &why);
    if (rc && rc != AIOS_ENOTSUP)
        tell(r, "saved", &why);
}

void aios__keep_load(aios_run *r)
{
    char path[4096];
    aios_error why = AIOS_INIT(aios_error);
    if (!make_path(r, path, sizeof path))
        return;
    int rc = aios_session_load(r->session, path, &why);
    if (rc && rc != AIOS_ENOENT && rc != AIOS_ENOTSUP)
        tell(r, "loaded", &why);
}

void aios__keep_drop(aios_run *r)
{
    char path[4096];
    int32_t sys;
    const aios_env *env = aios__ctx_env(r->agent->ctx);
    if (make_path(r, path, sizeof path) && r->journal->kept && env->file_remove)
        env->file_remove(env->user, path, &sys);
}
