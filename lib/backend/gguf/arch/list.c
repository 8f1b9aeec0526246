/* SPDX-License-Identifier: Apache-2.0 */
/* The one list of architectures, and the tensor tables they share. */
#include "backend/gguf/arch.h"

static const aios__arch *const list[] = {
    &aios__arch_llama,
    &aios__arch_qwen2,
    &aios__arch_qwen3,
    &aios__arch_gemma3,
};

#define L(f) offsetof(aios__layer, f)
#define W(f) offsetof(aios__weights, f)
enum { LAYER = AIOS__TENSOR_LAYER, OPTIONAL = AIOS__TENSOR_OPTIONAL, FLOATS = AIOS__TENSOR_FLOATS, POSITIVE = AIOS__TENSOR_POSITIVE };
enum { ONE = AIOS__DIM_ONE, EMBD = AIOS__DIM_EMBD, Q = AIOS__DIM_Q, KV = AIOS__DIM_KV, FF = AIOS__DIM_FF, HEAD = AIOS__DIM_HEAD, ROT2 = AIOS__DIM_ROT2, VOCAB = AIOS__DIM_VOCAB };

const aios__tensor_spec aios__tensors_common[] = {
    {"token_embd.weight", VOCAB, EMBD, 0, W(embd)},
    {"output.weight", VOCAB, EMBD, OPTIONAL, W(head)},
    {"output_norm.weight", ONE, EMBD, FLOATS, W(out_norm)},
    {"attn_norm.weight", ONE, EMBD, LAYER | FLOATS, L(attn_norm)},
    {"attn_q.weight", Q, EMBD, LAYER, L(q)},
    {"attn_k.weight", KV, EMBD, LAYER, L(k)},
    {"attn_v.weight", KV, EMBD, LAYER, L(v)},
    {"attn_output.weight", EMBD, Q, LAYER, L(o)},
    {"ffn_norm.weight", ONE, EMBD, LAYER | FLOATS, L(ffn_norm)},
    {"ffn_gate.weight", FF, EMBD, LAYER, L(gate)},
    {"ffn_up.weight", FF, EMBD, LAYER, L(up)},
    {"ffn_down.weight", EMBD, FF, LAYER, L(down)},
    {0},
};

const aios__tensor_spec aios__tensors_bias[] = {
    {"attn_q.bias", ONE, Q, LAYER | FLOATS | OPTIONAL, L(q_bias)},
    {"attn_k.bias", ONE, KV, LAYER | FLOATS | OPTIONAL, L(k_bias)},
    {"attn_v.bias", ONE, KV, LAYER | FLOATS | OPTIONAL, L(v_bias)},
    {0},
};

const aios__tensor_spec aios__tensors_qk_norm[] = {
    {"attn_q_norm.weight", ONE, HEAD, LAYER | FLOATS, L(q_norm)},
    {"attn_k_norm.weight", ONE, HEAD, LAYER | FLOATS, L(k_norm)},
    {0},
};

const aios__tensor_spec aios__tensors_rope_freqs[] = {
    {"rope_freqs.weight", ONE, ROT2, FLOATS | OPTIONAL | POSITIVE, W(rope_freqs)},
    {0},
};

const aios__tensor_spec aios__tensors_post_norm[] = {
    {"post_attention_norm.weight", ONE, EMBD, LAYER | FLOATS, L(attn_post_norm)},
    {"post_ffw_norm.weight", ONE, EMBD, LAYER | FLOATS, L(ffn_post_norm)},
    {0},
};

const aios__arch *aios__arch_find(const char *name, size_t n)
{
    for (size_t i = 0; i < AIOS__ARRAY_LEN(list); i++) {
        if (strlen(list[i]->name) == n && !memcmp(list[i]->name, name, n))
            return list[i];
    }
    return NULL;
}

int aios__arch_names(aios__buf *out)
{
    int rc = AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(list) && !rc; i++)
        rc = aios__buf_addf(out, NULL, "%s%s", i ? ", " : "", list[i]->name);
    return rc;
}
