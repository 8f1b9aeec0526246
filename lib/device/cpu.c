/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ISA levels, and the facts of the machine. */
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "device/device_priv.h"

#define BIT(isa) (1u << AIOS__ISA_##isa)
#define X86_BASE (BIT(SCALAR) | BIT(AVX2))
#define X86_512 (X86_BASE | BIT(AVX512))

/* One row a level: its name, and the set that a cap of that name allows. */
static const struct level {
    const char *name;
    uint32_t cap;
    uint32_t arm; /* 0: everywhere, 1: x86, 2: AArch64 */
} levels[AIOS__ISA_COUNT] = {
    [AIOS__ISA_SCALAR] = {"scalar", BIT(SCALAR), 0},
    [AIOS__ISA_AVX2] = {"avx2", X86_BASE, 1},
    [AIOS__ISA_AVXVNNI] = {"avxvnni", X86_BASE | BIT(AVXVNNI), 1},
    [AIOS__ISA_AVX512] = {"avx512", X86_512, 1},
    [AIOS__ISA_AVX512VNNI] = {"avx512vnni", X86_512 | BIT(AVX512VNNI), 1},
    [AIOS__ISA_AVX512BF16] = {"avx512bf16", X86_512 | BIT(AVX512VNNI) | BIT(AVX512BF16), 1},
    [AIOS__ISA_NEON] = {"neon", BIT(SCALAR) | BIT(NEON), 2},
    [AIOS__ISA_DOTPROD] = {"dotprod", BIT(SCALAR) | BIT(NEON) | BIT(DOTPROD), 2},
    [AIOS__ISA_I8MM] = {"i8mm", BIT(SCALAR) | BIT(NEON) | BIT(DOTPROD) | BIT(I8MM), 2},
};

#if defined(__aarch64__)
#define HERE 2
#else
#define HERE 1
#endif

const char *aios__isa_name(uint32_t isa)
{
    return isa < AIOS__ISA_COUNT ? levels[isa].name : "?";
}

int aios__isa_cap(const char *name, uint32_t *out, aios_error *err)
{
    char valid[160];
    size_t n = 0;
    *out = UINT32_MAX;
    if (!name || !name[0])
        return AIOS_OK;
    for (uint32_t i = 0; i < AIOS__ISA_COUNT; i++) {
        if (levels[i].arm && levels[i].arm != HERE)
            continue;
        if (!strcmp(levels[i].name, name)) {
            *out = levels[i].cap;
            return AIOS_OK;
        }
        n += (size_t)snprintf(valid + n, sizeof valid - n, "%s%s", n ? ", " : "", levels[i].name);
    }
    return aios__fail(err, AIOS_EINVAL, "cpu \"%.40s\" is no instruction set level of this architecture: use one of %s", name, valid);
}

uint32_t aios__cpu_levels_best(void)
{
    return aios__cpu_detect();
}

aios__cpu *aios__ctx_cpu_slot(const aios_ctx *ctx)
{
    return aios__ctx_slot(ctx, AIOS__SLOT_CPU);
}

uint32_t aios__cpu_levels(aios_ctx *ctx)
{
    const aios__cpu *cpu = aios__ctx_cpu_slot(ctx);
    return cpu ? cpu->levels : 1u << AIOS__ISA_SCALAR;
}

/* ---- facts -------------------------------------------------------------------------------------------------------- */

static void read_allowed(uint64_t *bits)
{
    memset(bits, 0, AIOS__CPU_WORDS * sizeof *bits);
    if (sched_getaffinity(0, AIOS__CPU_WORDS * sizeof *bits, (cpu_set_t *)bits))
        memset(bits, 0xff, AIOS__CPU_WORDS * sizeof *bits);
}

static void read_topo(aios__topo *t)
{
    uint64_t allowed[AIOS__CPU_WORDS];
    read_allowed(allowed);
    if (!aios__topo_sysfs("", t) && !aios__topo_hwloc(t))
        aios__topo_sysfs("", t);
    aios__topo_finish(t, allowed);
    if (t->n_allowed)
        return;
    /* the files name none of the CPUs that this thread may run on: believe the kernel's mask */
    memcpy(t->online, allowed, sizeof allowed);
    for (uint32_t i = 0; i < AIOS__MAX_CPUS; i++)
        t->core_of[i] = (uint16_t)i;
    aios__topo_finish(t, allowed);
}

int aios__ctx_topo(aios_ctx *ctx, const aios__topo **out, aios_error *err)
{
    aios__cpu *cpu = aios__ctx_cpu_slot(ctx);
    if (!cpu)
        return aios__fail(err, AIOS_ESTATE, "this context has no CPU device");
    aios_error e = AIOS_INIT(aios_error);
    pthread_mutex_lock(&cpu->lock);
    if (!cpu->topo) {
        cpu->topo = aios__alloc(aios__ctx_heap(ctx), AIOS_MEM_OTHER, sizeof *cpu->topo, &e);
        if (cpu->topo)
            read_topo(cpu->topo);
    }
    *out = cpu->topo;
    pthread_mutex_unlock(&cpu->lock);
    return *out ? AIOS_OK : aios__error_copy(err, &e);
}

static uint64_t meminfo_kb(const char *text, const char *key)
{
    const char *p = strstr(text, key);
    unsigned long long v;
    return p && sscanf(p + strlen(key), " %19llu", &v) == 1 && v < UINT64_MAX / 1024 ? (uint64_t)v * 1024 : 0;
}

static void fill_memory(aios_cpu_info *out, const aios__cgroup *g)
{
    char text[4096];
    aios__sys_text("", "/proc/meminfo", text, sizeof text);
    out->memory_total = meminfo_kb(text, "MemTotal:");
    out->memory_free = meminfo_kb(text, "MemAvailable:");
    out->huge_page_size = meminfo_kb(text, "Hugepagesize:");
    long size = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_PHYS_PAGES);
    out->page_size = size > 0 ? (uint64_t)size : 4096;
    if (!out->memory_total && pages > 0)
        out->memory_total = (uint64_t)pages * out->page_size;
    out->memory_limit = g->memory_limit < out->memory_total ? g->memory_limit : out->memory_total;
    uint64_t room = g->memory_limit - (g->memory_used < g->memory_limit ? g->memory_used : g->memory_limit);
    if (room < out->memory_free)
        out->memory_free = room;
    if (aios__sys_text("", "/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) > 0)
        out->thp = strstr(text, "[always]") ? 2 : strstr(text, "[madvise]") ? 1 : 0;
}

static uint32_t highest(uint32_t set)
{
    return set ? 31 - (uint32_t)__builtin_clz(set) : 0;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int aios__cpu_info(aios_ctx *ctx, aios_cpu_info *out, aios_error *err)
{
    aios__cgroup g;
    const aios__topo *t;
    int rc = aios__ctx_topo(ctx, &t, err);
    if (rc)
        return rc;
    aios__cgroup_read("", &g);
    *out = (aios_cpu_info)AIOS_INIT(aios_cpu_info);
    out->n_packages = t->n_packages;
    out->n_cores = t->n_cores;
    out->n_cpus = t->n_cpus;
    out->n_allowed = t->n_allowed;
    out->n_numa = t->n_numa;
    out->quota_millicpu = (uint32_t)(g.quota_millicpu < UINT32_MAX ? g.quota_millicpu : 0);
    out->n_usable = min_u32(t->n_allowed, t->n_allowed_cores);
    if (out->quota_millicpu)
        out->n_usable = min_u32(out->n_usable, (out->quota_millicpu - 1) / 1000 + 1);
    out->n_usable += !out->n_usable;
    out->cache_line = t->cache_line;
    out->l1d = t->l1d;
    out->l2 = t->l2;
    out->l3 = t->l3;
    fill_memory(out, &g);
    aios__cpu_names(out->vendor, out->model);
    snprintf(out->isa, sizeof out->isa, "%s", aios__isa_name(highest(aios__cpu_levels(ctx))));
    snprintf(out->isa_best, sizeof out->isa_best, "%s", aios__isa_name(highest(aios__cpu_levels_best())));
    snprintf(out->source, sizeof out->source, "%s", t->source);
    return AIOS_OK;
}

int aios_cpu_info_get(const aios_ctx *ctx, aios_cpu_info *out)
{
    aios_cpu_info info;
    if (!ctx || !out)
        return AIOS_EINVAL;
    /* the topology is a cache that the ctx fills in at first use */
    int rc = aios__cpu_info((aios_ctx *)(uintptr_t)ctx, &info, NULL);
    return rc ? rc : aios__struct_out(out, &info, sizeof info);
}
