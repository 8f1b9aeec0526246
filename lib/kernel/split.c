/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8-bit panels in two planes. Codes are u = 16 h + l; a panel of high halves is [block][256 bytes of h, two a byte][16 scales] and
 * one of low halves [block][256 bytes of l]. Byte j of a plane holds the codes of bytes j and j + 256 of the block as it was.
 */
#include "kernel/split.h"

#include <math.h>

void aios__panel_split(const uint8_t *panel, uint32_t cols, uint8_t *high, uint8_t *low)
{
    for (uint32_t b = 0; b < cols / 32; b++, panel += AIOS__WHOLE_SUB, high += AIOS__HIGH_SUB, low += AIOS__LOW_SUB) {
        for (uint32_t j = 0; j < 256; j++) {
            high[j] = (uint8_t)(panel[j] >> 4 | (panel[j + 256] & 0xf0));
            low[j] = (uint8_t)((panel[j] & 15) | panel[j + 256] << 4);
        }
        memcpy(high + 256, panel + 512, 32);
    }
}

void aios__panel_merge(const uint8_t *high, const uint8_t *low, uint32_t cols, uint8_t *panel)
{
    for (uint32_t b = 0; b < cols / 32; b++, panel += AIOS__WHOLE_SUB, high += AIOS__HIGH_SUB, low += AIOS__LOW_SUB) {
        for (uint32_t j = 0; j < 256; j++) {
            panel[j] = (uint8_t)(high[j] << 4 | (low[j] & 15));
            panel[j + 256] = (uint8_t)((high[j] & 0xf0) | low[j] >> 4);
        }
        memcpy(panel + 512, high + 256, 32);
    }
}

void aios__split_set(aios__panels *w)
{
    size_t n_blocks = w->cols / 32;
    w->panel_bytes = n_blocks * AIOS__HIGH_SUB;
    w->low_bytes = n_blocks * AIOS__LOW_SUB;
    w->low = w->data + w->n_panels * w->panel_bytes;
}

/*
 * Low halves are near 0 .. 15 alike, variance 21.25 about 7.5, and their products with a token's codes add up as independent ones do.
 * A fifth more is for rows that are less even.
 */
void aios__bound_energy(const aios__act *a, float *energy)
{
    uint32_t w = aios__act_width(a, 0), n_blocks = a->k / 32;
    const uint8_t *blk = aios__act_tile(a, 0);
    for (uint32_t b = 0; b < n_blocks; b++, blk += (size_t)w * AIOS__ACT_TOKEN) {
        for (uint32_t t = 0; t < w; t++) {
            int32_t sum = 0;
            float da;
            for (uint32_t i = 0; i < 32; i++)
                sum += (int8_t)blk[32 * t + i] * (int8_t)blk[32 * t + i];
            memcpy(&da, blk + aios__act_at(w, t, AIOS__ACT_D), 4);
            energy[(size_t)t * n_blocks + b] = 1.2f * 21.25f * da * da * (float)sum;
        }
    }
}

/* Estimate and its spread for row r of the panel at `high`, token t. */
static void bound_row(const aios__bound *x, const uint8_t *high, uint32_t r, uint32_t t, float *est, float *spread)
{
    uint32_t w = aios__act_width(x->a, 0), n_blocks = x->a->k / 32;
    const uint8_t *blk = aios__act_tile(x->a, 0);
    float sum = 0, var = 0;
    for (uint32_t b = 0; b < n_blocks; b++, high += AIOS__HIGH_SUB, blk += (size_t)w * AIOS__ACT_TOKEN) {
        int32_t dot = 0;
        uint16_t h;
        float da, ds;
        memcpy(&h, high + 256 + 2 * r, 2);
        memcpy(&da, blk + aios__act_at(w, t, AIOS__ACT_D), 4);
        memcpy(&ds, blk + aios__act_at(w, t, AIOS__ACT_DS), 4);
        for (uint32_t k = 0; k < 32; k++)
            dot += (high[64 * (k / 4 % 4) + 4 * r + k % 4] >> 4 * (k / 16) & 15) * (int8_t)blk[32 * t + k];
        float d = aios__f16_float(h);
        sum = fmaf((float)dot * da, 16 * d, sum);
        sum = fmaf(AIOS__HIGH_OFFSET * d, ds, sum);
        var = fmaf(d * d, x->energy[(size_t)t * n_blocks + b], var);
    }
    *est = sum;
    *spread = x->sigmas * sqrtf(var);
}

void aios__bound_ref(const aios__bound *x, uint32_t p0, uint32_t p1)
{
    const aios__panels *w = x->w;
    for (uint32_t p = p0; p < p1; p++) {
        for (uint32_t t = 0; t < x->a->n_tokens; t++) {
            float *upper = &x->upper[(size_t)t * w->n_panels + p], est, spread;
            *upper = -INFINITY;
            for (uint32_t r = 0; r < AIOS__PANEL_ROWS && p * AIOS__PANEL_ROWS + r < w->rows; r++) {
                bound_row(x, w->data + p * w->panel_bytes, r, t, &est, &spread);
                *upper = est + spread > *upper ? est + spread : *upper;
                x->lower[t] = est - spread > x->lower[t] ? est - spread : x->lower[t];
            }
        }
    }
}
