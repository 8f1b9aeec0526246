/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 8-bit panels in two planes. Codes are u = 16 h + l; a panel of high halves is [block][256 bytes of h, two a byte][16 scales] and
 * one of low halves [block][256 bytes of l]. Byte j of a plane holds the codes of bytes j and j + 256 of the block as it was.
 */
#include "kernel/split.h"

#include <math.h>
#include <stdlib.h>

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
 * A low half is at most 7.5 from the 7.5 of the estimate, so a block's is off by at most d * reach, where reach = 7.5 da sum |code|.
 * Rounding: in a block's units d * reach, terms of the estimate add up to at most 48 and those of the product to 17.1, so 2 n + 3 and
 * n + 3 roundings by 2^-24 are less than 1e-5 (n + 2). The last term is for what underflows.
 */
bool aios__bound_reach(const aios__act *a, float *reach)
{
    uint32_t w = aios__act_width(a, 0), n_blocks = a->k / 32;
    const uint8_t *blk = aios__act_tile(a, 0);
    const float most = 7.5f * (1 + 1e-5f * (float)(n_blocks + 2));
    float all = 0;
    for (uint32_t b = 0; b < n_blocks; b++, blk += (size_t)w * AIOS__ACT_TOKEN) {
        for (uint32_t t = 0; t < w; t++) {
            int32_t sum = 0;
            float da, *out = &reach[(size_t)t * n_blocks + b];
            for (uint32_t i = 0; i < 32; i++)
                sum += abs((int8_t)blk[32 * t + i]);
            memcpy(&da, blk + aios__act_at(w, t, AIOS__ACT_D), 4);
            *out = most * da * (float)sum + 1e-30f;
            all += *out;
        }
    }
    return all < 1e30f; /* 48 times this and the largest scale still is a number */
}

/* The bound of row r of the panel at `high`, token t. */
static float bound_row(const aios__bound *x, const uint8_t *high, uint32_t r, uint32_t t)
{
    uint32_t w = aios__act_width(x->a, 0), n_blocks = x->a->k / 32;
    const uint8_t *blk = aios__act_tile(x->a, 0);
    float sum = 0, spread = 0;
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
        spread = fmaf(fabsf(d), x->reach[(size_t)t * n_blocks + b], spread);
    }
    return isnan(sum + spread) ? INFINITY : sum + spread;
}

void aios__bound_ref(const aios__bound *x, uint32_t p0, uint32_t p1)
{
    const aios__panels *w = x->w;
    for (uint32_t p = p0; p < p1; p++) {
        for (uint32_t t = 0; t < x->a->n_tokens; t++) {
            float *upper = &x->upper[(size_t)t * w->n_panels + p];
            *upper = -INFINITY;
            for (uint32_t r = 0; r < AIOS__PANEL_ROWS && p * AIOS__PANEL_ROWS + r < w->rows; r++)
                *upper = fmaxf(*upper, bound_row(x, w->data + p * w->panel_bytes, r, t));
        }
    }
}
