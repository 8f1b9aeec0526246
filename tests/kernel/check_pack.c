/* SPDX-License-Identifier: Apache-2.0 */
/* Packing by words against packing code by code: every type, any number of rows, random bytes between guard pages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkasm.h"
#include "kernel/quant.h"

static const aios__dtype *types[16];

static uint32_t list_types(void)
{
    uint32_t n = 0;
    for (int32_t id = 0; id < AIOS_DTYPE_U8; id++)
        if (aios__panel_bytes(id, 256) && aios__dtype_of(id))
            types[n++] = aios__dtype_of(id);
    return n;
}

static void check_panel(const aios__dtype *t, uint32_t rows, uint32_t cols)
{
    char text[64];
    uint64_t row = 0;
    aios__dtype_bytes(t->id, cols, &row);
    size_t n = aios__panel_bytes(t->id, cols), n_src = (size_t)row * rows;
    uint8_t *src = check_guarded(n_src), *got = check_guarded(n), *want = malloc(n);
    if (!want)
        exit(1);
    for (size_t i = 0; i < n_src; i++)
        src[i] = (uint8_t)check_random();
    memset(got, 0xa5, n);
    aios__panel_pack(t->id, src, rows, cols, got);
    aios__panel_pack_plain(t->id, src, rows, cols, want);
    if (memcmp(got, want, n)) {
        snprintf(text, sizeof text, "%s, %u rows of %u", t->name, rows, cols);
        check_fail("pack", text);
    }
    check_unguard(src, n_src);
    check_unguard(got, n);
    free(want);
}

void check_pack(const aios__kernels *k, const aios__kernels *ref)
{
    AIOS__UNUSED(k);
    AIOS__UNUSED(ref);
    uint32_t n = list_types();
    if (n != 13)
        check_fail("pack", "not all types are there");
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t rows = 1; rows <= 16; rows++)
            for (uint32_t cols = types[i]->block_elems; cols <= 3u * types[i]->block_elems; cols += types[i]->block_elems)
                check_panel(types[i], rows, cols);
}

/* GB/s of the file, a panel that stays in the cache. */
void bench_pack(const aios__kernels *k, const char *level)
{
    enum { COLS = 1536, TIMES = 2000 };
    AIOS__UNUSED(k);
    for (uint32_t i = 0, n = list_types(); i < n; i++) {
        uint64_t row = 0;
        aios__dtype_bytes(types[i]->id, COLS, &row);
        uint8_t *src = calloc(16, (size_t)row), *out = malloc(aios__panel_bytes(types[i]->id, COLS));
        if (!src || !out)
            exit(1);
        double t = check_seconds();
        for (int r = 0; r < TIMES; r++)
            aios__panel_pack(types[i]->id, src, 16, COLS, out);
        t = check_seconds() - t;
        printf("{\"kernel\": \"pack\", \"level\": \"%s\", \"type\": \"%s\", \"gb_s\": %.2f}\n", level, types[i]->name, 16e-9 * (double)row * TIMES / t);
        free(src);
        free(out);
    }
}
