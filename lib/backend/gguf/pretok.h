/* SPDX-License-Identifier: Apache-2.0 */
/* Pre-tokenizers of byte-level BPE: cut a text into the words inside which merges happen. Linear, no allocation. */
#ifndef AIOS_LIB_GGUF_PRETOK_H
#define AIOS_LIB_GGUF_PRETOK_H

#include "base/base.h"

/** Classes of code points, as in tools/gen_unicode.py. */
enum {
    UC_OTHER,  /**< controls, unassigned */
    UC_LU,     /**< upper case letter */
    UC_LL,     /**< lower case letter */
    UC_LT,     /**< title case letter */
    UC_LO,     /**< modifier and other letters */
    UC_MARK,
    UC_NUMBER,
    UC_PUNCT,
    UC_SYMBOL, /**< also bytes that are no UTF-8 */
    UC_SPACE,  /**< White_Space */
    UC_END     /**< past the end of the text; never in the table */
};

extern const uint8_t aios__unicode_block[4352];
extern const uint64_t aios__unicode_class[];

static inline uint32_t aios__unicode_class_of(uint32_t cp)
{
    if (cp > 0x10ffff)
        return UC_OTHER;
    uint64_t w = aios__unicode_class[aios__unicode_block[cp >> 8] * 16u + ((cp >> 4) & 15)];
    return (uint32_t)(w >> (4 * (cp & 15))) & 15;
}

enum { AIOS__PRETOK_STAGES = 6 };
enum {
    AIOS__PRETOK_WHOLE = 1,  /**< a word that is a token is that token, whatever the merges say */
    AIOS__PRETOK_BOS = 2     /**< BOS is added unless the file says otherwise */
};

/** One way to cut: each stage cuts the pieces of the one before. */
typedef struct aios__pretok aios__pretok;
/** The pre-tokenizer that `tokenizer.ggml.pre` names; NULL if it is not known. */
const aios__pretok *aios__pretok_find(const char *name, size_t n);
uint32_t aios__pretok_flags(const aios__pretok *p); /**< AIOS__PRETOK_x */

/** Walks the words of a text: every byte belongs to exactly one word. */
typedef struct aios__words {
    const aios__pretok *pre;
    const char *s;
    size_t pos;
    uint32_t depth;
    size_t end[AIOS__PRETOK_STAGES + 1]; /**< where the open piece of each stage ends; [0]: the text */
} aios__words;

void aios__words_init(aios__words *w, const aios__pretok *p, const char *s, size_t n);
bool aios__words_next(aios__words *w, const char **word, size_t *n);

#endif
