/* SPDX-License-Identifier: Apache-2.0 */
/* Levels of an AArch64 CPU: https://docs.kernel.org/arch/arm64/elf_hwcaps.html. */
#include "device/device_priv.h"

#if defined(__aarch64__)
#include <stdio.h>
#include <sys/auxv.h>

uint32_t aios__cpu_detect(void)
{
    const unsigned long asimd = 1ul << 1, asimdhp = 1ul << 10, dotprod = 1ul << 20, i8mm2 = 1ul << 13;
    unsigned long cap = getauxval(AT_HWCAP), cap2 = getauxval(AT_HWCAP2);
    uint32_t levels = 1u << AIOS__ISA_SCALAR;
    if (!(cap & asimd))
        return levels;
    levels |= 1u << AIOS__ISA_NEON;
    if (!(cap & dotprod) || !(cap & asimdhp))
        return levels;
    levels |= 1u << AIOS__ISA_DOTPROD;
    if (cap2 & i8mm2)
        levels |= 1u << AIOS__ISA_I8MM;
    return levels;
}

/* The value of "key : value" in /proc/cpuinfo. */
static void cpuinfo_value(const char *text, const char *key, char *out, size_t n)
{
    const char *p = strstr(text, key);
    out[0] = 0;
    p = p ? strchr(p, ':') : NULL;
    if (!p)
        return;
    p += 1 + strspn(p + 1, " \t");
    snprintf(out, n, "%.*s", (int)strcspn(p, "\n"), p);
}

void aios__cpu_names(char vendor[32], char model[96])
{
    char text[4096], part[32];
    aios__sys_text("", "/proc/cpuinfo", text, sizeof text);
    cpuinfo_value(text, "CPU implementer", vendor, 32);
    cpuinfo_value(text, "CPU part", part, sizeof part);
    snprintf(model, 96, "AArch64 part %s", part);
}
#else
typedef int aios__cpu_arm_is_empty_here;
#endif
