/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the tokenizers: flat tables over the metadata of an open file. */
#ifndef AIOS_LIB_GGUF_VOCAB_PRIV_H
#define AIOS_LIB_GGUF_VOCAB_PRIV_H

#include "backend/gguf/pretok.h"
#include "backend/gguf/vocab.h"

/* A run of text without a possible boundary is cut after so many symbols: bounds memory and time whatever the text. */
#define VOCAB_WINDOW 65536u
#define VOCAB_LONG 1024u /* bytes of a text from which on pairs are remembered */
#define VOCAB_SEEN 4096u
#define VOCAB_MAX_ENDS 64u
#define VOCAB_MAX_SPECIAL 256u /* bytes of a special token that is looked for in text */

/* The lines of a list of merges "left right", found by the texts of the two. */
typedef struct vocab_merges {
    const uint8_t *texts; /* the array of strings in the file */
    uint32_t *off;        /* where the bytes of a line begin in it; the length lies before */
    uint64_t *table;      /* hash of both: tag << 32 | line + 1 */
    uint32_t mask;
} vocab_merges;

/* What two ids merge into, as found before. */
typedef struct vocab_pair {
    int32_t left, right;
    uint32_t rank; /* 0: they do not merge */
    int32_t id;
} vocab_pair;

/* Special tokens sorted by text, so that those with a common beginning are neighbours. */
typedef struct vocab_special {
    uint32_t *ids;
    uint32_t n;
    uint32_t first[257];    /* where those with a first byte begin */
    uint8_t second[8192];   /* bit set of (first, second) byte */
    uint8_t single[32];     /* bit set of tokens of one byte */
} vocab_special;

struct aios__vocab {
    aios_ctx *ctx;
    aios__heap *heap;
    const aios__gguf *file;
    uint32_t n;
    bool spm;
    const uint8_t *texts; /* the array of strings in the file */
    uint32_t *text_off;   /* where the bytes of a token begin in it; the length lies before */
    const uint8_t *scores;
    uint8_t *types;
    uint64_t *table;      /* hash of text: tag << 32 | id + 1 */
    uint32_t mask;
    uint64_t seed;
    size_t max_len;
    char *piece;
    uint32_t *piece_off;  /* n + 1 */
    const aios__pretok *pre;
    vocab_merges merges;
    int32_t byte_id[256]; /* token of a byte, or -1 */
    uint16_t point[256];  /* BPE: code point that stands for a byte in texts */
    uint8_t *joint;       /* bit set of (byte, byte): some token holds them at a boundary of characters */
    vocab_special special;
    int32_t bos, eos, unk;
    bool add_bos, add_eos, space_prefix;
    int32_t ends[VOCAB_MAX_ENDS];
    uint32_t n_ends;
};

/** One symbol of a text being merged: a doubly linked list in an array. */
typedef struct vocab_symbol {
    uint32_t prev, next; /* UINT32_MAX: none */
    uint32_t from, n;    /* bytes; n 0: merged away */
    int32_t id;
} vocab_symbol;

/** A candidate merge in the heap: lower key first, then the leftmost. */
typedef struct vocab_merge {
    uint32_t key, left;
    int32_t a, b; /* what was there when it was found: ids (BPE), lengths (SentencePiece) */
} vocab_merge;

/** Memory of one encode call; grown on demand up to what VOCAB_WINDOW needs. */
typedef struct vocab_work {
    aios__heap *heap;
    vocab_symbol *sym;
    vocab_merge *heap_p;
    char *text;
    vocab_pair *seen; /* VOCAB_SEEN pairs of a long text, by hash; NULL: a short one */
    uint32_t cap;  /* symbols; the heap holds twice as many */
    uint32_t n_heap;
} vocab_work;

/* A string of an array in the file, by where its bytes begin. */
static inline aios__gstr vocab_string(const uint8_t *texts, uint32_t off)
{
    uint64_t n;
    memcpy(&n, texts + off - 8, sizeof n);
    return (aios__gstr){(const char *)texts + off, (size_t)n};
}
static inline aios__gstr vocab_text(const aios__vocab *v, uint32_t id)
{
    return vocab_string(v->texts, v->text_off[id]);
}

static inline bool vocab_bit(const uint8_t *set, uint32_t i)
{
    return set[i >> 3] >> (i & 7) & 1;
}
static inline void vocab_set_bit(uint8_t *set, uint32_t i)
{
    set[i >> 3] = (uint8_t)(set[i >> 3] | 1u << (i & 7));
}

/* vocab_hash.c */
uint64_t aios__vocab_hash(uint64_t seed, const char *p, size_t n);
int aios__vocab_index(aios__vocab *v, aios_error *err); /**< builds the table of texts */
enum { VOCAB_AHEAD = 32 }; /* entries hashed together, so that their slots are on the way when they are looked at */
/** Slots of a table for n entries: a power of two. */
uint32_t aios__vocab_slots(uint64_t n);

/* vocab_special.c */
int aios__special_build(aios__vocab *v, aios_error *err);
void aios__special_free(aios__vocab *v);
/** The first special token at or behind `from`; false if there is none. control: names of control tokens count. */
bool aios__special_find(const aios__vocab *v, const char *s, size_t n, size_t from, bool control, size_t *at, int32_t *id);
/** Ids of bos, eos ..., tokens that end a reply, types that files get wrong. */
int aios__special_ids(aios__vocab *v, aios_error *err);

/* vocab_work.c */
int aios__tokwork_grow(vocab_work *w, uint32_t symbols, aios_error *err);
void aios__tokwork_free(vocab_work *w);
void aios__tokwork_push(vocab_work *w, vocab_merge m);
bool aios__tokwork_pop(vocab_work *w, vocab_merge *m);
/** Takes the symbol behind `left` into it; false if there is none. */
bool aios__tokwork_join(vocab_work *w, uint32_t left);

/* vocab_bpe.c, vocab_spm.c */
int aios__bpe_build(aios__vocab *v, aios_error *err);
int aios__bpe_pieces(aios__vocab *v, aios_error *err);
int aios__bpe_encode(const aios__vocab *v, vocab_work *w, const char *s, size_t n, aios__ids *out, aios_error *err);
int aios__spm_build(aios__vocab *v, aios_error *err);
int aios__spm_pieces(aios__vocab *v, aios_error *err);
int aios__spm_encode(const aios__vocab *v, vocab_work *w, const char *s, size_t n, bool space, aios__ids *out, aios_error *err);

#endif
