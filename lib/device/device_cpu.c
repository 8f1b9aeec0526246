/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in CPU device: memory of the host. Small blocks come from the host's allocator, large ones from mmap. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/device_priv.h"

enum { MMAP_FROM = 1 << 20, HUGE_FALLBACK = 2 << 20, HEAP_ALIGN = 1024 };

static int info(void *self, aios_device_info *out, aios_error *err)
{
    aios__cpu *cpu = self;
    aios_cpu_info facts;
    int rc = aios__cpu_info(cpu->ctx, &facts, err);
    if (rc)
        return rc;
    out->description = cpu->model;
    out->type = AIOS_DEVICE_CPU;
    out->flags = AIOS__DEVICE_CPU_FLAGS;
    out->memory_total = facts.memory_limit;
    out->memory_free = facts.memory_free;
    out->alignment = 64;
    out->n_units = facts.n_usable;
    return AIOS_OK;
}

/* ---- mappings -------------------------------------------------------------------------------------------------------- */

static size_t page_size(void)
{
    long n = sysconf(_SC_PAGESIZE);
    return n > 0 ? (size_t)n : 4096;
}

/* A mapping of n bytes (whole pages) at a multiple of align; what is left over on both sides is given back. */
static void *map_aligned(size_t n, size_t align, int prot)
{
    size_t total, page = page_size();
    if (align <= page)
        align = 0;
    if (!aios__add_size(n, align, &total))
        return NULL;
    char *p = mmap(NULL, total, prot, MAP_PRIVATE | MAP_ANONYMOUS | (prot == PROT_NONE ? MAP_NORESERVE : 0), -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (!align)
        return p;
    char *at = (char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
    if (at > p)
        munmap(p, (size_t)(at - p));
    if (at + n < p + total)
        munmap(at + n, (size_t)(p + total - (at + n)));
    return at;
}

/* mbind(2) without libnuma; only a wish. */
static void bind_node(aios__cpu *cpu, void *p, size_t n, int32_t numa)
{
    enum { MPOL_PREFERRED_ = 1, MAX_NODES = 1024, BITS = 8 * sizeof(unsigned long) };
    unsigned long mask[MAX_NODES / BITS] = {0};
    uint32_t node = (uint32_t)numa - 1;
    if (node >= MAX_NODES) {
        aios__log(cpu->ctx, AIOS_LOG_WARN, "memory for NUMA node %u: only nodes below %d can be asked for", node, MAX_NODES);
        return;
    }
    mask[node / BITS] = 1ul << (node % BITS);
#ifdef SYS_mbind
    if (syscall(SYS_mbind, p, n, MPOL_PREFERRED_, mask, (unsigned long)MAX_NODES + 1, 0))
        aios__log(cpu->ctx, AIOS_LOG_WARN, "memory could not be bound to NUMA node %u (errno %d): it goes where it is first touched", node, errno);
#else
    AIOS__UNUSED(p);
    AIOS__UNUSED(n);
    aios__log(cpu->ctx, AIOS_LOG_WARN, "memory cannot be bound to a NUMA node on this system");
#endif
}

static int fail_map(aios_error *err, size_t n)
{
    return aios__fail_sys(err, AIOS_ENOMEM, errno, "the system has no memory for a mapping of %zu bytes", n);
}

/* Explicit huge pages; false where none are reserved. */
static bool map_huge_tlb(const aios_device_alloc_args *a, aios_device_mem *out)
{
    uint64_t huge = 0;
    size_t n;
    if (!aios__sys_u64("", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &huge) || !aios__is_pow2(huge) || huge > 1u << 30)
        huge = HUGE_FALLBACK;
    if (a->align > huge || !aios__align_size(a->n_bytes, (size_t)huge, &n))
        return false;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (p == MAP_FAILED)
        return false;
    out->ptr = p;
    out->n_bytes = n;
    return true;
}

static int map_pages(aios__cpu *cpu, const aios_device_alloc_args *a, aios_device_mem *out, aios_error *err)
{
    bool lazy = a->flags & AIOS_BUFFER_LAZY, huge = a->flags & (AIOS_BUFFER_HUGE | AIOS_BUFFER_HUGE_TLB);
    size_t n, align = a->align;
    if (!lazy && a->flags & AIOS_BUFFER_HUGE_TLB) {
        if (map_huge_tlb(a, out))
            goto mapped;
        aios__log(cpu->ctx, AIOS_LOG_INFO, "no huge pages are reserved for %zu bytes: transparent ones are asked for", a->n_bytes);
    }
    if (!aios__align_size(a->n_bytes, page_size(), &n))
        return aios__fail(err, AIOS_ENOMEM, "%zu bytes are more than an address space holds", a->n_bytes);
    if (huge && n >= HUGE_FALLBACK && align < HUGE_FALLBACK)
        align = HUGE_FALLBACK;
    out->ptr = map_aligned(n, align, lazy ? PROT_NONE : PROT_READ | PROT_WRITE);
    if (!out->ptr)
        return fail_map(err, n);
    out->n_bytes = n;
    if (huge && madvise(out->ptr, n, MADV_HUGEPAGE))
        aios__log(cpu->ctx, AIOS_LOG_INFO, "transparent huge pages are not to be had (errno %d)", errno);
mapped:
    if (a->numa)
        bind_node(cpu, out->ptr, out->n_bytes, a->numa);
    return AIOS_OK;
}

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

static int heap_alloc(aios__cpu *cpu, const aios_device_alloc_args *a, aios_device_mem *out, aios_error *err)
{
    const aios_env *env = aios__ctx_env(cpu->ctx);
    size_t total;
    if (!aios__add_size(a->n_bytes, a->align, &total))
        return aios__fail(err, AIOS_ENOMEM, "%zu bytes are more than an address space holds", a->n_bytes);
    void *raw = env->realloc(env->user, NULL, 0, total);
    if (!raw)
        return aios__fail_need(err, AIOS_ENOMEM, 0, total, "the system has no memory for %zu bytes", total);
    out->handle = raw;
    out->ptr = (void *)(((uintptr_t)raw + a->align - 1) & ~(uintptr_t)(a->align - 1));
    out->n_bytes = total - (size_t)((char *)out->ptr - (char *)raw);
    if (a->flags & AIOS_BUFFER_ZERO)
        memset(out->ptr, 0, a->n_bytes);
    return AIOS_OK;
}

static int mem_alloc(void *self, const aios_device_alloc_args *a, aios_device_mem *out, aios_error *err)
{
    bool mapped = a->n_bytes >= MMAP_FROM || a->align > HEAP_ALIGN || a->numa || a->flags & (AIOS_BUFFER_LAZY | AIOS_BUFFER_HUGE_TLB);
    return mapped ? map_pages(self, a, out, err) : heap_alloc(self, a, out, err);
}

static void mem_free(void *self, aios_device_mem *mem)
{
    aios__cpu *cpu = self;
    const aios_env *env = aios__ctx_env(cpu->ctx);
    if (mem->handle)
        env->realloc(env->user, mem->handle, (size_t)((char *)mem->ptr - (char *)mem->handle) + mem->n_bytes, 0);
    else if (mem->ptr)
        munmap(mem->ptr, mem->n_bytes);
}

static int mem_commit(void *self, aios_device_mem *mem, size_t n_bytes, aios_error *err)
{
    size_t n;
    AIOS__UNUSED(self);
    if (!aios__align_size(n_bytes, page_size(), &n) || n > mem->n_bytes)
        n = mem->n_bytes;
    if (mprotect(mem->ptr, n, PROT_READ | PROT_WRITE))
        return fail_map(err, n);
    return AIOS_OK;
}

static int mem_fill(void *self, const aios_device_mem *mem, size_t offset, size_t n_bytes, uint8_t value, aios_error *err)
{
    AIOS__UNUSED(self);
    AIOS__UNUSED(err);
    memset((char *)mem->ptr + offset, value, n_bytes);
    return AIOS_OK;
}

/* Everything is done when its call returns: the number only counts. */
static int event_record(void *self, uint64_t *event, aios_error *err)
{
    aios__cpu *cpu = self;
    AIOS__UNUSED(err);
    *event = atomic_fetch_add(&cpu->events, 1) + 1;
    return AIOS_OK;
}

static int event_wait(void *self, uint64_t event, int64_t timeout_ns, aios_error *err)
{
    aios__cpu *cpu = self;
    AIOS__UNUSED(timeout_ns);
    if (event > atomic_load(&cpu->events))
        return aios__fail(err, AIOS_EINVAL, "event %llu was never recorded", (unsigned long long)event);
    return AIOS_OK;
}

const aios_device_ops aios__device_cpu_ops = {
    .struct_size = sizeof(aios_device_ops),
    .name = "cpu",
    .info = info,
    .alloc = mem_alloc,
    .free = mem_free,
    .fill = mem_fill,
    .kernel = aios__device_cpu_kernel,
    .event_record = event_record,
    .event_wait = event_wait,
    .commit = mem_commit,
};
