/* SPDX-License-Identifier: Apache-2.0 */
/* What every device must do, through the public headers alone. Run once for the CPU and once for a loaded plugin. */
#include "test.h"

#include <aios/plugin/device.h>

static const char *device_name, *plugin_path;
static aios_ctx *ctx;
static aios_device *dev;
static aios_device_info facts;

static int setup(void **state)
{
    aios_error err = AIOS_INIT(aios_error);
    (void)state;
    ctx = test_ctx(NULL, 256 << 20);
    if (plugin_path && aios_plugin_load(ctx, plugin_path, &err))
        fail_msg("%s", err.msg);
    dev = NULL;
    for (uint32_t i = 0; i < aios_device_count(ctx); i++) {
        facts = (aios_device_info)AIOS_INIT(aios_device_info);
        assert_int_equal(aios_device_info_get(aios_device_at(ctx, i), &facts), 0);
        if (!strcmp(facts.name, device_name)) {
            dev = aios_device_at(ctx, i);
            break;
        }
    }
    assert_non_null(dev);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    aios_ctx_free(ctx);
    return 0;
}

static aios_buffer *make_buffer(size_t n, size_t align, uint32_t flags)
{
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = NULL;
    cfg.n_bytes = n;
    cfg.align = align;
    cfg.flags = flags;
    if (aios_buffer_alloc(dev, &cfg, &buf, &err))
        fail_msg("%s", err.msg);
    return buf;
}

static int to_device(aios_buffer *buf, size_t at, const void *src, size_t n)
{
    aios_device_copy_args a = {.struct_size = sizeof a, .direction = AIOS_COPY_TO_DEVICE, .dst = aios_buffer_mem(buf), .src_host = src,
                               .dst_offset = at, .n_bytes = n};
    return aios_device_copy(dev, &a, NULL);
}

static int to_host(aios_buffer *buf, size_t at, void *dst, size_t n)
{
    aios_device_copy_args a = {.struct_size = sizeof a, .direction = AIOS_COPY_TO_HOST, .src = aios_buffer_mem(buf), .dst_host = dst,
                               .src_offset = at, .n_bytes = n};
    return aios_device_copy(dev, &a, NULL);
}

static int within(aios_buffer *dst, size_t dst_at, aios_buffer *src, size_t src_at, size_t n)
{
    aios_device_copy_args a = {.struct_size = sizeof a, .direction = AIOS_COPY_WITHIN, .dst = aios_buffer_mem(dst), .src = aios_buffer_mem(src),
                               .dst_offset = dst_at, .src_offset = src_at, .n_bytes = n};
    return aios_device_copy(dev, &a, NULL);
}

static uint64_t used_now(void)
{
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_ctx_usage(ctx, &u);
    return u.used;
}

static void the_facts_make_sense(void **state)
{
    (void)state;
    assert_true(facts.name[0] && facts.description);
    assert_true(facts.type >= AIOS_DEVICE_CPU && facts.type <= AIOS_DEVICE_OTHER);
    assert_true(facts.memory_total && facts.memory_free <= facts.memory_total);
    assert_true(facts.alignment && !(facts.alignment & (facts.alignment - 1)));
    assert_true(facts.n_units >= 1);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 7, 64, 4097, 300000, (2 << 20) + 5};
    uint64_t base = used_now();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t align = 1; align <= 4096; align *= 16) {
            size_t n = sizes[i];
            aios_buffer *buf = make_buffer(n, align, 0);
            unsigned char *in = malloc(n), *out = malloc(n);
            for (size_t j = 0; j < n; j++)
                in[j] = (unsigned char)(j * 7 + i);
            assert_true(used_now() >= base + n);
            assert_int_equal(to_device(buf, 0, in, n), 0);
            assert_int_equal(to_host(buf, 0, out, n), 0);
            assert_memory_equal(in, out, n);
            assert_int_equal(to_host(buf, n / 2, out, n - n / 2), 0);
            assert_memory_equal(in + n / 2, out, n - n / 2);
            free(in);
            free(out);
            aios_buffer_unref(buf);
            assert_int_equal(used_now(), base);
        }
}

static void zeroed_memory_is_zero(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 1 << 21; n *= 128) {
        unsigned char *out = malloc(n);
        for (int again = 0; again < 3; again++) {
            aios_buffer *buf = make_buffer(n, 0, AIOS_BUFFER_ZERO);
            assert_int_equal(to_host(buf, 0, out, n), 0);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(out[i], 0);
            memset(out, 0xff, n);
            assert_int_equal(to_device(buf, 0, out, n), 0);
            aios_buffer_unref(buf);
        }
        free(out);
    }
}

static void copies_within_the_device_may_overlap(void **state)
{
    (void)state;
    unsigned char in[1000], out[1000];
    aios_buffer *a = make_buffer(1000, 0, 0), *b = make_buffer(500, 0, 0);
    for (int i = 0; i < 1000; i++)
        in[i] = (unsigned char)(i * 13);
    assert_int_equal(to_device(a, 0, in, 1000), 0);
    assert_int_equal(within(b, 100, a, 300, 400), 0);
    assert_int_equal(to_host(b, 100, out, 400), 0);
    assert_memory_equal(out, in + 300, 400);
    assert_int_equal(within(a, 10, a, 0, 900), 0);
    assert_int_equal(to_host(a, 0, out, 1000), 0);
    assert_memory_equal(out + 10, in, 900);
    assert_memory_equal(out, in, 10);
    assert_memory_equal(out + 910, in + 910, 90);
    aios_buffer_unref(a);
    aios_buffer_unref(b);
}

static void a_fill_touches_only_its_bytes(void **state)
{
    (void)state;
    const size_t n = 10000;
    unsigned char *out = malloc(n);
    aios_buffer *buf = make_buffer(n, 0, AIOS_BUFFER_ZERO);
    assert_int_equal(aios_device_fill(dev, aios_buffer_mem(buf), 17, 9001, 0xc3, NULL), 0);
    assert_int_equal(to_host(buf, 0, out, n), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out[i], i >= 17 && i < 17 + 9001 ? 0xc3 : 0);
    assert_int_equal(aios_device_fill(dev, aios_buffer_mem(buf), 0, aios_buffer_mem(buf)->n_bytes + 1, 1, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_fill(dev, aios_buffer_mem(buf), SIZE_MAX, 2, 1, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_fill(dev, NULL, 0, 1, 1, NULL), AIOS_EINVAL);
    free(out);
    aios_buffer_unref(buf);
}

static void copies_that_reach_outside_are_refused(void **state)
{
    (void)state;
    char host[64] = {0};
    aios_buffer *buf = make_buffer(64, 0, AIOS_BUFFER_ZERO);
    size_t end = aios_buffer_mem(buf)->n_bytes;
    assert_int_equal(to_device(buf, end - 63, host, 64), AIOS_EINVAL);
    assert_int_equal(to_device(buf, SIZE_MAX, host, 2), AIOS_EINVAL);
    assert_int_equal(to_host(buf, end, host, 1), AIOS_EINVAL);
    assert_int_equal(within(buf, 0, buf, end - 1, 2), AIOS_EINVAL);
    assert_int_equal(within(buf, end - 1, buf, 0, 2), AIOS_EINVAL);
    assert_int_equal(to_device(buf, 0, NULL, 1), AIOS_EINVAL);
    assert_int_equal(to_device(buf, end, host, 0), 0);
    aios_device_copy_args a = {.struct_size = sizeof a, .direction = 9, .dst = aios_buffer_mem(buf), .src_host = host, .n_bytes = 1};
    assert_int_equal(aios_device_copy(dev, &a, NULL), AIOS_EINVAL);
    a.direction = AIOS_COPY_TO_DEVICE;
    a.dst_host = host; /* both ends of one side */
    assert_int_equal(aios_device_copy(dev, &a, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_copy(NULL, &a, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_copy(dev, NULL, NULL), AIOS_EINVAL);
    aios_buffer_unref(buf);
}

static void host_addresses_exist_only_where_the_facts_say_so(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = make_buffer(256, 0, AIOS_BUFFER_ZERO), *other = NULL;
    aios_tensor_desc d = {.struct_size = sizeof d, .dtype = AIOS_DTYPE_F32, .n_dims = 1, .ne = {8}};
    aios_tensor *t = NULL;
    aios_arena *arena = NULL;
    void *m = NULL;
    char memory[8];
    int host = !!(facts.flags & AIOS_DEVICE_HOST_MEMORY);
    assert_int_equal(aios_tensor_new(buf, 32, &d, &t, &err), 0);
    assert_int_equal(!aios_buffer_data(buf), !host);
    assert_int_equal(!aios_tensor_data(t), !host);
    int want = host ? AIOS_OK : AIOS_ENOTSUP;
    assert_int_equal(aios_buffer_import(dev, memory, sizeof memory, NULL, NULL, &other, &err), want);
    aios_buffer_unref(other);
    assert_int_equal(aios_arena_new(dev, 0, 0, &arena, &err), want);
    aios_arena_free(arena);
    assert_int_equal(aios_tensor_to_dlpack(t, &m, &err), want);
    aios_tensor_free(t);
    t = NULL;
    if (m) {
        assert_int_equal(aios_tensor_from_dlpack(dev, m, &t, &err), 0);
        aios_tensor_free(t);
    }
    aios_buffer_unref(buf);
}

static void views_are_read_and_written_on_the_device(void **state)
{
    (void)state;
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = make_buffer(400, 0, AIOS_BUFFER_ZERO);
    aios_tensor_desc d = {.struct_size = sizeof d, .dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {10, 10}};
    aios_tensor *t = NULL, *column = NULL;
    float all[100], part[20];
    for (int i = 0; i < 100; i++)
        all[i] = (float)i;
    assert_int_equal(aios_tensor_new(buf, 0, &d, &t, &err), 0);
    aios_buffer_unref(buf);
    assert_int_equal(aios_tensor_write(t, all, sizeof all, &err), 0);
    assert_int_equal(aios_tensor_slice(t, 0, 3, 2, &column, &err), 0);
    assert_int_equal(aios_tensor_read(column, part, sizeof part, &err), 0);
    for (int i = 0; i < 20; i++) {
        assert_true(part[i] == (float)(i / 2 * 10 + 3 + i % 2));
        part[i] = -1;
    }
    assert_int_equal(aios_tensor_write(column, part, sizeof part, &err), 0);
    assert_int_equal(aios_tensor_read(t, all, sizeof all, &err), 0);
    for (int i = 0; i < 100; i++)
        assert_true(all[i] == (i % 10 == 3 || i % 10 == 4 ? -1 : (float)i));
    aios_tensor_free(t);
    aios_tensor_free(column);
}

/* ---- kernels ------------------------------------------------------------------------------------------------------------- */

struct operands {
    aios_buffer *in[2], *out;
    const aios_device_mem *in_mem[2];
    size_t offset[2];
    aios_tensor_desc in_desc[2], out_desc;
    aios_device_kernel_args args;
};

static aios_tensor_desc f32_matrix(uint64_t cols, uint64_t rows)
{
    return (aios_tensor_desc){.struct_size = sizeof(aios_tensor_desc), .dtype = AIOS_DTYPE_F32, .n_dims = 2, .ne = {cols, rows}};
}

static void make_operands(struct operands *o, const char *op, aios_tensor_desc a, aios_tensor_desc b, aios_tensor_desc out)
{
    *o = (struct operands){.in_desc = {a, b}, .out_desc = out, .offset = {64, 128}};
    for (int i = 0; i < 2; i++) {
        size_t n = (size_t)(o->in_desc[i].ne[0] * o->in_desc[i].ne[1]);
        float *v = malloc(n * sizeof *v);
        for (size_t j = 0; j < n; j++)
            v[j] = (float)((int)(j * 37 + (size_t)i * 11) % 17 - 8);
        o->in[i] = make_buffer(n * sizeof *v + o->offset[i], 0, 0);
        o->in_mem[i] = aios_buffer_mem(o->in[i]);
        assert_int_equal(to_device(o->in[i], o->offset[i], v, n * sizeof *v), 0);
        free(v);
    }
    o->out = make_buffer((size_t)(out.ne[0] * out.ne[1]) * 4 + 64, 0, AIOS_BUFFER_ZERO);
    o->args = (aios_device_kernel_args){.struct_size = sizeof o->args, .op = op, .n_in = 2, .in = o->in_mem, .in_offset = o->offset,
                                        .in_desc = o->in_desc, .out = aios_buffer_mem(o->out), .out_offset = 64, .out_desc = &o->out_desc};
}

static void free_operands(struct operands *o)
{
    aios_buffer_unref(o->in[0]);
    aios_buffer_unref(o->in[1]);
    aios_buffer_unref(o->out);
}

static void read_floats(aios_buffer *buf, size_t at, float *v, size_t n)
{
    assert_int_equal(to_host(buf, at, v, n * sizeof *v), 0);
}

static void matmul_is_the_sum_of_products(void **state)
{
    (void)state;
    static const uint64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {1, 64, 300}, {4, 3, 513}}; /* m, n, k */
    static float a[4 * 513], b[64 * 513], out[4 * 64];
    if (!(facts.flags & AIOS_DEVICE_KERNELS))
        skip();
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        uint64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        struct operands o;
        aios_error err = AIOS_INIT(aios_error);
        make_operands(&o, "matmul", f32_matrix(k, m), f32_matrix(k, n), f32_matrix(n, m));
        if (aios_device_kernel(dev, &o.args, &err))
            fail_msg("%s", err.msg);
        read_floats(o.in[0], 64, a, m * k);
        read_floats(o.in[1], 128, b, n * k);
        read_floats(o.out, 64, out, m * n);
        for (uint64_t i = 0; i < m * n; i++) {
            double want = 0; /* small integers: exact in any order */
            for (uint64_t j = 0; j < k; j++)
                want += (double)a[i / n * k + j] * (double)b[i % n * k + j];
            assert_true(out[i] == (float)want);
        }
        free_operands(&o);
    }
}

static void add_and_mul_work_element_by_element(void **state)
{
    (void)state;
    float a[77], b[77], out[77];
    if (!(facts.flags & AIOS_DEVICE_KERNELS))
        skip();
    for (int mul = 0; mul < 2; mul++) {
        struct operands o;
        make_operands(&o, mul ? "mul" : "add", f32_matrix(11, 7), f32_matrix(11, 7), f32_matrix(11, 7));
        assert_int_equal(aios_device_kernel(dev, &o.args, NULL), 0);
        read_floats(o.in[0], 64, a, 77);
        read_floats(o.in[1], 128, b, 77);
        read_floats(o.out, 64, out, 77);
        for (int i = 0; i < 77; i++)
            assert_true(out[i] == (mul ? a[i] * b[i] : a[i] + b[i]));
        free_operands(&o);
    }
}

static void kernels_with_wrong_operands_are_refused(void **state)
{
    (void)state;
    struct operands o;
    aios_device_kernel_args good;
    make_operands(&o, "matmul", f32_matrix(8, 2), f32_matrix(8, 4), f32_matrix(4, 2));
    good = o.args;
    o.args.op = "no such operation";
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_ENOTSUP);
    o.args.op = NULL;
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.args = good;
    o.args.n_in = 0;
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.args = good;
    o.args.out_offset = SIZE_MAX;
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.args = good;
    o.in_desc[1].ne[1] = 400; /* past its memory */
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.in_desc[1] = f32_matrix(8, 4);
    o.in_desc[0].nb[0] = 4;
    o.in_desc[0].nb[1] = 64; /* not contiguous */
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.in_desc[0] = f32_matrix(8, 2);
    o.in_desc[0].dtype = 12345;
    assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    o.in_desc[0] = f32_matrix(4, 4); /* k differs */
    if (facts.flags & AIOS_DEVICE_KERNELS)
        assert_int_equal(aios_device_kernel(dev, &o.args, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_kernel(dev, NULL, NULL), AIOS_EINVAL);
    free_operands(&o);
}

static void what_was_recorded_can_be_waited_for(void **state)
{
    (void)state;
    uint64_t a = 0, b = 0;
    assert_int_equal(aios_device_event_record(dev, &a, NULL), 0);
    assert_int_equal(aios_device_event_record(dev, &b, NULL), 0);
    assert_int_equal(aios_device_event_wait(dev, b, 1000000000, NULL), 0);
    assert_int_equal(aios_device_event_wait(dev, a, 0, NULL), 0);
    if (facts.flags & AIOS_DEVICE_EVENTS)
        assert_int_equal(aios_device_event_wait(dev, b + 1000000, 0, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_event_record(dev, NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios_device_event_wait(NULL, 0, 0, NULL), AIOS_EINVAL);
}

static void the_budget_is_refused_before_memory_is_taken(void **state)
{
    (void)state;
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = NULL;
    uint64_t base = used_now();
    cfg.n_bytes = 300 << 20;
    assert_int_equal(aios_buffer_alloc(dev, &cfg, &buf, &err), AIOS_EBUDGET);
    assert_null(buf);
    assert_int_equal(err.need, 300 << 20);
    assert_true(err.have < 256 << 20);
    assert_int_equal(used_now(), base);
}

static void a_buffer_keeps_its_device_alive(void **state)
{
    (void)state;
    aios_buffer *buf = make_buffer(100, 0, 0);
    char in[100] = "still here", out[100];
    aios_ctx_free(ctx);
    assert_int_equal(to_device(buf, 0, in, 100), 0);
    assert_int_equal(to_host(buf, 0, out, 100), 0);
    assert_string_equal(out, "still here");
    aios_buffer_unref(buf);
    ctx = NULL;
}

int main(int argc, char **argv)
{
    device_name = argc > 1 ? argv[1] : "cpu";
    plugin_path = argc > 2 ? argv[2] : NULL;
#define ON_DEVICE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        ON_DEVICE(the_facts_make_sense),
        ON_DEVICE(what_is_written_is_read_back),
        ON_DEVICE(zeroed_memory_is_zero),
        ON_DEVICE(copies_within_the_device_may_overlap),
        ON_DEVICE(a_fill_touches_only_its_bytes),
        ON_DEVICE(copies_that_reach_outside_are_refused),
        ON_DEVICE(host_addresses_exist_only_where_the_facts_say_so),
        ON_DEVICE(views_are_read_and_written_on_the_device),
        ON_DEVICE(matmul_is_the_sum_of_products),
        ON_DEVICE(add_and_mul_work_element_by_element),
        ON_DEVICE(kernels_with_wrong_operands_are_refused),
        ON_DEVICE(what_was_recorded_can_be_waited_for),
        ON_DEVICE(the_budget_is_refused_before_memory_is_taken),
        ON_DEVICE(a_buffer_keeps_its_device_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
