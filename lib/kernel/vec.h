/* SPDX-License-Identifier: Apache-2.0 */
/* The float families (vec, attn): what each ISA level puts into the table. */
#ifndef AIOS_LIB_KERNEL_VEC_H
#define AIOS_LIB_KERNEL_VEC_H

#include "kernel/kernel.h"

void aios__vec_init_ref(aios__kernels *k);
void aios__attn_init_ref(aios__kernels *k);
void aios__vec_init_avx2(aios__kernels *k);
void aios__attn_init_avx2(aios__kernels *k);
void aios__attn_init_avxvnni(aios__kernels *k);
void aios__vec_init_avx512(aios__kernels *k);
void aios__attn_init_avx512(aios__kernels *k);
void aios__attn_init_avx512vnni(aios__kernels *k);
void aios__vec_init_neon(aios__kernels *k);
void aios__attn_init_neon(aios__kernels *k);

#endif
