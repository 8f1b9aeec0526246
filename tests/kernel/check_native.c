/* SPDX-License-Identifier: Apache-2.0 */
/* checkasm over the library's own objects: what this CPU can run. */
#include <string.h>

#include "checkasm.h"

int check_level(const char *name, uint32_t *levels)
{
    uint32_t best = aios__cpu_levels_best();
    for (uint32_t i = 0; i < AIOS__ISA_COUNT; i++) {
        if (strcmp(name, aios__isa_name(i)))
            continue;
        if (aios__isa_cap(name, levels, NULL))
            return 1;
        return best & 1u << i ? 0 : 77;
    }
    return 1;
}

void check_kernels(aios__kernels *k, uint32_t levels)
{
    aios__kernels_init(k, levels & aios__cpu_levels_best());
}
