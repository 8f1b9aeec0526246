/* SPDX-License-Identifier: Apache-2.0 */
/* Levels of an x86 CPU: Intel SDM volume 2A, CPUID; volume 1, 13.2 (XCR0). */
#include "device/device_priv.h"

enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6 };

static bool has(uint32_t reg, uint32_t bits)
{
    return (reg & bits) == bits;
}

uint32_t aios__x86_levels(const aios__x86_regs *r)
{
    enum {
        FMA = 1u << 12, OSXSAVE = 1u << 27, AVX = 1u << 28, F16C = 1u << 29, /* leaf 1 ecx */
        AVX2 = 1u << 5, BMI2 = 1u << 8,                                      /* leaf 7 ebx */
        AVX512F = 1u << 16, AVX512DQ = 1u << 17, AVX512BW = 1u << 30,
        AVX512_VNNI = 1u << 11,                  /* leaf 7 ecx */
        AVX_VNNI = 1u << 4, AVX512_BF16 = 1u << 5 /* leaf 7.1 eax */
    };
    const uint32_t avx512vl = 1u << 31;
    uint32_t levels = 1u << AIOS__ISA_SCALAR;
    if (r->max_leaf < 7 || !has(r->l1_ecx, (uint32_t)FMA | OSXSAVE | AVX | F16C) || !has(r->l7_ebx, (uint32_t)AVX2 | BMI2) ||
        (r->xcr0 & XCR0_YMM) != XCR0_YMM)
        return levels;
    levels |= 1u << AIOS__ISA_AVX2;
    if (has(r->l7_1_eax, AVX_VNNI))
        levels |= 1u << AIOS__ISA_AVXVNNI;
    if (!has(r->l7_ebx, (uint32_t)AVX512F | AVX512DQ | AVX512BW | avx512vl) || (r->xcr0 & XCR0_ZMM) != XCR0_ZMM)
        return levels;
    levels |= 1u << AIOS__ISA_AVX512;
    if (!has(r->l7_ecx, AVX512_VNNI))
        return levels;
    levels |= 1u << AIOS__ISA_AVX512VNNI;
    if (has(r->l7_1_eax, AVX512_BF16))
        levels |= 1u << AIOS__ISA_AVX512BF16;
    return levels;
}

#if defined(__x86_64__)
#include <cpuid.h>

uint32_t aios__cpu_detect(void)
{
    aios__x86_regs r = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(0, &r.max_leaf, &b, &c, &d) || !__get_cpuid(1, &a, &b, &r.l1_ecx, &d))
        return 1u << AIOS__ISA_SCALAR;
    if (r.l1_ecx & 1u << 27) {
        uint32_t lo, hi;
        __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
        r.xcr0 = (uint64_t)hi << 32 | lo;
    }
    if (r.max_leaf >= 7) {
        uint32_t max_sub;
        __cpuid_count(7, 0, max_sub, r.l7_ebx, r.l7_ecx, r.l7_edx);
        if (max_sub >= 1)
            __cpuid_count(7, 1, r.l7_1_eax, b, c, d);
    }
    return aios__x86_levels(&r);
}

void aios__cpu_names(char vendor[32], char model[96])
{
    uint32_t r[12] = {0}, max, b, c, d;
    vendor[0] = model[0] = 0;
    if (!__get_cpuid(0, &max, &b, &c, &d))
        return;
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    vendor[12] = 0;
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
            return;
    memcpy(model, r, sizeof r);
    model[48] = 0;
    size_t lead = strspn(model, " ");
    memmove(model, model + lead, 49 - lead);
    for (size_t n = strlen(model); n && model[n - 1] == ' ';)
        model[--n] = 0;
}
#elif !defined(__aarch64__)
uint32_t aios__cpu_detect(void)
{
    return 1u << AIOS__ISA_SCALAR;
}

void aios__cpu_names(char vendor[32], char model[96])
{
    vendor[0] = model[0] = 0;
}
#endif
