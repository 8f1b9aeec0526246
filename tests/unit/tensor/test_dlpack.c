/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_test.h"

/* A consumer's and a producer's own view of the structs of DLPack 0.8. */
typedef struct {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
} dl_tensor;
typedef struct dl_managed {
    dl_tensor t;
    void *manager_ctx;
    void (*deleter)(struct dl_managed *);
} dl_managed;

static aios_tensor *make_tensor(aios_ctx *ctx, aios_tensor_desc d, size_t offset)
{
    aios_buffer *buf = make_buffer(ctx, 4096, 0, AIOS_BUFFER_ZERO);
    aios_tensor *t = NULL;
    aios_error err = AIOS_INIT(aios_error);
    d.struct_size = sizeof d;
    if (aios_tensor_new(buf, offset, &d, &t, &err))
        fail_msg("%s", err.msg);
    aios_buffer_unref(buf);
    return t;
}

static void an_export_describes_the_view_and_keeps_it_alive(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_tensor *t = make_tensor(ctx, (aios_tensor_desc){.dtype = AIOS_DTYPE_F32, .n_dims = 3, .ne = {4, 3, 2}, .nb = {4, 32, 200}}, 16);
    float *data = aios_tensor_data(t);
    void *p = NULL;
    assert_int_equal(aios_tensor_to_dlpack(t, &p, NULL), 0);
    dl_managed *m = p;
    aios_tensor_free(t);
    aios_ctx_free(ctx); /* the export alone holds everything now */
    assert_int_equal(m->t.device_type, 1);
    assert_int_equal(m->t.ndim, 3);
    assert_int_equal(m->t.code, 2);
    assert_int_equal(m->t.bits, 32);
    assert_int_equal(m->t.lanes, 1);
    const int64_t shape[] = {2, 3, 4}, strides[] = {50, 8, 1};
    assert_memory_equal(m->t.shape, shape, sizeof shape);
    assert_memory_equal(m->t.strides, strides, sizeof strides);
    assert_ptr_equal((char *)m->t.data + m->t.byte_offset, data);
    data[57] = 8.5f;
    assert_true(((float *)m->t.data)[50 + 8 - 1] == 8.5f);
    m->deleter(m);
    assert_int_equal(h.live, 0);
}

static void every_plain_type_makes_the_round_trip(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const int32_t types[] = {AIOS_DTYPE_F32, AIOS_DTYPE_F16, AIOS_DTYPE_BF16, AIOS_DTYPE_F64, AIOS_DTYPE_I8,
                             AIOS_DTYPE_I16, AIOS_DTYPE_I32, AIOS_DTYPE_I64,  AIOS_DTYPE_U8};
    uint64_t base = used_now(ctx);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        aios_tensor *t = make_tensor(ctx, (aios_tensor_desc){.dtype = types[i], .n_dims = 2, .ne = {5, 7}}, 64), *back = NULL;
        aios_tensor_desc a = AIOS_INIT(aios_tensor_desc), b = AIOS_INIT(aios_tensor_desc);
        void *m = NULL;
        assert_int_equal(aios_tensor_to_dlpack(t, &m, NULL), 0);
        assert_int_equal(aios_tensor_from_dlpack(aios_device_at(ctx, 0), m, &back, NULL), 0);
        aios_tensor_desc_get(t, &a);
        aios_tensor_desc_get(back, &b);
        assert_memory_equal(&a, &b, sizeof a);
        assert_ptr_equal(aios_tensor_data(t), aios_tensor_data(back));
        aios_tensor_free(t);
        aios_tensor_free(back);
        assert_int_equal(used_now(ctx), base);
    }
    aios_ctx_free(ctx);
}

static int n_deleted;
static void count_delete(dl_managed *m)
{
    (void)m;
    n_deleted++;
}

static int64_t shape[8] = {2, 3}, strides[8] = {3, 1};
static float data[64];
static dl_managed foreign(void)
{
    shape[0] = 2;
    shape[1] = 3;
    strides[0] = 3;
    strides[1] = 1;
    for (int i = 0; i < 64; i++)
        data[i] = (float)i;
    return (dl_managed){.t = {.data = data, .device_type = 1, .ndim = 2, .code = 2, .bits = 32, .lanes = 1, .shape = shape, .strides = strides},
                        .deleter = count_delete};
}

static void a_foreign_tensor_is_taken_over_and_deleted_once(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_device *dev = aios_device_at(ctx, 0);
    dl_managed m = foreign();
    aios_tensor *t = NULL, *row = NULL;
    float out[6];
    n_deleted = 0;
    m.t.byte_offset = 8;
    strides[0] = 10;
    strides[1] = 2;
    assert_int_equal(aios_tensor_from_dlpack(dev, &m, &t, NULL), 0);
    assert_int_equal(aios_tensor_read(t, out, sizeof out, NULL), 0);
    const float want[6] = {2, 4, 6, 12, 14, 16};
    assert_memory_equal(out, want, sizeof want);
    assert_int_equal(aios_tensor_slice(t, 1, 1, 1, &row, NULL), 0);
    aios_tensor_free(t);
    assert_int_equal(n_deleted, 0);
    aios_tensor_free(row);
    assert_int_equal(n_deleted, 1);

    m = foreign(); /* compact, without strides, a scalar, without a deleter */
    m.t.strides = NULL;
    assert_int_equal(aios_tensor_from_dlpack(dev, &m, &t, NULL), 0);
    aios_tensor_free(t);
    m.t.ndim = 0;
    m.t.shape = NULL;
    m.deleter = NULL;
    assert_int_equal(aios_tensor_from_dlpack(dev, &m, &t, NULL), 0);
    assert_int_equal(aios_tensor_read(t, out, 4, NULL), 0);
    aios_tensor_free(t);
    assert_int_equal(n_deleted, 2);
    aios_ctx_free(ctx);
}

static void what_cannot_be_imported_stays_the_callers(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_device *dev = aios_device_at(ctx, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_tensor *t = NULL;
    n_deleted = 0;
#define REFUSED(code, change)                                                                                          \
    {                                                                                                                  \
        dl_managed m = foreign();                                                                                      \
        change;                                                                                                        \
        assert_int_equal(aios_tensor_from_dlpack(dev, &m, &t, &err), code);                                            \
        assert_null(t);                                                                                                \
    }
    REFUSED(AIOS_ENOTSUP, m.t.device_type = 2)
    REFUSED(AIOS_ENOTSUP, m.t.code = 5)
    REFUSED(AIOS_ENOTSUP, m.t.bits = 24)
    REFUSED(AIOS_ENOTSUP, m.t.lanes = 4)
    REFUSED(AIOS_ENOTSUP, m.t.ndim = 5)
    REFUSED(AIOS_ENOTSUP, m.t.ndim = -1)
    REFUSED(AIOS_ENOTSUP, shape[0] = 0)
    REFUSED(AIOS_ENOTSUP, shape[1] = -3)
    REFUSED(AIOS_ENOTSUP, strides[0] = -3)
    REFUSED(AIOS_ENOTSUP, strides[1] = 0)
    REFUSED(AIOS_ENOTSUP, m.t.byte_offset = 2)
    REFUSED(AIOS_EINVAL, m.t.data = NULL)
    REFUSED(AIOS_EINVAL, m.t.shape = NULL)
    REFUSED(AIOS_EINVAL, strides[0] = INT64_MAX)
    REFUSED(AIOS_EINVAL, (shape[0] = INT64_MAX, shape[1] = INT64_MAX))
    for (long k = 1; k <= 2; k++) {
        h.fail_at = h.n_allocs + k;
        REFUSED(AIOS_ENOMEM, (void)0)
    }
    h.fail_at = 0;
    assert_int_equal(aios_tensor_from_dlpack(dev, NULL, &t, &err), AIOS_EINVAL);
    assert_int_equal(n_deleted, 0);
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void what_dlpack_cannot_say_is_not_exported(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    void *m = NULL;
    aios_tensor *t = make_tensor(ctx, (aios_tensor_desc){.dtype = AIOS_DTYPE_Q8_0, .n_dims = 1, .ne = {32}}, 0);
    assert_int_equal(aios_tensor_to_dlpack(t, &m, &err), AIOS_ENOTSUP);
    aios_tensor_free(t);
    t = make_tensor(ctx, (aios_tensor_desc){.dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {2, 2}, .nb = {4, 9}}, 0);
    assert_int_equal(aios_tensor_to_dlpack(t, &m, &err), AIOS_ENOTSUP);
    aios_tensor_free(t);
    assert_null(m);
    assert_int_equal(aios_tensor_to_dlpack(NULL, &m, &err), AIOS_EINVAL);
    aios_ctx_free(ctx);
}

static int export_and_import(aios_ctx *ctx, aios_error *err)
{
    aios_buffer_config cfg = {.struct_size = sizeof cfg, .n_bytes = 256};
    aios_tensor_desc d = {.struct_size = sizeof d, .dtype = AIOS_DTYPE_F32, .n_dims = 1, .ne = {64}};
    aios_buffer *b = NULL;
    aios_tensor *t = NULL, *back = NULL;
    void *p = NULL;
    int rc = aios_buffer_alloc(aios_device_at(ctx, 0), &cfg, &b, err);
    if (!rc)
        rc = aios_tensor_new(b, 0, &d, &t, err);
    if (!rc)
        rc = aios_tensor_to_dlpack(t, &p, err);
    if (!rc)
        rc = aios_tensor_from_dlpack(aios_device_at(ctx, 0), p, &back, err);
    if (rc && p)
        ((dl_managed *)p)->deleter(p);
    aios_tensor_free(back);
    aios_tensor_free(t);
    aios_buffer_unref(b);
    return rc;
}

static void refusals_leave_nothing_behind(void **state)
{
    (void)state;
    assert_nothing_leaks_when_memory_runs_out(export_and_import);
    assert_every_budget_is_kept(export_and_import);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_describes_the_view_and_keeps_it_alive),
        cmocka_unit_test(every_plain_type_makes_the_round_trip),
        cmocka_unit_test(a_foreign_tensor_is_taken_over_and_deleted_once),
        cmocka_unit_test(what_cannot_be_imported_stays_the_callers),
        cmocka_unit_test(what_dlpack_cannot_say_is_not_exported),
        cmocka_unit_test(refusals_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
