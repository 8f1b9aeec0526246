/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GEMMs over float panels, of any vector width. The including file defines MOST and SOME, the tokens that go at once (else one does), and
 *   tile_floats(dtype, panel, x, ld, k, n, out): the panel against n tokens, ld floats apart from x on; sums go to out[n][16].
 */
#ifndef AIOS_LIB_KERNEL_GEMM_FLOATS_H
#define AIOS_LIB_KERNEL_GEMM_FLOATS_H

#include "kernel/gemm_tile.h"

AIOS__INLINE void gemm_floats(const int32_t dtype, const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out,
                              size_t ld_out)
{
    float sums[MOST * AIOS__PANEL_ROWS] __attribute__((aligned(64)));
    for (uint32_t p = p0; p < p1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        uint32_t row = p * AIOS__PANEL_ROWS, n;
        for (uint32_t t = 0; t < a->n_tokens; t += n) {
            uint32_t left = a->n_tokens - t;
            const float *x = a->x + t * a->ld;
            n = left >= MOST ? MOST : left >= SOME ? SOME : 1;
            if (n == MOST)
                tile_floats(dtype, panel, x, a->ld, a->k, MOST, sums);
            else if (n == SOME)
                tile_floats(dtype, panel, x, a->ld, a->k, SOME, sums);
            else
                tile_floats(dtype, panel, x, a->ld, a->k, 1, sums);
            store_rows(sums, n, w->rows - row, out + t * ld_out + row, ld_out);
        }
    }
}

#define AIOS__GEMM_FLOATS(name, DTYPE)                                                                                                    \
    static void gemm_##name(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)               \
    {                                                                                                                                     \
        gemm_floats(DTYPE, w, p0, p1, a, out, ld_out);                                                                                    \
    }
AIOS__GEMM_FLOATS(f32, AIOS_DTYPE_F32)
AIOS__GEMM_FLOATS(f16, AIOS_DTYPE_F16)
AIOS__GEMM_FLOATS(bf16, AIOS_DTYPE_BF16)

AIOS__INLINE void set_floats(aios__kernels *k)
{
    k->gemm_f32 = gemm_f32;
    k->gemm_f16 = gemm_f16;
    k->gemm_bf16 = gemm_bf16;
}

#endif
