/* SPDX-License-Identifier: Apache-2.0 */
/* Lark as llguidance reads it: rules in small letters, terminals in capitals, which are regular. What may be ignored stands before terminals. */
#include "base/json.h"
#include "grammar/lark.h"

enum { MAX_DEPTH = 1000, MAX_COUNT = 1000000000 };

/** A bracket that is open, or a body. On the stack of terms: alternatives from `from` on, those to be joined by & from `both`, a sequence. */
typedef struct group {
    uint32_t from, both, sequence, at;
    uint32_t nots;  /* ~ before it */
    bool optional;  /* [...] */
    bool terminal;  /* what is inside is part of a terminal */
    bool wraps;     /* it is a terminal itself, inside a rule */
} group;

/** What stands in brackets behind the name of a rule. */
typedef struct attributes {
    bool lazy, has_suffix;
    uint32_t suffix;
} attributes;

typedef struct parser {
    aios__lark k;
    uint32_t *terms, n_terms, cap_terms;
    group *groups;
    uint32_t n_groups, cap_groups;
    uint32_t *ignored, n_ignored, cap_ignored;
    uint32_t skip_rule; /* of what is ignored */
    bool ignores, ignore_once, initial_skip;
    uint32_t nots; /* ~ read since the last term */
} parser;

static int push(parser *p, uint32_t term)
{
    int rc = aios__grow(p->k.r.heap, &p->terms, &p->cap_terms, (size_t)p->n_terms + 1, AIOS__RULES_TERMS, sizeof term, "parts of rules", p->k.err);
    if (!rc)
        p->terms[p->n_terms++] = term;
    return rc;
}

static int wrong(const parser *p, const char *what)
{
    return aios__lark_fail(&p->k, AIOS_ESCHEMA, what);
}

static int refused(const parser *p, const char *what)
{
    return aios__lark_fail(&p->k, AIOS_ENOTSUP, what);
}

static bool is(const parser *p, const char *mark)
{
    return aios__lark_is(&p->k, mark);
}

/* Goes behind a mark. */
static int expect(parser *p, const char *mark, const char *what)
{
    return is(p, mark) ? aios__lark_next(&p->k) : wrong(p, what);
}

static bool in_terminal(const parser *p)
{
    return p->n_groups && p->groups[p->n_groups - 1].terminal;
}

static void set_flags(parser *p)
{
    p->k.r.flags = in_terminal(p) || p->nots ? AIOS__T_TOKEN : 0;
}

static bool is_terminal(const char *s, size_t n)
{
    char c = n && *s == '_' && n > 1 ? s[1] : *s;
    return c >= 'A' && c <= 'Z';
}

/* ---- terminals inside rules ---------------------------------------------------------------------------------------- */

/* A terminal with what may be ignored before it. */
static int with_skip(parser *p, uint32_t t, uint32_t *out)
{
    uint32_t both[2] = {0, t};
    *out = t;
    if (!p->ignores)
        return AIOS_OK;
    p->k.r.flags = AIOS__T_SKIP;
    int rc = aios__rules_ref(&p->k.r, p->skip_rule, &both[0], p->k.err);
    p->k.r.flags = AIOS__T_WRAP;
    rc = rc ? rc : aios__rules_list(&p->k.r, AIOS__T_SEQ, both, 2, out, p->k.err);
    p->k.r.flags = 0;
    return rc;
}

/* True for a skip and one term behind it. */
static bool is_wrapped(const parser *p, uint32_t t)
{
    const aios__term *x = &p->k.r.terms[t];
    return x->kind == AIOS__T_SEQ && x->b == 2 && p->k.r.terms[p->k.r.list[x->a]].flags & AIOS__T_SKIP;
}

/* Behind it comes a terminal that is all there is, or that is known not to be empty: nothing is skipped before nothing. */
static bool begins_with_skip(const parser *p, uint32_t t)
{
    const aios__rules *r = &p->k.r;
    const aios__term *x = &r->terms[t];
    if (is_wrapped(p, t) || x->kind != AIOS__T_SEQ || !is_wrapped(p, r->list[x->a]))
        return is_wrapped(p, t);
    x = &r->terms[r->list[r->terms[r->list[x->a]].a + 1]];
    return (x->kind == AIOS__T_LIT && x->b) || (x->kind == AIOS__T_RX && !aios__rx_ends(r->g->rx, x->expr));
}

static uint32_t without_skip(parser *p, uint32_t t)
{
    aios__rules *r = &p->k.r;
    uint32_t *list = r->list + r->terms[t].a;
    if (is_wrapped(p, t))
        return list[1];
    list[0] = r->list[r->terms[list[0]].a + 1];
    r->terms[list[0]].up = t;
    return t;
}

/* ---- groups -------------------------------------------------------------------------------------------------------- */

static int open_group(parser *p, group g)
{
    if (p->n_groups == MAX_DEPTH)
        return aios__lark_fail(&p->k, AIOS_ELIMIT, "groups are nested more than 1000 deep");
    int rc = aios__grow(p->k.r.heap, &p->groups, &p->cap_groups, (size_t)p->n_groups + 1, MAX_DEPTH, sizeof *p->groups, "groups", p->k.err);
    if (rc)
        return rc;
    g.from = g.both = g.sequence = p->n_terms;
    g.at = p->k.token.at;
    p->groups[p->n_groups++] = g;
    p->nots = 0;
    set_flags(p);
    return AIOS_OK;
}

/* What was pushed since `from` becomes one term. */
static int reduce(parser *p, uint8_t kind, uint32_t from)
{
    uint32_t t;
    int rc = aios__rules_list(&p->k.r, kind, p->terms + from, p->n_terms - from, &t, p->k.err);
    p->n_terms = from;
    return rc ? rc : push(p, t);
}

static int end_sequence(parser *p)
{
    group *g = &p->groups[p->n_groups - 1];
    if (p->nots)
        return wrong(p, "nothing stands behind ~");
    int rc = reduce(p, AIOS__T_SEQ, g->sequence);
    g->sequence = p->n_terms;
    return rc;
}

static int end_alternative(parser *p)
{
    group *g = &p->groups[p->n_groups - 1];
    int rc = end_sequence(p);
    rc = rc ? rc : reduce(p, AIOS__T_AND, g->both);
    g->both = g->sequence = p->n_terms;
    return rc;
}

/* Alternatives that begin with the skip share it: it is read once for all of them. */
static int choice(parser *p, uint32_t from)
{
    uint32_t others = from;
    for (uint32_t i = from; i < p->n_terms; i++) {
        uint32_t t = p->terms[i];
        if (begins_with_skip(p, t))
            continue;
        p->terms[i] = p->terms[others];
        p->terms[others++] = t;
    }
    if (p->n_terms - others < 2)
        return reduce(p, AIOS__T_ALT, from);
    for (uint32_t i = others; i < p->n_terms; i++)
        p->terms[i] = without_skip(p, p->terms[i]);
    int rc = reduce(p, AIOS__T_ALT, others);
    rc = rc ? rc : with_skip(p, p->terms[p->n_terms - 1], &p->terms[p->n_terms - 1]);
    return rc ? rc : reduce(p, AIOS__T_ALT, from);
}

static int negate(parser *p, uint32_t nots, uint32_t *t)
{
    int rc = AIOS_OK;
    nots = nots > 2 ? 2 - nots % 2 : nots;
    for (p->k.r.flags = AIOS__T_TOKEN; nots && !rc; nots--)
        rc = aios__rules_unary(&p->k.r, AIOS__T_NOT, *t, t, p->k.err);
    return rc;
}

/* The innermost group becomes a term of the sequence around it, or the result. */
static int close_group(parser *p)
{
    group *g = &p->groups[p->n_groups - 1];
    int rc = end_alternative(p);
    rc = rc ? rc : choice(p, g->from);
    if (rc)
        return rc;
    uint32_t *t = &p->terms[p->n_terms - 1];
    rc = g->optional ? aios__rules_rep(&p->k.r, *t, 0, 1, t, p->k.err) : AIOS_OK;
    rc = rc ? rc : negate(p, g->nots, t);
    bool wraps = g->wraps;
    p->n_groups--;
    set_flags(p);
    return rc || !wraps ? rc : with_skip(p, *t, t);
}

/* ---- atoms and repeats --------------------------------------------------------------------------------------------- */

static int name(parser *p, uint32_t *out)
{
    size_t at = p->k.token.at, n = p->k.token.n;
    bool terminal = is_terminal(p->k.s + at, n);
    uint32_t rule;
    if (p->k.s[at] == '!' || p->k.s[at] == '?')
        return wrong(p, "! and ? stand before the name of a rule where it is defined");
    if (!terminal && (in_terminal(p) || p->nots))
        return wrong(p, "a rule can be no part of a terminal: write its name in capitals");
    int rc = aios__rules_find(&p->k.r, at, n, &rule, p->k.err);
    rc = rc ? rc : aios__rules_ref(&p->k.r, rule, out, p->k.err);
    rc = rc ? rc : aios__lark_next(&p->k);
    if (!rc && is(p, "::"))
        rc = refused(p, "rules with parameters are not supported");
    return rc;
}

static int keyword(parser *p, uint32_t *out)
{
    if (is(p, "%regex"))
        return aios__lark_regex_ext(&p->k, out);
    if (!is(p, "%json"))
        return refused(p, "of these words only %json and %regex can be part of a rule");
    return in_terminal(p) || p->nots ? wrong(p, "a schema can be no part of a terminal") : aios__lark_json(&p->k, out);
}

static int value(parser *p, uint32_t *out)
{
    switch (p->k.token.kind) {
    case AIOS__LK_STRING:
    case AIOS__LK_REGEX:
        return aios__lark_text(&p->k, out);
    case AIOS__LK_NAME:
        return name(p, out);
    case AIOS__LK_KEYWORD:
        return keyword(p, out);
    case AIOS__LK_SPECIAL:
        return refused(p, "special tokens cannot be named in a grammar, which is about text");
    case AIOS__LK_GRAMMAR:
        return refused(p, "there are no other grammars that this one could name");
    default:
        return wrong(p, "a string, an expression, a name or a group is missing here");
    }
}

/* One atom, which is no group. */
static int atom(parser *p)
{
    bool is_rule = p->k.token.kind == AIOS__LK_NAME && !is_terminal(p->k.s + p->k.token.at, p->k.token.n);
    uint32_t t = 0, nots = p->nots;
    set_flags(p);
    int rc = value(p, &t);
    rc = rc ? rc : negate(p, nots, &t);
    p->nots = 0;
    set_flags(p);
    if (!rc && !is_rule && !in_terminal(p))
        rc = with_skip(p, t, &t);
    return rc ? rc : push(p, t);
}

static int number(parser *p, uint32_t *v)
{
    uint64_t n = 0;
    if (p->k.token.kind != AIOS__LK_NUMBER)
        return wrong(p, "a number is missing");
    for (uint32_t i = 0; i < p->k.token.n; i++)
        n = n <= MAX_COUNT ? n * 10 + (uint64_t)(p->k.s[p->k.token.at + i] - '0') : n;
    *v = n <= MAX_COUNT ? (uint32_t)n : MAX_COUNT;
    return aios__lark_next(&p->k);
}

/* {m}, {m,}, {,n}, {m,n}; the brace is looked at. */
static int braces(parser *p, uint32_t *min, uint32_t *max)
{
    int rc = aios__lark_next(&p->k);
    bool first = p->k.token.kind == AIOS__LK_NUMBER;
    *min = 0;
    rc = rc || !first ? rc : number(p, min);
    *max = *min;
    if (!rc && !first && !is(p, ","))
        return p->k.token.kind == AIOS__LK_NAME || p->k.token.kind == AIOS__LK_STRING ? refused(p, "templates are not supported") : wrong(p, "a number is missing");
    if (!rc && is(p, ",")) {
        rc = aios__lark_next(&p->k);
        *max = AIOS__RULES_ENDLESS;
        if (!rc && p->k.token.kind == AIOS__LK_NUMBER)
            rc = number(p, max);
    }
    return rc ? rc : expect(p, "}", "a } is missing");
}

/* A repeat of the last term, if there is one. */
static int repeat(parser *p, bool *found)
{
    uint32_t min = 0, max = AIOS__RULES_ENDLESS, at = p->k.token.at;
    int rc = AIOS_OK;
    *found = true;
    if (is(p, "*") || is(p, "+") || is(p, "?")) {
        min = is(p, "+");
        max = is(p, "?") ? 1 : max;
        rc = aios__lark_next(&p->k);
    } else if (is(p, "{")) {
        rc = braces(p, &min, &max);
    } else if (is(p, "~")) {
        rc = aios__lark_next(&p->k);
        rc = rc ? rc : number(p, &min);
        max = min;
        if (!rc && is(p, "..")) {
            rc = aios__lark_next(&p->k);
            rc = rc ? rc : number(p, &max);
        }
    } else {
        *found = false;
        return AIOS_OK;
    }
    if (!rc && max < min)
        return aios__rules_fail(&p->k.r, AIOS_ESCHEMA, at, p->k.err, "this repeat ends before it begins");
    uint32_t *last = &p->terms[p->n_terms - 1];
    return rc ? rc : aios__rules_rep(&p->k.r, *last, min, max, last, p->k.err);
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

static int bracket(parser *p)
{
    bool opens = is(p, "(") || is(p, "["), wraps = p->nots && !in_terminal(p);
    const group *g = &p->groups[p->n_groups - 1];
    if (opens) {
        group inner = {.nots = p->nots, .optional = is(p, "["), .terminal = in_terminal(p) || p->nots, .wraps = wraps};
        int rc = open_group(p, inner);
        return rc ? rc : aios__lark_next(&p->k);
    }
    if (p->n_groups < 2 || g->optional != is(p, "]"))
        return wrong(p, "this bracket closes nothing");
    int rc = close_group(p);
    return rc ? rc : aios__lark_next(&p->k);
}

/* Behind a line end: true if the body goes on, with | or inside a bracket. */
static int line_end(parser *p, bool *goes_on)
{
    int rc = aios__lark_next(&p->k);
    *goes_on = p->n_groups > 1 || is(p, "|");
    return rc;
}

static int arrow(parser *p)
{
    int rc = aios__lark_next(&p->k);
    return rc ? rc : p->k.token.kind == AIOS__LK_NAME ? aios__lark_next(&p->k) : wrong(p, "the name behind -> is missing");
}

/* Marks between atoms. *found: there was one. */
static int mark(parser *p, bool *found)
{
    int rc;
    *found = true;
    if (is(p, "|"))
        return (rc = end_alternative(p)) ? rc : aios__lark_next(&p->k);
    if (is(p, "&")) {
        if (!in_terminal(p))
            return wrong(p, "& joins parts of terminals, not of rules: write the name in capitals");
        return (rc = end_sequence(p)) ? rc : aios__lark_next(&p->k);
    }
    if (is(p, "->"))
        return arrow(p);
    if (is(p, "~")) {
        p->nots++;
        return aios__lark_next(&p->k);
    }
    if (is(p, "(") || is(p, "[") || is(p, ")") || is(p, "]")) {
        bool closes = is(p, ")") || is(p, "]"), again = closes;
        rc = bracket(p);
        while (!rc && again)
            rc = repeat(p, &again);
        return rc;
    }
    *found = false;
    return AIOS_OK;
}

/* From the word looked at to the end of the body; it is left on the stack as the term *out. */
static int body(parser *p, bool terminal, uint32_t *out)
{
    int rc = open_group(p, (group){.terminal = terminal});
    while (!rc && p->k.token.kind != AIOS__LK_END) {
        bool found = true;
        if (p->k.token.kind == AIOS__LK_LINE) {
            rc = line_end(p, &found);
            if (rc || !found)
                break;
            continue;
        }
        rc = mark(p, &found);
        if (rc || found)
            continue;
        rc = atom(p);
        for (found = true; !rc && found;)
            rc = repeat(p, &found);
    }
    if (!rc && p->n_groups > 1)
        rc = aios__rules_fail(&p->k.r, AIOS_ESCHEMA, p->groups[p->n_groups - 1].at, p->k.err, "the end of this group is missing");
    rc = rc ? rc : close_group(p);
    if (!rc)
        *out = p->terms[--p->n_terms];
    return rc;
}

/* ---- definitions --------------------------------------------------------------------------------------------------- */

static int attribute(parser *p, attributes *a)
{
    static const char *const refuses[] = {"stop", "max_tokens", "temperature"};
    const char *s = p->k.s + p->k.token.at;
    size_t n = p->k.token.n;
    bool suffix = n == 6 && !memcmp(s, "suffix", 6), lazy = n == 4 && !memcmp(s, "lazy", 4);
    bool known = suffix || lazy || (n == 7 && !memcmp(s, "capture", 7)) || (n == 12 && !memcmp(s, "stop_capture", 12));
    for (size_t i = 0; i < AIOS__ARRAY_LEN(refuses); i++)
        if (n == strlen(refuses[i]) && !memcmp(s, refuses[i], n))
            return refused(p, "stop, max_tokens and temperature are about tokens, which a grammar does not see: use suffix or lazy, a counted repeat, the request's sampling");
    if (p->k.token.kind != AIOS__LK_NAME || !known)
        return wrong(p, "this is no attribute: there are capture, lazy, suffix and stop_capture");
    int rc = aios__lark_next(&p->k);
    a->lazy = a->lazy || lazy;
    if (rc || !is(p, "="))
        return rc || !suffix ? rc : wrong(p, "the value of suffix is missing");
    rc = aios__lark_next(&p->k);
    if (rc || !suffix)
        return rc ? rc : p->k.token.kind == AIOS__LK_STRING ? aios__lark_next(&p->k) : wrong(p, "a name in quotes is missing");
    p->k.r.flags = AIOS__T_TOKEN;
    a->has_suffix = a->lazy = true;
    if (p->k.token.kind != AIOS__LK_STRING && p->k.token.kind != AIOS__LK_REGEX && !is_terminal(p->k.s + p->k.token.at, p->k.token.n))
        return wrong(p, "a suffix is a string, an expression or a terminal");
    return value(p, &a->suffix);
}

static int read_attributes(parser *p, attributes *a)
{
    int rc = is(p, "[") ? aios__lark_next(&p->k) : AIOS_OK;
    while (!rc && !is(p, "]")) {
        rc = attribute(p, a);
        if (!rc && !is(p, ","))
            break;
        rc = rc ? rc : aios__lark_next(&p->k);
    }
    return rc ? rc : expect(p, "]", "a ] is missing");
}

/* A rule whose body is one lazy terminal. */
static int make_lazy(parser *p, const attributes *a, uint32_t *t)
{
    uint32_t both[2] = {*t, a->suffix};
    p->k.r.flags = AIOS__T_TOKEN;
    int rc = a->has_suffix ? aios__rules_list(&p->k.r, AIOS__T_SEQ, both, 2, t, p->k.err) : AIOS_OK;
    rc = rc ? rc : aios__rules_unary(&p->k.r, AIOS__T_LAZY, *t, t, p->k.err);
    return rc ? rc : with_skip(p, *t, t);
}

static int definition(parser *p)
{
    size_t at = p->k.token.at, n = p->k.token.n;
    attributes a = {0};
    uint32_t id, t;
    for (int i = 0; i < 2 && (p->k.s[at] == '!' || p->k.s[at] == '?'); i++) {
        at++;
        n--;
    }
    bool terminal = is_terminal(p->k.s + at, n);
    int rc = aios__rules_find(&p->k.r, at, n, &id, p->k.err);
    if (!rc && p->k.r.rules[id].body)
        return aios__rules_fail(&p->k.r, AIOS_ESCHEMA, at, p->k.err, "%.*s is defined twice", (int)n, p->k.s + at);
    rc = rc ? rc : aios__lark_next(&p->k);
    if (!rc && (is(p, "::") || is(p, "{") || is(p, ".")))
        return refused(p, "parameters, templates and priorities are not supported");
    if (!rc && is(p, "["))
        rc = terminal ? wrong(p, "only rules have attributes") : read_attributes(p, &a);
    rc = rc ? rc : expect(p, ":", "a : is missing");
    rc = rc ? rc : body(p, terminal || a.lazy, &t);
    rc = rc || !a.lazy ? rc : make_lazy(p, &a, &t);
    p->k.r.flags = 0;
    if (!rc) {
        aios__rules_define(&p->k.r, id, at, t);
        p->k.r.rules[id].token = terminal;
    }
    return rc;
}

/* One name of the library, defined here under the name at byte `as`. */
static int import_one(parser *p, size_t at, size_t n, size_t as, size_t n_as)
{
    const char *pattern = aios__lark_common(p->k.s + at, n);
    uint32_t id, e, t;
    if (!pattern)
        return aios__rules_fail(&p->k.r, AIOS_ESCHEMA, at, p->k.err, "the library common has no %.*s", (int)n, p->k.s + at);
    int rc = aios__rules_find(&p->k.r, as, n_as, &id, p->k.err);
    if (!rc && p->k.r.rules[id].body)
        return aios__rules_fail(&p->k.r, AIOS_ESCHEMA, as, p->k.err, "%.*s is defined twice", (int)n_as, p->k.s + as);
    rc = rc ? rc : aios__rx_parse_rust(p->k.r.g->rx, pattern, strlen(pattern), 0, &e, p->k.err);
    p->k.r.flags = AIOS__T_TOKEN;
    rc = rc ? rc : aios__rules_rx(&p->k.r, e, (uint32_t)strlen(pattern), &t, p->k.err);
    p->k.r.flags = 0;
    if (!rc)
        aios__rules_define(&p->k.r, id, as, t);
    if (!rc)
        p->k.r.rules[id].token = true;
    return rc;
}

/* Behind %import common: .NAME, .NAME -> OTHER, or a list of names in parentheses. */
static int import(parser *p)
{
    int rc = aios__lark_next(&p->k);
    if (!rc && (p->k.token.kind != AIOS__LK_NAME || p->k.token.n != 6 || memcmp(p->k.s + p->k.token.at, "common", 6)))
        return refused(p, "the only library is called common");
    rc = rc ? rc : aios__lark_next(&p->k);
    bool many = is(p, "(");
    if (!rc && !many && !is(p, "."))
        return wrong(p, "the name of what is imported is missing");
    while (!rc) {
        rc = aios__lark_next(&p->k);
        if (rc || p->k.token.kind != AIOS__LK_NAME)
            return rc ? rc : wrong(p, "the name of what is imported is missing");
        aios__lark_token from = p->k.token, as = from;
        rc = aios__lark_next(&p->k);
        if (!rc && !many && is(p, "->")) {
            rc = aios__lark_next(&p->k);
            as = p->k.token;
            rc = rc || as.kind != AIOS__LK_NAME || !is_terminal(p->k.s + as.at, as.n) ? (rc ? rc : wrong(p, "the name of a terminal is missing")) : aios__lark_next(&p->k);
        }
        rc = rc ? rc : import_one(p, from.at, from.n, as.at, as.n);
        if (!many || !is(p, ","))
            break;
    }
    return rc || !many ? rc : expect(p, ")", "a ) is missing");
}

/* Options that say something about texts. */
static int options(parser *p)
{
    size_t from = p->k.at, end;
    aios__json_doc *doc;
    aios_error why = AIOS_INIT(aios_error);
    while (from < p->k.n && strchr(" \t\r\n", p->k.s[from]))
        from++;
    end = from < p->k.n && p->k.s[from] == '{' ? aios__lark_json_end(&p->k, from) : 0;
    if (!end)
        return wrong(p, "a JSON object is missing behind this");
    if (aios__json_parse(p->k.r.heap, p->k.s + from, end - from, &doc, &why))
        return why.code == AIOS_EFORMAT ? aios__rules_fail(&p->k.r, AIOS_ESCHEMA, from, p->k.err, "%s", why.msg) : aios__error_copy(p->k.err, &why);
    const char *key = "";
    const aios__json *v, *root = aios__json_root(doc);
    int rc = AIOS_OK;
    for (void *it = aios__json_iter(root, NULL, &key, &v); it && !rc; it = aios__json_iter(root, it, &key, &v)) {
        bool on = aios__json_type(v) == AIOS__JSON_TRUE, flag = on || aios__json_type(v) == AIOS__JSON_FALSE;
        bool *known = !strcmp(key, "allow_initial_skip") ? &p->initial_skip : !strcmp(key, "ignore_once") ? &p->ignore_once : NULL;
        if (known && flag)
            *known = on;
        else if (known)
            rc = wrong(p, "allow_initial_skip and ignore_once are true or false");
        else if (on || !flag)
            rc = refused(p, "of these options there are allow_initial_skip and ignore_once");
    }
    aios__json_free(doc);
    p->k.at = end;
    return rc ? rc : aios__lark_next(&p->k);
}

static int ignore(parser *p)
{
    uint32_t t;
    int rc = aios__lark_next(&p->k);
    rc = rc ? rc : body(p, true, &t);
    rc = rc ? rc : aios__grow(p->k.r.heap, &p->ignored, &p->cap_ignored, (size_t)p->n_ignored + 1, AIOS__RULES_TERMS, sizeof t, "parts of rules", p->k.err);
    p->k.r.flags = 0;
    if (!rc)
        p->ignored[p->n_ignored++] = t;
    return rc;
}

static int statement(parser *p)
{
    if (is(p, "%ignore"))
        return ignore(p);
    if (is(p, "%import"))
        return import(p);
    if (is(p, "%llguidance"))
        return options(p);
    return p->k.token.kind == AIOS__LK_KEYWORD ? refused(p, "of statements there are %ignore, %import and %llguidance") : wrong(p, "a rule, a terminal or a statement begins here");
}

/* Finds out whether something is ignored, and reads all words once. */
static int look_through(parser *p)
{
    int rc = aios__lark_next(&p->k);
    while (!rc && p->k.token.kind != AIOS__LK_END) {
        if (is(p, "%ignore")) {
            p->ignores = true;
            rc = aios__rules_find(&p->k.r, p->k.token.at, p->k.token.n, &p->skip_rule, p->k.err);
        }
        if (!rc && (is(p, "%json") || is(p, "%regex") || is(p, "%llguidance"))) {
            size_t end = aios__lark_json_end(&p->k, p->k.at);
            p->k.at = end ? end : p->k.n;
        }
        rc = rc ? rc : aios__lark_next(&p->k);
    }
    p->k.at = 0;
    return rc;
}

/* The rule of all that is ignored: any of it, again and again. */
static int define_skip(parser *p)
{
    uint32_t t;
    p->k.r.flags = AIOS__T_TOKEN;
    int rc = aios__rules_list(&p->k.r, AIOS__T_ALT, p->ignored, p->n_ignored, &t, p->k.err);
    rc = rc ? rc : aios__rules_rep(&p->k.r, t, 0, p->ignore_once ? 1 : AIOS__RULES_ENDLESS, &t, p->k.err);
    if (!rc)
        aios__rules_define(&p->k.r, p->skip_rule, p->k.r.rules[p->skip_rule].at, t);
    p->k.r.flags = 0;
    return rc;
}

static int parse(parser *p)
{
    int rc = look_through(p);
    rc = rc ? rc : aios__lark_next(&p->k);
    while (!rc && p->k.token.kind != AIOS__LK_END) {
        if (p->k.token.kind == AIOS__LK_LINE)
            rc = aios__lark_next(&p->k);
        else
            rc = p->k.token.kind == AIOS__LK_NAME ? definition(p) : statement(p);
    }
    rc = rc || !p->ignores ? rc : define_skip(p);
    if (rc)
        return rc;
    p->k.r.skips = p->ignores && !p->initial_skip;
    for (uint32_t i = 0; i < p->k.r.n_rules; i++)
        if (p->k.r.rules[i].n_name == 5 && !memcmp(p->k.s + p->k.r.rules[i].name, "start", 5))
            return aios__rules_build(&p->k.r, i, p->k.err);
    return wrong(p, "the rule called start, with which every text begins, is missing");
}

/* Says how far reading had come when a cap was reached. */
static int located(const parser *p, int rc)
{
    aios_error why = *p->k.err;
    return rc == AIOS_ELIMIT && strncmp(why.msg, "line ", 5) ? aios__lark_fail(&p->k, rc, why.msg) : rc;
}

int aios__grammar_lark(aios_grammar *g, const char *s, size_t n, aios_error *err)
{
    parser p = {.k = {.s = s, .n = n, .err = err}};
    int rc = aios__rules_init(&p.k.r, g, s, n, err);
    aios__buf_init(&p.k.text, g->heap, AIOS_MEM_SCRATCH, 0);
    rc = rc ? rc : located(&p, parse(&p));
    aios__buf_free(&p.k.text);
    aios__free(g->heap, p.terms);
    aios__free(g->heap, p.groups);
    aios__free(g->heap, p.ignored);
    aios__rules_free(&p.k.r);
    return rc;
}
