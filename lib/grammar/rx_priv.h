/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of expressions, shared by the files rx_*.c. */
#ifndef AIOS_LIB_RX_PRIV_H
#define AIOS_LIB_RX_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "grammar/array.h"
#include "grammar/rx.h"

enum aios__rx_kind { AIOS__RX_NONE, AIOS__RX_EPSILON, AIOS__RX_ANY, AIOS__RX_SET, AIOS__RX_CAT, AIOS__RX_OR, AIOS__RX_AND, AIOS__RX_NOT, AIOS__RX_REP };

enum {
    AIOS__RX_NULLABLE = 1, /**< has the empty text */
    AIOS__RX_PLAIN = 2,    /**< without AND and NOT inside: some text is in it */
    AIOS__RX_ALIVE = 4,    /**< some text is in it, as was found out */
    AIOS__RX_DEAD = 8,
    AIOS__RX_NOTED = 16    /**< is in the list of a search */
};

/** CAT: a, then b, a no CAT. OR, AND: b sorted numbers at words[a]. NOT: a. REP: a, min .. max times. SET: 256 bits at words[a]. */
typedef struct aios__rx_node {
    uint8_t kind, flags;
    uint16_t depth; /**< of nesting; the chain of CATs counts once */
    uint32_t a, b, min, max;
    uint32_t least;      /**< bytes that a text has at least, as far as can be seen */
    uint32_t hash, next; /**< in its bucket */
} aios__rx_node;

#define AIOS__RX_CHUNK 512u
#define AIOS__RX_CHUNKS 256u /* 131,072 expressions */
#define AIOS__RX_DEPTH 500u
#define AIOS__RX_WORDS 4000000u
#define AIOS__RX_ROWS 24000u /* of 1 KiB */
#define AIOS__RX_MEMO 4096u
#define AIOS__RX_FUEL 4000000u /* steps of one call */
#define AIOS__RX_MAKING 3000000u /* of all together, while the expressions are made */
#define AIOS__RX_STATE 24u /* steps that a look at a state takes */
#define AIOS__RX_LOOK 5000u  /* states looked at to find out whether a text exists */

/** Never moved, so that a state is read while others are made. */
typedef struct aios__rx_chunk {
    aios__rx_node nodes[AIOS__RX_CHUNK];
    _Atomic(uint32_t *) rows[AIOS__RX_CHUNK];
} aios__rx_chunk;

/** The derivative of e by byte c. */
typedef struct aios__rx_memo {
    uint32_t e, out;
    uint8_t c;
} aios__rx_memo;

struct aios__rx {
    aios__heap *heap;
    aios_ctx *ctx; /**< whoever has the pool keeps it alive */
    pthread_mutex_t lock; /**< over making states */
    _Atomic(aios__rx_chunk *) chunks[AIOS__RX_CHUNKS];
    uint32_t n, n_rows;
    atomic_bool worn; /**< half of the caps is used up */
    uint32_t *words, n_words, cap_words;
    uint32_t *buckets, n_buckets;
    uint32_t *scratch, n_scratch, cap_scratch; /**< a stack of numbers */
    uint64_t fuel, made; /**< steps of this call; of all, until texts are read */
    bool reading;
    aios__rx_memo *memo; /**< the last derivatives, or NULL */
    uint32_t n_memo;
};

static inline aios__rx_chunk *aios__rx_chunk_of(const aios__rx *x, uint32_t e)
{
    return atomic_load_explicit(&((aios__rx *)(uintptr_t)x)->chunks[e / AIOS__RX_CHUNK], memory_order_acquire);
}
static inline aios__rx_node *aios__rx_at(const aios__rx *x, uint32_t e)
{
    return &aios__rx_chunk_of(x, e)->nodes[e % AIOS__RX_CHUNK];
}
static inline bool aios__rx_nullable(const aios__rx *x, uint32_t e)
{
    return aios__rx_at(x, e)->flags & AIOS__RX_NULLABLE;
}

/** Counts steps; ELIMIT if they are too many. */
int aios__rx_spend(aios__rx *x, uint64_t steps, aios_error *err);
int aios__rx_push(aios__rx *x, uint32_t v, aios_error *err);
/** OR or AND of the numbers on the stack from `from` on, which are taken off. */
int aios__rx_list(aios__rx *x, uint8_t kind, uint32_t from, uint32_t *out, aios_error *err);
/** The state after byte c. */
int aios__rx_derive(aios__rx *x, uint32_t e, uint8_t c, uint32_t *out, aios_error *err);

#endif
