/* SPDX-License-Identifier: Apache-2.0 */
/* In place of memory_sqlite.c where the build has no SQLite. */
#include "memory/memory.h"

int aios__memory_init(aios_ctx *ctx, aios_error *err)
{
    AIOS__UNUSED(ctx);
    AIOS__UNUSED(err);
    return AIOS_OK; /* aios__memory_kind_find says that there is none */
}
