/* SPDX-License-Identifier: Apache-2.0 */
/* checkasm over kernels compiled with emulated intrinsics (emulate.h): the levels above AVX2, where this CPU
 * has no more than that. */
#include <string.h>

#include "checkasm.h"

void emulated_gemm_init_avxvnni(aios__kernels *k);
void emulated_gemm_init_avx512(aios__kernels *k);
void emulated_gemm_init_avx512vnni(aios__kernels *k);
void emulated_quantize_init_avx512(aios__kernels *k);
void emulated_vec_init_avx512(aios__kernels *k);
void emulated_attn_init_avxvnni(aios__kernels *k);
void emulated_attn_init_avx512(aios__kernels *k);
void emulated_attn_init_avx512vnni(aios__kernels *k);
void emulated_split_init_avx512vnni(aios__kernels *k);

static const struct {
    uint32_t isa;
    void (*init)(aios__kernels *k);
} rows[] = {
    {AIOS__ISA_AVXVNNI, emulated_gemm_init_avxvnni},
    {AIOS__ISA_AVX512, emulated_gemm_init_avx512},
    {AIOS__ISA_AVX512, emulated_quantize_init_avx512},
    {AIOS__ISA_AVX512, emulated_vec_init_avx512},
    {AIOS__ISA_AVXVNNI, emulated_attn_init_avxvnni},
    {AIOS__ISA_AVX512, emulated_attn_init_avx512},
    {AIOS__ISA_AVX512VNNI, emulated_gemm_init_avx512vnni},
    {AIOS__ISA_AVX512VNNI, emulated_attn_init_avx512vnni},
    {AIOS__ISA_AVX512VNNI, emulated_split_init_avx512vnni},
};

int check_level(const char *name, uint32_t *levels)
{
    if (!(aios__cpu_levels_best() & 1u << AIOS__ISA_AVX2))
        return 77;
    for (uint32_t i = AIOS__ISA_AVXVNNI; i <= AIOS__ISA_AVX512VNNI; i++) {
        if (!strcmp(name, aios__isa_name(i))) {
            *levels = 1u << i;
            return 0;
        }
    }
    return 1;
}

/* Only the level itself over the reference, so that nothing of a lower one hides a missing field. */
void check_kernels(aios__kernels *k, uint32_t levels)
{
    aios__kernels_init(k, 1u << AIOS__ISA_SCALAR);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (levels & 1u << rows[i].isa)
            rows[i].init(k);
    k->levels = levels;
}
