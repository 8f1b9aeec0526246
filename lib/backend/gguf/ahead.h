/* SPDX-License-Identifier: Apache-2.0 */
/* What a grammar lets a turn know before it is computed: tokens of text that has to come, and guesses at the next choices. */
#ifndef AIOS_LIB_GGUF_AHEAD_H
#define AIOS_LIB_GGUF_AHEAD_H

#include "backend/gguf/vocab.h"
#include "llm/llm.h"

/* ---- vocab_prefix.c, seam.c: tokens of text that a grammar forces -------------------------------------------------- */

typedef struct aios__prefixes aios__prefixes;

/** v must outlive it. Safe for concurrent use. */
int aios__prefixes_new(aios__heap *h, const aios__vocab *v, aios__prefixes **out, aios_error *err);
void aios__prefixes_free(aios__prefixes *p);
const aios__vocab *aios__prefixes_vocab(const aios__prefixes *p);
/** Some token begins with these bytes and goes on with one of a set. */
bool aios__prefixes_extend(const aios__prefixes *p, const char *s, size_t n, const uint8_t next[32]);

enum { AIOS__SEAM_TAIL = 4, AIOS__FORCED_BYTES = 256, AIOS__TODO = 64 };

/** The last tokens of a reply, at most AIOS__SEAM_TAIL. */
typedef struct aios__tail {
    int32_t ids[AIOS__SEAM_TAIL];
    uint32_t n;
    bool whole; /**< none before them may be changed */
} aios__tail;

/** How forced text goes on behind them. */
typedef struct aios__seam {
    uint32_t n_drop;             /**< of the last tokens so many go, for */
    int32_t ids[AIOS__TODO];     /**< these, which are sure */
    uint32_t n;
    size_t n_bytes;              /**< of the text below, which are in them */
    char text[AIOS__FORCED_BYTES];
    size_t n_text;
} aios__seam;

/** Takes at most room tokens more than it drops. */
int aios__seam_make(const aios__prefixes *prefixes, const aios_walk *w, const aios__tail *last, uint32_t room, aios__seam *out, aios_error *err);

/* ---- ahead.c: guesses inside what a grammar holds -------------------------------------------------------------------- */

enum { AIOS__AHEAD_MAX = 8, AIOS__AHEAD_MASKS = 3, AIOS__HABITS = 64 };
enum { AIOS__GUESS_SEAM = 1, AIOS__GUESS_CHOICE, AIOS__GUESS_KINDS = 2 };

/** What was chosen in a place last. */
typedef struct aios__habit {
    uint32_t key; /**< 0: nothing */
    int32_t id;
} aios__habit;

/** Of a session: they only say what is guessed. */
typedef struct aios__habits {
    aios__habit last[AIOS__HABITS];
    uint32_t n_tried[AIOS__GUESS_KINDS], n_hit[AIOS__GUESS_KINDS], n_idle;
} aios__habits;

/** Tokens behind the next choice. */
typedef struct aios__ahead {
    int32_t ids[AIOS__AHEAD_MAX];
    uint8_t kind[AIOS__AHEAD_MAX];    /**< AIOS__GUESS_x; 0: it is forced */
    int8_t mask[AIOS__AHEAD_MAX + 1]; /**< behind so many of them a choice is made, with this mask; -1: none is */
    uint32_t n, n_masks;
    uint32_t n_used;                  /**< in this pass */
    uint32_t *masks;                  /**< AIOS__AHEAD_MASKS of them; NULL until needed */
    uint32_t place;                   /**< of the choice that is next; 0: none */
    bool due;                         /**< it is one between tokens that a grammar allows */
    aios__seam seam;                  /**< text in front of it that is forced in part */
    uint32_t n_allowed;
} aios__ahead;

struct aios__gguf_session;
/** A choice is next, between n_allowed tokens. */
void aios__ahead_note(struct aios__gguf_session *s, const aios__seam *seam, uint32_t n_allowed);
/** Makes guesses behind the choice that was noted, if w is there; AIOS_AGAIN, or how it failed. */
int aios__ahead_make(struct aios__gguf_session *s, const aios_walk *w, aios_error *err);
/** Writes at most max of them from position `at` of the cache on; gives their number. */
uint32_t aios__ahead_use(struct aios__gguf_session *s, uint32_t at, uint32_t max);
/** id was chosen behind `at` of those in use. */
void aios__ahead_learn(struct aios__gguf_session *s, uint32_t at, int32_t id);

#endif
