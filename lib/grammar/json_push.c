/* SPDX-License-Identifier: Apache-2.0 */
/* One state a byte (RFC 8259); containers are bits of a stack, so depth costs no recursion. */
#include "grammar/json_push.h"
#include "grammar/hex.h"

#include <string.h>

enum {
    VALUE,      /* a value must come */
    FIRST_ITEM, /* a value or ] */
    FIRST_KEY,  /* a key or } */
    KEY,        /* a key must come */
    COLON,
    AFTER,      /* , or the end of the container */
    STRING,
    LITERAL,
    MINUS, ZERO, INT, POINT, FRAC, EXP, EXP_SIGN, EXP_INT,
    DONE
};

/* Of a string: which bytes come next. */
enum { CHARS, ESCAPE, HEX, PAIR_SLASH, PAIR_U };

static bool is_object(const aios__push *p, uint32_t level)
{
    return p->objects[level / 8] >> level % 8 & 1;
}

bool aios__push_in_object(const aios__push *p)
{
    return p->depth && is_object(p, p->depth - 1u);
}

static void end_value(aios__push *p)
{
    p->state = p->depth ? AFTER : DONE;
}

static int open_container(aios__push *p, bool object)
{
    if (p->depth == AIOS__PUSH_DEPTH)
        return -1;
    uint8_t *b = &p->objects[p->depth / 8], bit = (uint8_t)(1u << p->depth % 8);
    *b = (uint8_t)(object ? *b | bit : *b & ~bit);
    p->depth++;
    p->state = object ? FIRST_KEY : FIRST_ITEM;
    return AIOS__PUSH_BEGIN;
}

static int close_container(aios__push *p, bool object)
{
    if (!p->depth || is_object(p, p->depth - 1u) != object)
        return -1;
    p->depth--;
    end_value(p);
    return AIOS__PUSH_END;
}

static int begin_string(aios__push *p, bool key)
{
    p->state = STRING;
    p->text = CHARS;
    p->utf8 = (aios__push_char){0};
    p->low = false;
    p->key = key;
    return (key ? AIOS__PUSH_KEY : AIOS__PUSH_TEXT) | AIOS__PUSH_BEGIN;
}

static int begin_value(aios__push *p, uint8_t c)
{
    static const char *const words[] = {"true", "false", "null"};
    if (c == '{' || c == '[')
        return open_container(p, c == '{');
    if (c == '"')
        return begin_string(p, false);
    for (size_t i = 0; i < AIOS__ARRAY_LEN(words); i++)
        if (c == (uint8_t)words[i][0]) {
            p->state = LITERAL;
            p->rest = words[i] + 1;
            return AIOS__PUSH_PLAIN | AIOS__PUSH_BEGIN;
        }
    if (c != '-' && (c < '0' || c > '9'))
        return -1;
    p->state = c == '-' ? MINUS : c == '0' ? ZERO : INT;
    return AIOS__PUSH_PLAIN | AIOS__PUSH_BEGIN;
}

/* Bytes between tokens. */
static int structure(aios__push *p, uint8_t c)
{
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return AIOS__PUSH_BLANK;
    switch (p->state) {
    case VALUE:
        return begin_value(p, c);
    case FIRST_ITEM:
        return c == ']' ? close_container(p, false) : begin_value(p, c);
    case FIRST_KEY:
        if (c == '}')
            return close_container(p, true);
        return c == '"' ? begin_string(p, true) : -1;
    case KEY:
        return c == '"' ? begin_string(p, true) : -1;
    case COLON:
        p->state = VALUE;
        return c == ':' ? 0 : -1;
    case AFTER:
        if (c == ',') {
            p->state = aios__push_in_object(p) ? KEY : VALUE;
            return 0;
        }
        return c == '}' || c == ']' ? close_container(p, c == '}') : -1;
    default:
        return -1;
    }
}

/* The range of the second byte depends on the first (Unicode 15, table 3-7). */
int aios__push_utf8(aios__push_char *u, uint8_t c)
{
    if (u->more) {
        if (c < u->lo || c > u->hi)
            return -1;
        u->lo = 0x80;
        u->hi = 0xbf;
        return --u->more ? 0 : 1;
    }
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return -1;
    u->more = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    u->lo = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    u->hi = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return 0;
}

static int end_unit(aios__push *p)
{
    bool low = p->unit >= 0xdc00 && p->unit <= 0xdfff, high = p->unit >= 0xd800 && p->unit <= 0xdbff;
    if (low != p->low || !p->unit)
        return -1;
    p->low = high;
    p->text = high ? PAIR_SLASH : CHARS;
    return high ? 0 : AIOS__PUSH_WHOLE;
}

static int escape(aios__push *p, uint8_t c)
{
    int digit;
    switch (p->text) {
    case ESCAPE:
        if (c == 'u') {
            p->text = HEX;
            p->hex = 0;
            p->unit = 0;
            return 0;
        }
        p->text = CHARS;
        return memchr("\"\\/bfnrt", c, 8) ? AIOS__PUSH_WHOLE : -1;
    case HEX:
        digit = aios__hex(c);
        if (digit < 0)
            return -1;
        p->unit = (uint16_t)(p->unit << 4 | digit);
        return ++p->hex == 4 ? end_unit(p) : 0;
    case PAIR_SLASH:
        p->text = PAIR_U;
        return c == '\\' ? 0 : -1;
    default:
        p->text = HEX;
        p->hex = 0;
        p->unit = 0;
        return c == 'u' ? 0 : -1;
    }
}

static int string_byte(aios__push *p, uint8_t c)
{
    int of = p->key ? AIOS__PUSH_KEY : AIOS__PUSH_TEXT;
    if (p->text != CHARS) {
        int flags = escape(p, c);
        return flags < 0 ? -1 : of | flags;
    }
    if (!p->utf8.more && c == '"') {
        if (p->key)
            p->state = COLON;
        else
            end_value(p);
        return of | AIOS__PUSH_END;
    }
    if (!p->utf8.more && c == '\\') {
        p->text = ESCAPE;
        return of;
    }
    int whole = c < 0x20 ? -1 : aios__push_utf8(&p->utf8, c);
    return whole < 0 ? -1 : whole ? of | AIOS__PUSH_WHOLE : of;
}

/* What follows in a number; the state it stays in when c does not belong to it is a whole number, or not. */
static int number_byte(aios__push *p, uint8_t c)
{
    bool digit = c >= '0' && c <= '9', point = c == '.', exp = (c | 32) == 'e', sign = c == '+' || c == '-';
    int to = -1;
    switch (p->state) {
    case MINUS: to = c == '0' ? ZERO : digit ? INT : -1; break;
    case ZERO: to = point ? POINT : exp ? EXP : -1; break;
    case INT: to = digit ? INT : point ? POINT : exp ? EXP : -1; break;
    case POINT: to = digit ? FRAC : -1; break;
    case FRAC: to = digit ? FRAC : exp ? EXP : -1; break;
    case EXP: to = digit ? EXP_INT : sign ? EXP_SIGN : -1; break;
    case EXP_SIGN: to = digit ? EXP_INT : -1; break;
    default: to = digit ? EXP_INT : -1; break;
    }
    if (to >= 0) {
        p->state = (uint8_t)to;
        return AIOS__PUSH_PLAIN;
    }
    if (p->state != ZERO && p->state != INT && p->state != FRAC && p->state != EXP_INT)
        return -1;
    end_value(p);
    int flags = structure(p, c);
    return flags < 0 ? -1 : flags | AIOS__PUSH_BEFORE;
}

int aios__push_byte(aios__push *p, uint8_t c)
{
    if (p->state == STRING)
        return string_byte(p, c);
    if (p->state == LITERAL) {
        if (c != (uint8_t)*p->rest++)
            return -1;
        if (*p->rest)
            return AIOS__PUSH_PLAIN;
        end_value(p);
        return AIOS__PUSH_PLAIN | AIOS__PUSH_END;
    }
    return p->state >= MINUS && p->state <= EXP_INT ? number_byte(p, c) : structure(p, c);
}

bool aios__push_whole(const aios__push *p)
{
    return p->state == DONE || (!p->depth && (p->state == ZERO || p->state == INT || p->state == FRAC || p->state == EXP_INT));
}

int aios__push_unescape(const char *s, size_t n, aios__buf *out, aios_error *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int rc = AIOS_OK;
    uint32_t high = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        const char *hit = s[i] == '\\' && i + 1 < n ? memchr(from, s[i + 1], 8) : NULL;
        if (s[i] != '\\') {
            rc = aios__buf_addc(out, s[i], err);
        } else if (hit) {
            rc = aios__buf_addc(out, to[hit - from], err);
            i++;
        } else if (i + 5 < n) {
            uint32_t cp = 0;
            for (size_t k = i + 2; k < i + 6; k++)
                cp = cp << 4 | (uint32_t)aios__hex((uint8_t)s[k]);
            i += 5;
            if (cp >= 0xd800 && cp <= 0xdbff) {
                high = cp;
                continue;
            }
            char text[4];
            size_t len = aios__utf8_encode(cp >= 0xdc00 && cp <= 0xdfff ? 0x10000 + ((high - 0xd800) << 10) + (cp - 0xdc00) : cp, text);
            rc = aios__buf_add(out, text, len, err);
        }
    }
    return rc;
}
