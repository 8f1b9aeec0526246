/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plugin/store.h
 * What a store implements. The wrapper has checked all arguments; every slot may be called from any thread at any time.
 * A NULL slot means the wrapper's default, where one is named.
 */
#ifndef AIOS_PLUGIN_STORE_H
#define AIOS_PLUGIN_STORE_H

#include <aios/store.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_store_open_args {
    size_t struct_size;
    aios_ctx *ctx;
    const char *path;   /**< the URI behind "name:" */
    uint32_t flags;     /**< AIOS_STORE_x */
    uint32_t reserved0;
    void *user;         /**< of aios_store_register */
} aios_store_open_args;

typedef struct aios_store_commit_args {
    size_t struct_size;
    const aios_store_write *writes; /**< one behind the other, of this library's size */
    uint64_t *seqs;                 /**< n_writes; to be filled */
    int64_t wall_us;                /**< time of the commit */
    uint32_t n_writes;              /**< at least 1 */
    uint32_t reserved0;
} aios_store_commit_args;

typedef struct aios_store_read_args {
    size_t struct_size;
    const char *stream;
    uint64_t from;
    aios_record_fn *fn; /**< to be called with no lock held */
    void *user;
} aios_store_read_args;

typedef struct aios_store_list_args {
    size_t struct_size;
    const char *prefix; /**< "" for all */
    aios_stream_fn *fn; /**< to be called with no lock held */
    void *user;
} aios_store_list_args;

typedef struct aios_store_claim_args {
    size_t struct_size;
    const char *name;   /**< with AIOS_CLAIM_ANY a prefix that ends in '/' */
    uint32_t flags;     /**< AIOS_CLAIM_x */
    uint32_t reserved0;
    int64_t ttl_ns;     /**< above 0 */
} aios_store_claim_args;

typedef struct aios_store_claim_out {
    size_t struct_size;
    void *handle;       /**< the store's own */
    uint64_t epoch;
    char name[208];     /**< what was claimed */
} aios_store_claim_out;

/** SLOW: commit waits for a medium or a network. Of who must not wait, a thread of the library's own calls it, for all that came meanwhile at once. */
enum { AIOS_STORE_OPS_SLOW = 1 };

typedef struct aios_store_ops {
    size_t struct_size;
    const char *name;   /**< scheme of its URIs: [a-z][a-z0-9+.-]{0,31} */
    int (*open)(const aios_store_open_args *args, void **self, aios_error *err);
    void (*close)(void *self);
    int (*commit)(void *self, const aios_store_commit_args *args, aios_error *err);
    int (*read)(void *self, const aios_store_read_args *args, aios_error *err);
    int (*head)(void *self, const char *stream, uint64_t *seq, aios_error *err);
    int (*list)(void *self, const aios_store_list_args *args, aios_error *err);
    int (*remove)(void *self, const char *stream, aios_error *err);
    int (*check)(void *self, aios_error *err);             /**< default: reads every stream */
    void (*info)(void *self, aios_store_info *out);        /**< fills n_syncs; default: 0 */
    /** These three together; default: claims among the users of this one open store. */
    int (*claim)(void *self, const aios_store_claim_args *args, aios_store_claim_out *out, aios_error *err);
    int (*claim_renew)(void *self, void *handle, aios_error *err);
    void (*claim_release)(void *self, void *handle);
    uint32_t flags;     /**< AIOS_STORE_OPS_x; 0: commits are quick, and made where they are asked for */
    uint32_t reserved0;
} aios_store_ops;

/** Adds a kind of store to ctx; ops is copied. EEXIST if the name is taken. */
AIOS_API int aios_store_register(aios_ctx *ctx, const aios_store_ops *ops, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
