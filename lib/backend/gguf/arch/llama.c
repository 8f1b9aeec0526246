/* SPDX-License-Identifier: Apache-2.0 */
/* Llama and what follows its plan: pre-norm, rotary positions, grouped attention, gated SiLU. */
#include "backend/gguf/arch.h"
#include "backend/gguf/ops.h"

void aios__forward_llama(aios__exec *x)
{
    const aios__net *net = x->net;
    aios__op_embed(x);
    for (uint32_t il = 0; il < net->hp.n_layer; il++) {
        const aios__layer *l = &net->w.layers[il];
        if (aios__op_stopped(x))
            return;
        aios__op_norm(x, l->attn_norm);
        aios__op_qkv(x, l);
        aios__op_rope_store(x, l, il);
        if (il + 1 == net->hp.n_layer && !aios__op_select(x))
            return;
        aios__op_attend(x, il);
        aios__op_project(x, &l->o);
        aios__op_residual(x, NULL);
        if (aios__op_stopped(x))
            return;
        aios__op_norm(x, l->ffn_norm);
        aios__op_gate_up(x, l, x->k->silu_mul);
        aios__op_down(x, &l->down);
        aios__op_residual(x, NULL);
    }
    aios__op_norm(x, net->w.out_norm);
    aios__op_logits(x);
}

static const aios__tensor_spec *const tables[] = {aios__tensors_common, aios__tensors_bias, aios__tensors_rope_freqs, NULL};
const aios__arch aios__arch_llama = {.name = "llama", .tables = tables, .forward = aios__forward_llama};
