/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of checkasm. */
#ifndef AIOS_CHECKASM_H
#define AIOS_CHECKASM_H

#include "kernel/quant.h"

extern int check_failed;
uint32_t check_random(void);
float check_normal(void);
/** n bytes that end at an unreadable page. */
void *check_guarded(size_t n);
void check_unguard(void *p, size_t n);
double check_seconds(void);
void check_fail(const char *kernel, const char *what);

/** Levels by name; 77: this CPU cannot run it, 1: unknown. Native and emulated builds differ in these two. */
int check_level(const char *name, uint32_t *levels);
void check_kernels(aios__kernels *k, uint32_t levels);

void check_gemm(const aios__kernels *k, const aios__kernels *ref);
void bench_gemm(const aios__kernels *k, const char *level);
void check_vec(const aios__kernels *k, const aios__kernels *ref);
void bench_vec(const aios__kernels *k, const char *level);
void check_attn(const aios__kernels *k, const aios__kernels *ref);
void bench_attn(const aios__kernels *k, const char *level);
void check_split(const aios__kernels *k, const aios__kernels *ref);
void bench_split(const aios__kernels *k, const char *level);
void check_pack(const aios__kernels *k, const aios__kernels *ref);
void bench_pack(const aios__kernels *k, const char *level);

#endif
