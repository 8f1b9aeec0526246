/* SPDX-License-Identifier: Apache-2.0 */
/* Values of Lark grammars as terms: strings, ranges, regular expressions, JSON schemas, substrings. */
#include "base/json.h"
#include "grammar/hex.h"
#include "grammar/lark.h"

#define IN_RANGE "ends of ranges have no flag i: use an expression, /[a-z]/i"

enum { MAX_CHUNKS = 450 };

static int wrong(aios__lark *k, size_t at, int code, const char *what)
{
    return aios__rules_fail(&k->r, code, at, k->err, "%s", what);
}

/* ---- strings ------------------------------------------------------------------------------------------------------ */

static int hex(aios__lark *k, size_t at, unsigned n, uint32_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < n; i++) {
        char c = k->s[at + i];
        int d = aios__hex((uint8_t)c);
        if (d < 0)
            return wrong(k, at + i, AIOS_ESCHEMA, "a hexadecimal digit is missing");
        *v = *v * 16 + (uint32_t)d;
    }
    return AIOS_OK;
}

/* The character behind a backslash at *at, which goes on behind it. */
static int escape(aios__lark *k, size_t *at, uint32_t *cp)
{
    static const char names[] = "\"\\/bfnrt", codes[] = "\"\\/\b\f\n\r\t";
    char c = k->s[*at];
    const char *known = strchr(names, c);
    uint32_t low;
    int rc;
    if (c != 'x' && c != 'u') {
        *cp = known ? (uint8_t)codes[known - names] : 0;
        return known ? (++*at, AIOS_OK) : wrong(k, *at, AIOS_ESCHEMA, "this is no escape: there are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\xHH \\uHHHH");
    }
    unsigned n = c == 'x' ? 2 : 4;
    rc = hex(k, *at + 1, n, cp);
    *at += 1 + n;
    if (rc || *cp < 0xd800 || *cp > 0xdfff)
        return rc;
    if (*cp > 0xdbff || k->s[*at] != '\\' || k->s[*at + 1] != 'u')
        return wrong(k, *at, AIOS_ESCHEMA, "half of a surrogate pair is missing");
    rc = hex(k, *at + 2, 4, &low);
    *at += 6;
    *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
    return rc || (low >= 0xdc00 && low <= 0xdfff) ? rc : wrong(k, *at, AIOS_ESCHEMA, "half of a surrogate pair is missing");
}

int aios__lark_string(aios__lark *k)
{
    size_t at = k->token.at + 1, end = k->token.at + k->token.n;
    int rc = AIOS_OK;
    while (k->s[--end] != '"')
        ;
    aios__buf_clear(&k->text);
    while (!rc && at < end) {
        char bytes[4];
        uint32_t cp;
        size_t n = 1;
        if (k->s[at] == '\\') {
            at++;
            rc = escape(k, &at, &cp);
        } else {
            n = aios__utf8_decode(k->s + at, end - at, &cp);
            at += n;
        }
        rc = rc || n ? rc : wrong(k, at, AIOS_ESCHEMA, "this is no valid UTF-8");
        rc = rc ? rc : aios__buf_add(&k->text, bytes, aios__utf8_encode(cp, bytes), k->err);
    }
    return rc;
}

/* Takes a term for an expression; what it costs is guessed by the text. */
static int expression(aios__lark *k, const char *s, size_t n, size_t at, uint32_t flags, uint32_t *out)
{
    aios_error why = AIOS_INIT(aios_error);
    uint32_t e;
    int rc = aios__rx_parse_rust(k->r.g->rx, s, n, flags, &e, &why);
    if (rc)
        return why.code == AIOS_ESCHEMA || why.code == AIOS_ENOTSUP || why.code == AIOS_ELIMIT ? aios__rules_fail(&k->r, rc, at, k->err, "%s", why.msg) : aios__error_copy(k->err, &why);
    return aios__rules_rx(&k->r, e, (uint32_t)n, out, k->err);
}

static int any_case(aios__lark *k, size_t at, uint32_t *out)
{
    aios__buf quoted;
    aios__buf_init(&quoted, k->r.heap, AIOS_MEM_SCRATCH, 0);
    int rc = AIOS_OK;
    for (size_t i = 0; i < k->text.n && !rc; i++) {
        if (strchr("^$\\.*+?()[]{}|/-", k->text.p[i]) && k->text.p[i])
            rc = aios__buf_add(&quoted, "\\", 1, k->err);
        rc = rc ? rc : aios__buf_add(&quoted, k->text.p + i, 1, k->err);
    }
    rc = rc ? rc : expression(k, quoted.p, quoted.n, at, AIOS__RX_ANY_CASE, out);
    aios__buf_free(&quoted);
    return rc;
}

static bool has_flag(const aios__lark *k)
{
    return k->s[k->token.at + k->token.n - 1] == 'i';
}

/* The one character of the string looked at. */
static int end_of_range(aios__lark *k, uint32_t *cp)
{
    if (k->token.kind == AIOS__LK_STRING && has_flag(k))
        return aios__lark_fail(k, AIOS_ENOTSUP, IN_RANGE);
    int rc = k->token.kind == AIOS__LK_STRING ? aios__lark_string(k) : aios__lark_fail(k, AIOS_ESCHEMA, "the end of a range is missing");
    if (!rc && (!k->text.n || aios__utf8_decode(k->text.p, k->text.n, cp) != k->text.n))
        rc = aios__lark_fail(k, AIOS_ESCHEMA, "a range goes from one character to one character");
    return rc;
}

static int regex(aios__lark *k, uint32_t *out)
{
    size_t at = k->token.at, end = at + k->token.n;
    uint32_t flags = 0;
    for (; k->s[end - 1] != '/'; end--) {
        char c = k->s[end - 1];
        if (c == 'm' || c == 'l')
            return aios__lark_fail(k, AIOS_ENOTSUP, "flags m and l of expressions are not supported");
        flags |= c == 'i' ? AIOS__RX_ANY_CASE : c == 's' ? AIOS__RX_DOT_ALL : c == 'x' ? AIOS__RX_BLANKS : 0;
    }
    int rc = expression(k, k->s + at + 1, end - at - 2, at, flags, out);
    return rc ? rc : aios__lark_next(k);
}

int aios__lark_text(aios__lark *k, uint32_t *out)
{
    size_t at = k->token.at;
    uint32_t lo, hi, ranges[2], e;
    bool any = has_flag(k);
    if (k->token.kind == AIOS__LK_REGEX)
        return regex(k, out);
    int rc = aios__lark_string(k);
    rc = rc ? rc : aios__lark_next(k);
    if (rc || !aios__lark_is(k, ".."))
        return rc ? rc : any ? any_case(k, at, out) : aios__rules_lit(&k->r, k->text.p, k->text.n, out, k->err);
    if (any)
        return wrong(k, at, AIOS_ENOTSUP, IN_RANGE);
    if (!k->text.n || aios__utf8_decode(k->text.p, k->text.n, &lo) != k->text.n)
        return wrong(k, at, AIOS_ESCHEMA, "a range goes from one character to one character");
    rc = aios__lark_next(k);
    rc = rc ? rc : end_of_range(k, &hi);
    if (!rc && hi < lo)
        rc = wrong(k, at, AIOS_ESCHEMA, "this range ends before it begins");
    if (rc)
        return rc;
    ranges[0] = lo;
    ranges[1] = hi;
    rc = aios__rx_chars(k->r.g->rx, ranges, 1, &e, k->err);
    rc = rc ? rc : aios__rules_rx(&k->r, e, 4, out, k->err);
    return rc ? rc : aios__lark_next(k);
}

/* ---- JSON behind keywords ----------------------------------------------------------------------------------------- */

/* The JSON object behind the keyword looked at, which is then behind it. */
static int object(aios__lark *k, size_t *from, size_t *end)
{
    for (*from = k->at; *from < k->n && strchr(" \t\r\n", k->s[*from]); ++*from)
        ;
    *end = *from < k->n && k->s[*from] == '{' ? aios__lark_json_end(k, *from) : 0;
    if (!*end)
        return aios__lark_fail(k, AIOS_ESCHEMA, "a JSON object is missing behind this");
    k->at = *end;
    return AIOS_OK;
}

int aios__lark_json(aios__lark *k, uint32_t *out)
{
    aios_error why = AIOS_INIT(aios_error);
    size_t from, end;
    uint32_t node;
    int rc = object(k, &from, &end);
    if (rc)
        return rc;
    rc = aios__grammar_schema(k->r.g, k->s + from, end - from, false, &node, &why);
    if (rc)
        return rc == AIOS_ENOMEM || rc == AIOS_EBUDGET ? aios__error_copy(k->err, &why) : aios__rules_fail(&k->r, rc, from, k->err, "%s", why.msg);
    rc = aios__rules_node(&k->r, node, out, k->err);
    return rc ? rc : aios__lark_next(k);
}

enum { BY_CHUNKS, BY_WORDS, BY_CHARS };

static int class_of(uint32_t cp)
{
    bool space = cp == ' ' || (cp >= '\t' && cp <= '\r');
    return space ? 1 : (cp | 32) - 'a' < 26 || cp - '0' < 10 || cp == '_' || cp >= 0x80 ? 0 : 2;
}

/* Length of the chunk at the beginning of s: a character, or all of one class. */
static size_t chunk(const char *s, size_t n, int how)
{
    uint32_t cp, first;
    size_t i = aios__utf8_decode(s, n, &first), len;
    while (how == BY_WORDS && i && i < n && (len = aios__utf8_decode(s + i, n - i, &cp)) && class_of(cp) == class_of(first))
        i += len;
    return i ? i : 1;
}

/* chunk (chunk (chunk ...)?)?, from any one on: pushes what may follow each, from the last to the first. */
static int add_chunk(aios__lark *k, const char *s, size_t n, uint32_t *rest)
{
    aios__rx *x = k->r.g->rx;
    int rc = AIOS_OK;
    uint32_t e = *rest;
    while (!rc && n--) {
        uint32_t set[8] = {0}, byte = 0;
        set[(uint8_t)s[n] / 32] = 1u << (uint8_t)s[n] % 32;
        rc = aios__rx_bytes(x, set, &byte, k->err);
        rc = rc ? rc : aios__rx_cat(x, byte, e, &e, k->err);
    }
    rc = rc ? rc : aios__rx_or(x, (uint32_t[2]){e, AIOS__RX_EMPTY}, 2, rest, k->err);
    return rc ? rc : aios__rules_push(&k->r, *rest, k->err);
}

static int split(aios__lark *k, const aios__json *v, int how, uint32_t *rest)
{
    size_t n, n_chunks = 0, starts[MAX_CHUNKS + 1];
    if (how == BY_CHUNKS) {
        int rc = AIOS_OK;
        for (size_t i = aios__json_count(v); i-- && !rc;) {
            const char *s = aios__json_str(aios__json_at(v, i), &n);
            rc = !s ? aios__lark_fail(k, AIOS_ESCHEMA, "substring_chunks is a list of strings") : add_chunk(k, s, n, rest);
        }
        return rc;
    }
    const char *s = aios__json_str(v, &n);
    if (!s)
        return aios__lark_fail(k, AIOS_ESCHEMA, "substring_words and substring_chars are strings");
    for (size_t i = 0; i < n; i += chunk(s + i, n - i, how)) {
        if (n_chunks == MAX_CHUNKS)
            return aios__lark_fail(k, AIOS_ELIMIT, "this text has more than 450 parts");
        starts[n_chunks++] = i;
    }
    starts[n_chunks] = n;
    int rc = AIOS_OK;
    while (n_chunks-- && !rc)
        rc = add_chunk(k, s + starts[n_chunks], starts[n_chunks + 1] - starts[n_chunks], rest);
    return rc;
}

static int substring(aios__lark *k, const aios__json *doc, uint32_t *out)
{
    static const char *const names[] = {[BY_CHUNKS] = "substring_chunks", [BY_WORDS] = "substring_words", [BY_CHARS] = "substring_chars"};
    uint32_t from = k->r.n_row, e = AIOS__RX_EMPTY;
    const aios__json *v = NULL;
    const char *key = "";
    int how = -1;
    if (aios__json_count(doc) == 1)
        aios__json_iter(doc, NULL, &key, &v);
    for (int i = 0; i < 3; i++)
        how = strcmp(key, names[i]) ? how : i;
    if (how < 0)
        return aios__lark_fail(k, AIOS_ENOTSUP, "of %regex there are substring_chunks, substring_words and substring_chars, one of them at a time");
    if (aios__json_count(v) > MAX_CHUNKS)
        return aios__lark_fail(k, AIOS_ELIMIT, "this text has more than 450 parts");
    int rc = aios__rules_push(&k->r, AIOS__RX_EMPTY, k->err);
    rc = rc ? rc : split(k, v, how, &e);
    rc = rc ? rc : aios__rx_or(k->r.g->rx, k->r.row + from, k->r.n_row - from, &e, k->err);
    uint32_t n = k->r.n_row - from;
    k->r.n_row = from;
    return rc ? rc : aios__rules_rx(&k->r, e, 4 * n, out, k->err);
}

int aios__lark_regex_ext(aios__lark *k, uint32_t *out)
{
    aios_error why = AIOS_INIT(aios_error);
    aios__json_doc *doc;
    size_t from, end;
    int rc = object(k, &from, &end);
    if (rc)
        return rc;
    rc = aios__json_parse(k->r.heap, k->s + from, end - from, &doc, &why);
    if (rc)
        return rc == AIOS_ENOMEM || rc == AIOS_EBUDGET ? aios__error_copy(k->err, &why) : aios__rules_fail(&k->r, AIOS_ESCHEMA, from, k->err, "%s", why.msg);
    rc = substring(k, aios__json_root(doc), out);
    aios__json_free(doc);
    return rc ? rc : aios__lark_next(k);
}

/* ---- the library called common ------------------------------------------------------------------------------------- */

const char *aios__lark_common(const char *name, size_t n)
{
#define DIGITS "[0-9]+"
#define EXP "[eE][+-]?[0-9]+"
#define FLOAT "(([0-9]+\\.[0-9]*|\\.[0-9]+)(" EXP ")?|[0-9]+" EXP ")"
    static const char *const rows[][2] = {
        {"DIGIT", "[0-9]"}, {"HEXDIGIT", "[a-fA-F0-9]"}, {"INT", DIGITS}, {"SIGNED_INT", "[+-]?" DIGITS},
        {"DECIMAL", "[0-9]+\\.[0-9]*|\\.[0-9]+"}, {"_EXP", EXP}, {"FLOAT", FLOAT}, {"SIGNED_FLOAT", "[+-]?" FLOAT},
        {"NUMBER", DIGITS "|" FLOAT}, {"SIGNED_NUMBER", "[+-]?(" DIGITS "|" FLOAT ")"}, {"ESCAPED_STRING", "\"([^\"\\\\]|\\\\.)*\""},
        {"LCASE_LETTER", "[a-z]"}, {"UCASE_LETTER", "[A-Z]"}, {"LETTER", "[A-Za-z]"}, {"WORD", "[A-Za-z]+"}, {"CNAME", "[_A-Za-z][_A-Za-z0-9]*"},
        {"WS_INLINE", "[ \\t]+"}, {"WS", "[ \\t\\f\\r\\n]+"}, {"CR", "\\r"}, {"LF", "\\n"}, {"NEWLINE", "(\\r?\\n)+"}, {"SH_COMMENT", "#[^\\n]*"},
        {"CPP_COMMENT", "//[^\\n]*"}, {"C_COMMENT", "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/"}, {"SQL_COMMENT", "--[^\\n]*"}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (strlen(rows[i][0]) == n && !memcmp(rows[i][0], name, n))
            return rows[i][1];
    return NULL;
#undef DIGITS
#undef EXP
#undef FLOAT
}
