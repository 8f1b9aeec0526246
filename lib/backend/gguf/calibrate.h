/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibrated choice among the names of tools (docs/small-models.md). Small models lean to some names whatever is asked, so each is scored
 * by its log-probability minus a part of the one that it has after an empty user turn, plus what the words of the request share with
 * those of the tool by the model's own token embeddings; where that leaves the choice close, the first few by how well the request fits them.
 */
#ifndef AIOS_LIB_GGUF_CALIBRATE_H
#define AIOS_LIB_GGUF_CALIBRATE_H

#include "backend/gguf/net.h"
#include "backend/gguf/vocab.h"
#include "llm/llm.h"

struct aios__gguf_model;
struct aios__gguf_session;

enum { AIOS__OPTIONS_MAX = 128, AIOS__WORDS_MAX = 64, AIOS__FIT_TOOLS = 4 };

/* ---- calibrate_options.c: the candidates as tokens ----------------------------------------------------------------- */

/** Candidates as a trie of tokens. Only nodes where they part count: what has to come anyway tells nothing. */
typedef struct aios__options {
    uint32_t n;
    uint32_t n_common;                    /**< tokens that all begin with */
    aios__ids ids;                        /**< of all, one candidate behind the other */
    uint32_t at[AIOS__OPTIONS_MAX];       /**< where those of a candidate begin, behind the common ones */
    uint32_t len[AIOS__OPTIONS_MAX];      /**< of them, up to the one that tells it from all others */
    double score[AIOS__OPTIONS_MAX];      /**< log-probability among the candidates */
} aios__options;

/** Cuts `forced` and each literal behind it into tokens. n 0: the tokens do not tell the literals apart. */
int aios__options_make(const aios__vocab *v, const aios__buf *forced, const aios__literals *l, aios__options *o, aios_error *err);
void aios__options_free(aios__options *o);
/** Adds the choice at the first node, from the logits behind the common tokens; only those of candidates are read. */
void aios__options_root(aios__options *o, const float *logits);
/** Adds the choices at all other nodes: computed on forks of a cache that ends with the common tokens. */
int aios__options_score(aios__options *o, aios__kv *kv, aios_error *err);

/* ---- calibrate_words.c --------------------------------------------------------------------------------------------- */

/** Tokens of what a tool says of itself: its name, description and parameters. */
int aios__words_of_tool(const aios__vocab *v, const aios_tool_def *t, aios__ids *out, aios_error *err);
/** Tokens of a request, at most AIOS__WORDS_MAX, the last ones. */
int aios__words_of_text(const aios__vocab *v, const char *s, size_t n, aios__ids *out, aios_error *err);
/**
 * How much more of the question's words each of n texts has than the others: text i is ids[at[i] .. at[i + 1]). A word counts by the cosine of its
 * embedding to the nearest one of the text, and the more the rarer its token is, which its place in the vocabulary tells.
 */
int aios__words_score(const aios__net *net, const aios__ids *question, const int32_t *ids, const uint32_t *at, uint32_t n, double *out, aios_error *err);

/* ---- calibrate_prior.c: what belongs to a toolset, kept with the model ------------------------------------------------ */

/** Of one toolset under one system message. */
typedef struct aios__prior {
    struct aios__prior *older, *newer;
    uint64_t key[2];
    uint32_t refs;
    uint32_t n;          /**< tools */
    size_t n_bytes;
    bool measured;
    double *score;       /**< of each tool after an empty user turn */
    uint32_t *name_at;   /**< n + 1 */
    char *names;         /**< each with its NUL */
    uint32_t *at;        /**< n + 1 */
    int32_t *ids;        /**< words of the tools */
    uint32_t *fit_at;    /**< n + 1 */
    int32_t *fit_ids;    /**< of aios__fit_text */
} aios__prior;

/** The least recently used go beyond a bound of bytes. Guarded by the model's lock. */
typedef struct aios__priors {
    aios__prior *oldest, *newest;
    size_t n_bytes;
} aios__priors;

/** Finds the prior of a request's toolset, or makes an unmeasured one; held until _drop. */
int aios__prior_get(struct aios__gguf_model *m, const aios_request *req, aios__prior **out, aios_error *err);
/** Keeps a measured one for later turns, of any session. */
void aios__prior_keep(struct aios__gguf_model *m, aios__prior *p);
void aios__prior_drop(struct aios__gguf_model *m, aios__prior *p);
/** Frees those that are kept. */
void aios__priors_free(struct aios__gguf_model *m);
/** The tool of that name, or n. */
uint32_t aios__prior_find(const aios__prior *p, const char *name, size_t n_name);

/* ---- calibrate_fit.c --------------------------------------------------------------------------------------------------- */

/** Tokens of a tool's text that a request is read behind. */
int aios__fit_text(const aios__vocab *v, const aios_tool_def *t, aios__ids *out, aios_error *err);
bool aios__fit_has_room(uint32_t n_ctx);
/** out[tools[i]]: log-probability of the question's last words behind the text of each of at most AIOS__FIT_TOOLS tools. */
int aios__fit_score(aios__net *net, uint32_t n_ctx, const aios__prior *p, const aios__ids *question, const uint32_t *tools, uint32_t n,
                    double *out, aios_error *err);

/* ---- calibrate.c: a turn's side -------------------------------------------------------------------------------------- */

typedef struct aios__calibrate aios__calibrate;

/** Makes turn.calibrate where the request has a choice to score; call_grammar is there. */
int aios__calibrate_start(struct aios__gguf_session *s, const aios_request *req, aios_error *err);
void aios__calibrate_free(struct aios__gguf_session *s);
/**
 * Looks whether the turn stands in front of a choice; if so takes the tokens that all candidates begin with, and *waits: nothing more is
 * chosen before _root and _finish. AIOS_AGAIN, or what the end or a failure gave.
 */
int aios__calibrate_look(struct aios__gguf_session *s, bool *waits, aios_error *err);
/** The next logits are for _root. */
bool aios__calibrate_waits(const struct aios__gguf_session *s);
int aios__calibrate_root(struct aios__gguf_session *s, const float *logits);
/** _root was called: _finish is due, between passes, on the thread that plans them. */
bool aios__calibrate_is_due(const struct aios__gguf_session *s);
/** Scores the candidates, says so, and takes the best, or ends the turn as unsure. AIOS_AGAIN, or what the end or a failure gave. */
int aios__calibrate_finish(struct aios__gguf_session *s, aios_error *err);

#endif
