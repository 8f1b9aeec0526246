/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file llm.h
 * Models by URI, sessions over them. "gguf:FILE" (also a bare path that ends in .gguf) is the built-in engine, "echo:"
 * the scripted model of tests and documentation; remote.h has those behind HTTP; docs/routing.md those made of others (route:, record:, replay:).
 */
#ifndef AIOS_LLM_H
#define AIOS_LLM_H

#include <aios/ctx.h>
#include <aios/event.h>
#include <aios/grammar.h>
#include <aios/remote.h>
#include <aios/transcript.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aios_model aios_model;
typedef struct aios_session aios_session;

/** Why a model is not ready, aios_model_status.state. */
#define AIOS_MODEL_STATES(X)                                                                       \
    X(READY, 0, "ready")                                                                           \
    X(LOADING, 1, "loading")                                                                       \
    X(NO_FILE, 2, "the file is missing")                                                           \
    X(BAD_FILE, 3, "the file is damaged or unsafe")                                                \
    X(UNSUPPORTED, 4, "the architecture or a tensor type is not supported")                        \
    X(NO_MEMORY, 5, "not enough memory in the budget")                                             \
    X(NO_ACCESS, 6, "access was refused")                                                          \
    X(UNREACHABLE, 7, "the server cannot be reached")                                              \
    X(FAILED, 8, "it failed")
enum {
#define X(name, number, text) AIOS_MODEL_##name = (number),
    AIOS_MODEL_STATES(X)
#undef X
};

/** Where the text goes: a policy reads it. */
enum { AIOS_PRIVACY_LOCAL = 0, AIOS_PRIVACY_LAN = 1, AIOS_PRIVACY_REMOTE = 2 };

enum {
    AIOS_MODEL_CAN_TOOLS = 1,
    AIOS_MODEL_CAN_SCHEMA = 2,    /**< replies under a schema hold to it as they are written; of other models they are checked at the end */
    AIOS_MODEL_CAN_TOKENIZE = 4,
    AIOS_MODEL_CAN_FORK = 8,
    AIOS_MODEL_CAN_EMBED = 16,
    AIOS_MODEL_HAS_TEMPLATE = 32, /**< a chat model; without it only raw completion makes sense */
    AIOS_MODEL_CAN_GRAMMAR = 64,  /**< aios_request.grammar */
    AIOS_MODEL_CAN_SAVE = 128,    /**< aios_session_save, aios_session_load; the library sets it */
    AIOS_MODEL_CAN_LOGPROBS = 256 /**< AIOS_REQUEST_LOGPROBS; a server of somebody else's may refuse it, or not read it and give none */
};

/** How a model is opened. */
typedef struct aios_model_config {
    size_t struct_size;
    uint32_t n_threads;     /**< 0: as the context says */
    uint32_t use_mmap;      /**< 1: weights are mapped, not copied: with cache_dir the packed image, which processes then share; without it
                                 the model file, which is packed from there. For files that nobody truncates meanwhile. */
    uint32_t n_ctx;         /**< context to allow; 0: the model's own, at most 8192 */
    uint32_t kv_bits;       /**< of a key's or value's element in the caches of sessions: 16 (also for 0), 8 or 4; fewer take less memory and
                                 cost exactness (docs/performance.md) */
    const char *template_text; /**< replaces the file's chat template; NULL: the file's */
    /** Progress of loading, 0 .. 1; non-zero cancels. May be NULL. */
    int (*progress)(void *user, double part);
    void *progress_user;
    /**
     * Folder that keeps weights in the form that the kernels read, so that the next opening need not pack them; made if it is missing.
     * NULL: nothing is kept. Every byte is checked against its sum when it is used; what is missing, damaged, of another file, version
     * or layout, or could have been written by another user is packed anew with a line in the log. A model file counts as another when
     * its path, inode, size, times, header or a piece of any tensor differs. A thread of lowest priority writes the image;
     * aios_model_close waits for it. Files of a host's own aios_env are not kept.
     */
    const char *cache_dir;
    /**
     * Most bytes of such images in cache_dir, whichever models they are of; those unused the longest are removed before another is
     * written, and one that is larger is not. 0: 8 GiB, or a fifth of what the disk has for them if that is less.
     */
    uint64_t cache_bytes;
    const aios_remote_config *remote; /**< of models behind HTTP; NULL: defaults */
} aios_model_config;

typedef struct aios_model_status {
    size_t struct_size;
    int32_t state;      /**< AIOS_MODEL_x */
    int32_t code;       /**< the code behind it, 0 if ready */
    char msg[512];
    uint64_t have, need; /**< NO_MEMORY: bytes */
} aios_model_status;

/** Facts of a model. Text lives as long as the model. */
typedef struct aios_model_info {
    size_t struct_size;
    const char *name;         /**< as the model calls itself */
    const char *backend;      /**< "gguf", "echo" ... */
    const char *architecture; /**< "llama" ...; "" if unknown */
    const char *quantization; /**< of most weights, "Q4_1" */
    uint32_t n_ctx;           /**< tokens a session may hold */
    uint32_t n_ctx_train;
    uint32_t n_vocab;
    uint32_t n_embd;
    uint32_t n_layers;
    int32_t privacy;          /**< AIOS_PRIVACY_x; REMOTE of a backend that does not say */
    uint32_t flags;           /**< AIOS_MODEL_CAN_x */
    uint32_t n_threads;
    uint64_t n_params;
    uint64_t n_bytes;         /**< of the file */
} aios_model_info;

/** A tool as the model sees it. */
typedef struct aios_tool_def {
    size_t struct_size;
    const char *name;        /**< [A-Za-z0-9_.-]{1,64} */
    const char *description; /**< may be NULL */
    const char *schema_json; /**< JSON schema of the arguments object; NULL: {"type":"object"} */
} aios_tool_def;

enum { AIOS_TOOLS_AUTO = 0, AIOS_TOOLS_REQUIRED = 1, AIOS_TOOLS_NONE = 2, AIOS_TOOLS_NAMED = 3 };

/** Sampling; all zero = the model's defaults: greedy at temperature 0. */
typedef struct aios_sampling {
    size_t struct_size;
    float temperature;        /**< 0: greedy */
    float top_p;              /**< 0 or >= 1: off */
    float min_p;              /**< 0: off */
    float repeat_penalty;     /**< 0 or 1: off */
    float frequency_penalty;
    float presence_penalty;
    uint32_t top_k;           /**< 0: off */
    uint32_t penalty_last_n;  /**< tokens looked back on; 0: 64 */
    uint64_t seed;            /**< 0: a random one */
} aios_sampling;

/** One model turn. Everything is copied or used only during aios_session_start. */
typedef struct aios_request {
    size_t struct_size;
    const aios_transcript *transcript; /**< the conversation so far; NULL with `raw` */
    const char *raw;                   /**< completion of this text, without template; else NULL */
    size_t n_raw;                      /**< bytes, or AIOS_CSTR */
    const aios_tool_def *tools;
    size_t tool_stride;                /**< sizeof(aios_tool_def) of the caller */
    uint32_t n_tools;
    int32_t tool_choice;               /**< AIOS_TOOLS_x; under NONE a reply that begins as a call is begun anew as a sentence */
    const char *tool_name;             /**< with AIOS_TOOLS_NAMED */
    const char *schema_json;           /**< the reply must be JSON under this schema, from the engine with a blank behind commas and colons; NULL: free */
    const aios_sampling *sampling;     /**< NULL: defaults */
    uint32_t max_tokens;               /**< of the reply; 0: to the end of the context. What a grammar wants is ended in time: DONE says "length" only if it could not */
    uint32_t flags;                    /**< AIOS_REQUEST_x */
    int64_t timeout_ns;                /**< of the turn; 0: none */
    int32_t priority;                  /**< higher first; hint (docs/scheduling.md) */
    uint32_t max_reasoning;            /**< tokens; 0: no bound of its own */
    const char *const *stop;           /**< NULL-terminated list of stop texts, or NULL */
    aios_grammar *grammar;             /**< the reply is one of its sentences; NULL: free. Not with schema_json; kept alive by the turn */
    /**
     * How often a reply is asked for again that does not hold to schema_json, of a model without AIOS_MODEL_CAN_SCHEMA; 0: twice.
     * Each is an attempt of its own (aios_event.attempt): what came in earlier ones is void. After the last the turn fails with ESCHEMA,
     * its text kept in the event. A reply that ended for "length" is not checked.
     */
    uint32_t max_repairs;
    /**
     * A choice among tools whose best candidate is ahead by less (AIOS_EVENT_CHOICE) ends the turn without a call, for the reason "unsure", so
     * that the host can ask back or turn to a larger model; 0: never. docs/small-models.md has the curve of margins.
     */
    float min_margin;
    uint32_t n_top;                    /**< with AIOS_REQUEST_LOGPROBS: most likely tokens told beside each of the reply, 0 to 20 */
    uint32_t reserved0;
    /** Time from the start in which the turn wants to be over: of one priority the earliest goes first. It ends nothing; hint. 0: none. */
    int64_t deadline_ns;
} aios_request;
#define AIOS_NO_REPAIRS UINT32_MAX /**< max_repairs: the first reply that does not hold is the end */
enum {
    AIOS_REQUEST_IGNORE_EOS = 1,
    AIOS_REQUEST_ONE_CALL = 2,    /**< at most one tool call */
    AIOS_REQUEST_PLAIN_CHOICE = 4, /**< names of tools are chosen token by token, without calibration */
    AIOS_REQUEST_CALL_DELTAS = 8, /**< AIOS_EVENT_CALL_DELTA while a call is being written, where the backend sends them */
    AIOS_REQUEST_SNAPSHOTS = 16,  /**< AIOS_EVENT_SNAPSHOT behind each piece of JSON */
    AIOS_REQUEST_LOGPROBS = 32    /**< AIOS_EVENT_LOGPROBS behind each piece of text; ENOTSUP without AIOS_MODEL_CAN_LOGPROBS */
};

typedef struct aios_session_config {
    size_t struct_size;
    uint32_t n_ctx;     /**< 0: the model's */
    uint32_t driver;    /**< AIOS_DRIVER_x */
    uint32_t speculation; /**< AIOS_SPECULATION_x */
    uint32_t reserved0;
    /** A small model with the same tokens that guesses what comes next, kept alive by the session; NULL: none. EINVAL if its tokens differ. */
    aios_model *draft;
} aios_session_config;
enum {
    AIOS_DRIVER_CALLER = 0, /**< _next computes; a thread appears once aios_session_fd is asked for */
    AIOS_DRIVER_THREAD = 1  /**< a thread of the model computes */
};

enum {
    AIOS_SPECULATION_AUTO = 0, /**< text that seems to repeat itself is computed ahead; the reply is the same, bit for bit */
    AIOS_SPECULATION_OFF = 1
};

/**
 * Opens a model. Fails with the code that aios_model_status would give. Ownership: aios_model_close; sessions keep it
 * alive. Thread-safety of the object: safe.
 */
AIOS_API int aios_model_open(aios_ctx *ctx, const char *uri, const aios_model_config *cfg, aios_model **m, aios_error *err);
/** Drops the caller's reference; sessions keep the model alive. NULL is fine. */
AIOS_API void aios_model_close(aios_model *m);
/** State of an open model. Of an unopened one: aios_model_probe. */
AIOS_API int aios_model_status_get(const aios_model *m, aios_model_status *out);
/** Says whether the model at uri could be opened, and if not why, without loading it. */
AIOS_API int aios_model_probe(aios_ctx *ctx, const char *uri, const aios_model_config *cfg, aios_model_status *out);
/** Fills *out. */
AIOS_API int aios_model_info_get(const aios_model *m, aios_model_info *out);
/** Name of a state, or "?". */
AIOS_API const char *aios_model_state_name(int32_t state);

/** Thread-safety of a session: one thread at a time (EBUSY else); cancel from any thread or signal handler. */
AIOS_API int aios_session_new(aios_model *m, const aios_session_config *cfg, aios_session **s, aios_error *err);
/** Ends a turn that still runs, and frees the session and its events. NULL is fine. */
AIOS_API void aios_session_free(aios_session *s);
/** A second session that shares the computed prefix. ENOTSUP, EBUSY while a turn runs. */
AIOS_API int aios_session_fork(aios_session *s, aios_session **out, aios_error *err);
/**
 * Writes what the session has computed to a file, about as many bytes as its cache takes, so that a session of the same model, also in
 * another process, need not compute it again. The file appears whole or not at all. EBUSY while a turn runs; EIO (sys ENOSPC: the disk
 * is full), EDENIED, ENOENT; ENOTSUP where nothing is computed here or the context's files cannot be written.
 */
AIOS_API int aios_session_save(aios_session *s, const char *path, aios_error *err);
/**
 * Replaces what the session has computed by such a file; the next turn computes only what differs from it, and its results are those it
 * would have without. EFORMAT: the file is damaged; EVERSION: of another version of the library; EINVAL: of another model, cache type
 * or instruction set level; ECONTEXT (have, need); EBUDGET; EBUSY while a turn runs. A failure leaves the session as it was. Other
 * sessions do not get to see what was loaded: whoever can write the file decides what this session has read.
 */
AIOS_API int aios_session_load(aios_session *s, const char *path, aios_error *err);
/**
 * Says whether the session will soon be back with more of the same (1, as an agent does that waits for its tools), or is idle (0, as at first).
 * When memory must be freed, what idle sessions have computed goes first, then what the others have that have waited the longest; it costs time
 * and nothing else. A hint: backends that keep nothing here ignore it. EBUSY while a turn runs.
 */
AIOS_API int aios_session_retain(aios_session *s, int32_t retain, aios_error *err);
/** Computes the prefix now, so that a later start with the same beginning is quick. tools as in the request to come. */
AIOS_API int aios_session_prewarm(aios_session *s, const aios_request *prefix, aios_error *err);
/**
 * Tokens that `req` would send: of a local model exactly those later reported as usage.input, of a remote one what its server counts, or
 * where it does not count, an estimate by what it has charged so far.
 */
AIOS_API int aios_session_count(aios_session *s, const aios_request *req, uint32_t *n_tokens, aios_error *err);
/** Starts a turn. ECONTEXT (have = context, need = tokens) before anything is computed. */
AIOS_API int aios_session_start(aios_session *s, const aios_request *req, aios_error *err);
/**
 * The next event. 0: *ev is set; AIOS_DONE: the turn is over; AIOS_AGAIN: nothing within timeout_ms (-1: wait, 0: poll;
 * a computing step is not cut short). The last event of a turn is DONE or ERROR.
 */
AIOS_API int aios_session_next(aios_session *s, int32_t timeout_ms, const aios_event **ev);
/** Readable when _next has something, until it has given AIOS_AGAIN or the last event; -1 if it cannot. Owned by the session. */
AIOS_API int aios_session_fd(aios_session *s);
/** Stops the turn: its last event is ERROR with ECANCELED. Any thread, async-signal-safe. */
AIOS_API int aios_session_cancel(aios_session *s);
/**
 * Writes the models that the server of this one offers: a JSON array of objects with "id", and "context" where it says how many tokens
 * one holds. ENOTSUP where there is no list; failures of the network as for turns.
 */
AIOS_API int aios_model_list(aios_model *m, aios_write_fn *fn, void *user, aios_error *err);
/** Embedding of a text, n_out floats (aios_model_info.n_embd). ENOTSUP. */
AIOS_API int aios_model_embed(aios_model *m, const char *text, size_t n, float *out, uint32_t n_out, aios_error *err);

#ifdef __cplusplus
}
#endif
#endif
