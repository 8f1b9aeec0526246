/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file device.h
 * What computes: topology and instruction set of the CPU, devices, the thread pool.
 */
#ifndef AIOS_DEVICE_H
#define AIOS_DEVICE_H

#include <aios/ctx.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_device aios_device;
typedef struct aios_pool aios_pool;

enum { AIOS_DEVICE_CPU = 1, AIOS_DEVICE_GPU = 2, AIOS_DEVICE_OTHER = 3 };
/** Capabilities of a device. */
enum { AIOS_DEVICE_HOST_MEMORY = 1, AIOS_DEVICE_EVENTS = 2, AIOS_DEVICE_KERNELS = 4 };

/** Facts of a device. Text lives as long as the device. */
typedef struct aios_device_info {
    size_t struct_size;
    const char *name;        /**< "cpu", or the plugin's */
    const char *description; /**< model name */
    int32_t type;            /**< AIOS_DEVICE_x */
    uint32_t flags;
    uint64_t memory_total;   /**< bytes */
    uint64_t memory_free;    /**< bytes */
    uint32_t alignment;      /**< preferred, bytes */
    uint32_t n_units;        /**< CPUs or compute units usable */
} aios_device_info;

/** Topology and limits of the machine as this process may use it. */
typedef struct aios_cpu_info {
    size_t struct_size;
    uint32_t n_packages;
    uint32_t n_cores;        /**< physical */
    uint32_t n_cpus;         /**< logical, online */
    uint32_t n_allowed;      /**< in the affinity mask of the process */
    uint32_t n_numa;
    uint32_t quota_millicpu; /**< cgroup CPU limit in 1/1000 CPU; 0: none */
    uint32_t n_usable;       /**< what the default pool uses: min of allowed, quota, physical cores */
    uint32_t cache_line;     /**< bytes */
    uint64_t l1d, l2, l3;    /**< bytes, of one instance; 0: unknown */
    uint64_t memory_total;   /**< bytes of the machine */
    uint64_t memory_limit;   /**< bytes: the smaller of memory_total and the cgroup limit */
    uint64_t memory_free;    /**< bytes available now */
    uint64_t page_size, huge_page_size;
    char vendor[32];
    char model[96];
    char isa[32];            /**< level in use: "scalar" ... "avx512vnni", "i8mm" */
    char isa_best[32];       /**< best level of this CPU */
    char source[16];         /**< "hwloc" or "sysfs" */
    uint32_t thp;            /**< transparent huge pages: 0 never, 1 madvise, 2 always */
    uint32_t reserved0;
} aios_cpu_info;

/** Measured rates; zero where not measured. */
typedef struct aios_cpu_rates {
    size_t struct_size;
    double read_bytes_per_s;  /**< memory read bandwidth, all pool threads */
    double f32_flop_per_s;    /**< FMA peak */
    double int8_op_per_s;     /**< int8 multiply-add peak of the level in use (2 ops each) */
    double bf16_flop_per_s;   /**< bf16 dot product peak of the level in use; 0: it has none */
    double read_bytes_per_s_1, f32_flop_per_s_1, int8_op_per_s_1, bf16_flop_per_s_1; /**< the same of one thread */
} aios_cpu_rates;

/** Options of a pool. */
typedef struct aios_pool_config {
    size_t struct_size;
    uint32_t n_threads; /**< 0: aios_cpu_info.n_usable; the calling thread is one of them */
    uint32_t pin;       /**< 1: pin workers to CPUs */
    uint32_t spin_us;   /**< how long a barrier spins before it yields, then parks; 0: 50 */
    uint32_t reserved0;
} aios_pool_config;

/** Body of a parallel region, run once for each i of 0 .. n-1. */
typedef void aios_task_fn(void *user, uint32_t i, uint32_t n);

/** Number of devices; at least 1 (the CPU, index 0). */
AIOS_API uint32_t aios_device_count(const aios_ctx *ctx);
/** Borrowed from ctx; NULL past the end. */
AIOS_API aios_device *aios_device_at(aios_ctx *ctx, uint32_t i);
/** Fills *out. EINVAL on NULL, or what the device gave. */
AIOS_API int aios_device_info_get(const aios_device *dev, aios_device_info *out);
/** Fills *out; found out once for each context. */
AIOS_API int aios_cpu_info_get(const aios_ctx *ctx, aios_cpu_info *out);
/** Measures for about half a second on all usable CPUs. ENOMEM, EBUDGET (needs 8 x L3, at most 512 MiB). */
AIOS_API int aios_cpu_probe(aios_ctx *ctx, aios_cpu_rates *out, aios_error *err);

/** Makes a pool; threads start at the first run. Thread-safety: one thread at a time (EBUSY else). */
AIOS_API int aios_pool_new(aios_ctx *ctx, const aios_pool_config *cfg, aios_pool **pool, aios_error *err);
/** Runs fn for i = 0..n-1, spread over the threads, and returns when all are done. */
AIOS_API int aios_pool_run(aios_pool *pool, aios_task_fn *fn, void *user, uint32_t n);
/** Number of threads, the caller's included; 0 for NULL. */
AIOS_API uint32_t aios_pool_threads(const aios_pool *pool);
/** Ends and joins the threads. Not from within a task. NULL is fine. */
AIOS_API void aios_pool_free(aios_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
