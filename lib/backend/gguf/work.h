/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch of one batch: what all threads share, and what each has of its own. */
#ifndef AIOS_LIB_GGUF_WORK_H
#define AIOS_LIB_GGUF_WORK_H

#include "backend/gguf/ops.h"

/** Rows that stand together in one cache. */
typedef struct aios__run {
    uint32_t at, n; /**< in the list of rows in work */
    uint32_t units; /**< attention units of the runs before it */
} aios__run;

typedef struct aios__runs {
    aios__run *p;
    uint32_t n;
    uint32_t units;  /**< of all */
    bool single;     /**< all have one row */
} aios__runs;

/** The token with the largest logit so far. */
typedef struct aios__best {
    float value;
    int32_t id;
} aios__best;

enum { AIOS__SHARED_OPS = 5 }; /**< a layer: qkv, attention, projection, gates, down */
enum { AIOS__HEAD_FLOATS = 16 * AIOS__CHUNK, AIOS__BOUND_ROWS = 4 };

typedef struct aios__own {
    float *h, *norm;       /**< AIOS__NARROW rows */
    void *q;
    void *attn;            /**< kernel scratch */
    const void **pages;    /**< of one attention; grown to the longest cache */
    aios__best *best;      /**< AIOS__CHUNK, of the head's rows that this thread has */
    float *piece;          /**< AIOS__HEAD_FLOATS logits */
    float *reach, *least;  /**< of bounds, AIOS__BOUND_ROWS rows */
} aios__own;

typedef struct aios__work {
    aios_buffer *memory;
    float *h, *h2, *norm, *q, *k, *v, *attn, *tmp, *ff, *up, *cs[2];
    void *act, *act2;      /**< act2: of gates, made while act is read */
    uint32_t *lo[2], *hi;  /**< per row: [0] all positions, [1] window */
    uint32_t *all, *want;  /**< row numbers */
    aios__runs runs[2];    /**< of all rows, of the wanted ones */
    _Atomic uint32_t *next; /**< per layer and op whose pieces are shared: the next one to take */
    const void **pages;
    uint32_t pages_cap;    /**< blocks a thread's list holds */
    float *parts;          /**< per thread: of a row and KV head whose segments several threads share */
    size_t parts_ld;       /**< floats from one thread's to the next */
    _Atomic uint32_t *done; /**< per thread: segments in its parts */
    aios__own *own;        /**< n_threads */
    float *upper;          /**< bounds of a split head: AIOS__BOUND_ROWS x its panels */
    uint32_t bound_rest;   /**< passes until bounds are tried again */
    uint32_t bound_patience; /**< of the last rest */
    aios__batch batch;
    _Atomic uint32_t stop_at; /**< which call of aios__op_stopped, from 0, is the first to say so; 0: none */
    bool given_up;         /**< it was said */
} aios__work;

/** Rows of a run that one attention unit takes, each with the query heads of one KV head. */
static inline uint32_t aios__attn_tokens(const aios__hparams *hp)
{
    uint32_t group = hp->n_head / hp->n_head_kv;
    return group < AIOS__ATTN_ROWS ? AIOS__ATTN_ROWS / group : 1;
}

#endif
