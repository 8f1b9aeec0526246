/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readable GEMM: for each block of 32 k an exact integer dot product, then float steps in a fixed order. Every other level
 * makes the same steps, so that results are equal to the bit.
 */
#include <math.h>

#include "kernel/split.h"

/* Adds block s to the sums of the w tokens of a tile. */
static void block_add(const aios__format *f, const aios__sub *s, const uint8_t *blk, uint32_t w, float *acc)
{
    float d = aios__f16_float(s->d), m = aios__f16_float(s->m) * (float)f->min;
    for (uint32_t t = 0; t < w; t++) {
        const int8_t *q = (const int8_t *)blk + (size_t)t * 32;
        int32_t dot[2] = {0, 0};
        float da, ds;
        int16_t bs[2];
        for (int i = 0; i < 32; i++)
            dot[i / 16] += ((int32_t)s->q[i] - f->zp) * q[i];
        memcpy(&da, blk + aios__act_at(w, t, AIOS__ACT_D), 4);
        memcpy(&ds, blk + aios__act_at(w, t, AIOS__ACT_DS), 4);
        memcpy(bs, blk + aios__act_at(w, t, AIOS__ACT_BS), 4);
        if (f->pairs) {
            acc[t] = fmaf((float)(dot[0] * s->sc[0] + dot[1] * s->sc[1]) * da, d, acc[t]);
            if (f->min)
                acc[t] = fmaf((float)(bs[0] * s->mn[0] + bs[1] * s->mn[1]) * da, m, acc[t]);
        } else {
            acc[t] = fmaf((float)(dot[0] + dot[1]) * da, d * (float)s->sc[0], acc[t]);
            if (f->min)
                acc[t] = fmaf(m * (float)s->mn[0], ds, acc[t]);
        }
    }
}

static void row_quant(const aios__format *f, const aios__panels *m, uint32_t p, uint32_t r, const aios__act *a, float *out, size_t ld_out)
{
    for (uint32_t t0 = 0; t0 < a->n_tokens; t0 += AIOS__ACT_TILE) {
        uint32_t w = aios__act_width(a, t0);
        const uint8_t *blk = aios__act_tile(a, t0);
        float acc[AIOS__ACT_TILE] = {0};
        for (uint32_t b = 0; b < a->k / 32; b++, blk += (size_t)w * AIOS__ACT_TOKEN) {
            aios__sub s;
            aios__block_fetch(f, m, p, b, r, &s);
            block_add(f, &s, blk, w, acc);
        }
        for (uint32_t t = 0; t < w; t++)
            out[(t0 + t) * ld_out] = acc[t];
    }
}

static void row_float(const aios__format *f, const uint8_t *panel, uint32_t r, const aios__act *a, float *out, size_t ld_out)
{
    for (uint32_t t = 0; t < a->n_tokens; t++) {
        const float *x = a->x + t * a->ld;
        float acc = 0;
        for (size_t k = 0; k < a->k; k++) {
            float v;
            aios__dequantize(f->dtype, panel + (k * AIOS__PANEL_ROWS + r) * f->block_bytes, 1, &v);
            acc = fmaf(v, x[k], acc);
        }
        out[t * ld_out] = acc;
    }
}

static void gemm_ref(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)
{
    const aios__format *f = aios__format_of(w->dtype);
    for (uint32_t p = p0; p < p1; p++) {
        const uint8_t *panel = w->data + p * w->panel_bytes;
        for (uint32_t r = 0; r < AIOS__PANEL_ROWS && p * AIOS__PANEL_ROWS + r < w->rows; r++) {
            float *o = out + p * AIOS__PANEL_ROWS + r;
            if (f->planes[0])
                row_quant(f, w, p, r, a, o, ld_out);
            else
                row_float(f, panel, r, a, o, ld_out);
        }
    }
}

void aios__gemm_init_ref(aios__kernels *k)
{
    k->gemm_f32 = k->gemm_f16 = k->gemm_bf16 = gemm_ref;
    k->gemm_q4_0 = k->gemm_q4_1 = k->gemm_q5_0 = k->gemm_q5_1 = k->gemm_q8_0 = gemm_ref;
    k->gemm_split = gemm_ref;
    k->gemm_q2_k = k->gemm_q3_k = k->gemm_q4_k = k->gemm_q5_k = k->gemm_q6_k = gemm_ref;
}
