/* SPDX-License-Identifier: Apache-2.0 */
/* Lark as llguidance reads it: its words, and how values become terms. */
#ifndef AIOS_LIB_LARK_H
#define AIOS_LIB_LARK_H

#include "grammar/rules.h"

enum aios__lark_word {
    AIOS__LK_END,
    AIOS__LK_LINE,     /**< one line end or more */
    AIOS__LK_NAME,     /**< of a rule or a terminal, with ! and ? before it */
    AIOS__LK_STRING,   /**< "...", perhaps with i behind it */
    AIOS__LK_REGEX,    /**< /.../ and flags */
    AIOS__LK_NUMBER,
    AIOS__LK_SPECIAL,  /**< <...> */
    AIOS__LK_GRAMMAR,  /**< @name */
    AIOS__LK_KEYWORD,  /**< %name */
    AIOS__LK_MARK      /**< one of : , . | ( ) { } [ ] ~ & = + * ? or -> .. :: */
};

/** A word of the text: bytes at .. at + n. */
typedef struct aios__lark_token {
    uint8_t kind;
    uint32_t at, n;
} aios__lark_token;

typedef struct aios__lark {
    aios__rules r;
    const char *s;
    size_t n, at;            /**< at: behind `token` */
    aios__lark_token token;  /**< the word that is looked at */
    aios__buf text;          /**< of the string being read */
    aios_error *err;
} aios__lark;

/** Goes on to the next word. ESCHEMA where none begins. */
int aios__lark_next(aios__lark *k);
int aios__lark_fail(const aios__lark *k, int code, const char *what);
/** True if the word looked at is s; the names of rules and terminals have their own kind. */
bool aios__lark_is(const aios__lark *k, const char *s);
/** Where the JSON object ends that begins at byte `at`; 0: nowhere. */
size_t aios__lark_json_end(const aios__lark *k, size_t at);
/** The text of the string looked at, in k->text. */
int aios__lark_string(aios__lark *k);

/* ---- lark_value.c: terms of values; the word looked at is the value, and the next one after it ---------------------- */

/** A string, a range of characters or a regular expression. */
int aios__lark_text(aios__lark *k, uint32_t *out);
/** %json, %regex: the keyword is looked at. */
int aios__lark_json(aios__lark *k, uint32_t *out);
int aios__lark_regex_ext(aios__lark *k, uint32_t *out);
/** The expression of a terminal of the library called common, or NULL. */
const char *aios__lark_common(const char *name, size_t n);

#endif
