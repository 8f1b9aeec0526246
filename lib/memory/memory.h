/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/memory. */
#ifndef AIOS_LIB_MEMORY_H
#define AIOS_LIB_MEMORY_H

#include <aios/memory.h>

#include "base/base.h"

/** Built-in memories. */
int aios__memory_init(aios_ctx *ctx, aios_error *err);
/** The context of a memory. */
aios_ctx *aios__memory_ctx(const aios_memory *m);

#endif
