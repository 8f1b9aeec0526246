/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a Lark grammar. */
#include "grammar/lark.h"

int aios__lark_fail(const aios__lark *k, int code, const char *what)
{
    return aios__rules_fail(&k->r, code, k->token.at, k->err, "%s", what);
}

static char at(const aios__lark *k, size_t i)
{
    return i < k->n ? k->s[i] : 0;
}

/* Blanks and comments, not line ends. */
static void skip(aios__lark *k)
{
    for (; k->at < k->n; k->at++) {
        char c = k->s[k->at];
        if (c == '#' || (c == '/' && at(k, k->at + 1) == '/'))
            while (k->at + 1 < k->n && k->s[k->at + 1] != '\n')
                k->at++;
        else if (c != ' ' && c != '\t' && c != '\r')
            return;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Where a quoted text ends: behind `quote`; 0: nowhere. */
static size_t quoted(const aios__lark *k, size_t i, char quote)
{
    for (i++; i < k->n && k->s[i] != quote && k->s[i] != '\n'; i++)
        i += k->s[i] == '\\';
    return at(k, i) == quote ? i + 1 : 0;
}

/* Behind the name that begins at i; 0: none does. A - belongs to it unless it is the beginning of an arrow. */
static size_t name_end(const aios__lark *k, size_t i)
{
    i += at(k, i) == '!';
    i += at(k, i) == '?';
    size_t from = i + (at(k, i) == '_');
    char c = at(k, from);
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        return 0;
    while (is_name(at(k, i)) && !(at(k, i) == '-' && at(k, i + 1) == '>'))
        i++;
    return i;
}

static size_t lines_end(const aios__lark *k, size_t i)
{
    while (i < k->n && strchr(" \t\r\n", k->s[i]))
        i++;
    return i;
}

static size_t special_end(const aios__lark *k, size_t i)
{
    for (i++; i < k->n && !strchr("<> \t\r\n", k->s[i]); i++)
        ;
    return at(k, i) == '>' ? i + 1 : 0;
}

static size_t mark_end(const aios__lark *k, size_t i)
{
    static const char *const marks[] = {"->", "..", "::"};
    for (size_t m = 0; m < AIOS__ARRAY_LEN(marks); m++)
        if (at(k, i) == marks[m][0] && at(k, i + 1) == marks[m][1])
            return i + 2;
    return strchr(":,.|(){}[]~&=+*?_", at(k, i)) ? i + 1 : 0;
}

int aios__lark_next(aios__lark *k)
{
    skip(k);
    size_t i = k->at, end;
    char c = at(k, i);
    uint8_t kind = AIOS__LK_END;
    if (i == k->n) {
        end = i;
    } else if (c == '\n') {
        kind = AIOS__LK_LINE;
        end = lines_end(k, i);
    } else if (c == '"' || c == '/') {
        kind = c == '"' ? AIOS__LK_STRING : AIOS__LK_REGEX;
        end = quoted(k, i, c);
        while (end && at(k, end) && strchr(c == '"' ? "i" : "imslux", at(k, end)))
            end++;
    } else if (c == '<') {
        kind = AIOS__LK_SPECIAL;
        end = special_end(k, i);
    } else if (c == '@' || c == '%') {
        kind = c == '@' ? AIOS__LK_GRAMMAR : AIOS__LK_KEYWORD;
        for (end = i + 1; is_name(at(k, end)); end++)
            ;
    } else if (c >= '0' && c <= '9') {
        kind = AIOS__LK_NUMBER;
        for (end = i; at(k, end) >= '0' && at(k, end) <= '9'; end++)
            ;
    } else {
        end = name_end(k, i);
        kind = end ? AIOS__LK_NAME : AIOS__LK_MARK;
        end = end ? end : mark_end(k, i);
    }
    k->token = (aios__lark_token){kind, (uint32_t)i, (uint32_t)(end > i ? end - i : 0)};
    if (!end && i < k->n)
        return aios__lark_fail(k, AIOS_ESCHEMA, c == '"' ? "the end of this string is missing" : c == '/' ? "the end of this expression is missing" : "this is no word of a grammar");
    k->at = end;
    return AIOS_OK;
}

bool aios__lark_is(const aios__lark *k, const char *s)
{
    return k->token.kind >= AIOS__LK_KEYWORD && strlen(s) == k->token.n && !memcmp(k->s + k->token.at, s, k->token.n);
}

size_t aios__lark_json_end(const aios__lark *k, size_t i)
{
    size_t depth = 0;
    for (; i < k->n; i++) {
        char c = k->s[i];
        if (c == '"') {
            i = quoted(k, i, '"');
            if (!i--)
                return 0;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && (!depth || !--depth)) {
            return i + 1;
        }
    }
    return 0;
}
