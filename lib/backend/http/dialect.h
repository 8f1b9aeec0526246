/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a provider's protocol is to the rest of the backend: how a request is written and how its stream is read. One dialect, one file,
 * one row in dialects.c. A dialect sees no network: bytes of a request out, parsed events in.
 */
#ifndef AIOS_LIB_DIALECT_H
#define AIOS_LIB_DIALECT_H

#include "base/json.h"
#include "base/put.h"
#include "llm/llm.h"

typedef struct aios__dialect aios__dialect;

/** A server as the dialects see it. */
typedef struct aios__server {
    aios_ctx *ctx;
    const aios__dialect *dialect;
    const char *model;    /**< name that requests carry; "" if the URI has none */
    const char *base_url; /**< without a slash at its end */
    const char *host;     /**< of it, lower case */
    const char *seal;     /**< in front of what it signs: "DIALECT@ORIGIN"; NULL: the dialect's name, at the provider's own address */
    _Atomic uint32_t quirks; /**< AIOS__QUIRK_x, of dialects that have them (quirks.c): known from the host, or learnt */
    bool keep;            /**< AIOS_REMOTE_KEEP */
    uint32_t n_ctx;       /**< tokens a context holds, as configured; 0: not */
} aios__server;

/** What is sent: to base_url + path. */
typedef struct aios__message {
    aios__buf path; /**< "/chat/completions" */
    aios__buf body; /**< JSON */
} aios__message;

/** A failure in a provider's own words; "" where it said nothing. */
typedef struct aios__fault {
    int status;          /**< of HTTP, 0 inside of a stream */
    const char *type;    /**< "invalid_request_error" */
    const char *code;    /**< "context_length_exceeded" */
    const char *message;
    const char *param;   /**< what of the request is meant: "response_format", "messages[0].role" */
    uint64_t have, need; /**< of an overflow, where fields of their own say it: tokens; else 0 */
} aios__fault;

/* ---- reader.c: what a stream has said so far, on its way to the sink ---------------------------------------------- */

/** One attempt's reader. All text goes through it: it mends cuts inside of characters and keeps calls apart. */
typedef struct aios__reader aios__reader;

/** Text that may end inside of a character. */
int aios__reader_text(aios__reader *r, const char *s, size_t n, aios_error *err);
int aios__reader_reasoning(aios__reader *r, const char *s, size_t n, aios_error *err);
/**
 * A call by the provider's number (any order, several open at once): its beginning, or more of it. name and id may come late or in
 * pieces that repeat; NULL: nothing new. args: a piece of the arguments. Where one number stands for several calls, another id with a name
 * begins the next; index -1: the provider numbers none, and what has a name begins one. ELIMIT, EPROTO.
 */
int aios__reader_call(aios__reader *r, int64_t index, const char *id, const char *name, const char *args, size_t n_args, aios_error *err);
/** Likewise with arguments as a value: a string as it is, an object as its text, as some servers send it. */
int aios__reader_call_value(aios__reader *r, int64_t index, const char *id, const char *name, const aios__json *args, aios_error *err);
/** A call that comes in one piece: args is an object, or NULL. */
int aios__reader_call_whole(aios__reader *r, const char *id, const char *name, const aios__json *args, aios_error *err);
/** The call is whole: it goes up. Unknown or ended ones are left alone. */
int aios__reader_call_end(aios__reader *r, int64_t index, aios_error *err);
/** Bytes of arguments that the call has so far; 0 if it is unknown. */
size_t aios__reader_call_size(const aios__reader *r, int64_t index);
/** Counts as the provider gives them; -1: not said. A later word replaces an earlier one. */
void aios__reader_usage(aios__reader *r, int64_t input, int64_t cached, int64_t output, int64_t reasoning);
/** The reply is whole, and why: "stop", "length", "tool_calls"; "refusal" and "filter" fail the turn (EREFUSED, EFILTERED). */
int aios__reader_stop(aios__reader *r, const char *reason, aios_error *err);
/** What the provider says of that stop, for the message of the failure. */
void aios__reader_note(aios__reader *r, const char *why);
/**
 * What the provider wants back as it is, with the reasoning since the last such: it goes up as "SEAL/kind S" and comes back as the call_id of
 * a part (aios__part_signature). ELIMIT.
 */
int aios__reader_sign(aios__reader *r, const char *kind, const char *s, size_t n, aios_error *err);
/** Adds a token and how likely it was, then, with other = true, those that were likely in its place; none is told that has no such number. */
int aios__reader_token(aios__reader *r, const aios__json *token, const char *logprob_key, bool other, aios_error *err);
/** Sends the tokens up that were added. */
int aios__reader_tokens_end(aios__reader *r, aios_error *err);
/** All of that for a list as OpenAI has it: [{"token","logprob","top_logprobs":[{"token","logprob"}]}]. */
int aios__reader_logprobs(aios__reader *r, const aios__json *list, aios_error *err);
/** Makes an empty text of the reader's heap, for a dialect that has to put something together; the caller's to free. */
void aios__reader_buf(const aios__reader *r, aios__buf *out);
/** Nothing more will come: what follows is ignored. A stream that ends without this or a stop was cut. */
void aios__reader_end(aios__reader *r);
/** Fails the attempt by an error that came inside of a stream. */
int aios__reader_fault(aios__reader *r, const aios__fault *fault, aios_error *err);
/** Remembers of the server what its stream shows: AIOS__QUIRK_x. */
void aios__reader_learn(aios__reader *r, uint32_t quirks);

/* ---- a dialect ---------------------------------------------------------------------------------------------------- */

enum aios__framing { AIOS__FRAMING_SSE, AIOS__FRAMING_NDJSON };

struct aios__dialect {
    const char *name;           /**< scheme of its URIs */
    const char *title;          /**< in messages */
    const char *base_url;       /**< of the provider; NULL: the URI must name one */
    const char *key_names[3];   /**< standard variables of keys, the first that is set counts */
    const char *url_name;       /**< standard variable of the base URL, or NULL */
    /** Makes an URL of what that variable may hold besides: "host:port". NULL: it holds URLs. */
    int (*complete_url)(const char *given, aios__buf *out, aios_error *err);
    const char *auth;           /**< header in front of the key: "Authorization: Bearer " */
    const char *const *headers; /**< further ones, NULL-terminated, or NULL */
    enum aios__framing framing;
    uint32_t can;               /**< AIOS_MODEL_CAN_x */
    /** Writes the request of a turn, streaming. ENOTSUP names what the dialect cannot say. */
    int (*encode)(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err);
    /** Names of the plain members at the top of an event that `decode` and `fault` read, NULL-terminated; NULL: all may be. */
    const char *const *reads;
    /** Reads one event of the stream, or a reply that came in one piece; type: SSE's, "" for NDJSON and one piece. */
    int (*decode)(aios__reader *r, const char *type, const aios__json *v, aios_error *err);
    /** Finds the words of an error body; false if it is none. Borrowed from v. */
    bool (*fault)(const aios__json *v, aios__fault *out);
    /** Counting at the server: request and reply. NULL: by estimate. */
    int (*encode_count)(const aios__server *s, const aios_request *req, aios__message *out, aios_error *err);
    int (*decode_count)(const aios__json *v, uint32_t *n, aios_error *err);
    /** Models of the server: path of a GET, and how to read a page: writes [{"id", "context"?}, ...] members. NULL: it has no list. */
    const char *list_path;
    int (*decode_list)(const aios__json *v, aios__buf *out, aios_error *err);
    /** Embedding of one text. NULL: none. */
    int (*encode_embed)(const aios__server *s, const char *text, size_t n, aios__message *out, aios_error *err);
    const aios__json *(*decode_embed)(const aios__json *v); /**< the array of numbers, or NULL */
};

/** dialects.c: the row of a scheme's first part ("anthropic" of "anthropic+https"), or NULL. */
const aios__dialect *aios__dialect_find(const char *name, size_t n);
/** Rows in order; NULL past the last. */
const aios__dialect *aios__dialect_at(uint32_t i);

extern const aios__dialect aios__dialect_openai;
extern const aios__dialect aios__dialect_responses;
extern const aios__dialect aios__dialect_anthropic;
extern const aios__dialect aios__dialect_ollama;
extern const aios__dialect aios__dialect_gemini;

/* ---- says.c ------------------------------------------------------------------------------------------------------- */

/** Wishes that only some dialects have words for. */
enum {
    AIOS__SAYS_TOP_K = 1,
    AIOS__SAYS_MIN_P = 2,
    AIOS__SAYS_REPEAT_PENALTY = 4,
    AIOS__SAYS_PENALTIES = 8, /**< of frequency and presence */
    AIOS__SAYS_PENALTY_LAST_N = 16,
    AIOS__SAYS_SEED = 32,
    AIOS__SAYS_MAX_REASONING = 64,
    AIOS__SAYS_TOOL_CHOICE = 128, /**< calls that must be made */
    AIOS__SAYS_LOGPROBS = 256
};
/** ENOTSUP that names the first wish of a request outside of `says` (AIOS__SAYS_x): nothing is dropped in silence. */
int aios__check_says(const aios__server *s, const aios_request *req, uint32_t says, aios_error *err);

/* ---- write.c: helpers of encoders --------------------------------------------------------------------------------- */

/** Arguments of a call: JSON as it is if it is an object, nothing as an empty one, all else as {"invalid_arguments": "..."}. */
int aios__put_args(aios__buf *b, const char *key, const aios_part *p, aios_error *err);
/** Takes back what was put behind the first n bytes. */
void aios__put_back(aios__buf *b, size_t n);
/** Base64 of bytes (RFC 4648), without quotes. */
int aios__put_base64(aios__buf *b, const void *p, size_t n, aios_error *err);
/** A string member "data:TYPE;base64,..." of a part; type: in place of the part's own, if it has none. */
int aios__put_data_url(aios__buf *b, const char *key, const aios_part *p, const char *type, aios_error *err);
/** All text parts of an entry joined by line ends, as a JSON string. */
int aios__put_text(aios__buf *b, const aios_entry *e, aios_error *err);
/** The i-th part of an entry. */
const aios_part *aios__part_at(const aios_entry *e, uint32_t i);
/** What stands in front of what a server signs: nothing that one has signed goes to another. */
const char *aios__seal_of(const aios__server *s);
/** What aios__reader_sign sent up of this kind, in a part of the same origin; else NULL. */
const char *aios__part_signature(const aios_part *p, const aios__server *s, const char *kind);
/** Member of an object as text, "" if there is none. */
const char *aios__str_of(const aios__json *obj, const char *key);
/** "wav" or "mp3", of an audio part; NULL: another form. */
const char *aios__audio_format(const aios_part *p);
/** True if a part of data is text, which goes as text. */
bool aios__part_is_text(const aios_part *p);
/** Effort of reasoning for a bound in tokens, as Google's layer maps them back: "low" 1024, "medium" 8192, "high". */
const char *aios__effort_of(uint32_t max_reasoning);
/** ENOTSUP that says which part this dialect cannot carry. */
int aios__put_refuse(const aios__server *s, const aios_part *p, aios_error *err);
/** What all dialects say of a tool: name, description, and its schema under a key of theirs. */
int aios__put_tool(aios__buf *b, const aios_tool_def *t, const char *schema_key, aios_error *err);
/** Adds what fn makes of each result of an entry, with commas between; other parts are refused. */
int aios__put_results(const aios__server *s, aios__buf *b, const aios_entry *e, int (*fn)(aios__buf *b, const aios_part *p, aios_error *err), aios_error *err);
/** Adds a row of a list of models; context 0: it is not known. */
int aios__put_listed(aios__buf *out, const char *id, int64_t context, aios_error *err);
/** The number of tokens under a key of an answer; EPROTO if it is none. */
int aios__read_count(const aios__json *v, const char *key, uint32_t *n, aios_error *err);

#endif
