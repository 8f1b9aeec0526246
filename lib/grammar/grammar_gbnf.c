/* SPDX-License-Identifier: Apache-2.0 */
/* GBNF, the grammars of llama.cpp: rules of literals, classes of characters, groups and repeats. */
#include "grammar/rules.h"
#include "grammar/hex.h"

enum { MAX_DEPTH = 1000, LAST_CHAR = 0x10ffff, MAX_COUNT = 1000000000, CLASS_WEIGHT = 4 };

/** A group that is open, or the rule itself. On the stack of terms: its alternatives from `from` on, then what the last one has so far. */
typedef struct group {
    uint32_t from, sequence, at;
} group;

typedef struct parser {
    aios__rules r;
    const char *s;
    size_t n, at;
    uint32_t *terms, n_terms, cap_terms;
    group *groups;
    uint32_t n_groups, cap_groups;
    uint32_t *ranges, n_ranges, cap_ranges; /* numbers, two a range, of the class being read */
    aios__buf text;                         /* of the literal being read */
    aios_error *err;
} parser;

static int wrong(const parser *p, const char *what)
{
    return aios__rules_fail(&p->r, AIOS_ESCHEMA, p->at, p->err, "%s", what);
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

/* Blanks and comments; line ends where they mean nothing. */
static void skip(parser *p, bool lines)
{
    for (; p->at < p->n; p->at++) {
        char c = p->s[p->at];
        if (c == '#')
            while (p->at + 1 < p->n && p->s[p->at + 1] != '\n' && p->s[p->at + 1] != '\r')
                p->at++;
        else if (c != ' ' && c != '\t' && (!lines || (c != '\n' && c != '\r')))
            return;
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name(parser *p)
{
    size_t from = p->at;
    while (p->at < p->n && is_name(p->s[p->at]))
        p->at++;
    return p->at - from;
}

static int push(parser *p, uint32_t term)
{
    int rc = aios__grow(p->r.heap, &p->terms, &p->cap_terms, (size_t)p->n_terms + 1, AIOS__RULES_TERMS, sizeof term, "parts of rules", p->err);
    if (!rc)
        p->terms[p->n_terms++] = term;
    return rc;
}

/* ---- characters --------------------------------------------------------------------------------------------------- */

static int hex(parser *p, unsigned n, uint32_t *cp)
{
    size_t from = p->at;
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        char c = p->at < p->n ? p->s[p->at] : 0;
        int d = aios__hex((uint8_t)c);
        if (d < 0)
            return wrong(p, "a hexadecimal digit is missing");
        v = v * 16 + (unsigned)d;
        p->at++;
    }
    *cp = (uint32_t)v;
    if (v <= LAST_CHAR && (v < 0xd800 || v > 0xdfff))
        return AIOS_OK;
    p->at = from;
    return wrong(p, "this is the number of no character");
}

/* One character of a literal or a class, escaped or not. */
static int character(parser *p, uint32_t *cp)
{
    static const char plain[] = "\\\"[]-", names[] = "trn", codes[] = "\t\r\n", widths[] = "xuU";
    size_t n = 0;
    if (!take(p, "\\")) {
        n = aios__utf8_decode(p->s + p->at, p->n - p->at, cp);
        p->at += n;
        return n ? AIOS_OK : wrong(p, "this is no valid UTF-8");
    }
    char c = p->at < p->n ? p->s[p->at] : 0;
    const char *at;
    p->at += c != 0;
    if (c && (at = strchr(widths, c)))
        return hex(p, 2u << (at - widths), cp);
    if (c && (at = strchr(names, c))) {
        *cp = (uint8_t)codes[at - names];
        return AIOS_OK;
    }
    *cp = (uint8_t)c;
    if (c && strchr(plain, c))
        return AIOS_OK;
    p->at -= c != 0;
    return wrong(p, "this is no escape: there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\xHH \\uHHHH \\UHHHHHHHH");
}

static int literal(parser *p, uint32_t *out)
{
    size_t from = p->at - 1;
    int rc = AIOS_OK;
    aios__buf_clear(&p->text);
    while (!rc && !take(p, "\"")) {
        uint32_t cp;
        char bytes[4];
        if (p->at == p->n) {
            p->at = from;
            return wrong(p, "the end of this literal, a \", is missing");
        }
        rc = character(p, &cp);
        rc = rc ? rc : aios__buf_add(&p->text, bytes, aios__utf8_encode(cp, bytes), p->err);
    }
    return rc ? rc : aios__rules_lit(&p->r, p->text.p, p->text.n, out, p->err);
}

static int add_range(parser *p, uint32_t lo, uint32_t hi)
{
    int rc = aios__grow(p->r.heap, &p->ranges, &p->cap_ranges, (size_t)p->n_ranges + 2, AIOS__RULES_TERMS, sizeof *p->ranges, "ranges of a class", p->err);
    if (rc)
        return rc;
    p->ranges[p->n_ranges++] = lo;
    p->ranges[p->n_ranges++] = hi;
    return AIOS_OK;
}

static int class_of_chars(parser *p, uint32_t *out)
{
    size_t from = p->at - 1;
    bool negated = take(p, "^");
    uint32_t expr;
    int rc = AIOS_OK;
    p->n_ranges = 0;
    while (!rc && !take(p, "]")) {
        uint32_t lo = 0, hi;
        if (p->at == p->n) {
            p->at = from;
            return wrong(p, "the end of this class, a ], is missing");
        }
        size_t range = p->at;
        rc = character(p, &lo);
        hi = lo;
        if (!rc && looking_at(p, "-") && p->at + 1 < p->n && p->s[p->at + 1] != ']') {
            bool line_ends = p->s[++p->at] == '\n' || p->s[p->at] == '\r';
            rc = character(p, &hi);
            if (!rc && hi < lo) {
                p->at = line_ends ? from : range;
                return wrong(p, line_ends ? "the end of this class, a ], is missing" : "this range ends before it begins");
            }
        }
        rc = rc ? rc : add_range(p, lo, hi);
    }
    if (!rc && !p->n_ranges) {
        p->at = from;
        return wrong(p, "this class has no characters");
    }
    rc = rc ? rc : add_range(p, 1, 0); /* room for one more */
    if (!rc)
        p->n_ranges = aios__rx_ranges(p->ranges, p->n_ranges / 2 - 1, negated);
    rc = rc ? rc : aios__rx_chars(p->r.g->rx, p->ranges, p->n_ranges, &expr, p->err);
    return rc ? rc : aios__rules_rx(&p->r, expr, CLASS_WEIGHT, out, p->err);
}

static int any_char(parser *p, uint32_t *out)
{
    static const uint32_t all[] = {0, LAST_CHAR};
    uint32_t expr;
    int rc = aios__rx_chars(p->r.g->rx, all, 1, &expr, p->err);
    return rc ? rc : aios__rules_rx(&p->r, expr, CLASS_WEIGHT, out, p->err);
}

/* ---- repeats ------------------------------------------------------------------------------------------------------ */

static bool number(parser *p, uint32_t *v)
{
    size_t from = p->at;
    uint64_t n = 0;
    for (; p->at < p->n && p->s[p->at] >= '0' && p->s[p->at] <= '9'; p->at++)
        n = n <= MAX_COUNT ? n * 10 + (uint64_t)(p->s[p->at] - '0') : n;
    *v = n <= MAX_COUNT ? (uint32_t)n : MAX_COUNT;
    return p->at > from;
}

/* {m}, {m,}, {,n}, {m,n}; p is behind the brace. */
static int counts(parser *p, bool lines, uint32_t *min, uint32_t *max)
{
    size_t from = p->at - 1;
    *min = 0;
    skip(p, lines);
    bool first = number(p, min), second = false;
    *max = *min;
    skip(p, lines);
    if (take(p, ",")) {
        skip(p, lines);
        second = number(p, max);
        *max = second ? *max : AIOS__RULES_ENDLESS;
        skip(p, lines);
    }
    if (!first && !second)
        return wrong(p, "a number is missing");
    if (!take(p, "}"))
        return wrong(p, "a } is missing");
    p->at -= *max < *min ? p->at - from : 0;
    return *max < *min ? wrong(p, "this repeat ends before it begins") : AIOS_OK;
}

/* A repeat of the last term of the sequence. */
static int repeat(parser *p, bool lines)
{
    static const struct {
        char c;
        uint32_t min, max;
    } marks[] = {{'*', 0, AIOS__RULES_ENDLESS}, {'+', 1, AIOS__RULES_ENDLESS}, {'?', 0, 1}};
    uint32_t min = 0, max = 0;
    const group *g = &p->groups[p->n_groups - 1];
    if (p->n_terms == g->sequence)
        return wrong(p, "there is nothing to repeat");
    char c = p->s[p->at++];
    int rc = c == '{' ? counts(p, lines, &min, &max) : AIOS_OK;
    for (size_t i = 0; i < AIOS__ARRAY_LEN(marks); i++) {
        min = c == marks[i].c ? marks[i].min : min;
        max = c == marks[i].c ? marks[i].max : max;
    }
    uint32_t *last = &p->terms[p->n_terms - 1];
    return rc ? rc : aios__rules_rep(&p->r, *last, min, max, last, p->err);
}

/* ---- rules -------------------------------------------------------------------------------------------------------- */

static int open_group(parser *p, size_t at)
{
    if (p->n_groups == MAX_DEPTH)
        return aios__rules_fail(&p->r, AIOS_ELIMIT, at, p->err, "groups are nested more than %d deep", MAX_DEPTH);
    int rc = aios__grow(p->r.heap, &p->groups, &p->cap_groups, (size_t)p->n_groups + 1, MAX_DEPTH, sizeof *p->groups, "groups", p->err);
    if (!rc)
        p->groups[p->n_groups++] = (group){p->n_terms, p->n_terms, (uint32_t)at};
    return rc;
}

/* The sequence that was read becomes one alternative. */
static int end_sequence(parser *p)
{
    group *g = &p->groups[p->n_groups - 1];
    uint32_t t;
    int rc = aios__rules_list(&p->r, AIOS__T_SEQ, p->terms + g->sequence, p->n_terms - g->sequence, &t, p->err);
    p->n_terms = g->sequence;
    rc = rc ? rc : push(p, t);
    g->sequence = p->n_terms;
    return rc;
}

/* The alternatives become one term. */
static int close_group(parser *p, uint32_t *out)
{
    int rc = end_sequence(p);
    const group *g = &p->groups[p->n_groups - 1];
    rc = rc ? rc : aios__rules_list(&p->r, AIOS__T_ALT, p->terms + g->from, p->n_terms - g->from, out, p->err);
    p->n_terms = g->from;
    p->n_groups--;
    return rc;
}

static int reference(parser *p, uint32_t *out)
{
    size_t at = p->at, n = name(p);
    uint32_t rule;
    int rc = aios__rules_find(&p->r, at, n, &rule, p->err);
    return rc ? rc : aios__rules_ref(&p->r, rule, out, p->err);
}

/* One item of a sequence, which is not the end of the rule. */
static int item(parser *p)
{
    bool lines = p->n_groups > 1;
    char c = p->s[p->at];
    uint32_t t = 0;
    int rc;
    if (c == '<' || c == '!')
        return aios__rules_fail(&p->r, AIOS_ENOTSUP, p->at, p->err, "tokens cannot be named in a grammar, which is about text: write the text that is meant");
    if (c == '*' || c == '+' || c == '?' || c == '{') {
        rc = repeat(p, lines);
        skip(p, lines);
        return rc;
    }
    if (!is_name(c))
        p->at++;
    if (c == '(') {
        rc = open_group(p, p->at - 1);
        skip(p, true);
        return rc;
    }
    if (c == ')')
        rc = lines ? close_group(p, &t) : (p->at--, wrong(p, "this ) closes nothing"));
    else
        rc = c == '"' ? literal(p, &t) : c == '[' ? class_of_chars(p, &t) : c == '.' ? any_char(p, &t) : reference(p, &t);
    rc = rc ? rc : push(p, t);
    skip(p, p->n_groups > 1);
    return rc;
}

/* The right side of a rule, to the end of its line. */
static int body(parser *p, uint32_t *out)
{
    int rc = open_group(p, p->at);
    while (!rc && p->at < p->n && p->s[p->at] != '\n' && p->s[p->at] != '\r') {
        if (take(p, "|")) {
            rc = end_sequence(p);
            skip(p, true);
        } else if (is_name(p->s[p->at]) || strchr("\"[.()<!*+?{", p->s[p->at])) {
            rc = item(p);
        } else {
            rc = wrong(p, "this can be no part of a rule");
        }
    }
    if (!rc && p->n_groups > 1) {
        p->at = p->groups[p->n_groups - 1].at;
        rc = wrong(p, "the end of this group, a ), is missing");
    }
    return rc ? rc : close_group(p, out);
}

static int rule(parser *p)
{
    size_t at = p->at, n = name(p);
    uint32_t id, t;
    if (!n)
        return wrong(p, "the name of a rule is missing");
    int rc = aios__rules_find(&p->r, at, n, &id, p->err);
    skip(p, false);
    if (!rc && !take(p, "::="))
        return wrong(p, "::= is missing behind the name of a rule");
    if (!rc && p->r.rules[id].body)
        return aios__rules_fail(&p->r, AIOS_ESCHEMA, at, p->err, "there is another rule called %.*s already", (int)n, p->s + at);
    skip(p, true);
    rc = rc ? rc : body(p, &t);
    if (!rc)
        aios__rules_define(&p->r, id, at, t);
    skip(p, true);
    return rc;
}

static int parse(parser *p)
{
    uint32_t root;
    int rc = AIOS_OK;
    skip(p, true);
    while (!rc && p->at < p->n)
        rc = rule(p);
    if (rc)
        return rc;
    for (root = 0; root < p->r.n_rules; root++)
        if (p->r.rules[root].n_name == 4 && !memcmp(p->s + p->r.rules[root].name, "root", 4))
            return aios__rules_build(&p->r, root, p->err);
    return wrong(p, "the rule called root, with which every text begins, is missing");
}

/* Says how far reading had come when a cap was reached. */
static int located(const parser *p, int rc)
{
    aios_error why = *p->err;
    return rc == AIOS_ELIMIT && strncmp(why.msg, "line ", 5) ? aios__rules_fail(&p->r, rc, p->at, p->err, "%s", why.msg) : rc;
}

int aios__grammar_gbnf(aios_grammar *g, const char *s, size_t n, aios_error *err)
{
    parser p = {.s = s, .n = n, .err = err};
    int rc = aios__rules_init(&p.r, g, s, n, err);
    aios__buf_init(&p.text, g->heap, AIOS_MEM_SCRATCH, 0);
    rc = rc ? rc : located(&p, parse(&p));
    aios__buf_free(&p.text);
    aios__free(g->heap, p.terms);
    aios__free(g->heap, p.groups);
    aios__free(g->heap, p.ranges);
    aios__rules_free(&p.r);
    return rc;
}
