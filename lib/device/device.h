/* SPDX-License-Identifier: Apache-2.0 */
/* Door of lib/device: CPU levels, pool, devices. */
#ifndef AIOS_LIB_DEVICE_H
#define AIOS_LIB_DEVICE_H

#include <aios/plugin/device.h>

#include "base/base.h"

/** ISA levels, each a bundle; ascending within an architecture. The one table of names and bits is cpu.c. */
enum aios__isa {
    AIOS__ISA_SCALAR,
    AIOS__ISA_AVX2,       /**< avx2 + fma + f16c + bmi2 */
    AIOS__ISA_AVXVNNI,    /**< + avx_vnni */
    AIOS__ISA_AVX512,     /**< avx2 + avx512 f bw dq vl */
    AIOS__ISA_AVX512VNNI, /**< + avx512_vnni */
    AIOS__ISA_AVX512BF16, /**< + avx512_bf16 */
    AIOS__ISA_NEON,
    AIOS__ISA_DOTPROD,
    AIOS__ISA_I8MM,
    AIOS__ISA_COUNT
};

/** Bit set of levels this CPU has, after the cap of the ctx ("avx512vnni": that level and those it builds on). */
uint32_t aios__cpu_levels(aios_ctx *ctx);
/** Bit set of levels of the machine, uncapped. */
uint32_t aios__cpu_levels_best(void);
/** Name of a level ("avx512vnni"). */
const char *aios__isa_name(uint32_t isa);
/** Bit set for a cap by name; EINVAL names the valid ones. "" or NULL: all. */
int aios__isa_cap(const char *name, uint32_t *levels, aios_error *err);

/**
 * SPMD region: fn(user, tid, n) runs on n threads of the pool at once, tid 0 on the caller. Within it, aios__pool_barrier waits
 * for these. n is what the pool has, or less while other work holds its threads up. Workers spin, then yield, then park.
 */
typedef void aios__spmd_fn(void *user, uint32_t tid, uint32_t n_threads);
int aios__pool_spmd(aios_pool *pool, aios__spmd_fn *fn, void *user);
void aios__pool_barrier(aios_pool *pool, uint32_t tid);

/** Memory of dev, counted as `kind`: mem->n_bytes of it, or none yet if flags has LAZY and *lazy (may be NULL) says so. */
int aios__device_alloc(aios_device *dev, const aios_device_alloc_args *args, uint32_t kind, aios_device_mem *out, bool *lazy,
                       aios_error *err);
/** charged: what was counted for it. */
void aios__device_release(aios_device *dev, aios_device_mem *mem, uint32_t kind, size_t charged);

/** Dequantizes n elements of dtype; of the kernel tier, which the CPU's "matmul" needs for quantized weights. */
typedef int aios__dequantize_fn(int32_t dtype, const void *src, size_t n, float *out);
void aios__device_set_dequantize(aios_ctx *ctx, aios__dequantize_fn *fn);

/** The built-in CPU device of ctx, borrowed. */
aios_device *aios__device_cpu(aios_ctx *ctx);
aios_ctx *aios__device_ctx(const aios_device *dev);
bool aios__device_is_host(const aios_device *dev); /**< its memory has addresses of the host */
const aios_device_ops *aios__device_ops(const aios_device *dev, void **self);
/** Called by lib/builtin.c: registers the CPU. */
int aios__device_init(aios_ctx *ctx, aios_error *err);

#endif
