/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's own objects: a model with its tokens and template, a session, a turn. */
#ifndef AIOS_LIB_GGUF_GGUF_H
#define AIOS_LIB_GGUF_GGUF_H

#include "backend/gguf/net.h"
#include "backend/gguf/sampler.h"
#include "backend/gguf/template.h"
#include "backend/gguf/vocab.h"
#include "llm/llm.h"

/** How a family of models writes calls and reasoning. */
typedef struct aios__dialect {
    const char *marker;        /**< found in the template */
    aios__call_format calls;
    const char *opener;        /**< text that begins a call, without the blanks behind it */
    const char *result_open, *result_close; /**< around a tool's result where the template knows no tools */
} aios__dialect;

typedef struct aios__gguf_model {
    aios_ctx *ctx;
    aios__heap *heap;
    aios__gguf *file;
    aios__vocab *vocab;
    aios__net *net;
    aios__template *tmpl;      /**< NULL: the built-in plain format */
    bool tmpl_tools;           /**< it reads `tools` */
    const aios__dialect *dialect;
    int32_t tags[4];           /**< tokens that are the opener, its close, "<think>", "</think>"; -1: none */
    uint32_t n_ctx;
    char *name;
    pthread_mutex_t lock;      /**< guards trie and sum */
    bool has_lock;
    aios__trie *trie;          /**< made when a grammar is first used */
    uint64_t sum;              /**< made when a session is first saved or loaded */
    bool has_sum;
} aios__gguf_model;

int aios__gguf_model_new(const aios_backend_open_args *args, aios__gguf_model **out, aios_error *err);
void aios__gguf_model_free(aios__gguf_model *m);
/** The trie of the vocabulary, borrowed. */
int aios__gguf_model_trie(aios__gguf_model *m, const aios__trie **out, aios_error *err);
/** A number that tells this model's file from those of other models. */
int aios__gguf_model_sum(aios__gguf_model *m, uint64_t *out, aios_error *err);

/* ---- chat.c, prompt.c ------------------------------------------------------------------------------------------- */

/** Finds the dialect of a template. */
const aios__dialect *aios__dialect_find(const char *tmpl, size_t n);

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

/** What a reply has become so far. Bytes that may be the beginning of something else are held back. */
typedef struct aios__reply {
    aios__heap *heap;
    const aios_sink *sink;
    const char *opener;        /**< NULL: calls are not looked for */
    bool cut_calls;            /**< an opener ends the reply instead of beginning a call */
    bool trim;                 /**< no blanks in front of the first text */
    bool may_think;            /**< "<think>" at the beginning opens a reasoning block */
    bool may_call;             /**< a call without its opener at the beginning is one that was meant: state RETRY */
    const char *name_key;      /**< what such a call begins with */
    enum aios__reply_state state;
    bool any;                  /**< text was sent */
    aios__buf held;            /**< not yet sent */
    aios__buf calls;           /**< text of calls, from the opener on */
    aios__buf stops;           /**< stop texts, each with its NUL */
} aios__reply;

void aios__reply_init(aios__reply *r, aios__heap *h);
void aios__reply_free(aios__reply *r);
int aios__reply_add_stop(aios__reply *r, const char *s, aios_error *err);
/**
 * Takes the bytes of a token. State CALLS: what follows the opener is in r->calls. State OVER: a stop text came. State RETRY:
 * the text since the beginning was not sent, it should become a call in the model's own form.
 */
int aios__reply_add(aios__reply *r, const char *s, size_t n, aios_error *err);
/** No text has come yet. */
bool aios__reply_is_blank(const aios__reply *r);
/** Sends what is still held, at the end. */
int aios__reply_finish(aios__reply *r, aios_error *err);
/** Sends each whole call of a text; *n_calls how many. */
int aios__calls_send(const aios__gguf_model *m, const char *s, size_t n, const aios_sink *sink, uint32_t *n_calls, aios_error *err);

/* ---- turn.c ----------------------------------------------------------------------------------------------------- */

enum { AIOS__WALKS = 2, AIOS__TODO = 64 };

typedef struct aios__turn {
    bool active;
    aios__ids prompt;
    uint32_t n_cached, n_max, n_out, n_think, max_think;
    uint32_t text_at;             /**< position in the cache where the text begins */
    bool ignore_end, picked;      /**< picked: logits are those behind the last token */
    aios__sampler *sampler;
    aios_grammar *call_grammar;
    aios_walk *walks[AIOS__WALKS]; /**< [0] schema, [1] calls; those still alive */
    aios__reply reply;
    int32_t todo[AIOS__TODO];     /**< tokens chosen but not computed */
    uint32_t n_todo;
    int64_t prefill_ns, decode_ns;
} aios__turn;

typedef struct aios__gguf_session {
    aios__gguf_model *model;
    aios__kv *kv;
    uint32_t n_ctx;
    _Atomic int cancel;
    float *logits;                /**< n_vocab */
    uint32_t *bits;               /**< mask */
    aios__turn turn;
} aios__gguf_session;

int aios__gguf_turn_start(aios__gguf_session *s, const aios_request *req, aios_error *err);
int aios__gguf_turn_step(aios__gguf_session *s, const aios_sink *sink, aios_error *err);
void aios__gguf_turn_end(aios__gguf_session *s);
/** Begins with what this cache or another has computed of ids, at most n - 1 of them; gives their number. */
uint32_t aios__session_reuse(aios__gguf_session *s, const int32_t *ids, uint32_t n);

/* ---- inspect.c ---------------------------------------------------------------------------------------------------- */

int aios__gguf_inspect(const aios__gguf *g, aios__heap *h, aios_write_fn *fn, void *user, aios_error *err);

#endif
