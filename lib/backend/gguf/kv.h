/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and values in blocks of 64 positions. The store of a model has all blocks: those that caches of sessions hold, shared until one
 * writes, and those that nobody holds any more, kept while memory allows so that a later prompt finds them again.
 *
 * A block has a part for each class of layer: layers that see all positions, and layers that see a window of them. Parts are held
 * one by one, since a cache lets go of the window parts that its next token no longer sees.
 *
 * What a block holds is known by its tokens and the serial of the block before it, compared in full: no hash is trusted. Its first n_ids
 * positions never change; whoever holds it alone may write behind them.
 */
#ifndef AIOS_LIB_GGUF_KV_H
#define AIOS_LIB_GGUF_KV_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/gguf/arch.h"

enum { AIOS__KV_GLOBAL, AIOS__KV_WINDOW, AIOS__KV_CLASSES, AIOS__KV_BUCKETS = 1024 };

struct aios__net;
typedef struct aios__kv_block aios__kv_block;

typedef struct aios__kv_part {
    uint8_t *data; /**< pages: [layer of the class][kv head]; NULL: no such layers, or given back */
    uint32_t refs;  /**< caches that hold it; those that hold the block hold its global part */
    bool idle;      /**< in the list of what could be given back */
    struct aios__kv_part *older, *newer;
    aios__kv_block *block;
} aios__kv_part;

struct aios__kv_block {
    uint64_t serial, parent;     /**< 0: none, this is the beginning */
    aios__kv_block *next;        /**< of its bucket */
    uint32_t n_ids;              /**< > 0: it can be found by so many of ids */
    int32_t ids[AIOS__KV_PAGE];  /**< those behind n_ids are of the cache that holds it alone */
    aios__kv_part part[AIOS__KV_CLASSES];
};

typedef struct aios__kv_store {
    aios__heap *heap;
    int32_t type;                         /**< of pages: aios__kv_type */
    aios__pages *pages[AIOS__KV_CLASSES]; /**< NULL: no layer of the class */
    size_t part_bytes[AIOS__KV_CLASSES];
    uint32_t window;                      /**< 0: no layer has one */
    aios__reclaimer reclaimer;
    bool (*ask)(void *user);              /**< as of aios__kv_store_ask */
    void *ask_user;
    pthread_mutex_t lock;                 /**< guards what follows and the blocks; memory is never asked for under it */
    bool has_lock;
    _Atomic uint64_t last_serial;
    aios__kv_block *buckets[AIOS__KV_BUCKETS];
    aios__kv_part *oldest, *newest;       /**< idle */
    size_t idle_bytes, idle_max;
} aios__kv_store;

int aios__kv_store_init(aios__kv_store *st, aios_ctx *ctx, const aios__hparams *hp, int32_t type, aios_error *err);
void aios__kv_store_destroy(aios__kv_store *st);
/** fn lets go of blocks that somebody holds, once none is idle and memory is wanted; false: nothing more. It may not ask for memory. */
void aios__kv_store_ask(aios__kv_store *st, bool (*fn)(void *user), void *user);

/** A new block that its maker holds; its memory is zero. NULL + err. Takes no lock of the store, as it asks for memory. */
aios__kv_block *aios__kv_block_new(aios__kv_store *st, aios_error *err);
void aios__kv_lock(aios__kv_store *st);
/** Gives back first what is idle beyond the bound. */
void aios__kv_unlock(aios__kv_store *st);
/* Under the lock: */
void aios__kv_hold(aios__kv_store *st, aios__kv_block *b, uint32_t class);
void aios__kv_drop(aios__kv_store *st, aios__kv_block *b, uint32_t class);
/** Lets a block behind `parent` be found by the first n of its ids; gives an equal whole block instead if there is one. */
aios__kv_block *aios__kv_list(aios__kv_store *st, aios__kv_block *b, uint64_t parent, uint32_t n);
/** Of the blocks behind `parent` the one that begins with the most of n ids; *same: how many, 0 without one. */
aios__kv_block *aios__kv_find(const aios__kv_store *st, uint64_t parent, const int32_t *ids, uint32_t n, uint32_t *same);
/** The window part is there, or not needed. */
static inline bool aios__kv_has_window(const aios__kv_store *st, const aios__kv_block *b)
{
    return !st->window || b->part[AIOS__KV_WINDOW].data;
}

/* ---- kv.c: what a session has computed -------------------------------------------------------------------------- */

typedef struct aios__kv {
    struct aios__net *net;
    aios__kv_block **blocks;
    uint32_t n_blocks, cap;
    uint32_t first;  /**< block whose window part is the first that is held */
    uint32_t settled; /**< positions that others can find */
    uint32_t n;      /**< positions computed */
    uint32_t n_ctx;
    bool unshared;   /**< others do not find what is computed here */
} aios__kv;

/** Token of position i: one that was computed, or that room was reserved for. Tokens stand in the blocks and nowhere else. */
static inline int32_t *aios__kv_id(const aios__kv *kv, uint32_t i)
{
    return &kv->blocks[i / AIOS__KV_PAGE]->ids[i % AIOS__KV_PAGE];
}

int aios__kv_new(struct aios__net *net, uint32_t n_ctx, aios__kv **out, aios_error *err);
/** What it has computed stays in the store as long as memory allows. */
void aios__kv_free(aios__kv *kv);
/** Room for n more positions that may be written: new blocks, and a copy of a shared one. ECONTEXT, EBUDGET. */
int aios__kv_reserve(aios__kv *kv, uint32_t n, aios_error *err);
/** Lets others find what was computed; reserve and free do it too. */
void aios__kv_settle(aios__kv *kv);
/**
 * Forgets the positions from n on. Fewer than n are left, as kv->n says, if n is more than a page behind the last reserve or resume and
 * what the window layers would see there is gone: they are to be computed again.
 */
void aios__kv_truncate(aios__kv *kv, uint32_t n);
/** Makes the cache hold as much of the beginning of ids as it has or the store knows, at most n; gives the new kv->n. */
uint32_t aios__kv_resume(aios__kv *kv, const int32_t *ids, uint32_t n);
int aios__kv_fork(aios__kv *kv, aios__kv **out, aios_error *err);
/** The first block that window layers read for a token at position n. */
uint32_t aios__kv_first_seen(const aios__kv_store *st, uint32_t n);
/** Holds the window parts from block `first` on, and no others. Under the lock. */
void aios__kv_hold_windows(aios__kv *kv, uint32_t first);

/* ---- kv_file.c: as the public functions say; `model` tells which model it is ------------------------------------ */

int aios__kv_save(aios__kv *kv, uint64_t model, const char *path, aios_error *err);
int aios__kv_load(aios__kv *kv, uint64_t model, const char *path, aios_error *err);

#endif
