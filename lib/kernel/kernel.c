/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel table: which level fills which fields, and which gemm serves which dtype. */
#include "kernel/split.h"
#include "kernel/vec.h"

typedef void init_fn(aios__kernels *k);

/* In order of preference, least first: a later row overrides the fields it fills. */
static const struct {
    uint32_t isa;
    init_fn *init;
} rows[] = {
    {AIOS__ISA_SCALAR, aios__gemm_init_ref},
    {AIOS__ISA_SCALAR, aios__quantize_init_ref},
    {AIOS__ISA_SCALAR, aios__vec_init_ref},
    {AIOS__ISA_SCALAR, aios__attn_init_ref},
#ifdef __x86_64__
    {AIOS__ISA_AVX2, aios__gemm_init_avx2},
    {AIOS__ISA_AVX2, aios__float_init_avx2},
    {AIOS__ISA_AVX2, aios__vec_init_avx2},
    {AIOS__ISA_AVX2, aios__attn_init_avx2},
    {AIOS__ISA_AVXVNNI, aios__gemm_init_avxvnni},
    {AIOS__ISA_AVXVNNI, aios__attn_init_avxvnni},
    {AIOS__ISA_AVX512, aios__gemm_init_avx512},
    {AIOS__ISA_AVX512, aios__quantize_init_avx512},
    {AIOS__ISA_AVX512, aios__vec_init_avx512},
    {AIOS__ISA_AVX512, aios__attn_init_avx512},
    {AIOS__ISA_AVX512VNNI, aios__gemm_init_avx512vnni},
    {AIOS__ISA_AVX512VNNI, aios__attn_init_avx512vnni},
    {AIOS__ISA_AVX512VNNI, aios__split_init_avx512vnni},
#endif
#ifdef __aarch64__
    {AIOS__ISA_NEON, aios__gemm_init_neon},
    {AIOS__ISA_NEON, aios__float_init_neon},
    {AIOS__ISA_NEON, aios__vec_init_neon},
    {AIOS__ISA_NEON, aios__attn_init_neon},
    {AIOS__ISA_DOTPROD, aios__gemm_init_dotprod},
    {AIOS__ISA_I8MM, aios__gemm_init_i8mm},
#endif
};

void aios__kernels_init(aios__kernels *k, uint32_t levels)
{
    memset(k, 0, sizeof *k);
    k->levels = levels | 1u << AIOS__ISA_SCALAR;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (k->levels & 1u << rows[i].isa)
            rows[i].init(k);
}

aios__gemm_fn *aios__gemm_of(const aios__kernels *k, int32_t dtype)
{
    const struct {
        int32_t dtype;
        aios__gemm_fn *fn;
    } map[] = {
        {AIOS_DTYPE_F32, k->gemm_f32},   {AIOS_DTYPE_F16, k->gemm_f16},   {AIOS_DTYPE_BF16, k->gemm_bf16},
        {AIOS_DTYPE_Q4_0, k->gemm_q4_0}, {AIOS_DTYPE_Q4_1, k->gemm_q4_1}, {AIOS_DTYPE_Q5_0, k->gemm_q5_0},
        {AIOS_DTYPE_Q5_1, k->gemm_q5_1}, {AIOS_DTYPE_Q8_0, k->gemm_q8_0}, {AIOS_DTYPE_Q2_K, k->gemm_q2_k},
        {AIOS_DTYPE_Q3_K, k->gemm_q3_k}, {AIOS_DTYPE_Q4_K, k->gemm_q4_k}, {AIOS_DTYPE_Q5_K, k->gemm_q5_k},
        {AIOS_DTYPE_Q6_K, k->gemm_q6_k},
    };
    for (size_t i = 0; i < AIOS__ARRAY_LEN(map); i++)
        if (map[i].dtype == dtype)
            return map[i].fn;
    return NULL;
}
