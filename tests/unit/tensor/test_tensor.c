/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_test.h"

#define DESC(...) ((aios_tensor_desc){.struct_size = sizeof(aios_tensor_desc), __VA_ARGS__})

static aios_ctx *ctx;
static aios_buffer *buf;
static int32_t *values; /* 1000 of them, each its own index */

static int setup(void **state)
{
    (void)state;
    ctx = test_ctx(NULL, 0);
    buf = make_buffer(ctx, 4000, 0, AIOS_BUFFER_ZERO);
    values = aios_buffer_data(buf);
    for (int32_t i = 0; i < 1000; i++)
        values[i] = i;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_buffer_unref(buf);
    aios_ctx_free(ctx);
    return 0;
}

static aios_tensor *view(size_t offset, aios_tensor_desc d)
{
    aios_tensor *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    if (aios_tensor_new(buf, offset, &d, &t, &err))
        fail_msg("%s", err.msg);
    return t;
}

static void a_contiguous_view_completes_its_strides(void **state)
{
    (void)state;
    aios_tensor *t = view(40, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 3, .ne = {5, 4, 3}));
    aios_tensor_desc d = AIOS_INIT(aios_tensor_desc);
    int32_t out[60];
    assert_int_equal(aios_tensor_desc_get(t, &d), 0);
    assert_int_equal(d.nb[0], 4);
    assert_int_equal(d.nb[1], 20);
    assert_int_equal(d.nb[2], 80);
    assert_ptr_equal(aios_tensor_data(t), values + 10);
    assert_int_equal(aios_tensor_read(t, out, sizeof out, NULL), 0);
    for (int i = 0; i < 60; i++)
        assert_int_equal(out[i], 10 + i);
    aios_tensor_free(t);
}

static void strided_and_transposed_views_are_read_in_order(void **state)
{
    (void)state;
    int32_t out[12];
    aios_tensor *t = view(0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {3, 4}, .nb = {4, 40}));
    assert_int_equal(aios_tensor_read(t, out, sizeof out, NULL), 0);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(out[r * 3 + c], r * 10 + c);
    aios_tensor_free(t);
    t = view(0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {4, 3}, .nb = {40, 4})); /* its transpose */
    assert_int_equal(aios_tensor_read(t, out, sizeof out, NULL), 0);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++)
            assert_int_equal(out[r * 4 + c], c * 10 + r);
    aios_tensor_free(t);
}

static void a_write_touches_only_its_view(void **state)
{
    (void)state;
    const int32_t in[6] = {-1, -2, -3, -4, -5, -6};
    aios_tensor *t = view(400, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 3, .ne = {1, 2, 3}, .nb = {4, 8, 40}));
    assert_int_equal(aios_tensor_write(t, in, sizeof in, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        int r = (i - 100) / 10, c = (i - 100) % 10;
        bool inside = i >= 100 && r < 3 && (c == 0 || c == 2);
        assert_int_equal(values[i], inside ? -(r * 2 + c / 2 + 1) : i);
    }
    aios_tensor_free(t);
}

static void a_slice_is_a_view_of_the_same_memory(void **state)
{
    (void)state;
    aios_tensor *t = view(0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 3, .ne = {10, 10, 10})), *a = NULL, *b = NULL;
    int32_t out[4];
    assert_int_equal(aios_tensor_slice(t, 2, 3, 2, &a, NULL), 0);
    assert_int_equal(aios_tensor_slice(a, 1, 9, 1, &b, NULL), 0);
    aios_tensor_free(a);
    assert_int_equal(aios_tensor_slice(b, 0, 4, 2, &a, NULL), 0);
    aios_tensor_free(b);
    aios_tensor_free(t); /* the slice holds the buffer */
    assert_int_equal(aios_tensor_read(a, out, sizeof out, NULL), 0);
    const int32_t want[4] = {394, 395, 494, 495};
    assert_memory_equal(out, want, sizeof want);
    aios_tensor_free(a);
}

static void blocks_are_not_split(void **state)
{
    (void)state;
    aios_tensor *t = view(0, DESC(.dtype = AIOS_DTYPE_Q8_0, .n_dims = 2, .ne = {64, 3})), *s = NULL;
    aios_error err = AIOS_INIT(aios_error);
    unsigned char out[102];
    assert_int_equal(aios_tensor_slice(t, 0, 16, 32, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(t, 0, 32, 16, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(t, 0, 32, 32, &s, &err), 0);
    assert_int_equal(aios_tensor_read(s, out, sizeof out, &err), 0);
    for (int r = 0; r < 3; r++)
        assert_memory_equal(out + 34 * r, (char *)values + 68 * r + 34, 34);
    aios_tensor_free(s);
    aios_tensor_free(t);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const struct {
        size_t offset;
        aios_tensor_desc d;
        int rc;
    } rows[] = {
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 1, .ne = {1001}), AIOS_EINVAL},
        {4, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 1, .ne = {1000}), AIOS_EINVAL},
        {SIZE_MAX, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 1, .ne = {1}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {1, 2}, .nb = {4, 3997}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 0, .ne = {1}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 5, .ne = {1}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 1, .ne = {0}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 1, .ne = {1, 2}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {2, 2}, .nb = {4, 0}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {UINT64_MAX, UINT64_MAX}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {2, 2}, .nb = {4, UINT64_MAX}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 4, .ne = {1ull << 32, 1ull << 32, 1, 1}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_Q4_K, .n_dims = 1, .ne = {100}), AIOS_EINVAL},
        {0, DESC(.dtype = AIOS_DTYPE_Q4_K, .n_dims = 1, .ne = {512}, .nb = {145}), AIOS_EINVAL},
        {0, DESC(.dtype = 777, .n_dims = 1, .ne = {1}), AIOS_ENOTSUP},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        aios_tensor *t = NULL;
        aios_error err = AIOS_INIT(aios_error);
        assert_int_equal(aios_tensor_new(buf, rows[i].offset, &rows[i].d, &t, &err), rows[i].rc);
        assert_null(t);
        assert_true(err.msg[0]);
    }
}

static void slices_and_copies_of_a_wrong_size_are_refused(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_tensor *t = view(0, DESC(.dtype = AIOS_DTYPE_I32, .n_dims = 2, .ne = {10, 10})), *s = NULL;
    int32_t out[100];
    assert_int_equal(aios_tensor_slice(t, 2, 0, 1, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(t, 1, 0, 0, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(t, 1, 10, 1, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(t, 1, 5, UINT64_MAX, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_read(t, out, 399, &err), AIOS_EINVAL);
    assert_int_equal(err.need, 400);
    assert_int_equal(aios_tensor_write(t, out, 401, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_read(t, NULL, 400, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_read(NULL, out, 400, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_write(NULL, out, 400, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_slice(NULL, 0, 0, 1, &s, &err), AIOS_EINVAL);
    assert_int_equal(aios_tensor_desc_get(NULL, NULL), AIOS_EINVAL);
    assert_null(aios_tensor_data(NULL));
    aios_tensor_free(NULL);
    aios_tensor_free(t);
}

static void what_is_not_committed_is_not_read(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *lazy = make_buffer(ctx, 1 << 20, 0, AIOS_BUFFER_LAZY);
    aios_tensor_desc d = DESC(.dtype = AIOS_DTYPE_U8, .n_dims = 1, .ne = {100});
    aios_tensor *t = NULL;
    char out[100];
    assert_int_equal(aios_tensor_new(lazy, 5000, &d, &t, &err), 0);
    assert_int_equal(aios_tensor_read(t, out, 100, &err), AIOS_ESTATE);
    assert_int_equal(aios_tensor_write(t, out, 100, &err), AIOS_ESTATE);
    assert_int_equal(aios_buffer_commit(lazy, 5100, &err), 0);
    assert_int_equal(aios_tensor_read(t, out, 100, &err), 0);
    aios_tensor_free(t);
    aios_buffer_unref(lazy);
}

static int make_views(aios_ctx *c, aios_error *err)
{
    aios_buffer_config cfg = {.struct_size = sizeof cfg, .n_bytes = 4096};
    aios_buffer *b = NULL;
    aios_tensor *t = NULL, *s = NULL;
    aios_tensor_desc d = DESC(.dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {16, 16});
    int rc = aios_buffer_alloc(aios_device_at(c, 0), &cfg, &b, err);
    if (!rc)
        rc = aios_tensor_new(b, 0, &d, &t, err);
    if (!rc)
        rc = aios_tensor_slice(t, 0, 1, 4, &s, err);
    aios_buffer_unref(b);
    aios_tensor_free(t);
    aios_tensor_free(s);
    return rc;
}

static void refusals_leave_nothing_behind(void **state)
{
    (void)state;
    assert_nothing_leaks_when_memory_runs_out(make_views);
    assert_every_budget_is_kept(make_views);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_contiguous_view_completes_its_strides, setup, teardown),
        cmocka_unit_test_setup_teardown(strided_and_transposed_views_are_read_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_write_touches_only_its_view, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slice_is_a_view_of_the_same_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_are_not_split, setup, teardown),
        cmocka_unit_test_setup_teardown(shapes_that_do_not_fit_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(slices_and_copies_of_a_wrong_size_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_committed_is_not_read, setup, teardown),
        cmocka_unit_test(refusals_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
