/* SPDX-License-Identifier: Apache-2.0 */
/* Small models with random weights of every architecture, as GGUF files in memory: 259 byte-level tokens. */
#ifndef AIOS_TEST_NET_MAKE_H
#define AIOS_TEST_NET_MAKE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char net_chatml[] __attribute__((unused)) =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

typedef struct net_make {
    const char *arch;
    const char *skip;      /* a key or tensor left out; NULL: none */
    const char *key;       /* a key (behind the architecture) that gets `value` instead; NULL: none */
    uint32_t value;
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_ctx, window;
    uint32_t dtype;        /* of matrices: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0 */
    int tied;
    uint32_t n_vocab;      /* rows of the embedding; 0: 262, as many as the vocabulary written */
    const char *template_text;
    uint8_t *p;            /* the file; free it */
    size_t n, cap;
    uint32_t n_tensors, n_kv;
    uint64_t seed;
    struct {
        char name[64];
        uint64_t ne[2];
        uint32_t n_dims, type;
    } tensors[256];
} net_make;

static inline void net_put(net_make *m, const void *p, size_t n)
{
    if (m->n + n > m->cap) {
        m->cap = (m->n + n) * 2;
        m->p = realloc(m->p, m->cap);
        if (!m->p)
            abort();
    }
    memcpy(m->p + m->n, p, n);
    m->n += n;
}
static inline void net_u32(net_make *m, uint32_t v)
{
    net_put(m, &v, 4);
}
static inline void net_u64(net_make *m, uint64_t v)
{
    net_put(m, &v, 8);
}
static inline void net_str(net_make *m, const char *s)
{
    net_u64(m, strlen(s));
    net_put(m, s, strlen(s));
}
static inline int net_key(net_make *m, const char *name, int of_arch, uint32_t type)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s%s", of_arch ? m->arch : "", of_arch ? "." : "", name);
    if (m->skip && !strcmp(m->skip, name))
        return 0;
    net_str(m, key);
    net_u32(m, type);
    m->n_kv++;
    return 1;
}
static inline void net_kv(net_make *m, const char *name, uint32_t v)
{
    if (net_key(m, name, 1, 4))
        net_u32(m, m->key && !strcmp(m->key, name) ? m->value : v);
}
static inline void net_kv_float(net_make *m, const char *name, float v)
{
    if (m->key && !strcmp(m->key, name))
        memcpy(&v, &m->value, 4);
    if (net_key(m, name, 1, 6))
        net_put(m, &v, 4);
}
static inline uint32_t net_random(net_make *m)
{
    m->seed = m->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(m->seed >> 33);
}
static inline void net_tensor(net_make *m, const char *name, uint64_t ne0, uint64_t ne1)
{
    if (m->skip && !strcmp(m->skip, name))
        return;
    snprintf(m->tensors[m->n_tensors].name, 64, "%s", name);
    m->tensors[m->n_tensors].ne[0] = ne0;
    m->tensors[m->n_tensors].ne[1] = ne1;
    m->tensors[m->n_tensors].n_dims = ne1 ? 2 : 1;
    m->tensors[m->n_tensors++].type = ne1 ? m->dtype : 0;
}
static inline void net_layer_tensor(net_make *m, uint32_t il, const char *name, uint64_t ne0, uint64_t ne1)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%u.%s", il, name);
    net_tensor(m, full, ne0, ne1);
}

static inline void net_list_tensors(net_make *m)
{
    uint64_t q = (uint64_t)m->n_head * m->head_dim, kv = (uint64_t)m->n_head_kv * m->head_dim, e = m->n_embd;
    int gemma = !strcmp(m->arch, "gemma3"), qwen2 = !strcmp(m->arch, "qwen2"), normed = gemma || !strcmp(m->arch, "qwen3");
    net_tensor(m, "token_embd.weight", e, m->n_vocab ? m->n_vocab : 262);
    net_tensor(m, "output_norm.weight", e, 0);
    if (!m->tied)
        net_tensor(m, "output.weight", e, m->n_vocab ? m->n_vocab : 262);
    for (uint32_t il = 0; il < m->n_layer; il++) {
        net_layer_tensor(m, il, "attn_norm.weight", e, 0);
        net_layer_tensor(m, il, "attn_q.weight", e, q);
        net_layer_tensor(m, il, "attn_k.weight", e, kv);
        net_layer_tensor(m, il, "attn_v.weight", e, kv);
        net_layer_tensor(m, il, "attn_output.weight", q, e);
        net_layer_tensor(m, il, "ffn_norm.weight", e, 0);
        net_layer_tensor(m, il, "ffn_gate.weight", e, m->n_ff);
        net_layer_tensor(m, il, "ffn_up.weight", e, m->n_ff);
        net_layer_tensor(m, il, "ffn_down.weight", m->n_ff, e);
        if (qwen2) {
            net_layer_tensor(m, il, "attn_q.bias", q, 0);
            net_layer_tensor(m, il, "attn_k.bias", kv, 0);
            net_layer_tensor(m, il, "attn_v.bias", kv, 0);
        }
        if (normed) {
            net_layer_tensor(m, il, "attn_q_norm.weight", m->head_dim, 0);
            net_layer_tensor(m, il, "attn_k_norm.weight", m->head_dim, 0);
        }
        if (gemma) {
            net_layer_tensor(m, il, "post_attention_norm.weight", e, 0);
            net_layer_tensor(m, il, "post_ffw_norm.weight", e, 0);
        }
    }
}

/* Random floats of a matrix or vector in its type: small for matrices, around 1 for norms. */
static inline void net_values(net_make *m, uint32_t i)
{
    uint64_t n = m->tensors[i].ne[0] * (m->tensors[i].ne[1] ? m->tensors[i].ne[1] : 1);
    int norm = strstr(m->tensors[i].name, "norm") != NULL;
    uint32_t type = m->tensors[i].type;
    if (type == 2 || type == 8) { /* a half-precision scale of about 0.01, then codes */
        for (uint64_t b = 0; b < n / 32; b++) {
            uint16_t d = (uint16_t)((type == 2 ? 0x2400 : 0x1400) + net_random(m) % 512);
            net_put(m, &d, 2);
            for (int j = 0; j < (type == 2 ? 16 : 32); j++)
                net_put(m, &(uint8_t){(uint8_t)net_random(m)}, 1);
        }
        return;
    }
    for (uint64_t j = 0; j < n; j++) {
        float x = ((float)(net_random(m) % 2001) - 1000) / 1000;
        x = norm ? 1 + 0.2f * x : m->tensors[i].ne[1] ? 0.2f * x : 0.1f * x;
        if (type == 1)
            net_put(m, &(uint16_t){(uint16_t)(0x2000 + net_random(m) % 0x0c00 + (net_random(m) % 2 ? 0x8000 : 0))}, 2);
        else
            net_put(m, &x, 4);
    }
}

static inline uint64_t net_bytes(const net_make *m, uint32_t i)
{
    uint64_t n = m->tensors[i].ne[0] * (m->tensors[i].ne[1] ? m->tensors[i].ne[1] : 1);
    uint32_t type = m->tensors[i].type;
    return type == 2 ? n / 32 * 18 : type == 8 ? n / 32 * 34 : type == 1 ? n * 2 : n * 4;
}

/* Bytes, then "<|im_start|>" 256, "<|im_end|>" 257, "<tool_call>" 258, "</tool_call>" 259, "<think>" 260, "</think>" 261. */
static inline void net_tokens(net_make *m)
{
    static const char *const more[] = {"<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"};
    net_key(m, "tokenizer.ggml.model", 0, 8);
    net_str(m, "gpt2");
    net_key(m, "tokenizer.ggml.pre", 0, 8);
    net_str(m, "qwen2");
    net_key(m, "tokenizer.ggml.tokens", 0, 9);
    net_u32(m, 8);
    net_u64(m, 262);
    for (uint32_t b = 0, next = 256; b < 256; b++) {
        char text[4];
        int seen = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        uint32_t cp = seen ? b : next;
        next += !seen;
        snprintf(text, sizeof text, cp < 0x80 ? "%c" : "%c%c", cp < 0x80 ? (int)cp : (int)(0xc0 | cp >> 6), (int)(0x80 | (cp & 0x3f)));
        net_str(m, text);
    }
    for (int i = 0; i < 6; i++)
        net_str(m, more[i]);
    net_key(m, "tokenizer.ggml.token_type", 0, 9);
    net_u32(m, 5);
    net_u64(m, 262);
    for (uint32_t i = 0; i < 262; i++)
        net_u32(m, i < 256 ? 1 : i < 258 ? 3 : 4);
    net_key(m, "tokenizer.ggml.merges", 0, 9);
    net_u32(m, 8);
    net_u64(m, 1);
    net_str(m, "a a");
    net_key(m, "tokenizer.ggml.eos_token_id", 0, 4);
    net_u32(m, 257);
    if (m->template_text && net_key(m, "tokenizer.chat_template", 0, 8))
        net_str(m, m->template_text);
}

/* Sensible sizes for what is 0. */
static inline void net_defaults(net_make *m)
{
    m->n_layer = m->n_layer ? m->n_layer : 3;
    m->n_embd = m->n_embd ? m->n_embd : 64;
    m->n_ff = m->n_ff ? m->n_ff : 96;
    m->n_head = m->n_head ? m->n_head : 4;
    m->n_head_kv = m->n_head_kv ? m->n_head_kv : 2;
    m->head_dim = m->head_dim ? m->head_dim : 24;
    m->n_ctx = m->n_ctx ? m->n_ctx : 512;
    m->window = m->window ? m->window : 40;
    m->seed = m->seed ? m->seed : 1;
}

/* Fills m->p and m->n. */
static inline void net_build(net_make *m)
{
    net_defaults(m);
    net_list_tensors(m);
    net_put(m, "GGUF\3\0\0\0", 8);
    net_u64(m, m->n_tensors);
    size_t at = m->n;
    net_u64(m, 0);
    if (net_key(m, "general.architecture", 0, 8))
        net_str(m, m->arch);
    net_kv(m, "block_count", m->n_layer);
    net_kv(m, "context_length", m->n_ctx);
    net_kv(m, "embedding_length", m->n_embd);
    net_kv(m, "feed_forward_length", m->n_ff);
    net_kv(m, "attention.head_count", m->n_head);
    net_kv(m, "attention.head_count_kv", m->n_head_kv);
    net_kv(m, "attention.key_length", m->head_dim);
    net_kv(m, "attention.value_length", m->head_dim);
    net_kv(m, "rope.dimension_count", m->head_dim);
    net_kv_float(m, "rope.freq_base", 10000.0f);
    net_kv_float(m, "attention.layer_norm_rms_epsilon", 1e-6f);
    if (!strcmp(m->arch, "gemma3"))
        net_kv(m, "attention.sliding_window", m->window);
    net_tokens(m);
    uint64_t n_kv = m->n_kv, off = 0;
    memcpy(m->p + at, &n_kv, 8);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        net_str(m, m->tensors[i].name);
        net_u32(m, m->tensors[i].n_dims);
        for (uint32_t d = 0; d < m->tensors[i].n_dims; d++)
            net_u64(m, m->tensors[i].ne[d]);
        net_u32(m, m->tensors[i].type);
        net_u64(m, off);
        off += (net_bytes(m, i) + 31) / 32 * 32;
    }
    while (m->n % 32)
        net_put(m, "", 1);
    for (uint32_t i = 0; i < m->n_tensors; i++) {
        net_values(m, i);
        while (m->n % 32)
            net_put(m, "", 1);
    }
}

/** The model, built now if it was not, as a file of its own: uri becomes gguf:PATH, and PATH is to be unlinked. Frees m->p. */
static inline void net_file(net_make *m, char uri[64])
{
    if (!m->p)
        net_build(m);
    strcpy(uri, "gguf:/tmp/aios-net-XXXXXX");
    int fd = mkstemp(uri + 5);
    if (fd < 0 || write(fd, m->p, m->n) != (ssize_t)m->n)
        abort();
    close(fd);
    free(m->p);
    m->p = NULL;
}

#endif
