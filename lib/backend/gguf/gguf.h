/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's own objects: a model with its tokens and template, a session, a turn. */
#ifndef AIOS_LIB_GGUF_GGUF_H
#define AIOS_LIB_GGUF_GGUF_H

#include "backend/gguf/ahead.h"
#include "backend/gguf/caches.h"
#include "backend/gguf/calibrate.h"
#include "backend/gguf/net.h"
#include "backend/gguf/sampler.h"
#include "backend/gguf/sched.h"
#include "backend/gguf/template.h"
#include "backend/gguf/vocab.h"
#include "llm/callparse.h"
#include "llm/llm.h"

enum { AIOS__TAGS = 16 };

typedef struct aios__gguf_model {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__gguf *file;
    aios__vocab *vocab;
    aios__net *net;
    aios__caches caches;       /**< what sessions hold that have no turn */
    aios__sched *sched;        /**< computes the turns of all sessions together */
    aios__template *tmpl;      /**< NULL: the built-in plain format */
    bool tmpl_tools;           /**< it reads `tools` */
    const aios__call_format *calls;
    const aios__think_format *think;
    int32_t tags[AIOS__TAGS];  /**< marks that stand in the texts of calls and reasoning; -1: none. [0]: what opens a call */
    uint32_t n_call_tags;      /**< of these, how many of calls, from the first on */
    uint32_t n_ctx;
    char *name;
    pthread_mutex_t lock;      /**< guards trie, priors and sum */
    bool has_lock;
    aios__trie *trie;          /**< made when a grammar is first used */
    struct aios__prefixes *prefixes; /**< likewise */
    aios__priors priors;       /**< of toolsets, for calibrated choice */
    uint64_t sum;              /**< made when a session is first saved or loaded */
    bool has_sum;
} aios__gguf_model;

int aios__gguf_model_new(const aios_backend_open_args *args, aios__gguf_model **out, aios_error *err);
void aios__gguf_model_free(aios__gguf_model *m);
/** The trie of the vocabulary, borrowed; m->prefixes are there too from then on. */
int aios__gguf_model_trie(aios__gguf_model *m, const aios__trie **out, aios_error *err);
/** A number that tells this model's file from those of other models. */
int aios__gguf_model_sum(aios__gguf_model *m, uint64_t *out, aios_error *err);

/* ---- chat.c, prompt.c ------------------------------------------------------------------------------------------- */

/**
 * The text of a prompt. Inside it a mark (U+FDD0) splits what looks like a special token but came from a message; a mark
 * that stood in the text is doubled. aios__prompt_strip gives the plain text, aios__prompt_tokens the tokens.
 */
int aios__chat_render(const aios__gguf_model *m, const aios_request *req, bool reply, aios__buf *out, aios_error *err);
/** Adds text that must stay plain. */
int aios__prompt_guard(const aios__vocab *v, const char *s, size_t n, aios__buf *out, aios_error *err);
int aios__prompt_strip(const char *s, size_t n, aios__buf *out, aios_error *err);
int aios__prompt_tokens(const aios__vocab *v, const char *s, size_t n, aios__ids *out, aios_error *err);
/** Text and tokens of a request: a transcript through the template, or raw. *thinks: the reply begins inside a reasoning block. */
int aios__prompt_make(const aios__gguf_model *m, const aios_request *req, bool reply, aios__ids *out, bool *thinks, aios_error *err);

/* ---- reply.c: from the bytes of tokens to text, reasoning and calls ------------------------------------------------ */

enum aios__reply_state { AIOS__REPLY_TEXT, AIOS__REPLY_THINK, AIOS__REPLY_CALLS, AIOS__REPLY_OVER, AIOS__REPLY_RETRY };

/** What a reply has become so far. */
typedef struct aios__reply {
    const aios_sink *sink;
    aios__callparse parse;     /**< tells text, reasoning and calls apart; its may_think and trim are the caller's to set */
    aios__call_sink up;
    bool watch;                /**< calls are looked for */
    bool cut_calls;            /**< an opener ends the reply instead of beginning a call */
    bool may_call;             /**< a call without its opener at the beginning is one that was meant: state RETRY */
    enum aios__reply_state state;
    aios__buf held;            /**< at the beginning: may become such a call */
    aios__buf calls;           /**< text of calls that was not read yet, from the opener on */
    aios__buf texts;           /**< arguments whose strings stand as they are: tool and name, each with its NUL */
} aios__reply;

/** r stays where it is from here on. */
void aios__reply_init(aios__reply *r, const aios__gguf_model *m, const aios_sink *sink);
void aios__reply_free(aios__reply *r);
int aios__reply_add_stop(aios__reply *r, const char *s, aios_error *err);
/** Looks for calls of these tools. */
int aios__reply_watch(aios__reply *r, const aios_request *req, aios_error *err);
/**
 * Takes the bytes of a token. State CALLS: has it just begun, r->calls is the text from the opener on, and may be cut. State OVER: a stop
 * text came. State RETRY: the text since the beginning was not sent, it should become a call in the model's own form.
 */
int aios__reply_add(aios__reply *r, const char *s, size_t n, aios_error *err);
/** No text has come yet. */
bool aios__reply_is_blank(const aios__reply *r);
/** Sends what is still held, at the end. */
int aios__reply_finish(aios__reply *r, aios_error *err);

/* ---- outbox.c: what a turn sends, kept until the thread that reads the session comes for it ------------------------ */

typedef struct aios__outbox {
    aios__buf buf;
    aios_sink sink; /**< fills it */
    uint64_t n_texts; /**< pieces of text that it has taken */
} aios__outbox;

/** o stays where it is from here on. */
void aios__outbox_init(aios__outbox *o, aios__heap *h);
void aios__outbox_free(aios__outbox *o);
/** Empties it into `to` (NULL: nowhere), in order; gives what the first refusal gave. */
int aios__outbox_flush(aios__outbox *o, const aios_sink *to);

/* ---- draft.c: guesses of what comes next, computed with what is sure and kept as far as they come true --------------- */

enum { AIOS__DRAFT_MAX = 15 };

/** How many to make, by how they have done. */
typedef struct aios__draft {
    uint32_t n;        /**< in this pass */
    uint32_t length;   /**< of the next one; 0: not set yet */
    uint32_t rest;     /**< passes without */
    uint32_t patience; /**< of the next rest */
    uint32_t n_drafted, n_accepted;
    int32_t ids[AIOS__DRAFT_MAX]; /**< those of the draft model */
    uint32_t n_ids;
} aios__draft;

/** How many to make now, at most max. */
uint32_t aios__draft_length(aios__draft *d, uint32_t max);
/** Guesses up to max tokens behind the first n of a cache by what stood there before, into its reserved room; gives their number. */
uint32_t aios__draft_lookup(const aios__kv *kv, uint32_t n, uint32_t max);
/** n of the last ones came true. */
void aios__draft_score(aios__draft *d, uint32_t n);

/* ---- draft_model.c ------------------------------------------------------------------------------------------------- */

typedef struct aios__draft_model {
    const struct aios__gguf_model *model;
    aios__kv *kv;   /**< what it has read of the session's text */
} aios__draft_model;

/** EINVAL if the draft model is of another backend or its tokens are not those of m. */
int aios__draft_model_open(const aios__gguf_model *m, const aios_model *draft, uint32_t n_ctx, aios__draft_model **out, aios_error *err);
int aios__draft_model_fork(const aios__draft_model *d, aios__draft_model **out, aios_error *err);
void aios__draft_model_free(aios__draft_model *d);
/** What is guessed behind, and what stops or restrains it. */
typedef struct aios__guess_args {
    const aios__kv *kv; /**< holds the tokens */
    uint32_t n, max;
    const aios__bans *bans;
    const _Atomic int *cancel;
} aios__guess_args;
/** Guesses up to max tokens behind n tokens; 0 if it cannot, or *cancel is set. */
uint32_t aios__draft_model_guess(aios__draft_model *d, const aios__guess_args *args, int32_t *out);

/* ---- likely.c: how likely the tokens of a reply were ------------------------------------------------------------------ */

typedef struct aios__logprobs {
    bool on;
    uint32_t n_top;
    float *raw;         /**< logits of the token that is about to be taken, as the network gave them */
    int32_t id;         /**< that token; -1: it was not chosen by these */
    aios__buf tokens;   /**< not yet sent: their text is still held */
    uint64_t n_texts;   /**< of the outbox, when some were sent last */
} aios__logprobs;

struct aios__gguf_session;
int aios__logprobs_start(struct aios__gguf_session *s, const aios_request *req, aios_error *err);
void aios__logprobs_free(struct aios__gguf_session *s);
/** A token is about to be chosen by these logits: a copy is kept. */
void aios__logprobs_look(struct aios__gguf_session *s, const float *logits);
/** Which it was. */
void aios__logprobs_chosen(struct aios__gguf_session *s, int32_t id);
/** A token becomes part of the reply, by choice or not, and its text is s. */
int aios__logprobs_add(struct aios__gguf_session *s, int32_t id, const char *text, size_t n, aios_error *err);
/** Its text was read: sends what belongs to text that went up, and forgets what became no text. end: nothing more will come. */
int aios__logprobs_send(struct aios__gguf_session *s, bool end, aios_error *err);

/* ---- turn.c, choice.c --------------------------------------------------------------------------------------------- */

enum { AIOS__WALKS = 2 };

typedef struct aios__turn {
    bool active;
    bool mute;                    /**< only the prompt is computed */
    aios__ids prompt;
    uint32_t at;                  /**< tokens of the prompt that are in the cache */
    uint32_t n_input, n_cached, n_max, n_out, n_think, max_think, n_forced, n_passes;
    uint32_t text_at;             /**< position in the cache where the text begins */
    uint32_t close_at;            /**< tokens left, from which on it is looked whether they are enough to end what a grammar wants */
    uint32_t n_loose;             /**< last tokens that came under the grammar: forced text may cut them anew */
    bool ignore_end;
    aios__bans bans;              /**< whatever is chosen, not these */
    bool replies;                 /**< the prompt was computed before this pass */
    bool again;                   /**< it let go of its cache: what it had said is a part of the prompt */
    bool rewound;                 /**< the cache was cut */
    bool largest;                 /**< this pass tells only the token of the largest logit of each wanted row, in best */
    int32_t best[AIOS__DRAFT_MAX + 1];
    aios__sampler *sampler;
    aios_grammar *call_grammar;
    aios__calibrate *calibrate;   /**< NULL: tokens of names are chosen like all others */
    aios_walk *walks[AIOS__WALKS]; /**< [0] schema, [1] calls; those still alive */
    aios__reply reply;
    int32_t todo[AIOS__TODO];     /**< tokens chosen but not computed */
    uint32_t n_todo;
    aios__draft draft;
    aios__ahead ahead;
    aios__logprobs logprobs;
    int8_t slot[AIOS__DRAFT_MAX + 1]; /**< behind so many guesses: which of the wanted rows it is; -1: none */
    aios__outbox out;
    int rc;                       /**< AIOS_AGAIN, or how the turn ended */
    aios_error err;
    int64_t since;                /**< time is counted from here on */
    int64_t prefill_ns, decode_ns, grammar_ns;
} aios__turn;

typedef struct aios__gguf_session {
    aios__gguf_model *model;
    aios__kv *kv;
    uint32_t n_ctx;
    bool drafts;                  /**< tokens are guessed ahead */
    aios__draft_model *guesser;   /**< NULL: by lookup */
    _Atomic int cancel;
    uint32_t *bits;               /**< masks, under a grammar */
    aios__habits habits;
    aios__cached cached;
    aios__job job;
    uint64_t served;              /**< rows of its turns, as the scheduler counts them */
    aios__turn turn;
} aios__gguf_session;

int aios__gguf_turn_start(aios__gguf_session *s, const aios_request *req, aios_error *err);
/** Computes the prompt of a request and no reply. */
int aios__gguf_turn_prewarm(aios__gguf_session *s, const aios_request *req, aios_error *err);
int aios__gguf_turn_step(aios__gguf_session *s, const aios_sink *sink, aios_error *err);
void aios__gguf_turn_end(aios__gguf_session *s);
/** Begins with what this cache or another has computed of ids, at most n - 1 of them; gives their number. */
uint32_t aios__session_reuse(aios__gguf_session *s, const int32_t *ids, uint32_t n);

/* What the scheduler asks of a turn, on any thread, one at a time: turn.rc says how it went. */
/** Before all: what a grammar forces. */
void aios__turn_prepare(aios__gguf_session *s);
/**
 * Before a pass that may have its rows: takes what others have computed of the prompt, makes room; sets job.n_waiting. False: the budget has
 * no room (turn.rc says so too).
 */
bool aios__turn_plan(aios__gguf_session *s);
/** The cache goes; what was computed is computed again, where it is not found. False: it cannot, as it stands. */
bool aios__turn_let_go(aios__gguf_session *s);
/** Behind it, in a pass of few rows: asks the draft model, if there is one, for up to max tokens. */
void aios__turn_guess(aios__gguf_session *s, uint32_t max);
/** Tokens from the beginning on that two prompts have in common. */
uint32_t aios__turn_common(const aios__gguf_session *a, const aios__gguf_session *b);
/** Up to max of the rows that were planned, and if these are all, up to n_drafts guessed ones; sets job.n_wants. */
uint32_t aios__turn_rows(aios__gguf_session *s, aios__row *rows, uint32_t max, uint32_t n_drafts);
/** They were computed, in a pass that began at `since`; logits as many as wanted, room as of aios__sampler_pick. */
void aios__turn_computed(aios__gguf_session *s, int64_t since, float *logits, aios__candidate *room);

/** Ends the reply: usage, reason. AIOS_DONE. */
int aios__turn_finish(aios__gguf_session *s, const char *reason, aios_error *err);
bool aios__turn_constrained(const aios__turn *t);
/** Takes a chosen token. AIOS_AGAIN: go on; else what the end or a failure gave. */
int aios__turn_take(aios__gguf_session *s, int32_t id, aios_error *err);
/**
 * What follows without a choice is taken at once, so that it is computed together: text that the grammar forces, tokens that
 * are the only ones allowed, the end of a complete reply that cannot go on. Leaves the mask of the next choice, ends of a complete
 * reply included.
 */
int aios__turn_look_ahead(aios__gguf_session *s, aios_error *err);
/** closing.c: id is about to be taken. If no end of the grammar's sentence would be in reach, the sentence is ended instead: *closed, and as _take. */
int aios__turn_close(aios__gguf_session *s, int32_t id, bool *closed, aios_error *err);
/** The text a token adds: control tokens have none, save those that mark calls and reasoning. */
const char *aios__turn_text(const aios__gguf_model *m, int32_t id, size_t *n);
/** Bytes under a grammar: to the text, to the calls, or kept until it is known which of both. */
int aios__turn_add(aios__turn *t, const char *p, size_t n, aios_error *err);
/** All tokens are used up: "stop" if what a grammar wants is whole, "length". */
const char *aios__turn_limit(const aios__turn *t);
/** As aios__walk_mask, without tokens that mark calls or reasoning where free text may stand. */
int aios__turn_mask(const aios__gguf_session *s, const aios_walk *w, const aios__trie *trie, uint32_t *bits, uint32_t *n_allowed, int32_t *only,
                    aios_error *err);
/** The last tokens, which forced text may cut anew. */
void aios__turn_tail(const aios__gguf_session *s, aios__tail *tail);
/** The walk that alone is left; NULL: both may go on, or none is there. */
const aios_walk *aios__turn_walk(const aios__turn *t);
/** A complete reply may go on or end: adds the ends to its mask. */
void aios__turn_allow_ends(const aios__gguf_session *s, uint32_t *bits);
/** Sets turn.bans. */
void aios__turn_set_bans(aios__gguf_session *s);
/** Only the largest logit matters, save of what is banned or not allowed: nothing is drawn or weighed. */
bool aios__turn_wants_largest(const aios__gguf_session *s);
/** Chooses the next token; logits are changed. */
int aios__turn_choose(aios__gguf_session *s, float *logits, aios__candidate *room, int32_t *id, aios_error *err);

/* ---- inspect.c ---------------------------------------------------------------------------------------------------- */

int aios__gguf_inspect(const aios__gguf *g, aios__heap *h, aios_write_fn *fn, void *user, aios_error *err);

#endif
