/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file plugin/backend.h
 * What an LLM backend implements. The wrapper (lib/llm) checks arguments, serialises calls of one session, keeps the
 * event ring and holds model references; slots of one session never run at the same time, except cancel.
 */
#ifndef AIOS_PLUGIN_BACKEND_H
#define AIOS_PLUGIN_BACKEND_H

#include <aios/llm.h>
#include <aios/token.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where a step puts what it made. Each returns 0 or a code that the step must return at once. */
typedef struct aios_sink {
    size_t struct_size;
    void *user;
    int (*text)(void *user, const char *s, size_t n);      /**< whole code points only */
    int (*reasoning)(void *user, const char *s, size_t n);
    int (*call)(void *user, const char *name, const char *args_json, size_t n_args, const char *call_id /**< NULL: the wrapper makes one */);
    int (*usage)(void *user, const aios_usage *usage);
    int (*stop)(void *user, const char *reason);           /**< "stop", "length", "tool_calls", "unsure" */
    /** A choice was scored: what was chosen, and the text of an AIOS_EVENT_CHOICE. NULL: the wrapper is older. */
    int (*choice)(void *user, const char *name, const char *scores_json, size_t n);
    /**
     * A call is being written: n 0 at its beginning, then pieces of its arguments, which make up those of the call that follows. call_id as
     * for call, the same for all. NULL: nobody asked for it, or the wrapper is older.
     */
    int (*call_delta)(void *user, const char *name, const char *s, size_t n, const char *call_id);
    /**
     * What this turn has put here so far is void: another attempt begins (aios_event.attempt). NULL: the wrapper is older, and a turn that
     * has sent something can only fail.
     */
    int (*restart)(void *user);
    /**
     * What the provider wants back, as it is, with the reasoning that came since the last such: UTF-8 that only the backend reads, behind the
     * name of its dialect. NULL: the wrapper is older, and the provider does without.
     */
    int (*sign)(void *user, const char *signature);
    /** Where a router sends the turn: the candidate, and the text of an AIOS_EVENT_ROUTE. NULL: the wrapper is older. */
    int (*route)(void *user, const char *name, const char *json, size_t n);
    /**
     * The session has nothing to do before the env's monotonic clock says until_ns (INT64_MAX: no time) or before `ready` is called: it is left
     * alone until then, or until it is cancelled or its time is over. The step returns AIOS_AGAIN at once. A step that is made although there is
     * nothing to do parks again. NULL: the step has to wait itself, as it says (nobody else steps this session, or the wrapper is older).
     */
    int (*park)(void *user, int64_t until_ns);
    /**
     * A parked session has something to do. Any thread, with locks held if need be, also while no step runs: fn and user may be kept until
     * session_free. Neither superfluous calls do harm, nor one that comes within a step before it parks: then parking has no effect. NULL as park is.
     */
    void (*ready)(void *user);
    /** How likely the tokens of the text before were: the text of an AIOS_EVENT_LOGPROBS. NULL: the wrapper is older. */
    int (*logprobs)(void *user, const char *json, size_t n);
} aios_sink;

typedef struct aios_backend_open_args {
    size_t struct_size;
    aios_ctx *ctx;
    const char *uri;                  /**< whole */
    const char *path;                 /**< behind "name:" */
    const aios_model_config *config;  /**< never NULL, full size */
    uint32_t depth;                   /**< models that are being opened around this one, which is a part of theirs */
    uint32_t reserved0;
} aios_backend_open_args;

typedef struct aios_backend_ops {
    size_t struct_size;
    const char *name;                 /**< URI scheme */
    int (*open)(void *user, const aios_backend_open_args *args, void **model, aios_error *err);
    void (*close)(void *model);
    int (*probe)(void *user, const aios_backend_open_args *args, aios_error *err);  /**< default: open then close */
    int (*info)(void *model, aios_model_info *out);
    int (*session_new)(void *model, const aios_session_config *cfg, void **session, aios_error *err);
    void (*session_free)(void *session);
    /** Checks and prepares a turn; computes nothing long. */
    int (*start)(void *session, const aios_request *req, aios_error *err);
    /** Does a bounded piece of work (a prefill chunk, a token, a network wait of <= 20 ms): AIOS_AGAIN more to come, AIOS_DONE the turn is over, < 0 failed. */
    int (*step)(void *session, const aios_sink *sink, aios_error *err);
    void (*cancel)(void *session);    /**< async-signal-safe, any thread; step then returns ECANCELED soon */
    int (*fork)(void *session, void **out, aios_error *err);                               /**< default: ENOTSUP */
    int (*count)(void *session, const aios_request *req, uint32_t *n, aios_error *err);    /**< default: ENOTSUP */
    int (*prewarm)(void *session, const aios_request *req, aios_error *err);               /**< default: nothing */
    int (*embed)(void *model, const char *s, size_t n, float *out, uint32_t n_out, aios_error *err);
    int (*tokenize)(void *model, const char *s, size_t n, uint32_t flags, int32_t *ids, uint32_t n_max, uint32_t *n_ids, aios_error *err);
    int (*detokenize)(void *model, const int32_t *ids, uint32_t n_ids, char *out, size_t n_max, size_t *n_bytes, aios_error *err);
    int (*render)(void *model, const aios_request *req, aios_write_fn *fn, void *user, aios_error *err);
    int (*eval)(void *session, const int32_t *ids, uint32_t n_ids, float *logits, uint32_t n_rows, aios_error *err);
    int (*eval_batch)(void *const *sessions, const int32_t *ids, uint32_t n, float *logits, aios_error *err);
    int (*inspect)(void *user, const aios_backend_open_args *args, aios_write_fn *fn, void *wuser, aios_error *err);
    int (*save)(void *session, const char *path, aios_error *err);   /**< default: ENOTSUP; a failure leaves no file behind */
    int (*load)(void *session, const char *path, aios_error *err);   /**< default: ENOTSUP; a failure leaves the session as it was */
    /** Writes a JSON array of {"id", "context"?} of the models where this one is. default: ENOTSUP */
    int (*list)(void *model, aios_write_fn *fn, void *wuser, aios_error *err);
    /**
     * Drives whatever parked sessions wait for, at most timeout_ms (0: without waiting), and calls `ready` (aios_sink) for those that have news;
     * returns 0 once it has called it, or is woken. Called by the model's thread alone, while sessions are parked. AIOS_ENOTSUP: there is nothing to
     * drive now; any other failure: all that are parked get a step, to tell it. default: the model's thread sleeps until `ready`, from a thread of the backend's.
     */
    int (*wait)(void *model, int32_t timeout_ms);
    /** Ends a wait early, also one that has not begun yet. Any thread, also from within `ready`: takes no lock under which that is called. Set if wait is. */
    void (*wake)(void *model);
    /** As aios_session_retain: between turns, never within one. default: nothing */
    void (*retain)(void *session, int32_t retain);
} aios_backend_ops;

/** Adds a backend to ctx; ops is copied. EEXIST if the scheme is taken. */
AIOS_API int aios_backend_register(aios_ctx *ctx, const aios_backend_ops *ops, void *user, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
