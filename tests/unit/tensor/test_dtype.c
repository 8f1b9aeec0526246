/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include "tensor/tensor.h"

static void every_row_can_be_looked_up(void **state)
{
    (void)state;
    uint32_t n = 0;
#define X(name_, number, elems, bytes)                                                                                 \
    {                                                                                                                  \
        aios_dtype_info info = AIOS_INIT(aios_dtype_info);                                                             \
        assert_int_equal(aios_dtype_info_get(AIOS_DTYPE_##name_, &info), 0);                                           \
        assert_string_equal(info.name, #name_);                                                                        \
        assert_int_equal(info.block_elems, elems);                                                                     \
        assert_int_equal(info.block_bytes, bytes);                                                                     \
        assert_int_equal(info.quantized, (elems) > 1);                                                                 \
        n++;                                                                                                           \
    }
    AIOS_DTYPES(X)
#undef X
    assert_int_equal(n, 18);
    assert_string_equal(aios__dtype_of(AIOS_DTYPE_U8)->name, "U8");
}

static void unknown_types_are_refused(void **state)
{
    (void)state;
    aios_dtype_info info = AIOS_INIT(aios_dtype_info);
    const int32_t bad[] = {-1, 4, 5, 9, 15, 29, 31, 999, 1001, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(aios_dtype_info_get(bad[i], &info), AIOS_ENOTSUP);
        assert_null(aios__dtype_of(bad[i]));
    }
    assert_int_equal(aios_dtype_info_get(0, NULL), AIOS_EINVAL);
}

static void bytes_are_counted_in_whole_blocks_and_checked(void **state)
{
    (void)state;
    uint64_t n = 0;
    assert_true(aios__dtype_bytes(AIOS_DTYPE_Q4_K, 512, &n));
    assert_int_equal(n, 288);
    assert_true(aios__dtype_bytes(AIOS_DTYPE_F16, 3, &n));
    assert_int_equal(n, 6);
    assert_false(aios__dtype_bytes(AIOS_DTYPE_Q4_K, 255, &n));
    assert_false(aios__dtype_bytes(AIOS_DTYPE_F64, UINT64_MAX / 8 + 1, &n));
    assert_false(aios__dtype_bytes(77, 1, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_can_be_looked_up),
        cmocka_unit_test(unknown_types_are_refused),
        cmocka_unit_test(bytes_are_counted_in_whole_blocks_and_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
