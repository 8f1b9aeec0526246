/* SPDX-License-Identifier: Apache-2.0 */
/* Tokenizers of GGUF files: byte-level BPE ("gpt2" with the pre-tokenizers of `tokenizer.ggml.pre`) and SentencePiece ("llama"). */
#ifndef AIOS_LIB_GGUF_VOCAB_H
#define AIOS_LIB_GGUF_VOCAB_H

#include "backend/gguf/file.h"

typedef struct aios__vocab aios__vocab;

enum { AIOS__TOKEN_NORMAL = 1, AIOS__TOKEN_UNKNOWN = 2, AIOS__TOKEN_CONTROL = 3, AIOS__TOKEN_USER = 4, AIOS__TOKEN_UNUSED = 5, AIOS__TOKEN_BYTE = 6 };

/** Growable list of ids. */
typedef struct aios__ids {
    aios__heap *heap;
    int32_t *p;
    uint32_t n, cap;
} aios__ids;
int aios__ids_add(aios__ids *ids, int32_t id, aios_error *err);
/** Room for n ids in all. */
int aios__ids_reserve(aios__ids *ids, uint32_t n, aios_error *err);
void aios__ids_free(aios__ids *ids);

/** g must outlive it: texts stay in its metadata. EFORMAT, ENOTSUP (tokenizer or pre-tokenizer not known: named), ENOMEM, EBUDGET. */
int aios__vocab_new(aios_ctx *ctx, const aios__gguf *g, aios__vocab **out, aios_error *err);
void aios__vocab_free(aios__vocab *v);
uint32_t aios__vocab_size(const aios__vocab *v);
/** Appends the ids of n bytes; flags AIOS_TOKENIZE_x. Linear in n whatever the text, no recursion. Safe for concurrent use. */
int aios__vocab_encode(const aios__vocab *v, const char *s, size_t n, uint32_t flags, aios__ids *out, aios_error *err);
/** The bytes a token stands for in running text (SentencePiece: with the leading space; control tokens: their name). Borrowed. */
const char *aios__vocab_piece(const aios__vocab *v, int32_t id, size_t *n);
uint32_t aios__vocab_type(const aios__vocab *v, int32_t id); /**< AIOS__TOKEN_x */
/** Id of a token by its exact text, or -1. */
int32_t aios__vocab_find(const aios__vocab *v, const char *s, size_t n);
int32_t aios__vocab_bos(const aios__vocab *v); /**< -1 if there is none */
int32_t aios__vocab_eos(const aios__vocab *v);
bool aios__vocab_is_end(const aios__vocab *v, int32_t id); /**< eos, eot, eom, end of turn ... : generation stops */
bool aios__vocab_adds_bos(const aios__vocab *v);

#endif
