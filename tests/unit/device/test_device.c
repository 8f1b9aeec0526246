/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"

#include <math.h>

#include "device/device_priv.h"
#include "kernel/kernel.h"

/* A device of the host's memory with as few slots as are allowed. */
static int n_closed, n_freed;
static size_t give_less;
static uint32_t flags_told = AIOS_DEVICE_HOST_MEMORY;

static int tiny_info(void *self, aios_device_info *out, aios_error *err)
{
    (void)self;
    (void)err;
    out->type = AIOS_DEVICE_OTHER;
    out->flags = flags_told;
    return AIOS_OK;
}

static int tiny_alloc(void *self, const aios_device_alloc_args *args, aios_device_mem *out, aios_error *err)
{
    (void)self;
    (void)err;
    assert_false(args->flags & AIOS_BUFFER_LAZY);
    out->n_bytes = args->n_bytes + 100 - give_less;
    out->ptr = aligned_alloc(64, (args->n_bytes + 163) / 64 * 64);
    return AIOS_OK;
}

static void tiny_free(void *self, aios_device_mem *mem)
{
    (void)self;
    n_freed++;
    free(mem->ptr);
}

static void tiny_close(void *self)
{
    (void)self;
    n_closed++;
}

static aios_device_ops tiny_ops(void)
{
    return (aios_device_ops){.struct_size = sizeof(aios_device_ops), .name = "tiny", .info = tiny_info, .alloc = tiny_alloc, .free = tiny_free, .close = tiny_close};
}

static void slots_left_out_have_their_defaults(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_device_ops ops = tiny_ops();
    ops.struct_size = offsetof(aios_device_ops, commit); /* made before that slot existed */
    n_closed = 0;
    assert_int_equal(aios_device_register(ctx, &ops, NULL, &err), 0);
    assert_int_equal(aios_device_count(ctx), 2);
    aios_device *dev = aios_device_at(ctx, 1);
    aios_buffer_config cfg = {.struct_size = sizeof cfg, .n_bytes = 9000, .flags = AIOS_BUFFER_LAZY};
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &before);
    aios_buffer *buf = NULL;
    assert_int_equal(aios_buffer_alloc(dev, &cfg, &buf, &err), 0); /* LAZY means nothing to it */
    aios_ctx_usage(ctx, &after);
    assert_true(after.used - before.used >= 9100);
    assert_int_equal(aios_buffer_commit(buf, 9000, &err), 0);
    assert_int_equal(aios_device_fill(dev, aios_buffer_mem(buf), 1, 8998, 7, &err), 0);
    unsigned char *p = aios_buffer_data(buf);
    for (int i = 1; i < 8999; i++)
        assert_int_equal(p[i], 7);
    uint64_t event = 99;
    assert_int_equal(aios_device_event_record(dev, &event, &err), 0);
    assert_int_equal(aios_device_event_wait(dev, event, 0, &err), 0);
    aios_buffer_unref(buf);
    aios_ctx_free(ctx);
    assert_int_equal(n_closed, 1);
}

static void what_does_not_fit_together_is_not_registered(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_device_ops ops = tiny_ops();
    n_closed = 0;
#define REFUSED(code, change)                                                                                          \
    {                                                                                                                  \
        ops = tiny_ops();                                                                                              \
        change;                                                                                                        \
        assert_int_equal(aios_device_register(ctx, &ops, NULL, &err), code);                                           \
    }
    REFUSED(AIOS_EINVAL, ops.name = NULL)
    REFUSED(AIOS_EINVAL, ops.name = "")
    REFUSED(AIOS_EINVAL, ops.name = "0123456789012345678901234567890123456789012345678901234567890123")
    REFUSED(AIOS_EINVAL, ops.info = NULL)
    REFUSED(AIOS_EINVAL, ops.alloc = NULL)
    REFUSED(AIOS_EINVAL, ops.free = NULL)
    REFUSED(AIOS_EINVAL, ops.struct_size = 0)
    REFUSED(AIOS_EINVAL, ops.event_record = aios__device_cpu_ops.event_record)
    REFUSED(AIOS_EEXIST, ops.name = "cpu")
    flags_told = 0;
    REFUSED(AIOS_EINVAL, (void)0) /* neither copy nor host memory */
    flags_told = AIOS_DEVICE_HOST_MEMORY;
    assert_int_equal(aios_device_register(NULL, &ops, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_device_register(ctx, NULL, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_device_count(ctx), 1);
    assert_int_equal(n_closed, 0); /* what was refused stays the caller's */
    aios_ctx_free(ctx);
}

static void a_full_registry_says_so(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    aios_error err = AIOS_INIT(aios_error);
    char name[16];
    int rc = 0;
    for (uint32_t i = 1; !rc; i++) {
        aios_device_ops ops = tiny_ops();
        snprintf(name, sizeof name, "tiny%u", i);
        ops.name = name;
        rc = aios_device_register(ctx, &ops, NULL, &err);
        assert_int_equal(rc, i < AIOS__MAX_DEVICES ? 0 : AIOS_ELIMIT);
    }
    assert_int_equal(aios_device_count(ctx), AIOS__MAX_DEVICES);
    assert_null(aios_device_at(ctx, AIOS__MAX_DEVICES));
    assert_null(aios_device_at(NULL, 0));
    assert_int_equal(aios_device_count(NULL), 0);
    aios_ctx_free(ctx);
    assert_int_equal(h.live, 0);
}

static void a_device_that_gives_too_little_is_caught(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_device_ops ops = tiny_ops();
    aios_buffer_config cfg = {.struct_size = sizeof cfg, .n_bytes = 500};
    aios_buffer *buf = NULL;
    aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = AIOS_INIT(aios_mem_usage);
    assert_int_equal(aios_device_register(ctx, &ops, NULL, &err), 0);
    aios_ctx_usage(ctx, &before);
    n_freed = 0;
    give_less = 101;
    assert_int_equal(aios_buffer_alloc(aios_device_at(ctx, 1), &cfg, &buf, &err), AIOS_EPROTO);
    give_less = 0;
    assert_int_equal(n_freed, 1);
    aios_ctx_usage(ctx, &after);
    assert_int_equal(before.used, after.used);
    aios_ctx_free(ctx);
}

static void a_context_without_memory_for_its_devices_is_refused(void **state)
{
    (void)state;
    int rc = AIOS_ENOMEM;
    for (long k = 1; rc; k++) {
        test_heap h = {.fail_at = k};
        aios_env env = AIOS_INIT(aios_env);
        aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
        aios_error err = AIOS_INIT(aios_error);
        aios_ctx *ctx = NULL;
        env.user = &h;
        env.realloc = heap_realloc;
        cfg.env = &env;
        rc = aios_ctx_new(&cfg, &ctx, &err);
        assert_true(!rc || (rc == AIOS_ENOMEM && !ctx));
        aios_ctx_free(ctx);
        assert_int_equal(h.live, 0);
    }
}

/* ---- the CPU's matmul over every type of weights ------------------------------------------------------------------------- */

static uint32_t random_state = 7;
static uint8_t random_byte(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint8_t)(random_state >> 24);
}

static void matmul_reads_every_type_as_its_format_says(void **state)
{
    (void)state;
    enum { K = 512, N = 3, M = 2 };
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_device *dev = aios_device_at(ctx, 0);
    static const struct {
        int32_t id;
        uint32_t elems, bytes;
    } types[] = {
#define X(name, number, n, b) {number, n, b},
        AIOS_DTYPES(X)
#undef X
    };
    static float x[M * K], w[K], y[M * N];
    static uint8_t weights[N * K * 8] __attribute__((aligned(64)));
    uint32_t n_done = 0;
    for (int i = 0; i < M * K; i++)
        x[i] = (float)(random_byte() % 5) - 2;
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        size_t row = (size_t)K / types[t].elems * types[t].bytes;
        for (size_t i = 0; i < N * row; i++)
            weights[i] = random_byte() & 0x3f; /* small in every format: no NaN, no infinity */
        aios_device_mem mem[3] = {{sizeof mem[0], x, sizeof x, NULL}, {sizeof mem[0], weights, sizeof weights, NULL}, {sizeof mem[0], y, sizeof y, NULL}};
        const aios_device_mem *in[2] = {&mem[0], &mem[1]};
        const size_t offset[2] = {0, 0};
        aios_tensor_desc in_desc[2] = {{.struct_size = sizeof in_desc[0], .dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {K, M}},
                                       {.struct_size = sizeof in_desc[0], .dtype = types[t].id, .n_dims = 2, .ne = {K, N}}},
                         out_desc = {.struct_size = sizeof out_desc, .dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {N, M}};
        aios_device_kernel_args a = {.struct_size = sizeof a, .op = "matmul", .n_in = 2, .in = in, .in_offset = offset, .in_desc = in_desc, .out = &mem[2], .out_desc = &out_desc};
        aios_error err = AIOS_INIT(aios_error);
        int rc = aios_device_kernel(dev, &a, &err);
        if (aios__dequantize(types[t].id, weights, K, w)) {
            assert_true(rc == AIOS_ENOTSUP || types[t].elems == 1);
            continue;
        }
        if (rc)
            fail_msg("type %d: %s", types[t].id, err.msg);
        n_done++;
        for (int n = 0; n < N; n++) {
            assert_int_equal(aios__dequantize(types[t].id, weights + (size_t)n * row, K, w), 0);
            for (int m = 0; m < M; m++) {
                double want = 0, size = 0;
                for (int k = 0; k < K; k++) {
                    want += (double)x[m * K + k] * (double)w[k];
                    size += fabs((double)x[m * K + k] * (double)w[k]);
                }
                assert_true(fabs(want - (double)y[m * N + n]) <= 1e-5 * size);
            }
        }
    }
    assert_true(n_done >= 12);
    aios_ctx_free(ctx);
}

static void half_floats_are_read_exactly(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const struct {
        int32_t dtype;
        uint16_t bits;
        float value;
    } rows[] = {{AIOS_DTYPE_F16, 0x3c00, 1}, {AIOS_DTYPE_F16, 0xc000, -2}, {AIOS_DTYPE_F16, 0x0001, 0x1p-24f}, {AIOS_DTYPE_F16, 0x8200, -0x1p-15f},
                {AIOS_DTYPE_F16, 0x7bff, 65504}, {AIOS_DTYPE_F16, 0x7c00, INFINITY}, {AIOS_DTYPE_BF16, 0x3f80, 1}, {AIOS_DTYPE_BF16, 0xc049, -3.140625f}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float x = 1, y = 0;
        uint16_t w = rows[i].bits;
        aios_device_mem mem[3] = {{sizeof mem[0], &x, 4, NULL}, {sizeof mem[0], &w, 2, NULL}, {sizeof mem[0], &y, 4, NULL}};
        const aios_device_mem *in[2] = {&mem[0], &mem[1]};
        const size_t offset[2] = {0, 0};
        aios_tensor_desc d[3] = {{.struct_size = sizeof d[0], .n_dims = 1, .ne = {1}}, {.struct_size = sizeof d[0], .dtype = rows[i].dtype, .n_dims = 1, .ne = {1}},
                                 {.struct_size = sizeof d[0], .n_dims = 1, .ne = {1}}};
        aios_device_kernel_args a = {.struct_size = sizeof a, .op = "matmul", .n_in = 2, .in = in, .in_offset = offset, .in_desc = d, .out = &mem[2], .out_desc = &d[2]};
        assert_int_equal(aios_device_kernel(aios_device_at(ctx, 0), &a, NULL), 0);
        assert_true(y == rows[i].value);
    }
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_left_out_have_their_defaults),
        cmocka_unit_test(what_does_not_fit_together_is_not_registered),
        cmocka_unit_test(a_full_registry_says_so),
        cmocka_unit_test(a_device_that_gives_too_little_is_caught),
        cmocka_unit_test(a_context_without_memory_for_its_devices_is_refused),
        cmocka_unit_test(matmul_reads_every_type_as_its_format_says),
        cmocka_unit_test(half_floats_are_read_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
