/* SPDX-License-Identifier: Apache-2.0 */
/* In place of store_sqlite.c where the build has no SQLite. */
#include "store/store_priv.h"

int aios__store_sqlite_init(aios_ctx *ctx, aios_error *err)
{
    AIOS__UNUSED(ctx);
    AIOS__UNUSED(err);
    return AIOS_OK; /* the registry then says that there is no such store */
}
