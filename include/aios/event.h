/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file event.h
 * What comes up from sessions and runs, and the labels that everything carries.
 */
#ifndef AIOS_EVENT_H
#define AIOS_EVENT_H

#include <aios/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Integrity of a text: who could have written it. A join takes the smaller. */
enum { AIOS_LABEL_UNTRUSTED = 0, AIOS_LABEL_TOOL = 1, AIOS_LABEL_USER = 2, AIOS_LABEL_SYSTEM = 3 };

/** Integrity and confidentiality of a text. Join: min of integrity, union of confidentiality. */
typedef struct aios_label {
    int32_t integrity;       /**< AIOS_LABEL_x */
    int32_t reserved0;
    uint64_t confidentiality; /**< set of 64 host-defined classes; 0: public */
} aios_label;

enum {
    AIOS_EVENT_TEXT = 1,      /**< a piece of the reply, UTF-8, whole code points */
    /**
     * A piece of reasoning. With call_id, empty: the pieces since the last such are one part of the reply (AIOS_PART_REASONING), which goes into
     * the transcript with this call_id, so that the provider knows its own reasoning again.
     */
    AIOS_EVENT_REASONING = 2,
    AIOS_EVENT_CALL = 3,      /**< the model calls a tool: name, call_id, text = arguments JSON */
    AIOS_EVENT_ASK = 4,       /**< the call waits for aios_run_decide; text = the arguments as the tool gets them */
    AIOS_EVENT_RESULT = 5,    /**< a tool's result: name, call_id, text; code 0 or the tool's failure */
    AIOS_EVENT_USAGE = 6,     /**< tokens of one model turn */
    /**
     * The run changed state; text names it. "handoff": name = to which. Of a called agent the first is "agent", and all have name and call_id of its
     * call.
     */
    AIOS_EVENT_STATE = 7,
    /** The end; text = the whole final reply, name = why it stopped. Of a called agent the RESULT of its call tells, also if it failed. */
    AIOS_EVENT_DONE = 8,
    AIOS_EVENT_ERROR = 9,     /**< the end by failure; error is set */
    /**
     * The model chose among tools by calibrated scores: name = the best; text = {"margin": its lead, "kept": false if that is under
     * min_margin, "candidates": [{"name", "score", "model", "prior", "words", "fit"}, ...]}, where score is made of the others; fit only where
     * the choice was close, of the first few. docs/small-models.md
     */
    AIOS_EVENT_CHOICE = 10,
    /**
     * With AIOS_REQUEST_CALL_DELTAS: a call is being written; name, call_id, text = the next piece of its arguments, empty at its beginning.
     * All pieces make up the text of the CALL that follows. Where none follows it was no call: its text comes as TEXT.
     */
    AIOS_EVENT_CALL_DELTA = 11,
    /**
     * With AIOS_REQUEST_SNAPSHOTS, behind each TEXT of a reply under a schema and each CALL_DELTA (then with name and call_id): text = what is
     * sure of the JSON so far, closed into a valid value; path and code (AIOS_SNAPSHOT_x) as in aios_snapshot_view.
     */
    AIOS_EVENT_SNAPSHOT = 12,
    /**
     * A router (route:) has chosen: name = the candidate; text = {"uri": without secrets, "privacy": "local", "lan" or "remote", "reason",
     * "tokens": of the prompt, by estimate, "skipped": [{"name", "why"}, ...]}. What it begins is an attempt, or a hedge beside one. docs/routing.md
     */
    AIOS_EVENT_ROUTE = 13,
    /**
     * Of a resumed run: the call, as in ASK, was begun before, nobody knows whether it happened, and it is not made again by itself. It waits for
     * aios_run_decide.
     */
    AIOS_EVENT_UNKNOWN = 14,
    /**
     * With AIOS_REQUEST_LOGPROBS, behind a TEXT: text = a JSON array of the tokens since the last such, in order, that made up this text and what of the
     * one before was still held back: {"token", "logprob", "top": [{"token", "logprob"}, ...]}. logprob is the natural logarithm of the probability
     * that the model gave the token: of the softmax of its logits as they are, before temperature, penalties, masks of a grammar and the rest of the
     * sampling (remote servers: as they say). "bytes", an array of numbers, stands beside a token that is no whole UTF-8. top: at least the n_top most
     * likely, the likeliest first. "forced": true: a grammar left no choice, the model was not asked, and logprob is 0. Tokens of reasoning and calls
     * have none. The last token may be longer than its text, where a stop text cut it.
     */
    AIOS_EVENT_LOGPROBS = 15,
    /** The run's context was compacted: name = how ("drop", "summarise", "offload"); text = the AIOS_PART_CONTEXT that is in the transcript now. docs/context.md */
    AIOS_EVENT_CONTEXT = 16
};

/** Tokens and times of one model turn. */
typedef struct aios_usage {
    size_t struct_size;
    uint32_t input;     /**< tokens of the prompt, cached ones included */
    uint32_t cached;    /**< of these, not computed again */
    uint32_t output;    /**< tokens generated, reasoning included */
    uint32_t reasoning;
    int64_t prefill_ns;
    int64_t decode_ns;
    uint32_t drafted;   /**< tokens that were guessed and computed with the reply */
    uint32_t accepted;  /**< of these, those that came: each spared a pass */
    uint32_t forced;    /**< tokens of the reply that came without a choice, because a grammar left only one way to go on */
    uint32_t passes;    /**< of the network for the reply, that of the end of the prompt included */
    int64_t grammar_ns; /**< time in masks and walks of a grammar, part of the times above */
    uint64_t cost_micros; /**< what it cost, in millionths of the currency of who set the prices, rounded up; 0: nothing, or nobody knows */
    int64_t queue_ns;   /**< time that the turn could have gone on and others were computed, memory waited for included; none of the times above */
} aios_usage;

/** What tokens cost: of a million, in one currency. */
typedef struct aios_prices {
    size_t struct_size;
    double input;  /**< of prompts */
    double cached; /**< of prompts, where the server had them cached */
    double output; /**< generated, reasoning included */
} aios_prices;

/** One event. Everything it points to lives until the next call of the same _next. */
typedef struct aios_event {
    size_t struct_size;
    int32_t type;       /**< AIOS_EVENT_x */
    int32_t code;       /**< RESULT: how the tool ended; SNAPSHOT: AIOS_SNAPSHOT_x */
    uint64_t seq;       /**< 0, 1, 2 ... within a session or run */
    uint64_t run;       /**< number of the run, another for each agent that it calls; 0 in a bare session */
    uint32_t step;      /**< model turn within the run, from 0 */
    uint32_t attempt;   /**< try of that turn, from 0 */
    const char *call_id;
    const char *name;
    const char *text;   /**< n_text bytes, and a NUL behind them */
    size_t n_text;
    const aios_usage *usage;
    const aios_error *error;
    aios_label label;
    const char *path;   /**< SNAPSHOT: JSON pointer of what is still growing; NULL: nothing */
    const char *digest; /**< ASK: SHA-256 of what an approval is for (aios_run_decide_digest); NULL where this build has none */
    uint64_t parent;    /**< number of the run that called this one as a tool (compose.h); 0: none */
    uint32_t depth;     /**< 0: the run that _next was called for, 1: an agent that it called, and so on */
    uint32_t reserved0;
} aios_event;

/** Receives events on the thread that drives. Non-zero cancels the run. */
typedef int aios_event_fn(void *user, const aios_event *ev);

#ifdef __cplusplus
}
#endif
#endif
