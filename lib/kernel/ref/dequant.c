/* SPDX-License-Identifier: Apache-2.0 */
/* The GGUF block formats: the one place that knows how codes and scales lie in a file. */
#include "kernel/quant.h"

#define ROW(name, block, bytes, p0, p1, zp, min, pairs, head, scales, sub) \
    {AIOS_DTYPE_##name, block, bytes, {p0, p1}, zp, min, pairs, head, scales, sub}
static const aios__format formats[] = {
    ROW(F32, 1, 4, 0, 0, 0, 0, 0, 0, 0, 64),
    ROW(F16, 1, 2, 0, 0, 0, 0, 0, 0, 0, 32),
    ROW(BF16, 1, 2, 0, 0, 0, 0, 0, 0, 0, 32),
    ROW(Q4_0, 32, 18, 4, 0, 8, 0, 0, 0, 256, 288),
    ROW(Q4_1, 32, 20, 4, 0, 0, 1, 0, 0, 256, 320),
    ROW(Q5_0, 32, 22, 4, 1, 16, 0, 0, 0, 320, 352),
    ROW(Q5_1, 32, 24, 4, 1, 0, 1, 0, 0, 320, 384),
    ROW(Q8_0, 32, 34, 8, 0, 128, 0, 0, 0, 512, 544),
    ROW(Q2_K, 256, 84, 2, 0, 0, -1, 1, 64, 128, 160),
    ROW(Q3_K, 256, 110, 2, 1, 4, 0, 1, 32, 192, 224),
    ROW(Q4_K, 256, 144, 4, 0, 0, -1, 0, 64, 256, 288),
    ROW(Q5_K, 256, 176, 4, 1, 0, -1, 0, 64, 320, 352),
    ROW(Q6_K, 256, 210, 4, 2, 32, 0, 1, 32, 384, 416),
};

const aios__format *aios__format_of(int32_t dtype)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(formats); i++)
        if (formats[i].dtype == dtype)
            return &formats[i];
    return NULL;
}

float aios__f16_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 1023, u;
    float f;
    if (exp == 0) { /* zero or denormal: man * 2^-24 is exact */
        f = (float)man * 0x1p-24f;
        memcpy(&u, &f, 4);
        u |= sign;
    } else {
        u = sign | (exp == 31 ? 255u << 23 : (exp + 112) << 23) | man << 13;
    }
    memcpy(&f, &u, 4);
    return f;
}

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}
static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
}

/* 16 bytes of nibbles: low ones are elements 0..15, high ones 16..31; `high`: a fifth bit for each element. */
static void nibbles(const uint8_t *p, uint32_t high, uint8_t q[32])
{
    for (int j = 0; j < 16; j++) {
        q[j] = (uint8_t)((p[j] & 15) | (high >> j & 1) << 4);
        q[j + 16] = (uint8_t)(p[j] >> 4 | (high >> (j + 16) & 1) << 4);
    }
}

static void sub_q4_0(const uint8_t *p, uint32_t i, aios__sub *s)
{
    AIOS__UNUSED(i);
    s->d = u16_at(p);
    nibbles(p + 2, 0, s->q);
}
static void sub_q4_1(const uint8_t *p, uint32_t i, aios__sub *s)
{
    AIOS__UNUSED(i);
    s->d = u16_at(p);
    s->m = u16_at(p + 2);
    nibbles(p + 4, 0, s->q);
}
static void sub_q5_0(const uint8_t *p, uint32_t i, aios__sub *s)
{
    AIOS__UNUSED(i);
    s->d = u16_at(p);
    nibbles(p + 6, u32_at(p + 2), s->q);
}
static void sub_q5_1(const uint8_t *p, uint32_t i, aios__sub *s)
{
    AIOS__UNUSED(i);
    s->d = u16_at(p);
    s->m = u16_at(p + 2);
    nibbles(p + 8, u32_at(p + 4), s->q);
}
static void sub_q8_0(const uint8_t *p, uint32_t i, aios__sub *s)
{
    AIOS__UNUSED(i);
    s->d = u16_at(p);
    for (int j = 0; j < 32; j++)
        s->q[j] = p[2 + j] ^ 0x80;
}

/* 2 bits of element j of sub-block i: 32 bytes serve 128 elements, two bits for each group of 32. */
static uint8_t two_bits(const uint8_t *qs, uint32_t i, uint32_t j)
{
    return qs[32 * (i / 4) + j] >> (2 * (i % 4)) & 3;
}
static void sub_q2_k(const uint8_t *p, uint32_t i, aios__sub *s)
{
    for (uint32_t j = 0; j < 32; j++)
        s->q[j] = two_bits(p + 16, i, j);
    for (int h = 0; h < 2; h++) {
        s->sc[h] = p[2 * i + h] & 15;
        s->mn[h] = p[2 * i + h] >> 4;
    }
    s->d = u16_at(p + 80);
    s->m = u16_at(p + 82);
}
static void sub_q3_k(const uint8_t *p, uint32_t i, aios__sub *s)
{
    for (uint32_t j = 0; j < 32; j++) /* the mask bit says "do not subtract 4", so it is bit 2 of the unsigned code */
        s->q[j] = (uint8_t)(two_bits(p + 32, i, j) | (p[j] >> i & 1) << 2);
    const uint8_t *sc = p + 96; /* 16 scales of 6 bits: low nibbles in 8 bytes, two high bits in 4 */
    for (uint32_t h = 0; h < 2; h++) {
        uint32_t n = 2 * i + h;
        int lo = n < 8 ? sc[n] & 15 : sc[n - 8] >> 4;
        int hi = sc[8 + n % 4] >> (2 * (n / 4)) & 3;
        s->sc[h] = (int16_t)((lo | hi << 4) - 32);
    }
    s->d = u16_at(p + 108);
}

/* Q4_K, Q5_K: 8 scales and 8 mins of 6 bits in 12 bytes. */
static void k_scales(const uint8_t *p, uint32_t i, aios__sub *s)
{
    s->d = u16_at(p);
    s->m = u16_at(p + 2);
    p += 4;
    if (i < 4) {
        s->sc[0] = p[i] & 63;
        s->mn[0] = p[i + 4] & 63;
    } else {
        s->sc[0] = (int16_t)((p[i + 4] & 15) | p[i - 4] >> 6 << 4);
        s->mn[0] = (int16_t)(p[i + 4] >> 4 | p[i] >> 6 << 4);
    }
    s->sc[1] = s->sc[0];
    s->mn[1] = s->mn[0];
}
static void sub_q4_k(const uint8_t *p, uint32_t i, aios__sub *s)
{
    k_scales(p, i, s);
    for (uint32_t j = 0; j < 32; j++)
        s->q[j] = p[16 + 32 * (i / 2) + j] >> (4 * (i % 2)) & 15;
}
static void sub_q5_k(const uint8_t *p, uint32_t i, aios__sub *s)
{
    k_scales(p, i, s);
    for (uint32_t j = 0; j < 32; j++)
        s->q[j] = (uint8_t)((p[48 + 32 * (i / 2) + j] >> (4 * (i % 2)) & 15) | (p[16 + j] >> i & 1) << 4);
}
static void sub_q6_k(const uint8_t *p, uint32_t i, aios__sub *s)
{
    const uint8_t *ql = p + 64 * (i / 4) + 32 * (i % 2), *qh = p + 128 + 32 * (i / 4);
    for (uint32_t j = 0; j < 32; j++)
        s->q[j] = (uint8_t)((ql[j] >> (i % 4 < 2 ? 0 : 4) & 15) | (qh[j] >> (2 * (i % 4)) & 3) << 4);
    for (int h = 0; h < 2; h++)
        s->sc[h] = (int8_t)p[192 + 2 * i + h];
    s->d = u16_at(p + 208);
}

typedef void sub_fn(const uint8_t *p, uint32_t i, aios__sub *s);
/* By dtype, as numbered in GGUF. */
static sub_fn *const sub_fns[] = {
    [AIOS_DTYPE_Q4_0] = sub_q4_0, [AIOS_DTYPE_Q4_1] = sub_q4_1, [AIOS_DTYPE_Q5_0] = sub_q5_0, [AIOS_DTYPE_Q5_1] = sub_q5_1,
    [AIOS_DTYPE_Q8_0] = sub_q8_0, [AIOS_DTYPE_Q2_K] = sub_q2_k, [AIOS_DTYPE_Q3_K] = sub_q3_k, [AIOS_DTYPE_Q4_K] = sub_q4_k,
    [AIOS_DTYPE_Q5_K] = sub_q5_k, [AIOS_DTYPE_Q6_K] = sub_q6_k,
};

void aios__sub_decode(const aios__format *f, const uint8_t *p, uint32_t i, aios__sub *s)
{
    s->sc[0] = s->sc[1] = s->mn[0] = s->mn[1] = 1;
    s->m = 0;
    sub_fns[f->dtype](p, i, s);
}

void aios__sub_values(const aios__format *f, const aios__sub *s, float out[32])
{
    float d = aios__f16_float(s->d), m = aios__f16_float(s->m);
    for (int h = 0; h < 2; h++) {
        float dl = d * (float)s->sc[h], ml = m * (float)s->mn[h] * (float)f->min;
        for (int j = 16 * h; j < 16 * h + 16; j++) {
            float v = dl * (float)((int)s->q[j] - f->zp);
            out[j] = f->min ? v + ml : v;
        }
    }
}

static void floats(const aios__format *f, const uint8_t *p, size_t n, float *out)
{
    if (f->dtype == AIOS_DTYPE_F32) {
        memcpy(out, p, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = u16_at(p + 2 * i);
        out[i] = f->dtype == AIOS_DTYPE_F16 ? aios__f16_float(h) : aios__bf16_float(h);
    }
}

int aios__dequantize(int32_t dtype, const void *src, size_t n, float *out)
{
    const aios__format *f = aios__format_of(dtype);
    const uint8_t *p = src;
    if (!f)
        return AIOS_ENOTSUP;
    if (n % f->block)
        return AIOS_EINVAL;
    if (!f->planes[0]) {
        floats(f, p, n, out);
        return AIOS_OK;
    }
    for (size_t b = 0; b < n / f->block; b++, p += f->block_bytes) {
        for (uint32_t i = 0; i < f->block / 32u; i++, out += 32) {
            aios__sub s;
            aios__sub_decode(f, p, i, &s);
            aios__sub_values(f, &s, out);
        }
    }
    return AIOS_OK;
}
