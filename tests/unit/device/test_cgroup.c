/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_root.h"

#include "device/device_priv.h"

static aios__cgroup read_fake(void)
{
    aios__cgroup g;
    aios__cgroup_read(fake_root, &g);
    return g;
}

static void no_group_means_no_limit(void **state)
{
    (void)state;
    aios__cgroup g = read_fake();
    assert_int_equal(g.quota_millicpu, 0);
    assert_true(g.memory_limit == UINT64_MAX);
}

static void the_tightest_ancestor_of_v2_counts(void **state)
{
    (void)state;
    fake_file("/proc/self/cgroup", "0::/a/b\n");
    fake_file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    fake_file("/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    fake_file("/sys/fs/cgroup/cpu.max", "800000 100000\n");
    fake_file("/sys/fs/cgroup/a/b/memory.max", "2147483648\n");
    fake_file("/sys/fs/cgroup/a/memory.max", "1073741824\n");
    fake_file("/sys/fs/cgroup/a/memory.current", "1000000\n");
    aios__cgroup g = read_fake();
    assert_int_equal(g.quota_millicpu, 1500);
    assert_int_equal(g.memory_limit, 1 << 30);
    assert_int_equal(g.memory_used, 1000000);
}

static void a_container_sees_its_limits_at_the_root(void **state)
{
    (void)state;
    fake_file("/proc/self/cgroup", "0::/\n");
    fake_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    fake_file("/sys/fs/cgroup/memory.max", "max\n");
    aios__cgroup g = read_fake();
    assert_int_equal(g.quota_millicpu, 500);
    assert_true(g.memory_limit == UINT64_MAX);
}

static void v1_controllers_have_their_own_paths(void **state)
{
    (void)state;
    fake_file("/proc/self/cgroup", "12:memory:/m\n5:cpu,cpuacct:/c\n3:cpuset:/s\n");
    fake_file("/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "250000\n");
    fake_file("/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    fake_file("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "536870912\n");
    fake_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    aios__cgroup g = read_fake();
    assert_int_equal(g.quota_millicpu, 2500);
    assert_int_equal(g.memory_limit, 512 << 20);
    fake_file("/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(read_fake().quota_millicpu, 0);
}

static void the_tightest_ancestor_of_v1_counts_too(void **state)
{
    (void)state;
    fake_file("/proc/self/cgroup", "4:memory:/x/y\n5:cpu:/a/b\n0::/\n");
    fake_file("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    fake_file("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    fake_file("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
    fake_file("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n");
    fake_file("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "3000000000\n");
    fake_file("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "2000000000\n");
    fake_file("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5\n");
    aios__cgroup g = read_fake();
    assert_int_equal(g.quota_millicpu, 3000);
    assert_int_equal(g.memory_limit, 2000000000);
    assert_int_equal(g.memory_used, 5);
    fake_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "1000\n"); /* its period is missing: it says nothing */
    assert_int_equal(read_fake().quota_millicpu, 3000);
    fake_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "0\n");
    assert_int_equal(read_fake().quota_millicpu, 3000);
    fake_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "1000000\n"); /* less than a thousandth is one */
    assert_int_equal(read_fake().quota_millicpu, 1);
    fake_file("/sys/fs/cgroup/cpu.max", "70 100000\n"); /* both versions at once: the tighter one */
    fake_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "2000000\n");
    assert_int_equal(read_fake().quota_millicpu, 1);
}

static void what_is_no_quota_says_nothing(void **state)
{
    (void)state;
    static const char *const malformed[] = {"", "\n", "max", "max max", "100000", "100000 0", "0 100000", "-1 100000", "a b", "1e5 100000",
                                            "99999999999999999999 100000", " 50000 100000", "50000,100000"};
    fake_file("/proc/self/cgroup", "0::/a\n");
    fake_file("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        fake_file("/sys/fs/cgroup/a/cpu.max", malformed[i]);
        if (read_fake().quota_millicpu != 3000)
            fail_msg("\"%s\" is read as a quota of %llu", malformed[i], (unsigned long long)read_fake().quota_millicpu);
    }
    fake_bytes("/sys/fs/cgroup/a/cpu.max", "50000\0 100000", 13);
    assert_int_equal(read_fake().quota_millicpu, 3000);
}

static void hostile_contents_do_no_harm(void **state)
{
    (void)state;
    static const char *const groups[] = {"0::/a/../../../etc\n", "0::\n", "::::\n", "0:", "\n\n0::/a\n", "no colon at all", "0:://///a////\n",
                                         "1:cpu:/\n1:memory\n"};
    static const char *const limits[] = {"0 0\n", "1 0\n", "18446744073709551615 1\n", "99999999999999999999999999 100000\n", "-5 100000\n",
                                         "1", "", "max", "1 18446744073709551615\n"};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        for (size_t j = 0; j < sizeof limits / sizeof limits[0]; j++) {
            fake_file("/proc/self/cgroup", groups[i]);
            fake_file("/sys/fs/cgroup/cpu.max", limits[j]);
            fake_file("/sys/fs/cgroup/memory.max", limits[j]);
            aios__cgroup g = read_fake();
            assert_true(g.memory_limit > 0);
            assert_true(g.quota_millicpu < UINT64_MAX);
        }
    char deep[4000];
    memset(deep, '/', sizeof deep);
    memcpy(deep, "0::", 3);
    for (size_t i = 4; i < sizeof deep; i += 2)
        deep[i] = 'x';
    fake_bytes("/proc/self/cgroup", deep, sizeof deep);
    assert_int_equal(read_fake().quota_millicpu, 1); /* only the mount itself is read */
}

int main(void)
{
#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, fake_root_new, fake_root_free)
    const struct CMUnitTest tests[] = {
        IN_ROOT(no_group_means_no_limit),
        IN_ROOT(the_tightest_ancestor_of_v2_counts),
        IN_ROOT(a_container_sees_its_limits_at_the_root),
        IN_ROOT(v1_controllers_have_their_own_paths),
        IN_ROOT(the_tightest_ancestor_of_v1_counts_too),
        IN_ROOT(what_is_no_quota_says_nothing),
        IN_ROOT(hostile_contents_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
