/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of plain NEON. */
#include "kernel/arm/attn_ops_neon.h"

#define INIT aios__attn_init_neon
/* What those files say of a CPU in words of x86. */
#define _mm_prefetch(p, hint) __builtin_prefetch(p)
#include "kernel/x86/attn_pack.h"
#define AIOS_SIMDE /* sums need no holding: registers of this CPU are many */
#include "kernel/x86/attn_rows.h"
#undef AIOS_SIMDE
#include "kernel/x86/attn_tile.h"
