/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded network: weights, threads, scratch; and the cache of keys and values that sessions hold. */
#ifndef AIOS_LIB_GGUF_NET_H
#define AIOS_LIB_GGUF_NET_H

#include <pthread.h>
#include <stdatomic.h>

#include "backend/gguf/kv.h"

/** The code of a failed allocation: ENOMEM or EBUDGET as err says. */
static inline int aios__no_memory(const aios_error *err)
{
    return err && err->code < 0 ? err->code : AIOS_ENOMEM;
}

enum { AIOS__CHUNK = 256, AIOS__NARROW = 16 };

typedef struct aios__net {
    aios_ctx *ctx;
    aios__heap *heap;
    const aios__arch *arch;
    aios__hparams hp;
    aios__weights w;
    aios_buffer *memory;     /**< all weights */
    const aios__kernels *k;
    aios_pool *pool;
    uint32_t n_threads;
    bool quantizes;          /**< some weights read quantized activations */
    int32_t main_dtype;      /**< of most bytes */
    uint64_t n_params;
    float *inv_freq[2];      /**< n_rot / 2 rotation speeds: global, window layers */
    struct aios__packed_writer *packed_writer; /**< NULL: none */
    aios__kv_store kv;       /**< blocks of all its sessions */
    struct aios__work *work; /**< scratch of one batch */
    pthread_mutex_t lock;    /**< one batch at a time */
    pthread_mutex_t next;    /**< held by the one who waits for it, so that nobody overtakes */
    bool has_lock;
} aios__net;

/** progress as in aios_model_config; non-zero cancels. */
typedef int aios__progress_fn(void *user, double part);

/** Work that one thread does before it helps to pack; 0 or a code. */
typedef int aios__beside_fn(void *user, aios_error *err);

/** How to load; all zero is a default. */
typedef struct aios__load_args {
    uint32_t n_threads;          /**< 0: as the context says */
    aios__progress_fn *progress;
    void *progress_user;
    aios__beside_fn *beside;     /**< NULL: none */
    void *beside_user;
    const char *cache_dir;       /**< of packed images; NULL: none */
    uint64_t cache_bytes;        /**< as in aios_model_config */
    bool map_packed;             /**< map the image instead of reading it */
    int32_t kv_type;             /**< of keys and values: aios__kv_type */
} aios__load_args;

/** Bytes that loading will take, without doing it; checks hyper-parameters and the tensor table. */
int aios__net_plan(aios_ctx *ctx, const aios__gguf *g, uint64_t *n_bytes, aios_error *err);
int aios__net_open(aios_ctx *ctx, const aios__gguf *g, const aios__load_args *args, aios__net **out, aios_error *err);
int aios__net_load(aios_ctx *ctx, const aios__gguf *g, uint32_t n_threads, aios__progress_fn *fn, void *user, aios__net **out, aios_error *err);
void aios__net_free(aios__net *net);

/* ---- load.c: internal steps ------------------------------------------------------------------------------------ */

/** Fills net->w from the file; hp is set (n_vocab is not), pool and kernels are there. */
int aios__weights_load(aios__net *net, const aios__gguf *g, const aios__load_args *args, aios_error *err);
void aios__weights_free(aios__net *net);
/** Only checks and sizes; sets hp.n_vocab. */
int aios__weights_plan(aios__net *net, const aios__gguf *g, uint64_t *n_bytes, aios_error *err);

/* ---- kv.h: what sessions have computed --------------------------------------------------------------------------- */

/** Page of a layer and head: keys and values of a block. */
static inline void *aios__kv_page(const aios__kv *kv, uint32_t il, uint32_t head, uint32_t block)
{
    const aios__hparams *hp = &kv->net->hp;
    const aios__kv_part *part = &kv->blocks[block]->part[aios__layer_has_window(hp, il)];
    size_t page = (size_t)aios__layer_in_class(hp, il) * hp->n_head_kv + head;
    return part->data + page * aios__kv_page_bytes(kv->net->kv.type, hp->head_dim);
}

/* ---- eval.c ----------------------------------------------------------------------------------------------------- */

/** Ids that are not chosen. */
enum { AIOS__BANS_MAX = 65 };
typedef struct aios__bans {
    int32_t ids[AIOS__BANS_MAX];
    uint32_t n;
} aios__bans;

/** One token of a batch: its place in a cache, and whether its logits are wanted. */
typedef struct aios__row {
    aios__kv *kv;
    uint32_t pos;
    int32_t id;
    bool want;
    int32_t *best; /**< wanted, and this set: only the token of the largest logit, here; its row of logits is left as it is */
    const aios__bans *bans; /**< of that token; NULL: none */
    const uint32_t *allowed; /**< bit set of the tokens that may come, 32 a word: logits of others are left as they are; NULL: all */
} aios__row;

/** One forward pass over at most AIOS__CHUNK rows; room was reserved. Rows of one cache stand together and in order. */
typedef struct aios__batch {
    const aios__row *rows;
    uint32_t n;
    uint32_t n_want;          /**< counted by the pass */
    float *logits;            /**< of the rows that want them, not only the largest, one behind the other, n_vocab each */
    float *hidden;            /**< or, if set, their final normed states, n_embd each */
    bool (*stop)(void *user); /**< asked twice a layer; true gives the pass up: ECANCELED. NULL: never */
    void *user;
} aios__batch;

int aios__net_pass(aios__net *net, const aios__batch *batch, aios_error *err);
/** fn on all threads of the network, between passes. */
int aios__net_spmd(aios__net *net, aios__spmd_fn *fn, void *user);
/** A pass that is not given up. */
int aios__net_eval(aios__net *net, const aios__row *rows, uint32_t n, float *logits, float *hidden, aios_error *err);
/**
 * Appends n ids to a cache, logits of the last n_rows (0: none). On failure the cache is as before.
 */
int aios__kv_eval(aios__kv *kv, const int32_t *ids, uint32_t n, float *logits, uint32_t n_rows, aios_error *err);
/** Appends n ids, and the token with the largest of the last one's logits, of those that bans (NULL: none) leave. */
int aios__kv_largest(aios__kv *kv, const int32_t *ids, uint32_t n, const aios__bans *bans, int32_t *id, aios_error *err);
/** Final normed hidden states of at most AIOS__CHUNK ids appended to a cache: n x n_embd floats. */
int aios__kv_hidden(aios__kv *kv, const int32_t *ids, uint32_t n, float *out, aios_error *err);

int aios__work_new(aios__net *net, aios_error *err);
void aios__work_free(aios__net *net);

#endif
