/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE half precision in plain integers. */
#ifndef AIOS_LIB_KERNEL_HALF_H
#define AIOS_LIB_KERNEL_HALF_H

#include <stdint.h>
#include <string.h>

static inline float aios__f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 1023, bits;
    float f;
    if (exp == 0) {
        f = (float)man * 0x1p-24f;
        memcpy(&bits, &f, 4);
        bits |= sign;
    } else if (exp == 31) {
        bits = sign | 0x7f800000u | man << 13 | (man ? 0x400000u : 0);
    } else {
        bits = sign | (exp + 112) << 23 | man << 13;
    }
    memcpy(&f, &bits, 4);
    return f;
}

/* Round to nearest even; NaN stays NaN, too large becomes infinity. */
static inline uint16_t aios__f32_to_f16(float f)
{
    uint32_t b;
    memcpy(&b, &f, 4);
    uint16_t sign = (uint16_t)(b >> 16 & 0x8000);
    b &= 0x7fffffffu;
    if (b >= 0x7f800000u)
        return (uint16_t)(sign | 0x7c00 | (b > 0x7f800000u ? 0x200 | (b >> 13 & 0x3ff) : 0));
    if (b >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00);
    if (b < 0x38800000u) {
        float r, magic = 0.5f; /* the addition rounds to a multiple of 2^-24 */
        memcpy(&r, &b, 4);
        r += magic;
        memcpy(&b, &r, 4);
        return (uint16_t)(sign | (b - 0x3f000000u));
    }
    b += 0xfff + (b >> 13 & 1);
    return (uint16_t)(sign | ((b - 0x38000000u) >> 13));
}

#endif
