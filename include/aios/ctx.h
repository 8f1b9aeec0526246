/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ctx.h
 * The root object: allocator with a hard byte budget, log, environment, registries.
 */
#ifndef AIOS_CTX_H
#define AIOS_CTX_H

#include <aios/base.h>
#include <aios/env.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_ctx aios_ctx;

/** What memory is used for: the rows of aios_mem_usage. */
#define AIOS_MEM_KINDS(X)                                                                          \
    X(OTHER, 0, "other")                                                                           \
    X(WEIGHTS, 1, "weights")                                                                       \
    X(KV, 2, "kv")                                                                                 \
    X(SCRATCH, 3, "scratch")                                                                       \
    X(VOCAB, 4, "vocab")                                                                           \
    X(TEXT, 5, "text")                                                                             \
    X(BUFFER, 6, "buffer")
enum {
#define X(name, number, text) AIOS_MEM_##name = (number),
    AIOS_MEM_KINDS(X)
#undef X
        AIOS_MEM_COUNT = 7
};

/** Bytes used now and at most, by kind. */
typedef struct aios_mem_usage {
    size_t struct_size;
    uint64_t budget; /**< the limit */
    uint64_t used;   /**< never above the limit */
    uint64_t peak;
    uint64_t refused; /**< how many requests the budget refused */
    uint64_t by_kind[16];      /**< AIOS_MEM_x */
    uint64_t peak_by_kind[16];
} aios_mem_usage;

/**
 * Memory pressure: called before a request of `need` bytes is refused. Free something (aios objects included) and return
 * 1 to try once more, or 0. Called from the thread that allocates, with no lock held.
 */
typedef int aios_pressure_fn(void *user, uint64_t used, uint64_t budget, uint64_t need);

/** Options of a context; all zero = defaults. */
typedef struct aios_ctx_config {
    size_t struct_size;
    uint64_t budget;      /**< bytes; 0: 80% of what the machine or its cgroup allows */
    const aios_env *env;  /**< copied; NULL: the real world */
    aios_log_fn *log;     /**< NULL: silent */
    void *log_user;
    aios_pressure_fn *pressure;
    void *pressure_user;
    int32_t log_level;    /**< AIOS_LOG_x and below are sent; 0: errors only */
    uint32_t n_threads;   /**< compute threads; 0: as many as CPUs are allowed */
    const char *cpu;      /**< cap of the instruction set: "scalar", "avx2", ... NULL: the best there is */
    uint64_t grammar_bytes; /**< most bytes of compiled schemas and grammars that are kept for the next use; 0: 32 MiB; 1: none. Whatever
                                 nobody holds is given up before the budget refuses anything. */
} aios_ctx_config;

/**
 * Makes a context. cfg may be NULL. Fails with EINVAL, ENOMEM, EVERSION. Ownership: aios_ctx_free.
 * Thread-safety of the object: safe.
 */
AIOS_API int aios_ctx_new(const aios_ctx_config *cfg, aios_ctx **ctx, aios_error *err);
/** Drops the caller's reference; the memory goes when the last child does. NULL is fine. */
AIOS_API void aios_ctx_free(aios_ctx *ctx);
/** Changes the budget; EBUDGET (have = budget asked, need = bytes in use) if more is in use now. */
AIOS_API int aios_ctx_set_budget(aios_ctx *ctx, uint64_t bytes, aios_error *err);
/** Fills *out; the sum of by_kind is used. */
AIOS_API int aios_ctx_usage(const aios_ctx *ctx, aios_mem_usage *out);
/** Name of a memory kind, or NULL past the last. */
AIOS_API const char *aios_mem_kind_name(uint32_t kind);
/**
 * Fills unset fields of *cfg from the environment: AIOS_CPU (a level), AIOS_THREADS (1 .. 4096), AIOS_BUDGET (bytes, with
 * K, M or G for powers of 1024), AIOS_LOG (error, warn, info, debug). A value of another form is EINVAL and leaves *cfg
 * alone; an empty one is as none. The library reads no other options from the environment. The strings point into it.
 */
AIOS_API int aios_config_from_env(aios_ctx_config *cfg, aios_error *err);
/**
 * Loads a plugin .so (see plugin/plugin.h) by its path, which must hold a slash. ENOENT, EIO if it cannot be loaded,
 * EFORMAT if it is no plugin, EVERSION if its ABI is another, EEXIST if it is loaded already, or what its init gave. It
 * stays mapped until the last object of ctx is gone. Code of a plugin can do all that the host can: load only trusted ones.
 */
AIOS_API int aios_plugin_load(aios_ctx *ctx, const char *path, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
