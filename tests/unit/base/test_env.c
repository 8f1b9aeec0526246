/* SPDX-License-Identifier: Apache-2.0 */
/* Files, clocks and randomness of the built-in environment. */
#include "test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"

static aios_env env;
static char dir[] = "/tmp/aios-env-XXXXXX", path[64];

static int setup(void **state)
{
    (void)state;
    aios__env_default(&env);
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/f", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void clocks_run_forward(void **state)
{
    (void)state;
    int64_t a = env.mono_ns(NULL), w = env.wall_us(NULL);
    usleep(2000);
    int64_t b = env.mono_ns(NULL);
    assert_true(b - a >= 2000000 && b - a < INT64_C(60000000000));
    assert_true(w > INT64_C(1600000000000000));
}

static void randomness_differs(void **state)
{
    (void)state;
    unsigned char a[600], b[600];
    int32_t sys = 0;
    assert_int_equal(env.random(NULL, a, sizeof a, &sys), 0);
    assert_int_equal(env.random(NULL, b, sizeof b, &sys), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + 300, b + 300, 300); /* to the end */
}

static void files_are_written_read_and_mapped(void **state)
{
    (void)state;
    aios_file *f;
    int32_t sys = 0;
    uint64_t n = 0;
    size_t got = 0;
    char text[32] = "";
    void *map;
    assert_int_equal(env.file_open(NULL, path, AIOS_OPEN_WRITE | AIOS_OPEN_CREATE | AIOS_OPEN_TRUNC, &f, &sys), 0);
    assert_int_equal(env.file_write(NULL, f, 0, "hello world", 11, &sys), 0);
    assert_int_equal(env.file_write(NULL, f, 6, "WORLD", 5, &sys), 0);
    assert_int_equal(env.file_sync(NULL, f, &sys), 0);
    env.file_close(NULL, f);
    assert_int_equal(env.file_open(NULL, path, AIOS_OPEN_READ, &f, &sys), 0);
    assert_int_equal(env.file_size(NULL, f, &n, &sys), 0);
    assert_int_equal(n, 11);
    assert_int_equal(env.file_read(NULL, f, 6, text, sizeof text, &got, &sys), 0); /* short only at the end */
    assert_int_equal(got, 5);
    assert_string_equal(text, "WORLD");
    assert_int_equal(env.file_read(NULL, f, 11, text, sizeof text, &got, &sys), 0);
    assert_int_equal(got, 0);
    assert_int_equal(env.file_write(NULL, f, 0, "x", 1, &sys), AIOS_EIO);
    assert_int_equal(sys, EBADF);
    assert_int_equal(env.file_map(NULL, f, 11, &map, &sys), 0);
    assert_memory_equal(map, "hello WORLD", 11);
    env.file_unmap(NULL, map, 11);
    assert_int_equal(env.file_map(NULL, f, 0, &map, &sys), AIOS_EINVAL);
    assert_int_equal(env.file_read(NULL, f, UINT64_MAX - 3, text, 4, &got, &sys), AIOS_EIO);
    env.file_close(NULL, f);
}

static void what_is_no_file_is_refused_without_hanging(void **state)
{
    (void)state;
    aios_file *f;
    int32_t sys = 0;
    uint64_t n;
    char fifo[64];
    assert_int_equal(env.file_open(NULL, "/nowhere/f", AIOS_OPEN_READ, &f, &sys), AIOS_ENOENT);
    assert_int_equal(sys, ENOENT);
    assert_int_equal(env.file_open(NULL, "/etc/passwd/f", AIOS_OPEN_READ, &f, &sys), AIOS_ENOENT);
    assert_int_equal(env.file_open(NULL, dir, AIOS_OPEN_READ, &f, &sys), 0);
    assert_int_equal(env.file_size(NULL, f, &n, &sys), AIOS_EINVAL);
    assert_int_equal(sys, EISDIR);
    env.file_close(NULL, f);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(env.file_open(NULL, fifo, AIOS_OPEN_READ, &f, &sys), 0);
    assert_int_equal(env.file_size(NULL, f, &n, &sys), AIOS_EINVAL);
    env.file_close(NULL, f);
    unlink(fifo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_run_forward),
        cmocka_unit_test(randomness_differs),
        cmocka_unit_test(files_are_written_read_and_mapped),
        cmocka_unit_test(what_is_no_file_is_refused_without_hanging),
    };
    return cmocka_run_group_tests_name("env", tests, setup, teardown);
}
