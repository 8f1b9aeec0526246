/* SPDX-License-Identifier: Apache-2.0 */
/* Dequantizers and panels against vectors of another implementation (tools/golden_dequant.py). */
#include "../test.h"

#include "kernel/kernel.h"

typedef struct golden {
    uint32_t dtype, n, n_bytes;
    uint8_t *bytes;
    float *x;
} golden;

static bool next(FILE *f, golden *g)
{
    if (fread(g, 4, 3, f) != 3)
        return false;
    g->bytes = malloc(g->n_bytes);
    g->x = malloc(g->n * sizeof(float));
    assert_int_equal(fread(g->bytes, 1, g->n_bytes, f), g->n_bytes);
    assert_int_equal(fread(g->x, 4, g->n, f), g->n);
    return true;
}
static void done(golden *g)
{
    free(g->bytes);
    free(g->x);
}

static FILE *open_golden(void)
{
    FILE *f = fopen(getenv("AIOS_TEST_GOLDEN"), "rb");
    assert_non_null(f);
    return f;
}

static void dequantize_equals_the_reference_package(void **state)
{
    AIOS__UNUSED(state);
    FILE *f = open_golden();
    golden g;
    int n = 0;
    for (; next(f, &g); n++) {
        float *x = malloc(g.n * sizeof(float));
        assert_int_equal(aios__dequantize((int32_t)g.dtype, g.bytes, g.n, x), AIOS_OK);
        for (uint32_t i = 0; i < g.n; i++)
            if (x[i] != g.x[i])
                fail_msg("dtype %u element %u: %a, expected %a", g.dtype, i, (double)x[i], (double)g.x[i]);
        free(x);
        done(&g);
    }
    assert_int_equal(n, 13);
    fclose(f);
}

/* The vectors as rows of 256 elements, in panels: every row comes back, whatever the number of rows. */
static void panels_give_their_rows_back(void **state)
{
    AIOS__UNUSED(state);
    FILE *f = open_golden();
    golden g;
    while (next(f, &g)) {
        for (uint32_t rows = 1; rows <= g.n / 256; rows++) {
            uint32_t cols = 256;
            size_t bytes = aios__panel_bytes((int32_t)g.dtype, cols);
            assert_int_not_equal(bytes, 0);
            uint8_t *data = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
            aios__panel_pack((int32_t)g.dtype, g.bytes, rows, cols, data);
            aios__panels w = {(int32_t)g.dtype, rows, cols, 1, bytes, data, NULL, 0};
            for (uint32_t r = 0; r < rows; r++) {
                float x[256];
                aios__panel_row(&w, r, x);
                assert_memory_equal(x, g.x + r * cols, sizeof x);
            }
            free(data);
        }
        done(&g);
    }
    fclose(f);
}

static void impossible_shapes_have_no_panel(void **state)
{
    AIOS__UNUSED(state);
    assert_int_equal(aios__panel_bytes(AIOS_DTYPE_Q4_K, 128), 0);
    assert_int_equal(aios__panel_bytes(AIOS_DTYPE_Q8_0, 33), 0);
    assert_int_equal(aios__panel_bytes(AIOS_DTYPE_F32, 0), 0);
    assert_int_equal(aios__panel_bytes(AIOS_DTYPE_I32, 32), 0);
    assert_int_equal(aios__dequantize(AIOS_DTYPE_Q8_0, NULL, 31, NULL), AIOS_EINVAL);
    assert_int_equal(aios__dequantize(AIOS_DTYPE_I32, NULL, 32, NULL), AIOS_ENOTSUP);
}

/* Where BLAS is built in, it agrees with the kernels up to rounding, and writes no row too many. */
static void blas_agrees_with_the_reference(void **state)
{
    AIOS__UNUSED(state);
    enum { ROWS = 21, COLS = 96, N = 9, LD = ROWS + 2 };
    static float src[ROWS * COLS], x[N * COLS], want[N * LD], got[N * LD];
    for (int i = 0; i < ROWS * COLS; i++)
        src[i] = (float)(i * 37 % 101 - 50) / 50.0f;
    for (int i = 0; i < N * COLS; i++)
        x[i] = (float)(i * 53 % 89 - 44) / 44.0f;
    size_t bytes = aios__panel_bytes(AIOS_DTYPE_F32, COLS);
    uint8_t *data = aligned_alloc(64, 2 * bytes);
    aios__panel_pack(AIOS_DTYPE_F32, src, 16, COLS, data);
    aios__panel_pack(AIOS_DTYPE_F32, src + 16 * COLS, ROWS - 16, COLS, data + bytes);
    aios__panels w = {AIOS_DTYPE_F32, ROWS, COLS, 2, bytes, data, NULL, 0};
    aios__act a = {N, COLS, x, COLS, NULL};
    aios__gemm_fn *blas = aios__blas_gemm(&w, &a, LD);
    if (blas) {
        aios__kernels ref;
        aios__kernels_init(&ref, 1u << AIOS__ISA_SCALAR);
        ref.gemm_f32(&w, 0, 2, &a, want, LD);
        blas(&w, 0, 2, &a, got, LD);
        for (int i = 0; i < N * LD; i++)
            assert_float_equal(got[i], want[i], 1e-4);
    }
    free(data);
    if (!blas)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dequantize_equals_the_reference_package),
        cmocka_unit_test(panels_give_their_rows_back),
        cmocka_unit_test(impossible_shapes_have_no_panel),
        cmocka_unit_test(blas_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
