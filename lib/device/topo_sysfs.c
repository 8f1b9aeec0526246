/* SPDX-License-Identifier: Apache-2.0 */
/* Topology from /sys: https://docs.kernel.org/admin-guide/cputopology.html. */
#include <stdio.h>

#include "device/device_priv.h"

#define SYS_CPU "/sys/devices/system/cpu"

static bool has_bit(const uint64_t *bits, uint32_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void set_bit(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static uint32_t first_bit(const uint64_t *bits)
{
    for (uint32_t i = 0; i < AIOS__CPU_WORDS; i++)
        if (bits[i])
            return i * 64 + (uint32_t)__builtin_ctzll(bits[i]);
    return AIOS__MAX_CPUS;
}

static uint32_t read_list(const char *root, const char *path, uint64_t *bits)
{
    char text[8192];
    memset(bits, 0, AIOS__CPU_WORDS * sizeof *bits);
    return aios__sys_text(root, path, text, sizeof text) < 0 ? 0 : aios__sys_list(text, bits, AIOS__MAX_CPUS);
}

/* The smallest online CPU of the core of `cpu`; itself where the files say nothing that makes sense. */
static uint32_t core_of(const char *root, const aios__topo *t, uint32_t cpu, bool *known)
{
    static const char *const names[] = {"core_cpus_list", "thread_siblings_list"};
    uint64_t bits[AIOS__CPU_WORDS];
    char path[128];
    for (size_t i = 0; i < AIOS__ARRAY_LEN(names); i++) {
        snprintf(path, sizeof path, SYS_CPU "/cpu%u/topology/%s", cpu, names[i]);
        if (!read_list(root, path, bits) || !has_bit(bits, cpu))
            continue;
        for (uint32_t w = 0; w < AIOS__CPU_WORDS; w++)
            bits[w] &= t->online[w];
        return first_bit(bits);
    }
    *known = false;
    return cpu;
}

/* False if the files leave one of them open. */
static bool read_cores(const char *root, aios__topo *t)
{
    bool known = true;
    uint64_t packages[AIOS__CPU_WORDS] = {0};
    for (uint32_t cpu = 0; cpu < AIOS__MAX_CPUS; cpu++) {
        if (!has_bit(t->online, cpu))
            continue;
        char path[128];
        uint64_t id;
        t->core_of[cpu] = (uint16_t)core_of(root, t, cpu, &known);
        snprintf(path, sizeof path, SYS_CPU "/cpu%u/topology/physical_package_id", cpu);
        if (!aios__sys_u64(root, path, &id) || id >= AIOS__MAX_CPUS)
            id = 0;
        t->n_packages += !has_bit(packages, (uint32_t)id);
        set_bit(packages, (uint32_t)id);
    }
    return known;
}

static void read_cache(const char *root, aios__topo *t, uint32_t cpu, uint32_t index)
{
    char path[128], type[32];
    uint64_t level, size, line;
    snprintf(path, sizeof path, SYS_CPU "/cpu%u/cache/index%u/level", cpu, index);
    if (!aios__sys_u64(root, path, &level))
        return;
    snprintf(path, sizeof path, SYS_CPU "/cpu%u/cache/index%u/size", cpu, index);
    if (!aios__sys_u64(root, path, &size) || size > (uint64_t)1 << 40)
        return;
    snprintf(path, sizeof path, SYS_CPU "/cpu%u/cache/index%u/type", cpu, index);
    if (aios__sys_text(root, path, type, sizeof type) < 0 || !strncmp(type, "Instruction", 11))
        return;
    uint64_t *out = level == 1 ? &t->l1d : level == 2 ? &t->l2 : level == 3 ? &t->l3 : NULL;
    if (out)
        *out = size;
    snprintf(path, sizeof path, SYS_CPU "/cpu%u/cache/index%u/coherency_line_size", cpu, index);
    if (aios__sys_u64(root, path, &line) && aios__is_pow2(line) && line >= 16 && line <= 1024)
        t->cache_line = (uint32_t)line;
}

bool aios__topo_sysfs(const char *root, aios__topo *t)
{
    uint64_t nodes[AIOS__CPU_WORDS];
    memset(t, 0, sizeof *t);
    t->source = "sysfs";
    bool known = read_list(root, SYS_CPU "/online", t->online) > 0;
    if (!known)
        t->online[0] = 1;
    known = read_cores(root, t) && known;
    t->n_numa = read_list(root, "/sys/devices/system/node/online", nodes);
    uint32_t cpu = first_bit(t->online);
    for (uint32_t i = 0; i < 8; i++)
        read_cache(root, t, cpu, i);
    return known && t->l1d && t->l2;
}

void aios__topo_finish(aios__topo *t, const uint64_t *allowed)
{
    uint64_t cores[AIOS__CPU_WORDS] = {0}, used_cores[AIOS__CPU_WORDS] = {0}, used[AIOS__CPU_WORDS] = {0};
    t->n_cpus = t->n_cores = t->n_allowed = 0;
    for (uint32_t cpu = 0; cpu < AIOS__MAX_CPUS; cpu++) {
        if (!has_bit(t->online, cpu))
            continue;
        uint32_t core = t->core_of[cpu];
        t->n_cpus++;
        t->n_cores += !has_bit(cores, core);
        set_bit(cores, core);
        if (!has_bit(allowed, cpu) || has_bit(used_cores, core))
            continue;
        set_bit(used_cores, core);
        set_bit(used, cpu);
        t->order[t->n_allowed++] = (uint16_t)cpu;
    }
    t->n_allowed_cores = t->n_allowed;
    for (uint32_t cpu = 0; cpu < AIOS__MAX_CPUS; cpu++)
        if (has_bit(t->online, cpu) && has_bit(allowed, cpu) && !has_bit(used, cpu))
            t->order[t->n_allowed++] = (uint16_t)cpu;
    t->n_packages += !t->n_packages;
    t->n_numa += !t->n_numa;
    t->cache_line = t->cache_line ? t->cache_line : 64;
}
