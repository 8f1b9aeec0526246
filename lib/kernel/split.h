/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lib/kernel: the planes of a split panel and the formula of its bound. */
#ifndef AIOS_LIB_KERNEL_SPLIT_H
#define AIOS_LIB_KERNEL_SPLIT_H

#include "kernel/quant.h"

enum { AIOS__WHOLE_SUB = 544, AIOS__HIGH_SUB = 288, AIOS__LOW_SUB = 256 };
/* A code is 16 h + 7.5 - 128 for a low half that is not known. */
#define AIOS__HIGH_OFFSET (-120.5f)

/** Block b of row r (0 .. 15) of panel p, of a whole or a split matrix. */
void aios__block_fetch(const aios__format *f, const aios__panels *w, uint32_t p, uint32_t b, uint32_t r, aios__sub *s);
void aios__bound_ref(const aios__bound *x, uint32_t p0, uint32_t p1);
void aios__split_init_avx512vnni(aios__kernels *k);

#endif
