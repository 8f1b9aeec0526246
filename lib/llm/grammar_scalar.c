/* SPDX-License-Identifier: Apache-2.0 */
/* Strings and numbers of a conjunction of parts. */
#include "llm/grammar_schema.h"

#include <math.h>

#define COUNTED_MAX 256u /* lengths up to it become part of a pattern */
#define INT_DFLT INT64_C(99999999999999999)

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
    bool list = part_what(p) == AIOS__KW_ENUM;
    size_t n = list ? aios__json_count(v) : 1, len;
    uint32_t all = AIOS__RX_NOTHING, one;
    int rc = aios__comp_pool(c, err);
    for (size_t i = 0; !rc && i < n; i++) {
        const char *s = aios__json_str(list ? aios__json_at(v, i) : v, &len);
        if (!s)
            continue;
        rc = aios__comp_exact(c, s, len, &one, err);
        uint32_t both[2] = {all, one};
        rc = rc ? rc : aios__rx_or(c->g->rx, both, 2, &all, err);
    }
    *rx = AIOS__RX_NOTHING;
    return rc || all == AIOS__RX_NOTHING ? rc : aios__rx_not(c->g->rx, all, rx, err);
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
    } else if ((what == PART_OWN || (part_neg(p) && what == AIOS__KW_PATTERN)) && aios__schema_kw(c->s, sub, AIOS__KW_PATTERN)) {
        *rx = aios__schema_pattern(c->s, sub);
        *says = true;
        if (part_neg(p))
            rc = aios__rx_not(c->g->rx, *rx, rx, err);
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
        if (rc || !says)
            continue;
        uint32_t both[2] = {one, *rx};
        rc = aios__rx_and(c->g->rx, both, 2, rx, err);
        *from = part_at(c, k, i);
    }
    return rc;
}

/*
 * The pattern's texts of characters that a string can say without \u, and, if it is short, of its length: one expression, so that no text
 * runs into a bound before it fits the pattern.
 */
static int bound_pattern(aios_grammar *g, aios__gnode *n, aios_error *err)
{
    static const uint32_t sayable[] = {8, 10, 12, 13, 32, 0x10ffff};
    uint32_t both[2] = {n->a}, chars, min = n->min <= COUNTED_MAX ? (uint32_t)n->min : 0;
    int rc = aios__rx_chars(g->rx, sayable, AIOS__ARRAY_LEN(sayable) / 2, &chars, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, 0, AIOS__RX_ENDLESS, &g->any_text, err);
    rc = rc ? rc : aios__rx_repeat(g->rx, chars, min, n->max <= COUNTED_MAX ? (uint32_t)n->max : AIOS__RX_ENDLESS, &both[1], err);
    return rc ? rc : aios__rx_and(g->rx, both, 2, &n->a, err);
}

int aios__comp_string(comp *c, const conj *k, uint32_t *node, aios_error *err)
{
    uint32_t rx;
    part from;
    bool exists = true;
    int rc = aios__grammar_node(c->g, AIOS__G_STR, node, err);
    rc = rc ? rc : all_rules(c, k, &rx, &from, err);
    if (rc)
        return rc;
    aios__gnode *n = &c->g->nodes[*node];
    aios__comp_counts(c, k, AIOS__KW_MIN_LENGTH, AIOS__KW_MAX_LENGTH, &n->min, &n->max);
    n->a = from == AIOS__NONE ? AIOS__RX_NOTHING : rx;
    if (from == AIOS__NONE || n->min > n->max)
        return AIOS_OK;
    aios_error why = AIOS_INIT(aios_error);
    rc = bound_pattern(c->g, n, &why);
    rc = rc ? rc : aios__rx_exists(c->g->rx, n->a, &exists, &why);
    if (!rc && !exists)
        *node = c->never_node;
    return rc == AIOS_ELIMIT ? aios__comp_fail(c, part_sub(from), AIOS__KW_PATTERN, why.msg, err) : aios__error_copy(err, &why);
}

struct range {
    double lo, hi;
    bool lo_open, hi_open;
    int64_t ilo, ihi; /* the same for integers */
    bool has_lo, has_hi, none;
    uint64_t mul;
    bool whole; /* some multipleOf makes every number an integer */
    uint32_t lo_sub, hi_sub;
};

static void int_lower(struct range *r, const aios__json *v, bool open)
{
    double d = ceil(aios__json_real(v, 0));
    int64_t x;
    if (aios__json_type(v) == AIOS__JSON_INT) {
        x = aios__json_int(v, 0);
    } else if (d >= 9e18) {
        r->none = true;
        return;
    } else {
        x = d <= -9e18 ? INT64_MIN + 1 : (int64_t)d;
        open = open && d == aios__json_real(v, 0);
    }
    if (open && x == INT64_MAX)
        r->none = true;
    else if (!r->has_lo || x + open > r->ilo)
        r->ilo = x + open;
    r->has_lo = true;
}

static void int_upper(struct range *r, const aios__json *v, bool open)
{
    double d = floor(aios__json_real(v, 0));
    int64_t x;
    if (aios__json_type(v) == AIOS__JSON_INT) {
        x = aios__json_int(v, 0);
    } else if (d <= -9e18) {
        r->none = true;
        return;
    } else {
        x = d >= 9e18 ? INT64_MAX : (int64_t)d;
        open = open && d == aios__json_real(v, 0);
    }
    if (open && x == INT64_MIN)
        r->none = true;
    else if (!r->has_hi || x - open < r->ihi)
        r->ihi = x - open;
    r->has_hi = true;
}

static void lower(struct range *r, const aios__json *v, bool open, uint32_t sub)
{
    double d = aios__json_real(v, 0);
    if (!v)
        return;
    int_lower(r, v, open);
    if (d > r->lo || (d == r->lo && open)) {
        r->lo = d;
        r->lo_open = open;
        r->lo_sub = sub;
    }
}

static void upper(struct range *r, const aios__json *v, bool open, uint32_t sub)
{
    double d = aios__json_real(v, 0);
    if (!v)
        return;
    int_upper(r, v, open);
    if (d < r->hi || (d == r->hi && open)) {
        r->hi = d;
        r->hi_open = open;
        r->hi_sub = sub;
    }
}

/* What is not at least is below, and so on. */
static void denied_bound(const comp *c, struct range *r, part p)
{
    enum aios__kw kw = (enum aios__kw)part_what(p);
    if (kw == AIOS__KW_MINIMUM || kw == AIOS__KW_EXCLUSIVE_MINIMUM)
        upper(r, aios__schema_kw(c->s, part_sub(p), kw), kw == AIOS__KW_MINIMUM, part_sub(p));
    else if (kw == AIOS__KW_MAXIMUM || kw == AIOS__KW_EXCLUSIVE_MAXIMUM)
        lower(r, aios__schema_kw(c->s, part_sub(p), kw), kw == AIOS__KW_MAXIMUM, part_sub(p));
}

static int multiple(comp *c, struct range *r, const aios__json *v, bool ints, uint32_t sub, aios_error *err)
{
    double d = aios__json_real(v, 1), inverse = 1 / d;
    if (!v)
        return AIOS_OK;
    if (ints && d < 1 && floor(inverse) == inverse)
        return AIOS_OK; /* every integer is a multiple */
    if (floor(d) != d || d >= 1e17)
        return aios__comp_fail(c, sub, AIOS__KW_MULTIPLE_OF, "with a fraction cannot be enforced while decoding: use an integer", err);
    uint64_t a = r->mul, b = (uint64_t)d;
    while (b) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    uint64_t factor = (uint64_t)d / a;
    if (r->mul > UINT64_C(1000000000000000000) / factor)
        return aios__comp_fail(c, sub, AIOS__KW_MULTIPLE_OF, "has too large a common multiple with another one", err);
    r->mul *= factor;
    r->whole = true;
    return AIOS_OK;
}

static int read_range(comp *c, const conj *k, bool ints, struct range *r, aios_error *err)
{
    *r = (struct range){.lo = -INFINITY, .hi = INFINITY, .mul = 1};
    int rc = AIOS_OK;
    for (uint32_t i = 0; !rc && i < k->n; i++) {
        part p = part_at(c, k, i);
        uint32_t sub = part_sub(p);
        if (part_neg(p))
            denied_bound(c, r, p);
        if (part_what(p) != PART_OWN)
            continue;
        lower(r, aios__schema_kw(c->s, sub, AIOS__KW_MINIMUM), false, sub);
        lower(r, aios__schema_kw(c->s, sub, AIOS__KW_EXCLUSIVE_MINIMUM), true, sub);
        upper(r, aios__schema_kw(c->s, sub, AIOS__KW_MAXIMUM), false, sub);
        upper(r, aios__schema_kw(c->s, sub, AIOS__KW_EXCLUSIVE_MAXIMUM), true, sub);
        rc = multiple(c, r, aios__schema_kw(c->s, sub, AIOS__KW_MULTIPLE_OF), ints, sub, err);
    }
    return rc;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b && a < 0);
}

static int make_int(comp *c, const struct range *r, uint32_t *node, aios_error *err)
{
    int64_t lo = r->has_lo ? r->ilo : -INT_DFLT, hi = r->has_hi ? r->ihi : INT_DFLT;
    if (!r->has_hi && lo > hi)
        hi = INT64_MAX;
    if (!r->has_lo && hi < lo)
        lo = INT64_MIN + 1;
    lo = lo == INT64_MIN ? INT64_MIN + 1 : lo;
    bool some = !r->none && lo <= hi && (r->mul == 1 || floor_div(hi, (int64_t)r->mul) * (int64_t)r->mul >= lo);
    if (!some) {
        *node = c->never_node;
        return AIOS_OK;
    }
    int rc = aios__grow(c->g->heap, &c->g->ints, &c->g->cap_ints, (size_t)c->g->n_ints + 1, AIOS__G_NODES, sizeof *c->g->ints, "integers", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_INT, node, err);
    if (rc)
        return rc;
    c->g->ints[c->g->n_ints] = (aios__gint){lo, hi, r->mul};
    c->g->nodes[*node].a = c->g->n_ints++;
    return AIOS_OK;
}

int aios__comp_number(comp *c, const conj *k, uint32_t types, uint32_t *node, aios_error *err)
{
    bool ints = !(types & AIOS__T_NUMBER);
    for (uint32_t i = 0; i < k->n && !(types & AIOS__T_INTEGER); i++)
        if (part_neg(part_at(c, k, i)) && part_what(part_at(c, k, i)) == AIOS__KW_TYPE)
            return aios__comp_fail(c, part_sub(part_at(c, k, i)), AIOS__KW_TYPE, "cannot be enforced while decoding where only numbers that are no integers are left", err);
    struct range r;
    aios__gnum num;
    int rc = read_range(c, k, ints, &r, err);
    if (rc)
        return rc;
    if (ints || r.whole)
        return make_int(c, &r, node, err);
    if (!r.has_lo && !r.has_hi) {
        rc = aios__grammar_node(c->g, AIOS__G_NUM, node, err);
        if (!rc)
            c->g->nodes[*node].a = AIOS__G_NONE;
        return rc;
    }
    if (!aios__gnum_make(r.lo, r.lo_open, r.hi, r.hi_open, &num))
        return r.has_lo ? aios__comp_fail(c, r.lo_sub, r.lo_open ? AIOS__KW_EXCLUSIVE_MINIMUM : AIOS__KW_MINIMUM,
                                          "has too many digits to be enforced while decoding", err)
                        : aios__comp_fail(c, r.hi_sub, r.hi_open ? AIOS__KW_EXCLUSIVE_MAXIMUM : AIOS__KW_MAXIMUM,
                                          "has too many digits to be enforced while decoding", err);
    if (!num.side[0].any && !num.side[1].any) {
        *node = c->never_node;
        return AIOS_OK;
    }
    rc = aios__grow(c->g->heap, &c->g->nums, &c->g->cap_nums, (size_t)c->g->n_nums + 1, AIOS__G_NODES, sizeof *c->g->nums, "numbers", err);
    if (!rc)
        rc = aios__grammar_node(c->g, AIOS__G_NUM, node, err);
    if (rc)
        return rc;
    c->g->nums[c->g->n_nums] = num;
    c->g->nodes[*node].a = c->g->n_nums++;
    return AIOS_OK;
}
