/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plugin/memory.h
 * What a memory implements. The wrapper has checked all arguments; every slot may be called from any thread at any time.
 * A NULL slot means the wrapper's default, where one is named.
 */
#ifndef AIOS_PLUGIN_MEMORY_H
#define AIOS_PLUGIN_MEMORY_H

#include <aios/memory.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_memory_open_args {
    size_t struct_size;
    aios_ctx *ctx;
    const char *path;    /**< the URI behind "name:" */
    uint32_t flags;      /**< AIOS_MEMORY_x */
    int32_t tokenizer;   /**< 0: the memory's own choice */
    uint64_t max_items;  /**< above 0 */
    uint64_t max_bytes;  /**< above 0 */
    void *user;          /**< of aios_memory_register */
} aios_memory_open_args;

typedef struct aios_memory_add_args {
    size_t struct_size;
    const aios_item *items; /**< one behind the other, of this library's size; no text is NULL but the key; lengths are set */
    uint64_t *ids;          /**< n_items; come as random numbers below 2^63 for items that are new, to be filled */
    int64_t wall_us;        /**< now */
    uint64_t n_bytes;       /**< of all texts */
    uint32_t n_items;       /**< at least 1 */
    uint32_t reserved0;
} aios_memory_add_args;

typedef struct aios_memory_find_args {
    size_t struct_size;
    const aios_query *query; /**< of this library's size; its scopes are set unless ANY_SCOPE is, max_hits too; NULL: everything may be seen */
    int64_t wall_us;         /**< now */
    uint64_t id;             /**< of get and remove; else 0 */
    aios_hit_fn *fn;         /**< to be called with no lock held */
    void *user;
} aios_memory_find_args;

typedef struct aios_memory_ops {
    size_t struct_size;
    const char *name;   /**< scheme of its URIs: [a-z][a-z0-9+.-]{0,31} */
    int (*open)(const aios_memory_open_args *args, void **self, aios_error *err);
    void (*close)(void *self);
    int (*add)(void *self, const aios_memory_add_args *args, aios_error *err);
    int (*search)(void *self, const aios_memory_find_args *args, aios_error *err); /**< the text has at least a word and at most MAX_TERMS */
    int (*list)(void *self, const aios_memory_find_args *args, aios_error *err);
    int (*get)(void *self, const aios_memory_find_args *args, aios_error *err);
    int (*find)(void *self, const char *key, int64_t wall_us, uint64_t *id, aios_error *err);
    int (*remove)(void *self, const aios_memory_find_args *args, aios_error *err);
    int (*count)(void *self, const aios_memory_find_args *args, uint64_t *n, aios_error *err); /**< default: by list */
    int (*check)(void *self, aios_error *err);                                               /**< default: reads every item */
    void (*info)(void *self, aios_memory_info *out);                                         /**< fills tokenizer and numbers; default: 0 */
} aios_memory_ops;

/** Adds a kind of memory to ctx; ops is copied. EEXIST if the name is taken. */
AIOS_API int aios_memory_register(aios_ctx *ctx, const aios_memory_ops *ops, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
