/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

int cli_store(const cli *c, aios_ctx *ctx, aios_store **st, uint32_t flags)
{
    aios_store_config cfg = AIOS_INIT(aios_store_config);
    aios_error err = AIOS_INIT(aios_error);
    cfg.flags = flags;
    *st = NULL;
    return c->store && aios_store_open(ctx, c->store, &cfg, st, &err) ? cli_fail(NULL, &err) : 0;
}
