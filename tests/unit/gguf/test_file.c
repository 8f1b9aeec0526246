/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "gguf_make.h"
#include "shared_ctx.h"

#include "backend/gguf/file.h"

static int open_bytes(const void *p, size_t n, aios__gguf **g, aios_error *err)
{
    /* a copy of exactly n bytes, so that a sanitizer sees a read past the end */
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, p, n);
    int rc = aios__gguf_open_mem(ctx, copy, n, "test.gguf", g, err);
    if (!rc) { /* look at everything that was handed out */
        volatile uint8_t sum = 0;
        for (uint32_t i = 0; i < aios__gguf_kv_count(*g); i++) {
            const aios__gguf_kv *kv = aios__gguf_kv_at(*g, i);
            for (uint64_t k = 0; k < kv->n_bytes; k++)
                sum = (uint8_t)(sum + kv->data[k]);
        }
        for (uint32_t i = 0; i < aios__gguf_tensor_count(*g); i++) {
            const aios__gguf_tensor *t = aios__gguf_tensor_at(*g, i);
            assert_true(t->offset + t->n_bytes <= n);
            const uint8_t *d = aios__gguf_data(*g, t);
            for (uint64_t k = 0; k < t->n_bytes; k++)
                sum = (uint8_t)(sum + d[k]);
        }
        aios__gguf_close(*g);
        *g = (void *)1;
    } else {
        assert_null(*g);
    }
    free(copy);
    return rc;
}

static int try_make(const gguf_make *m, const char *says)
{
    aios_error err = AIOS_INIT(aios_error);
    aios__gguf *g = NULL;
    int rc = open_bytes(m->p, m->n, &g, &err);
    if (says && !strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    return rc;
}

/* ---- what a right file gives ---------------------------------------------------------------------------------- */

static void check_sample(const aios__gguf *g)
{
    uint32_t u = 0;
    float f = 0;
    bool b = false;
    aios__gstr s;
    const aios__gguf_kv *kv = NULL;
    aios_error err = AIOS_INIT(aios_error);
    assert_int_equal(aios__gguf_version(g), 3);
    assert_int_equal(aios__gguf_kv_count(g), 8);
    assert_int_equal(aios__gguf_u32(g, "llama.block_count", &u, &err), 0);
    assert_int_equal(u, 7);
    assert_int_equal(aios__gguf_f32(g, "real", &f, &err), 0);
    assert_true(f == 1.5f);
    assert_int_equal(aios__gguf_bool(g, "flag", &b, &err), 0);
    assert_true(b);
    assert_int_equal(aios__gguf_str(g, "general.architecture", &s, &err), 0);
    assert_int_equal(s.n, 5);
    assert_memory_equal(s.p, "llama", 5);
    assert_int_equal(aios__gguf_u32(g, "missing", &u, &err), AIOS_ENOENT);
    assert_int_equal(aios__gguf_u32(g, "wide", &u, &err), AIOS_EFORMAT);
    assert_non_null(strstr(err.msg, "\"wide\""));
    assert_int_equal(aios__gguf_u32(g, "real", &u, &err), AIOS_EFORMAT);
    assert_non_null(strstr(err.msg, "f32"));
    assert_int_equal(aios__gguf_array(g, "words", AIOS__GGUF_STRING, &kv, &err), 0);
    size_t pos = 0;
    static const size_t lens[] = {3, 0, 5};
    for (int i = 0; i < 3; i++) {
        assert_true(aios__gguf_next_str(kv, &pos, &s));
        assert_int_equal(s.n, lens[i]);
    }
    assert_false(aios__gguf_next_str(kv, &pos, &s));
    assert_int_equal(aios__gguf_array(g, "ints", AIOS__GGUF_F32, &kv, &err), AIOS_EFORMAT);
    assert_non_null(strstr(err.msg, "array of i32"));
    const aios__gguf_tensor *t = aios__gguf_tensor_find(g, "b.weight");
    assert_non_null(t);
    assert_int_equal(t->n_bytes, 64);
    assert_int_equal(t->ne[1], 1);
    uint8_t bytes[64];
    assert_int_equal(aios__gguf_read(g, t, 0, bytes, 64, &err), 0);
    assert_int_equal(bytes[0], 160);
    assert_int_equal(aios__gguf_read(g, t, 1, bytes, 64, &err), AIOS_EINVAL);
    assert_int_equal(aios__gguf_read(g, t, UINT64_MAX, bytes, 2, &err), AIOS_EINVAL);
    assert_null(aios__gguf_tensor_find(g, "c.weight"));
}

static char *write_file(const gguf_make *m, char path[64])
{
    strcpy(path, "/tmp/aios_gguf_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, m->p, m->n), (ssize_t)m->n);
    close(fd);
    return path;
}

static void a_file_gives_its_values_by_reading_mapping_and_from_memory(void **state)
{
    (void)state;
    static gguf_make m;
    char path[64];
    aios_error err = AIOS_INIT(aios_error);
    aios__gguf *g = NULL;
    make_sample(&m);
    write_file(&m, path);
    for (int mapped = 0; mapped < 2; mapped++) {
        assert_int_equal(aios__gguf_open(ctx, path, mapped, &g, &err), 0);
        check_sample(g);
        assert_int_equal(aios__gguf_data(g, aios__gguf_tensor_at(g, 0)) != NULL, mapped);
        aios__gguf_close(g);
    }
    assert_int_equal(aios__gguf_open_mem(ctx, m.p, m.n, "m", &g, &err), 0);
    check_sample(g);
    aios__gguf_close(g);
    unlink(path);
}

static void a_file_that_shrank_or_is_missing_is_an_error_that_names_it(void **state)
{
    (void)state;
    static gguf_make m;
    char path[64];
    uint8_t bytes[64];
    aios_error err = AIOS_INIT(aios_error);
    aios__gguf *g = NULL;
    make_sample(&m);
    write_file(&m, path);
    assert_int_equal(aios__gguf_open(ctx, path, false, &g, &err), 0);
    assert_int_equal(truncate(path, (off_t)m.n - 100), 0);
    assert_int_equal(aios__gguf_read(g, aios__gguf_tensor_find(g, "b.weight"), 0, bytes, 64, &err), AIOS_EIO);
    assert_non_null(strstr(err.msg, path));
    aios__gguf_close(g);
    unlink(path);
    assert_int_equal(aios__gguf_open(ctx, path, false, &g, &err), AIOS_ENOENT);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(aios__gguf_open(ctx, "/tmp", false, &g, &err), AIOS_EINVAL);
    assert_int_equal(aios__gguf_open(ctx, NULL, false, &g, &err), AIOS_EINVAL);
}

static void null_arguments_are_refused_and_never_followed(void **state)
{
    (void)state;
    aios__gguf *g = NULL;
    assert_int_equal(aios__gguf_open_mem(ctx, NULL, 1, "x", &g, NULL), AIOS_EINVAL);
    assert_int_equal(aios__gguf_open_mem(ctx, "x", 1, "x", NULL, NULL), AIOS_EINVAL);
    assert_int_equal(aios__gguf_open_mem(ctx, NULL, 0, "x", &g, NULL), AIOS_EFORMAT);
    aios__gguf_close(NULL);
    assert_null(aios__gguf_kv_find(NULL, "x"));
    assert_null(aios__gguf_tensor_at(NULL, 0));
    assert_int_equal(aios__gguf_kv_count(NULL), 0);
}

/* ---- wrong files ---------------------------------------------------------------------------------------------- */

static void every_prefix_of_a_file_is_refused(void **state)
{
    (void)state;
    static gguf_make m;
    make_sample(&m);
    for (size_t n = 0; n < m.n; n++) {
        gguf_make cut = m;
        cut.n = n;
        assert_int_equal(try_make(&cut, "test.gguf"), AIOS_EFORMAT);
    }
    assert_int_equal(try_make(&m, NULL), 0);
}

static void every_prefix_on_disk_is_refused_in_constant_memory(void **state)
{
    (void)state;
    static gguf_make m;
    char path[64];
    make_sample(&m);
    write_file(&m, path);
    for (size_t n = m.n; n-- > 0;) {
        aios_mem_usage before = AIOS_INIT(aios_mem_usage), after = before;
        aios__gguf *g = NULL;
        assert_int_equal(truncate(path, (off_t)n), 0);
        aios_ctx_usage(ctx, &before);
        assert_int_equal(aios__gguf_open(ctx, path, false, &g, NULL), AIOS_EFORMAT);
        aios_ctx_usage(ctx, &after);
        assert_true(after.used == before.used);
        assert_true(after.peak < 1 << 20);
    }
    unlink(path);
}

static void every_integer_field_survives_every_bad_value(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 2, 0x7f, 0xff, 65536, 65537, 0x7fffffff, 0x80000000u, 0xffffffffu, 1ull << 32, 1ull << 61,
                                      (1ull << 63) - 1, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
    static gguf_make m;
    make_sample(&m);
    int refused = 0;
    for (uint32_t a = 0; a < m.n_fields; a++)
        for (size_t i = 0; i < AIOS__ARRAY_LEN(values); i++)
            for (uint32_t b = a; b < m.n_fields; b++) { /* alone (b == a) and in pairs */
                gguf_make bad = m;
                memcpy(bad.p + bad.fields[a], &values[i], bad.width[a]);
                if (b != a)
                    memcpy(bad.p + bad.fields[b], &values[(i + b) % AIOS__ARRAY_LEN(values)], bad.width[b]);
                refused += try_make(&bad, NULL) != 0;
            }
    assert_true(refused > 10000);
}

static void counts_that_cannot_fit_are_refused_before_memory_is_asked_for(void **state)
{
    (void)state;
    static const uint64_t counts[] = {65537, 1ull << 31, 1ull << 32, 1ull << 61, UINT64_MAX};
    static gguf_make m;
    test_heap h = {0};
    aios_ctx *own = test_ctx(&h, 0);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(counts); i++)
        for (int what = 0; what < 4; what++) {
            aios__gguf *g = NULL;
            aios_mem_usage use = AIOS_INIT(aios_mem_usage);
            make_head(&m, 3, what == 0 ? counts[i] : 0, what == 1 ? counts[i] : what > 1);
            if (what > 1)
                make_array(&m, "k", what == 2 ? 0 : 8, counts[i]);
            make_data(&m, 40000);
            assert_int_equal(aios__gguf_open_mem(own, m.p, m.n, "bomb", &g, NULL), AIOS_EFORMAT);
            aios_ctx_usage(own, &use);
            assert_true(use.peak < 65536);
        }
    aios_ctx_free(own);
    assert_int_equal(h.live, 0);
}

static void versions_and_byte_orders_that_are_not_read_say_so(void **state)
{
    (void)state;
    static gguf_make m;
    make_head(&m, 1, 0, 0);
    assert_int_equal(try_make(&m, "version 1 is obsolete"), AIOS_EVERSION);
    make_head(&m, 4, 0, 0);
    assert_int_equal(try_make(&m, "version 4"), AIOS_EVERSION);
    make_head(&m, 0x03000000, 0, 0);
    assert_int_equal(try_make(&m, "big-endian"), AIOS_ENOTSUP);
    make_head(&m, 2, 0, 0);
    assert_int_equal(try_make(&m, NULL), 0);
    memcpy(m.p, "tjgg", 4);
    assert_int_equal(try_make(&m, "before GGUF"), AIOS_EVERSION);
    memcpy(m.p, "PK\3\4", 4);
    assert_int_equal(try_make(&m, "not a GGUF file"), AIOS_EFORMAT);
}

static void one_tensor(gguf_make *m, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t off, size_t data)
{
    make_head(m, 3, 1, 0);
    make_tensor(m, "t", n_dims, ne, type, off);
    make_pad(m, 32);
    make_data(m, data);
}

static void shapes_and_sizes_that_wrap_are_refused(void **state)
{
    (void)state;
    static gguf_make m;
    static const uint64_t big[] = {1ull << 31, 1ull << 32, 1ull << 40, 1ull << 61, 1ull << 62, UINT64_MAX & ~255ull};
    for (int32_t type = 0; type < 31; type++)
        for (size_t i = 0; i < AIOS__ARRAY_LEN(big); i++)
            for (uint32_t dims = 1; dims <= 4; dims++) {
                one_tensor(&m, dims, (uint64_t[]){big[i], big[i], big[i], big[i]}, (uint32_t)type, 0, 4096);
                int rc = try_make(&m, "\"t\"");
                assert_true(rc == AIOS_EFORMAT || (rc == AIOS_ENOTSUP && !aios__dtype_of(type)));
            }
    one_tensor(&m, 2, (uint64_t[]){256, 0}, 0, 0, 4096);
    assert_int_equal(try_make(&m, "dimension 1 is 0"), AIOS_EFORMAT);
    one_tensor(&m, 0, NULL, 0, 0, 4096);
    assert_int_equal(try_make(&m, "0 dimensions"), AIOS_EFORMAT);
    one_tensor(&m, 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0, 4096);
    assert_int_equal(try_make(&m, "5 dimensions"), AIOS_EFORMAT);
    one_tensor(&m, 1, (uint64_t[]){100}, 12, 0, 4096);
    assert_int_equal(try_make(&m, "no whole number of Q4_K blocks"), AIOS_EFORMAT);
    one_tensor(&m, 1, (uint64_t[]){256}, 20, 0, 4096);
    assert_int_equal(try_make(&m, "IQ4_NL"), AIOS_ENOTSUP);
    one_tensor(&m, 1, (uint64_t[]){256}, 1000, 0, 4096);
    assert_int_equal(try_make(&m, "type 1000"), AIOS_ENOTSUP);
}

static void tensors_must_lie_in_the_file_aligned_and_apart(void **state)
{
    (void)state;
    static gguf_make m;
    one_tensor(&m, 1, (uint64_t[]){256}, 0, 0, 1024);
    assert_int_equal(try_make(&m, NULL), 0);
    one_tensor(&m, 1, (uint64_t[]){256}, 0, 0, 1023);
    assert_int_equal(try_make(&m, "truncated"), AIOS_EFORMAT);
    one_tensor(&m, 1, (uint64_t[]){256}, 0, 4, 2048);
    assert_int_equal(try_make(&m, "alignment"), AIOS_EFORMAT);
    one_tensor(&m, 1, (uint64_t[]){256}, 0, UINT64_MAX - 31, 2048);
    assert_int_equal(try_make(&m, "do not lie in the file"), AIOS_EFORMAT);
    make_head(&m, 3, 2, 0);
    make_tensor(&m, "first", 1, (uint64_t[]){16}, 0, 32);
    make_tensor(&m, "second", 1, (uint64_t[]){16}, 0, 0);
    make_pad(&m, 32);
    make_data(&m, 4096);
    assert_int_equal(try_make(&m, "overlap"), AIOS_EFORMAT);
    make_head(&m, 3, 2, 0);
    make_tensor(&m, "same", 1, (uint64_t[]){8}, 0, 32);
    make_tensor(&m, "same", 1, (uint64_t[]){8}, 0, 0);
    make_pad(&m, 32);
    make_data(&m, 4096);
    assert_int_equal(try_make(&m, "occurs twice"), AIOS_EFORMAT);
}

static void keys_and_values_of_a_wrong_form_are_refused(void **state)
{
    (void)state;
    static gguf_make m;
    static const uint32_t aligns[] = {0, 1, 3, 4, 24, 131072, 0x80000000u, UINT32_MAX};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(aligns); i++) {
        make_head(&m, 3, 0, 1);
        make_kv_u32(&m, "general.alignment", aligns[i]);
        assert_int_equal(try_make(&m, "power of two"), AIOS_EFORMAT);
    }
    make_head(&m, 3, 0, 1);
    make_kv(&m, "general.alignment", 5);
    make_int(&m, 32, 4);
    assert_int_equal(try_make(&m, "must be u32"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 1);
    make_kv_u32(&m, "", 1);
    make_data(&m, 8);
    assert_int_equal(try_make(&m, "key name of 0 bytes"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 2);
    make_kv_u32(&m, "twice", 1);
    make_kv_u32(&m, "twice", 2);
    assert_int_equal(try_make(&m, "\"twice\": it occurs twice"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 1);
    make_kv(&m, "k", 13);
    make_data(&m, 64);
    assert_int_equal(try_make(&m, "unknown value type 13"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 1);
    make_array(&m, "k", 9, 1);
    make_data(&m, 64);
    assert_int_equal(try_make(&m, "arrays of arrays"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 1);
    make_kv_bool(&m, "k", 2);
    assert_int_equal(try_make(&m, "bool of value 2"), AIOS_EFORMAT);
    make_head(&m, 3, 0, 1);
    make_int(&m, 3, 8);
    make_bytes(&m, "a\0b\4\0\0\0\1\0\0\0", 11);
    assert_int_equal(try_make(&m, "NUL"), AIOS_EFORMAT);
}

/* ---- chance and faults ---------------------------------------------------------------------------------------- */

static uint64_t rng(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    return *s ^= *s << 17;
}

static void random_changes_never_do_harm(void **state)
{
    (void)state;
    static gguf_make m;
    uint64_t seed = 0x9e3779b97f4a7c15u;
    const char *more = getenv("AIOS_TEST_ROUNDS");
    long rounds = more ? atol(more) : 200000;
    make_sample(&m);
    for (long i = 0; i < rounds; i++) {
        gguf_make bad = m;
        for (uint64_t k = 1 + rng(&seed) % 3; k; k--) {
            uint64_t v = rng(&seed);
            uint32_t f = (uint32_t)(rng(&seed) % bad.n_fields);
            switch (rng(&seed) % 4) {
            case 0:
                bad.p[v % bad.n] = (uint8_t)(v >> 32);
                break;
            case 1:
                memcpy(bad.p + bad.fields[f], &v, bad.width[f]);
                break;
            case 2:
                bad.p[bad.fields[f]] = (uint8_t)(bad.p[bad.fields[f]] + (v % 9) - 4);
                break;
            default:
                bad.n = v % (bad.n + 1);
                if (bad.n < 64)
                    bad.n = m.n;
            }
        }
        try_make(&bad, NULL);
    }
}

static char sample_path[64];

static int open_sample(aios_ctx *c, aios_error *err)
{
    aios__gguf *g = NULL;
    int rc = aios__gguf_open(c, sample_path, false, &g, err);
    aios__gguf_close(g);
    return rc;
}

static void every_failed_allocation_is_an_error_without_a_leak(void **state)
{
    (void)state;
    static gguf_make m;
    make_sample(&m);
    write_file(&m, sample_path);
    assert_nothing_leaks_when_memory_runs_out(open_sample);
    unlink(sample_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_on_disk_is_refused_in_constant_memory),
        cmocka_unit_test(a_file_gives_its_values_by_reading_mapping_and_from_memory),
        cmocka_unit_test(a_file_that_shrank_or_is_missing_is_an_error_that_names_it),
        cmocka_unit_test(null_arguments_are_refused_and_never_followed),
        cmocka_unit_test(every_prefix_of_a_file_is_refused),
        cmocka_unit_test(every_integer_field_survives_every_bad_value),
        cmocka_unit_test(counts_that_cannot_fit_are_refused_before_memory_is_asked_for),
        cmocka_unit_test(versions_and_byte_orders_that_are_not_read_say_so),
        cmocka_unit_test(shapes_and_sizes_that_wrap_are_refused),
        cmocka_unit_test(tensors_must_lie_in_the_file_aligned_and_apart),
        cmocka_unit_test(keys_and_values_of_a_wrong_form_are_refused),
        cmocka_unit_test(random_changes_never_do_harm),
        cmocka_unit_test(every_failed_allocation_is_an_error_without_a_leak),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
