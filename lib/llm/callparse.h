/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply in some family's format on its way up: text, reasoning and calls are told apart byte by byte, so that it does not matter
 * how the reply was cut into pieces. What is not a whole call is text; no text is lost but the blanks around calls.
 */
#ifndef AIOS_LIB_CALLPARSE_H
#define AIOS_LIB_CALLPARSE_H

#include "base/json.h"
#include "llm/call_format.h"
#include "grammar/json_push.h"

/** Where it goes: valid UTF-8, whole characters. Each returns 0 or a code that ends the reading. */
typedef struct aios__call_sink {
    void *user;
    int (*text)(void *user, const char *s, size_t n);
    int (*reasoning)(void *user, const char *s, size_t n);
    int (*begin)(void *user, const char *name, const char *id);    /**< a call begins; id NULL: not known yet. May be NULL */
    int (*args)(void *user, const char *s, size_t n);              /**< more of its arguments. May be NULL */
    int (*call)(void *user, const char *name, const char *args, size_t n_args, const char *id); /**< a whole call: args are what came in pieces */
    int (*drop)(void *user);                                       /**< the one that began is none: its text follows. May be NULL */
} aios__call_sink;

enum aios__parse_state {
    AIOS__PARSE_TEXT, AIOS__PARSE_THINK, AIOS__PARSE_HEAD, AIOS__PARSE_START, AIOS__PARSE_NAME, AIOS__PARSE_MID, AIOS__PARSE_ID,
    AIOS__PARSE_OBJECT, AIOS__PARSE_JSON, AIOS__PARSE_TAG, AIOS__PARSE_TAG_KEY, AIOS__PARSE_TAG_MID, AIOS__PARSE_TAG_VALUE,
    AIOS__PARSE_LOOSE, AIOS__PARSE_AFTER, AIOS__PARSE_OVER
};

enum { AIOS__PARSE_PATTERNS = 8, AIOS__PARSE_LITS = 8, AIOS__LOOSE_DEPTH = 64 };

typedef struct aios__callparse {
    aios__heap *heap;
    const aios__call_format *f;
    const aios__think_format *think;
    const aios__call_sink *sink;
    /** Of TAGS: 1 the argument is a string, 0 it is JSON, -1 unknown. NULL: always unknown. */
    int (*is_text)(void *user, const char *tool, const char *key);
    void *tools;
    bool no_calls;     /**< calls are not looked for */
    bool no_bare;      /**< nor those that nothing announces */
    bool pause;        /**< adding stops behind an opener, opened is set then */
    bool opened;
    bool only_opener;  /**< a call begins with its format's opener, not in another way that its models have */
    bool may_think;    /**< a reasoning block may still begin */
    bool trim;         /**< no blanks in front of the next text */
    bool fresh;        /**< nothing but blanks since the beginning or the last call */
    bool any;          /**< text was sent */
    enum aios__parse_state state;
    uint32_t n_calls;
    aios__buf stops;   /**< texts that end the reply, each with its NUL */
    /* The rest is its own. */
    struct { const char *s; uint8_t n, kind; } pats[AIOS__PARSE_PATTERNS];
    uint32_t n_pats;
    uint32_t firsts[8];          /* a bit for each byte that begins one of them */
    char start[2][160];          /* what comes before a name: with what opens the list, and without */
    const char *lits[AIOS__PARSE_LITS];
    uint8_t lit_kind[AIOS__PARSE_LITS];
    uint32_t n_lits, lits_seen;  /* what may follow a call; those that came */
    char head_end[64];           /* of a call with tags: the first word of end */
    aios__buf again;             /* bytes to be read once more */
    size_t again_at;
    aios__buf out;               /* text or reasoning not sent yet */
    bool out_thinks;
    aios__buf held, blanks;      /* may be the beginning of something; blanks that a call would swallow */
    aios__buf raw;               /* the call as it was written */
    aios__buf name, id, args, key, val;
    size_t n_sent;               /* of args */
    bool begun, bare;
    uint8_t field, level, kind;
    bool has_name, has_args, started;
    aios__push push;
    aios__push_char utf8;
    uint8_t loose, quote;        /* state of arguments that are no JSON; the quote of a Python string */
    uint8_t depth, stack[AIOS__LOOSE_DEPTH];
} aios__callparse;

void aios__callparse_init(aios__callparse *p, aios__heap *h, const aios__call_format *f, const aios__think_format *think, const aios__call_sink *sink);
void aios__callparse_free(aios__callparse *p);
/** Reads n bytes, as far as *used (NULL: all) says. */
int aios__callparse_add(aios__callparse *p, const char *s, size_t n, size_t *used, aios_error *err);
/** The reply is over: what is held is sent. */
int aios__callparse_finish(aios__callparse *p, aios_error *err);
/** What was read of a call whose opener has just come. */
int aios__callparse_pending(const aios__callparse *p, aios__buf *out, aios_error *err);
/** Forgets what is held, at a place where the reply begins anew. */
void aios__callparse_reset(aios__callparse *p, enum aios__parse_state state);

/* ---- callparse_args.c: each reads one byte, which is in raw already ------------------------------------- */

int aios__callparse_object(aios__callparse *p, char c, aios_error *err);
int aios__callparse_json(aios__callparse *p, char c, aios_error *err);
int aios__callparse_tag(aios__callparse *p, char c, aios_error *err);
int aios__callparse_tag_key(aios__callparse *p, char c, aios_error *err);
int aios__callparse_tag_mid(aios__callparse *p, char c, aios_error *err);
int aios__callparse_tag_value(aios__callparse *p, char c, aios_error *err);
int aios__callparse_loose(aios__callparse *p, char c, aios_error *err);
/** Takes what is behind the name. */
int aios__callparse_enter_args(aios__callparse *p, char c, aios_error *err);

/* ---- callparse.c, for it ---------------------------------------------------------------------------------------------- */

/** 1: held is that text, 0: its beginning, -1: neither. A blank in it stands for any number. */
int aios__callparse_match(const char *lit, const aios__buf *held);
/** Adds c to held and waits for one of n texts (NULL or blank ones: none). *at: which is whole, n: none yet, or it is no call after all. */
int aios__callparse_take(aios__callparse *p, char c, const char *const *lits, int n, int *at, aios_error *err);
/** The name is known. */
int aios__callparse_begin(aios__callparse *p, aios_error *err);
int aios__callparse_done(aios__callparse *p, aios_error *err);
int aios__callparse_fail(aios__callparse *p, aios_error *err);

static inline bool aios__is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

#endif
