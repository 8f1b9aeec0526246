/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at AVX-VNNI. */
#include <math.h>

#include "kernel/x86/attn_ops256.h"

static inline ivec i_dot(ivec acc, ivec a, ivec b)
{
    return AIOS__DPWSSD256(acc, a, b);
}

#define INIT aios__attn_init_avxvnni
#include "kernel/attn_tile.h"
