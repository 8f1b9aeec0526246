/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gemma 3: scaled embeddings, norms in front of and behind each part, gated GELU, five layers with a window and their own
 * rotary base to each global one. The "1 + w" of its norms is already in the file.
 */
#include <math.h>

#include "backend/gguf/arch.h"
#include "backend/gguf/ops.h"

static int gemma3_hparams(const aios__gguf *g, aios__hparams *hp, aios_error *err)
{
    hp->rope_neox = true;
    hp->embd_scale = sqrtf((float)hp->n_embd);
    hp->window_period = 6;
    hp->rope_base_local = 10000.0f;
    int rc = aios__gguf_u32(g, "gemma3.attention.sliding_window", &hp->window, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (!rc && !hp->window)
        return aios__fail(err, AIOS_EFORMAT, "%s: gemma3.attention.sliding_window is 0", aios__gguf_path(g));
    rc = aios__gguf_f32(g, "gemma3.rope.freq_base_swa", &hp->rope_base_local, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (!(hp->rope_base_local >= 1 && hp->rope_base_local <= 1e12f))
        return aios__fail(err, AIOS_EFORMAT, "%s: gemma3.rope.freq_base_swa is %g, which is not within 1 .. 1e12", aios__gguf_path(g),
                          (double)hp->rope_base_local);
    rc = aios__gguf_f32(g, "gemma3.final_logit_softcapping", &hp->logit_softcap, err);
    if (rc && rc != AIOS_ENOENT)
        return rc;
    if (!(hp->logit_softcap >= 0 && hp->logit_softcap <= 1e6f))
        return aios__fail(err, AIOS_EFORMAT, "%s: gemma3.final_logit_softcapping is %g, which is not within 0 .. 1e6", aios__gguf_path(g),
                          (double)hp->logit_softcap);
    if (hp->n_layer == 62) /* the 27B model scales queries by its own rule, known only by its depth */
        hp->attn_scale = 1.0f / sqrtf((float)hp->n_embd / (float)hp->n_head);
    return AIOS_OK;
}

static void forward(aios__exec *x)
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
        aios__op_residual(x, l->attn_post_norm);
        if (aios__op_stopped(x))
            return;
        aios__op_norm(x, l->ffn_norm);
        aios__op_gate_up(x, l, x->k->gelu_mul);
        aios__op_down(x, &l->down);
        aios__op_residual(x, l->ffn_post_norm);
    }
    aios__op_norm(x, net->w.out_norm);
    aios__op_logits(x);
}

static const aios__tensor_spec *const tables[] = {aios__tensors_common, aios__tensors_qk_norm, aios__tensors_post_norm, NULL};
const aios__arch aios__arch_gemma3 = {.name = "gemma3", .hparams = gemma3_hparams, .tables = tables, .forward = forward};
