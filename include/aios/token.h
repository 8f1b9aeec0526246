/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file token.h
 * Tokens and logits, for backends that compute here; ENOTSUP elsewhere.
 */
#ifndef AIOS_TOKEN_H
#define AIOS_TOKEN_H

#include <aios/llm.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    AIOS_TOKENIZE_SPECIAL = 1, /**< texts of special tokens become these tokens */
    AIOS_TOKENIZE_BOS = 2      /**< add what the model adds at the beginning and end */
};

/**
 * ids may be NULL to count. *n_ids is the number there is; ELIMIT (have = n_max, need) if it does not fit.
 * Bytes that are not UTF-8 are tokenized as the model's byte fallback does.
 */
AIOS_API int aios_model_tokenize(aios_model *m, const char *s, size_t n, uint32_t flags, int32_t *ids, uint32_t n_max,
                                 uint32_t *n_ids, aios_error *err);
/** Bytes of the tokens, special ones too; *n_bytes is the number there is. out may be NULL. */
AIOS_API int aios_model_detokenize(aios_model *m, const int32_t *ids, uint32_t n_ids, char *out, size_t n_max,
                                   size_t *n_bytes, aios_error *err);
/** The prompt text that the chat template makes of req; passed to fn. */
AIOS_API int aios_model_render(aios_model *m, const aios_request *req, aios_write_fn *fn, void *user, aios_error *err);

/**
 * Appends ids to the session's cache and returns the logits of the last n_rows of them, row-major n_rows x n_vocab.
 * n_ids 0 and n_rows 0 clears the cache. EINVAL, ECONTEXT.
 */
AIOS_API int aios_session_eval(aios_session *s, const int32_t *ids, uint32_t n_ids, float *logits, uint32_t n_rows,
                               aios_error *err);
/**
 * One step of n sessions of the same model together: ids[i] is appended to sessions[i], and row i of logits (NULL: not
 * wanted) is its distribution after it. Same results as n calls of aios_session_eval.
 */
AIOS_API int aios_session_eval_batch(aios_session *const *sessions, const int32_t *ids, uint32_t n, float *logits,
                                     aios_error *err);

/** Facts of a model file without loading it, as JSON {"metadata":{...},"tensors":[...]}; long arrays are cut. */
AIOS_API int aios_model_inspect(aios_ctx *ctx, const char *uri, aios_write_fn *fn, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
