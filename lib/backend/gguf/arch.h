/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a model architecture is: names of its hyper-parameters, a table of its tensors and a straight-line forward().
 * To add one: a file in arch/ and a row in arch/list.c.
 */
#ifndef AIOS_LIB_GGUF_ARCH_H
#define AIOS_LIB_GGUF_ARCH_H

#include "backend/gguf/file.h"
#include "kernel/kernel.h"

typedef struct aios__hparams {
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_rot, n_ctx_train, n_vocab;
    float eps;
    float rope_base;
    float rope_scale;       /**< positions are multiplied by it */
    float rope_base_local;  /**< of layers with a window */
    float attn_scale;       /**< on q . k */
    float embd_scale;       /**< 0: none */
    float attn_softcap, logit_softcap; /**< 0: none */
    uint32_t window;        /**< positions a window layer sees; 0: all layers see all */
    uint32_t window_period; /**< of so many layers the last one is global */
    bool rope_neox;
} aios__hparams;

/** Layer il sees only a window of positions. */
static inline bool aios__layer_has_window(const aios__hparams *hp, uint32_t il)
{
    return hp->window && (!hp->window_period || il % hp->window_period + 1 < hp->window_period);
}

/** Number of a layer among those that have a window, or among those that have none. */
static inline uint32_t aios__layer_in_class(const aios__hparams *hp, uint32_t il)
{
    uint32_t n_global = !hp->window ? il : hp->window_period ? il / hp->window_period : 0;
    return aios__layer_has_window(hp, il) ? il - n_global : n_global;
}

/** Weights of one layer; absent ones are zero. */
typedef struct aios__layer {
    aios__panels q, k, v, o, gate, up, down;
    const float *attn_norm, *q_norm, *k_norm, *q_bias, *k_bias, *v_bias, *attn_post_norm;
    const float *ffn_norm, *ffn_post_norm;
} aios__layer;

typedef struct aios__weights {
    aios__panels embd, head; /**< the same data if tied */
    const float *out_norm, *rope_freqs;
    aios__layer *layers;
} aios__weights;

/** Sizes a tensor may have. */
enum aios__dim { AIOS__DIM_ONE, AIOS__DIM_EMBD, AIOS__DIM_Q, AIOS__DIM_KV, AIOS__DIM_FF, AIOS__DIM_HEAD, AIOS__DIM_ROT2, AIOS__DIM_VOCAB };
enum { AIOS__TENSOR_LAYER = 1, AIOS__TENSOR_OPTIONAL = 2, AIOS__TENSOR_FLOATS = 4, AIOS__TENSOR_POSITIVE = 8 };

typedef struct aios__tensor_spec {
    const char *name; /**< behind "blk.N." for LAYER */
    uint8_t rows, cols;
    uint16_t flags;
    size_t field;     /**< in aios__layer or aios__weights: aios__panels, or const float * for FLOATS */
} aios__tensor_spec;

struct aios__exec;
typedef struct aios__arch {
    const char *name;
    /** Sets what is particular to it, after the common keys were read. */
    int (*hparams)(const aios__gguf *g, aios__hparams *hp, aios_error *err);
    const aios__tensor_spec *const *tables; /**< NULL-terminated list of tables that end with a NULL name */
    /** Runs on every thread of the pool at once. */
    void (*forward)(struct aios__exec *x);
} aios__arch;

/** By general.architecture; NULL if unknown. */
const aios__arch *aios__arch_find(const char *name, size_t n);
/** Names of all, comma separated, for messages. */
int aios__arch_names(aios__buf *out);

/** Reads and checks the hyper-parameters. EFORMAT or ENOTSUP name the key. n_vocab is left to the tensors. */
int aios__hparams_read(const aios__gguf *g, const aios__arch *arch, aios__hparams *hp, aios_error *err);

/** Tables and forward that several architectures share. */
extern const aios__tensor_spec aios__tensors_common[], aios__tensors_bias[], aios__tensors_qk_norm[], aios__tensors_rope_freqs[],
    aios__tensors_post_norm[];
void aios__forward_llama(struct aios__exec *x);
extern const aios__arch aios__arch_llama, aios__arch_qwen2, aios__arch_qwen3, aios__arch_gemma3;

#endif
