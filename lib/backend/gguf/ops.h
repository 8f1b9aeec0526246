/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of a forward pass. forward() runs on every thread of the pool at once; each op divides its rows, panels or
 * heads among the threads and ends in a barrier where the next op reads what other threads wrote.
 *
 * Few rows (AIOS__NARROW or less): the residual stream is private, every thread computes norms and quantizes for itself, which
 * is cheaper than a barrier. More: rows are divided and the results shared. The numbers are the same bits either way.
 */
#ifndef AIOS_LIB_GGUF_OPS_H
#define AIOS_LIB_GGUF_OPS_H

#include "backend/gguf/net.h"

/** One thread's view of a batch in work. */
typedef struct aios__exec {
    const aios__net *net;
    const aios__kernels *k;
    struct aios__batch *batch;
    aios_pool *pool;
    uint32_t tid, n_threads;
    uint32_t n;          /**< rows still in work: all, then only those whose logits are wanted */
    const uint32_t *map; /**< their numbers in the batch */
    bool wide;
    float *h;            /**< residual stream, n x n_embd */
    float *norm;         /**< normed rows, n x n_embd */
    aios__act act;       /**< what the next gemm reads */
    struct aios__own *own;
    uint32_t n_asked;    /**< times that it was asked whether to stop */
    uint32_t n_shared;   /**< ops whose pieces threads took as they came */
} aios__exec;

/** Part of n that this thread takes. */
static inline void aios__exec_split(const aios__exec *x, uint32_t n, uint32_t *from, uint32_t *to)
{
    *from = (uint32_t)((uint64_t)n * x->tid / x->n_threads);
    *to = (uint32_t)((uint64_t)n * (x->tid + 1) / x->n_threads);
}

/** True if the pass was given up, on all threads alike if a barrier stands between each call and the next; the pass is then over. */
bool aios__op_stopped(aios__exec *x);
void aios__op_embed(aios__exec *x);
/** act = quantized rmsnorm(h). */
void aios__op_norm(aios__exec *x, const float *w);
void aios__op_qkv(aios__exec *x, const aios__layer *l);
/** Biases, norms and rotation of q and k; k and v go into the cache. */
void aios__op_rope_store(aios__exec *x, const aios__layer *l, uint32_t il);
/** Leaves only the rows whose logits are wanted; false if there are none. */
bool aios__op_select(aios__exec *x);
void aios__op_attend(aios__exec *x, uint32_t il);
/** tmp = w x attention. */
void aios__op_project(aios__exec *x, const aios__panels *w);
/** h += tmp, or h += rmsnorm(tmp). */
void aios__op_residual(aios__exec *x, const float *post_norm);
/** act = quantized gate(act) op up(act). */
void aios__op_gate_up(aios__exec *x, const aios__layer *l, aios__vec2_fn *fn);
/** tmp = w x act. */
void aios__op_down(aios__exec *x, const aios__panels *w);
void aios__op_logits(aios__exec *x);

#endif
