/* SPDX-License-Identifier: Apache-2.0 */
/* Strings of a conjunction of parts. */
#include "grammar/grammar_schema.h"
#include "grammar/schema_format.h"

#define COUNTED_MAX 256u /* lengths up to it become part of a pattern */

static uint64_t to_count(const aios__json *v)
{
    double d = aios__json_real(v, 0);
    return d >= 1e18 ? AIOS__COUNT_MAX : (uint64_t)d;
}

void aios__comp_counts(const comp *c, const conj *k, enum aios__kw min_kw, enum aios__kw max_kw, uint64_t *min, uint64_t *max)
{
    uint64_t lo = 0, hi = AIOS__COUNT_MAX;
    bool none = false;
    for (uint32_t i = 0; i < k->n; i++) {
        part p = part_at(c, k, i);
        uint32_t sub = part_sub(p);
        bool own = part_what(p) == PART_OWN, neg = part_neg(p);
        const aios__json *low = own || (neg && part_what(p) == min_kw) ? aios__schema_kw(c->s, sub, min_kw) : NULL;
        const aios__json *high = own || (neg && part_what(p) == max_kw) ? aios__schema_kw(c->s, sub, max_kw) : NULL;
        uint64_t x = low ? to_count(low) : 0, y = high ? to_count(high) : 0;
        if (low && !neg && x > lo)
            lo = x;
        if (high && !neg && y < hi)
            hi = y;
        if (high && neg && y + 1 > lo) /* more than at most */
            lo = y + 1;
        if (low && neg && x && x - 1 < hi) /* fewer than at least */
            hi = x - 1;
        none = none || (low && neg && !x);
    }
    *min = none ? 1 : lo;
    *max = none ? 0 : hi;
}

/* Strings that are no element of the list, or not the one constant. */
static int none_of(comp *c, part p, uint32_t *rx, aios_error *err)
{
    const aios__json *v = aios__schema_kw(c->s, part_sub(p), (enum aios__kw)part_what(p));
    int rc = aios__comp_texts(c, v, part_what(p) == AIOS__KW_ENUM, rx, err);
    return rc || *rx == AIOS__RX_NOTHING ? rc : aios__rx_not(c->g->rx, *rx, rx, err);
}

/* What a part says of a string's text, if it does. */
static int text_rule(comp *c, part p, bool *says, uint32_t *rx, aios_error *err)
{
    uint32_t what = part_what(p), sub = part_sub(p);
    int rc = AIOS_OK;
    *says = false;
    if (part_neg(p) && (what == AIOS__KW_CONST || what == AIOS__KW_ENUM)) {
        rc = none_of(c, p, rx, err);
        *says = *rx != AIOS__RX_NOTHING;
    } else if (part_neg(p) && what == AIOS__KW_PATTERN) {
        *says = true;
        rc = aios__rx_not(c->g->rx, aios__schema_kwval(c->s, sub, AIOS__KW_PATTERN)->rx, rx, err);
    } else if (part_neg(p) && what == AIOS__KW_FORMAT) {
        const aios__kwval *format = aios__schema_kwval(c->s, sub, AIOS__KW_FORMAT);
        *says = true;
        rc = aios__format_not(c->g->rx, aios__json_str(format->v, NULL), format->rx, rx, err);
    } else if (what == PART_OWN) {
        const aios__kwval *pattern = aios__schema_kwval(c->s, sub, AIOS__KW_PATTERN), *format = aios__schema_kwval(c->s, sub, AIOS__KW_FORMAT);
        uint32_t both[2] = {pattern ? pattern->rx : AIOS__RX_ALL, format ? format->rx : AIOS__RX_ALL};
        *says = pattern || format;
        rc = *says ? aios__rx_and(c->g->rx, both, 2, rx, err) : AIOS_OK;
    }
    return rc;
}

/* Texts that fit all rules of a conjunction. *from: a part that has one; NONE: there is none. */
static int all_rules(comp *c, const conj *k, uint32_t *rx, part *from, aios_error *err)
{
    int rc = AIOS_OK;
    *rx = AIOS__RX_ALL;
    *from = AIOS__NONE;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        uint32_t one;
        bool says;
        rc = text_rule(c, part_at(c, k, i), &says, &one, err);
        if (rc || says)
            *from = part_at(c, k, i);
        if (rc || !says)
            continue;
        uint32_t both[2] = {one, *rx};
        rc = aios__rx_and(c->g->rx, both, 2, rx, err);
    }
    return rc;
}

/*
 * The pattern's texts of characters that a string can say without \u, and, if it is short, of its length: one expression, so that no text
 * runs into a bound before it fits the pattern.
 */
static int bound_pattern(aios_grammar *g, aios__gnode *n, aios_error *err)
{
    static const uint32_t sayable[] = {8, 10, 12, 13, 32, 0x10ffff}, every[] = {0, 0x10ffff};
    uint32_t both[2] = {n->a}, chars, min = n->min <= COUNTED_MAX ? (uint32_t)n->min : 0;
    int rc = aios__rx_chars(g->rx, g->complete ? every : sayable, g->complete ? 1 : AIOS__ARRAY_LEN(sayable) / 2, &chars, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, 0, AIOS__RX_ENDLESS, &g->any_text, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, min, n->max <= COUNTED_MAX ? (uint32_t)n->max : AIOS__RX_ENDLESS, &both[1], err);
    return rc ? rc : aios__rx_and(g->rx, both, 2, &n->a, err);
}

/* The expression of node n, or the node that is never. */
static int make_rules(comp *c, const conj *k, uint32_t *node, part *from, aios_error *err)
{
    uint32_t rx;
    bool exists = true;
    aios__gnode *n = &c->g->nodes[*node];
    int rc = all_rules(c, k, &rx, from, err);
    n->a = rc || *from == AIOS__NONE ? AIOS__RX_NOTHING : rx;
    if (rc || *from == AIOS__NONE || n->min > n->max)
        return rc;
    rc = bound_pattern(c->g, n, err);
    rc = rc ? rc : aios__rx_exists(c->g->rx, n->a, &exists, err);
    *node = rc || exists ? *node : c->never_node;
    return rc;
}

int aios__comp_string(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    part from;
    aios_error why = AIOS_INIT(aios_error);
    int rc = aios__grammar_node(c->g, AIOS__G_STR, node, err);
    if (rc)
        return rc;
    c->g->nodes[*node].c = c->g->complete;
    aios__comp_counts(c, k, AIOS__KW_MIN_LENGTH, AIOS__KW_MAX_LENGTH, &c->g->nodes[*node].min, &c->g->nodes[*node].max);
    rc = make_rules(c, k, node, &from, &why);
    if (rc != AIOS_ELIMIT)
        return aios__error_copy(err, &why);
    return aios__comp_fail(c, part_sub(from), part_what(from) < AIOS__KW_COUNT ? (enum aios__kw)part_what(from) : AIOS__KW_PATTERN, why.msg, err);
}
