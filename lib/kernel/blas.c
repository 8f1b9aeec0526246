/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float GEMM by OpenBLAS, over the same panels: a panel of F32 weights is a row-major cols x 16 matrix. It is not in the kernel table
 * and nothing selects it by itself: its sums depend on the number of tokens and on OpenBLAS's threads, which this file neither sets
 * nor reads. A caller that wants it for large float batches asks aios__blas_gemm, and does so from one thread. The library is loaded
 * when it is first asked for: at the start of every process it would cost 2 ms and 3 MiB.
 */
#include "config.h"
#include "kernel/quant.h"

#if AIOS_HAVE_OPENBLAS
#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>

typedef __typeof__(&cblas_sgemm) sgemm_fn;

/* NULL if this machine lacks OpenBLAS. Once loaded it stays. */
static sgemm_fn find_sgemm(void)
{
    sgemm_fn fn = NULL;
    void *so = dlopen("libopenblas.so.0", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    void *p = so ? dlsym(so, "cblas_sgemm") : NULL;
    memcpy(&fn, &p, sizeof fn);
    if (so)
        dlclose(so);
    return fn;
}

static void gemm_blas(const aios__panels *w, uint32_t p0, uint32_t p1, const aios__act *a, float *out, size_t ld_out)
{
    sgemm_fn sgemm = find_sgemm();
    for (uint32_t p = p0; sgemm && p < p1; p++) {
        uint32_t row = p * AIOS__PANEL_ROWS, left = w->rows - row;
        const float *b = (const float *)(const void *)(w->data + p * w->panel_bytes);
        sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)a->n_tokens, (int)(left < 16 ? left : 16), (int)a->k, 1.0f, a->x,
              (int)a->ld, b, AIOS__PANEL_ROWS, 0.0f, out + row, (int)ld_out);
    }
}

aios__gemm_fn *aios__blas_gemm(const aios__panels *w, const aios__act *a, size_t ld_out)
{
    if (w->dtype != AIOS_DTYPE_F32 || a->ld > INT_MAX || ld_out > INT_MAX || a->n_tokens > INT_MAX || a->k > INT_MAX)
        return NULL;
    return find_sgemm() ? gemm_blas : NULL;
}
#else
aios__gemm_fn *aios__blas_gemm(const aios__panels *w, const aios__act *a, size_t ld_out)
{
    AIOS__UNUSED(w);
    AIOS__UNUSED(a);
    AIOS__UNUSED(ld_out);
    return NULL;
}
#endif
