/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sessions of a model hold while no turn of theirs runs. It is a cache: when memory is wanted it is let go, of those that were used the
 * longest ago first, and of those that say that they will be back (aios_session_retain) after all others. Blocks that were let go are found
 * again by their tokens as long as nobody needs their memory.
 */
#ifndef AIOS_LIB_GGUF_CACHES_H
#define AIOS_LIB_GGUF_CACHES_H

#include "backend/gguf/kv.h"

/** Of a session; guarded by the lock of the list. */
typedef struct aios__cached {
    aios__kv *kv;
    uint32_t users;     /**< calls and turns that use it now: it stays */
    bool fixed;         /**< more than a cache: what comes next is computed behind it */
    bool returns;       /**< its session will be back */
    int32_t priority;   /**< of its last turn */
    struct aios__cached_row *row; /**< that it stands in; NULL: none */
    struct aios__cached *older, *newer;
} aios__cached;

typedef struct aios__cached_row {
    struct aios__cached *oldest, *newest;
} aios__cached_row;

typedef struct aios__caches {
    pthread_mutex_t lock; /**< behind that of the heap's reclaimers, in front of the store's; memory is never asked for under it */
    bool has_lock;
    aios__cached_row idle[2]; /**< [1]: those that return */
    bool patient;
    pthread_t waiter;
} aios__caches;

/** From here on these are let go too when the store is asked for memory. */
int aios__caches_init(aios__caches *c, aios__kv_store *st, aios_error *err);
/** Once the store is destroyed. */
void aios__caches_destroy(aios__caches *c);
/** The cache is about to be used: it stays until as many _put. */
void aios__caches_take(aios__caches *c, aios__cached *e);
void aios__caches_put(aios__caches *c, aios__cached *e);
/** It goes with its session. */
void aios__caches_remove(aios__caches *c, aios__cached *e);
void aios__caches_retain(aios__caches *c, aios__cached *e, bool returns);
/** Lets go of the cache that was used the longest ago, of a session that returns, of a priority below this; false: there is none. */
bool aios__caches_drop(aios__caches *c, int64_t below);
/** While it is set, memory that this thread asks for is not taken from those that return. */
void aios__caches_patient(aios__caches *c, bool patient);

#endif
