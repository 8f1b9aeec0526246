/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of ECMA-262 (2024, section 22.2.1) in Unicode mode: first a tree, then an expression. Anchors and look-ahead say something about
 * the rest of the text, so a part that has one is made together with all that follows it.
 */
#include <stdio.h>

#include "grammar/rx_priv.h"
#include "grammar/hex.h"
#include "grammar/rx_unicode.h"

enum { TREE_DEPTH = 200, MAX_TREE = 1000000, LAST_CHAR = 0x10ffff };
enum tree_kind { T_CHARS, T_SEQ, T_OR, T_REP, T_BEGIN, T_END, T_AHEAD, T_NOT_AHEAD };

typedef struct tree {
    uint8_t kind;
    bool pure;         /* without anchors and look-ahead */
    uint32_t child, next; /* first child; next sibling; 0: none */
    uint32_t min, max; /* T_REP */
    uint32_t expr;     /* T_CHARS */
} tree;

typedef struct parser {
    aios__rx *x;
    const char *s;
    size_t n, at;
    tree *trees;
    uint32_t n_trees, cap_trees;
    uint32_t *ranges, n_ranges, cap_ranges; /* numbers, two a range, of the class being read */
    unsigned depth;
    uint32_t flags; /* AIOS__RX_ANY_CASE ... */
    aios_error *err;
} parser;

static int wrong_at(const parser *p, size_t at, int code, const char *what)
{
    return aios__fail_need(p->err, code, at, p->n, "at byte %zu: %s", at, what);
}

/* Where the parser is: before what is wrong, or where something is missing. */
static int wrong(const parser *p, int code, const char *what)
{
    return wrong_at(p, p->at, code, what);
}

static int new_tree(parser *p, uint8_t kind, uint32_t *out)
{
    int rc = aios__grow(p->x->heap, &p->trees, &p->cap_trees, (size_t)p->n_trees + 1, MAX_TREE, sizeof *p->trees, "parts of a pattern", p->err);
    if (rc)
        return rc;
    *out = p->n_trees++;
    p->trees[*out] = (tree){.kind = kind, .pure = kind <= T_REP};
    return AIOS_OK;
}

static bool more(const parser *p)
{
    return p->at < p->n;
}
static bool looking_at(const parser *p, const char *s)
{
    size_t n = strlen(s);
    return p->n - p->at >= n && !memcmp(p->s + p->at, s, n);
}
static bool take(parser *p, const char *s)
{
    bool is = looking_at(p, s);
    p->at += is ? strlen(s) : 0;
    return is;
}

/* ---- characters --------------------------------------------------------------------------------------------------- */

static int add_range(parser *p, uint32_t lo, uint32_t hi)
{
    int rc = aios__grow(p->x->heap, &p->ranges, &p->cap_ranges, (size_t)p->n_ranges + 2, MAX_TREE, sizeof *p->ranges, "ranges of a class", p->err);
    if (rc)
        return rc;
    p->ranges[p->n_ranges++] = lo;
    p->ranges[p->n_ranges++] = hi;
    return AIOS_OK;
}

/* Ranges from `from` on become all that they are not. */
static int negate(parser *p, uint32_t from)
{
    int rc = add_range(p, 1, 0); /* room for one more */
    if (!rc)
        p->n_ranges = from + 2 * aios__rx_ranges(p->ranges + from, (p->n_ranges - from) / 2 - 1, true);
    return rc;
}

static const uint32_t digits[] = {'0', '9'}, words[] = {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'};
static const uint32_t blanks[] = {9, 13, ' ', ' ', 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff};
static const uint32_t line_ends[] = {'\n', '\n', '\r', '\r', 0x2028, 0x2029};

static int add_to(void *user, uint32_t lo, uint32_t hi)
{
    return add_range(user, lo, hi);
}

/* The other cases of all letters of the ranges, joined after each round so that they do not pile up. */
static int add_cases(parser *p)
{
    int rc = AIOS_OK;
    for (int round = 0; !rc && round < 3 && p->flags & AIOS__RX_ANY_CASE; round++) {
        uint32_t end = p->n_ranges = 2 * aios__rx_ranges(p->ranges, p->n_ranges / 2, false);
        for (uint32_t i = 0; !rc && i < end; i += 2)
            rc = aios__rx_next_cases(p->ranges[i], p->ranges[i + 1], add_to, p);
    }
    return rc;
}

/* \p{NAME}, \pN, \P...; p is behind the letter. */
static int property(parser *p, bool negated)
{
    bool loose = p->flags & AIOS__RX_RUST, braces = take(p, "{");
    size_t from = p->at, escape = from - 2 - braces, n = !braces && more(p) ? 1 : 0;
    if (loose && braces && take(p, "^")) {
        negated = !negated;
        from++;
    }
    while (braces && from + n < p->n && p->s[from + n] != '}')
        n++;
    if (!n || from + n + braces > p->n || (!braces && !loose))
        return wrong(p, AIOS_ESCHEMA, "the name of a property in braces is missing");
    uint32_t set = aios__rx_category(p->s + from, n, loose), at = p->n_ranges;
    if (!set)
        return wrong_at(p, escape, AIOS_ENOTSUP, "of properties there are general categories alone, as \\p{Lu}: list the ranges");
    p->at = from + n + braces;
    int rc = aios__rx_category_ranges(set, add_to, p);
    return rc || !negated ? rc : negate(p, at);
}

/* \d, \w, \s; capitals: all else. */
static const struct named {
    char name;
    uint8_t n;
    const uint32_t *ranges;
} classes[] = {{'d', AIOS__ARRAY_LEN(digits), digits}, {'w', AIOS__ARRAY_LEN(words), words}, {'s', AIOS__ARRAY_LEN(blanks), blanks}};

static int add_all(parser *p, const uint32_t *ranges, size_t n, bool negated)
{
    uint32_t from = p->n_ranges;
    int rc = AIOS_OK;
    for (size_t i = 0; !rc && i < n; i += 2)
        rc = add_range(p, ranges[i], ranges[i + 1]);
    return rc || !negated ? rc : negate(p, from);
}

/* A class named by the letter looked at, which is taken; *known: there is one. */
static int add_named(parser *p, bool *known)
{
    char c = p->s[p->at++];
    uint32_t from = p->n_ranges;
    *known = true;
    if ((c | 32) == 'p')
        return property(p, !(c & 32));
    if (p->flags & AIOS__RX_RUST && ((c | 32) == 'd' || (c | 32) == 'w' || (c | 32) == 's')) {
        int rc = aios__rx_unicode_class((char)(c | 32), add_to, p);
        return rc || c & 32 ? rc : negate(p, from);
    }
    for (size_t i = 0; i < AIOS__ARRAY_LEN(classes); i++)
        if ((c | 32) == classes[i].name)
            return add_all(p, classes[i].ranges, classes[i].n, !(c & 32));
    p->at--;
    *known = false;
    return AIOS_OK;
}

static int hex(parser *p, int n_min, int n_max, uint32_t *v)
{
    int i = 0;
    for (*v = 0; i < n_max && more(p); i++, p->at++) {
        char c = p->s[p->at];
        int d = aios__hex((uint8_t)c);
        if (d < 0)
            break;
        *v = *v * 16 + (uint32_t)d;
    }
    return i < n_min ? wrong(p, AIOS_ESCHEMA, "a hexadecimal digit is missing") : AIOS_OK;
}

/* After \u: four digits, a pair of surrogates, or {digits}. */
static int unicode_escape(parser *p, uint32_t *cp)
{
    uint32_t low;
    size_t escape = p->at - 2;
    int rc;
    if (take(p, "{")) {
        rc = hex(p, 1, 8, cp);
        return rc ? rc : *cp <= LAST_CHAR && take(p, "}") ? AIOS_OK : wrong_at(p, escape, AIOS_ESCHEMA, "this is no code point in braces");
    }
    rc = hex(p, 4, 4, cp);
    if (rc || *cp < 0xd800 || *cp > 0xdbff || !take(p, "\\u"))
        return rc;
    rc = hex(p, 4, 4, &low);
    *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
    return rc ? rc : low >= 0xdc00 && low <= 0xdfff ? AIOS_OK : wrong_at(p, escape, AIOS_ESCHEMA, "the second half of a surrogate pair is missing");
}

/* The character that an escape stands for; p is behind the backslash. */
static int escaped(parser *p, uint32_t *cp)
{
    static const char from[] = "tnvfr0", to[] = "\t\n\v\f\r";
    size_t escape = p->at - 1;
    if (!more(p))
        return wrong_at(p, escape, AIOS_ESCHEMA, "nothing follows the backslash");
    char c = p->s[p->at++];
    const char *at = memchr(from, c, sizeof from - 1);
    if (at) {
        *cp = (uint8_t)to[at - from];
        return c == '0' && more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '9' ? wrong_at(p, escape, AIOS_ESCHEMA, "octal escapes are not allowed") : AIOS_OK;
    }
    if (c == 'x')
        return hex(p, 2, 2, cp);
    if (c == 'u')
        return unicode_escape(p, cp);
    if (c == 'c' && more(p) && (p->s[p->at] | 32) >= 'a' && (p->s[p->at] | 32) <= 'z') {
        *cp = (uint8_t)p->s[p->at++] & 31;
        return AIOS_OK;
    }
    *cp = (uint8_t)c;
    if (strchr("^$\\.*+?()[]{}|/-", c) || strchr("\"'`~!@#%&=:;,<> _", c)) /* the latter by custom, though not by the standard */
        return AIOS_OK;
    if ((c >= '0' && c <= '9') || (c == 'k' && looking_at(p, "<")))
        return wrong_at(p, escape, AIOS_ENOTSUP, "references to groups are not regular: write the text again");
    if (c == 'b' || c == 'B')
        return wrong_at(p, escape, AIOS_ENOTSUP, "\\b is not supported: write what stands beside the word");
    return wrong_at(p, escape, AIOS_ESCHEMA, "this is no escape");
}

static int plain_char(parser *p, uint32_t *cp)
{
    size_t n = aios__utf8_decode(p->s + p->at, p->n - p->at, cp);
    p->at += n;
    return n ? AIOS_OK : wrong(p, AIOS_ESCHEMA, "this is no valid UTF-8");
}

/* A character or a named class inside brackets; *cp UINT32_MAX: a class, which is added. */
static int class_atom(parser *p, uint32_t *cp)
{
    bool known = false;
    if (!take(p, "\\"))
        return plain_char(p, cp);
    int rc = more(p) ? add_named(p, &known) : AIOS_OK;
    if (rc || known) {
        *cp = UINT32_MAX;
        return rc;
    }
    if (take(p, "b")) {
        *cp = '\b';
        return AIOS_OK;
    }
    return escaped(p, cp);
}

/* [:alpha:] and the like, inside brackets. */
static int posix_class(parser *p)
{
    static const struct {
        const char *name;
        uint8_t n;
        uint32_t ranges[8];
    } rows[] = {
        {"[:alnum:]", 6, {'0', '9', 'A', 'Z', 'a', 'z'}}, {"[:alpha:]", 4, {'A', 'Z', 'a', 'z'}}, {"[:ascii:]", 2, {0, 0x7f}},
        {"[:blank:]", 4, {'\t', '\t', ' ', ' '}}, {"[:cntrl:]", 4, {0, 0x1f, 0x7f, 0x7f}}, {"[:digit:]", 2, {'0', '9'}},
        {"[:graph:]", 2, {'!', '~'}}, {"[:lower:]", 2, {'a', 'z'}}, {"[:print:]", 2, {' ', '~'}},
        {"[:punct:]", 8, {'!', '/', ':', '@', '[', '`', '{', '~'}}, {"[:space:]", 4, {'\t', '\r', ' ', ' '}},
        {"[:upper:]", 2, {'A', 'Z'}}, {"[:word:]", 8, {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}}, {"[:xdigit:]", 6, {'0', '9', 'A', 'F', 'a', 'f'}}};
    for (size_t i = 0; i < AIOS__ARRAY_LEN(rows); i++)
        if (take(p, rows[i].name))
            return add_all(p, rows[i].ranges, rows[i].n, false);
    return wrong(p, AIOS_ENOTSUP, "classes inside classes are not supported: list the ranges");
}

static int bracket_class(parser *p)
{
    bool negated = take(p, "^"), rust = p->flags & AIOS__RX_RUST;
    int rc = rust && take(p, "]") ? add_range(p, ']', ']') : AIOS_OK;
    while (!rc && !take(p, "]")) {
        uint32_t lo, hi;
        if (!more(p))
            return wrong(p, AIOS_ESCHEMA, "a ] is missing");
        if (rust && looking_at(p, "[")) {
            rc = posix_class(p);
            continue;
        }
        if (rust && (looking_at(p, "&&") || looking_at(p, "--") || looking_at(p, "~~")))
            return wrong(p, AIOS_ENOTSUP, "operations on classes are not supported: list the ranges");
        size_t range = p->at;
        rc = class_atom(p, &lo);
        if (rc || lo == UINT32_MAX)
            continue;
        hi = lo;
        if (looking_at(p, "-") && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            p->at++;
            rc = class_atom(p, &hi);
            if (!rc && (hi == UINT32_MAX || hi < lo))
                rc = wrong_at(p, range, AIOS_ESCHEMA, "a range ends before it begins");
        }
        rc = rc ? rc : add_range(p, lo, hi);
    }
    rc = rc ? rc : add_cases(p);
    return rc || !negated ? rc : negate(p, 0);
}

static int chars(parser *p, uint32_t *out)
{
    uint32_t cp;
    bool known = false;
    int rc;
    p->n_ranges = 0;
    if (take(p, "["))
        rc = bracket_class(p);
    else if (take(p, "."))
        rc = add_all(p, line_ends, p->flags & AIOS__RX_DOT_ALL ? 0 : p->flags & AIOS__RX_RUST ? 2 : AIOS__ARRAY_LEN(line_ends), true);
    else if (!take(p, "\\"))
        rc = (rc = plain_char(p, &cp)) ? rc : add_range(p, cp, cp);
    else {
        rc = more(p) ? add_named(p, &known) : AIOS_OK;
        if (!rc && !known)
            rc = (rc = escaped(p, &cp)) ? rc : add_range(p, cp, cp);
    }
    rc = rc ? rc : add_cases(p);
    rc = rc ? rc : new_tree(p, T_CHARS, out);
    return rc ? rc : aios__rx_chars(p->x, p->ranges, p->n_ranges / 2, &p->trees[*out].expr, p->err);
}

/* ---- the tree ----------------------------------------------------------------------------------------------------- */

static int alternatives(parser *p, uint32_t *out);

static void adopt(parser *p, uint32_t parent, uint32_t *last, uint32_t child)
{
    if (*last)
        p->trees[*last].next = child;
    else
        p->trees[parent].child = child;
    *last = child;
    p->trees[parent].pure = p->trees[parent].pure && p->trees[child].pure;
}

/* (?ims-ims: is a group with flags of its own. */
static bool has_flags(const parser *p)
{
    size_t i = p->at;
    while (i < p->n && p->s[i] && strchr("?ims-", p->s[i]))
        i++;
    return i > p->at + 1 && i < p->n && p->s[i] == ':';
}

/* (?flags) or (?flags:...; p is behind the question mark. *inside: a group follows. */
static int read_flags(parser *p, bool *inside)
{
    static const char names[] = "isx";
    bool off = false;
    for (; more(p) && p->s[p->at] != ')' && p->s[p->at] != ':'; p->at++) {
        char c = p->s[p->at];
        const char *at = strchr(names, c);
        uint32_t flag = at ? 1u << (at - names) : 0;
        if (c == '-')
            off = true;
        else if (!at && (c != 'u' || off))
            return wrong(p, AIOS_ENOTSUP, "this flag is not supported: there are i, s, x and u");
        p->flags = off ? p->flags & ~flag : p->flags | flag;
    }
    *inside = take(p, ":");
    return *inside || take(p, ")") ? AIOS_OK : wrong(p, AIOS_ESCHEMA, "a ) is missing");
}

static int group(parser *p, uint32_t *out)
{
    static const struct {
        const char *open;
        uint8_t kind;
    } looks[] = {{"?=", T_AHEAD}, {"?!", T_NOT_AHEAD}};
    uint32_t inner, last = 0;
    int rc;
    if (p->flags & AIOS__RX_RUST && (looking_at(p, "?=") || looking_at(p, "?!")))
        return wrong(p, AIOS_ENOTSUP, "look-ahead is not supported: use & and ~ of terminals");
    for (size_t i = 0; i < AIOS__ARRAY_LEN(looks); i++) {
        if (!take(p, looks[i].open))
            continue;
        rc = alternatives(p, &inner);
        rc = rc ? rc : new_tree(p, looks[i].kind, out);
        if (!rc)
            adopt(p, *out, &last, inner);
        return rc ? rc : take(p, ")") ? AIOS_OK : wrong(p, AIOS_ESCHEMA, "a ) is missing");
    }
    if (looking_at(p, "?<=") || looking_at(p, "?<!"))
        return wrong_at(p, p->at - 1, AIOS_ENOTSUP, "look-behind is not supported: write what comes before in its place");
    uint32_t flags = p->flags;
    bool inside = true;
    if (take(p, "?<") || (flags & AIOS__RX_RUST && take(p, "?P<"))) {
        while (more(p) && p->s[p->at] != '>')
            p->at++;
        if (!take(p, ">"))
            return wrong(p, AIOS_ESCHEMA, "a > is missing");
    } else if (!take(p, "?:") && flags & AIOS__RX_RUST && take(p, "?")) {
        rc = read_flags(p, &inside);
        if (rc || !inside) /* to the end of the group that this stands in */
            return rc ? rc : new_tree(p, T_SEQ, out);
    } else if (looking_at(p, "?")) {
        return has_flags(p) ? wrong(p, AIOS_ENOTSUP, "flags of a group are not supported") : wrong(p, AIOS_ESCHEMA, "there is no such kind of group");
    }
    rc = alternatives(p, out);
    p->flags = flags;
    return rc ? rc : take(p, ")") ? AIOS_OK : wrong(p, AIOS_ESCHEMA, "a ) is missing");
}

static bool number(parser *p, uint32_t *v)
{
    size_t from = p->at;
    uint64_t n = 0;
    for (; more(p) && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++)
        n = n < AIOS__RX_ENDLESS ? n * 10 + (uint64_t)(p->s[p->at] - '0') : n;
    *v = n < AIOS__RX_ENDLESS ? (uint32_t)n : AIOS__RX_ENDLESS - 1;
    return p->at > from;
}

/* *, +, ?, {n}, {n,}, {n,m}; lazy ones mean the same texts. */
static int quantifier(parser *p, uint32_t *out)
{
    uint32_t min, max, rep, last = 0;
    size_t from = p->at;
    if (take(p, "*")) {
        min = 0, max = AIOS__RX_ENDLESS;
    } else if (take(p, "+")) {
        min = 1, max = AIOS__RX_ENDLESS;
    } else if (take(p, "?")) {
        min = 0, max = 1;
    } else if (take(p, "{")) {
        if (!number(p, &min))
            return wrong(p, AIOS_ESCHEMA, "a number is missing");
        max = min;
        if (take(p, ",") && !number(p, &max))
            max = AIOS__RX_ENDLESS;
        if (max < min)
            return wrong_at(p, from, AIOS_ESCHEMA, "a repeat ends before it begins");
        if (!take(p, "}"))
            return wrong(p, AIOS_ESCHEMA, "a } is missing");
    } else {
        return AIOS_OK;
    }
    take(p, "?");
    if (p->trees[*out].kind >= T_BEGIN)
        return wrong_at(p, from, AIOS_ESCHEMA, "there is nothing to repeat");
    int rc = new_tree(p, T_REP, &rep);
    if (rc)
        return rc;
    p->trees[rep].min = min;
    p->trees[rep].max = max;
    adopt(p, rep, &last, *out);
    *out = rep;
    return AIOS_OK;
}

static int term(parser *p, uint32_t *out)
{
    if (take(p, "^"))
        return new_tree(p, T_BEGIN, out);
    if (take(p, "$"))
        return new_tree(p, T_END, out);
    if (looking_at(p, "*") || looking_at(p, "+") || looking_at(p, "?") || looking_at(p, "{"))
        return wrong(p, AIOS_ESCHEMA, "there is nothing to repeat");
    if (looking_at(p, "]") || looking_at(p, "}"))
        return wrong(p, AIOS_ESCHEMA, "a bracket is closed that was not opened");
    int rc = take(p, "(") ? group(p, out) : chars(p, out);
    return rc ? rc : quantifier(p, out);
}

/* Returns false. */
static bool skip_blanks(parser *p)
{
    for (bool comment = false; p->flags & AIOS__RX_BLANKS && more(p); p->at++) {
        char c = p->s[p->at];
        comment = c == '#' || (comment && c != '\n');
        if (!comment && c != ' ' && (c < '\t' || c > '\r'))
            break;
    }
    return false;
}

static int sequence(parser *p, uint32_t *out)
{
    uint32_t child, last = 0;
    int rc = new_tree(p, T_SEQ, out);
    while (!rc && !skip_blanks(p) && more(p) && p->s[p->at] != '|' && p->s[p->at] != ')') {
        rc = term(p, &child);
        if (!rc)
            adopt(p, *out, &last, child);
    }
    return rc;
}

static int alternatives(parser *p, uint32_t *out)
{
    uint32_t child, last = 0;
    if (++p->depth > TREE_DEPTH)
        return wrong(p, AIOS_ELIMIT, "groups are nested too deep");
    int rc = new_tree(p, T_OR, out);
    do {
        rc = rc ? rc : sequence(p, &child);
        if (!rc)
            adopt(p, *out, &last, child);
    } while (!rc && take(p, "|"));
    p->depth--;
    return rc;
}

/* ---- from the tree to an expression ------------------------------------------------------------------------------- */

static int express(parser *p, uint32_t t, uint32_t *out);

/* The expressions of all children on the stack. */
static int push_children(parser *p, uint32_t t)
{
    int rc = AIOS_OK;
    for (uint32_t c = p->trees[t].child; !rc && c; c = p->trees[c].next) {
        uint32_t e;
        rc = express(p, c, &e);
        rc = rc ? rc : aios__rx_push(p->x, e, p->err);
    }
    return rc;
}

static int express_seq(parser *p, uint32_t t, uint32_t *out)
{
    aios__rx *x = p->x;
    uint32_t from = x->n_scratch;
    int rc = push_children(p, t);
    *out = AIOS__RX_EMPTY;
    while (x->n_scratch > from) {
        uint32_t e = x->scratch[--x->n_scratch];
        rc = rc ? rc : aios__rx_cat(x, e, *out, out, p->err);
    }
    return rc;
}

/* Of a pure tree. */
static int express(parser *p, uint32_t t, uint32_t *out)
{
    aios__rx *x = p->x;
    const tree *tr = &p->trees[t];
    uint32_t from = x->n_scratch;
    int rc;
    switch (tr->kind) {
    case T_CHARS:
        *out = tr->expr;
        return AIOS_OK;
    case T_SEQ:
        return express_seq(p, t, out);
    case T_REP:
        rc = express(p, tr->child, out);
        return rc ? rc : aios__rx_repeat(x, *out, tr->min, tr->max, out, p->err);
    default:
        rc = push_children(p, t);
        if (!rc)
            return aios__rx_list(x, AIOS__RX_OR, from, out, p->err);
        x->n_scratch = from;
        return rc;
    }
}

/* Whether a part stands at the start of the text. */
enum { NO, YES, MAYBE };

static int before(parser *p, uint32_t t, uint32_t rest, uint32_t start, uint32_t *out);

/* Whether what follows t does. */
static int start_after(parser *p, uint32_t t, uint32_t *start)
{
    uint32_t e;
    uint8_t kind = p->trees[t].kind;
    if (*start == NO || kind == T_BEGIN || kind == T_END || kind == T_AHEAD || kind == T_NOT_AHEAD)
        return AIOS_OK;
    if (!p->trees[t].pure) {
        *start = MAYBE;
        return AIOS_OK;
    }
    int rc = express(p, t, &e);
    if (!rc && e != AIOS__RX_EMPTY)
        *start = aios__rx_nullable(p->x, e) ? MAYBE : NO;
    return rc;
}

/* From the last child to the first, each with the rest behind it. */
static int before_seq(parser *p, uint32_t t, uint32_t rest, uint32_t start, uint32_t *out)
{
    aios__rx *x = p->x;
    uint32_t from = x->n_scratch;
    int rc = AIOS_OK;
    for (uint32_t c = p->trees[t].child; !rc && c; c = p->trees[c].next) {
        rc = aios__rx_push(x, c << 2 | start, p->err);
        rc = rc ? rc : start_after(p, c, &start);
    }
    while (x->n_scratch > from) {
        uint32_t c = x->scratch[--x->n_scratch];
        rc = rc ? rc : before(p, c >> 2, rest, c & 3, &rest);
    }
    *out = rest;
    return rc;
}

static int before_or(parser *p, uint32_t t, uint32_t rest, uint32_t start, uint32_t *out)
{
    aios__rx *x = p->x;
    uint32_t from = x->n_scratch, e;
    int rc = AIOS_OK;
    for (uint32_t c = p->trees[t].child; !rc && c; c = p->trees[c].next) {
        rc = before(p, c, rest, start, &e);
        rc = rc ? rc : aios__rx_push(x, e, p->err);
    }
    if (!rc)
        return aios__rx_list(x, AIOS__RX_OR, from, out, p->err);
    x->n_scratch = from;
    return rc;
}

static int before_rest_of(parser *p, uint32_t t, uint32_t rest, uint32_t start, uint32_t *out)
{
    uint32_t both[2] = {rest};
    int rc = before(p, p->trees[t].child, AIOS__RX_ALL, start, &both[1]);
    if (!rc && p->trees[t].kind == T_NOT_AHEAD)
        rc = aios__rx_not(p->x, both[1], &both[1], p->err);
    return rc ? rc : aios__rx_and(p->x, both, 2, out, p->err);
}

/* t and then `rest`, which goes to the end of the text. */
static int before(parser *p, uint32_t t, uint32_t rest, uint32_t start, uint32_t *out)
{
    const tree *tr = &p->trees[t];
    uint32_t e;
    int rc;
    if (tr->pure) {
        rc = express(p, t, &e);
        return rc ? rc : aios__rx_cat(p->x, e, rest, out, p->err);
    }
    switch (tr->kind) {
    case T_SEQ:
        return before_seq(p, t, rest, start, out);
    case T_OR:
        return before_or(p, t, rest, start, out);
    case T_BEGIN:
        *out = start == YES ? rest : AIOS__RX_NOTHING;
        return start == MAYBE ? aios__fail(p->err, AIOS_ENOTSUP, "pattern: ^ behind what may be empty is not supported") : AIOS_OK;
    case T_END:
        *out = aios__rx_nullable(p->x, rest) ? AIOS__RX_EMPTY : AIOS__RX_NOTHING;
        return AIOS_OK;
    case T_REP:
        if (tr->max > 1)
            return aios__fail(p->err, AIOS_ENOTSUP, "pattern: anchors and look-ahead inside a repeat are not supported");
        rc = tr->max ? before(p, tr->child, rest, start, &e) : AIOS_OK;
        *out = tr->max ? e : rest;
        return rc || tr->min || !tr->max ? rc : aios__rx_or(p->x, (uint32_t[2]){e, rest}, 2, out, p->err);
    default:
        return before_rest_of(p, t, rest, start, out);
    }
}

/* Somewhere: at the start, or behind one byte or more. */
static int anywhere(parser *p, uint32_t t, uint32_t *out)
{
    uint32_t first, later, bytes;
    int rc = before(p, t, AIOS__RX_ALL, YES, &first);
    rc = rc ? rc : before(p, t, AIOS__RX_ALL, NO, &later);
    if (!rc && first == later)
        return aios__rx_cat(p->x, AIOS__RX_ALL, later, out, p->err);
    rc = rc ? rc : aios__rx_repeat(p->x, AIOS__RX_BYTE, 1, AIOS__RX_ENDLESS, &bytes, p->err);
    rc = rc ? rc : aios__rx_cat(p->x, bytes, later, &later, p->err);
    return rc ? rc : aios__rx_or(p->x, (uint32_t[2]){first, later}, 2, out, p->err);
}

static int parse(aios__rx *x, const char *pattern, size_t n, bool whole, uint32_t flags, uint32_t *out, aios_error *err)
{
    parser p = {.x = x, .s = pattern, .n = n, .flags = flags, .err = err};
    uint32_t t;
    x->fuel = 0;
    int rc = new_tree(&p, T_SEQ, &t); /* number 0 is none */
    rc = rc ? rc : alternatives(&p, &t);
    if (!rc && more(&p))
        rc = wrong(&p, AIOS_ESCHEMA, "a ) has no (");
    if (!rc)
        rc = whole ? before(&p, t, AIOS__RX_EMPTY, YES, out) : anywhere(&p, t, out);
    aios__free(x->heap, p.trees);
    aios__free(x->heap, p.ranges);
    return rc;
}

int aios__rx_parse(aios__rx *x, const char *pattern, size_t n, bool whole, uint32_t *out, aios_error *err)
{
    return parse(x, pattern, n, whole, 0, out, err);
}

int aios__rx_parse_rust(aios__rx *x, const char *pattern, size_t n, uint32_t flags, uint32_t *out, aios_error *err)
{
    return parse(x, pattern, n, true, flags | AIOS__RX_RUST, out, err);
}
