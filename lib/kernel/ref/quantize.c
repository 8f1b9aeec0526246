/* SPDX-License-Identifier: Apache-2.0 */
/* Quantization of activations: the specification that every level follows to the bit. */
#include <float.h>
#include <math.h>

#include "kernel/quant.h"

/*
 * 32 floats as token t of a block of width w. Below FLT_MIN * 127 a block counts as zero (its reciprocal scale would overflow).
 * A NaN or infinity gives a non-finite scale, so that it shows in the output.
 */
static void quantize_32(const float *x, uint8_t *blk, uint32_t w, uint32_t t)
{
    uint32_t top = 0;
    for (int i = 0; i < 32; i++) { /* magnitudes compare as integers, and NaN is above all of them */
        uint32_t u;
        memcpy(&u, x + i, 4);
        u &= 0x7fffffff;
        top = u > top ? u : top;
    }
    float max;
    memcpy(&max, &top, 4);
    float d = max / 127.0f, id = 0.0f;
    if (d < FLT_MIN)
        d = 0.0f;
    else if (d <= FLT_MAX)
        id = 1.0f / d;
    int32_t sum[2] = {0, 0};
    int8_t *q = (int8_t *)blk + (size_t)t * 32;
    for (int i = 0; i < 32; i++) {
        float v = x[i] * id;
        v = v > -127.0f ? v : -127.0f; /* NaN too */
        v = v < 127.0f ? v : 127.0f;
        q[i] = (int8_t)lrintf(v);
        sum[i / 16] += q[i];
    }
    aios__act_set(blk, w, t, d, sum[0], sum[1]);
}

static void quantize_ref(const aios__act *a, uint32_t t0, uint32_t t1, uint32_t b0, uint32_t b1)
{
    aios__quantize_singly(quantize_32, a, t0, t1, b0, b1);
}

void aios__quantize_init_ref(aios__kernels *k)
{
    k->quantize = quantize_ref;
}
