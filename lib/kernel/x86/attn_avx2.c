/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at AVX2. */
#include <math.h>

#include "kernel/x86/attn_ops256.h"

static inline ivec i_dot(ivec acc, ivec a, ivec b)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}

#define INIT aios__attn_init_avx2
#include "kernel/attn_tile.h"
