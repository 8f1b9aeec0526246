/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which turns get rows of the next pass, and how many, by plain numbers: no lock, no clock, no network. Replies go before prompts. Among
 * either, the higher priority goes first; within one, the earlier deadline; among equals those that were served less, then those that wait
 * longer. Every AIOS__ORDER_AGED-th pass goes by the waiting alone, whatever the priority: of K turns that wait, none waits longer than
 * AIOS__ORDER_AGED * K passes.
 */
#ifndef AIOS_LIB_GGUF_ORDER_H
#define AIOS_LIB_GGUF_ORDER_H

#include <stdbool.h>
#include <stdint.h>

/* Rows: of one prompt before the next of its rank; of prompts beside replies that rank alike (the least), and that rank higher; the least. */
enum { AIOS__ORDER_AGED = 8, AIOS__ORDER_QUANTUM = 64, AIOS__ORDER_BESIDE = 64, AIOS__ORDER_BELOW = 16, AIOS__ORDER_LEAST = 16 };
/* Rows that the kernels compute at once: where a pass has fewer, the rest of them cost time all the same. */
enum { AIOS__ORDER_TILE = 16 };
/* Rows that a session may be behind the least served of those at work when it comes back. */
enum { AIOS__ORDER_CREDIT = 4 * AIOS__ORDER_QUANTUM };
#define AIOS__NO_DEADLINE INT64_MAX

enum aios__job_state {
    AIOS__JOB_NONE,
    AIOS__JOB_NEW,     /**< not prepared */
    AIOS__JOB_READY,   /**< its rows may go into the next pass */
    AIOS__JOB_HELD,    /**< job.held */
    AIOS__JOB_RUNNING, /**< in a pass: only that one touches the turn */
    AIOS__JOB_DONE     /**< its own thread looks next */
};

/** The scheduler's side of a turn; guarded by its lock, n_waiting, n_rows, n_wants and n_logits by the turn's owner of the moment. */
typedef struct aios__job {
    enum aios__job_state state;
    int32_t priority;
    int64_t deadline;         /**< by the clock of the ctx; AIOS__NO_DEADLINE */
    uint64_t number;          /**< of the turn: later ones have larger ones */
    uint64_t served;          /**< rows of its session that were computed, as far as the others' count for it */
    uint64_t last;            /**< number of the pass that computed something of it */
    uint32_t n_waiting;       /**< rows that could be computed */
    bool prompt;              /**< most of them are of a prompt */
    uint32_t share;           /**< of these, in the next pass */
    uint32_t n_rows, n_wants; /**< in this pass */
    uint32_t n_logits;        /**< of those wanted, rows that do so for more than the largest */
    uint32_t n_sure;          /**< of the rows, those that are no guesses */
    uint32_t row, logit;      /**< where they begin */
    int rc;                   /**< 0: they were computed; ECANCELED: the pass was given up */
    bool waiting;             /**< its thread is inside and sleeps */
    bool late;                /**< its thread took long to come: passes do not wait for it */
    int64_t done_at;
    int64_t ready_at;         /**< since then its rows wait */
    int64_t queue_ns;         /**< time that they did before */
    bool held;                /**< it waits for memory, and holds none */
    int64_t held_at;          /**< since then; 0: it does not */
    bool lent;                /**< RUNNING, but DONE: whoever leads may let go of its cache while its thread is away */
} aios__job;

/** True of passes that go by the waiting alone. */
static inline bool aios__order_is_aged(uint64_t pass)
{
    return pass % AIOS__ORDER_AGED == AIOS__ORDER_AGED - 1;
}
/** a goes before b. */
bool aios__order_before(const aios__job *a, const aios__job *b, bool aged);
/** a gets what b would get, if there is not enough for both: priority, deadline, then the earlier turn. */
bool aios__order_outranks(const aios__job *a, const aios__job *b);
/**
 * Rows that prompts, the first of priority `prompt`, may have beside n_replies rows of replies, the highest of priority `reply`: so many
 * that the pass is whole tiles; at most `most`. beside: rows that hold up replies of the same rank not too long; AIOS__ORDER_BESIDE at least.
 */
uint32_t aios__order_budget(uint32_t n_replies, int32_t reply, int32_t prompt, bool aged, uint32_t beside, uint32_t most);
/**
 * Sets the shares of n prompts, in order, that have `left` rows together. Each of a rank gets a quantum before one of them gets more, then the first
 * gets what it can use; a lower rank gets what is left. In an aged pass all are of one rank.
 */
void aios__order_share(aios__job *const *prompts, uint32_t n, uint32_t left, bool aged);
/** What a session that was served so much begins with, where `floor` is the least of those at work. */
uint64_t aios__order_enter(uint64_t served, uint64_t floor);

#endif
