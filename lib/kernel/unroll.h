/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that are always inlined, so that their constants choose the code, and loops that are unrolled. */
#ifndef AIOS_LIB_KERNEL_UNROLL_H
#define AIOS_LIB_KERNEL_UNROLL_H

#define AIOS__INLINE static inline __attribute__((always_inline))
#ifdef AIOS_SIMDE
#define AIOS__UNROLL(n) /* emulated bodies are large enough as they are */
#else
#define AIOS__PRAGMA(x) _Pragma(#x)
#define AIOS__UNROLL(n) AIOS__PRAGMA(GCC unroll n)
#endif

#endif
