/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AIOS_LIB_GGUF_SAMPLER_H
#define AIOS_LIB_GGUF_SAMPLER_H

#include <aios/llm.h>

#include "base/base.h"
#include "kernel/kernel.h"

/** Sampler of one turn: parameters, random state, window of recent tokens. */
typedef struct aios__sampler aios__sampler;

/** A token that may be drawn. */
typedef struct aios__candidate {
    float logit;
    float p;
    int32_t id;
} aios__candidate;

/** p as in aios_sampling (NULL: greedy). EINVAL for NaN or out-of-range parameters, naming the field and its range. */
int aios__sampler_new(aios_ctx *ctx, const aios_sampling *p, uint32_t n_vocab, aios__sampler **out, aios_error *err);
void aios__sampler_free(aios__sampler *s);
/** Tells it of a token (prompt or generated), for the penalties. */
void aios__sampler_see(aios__sampler *s, int32_t id);
/** The last n were not said after all. */
void aios__sampler_forget(aios__sampler *s, uint32_t n);
/** The first of the largest of n logits; -1 if it is not finite. */
int32_t aios__largest_logit(const aios__kernels *k, const float *logits, uint32_t n);
/** It draws at random and needs room for candidates. */
bool aios__sampler_draws(const aios__sampler *s);
/** It takes the largest logit as it is. */
bool aios__sampler_is_plain(const aios__sampler *s);
/**
 * Picks from logits (may be changed); room: n_vocab candidates, NULL if it does not draw; bits: bit set of allowed ids (n_vocab bits, 32 a word), NULL: all;
 * logits of others are not looked at. Order: penalties,
 * top-k, softmax at temperature, top-p, min-p, draw - as llama.cpp's defaults. EINTERNAL if nothing is allowed; non-finite
 * logits never win. The result is always in range.
 */
int aios__sampler_pick(aios__sampler *s, float *logits, const uint32_t *bits, aios__candidate *room, int32_t *id, aios_error *err);

#endif
