/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON (RFC 8259) into nodes. Strings are unescaped in place within one copy of the text, and numbers keep their text there. A
 * container's parts are collected on a stack and copied, once they are all known, to a block of their size. No recursion.
 */
#include <math.h>
#include <stdio.h>

#include "base/json_priv.h"

#define MAX_TEXT ((size_t)64 << 20)
#define MAX_DEPTH 256
#define BLOCK 4000u

typedef struct level {
    uint32_t first; /* of its parts on the stack */
    bool object;
    const char *key; /* of the member that is being read */
    uint32_t n_key;
} level;

typedef struct parser {
    aios__json_doc *doc;
    const char *source; /* untouched */
    char *s;
    size_t n, at;
    bool exact;
    aios__json_member *parts;
    size_t n_parts, cap_parts;
    level levels[MAX_DEPTH];
    uint32_t depth;
    aios_error *err;
} parser;

static int wrong_at(const parser *p, size_t at, const char *what)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        line += p->source[i] == '\n';
        column = p->source[i] == '\n' ? 1 : column + ((p->source[i] & 0xc0) != 0x80);
    }
    return aios__fail(p->err, AIOS_EFORMAT, "JSON, line %zu column %zu: %s", line, column, what);
}

static int wrong(const parser *p, const char *what)
{
    return wrong_at(p, p->at, p->at == p->n ? "the text ends too early" : what);
}

static int failed(const aios_error *err)
{
    return err && err->code < 0 ? err->code : AIOS_ENOMEM;
}

static void *block_alloc(parser *p, size_t n)
{
    aios__json_block *b = p->doc->blocks;
    n = (n + 7) & ~(size_t)7;
    if (!b || b->size - b->used < n) {
        size_t size = b && b->size < (1u << 18) ? b->size * 2 : b ? b->size : p->n < BLOCK / 4 ? p->n * 8 + 64 : BLOCK;
        size = size < n ? n : size;
        b = aios__alloc(p->doc->heap, AIOS_MEM_TEXT, sizeof *b + size, p->err);
        if (!b)
            return NULL;
        b->next = p->doc->blocks;
        b->used = 0;
        b->size = size;
        p->doc->blocks = b;
    }
    void *r = (char *)(b + 1) + b->used;
    b->used += n;
    return r;
}

static int push(parser *p, const aios__json *v)
{
    const level *l = &p->levels[p->depth - 1];
    if (p->n_parts == p->cap_parts) {
        size_t cap = p->cap_parts ? p->cap_parts * 2 : 16;
        void *parts = aios__realloc(p->doc->heap, AIOS_MEM_TEXT, p->parts, cap * sizeof *p->parts, p->err);
        if (!parts)
            return failed(p->err);
        p->parts = parts;
        p->cap_parts = cap;
    }
    p->parts[p->n_parts++] = (aios__json_member){l->key, l->n_key, *v};
    return AIOS_OK;
}

/* ---- strings and numbers ------------------------------------------------------------------------------------------ */

static int hex4(parser *p, uint32_t *v)
{
    *v = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = p->s[p->at];
        uint32_t d = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a') + 10 : 16;
        if (d == 16)
            return wrong(p, "four hexadecimal digits must follow \\u");
        *v = *v * 16 + d;
    }
    return AIOS_OK;
}

/* An escape sequence; p is behind the backslash. */
static int escape(parser *p, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = p->s[p->at];
    const char *known = c ? strchr(from, c) : NULL;
    uint32_t cp, low;
    if (known) {
        p->at++;
        *(*out)++ = to[known - from];
        return AIOS_OK;
    }
    if (c != 'u')
        return wrong(p, "this is no escape sequence");
    size_t at = p->at++;
    int rc = hex4(p, &cp);
    if (!rc && cp >= 0xd800 && cp < 0xdc00 && p->s[p->at] == '\\' && p->s[p->at + 1] == 'u') {
        p->at += 2;
        rc = hex4(p, &low);
        cp = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00) : cp;
    }
    if (rc)
        return rc;
    if (cp >= 0xd800 && cp < 0xe000)
        return wrong_at(p, at, "half of a surrogate pair is no character");
    if (!cp && !p->exact)
        return wrong_at(p, at, "\\u0000 is not allowed in a string");
    *out += aios__utf8_encode(cp, *out);
    return AIOS_OK;
}

/* p is behind the opening quote; the closing one becomes a NUL. */
static int string(parser *p, const char **s, uint32_t *n)
{
    char *from = p->s + p->at, *out = from;
    uint32_t cp;
    for (;;) {
        unsigned char c = (unsigned char)p->s[p->at];
        if (c == '"')
            break;
        if (c == '\\') {
            p->at++;
            int rc = escape(p, &out);
            if (rc)
                return rc;
            continue;
        }
        if (c < 0x20)
            return wrong(p, "a control character must be escaped in a string");
        size_t len = c < 0x80 ? 1 : aios__utf8_decode(p->s + p->at, p->n - p->at, &cp);
        if (!len)
            return wrong(p, "this is no UTF-8");
        for (; len; len--)
            *out++ = p->s[p->at++];
    }
    p->at++;
    *out = 0;
    *s = from;
    *n = (uint32_t)(out - from);
    return AIOS_OK;
}

static size_t digits(parser *p)
{
    size_t from = p->at;
    while (p->s[p->at] >= '0' && p->s[p->at] <= '9')
        p->at++;
    return p->at - from;
}

static int read_int(parser *p, size_t from, aios__json *v)
{
    bool minus = p->s[from] == '-', fits = true;
    int64_t x = 0;
    for (size_t i = from + minus; i < p->at && fits; i++) {
        int d = p->s[i] - '0';
        fits = x >= (INT64_MIN + d) / 10;
        x = fits ? x * 10 - d : x; /* the negative numbers reach further */
    }
    fits = fits && (minus || x != INT64_MIN);
    v->type = fits ? AIOS__JSON_INT : AIOS__JSON_REAL;
    if (fits)
        v->i = minus ? x : -x;
    else if (!p->exact)
        return wrong_at(p, from, "an integer this large does not fit into 64 bits");
    return AIOS_OK;
}

/* A short decimal is one exact division or product: nothing is rounded twice. */
static bool short_real(const char *s, size_t n, double *d)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    size_t i = *s == '-', first = i;
    int64_t m = 0;
    int shift = 0, e = 0, sign = 1;
    bool point = false;
    for (; i < n && (s[i] | 32) != 'e'; i++) {
        if (i - first > 15)
            return false;
        if (s[i] != '.')
            m = m * 10 + (s[i] - '0');
        shift += point;
        point = point || s[i] == '.';
    }
    if (i < n) {
        i++;
        sign = s[i] == '-' ? -1 : 1;
        i += s[i] == '-' || s[i] == '+';
        for (; i < n && e < 1000; i++)
            e = e * 10 + (s[i] - '0');
    }
    e = sign * e - shift;
    if (e < -22 || e > 22)
        return false;
    *d = e < 0 ? (double)m / tens[-e] : (double)m * tens[e];
    *d = *s == '-' ? -*d : *d;
    return true;
}

static int read_real(parser *p, size_t from, double *d)
{
    char *end, after = p->s[p->at], *point = memchr(p->s + from, '.', p->at - from);
    if (short_real(p->s + from, p->at - from, d))
        return AIOS_OK;
    p->s[p->at] = 0;
    *d = aios__real_parse(p->s + from, &end);
    p->s[p->at] = after;
    if (point)
        *point = '.'; /* as the locale does not have it */
    return isfinite(*d) ? AIOS_OK : wrong_at(p, from, "a number this large does not fit into a double");
}

static int number(parser *p, aios__json *v)
{
    size_t from = p->at;
    bool real = false;
    p->at += p->s[p->at] == '-';
    bool zero = p->s[p->at] == '0';
    size_t n = digits(p);
    if (!n || (zero && n > 1))
        return wrong_at(p, n ? from : p->at, p->at == p->n ? "the text ends too early" : n ? "a number must not begin with 0" : "this is no number");
    if (p->s[p->at] == '.') {
        p->at++;
        real = true;
        if (!digits(p))
            return wrong(p, "a digit must follow the point");
    }
    if (p->s[p->at] == 'e' || p->s[p->at] == 'E') {
        p->at++;
        p->at += p->s[p->at] == '+' || p->s[p->at] == '-';
        real = true;
        if (!digits(p))
            return wrong(p, "a digit must follow the exponent's letter");
    }
    *v = (aios__json){.type = AIOS__JSON_REAL, .n = (uint32_t)(p->at - from), .s = p->s + from};
    int rc = real ? AIOS_OK : read_int(p, from, v);
    if (rc || v->type == AIOS__JSON_INT)
        return rc;
    return read_real(p, from, &v->d);
}

/* ---- containers --------------------------------------------------------------------------------------------------- */

static int by_key(const aios__json_member *m, uint32_t a, uint32_t b)
{
    return aios__json_key_compare(&m[a], m[b].key, m[b].n_key);
}

static void sift(const aios__json_member *m, uint32_t *order, uint32_t at, uint32_t n)
{
    for (uint32_t c; (c = 2 * at + 1) < n; at = c) {
        c += c + 1 < n && by_key(m, order[c], order[c + 1]) < 0;
        if (by_key(m, order[at], order[c]) >= 0)
            return;
        uint32_t t = order[at];
        order[at] = order[c];
        order[c] = t;
    }
}

/* Heapsort: no bad case that a text could bring about. */
static void sort(const aios__json_member *m, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n / 2; i--;)
        sift(m, order, i, n);
    for (uint32_t i = n; i-- > 1;) {
        uint32_t t = order[0];
        order[0] = order[i];
        order[i] = t;
        sift(m, order, 0, i);
    }
}

static int close_object(parser *p, const aios__json_member *parts, uint32_t n, aios__json *v)
{
    aios__json_member *m = block_alloc(p, n * sizeof *m);
    uint32_t *order = m ? block_alloc(p, n * sizeof *order) : NULL;
    if (!order)
        return failed(p->err);
    memcpy(m, parts, n * sizeof *m);
    sort(m, order, n);
    for (uint32_t i = 1; i < n; i++)
        if (!by_key(m, order[i - 1], order[i])) {
            char what[80];
            snprintf(what, sizeof what, "the key \"%.40s\" is there twice", m[order[i]].key);
            return wrong_at(p, p->at - 1, what);
        }
    *v = (aios__json){.type = AIOS__JSON_OBJECT, .n = n, .members = m, .order = order};
    return AIOS_OK;
}

/* Takes the parts of the innermost container off the stack. */
static int close_level(parser *p, aios__json *v)
{
    const level *l = &p->levels[--p->depth];
    const aios__json_member *parts = p->parts + l->first;
    uint32_t n = (uint32_t)(p->n_parts - l->first);
    p->n_parts = l->first;
    if (!n) {
        *v = (aios__json){.type = l->object ? AIOS__JSON_OBJECT : AIOS__JSON_ARRAY};
        return AIOS_OK;
    }
    if (l->object)
        return close_object(p, parts, n, v);
    aios__json *items = block_alloc(p, n * sizeof *items);
    if (!items)
        return failed(p->err);
    for (uint32_t i = 0; i < n; i++)
        items[i] = parts[i].v;
    *v = (aios__json){.type = AIOS__JSON_ARRAY, .n = n, .items = items};
    return AIOS_OK;
}

static void skip_blanks(parser *p)
{
    while (p->s[p->at] == ' ' || p->s[p->at] == '\n' || p->s[p->at] == '\t' || p->s[p->at] == '\r')
        p->at++;
}

static int key(parser *p)
{
    level *l = &p->levels[p->depth - 1];
    skip_blanks(p);
    size_t at = p->at;
    if (p->s[p->at] != '"')
        return wrong(p, "a key in quotes must stand here");
    p->at++;
    int rc = string(p, &l->key, &l->n_key);
    if (rc)
        return rc;
    if (memchr(l->key, 0, l->n_key))
        return wrong_at(p, at, "\\u0000 is not allowed in a key");
    skip_blanks(p);
    if (p->s[p->at] != ':')
        return wrong(p, "a colon must follow the key");
    p->at++;
    return AIOS_OK;
}

static int open_level(parser *p, bool object)
{
    if (p->depth == MAX_DEPTH)
        return aios__fail_need(p->err, AIOS_EFORMAT, MAX_DEPTH, MAX_DEPTH + 1, "JSON is nested deeper than %d at byte %zu", MAX_DEPTH, p->at);
    p->levels[p->depth++] = (level){.first = (uint32_t)p->n_parts, .object = object};
    p->at++;
    return AIOS_OK;
}

static int literal(parser *p, aios__json *v)
{
    static const struct {
        const char *text;
        uint8_t type;
    } names[] = {{"null", AIOS__JSON_NULL}, {"false", AIOS__JSON_FALSE}, {"true", AIOS__JSON_TRUE}};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(names[i].text);
        if (p->n - p->at < n || memcmp(p->s + p->at, names[i].text, n))
            continue;
        p->at += n;
        v->type = names[i].type;
        return AIOS_OK;
    }
    return wrong(p, "a value must stand here");
}

static int scalar(parser *p, aios__json *v)
{
    char c = p->s[p->at];
    *v = (aios__json){0};
    if (c == '-' || (c >= '0' && c <= '9'))
        return number(p, v);
    if (c != '"')
        return literal(p, v);
    p->at++;
    v->type = AIOS__JSON_STRING;
    return string(p, &v->s, &v->n);
}

/* A scalar, or a container opened up to its first scalar, or an empty one. */
static int value(parser *p, aios__json *v)
{
    for (;;) {
        skip_blanks(p);
        char c = p->s[p->at];
        if (c != '[' && c != '{')
            return scalar(p, v);
        int rc = open_level(p, c == '{');
        if (rc)
            return rc;
        skip_blanks(p);
        if (p->s[p->at] == (c == '{' ? '}' : ']')) {
            p->at++;
            return close_level(p, v);
        }
        rc = c == '{' ? key(p) : AIOS_OK;
        if (rc)
            return rc;
    }
}

static int document(parser *p, aios__json *v)
{
    int rc = value(p, v);
    while (!rc && p->depth) {
        bool object = p->levels[p->depth - 1].object;
        rc = push(p, v);
        skip_blanks(p);
        char c = p->s[p->at];
        if (rc)
            break;
        if (c == ',') {
            p->at++;
            rc = object ? key(p) : AIOS_OK;
            rc = rc ? rc : value(p, v);
        } else if (c == (object ? '}' : ']')) {
            p->at++;
            rc = close_level(p, v);
        } else {
            rc = wrong(p, object ? "a comma or } must stand here" : "a comma or ] must stand here");
        }
    }
    skip_blanks(p);
    return rc || p->at == p->n ? rc : wrong(p, "something follows the value");
}

static int parse(aios__heap *h, const char *s, size_t n, bool exact, aios__json_doc **doc, aios_error *err)
{
    *doc = NULL;
    if (n > MAX_TEXT)
        return aios__fail_need(err, AIOS_ELIMIT, MAX_TEXT, n, "a JSON text of %zu bytes is larger than the %zu allowed", n, MAX_TEXT);
    if (!n)
        return aios__fail(err, AIOS_EFORMAT, "an empty text is no JSON");
    aios__json_doc *d = aios__alloc(h, AIOS_MEM_TEXT, sizeof *d + n + 1, err);
    if (!d)
        return failed(err);
    *d = (aios__json_doc){.heap = h, .text = (char *)(d + 1)};
    memcpy(d->text, s, n);
    d->text[n] = 0;
    parser p = {.doc = d, .source = s, .s = d->text, .n = n, .exact = exact, .err = err};
    int rc = document(&p, &d->root);
    aios__free(h, p.parts);
    if (rc) {
        aios__json_free(d);
        return rc;
    }
    *doc = d;
    return AIOS_OK;
}

int aios__json_parse(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err)
{
    return parse(h, s, n, false, doc, err);
}

int aios__json_parse_exact(aios__heap *h, const char *s, size_t n, aios__json_doc **doc, aios_error *err)
{
    return parse(h, s, n, true, doc, err);
}

void aios__json_free(aios__json_doc *doc)
{
    if (!doc)
        return;
    for (aios__json_block *b = doc->blocks, *next; b; b = next) {
        next = b->next;
        aios__free(doc->heap, b);
    }
    aios__free(doc->heap, doc);
}
