/* SPDX-License-Identifier: Apache-2.0 */
/* Intrinsics: the compiler's, or (AIOS_SIMDE, in tests) their emulation, so that every level can be checked on any machine. */
#ifndef AIOS_LIB_KERNEL_INTRIN_H
#define AIOS_LIB_KERNEL_INTRIN_H

#ifdef AIOS_SIMDE
#include "simde_all.h"
#else
#include <immintrin.h>
#endif

#endif
