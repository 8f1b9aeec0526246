/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of control groups, read from made-up trees. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/memlimit.h"

#define MACHINE 1000000

static char root[] = "/tmp/aios-memlimit-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int empty_tree(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s/*", root);
    return system(cmd);
}

static uint64_t limit(void)
{
    return aios__memory_limit_in(root, MACHINE);
}

static void without_files_it_is_the_machine(void **state)
{
    (void)state;
    assert_int_equal(limit(), MACHINE);
    assert_true(aios__memory_limit() > 1 << 20);
}

static void smallest_of_all_ancestors_counts(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b\n");
    put("sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(limit(), MACHINE);
    put("sys/fs/cgroup/a/memory.max", "5000\n");
    assert_int_equal(limit(), 5000);
    put("sys/fs/cgroup/a/b/memory.max", "7000\n");
    assert_int_equal(limit(), 5000);
    put("sys/fs/cgroup/memory.max", "3000\n");
    assert_int_equal(limit(), 3000);
}

static void root_group_and_version_one_are_read(void **state)
{
    (void)state;
    put("proc/self/cgroup", "12:memory:/x\n0::/\n");
    put("sys/fs/cgroup/memory.max", "4000\n");
    assert_int_equal(limit(), 4000);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n");
    assert_int_equal(limit(), 2000);
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(limit(), 4000);
}

static void nonsense_never_gives_nought(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "0\n", "-1\n", "x", "99999999999999999999999\n", "\n\n", "18446744073709551615"};
    put("proc/self/cgroup", "0::/a\n");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put("sys/fs/cgroup/a/memory.max", texts[i]);
        assert_int_equal(limit(), MACHINE);
    }
    char *line = malloc(100001);
    memset(line, '/', 100000);
    memcpy(line, "0::", 3);
    line[100000] = 0;
    put("proc/self/cgroup", line);
    free(line);
    assert_int_equal(limit(), MACHINE);
    put("proc/self/cgroup", "0::no-slash\n0::");
    assert_int_equal(limit(), MACHINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_files_it_is_the_machine, empty_tree),
        cmocka_unit_test_setup(smallest_of_all_ancestors_counts, empty_tree),
        cmocka_unit_test_setup(root_group_and_version_one_are_read, empty_tree),
        cmocka_unit_test_setup(nonsense_never_gives_nought, empty_tree),
    };
    if (!mkdtemp(root))
        return 1;
    int failed = cmocka_run_group_tests_name("memlimit", tests, NULL, empty_tree);
    rmdir(root);
    return failed;
}
