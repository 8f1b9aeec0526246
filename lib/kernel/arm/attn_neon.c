/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of plain NEON. */
#include "kernel/arm/attn_ops_neon.h"

#define INIT aios__attn_init_neon
#include "kernel/attn_tile.h"
