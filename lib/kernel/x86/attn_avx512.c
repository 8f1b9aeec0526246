/* SPDX-License-Identifier: Apache-2.0 */
/* Attention at AVX-512. */
#include <math.h>

#include "kernel/x86/attn_ops512.h"

static inline ivec i_dot(ivec acc, ivec a, ivec b)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}

#define INIT aios__attn_init_avx512
#include "kernel/attn_tile.h"
