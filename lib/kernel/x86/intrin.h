/* SPDX-License-Identifier: Apache-2.0 */
/* Intrinsics: the compiler's, or (AIOS_SIMDE, in tests) their emulation, so that every level can be checked on any machine. */
#ifndef AIOS_LIB_KERNEL_INTRIN_H
#define AIOS_LIB_KERNEL_INTRIN_H

#include "kernel/unroll.h"

#ifndef AIOS_SIMDE /* else the emulation was included on the command line */
#include <immintrin.h>
#ifdef __AVXVNNI__
#define AIOS__DPBUSD256 _mm256_dpbusd_avx_epi32
#define AIOS__DPWSSD256 _mm256_dpwssd_avx_epi32
#endif
#endif

/* Holds a vector in a register here: the compiler must neither spill sums within a loop for what follows it, nor put factors on the stack. */
#ifdef AIOS_SIMDE
#define HOLD(v) ((void)(v))
#else
#define HOLD(v) __asm__ volatile("" : "+v"(v))
#endif

#endif
