/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_root.h"

#include "device/device_priv.h"

#define CPU "/sys/devices/system/cpu"

static aios__topo topo;
static bool complete;
static uint64_t everything[AIOS__CPU_WORDS];

static void read_fake(void)
{
    memset(everything, 0xff, sizeof everything);
    complete = aios__topo_sysfs(fake_root, &topo);
    aios__topo_finish(&topo, everything);
}

/* n packages of 2 cores of 2 threads, numbered as Linux does: siblings in the upper half. */
static void make_machine(uint32_t n_packages)
{
    char path[128], text[64];
    uint32_t n_cores = n_packages * 2;
    snprintf(text, sizeof text, "0-%u\n", n_cores * 2 - 1);
    fake_file(CPU "/online", text);
    for (uint32_t cpu = 0; cpu < n_cores * 2; cpu++) {
        snprintf(path, sizeof path, CPU "/cpu%u/topology/core_cpus_list", cpu);
        snprintf(text, sizeof text, "%u,%u\n", cpu % n_cores, cpu % n_cores + n_cores);
        fake_file(path, text);
        snprintf(path, sizeof path, CPU "/cpu%u/topology/physical_package_id", cpu);
        snprintf(text, sizeof text, "%u\n", cpu % n_cores / 2);
        fake_file(path, text);
    }
    const char *const caches[][4] = {{"1", "Data", "48K", "64"}, {"1", "Instruction", "32K", "64"}, {"2", "Unified", "2048K", "64"}, {"3", "Unified", "30M", "64"}};
    const char *const names[] = {"level", "type", "size", "coherency_line_size"};
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++) {
            snprintf(path, sizeof path, CPU "/cpu0/cache/index%u/%s", i, names[j]);
            fake_file(path, caches[i][j]);
        }
    snprintf(text, sizeof text, "0-%u\n", n_packages - 1);
    fake_file("/sys/devices/system/node/online", text);
}

static void a_machine_is_counted_as_it_is(void **state)
{
    (void)state;
    make_machine(2);
    read_fake();
    assert_true(complete);
    assert_string_equal(topo.source, "sysfs");
    assert_int_equal(topo.n_packages, 2);
    assert_int_equal(topo.n_cores, 4);
    assert_int_equal(topo.n_cpus, 8);
    assert_int_equal(topo.n_numa, 2);
    assert_int_equal(topo.l1d, 48 << 10);
    assert_int_equal(topo.l2, 2 << 20);
    assert_int_equal(topo.l3, 30 << 20);
    assert_int_equal(topo.cache_line, 64);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(topo.order[i], i);
}

static void the_order_takes_one_cpu_of_each_core_first(void **state)
{
    (void)state;
    make_machine(2);
    aios__topo_sysfs(fake_root, &topo);
    const uint64_t allowed[AIOS__CPU_WORDS] = {0x72}; /* 1 and its sibling 5, 4, 6 */
    aios__topo_finish(&topo, allowed);
    assert_int_equal(topo.n_allowed, 4);
    assert_int_equal(topo.n_allowed_cores, 3);
    const uint16_t want[] = {1, 4, 6, 5};
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(topo.order[i], want[i]);
}

static void an_offline_first_cpu_does_no_harm(void **state)
{
    (void)state;
    make_machine(1);
    fake_file(CPU "/online", "1-3\n");
    read_fake();
    assert_int_equal(topo.n_cpus, 3);
    assert_int_equal(topo.n_cores, 2);
    assert_int_equal(topo.core_of[2], 2); /* its sibling 0 is offline */
}

static void nothing_to_read_is_one_cpu(void **state)
{
    (void)state;
    read_fake();
    assert_false(complete);
    assert_int_equal(topo.n_cpus, 1);
    assert_int_equal(topo.n_cores, 1);
    assert_int_equal(topo.n_packages, 1);
    assert_int_equal(topo.n_numa, 1);
    assert_int_equal(topo.l3, 0);
    assert_int_equal(topo.cache_line, 64);
}

static void what_is_missing_is_told(void **state)
{
    static const char *const files[] = {CPU "/online", CPU "/cpu3/topology/core_cpus_list", CPU "/cpu0/cache/index0/size", CPU "/cpu0/cache/index2/size"};
    char path[200];
    (void)state;
    make_machine(1);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char text[64];
        snprintf(path, sizeof path, "%s%s", fake_root, files[i]);
        FILE *f = fopen(path, "r");
        assert_true(f && fgets(text, sizeof text, f));
        fclose(f);
        read_fake();
        assert_true(complete);
        unlink(path);
        read_fake();
        assert_false(complete);
        fake_file(files[i], text);
    }
}

static void lists_are_read_as_far_as_they_make_sense(void **state)
{
    (void)state;
    const struct {
        const char *text;
        uint32_t n;
        uint64_t bits;
    } rows[] = {{"0-3,8\n", 5, 0x10f}, {"", 0, 0}, {"x", 0, 0}, {"3-1", 0, 0}, {"5,5,5", 1, 0x20}, {"1-", 0, 0}, {"2,,3", 1, 4},
                {"99999999999999999999999", 0, 0}, {"62-99999999999999999999999", 2, 3ull << 62}, {"-5", 0, 0}, {"0\t1", 1, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t bits = 0;
        assert_int_equal(aios__sys_list(rows[i].text, &bits, 64), rows[i].n);
        assert_true(bits == rows[i].bits);
    }
}

static uint32_t random_state = 1;
static uint32_t next_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* Whatever the files hold, the numbers stay within what arrays are made for. */
static void hostile_contents_do_no_harm(void **state)
{
    (void)state;
    static const char *const files[] = {CPU "/online", CPU "/cpu0/topology/core_cpus_list", CPU "/cpu1/topology/core_cpus_list",
                                        CPU "/cpu0/topology/physical_package_id", CPU "/cpu2/topology/physical_package_id",
                                        CPU "/cpu0/cache/index0/level", CPU "/cpu0/cache/index0/size", CPU "/cpu0/cache/index2/coherency_line_size",
                                        "/sys/devices/system/node/online"};
    static const char *const bad[] = {"0-4294967295", "18446744073709551616K", "-1", "4095", "4096", "0-4095", "\n", ",,,", "999999999G", "3-0", "1e9", "0x10"};
    make_machine(1);
    for (uint32_t round = 0; round < 300; round++) {
        const char *file = files[next_random() % (sizeof files / sizeof files[0])];
        if (next_random() % 3) {
            fake_file(file, bad[next_random() % (sizeof bad / sizeof bad[0])]);
        } else {
            char noise[9000];
            size_t n = next_random() % sizeof noise;
            for (size_t i = 0; i < n; i++)
                noise[i] = "0123456789,-\n\0K\xff"[next_random() % 16];
            fake_bytes(file, noise, n);
        }
        if (round % 10)
            continue;
        read_fake();
        assert_true(topo.n_cpus >= 1 && topo.n_cpus <= AIOS__MAX_CPUS);
        assert_true(topo.n_cores >= 1 && topo.n_cores <= topo.n_cpus);
        assert_true(topo.n_packages >= 1 && topo.n_packages <= topo.n_cpus);
        assert_int_equal(topo.n_allowed, topo.n_cpus);
        assert_true(aios__is_pow2(topo.cache_line) && topo.cache_line <= 1024);
        for (uint32_t i = 0; i < topo.n_allowed; i++)
            assert_true(topo.order[i] < AIOS__MAX_CPUS && topo.core_of[topo.order[i]] < AIOS__MAX_CPUS);
    }
}

static void pipes_and_folders_do_not_block(void **state)
{
    (void)state;
    char path[128];
    make_machine(1);
    snprintf(path, sizeof path, "%s" CPU "/online", fake_root);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/sys/devices/system/node/online", fake_root);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    read_fake();
    assert_int_equal(topo.n_cpus, 1);
    assert_int_equal(topo.n_numa, 1);
}

static void hwloc_and_sysfs_agree_on_this_machine(void **state)
{
    (void)state;
    static aios__topo other;
    if (!aios__topo_hwloc(&other))
        skip();
    memset(everything, 0xff, sizeof everything);
    aios__topo_finish(&other, everything);
    aios__topo_sysfs("", &topo);
    aios__topo_finish(&topo, everything);
    assert_int_equal(topo.n_cpus, other.n_cpus);
    assert_int_equal(topo.n_cores, other.n_cores);
    assert_memory_equal(topo.order, other.order, sizeof topo.order);
}

int main(void)
{
#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, fake_root_new, fake_root_free)
    const struct CMUnitTest tests[] = {
        IN_ROOT(a_machine_is_counted_as_it_is),
        IN_ROOT(the_order_takes_one_cpu_of_each_core_first),
        IN_ROOT(an_offline_first_cpu_does_no_harm),
        IN_ROOT(nothing_to_read_is_one_cpu),
        IN_ROOT(what_is_missing_is_told),
        cmocka_unit_test(lists_are_read_as_far_as_they_make_sense),
        IN_ROOT(hostile_contents_do_no_harm),
        IN_ROOT(pipes_and_folders_do_not_block),
        cmocka_unit_test(hwloc_and_sysfs_agree_on_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
