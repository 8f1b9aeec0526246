/* SPDX-License-Identifier: Apache-2.0 */
/* Two small vocabularies, one of each kind, as GGUF files in memory. */
#ifndef AIOS_TEST_VOCAB_MAKE_H
#define AIOS_TEST_VOCAB_MAKE_H

#include <stdio.h>

#include "gguf_make.h"

/* Byte-level: ids 0 .. 255 are the bytes, then these; 268 a user token, 269 and 270 control tokens. */
static const char *const bpe_more[] = {"he", "ll", "hell", "hello", "\xc4\xa0w", "or", "\xc4\xa0wor", "\xc4\xa0world", "ld", "aa", "aaaa", "\xc3\x83\xc2\xa9",
                                       "<user>", "<|end|>", "<|end|>!"};
static const char *const bpe_merges[] = {"h e", "l l", "he ll", "hell o", "\xc4\xa0 w", "o r", "\xc4\xa0w or", "\xc4\xa0wor ld", "l d", "1 2", "a a", "aa aa",
                                         "\xc3\x83 \xc2\xa9", "h e", "x nothing"};
enum { BPE_MORE = 15, BPE_TOKENS = 256 + BPE_MORE, BPE_MERGES = 15 };

static inline void make_byte_text(uint32_t b, char out[4])
{
    uint32_t next = 256, cp = b;
    for (uint32_t i = 0; i <= b; i++) {
        int seen = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i <= 0xac) || i >= 0xae;
        cp = seen ? i : next;
        next += !seen;
    }
    if (cp < 0x80)
        sprintf(out, "%c", (int)cp);
    else
        sprintf(out, "%c%c", (int)(0xc0 | cp >> 6), (int)(0x80 | (cp & 0x3f)));
}

static inline void make_bpe(gguf_make *m, const char *pre)
{
    make_head(m, 3, 0, 6);
    make_kv_str(m, "tokenizer.ggml.model", "gpt2");
    make_kv_str(m, "tokenizer.ggml.pre", pre);
    make_array(m, "tokenizer.ggml.tokens", 8, BPE_TOKENS);
    for (uint32_t b = 0; b < 256; b++) {
        char text[4];
        make_byte_text(b, text);
        make_str(m, text);
    }
    for (int i = 0; i < BPE_MORE; i++)
        make_str(m, bpe_more[i]);
    make_array(m, "tokenizer.ggml.token_type", 5, BPE_TOKENS);
    for (int32_t i = 0; i < BPE_TOKENS; i++)
        make_int(m, i == 268 ? 4 : i > 268 ? 3 : 1, 4);
    make_strs(m, "tokenizer.ggml.merges", bpe_merges, BPE_MERGES);
    make_kv_u32(m, "tokenizer.ggml.eos_token_id", 269);
}

/* SentencePiece: <unk> <s> </s>, 3 .. 258 the bytes, then these. */
static const char *const spm_more[] = {"\xe2\x96\x81", "a", "b", "ab", "\xe2\x96\x81" "a", "\xe2\x96\x81" "ab", "abab", "aa", "aaaa", "\xc3\xa9", "<user>"};
static const float spm_scores[] = {-1, -2, -3, -4, -5, -3.5f, -6, -7, -8, -9, 0};
enum { SPM_MORE = 11, SPM_TOKENS = 259 + SPM_MORE };

static inline void make_spm(gguf_make *m)
{
    make_head(m, 3, 0, 6);
    make_kv_str(m, "tokenizer.ggml.model", "llama");
    make_array(m, "tokenizer.ggml.tokens", 8, SPM_TOKENS);
    make_str(m, "<unk>");
    make_str(m, "<s>");
    make_str(m, "</s>");
    for (uint32_t b = 0; b < 256; b++) {
        char text[8];
        sprintf(text, "<0x%02X>", b);
        make_str(m, text);
    }
    for (int i = 0; i < SPM_MORE; i++)
        make_str(m, spm_more[i]);
    make_array(m, "tokenizer.ggml.scores", 6, SPM_TOKENS);
    for (int i = 0; i < SPM_TOKENS; i++)
        make_bytes(m, i < 259 ? &(float){0} : &spm_scores[i - 259], 4);
    make_array(m, "tokenizer.ggml.token_type", 5, SPM_TOKENS);
    for (int i = 0; i < SPM_TOKENS; i++)
        make_int(m, i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : i == SPM_TOKENS - 1 ? 4 : 1, 4);
    make_kv_u32(m, "tokenizer.ggml.bos_token_id", 1);
    make_kv_bool(m, "tokenizer.ggml.add_bos_token", 1);
}

#endif
