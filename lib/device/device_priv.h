/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of lib/device, and of its tests. */
#ifndef AIOS_LIB_DEVICE_PRIV_H
#define AIOS_LIB_DEVICE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "device/device.h"

/* ---- sysfile.c: small files of /proc and /sys under a root that tests replace ------------------------------------- */

/** Text of a file into buf[n], NUL-terminated, cut if longer; -1 if it cannot be read. Never blocks. */
long aios__sys_text(const char *root, const char *path, char *buf, size_t n);
/** The number a file begins with; false if there is none. Suffixes K, M, G of sysfs are applied. */
bool aios__sys_u64(const char *root, const char *path, uint64_t *out);
/** Sets the bits of a list as "0-3,8"; numbers past n_bits are dropped. Returns how many bits were set. */
uint32_t aios__sys_list(const char *text, uint64_t *bits, uint32_t n_bits);

/* ---- topology ------------------------------------------------------------------------------------------------------ */

enum { AIOS__MAX_CPUS = 4096, AIOS__CPU_WORDS = AIOS__MAX_CPUS / 64 };

/** What topo.c or topo_sysfs.c fills in, then what aios__topo_finish derives. */
typedef struct aios__topo {
    uint64_t online[AIOS__CPU_WORDS];
    uint16_t core_of[AIOS__MAX_CPUS]; /**< smallest CPU number of the same core */
    uint32_t n_packages, n_numa, cache_line;
    uint64_t l1d, l2, l3;
    const char *source;
    uint32_t n_cpus, n_cores, n_allowed, n_allowed_cores;
    uint16_t order[AIOS__MAX_CPUS]; /**< the n_allowed usable CPUs, one of each core first */
} aios__topo;

/** False if hwloc is not built in or fails. Loads its plugins and what they bring, which takes milliseconds. */
bool aios__topo_hwloc(aios__topo *t);
/** What it cannot read is one CPU; true if it found cores and caches. */
bool aios__topo_sysfs(const char *root, aios__topo *t);
/** Counts, and the order for pinning; allowed is the affinity mask. */
void aios__topo_finish(aios__topo *t, const uint64_t *allowed);

typedef struct aios__cgroup {
    uint64_t quota_millicpu; /**< 0: none */
    uint64_t memory_limit;   /**< UINT64_MAX: none */
    uint64_t memory_used;    /**< of the group with that limit */
} aios__cgroup;
/** The tightest limits of the process's cgroup and its ancestors, v1 or v2. */
void aios__cgroup_read(const char *root, aios__cgroup *out);

/* ---- CPU ----------------------------------------------------------------------------------------------------------- */

/** Registers that decide the levels of an x86 CPU, as cpuid and xgetbv give them. */
typedef struct aios__x86_regs {
    uint32_t max_leaf;
    uint32_t l1_ecx, l7_ebx, l7_ecx, l7_edx, l7_1_eax;
    uint64_t xcr0;
} aios__x86_regs;
/** Set of levels; a level whose registers the system does not save is left out. Compiled everywhere. */
uint32_t aios__x86_levels(const aios__x86_regs *r);
/** One implementation an architecture: levels of this machine, and its names. */
uint32_t aios__cpu_detect(void);
void aios__cpu_names(char vendor[32], char model[96]);

/** Slot AIOS__SLOT_CPU. */
typedef struct aios__cpu {
    aios_ctx *ctx;
    uint32_t levels;
    char vendor[32], model[96];
    _Atomic uint64_t events;
    _Atomic(aios__dequantize_fn *) dequantize;
    pthread_mutex_t lock; /**< guards topo */
    aios__topo *topo;     /**< made at first use */
} aios__cpu;
aios__cpu *aios__ctx_cpu_slot(const aios_ctx *ctx);
/** The topology, read once; borrowed from ctx. */
int aios__ctx_topo(aios_ctx *ctx, const aios__topo **out, aios_error *err);
/** Facts as aios_cpu_info_get gives them, with what can fail told. */
int aios__cpu_info(aios_ctx *ctx, aios_cpu_info *out, aios_error *err);

/* ---- devices ------------------------------------------------------------------------------------------------------- */

struct aios_device {
    aios_ctx *ctx; /**< not counted: the ctx owns its devices */
    void *self;
    aios_device_ops ops;
    uint32_t flags;
    char name[64];
};

enum { AIOS__MAX_DEVICES = 32, AIOS__DEVICE_CPU_FLAGS = AIOS_DEVICE_HOST_MEMORY | AIOS_DEVICE_EVENTS | AIOS_DEVICE_KERNELS };
extern const aios_device_ops aios__device_cpu_ops;
/** The "kernel" slot of the CPU. */
int aios__device_cpu_kernel(void *self, const aios_device_kernel_args *args, aios_error *err);
/** Packed bytes of a contiguous desc, checked; 0 if it is none (unknown dtype, split block, overflow, strides). */
uint64_t aios__desc_bytes(const aios_tensor_desc *d);

#endif
