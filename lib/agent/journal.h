/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a run, written and read. docs/durable-runs.md says what it promises. */
#ifndef AIOS_LIB_JOURNAL_H
#define AIOS_LIB_JOURNAL_H

#include <aios/agent.h>

#include "agent/gate.h"

/* ---- journal.c: what a run writes down. Without a store each of these is nothing. ---------------------------------- */

/** Kinds of records; their data is JSON whose first member is "v": AIOS__JOURNAL_VERSION. */
#define AIOS__JOURNAL_KINDS(X)                                                                                                 \
    X(BEGIN, 1, "begin")       /* what the agent is, and the transcript with the prompt */                                     \
    X(CLAIM, 2, "claim")       /* another writer goes on */                                                                    \
    X(TURN, 3, "turn")         /* what the model said, and the counters behind it */                                           \
    X(INTENT, 4, "intent")     /* calls that are about to happen */                                                            \
    X(ASK, 5, "ask")           /* a call waits for a decision */                                                               \
    X(DECISION, 6, "decision") /* which came */                                                                                \
    X(RESULT, 7, "result")     /* a call's receipt, as the model reads it */                                                   \
    X(END, 8, "end")           /* done, or stopped by a failure */                                                             \
    X(EXTRACT, 9, "extract")   /* bits of a value became trusted, asked for by the host */                                     \
    X(CONTEXT, 12, "context")  /* what the model does not get any more, and what stands in its place */                        \
    X(HANDOFF, 10, "handoff")   /* the calls of the turn are over, and another agent goes on */
enum aios__journal_kind {
#define X(name, number, text) AIOS__JOURNAL_##name = (number),
    AIOS__JOURNAL_KINDS(X)
#undef X
};
enum { AIOS__JOURNAL_VERSION = 1 };
#define AIOS__RUN_ID 65
#define AIOS__RUN_STREAM "run/"
#define AIOS__CALL_RUN "call-" /* and its key: id of the run that a call of an agent is */

typedef struct aios__journal_mark {
    uint32_t kind;
    size_t end; /**< of its text */
} aios__journal_mark;

typedef struct aios__journal {
    aios_claim *claim;
    char stream[sizeof AIOS__RUN_STREAM + AIOS__RUN_ID];
    uint64_t seq;              /**< of the last record that was committed */
    aios__buf text;            /**< of the records that wait for a commit */
    aios__journal_mark *marks; /**< one a record that waits */
    uint32_t n, cap;
    bool urgent;               /**< what waits must not wait for the end of the step */
    int failed;                /**< a commit failed: nothing more is written */
    int64_t used_ns;           /**< the run's time in earlier hands */
    int64_t since;             /**< when it came into these */
    uint64_t seed;             /**< of the run; each turn has its own of it */
    aios_sampling sampling;    /**< of this turn */
    uint64_t kept;             /**< tokens of the session that cache_dir has */
    int64_t ttl_ns;            /**< of the claim, from each renewal on */
    int64_t renew_at, held_until;
    struct aios__journal_flight *flight; /**< a commit on its way; NULL: none */
    bool send;                 /**< what waits is to be the next one */
    uint64_t intent;           /**< number of the intent whose calls are to begin once it is durable; 0: none */
    aios_error *ended;         /**< the failure that is told once it is written; NULL: the run is done */
} aios__journal;

/** True for [A-Za-z0-9_.:-]{1,64}. */
bool aios__run_id_ok(const char *id);
/** Takes the run's stream, and *head is its last record. */
int aios__journal_open(aios_run *r, uint64_t *head, aios_error *err);
void aios__journal_close(aios_run *r);
/** late: it is written before the first turn. */
int aios__journal_begin(aios_run *r, bool late, aios_error *err);
/** Another writer goes on: fences off those before it. */
int aios__journal_resume(aios_run *r, aios_error *err);
/** The turn that the transcript's last entry is. */
int aios__journal_turn(aios_run *r, aios_error *err);
/** Calls that are due and have effects: when it returns 0, they may happen. AIOS_AGAIN: when aios__journal_may_begin gives 0. */
int aios__journal_intent(aios_run *r, aios_error *err);
int aios__journal_ask(aios_run *r, aios__run_call *c, aios_error *err);
int aios__journal_decision(aios_run *r, const aios__run_call *c, int32_t verdict, aios_error *err);
int aios__journal_result(aios_run *r, aios__run_call *c, aios_error *err);
/** The context part that the transcript's last entry is. */
int aios__journal_context(aios_run *r, aios_error *err);
/** What the next agent is, as its agent's handoff names it. */
int aios__journal_handoff(aios_run *r, const char *name, const aios_agent *to, aios_error *err);
/** They will not happen, though they may be written down as about to. */
void aios__journal_void(aios_run *r);
/** failure NULL: done. AIOS_AGAIN: it is so when aios__journal_settle gives 0. */
int aios__journal_end(aios_run *r, const aios_error *failure, aios_error *err);
/** Writes what waits. */
int aios__journal_commit(aios_run *r, aios_error *err);
/** Sends it if it must not wait for the end of the step. */
int aios__journal_urgent(aios_run *r, aios_error *err);
/** Sampling of the turn that begins, its own or the agent's; the seed is the same for the same turn of a resumed run. */
const aios_sampling *aios__journal_sampling(aios_run *r, const aios_sampling *own);
/** Adds members that say what the agent is: what a run must find again. */
int aios__journal_add_agent(const aios_agent *a, aios__buf *b, aios_error *err);

/** Bits of a value became trusted: when it returns, they are counted. */
int aios__journal_extract(aios_run *r, double bits, aios_error *err);

/** The writes of what waits. */
void aios__journal_fill(const aios__journal *j, aios_store_write *w);
/** A commit failed: nothing is written any more. Returns rc; *err says why. */
int aios__journal_lost(aios_run *r, int rc, const aios_error *why, aios_error *err);

/* ---- journal_late.c: commits that the run does not wait for ---------------------------------------------------------- */

/** Writes what waits, or has it written: no effect follows from it yet. */
int aios__journal_send(aios_run *r, aios_error *err);
/** Takes note of a commit that is over, and sends the next. Fails as that did. */
int aios__journal_pump(aios_run *r, aios_error *err);
/** Waits for the commit on its way. */
int aios__journal_land(aios_run *r, aios_error *err);
/** Sends what waits. AIOS_AGAIN: not all is durable yet. */
int aios__journal_settle(aios_run *r, aios_error *err);
/** True if a commit is over that nobody has taken note of. */
bool aios__journal_is_back(const aios_run *r);
/** Sends an intent that was just put; as aios__journal_may_begin. */
int aios__journal_sent_intent(aios_run *r, aios_error *err);
/** The intent is durable: its calls begin now. AIOS_AGAIN: not yet. */
int aios__journal_may_begin(aios_run *r);
/** True between an intent and the beginning of its calls. */
bool aios__journal_intends(const aios_run *r);
/** 0: the store has the run, so that its first turn may begin. AIOS_AGAIN: not yet. */
int aios__journal_begun(aios_run *r, aios_error *err);
/** True if a turn or calls can begin only once a commit is over. */
bool aios__journal_holds(const aios_run *r);

/* ---- journal_read.c ----------------------------------------------------------------------------------------------- */

/** A record as it stands in a journal; members of `root` beyond these are read by who wants them. */
typedef struct aios__journal_record {
    enum aios__journal_kind kind;
    uint64_t seq;
    int64_t wall_us;
    const char *stream;
    const aios__json *root;
    uint32_t step, call; /**< where the kind has them */
} aios__journal_record;
typedef int aios__journal_fn(void *user, const aios__journal_record *rec, aios_error *err);
/** Calls fn for each record of a run, in order, BEGIN first and no other. ENOENT, EFORMAT, EVERSION, or what fn gave. */
int aios__journal_each(aios_ctx *ctx, aios_store *st, const char *stream, aios__journal_fn *fn, void *user, aios_error *err);
/** A member that is a whole number within [0, max]. EFORMAT. */
int aios__journal_number(const aios__journal_record *rec, const char *key, uint64_t max, uint64_t *out, aios_error *err);
/** A number that is text of hexadecimal digits. EFORMAT. */
int aios__journal_hex(const aios__journal_record *rec, const char *key, uint64_t *out, aios_error *err);
/** Of a begin: id of the run whose call it is, "" for none. */
const char *aios__journal_parent(const aios__journal_record *begin);
/** As messages have it. */
const char *aios__journal_kind_name(enum aios__journal_kind kind);
/** A failure that names record and run. */
int aios__journal_bad(const aios__journal_record *rec, const char *what, aios_error *err);

/* ---- journal_gate.c: what the gate has counted and hidden ------------------------------------------------------------ */

/** The policy that decided what a record tells of: nothing without rules. */
void aios__journal_add_policy(const aios_agent *a, aios__buf *b, aios_error *err);
/** What was approved, and in the first record of a call what it took of the policy. */
void aios__journal_add_gate(aios__run_call *c, aios__buf *b, aios_error *err);
void aios__journal_add_ask(const aios__run_call *c, aios__buf *b, aios_error *err);
/** The value behind a result's handle, and the bits that became trusted with it. */
void aios__journal_add_hidden(const aios_run *r, const aios__run_call *c, aios__buf *b, aios_error *err);
/** The same, read; of: the record, or the part of it that is of the call. */
int aios__journal_take_policy(const aios_run *r, aios__run_call *c, const aios__journal_record *rec, const aios__json *of, aios_error *err);
int aios__journal_take_gate(aios_run *r, aios__run_call *c, const aios__journal_record *rec, const aios__json *of, aios_error *err);
int aios__journal_take_ask(aios_run *r, aios__run_call *c, const aios__journal_record *rec, aios_error *err);
int aios__journal_take_bits(aios_run *r, const aios__journal_record *rec, aios_error *err);
int aios__journal_take_hidden(aios_run *r, aios__run_call *c, const aios__journal_record *rec, aios_error *err);

/* ---- lease.c: a claim that is renewed while the run is driven; without a store each of these is nothing ---------------- */

/** Claims the run's stream. EBUSY. */
int aios__lease_take(aios_run *r, aios_error *err);
/** When it is to be renewed next; INT64_MAX: not. */
int64_t aios__lease_due(const aios_run *r);
/** Renews it if it is due. ECONFLICT: another has the run, and nothing more is written here; what the store fails with, if that lasts as long as the claim. */
int aios__lease_keep(aios_run *r, aios_error *err);

/* ---- run_keep.c: what a session has computed, beside the journal --------------------------------------------------- */

/** After a turn: saves the session if enough is new. */
void aios__keep_save(aios_run *r);
void aios__keep_load(aios_run *r);
void aios__keep_drop(aios_run *r);

#endif
