/* SPDX-License-Identifier: Apache-2.0 */
/* JSON read byte by byte as it comes: what each byte is, without a tree. Of the same JSON as base/json.c, save that keys may repeat. */
#ifndef AIOS_LIB_JSON_PUSH_H
#define AIOS_LIB_JSON_PUSH_H

#include "base/base.h"

enum { AIOS__PUSH_DEPTH = 200 };

/** What a byte was. */
enum {
    AIOS__PUSH_BLANK = 1,   /**< between tokens */
    AIOS__PUSH_KEY = 2,     /**< of a key, its quotes included */
    AIOS__PUSH_TEXT = 4,    /**< of a string that is a value, its quotes included */
    AIOS__PUSH_PLAIN = 8,   /**< of a number, true, false, null */
    AIOS__PUSH_BEGIN = 16,  /**< the first byte of a key or value */
    AIOS__PUSH_END = 32,    /**< the last byte of a key or value, but for numbers */
    AIOS__PUSH_BEFORE = 64, /**< a number ended in front of it */
    AIOS__PUSH_WHOLE = 128  /**< inside a string: a character is whole with it */
};

/** A character of UTF-8 on its way; all zero: between two. */
typedef struct aios__push_char {
    uint8_t more, lo, hi;
} aios__push_char;

/** 1: c ends a character, 0: more must follow, -1: it is not UTF-8. */
int aios__push_utf8(aios__push_char *u, uint8_t c);

typedef struct aios__push {
    uint8_t state, text;
    uint8_t hex;        /**< digits of \u seen */
    bool low;           /**< the second half of a pair must follow */
    bool key;           /**< the string is a key */
    aios__push_char utf8;
    uint16_t depth;     /**< containers that are open */
    uint16_t unit;
    const char *rest;   /**< of true, false, null */
    uint8_t objects[(AIOS__PUSH_DEPTH + 7) / 8]; /**< a bit a level: it is an object */
} aios__push;

/** All zero is the beginning. Flags of c, or -1: no JSON begins so; nothing may follow then. */
int aios__push_byte(aios__push *p, uint8_t c);
/** The text read is a whole value; a number at the root may still go on. */
bool aios__push_whole(const aios__push *p);
/** The innermost open container is an object. */
bool aios__push_in_object(const aios__push *p);
/** Adds the text of a string, without its quotes, in which all escapes are right. */
int aios__push_unescape(const char *s, size_t n, aios__buf *out, aios_error *err);

#endif
