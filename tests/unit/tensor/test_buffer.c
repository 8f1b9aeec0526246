/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor_test.h"

#include <unistd.h>

static void sizes_alignments_and_flags_are_kept(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const size_t sizes[] = {1, 63, 4096, 100000, (1 << 20) - 1, 1 << 20, (5 << 20) + 7};
    const uint32_t flags[] = {0, AIOS_BUFFER_ZERO, AIOS_BUFFER_HUGE, AIOS_BUFFER_HUGE_TLB | AIOS_BUFFER_ZERO};
    uint64_t base = used_now(ctx);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t align = 0; align <= 1 << 21; align = align ? align * 8 : 1)
            for (size_t f = 0; f < 4; f++) {
                aios_buffer *buf = make_buffer(ctx, sizes[i], align, flags[f]);
                unsigned char *p = aios_buffer_data(buf);
                assert_int_equal(aios_buffer_size(buf), sizes[i]);
                assert_int_equal((uintptr_t)p % (align ? align : 64), 0);
                if (flags[f] & AIOS_BUFFER_ZERO)
                    assert_true(!p[0] && !p[sizes[i] / 2] && !p[sizes[i] - 1]);
                memset(p, 0xa5, sizes[i]);
                assert_true(used_now(ctx) >= base + sizes[i]);
                aios_buffer_unref(buf);
                assert_int_equal(used_now(ctx), base);
            }
    aios_ctx_free(ctx);
}

static void memory_is_counted_as_the_kind_that_was_named(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
    aios_mem_usage u = AIOS_INIT(aios_mem_usage);
    aios_buffer *buf;
    cfg.n_bytes = 3 << 20;
    cfg.kind = AIOS_MEM_WEIGHTS;
    assert_int_equal(aios_buffer_alloc(aios_device_at(ctx, 0), &cfg, &buf, NULL), 0);
    aios_ctx_usage(ctx, &u);
    assert_true(u.by_kind[AIOS_MEM_WEIGHTS] >= 3 << 20 && u.by_kind[AIOS_MEM_WEIGHTS] < (3 << 20) + 8192);
    aios_buffer_unref(buf);
    aios_ctx_usage(ctx, &u);
    assert_int_equal(u.by_kind[AIOS_MEM_WEIGHTS], 0);
    aios_ctx_free(ctx);
}

static void a_numa_wish_is_never_a_failure(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    const int32_t nodes[] = {1, 64, 100000};
    for (size_t i = 0; i < 3; i++) {
        aios_buffer_config cfg = AIOS_INIT(aios_buffer_config);
        aios_buffer *buf = NULL;
        cfg.n_bytes = 2 << 20;
        cfg.numa = nodes[i];
        assert_int_equal(aios_buffer_alloc(aios_device_at(ctx, 0), &cfg, &buf, NULL), 0);
        memset(aios_buffer_data(buf), 1, 2 << 20);
        aios_buffer_unref(buf);
    }
    aios_ctx_free(ctx);
}

static void a_lazy_buffer_is_charged_as_it_is_committed(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 64 << 20);
    aios_error err = AIOS_INIT(aios_error);
    uint64_t base = used_now(ctx);
    aios_buffer *buf = make_buffer(ctx, (size_t)1 << 33, 0, AIOS_BUFFER_LAZY);
    assert_true(used_now(ctx) < base + 1024);
    uint64_t head = used_now(ctx);
    assert_int_equal(aios_buffer_commit(buf, 10, &err), 0);
    assert_int_equal(used_now(ctx), head + (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(aios_buffer_commit(buf, 1 << 20, &err), 0);
    assert_int_equal(used_now(ctx), head + (1 << 20));
    memset(aios_buffer_data(buf), 0x5a, 1 << 20);
    assert_int_equal(aios_buffer_commit(buf, 5, &err), 0);
    assert_int_equal(used_now(ctx), head + (1 << 20));
    assert_int_equal(aios_buffer_commit(buf, (size_t)1 << 32, &err), AIOS_EBUDGET);
    assert_true(err.need > err.have);
    assert_int_equal(used_now(ctx), head + (1 << 20));
    assert_int_equal(aios_buffer_commit(buf, ((size_t)1 << 33) + 1, &err), AIOS_EINVAL);
    assert_int_equal(((unsigned char *)aios_buffer_data(buf))[(1 << 20) - 1], 0x5a);
    aios_buffer_unref(buf);
    assert_int_equal(used_now(ctx), base);
    aios_ctx_free(ctx);
}

static void count_release(void *user, void *ptr)
{
    int *n = user;
    assert_non_null(ptr);
    ++*n;
}

static void imported_memory_is_released_once_by_the_last_reference(void **state)
{
    (void)state;
    test_heap h = {0};
    aios_ctx *ctx = test_ctx(&h, 0);
    char memory[64];
    int released = 0;
    aios_buffer *buf = NULL;
    assert_int_equal(aios_buffer_import(aios_device_at(ctx, 0), memory, sizeof memory, count_release, &released, &buf, NULL), 0);
    assert_ptr_equal(aios_buffer_data(buf), memory);
    aios_ctx_free(ctx); /* the buffer keeps it */
    assert_ptr_equal(aios_buffer_ref(buf), buf);
    aios_buffer_unref(buf);
    assert_int_equal(released, 0);
    aios_buffer_unref(buf);
    assert_int_equal(released, 1);
    assert_int_equal(h.live, 0);
}

static char *temp_file(const char *text, size_t n)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/aios-map-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    return path;
}

static int no_map(void *user, aios_file *f, size_t n, void **p, int32_t *sys)
{
    (void)user;
    (void)f;
    (void)n;
    (void)p;
    (void)sys;
    return AIOS_ENOTSUP;
}

static void check_map(aios_ctx *ctx)
{
    aios_device *dev = aios_device_at(ctx, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = NULL;
    const char *path = temp_file("0123456789", 10);
    uint64_t base = used_now(ctx);
    assert_int_equal(aios_buffer_map(dev, path, 0, 0, &buf, &err), 0);
    assert_int_equal(aios_buffer_size(buf), 10);
    assert_memory_equal(aios_buffer_data(buf), "0123456789", 10);
    assert_true(used_now(ctx) >= base + 10);
    aios_buffer_unref(buf);
    assert_int_equal(aios_buffer_map(dev, path, 3, 4, &buf, &err), 0);
    assert_memory_equal(aios_buffer_data(buf), "3456", 4);
    aios_tensor_desc d = {.struct_size = sizeof d, .dtype = AIOS_DTYPE_U8, .n_dims = 1, .ne = {4}};
    aios_tensor *t = NULL;
    assert_int_equal(aios_tensor_new(buf, 0, &d, &t, &err), 0);
    assert_int_equal(aios_tensor_write(t, "abcd", 4, &err), AIOS_ESTATE);
    aios_tensor_free(t);
    aios_buffer_unref(buf);
    assert_int_equal(aios_buffer_map(dev, path, 10, 0, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_map(dev, path, 8, 3, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_map(dev, path, UINT64_MAX, 1, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_map(dev, path, 1, SIZE_MAX, &buf, &err), AIOS_EINVAL);
    assert_null(buf);
    unlink(path);
    assert_int_equal(aios_buffer_map(dev, path, 0, 0, &buf, &err), AIOS_ENOENT);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(aios_buffer_map(dev, "/tmp", 0, 0, &buf, &err), AIOS_EINVAL);
    assert_int_equal(used_now(ctx), base);
}

static void a_file_is_mapped_or_read_where_it_cannot_be(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    check_map(ctx);
    aios_ctx_free(ctx);
    aios_env env = AIOS_INIT(aios_env);
    aios_ctx_config cfg = AIOS_INIT(aios_ctx_config);
    aios__env_default(&env);
    env.file_map = no_map;
    cfg.env = &env;
    assert_int_equal(aios_ctx_new(&cfg, &ctx, NULL), 0);
    check_map(ctx);
    aios_ctx_free(ctx);
}

static int all_kinds(aios_ctx *ctx, aios_error *err)
{
    aios_device *dev = aios_device_at(ctx, 0);
    static char memory[32];
    aios_buffer *b[4] = {0};
    aios_buffer_config small = {.struct_size = sizeof small, .n_bytes = 300, .align = 256}, large = {.struct_size = sizeof large, .n_bytes = 3 << 20, .flags = AIOS_BUFFER_HUGE},
                       lazy = {.struct_size = sizeof lazy, .n_bytes = 1 << 24, .flags = AIOS_BUFFER_LAZY};
    int rc = aios_buffer_alloc(dev, &small, &b[0], err);
    if (!rc)
        rc = aios_buffer_alloc(dev, &large, &b[1], err);
    if (!rc)
        rc = aios_buffer_alloc(dev, &lazy, &b[2], err);
    if (!rc)
        rc = aios_buffer_commit(b[2], 100000, err);
    if (!rc)
        rc = aios_buffer_import(dev, memory, sizeof memory, NULL, NULL, &b[3], err);
    for (int i = 0; i < 4; i++)
        aios_buffer_unref(b[i]);
    return rc;
}

static const char *map_path;
static int map_file(aios_ctx *ctx, aios_error *err)
{
    aios_buffer *buf = NULL;
    int rc = aios_buffer_map(aios_device_at(ctx, 0), map_path, 1, 0, &buf, err);
    aios_buffer_unref(buf);
    return rc;
}

static void refusals_leave_nothing_behind(void **state)
{
    (void)state;
    assert_nothing_leaks_when_memory_runs_out(all_kinds);
    assert_every_budget_is_kept(all_kinds);
    map_path = temp_file("0123456789", 10);
    assert_nothing_leaks_when_memory_runs_out(map_file);
    assert_every_budget_is_kept(map_file);
    unlink(map_path);
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    aios_ctx *ctx = test_ctx(NULL, 0);
    aios_device *dev = aios_device_at(ctx, 0);
    aios_error err = AIOS_INIT(aios_error);
    aios_buffer *buf = NULL;
    aios_buffer_config c = {.struct_size = sizeof c};
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.n_bytes = SIZE_MAX;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.n_bytes = 10;
    c.align = 3;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.align = (size_t)1 << 40;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.align = 0;
    c.flags = 1u << 20;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.flags = 0;
    c.numa = -1;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    c.numa = 0;
    c.kind = 99;
    assert_int_equal(aios_buffer_alloc(dev, &c, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_alloc(NULL, &c, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_alloc(dev, NULL, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_alloc(dev, &c, NULL, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_import(dev, NULL, 1, NULL, NULL, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_import(dev, &c, 0, NULL, NULL, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_import(dev, &c, SIZE_MAX, NULL, NULL, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_map(dev, NULL, 0, 0, &buf, &err), AIOS_EINVAL);
    assert_int_equal(aios_buffer_commit(NULL, 1, &err), AIOS_EINVAL);
    assert_null(aios_buffer_ref(NULL));
    assert_null(aios_buffer_data(NULL));
    assert_null(aios_buffer_mem(NULL));
    assert_int_equal(aios_buffer_size(NULL), 0);
    aios_buffer_unref(NULL);
    aios_ctx_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_alignments_and_flags_are_kept),
        cmocka_unit_test(memory_is_counted_as_the_kind_that_was_named),
        cmocka_unit_test(a_numa_wish_is_never_a_failure),
        cmocka_unit_test(a_lazy_buffer_is_charged_as_it_is_committed),
        cmocka_unit_test(imported_memory_is_released_once_by_the_last_reference),
        cmocka_unit_test(a_file_is_mapped_or_read_where_it_cannot_be),
        cmocka_unit_test(refusals_leave_nothing_behind),
        cmocka_unit_test(bad_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
