/* SPDX-License-Identifier: Apache-2.0 */
/* Qwen 2 and 2.5 (biases on q, k, v) and Qwen 3 (norms on q and k): otherwise Llama with rotation of half heads. */
#include "backend/gguf/arch.h"

static int set_neox(const aios__gguf *g, aios__hparams *hp, aios_error *err)
{
    AIOS__UNUSED(g);
    AIOS__UNUSED(err);
    hp->rope_neox = true;
    return AIOS_OK;
}

static const aios__tensor_spec *const tables2[] = {aios__tensors_common, aios__tensors_bias, NULL};
const aios__arch aios__arch_qwen2 = {.name = "qwen2", .hparams = set_neox, .tables = tables2, .forward = aios__forward_llama};

static const aios__tensor_spec *const tables3[] = {aios__tensors_common, aios__tensors_qk_norm, NULL};
const aios__arch aios__arch_qwen3 = {.name = "qwen3", .hparams = set_neox, .tables = tables3, .forward = aios__forward_llama};
