/* SPDX-License-Identifier: Apache-2.0 */
/* Source to tokens, with the white space rules of trim_blocks and lstrip_blocks. */
#include "backend/gguf/tmpl_lex.h"

#include <errno.h>
#include <stdlib.h>

typedef struct lexer {
    tp *s;
    const char *p;
    size_t n, i;
    aios__tp_token *tok;
    uint32_t n_tok, cap;
    bool line_starting;
    char open[TP_MAX_DEPTH * 2];
    size_t n_open;
} lexer;

static int add(lexer *x, uint8_t k, size_t pos, aios__tp_val v, uint16_t op)
{
    if (x->n_tok == x->cap) {
        uint32_t cap = x->cap ? 2 * x->cap : 256;
        aios__tp_token *t = aios__tp_alloc(x->s, cap * sizeof *t);
        if (!t)
            return x->s->rc;
        if (x->n_tok)
            memcpy(t, x->tok, x->n_tok * sizeof *t);
        x->tok = t;
        x->cap = cap;
    }
    x->tok[x->n_tok++] = (aios__tp_token){.k = k, .op = op, .pos = (uint32_t)pos, .v = v};
    return 0;
}

static int lex_fail(lexer *x, size_t pos, const char *what)
{
    x->s->pos = (uint32_t)pos;
    return aios__tp_fail(x->s, "%s", what);
}

static bool at(const lexer *x, size_t i, const char *lit)
{
    size_t k = strlen(lit);
    return i <= x->n && k <= x->n - i && !memcmp(x->p + i, lit, k);
}

static size_t skip_space(const lexer *x, size_t i)
{
    return i + aios__tp_lspace(x->p + i, x->n - i);
}

/* Adds the text before a tag; sign is the tag's '-', '+' or 0. */
static int add_data(lexer *x, size_t from, size_t to, char sign, bool lstrip)
{
    size_t end = to;
    if (sign == '-') {
        end = from + aios__tp_rspace(x->p + from, to - from);
    } else if (sign != '+' && lstrip) {
        size_t line = to;
        while (line > from && x->p[line - 1] != '\n')
            line--;
        if ((line > from || x->line_starting) && aios__tp_lspace(x->p + line, to - line) == to - line)
            end = line;
    }
    return end > from ? add(x, K_DATA, from, aios__tp_str(x->p + from, end - from), 0) : 0;
}

/* Matches the end of a tag (`close` is "%}" or "#}") at i; 0 if it is not there. */
static size_t tag_end(const lexer *x, size_t i, const char *close)
{
    if ((x->p[i] == '+' || x->p[i] == '-') && at(x, i + 1, close))
        return x->p[i] == '+' ? i + 3 : skip_space(x, i + 3);
    if (!at(x, i, close))
        return 0;
    return i + 2 + (i + 2 < x->n && x->p[i + 2] == '\n');
}

static int skip_comment(lexer *x, size_t open)
{
    for (size_t i = x->i; i < x->n; i++) {
        size_t end = tag_end(x, i, "#}");
        if (end) {
            x->line_starting = x->p[end - 1] == '\n';
            x->i = end;
            return 0;
        }
    }
    return lex_fail(x, open, "the comment is never closed with #}");
}

/* End of `{%- word` at i, or 0. */
static size_t tag_word(const lexer *x, size_t i, const char *word, char *sign)
{
    if (!at(x, i, "{%"))
        return 0;
    i += 2;
    *sign = 0;
    if (i < x->n && (x->p[i] == '-' || x->p[i] == '+'))
        *sign = x->p[i++];
    i = skip_space(x, i);
    return at(x, i, word) ? skip_space(x, i + strlen(word)) : 0;
}

/* Past the end of a raw block's opening tag if there is one at i, else 0. */
static size_t raw_open(const lexer *x, size_t i, char *sign)
{
    size_t j = tag_word(x, i, "raw", sign);
    if (j && at(x, j, "-%}"))
        return skip_space(x, j + 3);
    return j && at(x, j, "%}") ? j + 2 : 0;
}

static int lex_raw(lexer *x, size_t open)
{
    size_t from = x->i;
    x->line_starting = x->p[from - 1] == '\n';
    for (size_t i = from; i < x->n; i++) {
        char sign;
        size_t j = x->p[i] == '{' ? tag_word(x, i, "endraw", &sign) : 0;
        size_t end = j ? tag_end(x, j, "%}") : 0;
        if (end) {
            TP_TRY(add_data(x, from, i, sign, true));
            x->line_starting = x->p[end - 1] == '\n';
            x->i = end;
            return 0;
        }
    }
    return lex_fail(x, open, "the raw block is never closed with endraw");
}

static int escape_char(lexer *x, size_t *i, size_t end, char *out, size_t *n)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = x->p[*i];
    const char *m = c ? strchr(from, c) : NULL;
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t cp = 0;
    if (c == '\n') {
        ++*i;
    } else if (m) {
        out[(*n)++] = to[m - from];
        ++*i;
    } else if (c >= '0' && c <= '7') {
        for (int k = 0; k < 3 && *i < end && x->p[*i] >= '0' && x->p[*i] <= '7'; k++)
            cp = cp * 8 + (uint32_t)(x->p[(*i)++] - '0');
        *n += aios__utf8_encode(cp, out + *n);
    } else if (digits) {
        size_t start = (*i)++;
        for (size_t k = 0; k < digits; k++, ++*i) {
            char h = *i < end ? x->p[*i] : 'x';
            int d = h >= '0' && h <= '9' ? h - '0' : (h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32) - 'a' + 10 : -1;
            if (d < 0)
                return lex_fail(x, start, "truncated hexadecimal escape");
            cp = cp << 4 | (uint32_t)d;
        }
        *n += aios__utf8_encode(cp, out + *n);
    } else {
        out[(*n)++] = '\\';
    }
    return 0;
}

static int lex_string(lexer *x)
{
    size_t open = x->i, from = open + 1, end = from, n = 0;
    char q = x->p[open];
    bool escaped = false;
    while (end < x->n && x->p[end] != q) {
        if (x->p[end] == '\\') {
            escaped = true;
            end++;
        }
        end++;
    }
    if (end >= x->n)
        return lex_fail(x, open, "the string is never closed");
    x->i = end + 1;
    if (!escaped)
        return add(x, K_STRING, open, aios__tp_str(x->p + from, end - from), 0);
    char *out = aios__tp_alloc(x->s, end - from + 8);
    if (!out)
        return x->s->rc;
    for (size_t i = from; i < end;) {
        if (x->p[i] != '\\') {
            out[n++] = x->p[i++];
            continue;
        }
        i++;
        TP_TRY(escape_char(x, &i, end, out, &n));
    }
    return add(x, K_STRING, open, aios__tp_str(out, n), 0);
}

static bool digit(char c, int base)
{
    int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    return d < base;
}

/* Copies digits, single underscores between them dropped; the index after them. */
static size_t digits(const lexer *x, size_t i, int base, char *out, size_t *n)
{
    while (i < x->n && (digit(x->p[i], base) || (x->p[i] == '_' && i + 1 < x->n && digit(x->p[i + 1], base)))) {
        if (x->p[i] != '_' && *n < 400)
            out[(*n)++] = x->p[i];
        i++;
    }
    return i;
}

static int lex_number(lexer *x)
{
    char buf[512];
    size_t start = x->i, n = 0, i;
    bool real = false, after_dot = start && x->p[start - 1] == '.';
    int base = 10;
    if (x->p[start] == '0' && start + 2 < x->n) {
        char b = (char)(x->p[start + 1] | 32);
        base = b == 'x' ? 16 : b == 'o' ? 8 : b == 'b' ? 2 : 10;
        if (base != 10 && !digit(x->p[start + 2], base))
            base = 10;
    }
    i = digits(x, base == 10 ? start : start + 2, base, buf, &n);
    if (base == 10 && !after_dot) {
        size_t j = i;
        if (j + 1 < x->n && x->p[j] == '.' && digit(x->p[j + 1], 10)) {
            buf[n++] = '.';
            i = j = digits(x, j + 1, 10, buf, &n);
            real = true;
        }
        size_t k = j + 1 + (j + 1 < x->n && (x->p[j + 1] == '+' || x->p[j + 1] == '-'));
        if (j < x->n && (x->p[j] | 32) == 'e' && k < x->n && digit(x->p[k], 10)) {
            buf[n++] = 'e';
            if (k > j + 1)
                buf[n++] = x->p[j + 1];
            i = digits(x, k, 10, buf, &n);
            real = true;
        }
    }
    buf[n] = 0;
    x->i = i;
    if (real)
        return add(x, K_REAL, start, aios__tp_real(aios__real_parse(buf, NULL)), 0);
    errno = 0;
    long long v = strtoll(buf, NULL, base);
    if (errno)
        return lex_fail(x, start, "the integer does not fit in 64 bits");
    return add(x, K_INT, start, aios__tp_int(v), 0);
}

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 128;
}

static int lex_name(lexer *x)
{
    size_t from = x->i;
    while (x->i < x->n && (name_start(x->p[x->i]) || digit(x->p[x->i], 10)))
        x->i++;
    return add(x, K_NAME, from, aios__tp_str(x->p + from, x->i - from), 0);
}

static int lex_operator(lexer *x)
{
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = x->p[x->i];
    for (size_t k = 0; k < AIOS__ARRAY_LEN(two); k++)
        if (at(x, x->i, two[k])) {
            x->i += 2;
            return add(x, K_OP, x->i - 2, aios__tp_none(), OP2(two[k][0], two[k][1]));
        }
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c))
        return lex_fail(x, x->i, "unexpected character");
    if (strchr("([{", c)) {
        if (x->n_open == sizeof x->open) {
            x->s->pos = (uint32_t)x->i;
            return aios__tp_limit(x->s, "brackets are nested deeper than %zu", sizeof x->open);
        }
        x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c)) {
        if (!x->n_open || x->open[--x->n_open] != c)
            return lex_fail(x, x->i, "unexpected closing bracket");
    }
    x->i++;
    return add(x, K_OP, x->i - 1, aios__tp_none(), OP1(c));
}

/* Everything between {{ and }} or {% and %}. */
static int lex_tag(lexer *x, bool block, size_t open)
{
    x->n_open = 0;
    while (x->i < x->n) {
        size_t i = x->i, end = 0;
        if (!x->n_open) {
            if (block)
                end = tag_end(x, i, "%}");
            else if (at(x, i, "-}}"))
                end = skip_space(x, i + 3);
            else if (at(x, i, "}}"))
                end = i + 2;
        }
        if (end) {
            x->line_starting = x->p[end - 1] == '\n';
            x->i = end;
            return add(x, block ? K_BLOCK_END : K_VAR_END, i, aios__tp_none(), 0);
        }
        size_t sp = aios__tp_lspace(x->p + i, x->n - i);
        x->i += sp;
        if (sp)
            continue;
        char c = x->p[i];
        if (c == '"' || c == '\'')
            TP_TRY(lex_string(x));
        else if (digit(c, 10))
            TP_TRY(lex_number(x));
        else if (name_start(c))
            TP_TRY(lex_name(x));
        else
            TP_TRY(lex_operator(x));
    }
    return lex_fail(x, open, block ? "the tag is never closed with %}" : "the expression is never closed with }}");
}

int aios__tp_lex(tp *s, aios__tp_token **tokens, uint32_t *n)
{
    lexer x = {.s = s, .p = s->t->src, .n = s->t->n, .line_starting = true};
    while (x.i < x.n) {
        size_t from = x.i, i = from;
        while (i + 1 < x.n && !(x.p[i] == '{' && (x.p[i + 1] == '{' || x.p[i + 1] == '%' || x.p[i + 1] == '#')))
            i++;
        if (i + 1 >= x.n) {
            TP_TRY(add(&x, K_DATA, from, aios__tp_str(x.p + from, x.n - from), 0));
            break;
        }
        char sign = 0, kind = x.p[i + 1];
        size_t raw = kind == '%' ? raw_open(&x, i, &sign) : 0;
        if (!raw) {
            sign = i + 2 < x.n && (x.p[i + 2] == '-' || x.p[i + 2] == '+') ? x.p[i + 2] : 0;
            x.i = i + 2 + (sign != 0);
        } else {
            x.i = raw;
        }
        TP_TRY(add_data(&x, from, i, sign, kind != '{'));
        if (raw) {
            TP_TRY(lex_raw(&x, i));
        } else if (kind == '#') {
            TP_TRY(skip_comment(&x, i));
        } else {
            TP_TRY(add(&x, kind == '{' ? K_VAR_BEGIN : K_BLOCK_BEGIN, i, aios__tp_none(), 0));
            TP_TRY(lex_tag(&x, kind == '%', i));
        }
    }
    *tokens = x.tok;
    TP_TRY(add(&x, K_EOF, x.n, aios__tp_none(), 0));
    *tokens = x.tok;
    *n = x.n_tok;
    return 0;
}
